"""What must not get in: bad files, arguments and places end in one sentence, by code 2, and leave nothing behind."""

import contextlib
import os
import pathlib
import re
import resource
import subprocess
import sys
import zipfile
import zlib

import numpy as np
import pytest
from bad_files import NO_ARCHIVES, NO_ARRAYS, NO_DYNAMICS, NO_JSON, NO_SWEEPS, NO_TABLES, npz

import tokdyn as td
from tokdyn import autoencoder, claims, cli
from tokdyn.reasoning import audit

RUN = ["--num-tokens", "2", "--no-plots", "--out", "out"]
STUDY = ["study", "dynamics", "--no-plots", "--out", "out"]
LONG = "x" * 300 + ".npz"
SENTENCE = re.compile(r"tokdyn: [^\n]{10,}\n")


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder to work in, with a file and a folder that are in the way."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_bytes(b"1,2\n3,4\n")
    for name in ("folder", "folder.npz", "folder.npy", "folder.csv", "folder.json", "folder.toml"):
        (tmp_path / name).mkdir()
    (tmp_path / "x.csv").write_bytes(b"1.5,2\n3,4\n5.5,6\n")
    np.savez(tmp_path / "two.npz", a=np.ones((3, 2)), b=np.ones((3, 2)))
    return tmp_path


def contents(folder):
    return {str(path.relative_to(folder)): path.is_file() and path.read_bytes() for path in folder.rglob("*")}


def refused(words, capsys, folder):
    """The one sentence that a command ends with, by code 2."""
    before = contents(folder)
    try:
        code = cli.main(list(words))
    except SystemExit as stopped:  # the options could not be read
        code = stopped.code
        assert code == 2
        assert "Traceback" not in capsys.readouterr().err
        return ""
    error = capsys.readouterr().err
    assert SENTENCE.fullmatch(error), error
    assert len(error) < 2000
    assert code == 2, error
    assert contents(folder) == before
    return error


def _files():
    """Bad files by the name they get, and the commands that must refuse them."""
    for what, content in NO_ARRAYS.items():
        yield f"run npy, {what}", "x.npy", content, ["run", "x.npy", *RUN]
    for what, content in NO_ARCHIVES.items():
        readable = what == "one name twice" or (what.startswith("features: ") and content is None)
        for command in (["run", "x.npz", *RUN], ["audit", "x.npz", "--out", "out"], ["info", "x.npz"]):
            if not readable:
                yield f"{command[0]} npz, {what}", "x.npz", content, command
    for what in ("half an archive", "features: rows that are not there", "structure: rows that are not there"):
        yield f"diagnose npz, {what}", "x.npz", NO_ARCHIVES[what], ["diagnose", "x.npz"]
        dynamics = ["run", "x.csv", *RUN, "--dynamics", "x.npz"]
        yield f"run dynamics, {what}", "x.npz", NO_ARCHIVES[what], dynamics
    for what, content in NO_DYNAMICS.items():
        yield f"info npz, {what}", "x.npz", content, ["info", "x.npz"]
    for what, content in NO_JSON.items():
        yield f"study config, {what}", "x.json", content, [*STUDY, "--config", "x.json"]
    for what in ("nothing", "text", "other bytes", "JSON of brackets", "a number", "cut"):
        yield f"check-data, {what}", "x.json", NO_JSON[what], ["check-data", "x.json"]
    for what, content in NO_SWEEPS.items():
        yield f"sweep, {what}", "x.toml", content, ["sweep", "x.toml", "--store", "out"]
    for what, content in NO_TABLES.items():
        yield f"run csv, {what}", "y.csv", content, ["run", "y.csv", *RUN]


FILES = list(_files())


@pytest.mark.parametrize(("name", "content", "words"), [one[1:] for one in FILES], ids=[one[0] for one in FILES])
def test_a_bad_file_is_one_sentence(name, content, words, place, capsys):
    (place / name).write_bytes(content)
    if b"failing_module" in content:
        (place / "failing_module.py").write_text("raise RuntimeError('on purpose')\n")
        sys.modules.pop("failing_module", None)
    error = refused(words, capsys, place)
    # In one archive, or one specification, the name of an array or a field says as much.
    assert name in error or words[0] in ("audit", "sweep") or b'"config": {' in content, error


COMMANDS = {
    "a command that there is not": ["dance"],
    "list with a word": ["list", "x"],
    "info with two": ["info", "a", "b"],
    "info of nothing there": ["info", "none"],
    "info of a file": ["info", "file"],
    "info of a folder": ["info", "folder"],
    "info of a folder called npz": ["info", "folder.npz"],
    "info of a long name": ["info", LONG],
    "info of a name with a zero": ["info", "a\0b.npz"],
    "info of no name": ["info", ""],
    "info of a file as folder": ["info", "file/x.npz"],
    "info to verify nothing": ["info", "--verify"],
    "info to repair a file": ["info", "file", "--repair"],
    "info with an unknown option": ["info", "--nonsense"],
    "run of nothing there": ["run", "none.npy", *RUN],
    "run of a folder": ["run", "folder", *RUN],
    "run of a folder called npy": ["run", "folder.npy", *RUN],
    "run of a folder called npz": ["run", "folder.npz", *RUN],
    "run of a folder called csv": ["run", "folder.csv", *RUN],
    "run of a long name": ["run", LONG, *RUN],
    "run of a name with a zero": ["run", "a\0b.npy", *RUN],
    "run of a file as folder": ["run", "file/x.npy", *RUN],
    "run of a file of unknown kind": ["run", "file", *RUN],
    "run into a file": ["run", "x.csv", *RUN[:-1], "file"],
    "run into a file as folder": ["run", "x.csv", *RUN[:-1], "file/out"],
    "run into a long name": ["run", "x.csv", *RUN[:-1], "x" * 300],
    "run into a name with a zero": ["run", "x.csv", *RUN[:-1], "a\0b"],
    "run of one of two": ["run", "two.npz", *RUN],
    "run of an array that there is not": ["run", "two.npz", *RUN, "--array", "c"],
    "run with columns that there are not": ["run", "x.csv", *RUN, "--columns", "7"],
    "run with labels that there are not": ["run", "x.csv", *RUN, "--labels", "kind"],
    "run with a delimiter of words": ["run", "x.csv", *RUN, "--delimiter", "abc"],
    "run with no token": ["run", "x.csv", "--num-tokens", "0", *RUN[2:]],
    "run with too many tokens": ["run", "x.csv", "--num-tokens", "9", *RUN[2:]],
    "run with more tokens than an int32": ["run", "x.csv", "--num-tokens", str(2**31), *RUN[2:]],
    "run with more steps than an int32": ["run", "x.csv", *RUN, "--max-steps", str(2**31)],
    "run with more steps than an int64": ["run", "x.csv", *RUN, "--max-steps", str(2**70)],
    "run with no step": ["run", "x.csv", *RUN, "--max-steps", "0"],
    "run with no start": ["run", "x.csv", *RUN, "--num-starts", "0"],
    "run with more starts than an int32": ["run", "x.csv", *RUN, "--num-starts", str(2**31)],
    "run with a seed below zero": ["run", "x.csv", *RUN, "--seed", "-1"],
    "run with a large seed": ["run", "x.csv", *RUN, "--seed", str(2**64)],
    "run with a temperature below zero": ["run", "x.csv", *RUN, "--temperature", "-1"],
    "run with no number as temperature": ["run", "x.csv", *RUN, "--temperature", "nan"],
    "run with a tol below zero": ["run", "x.csv", *RUN, "--tol", "-1"],
    "run with a dynamics that there is not": ["run", "x.csv", *RUN, "--dynamics", "none.npz"],
    "run with a folder as dynamics": ["run", "x.csv", *RUN, "--dynamics", "folder.npz"],
    "run with a table as dynamics": ["run", "x.csv", *RUN, "--dynamics", "x.csv"],
    "run with tokens of text": ["run", "x.csv", "--num-tokens", "three"],
    "run with an unknown option": ["run", "x.csv", *RUN, "--nonsense"],
    "run without anything": ["run"],
    "audit of nothing there": ["audit", "none.npz"],
    "audit of a folder": ["audit", "folder.npz"],
    "audit of a table": ["audit", "x.csv"],
    "audit of other arrays": ["audit", "two.npz"],
    "audit of a long name": ["audit", LONG],
    "audit of a name with a zero": ["audit", "a\0b.npz"],
    "diagnose of nothing there": ["diagnose", "none.npz"],
    "diagnose of a folder": ["diagnose", "folder.npz"],
    "diagnose of other arrays": ["diagnose", "two.npz"],
    "diagnose of a long name": ["diagnose", LONG],
    "diagnose of a name with a zero": ["diagnose", "a\0b.npz"],
    "check-data of nothing there": ["check-data", "none.json"],
    "check-data of a folder": ["check-data", "folder.json"],
    "check-data of a long name": ["check-data", LONG],
    "claims of an unknown work": ["claims", "--work", "none"],
    "claims of an unknown verdict": ["claims", "--verdict", "none"],
    "study that there is not": ["study", "none"],
    "study without a name": ["study"],
    "study with a config that there is not": [*STUDY, "--config", "none.json"],
    "study with a folder as config": [*STUDY, "--config", "folder.json"],
    "study with a long name as config": [*STUDY, "--config", LONG],
    "study with no seeds": [*STUDY, "--seeds", "0"],
    "study with more seeds than an int32": [*STUDY, "--seeds", str(2**31)],
    "study into a file": [*STUDY[:-1], "file"],
    "study into a long name": [*STUDY[:-1], "x" * 300],
    "sweep of nothing there": ["sweep", "none.toml", "--store", "out"],
    "sweep of a folder": ["sweep", "folder.toml", "--store", "out"],
    "sweep of a long name": ["sweep", LONG, "--store", "out"],
    "sweep of a name with a zero": ["sweep", "a\0b.toml", "--store", "out"],
}


@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS.keys())
def test_a_bad_command_is_one_sentence(words, place, capsys):
    refused(words, capsys, place)


def _evaluator(outputs):
    return lambda base, key: outputs(key) if callable(outputs) else outputs


def _swept(outputs, base=None, space=None, **options):
    import jax

    given = {"a": 1.0} if base is None else base
    whole = td.grid({"a": [1.0, 2.0]}) if space is None else space
    evaluate = outputs if callable(outputs) else _evaluator(outputs)
    return td.sweep(evaluate, given, whole, seeds=1, key=jax.random.key(0), **options)


def _bfloat16(key):
    import jax.numpy as jnp

    return {"x": jnp.bfloat16(1)}


def _with_kernel(base, key, kernel="a"):
    return {"x": 1.0}


def _soft_kmeans():
    return td.catalog.soft_kmeans()


def _run(**options):
    import jax

    features = np.zeros((4, 2), np.float32)
    given = {"num_tokens": 2, "max_steps": 5, "tol": 1e-3, **options}
    return td.run(_soft_kmeans(), jax.random.key(0), features, **given)


def _streamed(source, **options):
    import jax

    given = {"num_tokens": 2, "max_steps": 5, "tol": 1e-3, **options}
    return td.run_streamed(_soft_kmeans(), jax.random.key(0), source, **given)


class Lying:
    """An array that says it is larger than it is."""

    dtype = np.dtype(np.float32)

    def __init__(self, *shape):
        self.shape = shape

    def __getitem__(self, rows):
        return np.zeros((4, 2), np.float32)[rows]


SWEEP = {
    "evaluate that is text": lambda: _swept(lambda base, key: "x"),
    "evaluate of nothing": lambda: _swept({}),
    "an output of text": lambda: _swept({"x": "y"}),
    "an output of none": lambda: _swept({"x": None}),
    "an output that is a dict": lambda: _swept({"x": {"y": 1.0}}),
    "an output of ragged lists": lambda: _swept({"x": [[1.0], [1.0, 2.0]]}),
    "an output that is a key": lambda: _swept(_evaluator(lambda key: {"x": key})),
    "an output of bfloat16": lambda: _swept(_evaluator(_bfloat16)),
    "an output without a name": lambda: _swept({"": 1.0}),
    "an output called ..": lambda: _swept({"..": 1.0}),
    "an output called .": lambda: _swept({".": 1.0}),
    "an output with a slash": lambda: _swept({"a/b": 1.0}),
    "an output with a zero": lambda: _swept({"a\0b": 1.0}),
    "an output of a long name": lambda: _swept({"x" * 300: 1.0}),
    "an output that has a number as name": lambda: _swept({1: 1.0}),
    "an output called like a path": lambda: _swept({"a": 1.0}),
    "an output called seed": lambda: _swept({"seed": 1.0}),
    "an output called finished": lambda: _swept({"finished": 1.0}),
    "text in the base": lambda: _swept({"x": 1.0}, base={"a": 1.0, "b": "text"}),
    "no number in the base": lambda: _swept({"x": 1.0}, base={}),
    "a variant called key": lambda: _swept(_with_kernel, space=td.variants(key=[1, 2])),
    "a variant called as the base": lambda: _swept(_with_kernel, space=td.variants(base=[1, 2])),
    "a variant that evaluate does not know": lambda: _swept(_with_kernel, space=td.variants(colour=[1, 2])),
    "a space that is none": lambda: _swept({"x": 1.0}, space={"a": [1.0]}),
    "seeds of fractions": lambda: td.sweep(_with_kernel, {}, td.variants(kernel=["a"]), seeds=1.5, key=0),
    "a key that is a number": lambda: td.sweep(_with_kernel, {}, td.variants(kernel=["a"]), seeds=1, key=0),
    "evaluate that cannot be called": lambda: td.sweep("x", {}, td.variants(kernel=["a"]), seeds=1, key=0),
    "a store that is a number": lambda: _swept({"x": 1.0}, store=3),
    "a store that is a file": lambda: _swept({"x": 1.0}, store="file"),
    "a store of a long name": lambda: _swept({"x": 1.0}, store="x" * 300),
    "a store with a zero": lambda: _swept({"x": 1.0}, store="a\0b"),
}
SPACES = {
    "a grid of text": lambda: td.grid("x"),
    "a grid of none": lambda: td.grid(None),
    "a grid of a list": lambda: td.grid(["a"]),
    "a grid of numbered paths": lambda: td.grid({1: [1.0]}),
    "a grid of a set": lambda: td.grid({"a": {1.0, 2.0}}),
    "a grid of text values": lambda: td.grid({"a": "xyz"}),
    "a grid of none values": lambda: td.grid({"a": None}),
    "a grid of complex values": lambda: td.grid({"a": [1j]}),
    "a grid of ragged values": lambda: td.grid({"a": [[1.0], [1.0, 2.0]]}),
    "zipped without a name": lambda: td.zipped("", {"a": [1.0]}),
    "zipped with a number as name": lambda: td.zipped(3, {"a": [1.0]}),
    "zipped of nothing": lambda: td.zipped("z", {}),
    "zipped of text": lambda: td.zipped("z", "x"),
    "sampled of text": lambda: td.sampled(4, "x"),
    "sampled with a seed of text": lambda: td.sampled(4, {"a": td.uniform(0, 1)}, seed="x"),
    "sampled with a seed below zero": lambda: td.sampled(4, {"a": td.uniform(0, 1)}, seed=-1, method="random"),
    "uniform between words": lambda: td.uniform("a", "b"),
    "uniform between none": lambda: td.uniform(None, 1),
    "log_uniform between words": lambda: td.log_uniform("a", 1),
    "choice of words": lambda: td.choice("a"),
    "variants of one number": lambda: td.variants(n=3),
    "variants of text": lambda: td.variants(n="abc"),
    "variants of none": lambda: td.variants(n=None),
    "variants that are equal": lambda: td.variants(n=[1, True, 1.0]),
    "variants twice": lambda: td.variants(n=[1, 1]),
    "variants that are lists": lambda: td.variants(n=[[1], [2]]),
    "variants that are arrays": lambda: td.variants(n=np.ones((2, 2))),
    "variants that are no numbers": lambda: td.variants(n=[float("nan")]),
    "variants of an array of none": lambda: td.variants(n=np.array(3)),
}
NUMBERS = {
    "max_steps beyond an int32": lambda: _run(max_steps=2**31),
    "max_steps beyond an int64": lambda: _run(max_steps=2**70),
    "max_steps of text": lambda: _run(max_steps="3"),
    "max_steps of none": lambda: _run(max_steps=None),
    "max_steps that is a truth": lambda: _run(max_steps=True),
    "num_tokens beyond an int32": lambda: _run(num_tokens=2**31),
    "min_steps of text": lambda: _run(min_steps="x"),
    "tol of text": lambda: _run(tol="x"),
    "tol of none": lambda: _run(tol=None),
    "stop that is a number": lambda: _run(stop=3),
    "stop that is a list": lambda: _run(stop=["displacement"]),
    "stop that is an array": lambda: _run(stop=np.array(["displacement", "force"])),
    "stop of a near word": lambda: _run(stop="displacemnt"),
    "streamed: max_steps beyond an int32": lambda: _streamed(np.zeros((4, 2), np.float32), max_steps=2**31),
    "streamed: rows that are not there": lambda: _streamed(Lying(10**12, 2)),
    "streamed: fewer rows than said": lambda: _streamed(Lying(5, 2)),
    "streamed: many columns that are not there": lambda: _streamed(Lying(4, 10**12)),
    "streamed: a column that is not there": lambda: _streamed(Lying(4, 3)),
    "streamed: a path": lambda: _streamed("x.npy"),
    "streamed: none": lambda: _streamed(None),
    "streamed: rows_at_once of text": lambda: _streamed(np.zeros((4, 2), np.float32), rows_at_once="x"),
    "streamed: rows_at_once below one": lambda: _streamed(np.zeros((4, 2), np.float32), rows_at_once=-1),
}
PLACES = {
    "load none": lambda: td.load(None),
    "load a number": lambda: td.load(3),
    "load bytes": lambda: td.load(b"x.npz"),
    "load no name": lambda: td.load(""),
    "load nothing there": lambda: td.load("none"),
    "load a folder": lambda: td.load("folder"),
    "load a folder called npz": lambda: td.load("folder.npz"),
    "load a long name": lambda: td.load(LONG),
    "load a name with a zero": lambda: td.load("a\0b"),
    "save to none": lambda: td.save(_soft_kmeans(), None),
    "save to a number": lambda: td.save(_soft_kmeans(), 3),
    "save to a folder": lambda: td.save(_soft_kmeans(), "folder"),
    "save to this folder": lambda: td.save(_soft_kmeans(), "."),
    "save to a folder called npz": lambda: td.save(_soft_kmeans(), "folder.npz"),
    "save to a folder by its end": lambda: td.save(_soft_kmeans(), "new" + os.sep),
    "save to no name": lambda: td.save(_soft_kmeans(), ""),
    "save to a file as folder": lambda: td.save(_soft_kmeans(), "file/x"),
    "save to a long name": lambda: td.save(_soft_kmeans(), LONG),
    "save to a name with a zero": lambda: td.save(_soft_kmeans(), "a\0b"),
    "save no dynamics": lambda: td.save(None, "x"),
    "audit.load none": lambda: audit.load(None),
    "audit.load a folder": lambda: audit.load("folder.npz"),
    "audit.load a long name": lambda: audit.load(LONG),
    "audit.save to a folder": lambda: audit.save("folder", {"answers": [0, 1], "targets": [0, 0]}),
    "audit.save to none": lambda: audit.save(None, {"answers": [0, 1], "targets": [0, 0]}),
    "audit.save to a long name": lambda: audit.save(LONG, {"answers": [0, 1], "targets": [0, 0]}),
    "load_run none": lambda: autoencoder.load_run(None),
    "load_run a dynamics": lambda: autoencoder.load_run("two.npz"),
    "read_table none": lambda: td.data.read_table(None),
    "read_table a number": lambda: td.data.read_table(3),
    "read_table a folder": lambda: td.data.read_table("folder.csv"),
    "read_table a long name": lambda: td.data.read_table(LONG),
    "read_table a name with a zero": lambda: td.data.read_table("a\0b.csv"),
    "read_table with columns that are numbers": lambda: td.data.read_table("x.csv", columns=3),
    "claims.load a number": lambda: claims.load(3),
    "claims.load a folder": lambda: claims.load("folder.json"),
    "claims.load nothing there": lambda: claims.load("none.json"),
    "claims.write into a folder": lambda: claims.write("folder.json", ()),
    "claims.write to a long name": lambda: claims.write(LONG, ()),
    "open_sweep none": lambda: td.open_sweep(None),
    "open_sweep a file": lambda: td.open_sweep("file"),
    "open_sweep a folder": lambda: td.open_sweep("folder"),
    "open_sweep a long name": lambda: td.open_sweep(LONG),
    "check_samples none": lambda: td.data.clevr.check_samples(None),
    "studies.load near": lambda: td.studies.load("dynamic"),
    "studies.load none": lambda: td.studies.load(None),
}
CALLS = {**SWEEP, **SPACES, **NUMBERS, **PLACES}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_a_bad_call_is_one_sentence(call, place):
    before = contents(place)
    with pytest.raises((ValueError, OSError)) as found:
        call()
    said = str(found.value)
    assert re.match(r".*: .*expected .*, got .*", said), said
    assert "\n" not in said
    assert len(said) < 2000
    assert contents(place) == before


@pytest.mark.parametrize("what", NO_ARCHIVES)
def test_a_bad_archive_is_refused_by_every_reader(what, place):
    (place / "x.npz").write_bytes(NO_ARCHIVES[what])
    for read in (td.load, audit.load, autoencoder.load_run, td.data.read_table):
        with pytest.raises(ValueError, match="expected .*, got ") as found:
            read("x.npz")
        assert "\n" not in str(found.value)


@pytest.mark.parametrize("what", NO_DYNAMICS)
def test_a_bad_structure_is_refused(what, place):
    (place / "x.npz").write_bytes(NO_DYNAMICS[what])
    with pytest.raises(ValueError, match="expected .*, got ") as found:
        td.load("x.npz")
    assert "\n" not in str(found.value)


def test_the_list_is_long():
    assert len(FILES) + len(COMMANDS) + len(CALLS) >= 150


@contextlib.contextmanager
def full_disk(size=300):
    """No file of this process may grow beyond some bytes: what a full disk does, in the same places."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


FULL = {
    "save": lambda: td.save(td.catalog.soft_kmeans(), "new.npz"),
    "audit.save": lambda: audit.save("new.npz", {"answers": [0, 1] * 500, "targets": [0, 0] * 500}),
    "claims.write": lambda: claims.write("new.json", claims.load()),
    "claims.write over an older one": lambda: claims.write("old.json", claims.load()),
    "save over an older one": lambda: td.save(td.catalog.soft_kmeans(), "old.npz"),
}


@pytest.mark.parametrize("write", FULL.values(), ids=FULL.keys())
def test_a_full_disk_leaves_nothing_half_written(write, place):
    (place / "old.npz").write_bytes(npz(a=np.ones(3)))
    (place / "old.json").write_bytes(b"[]")
    before = contents(place)
    with full_disk(), pytest.raises((OSError, ValueError), match="(new|old).*File too large"):
        write()
    assert contents(place) == before


def test_a_full_disk_ends_a_command_in_one_sentence(place, capsys):
    with full_disk(100):
        assert "out: File too large" in refused(["run", "x.csv", *RUN], capsys, place)


def process(command, **more):
    return subprocess.run(
        ["bash", "-c", command.replace("tokdyn", f"{sys.executable} -m tokdyn")], capture_output=True, text=True,
        stdin=subprocess.DEVNULL, check=False, timeout=120, **more,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("command", "code", "error"),
    [
        ("tokdyn claims >&-", 0, ""),
        ("tokdyn claims | head -1 >/dev/null; exit ${PIPESTATUS[0]}", 0, ""),
        ("tokdyn claims --work none 2>&-", 2, ""),
        (
            "tokdyn claims >/dev/full",
            2,
            "tokdyn: output: No space left on device\n",
        ),
    ],
)
def test_outputs_that_are_closed_or_full(command, code, error):
    done = process(command)
    assert (done.returncode, done.stderr) == (code, error)


def test_help_is_printed_by_code_0(capsys):
    for words in (["list", "--help"], ["list", "-h"], ["info", "--help"], ["info", "x", "-h"]):
        assert cli.main(words) == 0
        printed = capsys.readouterr()
        assert printed.out.startswith(f"usage: tokdyn {words[0]}")
        assert printed.err == ""


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["lst"], "did you mean 'list'?"),
        (["studdy"], "did you mean 'study'?"),
        (["study", "dynamic"], "did you mean 'dynamics'?"),
        (["study", "quantizer"], "did you mean 'quantizers'?"),
        (["claims", "--work", "diffusion"], "did you mean 'diffusion_lm'?"),
    ],
)
def test_a_near_word_is_named(words, hint, capsys):
    assert cli.main(words) == 2
    assert capsys.readouterr().err.endswith(f"{hint}\n")


def test_a_broken_study_of_somebody_else_hides_no_other(place, monkeypatch, capsys):
    import importlib.metadata

    from tokdyn import studies

    modules = {
        "silent_study": "def run(config): ...\ndef report(dataset, folder): ...\n",
        "failing_study": "raise RuntimeError('on purpose\\nand on two lines')\n",
        "leaving_study": "import sys\nsys.exit('bye')\n",
        "wrong_study": "def f(:\n",
        "lacking_study": '"""Lacks all."""\n',
    }
    for name, text in modules.items():
        (place / f"{name}.py").write_text(text)
    points = [importlib.metadata.EntryPoint(name, name, studies.GROUP) for name in (*modules, "no_such_study")]
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: points)
    monkeypatch.syspath_prepend(place)
    assert cli.main(["list"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    for name in ("failing_study", "leaving_study", "wrong_study", "lacking_study", "no_such_study"):
        assert "cannot be loaded: study: expected a module" in lines[name], lines[name]
    assert "on purpose" in lines["failing_study"]
    assert "silent_study" in lines
    assert "dynamics" in lines
    assert cli.main(["study", "failing_study"]) == 2
    assert SENTENCE.fullmatch(capsys.readouterr().err)


def _raise(error):
    def action(words):
        raise error

    return action


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (ValueError("x: expected a, got b\nand more"), 2, "tokdyn: x: expected a, got b and more\n"),
        (OSError(28, "No space left on device", "a.npz"), 2, "tokdyn: a.npz: No space left on device\n"),
        (OSError("no number"), 2, "tokdyn: output: no number\n"),
        (MemoryError("8 TiB"), 2, "tokdyn: memory: expected enough for what was asked, got too little (8 TiB)\n"),
        (MemoryError(), 2, "tokdyn: memory: expected enough for what was asked, got too little (MemoryError)\n"),
        (RuntimeError("RESOURCE_EXHAUSTED: 8 TiB"), 2, "tokdyn: memory: expected enough .*"),
        (RecursionError("too deep"), 2, "tokdyn: input: expected data of some levels, .*"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "x"), 2, "tokdyn: text: expected UTF-8, .*"),
        (zipfile.BadZipFile("cut"), 2, "tokdyn: file: expected a whole archive, .*"),
        (zlib.error("cut"), 2, "tokdyn: file: expected a whole archive, .*"),
        (EOFError(), 2, "tokdyn: file: expected a whole archive, .*"),
        (TypeError("a\nb"), 1, "tokdyn: a mistake of ours: TypeError in test_boundary.py, line .*: a .*"),
        (KeyError(), 1, "tokdyn: a mistake of ours: KeyError in test_boundary.py, line .*"),
    ],
)
def test_whatever_goes_wrong_is_one_line(error, code, sentence, monkeypatch, capsys):
    monkeypatch.setattr(cli, "_list", _raise(error))
    assert cli.main(["list"]) == code
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert told == sentence or re.fullmatch(sentence + r"\n", told), told
    monkeypatch.setenv("TOKDYN_DEBUG", "1")
    assert cli.main(["list"]) == code
    assert "Traceback" in capsys.readouterr().err


def test_only_one_module_loads_arrays():
    package = pathlib.Path(cli.__file__).parent
    loads = re.compile(r"\b(np|numpy)\.(load|fromfile|memmap)\(|\bpickle\b.*load|allow_pickle=True")
    prose = re.compile(r"^\s*(>>>|\.\.\.)")
    found = {
        f"{file.relative_to(package)}: {line.strip()}"
        for file in package.rglob("*.py")
        for line in file.read_text(encoding="utf-8").splitlines()
        if loads.search(line) and not prose.match(line)
    }
    assert not found
