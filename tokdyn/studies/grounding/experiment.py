"""Trainings with every target, by number of words, and codes of every kind through both channels."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from tokdyn import draws, geometry, keys, solve
from tokdyn.studies.grounding import design
from tokdyn.studies.grounding.design import CODES, DIAL, FIVE, NOISE, PAIRS, SIZES, STEPS, TARGETS, Config
from tokdyn.studies.grounding.training import meanings, trained
from tokdyn.studies.jobs import Jobs
from tokdyn.studies.meanings import COUNT, SOURCES, planted

if TYPE_CHECKING:
    import xarray

FORMAT, SCHEMA = "tokdyn-grounding", 1
VARIABLES = {
    "accuracy": "share of the words read right before training and after every step; NaN beyond a size's seeds",
    "cosine": "cosine of the features of two words before training, where it was stopped, and later",
    "alignment": "mean cosine of a word's features and its vector, before training and at the end",
    "first_alignment": "mean cosine of the features of the five words and their vectors where training was stopped",
    "agreement": "cosine of the gradient with the one a step further, mean over steps; 1 on a slope without bends",
    "exact": "share of the words that come back",
    "at_least": "what that is at least on average, by the sum over pairs",
    "at_most": "what it is at most on average, by the worst pair of each word",
    "closeness": "mean cosine of meaning of a wrong word and the one sent; NaN without errors",
    "rank": "rank of a wrong word by likeness to the one sent, 0 the most alike, 1 the least",
    "closeness_by_chance": "mean cosine of meaning of two words",
    "closeness_at_most": "mean cosine of meaning of a word and the one most like it",
    "overlap": "share of the five nearest words, by meaning, that are among the five nearest codes",
}
CHANNEL = ("exact", "at_least", "at_most", "closeness", "rank", "closeness_by_chance", "closeness_at_most")
UNIT = 5  # trainings of one call, so that a large vocabulary fits into a cache


def measure(config: Config, *, progress: Callable[[int, int], None] | None = None, store: str = "") -> xarray.Dataset:
    """``VARIABLES`` over target, words, seed and step; over source, code, channel, noise and seed."""
    import xarray

    total = len(TARGETS) * sum(map(config.seeds_of, SIZES)) + len(SOURCES) * len(NOISE) * config.channel_seeds
    jobs = Jobs(store, progress, format=FORMAT, schema_version=SCHEMA, total=total)
    calls: dict[Any, Callable[[], Any]] = {
        size: functools.partial(_trainings, jobs, config, size) for size in sorted(SIZES, reverse=True)
    }
    calls |= {
        (source, channel): functools.partial(_through, jobs, config, source, channel)
        for source in SOURCES for channel in NOISE
    }  # fmt: skip
    calls["later"] = functools.partial(_five_later, jobs, config)
    found = jobs.all(calls)
    parts = [_of_size(found[size], config.seeds) for size in SIZES]
    trainings = xarray.concat(parts, xarray.Variable("words", list(SIZES)))
    long = _later(found["later"])
    rows = []
    for source in SOURCES:
        for channel in NOISE:
            own = found[source, channel]
            variables: dict[str, Any] = {name: (("code", "level", "channel_seed"), own[name]) for name in CHANNEL}
            variables["overlap"] = (("code", "channel_seed"), own["overlap"])
            variables["noise"] = (("level",), np.array(NOISE[channel]))
            rows.append(xarray.Dataset(variables).expand_dims(source=[source], channel=[channel]))
    channels = xarray.combine_by_coords(rows, join="outer", data_vars="all")
    assert isinstance(channels, xarray.Dataset)
    channels["noise"] = channels["noise"].isel(source=0, drop=True)
    return xarray.merge([trainings, long, channels], join="outer").assign_coords(
        target=list(TARGETS), code=list(CODES), seed=np.arange(config.seeds), step=np.arange(STEPS + 1),
        channel_seed=np.arange(config.channel_seeds), pair=[" ".join(pair) for pair in PAIRS],
    ).sel(source=list(SOURCES), channel=list(NOISE))  # fmt: skip


def _trainings(jobs: Jobs, config: Config, size: int) -> dict[str, np.ndarray]:
    """Of every target and seed, in calls of a unit `[targets, seeds, ...]`."""
    count = config.seeds_of(size)
    plan = {"size": size, "seeds": count, "key": config.key, "steps": STEPS}
    make = functools.partial(_trained, jobs, config, size)
    found: dict[str, np.ndarray] = jobs.made(f"targets {size}", plan, make, len(TARGETS) * count)
    return found


def _trained(jobs: Jobs, config: Config, size: int) -> dict[str, np.ndarray]:
    meaning = meanings(size)
    once = functools.partial(trained, meaning=jnp.asarray(meaning), num_steps=STEPS, looks=size == 189)
    many = jax.jit(solve.vmap(once))
    seeds = np.tile(np.arange(config.seeds_of(size)), len(TARGETS))
    kinds = np.repeat(np.arange(len(TARGETS)), config.seeds_of(size))
    base = keys.for_purpose(jax.random.key(config.key), "grounding")

    def call(kinds: np.ndarray, seeds: np.ndarray) -> Any:
        return many(jnp.asarray(kinds), jax.vmap(functools.partial(keys.for_seed, base))(jnp.asarray(seeds)))

    unit = min(UNIT if size > 5 else len(seeds), len(seeds))
    joined = jobs.in_units(call, (kinds, seeds), unit)
    return {name: of.reshape(len(TARGETS), -1, *of.shape[1:]) for name, of in joined.items()}


def _of_size(found: dict[str, np.ndarray], seeds: int) -> xarray.Dataset:
    import xarray

    def padded(values: np.ndarray) -> np.ndarray:
        room = np.full((values.shape[0], seeds, *values.shape[2:]), np.nan, np.float32)
        room[:, : values.shape[1]] = values
        return room

    agreement = found.get("agreement", np.full(found["accuracy"].shape[:2], np.nan, np.float32))
    return xarray.Dataset({
        "accuracy": (("target", "seed", "step"), padded(found["accuracy"])),
        "alignment": (("target", "seed", "end"), padded(found["alignment"])),
        "agreement": (("target", "seed"), padded(agreement)),
    })  # fmt: skip


def _five_later(jobs: Jobs, config: Config) -> dict[str, np.ndarray]:
    """Cosines of the five words, before training, at its published end, and long after; likeness to the vectors."""
    once = functools.partial(trained, meaning=jnp.asarray(meanings(len(FIVE))), looks=False)
    base = keys.for_purpose(jax.random.key(config.key), "grounding")

    def make() -> dict[str, jax.Array]:
        seeds = jax.vmap(functools.partial(keys.for_seed, base))(jnp.arange(config.seeds))

        def both(kind: jax.Array, key: jax.Array) -> dict[str, jax.Array]:
            first, later = (once(kind, key, num_steps=steps) for steps in (1, design.LONG))
            cosines = jnp.concatenate([first["cosines"], later["cosines"][1:]])
            return {"cosines": cosines, "alignment": first["alignment"][1]}

        every = jax.jit(solve.vmap(lambda kind: solve.vmap(functools.partial(both, kind))(seeds)))
        found: dict[str, jax.Array] = every(jnp.arange(len(TARGETS)))
        return found

    found: dict[str, np.ndarray] = jobs.made(
        "five later", {"seeds": config.seeds, "key": config.key, "steps": design.LONG}, make, 0
    )
    return found


def _later(found: dict[str, np.ndarray]) -> xarray.Dataset:
    import xarray

    left, right = np.array([[FIVE.index(word) for word in pair] for pair in PAIRS]).T
    after = ("before", "published end", f"{design.LONG} steps")
    variables = {
        "cosine": (("target", "seed", "after", "pair"), found["cosines"][:, :, :, left, right]),
        "first_alignment": (("target", "seed"), found["alignment"]),
    }
    return xarray.Dataset(variables, {"after": list(after)})


def _through(jobs: Jobs, config: Config, source: str, channel: Any) -> dict[str, np.ndarray]:
    """All codes at all levels of noise `[codes, levels, seeds]`."""
    plan = {"source": source, "channel": channel, "seeds": config.channel_seeds, "draws": config.draws,
            "key": config.key, "noise": NOISE[channel]}  # fmt: skip
    make = functools.partial(_sent, jobs, config, source, channel)
    found: dict[str, np.ndarray] = jobs.made(f"{source} {channel}", plan, make, config.channel_seeds)
    return found


def _sent(jobs: Jobs, config: Config, source: str, channel: Any) -> dict[str, np.ndarray]:
    base = keys.for_purpose(jax.random.key(config.key), f"{source}, {channel}")
    is_bits = channel == "flips"
    numbers = design.BITS if is_bits else design.NUMBERS
    real = jnp.asarray(meanings(COUNT)[:, : geometry.word_vectors().vectors.shape[1]])

    # Singular vectors stay outside of compiled loops: on CPU these can wait for each other's threads.
    def dialled(meaning: jax.Array) -> list[jax.Array]:
        return [geometry.whitened(meaning, dial) for dial in DIAL]

    of_real = dialled(real) if source == "words" else []  # the same in every seed

    @jax.jit
    def at_every_level(key: jax.Array, codes: jax.Array, meaning: jax.Array) -> dict[str, jax.Array]:
        def at(level: jax.Array) -> geometry.Recovery:
            return geometry.recovery(key, codes, noise=level, meanings=meaning, channel=channel, num_draws=config.draws)

        found = jax.lax.map(at, jnp.asarray(NOISE[channel]))._asdict()
        return {**found, "overlap": geometry.preservation(meaning, codes, num_neighbours=5).overlap}

    rows = []
    for seed in range(config.channel_seeds):
        jobs.go_on()
        own = keys.for_seed(base, seed)
        meaning = real if of_real else planted(source, keys.for_purpose(own, "vectors"))
        arbitrary = draws.normal(keys.for_purpose(own, "arbitrary"), meaning.shape, meaning.dtype)
        shown = [*(of_real or dialled(meaning)), arbitrary]
        each = [
            at_every_level(
                keys.for_purpose(own, "noise"),
                geometry.equal_codes(keys.for_purpose(own, "codes"), one, numbers=numbers, bits=is_bits), meaning,
            )
            for one in shown
        ]  # fmt: skip
        rows.append({name: np.stack([np.asarray(of[name]) for of in each]) for name in each[0]})
    return {name: np.stack([row[name] for row in rows], axis=-1) for name in rows[0]}
