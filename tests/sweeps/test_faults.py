"""A small part of ``faults.py`` and ``cuts.py`` in every gate, all of them by hand."""

import os
import subprocess
import sys

import cuts
import faults
import numpy as np
import pytest
from test_extend import CASES, swept

import tokdyn as td

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads names of open files from /proc")


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    return cuts.Stores(tmp_path_factory.mktemp("stores").resolve())


@pytest.mark.parametrize("number", range(20))
def test_faults_are_mended_or_said(stores, number):
    assert faults.check(stores, number)


@pytest.mark.slow
def test_two_hundred_faults(stores):
    for number in range(20, 220):
        faults.check(stores, number)


@linux
@pytest.mark.parametrize("full", [False, True], ids=["power cut", "full disk"])
@pytest.mark.parametrize("work", cuts.WORK)
def test_work_goes_on_after_an_end_between_two_changes(stores, work, full):
    """Three of the moments; where they lie changes with the code, so that all come round."""
    for at in np.linspace(0, stores.changes[work] - 1, 5).astype(int)[1:-1]:
        cuts.check(stores, work, int(at), full=full)


@linux
@pytest.mark.slow
@pytest.mark.parametrize("full", [False, True], ids=["power cut", "full disk"])
@pytest.mark.parametrize("work", cuts.WORK)
def test_work_goes_on_after_an_end_at_any_moment(stores, work, full):
    for at in range(0, stores.changes[work], 3):
        cuts.check(stores, work, at, full=full)


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 100 KB, of memory; only the superuser of Linux can have one."""
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", str(tmp_path)], capture_output=True)
    if done.returncode:
        pytest.skip("no disk can be mounted here")
    yield tmp_path
    subprocess.run(["umount", "-l", str(tmp_path)], check=True)


@linux
@pytest.mark.slow
@pytest.mark.parametrize("room", range(0, 100_000, 7_000))
def test_a_small_disk_that_fills(small_disk, stores, room):
    """What fits is kept; when there is room again, the same call goes on."""
    place, filling = small_disk / "store", small_disk / "something else"
    filling.write_bytes(bytes(98_000 - room))
    _, told = faults.said(lambda: swept(store=place, **CASES["everything"][1]))
    if told:
        assert "No space left on device" in told
        assert str(small_disk) in told
        left = [name for _, _, names in os.walk(place) for name in names if name.endswith(".tmp")]
        assert not left
    found, _ = faults.said(lambda: td.open_sweep(place))
    if found is not None:
        faults.same(found, stores.expected, "full")
    filling.unlink()
    subprocess.run(["mount", "-o", "remount,size=100m", str(small_disk)], check=True)
    faults.same(swept(store=place, **CASES["everything"][1]), stores.expected, "with room again")
