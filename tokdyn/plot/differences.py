"""Paired differences: what a comparison within seeds shows, and means with intervals between seeds hide."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from tokdyn.checks import bad
from tokdyn.plot.style import COLOURS, figure, styled
from tokdyn.plot.training import legend_below, name_lines, name_list, numbers, wrap

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH = 2.3  # inches of a panel, without the names of the rows


@styled
def paired_differences(
    names: Sequence[str],
    differences: ArrayLike,
    low: ArrayLike,
    *,
    high: ArrayLike,
    label: str,
    panels: Sequence[str] | None = None,
    overall: tuple[str, ArrayLike, ArrayLike, ArrayLike] | None = None,
    sure: ArrayLike | None = None,
    sure_label: str = "other than zero",
    interval: str = "mean paired difference and 95 % interval",
    limits: tuple[float, float] | None = None,
    zero: float | None = 0.0,
) -> Figure:
    """A forest plot: a row for each condition, a panel for each comparison, all on one scale.

    The row that speaks for all conditions stands apart below the others, bold, with its numbers. An interval that
    leaves the limits ends in an arrow.

    Args:
        names: of the conditions, the first on top `[rows]`.
        differences: mean paired differences `[panels, rows]`, or `[rows]` for one panel; NaN leaves a row empty.
        low: lower ends of their intervals, of the same shape; NaN where there is none.
        high: upper ends, of the same shape.
        label: of the horizontal axis: what differs, and its unit.
        panels: a title for each panel `[panels]`, for example ``"inertia minus baseline"``.
        overall: name of the last row, and its differences, lower and upper ends, `[panels]` each (numbers for one
            panel).
        sure: truth values like ``differences``: their markers are filled, all others open. Without it all are filled.
        sure_label: what a filled marker means, in the legend.
        interval: what marker and line are, in the legend.
        limits: of the horizontal axis; all intervals by default.
        zero: where the line of no difference stands; None draws none.

    Returns:
        The figure.

    Raises:
        ValueError: arrays of another shape, a difference outside its interval, or limits that do not rise.

    Example:
        >>> from tokdyn import plot
        >>> made = plot.paired_differences(
        ...     ["noise 0.3", "noise 0.9"], [[0.01, -0.02]], [[-0.01, -0.04]], high=[[0.03, 0.0]],
        ...     label="difference in accuracy", panels=["new minus old"], overall=("both", [-0.005], [-0.02], [0.01]),
        ... )
        >>> [text.get_text() for text in made.axes[0].get_yticklabels()]
        ['noise 0.3', 'noise 0.9', 'both']
    """
    names = name_list("names", names, None)
    one = np.ndim(differences) == 1
    middle, lower, upper = (
        _rows(name, array, one, len(names))
        for name, array in (("differences", differences), ("low", low), ("high", high))
    )
    for name, array in (("low", lower), ("high", upper)):
        if array.shape != middle.shape:
            raise bad(name, f"the shape of differences, {middle.shape}", f"shape {array.shape}")
    titles = None if panels is None else name_list("panels", panels, len(middle))
    filled = np.ones(middle.shape, bool) if sure is None else _rows("sure", sure, one, len(names)).astype(bool)
    if filled.shape != middle.shape:
        raise bad("sure", f"the shape of differences, {middle.shape}", f"shape {filled.shape}")
    if overall is not None:
        if len(overall) != 4:
            raise bad("overall", "a name, differences, lower ends, upper ends", f"{len(overall)} of them")
        last = [
            numbers(f"overall[{i}]", np.atleast_1d(np.asarray(overall[i])), "[panels]", panels=len(middle))[:, None]
            for i in (1, 2, 3)
        ]
        middle, lower, upper = (np.hstack(both) for both in zip((middle, lower, upper), last, strict=True))
        names = [*names, str(overall[0])]
    outside = (lower > middle + 1e-9) | (upper < middle - 1e-9)
    if outside.any():
        i, j = np.argwhere(outside)[0]
        raise bad(
            "differences", f"each from its low to its high ({lower[i, j]:g} to {upper[i, j]:g})", f"{middle[i, j]:g}"
        )
    if limits is not None and not limits[0] < limits[1]:
        raise bad("limits", "a lower and a higher number", repr(limits))

    shown, inches = name_lines(names, 36)
    letters = max(len(line) for name in shown for line in name.split("\n"))
    made, axes = figure(1, len(middle), sharex=True, sharey=True)
    made.set_size_inches(WIDTH * len(middle) + 0.075 * letters, 0.8 + 0.8 * inches * len(names))
    separate = overall is not None
    rows = np.arange(len(names)) + 0.4 * (separate * (np.arange(len(names)) == len(names) - 1))
    for i, panel in enumerate(axes[0]):
        if zero is not None:
            panel.axvline(zero, color="0.35", linewidth=1, zorder=1)
        many = len(names) - separate
        _draw(panel, rows[:many], middle[i, :many], lower[i, :many], upper[i, :many], filled[i], bold=False)
        title = wrap(titles[i], WIDTH) if titles else ""
        if separate:
            _draw(panel, rows[-1:], middle[i, -1:], lower[i, -1:], upper[i, -1:], np.ones(1, bool), bold=True)
            panel.axhline(rows[-1] - 0.7, color="0.7", linewidth=0.8)
            digits = _digits(lower[i, -1], upper[i, -1])
            said = f"{middle[i, -1]:+.{digits}f} [{lower[i, -1]:+.{digits}f}, {upper[i, -1]:+.{digits}f}]"
            said = said.replace("-", "\N{MINUS SIGN}")
            panel.annotate(said, (0.98, rows[-1] + 0.8), xycoords=panel.get_yaxis_transform(), ha="right",
                           va="center", fontsize=7.5, fontweight="bold")  # fmt: skip
        panel.set_title(title)
        panel.set_xlabel(wrap(label, WIDTH))
        panel.grid(False, axis="y")
        panel.locator_params(axis="x", nbins=4)
    panel = axes[0, 0]
    panel.set_yticks(rows, shown)
    if separate:
        panel.get_yticklabels()[-1].set_fontweight("bold")
    panel.set_ylim(rows[-1] + (1.2 if separate else 0.6), -0.6)
    if limits is not None:
        panel.set_xlim(limits)
        for i, each in enumerate(axes[0]):
            _arrows(each, rows, lower[i], upper[i], limits, len(names) - 1 if separate else None)
    handles = [_marker(bool(filled.any()), interval if filled.all() else f"{interval}; filled: {sure_label}")]
    if separate:
        handles.append(_marker(True, overall[0] if overall else "", bold=True))
    legend_below(made, handles, [str(handle.get_label()) for handle in handles])
    return made


def _rows(name: str, value: ArrayLike, one: bool, count: int) -> np.ndarray:
    """Numbers `[panels, rows]`, of that many rows."""
    return numbers(name, [value] if one else value, "[panels, rows]", rows=count)


def _digits(low: float, high: float) -> int:
    """Decimals that show an interval's width to three digits."""
    width = abs(high - low)
    return int(np.clip(2 - np.floor(np.log10(width)), 1, 6)) if width > 0 else 3


def _look(bold: bool) -> dict[str, Any]:
    return (
        {"color": COLOURS[0], "marker": "D", "markersize": 6.5}
        if bold
        else {"color": COLOURS[1], "marker": "o", "markersize": 4.5}
    )


def _marker(filled: bool, label: str, *, bold: bool = False) -> Any:
    """What stands in the legend."""
    from matplotlib.lines import Line2D

    look = _look(bold)
    return Line2D([], [], linewidth=2.2 if bold else 1.2, label=label, **look,
                  markerfacecolor=look["color"] if filled else "white")  # fmt: skip


def _draw(
    panel: Any,
    rows: np.ndarray,
    middle: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    filled: np.ndarray,
    *,
    bold: bool,
) -> None:
    """Intervals as lines, and their middles as markers over them."""
    look = _look(bold)
    panel.hlines(rows, low, high, color=look["color"], linewidth=2.2 if bold else 1.2, zorder=3)
    for kind in (True, False):
        own = filled == kind
        panel.plot(middle[own], rows[own], linestyle="none", zorder=4, **look,
                   markerfacecolor=look["color"] if kind else "white")  # fmt: skip


def _arrows(
    panel: Any, rows: np.ndarray, low: np.ndarray, high: np.ndarray, limits: tuple[float, float], bold: int | None
) -> None:
    """Arrow heads at the edges where an interval goes on beyond them."""
    for edge, beyond, head in ((limits[0], low < limits[0], "<"), (limits[1], high > limits[1], ">")):
        for i in np.flatnonzero(beyond):
            colour = _look(i == bold)["color"]
            panel.plot(edge, rows[i], marker=head, markersize=5, color=colour, clip_on=False, zorder=5)
