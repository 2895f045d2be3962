"""What the phases say to published claims."""

from __future__ import annotations

import xarray

from tokdyn.claims import Finding
from tokdyn.studies.phase.design import MOMENTUM, REPULSION


def findings(dataset: xarray.Dataset) -> dict[str, Finding]:
    """What the study says to published claims.

    Args:
        dataset: from ``run`` with the default design.

    Returns:
        A ``Finding`` for each claim that it bears on.
    """
    repelled = dataset.sel({REPULSION: dataset[REPULSION] > 0})

    def share(name: str, momentum: float) -> str:
        return f"{float(repelled[name].sel({MOMENTUM: momentum}).mean()):.0%}"

    free = float(dataset["at_rest"].sel({REPULSION: 0.0}).mean())
    return {
        "dynamics.regularisers_stabilise": Finding(
            f"runs that come to rest: {free:.0%} without repulsion; with it {share('at_rest', 0.0)} "
            f"at momentum 0, {share('at_rest', 0.5)} at 0.5, "
            f"{share('at_rest', 0.9)} at 0.9",
            "qualified",
            command="tokdyn study phase",
            note="inertia steadies what repulsion unsettles: without momentum "
            f"{share('period_two', 0.0)} of the repelled runs oscillate with period two",
        )
    }
