"""What is on disk survives: kills, damage, other processes, other devices; and refuses to be mixed."""

import contextlib
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import sweep_evaluators
import xarray
from constant_keys import constant_key
from sweep_evaluators import BASE, DIMS, SPACE, fit, slow

import tokdyn as td
from tokdyn.sweeps.store import Part, Store, open_store

KEY = constant_key(7)
HERE = Path(sweep_evaluators.__file__).parent
FIT = {"seeds": 40, "key": KEY, "dims": DIMS, "unit": 16, "chunk": 32}
SLOW = {"seeds": 24, "key": KEY, "unit": 2, "chunk": 2, "workers": 1}
SHIFTS = td.grid({"shift": [0.0, 1.0]})


@contextlib.contextmanager
def python(script, *arguments, flags=""):
    """Another process, which imports the same evaluators and compiles as this one does. It ends with the test."""
    environment = {"PYTHONPATH": str(HERE), "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {flags}".strip()}
    process = subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def finished(process):
    out, error = process.communicate(timeout=120)
    assert process.returncode == 0, error
    return out


@pytest.fixture(scope="module")
def in_memory():
    return td.sweep(fit, BASE, SPACE, **FIT)


@pytest.fixture(scope="module")
def finished_store(tmp_path_factory):
    place = tmp_path_factory.mktemp("finished") / "store"
    td.sweep(fit, BASE, SPACE, store=place, **FIT)
    return place


@pytest.fixture
def stored(finished_store, tmp_path):
    """A store of one's own."""
    return Path(shutil.copytree(finished_store, tmp_path / "store"))


def same(one, other):
    xarray.testing.assert_identical(one.load().drop_attrs(), other.load().drop_attrs())


def test_a_dry_run_counts_what_is_left_in_a_store(tmp_path):
    place = tmp_path / "half"
    td.sweep(fit, BASE, SPACE, store=place, worker=0, of=2, **FIT)
    files = sorted(path.stat().st_mtime_ns for path in place.rglob("*"))
    plan = td.sweep(fit, BASE, SPACE, store=place, dry_run=True, seeds=40, key=KEY, dims=DIMS)
    assert (plan.unit, plan.chunk, plan.num_tasks) == (16, 32, 4)  # 240 runs are 8 tasks
    assert files == sorted(path.stat().st_mtime_ns for path in place.rglob("*"))
    td.sweep(fit, BASE, SPACE, store=place, **FIT)
    done = td.sweep(fit, BASE, SPACE, store=place, dry_run=True, **FIT)
    assert (done.num_tasks, done.seconds) == (0, 0.0)


def test_a_store_holds_what_memory_would(stored, in_memory):
    same(td.open_sweep(stored), in_memory)
    assert td.open_sweep(stored).attrs["fingerprint"] == in_memory.attrs["fingerprint"]
    assert td.open_sweep(stored).attrs["schema_version"] == 2
    assert td.open_sweep(stored).attrs["mixed"] == 0


def test_reading_is_lazy_and_any_selection_is_right(stored, in_memory, monkeypatch):
    lazy = td.open_sweep(stored)
    read = []
    original = Part.read

    def counted(self, task, name, marker):
        read.append((name, task))
        return original(self, task, name, marker)

    monkeypatch.setattr(Part, "read", counted)
    assert lazy.tokens.nbytes > 0
    assert not read
    for selection in (
        {"seed": 3, "token": 1},
        {"seed": [5, 1, 5], "noise": 1},
        {"dynamics.attract.temperature": slice(None, None, -1), "seed": slice(3, 30, 7), "dimension": 0},
        {"seed": slice(-3, None), "token": [2, 0]},
    ):
        read.clear()
        xarray.testing.assert_identical(lazy.tokens.isel(selection).load(), in_memory.tokens.isel(selection))
        assert len(read) == len(set(read)) <= 8  # each task once, and of this output only
        assert {name for name, _ in read} <= {"tokens"}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"base": td.with_values(BASE, {"dynamics.repel.eps": 0.01})}, "made with another base"),
        ({"space": SPACE * td.grid({"dynamics.repel.eps": [1e-3]})}, "made with another value of axes"),
        (
            {"space": td.grid({"dynamics.attract.temperature": [0.5, 1.0], "noise": [0.3, 0.6]})},
            "another value of axes",
        ),
        ({"seeds": 41}, r"holds a part of it \(extend=True, or --extend, computes the other 6 runs there\)"),
        ({"seeds": 39}, "made with another value of seeds"),
        ({"key": constant_key(8)}, "made with another value of key"),
        ({"paired": False}, "made with another value of paired"),
        ({"unit": 32}, "made with another value of unit"),
        ({"evaluate": lambda c, k: {**fit(c, k), "residual": c["noise"]}}, "made with another value of evaluate"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_two_sweeps_are_never_mixed(stored, change, sentence):
    arguments = {"evaluate": fit, "base": BASE, "space": SPACE, **FIT, **change}
    before = td.open_sweep(stored).load()
    refusal = f"store: expected an empty place, or the store of this very sweep.*{sentence}"
    with pytest.raises(ValueError, match=refusal):
        td.sweep(arguments.pop("evaluate"), arguments.pop("base"), arguments.pop("space"), store=stored, **arguments)
    same(td.open_sweep(stored), before)


def test_a_folder_with_something_else_is_left_alone(tmp_path):
    xarray.Dataset({"x": 1.0}).to_zarr(tmp_path / "other", zarr_format=3, consolidated=False)
    with pytest.raises(ValueError, match="store: expected an empty place, or a sweep's store, got .*something else"):
        td.sweep(fit, BASE, SPACE, store=tmp_path / "other", **FIT)
    with pytest.raises(ValueError, match="path: expected the store of a sweep"):
        td.open_sweep(tmp_path / "other")


def test_a_killed_sweep_goes_on_and_repeats_nothing(tmp_path):
    place = tmp_path / "store"
    script = (
        "import sys, jax, tokdyn as td; from sweep_evaluators import slow;"
        "td.sweep(slow, {'shift': 0.0}, td.grid({'shift': [0.0, 1.0]}), seeds=24, key=jax.random.key(7),"
        " unit=2, chunk=2, workers=1, store=sys.argv[1])"
    )
    with python(script, place) as process:
        for _ in range(12_000):
            store = open_store(place)
            if process.poll() is not None or (store is not None and len(store.parts[0].markers()) >= 3):
                break
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    done = len(open_store(place).parts[0].markers())
    assert 3 <= done < 24, "killed too late to show anything"
    part = td.open_sweep(place)
    assert int(part.finished.sum()) == 2 * done
    unfinished = part.total.values[~part.finished.values]
    # The one task that was being written when the kill came may have left its two runs; without a marker nobody reads.
    assert unfinished.size
    assert np.isnan(unfinished).all()
    seen = []
    whole = td.sweep(slow, {"shift": 0.0}, SHIFTS, store=place, progress=lambda n, of: seen.append(n), **SLOW)
    assert seen == list(range(2 * done + 2, 49, 2))
    assert "finished" not in whole
    same(whole, td.sweep(slow, {"shift": 0.0}, SHIFTS, **SLOW))


def test_an_interrupt_says_how_to_go_on(tmp_path):
    def press(done, total):
        if done >= 6:
            raise KeyboardInterrupt

    place = tmp_path / "store"
    with pytest.raises(td.SweepInterrupted, match="3 of 24 tasks are finished in .*; the same call continues there"):
        td.sweep(slow, {"shift": 0.0}, SHIFTS, store=place, progress=press, **SLOW)
    seen = []
    td.sweep(slow, {"shift": 0.0}, SHIFTS, store=place, progress=lambda n, of: seen.append(n), **SLOW)
    assert seen[0] == 8


@pytest.mark.parametrize("damage", ["truncated", "changed", "deleted"])
def test_a_damaged_chunk_is_computed_again(stored, in_memory, damage):
    (chunk,) = stored.rglob("residual/c/2")
    if damage == "deleted":
        chunk.unlink()
    else:
        content = chunk.read_bytes()
        chunk.write_bytes(content[: len(content) // 2] if damage == "truncated" else b"\0" * len(content))
    seen = []
    again = td.sweep(fit, BASE, SPACE, store=stored, progress=lambda *n: seen.append(n), **FIT)
    assert seen == [(240, 240)]
    same(again, in_memory)


def test_a_store_half_made_is_made_again(tmp_path, in_memory, monkeypatch):
    monkeypatch.setattr(Store, "write_metadata", lambda self: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        td.sweep(fit, BASE, SPACE, store=tmp_path / "store", **FIT)
    monkeypatch.undo()
    same(td.sweep(fit, BASE, SPACE, store=tmp_path / "store", **FIT), in_memory)


def test_processes_share_a_store_by_number(tmp_path, in_memory):
    place = tmp_path / "store"
    first = td.sweep(fit, BASE, SPACE, store=place, worker=0, of=3, **FIT)
    assert first.finished.sum() == 96
    assert np.isfinite(first.residual.values[first.finished.values]).all()
    for worker in (2, 1):
        last = td.sweep(fit, BASE, SPACE, store=place, worker=worker, of=3, **FIT)
    same(last, in_memory)


DEVICES = """
import sys, jax, numpy as np, tokdyn as td
from sweep_evaluators import BASE, DIMS, SPACE, fit
assert len(jax.devices()) == int(sys.argv[2])
td.sweep(fit, BASE, SPACE, seeds=40, key=jax.random.key(7), dims=DIMS, unit=16, store=sys.argv[1])
"""


# Four of them only make other blocks of the same.
@pytest.mark.parametrize("count", [pytest.param(4, marks=pytest.mark.slow), 8])
def test_several_devices_give_the_same_numbers(tmp_path, in_memory, count):
    """One body for all devices: equal to the last bit here; the promise is rounding."""
    flags = f"--xla_force_host_platform_device_count={count}"
    with python(DEVICES, tmp_path / "store", count, flags=flags) as process:
        finished(process)
    found = td.open_sweep(tmp_path / "store").load()
    np.testing.assert_array_equal(found.num_steps, in_memory.num_steps)
    np.testing.assert_allclose(found.tokens, in_memory.tokens, rtol=1e-5, atol=1e-5)


OLD_PROCESSOR = """
import sys, jax, tokdyn as td
from sweep_evaluators import BASE, DIMS, SPACE, fit
options = dict(seeds=40, key=jax.random.key(7), dims=DIMS, unit=16, chunk=32, store=sys.argv[1])
try:
    td.sweep(fit, BASE, SPACE, **options)
except ValueError as error:
    print(error)
found = td.sweep(fit, BASE, SPACE, mixed=True, **options)
print(found.attrs["mixed"])
"""


def test_kinds_of_machines_are_mixed_only_if_asked(tmp_path, in_memory):
    """The same program with other instructions rounds differently, and the store knows who computed what."""
    place = tmp_path / "store"
    td.sweep(fit, BASE, SPACE, store=place, worker=0, of=2, **FIT)
    before = {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}
    with python(OLD_PROCESSOR, place, flags="--xla_cpu_max_isa=SSE4_2") as process:
        refusal, mixed = finished(process).splitlines()
    assert refusal.startswith(f"store: expected the kind of machine that {place} was begun on (mixed=True, or --mixed")
    assert "got flags" in refusal
    assert "--xla_cpu_max_isa=SSE4_2" in refusal
    assert mixed == "1"
    assert all(path.read_bytes() == content for path, content in before.items())
    whole = td.open_sweep(place)
    assert whole.attrs["mixed"] == 1
    assert len(json.loads(whole.attrs["machines"])) == 2
    assert "finished" not in whole
    # Half of the tasks are to the last bit those of this machine, the others to rounding.
    assert float((abs(whole.tokens - in_memory.tokens) < 1e-3).mean()) > 0.9
    # Mixed it is already: on the machine that began it, it goes on without a word.
    td.sweep(fit, BASE, SPACE, store=place, **FIT)


def test_what_a_marker_says_is_what_counts(stored, in_memory):
    """A marker that is empty, truncated, edited or another sweep's counts as none; its task is computed again."""
    markers = sorted((stored / "part-0000" / "tasks").iterdir(), key=lambda path: int(path.stem))
    markers[0].write_bytes(b"")
    markers[1].write_bytes(markers[1].read_bytes()[:40])
    markers[2].write_bytes(markers[2].read_bytes().replace(b'"task": 2', b'"task": 3'))
    markers[3].write_bytes(markers[4].read_bytes())
    part = td.open_sweep(stored)
    assert int(part.finished.sum()) == 240 - 4 * 32
    same(td.sweep(fit, BASE, SPACE, store=stored, **FIT), in_memory)


def test_reading_verifies(stored, in_memory):
    chunks = stored / "part-0000" / "outputs" / "residual" / "c"
    one, other = (chunks / "1").read_bytes(), (chunks / "2").read_bytes()
    (chunks / "1").write_bytes(other)
    (chunks / "2").write_bytes(one)
    sentence = r"store: part-0000/outputs/residual/c/\d is not what was written \(in"
    with pytest.raises(td.DamagedStore, match=sentence):
        td.open_sweep(stored)
    lazy = td.open_sweep(stored, verify=False)
    np.testing.assert_array_equal(lazy.tokens, in_memory.tokens)  # what is intact can be read
    with pytest.raises(td.DamagedStore, match=sentence):
        lazy.residual.load()


def test_a_lazy_dataset_travels(stored, in_memory):
    lazy = pickle.loads(pickle.dumps(td.open_sweep(stored)))
    np.testing.assert_array_equal(lazy.tokens.isel(seed=3), in_memory.tokens.isel(seed=3))


def test_an_edited_description_is_not_believed(stored, in_memory):
    manifest = stored / "part-0000" / "part.json"
    content = manifest.read_text()
    manifest.write_text(content.replace("0.5", "0.25", 1))
    for call in (td.open_sweep, lambda place: td.sweep(fit, BASE, SPACE, store=place, **FIT)):
        with pytest.raises(td.DamagedStore, match="part.json is damaged, or was edited"):
            call(stored)
    manifest.unlink()  # as the sentence says
    seen = []
    same(td.sweep(fit, BASE, SPACE, store=stored, progress=lambda *n: seen.append(n), **FIT), in_memory)
    assert not seen  # nothing had to be computed again


DISTRIBUTED = """
import sys, jax
jax.distributed.initialize(sys.argv[2], 2, int(sys.argv[3]))
import tokdyn as td
from sweep_evaluators import BASE, DIMS, SPACE, fit
options = dict(seeds=40, key=jax.random.key(7), dims=DIMS, unit=16, chunk=32)
found = td.sweep(fit, BASE, SPACE, store=sys.argv[1], **options)
assert "finished" not in found, "a process returned before the others had finished"
"""


def test_two_processes_of_jax_distributed(tmp_path, in_memory):
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    store = tmp_path / "store"
    with python(DISTRIBUTED, store, address, 0) as first, python(DISTRIBUTED, store, address, 1) as second:
        for process in (first, second):
            finished(process)
    same(td.open_sweep(tmp_path / "store"), in_memory)


MEMORY = """
import sys, resource, jax, tokdyn as td
space = td.grid({"a": list(range(int(sys.argv[2]) // 100))})
td.sweep(lambda c, k: {"x": jax.random.normal(k) + c["a"]}, {"a": 0.0}, space, seeds=100,
         key=jax.random.key(0), store=sys.argv[1], chunk=8192)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_memory_is_bounded_by_the_chunk(tmp_path):
    """Peak resident memory of a million runs within 10 % of that of ten thousand."""

    def peak(runs):
        with python(MEMORY, tmp_path / str(runs), runs) as process:
            return int(finished(process))

    small, large = peak(10_000), peak(1_000_000)
    assert large < 1.1 * small


def test_a_store_may_be_any_place_that_fsspec_reaches(in_memory):
    import fsspec

    place = "memory://tokdyn-test/store"
    try:
        same(td.sweep(fit, BASE, SPACE, store=place, **FIT), in_memory)
        same(td.open_sweep(place), in_memory)
    finally:
        fsspec.filesystem("memory").rm("/tokdyn-test", recursive=True)
