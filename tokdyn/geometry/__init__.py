"""Meaning as geometry: word vectors, planted ones, maps that are trained to keep neighbours, and what a map keeps."""

from tokdyn.geometry.graph import Graph, Neighbours, fuzzy_graph, nearest_neighbours
from tokdyn.geometry.planted import Planted, planted_categories, planted_factors, planted_tree
from tokdyn.geometry.preservation import Preservation, preservation
from tokdyn.geometry.projection import FeatureMap, train_map
from tokdyn.geometry.vectors import PUBLISHED_CATEGORIES, WordVectors, read_vectors, word_vectors

__all__ = [
    "PUBLISHED_CATEGORIES", "FeatureMap", "Graph", "Neighbours", "Planted", "Preservation", "WordVectors",
    "fuzzy_graph", "nearest_neighbours", "planted_categories", "planted_factors", "planted_tree", "preservation",
    "read_vectors", "train_map", "word_vectors",
]  # fmt: skip
