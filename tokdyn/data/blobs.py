"""Gaussian clusters: those of the published study, drawn by NumPy's legacy generator, and native ones from a key.

Both have a fixed shape for every number of clusters (rows that do not exist are masked), so that all conditions share
one compiled program.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from numpy.typing import ArrayLike

from tokdyn import checks, draws, keys


class Blobs(NamedTuple):
    """Clustered features; under vmap every leaf has leading axes.

    Attributes:
        features: `[N, D]`; masked rows are zero.
        labels: the cluster each feature was drawn from `[N]`.
        mask: which features exist `[N]`.
        centres: centres of the clusters `[L, D]`, where L is the largest number of clusters.
    """

    features: Any
    labels: Any
    mask: Any
    centres: Any


def blobs(
    key: jax.Array,
    *,
    num_clusters: ArrayLike,
    noise: ArrayLike,
    max_clusters: int | None = None,
    points_per_cluster: int = 80,
    num_dimensions: int = 6,
    spread: float = 5.0,
    dtype: DTypeLike | None = None,
) -> Blobs:
    r"""Isotropic Gaussian clusters around uniform centres, as a pure function of a key.

    .. math:: c_l \sim \mathcal U(-a, a)^D,\qquad x_i \sim \mathcal N(c_{l(i)}, \sigma^2 I)

    One key gives one scene: other noise levels scale the same draws, and a smaller number of clusters gives the first
    ones of a larger number.

    Args:
        key: a JAX key.
        num_clusters: how many clusters exist `[]`; may be traced if ``max_clusters`` is given.
        noise: `\sigma` `[]`, may be traced.
        max_clusters: L, which fixes the shape for all numbers of clusters (static); by default ``num_clusters``.
        points_per_cluster: features of each cluster (static).
        num_dimensions: D (static).
        spread: `a`, half the width of the box that contains the centres.
        dtype: floating dtype; by default JAX's default float.

    Returns:
        ``Blobs`` with N = L * points_per_cluster.

    Raises:
        ValueError: a count that is not a positive static integer, or more clusters than ``max_clusters``.

    Example:
        >>> import jax, tokdyn as td
        >>> scene = td.data.blobs(jax.random.key(0), num_clusters=3, noise=0.5, max_clusters=5)
        >>> scene.features.shape, int(scene.mask.sum())
        ((400, 6), 240)
    """
    if max_clusters is None:
        max_clusters = checks.whole_number("num_clusters", num_clusters, at_least=1)
    max_clusters = checks.whole_number("max_clusters", max_clusters, at_least=1)
    points_per_cluster = checks.whole_number("points_per_cluster", points_per_cluster, at_least=1)
    num_dimensions = checks.whole_number("num_dimensions", num_dimensions, at_least=1)
    if checks.is_concrete(num_clusters) and np.max(num_clusters) > max_clusters:
        raise checks.bad("num_clusters", f"at most max_clusters, {max_clusters}", num_clusters)
    dtype = jnp.result_type(float) if dtype is None else dtype
    centres = draws.uniform(keys.for_purpose(key, "centres"), (max_clusters, num_dimensions), dtype, -spread, spread)
    shape = (max_clusters, points_per_cluster, num_dimensions)
    features = centres[:, None, :] + jnp.asarray(noise, dtype) * draws.normal(
        keys.for_purpose(key, "features"), shape, dtype
    )
    labels = jnp.repeat(jnp.arange(max_clusters), points_per_cluster)
    mask = labels < jnp.asarray(num_clusters)
    return Blobs(jnp.where(mask[:, None], features.reshape(-1, num_dimensions), 0), labels, mask, centres)


def published_blobs(
    seed: int,
    *,
    num_clusters: int,
    noise: float,
    max_clusters: int | None = None,
    points_per_cluster: int = 80,
    num_dimensions: int = 6,
) -> Blobs:
    """The published study's scene for a seed, in NumPy and float64.

    JAX cannot produce NumPy's legacy streams, so these are drawn on the host: centres uniform in (-5, 5), then each
    cluster's normal displacements, in order, from one generator seeded with the seed. For one seed all noise levels
    scale the same draws, and all cluster counts share their first centres.

    Args:
        seed: seed of the legacy generator.
        num_clusters: how many clusters exist.
        noise: standard deviation of a cluster.
        max_clusters: pad to this many clusters; by default there is no padding.
        points_per_cluster: features of each cluster.
        num_dimensions: D.

    Returns:
        ``Blobs`` of NumPy arrays.

    Raises:
        ValueError: a count that is not a positive integer, or more clusters than ``max_clusters``.

    Example:
        >>> import tokdyn as td
        >>> td.data.published_blobs(0, num_clusters=3, noise=0.3).features[0].round(3).tolist()
        [0.621, 2.252, 1.476, 0.387, -0.67, 1.203]
    """
    num_clusters = checks.whole_number("num_clusters", num_clusters, at_least=1)
    max_clusters = (
        num_clusters if max_clusters is None else checks.whole_number("max_clusters", max_clusters, at_least=1)
    )
    if num_clusters > max_clusters:
        raise checks.bad("num_clusters", f"at most max_clusters, {max_clusters}", num_clusters)
    drawn, displacements = _published_draws(int(seed), num_clusters, points_per_cluster, num_dimensions)
    centres = np.zeros((max_clusters, num_dimensions))
    centres[:num_clusters] = drawn
    features = np.zeros((max_clusters, points_per_cluster, num_dimensions))
    features[:num_clusters] = drawn[:, None, :] + noise * displacements
    labels = np.repeat(np.arange(max_clusters), points_per_cluster)
    return Blobs(features.reshape(-1, num_dimensions), labels, labels < num_clusters, centres)


@functools.lru_cache(maxsize=64)
def _published_draws(seed: int, num_clusters: int, points_per_cluster: int, num_dimensions: int) -> Any:
    """Centres `[L, D]` and standard normal displacements `[L, P, D]`, which all noise levels of a seed scale."""
    generator = np.random.RandomState(seed)
    centres = generator.uniform(-5.0, 5.0, size=(num_clusters, num_dimensions))
    return centres, generator.normal(0.0, 1.0, size=(num_clusters, points_per_cluster, num_dimensions))


def published_tokens(blobs: Blobs, seed: int, *, num_tokens: int = 4) -> np.ndarray:
    """The published study's starting tokens: features drawn without replacement, plus normal(0, 0.05).

    Args:
        blobs: from ``published_blobs``.
        seed: the scene's seed; the generator is seeded with ``seed + 1234``.
        num_tokens: K.

    Returns:
        Tokens `[K, D]`, float64.

    Raises:
        ValueError: more tokens than features.
    """
    existing = np.asarray(blobs.features)[np.asarray(blobs.mask)]
    if num_tokens > len(existing):
        raise checks.bad("num_tokens", f"at most the number of features, {len(existing)}", num_tokens)
    rows, jitter = _published_start(int(seed), len(existing), num_tokens, existing.shape[1])
    return existing[rows] + jitter


@functools.lru_cache(maxsize=64)
def _published_start(seed: int, num_features: int, num_tokens: int, num_dimensions: int) -> Any:
    """Rows `[K]` of the features at which tokens start, and their jitter `[K, D]`."""
    generator = np.random.RandomState(seed + 1234)
    rows = generator.choice(num_features, size=num_tokens, replace=False)
    return rows, generator.normal(scale=0.05, size=(num_tokens, num_dimensions))
