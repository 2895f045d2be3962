"""``TokenMap`` as a transformer of scikit-learn, and without scikit-learn."""

import pickle
import subprocess
import sys

import jax
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_checks

import tokdyn as td
from tokdyn import geometry

RNG = np.random.default_rng(0)
LABELS = np.repeat(np.arange(3), 20)
X = (np.array([[0, 0, 0], [6, 0, 0], [0, 6, 0]])[LABELS] + RNG.normal(0, 0.5, (60, 3))).astype(np.float32)
TABLE = pd.DataFrame(X, columns=["width", "height", "depth"], index=np.arange(60) * 2)


def model(**options):
    """The same program for all tests that use ``X``."""
    return td.TokenMap(**{"num_neighbours": 5, "num_steps": 100, **options})


@pytest.fixture(scope="module")
def fitted():
    return model().fit(X)


def test_it_is_the_trained_map(fitted):
    of = geometry.train_map(X, key=jax.random.key(np.uint32(0)), num_neighbours=5, num_steps=100)
    np.testing.assert_array_equal(fitted.embedding_, of.variables["params"])
    np.testing.assert_array_equal(fitted.transform(X), of(X))
    np.testing.assert_array_equal(fitted.losses_, of.losses)
    np.testing.assert_allclose(fitted.transform(X), fitted.embedding_, atol=1e-4)


def test_seeds(fitted):
    np.testing.assert_array_equal(model().fit_transform(X), fitted.embedding_)
    others = [model(random_state=state) for state in (1, np.random.default_rng(0), np.random.RandomState(0))]
    for other in others:
        assert not np.array_equal(other.fit(X).embedding_, fitted.embedding_)
    with pytest.raises(ValueError, match="random_state: expected a static integer of at most 4,294,967,295"):
        model(random_state=2**32).fit(X)


def test_a_table_goes_in_and_a_table_comes_out(fitted):
    pipeline = make_pipeline(StandardScaler(), model()).set_output(transform="pandas")
    found = pipeline.fit_transform(TABLE)
    assert list(found) == ["tokenmap0", "tokenmap1"]
    assert found.index.equals(TABLE.index)
    named = model().fit(TABLE)
    np.testing.assert_array_equal(named.embedding_, fitted.embedding_)
    with pytest.raises(ValueError, match="feature names"):
        named.transform(TABLE[["height", "width", "depth"]])


def test_parameters_and_pickles(fitted):
    copy = clone(model(dimensions=3, metric="cosine"))
    assert (copy.dimensions, copy.metric, copy.num_steps) == (3, "cosine", 100)
    assert repr(copy) == "TokenMap(dimensions=3, metric='cosine', num_neighbours=5, num_steps=100)"
    back = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(back.transform(X[:7]), fitted.transform(X[:7]))


def test_blocks_do_not_matter(fitted, monkeypatch):
    whole = fitted.transform(X)
    monkeypatch.setattr("tokdyn.geometry.token_map._DISTANCES", 60 * 30)
    np.testing.assert_allclose(fitted.transform(X), whole, atol=1e-6)


def test_neighbours_of_another_library(fitted):
    given = geometry.nearest_neighbours(X, 5)
    np.testing.assert_array_equal(model().fit(X, neighbours=given).embedding_, fitted.embedding_)
    np.testing.assert_array_equal(model().fit_transform(X, neighbours=given), fitted.embedding_)


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda rows: rows[:5], {}, "X: expected more than num_neighbours = 5 distinct rows, got 5 "),
        (lambda rows: np.ones_like(rows), {}, "X: expected more than num_neighbours = 5 distinct rows, got 1 "),
        (lambda rows: np.where(rows > 5, np.nan, rows), {}, "X: expected finite numbers"),
        (lambda rows: rows[:, 0], {}, r"X: expected numbers \[N, D\]"),
        (lambda rows: rows.astype(str), {}, r"X: expected numbers \[N, D\]"),
        (lambda rows: rows * (np.arange(60) != 7)[:, None], {"metric": "cosine"}, "X: expected rows .* got row 7 of z"),
        (lambda rows: rows, {"dimensions": 0}, "dimensions: expected a static integer of at least 1"),
        (lambda rows: rows, {"loss": "tsne"}, "loss: expected one of 'umap'"),
    ],
)
def test_bad_input_leaves_nothing_behind(change, options, message):
    one = model(**options)
    with pytest.raises(ValueError, match=message):
        one.fit(change(X))
    assert not [name for name in vars(one) if name.endswith("_")]
    with pytest.raises(NotFittedError, match="self: expected a fitted TokenMap"):
        one.transform(X)


def test_bad_new_features(fitted):
    with pytest.raises(ValueError, match="X: expected 3 columns, as in fit, got 2"):
        fitted.transform(X[:, :2])
    with pytest.raises(ValueError, match="X: expected finite numbers"):
        fitted.transform(X * np.nan)
    directed = model(metric="cosine").fit(X)
    with pytest.raises(ValueError, match="X: expected rows with a direction for cosines, got row 0 of zeros"):
        directed.transform(np.zeros((1, 3)))


WITHOUT = """
import sys
sys.modules["sklearn"] = None  # as if it were not installed
import pickle, numpy as np, tokdyn as td
X = np.load({features!r})
fitted = td.TokenMap(num_neighbours=5, num_steps=100).fit(X)
np.save({found!r}, fitted.transform(X))
print(repr(fitted), fitted.get_feature_names_out().tolist())
try:
    td.TokenMap().transform(X)
except ValueError as error:
    print(error)
"""


def test_without_scikit_learn(fitted, tmp_path):
    np.save(tmp_path / "X.npy", X)
    script = WITHOUT.format(features=str(tmp_path / "X.npy"), found=str(tmp_path / "found.npy"))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(np.load(tmp_path / "found.npy"), fitted.transform(X), atol=1e-4)
    assert done.stdout.startswith("TokenMap(num_neighbours=5, num_steps=100) ['tokenmap0', 'tokenmap1']")
    assert "self: expected a fitted TokenMap" in done.stdout


# The data of scikit-learn's checks have few rows, and every shape is a program.
@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"form": "network", "hidden": (8,)}, {"loss": "umap", "dimensions": 1}])
@pytest.mark.parametrize("x64", [False, True])
def test_all_checks_of_scikit_learn_hold(options, x64):
    with jax.enable_x64(x64):
        checks = estimator_checks.check_estimator(
            td.TokenMap(num_neighbours=3, num_steps=20, **options), on_skip=None, on_fail=None
        )
    assert {each["check_name"]: str(each["exception"]) for each in checks if each["status"] == "failed"} == {}
    # Asked of arrays of other libraries where a variable of the environment is set.
    assert {each["check_name"] for each in checks if each["status"] != "passed"} <= {"check_array_api_input"}


@pytest.mark.slow
def test_approximate_neighbours_are_nearly_all_of_the_exact_ones():
    pytest.importorskip("pynndescent", reason="no pynndescent here: pip install tokdyn[neighbours]")
    rows = np.random.default_rng(0).normal(size=(3000, 8))
    exact, found = (geometry.nearest_neighbours(rows, 10, search=way) for way in ("exact", "approximate"))
    common = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(exact.indices, found.indices, strict=True)])
    assert common > 0.95
    assert (np.diff(found.distances, axis=1) >= -1e-6).all()


def test_approximate_neighbours_without_their_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynndescent", None)
    with pytest.raises(
        ImportError, match=r'search: "approximate" needs pynndescent.*pip install "tokdyn\[neighbours\]"'
    ):
        geometry.nearest_neighbours(X, 5, search="approximate")
