"""``tokdyn diagnose`` of a file of features: will the tokens collapse?"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np

from tokdyn.checks import bad, whole_number
from tokdyn.studies import features
from tokdyn.theory import Diagnosis, Guide, diagnose


@dataclasses.dataclass(frozen=True, kw_only=True)
class Diagnosed(features.Asked):
    """What is diagnosed on a file of features."""

    num_tokens: int | None = None
    """Number of tokens; it says that the file holds features."""
    figure: Path | None = None
    """A file for a figure of the cascade: .png, .pdf or .svg."""


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
    table, scaled = features.read(path, options)
    values = (table.features if scaled is None else scaled.features).astype(np.float32)
    for note in table.notes:
        say(note)
    heat = Guide(values, count).temperature(options.temperature)
    # Products of matrices: differences of all features and tokens take ten times as long in 512 dimensions.
    dynamics = features.dynamics_of(options, heat, distances="product")
    found = diagnose(dynamics, values, jax.random.key(seed), num_tokens=count)
    if options.figure is not None:
        from tokdyn import plot
        from tokdyn.plot.dynamics import collapse

        plot.save(collapse(found), options.figure)
    return found
