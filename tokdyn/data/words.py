"""Small corpora of words: your own text, one with the published counts in our own words, and any size by Zipf's law.

An autoencoder of words is trained and evaluated on a corpus. A corpus has a ceiling: all words that are missing from
the training text share one id that training never sees, so that no model can name them.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.resources
import itertools
import math
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import jax
import numpy as np

from tokdyn import checks
from tokdyn.data import texts

PAD, UNKNOWN, END = 0, 1, 2
SPECIAL = ("<pad>", "<unk>", "<eos>")

_CONSONANTS, _VOWELS, _ENDINGS = "bdfhjklmnrtvwy", "aeiou", ("", "n", "r", "s", "l", "t", "m", "d")
_SYLLABLES = tuple(consonant + vowel for consonant in _CONSONANTS for vowel in _VOWELS)

# The number of occurrences of each word in the published training texts, most frequent first; the sentence lengths.
_COUNTS = {
    "large": (12, 6, 5, 4, 3, 3, 3, 3) + (2,) * 21 + (1,) * 160,
    "small": (6, 4, 4, 4, 3, 3, 2, 2, 2) + (1,) * 39,
}
_LENGTHS = {"large": (5,) * 41 + (4,) * 9, "small": (5,) * 13 + (4,)}
# For the validation text: the number of sentences, of tokens "the", of other known tokens, and of unknown tokens.
_VALIDATION = {"large": ((5,) * 4 + (4,) * 6, 2, 19, 23), "small": ((5, 4, 4), 1, 7, 5)}


@dataclasses.dataclass(frozen=True, eq=False)
class Corpus:
    """A training and a validation text as ids of words.

    Attributes:
        words: the word of each id; the first three are ``<pad>``, ``<unk>`` and ``<eos>``.
        train: ids of the training text `[T]`, int32.
        validation: ids of the validation text `[S]`, int32; 1 for a word that the training text lacks.
        train_lengths: words in each sentence of ``train`` `[sentences]`, int32, or None if the text has no sentences.
        validation_lengths: the same for ``validation``.
    """

    words: tuple[str, ...]
    train: np.ndarray
    validation: np.ndarray
    train_lengths: np.ndarray | None = None
    validation_lengths: np.ndarray | None = None

    @property
    def train_sentences(self) -> tuple[np.ndarray, ...]:
        """Ids of each sentence of the training text, `[words]` int32 each.

        Raises:
            ValueError: the text has no sentences (``zipf_corpus`` draws words one by one).
        """
        return _cut("train_sentences", self.train, self.train_lengths)

    @property
    def validation_sentences(self) -> tuple[np.ndarray, ...]:
        """Ids of each sentence of the validation text, `[words]` int32 each.

        Raises:
            ValueError: the text has no sentences (``zipf_corpus`` draws words one by one).
        """
        return _cut("validation_sentences", self.validation, self.validation_lengths)

    @property
    def vocabulary_size(self) -> int:
        """`V`, including the three special words."""
        return len(self.words)

    @property
    def counts(self) -> np.ndarray:
        """How often each word occurs in the training text `[V]` int64."""
        return np.bincount(self.train, minlength=self.vocabulary_size)

    @property
    def frequencies(self) -> np.ndarray:
        """Share of each word in the training text `[V]` float64; the sum is 1."""
        return self.counts / len(self.train)

    @property
    def types(self) -> np.ndarray:
        """Ids that occur in the training text `[types]`, int32, most frequent first."""
        order = np.argsort(-self.counts, kind="stable")
        return order[: np.count_nonzero(self.counts)].astype(np.int32)

    @property
    def ceiling(self) -> float:
        """Share of the validation text that is known: the best accuracy that any model can have there."""
        return float(np.mean(self.validation != UNKNOWN))

    @property
    def unknown_share(self) -> float:
        """Share of the validation text that is unknown, ``1 - ceiling``."""
        return float(np.mean(self.validation == UNKNOWN))

    @property
    def constant_accuracy(self) -> float:
        """Validation accuracy of a model that always answers the commonest training word."""
        return float(np.mean(self.validation == self.types[0]))


def corpus(train: Iterable[str], validation: Iterable[str]) -> Corpus:
    """A corpus from sentences: lower-case words separated by white space, numbered by frequency, then alphabetically.

    Args:
        train: sentences; their words are the vocabulary. A sentence without words is left out.
        validation: sentences; words that ``train`` lacks become id 1.

    Returns:
        A ``Corpus``.

    Raises:
        ValueError: a text without words, no known validation word, or a special word in ``train``.

    Example:
        >>> from tokdyn.data import words
        >>> text = words.corpus(["The sun warms the stone"], ["the cold stone"])
        >>> text.words[3:], text.train.tolist(), text.validation.tolist()
        (('the', 'stone', 'sun', 'warms'), [3, 5, 6, 3, 4], [3, 1, 4])
        >>> round(text.ceiling, 3), round(text.constant_accuracy, 3)
        (0.667, 0.333)
        >>> [sentence.tolist() for sentence in text.train_sentences]
        [[3, 5, 6, 3, 4]]
    """
    (tokens, lengths), (held_out, held_out_lengths) = _tokens("train", train), _tokens("validation", validation)
    if not tokens:
        raise checks.bad("train", "sentences with at least one word", "an empty corpus")
    if not held_out:
        raise checks.bad("validation", "sentences with at least one word", "no validation token")
    occurrences = Counter(tokens)
    for special in SPECIAL:
        if special in occurrences:
            raise checks.bad("train", f"words other than {', '.join(SPECIAL)}", f"{special!r}")
    words = SPECIAL + tuple(sorted(occurrences, key=lambda word: (-occurrences[word], word)))
    ids = {word: number for number, word in enumerate(words) if number >= len(SPECIAL)}
    numbers = np.array([ids.get(word, UNKNOWN) for word in held_out], np.int32)
    if np.all(numbers == UNKNOWN):
        raise checks.bad("validation", "at least one word of the training text", "an all-unknown validation set")
    return Corpus(words, np.array([ids[word] for word in tokens], np.int32), numbers, lengths, held_out_lengths)


def read_corpus(
    path: str | os.PathLike[str],
    *,
    validation: float | str | os.PathLike[str] = 0.1,
    sentences: texts.Cut = "auto",
    most_words: int | None = None,
    key: int | jax.Array = 0,
) -> Corpus:
    r"""A text of your own: a plain text file, read as sentences, some of which are kept for validation.

    Words stand between white space, in lower case and without punctuation around them ("Don't!" is "don't"). A language
    that is written without spaces needs to be cut into words before.

    Args:
        path: a file in UTF-8.
        validation: share of the sentences that are drawn for validation, at least one of them; or another such file.
        sentences: ``"lines"`` for one sentence a line, ``"punctuation"`` for one up to each full stop, question or
            exclamation mark and empty line; ``"auto"`` takes lines where more than one has words.
        most_words: only so many words, the commonest, make the vocabulary; others are left out of the training text,
            and unknown (id 1) in validation, as all words are that training lacks. None takes all.
        key: a whole number or a JAX key, for the choice of validation sentences.

    Returns:
        A ``Corpus`` with its sentences, the same for the same file and key.

    Raises:
        ValueError: no file, one that is empty, binary or not in UTF-8, fewer than two sentences or different words, a
            validation text that training knows no word of, or a number out of range.

    Example:
        >>> import pathlib, tempfile
        >>> from tokdyn.data import words
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "poem.txt"
        >>> _ = path.write_text("The sun warms the stone.\nThe stone, too, is warm!\nThe sun sets.\n")
        >>> text = words.read_corpus(path, validation=0.3)
        >>> text.words[3:6], len(text.train_sentences), len(text.validation_sentences)
        (('the', 'stone', 'is'), 2, 1)
    """
    found = texts.read_sentences("path", path, sentences)
    if isinstance(validation, (str, os.PathLike)):
        train, held_out = found, texts.read_sentences("validation", validation, sentences)
    else:
        if not isinstance(validation, (int, float, np.number)) or not 0.0 < float(validation) < 1.0:
            raise checks.bad("validation", "a share above 0 and below 1, or a text file", repr(validation))
        if len(found) < 2:
            raise checks.bad("path", "at least two sentences, one of them for validation", f"{path}, which has one")
        number = min(max(1, round(float(validation) * len(found))), len(found) - 1)
        chosen = set(_generator(key).permutation(len(found))[:number].tolist())
        train = [sentence for place, sentence in enumerate(found) if place not in chosen]
        held_out = [sentence for place, sentence in enumerate(found) if place in chosen]
    occurrences = Counter(itertools.chain.from_iterable(sentence.split() for sentence in train))
    if most_words is not None:
        most_words = checks.whole_number("most_words", most_words, at_least=2)
        ranked = sorted(occurrences, key=lambda word: (-occurrences[word], word))[:most_words]
        occurrences = Counter({word: occurrences[word] for word in ranked})
        train = [" ".join(word for word in sentence.split() if word in occurrences) for sentence in train]
    if len(occurrences) < 2:
        only = next(iter(occurrences))
        raise checks.bad("path", "a training text of at least two different words", f"{path}, which has only {only!r}")
    return corpus(train, held_out)


def published_sentences(size: str = "large") -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The training and validation sentences behind ``published_shape``: real words, but not grammatical sentences.

    Args:
        size: ``"large"`` or ``"small"``.

    Returns:
        ``(train, validation)``, tuples of sentences.

    Raises:
        ValueError: another size.
    """
    checks.choice("size", size, ("large", "small"))
    counts, vocabulary = _COUNTS[size], english_words()
    tokens = [word for word, count in zip(vocabulary, counts, strict=False) for _ in range(count)]
    lengths, num_commonest, num_known, num_unknown = _VALIDATION[size]
    known = vocabulary[1 : 1 + 2 * num_known : 2]
    unknown = vocabulary[len(counts) : len(counts) + num_unknown]
    held_out = [vocabulary[0]] * num_commonest + list(known) + list(unknown)
    return _dealt(tokens, _LENGTHS[size]), _dealt(held_out, lengths)


def published_shape(size: str = "large") -> Corpus:
    """A corpus of our own words with exactly the published notebook's counts.

    | | sentences | tokens | types | seen once | "the" | validation: tokens | unknown | "the" | ceiling |
    |---|---|---|---|---|---|---|---|---|---|
    | large | 50 | 241 | 189 | 160 | 12 | 44 | 23 | 2 | 21/44 |
    | small | 14 | 69 | 48 | 39 | 6 | 13 | 5 | 1 | 8/13 |

    The frequencies of the other words (and of "the" in the small corpus) are not published; those counts are ours.

    Args:
        size: ``"large"`` (V = 192) or ``"small"`` (V = 51).

    Returns:
        A ``Corpus``, the same at every call.

    Raises:
        ValueError: another size.

    Example:
        >>> from tokdyn.data import words
        >>> text = words.published_shape()
        >>> text.vocabulary_size, len(text.types), round(100 * text.ceiling, 2)
        (192, 189, 47.73)
    """
    return corpus(*published_sentences(size))


def zipf_corpus(
    num_types: int,
    *,
    num_tokens: int | None = None,
    num_validation: int | None = None,
    exponent: float = 1.0,
    key: int | jax.Array = 0,
) -> Corpus:
    r"""A corpus of any size whose word frequencies are as unequal as those of a natural language.

    .. math:: n_r = \max(1, \lfloor c / r^a \rfloor)

    with `c` such that the counts add up to ``num_tokens`` (words that reach their next count at the same `c` get it in
    order of rank until the sum is reached). Real words come first, followed by pseudo-words.

    Args:
        num_types: number of distinct words, besides the three special ones.
        num_tokens: number of tokens in the training text; by default ten per type.
        num_validation: number of tokens in the validation text; by default a tenth of ``num_tokens``.
        exponent: `a`; 0 gives every word the same frequency.
        key: an integer or a JAX key, for the order of the training text and the draw of the validation text.

    Returns:
        A ``Corpus`` in which every type occurs, and no validation word is unknown.

    Raises:
        ValueError: a size below 1, fewer tokens than types, a negative exponent.

    References:
        G. K. Zipf, Human behavior and the principle of least effort, 1949.

    Example:
        >>> from tokdyn.data import words
        >>> text = words.zipf_corpus(1000)
        >>> text.vocabulary_size, len(text.train), text.counts[3:6].tolist(), text.ceiling
        (1003, 10000, [1405, 702, 468], 1.0)
    """
    num_types = checks.whole_number("num_types", num_types, at_least=1)
    if num_tokens is None:
        num_tokens = 10 * num_types
    num_tokens = checks.whole_number("num_tokens", num_tokens, at_least=num_types)
    if num_validation is None:
        num_validation = max(1, num_tokens // 10)
    num_validation = checks.whole_number("num_validation", num_validation, at_least=1)
    exponent = float(checks.one_number("exponent", exponent, at_least=0.0))

    real = english_words()[:num_types]
    names = real + pseudo_words(num_types - len(real))
    counts = _zipf_counts(num_types, num_tokens, exponent)
    ranks = sorted(range(num_types), key=lambda rank: (-counts[rank], names[rank]))
    counts = counts[ranks]
    ids = np.arange(num_types, dtype=np.int32) + len(SPECIAL)
    generator = _generator(key)
    train = generator.permutation(np.repeat(ids, counts))
    validation = train[generator.integers(0, num_tokens, num_validation)]
    return Corpus(SPECIAL + tuple(names[rank] for rank in ranks), train, validation)


@functools.cache
def english_words() -> tuple[str, ...]:
    """About three hundred common English words in lower case, most common first."""
    source = importlib.resources.files("tokdyn.data").joinpath("words.txt")
    return tuple(source.read_text(encoding="utf-8").split())


def pseudo_words(number: int) -> tuple[str, ...]:
    """Pronounceable words without meaning, made of two-letter syllables and sometimes a final consonant.

    They are distinct from each other and from ``english_words``; the first ones are the same for every number.

    Args:
        number: number of words.

    Returns:
        Words in lower case, letters only.

    Raises:
        ValueError: a number below 0.

    Example:
        >>> from tokdyn.data import words
        >>> words.pseudo_words(4)
        ('baba', 'honot', 'miher', 'vavud')
    """
    number = checks.whole_number("number", number, at_least=0)
    real = set(english_words())
    return tuple(itertools.islice((word for word in _all_pseudo_words() if word not in real), number))


def _all_pseudo_words() -> Iterable[str]:
    """All words of two syllables, then of three, and so on, each set in an order that mixes first letters."""
    for num_syllables in itertools.count(2):
        size = len(_SYLLABLES) ** num_syllables * len(_ENDINGS)
        stride = size * 618 // 1000
        while math.gcd(stride, size) > 1:  # without a common factor, each word is visited once
            stride += 1
        for number in range(size):
            rest, ending = divmod(number * stride % size, len(_ENDINGS))
            syllables = []
            for _ in range(num_syllables):
                rest, syllable = divmod(rest, len(_SYLLABLES))
                syllables.append(_SYLLABLES[syllable])
            yield "".join(syllables) + _ENDINGS[ending]


def _tokens(name: str, sentences: Iterable[str]) -> tuple[list[str], np.ndarray]:
    """All words in order, and how many each sentence has that has any."""
    if isinstance(sentences, str):
        raise checks.bad(name, "a sequence of sentences", "one string")
    split = [words for sentence in sentences if (words := sentence.lower().split())]
    return list(itertools.chain.from_iterable(split)), np.array([len(words) for words in split], np.int32)


def _cut(name: str, ids: np.ndarray, lengths: np.ndarray | None) -> tuple[np.ndarray, ...]:
    if lengths is None:
        raise checks.bad(name, "a text made of sentences (td.data.corpus, read_corpus)", "one without")
    return tuple(np.split(ids, np.cumsum(lengths)[:-1]))


def _dealt(tokens: Sequence[str], lengths: Sequence[int]) -> tuple[str, ...]:
    """Deal tokens like cards to sentences of given lengths, so that copies of a word go to different sentences."""
    sentences: list[list[str]] = [[] for _ in lengths]
    waiting = iter(tokens)
    for place in range(max(lengths)):
        for sentence, length in zip(sentences, lengths, strict=True):
            if place < length:
                sentence.append(next(waiting))
    return tuple(" ".join(sentence) for sentence in sentences)


def _zipf_counts(num_types: int, num_tokens: int, exponent: float) -> np.ndarray:
    weights = np.arange(1, num_types + 1, dtype=np.float64) ** -exponent

    def counts(scale: float) -> np.ndarray:
        return np.maximum(1, np.floor(scale * weights)).astype(np.int64)

    low, high = 0.0, 2.0 * num_tokens  # the first word alone would have too many
    for _ in range(100):  # bisect until the two are neighbouring floats
        middle = 0.5 * (low + high)
        low, high = (middle, high) if counts(middle).sum() <= num_tokens else (low, middle)
    found, above = counts(low), counts(high)
    missing = num_tokens - int(found.sum())
    found[np.flatnonzero(above > found)[:missing]] += 1
    return found


def _generator(key: Any) -> np.random.Generator:
    if hasattr(key, "dtype") and not isinstance(key, np.integer):
        checks.random_key("key", key)
        is_new = jax.dtypes.issubdtype(key.dtype, jax.dtypes.prng_key)
        return np.random.default_rng(np.asarray(jax.random.key_data(key) if is_new else key))
    return np.random.default_rng(checks.whole_number("key", key, at_least=0, at_most=2**63 - 1))
