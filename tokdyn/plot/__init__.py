"""Figures, in matplotlib, without pyplot: no display, no global state. Imported by studies and users only."""

from tokdyn.plot.dynamics import convergence, save_animation, score_against_noise, token_paths
from tokdyn.plot.style import COLOURS, MARKERS, figure, save
from tokdyn.plot.sweeps import pareto, pareto_front, phase_diagram, slices

__all__ = [
    "COLOURS",
    "MARKERS",
    "convergence",
    "figure",
    "pareto",
    "pareto_front",
    "phase_diagram",
    "save",
    "save_animation",
    "score_against_noise",
    "slices",
    "token_paths",
]
