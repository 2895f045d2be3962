"""One process of the row ``waiting``: run what is asked, and write down where its time went.

``python -X importtime -m benchmarks.waiting_process OUT.json -- tokdyn words...`` or ``-- - script.py``.
"""

from __future__ import annotations

import json
import runpy
import sys
import time
from pathlib import Path

KINDS = {
    "jaxpr_trace_duration": "trace",
    "jaxpr_to_mlir_module_duration": "lower",
    "backend_compile_duration": "compile",
}


def covered(intervals: list[tuple[float, float]]) -> float:
    """Seconds that lie in at least one interval: what is nested, or side by side, counts once."""
    total, reached = 0.0, float("-inf")
    for start, end in sorted(intervals):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total


def main() -> None:
    """Run it."""
    out, _, *words = sys.argv[1:]
    intervals: dict[str, list[tuple[float, float]]] = {kind: [] for kind in KINDS.values()}
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

    if words != ["--help"]:  # which imports no jax
        import jax

        jax.monitoring.register_event_duration_secs_listener(hear)
        jax.monitoring.register_event_listener(hear_of_hits)
    if words[0] == "-":
        runpy.run_path(words[1], run_name="__main__")
        code = 0
    else:
        from tokdyn import cli

        code = cli.main(words)
    write()
    sys.exit(code)


if __name__ == "__main__":
    main()
