"""Tables of what arms did: paired effects, changed answers, donors, gains retained, mediation."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import numpy as np

from tokdyn.reasoning import diagnose
from tokdyn.reasoning.audit.schema import CLEAN, MEDIATION, Run
from tokdyn.typing import EitherArray


class Settings(NamedTuple):
    """What every table is made with.

    Attributes:
        key: of folds, control tasks and resamples: all tables share it.
        bound: the largest difference of accuracy that does not matter.
        alpha: level of tests; intervals have confidence 1 - alpha.
        num_resamples: behind an interval.
    """

    key: jax.Array
    bound: float
    alpha: float
    num_resamples: int

    @property
    def resampled(self) -> dict[str, Any]:
        """Of intervals by resampling."""
        return {"num_resamples": self.num_resamples, "confidence": 1 - self.alpha}


def frame(rows: list[dict[str, Any]]) -> Any:
    """``pandas.DataFrame`` of records."""
    import pandas as pd

    return pd.DataFrame(rows)


def effects(run: Run, settings: Settings) -> Any:
    """``diagnose.effects_table`` of the clean run and all arms, with trigger and parse rates where all have them."""
    names = ("", *run.arms)
    triggered = {arm: run.arrays.get(f"arm/{arm}/triggered" if arm else "triggered") for arm in names}
    parsed = {arm: run.parsed(arm) for arm in names}

    def rates(given: dict[str, Any]) -> dict[str, Any] | None:
        known = all(values is not None for values in given.values())
        return {arm or CLEAN: values.mean() for arm, values in given.items()} if known else None

    return diagnose.effects_table(
        settings.key,
        {arm or CLEAN: run.outcomes(arm) for arm in names},
        reference=CLEAN,
        bound=settings.bound,
        alpha=settings.alpha,
        trigger_rate=rates(triggered),
        parse_rate=rates(parsed),
        num_resamples=settings.num_resamples,
    ).reset_index()


def answer_changes(run: Run, settings: Settings) -> Any:
    """``diagnose.answer_change`` of every arm with logits against the clean run, mean over items."""
    rows = []
    for arm, logits in run.named("arm/*/logits").items():
        change = diagnose.answer_change(run.arrays["logits"], logits, run.own_answers)
        rows.append(
            {
                "arm": arm,
                "flip_rate": float(change.flipped.mean()),
                "log_probability_shift": float(change.shift.mean()),
                "divergence": float(change.divergence.mean()),
                "largest_logit_change": float(np.abs(logits - run.arrays["logits"]).max()),
                "n": run.num_items,
            }
        )
    return frame(rows)


def donors(run: Run, settings: Settings) -> Any:
    """``diagnose.donor_lift`` of every arm that has donors, and ``diagnose.margin_shift`` where there are logits."""
    rows = []
    for arm, pointed in run.named("arm/*/donor_targets").items():
        control = str(run.arrays.get(f"arm/{arm}/control", CLEAN))
        start = "" if control == CLEAN else f"arm/{control}/"
        found = diagnose.donor_lift(
            settings.key, run.arrays[f"arm/{arm}/answers"], pointed, run.arrays["targets"],
            control_answers=run.arrays[f"{start}answers"], **settings.resampled,
        )  # fmt: skip
        row = {"arm": arm, "control": control, "lift": found.lift.estimate}
        row |= {"low": found.lift.low, "high": found.lift.high, "p_value": found.p_value}
        row |= {"donor_rate": found.donor_rate, "control_rate": found.control_rate, "own_rate": found.own_rate}
        row |= {"other_rate": found.other_rate, "n": found.n}
        logits = {place: run.arrays.get(f"{place}logits") for place in ("", f"arm/{arm}/", start)}
        if all(each is not None for each in logits.values()):
            margins = {place: margin(each, pointed, run.arrays["targets"]) for place, each in logits.items()}
            kept = {place: values[found.eligible] for place, values in margins.items()}
            shift = diagnose.margin_shift(
                settings.key, kept[""], kept[f"arm/{arm}/"], kept[start] if start else None, **settings.resampled
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
    return frame(
        [
            {
                "arm": arm,
                "base": one.base,
                "accuracy_arm": one.accuracy_arm,
                "accuracy_base": one.accuracy_base,
                "accuracy_full": one.accuracy_full,
                "gain": one.denominator.estimate,
                "gain_low": one.denominator.low,
                "gain_high": one.denominator.high,
                "percent_retained": np.nan if one.percent is None else one.percent,
                "percent_low": 100 * float(one.fieller.low),
                "percent_high": 100 * float(one.fieller.high),
                "set": str(one.fieller.kind),
                "defined": one.defined,
                "n": run.num_items,
            }
            for arm, one in found.items()
        ]
    )


def mediation(run: Run, settings: Settings) -> Any:
    """``diagnose.mediation`` of the four runs' margins."""
    runs = [run.arrays[f"mediation/{name}"] for name in MEDIATION]
    found = diagnose.mediation(settings.key, *runs, **settings.resampled)
    rows = [
        {"effect": name, "estimate": one.estimate, "low": one.low, "high": one.high, "set": "interval", "n": one.n}
        for name, one in zip(found._fields, found[:4], strict=False)
    ]
    share = found.mediated_share
    ends = {"estimate": float(share.ratio), "low": float(share.low), "high": float(share.high)}
    return frame([*rows, {"effect": "indirect / total", **ends, "set": str(share.kind), "n": share.n}])


def margin(logits: EitherArray, pointed: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Log-odds `[items]` of the donor's answer against the own one."""
    items = np.arange(len(own))
    return np.asarray(logits, np.float64)[items, pointed] - np.asarray(logits, np.float64)[items, own]
