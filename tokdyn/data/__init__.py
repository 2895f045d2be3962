"""Synthetic inputs, as pure functions of a key; the published study's, drawn on the host; checks of data samples."""

from tokdyn.data import clevr, scene_graphs, sprites
from tokdyn.data.blobs import Blobs, blobs, published_blobs, published_tokens

__all__ = ["Blobs", "blobs", "clevr", "published_blobs", "published_tokens", "scene_graphs", "sprites"]
