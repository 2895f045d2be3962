"""Synthetic inputs, as pure functions of a key; the published study's, drawn on the host; words, glyphs and digits."""

from tokdyn.data import clevr, glyphs, scene_graphs, sprites, words
from tokdyn.data.blobs import Blobs, blobs, published_blobs, published_tokens
from tokdyn.data.digits import digits
from tokdyn.data.words import Corpus, corpus

__all__ = [
    "Blobs",
    "Corpus",
    "blobs",
    "clevr",
    "corpus",
    "digits",
    "glyphs",
    "published_blobs",
    "published_tokens",
    "scene_graphs",
    "sprites",
    "words",
]
