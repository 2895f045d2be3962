"""Bootstrap intervals: exact variances, scipy's formulas on the same resamples, coverage, memory blocks, keys."""

import functools
import types

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from constant_keys import constant_key

from tokdyn.stats import bits, bootstrap, hierarchical_bootstrap, paired_bootstrap

KEY = constant_key(11)


@pytest.mark.parametrize(("method", "theirs"), [("percentile", "percentile"), ("bca", "BCa")])
@pytest.mark.parametrize("statistic", [np.mean, np.std])
def test_agrees_with_scipy_on_the_same_resamples(method, theirs, statistic):
    values = np.random.default_rng(0).exponential(size=(2, 23))
    ours_statistic = {np.mean: jnp.mean, np.std: jnp.std}[statistic]
    interval = paired_bootstrap(KEY, values, num_resamples=500, method=method, statistic=ours_statistic)
    resampled = bootstrap._resampled(KEY, values, 500, ours_statistic, purpose="paired_bootstrap")
    for index, row in enumerate(values):
        given = types.SimpleNamespace(bootstrap_distribution=resampled[index])
        result = scipy.stats.bootstrap((row,), statistic, n_resamples=0, bootstrap_result=given, method=theirs)
        expected = result.confidence_interval
        np.testing.assert_allclose([interval.low[index], interval.high[index]], expected, rtol=1e-9)
        np.testing.assert_allclose(interval.standard_error[index], result.standard_error, rtol=1e-9)
        np.testing.assert_allclose(interval.estimate[index], statistic(row), rtol=1e-12)


def test_standard_error_of_a_mean_is_the_one_in_closed_form():
    values = np.random.default_rng(1).normal(size=(5, 40))
    interval = paired_bootstrap(KEY, values, num_resamples=8000)
    exact = values.std(-1) / np.sqrt(40)  # over all 40^40 resamples
    assert (np.abs(interval.standard_error / exact - 1) < 5 / np.sqrt(2 * 8000)).all()


@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_coverage_for_a_normal_mean(method):
    # The resampled mean is nearly normal with sd s0 / sqrt(n), so the coverage is P(|t_(n-1)| < z sqrt((n-1)/n)).
    n, num_tests, num_resamples = 40, 2000, 1000
    values = np.random.default_rng(2).normal(1.0, 1.0, (num_tests, n))
    interval = paired_bootstrap(KEY, values, num_resamples=num_resamples, confidence=0.9, method=method)
    covered = ((interval.low <= 1) & (interval.high >= 1)).mean()
    expected = 1 - 2 * scipy.stats.t.sf(1.6449 * np.sqrt((n - 1) / n), n - 1)
    # Variance: the tests, and the two ends' levels, which all tests share since they share the resamples.
    variance = expected * (1 - expected) / num_tests + 2 * 0.05 * 0.95 / num_resamples
    assert abs(covered - expected) < 4 * np.sqrt(variance)


def test_bca_follows_the_skewness():
    values = np.random.default_rng(3).exponential(size=(50, 30))
    plain = paired_bootstrap(KEY, values, num_resamples=1000)
    corrected = paired_bootstrap(KEY, values, num_resamples=1000, method="bca")
    assert ((corrected.low + corrected.high) > (plain.low + plain.high)).mean() > 0.95


def test_degenerate_and_almost_degenerate_families_are_defined():
    values = np.stack([np.zeros(30), np.full(30, 0.1), np.eye(30)[0]])
    for method in ("percentile", "bca"):
        interval = paired_bootstrap(KEY, values, num_resamples=500, method=method)
        assert interval.degenerate.tolist() == [True, True, False]
        np.testing.assert_allclose(interval.low[:2], [0, 0.1], rtol=1e-12)
        np.testing.assert_allclose(interval.high[:2], [0, 0.1], rtol=1e-12)
        assert 0 <= interval.low[2] < 1 / 30 < interval.high[2]
        assert all(np.isfinite(field).all() for field in interval)


def test_blocks_chunks_precision_and_companions_do_not_show(monkeypatch):
    values = np.random.default_rng(4).normal(size=(7, 15))
    whole = paired_bootstrap(KEY, values, num_resamples=300)
    with jax.enable_x64(True):
        np.testing.assert_array_equal(paired_bootstrap(KEY, values, num_resamples=300).low, whole.low)
    assert not jax.config.jax_enable_x64
    alone = paired_bootstrap(KEY, values[3], num_resamples=300)
    assert alone.low.shape == ()
    np.testing.assert_allclose(alone.low, whole.low[3], rtol=1e-12)
    monkeypatch.setattr(bits, "_ELEMENTS_PER_BLOCK", 105 * 7)
    monkeypatch.setattr(bootstrap, "_ELEMENTS_PER_DISTRIBUTION", 300 * 3)
    for mine, theirs in zip(paired_bootstrap(KEY, values, num_resamples=300), whole, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-12)
    again = paired_bootstrap(jax.random.key(12), values, num_resamples=300)
    assert (again.low != whole.low).all()


def test_leading_axes_and_axis():
    values = np.random.default_rng(5).normal(size=(2, 9, 3))
    interval = paired_bootstrap(KEY, values, num_resamples=50, axis=1)
    assert all(field.shape == (2, 3) for field in interval)


@pytest.mark.parametrize("weighting", ["groups", "items"])
def test_hierarchical_standard_error_is_the_one_in_closed_form(weighting):
    # Balanced: Var = (variance of group means) / G + (mean variance inside) / (G I), both with divisor n.
    rng = np.random.default_rng(6)
    values = rng.normal(size=(2, 8, 1)) + 2 * rng.normal(size=(2, 8, 5))
    interval = hierarchical_bootstrap(KEY, values, num_resamples=8000, weighting=weighting)
    exact = np.sqrt(values.mean(-1).var(-1) / 8 + values.var(-1).mean(-1) / 40)
    assert (np.abs(interval.standard_error / exact - 1) < 5 / np.sqrt(2 * 8000)).all()
    np.testing.assert_allclose(interval.estimate, values.mean((-2, -1)))


def test_hierarchical_masks():
    rng = np.random.default_rng(7)
    values = rng.normal(size=(6, 5)) + np.arange(6)[:, None]
    mask = rng.uniform(size=(6, 5)) < 0.6
    mask[:, 2] = True
    mask[4] = False
    values[~mask] = np.nan
    by_group = hierarchical_bootstrap(KEY, values, mask, num_resamples=400)
    by_item = hierarchical_bootstrap(KEY, values, mask, num_resamples=400, weighting="items")
    rows = [row[kept] for row, kept in zip(values, mask, strict=True) if kept.any()]
    np.testing.assert_allclose(by_group.estimate, np.mean([row.mean() for row in rows]))
    np.testing.assert_allclose(by_item.estimate, np.concatenate(rows).mean())
    assert by_group.low < by_group.estimate < by_group.high
    # A group of one item has no spread inside: only the groups' own variance is left.
    single = np.eye(5, dtype=bool)[:, :3].any(-1)  # three groups with items
    lonely = hierarchical_bootstrap(
        KEY, np.arange(5.0)[:, None] * np.ones(4), single[:, None] & (np.arange(4) == 1), num_resamples=8000
    )
    exact = np.std([0, 1, 2]) / np.sqrt(3)
    assert abs(lonely.standard_error / exact - 1) < 5 / np.sqrt(2 * 8000)


def test_hierarchical_covers_where_the_flat_bootstrap_does_not():
    rng = np.random.default_rng(8)
    values = rng.normal(size=(300, 20, 1)) + 0.5 * rng.normal(size=(300, 20, 6))
    nested = hierarchical_bootstrap(KEY, values, num_resamples=400, confidence=0.9)
    flat = paired_bootstrap(KEY, values.reshape(300, -1), num_resamples=400, confidence=0.9)
    # Var of the nested resampling over the true one is (19/20)(1 + small): coverage near P(|t_19| < 1.645 sqrt(.95+)).
    lowest = 1 - 2 * scipy.stats.t.sf(1.6449 * np.sqrt(19 / 20), 19)
    variance = lowest * (1 - lowest) / 300 + 2 * 0.05 * 0.95 / 400
    covered = ((nested.low <= 0) & (nested.high >= 0)).mean()
    assert abs(covered - lowest - 0.01) < 4 * np.sqrt(variance)
    assert ((flat.low <= 0) & (flat.high >= 0)).mean() < 0.7


def test_other_values_compile_nothing(monkeypatch):
    drawn = jax.jit(chex.assert_max_traces(bits._bits, n=1), static_argnames=("block", "width"))
    monkeypatch.setattr(bits, "_program", lambda effort: drawn)
    original = bootstrap._compiled.__wrapped__
    counted = functools.cache(lambda function: original(chex.assert_max_traces(function, n=1)))
    monkeypatch.setattr(bootstrap, "_compiled", counted)
    rng = np.random.default_rng(9)
    for seed in range(3):
        paired_bootstrap(jax.random.key(seed), rng.normal(size=(2, 11)), num_resamples=64, confidence=0.5 + seed / 10)
        hierarchical_bootstrap(jax.random.key(seed), rng.normal(size=(4, 5)), num_resamples=64)


@pytest.mark.parametrize(
    "call",
    [
        lambda: paired_bootstrap(KEY, [1.0, np.nan]),
        lambda: paired_bootstrap(KEY, [1.0]),
        lambda: paired_bootstrap(KEY, [1.0, 2.0], method="basic"),
        lambda: paired_bootstrap(KEY, [1.0, 2.0], confidence=0.0),
        lambda: paired_bootstrap(KEY, [1.0, 2.0], num_resamples=1),
        lambda: paired_bootstrap(KEY, [1.0, 2.0], num_resamples=9, statistic=jnp.sort),
        lambda: paired_bootstrap(KEY, [0.0, -2.0], num_resamples=9, statistic=lambda x: jnp.log(x).mean()),
        lambda: hierarchical_bootstrap(KEY, [1.0, 2.0]),
        lambda: hierarchical_bootstrap(KEY, [[1.0, 2.0]]),
        lambda: hierarchical_bootstrap(KEY, [[1.0, np.nan], [1.0, 2.0]]),
        lambda: hierarchical_bootstrap(KEY, np.ones((2, 3)), np.ones((3, 2), dtype=bool)),
        lambda: hierarchical_bootstrap(KEY, np.ones((2, 3)), np.array([[True] * 3, [False] * 3])),
        lambda: hierarchical_bootstrap(KEY, np.ones((2, 3)), weighting="both"),
    ],
)
def test_bad_input_is_a_sentence(call):
    with pytest.raises(ValueError, match="expected"):
        call()
