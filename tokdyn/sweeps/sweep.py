"""``sweep``: an evaluator on every cell of a space and every seed, as one labelled Dataset."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, overload

import jax
import numpy as np
import xarray

from tokdyn import checks, interrupts
from tokdyn.sweeps import cluster as clusters
from tokdyn.sweeps import legacy, machines
from tokdyn.sweeps.execute import Task, default_workers, task_results
from tokdyn.sweeps.extend import check_same_numbers, difference, missing
from tokdyn.sweeps.labelled import Source, dataset
from tokdyn.sweeps.layout import Layout
from tokdyn.sweeps.opening import open_sweep, with_attributes
from tokdyn.sweeps.places import place_of
from tokdyn.sweeps.plan import Plan, plan_of
from tokdyn.sweeps.program import Evaluate, Program, Spec, checked_spec
from tokdyn.sweeps.progress import progress_bar
from tokdyn.sweeps.record import outputs_of, record_of
from tokdyn.sweeps.space import Space
from tokdyn.sweeps.store import Store, create_part, open_store
from tokdyn.typing import PyTree


class SweepInterrupted(KeyboardInterrupt):
    """Ctrl-C in a sweep with a store: what is finished is kept, and the message says how to go on."""


@overload
def sweep(
    evaluate: Evaluate,
    base: PyTree,
    space: Space,
    *,
    seeds: int | Sequence[int],
    key: jax.Array,
    paired: bool = True,
    dims: Mapping[str, Sequence[str]] | None = None,
    pad: Sequence[str] = (),
    cost: Callable[[dict[str, np.ndarray]], Any] | None = None,
    unit: int | None = None,
    chunk: int | None = None,
    store: str | os.PathLike[str] | None = None,
    worker: int | None = None,
    of: int | None = None,
    workers: int | None = None,
    devices: Sequence[jax.Device] | None = None,
    cluster: Any = None,
    extend: bool = False,
    mixed: bool = False,
    progress: bool | Callable[[int, int], None] = False,
    dry_run: Literal[False] = False,
) -> xarray.Dataset: ...


@overload
def sweep(
    evaluate: Evaluate,
    base: PyTree,
    space: Space,
    *,
    seeds: int | Sequence[int],
    key: jax.Array,
    paired: bool = True,
    dims: Mapping[str, Sequence[str]] | None = None,
    pad: Sequence[str] = (),
    cost: Callable[[dict[str, np.ndarray]], Any] | None = None,
    unit: int | None = None,
    chunk: int | None = None,
    store: str | os.PathLike[str] | None = None,
    worker: int | None = None,
    of: int | None = None,
    workers: int | None = None,
    devices: Sequence[jax.Device] | None = None,
    cluster: Any = None,
    extend: bool = False,
    mixed: bool = False,
    progress: bool | Callable[[int, int], None] = False,
    dry_run: Literal[True],
) -> Plan: ...


def sweep(
    evaluate: Evaluate,
    base: PyTree,
    space: Space,
    *,
    seeds: int | Sequence[int],
    key: jax.Array,
    paired: bool = True,
    dims: Mapping[str, Sequence[str]] | None = None,
    pad: Sequence[str] = (),
    cost: Callable[[dict[str, np.ndarray]], Any] | None = None,
    unit: int | None = None,
    chunk: int | None = None,
    store: str | os.PathLike[str] | None = None,
    worker: int | None = None,
    of: int | None = None,
    workers: int | None = None,
    devices: Sequence[jax.Device] | None = None,
    cluster: Any = None,
    extend: bool = False,
    mixed: bool = False,
    progress: bool | Callable[[int, int], None] = False,
    dry_run: bool = False,
) -> xarray.Dataset | Plan:
    """Evaluate every cell of a space for every seed.

    Numbers do not depend on chunk, workers, store or cluster, to the last bit, on machines of one kind (processor,
    jaxlib, XLA flags): all of them call one compiled program of a fixed number of runs. On several devices they agree
    as far as XLA compiles one body for all; on another kind of machine, to rounding.

    Args:
        evaluate: `(config, key, **variant) -> {name: array}`, pure and traceable; ``config`` is the base with the
            cell's values, ``key`` the seed's.
        base: any pytree: a dynamics, a dict of them, a dataclass of numbers.
        space: from ``grid``, ``zipped``, ``sampled``, ``variants`` and their products. Paths start at the base's root.
        seeds: how many repetitions (numbered from 0), or their numbers.
        key: the sweep's key. Seed s has ``fold_in(key, s)``.
        paired: the same key, hence the same draws, in every cell; False folds in the cell's values too.
        dims: names of the dimensions of outputs that are no scalars, `{name: (dimension, ...)}`.
        pad: dimensions whose length may differ between variants: shorter ones are filled with NaN (0 for whole
            numbers), and `<dimension>_count` holds their lengths.
        cost: `{path: [num_cells]} -> [num_cells]`, expected cost of each cell: cells of like cost share a block, so
            that no run waits for a slower one.
        unit: runs of one call; by default 256 on CPU, 16,384 elsewhere, fewer in small sweeps. It may change the last
            digits, and is part of the fingerprint.
        chunk: runs of a task, rounded up to whole calls; by default as many as fit 32 MiB of outputs.
        store: a folder or URL; results go there, task by task, and an interrupted sweep is continued. Without it
            they are kept in memory.
        worker: this process computes the unfinished among tasks worker, worker + of, ... (needs a store). By default
            the process's number under ``jax.distributed``.
        of: how many processes share the store; by default all that ``jax.distributed`` knows.
        workers: threads; by default one for each core of one CPU device.
        devices: by default all local ones; each has its own loop and stops by itself.
        cluster: a Dask ``Client`` (extra ``distributed``): tasks are computed there. Needs a store all can reach.
        extend: where the store holds a part of this sweep, fewer seeds, values, variants or outputs, compute the rest
            there; the result is that of the whole sweep begun anew.
        mixed: compute on another kind of machine than the store was begun on. Numbers then agree to rounding only,
            near a bifurcation not even so; the store says which tasks were computed where.
        progress: True for a bar on standard error, or ``(finished, all)`` called after each task, in runs.
        dry_run: compile, time one call, and return a ``Plan``; nothing is written.

    Returns:
        An ``xarray.Dataset`` over variants, axes and ``seed``; lazy with a store. A ``Plan`` for ``dry_run``.

    Raises:
        ValueError: bad input, naming the argument or path; a store that holds another sweep, or is of another kind of
            machine.
        DamagedStore: the store's description is damaged; a ValueError too.
        SweepInterrupted: Ctrl-C, with a store.

    Example:
        >>> import jax, tokdyn as td
        >>> def evaluate(dynamics, key):
        ...     scene = td.data.blobs(key, num_clusters=3, noise=0.5)
        ...     result = td.run(dynamics, key, scene.features, num_tokens=3, max_steps=30, tol=1e-3)
        ...     return {"num_steps": result.num_steps}
        >>> space = td.grid({"attract.temperature": [0.5, 1.0]})
        >>> dataset = td.sweep(evaluate, td.catalog.soft_kmeans(), space, seeds=5, key=jax.random.key(0))
        >>> dict(dataset.sizes)
        {'attract.temperature': 2, 'seed': 5}
    """
    spec = checked_spec(evaluate, base, space, seeds=seeds, key=key, paired=paired, cost=cost, unit=unit)
    of = checks.whole_number("of", jax.process_count() if of is None else of, at_least=1)
    worker = checks.whole_number("worker", jax.process_index() if worker is None else worker, at_least=0)
    if worker >= of:
        raise checks.bad("worker", f"a number below of = {of}", worker)
    if store is None and (of > 1 or cluster is not None):
        raise checks.bad("store", "a place that all workers reach", None)
    existing = None if store is None else open_store(store)
    if existing is not None and unit is None:
        spec = dataclasses.replace(spec, unit=int(existing.record["unit"]))
    used = list(devices or jax.local_devices())
    programs = {labels: Program(spec, variant, used) for labels, variant in spec.labelled_variants.items()}
    outputs, counts = outputs_of(list(programs.values()), spec, dims or {}, tuple(pad))
    record = record_of(spec, outputs, counts, list(programs.values()), chunk)
    threads = default_workers(used) if workers is None else checks.whole_number("workers", workers, at_least=1)
    place = None
    if store is not None:
        place = existing if dry_run else _begun(store, existing, record, mixed=mixed)
        if place is not None:
            more = _missing(place, record, extend=extend)
            if more and not dry_run:
                place, more = _extended(place, record, spec, programs, threads), []
            layouts = [*(part.layout for part in place.parts), *map(Layout, more)]
    if place is None:
        layouts = [Layout(record)]
    every = [Task(part, number) for part, layout in enumerate(layouts) for number in range(layout.num_tasks)]
    mine = every[worker::of]
    todo = mine if place is None else _unfinished(place, mine)
    if dry_run:
        return plan_of(spec, layouts, programs, todo, threads, len(used))

    def kept() -> str:
        finished, own = len(mine) - unfinished, " of this worker" if of > 1 else ""
        how = "the same call continues there (on the command line with --resume)"
        return f"{finished} of {len(mine)} tasks{own} are finished in {store}; {how}"

    unfinished = len(todo)
    if place is not None:
        interrupts.keeps(kept())
    with _reporter(progress, layouts, todo) as show:

        def advance(task: Task) -> None:
            nonlocal unfinished
            unfinished -= 1
            if store is not None:
                interrupts.keeps(kept())
            show(task)

        try:
            if cluster is not None:
                assert place is not None  # checked above
                assert store is not None
                clusters.run_tasks(cluster, spec, store, todo, place, advance, mixed=mixed)
                arrays: dict[str, Any] = {}
            else:
                arrays = _compute(spec, programs, todo, layouts, threads, place, advance)
        except KeyboardInterrupt:
            if place is None:
                raise
            raise SweepInterrupted(kept()) from None
    if place is not None:
        if jax.process_count() > 1:
            from jax.experimental import multihost_utils

            multihost_utils.sync_global_devices("tokdyn sweep")
        assert store is not None
        # What this call has written or looked at is intact.
        return open_sweep(store, verify=False)
    (layout,) = layouts
    everything = np.ones(layout.num_tasks, bool)

    def read(name: str) -> Any:
        return lambda task: arrays[name][task * layout.chunk : (task + 1) * layout.chunk]

    sources = {name: [Source(layout, layout.whole, read(name), everything)] for name in outputs}
    return with_attributes(dataset(layout.whole, outputs, sources, lazy=False, counts=counts), record, [])


def _begun(store: Any, existing: Store | None, record: dict[str, Any], *, mixed: bool) -> Store:
    """The store of this sweep, made if there is none, once it is known to be this sweep's and this machine's."""
    with interrupts.uninterrupted():
        if existing is None:
            legacy.refuse(store)
            found = create_part(place_of(store), 0, record)
            existing = Store(found.place, [found])
        told = difference(existing, record)
        if told is not None:
            expected = "an empty place, or the store of this very sweep"
            raise checks.bad("store", expected, f"{existing.place}, {told}")
        machines.check_same(existing.parts[0].record["machine"], machines.machine(), str(existing.place), mixed=mixed)
        existing.write_metadata()
    return existing


def _missing(place: Store, record: dict[str, Any], *, extend: bool) -> list[dict[str, Any]]:
    more = missing(place, record)
    if more and not extend:
        runs = sum(Layout(part).num_runs for part in more)
        expected = "an empty place, or the store of this very sweep"
        how = f"extend=True, or --extend, computes the other {runs:,} runs there"
        got = f"{place.place}, which holds a part of it ({how})"
        raise checks.bad("store", expected, got)
    return more


def _extended(place: Store, record: dict[str, Any], spec: Spec, programs: dict[str, Program], threads: int) -> Store:
    """The store with all parts of the sweep, whoever makes them."""
    known = place.record["fingerprint"]["programs"]
    if any(known.get(labels) not in (None, program.digest) for labels, program in programs.items()):

        def again(part: int, task: int) -> dict[str, np.ndarray]:
            layouts = [one.layout for one in place.parts]
            ((_, values),) = task_results(spec, programs.__getitem__, [Task(part, task)], layouts, workers=threads)
            return values

        check_same_numbers(place, again, machines.name_of(machines.machine()))
    while more := missing(place, record):
        made = create_part(place.place, place.parts[-1].number + 1, more[0])
        place.parts.append(made)
        told = difference(place, record)  # another process may have made that part, for another sweep
        if told is not None:
            raise checks.bad("store", "nobody to extend it to another sweep at the same time", f"{place.place}, {told}")
    place.write_metadata()
    return place


def _unfinished(place: Store, tasks: list[Task]) -> list[Task]:
    found = []
    for index, part in enumerate(place.parts):
        found += [Task(index, n) for n in part.unfinished(t.number for t in tasks if t.part == index)]
    return found


def _compute(
    spec: Spec,
    programs: dict[str, Program],
    todo: list[Task],
    layouts: list[Layout],
    threads: int,
    place: Store | None,
    advance: Callable[[Task], None],
) -> dict[str, np.ndarray]:
    """All tasks on this machine: into the store, or into arrays `[run, ...]`."""
    arrays: dict[str, np.ndarray] = {}
    machine = ""
    if place is None:
        layout = layouts[0]
        outputs, total = layout.record["outputs"], layout.num_tasks * layout.chunk
        arrays = {name: np.empty((total, *layout.shape_of(name)), outputs[name]["dtype"]) for name in outputs}
    elif todo:
        machine = place.note_machine(machines.machine())
    results = task_results(spec, programs.__getitem__, todo, layouts, workers=threads)
    with contextlib.closing(results):
        for task, values in results:
            if place is not None:
                place.parts[task.part].write(task.number, values, machine)
            else:
                for name, array in arrays.items():
                    start = task.number * layouts[0].chunk
                    array[start : start + layouts[0].chunk] = values[name]
            advance(task)
    return arrays


@contextlib.contextmanager
def _reporter(progress: bool | Callable[[int, int], None], layouts: list[Layout], todo: list[Task]) -> Any:
    """A function that is told of every finished task, and passes on runs."""
    total = sum(layout.num_runs for layout in layouts)
    runs = {task: len(layouts[task.part].runs_of(task.number)) for task in todo}
    done = total - sum(runs.values())

    def advance_with(show: Callable[[int, int], None]) -> Callable[[Task], None]:
        def advance(task: Task) -> None:
            nonlocal done
            done += runs[task]
            show(done, total)

        return advance

    if progress is True:
        with progress_bar("sweep", done, total) as show:
            yield advance_with(show)
    else:
        yield advance_with(progress if callable(progress) else lambda done, total: None)
