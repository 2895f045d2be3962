"""``tokdyn diagnose`` of 50,000 features in 512 dimensions, in a fresh process with nothing compiled before."""

from __future__ import annotations

import os
import resource
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.cold import process
from benchmarks.machine import num_cores
from benchmarks.record import Entry, Section

FEATURES, DIMENSIONS, TOKENS = 50_000, 512, 32
SECONDS = 20.0  # that are promised on two cores


def mixture(draw: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Twenty clusters that are far apart compared with their width."""
    centres = draw.normal(size=(20, shape[1]))
    return centres[draw.integers(20, size=shape[0])] + 0.5 * draw.normal(size=shape)


def spectrum(draw: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Normal, with variances that fall like the power -1.2, as those of learned features do; off the origin."""
    turn = np.linalg.qr(draw.normal(size=(shape[1],) * 2))[0]
    sizes = np.arange(1, shape[1] + 1) ** -0.6
    return draw.normal(size=shape) * sizes @ turn + 0.3 * draw.normal(size=shape[1])


def heavy_tails(draw: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Student's t with three degrees of freedom, variances that fall like the power -0.6."""
    turn = np.linalg.qr(draw.normal(size=(shape[1],) * 2))[0]
    return draw.standard_t(3, size=shape) * np.arange(1, shape[1] + 1) ** -0.3 @ turn


SETS: dict[str, Callable[[np.random.Generator, tuple[int, int]], np.ndarray]] = {
    "clusters": mixture,
    "a falling spectrum": spectrum,
    "heavy tails": heavy_tails,
}


def measure(*, repeats: int, quick: bool) -> Section:
    """The row ``diagnose``; a quick one starts each command once."""
    entries = []
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        for number, (name, draw) in enumerate(SETS.items()):
            rows = draw(np.random.default_rng(number), (FEATURES, DIMENSIONS)).astype(np.float32)
            np.save(place / "features.npy", rows)
            words = ["-m", "tokdyn", "diagnose", str(place / "features.npy"), "--num-tokens", str(TOKENS)]
            taken = [process(words, place / f"{number}-{again}") for again in range(1 if quick else min(repeats, 3))]
            entries.append(Entry(name, 1, [wall for wall, _ in taken], [cpu for _, cpu in taken], num_cores()))
    facts: dict[str, Any] = {
        "features": FEATURES, "dimensions": DIMENSIONS, "tokens": TOKENS, "goal, seconds": SECONDS,
        "met": {entry.form: entry.per_unit() <= SECONDS for entry in entries},
        "peak of memory, MB": round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024),
        "processes that wanted a core": round(os.getloadavg()[0], 1),
    }  # fmt: skip
    return Section("tokdyn diagnose, first time", "processes", entries, facts=facts, in_seconds=True)
