"""Transport: features are shared out so that every token gets an equal part of them."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from tokdyn import checks
from tokdyn.dynamics.attention import Scene
from tokdyn.dynamics.base import Flow, Memory, Term
from tokdyn.dynamics.parts import part, static
from tokdyn.dynamics.schedules import Scalar
from tokdyn.numerics import squared_distances
from tokdyn.ranges import built, number

NEVER = -1e30  # the logit of what does not exist: finite, so that no gradient is NaN


@part
class Transport(Term):
    """The part that ``transport`` builds."""

    temperature: jax.Array = number(above=0.0)
    rate: jax.Array = number(at_least=0.0)
    num_iterations: int = static(default=20)

    def prepare(self, features: jax.Array, mask: jax.Array | None, token_mask: jax.Array | None) -> Scene:
        return Scene.of(features, mask, token_mask)

    def apply(
        self, key: jax.Array, step: jax.Array, flow: Flow, tokens: jax.Array, memory: Memory, context: Scene
    ) -> tuple[Flow, Memory]:
        checks.scalar_fields(self)
        logits = self._logits(tokens, context.features, context)
        weights = jax.nn.softmax(logits + self._prices(logits, context)[:, None], axis=0)
        return flow.push(context.pull(weights, tokens, self.rate)), memory

    def assign(self, tokens: jax.Array, features: jax.Array, context: Scene) -> jax.Array:
        """The plan's rows `[N, K]`: a softmax over tokens, with the price that the run's features give each token."""
        prices = self._prices(self._logits(tokens, context.features, context), context)
        return jax.nn.softmax(self._logits(tokens, context.moved(features), context) + prices[:, None], axis=0).T

    def _logits(self, tokens: jax.Array, moved: jax.Array, context: Scene) -> jax.Array:
        """`[K, N]`; those of a feature relative to its largest, which changes no plan and keeps sums in range."""
        width = jnp.maximum(context.width(self.temperature), float(jnp.finfo(moved.dtype).tiny))
        distances = squared_distances(context.moved(tokens), moved)
        if context.exists is None:
            nearest = jnp.min(distances, axis=0)
        else:
            nearest = jnp.min(jnp.where(context.exists[:, None], distances, jnp.inf), axis=0)
        logits = jnp.maximum((jax.lax.stop_gradient(nearest) - distances) / width, NEVER / 1e3)
        return logits if context.exists is None else jnp.where(context.exists[:, None], logits, NEVER)

    def _prices(self, logits: jax.Array, context: Scene) -> jax.Array:
        """The logarithm by which each token's weights are multiplied `[K]`, after all rounds."""
        num_tokens, num_features = logits.shape
        count = num_features if context.mask is None else jnp.maximum(jnp.sum(context.mask), 1)
        sharing = num_tokens if context.exists is None else jnp.maximum(jnp.sum(context.exists), 1)
        share = jnp.log(count / jnp.asarray(sharing, logits.dtype))

        def balanced(prices: jax.Array, _: None) -> tuple[jax.Array, None]:
            of_feature = -jax.nn.logsumexp(logits + prices[:, None], axis=0)
            if context.mask is not None:
                of_feature = jnp.where(context.mask, of_feature, NEVER)
            prices = share - jax.nn.logsumexp(logits + of_feature, axis=1)
            if context.exists is not None:
                prices = jnp.where(context.exists, prices, 0.0)
            return prices, None

        return jax.lax.scan(balanced, jnp.zeros(num_tokens, logits.dtype), None, length=self.num_iterations)[0]


def transport(*, temperature: Scalar, rate: Scalar = 1.0, num_iterations: int = 20) -> Transport:
    r"""The pull of the features under a balanced assignment: entropic optimal transport by Sinkhorn's iterations.

    .. math::
        w = \arg\min_w \sum_{ik} w_{ik} \lVert x_i - s_k\rVert^2 + T \sum_{ik} w_{ik} \ln w_{ik},\qquad
        \sum_k w_{ik} = 1,\quad \sum_i w_{ik} = N / K

    and then `\Delta_k = \eta (\sum_i w_{ik} x_i / \sum_i w_{ik} - s_k)`. No token is left without features, but tokens
    still merge above the critical temperature of the plain attraction, `2 \lambda_{max}` of the covariance
    (``td.theory.attention_critical_temperature``): at coincident tokens the plan is uniform, and balances what was
    balanced already.

    The iterations, in logarithms, end with the sum over tokens, so that every feature is shared out exactly; the sums
    over features converge at a rate that falls with the temperature.

    Args:
        temperature: `T` `[]`, above 0, in squared units of the features.
        rate: `\eta` `[]`.
        num_iterations: rounds of balancing in every step (static).

    Returns:
        A part for ``compose``.

    Raises:
        ValueError: a number out of range, or fewer than one iteration.

    References:
        M. Cuturi, Sinkhorn distances, NeurIPS 2013, arXiv:1306.0895.

    Example:
        >>> import numpy as np, tokdyn as td
        >>> features = np.array([[0.0], [0.1], [0.2], [5.0]], np.float32)
        >>> balanced = td.compose(attract=td.transport(temperature=1.0))
        >>> start = np.array([[0.0], [5.0]], np.float32)
        >>> result = td.run(balanced, None, features, tokens=start, max_steps=50, tol=1e-4)
        >>> result.assignment.sum(axis=0).round(1).tolist()
        [2.0, 2.0]
    """
    iterations = checks.whole_number("num_iterations", num_iterations, at_least=1)
    return built(Transport, temperature=temperature, rate=rate, num_iterations=iterations)
