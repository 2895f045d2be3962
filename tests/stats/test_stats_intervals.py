"""Intervals in closed form against statsmodels and scipy, their edges and their coverage."""

import numpy as np
import pytest
import scipy.stats
from statsmodels.stats.proportion import proportion_confint

from tokdyn.stats import clopper_pearson, mean_interval


@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.999])
def test_clopper_pearson_agrees_with_statsmodels(confidence):
    trials = np.array([1, 2, 30, 1000])
    for n in trials:
        successes = np.arange(0, n + 1, max(1, n // 30))
        ours = clopper_pearson(successes, n, confidence=confidence)
        low, high = proportion_confint(successes, n, alpha=1 - confidence, method="beta")
        np.testing.assert_allclose(ours.low, np.nan_to_num(low, nan=0.0), rtol=1e-9)
        np.testing.assert_allclose(ours.high, np.nan_to_num(high, nan=1.0), rtol=1e-9)
        np.testing.assert_allclose(ours.estimate, successes / n)


def test_clopper_pearson_at_the_edges_is_the_rule_in_closed_form():
    n = np.array([[1], [10], [300]])
    none, every = clopper_pearson(0, n), clopper_pearson(n, n)
    assert none.low.shape == (3, 1)
    np.testing.assert_array_equal(none.low, 0)
    np.testing.assert_array_equal(every.high, 1)
    np.testing.assert_allclose(none.high, 1 - 0.025 ** (1 / n), rtol=1e-12)
    np.testing.assert_allclose(every.low, 0.025 ** (1 / n), rtol=1e-12)


def test_clopper_pearson_covers_at_least_as_often_as_it_says():
    n = 12
    interval = clopper_pearson(np.arange(n + 1), n, confidence=0.9)
    share = np.linspace(0.001, 0.999, 500)[:, None]
    inside = (interval.low <= share) & (share <= interval.high)
    coverage = (scipy.stats.binom.pmf(np.arange(n + 1), n, share) * inside).sum(-1)
    assert (coverage >= 0.9 - 1e-12).all()


@pytest.mark.parametrize(("successes", "trials"), [(3, 2), (-1, 2), (0.5, 2), (0, 0), (np.nan, 2), ([1, 2, 3], [4, 5])])
def test_clopper_pearson_bad_input(successes, trials):
    with pytest.raises(ValueError, match="expected"):
        clopper_pearson(successes, trials)


def test_mean_interval_agrees_with_scipy():
    values = np.random.default_rng(0).normal(3, 2, (5, 8, 3))
    ours = mean_interval(values, axis=1, confidence=0.9)
    low, high = scipy.stats.t.interval(0.9, 7, loc=values.mean(1), scale=scipy.stats.sem(values, axis=1))
    np.testing.assert_allclose([ours.low, ours.high], [low, high], rtol=1e-10)


def test_mean_interval_covers():
    values = np.random.default_rng(1).normal(1.0, 2.0, (10_000, 6))
    interval = mean_interval(values)
    covered = ((interval.low <= 1) & (interval.high >= 1)).mean()
    assert abs(covered - 0.95) < 5 * np.sqrt(0.95 * 0.05 / 10_000)


def test_mean_interval_ends_where_values_do():
    values = np.array([[0.0, 0.1, 0.9, 1.0], [0.4, 0.5, 0.5, 0.6]])
    plain, cut = mean_interval(values), mean_interval(values, within=(0, 1))
    assert plain.low[0] < 0
    assert plain.high[0] > 1
    np.testing.assert_array_equal([cut.low[0], cut.high[0]], [0, 1])
    np.testing.assert_array_equal([cut.low[1], cut.high[1]], [plain.low[1], plain.high[1]])
    with pytest.raises(ValueError, match="values: expected from 0 to 0.5, got 0 to 1"):
        mean_interval(values, within=(0, 0.5))


def test_mean_interval_of_a_constant_is_marked():
    interval = mean_interval(np.full((2, 7), 0.1))
    assert interval.degenerate.all()
    np.testing.assert_array_equal([interval.mean, interval.low, interval.high], 0.1)
    np.testing.assert_array_equal(interval.sd, 0)
    with pytest.raises(ValueError, match="at least 2"):
        mean_interval([1.0])
    with pytest.raises(ValueError, match="confidence"):
        mean_interval([1.0, 2.0], confidence=1.0)
