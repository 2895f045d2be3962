"""What each way of asking would have concluded, held against what is true: right, false alarm, missed, undecided."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from tokdyn.reasoning.audit.diagnostics import DIAGNOSTICS, NO, UNDECIDED, YES, Diagnostic, accuracy, donor_lift
from tokdyn.stats import clopper_pearson

OUTCOMES = ("right", "false alarm", "missed", "undecided")
# Two truths that an answer can be held against. The first is what papers conclude on, whatever they have intervened on.
QUESTIONS = ("do answers use what latents hold?", "does its own channel matter?")


@dataclasses.dataclass(frozen=True)
class Way:
    """One way of asking.

    Attributes:
        channel: of ``Reference.truth`` that it acts on.
        asks: the diagnostic, of an arm of the study's battery.
        wanted: contents of the channel for which the right answer to the second question is yes.
    """

    channel: str
    asks: Diagnostic
    wanted: tuple[str, ...] = ("content",)


WAYS = {
    "zero-ablation alone": Way("slot embedding", accuracy("zero, embedding")),
    "near-zero values": Way("slot embedding", accuracy("near zero, embedding")),
    "same tensor everywhere": Way("slot embedding", accuracy("same tensor, embedding")),
    "constant of own length": Way("slot embedding", accuracy("constant of own length, embedding")),
    "Gaussian noise instead": Way("slot embedding", accuracy("noise instead, embedding")),
    "donor swap, embedding": Way("slot embedding", donor_lift("donor, slot *")),
    "zero-ablation, cache": Way("slot cache", accuracy("zero, cache")),
    "donor swap, cache": Way("slot cache", donor_lift("donor, cache")),
    "mediation, indirect effect": Way("slot cache", DIAGNOSTICS["indirect / total above 0.1"]),
    "slots removed": Way("positions", accuracy("slots removed"), wanted=("content", "presence")),
}
# Does the answer follow a donor's markers; does it need markers?
MARKERS = (donor_lift("donor, markers' cache"), accuracy("markers removed"))


def better_than_chance(right: ArrayLike, chance: float) -> bool:
    """Whether more answers are right than by guessing, by the exact interval: otherwise nothing can be broken."""
    right = np.asarray(right)
    return bool(clopper_pearson(int(right.sum()), right.size).low > chance)


def outcome(said: str, truth: bool) -> str:
    """One of ``OUTCOMES``.

    Args:
        said: "yes", "no" or "undecided".
        truth: whether yes is right.

    Example:
        >>> from tokdyn.studies.mediation.protocols import outcome
        >>> outcome("yes", False), outcome("no", True)
        ('false alarm', 'missed')
    """
    if said == UNDECIDED:
        return "undecided"
    if (said == YES) == truth:
        return "right"
    return "false alarm" if said == YES else "missed"


def found_channels(said: Mapping[str, str], markers: Sequence[str]) -> dict[str, str]:
    """What the best diagnostic of each channel finds, in the words of ``Reference.truth``.

    Args:
        said: by way of asking.
        markers: what ``MARKERS`` conclude.

    Returns:
        By channel "content", "presence", "none" or "undecided".
    """
    content = {YES: "content", NO: "none", UNDECIDED: UNDECIDED}
    embedding, cache = content[said["donor swap, embedding"]], content[said["donor swap, cache"]]

    def then(first: str, there: str) -> str:
        """Content, where it is followed; else presence, where it is missed."""
        return "content" if first == YES else {YES: "presence", NO: content[first], UNDECIDED: UNDECIDED}[there]

    follows, needs = markers
    return {
        "slot embedding": embedding,
        "slot cache": cache,
        "positions": then(said["donor swap, cache"], said["slots removed"]),
        "markers": then(follows, needs),
    }
