"""Figures of maps of meanings. Each takes the Dataset of ``tokdyn study topology``."""

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


def _row(panel: Any, place: float, values: np.ndarray, number: int) -> Any:
    """All seeds of a row as dots, and their mean with its interval."""
    values = np.asarray(values, float)
    shift = np.linspace(-0.12, 0.12, len(values))
    panel.plot(values, place + shift, ".", color="0.7", markersize=3, zorder=1, clip_on=False)
    found = mean_interval(values, within=(0, 1))
    return panel.errorbar(
        [found.mean], [place], xerr=[[found.mean - found.low], [found.high - found.mean]], color=COLOURS[number],
        marker=MARKERS[number], markersize=5, linestyle="none", elinewidth=1.4, capsize=2.5, zorder=3, clip_on=False,
    )  # fmt: skip


@styled
def models(dataset: xarray.Dataset, *, chance: float, published: float) -> Figure:
    """Overlap of the whole model in its conditions, and of one network by its loss.

    Args:
        dataset: of the study.
        chance: of the overlap.
        published: the overlap of the whole model.

    Returns:
        The figure.
    """
    made, axes = figure(1, 2, width=3.3, height=2.3, sharex=True)
    left, right = axes[0]
    names = list(dataset["model"].values)
    after = dataset.sel(end="after")
    handles: dict[str, Any] = {}
    for place, name in enumerate(names):
        for number, (variable, label) in enumerate(
            (("overlap_published", "its own distances"), ("overlap", "right distances"))
        ):
            row = _row(left, place + 0.26 * (number - 0.5), after[variable].sel(model=name).values, number + 1)
            handles[label] = row
    left.set_yticks(range(len(names)), names)
    left.set_title("the whole model")
    maps = list(dataset["map"].values)
    for place, name in enumerate(maps):
        _row(right, place, dataset["map_overlap"].sel(map=name).values, 2)
    right.set_yticks(range(len(maps)), [name.replace("network, ", "") for name in maps])
    right.set_title("one network, by its loss")
    for panel, count in ((left, len(names)), (right, len(maps))):
        handles["chance"] = panel.axvline(chance, color="0.35", linestyle=(0, (3, 2)), linewidth=1)
        panel.set(xlabel="overlap of five nearest", xlim=(0, 1), ylim=(count - 0.5, -0.5))
        panel.grid(False, axis="y")
    handles["published"] = left.axvline(published, color=COLOURS[5], linestyle=":", linewidth=1.3)
    legend_below(made, list(handles.values()), list(handles))
    return made


@styled
def dimensions(
    dataset: xarray.Dataset,
    *,
    chance: Mapping[str, float],
    enough: Mapping[tuple[str, str], int],
    titles: Mapping[str, str],
) -> Figure:
    """Overlap by the number of dimensions, a panel for each source.

    Args:
        dataset: of the study.
        chance: of the overlap of rows held out, by source.
        enough: the dimension that is, by variable and source: it gets a ring.
        titles: of the panels, by source.

    Returns:
        The figure.
    """
    sources = dataset["source"].values
    labels = {"fitted": "rows of the map", "held_out": "rows held out", "components": "principal components"}
    across = min(len(sources), 3)
    made, axes = figure(-(-len(sources) // across), across, width=2.5, height=2.3, sharey=True)
    counts = dataset["dimension"].values
    for panel, source in zip(axes.ravel(), sources, strict=False):
        for number, (name, label) in enumerate(labels.items()):
            values = dataset[name].sel(source=source).transpose("dimension", "sweep_seed").values.astype(float)
            found = mean_interval(values, axis=1, within=(0, 1))
            panel.errorbar(
                counts * (1 + 0.03 * (number - 1)), found.mean, yerr=[found.mean - found.low, found.high - found.mean],
                color=COLOURS[number + 1], marker=MARKERS[number + 1], markersize=3.8, linewidth=1.1, elinewidth=1,
                capsize=1.5, label=label, linestyle="-" if name != "components" else ":", clip_on=False,
            )  # fmt: skip
            if (name, str(source)) in enough:
                means, first = values.mean(axis=1), list(counts).index(enough[name, str(source)])
                panel.plot([counts[first]], [means[first]], "o", markersize=10, markerfacecolor="none",
                           markeredgecolor=COLOURS[number + 1], markeredgewidth=1, clip_on=False)  # fmt: skip
        panel.axhline(chance[str(source)], color="0.35", linestyle=(0, (3, 2)), linewidth=1, label="chance")
        panel.set_xscale("log", base=2)
        panel.set_xticks(counts, [str(count) for count in counts])
        panel.minorticks_off()
        panel.set(title=titles[str(source)], xlabel="dimensions", ylim=(0, 1.02))
    for panel in axes.ravel()[len(sources) :]:
        panel.set_axis_off()
    for panel in axes[:, 0]:
        panel.set_ylabel("overlap of five nearest")
    legend_below(made, *axes[0, 0].get_legend_handles_labels())
    return made
