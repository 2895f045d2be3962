"""A task whose question does not say everything: which of two answers is meant stands only in the start marker."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

from tokdyn import checks, keys
from tokdyn.reasoning.items import Item, Task
from tokdyn.reasoning.variations import Wrapped


@dataclasses.dataclass(frozen=True)
class TwoModes(Wrapped):
    """See ``two_modes``."""

    early: int

    def draw(self, key: jax.Array) -> Item:
        item = self.task.draw(keys.for_purpose(key, "item"))
        mode = jax.random.bernoulli(keys.for_purpose(key, "mode")).astype(jnp.int32)
        early = item.answer.at[0].set(item.steps[self.early])
        return item._replace(answer=jnp.where(mode == 1, early, item.answer), mode=mode)

    def answer_from(self, item: Item, step: jax.Array | int, state: jax.Array | int) -> jax.Array:
        # Steps are alike, so that beginning later by as many is ending earlier; past its end a chain stays.
        left_out = self.task.num_steps - 1 - self.early
        return self.task.answer_from(item, jnp.asarray(step) + jnp.where(item.mode == 1, left_out, 0), state)


def two_modes(task: Task, *, early: int = 0) -> TwoModes:
    """Half of the items ask for an intermediate result, and only the start marker says which.

    Mode 0 opens with the usual start marker and asks for the answer; mode 1 opens with the other one and asks for the
    result of step ``early``. Who cannot read the marker is right in half of the items at best.

    Args:
        task: with answers of one word; for ``answer_from`` its steps must be alike, as the hops of a pointer chase.
        early: the step whose result mode 1 asks for; before the last.

    Returns:
        A task.

    Raises:
        ValueError: longer answers, or a step that does not come before the last.
    """
    if task.answer_length != 1:
        raise checks.bad("task", "answers of one word", task.answer_length)
    early = checks.whole_number("early", early, at_least=0)
    if early >= task.num_steps - 1:
        raise checks.bad("early", f"a step before the last, {task.num_steps - 1}", early)
    return TwoModes(task, early)
