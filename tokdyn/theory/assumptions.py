"""What a law assumes of a dynamics, checked in one place: its parts, and that its numbers are no schedules."""

from __future__ import annotations

from typing import Any

from tokdyn import checks
from tokdyn.dynamics.attraction import Attraction
from tokdyn.dynamics.base import Dynamics
from tokdyn.dynamics.schedules import schedules


def only_attraction(dynamics: Dynamics, *, allowed: tuple[type, ...] | None = None) -> tuple[str, Attraction]:
    """The attraction of a dynamics, and its name.

    Args:
        dynamics: what ``td.compose`` returned.
        allowed: classes that its parts may have; None for any.

    Raises:
        ValueError: naming the assumption that is not met.
    """
    if not isinstance(dynamics, Dynamics):
        raise checks.bad("dynamics", "what td.compose returned", f"a {type(dynamics).__name__}")
    found = [(name, part) for name, part in zip(dynamics.names, dynamics.parts, strict=True)
             if isinstance(part, Attraction)]  # fmt: skip
    if len(found) != 1:
        raise checks.bad("dynamics", "one attraction", f"{len(found)} among {', '.join(dynamics.names)}")
    if allowed is not None:
        for name, part in zip(dynamics.names, dynamics.parts, strict=True):
            if not isinstance(part, allowed):
                names = " and ".join(one.__name__.lower() for one in allowed)
                raise checks.bad("dynamics", f"{names} and no other part", f"{name!r}, a {type(part).__name__}")
    if schedules(dynamics):
        raise checks.bad("dynamics", "numbers that do not change from step to step", "a schedule")
    name, part = found[0]
    heat = part.temperature
    if checks.is_concrete(heat) and not _finite(heat):
        raise checks.bad(f"{name}.temperature", "a finite number", heat)
    return name, part


def without_floor(name: str, part: Attraction) -> None:
    """Check that no mass floor pulls tokens to the origin.

    Raises:
        ValueError: a mass floor above 0.
    """
    floor = part.mass_floor
    if checks.is_concrete(floor) and float(floor) != 0:
        raise checks.bad(f"{name}.mass_floor", "0 (a floor pulls tokens to the origin)", floor)


def _finite(value: Any) -> bool:
    import numpy as np

    return bool(np.isfinite(np.asarray(value)).all())
