"""Running the tasks of a sweep: on threads, on devices, on a cluster; one task writes one chunk."""

from __future__ import annotations

import collections
import concurrent.futures
import os
from collections.abc import Callable, Generator, Sequence
from typing import Any

import jax
import numpy as np

from tokdyn.sweeps.program import Program, Spec

Task = tuple[int, dict[str, np.ndarray]]


def task_results(
    spec: Spec,
    programs: Callable[[int], Program],
    tasks: Sequence[int],
    *,
    chunk: int,
    tasks_per_variant: int,
    shapes: dict[str, tuple[int, ...]],
    workers: int,
) -> Generator[Task, None, None]:
    """Compute tasks one after another, each on all threads; at most two are in memory.

    Args:
        spec: the sweep's.
        programs: the program of a variant, by its number.
        tasks: which tasks.
        chunk: runs of a task.
        tasks_per_variant: tasks of each variant.
        shapes: of one run's outputs in the store; smaller outputs are padded.
        workers: threads. A compiled program leaves Python alone, so they fill the cores.

    Yields:
        ``(task, {name: [chunk, ...]})`` with ``cell`` and ``seed``; runs past the end hold what padding holds.
    """
    pool = concurrent.futures.ThreadPoolExecutor(workers)
    waiting: collections.deque[tuple[int, list[concurrent.futures.Future[Any]]]] = collections.deque()

    def submitted(task: int) -> tuple[int, list[concurrent.futures.Future[Any]]]:
        program = programs(task // tasks_per_variant)
        start = task % tasks_per_variant * chunk
        stop = min(start + chunk, spec.num_runs)
        return task, [pool.submit(program, first) for first in range(start, stop, program.size)]

    remaining = iter(tasks)
    try:
        for task in remaining:
            waiting.append(submitted(task))
            if len(waiting) == 2:
                yield _finished(spec, waiting.popleft(), chunk, tasks_per_variant, shapes)
        while waiting:
            yield _finished(spec, waiting.popleft(), chunk, tasks_per_variant, shapes)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _finished(
    spec: Spec,
    waiting: tuple[int, list[concurrent.futures.Future[Any]]],
    chunk: int,
    tasks_per_variant: int,
    shapes: dict[str, tuple[int, ...]],
) -> Task:
    task, futures = waiting
    parts = [future.result() for future in futures]
    start = task % tasks_per_variant * chunk
    length = min(chunk, spec.num_runs - start)
    cell, seed = spec.runs(start, start + length)
    arrays = {name: np.concatenate([part[name] for part in parts])[:length] for name in parts[0]}
    result = {name: _padded(values, (chunk, *shapes[name])) for name, values in arrays.items()}
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
