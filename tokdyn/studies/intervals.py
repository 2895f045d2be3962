"""A number with its interval, as a study's Dataset holds it: the variables NAME, NAME_low and NAME_high."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from tokdyn.studies.documents import brackets

if TYPE_CHECKING:
    import xarray


def names(name: str, ends: str | None = None) -> tuple[str, str, str]:
    """The three variables.

    Args:
        name: of the number.
        ends: what the ends are called after, where it is not the number itself.

    Example:
        >>> from tokdyn.studies.intervals import names
        >>> names("twin_difference", "twin")
        ('twin_difference', 'twin_low', 'twin_high')
    """
    stem = ends or name
    return name, f"{stem}_low", f"{stem}_high"


def meanings(name: str, meaning: str, interval: str = "95 % interval", *, ends: str | None = None) -> dict[str, str]:
    """What the three mean: ``meaning``, and the ends of its ``interval``."""
    said = (meaning, f"lower end of its {interval}", f"upper end of its {interval}")
    return dict(zip(names(name, ends), said, strict=True))


def variables(
    name: str, dims: tuple[str, ...], values: Iterable[Any], *, ends: str | None = None
) -> dict[str, tuple[tuple[str, ...], Any]]:
    """The three for ``xarray.Dataset``, all along ``dims``: a number, its lower end, its upper end."""
    return {one: (dims, value) for one, value in zip(names(name, ends), values, strict=True)}


def stacked(dataset: xarray.Dataset, name: str, ends: str | None = None) -> np.ndarray:
    """The three `[3, ...]`."""
    return np.stack([dataset[one].values for one in names(name, ends)])


def shown(dataset: xarray.Dataset, name: str, ends: str | None = None, *, digits: int = 3) -> str:
    """The interval of a single number, for a table: "[0.25, 0.75]"; "-" where there is none."""
    _, low, high = names(name, ends)
    return brackets(dataset[low], dataset[high], digits)
