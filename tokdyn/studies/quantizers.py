"""Every quantizer on three kinds of patterns, with the same encoder, the same decoder and about the same bits."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray

from tokdyn import autoencoder as ae
from tokdyn import checks, keys, plot
from tokdyn.autoencoder import layers, quantizers
from tokdyn.autoencoder.base import of_part
from tokdyn.data import digits, words
from tokdyn.data.glyphs import render
from tokdyn.dynamics.parts import part, static
from tokdyn.stats import mean_interval
from tokdyn.studies.documents import Figure, Report, brackets, records, table
from tokdyn.studies.skeleton import Study, at_most, machine
from tokdyn.sweeps import grid, sweep
from tokdyn.train import fit

CELLS, CHANNELS, WIDTH = 4, 6, 128
BATCH = 128
UNIT = 2
# 64 codes a cell for each, 6 bits: what differs is how they are learned.
QUANTIZERS: dict[str, Callable[[], Any]] = {
    "none": ae.bottlenecks.identity,
    "VQ": lambda: quantizers.vector_quantizer(num_codes=64),
    "VQ, k-means start": lambda: quantizers.vector_quantizer(num_codes=64, start="kmeans"),
    "VQ, revival": lambda: quantizers.vector_quantizer(num_codes=64, revive_below=1.0),
    "VQ, k-means, revival": lambda: quantizers.vector_quantizer(num_codes=64, start="kmeans", revive_below=1.0),
    "VQ, rotation": lambda: quantizers.vector_quantizer(num_codes=64, gradient="rotation"),
    "VQ, cosine": lambda: quantizers.vector_quantizer(num_codes=64, cosine=True),
    "VQ, learned codebook": lambda: quantizers.vector_quantizer(num_codes=64, learned=True),
    "FSQ": lambda: quantizers.finite_scalar_quantizer(levels=(4, 4, 4)),
    "LFQ": lambda: quantizers.lookup_free_quantizer(bits=6),
    "residual VQ": lambda: quantizers.residual_quantizer(
        quantizers.vector_quantizer(num_codes=8, start="kmeans"), depth=2
    ),
    "grouped VQ": lambda: quantizers.grouped_quantizer(
        quantizers.vector_quantizer(num_codes=8, start="kmeans"), groups=2
    ),
}
DATA = ("patterns", "digits", "glyphs")
VARIABLES = {
    "explained": "share of the variance of held-out items that is reconstructed",
    "explained_train": "the same on the items of training",
    "active": "share of the codes that occur in a pass over the training items",
    "perplexity": "effective number of codes in that pass, over all codebooks of a cell together",
    "bits": "entropy of the codes of a cell in that pass",
    "dead": "codes that do not occur in that pass",
    "loss": "mean squared error at the end of training, bottleneck's own loss included",
}


@dataclasses.dataclass(frozen=True)
class Config:
    """Which quantizers on which data, how many seeds."""

    seeds: int = 5
    """Number of trainings of each quantizer on each kind of data."""
    data: tuple[str, ...] = DATA
    """Kinds of data: patterns (random one-hot grids), digits, glyphs (words drawn in DejaVu Sans Mono)."""
    quantizers: tuple[str, ...] = tuple(QUANTIZERS)
    """Names of the quantizers to compare."""
    num_steps: int = 400
    """Optimiser steps, each on 128 items."""
    learning_rate: float = 3e-3
    """Learning rate of Adam."""
    key: int = 0
    """Seed of the JAX random key."""

    def quick(self) -> Config:
        """A small design, to see that everything works."""
        return at_most(self, data=1, seeds=2, num_steps=100)

    def checked(self) -> Config:
        """This design, if it can be run.

        Raises:
            ValueError: naming the field.
        """
        checks.whole_number("seeds", self.seeds, at_least=1)
        checks.whole_number("num_steps", self.num_steps, at_least=1)
        checks.hyperparameter("learning_rate", self.learning_rate, above=0.0)
        checks.each_once("data", self.data, DATA)
        checks.each_once("quantizers", self.quantizers, tuple(QUANTIZERS))
        return self


@functools.cache
def items(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Training and held-out items `[items, pixels]`, every fifth one held out; means of training are taken off.

    Args:
        name: one of ``DATA``.

    Returns:
        ``(training, held_out)``, float32.
    """
    if name == "patterns":
        colours = np.random.default_rng(0).integers(0, 5, (1500, 64))
        made = np.eye(5, dtype=np.float32)[colours].reshape(1500, -1)
    elif name == "digits":
        made = digits()[0].reshape(1797, -1)
    else:
        text = words.english_words() + words.pseudo_words(1500)
        short = [word for word in text if len(word) <= 6][:1500]
        made = render(short, height=10, width=36, font="DejaVuSansMono").reshape(len(short), -1)
    held_out = np.arange(len(made)) % 5 == 4
    mean = made[~held_out].mean(axis=0)
    return made[~held_out] - mean, made[held_out] - mean


class _Stack(layers.Module):
    features: int

    @layers.compact
    def __call__(self, values: jax.Array, *, train: bool) -> jax.Array:
        return layers.Mlp((WIDTH,), self.features, 2.0**0.5)(values, train=train)


@part
class ItemAutoencoder:
    """Items of numbers to four cells, quantized, and back: one hidden layer on either side.

    Attributes:
        quantizer: any bottleneck, of this package or your own.
        pixels: numbers of an item.
    """

    quantizer: Any
    pixels: int = static()

    def init(self, key: jax.Array) -> dict[str, Any]:
        inner, outer = jnp.zeros((1, CELLS * CHANNELS)), jnp.zeros((1, self.pixels))
        made = {
            "encoder": layers.initial(_Stack(CELLS * CHANNELS), keys.for_purpose(key, "encoder"), outer),
            "quantizer": self.quantizer.init(keys.for_purpose(key, "quantizer"), CHANNELS),
            "decoder": layers.initial(_Stack(self.pixels), keys.for_purpose(key, "decoder"), inner),
        }
        return {kind: {name: part[kind] for name, part in made.items()} for kind in ("params", "state")}

    def apply(
        self, variables: dict[str, Any], inputs: jax.Array, *, key: jax.Array | None = None, train: bool = False
    ) -> tuple[tuple[jax.Array, ae.Code], Any]:
        """`[batch, pixels]` -> ((reconstruction, code), state)."""
        hidden, _ = layers.applied(
            _Stack(CELLS * CHANNELS), of_part(variables, "encoder"), inputs, key=None, train=train
        )
        code, state = self.quantizer.apply(
            of_part(variables, "quantizer"), hidden.reshape(-1, CELLS, CHANNELS), key=key, train=train
        )
        made, _ = layers.applied(
            _Stack(self.pixels), of_part(variables, "decoder"), layers.flat(code.values), key=None, train=train
        )
        return (made, code), {"encoder": {}, "quantizer": state, "decoder": {}}


def squared_error(
    model: ItemAutoencoder, variables: dict[str, Any], batch: jax.Array, key: jax.Array
) -> tuple[jax.Array, tuple[Any, dict[str, jax.Array]]]:
    """Mean squared error in units of a pixel's variance about its mean, and what the quantizer asks for."""
    (made, code), state = model.apply(variables, batch, key=key, train=True)
    return jnp.mean((made - batch) ** 2) / jnp.mean(batch**2) + code.loss, (state, {})


def evaluate(config: dict[str, Any], key: jax.Array, *, quantizer: str, data: str, num_steps: int) -> dict[str, Any]:
    """One training.

    Args:
        config: ``learning_rate``.
        key: of everything random.
        quantizer: a name in ``QUANTIZERS``.
        data: a name in ``DATA``.
        num_steps: of training.

    Returns:
        The variables of ``VARIABLES``.
    """
    training, held_out = (jnp.asarray(x) for x in items(data))
    model = ItemAutoencoder(QUANTIZERS[quantizer](), training.shape[1])
    result = fit(
        model, squared_error, training, key=key, num_steps=num_steps, batch_size=BATCH,
        hyper={"learning_rate": config["learning_rate"]},
    )  # fmt: skip

    def explained(inputs: jax.Array) -> jax.Array:
        made = model.apply(result.variables, inputs, key=key)[0][0]
        return 1 - jnp.sum((made - inputs) ** 2) / jnp.sum(inputs**2)

    return {
        "explained": explained(held_out),
        "explained_train": explained(training),
        "loss": result.history["loss"][-1],
        **_use(model.quantizer, model.apply(result.variables, training, key=key)[0][1]),
    }


def _use(quantizer: Any, code: ae.Code) -> dict[str, jax.Array]:
    """How the codes of a pass are used; the codes of several codebooks are counted together as one number."""
    if code.indices is None:
        return dict.fromkeys(("active", "perplexity", "bits", "dead"), jnp.asarray(jnp.nan))
    sizes = quantizer.codebook_sizes
    joint = code.indices if not quantizer.has_codebook_axis else _joint(code.indices, sizes)
    counts = quantizers.usage(joint, math.prod(sizes))
    effective = quantizers.perplexity(counts)[0]
    return {
        "active": quantizers.active_share(counts)[0],
        "perplexity": effective,
        "bits": jnp.log2(effective),
        "dead": jnp.sum(quantizers.dead_codes(counts)[0]).astype(jnp.float32),
    }


def _joint(indices: jax.Array, sizes: tuple[int, ...]) -> jax.Array:
    """One number for the codes of all codebooks of a cell."""
    joint = jnp.zeros(indices.shape[:-1], jnp.int32)
    for column, size in enumerate(sizes):
        joint = joint * size + indices[..., column]
    return joint


def measure(config: Config, *, progress: Callable[[int, int], None] | None = None) -> xarray.Dataset:
    """``VARIABLES`` over data, quantizer and seed."""
    rows, done, total = [], 0, len(config.data) * len(config.quantizers) * config.seeds
    for data in config.data:
        columns = []
        for name in config.quantizers:
            bound = functools.partial(evaluate, quantizer=name, data=data, num_steps=config.num_steps)
            found = sweep(
                bound,
                {"learning_rate": config.learning_rate},
                grid({"learning_rate": [config.learning_rate]}),
                seeds=config.seeds,
                key=jax.random.key(config.key),
                unit=UNIT,
            )
            columns.append(found.isel(learning_rate=0, drop=True))
            done += config.seeds
            if progress is not None:
                progress(done, total)
        rows.append(xarray.concat(columns, "quantizer"))
    return xarray.concat(rows, "data").assign_coords(data=list(config.data), quantizer=list(config.quantizers))


def headline(dataset: xarray.Dataset) -> str:
    """One line for each kind of data: the best quantizer, and the one that uses its codes least evenly."""
    lines = []
    coded = dataset.sel(quantizer=[name for name in dataset["quantizer"].values if name != "none"])
    for data in dataset["data"].values:
        means = coded.sel(data=data).mean("seed")
        held_out = bool((means["explained"] > 0).any())
        measure = "explained" if held_out else "explained_train"
        names = [str(name) for name in coded["quantizer"].values]
        best, least = names[int(np.argmax(means[measure].values))], names[int(np.argmin(means["perplexity"].values))]
        told = "held-out variance" if held_out else "variance of the training items; nothing carries over to others"
        lines.append(
            f"{data}: {best} reconstructs most ({float(means[measure].max()):.3f} of the {told}); {least} uses its "
            f"codes least evenly (perplexity {float(means['perplexity'].min()):.0f} of 64)."
        )
    return "\n".join(lines)


def contents(dataset: xarray.Dataset, config: Config) -> Report:
    """Which quantizer uses its codes, and what it reconstructs."""
    blocks = [
        f"{dataset.sizes['quantizer']} quantizers x {dataset.sizes['data']} kinds of data x {config.seeds} "
        f"seeds in {dataset.attrs['simulation_seconds']:.0f} s, compilation included ({machine(dataset)}). "
        f"Four cells of 64 codes (6 bits each), one hidden layer of 128 on either side, {config.num_steps} steps of "
        "128 items, Adam. Every fifth item is held out; intervals are 95 % (Student, over seeds).",
        *headline(dataset).splitlines(),
    ]
    for data in dataset["data"].values:
        columns: dict[str, Any] = {"explained, held out": lambda one: float(one["explained"].astype(float).mean())}
        if dataset.sizes["seed"] > 1:
            columns["95 %"] = _interval
        columns["explained, training"] = _mean_of("explained_train")
        columns |= {name: _mean_of(name) for name in ("active", "perplexity", "bits", "dead")}
        blocks += [f"## {data}", table(records(dataset.sel(data=data), {"quantizer": "quantizer"}, columns))]
    drawn = {
        "explained": ("share of held-out variance reconstructed", "Reconstruction, with 95 % intervals over seeds."),
        "perplexity": ("effective number of codes, of 64", "Use of the codes in a pass over the training items."),
    }
    figures = [
        Figure(
            f"{variable}_{data}.png", f"{data}: {caption}", functools.partial(_drawn, dataset, variable, data, label)
        )
        for variable, (label, caption) in drawn.items()
        for data in dataset["data"].values
    ]
    return Report("Quantizers: which use their codes, and what comes back", blocks, figures, files=FILES)


def _mean_of(name: str) -> Callable[[xarray.Dataset], float]:
    return lambda one: float(one[name].mean())


def _interval(one: xarray.Dataset) -> str:
    spread = mean_interval(one["explained"].values.astype(float))
    return brackets(spread.low, spread.high)


def _drawn(dataset: xarray.Dataset, variable: str, data: str, label: str) -> Any:
    names = [str(name) for name in dataset["quantizer"].values]
    values = dataset[variable].sel(data=data).values.astype(float)
    kept = np.isfinite(values).all(axis=1)
    spread = mean_interval(values[kept]) if values.shape[1] > 1 else None
    low, high = (spread.low, spread.high) if spread else (values[kept, 0], values[kept, 0])
    shown = [name for name, keep in zip(names, kept, strict=True) if keep]
    return plot.outcomes(shown, values[kept].mean(axis=1), low, high, label=f"{label}: {data}")


def write(dataset: xarray.Dataset, folder: Path) -> None:
    """The runs as a table."""
    dataset.to_dataframe().reset_index().to_csv(folder / "runs.csv", index=False)


FILES = {"runs.csv": "a row for every training"}
STUDY = Study("quantizers", measure, Config, contents=contents, write=write, headline=headline, variables=VARIABLES)
run, report = STUDY.run, STUDY.report
