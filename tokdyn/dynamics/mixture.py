"""Mixture: attraction with a learned prior for every token, so that tokens that coincide count as one."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp

from tokdyn import checks
from tokdyn.dynamics.attention import Scene
from tokdyn.dynamics.base import Flow, Term
from tokdyn.dynamics.parts import part
from tokdyn.dynamics.schedules import Scalar
from tokdyn.numerics import squared_distances
from tokdyn.ranges import built, number


class Known(NamedTuple):
    """The features, and the priors `[K]` if a run has ended; None before."""

    scene: Scene
    priors: jax.Array | None


@part
class Mixture(Term):
    """The part that ``mixture`` builds. Its memory holds the priors `[K]`, which sum to 1."""

    remembers: ClassVar[bool] = True

    temperature: jax.Array = number(above=0.0)
    rate: jax.Array = number(at_least=0.0)
    prior_rate: jax.Array = number(at_least=0.0)

    def prepare(self, features: jax.Array, mask: jax.Array | None, token_mask: jax.Array | None) -> Known:
        return Known(Scene.of(features, mask, token_mask), None)

    def init(self, tokens: jax.Array, context: Known) -> jax.Array:
        exists = context.scene.exists
        there = jnp.ones(tokens.shape[0], tokens.dtype) if exists is None else exists.astype(tokens.dtype)
        return there / jnp.maximum(jnp.sum(there), 1.0)

    def apply(
        self, key: jax.Array, step: jax.Array, flow: Flow, tokens: jax.Array, memory: jax.Array, context: Known
    ) -> tuple[Flow, jax.Array]:
        checks.scalar_fields(self)
        scene = context.scene
        weights = self._weights(tokens, scene.features, memory, scene)
        _, mass = scene.means(weights)
        total = jnp.sum(mass)
        shares = mass / jnp.where(total > 0, total, 1.0)
        priors = memory + self.prior_rate * (shares - memory)
        return flow.push(scene.pull(weights, tokens, self.rate)), priors

    def recalled(self, context: Known, memory: jax.Array) -> Known:
        return context._replace(priors=memory)

    def assign(self, tokens: jax.Array, features: jax.Array, context: Known) -> jax.Array:
        """The posterior of every token `[N, K]`; by equal priors before a run."""
        priors = self.init(tokens, context) if context.priors is None else context.priors
        return self._weights(tokens, context.scene.moved(features), priors, context.scene).T

    def _weights(self, tokens: jax.Array, moved: jax.Array, priors: jax.Array, scene: Scene) -> jax.Array:
        """The posterior `[K, N]`."""
        tiny = float(jnp.finfo(moved.dtype).tiny)
        width = jnp.maximum(scene.width(self.temperature), tiny)
        distances = squared_distances(scene.moved(tokens), moved)
        absent = jnp.zeros((), bool) if scene.exists is None else ~scene.exists[:, None]
        nearest = jnp.min(jnp.where(absent, jnp.inf, jax.lax.stop_gradient(distances)), axis=0)
        above = jnp.maximum((nearest - distances) / width, -1e30)
        is_likely = priors > tiny
        logs = jnp.where(is_likely, jnp.log(jnp.where(is_likely, priors, 1.0)), jnp.log(tiny))
        return jax.nn.softmax(jnp.where(absent, -jnp.inf, above + logs[:, None]), axis=0)


def mixture(*, temperature: Scalar, rate: Scalar = 1.0, prior_rate: Scalar = 1.0) -> Mixture:
    r"""The pull of the features when tokens have learned priors: Rose's mass-constrained annealing.

    .. math::
        w_{ik} = \frac{\pi_k e^{-\lVert x_i - s_k\rVert^2 / T}}{\sum_j \pi_j e^{-\lVert x_i - s_j\rVert^2 / T}},\qquad
        \Delta_k = \eta\left(\frac{\sum_i w_{ik} x_i}{\sum_i w_{ik}} - s_k\right),\qquad
        \pi_k \leftarrow \pi_k + \rho\left(\frac{1}{N}\sum_i w_{ik} - \pi_k\right)

    At both rates 1 this is expectation-maximisation of a mixture of normals with variance `T / 2` and free weights, and
    ``td.theory.mixture_energy`` never rises. Tokens that coincide act as one token with the sum of their priors; under
    plain ``attraction`` a merged pair weighs double, and moves the boundary to a single token by
    `T \ln 2 / (2 d)` at distance `d`. Equal priors kept (`\rho = 0`) are plain attraction. The critical temperature is
    that of plain attraction, `2 \lambda_{max}`, because the masses of coincident tokens change only to second order.

    Args:
        temperature: `T` `[]`, above 0, in squared units of the features; a schedule anneals it.
        rate: `\eta` `[]`.
        prior_rate: `\rho` `[]`, up to 1.

    Returns:
        A part for ``compose``. The final priors are its memory, ``Result.state.memory``; a dynamics with it has no
        implicit gradient.

    Raises:
        ValueError: a number out of range.

    References:
        K. Rose, Proc. IEEE 86 (1998) 2210.

    Example:
        >>> import numpy as np, tokdyn as td
        >>> features = np.array([[0.0], [0.0], [0.0], [9.0]], np.float32)
        >>> start = np.array([[1.0], [8.0]], np.float32)
        >>> learned = td.compose(attract=td.mixture(temperature=1.0))
        >>> result = td.run(learned, None, features, tokens=start, max_steps=50, tol=1e-4)
        >>> result.state.memory[0].round(2).tolist()
        [0.75, 0.25]
    """
    return built(Mixture, temperature=temperature, rate=rate, prior_rate=prior_rate)
