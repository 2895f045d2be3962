"""Quantizers: bottlenecks whose codes are numbered vectors, explicit (a codebook) or implicit (levels, signs).

Each is a part with ``init(key, channels)`` and ``apply(variables, inputs, key=..., train=..., mask=...)``; further
``codes_of``, ``indices_of`` (each other's inverse on codes) and ``values_of`` (what a decoder gets for indices). Cells
that the mask leaves out have the value 0 and the index -1.
"""

from __future__ import annotations

from typing import Any

import jax

from tokdyn.autoencoder.base import Variables
from tokdyn.autoencoder.quantizers.catalog import CATALOG
from tokdyn.autoencoder.quantizers.codebook import kmeans, nearest
from tokdyn.autoencoder.quantizers.common import rotation, straight_through
from tokdyn.autoencoder.quantizers.lookup_free import LookupFreeQuantizer, lookup_free_quantizer
from tokdyn.autoencoder.quantizers.scalar import FiniteScalarQuantizer, finite_scalar_quantizer
from tokdyn.autoencoder.quantizers.stacked import (
    GroupedQuantizer,
    ResidualQuantizer,
    grouped_quantizer,
    residual_quantizer,
)
from tokdyn.autoencoder.quantizers.usage import active_share, dead_codes, perplexity, reset_usage, usage
from tokdyn.autoencoder.quantizers.vector import VectorQuantizer, vector_quantizer

__all__ = [
    "CATALOG",
    "FiniteScalarQuantizer",
    "GroupedQuantizer",
    "LookupFreeQuantizer",
    "ResidualQuantizer",
    "VectorQuantizer",
    "active_share",
    "codes_to_indices",
    "dead_codes",
    "finite_scalar_quantizer",
    "grouped_quantizer",
    "indices_to_codes",
    "indices_to_values",
    "kmeans",
    "lookup_free_quantizer",
    "nearest",
    "perplexity",
    "reset_usage",
    "residual_quantizer",
    "rotation",
    "straight_through",
    "usage",
    "vector_quantizer",
]


def indices_to_codes(quantizer: Any, variables: Variables, indices: jax.Array) -> jax.Array:
    """The codes of indices, before any map out to the channels of the pattern.

    Args:
        quantizer: any of this package.
        variables: its own, from ``init`` or training.
        indices: integers `[..., cells]`, or `[..., cells, codebooks]`.

    Returns:
        `[..., cells, code channels]`; `[..., cells, copies, ...]` from residual and grouped quantizers, where each copy
        has its own code. Zero where an index is negative or beyond the codebook.

    Raises:
        ValueError: indices that are no integers, or another number of codebooks.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from tokdyn.autoencoder import quantizers
        >>> quantizer = quantizers.finite_scalar_quantizer(levels=(5, 3))
        >>> variables = quantizer.init(jax.random.key(0), channels=2)
        >>> codes = quantizers.indices_to_codes(quantizer, variables, jnp.array([0, 3, 14]))
        >>> codes.tolist(), quantizers.codes_to_indices(quantizer, variables, codes).tolist()
        ([[-1.0, -1.0], [0.5, -1.0], [1.0, 1.0]], [0, 3, 14])
    """
    return quantizer.codes_of(variables, indices)


def codes_to_indices(quantizer: Any, variables: Variables, codes: jax.Array) -> jax.Array:
    """The indices of codes: the inverse of ``indices_to_codes``, and the nearest code's index for other vectors.

    Args:
        quantizer: any of this package.
        variables: its own.
        codes: floating, of the shape that ``indices_to_codes`` returns; computed with in float32 or more.

    Returns:
        int32 `[..., cells]`, or `[..., cells, codebooks]`.

    Raises:
        ValueError: codes of another shape, or that are not floating.
    """
    return quantizer.indices_of(variables, codes)


def indices_to_values(quantizer: Any, variables: Variables, indices: jax.Array) -> jax.Array:
    """What a decoder gets for indices: ``Code.values`` again.

    Args:
        quantizer: any of this package.
        variables: its own.
        indices: as for ``indices_to_codes``; -1 (masked) gives 0, and in a residual quantizer leaves one layer out.

    Returns:
        `[..., cells, channels]`.

    Raises:
        ValueError: indices that are no integers, or another number of codebooks.
    """
    return quantizer.values_of(variables, indices)
