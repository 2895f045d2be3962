"""The texts of the study: of published shape, by Zipf's law, or the user's."""

from __future__ import annotations

import functools
import hashlib

import xarray

from tokdyn import checks, files
from tokdyn.data import words

TEXT = "text:"  # begins the name of a user's text


@functools.cache
def corpus_of(name: str) -> words.Corpus:
    """The text of a program: ``"small"``, ``"large"`` of published shape, a user's, or so many types by Zipf's law."""
    if name in ("small", "large"):
        return words.published_shape(name)
    if name.startswith(TEXT):
        return words.read_corpus(name.split(":", 2)[2])
    return words.zipf_corpus(int(name), key=0)


def name_of_text(path: str) -> str:
    """The name of a text of the user's for ``corpus_of``.

    What the file holds is part of it: a store of runs on a text that has changed since is not gone on with.

    Args:
        path: of a plain text file.

    Raises:
        ValueError: no such file, or one that ``td.data.words.read_corpus`` refuses.
    """
    try:
        name = f"{TEXT}{hashlib.sha256(files.read_bytes(path)).hexdigest()[:12]}:{path}"
        corpus_of(name)
    except files.Unreadable as error:
        raise checks.bad("text", "a file of plain text in UTF-8", f"{path} ({error})") from None
    except ValueError as error:
        raise ValueError(f"text: {str(error).removeprefix('path: ')}") from None
    return name


def text_of(dataset: xarray.Dataset) -> words.Corpus:
    """The text of most conditions: the large published one, or the user's."""
    known = [str(name) for name in dataset["words"].values]
    own = [name for name in known if name.startswith(TEXT)]
    return corpus_of(own[0] if own else "large")
