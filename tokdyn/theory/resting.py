r"""Where points of tokens come to rest among features at one temperature, with NumPy.

The rule is that of ``td.attraction`` at rate 1, with n_k tokens at point k:

.. math:: y_k \leftarrow \sum_i w_{ik} x_i / \sum_i w_{ik}, \qquad w_{ik} \propto n_k \exp(-|x_i - y_k|^2 / T).

Near a critical temperature each step brings it only a little nearer to rest. Nesterov's extrapolation takes about the
square root of as many steps; it begins anew where a step would turn back, so that it does not swing. Resting places are
those of the plain rule, whose next step is what is compared with the tolerance.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

# At rest: no coordinate moves by more than this share of the spread. As many steps at most.
TOLERANCE, MOST_STEPS = 1e-5, 400
# A point that owns less than so many features stays where it is.
_NOTHING = 1e-12


class Rows(NamedTuple):
    """Features `[N, A]`, the same `[A, N]`, and the root of their mean squared length."""

    values: np.ndarray
    columns: np.ndarray
    spread: float


def rows_of(values: np.ndarray) -> Rows:
    """Features as the functions here take them; all is computed in their precision.

    Args:
        values: `[N, A]`, centred.
    """
    squares = float(np.einsum("na,na->", values, values, dtype=np.float64)) / len(values)
    return Rows(np.ascontiguousarray(values), np.ascontiguousarray(values.T), float(np.sqrt(squares)))


def shares(rows: Rows, places: np.ndarray, numbers: np.ndarray, heat: float) -> np.ndarray:
    """Responsibilities of points for features, each counted as often as there are tokens in it.

    Args:
        rows: features.
        places: of points `[G, A]`.
        numbers: of tokens in each `[G]`.
        heat: temperature, above 0.

    Returns:
        `[G, N]`.
    """
    dtype = rows.values.dtype
    offsets = np.log(numbers) - np.einsum("ga,ga->g", places, places, dtype=np.float64) / heat
    found = (places * (2 / heat)).astype(dtype) @ rows.columns
    found += offsets.astype(dtype)[:, None]
    found -= found.max(axis=0)
    np.exp(found, out=found)
    found /= found.sum(axis=0)
    return found


def settled(rows: Rows, places: np.ndarray, numbers: np.ndarray, heat: float) -> np.ndarray:
    """Points at rest `[G, A]`, or where they are after ``MOST_STEPS``.

    Args:
        rows: features.
        places: where they start `[G, A]`.
        numbers: of tokens in each `[G]`.
        heat: temperature, above 0.
    """
    dtype = rows.values.dtype
    now = target = places.astype(dtype)
    since = 0
    for _ in range(MOST_STEPS):
        weights = shares(rows, now, numbers, heat)
        mass = weights.sum(axis=1)[:, None]
        before, target = target, np.where(mass > _NOTHING, weights @ rows.values / np.maximum(mass, _NOTHING), now)
        if np.abs(target - now).max() <= TOLERANCE * rows.spread:
            break
        step = target - before
        if np.vdot(target - now, step) < 0:
            since = 0
        now = target + dtype.type(since / (since + 3)) * step
        since += 1
    return target
