"""What a paired study can detect: power, the smallest effect, the number of pairs; and intervals of effect sizes.

Everything follows from the noncentral t distribution: with n pairs and a true mean difference of delta, Student's
statistic is noncentral t with n - 1 degrees of freedom and noncentrality delta sqrt(n) / sd.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from tokdyn.checks import bad, whole_number
from tokdyn.stats.inputs import numbers, probability

# Beyond this many degrees of freedom t is normal to 1e-7, while series for noncentral t become slow and inaccurate.
_NORMAL_ABOVE = 1_000_000
_MOST_PAIRS = 2**40


class EffectSizeInterval(NamedTuple):
    """Every field has the broadcast shape of the effect sizes and n."""

    estimate: np.ndarray
    low: np.ndarray
    high: np.ndarray


def achieved_power(
    effect: ArrayLike, n: ArrayLike, sd: ArrayLike = 1.0, *, alpha: float = 0.05, num_tests: int = 1
) -> np.ndarray:
    """The probability that a two-sided paired t-test with n pairs detects an effect of the given size.

    P(|t'| > t_(n-1, 1 - alpha / (2 num_tests))) with t' noncentral, noncentrality effect sqrt(n) / sd.

    Args:
        effect: true mean difference, in the units of sd.
        n: number of pairs, whole numbers of at least 2.
        sd: standard deviation of the differences, above 0.
        alpha: two-sided level of the whole family.
        num_tests: the number of tests by which the level is divided (Bonferroni).

    Returns:
        Power, in the shape that effect, n and sd broadcast to.

    Raises:
        ValueError: NaN, n below 2, an sd that is not positive, a level outside (0, 1).

    References:
        Cohen (1988), Statistical Power Analysis for the Behavioral Sciences, 2nd ed., chapter 2.

    Example:
        >>> from tokdyn.stats import achieved_power
        >>> achieved_power(0.5, [10, 34]).round(3).tolist()
        [0.293, 0.808]
    """
    effect, n, sd = _broadcast(effect=numbers("effect", effect), n=_pairs(n), sd=_spread(sd))
    level = probability("alpha", alpha) / whole_number("num_tests", num_tests, at_least=1)
    return _power(np.abs(effect) / sd * np.sqrt(n), n, level)


def minimal_detectable_effect(
    n: ArrayLike, *, sd: ArrayLike = 1.0, alpha: float = 0.05, power: float = 0.8, num_tests: int = 1
) -> np.ndarray:
    """The smallest mean difference that n pairs would detect with the given power.

    It is the solution of achieved_power(effect, n, sd) = power.

    Args:
        n: number of pairs, whole numbers of at least 2.
        sd: standard deviation of the differences, at least 0 (0 gives 0).
        alpha: two-sided level of the whole family.
        power: the desired probability of detection, above alpha.
        num_tests: the number of tests by which the level is divided (Bonferroni).

    Returns:
        Effects of at least 0, in the units of sd and the shape that n and sd broadcast to.

    Raises:
        ValueError: as for `achieved_power`, or a power that is not above the level.

    Example:
        >>> from tokdyn.stats import minimal_detectable_effect
        >>> minimal_detectable_effect([30, 1000]).round(4).tolist()
        [0.5292, 0.0887]
    """
    n, sd = _broadcast(n=_pairs(n), sd=_spread(sd, at_least_zero=True))
    level, wanted = _level_and_power(alpha, num_tests, power)
    sizes, index = np.unique(n, return_inverse=True)
    solved = _solve_rising(lambda noncentrality: _power(noncentrality, sizes, level) - wanted, np.zeros(len(sizes)))
    return solved[index].reshape(n.shape) * sd / np.sqrt(n)


def plan_power(
    effect: ArrayLike, *, sd: ArrayLike = 1.0, alpha: float = 0.05, power: float = 0.8, num_tests: int = 1
) -> np.ndarray:
    """The number of pairs with which a two-sided paired t-test detects an effect with the given power.

    It is the smallest n with achieved_power(effect, n, sd) >= power.

    Args:
        effect: true mean difference, not 0, in the units of sd; any shape.
        sd: standard deviation of the differences, above 0.
        alpha: two-sided level of the whole family.
        power: the desired probability of detection, above alpha.
        num_tests: the number of tests by which the level is divided (Bonferroni).

    Returns:
        Whole numbers of at least 2, in the shape that effect and sd broadcast to.

    Raises:
        ValueError: an effect of 0, or too small for 2^40 pairs to detect; otherwise as for
            `minimal_detectable_effect`.

    Example:
        >>> from tokdyn.stats import plan_power
        >>> plan_power([0.5, 0.2]).tolist(), int(plan_power(0.5, num_tests=27))
        ([34, 199], 68)
    """
    effect, sd = _broadcast(effect=numbers("effect", effect), sd=_spread(sd))
    level, wanted = _level_and_power(alpha, num_tests, power)
    shape, size = effect.shape, (np.abs(effect) / sd).ravel()

    def enough(pairs: np.ndarray) -> np.ndarray:
        return _power(size * np.sqrt(pairs), pairs, level) >= wanted

    short, long = np.ones(size.shape, dtype=np.int64), np.full(size.shape, 2, dtype=np.int64)
    while not (found := enough(long)).all():
        if long.max() >= _MOST_PAIRS:
            raise bad("effect", "effects that 2^40 pairs can find", f"{size.min():g} standard deviations")
        short, long = np.where(found, short, long), np.where(found, long, 2 * long)
    while (long - short > 1).any():
        middle = (short + long) // 2
        middle = np.where(long - short > 1, middle, long)
        found = enough(middle)
        short, long = np.where(found, short, middle), np.where(found, middle, long)
    return long.reshape(shape)


def effect_size_interval(effect_size: ArrayLike, n: ArrayLike, *, confidence: float = 0.95) -> EffectSizeInterval:
    """Interval of the standardised mean difference d_z, by inverting the noncentral t distribution.

    The ends are the delta with P(t' <= t | delta sqrt(n)) = 1 - alpha/2 and alpha/2, where t = d_z sqrt(n).

    Args:
        effect_size: observed mean / sd (sd with n - 1), any shape; for example `PairedTest.effect_size`.
        n: number of pairs, whole numbers of at least 2.
        confidence: confidence level, between 0 and 1.

    Returns:
        `EffectSizeInterval`.

    Raises:
        ValueError: NaN, n below 2, a confidence outside (0, 1).

    References:
        Steiger and Fouladi (1997), Noncentrality interval estimation. In What If There Were No Significance Tests?

    Example:
        >>> from tokdyn.stats import effect_size_interval
        >>> interval = effect_size_interval(0.461, 30)
        >>> round(float(interval.low), 3), round(float(interval.high), 3)
        (0.081, 0.834)
    """
    estimate, n = _broadcast(effect_size=numbers("effect_size", effect_size), n=_pairs(n))
    tail = (1 - probability("confidence", confidence)) / 2
    size, pairs = estimate.ravel(), n.ravel()
    statistic = size * np.sqrt(pairs)
    low = _solve_rising(lambda x: _upper_tail(statistic, pairs - 1, x) - tail, statistic, both_ways=True)
    high = _solve_rising(lambda x: _upper_tail(statistic, pairs - 1, x) - (1 - tail), statistic, both_ways=True)
    root = np.sqrt(n)
    return EffectSizeInterval(estimate, low.reshape(n.shape) / root, high.reshape(n.shape) / root)


def _power(noncentrality: np.ndarray, n: np.ndarray, level: float) -> np.ndarray:
    from scipy import special

    critical = -special.stdtrit(n - 1.0, level / 2)
    return _upper_tail(critical, n - 1.0, noncentrality) + _upper_tail(critical, n - 1.0, -noncentrality)


def _upper_tail(statistic: np.ndarray, freedom: np.ndarray, noncentrality: np.ndarray) -> np.ndarray:
    """P(t' > statistic); for the lower tail, reverse both signs."""
    from scipy import special  # not stats, whose import takes longer than everything that is computed here

    normal = special.ndtr(noncentrality - statistic)
    inside = freedom <= _NORMAL_ABOVE
    exact = special.nctdtr(np.minimum(freedom, _NORMAL_ABOVE), -noncentrality, -statistic)
    # The result is NaN if the tail cannot be distinguished from 0 or 1.
    exact = np.where(np.isnan(exact), noncentrality > statistic, exact)
    return np.where(inside, exact, normal)


def _solve_rising(
    function: Callable[[np.ndarray], np.ndarray], start: np.ndarray, *, both_ways: bool = False
) -> np.ndarray:
    """Zeros of increasing functions, one per entry, at or above start (or on both sides of it), by bisection."""
    low, high = start.astype(np.float64), start + 1.0
    width = 1.0
    while (short := function(high) < 0).any() and width < 1e9:
        width *= 2
        high = np.where(short, start + width, high)
    width = 1.0
    while both_ways and (above := function(low) > 0).any() and width < 1e9:
        width *= 2
        low = np.where(above, start - width, low)
    for _ in range(64):
        middle = (low + high) / 2
        below = function(middle) < 0
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return (low + high) / 2


def _level_and_power(alpha: float, num_tests: int, power: float) -> tuple[float, float]:
    level = probability("alpha", alpha) / whole_number("num_tests", num_tests, at_least=1)
    wanted = probability("power", power)
    if wanted <= level:
        raise bad("power", f"more than the level of one test, {level:g}", wanted)
    return level, wanted


def _pairs(n: Any) -> np.ndarray:
    array = numbers("n", n)
    wrong = (array < 2) | (array % 1 != 0)
    if wrong.any():
        raise bad("n", "whole numbers of at least 2", array[wrong][0])
    return array


def _spread(sd: Any, *, at_least_zero: bool = False) -> np.ndarray:
    array = numbers("sd", sd)
    wrong = array < 0 if at_least_zero else array <= 0
    if wrong.any():
        raise bad("sd", "numbers of at least 0" if at_least_zero else "numbers above 0", array[wrong][0])
    return array


def _broadcast(**arrays: np.ndarray) -> list[np.ndarray]:
    try:
        return list(np.broadcast_arrays(*arrays.values()))
    except ValueError:
        shapes = ", ".join(str(array.shape) for array in arrays.values())
        raise bad(" and ".join(arrays), "shapes that broadcast", shapes) from None
