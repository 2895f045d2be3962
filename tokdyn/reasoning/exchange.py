"""Another picture with the own latent tokens, and the other way round: the exchange behind causal mediation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from numpy.typing import ArrayLike

from tokdyn.reasoning import interventions as do
from tokdyn.reasoning.arms import run_arms
from tokdyn.reasoning.items import Item, Task
from tokdyn.reasoning.model import Output, Reasoner, Variables

SITES = ("cache", "embedding")
# Own values written back come first: what is then read off is the exchange alone, not the writing.
_ARMS = {
    "own cache": do.swap("slots", site="cache", donor="self"),
    "cache": do.oracle("slots", site="cache"),
    "own embedding": do.swap("slots", donor="self"),
    "embedding": do.oracle("slots"),
}


def other_picture(items: Item) -> Item:
    """The same questions about the next item's picture and helper; steps and answers stay those of the own picture."""
    return items._replace(image=jnp.roll(items.image, -1, axis=0), helper=jnp.roll(items.helper, -1, axis=0))


def answers_to(task: Task, items: Item) -> jax.Array:
    """The answers that the items' pictures give to their questions, by following the chain from its start.

    Args:
        task: whose question is the chain's start, as in a pointer chase; elsewhere the words mean nothing.
        items: `[items, ...]`.

    Returns:
        First words `[items]`.
    """
    return jax.vmap(lambda item: task.answer_from(item, 0, item.question[0])[0])(items)


def exchange_margins(
    model: Reasoner, variables: Variables, items: Item, others: Item, outputs: tuple[Output, Output],
    answers: jax.Array, *, key: jax.Array,
) -> dict[str, jax.Array]:  # fmt: skip
    """Margins of the four runs Y(x, M(x)), Y(x', M(x)), Y(x, M(x')), Y(x', M(x')), for ``diagnose.mediation``.

    A margin is the logit of the answer to x' minus that of the answer to x, in nats.

    Args:
        model: a reasoner with slots.
        variables: its weights.
        items: x `[items, ...]`.
        others: x', such as ``other_picture(items)``.
        outputs: of the clean runs on both.
        answers: right answers to x' `[items]`; where they are those to x, the margin is 0.
        key: as in ``run_arms``.

    Returns:
        By what is exchanged, "cache" (of the slots, at all layers) or "embedding" (what slots are fed): `[4, items]`.

    Example:
        >>> import jax
        >>> from tokdyn import reasoning
        >>> from tokdyn.reasoning.exchange import answers_to, exchange_margins, other_picture
        >>> task = reasoning.tasks.pointer_chase(side=2, hops=2, patch=3)
        >>> model = reasoning.reasoner(task, reasoning.protocol(slots=1), width=8, heads=1, layers=1, hidden=8)
        >>> variables, items = model.init(jax.random.key(0)), reasoning.training.items_of(task, jax.random.key(1), 4)
        >>> others = other_picture(items)
        >>> clean = model.apply(variables, items)[0], model.apply(variables, others)[0]
        >>> margins = exchange_margins(
        ...     model, variables, items, others, clean, answers_to(task, others), key=jax.random.key(2)
        ... )
        >>> margins["cache"].shape
        (4, 4)
    """
    count = len(answers)
    join: Callable[..., Any] = lambda *pair: jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *pair)  # noqa: E731
    base, exchanged = outputs
    _, found = run_arms(
        model, variables, join(items, others), _ARMS, key=key, oracle=join(exchanged.sites, base.sites),
        keep=lambda output: output.logits[:, 0],
    )  # fmt: skip

    def margins(name: str) -> jax.Array:
        logits = found[name].reshape(2, count, -1)
        pick = lambda words: jnp.take_along_axis(logits, words[None, :, None], axis=-1)[..., 0]  # noqa: E731
        return pick(answers) - pick(items.answer[:, 0])

    runs = {}
    for site in SITES:
        own, given = margins(f"own {site}"), margins(site)
        runs[site] = jnp.stack([own[0], given[1], given[0], own[1]])
    return runs


def under_degraded_pictures(
    model: Reasoner,
    variables: Variables,
    items: Item,
    degraded: Item,
    *,
    key: jax.Array,
    donors: ArrayLike | None = None,
) -> dict[str, jax.Array]:
    """Answers on degraded pictures with slot caches of clean ones: does the effect of latents rise as the rest fails?

    A latent token is a function of the prompt, so that it can add work but no information; where the answer also sees
    the picture it may well be idle for that reason alone. Degrade the picture (noise, a lower resolution, a mask), hold
    the slots' caches at those of the clean run, own or a donor's, and what latents can do by themselves shows.

    Args:
        model: a reasoner with slots.
        variables: its weights.
        items: clean `[items, ...]`.
        degraded: the same items with worse pictures.
        key: as in ``run_arms``.
        donors: items whose clean caches are taken `[items]` int; by default the next one.

    Returns:
        Logits of the answer's first word `[items, words]`: "degraded" (caches as they come), "own" (clean caches of the
        item), "donor" (clean caches of its donor).

    Example:
        >>> import jax
        >>> from tokdyn import reasoning
        >>> from tokdyn.reasoning.exchange import under_degraded_pictures
        >>> task = reasoning.tasks.pointer_chase(side=2, hops=2, patch=3)
        >>> model = reasoning.reasoner(task, reasoning.protocol(slots=1), width=8, heads=1, layers=1, hidden=8)
        >>> variables, items = model.init(jax.random.key(0)), reasoning.training.items_of(task, jax.random.key(1), 4)
        >>> blank = items._replace(image=0 * items.image)
        >>> sorted(under_degraded_pictures(model, variables, items, blank, key=jax.random.key(2)))
        ['degraded', 'donor', 'own']
    """
    count = items.answer.shape[0]
    sites = model.apply(variables, items)[0].sites
    taken = (jnp.arange(count) + 1) % count if donors is None else jnp.asarray(donors)
    logits = lambda output: output.logits[:, 0]  # noqa: E731
    write = {"written": do.oracle("slots", site="cache")}
    found: dict[str, jax.Array] = {}
    for name, given in (("own", sites), ("donor", jax.tree.map(lambda leaf: leaf[taken], sites))):
        clean, arms = run_arms(model, variables, degraded, write, key=key, oracle=given, keep=logits)
        found |= {"degraded": logits(clean), name: arms["written"]}
    return found
