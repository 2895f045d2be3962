r"""How many bits a pattern says about its word: `I(word; pattern)`, words equally likely, against `\log_2 V`.

Counting different patterns cannot tell information from noise: 192 draws of *one* word's random pattern are 192
different patterns. Mutual information can.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from numpy.typing import ArrayLike

from tokdyn import draws
from tokdyn.autoencoder.diagnose.inputs import word_mask
from tokdyn.autoencoder.quantizers.usage import active_share, dead_codes, perplexity
from tokdyn.checks import bad, describe_array, floating, hyperparameter, random_key, whole_number
from tokdyn.typing import EitherArray

__all__ = [
    "Information",
    "active_share",
    "cell_information",
    "dead_codes",
    "deterministic_information",
    "distinct_draws",
    "gaussian_information",
    "pattern_utilisation",
    "perplexity",
    "stochastic_information",
]


class Information(NamedTuple):
    """An amount of information.

    Attributes:
        bits: `I(word; pattern)` `[]`. An estimate may be below 0 by a few of its standard errors.
        standard_error: of the estimate, bits `[]`; 0 where it is exact.
        available: log2 of the number of words `[]`, which would tell all apart.
    """

    bits: jax.Array
    standard_error: jax.Array
    available: jax.Array


def stochastic_information(
    probabilities: ArrayLike, *, key: jax.Array, samples: int = 16, mask: ArrayLike | None = None
) -> Information:
    r"""Information of codes that are drawn, each cell by itself, from known probabilities.

    .. math:: I = \log_2 V - \frac1V \sum_i \mathrm{E}_{s \sim p_i} \log_2 \sum_j \frac{p_j(s)}{p_i(s)},
              \qquad p_j(s) = \prod_c p_j(s_c)

    estimated by drawing patterns of every word: unbiased. The draws of each word are independent of all others, so the
    standard error is `\sqrt{\sum_i v_i / S} / V` with `v_i` the variance over the S draws of word i.

    Args:
        probabilities: of each choice in each cell `[words, cells, choices]`.
        key: of the draws.
        samples: S, at least 2; static.
        mask: words that count, bool `[words]`; None keeps all.

    Returns:
        ``Information``.

    Raises:
        ValueError: another rank or dtype, or fewer than 2 samples.

    References:
        T. Cover, J. Thomas, Elements of information theory, 2nd edition, Wiley 2006, chapter 2.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from tokdyn.autoencoder.diagnose import stochastic_information
        >>> sure = jax.nn.one_hot(jnp.arange(4), 4)[:, None, :]  # one cell that says the word
        >>> float(stochastic_information(sure, key=jax.random.key(0)).bits)
        2.0
    """
    array = floating("probabilities", probabilities, axes="[words, cells, choices]")
    drawn = _draws(array, key, whole_number("samples", samples, at_least=2))
    flat = _log(array).reshape(len(array), -1)
    picked = jax.nn.one_hot(drawn, array.shape[-1], dtype=array.dtype).reshape(*drawn.shape[:2], -1)
    return _estimate(jnp.einsum("wsd,vd->wsv", picked, flat, precision="highest"), mask)


def gaussian_information(
    values: EitherArray, sigma: float | jax.Array, *, key: jax.Array, samples: int = 16, mask: ArrayLike | None = None
) -> Information:
    r"""Information of numbers read with Gaussian noise of a given standard deviation.

    Continuous values without noise say everything; the question is at which resolution. As for
    ``stochastic_information`` with `p_j(s) \propto \exp(-|s - x_j|^2 / 2 \sigma^2)`.

    Args:
        values: `[words, ...]`.
        sigma: `\sigma` `[]`, in the units of the values; above 0.
        key: of the noise.
        samples: draws of each word, at least 2; static.
        mask: words that count, bool `[words]`; None keeps all.

    Returns:
        ``Information``.

    Raises:
        ValueError: no numbers, a sigma that is not positive, or fewer than 2 samples.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from tokdyn.autoencoder.diagnose import gaussian_information
        >>> far = 100.0 * jnp.eye(8)
        >>> float(gaussian_information(far, 1.0, key=jax.random.key(0)).bits)
        3.0
    """
    if not hasattr(values, "dtype") or not jnp.issubdtype(values.dtype, jnp.floating) or values.ndim < 2:
        raise bad("values", "a floating-point array [words, ...]", describe_array(values))
    sigma = hyperparameter("sigma", sigma, above=0.0)
    random_key("key", key)
    samples = whole_number("samples", samples, at_least=2)
    flat = jnp.asarray(values).reshape(len(values), -1) / sigma
    flat = flat - flat.mean(axis=0)  # differences are what counts; far from the origin they would lose digits
    noise = draws.normal(key, (len(flat), samples, flat.shape[1]), flat.dtype)
    # -|x_i + n - x_j|^2 / 2 up to a term in (x_i, n) alone, which cancels.
    read = flat[:, None, :] + noise
    scores = jnp.einsum("wsd,vd->wsv", read, flat, precision="highest") - 0.5 * jnp.sum(flat * flat, axis=-1)
    return _estimate(scores, mask)


def deterministic_information(indices: ArrayLike, *, mask: ArrayLike | None = None) -> Information:
    r"""Information of codes that are functions of the word: exact, from the patterns that coincide.

    `I = \log_2 V - \frac1V \sum_i \log_2 n_i`, where `n_i` words share the pattern of word i.

    Args:
        indices: integers `[words, cells]` or `[words, cells, codebooks]`.
        mask: words that count, bool `[words]`; None keeps all.

    Returns:
        ``Information`` with a standard error of 0.

    Raises:
        ValueError: no integers, or another rank.

    Example:
        >>> import jax.numpy as jnp
        >>> from tokdyn.autoencoder.diagnose import deterministic_information
        >>> float(deterministic_information(jnp.array([[0, 1], [0, 1], [1, 1], [2, 0]])).bits)
        1.5
    """
    array = jnp.asarray(indices)
    if array.ndim not in (2, 3) or not jnp.issubdtype(array.dtype, jnp.integer):
        raise bad("indices", "integers [words, cells] or [words, cells, codebooks]", describe_array(array))
    kept = word_mask("mask", mask, len(array))
    sharing = jnp.sum(_coincide(array) & kept, axis=1)
    available = jnp.log2(jnp.sum(kept).astype(jnp.result_type(float)))
    lost = jnp.sum(jnp.where(kept, jnp.log2(jnp.maximum(sharing, 1).astype(available.dtype)), 0.0)) / jnp.sum(kept)
    return Information(available - lost, jnp.zeros_like(lost), available)


def cell_information(probabilities: ArrayLike, *, mask: ArrayLike | None = None) -> jax.Array:
    r"""Information of each cell alone, in bits: exact. Their sum is an upper bound of the pattern's.

    `I_c = H(\frac1V \sum_i p_i) - \frac1V \sum_i H(p_i)`; given the word the cells are independent, and
    `H(s) \le \sum_c H(s_c)`, so `I \le \sum_c I_c`.

    Args:
        probabilities: `[words, cells, choices]`.
        mask: words that count, bool `[words]`; None keeps all.

    Returns:
        `[cells]`.

    Raises:
        ValueError: another rank or dtype.
    """
    array = floating("probabilities", probabilities, axes="[words, cells, choices]")
    kept = word_mask("mask", mask, len(array)).astype(array.dtype)
    mean = jnp.tensordot(kept, array, axes=1) / jnp.sum(kept)
    # sum p ln(p / q) = sum q ((1 + d) ln(1 + d) - d) with d = p / q - 1, every term of second order: the published
    # start has 0.00003 bits a cell, and a difference of entropies would lose them in rounding.
    some = mean > 0
    change = jnp.where(some, array / jnp.where(some, mean, 1.0) - 1.0, 0.0)
    is_lost = change <= -1.0
    terms = (1.0 + change) * jnp.log1p(jnp.where(is_lost, 0.0, change)) - change
    divergence = jnp.sum(mean * terms, axis=-1)
    return jnp.tensordot(kept, divergence, axes=1) / jnp.sum(kept) / jnp.log(2.0)


def pattern_utilisation(bits: ArrayLike, num_words: float | jax.Array) -> jax.Array:
    """The share of the words that patterns with so many bits could tell apart: `2^bits / V`.

    Args:
        bits: `I(word; pattern)` `[]`.
        num_words: V `[]`.

    Returns:
        `[]`, from about 1 / V to 1.

    Example:
        >>> from tokdyn.autoencoder.diagnose import pattern_utilisation
        >>> float(pattern_utilisation(2.0, 16))
        0.25
    """
    return 2.0 ** jnp.asarray(bits, jnp.result_type(float)) / num_words


def distinct_draws(probabilities: ArrayLike, *, key: jax.Array, mask: ArrayLike | None = None) -> jax.Array:
    """The published notebook's "utilisation": the share of different patterns among one draw of every word.

    For contrast only: it is near 1 for patterns that say nothing.

    Args:
        probabilities: `[words, cells, choices]`.
        key: of the draws.
        mask: words that count, bool `[words]`; None keeps all.

    Returns:
        `[]`.

    Raises:
        ValueError: another rank or dtype.
    """
    array = floating("probabilities", probabilities, axes="[words, cells, choices]")
    kept = word_mask("mask", mask, len(array))
    sharing = jnp.sum(_coincide(_draws(array, key, 1)[:, 0]) & kept, axis=1)
    return jnp.sum(jnp.where(kept, 1.0 / jnp.maximum(sharing, 1), 0.0)) / jnp.sum(kept)


def _draws(probabilities: jax.Array, key: jax.Array, samples: int) -> jax.Array:
    """Choices `[words, samples, cells]`."""
    random_key("key", key)
    words, cells, choices = probabilities.shape
    tiny = jnp.finfo(probabilities.dtype).tiny
    uniform = draws.uniform(key, (words, samples, cells, choices), probabilities.dtype)
    noise = -jnp.log(-jnp.log(jnp.maximum(uniform, tiny)))
    return jnp.argmax(jnp.where(probabilities > 0, _log(probabilities), -jnp.inf)[:, None] + noise, axis=-1)


def _estimate(scores: jax.Array, mask: Any) -> Information:
    """From log-likelihoods `[word, sample, other word]` of samples, up to a term without the last axis."""
    kept = word_mask("mask", mask, len(scores))
    total = jax.nn.logsumexp(jnp.where(kept, scores, -jnp.inf), axis=-1)
    own = jnp.einsum("wsw->ws", scores)
    number = jnp.sum(kept).astype(scores.dtype)
    available = jnp.log2(number)
    bits = available - (total - own) / jnp.log(2.0)
    variances = jnp.var(bits, axis=1, ddof=1) / bits.shape[1]
    error = jnp.sqrt(jnp.sum(jnp.where(kept, variances, 0.0))) / number
    return Information(jnp.sum(jnp.where(kept, bits.mean(axis=1), 0.0)) / number, error, available)


def _coincide(indices: jax.Array) -> jax.Array:
    """Which words have the same pattern, bool `[words, words]`."""
    flat = indices.reshape(len(indices), -1)
    return jnp.all(flat[:, None] == flat[None, :], axis=-1)


def _log(probabilities: jax.Array) -> jax.Array:
    return jnp.log(jnp.maximum(probabilities, jnp.finfo(probabilities.dtype).tiny))
