"""What the encoders share: flax behind ``init`` and ``apply``, checks of ids, sizes, scales and data."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from tokdyn import checks
from tokdyn.autoencoder import layers
from tokdyn.autoencoder.base import Variables


class WordEncoder:
    """The protocol of an encoder, written once: derive a part from it and say which flax module makes the pattern.

    Attributes:
        compositional: whether words outside the vocabulary can be encoded, from what they are made of.
    """

    compositional: ClassVar[bool] = False
    vocabulary_size: int
    cells: int
    channels: int

    def module(self) -> layers.Module:
        """The flax module from ``inputs`` of `n` words to `n * cells * channels` numbers."""
        raise NotImplementedError(f"{type(self).__name__} must define module()")

    def inputs(self, ids: jax.Array) -> jax.Array:
        """What the module reads, for ids `[n]`; by default the ids."""
        return ids

    def init(self, key: jax.Array) -> Variables:
        return layers.initial(self.module(), key, self.inputs(jnp.zeros(1, jnp.int32)))

    def apply(
        self, variables: Variables, ids: jax.Array, *, key: jax.Array | None = None, train: bool = False
    ) -> tuple[jax.Array, Any]:
        ids = check_ids(ids, self.vocabulary_size)
        pattern, state = self.encode(variables, self.inputs(ids.reshape(-1)), key=key, train=train)
        return pattern.reshape(*ids.shape, self.cells, self.channels), state

    def encode(
        self, variables: Variables, inputs: jax.Array, *, key: jax.Array | None = None, train: bool = False
    ) -> tuple[jax.Array, Any]:
        """What ``inputs`` returns for `[n]` words -> (`[n, cells, channels]`, state)."""
        pattern, state = layers.applied(self.module(), variables, inputs, key=key, train=train)
        return pattern.reshape(-1, self.cells, self.channels), state


def check_ids(ids: ArrayLike, vocabulary_size: int) -> jax.Array:
    """Ids of words, as an array; their range is checked where the numbers are known.

    Args:
        ids: `[...]` whole numbers.
        vocabulary_size: ids are below it.

    Returns:
        The same ids.

    Raises:
        ValueError: no whole numbers, or one outside the vocabulary.

    Example:
        >>> from tokdyn.autoencoder import encoders
        >>> encoders.check_ids([0, 5], 4)
        Traceback (most recent call last):
        ValueError: ids: expected whole numbers from 0 to 3, got 5
    """
    expected = f"whole numbers from 0 to {vocabulary_size - 1}"
    try:
        array = jnp.asarray(ids)
    except (TypeError, ValueError, OverflowError):
        raise checks.bad("ids", expected, checks.describe_array(ids)) from None
    if not jnp.issubdtype(array.dtype, jnp.integer):
        raise checks.bad("ids", expected, checks.describe_array(array))
    if checks.is_concrete(ids) and checks.is_concrete(array):
        numbers = np.asarray(array)
        outside = (numbers < 0) | (numbers >= vocabulary_size)
        if outside.any():
            raise checks.bad("ids", expected, int(numbers[outside].flat[0]))
    return array


def check_sizes(**sizes: Any) -> dict[str, Any]:
    """Static whole numbers of at least 1, by name."""
    return {name: checks.whole_number(name, size, at_least=1) for name, size in sizes.items()}


def check_scales(**scales: Any) -> dict[str, Any]:
    """Traced numbers of at least 0, by name."""
    return {name: checks.hyperparameter(name, scale, at_least=0.0) for name, scale in scales.items()}


def check_data(name: str, value: object, *, axes: str) -> jax.Array:
    """A floating-point array that an encoder holds as data; it must be finite where that is known, and not empty.

    Raises:
        ValueError: anything else.
    """
    array = checks.floating(name, value, axes=axes)
    if array.size == 0:
        raise checks.bad(name, f"an array {axes} without empty axes", checks.describe_array(array))
    if checks.is_concrete(array) and not np.isfinite(np.asarray(array)).all():
        raise checks.bad(name, "finite numbers", "infinite ones or NaN")
    return array


def fan_in(gain: float | jax.Array) -> layers.Initializer:
    r"""Normal weights of standard deviation `g / \sqrt{in}`: the outputs are `g` times as large as the inputs.

    The gain may be traced. `\sqrt 2` keeps the scale where the inputs have passed a ReLU.
    """

    def draw(key: jax.Array, shape: tuple[int, ...], dtype: Any = None) -> jax.Array:
        return layers.normal(gain / math.sqrt(math.prod(shape[:-1])))(key, shape, dtype)

    return draw


def floating() -> Any:
    """The dtype of weights and patterns: JAX's default, so that it follows ``jax.enable_x64``."""
    return jnp.result_type(float)


def table_of_vectors(module: layers.Module, name: str, shape: tuple[int, ...], std: float | jax.Array) -> jax.Array:
    """A trained table with normal initial values."""
    return module.param(name, layers.normal(std), shape, floating())


def convolution(features: int, gain: float | jax.Array) -> layers.Module:
    """A convolution over three neighbouring positions, which keeps their number."""
    return layers.Convolution(features, kernel=fan_in(gain))
