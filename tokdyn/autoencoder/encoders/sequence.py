"""A pattern along a line: a word's vector unfolds into a sequence, coarse to fine."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from tokdyn import checks
from tokdyn.autoencoder import layers
from tokdyn.autoencoder.encoders import common
from tokdyn.dynamics.parts import part, static


class _Sequence(layers.Module):
    of: Sequence

    @layers.compact
    def __call__(self, ids: jax.Array, *, train: bool) -> jax.Array:
        of = self.of
        vectors = common.table_of_vectors(self, "embedding", (of.vocabulary_size, of.embedding), of.embedding_std)
        start = -(-of.cells // 2**of.upsamplings)
        values = layers.dense(start * of.width, common.fan_in(1.0))(vectors[ids])
        line = jax.nn.relu(values).reshape(-1, start, of.width)
        for _ in range(of.upsamplings):
            line = jnp.repeat(line, 2, axis=1)
            line = jax.nn.relu(common.convolution(of.width, of.hidden_gain)(line))
        return common.convolution(of.channels, of.output_gain)(line)[:, : of.cells]


@part
class Sequence(common.WordEncoder):
    """See ``sequence``."""

    embedding_std: jax.Array
    hidden_gain: jax.Array
    output_gain: jax.Array
    vocabulary_size: int = static()
    cells: int = static()
    channels: int = static()
    embedding: int = static(default=64)
    width: int = static(default=64)
    upsamplings: int = static(default=2)

    def module(self) -> layers.Module:
        return _Sequence(self)


def sequence(
    *,
    vocabulary_size: int,
    cells: int,
    channels: int,
    embedding: int = 64,
    width: int = 64,
    upsamplings: int = 2,
    embedding_std: float = 1.0,
    hidden_gain: float = 2.0**0.5,
    output_gain: float = 2.0**0.5,
) -> Sequence:
    r"""A pattern whose cells are positions of a sequence, made by convolutions over three neighbours.

    A dense layer gives `\lceil P / 2^u \rceil` coarse positions; `u` times each position is doubled and its line
    convolved, with ReLU; a last convolution gives the channels. Doubling before convolving is a transposed convolution
    without its checkerboard. A coarse position reaches `2^u` cells beyond the `2^u` cells that it became.

    Args:
        vocabulary_size: words.
        cells: `P`, positions of the sequence.
        channels: numbers at each position.
        embedding: length of a word's vector.
        width: channels of the hidden layers.
        upsamplings: `u`.
        embedding_std: initial standard deviation of the vectors `[]`.
        hidden_gain: gain of the hidden convolutions' weights `[]`; see ``common.fan_in``.
        output_gain: gain of the last convolution's `[]`.

    Returns:
        An encoder.

    Raises:
        ValueError: a size below 1, or a negative scale.

    References:
        A. Odena, V. Dumoulin, C. Olah, Deconvolution and checkerboard artifacts, Distill 2016.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from tokdyn.autoencoder import encoders
        >>> encoder = encoders.sequence(vocabulary_size=4, cells=10, channels=3)
        >>> encoder.apply(encoder.init(jax.random.key(0)), jnp.array([0, 3]))[0].shape
        (2, 10, 3)
    """
    return Sequence(
        **common.check_scales(embedding_std=embedding_std, hidden_gain=hidden_gain, output_gain=output_gain),
        **common.check_sizes(
            vocabulary_size=vocabulary_size, cells=cells, channels=channels, embedding=embedding, width=width
        ),
        upsamplings=checks.whole_number("upsamplings", upsamplings, at_least=0),
    )
