"""Meaning as geometry: word vectors, planted ones, maps, composition of codes and patterns, tokens in context."""

from tokdyn.geometry.analogies import Analogies, analogies
from tokdyn.geometry.bilingual import Bilingual, planted_translations, translated
from tokdyn.geometry.channel import Recovery, equal_codes, recovery, whitened
from tokdyn.geometry.composers import AttentionComposer, ConvolutionComposer, attention, convolution
from tokdyn.geometry.composition import bind, blend, compose, remove, unbind, unitary, unitary_codes
from tokdyn.geometry.context import (
    Edges,
    connected,
    connections,
    dependent_scores,
    graph_pattern,
    role_orders,
    role_scores,
)
from tokdyn.geometry.graph import Graph, Neighbours, fuzzy_graph, nearest_neighbours
from tokdyn.geometry.planted import Planted, planted_categories, planted_factors, planted_tree
from tokdyn.geometry.preservation import Preservation, preservation
from tokdyn.geometry.projection import FeatureMap, train_map
from tokdyn.geometry.regions import Region, contracted, depth, log_density, merged, parted, region, region_of, stretched
from tokdyn.geometry.senses import Language, Sentences, language, planted_words, sense_posterior, sentences
from tokdyn.geometry.topology import Topological, TopologicalLoss, topological, topological_loss
from tokdyn.geometry.vectors import PUBLISHED_CATEGORIES, WordVectors, read_vectors, word_vectors
from tokdyn.geometry.vocabulary import Split, Uses, coherence, grouped_uses, with_merged, with_split, with_word

__all__ = [
    "PUBLISHED_CATEGORIES", "Analogies", "AttentionComposer", "Bilingual", "ConvolutionComposer", "Edges", "FeatureMap",
    "Graph", "Language", "Neighbours", "Planted", "Preservation", "Recovery", "Region", "Sentences", "Split",
    "Topological", "TopologicalLoss", "Uses", "WordVectors", "analogies", "attention", "bind", "blend", "coherence",
    "compose", "connected", "connections", "contracted", "convolution", "dependent_scores", "depth", "equal_codes",
    "fuzzy_graph", "graph_pattern", "grouped_uses", "language", "log_density", "merged", "nearest_neighbours", "parted",
    "planted_categories", "planted_factors", "planted_translations", "planted_tree", "planted_words", "preservation",
    "read_vectors", "recovery", "region", "region_of", "remove", "role_orders", "role_scores", "sense_posterior",
    "sentences", "stretched", "topological", "topological_loss", "train_map", "translated", "unbind", "unitary",
    "unitary_codes", "whitened", "with_merged", "with_split", "with_word", "word_vectors",
]  # fmt: skip
