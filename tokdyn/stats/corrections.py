"""Adjusted p-values for a family of tests: Holm (any false rejection) and Benjamini-Hochberg (their share)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tokdyn.checks import bad, describe_array
from tokdyn.stats.inputs import numbers


def holm(p_values: ArrayLike, *, axis: int = -1, include: ArrayLike | None = None) -> np.ndarray:
    """Holm's step-down adjustment, which controls the chance of any false rejection under any dependence.

    With the m counted p-values in increasing order, p~_(i) = max over j <= i of min(1, (m - j + 1) p_(j)).

    Args:
        p_values: `[..., tests, ...]`, each in [0, 1].
        axis: the axis of the family.
        include: booleans that broadcast against p_values. A test that is left out (such as a degenerate one) does not
            count in m and gets 1. None includes all tests. Leave out only tests that could not have been rejected
            whatever the signs (Tarone 1990), never tests that merely were not.

    Returns:
        Adjusted p-values in the shape of p_values; reject those that are at most the level.

    Raises:
        ValueError: NaN, outside [0, 1], no tests, or an include of another shape.

    References:
        Holm (1979), A simple sequentially rejective multiple test procedure. Scand. J. Stat. 6, 65-70.
        Tarone (1990), A modified Bonferroni method for discrete data. Biometrics 46, 515-522.

    Example:
        >>> from tokdyn.stats import holm
        >>> holm([0.01, 0.04, 0.03]).round(4).tolist()
        [0.03, 0.06, 0.06]
        >>> holm([0.01, 1.0, 0.03], include=[True, False, True]).round(4).tolist()
        [0.02, 1.0, 0.03]
    """
    ordered, order, count = _sorted(p_values, axis, include)
    rank = np.arange(ordered.shape[-1])
    scaled = ordered * np.maximum(count - rank, 1)
    adjusted = np.minimum(np.maximum.accumulate(scaled, axis=-1), 1.0)
    return _restored(adjusted, order, count, axis)


def benjamini_hochberg(p_values: ArrayLike, *, axis: int = -1, include: ArrayLike | None = None) -> np.ndarray:
    """Benjamini and Hochberg's step-up adjustment, which controls the expected share of false rejections.

    With the m counted p-values in increasing order, q_(i) = min over j >= i of min(1, m p_(j) / j); valid for
    independent and for positively dependent tests.

    Args:
        p_values: `[..., tests, ...]`, each in [0, 1].
        axis: the axis of the family.
        include: as in `holm`.

    Returns:
        Adjusted p-values (q) in the shape of p_values.

    Raises:
        ValueError: NaN, outside [0, 1], no tests, or an include of another shape.

    References:
        Benjamini and Hochberg (1995), Controlling the false discovery rate. J. R. Stat. Soc. B 57, 289-300.

    Example:
        >>> from tokdyn.stats import benjamini_hochberg
        >>> benjamini_hochberg([0.01, 0.04, 0.03]).round(4).tolist()
        [0.03, 0.04, 0.04]
    """
    ordered, order, count = _sorted(p_values, axis, include)
    rank = np.arange(1, ordered.shape[-1] + 1)
    # Tests left out are at the end as infinity, and so never lower the running minimum from the right.
    scaled = ordered * (np.maximum(count, 1) / rank)
    adjusted = np.minimum.accumulate(scaled[..., ::-1], axis=-1)[..., ::-1]
    return _restored(np.minimum(adjusted, 1.0), order, count, axis)


def _sorted(p_values: Any, axis: int, include: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The p-values in increasing order along the last axis, infinity for those left out; the order; m `[..., 1]`."""
    values = numbers("p_values", p_values, expected="p-values")
    if values.ndim == 0 or not -values.ndim <= axis < values.ndim or values.size == 0:
        raise bad("p_values", f"at least one p-value along axis {axis}", f"shape {values.shape}")
    if ((values < 0) | (values > 1)).any():
        raise bad("p_values", "numbers from 0 to 1", values[(values < 0) | (values > 1)][0])
    if include is None:
        counted = np.ones(values.shape, dtype=bool)
    else:
        counted = np.asarray(include)
        if counted.dtype != np.bool_:
            raise bad("include", "booleans", describe_array(counted))
        try:
            counted = np.broadcast_to(counted, values.shape)
        except ValueError:
            raise bad("include", f"booleans that broadcast to {values.shape}", counted.shape) from None
    values = np.moveaxis(np.where(counted, values, np.inf), axis, -1)
    order = np.argsort(values, axis=-1, kind="stable")
    return (
        np.take_along_axis(values, order, axis=-1),
        order,
        np.moveaxis(counted, axis, -1).sum(axis=-1, keepdims=True),
    )


def _restored(adjusted: np.ndarray, order: np.ndarray, count: np.ndarray, axis: int) -> np.ndarray:
    adjusted = np.where(np.arange(adjusted.shape[-1]) < count, adjusted, 1.0)
    result = np.empty_like(adjusted)
    np.put_along_axis(result, order, adjusted, axis=-1)
    return np.moveaxis(result, -1, axis)
