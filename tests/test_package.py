"""The package as a thing that is installed, imported and cited."""

import importlib.metadata
import re
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tokdyn as td
from tokdyn import claims, environment

ROOT = Path(__file__).parents[1]


def test_version_is_in_one_place():
    assert importlib.metadata.version("tokdyn") == td.__version__
    assert re.search(rf"^version: {re.escape(td.__version__)}$", (ROOT / "CITATION.cff").read_text(), re.M)
    headings = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert td.__version__ in headings[:2]


def test_every_public_name_loads_and_is_documented():
    for name in td.__all__:
        assert getattr(td, name).__doc__, name
    assert set(td.__all__) <= set(dir(td))
    with pytest.raises(AttributeError, match="no attribute 'attractoin'"):
        _ = td.attractoin


def test_excluded_jax_is_refused_in_one_sentence(monkeypatch):
    real = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.10.2" if name == "jaxlib" else real(name))
    with pytest.raises(ImportError, match=r"tokdyn refuses jaxlib 0\.10\.2 because it returns silently wrong numbers"):
        environment.refuse_excluded_jax()


def test_exclusions_are_the_same_for_pip():
    text = (ROOT / "pyproject.toml").read_text()
    for version in environment.EXCLUDED_JAX:
        assert text.count(f"!={version}") == 2, f"jax and jaxlib {version} must be excluded in pyproject.toml"


@pytest.mark.parametrize(("dtype", "rows"), [(jnp.float32, 32_769), (jnp.float64, 16_385)])
def test_jaxlib_multiplies_matrices_and_vectors_rightly(dtype, rows):
    """jax issue 39103: jaxlib 0.10.2 returns 1065369600 for the last float32 row, and no error."""
    with jax.enable_x64(dtype == jnp.float64):
        numbers = jnp.stack([jnp.arange(rows, dtype=dtype), jnp.zeros(rows, dtype), jnp.zeros(rows, dtype)], axis=1)
        identity = jnp.eye(3, dtype=dtype)
        squares = jax.jit(jax.vmap(lambda row: jnp.sum((identity @ row) ** 2)))(numbers)
        np.testing.assert_allclose(np.asarray(squares), np.arange(rows, dtype=np.float64) ** 2, rtol=1e-6)


def seconds(statement):
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], check=True)
    return time.perf_counter() - start


def test_import_costs_little_more_than_jax():
    """At most 0.3 s; the least of three interleaved processes each, since the machine may be busy."""
    times = [(seconds("import jax"), seconds("import tokdyn")) for _ in range(3)]
    assert min(ours for _, ours in times) < min(jax for jax, _ in times) + 0.3


def test_import_touches_no_global_state():
    """Import starts no backend, prints nothing, changes no JAX setting, and draws in no heavy package."""
    script = (
        "import jax, sys; before = dict(jax.config.values); import tokdyn, tokdyn.dynamics, tokdyn.solve;"
        "changed = {k for k, v in before.items() if jax.config.values[k] != v}; assert not changed, changed;"
        "from jax._src import xla_bridge; assert not xla_bridge._backends, 'a backend was started';"
        "heavy = {'matplotlib', 'pandas', 'xarray', 'zarr', 'flax', 'tyro', 'sklearn'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""


def test_a_study_loads_only_what_it_runs():
    """The study of token dynamics needs neither the reasoners, with flax behind them, nor a figure."""
    script = (
        "import sys, tokdyn.studies.dynamics;"
        "heavy = {'matplotlib', 'flax', 'tokdyn.reasoning', 'tokdyn.autoencoder'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_compile_cache_keeps_programs(tmp_path):
    script = (
        "import sys, tokdyn as td, jax;"
        "td.enable_compile_cache(sys.argv[1]);"
        "jax.jit(lambda x: x * 2 + 1)(3.0).block_until_ready()"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "cache")], check=True)
    assert list((tmp_path / "cache").glob("programs-*/*-cache"))
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="folder: expected a place where compiled programs can be kept"):
        td.enable_compile_cache(tmp_path / "file" / "cache")


def test_metadata_names_versions_and_devices():
    described = environment.describe()
    assert described["versions"]["jax"] == jax.__version__
    assert described["devices"]


def test_the_readme_example_runs(capsys):
    code = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S).group(1)
    exec(compile(code, "README.md", "exec"), {})
    steps, converged = map(float, capsys.readouterr().out.split())
    assert 1 <= steps <= 100
    assert 0 <= converged <= 1


def test_the_readme_counts_the_verdicts_and_names_the_studies():
    text = (ROOT / "README.md").read_text()
    words = " ".join(text.split())
    verdicts = Counter(one.verdict for one in claims.load())
    assert f"each of their {verdicts.total()} claims" in words
    for verdict, count in verdicts.items():
        assert f"{count} {verdict}" in words, (verdict, count)
    for name in td.studies.OURS:
        assert f"\n| `{name}` | " in text, name
