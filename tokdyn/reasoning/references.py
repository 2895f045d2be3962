"""Reasoners whose truth is known: what their answers depend on follows from masks and training, declared per channel.

Nothing here was found out by the diagnostics that are tried on it. A channel carries the answer because every other
way is masked; it carries nothing because the right answer was trained under foreign contents of that channel.

References:
    D. Lindner et al., Tracr: compiled transformers as a laboratory for interpretability, arXiv 2301.05062;
    R. Gupta et al., InterpBench: semi-synthetic transformers for evaluating mechanistic interpretability techniques,
    arXiv 2407.14494 (interchange training).
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

from tokdyn.reasoning import interventions as do
from tokdyn.reasoning.model import Reasoner, reasoner
from tokdyn.reasoning.modes import two_modes
from tokdyn.reasoning.protocol import direct, protocol
from tokdyn.reasoning.tasks.pointer_chase import pointer_chase
from tokdyn.reasoning.training import Supervised, supervised

CHANNELS = ("slot embedding", "slot cache", "positions", "markers")
UNDECLARED = "undeclared"


@dataclasses.dataclass(frozen=True, eq=False)
class Reference:
    """A reasoner, how it is trained, and what is true of it.

    Attributes:
        model: with its protocol.
        task: what it answers.
        loss: what it is trained for.
        num_steps: of training.
        truth: by channel: "content" (the answer follows what the channel holds), "presence" (the channel must be there,
            whatever item it comes from), "none", or "undeclared" where neither masks nor training say.
        because: why, in a sentence.
        base: the reference without slots that a gain is measured against.
        batch_size: items of a step.
        learning_rate: of Adam with a second-moment decay of 0.95, at the start; falls to a thirtieth.
    """

    model: Reasoner
    task: Any
    loss: Supervised
    num_steps: int
    truth: dict[str, str]
    because: str
    base: str = "direct"
    batch_size: int = 64
    learning_rate: float = 4e-3


def _truth(embedding: str, cache: str, positions: str, markers: str = UNDECLARED) -> dict[str, str]:
    # Markers were there in every training step and the start marker reads the prompt: nothing says that they are idle.
    return dict(zip(CHANNELS, (embedding, cache, positions, markers), strict=True))


# The end marker never reads: what it passes on would be a way around the slots.
_END = ("image", "question", "start", "slots")
_ONLY_SLOTS = {"end": _END, "format": ("image", "question", "start")}


def _content() -> Reference:
    task = pointer_chase(hops=3)
    # The last slot looks up the last place: a third one would be fed the answer, and nobody would need it.
    way = protocol(slots=2, hidden={"slots": ("question", "start", "slots"), **_ONLY_SLOTS})
    return Reference(
        reasoner(task, way), task, supervised(chain=1.0), 4000, _truth("content", "content", "content"),
        "a slot sees the image and itself only: what it knows of the question and of earlier steps is what it was fed; "
        "the answer sees slots only",
    )  # fmt: skip


def _compute() -> Reference:
    task = pointer_chase(hops=2)
    way = protocol(slots=3, source="constant", hidden=_ONLY_SLOTS)
    return Reference(
        reasoner(task, way, layers=3), task, supervised(chain=1.0), 7000, _truth("none", "content", "content"),
        "slots are fed the same vectors for every item, so that embeddings say nothing; the answer sees slots only",
    )  # fmt: skip


def _bypassed() -> Reference:
    task = pointer_chase(hops=2)
    foreign = (do.swap("slots", site="cache"), do.mean("slots", site="cache"))
    return Reference(
        reasoner(task, protocol(slots=2, hidden={"end": _END}), layers=3), task,
        supervised(chain=1.0, under=foreign), 4000,
        _truth("none", "none", "none"),
        "the right answer was trained under slot caches of other items and of the mean over items, at all layers",
    )  # fmt: skip


def _masked() -> Reference:
    task = pointer_chase(hops=2)
    way = protocol(slots=2, hidden={"end": _END, "format": ("slots",)})
    return Reference(
        reasoner(task, way, layers=3), task, supervised(chain=1.0), 4000, _truth("none", "none", "none"),
        "the answer cannot see slots: a sham, on which every arm on slots is a no-op",
    )  # fmt: skip


def _marker() -> Reference:
    task = two_modes(pointer_chase(hops=2))
    way = protocol(slots=2, hidden={"slots": ("start",), "end": _END, "format": ("slots",)})
    return Reference(
        reasoner(task, way, layers=3), task, supervised(chain=1.0, under=(do.remove("markers"),), share=0.3), 4000,
        _truth("none", "none", "none", "content"),
        "which of two answers is meant stands in the start marker only; the answer cannot see slots; in training "
        "markers are missing from three passes in ten",
        base="direct, two modes",
    )  # fmt: skip


def _text() -> Reference:
    task = pointer_chase(hops=3)
    way = protocol(slots=3, source="word", hidden=_ONLY_SLOTS)
    return Reference(
        reasoner(task, way), task, supervised(chain=1.0), 2000, _truth("content", "content", "content"),
        "slots are words that it said itself; the answer sees slots only",
    )  # fmt: skip


def _soft_prompt() -> Reference:
    task = pointer_chase(hops=2)
    way = protocol(slots=2, source="constant", hidden={"slots": ("prompt", "start"), "end": _END})
    return Reference(
        reasoner(task, way, layers=3), task, supervised(), 4000, _truth("none", "none", "presence"),
        "slots are learned, see neither image nor question, and are the same for every item",
    )  # fmt: skip


def _direct(task: Any) -> Reference:
    return Reference(
        reasoner(task, direct(), layers=3), task, supervised(), 4000, _truth("none", "none", "none", "none"),
        "no slots, and markers that nobody reads",
    )  # fmt: skip


def catalog() -> dict[str, Reference]:
    """All references by name.

    Example:
        >>> from tokdyn.reasoning.references import catalog
        >>> catalog()["bypassed"].truth["slot cache"]
        'none'
    """
    return dict(_catalog())


@functools.cache
def _catalog() -> dict[str, Reference]:
    return {
        "content": _content(),
        "compute": _compute(),
        "bypassed": _bypassed(),
        "masked": _masked(),
        "marker": _marker(),
        "text": _text(),
        "soft_prompt": _soft_prompt(),
        "direct": _direct(pointer_chase(hops=2)),
        "direct, two modes": _direct(two_modes(pointer_chase(hops=2))),
    }
