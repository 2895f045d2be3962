"""Optimal one-to-one matching: SciPy's linear_sum_assignment is the oracle."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
import sklearn.metrics
from compiled import compiled
from hypothesis import given, settings
from hypothesis import strategies as st

from tokdyn import metrics

LENGTH = 20


def scores(labels, predicted, mask=None, num_labels=4, num_predicted=4):
    sizes = {"num_labels": num_labels, "num_predicted": num_predicted, "mask": mask}
    return {
        "accuracy": metrics.matched_accuracy(labels, predicted, **sizes),
        "iou": metrics.mean_matched_iou(labels, predicted, **sizes),
        "partners": metrics.match_clusters(labels, predicted, **sizes),
    }


jitted_match = compiled(metrics.match_clusters_from)
compiled_scores = compiled(scores, static_argnames=("num_labels", "num_predicted"))


def jitted_scores(labels, predicted, mask=None, **sizes):
    """Padded to one shape, hence one compilation; the padding is masked."""
    fill = LENGTH - len(labels)
    mask = np.ones(len(labels), bool) if mask is None else mask
    return compiled_scores(np.pad(labels, (0, fill)), np.pad(predicted, (0, fill)), np.pad(mask, (0, fill)), **sizes)


def table_of(labels, predicted, num_labels, num_predicted):
    table = np.zeros((num_labels, num_predicted))
    np.add.at(table, (labels, predicted), 1)
    return table


@settings(max_examples=80, deadline=None)
@given(
    st.sampled_from([(4, 4), (3, 5), (5, 3)]),
    st.integers(1, LENGTH),
    st.integers(0, 10_000),
    st.floats(0, 1),
)
def test_scores_equal_scipy(sizes, kept, seed, noise):
    num_labels, num_predicted = sizes
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, num_labels, LENGTH)
    predicted = np.where(rng.random(LENGTH) < noise, rng.integers(0, num_predicted, LENGTH), labels % num_predicted)
    mask = np.arange(LENGTH) < kept
    result = jitted_scores(labels, predicted, mask, num_labels=num_labels, num_predicted=num_predicted)

    table = table_of(labels[:kept], predicted[:kept], num_labels, num_predicted)
    best = table[scipy.optimize.linear_sum_assignment(table, maximize=True)].sum()
    np.testing.assert_allclose(result["accuracy"], best / kept, rtol=1e-6)

    union = table.sum(1, keepdims=True) + table.sum(0, keepdims=True) - table
    iou = table / np.maximum(union, 1)
    best_iou = iou[scipy.optimize.linear_sum_assignment(iou, maximize=True)].sum() / np.sum(table.sum(1) > 0)
    np.testing.assert_allclose(result["iou"], best_iou, rtol=1e-5)

    partners = result["partners"]
    matched = np.flatnonzero(partners >= 0)
    assert len(set(partners[matched])) == len(matched)  # one to one
    assert (table[matched, partners[matched]] > 0).all()
    assert table[matched, partners[matched]].sum() == best  # optimal, though ties may fall otherwise


def test_a_renamed_partition_is_matched_perfectly():
    labels = np.random.default_rng(0).integers(0, 4, LENGTH)
    names = np.array([2, 0, 3, 1])
    result = jitted_scores(labels, names[labels])
    assert result["accuracy"] == result["iou"] == 1
    assert result["partners"].tolist() == names.tolist()


def test_greedy_matching_would_be_worse():
    table = np.float32([[10.0, 9.0], [9.0, 0.0]])  # the largest entry first gives 10, the optimum is 18
    assert jitted_match(table).tolist() == [1, 0]


def test_labels_without_a_partner():
    labels, predicted = np.array([0, 0, 1, 1, 2, 3]), np.array([0, 0, 0, 1, 1, 1])
    result = jitted_scores(labels, predicted, num_labels=5, num_predicted=3)
    assert result["partners"][4] == -1  # a label that does not occur
    assert (result["partners"] >= 0).sum() == 2
    np.testing.assert_allclose(result["accuracy"], 3 / 6)
    np.testing.assert_allclose(result["iou"], (2 / 3 + 1 / 3) / 4, rtol=1e-6)  # four labels occur


def test_no_feature_is_undefined_and_a_broken_table_ends():
    nobody = jitted_scores(np.zeros(LENGTH, int), np.zeros(LENGTH, int), np.zeros(LENGTH, bool))
    assert np.isnan(nobody["accuracy"])
    assert np.isnan(nobody["iou"])
    assert nobody["partners"].tolist() == [-1] * 4
    assert jitted_match(np.full((2, 2), np.nan, np.float32)).tolist() == [-1, -1]


def test_accuracy_bounds():
    rng = np.random.default_rng(1)
    for _ in range(5):
        labels, predicted = rng.integers(0, 4, LENGTH), rng.integers(0, 4, LENGTH)
        accuracy = jitted_scores(labels, predicted)["accuracy"]
        purity = table_of(labels, predicted, 4, 4).max(0).sum() / LENGTH
        assert sklearn.metrics.accuracy_score(labels, predicted) <= accuracy + 1e-6
        assert accuracy <= purity + 1e-6  # purity lets several clusters share a label


def test_float64():
    labels, predicted = np.array([0, 0, 1, 1, 2]), np.array([1, 1, 1, 0, 2])
    with jax.enable_x64(True):
        result = jitted_scores(labels, predicted)
        assert result["iou"].dtype == jnp.float64
        np.testing.assert_allclose(result["iou"], (2 / 3 + 1 / 2 + 1) / 3, rtol=1e-14)


def test_vmap_equals_a_loop_and_other_values_do_not_recompile():
    rng = np.random.default_rng(2)
    batch = rng.integers(0, 4, (4, LENGTH)), rng.integers(0, 4, (4, LENGTH)), rng.random((4, LENGTH)) < 0.8
    lanes = list(zip(*batch, strict=True))
    first = jitted_scores(*lanes[0])
    compilations = compiled_scores.program._cache_size()
    loop = [first, *(jitted_scores(*lane) for lane in lanes[1:])]
    assert compiled_scores.program._cache_size() == compilations
    batched = jax.jit(jax.vmap(scores))(*batch)
    chex.assert_trees_all_close(batched, jax.tree.map(lambda *lanes: np.stack(lanes), *loop), rtol=1e-6)


@pytest.mark.parametrize("name", ["match_clusters", "matched_accuracy", "mean_matched_iou"])
def test_bad_arguments_are_named(name):
    call = functools.partial(getattr(metrics, name), num_labels=2, num_predicted=2)
    with pytest.raises(ValueError, match="predicted: expected an integer array"):
        jax.jit(call)(np.zeros(3, int), np.zeros(3, np.float32))
    with pytest.raises(ValueError, match=r"predicted: expected an integer array \[N\] of length 3"):
        jax.vmap(call)(np.zeros((1, 3), int), np.zeros((1, 2), int))
