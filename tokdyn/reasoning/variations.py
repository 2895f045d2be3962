"""The same task with worse pictures, or with items of several cases, which a protocol's gates tell apart."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp

from tokdyn import checks, draws, keys
from tokdyn.reasoning.items import Item, Task


@dataclasses.dataclass(frozen=True)
class Wrapped:
    """A task that is another one but for what a subclass says.

    Attributes:
        task: the other one.
    """

    task: Any

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "task":
            raise AttributeError(name)
        return getattr(self.task, name)


@dataclasses.dataclass(frozen=True)
class Varied(Wrapped):
    """See ``varied``."""

    shares: tuple[float, ...]
    noise: float

    def draw(self, key: jax.Array) -> Item:
        item = self.task.draw(keys.for_purpose(key, "item"))
        lot = draws.uniform(keys.for_purpose(key, "case"), (), jnp.float32)
        case = jnp.sum(lot >= jnp.cumsum(jnp.asarray(self.shares, jnp.float32))[:-1]).astype(jnp.int32)
        if self.noise:
            drawn = draws.normal(keys.for_purpose(key, "noise"), item.image.shape, item.image.dtype)
            # The picture without noise takes the helper's place: ``answer_from`` follows it.
            item = item._replace(image=item.image + self.noise * drawn, helper=item.image)
        return item._replace(case=case)

    def answer_from(self, item: Item, step: jax.Array | int, state: jax.Array | int) -> jax.Array:
        return self.task.answer_from(item._replace(image=item.helper) if self.noise else item, step, state)


def varied(task: Task, *, shares: Iterable[float] = (1.0,), noise: float = 0.0) -> Varied:
    """Items of several cases, and noise on their pictures; answers, steps and chains stay those of the task.

    Args:
        task: any.
        shares: how often each case is drawn, summing to 1; ``Item.case`` is its number.
        noise: standard deviation of Gaussian noise on every pixel, whose range is 0 to 1.

    Returns:
        A task. With noise, an item's helper is its picture without noise, which ``answer_from`` follows.

    Raises:
        ValueError: shares that are negative or do not sum to 1, or negative noise.

    Example:
        >>> import jax
        >>> from tokdyn.reasoning.tasks import pointer_chase
        >>> from tokdyn.reasoning.variations import varied
        >>> task = varied(pointer_chase(side=2, hops=2), shares=(0.5, 0.5))
        >>> items = jax.vmap(task.draw)(jax.random.split(jax.random.key(0), 400))
        >>> 0.4 < float(items.case.mean()) < 0.6
        True
    """
    shares = tuple(float(share) for share in shares)
    if not shares or min(shares) < 0 or abs(sum(shares) - 1) > 1e-6:
        raise checks.bad("shares", "numbers from 0 that sum to 1", shares)
    if not noise >= 0:
        raise checks.bad("noise", "a number, at least 0", noise)
    return Varied(task, shares, float(noise))
