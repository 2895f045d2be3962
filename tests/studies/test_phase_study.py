"""The phases: what theory says of them, on a grid small enough for seconds."""

import json

import jax
import numpy as np
import pandas as pd
import pytest
import xarray
from compiled import compiled

import tokdyn as td
from tokdyn import claims
from tokdyn.studies import output, phase
from tokdyn.studies.phase.claims import findings
from tokdyn.studies.phase.design import MOMENTUM, RATIO, REPULSION
from tokdyn.studies.phase.report import front_of
from tokdyn.theory import critical_temperature

SMALL = phase.Config(temperatures=6, repulsions=3, momenta=(0.0, 0.5), seeds=12)


@pytest.fixture(scope="module")
def dataset():
    return phase.run(SMALL)


def test_the_critical_temperature_is_where_merged_tokens_lose_stability():
    """Above it a small split shrinks, below it grows: by the factor 2 lambda / T a step."""
    with jax.enable_x64(True):
        features = np.random.default_rng(0).normal(size=(200, 3)) * np.array([3.0, 1.0, 0.5])
        critical = compiled(critical_temperature)(features)
        direction = np.linalg.eigh(np.cov(features.T, ddof=0))[1][:, -1]
        start = features.mean(axis=0) + 1e-5 * np.array([[1.0], [-1.0]]) * direction
        for ratio in (0.8, 1.25):
            rule = td.catalog.soft_kmeans(temperature=ratio * critical)
            _, path = td.trajectory(rule, None, features, tokens=start, num_steps=3)
            _, first, second = np.asarray(path)
            growth = np.linalg.norm(second[0] - second[1]) / np.linalg.norm(first[0] - first[1])
            np.testing.assert_allclose(growth, 1 / ratio, rtol=1e-4)


def test_tokens_merge_above_the_critical_temperature_unless_they_repel(dataset):
    hottest = dataset["distinct_tokens"].isel({RATIO: -1}).sel(resolution=1.0)
    assert (hottest.sel({REPULSION: 0.0}) == 1).all()
    assert (hottest.isel({REPULSION: -1}) == 4).mean() > 0.9
    coldest = dataset["distinct_tokens"].isel({RATIO: 0}).sel({REPULSION: 0.0, "resolution": 0.1})
    assert (coldest == 4).all()


def test_distinct_tokens_fall_with_the_resolution(dataset):
    assert (dataset["distinct_tokens"].diff("resolution") <= 0).all()


def test_period_two_is_a_matter_of_repulsion_without_momentum(dataset):
    period = dataset["period_two"].mean("seed")
    assert float(period.sel({REPULSION: 0.0}).max()) == 0.0
    repelled = period.sel({REPULSION: period[REPULSION] > 0})
    assert float(repelled.sel({MOMENTUM: 0.0}).max()) > 0.1
    assert float(repelled.sel({MOMENTUM: 0.5}).max()) < float(repelled.sel({MOMENTUM: 0.0}).max())
    assert not (dataset["period_two"] & dataset["at_rest"]).any()


def test_a_run_is_the_run_a_user_would_write(dataset):
    cell = dataset.isel({MOMENTUM: 1, REPULSION: 1, RATIO: 3}).sel(seed=5)
    from tokdyn.solve import random_features

    @compiled
    def drawn():
        key = td.keys.for_seed(jax.random.key(0), 5)
        features = td.data.blobs(td.keys.for_purpose(key, "data"), num_clusters=4, noise=0.6).features
        start = random_features(td.keys.for_purpose(key, "tokens"), features, 4)
        return features, start, critical_temperature(features)

    features, start, critical = drawn()
    temperature = float(cell[RATIO]) * critical
    changes = {"attract.temperature": temperature, "repel.strength": float(cell[REPULSION]), "inertia.momentum": 0.5}
    rule = td.with_values(td.catalog.published("baseline"), changes)
    result = td.run(rule, None, features, tokens=start, max_steps=200, tol=1e-3, stop="residual")
    assert abs(int(result.num_steps) - int(cell.num_steps)) <= 1
    np.testing.assert_allclose(cell.critical, critical, rtol=1e-5)


def test_the_front_is_measured_on_other_seeds_than_chose_it(dataset):
    records = front_of(dataset)
    assert records
    record = records[-1]
    place = {MOMENTUM: record["momentum"], REPULSION: record["repulsion"], RATIO: record["T/T_c"]}
    fresh = dataset.sel(place).isel(seed=slice(1, None, 2))
    np.testing.assert_allclose(record["merge-aware ARI"], fresh.merged_ari.mean(), rtol=1e-6)
    assert [r["steps"] for r in records] == sorted(r["steps"] for r in records)


def test_the_report_and_its_files(dataset, tmp_path):
    path = phase.report(dataset, tmp_path / "out", wall_seconds=1.0)
    text = path.read_text()
    for phrase in ("432 runs", "Collapse. Without repulsion", "Stability. Without momentum", "Speed against quality"):
        assert phrase in text, phrase
    assert "nan" not in text.lower()
    for name in ("quality", "rest", "period_two", "steps", "merging", "resolutions", "pareto"):
        assert (tmp_path / "out" / "plots" / f"{name}.png").stat().st_size > 5000
    assert len(pd.read_csv(tmp_path / "out" / "cells.csv")) == 36
    stored = xarray.open_zarr(tmp_path / "out" / "runs.zarr", consolidated=False)
    np.testing.assert_array_equal(stored.num_steps, dataset.num_steps)
    config = json.loads((tmp_path / "out" / "metadata.json").read_text())["config"]
    assert output.config_from(phase.Config, config) == SMALL


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"temperatures": 1}, "temperatures: expected a static integer of at least 2, got 1"),
        ({"lowest": 0.0}, "lowest: expected a number above 0, got 0.0"),
        ({"highest": 0.001}, "highest: expected a number above 0.005, got 0.001"),
        ({"momenta": ()}, "momenta: expected at least one, each once"),
        ({"seeds": 0}, "seeds: expected a static integer of at least 1, got 0"),
    ],
)
def test_bad_designs_get_a_sentence(changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        phase.run(phase.Config(**changes))


@pytest.mark.slow
def test_the_whole_study_says_what_is_shipped():
    """400,000 runs; about a minute on two cores."""
    assert claims.check(findings(phase.run(phase.Config()))) == []
