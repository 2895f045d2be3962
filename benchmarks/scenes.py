"""The inputs of the rows: scenes of the published study, or large ones, all drawn by NumPy from fixed seeds."""

from __future__ import annotations

import numpy as np

JITTER = 0.05


def blobs(
    num_runs: int,
    *,
    num_clusters: int,
    points_per_cluster: int,
    num_dimensions: int,
    num_tokens: int,
    noise: float = 0.6,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features `[R, N, D]`, starting tokens `[R, K, D]`, both float32, and labels `[N]`."""
    generator = np.random.default_rng(seed)
    centres = generator.uniform(-5.0, 5.0, (num_runs, num_clusters, 1, num_dimensions))
    shape = (num_runs, num_clusters, points_per_cluster, num_dimensions)
    features = (centres + generator.normal(0.0, noise, shape)).reshape(num_runs, -1, num_dimensions)
    # K different rows of every run: the places of the K smallest of N random numbers.
    rows = np.argpartition(generator.random(features.shape[:2]), num_tokens, axis=1)[:, :num_tokens]
    tokens = np.take_along_axis(features, rows[:, :, None], axis=1)
    tokens = tokens + generator.normal(0.0, JITTER, tokens.shape)
    labels = np.repeat(np.arange(num_clusters), points_per_cluster)
    return features.astype(np.float32), tokens.astype(np.float32), labels
