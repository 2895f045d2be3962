"""Evaluators that tests in this and in other processes share."""

import jax
import jax.numpy as jnp

import tokdyn as td

BASE = {"dynamics": td.catalog.published("inertia_repulsion"), "noise": 0.5}
SPACE = td.grid({"dynamics.attract.temperature": [0.5, 1.0, 4.0], "noise": [0.3, 0.6]})


def fit(config, key):
    """A small study: scalars of three dtypes and an array."""
    scene = td.data.blobs(key, num_clusters=3, noise=config["noise"], points_per_cluster=20, num_dimensions=2)
    result = td.run(config["dynamics"], key, scene.features, num_tokens=3, max_steps=30, tol=1e-3)
    return {
        "residual": result.residual,
        "num_steps": result.num_steps,
        "merged": td.metrics.distinct_tokens(result.tokens, 0.1) < 3,
        "tokens": result.tokens,
    }


DIMS = {"tokens": ("token", "dimension")}


def slow(config, key):
    """A run of about 20 ms as tests compile it, whatever its numbers: something to be killed in."""
    draw = jax.random.normal(key, (64, 64))
    total = jax.lax.fori_loop(0, 400, lambda _, x: jnp.tanh(x @ draw) + config["shift"], draw)
    return {"total": total.sum()}
