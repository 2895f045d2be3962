"""Synthetic inputs as pure functions of a key; the published study's data, drawn on the host; words, digits, tables."""

from tokdyn.data import clevr, glyphs, scene_graphs, sprites, words
from tokdyn.data.blobs import Blobs, blobs, published_blobs, published_tokens
from tokdyn.data.digits import digits
from tokdyn.data.tables import Standardised, Table, read_table, standardised
from tokdyn.data.words import Corpus, corpus, read_corpus

__all__ = [
    "Blobs",
    "Corpus",
    "Standardised",
    "Table",
    "blobs",
    "clevr",
    "corpus",
    "digits",
    "glyphs",
    "published_blobs",
    "published_tokens",
    "read_corpus",
    "read_table",
    "scene_graphs",
    "sprites",
    "standardised",
    "words",
]
