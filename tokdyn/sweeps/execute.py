"""Running the tasks of a sweep on threads, devices or a cluster; one task writes one chunk."""

from __future__ import annotations

import collections
import concurrent.futures
import json
import os
from collections.abc import Callable, Generator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from tokdyn.sweeps.layout import Layout, Whole
from tokdyn.sweeps.program import Program, Runs, Spec
from tokdyn.sweeps.space import Axis, Space


class Task(NamedTuple):
    """A task of one part of a sweep.

    Attributes:
        part: number of the part.
        number: number of the task within its part.
    """

    part: int
    number: int


def task_results(
    spec: Spec,
    programs: Callable[[str], Program],
    tasks: Sequence[Task],
    layouts: Sequence[Layout],
    *,
    workers: int,
) -> Generator[tuple[Task, dict[str, np.ndarray]], None, None]:
    """Compute tasks one after another, each on all threads, with at most two in memory.

    Args:
        spec: specification of the sweep.
        programs: the program of each variant, by its labels (``labels_of``).
        tasks: the tasks to compute.
        layouts: layouts of the parts; smaller outputs are padded to the shapes they give.
        workers: number of threads. Compiled programs release Python's lock, so threads use all cores.

    Yields:
        ``(task, {name: [chunk, ...]})``; runs past the end hold padding.
    """
    pool = concurrent.futures.ThreadPoolExecutor(workers)
    waiting: collections.deque[tuple[Task, list[concurrent.futures.Future[Any]]]] = collections.deque()
    runs = {number: runs_of(spec, layouts[number]) for number in {task.part for task in tasks}}

    def submitted(task: Task) -> tuple[Task, list[concurrent.futures.Future[Any]]]:
        layout = layouts[task.part]
        program = programs(labels_of(layout.whole, layout.variant_of(task.number)))
        starts = layout.runs_of(task.number)[:: program.size]
        return task, [pool.submit(_called, program, runs[task.part], start) for start in starts]

    remaining = iter(tasks)
    try:
        for task in remaining:
            waiting.append(submitted(task))
            if len(waiting) == 2:
                yield _finished(layouts, *waiting.popleft())
        while waiting:
            yield _finished(layouts, *waiting.popleft())
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def labels_of(whole: Whole, variant: int) -> str:
    """The labels of a variant, which identify it in every part."""
    places = np.unravel_index(variant, whole.variant_shape) if whole.variants else ()
    return json.dumps([labels[place] for labels, place in zip(whole.variants.values(), places, strict=True)])


def runs_of(spec: Spec, layout: Layout) -> Runs:
    """The runs of a part."""
    axes = [
        Axis(axis["name"], {path: np.asarray(column) for path, column in axis["columns"].items()})
        for axis in layout.whole.axes
    ]
    return Runs(spec, Space(tuple(axes)), layout.cells, layout.seeds)


def _called(program: Program, runs: Runs, start: int) -> dict[str, np.ndarray]:
    return program(runs.at(start, start + program.size))


def _finished(
    layouts: Sequence[Layout], task: Task, futures: list[concurrent.futures.Future[Any]]
) -> tuple[Task, dict[str, np.ndarray]]:
    parts = [future.result() for future in futures]
    layout = layouts[task.part]
    count, chunk = len(layout.runs_of(task.number)), layout.chunk
    return task, {
        name: _padded(np.concatenate([part[name] for part in parts])[:count], (chunk, *layout.shape_of(name)))
        for name in layout.record["outputs"]
    }


def _padded(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The values, padded at the end of every axis with NaN for floats and 0 for other numbers."""
    if values.shape == shape:
        return values
    filled = np.full(shape, np.nan if values.dtype.kind == "f" else 0, values.dtype)
    filled[tuple(slice(n) for n in values.shape)] = values
    return filled


def default_workers(devices: Sequence[jax.Device]) -> int:
    """The default number of threads: one per core for a single CPU device, otherwise two, so that no device is idle."""
    if len(devices) == 1 and devices[0].platform == "cpu":
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return 2
