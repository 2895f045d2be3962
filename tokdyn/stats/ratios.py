"""The ratio of two means over the same items: Fieller's confidence set, and the paired bootstrap."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import numpy as np
from numpy.typing import ArrayLike

from tokdyn.checks import bad, whole_number
from tokdyn.stats.bootstrap import _resampled
from tokdyn.stats.inputs import probability, rounding, samples
from tokdyn.stats.intervals import student_interval

KINDS = ("interval", "complement", "line", "undefined")


class FiellerSet(NamedTuple):
    """The confidence set of a ratio; every field but n has the leading shape of the samples.

    Attributes:
        n: number of items.
        kind: "interval": the set is `[low, high]`; "complement": everything except the open `(low, high)`; "line": all
            numbers; "undefined": the denominator is 0 for every item, so that there is no ratio.
        ratio: ratio of the means; infinity (with the numerator's sign) or 0 if the denominator's mean is 0.
        low: lower limit, as explained under kind; minus infinity for "line" and "undefined".
        high: upper limit, as explained under kind; infinity for "line" and "undefined".
        numerator: mean of the numerator.
        denominator: mean of the denominator.
        denominator_low: lower end of Student's interval of the denominator's mean, at the same confidence.
        denominator_high: upper end of the interval. The set is an "interval" exactly if this interval excludes 0.
        degenerate: neither sample varies, so that the set is a single point, without uncertainty, or "undefined".
    """

    n: int
    kind: np.ndarray
    ratio: np.ndarray
    low: np.ndarray
    high: np.ndarray
    numerator: np.ndarray
    denominator: np.ndarray
    denominator_low: np.ndarray
    denominator_high: np.ndarray
    degenerate: np.ndarray


class RatioBootstrap(NamedTuple):
    """The percentile interval of a ratio; every field has the leading shape of the samples.

    Attributes:
        ratio: ratio of the means.
        low: lower end of the interval.
        high: upper end of the interval.
        sign_changes: share of resamples whose denominator is 0 or differs in sign from that of the data. Unless it is
            small, percentiles of the ratio are meaningless; use `FiellerSet` instead.
        defined: whether the denominator's mean is not 0 and sign_changes is at most (1 - confidence) / 2.
    """

    ratio: np.ndarray
    low: np.ndarray
    high: np.ndarray
    sign_changes: np.ndarray
    defined: np.ndarray


def fieller_interval(
    numerator: ArrayLike, denominator: ArrayLike, *, axis: int = -1, confidence: float = 0.95
) -> FiellerSet:
    r"""Fieller's confidence set of mean(numerator) / mean(denominator), both measured on the same items.

    All `\rho` for which Student's test of the mean of `x - \rho y` against 0 does not reject:

    .. math:: (\bar y^2 - t^2 v_{yy}) \rho^2 - 2 (\bar x \bar y - t^2 v_{xy}) \rho + \bar x^2 - t^2 v_{xx} \le 0

    with `v` the covariances of the means and t the quantile with n - 1 degrees of freedom. Its coverage equals that of
    Student's interval, however close to 0 the denominator is. The price is that it may be unbounded, exactly when the
    data cannot distinguish the denominator from 0. A leading coefficient of 0 (a half line) counts as "line".

    Args:
        numerator: `[..., n]`, n at least 2.
        denominator: values of the same items `[..., n]`.
        axis: the axis of the items.
        confidence: confidence level, between 0 and 1.

    Returns:
        `FiellerSet`.

    Raises:
        ValueError: NaN, fewer than two items, or shapes that differ.

    References:
        Fieller (1954), Some problems in interval estimation. J. R. Stat. Soc. B 16, 175-185.
        Franz (2007), Ratios: a short guide to confidence limits and proper use. arXiv 0710.2024.

    Example:
        >>> from tokdyn.stats import fieller_interval
        >>> sure = fieller_interval([1.0, 1.2, 0.8, 1.1], [2.0, 2.1, 1.9, 2.2])
        >>> str(sure.kind), round(float(sure.low), 3), round(float(sure.high), 3)
        ('interval', 0.398, 0.59)
        >>> str(fieller_interval([0.1, -0.2, 0.3, 0.0], [0.5, -0.4, 0.1, 0.0]).kind)
        'line'
    """
    from scipy import special

    x, y = _two_samples(numerator, denominator, axis)
    confidence = probability("confidence", confidence)
    n = x.shape[-1]
    over = student_interval(x, confidence, rounding(numerator))
    under = student_interval(y, confidence, rounding(denominator))
    t = -special.stdtrit(n - 1, (1 - confidence) / 2)
    # The spread of a constant sample is rounding error, which student_interval has set to 0.
    x_centred = np.where(over.degenerate[..., None], 0.0, x - over.mean[..., None])
    y_centred = np.where(under.degenerate[..., None], 0.0, y - under.mean[..., None])
    scale = t**2 / (n * (n - 1))
    square = under.mean**2 - scale * (y_centred**2).sum(axis=-1)
    mixed = over.mean * under.mean - scale * (x_centred * y_centred).sum(axis=-1)
    constant = over.mean**2 - scale * (x_centred**2).sum(axis=-1)
    discriminant = mixed**2 - square * constant
    nothing = under.degenerate & (under.mean == 0)
    kind = np.where(square > 0, "interval", np.where((square < 0) & (discriminant > 0), "complement", "line"))
    kind = np.where(nothing, "undefined", kind)
    bounded = np.isin(kind, ("interval", "complement"))
    root = np.sqrt(np.where(bounded, np.maximum(discriminant, 0.0), 0.0))
    divisor = np.where(bounded, square, 1.0)
    ends = np.stack([(mixed - root) / divisor, (mixed + root) / divisor])
    is_zero = under.mean == 0
    unbounded = np.where(over.mean == 0, 0.0, np.copysign(np.inf, over.mean))
    return FiellerSet(
        n=n,
        kind=kind,
        ratio=np.where(is_zero, unbounded, over.mean / np.where(is_zero, 1.0, under.mean)),
        low=np.where(bounded, ends.min(axis=0), -np.inf),
        high=np.where(bounded, ends.max(axis=0), np.inf),
        numerator=over.mean,
        denominator=under.mean,
        denominator_low=under.low,
        denominator_high=under.high,
        degenerate=np.asarray(over.degenerate & under.degenerate),
    )


def ratio_bootstrap(
    key: jax.Array,
    numerator: ArrayLike,
    denominator: ArrayLike,
    *,
    num_resamples: int = 10_000,
    confidence: float = 0.95,
    axis: int = -1,
) -> RatioBootstrap:
    """Percentile interval of mean(numerator) / mean(denominator) by resampling the items, both values together.

    Args:
        key: a JAX key.
        numerator: `[..., n]`, n at least 2.
        denominator: values of the same items `[..., n]`.
        num_resamples: number of resamples.
        confidence: confidence level, between 0 and 1.
        axis: the axis of the items.

    Returns:
        `RatioBootstrap`; if the denominator's mean is 0, the ratio is 0, the interval is the whole line, and
        ``defined`` is False.

    Raises:
        ValueError: NaN, fewer than two items, or shapes that differ.

    Example:
        >>> import jax
        >>> from tokdyn.stats import ratio_bootstrap
        >>> interval = ratio_bootstrap(jax.random.key(0), [1.0, 1.2, 0.8, 1.1], [2.0, 2.1, 1.9, 2.2])
        >>> bool(interval.defined), bool(0.4 < interval.low < interval.ratio < interval.high < 0.6)
        (True, True)
    """
    x, y = _two_samples(numerator, denominator, axis)
    num_resamples = whole_number("num_resamples", num_resamples, at_least=2)
    tail = (1 - probability("confidence", confidence)) / 2
    shape, n = x.shape[:-1], x.shape[-1]
    rows = []
    for over, under in zip(x.reshape(-1, n), y.reshape(-1, n), strict=True):
        values = np.stack([over, under])
        tops, bottoms = _resampled(key, values, num_resamples, np.mean, purpose="ratio_bootstrap")
        bottom = under.mean()
        changed = float((np.sign(bottoms) != np.sign(bottom)).mean()) if bottom != 0 else 1.0
        kept = bottoms != 0
        if bottom == 0 or not kept.any():
            rows.append((0.0, -np.inf, np.inf, changed))
            continue
        low, high = np.quantile(tops[kept] / bottoms[kept], [tail, 1 - tail])
        rows.append((over.mean() / bottom, low, high, changed))
    ratio, low, high, changes = (np.array(column).reshape(shape) for column in zip(*rows, strict=True))
    return RatioBootstrap(ratio, low, high, changes, np.asarray((changes <= tail) & np.isfinite(low)))


def _two_samples(numerator: Any, denominator: Any, axis: int) -> tuple[np.ndarray, np.ndarray]:
    x, y = samples("numerator", numerator, axis=axis), samples("denominator", denominator, axis=axis)
    if x.shape != y.shape:
        raise bad("denominator", f"the shape of the numerator with the items last, {x.shape}", f"shape {y.shape}")
    return x, y
