"""One reasoner through all its runs: clean, every arm, three changes of the input, the exchange, other words."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tokdyn import draws, keys
from tokdyn.compiling import Compiled, Effort, Program, compiled, wanted
from tokdyn.reasoning.arms import Arm, keep_answers, run_arms
from tokdyn.reasoning.exchange import exchange_margins, other_picture
from tokdyn.reasoning.items import Item, Task
from tokdyn.reasoning.model import Output, Variables
from tokdyn.reasoning.references import Reference
from tokdyn.studies.mediation.contraction import gains
from tokdyn.studies.mediation.design import CHANGES, CLEAN, IMAGE_NOISE, SHOWN, SITES, WORDS, battery


def chain_under(task: Task, items: Item) -> jax.Array:
    """The exact steps to the answer that the items' pictures give to their questions `[items, num_steps]`.

    All hops are alike, so that the place after k hops is the answer of a chain that has k hops to go.
    """

    def place(hops: int) -> jax.Array:
        return jax.vmap(lambda item: task.answer_from(item, task.num_steps - hops, item.question[0]))(items)[:, 0]

    return jnp.stack([place(hops) for hops in range(1, task.num_steps + 1)], axis=1)


def points_at(task: Task, items: Item, steps: jax.Array) -> dict[str, jax.Array]:
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


@contextlib.contextmanager
def measurements(
    known: Mapping[str, tuple[Reference, Variables, Item]], effort: Effort
) -> Iterator[dict[str, Callable[..., dict[str, Any]]]]:
    """How each reasoner is measured; everything is compiled side by side, and waited for where it is needed.

    Args:
        known: by name: a reference of known truth, weights, items; what is called later has their shapes.
        effort: of compiling the arms, which run longest; all else runs briefly.

    Yields:
        By name ``(variables, items, donors, unrelated, key) -> found``: weights, items `[items, ...]`, donors and
        unrelated donors `[items]`, and the key of all noise. Found are arrays: ``arms`` by name, an ``Arm`` each,
        ``opened`` `[items]`, ``gains`` as in ``contraction.gains``, ``latents`` and ``changed`` by site and change
        `[items, slots, width]`, ``runs`` `{exchange: [4, items]}`, ``exchanged`` right answers with the other picture
        `[items]`, ``words`` and ``patches`` `[vectors, width]`.
    """
    programs: dict[str, Program] = {}
    for name, (reference, variables, items) in known.items():
        of, key = _Programs(reference), jax.random.key(0)
        donors = np.zeros(len(items.answer), np.int32)
        seen = jax.jit(of.seen)
        first = jax.eval_shape(seen, variables, items, donors, key)
        outputs, chain = first["outputs"], first["chain"]
        made = {
            "seen": Program(seen, (variables, items, donors, key), {}, "little"),
            "arms": Program(jax.jit(of.arms), (variables, items, donors, donors, key, outputs[0]), {}, effort),
            "gains": Program(jax.jit(of.gains), (variables, items), {}, "little"),
            "runs": Program(jax.jit(of.runs), (variables, items, outputs, chain, key), {}, "little"),
        }
        if of.says_words:
            made["said"] = Program(jax.jit(of.said), (variables, items, donors, chain), {}, "little")
        programs |= {f"{name}: {part}": program for part, program in made.items()}
    with wanted(compiled(programs)) as ready:
        yield {name: _measuring(name, ready) for name in known}


def _measuring(name: str, ready: Mapping[str, Compiled]) -> Callable[..., dict[str, Any]]:
    """One reasoner through its programs."""

    def measured(variables: Variables, items: Item, donors: Any, unrelated: Any, key: jax.Array) -> dict[str, Any]:
        of = lambda part, *rest: ready[f"{name}: {part}"](variables, items, *rest)  # noqa: E731
        seen = of("seen", donors, key)
        outputs, chain = seen.pop("outputs"), seen["chain"]
        kept = of("arms", donors, unrelated, key, outputs[0])
        if f"{name}: said" in ready:
            kept |= of("said", donors, chain)
        found = {"arms": kept, **seen, "gains": of("gains"), "runs": of("runs", outputs, chain, key)}
        return jax.tree.map(np.asarray, {**found, "exchanged": chain[:, -1]})

    return measured


class _Programs:
    """What is compiled for a reference."""

    def __init__(self, reference: Reference) -> None:
        self.model, self.task = reference.model, reference.task
        self.says_words = self.model.protocol.source == "word"
        # The direction of a constant is part of an arm, and arms are no arrays: it is the same in every run.
        self.battery = battery(self.model.places.slots, self.model.width, jax.random.key(0))

    def seen(self, variables: Variables, items: Item, donors: Any, key: jax.Array) -> dict[str, Any]:
        """The clean run and three changes of the input, and what needs no further run."""
        model, task, count = self.model, self.task, len(items.answer)
        noise = IMAGE_NOISE * draws.normal(keys.for_purpose(key, "picture"), items.image.shape, items.image.dtype)
        others = other_picture(items)
        asked = items._replace(question=jnp.roll(items.question, -1, axis=0))
        kinds = [items, others, items._replace(image=items.image + noise), asked]
        ran, _ = model.apply(variables, jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *kinds))
        base, exchanged, *_ = outputs = [_part(ran, i, count) for i in range(len(kinds))]
        chain = chain_under(task, others)
        sites = {
            "embedding": lambda output: output.latents,
            "state": lambda output: output.states[:, 1 : 1 + model.places.slots],
        }
        # Patches of a few pictures are enough to compare with.
        patches = jax.vmap(lambda image: model.of_patches(variables, image))(items.image[:SHOWN])
        return {
            "outputs": (base, exchanged),
            "opened": base.triggered,
            "latents": {site: sites[site](base) for site in SITES},
            "changed": {
                change: {site: sites[site](output) for site in SITES}
                for change, output in zip(CHANGES, outputs[1:], strict=True)
            },
            "chain": chain,
            "points_at": {
                "donor": points_at(task, items, items.steps[donors]), "words": points_at(task, items, chain),
            },
            "words": model.method(variables, "of_words", jnp.asarray(task.choices)),
            "patches": patches.reshape(-1, model.width),
        }  # fmt: skip

    def arms(
        self, variables: Variables, items: Item, donors: Any, unrelated: Any, key: jax.Array, base: Output
    ) -> dict[str, Arm]:
        """The clean run and every arm."""
        clean, kept = run_arms(
            self.model, variables, items, self.battery, key=keys.for_purpose(key, "noise"), donors=donors,
            unrelated=unrelated, oracle=_same_everywhere(base),
        )  # fmt: skip
        return {CLEAN: keep_answers(clean), **kept}

    def gains(self, variables: Variables, items: Item) -> jax.Array:
        return gains(self.model, variables, items)

    def runs(
        self, variables: Variables, items: Item, outputs: tuple[Output, Output], chain: jax.Array, key: jax.Array
    ) -> dict[str, jax.Array]:
        """The exchange."""
        return exchange_margins(
            self.model, variables, items, other_picture(items), outputs, chain[:, -1], key=key
        )  # fmt: skip

    def said(self, variables: Variables, items: Item, donors: Any, chain: jax.Array) -> dict[str, Arm]:
        """Slots that are fed other words: of another picture, of another item."""
        twice = jax.tree.map(lambda leaf: jnp.concatenate([leaf, leaf]), items)
        fed = jnp.concatenate([chain, items.steps[donors]])[:, : self.model.places.slots]
        kept = keep_answers(self.model.apply(variables, twice, chain=fed)[0])
        return {name: _part(kept, i, len(chain)) for i, name in enumerate(WORDS)}


def _part(tree: Any, number: int, count: int) -> Any:
    """One of several batches of items that ran as one."""
    return jax.tree.map(lambda leaf: leaf[number * count : (number + 1) * count], tree)


def _same_everywhere(output: Output) -> Any:
    """Sites in which the first slot of the first item stands at every place of every item."""
    first = slice(output.slots.start, output.slots.start + 1)
    return jax.tree.map(lambda leaf: jnp.broadcast_to(leaf[:1, ..., first, :], leaf.shape), output.sites)
