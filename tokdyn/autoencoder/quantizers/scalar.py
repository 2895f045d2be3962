"""Finite scalar quantisation: each channel is rounded to a few levels."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tokdyn import checks
from tokdyn.autoencoder.base import Code, Variables
from tokdyn.autoencoder.quantizers import common
from tokdyn.autoencoder.quantizers.product import OfProduct, Product, product
from tokdyn.dynamics.parts import part, static

# How far beyond the outermost levels the bounded channel reaches, as a share: so that those are reached at all.
OVERSHOOT = 1e-3


@part
class FiniteScalarQuantizer(OfProduct):
    """See ``finite_scalar_quantizer``."""

    levels: tuple[int, ...] = static()
    symmetric: bool = static(default=False)
    joint: bool = static(default=True)

    @property
    def _product(self) -> Product:
        return Product(self.levels, self.joint)

    def init(self, key: jax.Array, channels: int) -> Variables:
        channels = checks.whole_number("channels", channels, at_least=1)
        params = common.projections(key, channels, len(self.levels))
        return {"params": params, "state": {"usage": self._product.counts()}}

    def apply(
        self,
        variables: Variables,
        inputs: jax.Array,
        *,
        key: jax.Array | None = None,
        train: bool = False,
        mask: jax.Array | None = None,
    ) -> tuple[Code, Any]:
        params, state = variables["params"], variables["state"]
        cells = common.prepare(inputs, mask, common.input_channels(params, len(self.levels)))
        soft = self._bounded(common.project(params, "project_in", cells.values))
        levels = self._rounded(soft)
        values = common.straight_through(soft / self._half(soft.dtype) - 1.0, self._code(levels, soft.dtype))
        values = common.project(params, "project_out", values)
        if train:
            state = {**state, "usage": state["usage"] + self._product.count(levels, cells.mask)}
        loss = jnp.zeros((), soft.dtype)
        indices = self._product.pack(levels)
        return common.finish(cells, values, indices, loss, codebook_axis=not self.joint), state

    def codes_of(self, variables: Variables, indices: jax.Array) -> jax.Array:
        """Codes `[..., cells, dimensions]` of indices; zero where an index is outside the codebook."""
        levels, exists = self._product.unpack(indices)
        return jnp.where(exists[..., None], self._code(levels, jnp.result_type(float)), 0.0)

    def indices_of(self, variables: Variables, codes: jax.Array) -> jax.Array:
        """Indices int32 of codes `[..., cells, dimensions]`, each dimension rounded to its nearest level."""
        codes = common.floating_codes(codes, len(self.levels))
        half = self._half(codes.dtype)
        return self._product.pack(self._rounded(codes * half + half))

    def values_of(self, variables: Variables, indices: jax.Array) -> jax.Array:
        """What the decoder gets for indices: `[..., cells, channels]`, zero where masked (-1)."""
        _, exists = self._product.unpack(indices)
        values = common.project(variables["params"], "project_out", self.codes_of(variables, indices))
        return jnp.where(exists[..., None], values, 0.0)

    def level_indices(self, indices: jax.Array) -> jax.Array:
        """The level in each dimension, `[..., cells, dimensions]` int32 from 0; -1 where masked."""
        levels, exists = self._product.unpack(indices)
        return jnp.where(exists[..., None], levels, -1)

    def _half(self, dtype: Any) -> jax.Array:
        """Half the width in levels: code = level / half - 1."""
        sizes = np.asarray(self.levels)
        return jnp.asarray((sizes - 1) / 2 if self.symmetric else sizes // 2, dtype)

    def _bounded(self, inputs: jax.Array) -> jax.Array:
        """Each channel on the scale of its levels, from about 0 to levels - 1."""
        sizes = np.asarray(self.levels)
        if self.symmetric:
            return jnp.asarray((sizes - 1) / 2, inputs.dtype) * (jnp.tanh(inputs) + 1.0)
        reach = (sizes - 1) * (1 + OVERSHOOT) / 2
        offset = np.where(sizes % 2 == 0, 0.5, 0.0)
        shift, reach, lift = np.arctanh(offset / reach), reach, sizes // 2 - offset
        dtype = inputs.dtype
        return jnp.tanh(inputs + shift.astype(dtype)) * reach.astype(dtype) + lift.astype(dtype)

    def _rounded(self, soft: jax.Array) -> jax.Array:
        """The nearest level, int32; halves go up (an input of 0 is one, where levels are symmetric and even)."""
        soft = jax.lax.stop_gradient(soft)
        return jnp.clip(jnp.floor(soft + 0.5).astype(jnp.int32), 0, np.asarray(self.levels, np.int32) - 1)

    def _code(self, levels: jax.Array, dtype: Any) -> jax.Array:
        half = self._half(dtype)
        return (levels.astype(dtype) - half) / half


def finite_scalar_quantizer(
    *, levels: tuple[int, ...], symmetric: bool = False, joint: bool | None = None
) -> FiniteScalarQuantizer:
    r"""Each of ``len(levels)`` channels is bounded by a tanh and rounded to that many levels; no codebook, no loss.

    .. math:: \hat z = \mathrm{round}(h \tanh(z + s) - o) / \lfloor L / 2 \rfloor,\quad h = 1.001 (L - 1) / 2,\quad
              o = \tfrac12 [L\ \text{even}],\quad s = \mathrm{artanh}(o / h)

    Rounding has the straight-through gradient. The codebook, the product of the levels, is never made: 16 channels of 4
    levels (2^32 codes) quantise as fast as any. A code quantised again need not stay, since the tanh contracts.

    Args:
        levels: of each channel, at least 3 (2 where symmetric); where inputs have another number of channels, trained
            affine maps lead in and out. Static.
        symmetric: levels `2 k / (L - 1) - 1` instead, without offset; static.
        joint: indices are one number a cell `[..., cells]`, the first channel the least significant digit; False gives
            the levels' own numbers `[..., cells, dimensions]`; None takes the first where it fits int32. Static.

    Returns:
        A bottleneck whose loss is 0. ``state["usage"]`` is `[1, codes]`, or `[dimensions, levels]` where indices are
        not joint or codes more than 65,536.

    Raises:
        ValueError: no levels, too few of them, or joint indices of more than 2^31 codes; in ``apply`` another number of
            channels.

    References:
        F. Mentzer et al., Finite scalar quantization: VQ-VAE made simple, ICLR 2024 (arXiv 2309.15505);
        J. Parker et al., Scaling transformers for low-bitrate high-quality speech coding, 2024 (symmetric levels).

    Example:
        >>> import jax.numpy as jnp
        >>> from tokdyn.autoencoder import quantizers
        >>> quantizer = quantizers.finite_scalar_quantizer(levels=(5, 3))
        >>> code, _ = quantizer.apply({"params": {}, "state": {}}, jnp.array([[0.6, -9.0]]))
        >>> code.values.tolist(), code.indices.tolist()
        ([[0.5, -1.0]], [3])
    """
    if not isinstance(levels, (tuple, list)) or not levels:
        raise checks.bad("levels", "a tuple of at least one number of levels", repr(levels))
    sizes = tuple(checks.whole_number("levels", size, at_least=2) for size in levels)
    if not symmetric and min(sizes) < 3:
        # Two levels about an offset have their border at z = -3.8: all inputs would be one code.
        raise checks.bad("levels", "at least 3 in each channel (2 with symmetric=True)", sizes)
    return FiniteScalarQuantizer(sizes, bool(symmetric), product("levels", sizes, joint).joint)
