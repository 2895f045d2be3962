"""One small example of every encoder: the contract tests iterate them, and sweeps over encoders may."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from tokdyn.autoencoder.encoders.characters import characters, spell
from tokdyn.autoencoder.encoders.factorised import factorised
from tokdyn.autoencoder.encoders.fixed_random import fixed_random
from tokdyn.autoencoder.encoders.fourier import fourier
from tokdyn.autoencoder.encoders.gaussian_mixture import gaussian_mixture
from tokdyn.autoencoder.encoders.glyphs import glyphs
from tokdyn.autoencoder.encoders.graph import Neighbours, graph
from tokdyn.autoencoder.encoders.grounded import grounded
from tokdyn.autoencoder.encoders.multiscale import multiscale
from tokdyn.autoencoder.encoders.sequence import sequence
from tokdyn.autoencoder.encoders.table import table
from tokdyn.data import glyphs as drawings
from tokdyn.data import words

_CHANNELS = 3


def _table(vocabulary_size: int) -> Any:
    return table(vocabulary_size=vocabulary_size, cells=16, channels=_CHANNELS, embedding=32, width=64)


def _sequence(vocabulary_size: int) -> Any:
    return sequence(vocabulary_size=vocabulary_size, cells=16, channels=_CHANNELS, embedding=32, width=32)


def _multiscale(vocabulary_size: int) -> Any:
    return multiscale(
        vocabulary_size=vocabulary_size,
        channels=_CHANNELS,
        levels=(2, 4),
        groups=np.arange(vocabulary_size) // 4,
        embedding=32,
        width=64,
    )


def _factorised(vocabulary_size: int) -> Any:
    return factorised(vocabulary_size=vocabulary_size, cells=16, channels=_CHANNELS, embedding=32, width=64)


def _fourier(vocabulary_size: int) -> Any:
    return fourier(vocabulary_size=vocabulary_size, height=4, width=4, channels=_CHANNELS, frequencies=1)


def _gaussian_mixture(vocabulary_size: int) -> Any:
    return gaussian_mixture(vocabulary_size=vocabulary_size, height=4, width=4, channels=_CHANNELS)


def _fixed_random(vocabulary_size: int) -> Any:
    return fixed_random(vocabulary_size=vocabulary_size, cells=16, channels=_CHANNELS)


def _graph(vocabulary_size: int) -> Any:
    # A ring, so that the example needs no vectors: the words before and after are a word's neighbours.
    places = np.arange(vocabulary_size)[:, None] + np.array([-1, 1])
    ring = Neighbours(jnp.asarray(places % vocabulary_size, jnp.int32), jnp.full(places.shape, 0.5))
    return graph(adjacency=ring, cells=16, channels=_CHANNELS, embedding=32, width=64)


def _characters(vocabulary_size: int) -> Any:
    spellings = spell(words.pseudo_words(vocabulary_size), 8)
    return characters(spellings=spellings, cells=16, channels=_CHANNELS, width=64)


def _grounded(vocabulary_size: int) -> Any:
    vectors = np.random.default_rng(0).normal(size=(vocabulary_size, 24)).astype(np.float32)
    return grounded(vectors=vectors, cells=16, channels=_CHANNELS)


def _glyphs(vocabulary_size: int) -> Any:
    images = drawings.render(words.pseudo_words(vocabulary_size), height=12, width=42, font="DejaVuSansMono")
    return glyphs(images=images, pool=3)


# Name -> an example of that many words, by default at unit scale. 16 cells and 3 channels, where these can be chosen.
CATALOG: dict[str, Callable[[int], Any]] = {
    "table": _table,
    "sequence": _sequence,
    "multiscale": _multiscale,
    "factorised": _factorised,
    "fourier": _fourier,
    "gaussian_mixture": _gaussian_mixture,
    "fixed_random": _fixed_random,
    "graph": _graph,
    "characters": _characters,
    "grounded": _grounded,
    "glyphs": _glyphs,
}
