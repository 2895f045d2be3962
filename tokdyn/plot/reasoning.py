"""Figures of latent reasoning: accuracy by arm, likeness of latents, effects of an exchange by path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tokdyn.checks import bad
from tokdyn.plot.style import COLOURS, MARKERS, figure, styled
from tokdyn.plot.training import at_most_seven, legend_below, name_list, numbers, wrap

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST_PANELS = 8


@styled
def arm_accuracies(
    arms: Sequence[str],
    accuracies: Mapping[str, Any],
    *,
    chance: Mapping[str, float] | None = None,
    label: str = "share of right answers",
) -> Figure:
    """Bars of accuracy by arm, a panel for each reasoner; the line is its first arm, the dots are guessing.

    Args:
        arms: names, the first on top, which is the one that others are compared with.
        accuracies: reasoner -> `[3, arms]`: value, and the ends of its 95 % interval; NaN where it lacks the arm.
        chance: accuracy of guessing by reasoner.
        label: of the horizontal axis.

    Returns:
        The figure.

    Raises:
        ValueError: arrays of another shape, a value outside its interval, no reasoner or more than eight.

    Example:
        >>> from tokdyn.plot.reasoning import arm_accuracies
        >>> made = arm_accuracies(["clean", "zero"], {"content": [[1.0, 0.1], [0.9, 0.0], [1.0, 0.2]]})
        >>> [text.get_text() for text in made.axes[0].get_yticklabels()]
        ['clean', 'zero']
    """
    arms = name_list("arms", arms, None)
    if not 0 < len(accuracies) <= _MOST_PANELS:
        raise bad("accuracies", f"from 1 to {_MOST_PANELS} reasoners", len(accuracies))
    made, axes = figure(1, len(accuracies), width=1.45, height=0.7 + 0.19 * len(arms), sharey=True)
    made.set_size_inches(1.45 * len(accuracies) + 2.4, 0.7 + 0.19 * len(arms))
    rows = np.arange(len(arms))
    for panel, (name, given) in zip(axes[0], accuracies.items(), strict=True):
        value, low, high = numbers(f"accuracies[{name!r}]", given, "[bounds, arms]", bounds=3, arms=len(arms))
        there = np.isfinite(value)
        if ((low > value + 1e-9) | (high < value - 1e-9))[there].any():
            raise bad(f"accuracies[{name!r}]", "values within their intervals", "one outside")
        first = rows == 0
        for chosen, colour, text in (
            (there & ~first, COLOURS[6], "with an intervention"),
            (there & first, COLOURS[1], arms[0]),
        ):
            panel.barh(
                rows[chosen], value[chosen], height=0.72, color=colour, edgecolor="black", linewidth=0.4,
                xerr=np.maximum([value - low, high - value], 0)[:, chosen], label=text,
                error_kw={"elinewidth": 0.9, "capsize": 1.6, "ecolor": "black"},
            )  # fmt: skip
        panel.axvline(value[0], color=COLOURS[1], linewidth=0.9, linestyle="--", zorder=3)
        if chance and name in chance:
            panel.axvline(chance[name], color=COLOURS[5], linewidth=1.2, linestyle=":", label="guessing", zorder=3)
        for row in rows[~there]:
            room = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}
            panel.text(0.02, row, "no such arm", va="center", fontsize=6, color="0.4", bbox=room, zorder=4)
        panel.set_xlim(0, 1.04)
        panel.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
        panel.set_title(wrap(name, 1.4))
        panel.grid(False, axis="y")
    axes[0, 0].set_yticks(rows, arms)
    axes[0, 0].set_ylim(len(arms) - 0.4, -0.6)
    axes[0, (len(accuracies) - 1) // 2].set_xlabel(f"{label}, with 95 % intervals")
    legend_below(made, *axes[0, 0].get_legend_handles_labels())
    return made


@styled
def latent_likeness(
    between: Mapping[str, Any], within: Mapping[str, Any], *, label: str = "cosine", items: str = "items"
) -> Figure:
    """Heat maps of cosines: between items at every slot, then between the slots of one item; a row for each reasoner.

    Args:
        between: reasoner -> `[slots, items, items]`; NaN for slots that it does not have.
        within: reasoner -> `[slots, slots]`.
        label: of the colour bar.
        items: of the axes of the maps between items.

    Returns:
        The figure.

    Raises:
        ValueError: arrays of another shape, other reasoners in the two, none, or more than eight.
    """
    if list(between) != list(within) or not 0 < len(between) <= _MOST_PANELS:
        raise bad("within", f"the same 1 to {_MOST_PANELS} reasoners as between, {list(between)}", list(within))
    maps = {name: numbers(f"between[{name!r}]", value, "[slots, items, others]") for name, value in between.items()}
    most = max(len(value) for value in maps.values())
    made, axes = figure(len(maps), most + 1, width=1.45, height=1.45)
    made.set_size_inches(1.45 * (most + 1) + 1.2, 1.4 * len(maps) + 0.5)
    image = None
    for row, (line, (name, value)) in enumerate(zip(axes, maps.items(), strict=True)):
        inner = numbers(f"within[{name!r}]", within[name], "[slots, others]")
        shown = [*value, *[np.full(value.shape[1:], np.nan)] * (most - len(value)), inner]
        for column, (panel, matrix) in enumerate(zip(line, shown, strict=True)):
            panel.grid(False)
            if np.isnan(matrix).all():
                panel.set_axis_off()
                panel.text(0.5, 0.5, "no such slot", ha="center", va="center", fontsize=7, transform=panel.transAxes)
                continue
            kept = matrix[np.isfinite(matrix).any(axis=1)][:, np.isfinite(matrix).any(axis=0)]
            image = panel.imshow(kept, vmin=-1, vmax=1, cmap="PuOr", interpolation="nearest")
            panel.spines[:].set(visible=True, color="0.6", linewidth=0.6)
            if column < most:
                panel.set(xticks=[], yticks=[])
            else:
                ticks = np.arange(len(kept))
                panel.set_xticks(ticks, ticks + 1)
                panel.set_yticks(ticks, ticks + 1)
                panel.set_ylabel("slot")
            if row == 0:
                panel.set_title(f"slot {column + 1}" if column < most else "within one item")
            if row == len(maps) - 1:
                panel.set_xlabel(items if column < most else "slot")
        line[0].set_ylabel(wrap(name, 1.2))
    assert image is not None
    made.colorbar(image, ax=axes.ravel().tolist(), label=label, fraction=0.03, pad=0.02, shrink=0.7)
    return made


@styled
def path_effects(
    effects: Mapping[str, Mapping[str, Any]], *, label: str = "change of the margin (nats)", title: str | None = None
) -> Figure:
    """Effects of an exchange, split by path, with 95 % intervals; a line of the figure for each reasoner.

    Args:
        effects: name of an effect -> {reasoner: (estimate, low, high)}; at most seven effects, all of the same
            reasoners.
        label: of the horizontal axis, with its unit.
        title: above the panel.

    Returns:
        The figure.

    Raises:
        ValueError: other reasoners in two effects, numbers that are no such three, no effect or more than seven.

    Example:
        >>> from tokdyn.plot.reasoning import path_effects
        >>> made = path_effects({"direct": {"masked": (2.0, 1.0, 3.0)}, "indirect": {"masked": (0.0, 0.0, 0.0)}})
        >>> made.axes[0].get_xlabel()
        'change of the margin (nats)'
    """
    at_most_seven("effects", effects)
    names = list(next(iter(effects.values())))
    shown = [wrap(name, 1.6) for name in names]
    made, axes = figure(width=5.6, height=0.7 + 0.5 * len(names))
    panel = axes[0, 0]
    panel.axvline(0, color="0.4", linewidth=1, zorder=1)
    for row in range(0, len(names), 2):
        panel.axhspan(row - 0.5, row + 0.5, color="0.95", linewidth=0, zorder=0)
    spread = 0.18 * (np.arange(len(effects)) - (len(effects) - 1) / 2)
    for i, (effect, of) in enumerate(effects.items(), 1):
        if list(of) != names:
            raise bad(f"effects[{effect!r}]", f"the reasoners {names}", list(of))
        table = numbers(f"effects[{effect!r}]", list(of.values()), "[reasoners, bounds]", bounds=3)
        value, low, high = table.T
        panel.errorbar(
            value, np.arange(len(names)) + spread[i - 1], xerr=np.maximum([value - low, high - value], 0),
            color=COLOURS[i], marker=MARKERS[i], markersize=5, linestyle="none", elinewidth=1.2, capsize=2.5,
            markeredgecolor="black", markeredgewidth=0.5, label=effect, zorder=3,
        )  # fmt: skip
    panel.set_yticks(np.arange(len(names)), shown)
    panel.set_ylim(len(names) - 0.5, -0.5)
    panel.set_xlabel(wrap(label, 4.0))
    if title:
        panel.set_title(wrap(title, 4.6))
    panel.grid(False, axis="y")
    legend_below(made, *panel.get_legend_handles_labels())
    return made
