"""The three usual decoders: linear, dense, convolutional."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from tokdyn import checks
from tokdyn.autoencoder import layers
from tokdyn.autoencoder.base import Variables
from tokdyn.dynamics.parts import part, static


class _Decoder:
    """A decoder is its flax module: ``init`` and ``apply`` are the same for all."""

    def module(self) -> layers.Module:
        raise NotImplementedError

    def init(self, key: jax.Array, cells: int, channels: int) -> Variables:
        return layers.initial(self.module(), key, jnp.zeros((2, cells, channels)))

    def apply(
        self, variables: Variables, values: jax.Array, *, key: jax.Array | None = None, train: bool = False
    ) -> tuple[jax.Array, Any]:
        return layers.applied(self.module(), variables, values, key=key, train=train)


class _Flat(layers.Module):
    """An MLP on the flat code."""

    widths: tuple[int, ...]
    vocabulary_size: int
    gain: Any
    dropout: float = 0.0
    normalise: bool = False

    @layers.compact
    def __call__(self, values: jax.Array, *, train: bool) -> jax.Array:
        mlp = layers.Mlp(self.widths, self.vocabulary_size, self.gain, dropout=self.dropout, normalise=self.normalise)
        return mlp(layers.flat(values), train=train)


@part
class Linear(_Decoder):
    """See ``linear``."""

    gain: jax.Array
    vocabulary_size: int = static()

    def module(self) -> layers.Module:
        return _Flat((), self.vocabulary_size, self.gain)


def linear(*, vocabulary_size: int, gain: float = 1.0) -> Linear:
    """One matrix from the flat code to the logits.

    Args:
        vocabulary_size: words.
        gain: of the initial Xavier weights `[]`.

    Returns:
        A decoder.

    Raises:
        ValueError: no word, or a negative gain.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from tokdyn.autoencoder import decoders
        >>> decoder = decoders.linear(vocabulary_size=5)
        >>> decoder.apply(decoder.init(jax.random.key(0), 9, 2), jnp.zeros((3, 9, 2)))[0].shape
        (3, 5)
    """
    return Linear(checks.hyperparameter("gain", gain, at_least=0.0), _vocabulary(vocabulary_size))


@part
class DenseDecoder(_Decoder):
    """See ``dense``."""

    gain: jax.Array
    vocabulary_size: int = static()
    width: int = static(default=256)
    depth: int = static(default=2)
    dropout: float = static(default=0.0)
    normalise: bool = static(default=False)

    def module(self) -> layers.Module:
        return _Flat((self.width,) * self.depth, self.vocabulary_size, self.gain, self.dropout, self.normalise)


def dense(
    *,
    vocabulary_size: int,
    width: int = 256,
    depth: int = 2,
    gain: float = 2.0**0.5,
    dropout: float = 0.0,
    normalise: bool = False,
) -> DenseDecoder:
    """Dense layers with ReLU on the flat code.

    Args:
        vocabulary_size: words.
        width: of the hidden layers.
        depth: how many of them.
        gain: of the initial Xavier weights `[]`; published 1.
        dropout: share of hidden units dropped in training (static: nothing is drawn where it is 0); published 0.2.
        normalise: layer normalisation before each ReLU.

    Returns:
        A decoder.

    Raises:
        ValueError: a size below 1, a negative gain, or a share outside [0, 1).
    """
    rate = checks.hyperparameter("dropout", dropout, at_least=0.0, below=1.0)
    return DenseDecoder(
        checks.hyperparameter("gain", gain, at_least=0.0),
        _vocabulary(vocabulary_size),
        checks.whole_number("width", width, at_least=1),
        checks.whole_number("depth", depth, at_least=0),
        float(rate),
        bool(normalise),
    )


class _Convolutional(layers.Module):
    of: Convolutional

    @layers.compact
    def __call__(self, values: jax.Array, *, train: bool) -> jax.Array:
        of = self.of
        image = layers.GridStack(of.height)(values)
        if of.pool == "mean":
            return layers.dense(of.vocabulary_size, layers.xavier(of.gain))(image.mean(axis=(1, 2)))
        hidden = (of.width,) * of.depth
        mlp = layers.Mlp(hidden, of.vocabulary_size, of.gain, dropout=of.dropout)
        return mlp(image.reshape(len(image), -1), train=train)


@part
class Convolutional(_Decoder):
    """See ``convolutional``."""

    gain: jax.Array
    vocabulary_size: int = static()
    height: int = static()
    pool: str = static(default="flat")
    width: int = static(default=256)
    depth: int = static(default=2)
    dropout: float = static(default=0.0)

    def module(self) -> layers.Module:
        return _Convolutional(self)

    def init(self, key: jax.Array, cells: int, channels: int) -> Variables:
        _check_grid(self.height, cells)
        return super().init(key, cells, channels)


def convolutional(
    *,
    vocabulary_size: int,
    height: int,
    pool: str = "flat",
    width: int = 256,
    depth: int = 2,
    gain: float = 2.0**0.5,
    dropout: float = 0.0,
) -> Convolutional:
    """Two 3 x 3 convolutions (32, 64) over the code as an image, then dense layers: the notebook's first decoder.

    Args:
        vocabulary_size: words.
        height: of the grid; cells / height is its width.
        pool: ``"flat"`` keeps where things are; ``"mean"`` averages over the grid and goes straight to the logits.
        width: of the dense layers.
        depth: how many of them.
        gain: of their initial Xavier weights `[]`; published 1.
        dropout: share of their units dropped in training; published 0.2.

    Returns:
        A decoder.

    Raises:
        ValueError: a size below 1, another pool, or (in ``init``) cells that are no grid of that height.
    """
    rate = checks.hyperparameter("dropout", dropout, at_least=0.0, below=1.0)
    return Convolutional(
        checks.hyperparameter("gain", gain, at_least=0.0),
        _vocabulary(vocabulary_size),
        checks.whole_number("height", height, at_least=1),
        checks.choice("pool", pool, ("flat", "mean")),
        checks.whole_number("width", width, at_least=1),
        checks.whole_number("depth", depth, at_least=0),
        float(rate),
    )


def _vocabulary(size: int) -> int:
    return checks.whole_number("vocabulary_size", size, at_least=1)


def _check_grid(height: int, cells: int) -> None:
    if cells % height:
        raise checks.bad("height", f"a divisor of the code's {cells} cells", height)
