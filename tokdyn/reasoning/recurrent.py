"""The recurrence of a reasoner as a map of one vector, for the functions of ``tokdyn.theory``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from tokdyn.checks import bad
from tokdyn.reasoning.continuation import Continuation
from tokdyn.reasoning.items import Item
from tokdyn.reasoning.model import Prompt, Reasoner, Variables
from tokdyn.reasoning.transformer import Cache
from tokdyn.theory import maps


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


class Recurrence(NamedTuple):
    """What every slot makes of what it is fed.

    Attributes:
        step: from a latent `[width]` and a slot `[]` to what the next slot is then fed `[width]`.
        latents: what all slots are fed in a clean run `[slots, width]`.
    """

    step: Callable[[jax.Array, jax.Array | int], jax.Array]
    latents: jax.Array


class Held(NamedTuple):
    """What stays as it is while latents are changed: arrays of one item, or with a leading axis of many.

    Attributes:
        prompt: image and question, read.
        cache: of what follows them in a clean run.
        seen: who may attend to whom.
        alive: positions that others may attend to `[positions]` bool.
        latents: what slots are fed in a clean run `[slots, width]`.
    """

    prompt: Prompt
    cache: Cache
    seen: jax.Array
    alive: jax.Array
    latents: jax.Array


def held(model: Reasoner, variables: Variables, item: Item) -> Held:
    """The clean run of an item, for ``recurrence``; it may be made by ``lax.map``, and its steps then be mapped.

    Args:
        model: a reasoner with two slots or more.
        variables: its weights.
        item: one item.

    Returns:
        ``Held``.

    Raises:
        ValueError: fewer than two slots.
    """
    places = model.places
    if places.slots < 2:
        raise bad("model", "a reasoner with two slots or more", f"one with {places.slots}")
    prompt = model.prompt(variables, item)
    clean = model.continued(variables, prompt, item)
    # Slots that are used are the first ones: none after one that has stopped, none without the start marker.
    number = jnp.arange(places.total) - places.prefix - 1
    alive = ~jnp.asarray(places.where("slots")) | (number < clean.length)
    if model.protocol.start == "own":
        alive = alive & (~jnp.asarray(places.where("markers")) | clean.triggered)

    def columns(rows: jax.Array) -> tuple[jax.Array, ...]:
        suffix = rows[:, places.prefix :].reshape(model.layers, places.suffix, model.heads, -1)
        return tuple(suffix.transpose(0, 2, 3, 1))

    # Later positions are cached too, and nobody sees them: attention is causal.
    cache = Cache(columns(clean.sites.keys), columns(clean.sites.values))
    return Held(prompt, cache, model.seen_by(item), alive, clean.latents)


def recurrence(model: Reasoner, variables: Variables, item: Item | Held) -> Recurrence:
    """The maps z -> f(z; image, question, earlier slots) of all slots of one item, as one function.

    The clean run is made once and its cache held; a step reads one position, whichever slot it is, so that a loop over
    slots, or of thousands of steps, is one small program. Works under jit and vmap.

    Args:
        model: a reasoner with two slots or more.
        variables: its weights.
        item: one item, or what ``recurrent.held`` made of it.

    Returns:
        ``Recurrence``.

    Raises:
        ValueError: fewer than two slots.

    Example:
        >>> import jax, tokdyn as td
        >>> from tokdyn.reasoning import recurrence, shipped
        >>> from tokdyn.reasoning.training import items_of
        >>> one = shipped.load("content")
        >>> item = jax.tree.map(lambda leaf: leaf[0], items_of(one.reference.task, jax.random.key(0), 1))
        >>> found = recurrence(one.reference.model, one.variables, item)
        >>> bool((abs(found.step(found.latents[0], 0) - found.latents[1]) < 1e-4).all())
        True
    """
    kept = item if isinstance(item, Held) else held(model, variables, item)
    after = Continuation(model, variables, kept.prompt, None, None, kept.seen)

    def step(latent: jax.Array, slot: jax.Array | int) -> jax.Array:
        rows, _ = after.extended(latent[None], slot + 1, kept.cache, kept.alive)
        return after.fed(rows.states[0], jnp.asarray(slot) + 1, None, None)

    return Recurrence(step, kept.latents)


def latent_map(model: Reasoner, variables: Variables, item: Item, *, slot: jax.Array | int = 0) -> LatentMap:
    """The map z -> f(z; image, question, earlier slots) of one slot of one item, with everything before the slot held.

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
    if isinstance(slot, int) and slots > 1 and not 0 <= slot < slots - 1:
        raise bad("slot", f"0 to {slots - 2}: the last slot feeds no other", slot)
    whole = recurrence(model, variables, item)
    return LatentMap(lambda latent: whole.step(latent, slot), whole.latents[slot], whole.latents)


def latent_jacobians(whole: Recurrence) -> jax.Array:
    """What a small change of each latent does to the next one: the Jacobians at the latents of a clean run.

    ``gains`` says how much of a small random change they hand on.

    Args:
        whole: from ``recurrence``.

    Returns:
        `[slots - 1, width, width]`; 0 where the next latent does not depend on this one.

    Example:
        >>> import jax
        >>> from tokdyn.reasoning import latent_jacobians, recurrence, shipped
        >>> from tokdyn.reasoning.training import items_of
        >>> one = shipped.load("soft_prompt")  # fed the same vectors whatever it has computed
        >>> item = jax.tree.map(lambda leaf: leaf[0], items_of(one.reference.task, jax.random.key(0), 1))
        >>> found = latent_jacobians(recurrence(one.reference.model, one.variables, item))
        >>> found.shape, float(abs(found).max())
        ((1, 32, 32), 0.0)
    """
    one = lambda slot: maps.jacobian(lambda latent: whole.step(latent, slot), whole.latents[slot])  # noqa: E731
    return jax.lax.map(one, jnp.arange(len(whole.latents) - 1))


def gains(jacobians: jax.Array | np.ndarray) -> Any:
    r"""Root mean square change of the next latent for a small random change of each latent.

    .. math:: g = \sqrt{\|J\|_F^2 / d}

    The root mean square of the `d` singular values: below 1 small differences die out, 0 where the next latent does not
    depend on this one (a constant; a word, which is chosen and has no derivative).

    Args:
        jacobians: from ``latent_jacobians`` `[..., width, width]`, of NumPy or jax.

    Returns:
        `[...]`, of the same kind.

    Example:
        >>> import numpy as np
        >>> from tokdyn.reasoning.recurrent import gains
        >>> gains(np.diag([3.0, 4.0, 0.0, 0.0])).item()
        2.5
    """
    return ((jacobians**2).sum(axis=(-2, -1)) / jacobians.shape[-1]) ** 0.5
