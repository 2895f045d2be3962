"""What comes after the prompt of one item: markers, slots, format and answer, through as few programs as can be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from tokdyn import checks
from tokdyn.reasoning.items import ANSWER, END, OTHER_START, PAD, START, Item
from tokdyn.reasoning.transformer import Cache, Pass, empty_cache, visible_now
from tokdyn.reasoning.writes import Writes, touched

if TYPE_CHECKING:
    from tokdyn.reasoning.model import Prompt, Reasoner, Variables


class Rows(NamedTuple):
    """What positions left behind, positions first."""

    embeddings: jax.Array
    states: jax.Array
    residuals: jax.Array
    attention: jax.Array


class Continuation(NamedTuple):
    """One item after its prompt."""

    model: Reasoner
    variables: Variables
    before: Prompt
    writes: Writes | None
    words_from: Any
    seen: jax.Array

    def method(self, name: str, *arguments: Any) -> Any:
        return self.model.method(self.variables, name, *arguments)

    def logits(self, states: jax.Array) -> jax.Array:
        return self.method("logits", states)

    def rows(
        self, item: Item, chain: jax.Array | None, given: jax.Array | None, teacher: bool
    ) -> tuple[Rows, Cache, jax.Array, jax.Array]:
        """All positions after the prompt: together where all that they are fed is known, else one after another.

        Returns:
            ``(rows, cache, length, triggered)``.
        """
        protocol, places = self.model.protocol, self.model.places
        starts = jnp.array([START, OTHER_START])
        triggered = jnp.any(self.before.trigger_logits.argmax() == starts)
        fixed = [starts[jnp.asarray(item.mode)][None], np.full(places.slots, PAD), [END], [ANSWER] * places.format]
        words = jnp.concatenate([jnp.asarray(part, jnp.int32) for part in (*fixed, item.answer[:-1])])
        opened = jnp.asarray(places.where("markers") | places.where("slots"))
        alive = jnp.where(opened, triggered if protocol.start == "own" else True, True)
        cache = empty_cache(self.model.network, places.suffix, self.before.state.dtype)
        slots_known = places.slots == 0 or (protocol.source in ("constant", "given") and self.words_from is None)
        if slots_known and protocol.stop != "end_word" and chain is None and (teacher or places.answer == 1):
            embeddings = self.method("of_words", words)
            if places.slots:
                fed = self.fed(self.before.state, jnp.arange(places.slots), None, given)
                embeddings = embeddings.at[1 : places.slots + 1].set(fed)
            rows, cache = self.extended(embeddings, 0, cache, alive)
        else:
            rows, cache, alive = self.one_by_one(words, cache, alive, chain, given, teacher)
        return rows, cache, jnp.sum(alive & jnp.asarray(places.where("slots"))), triggered

    def one_by_one(
        self,
        words: jax.Array,
        cache: Cache,
        alive: jax.Array,
        chain: jax.Array | None,
        given: jax.Array | None,
        teacher: bool,
    ) -> tuple[Rows, Cache, jax.Array]:
        """Position after position; slots and words go through one body, since two would be compiled one by one too."""
        protocol, places = self.model.protocol, self.model.places
        is_slot = jnp.asarray(places.where("slots")[places.prefix :])
        own_from = places.suffix if teacher else places.suffix - places.answer + 1

        def step(carry: Any, number: jax.Array) -> tuple[Any, Rows]:
            cache, state, alive, stopped = carry
            word = words[number]
            if own_from < places.suffix:
                word = jnp.where(number >= own_from, self.logits(state).argmax(), word)
            embedding = self.method("of_words", word)
            if places.slots:
                slot = number - 1
                if chain is not None:
                    stopped = stopped | (is_slot[number] & (chain[slot] == PAD))
                here = jnp.arange(places.total) == places.prefix + number
                alive = jnp.where(here & is_slot[number] & stopped, False, alive)
                embedding = jnp.where(is_slot[number], self.fed(state, slot, chain, given), embedding)
            rows, cache = self.extended(embedding[None], number, cache, alive)
            row = jax.tree.map(lambda leaf: leaf[0], rows)
            if protocol.stop == "end_word":
                stopped = stopped | (self.logits(row.states).argmax() == END)
            return (cache, row.states, alive, stopped), row

        carry = cache, self.before.state, alive, jnp.asarray(False)
        (cache, _, alive, _), rows = jax.lax.scan(step, carry, jnp.arange(places.suffix))
        return rows, cache, alive

    def extended(
        self, embeddings: jax.Array, first: jax.Array | int, cache: Cache, alive: jax.Array
    ) -> tuple[Rows, Cache]:
        """New positions, the first of which is the suffix's ``first``; dead columns are hidden from others."""
        place, count = self.model.places.prefix + first, len(embeddings)
        embeddings = touched(embeddings, self.writes, "embeddings", place)
        sees = visible_now(self.seen, place, count, self.writes)
        own = jnp.arange(self.model.places.total) == (place + jnp.arange(count))[:, None]
        made: Pass
        made, cache = self.method(
            "extend", embeddings, first, self.before.cache, cache, sees & (alive | own), self.writes
        )
        rows = Rows(embeddings, made.states, made.residuals.swapaxes(0, 1), made.attention.transpose(2, 0, 1, 3))
        return rows, cache

    def fed(self, state: jax.Array, slot: jax.Array, chain: jax.Array | None, given: jax.Array | None) -> jax.Array:
        """What a slot is fed `[width]`, given the state of the position before it."""
        protocol = self.model.protocol

        def word() -> jax.Array:
            return self.method("of_words", self.logits(state).argmax() if chain is None else chain[slot])

        if protocol.source == "word":
            return word()
        if protocol.source == "constant":
            vector = self.method("constant")[slot]
        elif protocol.source == "given":
            if given is None:
                expected = "what slots are fed [items, slots, width], which this protocol takes from the caller"
                raise checks.bad("given", expected, "None")
            vector = given[slot]
        else:
            last = jnp.where(slot == 0, self.before.state, state) if protocol.first == "before_start" else state
            vector = self.method("fed", last)
        if self.words_from is None:
            return vector
        return jnp.where(slot >= self.words_from, word(), vector)
