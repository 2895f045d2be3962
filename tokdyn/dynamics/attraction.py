"""Attraction: every token is pulled to the mean of the features, weighted by its share of each."""

from __future__ import annotations

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from tokdyn import checks
from tokdyn.dynamics import arrangement, tiles
from tokdyn.dynamics.arrangement import Columns, Frame, Rows, Summed
from tokdyn.dynamics.base import Flow, Memory, Term
from tokdyn.dynamics.parts import part, static
from tokdyn.dynamics.schedules import Scalar
from tokdyn.numerics import ratio
from tokdyn.ranges import built, number


class Layout(NamedTuple):
    """The features in the form that the loop reads; built once per run.

    Attributes:
        frame: scale, centre and spread of the features. Lengths are in units of the scale, so that squares stay within
            the dtype wherever the features do. The product form of a squared distance loses digits far from the
            origin, so products are taken relative to the centre.
        features: ``arrangement.Columns`` or ``arrangement.Rows``, whichever is faster for this size.
        exists: which tokens exist `[K]`; None if all do.
    """

    frame: Frame
    features: Columns | Rows | Summed
    exists: jax.Array | None


@part
class Attraction(Term):
    """The part that ``attraction`` builds."""

    temperature: jax.Array = number(at_least=0.0, finite=False)
    rate: jax.Array = number(at_least=0.0)
    mass_floor: jax.Array = number(at_least=0.0)
    distances: str = static(default="product")
    temperature_floor: jax.Array = number(at_least=0.0, default=0.0)  # absent from files of earlier versions

    def prepare(self, features: jax.Array, mask: jax.Array | None, token_mask: jax.Array | None) -> Layout:
        frame = arrangement.framed(features, mask)
        return Layout(frame, arrangement.arranged(features, frame, mask, centred=self.is_centred), token_mask)

    def apply(
        self, key: jax.Array, step: jax.Array, flow: Flow, tokens: jax.Array, memory: Memory, context: Layout
    ) -> tuple[Flow, Memory]:
        checks.scalar_fields(self)
        frame = context.frame
        operands = self.operands(tokens, context)
        if self.is_centred:
            # The sums and the token are both relative to the centre.
            to_centre, moved = frame.centre, tokens - frame.centre * frame.scale
            sums, mass = tiles.sums_by_products(context.features, frame, *operands)
        else:
            # Relative to the token, not to the mean, so that a cluster far from the mean keeps its precision.
            to_centre, moved = operands[0], jnp.zeros_like(tokens)
            sums, mass = tiles.sums_by_differences(context.features, frame, *operands)
        # The published floor pulls toward the origin of the data, which lies at minus the point that sums start from.
        sums, mass = sums - self.mass_floor * to_centre, mass[:, None] + self.mass_floor
        massless = mass == 0  # not "mass > 0": a NaN must not pass for a token at rest
        target = ratio(sums, mass) * frame.scale
        # A token whose mass has underflowed to zero stays where it is.
        return flow.push(jnp.where(massless, 0.0, self.rate * (target - moved))), memory

    def operands(self, tokens: jax.Array, context: Layout) -> tuple[jax.Array, ...]:
        """What the sums over features need to know of the tokens `[K, D]`, for ``tiles.added_up``."""
        frame, exists = context.frame, context.exists
        own, width = tokens * (1.0 / frame.scale), self._width() / frame.scale
        if self.is_centred:
            return tiles.logits_of_tokens(own - frame.centre, frame.spread, width, exists)
        return own, width, exists  # type: ignore[return-value]

    def assign(self, tokens: jax.Array, features: jax.Array, context: Layout) -> jax.Array:
        """The soft assignment `[N, K]`, from products where these are precise enough, otherwise from differences."""
        return self._assigned(tokens, features, context, hard=False)

    def assign_hard(self, tokens: jax.Array, features: jax.Array, context: Layout) -> jax.Array:
        """The nearest token of each feature `[N]`, without the soft assignment."""
        return self._assigned(tokens, features, context, hard=True)

    def _assigned(self, tokens: jax.Array, features: jax.Array, context: Layout, *, hard: bool) -> jax.Array:
        frame = context.frame
        own, width = tokens * (1.0 / frame.scale), self._width() / frame.scale
        assert not isinstance(context.features, Summed)  # a caller that sums by itself also assigns by itself
        return tiles.assigned(
            features, context.features, frame, own, width, context.exists, centred=self.is_centred, hard=hard
        )

    @property
    def is_centred(self) -> bool:
        """Whether distances come from products, which are taken relative to the features' centre."""
        return self.distances == "product"

    def _width(self) -> jax.Array:
        """The square root of the temperature: a length, which is in range wherever the features are."""
        temperature = jnp.maximum(self.temperature, self.temperature_floor)
        is_cold = temperature <= 0  # a square root has no slope there
        return jnp.where(is_cold, 0.0, jnp.sqrt(jnp.where(is_cold, 1.0, temperature)))


def attraction(
    *,
    temperature: Scalar,
    rate: Scalar = 1.0,
    mass_floor: Scalar = 0.0,
    temperature_floor: Scalar = 0.0,
    distances: Literal["product", "difference"] = "product",
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
        temperature: `T` `[]`, in squared units of the features, from 0 (a Lloyd step; ties are shared) to infinity
            (every feature is shared by all tokens). Values below the rounding error of the squared distances act like
            that rounding error.
        rate: `\eta` `[]`; at 1 a token jumps to its mean. Between 0 and 2 the free energy falls at every step.
        mass_floor: `\epsilon` `[]`, added to the mass.
        temperature_floor: the lowest effective temperature `[]`.
        distances: ``"product"``, the fast form, computes squared distances with one matrix product; in float32 their
            rounding error is about `D^(1/2) 10^-7` times the squared spread of the features, and must stay far below
            `T`. ``"difference"`` subtracts first; its rounding error is `10^-7` times the distance itself (static).

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
    return built(
        Attraction,
        temperature=temperature,
        rate=rate,
        mass_floor=mass_floor,
        temperature_floor=temperature_floor,
        distances=checks.choice("distances", distances, ("product", "difference")),
    )
