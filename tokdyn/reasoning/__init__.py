"""Latent visual reasoning: tasks, reasoners of known truth, interventions, diagnostics."""

from tokdyn.reasoning import audit, diagnose, interventions, latent_optimisation, references, shipped, tasks, training
from tokdyn.reasoning.ablation import ablate, controls
from tokdyn.reasoning.arms import Arm, keep_answers, run_arms
from tokdyn.reasoning.exchange import answers_to, exchange_margins, other_picture, under_degraded_pictures
from tokdyn.reasoning.items import Item, Task, num_patches
from tokdyn.reasoning.model import Output, Reasoner, reasoner
from tokdyn.reasoning.modes import two_modes
from tokdyn.reasoning.protocol import PUBLISHED_PROTOCOLS, Protocol, direct, protocol
from tokdyn.reasoning.recurrent import LatentMap, Recurrence, latent_jacobians, latent_map, recurrence

__all__ = [
    "PUBLISHED_PROTOCOLS", "Arm", "Item", "LatentMap", "Output", "Protocol", "Reasoner", "Recurrence", "Task",
    "ablate", "answers_to", "audit", "controls", "diagnose", "direct", "exchange_margins", "interventions",
    "keep_answers", "latent_jacobians", "latent_map", "latent_optimisation", "num_patches", "other_picture",
    "protocol", "reasoner", "recurrence", "references", "run_arms", "shipped", "tasks", "training", "two_modes",
    "under_degraded_pictures",
]  # fmt: skip
