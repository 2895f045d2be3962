"""A training on disk: model, weights before and after, losses and text in one ``.npz`` file. No pickle."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tokdyn import checks
from tokdyn import files as reading
from tokdyn.data.words import Corpus
from tokdyn.dynamics import files

FORMAT = "tokdyn.autoencoder"
SCHEMA_VERSION = 1


class Training(NamedTuple):
    """A training that was saved.

    Attributes:
        model: the autoencoder.
        variables: its weights at the end.
        corpus: the text.
        loss: what it was trained for; None where it was not saved.
        initial: its weights at the start; None where they were not saved.
        history: of ``Fit``, `{name: [records]}`; None where it was not saved.
    """

    model: Any
    variables: dict[str, Any]
    corpus: Corpus
    loss: Any = None
    initial: dict[str, Any] | None = None
    history: dict[str, Any] | None = None


def save_run(
    path: str | os.PathLike[str],
    model: Any,
    variables: dict[str, Any],
    corpus: Corpus,
    *,
    loss: Any = None,
    initial: dict[str, Any] | None = None,
    history: dict[str, Any] | None = None,
) -> Path:
    """Write a training to a file, for ``tokdyn diagnose``.

    Args:
        path: the file; ``.npz`` is appended where it is missing.
        model: from ``autoencoder``.
        variables: its weights at the end.
        corpus: the text.
        loss: from ``losses.objective``.
        initial: its weights at the start.
        history: of ``Fit``.

    Returns:
        The path that was written.

    Raises:
        ValueError: no corpus, traced numbers, or a static field that JSON cannot hold.
    """
    if not isinstance(corpus, Corpus):
        raise checks.bad("corpus", "a Corpus (see td.data.corpus)", f"a {type(corpus).__name__}")
    arrays: dict[str, np.ndarray] = {}
    kept = {"model": model, "variables": variables, "loss": _terms(loss), "initial": initial, "history": history,
            "train": corpus.train, "validation": corpus.validation, "train_lengths": corpus.train_lengths,
            "validation_lengths": corpus.validation_lengths}  # fmt: skip
    structure = {name: files.encoded(value, name, arrays) for name, value in kept.items()}
    return files.write(
        path, {"format": FORMAT, "schema_version": SCHEMA_VERSION, "words": list(corpus.words), **structure}, arrays
    )


def load_run(path: str | os.PathLike[str]) -> Training:
    """Read what ``save_run`` wrote.

    Args:
        path: the file; ``.npz`` is appended where it is missing.

    Returns:
        A ``Training``.

    Raises:
        ValueError: no such file, or not one of ours.
    """
    # Parts are known by name once their modules have been imported.
    from tokdyn.autoencoder import bottlenecks, decoders, encoders, losses, quantizers  # noqa: F401

    expected = "a training written by autoencoder.save_run"
    structure, arrays = files.read(path, FORMAT, SCHEMA_VERSION, expected)
    names = ("model", "variables", "loss", "initial", "history", "train", "validation")
    try:
        found = {name: files.decoded(structure[name], arrays) for name in names}
        # Files of earlier releases say nothing of sentences.
        lengths = [files.decoded(structure.get(f"{name}_lengths"), arrays) for name in ("train", "validation")]
        corpus = Corpus(tuple(structure["words"]), found.pop("train"), found.pop("validation"), *lengths)
        terms = found.pop("loss")
        loss = None if terms is None else losses.objective(**terms)
    except files.DAMAGED as error:
        raise checks.bad("path", expected, f"{path} ({reading.reason(error)})") from None
    return Training(corpus=corpus, loss=loss, **found)


def _terms(loss: Any) -> dict[str, Any] | None:
    """The terms of an objective by name: a ``Dynamics`` is no dataclass that a file can name."""
    return None if loss is None else {name: loss.terms[name] for name in loss.terms}
