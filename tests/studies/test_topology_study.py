"""Topology as a study: its scores by hand, its rule for dimensions, its verdicts and its report."""

import dataclasses
import json

import jax
import numpy as np
import pytest
import xarray

from tests.studies import resumed
from tokdyn import environment, geometry
from tokdyn.studies import topology
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
    call = jax.jit(whole.overlap_published)
    assert float(call(rows, rows, False)) == 1
    same = np.zeros((12, 2), np.float32)
    first = np.arange(1, 6)  # of six equal ones, the first is dropped
    unit = rows @ rows.T
    meant = np.argsort(-unit, axis=1, kind="stable")[:, 1:6]
    assert float(call(rows, same, False)) == pytest.approx(np.isin(meant, first).mean(), abs=0.05)


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
    pulls = (len(design.ALONE), SEEDS)
    for name in ("overlap", "published", "trustworthiness", "continuity", "correlation"):
        variables[f"pull_{name}"] = (("pull", "pull_seed"), 0.2 + 0.001 * draw(size=pulls))
    for name in ("spread", "loss", "temperature"):
        variables[f"pull_{name}"] = (("pull", "pull_seed", "end"), 0.5 + 0.001 * draw(size=(*pulls, 2)))
    variables["map_overlap"] = (("map", "map_seed"), np.full((len(design.MAPS), SEEDS), 0.7))
    variables["map_overlap"][1][-1] = 0.14 + 0.005 * draw(size=SEEDS)
    maps = ("map_trustworthiness", "map_continuity", "map_correlation", "pearson", "midpoints", "map_shrunk_loss")
    variables |= {
        name: (("map", "map_seed"), 0.7 + 0.01 * draw(size=(len(design.MAPS), SEEDS))) for name in maps
    }  # fmt: skip
    levels = np.array([two, 0.7, 0.82, 0.84, 0.85, 0.85, 0.85])[None, :, None]
    sweep = (len(design.SOURCES), len(design.DIMENSIONS), SEEDS)
    variables |= {
        name: (("source", "dimension", "sweep_seed"), levels + 0.002 * draw(size=sweep))
        for name in ("fitted", "held_out", "components")
    }
    coords = {
        "model": list(design.MODELS), "end": list(experiment.AFTER), "pull": list(design.ALONE),
        "map": list(design.MAPS), "source": list(design.SOURCES), "dimension": list(design.DIMENSIONS),
    }  # fmt: skip
    return xarray.Dataset(variables, coords).assign_attrs(
        study="topology", schema_version=1, config=json.dumps(dataclasses.asdict(config)),
        environment=json.dumps(environment.describe()), simulation_seconds=1.0,
    )  # fmt: skip


def test_the_smallest_dimension_that_is_enough():
    assert claims.enough(dataset_of(), "words") == 4
    assert claims.enough(dataset_of(two=0.84), "tree") == 2


def test_two_dimensions_lose_nothing_where_all_keep_the_same():
    """By the same seeds the best of seven is above two by luck; by the others it is not, in the mean."""
    dataset = dataset_of()
    shape = dataset["fitted"].transpose("source", "dimension", "sweep_seed").shape[:2]
    draw = np.random.default_rng(1).normal
    equal = xarray.DataArray(0.8 + 0.02 * draw(size=(*shape, 400)), dims=("source", "dimension", "sweep_seed"))
    fair = xarray.Dataset({"fitted": equal}, {"source": dataset["source"], "dimension": dataset["dimension"]})
    found = np.array([
        claims.lost_in_two(fair.isel(sweep_seed=slice(start, start + 5)), str(source)).mean()
        for source in fair["source"].values for start in range(0, 400, 5)
    ])  # fmt: skip
    assert abs(found.mean()) < 4 * found.std(ddof=1) / np.sqrt(len(found))
    kept = equal.values.reshape(*shape, 80, 5).mean(axis=3)
    assert (kept.max(axis=1) - kept[:, 0]).mean() > 5 * found.std(ddof=1) / np.sqrt(len(found))


def test_a_shrunk_map_has_the_loss_of_its_spread():
    """The published loss is small for a good map as for a random one, and grows with the size alone."""
    draw = np.random.default_rng(0)
    rows = np.repeat(draw.normal(size=(6, 16)), 6, axis=0) + 0.1 * draw.normal(size=(36, 16))
    good = np.repeat(draw.normal(size=(6, 2)), 6, axis=0) + 0.1 * draw.normal(size=(36, 2))
    rows = rows.astype(np.float32)
    both = [experiment.shrunk_loss(rows, places) for places in (good, draw.normal(size=(36, 2)))]
    assert experiment.kept_of_each(rows, good).mean() > 0.9
    assert max(both) < 5 * design.SHRUNK
    assert experiment.shrunk_loss(rows, 1000 * good) == pytest.approx(both[0], rel=1e-4)


def verdicts(dataset):
    """Of the claims that the study can judge; to those about vectors of CLIP it adds context."""
    found = {name.removeprefix("diffusion_lm."): one.verdict for name, one in topology.findings(dataset).items()}
    about_clip = {f"umap_{name}": "open" for name in ("neighbours", "over_chance", "global", "composition", "overall")}
    assert about_clip.items() <= found.items()
    return {name: verdict for name, verdict in found.items() if name not in about_clip}


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


@pytest.mark.slow
@pytest.mark.parametrize("source", ["words", "factors"])
def test_the_steps_of_the_sweep_are_enough(source):
    """As the usual 500, in the plane, where the most is to be ordered."""
    kept = {steps: [] for steps in (design.SWEEP_STEPS, 500)}
    for seed in range(5):
        rows = experiment.features(source, jax.random.key(seed))
        for steps, found in kept.items():
            made = geometry.train_map(rows, key=jax.random.key(seed), metric="cosine", num_steps=steps)
            found.append(experiment.kept_of_each(rows, np.asarray(made(rows))).mean())
    assert np.mean(kept[design.SWEEP_STEPS]) == pytest.approx(np.mean(kept[500]), abs=0.02)


def test_any_pull_is_the_pull_of_its_number():
    places = np.random.default_rng(3).uniform(-1, 1, size=(36, 2)).astype(np.float32)
    call = jax.jit(lambda number: whole.any_pull(number).topology(places, 0.7))
    for number, name in enumerate(design.ALONE):
        pull, form = name.split(", ")
        one = geometry.topological_loss(whole.vectors(), num_neighbours=5, pull=pull, form=form)
        assert float(call(number)) == pytest.approx(float(jax.jit(one.topology)(places, 0.7)), rel=1e-5)
