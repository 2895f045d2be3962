"""What the recurrences of small reasoners add to published claims about collapsing latents: context, no verdict."""

from __future__ import annotations

import numpy as np
import xarray

from tokdyn.claims import Finding
from tokdyn.studies import rules
from tokdyn.studies.recurrence.design import TRAINED
from tokdyn.studies.rules import Context

COMMAND = "tokdyn study recurrence"


def findings(dataset: xarray.Dataset) -> dict[str, Finding]:
    """What the study adds to published claims, all of which are about named models: notes.

    Args:
        dataset: from ``run`` with the default design.

    Returns:
        A ``Finding`` without a verdict for each claim that it bears on.
    """
    return rules.findings(CLAIMS, dataset, COMMAND)


def _latent(dataset: xarray.Dataset) -> xarray.Dataset:
    """The reasoners that feed states back, trained."""
    return dataset.isel(reference=np.flatnonzero(dataset["feeds"].values == "state")).sel(network=TRAINED)


def _by_name(of: xarray.DataArray) -> str:
    return ", ".join(f"{float(of.sel(reference=name)):.2f} ({name})" for name in of["reference"].values)


def _gains(dataset: xarray.Dataset) -> str:
    mean = _latent(dataset)["gain"].mean(("item", "slot"))
    return (
        f"in small reasoners of known truth a small change of a latent reaches the next one by the factor "
        f"{_by_name(mean)}; below 1 it dies out"
    )


def _starts(dataset: xarray.Dataset) -> str:
    of = _latent(dataset)["distinct_starts"].mean("item")
    shares = of.isel(state=-1) / of.isel(state=0)
    return (
        f"in small reasoners of known truth, share of different latents that are still different after "
        f"{of.sizes['state'] - 1} steps of one item's map: {_by_name(shares)}"
    )


CLAIMS = (
    Context("capimagine.similarity_within_input", _gains),
    Context("capimagine.lvr_collapse_step", _starts),
    Context("capimagine.monet_collapse_step", _starts),
)
