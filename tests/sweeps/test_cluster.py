"""A Dask cluster computes the same numbers, and loses nothing when a worker dies."""

import os
import signal
import sys
import time
from pathlib import Path

import pytest
import sweep_evaluators
import xarray
from constant_keys import constant_key
from sweep_evaluators import slow

import tokdyn as td
from tokdyn.sweeps import cluster
from tokdyn.sweeps.program import checked_spec
from tokdyn.sweeps.store import open_store

SPACE = td.grid({"shift": [0.0, 1.0]})
OPTIONS = {"seeds": 20, "key": constant_key(7), "unit": 2, "chunk": 2}


@pytest.fixture(scope="module")
def client():
    from distributed import Client, LocalCluster

    path = os.pathsep.join([str(Path(sweep_evaluators.__file__).parent), *sys.path])
    environment = {"PYTHONPATH": path, "JAX_PLATFORMS": "cpu"}
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, env=environment
        ) as several,
        Client(several) as found,
    ):
        yield found


def test_a_cluster_computes_the_same_and_survives_a_worker(client, tmp_path):
    place = tmp_path / "store"
    seen = []

    def kill_one(done, total):
        seen.append(done)
        if len(seen) == 4:
            pid = next(iter(client.run(os.getpid).values()))
            os.kill(pid, signal.SIGKILL)

    found = td.sweep(slow, {"shift": 0.0}, SPACE, store=place, cluster=client, progress=kill_one, **OPTIONS)
    assert seen == list(range(2, 41, 2))
    assert len(open_store(place).parts[0].markers()) == 20
    here = td.sweep(slow, {"shift": 0.0}, SPACE, **OPTIONS)
    xarray.testing.assert_identical(found.load().drop_attrs(), here.drop_attrs())


def test_what_is_written_is_done_whoever_wrote_it(tmp_path, monkeypatch):
    """A worker that died after writing loses nothing: whoever gets its task finds it finished."""
    place = tmp_path / "store"
    td.sweep(slow, {"shift": 0.0}, SPACE, store=place, **OPTIONS)
    spec = checked_spec(
        slow, {"shift": 0.0}, SPACE, seeds=20, key=OPTIONS["key"], paired=True, cost=None, unit=OPTIONS["unit"]
    )
    monkeypatch.setattr(cluster, "task_results", None)
    assert cluster._run_task(spec, str(place), 0, 3) == (0, 3)
    open_store(place).parts[0].forget(3)
    with pytest.raises(TypeError):  # now it would have to be computed
        cluster._run_task(spec, str(place), 0, 3)


def test_an_interrupt_stops_the_cluster_too(client, tmp_path):
    place = tmp_path / "store"
    options = {**OPTIONS, "seeds": 200}

    def press(done, total):
        raise KeyboardInterrupt

    with pytest.raises(td.SweepInterrupted, match="the same call continues"):
        td.sweep(slow, {"shift": 0.0}, SPACE, store=place, cluster=client, progress=press, **options)
    # What a worker had begun it ends, however slow the machine: then nothing comes any more, long before all 200. A
    # task takes a twentieth of a second, so that a second without one is the end.
    finished, still = 0, 0
    while still < 10:
        time.sleep(0.1)
        before, finished = finished, len(open_store(place).parts[0].markers())
        still = still + 1 if finished == before else 0
    assert finished < 200


def test_what_is_no_cluster_gets_a_sentence(tmp_path):
    with pytest.raises(ValueError, match=r"cluster: expected a dask\.distributed\.Client, got a str"):
        td.sweep(slow, {"shift": 0.0}, SPACE, store=tmp_path / "store", cluster="tcp://x", **OPTIONS)
    with pytest.raises(ValueError, match="store: expected a place that all workers reach, got None"):
        td.sweep(slow, {"shift": 0.0}, SPACE, cluster="tcp://x", **OPTIONS)
