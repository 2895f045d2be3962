"""Sampling: tokens move as samples of their posterior, by unadjusted Langevin steps."""

from __future__ import annotations

from typing import ClassVar

import jax
import jax.numpy as jnp

from tokdyn import checks, draws
from tokdyn.dynamics.attention import Scene
from tokdyn.dynamics.base import Flow, Memory, Term
from tokdyn.dynamics.parts import part
from tokdyn.dynamics.schedules import Scalar
from tokdyn.ranges import built, number


@part
class Sampling(Term):
    """The part that ``sampling`` builds."""

    stochastic: ClassVar[bool] = True

    temperature: jax.Array = number(above=0.0)
    rate: jax.Array = number(at_least=0.0)
    prior_mean: jax.Array = number()
    prior_variance: jax.Array = number(above=0.0, finite=False)

    def prepare(self, features: jax.Array, mask: jax.Array | None, token_mask: jax.Array | None) -> Scene:
        return Scene.of(features, mask, token_mask)

    def apply(
        self, key: jax.Array, step: jax.Array, flow: Flow, tokens: jax.Array, memory: Memory, context: Scene
    ) -> tuple[Flow, Memory]:
        checks.scalar_fields(self)
        weights = context.responsibilities(tokens, context.features, self.temperature)
        target, mass = context.means(weights)
        count = context.features.shape[0] if context.mask is None else jnp.sum(context.mask)
        sharing = tokens.shape[0] if context.exists is None else jnp.maximum(jnp.sum(context.exists), 1)
        # In units of the scale: T / 2 is the variance of a feature about its token.
        each = context.width(self.temperature) / 2
        precision = context.scale * context.scale / self.prior_variance
        variance = 1.0 / (jnp.maximum(count, 1) / (sharing * each) + precision)
        own = context.moved(tokens)
        prior = self.prior_mean / context.scale - context.centre
        slope = mass[:, None] * (target - own) / each + precision * (prior - own)
        noise = jnp.sqrt(2 * self.rate * variance) * draws.normal(key, tokens.shape, tokens.dtype)
        flow = flow.push(self.rate * variance * slope * context.scale)
        return flow.carry(noise * context.scale), memory

    def assign(self, tokens: jax.Array, features: jax.Array, context: Scene) -> jax.Array:
        """The posterior of the assignment, given the tokens `[N, K]`."""
        return context.responsibilities(tokens, context.moved(features), self.temperature).T


def sampling(
    *, temperature: Scalar, rate: Scalar, prior_mean: Scalar = 0.0, prior_variance: Scalar = float("inf")
) -> Sampling:
    r"""Unadjusted Langevin steps on the posterior of the tokens.

    Features are taken to be drawn from an equal mixture of normals of variance `T / 2` around the tokens, the tokens'
    coordinates from `\mathcal N(m, v)`. With the posterior's logarithm `L(s) = -F(s) / T - \sum_k |s_k - m|^2 / (2 v)`,

    .. math:: s_k' = s_k + \epsilon c\,\nabla_k L + \sqrt{2 \epsilon c}\,\xi_k,\qquad
        c = \left(\frac{2 N}{K T} + \frac{1}{v}\right)^{-1},\qquad
        \nabla_k L = \frac{2}{T} \sum_i w_{ik} (x_i - s_k) - \frac{s_k - m}{v}

    `c` is the posterior variance of a token that owns an equal share of the features. The stationary law tends to the
    posterior as `\epsilon` tends to 0. For one token, whose posterior is normal with variance `c`, it is exactly normal
    with variance `c / (1 - \epsilon / 2)`: that is the bias of the step size, and `\epsilon < 2` is needed.

    The assignment of a run's end is the posterior of the assignments, given those tokens; drawing from its rows, at
    each kept step, draws from the joint posterior of tokens and assignments. Tokens can swap their names.

    Args:
        temperature: `T` `[]`, above 0: twice the variance of a feature about its token.
        rate: `\epsilon` `[]`, the step size; about 0.1.
        prior_mean: `m` `[]`, the same for every coordinate.
        prior_variance: `v` `[]`; infinite for a flat prior, for which a token without features wanders off.

    Returns:
        A part for ``compose``, best alone: other parts would change the law.

    Raises:
        ValueError: a number out of range.

    References:
        M. Welling, Y. W. Teh, Bayesian learning via stochastic gradient Langevin dynamics, ICML 2011; A. Durmus,
        E. Moulines, Annals of Applied Probability 27 (2017) 1551 (the bias of the step size).

    Example:
        >>> import jax, tokdyn as td
        >>> features = jax.random.normal(jax.random.key(0), (50, 2))
        >>> chain = td.compose(sample=td.sampling(temperature=2.0, rate=0.1))
        >>> result = td.run(chain, jax.random.key(1), features, num_tokens=1, max_steps=100, tol=0.0)
        >>> result.tokens.shape
        (1, 2)
    """
    return built(Sampling, temperature=temperature, rate=rate, prior_mean=prior_mean, prior_variance=prior_variance)
