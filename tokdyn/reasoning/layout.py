"""Where everything stands in a reasoner's sequence, and who may attend to whom.

One fixed order of components, whatever the mode of reasoning, so that all modes are one program and an intervention
addresses a component by name:

    image | question | start | slots | end | format | answer

``start`` and ``end`` are the boundary markers. ``slots`` hold what comes between: latent tokens, constants, or words.
The last word of ``format`` announces the answer, and is the position that predicts its first word.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

import numpy as np

from tokdyn import checks

COMPONENTS = ("image", "question", "start", "slots", "end", "format", "answer")
# Names that stand for several components at once.
GROUPS = {"markers": ("start", "end"), "prompt": ("image", "question")}


@dataclasses.dataclass(frozen=True)
class Layout:
    """Lengths of the components, in positions; see ``layout``.

    Attributes:
        image: patches.
        question: words.
        slots: places between the markers.
        format: words between the end marker and the answer.
        answer: words of the answer.
    """

    image: int
    question: int
    slots: int
    format: int
    answer: int

    @property
    def lengths(self) -> dict[str, int]:
        """Positions of each component; the last word of an answer is predicted, never read."""
        lengths = (self.image, self.question, 1, self.slots, 1, self.format, self.answer - 1)
        return dict(zip(COMPONENTS, lengths, strict=True))

    @property
    def starts(self) -> dict[str, int]:
        """First position of each component."""
        ends = np.cumsum(list(self.lengths.values()))
        return {name: int(end - self.lengths[name]) for name, end in zip(COMPONENTS, ends, strict=True)}

    @property
    def total(self) -> int:
        """Positions in all."""
        return sum(self.lengths.values())

    @property
    def prefix(self) -> int:
        """Positions of image and question, which no later position changes."""
        return self.image + self.question

    @property
    def suffix(self) -> int:
        """Positions from the start marker on."""
        return self.total - self.prefix

    def where(self, component: str) -> np.ndarray:
        """Positions of a component or a group of them, `[positions]` bool.

        Raises:
            ValueError: an unknown name.
        """
        names = members(component)
        flags = np.zeros(self.total, bool)
        for name in names:
            flags[self.starts[name] : self.starts[name] + self.lengths[name]] = True
        return flags

    def steps(self, component: str, steps: Iterable[int] | None) -> np.ndarray:
        """Some positions of a component, counted from its first; None takes all. `[positions]` bool.

        Raises:
            ValueError: an unknown name, or a step past the last position.
        """
        places = np.flatnonzero(self.where(component))
        if steps is None:
            chosen = places
        else:
            steps = tuple(steps)
            for step in steps:
                if not -len(places) <= step < len(places):
                    expected = f"places 0 to {len(places) - 1} of {component}, which has {len(places)}"
                    raise checks.bad("steps", expected, step)
            chosen = places[list(steps)]
        flags = np.zeros(self.total, bool)
        flags[chosen] = True
        return flags


def layout(*, image: int, question: int, slots: int, format: int = 1, answer: int = 1) -> Layout:
    """Check and build.

    Args:
        image: patches, 0 for none.
        question: words.
        slots: places between the markers, 0 for none.
        format: words between the end marker and the answer; the last announces it.
        answer: words of the answer.

    Returns:
        A ``Layout``.

    Raises:
        ValueError: a length that is no whole number, or too small.

    Example:
        >>> from tokdyn.reasoning.layout import layout
        >>> places = layout(image=9, question=1, slots=3)
        >>> places.starts["slots"], places.total, places.prefix
        (11, 16, 10)
    """
    return Layout(
        checks.whole_number("image", image, at_least=0),
        checks.whole_number("question", question, at_least=1),
        checks.whole_number("slots", slots, at_least=0),
        checks.whole_number("format", format, at_least=1),
        checks.whole_number("answer", answer, at_least=1),
    )


def members(component: str) -> tuple[str, ...]:
    """The components behind a name.

    Raises:
        ValueError: an unknown name.
    """
    if component in GROUPS:
        return GROUPS[component]
    checks.choice("component", component, (*COMPONENTS, *GROUPS))
    return (component,)


def visible(places: Layout, hidden: Mapping[str, Iterable[str]]) -> np.ndarray:
    """Who may attend to whom: what came before, all of the image to the image, less what is hidden.

    Args:
        places: the layout.
        hidden: by reading component, the components that it may not attend to. A position always sees itself, and
            "slots" hidden from "slots" means the other slots.

    Returns:
        `[positions, positions]` bool: row reads column.

    Raises:
        ValueError: an unknown name.
    """
    order = np.arange(places.total)
    image = places.where("image")
    sees = (order[:, None] >= order) | (image[:, None] & image)
    for reader, sources in hidden.items():
        for source in sources:
            sees &= ~(places.where(reader)[:, None] & places.where(source))
    return sees | np.eye(places.total, dtype=bool)
