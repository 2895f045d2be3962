"""Tables A to F: the clean ablation that came before this study, run again and compared cell by cell.

An earlier prototype trained small autoencoders of 192 and 1,000 words with each published fault on and off. Its numbers
stand beside ours as ``prototype``; nothing here depends on them but the verdicts.

What the prototype's notes leave open is chosen as follows. Zipf's law is `1 / rank` over all words. Table C shows every
word once a step, as Table B does. "Five levels a cell" is one channel a cell, rounded. "He gains" are Xavier's weights
times the root of 2, which is the same in square layers only; convolutions have Xavier's weights throughout. Sigmoid
codes, which nothing random judges, are trained until all words come back right, as everywhere in this study.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import xarray

import tokdyn as td
from tokdyn import autoencoder as ae
from tokdyn import checks, keys
from tokdyn.autoencoder.diagnose.predictions import distinct_predictions, dominant_share
from tokdyn.autoencoder.encoders.table import INITIALISATIONS
from tokdyn.dynamics.schedules import resolved
from tokdyn.numerics import share
from tokdyn.studies.autoencoder.design import HEALTHY
from tokdyn.studies.autoencoder.trainings import UNIT
from tokdyn.sweeps import Plan, sweep, zipped
from tokdyn.train import fit

SIDE, COLOURS = 8, 5  # of the pattern, in every table
ANNEALED_STEPS = 200  # over which the temperature of Table A falls
MEASURES = {
    "right": "share of all words that come back right",
    "dominant": "share of the commonest prediction over all words",
    "distinct": "number of different predictions",
    "first": "steps at the first record with all words right; infinite where there is none",
}
TITLES = {
    "A": "Collapse and repair: 192 words by Zipf's law, 128 a step, 200 steps, rate 1e-3, dense decoder.",
    "B": "The same with every word once a step.",
    "C": "Steps until all words come back: every word once a step, sane start, cross-entropy, rate 3e-3.",
    "D": "1,000 words by Zipf's law, 256 a step, 1000 steps, rate 1e-3, dense decoder.",
    "E": "Learning rates: 192 words once a step, 200 steps, sigmoid, dense decoder, cross-entropy.",
    "F": "Initial standard deviation of the embedding: 192 words once a step, 100 steps, rate 1e-3, else Xavier.",
}
INSIDE = "inside our spread"
NEVER = 2.0  # a share of words that is never reached: trained to the last step

# What a training has where its cell says nothing else; all of it is traced.
NUMBERS: dict[str, float] = {
    **{name: value for name, value in HEALTHY.items() if name != "skew"},
    "temperature_start": 1.0,
    "temperature_end": 1.0,
    "steps": 200.0,
    "stop_at": NEVER,
}
NOTEBOOK: dict[str, float] = {**INITIALISATIONS["published"], "decoder_gain": 1.0}
# The four columns of Tables A, B and D, by start and loss.
COLUMNS: dict[str, dict[str, float]] = {
    "notebook's start, double softmax": {**NOTEBOOK, "double_softmax": 1.0},
    "notebook's start, cross-entropy": NOTEBOOK,
    "sane start, double softmax": {"double_softmax": 1.0},
    "sane start, cross-entropy": {},
}


@dataclasses.dataclass(frozen=True)
class Setup:
    """What chooses the compiled program of a cell.

    Attributes:
        vocabulary_size: words.
        batch_size: words of a step, drawn by Zipf's law; None shows every word once.
        bottleneck: ``"categorical"``, ``"gumbel"``, ``"sigmoid"``, ``"straight_through"`` or ``"levels"``.
        decoder: ``"dense"``, ``"linear"``, ``"convolutional"`` or ``"mean"`` (convolutions and a mean over the grid).
        record_every: steps between records.
    """

    vocabulary_size: int = 192
    batch_size: int | None = None
    bottleneck: str = "sigmoid"
    decoder: str = "dense"
    record_every: int = 20


class Prototype(NamedTuple):
    """What the prototype measured: ``low`` to ``high`` are the numbers that would be printed so."""

    value: float  # of a range of steps its end
    low: float
    high: float
    text: str  # as printed, with the spread over its seeds, which the verdict leaves aside


@dataclasses.dataclass(frozen=True)
class Cell:
    """One cell of a table.

    Attributes:
        table: ``"A"`` to ``"F"``.
        name: unique in its table.
        setup: static choices.
        changes: numbers other than those of ``NUMBERS``.
        seeds: of the prototype.
        prototype: what it measured, by the names of ``MEASURES``.
    """

    table: str
    name: str
    setup: Setup
    changes: dict[str, float]
    seeds: int
    prototype: dict[str, Prototype]


def _shares(right: float, dominant: float | None = None, spread: float | None = None) -> dict[str, Prototype]:
    """Shares that were printed with three digits."""
    text = f"{right:.3f}" + (f" ± {spread:.3f}" if spread else "")
    found = {"right": Prototype(right, right - 5e-4, right + 5e-4, text)}
    if dominant is not None:
        found["dominant"] = Prototype(dominant, dominant - 5e-4, dominant + 5e-4, f"{dominant:.3f}")
    return found


def _distinct(number: int) -> dict[str, Prototype]:
    return {"distinct": Prototype(number, number, number, str(number))}


def _first(low: int, high: int) -> dict[str, Prototype]:
    return {"first": Prototype(high, low, high, f"{low} to {high}" if low else f"at most {high}")}


Row = list[dict[str, Prototype] | None]  # in the order of COLUMNS; None where the prototype has no cell
_NEVER = {"first": Prototype(math.inf, math.inf, math.inf, "never")}
_COLLAPSED = {**_shares(0.005, 1.0), **_distinct(1)}


def _row(table: str, label: str, setup: Setup, row: Row, seeds: int, **more: float) -> Iterator[Cell]:
    """The cells of one bottleneck."""
    for (column, numbers), prototype in zip(COLUMNS.items(), row, strict=True):
        if prototype is not None:
            yield Cell(table, f"{label}, {column}", setup, {**numbers, **more}, seeds, prototype)


def table_a() -> Iterator[Cell]:
    """The collapse and its repair, by bottleneck, start and loss."""
    rows: dict[str, Row] = {
        "sigmoid": [_COLLAPSED, _shares(0.606, 0.057, 0.065), _shares(0.091, 0.271, 0.018), _shares(1.0, 0.005)],
        "gumbel": [_COLLAPSED, _shares(0.338, 0.136, 0.039), _shares(0.068, 0.281, 0.016), _shares(1.0, 0.005)],
        "categorical": [_COLLAPSED, _shares(0.005, 1.0), _shares(0.008, 0.807), _shares(0.380, 0.058, 0.015)],
    }
    for bottleneck, row in rows.items():
        yield from _row("A", bottleneck, Setup(batch_size=128, bottleneck=bottleneck), row, 5)
    setup = Setup(batch_size=128, bottleneck="gumbel")
    row = [None, _shares(0.357, None, 0.032), None, _shares(1.0)]
    yield from _row("A", "gumbel, 5 to 0.5", setup, row, 5, temperature_start=5.0, temperature_end=0.5)


def table_b() -> Iterator[Cell]:
    """The same with equally frequent words, and with a convolutional decoder."""
    # In the order of COLUMNS: words right, commonest prediction.
    rows: dict[tuple[str, str], list[tuple[float, ...]]] = {
        ("categorical", "dense"): [(0.007, 0.764), (0.005, 0.057), (0.253, 0.111), (0.875, 0.016)],
        ("categorical", "convolutional"): [(0.003, 0.865), (0.007, 0.168), (0.210, 0.151), (0.873, 0.017)],
        ("gumbel", "dense"): [(0.373, 0.061), (1.0, 0.005), (0.465, 0.194), (1.0,)],
        ("gumbel", "convolutional"): [(0.108, 0.266), (0.990, 0.009), (0.356, 0.134), (1.0,)],
        ("sigmoid", "dense"): [(0.363, 0.059), (1.0,), (0.502, 0.064), (1.0,)],
        ("sigmoid", "convolutional"): [(0.276, 0.125), (1.0,), (0.578, 0.130), (1.0,)],
    }
    for (bottleneck, decoder), row in rows.items():
        setup = Setup(bottleneck=bottleneck, decoder=decoder)
        yield from _row("B", f"{bottleneck}, {decoder}", setup, [_shares(*values) for values in row], 3)


def table_c() -> Iterator[Cell]:
    """How many steps it takes."""
    every = {(192, "linear"): 20, (192, "dense"): 20, (1000, "linear"): 40, (1000, "dense"): 40}
    limited = {"learning_rate": 3e-3, "steps": 400.0, "stop_at": 1.0}
    # Shares after 400 steps; "never" is printed beside the first of them only, but follows from all.
    random = {(192, "linear"): 0.976, (192, "dense"): 0.913, (1000, "linear"): 0.932, (1000, "dense"): 0.835}
    for bottleneck in ("sigmoid", "gumbel", "straight_through", "levels", "categorical"):
        for (size, decoder), steps in every.items():
            setup = Setup(size, None, bottleneck, decoder, steps)
            never = {**_shares(random[size, decoder]), **_NEVER}
            prototype = never if bottleneck == "categorical" else _first(0, steps)
            yield Cell("C", f"{bottleneck}, {size} words, {decoder}", setup, limited, 3, prototype)
    yield Cell("C", "sigmoid, 192 words, mean", Setup(decoder="mean"), limited, 2, _first(0, 100))
    for bottleneck, prototype in (("sigmoid", _first(20, 40)), ("gumbel", _shares(0.998))):
        setup, label = Setup(1000, None, bottleneck, "convolutional"), f"{bottleneck}, 1000 words, convolutional"
        yield Cell("C", label, setup, {**limited, "steps": 120.0}, 2, prototype)


def table_d() -> Iterator[Cell]:
    """A thousand words."""
    collapsed = _shares(0.001, 1.0)
    rows: dict[str, Row] = {
        "sigmoid": [collapsed, _shares(0.826, None, 0.019), {**_shares(0.024, 0.203), **_distinct(24)}, _shares(1.0)],
        "gumbel": [collapsed, _shares(0.494, None, 0.064), None, _shares(1.0)],
    }
    for bottleneck, row in rows.items():
        yield from _row("D", bottleneck, Setup(1000, 256, bottleneck, record_every=100), row, 3, steps=1000.0)


def table_e() -> Iterator[Cell]:
    """Learning rates."""
    published = {1e-5: _shares(0.007, 0.844), 5e-5: _shares(0.220), 1e-4: _shares(0.339), 3e-4: _shares(1.0),
                 1e-3: _shares(1.0)}  # fmt: skip
    for rate, prototype in published.items():
        yield Cell("E", f"notebook's start, rate {rate:g}", Setup(), {**NOTEBOOK, "learning_rate": rate}, 3, prototype)
    low = {"learning_rate": 5e-5}
    yield Cell("E", "sane start, rate 5e-05", Setup(), low, 3, _shares(0.990))
    yield Cell("E", "sane start, centred, rate 5e-05", Setup(), {**low, "centred": 1.0}, 3, _shares(1.0))


def table_f() -> Iterator[Cell]:
    """Initial scale of the words' vectors, all else as in the notebook."""
    published = {
        "categorical": (0.002, 0.002, 0.012, 0.016),
        "gumbel": (0.990, 1.0, 1.0, 1.0),
        "sigmoid": (1.0, 1.0, 1.0, 1.0),
    }
    for bottleneck, row in published.items():
        for std, value in zip((0.02, 0.1, 0.3, 1.0), row, strict=True):
            numbers = {**NOTEBOOK, "embedding_std": std, "steps": 100.0}
            yield Cell("F", f"{bottleneck}, {std:g}", Setup(bottleneck=bottleneck), numbers, 3, _shares(value))


TABLES = dict(zip("ABCDEF", (table_a, table_b, table_c, table_d, table_e, table_f), strict=True))


def cells(tables: tuple[str, ...] = tuple(TABLES)) -> list[Cell]:
    """The cells of tables, in their order.

    Raises:
        ValueError: a letter that is no table's.
    """
    return [cell for letter in tables for cell in TABLES[checks.choice("tables", letter, tuple(TABLES))]()]


def model_of(setup: Setup, numbers: dict[str, Any]) -> ae.Autoencoder:
    """The autoencoder of a cell, from its numbers by the names of ``NUMBERS``."""
    scales = {name: numbers[name] for name in ("embedding_std", "hidden_gain", "output_std", "output_bias")}
    channels = 1 if setup.bottleneck == "levels" else COLOURS
    hot, cold = numbers["temperature_start"], numbers["temperature_end"]
    temperature = td.annealing(start=hot, end=cold, num_steps=ANNEALED_STEPS)
    bottlenecks: dict[str, Callable[[], Any]] = {
        "categorical": ae.bottlenecks.categorical,
        "gumbel": lambda: ae.bottlenecks.gumbel(temperature=temperature, sampled=True),  # judged by a draw
        "sigmoid": lambda: ae.bottlenecks.sigmoid(centred=numbers["centred"]),
        "straight_through": ae.bottlenecks.straight_through,
        "levels": lambda: ae.quantizers.finite_scalar_quantizer(levels=(COLOURS,)),
    }
    gain: dict[str, Any] = {"vocabulary_size": setup.vocabulary_size, "gain": numbers["decoder_gain"]}
    decoders: dict[str, Callable[[], Any]] = {
        "dense": lambda: ae.decoders.dense(**gain),
        "linear": lambda: ae.decoders.linear(**gain),
        # Flattened, one hidden layer of 256, words.
        "convolutional": lambda: ae.decoders.convolutional(height=SIDE, depth=1, **gain),
        "mean": lambda: ae.decoders.convolutional(height=SIDE, pool="mean", **gain),
    }
    encoder = ae.encoders.table(vocabulary_size=setup.vocabulary_size, cells=SIDE * SIDE, channels=channels, **scales)
    return ae.autoencoder(encoder, bottlenecks[setup.bottleneck](), decoders[setup.decoder]())


def evaluate(numbers: dict[str, Any], key: jax.Array, *, setup: Setup, num_steps: int) -> dict[str, jax.Array]:
    """``MEASURES`` of one training, of ``num_steps`` steps at most: ``numbers["steps"]`` may be fewer."""
    size, model = setup.vocabulary_size, model_of(setup, numbers)
    everything = jnp.arange(size)
    loss = ae.losses.objective(words=ae.losses.cross_entropy(double_softmax=numbers["double_softmax"]))

    def predictions(model: Any, variables: Any, key: jax.Array) -> jax.Array:
        return jnp.argmax(model.apply(variables, everything, key=key)[0].logits, axis=-1)

    def judged(model: Any, variables: Any, key: jax.Array) -> dict[str, jax.Array]:
        return {"right": share(predictions(model, variables, key) == everything)}

    data: Any = everything
    if setup.batch_size is not None:
        data = ae.word_draws(1.0 / np.arange(1, size + 1), batch_size=setup.batch_size)
    result = fit(
        model, loss, data, key=key, num_steps=num_steps, hyper={"learning_rate": numbers["learning_rate"]},
        record_every=setup.record_every, evaluate=judged, stop=lambda record: record["right"] >= numbers["stop_at"],
        until=jnp.asarray(numbers["steps"]).astype(jnp.int32),
    )  # fmt: skip
    predicted = predictions(resolved(model, result.step), result.variables, keys.for_purpose(key, "judge"))
    # Records after the end of training are NaN, which is not 1.
    full = result.history["right"] == 1.0
    steps = setup.record_every * (jnp.arange(len(full)) + 1.0)
    return {
        "right": share(predicted == everything),
        "dominant": dominant_share(predicted, size),
        "distinct": distinct_predictions(predicted, size),
        "first": jnp.min(jnp.where(full, steps, jnp.inf)),
    }


def num_runs(tables: tuple[str, ...] = tuple(TABLES), *, seeds: int | None = None) -> int:
    """How many trainings ``run_tables`` makes."""
    return sum(min(cell.seeds, seeds or cell.seeds) for cell in cells(tables))


def run_tables(
    tables: tuple[str, ...] = tuple(TABLES),
    *,
    seeds: int | None = None,
    key: int = 0,
    store: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """Train every cell of the tables; cells that differ in numbers only share a compiled program.

    Args:
        tables: letters.
        seeds: at most so many of each cell; None takes as many as the prototype had (2 to 5).
        key: seed of the JAX key.
        store: folder in which an interrupted run is continued; None keeps everything in memory.
        progress: called with runs finished and runs in all.

    Returns:
        A row for each table, cell and seed: ``MEASURES``, those of the prototype as ``prototype_...`` (NaN where it
        printed none), all of them as the text ``prototype``, and ``verdict``, the same for all seeds of a cell.

    Raises:
        ValueError: another letter, or no seed.
    """
    checks.whole_number("seeds", 1 if seeds is None else seeds, at_least=1)
    chosen, total = cells(tables), num_runs(tables, seeds=seeds)
    groups: dict[tuple[Setup, int], list[int]] = {}
    for place, cell in enumerate(chosen):
        groups.setdefault((cell.setup, min(cell.seeds, seeds or cell.seeds)), []).append(place)
    parts: dict[int, pd.DataFrame] = {}
    done = 0
    for number, ((setup, count), members) in enumerate(groups.items()):
        folder = None if store is None else f"{store}/{number:03d}"
        found = train([chosen[place] for place in members], setup, seeds=count, key=key, store=folder)
        parts |= {place: _rows(chosen[place], found.isel(cell=column)) for column, place in enumerate(members)}
        done += len(members) * count
        if progress is not None:
            progress(done, total)
    return pd.concat([parts[place] for place in range(len(chosen))], ignore_index=True)


def train(members: list[Cell], setup: Setup, *, seeds: int, key: int, store: str | None) -> xarray.Dataset:
    """``MEASURES`` over cell and seed, for cells of one set-up, in one compilation."""
    stop_at = 1.0 if setup.bottleneck == "sigmoid" else NEVER
    rows = [{**NUMBERS, "stop_at": stop_at, **cell.changes} for cell in members]
    columns = {name: [row[name] for row in rows] for name in NUMBERS}
    run = functools.partial(evaluate, setup=setup, num_steps=int(max(columns["steps"])))
    space = zipped("cell", columns)
    found = sweep(run, dict(NUMBERS), space, seeds=seeds, key=jax.random.key(key), unit=UNIT, store=store)
    assert not isinstance(found, Plan)
    return found


def _rows(cell: Cell, found: xarray.Dataset) -> pd.DataFrame:
    values = {name: np.asarray(found[name].values, float) for name in MEASURES}
    published = {
        f"prototype_{name}": cell.prototype[name].value if name in cell.prototype else math.nan for name in MEASURES
    }
    text = ", ".join(f"{name} {number.text}" for name, number in cell.prototype.items())
    return pd.DataFrame(
        {"table": cell.table, "cell": cell.name, "seed": np.arange(len(values["right"])), **values, **published,
         "prototype": text, "verdict": verdict(cell.prototype, values)}
    )  # fmt: skip


def verdict(prototype: dict[str, Prototype], values: dict[str, np.ndarray]) -> str:
    """What holds between the prototype's numbers and ours `[seeds]`, by the names of ``MEASURES``.

    Returns:
        ``INSIDE`` if all of the prototype's numbers, to the digits that were printed, lie between our smallest and our
        largest, and all our steps in its range of steps; else which do not, and how far our mean is above.
    """
    apart = []
    for name, number in prototype.items():
        ours = values[name]
        of_range = ours.min() >= number.low and ours.max() <= number.high
        if of_range if name == "first" else (ours.min() <= number.high and number.low <= ours.max()):
            continue
        if np.isfinite([*ours, number.value]).all():
            apart.append(f"{name} by {ours.mean() - number.value:+.3g}")
        else:
            apart.append(f"{name} (never in {int(np.isinf(ours).sum())} of {len(ours)})")
    return f"differs: {', '.join(apart)}" if apart else INSIDE


def as_dataset(frame: pd.DataFrame) -> xarray.Dataset:
    """The rows of ``run_tables`` as variables ``table_...`` over ``table_row``, to stand in the study's Dataset."""
    return xarray.Dataset({f"table_{name}": ("table_row", np.asarray(list(frame[name]))) for name in frame})


def as_frame(dataset: xarray.Dataset) -> pd.DataFrame:
    """What ``as_dataset`` was given; without rows where the study ran no tables."""
    names = ["table", "cell", "seed", *MEASURES, *(f"prototype_{name}" for name in MEASURES), "prototype", "verdict"]
    return pd.DataFrame({name: dataset[f"table_{name}"].values for name in names if f"table_{name}" in dataset})
