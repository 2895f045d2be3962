"""Self-attention on the sphere: tokens attract each other as in a transformer with normalised activations."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from tokdyn import checks
from tokdyn.dynamics.base import Flow, Memory, Term
from tokdyn.dynamics.parts import part
from tokdyn.dynamics.schedules import Scalar
from tokdyn.numerics import safe_norm
from tokdyn.ranges import built, number


def on_sphere(rows: jax.Array) -> jax.Array:
    """Rows `[., D]` divided by their length; a zero vector stays."""
    lengths = safe_norm(rows)[:, None]
    return jnp.where(lengths > 0, rows / jnp.where(lengths > 0, lengths, 1.0), 0.0)


@part
class SphereAttention(Term):
    """The part that ``sphere_attention`` builds."""

    inverse_temperature: jax.Array = number(at_least=0.0)
    time_step: jax.Array = number(at_least=0.0)

    def prepare(self, features: jax.Array, mask: jax.Array | None, token_mask: jax.Array | None) -> jax.Array | None:
        return token_mask

    def apply(
        self, key: jax.Array, step: jax.Array, flow: Flow, tokens: jax.Array, memory: Memory, context: jax.Array | None
    ) -> tuple[Flow, Memory]:
        checks.scalar_fields(self)
        at, time = on_sphere(tokens), self.time_step
        # The classical Runge-Kutta method; the velocity off the sphere is that of the point below it.
        first = self._velocity(at, context)
        second = self._velocity(at + time / 2 * first, context)
        third = self._velocity(at + time / 2 * second, context)
        fourth = self._velocity(at + time * third, context)
        after = on_sphere(at + time / 6 * (first + 2 * second + 2 * third + fourth))
        return flow.push(after - tokens), memory

    def _velocity(self, tokens: jax.Array, exists: jax.Array | None) -> jax.Array:
        at = on_sphere(tokens)
        scores = self.inverse_temperature * jnp.matmul(at, at.T, precision=jax.lax.Precision.HIGHEST)
        if exists is not None:
            scores = jnp.where(exists[None, :], scores, -jnp.inf)
        pull = jnp.matmul(jax.nn.softmax(scores, axis=1), at, precision=jax.lax.Precision.HIGHEST)
        return pull - jnp.sum(pull * at, axis=1, keepdims=True) * at


def sphere_attention(*, inverse_temperature: Scalar, time_step: Scalar = 0.05) -> SphereAttention:
    r"""Self-attention of tokens on the unit sphere, in continuous time: a transformer with identity matrices.

    .. math:: \dot s_k = P_{s_k} \sum_j \mathrm{softmax}_j(\beta\, s_k \cdot s_j)\, s_j,\qquad P_s = I - s s^\top

    The features have no influence; a token that is not on the sphere is put there in the first step. Tokens draw
    together: ``td.theory.interaction_energy`` rises along the flow, many clusters become few, which last for times of
    the order of `e^\beta`, and in the end there is one. Of orthogonal tokens, all inner products follow one equation,
    ``td.theory.equiangular_path``.

    Args:
        inverse_temperature: `\beta` `[]`.
        time_step: of one step, by the classical Runge-Kutta method `[]`; its error falls with the fourth power.

    Returns:
        A part for ``compose``, best alone. It does not assign features: each belongs to its nearest token.

    Raises:
        ValueError: a number out of range.

    References:
        B. Geshkovski, C. Letrouit, Y. Polyanskiy, P. Rigollet, A mathematical perspective on transformers,
        arXiv:2312.10794.

    Example:
        >>> import numpy as np, tokdyn as td
        >>> flow = td.compose(attend=td.sphere_attention(inverse_temperature=1.0))
        >>> tokens = np.eye(3, dtype=np.float32)
        >>> result = td.run(flow, None, tokens, tokens=tokens, max_steps=2000, tol=1e-6)
        >>> int(result.num_distinct)
        1
    """
    return built(SphereAttention, inverse_temperature=inverse_temperature, time_step=time_step)
