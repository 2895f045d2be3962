"""What a model answers, and what an answer is worth: dominance, spread, accuracy beside its ceiling and its chance."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from numpy.typing import ArrayLike

from tokdyn.autoencoder.diagnose.inputs import share_where, word_frequencies, word_ids, word_mask
from tokdyn.checks import bad, describe_array, whole_number


def prediction_counts(predicted: ArrayLike, num_words: int, *, mask: ArrayLike | None = None) -> jax.Array:
    """How often each word is predicted.

    Args:
        predicted: numbers of words `[items]`.
        num_words: static.
        mask: items that count, bool `[items]`; None keeps all.

    Returns:
        `[words]` int32.

    Raises:
        ValueError: no integers, one outside 0 to num_words - 1, or a mask of another shape.
    """
    num_words = whole_number("num_words", num_words, at_least=1)
    predicted = word_ids("predicted", predicted, num_words)
    kept = word_mask("mask", mask, len(predicted))
    return jnp.zeros(num_words, jnp.int32).at[predicted].add(kept.astype(jnp.int32))


def dominant_share(predicted: ArrayLike, num_words: int, *, mask: ArrayLike | None = None) -> jax.Array:
    """The share of the commonest prediction: 1 is complete collapse.

    `max_w n_w / n`. Over the words, each once, a model that tells all apart has 1 / words.

    Args:
        predicted: numbers of words `[items]`.
        num_words: static.
        mask: items that count, bool `[items]`; None keeps all.

    Returns:
        `[]`, from 1 / num_words to 1; 0 where no item counts.

    Raises:
        ValueError: see ``prediction_counts``.

    Example:
        >>> import jax.numpy as jnp
        >>> from tokdyn.autoencoder.diagnose import dominant_share
        >>> float(dominant_share(jnp.array([3, 3, 3, 0]), 5))
        0.75
    """
    counts = prediction_counts(predicted, num_words, mask=mask)
    return jnp.max(counts) / jnp.maximum(jnp.sum(counts), 1)


def prediction_entropy(predicted: ArrayLike, num_words: int, *, mask: ArrayLike | None = None) -> jax.Array:
    """Entropy of the predictions, in bits.

    `-sum_w (n_w / n) log2 (n_w / n)`.

    Args:
        predicted: numbers of words `[items]`.
        num_words: static.
        mask: items that count, bool `[items]`; None keeps all.

    Returns:
        `[]`, from 0 (one answer to everything) to log2 num_words.

    Raises:
        ValueError: see ``prediction_counts``.

    Example:
        >>> import jax.numpy as jnp
        >>> from tokdyn.autoencoder.diagnose import prediction_entropy
        >>> float(prediction_entropy(jnp.array([0, 0, 1, 1]), 3))
        1.0
    """
    counts = prediction_counts(predicted, num_words, mask=mask)
    shares = counts / jnp.maximum(jnp.sum(counts), 1)
    return _entropy(shares) / jnp.log(2.0)


def distinct_predictions(predicted: ArrayLike, num_words: int, *, mask: ArrayLike | None = None) -> jax.Array:
    """How many different words are ever predicted.

    Args:
        predicted: numbers of words `[items]`.
        num_words: static.
        mask: items that count, bool `[items]`; None keeps all.

    Returns:
        `[]` int32.

    Raises:
        ValueError: see ``prediction_counts``.
    """
    return jnp.sum(prediction_counts(predicted, num_words, mask=mask) > 0, dtype=jnp.int32)


def unigram_entropy(frequencies: ArrayLike) -> jax.Array:
    """Entropy of the words' frequencies in nats: the best cross-entropy of an answer that ignores its input.

    Args:
        frequencies: or counts `[words]`.

    Returns:
        `[]`, from 0 to ln words.

    Raises:
        ValueError: no numbers of at least 0.
    """
    return _entropy(word_frequencies("frequencies", frequencies))


def frequency_baseline(frequencies: ArrayLike, items: ArrayLike | None = None) -> jax.Array:
    """Accuracy of always answering the commonest training word.

    Args:
        frequencies: or counts, of training `[words]`.
        items: numbers of words `[items]` to be judged on; None takes the training frequencies themselves.

    Returns:
        `[]`.

    Raises:
        ValueError: no numbers of at least 0, or items outside the words.

    Example:
        >>> import jax.numpy as jnp
        >>> from tokdyn.autoencoder.diagnose import frequency_baseline
        >>> float(frequency_baseline(jnp.array([1.0, 3.0]))), float(frequency_baseline(jnp.array([1.0, 3.0]), [0, 0]))
        (0.75, 0.0)
    """
    shares = word_frequencies("frequencies", frequencies)
    if items is None:
        return jnp.max(shares)
    return jnp.mean(word_ids("items", items, len(shares)) == jnp.argmax(shares))


class Accuracy(NamedTuple):
    """How often a model is right, beside what could be had, and what costs nothing.

    Attributes:
        types: share of the training words, each once, that come back.
        tokens: the same, each word weighted by its frequency.
        validation: share of the validation tokens; NaN without any.
        ceiling: share of them that occur in training at all: no model can be above.
        uniform: chance for types: a guess.
        commonest: chance for tokens: always the commonest training word.
        constant: chance for validation: the same word there; NaN without any.
    """

    types: Any
    tokens: Any
    validation: Any
    ceiling: Any
    uniform: Any
    commonest: Any
    constant: Any

    def __str__(self) -> str:
        text = (
            f"types {self.types:.1%} (a guess {self.uniform:.1%}), "
            f"tokens {self.tokens:.1%} (always the commonest {self.commonest:.1%})"
        )
        if math.isnan(self.validation):
            return text
        return (
            f"{text}, validation {self.validation:.1%} of at most {self.ceiling:.1%} "
            f"(always the commonest {self.constant:.1%})"
        )


def accuracy(predicted: ArrayLike, frequencies: ArrayLike, validation: ArrayLike | None = None) -> Accuracy:
    """Accuracy over types, tokens and a validation text, with ceiling and chance.

    Args:
        predicted: what comes back for each word `[words]`.
        frequencies: or counts of the words in training `[words]`; 0 for those that never occur.
        validation: numbers of words `[items]`; an unknown word has a number that never occurs in training.

    Returns:
        ``Accuracy`` of `[]`; its text form prints the ceiling and the chance.

    Raises:
        ValueError: shapes that differ, or numbers outside the words.

    Example:
        >>> import jax.numpy as jnp
        >>> from tokdyn.autoencoder.diagnose import accuracy
        >>> print(accuracy(jnp.array([0, 1, 1]), jnp.array([3, 0, 1]), jnp.array([0, 1, 1, 2])))
        types 50.0% (a guess 50.0%), tokens 75.0% (always the commonest 75.0%), validation 25.0% of at most 50.0% \
(always the commonest 25.0%)
    """
    shares = word_frequencies("frequencies", frequencies)
    predicted = word_ids("predicted", predicted, len(shares))
    if len(predicted) != len(shares):
        raise bad("predicted", f"one word for each of the {len(shares)} frequencies", describe_array(predicted))
    known, right = shares > 0, predicted == jnp.arange(len(shares))
    types, tokens = share_where(right, known), jnp.sum(jnp.where(right, shares, 0.0))
    uniform = 1.0 / jnp.sum(known)
    if validation is None:
        return Accuracy(types, tokens, jnp.nan, jnp.nan, uniform, jnp.max(shares), jnp.nan)
    items = word_ids("validation", validation, len(shares))
    # An unknown word that the model happens to give back is still no word that it was taught.
    reached, ceiling = jnp.mean((right & known)[items]), jnp.mean(known[items])
    return Accuracy(types, tokens, reached, ceiling, uniform, jnp.max(shares), frequency_baseline(shares, items))


def _entropy(shares: jax.Array) -> jax.Array:
    """Nats; 0 log 0 is 0."""
    some = shares > 0
    return -jnp.sum(jnp.where(some, shares * jnp.log(jnp.where(some, shares, 1.0)), 0.0))
