"""Calibration: what follows from masks holds, counts are counted right, controls do badly, a cut-off run goes on."""

import json

import jax
import numpy as np
import pytest
import tiny
import xarray

from tokdyn.reasoning import audit, designs, shipped
from tokdyn.reasoning.audit import DIAGNOSTICS
from tokdyn.reasoning.estimands import Estimands
from tokdyn.studies import calibration
from tokdyn.studies.calibration import tables, trainings
from tokdyn.studies.calibration.controls import CONTROLS
from tokdyn.studies.calibration.experiment import JUDGED
from tokdyn.studies.calibration.report import _PANELS

SMALL = {"tasks": ("pointer chase",), "sizes": ("small",), "designs": ("sole", "sealed"), "seeds": 2, "num_steps": 20,
         "num_items": 24, "repetitions": 2, "truth_items": 500}  # fmt: skip
ARMS = [name for name, one in DIAGNOSTICS.items() if not one.looks]


@pytest.fixture(scope="module")
def drawn():
    """Smaller models whose weights are drawn: what masks decide, and what is counted, does not depend on training."""
    tiny_size = designs.Size(width=8, heads=2, hidden=8, layers=2, num_steps=20)

    def ensemble(reference, key, seeds, *, num_items):
        made = [tiny.untrained(reference.model, seed) for seed in seeds]
        variables = jax.tree.map(lambda *leaves: np.stack(leaves), *made)
        return {"variables": variables, "history": {"right": np.zeros((len(seeds), 20))}}

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(designs.SIZES, "small", tiny_size)
        patch.setattr(shipped, "ensemble", ensemble)
        yield


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def dataset(drawn, store):
    return calibration.run(calibration.Config(**SMALL), store=str(store))


class TestARun:
    def test_who_cannot_see_slots_never_alarms_an_arm(self, dataset):
        values = dataset["value"].sel(design="sealed")
        for name in ARMS:
            harmless = 1.0 if DIAGNOSTICS[name].kind == "p-value" else 0.0
            assert (values.sel(diagnostic=name) == harmless).all(), name
        accuracy = dataset["accuracy"].sel(design="sealed")
        for arm in ("donor", "mean", "zero", "noise", "removed", "donor embedding", "zero embedding"):
            np.testing.assert_array_equal(accuracy.sel(arm=arm), accuracy.sel(arm="clean"))

    def test_truth_is_what_masks_say(self, dataset):
        assert (dataset["bears"].sel(design="sole") == 1).all()
        assert (dataset["bears"].sel(design="sealed") == 0).all()
        assert (dataset["estimand"].sel(design="sealed", quantity="changed") == 0).all()

    def test_everything_is_judged(self, dataset):
        assert np.isfinite(dataset["value"]).all()
        assert list(dataset["diagnostic"].values) == [*DIAGNOSTICS, *CONTROLS]

    def test_controls_come_to_one_half(self, dataset):
        rows = {row["diagnostic"]: row for row in tables.ranking(dataset)}
        assert rows["control: always"]["score"] == rows["control: never"]["score"] == 0.5
        # Seeing slots and not seeing the image go with being used here; all designs together cross them.
        assert rows["control: answers may see latents"]["score"] == 1.0

    def test_it_goes_on_from_its_store(self, dataset, store, monkeypatch):
        def again(*arguments, **options):
            raise AssertionError("made again")

        monkeypatch.setattr(shipped, "ensemble", again)
        monkeypatch.setattr(trainings, "estimands", again)
        monkeypatch.setattr(audit.Suite, "runs", again)
        found = calibration.run(calibration.Config(**SMALL), store=str(store), workers=1)
        xarray.testing.assert_identical(found.drop_attrs(deep=False), dataset.drop_attrs(deep=False))
        assert found.attrs["suite"] == dataset.attrs["suite"]
        with pytest.raises(AssertionError, match="made again"):
            calibration.run(calibration.Config(**{**SMALL, "num_items": 30}), store=str(store))

    def test_the_report_is_written_at_once(self, dataset, tmp_path):
        path = calibration.report(dataset, tmp_path / "out")
        text = path.read_text()
        assert "## Ways of asking that mislead" in text
        assert calibration.headline(dataset).splitlines()[0] in text
        names = {str(one.relative_to(tmp_path / "out")) for one in (tmp_path / "out").rglob("*.*")}
        wanted = {"report.md", "ranking.csv", "metadata.json", "plots/alarms.png", "plots/strengths.png",
                  "plots/scores.png"}  # fmt: skip
        assert wanted <= names
        config = json.loads((tmp_path / "out" / "metadata.json").read_text())["config"]
        assert "store" not in config
        assert config["seeds"] == 2


@pytest.mark.slow
def test_controls_rank_below_other_items_latents(tmp_path):
    """All designs in one stratum, trained in full, twice: who reads masks, or nothing, is behind who swaps."""
    found = calibration.run(calibration.Config(tasks=("pointer chase",), sizes=("small",), seeds=2, repetitions=2))
    scores = {row["diagnostic"]: row["score"] for row in tables.ranking(found)}
    worst = min(scores[name] for name in (
        "donor lift, cache", "accuracy, donor's cache", "accuracy, donor's embedding", "accuracy, mean cache",
        "indirect / total above 0.1",
    ))  # fmt: skip
    assert max(scores[name] for name in CONTROLS) < worst
    accuracy = found["accuracy"].sel(arm="clean")
    assert (accuracy.sel(design=[name for name in found["design"].values if name != "weighed"]) > 0.9).all()
    idle = found["estimand"].sel(quantity=["changed", "indirect", "sufficient"], design=found["declared"] == 0)
    assert (idle == 0).all()
    alone = found["estimand"].sel(design=["sole", "relayed"])
    assert (alone.sel(quantity=["indirect", "sufficient"]) > 0.95).all()
    share = found["estimand"].sel(design="gated", quantity="indirect")
    assert (np.abs(share - designs.GATED_SHARE) < 0.06).all()
    # What is redundant can be removed, and matters all the same.
    redundant = found["estimand"].sel(design="redundant")
    assert (redundant.sel(quantity="changed_presence") < 0.05).all()
    assert (redundant.sel(quantity="changed") > 0.05).any()


def made_up(values, kinds, **more):
    """A Dataset of a stratum, a design of either truth and an open one, four trainings, two runs."""
    names = list(kinds)
    table = np.stack([np.asarray(values[name], float) for name in names])[:, None, None]
    bears = np.array([[1.0] * 4, [0.0] * 4, [np.nan] * 4])[None, None]
    estimand = np.zeros((1, 1, 3, 4, len(Estimands._fields)))
    estimand[..., Estimands._fields.index("changed")] = np.where(bears == 1, 0.3, np.where(bears == 0, 0.0, 0.02))
    return xarray.Dataset(
        {
            "value": (("diagnostic", "task", "size", "design", "training", "run"), table),
            "kind": ("diagnostic", list(kinds.values())),
            "looks": ("diagnostic", [False] * len(names)),
            "asks": ("diagnostic", ["cache"] * len(names)),
            "bears": (("task", "size", "design", "training"), bears),
            "declared": ("design", [1.0, 0.0, np.nan]),
            "attends": ("design", [True] * 3),
            "estimand": (("task", "size", "design", "training", "quantity"), estimand),
        },
        {"diagnostic": names, "task": ["t"], "size": ["s"], "design": ["sole", "sealed", "weighed"],
         "training": np.arange(4), "run": np.arange(2), "quantity": list(Estimands._fields)},
        {"config": json.dumps({"alpha": 0.05})},
    ).assign(more)  # fmt: skip


class TestCounting:
    def test_rates(self):
        p = np.full((3, 4, 2), 0.5)
        p[0, :3] = 0.05  # three of four load-bearing trainings at the level
        p[1, 0, 0] = 0.01  # half of one null training
        p[2] = 0.0  # open: nobody counts these
        row = tables.ranking(made_up({"p": p}, {"p": "p-value"}))[0]
        assert (row["sensitivity"], row["false_alarms"]) == (0.75, 0.125)
        assert row["score"] == (0.75 + 0.875) / 2
        assert (row["false_design"], row["false_rate"], row["missed_design"]) == ("sealed", 0.125, "sole")

    def test_arms_that_training_met_are_not_judged(self):
        values = np.full((3, 4, 2), 1.0)
        values[0] = np.nan
        row = tables.ranking(made_up({"p": values, "q": np.ones((3, 4, 2))}, {"p": "verdict", "q": "verdict"}))
        assert [one["diagnostic"] for one in row if np.isnan(one["score"])] == ["p"]

    def test_strengths_group_by_what_was_measured(self):
        p = np.full((3, 4, 2), 1.0)
        p[0, :2] = 0.0
        found = tables.by_strength(made_up({"p": p}, {"p": "p-value"}))["p"]
        assert found[0].tolist()[2] == 0.5  # 0.3 is between 15 and 40 %
        assert found[0].tolist()[0] == 0.0
        assert np.isnan(found[0][[1, 3]]).all()

    def test_an_arm_is_held_against_its_own_question(self):
        p = np.full((3, 4, 2), 1.0)
        p[0] = 0.0
        row = tables.own_question(made_up({"p": p}, {"p": "p-value"}))[0]
        assert (row["sensitivity"], row["false alarms"], row["trainings"]) == (1.0, 0.0, 4)


def test_every_diagnostic_of_a_figure_or_a_protocol_is_there():
    drawn = {name for group in _PANELS.values() for name in group} | {name for name, _ in tables.PROTOCOLS.values()}
    assert drawn <= set(JUDGED)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"designs": ("sole",)}, "designs: expected at least one null one"),
        ({"designs": ("sealed", "weighed")}, "designs: expected at least one load-bearing one"),
        ({"designs": ("sole", "sole", "sealed")}, "designs: expected one or more names, each once"),
        ({"designs": ("nobody", "sealed")}, "designs: expected one of"),
        ({"tasks": ()}, "tasks: expected one or more names"),
        ({"sizes": ("huge",)}, "sizes: expected one of"),
        ({"seeds": 1}, "seeds: expected"),
        ({"repetitions": 0}, "repetitions: expected"),
        ({"num_steps": 30}, "num_steps: expected a multiple of 20"),
        ({"truth_items": 600}, "truth_items: expected a multiple of 500"),
        ({"num_items": 8}, "num_items: expected"),
        ({"alpha": 1.0}, "alpha: expected"),
    ],
)
def test_designs_that_cannot_be_run(fields, sentence):
    with pytest.raises(ValueError, match=f"^{sentence}"):
        calibration.Config(**fields).checked()
