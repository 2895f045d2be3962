"""What the study says to published claims."""

from __future__ import annotations

import numpy as np
import xarray

from tokdyn.claims import CONTEXT, Finding
from tokdyn.studies import rules
from tokdyn.studies.context.design import ALONE, AVERAGE, CONNECTED
from tokdyn.studies.rules import AtMost, Equals, Estimate, Every, Judgement

COMMAND = "tokdyn study context"
SAME = 0.02  # shares of sentences that differ by less are one
LITTLE = 0.5  # of what the exact posterior gains over the commonest sense


def findings(dataset: xarray.Dataset) -> dict[str, Finding]:
    """What the study says to published claims.

    Args:
        dataset: from ``run`` with the default design.

    Returns:
        A ``Finding`` by claim.
    """
    return rules.findings(CLAIMS, dataset, COMMAND)


def gain(dataset: xarray.Dataset, reader: str) -> xarray.DataArray:
    """What a reader recovers more than the commonest sense does, by condition and seed."""
    return (dataset["recovered"].sel(reader=reader) - dataset["commonest"]).transpose("condition", "seed")


def share_of_oracle(dataset: xarray.Dataset, reader: str) -> xarray.DataArray:
    """A reader's gain over that of the exact posterior, 0 where that gains nothing `[condition, seed]`."""
    possible = gain(dataset, "oracle")
    return (gain(dataset, reader) / possible.where(possible > 0)).fillna(0.0)


def _alone(dataset: xarray.Dataset) -> list[Estimate]:
    values = gain(dataset, ALONE).values
    return [rules.mean(row, together=len(values)) for row in values]


def _in_context(dataset: xarray.Dataset) -> list[Estimate]:
    values = share_of_oracle(dataset, CONNECTED).values
    return [rules.mean(row, together=len(values)) for row in values]


def _told(dataset: xarray.Dataset) -> str:
    alone = gain(dataset, ALONE).mean("seed").values
    shares = {name: share_of_oracle(dataset, name).mean("seed").values for name in (AVERAGE, CONNECTED)}
    return (
        f"the pattern alone gains {np.abs(alone).max():.3f} at most over the commonest sense; fixed patterns of the "
        f"words around, connected, {shares[CONNECTED].min():.0%} to {shares[CONNECTED].max():.0%} of what the exact "
        f"posterior gains, their mean {shares[AVERAGE].min():.0%} to {shares[AVERAGE].max():.0%}"
    )


CLAIMS = (
    Judgement(
        "diffusion_lm.fixed_patterns", Every(Equals(0.0, SAME)), _alone, CONTEXT,
        reading=(Every(AtMost(LITTLE)), _in_context), told=_told,
        note="generated sentences of polysemes with known senses; read as: where tokens have fixed patterns, meaning "
        "that changes is lost; at most half of what the exact posterior gains over the commonest sense",
    ),
)  # fmt: skip
