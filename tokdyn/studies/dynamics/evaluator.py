"""The study's run as an evaluator for sweeps: any path of the rule or the data can be varied."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from tokdyn import keys
from tokdyn.data import blobs
from tokdyn.dynamics import catalog
from tokdyn.solve import random_features
from tokdyn.studies.dynamics.design import Shape
from tokdyn.studies.dynamics.experiment import evaluate
from tokdyn.studies.dynamics.scenes import JITTER

BASE = {
    "dynamics": catalog.published("inertia_repulsion"),
    "data": {"noise": 0.6, "clusters": 4},
    "tol": 1e-3,
    "resolution": 0.1,
}


def evaluate_native(
    config: dict[str, Any],
    key: jax.Array,
    *,
    num_tokens: int = 4,
    max_steps: int = 30,
    max_clusters: int = 5,
    points_per_cluster: int = 80,
    num_dimensions: int = 6,
) -> dict[str, jax.Array]:
    """One run on native data, scored as in the study.

    Args:
        config: as ``BASE``.
        key: of the scene and the start.
        num_tokens: K (static).
        max_steps: at most so many steps (static).
        max_clusters: the largest number of clusters that any cell asks for (static).
        points_per_cluster: features of each cluster (static).
        num_dimensions: D (static).

    Returns:
        One number for every name of ``experiment.VARIABLES``.

    Example:
        >>> import jax
        >>> from tokdyn.studies.dynamics.evaluator import BASE, evaluate_native
        >>> scores = jax.jit(evaluate_native)(BASE, jax.random.key(0))
        >>> bool(0.0 <= scores["purity"] <= 1.0)
        True
    """
    count = jnp.asarray(config["data"]["clusters"])
    scene = blobs(
        keys.for_purpose(key, "data"),
        num_clusters=count,
        noise=config["data"]["noise"],
        max_clusters=max_clusters,
        points_per_cluster=points_per_cluster,
        num_dimensions=num_dimensions,
    )
    start = random_features(keys.for_purpose(key, "tokens"), scene.features, num_tokens, mask=scene.mask, jitter=JITTER)
    shape = Shape(num_tokens, max_steps, max_clusters)
    return evaluate(config["dynamics"], scene, start, count, config["tol"], config["resolution"], shape=shape)
