"""Bootstrap intervals from a key: of paired differences, and of values in groups. Compiled, memory bounded."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from tokdyn import keys
from tokdyn.checks import bad, choice, describe_array, is_concrete, whole_number
from tokdyn.stats.inputs import numbers, probability, rounding, samples

_ELEMENTS_PER_BLOCK = 2**20  # numbers drawn at a time: 8 MB
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
    differences: Any,
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
        key: a key.
        differences: `[..., n]`, n at least 2.
        num_resamples: how many.
        confidence: between 0 and 1.
        method: "percentile" or "bca".
        statistic: a jax function `[n] -> []`. Pass the same function object each time: a new lambda compiles anew.
        axis: the axis of the pairs.

    Returns:
        `BootstrapInterval`. Where all resamples give the same number, ``degenerate`` is True and both ends are it.

    Raises:
        ValueError: NaN, fewer than two pairs, another method, a statistic that is not one finite number.

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
        with jax.enable_x64(True):  # within this block only
            resampled = _compiled(_resample_pairs)(
                keys.for_purpose(key, "paired_bootstrap"),
                jnp.asarray(values),
                num=num_resamples,
                block=_block(values.size),
                statistic=statistic,
            )
            estimate, left_out = _compiled(_jackknife)(
                jnp.asarray(values), block=_block(values.size), statistic=statistic
            )
        distribution = np.sort(np.asarray(resampled).T, axis=-1)
        estimates = np.asarray(estimate)
        if not (np.isfinite(distribution).all() and np.isfinite(estimates).all()):
            raise bad("statistic", "a function with finite values", "NaN or infinity")
        levels = np.broadcast_to([tail, 1 - tail], (len(values), 2))
        if method == "bca":
            levels = special.ndtr(_bca_scores(distribution, estimates, np.asarray(left_out).T, tail))
        low, high = _quantiles(distribution, levels).T
        return estimates, distribution.std(axis=-1, ddof=1), low, high, distribution[:, -1] - distribution[:, 0]

    return _interval(_in_chunks(summarise, array, num_resamples), scale, shape)


def hierarchical_bootstrap(
    key: jax.Array,
    values: Any,
    mask: Any = None,
    *,
    num_resamples: int = 10_000,
    confidence: float = 0.95,
    weighting: str = "groups",
) -> BootstrapInterval:
    """Interval of a mean over nested data: resample the groups, then the items inside each drawn group.

    For repetitions inside seeds, frames inside videos: items of one group are alike, so that the number of groups
    limits what is known. Percentile interval. With few groups it is too narrow, as every bootstrap is: about by
    sqrt((G - 1) / G).

    Args:
        key: a key.
        values: `[..., groups, items]`, at least two groups; a masked value may be NaN.
        mask: booleans `[groups, items]`, True where there is an item; None means everywhere. A group without items
            is no group.
        num_resamples: how many.
        confidence: between 0 and 1.
        weighting: "groups" averages the groups' means (each group counts the same), "items" averages all drawn items.

    Returns:
        `BootstrapInterval`; ``degenerate`` where all resamples give the same number.

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
        with jax.enable_x64(True):  # within this block only
            resampled = _compiled(_resample_groups)(
                keys.for_purpose(key, "hierarchical_bootstrap"),
                jnp.asarray(chunk),
                jnp.asarray(counts),
                num=num_resamples,
                block=_block(chunk.size),
                by_group=weighting == "groups",
            )
        distribution = np.sort(np.asarray(resampled).T, axis=-1)
        low, high = _quantiles(distribution, np.broadcast_to([tail, 1 - tail], (len(chunk), 2))).T
        estimate = (chunk * weights).sum(axis=(-2, -1))
        return estimate, distribution.std(axis=-1, ddof=1), low, high, distribution[:, -1] - distribution[:, 0]

    scale = np.abs(packed).max(axis=(-2, -1)) * 8 * rounding(values)
    return _interval(_in_chunks(summarise, packed, num_resamples), scale, shape)


def _packed_groups(values: Any, mask: Any) -> tuple[np.ndarray, np.ndarray]:
    """Values with each group's items first and zeros after, groups without items gone; and the number of items."""
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


def _resample_pairs(key: jax.Array, values: jax.Array, *, num: int, block: int, statistic: Statistic) -> jax.Array:
    """Statistics `[num, T]` of resampled values `[T, n]`; resample i has a key of its own, whatever the block."""
    n = values.shape[-1]

    def one(index: jax.Array) -> jax.Array:
        drawn = _below(n, _bits(jax.random.fold_in(key, index), (n,)))
        return jax.vmap(statistic)(values[:, drawn])

    return _map_blocks(one, num, block)


def _jackknife(values: jax.Array, *, block: int, statistic: Statistic) -> tuple[jax.Array, jax.Array]:
    """The statistic `[T]`, and those without each observation in turn `[n, T]`."""
    n = values.shape[-1]
    estimate = jax.vmap(statistic)(values)
    if estimate.shape != values.shape[:1]:
        raise bad("statistic", "a function [n] -> []", f"a result of shape {estimate.shape[1:]}")

    def one(index: jax.Array) -> jax.Array:
        others = jnp.arange(n - 1)
        return jax.vmap(statistic)(values[:, others + (others >= index)])

    return estimate, _map_blocks(one, n, block)


def _resample_groups(
    key: jax.Array, values: jax.Array, counts: jax.Array, *, num: int, block: int, by_group: bool
) -> jax.Array:
    """Means `[num, T]` of resampled values `[T, G, I]`, of which the first counts `[G]` items of a group are there."""
    _, num_groups, num_items = values.shape

    def one(index: jax.Array) -> jax.Array:
        bits = _bits(jax.random.fold_in(key, index), (num_groups, 1 + num_items))
        group = _below(num_groups, bits[:, 0])
        count = counts[group][:, None]
        item = _below(count, bits[:, 1:])
        drawn = jnp.where(jnp.arange(num_items) < count, values[:, group[:, None], item], 0.0)
        if by_group:
            return (drawn.sum(axis=-1) / count[:, 0]).mean(axis=-1)
        return drawn.sum(axis=(-2, -1)) / count.sum()

    return _map_blocks(one, num, block)


def _bits(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    return jax.random.bits(key, shape, dtype=jnp.uint32)


def _below(count: jax.Array | int, bits: jax.Array) -> jax.Array:
    """Integers below count out of 32 random bits each: uneven by less than count / 2^32, half the cost of `randint`."""
    scaled = bits.astype(jnp.uint64) * jnp.asarray(count).astype(jnp.uint64)
    return (scaled >> 32).astype(jnp.int32)


def _map_blocks(one: Callable[[jax.Array], jax.Array], num: int, block: int) -> jax.Array:
    """``one(0), ..., one(num - 1)``, a block at a time; a short last block is filled up: one body to compile."""
    block = min(block, num)
    return jax.lax.map(one, jnp.arange(-(-num // block) * block), batch_size=block)[:num]


def _bca_scores(distribution: np.ndarray, estimate: np.ndarray, left_out: np.ndarray, tail: float) -> np.ndarray:
    """Normal scores `[T, 2]` of the corrected levels, for a distribution `[T, R]` and a jackknife `[T, n]`."""
    from scipy import special

    num = distribution.shape[-1]
    slack = 1e-12 * np.abs(distribution).max(axis=-1, keepdims=True)  # the same sum in another order is a tie
    below = (distribution < estimate[:, None] - slack).mean(axis=-1)
    below_or_equal = (distribution <= estimate[:, None] + slack).mean(axis=-1)
    # Half a resample away from the ends: an infinite z0 would put both ends on one point.
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
    """``summarise`` over equal chunks of tests, so that only so many resampled statistics are held at once."""
    size = min(len(values), max(1, _ELEMENTS_PER_DISTRIBUTION // num_resamples))
    padding = np.repeat(values[-1:], -len(values) % size, axis=0)  # a short last chunk would compile again
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


def _block(elements: int) -> int:
    return int(np.clip(_ELEMENTS_PER_BLOCK // elements, 1, 512))


@functools.cache
def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compiled once, on first use; its keyword-only arguments choose the program."""
    parameters = inspect.signature(function).parameters.values()
    return jax.jit(function, static_argnames=[each.name for each in parameters if each.kind is each.KEYWORD_ONLY])
