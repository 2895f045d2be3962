"""A reasoner that is handed its latent tokens, and that may read some patches of the picture once more.

An injected patch is a second copy of the patch's cached keys and values, next to the picture, which whoever sees the
picture reads after the question: before the softmax's normalisation its weight is doubled, at every layer and head.
Nothing else changes; with no patch injected the pass is the clean one. (DMLR's injected patches stand behind the
question and are computed anew there, by a decoder with relative positions. A small model with learned absolute places
has never seen such a place; the copy is what it can read.)
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from tokdyn.reasoning.items import Item
from tokdyn.reasoning.model import Output, Prompt, Reasoner, Variables
from tokdyn.reasoning.writes import Sites, Writes


class Handed(NamedTuple):
    """One item whose question was read; slots are fed what the caller says.

    Attributes:
        model: takes what is given; its layout has the picture twice where patches can be injected.
        variables: of that model.
        prompt: image and question, read.
        item: the item.
        patches: of the picture; 0 where none can be injected.
    """

    model: Reasoner
    variables: Variables
    prompt: Prompt
    item: Item
    patches: int

    def run(self, latents: jax.Array, injected: jax.Array, *, teacher: bool = False) -> Output:
        """One pass.

        Args:
            latents: what slots are fed `[slots, width]`.
            injected: patches that are read twice `[patches]` bool.
            teacher: as in ``Reasoner.apply``.

        Returns:
            An ``Output``; its sequence has the copies of the patches behind the picture.
        """
        one = _pass(self.model, self.patches > 0, teacher)
        return one(self.variables, self.prompt, self.item, latents, injected)

    def attended(self, output: Output) -> jax.Array:
        """Attention of each slot to each patch and its copy, mean over layers and heads `[slots, patches]`."""
        slots = self.of_slots(output)
        return slots[:, : self.patches] + slots[:, self.patches : 2 * self.patches]

    def of_slots(self, output: Output) -> jax.Array:
        """Attention of each slot to everything, mean over layers and heads `[slots, positions]`."""
        return output.attention.mean(axis=(0, 1))[1 : 1 + self.model.places.slots]


@functools.lru_cache(maxsize=32)
def _pass(model: Reasoner, inject: bool, teacher: bool) -> Callable[..., Output]:
    """One pass, traced once however often a program has it."""

    def run(variables: Variables, prompt: Prompt, item: Item, latents: jax.Array, injected: jax.Array) -> Output:
        writes = _hiding(model, injected, latents.dtype) if inject else None
        return model.continued(variables, prompt, item, writes=writes, given=latents, teacher=teacher)

    return jax.jit(run)


def handed(model: Reasoner, variables: Variables, prompt: Prompt, item: Item, *, inject: bool) -> Handed:
    """The same item, weights and masks, with slots that are fed what the caller says.

    Args:
        model: any reasoner with slots.
        variables: its weights.
        prompt: what ``model.prompt`` returned.
        item: the item.
        inject: whether patches can be injected.

    Returns:
        A ``Handed``.
    """
    given = dataclasses.replace(model, protocol=dataclasses.replace(model.protocol, source="given"))
    if not inject:
        return Handed(given, variables, prompt, item, 0)
    count = model.places.image
    places = dataclasses.replace(model.places, image=2 * count)

    def twice(rows: jax.Array, axis: int) -> jax.Array:
        """The picture's rows, once more, and the rest."""
        picture = jax.lax.slice_in_dim(rows, 0, count, axis=axis)
        return jnp.concatenate([picture, rows], axis=axis)

    # Whatever comes later keeps its own place; those of the copies are never looked up.
    parameters = dict(variables["params"])
    parameters["place_vectors"] = twice(parameters["place_vectors"], 0)
    doubled = Prompt(
        cache=jax.tree.map(lambda leaf: twice(leaf, 2), prompt.cache),
        embeddings=twice(prompt.embeddings, 0),
        residuals=twice(prompt.residuals, 1),
        state=prompt.state,
        trigger_logits=prompt.trigger_logits,
    )
    return Handed(dataclasses.replace(given, places=places), {**variables, "params": parameters}, doubled, item, count)


def most_attended(attention: jax.Array, taken: jax.Array, count: int) -> jax.Array:
    """The patches with the highest attention that are not taken yet `[patches]` bool.

    Args:
        attention: `[patches]`.
        taken: `[patches]` bool.
        count: how many; fewer where fewer are left.
    """
    best, places = jax.lax.top_k(jnp.where(taken, -jnp.inf, attention), min(count, len(attention)))
    return jnp.zeros_like(taken).at[places].set(best > -jnp.inf)


def _hiding(model: Reasoner, injected: jax.Array, dtype: Any) -> Writes:
    """A write that hides the copies that are not injected, and touches nothing else."""
    places = model.places
    count = places.image // 2
    hidden = jnp.zeros(places.total, bool).at[count : 2 * count].set(~injected)
    no, vectors = jnp.zeros(1, bool), jnp.zeros((1, places.suffix, model.width), dtype)
    layered = jnp.zeros((1, model.layers, places.suffix, model.width), dtype)
    return Writes(
        where=hidden[None],
        layers=jnp.asarray(np.ones((1, model.layers), bool)),
        embeddings=no,
        residuals=no,
        caches=no,
        hides=~no,
        keep=jnp.ones(1, dtype),
        rescale=no,
        directions=jnp.zeros((1, 1, model.width), dtype),
        payload=Sites(vectors, layered, layered, layered),
    )
