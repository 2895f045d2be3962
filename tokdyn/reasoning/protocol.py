"""How a reasoner goes from its question to its answer: a declared value, stored with every result.

Published latent reasoners differ in details that decide what "latent k" means: which state is fed back, through what,
from where the first one comes, when it stops. A ``Protocol`` writes these down; ``PUBLISHED_PROTOCOLS`` has those of
released decoders, as far as they go without a head that only their weights define.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from tokdyn import checks
from tokdyn.reasoning.layout import COMPONENTS, members

SOURCES = ("state", "constant", "word", "given")
HEADS = ("none", "linear", "mlp")
FIRSTS = ("at_start", "before_start")
STOPS = ("fixed", "end_word")
STARTS = ("forced", "own")


@dataclasses.dataclass(frozen=True)
class Gate:
    """What a component may not attend to in some layers only, or for some items only.

    Attributes:
        reader: the component that looks.
        source: what it may not see.
        first_layer: the first layer in which it may not, counted from 0.
        case: the ``Item.case`` of the items for which it may not; None for all items.
    """

    reader: str
    source: str
    first_layer: int = 0
    case: int | None = None


@dataclasses.dataclass(frozen=True)
class Protocol:
    """See ``protocol``."""

    slots: int
    source: str
    head: str
    first: str
    stop: str
    start: str
    format: int
    hidden: tuple[tuple[str, tuple[str, ...]], ...]
    gates: tuple[Gate, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain values for a JSON file; ``protocol(**values)`` is its inverse."""
        values = {**dataclasses.asdict(self), "hidden": {reader: list(sources) for reader, sources in self.hidden}}
        if not self.gates:  # files of protocols without gates were written before there were any
            del values["gates"]
        return values


def protocol(
    *,
    slots: int,
    source: str = "state",
    head: str = "none",
    first: str = "at_start",
    stop: str = "fixed",
    start: str = "forced",
    format: int = 1,
    hidden: Mapping[str, Iterable[str]] | None = None,
    gates: Iterable[Gate | Mapping[str, Any]] = (),
) -> Protocol:
    """Declare how slots are filled and what may be read where.

    Args:
        slots: places between the markers; with ``stop="end_word"`` the most there can be.
        source: what a slot is fed. "state": the last hidden state after the norm, of the position before (latent
            reasoning). "constant": an embedding that is learned and the same for every item (pause tokens, a soft
            prompt). "word": the embedding of the likeliest word (text chain of thought, text imagination). "given":
            what the caller hands in (teacher forcing, oracles).
        head: between a state and what is fed: "none", "linear", or "mlp" (one hidden layer).
        first: which state the first slot is fed: that "at_start", at the start marker, or that "before_start", of the
            position that predicted the marker (the last word of the question).
        stop: "fixed": all slots are used. "end_word": a sample stops at the slot whose likeliest next word is the end
            marker; slots after it are hidden from everything.
        start: "forced": the marker is always there. "own": a sample reasons only if its likeliest word after the
            question is the start marker; otherwise markers and slots are hidden from what follows.
        format: words between the end marker and the answer.
        hidden: by reading component, what it may not attend to: masks that a reasoner's truth rests on.
        gates: the same for some layers or some items only; names of single components.

    Returns:
        A frozen, hashable value.

    Raises:
        ValueError: naming the argument.

    Example:
        >>> from tokdyn.reasoning.protocol import protocol
        >>> latent = protocol(slots=4, hidden={"format": ["image"]})
        >>> latent.source, dict(latent.hidden)["format"]
        ('state', ('image',))
    """
    spread: dict[str, set[str]] = {}
    for readers, sources in (hidden or {}).items():
        for reader in members(readers):
            spread.setdefault(reader, set()).update(name for source in sources for name in members(source))
    closed = tuple(gate if isinstance(gate, Gate) else Gate(**gate) for gate in gates)
    for gate in closed:
        for name in (gate.reader, gate.source):
            checks.choice("gates", name, COMPONENTS)
        checks.whole_number("gates", gate.first_layer, at_least=0)
        if gate.case is not None:
            checks.whole_number("gates", gate.case, at_least=0)
    return Protocol(
        checks.whole_number("slots", slots, at_least=0),
        checks.choice("source", source, SOURCES),
        checks.choice("head", head, HEADS),
        checks.choice("first", first, FIRSTS),
        checks.choice("stop", stop, STOPS),
        checks.choice("start", start, STARTS),
        checks.whole_number("format", format, at_least=1),
        tuple(sorted((reader, tuple(sorted(names))) for reader, names in spread.items())),
        closed,
    )


def direct(*, format: int = 1) -> Protocol:
    """No slots, and markers that nobody reads: the answer at once."""
    blind = dict.fromkeys(("slots", "format", "answer"), ("markers",))
    return protocol(slots=0, source="constant", format=format, hidden=blind)


# How the released decoders go on, by method: read in their code, no weights run. Slots: their default at inference.
PUBLISHED_PROTOCOLS = {
    "mirage": protocol(slots=4, stop="end_word"),
    "capimagine": protocol(slots=10, stop="end_word"),
    "monet": protocol(slots=10, first="before_start", stop="end_word"),
    "lvr": protocol(slots=8, head="mlp"),
    "coconut": protocol(slots=6),
}
