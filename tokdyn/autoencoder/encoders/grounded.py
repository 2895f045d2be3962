"""Patterns from meaning: given vectors of the words, and a learned map from them."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from numpy.typing import ArrayLike

from tokdyn import checks
from tokdyn.autoencoder import layers
from tokdyn.autoencoder.base import Variables
from tokdyn.autoencoder.encoders import common
from tokdyn.dynamics.parts import part, static


class _Grounded(layers.Module):
    of: Grounded

    @layers.compact
    def __call__(self, vectors: jax.Array, *, train: bool) -> jax.Array:
        of, dtype = self.of, common.floating()
        standard = (jnp.asarray(vectors, dtype) - jnp.asarray(of.centre, dtype)) / jnp.asarray(of.spread, dtype)
        return layers.Mlp(
            (of.width,) * of.depth, of.cells * of.channels, of.hidden_gain, common.fan_in(of.output_gain)
        )(standard, train=train)


@part
class Grounded(common.WordEncoder):
    """See ``grounded``."""

    vectors: jax.Array
    centre: jax.Array
    spread: jax.Array
    hidden_gain: jax.Array
    output_gain: jax.Array
    vocabulary_size: int = static()
    cells: int = static()
    channels: int = static()
    width: int = static(default=128)
    depth: int = static(default=0)

    def module(self) -> layers.Module:
        return _Grounded(self)

    def inputs(self, ids: jax.Array) -> jax.Array:
        return jnp.asarray(self.vectors)[ids]

    def encode_vectors(
        self, variables: Variables, vectors: ArrayLike, *, key: jax.Array | None = None, train: bool = False
    ) -> tuple[jax.Array, Any]:
        """Any vectors of the same space `[batch, E]` -> (`[batch, cells, channels]`, state).

        Raises:
            ValueError: vectors of another length.
        """
        vectors = checks.floating("vectors", vectors, axes="[batch, E]")
        if vectors.shape[1] != self.vectors.shape[1]:
            raise checks.bad("vectors", f"length {self.vectors.shape[1]}", f"length {vectors.shape[1]}")
        return self.encode(variables, vectors, key=key, train=train)


def grounded(
    *,
    vectors: ArrayLike,
    cells: int,
    channels: int,
    depth: int = 0,
    width: int = 128,
    standardise: bool = True,
    hidden_gain: float = 2.0**0.5,
    output_gain: float = 1.0,
) -> Grounded:
    r"""A linear map, or dense layers, from given vectors of meaning to patterns.

    .. math:: X_i = W \frac{v_i - \bar v}{s} + b

    The vectors are data and never trained. With no hidden layer `v_a - v_b = v_c - v_d` gives `X_a - X_b = X_c - X_d`,
    and a random `W` keeps distances up to the Johnson-Lindenstrauss error.

    Args:
        vectors: of the words `[vocabulary, E]`.
        cells: of the pattern.
        channels: numbers in each cell.
        depth: hidden layers; 0 is the linear map.
        width: of the hidden layers.
        standardise: subtract the mean vector and divide by one number, the root mean square of what is left.
        hidden_gain: gain of the hidden layers' Xavier weights `[]`.
        output_gain: gain of the last layer's weights `[]`; see ``common.fan_in``.

    Returns:
        An encoder of as many words as there are vectors; ``encode_vectors`` takes any vectors.

    Raises:
        ValueError: vectors that are no finite floating-point matrix or, to be standardised, all the same; a size below
            1, or a negative scale.

    References:
        W. B. Johnson, J. Lindenstrauss, Extensions of Lipschitz mappings into a Hilbert space, 1984.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from tokdyn.autoencoder import encoders
        >>> encoder = encoders.grounded(vectors=jnp.eye(4), cells=9, channels=2)
        >>> encoder.apply(encoder.init(jax.random.key(0)), jnp.array([0, 3]))[0].shape
        (2, 9, 2)
    """
    vectors = common.check_data("vectors", vectors, axes="[V, E]")
    centre, spread = jnp.zeros_like(vectors[0]), jnp.ones((), vectors.dtype)
    if standardise:
        centre = vectors.mean(0)
        spread = jnp.sqrt(jnp.mean((vectors - centre) ** 2))
        if checks.is_concrete(spread) and not float(spread) > 0:
            raise checks.bad("vectors", "vectors that differ, to be standardised", "equal ones")
    scales = common.check_scales(hidden_gain=hidden_gain, output_gain=output_gain)
    return Grounded(
        vectors,
        centre,
        spread,
        **scales,
        vocabulary_size=len(vectors),
        **common.check_sizes(cells=cells, channels=channels, width=width),
        depth=checks.whole_number("depth", depth, at_least=0),
    )
