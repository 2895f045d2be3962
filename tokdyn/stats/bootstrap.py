"""Bootstrap intervals of paired differences and of grouped values, drawn from a key, with bounded memory.

The draws come from one program for all samples of similar size. Means are computed by NumPy, which is as fast and
compiles nothing; only a user-defined statistic is compiled.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from tokdyn import keys
from tokdyn.checks import bad, choice, describe_array, is_concrete, whole_number
from tokdyn.stats.bits import blocks_of_bits, per_block
from tokdyn.stats.inputs import numbers, probability, rounding, samples

_ELEMENTS_PER_DISTRIBUTION = 2**24  # resampled statistics held at a time: 128 MB

Statistic = Callable[[jax.Array], jax.Array]


class BootstrapInterval(NamedTuple):
    """Every field has the leading shape of the input."""

    estimate: np.ndarray
    standard_error: np.ndarray
    low: np.ndarray
    high: np.ndarray
    degenerate: np.ndarray


def paired_bootstrap(
    key: jax.Array,
    differences: ArrayLike,
    *,
    num_resamples: int = 10_000,
    confidence: float = 0.95,
    method: str = "percentile",
    statistic: Statistic = jnp.mean,
    axis: int = -1,
) -> BootstrapInterval:
    """Interval of a statistic of paired differences, by resampling the pairs with replacement.

    "percentile" takes the alpha/2 and 1 - alpha/2 quantiles of the resampled statistics. "bca" moves those levels to
    Phi(z0 + (z0 + z) / (1 - a (z0 + z))), where z0 corrects the bias (from the share of resamples below the estimate)
    and a the skewness (from the jackknife).

    All tests of the family see the same resampled pairs. Sums are in float64 on every device that has it.

    Args:
        key: a JAX key.
        differences: paired differences `[..., n]`, n at least 2.
        num_resamples: number of resamples.
        confidence: confidence level, between 0 and 1.
        method: "percentile" or "bca".
        statistic: a JAX function `[n] -> []`. Pass the same function object each time, since a new lambda recompiles.
        axis: the axis of the pairs.

    Returns:
        `BootstrapInterval`. If all resamples give the same number, ``degenerate`` is True and both ends are that
        number.

    Raises:
        ValueError: NaN, fewer than two pairs, an unknown method, or a statistic that is not one finite number.

    References:
        Efron (1987), Better bootstrap confidence intervals. J. Am. Stat. Assoc. 82, 171-185.

    Example:
        >>> import jax
        >>> from tokdyn.stats import paired_bootstrap
        >>> interval = paired_bootstrap(jax.random.key(0), [0.1, 0.3, 0.2, 0.4], num_resamples=999)
        >>> bool(0.1 < interval.low < interval.estimate < interval.high < 0.4)
        True
    """
    from scipy import special

    array = samples("differences", differences, axis=axis)
    num_resamples = whole_number("num_resamples", num_resamples, at_least=2)
    tail = (1 - probability("confidence", confidence)) / 2
    choice("method", method, ("percentile", "bca"))
    shape, n = array.shape[:-1], array.shape[-1]
    array = array.reshape(-1, n)
    scale = np.abs(array).max(axis=-1) * 8 * rounding(differences)

    def summarise(values: np.ndarray) -> tuple[np.ndarray, ...]:
        distribution = np.sort(_resampled(key, values, num_resamples, statistic, purpose="paired_bootstrap"), axis=-1)
        estimates = _statistics(values, np.arange(n)[None], statistic)[:, 0]
        if not (np.isfinite(distribution).all() and np.isfinite(estimates).all()):
            raise bad("statistic", "a function with finite values", "NaN or infinity")
        levels = np.broadcast_to([tail, 1 - tail], (len(values), 2))
        if method == "bca":
            levels = special.ndtr(_bca_scores(distribution, estimates, _left_out(values, statistic), tail))
        low, high = _quantiles(distribution, levels).T
        return estimates, distribution.std(axis=-1, ddof=1), low, high, distribution[:, -1] - distribution[:, 0]

    return _interval(_in_chunks(summarise, array, num_resamples), scale, shape)


def hierarchical_bootstrap(
    key: jax.Array,
    values: ArrayLike,
    mask: ArrayLike | None = None,
    *,
    num_resamples: int = 10_000,
    confidence: float = 0.95,
    weighting: str = "groups",
) -> BootstrapInterval:
    """Interval of a mean over nested data: resample the groups, then the items inside each drawn group.

    Use it for repetitions within seeds, or frames within videos: items of a group resemble each other, so that the
    number of groups limits the precision. The interval is a percentile interval. With few groups it is too narrow, as
    for every bootstrap, by about sqrt((G - 1) / G).

    Args:
        key: a JAX key.
        values: `[..., groups, items]`, at least two groups; a masked value may be NaN.
        mask: booleans `[groups, items]`, True for items that exist; None means all of them. Groups without items are
            ignored.
        num_resamples: number of resamples.
        confidence: confidence level, between 0 and 1.
        weighting: "groups" averages the groups' means (each group counts the same), "items" averages all drawn items.

    Returns:
        `BootstrapInterval`; ``degenerate`` if all resamples give the same number.

    Raises:
        ValueError: NaN in an item, fewer than two groups, a mask of another shape.

    References:
        Davison and Hinkley (1997), Bootstrap Methods and their Application, section 3.8.

    Example:
        >>> import jax
        >>> from tokdyn.stats import hierarchical_bootstrap
        >>> groups = [[0.1, 0.2, 0.3], [0.5, 0.6, 0.7], [0.2, 0.3, 0.4]]
        >>> interval = hierarchical_bootstrap(jax.random.key(0), groups, num_resamples=999)
        >>> round(float(interval.estimate), 4), bool(interval.low < 0.3 and interval.high > 0.4)
        (0.3667, True)
    """
    num_resamples = whole_number("num_resamples", num_resamples, at_least=2)
    tail = (1 - probability("confidence", confidence)) / 2
    choice("weighting", weighting, ("groups", "items"))
    packed, counts = _packed_groups(values, mask)
    shape = packed.shape[:-2]
    packed = packed.reshape(-1, *packed.shape[-2:])
    inside = np.arange(packed.shape[-1]) < counts[:, None]
    weights = inside / (counts[:, None] * len(counts)) if weighting == "groups" else inside / counts.sum()

    def summarise(chunk: np.ndarray) -> tuple[np.ndarray, ...]:
        drawn = _resampled_groups(key, chunk, counts, num_resamples, by_group=weighting == "groups")
        distribution = np.sort(drawn, axis=-1)
        low, high = _quantiles(distribution, np.broadcast_to([tail, 1 - tail], (len(chunk), 2))).T
        estimate = (chunk * weights).sum(axis=(-2, -1))
        return estimate, distribution.std(axis=-1, ddof=1), low, high, distribution[:, -1] - distribution[:, 0]

    scale = np.abs(packed).max(axis=(-2, -1)) * 8 * rounding(values)
    return _interval(_in_chunks(summarise, packed, num_resamples), scale, shape)


def _packed_groups(values: Any, mask: Any) -> tuple[np.ndarray, np.ndarray]:
    """Values with the items of each group first, padded with zeros, without empty groups; and the numbers of items."""
    if not is_concrete(values):
        raise bad("values", "numbers known now (statistics run outside jit)", "a traced array")
    array = np.asarray(values)
    if array.ndim < 2 or array.size == 0:
        raise bad("values", "an array [..., groups, items]", describe_array(array))
    kept = np.ones(array.shape[-2:], dtype=bool) if mask is None else np.asarray(mask)
    if kept.shape != array.shape[-2:] or kept.dtype != np.bool_:
        raise bad("mask", f"booleans [groups, items] of shape {array.shape[-2:]}", describe_array(kept))
    array = numbers("values", np.where(kept, array, np.zeros((), array.dtype)))
    order = np.argsort(~kept, axis=-1, kind="stable")
    array = np.take_along_axis(array, np.broadcast_to(order, array.shape), axis=-1)
    counts = kept.sum(axis=-1)
    if (counts > 0).sum() < 2:
        raise bad("values", "at least two groups with items", int((counts > 0).sum()))
    return array[..., counts > 0, :], counts[counts > 0]


def _resampled(key: jax.Array, values: np.ndarray, num: int, statistic: Statistic, *, purpose: str) -> np.ndarray:
    """Statistics `[T, num]` of resampled values `[T, n]`."""
    n = values.shape[-1]
    # A user-defined statistic is applied to all tests of a block at once.
    size = n if _is_mean(statistic) else values.size
    blocks = blocks_of_bits(keys.for_purpose(key, purpose), n, num, size=size)
    return np.concatenate([_statistics(values, _below(n, bits), statistic) for bits in blocks], axis=-1)[:, :num]


def _left_out(values: np.ndarray, statistic: Statistic) -> np.ndarray:
    """Statistics `[T, n]` of values `[T, n]`, leaving out each observation in turn."""
    n, others = values.shape[-1], np.arange(values.shape[-1] - 1)
    block = min(n, per_block(n if _is_mean(statistic) else values.size))
    parts = []
    for first in range(0, n, block):  # the last block may pass the end, because the shape is fixed by the program
        left = np.arange(first, first + block)[:, None]
        parts.append(_statistics(values, others + (others >= left), statistic))
    return np.concatenate(parts, axis=-1)[:, :n]


def _statistics(values: np.ndarray, drawn: np.ndarray, statistic: Statistic) -> np.ndarray:
    """Statistics `[T, R]` of the values `[T, n]` at drawn positions `[R, m]`."""
    if _is_mean(statistic):
        return np.stack([row[drawn].mean(axis=-1) for row in values])
    with jax.enable_x64(True):  # within this block only
        return np.asarray(_compiled(_every)(jnp.asarray(values), jnp.asarray(drawn), statistic=statistic))


def _is_mean(statistic: Statistic) -> bool:
    return statistic is jnp.mean or statistic is np.mean


def _every(values: jax.Array, drawn: jax.Array, *, statistic: Statistic) -> jax.Array:
    found = jax.vmap(lambda row: jax.vmap(lambda places: statistic(row[places]))(drawn))(values)
    if found.shape != (len(values), len(drawn)):
        raise bad("statistic", "a function [n] -> []", f"a result of shape {found.shape[2:]}")
    return found


def _resampled_groups(
    key: jax.Array, values: np.ndarray, counts: np.ndarray, num: int, *, by_group: bool
) -> np.ndarray:
    """Means `[T, num]` of resampled values `[T, G, I]`, where only the first ``counts[G]`` items of a group exist."""
    _, num_groups, num_items = values.shape
    width = num_groups * (1 + num_items)
    parts = []
    for flat in blocks_of_bits(keys.for_purpose(key, "hierarchical_bootstrap"), width, num, size=width):
        bits = flat.reshape(-1, num_groups, 1 + num_items)
        group = _below(num_groups, bits[..., 0])
        count = counts[group]
        place = group[..., None] * num_items + _below(count[..., None], bits[..., 1:])
        there = np.arange(num_items) < count[..., None]
        rows = []
        for row in values.reshape(len(values), -1):
            sums = np.where(there, row[place], 0.0).sum(axis=-1)
            rows.append((sums / count).mean(axis=-1) if by_group else sums.sum(axis=-1) / count.sum(axis=-1))
        parts.append(np.stack(rows))
    return np.concatenate(parts, axis=-1)[:, :num]


def _below(count: np.ndarray | int, bits: np.ndarray) -> np.ndarray:
    """Integers below count from 32 random bits each; they deviate from uniform by less than count / 2^32."""
    return (bits.astype(np.uint64) * np.asarray(count, np.uint64) >> np.uint64(32)).astype(np.intp)


def _bca_scores(distribution: np.ndarray, estimate: np.ndarray, left_out: np.ndarray, tail: float) -> np.ndarray:
    """Normal scores `[T, 2]` of the corrected levels, for a distribution `[T, R]` and a jackknife `[T, n]`."""
    from scipy import special

    num = distribution.shape[-1]
    slack = 1e-12 * np.abs(distribution).max(axis=-1, keepdims=True)  # equal sums in different orders count as ties
    below = (distribution < estimate[:, None] - slack).mean(axis=-1)
    below_or_equal = (distribution <= estimate[:, None] + slack).mean(axis=-1)
    # Stay half a resample away from the ends: an infinite z0 would make both ends of the interval equal.
    share = np.clip((below + below_or_equal) / 2, 0.5 / num, 1 - 0.5 / num)
    bias = special.ndtri(share)
    deviation = left_out.mean(axis=-1, keepdims=True) - left_out
    squares = (deviation**2).sum(axis=-1)
    skewness = (deviation**3).sum(axis=-1) / np.where(squares > 0, squares, 1.0) ** 1.5 / 6
    score = bias[:, None] + special.ndtri(np.array([tail, 1 - tail]))
    return bias[:, None] + score / (1 - skewness[:, None] * score)


def _quantiles(ordered: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Quantiles `[T, L]` by linear interpolation, each row at its own levels; ``ordered`` `[T, R]` is sorted."""
    position = levels * (ordered.shape[-1] - 1)
    lower = np.floor(position).astype(int)
    upper = np.minimum(lower + 1, ordered.shape[-1] - 1)
    left, right = np.take_along_axis(ordered, lower, -1), np.take_along_axis(ordered, upper, -1)
    return left + (position - lower) * (right - left)


def _in_chunks(
    summarise: Callable[[np.ndarray], tuple[np.ndarray, ...]], values: np.ndarray, num_resamples: int
) -> list[np.ndarray]:
    """``summarise`` over equal chunks of tests, which limits how many resampled statistics are held at once."""
    size = min(len(values), max(1, _ELEMENTS_PER_DISTRIBUTION // num_resamples))
    padding = np.repeat(values[-1:], -len(values) % size, axis=0)  # a shorter last chunk would recompile
    padded = np.concatenate([values, padding])
    parts = [summarise(padded[start : start + size]) for start in range(0, len(padded), size)]
    return [np.concatenate(column)[: len(values)] for column in zip(*parts, strict=True)]


def _interval(columns: list[np.ndarray], scale: np.ndarray, shape: tuple[int, ...]) -> BootstrapInterval:
    estimate, standard_error, low, high, spread = columns
    degenerate = spread <= scale
    return BootstrapInterval(
        estimate=estimate.reshape(shape),
        standard_error=np.where(degenerate, 0.0, standard_error).reshape(shape),
        low=np.where(degenerate, estimate, low).reshape(shape),
        high=np.where(degenerate, estimate, high).reshape(shape),
        degenerate=degenerate.reshape(shape),
    )


@functools.cache
def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, compiled once on first use; its keyword-only arguments select the program."""
    parameters = inspect.signature(function).parameters.values()
    return jax.jit(function, static_argnames=[each.name for each in parameters if each.kind is each.KEYWORD_ONLY])
