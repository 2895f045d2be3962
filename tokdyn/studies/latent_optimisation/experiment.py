"""The study's Dataset: every reasoner under every method."""

from __future__ import annotations

import dataclasses
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
from tokdyn.studies.output import recorded

SCHEMA_VERSION = 1
_drawn = jax.jit(items_of, static_argnums=(0, 2))


def run_study(
    config: Config, *, progress: Callable[[int, int], None] | None = None, with_example: bool = True
) -> xarray.Dataset:
    """The study's Dataset.

    Args:
        config: reasoners, pictures, seeds, items, bound.
        progress: called with methods finished and methods in all.
        with_example: there is none; accepted because every study takes it.

    Returns:
        ``analysis.VARIABLES`` over reference, noise, method, ...; what a reference does not have is NaN.

    Raises:
        ValueError: a design that cannot be run, or weights that are not there.
    """
    config = config.checked()
    start, key = time.perf_counter(), jax.random.key(config.key)
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
    dataset = xarray.concat(parts, "reference", join="outer", fill_value=np.nan, data_vars="all")
    for variable, meaning in analysis.VARIABLES.items():
        dataset[variable].attrs["long_name"] = meaning
    return recorded(
        dataset, "latent-optimisation", dataclasses.asdict(config), schema_version=SCHEMA_VERSION,
        seconds=time.perf_counter() - start,
    )  # fmt: skip
