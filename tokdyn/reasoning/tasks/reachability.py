"""Reachability in a graph of words, after ProsQA: which of two candidates can be reached from the root?"""

from __future__ import annotations

import dataclasses
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from tokdyn import checks, draws, keys
from tokdyn.reasoning.items import PAD, SPECIALS, Item

_FIRST = len(SPECIALS)
_MAX_PARENTS = 4
_RATE = 1.5
_GRAPHS = 16


class _Graph(NamedTuple):
    """Directed edges `[from, to]` bool, the two ends `[2]`, and how good they are `[]`.

    2: as many hops as were wished for, 1: as many as are allowed, 0: there is no such pair.
    """

    edges: jax.Array
    ends: jax.Array
    rank: jax.Array


@dataclasses.dataclass(frozen=True)
class Reachability:
    """See ``reachability``."""

    nodes: int
    edges: int
    min_hops: int
    max_hops: int

    @property
    def words(self) -> tuple[str, ...]:
        return (*SPECIALS, *(f"n{number}" for number in range(self.nodes)), "[Q]", "[R]")

    @property
    def choices(self) -> tuple[int, ...]:
        return tuple(range(_FIRST, _FIRST + self.nodes))

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return (0, 0, 1)

    @property
    def patch(self) -> int:
        return 1

    @property
    def question_length(self) -> int:
        return 2 * self.edges + 5

    @property
    def answer_length(self) -> int:
        return 1

    @property
    def num_steps(self) -> int:
        return self.max_hops

    @property
    def attribute_sizes(self) -> tuple[int, ...]:
        return (4,)

    @property
    def chance(self) -> float:
        """Accuracy of a guess between the two candidates that the question names."""
        return 1 / 2

    def draw(self, key: jax.Array) -> Item:
        count, dtype = self.nodes, jnp.result_type(float)
        lot = draws.uniform(keys.for_purpose(key, "hops"), (), jnp.float32)
        wish = self.min_hops + (lot * (self.max_hops + 1 - self.min_hops)).astype(jnp.int32)
        streams = jax.random.split(keys.for_purpose(key, "graphs"), _GRAPHS)
        graphs = jax.vmap(self._graph, in_axes=(0, None))(streams, wish)
        chosen = jnp.argmax(graphs.rank)
        edges, ends, _ = jax.tree.map(
            lambda some, other: jnp.where(graphs.rank[chosen] > 0, some[chosen], other), graphs, self._spare()
        )
        # Names are shuffled, and so are edges and candidates: numbers and places tell nothing.
        names = _FIRST + jnp.argsort(draws.uniform(keys.for_purpose(key, "names"), (count,), jnp.float32))
        order = jnp.argsort(draws.uniform(keys.for_purpose(key, "edges"), (count**2,), jnp.float32))
        is_edge = edges.reshape(-1)[order]
        first = jnp.argsort(~is_edge, stable=True)[: self.edges]  # edges before other pairs, in random order
        places = order[first]
        pairs = jnp.stack([names[places // count], names[places % count]], axis=1)
        listed = jnp.where(is_edge[first][:, None], pairs, PAD).reshape(-1)
        swapped = draws.uniform(keys.for_purpose(key, "candidates"), (), jnp.float32) < 0.5
        candidates = names[jnp.where(swapped, ends[::-1], ends)]
        marks = _FIRST + count + jnp.arange(2)
        question = jnp.concatenate([listed, marks[:1], candidates, marks[1:], names[:1]]).astype(jnp.int32)

        # The way of fewest hops, of several the one through the smallest names.
        left = self._hops(edges.T, ends[0])

        def go(node: jax.Array, _: None) -> tuple[jax.Array, jax.Array]:
            is_next = edges[node] & (left == left[node] - 1)
            after = jnp.argmin(jnp.where(is_next, names, names.max() + 1))
            made = is_next.any()
            return jnp.where(made, after, node), jnp.where(made, names[after], PAD)

        _, steps = jax.lax.scan(go, jnp.zeros((), places.dtype), None, length=self.max_hops)
        first = jnp.argmax(names == steps[0])
        return Item(
            image=jnp.zeros(self.image_shape, dtype),
            question=question,
            answer=names[ends[:1]].astype(jnp.int32),
            steps=steps.astype(jnp.int32),
            relevant=jnp.zeros((self.max_hops, 0), bool),
            helper=jnp.zeros(self.image_shape, dtype),
            attributes=jnp.minimum(edges[first].sum(), 3).astype(jnp.int32)[None],
        )

    def answer_from(self, item: Item, step: jax.Array | int, state: jax.Array | int) -> jax.Array:
        """The candidate that is nearer to the node ``state`` (one that cannot be reached is farthest; ties: the first).

        After no step the state is the root.
        """
        node = jnp.where(jnp.asarray(step) == 0, item.question[-1], jnp.asarray(state, jnp.int32)) - _FIRST
        hops = self._hops(self.graph(item.question), jnp.clip(node, 0, self.nodes - 1))
        candidates = item.question[-4:-2]
        return candidates[jnp.argmin(hops[candidates - _FIRST])][None]

    def graph(self, question: jax.Array) -> jax.Array:
        """The edges that a question lists.

        Args:
            question: words `[question_length]`.

        Returns:
            `[from, to]` bool, by the numbers of the nodes.
        """
        pairs = question[: 2 * self.edges].reshape(-1, 2) - _FIRST
        pairs = jnp.where(pairs >= 0, pairs, self.nodes)  # out of bounds: dropped
        return jnp.zeros((self.nodes, self.nodes), bool).at[pairs[:, 0], pairs[:, 1]].set(True, mode="drop")

    def _hops(self, edges: jax.Array, start: jax.Array) -> jax.Array:
        """Hops from a node to all `[nodes]`; ``nodes`` where there is no way."""

        def spread(_: int, hops: jax.Array) -> jax.Array:
            through = jnp.min(jnp.where(edges, hops[:, None], self.nodes), axis=0) + 1
            return jnp.minimum(jnp.minimum(hops, through), self.nodes)

        begun = jnp.where(jnp.arange(self.nodes) == start, 0, self.nodes)
        return jax.lax.fori_loop(0, self.nodes - 1, spread, begun)

    def _graph(self, key: jax.Array, wish: jax.Array) -> _Graph:
        count = self.nodes
        shares = np.cumsum([math.exp(-_RATE) * _RATE**k / math.factorial(k) for k in range(_MAX_PARENTS)])
        fates = draws.uniform(keys.for_purpose(key, "fates"), (count, 2), jnp.float32)
        lots = draws.uniform(keys.for_purpose(key, "parents"), (count, count), jnp.float32, low=1e-6)

        def add(carry: tuple[jax.Array, jax.Array, jax.Array], node: jax.Array) -> tuple[Any, None]:
            edges, labels, depth = carry
            wanted = jnp.minimum((fates[node, 0] > shares).sum(), self.edges - edges.sum())
            side = jnp.where(fates[node, 1] <= 0.35, 1, jnp.where(fates[node, 1] <= 0.7, 2, 3))
            is_open = (jnp.arange(count) < node) & ((labels == 0) | (labels == side) | (side == 3))
            # The largest of u^(1 / weight): draws without replacement, in proportion to the weights.
            lot = jnp.where(is_open, jnp.log(lots[node]) / (1.5 * depth + 1), -jnp.inf)
            parents = is_open & ((lot[:, None] < lot).sum(axis=1) < wanted)
            label = jnp.where(parents & (labels & 1 == 1), 1, 0).max() + jnp.where(parents & (labels >= 2), 2, 0).max()
            nearest = jnp.min(jnp.where(parents, depth, count))
            depth = depth.at[node].set(jnp.where(parents.any(), nearest + 1, 0))
            return (edges.at[:, node].set(parents), labels.at[node].set(label), depth), None

        labels = jnp.zeros(count, int).at[0].set(1).at[1].set(2)
        start = (jnp.zeros((count, count), bool), labels, jnp.zeros(count, int))
        (edges, labels, _), _ = jax.lax.scan(add, start, jnp.arange(2, count))
        hops = jnp.stack([self._hops(edges, jnp.asarray(end)) for end in (0, 1)])
        is_end = (labels == 1) & (hops[0] >= self.min_hops) & (hops[0] <= self.max_hops)
        # As far from the other root as the answer is from its own: depth tells nothing either.
        pairs = is_end[:, None] & (labels == 2) & (hops[0][:, None] == hops[1])
        wished = pairs & (hops[0] == wish)[:, None]
        options = jnp.where(wished.any(), wished, pairs)
        chosen = draws.one_of(keys.for_purpose(key, "ends"), options.reshape(-1))
        ends = jnp.stack(jnp.divmod(chosen, count))
        return _Graph(edges, ends, pairs.any() + wished.any().astype(jnp.int32))

    def _spare(self) -> _Graph:
        """Two chains side by side."""
        nodes = np.arange(self.nodes)
        ends = jnp.asarray([2 * self.min_hops, 2 * self.min_hops + 1])
        return _Graph(jnp.asarray(nodes[:, None] + 2 == nodes), ends, jnp.asarray(1))


def reachability(*, nodes: int = 16, edges: int = 24, min_hops: int = 2, max_hops: int = 4) -> Reachability:
    r"""A directed graph without cycles, as shuffled edges; question: root and two candidates; answer: which is reached.

    After the generator of ProsQA: node 0 has label 1, node 1 label 2. Every further node has Poisson(1.5) parents (cut
    at 4, and at ``edges`` in all), drawn with weights `1.5\,\text{depth} + 1` from earlier nodes: with probability .35
    from those labelled 0 or 1, with .35 from those labelled 0 or 2, else from all. Its label is the union (bitwise or)
    of its parents', its depth one more than the least of theirs. The root is node 0, the answer a node with label 1 at
    ``min_hops`` to ``max_hops`` hops from it, the other candidate one with label 2 equally far from node 1; hence
    without the root the two candidates are exchangeable. A number of hops is wished for, uniform; of 16 graphs the
    first with a pair so far away is taken, else the first with any pair, else two chains (with the defaults in 2 of a
    million items; with ``min_hops=3`` in 18 %, so take more nodes then). Among the pairs of a graph it is uniform.

    Differences from the published data: a fixed number of nodes, equal depths of the candidates, and no separators:
    the question is ``from to from to ... [Q] candidate candidate [R] root``, with ``<pad>`` before ``[Q]`` where there
    are fewer edges. Names, edges and candidates are shuffled.

    Steps are the nodes of the shortest way, of several through the smallest names. There is no picture. The attribute
    is how many edges leave the first of them, at most 3.

    Args:
        nodes: at least ``2 * min_hops + 2``.
        edges: at most so many, at least ``nodes - 2`` and at most ``nodes * (nodes - 1) / 2``.
        min_hops: at least 1.
        max_hops: at least ``min_hops``.

    Returns:
        The task, with ``graph(question)``, which reads the edges.

    Raises:
        ValueError: a number outside its range.

    References:
        Hao et al. 2024, Training large language models to reason in a continuous latent space, arXiv 2412.06769,
        appendix A.2.

    Example:
        >>> import jax
        >>> from tokdyn.reasoning.tasks import reachability
        >>> task = reachability()
        >>> item = task.draw(jax.random.key(0))
        >>> item.question.shape, int(item.answer[0]) in item.question[-4:-2].tolist()
        ((53,), True)
    """
    min_hops = checks.whole_number("min_hops", min_hops, at_least=1)
    max_hops = checks.whole_number("max_hops", max_hops, at_least=min_hops)
    nodes = checks.whole_number("nodes", nodes, at_least=2 * min_hops + 2)
    edges = checks.whole_number("edges", edges, at_least=nodes - 2)
    if edges > nodes * (nodes - 1) // 2:
        raise checks.bad("edges", f"at most nodes * (nodes - 1) / 2 = {nodes * (nodes - 1) // 2}", edges)
    return Reachability(nodes, edges, min_hops, max_hops)
