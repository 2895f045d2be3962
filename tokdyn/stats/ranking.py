"""How well a score separates right from wrong: area under the ROC curve, calibration, partial rank correlation."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from tokdyn.checks import bad, choice, whole_number
from tokdyn.stats.inputs import mid_ranks, numbers, probability, samples
from tokdyn.stats.proportions import outcomes


class AreaUnderROC(NamedTuple):
    """The area under the ROC curve; every field has the leading shape of the scores.

    Attributes:
        estimate: probability that a positive item scores higher than a negative one, with ties counting half; 0.5 if
            there is only one class.
        standard_error: DeLong's or Hanley and McNeil's standard error; 0 if the data give none.
        low: lower end of the interval.
        high: upper end of the interval.
        positives: number of positive items.
        negatives: number of negative items.
        degenerate: there is no standard error, because of a single class (the interval is then 0 to 1), perfect
            separation, or constant scores (the interval is then the conservative one of ``area_under_roc``).
    """

    estimate: np.ndarray
    standard_error: np.ndarray
    low: np.ndarray
    high: np.ndarray
    positives: np.ndarray
    negatives: np.ndarray
    degenerate: np.ndarray


class CalibrationError(NamedTuple):
    """The gap between stated confidence and accuracy.

    Attributes:
        expected: the gap averaged over items (ECE).
        maximal: the largest gap of any non-empty bin (MCE).
        expected_if_calibrated: the approximate value of ``expected``, for these confidences and bins, if every item
            were right with exactly its stated probability. An ``expected`` of this size is therefore no evidence.
        bias: mean confidence minus accuracy; positive means overconfident.
        counts: items in each bin `[bins]`.
        confidence: mean confidence in each bin `[bins]`; 0 in an empty bin.
        accuracy: share of right answers in each bin `[bins]`; 0 in an empty bin.
        edges: edges of the bins `[bins + 1]`.
        n: number of items.
    """

    expected: float
    maximal: float
    expected_if_calibrated: float
    bias: float
    counts: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray
    edges: np.ndarray
    n: int


class PartialCorrelation(NamedTuple):
    """A rank correlation with controls held fixed.

    Attributes:
        estimate: correlation from -1 to 1; 0 if degenerate.
        statistic: Student's t.
        p_value: two-sided p-value; 1 if degenerate.
        low: lower end of the interval.
        high: upper end of the interval.
        n: number of items.
        num_controls: independent columns among the controls' ranks.
        degenerate: the controls explain x or y completely, or one of them is constant; the interval is -1 to 1.
    """

    estimate: float
    statistic: float
    p_value: float
    low: float
    high: float
    n: int
    num_controls: int
    degenerate: bool


def area_under_roc(
    scores: ArrayLike, labels: ArrayLike, *, axis: int = -1, confidence: float = 0.95, method: str = "delong"
) -> AreaUnderROC:
    r"""Area under the ROC curve: the probability that a positive item scores above a negative one, with an interval.

    `A = (\sum_{i \in +} R_i - m (m + 1) / 2) / (m k)` with mid-ranks R, m positive and k negative items. "delong": the
    variance is `s_+^2 / m + s_-^2 / k`, the sample variances over items of the share of the other class that each one
    beats. "hanley_mcneil": `(A (1 - A) + (m - 1)(Q_1 - A^2) + (k - 1)(Q_2 - A^2)) / (m k)`, `Q_1 = A / (2 - A)`,
    `Q_2 = 2 A^2 / (1 + A)`. The interval is `A \pm z` standard errors, cut at 0 and 1.

    If that standard error is 0, the interval would claim certainty. Instead, min(m, k) disjoint pairs are then used as
    independent trials: if all are won (or lost) the interval is Clopper and Pearson's, otherwise Hoeffding's.

    Args:
        scores: scores `[..., n]`, where higher should mean positive.
        labels: booleans or 0/1 `[n]`, or in the shape of scores.
        axis: the axis of the items.
        confidence: confidence level, between 0 and 1.
        method: "delong" or "hanley_mcneil".

    Returns:
        `AreaUnderROC`.

    Raises:
        ValueError: NaN, labels that are not 0/1, or shapes that do not fit.

    References:
        DeLong, DeLong and Clarke-Pearson (1988), Comparing the areas under two or more correlated ROC curves.
        Biometrics 44, 837-845. Hanley and McNeil (1982), Radiology 143, 29-36.

    Example:
        >>> from tokdyn.stats import area_under_roc
        >>> area = area_under_roc([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1])
        >>> float(area.estimate), bool(area.degenerate)
        (0.75, False)
    """
    from scipy import special

    values = samples("scores", scores, axis=axis, at_least=1)
    positive = outcomes("labels", labels, axis=axis if np.ndim(labels) > 1 else -1)
    tail = (1 - probability("confidence", confidence)) / 2
    choice("method", method, ("delong", "hanley_mcneil"))
    if positive.shape not in (values.shape, values.shape[-1:]):
        raise bad("labels", f"shape {values.shape} or {values.shape[-1:]}", f"shape {positive.shape}")
    shape, n = values.shape[:-1], values.shape[-1]
    rows = [
        _one_area(row, truth, -special.ndtri(tail), tail, method)
        for row, truth in zip(
            values.reshape(-1, n), np.broadcast_to(positive, values.shape).reshape(-1, n), strict=True
        )
    ]
    return AreaUnderROC(*(np.array(column).reshape(shape) for column in zip(*rows, strict=True)))


def calibration_error(
    confidence: ArrayLike, correct: ArrayLike, *, bins: int = 10, binning: str = "equal_width"
) -> CalibrationError:
    r"""Expected and maximal calibration error: confidence compared with accuracy, bin by bin.

    `\mathrm{ECE} = \sum_b (n_b / n) |\mathrm{acc}_b - \mathrm{conf}_b|`, and the largest gap. Sampling noise alone
    makes it positive, the more so the more bins there are; ``expected_if_calibrated`` is that level,
    `\sum_b \sqrt{(2 / \pi) \sum_{i \in b} c_i (1 - c_i)} / n`.

    Args:
        confidence: confidences from 0 to 1 `[items]`.
        correct: outcomes, 0 or 1 `[items]`.
        bins: number of bins.
        binning: "equal_width" (a bin is open on the left) or "equal_mass" (quantiles; equal confidences stay together,
            so that some bins may be empty).

    Returns:
        `CalibrationError`.

    Raises:
        ValueError: confidences outside 0 to 1, outcomes that are not 0/1, or lengths that differ.

    References:
        Guo, Pleiss, Sun and Weinberger (2017), On calibration of modern neural networks. ICML.
        Nguyen and O'Connor (2015), Posterior calibration and exploratory analysis for NLP models. EMNLP (equal mass).

    Example:
        >>> from tokdyn.stats import calibration_error
        >>> error = calibration_error([0.9, 0.9, 0.9, 0.9, 0.2, 0.2], [1, 1, 1, 0, 0, 0], bins=5)
        >>> round(error.expected, 4), round(error.maximal, 4)
        (0.1667, 0.2)
    """
    stated = samples("confidence", confidence, at_least=1)
    right = outcomes("correct", correct)
    if stated.ndim != 1 or right.shape != stated.shape:
        raise bad("correct", f"one axis [items] as confidence has, {stated.shape}", f"shape {right.shape}")
    if ((stated < 0) | (stated > 1)).any():
        raise bad("confidence", "numbers from 0 to 1", stated[(stated < 0) | (stated > 1)][0])
    bins = whole_number("bins", bins, at_least=1)
    if choice("binning", binning, ("equal_width", "equal_mass")) == "equal_width":
        edges = np.linspace(0.0, 1.0, bins + 1)
    else:
        edges = np.quantile(stated, np.linspace(0.0, 1.0, bins + 1))
    index = np.clip(np.searchsorted(edges, stated, side="left") - 1, 0, bins - 1)

    def per_bin(weights: np.ndarray) -> np.ndarray:
        return np.bincount(index, weights=weights, minlength=bins)

    counts = np.bincount(index, minlength=bins)
    divisor = np.maximum(counts, 1)
    mean, share = per_bin(stated) / divisor, per_bin(right.astype(np.float64)) / divisor
    gaps = np.abs(share - mean)
    noise = np.sqrt(2 / np.pi * per_bin(stated * (1 - stated)))
    return CalibrationError(
        expected=float((counts * gaps).sum() / len(stated)),
        maximal=float(gaps.max()),
        expected_if_calibrated=float(noise.sum() / len(stated)),
        bias=float(stated.mean() - right.mean()),
        counts=counts,
        confidence=mean,
        accuracy=share,
        edges=edges,
        n=len(stated),
    )


def partial_rank_correlation(
    x: ArrayLike, y: ArrayLike, controls: ArrayLike | None = None, *, confidence: float = 0.95
) -> PartialCorrelation:
    r"""Spearman's correlation of x and y with the controls held fixed.

    All are replaced by their mid-ranks; r is the correlation of the residuals of x and y after a linear fit on the
    ranks of the controls (with a constant). `t = r \sqrt{(n - 2 - k) / (1 - r^2)}` with k independent controls; the
    interval is Fisher's, `\tanh(\mathrm{artanh}\, r \pm z \sqrt{(1 + r^2 / 2) / (n - 3 - k)})`.

    Args:
        x: `[items]`.
        y: `[items]`.
        controls: `[items]` or `[items, controls]`; None for Spearman's correlation itself.
        confidence: confidence level, between 0 and 1.

    Returns:
        `PartialCorrelation`.

    Raises:
        ValueError: NaN, lengths that differ, or fewer than k + 4 items.

    References:
        Bonett and Wright (2000), Sample size requirements for estimating Pearson, Kendall and Spearman correlations.
        Psychometrika 65, 23-28.

    Example:
        >>> from tokdyn.stats import partial_rank_correlation
        >>> hops = [1, 2, 3, 4, 5, 6, 7, 8]  # drives both
        >>> result = partial_rank_correlation([2, 1, 4, 3, 6, 5, 8, 7], [1, 3, 2, 4, 5, 7, 6, 8], hops)
        >>> round(result.estimate, 3)
        -0.768
    """
    from scipy import special

    first, second = samples("x", x), samples("y", y)
    if first.ndim != 1 or second.shape != first.shape:
        raise bad("y", f"one axis [items] as x has, {first.shape}", f"shape {second.shape}")
    n = len(first)
    columns = np.zeros((n, 0)) if controls is None else numbers("controls", controls)
    columns = columns[:, None] if columns.ndim == 1 else columns
    if columns.ndim != 2 or len(columns) != n:
        raise bad("controls", f"[items] or [items, controls] with {n} items", f"shape {columns.shape}")
    tail = (1 - probability("confidence", confidence)) / 2
    ranks = mid_ranks(np.vstack([first, second, columns.T])).T
    ranks -= ranks.mean(axis=0)
    left, singular, _ = np.linalg.svd(ranks[:, 2:], full_matrices=False)
    independent = singular > 1e-10 * n**1.5
    basis = left[:, independent]
    num_controls = int(independent.sum())
    if n < num_controls + 4:
        raise bad("x", f"at least {num_controls + 4} items for {num_controls} controls", n)
    residuals = ranks[:, :2] - basis @ (basis.T @ ranks[:, :2])
    lengths = np.sqrt((residuals**2).sum(axis=0))
    if (lengths <= 1e-9 * n**1.5).any():
        return PartialCorrelation(0.0, 0.0, 1.0, -1.0, 1.0, n, num_controls, True)
    r = float(np.clip((residuals[:, 0] * residuals[:, 1]).sum() / lengths.prod(), -1.0, 1.0))
    freedom = n - 2 - num_controls
    statistic = r * np.sqrt(freedom / max(1 - r**2, np.finfo(np.float64).eps))
    p_value = float(special.betainc(freedom / 2, 0.5, freedom / (freedom + statistic**2)))
    centre = np.arctanh(np.clip(r, -1 + 1e-15, 1 - 1e-15))
    width = -special.ndtri(tail) * np.sqrt((1 + r**2 / 2) / (freedom - 1))
    return PartialCorrelation(
        r,
        float(statistic),
        p_value,
        float(np.tanh(centre - width)),
        float(np.tanh(centre + width)),
        n,
        num_controls,
        False,
    )


def _one_area(
    scores: np.ndarray, positive: np.ndarray, z: float, tail: float, method: str
) -> tuple[float, float, float, float, int, int, bool]:
    num_positive, num_negative = int(positive.sum()), int((~positive).sum())
    if num_positive == 0 or num_negative == 0:
        return 0.5, 0.0, 0.0, 1.0, num_positive, num_negative, True
    high, low = scores[positive], scores[~positive]
    ranks = mid_ranks(scores)
    # How many items of the other class each item beats: its rank among all minus its rank within its own class.
    beats = (ranks[positive] - mid_ranks(high)) / num_negative
    loses = 1 - (ranks[~positive] - mid_ranks(low)) / num_positive
    area = float(beats.mean())
    if method == "delong":
        # A class with a single item has no observable spread; use the largest one possible for its mean as a bound.
        spread_positive = beats.var(ddof=1) if num_positive > 1 else area * (1 - area)
        spread_negative = loses.var(ddof=1) if num_negative > 1 else area * (1 - area)
        variance = spread_positive / num_positive + spread_negative / num_negative
    else:
        first, second = area / (2 - area), 2 * area**2 / (1 + area)
        spread = (num_positive - 1) * (first - area**2) + (num_negative - 1) * (second - area**2)
        variance = (area * (1 - area) + spread) / (num_positive * num_negative)
    if variance > 1e-15:
        error = float(np.sqrt(variance))
        return area, error, max(area - z * error, 0.0), min(area + z * error, 1.0), num_positive, num_negative, False
    pairs = min(num_positive, num_negative)
    bounds = (tail ** (1 / pairs), 1 - tail ** (1 / pairs))
    width = np.sqrt(-np.log(tail) / (2 * pairs))
    if area >= 1 - 1e-12:
        ends = (bounds[0], 1.0)
    elif area <= 1e-12:
        ends = (0.0, bounds[1])
    else:
        ends = (max(area - width, 0.0), min(area + width, 1.0))
    return area, 0.0, ends[0], ends[1], num_positive, num_negative, True
