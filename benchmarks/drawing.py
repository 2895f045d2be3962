"""``python -m benchmarks.drawing RESULT.json ...``: the figure of a result, drawn again beside it.

A dot for every form of every row: how many times as long as tokdyn it takes; of unlike work, how many seconds. The
figure is laid out in inches from what its texts measure, so that none is cut and none covers another.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Of Okabe and Ito, as in tokdyn.plot; the markers tell them apart without colour.
OURS, OTHERS = {"color": "#0072B2", "marker": "o"}, {"color": "#D55E00", "marker": "D"}
DOTS_PER_INCH = 130
NAME_SIZE, TITLE_SIZE, NOTE_SIZE = 7.0, 7.5, 8.0  # points
# Inches. Two columns are 1,600 pixels wide.
COLUMN, NAMES, VALUES, GUTTER, MARGIN = 5.95, 2.6, 0.5, 0.2, 0.1
LINE, TITLE_LINE, ROW_GAP, SECTION_GAP, AXIS = 0.108, 0.12, 0.03, 0.07, 0.42
TALLEST = 11.6  # of a column; what is longer gets another

RATIO = "times as long as the row's first tokdyn form (log scale; left is faster)"
SECONDS = "seconds (left is faster)"


@dataclasses.dataclass
class Row:
    """A form: its median, its fastest and its slowest call, in multiples or in seconds."""

    name: str
    middle: float
    fastest: float
    slowest: float
    ours: bool


@dataclasses.dataclass
class Group:
    """What one row of the benchmark shows."""

    title: str
    in_seconds: bool
    rows: list[Row]

    def height(self) -> float:
        """Inches, once the texts are broken into lines."""
        lines = sum(row.name.count("\n") + 1 for row in self.rows)
        titles = (self.title.count("\n") + 1) * TITLE_LINE + ROW_GAP
        return titles + lines * LINE + len(self.rows) * ROW_GAP + SECTION_GAP


def main() -> int:
    """Draw results again, each beside its JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.drawing", description=__doc__)
    parser.add_argument("results", nargs="+", type=Path, metavar="RESULT.json", help="what python -m benchmarks wrote")
    for path in parser.parse_args().results:
        results = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(results.get("rows"), dict):
            print(f"{path}: has no rows of python -m benchmarks", file=sys.stderr)
            return 1
        draw(results, path.with_suffix(".png"))
        print(path.with_suffix(".png"))
    return 0


def draw(results: dict[str, Any], path: Path) -> None:
    """Write the figure.

    Args:
        results: what ``python -m benchmarks`` writes as JSON.
        path: of the PNG.
    """
    figure_of(results).savefig(path, dpi=DOTS_PER_INCH)


def figure_of(results: dict[str, Any]) -> Any:
    """The figure, as matplotlib's ``Figure``; texts of any length are broken into lines that fit."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(dpi=DOTS_PER_INCH)
    FigureCanvasAgg(figure)
    measure = _measure(figure)
    groups = [group for section in results["rows"].values() if (group := group_of(section)) is not None]
    groups.sort(key=lambda group: group.in_seconds)  # stable: seconds have an axis of their own, at the end
    for group in groups:
        group.title = broken(group.title, COLUMN, lambda text: measure(text, TITLE_SIZE, "bold"))
        for row in group.rows:
            row.name = broken(row.name, NAMES - 0.1, lambda text: measure(text, NAME_SIZE, "normal"))
    columns = in_columns(groups)
    width = len(columns) * COLUMN + (len(columns) - 1) * GUTTER + 2 * MARGIN
    head = broken(_head(results), width - 2 * MARGIN, lambda text: measure(text, NOTE_SIZE, "normal"))
    note_height = (head.count("\n") + 1) * 0.15 + 0.28  # the legend is one more line
    height = note_height + max((_height(column) for column in columns), default=0.0) + 2 * MARGIN
    figure.set_size_inches(width, height)
    figure.text(MARGIN / width, 1 - MARGIN / height, head, size=NOTE_SIZE, va="top")
    _legend(figure, groups, MARGIN + note_height - 0.28)
    limits = {seconds: _limits(groups, seconds) for seconds in (False, True)}
    for i, column in enumerate(columns):
        left, top = MARGIN + i * (COLUMN + GUTTER), height - MARGIN - note_height
        for seconds in (False, True):
            part = [group for group in column if group.in_seconds is seconds]
            if part:
                tall = sum(group.height() for group in part)
                _panel(figure, part, (left, top - tall, tall), limits[seconds])
                top -= tall + AXIS
    return figure


def group_of(section: dict[str, Any]) -> Group | None:
    """What is drawn of one row of the results; None where nothing of it was timed."""
    timed = [entry for entry in section["entries"] if not entry["missing"]]
    if not timed:
        return None
    clock = "cpu" if any(goal["clock"] == "cpu" for goal in section["goals"]) else "wall"
    per_unit = "cpu_per_unit" if clock == "cpu" else "seconds_per_unit"
    in_seconds = section.get("in_seconds", False)
    first = next((entry for entry in timed if entry["form"].startswith("tokdyn")), timed[0])
    base = 1.0 if in_seconds else first[per_unit]
    rows = []
    for entry in timed:
        name = entry["form"].strip()
        ours = not name.endswith(", before") if in_seconds else name.startswith(("tokdyn", "of it"))
        calls = [call / entry["count"] / base for call in entry[clock]]
        rows.append(Row(name, entry[per_unit] / base, min(calls), max(calls), ours))
    second = "CPU second" if clock == "cpu" else "second"
    speed = float(f"{1 / first[per_unit]:.3g}")
    scale = "" if in_seconds else f" (1 = {speed:,g} {section['unit']} a {second})"
    return Group(section["title"] + scale, in_seconds, rows)


def broken(text: str, inches: float, length: Callable[[str], float]) -> str:
    """Text in lines of at most so many inches, broken between words, and inside a word that is longer than a line."""
    lines = [""]
    for word in text.split():
        joined = f"{lines[-1]} {word}".strip()
        if length(joined) <= inches:
            lines[-1] = joined
            continue
        if lines[-1]:
            lines.append("")
        for letter in word:
            if lines[-1] and length(lines[-1] + letter) > inches:
                lines.append("")
            lines[-1] += letter
    return "\n".join(lines)


def in_columns(groups: list[Group]) -> list[list[Group]]:
    """The groups in their order, in as few columns as are not too tall, as even as they can be."""
    count = max(1, -(-int(100 * _height(groups)) // int(100 * TALLEST)))
    # The lowest height at which filling one column after the other needs no more of them; heights of runs of groups
    # are the only candidates.
    heights = sorted({_height(groups[i:j]) for i in range(len(groups)) for j in range(i + 1, len(groups) + 1)})
    for limit in heights:
        columns: list[list[Group]] = [[]]
        for group in groups:
            if columns[-1] and _height([*columns[-1], group]) > limit + 1e-9:
                columns.append([])
            columns[-1].append(group)
        if len(columns) <= count and max(map(_height, columns)) <= limit + 1e-9:
            return columns
    return [groups]


def _height(groups: list[Group]) -> float:
    """Inches of groups beneath each other, with the axes under them."""
    return sum(group.height() for group in groups) + AXIS * len({group.in_seconds for group in groups})


def _measure(figure: Any) -> Callable[[str, float, str], float]:
    """Inches that a line of text takes, at that size in points and that weight."""
    from matplotlib.font_manager import FontProperties

    renderer = figure.canvas.get_renderer()

    def inches(text: str, size: float, weight: str) -> float:
        width, _, _ = renderer.get_text_width_height_descent(text, FontProperties(size=size, weight=weight), False)
        return float(width) / DOTS_PER_INCH

    return inches


def _head(results: dict[str, Any]) -> str:
    machine = results["machine"]
    cores = f"{machine['cores']} core{'s' if machine['cores'] > 1 else ''}"
    return (
        f"{machine['processor']}, {cores}, jax {machine['versions']['jax']}. Marker and number: the median call; "
        "line through it: from the fastest call to the slowest."
    )


def _legend(figure: Any, groups: list[Group], below: float) -> None:
    """Who is who, on one line, that many inches below the upper edge."""
    from matplotlib.lines import Line2D

    width, height = figure.get_size_inches()
    kinds = {group.in_seconds for group in groups if not all(row.ours for row in group.rows)}
    others = " or ".join(["other forms"] * (False in kinds) + ["tokdyn before a change"] * (True in kinds))
    handles = [
        Line2D([], [], linestyle="none", markersize=5, label=label, **look)
        for label, look in (("tokdyn", OURS), (others, OTHERS))
        if label
    ]
    figure.legend(
        handles=handles, loc="upper left", bbox_to_anchor=(MARGIN / width, 1 - below / height), ncols=2, frameon=False,
        fontsize=NOTE_SIZE, borderpad=0, borderaxespad=0, handletextpad=0.2, columnspacing=1.5,
    )  # fmt: skip


def _limits(groups: list[Group], in_seconds: bool) -> tuple[float, float]:
    """One scale for all columns, so that they can be compared."""
    rows = [row for group in groups if group.in_seconds is in_seconds for row in group.rows]
    if not rows:
        return 0.0, 1.0
    low, high = min(row.fastest for row in rows), max(row.slowest for row in rows)
    if in_seconds:
        return 0.0, 1.05 * high
    room = (max(high, 1.0) / min(low, 1.0)) ** 0.05 * 1.05  # beside the outermost markers
    return min(low, 1.0) / room, max(high, 1.0) * room


def _panel(figure: Any, groups: list[Group], place: tuple[float, float, float], limits: tuple[float, float]) -> None:
    """Groups beneath each other, over one axis; place is left, bottom and height in inches."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    left, bottom, tall = place
    width, height = figure.get_size_inches()
    wide = COLUMN - NAMES - VALUES
    axes = figure.add_axes(((left + NAMES) / width, bottom / height, wide / width, tall / height))
    axes.set(xlim=limits, ylim=(tall, 0.0))  # the vertical scale is inches
    in_seconds = groups[0].in_seconds
    if not in_seconds:
        axes.set_xscale("log")
        axes.xaxis.set_minor_formatter(NullFormatter())
        if limits[1] / limits[0] < 30:
            axes.set_xticks([tick for tick in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20) if limits[0] < tick < limits[1]])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.grid(True, axis="x", color="0.88", linewidth=0.6)
    axes.set_axisbelow(True)
    from_names = axes.get_yaxis_transform()  # across: shares of the panel; down: inches
    origin = 0.0 if in_seconds else 1.0
    axes.plot([origin, origin], [0, tall], color="0.3", linewidth=0.9, zorder=1)
    at = 0.0
    for group in groups:
        titles = (group.title.count("\n") + 1) * TITLE_LINE
        axes.axhspan(at, at + titles + ROW_GAP, color="white", linewidth=0, zorder=2)  # no grid behind letters
        axes.text(
            -NAMES / wide, at + titles / 2 + 0.01, group.title, transform=from_names, size=TITLE_SIZE, weight="bold",
            va="center", zorder=3, linespacing=1.1,
        )  # fmt: skip
        at += titles + ROW_GAP
        for row in group.rows:
            tall_row = (row.name.count("\n") + 1) * LINE + ROW_GAP
            y = at + tall_row / 2
            look = OURS if row.ours else OTHERS
            axes.plot([origin, row.middle], [y, y], color=look["color"], alpha=0.25, linewidth=3.5, zorder=3,
                      solid_capstyle="butt")  # fmt: skip
            axes.plot([row.fastest, row.slowest], [y, y], color="black", linewidth=0.9, zorder=5)
            axes.plot(row.middle, y, markersize=4, linestyle="none", zorder=4, **look)
            axes.text(-0.07 / wide, y, row.name, transform=from_names, size=NAME_SIZE, ha="right", va="center",
                      linespacing=1.1)  # fmt: skip
            number = f"{row.middle:,.0f}" if row.middle >= 9.95 else f"{row.middle:.2g}"
            axes.text(1 + (VALUES - 0.05) / wide, y, number + (" s" if in_seconds else " x"), transform=from_names,
                      size=NAME_SIZE, ha="right", va="center")  # fmt: skip
            at += tall_row
        at += SECTION_GAP
    axes.set_yticks([])
    axes.tick_params(axis="x", labelsize=NAME_SIZE, length=2.5, pad=1.5)
    for side in ("left", "right", "top"):
        axes.spines[side].set_visible(False)
    # The label starts where names do: it is longer than the panel of a column is wide.
    axes.text((COLUMN - NAMES) / wide, tall + 0.3, SECONDS if in_seconds else RATIO, transform=from_names,
              size=NAME_SIZE, ha="right", va="center")  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
