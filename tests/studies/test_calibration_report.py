"""The committed calibration: who must rank below whom does, scores and areas are what others count, words follow."""

import csv
from pathlib import Path

import numpy as np
import pytest
import xarray
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from tokdyn import claims
from tokdyn.reasoning.audit.scores import alarmed
from tokdyn.studies.calibration import claims as verdicts
from tokdyn.studies.calibration import tables
from tokdyn.studies.calibration.controls import CONTROLS
from tokdyn.studies.calibration.design import Config
from tokdyn.studies.calibration.experiment import JUDGED

FOLDER = Path(__file__).parents[2] / "docs" / "calibration"
# What the calibration was built to believe: another item's cache, its embeddings, the mean, the mediated effect.
BELIEVED = (
    "donor lift, cache", "donor margin, cache", "accuracy, donor's cache", "accuracy, donor's embedding",
    "accuracy, mean cache", "accuracy, mean embedding", "indirect effect", "indirect / total above 0.1",
)  # fmt: skip
PARTLY = ("gated", "rare", "weighed", "redundant")


@pytest.fixture(scope="module")
def dataset():
    return xarray.open_zarr(FOLDER / "runs.zarr", consolidated=False).load()


@pytest.fixture(scope="module")
def rows(dataset):
    return {row["diagnostic"]: row for row in tables.ranking(dataset)}


def test_it_is_of_the_default_design(dataset):
    config = Config()
    assert list(dataset["diagnostic"].values) == list(JUDGED)
    sizes = {"task": config.tasks, "size": config.sizes, "design": config.designs}
    assert {axis: tuple(dataset[axis].values) for axis in sizes} == sizes
    assert dataset.sizes["training"] == config.seeds == 5
    assert dataset.sizes["task"] * dataset.sizes["size"] == 4


def test_who_reads_masks_or_nothing_ranks_below_who_swaps(rows):
    worst = min(rows[name]["score"] for name in BELIEVED)
    assert len(CONTROLS) == 5
    for name in CONTROLS:
        assert rows[name]["score"] < worst, name
        assert rows[name]["rank"] > max(rows[one]["rank"] for one in BELIEVED)
    assert rows["control: always"]["score"] == rows["control: never"]["score"] == 0.5


def test_the_score_is_the_balanced_accuracy_in_the_worst_stratum(dataset, rows):
    """Counted by scikit-learn, runs weighing so that designs weigh alike."""
    stacked = _stacked(dataset)
    truths = tables.bears(dataset)
    for i, name in enumerate(map(str, dataset["diagnostic"].values)):
        kind = str(dataset["kind"].values[i])
        alarms = alarmed(stacked["value"].values[i], kind, alpha=0.05, nulls=truths == 0)
        scores = [_balanced(truths[s], alarms[s]) for s in range(4)]
        assert rows[name]["score"] == pytest.approx(min(scores), abs=1e-12), name
        assert rows[name]["low"] <= rows[name]["high"]


def test_areas_are_those_of_scikit_learn(dataset):
    stacked = _stacked(dataset)
    names = [", ".join(one) for one in stacked["stratum"].values]
    found = {row["score"]: row for row in tables.areas(dataset)}
    assert set(found) == {name for name, one in JUDGED.items() if one.kind == "score"}
    for name, row in found.items():
        values, truths = stacked["value"].sel(diagnostic=name).values, tables.bears(dataset)
        by_hand = [_area(truths[s], values[s]) for s in range(4)]
        for stratum, area in zip(names, by_hand, strict=True):
            assert float(row[stratum].split()[0]) == pytest.approx(area, abs=0.00051), (name, stratum)
        assert float(row["worst stratum"].split()[0]) == pytest.approx(min(by_hand), abs=0.00051)
        assert row["which"] == names[int(np.argmin(by_hand))]


def test_sensitivity_for_partly_used_latents_is_told_of_every_diagnostic(dataset):
    found = tables.alarm_table(dataset).sel(column=list(PARTLY))
    missing = [(str(d), str(c)) for d in found["diagnostic"].values for c in PARTLY
               if np.isnan(found.sel(diagnostic=d, column=c))]  # fmt: skip
    assert missing == [("accuracy, slots removed", "redundant")]  # whose training met it
    assert set(found["diagnostic"].values) == set(JUDGED)


def test_published_ways_of_asking_miss_or_mislead(rows):
    """Each is wrong about more than a third of the runs of some design."""
    published = [name for text, (name, _) in tables.PROTOCOLS.items() if not text.endswith("(ours)")]
    assert len(published) == 8
    for name in published:
        assert max(rows[name]["false_rate"], rows[name]["missed_rate"]) > 1 / 3, name


def test_why_badly_ranked_ones_tie_is_said(dataset, rows):
    said, mask = tables.ties(dataset), rows["control: answers may see latents"]
    assert mask["ties"]
    assert (mask["used_right"], mask["used_designs"], mask["idle_right"], mask["idle_designs"]) == (6, 7, 2, 5)
    assert "'control: answers may see latents' finds 6 of 7 used designs and leaves 2 of 5 idle ones alone" in said
    for name in ("cosine between items below 0.9", "probe reads the answer"):
        assert rows[name]["ties"]
        assert rows[name]["high"] - rows[name]["low"] > 0.3


def test_the_committed_report_is_that_of_its_dataset(dataset, rows):
    text = (FOLDER / "report.md").read_text()
    for row in tables.areas(dataset):
        assert f"| {row['score']} | {row['worst stratum']} |" in text
    assert tables.ties(dataset) in text
    with (FOLDER / "ranking.csv").open() as file:
        written = {row["diagnostic"]: row for row in csv.DictReader(file)}
    assert set(written) == set(rows)
    for name, row in rows.items():
        assert [float(written[name][end]) for end in ("score", "low", "high")] == pytest.approx(
            [row["score"], row["low"], row["high"]], abs=1e-6
        ), name


class TestClaims:
    def test_notes_are_those_of_the_committed_dataset(self, dataset):
        found = verdicts.findings(dataset)
        assert claims.check(found) == []
        known = {claim.id: claim for claim in claims.load()}
        assert len(found) == len(verdicts.CLAIMS) == 21
        for name, finding in found.items():
            assert finding.verdict == "open"
            assert known[name].kind == "model", name
            assert finding.note in claims.contexts(known[name].note), name
        assert claims.updated(found) == claims.load()

    def test_every_diagnostic_that_is_named_is_judged(self):
        assert set(verdicts.ASKED) <= set(JUDGED)

    def test_no_note_of_another_study_was_lost(self, dataset):
        both = {claim.id for claim in claims.load() if claim.note.count("context only (") > 1}
        assert {"capimagine.latent_answer_disconnect", "visual_memory.slots_swap"} <= both
        for claim in claims.load():
            if claim.id in both:
                studies = [part.split("(")[1].split(")")[0] for part in claims.contexts(claim.note)]
                assert len(set(studies)) == len(studies), claim.id


def _stacked(dataset):
    axes = ("diagnostic", "stratum", "design", "training", "run")
    return dataset.stack(stratum=("task", "size")).transpose(*axes, ...)


def _weighed(bears, values):
    """Truths, values and weights of runs, designs of either truth weighing alike, and within each its trainings."""
    judged, truths, kept, weights = np.isfinite(values), [], [], []
    for truth in (1.0, 0.0):
        for design in range(len(bears)):
            chosen = np.flatnonzero((bears[design] == truth) & judged[design].any(axis=-1))
            for training in chosen:
                runs = values[design, training][judged[design, training]]
                truths += [truth] * len(runs)
                kept += runs.tolist()
                weights += [1 / (len(chosen) * len(runs))] * len(runs)
    return truths, kept, weights


def _balanced(bears, alarms):
    truths, said, weights = _weighed(bears, alarms)
    return balanced_accuracy_score(truths, said, sample_weight=weights)


def _area(bears, values):
    truths, scores, weights = _weighed(bears, values)
    return roc_auc_score(truths, scores, sample_weight=weights)
