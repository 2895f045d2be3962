"""What the parts of this folder share: rows of numbers over seeds, beside chance and what can be reached."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import xarray

from tokdyn import autoencoder as ae
from tokdyn import keys
from tokdyn.autoencoder.diagnose.predictions import dominant_share
from tokdyn.autoencoder.encoders.table import INITIALISATIONS
from tokdyn.numerics import share
from tokdyn.stats import mean_interval
from tokdyn.studies import rules
from tokdyn.studies.autoencoder.design import UNTOUCHED
from tokdyn.studies.autoencoder.texts import corpus_of
from tokdyn.studies.documents import brackets
from tokdyn.sweeps import Plan, sweep, zipped
from tokdyn.train import Fit, fit

RIGHT, COMMONEST = "share of words right", "share of the commonest answer"
BATCH, WIDTH = 48, 32  # tokens of a step; hidden layers
WORDS = 48  # distinct words of the small text
STEPS, RATE = 200, 2e-3
# The published faults in this small world: of the loss, of the start, of both.
PUBLISHED, LOSS, START, HEALTHY = "as published", "loss repaired", "start repaired", "repaired"
_POOR = {**INITIALISATIONS["published"], "decoder_gain": UNTOUCHED}
_SANE = {**INITIALISATIONS["unit"], "decoder_gain": 2.0**0.5}
STARTS: dict[str, dict[str, float]] = {
    PUBLISHED: {**_POOR, "double_softmax": 1.0},
    LOSS: {**_POOR, "double_softmax": 0.0},
    START: {**_SANE, "double_softmax": 1.0},
    HEALTHY: {**_SANE, "double_softmax": 0.0},
}
Evaluate = Callable[[dict[str, Any], jax.Array], dict[str, jax.Array]]


class Row(NamedTuple):
    """One number of one condition.

    Attributes:
        condition: as in tables and figures.
        measure: what the number is, in words.
        values: one for each seed `[seeds]`.
        chance: what knowing nothing gives; NaN where that says nothing.
        best: the most that can be reached; NaN where there is no bound.
    """

    condition: str
    measure: str
    values: np.ndarray
    chance: float = math.nan
    best: float = math.nan


class Run(NamedTuple):
    """How a part is run.

    Attributes:
        seeds: trainings of each condition.
        key: seed of the JAX key.
        store: folder in which finished trainings are kept; "" for none.
    """

    seeds: int
    key: int = 0
    store: str = ""


def name_of(part: str, condition: str, measure: str) -> str:
    """The label of a row."""
    return f"{part}: {condition}: {measure}"


def as_dataset(rows: Mapping[str, Iterable[Row]]) -> xarray.Dataset:
    """Rows of several parts as one Dataset over idea_row and idea_seed; missing seeds are NaN."""
    flat = [(part, row) for part, of in rows.items() for row in of]
    values = np.full((len(flat), max(len(row.values) for _, row in flat)), np.nan)
    for place, (_, row) in enumerate(flat):
        values[place, : len(row.values)] = row.values
    return xarray.Dataset(
        {
            "idea": (("idea_row", "idea_seed"), values),
            "idea_chance": ("idea_row", [row.chance for _, row in flat]),
            "idea_best": ("idea_row", [row.best for _, row in flat]),
        },
        coords={
            "idea_row": [name_of(part, row.condition, row.measure) for part, row in flat],
            "idea_part": ("idea_row", [part for part, _ in flat]),
        },
    )


def seeds_of(dataset: xarray.Dataset, part: str, condition: str, measure: str) -> np.ndarray:
    """The numbers of a row `[seeds]`, without those that pad it."""
    values = np.asarray(dataset["idea"].sel(idea_row=name_of(part, condition, measure)).values, float)
    return values[~np.isnan(values)]


class Reader:
    """Reads the rows of one part: the measures of a ``Judgement``, and the words beside them."""

    def __init__(self, part: str) -> None:
        self.part = part

    def seeds(self, of: xarray.Dataset, condition: str, measure: str) -> np.ndarray:
        """`[seeds]`."""
        return seeds_of(of, self.part, condition, measure)

    def mean(self, condition: str, measure: str) -> Callable[[xarray.Dataset], rules.Estimate]:
        """The mean over seeds with its interval."""
        return lambda of: rules.mean(self.seeds(of, condition, measure))

    def more(self, one: str, other: str, measure: str) -> Callable[[xarray.Dataset], rules.Estimate]:
        """By how much one condition exceeds another, paired by seed."""
        return lambda of: rules.mean(self.seeds(of, one, measure) - self.seeds(of, other, measure))

    def mores(self, pairs: Sequence[tuple[str, str]], measure: str) -> Callable[[xarray.Dataset], list[rules.Estimate]]:
        """The same for several pairs read together."""
        return lambda of: [
            rules.mean(self.seeds(of, one, measure) - self.seeds(of, other, measure), together=len(pairs))
            for one, other in pairs
        ]

    def percent(self, of: xarray.Dataset, condition: str, measure: str) -> str:
        """The mean in percent, as text."""
        return f"{100 * self.seeds(of, condition, measure).mean():.1f}"


def words_right(model: Any, loss: Any, key: jax.Array, *, num_steps: int = STEPS) -> tuple[Fit, dict[str, jax.Array]]:
    """One training on the small text (51 words of the published frequencies), and what comes back.

    Args:
        model: of so many words.
        loss: of ``ae.losses``.
        key: of weights, batches and noise.
        num_steps: of ``BATCH`` tokens each.

    Returns:
        The training, and ``RIGHT`` and ``COMMONEST`` over the distinct words.
    """
    text = corpus_of("small")
    draws = ae.word_draws(text.frequencies, batch_size=BATCH)
    result = fit(model, loss, draws, key=key, num_steps=num_steps, hyper={"learning_rate": RATE})
    types = jnp.asarray(text.types)
    logits = model.apply(result.variables, types, key=keys.for_purpose(key, "judge"))[0].logits
    predicted = jnp.argmax(logits, axis=-1)
    found = {RIGHT: share(predicted == types), COMMONEST: dominant_share(predicted, text.vocabulary_size)}
    return result, found


def trained(
    evaluate: Evaluate, conditions: Mapping[str, Mapping[str, float]], run: Run, place: str
) -> dict[str, dict[str, np.ndarray]]:
    """Every condition on every seed, in one compiled program.

    Args:
        evaluate: ``(numbers, key) -> {measure: []}``, one training.
        conditions: name -> its traced numbers; all have the same names. Seed s has the same draws in every condition.
        run: seeds, key and store.
        place: folder of this program within the store.

    Returns:
        ``{condition: {measure: [seeds]}}``.
    """
    names = list(conditions)
    columns = {number: [conditions[name][number] for name in names] for number in conditions[names[0]]}
    found = sweep(
        evaluate, {number: float(column[0]) for number, column in columns.items()}, zipped("condition", columns),
        seeds=run.seeds, key=jax.random.key(run.key), unit=min(24, run.seeds),
        store=f"{run.store}/{place}" if run.store else None,
    )  # fmt: skip
    assert not isinstance(found, Plan)
    measures = [str(name) for name in found.data_vars]
    return {
        name: {measure: found[measure].transpose("condition", "seed").values[place] for measure in measures}
        for place, name in enumerate(names)
    }


def table_rows(dataset: xarray.Dataset, part: str) -> list[dict[str, Any]]:
    """The rows of one part for a table of the report."""
    made = []
    for name in dataset["idea_row"].values[dataset["idea_part"].values == part]:
        _, condition, measure = str(name).split(": ", 2)
        values, one = seeds_of(dataset, part, condition, measure), dataset.sel(idea_row=name)
        interval = mean_interval(values) if len(values) > 1 else None
        bounds = {"chance": float(one["idea_chance"]), "most": float(one["idea_best"])}
        made.append(
            {"condition": condition, "measure": measure, "mean": float(values.mean()),
             "95 %": brackets(interval.low, interval.high) if interval else "exact",
             **{name: "-" if math.isnan(value) else f"{value:.3g}" for name, value in bounds.items()},
             "values": len(values)}
        )  # fmt: skip
    return made
