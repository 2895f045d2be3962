"""Latent recurrences as a study: its numbers on maps whose truth is known, and that the report says what is so."""

import dataclasses
import json

import numpy as np
import pytest
import xarray

from tokdyn import environment
from tokdyn.studies import recurrence
from tokdyn.studies.recurrence import experiment
from tokdyn.studies.recurrence.design import TRAINED, feeds, references
from tokdyn.studies.recurrence.report import estimates

ITEMS, STARTS, STEPS, WIDTH = 5, 4, 60, 3
CONFIG = recurrence.Config(items=ITEMS, networks=2, starts=STARTS, num_steps=STEPS)


def linear(factor, generator):
    """What ``experiment.followed`` would find of z -> factor * (z - 1) + 1."""
    starts = generator.normal(size=(ITEMS, STARTS, 1, WIDTH))
    powers = factor ** np.arange(STEPS + 1)
    path = 1 + starts * powers[:, None]
    latents = path[:, 0, :3]
    jacobian = np.broadcast_to(factor * np.eye(WIDTH), (ITEMS, 2, WIDTH, WIDTH))
    exponent = np.log(abs(factor)) if factor else -np.inf
    return {
        "latents": latents, "jacobians": jacobian, "exponents": np.full((ITEMS, 2), exponent),
        "path": path, "fixed": np.ones((ITEMS, WIDTH)), "fixed_jacobian": jacobian[:, 0],
        "fixed_residual": np.full(ITEMS, 0.0),
    }  # fmt: skip


def dataset_of(factors):
    """A Dataset of one reasoner that feeds states and one that feeds constants, from maps of known factors."""
    generator = np.random.default_rng(0)
    parts = [
        experiment._summary([linear(factor, generator) for factor in row], CONFIG).assign(feeds=((), kind))
        for row, kind in zip(factors, ("state", "constant"), strict=True)
    ]
    made = xarray.concat(parts, xarray.Variable("reference", ["moving", "still"]), join="outer")
    made = made.assign_coords(network=CONFIG.labels)
    return made.assign_attrs(
        study="recurrence", schema_version=1, config=json.dumps(dataclasses.asdict(CONFIG)),
        environment=json.dumps(environment.describe()), simulation_seconds=1.0,
    )  # fmt: skip


@pytest.fixture(scope="module")
def dataset():
    return dataset_of([(0.5, 1.1, -1.0), (0.0, 0.0, 0.0)])


def test_numbers_of_linear_maps(dataset):
    one = dataset.sel(reference="moving")
    for network, factor in zip(CONFIG.labels, (0.5, 1.1, -1.0), strict=True):
        here = one.sel(network=network)
        for name in ("gain", "spectral_radius", "stretch"):
            np.testing.assert_allclose(here[name], abs(factor))
        np.testing.assert_allclose(here["fixed_radius"], abs(factor))
    # At rest at 1; running away; alternating.
    assert [int(one["period"].sel(network=name)[0]) for name in CONFIG.labels] == [1, 0, 2]
    distinct = one["distinct_starts"].mean("item")
    assert distinct.isel(state=0).values.tolist() == [STARTS] * 3
    assert distinct.isel(state=-1).values.tolist() == [1, STARTS, STARTS]
    np.testing.assert_allclose(one["residual"].sel(network=TRAINED, index=STEPS), 0, atol=1e-12)


def test_a_network_without_a_fixed_point_has_no_radius_there():
    found = linear(0.5, np.random.default_rng(0))
    found["fixed_residual"] = np.array([0.0, 1.0, np.nan, 1e-6, np.inf])
    radii = experiment._of_network(found)["fixed_radius"]
    assert np.isfinite(radii).tolist() == [True, False, False, True, False]


def test_intervals_are_over_items_of_the_trained_network_and_over_random_networks():
    draw = np.random.default_rng(3).normal
    values = xarray.DataArray(draw(size=(3, 40)), dims=("network", "item"), coords={"network": CONFIG.labels})
    found = estimates(values)
    own = values.sel(network=TRAINED).values
    half = 2.0227 * own.std(ddof=1) / np.sqrt(40)  # Student, 39 degrees of freedom
    assert found["trained"] == pytest.approx((own.mean(), own.mean() - half, own.mean() + half), rel=1e-4)
    means = values.values[1:].mean(axis=1)
    half = 12.706 * means.std(ddof=1) / np.sqrt(2)
    assert found["random"] == pytest.approx((means.mean(), means.mean() - half, means.mean() + half), rel=1e-3)
    # Of a share: exact for items that are all alike, and within 0 and 1.
    flags = estimates(xarray.ones_like(values), share=True)
    assert flags["trained"] == pytest.approx((1, 0.025 ** (1 / 40), 1), abs=1e-9)
    assert flags["random"] == (1, 1, 1)
    gone = estimates(xarray.full_like(values, -np.inf))
    assert gone["trained"][0] == -np.inf


def test_the_report_says_what_the_dataset_has(dataset, tmp_path):
    text = recurrence.report(dataset, tmp_path / "out", plots=True).read_text()
    assert "gain 0.50 a step" in text
    assert "100% of items come to rest" in text
    assert "still (constants)" in text
    for name in ("spectra", "residuals", "distinct", "exponents"):
        assert (tmp_path / "out" / "plots" / f"{name}.png").stat().st_size > 2000
    other = dataset_of([(0.9, 1.1, -1.0), (0.0, 0.0, 0.0)])
    assert recurrence.headline(other) != recurrence.headline(dataset)


def test_claims_about_named_models_stay_open(dataset):
    for name, finding in recurrence.findings(dataset).items():
        assert finding.verdict == "open", name
        assert "context only" in finding.note
        assert "moving" in finding.note
        assert "still" not in finding.note.split(":", 1)[1].replace("still different", "")


def test_shipped_recurrences():
    known = references()
    assert "direct" not in known
    assert {feeds(one) for one in known.values()} == {"state", "constant", "word"}


@pytest.mark.slow
def test_what_is_trained_and_what_is_not():
    """The whole study in small: constants and words hand nothing on, states do, and a step is the model's own."""
    found = recurrence.run(recurrence.Config(items=4, networks=2, starts=2, num_steps=36))
    for name in found["reference"].values:
        one = found.sel(reference=name)
        gain = one["gain"].values[np.isfinite(one["gain"].values)]
        assert (gain > 0).all() if str(one["feeds"].values) == "state" else (gain == 0).all(), name


@pytest.mark.parametrize("options", [{"items": 1}, {"networks": 1}, {"starts": 99}, {"num_steps": 5}, {"key": -1}])
def test_bad_designs(options):
    with pytest.raises(ValueError, match=f"^{next(iter(options))}: expected"):
        recurrence.Config(**options).checked()
