r"""The published topological model end to end: a word's vector, its place in the plane, a pattern, and the word again.

A pattern has two sources: the place, which carries local structure, and the vector, which adds texture. Three losses
pull: the reader's, one on places (half), and one on how rough patterns are (a tenth).
"""

from __future__ import annotations

from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from tokdyn import checks, keys
from tokdyn.autoencoder import layers
from tokdyn.autoencoder.base import Variables
from tokdyn.dynamics.parts import part, static
from tokdyn.geometry.graph import nearest_neighbours
from tokdyn.numerics import squared_distances
from tokdyn.train.fit import Metrics

Pull = Literal["attraction", "contrastive"]
PULLS = ("attraction", "contrastive")
Form = Literal["differences", "products"]
_GRID = 8  # cells of a side that the reader sees
LEAST = 1e-8  # under the published logarithm
_ROUGH = 0.1  # the roughness that patterns were published to have


class _Layers(layers.Module):
    """Dense layers with ReLU between them, initial weights and biases as PyTorch has them."""

    widths: tuple[int, ...]
    dropped: tuple[float, ...] = ()

    @layers.compact
    def __call__(self, values: jax.Array, *, train: bool) -> jax.Array:
        for number, width in enumerate(self.widths):
            bias = layers.fan_in_uniform(values.shape[-1])
            values = layers.dense(width, layers.fan_in_uniform(), bias)(values)
            if number < len(self.widths) - 1:
                values = jax.nn.relu(values)
                if number < len(self.dropped):
                    values = layers.dropout(self.dropped[number], train)(values)
        return values


def projector(dimensions: int) -> layers.Module:
    """The dense layers from vectors to places, before their tanh."""
    return _Layers((256, 128, 64, dimensions), (0.1, 0.1))


class _Parts(layers.Module):
    """All of the model on one batch of vectors."""

    of: Topological

    def setup(self) -> None:
        side, words = self.of.side, self.of.words
        self.projector = projector(self.of.dimensions)
        self.base = _Layers((64, 128, side * side // 4))
        self.detail = _Layers((256, 128, side * side // 4))
        self.combiner = _Layers((256, side * side * 3))
        self.image = layers.GridStack(side, (16, 32), untouched=True)
        self.reader = _Layers((256, words), (0.2,))

    def __call__(self, vectors: jax.Array, *, train: bool) -> tuple[jax.Array, jax.Array, jax.Array]:
        places = jnp.tanh(self.projector(vectors, train=train))
        sources = [self.base(places, train=train), self.detail(vectors, train=train)]
        patterns = jax.nn.sigmoid(self.combiner(jnp.concatenate(sources, axis=1), train=train))
        shaped = patterns.reshape(len(vectors), self.of.side, self.of.side, 3)
        return places, shaped, self.read(shaped, train=train)

    def read(self, patterns: jax.Array, *, train: bool) -> jax.Array:
        """Logits of the words `[N, V]`."""
        side = self.of.side
        image = self.image(patterns.reshape(len(patterns), side * side, 3))
        of_cell = side // _GRID
        pooled = image.reshape(len(patterns), _GRID, of_cell, _GRID, of_cell, -1).mean(axis=(2, 4))
        return self.reader(pooled.reshape(len(patterns), -1), train=train)


@part
class Topological:
    """What ``topological`` builds."""

    words: int = static()
    width: int = static()
    dimensions: int = static()
    side: int = static()

    def init(self, key: jax.Array) -> Variables:
        """Initial weights, and the temperature of the published pull."""
        made = layers.initial(_Parts(self), key, jnp.zeros((2, self.width)))
        return {"params": {**made["params"], "temperature": jnp.ones(())}, "state": made["state"]}

    def apply(
        self, variables: Variables, vectors: jax.Array, *, key: jax.Array | None = None, train: bool = False
    ) -> tuple[tuple[jax.Array, jax.Array, jax.Array], Any]:
        """``((places [N, d], patterns [N, side, side, 3], logits [N, V]), state)`` of vectors `[N, D]`."""
        return layers.applied(_Parts(self), _weights(variables), vectors, key=key, train=train)

    def read(self, variables: Variables, patterns: jax.Array) -> jax.Array:
        """Logits of the words `[N, V]`, of patterns `[N, side, side, 3]` from wherever."""
        own = _weights(variables)
        everything = {"params": own["params"], **own["state"]}
        found = _Parts(self).apply(everything, patterns, train=False, method="read")
        return jnp.asarray(found)


@part
class TopologicalLoss:
    """What ``topological_loss`` builds."""

    neighbours: jax.Array
    pull: str = static()
    form: str = static()

    def __call__(
        self, model: Topological, variables: Variables, batch: jax.Array, key: jax.Array
    ) -> tuple[jax.Array, tuple[Any, Metrics]]:
        """``(loss [], (state, metrics))`` on all words at once, of which the first is word 0."""
        (places, patterns, logits), state = model.apply(
            variables, batch, key=keys.for_purpose(key, "dropout"), train=True
        )
        logs = jax.nn.log_softmax(logits)
        read = -jnp.mean(jnp.diagonal(logs))
        topology = self.topology(places, variables["params"]["temperature"])
        rough = sum(jnp.mean(jnp.diff(patterns, axis=axis) ** 2, axis=(0, 1, 2)).sum() for axis in (1, 2))
        loss = read + 0.5 * topology + 0.1 * (rough - _ROUGH) ** 2
        right = jnp.mean(jnp.argmax(logits, axis=1) == jnp.arange(len(batch)))
        return loss, (state, {"reader": read, "topology": topology, "right": right})

    def topology(self, places: jax.Array, temperature: jax.Array) -> jax.Array:
        """The pull alone `[]`, on places `[N, d]`."""
        squares = distances_squared(places, self.form)
        chosen = jnp.take_along_axis(squares, self.neighbours, axis=1)
        if self.pull == "attraction":
            near = jnp.where(chosen > 0, jnp.sqrt(jnp.where(chosen > 0, chosen, 1)), 0)
            return jnp.mean(-jnp.log(jnp.exp(-near / temperature) + LEAST))
        # InfoNCE with Student's kernel, on distances in units of a tenth: the plane ends at 1.
        logs = -jnp.log1p(100 * squares)
        others = jnp.where(jnp.eye(len(places), dtype=bool), -jnp.inf, logs)
        return jnp.mean(jax.nn.logsumexp(others, axis=1)[:, None] - jnp.take_along_axis(logs, self.neighbours, axis=1))


def topological(*, words: int, width: int, dimensions: int = 2, side: int = 32) -> Topological:
    """The published model: vectors to places by four dense layers, to patterns, and back to words by a small CNN.

    Args:
        words: V (static).
        width: of the vectors (static).
        dimensions: of the map, published with 2 (static).
        side: of the patterns, a multiple of 8 (static).

    Returns:
        ``Topological`` with ``init(key)`` and ``apply(variables, vectors)``; train it by ``topological_loss``.

    Raises:
        ValueError: a count below 1, or a side that is no multiple of 8.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from tokdyn import geometry
        >>> model = geometry.topological(words=6, width=12, side=8)
        >>> variables = jax.jit(model.init)(jax.random.key(0))
        >>> (places, patterns, logits), _ = jax.jit(model.apply)(variables, jnp.zeros((6, 12)))
        >>> places.shape, patterns.shape, logits.shape
        ((6, 2), (6, 8, 8, 3), (6, 6))
    """
    across = checks.whole_number("side", side, at_least=_GRID)
    if across % _GRID:
        raise checks.bad("side", f"a multiple of {_GRID}", across)
    return Topological(
        checks.whole_number("words", words, at_least=2), checks.whole_number("width", width, at_least=1),
        checks.whole_number("dimensions", dimensions, at_least=1), across,
    )  # fmt: skip


def topological_loss(
    vectors: ArrayLike, *, num_neighbours: int = 5, pull: Pull = "attraction", form: Form = "differences"
) -> TopologicalLoss:
    r"""Half of a pull on places, the reader's loss, and a tenth of how far the patterns' roughness is from 0.1.

    "attraction" is the published pull: the distance to a word's nearest in meaning over a learned temperature. It is
    least where all words have one place, or the temperature is infinite. "contrastive" also pushes apart what is not
    near in meaning (InfoNCE).

    Args:
        vectors: of the words `[N, D]`; nearest are those of largest cosine.
        num_neighbours: of each word (static).
        pull: "attraction" or "contrastive" (static).
        form: of distances in the plane (static): "differences", or "products", `|a|^2 + |b|^2 - 2 a \cdot b`, as
            published, which is noise where points nearly coincide.

    Returns:
        A loss for ``td.train.fit``, whose data are the vectors.

    Raises:
        ValueError: fewer words than neighbours, NaN, a zero vector, duplicates only, an unknown name.

    Example:
        >>> import jax
        >>> from tokdyn import geometry
        >>> planted = geometry.planted_categories(jax.random.key(0), sizes=(4, 4), dimensions=8)
        >>> geometry.topological_loss(planted.vectors, num_neighbours=3).neighbours.shape
        (8, 3)
    """
    checks.choice("pull", pull, PULLS)
    checks.choice("form", form, ("differences", "products"))
    rows = np.asarray(checks.floating("vectors", vectors, axes="[N, D]", xp=np))
    if not np.isfinite(rows).all():
        raise checks.bad("vectors", "finite numbers", "infinite or NaN entries")
    if not rows.any(axis=1).all():
        raise checks.bad("vectors", "rows with a direction", "a zero vector")
    count = checks.whole_number("num_neighbours", num_neighbours, at_least=1)
    if len(rows) <= count:
        raise checks.bad("vectors", f"more words than the {count} neighbours", len(rows))
    if (rows == rows[0]).all():
        raise checks.bad("vectors", "different rows", "duplicates of one")
    nearest = nearest_neighbours(rows, count, metric="cosine").indices
    return TopologicalLoss(jnp.asarray(nearest.astype(np.int32)), pull, form)


def distances_squared(places: jax.Array, form: Form | str) -> jax.Array:
    """Squared distances of all places `[N, N]`, by differences, or by products as matrix multiplication has them.

    Args:
        places: `[N, d]`.
        form: "differences" or "products" (static).

    Example:
        >>> import jax.numpy as jnp
        >>> from tokdyn.geometry import topology
        >>> near = jnp.array([[1.0, 1.0], [1.0, 1.0001]])
        >>> [float(topology.distances_squared(near, form)[0, 1]) > 0 for form in ("differences", "products")]
        [True, False]
    """
    if form == "differences":
        return squared_distances(places, places)
    # As torch.cdist: one product of rows (-2 a, |a|^2, 1) and (b, 1, |b|^2).
    squares, one = jnp.sum(places**2, axis=1, keepdims=True), jnp.ones((len(places), 1), places.dtype)
    left, right = jnp.concatenate([-2 * places, squares, one], axis=1), jnp.concatenate([places, one, squares], axis=1)
    return jnp.maximum(left @ right.T, 0)


def _weights(variables: Variables) -> Variables:
    own = {name: leaf for name, leaf in variables["params"].items() if name != "temperature"}
    return {"params": own, "state": variables["state"]}
