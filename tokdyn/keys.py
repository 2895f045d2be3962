"""Named derivation of random keys: every key is a function of what it is *for*, never of a position or a worker.

``fold_in`` by a stable hash of the name (CRC-32; Python's own ``hash`` changes between processes), so that adding a
consumer leaves all other streams as they were.
"""

from __future__ import annotations

import zlib

import jax
import jax.numpy as jnp


def for_purpose(key: jax.Array, name: str) -> jax.Array:
    """The key for one named purpose.

    Args:
        key: a key `[]`, or an old-style `[2]` one.
        name: what the numbers are for, for example ``"data"``.

    Returns:
        A key of the same kind.

    Example:
        >>> import jax, tokdyn as td
        >>> key = jax.random.key(0)
        >>> bool((td.keys.for_purpose(key, "data") == td.keys.for_purpose(key, "start")).all())
        False
    """
    return jax.random.fold_in(key, zlib.crc32(name.encode()))


def for_step(key: jax.Array, step: jax.Array | int, name: str) -> jax.Array:
    """The key of one part at one step: a run can be continued at any step, and parts do not share streams.

    Args:
        key: the run's key.
        step: step number `[]`, may be traced.
        name: the part's name in the composition.

    Returns:
        A key of the same kind.
    """
    return for_purpose(jax.random.fold_in(key, step), name)


def for_seed(key: jax.Array, seed: jax.Array | int, cell: jax.Array | int | None = None) -> jax.Array:
    """The key of one repetition: paired over cells (the default), or of its own for every cell.

    Args:
        key: the experiment's key.
        seed: number of the repetition `[]`.
        cell: what names the condition, a whole number `[]` or several `[n]`; None gives the same key, hence the same
            data, in every condition.

    Returns:
        A key of the same kind.
    """
    key = jax.random.fold_in(key, seed)
    for number in () if cell is None else jnp.unstack(jnp.atleast_1d(cell)):
        key = jax.random.fold_in(key, number)
    return key
