"""Several random starts of a dynamics on the user's own features, keeping the best result."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tokdyn import checks, keys
from tokdyn.checks import Status
from tokdyn.dynamics import Dynamics
from tokdyn.metrics import sum_squared_errors
from tokdyn.solve.batching import vmap
from tokdyn.solve.driver import Result, run
from tokdyn.solve.lanes import LANE_BYTES

# Squared distances of numbers of this size still fit into the dtype, with room for sums.
LARGEST = {"float64": 1e150, "float32": 1e15}
# If the largest array of a step exceeds this many bytes, starts no longer share a loop (one lane).
ALONE = LANE_BYTES // 2


def best_of(
    dynamics: Dynamics,
    features: jax.Array,
    *,
    num_tokens: int,
    num_starts: int,
    max_steps: int,
    tol: float,
    seed: int,
    start: str = "features",
    progress: Callable[[int, int], object] | None = None,
) -> tuple[Result | None, float, jax.Array]:
    """Run from several random starts and keep the one with the smallest sum of squared errors.

    Args:
        dynamics: what ``td.compose`` returned.
        features: `[N, D]`.
        num_tokens: K.
        num_starts: how many starts.
        max_steps: as in ``td.run``.
        tol: as in ``td.run``.
        seed: seed of the random starts.
        start: as in ``td.run``.
        progress: called with ``(done, num_starts)`` as starts finish. For large features, each start is then a call of
            its own; they would run one after another anyway.

    Returns:
        ``(result, sum of squared errors, key of that start)``; the result is None if no start stayed finite.

    Raises:
        ValueError: as for ``td.run``, or fewer than one start.
    """
    # Check here, not while tracing: 3.0 would match the program compiled for 3, and a list cannot be hashed at all.
    num_tokens = checks.whole_number("num_tokens", num_tokens, at_least=1)
    max_steps = checks.whole_number("max_steps", max_steps, at_least=1)
    num_starts = checks.whole_number("num_starts", num_starts, at_least=1)
    if checks.whole_number("seed", seed, at_least=0, at_most=2**64) >= 2**32:
        raise checks.bad("seed", "a whole number below 2^32", seed)
    checks.hyperparameter("tol", tol, at_least=0.0)
    at_once = num_starts
    if progress is not None and len(features) * max(num_tokens, features.shape[1]) * features.dtype.itemsize > ALONE:
        at_once = 1
    kept: Result | None = None
    least, best = float("inf"), 0
    for first in range(0, num_starts, at_once):
        if progress is not None:
            progress(first, num_starts)
        starts = np.arange(first, first + at_once)
        result, error, number = _attempts(
            dynamics, features, np.uint32(seed), starts, tol, num_tokens=num_tokens, max_steps=max_steps, start=start
        )
        if error < least:
            kept, least, best = result, float(error), first + int(number)
    if progress is not None:
        progress(num_starts, num_starts)
    return kept, least, keys.for_seed(jax.random.key(np.uint32(seed)), best)


@functools.partial(jax.jit, static_argnames=("num_tokens", "max_steps", "start"))
def _attempts(
    dynamics: Dynamics,
    features: jax.Array,
    seed: Any,
    starts: Any,
    tol: Any,
    *,
    num_tokens: int,
    max_steps: int,
    start: str,
) -> tuple[Result, jax.Array, jax.Array]:
    """The best start: its result, its sum of squared errors (infinite if none stayed finite), and its number."""

    def attempt(number: jax.Array) -> tuple[Result, jax.Array]:
        key = keys.for_seed(jax.random.key(seed), number)
        result = run(dynamics, key, features, num_tokens=num_tokens, max_steps=max_steps, tol=tol, start=start)
        return result, sum_squared_errors(features, result.tokens, result.assignment.argmax(axis=-1))

    results, errors = vmap(attempt)(starts)
    failed = (results.status == Status.NONFINITE) | jnp.isnan(errors)
    ranked = jnp.where(failed, jnp.inf, errors)
    best = jnp.argmin(ranked)
    return jax.tree.map(lambda leaf: leaf[best], results), ranked[best], best
