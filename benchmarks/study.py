"""The published study, 1,080 runs: scenes, simulation with early stop, and the numbers of its CSV file."""

from __future__ import annotations

import functools
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

LOOP = "NumPy and scikit-learn loop"
NATIVE, THREADS = "tokdyn, float32, native data", "tokdyn, float32, native data, two threads"
DOUBLE = "tokdyn, float64, host-drawn data"
# The loop is timed on all conditions of the first seeds only, and counted per run.
LOOP_SEEDS, SILHOUETTE_SAMPLE = 4, 60
MOST, RUNS_A_SEED = max(loop.CLUSTERS), len(loop.RULES) * len(loop.NOISES) * len(loop.CLUSTERS)


def rules() -> tuple[np.ndarray, np.ndarray]:
    """Momentum and strength of the four rules, each `[4]`."""
    momentum, strength = np.array(list(loop.RULES.values())).T
    return momentum, strength


def conditions(seeds: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Noise, clusters and seed of every scene, flat `[R]`."""
    noise, clusters, seed = np.meshgrid(loop.NOISES, loop.CLUSTERS, seeds, indexing="ij")
    # 32 bits: one dtype whether x64 is on or not.
    return noise.ravel(), clusters.ravel().astype(np.int32), seed.ravel().astype(np.int32)


@functools.partial(jax.jit, static_argnames="dtype")
def native_scenes(
    key: jax.Array, noise: jax.Array, clusters: jax.Array, seed: jax.Array, *, dtype: str
) -> tuple[td.data.Blobs, jax.Array]:
    """Scenes `[R, ...]` and starting tokens `[R, K, D]`, drawn on the device."""

    def one(noise: jax.Array, clusters: jax.Array, seed: jax.Array) -> tuple[td.data.Blobs, jax.Array]:
        own = td.keys.for_seed(key, seed)
        scene = td.data.blobs(
            td.keys.for_purpose(own, "data"), num_clusters=clusters, noise=noise, max_clusters=MOST, dtype=dtype
        )
        # td.run would draw the same kind of start, but without the published jitter.
        chances = jax.random.uniform(td.keys.for_purpose(own, "tokens"), scene.mask.shape)
        rows = jax.lax.top_k(jnp.where(scene.mask, chances, -1.0), loop.TOKENS)[1]
        jitter = jax.random.normal(td.keys.for_purpose(own, "jitter"), (loop.TOKENS, loop.DIMENSIONS), dtype)
        return scene, scene.features[rows] + loop.JITTER * jitter

    return td.vmap(one)(noise, clusters, seed)


@jax.jit
def simulated(
    momentum: jax.Array, strength: jax.Array, scenes: td.data.Blobs, tokens: jax.Array, clusters: jax.Array
) -> dict[str, jax.Array]:
    """Every rule on every scene, rule by rule, since the runs of one rule take similar numbers of steps: `[4 R]`."""

    def one(rule: jax.Array, index: jax.Array) -> dict[str, jax.Array]:
        values = {"inertia.momentum": momentum[rule], "repel.strength": strength[rule]}
        scene = jax.tree.map(lambda leaf: leaf[index], scenes)
        result = td.run(
            td.with_values(td.catalog.published(), values), None, scene.features,
            tokens=tokens[index], mask=scene.mask, max_steps=loop.MAX_STEPS, tol=loop.TOL,
        )  # fmt: skip
        predicted = result.assignment.argmax(axis=-1)
        sizes = {"num_labels": MOST, "num_predicted": loop.TOKENS}
        table = td.metrics.contingency(scene.labels, predicted, mask=scene.mask, **sizes)
        return {
            "ari": td.metrics.adjusted_rand_index_from(table),
            "nmi": td.metrics.normalized_mutual_information_from(table),
            "sse": td.metrics.sum_squared_errors(scene.features, result.tokens, predicted, mask=scene.mask),
            "num_steps": result.num_steps,
            "min_token_distance": td.metrics.min_token_distance(result.tokens),
            "collapsed": td.metrics.published_collapse(
                predicted, num_tokens=loop.TOKENS, num_clusters=clusters[index], mask=scene.mask
            ),
        }

    rule, index = np.divmod(np.arange(len(momentum) * len(tokens)), len(tokens))
    return td.vmap(one)(jnp.asarray(rule), jnp.asarray(index))


def whole_native(seeds: np.ndarray) -> dict[str, jax.Array]:
    """The study on data drawn on the device."""
    cells = conditions(seeds)
    scenes, tokens = native_scenes(jax.random.key(0), *cells, dtype="float32")
    return simulated(*rules(), scenes, tokens, cells[1])


def drawn_on_host(seeds: np.ndarray) -> tuple[td.data.Blobs, np.ndarray]:
    """The published scenes, in float64."""
    drawn = {}
    cells = enumerate(zip(*conditions(seeds), strict=True))
    for place, (noise, clusters, seed) in sorted(cells, key=lambda cell: cell[1][2]):  # a seed's share its draws
        scene = td.data.published_blobs(int(seed), num_clusters=int(clusters), noise=noise, max_clusters=MOST)
        drawn[place] = scene, td.data.published_tokens(scene, int(seed), num_tokens=loop.TOKENS)
    scenes, starts = zip(*(drawn[place] for place in range(len(drawn))), strict=True)
    return td.data.Blobs(*(np.stack(leaves) for leaves in zip(*scenes, strict=True))), np.stack(starts)


def whole_published(seeds: np.ndarray) -> dict[str, jax.Array]:
    """The study on the published scenes; float64 where x64 is on."""
    scenes, tokens = drawn_on_host(seeds)
    return simulated(*rules(), scenes, tokens, conditions(seeds)[1])


def check_published(seeds: int) -> str:
    """Every number of the first seeds against the loop's, row by row.

    Raises:
        AssertionError: they differ.
    """
    ours = {name: np.asarray(values) for name, values in whole_published(np.arange(seeds)).items()}
    rows = list(loop.rows(seeds))
    rule_of = {name: number for number, name in enumerate(loop.RULES)}
    # The loop goes by scene, then rule; ours by rule, then scene.
    order = np.argsort([rule_of[row["rule"]] for row in rows], kind="stable")
    for name, values in ours.items():
        expected = np.array([rows[i][name] for i in order], float)
        np.testing.assert_allclose(values.astype(float), expected, rtol=1e-6, atol=1e-9, err_msg=name)
    return f"all numbers of {len(rows)} runs equal the loop's to 1e-6"


def check_native(seeds: int) -> str:
    """The same on native data: the loop is given the scenes that tokdyn drew, and computes in float64.

    Raises:
        AssertionError: they differ by more than a few runs near a tie.
    """
    cells = conditions(np.arange(seeds))
    scenes, tokens = jax.tree.map(np.asarray, native_scenes(jax.random.key(0), *cells, dtype="float32"))
    ours = np.asarray(simulated(*rules(), scenes, tokens, cells[1])["ari"])
    expected = []
    for momentum, strength in loop.RULES.values():
        for index in range(len(tokens)):
            kept = scenes.mask[index]
            features = scenes.features[index][kept].astype(float)
            ended, steps = loop.simulate(features, tokens[index].astype(float), momentum, strength)
            expected.append(loop.scores(features, scenes.labels[index][kept], ended, steps)["ari"])
    share = float(np.mean(np.abs(ours - expected) > 1e-3))
    text = f"ARI of {share:.1%} of {len(ours)} runs differs from the loop's by more than 0.001"
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
        NATIVE: lambda: whole_native(seeds),
    }
    counts = {LOOP: RUNS_A_SEED * loop_seeds, NATIVE: everything}
    checked = {LOOP: "the reference", NATIVE: check_native(2)}
    if num_cores() > 1:
        halves = [seeds[: loop.SEEDS // 2], seeds[loop.SEEDS // 2 :]]
        forms[THREADS] = in_threads(whole_native, halves)
        counts[THREADS], checked[THREADS] = everything, "the same program on half of the seeds each"
    cells = conditions(seeds)
    ready = jax.block_until_ready(native_scenes(jax.random.key(0), *cells, dtype="float32"))
    parts = {
        "  of it, scenes and starting tokens": lambda: native_scenes(jax.random.key(0), *cells, dtype="float32"),
        "  of it, simulation and scores": lambda: simulated(*rules(), *ready, cells[1]),
    }
    forms |= parts
    counts |= dict.fromkeys(parts, everything)
    forms[DOUBLE] = lambda: _double(seeds)
    counts[DOUBLE] = everything
    forms["  of it, drawing on the host"] = lambda: drawn_on_host(seeds)
    counts["  of it, drawing on the host"] = everything
    with jax.enable_x64(True):
        checked[DOUBLE] = check_published(2)
    timings = interleaved(forms, repeats)
    goals = [Goal(NATIVE, (LOOP,), 100.0), Goal(DOUBLE, (LOOP,), 30.0)]
    if THREADS in forms:
        goals.insert(1, Goal(THREADS, (LOOP,), 100.0))
    steps = np.asarray(whole_native(seeds)["num_steps"])
    facts = {"mean_steps": float(steps.mean()), "loop_runs_timed": counts[LOOP], "runs": everything}
    return Section("the 1,080-run study", "runs", entries_from(timings, counts, checked, {}), goals, facts)


def _double(seeds: np.ndarray) -> Any:
    """``whole_published`` in float64; waited for inside, because x64 is on only here."""
    with jax.enable_x64(True):
        return jax.block_until_ready(whole_published(seeds))


@jax.jit
def silhouettes(features: jax.Array, predicted: jax.Array, mask: jax.Array) -> jax.Array:
    """The silhouette of every labeling `[R]`."""

    def one(features: jax.Array, predicted: jax.Array, mask: jax.Array) -> jax.Array:
        return td.metrics.silhouette(features, predicted, num_predicted=loop.TOKENS, mask=mask)

    return td.vmap(one)(features, predicted, mask)


def measure_silhouette(*, repeats: int, quick: bool) -> Section:
    """The row ``silhouette``: of every run of the study's baseline, 270 labelings of 240 to 400 features."""
    seeds = np.arange(loop.SEEDS)
    scenes, starts = native_scenes(jax.random.key(0), *conditions(seeds), dtype="float32")
    nearest = jax.vmap(lambda f, t: jnp.argmin(td.numerics.squared_distances(f, t), axis=1))
    predicted = nearest(scenes.features, starts)
    arrays = scenes.features, predicted, scenes.mask
    some = np.random.default_rng(0).choice(len(starts), SILHOUETTE_SAMPLE, replace=False)
    host = [tuple(np.asarray(x)[i] for x in arrays) for i in some]
    host = [(features[mask], labels[mask]) for features, labels, mask in host]

    def with_sklearn() -> list[float]:
        return [float(silhouette_score(features, labels)) for features, labels in host]

    np.testing.assert_allclose(np.asarray(silhouettes(*arrays))[some], with_sklearn(), atol=1e-4)
    forms = {"tokdyn": lambda: silhouettes(*arrays), "scikit-learn loop": with_sklearn}
    counts = {"tokdyn": len(starts), "scikit-learn loop": len(some)}
    checked = {"tokdyn": f"{len(some)} labelings equal scikit-learn's to 1e-4", "scikit-learn loop": "the reference"}
    entries = entries_from(interleaved(forms, repeats), counts, checked, {})
    return Section("silhouette of the study's scenes (N = 240 to 400)", "labelings", entries)
