"""``python -m benchmarks``: measure every row, write JSON, print the table, draw the figure.

Every row has a process of its own, in which all its forms take turns: what a row leaves behind (threads that spin,
precision settings, memory) cannot touch the next, and a row on one core can be kept there from the start.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.record import both_cores
from benchmarks.rows import ROWS, measure
from benchmarks.tables import markdown

FOLDER = Path(__file__).resolve().parent / "results"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", action="append", metavar="NAME", choices=tuple(ROWS), help="this row (repeatable)")
    parser.add_argument("--quick", action="store_true", help="three repeats, smaller samples: to see that it works")
    parser.add_argument("--list", action="store_true", help="name the rows")
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder of the JSON and the figure")
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.list:
        for name, row in ROWS.items():
            print(f"{name:<18} {row.text}")
        return 0
    if options.worker:
        return work(options.only[0], options.worker, quick=options.quick)
    return measure_all(options.only or list(ROWS), options.out, quick=options.quick)


def work(name: str, path: Path, *, quick: bool) -> int:
    """Measure one row here, and leave it as JSON."""
    if ROWS[name].cores == 1:
        machine.use_one_core()
    section = measure(name, repeats=3 if quick else 5, quick=quick)
    path.write_text(json.dumps(section.as_json()), encoding="utf-8")
    return 0


def measure_all(names: list[str], folder: Path, *, quick: bool) -> int:
    """Measure rows one after another, each in its process; write, print, draw."""
    from rich.console import Console

    console = Console() if sys.stdout.isatty() else Console(width=180)
    folder.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = {"machine": machine.describe(), "quick": quick, "rows": {}, "failed": {}}
    for name in names:
        console.print(f"[dim]{name}: {ROWS[name].text} ...[/dim]")
        started = time.perf_counter()
        section, error = in_own_process(name, quick=quick)
        if section is None:
            results["failed"][name] = error
            console.print(f"[red]{name} failed[/red]: {error}", highlight=False)
            continue
        section["measured_in_seconds"] = time.perf_counter() - started
        results["rows"][name] = section
        print_row(console, section)
    verdict = both_cores(results["rows"])
    if verdict is not None:
        results["rows"]["simulate"]["goals"].append(verdict)
    print_goals(console, results["rows"])
    # A part of the rows, or a quick look, must not overwrite a whole measurement.
    suffix = "" if names == list(ROWS) and not quick else "-partial"
    stem = f"{machine.short_name()}-jax{results['machine']['versions']['jax']}{suffix}"
    (folder / f"{stem}.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    from benchmarks.drawing import draw

    draw(results, folder / f"{stem}.png")
    (folder / f"{stem}.md").write_text(markdown(results), encoding="utf-8")
    console.print(f"{folder / stem}.json, .md and .png", highlight=False)
    return 1 if results["failed"] else 0


def in_own_process(name: str, *, quick: bool) -> tuple[dict[str, Any] | None, str]:
    """The row as JSON, or None and the last words of its process."""
    # Waiting OpenMP threads would otherwise spin, and their time count as that of the next form.
    environment = os.environ | {"OMP_WAIT_POLICY": "passive"}
    if ROWS[name].devices:
        forced = f"--xla_force_host_platform_device_count={ROWS[name].devices}"
        environment["XLA_FLAGS"] = f"{environment.get('XLA_FLAGS', '')} {forced}".strip()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "row.json"
        words = [sys.executable, "-m", "benchmarks", "--only", name, "--worker", str(path)]
        done = subprocess.run(
            words + ["--quick"] * quick,
            env=environment,
            cwd=Path(__file__).resolve().parent.parent,
            stderr=subprocess.PIPE,
            text=True,
        )
        if done.returncode or not path.exists():
            return None, (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        return json.loads(path.read_text(encoding="utf-8")), ""


def print_row(console: Any, section: dict[str, Any]) -> None:
    from rich.table import Table

    table = Table(title=section["title"], title_justify="left", title_style="bold")
    for heading in ("form", "ms a call", "spread", f"{section['unit']}/s", f"{section['unit']}/CPU-s", "time/tokdyn"):
        table.add_column(heading, justify="left" if heading == "form" else "right")
    table.add_column("checked", overflow="fold", style="dim")
    base = next((e for e in section["entries"] if e["form"].startswith("tokdyn") and not e["missing"]), None)
    for entry in section["entries"]:
        if entry["missing"]:
            table.add_row(entry["form"], "", "", "", "", "", entry["missing"])
            continue
        each, used = entry["seconds_per_unit"], entry["cpu_per_unit"]
        spread = (max(entry["wall"]) - min(entry["wall"])) / (each * entry["count"])
        ratio = f"{each / base['seconds_per_unit']:.2f}" if base else ""
        milliseconds = f"{each * entry['count'] * 1e3:,.1f}"
        table.add_row(entry["form"], milliseconds, f"{spread:.0%}", rate(each), rate(used), ratio, entry["checked"])
    console.print(table)
    for name, fact in section["facts"].items():
        console.print(f"  {name}: {readable(fact)}", highlight=False)


def print_goals(console: Any, rows: dict[str, Any]) -> None:
    from rich.table import Table

    table = Table(title="Goals", title_justify="left", title_style="bold")
    for heading in ("row", "ours", "against (the fastest of its kind)", "goal", "measured", "met"):
        table.add_column(heading)
    for name, section in rows.items():
        for goal in section["goals"]:
            sign = ">=" if goal["kind"] == "at_least" else "<="
            clock = " per CPU-s" if goal["clock"] == "cpu" else ""
            met = "[green]yes[/green]" if goal["met"] else "[red]no[/red]"
            table.add_row(
                name, goal["ours"].strip(), goal["theirs"], f"{sign} {goal['limit']:.3g}x{clock}",
                f"{goal['ratio']:.3g}x", met,
            )  # fmt: skip
    console.print(table)


def rate(seconds: float) -> str:
    """Units of work in a second, short."""
    per_second = 1 / seconds
    return f"{per_second:,.0f}" if per_second >= 10 else f"{per_second:.2g}"


def readable(value: Any) -> str:
    """A fact on one line."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {readable(one)}" for name, one in value.items())
    return f"{value:.3g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    sys.exit(main())
