"""How features lie for a run: in which units, around which point, as columns or as rows, whole or in tiles.

Two arrangements, by size, each the fastest that was measured (benchmarks/README.md, "Large features"). Small sets lie
with the long axis last and a row of ones below, so that a step is two products, and many runs go side by side. Large
ones lie as they come, a feature a row, and are read in tiles.
"""

from __future__ import annotations

import os
from typing import NamedTuple

import jax
import jax.numpy as jnp

from tokdyn.numerics import binary_scale

# Up to these sizes features are arranged as columns.
MOST_DIMENSIONS = 16
MOST_NUMBERS = 1 << 16
# More rows than this are read in tiles of about this many.
MOST_ROWS = 8192
TILE = 512
# From here on a product over tokens as the last axis is faster, where rows are not in tiles.
MANY_DIMENSIONS = 256
# So many features say where the others lie, roughly.
SAMPLE = 512


class Frame(NamedTuple):
    """Where features lie, without a gradient.

    Attributes:
        scale: a power of two near their largest magnitude `[]`.
        centre: a point among them `[D]`, in units of the scale; their mean, or that of some.
        spread: the largest distance of a feature from it `[]`, in units of the scale.
    """

    scale: jax.Array
    centre: jax.Array
    spread: jax.Array

    def of(self, rows: jax.Array, *, centred: bool) -> jax.Array:
        """Rows in units of the scale, relative to the centre if asked."""
        scaled = rows * (1.0 / self.scale)
        return scaled - self.centre if centred else scaled


def framed(features: jax.Array, mask: jax.Array | None) -> Frame:
    """The frame of features `[N, D]`; masked ones, which must be finite, do not count."""
    features = jax.lax.stop_gradient(features)

    def thoroughly() -> Frame:
        scale = binary_scale(features)
        centre = mean_of_rows(features, mask, scale)
        return Frame(scale, centre, _spread(features, scale, centre, mask))

    if mask is not None or are_columns(features):
        return thoroughly()
    # A pass over many features costs as much as half a step: one is enough where some of them speak for all.
    sample = some_of(features)
    scale = binary_scale(sample)
    centre = mean_of_rows(sample, None, scale)
    spread = _spread(features, scale, centre, None)
    in_range = (spread > 2.0**-20) & (spread < 2.0**40) & jnp.any(sample != 0)
    return jax.lax.cond(in_range, lambda: Frame(scale, centre, spread), thoroughly)


def some_of(features: jax.Array) -> jax.Array:
    """At most ``SAMPLE`` features, evenly spaced."""
    return features[:: -(-features.shape[0] // SAMPLE)]


def mean_of_rows(rows: jax.Array, mask: jax.Array | None, scale: jax.Array) -> jax.Array:
    """Mean of the rows that the mask keeps, divided by the scale `[D]`; as a product, sums over the first axis being
    slow on CPU.
    """
    inverse = 1.0 / scale
    if mask is None:
        weights = jnp.full(rows.shape[:1], 1.0 / rows.shape[0], rows.dtype)
    else:
        weights = mask.astype(rows.dtype) / jnp.maximum(jnp.sum(mask), 1).astype(rows.dtype)
    return product(weights, rows * inverse)


def _spread(features: jax.Array, scale: jax.Array, centre: jax.Array, mask: jax.Array | None) -> jax.Array:
    """The largest distance from the centre, block by block: XLA would hold the squares of all features at once."""

    def largest(rows: jax.Array, kept: jax.Array | None) -> jax.Array:
        away = rows * (1.0 / scale) - centre
        squares = jnp.sum(away * away, axis=1)
        return jnp.max(squares if kept is None else jnp.where(kept, squares, 0.0))

    num_rows = features.shape[0]
    if num_rows <= max(MOST_ROWS, TILE) or jax.default_backend() != "cpu":
        return jnp.sqrt(largest(features, mask))

    def block(number: jax.Array) -> jax.Array:
        cut = lambda x: jax.lax.dynamic_slice_in_dim(x, number * TILE, TILE)  # noqa: E731  # the last one overlaps
        return largest(cut(features), None if mask is None else cut(mask))

    return jnp.sqrt(jnp.max(jax.lax.map(block, jnp.arange(-(-num_rows // TILE)))))


class Columns(NamedTuple):
    """Features with the long axis last.

    Attributes:
        values: with a row of ones below `[D + 1, N]`. Masked columns are zero, ones included: whoever owns such a
            feature gets no mass and no pull from it.
    """

    values: jax.Array


class Rows(NamedTuple):
    """Features as rows: in one piece, or in tiles that are framed as they are read.

    Attributes:
        tiled: `[n, t, D]`, in units of their own, not copied where a suitable t divides N; None where they are few.
        kept: which of these are not masked `[n, t]`, or None.
        rest: all the others `[r, D]`, divided by the scale and, for products, relative to the centre; None if none.
        rest_kept: which of these are not masked `[r]`, or None.
    """

    tiled: jax.Array | None
    kept: jax.Array | None
    rest: jax.Array | None
    rest_kept: jax.Array | None

    @property
    def num_rows(self) -> int:
        """N."""
        inside = 0 if self.tiled is None else self.tiled.shape[0] * self.tiled.shape[1]
        return inside + (0 if self.rest is None else self.rest.shape[0])


def are_columns(features: jax.Array) -> bool:
    """Whether features of this size are arranged as columns."""
    num_features, dimension = features.shape
    return dimension <= MOST_DIMENSIONS and num_features * (dimension + 1) <= MOST_NUMBERS


def arranged(features: jax.Array, frame: Frame, mask: jax.Array | None, *, centred: bool) -> Columns | Rows:
    """Features `[N, D]` as the sums read them; where a mask leaves some out, these are 0."""
    num_features = features.shape[0]
    if are_columns(features):
        values = features.T * (1.0 / frame.scale)
        values = values - frame.centre[:, None] if centred else values
        values = jnp.concatenate([values, jnp.ones((1, num_features), features.dtype)])
        return Columns(values if mask is None else jnp.where(mask, values, 0.0))
    size, _ = cut_of(*features.shape)
    if size is None:
        return Rows(None, None, frame.of(features, centred=centred), mask)
    inside = num_features // size * size
    cut = lambda x: x[:inside].reshape(-1, size, *x.shape[1:])  # noqa: E731
    kept, rest_kept = (None, None) if mask is None else (cut(mask), mask[inside:])
    if inside == num_features:
        return Rows(cut(features), kept, None, None)
    return Rows(cut(features), kept, frame.of(features[inside:], centred=centred), rest_kept)


class Cut(NamedTuple):
    """How rows are read on this machine.

    Attributes:
        size: rows of a tile; None for all at once.
        tokens_last: whether logits are `[rows, K]` or `[K, rows]`.
    """

    size: int | None
    tokens_last: bool


def cut_of(num_rows: int, dimension: int) -> Cut:
    """The fastest of what was measured (benchmarks/README.md, "Large features").

    One core: small tiles, which stay in its own cache. More: tiles that are worth a product by all cores, since XLA
    gives no two tiles to two cores. The size divides the number of rows where it can, since a rest means a copy.
    """
    many_dimensions = dimension >= MANY_DIMENSIONS
    if jax.default_backend() != "cpu" or num_rows <= max(MOST_ROWS, TILE):
        return Cut(None, many_dimensions)
    best, tokens_last = TILE, False
    if _num_cores() > 1:
        tokens_last = MOST_DIMENSIONS < dimension < MANY_DIMENSIONS
        best = TILE * (1280 // dimension if tokens_last else 4)
    if num_rows <= best:
        return Cut(None, tokens_last)
    sizes = [size for size in range(best * 5 // 4, best // 2, -1) if num_rows % size == 0]
    return Cut(min(sizes, key=lambda size: abs(size - best), default=best), tokens_last)


def _num_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def product(left: jax.Array, right: jax.Array) -> jax.Array:
    """A matrix product in full precision: some accelerators would round float32 factors to 10 bits by default."""
    return jnp.matmul(left, right, precision=jax.lax.Precision.HIGHEST)
