"""One reasoner through all its runs: clean, every arm, three changes of the input, the exchange, other words."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tokdyn import draws, keys
from tokdyn.reasoning.arms import run_arms
from tokdyn.reasoning.exchange import exchange_margins, other_picture
from tokdyn.reasoning.items import Item
from tokdyn.reasoning.model import Output, Variables
from tokdyn.reasoning.references import Reference
from tokdyn.studies.mediation.contraction import gains
from tokdyn.studies.mediation.design import CHANGES, CLEAN, IMAGE_NOISE, SHOWN, SITES, WORDS, battery


def chain_under(task: Any, items: Item) -> jax.Array:
    """The exact steps to the answer that the items' pictures give to their questions `[items, num_steps]`.

    All hops are alike, so that the place after k hops is the answer of a chain that has k hops to go.
    """

    def place(hops: int) -> jax.Array:
        return jax.vmap(lambda item: task.answer_from(item, task.num_steps - hops, item.question[0]))(items)[:, 0]

    return jnp.stack([place(hops) for hops in range(1, task.num_steps + 1)], axis=1)


def points_at(task: Any, items: Item, steps: jax.Array) -> dict[str, jax.Array]:
    """The answers that foreign latents speak for, by the step that they are followed from `{"after step k": [items]}`.

    Slot k, from 1, is fed the state whose likeliest word is step k. Given the donor's, the own picture leads on from
    the donor's place: ``answer_from(item, k, donor's step k)``. A whole cache speaks for the donor's answer. All
    embeddings at once leave two readings: the donor's last word, or its last but one looked up in the own picture.

    Args:
        task: with ``answer_from``.
        items: whose latents are replaced.
        steps: of the donors `[items, num_steps]`.
    """
    on = jax.vmap(lambda item, step, state: task.answer_from(item, step, state)[0], in_axes=(0, None, 0))
    last = task.num_steps
    return {f"after step {k}": on(items, k, steps[:, k - 1]) for k in range(1, last + 1)}


def measured(
    reference: Reference, variables: Variables, items: Item, donors: Any, unrelated: Any, key: jax.Array
) -> dict[str, Any]:
    """All runs of one reasoner, in one compiled program (compiled at the first call for a reference).

    Args:
        reference: of known truth.
        variables: its weights.
        items: `[items, ...]`.
        donors: `[items]`.
        unrelated: `[items]`.
        key: of all noise.

    Returns:
        Arrays: ``answers``, ``lengths`` `{arm: [items]}`, ``logits`` of the choices `{arm: [items, choices]}`,
        ``opened`` `[items]`, ``gains`` as in ``contraction.gains``, ``latents`` and ``changed`` by site and change
        `[items, slots, width]`, ``runs`` `{exchange: [4, items]}`, ``exchanged`` right answers with the other picture
        `[items]`, ``words`` and ``patches`` `[vectors, width]`.
    """
    return jax.tree.map(np.asarray, _program(reference)(variables, items, donors, unrelated, key))


@functools.cache
def _program(reference: Reference) -> Callable[..., dict[str, Any]]:
    model, task = reference.model, reference.task
    # The direction of a constant is part of an arm, and arms are no arrays: it is the same in every run.
    arms = battery(model.places.slots, model.width, jax.random.key(0))

    def program(variables: Variables, items: Item, donors: Any, unrelated: Any, key: jax.Array) -> dict[str, Any]:
        count = len(items.answer)
        noise = IMAGE_NOISE * draws.normal(keys.for_purpose(key, "picture"), items.image.shape, items.image.dtype)
        others = other_picture(items)
        asked = items._replace(question=jnp.roll(items.question, -1, axis=0))
        kinds = [items, others, items._replace(image=items.image + noise), asked]
        ran, _ = model.apply(variables, jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *kinds))
        base, exchanged, *_ = outputs = [
            jax.tree.map(lambda leaf, i=i: leaf[i * count : (i + 1) * count], ran) for i in range(len(kinds))
        ]
        chosen = functools.partial(_chosen, jnp.asarray(task.choices))
        clean, kept = run_arms(
            model, variables, items, arms, key=keys.for_purpose(key, "noise"), donors=donors, unrelated=unrelated,
            oracle=_same_everywhere(base), keep=chosen,
        )  # fmt: skip
        kept = {CLEAN: chosen(clean), **kept}
        chain = chain_under(task, others)
        if model.protocol.source == "word":
            said, _ = model.apply(
                variables, jax.tree.map(lambda leaf: jnp.concatenate([leaf, leaf]), items),
                chain=jnp.concatenate([chain, items.steps[donors]])[:, : model.places.slots],
            )  # fmt: skip
            for i, name in enumerate(WORDS):
                kept[name] = jax.tree.map(lambda leaf, i=i: leaf[i * count : (i + 1) * count], chosen(said))
        seen = {
            "embedding": lambda output: output.latents,
            "state": lambda output: output.states[:, 1 : 1 + model.places.slots],
        }
        # Patches of a few pictures are enough to compare with.
        patches = jax.vmap(lambda image: model.of_patches(variables, image))(items.image[:SHOWN])
        return {
            **{name: {arm: one[i] for arm, one in kept.items()} for i, name in enumerate(("answers", "lengths"))},
            "logits": {arm: one[2] for arm, one in kept.items()},
            "opened": base.triggered,
            "gains": gains(model, variables, items),
            "latents": {site: seen[site](base) for site in SITES},
            "changed": {
                change: {site: seen[site](output) for site in SITES}
                for change, output in zip(CHANGES, outputs[1:], strict=True)
            },
            "runs": exchange_margins(model, variables, items, others, (base, exchanged), chain[:, -1], key=key),
            "exchanged": chain[:, -1],
            "chain": chain,
            "points_at": {
                "donor": points_at(task, items, items.steps[donors]), "words": points_at(task, items, chain),
            },
            "words": model.method(variables, "of_words", jnp.asarray(task.choices)),
            "patches": patches.reshape(-1, model.width),
        }  # fmt: skip

    return jax.jit(program)


def _chosen(choices: jax.Array, output: Output) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Likeliest word of all, slots used, logits of the choices."""
    return output.answer[:, 0], output.length, output.logits[:, 0, choices]


def _same_everywhere(output: Output) -> Any:
    """Sites in which the first slot of the first item stands at every place of every item."""
    first = slice(output.slots.start, output.slots.start + 1)
    return jax.tree.map(lambda leaf: jnp.broadcast_to(leaf[:1, ..., first, :], leaf.shape), output.sites)
