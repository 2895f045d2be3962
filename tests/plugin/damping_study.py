"""Damping: how many steps tokens take, and where they end, by the momentum of their inertia."""

import dataclasses
import functools

import jax

import tokdyn as td
from tokdyn.stats import mean_interval
from tokdyn.studies import Study
from tokdyn.studies.documents import Figure, Report, brackets, table


@dataclasses.dataclass(frozen=True)
class Config:
    """The design."""

    seeds: int = 100
    """Scenes and starts."""
    noise: float = 0.6
    """Standard deviation of a cluster."""
    momenta: tuple[float, ...] = (0.0, 0.3, 0.6, 0.9)
    """Shares of the last displacement that are kept."""


def evaluate(cell, key):
    """One run: a scene, four tokens among four clusters, at most 300 steps."""
    scene = td.data.blobs(td.keys.for_purpose(key, "data"), num_clusters=4, noise=cell["noise"])
    key = td.keys.for_purpose(key, "run")
    fit = td.run(cell["dynamics"], key, scene.features, num_tokens=4, max_steps=300, tol=1e-3, assignment="hard")
    ari = td.metrics.adjusted_rand_index(scene.labels, fit.labels, num_labels=4, num_predicted=4)
    return {"num_steps": fit.num_steps, "ari": ari}


def measure(config, *, progress=None):
    """Both numbers over momentum and seed; for one seed, every momentum has the same scene and start."""
    dynamics = td.compose(attract=td.attraction(temperature=1.0), inertia=td.inertia(momentum=0.0))
    space = td.grid({"dynamics.inertia.momentum": list(config.momenta)})
    base = {"dynamics": dynamics, "noise": config.noise}
    found = td.sweep(evaluate, base, space, seeds=config.seeds, key=jax.random.key(0), progress=progress or False)
    return found.rename({"dynamics.inertia.momentum": "momentum"})


def contents(dataset, config):
    """What the report says."""
    steps = dataset["num_steps"].transpose("momentum", "seed").values.astype(float)
    mean, ends = steps.mean(axis=1), mean_interval(steps)
    rows = [
        {"momentum": momentum, "steps": mean[i], "95 %": brackets(ends.low[i], ends.high[i], 1)}
        for i, momentum in enumerate(config.momenta)
    ]
    names = [f"momentum {momentum:g}" for momentum in config.momenta]
    drawn = functools.partial(td.plot.outcomes, names, mean, ends.low, ends.high, label="steps")
    figure = Figure("steps.png", "Steps to convergence, with 95 % intervals over seeds.", drawn)
    return Report("Damping", [f"{config.seeds} scenes.", table(rows)], [figure])


def headline(dataset):
    """Printed at the end."""
    fastest = dataset["num_steps"].mean("seed").idxmin("momentum")
    return f"Tokens converge in the fewest steps at momentum {float(fastest):g}."


MEANINGS = {"num_steps": "steps taken", "ari": "adjusted Rand index"}
STUDY = Study("damping", measure, Config, contents=contents, headline=headline, variables=MEANINGS)
