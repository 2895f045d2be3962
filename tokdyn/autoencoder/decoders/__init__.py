"""Decoders: a code to logits over words. ``extreme`` and ``hybrid`` are the published notebook's cures."""

from collections.abc import Callable
from typing import Any

from tokdyn.autoencoder.decoders.composed import Composed, composed
from tokdyn.autoencoder.decoders.extreme import Extreme, Hybrid, extreme, hybrid
from tokdyn.autoencoder.decoders.plain import Convolutional, DenseDecoder, Linear, convolutional, dense, linear

# Every decoder, for contract tests: name -> a small one, for a grid of height 4.
CATALOG: dict[str, Callable[[int], Any]] = {
    "linear": lambda vocabulary_size: linear(vocabulary_size=vocabulary_size),
    "dense": lambda vocabulary_size: dense(vocabulary_size=vocabulary_size, width=16, dropout=0.2),
    "dense_normalised": lambda vocabulary_size: dense(vocabulary_size=vocabulary_size, width=16, normalise=True),
    "convolutional": lambda vocabulary_size: convolutional(vocabulary_size=vocabulary_size, height=4, width=16),
    "convolutional_mean": lambda vocabulary_size: convolutional(vocabulary_size=vocabulary_size, height=4, pool="mean"),
    "hybrid": lambda vocabulary_size: hybrid(vocabulary_size=vocabulary_size, height=4, width=16),
    "extreme": lambda vocabulary_size: extreme(vocabulary_size=vocabulary_size, height=4, width=16),
}

__all__ = [
    "CATALOG",
    "Composed",
    "Convolutional",
    "DenseDecoder",
    "Extreme",
    "Hybrid",
    "Linear",
    "composed",
    "convolutional",
    "dense",
    "extreme",
    "hybrid",
    "linear",
]
