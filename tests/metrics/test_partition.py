"""Agreement of partitions: scikit-learn is the oracle, with its degenerate cases."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sklearn.metrics
from compiled import compiled
from hypothesis import given, settings
from hypothesis import strategies as st

from tokdyn import metrics

NUM_LABELS, NUM_PREDICTED, LENGTH = 5, 6, 40  # one shape for most tests, hence one compilation

ORACLES = {
    "adjusted_rand_index": sklearn.metrics.adjusted_rand_score,
    "normalized_mutual_information": sklearn.metrics.normalized_mutual_info_score,
    "fowlkes_mallows": sklearn.metrics.fowlkes_mallows_score,
    "homogeneity": sklearn.metrics.homogeneity_score,
    "completeness": sklearn.metrics.completeness_score,
    "v_measure": sklearn.metrics.v_measure_score,
}
SYMMETRIC = ("adjusted_rand_index", "normalized_mutual_information", "fowlkes_mallows", "v_measure")
ALL = [*ORACLES, "purity"]


def all_scores(labels, predicted, mask=None, num_labels=NUM_LABELS, num_predicted=NUM_PREDICTED):
    sizes = {"num_labels": num_labels, "num_predicted": num_predicted, "mask": mask}
    return {name: getattr(metrics, name)(labels, predicted, **sizes) for name in ALL}


compiled_scores = compiled(all_scores, static_argnames=("num_labels", "num_predicted"))


def jitted_scores(labels, predicted, mask=None, **sizes):
    return compiled_scores(labels, predicted, np.ones(len(labels), bool) if mask is None else mask, **sizes)


@compiled
def jitted_scores_from(table):
    return {name: getattr(metrics, f"{name}_from")(table) for name in ALL}


def purity_by_hand(labels, predicted):
    clusters = [labels[predicted == cluster] for cluster in np.unique(predicted)]
    return sum(np.bincount(cluster).max() for cluster in clusters) / len(labels)


def oracle(labels, predicted):
    expected = {name: score(labels, predicted) for name, score in ORACLES.items()}
    expected["purity"] = purity_by_hand(labels, predicted) if len(labels) else np.nan
    return expected


def assert_scores(actual, expected, atol):
    assert actual.keys() == expected.keys()
    for name in expected:
        np.testing.assert_allclose(actual[name], expected[name], rtol=0, atol=atol, err_msg=name)


# Few values make single clusters and empty clusters common; few features make singletons and N = 0, 1 common.
partitions = st.integers(0, LENGTH).flatmap(
    lambda size: st.tuples(
        st.just(size),
        st.integers(1, NUM_LABELS).flatmap(lambda n: st.lists(st.integers(0, n - 1), min_size=size, max_size=size)),
        st.integers(1, NUM_PREDICTED).flatmap(lambda n: st.lists(st.integers(0, n - 1), min_size=size, max_size=size)),
    )
)


def padded(size, labels, predicted):
    """One shape for every example, hence one compilation: the rest is masked, with ids that would disturb."""
    fill = LENGTH - size
    mask = np.arange(LENGTH) < size
    return np.array(labels + [0] * fill), np.array(predicted + [1] * fill), mask


@settings(max_examples=100, deadline=None)
@given(partitions)
def test_scores_equal_scikit_learn_in_float32(case):
    scores = jitted_scores(*padded(*case))
    assert all(score.dtype == jnp.float32 for score in scores.values())
    assert_scores(scores, oracle(np.array(case[1], int), np.array(case[2], int)), atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(partitions)
def test_scores_equal_scikit_learn_in_float64(case):
    with jax.enable_x64(True):
        scores = jitted_scores(*padded(*case))
        assert all(score.dtype == jnp.float64 for score in scores.values())
    assert_scores(scores, oracle(np.array(case[1], int), np.array(case[2], int)), atol=1e-12)


def lopsided(num_features):
    """One cluster with nearly everything: all entropies are tiny, and rounding is amplified by their ratio."""
    labels, predicted = np.zeros(num_features, int), np.zeros(num_features, int)
    labels[:3], predicted[1:5] = 1, [2, 2, 3, 4]
    return labels, predicted


def independent(num_features):
    """A score near zero: the terms of ARI and of the mutual information cancel."""
    rng = np.random.default_rng(0)
    return rng.integers(0, NUM_LABELS, num_features), rng.integers(0, NUM_PREDICTED, num_features)


@pytest.mark.parametrize("num_features", [1_000, 100_000])
@pytest.mark.parametrize("make", [lopsided, independent])
def test_float32_keeps_its_digits_where_the_textbook_forms_lose_them(make, num_features):
    labels, predicted = make(num_features)
    assert_scores(jitted_scores(labels, predicted), oracle(labels, predicted), atol=1e-6)


DEGENERATE = {
    "no feature": ([], []),
    "one feature": ([2], [3]),
    "two, apart": ([0, 1], [2, 4]),
    "two, together": ([1, 1], [0, 0]),
    "one cluster on both sides": ([3] * 7, [0] * 7),
    "one label": ([3] * 6, [0, 1, 2, 3, 4, 5]),
    "one predicted": ([0, 1, 2, 3, 4, 0], [5] * 6),
    "all singletons": ([0, 1, 2, 3, 4], [4, 2, 0, 1, 3]),
    "singletons against one": ([0, 1, 2, 3, 4], [0] * 5),
    "worse than chance": ([0, 0, 1, 1], [0, 1, 0, 1]),
}


@pytest.mark.parametrize("name", DEGENERATE)
def test_degenerate_partitions_equal_scikit_learn(name):
    labels, predicted = (np.array(ids, int) for ids in DEGENERATE[name])
    actual = jitted_scores(*padded(len(labels), list(labels), list(predicted)))
    assert_scores(actual, oracle(labels, predicted), atol=1e-6)


def test_values_for_no_feature_are_the_documented_ones():
    nobody = jitted_scores(*padded(0, [], []))
    assert_scores(jitted_scores(np.zeros(0, int), np.zeros(0, int)), nobody, atol=0)  # an empty array, an empty mask
    ones = ("adjusted_rand_index", "normalized_mutual_information", "homogeneity", "completeness", "v_measure")
    assert all(nobody[name] == 1 for name in ones)
    assert nobody["fowlkes_mallows"] == 0
    assert np.isnan(nobody["purity"])


def test_scores_ignore_names_and_order_of_the_clusters():
    rng = np.random.default_rng(1)
    labels, predicted = rng.integers(0, NUM_LABELS, LENGTH), rng.integers(0, NUM_PREDICTED, LENGTH)
    renamed = rng.permutation(NUM_LABELS)[labels], rng.permutation(NUM_PREDICTED)[predicted]
    order = rng.permutation(LENGTH)
    expected = jitted_scores(labels, predicted)
    assert_scores(jitted_scores(*renamed), expected, atol=5e-7)
    assert_scores(jitted_scores(labels[order], predicted[order]), expected, atol=0)


def test_symmetric_scores_and_the_duality_of_homogeneity():
    rng = np.random.default_rng(2)
    labels, predicted = rng.integers(0, NUM_LABELS, LENGTH), rng.integers(0, NUM_PREDICTED, LENGTH)
    there = jitted_scores(labels, predicted)
    back = jitted_scores(predicted, labels, num_labels=NUM_PREDICTED, num_predicted=NUM_LABELS)
    for name in SYMMETRIC:
        np.testing.assert_allclose(there[name], back[name], atol=5e-7, err_msg=name)
    np.testing.assert_allclose(there["homogeneity"], back["completeness"], atol=5e-7)
    assert abs(there["homogeneity"] - there["completeness"]) > 1e-3  # or the line above shows nothing


def test_masked_and_foreign_ids_count_nowhere():
    rng = np.random.default_rng(3)
    labels, predicted = rng.integers(0, NUM_LABELS, LENGTH), rng.integers(0, NUM_PREDICTED, LENGTH)
    mask = np.arange(LENGTH) < 30
    expected = oracle(labels[:30], predicted[:30])
    assert_scores(jitted_scores(labels, predicted, mask), expected, atol=1e-6)
    for foreign in (-1, 99):
        assert_scores(jitted_scores(np.where(mask, labels, foreign), predicted), expected, atol=1e-6)
        assert_scores(jitted_scores(labels, np.where(mask, predicted, foreign)), expected, atol=1e-6)


contingency = compiled(metrics.contingency, static_argnames=("num_labels", "num_predicted", "dtype"))


def test_contingency_counts_exactly():
    rng = np.random.default_rng(4)
    labels, predicted = rng.integers(0, 3, 1_000), rng.integers(0, 4, 1_000)
    expected = sklearn.metrics.cluster.contingency_matrix(labels, predicted)
    for dtype in (None, jnp.float16, jnp.float32):
        table = contingency(labels, predicted, num_labels=3, num_predicted=4, dtype=dtype)
        assert table.dtype == (dtype or jnp.float32)
        np.testing.assert_array_equal(table, expected)


def test_contingency_of_narrow_integers_does_not_wrap():
    labels = np.array([44, 200], dtype=np.uint8)  # 300 = 44 modulo 256
    table = contingency(labels, labels, num_labels=301, num_predicted=301)
    assert table.sum() == 2
    assert table[44, 44] == table[200, 200] == 1


def test_one_table_gives_all_scores():
    rng = np.random.default_rng(5)
    labels, predicted = rng.integers(0, NUM_LABELS, LENGTH), rng.integers(0, NUM_PREDICTED, LENGTH)
    expected = jitted_scores(labels, predicted)
    counts = sklearn.metrics.cluster.contingency_matrix(labels, predicted)  # integers are accepted too
    assert_scores(jitted_scores_from(counts), expected, atol=5e-7)


def test_a_broken_table_gives_nan_not_a_degenerate_value():
    table = np.full((NUM_LABELS, NUM_PREDICTED), np.nan, np.float32)
    assert all(np.isnan(score) for score in jitted_scores_from(table).values())


weighed = compiled(functools.partial(metrics.v_measure, num_labels=3, num_predicted=3))


@pytest.mark.parametrize("beta", [0.0, 0.5, 3.0])
def test_v_measure_weighs_completeness_by_beta(beta):
    labels, predicted = [0, 0, 1, 1, 2, 2], [0, 0, 1, 2, 1, 2]
    expected = sklearn.metrics.v_measure_score(labels, predicted, beta=beta)
    score = weighed(np.array(labels), np.array(predicted), beta=beta)
    np.testing.assert_allclose(score, expected, atol=1e-6)


def test_result_dtype():
    ids = jax.ShapeDtypeStruct((5,), jnp.int32)
    for name in ALL:
        call = functools.partial(getattr(metrics, name), num_labels=2, num_predicted=2, dtype=jnp.bfloat16)
        assert jax.eval_shape(call, ids, ids).dtype == jnp.bfloat16, name


def test_vmap_equals_a_loop():
    rng = np.random.default_rng(6)
    labels, predicted = rng.integers(0, NUM_LABELS, (7, LENGTH)), rng.integers(0, NUM_PREDICTED, (7, LENGTH))
    mask = rng.random((7, LENGTH)) < 0.8
    batched = compiled(jax.vmap(all_scores))(labels, predicted, mask)
    for lane in range(7):
        one = jitted_scores(labels[lane], predicted[lane], mask[lane])
        assert_scores({name: value[lane] for name, value in batched.items()}, one, atol=5e-7)


def test_no_recompilation_for_other_values():
    scores = jax.jit(chex.assert_max_traces(all_scores, n=1))
    rng = np.random.default_rng(7)
    for _ in range(3):
        scores(rng.integers(0, NUM_LABELS, LENGTH), rng.integers(0, NUM_PREDICTED, LENGTH), rng.random(LENGTH) < 0.5)


IDS = np.array([0, 1, 1])
BAD = {
    "labels: expected an integer array": {"labels": IDS.astype(float)},
    "predicted: expected an integer array .N. of length 3, got shape .2,.": {"predicted": IDS[:2]},
    "predicted: expected an integer array .N. of length 3, got shape .3, 2.": {"predicted": np.zeros((3, 2), int)},
    "num_labels: expected a static integer of at least 1, got 0": {"num_labels": 0},
    "num_predicted: expected a static integer": {"num_predicted": 2.0},
    "mask: expected a boolean array .N. of length 3": {"mask": np.ones(4, bool)},
    "dtype: expected a floating-point dtype": {"dtype": jnp.int32},
}


@pytest.mark.parametrize("sentence", BAD)
def test_static_errors_name_the_argument_also_inside_transformations(sentence):
    arguments = {"labels": IDS, "predicted": IDS, "num_labels": 2, "num_predicted": 2, **BAD[sentence]}
    for name in ("contingency", *ALL):
        with pytest.raises(ValueError, match=sentence):
            getattr(metrics, name)(**arguments)
    traced = {key: arguments.pop(key) for key in ("labels", "predicted")}
    call = functools.partial(metrics.adjusted_rand_index, **arguments)
    with pytest.raises(ValueError, match=sentence):
        jax.jit(call)(**traced)
    batches = {key: value[None] for key, value in traced.items()}
    with pytest.raises(ValueError, match=sentence):
        jax.vmap(lambda batch: call(**batch))(batches)


def test_table_and_beta_are_checked():
    with pytest.raises(ValueError, match="table: expected a table of counts"):
        metrics.purity_from(np.ones(3, np.float32))
    with pytest.raises(ValueError, match="beta: expected a number of at least 0"):
        metrics.v_measure(IDS, IDS, num_labels=2, num_predicted=2, beta=-1.0)
