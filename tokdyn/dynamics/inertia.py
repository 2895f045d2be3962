"""Inertia: tokens keep a share of their last displacement (heavy ball)."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from tokdyn import checks
from tokdyn.dynamics.base import Flow, Term
from tokdyn.dynamics.parts import part
from tokdyn.dynamics.schedules import Scalar
from tokdyn.ranges import built, number
from tokdyn.typing import PyTree


@part
class Inertia(Term):
    """The part that ``inertia`` builds. Its memory holds the tokens of the previous step `[K, D]`."""

    momentum: jax.Array = number(at_least=0.0)

    def init(self, tokens: jax.Array, context: PyTree) -> jax.Array:
        return tokens

    def apply(
        self, key: jax.Array, step: jax.Array, flow: Flow, tokens: jax.Array, memory: jax.Array, context: PyTree
    ) -> tuple[Flow, jax.Array]:
        checks.scalar_fields(self)
        carried = jnp.where(self.momentum >= 0, self.momentum * (tokens - memory), 0.0)
        return flow.carry(carried), tokens


def inertia(*, momentum: Scalar) -> Inertia:
    r"""A share of the last displacement, added to the next one.

    .. math:: \Delta_k(t) = m\,(s_k(t) - s_k(t-1)),\qquad \Delta_k(0) = 0

    The last displacement is the total one and includes, for example, the repulsion of the previous step. Near a fixed
    point the step length passes through zero at every turning point, so that ``tol`` on the displacement can stop too
    early; ``run(..., stop="residual")`` monitors the force instead.

    Args:
        momentum: `m` `[]`, at least 0, and below 1 for stability. At 0 there is no inertia, but the gradient with
            respect to `m` is still that of the carried displacement.

    Returns:
        A part for ``compose``.

    Raises:
        ValueError: a negative or non-finite number.

    References:
        B. T. Polyak, USSR Comp. Math. Math. Phys. 4 (1964) 1.

    Example:
        >>> import tokdyn as td
        >>> float(td.inertia(momentum=0.5).momentum)
        0.5
    """
    return built(Inertia, momentum=momentum)
