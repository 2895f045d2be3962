"""Visual search: where is the item of that colour and that shape, or is there one?"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from tokdyn import checks, draws, keys
from tokdyn.reasoning.items import PAD, SPECIALS, Item
from tokdyn.reasoning.tasks.grids import COLOURS, FIRST, RGB, Grid

SHAPES = ("tee", "corner", "stairs", "cup")
KINDS = ("conjunction", "feature")
ANSWERS = ("place", "presence")
# Five pixels each, so that the mean of a patch does not tell shapes apart, and four different quarter turns each.
_UPRIGHT = np.array(
    [
        [[1, 1, 1], [0, 1, 0], [0, 1, 0]],
        [[1, 0, 0], [1, 0, 0], [1, 1, 1]],
        [[1, 0, 0], [1, 1, 0], [0, 1, 1]],
        [[1, 0, 1], [1, 1, 1], [0, 0, 0]],
    ]
)
GLYPHS = np.stack([np.rot90(_UPRIGHT, turns, axes=(1, 2)) for turns in range(4)], axis=1)  # [shape, turns, 3, 3]


@dataclasses.dataclass(frozen=True)
class VisualSearch(Grid):
    """See ``visual_search``."""

    side: int
    set_size: int
    kind: str
    answers: str
    patch: int

    @property
    def words(self) -> tuple[str, ...]:
        return (*SPECIALS, *self.places, "none", "no", "yes", *COLOURS, *SHAPES)

    @property
    def choices(self) -> tuple[int, ...]:
        if self.answers == "place":
            return tuple(range(FIRST, self._none))
        return (self._none + 1, self._none + 2)

    @property
    def question_length(self) -> int:
        return 2

    @property
    def num_steps(self) -> int:
        if self.kind == "feature":
            return 1
        return self._same_colour + 1 + (self.answers == "presence")

    @property
    def attribute_sizes(self) -> tuple[int, ...]:
        return (4,)

    @property
    def chance(self) -> float:
        """Exact accuracy of the best guess from the question, which says nothing about the answer."""
        return 1 / len(self.choices)

    def draw(self, key: jax.Array) -> Item:
        places, size, dtype = self.side**2, self.set_size, jnp.result_type(float)
        options = np.array([len(COLOURS), len(SHAPES)])

        def lots(name: str, *shape: int) -> jax.Array:
            return draws.uniform(keys.for_purpose(key, name), shape, jnp.float32)

        where = jnp.argsort(lots("places", places))[:size].astype(jnp.int32)
        target = (lots("target", 2) * options).astype(jnp.int32)
        present = jnp.asarray(True)
        if self.answers == "presence":
            present = lots("presence") < 0.5

        # Item 0 is the target, or what stands in for it.
        shifts = 1 + (lots("others", size, 2) * (options - 1)).astype(jnp.int32)
        other = (target + shifts) % options
        number = jnp.arange(size)
        if self.kind == "conjunction":
            keeps_colour = number <= self._same_colour
            colours = jnp.where(keeps_colour, target[0], other[:, 0])
            shapes = jnp.where(keeps_colour, other[:, 1], target[1])
        else:
            colours = other[:, 0]
            shapes = (lots("shapes", size) * len(SHAPES)).astype(jnp.int32)
        is_target = (number == 0) & present
        colours = jnp.where(is_target, target[0], colours)
        shapes = jnp.where(is_target, target[1], shapes)
        turns = (lots("turns", size) * 4).astype(jnp.int32)

        scale = self.patch // 4
        glyphs = jnp.asarray(GLYPHS, dtype)[shapes, turns]
        glyphs = jnp.pad(jnp.repeat(jnp.repeat(glyphs, scale, axis=1), scale, axis=2), ((0, 0), (0, scale), (0, scale)))
        painted = glyphs[..., None] * jnp.asarray(RGB, dtype)[colours][:, None, None]
        tiles = jnp.zeros((places, self.patch, self.patch, 3), dtype).at[where].set(painted)

        is_item = jnp.zeros(places, bool).at[where].set(True)
        has_colour = jnp.zeros(places, bool).at[where].set(colours == target[0])
        visited = has_colour & (~present | (jnp.arange(places) <= where[0]))
        ordered = jnp.sort(jnp.where(visited, jnp.arange(places), places))[: self.num_steps]
        # Where the search ends without success, that is its last result, and it has read every candidate.
        is_end = ~present & (jnp.arange(self.num_steps) == visited.sum())
        steps = jnp.where(ordered < places, FIRST + ordered, PAD)
        relevant = jax.nn.one_hot(ordered, places, dtype=bool)
        candidates = has_colour if self.kind == "conjunction" else is_item
        relevant = jnp.where(is_end[:, None], candidates, relevant)
        reply = FIRST + where[0] if self.answers == "place" else self._none + 1 + present
        shown = jnp.where(present, jnp.arange(places) == where[0], candidates)
        question = self._none + 3 + jnp.array([0, len(COLOURS)]) + target
        return Item(
            image=self.assembled(tiles),
            question=question.astype(jnp.int32),
            answer=reply.astype(jnp.int32)[None],
            steps=jnp.where(is_end, self._none, steps).astype(jnp.int32),
            relevant=relevant,
            helper=self.assembled(tiles * shown[:, None, None, None]),
            attributes=turns[:1].astype(jnp.int32),
        )

    def answer_from(self, item: Item, step: jax.Array | int, state: jax.Array | int) -> jax.Array:
        """Search on from ``state``, in reading order and never back.

        At the last step ``state`` is the result. Before it, ``state`` is the place looked at: the target there or
        behind it is found; else the reply is "no", or, where a place is demanded, the last candidate looked at.
        """
        state = jnp.asarray(state, jnp.int32)
        places = jnp.arange(self.side**2)
        colours, shapes = self.items(item.image)
        target = item.question - self._none - 3 - jnp.array([0, len(COLOURS)])
        has_colour = colours == target[0]
        onward = has_colour & (places >= state - FIRST)
        is_target = onward & (shapes == target[1])
        found = is_target.any()
        is_last = jnp.asarray(step) >= jnp.sum(item.steps != PAD)
        if self.answers == "presence":
            says_yes = jnp.where(is_last, state != self._none, found & (state != self._none))
            return (self._none + 1 + says_yes).astype(jnp.int32)[None]
        behind = jnp.max(jnp.where(onward, places, -1))
        here = jnp.clip(state - FIRST, 0, self.side**2 - 1)
        place = jnp.where(found, jnp.argmax(is_target), jnp.maximum(behind, here))
        return (FIRST + jnp.where(is_last, here, place)).astype(jnp.int32)[None]

    def items(self, image: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Colour and shape at every place, read from the pixels; -1 where there is no item.

        Args:
            image: `[height, width, 3]`.

        Returns:
            Indices into ``COLOURS`` `[places]` and into ``SHAPES`` `[places]`.
        """
        tiles, scale = self.cut(image), self.patch // 4
        lit = tiles[:, : 3 * scale : scale, : 3 * scale : scale].max(axis=-1) > 0.1
        inside = lit.any(axis=(1, 2))
        gaps = jnp.abs(tiles.max(axis=(1, 2))[:, None] - jnp.asarray(RGB, image.dtype)).sum(axis=-1)
        fits = (lit[:, None, None] == jnp.asarray(GLYPHS, bool)).all(axis=(3, 4)).any(axis=2)
        return jnp.where(inside, jnp.argmin(gaps, axis=1), -1), jnp.where(inside, jnp.argmax(fits, axis=1), -1)

    @property
    def _none(self) -> int:
        return FIRST + self.side**2

    @property
    def _same_colour(self) -> int:
        """Distractors of the target's colour, in a conjunction search."""
        return (self.set_size - 1) // 2


def visual_search(
    *, side: int = 4, set_size: int = 8, kind: str = "conjunction", answers: str = "place", patch: int = 4
) -> VisualSearch:
    r"""Items of some colour and shape at random places; question: a colour and a shape; answer: where it is.

    *Conjunction*: `\lfloor (n - 1) / 2 \rfloor` of the `n - 1` distractors have the target's colour and another shape,
    the others its shape and another colour, so that neither alone finds it. *Feature*: all distractors have other
    colours and any shape; the colour alone finds it. Colour, shape, places and turns of the target are uniform and
    independent: given the question the answer is uniform.

    All glyphs light five pixels: at patch resolution a glance sees colours and no shapes. Where ``answers`` is
    ``"presence"`` there is no target in half of the pictures; in its place stands one more distractor (of its colour
    in a conjunction search), so that colours do not tell.

    Steps are the places of the target's colour in reading order up to the target: a serial search that ends itself;
    one that finds nothing visits all and ends with ``none``. A step reads one patch, the step ``none`` all candidates.
    The helper shows what the last step reads. The attribute is the turn of the target (or of its stand-in), in
    quarters counter-clockwise.

    Args:
        side: places in a row and in a column, at least 2.
        set_size: items, at least 2 and at most ``side ** 2``.
        kind: ``"conjunction"`` or ``"feature"``.
        answers: ``"place"`` or ``"presence"``.
        patch: side of a place in pixels, a multiple of 4.

    Returns:
        The task, with ``items(image)``, which reads the picture.

    Raises:
        ValueError: a number outside its range, an unknown name.

    References:
        Treisman and Gelade 1980, A feature-integration theory of attention, Cognitive Psychology 12, 97-136.

    Example:
        >>> import jax
        >>> from tokdyn.reasoning.tasks import visual_search
        >>> task = visual_search(set_size=5)
        >>> item = task.draw(jax.random.key(0))
        >>> item.image.shape, item.steps.shape, bool((item.steps != 0).any())
        ((16, 16, 3), (3,), True)
    """
    side = checks.whole_number("side", side, at_least=2)
    set_size = checks.whole_number("set_size", set_size, at_least=2)
    if set_size > side**2:
        raise checks.bad("set_size", f"at most the {side**2} places", set_size)
    checks.choice("kind", kind, KINDS)
    checks.choice("answers", answers, ANSWERS)
    patch = checks.whole_number("patch", patch, at_least=4)
    if patch % 4:
        raise checks.bad("patch", "a multiple of 4", patch)
    return VisualSearch(side, set_size, kind, answers, patch)
