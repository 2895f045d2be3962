"""How far the repaired autoencoder goes: every word of a growing vocabulary, through 8 x 8 patterns of 5 colours."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray

from tokdyn import autoencoder as ae
from tokdyn import checks
from tokdyn.autoencoder.diagnose.information import deterministic_information
from tokdyn.numerics import share
from tokdyn.studies.output import recorded
from tokdyn.sweeps import Plan, grid, sweep
from tokdyn.train import fit

SCHEMA_VERSION = 1
CELLS, COLOURS = 64, 5
EVERY = 20
JUDGED = 1000  # words judged at once: all logits of 10,000 words would take 400 MB
VARIABLES = {
    "types": "share of the words that come back right",
    "steps": "optimiser steps taken; training ends once all words come back right",
    "information": "bits that the trained code carries about the word",
    "types_curve": "share of the words right at each record",
}


@dataclasses.dataclass(frozen=True)
class Config:
    """Which vocabularies, how many seeds."""

    sizes: tuple[int, ...] = (192, 1000, 3000, 10_000)
    """Words."""
    seeds: int = 5
    """Initial weights and batches."""
    batch_size: int = 2000
    """Words of a step at most, in shuffled passes over the vocabulary."""
    num_steps: int = 400
    """Optimiser steps at most."""
    learning_rate: float = 3e-3
    """Of Adam."""
    key: int = 0
    """Seed of the JAX key."""

    def checked(self) -> Config:
        """This design, if it can be run.

        Raises:
            ValueError: naming the field; a vocabulary that the code cannot hold.
        """
        for name in ("seeds", "batch_size"):
            checks.whole_number(name, getattr(self, name), at_least=1)
        if checks.whole_number("num_steps", self.num_steps, at_least=1) % EVERY:
            raise checks.bad("num_steps", f"a multiple of {EVERY}", self.num_steps)
        checks.hyperparameter("learning_rate", self.learning_rate, above=0.0)
        if not self.sizes:
            raise checks.bad("sizes", "at least one vocabulary", "none")
        for size in self.sizes:
            if isinstance(size, int) and size > COLOURS**CELLS:
                raise checks.bad("sizes", f"at most {COLOURS}^{CELLS} words, which is what the code can hold", size)
            checks.whole_number("sizes", size, at_least=2)
        return self


def evaluate(config: dict[str, Any], key: jax.Array, *, size: int, batch_size: int, num_steps: int) -> dict[str, Any]:
    """One training.

    Args:
        config: ``learning_rate``.
        key: of everything random.
        size: words.
        batch_size: words of a step.
        num_steps: at most.

    Returns:
        The variables of ``VARIABLES``.
    """
    model = ae.compose(
        ae.encoders.table(vocabulary_size=size, cells=CELLS, channels=COLOURS),
        ae.bottlenecks.straight_through(),
        ae.decoders.linear(vocabulary_size=size),
    )
    everything = jnp.arange(size)
    padded = -(-size // JUDGED) * JUDGED
    rows = jnp.minimum(jnp.arange(padded), size - 1).reshape(-1, min(JUDGED, padded))

    def right(variables: dict[str, Any]) -> tuple[jax.Array, jax.Array]:
        def block(ids: jax.Array) -> tuple[jax.Array, jax.Array]:
            output = model.apply(variables, ids)[0]
            assert output.code.indices is not None
            return jnp.argmax(output.logits, axis=-1) == ids, output.code.indices

        hits, codes = jax.lax.map(block, rows)
        return hits.reshape(-1)[:size], codes.reshape(padded, -1)[:size]

    def judged(model: Any, variables: dict[str, Any], key: jax.Array) -> dict[str, jax.Array]:
        return {"types": share(right(variables)[0])}

    result = fit(
        model, ae.losses.objective(), everything, key=key, num_steps=num_steps, batch_size=min(batch_size, size),
        hyper={"learning_rate": config["learning_rate"]}, record_every=EVERY, evaluate=judged,
        stop=lambda record: record["types"] == 1.0,
    )  # fmt: skip
    hits, codes = right(result.variables)
    return {
        "types": share(hits),
        "steps": result.step,
        "information": deterministic_information(codes).bits,
        "types_curve": result.history["types"],
    }


def run_study(
    config: Config, *, progress: Callable[[int, int], None] | None = None, with_example: bool = True
) -> xarray.Dataset:
    """The study's Dataset.

    Args:
        config: vocabularies and seeds.
        progress: called with runs finished and runs in all.
        with_example: there is none; accepted because every study takes it.

    Returns:
        ``VARIABLES`` over size and seed, and ``seconds`` of one training by size, compilation not included.

    Raises:
        ValueError: a design that cannot be run.
    """
    config = config.checked()
    start, parts, seconds = time.perf_counter(), [], []
    for number, size in enumerate(config.sizes):
        bound = functools.partial(evaluate, size=size, batch_size=config.batch_size, num_steps=config.num_steps)
        space = grid({"learning_rate": [config.learning_rate]})

        def run(seeds: Any, bound: Any = bound, space: Any = space) -> xarray.Dataset:
            found = sweep(
                bound, {"learning_rate": config.learning_rate}, space, seeds=seeds, key=jax.random.key(config.key),
                dims={"types_curve": ("record",)}, unit=1, workers=1,
            )  # fmt: skip
            assert not isinstance(found, Plan)
            return found.isel(learning_rate=0, drop=True)

        done = []
        for seed in range(config.seeds):
            began = time.perf_counter()
            done.append(run([seed]))
            seconds.append(time.perf_counter() - began)
            if progress is not None:
                progress(number * config.seeds + seed + 1, len(config.sizes) * config.seeds)
        parts.append(xarray.concat(done, "seed"))
    dataset = xarray.concat(parts, "size").assign_coords(size=list(config.sizes))
    dataset["seconds"] = (("size", "seed"), np.reshape(seconds, (len(config.sizes), config.seeds)))
    for name, meaning in VARIABLES.items():
        dataset[name].attrs["long_name"] = meaning
    dataset["seconds"].attrs["long_name"] = "wall time of one training; the first seed's includes compilation"
    return recorded(
        dataset,
        "scaling",
        dataclasses.asdict(config),
        schema_version=SCHEMA_VERSION,
        seconds=time.perf_counter() - start,
    )
