"""Mass-consistent repulsion: a push divided by a token's mass, as the attraction's is, so that one energy has both."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from tokdyn import checks
from tokdyn.dynamics.attention import Scene
from tokdyn.dynamics.base import Flow, Memory, Term
from tokdyn.dynamics.parts import part
from tokdyn.dynamics.repulsion import Repulsion
from tokdyn.dynamics.schedules import Scalar
from tokdyn.ranges import built, number


@part
class MassRepulsion(Term):
    """The part that ``mass_repulsion`` builds."""

    temperature: jax.Array = number(at_least=0.0, finite=False)
    strength: jax.Array = number(at_least=0.0)
    eps: jax.Array = number(above=0.0)
    least_share: jax.Array = number(above=0.0)

    def prepare(self, features: jax.Array, mask: jax.Array | None, token_mask: jax.Array | None) -> Scene:
        return Scene.of(features, mask, token_mask)

    def apply(
        self, key: jax.Array, step: jax.Array, flow: Flow, tokens: jax.Array, memory: Memory, context: Scene
    ) -> tuple[Flow, Memory]:
        checks.scalar_fields(self)
        still = jnp.zeros_like(tokens)
        plain = Repulsion(self.strength, self.eps, "plummer")
        push, _ = plain.apply(key, step, Flow(still, still), tokens, (), context.exists)
        _, mass = context.means(context.responsibilities(tokens, context.features, self.temperature))
        count = tokens.shape[0] if context.exists is None else jnp.maximum(jnp.sum(context.exists), 1)
        total = jnp.sum(mass)
        shares = mass * count / jnp.where(total > 0, total, 1.0)
        return flow.push(push.displacement / jnp.maximum(shares, self.least_share)[:, None]), memory


def mass_repulsion(
    *, temperature: Scalar, strength: Scalar, eps: Scalar = 0.1, least_share: Scalar = 1e-2
) -> MassRepulsion:
    r"""A push between tokens that is the stronger, the less mass a token has.

    .. math::
        \Delta_k = \frac{\rho N}{K m_k} \sum_{j \ne k}
        \frac{s_k - s_j}{(\lVert s_k - s_j\rVert^2 + \epsilon^2)^{3/2}},\qquad m_k = \sum_i w_{ik}

    The attraction is the gradient of the free energy divided by `2 m_k`; with a push divided by the mass too, both
    descend one energy, ``td.theory.repelled_energy``, and rest only where it is stationary. ``td.repulsion``, which
    divides by nothing, rests elsewhere as soon as masses differ. With equal masses the two are the same.

    Args:
        temperature: `T` of the softmax that shares out the masses `[]`: the attraction's.
        strength: `\rho` `[]`.
        eps: `\epsilon` `[]`, the softening length, in units of the features, above 0.
        least_share: the least mass that divides `[]`, as a share of `N / K`, so that a token without features is not
            thrown out of the data.

    Returns:
        A part for ``compose``.

    Raises:
        ValueError: a number out of range.

    Example:
        >>> import tokdyn as td
        >>> pushed = td.compose(
        ...     attract=td.attraction(temperature=1.0, rate=0.5),
        ...     repel=td.mass_repulsion(temperature=1.0, strength=0.05))
        >>> float(pushed["repel"].eps)
        0.1
    """
    return built(MassRepulsion, temperature=temperature, strength=strength, eps=eps, least_share=least_share)
