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
