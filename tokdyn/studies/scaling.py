"""How far the repaired autoencoder goes: every word of a growing vocabulary, through 8 x 8 patterns of 5 colours."""

from __future__ import annotations

import dataclasses
import functools
import math
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray

from tokdyn import autoencoder as ae
from tokdyn import checks, plot
from tokdyn.autoencoder.diagnose.information import deterministic_information
from tokdyn.autoencoder.layers import capacity_bits
from tokdyn.claims import REPAIRED, Finding
from tokdyn.numerics import share
from tokdyn.studies import rules
from tokdyn.studies.autoencoder.costs import TOKENS, TrainingStep
from tokdyn.studies.documents import Figure, Report, table
from tokdyn.studies.rules import AtLeast, Estimate, Every, Judgement
from tokdyn.studies.skeleton import Study, at_most, machine
from tokdyn.sweeps import grid, sweep
from tokdyn.train import fit

CELLS, COLOURS = 64, 5
EVERY = 20
JUDGED = 1000  # words judged at once: all logits of 10,000 words would take 400 MB
VARIABLES = {
    "types": "share of the words that come back right",
    "steps": "optimiser steps taken; training ends once all words come back right",
    "information": "bits that the trained code carries about the word",
    "types_curve": "share of the words right at each record",
    "seconds": "wall time of one training; the first seed's includes compilation",
    "operations": "floating-point operations of one training step of 128 words, as XLA counts them",
    "peak_bytes": "bytes that this step holds at once: weights, the optimiser's memory, and what is in between",
}


@dataclasses.dataclass(frozen=True)
class Config:
    """Which vocabularies, how many seeds."""

    sizes: tuple[int, ...] = (192, 1000, 3000, 10_000)
    """Sizes of the vocabulary, in words."""
    seeds: int = 5
    """Number of trainings for each vocabulary."""
    batch_size: int = 2000
    """Largest number of words in a batch; batches come from shuffled passes over the vocabulary."""
    num_steps: int = 400
    """Largest number of optimiser steps."""
    learning_rate: float = 3e-3
    """Learning rate of Adam."""
    key: int = 0
    """Seed of the JAX random key."""

    def quick(self) -> Config:
        """A small design, to see that everything works."""
        return at_most(self, sizes=1, seeds=2)

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


def _model(size: int) -> Any:
    return ae.autoencoder(
        ae.encoders.table(vocabulary_size=size, cells=CELLS, channels=COLOURS),
        ae.bottlenecks.straight_through(),
        ae.decoders.linear(vocabulary_size=size),
    )


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
    model = _model(size)
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


def measure(config: Config, *, progress: Callable[[int, int], None] | None = None) -> xarray.Dataset:
    """``VARIABLES`` over size and seed."""
    parts, seconds = [], []
    for size in config.sizes:
        bound = functools.partial(evaluate, size=size, batch_size=config.batch_size, num_steps=config.num_steps)
        done = []
        for seed in range(config.seeds):
            began = time.perf_counter()
            found = sweep(
                bound, {"learning_rate": config.learning_rate}, grid({"learning_rate": [config.learning_rate]}),
                seeds=[seed], key=jax.random.key(config.key), dims={"types_curve": ("record",)}, unit=1, workers=1,
            )  # fmt: skip
            done.append(found.isel(learning_rate=0, drop=True))
            seconds.append(time.perf_counter() - began)
            if progress is not None:
                progress(len(seconds), len(config.sizes) * config.seeds)
        parts.append(xarray.concat(done, "seed"))
    dataset = xarray.concat(parts, "size").assign_coords(size=list(config.sizes))
    steps = [TrainingStep(_model(size), size) for size in config.sizes]
    return dataset.assign(
        seconds=(("size", "seed"), np.reshape(seconds, (len(config.sizes), config.seeds))),
        operations=("size", [step.operations for step in steps]),
        peak_bytes=("size", [step.peak_bytes for step in steps]),
    )


def findings(dataset: xarray.Dataset) -> dict[str, Finding]:
    """What the study says to published claims."""
    return rules.findings(CLAIMS, dataset, "tokdyn study scaling")


def _constant_growth(dataset: xarray.Dataset) -> list[Estimate]:
    """Growth of log cost per word between the two largest vocabularies, over that between the two smallest.

    1 if cost is exponential in the vocabulary; for a power of it, about the ratio of the vocabularies; NaN without
    growth.
    """
    sizes = dataset["size"].values
    if len(sizes) < 3:
        return []
    slopes = [np.diff(np.log(dataset[name].values)) / np.diff(sizes) for name in ("operations", "peak_bytes")]
    return [rules.exact(slope[-1] / slope[0] if slope[0] else math.nan) for slope in slopes]


def _told_growth(dataset: xarray.Dataset) -> str:
    first, last = dataset.isel(size=0), dataset.isel(size=-1)
    words = float(last["size"]) / float(first["size"])
    grown = [float(last[name]) / float(first[name]) for name in ("operations", "peak_bytes")]
    return f"{words:.0f} times the words: {grown[0]:.0f} times the operations, {grown[1]:.0f} times the bytes of a step"


CLAIMS = (
    Judgement(
        "diffusion_lm.cost_exponential", Every(AtLeast(0.5)), _constant_growth, REPAIRED, told=_told_growth,
        note="growth of the logarithm of a step's cost for each word, between the largest vocabularies over that "
        "between the smallest: 1 if exponential; operations and bytes, as XLA counts them",
    ),
)  # fmt: skip


def headline(dataset: xarray.Dataset) -> str:
    """One line for each vocabulary."""
    return "\n".join(
        f"{int(size):,} words: {float(one['types'].mean()):.2%} come back right, {float(one['types'].min()):.2%} in "
        f"the worst of {one.sizes['seed']} seeds, after {float(one['steps'].mean()):.0f} steps and "
        f"{float(one['seconds'].median()):.1f} s."
        for size in dataset["size"].values
        for one in [dataset.sel(size=size)]
    )


def contents(dataset: xarray.Dataset, config: Config) -> Report:
    """How many words come back, and how fast."""
    rows = [
        {
            "words": int(size), "bits needed": math.log2(size), "bits found": float(one["information"].mean()),
            "right, mean": float(one["types"].mean()), "right, worst seed": float(one["types"].min()),
            "steps": float(one["steps"].mean()), "seconds, median": float(one["seconds"].median()),
            "MFlop a step": float(one["operations"]) / 1e6, "peak MiB": float(one["peak_bytes"]) / 2**20,
        }
        for size in dataset["size"].values for one in [dataset.sel(size=size)]
    ]  # fmt: skip
    curves = functools.partial(
        plot.scaling_curves,
        *(dataset[name].values for name in ("size", "types", "seconds")),
        label="share of words right",
    )
    caption = "Words that come back right, and seconds of one training (the first seed's with compilation)."
    return Report(
        "Scaling: every word of a growing vocabulary",
        [
            f"8 x 8 x 5 patterns ({capacity_bits(CELLS, COLOURS):.0f} bits), straight-through argmax, a linear "
            f"decoder; {config.seeds} seeds, {dataset.attrs['simulation_seconds']:.0f} s in all "
            f"({machine(dataset)}). The published projection for 1,000 words and more was below 5 %.",
            *headline(dataset).splitlines(),
            table(rows),
            f"Operations and bytes are those of one training step of {TOKENS} words.",
        ],
        [Figure("scaling.png", caption, curves)],
    )


STUDY = Study("scaling", measure, Config, contents=contents, headline=headline, findings=findings, variables=VARIABLES)
run, report = STUDY.run, STUDY.report
