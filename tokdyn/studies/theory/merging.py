"""Laws of merging and parting, each predicted and measured, one row a case."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import tokdyn.theory as laws
from tokdyn import metrics
from tokdyn.dynamics import attraction, catalog, compose, inertia
from tokdyn.numerics import safe_norm
from tokdyn.solve import run, trajectory, vmap
from tokdyn.solve.driver import Info, State
from tokdyn.studies.dynamics.design import Config as Published
from tokdyn.studies.dynamics.scenes import published_scenes
from tokdyn.studies.theory.design import DIMENSIONS, MOST_TOKENS, Config, drawn, padded, quantiles


class Case(NamedTuple):
    """One case of a law.

    Attributes:
        law: of ``LAWS``.
        source: "tabulated" or "random".
        what: the case in words.
        at: the number that its figure has on the horizontal axis.
        predicted: by the law.
        measured: in a run.
    """

    law: str
    source: str
    what: str
    at: float
    predicted: float
    measured: float


def descent(config: Config, rng: np.random.Generator) -> list[Case]:
    """Random features and tokens among them, random temperatures and rates; three steps each."""
    found = []
    for number in range(config.cases):
        dimensions, count = int(rng.choice(DIMENSIONS)), (2, 5, 16)[number % 3]
        features = padded(drawn(rng, dimensions=dimensions))
        tokens = features[rng.choice(len(features), count, replace=False)]
        ratio = float(np.exp(rng.uniform(-4, 1)))
        dynamics = catalog.soft_kmeans(
            temperature=ratio * float(laws.critical_temperature(features)), rate=float(rng.uniform(0.05, 1.95))
        )
        steps = jax.tree.map(np.asarray, _three_steps(dynamics, features, tokens))
        size = np.maximum(np.abs(steps.before), np.abs(steps.after))
        certified, fell = (steps.quadratic + steps.divergence) / size, (steps.before - steps.after) / size
        said = f"{dimensions} dimensions, {count} tokens, T/T_c = {ratio:.3g}"
        found += [Case("descent", "random", said, *map(float, (c, c, f))) for c, f in zip(certified, fell, strict=True)]
    return found


@jax.jit
def _three_steps(dynamics: Any, features: jax.Array, tokens: jax.Array) -> laws.Descent:
    def one(tokens: jax.Array, _: None) -> tuple[jax.Array, laws.Descent]:
        step = laws.descent(dynamics, features, tokens)
        return step.tokens, step

    return jax.lax.scan(one, tokens, length=3)[1]


def _difference(state: State, info: Info) -> jax.Array:
    """How far the first token is from the second."""
    return safe_norm(state.tokens[0] - state.tokens[1])


@functools.partial(jax.jit, static_argnames=("num_steps",))
def _differences(
    features: jax.Array, tokens: jax.Array, exists: jax.Array, numbers: dict[str, jax.Array], *, num_steps: int
) -> jax.Array:
    """The distance of the first two tokens after each step `[num_steps]`."""
    dynamics = compose(
        attract=attraction(temperature=numbers["temperature"], rate=numbers["rate"]),
        inertia=inertia(momentum=numbers["momentum"]),
    )
    return trajectory(
        dynamics, None, features, tokens=tokens, token_mask=exists, num_steps=num_steps, keep=_difference
    )[1]


def _widest(features: np.ndarray, weights: np.ndarray | None = None) -> tuple[float, np.ndarray]:
    """The largest variance of features, weighted if weights are given, and its direction."""
    shares = np.full(len(features), 1 / len(features)) if weights is None else weights / weights.sum()
    away = (features - shares @ features) * np.sqrt(shares)[:, None]
    _, singular, directions = np.linalg.svd(away, full_matrices=False)
    return float(singular[0]) ** 2, directions[0]


def _from_one_point(
    rng: np.random.Generator, dimensions: int, count: int, ratio: float, rate: float, momentum: float
) -> tuple[np.ndarray, float, np.ndarray]:
    """Tokens that are all but at the mean of random features, displaced along the widest direction.

    Returns:
        The features, the temperature, and how far two tokens are apart at the start and after each of 36 steps.
    """
    features = padded(drawn(rng, dimensions=dimensions))
    heat = ratio * float(laws.critical_temperature(features))
    variance, direction = _widest(features)
    along = rng.normal(size=MOST_TOKENS)
    along[:2] = 1.0, -1.0
    exists = np.arange(MOST_TOKENS) < count
    along -= along[exists].mean()
    tokens = features.mean(axis=0) + 1e-6 * np.sqrt(variance) * along[:, None] * direction
    numbers = {"temperature": heat, "rate": rate, "momentum": momentum}
    sizes = np.asarray(_differences(features, tokens, exists, numbers, num_steps=36))
    return features, heat, np.concatenate([[np.linalg.norm(tokens[0] - tokens[1])], sizes])


def multiplier(config: Config, rng: np.random.Generator) -> list[Case]:
    """One step from a small displacement at the mean."""
    tabulated = [(4, 4, ratio, 1.0) for ratio in (0.9, 0.99, 0.999, 1.001, 1.01, 1.1, 2.0)]
    random = [
        (int(rng.choice(DIMENSIONS)), int(rng.integers(2, MOST_TOKENS + 1)), float(np.exp(rng.uniform(-1, 1))),
         float(rng.uniform(0.1, 1.9))) for _ in range(config.cases)
    ]  # fmt: skip
    found = []
    for number, (dimensions, count, ratio, rate) in enumerate(tabulated + random):
        features, heat, sizes = _from_one_point(rng, dimensions, count, ratio, rate, 0.0)
        said = f"{dimensions} dimensions, {count} tokens, rate {rate:.3g}"
        source = "tabulated" if number < len(tabulated) else "random"
        predicted = abs(float(laws.growth_factors(features, heat, rate)[0]))
        found.append(Case("multiplier", source, said, ratio, predicted, float(sizes[1] / sizes[0])))
    return found


def slowing(config: Config, rng: np.random.Generator) -> list[Case]:
    """Twenty steps of a small displacement, after the first fifteen."""
    grid = [(4, 2, ratio, momentum) for momentum in (0.0, 0.5) for ratio in (0.95, 0.99, 1.01, 1.05)]
    grid += [
        (int(rng.choice(DIMENSIONS)), int(rng.integers(2, MOST_TOKENS + 1)),
         float(1 + rng.choice([-1, 1]) * np.exp(rng.uniform(-4.5, -2.5))), float(rng.choice([0.0, 0.3, 0.6])))
        for _ in range(config.cases)
    ]  # fmt: skip
    found = []
    for number, (dimensions, count, ratio, momentum) in enumerate(grid):
        _, _, sizes = _from_one_point(rng, dimensions, count, ratio, 1.0, momentum)
        source = "tabulated" if number < 8 else "random"
        said = f"{dimensions} dimensions, {count} tokens, momentum {momentum:g}"
        steps = 20 / abs(np.log(sizes[-1] / sizes[-21]))
        predicted = float(laws.relaxation_steps(ratio, momentum=momentum))
        found.append(Case("slowing", source, said, ratio, predicted, float(steps)))
    return found


def local(config: Config) -> tuple[list[Case], list[Case]]:
    """The published study's own scenes: clusters with two tokens or more after 30 steps, and where those end.

    Returns:
        Cases by the covariance of the cluster, and the same by that of the features that its tokens own in the end.
    """
    scenes, tokens, grid = study_scenes(config)
    early, late = (np.asarray(part) for part in _ends(scenes, tokens, np.float64(1.0)))
    by_cluster: list[Case] = []
    by_owned: list[Case] = []
    for number in range(len(early)):
        exists = scenes.mask[number]
        features, labels = scenes.features[number][exists], scenes.labels[number][exists]
        share = np.array([np.bincount(labels, weights=w) for w in _owned(features, early[number]).T])
        share /= share.sum(axis=1, keepdims=True)
        for cluster in range(share.shape[1]):
            inside = np.flatnonzero(share[:, cluster] > 0.9)
            if len(inside) < 2:
                continue
            own = features[labels == cluster]
            weights = _owned(features, late[number])[:, inside].sum(axis=1)
            apart = max(np.linalg.norm(late[number][i] - late[number][j]) for i in inside for j in inside)
            noise, clusters = grid[number // config.seeds]
            said = f"noise {noise:g}, {clusters} clusters, seed {number % config.seeds}"
            # (the covariance of the cluster, that of what its tokens own in the end)
            for cases, some, weight in ((by_cluster, own, None), (by_owned, features, weights)):
                critical = 2 * _widest(some, weight)[0]
                cases.append(Case("local", "tabulated", said, 1 / critical, float(critical > 1), float(apart > 1e-3)))
    return by_cluster, by_owned


def study_scenes(config: Config, noises: tuple[float, ...] = (), clusters: tuple[int, ...] = (), seeds: int = 0) -> Any:
    """The published study's scenes, from its own streams.

    Args:
        config: for the number of seeds, where none is given.
        noises: by default all of the study.
        clusters: by default all of the study.
        seeds: how many.

    Returns:
        ``(scenes [R, ...], starting tokens [R, K, D], [(noise, clusters)])``, a pair's seeds one after the other.
    """
    published = Published()
    grid = [(noise, count) for noise in noises or published.noises for count in clusters or published.clusters]
    scenes, tokens = published_scenes(published, grid, np.arange(seeds or config.seeds), "float64")
    return scenes, tokens, grid


@jax.jit
def _ends(scenes: Any, tokens: jax.Array, temperature: Any) -> tuple[jax.Array, jax.Array]:
    """Tokens of the published baseline after its 30 steps and at rest, at most 5,000 steps `[R, K, D]`."""
    dynamics = catalog.published("baseline", temperature=temperature)

    def one(scene: Any, start: jax.Array) -> tuple[jax.Array, jax.Array]:
        given = {"mask": scene.mask, "assignment": "none"}
        early = run(dynamics, None, scene.features, tokens=start, max_steps=30, tol=0.0, **given).tokens
        late = run(dynamics, None, scene.features, tokens=early, max_steps=4970, tol=1e-10, stop="residual", **given)
        return early, late.tokens

    return vmap(one)(scenes, tokens)


def _owned(features: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    """Responsibilities at temperature 1 `[N, K]`."""
    from scipy.special import softmax

    return softmax(-((features[:, None] - tokens[None]) ** 2).sum(axis=-1), axis=1)


HOT = (20.0, 40.0, 60.0, 100.0, 300.0)


def collapse(config: Config) -> tuple[list[Case], dict[str, np.ndarray]]:
    """The study's scenes of noise 0.6 and four clusters at high temperatures, at most 100 steps, its own tolerance.

    Returns:
        Cases, and for every temperature ``ari``, ``flag`` (the published one) and ``merged_ari``, means over seeds.
    """
    scenes, tokens, _ = study_scenes(config, (0.6,), (4,), seeds=200 if config.seeds >= 30 else 20)
    found, scores = [], {name: np.zeros(len(HOT)) for name in ("ari", "flag", "merged_ari")}
    critical = [float(laws.critical_temperature(f[m])) for f, m in zip(scenes.features, scenes.mask, strict=True)]
    for place, heat in enumerate(HOT):
        one, all_scores = (jax.tree.map(np.asarray, part) for part in _hot(scenes, tokens, np.float64(heat)))
        for seed, (threshold, merged) in enumerate(zip(critical, one, strict=True)):
            said = f"T = {heat:g}, seed {seed}"
            found.append(Case("collapse", "tabulated", said, heat / threshold, float(heat > threshold), float(merged)))
        for name, values in all_scores.items():
            scores[name][place] = values.mean()
    return found, scores


@jax.jit
def _hot(scenes: Any, tokens: jax.Array, temperature: Any) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Whether all tokens of a run are within 0.1, and its scores `[R]`."""
    dynamics = catalog.published("baseline", temperature=temperature)

    def one(scene: Any, start: jax.Array) -> tuple[jax.Array, dict[str, jax.Array]]:
        ended = run(dynamics, None, scene.features, tokens=start, mask=scene.mask, max_steps=100, tol=1e-3)
        predicted, count = ended.assignment.argmax(axis=-1), len(start)
        table = metrics.contingency(scene.labels, predicted, num_labels=5, num_predicted=count, mask=scene.mask)
        apart = safe_norm(ended.tokens[:, None] - ended.tokens[None])
        return jnp.max(apart) < 0.1, {
            "ari": metrics.adjusted_rand_index_from(table),
            "flag": metrics.published_collapse(
                predicted, num_tokens=count, num_clusters=jnp.asarray(4), mask=scene.mask
            ).astype(float),
            "merged_ari": metrics.merged_adjusted_rand_index(
                scene.labels, predicted, ended.tokens, resolution=0.1, num_labels=5, mask=scene.mask
            ),
        }

    return vmap(one)(scenes, tokens)


SHARES = (0.999, 0.99)


def pitchfork(config: Config, rng: np.random.Generator) -> list[Case]:
    """Two tokens a little below the critical temperature: quantiles of a Gaussian, and random features at 0.999."""
    found = []
    line = quantiles("gaussian", 2048)
    for share in SHARES:
        found.append(_opened(line, share, "tabulated", "Gaussian"))
    for _ in range(config.cases):
        dimensions = int(rng.choice(DIMENSIONS))
        features = drawn(rng, dimensions=dimensions)
        found.append(_opened(padded(features), SHARES[0], "random", f"{dimensions} dimensions"))
    return found


def _opened(features: np.ndarray, share: float, source: str, said: str) -> Case:
    variance, direction = _widest(features)
    predicted = laws.pair_separation(features, share * 2 * variance)
    start = features.mean(axis=0) + 0.6 * predicted * np.array([[1.0], [-1.0]]) * direction
    sizes = _differences(
        features, start, np.ones(2, bool), {"temperature": share * 2 * variance, "rate": 1.0, "momentum": 0.9},
        num_steps=2500,
    )  # fmt: skip
    size = float(np.sqrt(variance))
    return Case("pitchfork", source, said, 1 - share, predicted / size, float(sizes[-1]) / size)


# From hot to cold; the last one parts tokens surely, and the steps between are what a spinodal is known to.
LOOP = np.concatenate([np.arange(1.40, 0.90, -0.02), [0.9, 0.8]])
SPINODALS = {"gaussian": (1.0, 1.0, 1.0, 1.0), "exponential": (1.0, 1.03, 1.09, 1.20),
             "lognormal": (1.0, 1.04, 1.10, 1.24)}  # fmt: skip
COUNTS = (2, 3, 4, 6)


def hysteresis(config: Config, rng: np.random.Generator) -> tuple[list[Case], dict[str, np.ndarray]]:
    """Quantiles of named distributions, and of random gammas, on a loop of cooling and heating.

    Returns:
        Cases, and for each tabulated one its two branches `[kind, count, temperature]`: tokens' spread over features'.
    """
    found: list[Case] = []
    branches = {name: np.zeros((len(SPINODALS), len(COUNTS), len(LOOP))) for name in ("cooling", "heating")}
    for row, (name, published) in enumerate(SPINODALS.items()):
        for column, (count, end) in enumerate(zip(COUNTS, published, strict=True)):
            loop = _looped(quantiles(name, 400), count)
            for branch, values in branches.items():
                values[row, column] = loop[branch]
            measured = _end(loop["heating"])
            found.append(Case("hysteresis", "tabulated", f"{name}, {count} tokens", end, end, measured))
    for _ in range(config.cases // 3):
        name, count = f"gamma {np.exp(rng.uniform(-0.5, 2.5)):.3g}", int(rng.choice([2, 3, 4, 6]))
        line = quantiles(name, 400)
        critical = float(laws.critical_temperature(line))
        predicted = laws.collapse_forecast(line, num_tokens=count, temperature=critical).spinodal / critical
        measured = _end(_looped(line, count)["heating"])
        found.append(Case("hysteresis", "random", f"{name}, {count} tokens", predicted, predicted, measured))
    return found, branches


def _end(branch: np.ndarray) -> float:
    """The highest temperature at which tokens are apart, between two of the loop."""
    last = int(np.flatnonzero(branch > 1e-2).min())
    return float(LOOP[last] if last == 0 else (LOOP[last] + LOOP[last - 1]) / 2)


def _looped(line: np.ndarray, count: int) -> dict[str, np.ndarray]:
    critical = float(laws.critical_temperature(line))
    found = _loop(line, LOOP * critical, num_tokens=count)
    return {name: np.asarray(values) for name, values in found.items()}


@functools.partial(jax.jit, static_argnames=("num_tokens",))
def _loop(line: jax.Array, temperatures: jax.Array, *, num_tokens: int) -> dict[str, jax.Array]:
    seen = laws.hysteresis(line, num_tokens=num_tokens, temperatures=temperatures, steps_each=600, nudge=1e-6)
    return seen({"dynamics": catalog.soft_kmeans()}, jax.random.key(0))
