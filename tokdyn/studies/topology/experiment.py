"""The whole model in three conditions, maps of the same words by their loss, and maps of every dimension."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from tokdyn import geometry, keys, solve
from tokdyn.geometry import topology
from tokdyn.studies.jobs import Jobs
from tokdyn.studies.meanings import COUNT, WIDTH, of_words, planted
from tokdyn.studies.topology import design, whole
from tokdyn.studies.topology.design import ALONE, BASELINES, DIMENSIONS, LOSSES, MAPS, MODELS, NEAR, SOURCES, Config

if TYPE_CHECKING:
    import xarray

FORMAT, SCHEMA = "tokdyn-topology", 1
VARIABLES = {
    "reconstruction": "share of the words that come back from their patterns, before training and after",
    "overlap_published": "overlap of five nearest by meaning and in the plane, by the condition's form of distances",
    "overlap": "the same by distances that are right",
    "trustworthiness": "1 less a penalty for neighbours in the plane that are far in meaning",
    "continuity": "1 less a penalty for neighbours in meaning that are far in the plane",
    "rank_correlation": "Spearman's, of all pairwise distances",
    "composition": "share of two words among the first five that the mean of their patterns is read as",
    "interpretability": "the published score of patterns: variance, smoothness, likeness of channels",
    "overall": "mean of reconstruction, published overlap, composition and interpretability",
    "spread": "standard deviation of places",
    "topology": "the pull's loss, at the first step and at the last",
    "steps": "steps until 95 % of the words were right, or all there were",
    "pull_overlap": "overlap of places trained by the pull alone, by right distances",
    "pull_published": "the same by the distances of the condition",
    "pull_trustworthiness": "trustworthiness of these places",
    "pull_continuity": "continuity of these places",
    "pull_correlation": "rank correlation of their distances",
    "pull_spread": "standard deviation of these places, before training and after",
    "pull_loss": "the pull's loss on all words, without dropout, before and after",
    "pull_temperature": "the learned temperature, before and after",
    "map_overlap": "overlap of five nearest, of maps of the same words",
    "map_trustworthiness": "trustworthiness of these maps",
    "map_continuity": "continuity of these maps",
    "map_correlation": "rank correlation of distances of these maps",
    "map_shrunk_loss": "the published loss of these maps, shrunk to a standard deviation of 1e-6",
    "pearson": "absolute correlation of distances, as published for UMAP",
    "midpoints": "share of two words among the five nearest to the midpoint of their places, as published for UMAP",
    "fitted": "overlap of five nearest in a map of so many dimensions, of the rows that it was fitted to",
    "held_out": "the same of rows that it was not fitted to, among all",
    "components": "the overlap of as many principal components, of the rows of the map",
}
AFTER = ("before", "after")
MAP_SCORES = {"map_overlap": "overlap", "map_trustworthiness": "trustworthiness", "map_continuity": "continuity",
              "map_correlation": "rank_correlation"}  # fmt: skip


def measure(config: Config, *, progress: Callable[[int, int], None] | None = None, store: str = "") -> xarray.Dataset:
    """``VARIABLES`` over model, seed and before or after; over map and seed; over source, dimension and seed."""
    import xarray

    sweep = len(SOURCES) * len(DIMENSIONS) * config.sweep_seeds
    total = len(MODELS) * config.seeds + len(ALONE) * config.pull_seeds + len(MAPS) * config.map_seeds + sweep
    jobs = Jobs(store, progress, format=FORMAT, schema_version=SCHEMA, total=total)
    # Between the whole models there is enough else that the second finds the program of the first compiled.
    calls: dict[Any, Callable[[], Any]] = {MODELS[0]: functools.partial(_whole, jobs, config, MODELS[0])}
    calls |= {"pull": functools.partial(_pulled, jobs, config)}
    calls |= {name: functools.partial(_maps, jobs, config, name) for name in MAPS}
    calls |= {name: functools.partial(_whole, jobs, config, name) for name in MODELS[1:]}
    calls |= {
        (source, count): functools.partial(_dimension, jobs, config, source, count)
        for source in SOURCES for count in reversed(DIMENSIONS)
    }  # fmt: skip
    found = jobs.all(calls)
    variables: dict[str, Any] = {}
    for name in found[MODELS[0]]:
        values = np.stack([found[model][name] for model in MODELS])
        variables[name] = (("model", "seed") if values.ndim == 2 else ("model", "seed", "end"), values)
    for name, values in found["pull"].items():
        variables[name] = (("pull", "pull_seed", "end")[: values.ndim], values)
    for name in found[MAPS[0]]:
        variables[name] = (("map", "map_seed"), np.stack([found[one][name] for one in MAPS]))
    for name in ("fitted", "held_out", "components"):
        values = np.stack([[found[source, count][name] for count in DIMENSIONS] for source in SOURCES])
        variables[name] = (("source", "dimension", "sweep_seed"), values)
    return xarray.Dataset(variables, {
        "model": list(MODELS), "end": list(AFTER), "pull": list(ALONE), "map": list(MAPS), "source": list(SOURCES),
        "dimension": list(DIMENSIONS), "seed": np.arange(config.seeds), "pull_seed": np.arange(config.pull_seeds),
        "map_seed": np.arange(config.map_seeds),
        "sweep_seed": np.arange(config.sweep_seeds),
    })  # fmt: skip


def _key(config: Config, purpose: str, seed: int) -> jax.Array:
    return keys.for_seed(keys.for_purpose(jax.random.key(config.key), purpose), seed)


def _whole(jobs: Jobs, config: Config, condition: str) -> dict[str, np.ndarray]:
    """Every seed by itself: a training takes ten seconds, and no program of many is faster."""
    call = functools.partial(whole.trained, condition, num_steps=config.num_steps)
    rows = jnp.asarray(whole.vectors())
    each = []
    for seed in range(config.seeds):
        plan = {"condition": condition, "seed": seed, "steps": config.num_steps, "key": config.key}
        make = functools.partial(call, _key(config, "whole", seed), rows)
        each.append(jobs.made(f"whole {condition} {seed}", plan, make, 1))
    return {name: np.stack([one[name] for one in each]) for name in each[0]}


def _pulled(jobs: Jobs, config: Config) -> dict[str, np.ndarray]:
    """All pulls and seeds as one program `[pull, seed, ...]`."""
    each = [_key(config, "pull", seed) for seed in range(config.pull_seeds)]
    rows = jnp.asarray(whole.vectors())

    def make() -> dict[str, jax.Array]:
        one = functools.partial(whole.pulled, rows=rows, num_steps=config.num_steps)
        numbers = jnp.repeat(jnp.arange(len(ALONE)), config.pull_seeds)
        found = jax.jit(solve.vmap(one))(numbers, jnp.tile(jnp.stack(each), len(ALONE)))
        return {score: of.reshape(len(ALONE), config.pull_seeds, *of.shape[1:]) for score, of in found.items()}

    plan = {"pulls": list(ALONE), "seeds": config.pull_seeds, "steps": config.num_steps, "key": config.key}
    made: dict[str, np.ndarray] = jobs.made("pull", plan, make, len(ALONE) * config.pull_seeds)
    return made


def _maps(jobs: Jobs, config: Config, name: str) -> dict[str, np.ndarray]:
    rows = geometry.word_vectors().of(design.WORDS).astype(np.float32)

    def make() -> dict[str, np.ndarray]:
        found = []
        for seed in range(config.map_seeds):
            jobs.go_on()
            found.append(_judged(rows, placed(name, rows, _key(config, "maps", seed))))
        return {score: np.stack([one[score] for one in found]) for score in found[0]}

    plan = {"map": name, "seeds": config.map_seeds, "key": config.key}
    made: dict[str, np.ndarray] = jobs.made(f"map {name}", plan, make, config.map_seeds)
    return made


def placed(name: str, rows: np.ndarray, key: jax.Array) -> np.ndarray:
    """The rows in the plane `[N, 2]`, by one of ``MAPS``."""
    if name == BASELINES[0]:
        return principal(rows, 2)
    if name == BASELINES[1]:
        return np.asarray(jax.random.normal(key, (len(rows), 2)))
    loss = LOSSES[MAPS.index(name)]
    found = geometry.train_map(
        rows,
        key=key,
        form="network",
        loss=loss,
        num_neighbours=NEAR,
        metric="cosine",
    )
    return np.asarray(found(rows))


def principal(rows: np.ndarray, count: int) -> np.ndarray:
    """So many principal components of directions `[N, count]`."""
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    left, sizes, _ = np.linalg.svd(unit - unit.mean(axis=0), full_matrices=False)
    return np.asarray((left * sizes)[:, :count], np.float32)


def _judged(rows: np.ndarray, places: np.ndarray) -> dict[str, np.ndarray]:
    kept = geometry.preservation(rows, places, num_neighbours=NEAR, metric="cosine")
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    pairs = np.triu_indices(len(rows), 1)
    meant, there = 1 - (unit @ unit.T)[pairs], np.linalg.norm(places[:, None] - places, axis=2)[pairs]
    pearson = 0.0 if there.std() == 0 else abs(float(np.corrcoef(meant, there)[0, 1]))
    scores = {ours: np.asarray(getattr(kept, theirs)) for ours, theirs in MAP_SCORES.items()}
    return {
        **scores,
        "pearson": np.asarray(pearson),
        "midpoints": np.asarray(midpoints(places)),
        "map_shrunk_loss": np.asarray(shrunk_loss(rows, places)),
    }


def shrunk_loss(rows: np.ndarray, places: np.ndarray) -> float:
    """The published pull's loss, at its first temperature, of a map that is shrunk and otherwise as it was."""
    near = np.asarray(topology.topological_loss(rows, num_neighbours=NEAR).neighbours)
    small = places * (design.SHRUNK / np.sqrt(places.var(axis=0).mean()))
    away = np.linalg.norm(small[:, None] - small[near], axis=2)
    return float(np.mean(-np.log(np.exp(-away) + topology.LEAST)))


def midpoints(places: np.ndarray) -> float:
    """Share of two words among the five nearest to the midpoint of their places."""
    found = []
    for pair in design.MIDPOINTS:
        own = [design.WORDS.index(word) for word in pair]
        away = np.linalg.norm(places - places[own].mean(axis=0), axis=1)
        found.append(np.isin(own, np.argsort(away, kind="stable")[: design.TOP]).mean())
    return float(np.mean(found))


def features(source: str, key: jax.Array) -> np.ndarray:
    """The published 36 words, or 189 rows: the commonest words of the table, or a planted structure by the key."""
    if source == "words":
        return of_words(geometry.word_vectors().words[:COUNT])
    if source == "published words":
        return of_words(design.WORDS)
    # As wide as words, which changes no angle: maps of all are one program.
    made = np.asarray(planted(source, key), np.float32)
    return np.pad(made, ((0, 0), (0, WIDTH - made.shape[1])))


def _dimension(jobs: Jobs, config: Config, source: str, count: int) -> dict[str, np.ndarray]:
    """Overlaps of maps of so many dimensions: of the rows of the map, and of rows held out among all."""

    def make() -> dict[str, np.ndarray]:
        found: dict[str, list[float]] = {"fitted": [], "held_out": [], "components": []}
        for seed in range(config.sweep_seeds):
            jobs.go_on()
            key = _key(config, f"dimensions, {source}", seed)
            rows = features(source, keys.for_purpose(key, "rows"))
            order = np.asarray(jax.random.permutation(keys.for_purpose(key, "held out"), len(rows)))
            is_few = len(rows) == len(design.WORDS)
            held = design.HELD_OUT_PUBLISHED if is_few else design.HELD_OUT
            new, old = order[:held], order[held:]
            made = geometry.train_map(
                rows[old], key=key, dimensions=count, metric="cosine", num_steps=design.SWEEP_STEPS,
                num_neighbours=NEAR if is_few else 15,
            )  # fmt: skip
            places = np.asarray(made(rows))
            found["fitted"].append(kept_of_each(rows[old], places[old]).mean())
            found["held_out"].append(kept_of_each(rows, places)[new].mean())
            found["components"].append(kept_of_each(rows[old], principal(rows[old], count)).mean())
        return {name: np.array(values) for name, values in found.items()}

    plan = {
        "source": source, "dimension": count, "seeds": config.sweep_seeds, "steps": design.SWEEP_STEPS,
        "key": config.key,
    }  # fmt: skip
    made: dict[str, np.ndarray] = jobs.made(f"dimension {source} {count}", plan, make, config.sweep_seeds)
    return made


def kept_of_each(rows: np.ndarray, places: np.ndarray) -> np.ndarray:
    """For every row the share of its five nearest by direction that are among its five nearest in the map `[N]`."""
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    away = (1 - unit @ unit.T, np.linalg.norm(places[:, None] - places, axis=2))
    sets = []
    for of in away:
        alone = of + np.where(np.eye(len(rows), dtype=bool), np.inf, 0)
        sets.append(np.argsort(alone, axis=1, kind="stable")[:, :NEAR])
    return np.asarray((sets[0][:, :, None] == sets[1][:, None]).any(axis=2).mean(axis=1))
