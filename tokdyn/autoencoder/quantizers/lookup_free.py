"""Lookup-free quantisation: each channel becomes its sign, one bit of the code's number."""

from __future__ import annotations

import itertools
from typing import Any

import jax
import jax.numpy as jnp

from tokdyn import checks
from tokdyn.autoencoder.base import Code, Variables
from tokdyn.autoencoder.quantizers import common
from tokdyn.autoencoder.quantizers.product import OfProduct, Product, product
from tokdyn.dynamics.parts import part, static

# Beyond this a bit is certain to the last digit of float64; the cut keeps inf * 0 out.
_LARGEST_LOGIT = 800.0
_TINY = 1e-30


@part
class LookupFreeQuantizer(OfProduct):
    """See ``lookup_free_quantizer``."""

    entropy_weight: jax.Array
    commitment: jax.Array
    diversity: jax.Array
    inverse_temperature: jax.Array
    bits: int = static()
    joint: bool = static(default=True)
    joint_bits: int = static(default=12)

    @property
    def _product(self) -> Product:
        return Product((2,) * self.bits, self.joint, first_is_smallest=False)

    def init(self, key: jax.Array, channels: int) -> Variables:
        channels = checks.whole_number("channels", channels, at_least=1)
        params = common.projections(key, channels, self.bits)
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
        cells = common.prepare(inputs, mask, common.input_channels(params, self.bits))
        projected = common.project(params, "project_in", cells.values)
        signs = (projected > 0).astype(jnp.int32)
        codes = _code(signs, projected.dtype)
        loss = self._loss(projected, codes, cells.mask)
        values = common.project(params, "project_out", common.straight_through(projected, codes))
        if train:
            state = {**state, "usage": state["usage"] + self._product.count(signs, cells.mask)}
        return common.finish(cells, values, self._product.pack(signs), loss, codebook_axis=not self.joint), state

    def codes_of(self, variables: Variables, indices: jax.Array) -> jax.Array:
        """Codes `[..., cells, bits]`, -1 or 1, of indices; zero where an index is outside the codebook."""
        signs, exists = self._product.unpack(indices)
        return jnp.where(exists[..., None], _code(signs, jnp.result_type(float)), 0.0)

    def indices_of(self, variables: Variables, codes: jax.Array) -> jax.Array:
        """Indices int32 of the signs of codes `[..., cells, bits]`."""
        return self._product.pack((common.floating_codes(codes, self.bits) > 0).astype(jnp.int32))

    def values_of(self, variables: Variables, indices: jax.Array) -> jax.Array:
        """What the decoder gets for indices: `[..., cells, channels]`, zero where masked (-1)."""
        _, exists = self._product.unpack(indices)
        values = common.project(variables["params"], "project_out", self.codes_of(variables, indices))
        return jnp.where(exists[..., None], values, 0.0)

    def entropies(self, projected: jax.Array, mask: jax.Array | None = None) -> tuple[jax.Array, jax.Array]:
        """The two entropies of the loss, in nats: each cell's own, on average, and that of all cells together.

        Args:
            projected: what is quantised `[..., cells, bits]`.
            mask: `[..., cells]`.

        Returns:
            `[]` and `[]`.
        """
        mask = jnp.ones(projected.shape[:-1], bool) if mask is None else mask
        sharpness = 4.0 * jnp.asarray(self.inverse_temperature, projected.dtype)
        logits = jnp.clip(sharpness * projected, -_LARGEST_LOGIT, _LARGEST_LOGIT)
        return cell_entropy(logits, mask), codebook_entropy(logits, mask, joint_bits=self.joint_bits)

    def _loss(self, projected: jax.Array, codes: jax.Array, mask: jax.Array) -> jax.Array:
        dtype = projected.dtype
        own, together = self.entropies(projected, mask)
        entropy = own - jnp.asarray(self.diversity, dtype) * together
        distance = common.masked_mean_square(projected - codes, mask)
        return jnp.asarray(self.entropy_weight, dtype) * entropy + jnp.asarray(self.commitment, dtype) * distance


def cell_entropy(logits: jax.Array, mask: jax.Array) -> jax.Array:
    """Mean entropy of the codes of one cell `[]` in nats: bits are independent in a cell, so entropies of bits add.

    Args:
        logits: of each bit being 1 `[..., cells, bits]`.
        mask: `[..., cells]`.

    Returns:
        From 0 to ``bits * log(2)``; 0 where no cell exists.
    """
    size = jnp.abs(logits)
    # Of the size, since softplus(l) - l * sigmoid(l) loses all digits for large l.
    entropy = jnp.sum(jax.nn.softplus(-size) + size * jax.nn.sigmoid(-size), axis=-1)
    return jnp.sum(jnp.where(mask, entropy, 0.0)) / jnp.maximum(jnp.sum(mask), 1).astype(entropy.dtype)


def codebook_entropy(logits: jax.Array, mask: jax.Array, *, joint_bits: int = 12) -> jax.Array:
    """Entropy of the mean over cells of their distributions over codes `[]`, in nats.

    Over all cells bits are *not* independent, and the exact entropy needs every code once. Its mean probability is one
    entry of a product of two matrices, each over half of the bits, so that nothing of cells times codes is made.
    Beyond joint_bits the bits are split into groups, whose entropies add to an upper bound.

    Args:
        logits: of each bit being 1 `[..., cells, bits]`.
        mask: `[..., cells]`.
        joint_bits: largest group; static.

    Returns:
        From 0 to ``bits * log(2)``; 0 where no cell exists.
    """
    bits = logits.shape[-1]
    flat = logits.reshape(-1, bits)
    kept = mask.reshape(-1, 1)
    weight = kept.astype(flat.dtype) / jnp.maximum(jnp.sum(mask), 1).astype(flat.dtype)
    total = jnp.zeros((), flat.dtype)
    number = -(-bits // joint_bits)
    edges = [bits * group // number for group in range(number + 1)]
    for low, high in itertools.pairwise(edges):
        middle = (low + high) // 2
        left = weight * _probabilities(flat[:, low:middle])
        right = _probabilities(flat[:, middle:high])
        shares = jnp.matmul(left.T, right, precision=jax.lax.Precision.HIGHEST)
        total -= jnp.sum(shares * jnp.log(jnp.maximum(shares, _TINY)))
    return total


def lookup_free_quantizer(
    *,
    bits: int,
    entropy_weight: float = 0.1,
    commitment: float = 0.25,
    diversity: float = 1.0,
    inverse_temperature: float = 100.0,
    joint: bool | None = None,
    joint_bits: int = 12,
) -> LookupFreeQuantizer:
    r"""Each of ``bits`` channels becomes its sign; the loss wants sure cells and an evenly used codebook.

    .. math:: q = \mathrm{sign}(x),\qquad
              \ell = w \Big( \overline{H(p(\cdot|x))} - \gamma H\big(\overline{p(\cdot|x)}\big) \Big)
                     + c\,\overline{(x - q)^2},\qquad p(k|x) \propto e^{2 \beta x \cdot c_k}

    with entropies in nats. The first is exact for any number of bits, the second up to joint_bits (an upper bound
    beyond, see ``codebook_entropy``). Zero counts as negative. The gradient of the sign is straight-through.

    Args:
        bits: channels of a code; where inputs have another number, trained affine maps lead in and out. Static.
        entropy_weight: `w` `[]`.
        commitment: `c` `[]` (vector-quantize-pytorch has 0 by default).
        diversity: `\gamma` `[]`.
        inverse_temperature: `\beta` `[]`.
        joint: indices are one number a cell, the first channel the most significant bit; False gives the bits
            `[..., cells, bits]`; None takes the first up to 31 bits. Static.
        joint_bits: largest group of bits whose joint entropy is taken; static.

    Returns:
        A bottleneck. ``state["usage"]`` is `[1, codes]`, or `[bits, 2]` beyond 16 bits.

    Raises:
        ValueError: fewer than one bit, a number below its limit, or joint indices of more than 31 bits; in ``apply``
            another number of channels.

    References:
        L. Yu et al., Language model beats diffusion: tokenizer is key to visual generation, ICLR 2024
        (arXiv 2310.05737).

    Example:
        >>> import jax.numpy as jnp
        >>> from tokdyn.autoencoder import quantizers
        >>> quantizer = quantizers.lookup_free_quantizer(bits=3)
        >>> code, _ = quantizer.apply({"params": {}, "state": {}}, jnp.array([[0.3, -0.2, 1.5]]))
        >>> code.values.tolist(), code.indices.tolist()
        ([[1.0, -1.0, 1.0]], [5])
    """
    bits = checks.whole_number("bits", bits, at_least=1)
    return LookupFreeQuantizer(
        entropy_weight=checks.hyperparameter("entropy_weight", entropy_weight, at_least=0.0),
        commitment=checks.hyperparameter("commitment", commitment, at_least=0.0),
        diversity=checks.hyperparameter("diversity", diversity, at_least=0.0),
        inverse_temperature=checks.hyperparameter("inverse_temperature", inverse_temperature, above=0.0),
        bits=bits,
        joint=product("bits", (2,) * bits, joint, first_is_smallest=False).joint,
        joint_bits=checks.whole_number("joint_bits", joint_bits, at_least=1),
    )


def _code(signs: jax.Array, dtype: Any) -> jax.Array:
    return signs.astype(dtype) * 2.0 - 1.0


def _probabilities(logits: jax.Array) -> jax.Array:
    """Probabilities `[N, 2^bits]` of all codes of independent bits `[N, bits]`."""
    product = jnp.ones((logits.shape[0], 1), logits.dtype)
    for bit in range(logits.shape[1]):
        pair = jnp.stack([jax.nn.sigmoid(-logits[:, bit]), jax.nn.sigmoid(logits[:, bit])], axis=-1)
        product = (product[:, :, None] * pair[:, None, :]).reshape(logits.shape[0], -1)
    return product
