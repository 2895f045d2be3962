"""Figures of ``tokdyn study overprovision``; each takes its Dataset."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import xarray

from tokdyn.plot.style import COLOURS, MARKERS, figure, styled
from tokdyn.stats import clopper_pearson, mean_interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_METHODS = {
    "plateau": ("select_temperature", COLOURS[1]), "mixture": ("GMM + BIC", COLOURS[2]),
    "silhouette": ("k-means + silhouette", COLOURS[4]),
}  # fmt: skip
_STARTS = {"features": "started on random features", "farthest_point": "started farthest apart"}


@styled
def exact_by_temperature(dataset: xarray.Dataset, *, titles: Mapping[str, str]) -> Figure:
    """Share of runs with the exact number of distinct tokens over temperature, a panel for each start."""
    starts, counts = dataset["start"].values, dataset["num_tokens"].values
    made, axes = figure(1, len(starts), width=3.6, height=3.2, sharey=True)
    for panel, start in zip(axes[0], starts, strict=True):
        for i, count in enumerate(counts):
            found = (
                dataset["exact"].sel(start=start, num_tokens=count).mean("condition").transpose("temperature", "seed")
            )
            ends = mean_interval(found.values.astype(float), axis=-1, within=(0, 1))
            bars = np.maximum(0, [ends.mean - ends.low, ends.high - ends.mean])
            panel.errorbar(
                found["temperature"].values * 1.03 ** (i - 1), ends.mean, bars, color=COLOURS[i + 1], marker=MARKERS[i],
                markersize=4, capsize=2, linewidth=1, label=f"{count} tokens",
            )  # fmt: skip
        panel.set(xscale="log", xlabel="temperature (squared units of the features)", ylim=(-0.03, 1.03))
        panel.set_title(_STARTS.get(str(start), str(start)))
    axes[0, 0].set_ylabel("runs with the exact number")
    axes[0, -1].legend()
    return made


@styled
def exact_by_family(dataset: xarray.Dataset, *, titles: Mapping[str, str]) -> Figure:
    """Share of scenes in which each method is exact: a row for each family, those held back below."""
    families = np.concatenate([dataset["family"].values[dataset["is_built_on"].values == own] for own in (True, False)])
    own = int(dataset["is_built_on"].sum())
    rows = np.arange(len(families)) + (np.arange(len(families)) >= own)
    made, axes = figure(1, 1, width=6.4, height=0.24 * (len(families) + 1) + 0.9)
    panel = axes[0, 0]
    for i, method in enumerate(dataset["rule"].values):
        cell = dataset.sel(rule=method, family=families)
        right = (cell["chosen"] == cell["true"]).transpose("family", "seed").values
        ends = [clopper_pearson(int(row.sum()), row.size) for row in right]
        mean = right.mean(axis=1)
        bars = np.array([[m - e.low, e.high - m] for m, e in zip(mean, ends, strict=True)]).T
        name, colour = _METHODS[str(method)]
        panel.errorbar(
            mean, rows + 0.2 * (i - 1), xerr=np.maximum(0, bars), fmt=MARKERS[i], color=colour, markersize=4,
            linewidth=0.8, label=name,
        )  # fmt: skip
    panel.axhline(own, color=COLOURS[0], linewidth=0.5)
    panel.text(1.02, own - 0.5, "built on", transform=panel.get_yaxis_transform(), fontsize="small", va="bottom")
    panel.text(1.02, own + 0.5, "held back", transform=panel.get_yaxis_transform(), fontsize="small", va="top")
    panel.set_yticks(rows, [titles.get(str(name), str(name)) for name in families])
    panel.set(xlabel="scenes with the exact number of clusters", xlim=(-0.02, 1.02), ylim=(rows[-1] + 0.7, -0.7))
    panel.legend(loc="upper center", bbox_to_anchor=(0.4, -0.09), ncols=3)
    return made
