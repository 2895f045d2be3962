"""Surplus tokens at fixed temperatures, the plateau that needs none, and scikit-learn's rules on the same scenes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from tokdyn import keys, metrics, starts
from tokdyn.dynamics import catalog
from tokdyn.solve import run
from tokdyn.studies.overprovision import opponents
from tokdyn.studies.overprovision.design import METHODS, PLATEAU_TOKENS, STARTS, Config
from tokdyn.studies.overprovision.families import BUILT_ON, HELD_BACK, PUBLISHED
from tokdyn.studies.overprovision.scenes import MOST_LABELS, Draw, drawing, shape_of
from tokdyn.sweeps import Plan, grid, sweep, variants
from tokdyn.theory import order

if TYPE_CHECKING:
    import xarray

FAMILIES = {**BUILT_ON, **HELD_BACK}
VARIABLES = {
    "distinct": "tokens that remain distinct at a fixed temperature",
    "exact": "whether they are as many as there are true clusters",
    "ari": "adjusted Rand index of all tokens at a fixed temperature",
    "merged_ari": "adjusted Rand index after merging tokens nearer than 0.3 times the root of the temperature",
    "chosen": "number of clusters by each method; 0 where it says that the number is unknown",
    "score": "adjusted Rand index of each method's clusters; 0 where the number is unknown",
    "width": "factor in temperature that the widest plateau spans",
    "true": "number of true clusters",
    "is_built_on": "whether the rule for the plateau was built on this family",
}
Progress = Callable[[int, int], None]


def at_fixed_temperature(
    config: dict[str, Any], key: jax.Array, *, num_tokens: int, draw: Draw, max_steps: int
) -> dict[str, jax.Array]:
    """Surplus tokens on a published scene, with plain attraction, read out with and without merging.

    Args:
        config: family (number), temperature, start (number).
        key: of scene and start: the same at every temperature.
        num_tokens: K (static).
        draw: of ``scenes.drawing`` (static).
        max_steps: at most so many steps (static).
    """
    scene = draw(config["family"], key)
    own = keys.for_purpose(key, "tokens")
    first, second = (
        make(own, scene.features, num_tokens, mask=scene.mask)
        for make in (starts.random_features, starts.farthest_point)
    )
    tokens = jnp.where(config["start"] == 0, first, second)
    dynamics = catalog.soft_kmeans(temperature=config["temperature"])
    ended = run(
        dynamics, None, scene.features, tokens=tokens, max_steps=max_steps, tol=1e-3, mask=scene.mask,
        assignment="hard",
    )  # fmt: skip
    resolution = order.NEAR * jnp.sqrt(config["temperature"])
    distinct = metrics.distinct_tokens(ended.tokens, resolution)
    true = jnp.max(jnp.where(scene.mask, scene.labels, -1)) + 1
    scored: dict[str, Any] = {"num_labels": MOST_LABELS, "mask": scene.mask}
    return {
        "distinct": distinct,
        "exact": distinct == true,
        "ari": metrics.adjusted_rand_index(scene.labels, ended.labels, num_predicted=num_tokens, **scored),
        "merged_ari": metrics.merged_adjusted_rand_index(
            scene.labels, ended.labels, ended.tokens, resolution=resolution, **scored
        ),
    }


def by_plateau(config: dict[str, Any], key: jax.Array, *, draw: Draw) -> dict[str, jax.Array]:
    """The rule of ``td.select_temperature`` on a scene.

    Args:
        config: family (number).
        key: of scene and start.
        draw: of ``scenes.drawing`` (static).
    """
    scene = draw(config["family"], key)
    rows = order.in_own_units(scene.features, scene.mask)
    found = order.heated(rows, scene.mask, key, num_tokens=PLATEAU_TOKENS)
    plateau = order.widest_plateau(found.distinct, num_tokens=PLATEAU_TOKENS)
    tokens, component = found.tokens[plateau.middle], found.components[plateau.middle]
    # The tokens that stand for a component; the others are out of reach.
    stands = component == jnp.arange(PLATEAU_TOKENS)
    squares = jnp.sum((rows[:, None] - tokens) ** 2, axis=-1)
    predicted = jnp.argmin(jnp.where(stands, squares, jnp.inf), axis=1)
    score = metrics.adjusted_rand_index(
        scene.labels, predicted, num_labels=MOST_LABELS, num_predicted=PLATEAU_TOKENS, mask=scene.mask
    )
    return {
        "chosen": jnp.where(plateau.is_wide, plateau.number, 0),
        "score": jnp.where(plateau.is_wide, score, 0.0),
        "width": plateau.width,
    }


def measure(config: Config, *, progress: Progress | None = None, store: str = "") -> xarray.Dataset:
    """``VARIABLES`` over number of tokens, start, temperature, published condition and seed; and over family."""
    import xarray

    key = jax.random.key(config.key)
    shapes = {
        shape: [name for name, family in FAMILIES.items()
                if shape_of(family) == shape and (config.opponents or family.source in ("mixture", "moons", "rings"))]
        for shape in ("small", "wide")
    }  # fmt: skip
    names = [name for shape in shapes.values() for name in shape]
    cells = len(config.num_tokens) * len(STARTS) * len(config.temperatures) * len(PUBLISHED)
    total = config.seeds * (cells + len(names) * (2 if config.opponents else 1))
    done = 0

    def step(finished: int) -> None:
        if progress is not None:
            progress(done + finished, total)

    def place(name: str) -> str | None:
        return str(Path(store) / name) if store else None

    draw = drawing(list(PUBLISHED.values()))

    def fixed(cell: dict[str, Any], own: jax.Array, *, num_tokens: int) -> dict[str, jax.Array]:
        return at_fixed_temperature(cell, own, num_tokens=num_tokens, draw=draw, max_steps=config.max_steps)

    space = variants(num_tokens=list(config.num_tokens)) * grid({
        "start": range(len(STARTS)), "temperature": config.temperatures, "family": range(len(PUBLISHED)),
    })  # fmt: skip
    base = {"family": 0.0, "temperature": 1.0, "start": 0.0}
    dataset = sweep(fixed, base, space, seeds=config.seeds, key=key, store=place("fixed"),
                    progress=lambda finished, _: step(finished))  # fmt: skip
    assert not isinstance(dataset, Plan)
    dataset = dataset.load().rename(family="condition")
    dataset = dataset.assign_coords(start=np.array(STARTS, object), condition=np.array(list(PUBLISHED), object))
    done += config.seeds * cells
    chosen = []
    for shape, members in shapes.items():
        own = drawing([FAMILIES[name] for name in members])

        def plateau(cell: dict[str, Any], key: jax.Array, *, own: Any = own) -> dict[str, jax.Array]:
            return by_plateau(cell, key, draw=own)

        found = sweep(plateau, {"family": 0.0}, grid({"family": range(len(members))}), seeds=config.seeds, key=key,
                      store=place(shape), progress=lambda finished, _: step(finished))  # fmt: skip
        assert not isinstance(found, Plan)
        done += config.seeds * len(members)
        chosen.append(found.load().assign_coords(family=np.array(members, object)))
    plateaus = xarray.concat(chosen, "family")
    each = {name: [plateaus[name].transpose("family", "seed").values.astype(float)] for name in ("chosen", "score")}
    methods = METHODS if config.opponents else METHODS[:1]
    if config.opponents:
        families = {shape: {name: FAMILIES[name] for name in members} for shape, members in shapes.items()}
        theirs = opponents.on_all(families, config, key, store, step)
        for name in each:
            each[name] += [theirs[method][name] for method in METHODS[1:]]
    return dataset.assign(
        {name: (("rule", "family", "seed"), np.stack(values)) for name, values in each.items()}
        | {"width": plateaus["width"].transpose("family", "seed"),
           "true": ("family", np.array([len(FAMILIES[name].sizes) for name in names])),
           "is_built_on": ("family", np.array([name in BUILT_ON for name in names]))}
    ).assign_coords(rule=np.array(methods, object), family=np.array(names, object))  # fmt: skip
