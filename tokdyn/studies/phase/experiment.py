"""Phases of token dynamics: where tokens merge, rest or oscillate, over temperature, repulsion and momentum."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray

from tokdyn import keys, metrics
from tokdyn.checks import Status
from tokdyn.data import blobs
from tokdyn.dynamics import catalog
from tokdyn.numerics import safe_norm
from tokdyn.solve import random_features, run, trajectory
from tokdyn.studies.phase.design import MOMENTUM, RATIO, REPULSION, Config
from tokdyn.sweeps import grid, sweep
from tokdyn.theory import critical_temperature
from tokdyn.tree import with_values

# Steps taken beyond the end of a run to tell an oscillation from a slow approach.
TAIL = 12


def evaluate(
    config: dict[str, Any], key: jax.Array, *, num_tokens: int, clusters: int, max_steps: int
) -> dict[str, jax.Array]:
    """One run at a temperature in units of its own scene's critical one.

    Args:
        config: dynamics, ratio, noise, tol, resolutions.
        key: of the scene and the start: the same for every cell.
        num_tokens: K (static).
        clusters: true clusters (static).
        max_steps: at most so many steps (static).

    Returns:
        The variables of ``VARIABLES``.
    """
    scene = blobs(keys.for_purpose(key, "data"), num_clusters=clusters, noise=config["noise"])
    start = random_features(keys.for_purpose(key, "tokens"), scene.features, num_tokens)
    critical = critical_temperature(scene.features)
    dynamics = with_values(config["dynamics"], {"attract.temperature": config["ratio"] * critical})
    result = run(dynamics, None, scene.features, tokens=start, max_steps=max_steps, tol=config["tol"], stop="residual")
    # A pair that repels itself may oscillate at full length for ever: it returns every second step.
    _, path = trajectory(dynamics, None, scene.features, tokens=result.tokens, num_steps=TAIL)
    one_step, two_steps = (jnp.max(safe_norm(path[-1] - path[-1 - lag])) for lag in (1, 2))
    at_rest = result.status == Status.CONVERGED
    predicted = result.assignment.argmax(axis=-1)
    resolutions = config["resolutions"] * config["noise"]
    table = metrics.contingency(scene.labels, predicted, num_labels=clusters, num_predicted=num_tokens)
    return {
        "num_steps": result.num_steps,
        "at_rest": at_rest,
        "period_two": ~at_rest & (two_steps < config["tol"]) & (one_step >= config["tol"]),
        "distinct_tokens": jax.vmap(lambda r: metrics.distinct_tokens(result.tokens, r))(resolutions),
        "ari": metrics.adjusted_rand_index_from(table),
        "merged_ari": metrics.merged_adjusted_rand_index(
            scene.labels, predicted, result.tokens, resolution=resolutions[2 % len(resolutions)], num_labels=clusters
        ),
        "critical": critical,
    }


VARIABLES = {
    "num_steps": "steps until the largest force is below tol, at most max_steps",
    "at_rest": "the largest force on a token is below tol",
    "period_two": "not at rest, but back at the same place every second step",
    "distinct_tokens": "tokens after merging those nearer than the resolution",
    "ari": "adjusted Rand index of the hard assignment",
    "merged_ari": "adjusted Rand index after merging tokens nearer than the third resolution",
    "critical": "critical temperature of the scene, squared units of the features",
}


def measure(config: Config, *, progress: Callable[[int, int], None] | None = None) -> xarray.Dataset:
    """``VARIABLES`` over ratio, repulsion, momentum and seed; ``distinct_tokens`` over resolution, too."""
    base = {
        "dynamics": catalog.published("inertia_repulsion"),
        "ratio": 1.0,
        "noise": config.noise,
        "tol": config.tol,
        "resolutions": np.array(config.resolutions),
    }
    space = grid(
        {
            MOMENTUM: config.momenta,
            REPULSION: [0.0, *np.geomspace(1e-3, 3.0, config.repulsions - 1)],
            RATIO: np.geomspace(config.lowest, config.highest, config.temperatures),
        }
    )

    def bound(cell: dict[str, Any], key: jax.Array) -> dict[str, jax.Array]:
        return evaluate(cell, key, num_tokens=config.num_tokens, clusters=config.clusters, max_steps=config.max_steps)

    dataset = sweep(
        bound, base, space, seeds=config.seeds, key=jax.random.key(config.key),
        dims={"distinct_tokens": ("resolution",)}, progress=progress or False,
    )  # fmt: skip
    return dataset.assign_coords(resolution=list(config.resolutions))
