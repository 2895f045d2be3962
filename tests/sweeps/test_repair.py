"""``tokdyn sweep`` and ``info`` on a store that is extended, damaged and repaired."""

import pytest
import xarray

import tokdyn as td
from tokdyn import cli

SPEC = """
evaluate = "evaluators_of_repair:evaluate"
base = "evaluators_of_repair:BASE"
seeds = {seeds}
[grid]
a = {values}
"""
MODULE = """
import jax
BASE = {"a": 1.0}
def evaluate(config, key):
    return {"x": config["a"] * jax.random.normal(key), "n": jax.numpy.int32(config["a"])}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "evaluators_of_repair.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def sweep(folder, *options, seeds=4, values="[1.0, 2.0]"):
    (folder / "spec.toml").write_text(SPEC.format(seeds=seeds, values=values))
    return cli.main(["sweep", "spec.toml", "--store", "store", *options])


def test_extending_verifying_and_repairing(folder, capsys):
    assert sweep(folder) == 0
    assert sweep(folder, "--resume", seeds=6) == 2
    assert "--extend, computes the other 4 runs there" in capsys.readouterr().err
    assert sweep(folder, "--extend", seeds=6, values="[1.0, 2.0, 4.0]") == 0
    capsys.readouterr()
    assert cli.main(["info", "store", "--verify"]) == 0
    out = capsys.readouterr().out
    assert "3 of 3 tasks" in out
    assert "in 3 parts" in out
    assert "every finished task is as it was written" in out

    whole = td.open_sweep("store").load()
    chunk = folder / "store" / "part-0001" / "outputs" / "x" / "c" / "0"
    chunk.write_bytes(b"\0" + chunk.read_bytes()[1:])
    (folder / "store" / "part-0000" / "outputs" / "n" / "zarr.json").unlink()
    (folder / "store" / "part-0000" / "tasks" / "0.json").write_text("{")
    assert cli.main(["info", "store", "--verify"]) == 2
    said = capsys.readouterr()
    assert "task 0: part-0001/outputs/x/c/0 is not what was written" in said.out
    assert "part-0000/tasks/0.json is not what was written" in said.out
    assert "part-0000/outputs/n/zarr.json is missing or changed" in said.out
    assert said.err == "tokdyn: store: expected what was written, got 3 damaged files in store\n"

    assert cli.main(["info", "store", "--repair"]) == 0
    out = capsys.readouterr().out
    assert "part-0001/outputs/x/c/0 is not what was written: task 0 counts as unfinished" in out
    assert "part-0000/tasks/0.json was no marker of this sweep" in out
    assert "part-0000/outputs/n/zarr.json was written again" in out
    assert int(td.open_sweep("store").finished.sum()) == 18 - 8 - 4
    assert sweep(folder, "--resume", seeds=6, values="[1.0, 2.0, 4.0]") == 0
    xarray.testing.assert_identical(td.open_sweep("store").load(), whole)
    capsys.readouterr()
    assert cli.main(["info", "store", "--repair"]) == 0
    assert "nothing is damaged" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["info", "--verify"], "info: expected the path of a sweep's store with --verify, got none"),
        (["info", ".", "--repair"], "path: expected the store of a sweep, got ."),
        (["info", "nowhere", "--verify"], "path: expected the store of a sweep, got nowhere"),
    ],
)
def test_what_is_no_store_gets_a_sentence(folder, capsys, words, sentence):
    assert cli.main(words) == 2
    assert capsys.readouterr().err == f"tokdyn: {sentence}\n"


def test_zarr_reads_the_arrays_without_us(folder):
    """The chunks are Zarr's, in order of execution."""
    import zarr

    sweep(folder)
    array = zarr.open_group(folder / "store", mode="r")["part-0000/outputs/x"]
    expected = td.open_sweep("store").x.values.ravel()
    assert array.metadata.dimension_names == ("run",)
    assert (array[: expected.size] == expected).all()
