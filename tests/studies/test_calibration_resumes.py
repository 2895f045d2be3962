"""A calibration that is killed in the middle goes on where it was, and ends at the same bits."""

import signal
import time

import pytest
import xarray
from processes import started

# Small models, trained for real: two designs, each trained and then judged, so that four files are kept.
SCRIPT = """
import sys
import jax
store, out, programs = sys.argv[1:]
jax.config.update("jax_compilation_cache_dir", programs)
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
from tokdyn.reasoning import designs
from tokdyn.studies import calibration
designs.SIZES["small"] = designs.Size(width=8, heads=2, hidden=8, layers=2, num_steps=20)
config = calibration.Config(tasks=("pointer chase",), sizes=("small",), designs=("sole", "sealed"), seeds=2,
                            num_steps=20, num_items=24, repetitions=2, truth_items=500)
calibration.run(config, store=store, workers=1).to_zarr(out, consolidated=False)
"""


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """The study in a process of its own, which ends with its block, with programs that all of them share."""
    programs = tmp_path_factory.mktemp("programs")

    def begun(folder):
        arguments = [str(folder / "store"), str(folder / "out.zarr"), str(programs)]
        return started("-W", "ignore", "-c", SCRIPT, *arguments, stderr=None)

    return begun


@pytest.fixture(scope="module")
def whole(start, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    with start(folder) as process:
        assert process.wait() == 0
    return found(folder)


def found(folder):
    return xarray.open_zarr(folder / "out.zarr", consolidated=False).load().drop_attrs(deep=False)


def kept(folder):
    return {path.name: path.stat().st_mtime_ns for path in (folder / "store").glob("*.npz")}


@pytest.mark.slow
@pytest.mark.parametrize(("how", "files"), [(signal.SIGINT, 1), (signal.SIGKILL, 3)])
def test_it_goes_on_after_a_kill(start, whole, tmp_path, how, files):
    with start(tmp_path) as process:
        while len(kept(tmp_path)) < files:
            assert process.poll() is None, "it ended before it could be killed"
            time.sleep(0.02)
        process.send_signal(how)
        assert process.wait() != 0
    before = kept(tmp_path)
    assert files <= len(before) < 4
    assert not (tmp_path / "out.zarr").exists()
    with start(tmp_path) as process:
        assert process.wait() == 0
    after = kept(tmp_path)
    assert len(after) == 4
    assert {name: after[name] for name in before} == before  # what was kept was read, not made again
    xarray.testing.assert_identical(found(tmp_path), whole)
