"""McNemar's test against statsmodels, Tango's interval by its own equation and coverage, exact power by simulation."""

import numpy as np
import pytest
from scipy import optimize
from scipy import stats as scipy_stats
from statsmodels.stats.contingency_tables import mcnemar

from tokdyn.stats import clopper_pearson, mcnemar_test, minimal_detectable_difference, proportions_equivalence
from tokdyn.stats.proportions import mcnemar_power


def arms(both, only_a, only_b, neither):
    a = [1] * both + [1] * only_a + [0] * only_b + [0] * neither
    b = [1] * both + [0] * only_a + [1] * only_b + [0] * neither
    return np.array(a), np.array(b)


@pytest.mark.parametrize("table", [(474, 14, 12, 0), (10, 9, 1, 5), (3, 0, 6, 2), (0, 1, 0, 1)])
def test_p_value_agrees_with_statsmodels(table):
    test = mcnemar_test(*arms(*table))
    expected = mcnemar([[table[0], table[1]], [table[2], table[3]]], exact=True).pvalue
    np.testing.assert_allclose(test.p_value, min(expected, 1.0), rtol=1e-9)
    assert (test.both, test.only_a, test.only_b, test.neither) == table
    assert test.n == sum(table)


def likelihood_score(b, c, n, difference):
    """Tango's statistic with the chance found by maximising the likelihood, not by the quadratic formula."""

    def loss(q):
        return -(
            b * np.log(q + difference)
            + c * np.log(max(q, 1e-300))
            + (n - b - c) * np.log(max(1 - 2 * q - difference, 1e-300))
        )

    low, high = max(0.0, -difference) + 1e-12, (1 - difference) / 2 - 1e-12
    q = optimize.minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-12}).x
    return (b - c - n * difference) / np.sqrt(n * (2 * q + difference * (1 - difference)))


@pytest.mark.parametrize(("b", "c", "n"), [(14, 12, 500), (9, 1, 25), (4, 5, 40)])
def test_interval_solves_the_score_equation(b, c, n):
    test = mcnemar_test(*arms(n - b - c, b, c, 0))
    z = scipy_stats.norm.ppf(0.975)
    np.testing.assert_allclose(likelihood_score(b, c, n, float(test.low)), z, rtol=1e-4)
    np.testing.assert_allclose(likelihood_score(b, c, n, float(test.high)), -z, rtol=1e-4)


def test_without_discordant_items_the_interval_is_in_closed_form():
    test = mcnemar_test(np.ones((2, 100)), np.ones((2, 100)))
    z = scipy_stats.norm.ppf(0.975)
    np.testing.assert_allclose(test.high, z**2 / (100 + z**2), rtol=1e-9)
    np.testing.assert_allclose(test.low, -test.high, rtol=1e-9)
    assert test.degenerate.all()
    assert (test.p_value == 1).all()


def test_swapping_the_arms_turns_the_sign():
    rng = np.random.default_rng(0)
    a, b = rng.random((5, 40)) < 0.7, rng.random((5, 40)) < 0.5
    forth, back = mcnemar_test(a, b), mcnemar_test(b, a)
    np.testing.assert_allclose(forth.low, -back.high, atol=1e-12)
    np.testing.assert_array_equal(forth.p_value, back.p_value)
    np.testing.assert_allclose(mcnemar_test(a.T, b.T, axis=0).low, forth.low)


def test_interval_covers():
    rng = np.random.default_rng(1)
    repeats = 4000
    cell = rng.choice(3, size=(repeats, 60), p=[0.15, 0.05, 0.8])  # difference 0.1
    a, b = np.where(cell == 0, 1, np.where(cell == 1, 0, 1)), np.where(cell == 1, 1, np.where(cell == 0, 0, 1))
    test = mcnemar_test(a, b)
    covered = ((test.low <= 0.1) & (test.high >= 0.1)).mean()
    # Score intervals of discrete data are a little off their level: 0.01 beside five standard errors.
    assert abs(covered - 0.95) < 0.01 + 5 * np.sqrt(0.95 * 0.05 / repeats)


def test_equivalent_is_the_interval_inside_the_bounds():
    rng = np.random.default_rng(2)
    a = rng.random((60, 200)) < 0.7
    b = np.where(rng.random((60, 200)) < 0.1, ~a, a)
    test = proportions_equivalence(a, b, bound=0.06)
    np.testing.assert_array_equal(test.equivalent, (test.low >= -0.06) & (test.high <= 0.06))
    assert 0 < test.equivalent.sum() < 60
    edge = proportions_equivalence(a[0], b[0], bound=float(test.smallest_bound[0]))
    np.testing.assert_allclose(edge.p_value, 0.05, rtol=1e-6)


def test_level_at_the_bound():
    rng = np.random.default_rng(3)
    repeats = 4000
    cell = rng.choice(3, size=(repeats, 300), p=[0.15, 0.05, 0.8])
    test = proportions_equivalence(cell != 1, cell != 0, bound=0.1)
    assert abs(test.equivalent.mean() - 0.05) < 0.01 + 5 * np.sqrt(0.05 * 0.95 / repeats)


def exact_level(n, bound, alpha=0.05):
    """The largest chance of calling two arms equivalent that differ by the bound, over all shares of "only b"."""
    wins, losses = (part.ravel() for part in np.mgrid[: min(n, 60) + 1, : min(n, 60) + 1])
    possible = wins + losses <= n
    wins, losses = wins[possible], losses[possible]
    items = np.arange(n)
    called = proportions_equivalence(items < wins[:, None], items >= n - losses[:, None], bound=bound, alpha=alpha)
    chances = []
    for q in [0.0, *np.geomspace(1e-5, 0.05, 25)]:
        counts = np.stack([wins, losses, n - wins - losses], axis=-1)
        chance = scipy_stats.multinomial.pmf(counts, n, [q + bound, q, 1 - bound - 2 * q])
        chances.append(chance[called.p_upper <= alpha].sum())
    return max(chances)


@pytest.mark.parametrize(("n", "bound"), [(200, 0.0134), (100, 0.1), (200, 0.03), (60, 0.05), (100, 0.01)])
def test_level_with_few_discordant_items(n, bound):
    """By T alone the first came to 0.067, the second to 0.058 and the third to 0.059; see the docstring for 0.056."""
    assert exact_level(n, bound) <= 0.056


@pytest.mark.parametrize("n", [20, 200, 5000])
def test_no_discordant_item_is_judged_exactly(n):
    same = np.ones(n)
    found = proportions_equivalence(same, same, bound=0.01, alpha=0.05)
    assert found.smallest_bound == pytest.approx(1 - 0.05 ** (1 / n), rel=1e-9)
    assert found.p_value == pytest.approx(0.99**n, rel=1e-9)
    # The bound is where the decision turns.
    for factor, equivalent in ((1.001, True), (0.999, False)):
        bound = float(found.smallest_bound) * factor
        assert proportions_equivalence(same, same, bound=bound).equivalent == equivalent


def test_the_interval_is_no_shorter_than_the_exact_one_where_an_arm_loses_nothing():
    for wins in range(8):
        test = mcnemar_test(*arms(100 - wins, wins, 0, 0), confidence=0.9)
        exact = clopper_pearson(wins, 100, confidence=0.9)
        assert test.high >= exact.high
        assert test.low <= exact.low
        other = mcnemar_test(*arms(100 - wins, 0, wins, 0), confidence=0.9)
        np.testing.assert_allclose([other.low, other.high], [-test.high, -test.low], atol=1e-12)


def test_identical_arms_are_equivalent_only_with_enough_items():
    few = proportions_equivalence(np.ones(20), np.ones(20), bound=0.05)
    many = proportions_equivalence(np.ones(200), np.ones(200), bound=0.05)
    assert not few.equivalent
    assert many.equivalent
    assert few.degenerate


def test_power_agrees_with_simulation():
    rng = np.random.default_rng(4)
    n, discordance, difference, repeats = 120, 0.2, 0.1, 4000
    cell = rng.choice(3, size=(repeats, n), p=[0.15, 0.05, 0.8])
    rate = (mcnemar_test(cell != 1, cell != 0).p_value <= 0.05).mean()
    power = mcnemar_power(n, discordance, difference, 0.05)
    assert abs(rate - power) < 5 * np.sqrt(power * (1 - power) / repeats)
    assert mcnemar_power(n, discordance, 0.0, 0.05) <= 0.05


def test_minimal_detectable_difference_has_the_power():
    effect = minimal_detectable_difference([50, 200, 1000], 0.15)
    for n, each in zip([50, 200, 1000], effect, strict=True):
        np.testing.assert_allclose(mcnemar_power(n, max(0.15, each), each, 0.05), 0.8, rtol=1e-6)
    assert (np.diff(effect) < 0).all()
    # Connor's normal approximation, solved by hand: z_a sqrt(psi) + z_b sqrt(psi - d^2) = d sqrt(n).
    left = 1.959964 * np.sqrt(0.15) + 0.841621 * np.sqrt(0.15 - effect[2] ** 2)
    np.testing.assert_allclose(effect[2] * np.sqrt(1000), left, rtol=0.05)


def test_minimal_detectable_difference_at_the_edges():
    # Five discordant items cannot give p <= 0.05, whatever they say; six that all go one way can.
    assert minimal_detectable_difference(5, 1.0) == np.inf
    assert minimal_detectable_difference(6, 1.0) <= 1.0
    # Nothing discordant: all differences are one way, and at least six of n are needed with probability 0.8.
    effect = float(minimal_detectable_difference(100, 0.0))
    np.testing.assert_allclose(scipy_stats.binom.sf(5, 100, effect), 0.8, rtol=1e-6)


@pytest.mark.parametrize(
    "call",
    [
        lambda: mcnemar_test([0, 2], [0, 1]),
        lambda: mcnemar_test([0, 1, 1], [0, 1]),
        lambda: mcnemar_test([], []),
        lambda: proportions_equivalence([0, 1], [0, 1], bound=0.0),
        lambda: proportions_equivalence([0, 1], [0, 1], bound=0.1, alpha=0.5),
        lambda: minimal_detectable_difference(0, 0.1),
        lambda: minimal_detectable_difference(10, 1.1),
        lambda: minimal_detectable_difference(10, 0.1, power=0.01),
    ],
)
def test_bad_input(call):
    with pytest.raises(ValueError, match="expected .*, got "):
        call()
