"""What the study says to the claims of DMLR: never about its models, often about what its reasons are worth."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import xarray

from tokdyn.claims import CONTEXT, Finding
from tokdyn.reasoning.diagnose import relation
from tokdyn.reasoning.diagnose.outcomes import ALPHA, compared
from tokdyn.reasoning.references import catalog
from tokdyn.studies import intervals, rules
from tokdyn.studies.latent_optimisation.analysis import OUTCOMES
from tokdyn.studies.latent_optimisation.design import ALL_PATCHES, DMLR, EXACT, NO_PATCHES, ORACLE
from tokdyn.studies.latent_optimisation.tables import cells
from tokdyn.studies.rules import AtMost, Context, Equals, Estimate, Every, InGeneral, Judgement, Rises

COMMAND = "tokdyn study latent-optimisation"
# The confidence of the paper, where it is read: after the slots.
MEASURE = "truncated confidence, slots"
FEWEST = 5  # right, and wrong, answers that a relation to being right needs
FULL = 0.95  # an accuracy from which on there is no room
_GAINS = ("qwen25_3b", "qwen25_7b", "qwen3_4b", "qwen3_8b", "r1_onevision", "vlaa_thinking")
_BENCHMARKS = ("mathvision", "mathvista", "mmstar", "scienceqa")
_INJECTIONS = {"none": NO_PATCHES, "all": ALL_PATCHES, "dynamic": DMLR}


def findings(dataset: xarray.Dataset) -> dict[str, Finding]:
    """What the study says to published claims; every pair of a reasoner and a level of noise is a cell."""
    return rules.findings(CLAIMS, dataset, COMMAND)


def _estimates(of: xarray.Dataset, name: str, chosen: np.ndarray) -> list[Estimate]:
    """The cells that are chosen, with the intervals that the study gives them."""
    return [rules.between(*row) for row in intervals.stacked(of, name)[:, chosen].T]


def _relation(outcome: str) -> Callable[[xarray.Dataset], list[Estimate]]:
    """Confidence before any step and an outcome; cells in which the outcome or the confidence is constant are out."""

    def measured(of: xarray.Dataset) -> list[Estimate]:
        if outcome == OUTCOMES[1]:  # slots that were never trained to say steps have no chain
            names = [str(name) for name in of["reference"].values]
            of = of.sel(reference=[name for name in names if catalog()[name].loss.chain])
        of = of.sel(measure=MEASURE, outcome=outcome)
        return _estimates(of, "correlation", ~((of["correlation_low"] == -1) & (of["correlation_high"] == 1)).values)

    return measured


def _told_relation(outcome: str) -> Callable[[xarray.Dataset], str]:
    def told(of: xarray.Dataset) -> str:
        found = _relation(outcome)(of)
        values = [one.value for one in found]
        spread = f", from {min(values):+.2f} to {max(values):+.2f}" if values else ""
        return f"rank correlation above 0 in {_counted(found)}{spread}"

    return told


def _counted(found: list[Estimate], below: str = "below 0") -> str:
    """In how many cells an effect was shown, and its opposite."""
    up, down = sum(one.low > 0 for one in found), sum(one.high < 0 for one in found)
    return f"{up}, {below} in {down} of {len(found)} cells"


def _injection(of: xarray.Dataset) -> list[Estimate]:
    """Dynamic injection minus none and minus all, the same seeds, in every cell."""
    right = of["answer"] == of["right_answer"]
    arms = {name: right.sel(rule=name).transpose(..., "seed", "item").values for name in _INJECTIONS.values()}
    made = []
    for name in (NO_PATCHES, ALL_PATCHES):
        found = compared(arms[DMLR], arms[name], bound=0.5)
        ends = (np.ravel(end) for end in (found.difference, found.low, found.high))
        made += [rules.between(*row) for row in zip(*ends, strict=True)]
    return rules.widened(made)


def _told_injection(of: xarray.Dataset) -> str:
    found = _injection(of)
    better, worse = sum(one.low > 0 for one in found), sum(one.high < 0 for one in found)
    means = ", ".join(f"{name} {_accuracy(of, name):.3f}" for name in (NO_PATCHES, ALL_PATCHES, DMLR))
    return f"better in {better}, worse in {worse} of {len(found)} comparisons with none or all; {means}"


def _with_room(of: xarray.Dataset) -> np.ndarray:
    """Cells in which an oracle's gradient raises accuracy, and the exact gradient of confidence the reward."""
    oracle = of.sel(rule=ORACLE)
    room = (oracle["holm"] <= ALPHA) & (oracle["difference"] > 0)
    return (room & (of.sel(rule=EXACT)["reward_gain_low"] > 0)).values


def _reward(of: xarray.Dataset) -> list[Estimate]:
    """What more confidence does to accuracy where latents could raise it."""
    return rules.widened(_estimates(of.sel(rule=EXACT), "difference", _with_room(of)))


def _told_reward(of: xarray.Dataset) -> str:
    changes = _reward(of)
    up, down = sum(one.low > 0 for one in changes), sum(one.high < 0 for one in changes)
    return (
        f"its exact gradient raises the reward in {len(changes)} cells in which an oracle's gradient raises accuracy; "
        f"accuracy rises in {up} of them, falls in {down}"
    )


def _cells_with_room(of: xarray.Dataset) -> str:
    there = _with_room(of)
    names = [f"{name} at {noise:g}" for (name, noise), room in zip(cells(of), there.ravel(), strict=True) if room]
    return f"cells with room: {', '.join(names) or 'none'}"


def _ratios(of: xarray.Dataset, name: str, base: str) -> list[Estimate]:
    """Mean over items of one gradient over that of another, for every reasoner that has one; noises together."""
    tops, bottoms = (of[f"gradient_{each}"].transpose("reference", "item", "noise").values for each in (name, base))
    kept = [(top.mean(axis=1), bottom.mean(axis=1)) for top, bottom in zip(tops, bottoms, strict=True) if bottom.any()]
    # The base is of the same items and perturbations: what varies is the difference.
    return [rules.mean(1 + (top - bottom) / bottom.mean(), together=len(kept)) for top, bottom in kept]


def _told_gradient(of: xarray.Dataset) -> str:
    def spread(base: str) -> str:
        values = [one.value for one in _ratios(of, "estimated", base)]
        return f"{min(values):.3f} to {max(values):.3f}" if values else "nowhere known"

    return (
        f"mean estimate over the gradient of the smoothed reward {spread('smoothed')}, over that of the reward itself "
        f"{spread('exact')}"
    )


def _with_chain(of: xarray.Dataset) -> list[np.ndarray]:
    """Share of the steps said that depend on the picture `[items]`, in every cell of a reasoner with a chain."""
    rows = of["dependent_steps"].values.reshape(-1, of.sizes["item"])
    return [row[np.isfinite(row)] for row in rows if np.isfinite(row).any()]


def _sparse(of: xarray.Dataset) -> list[Estimate]:
    rows = _with_chain(of)
    return [rules.mean(row, together=len(rows)) for row in rows]


def _told_sparse(of: xarray.Dataset) -> str:
    values = [row.mean() for row in _with_chain(of)]
    return f"share {min(values):.2f} to {max(values):.2f} in {len(values)} cells" if values else "no chain"


def _dependence(of: xarray.Dataset) -> list[Estimate]:
    """Whether right answers' words depend more on the picture: ROC area above one half, where some are wrong."""
    right = of["clean_answer"] == of["right_answer"]
    pairs = zip(
        of["dependence"].transpose(..., "item").values.reshape(-1, of.sizes["item"]),
        right.transpose(*of["dependence"].dims).values.reshape(-1, of.sizes["item"]),
        strict=True,
    )
    found = [
        relation(score, flag.astype(float)).area for score, flag in pairs if FEWEST <= flag.sum() <= len(flag) - FEWEST
    ]
    return [rules.between(one.estimate - 0.5, one.low - 0.5, one.high - 0.5) for one in found if one is not None]


def _told_dependence(of: xarray.Dataset) -> str:
    found = _dependence(of)
    areas = [0.5 + one.value for one in found]
    spread = f", {min(areas):.2f} to {max(areas):.2f}" if areas else ""
    return f"ROC area above 0.5 in {_counted(found, 'below')}{spread}"


def _accuracy(of: xarray.Dataset, rule: str) -> float:
    return float(of["accuracy"].sel(rule=rule).mean())


def _gained(of: xarray.Dataset) -> str:
    before = float(of["accuracy_before"].mean())
    return f"our mean over reasoners and noises {before:.1%} before, {_accuracy(of, DMLR):.1%} after"


def _gain(of: xarray.Dataset) -> str:
    """In how many of our cells with room for it accuracy rises, falls, or is shown to stay within the bound."""
    of = of.sel(rule=DMLR)
    room = of["accuracy_before"] < FULL
    shown, up = of["holm"] <= ALPHA, of["difference"] > 0
    raised, lowered = int((room & shown & up).sum()), int((room & shown & ~up).sum())
    same, count = int((room & (of["equivalent"] > 0)).sum()), int(room.sum())
    return (
        f"of our {count} cells with less than {FULL:.0%} right before, accuracy is higher in {int((room & up).sum())}, "
        f"shown in {raised}; lower shown in {lowered}; within the bound shown in {same}"
    )


def _told_mean(rule: str) -> Callable[[xarray.Dataset], str]:
    return lambda of: f"our mean accuracy {_accuracy(of, rule):.3f}"


_CELLS = (
    "cells are reasoners x noises in which both vary; intervals of 95 %, uncorrected; a relation over items is no "
    "promise that raising confidence on one item makes it right"
)
CLAIMS: tuple[Judgement | Context, ...] = (
    *(
        Judgement(
            f"dmlr.confidence_{name}", InGeneral(Rises()), _relation(outcome), CONTEXT, told=_told_relation(outcome),
            note=_CELLS,
        )
        for name, outcome in zip(("accuracy", "quality", "grounding"), OUTCOMES, strict=True)
    ),
    Judgement(
        "dmlr.injection_dynamic_best", Every(Rises()), _injection, CONTEXT, told=_told_injection,
        note="an injected patch here is a second copy of its keys and values; the published one is computed anew",
    ),
    Judgement("dmlr.reward_entropy", Every(Rises()), _reward, CONTEXT, told=_told_reward, note=_cells_with_room),
    Judgement(
        "dmlr.policy_gradient", Every(Equals(1, 0.1)), lambda of: _ratios(of, "estimated", "smoothed"), CONTEXT,
        reading=(Every(Equals(1, 0.1)), lambda of: _ratios(of, "estimated", "exact")), told=_told_gradient,
        note="along the reward's own gradient, at DMLR's sigma; read as: the gradient of the reward, not of the reward "
        "smoothed by the perturbations",
    ),
    Judgement(
        "dmlr.visual_dependency_sparse", InGeneral(AtMost(0.5)), _sparse, CONTEXT, told=_told_sparse,
        note="few: at most half of the steps said lose half of their probability under a noised picture, latents held; "
        "chains here are two to four words long, and none is a filler",
    ),
    Judgement(
        "dmlr.visual_dependency_right", InGeneral(Rises()), _dependence, CONTEXT, told=_told_dependence,
        note="mean log probability ratio, picture against a noised one, of the steps and the answer that were said; "
        + _CELLS,
    ),
    Context("dmlr.gain_everywhere", _gain),
    *(Context(f"dmlr.gain_{name}", _gained) for name in _GAINS),
    *(
        Context(f"dmlr.injection_{kind}_{bench}", _told_mean(rule))
        for kind, rule in _INJECTIONS.items()
        for bench in _BENCHMARKS
    ),
)  # fmt: skip
