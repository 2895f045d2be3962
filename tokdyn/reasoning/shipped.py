"""Trained references: the weights that come with the package, and the command that makes them again.

``python -m tokdyn.reasoning`` trains every reference once more and writes its weights, its training curve, its
accuracy and its protocol to one ``.npz`` file each (no pickle).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from tokdyn import checks, keys
from tokdyn.dynamics import files
from tokdyn.dynamics.schedules import annealing
from tokdyn.environment import describe
from tokdyn.reasoning.model import Variables
from tokdyn.reasoning.references import Reference, catalog
from tokdyn.reasoning.training import Batches, items_of
from tokdyn.solve.batching import vmap
from tokdyn.train import Fit, fit

FORMAT = "tokdyn.reference"
SCHEMA_VERSION = 1
FOLDER = Path(__file__).parent / "weights"
# Of the shipped weights; items of tests and studies come from other keys.
KEY = 20261121
NUM_RECORDS = 20


class Shipped(NamedTuple):
    """A trained reference.

    Attributes:
        reference: what it is and what is true of it.
        variables: its weights.
        accuracy: share of right answers among fresh items, as measured when it was trained.
        history: of its training, `{name: [records]}`.
        seed: of its training.
    """

    reference: Reference
    variables: Variables
    accuracy: float
    history: dict[str, np.ndarray]
    seed: int


def trained(reference: Reference, key: jax.Array, *, num_steps: int | None = None) -> Fit:
    """One training of a reference; pure, so that ``td.vmap`` over keys is an ensemble.

    Args:
        reference: from ``references.catalog()``.
        key: of weights and items.
        num_steps: a multiple of 20; by default the reference's own.

    Returns:
        A ``Fit``; its history has 20 records of the loss, its terms, and ``right``, the share of right answers.
    """
    steps = reference.num_steps if num_steps is None else num_steps
    rate = reference.learning_rate
    return fit(
        reference.model,
        reference.loss,
        Batches(reference.task, reference.batch_size),
        key=key,
        num_steps=steps,
        hyper={"learning_rate": annealing(start=rate, end=rate / 30, num_steps=steps, shape="linear"), "b2": 0.95},
        record_every=steps // NUM_RECORDS,
    )


def ensemble(reference: Reference, key: jax.Array, seeds: Sequence[int], *, num_items: int = 1000) -> dict[str, Any]:
    """A reference trained from several seeds, in one compiled program.

    Args:
        reference: from ``references.catalog()``.
        key: of everything.
        seeds: numbers.
        num_items: fresh items that accuracy is measured on.

    Returns:
        ``variables``, ``history`` and ``accuracy``, leaves `[seeds, ...]`.
    """
    items = items_of(reference.task, keys.for_purpose(key, "fresh items"), num_items)
    made = _ensemble(reference)(jnp.asarray(seeds), key, items)
    return jax.tree.map(np.asarray, made)


@functools.cache
def _ensemble(reference: Reference) -> Any:
    def one(seed: jax.Array, key: jax.Array, items: Any) -> dict[str, Any]:
        done = trained(reference, keys.for_seed(key, seed))
        output, _ = reference.model.apply(done.variables, items, teacher=False)
        right = jnp.mean(jnp.all(output.answer == items.answer, axis=-1))
        return {"variables": done.variables, "history": done.history, "accuracy": right}

    return jax.jit(vmap(one, in_axes=(0, None, None), batch_size=1))


def load(name: str, folder: str | Path = FOLDER) -> Shipped:
    """A trained reference from a file.

    Args:
        name: of ``references.catalog()``.
        folder: where the files are; by default those of the package.

    Returns:
        A ``Shipped``.

    Raises:
        ValueError: an unknown name, no such file, or weights of another protocol than the catalog's.

    Example:
        >>> from tokdyn.reasoning import shipped
        >>> shipped.load("content").accuracy > 0.95
        True
    """
    known = catalog()
    reference = known[checks.choice("name", name, tuple(known))]
    path = Path(folder) / _file_name(name)
    structure, arrays = files.read(path, FORMAT, SCHEMA_VERSION, "weights written by python -m tokdyn.reasoning")
    if structure["protocol"] != _declared(reference):
        raise checks.bad("path", "weights of the catalog's protocol", f"{path}, which holds those of another")
    found = {part: files.decoded(structure[part], arrays) for part in ("variables", "history")}
    variables = jax.tree.map(jnp.asarray, found["variables"])
    return Shipped(reference, variables, structure["accuracy"], found["history"], structure["seed"])


def save(name: str, shipped: Shipped, folder: str | Path = FOLDER) -> Path:
    """Write what ``load`` reads.

    Args:
        name: of ``references.catalog()``.
        shipped: a trained reference.
        folder: where to.

    Returns:
        The path that was written.
    """
    arrays: dict[str, np.ndarray] = {}
    parts = {"variables": shipped.variables, "history": shipped.history}
    structure = {part: files.encoded(jax.tree.map(np.asarray, value), part, arrays) for part, value in parts.items()}
    text = {
        "format": FORMAT, "schema_version": SCHEMA_VERSION, "name": name, "seed": shipped.seed,
        "accuracy": shipped.accuracy, "protocol": _declared(shipped.reference), "truth": shipped.reference.truth,
        "because": shipped.reference.because, "num_steps": shipped.reference.num_steps, "made_with": describe(),
    }  # fmt: skip
    return files.write(Path(folder) / _file_name(name), {**text, **structure}, arrays)


def _declared(reference: Reference) -> dict[str, Any]:
    return {**reference.model.protocol.as_dict(), "task": repr(reference.task)}


def _file_name(name: str) -> str:
    return name.replace(", ", "_").replace(" ", "_") + ".npz"
