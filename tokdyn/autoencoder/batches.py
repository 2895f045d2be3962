"""Batches of words: by frequencies or a power of them, from the commonest to the rare (a curriculum), by sentences."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from tokdyn import checks, draws
from tokdyn.data.words import PAD, Corpus
from tokdyn.dynamics.parts import part, static
from tokdyn.dynamics.schedules import Scalar, resolved
from tokdyn.train import Masked


@part
class WordDraws:
    """See ``word_draws``."""

    frequencies: jax.Array
    power: jax.Array
    share: Any
    batch_size: int = static()

    def __call__(self, key: jax.Array, step: jax.Array | int) -> jax.Array:
        """The words of a step `[batch]` int32."""
        now = resolved(self, step)
        frequencies = jnp.asarray(now.frequencies, jnp.result_type(float))
        occurs = frequencies > 0
        # By rank, ties in the order of the vocabulary; at least one word, and all at a share of 1.
        rank = jnp.argsort(jnp.argsort(-frequencies, stable=True))
        allowed = occurs & (rank < jnp.maximum(1, jnp.ceil(now.share * jnp.sum(occurs))))
        weights = jnp.where(allowed, jnp.where(occurs, frequencies, 1.0) ** now.power, 0.0)
        cumulated = jnp.cumsum(weights) / jnp.sum(weights)
        found = jnp.searchsorted(cumulated, draws.uniform(key, (self.batch_size,), cumulated.dtype), side="right")
        # Rounding may leave the last sum below the largest draw: then it is the last word that is allowed.
        last = jnp.max(jnp.where(allowed, jnp.arange(len(weights)), 0))
        return jnp.minimum(found, last).astype(jnp.int32)


def word_draws(frequencies: ArrayLike, *, batch_size: int, power: float = 1.0, share: Scalar = 1.0) -> WordDraws:
    r"""Independent draws of words with probabilities `\propto f^p`, as ``data`` for ``train.fit``.

    Args:
        frequencies: f of the words `[vocabulary]`, counts or shares; a word of 0 is never drawn.
        batch_size: words of a step.
        power: p `[]`: 1 is the text itself, 0 makes all its words equally frequent.
        share: of the vocabulary that may occur, the commonest first `[]`; ``td.annealing(start=0.1, end=1.0,
            num_steps=100, shape="linear")`` is a curriculum over vocabulary size.

    Returns:
        A function ``(key, step) -> ids [batch]``, and a pytree whose numbers can be swept.

    Raises:
        ValueError: no frequencies, a negative one, none above 0, or a number out of range.

    References:
        Y. Bengio, J. Louradour, R. Collobert, J. Weston, Curriculum learning, ICML 2009.

    Example:
        >>> import jax
        >>> from tokdyn.autoencoder.batches import word_draws
        >>> draw = word_draws([0, 3, 1], batch_size=1000)
        >>> sorted(set(draw(jax.random.key(0), 0).tolist()))
        [1, 2]
    """
    if checks.is_concrete(frequencies):
        array = np.asarray(frequencies)
        if array.ndim != 1 or array.dtype.kind not in "iuf" or not len(array):
            raise checks.bad("frequencies", "numbers [vocabulary]", checks.describe_array(array))
        if not np.isfinite(array).all() or (array < 0).any() or not (array > 0).any():
            raise checks.bad("frequencies", "finite numbers of at least 0, some above", "others")
    return WordDraws(
        jnp.asarray(frequencies),
        checks.hyperparameter("power", power, at_least=0.0),
        checks.hyperparameter("share", share, above=0.0, below=1.0 + 1e-9),
        checks.whole_number("batch_size", batch_size, at_least=1),
    )


def sentences(text: Corpus) -> Masked:
    """A training text as ``data`` for ``train.fit`` whose items are whole sentences: a batch is the words of some.

    With ``batch_size=32, last_batch="keep"`` a step has the words of 32 sentences, and the last step of a pass those of
    the sentences that are left: what the published notebook did, in which 50 sentences made two steps. Each sentence is
    as long as the longest, so a text with a very long one computes mostly what is masked.

    Args:
        text: with sentences, as ``td.data.corpus`` and ``td.data.read_corpus`` make it.

    Returns:
        Ids `[sentences, longest]` int32, 0 where a sentence has ended, and a mask of that shape: True where a word is.

    Raises:
        ValueError: no corpus, or one without sentences.

    Example:
        >>> from tokdyn import autoencoder as ae
        >>> from tokdyn.data import words
        >>> data = ae.sentences(words.corpus(["the sun warms", "a stone"], ["the stone"]))
        >>> data.items.tolist(), data.mask.sum(axis=1).tolist()
        ([[6, 5, 7], [3, 4, 0]], [3, 2])
    """
    if not isinstance(text, Corpus):
        raise checks.bad("text", "a Corpus (see td.data.corpus)", f"a {type(text).__name__}")
    cut = text.train_sentences
    mask = np.arange(max(len(ids) for ids in cut)) < np.array([len(ids) for ids in cut])[:, None]
    items = np.full(mask.shape, PAD, np.int32)
    items[mask] = text.train
    return Masked(items, mask)  # type: ignore[arg-type]
