"""How many tokens remain when those that have merged count as one."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from tokdyn.dynamics import arrangement
from tokdyn.dynamics.arrangement import product
from tokdyn.numerics import binary_scale, masked_mean, row_sums

# Tokens closer together than this fraction of the features' spread count as one. When a run stops, merging tokens are
# about the tolerance apart, which is far less; useful clusters are farther apart.
RESOLUTION = 0.01
# How many numbers are held at a time, as differences `[tokens, K, D]` or products `[tokens, K]`.
MOST_NUMBERS = 1 << 16


def num_distinct(
    tokens: jax.Array, features: jax.Array, mask: jax.Array | None, token_mask: jax.Array | None
) -> jax.Array:
    """The number of tokens that have no earlier token within ``RESOLUTION``; uses no array much larger than the tokens.

    Args:
        tokens: `[K, D]`.
        features: `[N, D]`; without a mask, a large set is represented by an evenly spaced sample.
        mask: which features exist `[N]`, or None for all.
        token_mask: which tokens exist `[K]`, or None for all.

    Returns:
        The number `[]`, without a gradient.
    """
    tokens, features = jax.lax.stop_gradient((tokens, features))
    centre, spread = _centre_and_spread(features, mask)
    num_tokens, dimension = tokens.shape
    exists = jnp.ones(num_tokens, bool) if token_mask is None else token_mask

    def count(near_to: Callable[[jax.Array], jax.Array], numbers_each: int) -> jax.Array:
        order = jnp.arange(num_tokens)
        is_new = lambda number: exists[number] & ~jnp.any(near_to(number) & exists & (order < number))  # noqa: E731
        at_once = max(1, MOST_NUMBERS // numbers_each)
        every = jax.vmap(is_new) if at_once >= num_tokens else lambda x: jax.lax.map(is_new, x, batch_size=at_once)
        return jnp.sum(every(order), dtype=jnp.int32)

    def by_differences() -> jax.Array:
        def near_to(number: jax.Array) -> jax.Array:
            gaps = tokens - tokens[number]
            gaps = jnp.where(gaps == 0, 0.0, gaps / (RESOLUTION * spread))  # the spread may be 0
            return row_sums(gaps * gaps) <= 1.0

        return count(near_to, tokens.size)

    if num_tokens * tokens.size <= MOST_NUMBERS:
        return by_differences()
    own = (tokens - centre) / jnp.where(spread > 0, spread, 1.0)
    squares = row_sums(own * own)

    def by_products() -> jax.Array:
        return count(lambda n: squares[n] + squares - 2.0 * product(own, own[n]) <= RESOLUTION**2, num_tokens)

    # Accurate to a twentieth of the resolution; for tokens far outside, infinite or NaN, differences are used instead.
    furthest = jnp.max(squares, initial=0.0, where=exists)
    rounding = dimension**0.5 * float(jnp.finfo(tokens.dtype).eps) * furthest
    return jax.lax.cond((rounding < 0.1 * RESOLUTION**2) & (spread > 0), by_products, by_differences)


def _centre_and_spread(features: jax.Array, mask: jax.Array | None) -> tuple[jax.Array, jax.Array]:
    """Mean of the features `[D]`, and their root mean square distance from it `[]`, safe at every scale."""
    features = features if mask is not None else arrangement.some_of(features)
    scale = binary_scale(features)
    mean = arrangement.mean_of_rows(features, mask, scale)
    away = features * (1.0 / scale) - mean
    return scale * mean, scale * jnp.sqrt(masked_mean(row_sums(away * away), mask))
