"""Calibration: counts are counted right, what follows from masks holds, a run that was cut off goes on."""

import dataclasses
import json

import jax
import numpy as np
import pytest
import tiny
import xarray
from scipy import stats

from tokdyn import reasoning
from tokdyn.reasoning import shipped
from tokdyn.reasoning.audit import DIAGNOSTICS
from tokdyn.reasoning.exchange import answers_to, other_picture
from tokdyn.reasoning.references import catalog
from tokdyn.reasoning.training import items_of
from tokdyn.studies import calibration
from tokdyn.studies.calibration import ensembles, tables
from tokdyn.studies.calibration.report import _PANELS

SMALL = {"references": ("content", "masked"), "seeds": 2, "null_factor": 1, "num_steps": 20, "num_items": 24}
ARMS = [name for name, one in DIAGNOSTICS.items() if not one.looks]


@pytest.fixture(scope="module")
def shallow():
    """References cut to one layer: what masks forbid, and what is counted, does not depend on how many there are.

    One of the two is trained, the other's weights are drawn: to compile a training takes longer than all else here.
    """
    known = {
        name: dataclasses.replace(one, model=reasoning.reasoner(
            one.task, one.model.protocol, layers=1, width=8, heads=2, hidden=8
        ))
        for name, one in catalog("small").items()
    }  # fmt: skip
    train = shipped.ensemble

    def ensemble(reference, key, seeds):
        if reference.truth["slot cache"] == "none":
            return train(reference, key, seeds)
        drawn = [tiny.untrained(reference.model, seed) for seed in seeds]
        variables = jax.tree.map(lambda *leaves: np.stack(leaves), *drawn)
        return {"variables": variables, "history": {"right": np.zeros((len(seeds), 20))}}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ensembles, "catalog", lambda scale: known)
        patch.setattr(shipped, "ensemble", ensemble)
        yield


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def dataset(shallow, store):
    return calibration.run(calibration.Config(**SMALL), store=str(store))


class TestARun:
    def test_who_cannot_see_slots_never_alarms_an_arm(self, dataset):
        values = dataset["value"].sel(reference="masked", dial=0.0)
        for name in ARMS:
            harmless = 1.0 if DIAGNOSTICS[name].kind == "p-value" else 0.0
            assert (values.sel(diagnostic=name, training=[0, 1]) == harmless).all(), name
        accuracy = dataset["accuracy"].sel(reference="masked")
        for arm in ("donor", "mean", "zero", "noise", "removed", "donor embedding", "zero embedding"):
            np.testing.assert_array_equal(accuracy.sel(arm=arm), accuracy.sel(arm="clean"))

    def test_nothing_is_judged_twice_or_left_out(self, dataset):
        there = np.isfinite(dataset["value"]).all("diagnostic")
        assert there.sel(reference="content").all()
        assert there.sel(reference="masked", dial=0.0).all()
        assert not there.sel(reference="masked").isel(dial=slice(1, None)).any()

    def test_at_dial_zero_no_arm_has_done_anything(self, dataset):
        values = dataset["value"].sel(reference="content", dial=0.0)
        for name in ARMS:
            assert (values.sel(diagnostic=name) == (1.0 if DIAGNOSTICS[name].kind == "p-value" else 0.0)).all(), name

    def test_looking_gives_flat_curves(self, dataset):
        looking = dataset["value"].sel(reference="content").isel(diagnostic=dataset["looks"].values)
        assert (looking == looking.isel(dial=0)).all()

    def test_it_goes_on_from_its_store(self, dataset, store, monkeypatch):
        def no_training(*arguments, **options):
            raise AssertionError("trained again")

        monkeypatch.setattr(shipped, "ensemble", no_training)
        again = calibration.run(calibration.Config(**SMALL), store=str(store), workers=1)
        xarray.testing.assert_identical(again.drop_attrs(deep=False), dataset.drop_attrs(deep=False))
        assert again.attrs["suite"] == dataset.attrs["suite"]
        with pytest.raises(AssertionError, match="trained again"):
            calibration.run(calibration.Config(**{**SMALL, "num_steps": 40}), store=str(store))

    def test_the_report_is_written_at_once(self, dataset, tmp_path):
        path = calibration.report(dataset, tmp_path / "out")
        text = path.read_text()
        assert "## Ways of asking that mislead" in text
        assert calibration.STUDY.headline(dataset).splitlines()[0] in text
        names = {str(one.relative_to(tmp_path / "out")) for one in (tmp_path / "out").rglob("*.*")}
        wanted = {"report.md", "rates.csv", "metadata.json", "runs.zarr", "plots/alarms.png", "plots/sensitivity.png",
                  "plots/false_alarms.png"}  # fmt: skip
        assert wanted <= names
        config = json.loads((tmp_path / "out" / "metadata.json").read_text())["config"]
        assert "store" not in config
        assert config["seeds"] == 2
        back = xarray.open_zarr(tmp_path / "out" / "runs.zarr", consolidated=False)
        np.testing.assert_array_equal(back["value"], dataset["value"])


@pytest.mark.slow
def test_all_truths_hold_and_another_items_cache_finds_them():
    """Every reasoner trained in full, twice; what is declared of it holds."""
    found = calibration.run(calibration.Config(seeds=2, null_factor=1))
    accuracy = found["accuracy"].isel(training=[0, 1])
    assert (accuracy.sel(arm="clean") >= 0.94).all()
    bearing, null = tables.bearing_names(found), tables.null_names(found)
    # At or below guessing from the question: one in three.
    assert (accuracy.sel(reference=bearing, arm=["donor", "mean"]) < 0.34 + 4 * np.sqrt(0.34 * 0.66 / 200)).all()
    assert (found["donor_rate"] - found["donor_control"]).sel(reference=bearing, training=[0, 1]).min() >= 0.9
    unused = accuracy.sel(reference=null, arm=["donor", "mean"]) - accuracy.sel(reference=null, arm="clean")
    assert np.abs(unused).max() <= 0.01
    gain = accuracy.sel(reference="marker") - found["base_accuracy"].isel(training=[0, 1])
    assert (gain.sel(arm="removed") >= 0.95 * gain.sel(arm="clean")).all()
    assert (gain.sel(arm="markers removed") < 0.4 * gain.sel(arm="clean")).all()
    shares = tables.shares_by_reasoner(found).sel(diagnostic=["donor lift, cache", "accuracy, donor's cache"])
    assert (shares.sel(reference=bearing) == 1).all()
    assert (shares.sel(reference=null) == 0).all()


def made_up(values, kinds):
    """A Dataset of two reasoners, eight trainings, dials 0 and 1; null reasoners have dial 0 only."""
    names = list(kinds)
    table = np.stack([np.asarray(values[name], float) for name in names])
    table[:, 1, :, 1] = np.nan
    return xarray.Dataset(
        {
            "value": (("diagnostic", "reference", "training", "dial"), table),
            "kind": ("diagnostic", list(kinds.values())),
            "bears": ("reference", [True, False]),
        },
        {"diagnostic": names, "reference": ["content", "masked"], "training": np.arange(8), "dial": [0.0, 1.0]},
        {"config": json.dumps({"alpha": 0.05})},
    )


class TestCounting:
    def test_rates_and_their_intervals(self):
        rng = np.random.default_rng(0)
        p = rng.uniform(0.06, 1, (2, 8, 2))
        p[0, :6, 1] = 0.05  # six of eight load-bearing trainings at the level: alarms
        p[1, :3, 0] = 0.01  # three false ones
        row = tables.rates(made_up({"p": p}, {"p": "p-value"}))[0]
        assert (row["sensitivity"], row["false"], row["nulls"]) == (0.75, 0.375, 8)
        exact = stats.binomtest(6, 8).proportion_ci(method="exact")
        assert (row["sensitivity_low"], row["sensitivity_high"]) == pytest.approx((exact.low, exact.high))
        exact = stats.binomtest(3, 8).proportion_ci(method="exact")
        assert (row["false_low"], row["false_high"]) == pytest.approx((exact.low, exact.high))
        assert (row["worst"], row["above"], row["difference"]) == ("masked", "masked", 0.375)

    def test_a_score_is_not_judged_by_those_that_made_its_threshold(self):
        score = np.zeros((2, 8, 2))
        score[1, :, 0] = [5, 9, 6, 1, 7, 2, 8, 3]  # even numbers 5, 6, 7, 8; odd ones 9, 1, 2, 3
        score[0, :, 1] = [8, 8.1, 9, 9, 9, 9, 9, 9]
        dataset = made_up({"s": score}, {"s": "score"})
        assert tables.threshold(dataset, "s") == 8
        row = tables.rates(dataset)[0]
        assert (row["nulls"], row["false"], row["sensitivity"]) == (4, 0.25, 7 / 8)

    def test_always_alarmed_is_worth_as_much_as_never(self):
        always, never = np.ones((2, 8, 2)), np.zeros((2, 8, 2))
        rows = tables.rates(made_up({"always": always, "never": never}, {"always": "verdict", "never": "verdict"}))
        assert [(row["difference"], row["rank"]) for row in rows] == [(0, 1), (0, 1)]

    def test_a_level_is_kept_or_not(self):
        assert tables._level({"above": "masked", "false_high": 0.08}, 0.05) == "no: masked"
        assert tables._level({"above": "", "false_high": 0.02}, 0.05) == "yes"
        assert tables._level({"above": "", "false_high": 0.2}, 0.05) == "not shown to break it"


def test_every_diagnostic_of_a_figure_or_a_protocol_is_there():
    drawn = {name for group in _PANELS.values() for name in group} | {name for name, _ in tables.PROTOCOLS.values()}
    assert drawn <= set(DIAGNOSTICS)
    tables.protocols(made_up({name: np.ones((2, 8, 2)) for name in DIAGNOSTICS},
                             dict.fromkeys(DIAGNOSTICS, "verdict")))  # fmt: skip


def test_the_chain_of_two_modes_is_followed_to_the_answer_that_is_meant():
    task = reasoning.two_modes(reasoning.tasks.pointer_chase(hops=3), early=1)
    items = jax.jit(items_of, static_argnums=(0, 2))(task, jax.random.key(0), 40)
    follow = jax.jit(answers_to, static_argnums=0)
    assert set(np.asarray(items.mode).tolist()) == {0, 1}
    np.testing.assert_array_equal(follow(task, items), items.answer[:, 0])
    other = np.asarray(follow(task, other_picture(items)))
    assert (other != np.asarray(items.answer[:, 0])).mean() > 0.5


def test_the_small_scale_declares_what_the_full_one_does():
    for name, one in catalog("small").items():
        full = catalog()[name]
        assert (one.truth, one.because, one.base) == (full.truth, full.because, full.base)
        ours, theirs = one.model.protocol, full.model.protocol
        assert (ours.hidden, ours.source, ours.head) == (theirs.hidden, theirs.source, theirs.head)
    with pytest.raises(ValueError, match="scale: expected"):
        catalog("tiny")


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"references": ("content",)}, "references: expected at least one null one"),
        ({"references": ("masked",)}, "references: expected at least one load-bearing one"),
        ({"references": ("content", "content", "masked")}, "references: expected each name once"),
        ({"references": ("nobody", "masked")}, "references: expected one of"),
        ({"seeds": 1}, "seeds: expected"),
        ({"null_factor": 0}, "null_factor: expected"),
        ({"num_steps": 30}, "num_steps: expected a multiple of 20"),
        ({"num_items": 8}, "num_items: expected"),
        ({"dials": (0.5, 1.5)}, "dials: expected shares from 0 to 1"),
        ({"alpha": 1.0}, "alpha: expected"),
    ],
)
def test_designs_that_cannot_be_run(fields, sentence):
    with pytest.raises(ValueError, match=f"^{sentence}"):
        calibration.Config(**fields).checked()
