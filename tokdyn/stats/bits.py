"""Random bits for resampling on the host, from one program for all samples of similar size.

JAX generates the bits from a key, and NumPy does the rest: for the sums that statistics need it is as fast, and it
compiles nothing.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tokdyn.compiling import Effort, jitted

_ELEMENTS_PER_BLOCK = 2**20  # numbers drawn at a time: 8 MB
_MOST_PER_BLOCK = 512
_FEW = 2**21  # from this total on, compiling with full effort (0.4 s) pays
_KEPT = 2**22  # up to this total the bits of the last calls are kept: 16 MB each
_LEAST_WIDTH = 64  # smallest number of random numbers per resample: its program serves all smaller samples


def blocks_of_bits(key: jax.Array, width: int, num: int, *, size: int) -> Iterator[np.ndarray]:
    """Random bits for at least num resamples, `[block, width]` uint32 at a time; the last block may pass the end.

    Resample i has a key of its own, ``fold_in(key, i)``, so that the block size does not affect the result. More bits
    are drawn than requested, up to the next power of two, so that samples of 300, 299 and 260 items share a program.

    Args:
        key: a JAX key.
        width: number of random numbers per resample.
        num: number of resamples.
        size: how many numbers are computed from one resample; the more, the fewer resamples form a block.
    """
    drawn = 1 << (max(width, _LEAST_WIDTH) - 1).bit_length()
    block = per_block(max(size, drawn))
    effort: Effort = "little" if num * drawn <= _FEW else "usual"
    if num * drawn <= _KEPT:
        # Tables resample many arms by one key: as it must be, all by the same draws.
        data = np.asarray(jax.random.key_data(key))
        blocks = iter(_kept(data.tobytes(), str(jax.random.key_impl(key)), num, block, drawn, effort))
    else:
        blocks = _blocks(key, num, block, drawn, effort)
    for bits in blocks:
        yield bits[:, :width]


def _blocks(key: jax.Array, num: int, block: int, drawn: int, effort: Effort) -> Iterator[np.ndarray]:
    for first in range(0, num, block):
        yield np.asarray(_program(effort)(key, np.uint32(first), block=block, width=drawn))


@functools.lru_cache(maxsize=2)
def _kept(data: bytes, impl: str, num: int, block: int, drawn: int, effort: Effort) -> tuple[np.ndarray, ...]:
    key = jax.random.wrap_key_data(jnp.asarray(np.frombuffer(data, np.uint32)), impl=impl)
    return tuple(_blocks(key, num, block, drawn, effort))


def per_block(elements: int) -> int:
    """How many objects with ``elements`` numbers each are made at a time."""
    return int(np.clip(_ELEMENTS_PER_BLOCK // elements, 1, _MOST_PER_BLOCK))


@functools.cache
def _program(effort: Effort) -> Callable[..., Any]:
    return jitted(_bits, effort, static_argnames=("block", "width"))


def _bits(key: jax.Array, first: jax.Array, *, block: int, width: int) -> jax.Array:
    def one(index: jax.Array) -> jax.Array:
        return jax.random.bits(jax.random.fold_in(key, index), (width,), dtype=jnp.uint32)

    return jax.vmap(one)(first + jnp.arange(block, dtype=jnp.uint32))
