"""A forecast of what will happen to the tokens at a temperature, before any long run."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from numpy.typing import ArrayLike

from tokdyn import checks
from tokdyn.theory import critical, preview

REGIMES = ("none", "partial", "start-dependent", "full", "unknown")
# Number of starts of the preview; number if a step is expensive (tokens x dimensions); number of cold starts.
STARTS, FEW_STARTS, COLD, DEAR, MAX_STEPS = 16, 8, 4, 4096, 300
# How many features the preview reads, given the work per step (starts x tokens x dimensions), and how many heating
# does.
FEWEST, MOST, MOST_WORK, HEATED = 512, 2048, 1 << 25, 1024
# Heating uses directions with more than this share of the largest variance, up to a maximal number. A preview on a
# sample uses those whose variance exceeds this share of the temperature: at half of it, a direction separates tokens.
LEADING, MOST_LEADING, SLAVED = 0.1, 64, 0.25
# Up to this share of the preview's starts may lose a token in regime "none", or keep all of them in "partial".
FEW = 0.125
# Closer than this to the end of a regime, the preview is too short to show on which side of it a run is.
MARGIN = 0.02


@dataclasses.dataclass(frozen=True)
class Forecast:
    """The result of ``collapse_forecast``; ``str`` gives its sentence.

    Attributes:
        regime: ``"none"``: nearly every run keeps all tokens apart. ``"partial"``: nearly every run ends with fewer
            distinct tokens than it was given, but more than one. ``"start-dependent"``: all tokens at one point and
            tokens apart are both stable, and the start decides. ``"full"``: every run that starts at random features
            ends with all tokens at one point. ``"unknown"``: below the critical temperature, some runs would lose a
            token and some not; or the temperature is too close to the end of a regime.
        ratio: the temperature divided by the critical one; infinite for constant features.
        critical_temperature: ``td.theory.critical_temperature`` of the features.
        spinodal: approximately the temperature up to which tokens that have settled in the cold, from random features,
            can stay apart: in steps of 3 % up to 1.3 times the critical one, of 10 % beyond, infinite from 6 times on.
        share_merging: share of the preview's starts that lost a token, including those that did not come to rest.
        suggested_temperature: the temperature that ``temperature="auto"`` would use.
        sentence: an explanation of what will happen, and which value to use instead.
    """

    regime: str
    ratio: float
    critical_temperature: float
    spinodal: float
    share_merging: float
    suggested_temperature: float
    sentence: str

    def __str__(self) -> str:
        """The sentence."""
        return self.sentence


def collapse_forecast(features: ArrayLike, *, num_tokens: int, temperature: float) -> Forecast:
    """Predict before a run how many tokens will stay apart: all, some, none, or depending on the start.

    Above `T_c = 2 lambda_max(C)` the state with all tokens at one point is stable (``td.theory.critical_temperature``),
    and the only question is whether there is another stable state. To find out, tokens on a sample are settled in the
    cold and warmed step by step until they merge; that temperature is the spinodal. It lies at `T_c` for features that
    are symmetric about their mean, up to a quarter above it for skewed ones, and anywhere above it if there are
    outliers. Below `T_c` tokens may still merge in groups, each at the critical temperature of the features it shares.
    We found no rule on the spectrum that tells when: depending on the features, half of the runs have lost a token from
    0.01 of `T_c` on, or at no temperature. Therefore 16 runs of the plain rule from random features decide (8 if tokens
    times dimensions exceed 4,096).

    Both computations use NumPy on 512 to 2,048 features (the 64 outermost, and a random sample of the others with
    larger weights) and compile nothing; the cost is that of as many runs on that few features. The spectrum is that of
    ``td.theory.read_variances``. On data sets that were not used for its development, the forecast gave an answer in
    465 of 480 cases, all of them right (``python -m benchmarks.forecast``; nearly all of those features were read), and
    on sets of 12,000 features in 90 of 96 cases, 89 of them right (``--half large``; ``benchmarks/README.md`` has the
    confusion table). The typical error is that tokens of one cluster in many dimensions stay apart on the few features
    that are read, but merge on all features.

    The forecast is for the attraction alone: repulsion keeps tokens apart at every temperature, and annealing changes
    the temperature.

    Args:
        features: `[N, D]`, finite, JAX or NumPy, not traced.
        num_tokens: K, at most N.
        temperature: temperature of the attraction.

    Returns:
        A ``Forecast``.

    Raises:
        ValueError: not finite floating-point `[N, D]`, more tokens than features, or a temperature that is not a number
            of at least 0.

    References:
        Rose: Deterministic annealing for clustering, 1998.

    Example:
        >>> import numpy as np, tokdyn as td
        >>> features = np.random.default_rng(0).normal(size=(500, 64))
        >>> features /= np.linalg.norm(features, axis=1, keepdims=True)
        >>> td.collapse_forecast(features, num_tokens=8, temperature=1.0).regime
        'full'
        >>> td.collapse_forecast(features, num_tokens=8, temperature=0.01).regime
        'none'
    """
    values = np.asarray(checks.floating("features", np.asarray(features), axes="[N, D]", xp=np))
    critical.rows_read(values)
    if not np.isfinite(values).all():
        raise checks.bad("features", "finite numbers", "infinite or NaN entries")
    num_tokens = checks.whole_number("num_tokens", num_tokens, at_least=1)
    if num_tokens > len(values):
        raise checks.bad("num_tokens", f"at most the number of features, {len(values)}", num_tokens)
    temperature = float(checks.one_number("temperature", temperature, at_least=0.0))

    variances, directions = preview.principal(values)
    threshold = 2 * float(variances[0])
    suggested = critical.SHARE_OF_DISTORTION * critical.distortion(variances, num_tokens)
    sample = preview.sample_of(values, _num_read(num_tokens, values.shape[1]))
    if sample.spread == 0 or threshold == 0:
        regime, share, spinodal, ratio = ("full" if num_tokens > 1 else "none"), 1.0, 0.0, math.inf
    else:
        ratio, most = temperature / threshold, min(len(sample.points), num_tokens)
        num_starts = STARTS if num_tokens * values.shape[1] <= DEAR else FEW_STARTS
        starts = preview.random_starts(sample, most, num_starts)
        if len(sample.points) < len(values):
            # In many dimensions, a few features keep tokens apart by their noise alone. Directions that vary too little
            # to separate tokens at this temperature are dropped once tokens are means, without the noise of a start.
            starts, _ = preview.settled(sample, starts, ratio * preview.critical_of(sample), 2)
            kept = directions[:, : max(1, int((variances > SLAVED * temperature).sum()))]
            sample, starts = preview.projected(sample, kept), starts @ kept.astype(np.float32)
        # Compare at the same fraction of the critical temperature, since noise widens the spectrum of a sample.
        critical_here = preview.critical_of(sample)
        ended, _ = preview.settled(sample, starts, ratio * critical_here, MAX_STEPS)
        distinct = preview.num_distinct(ended)
        share = float((distinct < most).mean())
        leading = directions[:, : min(int((variances > LEADING * variances[0]).sum()), MOST_LEADING)]
        spinodal = threshold * (preview.heated(values, most, HEATED, leading) if num_tokens > 1 else 1.0)
        if num_tokens == 1:
            regime = "none"
        elif temperature > threshold * (1 + MARGIN):
            cold, _ = preview.settled(sample, starts[:COLD], 0.1 * critical_here, MAX_STEPS)
            warmed, _ = preview.settled(sample, cold, ratio * critical_here, MAX_STEPS)
            most_distinct = max(distinct.max(), preview.num_distinct(warmed).max())
            regime = _above(temperature / spinodal, bool(most_distinct == 1), spinodal < 1.3 * threshold)
        else:
            lowest = min(threshold, 2 * _held_out(values))
            regime = "unknown" if temperature > lowest * (1 - MARGIN) else _below(share)
    sentence = _sentence(regime, num_tokens, temperature, threshold, ratio, spinodal, suggested)
    return Forecast(regime, ratio, threshold, spinodal, share, suggested, sentence)


def _num_read(num_tokens: int, num_dimensions: int) -> int:
    """How many features the preview reads: as many as it can process in a second or so."""
    return int(np.clip(MOST_WORK // (STARTS * num_tokens * num_dimensions), FEWEST, MOST))


def _above(heat: float, all_at_one: bool, is_fine: bool) -> str:
    """The regime above the critical temperature, at a multiple of the spinodal, given whether all starts merged."""
    step = preview.FINE if is_fine else preview.COARSE
    if all_at_one:
        # Steps of 3 % are smaller than the uncertainty from slow runs near the critical point; those of 10 % are not.
        return "full" if heat > (1 / step if is_fine else 1.0) else "unknown"
    return "start-dependent" if heat < 1 / step else "unknown"


def _below(share: float) -> str:
    """The regime below the critical temperature, from the share of the preview's starts that lost a token."""
    if share <= FEW:
        return "none"
    return "partial" if share >= 1 - FEW else "unknown"


def _held_out(values: np.ndarray) -> float:
    """A lower bound on the largest variance: that of unread features along the first direction of the read ones."""
    count = critical.rows_read(values)
    if len(values) < 2 * count:
        return math.inf
    order = np.random.default_rng(3).permutation(len(values))
    rows = [values[np.sort(part)].astype(np.float64) for part in (order[:count], order[count : 2 * count])]
    scale = float(np.abs(rows[0]).max()) or 1.0
    seen, other = ((part - part.mean(axis=0)) / scale for part in rows)
    if seen.shape[1] > seen.shape[0]:
        direction = np.linalg.svd(seen, full_matrices=False)[2][0]
    else:
        direction = np.linalg.eigh(seen.T @ seen)[1][:, -1]
    return float((other @ direction).var()) * scale**2


def _sentence(
    regime: str, num_tokens: int, temperature: float, threshold: float, ratio: float, spinodal: float, suggested: float
) -> str:
    where = f"{temperature:.3g} is {ratio:.3g} times the critical temperature {threshold:.3g} of these features"
    lower = f"use a temperature of about {suggested:.3g}"
    if threshold == 0:
        return "All features are equal, so all tokens will be too: no temperature changes that, use num_tokens=1."
    if regime == "full":
        return f"All {num_tokens} tokens will end at one point: {where}; {lower}."
    if regime == "start-dependent":
        return (
            f"Whether the {num_tokens} tokens end at one point depends on the start: {where}, and tokens that are "
            f"apart can stay so up to about {spinodal:.3g}; {lower}."
        )
    if regime == "none":
        return f"All {num_tokens} tokens should stay apart: {where}."
    if regime == "unknown":
        what = f"Whether all {num_tokens} tokens stay apart cannot be told: {where}"
    else:
        what = f"Some of the {num_tokens} tokens will merge: {where}, and above that of the cluster they share"
    if temperature <= suggested:
        return f"{what}; to keep more apart use about {temperature / 4:.3g}, or fewer tokens."
    return f"{what}; {lower}, or fewer tokens."
