"""Fieller's set against inverting the t-test by hand, its coverage near a zero denominator, and the bootstrap."""

import jax
import numpy as np
import pytest
from scipy import stats as scipy_stats

from tokdyn.stats import fieller_interval, paired_t_test, ratio_bootstrap


def accepted(x, y, ratio):
    """Whether Student's test of x - ratio y against 0 does not reject at 0.05: the definition of the set."""
    return scipy_stats.ttest_1samp(x - ratio * y, 0).pvalue >= 0.05


def in_set(result, ratio):
    inside = (result.low <= ratio) & (ratio <= result.high)
    outside = (ratio <= result.low) | (ratio >= result.high)
    return np.where(
        result.kind == "interval", inside, np.where(result.kind == "complement", outside, result.kind == "line")
    )


def test_the_set_is_what_the_t_test_accepts():
    rng = np.random.default_rng(0)
    kinds = set()
    for centre in (0.0, 0.15, 0.3, 1.0):
        for _ in range(20):
            y = rng.normal(centre, 1, 30)
            x = rng.normal(0.4, 1, 30) + 0.3 * y
            result = fieller_interval(x, y)
            kinds.add(str(result.kind))
            for ratio in (-50.0, -3.0, -0.5, 0.0, 0.2, 1.0, 4.0, 60.0):
                assert in_set(result, ratio) == accepted(x, y, ratio)
            # Unbounded exactly where the t-test does not reject a denominator of 0.
            assert (result.kind == "interval") == (paired_t_test(y).p_value < 0.05)
            assert (result.kind == "interval") == (result.denominator_low > 0 or result.denominator_high < 0)
    assert kinds == {"interval", "complement", "line"}


def test_transcribed_by_hand():
    x, y = np.array([1.0, 1.2, 0.8, 1.1]), np.array([2.0, 2.1, 1.9, 2.2])
    covariance = np.cov(x, y) / 4
    t = scipy_stats.t.ppf(0.975, 3)
    coefficients = [
        y.mean() ** 2 - t**2 * covariance[1, 1],
        -2 * (x.mean() * y.mean() - t**2 * covariance[0, 1]),
        x.mean() ** 2 - t**2 * covariance[0, 0],
    ]
    result = fieller_interval(x, y)
    np.testing.assert_allclose(np.sort(np.roots(coefficients)), [result.low, result.high], rtol=1e-10)


@pytest.mark.parametrize("denominator", [0.0, 0.1, 1.0])
def test_covers_even_near_zero(denominator):
    rng = np.random.default_rng(1)
    repeats, n, ratio = 4000, 20, 0.7
    y = rng.normal(denominator, 1, (repeats, n))
    x = ratio * y + rng.normal(0, 0.5, (repeats, n))
    covered = in_set(fieller_interval(x, y), ratio).mean()
    assert abs(covered - 0.95) < 5 * np.sqrt(0.95 * 0.05 / repeats)


def test_scaling_and_shape():
    rng = np.random.default_rng(2)
    x, y = rng.normal(1, 1, (3, 2, 25)), rng.normal(2, 1, (3, 2, 25))
    plain, scaled = fieller_interval(x, y), fieller_interval(100 * x, y)
    assert plain.low.shape == (3, 2)
    np.testing.assert_allclose(scaled.low, 100 * plain.low, rtol=1e-9)
    np.testing.assert_allclose(fieller_interval(np.moveaxis(x, -1, 0), np.moveaxis(y, -1, 0), axis=0).low, plain.low)


def test_degenerate():
    nothing = fieller_interval([0.1, 0.2, 0.3], [0.0, 0.0, 0.0])
    assert str(nothing.kind) == "undefined"
    assert np.isinf(nothing.ratio)
    sure = fieller_interval([0.3, 0.3, 0.3], [0.6, 0.6, 0.6])
    assert sure.degenerate
    np.testing.assert_allclose([sure.low, sure.high], 0.5)
    both = fieller_interval([0.0, 0.0], [0.0, 0.0])
    assert str(both.kind) == "undefined"
    assert both.ratio == 0


def test_bootstrap_agrees_with_fieller_where_the_denominator_is_sure():
    rng = np.random.default_rng(3)
    y = rng.normal(2, 0.5, 400)
    x = 0.5 * y + rng.normal(0, 0.5, 400)
    drawn, exact = ratio_bootstrap(jax.random.key(0), x, y), fieller_interval(x, y)
    width = float(exact.high - exact.low)
    assert drawn.defined
    # The bootstrap's end has a standard error of about width / sqrt(10,000) * 1.3; its own bias is of order 1 / n.
    np.testing.assert_allclose([drawn.low, drawn.high], [exact.low, exact.high], atol=0.06 * width)


def test_bootstrap_refuses_a_denominator_of_either_sign():
    rng = np.random.default_rng(4)
    result = ratio_bootstrap(jax.random.key(0), rng.normal(1, 1, 30), rng.normal(0.05, 1, 30), num_resamples=2000)
    assert not result.defined
    assert result.sign_changes > 0.1
    zero = ratio_bootstrap(jax.random.key(0), [1.0, 2.0], [0.0, 0.0], num_resamples=10)
    assert not zero.defined
    assert zero.low == -np.inf


def test_bad_input():
    with pytest.raises(ValueError, match="denominator: expected"):
        fieller_interval([1.0, 2.0, 3.0], [1.0, 2.0])
    with pytest.raises(ValueError, match="numerator: expected"):
        ratio_bootstrap(jax.random.key(0), [np.nan, 2.0], [1.0, 2.0])
