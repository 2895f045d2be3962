"""Phases of token dynamics: where tokens merge, rest or oscillate, over temperature, repulsion and momentum."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray

from tokdyn import checks, keys, metrics
from tokdyn.checks import Status
from tokdyn.data import blobs
from tokdyn.dynamics import catalog
from tokdyn.numerics import safe_norm
from tokdyn.solve import random_features, run, trajectory
from tokdyn.sweeps import Plan, grid, sweep
from tokdyn.tree import with_values

RATIO, REPULSION, MOMENTUM = "ratio", "dynamics.repel.strength", "dynamics.inertia.momentum"
NAMES = {RATIO: "temperature / $T_c$", REPULSION: "repulsion strength", MOMENTUM: "momentum"}
# Steps taken beyond the end of a run to tell an oscillation from a slow approach.
TAIL = 12


@dataclasses.dataclass(frozen=True)
class Config:
    """The grid of the study; the defaults are 400,000 runs."""

    temperatures: int = 40
    """Number of temperatures, spaced geometrically, in units of each scene's critical temperature."""
    lowest: float = 0.005
    """Lowest temperature, in units of the critical one."""
    highest: float = 2.0
    """Highest temperature, in units of the critical one."""
    repulsions: int = 20
    """Number of repulsion strengths: zero, and the others spaced geometrically from 0.001 to 3."""
    momenta: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 0.9)
    """Momenta: shares of the last displacement that tokens keep."""
    seeds: int = 100
    """Number of scenes and starts, the same in every cell of the grid."""
    num_tokens: int = 4
    """Number of tokens."""
    clusters: int = 4
    """Number of true clusters, each of 80 features in 6 dimensions."""
    noise: float = 0.6
    """Standard deviation within a cluster; 0.6 is the middle level of the published study."""
    max_steps: int = 200
    """Largest number of steps of a run."""
    tol: float = 1e-3
    """A run is at rest once the largest force on any token is below this."""
    resolutions: tuple[float, ...] = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
    """Distances below which tokens count as one, in units of the noise; the third is the study's own."""
    key: int = 0
    """Seed of the JAX random key."""

    def checked(self) -> Config:
        """This design, if it can be run.

        Raises:
            ValueError: naming the field.
        """
        for name in ("seeds", "num_tokens", "clusters", "max_steps"):
            checks.whole_number(name, getattr(self, name), at_least=1)
        for name in ("temperatures", "repulsions"):
            checks.whole_number(name, getattr(self, name), at_least=2)
        for name in ("lowest", "highest", "noise"):
            checks.hyperparameter(name, getattr(self, name), above=0.0)
        checks.hyperparameter("tol", self.tol, at_least=0.0)
        checks.hyperparameter("highest", self.highest, above=self.lowest)
        for name in ("momenta", "resolutions"):
            given = getattr(self, name)
            if not given or len(set(given)) != len(given):
                raise checks.bad(name, "at least one value, each once", given)
            checks.hyperparameter(name, np.array(given), at_least=0.0)
        return self

    @property
    def own_resolution(self) -> float:
        """The resolution at which tokens are counted in the study's sentences: the third, where there are three."""
        return self.resolutions[2 % len(self.resolutions)]


def critical_temperature(features: jax.Array) -> jax.Array:
    r"""Above it, tokens at the mean of the features stay merged: `T_c = 2 \lambda_max` of their covariance.

    Args:
        features: `[N, D]`.

    Returns:
        `[]`, in squared units of the features.

    References:
        K. Rose, E. Gurewitz, G. C. Fox, Phys. Rev. Lett. 65 (1990) 945.

    Example:
        >>> import jax.numpy as jnp
        >>> from tokdyn.studies.phase.experiment import critical_temperature
        >>> float(critical_temperature(jnp.array([[-1.0, 0.0], [1.0, 0.0]])))
        2.0
    """
    centred = features - features.mean(axis=0)
    return 2 * jnp.linalg.eigvalsh(centred.T @ centred / len(features))[-1]


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
    space = grid({
        MOMENTUM: config.momenta,
        REPULSION: [0.0, *np.geomspace(1e-3, 3.0, config.repulsions - 1)],
        RATIO: np.geomspace(config.lowest, config.highest, config.temperatures),
    })  # fmt: skip

    def bound(cell: dict[str, Any], key: jax.Array) -> dict[str, jax.Array]:
        return evaluate(cell, key, num_tokens=config.num_tokens, clusters=config.clusters, max_steps=config.max_steps)

    dataset = sweep(
        bound, base, space, seeds=config.seeds, key=jax.random.key(config.key),
        dims={"distinct_tokens": ("resolution",)}, progress=progress or False,
    )  # fmt: skip
    assert not isinstance(dataset, Plan)
    return dataset.assign_coords(resolution=list(config.resolutions))
