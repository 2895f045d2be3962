"""The equivalence test against statsmodels, its level at the bound, and its degenerate families."""

import numpy as np
import pytest
from statsmodels.stats.weightstats import ttost_paired

from tokdyn.stats import equivalence_test, minimal_detectable_effect


@pytest.mark.parametrize(("low", "high"), [(-0.5, 0.5), (-0.1, 0.9)])
def test_agrees_with_statsmodels(low, high):
    rng = np.random.default_rng(0)
    left, right = rng.normal(0.1, 1, (6, 25)), rng.normal(0, 1, (6, 25))
    ours = equivalence_test(left - right, low=low, high=high)
    for index in range(6):
        p_value, lower, upper = ttost_paired(left[index], right[index], low, high)
        np.testing.assert_allclose(ours.p_value[index], p_value, rtol=1e-9)
        np.testing.assert_allclose([ours.p_lower[index], ours.p_upper[index]], [lower[1], upper[1]], rtol=1e-9)


def test_equivalent_is_the_interval_inside_the_bounds():
    values = np.random.default_rng(1).normal(0.05, 0.3, (40, 20))
    test = equivalence_test(values, bound=0.2)
    np.testing.assert_array_equal(test.equivalent, (test.low > -0.2) & (test.high < 0.2))
    np.testing.assert_array_equal(test.equivalent, test.smallest_bound < 0.2)
    assert 0 < test.equivalent.sum() < 40
    at_the_bound = [equivalence_test(row, bound=edge) for row, edge in zip(values, test.smallest_bound, strict=True)]
    np.testing.assert_allclose([float(each.p_value) for each in at_the_bound], 0.05, rtol=1e-9)


def test_level_at_the_bound():
    # With a true mean exactly at the bound and a far lower bound, the test rejects with probability alpha.
    values = np.random.default_rng(2).normal(1.0, 1.0, (20_000, 10))
    rate = equivalence_test(values, low=-50.0, high=1.0).equivalent.mean()
    assert abs(rate - 0.05) < 5 * np.sqrt(0.05 * 0.95 / 20_000)


def test_minimal_detectable_effect_is_in_the_units_of_the_data():
    values = np.random.default_rng(3).normal(size=(4, 30))
    test = equivalence_test(values, bound=1.0, alpha=0.01, power=0.9)
    expected = minimal_detectable_effect(30, sd=values.std(-1, ddof=1), alpha=0.01, power=0.9)
    np.testing.assert_allclose(test.minimal_detectable_effect, expected, rtol=1e-12)


def test_no_variance_proves_nothing():
    test = equivalence_test([np.zeros(30), np.full(30, 0.3)], bound=0.5)
    assert test.degenerate.all()
    assert not test.equivalent.any()
    np.testing.assert_array_equal(test.p_value, 1)
    np.testing.assert_array_equal(test.minimal_detectable_effect, 0)
    np.testing.assert_array_equal(test.smallest_bound, [0, 0.3])


@pytest.mark.parametrize(
    "bounds",
    [{}, {"bound": 0.0}, {"bound": -1.0}, {"low": -1.0}, {"bound": 1.0, "low": -1.0}, {"low": 1.0, "high": 0.0}],
)
def test_bad_bounds(bounds):
    with pytest.raises(ValueError, match="bound: expected"):
        equivalence_test([0.1, 0.2, 0.3], **bounds)


def test_bad_level():
    with pytest.raises(ValueError, match="alpha: expected"):
        equivalence_test([0.1, 0.2, 0.3], bound=1.0, alpha=0.5)
