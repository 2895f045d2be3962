"""Quantizers made of quantizers: one after another on what is left over, or side by side on groups of channels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from tokdyn import checks, keys
from tokdyn.autoencoder.base import Code, Variables
from tokdyn.autoencoder.quantizers import common
from tokdyn.dynamics.parts import part, static


class _Layers:
    """What the two share: copies of one quantizer, their variables stacked along a leading axis.

    The copies' counts of usage are one array at the top of the state, so that it is in one place for every quantizer.
    """

    quantizer: Any

    @property
    def copies(self) -> int:
        """How many."""
        raise NotImplementedError

    @property
    def codebook_sizes(self) -> tuple[int, ...]:
        """Number of codes that each column of the indices chooses from."""
        return self.quantizer.codebook_sizes * self.copies

    @property
    def counted_sizes(self) -> tuple[int, ...]:
        """Number of codes in each row of ``state["usage"]``."""
        return self.quantizer.counted_sizes * self.copies

    @property
    def has_codebook_axis(self) -> bool:
        """Whether indices have a last axis of codebooks."""
        return True

    @property
    def code_rank(self) -> int:
        """How many axes of codes come after that of the cells."""
        return 1 + self.quantizer.code_rank

    def codes_of(self, variables: Variables, indices: jax.Array) -> jax.Array:
        """Codes of all copies `[..., cells, copies, ...]` of indices `[..., cells, codebooks]`; zero where -1."""
        copies, _ = self._columns(indices)
        return self._each(self.quantizer.codes_of, variables, copies, place=indices.ndim - 1)

    def indices_of(self, variables: Variables, codes: jax.Array) -> jax.Array:
        """Indices `[..., cells, codebooks]` of the copies' codes `[..., cells, copies, ...]`."""
        place = getattr(codes, "ndim", 0) - self.code_rank
        if place < 0 or codes.shape[place] != self.copies:
            expected = f"a floating-point array [..., cells, {self.copies}, ...]"
            raise checks.bad("codes", expected, checks.describe_array(codes))
        found = self._each(self.quantizer.indices_of, variables, jnp.moveaxis(codes, place, 0), place=place)
        return found.reshape(*found.shape[:place], -1)

    def _values(self, variables: Variables, indices: jax.Array) -> jax.Array:
        """What each copy makes of its indices `[..., cells, copies, channels]`."""
        copies, place = self._columns(indices)
        return self._each(self.quantizer.values_of, variables, copies, place=place)

    def _columns(self, indices: jax.Array) -> tuple[jax.Array, int]:
        """Indices with the copies first, and the place where that axis was."""
        indices = common.integer_indices(indices, columns=len(self.codebook_sizes))
        own = (len(self.quantizer.codebook_sizes),) if self.quantizer.has_codebook_axis else ()
        place = indices.ndim - 1
        return jnp.moveaxis(indices.reshape(*indices.shape[:-1], self.copies, *own), place, 0), place

    def _each(self, function: Callable, variables: Variables, arrays: jax.Array, *, place: int) -> jax.Array:
        return jnp.moveaxis(jax.vmap(function)(self._split(variables), arrays), 0, place)

    def _init(self, key: jax.Array, channels: int) -> Variables:
        copies = jax.vmap(lambda one: self.quantizer.init(one, channels))(jax.random.split(key, self.copies))
        return {"params": copies["params"], "state": self._joined(copies["state"])}

    def _joined(self, state: Any) -> dict[str, Any]:
        """The copies' states with their counts taken out, to the top."""
        rest = {name: value for name, value in state.items() if name != "usage"}
        return {"usage": state["usage"].reshape(-1, state["usage"].shape[-1]), "copies": rest}

    def _split(self, variables: Variables) -> Variables:
        """The copies' variables along a leading axis."""
        counts = variables["state"]["usage"]
        counts = counts.reshape(self.copies, -1, counts.shape[-1])
        return {"params": variables["params"], "state": {**variables["state"]["copies"], "usage": counts}}

    def _flat(self, indices: jax.Array) -> jax.Array:
        """Indices `[copies, ..., cells(, own)]` as `[..., cells, codebooks]`."""
        if not self.quantizer.has_codebook_axis:
            return jnp.moveaxis(indices, 0, -1)
        indices = jnp.moveaxis(indices, 0, -2)
        return indices.reshape(*indices.shape[:-2], -1)


@part
class ResidualQuantizer(_Layers):
    """See ``residual_quantizer``."""

    quantizer: Any
    gradient_share: jax.Array
    depth: int = static()

    @property
    def copies(self) -> int:
        """How many."""
        return self.depth

    def init(self, key: jax.Array, channels: int) -> Variables:
        return self._init(key, checks.whole_number("channels", channels, at_least=1))

    def apply(
        self,
        variables: Variables,
        inputs: jax.Array,
        *,
        key: jax.Array | None = None,
        train: bool = False,
        mask: jax.Array | None = None,
    ) -> tuple[Code, Any]:
        cells = common.prepare(inputs, mask, jnp.shape(inputs)[-1] if jnp.ndim(inputs) else 0)
        share = jnp.asarray(self.gradient_share, cells.values.dtype)

        def layer(carry: tuple[jax.Array, jax.Array, jax.Array], number_and_variables: Any) -> Any:
            rest, total, loss = carry
            number, own = number_and_variables
            own_key = None if key is None else keys.for_step(key, number, "residual")
            code, state = self.quantizer.apply(own, rest, key=own_key, train=train, mask=cells.mask)
            fixed = jax.lax.stop_gradient(code.values)
            taken = fixed + share * (code.values - fixed)
            return (rest - taken, total + code.values, loss + code.loss), (code.indices, state)

        start = (cells.values, jnp.zeros_like(cells.values), jnp.zeros((), cells.values.dtype))
        layers = (jnp.arange(self.depth), self._split(variables))
        (_, total, loss), (indices, state) = jax.lax.scan(layer, start, layers)
        new = self._joined(state) if train else variables["state"]
        return common.finish(cells, total, self._flat(indices), loss, codebook_axis=True), new

    def values_of(self, variables: Variables, indices: jax.Array) -> jax.Array:
        """What the decoder gets for indices `[..., cells, codebooks]`: the sum of the codes; -1 leaves one out."""
        return jnp.sum(self._values(variables, indices), axis=-2)


@part
class GroupedQuantizer(_Layers):
    """See ``grouped_quantizer``."""

    quantizer: Any
    groups: int = static()

    @property
    def copies(self) -> int:
        """How many."""
        return self.groups

    def init(self, key: jax.Array, channels: int) -> Variables:
        channels = checks.whole_number("channels", channels, at_least=1)
        return self._init(key, self._width(channels))

    def apply(
        self,
        variables: Variables,
        inputs: jax.Array,
        *,
        key: jax.Array | None = None,
        train: bool = False,
        mask: jax.Array | None = None,
    ) -> tuple[Code, Any]:
        cells = common.prepare(inputs, mask, jnp.shape(inputs)[-1] if jnp.ndim(inputs) else 0)
        width = self._width(cells.values.shape[-1])
        shape = cells.values.shape[:-1]
        parts = jnp.moveaxis(cells.values.reshape(*shape, self.groups, width), -2, 0)

        # A loop, not vmap: the rare branches of a codebook (k-means, revival) stay rare.
        def group(_: None, number_and_rest: Any) -> Any:
            number, own, part_ = number_and_rest
            own_key = None if key is None else keys.for_step(key, number, "grouped")
            return None, self.quantizer.apply(own, part_, key=own_key, train=train, mask=cells.mask)

        _, (code, state) = jax.lax.scan(group, None, (jnp.arange(self.groups), self._split(variables), parts))
        values = jnp.moveaxis(code.values, 0, -2).reshape(*shape, -1)
        new = self._joined(state) if train else variables["state"]
        return common.finish(cells, values, self._flat(code.indices), jnp.sum(code.loss), codebook_axis=True), new

    def values_of(self, variables: Variables, indices: jax.Array) -> jax.Array:
        """What the decoder gets for indices `[..., cells, codebooks]`: the groups' codes side by side."""
        values = self._values(variables, indices)
        return values.reshape(*values.shape[:-2], -1)

    def _width(self, channels: int) -> int:
        if channels % self.groups:
            raise checks.bad("channels", f"a multiple of {self.groups} groups", channels)
        return channels // self.groups


def residual_quantizer(quantizer: Any, *, depth: int, gradient_share: float = 0.0) -> ResidualQuantizer:
    r"""Quantizers one after another, each on what the one before left over; the code is their sum.

    .. math:: r_0 = x,\quad q_l = Q_l(r_l),\quad r_{l+1} = r_l - q_l,\qquad q = \sum_l q_l

    Every layer has a codebook of its own; the losses add. By default the subtracted code passes no gradient, as in
    vector-quantize-pytorch: each straight-through layer then hands the whole gradient to the input, so that the input
    gets depth times the gradient of the code. ``gradient_share=1`` makes the sum's gradient once the identity.

    Args:
        quantizer: whose codes are vectors that can approach any residual, such as ``vector_quantizer(...)``.
        depth: number of layers; static.
        gradient_share: how much of a code's gradient passes the subtraction `[]`, from 0 to 1.

    Returns:
        A bottleneck with indices `[..., cells, depth]`, and usage `[depth, codes]`.

    Raises:
        ValueError: a depth below 1, a share outside its limits, or something that is no quantizer.

    References:
        N. Zeghidour et al., SoundStream: an end-to-end neural audio codec, 2021 (arXiv 2107.03312), algorithm 1.

    Example:
        >>> import jax
        >>> from tokdyn.autoencoder import quantizers
        >>> quantizer = quantizers.residual_quantizer(quantizers.vector_quantizer(num_codes=8), depth=3)
        >>> key = jax.random.key(0)
        >>> variables = quantizer.init(key, channels=4)
        >>> code, _ = quantizer.apply(variables, jax.random.normal(key, (2, 9, 4)))
        >>> code.indices.shape, bool((quantizer.values_of(variables, code.indices) == code.values).all())
        ((2, 9, 3), True)
    """
    share = checks.hyperparameter("gradient_share", gradient_share, at_least=0.0, below=1.0 + 1e-9)
    return ResidualQuantizer(_checked(quantizer), share, checks.whole_number("depth", depth, at_least=1))


def grouped_quantizer(quantizer: Any, *, groups: int) -> GroupedQuantizer:
    """Channels split into groups, each with a codebook of its own: a factorised codebook.

    The losses of the groups add. A residual quantizer may stand inside.

    Args:
        quantizer: of one group; any quantizer.
        groups: that divide the channels; static.

    Returns:
        A bottleneck with indices `[..., cells, codebooks]`, the codebooks of the first group first.

    Raises:
        ValueError: fewer than one group, or something that is no quantizer; in ``init`` and ``apply`` channels that
            the groups do not divide.

    References:
        D. Yang et al., HiFi-Codec: group-residual vector quantization for high fidelity audio codec, 2023.

    Example:
        >>> import jax
        >>> from tokdyn.autoencoder import quantizers
        >>> quantizer = quantizers.grouped_quantizer(quantizers.vector_quantizer(num_codes=8), groups=2)
        >>> key = jax.random.key(0)
        >>> variables = quantizer.init(key, channels=4)
        >>> code, _ = quantizer.apply(variables, jax.random.normal(key, (2, 9, 4)))
        >>> code.indices.shape, variables["state"]["usage"].shape
        ((2, 9, 2), (2, 8))
    """
    return GroupedQuantizer(_checked(quantizer), checks.whole_number("groups", groups, at_least=1))


def _checked(quantizer: Any) -> Any:
    if not hasattr(quantizer, "codes_of"):
        raise checks.bad("quantizer", "one such as vector_quantizer(num_codes=64)", f"a {type(quantizer).__name__}")
    return quantizer
