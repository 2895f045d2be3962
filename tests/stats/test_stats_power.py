"""Power, smallest effects, planned sizes and effect size intervals against statsmodels, and by simulation."""

import numpy as np
import pytest
import scipy.special
import scipy.stats
from statsmodels.stats.power import TTestPower

from tokdyn.stats import (
    achieved_power,
    effect_size_interval,
    minimal_detectable_effect,
    paired_t_test,
    plan_power,
    power,
)

THEIRS = TTestPower()


@pytest.mark.parametrize("n", [2, 5, 30, 1000])
@pytest.mark.parametrize("alpha", [0.001, 0.05])
def test_power_agrees_with_statsmodels(n, alpha):
    effects = np.array([0.0, 0.1, 0.5, 1.5])
    expected = [THEIRS.power(effect, n, alpha) for effect in effects]
    np.testing.assert_allclose(achieved_power(effects, n, alpha=alpha), expected, rtol=1e-7, atol=1e-10)
    np.testing.assert_allclose(achieved_power(-3 * effects, n, 3.0, alpha=alpha), expected, rtol=1e-7, atol=1e-10)


def test_power_without_an_effect_is_the_level():
    np.testing.assert_allclose(achieved_power(0.0, [2, 10, 1000, 3_000_000], num_tests=27), 0.05 / 27, rtol=1e-5)


@pytest.mark.parametrize("n", [5, 30, 1000])
def test_minimal_detectable_effect_agrees_with_statsmodels(n):
    # Their solver stops early (2e-5 at n = 1000), so the sharp comparison is their power at our effect.
    effect = float(minimal_detectable_effect(n, sd=2.0)) / 2
    np.testing.assert_allclose(effect, THEIRS.solve_power(nobs=n, alpha=0.05, power=0.8), rtol=1e-4)
    np.testing.assert_allclose(THEIRS.power(effect, n, 0.05), 0.8, rtol=1e-10)


def test_minimal_detectable_effect_is_the_inverse_of_power():
    n = np.array([[2, 3], [30, 30], [4000, 5_000_000]])
    effects = minimal_detectable_effect(n, alpha=0.01, power=0.95, num_tests=9)
    assert effects.shape == n.shape
    np.testing.assert_allclose(achieved_power(effects, n, alpha=0.01, num_tests=9), 0.95, rtol=1e-9)
    np.testing.assert_array_equal(minimal_detectable_effect(30, sd=[0.0, 1.0])[0], 0)


def test_plan_agrees_with_statsmodels_and_is_the_smallest():
    effects = np.array([0.05, 0.2, -0.5, 1.0, 4.0])
    planned = plan_power(effects, power=0.9)
    assert planned.dtype == np.int64
    expected = [np.ceil(THEIRS.solve_power(effect_size=abs(effect), alpha=0.05, power=0.9)) for effect in effects[:4]]
    np.testing.assert_array_equal(planned[:4], expected)
    assert (achieved_power(effects, planned) >= 0.9).all()
    smaller = planned > 2
    assert (achieved_power(effects[smaller], planned[smaller] - 1) < 0.9).all()
    assert plan_power(1000.0) == 2
    # The limit of many pairs: n = ((z_0.975 + z_0.8) / effect)^2, which leaves out the far tail: 1e-6 of power, for
    # which 20 pairs stand at a slope of phi(z_0.8) (z_0.975 + z_0.8) / 2 for each relative change of n.
    normal = (scipy.special.ndtri(0.975) + scipy.special.ndtri(0.8)) ** 2
    assert -25 < int(plan_power(1e-3)) - normal * 1e6 < 3
    np.testing.assert_array_equal(plan_power(0.5, num_tests=10), plan_power(0.5, alpha=0.005))
    np.testing.assert_array_equal(plan_power(1.0, sd=2.0), plan_power(0.5))


def test_power_is_what_a_simulation_finds():
    values = np.random.default_rng(0).normal(0.5, 1.0, (20_000, 12))
    found = (paired_t_test(values).p_value <= 0.05).mean()
    expected = float(achieved_power(0.5, 12))
    assert abs(found - expected) < 5 * np.sqrt(expected * (1 - expected) / 20_000)


def test_effect_size_interval_inverts_the_noncentral_t():
    size = np.array([-2.0, 0.0, 0.461, 3.0])
    interval = effect_size_interval(size, 30, confidence=0.9)
    root = np.sqrt(30)
    np.testing.assert_allclose(scipy.stats.nct.cdf(size * root, 29, interval.low * root), 0.95, rtol=1e-10)
    np.testing.assert_allclose(scipy.stats.nct.cdf(size * root, 29, interval.high * root), 0.05, rtol=1e-10)
    # An independent inverse, solved to its own coarser tolerance.
    np.testing.assert_allclose(interval.high * root, scipy.special.nctdtrinc(29, 0.05, size * root), rtol=1e-5)
    np.testing.assert_allclose(interval.low[0], -effect_size_interval(2.0, 30, confidence=0.9).high, rtol=1e-9)


def test_effect_size_interval_covers():
    values = np.random.default_rng(1).normal(0.8, 1.0, (4000, 8))
    interval = effect_size_interval(paired_t_test(values).effect_size, 8)
    covered = ((interval.low <= 0.8) & (interval.high >= 0.8)).mean()
    assert abs(covered - 0.95) < 5 * np.sqrt(0.95 * 0.05 / 4000)


@pytest.mark.parametrize(
    "call",
    [
        lambda: achieved_power(np.nan, 5),
        lambda: achieved_power(0.5, 1),
        lambda: achieved_power(0.5, 2.5),
        lambda: achieved_power(0.5, 5, 0.0),
        lambda: achieved_power([0.5, 0.6], [5, 6, 7]),
        lambda: achieved_power(0.5, 5, alpha=0.0),
        lambda: minimal_detectable_effect(5, power=0.05),
        lambda: minimal_detectable_effect(5, num_tests=0),
        lambda: minimal_detectable_effect(5, sd=-1.0),
        lambda: plan_power(0.0),
        lambda: effect_size_interval(0.5, 1),
    ],
)
def test_bad_input_is_a_sentence(call):
    with pytest.raises(ValueError, match="expected"):
        call()


def test_tails_are_those_of_scipys_distribution_thin_ones_too():
    """Where the special function gives up (NaN), the tail is 0 or 1 to machine precision."""
    rng = np.random.default_rng(12)
    freedom = np.exp(rng.uniform(0, np.log(1e5), 5000))
    noncentrality = rng.uniform(-40, 40, 5000) * rng.choice([0.01, 0.1, 1], 5000)
    statistic = noncentrality + rng.normal(0, 3, 5000) * rng.choice([0.1, 1, 3, 10], 5000)
    tails = power._upper_tail(statistic, freedom, noncentrality)
    np.testing.assert_allclose(tails, scipy.stats.nct.sf(statistic, freedom, noncentrality), rtol=1e-10, atol=1e-15)
