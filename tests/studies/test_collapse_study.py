"""Regimes and remedies: statistics of numbers whose answer is known, and, slowly, the effects of a thousand seeds."""

import dataclasses
import json

import numpy as np
import pytest
import xarray

from tokdyn.studies import collapse
from tokdyn.studies.collapse import design, experiment
from tokdyn.studies.collapse.report import STUDY, comparisons, headline, over_study


def pretended(seeds=60, other_seeds=20, effect=0.0):
    """A Dataset in which k-means++ adds ``effect`` everywhere, and repulsion nothing at all."""
    rng = np.random.default_rng(0)
    config = collapse.Config(seeds=seeds, other_seeds=other_seeds)
    names, remedies = list(design.REGIMES), list(design.REMEDIES)
    shape = (len(names), len(remedies), seeds)
    values = {name: rng.uniform(0.2, 0.6, shape) for name in experiment.VARIABLES}
    for name in ("ari", "merged_ari"):
        values[name][:, remedies.index("repulsion")] = values[name][:, remedies.index("baseline")]
        values[name][:, remedies.index("kmeans_plus_plus")] = values[name][:, remedies.index("baseline")] + effect
    for name in ("merged", "converged"):
        values[name] = np.round(values[name])
    for i, name in enumerate(names):
        if name not in design.STUDY_REGIMES:
            for one in values.values():
                one[i, :, other_seeds:] = np.nan
    coords = {"regime": np.array(names, object), "remedy": np.array(remedies, object)}
    dims = ("regime", "remedy", "seed")
    made = xarray.Dataset({name: (dims, one) for name, one in values.items()}, coords)
    environment = {"versions": {"jax": "0"}, "devices": ["cpu"], "cores": 2}
    return made.assign_attrs(
        config=json.dumps(dataclasses.asdict(config)), simulation_seconds=1.0, environment=json.dumps(environment)
    )


def test_a_remedy_that_does_nothing_differs_nowhere_and_one_that_helps_everywhere():
    dataset = pretended(effect=0.1)
    rows = comparisons(dataset)
    assert len(rows) == len(design.REGIMES) * (len(design.REMEDIES) - 1)
    for row in rows:
        assert row["seeds"] == (60 if row["regime"] in design.STUDY_REGIMES else 20)
        if row["remedy"] == "repulsion":
            assert (row["difference"], row["p"], row["Holm"]) == (0, 1, 1)
        if row["remedy"] == "kmeans_plus_plus":
            assert row["difference"] == pytest.approx(0.1)
            assert row["Holm"] < 0.05
    found = over_study(dataset, "ari", "kmeans_plus_plus")
    assert float(found.mean) == pytest.approx(0.1)


def test_without_any_effect_correction_leaves_nothing():
    """All other remedies are independent of the baseline: of 396 tests none is left, but for once in twenty."""
    assert not [row for row in comparisons(pretended()) if row["Holm"] < 0.05]


def test_the_report_has_a_row_for_every_regime(tmp_path):
    dataset = pretended(effect=0.1)
    text = STUDY.report(dataset, tmp_path / "out").read_text()
    for regime in design.REGIMES.values():
        assert regime.title in text
    assert (tmp_path / "out" / "plots" / "remedies.png").stat().st_size > 10_000
    assert "k-means++ start +0.1000" in headline(dataset)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"seeds": 1}, "seeds: expected a static integer of at least 2"),
        ({"other_seeds": 1.5}, "other_seeds: expected"),
        ({"study_steps": 0}, "study_steps: expected"),
        ({"max_steps": 0}, "max_steps: expected"),
        ({"tol": -1.0}, "tol: expected a number of at least 0"),
        ({"key": -1}, "key: expected"),
    ],
)
def test_a_design_that_cannot_be_run_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        collapse.run(collapse.Config(**wrong))


def test_regimes_of_a_group_share_a_number_of_tokens():
    for group in design.GROUPS.values():
        assert len({regime.num_tokens for regime in group.values()}) == 1


@pytest.mark.slow
def test_effects_of_a_thousand_seeds(monkeypatch):
    """The table of the published conditions; tolerances are those of the acceptance, 3 standard errors or more."""
    monkeypatch.setattr(experiment, "GROUPS", {"study": design.STUDY_REGIMES})
    dataset = experiment.measure(collapse.Config())

    def effect(remedy):
        return float(over_study(dataset, "ari", remedy).mean)

    assert effect("repulsion") == pytest.approx(0.000, abs=0.001)
    assert effect("both") == pytest.approx(0.016, abs=0.003)
    assert effect("farthest_point") == pytest.approx(0.104, abs=0.010)
    assert effect("annealing") == pytest.approx(0.094, abs=0.010)
    plain = dataset["merged"].sel(remedy="baseline").mean("seed")
    assert float(plain.sel(regime="study_3_0.3")) > 0.9  # three clusters, four tokens, above each critical temperature
