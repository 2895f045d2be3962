"""A learned start: weights from which many tasks are learned in a few steps (Reptile)."""

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
    r"""Move the start towards where tasks end: `\theta \leftarrow \theta + \epsilon\, \overline{(\theta_k - \theta)}`.

    First-order meta-learning. What differs between tasks (vocabularies, texts, seeds) is drawn inside ``adapt``.

    Args:
        adapt: ``(variables, key) -> Fit``: a short training from these weights, on the task that the key stands for.
        start: the first weights, ``{"params": ..., "state": ...}``; the state is left as it is.
        key: of the tasks.
        num_rounds: steps of the start (static).
        num_tasks: tasks of a round, whose changes are averaged (static).
        rate: `\epsilon` `[]`, above 0.

    Returns:
        ``(variables, losses [num_rounds])``: the learned start, and the mean first recorded loss of each round's tasks.

    Raises:
        ValueError: naming the argument.

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
