"""The study of mediation on small untrained members of the suite: what follows from masks holds to the last bit."""

import dataclasses
import json

import jax
import numpy as np
import pytest
import tiny

from tokdyn.plot import reasoning as figures
from tokdyn.reasoning import designs, reasoner, references
from tokdyn.reasoning import interventions as do
from tokdyn.reasoning.audit import Member
from tokdyn.reasoning.audit.diagnostics import NO, UNDECIDED, YES
from tokdyn.reasoning.audit.suite import battery, drawn, one_run
from tokdyn.reasoning.tasks import pointer_chase
from tokdyn.studies import load, mediation, output
from tokdyn.studies.mediation import analysis, design, experiment
from tokdyn.studies.mediation import claims as verdicts

NAMES = ("sealed", "blank")
ITEMS = 40
SMALL = designs.Size(width=8, heads=2, hidden=8, layers=1, num_steps=20)


def drawn_member(name):
    """One layer and drawn weights: masks are what counts."""
    if name == design.TEXT:
        one = references.catalog("small")[name]
        one = dataclasses.replace(one, model=reasoner(one.task, one.model.protocol, width=8, hidden=8, layers=1))
    else:
        one = designs.reference(name, designs.TASKS["pointer chase"], SMALL, run=True)
    return Member(name, design.STRATUM, 0, one, tiny.untrained(one.model))


def untrained(names):
    before = jax.config.values["jax_disable_most_optimizations"]
    jax.config.update("jax_disable_most_optimizations", True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(experiment, "members", lambda config: {name: drawn_member(name) for name in config.reasoners})
        made = mediation.run(mediation.Config(names, num_items=ITEMS, resamples=100))
    jax.config.update("jax_disable_most_optimizations", before)
    return made


@pytest.fixture(scope="module")
def dataset():
    return untrained(NAMES)


def answers(dataset, reference, arm):
    return dataset["answer"].sel(reference=reference, arm=arm).values


class TestWhatMustHold:
    def test_arms_that_write_what_is_there_change_nothing(self, dataset):
        for arm in ("own latents back, embedding", "own latents back, cache"):
            for name in NAMES:
                np.testing.assert_array_equal(answers(dataset, name, arm), answers(dataset, name, "clean"))
                assert dataset["largest_logit_change"].sel(reference=name, arm=arm) < 1e-5

    def test_the_run_is_the_suites(self, dataset):
        """Items, arms and noise are those that ``evaluate_diagnostic`` and calibration draw for a run of that size."""
        member = drawn_member("sealed")
        run = one_run(member, 0, num_items=ITEMS, key=design.KEY)
        for arm in ("clean", *battery(8)):
            np.testing.assert_array_equal(answers(dataset, "sealed", arm), run.of(arm, "answers"))
        items, _ = drawn(member, 0, num_items=ITEMS, key=design.KEY)
        assert len(items.answer) == ITEMS

    def test_the_factual_run_of_the_exchange_is_the_clean_run(self, dataset):
        margin = dataset["margin"].sel(run="Y(x, M(x))")
        np.testing.assert_allclose(margin.sel(exchange="cache"), margin.sel(exchange="embedding"), atol=1e-5)

    def test_who_cannot_see_slots_has_no_indirect_effect_at_all(self, dataset):
        one = dataset.sel(reference="sealed")
        for exchange in design.EXCHANGES:
            for end in ("effect", "effect_low", "effect_high"):
                values = one[end].sel(exchange=exchange)
                assert float(values.sel(effect_name="indirect")) == 0
                assert float(values.sel(effect_name="interaction")) == 0
            np.testing.assert_array_equal(
                values.sel(effect_name="total"), one["effect_high"].sel(exchange=exchange, effect_name="direct")
            )

    def test_who_cannot_see_slots_does_not_notice_any_arm_on_them(self, dataset):
        for arm in dataset["arm"].values:
            if "marker" not in arm:
                assert dataset["largest_logit_change"].sel(reference="sealed", arm=arm) < 1e-5, arm

    def test_latents_that_are_the_same_for_all_can_be_swapped(self, dataset):
        one = dataset.sel(reference="blank")
        for arm in ("donor embedding", "donor", "donor, residual", "unrelated", "donor, slot 1"):
            assert one["largest_logit_change"].sel(arm=arm) < 1e-5, arm
        assert (one["lift"].sel(place=["cache", "slot 1", "slot 2"]) == 0).all()
        assert float(one["effect"].sel(exchange="cache", effect_name="indirect")) == 0
        np.testing.assert_allclose(one["cosine_changed"], 1, atol=1e-5)
        assert (one["distinct_latents"] == 1).all()
        assert np.abs(one["largest_logit_change"].sel(arm="removed")) > 1e-4

    @pytest.mark.slow
    def test_words_are_written_only_where_words_are_read(self):
        both = untrained(("text", "sealed"))
        count = both["accuracy"].sel(arm=list(design.WORDS)).notnull().sum("arm")
        assert count.to_series().to_dict() == {"text": 2, "sealed": 0}
        assert np.isfinite(both["lift"].sel(reference="text", place=["words, last word", "slot 2"])).all()
        assert (both["answer"].sel(reference="sealed", arm=design.WORDS[0]) == -1).all()

    def test_who_only_guesses_is_not_judged(self, dataset):
        for name in NAMES:
            right = answers(dataset, name, "clean") == dataset["right_answer"].sel(reference=name).values
            if not analysis.better_than_chance(right, 1 / 4):
                assert set(dataset["said"].sel(reference=name).values) == {UNDECIDED}

    def test_everything_is_explained(self, dataset):
        assert all(values.attrs["long_name"] for values in dataset.data_vars.values())


class TestReport:
    def test_the_folder(self, dataset, tmp_path):
        path = mediation.report(dataset, tmp_path / "out", wall_seconds=1.0)
        text = path.read_text()
        assert "## Mediation" in text
        assert "they see neither image nor question and are the same for every item" in text
        assert len(list((tmp_path / "out" / "plots").iterdir())) == 5
        metadata = json.loads((tmp_path / "out" / "metadata.json").read_text())
        assert output.config_from(mediation.Config, metadata["config"]).num_items == ITEMS
        assert not (tmp_path / "out" / "claims.json").exists()
        rows = (tmp_path / "out" / "arms.csv").read_text().splitlines()
        assert len(rows) == 1 + int(dataset["accuracy"].notnull().sum())

    def test_claims_stay_open_where_nothing_was_shown(self, dataset):
        wider = dataset.reindex(
            reference=list(design.REASONERS), arm=[*dataset["arm"].values, *design.WORDS],
            place=[*dataset["place"].values, "words, last word"],
        )  # fmt: skip
        found = verdicts.findings(wider)
        assert {finding.verdict for finding in found.values()} == {"open"}
        undecided = found.pop("capimagine.text_imagination_causal")
        assert undecided.note.startswith("our numbers do not decide")
        assert all("context only" in finding.note for finding in found.values())


class TestDonors:
    def test_the_chain_of_the_own_picture_is_the_items_own(self):
        task = pointer_chase(hops=3)
        items = tiny.drawn(task, 20)
        chain = jax.jit(experiment.chain_under, static_argnums=0)(task, items)
        np.testing.assert_array_equal(chain, items.steps)
        for goal in jax.jit(experiment.points_at, static_argnums=0)(task, items, items.steps):
            np.testing.assert_array_equal(goal, items.answer[:, 0])


class TestConclusions:
    def test_against_the_truth(self):
        assert [analysis.outcome(said, True) for said in (YES, NO, UNDECIDED)] == ["right", "missed", "undecided"]
        assert [analysis.outcome(said, False) for said in (YES, NO)] == ["false alarm", "right"]
        assert analysis.outcome(YES, None) == "open"

    def test_the_truth_is_the_suites(self):
        known = design.members(design.Config())
        assert list(known) == list(design.REASONERS)
        truths = {name: [one.depends_on(question) for question in analysis.ASKED] for name, one in known.items()}
        assert truths["sealed"][:3] == [False, False, False]
        assert truths["computed"][:2] == [True, False]
        assert truths["text"] == [True, True, True, None]
        for name, one in designs.DESIGNS.items():
            assert one.content is None or truths[name][0] is one.content

    def test_arms_are_values(self):
        arms = design.own_arms(2)
        assert not set(arms) & set(battery(8))
        assert all(do.from_dict(json.loads(json.dumps(arm.as_dict()))) == arm for arm in arms.values())


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"reasoners": ()}, "reasoners: expected at least one name, each once"),
        ({"reasoners": ("marker",)}, "reasoners: expected one of 'sole', 'relayed'"),
        ({"training": 2}, "training: expected 0 or 1"),
        ({"num_items": 5}, "num_items: expected a static integer"),
        ({"bound": 0.0}, "bound: expected a number above 0"),
        ({"share": 1.0}, "share: expected a number"),
    ],
)
def test_bad_input(options, sentence):
    config = mediation.Config(**options)
    with pytest.raises(ValueError, match=sentence):
        load("mediation").run(config)


class TestFigures:
    def test_arms_of_several_reasoners(self):
        made = figures.arm_accuracies(
            ["clean", "zero"], {"a": [[1.0, 0.2], [0.9, 0.1], [1.0, 0.3]], "b": [[0.5, np.nan]] * 3}, chance={"a": 0.1}
        )
        assert [text.get_text() for text in made.axes[0].texts] == ["1.00", "0.50", "0.20", "-", "0.10", "-"]
        assert [text.get_text() for text in made.axes[0].get_yticklabels()] == ["clean", "zero", "guessing"]
        assert made.axes[1].get_ylabel() == "share of right answers; 95 % intervals reach at most 0.10 to a side"
        with pytest.raises(ValueError, match="within their intervals"):
            figures.arm_accuracies(["clean"], {"a": [[1.0], [1.1], [1.2]]})
        with pytest.raises(ValueError, match="groups: expected at least one reasoner, all of"):
            figures.arm_accuracies(["clean"], {"a": [[1.0]] * 3}, groups={"used": ["b"]})

    def test_groups_order_the_columns_and_frames_stand_where_told(self):
        made = figures.arm_accuracies(
            ["clean", "zero"], {"a": [[1.0, 0.2]] * 3, "b": [[0.9, 0.3]] * 3}, changed={"a": [False, True]},
            groups={"idle": ["b"], "used": ["a"]},
        )  # fmt: skip
        panel = made.axes[0]
        assert [text.get_text() for text in panel.get_xticklabels()] == ["b", "a"]
        assert [text.get_text() for text in panel.texts] == ["0.90", "1.00", "0.30", "0.20", "idle", "used"]
        ((x, y),) = [patch.get_center() for patch in panel.patches]
        assert (round(x), round(y)) == (1, 1)

    @pytest.mark.parametrize(("count", "shape"), [(2, (2, 3)), (13, (7, 6))])
    def test_as_many_reasoners_as_the_study_has(self, count, shape):
        rng = np.random.default_rng(0)
        between = {f"r{i}": rng.uniform(-1, 1, (2, 4, 4)) for i in range(count)}
        made = figures.latent_likeness(between, {name: np.eye(2) for name in between})
        panels = made.axes[:-1]  # the last one holds the colours
        assert len(panels) == shape[0] * shape[1]
        assert sum(bool(panel.images) for panel in panels) == 3 * count
        assert sorted(panel.get_ylabel() for panel in panels if panel.get_ylabel()) == sorted(between)

    def test_likeness_needs_the_same_reasoners(self):
        with pytest.raises(ValueError, match="within: expected the same"):
            figures.latent_likeness({"a": np.ones((1, 2, 2))}, {"b": np.ones((1, 1))})

    def test_effects_need_the_same_reasoners(self):
        with pytest.raises(ValueError, match="expected the reasoners"):
            figures.path_effects({"direct": {"a": (0, 0, 0)}, "indirect": {"b": (0, 0, 0)}})
