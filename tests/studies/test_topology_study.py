"""Topology as a study: its scores by hand, its rule for dimensions, its verdicts and its report."""

import dataclasses
import json

import jax
import numpy as np
import pytest
import xarray

from tests.studies import resumed
from tokdyn import environment, geometry
from tokdyn.studies import meanings, topology
from tokdyn.studies.topology import claims, design, experiment, whole

SEEDS = 5


def test_interpretability_by_its_parts():
    """Smooth gray patterns: channels alike, one number each for variance and roughness."""
    ramp = np.broadcast_to(np.linspace(0, 1, 8, dtype=np.float32)[:, None, None], (8, 8, 3))
    found = float(jax.jit(whole.interpretability)(ramp[None]))
    varied, rough = ramp[..., 0].var(ddof=1), 1 / 7
    assert found == pytest.approx((varied + 1 / (1 + rough) + 1) / 3, rel=1e-4)


def test_published_overlap_drops_the_first_of_six():
    """Places that are the vectors' own order keep everything; the same place for all keeps what has small numbers."""
    angles = 0.1 * np.arange(12) + 0.007 * np.arange(12) ** 2  # no two distances alike
    rows = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    call = jax.jit(whole.overlap_published, static_argnums=2)
    assert float(call(rows, rows, "differences")) == 1
    same = np.zeros((12, 2), np.float32)
    first = np.arange(1, 6)  # of six equal ones, the first is dropped
    unit = rows @ rows.T
    meant = np.argsort(-unit, axis=1, kind="stable")[:, 1:6]
    assert float(call(rows, same, "differences")) == pytest.approx(np.isin(meant, first).mean(), abs=0.05)


def test_kept_of_each_is_the_library_overlap():
    draw = np.random.default_rng(0)
    rows, places = draw.normal(size=(30, 6)), draw.normal(size=(30, 2))
    kept = geometry.preservation(rows.astype(np.float32), places.astype(np.float32), num_neighbours=5, metric="cosine")
    assert experiment.kept_of_each(rows, places).mean() == pytest.approx(float(kept.overlap), abs=1e-6)


def test_midpoints_of_places():
    places = np.full((36, 2), 50.0) + np.arange(36)[:, None]
    for number, pair in enumerate(design.MIDPOINTS):
        for word in pair:
            places[design.WORDS.index(word)] = [10 * number, 0]
    # "cat" is in two pairs, and stays with the one that named it last.
    assert experiment.midpoints(places) >= 0.8


def dataset_of(*, overlap=0.23, published=0.1, spread=1e-3, last=1e-6, two=0.5):
    """A Dataset of the study's shape, with numbers around given ones."""
    config = dataclasses.replace(design.Config(), seeds=SEEDS, pull_seeds=SEEDS, map_seeds=SEEDS, sweep_seeds=SEEDS)
    draw = np.random.default_rng(0).normal
    after = {"reconstruction": 0.52, "overlap_published": published, "overlap": overlap, "trustworthiness": 0.6,
             "continuity": 0.65, "rank_correlation": 0.2, "composition": 0.3, "interpretability": 0.43,
             "overall": 0.33}  # fmt: skip
    shape = (len(design.MODELS), SEEDS)
    variables = {
        name: (("model", "seed", "end"), np.stack([np.full(shape, 0.05), value + 0.01 * draw(size=shape)], axis=2))
        for name, value in after.items()
    }
    noise = 1 + 0.05 * draw(size=shape)
    variables["spread"] = (("model", "seed", "end"), np.stack([np.ones(shape), spread * noise], axis=2))
    variables["topology"] = (("model", "seed", "end"), np.stack([0.0041 * noise, last * noise], axis=2))
    variables["steps"] = (("model", "seed"), np.full(shape, 200))
    for name, value in (("pull_overlap", 0.2), ("pull_published", 0.1), ("pull_spread", 0.01)):
        variables[name] = (("pull", "pull_seed"), value + 0.001 * draw(size=(len(design.ALONE), SEEDS)))
    variables["map_overlap"] = (("map", "map_seed"), np.full((len(design.MAPS), SEEDS), 0.7))
    variables["map_overlap"][1][-1] = 0.14 + 0.005 * draw(size=SEEDS)
    maps = ("map_trustworthiness", "map_continuity", "map_correlation", "pearson", "midpoints")
    variables |= {
        name: (("map", "map_seed"), 0.7 + 0.01 * draw(size=(len(design.MAPS), SEEDS))) for name in maps
    }  # fmt: skip
    levels = np.array([two, 0.7, 0.82, 0.84, 0.85, 0.85])[None, :, None]
    sweep = (len(meanings.SOURCES), len(design.DIMENSIONS), SEEDS)
    variables |= {
        name: (("source", "dimension", "sweep_seed"), levels + 0.002 * draw(size=sweep))
        for name in ("fitted", "held_out", "components")
    }
    coords = {
        "model": list(design.MODELS), "end": list(experiment.AFTER), "pull": list(design.ALONE),
        "map": list(design.MAPS), "source": list(meanings.SOURCES), "dimension": list(design.DIMENSIONS),
    }  # fmt: skip
    return xarray.Dataset(variables, coords).assign_attrs(
        study="topology", schema_version=1, config=json.dumps(dataclasses.asdict(config)),
        environment=json.dumps(environment.describe()), simulation_seconds=1.0,
    )  # fmt: skip


def test_the_smallest_dimension_that_is_enough():
    assert claims.enough(dataset_of(), "words") == 4
    assert claims.enough(dataset_of(two=0.84), "tree") == 2


def verdicts(dataset):
    return {name.removeprefix("diffusion_lm."): one.verdict for name, one in topology.findings(dataset).items()}


def test_verdicts_follow_the_numbers():
    assert verdicts(dataset_of()) == {
        "topological_reconstruction": "reproduced", "topological_neighbours": "qualified",
        "topological_overall": "reproduced", "topological_loss": "reproduced", "topological_abandoned": "qualified",
        "umap_chance": "reproduced", "two_dimensions": "reproduced",
    }  # fmt: skip
    other = verdicts(dataset_of(overlap=0.1, spread=0.5, last=0.01, two=0.85))
    assert other["topological_neighbours"] == "reproduced"
    assert other["topological_abandoned"] == "contradicted"
    assert other["topological_loss"] == "contradicted"
    assert other["two_dimensions"] == "contradicted"


def test_the_report_says_what_the_dataset_has(tmp_path):
    dataset = dataset_of()
    text = topology.report(dataset, tmp_path / "out", plots=True).read_text()
    assert "Enough: **4** for rows of the map" in text
    kept = float(dataset["overlap"].sel(model="published", end="after").mean())
    assert f"{kept:.3f} by right ones (chance 0.143)" in text
    for name in ("models", "dimensions"):
        assert (tmp_path / "out" / "plots" / f"{name}.png").stat().st_size > 2000


@pytest.mark.slow
def test_the_study_in_small_goes_on_from_its_store(tmp_path):
    config = design.Config(seeds=2, pull_seeds=3, map_seeds=2, sweep_seeds=2, num_steps=10)
    one = resumed.measured(experiment.measure, config, tmp_path / "store")
    kept = one["map_overlap"].mean("map_seed")
    assert float(kept.sel(map="network, contrastive")) > float(kept.sel(map="network, attraction")) + 0.2
    assert float(one["fitted"].sel(source="words", dimension=8).mean()) > 0.5


@pytest.mark.parametrize(
    "options", [{"seeds": 1}, {"pull_seeds": 1}, {"map_seeds": 1}, {"sweep_seeds": 1}, {"key": -1}]
)
def test_bad_designs(options):
    with pytest.raises(ValueError, match=f"^{next(iter(options))}: expected"):
        topology.Config(**options).checked()
