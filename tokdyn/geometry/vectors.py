"""Word vectors: a small real table that comes with the package, and readers for one's own.

The table was made by ``tests/geometry/make_word_vectors.py`` from all-MiniLM-L6-v2 (Apache-2.0, see the notice beside
it): 2,000 English words, each encoded by itself. Files of one's own may be ``.npz`` archives, or what word2vec and
GloVe write as text, or word2vec's binary form.
"""

from __future__ import annotations

import collections
import functools
import importlib.resources
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from tokdyn import array_files, checks, files

# The 36 words of the published projections, by category.
PUBLISHED_CATEGORIES: dict[str, tuple[str, ...]] = {
    "animals": ("cat", "dog", "horse", "bird", "fish", "lion"),
    "colours": ("red", "blue", "green", "yellow", "black", "white"),
    "sizes": ("big", "small", "large", "tiny", "huge", "little"),
    "emotions": ("happy", "sad", "angry", "excited", "calm", "worried"),
    "actions": ("run", "walk", "jump", "fly", "swim", "dance"),
    "objects": ("car", "house", "tree", "book", "phone", "chair"),
}
_EXPECTED = "a file of vectors: .npz, word2vec (text or binary) or GloVe text"
_WORD_NAMES, _VECTOR_NAMES = ("words", "names", "labels"), ("vectors", "features", "embeddings")


class WordVectors(NamedTuple):
    """Words and their vectors.

    Attributes:
        words: N different names.
        vectors: `[N, D]` float32.
    """

    words: tuple[str, ...]
    vectors: np.ndarray

    def of(self, words: Iterable[str]) -> np.ndarray:
        """The vectors of some words, in their order `[words, D]`.

        Args:
            words: each must be there.

        Raises:
            ValueError: naming the words that are not.

        Example:
            >>> from tokdyn import geometry
            >>> cat, dog, big = geometry.word_vectors().of(["cat", "dog", "big"])
            >>> bool(cat @ dog > cat @ big)
            True
        """
        return self.vectors[[*self._numbers(words)]]

    def chosen(self, words: Iterable[str]) -> WordVectors:
        """A table of some of its words, in their order.

        Args:
            words: each must be there, and once.

        Raises:
            ValueError: a word that is not there, or twice, or no word.
        """
        wanted = tuple(words)
        checks.each_once("words", wanted)
        return WordVectors(wanted, self.of(wanted))

    def _numbers(self, words: Iterable[str]) -> Iterator[int]:
        wanted = [words] if isinstance(words, str) else list(words)
        place = {word: number for number, word in enumerate(self.words)}
        if unknown := [str(word) for word in wanted if word not in place]:
            shown = ", ".join(map(repr, unknown[:5])) + (" and others" if len(unknown) > 5 else "")
            raise checks.bad("words", f"words of a table of {len(self.words)}", f"{shown}, which it does not have")
        return (place[word] for word in wanted)


@functools.cache
def word_vectors() -> WordVectors:
    """2,000 common English words as vectors of length 1 `[2000, 384]`, from the sentence encoder all-MiniLM-L6-v2.

    Each word was encoded alone, so that a word of several senses has one vector. Function words are among them. Half
    precision was kept: lengths are 1 within 0.001.

    References:
        W. Wang et al., MiniLM, NeurIPS 2020, arXiv:2002.10957.
        N. Reimers, I. Gurevych, Sentence-BERT, EMNLP 2019, arXiv:1908.10084.

    Example:
        >>> from tokdyn import geometry
        >>> table = geometry.word_vectors()
        >>> table.vectors.shape, table.words[:3]
        ((2000, 384), ('the', 'of', 'and'))
    """
    content = importlib.resources.files("tokdyn.geometry").joinpath("words.npz").read_bytes()
    arrays = array_files.npz_of(content)
    vectors = arrays["vectors"].astype(np.float32)
    vectors.setflags(write=False)  # one table is shared by everybody who asks
    return WordVectors(tuple(arrays["words"].tolist()), vectors)


def read_vectors(
    path: str | os.PathLike[str], *, words: Sequence[str] | None = None, most: int | None = None
) -> WordVectors:
    r"""Vectors of one's own from a file, whatever of the usual forms it has.

    * ``.npz`` with ``words`` `[N]` (also ``names``, ``labels``) and ``vectors`` `[N, D]` (also ``features``,
      ``embeddings``): CLIP features, for instance.
    * word2vec: a first line with N and D, then a word and its numbers on each line, or in binary form.
    * GloVe: a word and its numbers on each line. Words may hold spaces: the last D fields are the numbers.

    Args:
        path: the file.
        words: keep these alone, in this order; by default all.
        most: read at most so many of the first words, for files larger than memory.

    Returns:
        ``WordVectors``.

    Raises:
        ValueError: no such file or none of these forms; a word twice; numbers that are not finite; lines of different
            lengths, with the first such line; a word of ``words`` that is not there.

    Example:
        >>> import pathlib, tempfile
        >>> from tokdyn import geometry
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder) / "glove.txt"
        ...     _ = path.write_text("cat 1.0 0.5\ndog 0.9 0.5\n")
        ...     geometry.read_vectors(path).of(["dog"]).tolist()
        [[0.8999999761581421, 0.5]]
    """
    limit = None if most is None else checks.whole_number("most", most, at_least=1)
    files.path_of("path", path, _EXPECTED)
    try:
        found = _read(path, limit)
    except files.Unreadable as problem:
        raise checks.bad("path", _EXPECTED, f"{path}: {problem}") from None
    return found if words is None else found.chosen(words)


def _read(path: str | os.PathLike[str], most: int | None) -> WordVectors:
    with files.opened(path) as file:
        beginning = file.read(4)
    if beginning == b"PK\x03\x04":
        return _of_arrays(array_files.read_npz(path), most)
    with files.opened(path) as stream:
        return _of_lines(stream, most)


def _of_arrays(arrays: dict[str, np.ndarray], most: int | None) -> WordVectors:
    def one(names: tuple[str, ...], what: str) -> np.ndarray:
        found = [name for name in names if name in arrays]
        if len(found) != 1:
            raise files.Unreadable(
                f"its arrays are {', '.join(sorted(arrays)) or 'none'}; {what} should be {names[0]!r}"
            )
        return arrays[found[0]]

    words, vectors = one(_WORD_NAMES, "the words"), one(_VECTOR_NAMES, "their vectors")
    if words.ndim != 1 or words.dtype.kind not in "UOS":
        raise files.Unreadable(f"words should be text [N], they are {checks.describe_array(words)}")
    if vectors.ndim != 2 or vectors.dtype.kind not in "fiu" or len(vectors) != len(words):
        raise files.Unreadable(
            f"vectors should be numbers [{len(words)}, D], they are {checks.describe_array(vectors)}"
        )
    return _checked([str(word) for word in words[:most].tolist()], vectors[:most])


def _of_lines(stream: Any, most: int | None) -> WordVectors:
    first = stream.readline(2**20)
    if not first.strip():
        raise files.Unreadable("an empty file" if not first else "a first line without words")
    fields = first.split()
    if len(fields) == 2 and all(field.isdigit() for field in fields):
        count, width = map(int, fields)
        if count < 1 or width < 1:
            raise files.Unreadable(f"its first line says {count} words of {width} numbers")
        return _of_word2vec(stream, count if most is None else min(count, most), width)
    return _of_text([first], stream, None, most, 1)


def _of_word2vec(stream: Any, count: int, width: int) -> WordVectors:
    """After the first line: binary where a word's four-byte floats do not read as text, else text."""
    position = stream.tell()
    line = stream.readline(2**20)
    stream.seek(position)
    if len(_fields(line, width)) == width + 1 and _numbers(_fields(line, width)[1:]) is not None:
        return _of_text([], stream, width, count, 2)
    words, rows = [], np.empty((count, width), np.float32)
    for number in range(count):
        word = bytearray()
        while (byte := stream.read(1)) not in (b" ", b""):
            if byte != b"\n" or word:
                word += byte
            if len(word) > 2**16:
                raise files.Unreadable(f"word {number + 1} does not end")
        values = stream.read(4 * width)
        if len(values) < 4 * width:
            raise files.Unreadable(f"it ends within word {number + 1} of {count}")
        try:
            words.append(bytes(word).decode("utf-8"))
        except UnicodeDecodeError:
            raise files.Unreadable(f"word {number + 1} is not UTF-8") from None
        rows[number] = np.frombuffer(values, "<f4")
    return _checked(words, rows)


def _of_text(lines: list[bytes], stream: Any, width: int | None, most: int | None, number: int) -> WordVectors:
    words: list[str] = []
    rows: list[np.ndarray] = []
    for place, line in enumerate([*lines, *_lines(stream, None if most is None else most - len(lines))], number):
        if not line.strip():
            continue
        if width is None:
            width = _trailing_numbers(line.split())
            if width < 1:
                raise files.Unreadable(f"line {place} has no numbers")
        fields = _fields(line, width)
        values = _numbers(fields[1:]) if len(fields) == width + 1 else None
        if values is None:
            raise files.Unreadable(f"line {place} is no word with {width} numbers")
        try:
            words.append(fields[0].decode("utf-8"))
        except UnicodeDecodeError:
            raise files.Unreadable(f"line {place} is not UTF-8") from None
        rows.append(values)
    return _checked(words, np.stack(rows))


def _lines(stream: Any, most: int | None) -> Iterator[bytes]:
    while most is None or most > 0:
        line = stream.readline(2**20)
        if not line:
            return
        most = None if most is None else most - 1
        yield line


def _fields(line: bytes, width: int) -> list[bytes]:
    """The word, which may hold spaces, and its numbers."""
    return line.strip().rsplit(None, width)


def _trailing_numbers(fields: list[bytes]) -> int:
    """How many fields at the end are numbers; the first one is the word, or part of it, in any case."""
    for count, field in enumerate(reversed(fields[1:])):
        if _numbers([field]) is None:
            return count
    return len(fields) - 1


def _numbers(fields: list[bytes]) -> np.ndarray | None:
    try:
        return np.array(fields, dtype="S").astype(np.float32)
    except ValueError:
        return None


def _checked(words: list[str], vectors: np.ndarray) -> WordVectors:
    if not words:
        raise files.Unreadable("it has no words")
    if len(set(words)) < len(words):
        twice = collections.Counter(words).most_common(1)[0][0]
        raise files.Unreadable(f"{twice!r} is there twice")
    made = np.asarray(vectors, np.float32)
    if not np.isfinite(made).all():
        word = words[int(np.argmin(np.isfinite(made).all(axis=1)))]
        raise files.Unreadable(f"the vector of {word!r} is not finite")
    return WordVectors(tuple(words), made)
