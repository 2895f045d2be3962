"""Figures, in matplotlib, without pyplot: no display, no global state. Imported by studies and users only."""

from tokdyn.plot.autoencoder import (
    association_matrices,
    fault_matrix,
    pattern_colours,
    pattern_gallery,
    save_pattern_animation,
    usage_bars,
)
from tokdyn.plot.differences import paired_differences
from tokdyn.plot.dynamics import convergence, save_animation, score_against_noise, token_paths
from tokdyn.plot.live import LiveTraining, live_training
from tokdyn.plot.style import COLOURS, MARKERS, figure, save
from tokdyn.plot.sweeps import pareto, pareto_front, phase_diagram, slices
from tokdyn.plot.training import gradient_flow, landscape, loss_curves, outcomes, scaling_curves

__all__ = [
    "COLOURS",
    "MARKERS",
    "LiveTraining",
    "association_matrices",
    "convergence",
    "fault_matrix",
    "figure",
    "gradient_flow",
    "landscape",
    "live_training",
    "loss_curves",
    "outcomes",
    "paired_differences",
    "pareto",
    "pareto_front",
    "pattern_colours",
    "pattern_gallery",
    "phase_diagram",
    "save",
    "save_animation",
    "save_pattern_animation",
    "scaling_curves",
    "score_against_noise",
    "slices",
    "token_paths",
    "usage_bars",
]
