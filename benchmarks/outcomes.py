"""What runs do at many temperatures: the truth that forecasts and rules are judged against.

Zeros beyond the features' own dimensions, and tokens that do not exist, change nothing; so a few shapes, hence a few
compiled programs, serve all data sets.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import tokdyn as td
from benchmarks.features import NUM_FEATURES
from tokdyn.metrics import adjusted_rand_index, sum_squared_errors
from tokdyn.solve import random_features

MAX_STEPS = 300
# Relative to the features' root mean square distance from their mean, a hundredth of what still counts as one token.
TOL = 1e-4
DIMENSIONS, TOKENS = (2, 16, 128), (8, 24)
NUM_LABELS = 12


class Outcomes(NamedTuple):
    """For every temperature and start `[T, S]`: distinct tokens, sum of squared errors, ARI (0 without labels)."""

    distinct: np.ndarray
    errors: np.ndarray
    scores: np.ndarray


def spread_of(features: np.ndarray) -> float:
    """Root mean square distance from the mean."""
    return float(np.sqrt(features.var(axis=0).sum()))


def simulate(
    features: np.ndarray, labels: np.ndarray | None, temperatures: np.ndarray, *, num_tokens: int, num_starts: int,
    seed: int, cold: float | None = None,
) -> Outcomes:  # fmt: skip
    """Runs from random starts, or from where tokens end at the temperature ``cold``."""
    values, exists = _padded(features - features.mean(axis=0))
    unit = spread_of(features)
    known = np.zeros(len(features), int) if labels is None else labels
    found = _runs(
        (values / unit).astype(np.float32), exists, np.pad(known, (0, len(exists) - len(features))),
        np.arange(_at_least(num_tokens, TOKENS)) < num_tokens, (np.asarray(temperatures) / unit**2).astype(np.float32),
        np.float32(-1.0 if cold is None else cold / unit**2), np.uint32(seed), num_starts=num_starts,
    )  # fmt: skip
    distinct, errors, scores = (np.asarray(leaf) for leaf in found)
    return Outcomes(distinct, errors * unit**2, scores if labels is not None else np.zeros_like(scores))


def _at_least(number: int, sizes: tuple[int, ...]) -> int:
    return next(size for size in sizes if size >= number)


def _padded(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    rows, columns = features.shape
    width = _at_least(columns, DIMENSIONS)
    height = max(rows, NUM_FEATURES)
    values = np.zeros((height, width))
    values[:rows, :columns] = features
    return values, np.arange(height) < rows


@functools.partial(jax.jit, static_argnames=("num_starts",))
def _runs(
    features: Any, exists: Any, labels: Any, token_mask: Any, temperatures: Any, cold: Any, seed: Any, *,
    num_starts: int,
) -> Any:  # fmt: skip
    num_tokens = token_mask.shape[0]
    dynamics = lambda t: td.compose(attract=td.attraction(temperature=t))  # noqa: E731

    def start(number: jax.Array) -> jax.Array:
        key = jax.random.fold_in(jax.random.key(seed), number)
        tokens = random_features(key, features, num_tokens, mask=exists)
        settled = td.run(
            dynamics(jnp.maximum(cold, 0)), None, features, tokens=tokens, mask=exists, token_mask=token_mask,
            max_steps=MAX_STEPS, tol=jnp.where(cold < 0, 1e9, TOL),
        )  # fmt: skip
        return jnp.where(cold < 0, tokens, settled.tokens)

    starts = td.vmap(start)(jnp.arange(num_starts))

    def one(index: jax.Array) -> Any:
        temperature, tokens = temperatures[index // num_starts], starts[index % num_starts]
        result = td.run(
            dynamics(temperature), None, features, tokens=tokens, mask=exists, token_mask=token_mask,
            max_steps=MAX_STEPS, tol=TOL,
        )  # fmt: skip
        owner = result.assignment.argmax(axis=-1)
        error = sum_squared_errors(features, result.tokens, owner, mask=exists)
        score = adjusted_rand_index(
            labels, owner, num_labels=NUM_LABELS, num_predicted=num_tokens, mask=exists, dtype=jnp.float32
        )
        return result.num_distinct, error, score

    found = td.vmap(one)(jnp.arange(len(temperatures) * num_starts))
    return jax.tree.map(lambda leaf: leaf.reshape(len(temperatures), num_starts), found)
