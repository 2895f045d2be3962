"""Pointer chase: every place of a picture shows a sign that names the next place; where does the chain lead?"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from tokdyn import checks, draws, keys
from tokdyn.reasoning.items import SPECIALS, Item
from tokdyn.reasoning.tasks.grids import COLOURS, FIRST, RGB, Grid


@dataclasses.dataclass(frozen=True)
class PointerChase(Grid):
    """See ``pointer_chase``."""

    side: int
    hops: int
    decoys: int
    patch: int
    shuffled_start: bool

    @property
    def words(self) -> tuple[str, ...]:
        return (*SPECIALS, *self.places)

    @property
    def choices(self) -> tuple[int, ...]:
        return tuple(range(FIRST, FIRST + self.side**2))

    @property
    def num_steps(self) -> int:
        return self.hops

    @property
    def attribute_sizes(self) -> tuple[int, ...]:
        return (len(COLOURS),) * self.hops

    @property
    def chance(self) -> float:
        """Exact accuracy of the best guess from the question: every place but the start is equally likely."""
        return 1 / (self.side**2 - 1)

    def draw(self, key: jax.Array) -> Item:
        places, dtype = self.side**2, jnp.result_type(float)
        lots = draws.uniform(keys.for_purpose(key, "order"), (places,), jnp.float32)
        order = jnp.argsort(lots).astype(jnp.int32)
        if not self.shuffled_start:
            order = jnp.roll(order, -jnp.argmax(order == 0))
        ring = order[: self.hops + 1 + self.decoys]
        following = jnp.full(places, -1, jnp.int32).at[ring].set(jnp.roll(ring, -1))
        lots = draws.uniform(keys.for_purpose(key, "colours"), (places,), jnp.float32)
        colours = (lots * len(COLOURS)).astype(jnp.int32)

        tiles = self.tiles(following, colours, dtype)
        read = ring[: self.hops]
        relevant = jax.nn.one_hot(read, places, dtype=bool)
        return Item(
            image=self.assembled(tiles),
            question=FIRST + ring[:1],
            answer=FIRST + ring[self.hops : self.hops + 1],
            steps=FIRST + ring[1 : self.hops + 1],
            relevant=relevant,
            helper=self.assembled(tiles * relevant.any(axis=0)[:, None, None, None]),
            attributes=colours[read].astype(jnp.int32),
        )

    def answer_from(self, item: Item, step: jax.Array | int, state: jax.Array | int) -> jax.Array:
        """Follow the signs of the picture from ``state`` for the hops that are left; a blank place leads nowhere."""
        following = self.signs(item.image)

        def hop(number: jax.Array | int, place: jax.Array) -> jax.Array:
            towards = following[place]
            return jnp.where((number >= jnp.asarray(step)) & (towards >= 0), towards, place)

        start = jnp.clip(jnp.asarray(state, jnp.int32) - FIRST, 0, self.side**2 - 1)
        return FIRST + jax.lax.fori_loop(0, self.hops, hop, start)[None]

    def signs(self, image: jax.Array) -> jax.Array:
        """The place that each place names, read from the pixels; -1 where it is blank.

        Args:
            image: `[height, width, 3]`.

        Returns:
            `[places]` int32.
        """
        side, scale = self.side, self._scale
        lit = self.cut(image)[:, : side * scale : scale, : side * scale : scale, 0].reshape(side**2, side**2) > 0.5
        return jnp.where(lit.any(axis=1), jnp.argmax(lit, axis=1), -1).astype(jnp.int32)

    def tiles(self, signs: jax.Array, colours: jax.Array, dtype: DTypeLike) -> jax.Array:
        """What each place shows: a white pixel on a small map of the picture is the sign, around it is the colour.

        Args:
            signs: the place that each place names `[places]` int; -1 where it is blank.
            colours: `[places]` int.
            dtype: of the pixels.

        Returns:
            `[places, patch, patch, 3]`.
        """
        places, scale, side = self.side**2, self._scale, self.side
        marks = jax.nn.one_hot(signs, places, dtype=dtype).reshape(places, side, side)  # -1: nothing is lit
        marks = jnp.repeat(jnp.repeat(marks, scale, axis=1), scale, axis=2)
        spare = self.patch - side * scale
        marks = jnp.pad(marks, ((0, 0), (0, spare), (0, spare)))[..., None]
        frame = np.ones((self.patch, self.patch, 1))
        frame[: side * scale, : side * scale] = 0
        shown = (signs >= 0)[:, None, None, None]
        return jnp.where(shown, marks + frame * jnp.asarray(RGB, dtype)[colours][:, None, None], 0).astype(dtype)

    @property
    def _scale(self) -> int:
        """Pixels for each place on the small map; at least one row and one column are left for the colour."""
        return (self.patch - 1) // self.side


def pointer_chase(
    *, side: int = 3, hops: int = 3, decoys: int | None = None, patch: int = 4, shuffled_start: bool = True
) -> PointerChase:
    r"""A picture of places with signs; question: a start; answer: the place after some hops.

    All `n = \text{hops} + 1 + \text{decoys}` places with a sign form one ring, which is drawn uniformly: a uniform
    permutation `\sigma` of all `\text{side}^2` places is drawn, and `\sigma_i` names `\sigma_{i + 1 \bmod n}`. The
    start is `\sigma_0`, the answer `\sigma_\text{hops}`. Hence no place names itself, the chain visits distinct
    places, and every sign is named exactly once: how often a place is named tells nothing. Going round the other way
    takes ``decoys + 1`` hops, so that with ``decoys >= hops`` no shorter chain gives the answer in either direction;
    with fewer there is one, backwards. Given the question the answer is uniform over all places but the start.

    A sign is one white pixel on a small map of the picture. The mean of a patch is the same for every sign, so that a
    glance at patch resolution tells nothing but colours (and which places are blank). The colour of the rest of the
    patch is the attribute never asked for: one for each place that the chain reads, uniform and independent.

    Steps are the places after hop 1, 2, ...; step `s` reads the patch it comes from; the helper shows only those.

    Args:
        side: places in a row and in a column, at least 2.
        hops: length of the chain, at least 1.
        decoys: places with a sign that the chain does not visit; the others are blank. By default all have signs.
        patch: side of a place in pixels, more than ``side``.
        shuffled_start: whether the start is drawn; otherwise it is always the first place.

    Returns:
        The task, with ``signs(image)``, which reads the picture.

    Raises:
        ValueError: a number outside its range.

    Example:
        >>> import jax
        >>> from tokdyn.reasoning.tasks import pointer_chase
        >>> task = pointer_chase(hops=2)
        >>> item = task.draw(jax.random.key(0))
        >>> item.image.shape, item.steps.shape, bool((item.steps[-1:] == item.answer).all())
        ((12, 12, 3), (2,), True)
    """
    side = checks.whole_number("side", side, at_least=2)
    hops = checks.whole_number("hops", hops, at_least=1)
    patch = checks.whole_number("patch", patch, at_least=side + 1)
    spare = side**2 - hops - 1
    if spare < 0:
        raise checks.bad("hops", f"less than the {side**2} places", hops)
    decoys = spare if decoys is None else checks.whole_number("decoys", decoys, at_least=0)
    if decoys > spare:
        raise checks.bad("decoys", f"at most the {spare} places that the chain does not visit", decoys)
    if not isinstance(shuffled_start, bool):
        raise checks.bad("shuffled_start", "True or False", repr(shuffled_start))
    return PointerChase(side, hops, decoys, patch, shuffled_start)
