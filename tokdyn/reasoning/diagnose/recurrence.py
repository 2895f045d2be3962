"""How latents of a recurrence move: what each step still does, and how many different ones are left.

What holds for any map (its spectrum, its Lyapunov exponents) is in ``tokdyn.theory.maps``.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
from numpy.typing import ArrayLike

from tokdyn.checks import bad, floating, hyperparameter
from tokdyn.numerics import namespace
from tokdyn.reasoning.diagnose.arrays import each
from tokdyn.reasoning.diagnose.degeneration import num_distinct


class Movement(NamedTuple):
    """What the recurrence still does at each step.

    Attributes:
        residual: root mean square over tokens of the displacement in each step `[steps - 1]`.
        relative: residual over the root mean square length of the tokens before the step `[steps - 1]`.
        distinct: tokens that remain at each step when those nearer than the resolution are merged `[steps]`.
        length: root mean square length of the tokens at each step `[steps]`.
    """

    residual: jax.Array
    relative: jax.Array
    distinct: jax.Array
    length: jax.Array


def movement(trajectory: ArrayLike, *, relative_resolution: ArrayLike = 0.01) -> Movement:
    """How far tokens move in each step, and how many different ones are left. Works under jit.

    Two tokens nearer than ``relative_resolution`` times the root mean square length at the first step are one.

    Args:
        trajectory: `[steps, tokens, features]`, at least two steps, for example of `rollout`; the latents of several
            items may stand for tokens.
        relative_resolution: `[]`, above 0.

    Returns:
        `Movement`.

    Raises:
        ValueError: another rank, or fewer than two steps.

    Example:
        >>> import jax.numpy as jnp
        >>> from tokdyn.reasoning.diagnose import movement, rollout
        >>> path = rollout(lambda z: 0.5 * z, jnp.eye(3), num_steps=8)
        >>> found = movement(path)
        >>> round(float(found.relative[0]), 4), found.distinct.tolist()
        (0.5, [3, 3, 3, 3, 3, 3, 3, 3, 1])
    """
    xp = namespace(trajectory, relative_resolution)
    path = floating("trajectory", trajectory, axes="[steps, tokens, features]", xp=xp)
    if len(path) < 2:
        raise bad("trajectory", "at least two steps", len(path))
    amount = xp.asarray(hyperparameter("relative_resolution", relative_resolution, above=0.0), path.dtype)
    length = xp.sqrt(xp.mean(xp.sum(path**2, axis=-1), axis=-1))
    residual = xp.sqrt(xp.mean(xp.sum((path[1:] - path[:-1]) ** 2, axis=-1), axis=-1))
    before = length[:-1]
    resolution = xp.maximum(amount * length[0], xp.finfo(path.dtype).tiny)
    return Movement(
        residual=residual,
        relative=xp.where(before > 0, residual / xp.where(before > 0, before, 1.0), 0.0),
        distinct=each(lambda tokens: num_distinct(tokens, resolution), path),
        length=length,
    )
