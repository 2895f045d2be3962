"""The report's tables, as records, and a sentence for every reasoner."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, SupportsFloat

import numpy as np
import xarray

from tokdyn.reasoning.diagnose.outcomes import ALPHA
from tokdyn.studies import intervals
from tokdyn.studies.documents import records
from tokdyn.studies.latent_optimisation.analysis import VARIABLES
from tokdyn.studies.latent_optimisation.design import CHOICES, CONTROLS, DMLR, EXACT, ORACLE, TWINS

Rows = list[dict[str, Any]]
Columns = dict[str, str | Callable[[xarray.Dataset], object]]
_CELLS = {"reference": "reasoner", "noise": "noise"}


def cells(dataset: xarray.Dataset) -> list[tuple[str, float]]:
    """Every reasoner at every level of noise."""
    return [(str(name), float(noise)) for name in dataset["reference"].values for noise in dataset["noise"].values]


def gain_interval(low: SupportsFloat, high: SupportsFloat) -> str:
    """Of a gain of reward, which may be very small."""
    return f"[{float(low):.2g}, {float(high):.2g}]" if np.isfinite(float(low)) else "-"


def points(one: xarray.Dataset, name: str, ends: str | None = None) -> str:
    """A difference of accuracies in percentage points with its interval: "+0.8 [-1.2, 2.8] points"."""
    value, low, high = 100 * intervals.stacked(one, name, ends)
    return f"{value:+.1f} [{low:.1f}, {high:.1f}] points"


def headline(one: xarray.Dataset) -> str:
    """A reasoner in a few sentences: what DMLR did to reward and accuracy, against controls, and what was possible.

    Args:
        one: the Dataset of one reference.
    """
    # The level with most room for a gain.
    last = one.isel(noise=int(np.argmin(one["accuracy_before"].values)))
    dmlr, oracle, exact = (last.sel(rule=name) for name in (DMLR, ORACLE, EXACT))
    twins = [last.sel(rule=first, control=second) for first, second in TWINS]
    twin_text = ", ".join(
        f"{points(twin, 'advantage')} ({first.split(', ')[1]})" for twin, (first, _) in zip(twins, TWINS, strict=True)
    )
    chosen = last.sel(control=CONTROLS[0])
    judged = ", the one chosen by the reward by ".join(
        points(chosen.sel(choice=choice), "judged_difference", "judged") for choice in CHOICES
    )
    return (
        f"{one['reference'].item()} (noise {float(last['noise']):g}, {float(last['accuracy_before']):.1%} right "
        f"before): DMLR raises its reward by {float(dmlr['reward_gain']):.3g} "
        f"{gain_interval(dmlr['reward_gain_low'], dmlr['reward_gain_high'])} and changes accuracy by "
        f"{points(dmlr, 'difference')} ({dmlr['verdict'].item()}); reinforced minus random steps at equal evaluations: "
        f'{twin_text}. Of {one.sizes["sigma"] * one.sizes["rate"]} step sizes for "{CONTROLS[0]}", the one that half '
        "of the items chose by accuracy changes that of the other half by "
        f"{judged}. The exact gradient of the confidence: {points(exact, 'difference')}; that of an oracle: "
        f"{points(oracle, 'difference')}."
    )


def conclusion(dataset: xarray.Dataset) -> str:
    """What holds over all reasoners and levels, counted."""
    of = dataset.sel(rule=DMLR)
    raised, lowered = (int(shown.sum()) for shown in _shown(of))
    total = of["difference"].size
    grown = int((of["reward_gain_low"] > 0).sum())
    better, worse = [], []
    for first, second in TWINS:
        pair = dataset.sel(rule=first, control=second)
        better.append(int(((pair["advantage_p_value"] <= ALPHA) & (pair["advantage"] > 0)).sum()))
        worse.append(int(((pair["advantage_p_value"] <= ALPHA) & (pair["advantage"] < 0)).sum()))
    oracle, exact = (dataset.sel(rule=name) for name in (ORACLE, EXACT))
    room = (oracle["holm"] <= ALPHA) & (oracle["difference"] > 0)
    there = exact["reward_gain_low"].where(room) > 0
    up, down = (int((shown & there).sum()) for shown in _shown(exact))
    known = dataset.sel(rule=DMLR, control=list(CONTROLS))
    beaten = int(((known["advantage_p_value"] <= ALPHA) & (known["advantage"] > 0)).sum())
    lost = int(((known["advantage_p_value"] <= ALPHA) & (known["advantage"] < 0)).sum())
    return (
        f"In {total} cells (reasoner x noise) DMLR's reward rises in {grown} and its accuracy in {raised} (falls in "
        f"{lowered}), after Holm's correction over methods. Reinforced steps beat random ones at equal evaluations in "
        f"{sum(better)} of {2 * total} comparisons and lose in {sum(worse)}; DMLR beats one of its four controls in "
        f"{beaten} of {4 * total} and loses in {lost} (uncorrected, at {ALPHA:g}). The gradient of an oracle raises "
        f"accuracy in {int(room.sum())} of {total}, so that better latents exist there; the exact gradient of the "
        f"confidence raises its reward in {int(there.sum())} of these, accuracy in {up}, and lowers accuracy in {down}."
    )


def _shown(of: xarray.Dataset) -> tuple[xarray.DataArray, xarray.DataArray]:
    """Where accuracy was shown to rise, and to fall."""
    shown = of["holm"] <= ALPHA
    return shown & (of["difference"] > 0), shown & (of["difference"] < 0)


def methods(one: xarray.Dataset) -> Rows:
    """Every method on one reasoner at one level of noise."""
    columns: Columns = {
        "accuracy": "accuracy",
        "change": "difference",
        "95 %": lambda at: intervals.shown(at, "difference"),
        "p (Holm)": "holm",
        "verdict": "verdict",
        "detectable": "minimal_detectable_effect",
        "reward before": "reward_before",
        "gain": "reward_gain",
        "its 95 %": lambda at: gain_interval(at["reward_gain_low"], at["reward_gain_high"]),
        "evaluations": "evaluations",
    }
    return records(one, {"rule": "method"}, columns)


def changes(one: xarray.Dataset) -> Rows:
    """What became of the answers and the latents under every method, at one level of noise."""
    columns: Columns = {
        "changed": "changed",
        "to right": "to_right",
        "to wrong": "to_wrong",
        "latents moved": "moved",
        "iterations that moved": "accepted",
        "patches": "patches",
        "tail mass before": "tail_mass_before",
        "after": "tail_mass",
        "gain tells who became right": lambda at: area(at, "gain_area"),
        "not finite": lambda at: int(at["nonfinite"]),
    }
    return records(one, {"rule": "method"}, columns)


def area(one: xarray.Dataset, name: str) -> str:
    """An area under a ROC curve with its interval; "-" where one class is empty."""
    if not np.isfinite(one[name]):
        return "-"
    return f"{float(one[name]):.2f} {intervals.shown(one, name, digits=2)}"


def against_controls(dataset: xarray.Dataset) -> Rows:
    """Accuracy of DMLR minus that of its controls, and of reinforced minus random steps."""

    def pair(one: xarray.Dataset, method: str, control: str) -> dict[str, Any]:
        of = one.sel(rule=method, control=control)
        spent = [float(one["evaluations"].sel(rule=name)) for name in (method, control)]
        return {
            "method": method,
            "minus": control,
            "difference": float(of["advantage"]),
            "95 %": intervals.shown(of, "advantage"),
            "p": float(of["advantage_p_value"]),
            "within the bound": "shown" if float(of["advantage_equivalent"]) else "not shown",
            "evaluations": "{:.0f} and {:.0f}".format(*spent),
        }

    pairs = [(DMLR, control) for control in CONTROLS] + list(TWINS)
    return [
        {"reasoner": name, "noise": f"{noise:g}", **pair(dataset.sel(reference=name, noise=noise), *names)}
        for name, noise in cells(dataset)
        for names in pairs
    ]


def sweep(dataset: xarray.Dataset) -> Rows:
    """Settings chosen on one half, judged on the other."""
    columns: Columns = {
        "sigma": lambda one: f"{float(one['chosen_sigma']):g}",
        "rate": lambda one: f"{float(one['chosen_rate']):g}",
        "before": "judged_before",
        "after": "judged_accuracy",
        "95 % of the change": lambda one: intervals.shown(one, "judged_difference", "judged"),
        "p": "judged_p_value",
        "verdict": "judged_verdict",
    }
    return records(dataset, {**_CELLS, "control": "steps", "choice": "chosen by"}, columns)


def twins(dataset: xarray.Dataset) -> Rows:
    """Reinforced minus random steps, each at the setting that was chosen for it, on the half that judges."""
    columns: Columns = {
        "reinforced minus random": "twin_difference",
        "95 %": lambda one: intervals.shown(one, "twin_difference", "twin"),
        "p": "twin_p_value",
    }
    return records(dataset, {**_CELLS, "twin": "accepts", "choice": "chosen by"}, columns)


def hacking(dataset: xarray.Dataset) -> Rows:
    """Reward and accuracy by rate, the largest sigma's left out: what a larger step buys."""

    def bought(rate: float) -> Callable[[xarray.Dataset], str]:
        def told(one: xarray.Dataset) -> str:
            at = one.sel(rate=rate)
            return f"{float(at['sweep_reward_gain']):+.3f}, {float(at['sweep_accuracy']):.1%}"

        return told

    columns: Columns = {f"rate {rate:g}": bought(rate) for rate in dataset["rate"].values}
    return records(dataset.isel(sigma=0).sel(control=list(CONTROLS[:3:2])), {**_CELLS, "control": "steps"}, columns)


def premise(dataset: xarray.Dataset) -> Rows:
    """Confidence before any step against right answers, right steps said, attention to what matters."""

    def correlated(outcome: str) -> Callable[[xarray.Dataset], str]:
        def told(one: xarray.Dataset) -> str:
            at = one.sel(outcome=outcome)
            if (float(at["correlation_low"]), float(at["correlation_high"])) == (-1, 1):  # one of the two is constant
                return "-"
            return f"{float(at['correlation']):+.2f} {intervals.shown(at, 'correlation', digits=2)}"

        return told

    columns: Columns = {"area, right": lambda one: area(one, "area")}
    columns |= {str(outcome): correlated(outcome) for outcome in dataset["outcome"].values}
    return records(dataset, {**_CELLS, "measure": "confidence"}, columns)


def frame(dataset: xarray.Dataset) -> Any:
    """All methods of all reasoners as a ``pandas.DataFrame``, for a CSV file."""
    dims = ("reference", "noise", "rule")
    columns = [name for name in VARIABLES if dataset[name].dims == dims]
    return dataset[columns].to_dataframe().reset_index()
