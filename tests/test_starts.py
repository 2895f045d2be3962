"""Starts of tokens: their laws, against exact distributions, NumPy and scikit-learn."""

import functools
import itertools

import jax
import numpy as np
import pytest
from constant_keys import constant_key
from scipy import stats
from sklearn.cluster import kmeans_plusplus

import tokdyn as td
from tokdyn import starts

KEY = constant_key(0)
NAMES = sorted(starts.CATALOG)


@functools.partial(jax.jit, static_argnums=(0, 3, 5))
def drawn(name, seed, features, num_tokens, mask, num):
    keys = jax.random.split(jax.random.key(seed), num)
    return jax.vmap(lambda key: starts.CATALOG[name](key, features, num_tokens, mask=mask))(keys)


def many(name, features, num_tokens, mask=None, *, num=3, seed=1):
    """Tokens of that many keys `[num, K, D]`."""
    mask = np.ones(len(features), bool) if mask is None else mask
    return np.asarray(drawn(name, np.uint32(seed), features, num_tokens, mask, num))


def rows_of(tokens, features):
    """Which feature each token is `[..., K]`; every token must be one."""
    same = (tokens[..., None, :] == features).all(axis=-1)
    assert same.any(axis=-1).all()
    return same.argmax(axis=-1)


def squares(left, right):
    return ((np.asarray(left, float)[..., :, None, :] - np.asarray(right, float)) ** 2).sum(axis=-1)


def exact_pairs(features):
    """The probability of every ordered pair of rows that k-means++ draws, from its definition."""
    all_pairs = squares(features, features)
    return all_pairs / all_pairs.sum(axis=1, keepdims=True) / len(features)


def test_kmeans_plus_plus_draws_by_squared_distance():
    """The ordered pairs of 10,000 draws against their exact chances; chi-square at level 1e-4."""
    features = np.random.default_rng(3).normal(size=(5, 2)).astype(np.float32)
    rows = rows_of(many("kmeans++", features, 2, num=10_000), features)
    counts = np.zeros((5, 5))
    np.add.at(counts, tuple(rows.T), 1)
    expected = 10_000 * exact_pairs(features)
    assert np.diag(counts).sum() == 0
    off = ~np.eye(5, dtype=bool)
    assert stats.chisquare(counts[off], expected[off]).pvalue > 1e-4
    # The test sees a wrong law: chances by the distance instead of its square.
    wrong = np.sqrt(squares(features, features))
    wrong = 10_000 * wrong / wrong.sum(axis=1, keepdims=True) / 5
    assert stats.chisquare(counts[off], wrong[off]).pvalue < 1e-12


def test_every_feature_of_many_blocks_has_its_chance():
    """The first token is uniform over three blocks and a bit; 1/6 of the rows in each of 6 equal parts."""
    features = np.arange(3 * starts.BLOCK + 6, dtype=np.float32)[:, None]
    first = rows_of(many("kmeans++", features, 1, num=1200), features)[:, 0]
    counts = np.bincount(first * 6 // len(features), minlength=6)
    assert stats.chisquare(counts).pvalue > 1e-4


@pytest.mark.parametrize(("name", "trials"), [("kmeans++", 1), ("greedy_kmeans++", None)])
def test_costs_are_distributed_as_those_of_scikit_learn(name, trials):
    """Sums of squared distances of 400 draws each; two-sample Kolmogorov-Smirnov at level 1e-4."""
    generator = np.random.default_rng(0)
    features = (generator.uniform(-5, 5, (4, 6))[np.arange(60) % 4] + generator.normal(0, 0.8, (60, 6))).astype("f4")
    cost = lambda tokens: squares(features, tokens).min(axis=-1).sum(axis=-1)  # noqa: E731
    ours = [cost(tokens) for tokens in many(name, features, 4, num=400)]
    theirs = [cost(kmeans_plusplus(features, 4, random_state=i, n_local_trials=trials)[0]) for i in range(400)]
    assert stats.ks_2samp(ours, theirs).pvalue > 1e-4
    # Greedy is cheaper, so that the two cannot pass for each other.
    other = "greedy_kmeans++" if name == "kmeans++" else "kmeans++"
    assert stats.ks_2samp([cost(tokens) for tokens in many(other, features, 4, num=400)], theirs).pvalue < 1e-4


def test_farthest_point_is_the_greedy_traversal():
    features = np.random.default_rng(2).normal(size=(30, 3)).astype(np.float32)
    for tokens in many("farthest_point", features, 6, num=5):
        chosen = [rows_of(tokens, features)[0]]
        while len(chosen) < 6:
            chosen.append(squares(features, features[chosen]).min(axis=1).argmax())
        assert rows_of(tokens, features).tolist() == chosen


@pytest.mark.parametrize("seed", range(3))
def test_farthest_point_is_within_twice_the_best_radius(seed):
    """Gonzalez' guarantee against all 3-subsets of 12 features, and every first token."""
    features = np.random.default_rng(seed).standard_t(2, size=(12, 2)).astype(np.float32)
    between = np.sqrt(squares(features, features))
    best = min(between[:, list(some)].min(axis=1).max() for some in itertools.combinations(range(12), 3))
    for tokens in many("farthest_point", features, 3, num=20):
        assert np.sqrt(squares(features, tokens)).min(axis=-1).max() <= 2 * best * (1 + 1e-6)


def test_gaussian_has_the_features_mean_and_variances():
    """8,000 tokens: z-tests of means and variances per coordinate, at 4.5 standard errors."""
    generator = np.random.default_rng(4)
    features = (generator.exponential(size=(50, 3)) * [1.0, 10.0, 0.1] + 100.0).astype(np.float32)
    tokens = many("gaussian", features, 4, num=2000).reshape(-1, 3).astype(float)
    mean, deviation = features.mean(axis=0, dtype=float), features.std(axis=0, dtype=float)
    standard = (tokens - mean) / deviation
    assert np.all(np.abs(standard.mean(axis=0)) < 4.5 / np.sqrt(8000))
    assert np.all(np.abs((standard**2).mean(axis=0) - 1) < 4.5 * np.sqrt(2 / 8000))
    assert np.all(np.abs(np.corrcoef(standard.T)[np.triu_indices(3, 1)]) < 4.5 / np.sqrt(8000))


@pytest.mark.parametrize("name", NAMES)
def test_masked_and_padded_features_change_nothing(name):
    features = np.random.default_rng(5).normal(size=(30, 3)).astype(np.float32)
    whole = many(name, features, 6)
    for filler in (0.0, 1e6, np.nan):
        padded = np.concatenate([features, np.full((7, 3), filler, np.float32)])
        others = many(name, padded, 6, np.arange(37) < 30)
        if name == "gaussian":  # sums over more rows round differently
            np.testing.assert_allclose(others, whole, rtol=0, atol=1e-5)
        else:
            np.testing.assert_array_equal(others, whole)


@pytest.mark.parametrize("name", NAMES)
def test_fewer_distinct_features_than_tokens(name):
    """Every distinct one is a token, if it is chosen by distance; the rest repeat features, and nothing is NaN."""
    features = np.repeat(np.array([[1.0, 2.0, 0.0], [4.0, 0.0, 0.0]], np.float32), 15, axis=0)
    tokens = many(name, features, 6)
    assert np.isfinite(tokens).all()
    if name != "gaussian":
        rows = rows_of(tokens, features) // 15
        if name != "features":
            assert (np.sort(rows[:, :2]) == [0, 1]).all()
    if name == "farthest_point":
        assert (rows[:, 2:] == 0).all()  # the first feature
    nothing = many(name, np.full((30, 3), np.nan, np.float32), 6, np.zeros(30, bool))
    assert (nothing == 0).all() or name == "features"


@pytest.mark.parametrize("name", NAMES)
def test_units_and_dtypes(name):
    """The same rows at every scale, in float64, and in float32 far from the origin."""
    features = np.round(np.random.default_rng(6).normal(size=(30, 3)) * 64).astype(np.float32)
    small, large = (many(name, features * np.float32(2.0**power), 6) for power in (-90, 90))
    np.testing.assert_array_equal(small * np.float32(2.0**90), large * np.float32(2.0**-90))
    if name != "gaussian":
        np.testing.assert_array_equal(many(name, features + 2.0**15, 6) - 2.0**15, large * np.float32(2.0**-90))
    with jax.enable_x64(True):
        wide = many(name, features.astype(np.float64) * 1e200, 6)
        assert wide.dtype == np.float64
        assert np.isfinite(wide).all()


def test_run_and_its_kin_start_by_name():
    features = np.random.default_rng(5).normal(size=(30, 3)).astype(np.float32)
    dynamics = td.catalog.soft_kmeans(temperature=0.1)
    begun = {}
    for name in ("features", "farthest_point"):
        begun[name] = np.asarray(td.init(dynamics, KEY, features, num_tokens=6, start=name).tokens)
        result = td.run(dynamics, KEY, features, num_tokens=6, start=name, max_steps=3, tol=0.0)
        given = td.run(dynamics, KEY, features, tokens=begun[name], max_steps=3, tol=0.0)
        np.testing.assert_array_equal(result.tokens, given.tokens)
    assert (begun["features"] != begun["farthest_point"]).any()
    expected = many("farthest_point", features, 6, num=1)[0]
    assert begun["farthest_point"].shape == expected.shape
    rows_of(begun["farthest_point"], features)


def test_a_better_start_of_the_estimator_is_a_better_start():
    """Four well separated clusters, one start: farthest-point finds them from every seed, random features do not."""
    generator = np.random.default_rng(0)
    labels = np.arange(80) % 4
    corners = np.array([[0.0, 0], [9, 0], [0, 9], [9, 9]])
    features = (corners[labels] + generator.normal(0, 0.3, (80, 2))).astype(np.float32)

    def found(start):
        options = {"num_tokens": 4, "temperature": 0.1, "num_starts": 1, "start": start}
        fits = [td.TokenClustering(**options, random_state=seed).fit(features) for seed in range(12)]
        return [fit.inertia_ < 80 * 2 * 0.3**2 * 2 for fit in fits]

    assert all(found("farthest_point"))
    assert not all(found("features"))


@pytest.mark.parametrize("start", [starts.kmeans_plus_plus, starts.farthest_point, starts.gaussian])
def test_bad_input_is_one_sentence(start):
    features = np.ones((3, 2), np.float32)
    with pytest.raises(ValueError, match="num_tokens: expected a static integer of at least 1, got 0"):
        start(KEY, features, 0)
    with pytest.raises(ValueError, match=r"features: expected at least one feature \[N, D\]"):
        start(KEY, features[:0], 2)
    with pytest.raises(ValueError, match="mask: expected a boolean array"):
        start(KEY, features, 2, mask=np.ones(3))


def test_an_unknown_start_is_one_sentence():
    features = np.ones((3, 2), np.float32)
    with pytest.raises(ValueError, match="start: expected one of 'features', .*did you mean 'kmeans"):
        td.run(td.catalog.soft_kmeans(), KEY, features, num_tokens=2, start="kmeans", max_steps=3, tol=0.0)
    with pytest.raises(ValueError, match="start: expected one of"):
        td.TokenClustering(2, start="nearest").fit(features)
