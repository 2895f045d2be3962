"""The study of the published collapse: its conditions, its verdicts, its folder."""

import dataclasses
import json
import math

import jax
import numpy as np
import pytest
import xarray
from compiled import compiled
from constant_keys import constant_key

import tokdyn as td
from tokdyn import autoencoder as ae
from tokdyn import claims
from tokdyn.studies import autoencoder, output
from tokdyn.studies.autoencoder import claims as verdicts
from tokdyn.studies.autoencoder import costs, design, diagnosing, texts, trainings
from tokdyn.studies.autoencoder.effects import effects
from tokdyn.train import fit

BOTH = ("double softmax", "published start")
TINY = {"bottleneck": "gumbel", "grid": "5x5x3", "num_steps": 240, "record_every": 40}


class TestDesign:
    def test_it_has_at_most_sixty_conditions_of_different_names(self):
        conditions = design.default()
        assert len({one.name for one in conditions}) == len(conditions) <= 60

    def test_the_factorial_has_every_combination(self):
        found = {(one.program.bottleneck, one.faults) for one in design.factorial()}
        assert len(found) == len(design.BOTTLENECKS) * 2 ** len(design.FAULTS)

    def test_the_full_design_holds_the_default_one(self):
        full = design.full()
        assert len({one.name for one in full}) == len(full) > 400
        assert set(design.default()) <= set(full)

    def test_a_switch_changes_its_numbers_and_nothing_else(self):
        healthy, faulty = dict(design.condition().numbers), dict(design.condition("low rate").numbers)
        assert {name for name in healthy if healthy[name] != faulty[name]} == {"learning_rate"}

    @pytest.mark.parametrize(
        ("make", "sentence"),
        [
            (
                lambda: design.condition("gravity"),
                "fault: expected one of 'double softmax', 'published start', 'low rate'",
            ),
            (lambda: design.condition(colour=3), "change: expected one of .*'batch'"),
            (lambda: autoencoder.Config(seeds=0).checked(), "seeds: expected a static integer of at least 1, got 0"),
            (lambda: autoencoder.Config(groups=()).checked(), "groups: expected at least one part of the study"),
            (lambda: autoencoder.Config(groups=("none",)).checked(), "groups: expected one of 'factorial'"),
        ],
    )
    def test_bad_input(self, make, sentence):
        with pytest.raises(ValueError, match=sentence):
            make()


def test_learned_starts_stand_beside_plain_training_of_equal_length():
    made = autoencoder.Config(groups=("starts",)).conditions()
    assert len({one.name for one in made}) == 6
    assert [len(members) for members in design.by_program(made).values()] == [2, 2, 2]
    learned, longer = (design.by_program(made[i : i + 1]) for i in (1, 2))
    (with_rounds,), (without,) = learned, longer
    spent = with_rounds.num_steps + design.ROUNDS * design.TEXTS * design.STEPS_ON_TEXT
    assert with_rounds.rounds == design.ROUNDS
    assert (without.num_steps, without.rounds) == (spent, 0)
    assert "starts" not in {one.group for one in autoencoder.Config().conditions()}


def test_a_learned_start_is_moved_and_sees_no_word_more_often_than_another(monkeypatch):
    """Texts of other frequencies: what Reptile learns is good for every word, the rare ones too."""
    monkeypatch.setattr(design, "ROUNDS", 3)
    monkeypatch.setattr(design, "STEPS_ON_TEXT", 10)
    program = design.Program(words="small", grid="5x5x3", rounds=3)
    numbers = {**design.HEALTHY, "learning_rate": 1e-2}
    text, key = texts.corpus_of("small"), constant_key(0)
    model = trainings.model_of(program, numbers)
    learned = compiled(lambda key: trainings.learned_start(program, numbers, key))(key)
    logits = compiled(lambda variables: model.apply(variables, np.arange(text.vocabulary_size))[0].logits)(learned)
    right = (np.asarray(logits).argmax(-1) == np.arange(text.vocabulary_size))[text.types]
    common = text.frequencies[text.types] > np.median(text.frequencies[text.types])
    assert right.mean() > 0.5
    assert abs(right[common].mean() - right[~common].mean()) < 0.35


class TestOwnText:
    @pytest.fixture
    @staticmethod
    def path(tmp_path):
        path = tmp_path / "poem.txt"
        path.write_text("\n".join(f"the word{n} follows word{n // 2} and word{n % 3}" for n in range(12)))
        return str(path)

    def test_it_takes_the_place_of_the_large_published_one(self, path):
        ours, published = autoencoder.Config(text=path).conditions(), autoencoder.Config().conditions()
        text = texts.corpus_of(ours[0].program.words)
        large = [one for one in published if one.program.words == "large"]
        assert len(ours) == len({one.name for one in ours}) == len(large) > 40
        assert {one.program.words for one in ours} == {texts.name_of_text(path)}
        for one, theirs in zip(ours, large, strict=True):
            assert one.name == theirs.name.replace("192 words", f"{text.vocabulary_size} words")
            assert (one.numbers, one.faults, one.group) == (theirs.numbers, theirs.faults, theirs.group)
            batches, size = trainings.batches_of(one.program, 1.0)
            assert size is None or size == min(theirs.program.batch_size, len(text.train)) <= len(batches)

    def test_what_it_is_is_said(self, path):
        told = autoencoder.Config(text=path).described_text()
        assert told.startswith(f"{path}: 11 sentences of 66 words, ")
        assert "1 sentences of 6 words" in told
        assert autoencoder.Config().described_text() is None

    def test_the_report_speaks_of_it_and_judges_nothing(self, path, tmp_path):
        dataset = TestReport.pretended()
        name = texts.name_of_text(path)
        config = autoencoder.Config(text=path)
        own = dataset.sel(condition=dataset["words"] == "large")
        own = own.assign_coords(words=("condition", [name] * own.sizes["condition"]))
        own.attrs |= {"config": json.dumps(dataclasses.asdict(config)), "text": config.described_text()}
        text = autoencoder.report(own, tmp_path / "out").read_text()
        size = texts.corpus_of(name).vocabulary_size
        assert config.described_text() in text
        assert f"ln {size} = " in text
        for published_only in ("47.73", "11.36", "GPU-hours", "ln 192", "Claim by claim", "published log"):
            assert published_only not in text
        assert not (tmp_path / "out" / "claims.json").exists()

    def test_another_content_is_another_text(self, path):
        before = texts.name_of_text(path)
        with open(path, "a") as file:
            file.write("\nthe end")
        after = texts.name_of_text(path)
        assert before != after
        assert len(texts.corpus_of(after).train) != len(texts.corpus_of(before).train)

    def test_texts_that_cannot_be_used_are_refused(self, path, tmp_path):
        with pytest.raises(ValueError, match=r"^text: expected a file of plain text in UTF-8, got .*no such file"):
            autoencoder.Config(text=str(tmp_path / "none.txt")).checked()
        (tmp_path / "one.txt").write_text("word\nword")
        with pytest.raises(ValueError, match=r"^text: expected a training text of at least two different words"):
            autoencoder.Config(text=str(tmp_path / "one.txt")).checked()
        with pytest.raises(ValueError, match="tables: expected False beside a text of your own"):
            autoencoder.Config(text=path, tables=True).checked()


class TestRuns:
    @pytest.fixture(scope="class")
    @staticmethod
    def dataset():
        conditions = [
            design.condition(name="healthy", **TINY, learning_rate=3e-3, skew=0.0),
            design.condition(*BOTH, name="published", **TINY),
        ]
        return trainings.run_program(conditions[0].program, conditions, seeds=3)

    def test_published_faults_collapse_and_repairs_do_not(self, dataset):
        assert (dataset["types"].sel(condition="healthy") == 1).all()
        np.testing.assert_allclose(dataset["types"].sel(condition="published"), 1 / 189, rtol=1e-6)
        np.testing.assert_allclose(dataset["dominant"].sel(condition="published"), 1, rtol=1e-6)

    def test_accuracies_are_those_of_the_text(self, dataset):
        text = texts.corpus_of("large")
        healthy, collapsed = dataset.sel(condition="healthy"), dataset.sel(condition="published")
        np.testing.assert_allclose(healthy["validation"], text.ceiling, rtol=1e-6)
        np.testing.assert_allclose(collapsed["validation"], text.constant_accuracy, rtol=1e-6)
        np.testing.assert_allclose(healthy["known"], 1.0)
        np.testing.assert_allclose(collapsed["tokens"], text.frequencies.max(), rtol=1e-6)

    def test_the_loss_of_the_collapse_is_the_constant_s(self, dataset):
        """3 x 40 steps of 128 tokens: five standard errors of the share of the commonest word are 0.009."""
        found = dataset["loss_last"].sel(condition="published").mean()
        assert abs(float(found) - verdicts.constant_loss(texts.corpus_of("large"))) < 0.015

    def test_initial_information_tells_the_starts_apart(self, dataset):
        """Estimates from 2 draws a word: their standard errors are about 0.001 and 0.1 bits."""
        bits = dataset["information_start"].mean("seed")
        assert abs(float(bits.sel(condition="published"))) < 0.01
        assert 4 < float(bits.sel(condition="healthy")) < math.log2(189)

    def test_a_finished_training_stops(self, dataset):
        steps = dataset["steps"].sel(condition="healthy").values
        curve = dataset["types_curve"].sel(condition="healthy").values
        assert (steps < 240).all()
        assert (np.isnan(curve).sum(axis=1) == (240 - steps) // 40).all()


class TestReport:
    @staticmethod
    def pretended(changes=None):
        """A Dataset with the study's shape, and numbers of our choice."""
        conditions, seeds, records = design.default(), 3, 10
        names = [one.name for one in conditions]
        shape = ("condition", "seed")
        generator = np.random.default_rng(0)
        values = {
            name: (shape, generator.uniform(0.2, 0.3, (len(names), seeds)))
            for name in trainings.VARIABLES
            if not name.endswith("curve")
        }
        curves = {
            name: ((*shape, "record"), np.ones((len(names), seeds, records))) for name in ("loss_curve", "types_curve")
        }
        models = [*costs.DECODERS, "transformer like dense", "transformer like extreme"]
        numbers = (
            "parameters",
            "operations",
            "peak_bytes",
            "seconds",
            "operations_ratio",
            "memory_ratio",
            "time_ratio",
        )
        spent = {f"cost_{name}": ("model", np.full(len(models), 2.0)) for name in numbers}
        dataset = xarray.Dataset(
            {**values, **curves, **spent, "seconds": ("condition", np.full(len(names), 6.0)),
             "cost_beside": ("model", ["transformer like dense"] * len(models))},
            coords={"condition": names, "model": models, "group": ("condition", [one.group for one in conditions]),
                    "words": ("condition", [one.program.words for one in conditions]),
                    "learning_rate": ("condition", [one["learning_rate"] for one in conditions])},
            attrs={"config": json.dumps(dataclasses.asdict(autoencoder.Config())), "study": "autoencoder",
                   "environment": json.dumps(td.environment.describe()), "schema_version": 1,
                   "simulation_seconds": 100.0},
        )  # fmt: skip
        for (condition, variable), value in (changes or {}).items():
            dataset[variable].loc[{"condition": condition}] = value
        return dataset

    def test_verdicts_follow_the_numbers(self):
        def verdict(name, changes):
            return verdicts.findings(self.pretended(changes))[f"diffusion_lm.{name}"].verdict

        large, own = ((name, "validation") for name in (verdicts.LARGE, verdicts.RATE_OF_ITS_OWN))
        assert verdict("accuracy_large", {large: [0.10, 0.11, 0.12], own: [0.44, 0.45, 0.44]}) == "qualified"
        assert verdict("accuracy_large", {large: [0.10, 0.11, 0.12], own: 0.1}) == "reproduced"
        assert verdict("accuracy_large", {large: [0.44, 0.45, 0.44], own: 0.1}) == "contradicted"
        # A difference of means alone says nothing: it needs seeds that agree.
        names = [(f"{bottleneck}, published start", "types") for bottleneck in ("sigmoid", "gumbel")]
        for better, expected in (([0.3, 0.9, 0.6], "open"), ([0.5, 0.52, 0.51], "reproduced")):
            assert verdict("continuous_better", dict(zip(names, (better, [0.1, 0.1, 0.1]), strict=True))) == expected
            inverted = verdict("continuous_better", dict(zip(names, ([0.1, 0.1, 0.1], better), strict=True)))
            assert inverted == ("open" if expected == "open" else "contradicted")

    def test_a_projection_of_the_published_design_is_judged_by_it(self):
        published = [(f"1,000 words, {kind}", "types") for kind in ("sigmoid", "gumbel")]
        repaired = ("1,000 words, sigmoid, repaired", "types")
        for share, verdict in ((0.01, "reproduced"), (0.9, "contradicted")):
            changes = {**dict.fromkeys(published, share), repaired: 1.0}
            found = verdicts.findings(self.pretended(changes))["diffusion_lm.accuracy_projected"]
            assert (found.verdict, found.design) == (verdict, claims.RERUN)

    def test_every_finding_is_a_claim_of_the_table(self):
        known = {claim.id for claim in claims.load()}
        assert set(verdicts.findings(self.pretended())) <= known

    def test_effects_are_paired_by_seed(self):
        dataset = self.pretended()
        record = next(r for r in effects(dataset) if (r["bottleneck"], r["fault"]) == ("gumbel", "low rate"))
        with_it, without = (
            dataset["types"].sel(condition=name).values for name in ("gumbel, low rate", "gumbel, repaired")
        )
        assert record["change"] == pytest.approx(float((with_it - without).mean()))
        assert record["low"] < record["change"] < record["high"]

    def test_the_folder(self, tmp_path):
        path = autoencoder.report(self.pretended(), tmp_path / "out", wall_seconds=1.0)
        text = path.read_text()
        for needed in ("47.73%", "3^25", "## Claim by claim", "faults.png"):
            assert needed in text
        names = {item.name for item in (tmp_path / "out").iterdir()}
        assert {"report.md", "runs.csv", "runs.zarr", "claims.json", "metadata.json", "plots"} <= names
        metadata = json.loads((tmp_path / "out" / "metadata.json").read_text())
        assert output.config_from(autoencoder.Config, metadata["config"]) == autoencoder.Config()
        assert autoencoder.STUDY.headline(self.pretended()).count("\n") == 3


def test_the_notebook_s_own_gate():
    """Five words through 3 x 3 binary patterns: every word, in every one of 100 seeds."""
    words = np.arange(5)
    model = ae.autoencoder(
        ae.encoders.table(vocabulary_size=5, cells=9, channels=2, embedding=16, width=16, depth=1),
        ae.bottlenecks.straight_through(),
        ae.decoders.linear(vocabulary_size=5),
    )

    def types(key):
        result = fit(model, ae.losses.objective(), words, key=key, num_steps=200, hyper={"learning_rate": 1e-2})
        return (model.apply(result.variables, words)[0].logits.argmax(-1) == words).mean()

    found = compiled(lambda: td.vmap(types)(jax.random.split(jax.random.key(0), 100)))()
    assert (found == 1.0).all()


def test_a_transformer_is_of_the_size_asked_for():
    for wanted in (200_000, 1_000_000):
        model = costs.transformer_like(192, wanted)
        assert abs(costs._num_params(model) / wanted - 1) < 0.1
        variables = jax.jit(model.init)(constant_key(0))
        logits_of = compiled(lambda variables, ids, model=model: model.apply(variables, ids)[0].logits)
        ids = np.arange(16)
        logits = logits_of(variables, ids)
        assert logits.shape == (16, 192)
        # Causal: the last token of a sentence changes nothing before it, and nothing in another sentence.
        other = logits_of(variables, np.where(ids == 7, 100, ids))
        same = np.abs(logits - other).max(axis=-1) < 1e-5
        assert same.tolist() == [True] * 7 + [False] + [True] * 8


@pytest.mark.slow
def test_repaired_every_word_comes_back_in_twenty_of_twenty_seeds():
    """192 and 1,000 words through 8 x 8 x 5 patterns."""
    chosen = [one for one in design.sizes() if one.name.endswith("repaired") and "51 words" not in one.name]
    for program, members in design.by_program(chosen).items():
        found = trainings.run_program(program, members, seeds=20)
        # Gumbel codes are judged by a draw, as published: one word of 1,000 may be drawn wrongly now and then.
        assert (found["types"] >= (0.99 if program.bottleneck == "gumbel" else 1)).all(), found["types"]


def test_the_bench_of_the_diagnosis_in_the_report(tmp_path):
    """From verdicts that we choose: the rates, the confusion matrix, and nothing of conditions that were not run."""
    chosen = diagnosing.combinations(30)
    columns = {
        "primitives": [", ".join(one.names) for one in chosen],
        "part": [one.part for one in chosen],
        "cause": [(*one.causes, "healthy")[0] for one in chosen],
        "ranked": [", ".join(one.causes) for one in chosen],
        "failed": [bool(one.causes) for one in chosen],
    }
    dataset = xarray.Dataset({f"bench_{name}": ("bench_model", np.array(column)) for name, column in columns.items()})
    assert set(dataset) == set(diagnosing.VARIABLES)
    assert [one.combination for one in diagnosing.outcomes(dataset)] == chosen
    rates = diagnosing.held_out.summary(diagnosing.outcomes(dataset))
    assert all(rates["unseen combinations named first or second"])
    assert not any(rates["sound models accused"])
    config = autoencoder.Config(groups=("diagnosis",), every=30)
    report = autoencoder.STUDY.contents(dataset, config)
    assert "## How often the diagnosis is right" in report.blocks
    assert [figure.file for figure in report.figures] == ["diagnosis.png"]
    assert not autoencoder.STUDY.decides(config)
    assert autoencoder.STUDY.decides(autoencoder.Config(groups=("factorial", "phases", "extreme", "sizes")))
