"""The scenes of the study and where their tokens start: the published streams, or drawn from a JAX key."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from tokdyn import keys
from tokdyn.data import Blobs, blobs, published_blobs, published_tokens
from tokdyn.solve import random_features, vmap
from tokdyn.studies.dynamics.design import Config, Shape

# The published jitter of the starting tokens, also used for native data.
JITTER = 0.05


def chunks_of(config: Config, precision: str) -> Iterator[tuple[np.ndarray, Blobs, Any, Any]]:
    """Scenes of a chunk of seeds, flattened over (noise, clusters, seed); every chunk has one shape.

    Args:
        config: the design.
        precision: ``"float32"`` or ``"float64"``.

    Yields:
        ``(seeds, scenes, tokens, num_clusters)``; the last chunk repeats its last seed up to the full size.
    """
    size = min(config.chunk, config.seeds)
    grid = [(noise, count) for noise in config.noises for count in config.clusters]
    for first in range(0, config.seeds, size):
        seeds = np.arange(first, min(first + size, config.seeds))
        padded = np.pad(seeds, (0, size - len(seeds)), mode="edge")
        num_clusters = np.repeat([count for _, count in grid], size)
        if config.data == "native":
            noise = np.repeat([noise for noise, _ in grid], size)
            seed = np.tile(padded, len(grid))
            scenes, tokens = native_scenes(
                jax.random.key(config.key),
                seed,
                noise,
                num_clusters,
                shape=Shape(config.num_tokens, config.max_steps, max(config.clusters)),
                points_per_cluster=config.points_per_cluster,
                num_dimensions=config.num_dimensions,
                dtype=precision,
            )
        else:
            scenes, tokens = published_scenes(config, grid, padded, precision)
        yield seeds, scenes, tokens, num_clusters


def published_scenes(
    config: Config, grid: list[tuple[float, int]], seeds: np.ndarray, precision: str
) -> tuple[Blobs, np.ndarray]:
    """The study's own scenes `[R, ...]` and starting tokens `[R, K, D]`, from NumPy's legacy generator."""
    drawn = {}
    for number, seed in enumerate(seeds):  # a seed's conditions together: they share its draws
        for cell, (noise, count) in enumerate(grid):
            scene = published_blobs(
                int(seed),
                num_clusters=count,
                noise=noise,
                max_clusters=max(config.clusters),
                points_per_cluster=config.points_per_cluster,
                num_dimensions=config.num_dimensions,
            )
            drawn[cell, number] = scene, published_tokens(scene, int(seed), num_tokens=config.num_tokens)
    scenes, starts = zip(*(drawn[place] for place in sorted(drawn)), strict=True)
    stacked = Blobs(*(np.stack(leaves) for leaves in zip(*scenes, strict=True)))
    return stacked._replace(features=stacked.features.astype(precision)), np.stack(starts).astype(precision)


@functools.partial(jax.jit, static_argnames=("shape", "points_per_cluster", "num_dimensions", "dtype"))
def native_scenes(
    key: jax.Array,
    seed: jax.Array,
    noise: jax.Array,
    num_clusters: jax.Array,
    *,
    shape: Shape,
    points_per_cluster: int,
    num_dimensions: int,
    dtype: str,
) -> tuple[Blobs, jax.Array]:
    """Scenes and starting tokens from a key: one seed gives the same draws in every condition, as published."""

    def one(seed: jax.Array, noise: jax.Array, count: jax.Array) -> tuple[Blobs, jax.Array]:
        seed_key = keys.for_seed(key, seed)
        scene = blobs(
            keys.for_purpose(seed_key, "data"),
            num_clusters=count,
            noise=noise,
            max_clusters=shape.num_labels,
            points_per_cluster=points_per_cluster,
            num_dimensions=num_dimensions,
            dtype=dtype,
        )
        start = random_features(
            keys.for_purpose(seed_key, "tokens"), scene.features, shape.num_tokens, mask=scene.mask, jitter=JITTER
        )
        return scene, start

    return vmap(one)(seed, noise, num_clusters)
