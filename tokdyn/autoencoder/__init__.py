"""Visual-token autoencoders, word to pattern to code and back: what makes codes collapse, and what repairs them."""

from tokdyn.autoencoder import bottlenecks, decoders, encoders, losses
from tokdyn.autoencoder.base import Autoencoder, Code, Model, Output, compose

__all__ = ["Autoencoder", "Code", "Model", "Output", "bottlenecks", "compose", "decoders", "encoders", "losses"]
