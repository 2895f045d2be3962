"""Figures of tokens that depend on context. Each takes the Dataset of ``tokdyn study context``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray

from tokdyn.plot.style import COLOURS, MARKERS, figure, styled
from tokdyn.plot.training import legend_below
from tokdyn.stats import mean_interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def _band(
    panel: Any, places: Any, values: xarray.DataArray, number: int, label: str, *, line: str = "-", aside: float = 0.0
) -> None:
    """Mean and 95 % interval over seeds, of shares `[x, seed]`."""
    found = mean_interval(values.values.astype(float), within=(0, 1))
    panel.errorbar(
        np.asarray(places) + aside, found.mean, yerr=[found.mean - found.low, found.high - found.mean],
        color=COLOURS[number], marker=MARKERS[number], markersize=3.8, linestyle=line, linewidth=1.1, elinewidth=1.0,
        capsize=1.5, label=label,
    )  # fmt: skip


@styled
def recovered(dataset: xarray.Dataset) -> Figure:
    """Share of held-out sentences whose sense is recovered, a row for each condition, a mark for each reader."""
    made, axes = figure(1, 1, width=6.6, height=5.2)
    panel = axes[0, 0]
    names = list(dataset["condition"].values)
    rows = np.arange(len(names))
    readers = list(dataset["reader"].values)
    for number, reader in enumerate(readers):
        values = dataset["recovered"].sel(reader=reader).transpose("condition", "seed").values.astype(float)
        found = mean_interval(values, within=(0, 1))
        panel.errorbar(
            found.mean, rows + 0.09 * (number - (len(readers) - 1) / 2),
            xerr=[found.mean - found.low, found.high - found.mean], color=COLOURS[number], marker=MARKERS[number],
            markersize=7.5 if reader == "oracle" else 3.8, markeredgecolor="0.3", markeredgewidth=0.4,
            linestyle="none", elinewidth=1.0, label=reader,
        )  # fmt: skip
    chance = dataset["chance"].mean("seed").values
    panel.vlines(chance, rows - 0.45, rows + 0.45, color="0.35", linestyle=(0, (3, 2)), linewidth=1.2, label="chance")
    panel.set_yticks(rows, names)
    panel.set_ylim(len(names) - 0.5, -0.5)
    for edge in rows[1:] - 0.5:
        panel.axhline(edge, color="0.85", linewidth=0.6)
    panel.grid(False, axis="y")
    panel.set(xlabel="share of held-out sentences whose sense is recovered", xlim=(0, 1.02))
    legend_below(made, *panel.get_legend_handles_labels())
    return made


@styled
def patterns(dataset: xarray.Dataset) -> Figure:
    """Sentences and graphs that come back from one pattern, by noise and by number of edges, a line for each scale."""
    made, axes = figure(1, 3, width=2.5, height=2.6)
    sides = list(dataset["side"].values)
    names = {"exact": "subject, verb and object", "told_apart": "told from its exchange"}
    places = np.arange(dataset.sizes["noise"])
    for panel, (name, title) in zip(axes[0], names.items(), strict=False):
        for number, side in enumerate(sides):
            for binding, line in (("roles", "-"), ("sum", ":")):
                values = dataset[name].sel(side=side, binding=binding).transpose("noise", "seed")
                label = f"{side} x {side}, {'roles' if binding == 'roles' else 'without roles'}"
                _band(panel, places, values, number + 1, label, line=line, aside=0.06 * (number - 1))
        panel.set_xticks(places, [f"{level:g}" for level in dataset["noise"].values])
        panel.set(title=title, xlabel="noise (standard deviations)", ylim=(-0.03, 1.03))
    axes[0, 0].set_ylabel("share of sentences")
    axes[0, 1].axhline(0.5, color="0.35", linestyle=(0, (3, 2)), linewidth=1)
    for number, side in enumerate(sides):
        values = dataset["edges_right"].sel(side=side).transpose("edges", "seed")
        _band(axes[0, 2], dataset["edges"].values, values, number + 1, f"{side} x {side}, roles")
    axes[0, 2].set(title="edges of a graph", xlabel="edges in one pattern", xscale="log", ylim=(-0.03, 1.03),
                   ylabel="share of edges")  # fmt: skip
    axes[0, 2].set_xticks([1, 4, 16, 64], ["1", "4", "16", "64"])
    axes[0, 2].minorticks_off()
    legend_below(made, *axes[0, 0].get_legend_handles_labels())
    return made


@styled
def changes(dataset: xarray.Dataset) -> Figure:
    """What a changed vocabulary keeps, and where its new words lie, by the uses that are known of them."""
    made, axes = figure(1, 2, width=3.2, height=2.6)
    uses = dataset["uses"].values
    places = np.arange(len(uses))
    kept, placed = axes[0]
    for number, change in enumerate(dataset["change"].values):
        values = dataset["coherence"].sel(change=change).transpose("uses", "seed")
        _band(kept, places, values, number + 1, str(change), aside=0.05 * (number - 1))
    anew = dataset["coherence_anew"].expand_dims(uses=uses).transpose("uses", "seed")
    _band(kept, places, anew, 4, "vectors made anew", line="--")
    kept.set(title="neighbours of the other words", ylabel="share that stays", ylim=(0, 1.03))
    for number, (name, label, most) in enumerate((
        ("added_place", "added: near words of its topic", "added_own"),
        ("split_senses", "split: uses told apart by sense", "split_oracle"),
    )):  # fmt: skip
        _band(placed, places, dataset[name].transpose("uses", "seed"), number + 5, label)
        level = float(dataset[most].mean())
        placed.axhline(level, color=COLOURS[number + 5], linestyle=":", linewidth=1)
    placed.axhline(float(dataset["added_chance"].mean()), color=COLOURS[5], linestyle=(0, (3, 2)), linewidth=1)
    placed.axhline(0.5, color=COLOURS[6], linestyle=(0, (3, 2)), linewidth=1)
    placed.set(title="new words", ylabel="share", ylim=(0, 1.03))
    for panel in axes[0]:
        panel.set_xticks(places, [str(one) for one in uses])
        panel.set_xlabel("known uses of the word")
    handles, labels = (first + second for first, second in zip(
        kept.get_legend_handles_labels(), placed.get_legend_handles_labels(), strict=True
    ))  # fmt: skip
    legend_below(made, handles, labels)
    return made
