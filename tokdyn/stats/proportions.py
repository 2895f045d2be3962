"""Two arms answering the same items: McNemar's test, interval of the difference, equivalence, detectable difference.

Everything here is based on the discordant items: b that only the first arm has right, c that only the second has.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from tokdyn.checks import bad, whole_number
from tokdyn.stats.inputs import numbers, probability, samples
from tokdyn.stats.intervals import clopper_pearson
from tokdyn.stats.paired import sign_test

_NEGLIGIBLE = 1e-12  # tail of the distribution of discordant items that the exact power ignores


class McNemarTest(NamedTuple):
    """McNemar's exact test; every field but n has the leading shape of the outcomes.

    Attributes:
        n: number of items.
        both: items that both arms have right.
        only_a: items that only the first arm has right (b).
        only_b: items that only the second arm has right (c).
        neither: items that both have wrong.
        difference: accuracy of the first arm minus that of the second, (b - c) / n.
        low: lower end of Tango's score interval of the difference.
        high: upper end of the interval.
        p_value: exact two-sided p-value.
        degenerate: there is no discordant item, hence nothing to test, and p = 1. The interval is still valid, because
            it depends on n.
    """

    n: int
    both: np.ndarray
    only_a: np.ndarray
    only_b: np.ndarray
    neither: np.ndarray
    difference: np.ndarray
    low: np.ndarray
    high: np.ndarray
    p_value: np.ndarray
    degenerate: np.ndarray


class ProportionsEquivalence(NamedTuple):
    """Two one-sided score tests; every field but n has the leading shape of the outcomes.

    Attributes:
        n: number of items.
        difference: accuracy of the first arm minus that of the second.
        p_lower: against "the difference is at or below the lower bound".
        p_upper: against "the difference is at or above the upper bound".
        p_value: the larger of the two.
        equivalent: whether it is at most alpha.
        low: lower end of the 1 - 2 alpha score interval of the difference.
        high: upper end of the interval.
        smallest_bound: the smallest symmetric bound within which these data show the difference to be.
        discordance: share of discordant items.
        minimal_detectable_effect: minimal detectable difference of McNemar's test with n items and this discordance.
        degenerate: whether there is no discordant item.
    """

    n: int
    difference: np.ndarray
    p_lower: np.ndarray
    p_upper: np.ndarray
    p_value: np.ndarray
    equivalent: np.ndarray
    low: np.ndarray
    high: np.ndarray
    smallest_bound: np.ndarray
    discordance: np.ndarray
    minimal_detectable_effect: np.ndarray
    degenerate: np.ndarray


def outcomes(name: str, values: ArrayLike, *, axis: int = -1, at_least: int = 1) -> np.ndarray:
    """Outcomes, right or wrong, with the item axis last: `[..., n]` bool.

    Args:
        name: the argument's name, for the error message.
        values: booleans, or the numbers 0 and 1.
        axis: the axis of the items.
        at_least: the least n.

    Returns:
        `[..., n]` bool.

    Raises:
        ValueError: any other value, or too few items.
    """
    array = samples(name, values, axis=axis, at_least=at_least)
    wrong = (array != 0) & (array != 1)
    if wrong.any():
        raise bad(name, "booleans, or the numbers 0 and 1", array[wrong][0])
    return array == 1


def mcnemar_test(
    correct_a: ArrayLike, correct_b: ArrayLike, *, axis: int = -1, confidence: float = 0.95
) -> McNemarTest:
    r"""McNemar's exact test: are two arms equally likely to be right on the same items?

    `p = min(1, 2 P(Binomial(b + c, 1/2) <= min(b, c)))`: the sign test of the differences, the concordant items being
    its ties. The interval of `\Delta = (b - c) / n` is Tango's: all `\Delta` with `|T(\Delta)| <= z`, where

    .. math:: T(\Delta) = \frac{b - c - n \Delta}{\sqrt{n (2 \hat q + \Delta (1 - \Delta))}}

    and `\hat q` is the maximum-likelihood probability of "only the second" given `\Delta`. It needs no variance in the
    data: without any discordant item it is `\pm z^2 / (n + z^2)`, where Wald's interval would be a single point. Where
    one arm loses no item, T is a normal approximation to a count of a few: there the interval is widened to the exact
    one of Clopper and Pearson for the other's count, if that reaches further.

    Args:
        correct_a: 0/1 outcomes of the first arm `[..., n]`.
        correct_b: 0/1 outcomes of the second arm, for the same items in the same order `[..., n]`.
        axis: the axis of the items.
        confidence: confidence level of the interval, between 0 and 1.

    Returns:
        `McNemarTest`.

    Raises:
        ValueError: values other than 0 and 1, no items, or shapes that differ.

    References:
        McNemar (1947), Note on the sampling error of the difference between correlated proportions. Psychometrika 12.
        Tango (1998), Equivalence test and confidence interval for the difference in proportions for the paired-sample
        design. Statistics in Medicine 17, 891-908.

    Example:
        >>> from tokdyn.stats import mcnemar_test
        >>> test = mcnemar_test([1] * 14 + [0] * 12 + [1] * 474, [0] * 14 + [1] * 12 + [1] * 474)
        >>> round(float(test.p_value), 3), round(float(test.low), 4), round(float(test.high), 4)
        (0.845, -0.017, 0.0255)
    """
    from scipy import special

    a, b = _two_arms(correct_a, correct_b, axis)
    n = a.shape[-1]
    signs = sign_test(a.astype(np.float64) - b)
    z = -special.ndtri((1 - probability("confidence", confidence)) / 2)
    low, high = _interval(signs.wins, signs.losses, n, z)
    return McNemarTest(
        n=n,
        both=np.asarray((a & b).sum(axis=-1)),
        only_a=signs.wins,
        only_b=signs.losses,
        neither=np.asarray((~a & ~b).sum(axis=-1)),
        difference=np.asarray((signs.wins - signs.losses) / n),
        low=low,
        high=high,
        p_value=signs.p_value,
        degenerate=signs.degenerate,
    )


def proportions_equivalence(
    correct_a: ArrayLike, correct_b: ArrayLike, *, bound: float, axis: int = -1, alpha: float = 0.05, power: float = 0.8
) -> ProportionsEquivalence:
    r"""Test that two arms' accuracies on the same items differ by less than a bound chosen beforehand.

    Two one-sided tests with Tango's score statistic T (see ``mcnemar_test``): `p = max(P(Z >= T(-bound)),
    P(Z <= T(bound)))`; equivalent if p <= alpha, that is, if the 1 - 2 alpha score interval lies within the bounds.
    Student's version (``equivalence_test``) has no variance to judge by if no item is discordant, which is exactly the
    case in which an intervention did nothing; this version judges by n. Where one arm loses no item, p is at least the
    exact `P(Binomial(n, bound) <= b)`, which is `(1 - bound)^n` without any discordant item: T alone would be wrong up
    to 6.8 % of the time at a level of 5 %. What is left is at most 5.6 % (n from 40 to 1000, bounds from 0.01 to 0.1).

    Args:
        correct_a: 0/1 outcomes of the first arm `[..., n]`.
        correct_b: 0/1 outcomes of the second arm, for the same items `[..., n]`.
        bound: largest irrelevant difference, between 0 and 1.
        axis: the axis of the items.
        alpha: level of the test, below 0.5.
        power: power for which the minimal detectable effect is computed.

    Returns:
        `ProportionsEquivalence`.

    Raises:
        ValueError: as for ``mcnemar_test``; a bound or level outside its range.

    References:
        Tango (1998), Statistics in Medicine 17, 891-908.
        Clopper and Pearson (1934), Biometrika 26, 404-413.

    Example:
        >>> from tokdyn.stats import proportions_equivalence
        >>> test = proportions_equivalence([1] * 100, [1] * 100, bound=0.05)
        >>> bool(test.equivalent), round(float(test.smallest_bound), 4)  # 1 - 0.05 ** (1 / 100)
        (True, 0.0295)
    """
    from scipy import special

    a, b = _two_arms(correct_a, correct_b, axis)
    bound = probability("bound", bound)
    alpha = probability("alpha", alpha)
    if alpha >= 0.5:
        raise bad("alpha", "a level below 0.5", alpha)
    n = a.shape[-1]
    wins, losses = (a & ~b).sum(axis=-1), (~a & b).sum(axis=-1)
    p_lower = special.ndtr(-_score(wins, losses, n, np.full(wins.shape, -bound)))
    p_upper = special.ndtr(_score(wins, losses, n, np.full(wins.shape, bound)))
    p_lower = np.where(wins == 0, np.maximum(p_lower, special.bdtr(losses, n, bound)), p_lower)
    p_upper = np.where(losses == 0, np.maximum(p_upper, special.bdtr(wins, n, bound)), p_upper)
    z = -special.ndtri(alpha)
    low, high = _interval(wins, losses, n, z)
    p_value = np.maximum(p_lower, p_upper)
    discordance = np.asarray((wins + losses) / n)
    return ProportionsEquivalence(
        n=n,
        difference=np.asarray((wins - losses) / n),
        p_lower=np.asarray(p_lower),
        p_upper=np.asarray(p_upper),
        p_value=np.asarray(p_value),
        equivalent=np.asarray(p_value <= alpha),
        low=low,
        high=high,
        smallest_bound=np.maximum(np.abs(low), np.abs(high)),
        discordance=discordance,
        minimal_detectable_effect=minimal_detectable_difference(n, discordance, alpha=alpha, power=power),
        degenerate=np.asarray(wins + losses == 0),
    )


def minimal_detectable_difference(
    n: ArrayLike, discordance: ArrayLike, *, alpha: float = 0.05, power: float = 0.8, num_tests: int = 1
) -> np.ndarray:
    r"""The smallest difference of two accuracies that McNemar's exact test detects with given power on n shared items.

    The power is exact: the number of discordant items is Binomial(n, `\psi`), and given m of them those of the first
    arm are Binomial(m, `(1 + \delta / \psi) / 2`). A difference cannot exceed the discordance, so `\psi` is the given
    discordance or `\delta`, whichever is larger. Even two arms that agreed everywhere have a smallest detectable
    difference (at level 0.05, six items that all go one way must be likely enough).

    Args:
        n: number of items, whole numbers of at least 1.
        discordance: share of items on which the arms differ, 0 to 1; broadcasts against n.
        alpha: two-sided level of the whole family.
        power: the desired probability of detection, above alpha.
        num_tests: the number of tests by which the level is divided (Bonferroni).

    Returns:
        Differences from 0 to 1 in the broadcast shape; infinity if n items cannot detect even a difference of 1.

    Raises:
        ValueError: NaN, numbers outside their range, shapes that do not broadcast.

    References:
        Connor (1987), Sample size for testing differences in proportions for the paired-sample design. Biometrics 43.

    Example:
        >>> from tokdyn.stats import minimal_detectable_difference
        >>> minimal_detectable_difference([100, 1000], 0.1).round(3).tolist()
        [0.088, 0.029]
    """
    level = probability("alpha", alpha) / whole_number("num_tests", num_tests, at_least=1)
    wanted = probability("power", power)
    if wanted <= level:
        raise bad("power", f"more than the level of one test, {level:g}", wanted)
    counts, shares = numbers("n", n), numbers("discordance", discordance)
    if (counts < 1).any() or (counts % 1 != 0).any():
        raise bad("n", "whole numbers of at least 1", counts[(counts < 1) | (counts % 1 != 0)][0])
    if ((shares < 0) | (shares > 1)).any():
        raise bad("discordance", "shares from 0 to 1", shares[(shares < 0) | (shares > 1)][0])
    try:
        counts, shares = np.broadcast_arrays(counts, shares)
    except ValueError:
        raise bad("discordance", f"a shape that broadcasts with {counts.shape}", shares.shape) from None
    pairs = np.stack([counts.ravel(), shares.ravel()], axis=-1)
    distinct, index = np.unique(pairs, axis=0, return_inverse=True)
    solved = np.array([_solve_difference(int(count), float(share), level, wanted) for count, share in distinct])
    return solved[index.ravel()].reshape(counts.shape)


def mcnemar_power(n: int, discordance: float, difference: float, level: float) -> float:
    """The exact probability that McNemar's exact test rejects, as used by ``minimal_detectable_difference``.

    Args:
        n: number of items.
        discordance: share of discordant items, at least the difference, above 0.
        difference: true difference of the accuracies, at least 0.
        level: two-sided level.

    Returns:
        A number from 0 to 1.
    """
    from scipy import special

    # By Bernstein's inequality, the mass farther from the mean is negligible.
    slack = np.log(2 / _NEGLIGIBLE)
    width = slack / 3 + np.sqrt(slack**2 / 9 + 2 * slack * n * discordance * (1 - discordance))
    mean = n * discordance
    count = np.arange(max(np.floor(mean - width), 1), min(np.ceil(mean + width), n) + 1)  # with none it never rejects
    # The largest k with P(Binomial(m, 1/2) <= k) <= level / 2; -1 if there is none.
    critical = np.floor(special.bdtrik(np.maximum(level / 2, 0.5**count), count, 0.5))
    critical = np.where(_binomial_tail(critical, count, 0.5) > level / 2, critical - 1, critical)
    share = min((1 + difference / discordance) / 2, 1.0)
    rejects = _binomial_tail(critical, count, 1 - share) + _binomial_tail(critical, count, share)
    ways = -np.log1p(n) - special.betaln(count + 1, n - count + 1)
    chance = np.exp(ways + special.xlogy(count, discordance) + special.xlog1py(n - count, -discordance))
    return float((chance * rejects).sum())


def _binomial_tail(most: np.ndarray, count: np.ndarray, share: float) -> np.ndarray:
    """P(Binomial(count, share) <= most); 0 for a most of -1."""
    from scipy import special

    return np.where(most < 0, 0.0, special.bdtr(np.maximum(most, 0), count.astype(np.int64), share))


@functools.lru_cache(maxsize=4096)  # arms of one run often have equal discordance, none above all
def _solve_difference(n: int, discordance: float, level: float, wanted: float) -> float:
    low, high = 0.0, 1.0
    if mcnemar_power(n, 1.0, 1.0, level) < wanted:
        return np.inf
    for _ in range(40):
        middle = (low + high) / 2
        if mcnemar_power(n, max(discordance, middle), middle, level) < wanted:
            low = middle
        else:
            high = middle
    return high


def _two_arms(correct_a: Any, correct_b: Any, axis: int) -> tuple[np.ndarray, np.ndarray]:
    a, b = outcomes("correct_a", correct_a, axis=axis), outcomes("correct_b", correct_b, axis=axis)
    if a.shape != b.shape:
        raise bad("correct_b", f"the shape of correct_a with the items last, {a.shape}", f"shape {b.shape}")
    return a, b


def _score(wins: np.ndarray, losses: np.ndarray, n: int, difference: np.ndarray) -> np.ndarray:
    """Tango's T; falls from plus to minus infinity as the difference goes from -1 to 1."""
    linear = -(wins + losses) + (2 * n - wins + losses) * difference
    constant = -losses * difference * (1 - difference)
    root = np.sqrt(np.maximum(linear**2 - 8 * n * constant, 0.0))
    # Of the two equivalent forms of the larger root, use the one without cancellation.
    share = np.where(
        linear > 0, -2 * constant / np.where(linear + root > 0, linear + root, 1.0), (root - linear) / (4 * n)
    )
    variance = n * (2 * share + difference * (1 - difference))
    # Without variance (difference 0 and no discordant item) the numerator is 0 as well, and so is the statistic.
    numerator = wins - losses - n * difference
    return np.where(variance > 0, numerator / np.sqrt(np.where(variance > 0, variance, 1.0)), 0.0)


def _interval(wins: np.ndarray, losses: np.ndarray, n: int, z: float) -> tuple[np.ndarray, np.ndarray]:
    """Tango's interval; where an arm loses no item, the hull of it and the exact one for the other's count."""
    from scipy import special

    low, high = _score_interval(wins, losses, n, z)
    confidence = float(1 - 2 * special.ndtr(-z))
    for count, none, sign in ((wins, losses == 0, 1.0), (losses, wins == 0, -1.0)):
        exact = clopper_pearson(count, n, confidence=confidence)
        ends = np.sort([sign * exact.low, sign * exact.high], axis=0)
        low, high = np.where(none, np.minimum(low, ends[0]), low), np.where(none, np.maximum(high, ends[1]), high)
    return low, high


def _score_interval(wins: np.ndarray, losses: np.ndarray, n: int, z: float) -> np.ndarray:
    """The differences with T = z and with T = -z `[2, ...]`, by repeated subdivision of `[-1, 1]`."""
    ends = np.reshape([z, -z], (2, *[1] * np.ndim(wins)))
    low, width = np.full((2, *np.shape(wins)), -1.0), 2.0
    # For few intervals the overhead of NumPy dominates, so that four rounds of bisection are combined into one.
    parts, rounds = (16, 15) if np.size(wins) <= 64 else (2, 60)
    cuts = np.arange(1, parts).reshape(-1, *[1] * low.ndim)
    for _ in range(rounds):
        width /= parts
        low = low + width * (_score(wins, losses, n, low + width * cuts) > ends).sum(axis=0)
    return low + width / 2
