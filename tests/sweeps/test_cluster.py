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
from tokdyn.sweeps.store import open_existing

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
        ) as cluster,
        Client(cluster) as found,
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
    assert (open_existing(place).markers() != 0).all()
    here = td.sweep(slow, {"shift": 0.0}, SPACE, **OPTIONS)
    xarray.testing.assert_identical(found.load().drop_attrs(), here.drop_attrs())


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
        before, finished = finished, (open_existing(place).markers() != 0).sum()
        still = still + 1 if finished == before else 0
    assert finished < 200


def test_what_is_no_cluster_gets_a_sentence(tmp_path):
    with pytest.raises(ValueError, match=r"cluster: expected a dask\.distributed\.Client, got a str"):
        td.sweep(slow, {"shift": 0.0}, SPACE, store=tmp_path / "store", cluster="tcp://x", **OPTIONS)
    with pytest.raises(ValueError, match="store: expected a place that all workers reach, got None"):
        td.sweep(slow, {"shift": 0.0}, SPACE, cluster="tcp://x", **OPTIONS)
