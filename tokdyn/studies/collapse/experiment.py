"""Every remedy in every regime, on the same scenes and starts."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from tokdyn import keys, metrics, starts
from tokdyn.checks import Status
from tokdyn.dynamics import annealing, catalog, compose
from tokdyn.numerics import masked_mean
from tokdyn.solve import run
from tokdyn.studies.collapse.design import GROUPS, REMEDIES, Config, Regime, Remedy
from tokdyn.studies.overprovision.scenes import MOST_LABELS, Draw, drawing, radius
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


def evaluate(
    config: dict[str, Any], key: jax.Array, *, draw: Draw, regimes: list[Regime], remedies: list[Remedy], max_steps: int
) -> Any:
    """One run.

    Args:
        config: regime and remedy (their numbers), tol.
        key: of scene and start: the same for all remedies and regimes.
        draw: of ``scenes.drawing`` (static).
        regimes: that the number chooses from (static); all have as many tokens.
        remedies: that the number chooses from (static); all are balanced, or none is.
        max_steps: at most so many steps (static).
    """
    which = jnp.asarray(config["regime"], jnp.int32)
    number = jnp.asarray(config["remedy"], jnp.int32)

    def of_remedy(name: str) -> jax.Array:
        return jnp.asarray(np.array([getattr(one, name) for one in remedies], np.float32))[number]

    temperature = jnp.asarray(np.array([one.temperature for one in regimes], np.float32))[which]
    width = jnp.asarray(np.array([radius(one.family) for one in regimes], np.float32))[which]
    resolution = 0.1 * width

    scene = draw(which, key)
    num_tokens, own = regimes[0].num_tokens, keys.for_purpose(key, "tokens")
    rows, mask = scene.features, scene.mask
    begun = jnp.stack([
        _begun(own, rows, mask, num_tokens, regimes, which),
        starts.kmeans_plus_plus(own, rows, num_tokens, mask=mask),
        starts.farthest_point(own, rows, num_tokens, mask=mask),
    ])[of_remedy("start").astype(jnp.int32)]  # fmt: skip
    dynamics: Any
    if remedies[0].balanced:
        dynamics = with_values(catalog.balanced(), {"attract.temperature": temperature})
    else:
        first, heat = of_remedy("first"), of_remedy("heat")
        critical = critical_temperature(rows, mask=mask)
        hot = jnp.where(first > 0, first, jnp.where(heat > 0, heat * critical, temperature))
        dynamics = with_values(
            _composed(),
            {
                "attract.temperature.start": jnp.maximum(hot, temperature), "attract.temperature.end": temperature,
                "attract.temperature.num_steps": of_remedy("cooling"), "attract.rate": of_remedy("rate"),
                "repel.strength": of_remedy("strength") + of_remedy("scaled") * (width / 2) ** 3 / 2,
                "inertia.momentum": of_remedy("momentum"),
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


def _begun(
    key: jax.Array, rows: jax.Array, mask: jax.Array, num_tokens: int, regimes: list[Regime], which: jax.Array
) -> jax.Array:
    """The regime's own start `[K, D]`."""
    made = starts.random_features(key, rows, num_tokens, mask=mask, jitter=JITTER)
    names = [one.start for one in regimes]
    if set(names) == {"features"}:
        return made
    centre = masked_mean(rows, mask)
    spread = jnp.sqrt(masked_mean((rows - centre) ** 2, mask))
    drawn = jax.random.normal(keys.for_purpose(key, "normal"), made.shape, made.dtype)
    chosen = jnp.asarray([("features", "near", "far").index(name) for name in names])[which]
    return jnp.stack([made, centre + 0.1 * drawn * (spread > 0), centre + 2 * spread * drawn])[chosen]


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
    kinds = {
        name: [remedy for remedy, one in REMEDIES.items() if one.balanced == balanced]
        for name, balanced in (("", False), ("_balanced", True))
    }
    done, found = 0, []
    for name, group in GROUPS.items():
        regimes = list(group.values())
        draw = drawing([one.family for one in regimes])
        steps = config.study_steps if name == "study" else config.max_steps
        parts = []
        for kind, names in kinds.items():
            bound = functools.partial(
                evaluate, draw=draw, regimes=regimes, remedies=[REMEDIES[each] for each in names], max_steps=steps
            )

            def step(finished: int, _: int, before: int = done) -> None:
                if progress is not None:
                    progress(before + finished, total)

            made = sweep(
                bound, {"regime": 0.0, "remedy": 0.0, "tol": config.tol},
                grid({"regime": range(len(regimes)), "remedy": range(len(names))}),
                seeds=seeds[name], key=key, store=str(Path(store) / f"{name}{kind}") if store else None, progress=step,
            )  # fmt: skip
            assert not isinstance(made, Plan)
            done += len(regimes) * len(names) * seeds[name]
            parts.append(made.load().astype(np.float32).assign_coords(
                regime=np.array(list(group), object), remedy=np.array(names, object)
            ))  # fmt: skip
        found.append(xarray.concat(parts, "remedy"))
    return xarray.concat(found, "regime", join="outer").sel(remedy=list(REMEDIES))
