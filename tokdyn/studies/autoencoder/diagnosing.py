"""The held-out bench of the diagnosis as a part of the study: how often is it right, and how often wrongly sure?

It stands in the default study, since a study that explains collapses by ``ae.diagnose`` owes its error rates: about
920 models of 24 words share two compiled programs and took 196 s alone on two cores, beside 23 minutes for the rest.
``--quick`` and a text of one's own leave it out; ``--groups diagnosis`` runs nothing else.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import xarray

from tokdyn.autoencoder.diagnose import held_out
from tokdyn.autoencoder.diagnose.composing import BLOCK, PLAIN, composed
from tokdyn.autoencoder.diagnose.held_out import Combination, Outcome
from tokdyn.autoencoder.diagnose.primitives import PRIMITIVES
from tokdyn.stats import clopper_pearson
from tokdyn.studies.documents import Figure, brackets, table
from tokdyn.sweeps import Plan, sweep, zipped

VARIABLES = {
    "bench_primitives": "what a model of the held-out bench is composed of, an axis each",
    "bench_part": "unseen combination, two faults, foreign, looked at, healthy or development",
    "bench_cause": "the cause that the diagnosis named, or unexplained or healthy",
    "bench_ranked": "all causes whose condition held, the likeliest first",
    "bench_failed": "whether the model lost more than one type in twenty",
}


def combinations(every: int = 1) -> list[Combination]:
    """The models of the bench; with ``every``, each so-manyth of them."""
    return held_out.combinations()[::every]


def run(
    chosen: list[Combination],
    *,
    key: int = 0,
    store: str = "",
    progress: Callable[[int, int], None] | None = None,
) -> xarray.Dataset:
    """Train and diagnose them.

    Args:
        chosen: of ``combinations``.
        key: seed of the JAX key; every model has a key of its own.
        store: folder in which an interrupted run is continued.
        progress: called with models finished and models in all.

    Returns:
        ``VARIABLES`` over bench_model, in the order of ``chosen``.
    """
    found: dict[int, tuple[dict[str, float], np.ndarray]] = {}
    for with_numbers in (False, True):
        places = [place for place, one in enumerate(chosen) if (one.numbers["code"] >= 3) is with_numbers]
        if not places:
            continue
        columns = {name: [chosen[place].numbers[name] for place in places] for name in PLAIN}
        before = len(found)
        told = None if progress is None else _after(progress, before, len(chosen))
        swept = sweep(
            functools.partial(_measured, with_numbers=with_numbers), {**PLAIN, "number": 0.0},
            zipped("bench_model", {**columns, "number": [float(place) for place in places]}), seeds=1,
            key=jax.random.key(key), paired=False, dims={"losses": ("record",)}, unit=BLOCK, progress=told or False,
            store=f"{store}/{int(with_numbers)}" if store else None,
        )  # fmt: skip
        assert not isinstance(swept, Plan)
        arrays = {str(name): swept[name].isel(seed=0).values for name in swept.data_vars}
        curves = arrays.pop("losses")
        for row, place in enumerate(places):
            found[place] = {name: float(column[row]) for name, column in arrays.items()}, curves[row]
    said = held_out.judged(chosen, [found[place] for place in range(len(chosen))])
    verdicts = {
        "primitives": [", ".join(one.combination.names) for one in said],
        "part": [one.combination.part for one in said],
        "cause": [one.cause for one in said],
        "ranked": [", ".join(one.ranked) for one in said],
        "failed": [one.failed for one in said],
    }
    return xarray.Dataset({f"bench_{name}": ("bench_model", np.asarray(values)) for name, values in verdicts.items()})


def _after(progress: Callable[[int, int], None], before: int, total: int) -> Callable[[int, int], None]:
    return lambda made, _: progress(before + made, total)


def _measured(numbers: dict[str, Any], key: jax.Array, *, with_numbers: bool) -> dict[str, jax.Array]:
    """A model's measurements and losses; its number is there to give it a key of its own."""
    found, losses = composed(with_numbers, {name: numbers[name] for name in PLAIN}, key)
    return {**found, "losses": losses}


def outcomes(dataset: xarray.Dataset) -> list[Outcome]:
    """What ``run`` found, as ``held_out`` counts it."""
    rows = zip(*(dataset[name].values for name in VARIABLES), strict=True)
    return [
        Outcome(Combination(tuple(str(names).split(", ")), str(part)), str(cause),
                tuple(str(ranked).split(", ")) if str(ranked) else (), bool(failed))
        for names, part, cause, ranked, failed in rows
    ]  # fmt: skip


def blocks(dataset: xarray.Dataset) -> list[str]:
    """The bench in the report: rates with intervals, and the whole confusion matrix."""
    found = outcomes(dataset)
    rates = []
    for name, flags in held_out.summary(found).items():
        if flags:
            ends = clopper_pearson(sum(flags), len(flags))
            interval = brackets(100 * float(ends.low), 100 * float(ends.high), 1)
            rates.append({"rate": name, "models": f"{sum(flags)} of {len(flags)}",
                          "%": f"{100 * float(ends.estimate):.1f}", "95 %": interval})  # fmt: skip
    rows = []
    for name, told in held_out.confusion(found).items():
        of = [one for one in found if name in one.combination.names and one.combination.part not in _APART]
        verdicts = ", ".join(f"{cause} {count}" for cause, count in told.most_common())
        rows.append({"primitive": name, "cause": _cause(name), "models": len(of) or told.total(),
                     "do harm, or are proved": told.total(), "verdicts": verdicts or "none does harm"})  # fmt: skip
    return [
        "## How often the diagnosis is right",
        f"{len(found)} models of 24 words, composed from primitives (data, loss, model, optimiser, metric) and "
        "diagnosed. Thresholds have seen none of these combinations, and nothing of the foreign faults; the split is "
        "by primitive. Intervals are exact (Clopper and Pearson) and take models as independent; of a *kind* of "
        "foreign fault there are about twelve models.",
        table(rates),
        table(rows),
    ]


_APART = ("development", "two faults", "healthy")


def _cause(name: str) -> str:
    return "healthy" if name == held_out.SOUND else PRIMITIVES[name].cause


def figures(dataset: xarray.Dataset) -> list[Figure]:
    """The confusion matrix by causes: rows add up to 1."""
    counted: dict[str, dict[str, int]] = {}
    for name, told in held_out.confusion(outcomes(dataset)).items():
        row = counted.setdefault("foreign fault" if _cause(name) == "unexplained" else _cause(name), {})
        for cause, count in told.items():
            row[cause] = row.get(cause, 0) + count
    counted = {name: row for name, row in counted.items() if row}
    last = ("unexplained", "healthy")
    planted = sorted(counted, key=lambda name: (name in ("foreign fault", "healthy"), name == "healthy"))
    # In the order of the rows, so that what is right lies on the diagonal.
    named = [name for name in planted if name not in ("foreign fault", "healthy")]
    others = sorted({cause for row in counted.values() for cause in row} - {*named, *last})
    columns = [*named, *others, *last]
    values = [[counted[row].get(name, 0) / sum(counted[row].values()) for name in columns] for row in planted]
    rows = [f"{name.replace('_', ' ')} ({sum(counted[name].values())})" for name in planted]

    def drawn() -> Any:
        from tokdyn import plot

        return plot.fault_matrix(
            values, row_names=rows, column_names=[name.replace("_", " ") for name in columns],
            label="share of the models given this name",
        )  # fmt: skip

    caption = (
        "What the diagnosis names (columns) by what was planted (rows, with the number of models): held-out bench."
    )
    return [Figure("diagnosis.png", caption, drawn)]
