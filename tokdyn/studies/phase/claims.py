"""What the phases say to published claims."""

from __future__ import annotations

import xarray

from tokdyn.claims import CONTEXT, Finding
from tokdyn.studies import rules
from tokdyn.studies.phase.design import MOMENTUM, REPULSION
from tokdyn.studies.rules import Estimate, InGeneral, Judgement, Rises

COMMAND = "tokdyn study phase"


def findings(dataset: xarray.Dataset) -> dict[str, Finding]:
    """What the study says to published claims."""
    return rules.findings(CLAIMS, dataset, COMMAND)


def _at_rest(of: xarray.Dataset, momentum: float, *, repelled: bool) -> xarray.DataArray:
    """Share of a seed's runs that come to rest."""
    chosen = of["at_rest"].sel({REPULSION: (of[REPULSION] > 0) == repelled}).sel({MOMENTUM: momentum})
    return chosen.mean([name for name in chosen.dims if name != "seed"])


def _steadier(of: xarray.Dataset) -> list[Estimate]:
    """How many more of a seed's runs come to rest: with inertia 0.5 among the repelled; with repulsion alone."""
    repelled, free = (_at_rest(of, 0.0, repelled=repelled) for repelled in (True, False))
    return [rules.mean(one, together=2) for one in (_at_rest(of, 0.5, repelled=True) - repelled, repelled - free)]


def _told(of: xarray.Dataset) -> str:
    def percent(momentum: float, *, repelled: bool = True) -> str:
        return f"{float(_at_rest(of, momentum, repelled=repelled).mean()):.0%}"

    return (
        f"runs that come to rest: {percent(0.0, repelled=False)} without repulsion; with it {percent(0.0)} at momentum "
        f"0, {percent(0.5)} at 0.5, {percent(0.9)} at 0.9"
    )


def _period_two(of: xarray.Dataset) -> str:
    repelled = of["period_two"].sel({REPULSION: of[REPULSION] > 0, MOMENTUM: 0.0})
    return (
        "two cases, inertia 0.5 among repelled runs and repulsion alone; without momentum "
        f"{float(repelled.mean()):.0%} of the repelled runs oscillate with period two"
    )


CLAIMS = (
    Judgement("dynamics.regularisers_stabilise", InGeneral(Rises()), _steadier, CONTEXT, told=_told, note=_period_two),
)
