"""Slot Attention's update without its recurrent cell: normalised, projected, averaged by a softmax over slots."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from tokdyn import checks
from tokdyn.dynamics.base import Flow, Memory, Term
from tokdyn.dynamics.parts import part
from tokdyn.dynamics.schedules import Scalar
from tokdyn.numerics import ratio, tempered_softmax
from tokdyn.ranges import built, number

# What Slot Attention's layer norm adds to the variance.
VARIANCE_FLOOR = 1e-6


class Projected(NamedTuple):
    """Keys `[N, H]` and values `[N, D]` of the features, which features exist `[N]` and which tokens `[K]`."""

    keys: jax.Array
    values: jax.Array
    mask: jax.Array | None
    exists: jax.Array | None


def layer_norm(rows: jax.Array) -> jax.Array:
    """Rows `[., D]` with mean 0 and variance 1 over their coordinates, as in a layer norm without weights."""
    away = rows - jnp.mean(rows, axis=-1, keepdims=True)
    return away / jnp.sqrt(jnp.mean(away * away, axis=-1, keepdims=True) + VARIANCE_FLOOR)


def projected(rows: jax.Array, weights: jax.Array) -> jax.Array:
    """Rows `[., D]` times a matrix `[D, H]`, or a multiple of the identity `[]`."""
    if jnp.ndim(weights) == 0:
        return rows * weights
    return jnp.matmul(rows, weights, precision=jax.lax.Precision.HIGHEST)


@part
class SlotAttention(Term):
    """The part that ``slot_attention`` builds."""

    temperature: jax.Array = number(at_least=0.0, finite=False)
    rate: jax.Array = number(at_least=0.0)
    query: jax.Array = number()
    key: jax.Array = number()
    value: jax.Array = number()

    def prepare(self, features: jax.Array, mask: jax.Array | None, token_mask: jax.Array | None) -> Projected:
        self.check_shapes(features.shape[1])
        rows = layer_norm(features)
        return Projected(projected(rows, self.key), projected(rows, self.value), mask, token_mask)

    def apply(
        self, key: jax.Array, step: jax.Array, flow: Flow, tokens: jax.Array, memory: Memory, context: Projected
    ) -> tuple[Flow, Memory]:
        weights = self._weights(tokens, context.keys, context.exists)
        if context.mask is not None:
            weights = jnp.where(context.mask, weights, 0.0)
        mass = jnp.sum(weights, axis=1, keepdims=True)
        sums = jnp.matmul(weights, context.values, precision=jax.lax.Precision.HIGHEST)
        return flow.push(jnp.where(mass == 0, 0.0, self.rate * (ratio(sums, mass) - tokens))), memory

    def assign(self, tokens: jax.Array, features: jax.Array, context: Projected) -> jax.Array:
        """The softmax over slots `[N, K]`."""
        return self._weights(tokens, projected(layer_norm(features), self.key), context.exists).T

    def check_shapes(self, dimension: int) -> None:
        """Raise unless the matrices fit features of that dimension.

        Raises:
            ValueError: naming the matrix.
        """
        for name in ("query", "key", "value"):
            shape = jnp.shape(getattr(self, name))
            if shape and (len(shape) != 2 or shape[0] != dimension):
                raise checks.bad(name, f"a number, or a matrix [{dimension}, H]", f"shape {shape}")
        if jnp.ndim(self.value) and jnp.shape(self.value)[1] != dimension:
            raise checks.bad("value", f"a matrix [{dimension}, {dimension}]", f"shape {jnp.shape(self.value)}")
        widths = [jnp.shape(w)[1] if jnp.ndim(w) else dimension for w in (self.query, self.key)]
        if widths[0] != widths[1]:
            raise checks.bad("key", f"as many columns as query, {widths[0]}", widths[1])

    def _weights(self, tokens: jax.Array, keys: jax.Array, exists: jax.Array | None) -> jax.Array:
        queries = projected(layer_norm(tokens), self.query)
        scores = jnp.matmul(queries, keys.T, precision=jax.lax.Precision.HIGHEST) / keys.shape[1] ** 0.5
        if exists is not None:
            scores = jnp.where(exists[:, None], scores, -jnp.inf)
        return tempered_softmax(scores, self.temperature, axis=0)


def slot_attention(
    *,
    temperature: Scalar = 1.0,
    rate: Scalar = 1.0,
    query: ArrayLike = 1.0,
    key: ArrayLike = 1.0,
    value: ArrayLike = 1.0,
) -> SlotAttention:
    r"""The weighted mean of Slot Attention, without its recurrent cell and perceptron.

    .. math::
        w_{ik} = \mathrm{softmax}_k\left(\frac{W_k^\top \hat x_i \cdot W_q^\top \hat s_k}{T \sqrt H}\right),\qquad
        \Delta_k = \eta\left(\frac{\sum_i w_{ik} W_v^\top \hat x_i}{\sum_i w_{ik}} - s_k\right)

    A hat is a layer norm over coordinates. Whether slots that coincide part again is a spectral radius of the matrices
    and the data, ``td.theory.slot_attention_radius``: with Xavier weights it is about 1 or below, and slots collapse.
    Tokens live in the space of the values, not in that of the features.

    Args:
        temperature: `T` `[]`; 1 is the published `1 / sqrt(H)`.
        rate: `\eta` `[]`.
        query: `W_q` `[D, H]`, or a number for that multiple of the identity.
        key: `W_k` `[D, H]`, or a number.
        value: `W_v` `[D, D]`, or a number.

    Returns:
        A part for ``compose``.

    Raises:
        ValueError: a number out of range; when run, matrices that do not fit the features.

    References:
        F. Locatello et al., Object-centric learning with slot attention, NeurIPS 2020, arXiv:2006.15055.

    Example:
        >>> import jax, tokdyn as td
        >>> slots = td.compose(slots=td.slot_attention(query=4.0))
        >>> features = jax.random.normal(jax.random.key(0), (100, 8))
        >>> td.run(slots, jax.random.key(1), features, num_tokens=3, max_steps=5, tol=0.0).tokens.shape
        (3, 8)
    """
    return built(SlotAttention, temperature=temperature, rate=rate, query=query, key=key, value=value)
