"""Encoders: a word's number to a pattern. ``table`` is the published one; the others test what it lacks."""

from tokdyn.autoencoder.encoders.catalog import CATALOG
from tokdyn.autoencoder.encoders.characters import ALPHABET, Characters, characters, spell
from tokdyn.autoencoder.encoders.common import WordEncoder, check_ids
from tokdyn.autoencoder.encoders.factorised import Factorised, factorised
from tokdyn.autoencoder.encoders.fixed_random import FixedRandom, fixed_random
from tokdyn.autoencoder.encoders.fourier import Fourier, fourier, waves
from tokdyn.autoencoder.encoders.gaussian_mixture import GaussianMixture, gaussian_mixture
from tokdyn.autoencoder.encoders.glyphs import Glyphs, glyphs
from tokdyn.autoencoder.encoders.graph import Graph, Neighbours, graph, nearest_neighbours
from tokdyn.autoencoder.encoders.grounded import Grounded, grounded
from tokdyn.autoencoder.encoders.multiscale import Multiscale, multiscale
from tokdyn.autoencoder.encoders.sequence import Sequence, sequence
from tokdyn.autoencoder.encoders.spectrogram import Spectrogram, spectrogram
from tokdyn.autoencoder.encoders.table import INITIALISATIONS, Table, table

__all__ = [
    "ALPHABET",
    "CATALOG",
    "INITIALISATIONS",
    "Characters",
    "Factorised",
    "FixedRandom",
    "Fourier",
    "GaussianMixture",
    "Glyphs",
    "Graph",
    "Grounded",
    "Multiscale",
    "Neighbours",
    "Sequence",
    "Spectrogram",
    "Table",
    "WordEncoder",
    "characters",
    "check_ids",
    "factorised",
    "fixed_random",
    "fourier",
    "gaussian_mixture",
    "glyphs",
    "graph",
    "grounded",
    "multiscale",
    "nearest_neighbours",
    "sequence",
    "spectrogram",
    "spell",
    "table",
    "waves",
]
