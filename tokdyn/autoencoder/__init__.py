"""Visual-token autoencoders, word to pattern to code and back: what makes codes collapse, and what repairs them."""

from tokdyn.autoencoder import bottlenecks, critics, decoders, diagnose, encoders, losses, quantizers
from tokdyn.autoencoder.base import Autoencoder, Code, Model, Pass, autoencoder
from tokdyn.autoencoder.batches import sentences, word_draws
from tokdyn.autoencoder.contract import check_part
from tokdyn.autoencoder.files import Training, load_run, save_run

__all__ = [
    "Autoencoder",
    "Code",
    "Model",
    "Pass",
    "Training",
    "autoencoder",
    "bottlenecks",
    "check_part",
    "critics",
    "decoders",
    "diagnose",
    "encoders",
    "load_run",
    "losses",
    "quantizers",
    "save_run",
    "sentences",
    "word_draws",
]
