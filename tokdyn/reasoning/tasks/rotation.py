"""Rotation analogy: A is to B as C is to which option?"""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from tokdyn import checks, draws, keys
from tokdyn.reasoning.items import SPECIALS, Item
from tokdyn.reasoning.tasks.grids import COLOURS, FIRST, RGB

DISTRACTORS = ("rotations", "mixed")
_TURNS, _OPTIONS = ("turn90", "turn180", "turn270"), ("option1", "option2", "option3", "option4")
_FIRST_OPTION = FIRST + 1 + len(_TURNS)


def asymmetric_polyominoes(cells: int) -> tuple[np.ndarray, ...]:
    """Polyominoes without any symmetry: their four rotations and the four of their mirror image all differ.

    Both mirror images are listed. There are 2 of four cells, 10 of five and 40 of six.

    Args:
        cells: of a polyomino, at least 1.

    Returns:
        Boolean arrays, each as large as its polyomino.

    Raises:
        ValueError: a number that is no positive integer.

    Example:
        >>> from tokdyn.reasoning.tasks.rotation import asymmetric_polyominoes
        >>> [len(asymmetric_polyominoes(cells)) for cells in (3, 4, 5, 6)]
        [0, 2, 10, 40]
    """
    shapes = []
    for form in sorted(_free(checks.whole_number("cells", cells, at_least=1))):
        images = _images(form)
        if len(set(images)) == 8:
            shapes += [_drawn(images[0]), _drawn(images[4])]
    return tuple(shapes)


@dataclasses.dataclass(frozen=True)
class Rotation:
    """See ``rotation``."""

    sizes: tuple[int, ...]
    distractors: str
    grid: int
    jitter: int

    @property
    def words(self) -> tuple[str, ...]:
        return (*SPECIALS, "which", *_TURNS, *_OPTIONS)

    @property
    def choices(self) -> tuple[int, ...]:
        return tuple(range(_FIRST_OPTION, _FIRST_OPTION + 4))

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return (2 * self.grid, 4 * self.grid, 3)

    @property
    def patch(self) -> int:
        return self.grid

    @property
    def question_length(self) -> int:
        return 1

    @property
    def answer_length(self) -> int:
        return 1

    @property
    def num_steps(self) -> int:
        return 2

    @property
    def attribute_sizes(self) -> tuple[int, ...]:
        return (len(COLOURS), len(COLOURS))

    @property
    def chance(self) -> float:
        """Exact accuracy of the best guess from the question, which is always the same."""
        return 1 / 4

    def draw(self, key: jax.Array) -> Item:
        tables, dtype = _tables(self.sizes, self.grid), jnp.result_type(float)
        shapes = jnp.asarray(tables.shapes)
        count = len(tables.shapes)

        def below(name: str, most: int, *shape: int) -> jax.Array:
            return (draws.uniform(keys.for_purpose(key, name), shape, jnp.float32) * most).astype(jnp.int32)

        first = below("first", count)
        third = (first + 1 + below("third", count - 1)) % count
        turns = 1 + below("turns", 3)
        right = shapes[third, turns]
        if self.distractors == "rotations":
            others = shapes[third, (turns + jnp.arange(1, 4)) % 4]
        else:
            others = self._mixed(keys.for_purpose(key, "mixed"), third, turns)
        options = jnp.concatenate([right[None], others])
        order = jnp.argsort(
            draws.uniform(keys.for_purpose(key, "options"), (4,), jnp.float32)
        )  # what stands at each place
        answer = jnp.argmax(order == 0)

        panels = jnp.stack([shapes[first, 0], shapes[first, turns], shapes[third, 0], jnp.zeros_like(right)])
        panels = jnp.concatenate([panels, options[order]])
        shift = below("jitter", 2 * self.jitter + 1, 9, 2) - self.jitter
        panels = jax.vmap(self._centred)(jnp.concatenate([panels, right[None]]), shift).astype(dtype)
        colours = below("colours", len(COLOURS), 2)
        painted = panels[..., None] * jnp.asarray(RGB, dtype)[colours[np.array([0, 0, *[1] * 7])]][:, None, None]
        helper = jnp.zeros_like(painted[:8]).at[3].set(painted[8])
        relevant = np.zeros((2, 8), bool)
        relevant[0, :2] = relevant[1, 2] = relevant[1, 4:] = True
        return Item(
            image=self._assembled(painted[:8]),
            question=jnp.full(1, FIRST, jnp.int32),
            answer=(_FIRST_OPTION + answer).astype(jnp.int32)[None],
            steps=jnp.stack([FIRST + turns, _FIRST_OPTION + answer]).astype(jnp.int32),
            relevant=jnp.asarray(relevant),
            helper=self._assembled(helper),
            attributes=colours,
        )

    def answer_from(self, item: Item, step: jax.Array | int, state: jax.Array | int) -> jax.Array:
        """The option nearest to C turned by ``state``, or, after the second step, ``state`` itself."""
        step, state = jnp.asarray(step), jnp.asarray(state, jnp.int32)
        panels = jax.vmap(_aligned)(self.panels(item.image))
        turned = jnp.stack([_aligned(jnp.rot90(panels[2], turns)) for turns in range(4)])
        turns = jnp.where(step >= 1, state, item.steps[0]) - FIRST
        misses = (turned[jnp.clip(turns, 0, 3)] != panels[4:]).sum(axis=(1, 2))
        option = _FIRST_OPTION + jnp.argmin(misses)
        return jnp.where(step >= 2, state, option).astype(jnp.int32)[None]

    def panels(self, image: jax.Array) -> jax.Array:
        """The grids A, B, C, an empty one, and the four options.

        Args:
            image: `[2 * grid, 4 * grid, 3]`.

        Returns:
            Which cells are filled `[8, grid, grid]` bool.
        """
        lit = image.max(axis=-1) > 0.1
        return lit.reshape(2, self.grid, 4, self.grid).transpose(0, 2, 1, 3).reshape(8, self.grid, self.grid)

    def _mixed(self, key: jax.Array, third: jax.Array, turns: jax.Array) -> jax.Array:
        """C turned otherwise, C with one cell moved and turned rightly, another shape turned rightly."""
        tables = _tables(self.sizes, self.grid)
        shapes, changed = jnp.asarray(tables.shapes), jnp.asarray(tables.changed)
        lot = draws.uniform(keys.for_purpose(key, "turns"), (), jnp.float32)
        other_turns = (turns + 1 + (lot * 3).astype(jnp.int32)) % 4
        is_family = jnp.asarray(tables.cells) == jnp.asarray(tables.cells)[third]
        is_family &= jnp.arange(len(tables.shapes)) != third
        family = shapes[draws.one_of(keys.for_purpose(key, "family"), is_family), turns]
        moved = changed[third, :, turns]
        # Not the same option twice.
        is_free = (moved != family).any(axis=(1, 2)) & (jnp.arange(moved.shape[0]) < jnp.asarray(tables.counts)[third])
        chosen = moved[draws.one_of(keys.for_purpose(key, "moved"), is_free)]
        return jnp.stack([shapes[third, other_turns], chosen, family])

    def _centred(self, panel: jax.Array, shift: jax.Array) -> jax.Array:
        height, width = panel.any(axis=1).sum(), panel.any(axis=0).sum()
        down, right = (self.grid - height) // 2 + shift[0], (self.grid - width) // 2 + shift[1]
        return jnp.roll(panel, jnp.stack([down, right]), axis=(0, 1))

    def _assembled(self, panels: jax.Array) -> jax.Array:
        grid = panels.reshape(2, 4, self.grid, self.grid, 3)
        return grid.transpose(0, 2, 1, 3, 4).reshape(self.image_shape)


def rotation(
    *, sizes: tuple[int, ...] = (4, 5), distractors: str = "rotations", grid: int = 8, jitter: int = 1
) -> Rotation:
    r"""Panels A, B, C, an empty one, and below them four options: B is A turned, which option is C turned alike?

    Shapes are the polyominoes without any symmetry (``asymmetric_polyominoes``), with their mirror images: 2 of four,
    10 of five, 40 of six cells. The published set has 17 (3 tetrominoes and 9 pentominoes, which need four different
    rotations only, and 5 hexominoes); here mirror images differ too. A and C are two different ones, the turn is
    uniform over a quarter, a half and three quarters counter-clockwise (``np.rot90``), the place of the right option
    uniform: given the question, which is always the same, the answer is uniform. All panels show as many cells in
    their row of the analogy: a glance at patch resolution tells nothing.

    Distractors ``"rotations"``: the three other rotations of C, C itself among them; the options alone tell nothing,
    the options and C exclude one. ``"mixed"``, as published: another rotation of C, the right option with one cell
    moved, and another shape of as many cells, turned rightly; here the option most like the others is more often the
    right one, a shortcut without A and B.

    Steps are the turn, which reads A and B, and the option, which reads C and all options. The helper shows the turned
    C in the empty panel. Attributes are the colours of A and B, and of C and the options.

    Args:
        sizes: numbers of cells of the shapes, from 4 to 6.
        distractors: ``"rotations"`` or ``"mixed"``.
        grid: side of a panel in pixels, one for each cell; also the side of a patch.
        jitter: shapes stand at most so far from the centre, in cells.

    Returns:
        The task, with ``panels(image)``, which reads the picture.

    Raises:
        ValueError: a number outside its range, an unknown name.

    Example:
        >>> import jax
        >>> from tokdyn.reasoning.tasks import rotation
        >>> task = rotation()
        >>> item = task.draw(jax.random.key(0))
        >>> item.image.shape, item.steps.shape, bool((item.steps[-1:] == item.answer).all())
        ((16, 32, 3), (2,), True)
    """
    if not isinstance(sizes, tuple) or not sizes or len(set(sizes)) < len(sizes) or not set(sizes) <= {4, 5, 6}:
        raise checks.bad("sizes", "a tuple of different numbers from 4 to 6", repr(sizes))
    checks.choice("distractors", distractors, DISTRACTORS)
    extent = max(max(shape.shape) for cells in sizes for shape in asymmetric_polyominoes(cells))
    grid = checks.whole_number("grid", grid, at_least=extent)
    jitter = checks.whole_number("jitter", jitter, at_least=0)
    if jitter > (grid - extent) // 2:
        raise checks.bad("jitter", f"at most {(grid - extent) // 2}, to stay in the grid", jitter)
    return Rotation(tuple(int(cells) for cells in sizes), distractors, grid, jitter)


Cells = tuple[tuple[int, int], ...]


@dataclasses.dataclass(frozen=True)
class _Tables:
    """Shapes in the upper left corner of a grid.

    Attributes:
        shapes: `[shapes, 4 turns, grid, grid]` bool.
        cells: of each `[shapes]`.
        changed: each with one cell moved, and no rotation of it `[shapes, most, 4 turns, grid, grid]` bool.
        counts: how many of them `[shapes]`.
    """

    shapes: np.ndarray
    cells: np.ndarray
    changed: np.ndarray
    counts: np.ndarray


@functools.cache
def _tables(sizes: tuple[int, ...], grid: int) -> _Tables:
    forms = [_cells(shape) for cells in sizes for shape in asymmetric_polyominoes(cells)]
    changed = [_moved(form, grid) for form in forms]
    most = max(len(some) for some in changed)
    return _Tables(
        shapes=np.stack([_turned(form, grid) for form in forms]),
        cells=np.array([len(form) for form in forms]),
        # Rows that fill up are never drawn.
        changed=np.stack([[_turned(form, grid) for form in (some * most)[:most]] for some in changed]),
        counts=np.array([len(some) for some in changed]),
    )


def _turned(form: Cells, grid: int) -> np.ndarray:
    pictures = np.zeros((4, grid, grid), bool)
    for picture, image in zip(pictures, _images(form)[:4], strict=True):
        picture[tuple(np.transpose(image))] = True
    return pictures


def _moved(form: Cells, grid: int) -> list[Cells]:
    """Connected shapes that differ by one cell, in order; none is a rotation of the first, all fit into the grid."""
    found = set()
    for gone in form:
        rest = [cell for cell in form if cell != gone]
        for new in {neighbour for cell in rest for neighbour in _neighbours(cell)} - set(form):
            changed = _cornered([*rest, new])
            if _is_connected(changed) and changed not in _images(form)[:4] and np.max(changed) < grid:
                found.add(changed)
    return sorted(found)


@functools.cache
def _free(cells: int) -> frozenset[Cells]:
    """All polyominoes, one of each up to rotation and reflection."""
    if cells == 1:
        return frozenset({((0, 0),)})
    grown = set()
    for form in _free(cells - 1):
        for new in {neighbour for cell in form for neighbour in _neighbours(cell)} - set(form):
            grown.add(min(_images(_cornered([*form, new]))))
    return frozenset(grown)


def _images(form: Cells) -> list[Cells]:
    """Four rotations, by quarter turns counter-clockwise as drawn, and those of the mirror image."""
    images: list[Cells] = []
    for mirrored in (form, tuple((row, -column) for row, column in form)):
        turned: list[tuple[int, int]] = list(mirrored)
        for _ in range(4):
            images.append(_cornered(turned))
            turned = [(-column, row) for row, column in turned]
    return images


def _cornered(form: list[tuple[int, int]]) -> Cells:
    top, left = min(row for row, _ in form), min(column for _, column in form)
    return tuple(sorted((row - top, column - left) for row, column in form))


def _neighbours(cell: tuple[int, int]) -> list[tuple[int, int]]:
    row, column = cell
    return [(row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)]


def _is_connected(form: Cells) -> bool:
    reached, edge = {form[0]}, [form[0]]
    while edge:
        new = set(_neighbours(edge.pop())) & set(form) - reached
        reached |= new
        edge += new
    return len(reached) == len(form)


def _drawn(form: Cells) -> np.ndarray:
    picture = np.zeros(np.max(form, axis=0) + 1, bool)
    picture[tuple(np.transpose(form))] = True
    return picture


def _cells(picture: np.ndarray) -> Cells:
    return tuple((int(row), int(column)) for row, column in np.argwhere(picture))


def _aligned(panel: jax.Array) -> jax.Array:
    """The shape moved into the upper left corner."""
    corner = jnp.stack([jnp.argmax(panel.any(axis=1)), jnp.argmax(panel.any(axis=0))])
    return jnp.roll(panel, -corner, axis=(0, 1))
