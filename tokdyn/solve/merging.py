"""How many tokens remain when those that have merged count as one."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from tokdyn.dynamics import arrangement
from tokdyn.numerics import binary_scale, masked_mean, safe_norm

# Tokens nearer to each other than this share of the features' spread count as one. Tokens that are merging are about
# the tolerance apart when a run stops, far below; distinct clusters of any use are farther apart.
RESOLUTION = 0.01


def num_distinct(
    tokens: jax.Array, features: jax.Array, mask: jax.Array | None, token_mask: jax.Array | None
) -> jax.Array:
    """Tokens that no earlier one is nearer to than ``RESOLUTION`` `[]`; no array is larger than the tokens.

    Args:
        tokens: `[K, D]`.
        features: `[N, D]`; many of them speak through some, evenly spaced, where no mask is given.
        mask: features that exist `[N]`, or None for all.
        token_mask: tokens that exist `[K]`, or None for all.

    Returns:
        `[]`, without a gradient.
    """
    tokens, features = jax.lax.stop_gradient((tokens, features))
    resolution = RESOLUTION * _spread(features, mask)
    order = jnp.arange(tokens.shape[0])
    exists = jnp.ones(tokens.shape[0], bool) if token_mask is None else token_mask

    def is_distinct(number: jax.Array) -> jax.Array:
        near = safe_norm(tokens - tokens[number]) <= resolution
        return exists[number] & ~jnp.any(near & exists & (order < number))

    return jnp.sum(jax.lax.map(is_distinct, order), dtype=jnp.int32)


def _spread(features: jax.Array, mask: jax.Array | None) -> jax.Array:
    """Root mean square distance of features from their mean `[]`, at every scale."""
    features = features if mask is not None else arrangement.some_of(features)
    scale = binary_scale(features)
    away = features * (1.0 / scale) - arrangement.mean_of_rows(features, mask, scale)
    return scale * jnp.sqrt(masked_mean(jnp.sum(away * away, axis=1), mask))
