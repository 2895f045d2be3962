"""Which quantizer uses its codes, and what it reconstructs."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import xarray

from tokdyn.stats import mean_interval
from tokdyn.studies.output import figure_blocks, machine, markdown_table, write_record, written_together


def headline(dataset: xarray.Dataset) -> str:
    """One line for each kind of data: the best quantizer, and the one that uses its codes least evenly."""
    lines = []
    coded = dataset.sel(quantizer=[name for name in dataset["quantizer"].values if name != "none"])
    for data in dataset["data"].values:
        means = coded.sel(data=data).mean("seed")
        held_out = bool((means["explained"] > 0).any())
        measure = "explained" if held_out else "explained_train"
        names = [str(name) for name in coded["quantizer"].values]
        best, least = names[int(np.argmax(means[measure].values))], names[int(np.argmin(means["perplexity"].values))]
        told = "held-out variance" if held_out else "variance of the training items; nothing carries over to others"
        lines.append(
            f"{data}: {best} reconstructs most ({float(means[measure].max()):.3f} of the {told}); {least} uses its "
            f"codes least evenly (perplexity {float(means['perplexity'].min()):.0f} of 64)."
        )
    return "\n".join(lines)


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
        plots: also draw the figures.
        wall_seconds: of the whole command so far, for the metadata.

    Returns:
        The path of ``report.md``.

    Raises:
        ValueError: the folder cannot be written.
    """
    with written_together(folder) as place:
        write_record(place, dataset, {}, wall_seconds=wall_seconds)
        dataset.to_dataframe().reset_index().to_csv(place / "runs.csv", index=False)
        figures = _draw(dataset, place / "plots") if plots else []
        (place / "report.md").write_text(_text(dataset, figures), encoding="utf-8")
    return Path(folder) / "report.md"


def _text(dataset: xarray.Dataset, figures: list[tuple[str, str]]) -> str:
    config = json.loads(dataset.attrs["config"])
    blocks = [
        "# Quantizers: which use their codes, and what comes back",
        f"{dataset.sizes['quantizer']} quantizers x {dataset.sizes['data']} kinds of data x {dataset.sizes['seed']} "
        f"seeds in {dataset.attrs['simulation_seconds']:.0f} s, compilation included ({machine(dataset)}). "
        f"Four cells of 64 codes (6 bits each), one hidden layer of 128 on either side, {config['num_steps']} steps of "
        "128 items, Adam. Every fifth item is held out; intervals are 95 % (Student, over seeds).",
        *headline(dataset).splitlines(),
    ]
    for data in dataset["data"].values:
        rows = []
        for name in dataset["quantizer"].values:
            one = dataset.sel(data=data, quantizer=name)
            row: dict[str, Any] = {"quantizer": str(name)}
            values = one["explained"].values.astype(float)
            row["explained, held out"] = float(values.mean())
            if len(values) > 1:
                interval = mean_interval(values)
                row["95 %"] = f"[{float(interval.low):.3f}, {float(interval.high):.3f}]"
            row["explained, training"] = float(one["explained_train"].mean())
            row |= {key: float(one[key].mean()) for key in ("active", "perplexity", "bits", "dead")}
            rows.append(row)
        blocks += [f"## {data}", markdown_table(rows)]
    blocks += figure_blocks(figures)
    blocks += ["## Files", "`runs.csv`, `runs.zarr` (xarray), `metadata.json` (versions, machine, design)."]
    return "\n\n".join(blocks) + "\n"


def _draw(dataset: xarray.Dataset, folder: Path) -> list[tuple[str, str]]:
    from tokdyn import plot

    folder.mkdir()
    captions = []
    names = [str(name) for name in dataset["quantizer"].values]
    for variable, label, caption in (
        ("explained", "share of held-out variance reconstructed", "Reconstruction, with 95 % intervals over seeds."),
        ("perplexity", "effective number of codes, of 64", "Use of the codes in a pass over the training items."),
    ):
        for data in dataset["data"].values:
            values = dataset[variable].sel(data=data).values.astype(float)
            kept = np.isfinite(values).all(axis=1)
            interval = mean_interval(values[kept]) if values.shape[1] > 1 else None
            low, high = (interval.low, interval.high) if interval else (values[kept, 0], values[kept, 0])
            shown = [name for name, keep in zip(names, kept, strict=True) if keep]
            figure = plot.outcomes(shown, values[kept].mean(axis=1), low, high, label=f"{label}: {data}")
            name = f"{variable}_{data}.png"
            plot.save(figure, folder / name)
            captions.append((name, f"{data}: {caption}"))
    return captions
