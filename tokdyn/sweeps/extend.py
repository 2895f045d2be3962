"""Whether a store holds this sweep or a smaller one, and which parts are needed to extend the smaller one.

New cells are computed for all seeds, old cells for new seeds, new variants for all cells and seeds, and further outputs
for all old runs. Each of these is a part of its own, so that nothing that exists is recomputed or rewritten.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from tokdyn import checks
from tokdyn.sweeps.layout import Whole
from tokdyn.sweeps.store import Store

# What must be the same when a sweep is resumed, and when it is extended.
_FIXED = ("evaluate", "key", "paired", "unit", "x64")


def difference(store: Store, record: Mapping[str, Any]) -> str | None:
    """How the sweep in a store differs from that of a call; None if only in cells, seeds, variants or outputs, of which
    the call may request more.

    Args:
        store: the sweep on disk.
        record: record of the call, from ``record.record_of``.
    """
    existing = store.record
    for name in _FIXED:
        if existing[name] != _plain(record[name]):
            return f"made with another value of {name}"
    for name in ("variants", "axes"):
        if _names(existing[name]) != _names(_plain(record[name])):
            return f"made with another value of {name}"
    for name, version in record["environment"]["versions"].items():
        if existing["environment"]["versions"].get(name) != version and name in ("jax", "tokdyn"):
            return f"made with another {name} ({existing['environment']['versions'].get(name)})"
    if existing["fingerprint"]["rest"] != record["fingerprint"]["rest"]:
        return "made with another base, or on another kind of device"
    outputs = store.outputs()
    for name, output in outputs.items():
        asked = record["outputs"].get(name)
        if asked is None or asked["dtype"] != output["dtype"] or list(asked["dims"]) != list(output["dims"]):
            return f"made with another value of outputs ({name})"
    same_outputs = set(outputs) == set(record["outputs"])
    known = existing["fingerprint"]["programs"]
    for labels, program in record["fingerprint"]["programs"].items():
        if same_outputs and known.get(labels, program) != program:
            return f"made with another program of {record['evaluate']}"
    return None


def missing(store: Store, record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Records of the parts that a store lacks for the sweep of a call; empty if it holds everything.

    What the store holds is determined from its parts, so that an extension that was interrupted between two parts can
    be completed.

    Args:
        store: the sweep on disk, for which ``difference`` returned None.
        record: record of the call.

    Raises:
        ValueError: the store holds cells, seeds or variants that the call does not request.
    """
    old, new = Whole(store.record), Whole(record)
    variants, cells, seeds = (new.places_of_variants(old), new.places_of_cells(old), new.places_of_seeds(old))
    for name, places in (("variants", variants), ("axes", cells), ("seeds", seeds)):
        if (places < 0).any():
            expected = "an empty place, or the store of this very sweep, or of a part of it"
            raise checks.bad("store", expected, f"{store.place}, made with another value of {name}")
    # Outputs that are held by the same parts are missing from the same runs.
    groups: dict[tuple[int, ...], list[str]] = {}
    for name in record["outputs"]:
        holders = tuple(part.number for part in store.parts if name in part.record["outputs"])
        groups.setdefault(holders, []).append(name)
    lacking = np.full((new.num_variants, new.num_cells, len(new.seeds)), 2 ** len(groups) - 1, np.int32)
    for part in store.parts:
        held = sum(1 << bit for bit, holders in enumerate(groups) if part.number in holders)
        place = part.layout.places(new)
        lacking[np.ix_(place.variants >= 0, place.cells >= 0, place.seeds >= 0)] &= ~held
    order = np.asarray(record["own_cells"] or np.arange(new.num_cells), np.int64)
    found = []
    for code in np.unique(lacking[lacking > 0]).tolist():
        names = {name for bit, group in enumerate(groups.values()) if code >> bit & 1 for name in group}
        outputs = {name: output for name, output in record["outputs"].items() if name in names}
        for own_variants, own_cells, own_seeds in _blocks(lacking == code, order):
            own = {"own_variants": own_variants, "own_cells": own_cells, "own_seeds": new.seeds[own_seeds].tolist()}
            found.append({**record, **own, "outputs": outputs, "chunk": store.record["chunk"]})
    return found


def _blocks(wanted: np.ndarray, order: np.ndarray) -> Iterator[tuple[list[int], list[int], np.ndarray]]:
    """Runs `[variants, cells, seeds]` as blocks of all combinations of some variants, ordered cells and seeds."""
    alike: dict[bytes, list[int]] = {}
    for variant, runs in enumerate(wanted):
        alike.setdefault(np.packbits(runs).tobytes(), []).append(variant)
    for own_variants in alike.values():
        runs = wanted[own_variants[0]][order]  # [cells in order, seeds]
        patterns, which = np.unique(np.packbits(runs, axis=1), axis=0, return_inverse=True)
        for number in range(len(patterns)):
            here = np.flatnonzero(which.ravel() == number)
            own_seeds = np.flatnonzero(runs[here[0]])
            if own_seeds.size:
                yield own_variants, order[here].tolist(), own_seeds


def check_same_numbers(store: Store, compute: Callable[[int, int], dict[str, np.ndarray]], machine: str) -> None:
    """Recompute a finished task before another program adds further outputs.

    Args:
        store: the sweep on disk.
        compute: ``(part, task) -> {name: [chunk, ...]}``.
        machine: name of this kind of machine.

    Raises:
        ValueError: the evaluator with more outputs returns different numbers for the existing ones.
    """
    for index, part in enumerate(store.parts):
        markers = part.markers()
        for task, marker in itertools.islice(sorted(markers.items()), 1):
            again = compute(index, task)
            for name in part.outputs:
                stored, values = part.read(task, name, marker), again[name]
                if marker.machine == machine:
                    same = np.array_equal(stored, values, equal_nan=stored.dtype.kind in "fc")
                else:
                    same = np.allclose(stored, values, rtol=1e-3, atol=1e-6, equal_nan=True)
                if not same:
                    expected = (
                        f"an evaluator that returns the stored numbers, and others beside them, for {store.place}"
                    )
                    raise checks.bad("evaluate", expected, f"other numbers for {name!r}")


def _names(described: Any) -> Any:
    """The keywords of variants, or the names and paths of axes, without their values."""
    if isinstance(described, Mapping):
        return list(described)
    return [(axis["name"], list(axis["columns"])) for axis in described]


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value))
