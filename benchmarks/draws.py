"""Random numbers for a thousand scenes: tokdyn's against jax.random's, the same numbers."""

from __future__ import annotations

import jax
import numpy as np

import tokdyn as td
from benchmarks.record import Goal, Section, entries_from
from benchmarks.timing import interleaved
from tokdyn import draws

COUNT, SHAPE = 1024, (320, 6)


def measure(*, repeats: int, quick: bool) -> Section:
    """The row ``draws``."""
    keys = jax.random.split(jax.random.key(0), COUNT)
    kinds = {
        "tokdyn, normal": lambda key: draws.normal(key, SHAPE),
        "jax.random, normal": lambda key: jax.random.normal(key, SHAPE),
        "tokdyn, uniform": lambda key: draws.uniform(key, SHAPE),
        "jax.random, uniform": lambda key: jax.random.uniform(key, SHAPE),
    }
    programs = {name: jax.jit(td.vmap(kind)) for name, kind in kinds.items()}
    forms = {name: (lambda program=program: program(keys)) for name, program in programs.items()}
    checked = {}
    for kind, tolerance in (("normal", 1e-6), ("uniform", 1e-7)):
        gap = float(np.max(np.abs(forms[f"tokdyn, {kind}"]() - forms[f"jax.random, {kind}"]())))
        assert gap < tolerance, (kind, gap)
        checked[f"tokdyn, {kind}"] = f"the same numbers, to {gap:.0e}"
    goals = [Goal(f"tokdyn, {kind}", (f"jax.random, {kind}",), 1.0) for kind in ("normal", "uniform")]
    entries = entries_from(interleaved(forms, repeats), dict.fromkeys(forms, COUNT), checked, {})
    return Section("random numbers of a scene, N=320, D=6", "scenes", entries, goals)
