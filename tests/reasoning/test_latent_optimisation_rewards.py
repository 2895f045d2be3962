"""Rewards on logits against NumPy transcriptions, and at their extremes."""

import functools

import jax
import numpy as np
import pytest
from compiled import compiled

from tokdyn.reasoning import latent_optimisation as lo

QWEN_WORDS = 152_064
LOGITS = 3 * np.random.default_rng(0).normal(size=(5, 20))
SINGLE = LOGITS.astype(np.float32)
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


@functools.partial(compiled, static_argnames="k")
def rewards(logits, mask=None, *, k):
    """All of them, by their names: one program for their tests."""
    return {name: getattr(lo, name)(logits, k=k, mask=mask) for name in TRANSCRIBED}


@pytest.mark.parametrize("name", TRANSCRIBED)
@pytest.mark.parametrize("k", [2, 3, 10, 20])
def test_against_numpy(name, k):
    found = rewards(SINGLE, k=k)[name]
    np.testing.assert_allclose(found, TRANSCRIBED[name](TOP[:, :k], k), rtol=1e-4, atol=1e-6)
    some = np.array([True, False, True, True, False])
    masked = rewards(SINGLE, some, k=k)[name]
    np.testing.assert_allclose(masked, TRANSCRIBED[name](TOP[some, :k], k), rtol=1e-4, atol=1e-6)


def test_the_truncated_form_takes_no_knowledge_for_certainty():
    words = np.arange(QWEN_WORDS)[None]
    uniform = rewards(np.zeros((1, QWEN_WORDS), np.float32), k=10)
    certain = rewards(np.where(words == 3, np.float32(100), np.float32(-100)), k=10)
    ten = rewards(np.where(words < 10, np.float32(0), np.float32(-100)), k=10)
    # 1 - 10 log(V) / V
    expected = 1 - 10 * np.log(QWEN_WORDS) / QWEN_WORDS
    assert round(expected, 3) == 0.999
    np.testing.assert_allclose(uniform["truncated_confidence"], expected, atol=1e-6)
    np.testing.assert_allclose(certain["truncated_confidence"], 1.0, atol=1e-6)
    np.testing.assert_allclose(ten["truncated_confidence"], 1 - np.log(10), rtol=1e-5)
    np.testing.assert_allclose(uniform["renormalised_confidence"], 0.0, atol=1e-5)
    np.testing.assert_allclose(certain["renormalised_confidence"], 1.0, atol=1e-6)
    np.testing.assert_allclose(uniform["tail_mass"], 1 - 10 / QWEN_WORDS, atol=1e-6)
    np.testing.assert_allclose(uniform["topk_log_probability"], np.log(QWEN_WORDS), rtol=1e-4)
    np.testing.assert_allclose(ten["topk_log_probability"], np.log(10), rtol=1e-5)
    np.testing.assert_allclose(certain["topk_log_probability"], 0.9 * np.log(1e10), rtol=1e-5)


@pytest.mark.parametrize("name", TRANSCRIBED)
def test_words_that_cannot_be(name):
    logits = np.where(np.arange(20) < 5, SINGLE, np.float32(-np.inf))
    value, gradient = compiled(jax.value_and_grad(lambda logits: getattr(lo, name)(logits, k=8)))(logits)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()
    kept = np.exp(LOGITS[:, :5])
    kept = np.sort(kept / kept.sum(axis=-1, keepdims=True), axis=-1)[:, ::-1]
    if name == "truncated_confidence":
        np.testing.assert_allclose(value, TRANSCRIBED[name](kept, 5), rtol=1e-5)


def test_oracles():
    answer = LOGITS.argmax(axis=-1)
    expected = np.log(PROBABILITIES.max(axis=-1)).sum()

    @compiled
    def oracles(logits, answer):
        return [oracle(logits, answer) for oracle in (lo.answer_log_probability, lo.right_answer, lo.sparse_reward)]

    found, *outcomes = oracles(SINGLE, answer)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert [float(outcome) for outcome in outcomes] == [1.0, 0.0]
    wrong = np.where(np.arange(5) == 2, (answer + 1) % 20, answer)
    _, *outcomes = oracles(SINGLE, wrong)
    assert [float(outcome) for outcome in outcomes] == [0.0, -1.0]


FLAT = np.zeros((2, 5), np.float32)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: lo.truncated_confidence(FLAT, k=6), "k: expected at most the 5 words of the vocabulary"),
        (lambda: lo.tail_mass(FLAT, k=0), "k: expected a static integer of at least 1"),
        (lambda: lo.renormalised_confidence(FLAT, k=1), "k: expected a static integer of at least 2"),
        (lambda: lo.topk_log_probability(FLAT[0], k=2), r"logits: expected a floating-point array \[positions"),
        (lambda: lo.right_answer(FLAT, np.zeros(3, int)), "answer: expected one word for each"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
