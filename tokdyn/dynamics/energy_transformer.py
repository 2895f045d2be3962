"""Energy transformer: tokens descend an energy of attention among themselves and of a memory of the features."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from tokdyn import checks
from tokdyn.dynamics.base import Flow, Memory, Term
from tokdyn.dynamics.parts import part
from tokdyn.dynamics.schedules import Scalar
from tokdyn.dynamics.slot_attention import layer_norm
from tokdyn.numerics import masked_mean
from tokdyn.ranges import built, number

NEVER = -1e30  # the logit of a token that is not there: finite, so that no gradient is NaN


class Patterns(NamedTuple):
    """The normalised features `[N, D]`, which of them exist `[N]`, and which tokens `[K]`."""

    rows: jax.Array
    mask: jax.Array | None
    exists: jax.Array | None


@part
class EnergyTransformer(Term):
    """The part that ``energy_transformer`` builds."""

    inverse_temperature: jax.Array = number(above=0.0)
    rate: jax.Array = number(at_least=0.0)
    memory_strength: jax.Array = number(at_least=0.0)

    def prepare(self, features: jax.Array, mask: jax.Array | None, token_mask: jax.Array | None) -> Patterns:
        return Patterns(layer_norm(features), mask, token_mask)

    def apply(
        self, key: jax.Array, step: jax.Array, flow: Flow, tokens: jax.Array, memory: Memory, context: Patterns
    ) -> tuple[Flow, Memory]:
        checks.scalar_fields(self)
        return flow.push(-self.rate * jax.grad(self.energy)(layer_norm(tokens), context)), memory

    def energy(self, normal: jax.Array, context: Patterns) -> jax.Array:
        """The energy `[]` of normalised tokens `[K, D]`."""
        num_tokens, dimension = normal.shape
        exists = jnp.ones(num_tokens, bool) if context.exists is None else context.exists
        scores = jnp.matmul(normal, normal.T, precision=jax.lax.Precision.HIGHEST) / dimension**0.5
        others = exists[None, :] & ~jnp.eye(num_tokens, dtype=bool)
        logits = jnp.where(others, self.inverse_temperature * scores, NEVER)
        attended = exists & (jnp.sum(exists) > 1)  # a lone token attends to nobody
        attention = jnp.sum(jnp.where(attended, jax.nn.logsumexp(logits, axis=1), 0.0)) / self.inverse_temperature
        match = jnp.matmul(context.rows, normal.T, precision=jax.lax.Precision.HIGHEST) / dimension**0.5
        squares = jnp.where(exists[None, :], jnp.maximum(match, 0.0) ** 2, 0.0)
        recalled = jnp.sum(masked_mean(squares, context.mask)) / 2
        return -attention - self.memory_strength * recalled


def energy_transformer(
    *, inverse_temperature: Scalar = 1.0, rate: Scalar = 0.1, memory_strength: Scalar = 1.0
) -> EnergyTransformer:
    r"""A step of an energy transformer, with the identity for its matrices and the features as its memory.

    .. math::
        E = -\frac{1}{\beta} \sum_k \ln \sum_{j \ne k} e^{\beta \hat s_k \cdot \hat s_j / \sqrt D}
        - \frac{c}{2N} \sum_{ik} \mathrm{relu}\left(\frac{\hat x_i \cdot \hat s_k}{\sqrt D}\right)^2,\qquad
        \Delta_k = -\eta\,\frac{\partial E}{\partial \hat s_k}

    A hat is a layer norm over coordinates. The gradient is taken for the normalised tokens and applied to the tokens
    themselves; since the derivative of a layer norm is symmetric and has no negative eigenvalue, E falls along the flow
    all the same (``td.theory.transformer_energy``).

    Args:
        inverse_temperature: `\beta` `[]`, above 0.
        rate: `\eta` `[]`.
        memory_strength: `c` `[]`; 0 leaves attention among tokens alone.

    Returns:
        A part for ``compose``. It does not assign features: each belongs to its nearest token.

    Raises:
        ValueError: a number out of range.

    References:
        B. Hoover et al., Energy transformer, NeurIPS 2023, arXiv:2302.07253.

    Example:
        >>> import jax, tokdyn as td
        >>> step = td.compose(descend=td.energy_transformer())
        >>> features = jax.random.normal(jax.random.key(0), (20, 8))
        >>> td.run(step, jax.random.key(1), features, num_tokens=4, max_steps=5, tol=0.0).tokens.shape
        (4, 8)
    """
    return built(EnergyTransformer, inverse_temperature=inverse_temperature, rate=rate, memory_strength=memory_strength)
