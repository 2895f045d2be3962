"""Words as nodes of a graph: neighbours lend each other their vectors before the pattern is made."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from tokdyn import checks
from tokdyn.autoencoder import layers
from tokdyn.autoencoder.encoders import common
from tokdyn.dynamics.parts import part, static


class Neighbours(NamedTuple):
    """A sparse graph: as many neighbours for every word.

    Attributes:
        ids: `[V, k]` int32.
        weights: `[V, k]`; each row adds up to 1.
    """

    ids: Any
    weights: Any


class _Graph(layers.Module):
    of: Graph

    @layers.compact
    def __call__(self, ids: jax.Array, *, train: bool) -> jax.Array:
        of = self.of
        vectors = common.table_of_vectors(self, "embedding", (of.vocabulary_size, of.embedding), of.embedding_std)
        for _ in range(of.rounds):
            vectors = vectors + of.strength * (mixed(of.adjacency, vectors) - vectors)
        return layers.Mlp(
            (of.width,) * of.depth, of.cells * of.channels, of.hidden_gain, common.fan_in(of.output_gain)
        )(vectors[ids], train=train)


@part
class Graph(common.WordEncoder):
    """See ``graph``."""

    adjacency: Any
    strength: jax.Array
    embedding_std: jax.Array
    hidden_gain: jax.Array
    output_gain: jax.Array
    vocabulary_size: int = static()
    cells: int = static()
    channels: int = static()
    rounds: int = static(default=1)
    embedding: int = static(default=64)
    width: int = static(default=128)
    depth: int = static(default=2)

    def module(self) -> layers.Module:
        return _Graph(self)


def graph(
    *,
    adjacency: ArrayLike,
    cells: int,
    channels: int,
    rounds: int = 1,
    strength: float = 0.5,
    embedding: int = 64,
    width: int = 128,
    depth: int = 2,
    embedding_std: float = 1.0,
    hidden_gain: float = 2.0**0.5,
    output_gain: float = 2.0**0.5,
) -> Graph:
    r"""A vector for every word, rounds of averaging over its neighbours, then dense layers to a pattern.

    .. math:: E^{(t+1)} = (1 - s) E^{(t)} + s\,A E^{(t)}, \qquad X_i = \mathrm{MLP}(E^{(R)}_i)

    There are no weights within a round: an identity `A`, `s = 0` and no round are the same encoder. Words with the
    same neighbours look alike, and what one learns reaches the others. A word without company is its own neighbour.

    Args:
        adjacency: `A` `[vocabulary, vocabulary]` or ``Neighbours``; no weight is negative, each row adds up to 1.
        cells: of the pattern.
        channels: numbers in each cell.
        rounds: `R`.
        strength: `s` `[]`, from 0 to 1.
        embedding: length of a word's vector.
        width: of the hidden layers.
        depth: how many of them.
        embedding_std: initial standard deviation of the vectors `[]`.
        hidden_gain: gain of the hidden layers' Xavier weights `[]`.
        output_gain: gain of the last layer's weights `[]`; see ``common.fan_in``.

    Returns:
        An encoder of as many words as the graph has nodes.

    Raises:
        ValueError: an adjacency of another form, a size below 1, or a number outside its range.

    References:
        F. Wu et al., Simplifying graph convolutional networks, ICML 2019;
        X. He et al., LightGCN: simplifying and powering graph convolution network for recommendation, SIGIR 2020.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from tokdyn.autoencoder import encoders
        >>> near = encoders.nearest_neighbours(jax.random.normal(jax.random.key(0), (6, 4)), 2)
        >>> encoder = encoders.graph(adjacency=near, cells=9, channels=2)
        >>> encoder.apply(encoder.init(jax.random.key(1)), jnp.arange(6))[0].shape
        (6, 9, 2)
    """
    adjacency = _checked(adjacency)
    numbers = common.check_scales(embedding_std=embedding_std, hidden_gain=hidden_gain, output_gain=output_gain)
    sizes = common.check_sizes(cells=cells, channels=channels, embedding=embedding, width=width)
    return Graph(
        adjacency=adjacency,
        strength=checks.hyperparameter("strength", strength, at_least=0.0, below=1.0 + 1e-9),
        **numbers,
        **sizes,
        vocabulary_size=_weights(adjacency).shape[0],
        rounds=checks.whole_number("rounds", rounds, at_least=0),
        depth=checks.whole_number("depth", depth, at_least=0),
    )


def mixed(adjacency: ArrayLike, vectors: jax.Array) -> jax.Array:
    """Averages over neighbours.

    Args:
        adjacency: `[V, V]` or ``Neighbours``.
        vectors: `[V, E]`.

    Returns:
        `[V, E]`.
    """
    weights = jnp.asarray(_weights(adjacency), vectors.dtype)
    if isinstance(adjacency, Neighbours):
        return jnp.einsum("vk,vke->ve", weights, vectors[jnp.asarray(adjacency.ids)])
    return weights @ vectors


def nearest_neighbours(vectors: ArrayLike, num_neighbours: int) -> Neighbours:
    """The graph of the words nearest by cosine, each with the same weight; no word is its own neighbour.

    Args:
        vectors: of the words `[V, E]`: semantic ones, or counts of the words around them.
        num_neighbours: `k`, below V.

    Returns:
        ``Neighbours``, the nearest first (of equals, the one with the lower id).

    Raises:
        ValueError: no floating-point matrix, or not so many neighbours.

    Example:
        >>> import jax.numpy as jnp
        >>> from tokdyn.autoencoder import encoders
        >>> points = jnp.array([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [-0.1, 1.0]])
        >>> encoders.nearest_neighbours(points, 1).ids.ravel().tolist()
        [1, 0, 3, 2]
    """
    vectors = common.check_data("vectors", vectors, axes="[V, E]")
    number = checks.whole_number("num_neighbours", num_neighbours, at_least=1)
    if number >= len(vectors):
        raise checks.bad("num_neighbours", f"fewer than the {len(vectors)} words", number)
    return _nearest(vectors, number)


@functools.partial(jax.jit, static_argnums=1)
def _nearest(vectors: jax.Array, number: int) -> Neighbours:
    """``nearest_neighbours`` of checked vectors, as one program also where it is called outside one."""
    tiny = jnp.finfo(vectors.dtype).tiny
    units = vectors / jnp.sqrt(jnp.maximum((vectors**2).sum(-1, keepdims=True), tiny))

    def nearest(item: tuple[jax.Array, jax.Array]) -> jax.Array:
        unit, word = item
        return jax.lax.top_k((units @ unit).at[word].set(-jnp.inf), number)[1]

    ids = jax.lax.map(nearest, (units, jnp.arange(len(units))), batch_size=256)
    return Neighbours(ids.astype(jnp.int32), jnp.full(ids.shape, 1 / number, vectors.dtype))


def _weights(adjacency: Any) -> Any:
    return adjacency.weights if isinstance(adjacency, Neighbours) else adjacency


def _checked(adjacency: Any) -> Any:
    name = "adjacency.weights" if isinstance(adjacency, Neighbours) else "adjacency"
    weights = common.check_data(name, _weights(adjacency), axes="[V, k]" if "." in name else "[V, V]")
    if checks.is_concrete(weights):
        rows = np.asarray(weights, np.float64)
        # Each of the k weights may be rounded by half a unit in the last place.
        tolerance = float(jnp.finfo(weights.dtype).eps) * rows.shape[1] + 1e-6
        if (rows < 0).any() or np.abs(rows.sum(1) - 1).max() > tolerance:
            raise checks.bad(name, "rows of weights from 0 up that add up to 1", "other rows")
    if not isinstance(adjacency, Neighbours):
        if weights.shape[0] != weights.shape[1]:
            raise checks.bad(name, "a square array [V, V]", checks.describe_array(weights))
        return weights
    ids = common.check_ids(adjacency.ids, len(weights))
    if ids.shape != weights.shape:
        raise checks.bad("adjacency.ids", f"shape {weights.shape}, that of the weights", ids.shape)
    return Neighbours(ids, weights)
