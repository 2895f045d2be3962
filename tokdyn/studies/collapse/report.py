"""Which remedy works where, in words, tables and figures."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import numpy as np
import xarray

from tokdyn.stats import MeanInterval, clopper_pearson, holm, mean_interval, sign_flip_test
from tokdyn.studies.collapse.design import REGIMES, REMEDIES, STUDY_REGIMES, Config
from tokdyn.studies.collapse.experiment import VARIABLES, measure
from tokdyn.studies.documents import Figure, Report, brackets, table
from tokdyn.studies.skeleton import Study, machine

OTHERS = tuple(name for name in REMEDIES if name != "baseline")
LEVEL = 0.05
# Sign flips of a test. With 400 tests Holm's smallest adjusted p-value is 400 / 20,001.
FLIPS = 20_000


def differences(dataset: xarray.Dataset, outcome: str, regime: str, remedy: str) -> np.ndarray:
    """A remedy minus the baseline in a regime, by seed `[seeds that the regime has]`."""
    own = dataset[outcome].sel(regime=regime)
    found = (own.sel(remedy=remedy) - own.sel(remedy="baseline")).values
    return found[np.isfinite(found)]


def over_study(dataset: xarray.Dataset, outcome: str, remedy: str) -> MeanInterval:
    """A remedy minus the baseline, mean over the nine published conditions, with its interval over seeds."""
    return mean_interval(np.mean([differences(dataset, outcome, name, remedy) for name in STUDY_REGIMES], axis=0))


def comparisons(dataset: xarray.Dataset) -> list[dict[str, Any]]:
    """The primary outcome in every regime: mean difference, interval, and Holm's p-value over all of them."""
    config = STUDY.config_of(dataset)
    rows: list[dict[str, Any]] = []
    for regime in dataset["regime"].values:
        every = np.stack([differences(dataset, "merged_ari", regime, remedy) for remedy in OTHERS])
        test = sign_flip_test(every, key=jax.random.key(config.key), num_permutations=FLIPS)
        ends = mean_interval(every)
        for i, remedy in enumerate(OTHERS):
            rows.append({
                "regime": str(regime), "remedy": remedy, "difference": float(ends.mean[i]), "low": float(ends.low[i]),
                "high": float(ends.high[i]), "p": float(test.p_value[i]), "seeds": every.shape[1],
            })  # fmt: skip
    for row, adjusted in zip(rows, holm(np.array([row["p"] for row in rows])).tolist(), strict=True):
        row["Holm"] = adjusted
    return rows


def headline(dataset: xarray.Dataset) -> str:
    """What the remedies change in the published conditions."""
    parts = []
    for remedy in OTHERS:
        found = over_study(dataset, "ari", remedy)
        parts.append(f"{REMEDIES[remedy].title} {float(found.mean):+.4f} {brackets(found.low, found.high, 4)}")
    return "ARI minus that of plain dynamics, over the nine published conditions: " + "; ".join(parts) + "."


def contents(dataset: xarray.Dataset, config: Config) -> Report:
    """What the report says."""
    rows = comparisons(dataset)
    better, worse = (
        [row for row in rows if row["Holm"] < LEVEL and np.sign(row["difference"]) == sign] for sign in (1, -1)
    )
    blocks = [
        f"{len(REGIMES)} regimes and {len(REMEDIES)} remedies: {config.seeds} seeds in each of the nine published "
        f"conditions, {config.other_seeds} elsewhere; {dataset.attrs['simulation_seconds']:.0f} s, compiling included "
        f"({machine(dataset)}). For one seed every remedy gets the same scene.",
        headline(dataset),
        "The primary outcome, named before the run, is the merge-aware adjusted Rand index minus that of plain "
        "dynamics, paired by seed, in each regime; each difference is tested by flipping its signs, and the p-values "
        f"are corrected over all {len(rows)} tests (Holm). {len(better)} tests find a remedy better and {len(worse)} "
        f"worse, at {LEVEL:g}.",
        "## The published conditions", table(_study(dataset)),
        "## Collapse without a remedy",
        "Merged: tokens nearer than a tenth of the clusters' noise radius. A dead token owns no feature.",
        table(_plain(dataset)),
        "## Regimes and remedies",
        "Merge-aware ARI without a remedy, and what each remedy adds. A star marks what is not 0 after correction.",
        table(_regimes(dataset, rows)),
        "Moons and rings are negative controls: their clusters are not gathered around points, so that no remedy for "
        "collapse can find them.",
    ]  # fmt: skip
    figures = [
        Figure("remedies.png", "What each remedy adds to the merge-aware ARI of plain dynamics, by regime: mean paired "
               "differences and 95 % intervals over seeds.", partial(_drawn, rows)),
    ]  # fmt: skip
    return Report("Regimes and remedies", blocks, figures)


def _drawn(rows: list[dict[str, Any]]) -> Any:
    from tokdyn.plot.differences import paired_differences

    regimes = list(dict.fromkeys(row["regime"] for row in rows))
    each = {
        name: np.array([[row[name] for row in rows if row["remedy"] == remedy] for remedy in OTHERS])
        for name in ("difference", "low", "high", "Holm")
    }
    unbroken = [REGIMES[name].title.replace(" = ", "\u00a0=\u00a0") for name in regimes]  # no new line within "T = 1"
    return paired_differences(
        unbroken, each["difference"], each["low"], high=each["high"],
        label="merge-aware ARI, difference", panels=[REMEDIES[name].title for name in OTHERS],
        sure=each["Holm"] < LEVEL, sure_label="not 0 after Holm's correction",
    )  # fmt: skip


def _study(dataset: xarray.Dataset) -> list[dict[str, Any]]:
    own = dataset.sel(regime=list(STUDY_REGIMES))
    rows = []
    for remedy in REMEDIES:
        row: dict[str, Any] = {"remedy": REMEDIES[remedy].title}
        means = own.sel(remedy=remedy).mean()
        row |= {"ARI": float(means["ari"]), "merge-aware ARI": float(means["merged_ari"]),
                "steps": float(means["num_steps"]), "at rest": float(means["converged"]),
                "merged runs": float(means["merged"])}  # fmt: skip
        for outcome, title in (("ari", "ARI"), ("merged_ari", "merge-aware ARI")):
            found = over_study(dataset, outcome, remedy)
            row[f"{title}: difference"] = f"{float(found.mean):+.4f} {brackets(found.low, found.high, 4)}"
        rows.append(row)
    return rows


def _plain(dataset: xarray.Dataset) -> list[dict[str, Any]]:
    rows = []
    for name in dataset["regime"].values:
        own = dataset.sel(regime=name, remedy="baseline").dropna("seed", how="all")
        merged = own["merged"].values
        ends = clopper_pearson(int(merged.sum()), merged.size)
        rows.append({
            "regime": REGIMES[str(name)].title, "merged runs": float(merged.mean()),
            "95 %": brackets(ends.low, ends.high, 2), "distinct tokens": float(own["distinct"].mean()),
            "runs with a dead token": float((own["dead"] > 0).mean()), "at rest": float(own["converged"].mean()),
            "ARI": float(own["ari"].mean()), "merge-aware ARI": float(own["merged_ari"].mean()),
        })  # fmt: skip
    return rows


def _regimes(dataset: xarray.Dataset, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found = {(row["regime"], row["remedy"]): row for row in rows}
    told = []
    for name in dataset["regime"].values:
        plain = dataset["merged_ari"].sel(regime=name, remedy="baseline")
        line: dict[str, Any] = {"regime": REGIMES[str(name)].title, "plain": float(plain.mean())}
        for remedy in OTHERS:
            one = found[str(name), remedy]
            line[REMEDIES[remedy].title] = f"{one['difference']:+.3f}{' *' if one['Holm'] < LEVEL else ''}"
        told.append(line)
    return told


STUDY = Study("collapse", measure, Config, contents=contents, headline=headline, variables=VARIABLES)
