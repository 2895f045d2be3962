"""Attraction: every token is pulled to the mean of the features, weighted by how much it owns them."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from tokdyn import checks
from tokdyn.dynamics.base import Flow, Memory, Term, part, static
from tokdyn.numerics import binary_scale, masked_mean


class Layout(NamedTuple):
    """The features as the loop reads them; built once a run.

    Lengths are in units of ``scale``, so that squares stay within the dtype at every scale that features may have.

    Attributes:
        scale: a power of two near the features' largest magnitude `[]`, in their units; 1 where all are 0.
        centre: mean of the features `[D]`. The product form of a squared distance loses digits far from the origin,
            so its products are taken relative to it.
        spread: the largest distance of a feature from the centre `[]`.
        columns: for products, centred features with a row of ones below `[D + 1, N]`; points last, so that a step is
            two products. For differences, the features as they are, with the same row. Masked columns are zero, ones
            included: whoever owns such a feature gets no mass and no pull from it.
        exists: the tokens that do `[K]`; None when all do.
    """

    scale: jax.Array
    centre: jax.Array
    spread: jax.Array
    columns: jax.Array
    exists: jax.Array | None


@part
class Attraction(Term):
    """See ``attraction``."""

    temperature: jax.Array
    rate: jax.Array
    mass_floor: jax.Array
    distances: str = static("product")
    temperature_floor: jax.Array = 0.0  # type: ignore[assignment]  # a default for files that know none

    def prepare(self, features: jax.Array, mask: jax.Array | None, token_mask: jax.Array | None) -> Layout:
        scale = binary_scale(features)
        by_dimension = features.T * (1.0 / scale)  # transposed once: sums along the long axis use wide registers
        centre = jax.lax.stop_gradient(masked_mean(by_dimension, mask, axis=1))  # a choice of origin, nothing more
        rows = by_dimension - centre[:, None] if self.distances == "product" else by_dimension
        columns = jnp.concatenate([rows, jnp.ones((1, features.shape[0]), features.dtype)])
        if mask is not None:
            columns = jnp.where(mask, columns, 0.0)
        away = jax.lax.stop_gradient(by_dimension) - centre[:, None]
        if mask is not None:
            away = jnp.where(mask, away, 0.0)
        spread = jnp.sqrt(jnp.max(jnp.sum(away * away, axis=0)))
        return Layout(scale, centre, spread, columns, token_mask)

    def apply(
        self, key: jax.Array, step: jax.Array, flow: Flow, tokens: jax.Array, memory: Memory, context: Layout
    ) -> tuple[Flow, Memory]:
        checks.scalar_fields(self)
        pull = self._by_products if self.distances == "product" else self._by_differences
        return flow.push(pull(tokens, context)), memory

    def _by_products(self, tokens: jax.Array, context: Layout) -> jax.Array:
        """The displacement `[K, D]`, squared distances from one matrix product."""
        moved = tokens * (1.0 / context.scale) - context.centre
        pull, bias = logits_of_tokens(moved, context.spread, self._width() / context.scale, context.exists)
        weights = _softmax(_product(jnp.concatenate([pull, bias[:, None]], axis=1), context.columns))  # [K, N]
        sums = _product(weights, context.columns.T)  # [K, D + 1]: weighted sums of centred features, and the mass
        # The published floor pulls toward the origin of the data, which in centred coordinates is at -centre.
        return self._toward(
            sums[:, :-1] - self.mass_floor * context.centre,
            sums[:, -1:],
            tokens - context.centre * context.scale,
            context.scale,
        )

    def _by_differences(self, tokens: jax.Array, context: Layout) -> jax.Array:
        """The displacement `[K, D]`, each squared distance from the difference itself."""
        own = tokens * (1.0 / context.scale)
        gaps = _gaps(own, context.columns[:-1])  # [K, D, N], from a token to a feature
        weights = _softmax_of_distances(gaps, self._width() / context.scale, context.exists) * context.columns[-1]
        # From the token, not from the mean: a cluster far from the mean keeps the digits that it has.
        sums = jnp.sum(weights[:, None, :] * gaps, axis=2) - self.mass_floor * own
        mass = jnp.sum(weights, axis=1, keepdims=True)
        return self._toward(sums, mass, jnp.zeros_like(tokens), context.scale)

    def _toward(self, sums: jax.Array, mass: jax.Array, moved: jax.Array, scale: jax.Array) -> jax.Array:
        """The displacement of tokens at ``moved`` toward ``sums / mass``, which are in units of the scale."""
        mass = mass + self.mass_floor
        massless = mass == 0  # not "mass > 0": a NaN must not pass for a token at rest
        target = sums / jnp.where(massless, 1.0, mass) * scale
        # A token whose mass has underflowed to nothing stays where it is.
        return jnp.where(massless, 0.0, self.rate * (target - moved))

    def _width(self) -> jax.Array:
        """The square root of the temperature: a length, which is in range wherever the features are."""
        temperature = jnp.maximum(self.temperature, self.temperature_floor)
        is_cold = temperature <= 0  # a square root has no slope there
        return jnp.where(is_cold, 0.0, jnp.sqrt(jnp.where(is_cold, 1.0, temperature)))

    def assign(self, tokens: jax.Array, features: jax.Array, token_mask: jax.Array | None) -> jax.Array:
        """The soft assignment `[N, K]`, by differences: computed once a run, so digits matter more than speed."""
        scale = binary_scale(features)
        gaps = _gaps(tokens * (1.0 / scale), features.T * (1.0 / scale))
        return _softmax_of_distances(gaps, self._width() / scale, token_mask).T


# Tokens farther away than this many times the features' scale count as that far: their squares stay finite.
FAR = 1e15
# Two evaluations of one logit, rounded differently, differ by less than this: far inside the range of exp.
ROUNDING = 64.0


def logits_of_tokens(
    moved: jax.Array, spread: jax.Array, width: jax.Array, exists: jax.Array | None
) -> tuple[jax.Array, jax.Array]:
    """What multiplies a feature, and what is then added: the sum is `-|x - s|^2 / T` but for a term of the feature.

    The temperature divides tokens, `[K, D]`, instead of scores, `[K, N]`. A logit of the tokens that matter to a
    feature, which are at most `2 spread + nearest` from the centre, is rounded by
    `D eps (3 spread + nearest)^2 / T` at most. Where that is more than the exponential can take (a compiler may
    compute a logit twice, once for the maximum, and round differently), the temperature is raised to what the
    products can resolve.

    Args:
        moved: tokens relative to the features' centre `[K, D]`.
        spread: the largest distance of a feature from the centre `[]`.
        width: square root of the temperature `[]`.
        exists: tokens that do `[K]`, or None for all.

    Returns:
        ``(pull, bias)``: `[K, D]`, and `[K]`, which is 0 for the token nearest to the centre and -1e30 where masked.
    """
    dimension = moved.shape[1]
    moved = jnp.clip(moved, -(FAR**2), FAR**2)
    distances = jnp.max(jnp.abs(jax.lax.stop_gradient(moved)), axis=1)
    nearest = dimension**0.5 * jnp.min(distances, initial=FAR**2, where=exists)
    resolved = (dimension * float(jnp.finfo(moved.dtype).eps) / ROUNDING) ** 0.5 * (3.0 * spread + nearest)
    width = jnp.maximum(jnp.maximum(width, resolved), 1.0 / FAR)
    relative = jnp.clip(moved / width, -FAR, FAR)
    squared = jnp.sum(relative * relative, axis=1)
    bias = jax.lax.stop_gradient(jnp.min(squared, initial=jnp.inf, where=exists)) - squared
    if exists is not None:
        bias = jnp.where(exists, bias, -(FAR**2))  # finite, so that no 0 * inf can arise, in values or in gradients
    return relative * (2.0 / width), bias


def _softmax(logits: jax.Array) -> jax.Array:
    """Softmax over tokens of logits `[K, N]` that are rounded by less than ``ROUNDING``."""
    weights = jnp.exp(logits - jax.lax.stop_gradient(jnp.max(logits, axis=0)))
    return weights / jnp.sum(weights, axis=0)


def _gaps(tokens: jax.Array, by_dimension: jax.Array) -> jax.Array:
    """Features minus tokens `[K, D, N]`, both in units of the scale; the long axis last."""
    return by_dimension - jnp.clip(tokens, -FAR, FAR)[:, :, None]


def _softmax_of_distances(gaps: jax.Array, width: jax.Array, exists: jax.Array | None) -> jax.Array:
    """Weights `[K, N]`: the softmax over tokens of `-|x - s|^2 / T`, by differences `[K, D, N]`."""
    squared = jnp.sum(gaps * gaps, axis=1)
    if exists is not None:
        squared = jnp.where(exists[:, None], squared, FAR**2 * gaps.shape[1])
    nearest = jax.lax.stop_gradient(jnp.min(squared, axis=0))
    # As in logits_of_tokens, feature by feature: what is resolved depends on the distance alone.
    limits = jnp.finfo(gaps.dtype)
    rounding = (gaps.shape[1] + 2) * float(limits.eps) / ROUNDING
    resolved = jnp.maximum(rounding * nearest, float(limits.tiny))
    weights = jnp.exp((nearest - squared) / jnp.maximum(width * width, resolved))
    if exists is not None:
        weights = jnp.where(exists[:, None], weights, 0.0)
    return weights / jnp.sum(weights, axis=0)


def _product(left: jax.Array, right: jax.Array) -> jax.Array:
    """A matrix product in full precision: some accelerators would round float32 factors to 10 bits by default."""
    return jnp.matmul(left, right, precision=jax.lax.Precision.HIGHEST)


def attraction(
    *,
    temperature: float,
    rate: float = 1.0,
    mass_floor: float = 0.0,
    temperature_floor: float = 0.0,
    distances: str = "product",
) -> Attraction:
    r"""The pull of the features: soft clustering with a softmax over tokens.

    .. math::
        w_{ik} = \mathrm{softmax}_k\left(-\frac{\lVert x_i - s_k\rVert^2}{T}\right),\qquad
        \Delta_k = \eta\left(\frac{\sum_i w_{ik} x_i}{\sum_i w_{ik} + \epsilon} - s_k\right)

    This is one step of expectation-maximisation for an equal-weight isotropic mixture of variance `T / 2`, damped by
    the rate. It is equivariant under translation and under a change of unit (`c x`, `c s`, `c^2 T`) as long as both
    floors are 0. The published study has a mass floor of 1e-9, which pulls tokens without mass to the origin, and a
    temperature floor of 1e-6 (``td.catalog.published`` sets them).

    Args:
        temperature: `T` `[]`, in squared units of the features, from 0 (one Lloyd step; ties are shared) to infinity
            (every feature shared by all tokens). Below the rounding of the squared distances it acts as that.
        rate: `\eta` `[]`; 1 jumps to the mean. The free energy falls at every step for rates between 0 and 2.
        mass_floor: `\epsilon` `[]`, added to the mass.
        temperature_floor: lower temperatures act as this `[]`.
        distances: ``"product"`` takes squared distances from one matrix product, the fast form; their rounding is
            about `D^(1/2) 10^-7` times the squared spread of the features in float32, and must stay far below `T`.
            ``"difference"`` subtracts first; its rounding is `10^-7` times the distance itself (static).

    Returns:
        A part for ``compose``.

    Raises:
        ValueError: a negative number, or one that is not finite (the temperature may be infinite).

    References:
        K. Rose, Proc. IEEE 86 (1998) 2210; F. Locatello et al., Slot Attention, arXiv:2006.15055.

    Example:
        >>> import tokdyn as td
        >>> float(td.attraction(temperature=0.5).rate)
        1.0
    """
    return Attraction(
        checks.hyperparameter("temperature", temperature, at_least=0.0, finite=False),
        checks.hyperparameter("rate", rate, at_least=0.0),
        checks.hyperparameter("mass_floor", mass_floor, at_least=0.0),
        checks.choice("distances", distances, ("product", "difference")),
        checks.hyperparameter("temperature_floor", temperature_floor, at_least=0.0),
    )
