"""Random recurrence: every token is the state of one random recurrent network."""

from __future__ import annotations

from typing import Literal

import jax
import jax.numpy as jnp

from tokdyn import checks, draws, keys
from tokdyn.dynamics.base import Flow, Memory, Term
from tokdyn.dynamics.parts import part, static
from tokdyn.dynamics.schedules import Scalar
from tokdyn.ranges import built, number

ACTIVATIONS = ("tanh", "relu")


def recurrent_weights(dimension: int, *, seed: int = 0) -> jax.Array:
    """The matrix of ``random_recurrence`` for features of that dimension: normal, with variance `1 / D`.

    Args:
        dimension: D.
        seed: of the draw.

    Returns:
        `[D, D]`, in JAX's default floating dtype.

    Example:
        >>> from tokdyn.dynamics import recurrent_weights
        >>> recurrent_weights(3).shape
        (3, 3)
    """
    return _weights(dimension, seed, jnp.result_type(float))


def _weights(dimension: int, seed: int, dtype: jnp.dtype) -> jax.Array:
    drawn = draws.normal(keys.for_purpose(jax.random.key(seed), "recurrence"), (dimension, dimension), jnp.float32)
    return drawn.astype(dtype) / dimension**0.5


@part
class RandomRecurrence(Term):
    """The part that ``random_recurrence`` builds."""

    gain: jax.Array = number(at_least=0.0)
    rate: jax.Array = number(at_least=0.0)
    activation: str = static(default="tanh")
    seed: int = static(default=0)

    def prepare(self, features: jax.Array, mask: jax.Array | None, token_mask: jax.Array | None) -> jax.Array:
        return _weights(features.shape[1], self.seed, features.dtype)

    def apply(
        self, key: jax.Array, step: jax.Array, flow: Flow, tokens: jax.Array, memory: Memory, context: jax.Array
    ) -> tuple[Flow, Memory]:
        checks.scalar_fields(self)
        inside = self.gain * jnp.matmul(tokens, context.T, precision=jax.lax.Precision.HIGHEST)
        after = jnp.tanh(inside) if self.activation == "tanh" else jnp.maximum(inside, 0.0)
        return flow.push(self.rate * (after - tokens)), memory


def random_recurrence(
    *, gain: Scalar, rate: Scalar = 1.0, activation: Literal["tanh", "relu"] = "tanh", seed: int = 0
) -> RandomRecurrence:
    r"""Latents that are fed back through a random network.

    .. math:: \Delta_k = \eta\left(\phi(g W s_k) - s_k\right),\qquad W_{ab} \sim \mathcal N(0, 1 / D)

    Tokens do not see each other or the features. With tanh and rate 1 all latents die out below the critical gain
    ``td.theory.critical_gain``, about 1 in many dimensions; well above it neighbouring latents part, and the largest of
    ``td.theory.lyapunov_exponents`` is above 0: the edge of chaos. With relu there is no bound: squared lengths are
    multiplied by `g^2 / 2` a step on average, hence the critical gain `\sqrt 2` (``td.theory.norm_path``).

    Args:
        gain: `g` `[]`.
        rate: `\eta` `[]`.
        activation: ``"tanh"`` or ``"relu"`` (static).
        seed: of the matrix (static); ``td.dynamics.recurrent_weights`` returns it.

    Returns:
        A part for ``compose``. It does not assign features: each belongs to its nearest token.

    Raises:
        ValueError: a number out of range, or an unknown activation.

    References:
        H. Sompolinsky, A. Crisanti, H. J. Sommers, Chaos in random neural networks, Phys. Rev. Lett. 61 (1988) 259.

    Example:
        >>> import jax, tokdyn as td
        >>> quiet = td.compose(feed_back=td.random_recurrence(gain=0.5))
        >>> features = jax.random.normal(jax.random.key(0), (20, 8))
        >>> result = td.run(quiet, jax.random.key(1), features, num_tokens=4, max_steps=200, tol=1e-6)
        >>> bool(abs(result.tokens).max() < 1e-4)
        True
    """
    return built(
        RandomRecurrence,
        gain=gain,
        rate=rate,
        activation=checks.choice("activation", activation, ACTIVATIONS),
        seed=checks.whole_number("seed", seed, at_least=0),
    )
