"""How much of a codebook is used: counts over an epoch, and what they say.

Counts are integers that add up over batches; perplexity does not, and depends on the size of the batch it is taken
over. So every quantizer carries counts in ``state["usage"]`` `[codebooks, codes]` through training, one row a codebook
(and not their mean: one dead codebook among eight would not show), until ``reset_usage`` begins a new epoch.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tokdyn import checks
from tokdyn.autoencoder.quantizers.common import integer_indices


def usage(
    indices: jax.Array, num_codes: int, mask: jax.Array | None = None, *, codebooks: int | None = None
) -> jax.Array:
    """How often each code occurs.

    Args:
        indices: integers `[..., cells]`, or `[..., cells, codebooks]` where codebooks is given. What is negative
            (a masked cell) or not below num_codes is not counted.
        num_codes: size of the (largest) codebook; static.
        mask: cells that exist, bool `[..., cells]`.
        codebooks: length of the last axis, where that axis is one of codebooks; static.

    Returns:
        Counts `[codebooks, codes]` int32; one row where codebooks is None.

    Raises:
        ValueError: indices that are no integers or of another shape, or fewer than one code.

    Example:
        >>> import jax.numpy as jnp
        >>> from tokdyn.autoencoder import quantizers
        >>> quantizers.usage(jnp.array([[0, 2], [2, -1]]), 4).tolist()
        [[1, 0, 2, 0]]
    """
    num_codes = checks.whole_number("num_codes", num_codes, at_least=1)
    indices = integer_indices(indices, columns=codebooks)
    if codebooks is None:
        indices = indices[..., None]
    if mask is not None:
        mask = jnp.asarray(mask)
        if mask.shape != indices.shape[:-1] or mask.dtype != jnp.bool_:
            raise checks.bad("mask", f"a boolean array {indices.shape[:-1]}", checks.describe_array(mask))
        indices = jnp.where(mask[..., None], indices, -1)
    columns = indices.reshape(-1, indices.shape[-1]).T
    outside = (columns < 0) | (columns >= num_codes)
    rows = jnp.broadcast_to(jnp.arange(columns.shape[0])[:, None], columns.shape)
    counts = jnp.zeros((columns.shape[0], num_codes), jnp.int32)
    return counts.at[rows, jnp.where(outside, num_codes, columns)].add(1, mode="drop")


def reset_usage(state: dict[str, Any]) -> dict[str, Any]:
    """A quantizer's state with all counts at zero: the beginning of an epoch.

    Args:
        state: of one quantizer (in an autoencoder, ``state["bottleneck"]``).

    Returns:
        A new state; everything else is as it was.

    Raises:
        ValueError: a state without counts.
    """
    if "usage" not in state:
        raise checks.bad("state", "the state of a quantizer, with usage in it", ", ".join(sorted(state)) or "nothing")
    return {**state, "usage": jnp.zeros_like(state["usage"])}


def perplexity(counts: jax.Array) -> jax.Array:
    r"""The effective number of codes in use, `\exp(-\sum_k p_k \log p_k)`.

    Args:
        counts: `[..., codes]`.

    Returns:
        `[...]` from 1 (one code) to the number of codes (all equally often); 0 where nothing was counted.

    Example:
        >>> import jax.numpy as jnp
        >>> from tokdyn.autoencoder import quantizers
        >>> [round(float(p), 5) for p in quantizers.perplexity(jnp.array([[5, 5, 0], [9, 0, 0], [0, 0, 0]]))]
        [2.0, 1.0, 0.0]
    """
    counts = jnp.asarray(counts)
    numbers = counts.astype(jnp.promote_types(counts.dtype, jnp.float32))
    total = jnp.sum(numbers, axis=-1)
    shares = numbers / jnp.where(total > 0, total, 1.0)[..., None]
    is_zero = shares == 0
    entropy = -jnp.sum(shares * jnp.log(jnp.where(is_zero, 1.0, shares)), axis=-1)
    return jnp.where(total > 0, jnp.exp(entropy), 0.0)


def dead_codes(counts: jax.Array, *, sizes: tuple[int, ...] | None = None) -> jax.Array:
    """Which codes were never used.

    Args:
        counts: `[codebooks, codes]`.
        sizes: number of codes of each codebook, where they differ (``quantizer.counted_sizes``); columns beyond a
            row's size are no codes, hence not dead.

    Returns:
        bool `[codebooks, codes]`.

    Raises:
        ValueError: another number of sizes than of rows.
    """
    return (jnp.asarray(counts) == 0) & _exists(counts, sizes)


def active_share(counts: jax.Array, *, sizes: tuple[int, ...] | None = None) -> jax.Array:
    """The share of codes used at least once.

    Args:
        counts: `[codebooks, codes]`.
        sizes: as for ``dead_codes``.

    Returns:
        `[codebooks]`, from 0 to 1.

    Raises:
        ValueError: another number of sizes than of rows.

    Example:
        >>> import jax.numpy as jnp
        >>> from tokdyn.autoencoder import quantizers
        >>> quantizers.active_share(jnp.array([[5, 1, 0, 0], [1, 1, 1, 0]]), sizes=(4, 3)).tolist()
        [0.5, 1.0]
    """
    exists = _exists(counts, sizes)
    return jnp.sum((jnp.asarray(counts) > 0) & exists, axis=-1) / jnp.sum(exists, axis=-1)


def _exists(counts: jax.Array, sizes: tuple[int, ...] | None) -> np.ndarray:
    shape = np.shape(counts)
    if sizes is None:
        return np.ones(shape, bool)
    if len(shape) != 2 or len(sizes) != shape[0]:
        raise checks.bad(
            "sizes", "one number of codes for each row of counts [codebooks, codes]", f"{sizes} for {shape}"
        )
    return np.arange(shape[1])[None, :] < np.asarray(sizes)[:, None]
