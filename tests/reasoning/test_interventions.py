"""Interventions: what must change nothing changes nothing, what is planted at one place is found at that place."""

import json

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tokdyn import reasoning
from tokdyn.reasoning import interventions as do
from tokdyn.reasoning.training import items_of

TASK = reasoning.tasks.pointer_chase(side=2, hops=2, decoys=1, patch=3)
ITEMS = items_of(TASK, jax.random.key(3), 6)
SLOTS, LAYERS, WIDTH = 3, 2, 8


def made(**protocol):
    model = reasoning.reasoner(TASK, reasoning.protocol(slots=SLOTS, **protocol), width=WIDTH, heads=2, hidden=12)
    return model, model.init(jax.random.key(0))


MODEL, VARIABLES = made()
START = MODEL.places.starts["slots"]


def run(arms, model=MODEL, variables=VARIABLES, **options):
    return jax.jit(
        lambda variables, items: reasoning.run_arms(
            model, variables, items, arms, key=jax.random.key(1), **{"keep": lambda output: output, **options}
        )
    )(variables, ITEMS)


SITES = ["embedding", "residual", "cache"]


def test_what_must_change_nothing():
    arms = {"nothing": do.identity("slots", steps=[])}
    for site in SITES:
        arms[f"identity, {site}"] = do.identity("slots", site=site)
        arms[f"sham, {site}"] = do.swap("slots", site=site, donor="self")
        arms[f"order, {site}"] = do.permute("slots", range(SLOTS), site=site)
    clean, results = run(arms)
    alone, _ = jax.jit(MODEL.apply)(VARIABLES, ITEMS)
    for name, output in results.items():
        # The same compiled program: to the last bit; another one: to rounding.
        if name.startswith("identity"):
            chex.assert_trees_all_equal(output, results["nothing"])
        chex.assert_trees_all_close(output, clean, atol=1e-5)
        chex.assert_trees_all_close(output, alone, atol=1e-5)


def test_an_identity_is_exact_in_optimised_programs():
    # As wide as the references are: narrower rows are not fused into what made XLA round a row in two ways.
    jax.config.update("jax_disable_most_optimizations", False)
    model = reasoning.reasoner(TASK, reasoning.protocol(slots=SLOTS), width=32)
    arms = {site: do.identity("slots", site=site) for site in SITES}
    arms |= {"image": do.identity("image"), "question": do.identity("question", site="residual")}
    nothing = {"nothing": do.identity("slots", steps=[]), "of the prompt": do.identity("image", steps=[])}
    variables, items = model.init(jax.random.key(0)), items_of(TASK, jax.random.key(3), 64)
    keep = {"key": jax.random.key(1), "keep": lambda output: output}
    _, results = jax.jit(lambda *given: reasoning.run_arms(model, *given, arms | nothing, **keep))(variables, items)
    for name in arms:
        chex.assert_trees_all_equal(results[name], results["nothing"])


VECTOR = np.arange(1.0, WIDTH + 1)
LAYER = {"embedding": None, "residual": 0, "cache": 1}


def test_what_is_planted_is_found_where_it_was_planted():
    places = [(site, step) for site in SITES for step in range(SLOTS)]
    clean, results = run(
        {
            f"{site} {step}": do.constant("slots", VECTOR, site=site, steps=[step], layers=LAYER[site])
            for site, step in places
        }
    )
    for site, step in places:
        changed = results[f"{site} {step}"]
        if site == "embedding":
            found = np.asarray(changed.sites.embeddings == VECTOR).all(axis=-1)
        else:
            values = changed.sites.residuals if site == "residual" else changed.sites.values
            assert not np.asarray(values[:, 1 - LAYER[site]] == VECTOR).all(axis=-1).any()
            found = np.asarray(values[:, LAYER[site]] == VECTOR).all(axis=-1)
        expected = np.zeros(MODEL.places.total, bool)
        expected[START + step] = True
        np.testing.assert_array_equal(found, np.broadcast_to(expected, found.shape))
        # Nothing before it has changed; the answer after it has.
        before = np.s_[:, :, : START + step]
        np.testing.assert_allclose(changed.sites.residuals[before], clean.sites.residuals[before], atol=1e-5)
        assert float(jnp.abs(changed.logits - clean.logits).max()) > 1e-4


def test_every_component_is_where_its_name_says():
    components = ["image", "question", "start", "end", "format", "markers"]
    _, results = run({component: do.constant(component, VECTOR) for component in components})
    for component, output in results.items():
        found = np.asarray(output.sites.embeddings == VECTOR).all(axis=-1)
        np.testing.assert_array_equal(found, np.broadcast_to(MODEL.places.where(component), found.shape))


def test_after_the_last_layer_of_the_last_slot_nobody_reads():
    late = do.constant("slots", VECTOR, site="residual", steps=[SLOTS - 1], layers=LAYERS - 1)
    _, results = run({"late": late, "nothing": do.identity("slots", steps=[])})
    np.testing.assert_array_equal(results["late"].logits, results["nothing"].logits)


def test_donors_are_those_that_were_named():
    donors, unrelated = np.array([3, 3, 0, 1, 5, 4]), np.array([1, 2, 3, 4, 5, 0])
    clean, results = run(
        {"other": do.swap("slots", site="cache"), "unrelated": do.swap("slots", donor="unrelated", site="cache")},
        donors=donors, unrelated=unrelated,
    )  # fmt: skip
    slots = slice(START, START + SLOTS)
    for name, mates in (("other", donors), ("unrelated", unrelated)):
        np.testing.assert_allclose(
            results[name].sites.keys[:, :, slots], clean.sites.keys[mates][:, :, slots], atol=1e-6
        )


def test_where_slots_are_all_that_is_seen_a_swapped_cache_swaps_the_answer():
    hidden = {"format": ["prompt", "start"], "end": ["prompt", "start", "slots"]}
    model, variables = made(hidden=hidden)
    clean, results = run({"swap": do.swap("slots", site="cache")}, model, variables)
    np.testing.assert_allclose(results["swap"].logits, jnp.roll(clean.logits, -1, axis=0), atol=1e-5)


def test_payloads():
    clean, results = run(
        {
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
        }
    )
    slots = np.asarray(clean.sites.embeddings[:, START : START + SLOTS])
    fed = {name: np.asarray(output.sites.embeddings[:, START : START + SLOTS]) for name, output in results.items()}
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
    read = np.asarray(results["removed"].attention)[..., START + 1]
    own = START + 1 - MODEL.places.prefix
    assert read[:, :, :, own].min() > 0
    assert not np.delete(read, own, axis=3).any()
    later = np.asarray(results["cut"].attention)[:, :, own + 2 :, START + 1 : START + SLOTS]
    assert not later.any()


def test_permuting_identical_slots_is_a_no_op():
    model, variables = made(source="constant")
    same = jnp.broadcast_to(variables["params"]["constant_vectors"][:1], (SLOTS, WIDTH))
    variables = {"params": {**variables["params"], "constant_vectors": same}, "state": {}}
    clean, results = run({"order": do.permute("slots", [2, 0, 1])}, model, variables)
    np.testing.assert_allclose(results["order"].logits, clean.logits, atol=1e-6)


def test_noise_has_the_size_that_was_asked_for():
    items = items_of(TASK, jax.random.key(3), 2000)
    arms = {
        "absolute": do.noise("slots", absolute=0.5, steps=[0]),
        "relative": do.noise("slots", relative=0.5, steps=[0]),
        "spread": do.noise("slots", spread=1.0, steps=[0]),
    }
    clean, results = jax.jit(
        lambda variables, items: reasoning.run_arms(
            MODEL, variables, items, arms, key=jax.random.key(1), keep=lambda output: output.sites.embeddings[:, START]
        )
    )(VARIABLES, items)
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


def test_an_oracle_writes_what_it_is_given():
    other = jax.tree.map(lambda leaf: leaf + 1.0, run({"nothing": do.identity("slots")})[0].sites)
    clean, results = run({"oracle": do.oracle("slots", steps=[1])}, oracle=other)
    np.testing.assert_allclose(
        results["oracle"].sites.embeddings[:, START + 1], clean.sites.embeddings[:, START + 1] + 1, atol=1e-6
    )


def test_a_shared_prompt_gives_the_same_answers():
    arms = {"swap": do.swap("slots", site="cache"), "image": do.zero("image"), "start": do.mean("start")}
    _, shared = run(arms)
    _, anew = run(arms, share_prompt=False)
    chex.assert_trees_all_close(shared, anew, atol=1e-5)


def test_gradients_go_through_interventions():
    def loss(variables):
        arms = {
            "mean": do.mean("slots", site="cache"),
            "zero": do.zero("slots"),
            "noise": do.noise("slots", spread=1.0),
        }
        _, results = reasoning.run_arms(MODEL, variables, ITEMS, arms, key=jax.random.key(1))
        return sum(jnp.sum(arm.logits**2) for arm in results.values())

    gradient = jax.jit(jax.grad(loss))(VARIABLES)
    assert all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(gradient))


def test_other_numbers_compile_nothing():
    traced = []

    @jax.jit
    def battery(variables, items, key):
        traced.append(1)
        arms = {"swap": do.swap("slots"), "zero": do.zero("image")}
        return reasoning.run_arms(MODEL, variables, items, arms, key=key)[1]

    for seed in range(2):
        battery(MODEL.init(jax.random.key(seed)), items_of(TASK, jax.random.key(seed), 6), jax.random.key(seed))
    assert len(traced) == 1


def test_interventions_are_values():
    arm = do.zero("slots", steps=[0]) + do.noise("markers", relative=0.1, site="residual", layers=1)
    assert do.from_dict(json.loads(json.dumps(arm.as_dict()))) == arm
    assert hash(arm) == hash(do.from_dict(arm.as_dict()))
    assert str(arm) == "zero(slots, steps=(0,)) + noise(markers, site=residual, layers=(1,), relative=0.1)"
    assert do.clamped(arm, slots=3).later == "clamped"
    assert arm.later == "recomputed"


@pytest.mark.parametrize(
    ("arm", "options", "message"),
    [
        (lambda: do.zero("latents"), {}, "component: expected"),
        (lambda: do.zero("slots", steps=[3]), {}, "steps: expected places 0 to 2 of slots"),
        (lambda: do.zero("slots", site="residual", layers=[2]), {}, "layers: expected layers 0 to 1"),
        (lambda: do.swap("slots"), {"donors": np.arange(5)}, "donors: expected"),
        (lambda: do.swap("slots"), {"donors": np.full(6, 6)}, "donors: expected items 0 to 5"),
        (lambda: do.constant("slots", np.ones(3)), {}, r"vector: expected \[8\]"),
        (lambda: do.permute("slots", [1, 0]), {}, "order: expected one entry for each of the 3"),
        (lambda: do.permute("slots", [1, 1, 0]), {}, "order: expected each place once"),
        (lambda: do.oracle("slots"), {}, "oracle: expected"),
        (lambda: do.noise("slots"), {}, "noise: expected"),
        (lambda: do.noise("slots", relative=-1.0), {}, "relative: expected"),
        (lambda: do.project_out("slots", np.ones((2, 8))), {}, "directions: expected linearly independent"),
        (lambda: do.truncate(3, slots=3), {}, "length: expected fewer"),
        (lambda: do.clamped(do.zero("image"), slots=3), {}, "change: expected"),
        (lambda: do.zero("slots", site="logits"), {}, "site: expected"),
    ],
)  # fmt: skip
def test_bad_interventions(arm, options, message):
    with pytest.raises(ValueError, match=message):
        reasoning.run_arms(MODEL, VARIABLES, ITEMS, {"arm": arm()}, key=jax.random.key(0), **options)


def test_no_items_and_no_arms():
    none = jax.tree.map(lambda leaf: leaf[:0], ITEMS)
    with pytest.raises(ValueError, match="items: expected at least one"):
        reasoning.run_arms(MODEL, VARIABLES, none, {"zero": do.zero("slots")}, key=jax.random.key(0))
    with pytest.raises(ValueError, match="arms: expected at least one"):
        reasoning.run_arms(MODEL, VARIABLES, ITEMS, {}, key=jax.random.key(0))
