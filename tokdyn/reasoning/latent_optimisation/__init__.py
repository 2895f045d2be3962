"""Optimising latent tokens at test time, against a reward that the model or an oracle gives.

``optimise`` and ``estimate_gradient`` need no model; ``optimise_latents`` is for reasoners; ``CONFIGURATIONS`` holds
what was published, and the controls.
"""

from tokdyn.reasoning.latent_optimisation.ascent import Ascent, optimise
from tokdyn.reasoning.latent_optimisation.configurations import (
    CONFIGURATIONS,
    Configuration,
    controls,
    in_one_program,
)
from tokdyn.reasoning.latent_optimisation.gradient import Estimate, estimate_gradient
from tokdyn.reasoning.latent_optimisation.latents import OptimisedLatents, optimise_latents
from tokdyn.reasoning.latent_optimisation.rewards import (
    CONFIDENCES,
    ORACLES,
    answer_log_probability,
    renormalised_confidence,
    right_answer,
    sparse_reward,
    tail_mass,
    topk_log_probability,
    truncated_confidence,
)

__all__ = [
    "CONFIDENCES", "CONFIGURATIONS", "ORACLES", "Ascent", "Configuration", "Estimate", "OptimisedLatents",
    "answer_log_probability", "controls", "estimate_gradient", "in_one_program", "optimise",
    "optimise_latents", "renormalised_confidence", "right_answer", "sparse_reward", "tail_mass", "topk_log_probability",
    "truncated_confidence",
]  # fmt: skip
