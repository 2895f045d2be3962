"""What the numbers were measured on."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

PEERS = (
    "scikit-learn",
    "numba",
    "torch",
    "faiss-cpu",
    "torch-kmeans",
    "fast-pytorch-kmeans",
    "torchmetrics",
    "ott-jax",
    "vector-quantize-pytorch",
)


def describe() -> dict[str, Any]:
    """Versions, processor, cores and load: written into every file of results."""
    from tokdyn import environment

    return {
        **environment.describe(),
        "peers": {name: version_of(name) for name in PEERS},
        "processor": processor(),
        "caches": caches(),
        "load_average": [round(x, 2) for x in os.getloadavg()],
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def version_of(package: str) -> str | None:
    """The installed version; None where there is none."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def processor() -> str:
    """The name of the processor."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        found = re.search(r"^model name\s*:\s*(.+)$", info.read_text(encoding="utf-8"), re.MULTILINE)
        if found:
            return found.group(1).strip()
    return platform.processor() or platform.machine()


def caches() -> dict[str, str]:
    """Sizes of the caches of the first core, by level and kind, where the system tells."""
    found = {}
    for folder in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        with_name = {name: (folder / name).read_text(encoding="utf-8").strip() for name in ("level", "type", "size")}
        found[f"L{with_name['level']} {with_name['type']}"] = with_name["size"]
    return found


def short_name() -> str:
    """A name for a file: processor, and cores that this process may use."""
    words = re.sub(r"[^a-z0-9]+", "-", processor().lower()).strip("-")
    return f"{words}-{num_cores()}cores"


def num_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def use_one_core() -> None:
    """Keep this process, and every thread it starts from now on, on one core.

    Called before JAX is imported: XLA makes as many threads as there are cores to run on.

    Raises:
        RuntimeError: JAX is imported already, or the system cannot do it.
    """
    if "jax" in sys.modules:
        raise RuntimeError("use_one_core: expected before jax is imported, got after")
    if not hasattr(os, "sched_setaffinity"):
        raise RuntimeError("use_one_core: expected a system with sched_setaffinity, got none")
    # The last core: the first one often serves interrupts.
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ[name] = "1"
