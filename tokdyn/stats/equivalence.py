"""Showing that there is *no* effect of relevant size: two one-sided tests."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from tokdyn.checks import bad
from tokdyn.stats.inputs import numbers, probability, rounding, samples
from tokdyn.stats.intervals import student_interval
from tokdyn.stats.power import minimal_detectable_effect

BOUND = 0.02
"""The largest difference of accuracy, and the largest donor lift, that does not matter, where nobody names another.

One number for audits, ablations and studies, so that the same items are never "no effect" in one place and
"inconclusive" in another. It must be smaller than what is at stake: were it not, an arm that takes a whole gain away
would have "no effect". Gains that are published for latent reasoning are small: of the 42 in the main table of DMLR 39
are below 0.05, 32 below 0.03 and 23 below 0.02, half of them at most 0.017. And it must be within reach of a benchmark:
149 items of which none changes show a difference to be inside 0.02 (`0.98^149 < 0.05`), 0.01 takes twice as many.
"""


class EquivalenceTest(NamedTuple):
    """Two one-sided tests; every field but n has the leading shape of the differences."""

    n: int
    mean: np.ndarray
    sd: np.ndarray
    p_lower: np.ndarray  # against "the mean is at or below the lower bound"
    p_upper: np.ndarray  # against "the mean is at or above the upper bound"
    p_value: np.ndarray
    equivalent: np.ndarray
    low: np.ndarray
    high: np.ndarray
    smallest_bound: np.ndarray
    minimal_detectable_effect: np.ndarray
    degenerate: np.ndarray


def equivalence_test(
    differences: ArrayLike,
    *,
    bound: float | None = None,
    low: float | None = None,
    high: float | None = None,
    axis: int = -1,
    alpha: float = 0.05,
    power: float = 0.8,
) -> EquivalenceTest:
    """Test that the mean difference lies within bounds that were chosen beforehand (TOST, paired).

    p = max(P(t >= (mean - low) / se), P(t <= (mean - high) / se)), se = sd / sqrt(n), n - 1 degrees of freedom;
    equivalent if p <= alpha, that is, if the 1 - 2 alpha interval of the mean lies within the bounds.

    A large p-value of an ordinary test does not show that there is no effect; this test does. If it fails as well,
    the minimal detectable effect says what the study could have detected.

    Args:
        differences: `[..., n]`, n at least 2.
        bound: the bounds are -bound and bound; or give both low and high.
        low: the lower bound.
        high: the upper bound.
        axis: the axis of the pairs.
        alpha: level of the test.
        power: power for which the minimal detectable effect is computed.

    Returns:
        `EquivalenceTest`: low and high are the 1 - 2 alpha interval of the mean; smallest_bound is the smallest
        symmetric bound within which these data show the mean to be; minimal_detectable_effect is that of the ordinary
        two-sided test at level alpha with the observed sd. If all differences are equal, there is no variance to judge
        by: ``degenerate``, p = 1, not equivalent, the interval at the mean, minimal detectable effect 0.

    Raises:
        ValueError: NaN, fewer than two pairs, neither or both ways of giving bounds, low not below high.

    References:
        Schuirmann (1987), A comparison of the two one-sided tests procedure and the power approach. J. Pharmacokinet.
        Biopharm. 15, 657-680.

    Example:
        >>> from tokdyn.stats import equivalence_test
        >>> test = equivalence_test([0.01, -0.02, 0.0, 0.01, -0.01], bound=0.05)
        >>> bool(test.equivalent), round(float(test.p_value), 4)
        (True, 0.0006)
    """
    from scipy import special

    array = samples("differences", differences, axis=axis)
    lower, upper = _bounds(bound, low, high)
    alpha = probability("alpha", alpha)
    if alpha >= 0.5:
        raise bad("alpha", "a level below 0.5", alpha)
    interval = student_interval(array, 1 - 2 * alpha, rounding(differences))
    n, mean, degenerate = interval.n, interval.mean, interval.degenerate
    error = np.where(degenerate, 1.0, interval.sd) / np.sqrt(n)
    p_lower = np.where(degenerate, 1.0, special.stdtr(n - 1, -(mean - lower) / error))
    p_upper = np.where(degenerate, 1.0, special.stdtr(n - 1, (mean - upper) / error))
    p_value = np.maximum(p_lower, p_upper)
    return EquivalenceTest(
        n=n,
        mean=mean,
        sd=interval.sd,
        p_lower=p_lower,
        p_upper=p_upper,
        p_value=p_value,
        equivalent=p_value <= alpha,
        low=interval.low,
        high=interval.high,
        smallest_bound=np.maximum(np.abs(interval.low), np.abs(interval.high)),
        minimal_detectable_effect=minimal_detectable_effect(n, sd=interval.sd, alpha=alpha, power=power),
        degenerate=degenerate,
    )


def _bounds(bound: Any, low: Any, high: Any) -> tuple[float, float]:
    if (bound is None) == (low is None or high is None) or (bound is not None and (low, high) != (None, None)):
        raise bad("bound", "either bound, or low and high", f"bound={bound}, low={low}, high={high}")
    if bound is not None:
        low, high = -bound, bound
    lower, upper = numbers("low", low), numbers("high", high)
    if lower.ndim or upper.ndim or not lower < upper:
        raise bad("bound", "one number above 0, or low below high", f"low={low}, high={high}")
    return float(lower), float(upper)
