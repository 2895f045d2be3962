"""Ways to build a reasoner so that it is known, before any diagnostic is tried, whether its answers use its latents.

Eight designs for any task, at any size. What makes a truth is a mask or a gate, never an intervention that a diagnostic
uses: no design is trained under swapped, averaged, noised or zeroed latents. Attention is crossed with truth, so that
masks give nothing away: answers attend to latents that hold nothing (``shallow``, ``blank``), and follow latents that
they cannot see (``relayed``). Where masks leave it open how much is used (``redundant``, ``weighed``), the truth is
measured on many items (``tokdyn.reasoning.estimands``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from tokdyn import checks
from tokdyn.reasoning.model import reasoner
from tokdyn.reasoning.protocol import Gate, Protocol, protocol
from tokdyn.reasoning.references import Reference
from tokdyn.reasoning.training import Supervised, supervised
from tokdyn.reasoning.variations import varied

# The end marker never reads: what it passes on would be a way around the slots.
_BLIND_END = {"end": ("image", "question", "start", "slots")}
_ONLY_SLOTS = {**_BLIND_END, "format": ("image", "question", "start")}
_PROMPT = ("image", "question")


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
GATED_SHARE = 0.3  # of items whose answers go through the slots in "gated"

DESIGNS: dict[str, Design] = {
    "sole": Design(
        lambda slots: protocol(slots=slots, hidden=_ONLY_SLOTS), _CHAIN, True, True,
        "the answer sees slots and nothing else of the item",
    ),
    "relayed": Design(
        lambda slots: protocol(
            slots=slots, hidden={"end": ("image", "question", "start"), "format": (*_PROMPT, "start", "slots")}
        ),
        _CHAIN, True, False,
        "the answer sees the end marker only, and the end marker sees slots only",
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
    "gated": Design(
        lambda slots: protocol(
            slots=slots, hidden=_BLIND_END,
            gates=[*(Gate("format", source, case=1) for source in _PROMPT), Gate("format", "slots", case=0)],
        ),
        _CHAIN, True, True,
        f"a gate of each item: in {GATED_SHARE:.0%} of items the answer sees slots only, in the others the image only",
        shares=(1 - GATED_SHARE, GATED_SHARE),
    ),
    "weighed": Design(
        lambda slots: protocol(slots=slots, hidden=_BLIND_END), _CHAIN, None, True,
        "the answer sees a noisy image and slots, and training left it to the reasoner which of them it uses",
        noise=0.35,
    ),
    "sealed": Design(
        lambda slots: protocol(slots=slots, hidden={**_BLIND_END, "format": ("slots",)}), _CHAIN, False, False,
        "nothing that the answer sees can see slots; slots were trained to say the steps all the same",
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
            slots=slots, source="constant", hidden={**_BLIND_END, "slots": (*_PROMPT, "start")}
        ),
        supervised(), False, True,
        "the answer attends to slots in all layers; they see neither image nor question and are the same for every item",
    ),
}  # fmt: skip


class Size(NamedTuple):
    """How large a model is, and how long it is trained."""

    width: int
    heads: int
    hidden: int
    layers: int
    num_steps: int


def reference(name: str, task: Any, size: Size, *, run: bool = False) -> Reference:
    """A design on a task, to be trained or to be run.

    Args:
        name: of ``DESIGNS``.
        task: whose chain has as many steps as there will be slots.
        size: of the model.
        run: with the cases of a run in place of those of training.

    Returns:
        A ``Reference``. Its truth is declared for the slots' cache: "content", "none", or "undeclared" where it is to
        be measured.

    Raises:
        ValueError: an unknown design.
    """
    design = DESIGNS[checks.choice("name", name, tuple(DESIGNS))]
    shares = design.shares_run if run and design.shares_run is not None else design.shares
    posed = varied(task, shares=shares, noise=design.noise) if len(shares) > 1 or design.noise else task
    way = design.protocol(task.num_steps)
    model = reasoner(
        task, way, layers=size.layers, width=size.width, heads=size.heads, hidden=size.hidden
    )  # fmt: skip
    held = {True: "content", False: "none", None: "undeclared"}[design.content]
    truth = {"slot embedding": "undeclared", "slot cache": held, "positions": "undeclared", "markers": "undeclared"}
    if not design.content and way.source == "constant":
        truth["slot embedding"] = "none"
    if name == "sealed":
        truth |= {"slot embedding": "none", "positions": "none"}
    return Reference(model, posed, design.loss, size.num_steps, truth, design.because)
