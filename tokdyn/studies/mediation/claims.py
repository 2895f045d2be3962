"""What the study says to the claims of CapImagine: seldom about its models, often about what its tests can show."""

from __future__ import annotations

import xarray

from tokdyn.claims import Finding
from tokdyn.studies.mediation.design import CLEAN, WORDS
from tokdyn.studies.mediation.protocols import NO, YES

COMMAND = "tokdyn study mediation"
# Accuracy with imagined text that supports a wrong answer, percent: before, after.
TEXT_VSTAR = (85.9, 22.5)
_CONTEXT = "context only: small reasoners of known truth cannot judge the published models"


def findings(dataset: xarray.Dataset) -> dict[str, Finding]:
    """What the study says to published claims. Every verdict follows from the numbers of this Dataset.

    A claim about what a test showed on a published model stays open; where the same test says the same about a reasoner
    of which the opposite is true, the conclusion from the test is qualified.

    Args:
        dataset: from ``run`` with the default design.

    Returns:
        A ``Finding`` for each claim that it bears on.
    """

    def said(way: str, reference: str) -> str:
        return str(dataset["said"].sel(way=way, reference=reference).item())

    def percent(reference: str, arm: str) -> str:
        return f"{float(dataset['accuracy'].sel(reference=reference, arm=arm)):.1%}"

    def lift(reference: str, place: str) -> float:
        return float(dataset["lift"].sel(reference=reference, place=place))

    def alike(reference: str, site: str = "embedding") -> str:
        values = dataset["cosine_between"].sel(reference=reference, site=site, space="raw").values
        return ", ".join(f"{value:.2f}" for value in values if value == value)

    same = "same tensor everywhere"
    blind = said(same, "compute") == NO and said("donor swap, cache", "compute") == YES
    still = said("donor swap, embedding", "compute") == NO
    found = {
        "latent_answer_disconnect": _judged(
            blind,
            f"one tensor for all latents leaves 'compute' at {percent('compute', 'same tensor, embedding')} "
            f"(clean {percent('compute', CLEAN)}), though its answers follow a donor's slot cache "
            f"(lift {lift('compute', 'cache'):.2f})",
            "replacing what slots are fed cannot see what slots compute: no effect is no proof that latents do nothing",
        ),
        "input_latent_disconnect": _judged(
            still and blind,
            f"cosine between items of what slots are fed: {alike('compute')} in 'compute', of their states "
            f"{alike('compute', 'state')}",
            "what slots are fed may be the same for every item while their states carry the item's answer",
        ),
        "text_imagination_causal": _judged(
            lift("text", "words, last word") > 0.5 and lift("content", "cache") > 0.5,
            f"words of another picture: {percent('text', WORDS[0])} right (clean {percent('text', CLEAN)}), answers "
            f"follow them (lift {lift('text', 'words, last word'):.2f}); answers of 'content' follow a donor's latents "
            f"as much (lift {lift('content', 'cache'):.2f})",
            "words drive answers where nothing else can; so do latents: what else the answer may see decides",
        ),
    }
    near = "; ".join(
        f"{name} {percent(name, CLEAN)} clean, {percent(name, 'near zero, embedding')} near zero, "
        f"{percent(name, 'constant of own length, embedding')} a constant of own length"
        for name in ("bypassed", "soft_prompt")
    )
    context = {
        "mirage_stage_2_near_zero": near,
        "text_intervention_vstar": f"'text' with words of another picture: {percent('text', WORDS[0])}",
        "similarity_between_inputs": f"raw cosines by slot: content {alike('content')}; bypassed {alike('bypassed')}",
        "text_dissimilar": "raw cosines of 'content' between words "
        f"{float(dataset['cosine_words'].sel(reference='content', space='raw')):.2f}, between patches "
        f"{float(dataset['cosine_patches'].sel(reference='content', space='raw')):.2f}",
    }
    found |= {name: Finding(None, "open", f"{_CONTEXT}; {text}") for name, text in context.items()}
    return {f"capimagine.{name}": finding for name, finding in found.items()}


def _judged(holds: bool, ours: str, note: str) -> Finding:
    """Qualified, where the reasoners show that the test means less than was said; else open."""
    if holds:
        return Finding(ours, "qualified", note, COMMAND)
    return Finding(None, "open", f"{_CONTEXT}; {ours}")
