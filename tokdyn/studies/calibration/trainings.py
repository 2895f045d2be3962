"""Training of all reasoners, and what is true of each, in blocks that a store keeps."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import numpy as np

from tokdyn import keys
from tokdyn.reasoning import audit, shipped
from tokdyn.reasoning.designs import SIZES, TASKS, reference
from tokdyn.reasoning.estimands import Estimands, estimands
from tokdyn.studies.calibration.design import Config
from tokdyn.studies.store import Kept, kept
from tokdyn.tree import unstacked

FORMAT, SCHEMA_VERSION = "tokdyn.calibration", 2
Cell = tuple[str, str, str]
_AT_A_TIME = 8  # cells whose programs are kept together


def train_all(
    config: Config, finished: Callable[[], None], *, store: str, workers: int
) -> tuple[dict[Cell, dict[str, Any]], float]:
    """All trainings, and the seconds of all blocks together, whenever they were trained.

    Args:
        config: of the study.
        finished: called after each block: the trainings of one cell.
        store: a folder that keeps what is trained and measured, so that a run that was cut off goes on; "" for none.
        workers: blocks at the same time.

    Returns:
        By (task, size, design) ``variables`` and ``history``, leaves `[seeds, ...]`, and ``estimands``
        `[seeds, quantities]`; and the seconds.
    """
    lock = threading.Lock()

    def block(cell: Cell) -> Kept:
        made = _block(config, store, cell)
        with lock:
            finished()
        return made

    parts: dict[Cell, Kept] = {}
    with ThreadPoolExecutor(min(workers, len(config.cells))) as pool:
        for first in range(0, len(config.cells), _AT_A_TIME):
            some = config.cells[first : first + _AT_A_TIME]
            parts.update(zip(some, pool.map(block, some), strict=True))
            # Every cell has programs of its own, and forty cells' are more than a process may map into its memory.
            jax.clear_caches()
    return {cell: part.value for cell, part in parts.items()}, sum(part.seconds for part in parts.values())


def members(config: Config, trained: dict[Cell, dict[str, Any]]) -> list[audit.Member]:
    """Trainings as members of a suite.

    Args:
        config: of the study.
        trained: from ``train_all``.
    """
    made = []
    for task, size, design in config.cells:
        one = trained[task, size, design]
        for number, variables in enumerate(unstacked(one["variables"])):
            found = Estimands(*one["estimands"][number].tolist())
            made.append(audit.member(design, (task, size), number, variables, found))
    return made


def _block(config: Config, store: str, cell: Cell) -> Kept:
    task, size, design = cell
    scale = SIZES[size]._replace(num_steps=config.num_steps)
    learner, runner = (reference(design, TASKS[task], scale, run=run) for run in (False, True))
    key = keys.for_purpose(jax.random.key(config.key), ", ".join(cell))

    def make() -> dict[str, Any]:
        made = shipped.ensemble(learner, key, range(config.seeds), num_items=500)
        # In half precision, as the package ships them: what is judged is what is shipped.
        weights = jax.tree.map(lambda leaf: leaf.astype(np.float16).astype(leaf.dtype), made["variables"])
        measured = [
            estimands(runner.model, runner.task, one, keys.for_purpose(key, "truth"), num_items=config.truth_items)
            for one in unstacked(weights)
        ]
        return {"variables": weights, "history": made["history"], "estimands": np.array(measured, float)}

    declared = {
        "seeds": config.seeds, "key": config.key, "num_steps": config.num_steps, "truth_items": config.truth_items,
        "model": repr(learner.model), "task": repr(learner.task), "loss": repr(learner.loss),
        "run": repr(runner.task), "rate": learner.learning_rate, "batch_size": learner.batch_size,
    }  # fmt: skip
    return kept(store, ", ".join(cell), declared, make, format=FORMAT, schema_version=SCHEMA_VERSION)
