"""A number with its interval: in a Dataset the variables NAME, NAME_low and NAME_high; of seeds, as text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from tokdyn.stats import mean_interval
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


def of_seeds(values: ArrayLike, within: tuple[float, float] | None = (0.0, 1.0)) -> tuple[float, float, float]:
    """Mean of the seeds that are there, and its 95 % interval by Student.

    Args:
        values: one of each seed; NaN where there is none.
        within: the limits of what is measured, beyond which no interval goes.

    Returns:
        The mean and the two ends; NaN for an end of fewer than two seeds, and for a mean of none.
    """
    known = np.asarray(values, float)
    known = known[np.isfinite(known)]
    if len(known) < 2:
        return (float(known.mean()) if len(known) else np.nan, np.nan, np.nan)
    found = mean_interval(known, within=within)
    return float(found.mean), float(found.low), float(found.high)


def mean_shown(
    values: ArrayLike, digits: int = 3, *, within: tuple[float, float] | None = (0.0, 1.0), none: str = "-"
) -> str:
    """``of_seeds`` for a table: "0.500 [0.250, 0.750]", the mean alone where all agree, and ``none`` without any.

    Example:
        >>> from tokdyn.studies.intervals import mean_shown
        >>> mean_shown([0.25, 0.75], 1), mean_shown([1.0, 1.0], 1)
        ('0.5 [0.0, 1.0]', '1.0')
    """
    mean, low, high = of_seeds(values, within)
    if np.isnan(mean):
        return none
    return f"{mean:.{digits}f}" if np.isnan(low) or low == high else f"{mean:.{digits}f} {brackets(low, high, digits)}"
