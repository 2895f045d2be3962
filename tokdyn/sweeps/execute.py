"""Running the tasks of a sweep: on threads, on devices, on a cluster; one task writes one chunk."""

from __future__ import annotations

import collections
import concurrent.futures
import os
from collections.abc import Callable, Generator, Sequence
from typing import Any

import jax
import numpy as np

from tokdyn.sweeps.labelled import Layout
from tokdyn.sweeps.program import Program, Spec

Task = tuple[int, dict[str, np.ndarray]]


def task_results(
    spec: Spec,
    programs: Callable[[int], Program],
    tasks: Sequence[int],
    layout: Layout,
    *,
    workers: int,
) -> Generator[Task, None, None]:
    """Compute tasks one after another, each on all threads; at most two are in memory.

    Args:
        spec: the sweep's.
        programs: the program of a variant, by its number.
        tasks: which tasks.
        layout: of the whole sweep; outputs smaller than it says are padded.
        workers: threads. A compiled program leaves Python alone, so they fill the cores.

    Yields:
        ``(task, {name: [chunk, ...]})`` with ``cell`` and ``seed``; runs past the end hold what padding holds.
    """
    pool = concurrent.futures.ThreadPoolExecutor(workers)
    waiting: collections.deque[tuple[int, list[concurrent.futures.Future[Any]]]] = collections.deque()

    def submitted(task: int) -> tuple[int, list[concurrent.futures.Future[Any]]]:
        program = programs(layout.variant_of(task))
        runs = layout.runs_of(task)
        return task, [pool.submit(program, first) for first in runs[:: program.size]]

    remaining = iter(tasks)
    try:
        for task in remaining:
            waiting.append(submitted(task))
            if len(waiting) == 2:
                yield _finished(spec, layout, *waiting.popleft())
        while waiting:
            yield _finished(spec, layout, *waiting.popleft())
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _finished(spec: Spec, layout: Layout, task: int, futures: list[concurrent.futures.Future[Any]]) -> Task:
    parts = [future.result() for future in futures]
    runs, chunk = layout.runs_of(task), layout.chunk
    cell, seed = spec.runs(runs.start, runs.stop)
    arrays = {name: np.concatenate([part[name] for part in parts])[: len(runs)] for name in parts[0]}
    result = {name: _padded(values, (chunk, *layout.shape_of(name))) for name, values in arrays.items()}
    result["cell"], result["seed"] = (_padded(x.astype(np.uint32), (chunk,)) for x in (cell, seed))
    return task, result


def _padded(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Filled at the end of every axis: NaN for floats, 0 for other numbers."""
    if values.shape == shape:
        return values
    filled = np.full(shape, np.nan if values.dtype.kind == "f" else 0, values.dtype)
    filled[tuple(slice(n) for n in values.shape)] = values
    return filled


def default_workers(devices: Sequence[jax.Device]) -> int:
    """Threads on this machine: one for each core on one CPU device; two elsewhere, so that a device never waits."""
    if len(devices) == 1 and devices[0].platform == "cpu":
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return 2
