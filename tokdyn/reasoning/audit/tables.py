"""Tables of what arms did: paired effects, changed answers, donors, gains retained, mediation."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from tokdyn.reasoning import diagnose
from tokdyn.reasoning.audit.schema import CLEAN, Run
from tokdyn.reasoning.diagnose.outcomes import ALPHA, BOUND

# Of the total effect: what is above it counts as mediated.
LEAST_SHARE = 0.1


class Settings(NamedTuple):
    """What every table is made with.

    Attributes:
        key: of folds, control tasks and resamples: all tables share it.
        bound: the largest difference of accuracy, and the largest donor lift, that does not matter.
        alpha: level of tests; intervals have confidence 1 - alpha.
        num_resamples: behind an interval.
        share: the largest share of the total effect that does not count as mediated.
        num_likeliest: choices that a truncated entropy keeps.
    """

    key: jax.Array
    bound: float = BOUND
    alpha: float = ALPHA
    num_resamples: int = 2000
    share: float = LEAST_SHARE
    num_likeliest: int = 10

    @property
    def resampled(self) -> dict[str, Any]:
        """Of intervals by resampling."""
        return {"num_resamples": self.num_resamples, "confidence": 1 - self.alpha}


class Judged:
    """A run, and what was found on it with some settings: each table is made once, where it is first asked for.

    Attributes:
        run: with arms.
        settings: of every table.
        effects: ``effects`` by arm.
        mediation: ``mediated`` of the run's margins.
    """

    def __init__(self, run: Run, settings: Settings) -> None:
        self.run, self.settings = run, settings
        self._lifts: dict[str, diagnose.DonorLift] = {}

    @functools.cached_property
    def effects(self) -> Any:
        return effects(self.run, self.settings).set_index("arm")

    @functools.cached_property
    def mediation(self) -> diagnose.Mediation:
        return mediated(self.run.mediation, self.settings)

    def lift(self, arm: str) -> diagnose.DonorLift:
        """``lift`` of an arm towards what its donor points at."""
        if arm not in self._lifts:
            self._lifts[arm] = lift(self.run, self.settings, arm)
        return self._lifts[arm]


def frame(rows: list[dict[str, Any]]) -> Any:
    """``pandas.DataFrame`` of records."""
    import pandas as pd

    return pd.DataFrame(rows)


def effects(run: Run, settings: Settings) -> Any:
    """``diagnose.effects_table`` of the clean run and all arms, with trigger and parse rates where all have them."""
    arms = (CLEAN, *run.arms)

    def rates(of: Callable[[str], np.ndarray | None]) -> dict[str, Any] | None:
        given = {arm: of(arm) for arm in arms}
        return None if any(values is None for values in given.values()) else given

    return diagnose.effects_table(
        settings.key,
        {arm: run.outcomes(arm) for arm in arms},
        reference=CLEAN,
        bound=settings.bound,
        alpha=settings.alpha,
        trigger_rate=rates(lambda arm: run.of(arm, "triggered")),
        parse_rate=rates(run.parsed),
        num_resamples=settings.num_resamples,
    ).reset_index()


def answer_changes(run: Run, settings: Settings) -> Any:
    """``diagnose.answer_change`` of every arm with logits against the clean run, mean over items."""
    rows = []
    clean = run.arrays["logits"].reshape(-1, run.arrays["logits"].shape[-1])
    own = np.broadcast_to(run.own_answers, run.arrays["logits"].shape[:-1]).reshape(-1)
    for arm, given in run.named("arm/*/logits").items():
        logits = given.reshape(clean.shape)
        change = diagnose.answer_change(clean, logits, own)
        rows.append(
            {
                "arm": arm,
                "flip_rate": float(change.flipped.mean()),
                "log_probability_shift": float(change.shift.mean()),
                "divergence": float(change.divergence.mean()),
                "largest_logit_change": float(np.abs(logits - clean).max()),
                "n": run.num_items,
            }
        )
    return frame(rows)


def lift(
    run: Run, settings: Settings, arm: str, pointed: np.ndarray | None = None, control: str | None = None
) -> diagnose.DonorLift:
    """``diagnose.donor_lift`` of an arm: do answers go where its donor points, more often than in its control?

    Args:
        run: with answers and targets.
        settings: of the interval.
        arm: whose latents come from a donor.
        pointed: choices that the donor points at `[items]`; by default what the run says.
        control: an arm or "clean"; by default what the run says.
    """
    return diagnose.donor_lift(
        settings.key,
        run.of(arm, "answers"),
        run.of(arm, "donor_targets") if pointed is None else pointed,
        run.arrays["targets"],
        control_answers=run.of(run.control(arm) if control is None else control, "answers"),
        **settings.resampled,
    )


def share(run: Run, settings: Settings, arm: str) -> diagnose.DonorShare:
    """``diagnose.donor_share`` of an arm: which share of answers follows its donor?"""
    clean = run.arrays.get("answers", run.arrays["targets"])
    return diagnose.donor_share(
        run.of(arm, "answers"), run.of(arm, "donor_targets"), clean, confidence=1 - settings.alpha
    )


def margins(run: Run, arm: str) -> list[np.ndarray] | None:
    """Log-odds of the donor's answer against the own one: clean, with the donor, in its control; three of `[eligible]`.

    Items whose donor points at their own answer are left out; None where one of the three has no logits.
    """
    pointed, own = run.of(arm, "donor_targets"), run.arrays["targets"]
    logits = [run.of(each, "logits") for each in (CLEAN, arm, run.control(arm))]
    if pointed is None or any(each is None for each in logits):
        return None
    items = np.flatnonzero(pointed != own)
    wide = [np.asarray(each, np.float64) for each in logits]
    return [each[..., items, pointed[items]] - each[..., items, own[items]] for each in wide]


def donors(run: Run, settings: Settings) -> Any:
    """For every arm that has donors ``diagnose.donor_share``, ``lift``, and with logits ``diagnose.margin_shift``."""
    rows = []
    for arm in run.named("arm/*/donor_targets"):
        found, control = lift(run, settings, arm), run.control(arm)
        followed = share(run, settings, arm)
        row = {"arm": arm, "control": control, "share": followed.share}
        row |= {"share_low": followed.low, "share_high": followed.high, "lift": found.lift.estimate}
        row |= {"low": found.lift.low, "high": found.lift.high, "p_value": found.p_value}
        row |= {"donor_rate": found.donor_rate, "control_rate": found.control_rate, "own_rate": found.own_rate}
        row |= {"other_rate": found.other_rate, "n": found.n}
        if (moved := margins(run, arm)) is not None:
            clean, given, other = moved
            shift = diagnose.margin_shift(
                settings.key, clean, given, None if control == CLEAN else other, **settings.resampled
            )
            effect = shift.shift if shift.excess is None else shift.excess
            row |= {"margin_shift": shift.shift.estimate, "margin_excess": effect.estimate}
            row |= {"margin_excess_low": effect.low, "margin_excess_high": effect.high, "flipped": shift.flipped}
        rows.append(row)
    return frame(rows)


def gains(run: Run, settings: Settings) -> Any:
    """``diagnose.gain_retained`` of every arm, counted from the arm that ``base`` names."""
    base = str(run.arrays["base"])
    arms = {arm: run.outcomes(arm) for arm in run.arms if arm != base}
    found = diagnose.component_gains(
        settings.key, arms, run.outcomes(base), run.right, base_name=base, **settings.resampled
    )
    rows = []
    for arm, one in found.items():
        row = {"arm": arm, "base": one.base, "accuracy_arm": one.accuracy_arm, "accuracy_base": one.accuracy_base}
        row |= {"accuracy_full": one.accuracy_full, "gain": one.denominator.estimate}
        row |= {"gain_low": one.denominator.low, "gain_high": one.denominator.high}
        row |= {"percent_retained": np.nan if one.percent is None else one.percent}
        row |= {"percent_low": 100 * float(one.fieller.low), "percent_high": 100 * float(one.fieller.high)}
        rows.append(row | {"set": str(one.fieller.kind), "defined": one.defined, "n": run.num_items})
    return frame(rows)


def mediated(runs: Sequence[np.ndarray], settings: Settings) -> diagnose.Mediation:
    """``diagnose.mediation`` of the margins of the four runs, where there is something to exchange.

    Args:
        runs: in the order of ``MEDIATION``, `[items]` or `[seeds, items]` each. A margin that is 0 in every run is that
            of an item whose answer is the same with both pictures: it is left out.
        settings: of the intervals.
    """
    return diagnose.mediation(settings.key, *exchanged(runs), **settings.resampled)


def exchanged(runs: Sequence[np.ndarray]) -> np.ndarray:
    """Margins of the items whose answer another picture changes `[runs, ..., eligible]`."""
    stacked = np.stack(runs)
    return stacked[..., stacked.any(axis=tuple(range(stacked.ndim - 1)))]


def mediation(run: Run, settings: Settings) -> Any:
    """``mediated`` of the four runs' margins."""
    found = mediated(run.mediation, settings)
    rows = [
        {"effect": name, "estimate": one.estimate, "low": one.low, "high": one.high, "set": "interval", "n": one.n}
        for name, one in zip(found._fields, found[:4], strict=False)
    ]
    share = found.mediated_share
    ends = {"estimate": float(share.ratio), "low": float(share.low), "high": float(share.high)}
    return frame([*rows, {"effect": "indirect / total", **ends, "set": str(share.kind), "n": share.n}])
