"""Parts: frozen dataclasses whose numbers are traced and whose static fields select the program."""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar, dataclass_transform

import jax
import numpy as np

from tokdyn import checks
from tokdyn.ranges import number

PartType = TypeVar("PartType", bound=type[Any])
_KINDS: dict[str, type] = {}
# Names of part classes in files of earlier versions, and their present names.
_RENAMED = {"tokdyn.dynamics.base.Schedule": "tokdyn.dynamics.schedules.Annealing"}


def static(*, default: Any = dataclasses.MISSING) -> Any:
    """A field of a part that selects the program (hashable, never traced), for example the name of a kernel.

    Args:
        default: the value of the field if none is given.
    """
    return dataclasses.field(default=default, metadata={"static": True})


@dataclass_transform(frozen_default=True, kw_only_default=False, field_specifiers=(static, number, dataclasses.field))
def part(cls: PartType) -> PartType:
    """Turn a class into a part: a frozen dataclass that is a pytree, known to ``td.save`` and ``td.load`` by name.

    Fields are traced leaves unless they are made with ``td.static()``; ``td.number()`` declares the range of a number.
    Do not validate in ``__post_init__``: JAX rebuilds parts with tracers inside.

    Example:
        >>> import jax.numpy as jnp, tokdyn as td
        >>> @td.part
        ... class Drift(td.Term):
        ...     velocity: float
        ...     def apply(self, key, step, flow, tokens, memory, context):
        ...         return flow.push(jnp.full_like(tokens, self.velocity)), memory
        >>> list(td.values(td.compose(drift=Drift(0.1))))
        ['drift.velocity']
    """
    cls = dataclasses.dataclass(frozen=True, repr=False)(cls)  # type: ignore[assignment]
    fields = dataclasses.fields(cls)
    jax.tree_util.register_dataclass(
        cls,
        data_fields=[field.name for field in fields if not field.metadata.get("static")],
        meta_fields=[field.name for field in fields if field.metadata.get("static")],
    )
    cls.__repr__ = _readable  # type: ignore[assignment]
    _KINDS[kind_of(cls)] = cls
    return cls


def _readable(self: Any) -> str:
    """A readable form, ``Inertia(momentum=0.5)``, where the generated one would say ``np.float64(0.5)``."""
    fields = [(field.name, getattr(self, field.name)) for field in dataclasses.fields(self)]
    inside = ", ".join(
        f"{name}={float(value) if isinstance(value, (float, np.floating)) else repr(value)}" for name, value in fields
    )
    return f"{type(self).__name__}({inside})"


def kind_of(cls: type) -> str:
    """The name of a part class in files; it distinguishes classes of the same name in different modules."""
    return f"{cls.__module__}.{cls.__qualname__}"


def kind_named(name: str) -> type:
    """The part class of that name.

    Raises:
        ValueError: no such part has been defined in this process.
    """
    name = _RENAMED.get(name, name)
    if name not in _KINDS:
        near = checks.nearest(name, _KINDS)
        hint = f"such as {near}" if near else f"one of {len(_KINDS)}"
        got = f"{checks.shown(name)}; import the module that defines it first"
        raise checks.bad("kind", f"a part defined in this process ({hint})", got)
    return _KINDS[name]
