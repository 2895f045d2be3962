"""Where the variance of patterns and logits comes from: from the word, or from everything else."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from numpy.typing import ArrayLike

from tokdyn.autoencoder.diagnose.inputs import word_mask
from tokdyn.checks import bad, describe_array, floating
from tokdyn.metrics.geometry import effective_rank


class VarianceSplit(NamedTuple):
    """The variance of a set of patterns in two parts that add up.

    Attributes:
        total: over words and places together (what the notebook called pattern diversity) `[]`.
        across_words: of a place over the words, averaged over places `[]`: what can say the word.
        across_places: of the mean pattern over its places `[]`: the same for every word.
        share: across_words / total `[]`; 0 where nothing varies.
    """

    total: jax.Array
    across_words: jax.Array
    across_places: jax.Array
    share: jax.Array


def variance_split(patterns: ArrayLike, *, mask: ArrayLike | None = None) -> VarianceSplit:
    r"""How much of the variance of patterns is between words.

    .. math:: \mathrm{Var}_{v,d}\, x_{vd} = \underbrace{\mathrm{E}_d \mathrm{Var}_v\, x_{vd}}_{\text{words}}
              + \underbrace{\mathrm{Var}_d\, \mathrm{E}_v\, x_{vd}}_{\text{places}}

    A place d is one channel of one cell.

    Args:
        patterns: `[words, ...]`.
        mask: words that count, bool `[words]`; None keeps all.

    Returns:
        ``VarianceSplit``.

    Raises:
        ValueError: no floating-point array with a word axis and another one.

    Example:
        >>> import jax.numpy as jnp
        >>> from tokdyn.autoencoder.diagnose import variance_split
        >>> same = jnp.array([[0.0, 1.0, 2.0], [0.0, 1.0, 2.0]])  # varies, and says nothing
        >>> float(variance_split(same).share)
        0.0
    """
    flat, kept = _rows("patterns", patterns, mask)
    mean = _mean(flat, kept)
    places = jnp.mean((mean - mean.mean()) ** 2)
    words = jnp.mean(_mean((flat - mean) ** 2, kept))
    return VarianceSplit(words + places, words, places, _share(words, words + places))


def input_share(logits: ArrayLike, *, mask: ArrayLike | None = None) -> jax.Array:
    r"""The share of the variance of logits that depends on the input.

    With each row's mean removed (a softmax does not see it), `1 - |\bar z|^2 / \mathrm{E}_v |z_v|^2`, where
    `\bar z = \mathrm{E}_v z_v`. 0 says that every input gets one and the same answer.

    Args:
        logits: `[inputs, words]`.
        mask: inputs that count, bool `[inputs]`; None keeps all.

    Returns:
        `[]`, from 0 to 1; 0 for constant logits.

    Raises:
        ValueError: no floating-point matrix.

    Example:
        >>> import jax.numpy as jnp
        >>> from tokdyn.autoencoder.diagnose import input_share
        >>> float(input_share(jnp.eye(4))), float(input_share(jnp.ones((3, 1)) * jnp.arange(5.0)))
        (1.0, 0.0)
    """
    array = floating("logits", logits, axes="[inputs, words]")
    flat, kept = _rows("logits", array - array.mean(axis=1, keepdims=True), mask)
    constant = _mean(flat, kept)
    moving = jnp.mean(_mean((flat - constant) ** 2, kept))
    return _share(moving, moving + jnp.mean(constant**2))


def pattern_rank(patterns: ArrayLike, *, mask: ArrayLike | None = None) -> jax.Array:
    """Effective rank of patterns about their mean: ``metrics.effective_rank`` of the flat patterns.

    Args:
        patterns: `[words, ...]`.
        mask: words that count, bool `[words]`; None keeps all.

    Returns:
        `[]`, from 0 (all the same) to words - 1.

    Raises:
        ValueError: no floating-point array with a word axis and another one.

    References:
        O. Roy, M. Vetterli, The effective rank: a measure of effective dimensionality, EUSIPCO 2007.
    """
    flat, kept = _rows("patterns", patterns, mask)
    return effective_rank(flat, token_mask=kept)


def _rows(name: str, values: Any, mask: Any) -> tuple[jax.Array, jax.Array]:
    if not hasattr(values, "dtype") or not jnp.issubdtype(values.dtype, jnp.floating) or values.ndim < 2:
        raise bad(name, "a floating-point array [words, ...]", describe_array(values))
    return jnp.asarray(values).reshape(len(values), -1), word_mask("mask", mask, len(values))


def _mean(rows: jax.Array, kept: jax.Array) -> jax.Array:
    """Over the rows that count."""
    return jnp.sum(jnp.where(kept[:, None], rows, 0.0), axis=0) / jnp.maximum(jnp.sum(kept), 1)


def _share(part: jax.Array, whole: jax.Array) -> jax.Array:
    return jnp.where(whole > 0, part / jnp.where(whole > 0, whole, 1.0), 0.0)
