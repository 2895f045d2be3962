"""``TokenClustering`` as an estimator of scikit-learn, and without scikit-learn."""

import json
import os
import pickle
import subprocess
import sys

import jax
import joblib
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import clone, is_clusterer
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_checks, get_tags
from sklearn.utils.validation import has_fit_parameter

import tokdyn as td

RNG = np.random.default_rng(0)
LABELS = np.repeat(np.arange(3), 20)
X = np.array([[0, 0], [6, 0], [0, 6]])[LABELS] + RNG.normal(0, 0.5, (60, 2))
TABLE = pd.DataFrame(X, columns=["width", "height"], index=np.arange(60) * 2)


def model(**options):
    """The same program for all tests that use ``X``."""
    return td.TokenClustering(**{"num_tokens": 3, "num_starts": 3, **options})


# What these ask is asked by others below, or by the fast ones with other shapes, each of which is a program.
LEFT_TO_THE_SLOW_TEST = {
    "check_fit_score_takes_y",
    "check_estimators_overwrite_params",
    "check_dont_overwrite_parameters",
    "check_estimators_fit_returns_self",
    "check_readonly_memmap_input",
    "check_positive_only_tag_during_fit",
    "check_n_features_in_after_fitting",
    "check_estimators_dtypes",
    "check_dtype_object",
    "check_estimators_nan_inf",
    "check_pipeline_consistency",
    "check_fit2d_1feature",
    "check_fit_idempotent",
    "check_fit_check_is_fitted",
}


def failures(estimator, left_out=frozenset()):
    """The checks of scikit-learn that do not hold, with what they say; none is expected to fail."""
    found = {}
    for copy, check in estimator_checks.estimator_checks_generator(estimator):
        if check.func.__name__ not in left_out:
            try:
                check(copy)
            except Exception as error:
                if type(error).__name__ != "SkipTest":  # arrays of other libraries: see the last test
                    found[check.func.__name__] = repr(error)
    return found


def test_checks_of_scikit_learn_hold():
    assert failures(td.TokenClustering(num_starts=3), LEFT_TO_THE_SLOW_TEST) == {}


@pytest.mark.filterwarnings("ignore:X .* feature names")  # what some of them provoke
@pytest.mark.parametrize(
    "check",
    [
        "set_output_transform_pandas",
        "dataframe_column_names_consistency",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in (
                "set_output_transform",
                "global_output_transform_pandas",
                "transformer_get_feature_names_out",
                "transformer_get_feature_names_out_pandas",
            )
        ),
    ],
)
def test_checks_of_names_and_tables_hold(check):
    """Of scikit-learn's own estimators only; not among those of ``check_estimator``."""
    getattr(estimator_checks, f"check_{check}")("TokenClustering", model(max_steps=5))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["default", "float64", "annealed", "repelled", "noisy", "other"])
def test_all_checks_of_scikit_learn_hold(name):
    noisy = td.compose(attract=td.attraction(temperature=0.5), noise=td.noise(scale=0.1))
    repelled = td.compose(
        attract=td.attraction(temperature=0.5), repel=td.repulsion(strength=0.05), inertia=td.inertia(momentum=0.5)
    )
    estimator = {
        "default": td.TokenClustering(),
        "float64": td.TokenClustering(),
        "annealed": td.TokenClustering(3, dynamics=td.catalog.annealed(start=20.0, end=0.5, num_steps=10)),
        "repelled": td.TokenClustering(4, dynamics=repelled),
        "noisy": td.TokenClustering(3, dynamics=noisy, max_steps=20),
        "other": td.TokenClustering(5, temperature=0.1, num_starts=1, tol=1e-2, max_steps=10, random_state=None),
    }[name]
    with jax.enable_x64(name == "float64"):
        assert failures(estimator) == {}


@pytest.mark.slow
def test_all_checks_hold_where_arrays_of_other_libraries_are_dispatched():
    script = (
        "import tokdyn as td; from sklearn.utils.estimator_checks import check_estimator;"
        "checks = check_estimator(td.TokenClustering(), on_skip=None);"
        "assert {check['status'] for check in checks} == {'passed'}, checks"
    )
    environment = {**os.environ, "SCIPY_ARRAY_API": "1"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr


class TestTables:
    def test_a_table_goes_in_and_a_table_comes_out(self):
        pipeline = make_pipeline(StandardScaler(), model(temperature=0.1)).set_output(transform="pandas")
        table = pipeline.fit_transform(TABLE)
        assert list(table) == list(pipeline.get_feature_names_out()) == [f"tokenclustering{k}" for k in range(3)]
        assert table.index.equals(TABLE.index)
        plain = make_pipeline(StandardScaler(), model(temperature=0.1)).fit(X)
        np.testing.assert_array_equal(table, plain.fit_transform(X))
        np.testing.assert_array_equal(pipeline.transform(TABLE), plain.transform(X))
        np.testing.assert_array_equal(pipeline.predict(TABLE), plain.predict(X))
        plain = model().set_output(transform="default").fit(TABLE)
        assert isinstance(plain.transform(TABLE), np.ndarray)

    def test_names_are_those_of_the_last_fit(self):
        fitted = model().fit(TABLE)
        assert fitted.feature_names_in_.tolist() == ["width", "height"]
        with pytest.raises(ValueError, match="The feature names should match those that were passed during fit"):
            fitted.predict(TABLE.rename(columns={"width": "depth"}))
        with pytest.warns(UserWarning, match="X does not have valid feature names"):
            fitted.transform(X)
        assert not hasattr(fitted.fit(X), "feature_names_in_")
        assert fitted.fit(X[:, :1]).n_features_in_ == 1

    @pytest.mark.parametrize("kind", ["list", "object", "nullable", "float32", "fortran", "read-only", "memory-mapped"])
    def test_any_way_to_hold_numbers(self, kind, tmp_path):
        given = {
            "list": lambda: X.tolist(),
            "object": lambda: X.astype(object),
            "nullable": lambda: TABLE.astype("Float64"),
            "float32": lambda: X.astype(np.float32),
            "fortran": lambda: np.asfortranarray(X),
            "read-only": lambda: np.frombuffer(X.tobytes()).reshape(X.shape),
            "memory-mapped": lambda: joblib.load(joblib.dump(X, tmp_path / "x")[0], mmap_mode="r"),
        }[kind]()
        fitted = model().fit(given)
        np.testing.assert_array_equal(fitted.labels_, model().fit(X).labels_)
        np.testing.assert_array_equal(fitted.predict(given), fitted.labels_)

    def test_short_floats_count_as_float32_and_flags_as_numbers(self):
        assert model().fit(X.astype(np.float16)).fit_transform(X.astype(np.float16)).dtype == np.float32
        assert model(temperature=0.01).fit(X > 3).tokens_.max() == 1


class TestPromises:
    def test_tags(self):
        tags = get_tags(model())
        assert is_clusterer(model())
        assert not tags.input_tags.sparse
        assert not tags.target_tags.required
        assert tags.transformer_tags.preserves_dtype == ["float32"]
        with jax.enable_x64(True):
            assert get_tags(model()).transformer_tags.preserves_dtype == ["float32", "float64"]

    def test_what_is_computed_in_float32_says_so(self):
        """float64 only where jax_enable_x64 is on: nothing pretends to digits that were never computed."""
        for dtype in (np.float32, np.float64):
            assert model().fit(X.astype(dtype)).transform(X.astype(dtype)).dtype == np.float32
            with jax.enable_x64(True):
                fitted = model().fit(X.astype(dtype))
                assert fitted.transform(X.astype(dtype)).dtype == fitted.tokens_.dtype == dtype

    def test_representation_shows_what_is_not_default(self):
        assert repr(td.TokenClustering()) == "TokenClustering()"
        assert repr(td.TokenClustering(num_tokens=3, tol=1e-4)) == "TokenClustering(num_tokens=3)"
        assert "temperature" in td.TokenClustering(temperature=0.5)._repr_html_()

    def test_weights_are_not_taken(self):
        assert not has_fit_parameter(model(), "sample_weight")
        with pytest.raises(TypeError, match="sample_weight"):
            model().fit(X, sample_weight=np.ones(60))

    def test_fit_changes_no_parameter_and_can_be_repeated(self):
        fitted = model(random_state=5, dynamics=td.catalog.annealed(start=20.0, end=0.5, num_steps=10))
        before = {name: repr(value) for name, value in fitted.get_params().items()}
        first = fitted.fit(X).tokens_
        np.testing.assert_array_equal(fitted.fit(X[::-1]).fit(X).tokens_, first)
        assert {name: repr(value) for name, value in fitted.get_params().items()} == before
        np.testing.assert_array_equal(clone(fitted).fit(X).tokens_, first)

    @pytest.mark.parametrize("make", [np.random.RandomState, np.random.default_rng])
    def test_generators_are_reproducible_and_go_on(self, make):
        def tokens(random_state, times):
            return [model(num_tokens=12, num_starts=1, random_state=random_state).fit(X).tokens_ for _ in range(times)]

        first, again = tokens(make(3), 3), tokens(make(3), 3)
        np.testing.assert_array_equal(first, again)
        assert not all(np.array_equal(first[0], other) for other in first[1:])

    def test_labels_have_no_gaps(self):
        """Tokens that own no feature come last, whichever they were."""
        for seed in range(8):
            fitted = model(num_tokens=12, num_starts=1, random_state=seed, temperature=3.0).fit(X)
            np.testing.assert_array_equal(np.unique(fitted.labels_), np.arange(fitted.labels_.max() + 1))
            np.testing.assert_array_equal(fitted.assignment_.argmax(axis=1), fitted.labels_)
            np.testing.assert_allclose(fitted.transform(X), fitted.assignment_, atol=1e-5)

    def test_results_are_the_users_own(self):
        fitted = model().fit(X)
        for array in (fitted.labels_, fitted.tokens_, fitted.assignment_, fitted.transform(X), fitted.predict(X)):
            array[0] = 0  # not a view of what JAX holds
        assert fitted.fit_transform(X) is not fitted.assignment_

    def test_nearest_is_decided_by_differences_in_float64(self):
        """At 1e6 float32 has steps of 1/16: a feature that is rounded before it is compared may go astray."""
        fitted = model(temperature=0.01).fit(1e6 + np.repeat([[0.0], [1.0], [9.0]], 20, axis=0))
        near, far = 1e6 + 0.49, 1e6 + 0.51
        assert (fitted.predict([[near], [far]]) == fitted.predict([[1e6], [1e6 + 1]])).all()
        assert fitted.score([[near], [far]]) == pytest.approx(-2 * 0.49**2, rel=1e-6)


class TestLeaving:
    def test_pickled_and_saved(self, tmp_path):
        fitted = model(dynamics=td.catalog.annealed(start=20.0, end=0.5, num_steps=10)).fit(TABLE)
        joblib.dump(fitted, tmp_path / "model")
        for copy in (pickle.loads(pickle.dumps(fitted)), joblib.load(tmp_path / "model", mmap_mode="r")):
            np.testing.assert_array_equal(copy.transform(TABLE), fitted.transform(TABLE))
            np.testing.assert_array_equal(copy.predict(TABLE), fitted.labels_)
            assert copy.status_ is fitted.status_
            assert repr(copy) == repr(fitted)

    def test_in_threads(self):
        seeds = range(4)
        calls = [joblib.delayed(lambda seed: model(random_state=seed).fit(X).tokens_)(seed) for seed in seeds]
        for tokens, seed in zip(joblib.Parallel(n_jobs=2, prefer="threads")(calls), seeds, strict=True):
            np.testing.assert_array_equal(tokens, model(random_state=seed).fit(X).tokens_)

    @pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
    def test_a_search_over_temperature(self, jobs):
        """Too hot a softmax merges all tokens; as one it is the mean, the worst score."""
        pipeline = make_pipeline(StandardScaler(), model()).set_output(transform="pandas")
        temperatures = {"tokenclustering__temperature": [0.05, 100.0]}
        search = GridSearchCV(pipeline, temperatures, cv=2, n_jobs=jobs).fit(TABLE.sample(frac=1, random_state=0))
        assert search.best_params_ == {"tokenclustering__temperature": 0.05}
        assert search.best_estimator_.transform(TABLE).shape == (60, 3)


REFUSED = {
    "sparse": (TypeError, "X: expected a dense array of numbers .* got a csr_array .sparse data was passed"),
    "complex": (ValueError, "X: expected real numbers .* Complex data not supported"),
    "words": (ValueError, "X: expected numbers .* got shape .* and dtype <U"),
    "object": (TypeError, "X: expected numbers .* float.. argument must be a string or a real number, not 'dict'"),
    "ragged": (ValueError, "X: expected numbers .* inhomogeneous"),
    "one axis": (ValueError, r"X: expected numbers .* got shape \(2,\) .* Reshape your data"),
    "no row": (ValueError, "X: expected at least one row .* 0 sample.s. .shape=.0, 2.. while a minimum of 1"),
    "no column": (ValueError, "X: expected at least one row .* 0 feature.s. .shape=.3, 0.. while a minimum of 1"),
    "nan": (ValueError, "X: expected finite numbers, got infinite or NaN entries"),
    "huge": (ValueError, r"X: expected numbers up to 1e\+15 in size \(in float32\), got 1e\+30"),
    "one sample": (ValueError, r"num_tokens: expected at most the number of features, 1, got 3 \(n_samples=1\)"),
}


def refused(name):
    return {
        "sparse": lambda: sparse.csr_array(X),
        "complex": lambda: X + 1j,
        "words": lambda: X.astype(str),
        "object": lambda: np.array([[1.0, {}]], object),
        "ragged": lambda: [[1.0, 2.0], [3.0]],
        "one axis": lambda: X[0],
        "no row": lambda: X[:0],
        "no column": lambda: X[:3, :0],
        "nan": lambda: np.where(X > 5, np.nan, X),
        "huge": lambda: np.where(X > 5, -1e30, X),
        "one sample": lambda: X[:1],
    }[name]()


@pytest.mark.parametrize("name", REFUSED)
def test_bad_input_is_refused_in_words_that_both_expect(name):
    kind, sentence = REFUSED[name]
    with pytest.raises(kind, match=sentence):
        model().fit(refused(name))


@pytest.mark.parametrize("option", [{"num_tokens": 3.0}, {"num_tokens": [3]}, {"max_steps": 10.0}, {"num_starts": 0}])
def test_parameters_are_checked_at_fit(option):
    estimator = model(**option)
    with pytest.raises(ValueError, match=f"{next(iter(option))}: expected a static integer of at least 1, got"):
        estimator.fit(X)


@pytest.mark.parametrize("method", ["predict", "transform", "score"])
def test_before_fit_and_with_other_columns(method):
    with pytest.raises(NotFittedError, match="self: expected a fitted TokenClustering"):
        getattr(model(), method)(X)
    with pytest.raises(ValueError, match="X: expected 2 columns, as in fit, got 1 .X has 1 features, but Token"):
        getattr(model().fit(X), method)(X[:, :1])


WITHOUT = """
import sys
sys.modules["sklearn"] = None  # as if it were not installed
sys.path.insert(0, {tests!r})
import json, pickle
import tokdyn as td
given, folder = pickle.load(open({given!r}, "rb")), {folder!r}
fitted = td.TokenClustering(num_tokens=3, num_starts=3).fit(given["table"])
pickle.dump(fitted, open(folder + "/fitted", "wb"))
said = {{}}
for name, bad in given["refused"].items():
    try:
        fitted.fit(bad)
    except Exception as error:
        said[name] = [type(error).__name__, str(error)]
try:
    td.TokenClustering().transform(given["table"])
except ValueError as error:
    said["before fit"] = str(error)
try:
    td.TokenClustering().set_params(n_clusters=3)
except ValueError as error:
    said["params"] = str(error)
other = given["fitted"]
print(json.dumps(dict(
    said=said, repr=repr(fitted), params=other.get_params(), names=other.get_feature_names_out().tolist(),
    tol=td.TokenClustering().set_params(tol=0.5).tol, has_output=hasattr(fitted, "set_output"),
    predicted=other.predict(given["table"]).tolist(), score=other.score(given["table"]),
    assignment=other.fit_transform(given["table"]).tolist(),
)))
"""


def test_without_scikit_learn(tmp_path):
    """The same numbers, sentences and pickles."""
    fitted = model().fit(TABLE)
    given = {"table": TABLE, "refused": {name: refused(name) for name in REFUSED}, "fitted": fitted}
    (tmp_path / "given").write_bytes(pickle.dumps(given))
    script = WITHOUT.format(tests=os.path.dirname(__file__), given=str(tmp_path / "given"), folder=str(tmp_path))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    got = json.loads(done.stdout)
    for name, (kind, _) in REFUSED.items():
        with pytest.raises(kind) as caught:
            model().fit(refused(name))
        assert got["said"][name] == [kind.__name__, str(caught.value)]
    assert got["said"]["before fit"].startswith("self: expected a fitted TokenClustering")
    assert got["said"]["params"].startswith("params: expected names among num_tokens, temperature")
    assert got["repr"] == "TokenClustering(num_starts=3, num_tokens=3)" == repr(fitted)
    assert got["params"] == fitted.get_params()
    assert got["names"] == fitted.get_feature_names_out().tolist()
    assert (got["tol"], got["has_output"]) == (0.5, False)
    assert got["predicted"] == fitted.labels_.tolist()
    assert got["score"] == fitted.score(TABLE)
    np.testing.assert_allclose(got["assignment"], fitted.assignment_, atol=1e-5)
    came_back = pickle.loads((tmp_path / "fitted").read_bytes())
    np.testing.assert_array_equal(came_back.predict(X), fitted.labels_)
    assert came_back.set_output(transform="pandas").transform(X).shape == (60, 3)


def test_running_a_file_does_not_import_it():
    """scikit-learn takes about as long to import as all the rest of ``tokdyn run``."""
    script = "import sys, tokdyn, tokdyn.studies.features; sys.exit('sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
