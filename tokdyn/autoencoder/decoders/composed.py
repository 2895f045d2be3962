"""A decoder that reads what a word is made of: words of known parts in new combinations have logits too."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from tokdyn import checks
from tokdyn.autoencoder import layers
from tokdyn.autoencoder.base import Variables
from tokdyn.dynamics.parts import part, static


class _Composed(layers.Module):
    of: Composed

    @layers.compact
    def __call__(self, values: jax.Array, *, train: bool) -> jax.Array:
        of, hidden = self.of, layers.flat(values)
        logits = jnp.zeros(())
        for place, size in enumerate(of.sizes):
            scores = layers.Mlp((of.width,), size, of.gain)(hidden, train=train)
            logits = logits + jax.nn.log_softmax(scores)[:, jnp.asarray(of.parts)[:, place]]
        return logits


@part
class Composed:
    """See ``composed``."""

    gain: jax.Array
    parts: jax.Array
    vocabulary_size: int = static()
    sizes: tuple[int, ...] = static()
    width: int = static(default=64)

    def init(self, key: jax.Array, cells: int, channels: int) -> Variables:
        return layers.initial(_Composed(self), key, jnp.zeros((2, cells, channels)))

    def apply(
        self, variables: Variables, values: jax.Array, *, key: jax.Array | None = None, train: bool = False
    ) -> tuple[jax.Array, Any]:
        return layers.applied(_Composed(self), variables, values, key=key, train=train)


def composed(*, parts: ArrayLike, width: int = 64, gain: float = 2.0**0.5) -> Composed:
    r"""A reader for each part of a word, a hidden layer each; a word's logit sums its parts' log-probabilities.

    .. math:: \ell_w = \sum_p \log \mathrm{softmax}(r_p(x))_{a_{wp}}

    Words in which known parts meet for the first time can be named, although training never named them.

    Args:
        parts: which value each part of each word has `[vocabulary, parts]`, whole numbers from 0.
        width: of the hidden layers.
        gain: of the initial Xavier weights `[]`.

    Returns:
        A decoder of as many words.

    Raises:
        ValueError: no such table, a width below 1, or a negative gain.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from tokdyn.autoencoder import decoders
        >>> decoder = decoders.composed(parts=[[0, 0], [0, 1], [1, 0], [1, 1]])
        >>> logits, _ = decoder.apply(decoder.init(jax.random.key(0), 9, 2), jnp.ones((1, 9, 2)))
        >>> bool(jnp.allclose(logits[0, 0] + logits[0, 3], logits[0, 1] + logits[0, 2], atol=1e-5))
        True
    """
    table = np.asarray(parts)
    if table.ndim != 2 or 0 in table.shape or not np.issubdtype(table.dtype, np.integer) or table.min() < 0:
        raise checks.bad("parts", "whole numbers from 0 [vocabulary, parts]", checks.describe_array(table))
    return Composed(
        checks.hyperparameter("gain", gain, at_least=0.0), jnp.asarray(table, jnp.int32), len(table),
        tuple(int(most) + 1 for most in table.max(axis=0)), checks.whole_number("width", width, at_least=1),
    )  # fmt: skip
