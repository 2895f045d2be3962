"""The study's Dataset: every reasoner under every method."""

from __future__ import annotations

import time
from collections.abc import Callable

import jax
import numpy as np
import xarray

from tokdyn import keys
from tokdyn.reasoning import shipped
from tokdyn.reasoning.training import items_of
from tokdyn.studies.latent_optimisation import analysis
from tokdyn.studies.latent_optimisation.design import METHODS, Config, noised
from tokdyn.studies.latent_optimisation.measurement import measurements

_drawn = jax.jit(items_of, static_argnums=(0, 2))


def measure(config: Config, *, progress: Callable[[int, int], None] | None = None) -> xarray.Dataset:
    """``analysis.VARIABLES`` over reference, noise, method, ...; what a reference does not have is NaN."""
    key = jax.random.key(config.key)
    models = {name: shipped.load(name, config.weights or shipped.FOLDER) for name in config.references}
    parts, done = [], 0

    def finished() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, len(models) * len(METHODS))

    known = {}
    for name, one in models.items():
        drawn = _drawn(one.reference.task, keys.for_purpose(key, f"items of {name}"), config.num_items)
        items = noised(drawn, config.noises, keys.for_purpose(key, f"noise of {name}"))
        known[name] = one.reference, one.variables, items
    with measurements(known, config, key) as measurement_of:
        for name, measured in measurement_of.items():
            began = time.perf_counter()
            _, variables, items = known[name]
            found = measured(variables, items, keys.for_purpose(key, f"ascents of {name}"), finished)
            found["seconds"] = time.perf_counter() - began
            parts.append(analysis.analysed(name, items, found, config))
    return xarray.concat(parts, "reference", join="outer", fill_value=np.nan, data_vars="all")
