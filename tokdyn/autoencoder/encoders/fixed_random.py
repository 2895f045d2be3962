"""A random pattern for every word, never trained: what the bottleneck and the decoder can do by themselves."""

from __future__ import annotations

from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from tokdyn import checks, draws
from tokdyn.autoencoder.base import Variables
from tokdyn.autoencoder.encoders import common
from tokdyn.dynamics.parts import part, static


@part
class FixedRandom:
    """See ``fixed_random``."""

    compositional: ClassVar[bool] = False
    strength: jax.Array
    vocabulary_size: int = static()
    cells: int = static()
    channels: int = static()
    kind: str = static(default="gaussian")

    def init(self, key: jax.Array) -> Variables:
        def draw(word: jax.Array) -> jax.Array:
            numbers = draws.normal(jax.random.fold_in(key, word), (self.cells, self.channels))
            if self.kind == "gaussian":
                return numbers
            return jax.nn.one_hot(jnp.argmax(numbers, -1), self.channels, dtype=numbers.dtype)

        return {"params": {}, "state": {"patterns": jax.vmap(draw)(jnp.arange(self.vocabulary_size))}}

    def apply(
        self, variables: Variables, ids: jax.Array, *, key: jax.Array | None = None, train: bool = False
    ) -> tuple[jax.Array, Any]:
        patterns = variables["state"]["patterns"]
        ids = common.check_ids(ids, self.vocabulary_size)
        return jnp.asarray(self.strength, patterns.dtype) * patterns[ids], variables["state"]


def fixed_random(
    *, vocabulary_size: int, cells: int, channels: int, kind: str = "gaussian", strength: float = 1.0
) -> FixedRandom:
    """A hash of the word: independent random numbers, or one random channel a cell, times ``strength``.

    A word's pattern is a function of the key and its id alone: more words leave those of the first as they were. It
    is state, not a parameter, so that nothing trains it.

    Args:
        vocabulary_size: words.
        cells: of the pattern.
        channels: numbers in each cell.
        kind: ``"gaussian"``: standard normal numbers; ``"one_hot"``: one channel of each cell is 1.
        strength: factor of the patterns `[]`.

    Returns:
        An encoder without parameters.

    Raises:
        ValueError: a size below 1, an unknown kind, or a negative strength.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from tokdyn.autoencoder import encoders
        >>> encoder = encoders.fixed_random(vocabulary_size=4, cells=9, channels=3, kind="one_hot")
        >>> pattern, _ = encoder.apply(encoder.init(jax.random.key(0)), jnp.array([0, 3]))
        >>> pattern.shape, float(pattern.sum())
        ((2, 9, 3), 18.0)
    """
    return FixedRandom(
        **common.check_scales(strength=strength),
        **common.check_sizes(vocabulary_size=vocabulary_size, cells=cells, channels=channels),
        kind=checks.choice("kind", kind, ("gaussian", "one_hot")),
    )
