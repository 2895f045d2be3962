"""Libraries that cluster many small data sets, each from the same starting centres and with at most 30 steps.

A maker raises ImportError where its library is not installed; what it returns takes nothing and returns centres
`[R, K, D]`. None of them moves tokens by a softmax with a temperature: hard k-means (or a mixture with learned
variances) is the nearest that they offer.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

Fits = Callable[[], Any]
MAX_STEPS = 30


def faiss_kmeans(features: np.ndarray, starts: np.ndarray) -> Fits:
    """faiss: hard k-means in C++, one problem after another."""
    import faiss

    num_tokens, num_dimensions = starts.shape[1:]
    faiss.omp_set_num_threads(1)

    def one(points: np.ndarray, start: np.ndarray) -> np.ndarray:
        solver = faiss.Kmeans(num_dimensions, num_tokens, niter=MAX_STEPS, min_points_per_centroid=1)
        solver.train(points, init_centroids=start)
        return solver.centroids

    return lambda: np.stack([one(points, start) for points, start in zip(features, starts, strict=True)])


def sklearn_kmeans(features: np.ndarray, starts: np.ndarray) -> Fits:
    """scikit-learn: hard k-means, stops early."""
    from sklearn.cluster import KMeans

    def one(points: np.ndarray, start: np.ndarray) -> np.ndarray:
        return KMeans(len(start), init=start, n_init=1, max_iter=MAX_STEPS).fit(points).cluster_centers_

    return lambda: np.stack([one(points, start) for points, start in zip(features, starts, strict=True)])


def sklearn_mixture(features: np.ndarray, starts: np.ndarray) -> Fits:
    """scikit-learn: a spherical Gaussian mixture, soft, with learned variances; stops early."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    def one(points: np.ndarray, start: np.ndarray) -> np.ndarray:
        mixture = GaussianMixture(
            len(start), covariance_type="spherical", means_init=start, max_iter=MAX_STEPS,
            init_params="random_from_data", random_state=0,
        )  # fmt: skip
        return mixture.fit(points).means_

    def fits() -> np.ndarray:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            return np.stack([one(points, start) for points, start in zip(features, starts, strict=True)])

    return fits


def torch_kmeans(features: np.ndarray, starts: np.ndarray) -> Fits:
    """torch-kmeans: hard k-means, all problems in one batch."""
    import torch
    from torch_kmeans import KMeans

    torch.set_num_threads(1)
    points, centres = torch.from_numpy(features), torch.from_numpy(starts)
    solver = KMeans(n_clusters=starts.shape[1], num_init=1, max_iter=MAX_STEPS, verbose=False)
    return lambda: solver(points, centers=centres).centers.numpy()


def fast_pytorch_kmeans(features: np.ndarray, starts: np.ndarray) -> Fits:
    """fast-pytorch-kmeans: hard k-means, all problems in one batch."""
    import torch
    from fast_pytorch_kmeans import MultiKMeans

    torch.set_num_threads(1)
    points = torch.from_numpy(features)

    def fits() -> np.ndarray:
        solver = MultiKMeans(n_clusters=starts.shape[1], max_iter=MAX_STEPS)
        solver.fit_predict(points, centroids=torch.from_numpy(starts.copy()))
        return solver.centroids.numpy()

    return fits


def ott_kmeans(features: np.ndarray, starts: np.ndarray) -> Fits:
    """ott-jax: hard k-means in JAX, vmapped and jitted; stops early."""
    import jax
    import jax.numpy as jnp
    from ott.tools import k_means

    def one(points: jax.Array, start: jax.Array) -> jax.Array:
        given = k_means.k_means(
            points, len(start), init=lambda geometry, k, rng: start, n_init=1, max_iterations=MAX_STEPS,
            rng=jax.random.key(0),
        )  # fmt: skip
        return given.centroids

    fits = jax.jit(jax.vmap(one))
    return functools.partial(fits, jnp.asarray(features), jnp.asarray(starts))


PEERS: dict[str, Callable[[np.ndarray, np.ndarray], Fits]] = {
    "faiss, hard k-means": faiss_kmeans,
    "scikit-learn KMeans": sklearn_kmeans,
    "scikit-learn GaussianMixture, spherical": sklearn_mixture,
    "torch-kmeans": torch_kmeans,
    "fast-pytorch-kmeans": fast_pytorch_kmeans,
    "ott-jax k_means, vmap": ott_kmeans,
}
# A library that is slow is timed on the first problems only; the time counts per fit.
SLOW = {"scikit-learn KMeans": 100, "scikit-learn GaussianMixture, spherical": 50, "ott-jax k_means, vmap": 200}
# These start and step as Lloyd's algorithm does, so their centres must be those of tokdyn at temperature 0.
LLOYD = tuple(name for name in PEERS if "GaussianMixture" not in name)
