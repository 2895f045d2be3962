"""The recurrence as a function of one position: against the whole pass with a latent written into it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from tokdyn import reasoning
from tokdyn.reasoning import interventions as do
from tokdyn.reasoning.arms import material_of
from tokdyn.reasoning.interventions import recipes
from tokdyn.reasoning.writes import cooked

SMALL = {"layers": 2, "width": 8, "heads": 2, "hidden": 8}
PROTOCOLS = {
    "state": reasoning.protocol(slots=4, head="linear", hidden={"slots": ("question",)}),
    "word": reasoning.protocol(slots=4, source="word"),
    # A sample that has stopped, or never began, hides its slots from later ones.
    "own pace": reasoning.protocol(slots=4, first="before_start", stop="end_word", start="own"),
}


def whole_pass(model, variables, item, vector, slot):
    """What the next slot is fed when a vector is written where this one is fed: the pass from the first word on."""
    writes = [do.zero("slots", steps=[each]) for each in range(model.places.slots - 1)]
    prepared = recipes(writes, model.places, layers=model.layers, width=model.width)
    alone = jax.tree.map(lambda leaf: leaf[None], item)
    clean, _ = model.apply(variables, alone)
    recipe = jax.tree.map(lambda leaf: leaf[slot], prepared)
    written = cooked(recipe._replace(vector=vector[None]), material_of(model, clean, key=None))
    return model.apply(variables, alone, writes=written)[0].latents[0, slot + 1]


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_step_is_what_the_whole_pass_makes_of_a_written_latent(name):
    model = reasoning.reasoner(tiny.TASK, PROTOCOLS[name], **SMALL)
    variables = jax.tree.map(jnp.asarray, tiny.untrained(model))
    items = tiny.drawn(tiny.TASK, 3)
    vectors = np.random.default_rng(1).normal(size=(3, 8)).astype(np.float32)

    def both(item, vector, slot):
        found = reasoning.recurrence(model, variables, item)
        # The clean latent of this slot gives the clean latent of the next one.
        clean = found.step(found.latents[slot], slot), found.latents[slot + 1]
        return *clean, found.step(vector, slot), whole_pass(model, variables, item, vector, slot)

    program = jax.jit(jax.vmap(both))
    for slot in range(3):
        clean, fed, stepped, expected = program(items, vectors, np.full(3, slot))
        np.testing.assert_allclose(clean, fed, atol=2e-5)
        np.testing.assert_allclose(stepped, expected, atol=2e-5)
        if name == "state":
            assert float(jnp.abs(stepped - fed).min(axis=0).max()) > 1e-2  # another latent, another next one


def test_jacobians_are_those_of_finite_differences():
    model = reasoning.reasoner(tiny.TASK, PROTOCOLS["state"], **SMALL)
    variables = jax.tree.map(jnp.asarray, tiny.untrained(model))
    item = jax.tree.map(lambda leaf: jnp.asarray(leaf[0]), tiny.drawn(tiny.TASK, 3))

    def all_of_them(item):
        found = reasoning.recurrence(model, variables, item)
        step = 1e-2 * jnp.eye(8)
        ends = [jax.vmap(lambda change, sign=sign: found.step(found.latents[1] + sign * change, 1))(step)
                for sign in (1, -1)]  # fmt: skip
        return reasoning.latent_jacobians(found), (ends[0] - ends[1]).T / 2e-2

    found, expected = jax.jit(all_of_them)(item)
    assert found.shape == (3, 8, 8)
    # Central differences: the error is of order 1e-4 of the third derivative, and 1e-5 of rounding.
    np.testing.assert_allclose(found[1], expected, atol=5e-3)
    assert float(np.abs(found).max()) > 0.1


@pytest.mark.parametrize("source", ["constant", "word"])
def test_what_is_chosen_or_constant_hands_no_small_change_on(source):
    model = reasoning.reasoner(tiny.TASK, reasoning.protocol(slots=3, source=source), **SMALL)
    item = jax.tree.map(lambda leaf: leaf[0], tiny.drawn(tiny.TASK, 3))
    variables = tiny.untrained(model)
    program = jax.jit(lambda variables, item: reasoning.latent_jacobians(reasoning.recurrence(model, variables, item)))
    found = program(variables, item)
    assert float(np.abs(found).max()) == 0


def test_bad_input():
    item = jax.tree.map(lambda leaf: leaf[0], tiny.drawn(tiny.TASK, 3))
    one = reasoning.reasoner(tiny.TASK, reasoning.protocol(slots=1), **SMALL)
    two = reasoning.reasoner(tiny.TASK, reasoning.protocol(slots=2), **SMALL)
    with pytest.raises(ValueError, match="^model: expected a reasoner with two slots or more, got one with 1"):
        reasoning.recurrence(one, {}, item)
    with pytest.raises(ValueError, match="^slot: expected 0 to 0: the last slot feeds no other, got 1"):
        reasoning.latent_map(two, {}, item, slot=1)
