"""The study in words, tables and figures."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import xarray

from tokdyn.autoencoder.layers import capacity_bits
from tokdyn.stats import mean_interval
from tokdyn.studies.autoencoder import claims, design, diagnosing, figures, ideas, tables
from tokdyn.studies.autoencoder.costs import cost_table
from tokdyn.studies.autoencoder.design import Config
from tokdyn.studies.autoencoder.effects import effects
from tokdyn.studies.autoencoder.experiment import measure
from tokdyn.studies.autoencoder.texts import corpus_of, text_of
from tokdyn.studies.autoencoder.trainings import VARIABLES
from tokdyn.studies.documents import Report, brackets, table
from tokdyn.studies.skeleton import Study, machine

# Columns of the table of conditions: variable, heading.
COLUMNS = {
    "types": "words right",
    "validation": "validation",
    "dominant": "commonest answer",
    "information_start": "bits at start",
    "information": "bits at end",
    "loss_first": "loss, first",
    "loss_last": "loss, last",
    "steps": "steps",
}


def headline(dataset: xarray.Dataset) -> str:
    """One paragraph for the terminal."""
    return "\n".join(_answers(dataset))


def write(dataset: xarray.Dataset, folder: Path) -> None:
    """Every training, every model of the bench and every cell of the tables, a row each."""
    if "bench_model" in dataset.dims:
        dataset[list(diagnosing.VARIABLES)].to_dataframe().to_csv(folder / "diagnosis.csv", index=False)
    if "idea_row" in dataset.dims:
        dataset[list(ideas.VARIABLES)].to_dataframe().reset_index().to_csv(folder / "ideas.csv", index=False)
    if "condition" not in dataset.dims:
        return
    names = [name for name in dataset if "seed" in dataset[name].dims and "record" not in dataset[name].dims]
    dataset[names].to_dataframe().reset_index().to_csv(folder / "runs.csv", index=False)
    if "table_row" in dataset.dims:
        tables.as_frame(dataset).to_csv(folder / "tables.csv", index=False)


def _mean(dataset: xarray.Dataset, condition: str, variable: str = "types") -> float:
    return float(dataset[variable].sel(condition=condition).mean())


def _answers(dataset: xarray.Dataset) -> list[str]:
    """The findings, for the parts of the study that were run."""
    lines = []
    if "bench_model" in dataset.dims:
        rates = diagnosing.held_out.summary(diagnosing.outcomes(dataset))
        told = ", ".join(f"{name} {sum(flags)} of {len(flags)}" for name, flags in list(rates.items())[::3] if flags)
        lines.append(f"The diagnosis on its held-out bench: {told}.")
    if "idea_row" in dataset.dims:
        lines.append(ideas.headline(dataset))
    if "condition" not in dataset.dims:
        return lines
    there = set(dataset["condition"].values)
    seeds, own_text = dataset.sizes["seed"], "text" in dataset.attrs
    ceiling = text_of(dataset).ceiling
    if "gumbel, repaired" in there:
        both = {kind: _mean(dataset, f"{kind}, double softmax, published start") for kind in design.BOTTLENECKS}
        loss = {kind: _mean(dataset, f"{kind}, published start") for kind in design.BOTTLENECKS}
        none = {kind: _mean(dataset, f"{kind}, repaired") for kind in design.BOTTLENECKS}
        told = "; ".join(f"{kind} {both[kind]:.1%}, {loss[kind]:.0%}, {none[kind]:.0%}" for kind in design.BOTTLENECKS)
        lines.append(
            f"Words that come back right as published, with the loss repaired, with loss and start repaired: {told}."
        )
    if claims.LARGE in there and not own_text:
        slow, own = dataset.sel(condition=claims.LARGE), dataset.sel(condition="7 extreme, rate 0.001")
        lines.append(
            f"The published 11.36 % is a learning rate of 5e-5 after 200 steps: {float(slow['validation'].mean()):.1%} "
            f"({float(slow['validation'].min()):.1%} to {float(slow['validation'].max()):.1%} over seeds); at its own "
            f"default rate the same code reaches {float(own['validation'].mean()):.2%}, where unknown words set the "
            f"ceiling at {ceiling:.2%}."
        )
    if "published start, learned, then 200 steps" in there:
        names = (
            "published start, 200 steps",
            "published start, learned, then 200 steps",
            "published start, 1,800 steps",
        )
        plain, learned, longer = (_mean(dataset, name) for name in names)
        lines.append(
            f"From the published start 200 steps bring back {plain:.0%} of the words, from a start that Reptile "
            f"learned from it in 1,600 steps {learned:.0%}, and 1,800 plain steps {longer:.0%}; from the repaired one "
            f"200 plain steps bring back {_mean(dataset, 'repaired start, 200 steps'):.0%}."
        )
    if "1,000 words, sigmoid, repaired" in there and not own_text:
        reached = [
            f"{int((dataset['types'].sel(condition=name) == 1).sum())} of {seeds} seeds at {label}"
            for label, name in (
                ("51", "51 words, sigmoid, repaired"),
                ("192", "192 words, straight-through, repaired"),
                ("1,000", "1,000 words, sigmoid, repaired"),
            )
        ]
        lines.append(f"Repaired, all words come back right in {', '.join(reached)} words.")
    told = "" if own_text else ", where 200 GPU-hours were reported"
    lines.append(
        f"{dataset.sizes['condition']} conditions x {seeds} seeds in {dataset.attrs['simulation_seconds'] / 60:.1f} "
        f"minutes{told}."
    )
    return lines


def _conditions(dataset: xarray.Dataset, group: str) -> str:
    part = dataset.sel(condition=dataset["group"] == group)
    rows = []
    for name in part["condition"].values:
        one = part.sel(condition=name)
        row: dict[str, Any] = {"condition": str(name)}
        for variable, heading in COLUMNS.items():
            values = one[variable].values.astype(float)
            row[heading] = float(values.mean())
            if variable == "types" and len(values) > 1:
                interval = mean_interval(values)
                row["95 %"] = brackets(interval.low, interval.high)
        text = corpus_of(str(one["words"].values))
        row["ceiling"], row["chance"] = text.ceiling, text.constant_accuracy
        rows.append(row)
    return table(rows)


def _capacity(size: int) -> str:
    rows = []
    for name, (side, colours) in design.GRIDS.items():
        bits = capacity_bits(side * side, colours)
        rows.append({"grid": name, "inputs of the decoder": side * side * colours,
                     "patterns": f"{colours}^{side * side} = {float(colours) ** (side * side):.3g}",
                     "bits": bits, f"bits for {size} words": math.log2(size)})  # fmt: skip
    return table(rows)


def _tables(dataset: xarray.Dataset) -> list[str]:
    """Tables A to F: ours beside the prototype's, a row for each cell."""
    frame = tables.as_frame(dataset)
    verdicts = frame.groupby(["table", "cell"])["verdict"].first()
    blocks = [
        "## Tables A to F",
        f"An earlier prototype's clean ablation, again, in {dataset.attrs['tables_seconds']:.0f} s: mean [smallest, "
        "largest] over seeds beside the prototype's numbers. *Inside our spread*: each of these, to its digits, lies "
        "between our smallest and largest, and our steps are in its range; else a verdict says how far our mean is "
        f"above. {int((verdicts == tables.INSIDE).sum())} of {len(verdicts)} cells are inside. *right*: share of all "
        "words that come back; *dominant*: share of the commonest prediction; *distinct*: different predictions; "
        "*first*: steps at the first record with all words right.",
    ]
    for letter, part in frame.groupby("table", sort=True):
        # Columns that the prototype printed somewhere in this table.
        names = [name for name in tables.MEASURES if part[f"prototype_{name}"].notna().any()]
        rows: list[dict[str, Any]] = []
        for cell, one in part.groupby("cell", sort=False):
            ours = {name: _spread(one[name].to_numpy(float), whole=name in ("distinct", "first")) for name in names}
            rows.append(
                {"cell": cell, **ours, "prototype": one["prototype"].iloc[0], "verdict": one["verdict"].iloc[0]}
            )
        blocks += [f"### Table {letter}", tables.TITLES[str(letter)], table(rows)]
    return blocks


def _spread(values: np.ndarray, *, whole: bool) -> str:
    """Mean [smallest, largest] over seeds; what never happened in some has no mean."""
    digits = 0 if whole else 3
    low, high = (f"{value:.{digits}f}" if math.isfinite(value) else "never" for value in (values.min(), values.max()))
    if low == high:
        return low
    mean = f"{values.mean():.{1 if whole else 3}f} " if np.isfinite(values).all() else ""
    return f"{mean}[{low}, {high}]"


_GROUPS = {
    "factorial": (
        "Every combination of the faults",
        "The large text (192 words with the published frequencies, or yours), 8 x 8 x 5, dense decoder, 128 tokens a "
        "step, 200 steps at most.",
    ),
    "phases": (
        "The notebook's phases, as they were and repaired",
        "Dropout 0.2 as published in the first three. The fifth, sigmoid at 8 x 8 x 5, is in the factorial.",
    ),
    "extreme": (
        "The extreme decoder",
        "Two steps an epoch as published; the small text at 7 x 7 x 3 for 25 steps.",
    ),
    "sizes": (
        "Vocabulary and frequencies",
        "Repaired conditions show words equally often, at a rate of 3e-3, and stop once all come back right.",
    ),
    "starts": (
        "A learned start",
        "Reptile moves the initial weights towards where 80 short trainings end, each of 20 steps on a text of the "
        "same words with other frequencies (1,600 steps in all), before the usual 200 steps; beside it 200 steps, and "
        "1,800, of plain training.",
    ),
    "full": ("The whole factorial", "Every bottleneck, decoder, grid, loss, start and rate."),
}


def contents(dataset: xarray.Dataset, config: Config) -> Report:
    """The study in words, tables and figures."""
    title = "Visual-token autoencoders: the published collapse, its causes and its repairs"
    bench = diagnosing.blocks(dataset) if "bench_model" in dataset.dims else []
    files = {"diagnosis.csv": "a row for every model of the bench"} if bench else {}
    if "idea_row" in dataset.dims:
        files["ideas.csv"] = "a row for every number of the notebook's further proposals"
    bench += ideas.blocks(dataset) if "idea_row" in dataset.dims else []
    if "condition" not in dataset.dims:
        return Report(title, bench, figures.further(dataset), files=files)
    text, own_text = text_of(dataset), dataset.attrs.get("text")
    size = text.vocabulary_size
    blocks: list[str] = [
        f"{dataset.sizes['condition']} conditions x {config.seeds} seeds, "
        f"{dataset.attrs['simulation_seconds']:.0f} s, compilation included ({machine(dataset)}). "
        "Intervals are 95 % (Student, over seeds).",
        *([f"The text is not the published one, so that no published number stands beside ours: {own_text}."]
          if own_text else []),
        "## Answers", *_answers(dataset),
        "## What the metric can say",
        f"The {'' if own_text else 'published '}validation text has {len(text.validation)} tokens, of which "
        f"{round(text.unknown_share * len(text.validation))} are unknown to the training text: **no model can exceed "
        f"{text.ceiling:.2%}**, and one that always says the commonest word has {text.constant_accuracy:.2%}. "
        f"A uniform guess costs ln {size} = {math.log(size):.3f} nats; a double softmax lives between "
        f"{math.log(math.e + size - 1) - 1:.3f} and {math.log(math.e + size - 1):.3f}, and the constant answer has "
        f"{claims.constant_loss(text):.4f} there. *Words right* counts each of the {len(text.types)} words once.",
        "## How much a grid can hold", _capacity(size),
    ]  # fmt: skip
    for group, (title, words) in _GROUPS.items():
        if (dataset["group"] == group).any():
            blocks += [f"## {title}", words, _conditions(dataset, group)]
            if group == "factorial":
                blocks += [
                    "What each fault costs alone (95 %, paired by seed), and what repairing it alone brings where the "
                    "others stay.",
                    table(effects(dataset)),
                ]
    blocks += [
        "## What a step costs",
        "One training step of 128 tokens at 192 words: operations and peak bytes as XLA counts them, medians of "
        "seconds timed in turn, beside the transformer (two blocks, four heads) nearest in size. The notebook says 3 "
        "times for the extreme decoder, 5 to 20 times the memory and 10 to 100 times the time of a transformer.",
        cost_table(dataset),
        *bench,
    ]
    if "table_row" in dataset.dims:
        blocks += _tables(dataset)
    files["runs.csv"] = "a row for every training"
    if "table_row" in dataset.dims:
        files["tables.csv"] = "a row for every training of Tables A to F"
    return Report(title, blocks, figures.figures(dataset), files=files)


def decides(config: Config) -> bool:
    """All conditions, or the ideas alone: neither tables nor the bench change anything on which findings rest."""
    usual = Config()
    decisive = set(config.groups) - {"diagnosis"}
    if decisive != {"ideas"} and decisive | {"ideas"} != set(usual.groups) - {"diagnosis"}:
        return False
    return dataclasses.replace(config, tables=False, every=1, groups=usual.groups) == usual


STUDY = Study(
    "autoencoder", measure, Config, contents=contents, write=write, headline=headline, findings=claims.findings,
    decides=decides,
    variables={**VARIABLES, **diagnosing.VARIABLES, **ideas.VARIABLES,
               "seconds": "wall time of the condition, its share of compilation included"},
)  # fmt: skip
