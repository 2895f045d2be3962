"""Scores of an assignment against the features themselves."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sklearn.cluster
import sklearn.metrics
from compiled import compiled
from hypothesis import given, settings
from hypothesis import strategies as st

from tokdyn import metrics

NUM_PREDICTED, LENGTH, DIMENSIONS = 4, 40, 3  # more rows than one block of the distance matrix
jitted_errors = compiled(metrics.sum_squared_errors)
jitted_silhouette = compiled(functools.partial(metrics.silhouette, num_predicted=NUM_PREDICTED))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, LENGTH), st.integers(1, NUM_PREDICTED), st.integers(0, 10_000), st.booleans())
def test_silhouette_equals_scikit_learn(size, num_used, seed, coarse):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(LENGTH, DIMENSIONS)).astype(np.float32) * 3
    if coarse:
        features = np.round(features / 4)  # many features coincide
    predicted = rng.integers(0, num_used, LENGTH)
    mask = np.arange(LENGTH) < size
    score = jitted_silhouette(np.where(mask[:, None], features, np.nan), predicted, mask=mask)
    features, predicted = features[:size], predicted[:size]
    if 2 <= len(np.unique(predicted)) <= size - 1:
        expected = sklearn.metrics.silhouette_score(features.astype(np.float64), predicted)
        np.testing.assert_allclose(score, expected, rtol=0, atol=1e-6)
    else:
        assert np.isnan(score)


def test_silhouette_in_float64():
    rng = np.random.default_rng(0)
    features, predicted = rng.normal(size=(LENGTH, DIMENSIONS)), rng.integers(0, NUM_PREDICTED, LENGTH)
    with jax.enable_x64(True):
        score = jitted_silhouette(features, predicted)
    assert score.dtype == jnp.float64
    # scikit-learn takes its distances in the product form, which loses digits that ours keeps.
    np.testing.assert_allclose(score, sklearn.metrics.silhouette_score(features, predicted), rtol=0, atol=1e-10)


def test_silhouette_does_not_depend_on_the_origin():
    rng = np.random.default_rng(1)
    features = np.round(rng.normal(size=(LENGTH, DIMENSIONS)) * 64).astype(np.float32) / 64  # exact after the shift
    predicted = rng.integers(0, NUM_PREDICTED, LENGTH)
    assert jitted_silhouette(features + 1000, predicted) == jitted_silhouette(features, predicted)


def test_silhouette_of_no_feature_is_undefined_and_of_nan_is_nan():
    assert np.isnan(jitted_silhouette(np.zeros((0, 2), np.float32), np.zeros(0, int)))
    features = np.ones((LENGTH, DIMENSIONS), np.float32)
    features[1] = np.nan
    assert np.isnan(jitted_silhouette(features, np.arange(LENGTH) % 2))


def test_sum_squared_errors_is_the_inertia_of_kmeans():
    rng = np.random.default_rng(2)
    features = rng.normal(size=(LENGTH, DIMENSIONS)).astype(np.float32)
    fit = sklearn.cluster.KMeans(NUM_PREDICTED, n_init=1, random_state=0).fit(features)
    error = jitted_errors(features, fit.cluster_centers_, fit.labels_)
    np.testing.assert_allclose(error, fit.inertia_, rtol=1e-5)


def test_sum_squared_errors_ignores_masked_features_and_foreign_tokens():
    rng = np.random.default_rng(3)
    features, tokens = rng.normal(size=(9, 2)).astype(np.float32), rng.normal(size=(3, 2)).astype(np.float32)
    predicted = rng.integers(0, 3, 9)
    expected = np.sum((features[:6] - tokens[predicted[:6]]) ** 2)
    mask = np.arange(9) < 6
    broken = np.where(mask[:, None], features, np.nan)
    np.testing.assert_allclose(jitted_errors(broken, tokens, predicted, mask=mask), expected, rtol=1e-6)
    for foreign in (-1, 3):
        ids = np.where(mask, predicted, foreign)
        np.testing.assert_allclose(jitted_errors(features, tokens, ids), expected, rtol=1e-6)
    assert jitted_errors(broken, tokens, predicted, mask=np.zeros(9, bool)) == 0


def test_sum_squared_errors_has_the_gradient_of_least_squares_also_with_masked_nan():
    rng = np.random.default_rng(4)
    features, tokens = rng.normal(size=(9, 2)).astype(np.float32), rng.normal(size=(3, 2)).astype(np.float32)
    predicted, mask = np.array([0, 0, 0, 1, 1, 1, 1, 2, 2]), np.arange(9) < 7
    broken = np.where(mask[:, None], features, np.nan)
    gradient = compiled(jax.grad(metrics.sum_squared_errors, argnums=1))(broken, tokens, predicted, mask=mask)
    expected = [2 * np.sum(tokens[k] - features[mask & (predicted == k)], axis=0) for k in range(3)]
    np.testing.assert_allclose(gradient, expected, atol=1e-5)


def test_vmap_equals_a_loop_and_other_values_do_not_recompile():
    rng = np.random.default_rng(5)
    features = rng.normal(size=(3, LENGTH, DIMENSIONS)).astype(np.float32)
    predicted = rng.integers(0, NUM_PREDICTED, (3, LENGTH))
    tokens = rng.normal(size=(3, NUM_PREDICTED, DIMENSIONS)).astype(np.float32)

    def both(features, tokens, predicted):
        return (
            metrics.silhouette(features, predicted, num_predicted=NUM_PREDICTED),
            metrics.sum_squared_errors(features, tokens, predicted),
        )

    one = jax.jit(chex.assert_max_traces(both, n=1))
    loop = [one(*lane) for lane in zip(features, tokens, predicted, strict=True)]
    batched = jax.jit(jax.vmap(both))(features, tokens, predicted)
    np.testing.assert_allclose(np.transpose(loop), batched, rtol=1e-5)


def test_bad_arguments_are_named():
    features, tokens, predicted = np.ones((4, 2), np.float32), np.ones((3, 2), np.float32), np.zeros(4, int)
    with pytest.raises(ValueError, match=r"tokens: expected at least one token of 2 components, got shape \(3, 5\)"):
        metrics.sum_squared_errors(features, np.ones((3, 5), np.float32), predicted)
    with pytest.raises(ValueError, match="features: expected a floating-point array"):
        metrics.sum_squared_errors(features.astype(int), tokens, predicted)
    with pytest.raises(ValueError, match=r"predicted: expected an integer array \[N\] of length 4"):
        jax.vmap(lambda x, ids: metrics.silhouette(x, ids, num_predicted=2))(features[None], predicted[None, :3])
