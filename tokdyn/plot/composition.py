"""Figures of composition. Each takes the Dataset of ``tokdyn study composition``."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray

from tokdyn.plot.style import COLOURS, MARKERS, figure, styled
from tokdyn.plot.training import legend_below
from tokdyn.stats import mean_interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SPREAD = 0.3  # of the dots of a row


def _row(panel: Any, place: float, values: np.ndarray, colour: str, *, hollow: bool = False) -> None:
    """All values of a row as dots, and their mean with its interval."""
    shift = np.random.default_rng(0).uniform(-_SPREAD, _SPREAD, len(values))
    panel.plot(values, place + shift, ".", color="0.72", markersize=2, zorder=1, clip_on=False)
    found = mean_interval(values.astype(float), within=(0, 1))
    panel.errorbar(
        [found.mean], [place], xerr=[[found.mean - found.low], [found.high - found.mean]], color=colour, zorder=3,
        marker=MARKERS[0], markersize=5.5, markerfacecolor="white" if hollow else colour, markeredgewidth=1.3,
        elinewidth=1.6, capsize=2.5, clip_on=False,
    )  # fmt: skip


@styled
def qualities(dataset: xarray.Dataset, *, same: float, most: float) -> Figure:
    """The published quality of composed pairs, by composer: patterns on the left, embeddings on the right.

    Args:
        dataset: with ``quality`` over model, seed and composer.
        same: the quality of one ranking for all pairs.
        most: the largest quality.

    Returns:
        The figure.
    """
    models, composers = dataset["model"].values, dataset["composer"].values
    made, axes = figure(1, len(models), width=3.1, height=2.3, sharey=True, sharex=True)
    lines: list[Any] = []
    for number, (panel, model) in enumerate(zip(axes[0], models, strict=True)):
        lines = [
            panel.axvline(same, color=COLOURS[5], linestyle="--", linewidth=1.1, zorder=0),
            panel.axvline(most, color=COLOURS[4], linestyle="-.", linewidth=1.1, zorder=0),
        ]
        for place, composer in enumerate(composers):
            values = dataset["quality"].sel(model=model, composer=composer).values
            _row(panel, place, values, COLOURS[1])
        shown = "network" if model == "visual" else "sum"
        place = list(composers).index(shown)
        panel.annotate("published", (same if model == "visual" else most, place), xytext=(0.53, place + 0.02),
                       fontsize=7.5, va="center", ha="center",
                       arrowprops={"arrowstyle": "->", "color": "0.3", "linewidth": 0.9})  # fmt: skip
        panel.set_title("patterns" if model == "visual" else "embeddings")
        panel.set(xlabel="quality of a pair", xlim=(0.26, 0.7))
        panel.grid(False, axis="y")
        if not number:
            names = ["untrained network" if one == "network" else one for one in composers]
            panel.set_yticks(range(len(names)), names)
            panel.set_ylim(len(names) - 0.5, -0.5)
    legend_below(made, lines, ["one ranking for all pairs (chance)", "maximum"])
    return made


@styled
def operators(
    dataset: xarray.Dataset, *, chance: Mapping[str, float], bound: Mapping[str, float], unordered: Collection[str]
) -> Figure:
    """Shares of held-out combinations read right, a panel for each world and a row for each operator.

    Args:
        dataset: with ``exact`` over world, operator and seed.
        chance: by world.
        bound: by world, the most that an operator without order can have on average, where that is below 1.
        unordered: operators without order, whose marks are open.

    Returns:
        The figure.
    """
    from matplotlib.lines import Line2D

    worlds, names = dataset["world"].values, list(dataset["operator"].values)
    made, axes = figure(1, len(worlds), width=3.2, height=0.6 + 0.28 * len(names), sharey=True, sharex=True)
    handles: dict[str, Any] = {}
    for panel, world in zip(axes[0], worlds, strict=True):
        line = panel.axvline(chance[world], color=COLOURS[5], linestyle="--", linewidth=1.1, zorder=0)
        handles["chance"] = line
        if world in bound:
            label = "most without order"
            handles[label] = panel.axvline(bound[world], color=COLOURS[4], linestyle="-.", linewidth=1.1, zorder=0)
        for place, name in enumerate(names):
            values = dataset["exact"].sel(world=world, operator=name).values
            hollow = name in unordered
            _row(panel, place, values, COLOURS[2] if hollow else COLOURS[1], hollow=hollow)
        panel.set_title(str(world))
        panel.set(xlabel="held-out combinations read right", xlim=(-0.02, 1.02))
        panel.grid(False, axis="y")
    axes[0, 0].set_yticks(range(len(names)), names)
    axes[0, 0].set_ylim(len(names) - 0.5, -0.5)
    common: dict[str, Any] = {"linestyle": "none", "marker": MARKERS[0], "markersize": 5.5}
    handles |= {
        "every training": Line2D([], [], linestyle="none", marker=".", color="0.72"),
        "mean: order of parts counts": Line2D([], [], color=COLOURS[1], **common),
        "mean: order does not count": Line2D([], [], color=COLOURS[2], markerfacecolor="white", **common),
    }
    legend_below(made, list(handles.values()), list(handles))
    return made


@styled
def frames(dataset: xarray.Dataset, *, chance: float) -> Figure:
    """Share of a frame's parts found again, by their number.

    Args:
        dataset: with ``found_again`` over frame and seed, and ``found_again_expected`` over frame.
        chance: of one part.

    Returns:
        The figure.
    """
    made, axes = figure(1, 1, width=3.4, height=2.4)
    panel = axes[0, 0]
    counts = dataset["frame"].values
    found = mean_interval(dataset["found_again"].values.astype(float), axis=1, within=(0, 1))
    panel.plot(counts, dataset["found_again_expected"].values, color=COLOURS[2], label="law for many numbers")
    panel.errorbar(counts, found.mean, yerr=[found.mean - found.low, found.high - found.mean], color=COLOURS[1],
                   marker=MARKERS[0], markersize=4.5, linestyle="none", capsize=2.5, label="measured, 95 % interval",
                   clip_on=False)  # fmt: skip
    panel.axhline(chance, color=COLOURS[5], linestyle="--", linewidth=1.1, label="chance")
    panel.set_xscale("log", base=2)
    panel.set_xticks(counts, [str(count) for count in counts])
    panel.set(xlabel="parts in the frame", ylabel="found again", ylim=(0, 1.02))
    panel.legend(loc="center left")
    return made
