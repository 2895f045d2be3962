"""What the numbers say, in plain words, and what they say to published claims."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import xarray

from tokdyn import claims
from tokdyn.reasoning.diagnose import BOUND
from tokdyn.studies.mechanisms.design import KEPT_ARMS

COMMAND = "tokdyn study mechanisms"
CONTEXT = "small reasoners of some 30,000 weights on synthetic tasks: context, no test of the published models"
LEARNED = 0.25  # of the way from chance to 1
COMPARED = (
    "direct",
    "direct, matched operations",
    "pause",
    "pause, chain",
    "soft prompt",
    "text chain",
    "text imagination",
)
APART = 0.2


def settings(dataset: xarray.Dataset) -> Iterator[tuple[str, xarray.Dataset]]:
    """Every task, supervision and stage: a name, and its part of the Dataset."""
    for task in dataset["task"].values:
        for method in dataset["supervision"].values:
            for stage in dataset["stage"].values:
                chosen = {"task": task, "supervision": method, "stage": stage}
                yield f"{task.replace('_', ' ')}, {method}, {stage}", dataset.sel(chosen)


def learned(one: xarray.Dataset) -> bool:
    """Whether a setting's full arm is a quarter of the way from chance to perfect."""
    chance = float(one["chance"])
    return accuracy(one, "full") > chance + LEARNED * (1 - chance)


def accuracy(one: xarray.Dataset, arm: str) -> float:
    """Mean over seeds and items."""
    return float(one["right"].sel(arm=arm).mean())


def has_gain(one: xarray.Dataset, base: str = "direct") -> bool:
    """Whether the full arm is above the base, the interval of the difference excluding 0."""
    return float(one["denominator_low"].sel(gain_base=base).isel(kept_arm=0)) > 0


def sentences(dataset: xarray.Dataset) -> list[str]:
    """Findings in plain words, null results among them."""
    every = list(settings(dataset))
    good = [(name, one) for name, one in every if learned(one)]
    gaining = [(name, one) for name, one in every if has_gain(one)]
    lines = [_listed(f"{len(good)} of {len(every)} settings learned their task; not learned", [
        name for name, one in every if not learned(one)
    ])]  # fmt: skip
    by_seed = {name: one["right"].sel(arm="full").mean("item").values for name, one in every}
    apart = [
        f"{name} ({seeds.min():.2f} to {seeds.max():.2f})" for name, seeds in by_seed.items() if np.ptp(seeds) > APART
    ]
    lines.append(_listed(f"Settings whose seeds differ by more than {APART} of accuracy", apart))
    lines.append(
        f"A gain over direct answers (interval above 0) is there in {len(gaining)} of {len(every)} settings; in the "
        "others a share of a gain is refused."
        + (f" With a gain: {'; '.join(name for name, _ in gaining)}." if gaining else "")
    )
    for arm in KEPT_ARMS:
        shares = _gains(gaining, arm)
        if shares:
            lines.append(
                f"With the arm '{arm}' {100 * min(shares):.0f} to {100 * max(shares):.0f} % of the gain over direct "
                f"answers is kept ({len(shares)} settings)."
            )
    if good:
        for arm in ("slots zero", "slots donor", "cache donor", "slots removed", "markers removed"):
            falls = [accuracy(one, "full") - accuracy(one, arm) for _, one in good]
            hardly = sum(fall < BOUND for fall in falls)
            lines.append(
                f"'{arm}' costs {min(falls):.2f} to {max(falls):.2f} of accuracy, less than {BOUND} in {hardly} of "
                f"{len(falls)} settings that learned their task."
            )
        for order in dataset["order"].values:
            changes = [float(one["entropy_difference"].sel(order=order).mean()) for _, one in good]
            lines.append(
                f"Attention to the image is narrower at latent than at answer positions in "
                f"{sum(change < 0 for change in changes)} of {len(changes)} settings ({order.replace('_', ' ')}; "
                f"{min(changes):.2f} to {max(changes):.2f} nats)."
            )
        lines.append(
            "Attributes never asked for: probes of slots are right in "
            f"{_range(good, lambda one: _attribute(one, 'latents'))}, of the question in "
            f"{_range(good, lambda one: _attribute(one, 'question'))}, of the patches read in "
            f"{_range(good, lambda one: _attribute(one, 'image'))}."
        )
    means = dataset["base_right"].mean(["seed", "item"])
    for task in dataset["task"].values:
        one = means.sel(task=task)
        latent = dataset["right"].sel(task=task, arm="full").mean(["seed", "item"])
        lines.append(
            f"{task.replace('_', ' ')}: best latent {float(latent.max()):.2f}; without latents: "
            + ", ".join(f"{base} {float(one.sel(base=base)):.2f}" for base in COMPARED)
            + "."
        )
    return lines


def findings(dataset: xarray.Dataset) -> dict[str, claims.Finding]:
    """What the study says to published claims: never more than "qualified", and open where nothing was learned."""
    every = list(settings(dataset))
    good = [(name, one) for name, one in every if learned(one)]
    gaining = [(name, one) for name, one in every if has_gain(one)]
    made: dict[str, claims.Finding] = {}

    def enter(name: str, ours: float | str, note: str) -> None:
        made[f"visual_memory.{name}"] = claims.Finding(ours, "qualified", f"{note}; {CONTEXT}", COMMAND)

    kept = _gains(gaining, "slots removed")
    if kept:
        told = f"{len(kept)} settings with a gain over direct answers; slots hidden, markers kept"
        enter("gain_retained_high", round(100 * max(kept), 1), told)
        enter("gain_retained_low", round(100 * min(kept), 1), told)
        both = _gains(gaining, "slots and markers removed")
        enter("format_gain", f"{100 * min(both):.0f} to {100 * max(both):.0f} % of the gain", told.split(";")[0])
        enter("components", "three parts", "measured by removing each; shares need not add up to 100 %")
    marks = [float(one["marker_dependence"].sel(gain_base="direct")) for _, one in gaining]
    marks = [mark for mark in marks if np.isfinite(mark)]
    if marks:
        enter(
            "marker_dependence_varies", f"{100 * min(marks):.0f} to {100 * max(marks):.0f} %", "accuracies not matched"
        )
    if not good:
        return made

    def fall(arm: str) -> str:
        return _range(good, lambda one: accuracy(one, "full") - accuracy(one, arm))

    for name, arm in (
        ("slots_zero", "slots zero"),
        ("slots_replace", "slots constant"),
        ("slots_inject", "slots oracle"),
    ):
        enter(name, f"fall of accuracy {fall(arm)}", f"arm '{arm}', {len(good)} settings that learned their task")
    toward = _range(good, lambda one: _toward(one, "cache donor") - _toward(one, "full"))
    enter("slots_swap", f"answers move to the donor's in {toward} of items", "caches of slots swapped")
    enter("slots_weak_cause", f"fall of accuracy {fall('cache donor')}", "caches of slots swapped")
    lift = _range(good, lambda one: _attribute(one, "latents") - _attribute(one, "question"))
    enter("slots_recover", f"probes on slots above the question by {lift}", "attributes never asked for")
    narrower = sum(float(one["entropy_difference"].isel(order=0).mean()) < 0 for _, one in good)
    enter("attention_narrower", f"in {narrower} of {len(good)} settings", "entropy of each head, then the mean")
    enter("similarity_varies", _range(good, lambda one: float(one["likeness"].mean())),
          "cosine to the item's own patches minus that to another's")  # fmt: skip
    by_method = {
        method: [accuracy(one, "full") - accuracy(one, "cache donor") for _, one in good
                 if str(one["supervision"].values) == method]
        for method in dataset["supervision"].values
    }  # fmt: skip
    told = "; ".join(f"{method} {min(all_):.2f} to {max(all_):.2f}" for method, all_ in by_method.items() if all_)
    enter("supervision_decides", f"fall under swapped caches: {told}", "by way of supervision")
    if by_method.get("MVH-like"):
        worst = max(by_method["MVH-like"])
        enter("probe_method_fails_too", f"largest fall under swapped caches {worst:.2f}", "the probe of this study")
    return made


def _gains(chosen: list[tuple[str, xarray.Dataset]], arm: str) -> list[float]:
    shares = [float(one["gain"].sel(gain_base="direct", kept_arm=arm)) for _, one in chosen]
    return [share for share in shares if np.isfinite(share)]


def _attribute(one: xarray.Dataset, source: str) -> float:
    return float(one["attribute_accuracy"].sel(source=source).mean())


def _toward(one: xarray.Dataset, arm: str) -> float:
    return float(one["toward_donor"].sel(arm=arm).mean())


def _range(chosen: list[tuple[str, xarray.Dataset]], number: Callable[[xarray.Dataset], float]) -> str:
    values = [number(one) for _, one in chosen]
    return f"{min(values):.2f} to {max(values):.2f}"


def _listed(words: str, names: list[str]) -> str:
    return f"{words}: {'; '.join(names) if names else 'none'}."
