"""Codebooks that are products of small ones: numbers of codes without the codebook.

A code is one level in each of a few dimensions; its number is a mixed-radix number. Nothing of the size of the product
is ever made, and where the product exceeds int32 the levels themselves are the indices.
"""

from __future__ import annotations

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np

from tokdyn import checks
from tokdyn.autoencoder.quantizers.common import integer_indices
from tokdyn.autoencoder.quantizers.usage import usage

LARGEST_PRODUCT = 2**31  # the largest index is one less, and fits int32
LARGEST_COUNTED = 2**16  # beyond, usage is counted by dimension


@dataclasses.dataclass(frozen=True)
class Product:
    """The arithmetic of one product codebook.

    Attributes:
        sizes: levels of each dimension.
        joint: whether indices are one number, `[..., cells]`, or one a dimension, `[..., cells, dimensions]`.
        first_is_smallest: whether the first dimension is the least significant digit.
    """

    sizes: tuple[int, ...]
    joint: bool
    first_is_smallest: bool = True

    @property
    def codebook_sizes(self) -> tuple[int, ...]:
        """Number of codes that each column of the indices chooses from."""
        return (math.prod(self.sizes),) if self.joint else self.sizes

    @property
    def counted_sizes(self) -> tuple[int, ...]:
        """Number of codes in each row of the usage."""
        return self.codebook_sizes if self._counts_jointly else self.sizes

    @property
    def _counts_jointly(self) -> bool:
        return self.joint and math.prod(self.sizes) <= LARGEST_COUNTED

    def pack(self, levels: jax.Array) -> jax.Array:
        """Indices of levels `[..., cells, dimensions]` int32."""
        return jnp.sum(levels * self._basis(), axis=-1, dtype=jnp.int32) if self.joint else levels

    def unpack(self, indices: jax.Array | np.ndarray) -> tuple[jax.Array, jax.Array]:
        """Levels `[..., cells, dimensions]` of indices, and which cells `[..., cells]` have an index at all."""
        indices = integer_indices(indices, columns=None if self.joint else len(self.sizes))
        if self.joint:
            levels = indices[..., None] // self._basis() % np.asarray(self.sizes, np.int32)
            # Below 2^31 codes an index may be too large; all of int32 that is not negative is inside otherwise.
            limit = np.int32(math.prod(self.sizes) - 1)
            return levels, (indices >= 0) & (indices <= limit)
        inside = (indices >= 0) & (indices < np.asarray(self.sizes, np.int32))
        return indices, jnp.all(inside, axis=-1)

    def counts(self) -> jax.Array:
        """Zero counts `[rows, codes]`."""
        return jnp.zeros((len(self.counted_sizes), max(self.counted_sizes)), jnp.int32)

    def count(self, levels: jax.Array, mask: jax.Array) -> jax.Array:
        """Usage `[rows, codes]` of levels `[..., cells, dimensions]`."""
        if self._counts_jointly:
            return usage(self.pack(levels), math.prod(self.sizes), mask)
        return usage(levels, max(self.sizes), mask, codebooks=len(self.sizes))

    def _basis(self) -> np.ndarray:
        sizes = self.sizes if self.first_is_smallest else self.sizes[::-1]
        basis = np.cumprod((1, *sizes[:-1]), dtype=np.int64).astype(np.int32)
        return basis if self.first_is_smallest else basis[::-1]


class OfProduct:
    """What quantizers whose codebook is a ``Product`` say of their codes."""

    joint: bool

    @property
    def _product(self) -> Product:
        raise NotImplementedError(f"{type(self).__name__} must define _product")

    @property
    def codebook_sizes(self) -> tuple[int, ...]:
        """Number of codes that each column of the indices chooses from."""
        return self._product.codebook_sizes

    @property
    def counted_sizes(self) -> tuple[int, ...]:
        """Number of codes in each row of ``state["usage"]``."""
        return self._product.counted_sizes

    @property
    def has_codebook_axis(self) -> bool:
        """Whether indices have a last axis of codebooks."""
        return not self.joint

    @property
    def code_rank(self) -> int:
        """How many axes of codes come after that of the cells."""
        return 1


def product(name: str, sizes: tuple[int, ...], joint: bool | None, *, first_is_smallest: bool = True) -> Product:
    """A product codebook; joint None decides by size.

    Raises:
        ValueError: joint indices of a product beyond 2^31.
    """
    fits = math.prod(sizes) <= LARGEST_PRODUCT
    if joint and not fits:
        expected = "a product of at most 2^31 codes for joint int32 indices (joint=False gives one index a dimension)"
        raise checks.bad(name, expected, f"{math.prod(sizes)} codes")
    return Product(sizes, fits if joint is None else bool(joint), first_is_smallest)
