"""A sweep from a file is the sweep from Python; what is wrong in a file is said in one sentence."""

import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
import xarray

import tokdyn as td
from tokdyn import cli
from tokdyn.studies.dynamics.evaluator import BASE, evaluate_native
from tokdyn.sweeps import spec

DYNAMICS = """
evaluate = "dynamics"
seeds = 3
key = 5
[set]
"data.noise" = 0.3
[variants]
num_tokens = [3]
[grid]
"dynamics.attract.temperature" = { geomspace = [0.5, 2.0, 3] }
"""

MINE = """
import jax
BASE = {"a": 0.0, "b": 1.0}
def evaluate(config, key):
    return {"x": config["a"] + config["b"], "path": jax.numpy.arange(2.0) * config["a"]}
"""

OWN = """
evaluate = "mine:evaluate"
base = "mine:BASE"
seeds = [4, 2]
x64 = true
dims = { path = ["step"] }
[zipped.pair]
a = [1.0, 2.0]
b = { linspace = [0.0, 1.0, 2] }
"""


def test_the_dynamics_study_by_name(tmp_path):
    (tmp_path / "spec.toml").write_text(DYNAMICS)
    assert cli.main(["sweep", str(tmp_path / "spec.toml"), "--store", str(tmp_path / "store")]) == 0
    space = td.variants(num_tokens=[3]) * td.grid({"dynamics.attract.temperature": np.geomspace(0.5, 2.0, 3)})
    base = td.with_values(BASE, {"data.noise": 0.3})
    expected = td.sweep(evaluate_native, base, space, seeds=3, key=jax.random.key(5))
    found = td.open_sweep(tmp_path / "store").load()
    xarray.testing.assert_identical(found.drop_attrs(), expected.drop_attrs())


def test_a_module_of_ones_own_and_what_info_says(tmp_path, monkeypatch, capsys):
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "spec.toml").write_text(OWN)
    done = subprocess.run(
        [sys.executable, "-m", "tokdyn", "sweep", "spec.toml", "--store", "store"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "TERM": "dumb"},
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "store\n", "")
    found = td.open_sweep(tmp_path / "store").load()
    assert found.x.dtype == np.float64
    np.testing.assert_array_equal(found.seed, [4, 2])
    np.testing.assert_array_equal(found.path.sel(seed=2), [[0.0, 1.0], [0.0, 2.0]])
    np.testing.assert_array_equal(found.x.sel(seed=4), [1.0, 3.0])
    monkeypatch.chdir(tmp_path)
    assert cli.main(["info", "store"]) == 0
    assert "1 of 1 tasks" in capsys.readouterr().out
    assert cli.main(["sweep", "spec.toml", "--store", "store"]) == 2
    assert "store: expected a new place, or --resume to go on, got store" in capsys.readouterr().err
    monkeypatch.syspath_prepend(tmp_path)
    assert cli.main(["sweep", "spec.toml", "--store", "store", "--resume"]) == 0


def test_a_dry_run_writes_nothing(tmp_path, capsys):
    (tmp_path / "spec.toml").write_text(DYNAMICS)
    words = ["sweep", str(tmp_path / "spec.toml"), "--store", str(tmp_path / "store"), "--dry-run"]
    assert cli.main(words) == 0
    assert "9 runs" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["spec.toml"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("evaluate = ", r"spec: expected a TOML file, got .*spec\.toml \("),
        ("evaluate = 'x'", "evaluate: expected module:function, or one of dynamics, got 'x'"),
        ("evaluate = 'nowhere:f'", "base: expected module:NAME of the pytree"),
        ("evaluate = 'nowhere:f'\nbase = 'nowhere:B'", "evaluate: expected an importable module:name, got 'nowhere:f'"),
        ("evaluate = 'dynamics'\nbase = 'a:b'", "base: expected no base beside evaluate = 'dynamics'"),
        ("evaluate = 'dynamics'\ncolour = 1", "spec: expected one of 'evaluate', .* got 'colour'"),
        ("evaluate = 'dynamics'\ngrid = 3", "grid: expected a table, got 3"),
        ("evaluate = 'dynamics'\nkey = 'x'", "key: expected a whole number, got 'x'"),
        ("evaluate = 'dynamics'\n[set]\n'data.nose' = 1", "'data.nose'; did you mean 'data.noise'"),
        (
            "evaluate = 'dynamics'\n[grid]\n'data.noise' = {log = [1]}",
            r"data\.noise: expected a list of numbers",
        ),
        (
            "evaluate = 'dynamics'\n[grid]\n'data.noise' = {linspace = ['a', 1]}",
            r"data\.noise: expected arguments",
        ),
        ("evaluate = 'dynamics'\n[sampled]\n'data.noise' = {uniform = [0, 1]}", "sampled: expected num_samples"),
        (
            "evaluate = 'dynamics'\n[sampled]\nnum_samples = 2\n'data.noise' = 3",
            r"expected one of uniform",
        ),
    ],
)
def test_bad_files_get_a_sentence(tmp_path, text, sentence):
    (tmp_path / "spec.toml").write_text(text)
    with pytest.raises(ValueError, match=sentence):
        spec.read(tmp_path / "spec.toml", {"dynamics": (evaluate_native, BASE)})


def test_what_the_guide_shows_runs(tmp_path, monkeypatch):
    """The first Python block and the file of docs/sweeps.md, with two seeds instead of a hundred."""
    guide = (Path(__file__).parents[2] / "docs" / "sweeps.md").read_text()
    monkeypatch.chdir(tmp_path)
    block = re.search(r"```python\n(.*?)```", guide, re.S).group(1)
    names = {}
    exec(block.replace("seeds=100", "seeds=2").replace("progress=True", "progress=False"), names)
    assert dict(names["dataset"].sizes) == {"dynamics.attract.temperature": 40, "noise": 3, "seed": 2}
    (tmp_path / "spec.toml").write_text(re.search(r"```toml\n(.*?)```", guide, re.S).group(1))
    read = spec.read("spec.toml", {"dynamics": (evaluate_native, BASE)})
    assert (read.space.num_cells, read.seeds) == (120, 100)
