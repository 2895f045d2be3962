"""All laws, predicted and measured, in one Dataset."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from tokdyn.studies.dynamics.design import Config as Published
from tokdyn.studies.theory import merging, moving
from tokdyn.studies.theory.design import LAWS, Config
from tokdyn.studies.theory.merging import Case

if TYPE_CHECKING:
    import xarray

VARIABLES = {
    "law": "which law",
    "source": "tabulated: a case of a published or derived table; random: one that no law was made from",
    "what": "the case in words",
    "at": "where the case stands in its law's figure",
    "predicted": "by the law",
    "measured": "in a run",
    "error": "distance of the two, over the prediction where the tolerance is relative",
    "holds": "whether the error is within the law's tolerance",
    "owned": "1 where the features that tokens own in the end say that they part, for the cases of the local law",
    "collapse_ari": "mean adjusted Rand index at a high temperature",
    "collapse_flag": "share of runs that the published flag calls collapsed",
    "collapse_merged_ari": "mean adjusted Rand index after tokens nearer than 0.1 are merged",
    "hysteresis_cooling": "spread of the tokens over that of the features, while cooling",
    "hysteresis_heating": "the same while heating",
    "cascade_measured": "distinct tokens while cooling",
    "cascade_predicted": "distinct points of the predicted cascade",
    "pair_orbit": "distance of two repelling tokens over its resting value, in the last steps",
    "chaos_exponent": "Lyapunov exponent of the reduced map, per step",
    "energy_rises": "share of a run's 30 steps in which the free energy rises",
}


def measure(config: Config, *, progress: Callable[[int, int], None] | None = None) -> xarray.Dataset:
    """``VARIABLES``: one row for each case of each law, and the curves of the figures."""
    import xarray

    cases: list[Case] = []
    curves: dict[str, Any] = {}
    done = 0

    def random(law: str) -> np.random.Generator:
        return np.random.default_rng([config.key, sorted(LAWS).index(law)])

    def add(found: list[Case]) -> None:
        nonlocal done
        cases.extend(found)
        done += 1
        if progress is not None:
            progress(done, len(LAWS) + 1)

    with jax.enable_x64(True):
        for law, one in (
            ("descent", merging.descent), ("multiplier", merging.multiplier), ("pitchfork", merging.pitchfork),
            ("slowing", merging.slowing), ("inertia", moving.heavy_ball),
        ):  # fmt: skip
            add(one(config, random(law)))
        by_cluster, by_owned = merging.local(config)
        curves["owned"] = "local", np.array([case.predicted for case in by_owned])
        add(by_cluster)
        found, scores = merging.collapse(config)
        curves |= {f"collapse_{name}": ("heat", values) for name, values in scores.items()}
        add(found)
        found, branches = merging.hysteresis(config, random("hysteresis"))
        loop = ("distribution", "tokens", "ratio")
        curves |= {f"hysteresis_{name}": (loop, values) for name, values in branches.items()}
        add(found)
        found, steps = moving.cascade(config, random("cascade"))
        curves |= {f"cascade_{name}": ("cooled", steps[name]) for name in ("measured", "predicted")}
        add(found)
        found, orbits = moving.pair(config, random("repulsion"))
        curves["pair_orbit"] = ("pair", "step"), orbits["orbit"]
        add(found)
        found, exponents = moving.chaos(config, random("chaos"))
        curves["chaos_exponent"] = "map", exponents["exponent"]
        add(found)
        curves["energy_rises"] = ("rule", "run"), moving.energies(config)
        add([])
    errors = np.array([_error(case) for case in cases])
    columns: dict[str, Any] = {
        name: np.array([getattr(case, name) for case in cases], _kind(name)) for name in Case._fields
    }
    rows = {
        **columns,
        "error": errors,
        "holds": errors <= np.array([LAWS[case.law].tolerance for case in cases]),
    }
    return xarray.Dataset(
        {**{name: ("case", values) for name, values in rows.items()}, **curves},
        {
            "heat": list(merging.HOT), "distribution": np.array(list(merging.SPINODALS), object),
            "tokens": list(merging.COUNTS), "ratio": merging.LOOP, "cooled": steps["temperature"],
            "pair": orbits["multiplier"], "map": exponents["multiplier"],
            "rule": np.array(Published().rules, object),
        },
    )  # fmt: skip


def _kind(name: str) -> type:
    return object if name in ("law", "source", "what") else float


def _error(case: Case) -> float:
    gap = abs(case.measured - case.predicted)
    return gap / abs(case.predicted) if LAWS[case.law].relative else gap


def of_law(dataset: xarray.Dataset, law: str) -> xarray.Dataset:
    """The cases of one law."""
    return dataset.isel(case=np.flatnonzero(dataset["law"].values == law))
