"""Attraction: every token is pulled to the mean of the features, weighted by how much it owns them."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from tokdyn import checks
from tokdyn.dynamics.base import Flow, Memory, Term, part, static
from tokdyn.numerics import masked_mean, squared_distances, tempered_softmax


class Layout(NamedTuple):
    """The features as the loop reads them; built once a run.

    Attributes:
        centre: mean of the features `[D]`. The product form of a squared distance loses digits far from the origin,
            so all products are taken relative to it.
        columns: centred features with a row of ones below `[D + 1, N]`; points last, so that a step is two products.
            Masked columns are zero, ones included: whoever owns such a feature gets no mass and no pull from it.
        token_bias: 0 for tokens that exist, else so low that they own nothing `[K]`; None when all exist.
    """

    centre: jax.Array
    columns: jax.Array
    token_bias: jax.Array | None


@part
class Attraction(Term):
    """See ``attraction``."""

    temperature: jax.Array
    rate: jax.Array
    mass_floor: jax.Array
    distances: str = static("product")

    def prepare(self, features: jax.Array, mask: jax.Array | None, token_mask: jax.Array | None) -> Layout:
        by_dimension = features.T  # transposed first: once, and sums along the long axis use wide registers
        mean = masked_mean(by_dimension, mask, axis=1)
        centre = jax.lax.stop_gradient(mean)  # a choice of origin; the result does not depend on it
        ones = jnp.ones((1, features.shape[0]), features.dtype)
        columns = jnp.concatenate([by_dimension - centre[:, None], ones])
        if mask is not None:
            columns = jnp.where(mask, columns, 0.0)
        bias = None
        if token_mask is not None:
            # Finite, so that no 0 * inf can arise, in values or in gradients; its square root leaves room for 1 / T^2.
            lowest = -jnp.sqrt(jnp.finfo(features.dtype).max).astype(features.dtype)
            bias = jnp.where(token_mask, 0.0, lowest)
        return Layout(centre, columns, bias)

    def apply(
        self, key: jax.Array, step: jax.Array, flow: Flow, tokens: jax.Array, memory: Memory, context: Layout
    ) -> tuple[Flow, Memory]:
        checks.scalar_fields(self)
        moved = tokens - context.centre
        # -|x - s|^2 up to |x|^2, which is the same for all tokens and cancels in the softmax over them.
        offset = -jnp.sum(moved * moved, axis=1, keepdims=True)
        if context.token_bias is not None:
            offset = offset + context.token_bias[:, None]
        if self.distances == "product":
            scores = _product(jnp.concatenate([2.0 * moved, offset], axis=1), context.columns)  # [K, N]
        else:
            scores = offset + jnp.sum(moved * moved, axis=1, keepdims=True)  # the bias of masked tokens alone
            scores = scores - squared_distances(moved, context.columns[:-1].T)
        weights = tempered_softmax(scores, self.temperature, axis=0)
        sums = _product(weights, context.columns.T)  # [K, D + 1]: weighted sums of centred features, and the mass
        mass = sums[:, -1:] + self.mass_floor
        massless = mass == 0  # not "mass > 0": a NaN must not pass for a token at rest
        # The published floor pulls toward the origin of the data, which in centred coordinates is at -centre.
        target = (sums[:, :-1] - self.mass_floor * context.centre) / jnp.where(massless, 1.0, mass)
        # A token whose mass has underflowed to nothing stays where it is.
        return flow.push(jnp.where(massless, 0.0, self.rate * (target - moved))), memory

    def assign(self, tokens: jax.Array, features: jax.Array, token_mask: jax.Array | None) -> jax.Array:
        """The soft assignment `[N, K]`, by differences: computed once a run, so digits matter more than speed."""
        scores = -squared_distances(tokens, features)  # [K, N]
        if token_mask is not None:
            scores = jnp.where(token_mask[:, None], scores, -jnp.inf)
        return tempered_softmax(scores, self.temperature, axis=0).T


def _product(left: jax.Array, right: jax.Array) -> jax.Array:
    """A matrix product in full precision: some accelerators would round float32 factors to 10 bits by default."""
    return jnp.matmul(left, right, precision=jax.lax.Precision.HIGHEST)


def attraction(
    *, temperature: float, rate: float = 1.0, mass_floor: float = 0.0, distances: str = "product"
) -> Attraction:
    r"""The pull of the features: soft clustering with a softmax over tokens.

    .. math::
        w_{ik} = \mathrm{softmax}_k\left(-\frac{\lVert x_i - s_k\rVert^2}{T}\right),\qquad
        \Delta_k = \eta\left(\frac{\sum_i w_{ik} x_i}{\sum_i w_{ik} + \epsilon} - s_k\right)

    This is one step of expectation-maximisation for an equal-weight isotropic mixture of variance `T / 2`, damped by
    the rate. It is equivariant under translation as long as ``mass_floor`` is 0; the published study's 1e-9 pulls
    tokens without mass to the origin (``td.catalog.published`` sets it).

    Args:
        temperature: `T` `[]`, in squared units of the features; values below 1e-6 act as 1e-6 (one Lloyd step).
        rate: `\eta` `[]`; 1 jumps to the mean. The free energy falls at every step for rates between 0 and 2.
        mass_floor: `\epsilon` `[]`, added to the mass.
        distances: ``"product"`` takes squared distances from one matrix product, the fast form; their rounding is that
            of the squared spread of the features, which in float32 must stay far below `T` / 10^-7.
            ``"difference"`` subtracts first and has no such limit (static).

    Returns:
        A part for ``compose``.

    Raises:
        ValueError: a negative or non-finite number.

    References:
        K. Rose, Proc. IEEE 86 (1998) 2210; F. Locatello et al., Slot Attention, arXiv:2006.15055.

    Example:
        >>> import tokdyn as td
        >>> float(td.attraction(temperature=0.5).rate)
        1.0
    """
    return Attraction(
        checks.hyperparameter("temperature", temperature, at_least=0.0),
        checks.hyperparameter("rate", rate, at_least=0.0),
        checks.hyperparameter("mass_floor", mass_floor, at_least=0.0),
        checks.choice("distances", distances, ("product", "difference")),
    )
