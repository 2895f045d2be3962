"""A bar for every form of every row: how many times as long as tokdyn it takes; of unlike work, how many seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

OURS, OTHERS = "#4477aa", "#bbbbbb"


def draw(results: dict[str, Any], path: Path) -> None:
    """Write the figure.

    Args:
        results: what ``python -m benchmarks`` writes as JSON.
        path: of the PNG.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    ratios: list[tuple[str, float, bool]] = []
    seconds: list[tuple[str, float, bool]] = []
    for section in results["rows"].values():
        timed = [entry for entry in section["entries"] if not entry["missing"]]
        if not timed:
            continue
        clock = "cpu_per_unit" if any(goal["clock"] == "cpu" for goal in section["goals"]) else "seconds_per_unit"
        in_seconds = section.get("in_seconds", False)
        first = next((entry for entry in timed if entry["form"].startswith("tokdyn")), timed[0])
        base = 1.0 if in_seconds else first[clock]
        bars = seconds if in_seconds else ratios
        bars.append((section["title"], float("nan"), True))
        bars += [("   " + entry["form"].strip(), entry[clock] / base, False) for entry in timed]
    panels = [
        (ratios, "time for the same work, relative to the row's first tokdyn form (longer is slower)", _is_ours),
        (seconds, "seconds", lambda form: not form.endswith(", before")),
    ]
    shown = [panel for panel in panels if panel[0]]
    heights = [0.23 * len(bars) + 0.7 for bars, _, _ in shown]
    figure, all_axes = plt.subplots(
        len(shown), figsize=(10, sum(heights) + 0.5), height_ratios=heights, layout="constrained", squeeze=False
    )
    for axes, (bars, label, ours) in zip(all_axes[:, 0], shown, strict=True):
        _panel(axes, bars, label, ours)
    machine = results["machine"]
    figure.suptitle(f"{machine['processor']}, {machine['cores']} cores, jax {machine['versions']['jax']}", size=9)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _is_ours(form: str) -> bool:
    return form.startswith(("tokdyn", "of it"))


def _panel(axes: Any, bars: list[tuple[str, float, bool]], label: str, ours: Any) -> None:
    """Bars of (form, length, whether it is the title of a row)."""
    from matplotlib.ticker import FuncFormatter

    places = range(len(bars), 0, -1)
    colours = [OURS if ours(name.strip()) else OTHERS for name, _, _ in bars]
    axes.barh(places, [length for _, length, _ in bars], color=colours)
    for place, (_, length, title) in zip(places, bars, strict=True):
        if not title:
            text = f"{length:,.0f}" if length >= 10 else f"{length:.2g}"
            axes.annotate(text, (length, place), xytext=(3, 0), textcoords="offset points", va="center", size=7)
    if label != "seconds":
        axes.axvline(1.0, color="black", linewidth=0.8)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.margins(x=0.12)  # room for the largest label
    axes.set_yticks(list(places), [name for name, _, _ in bars], size=7)
    for tick, (_, _, title) in zip(axes.get_yticklabels(), bars, strict=True):
        tick.set_fontweight("bold" if title else "normal")
    axes.set_ylim(0.3, len(bars) + 0.7)
    axes.set_xlabel(label)
