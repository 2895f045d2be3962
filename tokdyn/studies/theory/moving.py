"""Laws of splitting, inertia and repulsion, each predicted and measured, and what has no energy that falls."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import tokdyn.theory as laws
from tokdyn.dynamics import attraction, catalog, compose, inertia, repulsion
from tokdyn.solve import run, trajectory, vmap
from tokdyn.solve.driver import Info, State
from tokdyn.studies.dynamics.design import Config as Published
from tokdyn.studies.theory.design import Config, drawn, quantiles
from tokdyn.studies.theory.merging import Case, study_scenes

# Tokens of the cascade, how much cooler each temperature is than the one before, and steps at each: just below a split
# a difference of 1e-5 takes hundreds to grow.
CASCADE, COOLER, STEPS_EACH = 8, 0.94, 1000


def cascade(config: Config, rng: np.random.Generator) -> tuple[list[Case], dict[str, np.ndarray]]:
    """Tokens that are cooled slowly among clusters of unequal widths, until four are distinct.

    Returns:
        Cases, and of the first scene (three tabulated clusters) ``temperature`` `[T]` and the numbers of distinct
        tokens ``measured`` and ``predicted`` `[T]` at them.
    """
    table = np.random.default_rng(2)
    tabulated = np.concatenate([
        centre + size * table.normal(size=(80, 2)) for centre, size in (([0, 0], 0.5), ([9, 0], 0.8), ([4, 20], 1.2))
    ])  # fmt: skip
    scenes = [("tabulated", "three clusters in 2 dimensions", tabulated)]
    for _ in range(config.cases // 3):
        dimensions, several = int(rng.choice([1, 2, 8, 32])), int(rng.integers(3, 7))
        centres = rng.normal(size=(several, dimensions)) * 8 / np.sqrt(dimensions)
        owner = rng.permutation(240) % several
        wide = rng.uniform(0.2, 1.0, several)[owner, None]
        rows = centres[owner] + wide * rng.normal(size=(240, dimensions))
        scenes.append(("random", f"{several} clusters in {dimensions} dimensions", rows))
    found: list[Case] = []
    curves: dict[str, np.ndarray] = {}
    for source, said, features in scenes:
        critical = float(laws.critical_temperature(features))
        ratios = 1.1 * COOLER ** np.arange(60)
        predicted = laws.splitting_cascade(features, num_tokens=CASCADE, lowest=float(ratios[-1]) * critical)
        wide = np.pad(features, ((0, 0), (0, 32 - features.shape[1])))
        counts = np.asarray(_cooled(wide, ratios * critical))
        if not curves:
            curves = {
                "temperature": ratios, "measured": counts,
                "predicted": np.array([predicted.distinct_at(float(r * critical)) for r in ratios]),
            }  # fmt: skip
        for several in (2, 3, 4):
            reached = np.flatnonzero(counts >= several)
            foretold = [split.temperature for split in predicted.splits if split.distinct >= several]
            if not len(reached) or not foretold:
                continue
            # Between the last temperature without and the first with so many, up to what slow growth needs.
            measured = np.log(ratios[reached[0]]) - 0.5 * np.log(COOLER)
            expected = float(np.log(foretold[0] / critical))
            found.append(Case("cascade", source, f"{said}, {several} tokens", expected, expected, float(measured)))
    return found, curves


@jax.jit
def _cooled(features: jax.Array, temperatures: jax.Array) -> jax.Array:
    seen = laws.hysteresis(features, num_tokens=CASCADE, temperatures=temperatures, steps_each=STEPS_EACH, nudge=1e-5)
    return seen({"dynamics": catalog.soft_kmeans()}, jax.random.key(0))["cooling_distinct"]


TABLE = ((1.0, 0.5), (1.0, 0.9), (2.0, 0.0), (2.9, 0.3), (2.9, 0.5), (3.05, 0.5), (3.3, 0.8))


def heavy_ball(config: Config, rng: np.random.Generator) -> list[Case]:
    """Eigenvalues of the plain step at its resting place, and of the step with inertia, each by differentiation."""
    found = []
    scenes = max(2, config.cases // 6)
    for number in range(scenes):
        if number == 0:
            drawing = np.random.default_rng(1)
            centres = drawing.uniform(-5, 5, (4, 6))
            features = np.concatenate([centre + 0.6 * drawing.normal(size=(64, 6)) for centre in centres])
            heat, given = 1.0, list(TABLE)
        else:
            features = drawn(rng, dimensions=6)
            heat = float(rng.uniform(0.2, 0.8) * laws.critical_temperature(features))
            given = [(float(rng.uniform(0.1, 3.5)), float(rng.uniform(0, 0.95))) for _ in range(6)]
        plain = catalog.soft_kmeans(temperature=heat)
        start = features[rng.choice(len(features), 4, replace=False)] if number else features[::64]
        tokens = run(plain, None, features, tokens=start, max_steps=5000, tol=1e-14).tokens
        a = laws.stability(plain, features, tokens).eigenvalues.real
        for rate, momentum in given:
            dynamics = compose(attract=attraction(temperature=heat, rate=rate), inertia=inertia(momentum=momentum))
            predicted = float(np.max(laws.momentum_radius(a, rate, momentum)))
            measured = laws.stability(dynamics, features, tokens).radius
            source = "random" if number else "tabulated"
            found.append(
                Case("inertia", source, f"rate {rate:.3g}, momentum {momentum:.3g}", rate, predicted, measured)
            )
    return found


STRENGTH = 1e-4
MULTIPLIERS = (0.9, 0.5, 0.36, 0.34, 0.31, 0.25, 0.1, 0.02)
ORBITS = np.linspace(0.02, 0.6, 175)  # multipliers of the figure


def pair(config: Config, rng: np.random.Generator) -> tuple[list[Case], dict[str, np.ndarray]]:
    """Two tokens that repel each other in one Gaussian cluster of unit variance.

    Returns:
        Cases, and ``multiplier`` `[A]` with the ``orbit`` `[A, steps]` of the distance over its resting value.
    """
    given = [(a, 1.0, 0.0) for a in MULTIPLIERS] + [(0.25, 0.5, 0.0), (0.25, 1.0, 0.5)]
    for _ in range(config.cases):
        given.append((float(rng.uniform(0.05, 0.9)), float(rng.uniform(0.3, 1.2)), float(rng.choice([0.0, 0.3, 0.6]))))
    found = []
    for number, (a, rate, momentum) in enumerate(given):
        limit = 2 * (1 + momentum) - 3 * rate * (1 - a)
        if number >= len(MULTIPLIERS) + 2 and abs(limit) < 0.06:
            continue  # too near the flip to be told within these steps
        orbit = _orbit(a, rate, momentum)
        swings = np.ptp(orbit) > 1e-6  # of one resting distance
        source = "tabulated" if number < len(MULTIPLIERS) + 2 else "random"
        said = f"a = {a:.3g}, rate {rate:.3g}, momentum {momentum:g}"
        found.append(Case("repulsion", source, said, a, float(limit > 0), 0.0 if swings else float(orbit[-1])))
    orbits = np.stack([_orbit(float(a), 1.0, 0.0)[-48:] for a in ORBITS])
    return found, {"multiplier": ORBITS, "orbit": orbits}


def _orbit(a: float, rate: float, momentum: float) -> np.ndarray:
    """The pair's distance over its resting value, after it has settled `[256]`."""
    rest = laws.equilibrium_distance(STRENGTH, a, rate=rate)
    numbers = {"temperature": 2 / a, "rate": rate, "momentum": momentum, "rest": float(rest)}
    return np.asarray(_distances(quantiles("gaussian", 500), numbers)) / float(rest)


def _apart(state: State, info: Info) -> jax.Array:
    return jnp.abs(state.tokens[1, 0] - state.tokens[0, 0])


@jax.jit
def _distances(line: jax.Array, numbers: dict[str, jax.Array]) -> jax.Array:
    dynamics = compose(
        attract=attraction(temperature=numbers["temperature"], rate=numbers["rate"]),
        repel=repulsion(strength=STRENGTH, eps=1e-6),
        inertia=inertia(momentum=numbers["momentum"]),
    )
    start = 0.55 * numbers["rest"] * jnp.array([[-1.0], [1.0]])
    return trajectory(dynamics, None, line, tokens=start, num_steps=2000, keep=_apart)[1][-256:]


EXPONENTS = {0.5: -0.693, 0.34: -0.02, 0.25: -1.386, 0.15: -0.05, 0.1: -0.25, 0.05: 0.19, 0.02: 0.35}


def chaos(config: Config, rng: np.random.Generator) -> tuple[list[Case], dict[str, np.ndarray]]:
    """Exponents of the reduced map: at fixed points and cycles of two their own formula predicts them.

    Returns:
        Cases, and ``multiplier`` and ``exponent`` `[A]` of the map.
    """
    many = np.linspace(0.005, 0.6, 239)
    curve = np.asarray(_exponents(jnp.asarray(many)))
    found = []
    for a, published in EXPONENTS.items():
        found.append(Case("chaos", "tabulated", f"a = {a:g}", a, published, float(_exponents(jnp.array([a]))[0])))
    for a in rng.uniform(0.36, 0.95, config.cases):
        # At rest, ln of the multiplier there: 1 - 3 (1 - a).
        predicted = float(np.log(abs(1 - 3 * (1 - a))))
        measured = float(_exponents(jnp.array([a]))[0])
        found.append(Case("chaos", "random", f"a = {a:.3g}", float(a), predicted, measured))
    return found, {"multiplier": many, "exponent": curve}


@jax.jit
def _exponents(multipliers: jax.Array) -> jax.Array:
    def one(a: jax.Array) -> jax.Array:
        return laws.lyapunov_exponents(
            laws.pair_map(a), jnp.array([1.1]), num_steps=20_000, key=jax.random.key(0)
        ).exponents[0]

    return jax.vmap(one)(multipliers)


def energies(config: Config) -> np.ndarray:
    """Share of steps in which the free energy rises, by rule and run, in the published study's own scenes.

    Returns:
        ``[rule, run]``, rules as in ``Published.rules``.
    """
    scenes, tokens, _ = study_scenes(config)
    found = []
    for name in Published().rules:
        found.append(np.asarray(_rises(catalog.published(name), scenes, tokens)).mean(axis=1))
    return np.stack(found)


@jax.jit
def _rises(dynamics: Any, scenes: Any, tokens: jax.Array) -> jax.Array:
    """Whether the free energy of the attraction is higher after a step than before it `[R, 30]`."""

    def one(scene: Any, start: jax.Array) -> jax.Array:
        def look(state: State, info: Info) -> jax.Array:
            return laws.free_energy(dynamics, scene.features, state.tokens, mask=scene.mask)

        _, after = trajectory(dynamics, None, scene.features, tokens=start, mask=scene.mask, num_steps=30, keep=look)
        before = jnp.concatenate([laws.free_energy(dynamics, scene.features, start, mask=scene.mask)[None], after[:-1]])
        return after > before + 1e-12 * jnp.abs(before)

    return vmap(one)(scenes, tokens)
