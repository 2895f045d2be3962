"""Attention: tokens are pulled to weighted means of the features, by other scores and normalisations than distance's.

``attraction`` is the fast form of one of these, squared distances with a softmax over tokens. Here all pairs of
features and tokens are held at once, as `[K, N]` (and `[K, D, N]` for distances).
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from tokdyn import checks
from tokdyn.dynamics.base import Flow, Memory, Term
from tokdyn.dynamics.parts import part, static
from tokdyn.dynamics.schedules import Scalar
from tokdyn.dynamics.sphere import on_sphere
from tokdyn.numerics import binary_scale, masked_mean, ratio, squared_distances, tempered_softmax
from tokdyn.ranges import built, number

SCORES = ("distance", "dot", "cosine")
NORMALISATIONS = ("tokens", "features")


class Scene(NamedTuple):
    """The features in units in which squares stay within the dtype.

    Attributes:
        scale: a power of two `[]`.
        centre: the mean of the features `[D]`, in units of the scale, without a gradient.
        features: `[N, D]`, in units of the scale, relative to the centre; masked rows are 0.
        mask: which features exist `[N]`, or None for all.
        exists: which tokens exist `[K]`, or None for all.
    """

    scale: jax.Array
    centre: jax.Array
    features: jax.Array
    mask: jax.Array | None
    exists: jax.Array | None

    @classmethod
    def of(cls, features: jax.Array, mask: jax.Array | None, token_mask: jax.Array | None) -> Scene:
        """The features `[N, D]` of a run, masked ones 0."""
        scale = binary_scale(features)
        centre = jax.lax.stop_gradient(masked_mean(features / scale, mask))
        away = features / scale - centre
        return cls(scale, centre, away if mask is None else jnp.where(mask[:, None], away, 0.0), mask, token_mask)

    def moved(self, rows: jax.Array) -> jax.Array:
        """Rows `[., D]` in units of the scale, relative to the centre."""
        return rows / self.scale - self.centre

    def width(self, temperature: jax.Array) -> jax.Array:
        """A temperature in squared units of the features, in units of the scale."""
        return temperature / self.scale / self.scale

    def competition(self, scores: jax.Array, width: jax.Array) -> jax.Array:
        """Softmax over tokens of scores over a width `[K, N]`; tokens that do not exist have none of any feature."""
        if self.exists is not None:
            scores = jnp.where(self.exists[:, None], scores, -jnp.inf)
        return tempered_softmax(scores, width, axis=0)

    def responsibilities(self, tokens: jax.Array, moved: jax.Array, temperature: jax.Array) -> jax.Array:
        """Competition by squared distance, of tokens `[K, D]` for moved features `[N, D]`: `[K, N]`."""
        return self.competition(-squared_distances(self.moved(tokens), moved), self.width(temperature))

    def means(self, weights: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Means of the features by weights `[K, N]`, in units of the scale and relative to the centre `[K, D]`, and the
        mass of each token `[K]`; masked features have none.
        """
        if self.mask is not None:
            weights = jnp.where(self.mask, weights, 0.0)
        mass = jnp.sum(weights, axis=1)
        sums = jnp.matmul(weights, self.features, precision=jax.lax.Precision.HIGHEST)
        return ratio(sums, mass[:, None]), mass

    def pull(self, weights: jax.Array, tokens: jax.Array, rate: jax.Array) -> jax.Array:
        """The displacement `[K, D]` of tokens by a share of the way to their means; none without mass."""
        target, mass = self.means(weights)
        return jnp.where(mass[:, None] == 0, 0.0, rate * (target - self.moved(tokens)) * self.scale)


def cosines(tokens: jax.Array, features: jax.Array) -> jax.Array:
    """Cosines between tokens `[K, D]` and features `[N, D]`, as `[K, N]`; 0 with a zero vector."""
    return jnp.matmul(on_sphere(tokens), on_sphere(features).T, precision=jax.lax.Precision.HIGHEST)


@part
class Attention(Term):
    """The part that ``attention`` builds."""

    temperature: jax.Array = number(at_least=0.0, finite=False)
    rate: jax.Array = number(at_least=0.0)
    score: str = static(default="distance")
    over: str = static(default="tokens")

    def prepare(self, features: jax.Array, mask: jax.Array | None, token_mask: jax.Array | None) -> Scene:
        return Scene.of(features, mask, token_mask)

    def apply(
        self, key: jax.Array, step: jax.Array, flow: Flow, tokens: jax.Array, memory: Memory, context: Scene
    ) -> tuple[Flow, Memory]:
        checks.scalar_fields(self)
        weights = self.weights(tokens, context.features, context, over=self.over)
        return flow.push(context.pull(weights, tokens, self.rate)), memory

    def assign(self, tokens: jax.Array, features: jax.Array, context: Scene) -> jax.Array:
        """The softmax over tokens `[N, K]`, whatever the normalisation of the pull."""
        return self.weights(tokens, context.moved(features), context._replace(mask=None), over="tokens").T

    def weights(self, tokens: jax.Array, moved: jax.Array, context: Scene, *, over: str) -> jax.Array:
        """Softmax of the scores of moved features `[N, D]`, over tokens or over features `[K, N]`."""
        own = context.moved(tokens)
        width = context.width(self.temperature)
        if self.score == "distance":
            scores = -squared_distances(own, moved)
        elif self.score == "dot":
            # Relative to the origin of the data. What a centre adds for the token alone cancels over features, what it
            # adds for the feature alone cancels over tokens: the other one is needed.
            scores = jnp.matmul(own + context.centre, (moved + context.centre).T, precision=jax.lax.Precision.HIGHEST)
        else:
            scores, width = cosines(own + context.centre, moved + context.centre), self.temperature
        if over == "tokens":
            return context.competition(scores, width)
        if context.mask is not None:
            scores = jnp.where(context.mask, scores, -jnp.inf)
        return tempered_softmax(scores, width, axis=1)


def attention(
    *,
    temperature: Scalar,
    rate: Scalar = 1.0,
    score: Literal["distance", "dot", "cosine"] = "distance",
    over: Literal["tokens", "features"] = "tokens",
) -> Attention:
    r"""The pull of the features by a choice of score and normalisation.

    .. math::
        w_{ik} = \mathrm{softmax}\left(\frac{\ell_{ik}}{T}\right),\qquad
        \Delta_k = \eta\left(\frac{\sum_i w_{ik} x_i}{\sum_i w_{ik}} - s_k\right),\qquad
        \ell_{ik} = -\lVert x_i - s_k\rVert^2,\quad x_i \cdot s_k,\quad \text{or}\quad
        \frac{x_i \cdot s_k}{\lVert x_i\rVert \lVert s_k\rVert}

    With the softmax over tokens, tokens compete for features: they part below a critical temperature, which
    ``td.theory.attention_critical_temperature`` has for every score. With the softmax over features every token moves
    by itself (mean shift; for dot products the retrieval of a modern Hopfield network): tokens in one basin always
    merge, and as many remain as the density smoothed with variance `T / 2` has modes.

    Args:
        temperature: `T` `[]`, in squared units of the features; without unit for cosines.
        rate: `\eta` `[]`.
        score: ``"distance"``, ``"dot"`` or ``"cosine"`` (static). Dot products and cosines depend on where the origin
            of the features is.
        over: what the softmax sums to one over, ``"tokens"`` or ``"features"`` (static).

    Returns:
        A part for ``compose``. It assigns features by the softmax over tokens in either case.

    Raises:
        ValueError: a negative number, or one that is not finite (the temperature may be infinite); an unknown option.

    References:
        Y. Cheng, Mean shift, mode seeking, and clustering, IEEE PAMI 17 (1995) 790; H. Ramsauer et al., Hopfield
        networks is all you need, arXiv:2008.02217.

    Example:
        >>> import numpy as np, tokdyn as td
        >>> features = np.array([[-1.0], [1.0]], np.float32)
        >>> shift = td.compose(shift=td.attention(temperature=4.0, over="features"))
        >>> start = np.array([[-0.5], [0.9]], np.float32)
        >>> result = td.run(shift, None, features, tokens=start, max_steps=200, tol=1e-6)
        >>> int(result.num_distinct)  # one mode
        1
    """
    return built(
        Attention,
        temperature=temperature,
        rate=rate,
        score=checks.choice("score", score, SCORES),
        over=checks.choice("over", over, NORMALISATIONS),
    )
