"""The report's tables, as records, and a sentence for every reasoner."""

from __future__ import annotations

from typing import Any, SupportsFloat

import numpy as np
import xarray

from tokdyn.reasoning.diagnose.effects import ALPHA
from tokdyn.studies.documents import brackets
from tokdyn.studies.latent_optimisation.design import CHOICES, CONTROLS, DMLR, EXACT, ORACLE, TWINS

Rows = list[dict[str, Any]]


def cells(dataset: xarray.Dataset) -> list[tuple[str, float]]:
    """Every reasoner at every level of noise."""
    return [(str(name), float(noise)) for name in dataset["reference"].values for noise in dataset["noise"].values]


def gain_interval(low: SupportsFloat, high: SupportsFloat) -> str:
    """Of a gain of reward, which may be very small."""
    return f"[{float(low):.2g}, {float(high):.2g}]" if np.isfinite(float(low)) else "-"


def points(one: xarray.Dataset, name: str, ends: str | None = None) -> str:
    """A difference of accuracies in percentage points with its interval: "+0.8 [-1.2, 2.8] points"."""
    start = name.removesuffix("_difference") if ends is None else ends
    value, low, high = (100 * float(one[part]) for part in (name, f"{start}_low", f"{start}_high"))
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
        points(chosen.sel(choice=choice), "judged_difference") for choice in CHOICES
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
    rows = []
    for name in one["rule"].values:
        at = one.sel(rule=name)
        rows.append(
            {
                "method": str(name),
                "accuracy": float(at["accuracy"]),
                "change": float(at["difference"]),
                "95 %": brackets(at["difference_low"], at["difference_high"]),
                "p (Holm)": float(at["holm"]),
                "verdict": str(at["verdict"].item()),
                "detectable": float(at["minimal_detectable_effect"]),
                "reward before": float(at["reward_before"]),
                "gain": float(at["reward_gain"]),
                "its 95 %": gain_interval(at["reward_gain_low"], at["reward_gain_high"]),
                "evaluations": float(at["evaluations"]),
            }
        )
    return rows


def changes(one: xarray.Dataset) -> Rows:
    """What became of the answers and the latents under every method, at one level of noise."""
    rows = []
    for name in one["rule"].values:
        at = one.sel(rule=name)
        rows.append(
            {
                "method": str(name),
                "changed": float(at["changed"]),
                "to right": float(at["to_right"]),
                "to wrong": float(at["to_wrong"]),
                "latents moved": float(at["moved"]),
                "iterations that moved": float(at["accepted"]),
                "patches": float(at["patches"]),
                "tail mass before": float(at["tail_mass_before"]),
                "after": float(at["tail_mass"]),
                "gain tells who became right": area(at, "gain_area"),
                "not finite": int(at["nonfinite"]),
            }
        )
    return rows


def area(one: xarray.Dataset, name: str) -> str:
    """An area under a ROC curve with its interval; "-" where one class is empty."""
    if not np.isfinite(one[name]):
        return "-"
    return f"{float(one[name]):.2f} {brackets(one[f'{name}_low'], one[f'{name}_high'], 2)}"


def against_controls(dataset: xarray.Dataset) -> Rows:
    """Accuracy of DMLR minus that of its controls, and of reinforced minus random steps."""
    rows = []
    pairs = [(DMLR, control) for control in CONTROLS] + list(TWINS)
    for name, noise in cells(dataset):
        for method, control in pairs:
            one = dataset.sel(reference=name, noise=noise, rule=method, control=control)
            other = dataset["evaluations"].sel(reference=name, noise=noise, rule=control)
            rows.append(
                {
                    "reasoner": name,
                    "noise": f"{noise:g}",
                    "method": method,
                    "minus": control,
                    "difference": float(one["advantage"]),
                    "95 %": brackets(one["advantage_low"], one["advantage_high"]),
                    "p": float(one["advantage_p_value"]),
                    "within the bound": "shown" if float(one["advantage_equivalent"]) else "not shown",
                    "evaluations": f"{float(one['evaluations']):.0f} and {float(other):.0f}",
                }
            )
    return rows


def sweep(dataset: xarray.Dataset) -> Rows:
    """Settings chosen on one half, judged on the other."""
    rows = []
    for name, noise in cells(dataset):
        for control in CONTROLS:
            for choice in CHOICES:
                one = dataset.sel(reference=name, noise=noise, control=control, choice=choice)
                rows.append(
                    {
                        "reasoner": name,
                        "noise": f"{noise:g}",
                        "steps": control,
                        "chosen by": choice,
                        "sigma": f"{float(one['chosen_sigma']):g}",
                        "rate": f"{float(one['chosen_rate']):g}",
                        "before": float(one["judged_before"]),
                        "after": float(one["judged_accuracy"]),
                        "95 % of the change": brackets(one["judged_low"], one["judged_high"]),
                        "p": float(one["judged_p_value"]),
                        "verdict": str(one["judged_verdict"].item()),
                    }
                )
    return rows


def twins(dataset: xarray.Dataset) -> Rows:
    """Reinforced minus random steps, each at the setting that was chosen for it, on the half that judges."""
    rows = []
    for name, noise in cells(dataset):
        for twin in dataset["twin"].values:
            for choice in CHOICES:
                one = dataset.sel(reference=name, noise=noise, twin=twin, choice=choice)
                rows.append(
                    {
                        "reasoner": name,
                        "noise": f"{noise:g}",
                        "accepts": str(twin),
                        "chosen by": choice,
                        "reinforced minus random": float(one["twin_difference"]),
                        "95 %": brackets(one["twin_low"], one["twin_high"]),
                        "p": float(one["twin_p_value"]),
                    }
                )
    return rows


def hacking(dataset: xarray.Dataset) -> Rows:
    """Reward and accuracy by rate, the largest sigma's left out: what a larger step buys."""
    rows = []
    for name, noise in cells(dataset):
        for control in CONTROLS[:3:2]:
            one = dataset.sel(reference=name, noise=noise, control=control).isel(sigma=0)
            row: dict[str, Any] = {"reasoner": name, "noise": f"{noise:g}", "steps": control}
            for rate in one["rate"].values:
                at = one.sel(rate=rate)
                row[f"rate {rate:g}"] = f"{float(at['sweep_reward_gain']):+.3f}, {float(at['sweep_accuracy']):.1%}"
            rows.append(row)
    return rows


def premise(dataset: xarray.Dataset) -> Rows:
    """Confidence before any step against right answers, right steps said, attention to what matters."""
    rows = []
    for name, noise in cells(dataset):
        for measure in dataset["measure"].values:
            one = dataset.sel(reference=name, noise=noise, measure=measure)
            row = {
                "reasoner": name,
                "noise": f"{noise:g}",
                "confidence": str(measure),
                "area, right": area(one, "area"),
            }
            for outcome in one["outcome"].values:
                at = one.sel(outcome=outcome)
                there = not (float(at["correlation_low"]) == -1 and float(at["correlation_high"]) == 1)
                text = f"{float(at['correlation']):+.2f} {brackets(at['correlation_low'], at['correlation_high'], 2)}"
                row[str(outcome)] = text if there else "-"
            rows.append(row)
    return rows


def frame(dataset: xarray.Dataset) -> Any:
    """All methods of all reasoners as a ``pandas.DataFrame``, for a CSV file."""
    dims = ("reference", "noise", "rule")
    columns = [str(name) for name, values in dataset.data_vars.items() if values.dims == dims]
    return dataset[columns].to_dataframe().reset_index()
