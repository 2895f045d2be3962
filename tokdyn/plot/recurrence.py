"""Figures of latent recurrences. Each takes the Dataset of ``tokdyn study recurrence``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray

from tokdyn.plot.style import COLOURS, figure, styled
from tokdyn.stats import mean_interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TRAINED = "trained"
_LOOK = {"trained": COLOURS[1], "random weights": COLOURS[2]}


def _panels(dataset: xarray.Dataset, **options: Any) -> tuple[Figure, list[tuple[Any, xarray.Dataset]]]:
    """A panel for each reasoner that feeds states back; the maps of the others are constant."""
    names = dataset["reference"].values[dataset["feeds"].values == "state"]
    made, axes = figure(1, len(names), **options)
    for panel, name in zip(axes[0], names, strict=True):
        panel.set_title(name)
    return made, [(panel, dataset.sel(reference=name)) for panel, name in zip(axes[0], names, strict=True)]


def _bands(panel: Any, values: xarray.DataArray, places: np.ndarray, within: tuple[float, float]) -> None:
    """Means and intervals `[network, item, x]`: of trained weights over items, of random ones over networks.

    Intervals end where values must.
    """
    units = {"trained": values.sel(network=TRAINED).values,
             "random weights": values.drop_sel(network=TRAINED).mean("item").values}  # fmt: skip
    for (label, colour), line in zip(_LOOK.items(), ("-", "--"), strict=True):
        found = mean_interval(units[label].astype(float), axis=0, within=within)
        panel.plot(places, found.mean, color=colour, linestyle=line, label=label)
        panel.fill_between(places, found.low, found.high, color=colour, alpha=0.25, linewidth=0)


@styled
def spectra(dataset: xarray.Dataset) -> Figure:
    """Eigenvalues at the first latent in the complex plane, and the unit circle."""
    made, panels = _panels(dataset, width=2.3, height=3.2, sharex=True, sharey=True)
    turn = np.linspace(0, 2 * np.pi, 200)
    for panel, one in panels:
        panel.plot(np.cos(turn), np.sin(turn), color=COLOURS[5], linewidth=1)
        networks = (dataset["network"].values[1], TRAINED)
        for network, label, size, marker in zip(networks, reversed(_LOOK), (2.2, 1.8), ("s", "o"), strict=True):
            real, imaginary = (one[f"eigenvalue_{part}"].sel(network=network).values for part in ("real", "imaginary"))
            panel.plot(real.ravel(), imaginary.ravel(), marker, color=_LOOK[label], markersize=size, alpha=0.5,
                       markeredgewidth=0, label=label)  # fmt: skip
        panel.set(xlabel="real part", aspect="equal")
    panels[0][0].set_ylabel("imaginary part")
    handles, labels = panels[0][0].get_legend_handles_labels()
    made.legend(handles, labels, loc="outside lower center", ncols=2, markerscale=3)
    return made


@styled
def residuals(dataset: xarray.Dataset) -> Figure:
    """How far a latent moves at each index of a roll-out, over its length."""
    made, panels = _panels(dataset, width=2.3, height=2.4, sharey=True)
    for panel, one in panels:
        # What is below single precision is nothing.
        logs = one["residual"].copy(data=np.log10(np.maximum(one["residual"].values, 1e-7)))
        _bands(panel, logs, dataset["index"].values, (-7, np.inf))
        panel.set(xlabel="index of the latent", xscale="log")
    panels[0][0].set_ylabel("log10 of step / length")
    panels[0][0].legend()
    return made


@styled
def distinct(dataset: xarray.Dataset) -> Figure:
    """How many latents of one item's map are still different."""
    made, panels = _panels(dataset, width=2.3, height=2.4, sharey=True)
    for panel, one in panels:
        _bands(panel, one["distinct_starts"], dataset["state"].values + 1, (1, float(one["distinct_starts"].max())))
        panel.set(xlabel="index of the latent", xscale="log", ylim=(0, None))
    panels[0][0].set_ylabel("different latents")
    made.legend(*panels[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return made


@styled
def exponents(dataset: xarray.Dataset) -> Figure:
    """The largest Lyapunov exponents of items and of random networks."""
    made, axes = figure(1, 1, width=4.6, height=2.6)
    panel = axes[0, 0]
    names = dataset["reference"].values[dataset["feeds"].values == "state"]
    for place, name in enumerate(names):
        values = dataset["exponent"].sel(reference=name).isel(order=0)
        units = (values.sel(network=TRAINED).values, values.drop_sel(network=TRAINED).mean("item").values)
        marks = zip(units, _LOOK.items(), (-0.15, 0.15), ("o", "s"), strict=True)
        for found, (label, colour), aside, marker in marks:
            spread = aside + 0.1 * np.linspace(-1, 1, len(found))
            panel.plot(place + spread, found, marker, color=colour, markersize=4, markerfacecolor="none",
                       label=label if place == 0 else None)  # fmt: skip
    panel.axhline(0, color=COLOURS[5], linewidth=1)
    panel.set_xticks(range(len(names)), names)
    panel.set_ylabel("exponent per step")
    panel.legend()
    return made
