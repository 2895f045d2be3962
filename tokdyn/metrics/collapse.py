"""Collapse and merging: how many tokens still have a role of their own?

Three different things are called collapse, and each has its own measure here. A token *owns no feature*
(``live_tokens``), *coincides with another one* (``distinct_tokens``), or *shares its features with others*
(``mean_assignment_entropy``, which rises with the temperature as well as with merging). Counts of usage cannot detect
merging: the argmax over numerically equal responsibilities still picks some token for every feature, so that merged
tokens all look alive and evenly used.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from numpy.typing import ArrayLike

from tokdyn.checks import bad, boolean_mask, floating, whole_number
from tokdyn.metrics._arrays import counted, distances, integer, integers, kept_tokens, number
from tokdyn.metrics.partition import adjusted_rand_index
from tokdyn.numerics import masked_mean, namespace
from tokdyn.typing import EitherArray


def live_tokens(predicted: ArrayLike, *, num_tokens: int, mask: ArrayLike | None = None) -> jax.Array:
    """Number of tokens that own at least one feature.

    `#{predicted_i}`. Merged tokens count separately; ``distinct_tokens`` counts them as one.

    Args:
        predicted: integers `[N]`, the token of every feature; one outside 0 to num_tokens - 1 is ignored.
        num_tokens: static number of tokens.
        mask: boolean `[N]`, the features that count; None keeps all.

    Returns:
        `[]`, int32, from 0 to num_tokens.

    Raises:
        ValueError: not integers, a mask of another shape, or num_tokens not a static positive integer.

    Example:
        >>> import jax.numpy as jnp, tokdyn as td
        >>> int(td.metrics.live_tokens(jnp.array([0, 0, 3]), num_tokens=4))
        2
    """
    predicted = integers("predicted", predicted)
    num_tokens = whole_number("num_tokens", num_tokens, at_least=1)
    kept = counted(predicted, num_tokens, mask)
    owns = kept[:, None] & (predicted[:, None] == jnp.arange(num_tokens, dtype=predicted.dtype))
    return jnp.sum(jnp.any(owns, axis=0), dtype=jnp.int32)


def published_collapse(
    predicted: ArrayLike, *, num_tokens: int, num_clusters: ArrayLike, mask: ArrayLike | None = None
) -> jax.Array:
    """Collapse as flagged by the published study: fewer live tokens than half of what the data could use.

    `live_tokens < max(2, floor(min(num_tokens, num_clusters) / 2))`. For up to five tokens or clusters the limit
    is 2, so that the flag is raised only if *every* feature goes to one token, and never by merged tokens. It is
    kept to reproduce the study; use ``distinct_tokens`` to detect collapse.

    Args:
        predicted: integers `[N]`, the token of every feature.
        num_tokens: static number of tokens.
        num_clusters: number of true clusters `[]`, an integer that may be traced.
        mask: boolean `[N]`, the features that count; None keeps all.

    Returns:
        `[]`, boolean.

    Raises:
        ValueError: not integers, a mask of another shape, or a number below 1.

    Example:
        >>> import jax.numpy as jnp, tokdyn as td
        >>> bool(td.metrics.published_collapse(jnp.array([0, 0, 3]), num_tokens=4, num_clusters=3))
        False
    """
    live = live_tokens(predicted, num_tokens=num_tokens, mask=mask)
    num_clusters = integer("num_clusters", num_clusters, at_least=1)
    return live < jnp.maximum(2, jnp.minimum(num_tokens, num_clusters) // 2)


def merged_tokens(tokens: ArrayLike, resolution: ArrayLike, *, token_mask: ArrayLike | None = None) -> jax.Array:
    """The component of every token: tokens closer together than the resolution are joined, and so are chains of them.

    These are the connected components of the graph that has an edge where `|s_j - s_k| < resolution`, computed by
    repeated squaring of its reachability matrix.

    Args:
        tokens: `[K, D]`.
        resolution: number `[]` of at least 0, in the tokens' units, may be traced. The limit
            is strict, so 0 keeps even coincident tokens apart.
        token_mask: boolean `[K]`, the tokens that exist; None keeps all.

    Returns:
        `[K]`, int32: the smallest index in the token's component; -1 for a masked token, which connects no others.
        A token with NaN is a component of its own.

    Raises:
        ValueError: wrong rank, dtype or length; resolution negative.

    Example:
        >>> import jax.numpy as jnp, tokdyn as td
        >>> tokens = jnp.array([[0.0], [5.0], [0.9], [1.8]])
        >>> td.metrics.merged_tokens(tokens, 1.0).tolist()
        [0, 1, 0, 0]
    """
    tokens = _tokens(tokens)
    resolution = number("resolution", resolution, tokens.dtype, at_least=0.0)
    tokens, kept = kept_tokens(tokens, token_mask)
    near = (distances(tokens, tokens) < resolution) & kept[:, None] & kept[None, :]
    return jnp.where(kept, first_of_component(near), -1).astype(jnp.int32)


def distinct_tokens(tokens: ArrayLike, resolution: ArrayLike, *, token_mask: ArrayLike | None = None) -> jax.Array:
    """Number of tokens that remain when those closer together than the resolution are merged.

    The number of components of ``merged_tokens``.

    Args:
        tokens: `[K, D]`.
        resolution: number `[]` of at least 0, in the tokens' units, may be traced.
        token_mask: boolean `[K]`, the tokens that exist; None keeps all.

    Returns:
        `[]`, int32, from 1 to K (0 if the mask keeps none).

    Raises:
        ValueError: wrong rank, dtype or length; resolution negative.

    Example:
        >>> import jax.numpy as jnp, tokdyn as td
        >>> int(td.metrics.distinct_tokens(jnp.array([[0.0], [5.0], [0.9], [1.8]]), 1.0))
        2
    """
    components = merged_tokens(tokens, resolution, token_mask=token_mask)
    # Every component is identified by one of its own tokens.
    return jnp.sum(components == jnp.arange(components.shape[0]), dtype=jnp.int32)


def merged_adjusted_rand_index(
    labels: ArrayLike,
    predicted: ArrayLike,
    tokens: ArrayLike,
    *,
    resolution: ArrayLike,
    num_labels: int,
    mask: ArrayLike | None = None,
    token_mask: ArrayLike | None = None,
    dtype: DTypeLike | None = None,
) -> jax.Array:
    """Adjusted Rand index after tokens closer together than the resolution have been merged into one cluster.

    `ARI(labels, component[predicted])` with the components of ``merged_tokens``. Plain ARI is unreliable once tokens
    have merged: the argmax over numerically equal responsibilities cuts the data along arbitrary planes. In the
    published setting it gives 0.45 at total collapse, where this function gives 0.

    Args:
        labels: integers `[N]`, from 0 to num_labels - 1; others are ignored.
        predicted: integers `[N]`, the token of every feature; one that does not exist is ignored.
        tokens: `[K, D]`.
        resolution: number `[]` of at least 0, in the tokens' units, may be traced.
        num_labels: static number of labels.
        mask: boolean `[N]`, the features that count; None keeps all.
        token_mask: boolean `[K]`, the tokens that exist; None keeps all.
        dtype: dtype of the result; None means JAX's default float.

    Returns:
        `[]`, as ``adjusted_rand_index``.

    Raises:
        ValueError: wrong ranks, dtypes or lengths; resolution negative.

    Example:
        >>> import jax.numpy as jnp, tokdyn as td
        >>> labels, predicted = jnp.array([0, 0, 1, 1]), jnp.array([0, 1, 2, 2])
        >>> tokens = jnp.array([[0.0], [1e-6], [5.0]])
        >>> td.metrics.merged_adjusted_rand_index(
        ...     labels, predicted, tokens, resolution=0.1, num_labels=2
        ... ).item()
        1.0
    """
    components = merged_tokens(tokens, resolution, token_mask=token_mask)
    num_tokens = components.shape[0]
    predicted = integers("predicted", predicted)
    kept = counted(predicted, num_tokens, mask)
    merged = components[jnp.where(kept, predicted, 0)]
    return adjusted_rand_index(labels, merged, num_labels=num_labels, num_predicted=num_tokens, mask=kept, dtype=dtype)


def usage_perplexity(assignment: ArrayLike, *, mask: ArrayLike | None = None) -> jax.Array:
    """Number of tokens in use, as the perplexity of the mean assignment.

    `exp(H(p))` with `p_k = mean_i w_ik`. It does not detect merging: at total collapse every token takes an equal
    share of every feature, and the result is K. Use ``distinct_tokens`` for that.

    Args:
        assignment: `[N, K]`, rows that sum to one.
        mask: boolean `[N]`, the features that count; None keeps all. Masked rows may be NaN.

    Returns:
        `[]` in 1 to K; NaN if no feature counts.

    Raises:
        ValueError: wrong rank, dtype or length.

    Example:
        >>> import jax.numpy as jnp, tokdyn as td
        >>> round(float(td.metrics.usage_perplexity(jnp.array([[1.0, 0.0], [0.0, 1.0]]))), 6)
        2.0
    """
    assignment, kept = _assignment(assignment, mask)
    return _unless_empty(jnp.exp(jnp.sum(_entropy_terms(masked_mean(assignment, kept)))), kept)


def mean_assignment_entropy(assignment: ArrayLike, *, mask: ArrayLike | None = None) -> jax.Array:
    """Mean entropy of a feature's assignment: 0 if it belongs to one token, ln K if all tokens share it evenly.

    `mean_i -sum_k w_ik ln w_ik`.

    Args:
        assignment: `[N, K]`, rows that sum to one.
        mask: boolean `[N]`, the features that count; None keeps all. Masked rows may be NaN.

    Returns:
        `[]` in nats, 0 to ln K; NaN if no feature counts.

    Raises:
        ValueError: wrong rank, dtype or length.

    Example:
        >>> import jax.numpy as jnp, tokdyn as td
        >>> round(float(td.metrics.mean_assignment_entropy(jnp.full((3, 2), 0.5))), 4)
        0.6931
    """
    assignment, kept = _assignment(assignment, mask)
    return _unless_empty(masked_mean(jnp.sum(_entropy_terms(assignment), axis=1), kept), kept)


def min_token_distance(tokens: ArrayLike, *, token_mask: ArrayLike | None = None) -> jax.Array:
    """Smallest distance between two tokens, over the pairs that do not coincide exactly.

    `min {|s_j - s_k| : |s_j - s_k| != 0}`, the published rule. Differentiable wherever the nearest pair is
    unique.

    Args:
        tokens: `[K, D]`.
        token_mask: boolean `[K]`, the tokens that exist; None keeps all.

    Returns:
        `[]`. Infinity if there is no pair; NaN if all tokens coincide (the published code raises an error in this
        case, which ``all_coincident`` detects) or if a token has NaN. Differences whose square underflows (below
        1e-19 in float32) count as zero.

    Raises:
        ValueError: wrong rank, dtype or length.

    Example:
        >>> import jax.numpy as jnp, tokdyn as td
        >>> float(td.metrics.min_token_distance(jnp.array([[0.0, 0.0], [0.0, 0.0], [3.0, 4.0]])))
        5.0
    """
    apart, pairs = _pair_distances(tokens, token_mask)
    # `!= 0` also holds for NaN, which the minimum then passes on.
    smallest = jnp.min(jnp.where(pairs & (apart != 0), apart, jnp.inf))
    return jnp.where(_coincide(apart, pairs), jnp.nan, smallest)


def all_coincident(tokens: ArrayLike, *, token_mask: ArrayLike | None = None) -> jax.Array:
    """Whether there are several tokens, all at exactly one point, so that ``min_token_distance`` is undefined.

    `|s_j - s_k| = 0` for every pair.

    Args:
        tokens: `[K, D]`.
        token_mask: boolean `[K]`, the tokens that exist; None keeps all.

    Returns:
        `[]`, boolean; False for fewer than two tokens, or if a token has NaN.

    Raises:
        ValueError: wrong rank, dtype or length.

    Example:
        >>> import jax.numpy as jnp, tokdyn as td
        >>> [bool(td.metrics.all_coincident(jnp.ones((num_tokens, 2)))) for num_tokens in (3, 1)]
        [True, False]
    """
    return _coincide(*_pair_distances(tokens, token_mask))


def first_of_component(near: EitherArray) -> Any:
    """The smallest index reachable from each node `[K]` of a graph `[K, K]`, given by NumPy or JAX booleans."""
    xp, size = namespace(near), near.shape[0]
    reach = near | xp.eye(size, dtype=bool)
    for _ in range((size - 1).bit_length()):  # 2^steps >= K - 1, the longest chain
        paths = reach.astype(xp.float32)  # zeros and ones: a matrix unit may round its inputs
        further = paths @ paths > 0
        if xp is np and (further == reach).all():
            break
        reach = further
    return xp.argmax(reach, axis=1)


def _tokens(tokens: Any) -> jax.Array:
    array = floating("tokens", tokens, axes="[K, D]")
    if array.shape[0] == 0:
        raise bad("tokens", "at least one token", f"shape {array.shape}")
    return array


def _pair_distances(tokens: Any, token_mask: Any) -> tuple[jax.Array, jax.Array]:
    """Distances `[K, K]`, and which entries are a pair of different tokens that exist."""
    array, kept = kept_tokens(_tokens(tokens), token_mask)
    pairs = ~jnp.eye(array.shape[0], dtype=bool) & kept[:, None] & kept[None, :]
    return distances(array, array), pairs


def _coincide(apart: jax.Array, pairs: jax.Array) -> jax.Array:
    return jnp.any(pairs) & ~jnp.any(pairs & (apart != 0))


def _assignment(assignment: Any, mask: Any) -> tuple[jax.Array, jax.Array]:
    """The assignment with zeros where masked, and the mask `[N]`."""
    array = floating("assignment", assignment, axes="[N, K]")
    mask = boolean_mask("mask", mask, array.shape[0], axes="[N]")
    kept = jnp.ones(array.shape[0], dtype=bool) if mask is None else mask
    return jnp.where(kept[:, None], array, 0), kept


def _entropy_terms(shares: jax.Array) -> jax.Array:
    """``-p ln p``, zero at zero, and its gradient there zero instead of infinite."""
    some = shares != 0
    return jnp.where(some, -shares * jnp.log(jnp.where(some, shares, 1)), 0)


def _unless_empty(value: jax.Array, kept: jax.Array) -> jax.Array:
    return jnp.where(jnp.any(kept), value, jnp.nan)
