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

_MOST_ROWS, _MOST_MAPS = 7, 16


@styled
def arm_accuracies(
    arms: Sequence[str],
    accuracies: Mapping[str, Any],
    *,
    chance: Mapping[str, float] | None = None,
    changed: Mapping[str, Any] | None = None,
    groups: Mapping[str, Sequence[str]] | None = None,
    label: str = "share of right answers",
) -> Figure:
    """A heat map of accuracy, an arm in each line and a reasoner in each column, guessing in the last line.

    Args:
        arms: names, the first on top, which is the one that others are compared with.
        accuracies: reasoner -> `[3, arms]`: value, and the ends of its 95 % interval; NaN where it lacks the arm. The
            longest half of an interval is told beside the colours.
        chance: accuracy of guessing by reasoner.
        changed: reasoner -> `[arms]` bool: which cells get a frame.
        groups: header -> reasoners beneath it, all of them, each once; by default there are no headers.
        label: of the colours.

    Returns:
        The figure.

    Raises:
        ValueError: arrays of another shape, a value outside its interval, no reasoner, or groups of others.

    Example:
        >>> from tokdyn.plot.reasoning import arm_accuracies
        >>> made = arm_accuracies(["clean", "zero"], {"content": [[1.0, 0.1], [0.9, 0.0], [1.0, 0.2]]})
        >>> [text.get_text() for text in made.axes[0].texts]
        ['1.00', '0.10']
    """
    arms, known = name_list("arms", arms, None), list(accuracies)
    names = [name for group in groups.values() for name in group] if groups else known
    if not known or sorted(names) != sorted(known):
        raise bad("groups" if known else "accuracies", f"at least one reasoner, all of {known}", names)
    tables = [
        numbers(f"accuracies[{name!r}]", accuracies[name], "[bounds, arms]", bounds=3, arms=len(arms)) for name in names
    ]
    for name, (value, low, high) in zip(names, tables, strict=True):
        if ((low > value + 1e-9) | (high < value - 1e-9)).any():
            raise bad(f"accuracies[{name!r}]", "values within their intervals", "one outside")
    lines = [*arms, *(["guessing"] if chance else [])]
    shown = np.full((len(lines), len(names)), np.nan)
    shown[: len(arms)] = np.stack([table[0] for table in tables], axis=1)
    if chance:
        shown[-1] = [chance.get(name, np.nan) for name in names]
    half = max(float(np.nanmax(np.maximum(value - low, high - value))) for value, low, high in tables)
    made, axes = figure(width=3.4 + 0.42 * len(names), height=1.1 + 0.2 * len(lines))
    panel = axes[0, 0]
    panel.grid(False)
    image = panel.imshow(shown, vmin=0, vmax=1, cmap="cividis", aspect="auto", interpolation="nearest")
    for row, column in np.ndindex(shown.shape):
        value = shown[row, column]
        there = np.isfinite(value)
        colour = "0.55" if not there else "black" if value > 0.55 else "white"
        panel.text(column, row, f"{value:.2f}" if there else "-", ha="center", va="center", fontsize=7, color=colour)
    for column, name in enumerate(names):
        for row in np.flatnonzero(np.asarray((changed or {}).get(name, []), bool)):
            panel.add_patch(_frame(column, int(row)))
    for line in [0.5, *([len(arms) - 0.5] if chance else [])]:
        panel.axhline(line, color="white", linewidth=3)
    places = range(len(names))
    panel.set_xticks(places, names, rotation=40, ha="right", rotation_mode="anchor")
    panel.set_yticks(range(len(lines)), lines)
    panel.spines[:].set_visible(False)
    start = 0
    for header, group in (groups or {}).items():
        if start:
            panel.axvline(start - 0.5, color="white", linewidth=3)
        middle = start + (len(group) - 1) / 2
        panel.annotate(
            wrap(header, max(0.55, 0.42 * len(group))), (middle, -0.5), xytext=(0, 4), textcoords="offset points",
            ha="center", va="bottom", fontsize=8, annotation_clip=False,
        )  # fmt: skip
        start += len(group)
    made.colorbar(image, ax=panel, label=f"{label}; 95 % intervals reach at most {half:.2f} to a side", fraction=0.04,
                  pad=0.02, shrink=0.7)  # fmt: skip
    return made


def _frame(column: int, row: int) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((column - 0.44, row - 0.42), 0.88, 0.84, fill=False, edgecolor=COLOURS[5], linewidth=1.3)


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
        The figure; more than seven reasoners stand in two blocks of rows, side by side.

    Raises:
        ValueError: arrays of another shape, other reasoners in the two, none, or more than sixteen.
    """
    if list(between) != list(within) or not 0 < len(between) <= _MOST_MAPS:
        raise bad("within", f"the same 1 to {_MOST_MAPS} reasoners as between, {list(between)}", list(within))
    maps = {name: numbers(f"between[{name!r}]", value, "[slots, items, others]") for name, value in between.items()}
    most = max(len(value) for value in maps.values())
    blocks = 1 if len(maps) <= _MOST_ROWS else 2
    rows, size = -(-len(maps) // blocks), 1.25 if blocks == 1 else 1.0
    made, axes = figure(rows, blocks * (most + 1), width=size, height=size)
    made.set_size_inches(size * blocks * (most + 1) + 1.3 * blocks, size * rows + 0.7)
    image = None
    for place in range(rows * blocks):
        block, row = divmod(place, rows)
        line = axes[row, block * (most + 1) : (block + 1) * (most + 1)]
        if place >= len(maps):
            for panel in line:
                panel.set_axis_off()
            continue
        name, value = list(maps.items())[place]
        inner = numbers(f"within[{name!r}]", within[name], "[slots, others]")
        shown = [*value, *[np.full(value.shape[1:], np.nan)] * (most - len(value)), inner]
        last = row == rows - 1
        for column, (panel, matrix) in enumerate(zip(line, shown, strict=True)):
            panel.grid(False)
            if row == 0:
                panel.set_title(f"slot {column + 1}" if column < most else "within\none item")
            if np.isnan(matrix).all():
                panel.set_axis_off()
                panel.text(0.5, 0.5, "no such\nslot", ha="center", va="center", fontsize=7, color="0.55",
                           transform=panel.transAxes)  # fmt: skip
                continue
            kept = matrix[np.isfinite(matrix).any(axis=1)][:, np.isfinite(matrix).any(axis=0)]
            image = panel.imshow(kept, vmin=-1, vmax=1, cmap="PuOr", interpolation="nearest")
            panel.spines[:].set(visible=True, color="0.6", linewidth=0.6)
            ticks = np.arange(0 if column < most else len(kept))
            panel.set_xticks(ticks, [tick + 1 for tick in ticks] if last else [""] * len(ticks))
            panel.set_yticks(ticks, [tick + 1 for tick in ticks])
            if last:
                panel.set_xlabel(items if column < most else "slot")
        line[0].set_ylabel(wrap(name, size), rotation=0, ha="right", va="center")
    assert image is not None
    made.colorbar(image, ax=axes.ravel().tolist(), label=label, fraction=0.03, pad=0.02, shrink=0.6)
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
