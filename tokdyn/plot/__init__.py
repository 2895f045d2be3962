"""Figures, in matplotlib, without pyplot: no display, no global state. Imported by studies and users only."""

from tokdyn.plot.dynamics import convergence, save_animation, score_against_noise, token_paths
from tokdyn.plot.style import COLOURS, MARKERS, figure, save

__all__ = [
    "COLOURS",
    "MARKERS",
    "convergence",
    "figure",
    "save",
    "save_animation",
    "score_against_noise",
    "token_paths",
]
