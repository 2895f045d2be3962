"""Counting: how many objects of a scene pass some filters, is there one, or of which are there more?"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from tokdyn import checks, draws, keys
from tokdyn.data import sprites
from tokdyn.reasoning.items import SPECIALS, Item

KINDS = ("count", "exist", "compare")
_RELATIONS = ("fewer", "equal", "more")
_MARGIN = 0.12
_DISTANCE = 0.24  # no two objects overlap
_BACKGROUND = 0.75
_TRIALS = 24
_FIRST = len(SPECIALS)


@dataclasses.dataclass(frozen=True)
class Counting:
    """See ``counting``."""

    kind: str
    filters: int
    min_objects: int
    max_objects: int
    num_colours: int
    size: int
    patch: int

    @property
    def words(self) -> tuple[str, ...]:
        numbers = (str(number) for number in range(self.max_objects + 1))
        values = (*sprites.SHAPES, *sprites.COLOURS[: self.num_colours], *sprites.SIZES, *sprites.MATERIALS)
        return (*SPECIALS, *numbers, "no", "yes", *_RELATIONS, *KINDS, "than", *values)

    @property
    def choices(self) -> tuple[int, ...]:
        start, length = self._replies
        return tuple(range(start, start + length))

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return (self.size, self.size, 3)

    @property
    def question_length(self) -> int:
        return 1 + self.filters + (1 + self.filters) * (self.kind == "compare")

    @property
    def answer_length(self) -> int:
        return 1

    @property
    def num_steps(self) -> int:
        return 2 * self.filters + 1 if self.kind == "compare" else self.filters

    @property
    def attribute_sizes(self) -> tuple[int, ...]:
        return (4,)

    def scene(self, key: jax.Array) -> sprites.Scene:
        """The scene of ``draw(key)``, for example for ``tokdyn.data.scene_graphs.to_clevr``.

        Args:
            key: a key `[]`.

        Returns:
            A ``Scene`` with ``max_objects`` slots.
        """
        lot = draws.uniform(keys.for_purpose(key, "count"), (), jnp.float32)
        count = self.min_objects + (lot * (self.max_objects + 1 - self.min_objects)).astype(jnp.int32)
        drawn = sprites.scene(
            keys.for_purpose(key, "scene"), num_objects=count, max_objects=self.max_objects, min_distance=_DISTANCE,
            margin=_MARGIN,
        )  # fmt: skip
        return drawn._replace(colours=drawn.colours % self.num_colours)  # divides 8: uniform as before

    def draw(self, key: jax.Array) -> Item:
        scene = self.scene(key)
        kinds, values = self._trials(keys.for_purpose(key, "question"), scene)
        trials = jnp.arange(_TRIALS)
        passed = self._passed(scene, jnp.broadcast_to(kinds, values.shape), values)
        counts = passed.sum(axis=-1).astype(jnp.int32)  # [trials, chains, filters]
        results = self._result(counts[:, 0, -1], counts[:, -1, -1])
        # A reply is wished for first, uniform over those that this scene can give, and a question found for it.
        replies = jnp.arange(self._replies[1])
        is_possible = (results[:, None] == replies).any(axis=0)
        wish = draws.one_of(keys.for_purpose(key, "wish"), is_possible)
        chosen = jnp.argmin(jnp.where(results == wish, trials, _TRIALS))
        values, passed, counts, result = values[chosen], passed[chosen], counts[chosen], results[chosen]

        picture = sprites.render(scene, size=self.size, background=_BACKGROUND)
        side = self.size // self.patch
        shows = picture.masks.reshape(self.max_objects, side, self.patch, side, self.patch).any(axis=(2, 4))
        shows = shows.reshape(self.max_objects, side * side)
        before = jnp.concatenate([jnp.broadcast_to(scene.present, (self._chains, 1, self.max_objects)), passed], axis=1)
        read = before[:, :-1].reshape(-1, self.max_objects)
        final = passed[:, -1].any(axis=0)
        steps = _FIRST + counts.reshape(-1)
        if self.kind == "compare":
            read = jnp.concatenate([read, final[None]])
            steps = jnp.concatenate([steps, self._replies[0] + result[None]])
        # To see that nothing is left, one has to look at everything.
        read = jnp.where(read.any(axis=1, keepdims=True), read, scene.present)
        is_kept = (picture.masks & final[:, None, None]).any(axis=0)

        offsets = np.cumsum([0, *self._sizes[:-1]])
        named = (self._values + jnp.asarray(offsets)[kinds] + values).reshape(self._chains, self.filters)
        question = [jnp.array([self._kinds + KINDS.index(self.kind)]), named[0]]
        if self.kind == "compare":
            question += [jnp.array([self._kinds + len(KINDS)]), named[1]]
        nearest = jnp.argmax(jnp.where(scene.present, scene.positions[:, 1], -1.0))
        quarter = (scene.positions[nearest, 0] - _MARGIN) / (1 - 2 * _MARGIN) * 4
        return Item(
            image=picture.image,
            question=jnp.concatenate(question).astype(jnp.int32),
            answer=(self._replies[0] + result).astype(jnp.int32)[None],
            steps=steps.astype(jnp.int32),
            relevant=(read[:, :, None] & shows).any(axis=1),
            helper=jnp.where(is_kept[..., None], picture.image, _BACKGROUND),
            attributes=jnp.clip(quarter, 0, 3).astype(jnp.int32)[None],
        )

    def answer_from(self, item: Item, step: jax.Array | int, state: jax.Array | int) -> jax.Array:
        """The reply if a count were another; each later filter removes as many objects as it does in the scene."""
        step, state = jnp.asarray(step), jnp.asarray(state, jnp.int32)
        counts = (item.steps[: self._chains * self.filters] - _FIRST).reshape(self._chains, self.filters)
        chain, number = jnp.divmod(jnp.clip(step - 1, 0, counts.size - 1), self.filters)
        removed = counts[chain, number] - counts[chain, -1]
        changed = jnp.clip(state - _FIRST - removed, 0, self.max_objects)
        final = jnp.where((jnp.arange(self._chains) == chain) & (step >= 1), changed, counts[:, -1])
        reply = self._replies[0] + self._result(final[0], final[-1])
        if self.kind == "compare":
            reply = jnp.where(step >= self.num_steps, state, reply)
        return reply.astype(jnp.int32)[None]

    @property
    def _sizes(self) -> tuple[int, ...]:
        """Values of shape, colour, size and material."""
        return (len(sprites.SHAPES), self.num_colours, len(sprites.SIZES), len(sprites.MATERIALS))

    @property
    def _chains(self) -> int:
        return 2 if self.kind == "compare" else 1

    @property
    def _replies(self) -> tuple[int, int]:
        """First word and number of words among which the answer is."""
        numbers = self.max_objects + 1
        options = {
            "count": (_FIRST, numbers),
            "exist": (_FIRST + numbers, 2),
            "compare": (_FIRST + numbers + 2, len(_RELATIONS)),
        }
        return options[self.kind]

    @property
    def _kinds(self) -> int:
        return _FIRST + self.max_objects + 1 + 2 + len(_RELATIONS)

    @property
    def _values(self) -> int:
        return self._kinds + len(KINDS) + 1

    def _result(self, first: jax.Array, second: jax.Array) -> jax.Array:
        """Number of the reply among ``choices``."""
        if self.kind == "count":
            return first
        return (first > 0).astype(jnp.int32) if self.kind == "exist" else 1 + jnp.sign(first - second)

    def _trials(self, key: jax.Array, scene: sprites.Scene) -> tuple[jax.Array, jax.Array]:
        """What to filter by `[chains, filters]`, and values to try `[trials, chains, filters]`: half of an object."""
        shape = (_TRIALS, self._chains, self.filters)

        def lots(name: str, *shape: int) -> jax.Array:
            return draws.uniform(keys.for_purpose(key, name), shape, jnp.float32)

        kinds = jnp.argsort(lots("kinds", self._chains, 4), axis=1)[:, : self.filters]
        free = (lots("values", *shape) * jnp.asarray(self._sizes)[kinds]).astype(jnp.int32)
        count = jnp.maximum(scene.present.sum(), 1)
        objects = (lots("objects", *shape[:2]) * count).astype(jnp.int32)
        copied = self._attributes(scene)[objects[:, :, None], kinds]
        is_free = jnp.arange(_TRIALS)[:, None, None] % 2 == 1
        return kinds, jnp.where(is_free, free, copied)

    def _passed(self, scene: sprites.Scene, kinds: jax.Array, values: jax.Array) -> jax.Array:
        """Which objects pass the filters up to each `[..., filters, max_objects]`."""
        fits = jnp.moveaxis(self._attributes(scene)[:, kinds], 0, -1) == values[..., None]
        return jnp.cumprod(fits, axis=-2).astype(bool) & scene.present

    def _attributes(self, scene: sprites.Scene) -> jax.Array:
        return jnp.stack([scene.shapes, scene.colours, scene.sizes, scene.materials], axis=-1)


def counting(
    *,
    kind: str = "count",
    filters: int = 2,
    min_objects: int = 3,
    max_objects: int = 6,
    num_colours: int = 4,
    size: int = 32,
    patch: int = 8,
) -> Counting:
    r"""Scenes of sprites with CLEVR's vocabulary, and questions by filters.

    ``count``: how many objects are red and large? ``exist``: is there one? ``compare``: are there fewer, as many, or
    more large metal objects than red cubes? A question names ``filters`` values of different attributes, drawn without
    replacement and in random order from shape, colour, size and material. For every scene 24 questions with these
    attributes are tried, half of them with the values of an object; among the replies that they give one is drawn
    uniformly, and the first question with that reply is taken. So replies are as even as the scene allows, not uniform.

    Steps are the numbers of objects left after each filter (of the first, then of the second description), and for
    ``compare`` also the relation. A filter reads the patches of the objects left before it; where none was left, of
    all objects. The helper shows only the objects that pass all filters (of either description). The attribute is the
    quarter, from left to right, in which the lowest object stands.

    The whole scene is ``task.scene(key)``, and ``tokdyn.data.scene_graphs.to_clevr`` writes it as CLEVR does. Objects
    do not overlap as long as ``scene.valid``.

    Args:
        kind: ``"count"``, ``"exist"`` or ``"compare"``.
        filters: of one description, 1 to 4: the difficulty.
        min_objects: at least 1.
        max_objects: at least ``min_objects``, at most 8.
        num_colours: 2, 4 or 8.
        size: side of the picture in pixels, at least 32, where every object shows.
        patch: side of a patch in pixels; divides ``size``.

    Returns:
        The task, with ``scene(key)``.

    Raises:
        ValueError: a number outside its range, an unknown name.

    References:
        Johnson et al. 2017, CLEVR: A diagnostic dataset for compositional language and elementary visual reasoning,
        arXiv 1612.06890.

    Example:
        >>> import jax
        >>> from tokdyn.reasoning.tasks import counting
        >>> task = counting(filters=1)
        >>> item = task.draw(jax.random.key(0))
        >>> item.image.shape, item.relevant.shape, bool((item.steps[-1:] == item.answer).all())
        ((32, 32, 3), (1, 16), True)
    """
    checks.choice("kind", kind, KINDS)
    filters = checks.whole_number("filters", filters, at_least=1)
    if filters > 4:
        raise checks.bad("filters", "at most 4, one for each attribute", filters)
    min_objects = checks.whole_number("min_objects", min_objects, at_least=1)
    max_objects = checks.whole_number("max_objects", max_objects, at_least=min_objects)
    if max_objects > 8:
        raise checks.bad("max_objects", "at most 8, for which there is room", max_objects)
    if num_colours not in (2, 4, 8):
        raise checks.bad("num_colours", "2, 4 or 8", num_colours)
    size = checks.whole_number("size", size, at_least=32)
    patch = checks.whole_number("patch", patch, at_least=1)
    if size % patch:
        raise checks.bad("patch", f"a divisor of size = {size}", patch)
    return Counting(kind, filters, min_objects, max_objects, int(num_colours), size, patch)
