"""Composition with weights that are trained: a convolution of the parts' channels, and an attention blend of cells.

Both have ``init(key) -> variables`` and ``apply(variables, parts) -> pattern``, and are pure: train them with
``tokdyn.train.fit`` as a part of your own model.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from numpy.typing import ArrayLike

from tokdyn import checks
from tokdyn.autoencoder import layers
from tokdyn.dynamics.parts import part, static
from tokdyn.geometry.composition import _parts

PATTERN = 3  # axes of a pattern: height, width, channels


class _Convolving(layers.Module):
    of: ConvolutionComposer

    @layers.compact
    def __call__(self, parts: jax.Array, *, train: bool) -> jax.Array:
        values = jnp.concatenate(list(parts), axis=-1)
        for features in self.of.hidden:
            values = jax.nn.gelu(layers.Convolution(features, self.of.width)(values))
        return layers.Convolution(self.of.channels, self.of.width, untouched=self.of.untouched)(values)


class _Attending(layers.Module):
    of: AttentionComposer

    @layers.compact
    def __call__(self, parts: jax.Array, place: jax.Array, *, train: bool) -> tuple[jax.Array, jax.Array]:
        of = self.of
        cells = math.prod(of.shape[:2])
        flat = parts.reshape(*parts.shape[:2], cells, of.shape[-1])
        where = self.param("cells", layers.normal(1.0), (cells, of.places))
        features = [flat, jnp.broadcast_to(where.astype(flat.dtype), (*flat.shape[:3], of.places))]
        if of.ordered:
            which = self.param("parts", layers.normal(1.0), (of.num_parts, of.places))[place]
            features.append(jnp.broadcast_to(which[:, None, None].astype(flat.dtype), features[1].shape))
        hidden = jax.nn.gelu(layers.dense(of.width)(jnp.concatenate(features, axis=-1)))
        values = flat + layers.dense(of.shape[-1])(hidden)
        scores = layers.dense(1)(hidden).reshape(*parts.shape[:2], *of.shape[:2], 1)
        return scores, values.reshape(parts.shape)


@part
class ConvolutionComposer:
    """What ``convolution`` builds."""

    num_parts: int = static()
    channels: int = static()
    hidden: tuple[int, ...] = static()
    width: int = static()
    untouched: bool = static()

    def init(self, key: jax.Array) -> dict[str, Any]:
        """Initial weights."""
        return layers.initial(_Convolving(self), key, jnp.zeros((self.num_parts, 1, 1, 1, self.channels)))

    def apply(self, variables: dict[str, Any], parts: ArrayLike | Sequence[ArrayLike]) -> jax.Array:
        """Patterns `[P, ..., H, W, C]` as one `[..., H, W, C]`."""
        given = _patterns(parts, self.num_parts, self.channels)
        made = layers.applied(_Convolving(self), variables, _one_batch(given), key=None, train=False)[0]
        return made.reshape(given.shape[1:])


@part
class AttentionComposer:
    """What ``attention`` builds."""

    num_parts: int = static()
    shape: tuple[int, int, int] = static()
    width: int = static()
    places: int = static()
    ordered: bool = static()

    def init(self, key: jax.Array) -> dict[str, Any]:
        """Initial weights."""
        parts = jnp.zeros((self.num_parts, 1, *self.shape))
        return layers.initial(_Attending(self), key, parts, jnp.arange(self.num_parts))

    def weighed(self, variables: dict[str, Any], parts: jax.Array, place: jax.Array) -> tuple[jax.Array, jax.Array]:
        """What is blended, before the softmax over parts.

        Args:
            variables: of ``init``.
            parts: `[K, items, H, W, C]`, in any places.
            place: the place of each `[K]`, from 0.

        Returns:
            Logits of the weights `[K, items, H, W, 1]`, and values `[K, items, H, W, C]`.
        """
        scores, values = layers.applied(_Attending(self), variables, parts, place, key=None, train=False)[0]
        return scores, values

    def apply(self, variables: dict[str, Any], parts: ArrayLike | Sequence[ArrayLike]) -> jax.Array:
        """Patterns `[P, ..., H, W, C]` as one `[..., H, W, C]`."""
        given = _patterns(parts, self.num_parts, self.shape[-1])
        if given.shape[-PATTERN:] != self.shape:
            raise checks.bad("parts", f"patterns of shape {self.shape}", given.shape[-PATTERN:])
        scores, values = self.weighed(variables, _one_batch(given), jnp.arange(self.num_parts))
        return jnp.sum(jax.nn.softmax(scores, axis=0) * values, axis=0).reshape(given.shape[1:])


def convolution(
    *, num_parts: int = 2, channels: int = 3, hidden: tuple[int, ...] = (), width: int = 3, untouched: bool = False
) -> ConvolutionComposer:
    """A convolution over the channels of all parts side by side, whose output is one pattern.

    Which part stands where matters: exchanging two parts exchanges the weights that they meet. Without hidden layers it
    is linear in the parts.

    Args:
        num_parts: P, at least 2 (static).
        channels: C of a part and of the result (static).
        hidden: channels of convolutions with GELU in between (static).
        width: of the kernels, odd (static).
        untouched: the last layer starts as PyTorch has it by default (static), as in the published experiment.

    Returns:
        ``ConvolutionComposer``.

    Raises:
        ValueError: fewer than two parts, a count below 1, an even width.

    Example:
        >>> import jax, numpy as np
        >>> from tokdyn import geometry
        >>> composer = geometry.convolution(num_parts=2, channels=3)
        >>> variables = jax.jit(composer.init)(jax.random.key(0))
        >>> jax.jit(composer.apply)(variables, np.ones((2, 8, 8, 3), np.float32)).shape
        (8, 8, 3)
    """
    across = checks.whole_number("width", width, at_least=1)
    if across % 2 == 0:
        raise checks.bad("width", "an odd number", across)
    return ConvolutionComposer(
        checks.whole_number("num_parts", num_parts, at_least=2),
        checks.whole_number("channels", channels, at_least=1),
        tuple(checks.whole_number("hidden", one, at_least=1) for one in hidden),
        across,
        bool(untouched),
    )


def attention(
    *, num_parts: int = 2, shape: tuple[int, int, int] = (8, 8, 3), width: int = 16, places: int = 4,
    ordered: bool = True,
) -> AttentionComposer:  # fmt: skip
    r"""An attention blend: in every cell a weighted mean of what the parts have there, changed by a small network.

    .. math:: \sum_k w_{k i} (p_{k i} + v(h_{k i})), \quad w_{\cdot i} = \mathrm{softmax}_k\, s(h_{k i})

    where `h` sees the channels of a cell, a learned vector for the cell, and, if ``ordered``, one for the part's place.
    Without the latter the order of the parts does not matter.

    Args:
        num_parts: P, at least 2 (static).
        shape: height, width and channels of a pattern (static).
        width: of the hidden layer (static).
        places: numbers of each learned vector (static).
        ordered: whether the place of a part counts (static).

    Returns:
        ``AttentionComposer``.

    Raises:
        ValueError: fewer than two parts, a count below 1.

    Example:
        >>> import jax, numpy as np
        >>> from tokdyn import geometry
        >>> composer = geometry.attention(num_parts=3, shape=(4, 4, 2))
        >>> variables = jax.jit(composer.init)(jax.random.key(0))
        >>> jax.jit(composer.apply)(variables, np.zeros((3, 5, 4, 4, 2), np.float32)).shape
        (5, 4, 4, 2)
    """
    if not isinstance(shape, tuple) or len(shape) != PATTERN:
        raise checks.bad("shape", "height, width and channels", checks.shown(shape))
    height, across, channels = (checks.whole_number("shape", side, at_least=1) for side in shape)
    return AttentionComposer(
        checks.whole_number("num_parts", num_parts, at_least=2),
        (height, across, channels),
        checks.whole_number("width", width, at_least=1),
        checks.whole_number("places", places, at_least=1),
        bool(ordered),
    )


def _patterns(parts: ArrayLike | Sequence[ArrayLike], count: int, channels: int) -> jax.Array:
    given = _parts(parts, PATTERN)
    if len(given) != count:
        raise checks.bad("parts", f"{count}, as many as the composer takes", len(given))
    if given.shape[-1] != channels:
        raise checks.bad("parts", f"patterns of {channels} channels", given.shape[-1])
    return given


def _one_batch(parts: jax.Array) -> jax.Array:
    """`[P, items, H, W, C]`."""
    return parts.reshape(len(parts), -1, *parts.shape[-PATTERN:])
