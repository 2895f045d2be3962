"""How far latents have degenerated: rank, distinct ones, lengths."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from tokdyn.checks import hyperparameter
from tokdyn.metrics import distinct_tokens
from tokdyn.metrics._arrays import distances
from tokdyn.metrics.collapse import first_of_component
from tokdyn.metrics.geometry import rank_of, spectrum_of
from tokdyn.numerics import namespace
from tokdyn.reasoning.diagnose.arrays import each
from tokdyn.reasoning.diagnose.similarity import checked_latents, checked_vectors
from tokdyn.typing import EitherArray

_DIFFERENCES = 2**22  # numbers at a time: 16 MB


class Degeneration(NamedTuple):
    """How many different things the latents still are.

    Attributes:
        rank_by_index: effective rank of the items' latents at each slot index, about their mean `[slots]`.
        rank_within: effective rank of one item's slots, mean over items `[]`.
        distinct_by_index: items that remain at each slot index when those nearer than the resolution merge `[slots]`.
        distinct_within: slots that remain in one item, mean over items `[]`.
        norm: mean length at each slot index `[slots]`.
        norm_ratio: norm over the reference's mean length `[slots]`: far from 1 is a norm shock, out of what the model
            has seen.
        resolution: the distance below which two latents were counted as one `[]`.
    """

    rank_by_index: jax.Array
    rank_within: jax.Array
    distinct_by_index: jax.Array
    distinct_within: jax.Array
    norm: jax.Array
    norm_ratio: jax.Array
    resolution: jax.Array


def degeneration(
    latents: ArrayLike, reference: ArrayLike | None = None, *, relative_resolution: ArrayLike = 0.01
) -> Degeneration:
    """Whether latents have become few: effective rank, distinct ones and lengths, by slot index and within items.

    Two latents nearer than ``relative_resolution`` times the root mean square length of all are one. Works under jit.

    Args:
        latents: `[items, slots, features]`, at least two items.
        reference: vectors `[..., features]` of the kind the model is used to (word embeddings, hidden states), for
            norm_ratio; None takes the latents themselves.
        relative_resolution: `[]`, above 0.

    Returns:
        `Degeneration`.

    Raises:
        ValueError: another rank, or fewer than two items.

    Example:
        >>> import jax.numpy as jnp
        >>> from tokdyn.reasoning.diagnose import degeneration
        >>> latents = jnp.stack([jnp.eye(4), jnp.ones((4, 4))], axis=1)  # index 0 differs by item, index 1 does not
        >>> found = degeneration(latents)
        >>> found.distinct_by_index.tolist(), [round(float(each), 4) for each in found.rank_by_index]
        ([4, 1], [3.0, 0.0])
    """
    xp = namespace(latents, reference, relative_resolution)
    array = checked_latents(latents, xp=xp)
    amount = xp.asarray(hyperparameter("relative_resolution", relative_resolution, above=0.0), array.dtype)
    lengths = xp.linalg.norm(array, axis=-1)
    resolution = amount * xp.sqrt(xp.mean(lengths**2))
    # The limit is strict: with a resolution of 0 even equal latents would be counted apart.
    resolution = xp.maximum(resolution, xp.finfo(array.dtype).tiny)

    def distinct(tokens: jax.Array) -> jax.Array:
        return num_distinct(tokens, resolution)

    by_slot = xp.swapaxes(array, 0, 1)
    norm = lengths.mean(axis=0)
    return Degeneration(
        rank_by_index=each(_rank, by_slot),
        rank_within=each(_rank, array).mean(),
        distinct_by_index=each(distinct, by_slot),
        distinct_within=each(distinct, array).mean(dtype=array.dtype),
        norm=norm,
        norm_ratio=norm_ratio(norm, array if reference is None else checked_vectors("reference", reference, xp=xp)),
        resolution=resolution,
    )


def norm_ratio(norm: EitherArray, reference: EitherArray) -> Any:
    """Lengths over the mean length of a reference `[..., features]`."""
    xp = namespace(norm, reference)
    typical = xp.linalg.norm(reference, axis=-1).mean()
    return norm / xp.where(typical > 0, typical, 1.0)


def num_distinct(tokens: jax.Array, resolution: jax.Array) -> jax.Array:
    """``metrics.distinct_tokens`` of tokens `[K, D]` of NumPy or of jax."""
    xp = namespace(tokens)
    if xp is jnp:
        return distinct_tokens(tokens, resolution)
    # A few rows at a time: all differences at once are features times as many numbers as the distances.
    rows = max(1, _DIFFERENCES // tokens.size)
    near = [distances(tokens[start : start + rows], tokens) < resolution for start in range(0, len(tokens), rows)]
    return xp.sum(first_of_component(np.concatenate(near)) == np.arange(len(tokens)))


def _rank(tokens: jax.Array) -> jax.Array:
    return rank_of(*spectrum_of(tokens, None, centre=True, eps=jnp.finfo(tokens.dtype).eps))
