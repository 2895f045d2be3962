"""The range of every number, declared once where its part is defined, and checked wherever values are known.

``td.number(at_least=0.0)`` in the class declares it. Factories, ``td.compose``, ``td.with_values``, ``td.load``,
``td.sweep`` and the command line check what they are given; in a compiled run, where values are not known, a number
out of its range ends the run with ``Status.INVALID``.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Protocol, TypeGuard, TypeVar

import jax
import jax.numpy as jnp

from tokdyn import checks

RANGE = "range"  # the key of a field's metadata
PartType = TypeVar("PartType")


class Ends(Protocol):
    """What a schedule tells of its range."""

    def ends(self) -> tuple[Any, Any]:
        """Its first and last value, between which all others lie."""
        ...


@dataclasses.dataclass(frozen=True)
class Range:
    """Where a number may lie.

    Attributes:
        above: exclusive lower limit.
        at_least: inclusive lower limit.
        below: exclusive upper limit.
        finite: whether infinity is left out.
    """

    above: float = -math.inf
    at_least: float = -math.inf
    below: float = math.inf
    finite: bool = True

    def checked(self, name: str, value: object) -> Any:
        """The value as parts store it (see ``checks.hyperparameter``).

        Raises:
            ValueError: it is known, and out of range; of a schedule one of its ends.
        """
        if _is_schedule(value):
            for end in value.ends():
                self.checked(name, end)
            return value
        return checks.hyperparameter(name, value, **dataclasses.asdict(self))

    def holds(self, value: object) -> jax.Array:
        """Whether all of the numbers, or both ends of a schedule, are in range `[]`, also where they are traced."""
        if _is_schedule(value):
            return jnp.all(jnp.array([self.holds(end) for end in value.ends()]))
        numbers = jnp.asarray(value)
        inside = jnp.isfinite(numbers) if self.finite else ~jnp.isnan(numbers)
        if self.above > -math.inf:
            inside &= numbers > self.above
        if self.at_least > -math.inf:
            inside &= numbers >= self.at_least
        if self.below < math.inf:
            inside &= numbers < self.below
        return jnp.all(inside)


def _is_schedule(value: Any) -> TypeGuard[Ends]:
    return hasattr(value, "ends") and hasattr(value, "num_steps")


def number(
    *,
    default: Any = dataclasses.MISSING,
    above: float = -math.inf,
    at_least: float = -math.inf,
    below: float = math.inf,
    finite: bool = True,
) -> Any:
    """A field of a part that holds a number, and the range in which it means something.

    Args:
        default: its value where none is given.
        above: exclusive lower limit.
        at_least: inclusive lower limit.
        below: exclusive upper limit.
        finite: False allows infinity.

    Example:
        >>> import jax.numpy as jnp, tokdyn as td
        >>> @td.part
        ... class Wind(td.Term):
        ...     speed: float = td.number(at_least=0.0)
        ...     def apply(self, key, step, flow, tokens, memory, context):
        ...         return flow.push(jnp.full_like(tokens, self.speed)), memory
        >>> td.compose(wind=Wind(-1.0))
        Traceback (most recent call last):
        ...
        ValueError: wind.speed: expected a number of at least 0, got -1.0
    """
    return dataclasses.field(default=default, metadata={RANGE: Range(above, at_least, below, finite)})


def built(cls: type[PartType], **values: Any) -> PartType:
    """A part of that class: numbers are checked against their ranges, and plain ones get one dtype.

    Args:
        cls: decorated with ``td.part``.
        **values: of its fields.

    Raises:
        ValueError: a number out of its range, naming the field.
    """
    fields: dict[str, Any] = {field.name: field.metadata for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    return cls(
        **{name: fields[name][RANGE].checked(name, x) if RANGE in fields[name] else x for name, x in values.items()}
    )
