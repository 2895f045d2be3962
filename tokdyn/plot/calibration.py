"""Figures of calibrated diagnostics: their scores, alarms by design, alarms by strength of an effect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from tokdyn.checks import bad
from tokdyn.plot.style import COLOURS, MARKERS, figure, styled
from tokdyn.plot.training import at_most_seven, legend_below, name_list, numbers

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@styled
def alarm_map(
    shares: ArrayLike, diagnostics: Sequence[str], reasoners: Sequence[str], *, bears: Sequence[bool]
) -> Figure:
    """A heat map of alarms; what should alarm is left of the line, what should not is right of it.

    Args:
        shares: of trainings with an alarm `[diagnostics, reasoners]`; NaN where nothing was judged.
        diagnostics: names, the first on top.
        reasoners: names.
        bears: whether the answers of each reasoner follow its latents, so that an alarm is right.

    Returns:
        The figure.

    Raises:
        ValueError: shares outside 0 to 1, or names of another number.

    Example:
        >>> from tokdyn.plot.calibration import alarm_map
        >>> made = alarm_map([[1.0, 0.0]], ["donor lift"], ["content", "masked"], bears=[True, False])
        >>> [text.get_text() for text in made.axes[0].texts[:2]]
        ['1.00', '0.00']
    """
    diagnostics = name_list("diagnostics", diagnostics, None)
    reasoners = name_list("reasoners", reasoners, None)
    table = numbers("shares", shares, "[diagnostics, reasoners]", diagnostics=len(diagnostics),
                    reasoners=len(reasoners))  # fmt: skip
    if ((table < 0) | (table > 1)).any():
        raise bad("shares", "numbers from 0 to 1", f"{np.nanmin(table):g} to {np.nanmax(table):g}")
    order = sorted(range(len(reasoners)), key=lambda column: not bears[column])
    table, count = table[:, order], sum(map(bool, bears))
    made, axes = figure(width=3.0 + 0.62 * len(reasoners), height=0.9 + 0.23 * len(diagnostics))
    panel = axes[0, 0]
    panel.grid(False)
    image = panel.imshow(table, vmin=0, vmax=1, cmap="cividis", aspect="auto", interpolation="nearest")
    for row, column in np.argwhere(np.isfinite(table)):
        value = table[row, column]
        panel.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=7,
                   color="black" if value > 0.55 else "white")  # fmt: skip
    panel.axvline(count - 0.5, color="white", linewidth=3)
    panel.set_xticks(range(len(order)), [reasoners[column] for column in order], rotation=30, ha="right")
    panel.set_yticks(range(len(diagnostics)), diagnostics)
    for place, text in (((count - 1) / 2, "alarm is\nright"), ((count + len(order) - 1) / 2, "alarm is\nfalse")):
        panel.annotate(text, (place, -0.5), xytext=(0, 4), textcoords="offset points", ha="center", va="bottom",
                       fontsize=8, annotation_clip=False)  # fmt: skip
    made.colorbar(image, ax=panel, label="share of trainings with an alarm", fraction=0.05, pad=0.02, shrink=0.6)
    return made


@styled
def sensitivity_curves(strengths: Sequence[str], curves: Mapping[str, Mapping[str, Any]], *, label: str) -> Figure:
    """Share of alarms by strength of an effect, a panel for each group of at most seven diagnostics.

    Args:
        strengths: names of groups of trainings, rising `[strengths]`.
        curves: title of a panel -> {diagnostic: `[3, strengths]`: share of alarms, lower and upper end}.
        label: of the horizontal axis.

    Returns:
        The figure.

    Raises:
        ValueError: curves of another shape, or more than seven in a panel.

    Example:
        >>> from tokdyn.plot.calibration import sensitivity_curves
        >>> shares = {"arms": {"donor lift": [[0, 1], [0, 0.9], [0.1, 1]]}}
        >>> made = sensitivity_curves(["none", "all"], shares, label="answers that change")
        >>> made.axes[0].get_title()
        'arms'
    """
    made, axes = figure(len(curves), 1, width=5.6, height=2.3)
    for panel, (title, group) in zip(axes[:, 0], curves.items(), strict=True):
        at_most_seven(f"curves[{title!r}]", group)
        # Curves that lie upon each other are moved apart, by less than what they are known to.
        places = np.arange(len(strengths))
        for i, (name, given) in enumerate(group.items(), 1):
            value, low, high = numbers(
                f"curves[{name!r}]", given, "[bounds, strengths]", bounds=3, strengths=len(strengths)
            )
            shift = 0.05 * (i - (len(group) + 1) / 2)
            panel.errorbar(
                places + shift, value, yerr=np.maximum([value - low, high - value], 0), color=COLOURS[i],
                marker=MARKERS[i], markersize=4.5, linewidth=1.2, elinewidth=0.9, capsize=1.8, label=name,
                markeredgecolor="black", markeredgewidth=0.4,
            )  # fmt: skip
        panel.set_xticks(places, strengths)
        panel.set_ylim(-0.04, 1.04)
        panel.set_ylabel("share of alarms")
        panel.set_title(title)
        panel.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    axes[-1, 0].set_xlabel(f"{label}; bars: 95 %")
    made.set_size_inches(8.2, 2.4 * len(curves) + 0.2)
    return made


@styled
def scores(rows: Mapping[str, Any], *, ties: Sequence[str] = (), chance: float = 0.5) -> Figure:
    """Scores with intervals, against chance.

    Args:
        rows: diagnostic -> (score, low, high), the first on top.
        ties: those that are not shown to be behind the best.
        chance: what guessing comes to.

    Returns:
        The figure.

    Raises:
        ValueError: numbers that are no such three.

    Example:
        >>> from tokdyn.plot.calibration import scores
        >>> len(scores({"donor lift": (0.9, 0.8, 1.0)}, ties=["donor lift"]).axes)
        1
    """
    names = name_list("rows", list(rows), None)
    value, low, high = numbers("rows", list(rows.values()), "[diagnostics, bounds]", bounds=3).T
    made, axes = figure(width=6.4, height=0.8 + 0.22 * len(names))
    panel, places = axes[0, 0], np.arange(len(names))
    panel.axvline(chance, color=COLOURS[5], linewidth=1.3, linestyle="--", zorder=1, label="always, never, or a coin")
    best = np.array([name in set(ties) for name in names])
    for chosen, colour, marker, text in (
        (best, COLOURS[1], "o", "not shown to be behind the best"), (~best, COLOURS[2], "s", "behind the best"),
    ):  # fmt: skip
        panel.errorbar(
            value[chosen], places[chosen], xerr=np.maximum([value - low, high - value], 0)[:, chosen], color=colour,
            marker=marker, markersize=5, linestyle="none", elinewidth=1.2, capsize=2, markeredgecolor="black",
            markeredgewidth=0.5, label=text, zorder=3,
        )  # fmt: skip
    panel.set_yticks(places, names)
    panel.set_ylim(len(names) - 0.5, -0.5)
    panel.set_xlabel("balanced accuracy in the worst stratum, 95 % intervals")
    panel.grid(False, axis="y")
    legend_below(made, *panel.get_legend_handles_labels())
    return made
