"""The languages of the conditions, and the vectors of their words, planted or real."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tokdyn import geometry, keys
from tokdyn.studies.context import design


def world(cell: dict[str, Any], key: jax.Array) -> tuple[geometry.Language, jax.Array]:
    """A language of a condition, and its word vectors with a mean square of 1 `[V, D]`."""
    order = jnp.arange(design.MOST_SENSES)
    made = geometry.language(
        keys.for_purpose(key, "language"), polysemes=design.POLYSEMES, topics=design.TOPICS, words=design.WORDS,
        prior=jnp.where(order < cell["senses"], cell["skew"] ** order, 0.0),
        noise=cell["noise"], ambiguity=cell["ambiguity"],
    )._replace(ordered=cell["ordered"] > 0.5)  # fmt: skip
    planted = geometry.planted_words(
        keys.for_purpose(key, "vectors"), made, dimensions=design.DIMENSIONS, spread=design.SPREAD
    )
    vectors = jnp.where(cell["real"] > 0.5, jnp.asarray(real_vectors(), planted.dtype), planted)
    return made, vectors / jnp.sqrt(jnp.mean(vectors**2))


@functools.cache
def real_vectors() -> np.ndarray:
    """Real words in the places of a language's: ambiguous ones, then the published categories `[V, D]`."""
    words = [*design.AMBIGUOUS, *(word for members in geometry.PUBLISHED_CATEGORIES.values() for word in members)]
    rows = geometry.word_vectors().of(words).astype(np.float64)
    rows = rows - rows.mean(axis=0)
    left, sizes, _ = np.linalg.svd(rows, full_matrices=False)
    return (left * sizes)[:, : design.DIMENSIONS]
