"""A sweep's tasks on a Dask cluster: numbers of tasks travel, results go from the workers straight to the store."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

from tokdyn import checks
from tokdyn.sweeps.execute import default_workers, task_results
from tokdyn.sweeps.labelled import Layout
from tokdyn.sweeps.program import Program, Spec
from tokdyn.sweeps.store import open_existing


def run_tasks(
    client: Any,
    spec: Spec,
    store: str | os.PathLike[str],
    tasks: Sequence[int],
    fingerprint: str,
    advance: Callable[[int], None],
    *,
    retries: int = 3,
) -> None:
    """Compute the tasks on the cluster's workers. A task whose worker dies goes to another one.

    Args:
        client: a ``dask.distributed.Client``.
        spec: the sweep's.
        store: a place that every worker reaches.
        tasks: numbers of tasks.
        fingerprint: of the sweep; its tasks are called by it.
        advance: called with the number of every finished task.
        retries: how often a task that raises is tried again.

    Raises:
        ValueError: no Dask client.
    """
    try:
        from distributed import Client, as_completed
    except ImportError:
        raise checks.bad("cluster", "a Dask client (pip install 'tokdyn[distributed]')", "no dask here") from None
    if not isinstance(client, Client):
        raise checks.bad("cluster", "a dask.distributed.Client", f"a {type(client).__name__}")
    shared = client.scatter(spec, broadcast=True)
    place = os.fspath(store) if isinstance(store, os.PathLike) else store
    prefix = f"tokdyn-{fingerprint[:12]}"
    options = {"retries": retries, "pure": False}
    futures = [client.submit(_run_task, shared, place, task, key=f"{prefix}-{task}", **options) for task in tasks]
    try:
        for future in as_completed(futures):
            advance(future.result())
    except BaseException:
        client.cancel(futures)
        raise


def _run_task(spec: Spec, store: str, task: int) -> int:
    """On a worker: one task, into the store. The worker compiles for its first task only."""
    import jax

    place = open_existing(store, mode="r+")
    assert place is not None, f"the worker does not see {store}"
    workers = default_workers(jax.local_devices()[:1])
    results = task_results(
        spec, lambda variant: Program(spec, spec.variants[variant]), [task], Layout(place.record), workers=workers
    )
    for number, arrays in results:
        place.write(number, arrays)
    return task
