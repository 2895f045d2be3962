"""An estimate of the time and memory that a sweep would take, before it starts."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any

from tokdyn.sweeps.execute import Task, labels_of, runs_of
from tokdyn.sweeps.layout import Layout
from tokdyn.sweeps.program import Program, Spec


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a sweep would take, measured on one unit of runs.

    Attributes:
        num_runs: total number of runs.
        num_tasks: number of tasks still to be computed.
        chunk: runs per task.
        unit: runs per call on one device.
        workers: number of threads.
        devices: number of devices.
        compile_seconds: time to compile all variants.
        seconds: expected time for the remaining tasks, once the programs are compiled.
        task_bytes: size of the outputs of a task.
        temporary_bytes: additional memory of the compiled calls; None if the backend does not report it.
        functions: the bare jitted function of every variant, `(base, key, columns, cells, seeds) -> outputs`.
        arguments: the first two arguments of these functions.
        runs: maps `(start, stop)` to the last three arguments, for the runs from start to stop.
    """

    num_runs: int
    num_tasks: int
    chunk: int
    unit: int
    workers: int
    devices: int
    compile_seconds: float
    seconds: float
    task_bytes: int
    temporary_bytes: int | None
    functions: list[Any]
    arguments: tuple[Any, ...]
    runs: Callable[[int, int], tuple[Any, ...]]

    def __str__(self) -> str:
        memory = self.task_bytes * 2 + (self.temporary_bytes or 0) * self.workers
        return (
            f"{self.num_runs:,} runs, {self.num_tasks:,} tasks of {self.chunk:,} to go, in calls of {self.unit:,} "
            f"on {self.devices} device(s) with {self.workers} thread(s): about {self.seconds:.1f} s "
            f"(compiled in {self.compile_seconds:.1f} s), {memory / 2**20:.0f} MiB"
        )


def plan_of(
    spec: Spec, layouts: list[Layout], programs: dict[str, Program], todo: list[Task], threads: int, num_devices: int
) -> Plan:
    """Measure one call of every variant, and count the remaining work.

    Args:
        spec: specification of the sweep.
        layouts: layouts of all parts.
        programs: programs of the variants, by labels.
        todo: tasks that have not been computed yet.
        threads: number of threads.
        num_devices: number of devices.
    """
    calls: dict[str, int] = dict.fromkeys(programs, 0)
    for task in todo:
        layout = layouts[task.part]
        labels = labels_of(layout.whole, layout.variant_of(task.number))
        calls[labels] += -(-len(layout.runs_of(task.number)) // programs[labels].size)
    seconds = 0.0
    for labels, program in programs.items():
        if calls[labels]:
            runs = runs_of(spec, layouts[todo[0].part]).at(0, program.size)
            program(runs)
            start = time.perf_counter()
            program(runs)
            seconds += (time.perf_counter() - start) * calls[labels] / min(threads, calls[labels])
    temporary = [program.temporary_bytes() for program in programs.values()]
    chunk = layouts[0].chunk
    return Plan(
        num_runs=spec.num_runs * len(programs),
        num_tasks=len(todo),
        chunk=chunk,
        unit=spec.unit,
        workers=threads,
        devices=num_devices,
        compile_seconds=sum(program.compile_seconds for program in programs.values()),
        seconds=seconds,
        task_bytes=chunk * max(program.bytes_per_run() for program in programs.values()),
        temporary_bytes=None if None in temporary else max(t for t in temporary if t is not None),
        functions=[program.function for program in programs.values()],
        arguments=next(iter(programs.values())).arguments,
        runs=runs_of(spec, layouts[0]).at,
    )
