"""Standardised columns, and the way back to the original units."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tokdyn.checks import bad, describe_array


class Standardised(NamedTuple):
    """Standardised features.

    Attributes:
        features: the features `[N, D]`, float64, with mean 0 and standard deviation 1 in each column.
        mean: original mean of each column `[D]`.
        scale: original standard deviation of each column `[D]`; 1 if the column is constant.
        is_constant: which columns are constant; they are 0 in the features `[D]`.
    """

    features: np.ndarray
    mean: np.ndarray
    scale: np.ndarray
    is_constant: np.ndarray

    def restored(self, values: np.ndarray) -> np.ndarray:
        """Standardised values `[..., D]`, such as tokens, in the original units of the features."""
        return np.asarray(values, np.float64) * self.scale + self.mean


def standardised(features: np.ndarray) -> Standardised:
    r"""Scale each column to mean 0 and standard deviation 1, so that distances do not depend on units of measurement.

    .. math:: z_{nd} = (x_{nd} - \bar x_d) / \sigma_d, \qquad \sigma_d^2 = \tfrac1N \sum_n (x_{nd} - \bar x_d)^2

    A constant column becomes 0, so that it does not affect distances.

    Args:
        features: `[N, D]`, finite numbers.

    Returns:
        A ``Standardised``.

    Raises:
        ValueError: not finite numbers `[N, D]`.

    Example:
        >>> import numpy as np, tokdyn as td
        >>> made = td.data.standardised(np.array([[1.0, 5.0], [3.0, 5.0]]))
        >>> made.features.tolist(), made.is_constant.tolist()
        ([[-1.0, 0.0], [1.0, 0.0]], [False, True])
        >>> made.restored(np.array([[2.0, 0.0]])).tolist()
        [[4.0, 5.0]]
    """
    array = np.asarray(features)
    if array.ndim != 2 or 0 in array.shape or array.dtype.kind not in "fiub" or not np.isfinite(array).all():
        raise bad("features", "finite numbers [N, D]", describe_array(array))
    array = array.astype(np.float64)
    is_constant = array.min(axis=0) == array.max(axis=0)
    # In units of the largest number, so that no square overflows or vanishes.
    unit = np.abs(array).max(axis=0)
    unit = np.where(unit > 0, unit, 1.0)
    mean = np.where(is_constant, array[0], (array / unit).mean(axis=0) * unit)
    centred = (array - mean) / unit
    scale = np.where(is_constant, 1.0, np.sqrt((centred**2).mean(axis=0)) * unit)
    return Standardised(np.where(is_constant, 0.0, (array - mean) / scale), mean, scale, is_constant)
