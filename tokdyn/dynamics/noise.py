"""Noise: a random displacement at every step."""

from __future__ import annotations

from typing import ClassVar

import jax

from tokdyn import checks, draws
from tokdyn.dynamics.base import Flow, Memory, Term
from tokdyn.dynamics.parts import part
from tokdyn.dynamics.schedules import Scalar
from tokdyn.ranges import built, number
from tokdyn.typing import PyTree


@part
class Noise(Term):
    """The part that ``noise`` builds."""

    stochastic: ClassVar[bool] = True

    scale: jax.Array = number(at_least=0.0)

    def apply(
        self, key: jax.Array, step: jax.Array, flow: Flow, tokens: jax.Array, memory: Memory, context: PyTree
    ) -> tuple[Flow, Memory]:
        checks.scalar_fields(self)
        return flow.carry(self.scale * draws.normal(key, tokens.shape, tokens.dtype)), memory


def noise(*, scale: Scalar) -> Noise:
    r"""Independent normal displacements, `\Delta_k \sim \mathcal N(0, \sigma^2 I)`.

    On its own it turns the tokens into random walkers whose variance per coordinate is `\sigma^2` times the number of
    steps.

    Args:
        scale: `\sigma` `[]`, in units of the features; may be a schedule.

    Returns:
        A part for ``compose``.

    Raises:
        ValueError: a negative or non-finite number.

    Example:
        >>> import tokdyn as td
        >>> cooled = td.noise(scale=td.annealing(start=1.0, end=0.01, num_steps=50))
    """
    return built(Noise, scale=scale)
