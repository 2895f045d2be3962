"""Grounding as a study: its training against a transcription, its targets, its verdicts and its report."""

import dataclasses
import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray

from tests.studies import resumed
from tokdyn import environment
from tokdyn.studies import grounding, meanings
from tokdyn.studies.grounding import claims, design, experiment, training

SEEDS, CHANNEL_SEEDS = 10, 4


def test_words_and_their_vectors():
    names, rows = training.words(189), training.meanings(189)
    assert names[:5] == design.FIVE
    assert len(set(names)) == 189
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=2e-3)
    assert rows.shape == (189, meanings.WIDTH)


@functools.cache
def first_step():
    """Weights before and after a step with each target, of four words with four features each."""
    meaning = np.eye(4, 6, dtype=np.float32)

    @jax.jit
    def call(key):
        weights = training.Words(4).init(jax.random.fold_in(key, 0))
        return weights["params"], jnp.stack([training.target(kind, key, meaning) for kind in range(4)])

    return meaning, call(jax.random.key(0))


def test_targets_are_what_they_are_called():
    meaning, (_, targets) = first_step()
    found = dict(zip(design.TARGETS, np.asarray(targets), strict=True))
    np.testing.assert_array_equal(found["semantic"], meaning)
    np.testing.assert_allclose(found["identical"], np.broadcast_to(found["identical"][0], meaning.shape))
    np.testing.assert_allclose(np.linalg.norm(found["random"], axis=1), 1, rtol=1e-5)
    assert len(np.unique(found["random"][:, 0])) == 4


def dataset_of(*, gain=0.0, steps=1, cosine=0.48, agreement=(0.4, 0.2, 0.9, 0.8), first=0.2):
    """A Dataset of the study's shape: with semantic targets so much more, after so many steps without."""
    config = dataclasses.replace(design.Config(), seeds=SEEDS, channel_seeds=CHANNEL_SEEDS)
    draw = np.random.default_rng(0).normal
    sizes, targets = list(design.SIZES), list(design.TARGETS)
    accuracy = np.ones((len(sizes), len(targets), SEEDS, design.STEPS + 1), np.float32)
    accuracy[..., 0] = np.clip(first + 0.12 * draw(size=SEEDS), 0, 0.5)
    accuracy[:, :-1, :, 1:steps] = 0.5
    accuracy[:, :-1, :, 1:] -= gain
    shape = (len(targets), SEEDS)
    noise = 0.01 * draw(size=SEEDS)
    codes = (len(meanings.SOURCES), len(design.NOISE), len(design.CODES), 5, CHANNEL_SEEDS)
    variables = {
        "accuracy": (("words", "target", "seed", "step"), accuracy),
        "alignment": (("words", "target", "seed", "end"), 0.01 * draw(size=(len(sizes), *shape, 2))),
        "agreement": (("words", "target", "seed"), np.array(agreement)[None, :, None] + 0.01 * draw(
            size=(len(sizes), *shape))),
        "cosine": (("target", "seed", "after", "pair"), cosine + np.broadcast_to(
            noise[None, :, None, None], (*shape, 3, len(design.PAIRS)))),
        "first_alignment": (("target", "seed"), 0.06 + np.broadcast_to(noise, shape)),
        "noise": (("channel", "level"), np.array(list(design.NOISE.values()))),
        "overlap": (("source", "channel", "code", "channel_seed"), np.full((*codes[:3], CHANNEL_SEEDS), 0.5)),
    } | {
        name: (("source", "channel", "code", "level", "channel_seed"), np.clip(
            0.6 + 0.02 * np.arange(len(design.CODES))[:, None, None] * (1 if name == "exact" else -1)
            + 0.01 * draw(size=codes), 0, 1))
        for name in experiment.CHANNEL
    }  # fmt: skip
    coords = {
        "words": sizes, "target": targets, "seed": np.arange(SEEDS), "step": np.arange(design.STEPS + 1),
        "after": ["before", "published end", "100 steps"], "pair": [" ".join(pair) for pair in design.PAIRS],
        "source": list(meanings.SOURCES), "channel": list(design.NOISE), "code": list(design.CODES),
        "channel_seed": np.arange(CHANNEL_SEEDS),
    }  # fmt: skip
    return xarray.Dataset(variables, coords).assign_attrs(
        study="grounding", schema_version=1, config=json.dumps(dataclasses.asdict(config)),
        environment=json.dumps(environment.describe()), simulation_seconds=1.0,
    )  # fmt: skip


def verdicts(dataset):
    found = grounding.findings(dataset)
    return {name.removeprefix("diffusion_lm.grounding_"): one.verdict for name, one in found.items()}


def test_verdicts_follow_the_numbers():
    usual = verdicts(dataset_of())
    assert usual == {
        "accuracy": "qualified", "epochs": "qualified", "first_accuracy": "qualified", "speedup": "contradicted",
        "accuracy_ratio": "contradicted", "cause": "contradicted", "scales": "qualified",
        "similarity_cat_dog": "qualified", "similarity_red_blue": "qualified", "alignment": "open",
        "smooth": "qualified",
    }  # fmt: skip
    # Where only words with meaning are learned, the published statements stand.
    other = verdicts(dataset_of(gain=0.6, steps=5, agreement=(0.4, 0.2, 0.5, 0.8)))
    for name in ("accuracy", "epochs", "speedup", "accuracy_ratio", "cause", "scales", "smooth"):
        assert other[name] == "reproduced", name
    assert verdicts(dataset_of(cosine=0.9))["similarity_cat_dog"] == "contradicted"


def test_steps_are_counted_to_the_first_that_is_right():
    dataset = dataset_of(steps=4)
    assert (claims.steps_to_all(dataset, 5, "none") == 4).all()
    assert (claims.steps_to_all(dataset, 5, "semantic") == 1).all()


def test_the_report_says_what_the_dataset_has(tmp_path):
    text = grounding.report(dataset_of(), tmp_path / "out", plots=True).read_text()
    assert "fewer words come back than with arbitrary ones" in text
    assert "189 words 100.0 to 100.0 %" in text
    for name in ("targets", "channel"):
        assert (tmp_path / "out" / "plots" / f"{name}.png").stat().st_size > 2000


@pytest.mark.slow
def test_the_study_in_small_goes_on_from_its_store(tmp_path):
    """Whole: one step is enough with any target, codes keep their bounds, a second call reads everything."""
    config = design.Config(seeds=10, channel_seeds=3, draws=10)
    one = resumed.measured(experiment.measure, config, tmp_path / "store")
    after = one["accuracy"].sel(step=1).mean("seed")
    assert float(after.min()) > 0.98
    # Shares of 1,890 words, averaged: four standard errors of a share of a half.
    exact = one["exact"].mean("channel_seed")
    room = 4 * 0.5 / np.sqrt(189 * 10 * 3)
    assert bool((exact >= one["at_least"].mean("channel_seed") - room).all())
    assert bool((exact <= one["at_most"].mean("channel_seed") + room).all())
    words = one.sel(source="words", channel="gaussian")
    assert float(words["overlap"].sel(code=design.CODES[0]).mean()) > 0.6
    assert float(words["overlap"].sel(code="arbitrary").mean()) < 0.1


@pytest.mark.parametrize("options", [{"seeds": 9}, {"channel_seeds": 2}, {"draws": 0}, {"key": -1}])
def test_bad_designs(options):
    with pytest.raises(ValueError, match=f"^{next(iter(options))}: expected"):
        grounding.Config(**options).checked()
