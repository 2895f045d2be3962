"""The forecast against runs, and the sentences that say when an answer is worthless."""

import warnings

import jax
import numpy as np
import pytest

import tokdyn as td
from tokdyn.theory import preview

RNG = np.random.default_rng(0)
GAUSSIAN = RNG.normal(size=(400, 3)) * np.array([2.0, 1.0, 1.0])
SKEWED = RNG.exponential(size=(400, 3))
CLUSTERS = np.concatenate([RNG.normal(centre, 0.3, (100, 3)) for centre in (-4.0, 0.0, 4.0, 9.0)])


@pytest.fixture(scope="module")
def distinct():
    """Distinct tokens of 12 random starts, for features `[400, 3]` and 6 tokens: one program for all."""
    run = lambda features, temperature: td.vmap(  # noqa: E731
        lambda key: (
            td.run(
                td.compose(attract=td.attraction(temperature=temperature)),
                key,
                features,
                num_tokens=6,
                max_steps=300,
                tol=1e-4,
            ).num_distinct
        )
    )(jax.random.split(jax.random.key(0), 12))
    program = jax.jit(run)
    return lambda features, temperature: np.asarray(program(features.astype(np.float32), np.float32(temperature)))


@pytest.mark.parametrize(
    ("features", "ratio", "regime"),
    [
        (GAUSSIAN, 0.05, "none"),
        (GAUSSIAN, 0.95, "partial"),
        (GAUSSIAN, 1.5, "full"),
        (SKEWED, 1.05, "start-dependent"),
        (CLUSTERS, 0.3, "partial"),
        (CLUSTERS, 1.4, "full"),
    ],
)
def test_the_forecast_is_what_runs_do(distinct, features, ratio, regime):
    critical = td.theory.critical_temperature(features)
    forecast = td.collapse_forecast(features, num_tokens=6, temperature=ratio * critical)
    assert forecast.regime == regime
    assert forecast.ratio == pytest.approx(ratio)
    assert forecast.critical_temperature == pytest.approx(critical)
    found = distinct(features, ratio * critical)
    if regime == "none":
        assert (found == 6).mean() >= 0.9
    elif regime == "partial":
        assert (found < 6).mean() >= 0.9
        assert found.max() > 1
    elif regime == "full":
        assert found.max() == 1
    else:  # tokens apart are stable, and so is (the law) the state with all at one point
        assert found.max() > 1
        assert forecast.spinodal > forecast.critical_temperature * 1.05


def test_the_preview_is_the_attraction():
    """From the same tokens, the same end: the NumPy loop against ``td.run``."""
    sample = preview.sample_of(SKEWED, 512)
    starts = preview.random_starts(sample, 4, 3)
    ended, rests = preview.settled(sample, starts, 0.2, 300)
    dynamics = td.compose(attract=td.attraction(temperature=0.2))
    for start, end in zip(starts, ended, strict=True):
        result = td.run(dynamics, None, sample.points, tokens=start, max_steps=300, tol=preview.TOL)
        np.testing.assert_allclose(end, result.tokens, atol=2e-4)  # both stop within the tolerance
    assert rests.all()
    crowd = np.array([[[0.0, 0], [0.005, 0], [1, 0]], [[0, 0], [1, 0], [2, 0]]])
    assert preview.num_distinct(crowd).tolist() == [2, 3]


def test_a_sample_counts_as_all():
    """Weights add up to the number of features, and keep the mean and the critical temperature."""
    many = RNG.normal(size=(30_000, 2)) * np.array([2.0, 1.0])
    sample = preview.sample_of(many, 1024)
    # 64 outermost of 16,384 looked at, the others at random: weights stand for those looked at.
    assert sample.weights.sum() == pytest.approx(preview.MOST_LOOKED_AT, rel=1e-5)
    assert preview.critical_of(sample) * sample.spread**2 == pytest.approx(8.0, rel=0.15)


def test_a_small_far_group_survives_above_the_critical_temperature(distinct):
    """Tokens that found it keep it: the spinodal is not bound to the critical temperature."""
    features = np.concatenate([RNG.normal(size=(380, 3)), RNG.normal(size=(20, 3)) + np.array([12.0, 0.0, 0.0])])
    critical = td.theory.critical_temperature(features)
    forecast = td.collapse_forecast(features, num_tokens=6, temperature=1.3 * critical)
    assert forecast.regime == "start-dependent"
    assert forecast.spinodal > 1.5 * critical
    assert 1 in distinct(features, 1.3 * critical)
    assert distinct(features, 1.3 * critical).max() > 1


def test_degenerate_features_have_a_forecast():
    constant = td.collapse_forecast(np.ones((20, 3)), num_tokens=4, temperature=1.0)
    assert (constant.regime, constant.ratio, constant.critical_temperature) == ("full", np.inf, 0.0)
    assert "use num_tokens=1" in str(constant)
    assert td.collapse_forecast(GAUSSIAN, num_tokens=1, temperature=1e9).regime == "none"
    for scale in (1e-12, 1e12):
        scaled = td.collapse_forecast(SKEWED * scale, num_tokens=6, temperature=3.0 * scale**2)
        assert scaled.regime == td.collapse_forecast(SKEWED, num_tokens=6, temperature=3.0).regime
    assert td.collapse_forecast(SKEWED[:, :1], num_tokens=3, temperature=0.0).ratio == 0.0


def test_the_sentence_names_the_number_to_use():
    forecast = td.collapse_forecast(GAUSSIAN, num_tokens=5, temperature=100.0)
    automatic = td.theory.automatic_temperature(GAUSSIAN, num_tokens=5)
    assert forecast.suggested_temperature == pytest.approx(automatic)
    assert f"use a temperature of about {automatic:.3g}" in forecast.sentence
    assert f"{forecast.ratio:.3g} times the critical temperature" in forecast.sentence


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"num_tokens": 401}, "num_tokens: expected at most the number of features, 400, got 401"),
        ({"num_tokens": 0}, "num_tokens: expected a static integer of at least 1, got 0"),
        ({"temperature": -1.0}, "temperature: expected a number of at least 0, got -1.0"),
        ({"features": np.full((9, 2), np.nan)}, "features: expected finite numbers, got infinite or NaN entries"),
    ],
)
def test_bad_arguments_get_a_sentence(arguments, sentence):
    given = {"features": GAUSSIAN, "num_tokens": 3, "temperature": 1.0} | arguments
    with pytest.raises(ValueError, match=sentence):
        td.collapse_forecast(given.pop("features"), **given)


class TestGuide:
    COLD, HOT = (td.compose(attract=td.attraction(temperature=t)) for t in (1e-3, 1e3))

    def said(self, features, dynamics, tokens, num_distinct, tol=1e-6):
        guide = td.theory.Guide(features, len(tokens))
        return guide.warnings(dynamics, tokens, num_distinct=num_distinct, tol=tol)

    def test_nothing_is_said_of_a_good_answer(self):
        assert self.said(GAUSSIAN, self.COLD, GAUSSIAN[:4], 4) == []
        assert self.said(GAUSSIAN, self.HOT, GAUSSIAN[:1], 1) == []

    def test_too_hot(self):
        (sentence,) = self.said(GAUSSIAN, self.HOT, np.zeros((4, 3)), 1)
        automatic = td.theory.automatic_temperature(GAUSSIAN, num_tokens=4)
        assert "times the critical temperature" in sentence
        assert "1 of 4 tokens is distinct" in sentence
        assert f"use about {automatic:.3g}" in sentence
        apart = td.compose(attract=td.attraction(temperature=1e3), repel=td.repulsion(strength=0.1))
        assert self.said(GAUSSIAN, apart, GAUSSIAN[:4], 4) == []  # repulsion keeps them apart

    def test_merged_tokens_are_told_where_they_part(self):
        """Two tokens share a cluster: they part below the critical temperature of that cluster."""
        tokens = np.array([[-4.0] * 3, [-4.0] * 3, [0.0] * 3, [4.0] * 3, [9.0] * 3])
        dynamics = td.compose(attract=td.attraction(temperature=2.0))
        (sentence,) = self.said(CLUSTERS, dynamics, tokens, 4)
        shared = td.theory.critical_temperature(CLUSTERS[:100])
        assert f"part below a temperature of {shared:.3g}" in sentence
        assert f"use about {shared / 2:.3g}, or num_tokens=4" in sentence
        (started,) = self.said(CLUSTERS, self.COLD, tokens, 4)
        assert "started at the same points" in started

    def test_fewer_features_than_tokens(self):
        (sentence,) = self.said(np.repeat(GAUSSIAN[:2], 30, axis=0), self.COLD, np.zeros((5, 3)), 2)
        assert sentence.startswith("The features hold only 2 different points for 5 tokens")
        assert sentence.endswith("use num_tokens=2.")

    def test_a_tolerance_too_wide(self):
        (sentence,) = self.said(
            GAUSSIAN * 1e-12, td.compose(attract=td.attraction(temperature=1e-27)), GAUSSIAN[:4] * 1e-12, 4, tol=1e-4
        )
        assert "Tolerance 0.0001 is above a hundredth of the features' spread" in sentence

    def test_a_temperature_that_is_no_number(self):
        with pytest.raises(ValueError, match="temperature: expected a number of at least 0, or 'auto', got 'warm'"):
            td.theory.Guide(GAUSSIAN, 2).temperature("warm")


def test_the_named_temperature_keeps_merged_tokens_apart():
    """Following the advice of a warning, once, leads to an answer without one."""
    start = np.concatenate([CLUSTERS[[0, 1, 100, 101]], CLUSTERS[[200, 300]]])
    dynamics = td.compose(attract=td.attraction(temperature=1.0))

    def run(temperature):
        cooler = td.with_values(dynamics, {"attract.temperature": temperature})
        return td.run(cooler, None, CLUSTERS, tokens=start, max_steps=400, tol=1e-5)

    guide = td.theory.Guide(CLUSTERS, 6)
    merged = run(1.0)
    (sentence,) = guide.warnings(dynamics, merged.tokens, num_distinct=merged.num_distinct, tol=1e-5)
    named = float(sentence.split("use about ")[1].split(",")[0])
    assert int(merged.num_distinct) == 4
    assert int(run(named).num_distinct) == 6


def test_the_category_is_a_warning_of_users():
    assert issubclass(td.CollapseWarning, UserWarning)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", td.CollapseWarning)
        warnings.warn("quiet", td.CollapseWarning, stacklevel=1)
