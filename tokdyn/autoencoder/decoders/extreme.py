"""The published notebook's two cures for collapse, with their published initial weights."""

from __future__ import annotations

from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from tokdyn import checks, draws
from tokdyn.autoencoder import layers
from tokdyn.autoencoder.base import Variables
from tokdyn.autoencoder.decoders.plain import _check_grid, _Decoder, _vocabulary
from tokdyn.dynamics.parts import part, static

# Shares of the six paths in the logits: three heads, the experts, the convolutions, the hash.
SHARES = (0.2, 0.2, 0.15, 0.25, 0.1, 0.1)


def _untouched(features: int, inputs: jax.Array, name: str | None = None) -> layers.Module:
    """A layer that the published code leaves as PyTorch makes it."""
    return layers.dense(features, layers.fan_in_uniform(), layers.fan_in_uniform(inputs.shape[-1]), name=name)


class _Expert(layers.Module):
    width: int
    features: int
    activation: str
    dropout: float

    @layers.compact
    def __call__(self, values: jax.Array, *, train: bool) -> jax.Array:
        hidden = getattr(jax.nn, self.activation)(_untouched(self.width, values)(values))
        return _untouched(self.features, hidden)(layers.dropout(self.dropout, train)(hidden))


class _Extreme(layers.Module):
    of: Extreme

    @layers.compact
    def __call__(self, values: jax.Array, mask: jax.Array | None = None, *, train: bool) -> jax.Array:
        of, words = self.of, self.of.vocabulary_size
        flat = layers.flat(values)
        spread = jnp.std(flat, axis=1, keepdims=True)
        heads = [
            layers.dense(words, layers.normal(of.head_std), layers.uniform(2.0), name="gaussian")(flat),
            layers.dense(words, layers.xavier(2.0), layers.normal(1.0), name="xavier")(flat),
            layers.dense(words, layers.orthogonal(1.5), name="orthogonal")(flat),
        ]
        if train:
            heads = [logits + 0.01 * spread * self._noise(logits) for logits in heads]
        gate = jax.nn.softmax(_untouched(3, flat, "gate")(flat))
        experts = [("relu", 0.3), ("tanh", 0.1), ("gelu", 0.2)]
        opinions = [_Expert(of.width, words, kind, rate, name=kind)(flat, train=train) for kind, rate in experts]
        mixed = jnp.einsum("be,ebw->bw", gate, jnp.stack(opinions))
        image = layers.GridStack(of.height, untouched=True, name="grid")(values).mean(axis=(1, 2))
        spatial = _untouched(words, image, "spatial")(image)
        hidden = jax.nn.relu(_untouched(of.width, flat, "hash_in")(flat))
        hidden = layers.BatchNorm(momentum=0.9, dtype=hidden.dtype, param_dtype=hidden.dtype)(
            hidden, use_running_average=not train, mask=None if mask is None else mask[:, None]
        )
        hashed = _untouched(words, hidden, "hash_out")(hidden)
        paths = jnp.stack([*heads, mixed, spatial, hashed])
        logits = jnp.tensordot(jnp.asarray(SHARES, paths.dtype), paths, axes=1)
        return logits + jnp.clip(spread, 0.01, 0.1) * self._noise(logits) if train else logits

    def _noise(self, like: jax.Array) -> jax.Array:
        return draws.normal(self.make_rng("draws"), like.shape, like.dtype)


@part
class Extreme(_Decoder):
    """See ``extreme``."""

    head_std: jax.Array
    vocabulary_size: int = static()
    height: int = static()
    width: int = static(default=256)
    takes_mask: ClassVar[bool] = True  # of all decoders, only this one normalises over the batch

    def module(self) -> layers.Module:
        return _Extreme(self)

    def apply(
        self,
        variables: Variables,
        values: jax.Array,
        *,
        key: jax.Array | None = None,
        train: bool = False,
        mask: jax.Array | None = None,
    ) -> tuple[jax.Array, Any]:
        return layers.applied(self.module(), variables, values, mask, key=key, train=train)

    def init(self, key: jax.Array, cells: int, channels: int) -> Variables:
        _check_grid(self.height, cells)
        return super().init(key, cells, channels)


def extreme(*, vocabulary_size: int, height: int, width: int = 256, head_std: float = 3.0) -> Extreme:
    """The notebook's decoder that was to be "impossible to collapse", path by path.

    Three linear heads (normal weights of standard deviation 3, Xavier of gain 2, orthogonal of gain 1.5), three gated
    experts (ReLU, tanh, GELU, with dropout), convolutions with a mean over the grid, a "hash" with batch
    normalisation, and noise on the logits that grows with the spread of the pattern. At its published scales more than
    99.9 % of the initial variance of its logits does not depend on the word: it starts collapsed.

    Args:
        vocabulary_size: words.
        height: of the grid.
        width: of the experts and the hash.
        head_std: standard deviation of the first head's weights `[]`; published 3.

    Returns:
        A decoder; it needs a key in training.

    Raises:
        ValueError: a size below 1, a negative scale, or (in ``init``) cells that are no grid of that height.
    """
    return Extreme(
        checks.hyperparameter("head_std", head_std, at_least=0.0),
        _vocabulary(vocabulary_size),
        checks.whole_number("height", height, at_least=1),
        checks.whole_number("width", width, at_least=1),
    )


class _Hybrid(layers.Module):
    of: Hybrid

    @layers.compact
    def __call__(self, values: jax.Array, mask: jax.Array | None = None, *, train: bool) -> jax.Array:
        of, words = self.of, self.of.vocabulary_size
        flat = layers.flat(values)
        image = layers.GridStack(of.height, untouched=True, name="grid")(values).mean(axis=(1, 2))
        spatial = _untouched(words, image, "spatial")(image)
        straight = _untouched(words, flat, "linear")(flat)
        hidden = jnp.tanh(_untouched(of.width, flat, "hash_in")(flat))
        hashed = _untouched(words, hidden, "hash_out")(hidden)
        return 0.5 * spatial + 0.3 * straight + 0.2 * hashed


@part
class Hybrid(_Decoder):
    """See ``hybrid``."""

    vocabulary_size: int = static()
    height: int = static()
    width: int = static(default=256)

    def module(self) -> layers.Module:
        return _Hybrid(self)

    def init(self, key: jax.Array, cells: int, channels: int) -> Variables:
        _check_grid(self.height, cells)
        return super().init(key, cells, channels)


def hybrid(*, vocabulary_size: int, height: int, width: int = 256) -> Hybrid:
    """The notebook's "forced input dependence": convolutions (0.5), a linear head (0.3) and a tanh hash (0.2).

    Args:
        vocabulary_size: words.
        height: of the grid.
        width: of the hash.

    Returns:
        A decoder.

    Raises:
        ValueError: a size below 1, or (in ``init``) cells that are no grid of that height.
    """
    return Hybrid(
        _vocabulary(vocabulary_size),
        checks.whole_number("height", height, at_least=1),
        checks.whole_number("width", width, at_least=1),
    )
