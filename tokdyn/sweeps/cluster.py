"""A sweep's tasks on a Dask cluster: only task numbers are sent; workers write results straight to the store."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import jax

from tokdyn import checks
from tokdyn.sweeps import machines
from tokdyn.sweeps.execute import Task, default_workers, task_results
from tokdyn.sweeps.program import Program, Spec
from tokdyn.sweeps.store import Store, open_store


def run_tasks(
    client: Any,
    spec: Spec,
    store: str | os.PathLike[str],
    tasks: Sequence[Task],
    place: Store,
    advance: Callable[[Task], None],
    *,
    mixed: bool = False,
    retries: int = 3,
) -> None:
    """Compute the tasks on the cluster's workers. If a worker dies, its task goes to another one.

    All present workers report their kind of machine before the first task. A worker that joins later is accepted as it
    is: the store records what it computed, and the sweep does not stop midway.

    Args:
        client: a ``dask.distributed.Client``.
        spec: specification of the sweep.
        store: a location that every worker can reach.
        tasks: the tasks to compute.
        place: the store as this process sees it.
        advance: called with every finished task.
        mixed: whether workers may be of another kind of machine than the one on which the store was begun.
        retries: how often to retry a task that raises.

    Raises:
        ValueError: not a Dask client, or workers of another kind of machine.
    """
    try:
        from distributed import Client, as_completed
    except ImportError:
        raise checks.bad("cluster", "a Dask client (pip install 'tokdyn[distributed]')", "no dask here") from None
    if not isinstance(client, Client):
        raise checks.bad("cluster", "a dask.distributed.Client", f"a {type(client).__name__}")
    begun_on = place.parts[0].record["machine"]
    for worker, machine in client.run(machines.machine).items():
        machines.check_same(begun_on, machine, f"{place.place}, beside worker {worker},", mixed=mixed)
    shared = client.scatter(spec, broadcast=True)
    where = os.fspath(store) if isinstance(store, os.PathLike) else store
    prefix = f"tokdyn-{place.parts[-1].digest[:12]}"
    options = {"retries": retries, "pure": False}
    futures = [
        client.submit(_run_task, shared, where, *task, key=f"{prefix}-{task.part}-{task.number}", **options)
        for task in tasks
    ]
    try:
        for future in as_completed(futures):
            advance(Task(*future.result()))
    except BaseException:
        client.cancel(futures)
        raise


def _run_task(spec: Spec, store: str, part: int, number: int) -> tuple[int, int]:
    """Compute one task on a worker and write it to the store. The worker compiles only for its first task."""
    place = open_store(store)
    if place is None:
        raise checks.bad("store", "a place that every worker reaches", store)
    if place.parts[part].is_finished(number):
        return part, number  # another worker wrote it, but died before it could report
    variants = spec.labelled_variants
    results = task_results(
        spec,
        lambda labels: Program(spec, variants[labels]),
        [Task(part, number)],
        [one.layout for one in place.parts],
        workers=default_workers(jax.local_devices()[:1]),
    )
    machine = place.note_machine(machines.machine())
    for _, arrays in results:
        place.parts[part].write(number, arrays, machine)
    return part, number
