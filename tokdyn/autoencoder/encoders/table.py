"""A learned vector for every word, then dense layers to a pattern: the published notebook's encoder."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from tokdyn import checks
from tokdyn.autoencoder import layers
from tokdyn.autoencoder.encoders import common
from tokdyn.dynamics.parts import part, static

# Initial scales under their names: ``table(**INITIALISATIONS["published"], ...)``.
INITIALISATIONS: dict[str, dict[str, float]] = {
    # The notebook's first version: patterns hardly depend on the word (0.0007 bits of 7.58).
    "published": {"embedding_std": 0.02, "hidden_gain": 1.0, "output_std": 0.059, "output_bias": 0.0},
    # Its last commits: larger last layer, and a bias larger than what the word says.
    "published_last": {"embedding_std": 0.02, "hidden_gain": 1.0, "output_std": 1.0, "output_bias": 0.5},
    # Activations of unit scale all the way.
    "unit": {"embedding_std": 1.0, "hidden_gain": 2.0**0.5, "output_std": 0.094, "output_bias": 0.0},
}


class _Table(layers.Module):
    of: Table

    @layers.compact
    def __call__(self, ids: jax.Array, *, train: bool) -> jax.Array:
        of = self.of
        vectors = self.param(
            "embedding", layers.normal(of.embedding_std), (of.vocabulary_size, of.embedding), jnp.result_type(float)
        )
        pattern = layers.Mlp(
            (of.width,) * of.depth,
            of.cells * of.channels,
            of.hidden_gain,
            layers.normal(of.output_std),
            layers.uniform(of.output_bias),
        )(vectors[ids], train=train)
        return pattern.reshape(*ids.shape, of.cells, of.channels)


@part
class Table(common.WordEncoder):
    """See ``table``."""

    embedding_std: jax.Array
    hidden_gain: jax.Array
    output_std: jax.Array
    output_bias: jax.Array
    vocabulary_size: int = static()
    cells: int = static()
    channels: int = static()
    embedding: int = static(default=128)
    width: int = static(default=256)
    depth: int = static(default=2)

    def module(self) -> layers.Module:
        return _Table(self)


def table(
    *,
    vocabulary_size: int,
    cells: int,
    channels: int,
    embedding: int = 128,
    width: int = 256,
    depth: int = 2,
    embedding_std: float = 1.0,
    hidden_gain: float = 2.0**0.5,
    output_std: float = 0.094,
    output_bias: float = 0.0,
) -> Table:
    """A vector for every word, dense layers with ReLU, and a pattern.

    Args:
        vocabulary_size: words.
        cells: of the pattern; a grid of 8 x 8 has 64.
        channels: numbers in each cell (colours).
        embedding: length of a word's vector.
        width: of the hidden layers.
        depth: how many of them.
        embedding_std: initial standard deviation of the vectors `[]`; published 0.02.
        hidden_gain: gain of the hidden layers' Xavier weights `[]`; published 1.
        output_std: initial standard deviation of the last layer's weights `[]`.
        output_bias: its initial bias is uniform up to that size `[]`.

    Returns:
        An encoder; ``INITIALISATIONS`` has the published scales by name.

    Raises:
        ValueError: a size below 1, or a negative scale.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from tokdyn.autoencoder import encoders
        >>> encoder = encoders.table(vocabulary_size=4, cells=9, channels=2)
        >>> encoder.apply(encoder.init(jax.random.key(0)), jnp.array([0, 3]))[0].shape
        (2, 9, 2)
    """
    return Table(
        **common.check_scales(
            embedding_std=embedding_std, hidden_gain=hidden_gain, output_std=output_std, output_bias=output_bias
        ),
        **common.check_sizes(
            vocabulary_size=vocabulary_size, cells=cells, channels=channels, embedding=embedding, width=width
        ),
        depth=checks.whole_number("depth", depth, at_least=0),
    )
