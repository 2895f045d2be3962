"""What the study says to published claims about composition."""

from __future__ import annotations

from collections.abc import Callable

import xarray

from tokdyn.claims import REPAIRED, RERUN, Finding
from tokdyn.studies import rules
from tokdyn.studies.composition.design import PAIRS, VISUAL
from tokdyn.studies.composition.published import chance
from tokdyn.studies.rules import AtLeast, AtMost, Context, Equals, Estimate, Every, Judgement, Rises, Typical

COMMAND = "tokdyn study composition"
WIDTH = 0.2  # of an interval for a further run
EFFECT = 0.05  # of a quality that lies between 0.4 and 0.667
WORSE = 0.7  # "40 % worse" leaves room to this ratio
FAILS = 0.5  # "fails": at most half of the held-out combinations
# What was compared as published: patterns through an untrained network, embeddings added.
AS_PUBLISHED = {"visual": "network", "embedding": "sum"}


def findings(dataset: xarray.Dataset) -> dict[str, Finding]:
    """What the study says to published claims.

    Args:
        dataset: from ``run`` with the default design.

    Returns:
        A ``Finding`` for each claim that it bears on.
    """
    return rules.findings(CLAIMS, dataset, COMMAND)


def quality(dataset: xarray.Dataset, model: str, composer: str, name: str = "quality") -> xarray.DataArray:
    """A number of pairs `[seed]`."""
    return dataset[name].sel(model=model, composer=composer)


def _one(model: str, composer: str) -> Callable[[xarray.Dataset], Estimate]:
    return lambda of: rules.one_more(quality(of, model, composer))


def _alike(of: xarray.Dataset) -> Estimate:
    """What embeddings gain over patterns where the same untrained network composes both."""
    return rules.mean(quality(of, "embedding", "network").values - quality(of, "visual", "network").values)


def ratio(of: xarray.Dataset, visual: str, embedding: str) -> xarray.DataArray:
    """Quality of patterns over that of embeddings `[seed]`."""
    return quality(of, "visual", visual) / quality(of, "embedding", embedding)


def _first_two(of: xarray.Dataset) -> list[Estimate]:
    return [rules.mean(quality(of, *pair, "first_two"), together=2) for pair in AS_PUBLISHED.items()]


def _held_out(of: xarray.Dataset) -> list[Estimate]:
    """Exact share of every operator on patterns, in both worlds."""
    cases = [(world, operator) for world in of["world"].values for operator in VISUAL]
    return [rules.mean(of["exact"].sel(world=w, operator=o), together=len(cases)) for w, o in cases]


def best_operator(means: xarray.DataArray) -> str:
    """Where the mean is largest. By number: xarray's ``idxmax`` does not take the names that Zarr gives back."""
    return str(means["operator"].values[int(means.argmax("operator"))])


def _told(of: xarray.Dataset) -> str:
    means = of["exact"].sel(operator=list(VISUAL)).mean("seed")
    each = []
    for world in of["world"].values:
        best = best_operator(means.sel(world=world))
        each.append(f"{best} {float(means.sel(world=world, operator=best)):.2f} ({world})")
    return f"held-out combinations read right, best operator on patterns: {', '.join(each)}"


def _target(of: xarray.Dataset) -> str:
    most = chance(len(PAIRS))["most"]
    added = float(quality(of, "embedding", "sum").mean())
    return (
        f"added embeddings have {added:.3f} and the measure ends at {most:.3f}: a gain by 1.5 would need "
        f"{1.5 * added:.2f}, which no model can have"
    )


def _percent(of: xarray.Dataset) -> str:
    each = [
        f"{100 * float(quality(of, *pair, 'recognised').mean()):.0f} % ({pair[0]}; "
        f"{100 * float(quality(of, *pair, 'first_two').mean()):.0f} % among the first two)"
        for pair in AS_PUBLISHED.items()
    ]
    return ", ".join(each)


CLAIMS = (
    Judgement(
        "diffusion_lm.composition_visual", Typical(0.4, WIDTH), _one("visual", "network"), RERUN,
        reading=(Rises(EFFECT), _alike),
        note="read as: the same composer does better on embeddings. 0.400 is what one ranking for all pairs gives, "
             "whatever it is: the composer is never trained, and embeddings composed by an untrained layer have as "
             "little",
    ),
    Judgement(
        "diffusion_lm.composition_embedding", Typical(0.667, WIDTH), _one("embedding", "sum"), RERUN,
        note="0.667 is the maximum of the measure",
    ),
    Judgement(
        "diffusion_lm.composition_ratio", Typical(0.6, WIDTH), lambda of: rules.one_more(ratio(of, "network", "sum")),
        RERUN, reading=(AtMost(WORSE), lambda of: rules.mean(ratio(of, "sum", "sum"))),
        note="read as: patterns are as much worse where both are added; 0.6 is chance over maximum",
    ),
    Judgement(
        "diffusion_lm.composition_recognition", Every(Equals(1.0, 0.0005)),
        lambda of: [rules.mean(quality(of, *pair, "recognised")) for pair in AS_PUBLISHED.items()], RERUN,
        reading=(Every(AtLeast(0.9)), _first_two), told=_percent,
        note="read as: the two components are the first two; counted were the first four of four concepts, which is "
             "all of them",
    ),
    Judgement(
        "diffusion_lm.composition_geometry", Every(AtMost(FAILS)), _held_out, REPAIRED, told=_told,
        note="parts as patterns, composed, and read by a trained network; pairs of values held out, every value seen",
    ),
    Context("diffusion_lm.composition_target", _target),
)  # fmt: skip
