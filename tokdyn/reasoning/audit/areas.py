"""Scores without a threshold: areas under ROC curves by stratum, with intervals over designs and trainings.

As in ``scores``: designs weigh alike, within each its trainings, and intervals resample both.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from tokdyn.checks import bad
from tokdyn.reasoning.audit.scores import NUM_RESAMPLES, drawn


class Areas(NamedTuple):
    """Areas under ROC curves, arrays by diagnostic first; NaN where a stratum has no judged training of either truth.

    Attributes:
        area: `[diagnostics, strata]`: 1 orders all runs rightly, 0.5 as chance does, 0 all the wrong way round.
        low: lower end of its interval.
        high: upper end.
        worst: area in the worst stratum `[diagnostics]`.
        worst_low: lower end of its interval; in each resample the worst is chosen anew.
        worst_high: upper end.
    """

    area: np.ndarray
    low: np.ndarray
    high: np.ndarray
    worst: np.ndarray
    worst_low: np.ndarray
    worst_high: np.ndarray


def roc_areas(
    values: ArrayLike, bears: ArrayLike, *, seed: int = 0, num_resamples: int = NUM_RESAMPLES, confidence: float = 0.95
) -> Areas:
    r"""How well scores tell runs of trainings that use their latents from runs of those that do not.

    .. math:: A = \sum_{i, j} w_i v_j \left[P(x_i > y_j) + \tfrac12 P(x_i = y_j)\right]

    `x_i` is a run, drawn evenly, of a training `i` that uses its latents, `y_j` one of a training that does not;
    designs weigh alike in `w` and in `v`, within each its trainings.

    Args:
        values: scores `[diagnostics, strata, designs, trainings, runs]`; NaN where nothing was judged.
        bears: `[strata, designs, trainings]`: 1, 0, or NaN where the truth is open.
        seed: of the resamples.
        num_resamples: how many.
        confidence: of intervals.

    Returns:
        ``Areas``.

    Raises:
        ValueError: values of another number of axes or another shape than bears.

    Example:
        >>> from tokdyn.reasoning.audit.areas import roc_areas
        >>> used, idle = [[0.9, 0.7]], [[0.8, 0.1]]  # a training of each, two runs
        >>> roc_areas([[[used, idle]]], [[[1.0], [0.0]]]).area.tolist()
        [[0.75]]
    """
    values, bears = np.asarray(values, float), np.asarray(bears, float)
    if values.ndim != 5 or values.shape[1:4] != bears.shape:
        raise bad("values", f"[diagnostics, {', '.join(map(str, bears.shape))}, runs], as bears", list(values.shape))
    rng = np.random.default_rng(seed)
    judged = np.asarray(np.isfinite(values).any(axis=-1))
    once, often = [], []
    for wanted in (1.0, 0.0):
        chosen = bears == wanted
        once.append(_weights(judged, np.where(chosen, 1.0, 0.0)[None], np.ones((1, *chosen.shape[:2]))))
        often.append(_weights(judged, *drawn(chosen, rng, num_resamples)))
    shape = values.shape[:2]
    area, draws = np.full(shape, np.nan), np.full((num_resamples, *shape), np.nan)
    for diagnostic, stratum in np.ndindex(shape):
        rows = values[diagnostic, stratum].reshape(-1, values.shape[-1])
        used, idle = (np.flatnonzero((bears[stratum] == wanted).ravel() & judged[diagnostic, stratum].ravel())
                      for wanted in (1.0, 0.0))  # fmt: skip
        if used.size and idle.size:
            above = _above(rows[used], rows[idle])
            for weights, out in ((once, area[None]), (often, draws)):
                one, other = (each[:, diagnostic, stratum] for each in weights)
                out[:, diagnostic, stratum] = np.einsum("ri,ij,rj->r", one[:, used], above, other[:, idle])
    ends = [(1 - confidence) / 2, (1 + confidence) / 2]
    low, high = np.full((2, *shape), np.nan)
    worst_low, worst_high = np.full((2, shape[0]), np.nan)
    known = np.isfinite(area)
    # NaN is left in resamples without any design that a diagnostic judged.
    low[known], high[known] = np.nanquantile(draws[:, known], ends, axis=0)
    whole = known.all(axis=1)
    worst_low[whole], worst_high[whole] = np.nanquantile(draws[:, whole].min(axis=2), ends, axis=0)
    return Areas(area, low, high, area.min(axis=1), worst_low, worst_high)


def _above(used: np.ndarray, idle: np.ndarray) -> np.ndarray:
    """Share of pairs of runs in which the first is higher, ties by half `[used, idle]`, from `[trainings, runs]`."""
    gap = used[:, None, :, None] - idle[None, :, None, :]
    return np.nanmean(np.where(np.isnan(gap), np.nan, (np.sign(gap) + 1) / 2), axis=(2, 3))


def _weights(judged: np.ndarray, trainings: np.ndarray, designs: np.ndarray) -> np.ndarray:
    """Of all trainings, summing to 1 `[resamples, diagnostics, strata, designs * trainings]`; NaN without any."""
    there = trainings[:, None] * judged  # [resamples, diagnostics, strata, designs, trainings]
    count = there.sum(axis=-1, keepdims=True)
    of_design = np.divide(there, count, out=np.zeros_like(there), where=count > 0)
    made = of_design * designs[:, None, :, :, None]
    total = made.sum(axis=(-2, -1), keepdims=True)
    made = np.divide(made, total, out=np.full(made.shape, np.nan), where=total > 0)
    return made.reshape(*made.shape[:3], -1)
