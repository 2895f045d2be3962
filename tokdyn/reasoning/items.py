"""What a question about a picture is: an item, as a pure function of a key, with its exact answer and its way there.

A task draws items. Everything an item has is an array of fixed shape, so that thousands are drawn at once by vmap, and
everything that a diagnostic must know is drawn with it: the exact steps to the answer, the patches each of them reads,
other attributes of the same places that were not asked for.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import jax
import numpy as np

# The first words of every task's vocabulary.
SPECIALS = ("<pad>", "<start>", "<end>", "<answer>", "<other start>")
PAD, START, END, ANSWER, OTHER_START = range(len(SPECIALS))


class Item(NamedTuple):
    """One question; under vmap every leaf has a leading axis.

    Attributes:
        image: `[height, width, channels]` in 0 to 1; `[0, 0, channels]` for a task without pictures.
        question: words `[question_length]` int32; unused places hold ``PAD``.
        answer: words `[answer_length]` int32; unused places hold ``PAD``.
        steps: the exact chain of intermediate results `[num_steps]` int32, the last of which decides the answer; unused
            places hold ``PAD``.
        relevant: the patches that a step reads `[num_steps, patches]` bool, rows of patches first.
        helper: the picture that would help: what relevant patches show, or the solution drawn into the image
            `[height, width, channels]`.
        attributes: other properties of the relevant places `[num_attributes]` int32, never asked for in ``question``.
        mode: `[]` int32: which of the start markers opens the slots; 1 only where a marker has something to say.
        case: `[]` int32: which of a protocol's gates are closed for this item; nothing that a reasoner reads shows it.
    """

    image: jax.Array
    question: jax.Array
    answer: jax.Array
    steps: jax.Array
    relevant: jax.Array
    helper: jax.Array
    attributes: jax.Array
    mode: jax.Array | np.int32 = np.int32(0)
    case: jax.Array | np.int32 = np.int32(0)


class Task(Protocol):
    """A family of items of one shape. A frozen, hashable dataclass: its fields are the knobs of difficulty.

    Attributes:
        words: the vocabulary, ``SPECIALS`` first; a word's number is its place.
        choices: numbers of the words among which the first word of an answer is chosen.
        image_shape: `(height, width, channels)`.
        patch: side of a patch in pixels; divides height and width.
        question_length: words of a question.
        answer_length: words of an answer.
        num_steps: steps of the longest chain.
        attribute_sizes: how many values each attribute has.
    """

    def __hash__(self) -> int: ...

    @property
    def words(self) -> tuple[str, ...]: ...

    @property
    def choices(self) -> tuple[int, ...]: ...

    @property
    def image_shape(self) -> tuple[int, int, int]: ...

    @property
    def patch(self) -> int: ...

    @property
    def question_length(self) -> int: ...

    @property
    def answer_length(self) -> int: ...

    @property
    def num_steps(self) -> int: ...

    @property
    def attribute_sizes(self) -> tuple[int, ...]: ...

    def draw(self, key: jax.Array) -> Item:
        """One item."""
        ...

    def answer_from(self, item: Item, step: jax.Array | int, state: jax.Array | int) -> jax.Array:
        """The answer `[answer_length]` if after ``step`` steps the intermediate result were ``state`` (a word)."""
        ...


def num_patches(task: Task) -> int:
    """Patches of a task's pictures."""
    height, width, _ = task.image_shape
    return (height // task.patch) * (width // task.patch)
