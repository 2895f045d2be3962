"""The pigeonhole bootstrap: its variance in closed form, its coverage, and where the nested one is too narrow."""

import jax
import numpy as np
import pytest

from tokdyn.stats import crossed_bootstrap, hierarchical_bootstrap


def test_variance_is_owens():
    # Resampling means of a fixed table: the variance is known exactly from the table's own decomposition.
    rng = np.random.default_rng(0)
    table = rng.normal(size=(4, 1)) + rng.normal(size=(1, 30)) + rng.normal(size=(4, 30))
    rows, columns, mean = table.mean(1), table.mean(0), table.mean()
    rest = table - rows[:, None] - columns[None, :] + mean
    expected = rows.var() / 4 + columns.var() / 30 + rest.var() / 120
    interval = crossed_bootstrap(jax.random.key(0), table, num_resamples=40_000)
    # The variance of a sample variance of R nearly normal draws is 2 / R of its square.
    np.testing.assert_allclose(interval.standard_error**2, expected, rtol=5 * np.sqrt(2 / 40_000))
    np.testing.assert_allclose(interval.estimate, mean)


def test_covers_shared_items_where_the_nested_bootstrap_does_not():
    rng = np.random.default_rng(1)
    repeats, seeds, items = 400, 6, 40
    tables = rng.normal(size=(repeats, 1, items)) + 0.3 * rng.normal(size=(repeats, seeds, items))
    crossed = crossed_bootstrap(jax.random.key(1), tables, num_resamples=1000)
    nested = hierarchical_bootstrap(jax.random.key(1), tables, num_resamples=1000)
    slack = 5 * np.sqrt(0.95 * 0.05 / repeats)
    assert ((crossed.low <= 0) & (crossed.high >= 0)).mean() > 0.94 - slack  # 40 items: one per cent short
    assert ((nested.low <= 0) & (nested.high >= 0)).mean() < 0.75


def test_families_keys_and_degenerate():
    rng = np.random.default_rng(2)
    tables = rng.normal(size=(2, 3, 5, 7))
    first = crossed_bootstrap(jax.random.key(0), tables, num_resamples=300)
    again = crossed_bootstrap(jax.random.key(0), tables, num_resamples=300)
    np.testing.assert_array_equal(first.low, again.low)
    assert first.low.shape == (2, 3)
    constant = crossed_bootstrap(jax.random.key(0), np.full((3, 9), 0.1), num_resamples=300)
    assert constant.degenerate
    assert constant.low == constant.high == constant.estimate


@pytest.mark.parametrize("values", [np.ones(4), np.ones((1, 4)), np.ones((4, 1)), np.full((2, 2), np.nan)])
def test_bad_values(values):
    with pytest.raises(ValueError, match="values: expected"):
        crossed_bootstrap(jax.random.key(0), values)
