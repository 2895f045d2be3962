"""Tests of paired differences, for a whole family at once: Student's, Wilcoxon's and the sign test.

Every test takes differences `[..., n]`, whose leading axes are the family. Every field of a result is a number: a test
with nothing to test is marked ``degenerate`` and gets p = 1, never NaN.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from tokdyn.checks import choice
from tokdyn.stats.inputs import mid_ranks, non_negative, probability, rounding, samples
from tokdyn.stats.intervals import student_interval


class PairedTest(NamedTuple):
    """Student's paired test; every field but n has the leading shape of the differences."""

    n: int
    mean: np.ndarray
    sd: np.ndarray
    statistic: np.ndarray
    p_value: np.ndarray
    low: np.ndarray
    high: np.ndarray
    effect_size: np.ndarray
    degenerate: np.ndarray


class RankTest(NamedTuple):
    """Wilcoxon's signed-rank test; every field has the leading shape of the differences."""

    num_nonzero: np.ndarray
    statistic: np.ndarray
    p_value: np.ndarray
    exact: np.ndarray
    degenerate: np.ndarray


class SignTest(NamedTuple):
    """The sign test; every field has the leading shape of the differences."""

    wins: np.ndarray
    losses: np.ndarray
    ties: np.ndarray
    p_value: np.ndarray
    degenerate: np.ndarray


def paired_t_test(
    differences: ArrayLike, *, axis: int = -1, confidence: float = 0.95, sd_floor: float = 0.0
) -> PairedTest:
    """Student's two-sided test that the mean difference is zero, with its interval and Cohen's d_z.

    t = mean / (sd / sqrt(n)), p = P(|t_(n-1)| >= |t|), d_z = mean / (sd + sd_floor), sd with n - 1.

    If all differences of a test are equal (up to rounding in their original dtype), there is no variance by which to
    judge the mean: the test is ``degenerate``, with sd 0, statistic 0 and p = 1, and both ends of the interval are the
    mean. This also holds for a non-zero constant: the limit of the formula is t = infinity and p = 0, a certainty that
    one repeated number cannot give (two equal differences would be "proof"). `sign_flip_test`, `wilcoxon_test` and
    `sign_test` need no variance and can test such data. The effect size is then mean / sd_floor if there is a floor
    (the published formula), otherwise 0 like the statistic.

    Args:
        differences: treatment minus control `[..., n]`, n at least 2.
        axis: the axis of the pairs.
        confidence: confidence level of the interval, between 0 and 1.
        sd_floor: added to sd in the effect size; the published study used 1e-9.

    Returns:
        `PairedTest`.

    Raises:
        ValueError: NaN, fewer than two pairs, a confidence outside (0, 1), a negative floor.

    References:
        Student (1908), The probable error of a mean. Biometrika 6, 1-25.
        Cohen (1988), Statistical Power Analysis for the Behavioral Sciences, 2nd ed., section 2.3.5 (d_z).

    Example:
        >>> from tokdyn.stats import paired_t_test
        >>> test = paired_t_test([[0.1, 0.3, 0.2, 0.4], [0.0, 0.0, 0.0, 0.0]], sd_floor=1e-9)
        >>> test.p_value.round(4).tolist(), test.degenerate.tolist()
        ([0.0305, 1.0], [False, True])
    """
    from scipy import special

    array = samples("differences", differences, axis=axis)
    floor = non_negative("sd_floor", sd_floor)
    interval = student_interval(array, probability("confidence", confidence), rounding(differences))
    n, mean, sd, degenerate = interval.n, interval.mean, interval.sd, interval.degenerate
    statistic = np.where(degenerate, 0.0, mean / np.where(degenerate, 1.0, sd) * np.sqrt(n))
    # The incomplete beta function keeps its relative accuracy far into the tail.
    p_value = special.betainc((n - 1) / 2, 0.5, (n - 1) / (n - 1 + statistic**2))
    divisor = sd + floor
    effect_size = np.where(divisor > 0, mean / np.where(divisor > 0, divisor, 1.0), 0.0)
    return PairedTest(n, mean, sd, statistic, p_value, interval.low, interval.high, effect_size, degenerate)


def wilcoxon_test(differences: ArrayLike, *, axis: int = -1, method: str = "auto") -> RankTest:
    """Wilcoxon's two-sided signed-rank test: are the differences symmetric about zero?

    Zeros are dropped; the m others are ranked by size, and ties share their mean rank. W+ is the sum of the ranks of
    the positive ones, and the statistic is min(W+, W-). "exact" uses the distribution of W+ over all 2^m signs *given
    the ranks*, and is therefore exact with ties too; "asymptotic" uses the normal limit with the variance corrected for
    ties, without continuity correction.

    "auto" decides as ``scipy.stats.wilcoxon`` does for one sample: exact if n <= 13, or if n <= 50 and there is no zero
    and no tie; otherwise asymptotic. It decides for each sample separately, whereas scipy decides once for the whole
    array, so that there a zero in one sample changes the p-values of the others.

    Args:
        differences: `[..., n]`, n at least 1.
        axis: the axis of the pairs.
        method: "auto", "exact" or "asymptotic".

    Returns:
        `RankTest`; if all differences are zero, it has statistic 0, p = 1 and ``degenerate``.

    Raises:
        ValueError: NaN, no pairs, or an unknown method.

    References:
        Wilcoxon (1945), Individual comparisons by ranking methods. Biometrics Bulletin 1, 80-83.

    Example:
        >>> from tokdyn.stats import wilcoxon_test
        >>> float(wilcoxon_test([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).p_value)
        0.03125
    """
    from scipy import special

    array = samples("differences", differences, axis=axis, at_least=1)
    choice("method", method, ("auto", "exact", "asymptotic"))
    shape, n = array.shape[:-1], array.shape[-1]
    array = array.reshape(-1, n)
    doubled_ranks, has_ties = _doubled_ranks(np.abs(array))
    count = (array != 0).sum(axis=-1)
    positive = np.where(array > 0, doubled_ranks, 0).sum(axis=-1)
    total = doubled_ranks.sum(axis=-1)
    doubled_statistic = np.minimum(positive, total - positive)
    if method == "auto":
        exact = np.full(len(array), n <= 13) | (~has_ties & (count == n) & (n <= 50))
    else:
        exact = np.full(len(array), method == "exact")
    # Given the ranks r, Var W+ = sum of r^2 / 4; the shared ranks already contain the textbook correction for ties.
    deviation = np.sqrt((doubled_ranks**2).sum(axis=-1) / 4)
    z = (doubled_statistic - total / 2) / np.where(count > 0, deviation, 1.0)
    p_value = np.minimum(2 * special.ndtr(z), 1.0)
    if exact.any():
        p_value[exact] = _exact_rank_p_values(doubled_ranks[exact], doubled_statistic[exact])
    p_value = np.where(count > 0, p_value, 1.0)
    return RankTest(
        num_nonzero=count.reshape(shape),
        statistic=(doubled_statistic / 2).reshape(shape),
        p_value=p_value.reshape(shape),
        exact=exact.reshape(shape),
        degenerate=(count == 0).reshape(shape),
    )


def sign_test(differences: ArrayLike, *, axis: int = -1, tie_tolerance: float = 0.0) -> SignTest:
    """The sign test: are wins and losses equally likely? It is exact (binomial) and two-sided, and drops ties.

    p = min(1, 2 P(Binomial(wins + losses, 1/2) <= min(wins, losses))).

    Args:
        differences: `[..., n]`, n at least 1.
        axis: the axis of the pairs.
        tie_tolerance: a difference of at most this size is a tie. It must be fixed before the data are seen.

    Returns:
        `SignTest`; if all are ties, it has p = 1 and ``degenerate``.

    Raises:
        ValueError: NaN, no pairs, a negative tolerance.

    References:
        Dixon and Mood (1946), The statistical sign test. J. Am. Stat. Assoc. 41, 557-566.

    Example:
        >>> from tokdyn.stats import sign_test
        >>> test = sign_test([0.4, 0.4, 0.4, 0.1, 0.4, 0.4] + 24 * [0.0])
        >>> int(test.wins), int(test.ties), float(test.p_value)
        (6, 24, 0.03125)
    """
    from scipy import special

    array = samples("differences", differences, axis=axis, at_least=1)
    tolerance = non_negative("tie_tolerance", tie_tolerance)
    wins, losses = (array > tolerance).sum(axis=-1), (array < -tolerance).sum(axis=-1)
    count, fewer = wins + losses, np.minimum(wins, losses)
    # P(X <= k) for X ~ Binomial(m, 1/2), as an incomplete beta function; m = 0 is replaced after.
    tail = special.betainc(np.maximum(count - fewer, 1), fewer + 1, 0.5)
    return SignTest(
        wins=np.asarray(wins),
        losses=np.asarray(losses),
        ties=np.asarray(array.shape[-1] - count),
        p_value=np.where(count > 0, np.minimum(2 * tail, 1.0), 1.0),
        degenerate=np.asarray(count == 0),
    )


def _doubled_ranks(sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Twice the mid-ranks among the positive sizes `[T, n]` (0 for a zero), as integers; and which tests have ties."""
    zeros = sizes == 0
    ranks = mid_ranks(sizes) - zeros.sum(axis=-1, keepdims=True)
    doubled = np.where(zeros, 0, np.rint(2 * ranks)).astype(np.int64)
    ordered = np.sort(sizes, axis=-1)
    has_ties = ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] > 0)).any(axis=-1)
    return doubled, has_ties


def _exact_rank_p_values(doubled_ranks: np.ndarray, doubled_statistic: np.ndarray) -> np.ndarray:
    """P(min(W+, W-) <= observed) over all signs, by adding one rank at a time to the distribution of W+.

    Args:
        doubled_ranks: `[T, n]`, 0 where the difference is zero.
        doubled_statistic: `[T]`.

    Returns:
        `[T]`.
    """
    size = int(doubled_ranks.sum(axis=-1).max(initial=0)) + 1
    result = np.empty(len(doubled_ranks))
    block = max(1, 2**22 // size)  # 32 MB of probabilities at a time
    for start in range(0, len(doubled_ranks), block):
        ranks = doubled_ranks[start : start + block]
        statistic = doubled_statistic[start : start + block, None]
        probability_of = np.zeros((len(ranks), size))
        probability_of[:, 0] = 1.0
        position = np.arange(size)
        for rank in ranks.T:
            source = position - rank[:, None]
            shifted = np.take_along_axis(probability_of, np.maximum(source, 0), axis=-1)
            probability_of = 0.5 * probability_of + 0.5 * np.where(source >= 0, shifted, 0.0)
        lower = np.where(position <= statistic, probability_of, 0.0).sum(axis=-1)
        result[start : start + block] = np.minimum(2 * lower, 1.0)
    return result
