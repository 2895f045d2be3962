"""Words by their letters: the pattern is made of the spelling, so that words never seen have one too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from tokdyn import checks
from tokdyn.autoencoder import layers
from tokdyn.autoencoder.base import Variables
from tokdyn.autoencoder.encoders import common
from tokdyn.dynamics.parts import part, static

ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789'-.<>"
# Numbers of characters: 0 where the word has ended, 1 for any that the alphabet lacks, then the alphabet.
_BLANK, _OTHER, _FIRST = 0, 1, 2


class _Characters(layers.Module):
    of: Characters

    @layers.compact
    def __call__(self, spellings: jax.Array, *, train: bool) -> jax.Array:
        of = self.of
        letters = common.table_of_vectors(self, "embedding", (of.num_characters, of.embedding), of.embedding_std)
        places = common.table_of_vectors(self, "places", (of.length, of.embedding), of.place_std)
        exists = (spellings != _BLANK)[..., None]
        line = jnp.where(exists, letters[spellings] + places, 0.0)
        for number in range(of.depth):
            if number:
                line = jnp.tanh(line)
            # Beyond a word's end there is nothing, whatever the length of the table: as at the border.
            line = jnp.where(exists, common.convolution(of.width, of.hidden_gain if number else 1.0)(line), 0.0)
        # By the root of the length, not the length: long words have patterns of the same scale.
        word = line.sum(-2) / jnp.sqrt(jnp.maximum(exists.sum(-2), 1).astype(line.dtype))
        return layers.Mlp((of.width,), of.cells * of.channels, of.hidden_gain, common.fan_in(of.output_gain))(
            word, train=train
        )


@part
class Characters(common.WordEncoder):
    """See ``characters``."""

    compositional: ClassVar[bool] = True
    spellings: jax.Array
    embedding_std: jax.Array
    place_std: jax.Array
    hidden_gain: jax.Array
    output_gain: jax.Array
    vocabulary_size: int = static()
    cells: int = static()
    channels: int = static()
    length: int = static()
    num_characters: int = static()
    embedding: int = static(default=32)
    width: int = static(default=128)
    depth: int = static(default=2)

    def module(self) -> layers.Module:
        return _Characters(self)

    def inputs(self, ids: jax.Array) -> jax.Array:
        return jnp.asarray(self.spellings)[ids]

    def encode_spelling(
        self, variables: Variables, spellings: ArrayLike, *, key: jax.Array | None = None, train: bool = False
    ) -> tuple[jax.Array, Any]:
        """Any words, known or not.

        Args:
            variables: from ``init`` or training.
            spellings: `[batch, length]`, from ``spell``.
            key: as in ``apply``.
            train: as in ``apply``.

        Returns:
            (`[batch, cells, channels]`, state).

        Raises:
            ValueError: spellings of another length, or characters that are not in the alphabet.
        """
        spellings = _checked(spellings, self.num_characters)
        if spellings.shape[1] != self.length:
            raise checks.bad("spellings", f"words of length {self.length}", f"length {spellings.shape[1]}")
        return self.encode(variables, spellings, key=key, train=train)


def characters(
    *,
    spellings: ArrayLike,
    cells: int,
    channels: int,
    num_characters: int = _FIRST + len(ALPHABET),
    embedding: int = 32,
    width: int = 128,
    depth: int = 2,
    embedding_std: float = 1.0,
    place_std: float = 0.5,
    hidden_gain: float = 2.0**0.5,
    output_gain: float = 2.0**0.5,
) -> Characters:
    r"""A vector for each letter and each place, convolutions along the word, their sum, and dense layers.

    .. math:: X = \mathrm{MLP}\Big(\frac{1}{\sqrt n} \sum_{t \le n} \mathrm{conv}(c_{w_t} + p_t)_t\Big)

    Convolutions over three letters with tanh between them see syllables, the places tell anagrams apart. Nothing is
    learned for a word: one that training never saw has a pattern too (``encode_spelling``).

    Args:
        spellings: of the vocabulary's words `[vocabulary, length]`, from ``spell``.
        cells: of the pattern.
        channels: numbers in each cell.
        num_characters: numbers of characters are below it; by default that of ``ALPHABET``.
        embedding: length of the vectors of letters and places.
        width: of the hidden layers.
        depth: convolutions, at least 1.
        embedding_std: initial standard deviation of the letters' vectors `[]`.
        place_std: that of the places' vectors `[]`.
        hidden_gain: gain of the hidden layers' weights after the first `[]`.
        output_gain: gain of the last layer's weights `[]`; see ``common.fan_in``.

    Returns:
        An encoder of as many words as were spelled.

    Raises:
        ValueError: spellings of another form, a size below 1, or a negative scale.

    References:
        Y. Kim et al., Character-aware neural language models, AAAI 2016.

    Example:
        >>> import jax
        >>> from tokdyn.autoencoder import encoders
        >>> encoder = encoders.characters(spellings=encoders.spell(["cat", "dog"], 6), cells=9, channels=2)
        >>> variables = encoder.init(jax.random.key(0))
        >>> encoder.encode_spelling(variables, encoders.spell(["cog", "dot", "god"], 6))[0].shape
        (3, 9, 2)
    """
    sizes = common.check_sizes(
        cells=cells, channels=channels, num_characters=num_characters, embedding=embedding, width=width, depth=depth
    )
    spellings = _checked(spellings, sizes["num_characters"])
    scales = common.check_scales(
        embedding_std=embedding_std, place_std=place_std, hidden_gain=hidden_gain, output_gain=output_gain
    )
    return Characters(
        spellings=spellings, **scales, **sizes, vocabulary_size=spellings.shape[0], length=spellings.shape[1]
    )


def spell(words: Sequence[str], length: int, *, alphabet: str = ALPHABET) -> np.ndarray:
    """Words as numbers of their characters, in lower case.

    Args:
        words: to be spelled.
        length: of the table; shorter words are filled up with 0.
        alphabet: its characters are 2, 3, ...; any other is 1.

    Returns:
        `[words, length]` int32.

    Raises:
        ValueError: a word longer than the table, or no sequence of strings.

    Example:
        >>> from tokdyn.autoencoder import encoders
        >>> encoders.spell(["ab!"], 5).tolist()
        [[2, 3, 1, 0, 0]]
    """
    length = checks.whole_number("length", length, at_least=1)
    if isinstance(words, str):
        raise checks.bad("words", "a sequence of strings", "one string")
    numbers = {character: number for number, character in enumerate(alphabet, start=_FIRST)}
    spelled = np.zeros((len(words), length), np.int32)
    for row, word in zip(spelled, words, strict=True):
        if len(word) > length:
            raise checks.bad("words", f"words of at most {length} characters", f"{word!r}, which has {len(word)}")
        row[: len(word)] = [numbers.get(character, _OTHER) for character in word.lower()[: len(word)]]
    return spelled


def _checked(spellings: Any, num_characters: int) -> jax.Array:
    try:
        spellings = common.check_ids(spellings, num_characters)
    except ValueError as error:
        raise ValueError(str(error).replace("ids:", "spellings:", 1)) from None
    if spellings.ndim != 2 or 0 in spellings.shape:
        raise checks.bad("spellings", "an array [words, length]", checks.describe_array(spellings))
    return spellings
