"""What a map keeps of neighbours and distances: overlap, trustworthiness, continuity, rank correlation; all jitted."""

from __future__ import annotations

import functools
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from tokdyn import checks
from tokdyn.dynamics.sphere import on_sphere
from tokdyn.numerics import binary_scale, squared_distances

Metric = Literal["euclidean", "cosine"]
METRICS = ("euclidean", "cosine")


class Preservation(NamedTuple):
    """How faithful a map is; 1 is perfect for all but chance.

    Attributes:
        overlap: mean share of the k nearest neighbours in the source that are among the k nearest in the map `[]`.
        chance: what a random map has of it, `k / (N - 1)` `[]`.
        trustworthiness: 1 less a penalty for neighbours in the map that are far in the source `[]`.
        continuity: 1 less a penalty for neighbours in the source that are far in the map `[]`.
        rank_correlation: Spearman's, of all pairwise distances `[]`; 0 where one of them is constant.
    """

    overlap: jax.Array
    chance: jax.Array
    trustworthiness: jax.Array
    continuity: jax.Array
    rank_correlation: jax.Array


def preservation(
    source: ArrayLike, mapped: ArrayLike, *, num_neighbours: int = 5, metric: Metric = "euclidean"
) -> Preservation:
    r"""How a map keeps neighbours and distances.

    With `r(i, j)` the rank of j among the others by distance from i in the source (1 for the nearest), and `U_i` those
    of the k nearest in the map that are not among the k nearest in the source,

    .. math:: T = 1 - \frac{2}{N k (2 N - 3 k - 1)} \sum_i \sum_{j \in U_i} (r(i, j) - k)

    is the trustworthiness; continuity is the same with source and map exchanged. Ranks are those of all N features, so
    that memory grows with the square of N. Neighbours at one distance are taken in their order.

    Args:
        source: `[N, D]`.
        mapped: `[N, d]`.
        num_neighbours: k (static), below N / 2.
        metric: of the source (static): "euclidean" or "cosine"; in the map it is always Euclidean.

    Returns:
        ``Preservation``.

    Raises:
        ValueError: no two floating-point arrays with as many rows, an unknown metric, k outside 1 to N / 2; and,
            outside jit, entries that are not finite, or a row of zeros with cosines, which has no direction. Inside
            jit all numbers are NaN then.

    References:
        J. Venna, S. Kaski, Neighborhood preservation in nonlinear projection methods, ICANN 2001.

    Example:
        >>> import jax.numpy as jnp
        >>> from tokdyn import geometry
        >>> line = jnp.arange(10.0)[:, None]
        >>> found = geometry.preservation(line, 2 * line, num_neighbours=3)
        >>> [round(float(of), 3) for of in found]
        [1.0, 0.333, 1.0, 1.0, 1.0]
    """
    left = checks.floating("source", source, axes="[N, D]")
    right = checks.floating("mapped", mapped, axes="[N, d]")
    if left.shape[0] != right.shape[0]:
        raise checks.bad("mapped", f"as many rows as source, {left.shape[0]}", right.shape[0])
    checks.choice("metric", metric, METRICS)
    count = checks.whole_number("num_neighbours", num_neighbours, at_least=1)
    if 2 * count >= left.shape[0]:
        raise checks.bad("num_neighbours", f"less than half of the {left.shape[0]} rows", count)
    for name, rows in (("source", left), ("mapped", right)):
        if checks.is_concrete(rows) and not np.isfinite(np.asarray(rows)).all():
            raise checks.bad(name, "finite numbers", "infinite or NaN entries")
    if metric == "cosine" and checks.is_concrete(left) and not np.asarray(left).any(axis=1).all():
        raise checks.bad("source", "rows with a direction for cosines", "a row of zeros")
    return _preservation(left, right, count, metric)


@functools.partial(jax.jit, static_argnums=(2, 3))
def _preservation(source: jax.Array, mapped: jax.Array, k: int, metric: Metric) -> Preservation:
    count = source.shape[0]
    known = jnp.isfinite(source).all() & jnp.isfinite(mapped).all()
    if metric == "cosine":
        known &= source.any(axis=1).all()
    # In single precision at least, and in units in which no square leaves it.
    source, mapped = (rows.astype(jnp.promote_types(rows.dtype, jnp.float32)) for rows in (source, mapped))
    source, mapped = source / binary_scale(source), mapped / binary_scale(mapped)
    # Squared distances of directions rise as cosines fall.
    distances = squared_distances(*[on_sphere(source) if metric == "cosine" else source] * 2)
    others = squared_distances(mapped, mapped)
    ranks, own = _ranks(distances), _ranks(others)
    near, near_in_map = ranks <= k, own <= k
    scale = 2 / (count * k * (2 * count - 3 * k - 1))

    def penalty(wrong: jax.Array, rank: jax.Array) -> jax.Array:
        return jnp.sum(jnp.where(wrong, rank - k, 0).astype(source.dtype))

    pairs = jnp.triu_indices(count, 1)
    found = Preservation(
        overlap=jnp.sum(near & near_in_map) / (count * k),
        chance=jnp.asarray(k / (count - 1), source.dtype),
        trustworthiness=1 - scale * penalty(near_in_map & ~near, ranks),
        continuity=1 - scale * penalty(near & ~near_in_map, own),
        rank_correlation=_spearman(distances[pairs], others[pairs]),
    )
    return jax.tree.map(lambda value: jnp.where(known, value, jnp.nan), found)


def _ranks(distances: jax.Array) -> jax.Array:
    """Rank of each column by distance from the row, 1 for the nearest other; N for itself `[N, N]`."""
    others = jnp.where(jnp.eye(len(distances), dtype=bool), jnp.inf, distances)
    order = jnp.argsort(others, axis=1)
    rows = jnp.arange(len(distances))[:, None]
    return jnp.zeros(distances.shape, jnp.int32).at[rows, order].set(jnp.arange(1, len(distances) + 1))


def _spearman(left: jax.Array, right: jax.Array) -> jax.Array:
    """Pearson's correlation of mid-ranks."""

    def centred(values: jax.Array) -> jax.Array:
        ordered = jnp.sort(values)
        low, high = (jnp.searchsorted(ordered, values, side=side) for side in ("left", "right"))
        rank = (low + high).astype(values.dtype) / 2
        return rank - rank.mean()

    one, other = centred(left), centred(right)
    product = jnp.sqrt(jnp.sum(one**2) * jnp.sum(other**2))
    return jnp.where(product > 0, jnp.sum(one * other) / jnp.where(product > 0, product, 1), 0.0)
