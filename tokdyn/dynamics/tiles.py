"""What attraction computes from all features: sums weighted by the softmax over tokens, and the assignment itself.

With tiles, the weights of one tile are computed and summed before the next is read, so that a step reads each feature
once and never holds an `[N, K]` array. ``arrangement`` decides how features are stored.

Lengths are in units of a scale at which squares stay within the dtype (``Frame``).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from tokdyn import environment
from tokdyn.dynamics.arrangement import Columns, Cut, Frame, Rows, Summed, product
from tokdyn.numerics import row_sums

# Distances beyond this multiple of the features' scale are clipped to it, so that their squares stay finite.
FAR = 1e15
# Two differently rounded evaluations of the same logit differ by less than this, far inside the range of exp.
ROUNDING = 64.0
# In an assignment, logits from products may typically be off by this much; beyond it, differences are used.
TOLERATED = 2e-3

# Number of differences [rows, K, D] held at a time.
MOST_GAPS = 1 << 18
# Up to this dimension squared distances are summed component by component, in one loop, in every arrangement.
FEW_DIMENSIONS = 8
# Number of weights `[K, N]` that fit into a cache.
MOST_WEIGHTS = 1 << 21


def logits_of_tokens(
    moved: jax.Array, spread: jax.Array, width: jax.Array, exists: jax.Array | None
) -> tuple[jax.Array, jax.Array]:
    """Factor and bias of the logits: applied to a feature they give `-|x - s|^2 / T`, up to a term of the feature only.

    The temperature divides tokens, `[K, D]`, instead of scores, `[K, N]`. A logit of the tokens that matter to a
    feature, which are at most `2 spread + nearest` from the centre, is rounded by
    `D eps (3 spread + nearest)^2 / T` at most. Where that is more than the exponential can take (a compiler may
    compute a logit twice, once for the maximum, and round differently), the temperature is raised to what the
    products can resolve.

    Args:
        moved: tokens relative to the features' centre `[K, D]`.
        spread: the largest distance of a feature from the centre `[]`.
        width: square root of the temperature `[]`.
        exists: which tokens exist `[K]`, or None for all.

    Returns:
        ``(pull, bias)``: `[K, D]`, and `[K]`, which is 0 for the token nearest to the centre and -1e30 if masked.
    """
    dimension = moved.shape[1]
    moved = jnp.clip(moved, -(FAR**2), FAR**2)
    distances = jnp.max(jnp.abs(jax.lax.stop_gradient(moved)), axis=1)
    nearest = dimension**0.5 * jnp.min(distances, initial=FAR**2, where=exists)
    resolved = (dimension * float(jnp.finfo(moved.dtype).eps) / ROUNDING) ** 0.5 * (3.0 * spread + nearest)
    width = jnp.maximum(jnp.maximum(width, resolved), 1.0 / FAR)
    relative = jnp.clip(moved / width, -FAR, FAR)
    squared = row_sums(relative * relative)
    bias = jax.lax.stop_gradient(jnp.min(squared, initial=jnp.inf, where=exists)) - squared
    if exists is not None:
        bias = jnp.where(exists, bias, -(FAR**2))  # finite, so that no 0 * inf can arise, in values or in gradients
    return relative * (2.0 / width), bias


def sums_by_products(
    features: Columns | Rows | Summed, frame: Frame, pull: jax.Array, bias: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Sums of the centred features, weighted by the softmax over tokens `[K, D]`, and sums of the weights `[K]`."""
    if isinstance(features, Columns):
        columns = features.values
        if _divides_features(pull.shape[0], columns.shape[1], pull.shape[1]):
            weights, totals = _unnormalised(product(pull, columns[:-1]) + bias[:, None], axis=0)
            if pull.shape[1] % 8 == 0:  # one more column would cost as much as eight
                shares = columns[-1] / totals[0]
                return product(weights, (columns[:-1] * shares).T), product(weights, shares)
            sums = product(weights, (columns * (1.0 / totals)).T)
        else:
            weights = _softmax(product(jnp.concatenate([pull, bias[:, None]], axis=1), columns), axis=0)
            sums = product(weights, columns.T)
        return sums[:, :-1], sums[:, -1]  # the row of ones gives the mass
    return _sums_of_rows(features, frame, (pull, bias), centred=True)


def sums_by_differences(
    features: Columns | Rows | Summed, frame: Frame, tokens: jax.Array, width: jax.Array, exists: jax.Array | None
) -> tuple[jax.Array, jax.Array]:
    """Sums of (feature - token), weighted by the softmax over tokens `[K, D]`, and sums of the weights `[K]`."""
    if isinstance(features, Columns):
        tokens = jnp.clip(tokens, -FAR, FAR)
        gaps = features.values[:-1] - tokens[:, :, None]  # [K, D, N]
        weights = softmax_of_distances(jnp.sum(gaps * gaps, axis=1), width, exists, tokens.shape[1])
        weights = weights * features.values[-1]
        return jnp.sum(weights[:, None, :] * gaps, axis=2), jnp.sum(weights, axis=1)
    return _sums_of_rows(features, frame, (tokens, width, exists), centred=False)


def _sums_of_rows(
    features: Rows | Summed, frame: Frame, operands: Any, *, centred: bool
) -> tuple[jax.Array, jax.Array]:
    if isinstance(features, Summed):
        return features.sums, features.mass
    cut = features.cut(operands[0].shape[0])
    if cut.size is None:
        return _sums_of_piece(features.values, features.kept, operands, centred=centred, tokens_last=cut.tokens_last)
    num_tokens, dimension = operands[0].shape
    nothing = jnp.zeros((num_tokens, dimension), frame.centre.dtype), jnp.zeros(num_tokens, frame.centre.dtype)
    return added_up(nothing, features.values, features.kept, frame, operands, centred=centred, cut=cut)


def added_up(
    total: tuple[jax.Array, jax.Array],
    rows: jax.Array,
    kept: jax.Array | None,
    frame: Frame,
    operands: Any,
    *,
    centred: bool,
    cut: Cut,
) -> tuple[jax.Array, jax.Array]:
    """Add the sums and masses of more rows to a running total, tile by tile and in order.

    Args:
        total: the running total, ``(sums [K, D], masses [K])``.
        rows: features in their original units `[n, D]`.
        kept: which rows are not masked `[n]`, or None for all.
        frame: the frame of all features.
        operands: the arguments after the frame of ``sums_by_products`` if centred, else of ``sums_by_differences``.
        centred: whether to use products instead of differences (static).
        cut: how rows are read; its tile size must be set (static).
    """
    assert cut.size is not None

    def tile(rows_and_kept: Any, frame: Frame, operands: Any) -> tuple[jax.Array, jax.Array]:
        rows, kept = rows_and_kept
        rows = frame.of(rows, centred=centred)
        rows = rows if kept is None else jnp.where(kept[:, None], rows, 0.0)
        return _sums_of_piece(rows, kept, operands, centred=centred, tokens_last=cut.tokens_last)

    def all_tiles(tiles: Tiles, total: Any, frame: Frame, operands: Any) -> tuple[jax.Array, jax.Array]:
        def more(total: Any, number_or_tile: Any) -> tuple[Any, None]:
            return jax.tree.map(jnp.add, total, tile(tiles.read(number_or_tile), frame, operands)), None

        total, _ = jax.lax.scan(more, total, tiles.each)
        if tiles.rest[0].shape[0] == 0:
            return total
        return jax.tree.map(jnp.add, total, tile(tiles.rest, frame, operands))

    return _in_tiles(all_tiles, cut.size)((rows, kept), total, frame, operands)


def _sums_of_piece(
    rows: jax.Array, kept: jax.Array | None, operands: Any, *, centred: bool, tokens_last: bool
) -> tuple[jax.Array, jax.Array]:
    """Sums and masses of framed rows in one piece."""
    if not centred:
        kept = jnp.ones(rows.shape[0], bool) if kept is None else kept
        sums = _in_few_rows(lambda both: _sums_of_few(*both, *operands), (rows, kept), operands[0].size)
        return jax.tree.map(lambda x: jnp.sum(x, axis=0), sums)
    pull, bias = operands
    if tokens_last:
        weights = _softmax(product(rows, pull.T) + bias, axis=1)
        weights = weights if kept is None else jnp.where(kept[:, None], weights, 0.0)
        return product(weights.T, rows), jnp.sum(weights, axis=0)
    weights = _softmax(_contracted(pull, rows) + bias[:, None], axis=0)
    weights = weights if kept is None else jnp.where(kept, weights, 0.0)
    return product(weights, rows), jnp.sum(weights, axis=1)


def _sums_of_few(
    rows: jax.Array, kept: jax.Array, tokens: jax.Array, width: jax.Array, exists: jax.Array | None
) -> tuple[jax.Array, jax.Array]:
    gaps = rows[:, None, :] - jnp.clip(tokens, -FAR, FAR)  # [rows, K, D]
    weights = softmax_of_distances(jnp.sum(gaps * gaps, axis=2).T, width, exists, tokens.shape[1])
    weights = jnp.where(kept, weights, 0.0)
    return jnp.sum(weights.T[:, :, None] * gaps, axis=0), jnp.sum(weights, axis=1)


def _in_few_rows(function: Callable[[Any], Any], rows: Any, numbers_each: int) -> Any:
    """Apply a function to a few rows at a time, so that intermediate results stay in cache, and stack the results.

    The last rows are padded with zeros. This matters because XLA on CPU holds differences `[rows, K, D]` as a whole.
    """
    num_rows = jax.tree.leaves(rows)[0].shape[0]
    size = num_rows if jax.default_backend() != "cpu" else max(1, min(num_rows, MOST_GAPS // numbers_each))
    missing = -num_rows % size

    def cut(x: jax.Array) -> jax.Array:
        filled = jnp.concatenate([x, jnp.zeros((missing, *x.shape[1:]), x.dtype)]) if missing else x
        return filled.reshape(-1, size, *x.shape[1:])

    return jax.lax.map(function, jax.tree.map(cut, rows))


class Tiles(NamedTuple):
    """Arrays with one row per feature, cut into tiles.

    Attributes:
        each: the elements that a loop iterates over.
        read: returns a tile's rows of all arrays, given an element of ``each``.
        rest: the remaining rows, fewer than a tile and possibly none.
    """

    each: Any
    read: Callable[[Any], Any]
    rest: Any


def _in_tiles(function: Callable[..., Any], size: int) -> Callable[..., Any]:
    """Turn a function of ``Tiles`` and other arguments into a function of arrays and these arguments.

    Tiles are sliced from the arrays without a copy. In reverse mode every slice would add up a gradient of all
    features; there, tiles are stacked instead, which copies if the tile size does not divide the number of rows.
    """

    def sliced(arrays: Any, *others: Any) -> Any:
        count = jax.tree.leaves(arrays)[0].shape[0] // size
        if count == 0:
            return stacked(arrays, *others)
        cut = lambda start: jax.tree.map(lambda x: jax.lax.dynamic_slice_in_dim(x, start, size), arrays)  # noqa: E731
        rest = jax.tree.map(lambda x: x[count * size :], arrays)
        return function(Tiles(jnp.arange(count) * size, cut, rest), *others)

    def stacked(arrays: Any, *others: Any) -> Any:
        inside = jax.tree.leaves(arrays)[0].shape[0] // size * size
        each = jax.tree.map(lambda x: x[:inside].reshape(-1, size, *x.shape[1:]), arrays)
        rest = jax.tree.map(lambda x: x[inside:], arrays)
        return function(Tiles(each, lambda tile: tile, rest), *others)

    return _with_slope_of(stacked, sliced)


def _with_slope_of(differentiable: Callable[..., Any], function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, with the derivative of another one that computes the same values."""
    # As in solve.lanes: custom_vmap alone would hide from reverse mode which parts are known.
    called = jax.custom_jvp(function)
    called.defjvp(lambda primals, tangents: jax.jvp(differentiable, primals, tangents))
    return called


def assigned(
    features: jax.Array,
    layout: Columns | Rows,
    frame: Frame,
    tokens: jax.Array,
    width: jax.Array,
    exists: jax.Array | None,
    *,
    centred: bool,
    hard: bool = False,
) -> jax.Array:
    """The soft assignment `[N, K]`, or the nearest token of each feature `[N]`.

    If the layout is centred for products, products are used as long as their rounding error is far below the
    temperature; otherwise every squared distance is computed from the difference itself.

    Args:
        features: features in their original units `[N, D]`.
        layout: what ``arranged`` returned for them.
        frame: the frame of the features.
        tokens: tokens in units of the scale `[K, D]`.
        width: square root of the temperature, in units of the scale `[]`.
        exists: which tokens exist `[K]`, or None for all.
        centred: as in ``arranged`` (static).
        hard: whether to return only the nearest token, which has no gradient (static).
    """
    if hard:
        features, layout, frame, tokens, width = jax.lax.stop_gradient((features, layout, frame, tokens, width))
    dimension = features.shape[1]
    if isinstance(layout, Columns) or dimension <= FEW_DIMENSIONS:
        columns, near = features.T * (1.0 / frame.scale), jnp.clip(tokens, -FAR, FAR)
        squared = jnp.asarray(sum((columns[d] - near[:, d, None]) ** 2 for d in range(dimension)))  # [K, N], one loop
        if hard:
            return _nearest(squared, exists)
        return softmax_of_distances(squared, width, exists, dimension).T
    given = (features, layout, frame, jnp.clip(tokens, -(FAR**2), FAR**2), width, exists)
    by_products, by_differences = (functools.partial(form, hard=hard) for form in (_by_products, _by_differences))
    if not centred:
        return by_differences(given)

    def chosen(given: Any) -> jax.Array:
        *_, frame, tokens, width, exists = given
        off = jnp.max(jnp.abs(jax.lax.stop_gradient(tokens) - frame.centre), axis=1)
        reach = 2.0 * frame.spread + dimension**0.5 * jnp.min(off, initial=FAR**2, where=exists)
        rounding = (dimension**0.5 * float(jnp.finfo(tokens.dtype).eps) / TOLERATED) ** 0.5 * reach
        return jax.lax.cond(rounding <= width, by_products, by_differences, given)

    return _one_by_one(chosen)(given)


def _by_products(given: Any, *, hard: bool) -> jax.Array:
    _, layout, frame, tokens, width, exists = given
    if hard:  # any finite temperature has the same nearest token
        width = jnp.minimum(width, 1.0 + frame.spread)
    pull, bias = logits_of_tokens(tokens - frame.centre, frame.spread, width, exists)

    def piece(rows: jax.Array, pull: jax.Array, bias: jax.Array) -> jax.Array:
        logits = product(rows, pull.T) + bias
        return jnp.argmax(logits, axis=1).astype(jnp.int32) if hard else _softmax(logits, axis=1)

    size = layout.cut(tokens.shape[0]).size
    if size is None:
        return piece(layout.values, pull, bias)

    def framed_piece(rows: jax.Array, frame: Frame, pull: jax.Array, bias: jax.Array) -> jax.Array:
        return piece(frame.of(rows, centred=True), pull, bias)

    return _row_by_row(framed_piece, layout.values, (frame, pull, bias), size)


def _by_differences(given: Any, *, hard: bool) -> jax.Array:
    features, layout, frame, tokens, width, exists = given

    def piece(rows: jax.Array, frame: Frame, near: jax.Array, width: jax.Array, exists: Any) -> jax.Array:
        def few(rows: jax.Array) -> jax.Array:
            gaps = frame.of(rows, centred=False)[:, None, :] - near  # [rows, K, D]
            squared = jnp.sum(gaps * gaps, axis=2).T
            if hard:
                return _nearest(squared, exists)
            return softmax_of_distances(squared, width, exists, rows.shape[1]).T

        found = _in_few_rows(few, rows, near.size)
        return found.reshape(-1, *found.shape[2:])[: rows.shape[0]]

    operands = (frame, jnp.clip(tokens, -FAR, FAR), width, exists)
    size = layout.cut(tokens.shape[0]).size
    return piece(features, *operands) if size is None else _row_by_row(piece, features, operands, size)


def _nearest(squared: jax.Array, exists: jax.Array | None) -> jax.Array:
    """The nearest existing token of each feature `[N]`, from squared distances `[K, N]`."""
    if exists is not None:
        squared = jnp.where(exists[:, None], squared, jnp.inf)
    return jnp.argmin(squared, axis=0).astype(jnp.int32)


def _row_by_row(piece: Callable[..., jax.Array], features: jax.Array, operands: Any, size: int) -> jax.Array:
    """Apply a function of rows and operands to all rows, tile by tile."""

    def all_tiles(tiles: Tiles, operands: Any) -> jax.Array:
        def one(total: None, number_or_tile: Any) -> tuple[None, jax.Array]:
            return total, piece(tiles.read(number_or_tile), *operands)

        _, found = jax.lax.scan(one, None, tiles.each)
        joined = found.reshape(-1, *found.shape[2:])
        return joined if tiles.rest.shape[0] == 0 else jnp.concatenate([joined, piece(tiles.rest, *operands)])

    return _in_tiles(all_tiles, size)(features, operands)


def _one_by_one(function: Callable[[Any], jax.Array]) -> Callable[[Any], jax.Array]:
    """The function, with a vmap that loops on CPU: under a plain vmap a condition computes both of its branches."""
    if jax.default_backend() != "cpu":
        return function
    return _with_slope_of(function, jax.custom_batching.sequential_vmap(function))


def _divides_features(num_tokens: int, num_features: int, dimension: int) -> bool:
    """Whether to normalise by dividing the features instead of the weights, which are more numerous.

    With jaxlib 0.12 this was up to twice as fast, with 0.10 no faster; it was half as fast for one-dimensional features
    whose weights fill the cache.
    """
    is_newer = environment.jaxlib_release() >= (0, 11) and jax.default_backend() == "cpu"
    return is_newer and (dimension > 1 or num_tokens * num_features <= MOST_WEIGHTS)


def _softmax(logits: jax.Array, axis: int) -> jax.Array:
    """Softmax over tokens of logits whose rounding error is below ``ROUNDING``."""
    weights, totals = _unnormalised(logits, axis)
    return weights / totals


def _unnormalised(logits: jax.Array, axis: int) -> tuple[jax.Array, jax.Array]:
    """Weights whose largest value for each feature is near 1, and their sums over tokens (an axis of length 1)."""
    weights = jnp.exp(logits - jax.lax.stop_gradient(jnp.max(logits, axis=axis, keepdims=True)))
    return weights, jnp.sum(weights, axis=axis, keepdims=True)


def softmax_of_distances(squared: jax.Array, width: jax.Array, exists: jax.Array | None, dimension: int) -> jax.Array:
    """Weights `[K, N]`: the softmax over tokens of `-|x - s|^2 / T`, given squared distances `[K, N]`."""
    if exists is not None:
        squared = jnp.where(exists[:, None], squared, FAR**2 * dimension)
    nearest = jax.lax.stop_gradient(jnp.min(squared, axis=0))
    # As in logits_of_tokens, but for each feature: what can be resolved depends only on the distance.
    limits = jnp.finfo(squared.dtype)
    rounding = (dimension + 2) * float(limits.eps) / ROUNDING
    resolved = jnp.maximum(rounding * nearest, float(limits.tiny))
    weights = jnp.exp((nearest - squared) / jnp.maximum(width * width, resolved))
    if exists is not None:
        weights = jnp.where(exists[:, None], weights, 0.0)
    return weights / jnp.sum(weights, axis=0)


def _contracted(left: jax.Array, rows: jax.Array) -> jax.Array:
    """`[K, D]` times the transpose of rows `[N, D]`, without forming the transpose."""
    return jax.lax.dot_general(left, rows, (((1,), (1,)), ((), ())), precision=jax.lax.Precision.HIGHEST)
