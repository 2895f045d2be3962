"""Decoders: a code to logits over words. ``extreme`` and ``hybrid`` are the published notebook's cures."""

from tokdyn.autoencoder.decoders.extreme import Extreme, Hybrid, extreme, hybrid
from tokdyn.autoencoder.decoders.plain import Convolutional, DenseDecoder, Linear, convolutional, dense, linear

__all__ = [
    "Convolutional",
    "DenseDecoder",
    "Extreme",
    "Hybrid",
    "Linear",
    "convolutional",
    "dense",
    "extreme",
    "hybrid",
    "linear",
]
