"""Addition: every place of a picture shows a number; what is the sum of those that the question names?"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

from tokdyn import checks, draws, keys
from tokdyn.reasoning.items import SPECIALS, Item
from tokdyn.reasoning.tasks.grids import COLOURS, FIRST, Grid
from tokdyn.reasoning.tasks.pointer_chase import PointerChase, pointer_chase


@dataclasses.dataclass(frozen=True)
class Addition(Grid):
    """See ``addition``."""

    side: int
    terms: int
    patch: int

    @property
    def words(self) -> tuple[str, ...]:
        return (*SPECIALS, *(str(number) for number in range(self.side**2)), *self.places)

    @property
    def choices(self) -> tuple[int, ...]:
        return tuple(range(FIRST, FIRST + self.side**2))

    @property
    def question_length(self) -> int:
        return self.terms

    @property
    def num_steps(self) -> int:
        return self.terms

    @property
    def attribute_sizes(self) -> tuple[int, ...]:
        return (len(COLOURS),) * self.terms

    @property
    def chance(self) -> float:
        """Exact accuracy of the best guess from the question, which says nothing about the numbers."""
        return 1 / self.side**2

    def draw(self, key: jax.Array) -> Item:
        count, dtype = self.side**2, jnp.result_type(float)
        lots = draws.uniform(keys.for_purpose(key, "numbers"), (3, count), jnp.float32)
        numbers = (lots[0] * count).astype(jnp.int32)
        colours = (lots[1] * len(COLOURS)).astype(jnp.int32)
        asked = jnp.argsort(lots[2])[: self.terms].astype(jnp.int32)
        sums = jnp.cumsum(numbers[asked]) % count
        relevant = jax.nn.one_hot(asked, count, dtype=bool)
        tiles = self._picture.tiles(numbers, colours, dtype)
        return Item(
            image=self.assembled(tiles),
            question=(FIRST + count + asked).astype(jnp.int32),
            answer=(FIRST + sums[-1:]).astype(jnp.int32),
            steps=(FIRST + sums).astype(jnp.int32),
            relevant=relevant,
            helper=self.assembled(tiles * relevant.any(axis=0)[:, None, None, None]),
            attributes=colours[asked],
        )

    def answer_from(self, item: Item, step: jax.Array | int, state: jax.Array | int) -> jax.Array:
        """Add to ``state`` the numbers that are left; before the first step the sum is 0, whatever the state."""
        count = self.side**2
        begun = jnp.where(jnp.asarray(step) == 0, 0, jnp.asarray(state, jnp.int32) - FIRST)
        numbers = self._picture.signs(item.image)[item.question - FIRST - count]
        left = jnp.where(jnp.arange(self.terms) >= jnp.asarray(step), numbers, 0)
        return (FIRST + (begun + left.sum()) % count).astype(jnp.int32)[None]

    @property
    def _picture(self) -> PointerChase:
        """Numbers are drawn as signs are: a number is the place of that number."""
        return pointer_chase(side=self.side, hops=1, patch=self.patch)


def addition(*, side: int = 2, terms: int = 2, patch: int = 3) -> Addition:
    r"""A picture of numbers; question: some places; answer: the sum of their numbers, modulo how many places there are.

    The numbers of all `n = \text{side}^2` places are uniform on `0, \dots, n - 1` and independent, and the places of a
    question are distinct: given the question and all terms but one, the answer is uniform. A number is one white pixel
    on a small map, as a sign of ``pointer_chase`` is: the mean of a patch tells nothing but its colour, which is the
    attribute never asked for.

    Steps are the sums after 1, 2, ... terms; step `s` reads the patch of term `s`; the helper shows only those.

    Args:
        side: places in a row and in a column, at least 2.
        terms: places that the question names, from 1 to all.
        patch: side of a place in pixels, more than ``side``.

    Returns:
        The task.

    Raises:
        ValueError: a number outside its range.

    Example:
        >>> import jax
        >>> from tokdyn.reasoning.tasks import addition
        >>> item = addition(side=3, terms=2, patch=4).draw(jax.random.key(0))
        >>> item.question.shape, bool((item.steps[-1:] == item.answer).all())
        ((2,), True)
    """
    side = checks.whole_number("side", side, at_least=2)
    patch = checks.whole_number("patch", patch, at_least=side + 1)
    return Addition(side, checks.whole_number("terms", terms, at_least=1, at_most=side**2), patch)
