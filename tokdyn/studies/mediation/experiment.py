"""The study's Dataset: every reasoner through its runs, measured and held against its truth."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray

from tokdyn import draws, keys
from tokdyn.compiling import jitted
from tokdyn.reasoning.arms import keep_answers
from tokdyn.reasoning.audit import Member
from tokdyn.reasoning.audit.export import numbered
from tokdyn.reasoning.audit.suite import drawn, exchanged, one_run
from tokdyn.reasoning.exchange import other_picture
from tokdyn.reasoning.items import Item, Task
from tokdyn.reasoning.model import Output, Reasoner, Variables
from tokdyn.studies.mediation import analysis
from tokdyn.studies.mediation.contraction import gains_of
from tokdyn.studies.mediation.design import CHANGES, IMAGE_NOISE, SITES, WORDS, Config, members, own_arms, places

_WORKERS = 2  # reasoners whose programs are compiled at the same time


def measure(config: Config, *, progress: Callable[[int, int], None] | None = None) -> xarray.Dataset:
    """``analysis.VARIABLES`` over reference, arm, slot, ...; what a reasoner does not have is NaN, -1 or ""."""
    known, parts = members(config), []
    with ThreadPoolExecutor(_WORKERS) as pool:
        ran = pool.map(lambda one: through(one, config), known.values())
        # One after the other, in one thread: probes take batches of eigenvalues (see ``numerics.singular_values``).
        for done, (name, member) in enumerate(known.items(), 1):
            parts.append(analysis.analysed(name, member, next(ran), config))
            if progress is not None:
                progress(done, len(known))
    fills = analysis.fills(parts)
    dataset = xarray.concat(parts, "reference", join="outer", fill_value=fills)
    names = {axis: _in_order([part[axis].values for part in parts]) for axis in ("arm", "place")}
    return dataset.reindex(names, fill_value=fills)


def through(member: Member, config: Config) -> analysis.Measured:
    """One reasoner through the arms, three changes of the input, the exchange, and other words.

    Args:
        member: of the suite.
        config: how many items, and their key.
    """
    began = time.perf_counter()
    model, task = member.reference.model, member.reference.task
    words = model.protocol.source == "word"
    items, key = drawn(member, 0, num_items=config.num_items, key=config.key)
    seen = _seen(model, task)(member.variables, items, key)
    targets, control, looked_up = {}, {}, {}
    for place, (arm, other) in places(model.places.slots, words=words).items():
        control[arm] = other
        step = int(place.rpartition(" ")[2]) if place.startswith("slot ") else task.num_steps
        pointed = seen["words" if arm == WORDS[0] else "donor"]
        targets[arm] = pointed[min(step, task.num_steps) - 1]
        looked_up[arm] = numbered(task, pointed[max(task.num_steps - 2, 0)])
    more: dict[str, Any] = {}
    if words:
        fed = {WORDS[0]: seen["chain"], WORDS[1]: jnp.roll(items.steps, -1, axis=0)}
        for name, chain in fed.items():
            kept = _fed(model)(member.variables, items, chain[:, : model.places.slots])
            more |= {
                f"arm/{name}/answers": numbered(task, kept.answer[:, 0]),
                f"arm/{name}/logits": np.asarray(kept.logits)[:, 0, np.asarray(task.choices)],
                f"arm/{name}/triggered": np.asarray(kept.length) > 0,
            }
        more |= {
            f"arm/{WORDS[0]}/donor_targets": numbered(task, targets.pop(WORDS[0])),
            f"arm/{WORDS[0]}/control": np.asarray(control.pop(WORDS[0])),
        }
    run = one_run(
        member, 0, num_items=config.num_items, key=config.key, arms=own_arms(model.places.slots),
        donor_targets=targets, control=control, oracle=seen["same"], more=more, effort="little",
    )  # fmt: skip
    margins = exchanged(member, items, key, effort="little")
    opened, latents, changed, gain = jax.tree.map(
        np.asarray, (seen["opened"], seen["latents"], seen["changed"], _gains(model)(member.variables, items))
    )
    seconds = time.perf_counter() - began
    return analysis.Measured(run, items, opened, latents, changed, gain, margins, looked_up, seconds)


@functools.lru_cache(maxsize=16)
def _seen(model: Reasoner, task: Task) -> Callable[..., dict[str, Any]]:
    """Latents and states under the own input and three others, and what foreign latents point at; compiled once."""

    def run(variables: Variables, items: Item, key: jax.Array) -> dict[str, Any]:
        count = len(items.answer)
        noise = IMAGE_NOISE * draws.normal(keys.for_purpose(key, "picture"), items.image.shape, items.image.dtype)
        others = other_picture(items)
        asked = items._replace(question=jnp.roll(items.question, -1, axis=0))
        kinds = [items, others, items._replace(image=items.image + noise), asked]
        # One batch, and hence one program to wait for.
        batch = model.apply(variables, jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *kinds))[0]
        ran = [jax.tree.map(lambda leaf, n=n: leaf[n * count : (n + 1) * count], batch) for n in range(len(kinds))]
        sites = [
            dict(zip(SITES, (output.latents, output.states[:, 1 : 1 + model.places.slots]), strict=True))
            for output in ran
        ]
        chain = chain_under(task, others)
        return {
            "opened": ran[0].triggered, "latents": sites[0], "changed": dict(zip(CHANGES, sites[1:], strict=True)),
            "same": _same_everywhere(ran[0]), "chain": chain,
            "donor": points_at(task, items, jnp.roll(items.steps, -1, axis=0)), "words": points_at(task, items, chain),
        }  # fmt: skip

    return jitted(run, "little")


@functools.lru_cache(maxsize=16)
def _gains(model: Reasoner) -> Callable[..., jax.Array]:
    return jitted(lambda variables, items: gains_of(model, variables, items), "little")


@functools.lru_cache(maxsize=16)
def _fed(model: Reasoner) -> Callable[..., Any]:
    """Slots that are fed given words."""
    return jitted(
        lambda variables, items, chain: keep_answers(model.apply(variables, items, chain=chain)[0]), "little"
    )  # fmt: skip


def chain_under(task: Task, items: Item) -> jax.Array:
    """The exact steps to the answer that the items' pictures give to their questions `[items, num_steps]`.

    All hops are alike, so that the place after k hops is the answer of a chain that has k hops to go.
    """

    def place(hops: int) -> jax.Array:
        return jax.vmap(lambda item: task.answer_from(item, task.num_steps - hops, item.question[0]))(items)[:, 0]

    return jnp.stack([place(hops) for hops in range(1, task.num_steps + 1)], axis=1)


def points_at(task: Task, items: Item, steps: jax.Array) -> jax.Array:
    """The answers that foreign latents speak for, by the step that they are followed from `[num_steps, items]`.

    Slot k, from 1, is fed the state whose likeliest word is step k. Given the donor's, the own picture leads on from
    the donor's place: ``answer_from(item, k, donor's step k)``. A whole cache speaks for the donor's answer. All
    embeddings at once leave two readings: the donor's last word, or its last but one looked up in the own picture.

    Args:
        task: with ``answer_from``.
        items: whose latents are replaced.
        steps: of the donors `[items, num_steps]`.
    """
    on = jax.vmap(lambda item, step, state: task.answer_from(item, step, state)[0], in_axes=(0, None, 0))
    return jnp.stack([on(items, k, steps[:, k - 1]) for k in range(1, task.num_steps + 1)])


def _same_everywhere(output: Output) -> Any:
    """Sites in which the first slot of the first item stands at every place of every item."""
    first = slice(output.slots.start, output.slots.start + 1)
    return jax.tree.map(lambda leaf: jnp.broadcast_to(leaf[:1, ..., first, :], leaf.shape), output.sites)


def _in_order(lists: Any) -> list[str]:
    """All names, in the order of their first appearance."""
    return list(dict.fromkeys(str(name) for names in lists for name in names))
