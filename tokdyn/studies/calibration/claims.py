"""What calibration adds to claims about named models: how often the same way of asking misleads elsewhere."""

from __future__ import annotations

from collections.abc import Callable

import xarray

from tokdyn.claims import Finding
from tokdyn.studies import rules
from tokdyn.studies.calibration.tables import ranking
from tokdyn.studies.rules import Context

COMMAND = "tokdyn study calibration"


def findings(dataset: xarray.Dataset) -> dict[str, Finding]:
    """Notes on published claims; no verdict, since none of them is about reasoners of ours.

    Args:
        dataset: from ``run``.

    Returns:
        A ``Finding`` for each claim that it bears on.
    """
    return rules.findings(CLAIMS, dataset, COMMAND)


def _misleads(diagnostic: str) -> Callable[[xarray.Dataset], str]:
    def told(dataset: xarray.Dataset) -> str:
        row = next(row for row in ranking(dataset) if row["diagnostic"] == diagnostic)
        return (
            f"{diagnostic!r} on small reasoners of known truth: balanced accuracy {row['score']:.2f} "
            f"[{row['low']:.2f}, {row['high']:.2f}] in the worst stratum, false alarms {row['false_rate']:.2f} on "
            f"{row['false_design']!r}, misses {row['missed_rate']:.2f} of {row['missed_design']!r}"
        )

    return told


# Claims about named models that rest on a way of asking, and the diagnostic here that asks so.
ASKED = {
    "accuracy, one direction for all": (
        "capimagine.latent_answer_disconnect", "capimagine.mirage_stage_1_constant",
        "capimagine.mirage_stage_2_constant", "capimagine.monet_constant_vstar",
        "capimagine.monet_constant_hrbench_4k", "capimagine.monet_constant_mme_realworld_lite",
        "visual_memory.slots_replace",
    ),
    "accuracy, near-zero embedding": ("capimagine.mirage_stage_1_near_zero", "capimagine.mirage_stage_2_near_zero"),
    "accuracy, noise embedding": (
        "capimagine.mirage_stage_1_replace_noise", "capimagine.mirage_stage_2_replace_noise",
    ),
    "accuracy, zero embedding": ("visual_memory.slots_zero",),
    "accuracy, slots removed": ("visual_memory.gain_retained_high", "visual_memory.gain_retained_low"),
    "donor lift, cache": ("visual_memory.slots_swap", "visual_memory.probe_method_fails_too"),
    "cosine between items below 0.9": ("capimagine.mirage_homogeneous", "capimagine.similarity_between_inputs"),
    "latents move with the image": ("capimagine.input_latent_disconnect",),
    "probe reads the answer": ("capimagine.probe_latents", "visual_memory.slots_recover"),
}  # fmt: skip
CLAIMS = tuple(Context(claim, _misleads(diagnostic)) for diagnostic, known in ASKED.items() for claim in known)
