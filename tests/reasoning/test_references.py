"""What is declared of the reference reasoners holds in their shipped weights, channel by channel."""

import functools
import json

import jax
import numpy as np
import pytest
import tiny

from tokdyn import reasoning, stats
from tokdyn.reasoning import interventions as do
from tokdyn.reasoning import shipped
from tokdyn.reasoning.references import CHANNELS, catalog

COUNT = 1000
NAMES = list(catalog())
CACHES = {"swapped caches": do.swap("slots", site="cache"), "mean caches": do.mean("slots", site="cache")}
REMOVED = {"slots removed": do.remove("slots")}


def embeddings(slots):
    return {"swapped embeddings": do.clamped(do.swap("slots"), slots=slots), "mean embeddings": do.mean("slots")}


# The arms that the declared truths are about: a program is as large as the arm with the most writes.
ARMS = {
    "content": CACHES | REMOVED | {f"swapped {step}": do.swap("slots", steps=[step]) for step in range(2)},
    "compute": CACHES | REMOVED | embeddings(3),
    "text": CACHES | REMOVED,
    "bypassed": CACHES,
    "masked": CACHES | REMOVED,
    "soft_prompt": CACHES | embeddings(2),
    "marker": {"markers only": do.remove("slots"), "markers removed": do.remove("markers")},
}


@functools.cache
def run(name):
    """Reference, fresh items, and the answers under each arm, all of weights that were shipped."""
    one = shipped.load(name)
    model = one.reference.model
    items = tiny.drawn(one.reference.task, COUNT, seed=77)
    answer = lambda output: output.answer[:, 0]  # noqa: E731
    assert (name in ARMS) == (model.places.slots > 0)

    @jax.jit
    def answers(variables, items):
        if name not in ARMS:
            return {"clean": answer(model.apply(variables, items)[0])}
        key = jax.random.key(0)
        clean, results = reasoning.run_arms(model, variables, items, ARMS[name], key=key, keep=answer)
        return {"clean": answer(clean), **results}

    return one.reference, items, jax.tree.map(np.asarray, answers(one.variables, items))


def right(name, arm="clean"):
    _, items, answers = run(name)
    return answers[arm] == items.answer[:, 0]


def upper(flags):
    """Upper end of the exact interval of a share."""
    return float(stats.clopper_pearson(flags.sum(), len(flags)).high)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "direct, two modes"])
def test_clean_they_are_right(name):
    assert right(name).mean() >= 0.95
    assert shipped.load(name).accuracy >= 0.95


# The best guess of who knows neither start nor signs: the commonest of nine places.
CHANCE = 1 / 8


@pytest.mark.parametrize("name", ["content", "compute", "text"])
def test_load_bearing_falls_to_chance_without_its_cache(name):
    for arm in ("swapped caches", "mean caches", "slots removed"):
        share = right(name, arm).mean()
        assert share < CHANCE + 4 * np.sqrt(CHANCE * (1 - CHANCE) / COUNT), arm


@pytest.mark.parametrize("name", ["content", "compute", "text"])
def test_load_bearing_follows_the_donors_cache(name):
    _, items, answers = run(name)
    own, donor = items.answer[:, 0], np.roll(items.answer[:, 0], -1)
    eligible = own != donor
    lift = (answers["swapped caches"] == donor)[eligible].mean() - (answers["clean"] == donor)[eligible].mean()
    assert lift >= 0.9


def test_content_follows_the_donors_state_through_its_own_picture():
    reference, items, answers = run("content")
    assert reference.model.places.slots == 2
    answer_from = jax.jit(jax.vmap(reference.task.answer_from))
    for step in range(2):
        expected = answer_from(items, np.full(COUNT, step + 1), np.roll(items.steps[:, step], -1))
        assert (answers[f"swapped {step}"] == np.asarray(expected[:, 0])).mean() >= 0.9


def test_compute_does_not_know_whose_embeddings_it_has():
    for arm in ("swapped embeddings", "mean embeddings"):
        np.testing.assert_array_equal(run("compute")[2][arm], run("compute")[2]["clean"])


def test_bypassed_is_equivalent_under_foreign_caches():
    for arm in ("swapped caches", "mean caches"):
        test = stats.proportions_equivalence(right("bypassed", arm), right("bypassed"), bound=0.01)
        assert bool(test.equivalent), (arm, test)


def test_masked_does_not_see_slots_at_all():
    answers = run("masked")[2]
    for arm in ("swapped caches", "mean caches", "slots removed"):
        np.testing.assert_array_equal(answers[arm], answers["clean"])


def test_soft_prompts_are_everybodys():
    answers = run("soft_prompt")[2]
    for arm in ("swapped caches", "mean caches", "swapped embeddings", "mean embeddings"):
        np.testing.assert_array_equal(answers[arm], answers["clean"])


def test_the_marker_is_all_that_matters():
    base = right("direct, two modes").mean()
    gain = right("marker").mean() - base
    assert gain > 0.4  # of two answers the base can know one
    assert (right("marker", "markers only").mean() - base) / gain >= 0.95
    without = right("marker", "markers removed")
    assert (upper(without) - base) / gain < 0.2


def test_every_reference_declares_every_channel():
    for reference in catalog().values():
        assert tuple(reference.truth) == CHANNELS
        assert set(reference.truth.values()) <= {"content", "presence", "none", "undeclared"}
        assert reference.base in catalog()
        assert reference.model.places.total <= 48


def test_a_file_comes_back_and_is_refused_for_another_protocol(tmp_path):
    one = shipped.load("masked")
    shipped.save("masked", one, tmp_path)
    again = shipped.load("masked", tmp_path)
    jax.tree.map(np.testing.assert_array_equal, one.variables, again.variables)
    (tmp_path / "masked.npz").rename(tmp_path / "bypassed.npz")
    with pytest.raises(ValueError, match="path: expected weights of the catalog's protocol"):
        shipped.load("bypassed", tmp_path)
    with pytest.raises(ValueError, match="name: expected"):
        shipped.load("nobody")


def test_protocols_are_json():
    for reference in catalog().values():
        text = json.dumps(reference.model.protocol.as_dict())
        assert reasoning.protocol(**json.loads(text)) == reference.model.protocol


@pytest.mark.slow
@pytest.mark.parametrize("name", ["content", "bypassed"])
def test_they_can_be_made_again(name):
    """Other seeds reach the same accuracy."""
    made = shipped.ensemble(catalog()[name], jax.random.key(5), [1, 2], num_items=COUNT)
    assert (made["accuracy"] >= 0.95).all(), made["accuracy"]
