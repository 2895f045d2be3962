"""What the study says to the claims of CapImagine: seldom about its models, often about what its tests can show."""

from __future__ import annotations

from collections.abc import Callable

import xarray

from tokdyn import claims
from tokdyn.claims import Finding
from tokdyn.studies import rules
from tokdyn.studies.mediation.design import CLEAN, WORDS
from tokdyn.studies.rules import AtLeast, AtMost, Context, Estimate, Judgement

COMMAND = "tokdyn study mediation"
# Accuracy with imagined text that supports a wrong answer, percent: before, after.
TEXT_VSTAR = (85.9, 22.5)
DRIVES, NOT = 0.5, 0.1  # donor lifts: of what drives answers, and of what hardly does


def findings(dataset: xarray.Dataset) -> dict[str, Finding]:
    """What the study says to published claims. Every verdict follows from the numbers of this Dataset.

    A claim about what a test showed on a published model stays open, with what the same test says of a reasoner whose
    truth is known beside it.

    Args:
        dataset: from ``run`` with the default design.

    Returns:
        A ``Finding`` for each claim that it bears on.
    """
    return rules.findings(CLAIMS, dataset, COMMAND)


def _percent(of: xarray.Dataset, reference: str, arm: str) -> str:
    return f"{float(of['accuracy'].sel(reference=reference, arm=arm)):.1%}"


def _lift(reference: str, place: str) -> Callable[[xarray.Dataset], Estimate]:
    """How much more often answers agree with the donor's, with its interval over items."""
    names = ("lift", "lift_low", "lift_high")
    return lambda of: rules.between(*(of[name].sel(reference=reference, place=place) for name in names))


def _alike(of: xarray.Dataset, reference: str, site: str = "embedding") -> str:
    values = of["cosine_between"].sel(reference=reference, site=site, space="raw").values
    return ", ".join(f"{value:.2f}" for value in values if value == value)


def _cosine(of: xarray.Dataset, name: str) -> str:
    return f"{float(of[name].sel(reference='sole', space='raw')):.2f}"


def _lengths(of: xarray.Dataset) -> str:
    return "; ".join(
        f"{name} {_percent(of, name, CLEAN)} clean, {_percent(of, name, 'near-zero embedding')} near zero, "
        f"{_percent(of, name, 'constant embedding')} a constant of own length"
        for name in ("dormant", "blank")
    )


def _followed(of: xarray.Dataset) -> str:
    return (
        f"words of another picture: {_percent(of, 'text', WORDS[0])} right (clean {_percent(of, 'text', CLEAN)}), "
        f"answers follow them (lift {_lift('text', 'words, last word')(of)}); answers of 'sole' follow a donor's "
        f"latents (lift {_lift('sole', 'cache')(of)})"
    )


CLAIMS = (
    Judgement(
        "capimagine.text_imagination_causal", AtLeast(DRIVES), _lift("text", "words, last word"), claims.CONTEXT,
        reading=(AtMost(NOT), _lift("sole", "cache")), told=_followed,
        note="read as: latents, unlike words, do not drive answers; what else the answer may see decides",
    ),
    Context("capimagine.latent_answer_disconnect", lambda of: (
        f"one tensor for all latents leaves 'computed' at {_percent(of, 'computed', 'same tensor, embedding')} (clean "
        f"{_percent(of, 'computed', CLEAN)}), though its answers follow a donor's slot cache (lift "
        f"{_lift('computed', 'cache')(of)})"
    )),
    Context("capimagine.input_latent_disconnect", lambda of: (
        f"cosine between items of what slots are fed: {_alike(of, 'computed')} in 'computed', of their states "
        f"{_alike(of, 'computed', 'state')}"
    )),
    Context("capimagine.mirage_stage_2_near_zero", _lengths),
    Context("capimagine.text_intervention_vstar", lambda of: (
        f"'text' with words of another picture: {_percent(of, 'text', WORDS[0])}"
    )),
    Context("capimagine.similarity_between_inputs", lambda of: (
        f"raw cosines by slot: sole {_alike(of, 'sole')}; sealed {_alike(of, 'sealed')}"
    )),
    Context("capimagine.text_dissimilar", lambda of: (
        f"raw cosines of 'sole' between words {_cosine(of, 'cosine_words')}, between patches "
        f"{_cosine(of, 'cosine_patches')}"
    )),
)  # fmt: skip
