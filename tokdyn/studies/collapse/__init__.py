"""Regimes and remedies: what makes tokens collapse on harder data, and what repairs it."""
