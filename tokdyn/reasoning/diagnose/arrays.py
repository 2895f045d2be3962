"""One text of a diagnostic for NumPy's arrays and for jax's.

Saved runs are NumPy arrays, and small: NumPy takes their means and cosines as quickly as a compiled program would, and
nobody waits for a compiler. Arrays of jax, traced or not, stay with jax: the same lines then work under jit and vmap.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tokdyn.numerics import namespace
from tokdyn.typing import EitherArray


def program(function: Callable[..., Any], *values: Any, static: tuple[str, ...] = ()) -> Callable[..., Any]:
    """The function itself for values of NumPy; compiled once, on first use, for those of jax."""
    return function if namespace(*values) is np else _jitted(function, static)


def product(left: EitherArray, right: EitherArray) -> Any:
    """Matrix product in full precision; a GPU would round float32 to fewer digits."""
    return left @ right if namespace(left, right) is np else jnp.matmul(left, right, precision="highest")


def log_softmax(logits: EitherArray) -> Any:
    """Over the last axis."""
    if namespace(logits) is jnp:
        return jax.nn.log_softmax(logits, axis=-1)
    from scipy import special

    return special.log_softmax(logits, axis=-1)


def each(function: Callable[[Any], Any], rows: EitherArray) -> Any:
    """``function(rows[0])``, ``function(rows[1])``, ...: one after the other in NumPy, batched in jax."""
    return np.stack([function(row) for row in rows]) if namespace(rows) is np else jax.vmap(function)(rows)


def one_by_one(function: Callable[[Any], Any], rows: EitherArray) -> Any:
    """The same without a batch, for functions that return an array or a tuple of arrays."""
    if namespace(rows) is jnp:
        return jax.lax.map(function, rows)
    return jax.tree.map(lambda *parts: np.stack(parts), *[function(row) for row in rows])


@functools.cache
def _jitted(function: Callable[..., Any], static: tuple[str, ...]) -> Callable[..., Any]:
    return jax.jit(function, static_argnames=static)
