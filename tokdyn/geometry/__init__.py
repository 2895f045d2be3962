"""Meaning as geometry: word vectors, planted ones whose structure is known, and what a map keeps of neighbours."""

from tokdyn.geometry.planted import Planted, planted_categories, planted_factors, planted_tree
from tokdyn.geometry.preservation import Preservation, preservation
from tokdyn.geometry.vectors import PUBLISHED_CATEGORIES, WordVectors, read_vectors, word_vectors

__all__ = [
    "PUBLISHED_CATEGORIES", "Planted", "Preservation", "WordVectors", "planted_categories", "planted_factors",
    "planted_tree", "preservation", "read_vectors", "word_vectors",
]  # fmt: skip
