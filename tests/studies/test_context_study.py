"""The study of context: readers on sentences whose truth is known, its report, and its verdict."""

import jax
import numpy as np
import pretended
import pytest

from tokdyn import geometry
from tokdyn.studies import context
from tokdyn.studies.context import changes, design, experiment, readers, worlds
from tokdyn.studies.context.claims import gain, share_of_oracle
from tokdyn.studies.context.report import comparisons


@pytest.fixture(scope="module")
def dataset():
    return pretended.dataset("context", 0)


def test_every_condition_has_other_sentences_but_one_thing_alone_is_varied():
    assert len({one.name for one in design.CONDITIONS}) == len(design.CONDITIONS)
    for one in design.CONDITIONS:
        nearest = min(
            sum(a != b for a, b in zip(one[1:], base[1:], strict=True)) for base in (design.BASE, design.ROLES)
        )
        assert nearest == (0 if one in (design.BASE, design.ROLES) else 1), one.name
    named = {name for pairs in (design.PRIMARY, design.SECONDARY) for one in pairs for name in one[1:]}
    assert named <= set(design.READERS)


def test_real_words_keep_what_is_near():
    rows = worlds.real_vectors()
    words = geometry.word_vectors().of([word for of in geometry.PUBLISHED_CATEGORIES.values() for word in of])
    kept = jax.jit(lambda a, b: geometry.preservation(a, b, num_neighbours=5, metric="cosine"))(
        words, rows[design.POLYSEMES :].astype(np.float32)
    )
    assert float(kept.overlap) > 3 * float(kept.chance)


def test_gains_are_over_the_commonest_sense(dataset):
    of = gain(dataset, "oracle")
    expected = dataset["recovered"].sel(reader="oracle") - dataset["commonest"]
    np.testing.assert_allclose(of.values, expected.transpose("condition", "seed").values)
    np.testing.assert_allclose(share_of_oracle(dataset, "oracle").where(of > 0, 1.0), 1.0)


def test_comparisons_are_paired_by_seed(dataset):
    (row, _) = comparisons(dataset, design.PRIMARY)
    condition, one, other = design.PRIMARY[0]
    values = dataset["recovered"].sel(condition=condition)
    difference = (values.sel(reader=one) - values.sel(reader=other)).values
    assert row["mean"] == pytest.approx(difference.mean())
    swapped = comparisons(dataset, tuple((name, other, one) for name, one, other in design.PRIMARY))[0]
    assert swapped["mean"] == pytest.approx(-row["mean"])


def test_the_report_says_what_the_dataset_has(dataset, tmp_path):
    text = context.report(dataset, tmp_path / "out", plots=True).read_text()
    alone = float(dataset["recovered"].sel(condition="base", reader=design.ALONE).mean())
    assert f"the token alone {alone:.1%}" in text
    assert "1 in 64,512" in text
    for name in ("recovered", "patterns", "changes"):
        assert (tmp_path / "out" / "plots" / f"{name}.png").stat().st_size > 2000
    assert context.headline(pretended.dataset("context", 1)) != context.headline(dataset)


def verdict(dataset, alone, connected):
    """The verdict where two readers differ so much from the commonest sense, the exact posterior by 0.5."""
    recovered = dataset["recovered"].copy()
    for reader, more in ((design.ALONE, alone), (design.CONNECTED, connected), (design.ORACLE, 0.5)):
        noise = 1e-4 * np.random.default_rng(0).normal(size=dataset["commonest"].shape)
        recovered.loc[{"reader": reader}] = dataset["commonest"] + more + noise
    return context.findings(dataset.assign(recovered=recovered))["diffusion_lm.fixed_patterns"].verdict


def test_the_verdict_follows_both_numbers(dataset):
    assert verdict(dataset, 0.0, 0.4) == "qualified"  # nothing alone, much in context
    assert verdict(dataset, 0.0, 0.1) == "reproduced"  # nothing in either
    assert verdict(dataset, 0.2, 0.4) == "contradicted"  # the token alone says it
    assert verdict(dataset, 0.02, 0.4) == "open"


@pytest.mark.slow
def test_readers_learn_what_they_can_and_not_what_they_cannot():
    """Without noise each recovers what its pattern holds; by chance, what it does not. 512 held-out sentences."""
    chosen = experiment.columns([one._replace(noise=0.0, ambiguity=0.0) for one in (design.BASE, design.ROLES)])
    evaluate = jax.jit(lambda cell, key: experiment.senses(cell, key, length=6, number=512, num_steps=200))
    for number in range(2):
        cell = {name: np.float32(values[number]) for name, values in chosen.items()}
        found = evaluate(cell, jax.random.key(4))
        right = dict(zip(design.READERS, np.asarray(found["recovered"]).tolist(), strict=True))
        assert right[design.ALONE] == pytest.approx(float(found["commonest"]), abs=0.03)
        assert right[design.ORACLE] == 1
        assert min(right[name] for name in (design.SIDES, design.CONNECTED, design.TRANSFORMER)) > 0.9
        blind = [right[name] for name in (design.AVERAGE, design.SIMILAR, design.REGIONS)]
        # Without order, one of two topics: a half is the most, but for uneven numbers of words on both sides.
        assert min(blind) > 0.95 if number == 0 else max(blind) < 0.75


@pytest.mark.slow
def test_regions_are_the_same_as_a_quadratic_discriminant():
    """Of many sentences, against scikit-learn's, for one polyseme."""
    from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis

    cell = {name: np.float32(values[0]) for name, values in experiment.columns([design.BASE]).items()}
    made, vectors = worlds.world(cell, jax.random.key(0))
    learned, asked = (geometry.sentences(jax.random.key(seed), made, number=8000, length=6) for seed in (1, 2))
    logs = np.asarray(readers.by_regions(vectors, made, learned, asked))
    ours = logs.argmax(axis=1)
    theirs = np.empty_like(ours)
    points = [np.asarray(readers.contexts(vectors, of), np.float64) for of in (learned, asked)]
    words = [np.asarray(readers.polyseme(of)) for of in (learned, asked)]
    for word in range(design.POLYSEMES):
        mine = words[0] == word
        model = QuadraticDiscriminantAnalysis(reg_param=1e-3).fit(points[0][mine], np.asarray(learned.sense)[mine])
        theirs[words[1] == word] = model.predict(points[1][words[1] == word])
    assert np.mean(ours == theirs) > 0.98


@pytest.mark.slow
def test_the_study_in_small_is_resumed(tmp_path):
    config = context.Config(seeds=2, sentences=64, num_steps=2, triples=2)
    first = context.run(config, store=str(tmp_path / "kept"))
    again = context.run(config, store=str(tmp_path / "kept"))
    assert set(experiment.VARIABLES) == set(first.data_vars)
    for name in experiment.VARIABLES:
        np.testing.assert_array_equal(first[name], again[name])
        assert np.isfinite(first[name].values).all(), name
    assert (first["told_apart"].sel(binding="sum") == 0.5).all()


def test_vectors_made_anew_from_the_same_sentences_are_the_same():
    information = np.abs(np.random.default_rng(0).normal(size=(2, 1, 12, 12))).repeat(2, axis=1)
    information = information + information.swapaxes(-1, -2)
    kept = changes.trained_anew(information, np.ones((2, 12), bool))
    np.testing.assert_allclose(kept, 1)


@pytest.mark.parametrize("options", [{"seeds": 1}, {"sentences": 5}, {"num_steps": 0}, {"triples": 1}, {"key": -1}])
def test_bad_designs(options):
    with pytest.raises(ValueError, match=f"^{next(iter(options))}: expected"):
        context.Config(**options).checked()
