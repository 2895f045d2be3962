"""What a law assumes of a dynamics, checked in one place: its parts, and that its numbers are no schedules."""

from __future__ import annotations

import numpy as np

from tokdyn import checks
from tokdyn.dynamics.attraction import Attraction
from tokdyn.dynamics.base import Dynamics
from tokdyn.dynamics.schedules import schedules
from tokdyn.theory.verdict import num_different


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
    if np.ndim(heat):
        raise checks.bad(f"{name}.temperature", "one number []", f"shape {np.shape(heat)}")
    if checks.is_concrete(heat) and not np.isfinite(np.asarray(heat)):
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


def enough_features(features: np.ndarray, num_tokens: int) -> None:
    """Check that there are two features, and a distinct one for each token.

    Raises:
        ValueError: fewer, or infinite or NaN entries.
    """
    if features.ndim == 2 and len(features) < 2:
        raise checks.bad("features", "at least two features", f"shape {features.shape}")
    if not np.isfinite(features).all():
        raise checks.bad("features", "finite numbers", "infinite or NaN entries")
    if num_tokens > len(features):
        raise checks.bad("num_tokens", f"at most the number of features, {len(features)}", num_tokens)
    different = num_different(features, num_tokens)
    if different < num_tokens:
        raise checks.bad("num_tokens", f"at most the number of distinct features, {different}", num_tokens)
