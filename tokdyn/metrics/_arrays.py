"""Helpers of the metrics: checks of ids, numbers and tables, and distances with a gradient everywhere."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from numpy.typing import ArrayLike

from tokdyn.checks import bad, boolean_mask, describe_array, hyperparameter, is_concrete
from tokdyn.numerics import namespace, squared_distances


def integers(name: str, value: object, *, length: int | None = None, xp: Any = jnp) -> jax.Array:
    """The value as an integer array ``[N]`` of ``xp``, which is NumPy or jax.numpy.

    Raises:
        ValueError: wrong rank, dtype or length.
    """
    expected = "an integer array [N]" + ("" if length is None else f" of length {length}")
    try:
        array = xp.asarray(value)
    except (TypeError, ValueError):
        raise bad(name, expected, describe_array(value)) from None
    wrong_length = length is not None and array.shape != (length,)
    if array.ndim != 1 or wrong_length or not jnp.issubdtype(array.dtype, jnp.integer):
        raise bad(name, expected, describe_array(array))
    # A narrow type may not hold every id: 300 does not fit into uint8, and comparisons would wrap around.
    return array.astype(jnp.int32) if array.dtype.itemsize < 4 else array


def integer(name: str, value: object, *, at_least: int) -> jax.Array:
    """An integer ``[]`` that may be traced; its range is checked if its value is known.

    Raises:
        ValueError: not a scalar, not an integer, or too small.
    """
    expected = f"an integer of at least {at_least}"
    try:
        array = jnp.asarray(value)
    except (TypeError, ValueError):
        raise bad(name, expected, describe_array(value)) from None
    if array.ndim != 0 or not jnp.issubdtype(array.dtype, jnp.integer):
        raise bad(name, expected, repr(value) if np.isscalar(value) else describe_array(array))
    if is_concrete(array) and array < at_least:
        raise bad(name, expected, int(array))
    return array


def number(name: str, value: object, dtype: DTypeLike, *, at_least: float) -> jax.Array:
    """A real number ``[]`` of the given dtype that may be traced; its range is checked if its value is known.

    Raises:
        ValueError: not a scalar, not a number, or too small.
    """
    array = jnp.asarray(hyperparameter(name, value, at_least=at_least))
    if array.ndim != 0:
        raise bad(name, f"a number of at least {at_least:g}", describe_array(array))
    return array.astype(dtype)


def counted(ids: jax.Array, num_ids: int, mask: ArrayLike | None) -> jax.Array:
    """Which features count ``[N]``: those that the mask keeps and whose id exists.

    Raises:
        ValueError: a mask of another shape or dtype.
    """
    inside = (ids >= 0) & (ids < num_ids)
    kept = boolean_mask("mask", mask, ids.shape[0], axes="[N]")
    return inside if kept is None else inside & kept


def kept_tokens(tokens: jax.Array, token_mask: ArrayLike | None) -> tuple[jax.Array, jax.Array]:
    """Tokens with zeros where masked, so that a NaN there cannot spread, and the mask itself ``[K]``.

    Raises:
        ValueError: a mask of another shape or dtype.
    """
    mask = boolean_mask("token_mask", token_mask, tokens.shape[0], axes="[K]")
    if mask is None:
        return tokens, jnp.ones(tokens.shape[0], dtype=bool)
    return jnp.where(mask[:, None], tokens, 0), mask


def distances(left: jax.Array, right: jax.Array) -> jax.Array:
    """Euclidean distances ``[A, B]`` of ``[A, D]`` and ``[B, D]``, by differences; gradient zero at zero."""
    squared = squared_distances(left, right)
    xp, is_zero = namespace(squared), squared == 0
    return xp.where(is_zero, 0, xp.sqrt(xp.where(is_zero, 1, squared)))


def at_least_float32(array: jax.Array) -> jax.Array:
    """The array in its dtype or float32, whichever is wider, since bfloat16 cannot count beyond 256."""
    return array.astype(jnp.promote_types(array.dtype, jnp.float32))


def floating_dtype(dtype: DTypeLike | None) -> Any:
    """The dtype of a result; None means JAX's default float.

    Raises:
        ValueError: not a floating-point dtype.
    """
    if dtype is None:
        return jnp.result_type(float)
    try:
        is_floating = jnp.issubdtype(dtype, jnp.floating)
    except TypeError:
        is_floating = False
    if not is_floating:
        raise bad("dtype", "a floating-point dtype", repr(dtype))
    return jnp.dtype(dtype)


def count_table(table: ArrayLike) -> jax.Array:
    """A table `[L, P]` in a float type that can count."""
    expected = "a table of counts [L, P]"
    try:
        array = jnp.asarray(table)
    except (TypeError, ValueError):
        raise bad("table", expected, describe_array(table)) from None
    is_real = jnp.issubdtype(array.dtype, jnp.floating) or jnp.issubdtype(array.dtype, jnp.integer)
    if array.ndim != 2 or not is_real:
        raise bad("table", expected, describe_array(array))
    if jnp.issubdtype(array.dtype, jnp.integer):
        array = array.astype(jnp.result_type(float))
    return at_least_float32(array)
