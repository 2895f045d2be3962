"""The published experiment again, every operator in both worlds at its best learning rate, and frames."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from tokdyn import keys, solve
from tokdyn.studies.composition import frames, published, world
from tokdyn.studies.composition.design import (
    COMPOSERS,
    CONTROLS,
    FRAMES,
    MODELS,
    OPERATORS,
    PUBLISHED_RATE,
    RATES,
    TRAININGS,
    WORLDS,
    Config,
)
from tokdyn.studies.jobs import Jobs

if TYPE_CHECKING:
    import xarray

FORMAT, SCHEMA = "tokdyn-composition", 1
UNIT, CHUNK = 4, 20  # trainings of one call: what they work on fits into a cache; and of one file
EVERY = (*OPERATORS, *CONTROLS)

VARIABLES = {
    "quality": "1 / (mean rank of a pair's two concepts + 1), ranks from 0: the published number",
    "recognised": "share of the concepts among the first four of four: the published recognition",
    "first_two": "share of the concepts among the first two, where both belong",
    "rankings": "different rankings of the four concepts, over the four pairs",
    "epochs": "passes over the concepts until all were right in one",
    "pair_quality": "quality on the two pairs held out, when the two others were trained on",
    "seen_pair_quality": "the same on the two pairs trained on",
    "exact": "share of the held-out combinations of which every factor is read right",
    "unordered": "the same, where an exchange of the two objects counts as right",
    "drawn": "share of the held-out combinations whose own picture is nearest to the drawn one, among all",
    "seen": "share of the combinations trained on of which every factor is read right",
    "by_factor": "share of the held-out combinations of which this factor is read right",
    "analogy": "share of analogies of shape and colour solved by differences of codes; NaN for relations",
    "rate": "learning rate that did best on other splits",
    "tuning": "mean exact share at each learning rate, on the splits that choose it",
    "found_again": "share of a frame's parts found again among 64 fillers by dividing their role out",
    "found_again_expected": "the same, by the law for many numbers",
}
WORLD_VARIABLES = ("exact", "unordered", "drawn", "seen", "by_factor", "analogy")


def measure(config: Config, *, progress: Callable[[int, int], None] | None = None, store: str = "") -> xarray.Dataset:
    """``VARIABLES`` over model, composer and seed; over world, operator and seed; over frame and seed."""
    import xarray

    each = config.seeds + len(RATES) * config.tuning_seeds
    total = len(WORLDS) * len(EVERY) * each + len(MODELS) * config.seeds * (1 + len(TRAININGS)) + config.seeds
    jobs = Jobs(store, progress, format=FORMAT, schema_version=SCHEMA, total=total)
    for name in WORLDS:
        world.world(name)
    # The longest first, so that no thread is left alone with one.
    calls: dict[Any, Callable[[], Any]] = {
        (name, program): functools.partial(_in_world, jobs, config, name, program)
        for program in world.PROGRAMS for name in WORLDS
    }  # fmt: skip
    calls |= {("pairs", model): functools.partial(_on_pairs, jobs, config, model) for model in MODELS}
    calls |= {("concepts", model): functools.partial(_on_concepts, jobs, config, model) for model in MODELS}
    calls["frames"] = functools.partial(_frames, jobs, config)
    found = jobs.all(calls)
    variables: dict[str, Any] = {}
    alone = [found["concepts", model] for model in MODELS]
    for name in published.Composed._fields:
        variables[name] = (("model", "seed", "composer"), np.stack([one[name] for one in alone]))
    variables["epochs"] = (("model", "seed"), np.stack([one["epochs"] for one in alone]))
    for name in ("pair_quality", "seen_pair_quality"):
        values = np.stack([found["pairs", model][name] for model in MODELS])
        variables[name] = (("model", "training", "seed"), values)
    dataset = xarray.Dataset(variables, {"model": list(MODELS), "composer": list(COMPOSERS)})
    dataset = dataset.assign_coords(training=list(TRAININGS), seed=np.arange(config.seeds))
    parts = [_of_world(name, {key[1]: one for key, one in found.items() if key[0] == name}) for name in WORLDS]
    both = xarray.concat(parts, xarray.Variable("world", list(WORLDS)), join="outer")
    both["analogy"] = both["analogy"].where(both["world"] == "factors")
    return dataset.merge(both).assign(
        found_again=(("frame", "seed"), found["frames"]), found_again_expected=("frame", frames.expected())
    ).assign_coords(frame=list(FRAMES))  # fmt: skip


def _of_world(name: str, found: dict[str, dict[str, dict[str, np.ndarray]]]) -> xarray.Dataset:
    """One world's variables, operators in their order."""
    import xarray

    rows = {operator: one for program in found.values() for operator, one in program.items()}
    dims = {"by_factor": ("operator", "seed", "factor"), "rate": ("operator",), "tuning": ("operator", "tried")}
    variables = {
        key: (dims.get(key, ("operator", "seed")), np.stack([rows[operator][key] for operator in EVERY]))
        for key in (*WORLD_VARIABLES, "rate", "tuning")
    }
    factors = np.arange(variables["by_factor"][1].shape[-1])
    return xarray.Dataset(variables, {"operator": list(EVERY), "tried": list(RATES), "factor": factors})


def _seeds(config: Config, purpose: str, numbers: np.ndarray) -> jax.Array:
    """Keys `[n]` of seeds; those of one purpose share nothing with another's."""
    own = keys.for_purpose(jax.random.key(config.key), purpose)
    return jax.vmap(functools.partial(keys.for_seed, own))(jnp.asarray(numbers))


def _in_world(jobs: Jobs, config: Config, name: str, program: str) -> dict[str, dict[str, np.ndarray]]:
    """All operators of a program: the rate that does best on other splits, then every seed at that rate."""
    one = functools.partial(
        world.in_world, name=name, program=program, num_steps=config.num_steps, hidden=config.hidden
    )
    many = jax.jit(solve.vmap(one))

    def run(numbers: dict[str, float], rates: np.ndarray, seeds: np.ndarray, purpose: str) -> Any:
        """So many runs, each with its rate."""
        columns = {key: np.full(UNIT, value, np.float32) for key, value in {**world.BASE, **numbers}.items()}

        def call(tried: np.ndarray, own: np.ndarray) -> Any:
            return many(
                {**columns, "learning_rate": tried.astype(np.float32)}, _seeds(config, f"{name}, {purpose}", own)
            )

        return jobs.in_units(call, (rates, seeds), UNIT)

    def whole(numbers: dict[str, float], rates: np.ndarray, seeds: np.ndarray, purpose: str, label: str) -> Any:
        parts = []
        for start in range(0, len(seeds), CHUNK):
            own, tried = seeds[start : start + CHUNK], rates[start : start + CHUNK]
            design = {
                "numbers": {**world.BASE, **numbers}, "rates": tried.tolist(), "seeds": own.tolist(), "unit": UNIT,
                "steps": config.num_steps, "hidden": config.hidden, "key": config.key,
            }  # fmt: skip
            call = functools.partial(run, numbers, tried, own, purpose)
            parts.append(jobs.made(f"{name} {label} {purpose}", design, call, len(own)))
        return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}

    tried = np.repeat(RATES, config.tuning_seeds)
    found = {}
    for operator, numbers in world.PROGRAMS[program].items():
        label = operator.replace(",", "")
        others = whole(numbers, tried, np.tile(np.arange(config.tuning_seeds), len(RATES)), "tuning", label)
        tuning = others["exact"].reshape(len(RATES), -1).mean(axis=1)
        rate = RATES[int(np.argmax(tuning))]
        made = whole(numbers, np.full(config.seeds, rate), np.arange(config.seeds), "seeds", label)
        found[operator] = {**made, "rate": np.array(rate), "tuning": tuning}
    return found


def _on_concepts(jobs: Jobs, config: Config, model: str) -> Any:
    one = functools.partial(published.on_concepts, {"learning_rate": PUBLISHED_RATE}, model=model)

    def make() -> Any:
        return jax.jit(solve.vmap(one))(_seeds(config, f"concepts, {model}", np.arange(config.seeds)))

    design = {"seeds": config.seeds, "key": config.key}
    return jobs.made(f"concepts {model}", design, make, config.seeds)


def _on_pairs(jobs: Jobs, config: Config, model: str) -> Any:

    def one(network: jax.Array, key: jax.Array) -> Any:
        numbers = {"learning_rate": PUBLISHED_RATE, "network": network}
        return published.on_pairs(numbers, key, model=model, num_steps=config.pair_steps)

    def make() -> Any:
        seeds = _seeds(config, f"pairs, {model}", np.arange(config.seeds))
        many = jax.jit(solve.vmap(lambda network: solve.vmap(functools.partial(one, network))(seeds)))
        return many(np.array([how == "network" for how in TRAININGS], np.float32))

    design = {"seeds": config.seeds, "key": config.key, "steps": config.pair_steps}
    return jobs.made(f"pairs {model}", design, make, len(TRAININGS) * config.seeds)


def _frames(jobs: Jobs, config: Config) -> Any:
    key = keys.for_purpose(jax.random.key(config.key), "frames")
    design = {"seeds": config.seeds, "key": config.key}
    return jobs.made("frames", design, lambda: frames.found_again(key, config.seeds), config.seeds)
