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
from typing import Any, NamedTuple

from tokdyn import checks
from tokdyn.reasoning import interventions as do
from tokdyn.reasoning.model import Reasoner, reasoner
from tokdyn.reasoning.modes import two_modes
from tokdyn.reasoning.protocol import direct, protocol
from tokdyn.reasoning.tasks.pointer_chase import PointerChase, pointer_chase
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


class _Scale(NamedTuple):
    """How large the pictures and the models are."""

    side: int
    most_hops: int
    patch: int
    width: int
    heads: int
    hidden: int
    num_steps: int | None

    def chase(self, hops: int) -> PointerChase:
        return pointer_chase(side=self.side, hops=min(hops, self.most_hops), patch=self.patch)

    def reference(
        self, task: Any, protocol: Any, loss: Supervised, num_steps: int, *rest: Any, layers: int = 3, **options: Any
    ) -> Reference:
        model = reasoner(task, protocol, layers=layers, width=self.width, heads=self.heads, hidden=self.hidden)
        return Reference(model, task, loss, self.num_steps or num_steps, *rest, **options)


_SCALES = {
    "full": _Scale(side=3, most_hops=3, patch=4, width=32, heads=4, hidden=64, num_steps=None),
    # Four places: every seed tried knows the task after 600 steps, in seconds.
    "small": _Scale(side=2, most_hops=2, patch=3, width=16, heads=2, hidden=32, num_steps=600),
}


def _content(scale: _Scale) -> Reference:
    task = scale.chase(3)
    # The last slot looks up the last place: one more would be fed the answer, and nobody would need it.
    way = protocol(slots=task.hops - 1, hidden={"slots": ("question", "start", "slots"), **_ONLY_SLOTS})
    return scale.reference(
        task, way, supervised(chain=1.0), 4000, _truth("content", "content", "content"),
        "a slot sees the image and itself only: what it knows of the question and of earlier steps is what it was fed; "
        "the answer sees slots only",
        layers=2,
    )  # fmt: skip


def _compute(scale: _Scale) -> Reference:
    way = protocol(slots=3, source="constant", hidden=_ONLY_SLOTS)
    return scale.reference(
        scale.chase(2), way, supervised(chain=1.0), 7000, _truth("none", "content", "content"),
        "slots are fed the same vectors for every item, so that embeddings say nothing; the answer sees slots only",
    )  # fmt: skip


def _bypassed(scale: _Scale) -> Reference:
    foreign = (do.swap("slots", site="cache"), do.mean("slots", site="cache"))
    return scale.reference(
        scale.chase(2), protocol(slots=2, hidden={"end": _END}), supervised(chain=1.0, under=foreign), 4000,
        _truth("none", "none", "none"),
        "the right answer was trained under slot caches of other items and of the mean over items, at all layers",
    )  # fmt: skip


def _masked(scale: _Scale) -> Reference:
    way = protocol(slots=2, hidden={"end": _END, "format": ("slots",)})
    return scale.reference(
        scale.chase(2), way, supervised(chain=1.0), 4000, _truth("none", "none", "none"),
        "the answer cannot see slots: a sham, on which every arm on slots is a no-op",
    )  # fmt: skip


def _marker(scale: _Scale) -> Reference:
    way = protocol(slots=2, hidden={"slots": ("start",), "end": _END, "format": ("slots",)})
    return scale.reference(
        two_modes(scale.chase(2)), way, supervised(chain=1.0, under=(do.remove("markers"),), share=0.3), 4000,
        _truth("none", "none", "none", "content"),
        "which of two answers is meant stands in the start marker only; the answer cannot see slots; in training "
        "markers are missing from three passes in ten",
        base="direct, two modes",
    )  # fmt: skip


def _text(scale: _Scale) -> Reference:
    task = scale.chase(3)
    way = protocol(slots=task.hops, source="word", hidden=_ONLY_SLOTS)
    return scale.reference(
        task, way, supervised(chain=1.0), 2000, _truth("content", "content", "content"),
        "slots are words that it said itself; the answer sees slots only",
        layers=2,
    )  # fmt: skip


def _soft_prompt(scale: _Scale) -> Reference:
    way = protocol(slots=2, source="constant", hidden={"slots": ("prompt", "start"), "end": _END})
    return scale.reference(
        scale.chase(2), way, supervised(), 4000, _truth("none", "none", "presence"),
        "slots are learned, see neither image nor question, and are the same for every item",
    )  # fmt: skip


def _direct(scale: _Scale, task: Any) -> Reference:
    return scale.reference(
        task, direct(), supervised(), 4000, _truth("none", "none", "none", "none"),
        "no slots, and markers that nobody reads",
    )  # fmt: skip


def catalog(scale: str = "full") -> dict[str, Reference]:
    """All references by name.

    Args:
        scale: "full", whose weights are shipped; "small": the same protocols and truths on pictures of four places, in
            models of 5,000 to 8,000 numbers that are trained in seconds, for studies of many trainings.

    Raises:
        ValueError: an unknown scale.

    Example:
        >>> from tokdyn.reasoning.references import catalog
        >>> catalog()["bypassed"].truth["slot cache"], catalog("small")["bypassed"].model.width
        ('none', 16)
    """
    return dict(_catalog(checks.choice("scale", scale, tuple(_SCALES))))


@functools.cache
def _catalog(name: str) -> dict[str, Reference]:
    scale = _SCALES[name]
    return {
        "content": _content(scale),
        "compute": _compute(scale),
        "bypassed": _bypassed(scale),
        "masked": _masked(scale),
        "marker": _marker(scale),
        "text": _text(scale),
        "soft_prompt": _soft_prompt(scale),
        "direct": _direct(scale, scale.chase(2)),
        "direct, two modes": _direct(scale, two_modes(scale.chase(2))),
    }
