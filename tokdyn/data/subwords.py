"""Words in pieces: byte-pair merges learned from a list of words, and a generated vocabulary of known morphemes."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from tokdyn import checks

Merge = tuple[str, str]


def byte_pairs(words: Iterable[str], num_merges: int) -> tuple[Merge, ...]:
    """The merges of byte-pair encoding: the commonest pair of neighbouring pieces becomes one, again and again.

    Args:
        words: as often as they count.
        num_merges: at most so many; fewer where no pair is left.

    Returns:
        Pairs in the order of merging. Of equally common pairs the first in the alphabet is merged.

    Raises:
        ValueError: a string instead of words, or a negative number.

    References:
        R. Sennrich, B. Haddow, A. Birch, Neural machine translation of rare words with subword units, ACL 2016.

    Example:
        >>> from tokdyn.data import subwords
        >>> subwords.byte_pairs(["abab", "abc"], 2)
        (('a', 'b'), ('ab', 'ab'))
    """
    if isinstance(words, str):
        raise checks.bad("words", "a sequence of strings", "one string")
    number = checks.whole_number("num_merges", num_merges, at_least=0)
    counted = Counter(tuple(word) for word in words)
    merges: list[Merge] = []
    for _ in range(number):
        pairs: Counter[Merge] = Counter()
        for pieces, count in counted.items():
            for pair in itertools.pairwise(pieces):
                pairs[pair] += count
        if not pairs:
            break
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        merged: Counter[tuple[str, ...]] = Counter()
        for pieces, count in counted.items():
            merged[_merged(pieces, best)] += count
        counted = merged
    return tuple(merges)


def pieces_of(word: str, merges: Sequence[Merge]) -> tuple[str, ...]:
    """A word in pieces, by merges in their order; any word has some.

    Args:
        word: to be cut.
        merges: from ``byte_pairs``.

    Returns:
        Pieces, which joined are the word.

    Example:
        >>> from tokdyn.data import subwords
        >>> subwords.pieces_of("cabab", [("a", "b"), ("ab", "ab")])
        ('c', 'abab')
    """
    pieces: tuple[str, ...] = tuple(word)
    for merge in merges:
        pieces = _merged(pieces, merge)
    return pieces


def numbered(words: Iterable[Sequence[str]]) -> np.ndarray:
    """Words in pieces as numbers of the pieces, for ``encoders.characters`` and the like.

    Args:
        words: each as its pieces.

    Returns:
        `[words, longest]` int32: 0 after a word's end, 2, 3, ... for the pieces in the order of the alphabet (1 is left
        to unknown ones, as in ``encoders.spell``).

    Example:
        >>> from tokdyn.data import subwords
        >>> subwords.numbered([("un", "do"), ("do",)]).tolist()
        [[3, 2], [2, 0]]
    """
    known = [tuple(word) for word in words]
    numbers = {piece: number for number, piece in enumerate(sorted({piece for word in known for piece in word}), 2)}
    made = np.zeros((len(known), max(map(len, known), default=0)), np.int32)
    for row, word in zip(made, known, strict=True):
        row[: len(word)] = [numbers[piece] for piece in word]
    return made


def morphemes(num_stems: int, num_endings: int, key: int = 0) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Stems of five letters and endings of two or three, all different, generated.

    Args:
        num_stems: at most 200.
        num_endings: at most 50.
        key: of the draw.

    Returns:
        ``(stems, endings)``.

    Raises:
        ValueError: a number outside its range.

    Example:
        >>> from tokdyn.data import subwords
        >>> stems, endings = subwords.morphemes(3, 2)
        >>> len(set(stems)), len(set(endings)), {len(stem) for stem in stems}
        (3, 2, {5})
    """
    for name, number, most in (("num_stems", num_stems, 200), ("num_endings", num_endings, 50)):
        if checks.whole_number(name, number, at_least=1) > most:
            raise checks.bad(name, f"at most {most}", number)
    generator = np.random.default_rng(key)
    vowels, consonants = "aeiou", "bdfgklmnprst"

    def drawn(pattern: str) -> str:
        return "".join(generator.choice(list(vowels if letter == "v" else consonants)) for letter in pattern)

    stems: dict[str, None] = {}
    while len(stems) < num_stems:
        stems[drawn("cvcvc")] = None
    endings: dict[str, None] = {}
    while len(endings) < num_endings:
        endings[drawn("vc" if len(endings) % 2 else "vcv")] = None
    return tuple(stems), tuple(endings)


def _merged(pieces: tuple[str, ...], pair: Merge) -> tuple[str, ...]:
    made: list[str] = []
    for piece in pieces:
        if made and (made[-1], piece) == pair:
            made[-1] = pair[0] + pair[1]
        else:
            made.append(piece)
    return tuple(made)
