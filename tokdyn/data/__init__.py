"""Synthetic inputs as pure functions of a key, the published study's data, words, digits, tables, real data."""

from tokdyn.data import clevr, combinations, glyphs, scene_graphs, sprites, subwords, words
from tokdyn.data.blobs import Blobs, blobs, published_blobs, published_tokens
from tokdyn.data.curves import moons, rings
from tokdyn.data.digits import digits
from tokdyn.data.mixtures import mixture
from tokdyn.data.real import cancer, iris, wine
from tokdyn.data.tables import Standardised, Table, read_table, standardised
from tokdyn.data.words import Corpus, corpus, read_corpus

__all__ = [
    "Blobs",
    "Corpus",
    "Standardised",
    "Table",
    "blobs",
    "cancer",
    "clevr",
    "combinations",
    "corpus",
    "digits",
    "glyphs",
    "iris",
    "mixture",
    "moons",
    "published_blobs",
    "published_tokens",
    "read_corpus",
    "read_table",
    "rings",
    "scene_graphs",
    "sprites",
    "standardised",
    "subwords",
    "wine",
    "words",
]
