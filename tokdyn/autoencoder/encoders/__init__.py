"""Encoders: a word's number to a pattern. ``table`` is the published one; the others test what it lacks."""

from tokdyn.autoencoder.encoders.table import Table, table

__all__ = ["Table", "table"]
