"""The published study, 1,080 runs: scenes, simulation with early stop, and the numbers of its CSV file."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.metrics import silhouette_score

import tokdyn as td
from benchmarks import published_loop as loop
from benchmarks.machine import num_cores
from benchmarks.record import Goal, Section, entries_from
from benchmarks.timing import in_threads, interleaved
from tokdyn.solve import random_features

LOOP = "NumPy and scikit-learn loop"
NATIVE, THREADS = "tokdyn, float32, native data", "tokdyn, float32, native data, two threads"
DOUBLE = "tokdyn, float64, host-drawn data"
# The loop is timed on all conditions of the first seeds only, and counted per run.
LOOP_SEEDS, SILHOUETTE_SAMPLE = 4, 60
RUNS_A_SEED = len(loop.RULES) * len(loop.NOISES) * len(loop.CLUSTERS)


def rules() -> tuple[np.ndarray, np.ndarray]:
    """Momentum and strength of the four rules, each `[4]`."""
    momentum, strength = np.array(list(loop.RULES.values())).T
    return momentum, strength


def conditions(seeds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Noise and seed of every scene of one number of clusters, flat `[R]`."""
    noise, seed = np.meshgrid(loop.NOISES, seeds, indexing="ij")
    # 32 bits: one dtype whether x64 is on or not.
    return noise.ravel(), seed.ravel().astype(np.int32)


@functools.partial(jax.jit, static_argnames=("clusters", "dtype"))
def native_scenes(
    key: jax.Array, noise: jax.Array, seed: jax.Array, *, clusters: int, dtype: str
) -> tuple[td.data.Blobs, jax.Array]:
    """Scenes `[R, ...]` and starting tokens `[R, K, D]`, drawn on the device."""

    def one(noise: jax.Array, seed: jax.Array) -> tuple[td.data.Blobs, jax.Array]:
        own = td.keys.for_seed(key, seed)
        data = td.keys.for_purpose(own, "data")
        scene = td.data.blobs(data, num_clusters=clusters, noise=noise, dtype=dtype)
        start = td.keys.for_purpose(own, "tokens")
        return scene, random_features(start, scene.features, loop.TOKENS, jitter=loop.JITTER)

    return td.vmap(one)(noise, seed)


@functools.partial(jax.jit, static_argnames="clusters")
def simulated(
    momentum: jax.Array, strength: jax.Array, scenes: td.data.Blobs, tokens: jax.Array, *, clusters: int
) -> dict[str, jax.Array]:
    """Every rule on every scene, rule by rule, since the runs of one rule take similar numbers of steps: `[4 R]`."""

    def one(rule: jax.Array, index: jax.Array) -> dict[str, jax.Array]:
        values = {"inertia.momentum": momentum[rule], "repel.strength": strength[rule]}
        scene = jax.tree.map(lambda leaf: leaf[index], scenes)
        result = td.run(
            td.with_values(td.catalog.published(), values), None, scene.features,
            tokens=tokens[index], max_steps=loop.MAX_STEPS, tol=loop.TOL,
        )  # fmt: skip
        predicted = result.assignment.argmax(axis=-1)
        table = td.metrics.contingency(scene.labels, predicted, num_labels=clusters, num_predicted=loop.TOKENS)
        return {
            "ari": td.metrics.adjusted_rand_index_from(table),
            "nmi": td.metrics.normalized_mutual_information_from(table),
            "sse": td.metrics.sum_squared_errors(scene.features, result.tokens, predicted),
            "num_steps": result.num_steps,
            "min_token_distance": td.metrics.min_token_distance(result.tokens),
            "collapsed": td.metrics.published_collapse(predicted, num_tokens=loop.TOKENS, num_clusters=clusters),
        }

    rule, index = np.divmod(np.arange(len(momentum) * len(tokens)), len(tokens))
    return td.vmap(one)(jnp.asarray(rule), jnp.asarray(index))


def native(seeds: np.ndarray, clusters: int) -> tuple[td.data.Blobs, jax.Array]:
    """``native_scenes`` of these seeds."""
    return native_scenes(jax.random.key(0), *conditions(seeds), clusters=clusters, dtype="float32")


def drawn_on_host(seeds: np.ndarray, clusters: int) -> tuple[td.data.Blobs, np.ndarray]:
    """The published scenes, in float64."""
    drawn = {}
    for number, seed in enumerate(seeds):  # a seed's noise levels together: they share its draws
        for level, noise in enumerate(loop.NOISES):
            scene = td.data.published_blobs(int(seed), num_clusters=clusters, noise=noise)
            drawn[level, number] = scene, td.data.published_tokens(scene, int(seed), num_tokens=loop.TOKENS)
    scenes, starts = zip(*(drawn[place] for place in sorted(drawn)), strict=True)
    return td.data.Blobs(*(np.stack(leaves) for leaves in zip(*scenes, strict=True))), np.stack(starts)


def whole(draw: Callable[[np.ndarray, int], Any], seeds: np.ndarray) -> list[dict[str, jax.Array]]:
    """The study, one program for each number of clusters: a scene has as many features as it needs."""
    return [simulated(*rules(), *draw(seeds, clusters), clusters=clusters) for clusters in loop.CLUSTERS]


def check_published(seeds: int) -> str:
    """Every number of the first seeds against the loop's, row by row.

    Raises:
        AssertionError: they differ.
    """
    results = whole(drawn_on_host, np.arange(seeds))
    place = {name: number for number, name in enumerate(loop.RULES)}
    rows = sorted(loop.rows(seeds), key=lambda row: (row["clusters"], place[row["rule"]], row["noise"], row["seed"]))
    for name in results[0]:
        ours = np.concatenate([np.asarray(result[name]) for result in results])
        expected = np.array([row[name] for row in rows], float)
        np.testing.assert_allclose(ours.astype(float), expected, rtol=1e-6, atol=1e-9, err_msg=name)
    return f"all numbers of {len(rows)} runs equal the loop's to 1e-6"


def check_native(seeds: int) -> str:
    """The same on native data: the loop is given the scenes that tokdyn drew, and computes in float64.

    Raises:
        AssertionError: they differ by more than a few runs near a tie.
    """
    gaps = []
    for clusters, result in zip(loop.CLUSTERS, whole(native, np.arange(seeds)), strict=True):
        scenes, tokens = jax.tree.map(np.asarray, native(np.arange(seeds), clusters))
        ours = iter(np.asarray(result["ari"]))
        for momentum, strength in loop.RULES.values():
            for features, labels, start in zip(scenes.features, scenes.labels, tokens, strict=True):
                features = features.astype(float)
                ended, steps = loop.simulate(features, start.astype(float), momentum, strength)
                gaps.append(abs(next(ours) - loop.scores(features, labels, ended, steps)["ari"]))
    share = float(np.mean(np.array(gaps) > 1e-3))
    text = f"ARI of {share:.1%} of {len(gaps)} runs differs from the loop's by more than 0.001"
    if share > 0.05:
        raise AssertionError(text)
    return text


def measure(*, repeats: int, quick: bool) -> Section:
    """The row ``study``."""
    seeds = np.arange(loop.SEEDS)
    loop_seeds = 2 if quick else LOOP_SEEDS
    everything = RUNS_A_SEED * loop.SEEDS
    forms: dict[str, Any] = {
        LOOP: lambda: list(loop.rows(loop_seeds)),
        NATIVE: lambda: whole(native, seeds),
    }
    counts = {LOOP: RUNS_A_SEED * loop_seeds, NATIVE: everything}
    checked = {LOOP: "the reference", NATIVE: check_native(2)}
    if num_cores() > 1:
        halves = [seeds[: loop.SEEDS // 2], seeds[loop.SEEDS // 2 :]]
        forms[THREADS] = in_threads(functools.partial(whole, native), halves)
        counts[THREADS], checked[THREADS] = everything, "the same program on half of the seeds each"
    ready = {clusters: jax.block_until_ready(native(seeds, clusters)) for clusters in loop.CLUSTERS}
    parts = {
        "  of it, scenes and starting tokens": lambda: [native(seeds, clusters) for clusters in loop.CLUSTERS],
        "  of it, simulation and scores": lambda: whole(lambda _, clusters: ready[clusters], seeds),
    }
    forms |= parts
    counts |= dict.fromkeys(parts, everything)
    forms[DOUBLE] = lambda: _double(seeds)
    counts[DOUBLE] = everything
    forms["  of it, drawing on the host"] = lambda: [drawn_on_host(seeds, clusters) for clusters in loop.CLUSTERS]
    counts["  of it, drawing on the host"] = everything
    with jax.enable_x64(True):
        checked[DOUBLE] = check_published(2)
    timings = interleaved(forms, repeats)
    goals = [Goal(NATIVE, (LOOP,), 100.0), Goal(DOUBLE, (LOOP,), 30.0)]
    if THREADS in forms:
        goals.insert(1, Goal(THREADS, (LOOP,), 100.0))
    steps = np.concatenate([np.asarray(result["num_steps"]) for result in whole(native, seeds)])
    facts = {"mean_steps": float(steps.mean()), "loop_runs_timed": counts[LOOP], "runs": everything}
    return Section("the 1,080-run study", "runs", entries_from(timings, counts, checked, {}), goals, facts)


def _double(seeds: np.ndarray) -> Any:
    """The study on the published scenes in float64; waited for inside, because x64 is on only here."""
    with jax.enable_x64(True):
        return jax.block_until_ready(whole(drawn_on_host, seeds))


@jax.jit
def silhouettes(features: jax.Array, predicted: jax.Array) -> jax.Array:
    """The silhouette of every labeling `[R]`."""

    def one(features: jax.Array, predicted: jax.Array) -> jax.Array:
        return td.metrics.silhouette(features, predicted, num_predicted=loop.TOKENS)

    return td.vmap(one)(features, predicted)


def measure_silhouette(*, repeats: int, quick: bool) -> Section:
    """The row ``silhouette``: 90 labelings of 320 features, by the nearest of the starting tokens."""
    scenes, starts = native(np.arange(loop.SEEDS), 4)
    nearest = jax.vmap(lambda f, t: jnp.argmin(td.numerics.squared_distances(f, t), axis=1))
    arrays = scenes.features, nearest(scenes.features, starts)
    some = np.random.default_rng(0).choice(len(starts), SILHOUETTE_SAMPLE, replace=False)
    host = [tuple(np.asarray(x)[i] for x in arrays) for i in some]

    def with_sklearn() -> list[float]:
        return [float(silhouette_score(features, labels)) for features, labels in host]

    np.testing.assert_allclose(np.asarray(silhouettes(*arrays))[some], with_sklearn(), atol=1e-4)
    forms = {"tokdyn": lambda: silhouettes(*arrays), "scikit-learn loop": with_sklearn}
    counts = {"tokdyn": len(starts), "scikit-learn loop": len(some)}
    checked = {"tokdyn": f"{len(some)} labelings equal scikit-learn's to 1e-4", "scikit-learn loop": "the reference"}
    entries = entries_from(interleaved(forms, repeats), counts, checked, {})
    return Section("silhouette of 90 scenes of the study, N=320", "labelings", entries)
