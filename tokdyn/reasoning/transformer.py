"""The network of a reasoner: patches and words in, a decoder with a cache, written for one item and mapped over many.

Everything goes through ``extend``: some new positions read what is cached before them and are cached themselves. The
cache of image and question is never written again (``prefix``), so that many continuations of one prompt share it;
what comes after has a small cache of its own (``suffix``). Writing into one long cache instead makes XLA copy the
prefix for each continuation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from tokdyn.reasoning.writes import Writes, hidden_columns, touched

Memory = tuple[jax.Array, jax.Array]
Read = Callable[[jax.Array, jax.Array], Memory]


class Cache(NamedTuple):
    """What later positions attend to: an array for each layer, laid out as the products of attention read it.

    Stacked, or with positions first, a loop over positions would copy all of it at every step.

    Attributes:
        keys: `[heads, head_width, positions]` each.
        values: `[heads, head_width, positions]` each.
    """

    keys: tuple[jax.Array, ...]
    values: tuple[jax.Array, ...]

    def rows(self) -> tuple[jax.Array, jax.Array]:
        """Keys and values, position by position `[layers, positions, width]`."""
        of_layer = lambda leaf: leaf.reshape(-1, leaf.shape[-1]).T  # noqa: E731
        keys, values = (jnp.stack([of_layer(leaf) for leaf in leaves]) for leaves in self)
        return keys, values


class Pass(NamedTuple):
    """What some new positions left behind.

    Attributes:
        states: after the last norm: what words are read from and what latent tokens are `[new, width]`.
        residuals: after each layer `[layers, new, width]`.
        attention: `[layers, heads, new, positions]`, over prefix and suffix.
    """

    states: jax.Array
    residuals: jax.Array
    attention: jax.Array


class Network(nn.Module):
    """Weights and layers.

    Attributes:
        words: size of the vocabulary.
        patch_size: numbers in a patch; 0 for no pictures.
        positions: of the whole sequence.
        constants: learned slots (at least 1).
        width: of the residual stream.
        heads: of attention; divides the width.
        layers: how many.
        hidden: width of the layers' inner part.
        head: between a state and a latent token: "none", "linear" or "mlp".
    """

    words: int
    patch_size: int
    positions: int
    constants: int
    width: int
    heads: int
    layers: int
    hidden: int
    head: str

    def setup(self) -> None:
        dtype = jnp.result_type(float)
        # Places, words and patches start equally loud; with faint places or patches, training waits a thousand steps
        # before a query finds its place.
        unit = nn.initializers.normal(1.0)
        self.word_vectors = self.param("word_vectors", unit, (self.words, self.width), dtype)
        self.place_vectors = self.param("place_vectors", unit, (self.positions, self.width), dtype)
        self.constant_vectors = self.param("constant_vectors", unit, (self.constants, self.width), dtype)
        if self.patch_size:
            self.patch_layers = [_dense(self.width, gain=3.0), _dense(self.width)]
        self.blocks = [Block(self.heads, self.hidden) for _ in range(self.layers)]
        self.last_norm = _norm()
        self.readout = _dense(self.words)
        if self.head != "none":
            self.head_layers = [_dense(self.hidden)] * (self.head == "mlp") + [_dense(self.width)]

    def of_words(self, words: jax.Array) -> jax.Array:
        """Embeddings `[..., width]` of words `[...]`."""
        return self.word_vectors[words]

    def of_patches(self, patches: jax.Array) -> jax.Array:
        """Embeddings `[patches, width]` of patches `[patches, numbers]`."""
        first, second = self.patch_layers
        return second(jax.nn.gelu(first(patches)))

    def constant(self) -> jax.Array:
        """Learned slots `[constants, width]`."""
        return self.constant_vectors

    def fed(self, state: jax.Array) -> jax.Array:
        """What a state `[width]` becomes when it is fed back."""
        if self.head == "none":
            return state
        *inner, last = self.head_layers
        for layer in inner:
            state = jax.nn.gelu(layer(state))
        return last(state)

    def logits(self, states: jax.Array) -> jax.Array:
        """Over words `[..., words]`, of states `[..., width]`."""
        return self.readout(states)

    def extend(
        self,
        embeddings: jax.Array,
        first: jax.Array | int,
        prefix: Cache | None,
        suffix: Cache,
        sees: jax.Array,
        writes: Writes | None,
    ) -> tuple[Pass, Cache]:
        """New positions through all layers.

        Args:
            embeddings: `[new, width]`, without their places.
            first: place of the first in the suffix (in the whole sequence where there is no prefix).
            prefix: what all continuations share, never written; None while it is being made.
            suffix: of fixed length; the new positions are written into it.
            sees: who may be read `[new, positions]` bool, over prefix and suffix; with a leading axis of layers where
                layers differ.
            writes: interventions at residuals and caches.

        Returns:
            ``(Pass, suffix)``.
        """
        shared = 0 if prefix is None else prefix.keys[0].shape[-1]
        place = shared + first
        stream = embeddings + jax.lax.dynamic_slice_in_dim(self.place_vectors, place, len(embeddings))
        keys, values = list(suffix.keys), list(suffix.values)
        residuals, attention = [], []
        for layer, block in enumerate(self.blocks):

            def read(key: jax.Array, value: jax.Array, layer: int = layer) -> tuple[jax.Array, jax.Array]:
                key = touched(key, writes, "keys", place, layer)
                value = touched(value, writes, "values", place, layer)
                for cache, rows in ((keys, key), (values, value)):
                    columns = rows.reshape(len(rows), self.heads, -1).transpose(1, 2, 0)
                    cache[layer] = jax.lax.dynamic_update_slice_in_dim(cache[layer], columns, first, 2)
                return keys[layer], values[layer]

            before = None if prefix is None else (prefix.keys[layer], prefix.values[layer])
            stream, weights = block(stream, before, read, sees if sees.ndim == 2 else sees[layer])
            stream = touched(stream, writes, "residuals", place, layer)
            residuals.append(stream)
            attention.append(weights)
        states = self.last_norm(stream)
        return Pass(states, jnp.stack(residuals), jnp.stack(attention)), Cache(tuple(keys), tuple(values))

    def __call__(self, words: jax.Array, patches: jax.Array) -> jax.Array:
        """Touches every weight once: what ``init`` runs."""
        embeddings = self.of_words(words)
        if self.patch_size:
            embeddings = jnp.concatenate([self.of_patches(patches), embeddings])
        count = len(embeddings)
        empty = empty_cache(self, count, embeddings.dtype)
        result, _ = self.extend(embeddings, 0, None, empty, jnp.ones((count, count), bool), None)
        return self.logits(self.fed(result.states[-1]) + self.constant()[0])


class Block(nn.Module):
    """Attention and a two-layer network, each after a norm, each added to the stream.

    Attributes:
        heads: of attention.
        hidden: width of the inner layer.
    """

    heads: int
    hidden: int

    @nn.compact
    def __call__(
        self, stream: jax.Array, before: Memory | None, read: Read, sees: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        width = stream.shape[-1]
        normed = _norm()(stream)
        query, key, value = (_dense(width, bias=False)(normed) for _ in range(3))
        keys, values = read(key, value)
        memories = [(keys, values)] if before is None else [before, (keys, values)]
        # Two products instead of one concatenated cache: the shared part is then never copied.
        scores = jnp.concatenate([self._scores(query, keys) for keys, _ in memories], axis=-1)
        weights = jax.nn.softmax(jnp.where(sees, scores, -jnp.inf))
        mixed, place = jnp.zeros_like(stream), 0
        for _, values in memories:
            count = values.shape[-1]
            mixed = mixed + self._mixed(weights[..., place : place + count], values)
            place += count
        stream = stream + _dense(width, bias=False)(mixed)
        inner = jax.nn.gelu(_dense(self.hidden)(_norm()(stream)))
        return stream + _dense(width)(inner), weights

    def _scores(self, query: jax.Array, keys: jax.Array) -> jax.Array:
        query = query.reshape(len(query), self.heads, -1)
        return jnp.einsum("qhd,hdk->hqk", query, keys) / query.shape[-1] ** 0.5

    def _mixed(self, weights: jax.Array, values: jax.Array) -> jax.Array:
        mixed = jnp.einsum("hqk,hdk->qhd", weights, values)
        return mixed.reshape(mixed.shape[0], -1)


def visible_now(sees: jax.Array, first: jax.Array | int, count: int, writes: Writes | None) -> jax.Array:
    """Rows of the new positions `[..., count, positions]`, less what interventions hide; each always sees itself."""
    rows = jax.lax.dynamic_slice_in_dim(sees, first, count, axis=-2)
    if writes is None:
        return rows
    own = jnp.arange(sees.shape[-1]) == (first + jnp.arange(count))[:, None]
    return (rows & ~hidden_columns(writes)) | own


def _dense(features: int, *, bias: bool = True, gain: float = 1.0) -> nn.Dense:
    start = nn.initializers.variance_scaling(gain**2, "fan_in", "truncated_normal")
    return nn.Dense(features, use_bias=bias, kernel_init=start, param_dtype=jnp.result_type(float))


def _norm() -> nn.RMSNorm:
    return nn.RMSNorm(epsilon=1e-6, param_dtype=jnp.result_type(float))


def empty_cache(network: Network, positions: int, dtype: DTypeLike) -> Cache:
    """Room for so many positions."""
    empty = jnp.zeros((network.heads, network.width // network.heads, positions), dtype)
    return Cache(*[(empty,) * network.layers] * 2)
