"""The scikit-learn style clusterer."""

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
    with pytest.raises(ValueError, match="seed: expected a"):
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
