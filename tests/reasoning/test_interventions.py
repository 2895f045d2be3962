"""Interventions: what must change nothing changes nothing, what is planted at one place is found at that place."""

import functools
import json

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from tiny import TASK

from tokdyn import reasoning
from tokdyn.reasoning import interventions as do

SLOTS, LAYERS, WIDTH = 3, 2, 8
DONORS, UNRELATED = np.array([3, 3, 0, 1, 5, 4]), np.array([1, 2, 3, 4, 5, 0])


def reasoner(layers=LAYERS, **protocol):
    way = reasoning.protocol(slots=SLOTS, **protocol)
    return reasoning.reasoner(TASK, way, width=WIDTH, heads=2, layers=layers, hidden=12)


MODEL = reasoner()
START = MODEL.places.starts["slots"]
SITES = ["embedding", "residual", "cache"]
VECTOR = np.arange(1.0, WIDTH + 1)
LAYER = {"embedding": None, "residual": 0, "cache": 1}

NOTHING = {"nothing": do.identity("slots", steps=[])}
for site in SITES:
    NOTHING[f"identity, {site}"] = do.identity("slots", site=site)
    NOTHING[f"sham, {site}"] = do.swap("slots", site=site, donor="self")
    NOTHING[f"order, {site}"] = do.permute("slots", range(SLOTS), site=site)

PLANTED = {
    f"{site} {step}": do.constant("slots", VECTOR, site=site, steps=[step], layers=LAYER[site])
    for site in SITES
    for step in range(SLOTS)
}
COMPONENTS = {name: do.constant(name, VECTOR) for name in ("start", "end", "format", "markers")}
PROMPT = {name: do.constant(name, VECTOR) for name in ("image", "question")}
SWAPS = {
    "other": do.swap("slots", site="cache"),
    "unrelated": do.swap("slots", donor="unrelated", site="cache"),
}
PAYLOADS = {
    "zero": do.zero("slots"),
    "mean": do.mean("slots"),
    "matched": do.constant("slots", np.ones(WIDTH), matched=True),
    "order": do.clamped(do.permute("slots", [2, 0, 1]), slots=SLOTS),
    "first": do.repeat_first("slots"),
    "out": do.project_out("slots", np.eye(WIDTH)[:3], steps=[0]),
    "removed": do.remove("slots", steps=[1]),
    "cut": do.truncate(1, slots=SLOTS),
    "held": do.clamped(do.zero("slots", steps=[0]), slots=SLOTS),
    "two": do.zero("slots", steps=[0]) + do.constant("slots", np.ones(WIDTH), steps=[2]),
    "mean start": do.mean("start"),
    "oracle": do.oracle("slots", steps=[1]),
    "late": do.constant("slots", VECTOR, site="residual", steps=[SLOTS - 1], layers=LAYERS - 1),
}
ARMS = {**NOTHING, **PLANTED, **COMPONENTS, **SWAPS, **PAYLOADS}


def compiled(arms, model=MODEL, **options):
    """A program of weights, items, other items' values for an oracle, and a key."""

    def run(variables, items, oracle, key):
        given = {"donors": DONORS, "unrelated": UNRELATED, "keep": lambda output: output, **options}
        return reasoning.run_arms(model, variables, items, arms, key=key, oracle=oracle, **given)

    return jax.jit(run)


@pytest.fixture(scope="module")
def items():
    return tiny.drawn(TASK, 6)


@pytest.fixture(scope="module")
def variables():
    return tiny.untrained(MODEL)


@pytest.fixture(scope="module")
def alone(variables, items):
    """The model without any arm."""
    return jax.tree.map(np.asarray, jax.jit(MODEL.apply)(variables, items)[0])


@pytest.fixture(scope="module")
def battery():
    """The program of all arms that leave the prompt alone."""
    return compiled(ARMS)


@pytest.fixture(scope="module")
def ran(battery, variables, items, alone):
    """The clean run, and the output of every arm."""
    oracle = jax.tree.map(lambda leaf: leaf + 1.0, alone.sites)
    return jax.tree.map(np.asarray, battery(variables, items, oracle, jax.random.key(1)))


@pytest.fixture(scope="module")
def reread(variables, items):
    """Arms that read the prompt anew."""
    arms = {**PROMPT, "other": SWAPS["other"], "mean start": PAYLOADS["mean start"]}
    program = compiled(arms, share_prompt=False)
    return jax.tree.map(np.asarray, program(variables, items, None, jax.random.key(1))[1])


def test_what_must_change_nothing(ran, alone):
    clean, results = ran
    for name in NOTHING:
        # The same compiled program: to the last bit; another one: to rounding.
        if name.startswith("identity"):
            chex.assert_trees_all_equal(results[name], results["nothing"])
        chex.assert_trees_all_close(results[name], clean, atol=1e-5)
        chex.assert_trees_all_close(results[name], alone, atol=1e-5)


@pytest.fixture(scope="module")
def optimised():
    """Arms on the prompt and behind it in one program, with users' optimisations."""
    # As wide as the references are: narrower rows are not fused into what made XLA round a row in two ways.
    model = reasoning.reasoner(TASK, reasoning.protocol(slots=SLOTS), width=32, layers=1)
    arms = {f"identity, {site}": do.identity("slots", site=site) for site in SITES}
    arms |= {"identity, image": do.identity("image"), "identity, question": do.identity("question", site="residual")}
    arms |= {"nothing": do.identity("slots", steps=[]), "of the prompt": do.identity("image", steps=[])}
    program = compiled({**arms, "blind": do.zero("image")}, model, donors=None, unrelated=None)
    before = jax.config.values["jax_disable_most_optimizations"]
    jax.config.update("jax_disable_most_optimizations", False)
    made = program(tiny.untrained(model), tiny.drawn(TASK, 64), None, jax.random.key(1))[1]
    jax.config.update("jax_disable_most_optimizations", before)
    return jax.tree.map(np.asarray, made)


def test_an_identity_is_exact_in_optimised_programs(optimised):
    for name in (*(f"identity, {site}" for site in SITES), "of the prompt"):
        chex.assert_trees_all_equal(optimised[name], optimised["nothing"])
    # Arms that read the prompt anew do so in a batch of another size, which some CPUs round differently.
    chex.assert_trees_all_equal(optimised["identity, image"], optimised["identity, question"])
    chex.assert_trees_all_close(optimised["identity, image"], optimised["nothing"], rtol=1e-5, atol=1e-5)


def test_an_arm_on_the_prompt_reads_it_anew_beside_arms_that_share_it(optimised):
    changed = (optimised["blind"].sites.embeddings != optimised["nothing"].sites.embeddings).any(axis=(0, 2))
    np.testing.assert_array_equal(changed[: MODEL.places.prefix], MODEL.places.where("image")[: MODEL.places.prefix])
    assert not optimised["blind"].sites.embeddings[:, MODEL.places.where("image")].any()
    assert np.abs(optimised["blind"].logits - optimised["nothing"].logits).max() > 1e-3


def test_what_is_planted_is_found_where_it_was_planted(ran):
    clean, results = ran
    for site in SITES:
        for step in range(SLOTS):
            changed = results[f"{site} {step}"]
            if site == "embedding":
                found = (changed.sites.embeddings == VECTOR).all(axis=-1)
            else:
                values = changed.sites.residuals if site == "residual" else changed.sites.values
                assert not (values[:, 1 - LAYER[site]] == VECTOR).all(axis=-1).any()
                found = (values[:, LAYER[site]] == VECTOR).all(axis=-1)
            expected = np.zeros(MODEL.places.total, bool)
            expected[START + step] = True
            np.testing.assert_array_equal(found, np.broadcast_to(expected, found.shape))
            # Nothing before it has changed; the answer after it has.
            before = np.s_[:, :, : START + step]
            np.testing.assert_allclose(changed.sites.residuals[before], clean.sites.residuals[before], atol=1e-5)
            assert np.abs(changed.logits - clean.logits).max() > 1e-4


def test_every_component_is_where_its_name_says(ran, reread):
    for component in (*COMPONENTS, *PROMPT):
        output = ran[1][component] if component in COMPONENTS else reread[component]
        found = (output.sites.embeddings == VECTOR).all(axis=-1)
        np.testing.assert_array_equal(found, np.broadcast_to(MODEL.places.where(component), found.shape))


def test_after_the_last_layer_of_the_last_slot_nobody_reads(ran):
    np.testing.assert_array_equal(ran[1]["late"].logits, ran[1]["nothing"].logits)


def test_donors_are_those_that_were_named(ran):
    clean, results = ran
    slots = slice(START, START + SLOTS)
    for name, mates in (("other", DONORS), ("unrelated", UNRELATED)):
        np.testing.assert_allclose(
            results[name].sites.keys[:, :, slots], clean.sites.keys[mates][:, :, slots], atol=1e-6
        )


def test_where_slots_are_all_that_is_seen_a_swapped_cache_swaps_the_answer(items):
    hidden = {"format": ["prompt", "start"], "end": ["prompt", "start", "slots"]}
    model = reasoner(hidden=hidden)
    # Nobody is named: the next item is the donor.
    program = compiled({"swap": SWAPS["other"]}, model, donors=None, unrelated=None)
    clean, results = program(tiny.untrained(model), items, None, jax.random.key(1))
    np.testing.assert_allclose(results["swap"].logits, jnp.roll(clean.logits, -1, axis=0), atol=1e-5)


def test_payloads(ran):
    clean, results = ran
    slots = clean.sites.embeddings[:, START : START + SLOTS]
    fed = {name: results[name].sites.embeddings[:, START : START + SLOTS] for name in PAYLOADS}
    assert not fed["zero"].any()
    np.testing.assert_allclose(fed["mean"], np.broadcast_to(slots.mean(axis=0), slots.shape), atol=1e-6)
    # At the length of what would have stood there: of the first slot, the clean one's.
    length = np.linalg.norm(slots[:, 0], axis=-1, keepdims=True) / np.sqrt(WIDTH)
    np.testing.assert_allclose(fed["matched"][:, 0], np.broadcast_to(length, (6, WIDTH)), rtol=1e-5)
    np.testing.assert_allclose(fed["order"], slots[:, [2, 0, 1]], atol=1e-6)
    np.testing.assert_allclose(fed["first"], slots[:, [0, 0, 0]], atol=1e-6)
    np.testing.assert_allclose(fed["out"][:, 0, 3:], slots[:, 0, 3:], atol=1e-6)
    np.testing.assert_allclose(fed["out"][:, 0, :3], 0, atol=1e-6)
    np.testing.assert_allclose(fed["held"][:, 1:], slots[:, 1:], atol=1e-6)
    assert np.abs(fed["two"][:, 1] - slots[:, 1]).max() > 1e-4  # recomputed from the changed first
    assert (fed["two"][:, 2] == 1).all()
    assert not fed["two"][:, 0].any()
    read = results["removed"].attention[..., START + 1]
    own = START + 1 - MODEL.places.prefix
    assert read[:, :, :, own].min() > 0
    assert not np.delete(read, own, axis=3).any()
    later = results["cut"].attention[:, :, own + 2 :, START + 1 : START + SLOTS]
    assert not later.any()


def test_permuting_identical_slots_is_a_no_op(items):
    model = reasoner(layers=1, source="constant")
    params = tiny.untrained(model)["params"]
    same = np.broadcast_to(params["constant_vectors"][:1], (SLOTS, WIDTH))
    variables = {"params": {**params, "constant_vectors": same}, "state": {}}
    program = compiled({"order": do.permute("slots", [2, 0, 1])}, model)
    clean, results = program(variables, items, None, jax.random.key(1))
    np.testing.assert_allclose(results["order"].logits, clean.logits, atol=1e-6)


def test_noise_has_the_size_that_was_asked_for():
    model = reasoner(layers=1)
    arms = {
        "absolute": do.noise("slots", absolute=0.5, steps=[0]),
        "relative": do.noise("slots", relative=0.5, steps=[0]),
        "spread": do.noise("slots", spread=1.0, steps=[0]),
    }
    options = {"donors": None, "unrelated": None, "keep": lambda output: output.sites.embeddings[:, START]}
    program = compiled(arms, model, **options)
    clean, results = program(tiny.untrained(model), tiny.drawn(TASK, 2000), None, jax.random.key(1))
    old = np.asarray(clean.sites.embeddings[:, START])
    count = old.size
    moved = np.asarray(results["absolute"]) - old
    # The standard deviation of n normal numbers is known to 1 / sqrt(2 n).
    assert abs(moved.std() / 0.5 - 1) < 4 / np.sqrt(2 * count)
    scaled = (np.asarray(results["relative"]) - old) / np.sqrt(np.mean(old**2, axis=-1, keepdims=True))
    assert abs(scaled.std() / 0.5 - 1) < 4 / np.sqrt(2 * count)
    drawn = np.asarray(results["spread"])
    np.testing.assert_allclose(drawn.mean(axis=0), old.mean(axis=0), atol=4 * old.std() / np.sqrt(2000))
    np.testing.assert_allclose(drawn.std(axis=0), old.std(axis=0), rtol=4 / np.sqrt(2 * 2000))
    assert abs(
        np.corrcoef(drawn.ravel() - np.tile(old.mean(axis=0), 2000), old.ravel() - np.tile(old.mean(axis=0), 2000))[
            0, 1
        ]
    ) < 4 / np.sqrt(count)


def test_an_oracle_writes_what_it_is_given(ran):
    clean, results = ran
    np.testing.assert_allclose(
        results["oracle"].sites.embeddings[:, START + 1], clean.sites.embeddings[:, START + 1] + 1, atol=1e-6
    )


def test_a_shared_prompt_gives_the_same_answers(ran, reread):
    for name in ("other", "mean start"):
        chex.assert_trees_all_close(ran[1][name], reread[name], atol=1e-5)


def test_gradients_go_through_interventions(items):
    # Two slots: the second reads the first, as each reads those before it.
    model = reasoning.reasoner(TASK, reasoning.protocol(slots=2), width=WIDTH, heads=2, layers=1, hidden=12)
    arms = {"mean": do.mean("slots", site="cache"), "zero": do.zero("slots"), "noise": do.noise("slots", spread=1.0)}

    def loss(variables):
        _, results = reasoning.run_arms(model, variables, items, arms, key=jax.random.key(1))
        return sum(jnp.sum(arm.logits**2) for arm in results.values())

    gradient = jax.jit(jax.grad(loss))(tiny.untrained(model))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


def test_other_numbers_compile_nothing(battery, ran):
    before = battery._cache_size()
    oracle = jax.tree.map(np.zeros_like, ran[0].sites)
    for seed in range(2):
        battery(tiny.untrained(MODEL, seed), tiny.drawn(TASK, 6, seed=seed), oracle, jax.random.key(seed))
    assert battery._cache_size() == before == 1


def test_interventions_are_values():
    arm = do.zero("slots", steps=[0]) + do.noise("markers", relative=0.1, site="residual", layers=1)
    assert do.from_dict(json.loads(json.dumps(arm.as_dict()))) == arm
    assert hash(arm) == hash(do.from_dict(arm.as_dict()))
    assert str(arm) == "zero(slots, steps=(0,)) + noise(markers, site=residual, layers=(1,), relative=0.1)"
    assert do.clamped(arm, slots=3).later == "clamped"
    assert arm.later == "recomputed"


@pytest.mark.parametrize(
    ("arm", "message"),
    [
        (lambda: do.zero("latents"), "component: expected"),
        (lambda: do.zero("slots", steps=[3]), "steps: expected places 0 to 2 of slots"),
        (lambda: do.zero("slots", site="residual", layers=[2]), "layers: expected layers 0 to 1"),
        (lambda: do.constant("slots", np.ones(3)), r"vector: expected \[8\]"),
        (lambda: do.permute("slots", [1, 0]), "order: expected one entry for each of the 3"),
        (lambda: do.permute("slots", [1, 1, 0]), "order: expected each place once"),
        (lambda: do.oracle("slots"), "oracle: expected"),
        (lambda: do.noise("slots"), "noise: expected"),
        (lambda: do.noise("slots", relative=-1.0), "relative: expected"),
        (lambda: do.project_out("slots", np.ones((2, 8))), "directions: expected linearly independent"),
        (lambda: do.truncate(3, slots=3), "length: expected fewer"),
        (lambda: do.clamped(do.zero("image"), slots=3), "change: expected"),
        (lambda: do.zero("slots", site="logits"), "site: expected"),
    ],
)
def test_bad_interventions(variables, items, arm, message):
    with pytest.raises(ValueError, match=message):
        traced({"arm": arm()}, variables, items)


@pytest.mark.parametrize(
    ("donors", "message"), [(np.arange(5), "donors: expected"), (np.full(6, 6), "donors: expected items 0 to 5")]
)
def test_bad_donors(variables, items, donors, message):
    # Not traced: who donors are is looked at before anything is computed, where they are known.
    swap = {"arm": do.swap("slots")}
    with pytest.raises(ValueError, match=message):
        reasoning.run_arms(MODEL, variables, items, swap, key=jax.random.key(0), donors=donors)


def test_no_items_and_no_arms(variables, items):
    none = jax.tree.map(lambda leaf: leaf[:0], items)
    with pytest.raises(ValueError, match="items: expected at least one"):
        traced({"zero": do.zero("slots")}, variables, none)
    with pytest.raises(ValueError, match="arms: expected at least one"):
        traced({}, variables, items)


def traced(arms, variables, items):
    """What is wrong is said while tracing, before anything is computed."""
    run = functools.partial(reasoning.run_arms, MODEL, arms=arms, key=jax.random.key(0))
    return jax.eval_shape(run, variables, items)
