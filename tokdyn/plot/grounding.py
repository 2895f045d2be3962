"""Figures of semantic grounding. Each takes the Dataset of ``tokdyn study grounding``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray

from tokdyn.plot.style import COLOURS, MARKERS, figure, styled
from tokdyn.plot.training import legend_below
from tokdyn.stats import mean_interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_FIRST = 4  # steps that are shown


@styled
def targets(dataset: xarray.Dataset) -> Figure:
    """Share of the words read right after the first steps, a panel for each number of words."""
    sizes, names = dataset["words"].values, dataset["target"].values
    made, axes = figure(1, len(sizes), width=2.2, height=2.2, sharey=True)
    for panel, size in zip(axes[0], sizes, strict=True):
        for number, name in enumerate(names):
            values = dataset["accuracy"].sel(words=size, target=name).transpose("step", "seed").values[: _FIRST + 1]
            values = values[:, ~np.isnan(values[0])].astype(float)
            found = mean_interval(values, axis=1, within=(0, 1))
            steps = np.arange(_FIRST + 1) + 0.13 * (number - (len(names) - 1) / 2)
            panel.errorbar(
                steps, found.mean, yerr=[found.mean - found.low, found.high - found.mean], color=COLOURS[number],
                marker=MARKERS[number], markersize=4, linewidth=0.8, elinewidth=1, capsize=1.5, label=name,
                clip_on=False,
            )  # fmt: skip
        panel.axhline(1 / size, color="0.35", linestyle=(0, (3, 2)), linewidth=1, label="chance")
        panel.set_xticks(range(_FIRST + 1))
        panel.set(title=f"{size:,} words", xlabel="steps", ylim=(-0.02, 1.04))
    axes[0, 0].set_ylabel("read right")
    legend_below(made, *axes[0, 0].get_legend_handles_labels())
    return made


@styled
def channel(dataset: xarray.Dataset, *, titles: Mapping[str, str]) -> Figure:
    """Exact recovery against the rank of wrong words, along the dial, for each source and channel.

    Args:
        dataset: of the study.
        titles: of the sources.

    Returns:
        The figure.
    """
    sources, channels = dataset["source"].values, dataset["channel"].values
    made, axes = figure(len(channels), len(sources), width=2.3, height=2.1, sharey=True)
    for place, (row, kind) in enumerate(zip(axes, channels, strict=True)):
        levels = dataset["noise"].sel(channel=kind).values
        for panel, source in zip(row, sources, strict=True):
            one = dataset.sel(source=source, channel=kind)
            for number in range(len(levels) - 1):
                _dial(panel, one.isel(level=number + 1), number, f"noise {number + 1}")
            panel.axhline(0.5, color="0.35", linestyle=(0, (3, 2)), linewidth=1)
            panel.set(xlim=(0.15, 1.02), ylim=(-0.02, 0.62))
            if not place:
                panel.set_title(titles[str(source)])
            if place == len(channels) - 1:
                panel.set_xlabel("words that come back")
        shown = ", ".join(f"{level:g}" for level in levels[1:])
        row[0].set_ylabel(f"rank of wrong words\n{'Gaussian' if kind == 'gaussian' else 'bit flips'}: {shown}")
    legend_below(made, *axes[0, 0].get_legend_handles_labels())
    return made


def _dial(panel: Any, one: xarray.Dataset, number: int, label: str) -> None:
    """A line over the codes with meaning, and an open mark for arbitrary ones."""
    points = {name: one[name].transpose("code", "channel_seed").values.astype(float) for name in ("exact", "rank")}
    enough = np.isfinite(points["rank"]).sum(axis=1) > 1
    x, y = points["exact"].mean(axis=1), np.full(len(enough), np.nan)
    error = np.zeros((2, len(enough)))
    for code in np.flatnonzero(enough):
        own = points["rank"][code]
        found = mean_interval(own[np.isfinite(own)], within=(0, 1))
        y[code] = found.mean
        error[:, code] = found.mean - found.low, found.high - found.mean
    common = {"color": COLOURS[number], "elinewidth": 0.9, "capsize": 1.5}
    meant = slice(0, -1)
    panel.errorbar(x[meant], y[meant], yerr=error[:, meant], marker=MARKERS[number], markersize=3, linewidth=1,
                   label=label, **common)  # fmt: skip
    panel.plot(x[:1], y[:1], MARKERS[number], color=COLOURS[number], markersize=6.5)
    panel.errorbar(x[-1:], y[-1:], yerr=error[:, -1:], marker=MARKERS[number], markersize=5.5, markerfacecolor="white",
                   linestyle="none", **common)  # fmt: skip
