"""What each way of asking would have concluded, held against what is true: right, false alarm, missed, undecided."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tokdyn.stats import clopper_pearson

ALPHA = 0.05
YES, NO, UNDECIDED = "yes", "no", "undecided"
OUTCOMES = ("right", "false alarm", "missed", "undecided")
# Two truths that an answer can be held against. The first is what papers conclude on, whatever they have intervened on.
QUESTIONS = ("do answers use what latents hold?", "does its own channel matter?")


@dataclasses.dataclass(frozen=True)
class Way:
    """One way of asking.

    Attributes:
        channel: of ``Reference.truth`` that it acts on.
        arm: whose accuracy is compared with that of the clean run; empty for the others.
        lifts: places of donors whose lift decides (one above the bound is a yes); empty for the others.
        wanted: contents of the channel for which the right answer to the second question is yes.
    """

    channel: str
    arm: str = ""
    lifts: str = ""
    wanted: tuple[str, ...] = ("content",)


WAYS = {
    "zero-ablation alone": Way("slot embedding", "zero, embedding"),
    "near-zero values": Way("slot embedding", "near zero, embedding"),
    "same tensor everywhere": Way("slot embedding", "same tensor, embedding"),
    "constant of own length": Way("slot embedding", "constant of own length, embedding"),
    "Gaussian noise instead": Way("slot embedding", "noise instead, embedding"),
    "donor swap, embedding": Way("slot embedding", lifts="slot "),
    "zero-ablation, cache": Way("slot cache", "zero, cache"),
    "donor swap, cache": Way("slot cache", lifts="cache"),
    "mediation, indirect effect": Way("slot cache"),
    "slots removed": Way("positions", "slots removed", wanted=("content", "presence")),
}


def of_accuracy(row: Mapping[str, Any], *, alpha: float = ALPHA) -> str:
    """Does an arm change accuracy?

    Args:
        row: of ``diagnose.effects_table``, with "holm" and "equivalent".
        alpha: level.

    Returns:
        "yes": different (Holm) and not shown to be within the bound; "no": shown to be within it; else "undecided".

    Example:
        >>> from tokdyn.studies.mediation.protocols import of_accuracy
        >>> of_accuracy({"holm": 0.3, "equivalent": False})
        'undecided'
    """
    if bool(row["equivalent"]):
        return NO
    return YES if float(row["holm"]) <= alpha else UNDECIDED


def of_lifts(lows: ArrayLike, highs: ArrayLike, *, bound: float) -> str:
    """Do answers follow donors?

    Args:
        lows: lower ends of the intervals of the lifts `[places]`.
        highs: upper ends.
        bound: largest lift that counts as none.

    Returns:
        "yes": some lift is above the bound; "no": all are within it; else "undecided".
    """
    lows, highs = np.atleast_1d(lows), np.atleast_1d(highs)
    if np.any(lows > bound):
        return YES
    return NO if np.all((highs <= bound) & (lows >= -bound)) else UNDECIDED


def of_share(kind: str, low: float, high: float, *, share: float) -> str:
    """Is a share of the total effect mediated?

    Args:
        kind: of Fieller's set; anything but "interval" says nothing.
        low: its lower end.
        high: its upper end.
        share: the smallest that counts.

    Returns:
        "yes", "no" or "undecided".
    """
    if kind != "interval":
        return UNDECIDED
    if low > share:
        return YES
    return NO if -share < low and high < share else UNDECIDED


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


def found_channels(said: Mapping[str, str], markers: tuple[str, str]) -> dict[str, str]:
    """What the best diagnostic of each channel finds, in the words of ``Reference.truth``.

    Args:
        said: by way of asking.
        markers: does the answer follow a donor's markers; does it need markers.

    Returns:
        By channel "content", "presence", "none" or "undecided".
    """
    content = {YES: "content", NO: "none", UNDECIDED: UNDECIDED}
    embedding, cache = content[said["donor swap, embedding"]], content[said["donor swap, cache"]]

    def then(first: str, there: str) -> str:
        """Content, where it is followed; else presence, where it is missed."""
        return "content" if first == YES else {YES: "presence", NO: content[first], UNDECIDED: UNDECIDED}[there]

    return {
        "slot embedding": embedding,
        "slot cache": cache,
        "positions": then(said["donor swap, cache"], said["slots removed"]),
        "markers": then(*markers),
    }
