"""Random bits for resampling on the host: one program for all samples of about one size.

The bits are jax's, from a key; what is made of them is NumPy's, which is as quick for the sums that statistics need and
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
_FEW = 2**21  # numbers in all that are drawn before compiling well (0.4 s) has paid
_LEAST_WIDTH = 64  # random numbers of a resample: the program for so many serves all smaller samples


def blocks_of_bits(key: jax.Array, width: int, num: int, *, size: int) -> Iterator[np.ndarray]:
    """Random bits of at least num resamples, `[block, width]` uint32 at a time; the last block may be past the end.

    Resample i has a key of its own, ``fold_in(key, i)``, so that the block does not show. More bits than asked for are
    drawn, up to the next power of two: samples of 300, 299 and 260 items share a program.

    Args:
        key: a JAX key.
        width: random numbers of a resample.
        num: resamples.
        size: numbers that are made of one resample; fewer resamples make a block where they are many.
    """
    drawn = 1 << (max(width, _LEAST_WIDTH) - 1).bit_length()
    block = per_block(max(size, drawn))
    program = _program("little" if num * drawn <= _FEW else "usual")
    for first in range(0, num, block):
        yield np.asarray(program(key, np.uint32(first), block=block, width=drawn))[:, :width]


def per_block(elements: int) -> int:
    """How many things of so many numbers each are made at a time."""
    return int(np.clip(_ELEMENTS_PER_BLOCK // elements, 1, _MOST_PER_BLOCK))


@functools.cache
def _program(effort: Effort) -> Callable[..., Any]:
    return jitted(_bits, effort, static_argnames=("block", "width"))


def _bits(key: jax.Array, first: jax.Array, *, block: int, width: int) -> jax.Array:
    def one(index: jax.Array) -> jax.Array:
        return jax.random.bits(jax.random.fold_in(key, index), (width,), dtype=jnp.uint32)

    return jax.vmap(one)(first + jnp.arange(block, dtype=jnp.uint32))
