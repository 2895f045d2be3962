"""The published rule as one would write it in JAX without tokdyn, and the least that XLA needs for its arithmetic.

All forms but the floor take features `[R, N, D]` and starting tokens `[R, K, D]`, and return what users want:
tokens `[R, K, D]` and the assignment at the end `[R, N, K]`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

from benchmarks.published_loop import EPS, MASS_FLOOR, RATE, TEMPERATURE

Weights = Callable[[jax.Array, jax.Array], jax.Array]
# Of blocks of 8, 16, 32 runs none was faster than 16 by more than the noise (2 MB of second-level cache).
FLOOR_BLOCK = 16


def by_differences(features: jax.Array, tokens: jax.Array) -> jax.Array:
    """The assignment `[N, K]`; squared distances from broadcast differences `[N, K, D]`."""
    squared = jnp.sum((features[:, None, :] - tokens[None, :, :]) ** 2, axis=-1)
    return jax.nn.softmax(-squared / TEMPERATURE, axis=-1)


def by_product(features: jax.Array, tokens: jax.Array) -> jax.Array:
    """The same `[N, K]`; squared distances from one matrix product."""
    squared = jnp.sum(features**2, axis=1)[:, None] - 2.0 * features @ tokens.T + jnp.sum(tokens**2, axis=1)[None, :]
    return jax.nn.softmax(-squared / TEMPERATURE, axis=-1)


def push_apart(tokens: jax.Array) -> jax.Array:
    """Repulsion of strength 1 `[K, D]`."""
    differences = tokens[:, None, :] - tokens[None, :, :]
    squared = jnp.sum(differences**2, axis=-1)
    distances = jnp.sqrt(squared) + EPS
    return jnp.sum(differences / distances[:, :, None] ** 3, axis=1)


def one_run(
    assign: Weights, num_steps: int, momentum: jax.Array, strength: jax.Array, features: jax.Array, tokens: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """One run of a fixed number of steps, as a scan; tokens and the assignment."""

    def step(carried: tuple[jax.Array, jax.Array], _: None) -> tuple[tuple[jax.Array, jax.Array], None]:
        tokens, before = carried
        weights = assign(features, tokens)
        means = (weights.T @ features) / (weights.sum(axis=0)[:, None] + MASS_FLOOR)
        displacement = RATE * (means - tokens)
        displacement += strength * push_apart(tokens) + momentum * (tokens - before)
        return (tokens + displacement, tokens), None

    (tokens, _), _ = jax.lax.scan(step, (tokens, tokens), None, length=num_steps)
    return tokens, assign(features, tokens)


@functools.partial(jax.jit, static_argnums=0)
def vmap_scan_differences(
    num_steps: int, momentum: jax.Array, strength: jax.Array, features: jax.Array, tokens: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """``vmap`` of a scan, broadcast differences."""
    one = functools.partial(one_run, by_differences, num_steps, momentum, strength)
    return jax.vmap(one)(features, tokens)


@functools.partial(jax.jit, static_argnums=0)
def vmap_scan_product(
    num_steps: int, momentum: jax.Array, strength: jax.Array, features: jax.Array, tokens: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """``vmap`` of a scan, matrix product."""
    one = functools.partial(one_run, by_product, num_steps, momentum, strength)
    return jax.vmap(one)(features, tokens)


@functools.partial(jax.jit, static_argnums=0)
def map_of_one_run(
    num_steps: int, momentum: jax.Array, strength: jax.Array, features: jax.Array, tokens: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """``lax.map`` of one run, matrix product."""
    one = functools.partial(one_run, by_product, num_steps, momentum, strength)
    return jax.lax.map(lambda run: one(*run), (features, tokens))


FORMS = {
    "vmap(scan), broadcast differences": vmap_scan_differences,
    "vmap(scan), matrix product": vmap_scan_product,
    "lax.map of one run, matrix product": map_of_one_run,
}


@functools.partial(jax.jit, static_argnums=0)
def floor(num_steps: int, features: jax.Array, tokens: jax.Array) -> jax.Array:
    """What is left of a run without all that is small: two matrix products and an exponential, in blocks.

    No maximum, no normalisation, no repulsion, no inertia, no stopping. What it computes is not the rule; the work is
    that of the rule's large arrays. Features are scaled so that no exponential overflows.

    Args:
        num_steps: static.
        features: `[R, N, D]`.
        tokens: `[R, K, D]`.

    Returns:
        `[R', K, D + 1]`, R' the largest multiple of the block within R.
    """
    num_runs, num_features, num_dimensions = features.shape
    blocks = num_runs // FLOOR_BLOCK
    scaled = jnp.concatenate([features * 0.01, jnp.full((num_runs, num_features, 1), 0.01)], axis=2)
    with_offset = jnp.concatenate([tokens * 0.01, jnp.ones((num_runs, tokens.shape[1], 1))], axis=2)

    def block(arrays: tuple[jax.Array, jax.Array]) -> jax.Array:
        columns, start = arrays  # [B, D + 1, N], [B, K, D + 1]

        def step(_: int, moving: jax.Array) -> jax.Array:
            weights = jnp.exp(jnp.matmul(moving, columns))
            return jnp.matmul(weights, jnp.swapaxes(columns, 1, 2)) / num_features

        return jax.lax.fori_loop(0, num_steps, step, start)

    shaped = jax.tree.map(
        lambda x: x[: blocks * FLOOR_BLOCK].reshape(blocks, FLOOR_BLOCK, *x.shape[1:]),
        (jnp.swapaxes(scaled, 1, 2), with_offset),
    )
    return jax.lax.map(block, shaped).reshape(-1, tokens.shape[1], num_dimensions + 1)
