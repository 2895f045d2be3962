"""Holm and Benjamini-Hochberg against statsmodels, and the laws of an adjustment."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from statsmodels.stats.multitest import multipletests

from tokdyn.stats import benjamini_hochberg, holm

METHODS = {holm: "holm", benjamini_hochberg: "fdr_bh"}
p_values = hnp.arrays(
    np.float64, st.integers(1, 12), elements=st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.01, 0.5, 1.0]))
)


@pytest.mark.parametrize("adjust", METHODS)
def test_agrees_with_statsmodels(adjust):
    rng = np.random.default_rng(0)
    for size in (1, 2, 9, 27):  # few: statsmodels collects garbage at every call
        values = np.round(rng.uniform(size=size) ** 3, 2)  # with ties and zeros
        expected = multipletests(values, method=METHODS[adjust])[1]
        np.testing.assert_allclose(adjust(values), expected, rtol=1e-12)


@pytest.mark.parametrize("adjust", METHODS)
@given(values=p_values, data=st.data())
@settings(max_examples=100, deadline=None)
def test_left_out_tests_do_not_count(adjust, values, data):
    include = np.array(data.draw(st.lists(st.booleans(), min_size=len(values), max_size=len(values))))
    adjusted = adjust(values, include=include)
    np.testing.assert_array_equal(adjusted[~include], 1)
    if include.any():
        np.testing.assert_allclose(adjusted[include], adjust(values[include]), rtol=1e-12)


@pytest.mark.parametrize("adjust", METHODS)
def test_any_axis_and_leading_axes(adjust):
    values = np.random.default_rng(0).uniform(size=(3, 8, 2))
    include = np.arange(8)[:, None] != 3
    adjusted = adjust(values, axis=1, include=include)
    assert adjusted.shape == values.shape
    for first in range(3):
        for last in range(2):
            single = adjust(values[first, :, last], include=include[:, 0])
            np.testing.assert_array_equal(adjusted[first, :, last], single)


@pytest.mark.parametrize("adjust", METHODS)
@given(values=p_values)
@settings(max_examples=50, deadline=None)
def test_adjusted_values_are_larger_and_in_the_same_order(adjust, values):
    adjusted = adjust(values)
    assert (adjusted >= values * (1 - 1e-15)).all()
    assert (adjusted <= 1).all()
    assert (np.diff(adjusted[np.argsort(values, kind="stable")]) >= 0).all()
    assert (benjamini_hochberg(values) <= holm(values) * (1 + 1e-15)).all()


def test_family_wise_error_and_false_discovery_rate_under_the_null():
    # With every hypothesis true both rates are P(any rejection): Simes is exact for uniform p, Holm is below alpha.
    values = np.random.default_rng(1).uniform(size=(20_000, 27))
    deviation = 5 * np.sqrt(0.05 * 0.95 / 20_000)
    assert abs((benjamini_hochberg(values) <= 0.05).any(-1).mean() - 0.05) < deviation
    expected = 1 - (1 - 0.05 / 27) ** 27
    assert abs((holm(values) <= 0.05).any(-1).mean() - expected) < deviation


def test_published_family():
    # 27 tests with smallest p = 0.0173: nothing is left after correction.
    values = np.concatenate([[0.01728], np.linspace(0.13, 1, 26)])
    assert round(float(holm(values)[0]), 2) == 0.47
    assert round(float(benjamini_hochberg(values)[0]), 2) == 0.47


@pytest.mark.parametrize("adjust", METHODS)
@pytest.mark.parametrize("values", [[0.1, np.nan], [0.1, 1.1], [-0.1], [], 0.3, np.ones((0, 3))])
def test_bad_p_values(adjust, values):
    with pytest.raises(ValueError, match="p_values: expected"):
        adjust(values)


@pytest.mark.parametrize("include", [[1, 0], [True, False, True], np.ones((2, 2), dtype=bool)])
def test_bad_include(include):
    with pytest.raises(ValueError, match="include: expected"):
        holm([0.1, 0.2], include=include)
