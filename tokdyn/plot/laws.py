"""Figures of the laws of token dynamics: predicted and measured. Each takes the Dataset of ``tokdyn study theory``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray

from tokdyn.plot.style import COLOURS, MARKERS, figure, styled
from tokdyn.stats import clopper_pearson

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LOOK = {"tabulated": (COLOURS[0], "s"), "random": (COLOURS[1], "o")}


def _of(dataset: xarray.Dataset, law: str) -> dict[str, np.ndarray]:
    chosen = dataset.isel(case=np.flatnonzero(dataset["law"].values == law))
    return {name: chosen[name].values for name in ("source", "what", "at", "predicted", "measured")}


def _panel(width: float = 4.2, height: float = 3.2) -> tuple[Figure, Any]:
    made, axes = figure(1, 1, width=width, height=height)
    return made, axes[0, 0]


def _against(dataset: xarray.Dataset, law: str, label: str, *, log: bool = False) -> Figure:
    """Measured against predicted, with the line of equality."""
    found = _of(dataset, law)
    made, panel = _panel(3.6, 3.4)
    ends = [
        min(found["predicted"].min(), found["measured"].min()),
        max(found["predicted"].max(), found["measured"].max()),
    ]
    panel.plot(ends, ends, color=COLOURS[5], linewidth=1, zorder=1, label="equality")
    for source, (colour, marker) in _LOOK.items():
        here = found["source"] == source
        if here.any():
            panel.plot(found["predicted"][here], found["measured"][here], marker, color=colour, markersize=5,
                       markerfacecolor="none", label=f"{source}, {here.sum()} cases")  # fmt: skip
    if log:
        panel.set(xscale="log", yscale="log")
    panel.set(xlabel=f"{label}, predicted", ylabel="measured")
    panel.legend()
    return made


@styled
def descent(dataset: xarray.Dataset) -> Figure:
    """The decrease of the free energy against its certificate."""
    return _against(dataset, "descent", "decrease of F in a step, over |F|", log=True)


@styled
def multiplier(dataset: xarray.Dataset) -> Figure:
    """The multiplier of a difference against its prediction."""
    return _against(dataset, "multiplier", "multiplier of a difference", log=True)


@styled
def pitchfork(dataset: xarray.Dataset) -> Figure:
    """The distance of two tokens against its prediction."""
    return _against(dataset, "pitchfork", "distance over the standard deviation")


@styled
def inertia(dataset: xarray.Dataset) -> Figure:
    """The spectral radius with inertia against the heavy ball's."""
    return _against(dataset, "inertia", "spectral radius")


@styled
def local(dataset: xarray.Dataset) -> Figure:
    """Clusters whose tokens part or merge, by temperature over the cluster's critical one."""
    found = _of(dataset, "local")
    made, panel = _panel(4.6, 2.6)
    up = found["measured"] + np.random.default_rng(0).uniform(-0.14, 0.14, len(found["at"]))
    right = found["measured"] == found["predicted"]
    for here, colour, marker, text in ((right, COLOURS[1], "o", "as predicted"), (~right, COLOURS[5], "X", "not")):
        panel.plot(found["at"][here], up[here], marker, color=colour, markersize=5, alpha=0.7,
                   label=f"{text}: {here.sum()}")  # fmt: skip
    panel.axvline(1.0, linestyle="--", color=COLOURS[0], linewidth=1)
    panel.set(xscale="log", xlabel="temperature over the cluster's critical temperature", ylim=(-0.35, 1.35))
    panel.set_xticks([0.3, 0.5, 1, 2, 4], ["0.3", "0.5", "1", "2", "4"], minor=False)
    panel.set_xticks([], minor=True)
    panel.set_yticks([0, 1], ["one", "apart"])
    panel.set_ylabel("tokens in the end")
    panel.legend(loc="center right")
    return made


@styled
def collapse(dataset: xarray.Dataset) -> Figure:
    """Share of runs whose tokens are all one, in bins of the temperature over the critical one."""
    found = _of(dataset, "collapse")
    made, panel = _panel()
    edges = np.unique(np.quantile(found["at"], np.linspace(0, 1, 17)))
    place = np.clip(np.searchsorted(edges, found["at"], side="right") - 1, 0, len(edges) - 2)
    middle, shares, low, high = [], [], [], []
    for number in range(len(edges) - 1):
        inside = found["measured"][place == number]
        if not len(inside):
            continue
        ends = clopper_pearson(int(inside.sum()), len(inside))
        middle.append(float(np.exp(np.log(found["at"][place == number]).mean())))
        shares.append(inside.mean())
        low.append(float(ends.low))
        high.append(float(ends.high))
    mean = np.array(shares)
    panel.errorbar(middle, mean, [mean - np.array(low), np.array(high) - mean], fmt="o", color=COLOURS[1],
                   markersize=4, capsize=2, elinewidth=0.8, label="measured")  # fmt: skip
    panel.step([edges[0], 1.0, edges[-1]], [0, 1, 1], where="post", color=COLOURS[5], label="the law")
    panel.set(xscale="log", xlabel="temperature over the critical temperature", ylabel="share of runs that collapse")
    panel.legend()
    return made


@styled
def slowing(dataset: xarray.Dataset) -> Figure:
    """Steps for a factor e against the distance to the critical temperature."""
    from tokdyn.theory import relaxation_steps

    found = _of(dataset, "slowing")
    made, panel = _panel()
    momentum = np.array([float(what.split("momentum ")[1]) for what in found["what"]])
    ratios = 1 + np.geomspace(0.008, 0.09, 40)
    for number, value in enumerate(np.unique(momentum)):
        colour = COLOURS[number % len(COLOURS)]
        here = momentum == value
        panel.plot(ratios - 1, relaxation_steps(ratios, momentum=value), color=colour, linewidth=1)
        panel.plot(ratios - 1, relaxation_steps(2 - ratios, momentum=value), "--", color=colour, linewidth=1)
        above = found["at"] > 1
        for side, fill in ((here & above, colour), (here & ~above, "none")):
            panel.plot(abs(found["at"][side] - 1), found["measured"][side], MARKERS[number], color=colour,
                       markersize=5, markerfacecolor=fill)  # fmt: skip
        panel.plot([], [], MARKERS[number] + "-", color=colour, label=f"momentum {value:g}")
    panel.set(xscale="log", yscale="log", xlabel=r"$|1 - T / T_c|$ (filled, solid: above $T_c$; open, dashed: below)",
              ylabel="steps for a factor e")  # fmt: skip
    panel.legend()
    return made


@styled
def hysteresis(dataset: xarray.Dataset) -> Figure:
    """The two branches of a loop of cooling and heating, a panel a distribution."""
    kinds, ratio = dataset["distribution"].values, dataset["ratio"].values
    made, axes = figure(1, len(kinds), width=2.7, height=2.6, sharey=True, sharex=True)
    found = _of(dataset, "hysteresis")
    for panel, kind in zip(axes[0], kinds, strict=True):
        for number, count in enumerate(dataset["tokens"].values):
            branch = dataset.sel(distribution=kind, tokens=count)
            panel.plot(ratio, branch["hysteresis_cooling"], ":", color=COLOURS[number], linewidth=1.2)
            panel.plot(ratio, branch["hysteresis_heating"], "-", color=COLOURS[number], linewidth=1.2)
            end = found["predicted"][(found["what"] == f"{kind}, {count} tokens") & (found["source"] == "tabulated")]
            panel.plot(end, np.full(len(end), -0.04), MARKERS[number], color=COLOURS[number], markersize=5)
        panel.set_title(str(kind))
        panel.set_xlabel(r"$T / T_c$")
    axes[0, 0].set_ylabel("spread of tokens / of features")
    for number, count in enumerate(dataset["tokens"].values):
        axes[0, -1].plot([], [], MARKERS[number] + "-", color=COLOURS[number], label=f"{count} tokens")
    axes[0, -1].plot([], [], ":", color="#666666", label="cooling")
    axes[0, -1].plot([], [], "-", color="#666666", label="heating")
    handles, names = axes[0, -1].get_legend_handles_labels()
    made.legend(handles, names, loc="outside lower center", ncols=6)
    return made


@styled
def cascade(dataset: xarray.Dataset) -> Figure:
    """Distinct tokens against temperature."""
    made, panel = _panel()
    ratios = dataset["cooled"].values
    panel.step(ratios, dataset["cascade_predicted"], where="mid", color=COLOURS[5], label="predicted")
    panel.plot(ratios, dataset["cascade_measured"], "o", color=COLOURS[1], markersize=3.5, label="measured")
    panel.set(xscale="log", xlabel=r"$T / T_c$", ylabel="distinct tokens")
    panel.yaxis.get_major_locator().set_params(integer=True)
    panel.legend()
    return made


@styled
def repulsion(dataset: xarray.Dataset) -> Figure:
    """Distances of two repelling tokens against the multiplier of the attraction: a bifurcation diagram."""
    made, panel = _panel(4.8, 3.2)
    orbit = dataset["pair_orbit"].values
    panel.plot(np.repeat(dataset["pair"].values, orbit.shape[1]), orbit.ravel(), ".", color=COLOURS[0],
               markersize=2.2, markeredgewidth=0)  # fmt: skip
    panel.axvline(1 / 3, linestyle="--", color=COLOURS[5], linewidth=1, label="a = 1/3: begins to swing")
    panel.set(xlabel=r"multiplier $a = 2 \lambda / T$ of the attraction", ylabel="distance over its resting value",
              yscale="log")  # fmt: skip
    panel.legend()
    return made


@styled
def chaos(dataset: xarray.Dataset) -> Figure:
    """The exponent of the pair's map against the multiplier of the attraction."""
    made, panel = _panel(4.8, 2.8)
    found = _of(dataset, "chaos")
    tabulated = found["source"] == "tabulated"
    panel.plot(dataset["map"], dataset["chaos_exponent"], color=COLOURS[1], linewidth=1, label="measured")
    panel.plot(found["at"][tabulated], found["predicted"][tabulated], "s", color=COLOURS[0], markersize=5,
               markerfacecolor="none", label="tabulated")  # fmt: skip
    panel.axhline(0, color=COLOURS[5], linewidth=1)
    panel.set(xlabel=r"multiplier $a = 2 \lambda / T$ of the attraction", ylabel="exponent per step", ylim=(-2, 0.6))
    panel.legend(loc="upper right")
    return made
