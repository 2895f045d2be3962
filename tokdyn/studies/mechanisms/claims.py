"""What the numbers say, in plain words, and what they say to published claims."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator

import numpy as np
import xarray

from tokdyn import claims
from tokdyn.reasoning.diagnose import BOUND
from tokdyn.studies import rules
from tokdyn.studies.mechanisms.design import KEPT_ARMS, TASKS, Config
from tokdyn.studies.rules import AtLeast, AtMost, Context, Estimate, Every, Judgement, Rises, Some

COMMAND = "tokdyn study mechanisms"
CONTEXT = "Small reasoners of some 30,000 weights on synthetic tasks: no test of the published models"
WEAK = 0.05  # of accuracy
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
    """What the study says to published claims."""
    tasks = [str(name) for name in dataset["task"].values]
    command = COMMAND if len(tasks) == len(TASKS) else f"{COMMAND} --tasks {' '.join(tasks)}"
    return rules.findings(CLAIMS, dataset, command)


def decides(config: Config) -> bool:
    """Whether a design may judge claims: the default one, or one that leaves out tasks."""
    return dataclasses.replace(config, tasks=Config().tasks) == Config()


def _good(of: xarray.Dataset) -> list[xarray.Dataset]:
    return [one for _, one in settings(of) if learned(one)]


def _units(of: xarray.Dataset, number: Callable[[xarray.Dataset], xarray.DataArray]) -> Estimate:
    """The mean over trainings (task, supervision, seed): stages share weights, so that their mean is one number."""
    kept = [number(one).values for one in _good(of)]
    names = [(str(one["task"].values), str(one["supervision"].values)) for one in _good(of)]
    each = [np.mean([value for value, name in zip(kept, names, strict=True) if name == of_], axis=0)
            for of_ in dict.fromkeys(names)]  # fmt: skip
    units = np.ravel(each)
    units = units[np.isfinite(units)]
    return rules.mean(units) if units.size > 1 else rules.exact(np.nan)


def _fall(one: xarray.Dataset, arm: str, *, together: int) -> Estimate:
    """What an arm costs: right answers lost, item by item, in every training."""
    right = one["right"].astype(float)
    return rules.mean((right.sel(arm="full") - right.sel(arm=arm)).mean("seed"), together=together)


def _falls(of: xarray.Dataset) -> list[Estimate]:
    good = _good(of)
    return [_fall(one, "cache donor", together=len(good)) for one in good]


def _by_supervision(arm: str, *, matched: bool = False) -> Callable[[xarray.Dataset], list[Estimate]]:
    """How much more one supervision loses under an arm than another, on the same items, where both learned the task.

    Args:
        arm: name.
        matched: only pairs whose accuracies without the arm differ by at most ``WEAK``.
    """

    def measured(of: xarray.Dataset) -> list[Estimate]:
        right = of["right"].astype(float).mean("seed")
        names = ("supervision", "task", "stage")
        good = {tuple(str(one[name].values) for name in names) for one in _good(of)}
        pairs = []
        for task, stage in itertools.product(of["task"].values, of["stage"].values):
            here = right.sel(task=task, stage=stage)
            for one, other in itertools.permutations(of["supervision"].values, 2):
                if not {(str(one), str(task), str(stage)), (str(other), str(task), str(stage))} <= good:
                    continue
                difference = here.sel(supervision=one) - here.sel(supervision=other)
                full = difference.sel(arm="full")
                if not matched or abs(float(full.mean())) <= WEAK:
                    pairs.append(full - difference.sel(arm=arm))
        return [rules.mean(pair, together=len(pairs)) for pair in pairs]

    return measured


def _told_falls(of: xarray.Dataset, arm: str = "cache donor") -> str:
    good = [("", one) for one in _good(of)]
    if not good:
        return "no setting learned its task"
    fallen = _range(good, lambda one: accuracy(one, "full") - accuracy(one, arm))
    return f"fall of accuracy {fallen} in {len(good)} settings that learned their task"


def _told_arm(arm: str) -> Callable[[xarray.Dataset], str]:
    return lambda of: f"'{arm}': {_told_falls(of, arm)}"


def _told_supervision(of: xarray.Dataset, arm: str = "cache donor") -> str:
    said = []
    for method in of["supervision"].values:
        every = list(settings(of.sel(supervision=[method])))
        said.append(f"{method} {_range(every, lambda one: accuracy(one, 'full') - accuracy(one, arm))}")
    return f"fall under '{arm}': {'; '.join(said)}"


def _told_attention(of: xarray.Dataset) -> str:
    good = _good(of)
    narrower = sum(float(one["entropy_difference"].isel(order=0).mean()) < 0 for one in good)
    return f"in {narrower} of {len(good)} settings"


def _told_gain(of: xarray.Dataset) -> str:
    gaining = [(name, one) for name, one in settings(of) if has_gain(one)]
    shares = {arm: _gains(gaining, arm) for arm in ("slots removed", "slots and markers removed")}
    told = "; ".join(
        f"'{arm}' keeps {100 * min(kept):.0f} to {100 * max(kept):.0f} %" for arm, kept in shares.items() if kept
    )
    return f"{len(gaining)} settings with a gain over direct answers; {told or 'no share is given'}"


def _toward_donor(of: xarray.Dataset) -> str:
    good = [("", one) for one in _good(of)]
    if not good:
        return "no setting learned its task"
    toward = _range(good, lambda one: _toward(one, "cache donor") - _toward(one, "full"))
    return f"answers move to the donor's in {toward} of items"


def _recovered(of: xarray.Dataset) -> str:
    good = [("", one) for one in _good(of)]
    if not good:
        return "no setting learned its task"
    lift = _range(good, lambda one: _attribute(one, "latents") - _attribute(one, "question"))
    return f"probes on slots above the question by {lift}, attributes never asked for"


def _worst_of_probe(of: xarray.Dataset) -> str:
    return _told_falls(of.sel(supervision=["MVH-like"])) if "MVH-like" in of["supervision"].values else "not run"


CLAIMS: tuple[Judgement | Context, ...] = (
    Judgement(
        "visual_memory.slots_weak_cause", Every(AtMost(WEAK)), _falls, claims.CONTEXT, told=_told_falls,
        note=f"caches of slots swapped; weak: {WEAK} of accuracy at most. {CONTEXT}",
    ),
    Judgement(
        "visual_memory.supervision_decides", Some(AtLeast(WEAK)), _by_supervision("cache donor"), claims.CONTEXT,
        told=_told_supervision, note=f"differences between ways of supervision on the same items. {CONTEXT}",
    ),
    Judgement(
        "visual_memory.marker_dependence_varies", Some(AtLeast(WEAK)), _by_supervision("markers removed", matched=True),
        claims.CONTEXT, told=lambda of: _told_supervision(of, "markers removed"),
        note=f"differences on the same items between supervisions whose accuracies differ by at most {WEAK}. {CONTEXT}",
    ),
    Judgement(
        "visual_memory.attention_narrower", Rises(),
        lambda of: _units(of, lambda one: -one["entropy_difference"].isel(order=0)), claims.CONTEXT,
        told=_told_attention,
        note=f"nats by which answer positions are wider: entropy of each head, then the mean over trainings. {CONTEXT}",
    ),
    *(Context(f"visual_memory.{name}", _told_gain)
      for name in ("gain_retained_high", "gain_retained_low", "format_gain", "components")),
    *(Context(f"visual_memory.{name}", _told_arm(arm)) for name, arm in (
        ("slots_zero", "slots zero"), ("slots_replace", "slots constant"), ("slots_inject", "slots oracle"),
    )),
    Context("visual_memory.slots_swap", _toward_donor),
    Context("visual_memory.slots_recover", _recovered),
    Context("visual_memory.probe_method_fails_too", _worst_of_probe),
)  # fmt: skip


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
