"""A training on disk: model, weights before and after, losses and text in one ``.npz`` file. No pickle."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple

import jax
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
        rewards: what a loss that no file can hold was measured to reward, by name, for ``diagnose``; else None.
    """

    model: Any
    variables: dict[str, Any]
    corpus: Corpus
    loss: Any = None
    initial: dict[str, Any] | None = None
    history: dict[str, Any] | None = None
    rewards: dict[str, Any] | None = None


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
        loss: what was trained for. One from ``losses.objective`` is kept. Of a loss of your own the file keeps what it
            is measured to reward, which is what a diagnosis asks of it.
        initial: its weights at the start.
        history: of ``Fit``.

    Returns:
        The path that was written.

    Raises:
        ValueError: no corpus, traced numbers, parts of plain classes, or a static field that JSON cannot hold.
    """
    from tokdyn.autoencoder.diagnose.findings import asked_of

    if not isinstance(corpus, Corpus):
        raise checks.bad("corpus", "a Corpus (see td.data.corpus)", f"a {type(corpus).__name__}")
    arrays: dict[str, np.ndarray] = {}
    terms, rewards = _terms(loss), None
    if loss is not None and terms is None:
        rewards = asked_of(model, loss, variables, corpus, key=jax.random.key(0))
    kept = {
        "model": model,
        "variables": variables,
        "loss": terms,
        "rewards": rewards,
        "initial": initial,
        "history": history,
        "train": corpus.train,
        "validation": corpus.validation,
        "train_lengths": corpus.train_lengths,
        "validation_lengths": corpus.validation_lengths,
    }
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
        rewards = files.decoded(structure.get("rewards"), arrays)  # files of earlier releases have none
    except files.DAMAGED as error:
        raise checks.bad("path", expected, f"{path} ({reading.reason(error)})") from None
    return Training(corpus=corpus, loss=loss, rewards=rewards, **found)


def _terms(loss: Any) -> dict[str, Any] | None:
    """The terms of an objective by name (a ``Dynamics`` is no dataclass that a file can name); None of any other."""
    from tokdyn.autoencoder.losses import Objective

    return {name: loss.terms[name] for name in loss.terms} if isinstance(loss, Objective) else None
