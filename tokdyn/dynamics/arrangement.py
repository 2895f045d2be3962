"""How features are arranged in memory for a run: units, centre, columns or rows, whole or in tiles.

There are two arrangements, chosen by size; each was the fastest in our measurements (benchmarks/README.md, "Large
features"). Small sets are stored with the long axis last and a row of ones appended, so that a step is two matrix
products and many runs can be computed side by side. Large sets keep one feature per row and are read in tiles.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from tokdyn import environment
from tokdyn.numerics import binary_scale, largest_finite, row_sums

# Up to these sizes features are arranged as columns; the limit is larger for few dimensions.
MOST_DIMENSIONS = 16
MOST_NUMBERS = 1 << 16
FEW_DIMENSIONS = 4
MOST_OF_FEW = 1 << 20
# More rows than this are read in tiles of about this size, unless they have few dimensions and fit into a cache.
MOST_ROWS = 8192
TILE = 512
MOST_IN_CACHE = 1 << 20
# From this size on, a product with tokens as the last axis is faster, unless rows are read in tiles.
MANY_DIMENSIONS = 256
SOME_DIMENSIONS = 64  # by several cores
VERY_MANY_DIMENSIONS = 768  # by several cores, in tiles
MANY_TOKENS = 32  # by several cores, with jaxlib from 0.11 on
# This many features are enough to estimate roughly where the others lie.
SAMPLE = 128


class Frame(NamedTuple):
    """Scale, centre and spread of the features, without a gradient.

    Attributes:
        scale: a power of two near the largest magnitude of the features `[]`.
        centre: a point among the features `[D]`, in units of the scale: their mean, or the mean of a sample.
        spread: the largest distance of a feature from the centre `[]`, in units of the scale.
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
        scale = binary_scale(largest_of_blocks(lambda rows, _: largest_finite(rows), features, mask))
        centre = mean_of_rows(features, mask, scale)
        return Frame(scale, centre, spread_of(features, scale, centre, mask))

    if mask is not None or are_columns(features):
        return thoroughly()
    # A pass over many features costs as much as half a step. If a sample is representative, one pass is enough.
    sample = some_of(features)
    scale = binary_scale(sample)
    centre = mean_of_rows(sample, None, scale)
    rough = Frame(scale, centre, spread_of(features, scale, centre, None))
    return jax.lax.cond(speaks_for_all(sample, rough), lambda: rough, thoroughly)


def speaks_for_all(sample: jax.Array, frame: Frame) -> jax.Array:
    """Whether the scale and centre of a sample are good enough for all features `[]`, given the spread of all."""
    return (frame.spread > 2.0**-20) & (frame.spread < 2.0**40) & jnp.any(sample != 0)


def some_of(features: jax.Array) -> jax.Array:
    """At most ``SAMPLE`` features, evenly spaced."""
    return features[:: -(-features.shape[0] // SAMPLE)]


def mean_of_rows(rows: jax.Array, mask: jax.Array | None, scale: jax.Array) -> jax.Array:
    """Mean of the rows that the mask keeps, divided by the scale `[D]`. It is computed as a matrix product, which needs
    no copy, because sums over the first axis are slow on CPU.
    """
    kept = jnp.ones(rows.shape[:1], rows.dtype) if mask is None else mask.astype(rows.dtype)
    count = rows.shape[0] if mask is None else jnp.maximum(jnp.sum(mask), 1).astype(rows.dtype)
    return product(kept * (1.0 / scale), rows) / count


def spread_of(features: jax.Array, scale: jax.Array, centre: jax.Array, mask: jax.Array | None) -> jax.Array:
    """The largest distance from the centre `[]`."""

    def largest(rows: jax.Array, kept: jax.Array | None) -> jax.Array:
        away = rows * (1.0 / scale) - centre
        squares = row_sums(away * away)
        return jnp.max(squares if kept is None else jnp.where(kept, squares, 0.0))

    return jnp.sqrt(largest_of_blocks(largest, features, mask))


def largest_of_blocks(function: Callable[..., jax.Array], features: jax.Array, mask: jax.Array | None) -> jax.Array:
    """The largest value `[]` of a function of rows and their mask, block by block: XLA on CPU would otherwise hold the
    function's intermediate results for all features at once.
    """
    num_rows = features.shape[0]
    if num_rows <= max(MOST_ROWS, TILE) or jax.default_backend() != "cpu":
        return function(features, mask)

    def block(number: jax.Array) -> jax.Array:
        cut = lambda x: jax.lax.dynamic_slice_in_dim(x, number * TILE, TILE)  # noqa: E731  # the last one overlaps
        return function(cut(features), None if mask is None else cut(mask))

    return jnp.max(jax.lax.map(block, jnp.arange(-(-num_rows // TILE))))


class Columns(NamedTuple):
    """Features with the long axis last.

    Attributes:
        values: the features, with a row of ones appended `[D + 1, N]`. Masked columns are zero, including their one, so
            that a masked feature contributes neither mass nor pull.
    """

    values: jax.Array


class Rows(NamedTuple):
    """Features as rows. A small set is scaled and centred at once; a large one stays as given, tile by tile.

    Attributes:
        values: the features `[N, D]`, divided by the scale and, for products, relative to the centre; if they are read
            in tiles, in their original units, so that nothing is copied.
        kept: which features are not masked `[N]`, or None for all.
    """

    values: jax.Array
    kept: jax.Array | None

    def cut(self, num_tokens: int) -> Cut:
        """How the rows are read."""
        num_rows, dimension = self.values.shape
        return cut_of(num_rows, dimension, num_tokens)


class Summed(NamedTuple):
    """Stands in for the features when the caller has already summed over them for this step.

    Attributes:
        sums: what ``tiles.sums_by_products`` or ``sums_by_differences`` returns `[K, D]`.
        mass: the sum of the weights of each token `[K]`.
    """

    sums: jax.Array
    mass: jax.Array


def are_columns(features: jax.Array, most: int | None = None) -> bool:
    """Whether the features are small enough to be arranged as columns, with at most ``most`` numbers."""
    num_features, dimension = features.shape
    return dimension <= MOST_DIMENSIONS and num_features * (dimension + 1) <= (MOST_NUMBERS if most is None else most)


def arranged(features: jax.Array, frame: Frame, mask: jax.Array | None, *, centred: bool) -> Columns | Rows:
    """Features `[N, D]` in the arrangement that the sums read; masked features are 0."""
    num_features, dimension = features.shape
    # Differences [K, D, N] of columns are held as a whole, hence only few; and of few dimensions only by products many.
    if are_columns(features) or (centred and dimension <= FEW_DIMENSIONS and are_columns(features, MOST_OF_FEW)):
        values = features.T * (1.0 / frame.scale)
        values = values - frame.centre[:, None] if centred else values
        values = jnp.concatenate([values, jnp.ones((1, num_features), features.dtype)])
        return Columns(values if mask is None else jnp.where(mask, values, 0.0))
    is_whole = cut_of(num_features, dimension).size is None
    return Rows(frame.of(features, centred=centred) if is_whole else features, mask)


class Cut(NamedTuple):
    """How rows are read on this machine.

    Attributes:
        size: rows of a tile; None for all at once.
        tokens_last: whether logits are `[rows, K]` rather than `[K, rows]`.
    """

    size: int | None
    tokens_last: bool


def cut_of(num_rows: int, dimension: int, num_tokens: int = 1) -> Cut:
    """The fastest way of reading rows in our measurements (benchmarks/README.md, "Large features").

    On one core, tiles are small enough to stay in its cache. On several cores, tiles are large enough for all cores to
    share one product, since XLA never computes two tiles on two cores.

    Args:
        num_rows: N.
        dimension: D.
        num_tokens: K; affects sizes and order, but not whether tiles are used.
    """
    few_dimensions, many_dimensions = dimension <= MOST_DIMENSIONS, dimension >= MANY_DIMENSIONS
    fit = num_rows <= max(MOST_ROWS, TILE) or (few_dimensions and num_rows * dimension <= MOST_IN_CACHE)
    if jax.default_backend() != "cpu":
        return Cut(None, many_dimensions)
    if _num_cores() == 1:
        return Cut(None, many_dimensions) if fit else Cut(TILE * (4 if few_dimensions else 1), False)
    # Newer code generators reduce over the last axis as fast as over the first.
    is_newer = environment.jaxlib_release() >= (0, 11) and num_tokens >= MANY_TOKENS
    if fit:
        return Cut(None, dimension >= SOME_DIMENSIONS or (is_newer and dimension >= MOST_DIMENSIONS))
    if few_dimensions and is_newer:
        size, tokens_last = 32 * TILE, True
    elif few_dimensions:
        # The weights of a tile must fit into the cache.
        size, tokens_last = min(64 * TILE, max(4 * TILE, 2048 * TILE // num_tokens)), False
    elif many_dimensions:
        size, tokens_last = 4 * TILE, dimension >= VERY_MANY_DIMENSIONS
    else:
        size, tokens_last = TILE * (1280 // dimension), True
    return Cut(size if num_rows > size else None, tokens_last)


def _num_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def product(left: jax.Array, right: jax.Array) -> jax.Array:
    """A matrix product in full precision: some accelerators would round float32 factors to 10 bits by default."""
    return jnp.matmul(left, right, precision=jax.lax.Precision.HIGHEST)
