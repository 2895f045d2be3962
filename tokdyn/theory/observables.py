"""What is asked of many runs at once, as evaluators for ``td.sweep``: basins, bifurcations, hysteresis, dwell times.

Each function here takes the features and returns an evaluator ``(config, key) -> {name: array}``, whose config is
``{"dynamics": ...}``. Any number of the dynamics can be swept by its path, ``"dynamics.attract.temperature"`` for
example, and a hundred thousand runs are one call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from numpy.typing import ArrayLike

from tokdyn import checks, keys
from tokdyn.dynamics.base import Info, State
from tokdyn.numerics import row_sums
from tokdyn.solve import random_features, run, trajectory
from tokdyn.solve.merging import num_distinct
from tokdyn.theory.assumptions import only_attraction
from tokdyn.tree import with_values

Evaluate = Callable[[dict[str, Any], jax.Array], dict[str, jax.Array]]
Observe = Callable[[jax.Array], jax.Array]


def spread_of(tokens: jax.Array) -> jax.Array:
    """Root mean square distance of tokens from their mean `[]`: 0 where all are at one point."""
    away = tokens - tokens.mean(axis=0)
    return jnp.sqrt(jnp.mean(row_sums(away * away)))


def basins(
    features: ArrayLike, *, num_tokens: int, max_steps: int = 300, tol: float = 1e-4, jitter: float = 0.0
) -> Evaluate:
    """Where runs from random starts end: how large is the basin of each outcome?

    Args:
        features: `[N, D]`.
        num_tokens: K.
        max_steps: of a run.
        tol: a run is at rest where no force on a token is longer.
        jitter: of the start.

    Returns:
        An evaluator of ``distinct`` (tokens when merged ones count once), ``energy`` (sum of squared distances of
        features to their nearest token), ``at_rest``, ``num_steps``. The share of seeds with one outcome is the volume
        of its basin, in units of what random starts can be.

    Raises:
        ValueError: not floating-point `[N, D]`, or counts that are none.

    Example:
        >>> import jax, numpy as np, tokdyn as td
        >>> draw = np.random.default_rng(0)
        >>> features = np.concatenate([draw.normal(size=(50, 2)), draw.normal(size=(50, 2)) + 9]).astype(np.float32)
        >>> found = td.sweep(td.theory.basins(features, num_tokens=2), {"dynamics": td.catalog.soft_kmeans()},
        ...                  td.grid({"dynamics.attract.temperature": [4.0, 400.0]}), seeds=20, key=jax.random.key(0))
        >>> (found["distinct"] == 2).mean("seed").values.tolist()
        [1.0, 0.0]
    """
    rows = checks.floating("features", features, axes="[N, D]")
    count = checks.whole_number("num_tokens", num_tokens, at_least=1)
    most = checks.whole_number("max_steps", max_steps, at_least=1)

    def evaluate(config: dict[str, Any], key: jax.Array) -> dict[str, jax.Array]:
        start = random_features(keys.for_purpose(key, "tokens"), rows, count, jitter=jitter)
        ended = run(config["dynamics"], keys.for_purpose(key, "run"), rows, tokens=start, max_steps=most, tol=tol,
                    stop="residual", assignment="none")  # fmt: skip
        nearest = jax.lax.map(lambda row: jnp.min(row_sums((ended.tokens - row) ** 2)), rows, batch_size=1024)
        return {
            "distinct": num_distinct(ended.tokens, rows, None, None),
            "energy": jnp.sum(nearest),
            "at_rest": ended.status == checks.Status.CONVERGED,
            "num_steps": ended.num_steps,
        }

    return evaluate


def bifurcation(
    features: ArrayLike, *, tokens: ArrayLike, num_transient: int = 1000, num_kept: int = 64,
    observe: Observe = spread_of,
) -> Evaluate:  # fmt: skip
    """Where an orbit is after a long time, step by step: one value at rest, two where it alternates, many in chaos.

    Args:
        features: `[N, D]`.
        tokens: start `[K, D]`; the key displaces nothing.
        num_transient: steps that are left out.
        num_kept: steps that are kept.
        observe: of tokens `[K, D]`, a number.

    Returns:
        An evaluator of ``orbit`` `[num_kept]`.

    Raises:
        ValueError: bad shapes, or counts that are none.

    Example:
        >>> import jax, numpy as np, tokdyn as td
        >>> features = np.random.default_rng(0).normal(size=(200, 1)).astype(np.float32)
        >>> seen = td.theory.bifurcation(features, tokens=[[-0.4], [0.4]], num_transient=500, num_kept=4)
        >>> orbit = jax.jit(seen)({"dynamics": td.catalog.soft_kmeans()}, jax.random.key(0))["orbit"]
        >>> bool(abs(orbit[0] - orbit[3]) < 1e-5)  # at rest
        True
    """
    rows = checks.floating("features", features, axes="[N, D]")
    start = checks.floating("tokens", jnp.asarray(tokens, rows.dtype), axes="[K, D]")
    skipped = checks.whole_number("num_transient", num_transient, at_least=1)
    kept = checks.whole_number("num_kept", num_kept, at_least=1)

    def evaluate(config: dict[str, Any], key: jax.Array) -> dict[str, jax.Array]:
        def look(state: State, info: Info) -> jax.Array:
            return observe(state.tokens)

        own = keys.for_purpose(key, "run")
        _, orbit = trajectory(config["dynamics"], own, rows, tokens=start, num_steps=skipped + kept, keep=look)
        return {"orbit": orbit[skipped:]}

    return evaluate


def hysteresis(
    features: ArrayLike, *, num_tokens: int, temperatures: ArrayLike, steps_each: int = 200, nudge: float = 1e-3
) -> Evaluate:
    """Tokens that are cooled from one point, then heated again: between the two branches the start decides.

    Args:
        features: `[N, D]`.
        num_tokens: K.
        temperatures: `[T]`, falling (traced ones are not checked); heating takes them in reverse.
        steps_each: steps at each temperature.
        nudge: scale of the displacement that tokens get at each temperature, in units of the features' spread; without
            one, tokens at one point stay there at any temperature.

    Returns:
        An evaluator of ``cooling`` and ``heating`` `[T]`, both in the order of the temperatures: the tokens' spread
        over that of the features; and of ``cooling_distinct`` and ``heating_distinct`` `[T]`, the tokens that are left
        when those nearer than a hundredth of the features' spread count once. The dynamics' own temperature is not
        used.

    Raises:
        ValueError: temperatures that do not fall, bad shapes, counts that are none.

    Example:
        >>> import jax, numpy as np, tokdyn as td
        >>> features = np.random.default_rng(0).normal(size=(500, 1)).astype(np.float32)  # T_c is about 2
        >>> seen = td.theory.hysteresis(features, num_tokens=2, temperatures=[4.0, 1.0])
        >>> found = jax.jit(seen)({"dynamics": td.catalog.soft_kmeans()}, jax.random.key(0))
        >>> bool(found["cooling"][0] < 0.01 < 0.3 < found["cooling"][1])
        True
    """
    rows = checks.floating("features", features, axes="[N, D]")
    count = checks.whole_number("num_tokens", num_tokens, at_least=1)
    each = checks.whole_number("steps_each", steps_each, at_least=1)
    heats = jnp.asarray(checks.hyperparameter("temperatures", temperatures, at_least=0.0), rows.dtype)
    rises = checks.is_concrete(heats) and heats.ndim == 1 and bool((heats[1:] >= heats[:-1]).any())
    if heats.ndim != 1 or heats.size < 1 or rises:
        raise checks.bad("temperatures", "falling temperatures [T]", checks.describe_array(heats))
    centre = rows.mean(axis=0)
    size = spread_of(rows)

    def evaluate(config: dict[str, Any], key: jax.Array) -> dict[str, jax.Array]:
        dynamics = config["dynamics"]
        name, _ = only_attraction(dynamics)

        def at(tokens: jax.Array, given: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
            heat, number = given
            own = keys.for_step(key, number, "nudge")
            here = with_values(dynamics, {f"{name}.temperature": heat})
            nudged = tokens + nudge * size * jax.random.normal(own, tokens.shape, tokens.dtype)
            ended = run(here, own, rows, tokens=nudged, max_steps=each, tol=0.0, assignment="none").tokens
            return ended, (spread_of(ended) / jnp.where(size > 0, size, 1.0), num_distinct(ended, rows, None, None))

        numbers = jnp.arange(len(heats))
        cold, (cooling, parted) = jax.lax.scan(at, jnp.tile(centre, (count, 1)), (heats, numbers))
        _, (heating, left) = jax.lax.scan(at, cold, (heats[::-1], len(heats) + numbers))
        return {
            "cooling": cooling,
            "heating": heating[::-1],
            "cooling_distinct": parted,
            "heating_distinct": left[::-1],
        }

    return evaluate


def dwell_times(features: ArrayLike, *, num_tokens: int, num_steps: int = 1000) -> Evaluate:
    """How many steps a run spends with each number of distinct tokens: plateaus on the way to collapse.

    Args:
        features: `[N, D]`.
        num_tokens: K.
        num_steps: of the run.

    Returns:
        An evaluator of ``steps`` `[K]`, how many steps there were 1, 2, ... K distinct tokens.

    Raises:
        ValueError: not floating-point `[N, D]`, or counts that are none.

    Example:
        >>> import jax, numpy as np, tokdyn as td
        >>> features = np.random.default_rng(0).normal(size=(100, 2)).astype(np.float32)
        >>> seen = td.theory.dwell_times(features, num_tokens=3, num_steps=50)
        >>> found = jax.jit(seen)({"dynamics": td.catalog.soft_kmeans(temperature=50.0)}, jax.random.key(0))
        >>> int(found["steps"].sum()), bool(found["steps"][0] > 40)  # they merge within a few steps
        (50, True)
    """
    rows = checks.floating("features", features, axes="[N, D]")
    count = checks.whole_number("num_tokens", num_tokens, at_least=1)
    length = checks.whole_number("num_steps", num_steps, at_least=1)

    def evaluate(config: dict[str, Any], key: jax.Array) -> dict[str, jax.Array]:
        start = random_features(keys.for_purpose(key, "tokens"), rows, count)

        def look(state: State, info: Info) -> jax.Array:
            return num_distinct(state.tokens, rows, None, None)

        _, distinct = trajectory(
            config["dynamics"], keys.for_purpose(key, "run"), rows, tokens=start, num_steps=length, keep=look
        )
        return {"steps": jnp.sum(distinct[:, None] == 1 + jnp.arange(count), axis=0)}

    return evaluate
