"""A store among objects that several processes reach, with conditional writes: the same properties as in a folder.

Needs moto and s3fs (``pip install "moto[s3,server]" s3fs``), which ``.ci/run slow`` installs.
"""

import concurrent.futures
import uuid

import faults
import numpy as np
import object_store
import pytest
import several
from test_extend import CASES, swept

from tokdyn.sweeps import places
from tokdyn.sweeps.places import place_of

pytest.importorskip("moto.moto_server", reason="no server of objects here: pip install moto[s3,server]")
s3fs = pytest.importorskip("s3fs", reason="nothing that speaks to one here: pip install s3fs")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def bucket():
    with object_store.served() as url:
        yield url


@pytest.fixture
def url(bucket):
    return f"{bucket}/{uuid.uuid4().hex}"


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    return faults.Stores(tmp_path_factory.mktemp("stores"))


@pytest.fixture(scope="module")
def timed():
    return several.Stores()


def test_one_of_many_creates_by_a_conditional_write(url, monkeypatch):
    monkeypatch.setattr(places, "SETTLED", float("nan"))  # nobody waits and looks
    for number in range(10):
        callers = [place_of(url) for _ in range(8)]

        def create(caller, path=f"a/{number}", callers=callers):
            return callers[caller].create(path, str(caller).encode())

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            made = list(pool.map(create, range(8)))
        assert sum(made) == 1
        assert callers[0].read(f"a/{number}") == str(made.index(True)).encode()


def test_the_server_refuses_a_second_creation(url):
    files = s3fs.S3FileSystem()
    files.pipe_file(f"{url}/x", b"1", mode="create")
    with pytest.raises(FileExistsError):
        files.pipe_file(f"{url}/x", b"2", mode="create")
    assert files.cat_file(f"{url}/x") == b"1"


@pytest.mark.parametrize("case", CASES)
def test_swept_continued_and_extended(url, case):
    first, then = CASES[case]
    swept(store=url, worker=0, of=2, **first)
    swept(store=url, **first)
    extended = swept(store=url, extend=True, **then)
    fresh = swept(**then)
    for name in fresh.data_vars:
        np.testing.assert_array_equal(extended[name].values, fresh[name].values)


def test_sixty_faults(stores, bucket):
    def uploaded(folder):
        there = f"{bucket}/{uuid.uuid4().hex}"
        s3fs.S3FileSystem().put(f"{folder}/", f"{there}/", recursive=True)
        return there

    for number in range(1_000, 1_060):
        faults.check(stores, number, uploaded)


def test_killed_twenty_times(timed, bucket):
    for number in range(20):
        several.kill(timed, number, f"{bucket}/{uuid.uuid4().hex}")


@pytest.mark.parametrize("together", [2, 3, 4])
def test_twenty_rounds_of_starts(timed, bucket, together):
    for number in range(1, 21):
        kind = several.STARTS[number % len(several.STARTS)]
        several.start(timed, number, f"{bucket}/{uuid.uuid4().hex}", together=together, kind=kind)
