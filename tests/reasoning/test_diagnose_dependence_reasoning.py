"""Visual dependence planted at words; confidence against NumPy; relations with a common cause taken out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special
from sklearn.metrics import roc_auc_score

from tokdyn.reasoning import diagnose
from tokdyn.reasoning.diagnose import confidence_relations, relation

confidence = jax.jit(diagnose.confidence, static_argnames="num_likeliest")
visual_dependence = jax.jit(diagnose.visual_dependence)


def test_dependence_is_found_at_its_item_and_word():
    blind = -jnp.abs(jax.random.normal(jax.random.key(0), (4, 6)))
    found = visual_dependence(blind.at[2, 3].add(2.0).at[1, 0].add(0.5), blind, threshold=1.0)
    expected = np.zeros((4, 6))
    expected[2, 3], expected[1, 0] = 2, 0.5
    np.testing.assert_allclose(found.score, expected, atol=1e-6)
    np.testing.assert_allclose(found.share, [0, 0, 1 / 6, 0], atol=1e-6)
    np.testing.assert_allclose(found.mean, [0, 0.5 / 6, 2 / 6, 0], atol=1e-6)
    assert found.total_share == pytest.approx(1 / 24)


def test_masked_words_may_hold_anything():
    seen, blind = jnp.full((3, 4), -1.0), jnp.full((3, 4), -2.0)
    mask = jnp.array([[True, True, False, False], [True, True, True, True], [False, False, False, False]])
    found = visual_dependence(jnp.where(mask, seen, jnp.nan), jnp.where(mask, blind, -jnp.inf), mask=mask)
    np.testing.assert_array_equal(found.num_words, [2, 4, 0])
    np.testing.assert_array_equal(found.mean, [1, 1, 0])
    np.testing.assert_array_equal(found.share, [1, 1, 0])
    assert found.total_share == 1


def test_confidence_against_numpy():
    logits = np.random.default_rng(0).normal(size=(5, 3, 20)).astype(np.float32) * 3
    found = confidence(logits, num_likeliest=4)
    p = -np.sort(-special.softmax(logits.astype(float), axis=-1), axis=-1)
    top = p[..., :4]
    np.testing.assert_allclose(found.maximum, p[..., 0], rtol=1e-5)
    np.testing.assert_allclose(found.entropy, special.entr(p).sum(-1), rtol=1e-4)
    np.testing.assert_allclose(found.truncated_entropy, special.entr(top).sum(-1), rtol=1e-4)
    shares = top / top.sum(-1, keepdims=True)
    np.testing.assert_allclose(found.renormalised_entropy, special.entr(shares).sum(-1), rtol=1e-4)
    np.testing.assert_allclose(found.tail_mass, p[..., 4:].sum(-1), atol=1e-6)


def test_truncated_entropy_cannot_tell_sure_from_flat_but_the_tail_can():
    sure, flat = confidence(jnp.array([30.0] + 999 * [0.0])), confidence(jnp.zeros(1000))
    assert abs(sure.truncated_entropy - flat.truncated_entropy) < 0.08
    assert sure.tail_mass < 1e-6
    assert flat.tail_mass == pytest.approx(0.99, abs=1e-5)
    assert flat.renormalised_entropy == pytest.approx(np.log(10), abs=1e-5)
    impossible = confidence(jnp.array([0.0, -jnp.inf, -jnp.inf]), num_likeliest=2)
    assert all(bool(jnp.isfinite(leaf)) for leaf in impossible)
    assert impossible.entropy == 0


def test_law_of_the_truncated_entropy():
    # sum over the head of -p log p = m H(p / m) - m log m, with m the mass of the head.
    found = confidence(3 * jax.random.normal(jax.random.key(1), (5, 3, 20)), num_likeliest=4)
    mass = 1 - found.tail_mass
    expected = mass * found.renormalised_entropy - mass * jnp.log(mass)
    np.testing.assert_allclose(found.truncated_entropy, expected, atol=1e-5)


def test_relation():
    rng = np.random.default_rng(1)
    measure = rng.random(300)
    right = rng.random(300) < measure
    found = relation(measure, right, calibrate=True)
    assert float(found.area.estimate) == pytest.approx(roc_auc_score(right, measure))
    assert found.plain == found.controlled
    # Calibrated by construction: the error is what counting alone gives, whose spread is of its own size.
    assert found.calibration.expected < 2 * found.calibration.expected_if_calibrated


def test_length_can_make_a_relation_and_is_taken_out():
    rng = np.random.default_rng(2)
    length = rng.normal(size=3000)
    dependence = -length + rng.normal(size=3000)
    right = special.expit(-2 * length) > rng.random(3000)
    found = relation(dependence, right, length)
    assert found.plain.low > 0.2
    # Ranks are not linear in a normal cause, and 0/1 outcomes less so: a small remainder stays.
    assert abs(found.controlled.estimate) < 0.05 + 5 / np.sqrt(3000)


def test_several_outcomes_and_degenerate_ones():
    rng = np.random.default_rng(3)
    measure = rng.random(40)
    results = {"answer": measure > 0.5, "step 1": np.ones(40), "grounding": -measure}
    found = confidence_relations(measure, results, calibrate=True)
    assert float(found["answer"].area.estimate) == 1
    assert found["step 1"].area.degenerate
    assert found["step 1"].plain.degenerate
    assert found["grounding"].area is None
    assert found["grounding"].calibration is None
    assert found["grounding"].plain.estimate == pytest.approx(-1)


@pytest.mark.parametrize(
    "call",
    [
        lambda: visual_dependence(jnp.ones((2, 3)), jnp.ones((2, 4))),
        lambda: visual_dependence(jnp.ones((2, 3)), jnp.ones((2, 3)), mask=jnp.ones((2, 3))),
        lambda: confidence(jnp.ones(3), num_likeliest=4),
        lambda: relation([0.1, 0.2], [0, 1, 1]),
        lambda: relation([0.1, 0.2, 0.3, 0.4], [0.5, 1, 1, 0], calibrate=True),
        lambda: relation([1.1, 0.2, 0.3, 0.4], [0, 1, 1, 0], calibrate=True),
        lambda: confidence_relations([0.1, 0.2], {}),
    ],
)
def test_bad_input(call):
    with pytest.raises(ValueError, match="expected .*, got "):
        call()
