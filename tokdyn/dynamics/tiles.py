"""What attraction does with all features: sums weighted by the softmax over tokens, and the assignment itself.

Of tiles, the weights are computed and summed before the next is read, so that a step reads each feature once and holds
no `[N, K]`. How features lie is decided in ``arrangement``.

Lengths are in units of a scale at which squares stay within the dtype: see ``Frame``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from tokdyn.dynamics.arrangement import Columns, Frame, Rows, cut_of, product

# Tokens farther away than this many times the features' scale count as that far: their squares stay finite.
FAR = 1e15
# Two evaluations of one logit, rounded differently, differ by less than this: far inside the range of exp.
ROUNDING = 64.0
# Logits by products may be off by this, typically, in an assignment; where they would be more, differences are taken.
TOLERATED = 2e-3

# Differences [rows, K, D] that are held at a time.
MOST_GAPS = 1 << 18
# Up to here squared distances are summed component by component, in one loop, whatever the arrangement.
FEW_DIMENSIONS = 8


def logits_of_tokens(
    moved: jax.Array, spread: jax.Array, width: jax.Array, exists: jax.Array | None
) -> tuple[jax.Array, jax.Array]:
    """What multiplies a feature, and what is then added: the sum is `-|x - s|^2 / T` but for a term of the feature.

    The temperature divides tokens, `[K, D]`, instead of scores, `[K, N]`. A logit of the tokens that matter to a
    feature, which are at most `2 spread + nearest` from the centre, is rounded by
    `D eps (3 spread + nearest)^2 / T` at most. Where that is more than the exponential can take (a compiler may
    compute a logit twice, once for the maximum, and round differently), the temperature is raised to what the
    products can resolve.

    Args:
        moved: tokens relative to the features' centre `[K, D]`.
        spread: the largest distance of a feature from the centre `[]`.
        width: square root of the temperature `[]`.
        exists: tokens that do `[K]`, or None for all.

    Returns:
        ``(pull, bias)``: `[K, D]`, and `[K]`, which is 0 for the token nearest to the centre and -1e30 where masked.
    """
    dimension = moved.shape[1]
    moved = jnp.clip(moved, -(FAR**2), FAR**2)
    distances = jnp.max(jnp.abs(jax.lax.stop_gradient(moved)), axis=1)
    nearest = dimension**0.5 * jnp.min(distances, initial=FAR**2, where=exists)
    resolved = (dimension * float(jnp.finfo(moved.dtype).eps) / ROUNDING) ** 0.5 * (3.0 * spread + nearest)
    width = jnp.maximum(jnp.maximum(width, resolved), 1.0 / FAR)
    relative = jnp.clip(moved / width, -FAR, FAR)
    squared = jnp.sum(relative * relative, axis=1)
    bias = jax.lax.stop_gradient(jnp.min(squared, initial=jnp.inf, where=exists)) - squared
    if exists is not None:
        bias = jnp.where(exists, bias, -(FAR**2))  # finite, so that no 0 * inf can arise, in values or in gradients
    return relative * (2.0 / width), bias


def sums_by_products(
    features: Columns | Rows, frame: Frame, pull: jax.Array, bias: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Sums of the centred features weighted by the softmax over tokens `[K, D]`, and of the weights `[K]`."""
    if isinstance(features, Columns):
        weights = _softmax(product(jnp.concatenate([pull, bias[:, None]], axis=1), features.values), axis=0)
        sums = product(weights, features.values.T)  # the row of ones gives the mass
        return sums[:, :-1], sums[:, -1]

    _, tokens_last = cut_of(features.num_rows, pull.shape[1])

    def piece(rows: jax.Array, kept: jax.Array | None) -> tuple[jax.Array, jax.Array]:
        if tokens_last:
            weights = _softmax(product(rows, pull.T) + bias, axis=1)
            weights = weights if kept is None else jnp.where(kept[:, None], weights, 0.0)
            return product(weights.T, rows), jnp.sum(weights, axis=0)
        weights = _softmax(_contracted(pull, rows) + bias[:, None], axis=0)
        weights = weights if kept is None else jnp.where(kept, weights, 0.0)
        return product(weights, rows), jnp.sum(weights, axis=1)

    return _added_up(features, frame, piece, centred=True)


def sums_by_differences(
    features: Columns | Rows, frame: Frame, tokens: jax.Array, width: jax.Array, exists: jax.Array | None
) -> tuple[jax.Array, jax.Array]:
    """Sums of features minus token, weighted by the softmax over tokens `[K, D]`, and of the weights `[K]`."""
    tokens = jnp.clip(tokens, -FAR, FAR)
    if isinstance(features, Columns):
        gaps = features.values[:-1] - tokens[:, :, None]  # [K, D, N]
        weights = softmax_of_distances(jnp.sum(gaps * gaps, axis=1), width, exists, tokens.shape[1])
        weights = weights * features.values[-1]
        return jnp.sum(weights[:, None, :] * gaps, axis=2), jnp.sum(weights, axis=1)

    def few(rows: jax.Array, kept: jax.Array) -> tuple[jax.Array, jax.Array]:
        gaps = rows[:, None, :] - tokens  # [rows, K, D]
        weights = softmax_of_distances(jnp.sum(gaps * gaps, axis=2).T, width, exists, tokens.shape[1])
        weights = jnp.where(kept, weights, 0.0)
        return jnp.sum(weights.T[:, :, None] * gaps, axis=0), jnp.sum(weights, axis=1)

    def piece(rows: jax.Array, kept: jax.Array | None) -> tuple[jax.Array, jax.Array]:
        kept = jnp.ones(rows.shape[0], bool) if kept is None else kept
        sums = _in_few_rows(lambda both: few(*both), (rows, kept), tokens.size)
        return jax.tree.map(lambda x: jnp.sum(x, axis=0), sums)

    return _added_up(features, frame, piece, centred=False)


def _in_few_rows(function: Callable[[Any], Any], rows: Any, numbers_each: int) -> Any:
    """A function of so few rows that what it computes of them stays in cache, stacked; the last are filled with zeros.

    XLA on CPU holds differences `[rows, K, D]` as a whole.
    """
    num_rows = jax.tree.leaves(rows)[0].shape[0]
    size = num_rows if jax.default_backend() != "cpu" else max(1, min(num_rows, MOST_GAPS // numbers_each))
    missing = -num_rows % size

    def cut(x: jax.Array) -> jax.Array:
        filled = jnp.concatenate([x, jnp.zeros((missing, *x.shape[1:]), x.dtype)]) if missing else x
        return filled.reshape(-1, size, *x.shape[1:])

    return jax.lax.map(function, jax.tree.map(cut, rows))


def _added_up(
    features: Rows, frame: Frame, piece: Callable[..., tuple[jax.Array, jax.Array]], *, centred: bool
) -> tuple[jax.Array, jax.Array]:
    """What a function of framed rows gives, added up over all tiles in their order."""
    if features.tiled is None:
        return piece(features.rest, features.rest_kept)

    def tile(rows: jax.Array, kept: jax.Array | None) -> tuple[jax.Array, jax.Array]:
        rows = frame.of(rows, centred=centred)
        return piece(rows if kept is None else jnp.where(kept[:, None], rows, 0.0), kept)

    def more(total: Any, rows_and_kept: Any) -> tuple[Any, None]:
        return jax.tree.map(jnp.add, total, tile(*rows_and_kept)), None

    first = jax.tree.map(lambda x: x[0], (features.tiled, features.kept))
    zeros = jax.tree.map(lambda like: jnp.zeros(like.shape, like.dtype), jax.eval_shape(tile, *first))
    total, _ = jax.lax.scan(more, zeros, (features.tiled, features.kept))
    if features.rest is None:
        return total
    return jax.tree.map(jnp.add, total, piece(features.rest, features.rest_kept))


def assigned(
    features: jax.Array,
    layout: Columns | Rows,
    frame: Frame,
    tokens: jax.Array,
    width: jax.Array,
    exists: jax.Array | None,
    *,
    centred: bool,
) -> jax.Array:
    """The soft assignment `[N, K]`.

    Where the layout is centred, for products, these are taken if their rounding is far below the temperature; otherwise
    every squared distance comes from the difference itself.

    Args:
        features: `[N, D]`, in units of their own.
        layout: what ``arranged`` made of them.
        frame: of the features.
        tokens: in units of the scale `[K, D]`.
        width: square root of the temperature, in units of the scale `[]`.
        exists: tokens that do `[K]`, or None for all.
        centred: as in ``arranged`` (static).
    """
    dimension = features.shape[1]
    if isinstance(layout, Columns) or dimension <= FEW_DIMENSIONS:
        columns, near = features.T * (1.0 / frame.scale), jnp.clip(tokens, -FAR, FAR)
        squared = jnp.asarray(sum((columns[d] - near[:, d, None]) ** 2 for d in range(dimension)))  # [K, N], one loop
        return softmax_of_distances(squared, width, exists, dimension).T
    given = (features, layout, frame, jnp.clip(tokens, -(FAR**2), FAR**2), width, exists)
    if not centred:
        return _by_differences(given)

    def chosen(given: Any) -> jax.Array:
        *_, frame, tokens, width, exists = given
        off = jnp.max(jnp.abs(jax.lax.stop_gradient(tokens) - frame.centre), axis=1)
        reach = 2.0 * frame.spread + dimension**0.5 * jnp.min(off, initial=FAR**2, where=exists)
        rounding = (dimension**0.5 * float(jnp.finfo(tokens.dtype).eps) / TOLERATED) ** 0.5 * reach
        return jax.lax.cond(rounding <= width, _by_products, _by_differences, given)

    return _one_by_one(chosen)(given)


def _by_products(given: Any) -> jax.Array:
    _, layout, frame, tokens, width, exists = given
    pull, bias = logits_of_tokens(tokens - frame.centre, frame.spread, width, exists)

    def piece(rows: jax.Array) -> jax.Array:
        return _softmax(product(rows, pull.T) + bias, axis=1)

    if layout.tiled is None:
        return piece(layout.rest)
    pieces = jax.lax.map(lambda rows: piece(frame.of(rows, centred=True)), layout.tiled)
    return _joined(pieces, None if layout.rest is None else piece(layout.rest))


def _by_differences(given: Any) -> jax.Array:
    features, layout, frame, tokens, width, exists = given
    near = jnp.clip(tokens, -FAR, FAR)

    def few(rows: jax.Array) -> jax.Array:
        gaps = frame.of(rows, centred=False)[:, None, :] - near  # [rows, K, D]
        return softmax_of_distances(jnp.sum(gaps * gaps, axis=2).T, width, exists, rows.shape[1]).T

    def piece(rows: jax.Array) -> jax.Array:
        return _in_few_rows(few, rows, near.size).reshape(-1, near.shape[0])[: rows.shape[0]]

    if layout.tiled is None:
        return piece(features)
    rest = None if layout.rest is None else piece(features[-layout.rest.shape[0] :])
    return _joined(jax.lax.map(piece, layout.tiled), rest)


def _joined(pieces: jax.Array, rest: jax.Array | None) -> jax.Array:
    joined = pieces.reshape(-1, pieces.shape[-1])
    return joined if rest is None else jnp.concatenate([joined, rest])


def _one_by_one(function: Callable[[Any], jax.Array]) -> Callable[[Any], jax.Array]:
    """The function, whose vmap on CPU is a loop: under vmap a condition computes both of its branches."""
    if jax.default_backend() != "cpu":
        return function
    # As in solve.lanes: custom_vmap alone would hide from reverse mode which part is known.
    called = jax.custom_jvp(jax.custom_batching.sequential_vmap(function))
    called.defjvp(lambda primals, tangents: jax.jvp(function, primals, tangents))
    return called


def _softmax(logits: jax.Array, axis: int) -> jax.Array:
    """Softmax over tokens of logits that are rounded by less than ``ROUNDING``."""
    weights = jnp.exp(logits - jax.lax.stop_gradient(jnp.max(logits, axis=axis, keepdims=True)))
    return weights / jnp.sum(weights, axis=axis, keepdims=True)


def softmax_of_distances(squared: jax.Array, width: jax.Array, exists: jax.Array | None, dimension: int) -> jax.Array:
    """Weights `[K, N]`: the softmax over tokens of `-|x - s|^2 / T`, of squared distances `[K, N]` by differences."""
    if exists is not None:
        squared = jnp.where(exists[:, None], squared, FAR**2 * dimension)
    nearest = jax.lax.stop_gradient(jnp.min(squared, axis=0))
    # As in logits_of_tokens, feature by feature: what is resolved depends on the distance alone.
    limits = jnp.finfo(squared.dtype)
    rounding = (dimension + 2) * float(limits.eps) / ROUNDING
    resolved = jnp.maximum(rounding * nearest, float(limits.tiny))
    weights = jnp.exp((nearest - squared) / jnp.maximum(width * width, resolved))
    if exists is not None:
        weights = jnp.where(exists[:, None], weights, 0.0)
    return weights / jnp.sum(weights, axis=0)


def _contracted(left: jax.Array, rows: jax.Array) -> jax.Array:
    """`[K, D]` times the transpose of rows `[N, D]`, which is never made."""
    return jax.lax.dot_general(left, rows, (((1,), (1,)), ((), ())), precision=jax.lax.Precision.HIGHEST)
