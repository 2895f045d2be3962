"""The notebook's further proposals as a part of the autoencoder's study: rows, verdicts, report."""

import dataclasses
import json

import jax
import numpy as np
import pytest
import xarray
from compiled import compiled
from constant_keys import constant_key

import tokdyn as td
from tokdyn import autoencoder as ae
from tokdyn import claims
from tokdyn.studies import autoencoder
from tokdyn.studies.autoencoder import claims as verdicts
from tokdyn.studies.autoencoder import ideas
from tokdyn.studies.autoencoder.ideas import guidance
from tokdyn.studies.autoencoder.ideas.common import Row, as_dataset, seeds_of, table_rows


def pretended(value=0.5):
    """A Dataset of the study with rows of our choice: one value, or a function of the row's label."""
    values = value if callable(value) else lambda _: value
    made = {
        name: [Row(*row, values(ideas.name_of(name, *row)) + np.linspace(-1e-3, 1e-3, 5), 0.1, 1.0) for row in of.ROWS]
        for name, of in ideas.PARTS.items()
    }
    config = dataclasses.replace(autoencoder.Config(), groups=("ideas",))
    attrs = {"config": json.dumps(dataclasses.asdict(config)), "study": "autoencoder", "schema_version": 1,
             "environment": json.dumps(td.environment.describe()), "simulation_seconds": 1.0}  # fmt: skip
    return as_dataset(made).assign_attrs(attrs)


def test_rows_of_unlike_length_are_kept_whole():
    made = as_dataset({"a": [Row("one", "x", np.arange(3.0)), Row("two", "x", np.array([7.0]), 0.25)]})
    assert made["idea"].shape == (2, 3)
    assert seeds_of(made, "a", "one", "x").tolist() == [0, 1, 2]
    assert seeds_of(made, "a", "two", "x").tolist() == [7]
    first, second = table_rows(made, "a")
    assert (first["chance"], first["values"], second["chance"], second["95 %"]) == ("-", 3, "0.25", "exact")


def test_the_ideas_alone_may_judge_their_claims_and_no_others():
    dataset = pretended()
    found = autoencoder.STUDY.found(dataset)
    assert set(found) == {one.claim for one in ideas.CLAIMS}
    assert set(found) <= {claim.id for claim in claims.load()}
    assert set(verdicts.findings(dataset)) == set(found)
    assert not autoencoder.STUDY.decides(autoencoder.Config(groups=("ideas", "phases")))
    assert not autoencoder.STUDY.decides(autoencoder.Config(groups=("ideas",), seeds=3))


def test_the_folder(tmp_path):
    text = autoencoder.report(pretended(), tmp_path / "out").read_text()
    for needed in (
        "## The notebook's further proposals",
        "## Claim by claim",
        *(f"### {name.capitalize()}" for name in ideas.PARTS),
    ):
        assert needed in text
    assert (tmp_path / "out" / "ideas.csv").exists()
    for _, part in ideas.PARTS.items():
        assert part.headline(pretended()).endswith(".")


def test_a_text_of_one_s_own_leaves_them_out(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("a b\nb c\nc a")
    with pytest.raises(ValueError, match=r"diagnosis and ideas do not"):
        autoencoder.Config(text=str(path), groups=("ideas",)).checked()


class TestOverheads:
    @pytest.mark.parametrize(("ratio", "verdict"), [(3.2, "reproduced"), (5.8, "contradicted")])
    def test_time_is_judged_by_seconds_and_operations(self, ratio, verdict):
        found = verdicts.findings(pretended(ratio))["diffusion_lm.overhead_time"]
        assert (found.verdict, found.design) == (verdict, claims.RERUN)

    def test_one_case_outside_contradicts_memory(self):
        assert verdicts.findings(pretended(6.1))["diffusion_lm.overhead_memory"].verdict == "reproduced"
        alone = pretended(lambda name: 12.0 if "decoder alone: peak" in name else 6.0)
        assert verdicts.findings(alone)["diffusion_lm.overhead_memory"].verdict == "contradicted"


def verdict(claim, value):
    """Of a claim where rows have this value, or this one by their label."""
    return verdicts.findings(pretended(value))[f"diffusion_lm.{claim}"].verdict


def test_spectrograms_are_to_be_as_good_as_a_table_and_to_be_read():
    assert verdict("spectrogram_patterns", 1.0) == "reproduced"
    assert verdict("spectrogram_patterns", lambda name: 1.0 - 0.5 * ("noise 0.5:" in name)) == "qualified"
    assert verdict("spectrogram_patterns", lambda name: 1.0 - 0.5 * name.startswith("spectrograms")) == "contradicted"


def test_a_critic_helps_where_words_come_back_under_every_fault():
    assert verdict("adversarial_training", lambda name: 0.1 + 0.8 * ("critic" in name)) == "reproduced"
    assert verdict("adversarial_training", lambda name: 0.9 - 0.8 * ("critic" in name)) == "contradicted"
    assert verdict("adversarial_training", 0.9) == "qualified"


def test_codes_are_judged_beside_the_vectors_own_map():
    assert verdict("cross_lingual", 0.9) == "reproduced"
    assert verdict("cross_lingual", lambda name: 0.6 + 0.3 * ("Procrustes" in name)) == "qualified"
    assert verdict("cross_lingual", 0.1) == "contradicted"


def test_a_guide_is_to_help_by_its_meaning():
    assert verdict("language_guided", lambda name: 0.3 + 0.5 * ("by category" in name)) == "reproduced"
    assert verdict("language_guided", lambda name: 0.3 + 0.5 * ("guided by" in name)) == "qualified"
    assert verdict("language_guided", 0.5) == "contradicted"


def test_decoupled_codes_are_to_be_better_than_shared_ones_of_as_many_cells():
    assert verdict("decoupled_encoding", lambda name: 0.3 + 0.5 * ("+" in name)) == "reproduced"
    assert verdict("decoupled_encoding", lambda name: 0.3 + 0.5 * ("6 + 6" in name)) == "contradicted"


def test_a_reader_sees_its_own_cells_and_its_guide_alone():
    words, generator = np.arange(3), np.random.default_rng(0)
    vectors = generator.normal(size=(3, 4)).astype(np.float32)

    @compiled
    def readings(change, guides):
        masks = (np.arange(4) < 2).astype(np.float32), (np.arange(4) >= 2).astype(np.float32)
        model = guidance.TwoReaders(ae.encoders.grounded(vectors=vectors, cells=4, channels=2), guides, *masks)
        variables = model.init(constant_key(0))
        encoder = variables["params"]["encoder"]
        moved = jax.tree.map(lambda leaf: leaf + change if leaf.ndim == 1 else leaf, encoder)
        return model.apply({**variables, "params": {**variables["params"], "encoder": moved}}, words)[0]

    nothing, told = np.zeros((3, guidance.CATEGORIES), np.float32), np.eye(3, guidance.CATEGORIES, dtype=np.float32)
    last = np.zeros(8, np.float32)
    last[4:] = 9 * np.array([1, -1, 1, -1])  # the two colours of the last two cells
    word, category = readings(-last, nothing)
    other, changed = readings(last, nothing)
    np.testing.assert_allclose(word, other, atol=1e-5)
    assert np.abs(category - changed).max() > 0.01
    guided, same = readings(-last, told)
    assert np.abs(word - guided).max() > 0.01
    np.testing.assert_allclose(category, same, atol=1e-5)


def test_subwords_are_judged_beside_words_and_characters():
    assert verdict("subword_patterns", lambda name: 0.1 + 0.5 * ("whole" not in name)) == "reproduced"
    assert (
        verdict("subword_patterns", lambda name: 0.1 + 0.5 * ("pairs" in name) + 0.8 * ("char" in name)) == "qualified"
    )
    assert verdict("subword_patterns", 0.5) == "contradicted"


def test_a_learned_start_is_judged_beside_plain_training_and_a_readout():
    assert verdict("meta_learning", lambda name: 0.3 + 0.5 * ("Reptile: " in name)) == "reproduced"
    assert (
        verdict("meta_learning", lambda name: 0.3 + 0.3 * ("Reptile: " in name) + 0.6 * ("alone" in name))
        == "qualified"
    )
    assert verdict("meta_learning", 0.5) == "contradicted"


@pytest.mark.slow
def test_every_part_measures_the_rows_that_it_declares():
    made = ideas.measure(ideas.Run(2))
    assert list(made["idea_row"].values) == ideas.row_names()
    assert isinstance(made, xarray.Dataset)
    assert np.isfinite(made["idea"].values[:, 0]).all()
