"""What surplus tokens find, in words, tables and figures."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import xarray

from tokdyn.stats import clopper_pearson, mean_interval
from tokdyn.studies.documents import Figure, Report, brackets, table
from tokdyn.studies.overprovision.design import METHODS, ORACLE, TITLES, Config
from tokdyn.studies.overprovision.experiment import FAMILIES, VARIABLES, measure
from tokdyn.studies.overprovision.families import PUBLISHED
from tokdyn.studies.skeleton import Study, machine


def exact_by_seed(dataset: xarray.Dataset, method: str) -> np.ndarray:
    """Share of a seed's published conditions in which a method finds the number of clusters `[seed]`."""
    own = dataset.sel(rule=method, family=list(PUBLISHED))
    return (own["chosen"] == own["true"]).mean("family").values


def comparison(dataset: xarray.Dataset, method: str) -> Any:
    """The primary outcome: exact numbers by the plateau minus those by a method, with its interval over seeds."""
    return mean_interval(exact_by_seed(dataset, METHODS[0]) - exact_by_seed(dataset, method))


def headline(dataset: xarray.Dataset) -> str:
    """The share of exact numbers, beside the opponents'."""
    own = exact_by_seed(dataset, METHODS[0]).mean()
    said = f"Heated surplus tokens find the number of clusters in {own:.1%} of the published scenes, unlabelled"
    for method in _opponents(dataset):
        found = comparison(dataset, method)
        said += f"; {TITLES[method]} in {exact_by_seed(dataset, method).mean():.1%}"
        said += f" (difference {brackets(found.low, found.high)})"
    return said + "."


def _opponents(dataset: xarray.Dataset) -> list[str]:
    return [name for name in METHODS[1:] if name in dataset["rule"].values]


def contents(dataset: xarray.Dataset, config: Config) -> Report:
    """What the report says."""
    blocks = [
        f"{config.seeds} scenes of each condition; {dataset.attrs['simulation_seconds']:.0f} s, compilation included "
        f"({machine(dataset)}).",
        headline(dataset),
        "The primary outcome, named before the run, is the share of the nine published conditions in which the number "
        "of clusters is exact: the plateau's minus that of GMM + BIC, by seed, with Student's interval. It is one "
        "comparison, so that nothing is corrected; an interval around 0 is no proof of equality.",
        "## Fixed temperatures",
        f"Plain attraction, no labels used but to score. That temperature {ORACLE:g} is a good one is known only "
        "because the clusters of these scenes are known: these rows are what merging can do, not what a method does. "
        "Intervals are Student's over seeds, cut at 0 and 1; where all seeds agree they have no width.",
        table(_fixed(dataset)),
        "## Without labels",
        "`td.select_temperature` (16 tokens), scikit-learn's spherical Gaussian mixtures with 1 to 16 components and "
        "BIC, and its k-means with 2 to 16 clusters and silhouettes, on the same scenes. *Unknown* is an answer of the "
        "first only. The rule was built on the first families and not changed after it was run on the others.",
        "### Families that it was built on", table(of_families(dataset, is_built_on=True)),
        "### Families held back", table(of_families(dataset, is_built_on=False)),
    ]  # fmt: skip
    figures = [
        Figure("fixed.png", "Share of published scenes with the exact number of distinct tokens, over the temperature; "
               "bars are 95 % intervals over seeds.", partial(_drawn, "exact_by_temperature", dataset)),
        Figure("methods.png", "Share of scenes in which each method finds the number of clusters, by family; lines are "
               "95 % intervals (Clopper-Pearson).", partial(_drawn, "exact_by_family", dataset)),
    ]  # fmt: skip
    return Report("How many tokens?", blocks, figures)


def _drawn(name: str, dataset: xarray.Dataset) -> Any:
    from tokdyn.plot import overprovision

    return getattr(overprovision, name)(dataset, titles={name: family.title for name, family in FAMILIES.items()})


def _fixed(dataset: xarray.Dataset) -> list[dict[str, Any]]:
    rows = []
    for count in dataset["num_tokens"].values:
        for start in dataset["start"].values:
            for temperature in dataset["temperature"].values:
                cell = dataset.sel(num_tokens=count, start=start, temperature=temperature)
                exact = mean_interval(cell["exact"].mean("condition").values.astype(float), within=(0, 1))
                rows.append({
                    "tokens": int(count), "start": str(start), "temperature": f"{temperature:g}",
                    "exact number": float(exact.mean), "95 %": brackets(exact.low, exact.high),
                    "merge-aware ARI": float(cell["merged_ari"].mean()), "ARI": float(cell["ari"].mean()),
                })  # fmt: skip
    return rows


def of_families(dataset: xarray.Dataset, *, is_built_on: bool) -> list[dict[str, Any]]:
    """A row for each family: how often each method is exact, and what the plateau answers elsewhere."""
    rows = []
    for family in dataset["family"].values[dataset["is_built_on"].values == is_built_on]:
        own = dataset.sel(family=family)
        true, chosen = int(own["true"]), own["chosen"].sel(rule=METHODS[0]).values
        row: dict[str, Any] = {"family": FAMILIES[str(family)].title, "clusters": true}
        for method in dataset["rule"].values:
            right = own["chosen"].sel(rule=method).values == true
            ends = clopper_pearson(int(right.sum()), right.size)
            row[f"{TITLES[str(method)]}: exact"] = f"{right.mean():.2f} {brackets(ends.low, ends.high, 2)}"
            row[f"{TITLES[str(method)]}: ARI"] = float(own["score"].sel(rule=method).mean())
        row["unknown"] = float((chosen == 0).mean())
        answered = chosen[chosen > 0]
        row["usual answer"] = int(np.bincount(answered.astype(int)).argmax()) if answered.size else "unknown"
        rows.append(row)
    return rows


STUDY = Study("overprovision", measure, Config, contents=contents, headline=headline, variables=VARIABLES)
