"""Every remedy in every regime, on the same scenes and starts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from tokdyn import keys, metrics, starts
from tokdyn.checks import Status
from tokdyn.dynamics import annealing, catalog, compose
from tokdyn.solve import run
from tokdyn.studies.collapse.design import GROUPS, REMEDIES, Config, Regime
from tokdyn.studies.overprovision.scenes import MOST_LABELS, Draw, drawing
from tokdyn.sweeps import Plan, grid, sweep
from tokdyn.theory import critical_temperature
from tokdyn.tree import with_values

if TYPE_CHECKING:
    import xarray

VARIABLES = {
    "ari": "adjusted Rand index of the hard assignment",
    "merged_ari": "adjusted Rand index after merging tokens nearer than a tenth of the clusters' noise radius",
    "merged": "whether fewer tokens are distinct than there are",
    "distinct": "tokens that are distinct",
    "dead": "tokens that own no feature",
    "num_steps": "steps taken",
    "converged": "whether tokens came to rest within the steps allowed",
}
JITTER = 0.05  # of random features, as published


def evaluate(config: dict[str, Any], key: jax.Array, *, draw: Draw, regimes: list[Regime], max_steps: int) -> Any:
    """One run.

    Args:
        config: regime and remedy (their numbers), tol.
        key: of scene and start: the same for all remedies and regimes.
        draw: of ``scenes.drawing`` (static).
        regimes: that the number chooses from (static); all have as many tokens.
        max_steps: at most so many steps (static).
    """
    which = jnp.asarray(config["regime"], jnp.int32)
    number = jnp.asarray(config["remedy"], jnp.int32)
    remedies = list(REMEDIES.values())
    momentum, strength, start, heat, first, cooling = (
        jnp.asarray(np.array([getattr(one, name) for one in remedies], np.float32))[number]
        for name in ("momentum", "strength", "start", "heat", "first", "cooling")
    )
    temperature = jnp.asarray(np.array([one.temperature for one in regimes], np.float32))[which]
    # The root mean square distance from a cluster's centre.
    radii = [float(np.mean(one.family.noise)) * one.family.num_dimensions**0.5 for one in regimes]
    resolution = 0.1 * jnp.asarray(np.array(radii, np.float32))[which]

    scene = draw(which, key)
    num_tokens, own = regimes[0].num_tokens, keys.for_purpose(key, "tokens")
    rows, mask = scene.features, scene.mask
    begun = jnp.stack([
        starts.random_features(own, rows, num_tokens, mask=mask, jitter=JITTER),
        starts.kmeans_plus_plus(own, rows, num_tokens, mask=mask),
        starts.farthest_point(own, rows, num_tokens, mask=mask),
    ])[start.astype(jnp.int32)]  # fmt: skip
    critical = critical_temperature(rows, mask=mask)
    hot = jnp.where(first > 0, first, jnp.where(heat > 0, heat * critical, temperature))
    dynamics = with_values(
        _composed(),
        {
            "attract.temperature.start": jnp.maximum(hot, temperature), "attract.temperature.end": temperature,
            "attract.temperature.num_steps": cooling, "repel.strength": strength, "inertia.momentum": momentum,
        },
    )  # fmt: skip
    ended = run(dynamics, None, rows, tokens=begun, max_steps=max_steps, tol=config["tol"], mask=mask,
                assignment="hard")  # fmt: skip
    distinct = metrics.distinct_tokens(ended.tokens, resolution)
    scored: dict[str, Any] = {"num_labels": MOST_LABELS, "mask": mask}
    return {
        "ari": metrics.adjusted_rand_index(scene.labels, ended.labels, num_predicted=num_tokens, **scored),
        "merged_ari": metrics.merged_adjusted_rand_index(
            scene.labels, ended.labels, ended.tokens, resolution=resolution, **scored
        ),
        "merged": distinct < num_tokens,
        "distinct": distinct,
        "dead": num_tokens - metrics.live_tokens(ended.labels, num_tokens=num_tokens, mask=mask),
        "num_steps": ended.num_steps,
        "converged": ended.status == Status.CONVERGED,
    }


def _composed() -> Any:
    """The published rule, whose temperature may fall."""
    published = catalog.published()
    attract = published["attract"]
    parts = {"attract": attract, "repel": published["repel"], "inertia": published["inertia"]}
    parts["attract"] = type(attract)(**{
        **{name: getattr(attract, name) for name in attract.__dataclass_fields__},
        "temperature": annealing(start=1.0, end=1.0, num_steps=0.0),
    })  # fmt: skip
    return compose(**parts)


def measure(config: Config, *, progress: Callable[[int, int], None] | None = None, store: str = "") -> xarray.Dataset:
    """``VARIABLES`` over regime, remedy and seed; NaN for seeds that a regime does not have."""
    import xarray

    key = jax.random.key(config.key)
    seeds = {name: config.seeds if name == "study" else config.other_seeds for name in GROUPS}
    total = sum(len(group) * len(REMEDIES) * seeds[name] for name, group in GROUPS.items())
    done, found = 0, []
    for name, group in GROUPS.items():
        regimes = list(group.values())
        draw = drawing([one.family for one in regimes])
        steps = config.study_steps if name == "study" else config.max_steps

        def bound(
            cell: dict[str, Any], own: jax.Array, *, draw: Any = draw, regimes: Any = regimes, steps: int = steps
        ) -> Any:
            return evaluate(cell, own, draw=draw, regimes=regimes, max_steps=steps)

        def step(finished: int, _: int, before: int = done) -> None:
            if progress is not None:
                progress(before + finished, total)

        made = sweep(
            bound, {"regime": 0.0, "remedy": 0.0, "tol": config.tol},
            grid({"regime": range(len(regimes)), "remedy": range(len(REMEDIES))}),
            seeds=seeds[name], key=key, store=str(Path(store) / name) if store else None, progress=step,
        )  # fmt: skip
        assert not isinstance(made, Plan)
        done += len(regimes) * len(REMEDIES) * seeds[name]
        made = made.load().astype(np.float32)
        found.append(made.assign_coords(regime=np.array(list(group), object), remedy=np.array(list(REMEDIES), object)))
    return xarray.concat(found, "regime", join="outer")
