"""Critical values of other scores and normalisations: by simulation on both sides, and multipliers to 1e-6."""

import functools

import jax
import numpy as np
import pytest

import tokdyn as td

NUM_TOKENS, STEPS = 4, 400


# Drawn, but once: every shape is a program.
DIMENSION = int(np.random.default_rng(11).integers(2, 7))


def data(seed):
    """Skewed features off the origin, of a shape and with an anisotropy that the seed draws."""
    generator = np.random.default_rng(seed)
    shape = generator.uniform(0.5, 4.0)
    rows = generator.gamma(shape, size=(120, DIMENSION)) * generator.uniform(0.3, 2.0, DIMENSION)
    return rows @ np.linalg.qr(generator.normal(size=(DIMENSION, DIMENSION)))[0] + generator.normal(size=DIMENSION) * 3


@functools.partial(jax.jit, static_argnums=3)
def settled(dynamics, features, tokens, steps):
    return td.run(dynamics, None, features, tokens=tokens, max_steps=steps, tol=0.0, assignment="none").tokens


def collapsed(features, dynamics):
    """The point at which coincident tokens rest."""
    return np.asarray(settled(dynamics, features, np.tile(features.mean(axis=0), (NUM_TOKENS, 1)), STEPS))


def spread(tokens):
    return np.abs(np.asarray(tokens) - np.asarray(tokens).mean(axis=0)).max()


def grown(features, dynamics):
    """How much a tiny difference between tokens at the collapsed state has grown."""
    start = collapsed(features, dynamics)
    apart = start + 1e-6 * np.random.default_rng(0).normal(size=start.shape)
    return spread(settled(dynamics, features, apart, STEPS)) / spread(apart)


def parts(kind, temperature):
    return {
        "balanced": td.transport(temperature=temperature),
        "dot": td.attention(temperature=temperature, rate=0.8, score="dot"),
        "cosine": td.attention(temperature=temperature, rate=0.8, score="cosine"),
    }[kind]


@pytest.mark.parametrize("kind", ["balanced", "dot", "cosine"])
@pytest.mark.parametrize("seed", [1, 2])
def test_tokens_part_below_the_critical_temperature_and_merge_above(kind, seed):
    """At 0.9 and 1.1 of it; and the multiplier of differences at collapse, from the Jacobian of a step, to 1e-6."""
    with jax.enable_x64(True):
        features = data(seed)
        score = "distance" if kind == "balanced" else kind
        critical = float(td.theory.attention_critical_temperature(features, score=score))
        below, above = (td.compose(attract=parts(kind, share * critical)) for share in (0.9, 1.1))
        assert grown(features, below) > 1e3
        assert grown(features, above) < 1e-3
        found = td.theory.stability(above, features, collapsed(features, above))
        rate = 1.0 if kind == "balanced" else 0.8
        assert found.difference_radius == pytest.approx(1 - rate + rate / 1.1, abs=1e-6)


def test_masked_features_do_not_count():
    features = data(3)
    padded = np.concatenate([features, np.full((5, features.shape[1]), np.nan)])
    mask = np.arange(len(padded)) < len(features)
    for score in ("distance", "dot", "cosine"):
        whole = td.theory.attention_critical_temperature(features, score=score)
        masked = td.theory.attention_critical_temperature(padded, score=score, mask=mask)
        assert masked == pytest.approx(whole, rel=1e-12)


@pytest.mark.parametrize("seed", [4, 5])
def test_slots_part_where_the_radius_is_above_one(seed):
    """Matrices at random, scaled to a radius of 0.9 and of 1.1; the radius itself to 1e-6."""
    generator = np.random.default_rng(seed)
    features = generator.gamma(1.0, size=(100, 6)) @ generator.normal(size=(6, 6))
    key, query = generator.normal(size=(2, 6, 5)) / 6**0.5
    value = generator.normal(size=(6, 6)) / 6**0.5
    with jax.enable_x64(True):
        bare = td.slot_attention(query_weights=query, key_weights=key, value_weights=value)
        radius = td.theory.slot_attention_radius(bare, features)
        for share in (0.9, 1.1):
            weights = {"query_weights": query, "key_weights": key * (share / radius), "value_weights": value}
            part = td.slot_attention(**weights)
            assert td.theory.slot_attention_radius(part, features) == pytest.approx(share, rel=1e-9)
            factor = grown(features, td.compose(slots=part))
            assert factor < 1e-3 if share < 1 else factor > 1e3
        for other in (part, td.slot_attention(**weights, rate=0.5, temperature=2.0)):
            dynamics = td.compose(slots=other)
            found = td.theory.stability(dynamics, features, collapsed(features, dynamics))
            assert found.difference_radius == pytest.approx(td.theory.slot_attention_radius(other, features), abs=1e-6)


def test_mean_shift_has_no_threshold_but_modes():
    """Two normal clusters as quantiles: tokens of both merge above ``2 (b^2 - v)`` and stay apart below it; in one
    normal cluster the multiplier is ``2 v / (T + 2 v)`` at every temperature.
    """
    from scipy.stats import norm

    quantiles = norm.ppf((np.arange(400) + 0.5) / 400)[:, None]
    variance, b = quantiles.var(), 2.0
    both = np.concatenate([quantiles - b, quantiles + b])
    start = np.array([[-b], [-b + 0.5], [b], [b + 0.5]])
    with jax.enable_x64(True):
        critical = td.theory.two_mode_temperature(b, variance)
        for share, distinct in ((0.9, 2), (1.1, 1)):
            shift = td.compose(shift=td.attention(temperature=share * critical, over="features"))
            tokens = np.asarray(settled(shift, both, start, 5 * STEPS))
            assert len(np.unique(tokens.round(3))) == distinct
            multipliers = td.theory.retrieval_multipliers(both, np.zeros(1), temperature=share * critical)
            assert (multipliers[0] > 1) == (distinct == 2)  # between the modes lies a saddle
        # Competing tokens are apart at a temperature at which mean shift has one mode.
        assert td.theory.attention_critical_temperature(both) > 1.1 * critical
    for temperature in (2.0, 8.0):  # far below, 400 quantiles are no density
        found = td.theory.retrieval_multipliers(quantiles, np.zeros(1), temperature=temperature)[0]
        assert found == pytest.approx(2 * variance / (temperature + 2 * variance), rel=0.01)


def test_the_multiplier_of_mean_shift_is_that_of_a_step():
    features = data(6)
    with jax.enable_x64(True):
        shift = td.compose(shift=td.attention(temperature=9.0, over="features"))
        rest = collapsed(features, shift)
        found = td.theory.stability(shift, features, rest)
        expected = td.theory.retrieval_multipliers(features, rest[0], temperature=9.0)[0]
        assert found.difference_radius == pytest.approx(expected, abs=1e-6)


def test_bad_input_is_one_sentence():
    features = np.ones((3, 2))
    with pytest.raises(ValueError, match="score: expected one of 'distance', 'dot', 'cosine', got 'cos'"):
        td.theory.attention_critical_temperature(features, score="cos")
    with pytest.raises(ValueError, match=r"query_weights: expected a number, or a matrix \[2, H\], got shape \(3, 4\)"):
        td.theory.slot_attention_radius(td.slot_attention(query_weights=np.ones((3, 4))), features)
    with pytest.raises(ValueError, match="key_weights: expected as many columns as query_weights, 4, got 2"):
        td.theory.slot_attention_radius(td.slot_attention(query_weights=np.ones((2, 4))), features)
    with pytest.raises(ValueError, match=r"point: expected shape \(2,\)"):
        td.theory.retrieval_multipliers(features, np.ones(3), temperature=1.0)
    with pytest.raises(ValueError, match="temperature: expected a number above 0, got 0"):
        td.transport(temperature=0.0)
    with pytest.raises(ValueError, match="num_iterations: expected a static integer of at least 1"):
        td.transport(temperature=1.0, num_iterations=0)
    assert np.isnan(td.theory.attention_critical_temperature(np.array([[1.0], [-1.0]]), score="cosine"))
