"""The study's Dataset: every reasoner, measured and held against its declared truth."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
import xarray

from tokdyn import keys
from tokdyn.compiling import Effort
from tokdyn.reasoning import shipped
from tokdyn.reasoning.references import Reference
from tokdyn.reasoning.training import items_of
from tokdyn.studies.mediation import analysis
from tokdyn.studies.mediation.design import Config, mates
from tokdyn.studies.mediation.measurement import measurements
from tokdyn.tree import unstacked

_drawn = jax.jit(items_of, static_argnums=(0, 2))


def weights_of(name: str, config: Config) -> tuple[Reference, list[Any]]:
    """A reference and its weights: the shipped ones, then as many newly trained ones as there are further seeds.

    Raises:
        ValueError: no such weights.
    """
    first = shipped.load(name, config.weights or shipped.FOLDER)
    variables = [first.variables]
    if config.seeds > 1:
        more = shipped.ensemble(first.reference, jax.random.key(shipped.KEY), range(1, config.seeds))["variables"]
        variables += unstacked(more)
    return first.reference, variables


def measure(config: Config, *, progress: Callable[[int, int], None] | None = None) -> xarray.Dataset:
    """``analysis.VARIABLES`` over reference, arm, slot, ...; what a reference does not have is NaN, -1 or ""."""
    start, key = time.perf_counter(), jax.random.key(config.key)
    models = {name: weights_of(name, config) for name in config.references}
    trained = time.perf_counter() - start
    drawn = {
        name: _drawn(reference.task, keys.for_purpose(key, f"items of {name}"), config.num_items)
        for name, (reference, _) in models.items()
    }
    # Several trainings run through the arms long enough to be worth compiling well.
    effort: Effort = "little" if config.seeds < 3 else "usual"
    known = {name: (reference, variables[0], drawn[name]) for name, (reference, variables) in models.items()}
    parts, done = [], 0
    with measurements(known, effort) as measured:
        for name, (reference, variables) in models.items():
            began, items = time.perf_counter(), drawn[name]
            pairs = mates(keys.for_purpose(key, "donors"), items)
            found = []
            for seed, weights in enumerate(variables):
                noise = keys.for_seed(keys.for_purpose(key, "noise"), seed)
                found.append(measured[name](weights, items, *pairs, noise))
                done += 1
                if progress is not None:
                    progress(done, len(models) * config.seeds)
            stacked = _stacked(found)
            stacked["seconds"] = time.perf_counter() - began
            parts.append(analysis.analysed(name, reference, items, stacked, config))
    fills = analysis.fills(parts)
    dataset = xarray.concat(parts, "reference", join="outer", fill_value=fills)
    names = {axis: _in_order([part[axis].values for part in parts]) for axis in ("arm", "place")}
    return dataset.reindex(names, fill_value=fills).assign_attrs(training_seconds=trained)


def _stacked(found: Sequence[Any]) -> Any:
    """Seeds as a leading axis."""
    return jax.tree.map(lambda *leaves: np.stack(leaves), *found)


def _in_order(lists: Sequence[Any]) -> list[str]:
    """All names, in the order of their first appearance."""
    return list(dict.fromkeys(str(name) for names in lists for name in names))
