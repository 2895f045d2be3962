"""Tables and tests of the study's Dataset: the published files' columns, and the statistics they lack."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from tokdyn import stats
from tokdyn.dynamics import catalog
from tokdyn.studies.dynamics.design import DIMENSIONS, Config

if TYPE_CHECKING:
    import pandas as pd
    import xarray

# The study's effect size divides by sd + 1e-9.
SD_FLOOR = 1e-9
THRESHOLDS = (0.001, 0.01, 0.05, 0.1, 0.5)


def runs_table(dataset: xarray.Dataset, config: Config) -> pd.DataFrame:
    """One row a run, with the columns and the order of the published ``token_dynamics_runs.csv``.

    Args:
        dataset: from ``run``.
        config: its design.

    Returns:
        A data frame of methods x noises x clusters x seeds rows.
    """
    import pandas as pd

    names = ["ari", "nmi", "sse", "num_steps", "min_token_distance", "collapsed"]
    # Order of the published rows: noise, clusters, method, seed.
    frame = dataset[names].to_dataframe(dim_order=["noise", "clusters", "rule", "seed"]).reset_index()
    momentum = frame["rule"].map({name: values[0] for name, values in catalog.PUBLISHED_METHODS.items()})
    repulsion = frame["rule"].map({name: values[1] for name, values in catalog.PUBLISHED_METHODS.items()})
    return pd.DataFrame(
        {
            "seed": frame["seed"],
            "n_clusters": frame["clusters"],
            "points_per_cluster": config.points_per_cluster,
            "dim": config.num_dimensions,
            "cluster_std": frame["noise"],
            "ari": frame["ari"],
            "nmi": frame["nmi"],
            "sse": frame["sse"],
            "steps": frame["num_steps"],
            "converged": frame["num_steps"] < config.max_steps,
            "min_inter_token_dist": frame["min_token_distance"],
            "collapsed": frame["collapsed"].astype(float),
            "n_tokens": config.num_tokens,
            "n_steps": config.max_steps,
            "temperature": config.temperature,
            "lr": config.rate,
            "momentum": momentum,
            "repulsion": repulsion,
            "method": frame["rule"],
        }
    )


def summary_table(runs: pd.DataFrame) -> pd.DataFrame:
    """Means and standard deviations (ddof 1) by method, noise and clusters, as the published summary.

    Args:
        runs: from ``runs_table``.

    Returns:
        One row a condition.
    """
    grouped = runs.groupby(["method", "cluster_std", "n_clusters"])
    columns = {
        f"{name}_{statistic}": (name, statistic)
        for name in ("ari", "nmi", "sse", "steps")
        for statistic in ("mean", "std")
    }
    return grouped.agg(**columns, collapsed_rate=("collapsed", "mean")).reset_index()


def tests(dataset: xarray.Dataset) -> dict[str, list[dict[str, Any]]]:
    """``condition_tests`` as "per_condition" and ``clustered_tests`` as "clustered_by_seed"."""
    return {"per_condition": condition_tests(dataset), "clustered_by_seed": clustered_tests(dataset)}


def condition_tests(dataset: xarray.Dataset) -> list[dict[str, Any]]:
    """Variant minus baseline within each condition, paired by seed: the published 27 tests, corrected.

    Args:
        dataset: from ``run``, with at least two seeds and two methods.

    Returns:
        One record a test: the published fields, whether it is ``degenerate`` (all pairs differ by one number), Holm
        and Benjamini-Hochberg p-values over the whole family, wins, losses and ties, Wilcoxon's and the sign test.
    """
    labels, differences = _differences(dataset)
    if not labels:
        return []
    test = stats.paired_t_test(differences, sd_floor=SD_FLOOR)
    rank = stats.wilcoxon_test(differences)
    sign = stats.sign_test(differences)
    return _records(
        labels,
        n=test.n,
        mean_diff=test.mean,
        t_stat=test.statistic,
        p_value=test.p_value,
        p_holm=stats.holm(test.p_value),
        p_benjamini_hochberg=stats.benjamini_hochberg(test.p_value),
        ci_low=test.low,
        ci_high=test.high,
        cohens_d=test.effect_size,
        degenerate=test.degenerate,
        wins=sign.wins,
        losses=sign.losses,
        ties=sign.ties,
        p_sign=sign.p_value,
        p_wilcoxon=rank.p_value,
    )


def clustered_tests(dataset: xarray.Dataset, variable: str = "ari") -> list[dict[str, Any]]:
    """Variant minus baseline over all conditions, with the seed as the unit.

    For one seed the noise levels scale the same draws and the cluster counts share their first centres, so the
    conditions of a seed are not independent: signs are flipped for whole seeds.

    Args:
        dataset: from ``run``, with at least two seeds and two methods.
        variable: what is compared.

    Returns:
        One record a variant: mean, t-interval over seed means, t-test over seed means, sign-flip p-value.
    """
    values = dataset[variable].transpose(*DIMENSIONS)
    if values.sizes["seed"] < 2 or values.sizes["rule"] < 2:
        return []
    baseline, *variants = [str(name) for name in values["rule"].values]
    differences = np.stack(
        [(values.sel(rule=name) - values.sel(rule=baseline)).mean(("noise", "clusters")).values for name in variants]
    )
    test = stats.paired_t_test(differences)
    flips = stats.sign_flip_test(differences, key=jax.random.key(0), num_permutations=20_000)
    detectable = stats.minimal_detectable_effect(values.sizes["seed"], sd=np.maximum(test.sd, 1e-12))
    return _records(
        [{"comparison": f"{name}_vs_{baseline}", "variable": variable} for name in variants],
        seeds=test.n,
        mean_diff=test.mean,
        ci_low=test.low,
        ci_high=test.high,
        t_stat=test.statistic,
        p_value=test.p_value,
        p_sign_flip=flips.p_value,
        minimal_detectable_effect=detectable,
        degenerate=test.degenerate,
    )


def means_by_method(dataset: xarray.Dataset) -> pd.DataFrame:
    """Every score, averaged over conditions and seeds; one row a method, in the design's order."""
    names = [name for name in dataset.data_vars if dataset[name].dims == DIMENSIONS and name != "status"]
    frame = dataset[names].mean(("noise", "clusters", "seed")).to_dataframe()
    frame["converged"] = (dataset["num_steps"] < json.loads(dataset.attrs["config"])["max_steps"]).mean(
        ("noise", "clusters", "seed")
    )
    return frame


def close_pairs(dataset: xarray.Dataset) -> pd.DataFrame:
    """Share of runs whose two nearest tokens lie below a distance; exactly coincident tokens count as nearest."""
    import pandas as pd

    distance = dataset["min_token_distance"].fillna(0.0)
    rows = {
        f"< {threshold:g}": (distance < threshold).mean(("noise", "clusters", "seed")).to_series()
        for threshold in THRESHOLDS
    }
    return pd.DataFrame(rows)


def _differences(dataset: xarray.Dataset) -> tuple[list[dict[str, Any]], np.ndarray]:
    """Labels of the tests, and ARI of a variant minus the baseline's as ``[tests, seeds]``."""
    values = dataset["ari"].transpose(*DIMENSIONS)
    if values.sizes["seed"] < 2:
        return [], np.zeros((0, 0))
    baseline, *variants = [str(name) for name in values["rule"].values]
    cells = itertools.product(values["noise"].values.tolist(), values["clusters"].values.tolist(), variants)
    labels = [
        {"noise": noise, "n_clusters": clusters, "comparison": f"{name}_vs_{baseline}"}
        for noise, clusters, name in cells
    ]
    gains = values.sel(rule=variants) - values.sel(rule=baseline)
    return labels, gains.transpose("noise", "clusters", "rule", "seed").values.reshape(len(labels), -1)


def _records(labels: list[dict[str, Any]], **columns: Any) -> list[dict[str, Any]]:
    """A record for each label: the label, and the numbers at its place; a single number is everybody's."""
    every = {name: np.broadcast_to(values, len(labels)).tolist() for name, values in columns.items()}
    return [{**label, **{name: values[i] for name, values in every.items()}} for i, label in enumerate(labels)]
