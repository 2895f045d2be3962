"""Meanings that studies of codes and maps share: words of the table in the published width, and planted structures."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import numpy as np

from tokdyn import geometry

WIDTH = 512  # of the features that the published experiments were made with
SOURCES = ("words", "tree", "factors")  # real vectors, and two whose structure is planted
TITLES = {
    "words": "real words", "tree": "a planted tree", "factors": "planted factors",
    "published words": "the published words", "categories": "planted categories",
}  # fmt: skip
COUNT = 189  # rows of each
_BRANCHES, _FACTORS, _CATEGORIES, _DIMENSIONS = (3, 7, 9), (7, 9, 3), (21,) * 9, 64


def of_words(words: Sequence[str]) -> np.ndarray:
    """Vectors of words of the table, in the published width: more numbers are 0, which changes no angle `[V, 512]`."""
    rows = np.asarray(geometry.word_vectors().of(words), np.float32)
    return np.pad(rows, ((0, 0), (0, WIDTH - rows.shape[1])))


def planted(source: str, key: jax.Array) -> jax.Array:
    """A planted structure, drawn `[189, 64]`.

    Args:
        source: "tree", "factors" or "categories".
        key: of the draw.
    """
    if source == "tree":
        return geometry.planted_tree(key, branches=_BRANCHES, dimensions=_DIMENSIONS).vectors
    if source == "categories":
        return geometry.planted_categories(key, sizes=_CATEGORIES, dimensions=_DIMENSIONS).vectors
    return geometry.planted_factors(key, sizes=_FACTORS, dimensions=_DIMENSIONS, spread=0.3).vectors
