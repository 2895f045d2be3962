"""Collapse and merging: graph components against SciPy, the published flag, limits of the entropies."""

import functools

import chex
import jax
import numpy as np
import pytest
import scipy.sparse.csgraph
import sklearn.metrics
from compiled import compiled
from hypothesis import given, settings
from hypothesis import strategies as st

from tokdyn import metrics

NUM_TOKENS, DIMENSIONS = 9, 2
jitted_merge = compiled(metrics.merged_tokens)
jitted_count = compiled(metrics.distinct_tokens)
jitted_live = compiled(functools.partial(metrics.live_tokens, num_tokens=7))
jitted_smallest = compiled(metrics.min_token_distance)
jitted_merged_index = compiled(metrics.merged_adjusted_rand_index, static_argnames="num_labels")
jitted_coincident = compiled(metrics.all_coincident)
jitted_perplexity = compiled(metrics.usage_perplexity)
jitted_entropy = compiled(metrics.mean_assignment_entropy)


def components_by_scipy(tokens, resolution):
    """SciPy's components, each named after its smallest index."""
    apart = np.linalg.norm(tokens[:, None] - tokens[None], axis=-1)
    _, names = scipy.sparse.csgraph.connected_components(apart < resolution, directed=False)
    return np.array([np.flatnonzero(names == name)[0] for name in names])


# Whole coordinates: distances such as 1, 2 and 5 are exact, and ties with the resolution are common.
coordinates = st.lists(st.tuples(st.integers(-4, 4), st.integers(-4, 4)), min_size=NUM_TOKENS, max_size=NUM_TOKENS)


@settings(max_examples=120, deadline=None)
@given(
    coordinates, st.sampled_from([0.0, 1.0, 1.2, 2.0, 3.0, 5.0, 20.0]), st.lists(st.booleans(), min_size=9, max_size=9)
)
def test_components_equal_scipy_with_a_strict_limit_and_masks(points, resolution, kept):
    tokens, mask = np.array(points, np.float32), np.array(kept)
    indices = np.flatnonzero(mask)
    expected = np.full(NUM_TOKENS, -1)
    if len(indices):
        expected[indices] = indices[components_by_scipy(tokens[indices], resolution)]
    disturbed = np.where(mask[:, None], tokens, np.nan)
    np.testing.assert_array_equal(jitted_merge(disturbed, resolution, token_mask=mask), expected)
    assert jitted_count(disturbed, resolution, token_mask=mask) == len(np.unique(expected[indices]))


@pytest.mark.parametrize("num_tokens", [1, 2, 5, 9, 17])
def test_the_longest_chain_is_one_component(num_tokens):
    chain = np.random.default_rng(0).permutation(num_tokens).astype(np.float32)[:, None]
    assert jitted_merge(chain, 1.5).tolist() == [0] * num_tokens
    assert jitted_merge(chain, 1.0).tolist() == list(range(num_tokens))  # the limit is strict


def test_a_broken_token_joins_nobody():
    tokens = np.float32([[0.0], [np.nan], [0.5]])
    assert jitted_merge(tokens, 1.0).tolist() == [0, 1, 0]


def test_resolution_is_traced_and_the_count_falls_with_it():
    tokens = np.random.default_rng(0).normal(size=(NUM_TOKENS, DIMENSIONS)).astype(np.float32)
    resolutions = np.linspace(0, 5, 30, dtype=np.float32)
    counts = compiled(jax.vmap(metrics.distinct_tokens, in_axes=(None, 0)))(tokens, resolutions)
    assert counts[0] == NUM_TOKENS
    assert counts[-1] == 1
    assert (np.diff(counts) <= 0).all()
    assert counts.tolist() == [int(jitted_count(tokens, resolution)) for resolution in resolutions]


def test_merged_index_reads_zero_at_total_collapse_where_the_plain_one_does_not():
    # The argmax over numerically equal tokens cuts the data in pieces that happen to follow two of the labels.
    labels = np.repeat([0, 1, 2, 3], 20)
    predicted = np.repeat([0, 1, 2, 2], 20)
    tokens = 1e-6 * np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    plain = sklearn.metrics.adjusted_rand_score(labels, predicted)
    merged = jitted_merged_index(labels, predicted, tokens, resolution=1e-3, num_labels=4)
    assert plain > 0.4
    assert merged == 0
    assert compiled(functools.partial(metrics.live_tokens, num_tokens=4))(predicted) == 3
    assert jitted_count(tokens, 1e-3) == 1
    assert not compiled(functools.partial(metrics.published_collapse, num_tokens=4))(predicted, num_clusters=4)
    assert jitted_perplexity(np.full((80, 4), 0.25, np.float32)) == pytest.approx(4)


def test_merged_index_is_the_index_of_the_relabelled_prediction():
    rng = np.random.default_rng(1)
    labels, predicted = rng.integers(0, 3, 60), rng.integers(0, 6, 60)
    tokens = np.array([[0.0], [9.0], [0.1], [5.0], [5.2], [7.0]], np.float32)
    mask = rng.random(60) < 0.7
    call = functools.partial(jitted_merged_index, resolution=0.5, num_labels=3)
    relabelled = np.array([0, 1, 0, 3, 3, 5])[predicted]
    expected = sklearn.metrics.adjusted_rand_score(labels[mask], relabelled[mask])
    np.testing.assert_allclose(call(labels, predicted, tokens, mask=mask), expected, atol=1e-6)
    # Features of a token that does not exist count nowhere, and its NaN goes nowhere.
    exists = np.array([True, True, True, False, True, True])
    left = mask & (predicted != 3)
    expected = sklearn.metrics.adjusted_rand_score(labels[left], relabelled[left])
    broken = np.where(exists[:, None], tokens, np.nan)
    score = call(labels, predicted, broken, mask=mask, token_mask=exists)
    np.testing.assert_allclose(score, expected, atol=1e-6)
    foreign = call(labels, np.where(predicted == 3, -1, predicted), tokens, mask=mask)
    np.testing.assert_allclose(foreign, expected, atol=1e-6)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(-1, 7), min_size=12, max_size=12), st.lists(st.booleans(), min_size=12, max_size=12))
def test_live_tokens_counts_distinct_owners(predicted, kept):
    expected = len({owner for owner, keep in zip(predicted, kept, strict=True) if keep and 0 <= owner < 7})
    assert jitted_live(np.array(predicted), mask=np.array(kept)) == expected


def test_published_collapse_follows_the_published_expression():
    rng = np.random.default_rng(2)
    flags = []
    for num_tokens in (1, 4, 9, 16):
        flag = compiled(functools.partial(metrics.published_collapse, num_tokens=num_tokens))
        for num_clusters in (1, 3, 5, 8, 20):
            for _ in range(4):
                predicted = rng.integers(0, rng.integers(1, num_tokens + 1), 30)
                expected = len(np.unique(predicted)) < max(2, int(0.5 * min(num_tokens, num_clusters)))
                assert flag(predicted, num_clusters=num_clusters) == expected
                flags.append(expected)
    assert 0.1 < np.mean(flags) < 0.9


def test_perplexity_and_entropy_have_their_limits():
    hard = np.eye(5, dtype=np.float32)
    even = np.full((7, 5), 0.2, np.float32)
    one = np.tile(np.eye(5, dtype=np.float32)[2], (7, 1))
    np.testing.assert_allclose(jitted_perplexity(hard), 5, rtol=1e-6)
    np.testing.assert_allclose(jitted_perplexity(even), 5, rtol=1e-6)
    assert jitted_perplexity(one) == 1
    assert jitted_entropy(hard) == 0
    np.testing.assert_allclose(jitted_entropy(even), np.log(5), rtol=1e-6)


def test_perplexity_and_entropy_equal_scipy_and_ignore_masked_features():
    rng = np.random.default_rng(3)
    assignment = rng.dirichlet(np.ones(4), 20).astype(np.float32)
    mask = rng.random(20) < 0.6
    broken = np.where(mask[:, None], assignment, np.nan)
    kept = assignment[mask].astype(np.float64)
    perplexity = np.exp(scipy.stats.entropy(kept.mean(0)))
    np.testing.assert_allclose(jitted_perplexity(broken, mask=mask), perplexity, rtol=1e-6)
    entropy = scipy.stats.entropy(kept, axis=1).mean()
    np.testing.assert_allclose(jitted_entropy(broken, mask=mask), entropy, rtol=1e-6)
    nobody = np.zeros(20, bool)
    assert np.isnan(jitted_perplexity(assignment, mask=nobody))
    assert np.isnan(jitted_entropy(assignment, mask=nobody))


@pytest.mark.parametrize("metric", [jitted_perplexity, jitted_entropy])
def test_entropies_are_differentiable_where_a_responsibility_is_zero(metric):
    @compiled
    def of_logits(logits):
        return metric(jax.nn.softmax(logits))

    saturated = np.float32([[0.0, -200.0, 1.0], [0.5, -200.0, 0.0]])  # exp underflows to exactly zero
    gradient = compiled(jax.grad(of_logits))(saturated)
    direction = np.float32([[1.0, 0.0, -1.0], [-1.0, 0.0, 0.5]])
    step = np.float32(1e-2)
    slope = (of_logits(saturated + step * direction) - of_logits(saturated - step * direction)) / (2 * step)
    np.testing.assert_allclose(np.sum(gradient * direction), slope, atol=1e-4)


def test_min_token_distance_follows_the_published_rule():
    rng = np.random.default_rng(4)
    for _ in range(10):
        tokens = np.round(rng.normal(size=(6, 2)) * 2).astype(np.float32)
        apart = np.linalg.norm(tokens[:, None] - tokens[None], axis=-1)
        np.testing.assert_allclose(jitted_smallest(tokens), apart[apart > 0].min(), rtol=1e-6)


CASES = {  # tokens, mask, smallest distance, all at one point
    "single": ([[1.0, 2.0]], None, np.inf, False),
    "coincident": ([[1.0, 2.0]] * 3, None, np.nan, True),
    "some coincide": ([[1.0, 2.0], [1.0, 2.0], [1.0, 5.0]], None, 3.0, False),
    "masked neighbour": ([[0.0, 0.0], [0.0, 0.5], [0.0, 4.0]], [True, False, True], 4.0, False),
    "masked NaN": ([[0.0, 0.0], [np.nan, 0.5], [0.0, 4.0]], [True, False, True], 4.0, False),
    "coincident but for a masked one": ([[1.0, 2.0], [7.0, 7.0], [1.0, 2.0]], [True, False, True], np.nan, True),
    "one kept": ([[0.0, 0.0], [0.0, 0.5]], [True, False], np.inf, False),
    "none kept": ([[0.0, 0.0], [0.0, 0.5]], [False, False], np.inf, False),
    "broken": ([[0.0, 0.0], [np.nan, 0.5], [0.0, 4.0]], None, np.nan, False),
    "nearly coincident": ([[0.0, 0.0], [0.0, 1e-12]], None, 1e-12, False),
}


@pytest.mark.parametrize("name", CASES)
def test_smallest_distance_and_coincidence(name):
    tokens, mask, smallest, coincident = CASES[name]
    tokens, mask = np.array(tokens, np.float32), None if mask is None else np.array(mask)
    np.testing.assert_allclose(jitted_smallest(tokens, token_mask=mask), smallest, rtol=1e-6)
    assert jitted_coincident(tokens, token_mask=mask) == coincident


def test_min_token_distance_has_the_gradient_of_its_nearest_pair():
    tokens = np.float32([[0.0, 0.0], [0.0, 0.0], [3.0, 4.0], [30.0, 0.0]])
    slope = compiled(jax.grad(metrics.min_token_distance))
    gradient = slope(tokens[1:])
    np.testing.assert_allclose(gradient, [[-0.6, -0.8], [0.6, 0.8], [0.0, 0.0]], atol=1e-6)
    assert np.isfinite(slope(tokens)).all()  # a pair at distance zero


def everything(labels, predicted, tokens, assignment, resolution, num_clusters, mask, token_mask):
    return {
        "live": metrics.live_tokens(predicted, num_tokens=6, mask=mask),
        "published": metrics.published_collapse(predicted, num_tokens=6, num_clusters=num_clusters, mask=mask),
        "components": metrics.merged_tokens(tokens, resolution, token_mask=token_mask),
        "distinct": metrics.distinct_tokens(tokens, resolution, token_mask=token_mask),
        "index": metrics.merged_adjusted_rand_index(
            labels, predicted, tokens, resolution=resolution, num_labels=3, mask=mask, token_mask=token_mask
        ),
        "perplexity": metrics.usage_perplexity(assignment, mask=mask),
        "entropy": metrics.mean_assignment_entropy(assignment, mask=mask),
        "smallest": metrics.min_token_distance(tokens, token_mask=token_mask),
        "coincident": metrics.all_coincident(tokens, token_mask=token_mask),
    }


def test_vmap_equals_a_loop_and_other_values_do_not_recompile():
    rng = np.random.default_rng(5)
    batch = (
        rng.integers(0, 3, (4, 20)),
        rng.integers(0, 6, (4, 20)),
        rng.normal(size=(4, 6, 2)).astype(np.float32),
        rng.dirichlet(np.ones(6), (4, 20)).astype(np.float32),
        np.array([0.1, 0.5, 1.0, 2.0], np.float32),
        np.array([1, 4, 5, 9]),
        rng.random((4, 20)) < 0.8,
        rng.random((4, 6)) < 0.8,
    )
    one = jax.jit(chex.assert_max_traces(everything, n=1))
    loop = [one(*(array[lane] for array in batch)) for lane in range(4)]
    stacked = jax.tree.map(lambda *lanes: np.stack(lanes), *loop)
    chex.assert_trees_all_close(jax.jit(jax.vmap(everything))(*batch), stacked, rtol=1e-5, atol=1e-6)


def test_bad_arguments_are_named_also_inside_transformations():
    tokens, ids = np.ones((3, 2), np.float32), np.zeros(3, int)
    with pytest.raises(ValueError, match="resolution: expected a number of at least 0, got -1"):
        metrics.merged_tokens(tokens, -1.0)
    with pytest.raises(ValueError, match=r"resolution: .* got shape \(2,\)"):
        metrics.distinct_tokens(tokens, np.ones(2))
    with pytest.raises(ValueError, match=r"token_mask: expected a boolean array \[K\] of length 3"):
        jax.jit(metrics.min_token_distance)(tokens, token_mask=np.ones(2, bool))
    with pytest.raises(ValueError, match=r"tokens: expected a floating-point array \[K, D\]"):
        jax.vmap(metrics.all_coincident)(tokens)
    with pytest.raises(ValueError, match="tokens: expected at least one token"):
        metrics.all_coincident(tokens[:0])
    with pytest.raises(ValueError, match="num_clusters: expected an integer of at least 1, got 0"):
        metrics.published_collapse(ids, num_tokens=2, num_clusters=0)
    with pytest.raises(ValueError, match=r"num_clusters: expected an integer of at least 1, got 2\.5"):
        metrics.published_collapse(ids, num_tokens=2, num_clusters=2.5)
    with pytest.raises(ValueError, match="num_tokens: expected a static integer"):
        jax.jit(lambda n: metrics.live_tokens(ids, num_tokens=n))(3)
    with pytest.raises(ValueError, match="assignment: expected a floating-point array"):
        metrics.usage_perplexity(np.ones((3, 2), int))
