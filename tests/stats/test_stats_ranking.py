"""AUROC against sklearn and the definition, its coverage; calibration by hand; partial correlation by two formulas."""

import numpy as np
import pytest
from scipy import stats as scipy_stats
from sklearn.calibration import calibration_curve
from sklearn.metrics import roc_auc_score

from tokdyn.stats import area_under_roc, calibration_error, partial_rank_correlation


@pytest.mark.parametrize("method", ["delong", "hanley_mcneil"])
def test_area_agrees_with_sklearn(method):
    rng = np.random.default_rng(0)
    labels = rng.random(80) < 0.3
    scores = np.round(rng.normal(labels, 1.0, (5, 80)), 1)  # with ties
    result = area_under_roc(scores, labels, method=method)
    np.testing.assert_allclose(result.estimate, [roc_auc_score(labels, row) for row in scores], rtol=1e-12)


def test_delong_variance_is_that_of_placements():
    rng = np.random.default_rng(1)
    positive, negative = rng.normal(0.7, 1, 13), rng.normal(0, 1, 21)
    wins = (positive[:, None] > negative[None, :]).astype(float)
    variance = wins.mean(1).var(ddof=1) / 13 + wins.mean(0).var(ddof=1) / 21
    result = area_under_roc(np.concatenate([positive, negative]), [1] * 13 + [0] * 21)
    np.testing.assert_allclose(result.standard_error, np.sqrt(variance), rtol=1e-10)


def test_hanley_mcneil_is_exact_for_their_exponential_model():
    # Q1 and Q2 are those of two exponential distributions, so there the formula is the variance over repetitions.
    rng = np.random.default_rng(2)
    repeats, m, k = 4000, 12, 20
    labels = np.arange(m + k) < m
    scores = rng.exponential(np.where(labels, 3.0, 1.0), (repeats, m + k))
    area = 3 / 4
    first, second = area / (2 - area), 2 * area**2 / (1 + area)
    variance = (area * (1 - area) + (m - 1) * (first - area**2) + (k - 1) * (second - area**2)) / (m * k)
    result = area_under_roc(scores, labels, method="hanley_mcneil")
    np.testing.assert_allclose(result.estimate.var(), variance, rtol=5 * np.sqrt(2 / repeats))
    np.testing.assert_allclose((result.standard_error**2).mean(), variance, rtol=0.06)


def test_area_covers():
    rng = np.random.default_rng(3)
    repeats = 3000
    labels = np.arange(80) < 40
    scores = rng.normal(np.where(labels, 1.0, 0.0), 1.0, (repeats, 80))
    truth = scipy_stats.norm.cdf(1 / np.sqrt(2))
    result = area_under_roc(scores, labels)
    covered = ((result.low <= truth) & (truth <= result.high)).mean()
    # DeLong's interval of 40 + 40 items is about 0.01 short of its level.
    assert abs(covered - 0.95) < 0.015 + 5 * np.sqrt(0.95 * 0.05 / repeats)


def test_area_laws():
    rng = np.random.default_rng(4)
    scores, labels = rng.normal(size=50), rng.random(50) < 0.5
    forth, back = area_under_roc(scores, labels), area_under_roc(-scores, labels)
    np.testing.assert_allclose(forth.estimate + back.estimate, 1.0)
    np.testing.assert_allclose(area_under_roc(np.exp(scores), labels).low, forth.low)
    np.testing.assert_allclose(area_under_roc(scores, ~labels).high, back.high)


def test_degenerate_areas_are_marked():
    perfect = area_under_roc([1.0, 2.0, 3.0, 4.0], [0, 0, 1, 1])
    assert perfect.degenerate
    assert perfect.estimate == 1
    np.testing.assert_allclose(perfect.low, np.sqrt(0.025))  # two disjoint pairs, both won
    one_class = area_under_roc([[1.0, 2.0], [3.0, 1.0]], [1, 1])
    np.testing.assert_array_equal(one_class.degenerate, True)
    np.testing.assert_array_equal([one_class.low, one_class.high], [[0, 0], [1, 1]])
    constant = area_under_roc(np.ones(40), np.arange(40) < 20)
    assert constant.estimate == 0.5
    assert constant.degenerate
    assert constant.low < 0.5 < constant.high


def test_calibration_agrees_with_sklearn():
    rng = np.random.default_rng(5)
    stated = rng.random(500)
    right = rng.random(500) < stated**2
    for binning, strategy in (("equal_width", "uniform"), ("equal_mass", "quantile")):
        error = calibration_error(stated, right, bins=8, binning=binning)
        share, mean = calibration_curve(right, stated, n_bins=8, strategy=strategy)
        np.testing.assert_allclose(error.accuracy, share, rtol=1e-9)
        np.testing.assert_allclose(error.confidence, mean, rtol=1e-9)
        np.testing.assert_allclose(error.expected, (error.counts * np.abs(share - mean)).sum() / 500, rtol=1e-9)
        np.testing.assert_allclose(error.maximal, np.abs(share - mean).max(), rtol=1e-9)


def test_calibrated_forecasts_reach_the_stated_floor():
    rng = np.random.default_rng(6)
    stated = rng.uniform(0.3, 1.0, (400, 300))
    errors = [calibration_error(row, rng.random(300) < row) for row in stated]
    observed = np.array([each.expected for each in errors])
    floor = np.mean([each.expected_if_calibrated for each in errors])
    # The half-normal mean is exact for normal gaps; bins of 43 items are normal to a few per cent.
    assert abs(observed.mean() - floor) < 5 * observed.std() / 20 + 0.03 * floor


def test_calibration_by_hand_and_with_one_confidence():
    error = calibration_error(np.full(10, 0.8), [1] * 6 + [0] * 4)
    np.testing.assert_allclose([error.expected, error.maximal, error.bias], 0.2)
    mass = calibration_error(np.full(10, 0.8), [1] * 6 + [0] * 4, binning="equal_mass")
    np.testing.assert_allclose(mass.expected, 0.2)
    assert mass.counts.sum() == 10


def test_partial_correlation_without_controls_is_spearman():
    rng = np.random.default_rng(7)
    x, y = rng.normal(size=(2, 40))
    ours, theirs = partial_rank_correlation(x, y), scipy_stats.spearmanr(x, y)
    np.testing.assert_allclose([ours.estimate, ours.p_value], [theirs.statistic, theirs.pvalue], rtol=1e-9)


def test_partial_correlation_is_the_inverse_correlation_matrix():
    rng = np.random.default_rng(8)
    controls = rng.normal(size=(60, 3))
    x, y = controls @ [1, 0.5, 0] + rng.normal(size=60), controls @ [1, 0, 1] + rng.normal(size=60)
    matrix = np.linalg.inv(scipy_stats.spearmanr(np.column_stack([x, y, controls])).statistic)
    expected = -matrix[0, 1] / np.sqrt(matrix[0, 0] * matrix[1, 1])
    result = partial_rank_correlation(x, y, controls)
    np.testing.assert_allclose(result.estimate, expected, rtol=1e-9)
    assert result.num_controls == 3
    twice = partial_rank_correlation(x, y, np.column_stack([controls, controls[:, :1]]))
    np.testing.assert_allclose(twice.estimate, expected, rtol=1e-9)
    assert twice.num_controls == 3  # a repeated control counts once


def test_a_common_cause_is_taken_out():
    rng = np.random.default_rng(9)
    hops = rng.normal(size=4000)
    x, y = hops + rng.normal(size=(2, 4000))
    assert partial_rank_correlation(x, y).low > 0.4
    result = partial_rank_correlation(x, y, hops)
    # Ranks are not linear in a normal cause: a remainder below 0.03 stays beside five standard errors.
    assert abs(result.estimate) < 0.03 + 5 / np.sqrt(4000)


def test_partial_correlation_degenerate():
    x = np.arange(10.0)
    assert partial_rank_correlation(x, np.ones(10)).degenerate
    explained = partial_rank_correlation(x, np.roll(x, 3), x)
    assert explained.degenerate
    assert (explained.low, explained.high, explained.p_value) == (-1.0, 1.0, 1.0)
    perfect = partial_rank_correlation(x, 2 * x)
    assert perfect.estimate == pytest.approx(1.0)
    assert np.isfinite(perfect.statistic)


@pytest.mark.parametrize(
    "call",
    [
        lambda: area_under_roc([0.1, 0.2], [0, 1, 1]),
        lambda: area_under_roc([0.1, np.nan], [0, 1]),
        lambda: calibration_error([0.1, 1.2], [0, 1]),
        lambda: calibration_error([0.1, 0.2], [0, 1, 1]),
        lambda: partial_rank_correlation([1.0, 2.0, 3.0], [1.0, 2.0, 3.0]),
        lambda: partial_rank_correlation([1.0, 2.0], [1.0, 2.0, 3.0]),
    ],
)
def test_bad_input(call):
    with pytest.raises(ValueError, match="expected .*, got "):
        call()
