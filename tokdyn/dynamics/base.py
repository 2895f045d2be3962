"""What a dynamics is: parts that propose a displacement of the tokens, composed by name into one pytree.

A part is a frozen dataclass whose leaves are traced numbers (swept by vmap, differentiated, trained, never
recompiled) and whose static fields choose the program. Nothing here loops over steps: that is ``tokdyn.solve``.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterator
from typing import Any, ClassVar, NamedTuple, Self, TypeVar, dataclass_transform

import jax
import jax.numpy as jnp
import numpy as np

from tokdyn import checks

Context = Any  # what a part's prepare returned: any pytree
Memory = Any  # what a part carries from step to step: any pytree, () for nothing


class Flow(NamedTuple):
    """What the parts of one step hand from one to the next.

    Attributes:
        displacement: where the tokens are about to go, minus where they are `[K, D]`.
        force: the share of it that a token *at rest* would feel `[K, D]`: no memory, no noise. It vanishes exactly at
            a fixed point, which is why ``stop="residual"`` watches it.
    """

    displacement: jax.Array
    force: jax.Array

    def push(self, force: jax.Array) -> Flow:
        """The flow with a force `[K, D]` added, felt by a token at rest too."""
        return Flow(self.displacement + force, self.force + force)

    def carry(self, displacement: jax.Array) -> Flow:
        """The flow with a displacement `[K, D]` added that comes from memory or noise."""
        return Flow(self.displacement + displacement, self.force)


class Term:
    """The protocol of a part: three pure methods, of which only ``apply`` must be written.

    Derive from it, decorate with ``td.part``, write ``apply``; ``td.testing.check_term`` then runs the contract.

    Attributes:
        stochastic: whether ``apply`` uses its key (then there is no fixed point to differentiate implicitly).
    """

    stochastic: ClassVar[bool] = False

    def prepare(self, features: jax.Array, mask: jax.Array | None, token_mask: jax.Array | None) -> Context:
        """Once a run: the loop-invariant layout of the features.

        Args:
            features: `[N, D]`; masked rows are already zero.
            mask: features that exist `[N]`, or None for all.
            token_mask: tokens that exist `[K]`, or None for all.

        Returns:
            Whatever ``init`` and ``apply`` need.
        """
        return ()

    def init(self, tokens: jax.Array, context: Context) -> Memory:
        """The memory of tokens `[K, D]` at rest."""
        return ()

    def apply(
        self,
        key: jax.Array,
        step: jax.Array,
        flow: Flow,
        tokens: jax.Array,
        memory: Memory,
        context: Context,
    ) -> tuple[Flow, Memory]:
        """One step: change what is proposed, and what is remembered.

        Args:
            key: this part's key for this step.
            step: number of the step `[]`, from 0.
            flow: what the parts before proposed.
            tokens: where the tokens are `[K, D]`.
            memory: what this part returned a step ago.
            context: what ``prepare`` returned.

        Returns:
            ``(flow, memory)``.
        """
        raise NotImplementedError(f"{type(self).__name__} must define apply(key, step, flow, tokens, memory, context)")


TermType = TypeVar("TermType", bound=type[Any])
_KINDS: dict[str, type] = {}


def static(default: Any = dataclasses.MISSING) -> Any:
    """A field of a part that chooses the program (hashable, never traced), for example a kernel's name."""
    return dataclasses.field(default=default, metadata={"static": True})


@dataclass_transform(frozen_default=True, kw_only_default=False, field_specifiers=(static, dataclasses.field))
def part(cls: TermType) -> TermType:
    """Make a class a part: a frozen dataclass that is a pytree, and that ``td.save`` and ``td.load`` know by name.

    Fields are traced leaves unless made with ``td.static()``. Check values in a lowercase factory, never in
    ``__post_init__``: JAX rebuilds parts with tracers inside.

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
    """``Inertia(momentum=0.5)``: plain numbers, where the generated form would say np.float64(0.5)."""
    fields = [(field.name, getattr(self, field.name)) for field in dataclasses.fields(self)]
    inside = ", ".join(
        f"{name}={float(value) if isinstance(value, (float, np.floating)) else repr(value)}" for name, value in fields
    )
    return f"{type(self).__name__}({inside})"


def kind_of(cls: type) -> str:
    """The name of a part class in files: two classes of one name in two modules are two kinds."""
    return f"{cls.__module__}.{cls.__qualname__}"


def kind_named(name: str) -> type:
    """The part class of that name.

    Raises:
        ValueError: no such part has been defined in this process.
    """
    if name not in _KINDS:
        near = difflib.get_close_matches(name, _KINDS, n=1)
        hint = f"such as {near[0]}" if near else f"one of {len(_KINDS)}"
        got = f"{checks.shown(name)}; import the module that defines it first"
        raise checks.bad("kind", f"a part defined in this process ({hint})", got)
    return _KINDS[name]


@part
class Schedule:
    """A number that changes with the step: it may stand wherever a part has a number.

    Attributes:
        start: value at step 0 `[]`.
        end: value from step ``num_steps`` on `[]`.
        num_steps: how many steps the change takes `[]`; a run cannot stop before.
        shape: ``"geometric"`` or ``"linear"``.
    """

    start: jax.Array
    end: jax.Array
    num_steps: jax.Array
    shape: str = static("geometric")

    def at(self, step: jax.Array | int) -> jax.Array:
        """The value at a step `[]`."""
        fraction = jnp.clip(step / jnp.maximum(self.num_steps, 1), 0.0, 1.0)
        fraction = fraction.astype(jnp.result_type(self.start, self.end))
        if self.shape == "linear":
            return self.start + fraction * (self.end - self.start)
        return self.start ** (1 - fraction) * self.end**fraction  # not by their ratio, which may leave the dtype


def is_schedule(value: Any) -> bool:
    """Whether this node of a pytree is a schedule (for ``is_leaf``)."""
    return isinstance(value, Schedule)


def schedules(tree: Any) -> list[Schedule]:
    """All schedules in a pytree."""
    return [node for node in jax.tree.leaves(tree, is_leaf=is_schedule) if is_schedule(node)]


TreeType = TypeVar("TreeType")


def resolved(tree: TreeType, step: jax.Array | int) -> TreeType:
    """The pytree with every schedule replaced by its value at that step."""
    return jax.tree.map(lambda node: node.at(step) if is_schedule(node) else node, tree, is_leaf=is_schedule)


@jax.tree_util.register_pytree_with_keys_class
@dataclasses.dataclass(frozen=True)
class Dynamics:
    """Named parts, applied in order. Built by ``compose``; a pytree whose paths are ``part.field``.

    Attributes:
        names: the parts' names (static).
        parts: the parts.
    """

    names: tuple[str, ...]
    parts: tuple[Any, ...]

    def __getitem__(self, name: str) -> Any:
        if name not in self.names:
            raise checks.bad("name", f"one of {', '.join(self.names)}", repr(name))
        return self.parts[self.names.index(name)]

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def __repr__(self) -> str:
        inside = ",\n".join(f"    {name}={part!r}" for name, part in zip(self.names, self.parts, strict=True))
        return f"compose(\n{inside},\n)"

    def tree_flatten_with_keys(self) -> tuple[list[tuple[Any, Any]], tuple[str, ...]]:
        """Children with the parts' names as keys."""
        keyed = [(jax.tree_util.DictKey(name), part) for name, part in zip(self.names, self.parts, strict=True)]
        return keyed, self.names

    @classmethod
    def tree_unflatten(cls, names: tuple[str, ...], parts: tuple[Any, ...]) -> Self:
        """The inverse."""
        return cls(names, tuple(parts))


def compose(**parts: Any) -> Dynamics:
    """A dynamics from named parts; the order of the arguments is the order of application.

    Within one step every part sees the tokens as they were, and adds to one displacement
    `s_new = s + sum of the parts' displacements`; the published rule is
    ``compose(attract=attraction(...), repel=repulsion(...), inertia=inertia(...))``.

    Args:
        **parts: parts by name. The names become paths (``"attract.temperature"``), labels and sources of randomness.

    Returns:
        A ``Dynamics``: a pytree, to be passed as an *argument* to jitted functions.

    Raises:
        ValueError: no part, or something without an ``apply`` method.

    Example:
        >>> import tokdyn as td
        >>> dynamics = td.compose(attract=td.attraction(temperature=1.0), inertia=td.inertia(momentum=0.5))
        >>> sorted(td.values(dynamics))
        ['attract.mass_floor', 'attract.rate', 'attract.temperature', 'attract.temperature_floor', 'inertia.momentum']
    """
    if not parts:
        raise checks.bad("parts", "at least one named part, such as attract=td.attraction(temperature=1.0)", "none")
    for name, value in parts.items():
        if not callable(getattr(value, "apply", None)) or isinstance(value, type):
            raise checks.bad(name, "a part with an apply method (see td.Term)", f"a {type(value).__name__}")
        if jax.tree_util.all_leaves([value]):
            raise checks.bad(name, "a part whose class is decorated with td.part", f"a bare {type(value).__name__}")
    return Dynamics(tuple(parts), tuple(parts.values()))


class State(NamedTuple):
    """What the next step needs, and nothing else.

    Attributes:
        tokens: `[K, D]`.
        memory: each part's memory, in order.
        step: number of the next step `[]`.
    """

    tokens: jax.Array
    memory: tuple[Memory, ...]
    step: jax.Array


class Info(NamedTuple):
    """What diagnosis needs of one step, and the next step does not.

    Attributes:
        displacement: tokens after the step minus before `[K, D]`.
        force: the share of it that a token at rest would feel `[K, D]`.
    """

    displacement: jax.Array
    force: jax.Array
