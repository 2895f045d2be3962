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
    "constant": reasoning.protocol(slots=4, source="constant"),
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


def looked_at(model, variables, item, vector):
    """Of every slot: the step from its clean latent and from a vector, what the whole pass says, the Jacobians."""
    found = reasoning.recurrence(model, variables, item)
    clean, stepped = (
        jnp.stack([found.step(given, slot) for slot, given in enumerate(rows)])
        for rows in (found.latents[:-1], [vector] * 3)
    )
    expected = jax.lax.map(lambda slot: whole_pass(model, variables, item, vector, slot), jnp.arange(3))
    ends = [jax.vmap(lambda change, sign=sign: found.step(found.latents[1] + sign * change, 1))(1e-2 * jnp.eye(8))
            for sign in (1, -1)]  # fmt: skip
    differences = (ends[0] - ends[1]).T / 2e-2
    return found.latents, clean, stepped, expected, reasoning.latent_jacobians(found), differences


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_step_is_what_the_whole_pass_makes_of_a_written_latent(name):
    model = reasoning.reasoner(tiny.TASK, PROTOCOLS[name], **SMALL)
    items = tiny.drawn(tiny.TASK, 3)
    vectors = np.random.default_rng(1).normal(size=(3, 8)).astype(np.float32)
    program = jax.jit(lambda variables, given: jax.lax.map(lambda one: looked_at(model, variables, *one), given))
    latents, clean, stepped, expected, slopes, differences = map(
        np.asarray, program(tiny.untrained(model), (items, vectors))
    )
    np.testing.assert_allclose(clean, latents[:, 1:], atol=2e-5)
    np.testing.assert_allclose(stepped, expected, atol=2e-5)
    # Central differences: an error of 1e-4 of the third derivative, and 1e-5 of rounding.
    np.testing.assert_allclose(slopes[:, 1], differences if name != "word" else 0, atol=5e-3)
    moved = np.abs(stepped - latents[:, 1:]).max()
    assert moved > (1e-2 if name != "constant" else -1)
    # What is a constant, or chosen, hands no small change on.
    assert (np.abs(slopes).max() > 0.1) == (name not in ("word", "constant"))


def test_bad_input():
    item = jax.tree.map(lambda leaf: leaf[0], tiny.drawn(tiny.TASK, 3))
    one = reasoning.reasoner(tiny.TASK, reasoning.protocol(slots=1), **SMALL)
    two = reasoning.reasoner(tiny.TASK, reasoning.protocol(slots=2), **SMALL)
    with pytest.raises(ValueError, match="^model: expected a reasoner with two slots or more, got one with 1"):
        reasoning.recurrence(one, {}, item)
    with pytest.raises(ValueError, match="^slot: expected 0 to 0: the last slot feeds no other, got 1"):
        reasoning.latent_map(two, {}, item, slot=1)
