"""What is wrong with a collapsed autoencoder: measurements, a named cause, and a bench of planted faults."""

from tokdyn.autoencoder.diagnose.causes import REMEDIES, Check, Thresholds
from tokdyn.autoencoder.diagnose.codebooks import Codebooks, codebooks
from tokdyn.autoencoder.diagnose.findings import Findings, asked_of, decide, diagnose
from tokdyn.autoencoder.diagnose.gradients import (
    LayerFlow,
    encoder_gradient,
    gradient_flow,
    layer_flow,
    mean_cosine,
    token_cosines,
)
from tokdyn.autoencoder.diagnose.information import (
    Information,
    active_share,
    cell_information,
    dead_codes,
    deterministic_information,
    distinct_draws,
    gaussian_information,
    pattern_utilisation,
    perplexity,
    stochastic_information,
)
from tokdyn.autoencoder.diagnose.landscape import Slice, filter_normalised, slice_1d, slice_2d
from tokdyn.autoencoder.diagnose.measurements import Words, measure, words_of
from tokdyn.autoencoder.diagnose.predictions import (
    Accuracy,
    accuracy,
    distinct_predictions,
    dominant_share,
    frequency_baseline,
    prediction_counts,
    prediction_entropy,
    unigram_entropy,
)
from tokdyn.autoencoder.diagnose.signature import Flag, Levels, falling_share, loss_levels, loss_signature
from tokdyn.autoencoder.diagnose.variance import VarianceSplit, input_share, pattern_rank, variance_split

__all__ = [
    "REMEDIES",
    "Accuracy",
    "Check",
    "Codebooks",
    "Findings",
    "Flag",
    "Information",
    "LayerFlow",
    "Levels",
    "Slice",
    "Thresholds",
    "VarianceSplit",
    "Words",
    "accuracy",
    "active_share",
    "asked_of",
    "cell_information",
    "codebooks",
    "dead_codes",
    "decide",
    "deterministic_information",
    "diagnose",
    "distinct_draws",
    "distinct_predictions",
    "dominant_share",
    "encoder_gradient",
    "falling_share",
    "filter_normalised",
    "frequency_baseline",
    "gaussian_information",
    "gradient_flow",
    "input_share",
    "layer_flow",
    "loss_levels",
    "loss_signature",
    "mean_cosine",
    "measure",
    "pattern_rank",
    "pattern_utilisation",
    "perplexity",
    "prediction_counts",
    "prediction_entropy",
    "slice_1d",
    "slice_2d",
    "stochastic_information",
    "token_cosines",
    "unigram_entropy",
    "variance_split",
    "words_of",
]
