"""How well a hard assignment fits the features, without using labels."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from numpy.typing import ArrayLike

from tokdyn.checks import bad, floating, whole_number
from tokdyn.metrics._arrays import at_least_float32, counted, distances, integers
from tokdyn.numerics import masked_mean

# Rows of the distance matrix that exist at once: memory grows as N, not as N^2.
_ROWS_AT_ONCE = 32


def sum_squared_errors(
    features: ArrayLike, tokens: ArrayLike, predicted: ArrayLike, *, mask: ArrayLike | None = None
) -> jax.Array:
    """Sum of squared distances between the features and the tokens they are assigned to.

    `sum_i |x_i - s_{predicted_i}|^2`, the k-means objective.

    Args:
        features: `[N, D]`.
        tokens: `[K, D]`.
        predicted: integers `[N]`, the token of every feature; one outside 0 to K - 1 is ignored.
        mask: boolean `[N]`, the features that count; None keeps all. Masked features may be NaN.

    Returns:
        `[]`, in the features' dtype; 0 if no feature counts.

    Raises:
        ValueError: wrong ranks, dtypes or lengths.

    Example:
        >>> import jax.numpy as jnp, tokdyn as td
        >>> features, tokens = jnp.array([[0.0], [1.0], [5.0]]), jnp.array([[0.0], [4.0]])
        >>> float(td.metrics.sum_squared_errors(features, tokens, jnp.array([0, 0, 1])))
        2.0
    """
    features = floating("features", features, axes="[N, D]")
    tokens = floating("tokens", tokens, axes="[K, D]")
    if tokens.shape[1] != features.shape[1] or tokens.shape[0] == 0:
        raise bad("tokens", f"at least one token of {features.shape[1]} components", f"shape {tokens.shape}")
    predicted = integers("predicted", predicted, length=features.shape[0])
    kept = counted(predicted, tokens.shape[0], mask)
    nearest = tokens[jnp.where(kept, predicted, 0)]
    differences = jnp.where(kept[:, None], at_least_float32(features) - at_least_float32(nearest), 0)
    return jnp.sum(differences * differences).astype(features.dtype)


def silhouette(
    features: ArrayLike, predicted: ArrayLike, *, num_predicted: int, mask: ArrayLike | None = None
) -> jax.Array:
    """Mean silhouette: how much closer a feature is to its own cluster than to the next one.

    `s_i = (b_i - a_i) / max(a_i, b_i)`, with `a_i` the mean Euclidean distance to the other features of its
    cluster and `b_i` the smallest mean distance to another cluster; `s_i = 0` for a cluster of one. The mean
    is over all features.

    Args:
        features: `[N, D]`.
        predicted: integers `[N]`; one outside 0 to num_predicted - 1 is ignored.
        num_predicted: static number of predicted ids.
        mask: boolean `[N]`, the features that count; None keeps all. Masked features may be NaN.

    Returns:
        `[]` in -1 to 1, in the features' dtype; NaN unless the number of clusters in use is at least 2 and
        smaller than the number of features that count.

    Raises:
        ValueError: wrong ranks, dtypes or lengths.

    References:
        Rousseeuw, "Silhouettes", Journal of Computational and Applied Mathematics 20 (1987), 53-65.

    Example:
        >>> import jax.numpy as jnp, tokdyn as td
        >>> features = jnp.array([[0.0], [1.0], [10.0], [11.0]])
        >>> round(float(td.metrics.silhouette(features, jnp.array([0, 0, 1, 1]), num_predicted=2)), 4)
        0.8997
    """
    features = floating("features", features, axes="[N, D]")
    predicted = integers("predicted", predicted, length=features.shape[0])
    num_predicted = whole_number("num_predicted", num_predicted, at_least=1)
    kept = counted(predicted, num_predicted, mask)
    dtype = features.dtype
    if features.shape[0] == 0:
        return jnp.asarray(jnp.nan, dtype)
    features = jnp.where(kept[:, None], at_least_float32(features), 0)
    membership = jax.nn.one_hot(predicted, num_predicted, dtype=features.dtype) * kept[:, None]
    sizes = jnp.sum(membership, axis=0)

    def distances_to_clusters(feature: jax.Array) -> jax.Array:
        # Full precision: a GPU may otherwise round the distances to ten bits before it adds them.
        row = distances(feature[None], features)[0]
        return jnp.matmul(row, membership, precision=jax.lax.Precision.HIGHEST)

    totals = jax.lax.map(distances_to_clusters, features, batch_size=_ROWS_AT_ONCE)  # [N, P]
    own_size = sizes[jnp.where(kept, predicted, 0)]
    within = jnp.sum(totals * membership, axis=1) / jnp.maximum(own_size - 1, 1)
    is_other = (sizes > 0) & (membership == 0)
    between = jnp.min(jnp.where(is_other, totals / jnp.maximum(sizes, 1), jnp.inf), axis=1)
    larger = jnp.maximum(within, between)
    is_zero = (own_size <= 1) | (larger == 0)
    scores = jnp.where(is_zero, 0, (between - within) / jnp.where(is_zero, 1, larger))
    num_used, num_kept = jnp.sum(sizes > 0), jnp.sum(kept)
    is_defined = (num_used >= 2) & (num_used < num_kept)
    return jnp.where(is_defined, masked_mean(scores, kept), jnp.nan).astype(dtype)
