"""Maze: a frozen lake with holes; plan a shortest way to the goal, or judge where a way leads."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from tokdyn import checks, draws, keys
from tokdyn.reasoning.items import PAD, SPECIALS, Item
from tokdyn.reasoning.tasks.grids import FIRST, Grid

KINDS = ("plan", "judge")
MOVES = ("L", "R", "U", "D")
OUTCOMES = ("success", "hole", "short")
_DELTAS = np.array([[0, -1], [0, 1], [-1, 0], [1, 0]])
# Ice, hole, start, goal; and the way in the helper.
_RGB = np.array([[0.7, 0.88, 1.0], [0.1, 0.1, 0.35], [0.2, 0.7, 0.3], [1.0, 0.8, 0.1]])
_WAY = np.array([0.9, 0.2, 0.2])
_MAPS, _WAYS = 8, 24
_FIRST_OUTCOME = FIRST + len(MOVES)
_FIRST_CELL = _FIRST_OUTCOME + len(OUTCOMES) + len(KINDS)


class Layout(NamedTuple):
    """A map.

    Attributes:
        start: number of the cell, rows first `[]`.
        goal: number of the cell `[]`.
        holes: `[cells]` bool.
    """

    start: jax.Array
    goal: jax.Array
    holes: jax.Array


@dataclasses.dataclass(frozen=True)
class Maze(Grid):
    """See ``maze``."""

    side: int
    kind: str
    hole_rate: float
    min_moves: int
    max_moves: int
    patch: int

    @property
    def words(self) -> tuple[str, ...]:
        return (*SPECIALS, *MOVES, *OUTCOMES, *KINDS, *self.places)

    @property
    def choices(self) -> tuple[int, ...]:
        if self.kind == "plan":
            return tuple(range(FIRST, _FIRST_OUTCOME))
        return tuple(range(_FIRST_OUTCOME, _FIRST_OUTCOME + len(OUTCOMES)))

    @property
    def question_length(self) -> int:
        return 1 if self.kind == "plan" else 1 + self.max_moves

    @property
    def answer_length(self) -> int:
        return self.max_moves if self.kind == "plan" else 1

    @property
    def num_steps(self) -> int:
        return self.max_moves

    @property
    def attribute_sizes(self) -> tuple[int, ...]:
        return (2, 2)

    def draw(self, key: jax.Array) -> Item:
        cells, dtype = self.side**2, jnp.result_type(float)
        lake = self._map(keys.for_purpose(key, "map"))
        moves = self._shortest(lake, lake.start)
        if self.kind == "plan":
            question, answer = (
                jnp.array([_FIRST_CELL - len(KINDS)], jnp.int32),
                jnp.where(moves >= 0, FIRST + moves, PAD),
            )
        else:
            moves = self._judged(keys.for_purpose(key, "way"), lake, moves)
            question = jnp.concatenate([jnp.array([_FIRST_CELL - 1]), FIRST + moves])
            answer = _FIRST_OUTCOME + self._outcome(lake, lake.start, moves)[None]
        visited = self._visited(lake, lake.start, moves)
        scratched = draws.uniform(keys.for_purpose(key, "scratches"), (cells,), jnp.float32) < 0.5
        kinds = jnp.where(lake.holes, 1, 0).at[lake.start].set(2).at[lake.goal].set(3)
        tiles = jnp.broadcast_to(jnp.asarray(_RGB, dtype)[kinds][:, None, None], (cells, self.patch, self.patch, 3))
        corner = jnp.where(scratched[:, None], 1.0, tiles[:, 0, 0])
        tiles = tiles.at[:, 0, 0].set(corner.astype(dtype))
        relevant = jax.nn.one_hot(visited, cells, dtype=bool)
        inner = np.zeros((self.patch, self.patch), bool)
        inner[1:-1, 1:-1] = True
        on_way = relevant.any(axis=0).at[lake.start].set(True)
        drawn = jnp.where((on_way[:, None, None] & inner)[..., None], jnp.asarray(_WAY, dtype), tiles)
        return Item(
            image=self.assembled(tiles),
            question=question.astype(jnp.int32),
            answer=answer.astype(jnp.int32),
            steps=jnp.where(visited >= 0, _FIRST_CELL + visited, PAD).astype(jnp.int32),
            relevant=relevant,
            helper=self.assembled(drawn),
            attributes=scratched[jnp.stack([visited[0], lake.goal])].astype(jnp.int32),
        )

    def answer_from(self, item: Item, step: jax.Array | int, state: jax.Array | int) -> jax.Array:
        """Go on from the cell ``state``: on a shortest way (``plan``), or by the moves that are left (``judge``).

        A plan keeps its first ``step`` moves; it ends where there is no way on, or no room for more moves.
        """
        step, lake = jnp.asarray(step), self.layout(item)
        cell = jnp.clip(jnp.asarray(state, jnp.int32) - _FIRST_CELL, 0, self.side**2 - 1)
        cell = jnp.where(step == 0, lake.start, cell)
        number = jnp.arange(self.max_moves)
        if self.kind == "judge":
            left = jnp.where(number >= step, item.question[1:] - FIRST, -1)
            return (_FIRST_OUTCOME + self._outcome(lake, cell, left)).astype(jnp.int32)[None]
        onward = self._shortest(lake, cell)[jnp.clip(number - step, 0, self.max_moves - 1)]
        onward = jnp.where(onward >= 0, FIRST + onward, PAD)
        return jnp.where(number < step, item.answer, onward).astype(jnp.int32)

    def outcome(self, item: Item, moves: jax.Array) -> jax.Array:
        """Where a way leads, by simulation: a move off the map stays, a hole or the goal ends it.

        Args:
            item: its picture is the map.
            moves: words `[length]`; what is no move is skipped, as in a plan that ends with ``<pad>``.

        Returns:
            Index into ``OUTCOMES`` `[]`: the goal was reached, the way fell into a hole, or it ended short of both.
        """
        lake = self.layout(item)
        moves = jnp.asarray(moves, jnp.int32) - FIRST
        return self._outcome(lake, lake.start, jnp.where((moves >= 0) & (moves < len(MOVES)), moves, -1))

    def layout(self, item: Item) -> Layout:
        """The map, read from the pixels.

        Args:
            item: an item.

        Returns:
            A ``Layout``.
        """
        tiles, middle = self.cut(item.image), self.patch // 2
        gaps = jnp.abs(tiles[:, middle, middle, None] - jnp.asarray(_RGB, tiles.dtype)).sum(axis=-1)
        kinds = jnp.argmin(gaps, axis=1)
        return Layout(jnp.argmax(kinds == 2), jnp.argmax(kinds == 3), kinds == 1)

    def _map(self, key: jax.Array) -> Layout:
        """The first of some maps with a way of a length that is allowed; else a map with its border cleared."""
        cells, corner = self.side**2, self.side - 1
        # The goal is the start and 1 to cells - 1 cells more.
        lots = draws.uniform(keys.for_purpose(key, "places"), (_MAPS, 2), jnp.float32)
        ends = (lots * np.array([cells, cells - 1])).astype(jnp.int32)
        ends = jnp.stack([ends[:, 0], (ends[:, 0] + 1 + ends[:, 1]) % cells], axis=1)
        holes = draws.uniform(keys.for_purpose(key, "holes"), (_MAPS, cells), jnp.float32) < self.hole_rate
        holes = holes & (jnp.arange(cells) != ends[:, :1]) & (jnp.arange(cells) != ends[:, 1:])
        lakes = Layout(ends[:, 0], ends[:, 1], holes)
        lengths = jax.vmap(lambda lake: self._distances(lake)[lake.start])(lakes)
        allowed = (lengths >= self.min_moves) & (lengths <= self.max_moves)
        border = np.zeros((self.side, self.side), bool)
        border[0] = border[:, corner] = True
        spare = Layout(jnp.zeros_like(ends[0, 0]), jnp.full_like(ends[0, 0], cells - 1), holes[0] & ~border.reshape(-1))
        chosen = jnp.argmax(allowed)
        return jax.tree.map(lambda some, other: jnp.where(allowed.any(), some[chosen], other), lakes, spare)

    def _distances(self, lake: Layout) -> jax.Array:
        """Moves from each cell to the goal `[cells]`; ``cells`` where there is no way, and at holes."""
        side, far = self.side, self.side**2
        holes = lake.holes.reshape(side, side)
        start = jnp.full(far, far).at[lake.goal].set(0).reshape(side, side)

        def spread(_: int, distance: jax.Array) -> jax.Array:
            padded = jnp.pad(distance, 1, constant_values=far)
            around = [padded[1 + down : 1 + down + side, 1 + right : 1 + right + side] for down, right in _DELTAS]
            nearest = jnp.min(jnp.stack(around), axis=0) + 1
            return jnp.where(holes, far, jnp.minimum(distance, nearest))

        # No shortest way has more moves than there are other cells; longer ones than max_moves are not asked for.
        return jax.lax.fori_loop(0, min(self.max_moves, far - 1), spread, start).reshape(-1)

    def _shortest(self, lake: Layout, start: jax.Array) -> jax.Array:
        """The first shortest way in the order of ``MOVES`` `[max_moves]`; -1 after its end."""
        distance = self._distances(lake)

        def go(cell: jax.Array, _: None) -> tuple[jax.Array, jax.Array]:
            after = jnp.stack([self._moved(cell, move) for move in range(len(MOVES))])
            is_nearer = distance[after] == distance[cell] - 1
            move = jnp.where(is_nearer.any(), jnp.argmax(is_nearer), -1)
            return jnp.where(move >= 0, after[move], cell), move

        return jax.lax.scan(go, start, None, length=self.max_moves)[1]

    def _moved(self, cell: jax.Array, move: jax.Array | int) -> jax.Array:
        """The cell after a move; a move off the map, or -1, stays."""
        place = jnp.stack(jnp.divmod(cell, self.side)) + jnp.asarray(_DELTAS)[move]
        inside = ((place >= 0) & (place < self.side)).all() & (jnp.asarray(move) >= 0)
        return jnp.where(inside, place[0] * self.side + place[1], cell)

    def _walked(self, lake: Layout, start: jax.Array, moves: jax.Array) -> tuple[jax.Array, jax.Array]:
        """The cell after each move, and whether the move was made, before hole, goal or -1 ended the way."""

        def go(carry: tuple[jax.Array, jax.Array], move: jax.Array) -> tuple[Any, tuple[jax.Array, jax.Array]]:
            cell, over = carry
            made = ~over & (move >= 0)
            cell = jnp.where(made, self._moved(cell, move), cell)
            return (cell, over | lake.holes[cell] | (cell == lake.goal)), (cell, made)

        over = lake.holes[start] | (start == lake.goal)
        return jax.lax.scan(go, (start, over), moves)[1]

    def _visited(self, lake: Layout, start: jax.Array, moves: jax.Array) -> jax.Array:
        cells, made = self._walked(lake, start, moves)
        return jnp.where(made, cells, -1)

    def _outcome(self, lake: Layout, start: jax.Array, moves: jax.Array) -> jax.Array:
        last = self._walked(lake, start, moves)[0][-1]
        return jnp.where(last == lake.goal, 0, jnp.where(lake.holes[last], 1, 2))

    def _judged(self, key: jax.Array, lake: Layout, shortest: jax.Array) -> jax.Array:
        """A way with the outcome that was wished for, if some trial has it: a part of the shortest, then any moves."""
        lots = draws.uniform(keys.for_purpose(key, "kept"), (_WAYS, 1), jnp.float32)
        kept = (lots * (self.max_moves + 1)).astype(jnp.int32)
        lots = draws.uniform(keys.for_purpose(key, "free"), (_WAYS, self.max_moves), jnp.float32)
        free = (lots * len(MOVES)).astype(jnp.int32)
        ways = jnp.where((jnp.arange(self.max_moves) < kept) & (shortest >= 0), shortest, free)
        outcomes = jax.vmap(lambda way: self._outcome(lake, lake.start, way))(ways)
        is_possible = (outcomes[:, None] == jnp.arange(len(OUTCOMES))).any(axis=0)
        wish = draws.one_of(keys.for_purpose(key, "wish"), is_possible)
        return ways[jnp.argmax(outcomes == wish)]


def maze(
    *,
    side: int = 4,
    kind: str = "plan",
    hole_rate: float = 0.2,
    min_moves: int = 1,
    max_moves: int | None = None,
    patch: int = 4,
) -> Maze:
    r"""A map like FrozenLake's with a start, a goal, and holes; there always is a way.

    Start and goal are uniform, holes independent. Of eight such maps the first is taken that has a shortest way of
    ``min_moves`` to ``max_moves``; if none has (very seldom), start and goal are opposite corners and the upper and
    right border have no holes.

    ``plan``: the answer is the shortest way, of several the first in the order left, right, up, down at every cell;
    ``<pad>`` follows. Any other way can be judged by ``task.outcome(item, moves)``. ``judge``: the question holds
    ``max_moves`` moves, a random part of the shortest way followed by random moves; the answer is ``success``,
    ``hole`` or ``short`` (neither), drawn uniformly among the outcomes of 24 such ways. A move off the map stays, and
    hole and goal end a way.

    Steps are the cells after each move; a step reads the cell it enters. The helper is the map with the way drawn.
    Every cell has a scratch in its corner or not, uniform and independent: attributes are the scratches of the
    first cell entered and of the goal.

    Args:
        side: cells in a row and in a column, 3 to 8.
        kind: ``"plan"`` or ``"judge"``.
        hole_rate: share of holes, from 0 to below 1.
        min_moves: of the shortest way, at least 1 and at most ``2 * (side - 1)``.
        max_moves: of the shortest way, at least ``2 * (side - 1)``; by default ``2 * side``.
        patch: side of a cell in pixels, at least 3.

    Returns:
        The task, with ``outcome(item, moves)`` and ``layout(item)``.

    Raises:
        ValueError: a number outside its range, an unknown name.

    References:
        Towers et al. 2024, Gymnasium: A standard interface for reinforcement learning environments, arXiv 2407.17032.

    Example:
        >>> import jax
        >>> from tokdyn.reasoning.tasks import maze
        >>> task = maze()
        >>> item = task.draw(jax.random.key(0))
        >>> item.image.shape, int(task.outcome(item, item.answer))
        ((16, 16, 3), 0)
    """
    side = checks.whole_number("side", side, at_least=3)
    if side > 8:
        raise checks.bad("side", "at most 8", side)
    checks.choice("kind", kind, KINDS)
    if not isinstance(hole_rate, (int, float)) or isinstance(hole_rate, bool) or not 0 <= hole_rate < 1:
        raise checks.bad("hole_rate", "a number from 0 to below 1", repr(hole_rate))
    longest = 2 * (side - 1)
    min_moves = checks.whole_number("min_moves", min_moves, at_least=1)
    if min_moves > longest:
        raise checks.bad("min_moves", f"at most 2 * (side - 1) = {longest}", min_moves)
    max_moves = 2 * side if max_moves is None else checks.whole_number("max_moves", max_moves, at_least=longest)
    patch = checks.whole_number("patch", patch, at_least=3)
    return Maze(side, kind, float(hole_rate), min_moves, max_moves, patch)
