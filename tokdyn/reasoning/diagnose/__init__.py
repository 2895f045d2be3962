"""Diagnostics of latent reasoning as pure functions of arrays: whoever exported them, from whatever model.

Arrays of NumPy are judged by NumPy, which compiles nothing, and results are NumPy's. Those of jax stay jax's, also
under jit.
"""

from tokdyn.reasoning.diagnose.attention import (
    ImageAttention,
    Narrowing,
    RelevantAttention,
    attention_entropy,
    attention_narrowing,
    image_attention,
    relevant_attention,
)
from tokdyn.reasoning.diagnose.attributes import held_out_attributes
from tokdyn.reasoning.diagnose.degeneration import Degeneration, degeneration
from tokdyn.reasoning.diagnose.dependence import (
    Confidence,
    Relation,
    VisualDependence,
    confidence,
    confidence_relations,
    relation,
    visual_dependence,
)
from tokdyn.reasoning.diagnose.donors import DonorLift, DonorShare, MarginShift, donor_lift, donor_share, margin_shift
from tokdyn.reasoning.diagnose.effects import MeanEffect, NoEffect, effects_table, mean_effect, no_effect_report
from tokdyn.reasoning.diagnose.flips import Flips, counterfactual_flips
from tokdyn.reasoning.diagnose.mechanisms import GainRetained, component_gains, gain_retained, marker_dependence
from tokdyn.reasoning.diagnose.mediation import (
    AnswerChange,
    LatentChange,
    Mediation,
    answer_change,
    latent_change,
    mediation,
)
from tokdyn.reasoning.diagnose.outcomes import BOUND, Compared, compared
from tokdyn.reasoning.diagnose.probing import (
    Probe,
    Selectivity,
    assign_folds,
    control_labels,
    probe_selectivity,
    ridge_probe,
)
from tokdyn.reasoning.diagnose.recurrence import Movement, movement
from tokdyn.reasoning.diagnose.similarity import (
    CrossTask,
    Retrieval,
    Similarity,
    cosines,
    cross_task,
    retrieval,
    similarity,
    similarity_table,
    transformed,
)
from tokdyn.theory.maps import Lyapunov, Spectrum, jacobian, jacobian_spectrum, lyapunov_exponents, rollout

__all__ = [
    "BOUND",
    "AnswerChange",
    "Compared",
    "Confidence",
    "CrossTask",
    "Degeneration",
    "DonorLift",
    "DonorShare",
    "Flips",
    "GainRetained",
    "ImageAttention",
    "LatentChange",
    "Lyapunov",
    "MarginShift",
    "MeanEffect",
    "Mediation",
    "Movement",
    "Narrowing",
    "NoEffect",
    "Probe",
    "Relation",
    "RelevantAttention",
    "Retrieval",
    "Selectivity",
    "Similarity",
    "Spectrum",
    "VisualDependence",
    "answer_change",
    "assign_folds",
    "attention_entropy",
    "attention_narrowing",
    "compared",
    "component_gains",
    "confidence",
    "confidence_relations",
    "control_labels",
    "cosines",
    "counterfactual_flips",
    "cross_task",
    "degeneration",
    "donor_lift",
    "donor_share",
    "effects_table",
    "gain_retained",
    "held_out_attributes",
    "image_attention",
    "jacobian",
    "jacobian_spectrum",
    "latent_change",
    "lyapunov_exponents",
    "margin_shift",
    "marker_dependence",
    "mean_effect",
    "mediation",
    "movement",
    "no_effect_report",
    "probe_selectivity",
    "relation",
    "relevant_attention",
    "retrieval",
    "ridge_probe",
    "rollout",
    "similarity",
    "similarity_table",
    "transformed",
    "visual_dependence",
]
