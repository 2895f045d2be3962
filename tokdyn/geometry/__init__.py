"""Meaning as geometry: word vectors, planted ones, maps that keep neighbours, composition of codes and patterns."""

from tokdyn.geometry.analogies import Analogies, analogies
from tokdyn.geometry.composers import AttentionComposer, ConvolutionComposer, attention, convolution
from tokdyn.geometry.composition import bind, blend, compose, remove, unbind, unitary, unitary_codes
from tokdyn.geometry.graph import Graph, Neighbours, fuzzy_graph, nearest_neighbours
from tokdyn.geometry.planted import Planted, planted_categories, planted_factors, planted_tree
from tokdyn.geometry.preservation import Preservation, preservation
from tokdyn.geometry.projection import FeatureMap, train_map
from tokdyn.geometry.vectors import PUBLISHED_CATEGORIES, WordVectors, read_vectors, word_vectors

__all__ = [
    "PUBLISHED_CATEGORIES", "Analogies", "AttentionComposer", "ConvolutionComposer", "FeatureMap", "Graph",
    "Neighbours", "Planted", "Preservation", "WordVectors", "analogies", "attention", "bind", "blend", "compose",
    "convolution", "fuzzy_graph", "nearest_neighbours", "planted_categories", "planted_factors", "planted_tree",
    "preservation", "read_vectors", "remove", "train_map", "unbind", "unitary", "unitary_codes", "word_vectors",
]  # fmt: skip
