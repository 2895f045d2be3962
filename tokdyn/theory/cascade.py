r"""Which tokens part at which temperature: one point splits, then each part by itself, down to as many as there are.

Tokens that share a point take the features with one responsibility w each, and near it the same linearisation holds as
for all features (``tokdyn.theory.critical``), with the covariance of the features weighted by w. They part as soon as

.. math:: T < 2 \lambda_{\max}(C_w), \qquad C_w = \frac{\sum_i w_i (x_i - \mu)(x_i - \mu)^T}{\sum_i w_i},

which is a statement about small disturbances: tokens that are already apart can stay so above it
(``td.collapse_forecast`` has that temperature). Cooling slowly from one point therefore meets a cascade of splits. What
the tokens of a point do once they part is followed token by token, from small random displacements: among features that
are symmetric about the point they go to its two sides, among skewed ones often a single token leaves, and in many
dimensions with nearly equal variances all may part at once. A merged pair keeps double weight in the softmax, as it
does in a run.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from tokdyn import checks
from tokdyn.theory import critical
from tokdyn.theory.resting import Rows, rows_of, settled, shares

# How many features are read, and how many of their leading directions: those that can part tokens.
MOST_FEATURES, MOST_DIRECTIONS = 5000, 64
# Temperatures fall by this factor between looks; a split is placed to about a thousandth.
_COOLING, _PRECISION = 0.93, 1e-3
# Up to this many rows or columns all eigenvalues are computed; beyond, only products with the rows.
_FEW = 96
# Larger samples are computed in float32.
_LARGE = 1 << 18
# Points nearer than this share of the temperature's square root are one; just after a split they are farther apart.
_NEAR = 0.02
# A direction with less variance than this share of the lowest temperature cannot part tokens there: half would.
_SLAVED = 0.25


class Split(NamedTuple):
    """Tokens at one point that part.

    Attributes:
        temperature: below which they do, in squared units of the features.
        tokens: how many they are.
        into: how many go to either side along the direction in which they part.
        share: of the features that they own, from 0 to 1.
        position: of the point `[D]`.
        distinct: points there are just below; where tokens part all at once, more than one more than before.
    """

    temperature: float
    tokens: int
    into: tuple[int, int]
    share: float
    position: np.ndarray
    distinct: int


class _Points(NamedTuple):
    """Points `[G, D]`, and how many tokens are at each `[G]`."""

    places: np.ndarray
    numbers: np.ndarray


class Cascade(NamedTuple):
    """What slow cooling does to tokens that begin at one point.

    Attributes:
        splits: in the order in which they happen, of falling temperature.
        path: temperatures that were looked at, falling, and how many points there were: splits add some, and points
            that have come together again (those of one cluster that two points shared) take them away.
        lowest: temperature down to which it was followed; tokens that are still together there have no split below it
            in this list.
        num_tokens: K.
        num_features: how many features were read.
        error: standard error of the first temperature, relative to it, from reading a sample; 0 if all were read.
    """

    splits: tuple[Split, ...]
    path: tuple[tuple[float, int], ...]
    lowest: float
    num_tokens: int
    num_features: int
    error: float

    def distinct_at(self, temperature: float) -> int:
        """How many points there are at a temperature.

        Args:
            temperature: at least ``lowest``.

        Raises:
            ValueError: a temperature below what was followed.
        """
        heat = float(checks.one_number("temperature", temperature, at_least=0.0))
        if heat < self.lowest * (1 - _PRECISION):
            raise checks.bad("temperature", f"at least {self.lowest:.3g}, down to which it was followed", heat)
        # The last temperature is ``lowest`` itself, up to the rounding of its units.
        return next((count for reached, count in reversed(self.path) if reached >= heat * (1 - 1e-9)), 1)


def critical_temperatures(
    features: ArrayLike, tokens: ArrayLike, temperature: float, *, mask: ArrayLike | None = None
) -> np.ndarray:
    """For every token the temperature below which it would part from another at the same point.

    Args:
        features: `[N, D]`.
        tokens: `[K, D]`, best at rest.
        temperature: at which responsibilities are taken, above 0.
        mask: which features exist `[N]`.

    Returns:
        `2 lambda_max(C_w)` `[K]`, float64, by NumPy; 0 for a token that owns nothing, or one feature.

    Raises:
        ValueError: bad shapes, infinite or NaN entries, or a temperature that is not above 0.

    Example:
        >>> import numpy as np, tokdyn as td
        >>> features = np.array([[-10.0], [-8.0], [8.0], [10.0]])
        >>> td.theory.critical_temperatures(features, [[-9.0], [9.0]], 1.0).round(6).tolist()
        [2.0, 2.0]
    """
    values = np.asarray(checks.floating("features", np.asarray(features), axes="[N, D]", xp=np), np.float64)
    given = np.asarray(checks.floating("tokens", np.asarray(tokens), axes="[K, D]", xp=np), np.float64)
    if given.shape[1] != values.shape[1]:
        raise checks.bad("tokens", f"shape (K, {values.shape[1]}), as the features have", f"shape {given.shape}")
    heat = float(checks.hyperparameter("temperature", temperature, above=0.0))
    exists = checks.boolean_mask("mask", mask, len(values), axes="[N]")
    rows = values if exists is None else values[np.asarray(exists)]
    for what, array in (("features", rows), ("tokens", given)):
        if not np.isfinite(array).all():
            raise checks.bad(what, "finite numbers", "infinite or NaN entries")
    centre = rows.mean(axis=0) if len(rows) else 0.0
    rows, given = rows - centre, given - centre
    weights = shares(rows_of(rows), given, np.ones(len(given)), heat)
    return np.array([_widest(rows, one)[0] for one in weights])


def splitting_cascade(
    features: ArrayLike, *, num_tokens: int, lowest: float | None = None, max_features: int = MOST_FEATURES
) -> Cascade:
    """Every temperature at which tokens part when they are cooled slowly from one point.

    Of a large set a sample is read, and of many dimensions the leading directions; both by NumPy, nothing is compiled.

    Args:
        features: `[N, D]`, finite.
        num_tokens: K.
        lowest: temperature down to which the cascade is followed; by default a thousandth of the first split.
        max_features: how many features are read.

    Returns:
        ``Cascade``; without splits for constant features or a single token.

    Raises:
        ValueError: not finite floating-point `[N, D]`, no token, or a temperature that is not above 0.

    References:
        Rose: Deterministic annealing for clustering, compression, classification, regression, 1998.

    Example:
        >>> import numpy as np, tokdyn as td
        >>> draw = np.random.default_rng(0)
        >>> features = np.concatenate([draw.normal(size=(200, 2)), draw.normal(size=(200, 2)) + [20, 0]])
        >>> found = td.theory.splitting_cascade(features, num_tokens=4, lowest=1.0)
        >>> [split.into for split in found.splits], found.distinct_at(10.0)
        ([(2, 2), (1, 1), (1, 1)], 2)
    """
    values = np.asarray(checks.floating("features", np.asarray(features), axes="[N, D]", xp=np))
    critical.rows_read(values)  # a row and a column
    if not np.isfinite(values).all():
        raise checks.bad("features", "finite numbers", "infinite or NaN entries")
    num_tokens = checks.whole_number("num_tokens", num_tokens, at_least=1)
    count = checks.whole_number("max_features", max_features, at_least=2)
    rows = critical.some_rows(values, count)
    scale = float(np.abs(rows - rows.mean(axis=0)).max()) or 1.0
    rows = ((rows - rows.mean(axis=0)) / scale).astype(np.float32 if len(rows) * rows.shape[1] > _LARGE else np.float64)
    centre = critical.some_rows(values, count).mean(axis=0)
    first, direction = _widest(rows, np.ones(len(rows)))
    floor = 1e-3 * first if lowest is None else float(checks.hyperparameter("lowest", lowest, above=0.0)) / scale**2
    error = _sampling_error(rows, direction) if len(values) > count else 0.0
    if num_tokens == 1 or first <= 0:
        return Cascade((), (), floor * scale**2, num_tokens, len(rows), error)
    basis = _leading(rows, floor)
    cooled, path = _cooled(rows_of(rows @ basis), num_tokens, first, floor)
    splits = tuple(
        split._replace(temperature=split.temperature * scale**2, position=basis @ split.position * scale + centre)
        for split in cooled
    )
    seen = tuple((heat * scale**2, count) for heat, count in path)
    return Cascade(splits, seen, floor * scale**2, num_tokens, len(rows), error)


def _cooled(rows: Rows, num_tokens: int, first: float, lowest: float) -> tuple[list[Split], list[tuple[float, int]]]:
    """Splits and how many points there were, in the units of the rows."""
    state = _Points(rows.values.mean(axis=0, keepdims=True), np.array([num_tokens]))
    splits: list[Split] = []
    path: list[tuple[float, int]] = []
    heat = nearest = first  # the nearest critical temperature of a point of ``state``, at ``heat``
    while heat > lowest and len(state.numbers) < num_tokens:
        low, at_low = heat, state
        if nearest < heat:
            cooler = max(heat * _COOLING, lowest)
            moved = _settled(rows, state, cooler)
            coming = _next_to_split(rows, moved, cooler)[0]
            if coming < cooler:
                state, heat, nearest = moved, cooler, coming
                path.append((heat, len(state.numbers)))
                continue
            low, at_low = _parting(rows, (state, heat, nearest), (moved, cooler, coming))
            if _next_to_split(rows, at_low, low)[0] <= 0:  # those that would part have come together with others
                state, heat, nearest = moved, cooler, coming
                path.append((heat, len(state.numbers)))
                continue
        _, which, direction, share = _next_to_split(rows, at_low, low)
        several = int(at_low.numbers[which])
        # Every token gets a displacement of its own, so that what they do decides how many go to either side: among
        # skewed features, not halves.
        along = 0.1 * math.sqrt(low) * _displacements(several)[:, None] * direction
        apart = _Points(
            np.concatenate([at_low.places[:which], at_low.places[which] + along, at_low.places[which + 1 :]]),
            np.concatenate([at_low.numbers[:which], np.ones(several, int), at_low.numbers[which + 1 :]]),
        )
        heat = low * (1 - 2 * _PRECISION)
        state = _settled(rows, apart, heat)
        nearest = _next_to_split(rows, state, heat)[0]
        if len(state.numbers) > len(at_low.numbers):
            sides = _sides(state, at_low.places[which], direction, several)
            splits.append(Split(low, several, sides, share, at_low.places[which], len(state.numbers)))
        path.append((heat, len(state.numbers)))
    return splits, path


def _parting(
    rows: Rows, warmer: tuple[_Points, float, float], cooler: tuple[_Points, float, float]
) -> tuple[float, _Points]:
    """Where something parts between two temperatures, and the points at rest there.

    Its own critical temperature changes slowly with them: where it meets them is found by a straight line in
    logarithms.
    """
    (state, heat, nearest), (moved, cold, coming) = warmer, cooler
    above, below = math.log(nearest / heat), math.log(coming / cold)
    part = min(max(-above / (below - above), 0.0), 1.0)
    low = heat * (cold / heat) ** part
    if len(moved.numbers) == len(state.numbers):  # nothing has merged: points are about that far on their way
        state = state._replace(places=state.places + part * (moved.places - state.places))
    return low, _settled(rows, state, low)


def _displacements(several: int) -> np.ndarray:
    """Of tokens at one point `[several]`: random, the same every time, with mean 0."""
    values = np.random.default_rng(several).normal(size=several)
    return values - values.mean()


def _sides(state: _Points, origin: np.ndarray, direction: np.ndarray, several: int) -> tuple[int, int]:
    """How many of the tokens that were at a point are now on either side of it: those of the nearest points."""
    near = np.argsort(np.linalg.norm(state.places - origin, axis=1))
    sides, left = [0, 0], several
    for which in near:
        taken = min(int(state.numbers[which]), left)
        sides[int((state.places[which] - origin) @ direction < 0)] += taken
        left -= taken
    return sides[0], sides[1]


def _next_to_split(rows: Rows, state: _Points, heat: float) -> tuple[float, int, np.ndarray, float]:
    """The largest critical temperature of a point with several tokens, which one, its direction, its share."""
    weights = shares(rows, state.places, state.numbers, heat)
    best: tuple[float, int, np.ndarray, float] = (0.0, 0, np.zeros(rows.values.shape[1]), 0.0)
    for which in np.flatnonzero(state.numbers > 1):
        found, direction = _widest(rows.values, weights[which])
        if found > best[0]:
            best = (found, int(which), direction, float(weights[which].mean()))
    return best


def _settled(rows: Rows, state: _Points, heat: float) -> _Points:
    """Points at rest; those that have come together are one."""
    return _merged(_Points(settled(rows, state.places, state.numbers, heat), state.numbers), _NEAR * math.sqrt(heat))


def _merged(state: _Points, reach: float) -> _Points:
    places: list[np.ndarray] = []
    numbers: list[int] = []
    for place, number in zip(state.places, state.numbers, strict=True):
        near = [i for i, other in enumerate(places) if np.linalg.norm(place - other) <= reach]
        if near:
            numbers[near[0]] += int(number)
        else:
            places.append(place)
            numbers.append(int(number))
    return _Points(np.array(places), np.array(numbers))


def _widest(rows: np.ndarray, weights: np.ndarray) -> tuple[float, np.ndarray]:
    """`2 lambda_max` of the weighted covariance, and its direction."""
    total = weights.sum()
    if total <= 0:
        return 0.0, np.zeros(rows.shape[1])
    owned = weights > 1e-9 * weights.max()  # the others add nothing that a double can hold
    if not owned.all():
        rows, weights = rows[owned], weights[owned]
    away = (rows - weights @ rows / total) * np.sqrt(weights / total)[:, None]
    if min(away.shape) <= _FEW:
        values, vectors = np.linalg.eigh(away.T @ away) if away.shape[1] <= _FEW else np.linalg.eigh(away @ away.T)
        direction = vectors[:, -1] if away.shape[1] <= _FEW else away.T @ vectors[:, -1]
        length = float(np.linalg.norm(direction))
        return 2 * max(float(values[-1]), 0.0), direction / (length or 1.0)
    from scipy.sparse.linalg import LinearOperator, eigsh

    if not away.any():
        return 0.0, np.zeros(rows.shape[1])
    size = away.shape[1]
    covariance = LinearOperator((size, size), matvec=lambda v: away.T @ (away @ v), dtype=away.dtype)
    start = np.random.default_rng(0).normal(size=size).astype(away.dtype)
    found, vectors = eigsh(covariance, k=1, v0=start, tol=1e-5)
    return 2 * float(found[0]), vectors[:, 0]


def _leading(rows: np.ndarray, lowest: float) -> np.ndarray:
    """Directions that can part tokens at the lowest temperature `[D, A]`, at most ``MOST_DIRECTIONS``."""
    if rows.shape[1] <= rows.shape[0]:
        values, directions = np.linalg.eigh(rows.T @ rows / len(rows))
        values, directions = values[::-1], directions[:, ::-1]
    else:
        _, singular, directions = np.linalg.svd(rows, full_matrices=False)
        values, directions = singular**2 / len(rows), directions.T
    return directions[:, : int(np.clip((values > _SLAVED * lowest).sum(), 1, MOST_DIRECTIONS))]


def _sampling_error(rows: np.ndarray, direction: np.ndarray) -> float:
    """Relative standard error of the largest variance: that of a mean of squares along its direction."""
    squares = (rows @ direction) ** 2
    mean = squares.mean()
    return float(squares.std() / mean / math.sqrt(len(squares))) if mean > 0 else 0.0
