"""How many words come back, how fast, for a growing vocabulary."""

from __future__ import annotations

import math
import os
from pathlib import Path

import xarray

from tokdyn.autoencoder.layers import capacity_bits
from tokdyn.studies.output import machine, markdown_table, write_record, written_together
from tokdyn.studies.scaling.experiment import CELLS, COLOURS


def headline(dataset: xarray.Dataset) -> str:
    """One line for each vocabulary."""
    return "\n".join(
        f"{int(size):,} words: {float(one['types'].mean()):.2%} come back right, {float(one['types'].min()):.2%} in "
        f"the worst of {one.sizes['seed']} seeds, after {float(one['steps'].mean()):.0f} steps and "
        f"{float(one['seconds'].median()):.1f} s."
        for size in dataset["size"].values
        for one in [dataset.sel(size=size)]
    )


def report(
    dataset: xarray.Dataset,
    folder: str | os.PathLike[str],
    *,
    plots: bool = True,
    wall_seconds: float | None = None,
) -> Path:
    """Write everything the study has to say.

    Args:
        dataset: from ``run``.
        folder: made where it is missing; its files appear together, at the end.
        plots: also draw the figure.
        wall_seconds: of the whole command so far, for the metadata.

    Returns:
        The path of ``report.md``.

    Raises:
        ValueError: the folder cannot be written.
    """
    rows = [
        {
            "words": int(size), "bits needed": math.log2(size), "bits found": float(one["information"].mean()),
            "right, mean": float(one["types"].mean()), "right, worst seed": float(one["types"].min()),
            "steps": float(one["steps"].mean()), "seconds, median": float(one["seconds"].median()),
        }
        for size in dataset["size"].values for one in [dataset.sel(size=size)]
    ]  # fmt: skip
    blocks = [
        "# Scaling: every word of a growing vocabulary",
        f"8 x 8 x 5 patterns ({capacity_bits(CELLS, COLOURS):.0f} bits), straight-through argmax, a linear decoder; "
        f"{dataset.sizes['seed']} seeds, {dataset.attrs['simulation_seconds']:.0f} s in all "
        f"({machine(dataset)}). The published projection for 1,000 words and more was below 5 %.",
        *headline(dataset).splitlines(),
        markdown_table(rows),
    ]
    with written_together(folder) as place:
        write_record(place, dataset, {}, wall_seconds=wall_seconds)
        if plots:
            from tokdyn import plot

            (place / "plots").mkdir()
            figure = plot.scaling_curves(
                dataset["size"].values, dataset["types"].values, dataset["seconds"].values, label="share of words right"
            )
            plot.save(figure, place / "plots" / "scaling.png")
            caption = "Words that come back right, and seconds of one training (the first seed's with compilation)."
            blocks += ["## Figure", f"![{caption}](plots/scaling.png)\n\n*{caption}*"]
        (place / "report.md").write_text("\n\n".join(blocks) + "\n", encoding="utf-8")
    return Path(folder) / "report.md"
