"""What a sweep costs beside the bare function that it hands out, and what its threads give."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import Any

import jax
import numpy as np

import tokdyn as td
from benchmarks.record import Section, entries_from
from benchmarks.timing import interleaved

TEMPERATURES, SEEDS = np.geomspace(0.5, 8.0, 16), 640
BARE, ONE, ALL = (
    "the bare jitted function, one call",
    "tokdyn, sweep, one thread",
    "tokdyn, sweep, a thread for each core",
)
STORED = "tokdyn, sweep, a thread for each core, into a store"
READ = "reading that store, every chunk against its checksum"


def evaluate(config: dict[str, Any], key: jax.Array) -> dict[str, jax.Array]:
    """A run on a scene of its own, and its score."""
    scene = td.data.blobs(key, num_clusters=4, noise=config["noise"])
    result = td.run(config["dynamics"], key, scene.features, num_tokens=4, max_steps=30, tol=1e-3)
    sizes = {"num_labels": 4, "num_predicted": 4}
    score = td.metrics.adjusted_rand_index(scene.labels, result.assignment.argmax(-1), **sizes)
    return {"ari": score, "num_steps": result.num_steps}


def sweep_once(*, quick: bool, **options: Any) -> Any:
    """The sweep that is timed, on one device unless told otherwise."""
    base = {"dynamics": td.catalog.published("inertia_repulsion"), "noise": 0.6}
    space = td.grid({"dynamics.attract.temperature": TEMPERATURES})
    key, seeds = jax.random.key(0), 64 if quick else SEEDS
    return td.sweep(evaluate, base, space, seeds=seeds, key=key, unit=256, **options)


def measure_devices(*, repeats: int, quick: bool) -> Section:
    """The row ``devices``: whether work that is handed to several devices gets what their cores can give."""
    devices = jax.local_devices()
    names = {
        "tokdyn, sweep, one device, one thread": {"devices": devices[:1], "workers": 1},
        "tokdyn, sweep, one device, a thread for each core": {"devices": devices[:1]},
        f"tokdyn, sweep, {len(devices)} devices": {"devices": devices},
    }
    forms = {name: functools.partial(sweep_once, quick=quick, **options) for name, options in names.items()}
    results = {name: form() for name, form in forms.items()}
    first = next(iter(results.values()))
    checked = {
        name: f"{float(np.mean(np.abs(result['ari'].values - first['ari'].values) > 1e-3)):.2%} of the ARI differ from "
        "one device's by more than 0.001"
        for name, result in results.items()
    }
    entries = entries_from(interleaved(forms, repeats), dict.fromkeys(forms, first["ari"].size), checked, {})
    facts = {"runs": first["ari"].size, "devices": len(devices)}
    return Section(f"a sweep on {len(devices)} devices made of one processor", "runs", entries, facts=facts)


def measure(*, repeats: int, quick: bool) -> Section:
    """The row ``sweep``."""
    seeds = 64 if quick else SEEDS
    count = len(TEMPERATURES) * seeds
    swept = functools.partial(sweep_once, quick=quick)

    plan = swept(dry_run=True)
    runs = plan.runs(0, count)
    expected = np.asarray(plan.functions[0](*plan.arguments, *runs)["ari"])
    with tempfile.TemporaryDirectory() as folder:
        stores = iter(range(1000))
        swept(store=Path(folder) / "read")
        forms = {
            BARE: lambda: plan.functions[0](*plan.arguments, *runs),
            ONE: lambda: swept(workers=1),
            ALL: swept,
            STORED: lambda: swept(store=Path(folder) / str(next(stores))),
            READ: lambda: td.open_sweep(Path(folder) / "read", verify=True).load(),
        }
        share = float(np.mean(np.abs(forms[ALL]()["ari"].values.ravel() - expected) > 1e-3))
        assert share < 0.01, share
        timings = interleaved(forms, repeats)
    checked = {ALL: f"{share:.2%} of the ARI differ from the bare function's by more than 0.001"}
    entries = entries_from(timings, dict.fromkeys(forms, count), checked, {})
    facts = {"runs": count}
    return Section("a sweep and its bare function, N=320, D=6, K=4", "runs", entries, facts=facts)
