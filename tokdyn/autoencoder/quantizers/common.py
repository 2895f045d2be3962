"""What all quantizers share: cleaning of inputs, projections, gradients that pass a choice, masked means.

Numbers about codes are float32 at least, whatever the inputs are: bf16 has 8 bits of mantissa, and arithmetic on
indices in it silently merges codes (1001 becomes 1000).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from tokdyn import checks, draws, keys
from tokdyn.autoencoder.base import Code
from tokdyn.numerics import safe_norm
from tokdyn.typing import PyTree

# Below this length a vector has no direction (also the floor of the oracle's normalisation).
MIN_NORM = 1e-6

GRADIENTS = ("straight_through", "rotation")


class Cells(NamedTuple):
    """Cleaned inputs.

    Attributes:
        values: `[..., cells, channels]`, float32 at least, zero where masked.
        mask: `[..., cells]` bool.
        dtype: of the inputs, which the outputs get back.
    """

    values: jax.Array
    mask: jax.Array
    dtype: Any


def prepare(inputs: PyTree, mask: ArrayLike | None, channels: int) -> Cells:
    """Inputs `[..., cells, channels]` and a mask `[..., cells]`, checked; what is masked may be NaN.

    Raises:
        ValueError: another number of channels, no cells axis, not floating, or a mask of another shape or dtype.
    """
    expected = f"a floating-point array [..., cells, {channels}]"
    if not hasattr(inputs, "dtype") or not jnp.issubdtype(inputs.dtype, jnp.floating):
        raise checks.bad("inputs", expected, checks.describe_array(inputs))
    if inputs.ndim < 2 or inputs.shape[-1] != channels:
        raise checks.bad("inputs", expected, checks.describe_array(inputs))
    values = jnp.asarray(inputs, jnp.promote_types(inputs.dtype, jnp.float32))
    if mask is None:
        return Cells(values, jnp.ones(inputs.shape[:-1], bool), inputs.dtype)
    mask = jnp.asarray(mask)
    if mask.shape != inputs.shape[:-1] or mask.dtype != jnp.bool_:
        raise checks.bad("mask", f"a boolean array {inputs.shape[:-1]}", checks.describe_array(mask))
    return Cells(jnp.where(mask[..., None], values, 0.0), mask, inputs.dtype)


def finish(
    cells: Cells, values: jax.Array, indices: jax.Array, loss: jax.Array, *, codebook_axis: bool = False
) -> Code:
    """A code whose masked cells have the value 0 and the index -1, in the dtype of the inputs."""
    mask = cells.mask
    values = jnp.where(mask[..., None], values, 0.0).astype(cells.dtype)
    indices = jnp.where(mask[..., None] if codebook_axis else mask, indices, -1).astype(jnp.int32)
    return Code(values, indices, loss)


def masked_mean_square(difference: jax.Array, mask: jax.Array) -> jax.Array:
    """Mean square over the channels of the cells that exist `[]`; 0 where none does."""
    total = jnp.sum(jnp.where(mask[..., None], difference**2, 0.0))
    return total / (jnp.maximum(jnp.sum(mask), 1).astype(total.dtype) * difference.shape[-1])


def unit(vectors: jax.Array) -> jax.Array:
    """Vectors of length one along the last axis; those shorter than 1e-6 are divided by that."""
    return vectors / jnp.maximum(safe_norm(vectors), MIN_NORM)[..., None]


def straight_through(inputs: jax.Array, codes: jax.Array) -> jax.Array:
    """The codes, to the last bit, with the gradient of the inputs.

    Args:
        inputs: what was quantised, any shape.
        codes: what came out, of that shape.

    Returns:
        codes, whose derivative by inputs is the identity.

    References:
        Y. Bengio, N. Leonard, A. Courville, Estimating or propagating gradients through stochastic neurons, 2013.
    """
    return jax.lax.stop_gradient(codes) + (inputs - jax.lax.stop_gradient(inputs))


def rotation(inputs: jax.Array, codes: jax.Array) -> jax.Array:
    r"""The codes, with the gradient of the rotation and rescaling that carries each input onto its code.

    .. math:: q = \frac{|q|}{|x|} R x,\qquad R = I - 2 w w^T + 2 \hat q \hat x^T,\quad w = (\hat x + \hat q) / |...|

    with the matrix held constant. Angles between an input and its gradient survive, which the straight-through
    estimate loses. Inputs shorter than 1e-6 have no direction: they get the straight-through gradient.

    Args:
        inputs: `[..., channels]`.
        codes: `[..., channels]`.

    Returns:
        codes, to the last bit.

    References:
        C. Fifty et al., Restructuring vector quantization with the rotation trick, ICLR 2025 (arXiv 2410.06424).
    """
    fixed, codes = jax.lax.stop_gradient((inputs, codes))
    length = safe_norm(fixed)[..., None]
    source, target = unit(fixed), unit(codes)
    middle = unit(source + target)
    scale = safe_norm(codes)[..., None] / jnp.maximum(length, MIN_NORM)
    turned = inputs - 2.0 * _dot(inputs, middle) * middle + 2.0 * _dot(inputs, source) * target
    carried = jnp.where(length < MIN_NORM, inputs, scale * turned)
    return codes + (carried - jax.lax.stop_gradient(carried))


def passed(inputs: jax.Array, codes: jax.Array, gradient: str) -> jax.Array:
    """The codes with the named gradient (``"straight_through"`` or ``"rotation"``)."""
    return rotation(inputs, codes) if gradient == "rotation" else straight_through(inputs, codes)


def projections(key: jax.Array, channels: int, code_channels: int) -> dict[str, Any]:
    """Affine maps in and out, as params; none where the two numbers of channels agree."""
    if channels == code_channels:
        return {}
    return {
        "project_in": _affine(keys.for_purpose(key, "project_in"), channels, code_channels),
        "project_out": _affine(keys.for_purpose(key, "project_out"), code_channels, channels),
    }


def project(params: dict[str, Any], name: str, values: jax.Array) -> jax.Array:
    """One of the two affine maps, or the identity where there is none."""
    if name not in params:
        return values
    kernel = params[name]["kernel"].astype(values.dtype)
    bias = params[name]["bias"].astype(values.dtype)
    return jnp.matmul(values, kernel, precision=jax.lax.Precision.HIGHEST) + bias


def input_channels(params: dict[str, Any], code_channels: int) -> int:
    """How many channels the inputs must have."""
    return params["project_in"]["kernel"].shape[0] if "project_in" in params else code_channels


def floating_codes(codes: jax.Array | np.ndarray, channels: int) -> jax.Array:
    """Codes `[..., channels]` in float32 at least.

    Raises:
        ValueError: not floating, or another number of channels.
    """
    is_floating = hasattr(codes, "dtype") and jnp.issubdtype(codes.dtype, jnp.floating)
    if not is_floating or codes.ndim < 1 or codes.shape[-1] != channels:
        raise checks.bad("codes", f"a floating-point array [..., {channels}]", checks.describe_array(codes))
    return jnp.asarray(codes, jnp.promote_types(codes.dtype, jnp.float32))


def integer_indices(indices: jax.Array | np.ndarray, *, columns: int | None) -> jax.Array:
    """Indices as int32, `[..., cells]`, or `[..., cells, columns]` where columns is a number.

    Raises:
        ValueError: not integers, or another last axis.
    """
    expected = "an integer array [..., cells" + ("]" if columns is None else f", {columns}]")
    is_integer = hasattr(indices, "dtype") and jnp.issubdtype(indices.dtype, jnp.integer)
    if not is_integer or (columns is not None and (indices.ndim < 1 or indices.shape[-1] != columns)):
        raise checks.bad("indices", expected, checks.describe_array(indices))
    return jnp.asarray(indices).astype(jnp.int32)


def _affine(key: jax.Array, inputs: int, outputs: int) -> dict[str, jax.Array]:
    bound = 1.0 / np.sqrt(inputs)
    kernel = draws.uniform(key, (inputs, outputs), None, -bound, bound)
    return {"kernel": kernel, "bias": jnp.zeros(outputs, kernel.dtype)}


def _dot(left: jax.Array, right: jax.Array) -> jax.Array:
    return jnp.sum(left * right, axis=-1, keepdims=True)
