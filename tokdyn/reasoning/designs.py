"""Ways to build a reasoner so that it is known, before any diagnostic is tried, whether its answers use its latents.

Twelve designs for any task, at any size. What makes a truth is a mask or a gate, never an intervention that a
diagnostic uses: no design is trained under swapped, averaged, noised or zeroed latents. Attention is crossed with
truth, so that masks give nothing away: answers attend to latents that hold nothing (``shallow``, ``blank``), also
where they cannot see the image (``detour``), and follow latents that they cannot see (``relayed``). So is what the
latents look like: they differ between items and say the steps where nobody reads them (``sealed``, ``dormant``), and
are the same for every item where all that matters is computed in their cache (``computed``). Where masks leave it
open how much is used (``redundant``, ``weighed``), the truth is measured on many items
(``tokdyn.reasoning.estimands``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from tokdyn import checks
from tokdyn.reasoning.items import Task
from tokdyn.reasoning.model import reasoner
from tokdyn.reasoning.protocol import Gate, Protocol, protocol
from tokdyn.reasoning.references import CHANNELS, UNDECLARED, Reference
from tokdyn.reasoning.tasks.addition import addition
from tokdyn.reasoning.tasks.pointer_chase import pointer_chase
from tokdyn.reasoning.training import Supervised, supervised
from tokdyn.reasoning.variations import varied

# The end marker never reads: what it passes on would be a way around the slots.
_BLIND_END = {"end": ("image", "question", "start", "slots")}
# What an answer that sees slots only must not see: the start marker reads image and question, and could answer as well.
_PROMPT = ("image", "question", "start")
_ONLY_SLOTS = {**_BLIND_END, "format": _PROMPT}


class Design(NamedTuple):
    """How a reasoner is built.

    Attributes:
        protocol: by the number of slots.
        loss: what it is trained for.
        content: whether the answer depends on what the slots' cache holds: True or False by masks, None where it is for
            a measurement to say.
        attends: whether the positions that answer may attend to slots.
        because: why, in a sentence.
        shares: of the cases that protocols' gates tell apart, in training.
        shares_run: the same when it is run; None for the same shares.
        noise: on pictures.
        interventions: names of arms that training comes close to; a diagnostic that reads one is not judged here.
    """

    protocol: Callable[[int], Protocol]
    loss: Supervised
    content: bool | None
    attends: bool
    because: str
    shares: tuple[float, ...] = (1.0,)
    shares_run: tuple[float, ...] | None = None
    noise: float = 0.0
    interventions: tuple[str, ...] = ()


_CHAIN = supervised(chain=1.0)
# Shares of items whose answers go through the slots in "gated" and in "rare".
GATED_SHARE, RARE_SHARE = 0.3, 0.1


def _gated(share: float) -> Design:
    return Design(
        lambda slots: protocol(
            slots=slots, hidden=_BLIND_END,
            gates=[*(Gate("format", source, case=1) for source in _PROMPT), Gate("format", "slots", case=0)],
        ),
        _CHAIN, True, True,
        f"a gate for each item: in {share:.0%} of items the answer sees slots only, in the others the picture only",
        # Rare items are trained on as often as others, or nobody would learn them.
        shares=(0.5, 0.5), shares_run=(1 - share, share),
    )  # fmt: skip


DESIGNS: dict[str, Design] = {
    "sole": Design(
        lambda slots: protocol(slots=slots, hidden=_ONLY_SLOTS), _CHAIN, True, True,
        "the answer sees slots and nothing else of the item",
    ),
    "relayed": Design(
        lambda slots: protocol(
            slots=slots, hidden={"end": ("image", "question", "start"), "format": (*_PROMPT, "slots")}
        ),
        _CHAIN, True, False,
        "the answer sees the end marker only, and the end marker sees slots only",
    ),
    "computed": Design(
        lambda slots: protocol(slots=slots, source="constant", hidden=_ONLY_SLOTS), _CHAIN, True, True,
        "the answer sees slots and nothing else of the item; they are fed the same vectors for every item, and compute "
        "the steps in their cache",
    ),
    "redundant": Design(
        lambda slots: protocol(
            slots=slots, hidden=_BLIND_END,
            gates=[*(Gate("format", source, case=1) for source in _PROMPT), Gate("format", "slots", case=2)],
        ),
        _CHAIN, None, True,
        "the answer sees the image and slots, and learned to do without either: in a third of training each was hidden",
        shares=(1 / 3, 1 / 3, 1 / 3), shares_run=(1.0, 0.0, 0.0), interventions=("removed",),
    ),
    "gated": _gated(GATED_SHARE),
    "rare": _gated(RARE_SHARE),
    "weighed": Design(
        lambda slots: protocol(slots=slots, hidden=_BLIND_END), _CHAIN, None, True,
        "the answer sees a noisy image and slots, and training left it to the reasoner which of them it uses",
        noise=0.8,
    ),
    "sealed": Design(
        lambda slots: protocol(slots=slots, hidden={**_BLIND_END, "format": ("slots",)}), _CHAIN, False, False,
        "nothing that the answer sees can see slots; slots were trained to say the steps all the same",
    ),
    "dormant": _gated(0.0)._replace(
        content=False, attends=False,
        because="trained like gated, to use slots where the picture is hidden; run only where a gate hides slots",
    ),
    "shallow": Design(
        lambda slots: protocol(
            slots=slots, source="constant", hidden=_BLIND_END, gates=[Gate("format", "slots", first_layer=1)]
        ),
        _CHAIN, False, True,
        "the answer attends to slots in the first layer only, where they are the same for every item; in later layers "
        "they hold the steps, and nobody looks",
    ),
    "blank": Design(
        lambda slots: protocol(
            slots=slots, source="constant", hidden={**_BLIND_END, "slots": _PROMPT}
        ),
        supervised(), False, True,
        "the answer attends to slots in all layers; they see neither image nor question and are the same for every "
        "item",
    ),
    "detour": Design(
        lambda slots: protocol(
            slots=slots, source="constant",
            hidden={"slots": _PROMPT, "end": ("start", "slots"), "format": _PROMPT},
        ),
        supervised(), False, True,
        "the answer attends to slots and to the end marker, which alone sees image and question; slots are the same "
        "for every item",
    ),
}  # fmt: skip


class Size(NamedTuple):
    """How large a model is, and how long it is trained."""

    width: int
    heads: int
    hidden: int
    layers: int
    num_steps: int


TASKS: dict[str, Any] = {
    "pointer chase": pointer_chase(side=2, hops=2, patch=3),
    "addition": addition(side=2, terms=2, patch=3),
}
SIZES = {
    "small": Size(width=16, heads=2, hidden=32, layers=3, num_steps=1600),
    "large": Size(width=24, heads=4, hidden=48, layers=4, num_steps=1600),
}


def reference(name: str, task: Task, size: Size, *, run: bool = False) -> Reference:
    """A design on a task, to be trained or to be run.

    Args:
        name: of ``DESIGNS``.
        task: whose chain has as many steps as there will be slots.
        size: of the model.
        run: with the cases of a run in place of those of training.

    Returns:
        A ``Reference``. Of its channels the truth is "content" or "none" where masks say so, else "undeclared".

    Raises:
        ValueError: an unknown design.

    Example:
        >>> from tokdyn.reasoning import designs
        >>> made = designs.reference("relayed", designs.TASKS["addition"], designs.SIZES["small"])
        >>> made.truth["slot cache"], made.because
        ('content', 'the answer sees the end marker only, and the end marker sees slots only')
    """
    design = DESIGNS[checks.choice("name", name, tuple(DESIGNS))]
    shares = design.shares_run if run and design.shares_run is not None else design.shares
    posed = varied(task, shares=shares, noise=design.noise) if len(shares) > 1 or design.noise else task
    way = design.protocol(task.num_steps)
    model = reasoner(task, way, layers=size.layers, width=size.width, heads=size.heads, hidden=size.hidden)
    truth = dict.fromkeys(CHANNELS, UNDECLARED)
    if design.content is not None:
        truth["slot cache"] = "content" if design.content else "none"
    if way.source == "constant" or (not design.attends and not design.content):
        truth["slot embedding"] = "none"  # the same for every item, or seen by nobody
    if not design.attends and not design.content:
        truth["positions"] = "none"
    return Reference(model, posed, design.loss, size.num_steps, truth, design.because)
