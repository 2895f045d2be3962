"""Schedules: numbers that change from step to step. A schedule can take the place of any number of a part."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal, TypeVar

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from tokdyn import checks
from tokdyn.dynamics.parts import part, static
from tokdyn.ranges import built, number
from tokdyn.typing import PyTree


class Schedule:
    """The protocol: ``at(step)`` is the value, which no longer changes after ``num_steps``.

    Derive a class from it, decorate the class with ``td.part``, give it a field ``num_steps``, and define ``at``. The
    driver evaluates the schedule once per step and does not stop a run before ``num_steps``; both ends are checked
    against the range of the number that it replaces. To wrap a plain function, ``td.schedule`` is shorter.

    Attributes:
        num_steps: how many steps the change takes `[]`.

    Example:
        >>> import jax.numpy as jnp, tokdyn as td
        >>> @td.part
        ... class Cosine(td.Schedule):
        ...     start: float
        ...     end: float
        ...     num_steps: float
        ...     def at(self, step):
        ...         fraction = jnp.clip(step / self.num_steps, 0.0, 1.0)
        ...         return self.end + (self.start - self.end) * (1 + jnp.cos(jnp.pi * fraction)) / 2
        >>> cooled = td.attraction(temperature=Cosine(4.0, 1.0, num_steps=20))
    """

    num_steps: Any

    def at(self, step: jax.Array | int) -> jax.Array:
        """The value at a step `[]`, from 0."""
        raise NotImplementedError(f"{type(self).__name__} must define at(step)")

    def ends(self) -> tuple[Any, Any]:
        """The first and the last value `[]`, which must lie in the range of the number that the schedule replaces."""
        return self.at(0), self.at(self.num_steps)


Scalar = float | jax.Array | Schedule
"""A number of a part: a plain number, an array `[]`, or a schedule."""


@part
class Annealing(Schedule):
    """The schedule that ``annealing`` builds."""

    start: jax.Array
    end: jax.Array
    num_steps: jax.Array = number(at_least=0.0)
    shape: str = static(default="geometric")

    def at(self, step: jax.Array | int) -> jax.Array:
        """The value at a step `[]`."""
        fraction = jnp.clip(step / jnp.maximum(self.num_steps, 1), 0.0, 1.0)
        fraction = fraction.astype(jnp.result_type(self.start, self.end))
        if self.shape == "linear":
            return self.start + fraction * (self.end - self.start)
        return self.start ** (1 - fraction) * self.end**fraction  # not via their ratio, which may overflow the dtype

    def ends(self) -> tuple[Any, Any]:
        """The first and the last value `[]`; nothing is computed."""
        return self.start, self.end


def annealing(
    *,
    start: float | jax.Array,
    end: float | jax.Array,
    num_steps: float | jax.Array,
    shape: Literal["geometric", "linear"] = "geometric",
) -> Annealing:
    r"""A schedule that moves from one value to another; it can take the place of any number, such as a temperature.

    .. math:: v(t) = a\,(b/a)^{\min(t/n, 1)} \ \text{(geometric)},\qquad v(t) = a + (b - a)\min(t/n, 1)\ \text{(linear)}

    The driver evaluates it once per step, and does not stop a run before ``num_steps``.

    Args:
        start: `a` `[]`, at step 0.
        end: `b` `[]`, from step ``num_steps`` on.
        num_steps: `n` `[]`.
        shape: ``"geometric"`` (both ends above 0) or ``"linear"`` (static).

    Returns:
        A ``Schedule``; its three numbers are leaves.

    Raises:
        ValueError: an unknown shape, or numbers out of range.

    References:
        K. Rose, E. Gurewitz, G. Fox, Phys. Rev. Lett. 65 (1990) 945 (deterministic annealing).

    Example:
        >>> import tokdyn as td
        >>> schedule = td.annealing(start=100.0, end=1.0, num_steps=2)
        >>> [round(float(schedule.at(step)), 6) for step in range(4)]
        [100.0, 10.0, 1.0, 1.0]
    """
    checks.choice("shape", shape, ("geometric", "linear"))
    above = 0.0 if shape == "geometric" else -math.inf
    return built(
        Annealing,
        start=checks.hyperparameter("start", start, above=above),
        end=checks.hyperparameter("end", end, above=above),
        num_steps=num_steps,
        shape=shape,
    )


@part
class FunctionSchedule(Schedule):
    """The schedule that ``schedule`` builds. Its function selects the program: it is static, compared by identity."""

    num_steps: jax.Array = number(at_least=0.0)
    function: Callable[[Any], Any] = static()

    def at(self, step: jax.Array | int) -> jax.Array:
        """The value at a step `[]`; after ``num_steps`` it stays at the value reached there."""
        return jnp.asarray(self.function(jnp.minimum(jnp.asarray(step), jnp.asarray(self.num_steps, jnp.int32))))


def schedule(function: Callable[[Any], Any], *, num_steps: float | jax.Array) -> FunctionSchedule:
    """A schedule from a function of the step, for example an optax schedule.

    Define the function once, since every new function compiles a new program. ``td.save`` cannot write it; it can write
    ``td.annealing`` or a class of your own (``td.Schedule``).

    Args:
        function: ``step [] -> value []``, pure and traceable; static.
        num_steps: how many steps the change takes `[]`; a run does not stop earlier, and later the value is constant.

    Returns:
        A ``Schedule``.

    Raises:
        ValueError: not a function from a step to a number, or a negative length.

    Example:
        >>> import optax, tokdyn as td
        >>> warm = td.schedule(optax.cosine_decay_schedule(4.0, decay_steps=20, alpha=0.1), num_steps=20)
        >>> round(float(warm.at(0)), 3), round(float(warm.at(100)), 3)
        (4.0, 0.4)
        >>> dynamics = td.compose(attract=td.attraction(temperature=warm))
    """
    if not callable(function):
        raise checks.bad("function", "a function of the step, such as one of optax's schedules", checks.shown(function))
    try:
        value = jax.eval_shape(lambda step: jnp.asarray(function(step)), jax.ShapeDtypeStruct((), jnp.int32))
    except (TypeError, ValueError, jax.errors.JAXTypeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise checks.bad("function", "a traceable function of one step", f"one that fails: {reason}") from None
    if value.shape != ():
        raise checks.bad("function", "one number for a step", checks.describe_array(value))
    return built(FunctionSchedule, num_steps=num_steps, function=function)


def is_schedule(value: object) -> bool:
    """Whether this node of a pytree is a schedule (for ``is_leaf``)."""
    return isinstance(value, Schedule)


def schedules(tree: PyTree) -> list[Schedule]:
    """All schedules in a pytree."""
    return [node for node in jax.tree.leaves(tree, is_leaf=is_schedule) if is_schedule(node)]


TreeType = TypeVar("TreeType")


def resolved(tree: TreeType, step: jax.Array | int, dtype: DTypeLike | None = None) -> TreeType:
    """The pytree with every schedule replaced by its value at that step.

    Args:
        tree: any pytree.
        step: number of the step `[]`, from 0.
        dtype: dtype of the values; by default whatever the schedules return.
    """

    def value(node: Any) -> Any:
        if not is_schedule(node):
            return node
        return node.at(step) if dtype is None else jnp.asarray(node.at(step), dtype)

    return jax.tree.map(value, tree, is_leaf=is_schedule)
