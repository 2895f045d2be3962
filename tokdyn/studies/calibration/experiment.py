"""The study's Dataset: what every diagnostic said of every run, and what is true of every training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import xarray

from tokdyn.reasoning import audit
from tokdyn.reasoning.audit.diagnostics import DIAGNOSTICS, Diagnostic
from tokdyn.reasoning.audit.evaluation import truth
from tokdyn.reasoning.audit.schema import CLEAN, Run
from tokdyn.reasoning.audit.suite import battery
from tokdyn.reasoning.designs import DESIGNS
from tokdyn.reasoning.estimands import Estimands
from tokdyn.studies.calibration.controls import CONTROLS
from tokdyn.studies.calibration.design import Config
from tokdyn.studies.calibration.trainings import members, train_all
from tokdyn.studies.store import kept

JUDGED: dict[str, Diagnostic] = {**DIAGNOSTICS, **CONTROLS}
FORMAT, SCHEMA_VERSION = "tokdyn.calibration.judged", 1
DIMS = ("task", "size", "design", "training")
VARIABLES = {
    "value": "p-value, 1 for yes and 0 for no, or score, of a run; NaN where training came close to the arm",
    "kind": "what the value is: p-value, verdict, score",
    "looks": "whether the diagnostic only observes",
    "asks": "what it asks about by itself: what the cache holds, what slots are fed, that slots are there",
    "bears": "whether the answer depends on what the slots' cache holds: 1, 0, or NaN where that is open",
    "declared": "the same by masks alone; NaN where they leave it open",
    "attends": "whether the positions that answer may attend to slots",
    "estimand": "what was measured on many items (reasoning.estimands)",
    "accuracy": "share of right answers, clean and under every arm, mean over runs",
    "curve": "share of right answers in training",
}


def measure(
    config: Config, *, progress: Callable[[int, int], None] | None = None, store: str = "", workers: int = 2
) -> xarray.Dataset:
    """``VARIABLES`` over diagnostic, task, size, design, training, run, quantity, arm.

    Progress counts blocks of trainings, then cells that were judged.
    """
    total, done = 2 * len(config.cells), 0

    def finished() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, total)

    trained, seconds = train_all(config, finished, store=store, workers=workers)
    every = members(config, trained)
    suite = audit.suite(every, repetitions=config.repetitions, num_items=config.num_items, key=config.key)
    found: dict[tuple[str, ...], Any] = {}
    judging = 0.0
    # One after the other, in one thread: probes take batches of eigenvalues (see ``numerics.singular_values``).
    for cell in config.cells:
        part = [member for member in suite.members if (*member.stratum, member.design) == cell]
        declared = {"suite": suite.sha256, "cell": list(cell), "diagnostics": list(JUDGED)}
        made = kept(
            store, f"judged, {', '.join(cell)}", declared, lambda part=part: _judged(suite, part),  # type: ignore[misc]
            format=FORMAT, schema_version=SCHEMA_VERSION,
        )  # fmt: skip
        found[cell] = made.value
        judging += made.seconds
        # Every cell has programs of its own, and forty cells' are more than a process may map into its memory.
        jax.clear_caches()
        finished()
    dataset = _assembled(config, trained, every, found)
    return dataset.assign_attrs(training_seconds=seconds, judging_seconds=judging, suite=suite.sha256)


def _judged(suite: audit.Suite, part: list[audit.Member]) -> dict[str, np.ndarray]:
    """Values `[diagnostics, trainings, runs]` and accuracies `[trainings, runs, arms]` of one cell."""
    values = np.full((len(JUDGED), len(part), suite.repetitions), np.nan)
    accuracy = np.empty((len(part), suite.repetitions, 1 + len(battery(1))))
    chosen = suite._replace(members=tuple(part))
    for member, repetition, run in chosen.runs():
        number = part.index(member)
        for row, one in enumerate(JUDGED.values()):
            if not one.met(member.design):
                values[row, number, repetition] = float(one.judge(run))
        accuracy[number, repetition] = _accuracies(run)
    return {"value": values, "accuracy": accuracy}


def _accuracies(run: Run) -> list[float]:
    return [run.right.mean(), *(run.outcomes(arm).mean() for arm in battery(1))]


def _assembled(
    config: Config, trained: dict[Any, Any], every: list[audit.Member], found: dict[Any, Any]
) -> xarray.Dataset:
    shape = len(config.tasks), len(config.sizes), len(config.designs)

    def of_cells(values: Callable[[Any], Any]) -> np.ndarray:
        rows = np.stack([np.asarray(values(cell)) for cell in config.cells])
        return rows.reshape(*shape, *rows.shape[1:])

    truths = {cell: [truth(one) for one in every if (*one.stratum, one.design) == cell] for cell in config.cells}
    declared = [np.nan if (one := DESIGNS[name].content) is None else float(one) for name in config.designs]
    return xarray.Dataset(
        {
            "value": ((*DIMS[:3], "diagnostic", "training", "run"), of_cells(lambda cell: found[cell]["value"])),
            "kind": ("diagnostic", [one.kind for one in JUDGED.values()]),
            "looks": ("diagnostic", [one.looks for one in JUDGED.values()]),
            "asks": ("diagnostic", [one.asks for one in JUDGED.values()]),
            "bears": (DIMS, of_cells(truths.__getitem__)),
            "declared": ("design", declared),
            "attends": ("design", [DESIGNS[name].attends for name in config.designs]),
            "estimand": ((*DIMS, "quantity"), of_cells(lambda cell: trained[cell]["estimands"])),
            "accuracy": ((*DIMS, "arm"), of_cells(lambda cell: found[cell]["accuracy"].mean(axis=1))),
            "curve": ((*DIMS, "record"), of_cells(lambda cell: trained[cell]["history"]["right"])),
        },
        {
            "diagnostic": list(JUDGED), "task": list(config.tasks), "size": list(config.sizes),
            "design": list(config.designs), "training": np.arange(config.seeds), "run": np.arange(config.repetitions),
            "quantity": list(Estimands._fields), "arm": [CLEAN, *battery(1)],
        },
    ).transpose("diagnostic", *DIMS, "run", "quantity", "arm", "record", missing_dims="ignore")  # fmt: skip
