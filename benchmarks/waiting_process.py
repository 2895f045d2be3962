"""One process of the row ``waiting``: run what is asked, and write down where its time went.

``python benchmarks/waiting_process.py OUT.json -- words...`` of the command line, or ``-- - script.py``.
"""

from __future__ import annotations

import builtins
import importlib
import json
import runpy
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

KINDS = {
    "jaxpr_trace_duration": "trace",
    "jaxpr_to_mlir_module_duration": "lower",
    "backend_compile_duration": "compile",
}


NO_JAX = ("--help", "tokdyn_alone.py")  # what does not import it must not be seen to wait for it


def covered(intervals: list[tuple[float, float]]) -> float:
    """Seconds that lie in at least one interval: what is nested, or side by side, counts once."""
    total, reached = 0.0, float("-inf")
    for start, end in sorted(intervals):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total


def watch_imports(intervals: list[tuple[float, float]]) -> None:
    """Note every outermost import of the main thread; ``-X importtime`` would take longer than many of them."""
    depth = [0]

    def timed(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **keywords: Any) -> Any:
            if depth[0] or threading.current_thread() is not threading.main_thread():
                return function(*arguments, **keywords)
            depth[0], started = 1, time.perf_counter()
            try:
                return function(*arguments, **keywords)
            finally:
                depth[0] = 0
                intervals.append((started, time.perf_counter()))

        return call

    builtins.__import__ = timed(builtins.__import__)
    importlib.import_module = timed(importlib.import_module)


def main() -> None:
    """Run it."""
    sys.path.pop(0)  # this folder, whose names are not for others
    out, _, *words = sys.argv[1:]
    intervals: dict[str, list[tuple[float, float]]] = {"import": [], **{kind: [] for kind in KINDS.values()}}
    watch_imports(intervals["import"])
    loaded = [0]

    def hear(event: str, duration_secs: float, **_: str | int) -> None:
        kind = KINDS.get(event.rsplit("/", 1)[-1])
        if kind is not None:
            now = time.perf_counter()
            intervals[kind].append((now - duration_secs, now))

    def hear_of_hits(event: str, **_: str | int) -> None:
        loaded[0] += event == "/jax/compilation_cache/cache_hits"

    def write() -> None:
        spent = {kind: covered(found) for kind, found in intervals.items()}
        record = {"programs": len(intervals["compile"]), "loaded": loaded[0], **spent}
        Path(out).write_text(json.dumps(record), encoding="utf-8")

    if words[-1] not in NO_JAX:
        import jax

        jax.monitoring.register_event_duration_secs_listener(hear)
        jax.monitoring.register_event_listener(hear_of_hits)
    if words[0] == "-":
        runpy.run_path(words[1], run_name="__main__")
        write()
        return
    from tokdyn import cli

    main_of = cli.main

    def told() -> int:
        code = main_of(words)
        write()
        return code

    cli.main = told  # the process is what a user starts, from its entry to how it ends
    cli.entry()


if __name__ == "__main__":
    main()
