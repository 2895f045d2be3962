"""Optimised latent tokens of tiny reasoners: what must change nothing, what is planted, and who pays how much."""

import dataclasses
import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from tiny import TASK

from tokdyn import reasoning
from tokdyn.checks import Status
from tokdyn.reasoning import latent_optimisation as lo
from tokdyn.reasoning.latent_optimisation.injection import handed, most_attended
from tokdyn.reasoning.latent_optimisation.latents import _program

SLOTS, WIDTH, PATCHES, STEPS = 3, 8, 4, 4
DMLR = dataclasses.replace(lo.CONFIGURATIONS["dmlr"], k=4, num_steps=STEPS)
PLAIN = dataclasses.replace(DMLR, patches=0, start_patches=0)


def reasoner(layers=1, **protocol):
    way = reasoning.protocol(slots=SLOTS, **protocol)
    return reasoning.reasoner(TASK, way, width=WIDTH, heads=2, layers=layers, hidden=12)


MODEL = reasoner()
# A protocol that takes what it is given.
GIVEN = dataclasses.replace(MODEL, protocol=dataclasses.replace(MODEL.protocol, source="given"))


@pytest.fixture(scope="module")
def items():
    return tiny.drawn(TASK, 6)


@pytest.fixture(scope="module")
def variables():
    return tiny.untrained(MODEL)


@pytest.fixture(scope="module")
def optimised(variables, items):
    def found(configuration, model=MODEL, variables=variables, items=items, seed=1, **options):
        return lo.optimise_latents(
            model, variables, items, key=jax.random.key(seed), configuration=configuration, **options
        )

    return found


def output_of(model, variables, items, **given):
    return jax.tree.map(np.asarray, tiny.program(model.apply)(variables, items, **given)[0])


PROTOCOLS = {
    "word": {"source": "word", "hidden": {"format": ["image"]}},
    "mlp": {"head": "mlp", "first": "before_start", "stop": "end_word", "start": "own"},
}


@pytest.fixture(scope="module")
def still(optimised, items):
    """Optimised at a learning rate of 0, and read from the start marker on; by protocol."""
    way = dataclasses.replace(PLAIN, learning_rate=0.0, scored="step", num_steps=1, read="slots, inclusive")

    @functools.cache
    def found(name):
        model = reasoner(**PROTOCOLS[name])
        variables = tiny.untrained(model)
        return output_of(model, variables, items), optimised(way, model, variables)

    return found


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_learning_rate_of_0_gives_the_clean_answer(name, still, items):
    alone, found = still(name)
    np.testing.assert_allclose(found.clean_logits, alone.logits, atol=1e-5)
    np.testing.assert_allclose(found.logits, alone.logits, atol=1e-5)
    np.testing.assert_allclose(found.latents, alone.latents, atol=1e-6)
    np.testing.assert_array_equal(found.right, (alone.answer == items.answer).all(axis=-1))


def transcribed(logits, k=4):
    """The published reward of logits `[positions, words]`, in NumPy."""
    p = np.exp(np.asarray(logits, np.float64))
    top = np.sort(p / p.sum(axis=-1, keepdims=True), axis=-1)[:, ::-1][:, :k]
    return 1 + (top * np.log(top)).sum(axis=-1).mean(), 1 - top.sum(axis=-1).mean()


def test_the_reward_is_read_where_the_configuration_says(variables, items, optimised, still):
    clean = output_of(MODEL, variables, items)
    spoken, inclusive = still("word")
    assert (spoken.length == SLOTS).all()
    for logits, found in ((clean.slot_logits[:, 1:], optimised(PLAIN)), (spoken.slot_logits, inclusive)):
        expected = np.array([transcribed(each) for each in logits])
        np.testing.assert_allclose(found.reward[:, 0], expected[:, 0], rtol=1e-4)
        np.testing.assert_allclose(found.clean_tail_mass, expected[:, 1], atol=1e-5)


def test_an_oracle_climbs_and_its_reward_is_that_of_its_latents(variables, items, optimised):
    rising = dataclasses.replace(
        PLAIN, estimator="gradient", scored="step", reward="answer_log_probability", learning_rate=0.02, share=0.5
    )
    # The start is the caller's.
    start = np.random.default_rng(4).normal(size=(6, SLOTS, WIDTH)).astype(np.float32)
    found = optimised(rising, GIVEN, given=start)
    np.testing.assert_array_equal(found.clean_latents, start)
    assert (np.diff(np.asarray(found.reward), axis=1) > 0).all()
    # Half of three slots, rounded up; the third keeps what it was fed.
    latents = np.asarray(found.latents)
    np.testing.assert_array_equal(latents[:, 2], start[:, 2])
    assert (latents[:, :2] != start[:, :2]).any(axis=-1).all()
    output = output_of(GIVEN, variables, items, given=latents)
    np.testing.assert_allclose(found.logits, output.logits, atol=1e-5)
    logits = np.asarray(output.logits[:, 0], np.float64)
    right = np.take_along_axis(logits, items.answer, axis=1)[:, 0] - np.log(np.exp(logits).sum(axis=1))
    np.testing.assert_allclose(found.best_reward[:, -1], right, rtol=1e-4)


def test_an_injected_patch_is_read_twice(items):
    model = reasoner(layers=2)
    injected = np.array([False, True, False, True])

    @jax.jit
    def passes(variables, item):
        prompt = model.prompt(variables, item)
        way = handed(model, variables, prompt, item, inject=True)
        clean = model.continued(variables, prompt, item)
        return clean, jax.vmap(lambda patches: way.run(clean.latents, patches))(jnp.stack([0 * injected, injected]) > 0)

    clean, both = passes(tiny.untrained(model), jax.tree.map(lambda leaf: leaf[0], items))
    none, some = (jax.tree.map(lambda leaf, i=i: np.asarray(leaf)[i], both) for i in range(2))
    np.testing.assert_allclose(none.logits, clean.logits, atol=1e-5)
    np.testing.assert_allclose(none.attention[..., PATCHES : 2 * PATCHES], 0.0)
    assert np.abs(some.logits - clean.logits).max() > 1e-3
    original, copy = some.attention[..., :PATCHES], some.attention[..., PATCHES : 2 * PATCHES]
    np.testing.assert_allclose(copy, np.where(injected, original, 0.0), rtol=1e-5)
    # The first layer's queries do not depend on what was injected: weights are doubled and normalised again.
    before = np.asarray(clean.attention[0])
    added = np.where(injected, before[..., :PATCHES], 0.0)
    expected = (before[..., :PATCHES] + added) / (1 + added.sum(axis=-1, keepdims=True))
    np.testing.assert_allclose((original + copy)[0], expected, rtol=1e-4)


def test_the_most_attended_that_are_left():
    attention = jnp.array([0.1, 0.4, 0.2, 0.3])
    taken = jnp.array([False, True, False, False])
    assert most_attended(attention, taken, 2).tolist() == [False, False, True, True]
    assert most_attended(attention, ~taken, 2).tolist() == [False, True, False, False]
    assert most_attended(attention, taken | True, 2).tolist() == [False] * 4


def planted(output, item):
    """1 where the copy of the patch that the item names is read, else 0; broken for a patch that there is not."""
    patch = item.answer[0]
    read = output.attention[..., PATCHES : 2 * PATCHES].sum(axis=(0, 1, 2))[patch] > 0
    return jnp.where(patch < PATCHES, read.astype(jnp.float32), jnp.nan)


def test_a_planted_patch_is_taken_and_no_other(items, optimised):
    one = dataclasses.replace(DMLR, patches=1, start_patches=0, learning_rate=0.0, scored="step")
    # The model reads its own answer: nothing but this reward looks at the item's.
    named = np.array([1, 2, 0, 1, 3, 2])
    items = items._replace(answer=np.int32(named)[:, None])
    found = jax.tree.map(np.asarray, optimised(one, items=items, reward=planted))
    holds = np.take_along_axis(found.candidates, named[:, None, None, None], axis=-1)[..., 0]
    met = holds.any(axis=(1, 2))
    assert met.any()
    assert not met.all()
    np.testing.assert_array_equal(found.patches, met[:, None] & (np.arange(PATCHES) == named[:, None]))
    # Taken when it is first tried, once; what was tried and not taken is gone again.
    order = holds.reshape(len(holds), -1)
    np.testing.assert_array_equal(found.taken.reshape(order.shape), order & (order.cumsum(axis=1) == 1))
    np.testing.assert_array_equal(found.candidate_reward.reshape(order.shape), order.cumsum(axis=1) > 0)
    np.testing.assert_array_equal(found.best_reward[:, -1], met)
    # A reward that breaks stops its item alone; the others do as before.
    fine = np.arange(6) != 3
    broken = items._replace(answer=np.where(fine[:, None], items.answer, np.int32(PATCHES)))
    partly = jax.tree.map(np.asarray, optimised(one, items=broken, reward=planted))
    np.testing.assert_array_equal(partly.status, np.where(fine, Status.MAX_STEPS, Status.NONFINITE))
    assert np.isfinite(partly.logits).all()
    np.testing.assert_array_equal(partly.patches[fine], found.patches[fine])
    np.testing.assert_array_equal(partly.logits[fine], found.logits[fine])


def test_patches_stay_only_where_the_reward_rose(optimised):
    controls = lo.controls(dataclasses.replace(DMLR, start_patches=1, most_patches=3, learning_rate=0.1))
    found = jax.tree.map(np.asarray, optimised(controls["reinforce, improvements"]))
    # The start; and in each step a sample, the latents after it and a candidate for each slot.
    assert found.num_evaluations.tolist() == [1 + STEPS * (2 + SLOTS)] * 6
    assert (np.diff(found.best_reward, axis=1) >= 0).all()
    assert (found.start_patches.sum(axis=1) == 1).all()
    assert (found.patches.sum(axis=1) <= 3).all()
    kept = (found.candidates & found.taken[..., None]).any(axis=(1, 2)) | found.start_patches
    np.testing.assert_array_equal(found.patches, kept)
    assert found.taken.any()
    assert not found.taken.all()
    # The last pass reads the best latents with the patches: the published reward of what it says is the best one.
    assert found.accepted.any()
    assert not found.accepted.all()
    best = np.maximum(np.where(found.accepted, found.reward[:, 1:], -np.inf).max(axis=1), found.reward[:, 0])
    rose = np.where(found.taken, found.candidate_reward, -np.inf).max(axis=(1, 2))
    np.testing.assert_allclose(found.best_reward[:, -1], np.maximum(best, rose))


def test_direction_and_acceptance_as_flags_share_one_program(optimised):
    known = lo.controls(dataclasses.replace(PLAIN, learning_rate=0.1))
    program, before, found = _program(MODEL, None, None), None, {}
    for name, control in known.items():
        found[name] = optimised(lo.in_one_program(control))
        before = before or program._cache_size()
    assert program._cache_size() == before
    for name in ("reinforce, improvements", "random, all"):
        chex.assert_trees_all_close(found[name], optimised(known[name]), rtol=1e-5, atol=1e-5)
    moved = {name: np.asarray(one.last_latents) for name, one in found.items()}
    assert (moved["reinforce, all"] != moved["random, all"]).any()
    assert (moved["reinforce, all"] != moved["reinforce, improvements"]).any()


def test_numbers_compile_nothing_and_items_are_their_own(items, optimised):
    program, climbing = _program(MODEL, None, None), dataclasses.replace(PLAIN, learning_rate=0.1)
    found = optimised(climbing)
    compiled = program._cache_size()
    other = dataclasses.replace(PLAIN, learning_rate=0.2, sigma=0.3, sigma_decay=0.9)
    strangers = tiny.drawn(TASK, 6, seed=7)
    optimised(other, variables=tiny.untrained(MODEL, 9), items=strangers, seed=2)
    mixed = jax.tree.map(lambda ours, theirs: np.concatenate([ours[:2], theirs[2:]]), items, strangers)
    np.testing.assert_allclose(optimised(climbing, items=mixed).reward[:2], found.reward[:2], rtol=1e-5)
    assert program._cache_size() == compiled
    # Over sigmas by vmap: row by row what one sigma gives.
    sigmas = jnp.array([0.1, 0.3])
    rows = jax.vmap(lambda sigma: optimised(dataclasses.replace(climbing, sigma=sigma)))(sigmas)
    np.testing.assert_allclose(rows.reward[0], found.reward, rtol=1e-3)
    assert (np.asarray(rows.reward[1, :, 1]) != np.asarray(rows.reward[0, :, 1])).all()


def test_latentseek_follows_the_policy_of_its_own_words(variables, optimised):
    seek = dataclasses.replace(
        lo.CONFIGURATIONS["latentseek"], k=4, share=1.0, num_steps=1, optimiser="sgd", enough=None
    )
    found = optimised(seek)
    readout = variables["params"]["readout"]
    of = lambda z: jax.nn.log_softmax(z @ readout["kernel"] + readout["bias"])  # noqa: E731
    words = of(found.clean_latents).argmax(axis=-1)
    policy = lambda z: jnp.take_along_axis(of(z), words[..., None], axis=-1).sum()  # noqa: E731
    reward = np.asarray(found.clean_right, float)[:, None, None] - 1
    expected = found.clean_latents + 0.03 * reward * jax.grad(policy)(found.clean_latents)
    np.testing.assert_allclose(found.last_latents, expected, atol=1e-5)
    np.testing.assert_array_equal(found.reward[:, 0], reward[:, 0, 0])


def test_the_released_code_decodes_without_its_patches(variables, items, optimised):
    assert set(lo.CONFIGURATIONS) >= {"dmlr", "dmlr, code", "ltpo", "latentseek", "random, improvements"}
    found = optimised(dataclasses.replace(lo.CONFIGURATIONS["dmlr, code"], k=4, num_steps=2))
    assert found.start_patches.sum() == 6
    output = output_of(GIVEN, variables, items, given=np.asarray(found.latents))
    np.testing.assert_allclose(found.logits, output.logits, atol=1e-4)


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({"k": 10_000}, {}, "k: expected at most the .* words of the vocabulary, got 10000"),
        ({"sigma": 0.0}, {}, "sigma: expected a number above 0"),
        ({"num_samples": 0}, {}, "num_samples: expected"),
        ({"num_samples": 3, "antithetic": True}, {}, "num_samples: expected an even number"),
        ({"baseline": "leave_one_out"}, {}, "num_samples: expected at least 2"),
        ({"reward": "trust"}, {}, "reward: expected one of"),
        ({"read": "markers"}, {}, "read: expected one of"),
        ({"share": 0.0}, {}, "share: expected"),
        ({}, {"items": "none"}, "items: expected at least one"),
        ({}, {"reward": "right_answer"}, "reward: expected a function of Output and Item"),
        ({}, {"given": np.zeros((6, SLOTS, 3))}, "given: expected shape"),
        ({}, {"model": reasoning.reasoner(TASK, reasoning.direct())}, "model: expected a reasoner with slots"),
    ],
)
def test_bad_input(items, optimised, changes, options, message):
    if options.get("items") == "none":
        options = {"items": jax.tree.map(lambda leaf: leaf[:0], items)}
    with pytest.raises(ValueError, match=message):
        optimised(dataclasses.replace(DMLR, **changes), **options)
