"""Confidence intervals in closed form, for a proportion and for a mean."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from tokdyn.checks import bad
from tokdyn.stats.inputs import is_constant, numbers, probability, rounding, samples


class ProportionInterval(NamedTuple):
    """A share with its interval; every field has the broadcast shape of successes and trials."""

    estimate: np.ndarray
    low: np.ndarray
    high: np.ndarray


class MeanInterval(NamedTuple):
    """A mean with its interval; every field but n has the leading shape of the values."""

    n: int
    mean: np.ndarray
    sd: np.ndarray
    low: np.ndarray
    high: np.ndarray
    degenerate: np.ndarray


def clopper_pearson(successes: ArrayLike, trials: ArrayLike, *, confidence: float = 0.95) -> ProportionInterval:
    """The exact interval of a proportion, whose coverage is at least the confidence level for any n and any proportion.

    With x of n: low = the alpha/2 quantile of Beta(x, n - x + 1), high = the 1 - alpha/2 quantile of
    Beta(x + 1, n - x); low is 0 at x = 0 and high is 1 at x = n.

    Args:
        successes: whole numbers, any shape.
        trials: whole numbers of at least 1 that broadcast against successes.
        confidence: confidence level, between 0 and 1.

    Returns:
        `ProportionInterval`.

    Raises:
        ValueError: not whole numbers, no trials, more successes than trials, or shapes that do not broadcast.

    References:
        Clopper and Pearson (1934), The use of confidence or fiducial limits. Biometrika 26, 404-413.

    Example:
        >>> from tokdyn.stats import clopper_pearson
        >>> interval = clopper_pearson([0, 27], 30)
        >>> interval.low.round(3).tolist(), interval.high.round(3).tolist()
        ([0.0, 0.735], [0.116, 0.979])
    """
    from scipy import special

    tail = (1 - probability("confidence", confidence)) / 2
    successes, trials = numbers("successes", successes), numbers("trials", trials)
    if (trials < 1).any() or (trials % 1 != 0).any():
        raise bad("trials", "whole numbers of at least 1", trials[(trials < 1) | (trials % 1 != 0)][0])
    try:
        successes, trials = np.broadcast_arrays(successes, trials)
    except ValueError:
        raise bad("successes", f"a shape that broadcasts with {trials.shape}", successes.shape) from None
    wrong = (successes < 0) | (successes > trials) | (successes % 1 != 0)
    if wrong.any():
        raise bad("successes", "whole numbers from 0 to trials", successes[wrong][0])
    # The clipped arguments only keep the unused branch of each `where` inside the domain.
    low = special.betaincinv(np.maximum(successes, 1), trials - successes + 1, tail)
    high = special.betaincinv(successes + 1, np.maximum(trials - successes, 1), 1 - tail)
    return ProportionInterval(
        estimate=np.asarray(successes / trials),
        low=np.where(successes == 0, 0.0, low),
        high=np.where(successes == trials, 1.0, high),
    )


def mean_interval(
    values: ArrayLike, *, axis: int = -1, confidence: float = 0.95, within: tuple[float, float] | None = None
) -> MeanInterval:
    """Student's interval of a mean: mean +- t_(n-1, 1-alpha/2) sd / sqrt(n).

    Args:
        values: `[..., n]`, n at least 2.
        axis: the axis of the observations.
        confidence: confidence level, between 0 and 1.
        within: what a value can be, such as ``(0, 1)`` for shares: ends beyond it are cut off, which takes no truth
            away.

    Returns:
        `MeanInterval`. If all values of a sample are equal (up to rounding), `degenerate` is True, sd is 0, and both
        ends are the mean: the limit of the formula, which says nothing about the uncertainty.

    Raises:
        ValueError: NaN, fewer than two observations, a confidence outside (0, 1), a value outside ``within``.

    Example:
        >>> from tokdyn.stats import mean_interval
        >>> interval = mean_interval([1.0, 2.0, 3.0, 4.0])
        >>> round(float(interval.low), 4), round(float(interval.high), 4)
        (0.4457, 4.5543)
    """
    array = samples("values", values, axis=axis)
    found = student_interval(array, probability("confidence", confidence), rounding(values))
    if within is None:
        return found
    if array.min() < within[0] or array.max() > within[1]:
        raise bad("values", f"from {within[0]:g} to {within[1]:g}", f"{array.min():g} to {array.max():g}")
    return found._replace(low=np.maximum(found.low, within[0]), high=np.minimum(found.high, within[1]))


def student_interval(values: np.ndarray, confidence: float, epsilon: float) -> MeanInterval:
    """`mean_interval` on checked input `[..., n]`; epsilon is that of the original dtype."""
    from scipy import special

    n = values.shape[-1]
    # Scale by a power of two, which causes no rounding, so that squares neither overflow nor underflow.
    exponent = np.frexp(np.abs(values).max(axis=-1))[1]
    scaled = np.ldexp(values, -exponent[..., None])
    mean = np.ldexp(scaled.mean(axis=-1), exponent)
    sd = scaled.std(axis=-1, ddof=1)
    degenerate = is_constant(scaled, sd, epsilon)
    sd = np.ldexp(sd, exponent)
    mean = np.where(degenerate, values[..., 0], mean)  # not a rounded mean of equal numbers
    sd = np.where(degenerate, 0.0, sd)
    half_width = -special.stdtrit(n - 1, (1 - confidence) / 2) * sd / np.sqrt(n)
    return MeanInterval(n, mean, sd, mean - half_width, mean + half_width, degenerate)
