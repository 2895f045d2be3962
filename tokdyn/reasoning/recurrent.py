"""The recurrence of a reasoner as a map of one vector, for the functions of ``tokdyn.theory``."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax

from tokdyn.checks import bad
from tokdyn.reasoning import interventions as do
from tokdyn.reasoning.arms import material_of
from tokdyn.reasoning.interventions import recipes
from tokdyn.reasoning.items import Item
from tokdyn.reasoning.model import Reasoner, Variables
from tokdyn.reasoning.writes import cooked


class LatentMap(NamedTuple):
    """What one slot makes of what it is fed.

    Attributes:
        step: from what the slot is fed `[width]` to what the next slot is then fed `[width]`.
        start: what it is fed in a clean run `[width]`.
        latents: what all slots are fed in a clean run `[slots, width]`.
    """

    step: Callable[[jax.Array], jax.Array]
    start: jax.Array
    latents: jax.Array


def latent_map(model: Reasoner, variables: Variables, item: Item, *, slot: jax.Array | int = 0) -> LatentMap:
    """The map z -> f(z; image, question, earlier slots) of one item, with everything before the slot held.

    In use each slot has its own position, so that no map is applied twice; iterating this one asks what the recurrence
    would do if it went on. Works under jit and vmap.

    Args:
        model: a reasoner with two slots or more.
        variables: its weights.
        item: one item.
        slot: from 0, not the last; may be traced.

    Returns:
        ``LatentMap``. Where slots are fed constants, or words (which are chosen and have no derivative), the Jacobian
        of its step is 0.

    Raises:
        ValueError: fewer than two slots, or the last slot.

    Example:
        >>> import jax, tokdyn as td
        >>> from tokdyn import theory
        >>> from tokdyn.reasoning import latent_map, shipped
        >>> from tokdyn.reasoning.training import items_of
        >>> one = shipped.load("content")
        >>> item = jax.tree.map(lambda leaf: leaf[0], items_of(one.reference.task, jax.random.key(0), 1))
        >>> found = latent_map(one.reference.model, one.variables, item)
        >>> bool((abs(found.step(found.start) - found.latents[1]) < 1e-4).all())
        True
        >>> theory.rollout(found.step, found.start, num_steps=3).shape
        (4, 32)
    """
    slots = model.places.slots
    if slots < 2:
        raise bad("model", "a reasoner with two slots or more", f"one with {slots}")
    if isinstance(slot, int) and not 0 <= slot < slots - 1:
        raise bad("slot", f"0 to {slots - 2}: the last slot feeds no other", slot)
    writes = [do.zero("slots", steps=[each]) for each in range(slots - 1)]
    prepared = recipes(writes, model.places, layers=model.layers, width=model.width)
    recipe = jax.tree.map(lambda leaf: leaf[slot], prepared)
    alone = jax.tree.map(lambda leaf: leaf[None], item)
    clean, _ = model.apply(variables, alone)
    stuff = material_of(model, clean, key=None)

    def step(latent: jax.Array) -> jax.Array:
        written = cooked(recipe._replace(vector=latent[None]), stuff)
        return model.apply(variables, alone, writes=written)[0].latents[0, slot + 1]

    return LatentMap(step, clean.latents[0, slot], clean.latents[0])
