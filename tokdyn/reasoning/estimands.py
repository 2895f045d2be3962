"""What is true of a reasoner, measured on so many items that its error does not matter: effects of its slots' cache.

A diagnostic is judged on a few hundred items; these numbers are the quantities that it is after. The distribution of
donors is part of each: another item, question and picture, uniformly drawn ("another item"); or the same question about
another picture ("another picture").
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from tokdyn import checks, keys
from tokdyn.compiling import Effort, jitted
from tokdyn.reasoning import interventions as do
from tokdyn.reasoning.arms import run_arms
from tokdyn.reasoning.exchange import other_picture
from tokdyn.reasoning.items import Item, Task
from tokdyn.reasoning.model import Reasoner, Variables
from tokdyn.reasoning.training import items_of

# An answer that changes under a donor's cache in more items than the first depends on what the cache holds; in fewer
# than the second it does not; between them is no verdict.
DEPENDS, IDLE = 0.05, 0.01
BLOCK = 500
_ARMS = {
    "cache": do.swap("slots", site="cache"),
    "unrelated": do.swap("slots", site="cache", donor="unrelated"),
    "embedding": do.swap("slots"),
    "removed": do.remove("slots"),
    "markers": do.remove("markers"),
}


class Estimands(NamedTuple):
    """Shares of items, 0 to 1, or differences of shares, -1 to 1; NumPy numbers or arrays over trainings.

    Attributes:
        accuracy: right answers, nothing changed.
        changed: answers that are another under another item's slot cache: does its content matter at all?
        necessary: accuracy minus that under another item's slot cache: is the item's own content needed?
        followed: answers that are the donor's under its cache, where that is wrong for the item, minus the same answers
            under an unrelated donor's cache: the controlled direct effect of the content.
        indirect: answers that become those to another picture when the cache alone is that picture's (the natural
            indirect effect, the same question, among items whose two answers differ).
        direct: answers that become those to another picture when everything but the cache is that picture's (the
            natural direct effect).
        total: answers that are another with another picture, of all items.
        sufficient: right answers that the own cache alone keeps when everything else is another picture's, among those
            that another picture changes.
        changed_embedding: as ``changed``, for what slots are fed.
        changed_presence: answers that are another without slots.
        changed_markers: answers that are another without markers.
        count: items.
    """

    accuracy: Any
    changed: Any
    necessary: Any
    followed: Any
    indirect: Any
    direct: Any
    total: Any
    sufficient: Any
    changed_embedding: Any
    changed_presence: Any
    changed_markers: Any
    count: Any


def estimands(
    model: Reasoner, task: Task, variables: Variables, key: jax.Array, *, num_items: int = 4000,
    effort: Effort = "usual",
) -> Estimands:  # fmt: skip
    """Measure them.

    Args:
        model: a reasoner with slots.
        task: of its items.
        variables: its weights.
        key: of the items.
        num_items: a multiple of 500; shares have a standard error of at most ``0.5 / sqrt(num_items)``.
        effort: of compiling, as in ``compiling.Program``.

    Returns:
        ``Estimands``, floats.

    Raises:
        ValueError: a reasoner without slots, or a number of items that is no multiple of 500.

    Example:
        >>> import jax
        >>> from tokdyn.reasoning import shipped
        >>> from tokdyn.reasoning.estimands import estimands
        >>> one = shipped.load("masked")
        >>> found = estimands(one.reference.model, one.reference.task, one.variables, jax.random.key(0), num_items=500)
        >>> found.changed, found.indirect, found.direct
        (0.0, 0.0, 1.0)
    """
    if not model.places.slots:
        raise checks.bad("model", "a reasoner with slots", "one without")
    count = checks.whole_number("num_items", num_items, at_least=BLOCK)
    if count % BLOCK:
        raise checks.bad("num_items", f"a multiple of {BLOCK}", num_items)
    blocks = [_block(model, task, effort)(variables, keys.for_seed(key, number)) for number in range(count // BLOCK)]
    sums = {name: sum(float(block[name]) for block in blocks) for name in blocks[0]}
    share = lambda name, of="items": sums[name] / max(sums[of], 1.0)  # noqa: E731
    return Estimands(
        accuracy=share("right"),
        changed=share("changed cache"),
        necessary=share("right") - share("right cache"),
        followed=share("donor's cache", "foreign") - share("donor's unrelated", "foreign"),
        indirect=share("indirect", "differ"),
        direct=share("direct", "differ"),
        total=share("differ"),
        sufficient=share("own kept", "rightly"),
        changed_embedding=share("changed embedding"),
        changed_presence=share("changed removed"),
        changed_markers=share("changed markers"),
        count=count,
    )


def depends(found: Estimands, quantity: str = "changed") -> np.ndarray:
    """Does the answer depend on what the slots' cache holds? 1 yes, 0 no, NaN where it is between the two bounds.

    Args:
        found: what was measured.
        quantity: the share of answers that change; that of another channel for another question.

    Returns:
        As many numbers as trainings were measured.

    Example:
        >>> from tokdyn.reasoning.estimands import Estimands, depends
        >>> depends(Estimands(*[0.0] * 12)), depends(Estimands(1.0, 0.3, *[0.0] * 10))
        (array(0.), array(1.))
    """
    changed = np.asarray(getattr(found, quantity))
    return np.where(changed > DEPENDS, 1.0, np.where(changed < IDLE, 0.0, np.nan))


@functools.lru_cache(maxsize=64)
def _block(model: Reasoner, task: Task, effort: Effort) -> Callable[..., dict[str, jax.Array]]:
    """Counts over one block of items; compiled once."""

    def words(output: Any) -> jax.Array:
        return output.answer[:, 0]

    def run(variables: Variables, key: jax.Array) -> dict[str, jax.Array]:
        items = items_of(task, keys.for_purpose(key, "items"), BLOCK)
        truth = items.answer[:, 0]
        clean, arms = run_arms(model, variables, items, _ARMS, key=key, keep=words)
        before = words(clean)
        donors = jnp.roll(truth, -1)
        foreign = donors != truth
        counts = {"items": jnp.asarray(BLOCK), "right": (before == truth).sum(), "foreign": foreign.sum()}
        counts |= {f"changed {name}": (answer != before).sum() for name, answer in arms.items()}
        counts["right cache"] = (arms["cache"] == truth).sum()
        for name in ("cache", "unrelated"):
            counts[f"donor's {name}"] = ((arms[name] == donors) & foreign).sum()
        return counts | _exchanged(variables, items, before, key)

    def _exchanged(variables: Variables, items: Item, before: jax.Array, key: jax.Array) -> dict[str, jax.Array]:
        # Both pictures as one batch: a program of half the size, and so half the time to wait for it.
        both = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), items, other_picture(items))
        ran = model.apply(variables, both)[0]
        foreign = jax.tree.map(lambda leaf: jnp.roll(leaf, BLOCK, axis=0), ran.sites)
        write = {"written": do.oracle("slots", site="cache")}
        _, arms = run_arms(model, variables, both, write, key=key, oracle=foreign, keep=words)
        after, (moved, kept) = words(ran)[BLOCK:], arms["written"].reshape(2, BLOCK)
        differ = before != after
        right = differ & (before == items.answer[:, 0])
        return {
            "differ": differ.sum(),
            "indirect": (differ & (moved == after)).sum(),
            "direct": (differ & (kept == after)).sum(),
            "rightly": right.sum(),
            "own kept": (right & (kept == before)).sum(),
        }

    return jitted(run, effort)
