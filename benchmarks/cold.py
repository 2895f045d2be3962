"""Whole processes, from start to files: import, compile, run and write, of the published study without figures."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from benchmarks.machine import num_cores
from benchmarks.record import Entry, Goal, Section

LOOP = "NumPy and scikit-learn loop, whole process"
COLD = "tokdyn study dynamics --no-plots --no-cache"
CACHED = "tokdyn study dynamics --no-plots, second time"
NATIVE = "the same, --data native --no-x64 --no-cache"
REPEATS = 3
ROOT = Path(__file__).resolve().parent.parent


def process(words: list[str], cache: Path) -> tuple[float, float]:
    """Wall and CPU seconds of a process, as its parent sees them.

    Raises:
        RuntimeError: it failed.
    """
    environment = os.environ | {"TOKDYN_CACHE": str(cache), "PYTHONPATH": str(ROOT)}
    before, started = os.times(), time.perf_counter()
    done = subprocess.run([sys.executable, *words], cwd=ROOT, env=environment, capture_output=True, text=True)
    wall, after = time.perf_counter() - started, os.times()
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)} failed: {done.stderr[-500:]}")
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return wall, used


def measure(*, repeats: int, quick: bool) -> Section:
    """The row ``cold``."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        cache = place / "cache"
        study = ["-m", "tokdyn", "study", "dynamics", "--no-plots", "--out"]
        commands: dict[str, Callable[[str], list[str]]] = {
            LOOP: lambda number: ["-m", "benchmarks.published_loop", str(place / f"loop{number}.csv")],
            COLD: lambda number: [*study, str(place / f"cold{number}"), "--no-cache"],
            CACHED: lambda number: [*study, str(place / f"cached{number}")],
            NATIVE: lambda number: [
                *study,
                str(place / f"native{number}"),
                "--data",
                "native",
                "--no-x64",
                "--no-cache",
            ],
        }
        process(commands[CACHED]("first"), cache)  # fills the cache
        seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
        for repeat in range(1 if quick else min(repeats, REPEATS)):
            for name, words in commands.items():
                seconds[name].append(process(words(str(repeat)), cache))
        checked = _same_rows(place / "loop0.csv", next((place / "cold0").glob("*runs*.csv")))
    entries = [
        Entry(
            name, 1, [wall for wall, _ in pairs], [cpu for _, cpu in pairs], num_cores(),
            checked if name in (COLD, CACHED) else "",
        )
        for name, pairs in seconds.items()
    ]  # fmt: skip
    goals = [Goal(COLD, (LOOP,), 1.0), Goal(CACHED, (LOOP,), 1.0)]
    return Section("cold process: the published study, no figures", "processes", entries, goals)


def _same_rows(theirs: Path, ours: Path) -> str:
    """The two files hold the same ARI in every run."""
    names = {"method": "rule", "cluster_std": "noise", "n_clusters": "clusters"}
    key = ["rule", "noise", "clusters", "seed"]
    left = pd.read_csv(theirs).set_index(key)["ari"]
    right = pd.read_csv(ours).rename(columns=names).set_index(key)["ari"]
    worst = float((left - right.reindex(left.index)).abs().max())
    if not worst < 1e-6:
        raise AssertionError(f"the ARI of a run differs by {worst}")
    return f"the ARI of all {len(left)} rows equals the loop's to 1e-6"
