"""What the diagnostics ask of their arrays, said once: word numbers in range, frequencies, masks."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from tokdyn.checks import bad, describe_array, is_concrete


def word_ids(name: str, value: object, num_words: int) -> jax.Array:
    """Numbers of words `[items]`, at least one, each from 0 to num_words - 1 (checked where they are known).

    Raises:
        ValueError: no integers, another rank, none at all, or a number outside.
    """
    expected = f"integers [items] from 0 to {num_words - 1}"
    try:
        array = jnp.asarray(value)
    except (TypeError, ValueError):
        raise bad(name, expected, describe_array(value)) from None
    if array.ndim != 1 or not jnp.issubdtype(array.dtype, jnp.integer) or not array.size:
        raise bad(name, expected, describe_array(array))
    if is_concrete(array):
        known = np.asarray(array)
        outside = (known < 0) | (known >= num_words)
        if outside.any():
            raise bad(name, expected, known[outside][0])
    return array


def word_frequencies(name: str, value: object) -> jax.Array:
    """Shares of the words `[words]` that sum to one, from counts or shares; zero for a word that never occurs.

    Raises:
        ValueError: no numbers, another rank, a negative one, or all zero (checked where they are known).
    """
    expected = "numbers [words] of at least 0, not all 0"
    try:
        array = jnp.asarray(value)
    except (TypeError, ValueError):
        raise bad(name, expected, describe_array(value)) from None
    if array.ndim != 1 or not array.size or jnp.issubdtype(array.dtype, jnp.bool_):
        raise bad(name, expected, describe_array(array))
    if is_concrete(array):
        known = np.asarray(array)
        if not np.isfinite(known).all() or (known < 0).any() or not known.any():
            raise bad(name, expected, "none above 0" if not known.any() else known[~(known >= 0)][0])
    return _shares(array)


@jax.jit
def _shares(counts: jax.Array) -> jax.Array:
    numbers = counts.astype(jnp.promote_types(counts.dtype, jnp.result_type(float)))
    return numbers / jnp.sum(numbers)


def word_mask(name: str, value: object, num_words: int) -> jax.Array:
    """Words that count, bool `[words]`; all where value is None.

    Raises:
        ValueError: another shape or dtype.
    """
    if value is None:
        return jnp.ones(num_words, bool)
    array = jnp.asarray(value)
    if array.shape != (num_words,) or array.dtype != jnp.bool_:
        raise bad(name, f"a boolean array [words] of length {num_words}", describe_array(array))
    return array


def share_where(flags: jax.Array, mask: jax.Array) -> jax.Array:
    """The share of flags among what the mask keeps `[]`; 0 where it keeps nothing."""
    kept = jnp.sum(mask)
    return jnp.sum(flags & mask) / jnp.maximum(kept, 1)
