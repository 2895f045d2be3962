"""The scikit-learn style clusterer."""

import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.metrics import adjusted_rand_score

import tokdyn as td

RNG = np.random.default_rng(0)
LABELS = np.repeat(np.arange(3), 40)
X = np.array([[0, 0], [6, 0], [0, 6]])[LABELS] + RNG.normal(0, 0.5, (120, 2))


def test_recovers_separated_clusters_and_predicts_them():
    model = td.TokenClustering(num_tokens=3).fit(X)
    assert adjusted_rand_score(LABELS, model.labels_) == 1.0
    np.testing.assert_array_equal(model.predict(X), model.labels_)
    np.testing.assert_allclose(model.transform(X), model.assignment_, atol=1e-5)
    assert model.status_ is td.Status.CONVERGED
    assert adjusted_rand_score(LABELS, td.TokenClustering(num_tokens=3).fit_predict((X * 100).astype(int))) == 1.0


def test_is_the_same_for_one_seed_and_better_with_more_starts():
    one, again = (td.TokenClustering(num_tokens=3, random_state=4).fit(X).tokens_ for _ in range(2))
    np.testing.assert_array_equal(one, again)
    few = [td.TokenClustering(num_tokens=3, num_starts=1, random_state=seed).fit(X).inertia_ for seed in range(6)]
    many = [td.TokenClustering(num_tokens=3, num_starts=20, random_state=seed).fit(X).inertia_ for seed in range(6)]
    assert max(many) < max(few)


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_the_default_temperature_follows_the_features(scale):
    """Temperature 1 is a thousand million million times too hot for the first of these, and ice for the last."""
    model = td.TokenClustering(num_tokens=3, tol=1e-4 * scale).fit(X * scale)
    assert adjusted_rand_score(LABELS, model.labels_) == 1.0
    expected = td.theory.automatic_temperature((X * scale).astype(np.float32), num_tokens=3)
    assert model.temperature_ == pytest.approx(expected, rel=1e-6)
    np.testing.assert_allclose(model.transform(X * scale), model.assignment_, atol=1e-5)
    assert td.TokenClustering(num_tokens=3, temperature=0.3).fit(X).temperature_ == 0.3


def test_the_automatic_temperature_of_degenerate_features():
    with pytest.warns(td.CollapseWarning, match="only 1 different point for 3 tokens"):
        constant = td.TokenClustering(num_tokens=3).fit(np.full((20, 2), 7.0))
    assert constant.temperature_ == 0.0
    assert constant.labels_.max() == 0
    column = td.TokenClustering(num_tokens=2).fit(X[:80, :1])
    assert adjusted_rand_score(LABELS[:80], column.labels_) == 1.0
    with pytest.raises(ValueError, match="temperature: expected a number of at least 0, or 'auto', got 'warm'"):
        td.TokenClustering(num_tokens=3, temperature="warm").fit(X)


def test_a_worthless_answer_is_said_to_be_one():
    """Features of unit norm at temperature 1: labels of 8 tokens at one point, CONVERGED."""
    rows = np.random.default_rng(0).normal(size=(120, 40))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    with pytest.warns(td.CollapseWarning, match=r"1 of 8 tokens is distinct\): use about 0.0") as caught:
        model = td.TokenClustering(temperature=1.0, num_starts=2).fit(rows)
    assert len(caught) == 1
    assert model.status_ is td.Status.CONVERGED
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        automatic = td.TokenClustering(num_starts=2).fit(rows)
    assert f"{automatic.temperature_:.3g}" in str(caught[0].message)
    assert len(np.unique(automatic.tokens_.round(3), axis=0)) == 8


def test_warnings_of_merged_tokens_and_of_a_dynamics_of_ones_own():
    with pytest.warns(td.CollapseWarning, match="Only 3 of 6 tokens are distinct: .* or num_tokens=3"):
        td.TokenClustering(num_tokens=6, temperature=3.0).fit(X)
    with pytest.warns(td.CollapseWarning, match="times the critical temperature"):
        model = td.TokenClustering(num_tokens=3, dynamics=td.catalog.soft_kmeans(temperature=100.0)).fit(X)
    assert model.temperature_ is None
    with pytest.warns(td.CollapseWarning, match="Tolerance 0.0001 is above a hundredth of the features' spread"):
        td.TokenClustering(num_tokens=3).fit(X * 1e-9)


def test_sklearn_can_clone_it():
    model = td.TokenClustering(num_tokens=5, temperature=0.5)
    assert clone(model).get_params() == model.get_params()
    assert model.set_params(tol=1e-2).tol == 1e-2
    with pytest.raises(ValueError, match="params: expected names among num_tokens, temperature"):
        model.set_params(n_clusters=3)


def test_sklearn_can_search_and_chain_it():
    from sklearn.base import is_clusterer
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    search = GridSearchCV(td.TokenClustering(num_starts=5), {"num_tokens": [1, 3]}, cv=2).fit(X)
    assert search.best_params_ == {"num_tokens": 3}
    pipeline = make_pipeline(StandardScaler(), td.TokenClustering(num_tokens=3, temperature=0.1)).fit(X)
    assert adjusted_rand_score(LABELS, pipeline.predict(X)) == 1.0
    assert is_clusterer(td.TokenClustering())


def test_transform_is_the_assignment_for_any_dynamics():
    annealed = td.catalog.annealed(start=20.0, end=0.5, num_steps=10)
    model = td.TokenClustering(num_tokens=3, dynamics=annealed).fit(X)
    np.testing.assert_allclose(model.transform(X), model.assignment_, atol=1e-5)


@pytest.mark.parametrize("spread", [1e3, 1e4])
def test_widely_spread_features_converge_in_float32(spread):
    """Products of such numbers round to more than the temperature; differences do not."""
    model = td.TokenClustering(num_tokens=3, temperature=0.5, tol=1e-3 * spread / 100).fit(X + spread * LABELS[:, None])
    assert model.status_ is td.Status.CONVERGED
    assert adjusted_rand_score(LABELS, model.labels_) == 1.0


@pytest.mark.parametrize("random_state", [None, np.random.RandomState(0)])
def test_random_state_in_sklearns_ways(random_state):
    assert td.TokenClustering(num_tokens=3, random_state=random_state).fit(X).labels_.shape == (120,)


@pytest.mark.parametrize("random_state", [-1, 2**32, 1.5, "x"])
def test_bad_random_state(random_state):
    with pytest.raises(ValueError, match="random_state: expected a"):
        td.TokenClustering(num_tokens=3, random_state=random_state).fit(X)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (X[:, 0], r"X: expected numbers \[N, D\], got shape \(120,\)"),
        (X.astype(str), r"X: expected numbers \[N, D\]"),
        (np.where(X > 5, np.nan, X), "X: expected finite numbers, got infinite or NaN entries"),
        (X[:2], "num_tokens: expected at most the number of features, 2, got 8"),
    ],
)
def test_bad_data_gets_a_sentence(data, sentence):
    with pytest.raises(ValueError, match=sentence):
        td.TokenClustering().fit(data)


def test_predict_before_fit_and_with_other_columns():
    with pytest.raises(ValueError, match="self: expected a fitted TokenClustering"):
        td.TokenClustering().predict(X)
    with pytest.raises(ValueError, match="X: expected 2 columns, as in fit, got 1"):
        td.TokenClustering(num_tokens=3).fit(X).predict(X[:, :1])


def test_exploding_dynamics_are_reported():
    dynamics = td.compose(attract=td.attraction(temperature=1.0), inertia=td.inertia(momentum=1e9))
    with pytest.raises(ValueError, match="dynamics: expected one whose tokens stay finite"):
        td.TokenClustering(num_tokens=3, dynamics=dynamics).fit(X)
