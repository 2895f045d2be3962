"""What the laws say to published claims."""

from __future__ import annotations

import xarray

from tokdyn.claims import RERUN, Finding
from tokdyn.studies import rules
from tokdyn.studies.rules import AtMost, Estimate, InGeneral, Judgement

COMMAND = "tokdyn study theory"
FEW = 0.05  # of steps: what "minimise" leaves room for


def findings(dataset: xarray.Dataset) -> dict[str, Finding]:
    """What the study says to published claims.

    Args:
        dataset: from ``run`` with the default design.

    Returns:
        A ``Finding`` for each claim that it bears on.
    """
    return rules.findings(CLAIMS, dataset, COMMAND)


def _rises(of: xarray.Dataset) -> list[Estimate]:
    """Share of a run's steps in which the free energy rises, for each of the published rules."""
    names = of["rule"].values
    return [rules.mean(of["energy_rises"].sel(rule=name), together=len(names)) for name in names]


def _told(of: xarray.Dataset) -> str:
    shares = ", ".join(f"{float(of['energy_rises'].sel(rule=name).mean()):.0%} ({name})" for name in of["rule"].values)
    return f"steps in which the free energy rises: {shares}"


CLAIMS = (
    Judgement(
        "dynamics.energy_minimising", InGeneral(AtMost(FEW)), _rises, RERUN, told=_told,
        note="attraction alone is descent with an exact certificate; with inertia the sum of energy and a kinetic term "
             "is what falls, and repulsion that is not divided by the masses has no such energy",
    ),
)  # fmt: skip
