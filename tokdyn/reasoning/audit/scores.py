"""How good diagnostics are: alarms of runs to balanced accuracy by stratum, with intervals over designs and trainings.

The unit is the training. A rate is the mean over designs of the mean over trainings of the mean over runs, so that a
design that is easy, or was run more often, counts once. Intervals resample designs, and within each its trainings: they
speak of further designs like these, and runs are never pooled as if they were independent.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from tokdyn.checks import bad

NUM_RESAMPLES = 4000


class Table(NamedTuple):
    """What diagnostics said of runs, and what is true of them.

    Attributes:
        alarms: `[diagnostics, strata, designs, trainings]`: share of a training's runs with an alarm; NaN where nothing
            was judged.
        bears: whether an alarm is right `[strata, designs, trainings]`: 1, 0, or NaN where the truth is open.
        diagnostics: names.
        strata: names.
        designs: names.
    """

    alarms: np.ndarray
    bears: np.ndarray
    diagnostics: tuple[str, ...]
    strata: tuple[str, ...]
    designs: tuple[str, ...]


class Scores(NamedTuple):
    """Rates of diagnostics, arrays by diagnostic first.

    Attributes:
        sensitivity: `[diagnostics, strata]`.
        false_alarms: `[diagnostics, strata]`.
        balanced: mean of sensitivity and 1 minus false alarms `[diagnostics, strata]`.
        balanced_low: lower end of its interval `[diagnostics, strata]`.
        balanced_high: upper end.
        worst: balanced accuracy in the worst stratum `[diagnostics]`.
        worst_low: lower end of its interval; in each resample the worst is chosen anew.
        worst_high: upper end.
        behind: how far it is behind the best diagnostic `[diagnostics]`.
        behind_low: lower end of simultaneous intervals over all diagnostics; where it is not above 0, a diagnostic
            ties with the best.
    """

    sensitivity: np.ndarray
    false_alarms: np.ndarray
    balanced: np.ndarray
    balanced_low: np.ndarray
    balanced_high: np.ndarray
    worst: np.ndarray
    worst_low: np.ndarray
    worst_high: np.ndarray
    behind: np.ndarray
    behind_low: np.ndarray


def alarmed(values: ArrayLike, kind: str, *, alpha: float, nulls: ArrayLike | None = None) -> np.ndarray:
    """Values of one diagnostic as alarms.

    Args:
        values: `[strata, designs, trainings, runs]`; NaN where nothing was judged.
        kind: "p-value" (an alarm at or below alpha), "verdict" (an alarm at 1), or "score".
        alpha: level.
        nulls: for scores: which trainings are null `[strata, designs, trainings]` bool. A training's threshold is what
            a share of alpha of the runs of null trainings with other numbers, in its stratum, exceeds at most.

    Returns:
        1, 0 or NaN, as values.

    Raises:
        ValueError: an unknown kind, or scores without nulls.

    Example:
        >>> from tokdyn.reasoning.audit.scores import alarmed
        >>> alarmed([[[[0.05, 0.2]]]], "p-value", alpha=0.05).tolist()
        [[[[1.0, 0.0]]]]
    """
    values = np.asarray(values, float)
    if kind == "p-value":
        made = values <= alpha
    elif kind == "verdict":
        made = values > 0.5
    elif kind == "score" and nulls is not None:
        made = values > _thresholds(values, np.asarray(nulls, bool), alpha)[:, None, :, None]
    else:
        raise bad("kind", "p-value, verdict, or score with nulls", kind)
    return np.where(np.isfinite(values), made.astype(float), np.nan)


def _thresholds(values: np.ndarray, nulls: np.ndarray, alpha: float) -> np.ndarray:
    """`[strata, trainings]`; infinite where no other null training was judged."""
    made = np.full((values.shape[0], values.shape[2]), np.inf)
    for stratum, training in np.ndindex(made.shape):
        others = np.arange(values.shape[2]) != training
        known = values[stratum][:, others][nulls[stratum][:, others]]
        known = np.sort(known[np.isfinite(known)])
        if known.size:
            made[stratum, training] = known[int(np.ceil((1 - alpha) * known.size)) - 1]
    return made


def scored(table: Table, *, seed: int = 0, num_resamples: int = NUM_RESAMPLES, confidence: float = 0.95) -> Scores:
    """Rates by stratum, the worst of them, and intervals.

    Args:
        table: alarms and truths.
        seed: of the resamples.
        num_resamples: how many.
        confidence: of intervals; simultaneous over diagnostics for ``behind_low``.

    Returns:
        ``Scores``.

    Raises:
        ValueError: a stratum without trainings of either kind.

    Example:
        >>> import numpy as np
        >>> from tokdyn.reasoning.audit.scores import Table, scored
        >>> bears = np.array([[[1.0, 1.0], [0.0, 0.0]]])
        >>> right, always = bears, np.ones_like(bears)
        >>> table = Table(np.stack([right, always]), bears, ("right", "always"), ("one",), ("used", "idle"))
        >>> scored(table).worst.tolist()
        [1.0, 0.5]
    """
    rng = np.random.default_rng(seed)
    parts, resampled = [], []
    for wanted in (1.0, 0.0):
        chosen = table.bears == wanted
        for stratum, name in enumerate(table.strata):
            if not chosen[stratum].any():
                raise bad("table", "trainings of both truths in each stratum", f"none with {wanted:g} in {name}")
        parts.append(_means(table.alarms, chosen))
        resampled.append(_resampled(table.alarms, chosen, rng, num_resamples))
    sensitivity, false_alarms = parts
    balanced = (sensitivity + 1 - false_alarms) / 2
    draws = (resampled[0] + 1 - resampled[1]) / 2  # [resamples, diagnostics, strata]
    worst = balanced.min(axis=1)
    judged = np.isfinite(worst)  # a diagnostic that was judged on no design of either truth has no rate
    ends = [(1 - confidence) / 2, (1 + confidence) / 2]
    empty = np.full(worst.shape, np.nan)
    low, high = np.full((2, *balanced.shape), np.nan)
    worst_low, worst_high, behind, behind_low = empty.copy(), empty.copy(), empty.copy(), empty.copy()
    if judged.any():
        # NaN is left in resamples without any design that a diagnostic judged.
        some = draws[:, judged]
        low[judged], high[judged] = np.nanquantile(some, ends, axis=0)
        worst_draws = some.min(axis=2)
        worst_low[judged], worst_high[judged] = np.nanquantile(worst_draws, ends, axis=0)
        best = int(worst[judged].argmax())
        gap, gaps = worst[judged][best] - worst[judged], worst_draws[:, [best]] - worst_draws
        error = np.nanstd(gaps, axis=0)
        standard = np.divide(gaps - gap, error, out=np.zeros_like(gaps), where=error > 0)
        behind[judged] = gap
        behind_low[judged] = gap - np.quantile(np.nan_to_num(standard).max(axis=1), confidence) * error
    return Scores(
        sensitivity, false_alarms, balanced, low, high, worst, worst_low, worst_high, behind, behind_low
    )  # fmt: skip


def _means(alarms: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Over designs of means over trainings `[diagnostics, strata]`; what a diagnostic did not judge is left out."""
    return _weighed(alarms, np.where(chosen, 1.0, 0.0)[None], np.ones((1, *chosen.shape[:2])))[0]


def _weighed(alarms: np.ndarray, trainings: np.ndarray, designs: np.ndarray) -> np.ndarray:
    """`[resamples, diagnostics, strata]`, given how often each training and each design was drawn."""
    judged = np.isfinite(alarms).astype(float)
    total = np.einsum("dsgt,rsgt->rdsg", np.nan_to_num(alarms), trainings)
    count = np.einsum("dsgt,rsgt->rdsg", judged, trainings)
    of_design = np.divide(total, count, out=np.zeros_like(total), where=count > 0)
    weight = np.where(count > 0, designs[:, None], 0.0)
    size = weight.sum(axis=-1)
    return np.divide((of_design * weight).sum(axis=-1), size, out=np.full(size.shape, np.nan), where=size > 0)


def _resampled(alarms: np.ndarray, chosen: np.ndarray, rng: np.random.Generator, count: int) -> np.ndarray:
    return _weighed(alarms, *drawn(chosen, rng, count))


def drawn(chosen: np.ndarray, rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """How often each training and each design is drawn: designs with replacement, and within each its trainings.

    A design that is drawn is drawn for every stratum, since all strata have the same designs; its trainings are not.

    Args:
        chosen: trainings that count `[strata, designs, trainings]` bool.
        rng: of the draws.
        count: resamples.

    Returns:
        ``(trainings [count, strata, designs, trainings], designs [count, strata, designs])``.
    """
    trainings = np.zeros((count, *chosen.shape))
    there = np.flatnonzero(chosen.any(axis=(0, 2)))
    weights = np.zeros((count, chosen.shape[1]))
    weights[:, there] = rng.multinomial(len(there), np.full(len(there), 1 / len(there)), size=count)
    designs = weights[:, None] * chosen.any(axis=2)
    for stratum, design in zip(*np.nonzero(chosen.any(axis=2)), strict=True):
        members = np.flatnonzero(chosen[stratum, design])
        share = np.full(len(members), 1 / len(members))
        trainings[:, stratum, design, members] = rng.multinomial(len(members), share, size=count)
    return trainings, designs
