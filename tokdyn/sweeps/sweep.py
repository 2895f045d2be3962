"""``sweep``: evaluate every cell of a space for every seed, and return one labelled Dataset."""

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
    """Ctrl-C during a sweep with a store: finished tasks are kept, and the message says how to resume."""


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

    On machines of the same kind (processor, jaxlib, XLA flags), results do not depend on chunk, workers, store or
    cluster, to the last bit, because all of them call the same compiled program with a fixed number of runs. On several
    devices results agree to the extent that XLA generates the same code for each; on another kind of machine, to
    rounding.

    Args:
        evaluate: `(config, key, **variant) -> {name: array}`, pure and traceable; ``config`` is the base with the
            values of the cell, ``key`` the key of the seed.
        base: any pytree: a dynamics, a dict of them, a dataclass of numbers.
        space: the space from ``grid``, ``zipped``, ``sampled``, ``variants`` or a product of these. Paths start at the
            root of the base.
        seeds: the number of repetitions (numbered from 0), or a list of seeds.
        key: the key of the sweep. Seed s gets ``fold_in(key, s)``.
        paired: use the same key, hence the same draws, in every cell; False also folds in the values of the cell.
        dims: names of the dimensions of non-scalar outputs, `{name: (dimension, ...)}`.
        pad: dimensions whose length may differ between variants: shorter ones are padded with NaN (0 for integers), and
            `<dimension>_count` holds their lengths.
        cost: `{path: [num_cells]} -> [num_cells]`, the expected cost of each cell: cells of similar cost share a block,
            so that no run waits for a slower one.
        unit: runs per call; by default 256 on CPU, 16,384 elsewhere, fewer in small sweeps. It may change the last
            digits, and is part of the fingerprint.
        chunk: runs per task, rounded up to whole calls; by default as many as fit into 32 MiB of outputs.
        store: a folder or URL to which results are written, task by task; an interrupted sweep is resumed from it.
            Without a store, results are kept in memory.
        worker: number of this process: it computes the unfinished ones of the tasks worker, worker + of, ... (needs a
            store). By default the number of the process under ``jax.distributed``.
        of: the number of processes that share the store; by default all that ``jax.distributed`` knows.
        workers: number of threads; by default one per core for a single CPU device.
        devices: the devices to use, by default all local ones; each has its own loop and stops independently.
        cluster: a Dask ``Client`` (extra ``distributed``) whose workers compute the tasks. Needs a store that all of
            them can reach.
        extend: if the store holds a smaller sweep, with fewer seeds, values, variants or outputs, compute the rest; the
            result is that of the larger sweep run from scratch.
        mixed: allow another kind of machine than the one on which the store was begun. Results then agree only to
            rounding, and near a bifurcation not even that; the store records which tasks were computed where.
        progress: True for a bar on standard error, or a function that is called with ``(finished, all)``, in runs,
            after each task.
        dry_run: compile, time one call, and return a ``Plan``; nothing is written.

    Returns:
        An ``xarray.Dataset`` over variants, axes and ``seed``; lazy if there is a store. For ``dry_run``, a ``Plan``.

    Raises:
        ValueError: bad input, with the argument or path in the message; a store that holds another sweep, or that was
            begun on another kind of machine.
        DamagedStore: the store's description is damaged; a ValueError too.
        SweepInterrupted: Ctrl-C, if there is a store.

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
        # What this call has written or checked is intact.
        return open_sweep(store, verify=False)
    (layout,) = layouts
    everything = np.ones(layout.num_tasks, bool)

    def read(name: str) -> Any:
        return lambda task: arrays[name][task * layout.chunk : (task + 1) * layout.chunk]

    sources = {name: [Source(layout, layout.whole, read(name), everything)] for name in outputs}
    return with_attributes(dataset(layout.whole, outputs, sources, lazy=False, counts=counts), record, [])


def _begun(store: Any, existing: Store | None, record: dict[str, Any], *, mixed: bool) -> Store:
    """The store, created if necessary, after checking that it belongs to this sweep and this kind of machine."""
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
    """The store with all parts of the sweep, whichever process creates them."""
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
        told = difference(place, record)  # another process may have created that part for another sweep
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
    """Compute all tasks on this machine, into the store or into arrays `[run, ...]`."""
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
    """A function that is called with every finished task, and reports progress in runs."""
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
