"""Student's, Wilcoxon's and the sign test against scipy, on degenerate families, and on the published cell."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tokdyn.stats import paired_t_test, sign_test, wilcoxon_test

# The one cell of the published study with p < 0.05: inertia + repulsion minus baseline, noise 0.3, K = 4, 30 seeds.
PUBLISHED = np.zeros(30)
PUBLISHED[[0, 6, 7, 10, 12, 13, 15, 16, 17, 20, 25, 29]] = [
    *(0.3722130378968389, 0.37304399706381175, 0.37260074583615255, -0.00027701245678013464),
    *(0.00022165691174569346, 0.39875601244140213, 0.00088600195371491, 0.00016623877087906802),
    *(0.00044325122765920266, 0.08545288680071084, -0.0004982940144012682, 0.37304399706381175),
]

finite = st.floats(min_value=-1e300, max_value=1e300, allow_nan=False)
families = hnp.arrays(np.float64, st.tuples(st.integers(1, 4), st.integers(2, 12)), elements=finite)
small_integers = hnp.arrays(np.int64, st.tuples(st.integers(1, 4), st.integers(1, 12)), elements=st.integers(-4, 4))


def test_t_test_agrees_with_scipy_over_leading_axes():
    values = np.random.default_rng(0).normal(0.2, 1.0, (3, 17, 4))
    ours = paired_t_test(values, axis=1, confidence=0.9)
    theirs = scipy.stats.ttest_1samp(values, 0.0, axis=1)
    interval = theirs.confidence_interval(0.9)
    assert ours.n == 17
    np.testing.assert_allclose(ours.statistic, theirs.statistic, rtol=1e-12)
    np.testing.assert_allclose(ours.p_value, theirs.pvalue, rtol=1e-10)
    np.testing.assert_allclose([ours.low, ours.high], [interval.low, interval.high], rtol=1e-10)
    np.testing.assert_allclose(ours.effect_size, values.mean(1) / values.std(1, ddof=1), rtol=1e-12)
    assert not ours.degenerate.any()


def test_t_test_keeps_relative_accuracy_in_the_far_tail():
    values = 100.0 + np.random.default_rng(1).normal(size=40)
    # p = 2 P(t > s); scipy's survival function is accurate there too.
    ours = paired_t_test(values)
    np.testing.assert_allclose(ours.p_value, 2 * scipy.stats.t.sf(float(ours.statistic), 39), rtol=1e-8)
    assert 0 < ours.p_value < 1e-60


def test_published_cell():
    test = paired_t_test(PUBLISHED, sd_floor=1e-9)
    assert round(float(test.mean), 4) == 0.0659
    assert round(float(test.statistic), 3) == 2.525
    assert round(float(test.p_value), 5) == 0.01728
    assert round(float(test.effect_size), 3) == 0.461
    assert (round(float(test.low), 4), round(float(test.high), 4)) == (0.0125, 0.1192)
    # "6 wins, 0 losses, 24 ties" counts differences above 0.01; to the last digit it is 10, 2, 18.
    coarse, fine = sign_test(PUBLISHED, tie_tolerance=0.01), sign_test(PUBLISHED)
    assert (coarse.wins, coarse.losses, coarse.ties, coarse.p_value) == (6, 0, 24, 0.03125)
    assert (fine.wins, fine.losses, fine.ties) == (10, 2, 18)
    assert round(float(wilcoxon_test(PUBLISHED, method="exact").p_value), 3) == 0.012


def test_degenerate_families_are_defined():
    values = [np.zeros(30), np.full(30, 0.1), np.full(30, 0.3) - 0.2, np.eye(30)[0]]
    test = paired_t_test(values, sd_floor=1e-9)
    assert test.degenerate.tolist() == [True, True, True, False]
    np.testing.assert_array_equal(test.statistic[:3], 0)
    np.testing.assert_array_equal(test.p_value[:3], 1)
    np.testing.assert_array_equal(test.sd[:3], 0)
    np.testing.assert_array_equal(test.low[:3], test.mean[:3])
    np.testing.assert_array_equal(test.mean[:2], [0.0, 0.1])
    np.testing.assert_allclose(test.effect_size[:2], [0.0, 1e8])  # the published formula, as published
    np.testing.assert_array_equal(paired_t_test(values).effect_size[:3], 0)
    np.testing.assert_allclose(test.statistic[3], 1.0)  # one win of 30: t is 1 whatever its size


def test_a_constant_is_judged_in_the_dtype_it_came_in():
    left, right = np.float32([0.7, 0.8, 0.9, 1.0]), np.float32([0.6, 0.7, 0.8, 0.9])
    assert np.ptp(left - right) > 0  # 0.1 in mathematics, four roundings of it in float32
    assert paired_t_test(jnp.asarray(left - right)).degenerate
    assert not paired_t_test((left - right).astype(np.float64)).degenerate
    assert paired_t_test(jnp.full(4, 0.1, jnp.bfloat16)).degenerate


@given(families)
@settings(max_examples=150, deadline=None)
def test_t_test_is_always_defined_and_odd(values):
    test, mirrored = paired_t_test(values), paired_t_test(-values)
    for name in ("mean", "sd", "statistic", "p_value", "low", "high", "effect_size"):
        assert np.isfinite(getattr(test, name)).all(), name
    assert ((test.p_value >= 0) & (test.p_value <= 1)).all()
    np.testing.assert_array_equal(test.p_value, mirrored.p_value)
    np.testing.assert_array_equal(test.statistic, -mirrored.statistic)
    np.testing.assert_array_equal(test.degenerate, mirrored.degenerate)


@pytest.mark.parametrize("scale", [2.0**-700, 2.0**700])
def test_t_test_does_not_depend_on_the_unit(scale):
    values = np.random.default_rng(2).normal(0.3, 1, 20)
    assert paired_t_test(values * scale).p_value == paired_t_test(values).p_value


@pytest.mark.parametrize("n", [1, 5, 13, 14, 30, 50, 51])
@pytest.mark.parametrize("kind", ["plain", "ties", "zeros"])
@pytest.mark.parametrize("method", ["auto", "asymptotic"])
def test_wilcoxon_agrees_with_scipy_sample_by_sample(n, kind, method):
    values = np.random.default_rng(n).normal(0.3, 1, (1 if n == 13 else 3, n))  # scipy enumerates for n <= 13
    if kind == "ties":
        values = np.round(values * 2) / 2 + 0.25
    if kind == "zeros":
        values[:, : n // 3] = 0
    ours = wilcoxon_test(values, method=method)
    for row, p_value, statistic in zip(values, ours.p_value, ours.statistic, strict=True):
        theirs = scipy.stats.wilcoxon(row, method=method, correction=False)
        np.testing.assert_allclose(p_value, theirs.pvalue, rtol=1e-10)
        np.testing.assert_allclose(statistic, theirs.statistic)


def test_wilcoxon_of_one_sample_does_not_depend_on_the_others():
    values = np.random.default_rng(3).normal(0.3, 1, (2, 30))
    alone = wilcoxon_test(values[0])
    values[1, :3] = 0
    together = wilcoxon_test(values)
    assert together.p_value[0] == alone.p_value
    assert together.exact.tolist() == [True, False]


@given(small_integers)
@settings(max_examples=80, deadline=None)
def test_exact_wilcoxon_is_the_enumeration_of_signs(values):
    test = wilcoxon_test(values, method="exact")
    n = values.shape[-1]
    signs = 1 - 2 * (np.arange(2**n)[:, None] >> np.arange(n) & 1)
    for row, p_value in zip(values, test.p_value, strict=True):
        sizes = np.abs(row)
        ranks = np.where(sizes > 0, scipy.stats.rankdata(sizes) - (sizes == 0).sum(), 0.0)
        permuted, observed = np.abs(signs @ ranks), np.abs(np.sign(row) @ ranks)
        np.testing.assert_allclose(p_value, (permuted >= observed - 1e-9).mean(), rtol=1e-12)


@given(small_integers)
@settings(max_examples=80, deadline=None)
def test_sign_test_agrees_with_the_binomial(values):
    test = sign_test(values)
    for row, p_value, degenerate in zip(values, test.p_value, test.degenerate, strict=True):
        wins, losses = int((row > 0).sum()), int((row < 0).sum())
        assert degenerate == (wins + losses == 0)
        expected = 1.0 if degenerate else scipy.stats.binomtest(wins, wins + losses).pvalue
        np.testing.assert_allclose(p_value, expected, rtol=1e-12)


def test_all_zero_is_degenerate_in_the_rank_tests():
    for test in (wilcoxon_test(np.zeros((2, 30))), sign_test(np.zeros((2, 30)))):
        assert test.degenerate.all()
        np.testing.assert_array_equal(test.p_value, 1)


@pytest.mark.parametrize("test", [paired_t_test, wilcoxon_test, sign_test])
@pytest.mark.parametrize(
    "values", [[1.0, np.nan], [1.0, np.inf], [], 3.0, [[], []], ["a", "b"], [1j, 2j], np.zeros((0, 5))]
)
def test_bad_input_is_a_sentence(test, values):
    with pytest.raises(ValueError, match="differences: expected"):
        test(values)


def test_further_bad_input():
    with pytest.raises(ValueError, match="at least 2 observations"):
        paired_t_test([1.0])
    with pytest.raises(ValueError, match="axis 3"):
        paired_t_test([[1.0, 2.0]], axis=3)
    with pytest.raises(ValueError, match="confidence"):
        paired_t_test([1.0, 2.0], confidence=95)
    with pytest.raises(ValueError, match="sd_floor"):
        paired_t_test([1.0, 2.0], sd_floor=-1.0)
    with pytest.raises(ValueError, match="method"):
        wilcoxon_test([1.0, 2.0], method="approx")
    with pytest.raises(ValueError, match="traced"):
        jax.jit(lambda x: paired_t_test(x).p_value)(jnp.ones(3))
