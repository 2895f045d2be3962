"""The study of mediation on small untrained reasoners: what follows from masks alone holds to the last bit."""

import dataclasses
import json

import jax
import numpy as np
import pytest
import tiny

from tokdyn.plot import reasoning as figures
from tokdyn.reasoning import interventions as do
from tokdyn.reasoning import reasoner, references, shipped
from tokdyn.reasoning.audit.diagnostics import NO, UNDECIDED, YES
from tokdyn.reasoning.tasks import pointer_chase
from tokdyn.studies import load, mediation, output
from tokdyn.studies.mediation import claims as verdicts
from tokdyn.studies.mediation import design, measurement, protocols

NAMES = ("masked", "soft_prompt")
ITEMS = 40


def untrained(folder, names, seeds=1):
    """The study on untrained weights of the catalog's reasoners, cut to one layer: their masks are what counts."""
    before = jax.config.values["jax_disable_most_optimizations"]
    jax.config.update("jax_disable_most_optimizations", True)
    known = {
        name: dataclasses.replace(one, model=reasoner(one.task, one.model.protocol, width=16, hidden=16, layers=1))
        for name, one in references.catalog().items()
        if name in names
    }

    def ensemble(reference, key, seeds):
        drawn = [tiny.untrained(reference.model, 1 + seed) for seed in range(len(seeds))]
        return {"variables": jax.tree.map(lambda *leaves: np.stack(leaves), *drawn)}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shipped, "catalog", lambda: known)
        patch.setattr(shipped, "ensemble", ensemble)
        for name, one in known.items():
            shipped.save(name, shipped.Shipped(one, tiny.untrained(one.model), 0.1, {"loss": np.zeros(2)}, 0), folder)
        config = mediation.Config(names, seeds, num_items=ITEMS, resamples=100, weights=str(folder))
        made = mediation.run(config)
    jax.config.update("jax_disable_most_optimizations", before)
    return made


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return untrained(tmp_path_factory.mktemp("weights"), NAMES)


def answers(dataset, reference, arm):
    return dataset["answer"].sel(reference=reference, arm=arm).values


class TestWhatMustHold:
    def test_arms_that_write_what_is_there_change_nothing(self, dataset):
        for arm in ("no-op", "identity", "own latents back, embedding", "own latents back, cache"):
            for name in NAMES:
                np.testing.assert_array_equal(answers(dataset, name, arm), answers(dataset, name, "clean"))
                assert dataset["largest_logit_change"].sel(reference=name, arm=arm) < 1e-5

    def test_the_factual_run_of_the_exchange_is_the_clean_run(self, dataset):
        margin = dataset["margin"].sel(run="Y(x, M(x))")
        np.testing.assert_allclose(margin.sel(exchange="cache"), margin.sel(exchange="embedding"), atol=1e-5)

    def test_who_cannot_see_slots_has_no_indirect_effect_at_all(self, dataset):
        one = dataset.sel(reference="masked")
        for exchange in design.EXCHANGES:
            for end in ("effect", "effect_low", "effect_high"):
                values = one[end].sel(exchange=exchange)
                assert float(values.sel(effect_name="indirect")) == 0
                assert float(values.sel(effect_name="interaction")) == 0
            np.testing.assert_array_equal(
                values.sel(effect_name="total"), one["effect_high"].sel(exchange=exchange, effect_name="direct")
            )

    def test_who_cannot_see_slots_does_not_notice_any_arm_on_them(self, dataset):
        spared = ("marker", "format")
        for arm in dataset["arm"].values:
            if dataset["accuracy"].sel(reference="masked", arm=arm).isnull() or any(word in arm for word in spared):
                continue
            assert dataset["largest_logit_change"].sel(reference="masked", arm=arm) < 1e-5, arm

    def test_latents_that_are_the_same_for_all_can_be_swapped(self, dataset):
        one = dataset.sel(reference="soft_prompt")
        for arm in ("donor, embedding", "donor, cache", "donor, residual", "unrelated donor, cache", "donor, slot 1"):
            assert one["largest_logit_change"].sel(arm=arm) == one["largest_logit_change"].sel(arm="no-op"), arm
        assert (one["lift"].sel(place=["cache", "slot 1", "slot 2"]) == 0).all()
        assert float(one["effect"].sel(exchange="cache", effect_name="indirect")) == 0
        np.testing.assert_allclose(one["cosine_changed"].isel(slot=[0, 1]), 1, atol=1e-5)
        assert (one["distinct_latents"].isel(slot=[0, 1]) == 1).all()
        assert np.abs(one["largest_logit_change"].sel(arm="slots removed")) > 1e-4

    @pytest.mark.slow
    def test_words_are_written_only_where_words_are_read_and_seeds_are_apart(self, tmp_path):
        both = untrained(tmp_path, ("text", "masked"), seeds=2)
        assert both.sizes["seed"] == 2
        assert float(both["effect"].sel(reference="masked", exchange="cache", effect_name="indirect")) == 0
        assert "2 trainings" in mediation.report(both, tmp_path / "out", plots=False).read_text()
        count = both["accuracy"].sel(arm=list(design.WORDS)).notnull().sum("arm")
        assert count.to_series().to_dict() == {"text": 2, "masked": 0}
        assert np.isfinite(both["lift"].sel(reference="text", place=["words, last word", "slot 3"])).all()
        assert (both["answer"].sel(reference="masked", arm=design.WORDS[0]) == -1).all()
        assert np.isnan(both["lift"].sel(reference="masked", place="slot 3"))

    def test_who_only_guesses_is_not_judged(self, dataset):
        for name in NAMES:
            right = answers(dataset, name, "clean") == dataset["right_answer"].sel(reference=name).values
            if not protocols.better_than_chance(right, 1 / 8):
                assert set(dataset["said"].sel(reference=name).values) == {UNDECIDED}

    def test_everything_is_explained(self, dataset):
        assert all(values.attrs["long_name"] for values in dataset.data_vars.values())


class TestReport:
    def test_the_folder(self, dataset, tmp_path):
        path = mediation.report(dataset, tmp_path / "out", wall_seconds=1.0)
        text = path.read_text()
        assert "## Mediation" in text
        assert "Declared because slots are learned, see neither image nor question" in text
        assert len(list((tmp_path / "out" / "plots").iterdir())) == 5
        metadata = json.loads((tmp_path / "out" / "metadata.json").read_text())
        assert output.config_from(mediation.Config, metadata["config"]).num_items == ITEMS
        assert not (tmp_path / "out" / "claims.json").exists()
        rows = (tmp_path / "out" / "arms.csv").read_text().splitlines()
        assert len(rows) == 1 + int(dataset["accuracy"].notnull().sum())

    def test_claims_stay_open_where_nothing_was_shown(self, dataset):
        wider = dataset.reindex(
            reference=list(design.REFERENCES),
            arm=[*dataset["arm"].values, *design.WORDS],
            place=[*dataset["place"].values, "words, last word"],
        )
        found = verdicts.findings(wider.assign(said=wider["said"].fillna(UNDECIDED)))
        assert {finding.verdict for finding in found.values()} == {"open"}
        undecided = found.pop("capimagine.text_imagination_causal")
        assert undecided.note.startswith("our numbers do not decide")
        assert all("context only" in finding.note for finding in found.values())


class TestDonors:
    def test_donors_differ_in_every_step_and_so_do_unrelated_ones(self):
        items = tiny.drawn(pointer_chase(hops=3), 100)
        donors, unrelated = design.mates(jax.random.key(1), items)
        steps = np.asarray(items.steps)
        assert (steps[donors] != steps).all()
        assert (steps[unrelated] != steps).all()
        assert (steps[unrelated] != steps[donors]).all()
        np.testing.assert_array_equal(donors, design.mates(jax.random.key(1), items)[0])

    def test_items_that_are_all_alike_have_no_donor(self):
        items = jax.tree.map(lambda leaf: leaf[:1].repeat(5, axis=0), tiny.drawn(pointer_chase(hops=3), 2))
        with pytest.raises(ValueError, match="num_items: expected enough items that each finds two donors"):
            design.mates(jax.random.key(1), items)

    def test_the_chain_of_the_own_picture_is_the_items_own(self):
        task = pointer_chase(hops=3)
        items = tiny.drawn(task, 20)
        chain = jax.jit(measurement.chain_under, static_argnums=0)(task, items)
        np.testing.assert_array_equal(chain, items.steps)
        for goal in jax.jit(measurement.points_at, static_argnums=0)(task, items, items.steps).values():
            np.testing.assert_array_equal(goal, items.answer[:, 0])


class TestConclusions:
    def test_positions_that_hold_nothing_may_be_needed(self):
        said = {"donor swap, embedding": NO, "donor swap, cache": NO, "slots removed": YES}
        found = protocols.found_channels(said, (NO, NO))
        assert found == {"slot embedding": "none", "slot cache": "none", "positions": "presence", "markers": "none"}

    def test_the_battery_is_large_and_of_values(self):
        arms = design.battery(2, 8, jax.random.key(0))
        assert len(arms) >= 20
        assert all(do.from_dict(json.loads(json.dumps(arm.as_dict()))) == arm for arm in arms.values())


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"references": ()}, "references: expected at least one name, each once"),
        ({"references": ("marker",)}, "references: expected one of 'content', 'compute'"),
        ({"seeds": 0}, "seeds: expected a static integer"),
        ({"num_items": 5}, "num_items: expected a static integer"),
        ({"bound": 0.0}, "bound: expected a number above 0"),
        ({"share": 1.0}, "share: expected a number"),
        ({"weights": "/nowhere"}, "no such file|expected"),
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
        assert [panel.get_title() for panel in made.axes] == ["a", "b"]
        with pytest.raises(ValueError, match="within their intervals"):
            figures.arm_accuracies(["clean"], {"a": [[1.0], [1.1], [1.2]]})

    def test_likeness_needs_the_same_reasoners(self):
        with pytest.raises(ValueError, match="within: expected the same"):
            figures.latent_likeness({"a": np.ones((1, 2, 2))}, {"b": np.ones((1, 1))})

    def test_effects_need_the_same_reasoners(self):
        with pytest.raises(ValueError, match="expected the reasoners"):
            figures.path_effects({"direct": {"a": (0, 0, 0)}, "indirect": {"b": (0, 0, 0)}})
