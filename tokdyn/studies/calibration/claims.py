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


CLAIMS = tuple(
    Context(claim, _misleads(diagnostic))
    for claim, diagnostic in {
        "capimagine.mirage_stage_1_constant": "accuracy, one direction for all",
        "capimagine.monet_constant_vstar": "accuracy, one direction for all",
        "capimagine.mirage_stage_1_near_zero": "accuracy, near-zero embedding",
        "capimagine.mirage_stage_1_replace_noise": "accuracy, noise embedding",
        "capimagine.mirage_homogeneous": "cosine between items below 0.9",
        "capimagine.probe_latents": "probe reads the answer",
    }.items()
)
