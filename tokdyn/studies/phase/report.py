"""What the phases say, in words, tables and figures."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray

from tokdyn import plot
from tokdyn.plot.sweeps import mean_and_interval, pareto_front
from tokdyn.studies.documents import Figure, Report, table
from tokdyn.studies.output import write_json
from tokdyn.studies.phase.claims import findings
from tokdyn.studies.phase.design import MOMENTUM, NAMES, RATIO, REPULSION, Config
from tokdyn.studies.phase.experiment import VARIABLES, measure
from tokdyn.studies.skeleton import Study, machine

# Shown in the figures of four panels or fewer; the tables have all.
_SUMMARY = ("at_rest", "period_two", "num_steps", "ari", "merged_ari")


def headline(dataset: xarray.Dataset) -> str:
    """One paragraph for the terminal."""
    return "\n".join(_answers(dataset))


def front_of(dataset: xarray.Dataset) -> list[dict[str, Any]]:
    """The Pareto front of steps against merge-aware ARI, chosen on one half of the seeds and measured on the other.

    The best of thousands of cells on the seeds that chose it would look better than it is.

    Args:
        dataset: from ``run``.

    Returns:
        One record for each cell of the front, by rising number of steps; none where there is one seed only.
    """
    if dataset.sizes["seed"] < 2:
        return []
    cells = [MOMENTUM, REPULSION, RATIO]
    chosen, fresh = (dataset.isel(seed=slice(start, None, 2)) for start in (0, 1))
    means = {name: chosen[name].mean("seed").stack(cell=cells) for name in ("num_steps", "merged_ari")}
    on_front = pareto_front(means["num_steps"].values, means["merged_ari"].values)
    held_out = {
        name: [part.stack(cell=cells).values[on_front] for part in mean_and_interval(fresh[name], "seed")]
        for name in ("num_steps", "merged_ari", "at_rest")
    }
    records = []
    for i, cell in enumerate(means["num_steps"]["cell"].values[on_front]):
        momentum, repulsion, ratio = (float(x) for x in cell)
        score, low, high = (float(part[i]) for part in held_out["merged_ari"])
        records.append(
            {
                "momentum": momentum,
                "repulsion": repulsion,
                "T/T_c": ratio,
                "steps": float(held_out["num_steps"][0][i]),
                "merge-aware ARI": score,
                "low": low,
                "high": high,
                "at rest": float(held_out["at_rest"][0][i]),
            }
        )
    return sorted(records, key=lambda record: record["steps"])


def write(dataset: xarray.Dataset, folder: Path) -> None:
    """The means of every cell, and the front."""
    means = dataset[list(_SUMMARY)].astype(float).mean("seed").to_dataframe().reset_index()
    means.to_csv(folder / "cells.csv", index=False)
    write_json(folder / "front.json", front_of(dataset))


def _answers(dataset: xarray.Dataset) -> list[str]:
    """The three questions, answered from the Dataset."""
    config = STUDY.config_of(dataset)
    own = config.own_resolution
    distinct = dataset["distinct_tokens"].sel(resolution=own)
    apart = (distinct == config.num_tokens).mean("seed")
    none = apart.sel({REPULSION: 0.0, MOMENTUM: config.momenta[0]})
    one = (distinct == 1).mean("seed").sel({REPULSION: 0.0, MOMENTUM: config.momenta[0]})
    some = apart.sel({REPULSION: dataset[REPULSION] > 0})
    period = dataset["period_two"].mean("seed").max((REPULSION, RATIO))
    worst = dataset["period_two"].mean("seed").isel({MOMENTUM: 0})
    place = worst.stack(cell=[REPULSION, RATIO])
    strength, ratio = place["cell"].values[int(np.argmax(place.values))]
    return [
        f"Collapse. Without repulsion all {config.num_tokens} tokens stay apart (distance {own:g} x noise) in "
        f"{float(none.isel({RATIO: 0})):.0%} of runs at T/T_c = {config.lowest:g} and all are one in "
        f"{float(one.isel({RATIO: -1})):.0%} at {config.highest:g}; {_crossings(none, one)} "
        f"With any repulsion on the grid tokens stay apart in at least {float(some.min()):.1%} of the runs of every "
        "cell, above T_c too.",
        f"Stability. Without momentum up to {float(worst.max()):.0%} of a cell's runs end in an oscillation of period "
        f"two (repulsion {strength:.3g}, T/T_c = {ratio:.3g}); with momentum "
        + ", ".join(f"{m:g}: {float(period.sel({MOMENTUM: m})):.1%}" for m in config.momenta[1:])
        + " at most."
        if len(config.momenta) > 1
        else f"Stability. Up to {float(worst.max()):.0%} of a cell's runs end in an oscillation of period two.",
    ]


def _crossings(apart: xarray.DataArray, one: xarray.DataArray) -> str:
    """Where a half of the runs has lost its first token, and where a half has only one."""
    ratios = apart[RATIO].values
    lost = ratios[apart.values < 0.5]
    merged = ratios[one.values > 0.5]
    first = f"a half has lost one from T/T_c = {lost[0]:.3g} on" if lost.size else "never has a half lost one"
    last = f"a half has only one left from {merged[0]:.3g} on." if merged.size else "never has a half only one left."
    return f"{first}, {last}"


def contents(dataset: xarray.Dataset, config: Config) -> Report:
    """What the phases say, in words, tables and figures."""
    front = front_of(dataset)
    critical = dataset["critical"].isel({MOMENTUM: 0, REPULSION: 0, RATIO: 0})
    blocks = [
        f"{dataset['num_steps'].size:,} runs: {config.temperatures} temperatures x {config.repulsions} repulsions x "
        f"{len(config.momenta)} momenta x {config.seeds} scenes; {config.num_tokens} tokens, "
        f"{config.clusters} clusters, noise {config.noise:g}; the published rule, at most {config.max_steps} steps, "
        f"float32. {dataset.attrs['simulation_seconds']:.0f} s, compilation included "
        f"({machine(dataset)}).",
        "Temperatures are in units of each scene's critical temperature, twice the largest variance of its features "
        f"(mean {float(critical.mean()):.1f}, standard deviation {float(critical.std()):.1f}): the published "
        f"temperature of 1 is T/T_c = {float((1 / critical).mean()):.3f} on average. A run is at rest where the "
        f"largest force on a token is below {config.tol:g}; it has period two where it is not, but is back "
        "at its place every second step.",
    ]
    blocks += ["## Answers", *_answers(dataset)]
    if front:
        best = max(front, key=lambda record: record["merge-aware ARI"])
        fast = min(front, key=lambda record: record["steps"])
        blocks.append(
            f"Speed against quality. The fastest cell of the front takes {fast['steps']:.1f} steps for a merge-aware "
            f"ARI of {fast['merge-aware ARI']:.3f}, the best {best['steps']:.1f} steps for "
            f"{best['merge-aware ARI']:.3f}. {_published_cell(dataset, critical)}"
        )
        blocks += [
            "## The front of steps against quality",
            "Cells were chosen on the seeds of even number and measured on those of odd number, with 95 % intervals.",
            table(front),
        ]
    blocks += ["## Merging without repulsion, by resolution", _by_resolution(dataset, config)]
    return Report("Phases of token dynamics", blocks, _figures(dataset, config), files=FILES)


def _published_cell(dataset: xarray.Dataset, critical: xarray.DataArray) -> str:
    """The cell nearest to the published settings."""
    near = {MOMENTUM: 0.5, REPULSION: 0.05, RATIO: float((1 / critical).mean())}
    cell = dataset.sel(near, method="nearest")
    mean, low, high = (float(x) for x in mean_and_interval(cell["merged_ari"], "seed"))
    return (
        f"The cell nearest to the published settings (T/T_c = {float(cell[RATIO]):.3g}, repulsion "
        f"{float(cell[REPULSION]):.3g}, momentum {float(cell[MOMENTUM]):g}) takes "
        f"{float(cell['num_steps'].mean()):.1f} steps for {mean:.3f} [{low:.3f}, {high:.3f}]."
    )


def _by_resolution(dataset: xarray.Dataset, config: Config) -> str:
    part = dataset["distinct_tokens"].sel({REPULSION: 0.0, MOMENTUM: config.momenta[0]}).astype(float).mean("seed")
    step = max(1, config.temperatures // 8)
    rows = [
        {"T/T_c": float(row[RATIO]), **{f"{r:g} x noise": float(row.sel(resolution=r)) for r in config.resolutions}}
        for row in part.transpose(RATIO, "resolution")[::step]
    ]
    return "Mean number of distinct tokens, by the distance below which two count as one.\n\n" + table(rows)


def _figures(dataset: xarray.Dataset, config: Config) -> list[Figure]:
    # Repulsion 0 has no place on a logarithmic axis: it has its own figure.
    repelled = dataset.sel({REPULSION: dataset[REPULSION] > 0})
    few = repelled.isel({MOMENTUM: sorted({0, len(config.momenta) // 2, len(config.momenta) - 1})})
    axes: dict[str, Any] = {"x": RATIO, "y": REPULSION, "panels": MOMENTUM, "names": NAMES, "log": (RATIO, REPULSION)}
    free = dataset["distinct_tokens"].sel({REPULSION: 0.0}).drop_vars(REPULSION)

    names = {**NAMES, "resolution": "resolution / noise"}
    by_momentum = free.sel(resolution=config.own_resolution).drop_vars("resolution")
    by_resolution = free.sel({MOMENTUM: config.momenta[0]}).drop_vars(MOMENTUM)
    merging = partial(plot.slices, x=RATIO, label="distinct tokens", names=names, log=True)
    front = partial(
        plot.pareto, dataset["num_steps"], dataset["merged_ari"], colour=MOMENTUM, cost_label="steps",
        quality_label="merge-aware ARI", names=NAMES, scale="log",
    )  # fmt: skip

    def diagram(file: str, variable: str, caption: str, label: str, **options: Any) -> Figure:
        return Figure(file, caption, partial(plot.phase_diagram, few[variable], label=label, **axes, **options))

    return [
        diagram(
            "quality.png", "merged_ari", "Merge-aware ARI; contours with the ends of their 95 % intervals dotted.",
            "merge-aware ARI", levels=(0.7, 0.93), limits=(None, 1.0),
        ),
        diagram(
            "rest.png", "at_rest", "Share of runs at rest within the steps.", "share of runs at rest",
            levels=(0.75,), limits=(None, 1.0),
        ),
        diagram(
            "period_two.png", "period_two", "Share of runs that oscillate with period two.", "share with period two",
            levels=(0.2,), limits=(0.0, None),
        ),
        diagram("steps.png", "num_steps", "Mean number of steps.", "steps", levels=(50, 100), limits=(0, None)),
        Figure(
            "merging.png", "Distinct tokens without repulsion, with 95 % bands.",
            partial(merging, by_momentum, lines=MOMENTUM),
        ),
        Figure(
            "resolutions.png", "The same for every resolution, without momentum.",
            partial(merging, by_resolution, lines="resolution"),
        ),
        Figure("pareto.png", "Every cell; the front with 95 % intervals, on all seeds.", front),
    ]  # fmt: skip


FILES = {"cells.csv": "means of every cell", "front.json": "the front of steps against quality"}
STUDY = Study(
    "phase", measure, Config, contents=contents, write=write, headline=headline, findings=findings, variables=VARIABLES
)
