"""What the study says to the claims of DMLR: never about its models, often about what its reasons are worth."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray

from tokdyn.claims import Finding
from tokdyn.reasoning.diagnose.effects import ALPHA
from tokdyn.reasoning.references import catalog
from tokdyn.studies.latent_optimisation.analysis import OUTCOMES
from tokdyn.studies.latent_optimisation.comparison import compared
from tokdyn.studies.latent_optimisation.design import ALL_PATCHES, DMLR, EXACT, NO_PATCHES, ORACLE
from tokdyn.studies.latent_optimisation.tables import cells

COMMAND = "tokdyn study latent-optimisation"
# The confidence of the paper, where it is read: after the slots.
MEASURE = "truncated confidence, slots"
FULL = 0.95  # an accuracy from which on there is no room
_CONTEXT = "context only: small reasoners of known truth cannot judge the published models"
_GAINS = ("qwen25_3b", "qwen25_7b", "qwen3_4b", "qwen3_8b", "r1_onevision", "vlaa_thinking")
_BENCHMARKS = ("mathvision", "mathvista", "mmstar", "scienceqa")


def findings(dataset: xarray.Dataset) -> dict[str, Finding]:
    """What the study says to published claims. Every verdict follows from the numbers of this Dataset.

    Accuracies of published models stay open. What is said of the method in general is held against all reasoners and
    levels of noise here, of which every pair is a cell.

    Args:
        dataset: from ``run`` with the default design.

    Returns:
        A ``Finding`` for each claim that it bears on.
    """
    found = {
        "confidence_accuracy": _relation(dataset, OUTCOMES[0]),
        "confidence_quality": _relation(dataset, OUTCOMES[1]),
        "confidence_grounding": _relation(dataset, OUTCOMES[2]),
        "injection_dynamic_best": _injection(dataset),
        "reward_entropy": _reward(dataset),
    }
    of = lambda name: (  # noqa: E731
        float(dataset["accuracy_before"].mean()),
        float(dataset["accuracy"].sel(rule=name).mean()),
    )
    gained = "our mean over reasoners and noises {:.1%} before, {:.1%} after".format(*of(DMLR))
    context = {f"gain_{name}": gained for name in _GAINS} | {"gain_everywhere": _gain(dataset)}
    for kind, name in (("none", NO_PATCHES), ("all", ALL_PATCHES), ("dynamic", DMLR)):
        context |= {f"injection_{kind}_{bench}": f"our mean accuracy {of(name)[1]:.3f}" for bench in _BENCHMARKS}
    found |= {name: Finding(None, "open", f"{_CONTEXT}; {text}") for name, text in context.items()}
    return {f"dmlr.{name}": finding for name, finding in found.items()}


def _judged(yes: int, no: int, count: int, ours: str, note: str) -> Finding:
    """Reproduced where all cells show it, qualified where some show the opposite, or some nothing.

    Open where no cell shows either: what was not seen is not refuted. Never contradicted: published cells are of other
    models than ours.
    """
    if not yes + no:
        return Finding(None, "open", f"none of {count} cells shows it or the opposite; {ours}; {note}")
    return Finding(ours, "reproduced" if yes == count else "qualified", note, COMMAND)


def _relation(dataset: xarray.Dataset, outcome: str) -> Finding:
    """Confidence before any step and an outcome; cells in which the outcome or the confidence is constant are out."""
    if outcome == OUTCOMES[1]:  # slots that were never trained to say steps have no chain
        names = [str(name) for name in dataset["reference"].values]
        dataset = dataset.sel(reference=[name for name in names if catalog()[name].loss.chain])
    of = dataset.sel(measure=MEASURE, outcome=outcome)
    low, high, value = (of[name].values for name in ("correlation_low", "correlation_high", "correlation"))
    there = ~((low == -1) & (high == 1))
    up, down = int(((low > 0) & there).sum()), int(((high < 0) & there).sum())
    count = int(there.sum())
    spread = f", from {value[there].min():+.2f} to {value[there].max():+.2f}" if count else ""
    return _judged(
        up,
        down,
        count,
        f"rank correlation above 0 in {up}, below 0 in {down} of {count} cells{spread}",
        "cells are reasoners x noises in which both vary; intervals of 95 %, uncorrected; a relation over items is no "
        "promise that raising confidence on one item makes it right",
    )


def _gain(dataset: xarray.Dataset) -> str:
    """In how many of our cells with room for it accuracy rises, falls, or is shown to stay within the bound."""
    of = dataset.sel(rule=DMLR)
    room = of["accuracy_before"] < FULL
    shown, up = of["holm"] <= ALPHA, of["difference"] > 0
    raised, lowered = int((room & shown & up).sum()), int((room & shown & ~up).sum())
    same, count = int((room & (of["equivalent"] > 0)).sum()), int(room.sum())
    return (
        f"of our {count} cells with less than {FULL:.0%} right before, accuracy is higher in {int((room & up).sum())}, "
        f"shown in {raised}; lower shown in {lowered}; within the bound shown in {same}"
    )


def _injection(dataset: xarray.Dataset) -> Finding:
    """Dynamic injection against none and all, the same seeds."""
    right = dataset["answer"] == dataset["right_answer"]
    of = lambda name: right.sel(rule=name).transpose(..., "seed", "item").values  # noqa: E731
    against: dict[str, Any] = {name: compared(of(DMLR), of(name), bound=0.5) for name in (NO_PATCHES, ALL_PATCHES)}
    better = np.all([(one.p_value <= ALPHA) & (one.difference > 0) for one in against.values()], axis=0)
    worse = np.any([(one.p_value <= ALPHA) & (one.difference < 0) for one in against.values()], axis=0)
    means = {name: float(of(name).mean()) for name in (NO_PATCHES, ALL_PATCHES, DMLR)}
    text = ", ".join(f"{name} {value:.3f}" for name, value in means.items())
    return _judged(
        int(better.sum()),
        int(worse.sum()),
        better.size,
        f"better than both in {int(better.sum())}, worse than one in {int(worse.sum())} of {better.size} cells; {text}",
        "an injected patch here is a second copy of its keys and values; the published one is computed anew",
    )


def _reward(dataset: xarray.Dataset) -> Finding:
    """Does more confidence bring more right answers, where an oracle shows that latents could?"""
    exact, oracle = dataset.sel(rule=EXACT), dataset.sel(rule=ORACLE)
    room = (oracle["holm"] <= ALPHA) & (oracle["difference"] > 0)
    raised = exact["reward_gain_low"] > 0
    shown, change = room & raised & (exact["holm"] <= ALPHA), exact["difference"]
    up, down = (int((shown & side).sum()) for side in (change > 0, change < 0))
    same = int((room & raised & (exact["equivalent"] > 0)).sum())
    names = [f"{name} at {noise:g}" for name, noise in cells(dataset) if bool(room.sel(reference=name, noise=noise))]
    return _judged(
        up,
        down + same,
        int(room.sum()),
        f"its exact gradient raises the reward in {int((room & raised).sum())}, accuracy in {up} (lowers it in {down}, "
        f"shown within the bound in {same}) of the {int(room.sum())} cells in which an oracle's gradient raises it",
        f"cells with room: {', '.join(names) or 'none'}",
    )
