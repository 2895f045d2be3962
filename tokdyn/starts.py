"""Where tokens start: pure draws from the features, by name in ``CATALOG``, which ``td.run(start=...)`` reads.

The loops here run over tokens, each of which is chosen given those before it. Distances come from differences, so that
features far from the origin keep their digits, in float32 at least.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from tokdyn import checks, draws, keys
from tokdyn.numerics import binary_scale, masked_mean

# Features are drawn by blocks of this many: the rounding of one sum over a million chances would favour some.
BLOCK = 1024


def random_features(
    key: jax.Array, features: jax.Array, num_tokens: int, *, mask: jax.Array | None = None, jitter: ArrayLike = 0.0
) -> jax.Array:
    """Starting tokens: features drawn without replacement, each with an independent normal displacement.

    Args:
        key: a JAX key.
        features: `[N, D]`.
        num_tokens: how many (static), at most N.
        mask: which features may be drawn `[N]`. If it keeps fewer than ``num_tokens``, rows of zeros fill the rest.
        jitter: scale of the displacement `[]`, in units of the features; the published study uses 0.05.

    Returns:
        Tokens `[K, D]`.

    Raises:
        ValueError: more tokens than features.

    Example:
        >>> import jax, jax.numpy as jnp, tokdyn as td
        >>> tokens = td.starts.random_features(jax.random.key(0), jnp.arange(4.0)[:, None], 4)
        >>> sorted(tokens[:, 0].tolist())
        [0.0, 1.0, 2.0, 3.0]
    """
    if num_tokens > features.shape[0]:
        raise checks.bad("num_tokens", f"at most the number of features, {features.shape[0]}", num_tokens)
    chances, rows = _drawn_rows(key, features.shape[0], num_tokens, mask)
    drawn = jnp.where(chances[:, None] >= 0, features[rows], 0.0)
    noise = draws.normal(keys.for_purpose(key, "jitter"), drawn.shape, drawn.dtype)
    return drawn + jnp.asarray(jitter, drawn.dtype) * noise


@functools.partial(jax.jit, static_argnums=(1, 2))
def random_rows(key: jax.Array, num_features: int, num_tokens: int) -> jax.Array:
    """The indices of the rows that ``random_features`` draws from ``num_features`` features `[K]`."""
    return _drawn_rows(key, num_features, num_tokens, None)[1]


def _drawn_rows(
    key: jax.Array, num_features: int, num_tokens: int, mask: jax.Array | None
) -> tuple[jax.Array, jax.Array]:
    """The rows with the largest of independent uniform numbers, and these numbers. The number of row i does not depend
    on how many rows there are, so that padding and a mask change nothing.
    """
    chances = draws.uniform(keys.for_purpose(key, "rows"), (num_features,), jnp.float32)
    if mask is not None:
        chances = jnp.where(mask, chances, -1.0)
    return jax.lax.top_k(chances, num_tokens)


def kmeans_plus_plus(
    key: jax.Array,
    features: jax.Array,
    num_tokens: int,
    *,
    mask: jax.Array | None = None,
    num_candidates: int | None = 1,
) -> jax.Array:
    r"""Starting tokens by k-means++: each a feature drawn with a chance that grows with its squared distance.

    .. math:: P(\text{feature } i) = \frac{d_i^2}{\sum_j d_j^2},\qquad d_i = \min_{\text{tokens } k \text{ so far}}
        \lVert x_i - s_k\rVert

    The first token is a feature drawn uniformly. With several candidates (greedy k-means++) each token is drawn so many
    times over, and the draw that leaves the smallest sum of `d_i^2` is kept; of equal ones the first.

    Args:
        key: a JAX key.
        features: `[N, D]`.
        num_tokens: K (static).
        mask: which features may be drawn `[N]`; the others have no influence, whatever they hold.
        num_candidates: how many draws each token is the best of (static); None for `2 + \lfloor \ln K \rfloor`, as in
            scikit-learn.

    Returns:
        Tokens `[K, D]`: kept features. A feature that equals a token has no chance; once every kept feature does (fewer
        distinct ones than tokens), the rest repeat kept features drawn uniformly. Zeros if the mask keeps none.

    Raises:
        ValueError: fewer than one token, candidate or feature.

    References:
        D. Arthur, S. Vassilvitskii, k-means++: the advantages of careful seeding, SODA 2007.

    Example:
        >>> import jax, jax.numpy as jnp, tokdyn as td
        >>> features = jnp.array([[0.0], [0.0], [5.0]])
        >>> sorted(td.starts.kmeans_plus_plus(jax.random.key(0), features, 2)[:, 0].tolist())
        [0.0, 5.0]
    """
    num_tokens, exists = _checked(features, num_tokens, mask)
    if num_candidates is None:
        num_candidates = 2 + int(math.log(num_tokens))
    num_candidates = checks.whole_number("num_candidates", num_candidates, at_least=1)
    points = _points(features, exists)
    own = jax.vmap(functools.partial(_weighted, points.dtype))

    def chosen(key: jax.Array, squares: jax.Array) -> tuple[jax.Array, jax.Array]:
        """The next row `[]`, and the squared distances to the tokens that then exist `[N]`."""
        chances = jnp.where(jnp.any(squares > 0), squares, exists.astype(squares.dtype))
        rows = own(jax.random.split(key, num_candidates), jnp.broadcast_to(chances, (num_candidates, chances.size)))
        after = jnp.stack([jnp.minimum(squares, _squares_from(points, row)) for row in jnp.unstack(rows)])
        best = jnp.argmin(jnp.sum(after, axis=1)) if num_candidates > 1 else 0
        return rows[best], after[best]

    return _one_by_one(key, features, points, exists, num_tokens, chosen)


def farthest_point(key: jax.Array, features: jax.Array, num_tokens: int, *, mask: jax.Array | None = None) -> jax.Array:
    r"""Starting tokens by farthest-first traversal: each the feature farthest from the tokens before it.

    .. math:: s_{k+1} = x_i,\qquad i = \arg\max_i \min_{j \le k} \lVert x_i - s_j\rVert

    The first token is a feature drawn uniformly; the rest follows from it. The largest distance of a feature to its
    nearest token is at most twice what any K features could achieve.

    Args:
        key: a JAX key, for the first token.
        features: `[N, D]`.
        num_tokens: K (static).
        mask: which features may be chosen `[N]`; the others have no influence, whatever they hold.

    Returns:
        Tokens `[K, D]`: kept features. Of equally far ones the first in order is chosen; once every kept feature equals
        a token (fewer distinct ones than tokens), the rest repeat the first kept feature. Zeros if the mask keeps none.

    Raises:
        ValueError: fewer than one token or feature.

    References:
        T. F. Gonzalez, Clustering to minimize the maximum intercluster distance, Theor. Comput. Sci. 38 (1985) 293.

    Example:
        >>> import jax, jax.numpy as jnp, tokdyn as td
        >>> features = jnp.array([[0.0], [1.0], [5.0], [10.0]])
        >>> sorted(td.starts.farthest_point(jax.random.key(0), features, 3)[:, 0].tolist())
        [0.0, 5.0, 10.0]
    """
    num_tokens, exists = _checked(features, num_tokens, mask)
    points = _points(features, exists)

    def chosen(key: jax.Array, squares: jax.Array) -> tuple[jax.Array, jax.Array]:
        row = jnp.argmax(jnp.where(exists, squares, -1.0))
        return row, jnp.minimum(squares, _squares_from(points, row))

    return _one_by_one(key, features, points, exists, num_tokens, chosen)


def gaussian(
    key: jax.Array, features: jax.Array, num_tokens: int, *, mask: jax.Array | None = None, scale: ArrayLike = 1.0
) -> jax.Array:
    r"""Starting tokens from the normal distribution with the features' mean and variances.

    .. math:: s_k \sim \mathcal N\left(\bar x,\ c^2\,\mathrm{diag}(v_1, \dots, v_D)\right)

    In many dimensions such tokens are far from all features, and most of them then own none.

    Args:
        key: a JAX key.
        features: `[N, D]`.
        num_tokens: K (static).
        mask: which features count `[N]`; the others have no influence, whatever they hold.
        scale: `c` `[]`; `v_d` is the variance of coordinate d (1/N).

    Returns:
        Tokens `[K, D]`; all at the mean where the features coincide. Zeros if the mask keeps none.

    Raises:
        ValueError: fewer than one token or feature.

    References:
        F. Locatello et al., Object-centric learning with slot attention, NeurIPS 2020, arXiv:2006.15055.

    Example:
        >>> import jax, jax.numpy as jnp, tokdyn as td
        >>> td.starts.gaussian(jax.random.key(0), jnp.ones((5, 2)), 3).tolist()
        [[1.0, 1.0], [1.0, 1.0], [1.0, 1.0]]
    """
    num_tokens, exists = _checked(features, num_tokens, mask)
    kept = _floating(jnp.where(exists[:, None], features, 0.0))
    unit = binary_scale(kept)
    mean = masked_mean(kept / unit, exists)
    variance = masked_mean((kept / unit - mean) ** 2, exists)
    is_flat = variance == 0  # a square root has no slope there
    width = jnp.where(is_flat, 0.0, jnp.sqrt(jnp.where(is_flat, 1.0, variance)))
    noise = draws.normal(keys.for_purpose(key, "gaussian"), (num_tokens, features.shape[1]), kept.dtype)
    return ((mean + jnp.asarray(scale, kept.dtype) * width * noise) * unit).astype(features.dtype)


CATALOG: dict[str, Callable[..., jax.Array]] = {
    "features": random_features,
    "kmeans++": kmeans_plus_plus,
    "greedy_kmeans++": functools.partial(kmeans_plus_plus, num_candidates=None),
    "farthest_point": farthest_point,
    "gaussian": gaussian,
}
"""Starts by name; each is a function ``(key, features, num_tokens, *, mask=None) -> tokens [K, D]``."""


def _checked(features: jax.Array, num_tokens: int, mask: jax.Array | None) -> tuple[int, jax.Array]:
    """The number of tokens, and which features exist `[N]`."""
    num_tokens = checks.whole_number("num_tokens", num_tokens, at_least=1)
    if features.ndim != 2 or features.shape[0] == 0:
        raise checks.bad("features", "at least one feature [N, D]", checks.describe_array(features))
    mask = checks.boolean_mask("mask", mask, features.shape[0], axes="[N]")
    return num_tokens, jnp.ones(features.shape[0], bool) if mask is None else mask


def _floating(values: jax.Array) -> jax.Array:
    """In float32 at least."""
    return values.astype(jnp.promote_types(values.dtype, jnp.float32))


def _points(features: jax.Array, exists: jax.Array) -> jax.Array:
    """The features in units in which no square leaves the dtype, without a gradient: which row is chosen has none."""
    kept = _floating(jax.lax.stop_gradient(jnp.where(exists[:, None], features, 0.0)))
    return kept / binary_scale(kept)


def _squares_from(points: jax.Array, row: jax.Array) -> jax.Array:
    """Squared distances of all points to one of them `[N]`."""
    differences = points - points[row]
    return jnp.sum(differences * differences, axis=1)


def _weighted(dtype: jnp.dtype, key: jax.Array, chances: jax.Array) -> jax.Array:
    """The number of a row, drawn in proportion to chances `[N]`: first its block, then the row within it."""
    padding = -chances.size % BLOCK
    blocks = jnp.pad(chances, (0, padding)).reshape(-1, BLOCK)
    for_block, for_row = draws.uniform(key, (2,), dtype)
    block = _below(for_block, jnp.sum(blocks, axis=1))
    return block * BLOCK + _below(for_row, blocks[block])


def _below(number: jax.Array, chances: jax.Array) -> jax.Array:
    """Where the cumulative sum of chances passes a share of all; never at one without a chance, if any has one."""
    summed = jnp.cumsum(chances)
    is_passed = (chances > 0) & (summed > number * summed[-1])
    last = chances.size - 1 - jnp.argmax(chances[::-1] > 0)  # if rounding lets none pass
    return jnp.where(jnp.any(is_passed), jnp.argmax(is_passed), last)


def _one_by_one(
    key: jax.Array,
    features: jax.Array,
    points: jax.Array,
    exists: jax.Array,
    num_tokens: int,
    chosen: Callable[[jax.Array, jax.Array], tuple[jax.Array, jax.Array]],
) -> jax.Array:
    """Tokens `[K, D]`: a uniformly drawn feature, then what ``chosen(key, squared distances)`` adds."""
    key = keys.for_purpose(key, "rows")
    first = _weighted(points.dtype, jax.random.fold_in(key, 0), exists.astype(points.dtype))
    squares = jnp.where(exists, _squares_from(points, first), 0.0)

    def another(squares: jax.Array, number: jax.Array) -> tuple[jax.Array, jax.Array]:
        row, squares = chosen(jax.random.fold_in(key, number), squares)
        return jnp.where(exists, squares, 0.0), row

    _, rest = jax.lax.scan(another, squares, jnp.arange(1, num_tokens))
    rows = jnp.concatenate([first[None], rest])
    return jnp.where(exists[rows][:, None], features[rows], 0.0)
