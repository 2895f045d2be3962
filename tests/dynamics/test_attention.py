"""Attention, transport, slot attention: one step against NumPy, ott-jax's plans, and what each must leave alone."""

from pathlib import Path

import jax
import numpy as np
import pytest
from scipy.special import softmax

import tokdyn as td

GENERATOR = np.random.default_rng(1)
FEATURES = GENERATOR.normal(size=(30, 3)) + 1.0
TOKENS = GENERATOR.normal(size=(4, 3)) + 1.0
GOLDEN = np.load(Path(__file__).parent / "goldens" / "transport.npz")


def one_step(part, features=FEATURES, tokens=TOKENS):
    result = td.run(td.compose(attract=part), None, features, tokens=tokens, max_steps=1, tol=0.0)
    return np.asarray(result.tokens), np.asarray(result.assignment)


def logits(score, tokens):
    if score == "distance":
        return -((FEATURES[:, None] - tokens) ** 2).sum(axis=-1)
    if score == "dot":
        return FEATURES @ tokens.T
    return (FEATURES @ tokens.T) / np.linalg.norm(FEATURES, axis=1)[:, None] / np.linalg.norm(tokens, axis=1)


@pytest.mark.parametrize("over", ["tokens", "features"])
@pytest.mark.parametrize("score", ["distance", "dot", "cosine"])
def test_one_step_is_the_formula(score, over):
    with jax.enable_x64(True):
        moved, assigned = one_step(td.attention(temperature=0.7, rate=0.6, score=score, over=over))
    weights = softmax(logits(score, TOKENS) / 0.7, axis=1 if over == "tokens" else 0)
    means = weights.T @ FEATURES / weights.sum(axis=0)[:, None]
    np.testing.assert_allclose(moved, TOKENS + 0.6 * (means - TOKENS), rtol=1e-12)
    np.testing.assert_allclose(assigned, softmax(logits(score, moved) / 0.7, axis=1), rtol=1e-10)


def test_distances_over_tokens_are_the_attraction():
    """The general part and the fast one, in float32, far from the origin; both are off by roundings of features."""
    features, tokens = ((x + 100.0).astype(np.float32) for x in (FEATURES, TOKENS))
    ours, _ = one_step(td.attention(temperature=0.7), features, tokens)
    fast, _ = one_step(td.attraction(temperature=0.7, distances="difference"), features, tokens)
    np.testing.assert_allclose(ours, fast, atol=1e-4)


def test_slot_attention_is_the_published_update():
    query, key = GENERATOR.normal(size=(2, 3, 5))
    value = GENERATOR.normal(size=(3, 3))
    normal = lambda x: (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)  # noqa: E731
    scores = (normal(FEATURES) @ key) @ (normal(TOKENS) @ query).T / np.sqrt(5)
    weights = softmax(scores, axis=1)
    expected = (weights / weights.sum(axis=0)).T @ (normal(FEATURES) @ value)
    with jax.enable_x64(True):
        moved, _ = one_step(td.slot_attention(query=query, key=key, value=value))
    np.testing.assert_allclose(moved, expected, rtol=1e-10)


@pytest.mark.parametrize("place", range(3))
def test_the_plan_is_that_of_ott_jax(place):
    """After 2,000 rounds, to what either leaves of its marginals (1e-12), at three temperatures."""
    with jax.enable_x64(True):
        part = td.transport(temperature=GOLDEN["temperatures"][place], rate=0.0, num_iterations=2000)
        _, plan = one_step(part, GOLDEN["features"], GOLDEN["tokens"])
    np.testing.assert_allclose(plan, GOLDEN["plans"][place], atol=1e-9)
    np.testing.assert_allclose(plan.sum(axis=0), 24 / 5, rtol=1e-9)
    np.testing.assert_allclose(plan.sum(axis=1), 1.0, rtol=1e-12)


def test_a_plan_of_masked_features_is_the_plan_without_them():
    """Marginals are those of what exists, and a far token is given its share of features all the same."""
    far = TOKENS + np.array([[0.0], [0.0], [0.0], [50.0]])
    with jax.enable_x64(True):
        part = td.compose(attract=td.transport(temperature=0.7, num_iterations=500))
        options = {"max_steps": 1, "tol": 0.0}
        plain = td.run(part, None, FEATURES, tokens=far, **options)
        padded = np.concatenate([FEATURES, np.full((6, 3), np.nan)])
        masked = td.run(part, None, padded, tokens=far, mask=np.arange(36) < 30, **options)
        tokens = np.insert(far, 1, np.nan, axis=0)
        fewer = td.run(part, None, FEATURES, tokens=tokens, token_mask=np.arange(5) != 1, **options)
        lone = td.run(td.compose(attract=td.attraction(temperature=0.7)), None, FEATURES, tokens=far, **options)
    np.testing.assert_allclose(masked.tokens, plain.tokens, rtol=1e-9)
    np.testing.assert_allclose(masked.assignment[:30], plain.assignment, rtol=1e-8)
    np.testing.assert_allclose(np.delete(np.asarray(fewer.tokens), 1, axis=0), plain.tokens, rtol=1e-9)
    assert np.abs(np.asarray(plain.tokens)[3]).max() < 10
    assert np.abs(np.asarray(lone.tokens)[3]).max() > 10  # without balance it owns nothing, and stays


def test_units_do_not_matter():
    """Features, tokens and width times 2^60, in float32: the same to the bit; temperatures of squares stay in range."""
    features, tokens = (x.astype(np.float32) for x in (FEATURES, TOKENS))
    unit = np.float32(2.0**60)
    for make in (td.transport, td.attention):
        small, _ = one_step(make(temperature=0.5), features, tokens)
        large, _ = one_step(make(temperature=0.5 * 2.0**120), features * unit, tokens * unit)
        np.testing.assert_array_equal(large, small * unit)


def test_matrices_that_do_not_fit_are_one_sentence():
    with pytest.raises(ValueError, match=r"value: expected a matrix \[3, 3\], got shape \(3, 2\)"):
        one_step(td.slot_attention(value=np.ones((3, 2))))
    with pytest.raises(ValueError, match="over: expected one of 'tokens', 'features'"):
        td.attention(temperature=1.0, over="slots")
