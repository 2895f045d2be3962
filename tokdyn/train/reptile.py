"""Learned initial weights from which many tasks can be learned in a few steps (Reptile)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from numpy.typing import ArrayLike

from tokdyn import checks, keys
from tokdyn.train.fit import Fit, Variables

Adapt = Callable[[Variables, jax.Array], Fit]


def reptile(
    adapt: Adapt, start: Variables, *, key: jax.Array, num_rounds: int, num_tasks: int = 4, rate: ArrayLike = 0.5
) -> tuple[Variables, jax.Array]:
    r"""Move initial weights towards trained ones: `\theta \leftarrow \theta + \epsilon\, \overline{(\theta_k -
    \theta)}`.

    This is first-order meta-learning. Whatever differs between tasks (vocabularies, texts, seeds) is drawn in
    ``adapt``.

    Args:
        adapt: ``(variables, key) -> Fit``: a short training from these weights, on the task drawn with the key.
        start: the weights to start from, ``{"params": ..., "state": ...}``; the state is not changed.
        key: key of the tasks.
        num_rounds: number of meta-learning steps (static).
        num_tasks: number of tasks per round, whose changes are averaged (static).
        rate: `\epsilon` `[]`, above 0.

    Returns:
        ``(variables, losses [num_rounds])``: the learned weights, and the first recorded loss of each round, averaged
        over its tasks.

    Raises:
        ValueError: an invalid argument, which the message names.

    References:
        A. Nichol, J. Achiam, J. Schulman, On first-order meta-learning algorithms, arXiv 1803.02999, 2018.
    """
    num_rounds = checks.whole_number("num_rounds", num_rounds, at_least=1)
    num_tasks = checks.whole_number("num_tasks", num_tasks, at_least=1)
    rate = checks.hyperparameter("rate", rate, above=0.0)

    def round_of(params: Any, number: jax.Array) -> tuple[Any, jax.Array]:
        tasks = jax.random.split(keys.for_step(key, number, "tasks"), num_tasks)
        fits = jax.lax.map(lambda task: adapt({**start, "params": params}, task), tasks)
        moved = jax.tree.map(
            lambda old, new: old + jnp.asarray(rate, old.dtype) * (new.mean(axis=0) - old),
            params,
            fits.variables["params"],
        )
        return moved, fits.history["loss"][:, 0].mean()

    params, losses = jax.lax.scan(round_of, start["params"], jnp.arange(num_rounds))
    return {**start, "params": params}, losses
