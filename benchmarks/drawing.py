"""A bar for every form of every row: how many times as long as tokdyn it takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def draw(results: dict[str, Any], path: Path) -> None:
    """Write the figure.

    Args:
        results: what ``python -m benchmarks`` writes as JSON.
        path: of the PNG.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.ticker import FuncFormatter

    bars: list[tuple[str, float, bool]] = []
    for section in results["rows"].values():
        timed = [entry for entry in section["entries"] if not entry["missing"]]
        if not timed:
            continue
        clock = "cpu_per_unit" if any(goal["clock"] == "cpu" for goal in section["goals"]) else "seconds_per_unit"
        base = next((entry for entry in timed if entry["form"].startswith("tokdyn")), timed[0])
        bars.append((section["title"], float("nan"), True))
        bars += [("   " + entry["form"].strip(), entry[clock] / base[clock], False) for entry in timed]
    figure, axes = plt.subplots(figsize=(10, 0.23 * len(bars) + 1.2), layout="constrained")
    places = range(len(bars), 0, -1)
    ours = [name.strip().startswith(("tokdyn", "of it")) for name, _, _ in bars]
    axes.barh(places, [ratio for _, ratio, _ in bars], color=["#4477aa" if mine else "#bbbbbb" for mine in ours])
    for place, (_, ratio, title) in zip(places, bars, strict=True):
        if not title:
            axes.annotate(
                f"{ratio:,.0f}" if ratio >= 10 else f"{ratio:.2g}",
                (ratio, place),
                xytext=(3, 0),
                textcoords="offset points",
                va="center",
                size=7,
            )
    axes.axvline(1.0, color="black", linewidth=0.8)
    axes.set_xscale("log")
    axes.margins(x=0.12)  # room for the largest label
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.set_yticks(list(places), [name for name, _, _ in bars], size=7)
    for label, (_, _, title) in zip(axes.get_yticklabels(), bars, strict=True):
        label.set_fontweight("bold" if title else "normal")
    axes.set_ylim(0.3, len(bars) + 0.7)
    axes.set_xlabel("time for the same work, relative to the row's first tokdyn form (longer is slower)")
    machine = results["machine"]
    axes.set_title(f"{machine['processor']}, {machine['cores']} cores, jax {machine['versions']['jax']}", size=9)
    figure.savefig(path, dpi=130)
    plt.close(figure)
