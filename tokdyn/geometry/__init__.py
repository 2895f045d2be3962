"""Meaning as geometry: vectors of words, the shipped ones, your own, or planted ones whose structure is known."""

from tokdyn.geometry.planted import Planted, planted_categories, planted_factors, planted_tree
from tokdyn.geometry.vectors import PUBLISHED_CATEGORIES, WordVectors, read_vectors, word_vectors

__all__ = [
    "PUBLISHED_CATEGORIES", "Planted", "WordVectors", "planted_categories", "planted_factors", "planted_tree",
    "read_vectors", "word_vectors",
]  # fmt: skip
