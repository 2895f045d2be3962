"""Rewards on logits against NumPy transcriptions, and at their extremes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tokdyn.reasoning import latent_optimisation as lo

QWEN_WORDS = 152_064
LOGITS = 3 * np.random.default_rng(0).normal(size=(5, 20))
PROBABILITIES = np.exp(LOGITS) / np.exp(LOGITS).sum(axis=-1, keepdims=True)
TOP = np.sort(PROBABILITIES, axis=-1)[:, ::-1]


def entropy(p):
    return -(p * np.log(p)).sum(axis=-1)


def renormalised(top, k):
    return 1 - entropy(top / top.sum(axis=-1, keepdims=True)).mean() / np.log(k)


TRANSCRIBED = {
    "truncated_confidence": lambda top, k: 1 - entropy(top).mean(),
    "renormalised_confidence": renormalised,
    "tail_mass": lambda top, k: 1 - top.sum(axis=-1).mean(),
    "topk_log_probability": lambda top, k: -np.log(top + 1e-10).mean(),
}


@pytest.mark.parametrize("name", TRANSCRIBED)
@pytest.mark.parametrize("k", [2, 3, 10, 20])
def test_against_numpy(name, k):
    found = getattr(lo, name)(jnp.asarray(LOGITS), k=k)
    np.testing.assert_allclose(found, TRANSCRIBED[name](TOP[:, :k], k), rtol=1e-4, atol=1e-6)
    some = np.array([True, False, True, True, False])
    masked = getattr(lo, name)(jnp.asarray(LOGITS), k=k, mask=jnp.asarray(some))
    np.testing.assert_allclose(masked, TRANSCRIBED[name](TOP[some, :k], k), rtol=1e-4, atol=1e-6)


def test_the_truncated_form_takes_no_knowledge_for_certainty():
    uniform = jnp.zeros((1, QWEN_WORDS))
    certain = jnp.full((1, QWEN_WORDS), -100.0).at[0, 3].set(100.0)
    ten = jnp.full((1, QWEN_WORDS), -100.0).at[0, :10].set(0.0)
    # 1 - 10 log(V) / V
    expected = 1 - 10 * np.log(QWEN_WORDS) / QWEN_WORDS
    assert round(expected, 3) == 0.999
    np.testing.assert_allclose(lo.truncated_confidence(uniform, k=10), expected, atol=1e-6)
    np.testing.assert_allclose(lo.truncated_confidence(certain, k=10), 1.0, atol=1e-6)
    np.testing.assert_allclose(lo.truncated_confidence(ten, k=10), 1 - np.log(10), rtol=1e-5)
    np.testing.assert_allclose(lo.renormalised_confidence(uniform, k=10), 0.0, atol=1e-5)
    np.testing.assert_allclose(lo.renormalised_confidence(certain, k=10), 1.0, atol=1e-6)
    np.testing.assert_allclose(lo.tail_mass(uniform, k=10), 1 - 10 / QWEN_WORDS, atol=1e-6)
    np.testing.assert_allclose(lo.topk_log_probability(uniform, k=10), np.log(QWEN_WORDS), rtol=1e-4)
    np.testing.assert_allclose(lo.topk_log_probability(ten, k=10), np.log(10), rtol=1e-5)
    np.testing.assert_allclose(lo.topk_log_probability(certain, k=10), 0.9 * np.log(1e10), rtol=1e-5)


@pytest.mark.parametrize("name", TRANSCRIBED)
def test_words_that_cannot_be(name):
    logits = jnp.asarray(LOGITS).at[:, 5:].set(-jnp.inf)
    value, gradient = jax.value_and_grad(lambda logits: getattr(lo, name)(logits, k=8))(logits)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()
    kept = np.exp(LOGITS[:, :5])
    kept = np.sort(kept / kept.sum(axis=-1, keepdims=True), axis=-1)[:, ::-1]
    if name == "truncated_confidence":
        np.testing.assert_allclose(value, TRANSCRIBED[name](kept, 5), rtol=1e-5)


def test_oracles():
    answer = jnp.asarray(LOGITS.argmax(axis=-1))
    expected = np.log(PROBABILITIES.max(axis=-1)).sum()
    np.testing.assert_allclose(lo.answer_log_probability(jnp.asarray(LOGITS), answer), expected, rtol=1e-5)
    wrong = answer.at[2].set((answer[2] + 1) % 20)
    outcomes = [lo.right_answer, lo.sparse_reward]
    assert [float(each(jnp.asarray(LOGITS), answer)) for each in outcomes] == [1.0, 0.0]
    assert [float(each(jnp.asarray(LOGITS), wrong)) for each in outcomes] == [0.0, -1.0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: lo.truncated_confidence(jnp.zeros((2, 5)), k=6), "k: expected at most the 5 words of the vocabulary"),
        (lambda: lo.tail_mass(jnp.zeros((2, 5)), k=0), "k: expected a static integer of at least 1"),
        (lambda: lo.renormalised_confidence(jnp.zeros((2, 5)), k=1), "k: expected a static integer of at least 2"),
        (lambda: lo.topk_log_probability(jnp.zeros(5), k=2), r"logits: expected a floating-point array \[positions"),
        (lambda: lo.right_answer(jnp.zeros((2, 5)), jnp.zeros(3, int)), "answer: expected one word for each"),
    ],
)  # fmt: skip
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
