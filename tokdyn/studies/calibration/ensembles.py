"""Training of all reasoners, in blocks that a store keeps."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import numpy as np

from tokdyn import keys
from tokdyn.reasoning import shipped
from tokdyn.reasoning.references import Reference, catalog
from tokdyn.studies.calibration.design import BLOCK, SCALE, Config
from tokdyn.studies.store import Kept, kept

FORMAT, SCHEMA_VERSION = "tokdyn.calibration", 1


def references(config: Config) -> dict[str, Reference]:
    """Everything that is trained, by name."""
    known = catalog(SCALE)
    return {name: dataclasses.replace(known[name], num_steps=config.num_steps) for name in config.trained}


def train_all(
    config: Config, known: dict[str, Reference], finished: Callable[[], None], *, store: str, workers: int
) -> tuple[dict[str, dict[str, Any]], float]:
    """All trainings, and the seconds of all blocks together, whenever they were trained.

    Args:
        config: of the study.
        known: from ``references``.
        finished: called after each block.
        store: a folder that keeps trained weights, so that a run that was cut off goes on where it was; "" for none.
        workers: blocks trained at the same time.

    Returns:
        By reference ``variables``, ``history`` and ``accuracy``, leaves `[trainings, ...]`; and the seconds.
    """
    jobs = [(name, one, start) for name, one in known.items()
            for start in range(0, config.trainings(name), BLOCK)]  # fmt: skip
    lock = threading.Lock()

    def block(job: tuple[str, Reference, int]) -> Kept:
        made = _block(config, store, *job)
        with lock:
            finished()
        return made

    with ThreadPoolExecutor(min(workers, len(jobs))) as pool:
        parts = list(pool.map(block, jobs))
    trained = {
        name: jax.tree.map(
            lambda *leaves: np.concatenate(leaves),
            *[part.value for (owner, _, _), part in zip(jobs, parts, strict=True) if owner == name],
        )
        for name in config.trained
    }
    return trained, sum(part.seconds for part in parts)


def num_blocks(config: Config) -> int:
    """Blocks in all."""
    return sum(-(-config.trainings(name) // BLOCK) for name in config.trained)


def _block(config: Config, store: str, name: str, reference: Reference, start: int) -> Kept:
    """Up to ``BLOCK`` trainings; a seed's weights do not depend on how many are trained."""
    seeds = range(start, min(start + BLOCK, config.trainings(name)))
    key = keys.for_purpose(jax.random.key(config.key), name)
    design = {"num_steps": config.num_steps, "key": config.key, "seeds": list(seeds), "protocol": repr(reference.model),
              "task": repr(reference.task), "loss": repr(reference.loss), "batch_size": reference.batch_size,
              "learning_rate": reference.learning_rate}  # fmt: skip
    return kept(
        store, f"{name} {start}", design, lambda: shipped.ensemble(reference, key, seeds),
        format=FORMAT, schema_version=SCHEMA_VERSION,
    )  # fmt: skip
