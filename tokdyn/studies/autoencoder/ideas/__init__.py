"""What the published notebook asked for and never tried, and the overheads that it printed: a part for each.

Every part says what it runs (``measure``), which rows come out (``ROWS``), what its
table is about (``ABOUT``), which measure is drawn (``SHOWN``), what it says to published claims (``claims``) and in one
sentence (``headline``).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

import xarray

from tokdyn.stats import mean_interval
from tokdyn.studies.autoencoder.ideas import (
    adversaries,
    guidance,
    languages,
    levels,
    newcomers,
    overheads,
    spectrograms,
)
from tokdyn.studies.autoencoder.ideas.common import Row, Run, as_dataset, name_of, seeds_of, table_rows
from tokdyn.studies.documents import Figure, table
from tokdyn.studies.rules import Judgement

PARTS: dict[str, ModuleType] = {
    part.PART: part
    for part in (overheads, spectrograms, adversaries, languages, guidance, levels, newcomers)
}  # fmt: skip
VARIABLES = {
    "idea": "what a proposal of the notebook gives, by part, condition and measure",
    "idea_chance": "what knowing nothing gives",
    "idea_best": "the most that can be reached",
}
CLAIMS: tuple[Judgement, ...] = tuple(claim for part in PARTS.values() for claim in part.claims())


def measure(run: Run, progress: Callable[[int, int], None] | None = None) -> xarray.Dataset:
    """Every part.

    Args:
        run: seeds, key and store.
        progress: called with parts finished and parts in all.

    Returns:
        ``VARIABLES`` over idea_row and idea_seed.
    """
    rows: dict[str, list[Row]] = {}
    for number, (name, part) in enumerate(PARTS.items(), 1):
        rows[name] = part.measure(run)
        if progress is not None:
            progress(number, len(PARTS))
    return as_dataset(rows)


def row_names() -> list[str]:
    """The label of every row."""
    return [name_of(name, *row) for name, part in PARTS.items() for row in part.ROWS]


def blocks(dataset: xarray.Dataset) -> list[str]:
    """The parts in words and tables."""
    made = [
        "## The notebook's further proposals",
        "What the notebook asked for and did not try, and the overheads that it printed. Intervals are 95 % (Student, "
        "over seeds or blocks), chance is what knowing nothing gives, most is what can be reached at all.",
    ]
    for name, part in PARTS.items():
        made += [f"### {name.capitalize()}", part.ABOUT, table(table_rows(dataset, name))]
    return made


def headline(dataset: xarray.Dataset) -> str:
    """One sentence for every part."""
    return " ".join(part.headline(dataset) for part in PARTS.values())


def figures(dataset: xarray.Dataset) -> list[Figure]:
    """A figure for every part whose numbers are shares."""
    return [
        Figure(
            f"idea_{name.replace(' ', '_')}.png", f"{name.capitalize()}: means over seeds with 95 % intervals.",
            partial(_outcomes, dataset, name, part.SHOWN),
        )
        for name, part in PARTS.items() if part.SHOWN
    ]  # fmt: skip


def _outcomes(dataset: xarray.Dataset, part: str, measure: str) -> Any:
    from tokdyn import plot

    rows = [row for row in table_rows(dataset, part) if row["measure"] == measure]
    values = [seeds_of(dataset, part, row["condition"], measure) for row in rows]
    intervals = [mean_interval(of) if len(of) > 1 else None for of in values]
    low = [float(found.low) if found else math.nan for found in intervals]
    high = [float(found.high) if found else math.nan for found in intervals]
    lines = {
        word: bounds.pop()
        for word, column in (("chance", "chance"), ("the most", "most"))
        if len(bounds := {float(row[column]) for row in rows if row[column] != "-"}) == 1
    }
    means = [float(of.mean()) for of in values]
    return plot.outcomes([row["condition"] for row in rows], means, low, high, label=measure, lines=lines)
