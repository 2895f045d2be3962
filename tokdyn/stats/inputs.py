"""The input checks shared by all statistics: known, finite numbers, enough of them, in float64.

The functions of this package run on the host, cannot be traced, and return NumPy arrays. So everything can be checked,
and bad input is a ``ValueError`` instead of a NaN in a table.
"""

from __future__ import annotations

import math

import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from tokdyn.checks import bad, describe_array, is_concrete


def numbers(name: str, values: ArrayLike, *, expected: str = "numbers") -> np.ndarray:
    """The values as float64, whatever the dtype of the input.

    Args:
        name: the argument's name, for the error message.
        values: any shape; booleans and integers count as numbers.
        expected: what the error message says was expected.

    Raises:
        ValueError: traced, not real numbers, or with a NaN or an infinity.
    """
    if not is_concrete(values):
        raise bad(name, f"{expected} known now (statistics run outside jit)", "a traced array")
    try:
        array = np.asarray(values)
        if array.dtype.kind not in "biuf" and not jnp.issubdtype(array.dtype, jnp.floating):  # bfloat16 is "V"
            raise TypeError
        array = array.astype(np.float64)
    except (TypeError, ValueError):
        raise bad(name, expected, describe_array(values)) from None
    if not np.isfinite(array).all():
        count = int((~np.isfinite(array)).sum())
        raise bad(name, f"finite {expected}", f"{count} NaN or infinite of {array.size}")
    return array


def samples(name: str, values: ArrayLike, *, axis: int = -1, at_least: int = 2) -> np.ndarray:
    """A family of samples with the sample axis last: `[..., n]`, float64.

    Args:
        name: the argument's name.
        values: any shape of rank 1 or more.
        axis: the axis of the observations.
        at_least: the least n.

    Raises:
        ValueError: traced, not finite numbers, no such axis, no test at all, or too few observations.
    """
    array = numbers(name, values)
    if array.ndim == 0 or not -array.ndim <= axis < array.ndim:
        raise bad(name, f"an array [..., n] with an axis {axis}", f"shape {array.shape}")
    array = np.moveaxis(array, axis, -1)
    if array.shape[-1] < at_least:
        raise bad(name, f"at least {at_least} observations along axis {axis}", array.shape[-1])
    if array.size == 0:
        raise bad(name, "at least one sample", f"shape {array.shape}")
    return array


def rounding(values: ArrayLike) -> float:
    """Relative size of the rounding errors that the input may already carry: the machine epsilon of its dtype.

    Args:
        values: the user's input, before conversion to float64.

    Returns:
        Machine epsilon; that of float64 for integers and Python numbers.
    """
    dtype = getattr(values, "dtype", None)
    if dtype is None or not jnp.issubdtype(dtype, jnp.floating):
        return float(np.finfo(np.float64).eps)
    return float(jnp.finfo(dtype).eps)


def probability(name: str, value: object) -> float:
    """One plain number strictly between 0 and 1 (a confidence, a level, a power).

    Raises:
        ValueError: anything else.
    """
    if (
        isinstance(value, (bool, np.bool_))
        or not isinstance(value, (int, float, np.floating, np.integer))
        or not 0.0 < float(value) < 1.0
    ):
        raise bad(name, "a number strictly between 0 and 1", repr(value))
    return float(value)


def non_negative(name: str, value: ArrayLike) -> float:
    """One plain finite number of at least 0.

    Raises:
        ValueError: anything else.
    """
    array = numbers(name, value, expected="a number of at least 0")
    if array.ndim != 0 or array < 0 or not math.isfinite(float(array)):
        raise bad(name, "a number of at least 0", repr(value))
    return float(array)


def mid_ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1 along the last axis, ties sharing their mean rank.

    This equals ``scipy.stats.rankdata``, whose import alone takes longer than the arithmetic of an audit.

    Args:
        values: `[..., n]`.
    """

    def of(row: np.ndarray) -> np.ndarray:
        ordered = np.sort(row)
        return (ordered.searchsorted(row, "left") + ordered.searchsorted(row, "right") + 1) / 2

    return np.apply_along_axis(of, -1, values) if values.size else values


def is_constant(values: np.ndarray, sd: np.ndarray, epsilon: float) -> np.ndarray:
    """Whether the spread of a sample is merely rounding error, so that dividing by it would invent a result.

    Args:
        values: `[..., n]`.
        sd: their standard deviation `[...]`.
        epsilon: machine epsilon of the original dtype of the values.

    Returns:
        Booleans `[...]`.
    """
    return np.asarray(sd <= 8 * epsilon * np.abs(values).max(axis=-1))
