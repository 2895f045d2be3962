"""What the laws are worth, in words, tables and one figure each."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import xarray

from tokdyn.stats import clopper_pearson
from tokdyn.studies.documents import Figure, Report, brackets, bullets, table
from tokdyn.studies.skeleton import Study, machine
from tokdyn.studies.theory.claims import findings
from tokdyn.studies.theory.design import LAWS, Config
from tokdyn.studies.theory.experiment import VARIABLES, measure, of_law


def headline(dataset: xarray.Dataset) -> str:
    """One line for each law."""
    return "\n".join(f"{LAWS[row['law']].title}: {row['held']} of {row['cases']} cases." for row in _rows(dataset))


def _rows(dataset: xarray.Dataset) -> list[dict[str, Any]]:
    rows = []
    for name, law in LAWS.items():
        cases = of_law(dataset, name)
        held, random = int(cases["holds"].sum()), cases["source"].values == "random"
        ends = clopper_pearson(held, cases.sizes["case"])
        rows.append({
            "law": name, "cases": cases.sizes["case"], "of them random": int(random.sum()), "held": held,
            "random held": int(cases["holds"].values[random].sum()), "95 % interval": brackets(ends.low, ends.high),
            "largest error": f"{float(cases['error'].max()):.2g}",
            "tolerance": f"{law.tolerance:g}" + (" of it" if law.relative else ""),
        })  # fmt: skip
    return rows


def contents(dataset: xarray.Dataset, config: Config) -> Report:
    """What the laws are worth, in words, tables and figures."""
    rises = dataset["energy_rises"].mean("run")
    local, collapse = of_law(dataset, "local"), of_law(dataset, "collapse")
    owned = int((dataset["owned"].values == local["measured"].values).sum())
    near = np.abs(collapse["at"].values - 1) < 0.1
    missed = ~collapse["holds"].values
    blocks = [
        f"{len(LAWS)} laws, each predicted from the features alone and measured in runs, on tabulated cases and on "
        f"random ones: 1 to 256 dimensions, 2 to 16 tokens, random covariances, symmetric and skewed. "
        f"{dataset.attrs['simulation_seconds']:.0f} s, compilation included; float64 ({machine(dataset)}).",
        "A case holds where prediction and measurement differ by no more than the tolerance of its law, which was "
        "set on other random cases than these (key 0). Intervals are exact (Clopper-Pearson).",
        table(_rows(dataset)),
        "## The laws",
        bullets([f"**{law.title}** (`{name}`): {law.statement}. Compared: {law.compares}." for name, law in
                 LAWS.items()]),
        "## Where they end",
        f"Local stability is local. In the published study's own scenes {int(local['holds'].sum())} of "
        f"{local.sizes['case']} clusters with two tokens or more follow the covariance of their cluster, and {owned} "
        "that of the features which their tokens own: the law needs what the tokens own, and a cluster is a stand-in.",
        f"Of the {int(missed.sum())} of {collapse.sizes['case']} runs at high temperatures that the global law misses, "
        f"{int((missed & near).sum())} are within 10 % of the critical temperature, where a hundred steps are too few "
        "or skew keeps tokens apart.",
        "What no step does: with inertia or repulsion the free energy of the attraction rises in "
        + ", ".join(f"{float(rises.sel(rule=name)):.0%} ({name})" for name in rises["rule"].values)
        + " of the published study's steps. Its repulsion has a potential, but is not divided by the masses as the "
        "attraction is, so that where masses differ its resting places are stationary points of no sum of the two.",
        "## Collapse, and what the published scores see of it",
        f"Noise 0.6, four clusters, {_seeds(dataset)} seeds, at most 100 steps with the published tolerance. The "
        "published flag, which counts tokens that own features, is raised in "
        f"{float(dataset['collapse_flag'].max()):.0%} of runs at most: tokens that are nearly one still divide the "
        "features between them, and the adjusted Rand index of that division is far from 0. After tokens nearer than "
        "0.1 are merged it is 0.",
        table(_hot(dataset)),
    ]  # fmt: skip
    return Report("The laws of token dynamics", blocks, _figures(dataset))


def _seeds(dataset: xarray.Dataset) -> int:
    return of_law(dataset, "collapse").sizes["case"] // dataset.sizes["heat"]


def _hot(dataset: xarray.Dataset) -> list[dict[str, Any]]:
    cases = of_law(dataset, "collapse")
    each = {name: cases[name].values.reshape(dataset.sizes["heat"], -1) for name in ("predicted", "measured", "holds")}
    return [
        {
            "temperature": f"{float(heat):g}", "all tokens one": float(each["measured"][i].mean()),
            "predicted": float(each["predicted"][i].mean()), "runs that agree": float(each["holds"][i].mean()),
            "published flag": float(dataset["collapse_flag"][i]), "ARI": float(dataset["collapse_ari"][i]),
            "merge-aware ARI": float(dataset["collapse_merged_ari"][i]),
        }
        for i, heat in enumerate(dataset["heat"].values)
    ]  # fmt: skip


def _figures(dataset: xarray.Dataset) -> list[Figure]:
    def drawn(name: str) -> Any:
        from tokdyn.plot import laws

        return getattr(laws, name)(dataset)

    captions = {
        "descent": "The decrease of the free energy in a step, against its certificate; the line is equality.",
        "multiplier": "The multiplier of a small difference, against its prediction; the line is equality.",
        "local": "How often tokens of one cluster are apart in the end, against the temperature over the cluster's "
                 "critical one; every mark is a cluster, jittered up and down.",
        "collapse": "Share of runs in which all tokens are one, against temperature over the critical one of the run's "
                    "own features, with 95 % intervals (Clopper-Pearson); the line is the law.",
        "pitchfork": "The distance of two tokens below the critical temperature, against its prediction.",
        "slowing": "Steps for a factor e on both sides of the critical temperature; marks are measured.",
        "hysteresis": "Spread of the tokens while cooling and heating, by distribution and number of tokens. "
                      "Marks: where heated tokens merge by the table.",
        "cascade": "Distinct tokens while three clusters are cooled: predicted (line) and measured (marks).",
        "inertia": "The spectral radius of a step with inertia, against the heavy ball's; the line is equality.",
        "repulsion": "Distances of two repelling tokens over their predicted resting value in 48 steps, against the "
                     "multiplier a of the attraction; dashed: where the law says that they begin to swing.",
        "chaos": "The exponent of the pair's reduced map; above 0 nearby orbits part. Marks: tabulated values.",
    }  # fmt: skip
    return [Figure(f"{name}.png", captions[name], partial(drawn, name)) for name in LAWS]


STUDY = Study("theory", measure, Config, contents=contents, headline=headline, findings=findings, variables=VARIABLES)
