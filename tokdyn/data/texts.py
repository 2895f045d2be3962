"""Texts as people have them: a plain file in UTF-8, cut into sentences of words without punctuation."""

from __future__ import annotations

import os
import re
import unicodedata
from typing import Literal

from tokdyn import files
from tokdyn.checks import bad, choice

CUTS = ("auto", "lines", "punctuation")
Cut = Literal["auto", "lines", "punctuation"]
EXPECTED = "a file of plain text in UTF-8"

# First bytes of what is often mistaken for plain text.
_KINDS = {
    b"\x1f\x8b": "gzip; unpack it first", b"PK\x03\x04": "a zip archive or an office document; save it as plain text",
    b"%PDF": "a PDF; save it as plain text", b"\xff\xfe": "UTF-16; save it as UTF-8",
    b"\xfe\xff": "UTF-16; save it as UTF-8",
}  # fmt: skip
# A full stop ends a sentence where white space follows, perhaps after a closing quote; one of Chinese or Japanese
# always does, and so does an empty line.
_ENDS = re.compile(r"(?<=[.!?…।])[\"'”’»)\]]*\s+|(?<=[。！？])[”’」』]*|\n\s*\n")
_DASHES = re.compile(r"--+|[\u2012-\u2015]")


def read_sentences(name: str, path: str | os.PathLike[str], cut: Cut = "auto") -> list[str]:
    """The sentences of a text file, their words in lower case without punctuation around them, one space between.

    Args:
        name: of the argument, for sentences of errors.
        path: a plain text file in UTF-8.
        cut: ``"lines"``: each line is a sentence; ``"punctuation"``: full stops, question and exclamation marks and
            empty lines end one; ``"auto"``: lines where more than one has words, else punctuation.

    Returns:
        Sentences with at least one word.

    Raises:
        ValueError: no file, one that is empty, binary, not UTF-8 or without words, or another ``cut``.
    """
    choice("sentences", cut, CUTS)
    text = _text(name, path)
    found = _sentences(text.splitlines())
    if cut == "punctuation" or (cut == "auto" and len(found) == 1):
        found = _sentences(_ENDS.split(text))
    if not found:
        raise bad(name, "a text with at least one word", f"{path}, which has none")
    return found


def _text(name: str, path: str | os.PathLike[str]) -> str:
    files.path_of(name, path, EXPECTED)
    try:
        content = files.read_bytes(path)
        if not content:
            raise files.Unreadable("an empty file")
        for beginning, kind in _KINDS.items():
            if content.startswith(beginning):
                raise files.Unreadable(kind)
        if b"\0" in content:
            raise files.Unreadable(f"a binary file: byte 0x00 at position {content.index(0)}")
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        reason = f"no UTF-8: byte 0x{content[error.start]:02x} at position {error.start}"
        raise bad(name, EXPECTED, f"{path} ({reason})") from None
    except files.Unreadable as error:
        raise bad(name, EXPECTED, f"{path} ({error})") from None
    return unicodedata.normalize("NFC", text)


def _sentences(parts: list[str]) -> list[str]:
    split = (" ".join(filter(None, map(_bare, _DASHES.sub(" ", part).lower().split()))) for part in parts)
    return [sentence for sentence in split if sentence]


def _bare(word: str) -> str:
    """Without punctuation and symbols at both ends; those inside (don't, twenty-one, 3.5) stay."""
    start, end = 0, len(word)
    while start < end and unicodedata.category(word[start])[0] in "PS":
        start += 1
    while end > start and unicodedata.category(word[end - 1])[0] in "PS":
        end -= 1
    return word[start:end]
