"""A structural model whose effects are known exactly; the two arrows against scipy, planted at one slot or item."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special
from tiny import key

from tokdyn.reasoning.diagnose import answer_change, latent_change, mediation

DIRECT, PATH, TO_LATENTS, BOTH = 0.7, -1.2, 1.5, 0.4


def exchange_runs(shape, rng):
    """Y = a x + b m + c x m + e with M = d x + u, x from 0 to 1: TE = a + b d + c (d + u), NDE = a + c u, NIE = b d."""
    u, noise = rng.normal(size=shape), rng.normal(size=shape)

    def outcome(x, source):
        m = TO_LATENTS * source + u
        return DIRECT * x + PATH * m + BOTH * x * m + noise

    return (outcome(0, 0), outcome(1, 0), outcome(0, 1), outcome(1, 1)), u


def test_structural_model_is_recovered_exactly():
    runs, u = exchange_runs(60, np.random.default_rng(0))
    found = mediation(key(), *runs, num_resamples=200)
    expected = {
        "total": DIRECT + PATH * TO_LATENTS + BOTH * (TO_LATENTS + u.mean()),
        "direct": DIRECT + BOTH * u.mean(),
        "indirect": PATH * TO_LATENTS,
        "interaction": BOTH * TO_LATENTS,
    }
    for name, value in expected.items():
        assert getattr(found, name).estimate == pytest.approx(value, abs=1e-9)
    parts = found.direct.estimate + found.indirect.estimate + found.interaction.estimate
    assert found.total.estimate == pytest.approx(parts)
    assert float(found.mediated_share.ratio) == pytest.approx(expected["indirect"] / expected["total"])


def test_no_interaction_without_a_product_and_no_indirect_without_a_path():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(2, 60))
    additive = mediation(key(), x[0], x[0] + 1 + x[1], x[0] + 2, x[0] + 3 + x[1], num_resamples=200)
    assert additive.interaction.estimate == pytest.approx(0, abs=1e-12)
    bypassed = mediation(key(), x[0], x[0] + 2, x[0], x[0] + 2, num_resamples=200)
    assert (bypassed.indirect.estimate, bypassed.direct.estimate) == pytest.approx((0, 2))
    assert bypassed.indirect.degenerate


def test_interval_covers_the_population_effect():
    rng = np.random.default_rng(2)
    covered = []
    repeats = 150
    truth = DIRECT + PATH * TO_LATENTS + BOTH * TO_LATENTS  # u has mean 0
    for _ in range(repeats):
        runs, _ = exchange_runs(60, rng)
        total = mediation(key(), *runs, num_resamples=400).total
        covered.append(total.low <= truth <= total.high)
    # 60 items and 400 resamples: the percentile interval is about one per cent short.
    assert abs(np.mean(covered) - 0.94) < 5 * np.sqrt(0.95 * 0.05 / repeats)


def test_seeds():
    runs, _ = exchange_runs((5, 60), np.random.default_rng(3))
    crossed = mediation(key(), *runs, num_resamples=200)
    nested = mediation(key(), *runs, num_resamples=200, resample="hierarchical")
    assert (crossed.total.method, nested.total.method, crossed.total.seeds) == ("crossed", "hierarchical", 5)
    assert crossed.total.estimate == pytest.approx(nested.total.estimate)
    assert crossed.mediated_share.n == 60


def test_no_total_effect_has_no_share():
    rng = np.random.default_rng(4)
    runs = rng.normal(size=(4, 60))
    assert str(mediation(key(), *runs, num_resamples=200).mediated_share.kind) != "interval"


def test_latent_change_is_found_at_its_slot_and_item():
    latents = jax.random.normal(jax.random.key(1), (4, 3, 6))
    moved = latents.at[2, 1].multiply(-1.0)
    compiled = jax.jit(latent_change)
    found = compiled(latents, moved)
    cosine, distance = np.ones((4, 3)), np.zeros((4, 3))
    cosine[2, 1], distance[2, 1] = -1, 2
    np.testing.assert_allclose(found.cosine, cosine, atol=1e-6)
    np.testing.assert_allclose(found.relative_distance, distance, atol=1e-6)
    longer = compiled(latents, 3 * latents)
    np.testing.assert_allclose(longer.cosine, 1, atol=1e-6)
    np.testing.assert_allclose(longer.relative_distance, 2, atol=1e-5)
    zero = compiled(latents, latents.at[0, 2].set(0.0))
    np.testing.assert_array_equal(np.argwhere(zero.undefined), [[0, 2]])
    assert zero.relative_distance[0, 2] == pytest.approx(1)


def test_answer_change_against_scipy():
    rng = np.random.default_rng(5)
    before, after = rng.normal(size=(2, 30, 5)).astype(np.float32)
    answers = rng.integers(0, 5, 30)
    compiled = jax.jit(answer_change)
    found = compiled(before, after, answers)
    p, q = special.softmax(before, axis=1), special.softmax(after, axis=1)
    np.testing.assert_allclose(found.divergence, special.rel_entr(p, q).sum(1), rtol=1e-4)
    item = np.arange(30)
    np.testing.assert_allclose(found.shift, np.log(q[item, answers] / p[item, answers]), atol=1e-5)
    np.testing.assert_array_equal(found.flipped, p.argmax(1) != q.argmax(1))
    same = compiled(before, before + 7, answers)  # a softmax does not see a constant
    np.testing.assert_allclose(same.divergence, 0, atol=1e-5)
    assert not same.flipped.any()


@pytest.mark.parametrize(
    "call",
    [
        lambda: mediation(key(), [1.0, 2.0], [1.0, 2.0], [1.0, 2.0], [1.0]),
        lambda: mediation(key(), [1.0], [1.0], [1.0], [1.0]),
        lambda: mediation(key(), [np.nan, 2.0], [1.0, 2.0], [1.0, 2.0], [1.0, 2.0]),
        lambda: latent_change(jnp.ones((2, 3, 4)), jnp.ones((2, 3, 5))),
        lambda: answer_change(jnp.ones((2, 3)), jnp.ones((2, 3)), jnp.array([0])),
    ],
)
def test_bad_input(call):
    with pytest.raises(ValueError, match="expected .*, got "):
        call()
