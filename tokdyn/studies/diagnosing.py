"""``tokdyn diagnose`` of a file of features: will the tokens collapse?"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import jax
import numpy as np

from tokdyn.checks import bad, whole_number
from tokdyn.studies import features
from tokdyn.theory import Diagnosis, Guide, diagnose


@dataclasses.dataclass(frozen=True)
class Diagnosed:
    """What is diagnosed on a file of features."""

    num_tokens: int | None = None
    """Number of tokens; it says that the file holds features."""
    temperature: float | Literal["auto"] = "auto"
    """Softmax temperature in squared units of the features; auto chooses it from their spectrum and num_tokens."""
    rate: float = 1.0
    """Share of the way to its target that a token moves in a step."""
    repulsion: float = 0.0
    """Strength of the repulsion between tokens; 0 turns it off."""
    momentum: float = 0.0
    """Share of the last displacement that a token keeps; 0 turns inertia off."""
    dynamics: Path | None = None
    """A dynamics written by td.save, in place of the four numbers above."""
    seed: int = 0
    """Seed of the random start."""
    figure: Path | None = None
    """A file for a figure of the cascade: .png, .pdf or .svg."""
    columns: str | None = None
    """Columns to use as features, as in tokdyn run."""
    array: str | None = None
    """Which array of an .npz holds the features."""
    standardise: bool = False
    """Scale columns to mean 0 and standard deviation 1 first."""
    header: Literal["auto", "yes", "no"] = "auto"
    """Whether the first line of a text file holds the names of the columns."""
    delimiter: str | None = None
    """Separator of columns in a text file; detected by default."""
    decimal: Literal["auto", "point", "comma"] = "auto"
    """Decimal mark of a text file."""


def diagnose_file(
    path: str | os.PathLike[str], options: Diagnosed, *, say: Callable[[str], object] = lambda note: None
) -> Diagnosis:
    """``td.diagnose`` of a file of features.

    Args:
        path: the file, as ``td.data.read_table`` reads it.
        options: what is diagnosed.
        say: called with each note on what was read.

    Raises:
        ValueError: naming what is wrong with the file or an option.
    """
    if options.figure is not None and options.figure.suffix not in (".png", ".pdf", ".svg"):
        raise bad("figure", "a file that ends in .png, .pdf or .svg", options.figure)
    seed = whole_number("seed", options.seed, at_least=0)
    count = whole_number("num_tokens", options.num_tokens, at_least=1)
    how = features.Options(
        num_tokens=count, temperature=options.temperature, rate=options.rate, repulsion=options.repulsion,
        momentum=options.momentum, dynamics=options.dynamics, columns=options.columns, array=options.array,
        standardise=options.standardise, header=options.header, delimiter=options.delimiter, decimal=options.decimal,
    )  # fmt: skip
    table, scaled = features.read(path, how)
    values = (table.features if scaled is None else scaled.features).astype(np.float32)
    for note in table.notes:
        say(note)
    dynamics = features.dynamics_of(how, Guide(values, count).temperature(how.temperature))
    found = diagnose(dynamics, values, jax.random.key(seed), num_tokens=count)
    if options.figure is not None:
        from tokdyn import plot
        from tokdyn.plot.dynamics import collapse

        plot.save(collapse(found), options.figure)
    return found
