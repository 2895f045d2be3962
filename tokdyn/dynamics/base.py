"""What a dynamics is: parts that propose a displacement of the tokens, composed by name into one pytree.

The leaves of a part are traced numbers, which can be swept by vmap, differentiated and trained without recompiling; its
static fields select the program (``parts``). Nothing here loops over steps: ``tokdyn.solve`` does.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, ClassVar, NamedTuple, Self, TypeVar

import jax
import jax.numpy as jnp

from tokdyn import checks
from tokdyn.tree import check_ranges

Context = Any  # what a part's prepare returned: any pytree
Memory = Any  # what a part carries from step to step: any pytree, () for nothing


class Flow(NamedTuple):
    """What is passed from part to part within one step.

    Attributes:
        displacement: the proposed displacement of the tokens `[K, D]`.
        force: the part of it that a token *at rest* would feel `[K, D]`, without memory and noise. It vanishes exactly
            at a fixed point, which is why ``stop="residual"`` monitors it.
    """

    displacement: jax.Array
    force: jax.Array

    def push(self, force: jax.Array) -> Flow:
        """The flow with an added force `[K, D]`, which acts on a token at rest too."""
        return Flow(self.displacement + force, self.force + force)

    def carry(self, displacement: jax.Array) -> Flow:
        """The flow with an added displacement `[K, D]` that comes from memory or noise."""
        return Flow(self.displacement + displacement, self.force)


class Term:
    """The protocol of a part: four pure methods, of which only ``apply`` is required.

    Derive a class from it, decorate the class with ``td.part``, and define ``apply``; ``td.testing.check_term`` checks
    the contract. A part that decides which token owns which feature also defines ``assign``.

    Attributes:
        stochastic: whether ``apply`` uses its key (if so, there is no fixed point to differentiate implicitly).
        remembers: whether the memory still matters once tokens rest, as learned priors do (if so, neither the
            assignment nor an implicit gradient follows from the tokens alone); such a part defines ``recalled``.
    """

    stochastic: ClassVar[bool] = False
    remembers: ClassVar[bool] = False

    def prepare(self, features: jax.Array, mask: jax.Array | None, token_mask: jax.Array | None) -> Context:
        """The loop-invariant layout of the features, computed once per run.

        Args:
            features: `[N, D]`; masked rows are already zero.
            mask: which features exist `[N]`, or None for all.
            token_mask: which tokens exist `[K]`, or None for all.

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
        """One step: add to the proposed displacement, and update the memory.

        Args:
            key: this part's key for this step.
            step: number of the step `[]`, from 0.
            flow: what the preceding parts proposed.
            tokens: current positions of the tokens `[K, D]`.
            memory: what this part returned in the previous step.
            context: what ``prepare`` returned.

        Returns:
            ``(flow, memory)``.
        """
        raise NotImplementedError(f"{type(self).__name__} must define apply(key, step, flow, tokens, memory, context)")

    def recalled(self, context: Context, memory: Memory) -> Context:
        """The context that ``assign`` gets at the end of a run, given the memory there."""
        return context

    def assign(self, tokens: jax.Array, features: jax.Array, context: Context) -> jax.Array:
        """The soft assignment `[N, K]` of features `[N, D]` to the final tokens `[K, D]`; each row sums to 1.

        One part of a dynamics assigns: the only one that defines this method, or the one that
        ``Dynamics.assigning`` names. If no part defines it, each feature belongs to its nearest token.
        """
        raise NotImplementedError(f"{type(self).__name__} does not assign features")

    def assign_hard(self, tokens: jax.Array, features: jax.Array, context: Context) -> jax.Array:
        """The token of each feature `[N]`; define it if it needs less memory than ``assign``."""
        return jnp.argmax(self.assign(tokens, features, context), axis=-1).astype(jnp.int32)


TermType = TypeVar("TermType")


@jax.tree_util.register_pytree_with_keys_class
@dataclasses.dataclass(frozen=True)
class Dynamics:
    """Named parts, applied in order. Built by ``compose``; a pytree whose paths are ``part.field``.

    Attributes:
        names: the parts' names (static).
        parts: the parts.
        chosen: name of the part that assigns features to tokens, if one was chosen (static).
    """

    names: tuple[str, ...]
    parts: tuple[Any, ...]
    chosen: str | None = None

    def __getitem__(self, name: str) -> Any:  # which class it is, only the run knows: see ``part``
        if name not in self.names:
            raise checks.bad("name", f"one of {', '.join(self.names)}", repr(name))
        return self.parts[self.names.index(name)]

    def part(self, name: str, kind: type[TermType]) -> TermType:
        """The part of that name, checked to be of that class, so that type checkers know its type.

        Args:
            name: name of the part.
            kind: class of the part.

        Raises:
            ValueError: no part of that name, or one of another class.

        Example:
            >>> import tokdyn as td
            >>> float(td.catalog.soft_kmeans().part("attract", td.Attraction).temperature)
            1.0
        """
        found = self[name]
        if not isinstance(found, kind):
            raise checks.bad(name, f"a part of class {kind.__name__}", f"a {type(found).__name__}")
        return found

    def assigning(self, name: str) -> Dynamics:
        """The same dynamics, with the part of that name assigning features to tokens.

        This is needed if several parts could do so, for example two attractions.

        Raises:
            ValueError: no part of that name, or one that does not assign.

        Example:
            >>> import tokdyn as td
            >>> near, far = td.attraction(temperature=0.5), td.attraction(temperature=8.0, rate=0.1)
            >>> td.compose(near=near, far=far).assigning("near").assigner
            'near'
        """
        if not _assigns(self[name]):
            raise checks.bad("name", "a part that defines assign", f"{name!r}, a {type(self[name]).__name__}")
        return dataclasses.replace(self, chosen=name)

    @property
    def assigner(self) -> str | None:
        """The name of the part that assigns features to tokens; None if each feature goes to its nearest token.

        Raises:
            ValueError: several parts could do so, and none was chosen.
        """
        if self.chosen is not None:
            return self.chosen
        able = [name for name, part in zip(self.names, self.parts, strict=True) if _assigns(part)]
        if len(able) > 1:
            how = f"dynamics.assigning({able[0]!r}) chooses, and assignment='none' leaves it out"
            raise checks.bad("dynamics", "one part that assigns features to tokens", f"{' and '.join(able)} ({how})")
        return able[0] if able else None

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def __repr__(self) -> str:
        inside = ",\n".join(f"    {name}={part!r}" for name, part in zip(self.names, self.parts, strict=True))
        return f"compose(\n{inside},\n)" + (f".assigning({self.chosen!r})" if self.chosen else "")

    def tree_flatten_with_keys(self) -> tuple[list[tuple[Any, Any]], Any]:
        """Children with the parts' names as keys."""
        keyed = [(jax.tree_util.DictKey(name), part) for name, part in zip(self.names, self.parts, strict=True)]
        return keyed, (self.names, self.chosen)

    @classmethod
    def tree_unflatten(cls, static: tuple[tuple[str, ...], str | None], parts: tuple[Any, ...]) -> Self:
        """The inverse."""
        names, chosen = static
        return cls(names, tuple(parts), chosen)


def _assigns(part: Any) -> bool:
    """Whether the part has an ``assign`` method other than the placeholder of ``Term``."""
    own = getattr(type(part), "assign", None)
    return own is not None and own is not Term.assign


def compose(**parts: Any) -> Dynamics:
    """A dynamics from named parts; the order of the arguments is the order of application.

    Within a step every part sees the tokens as they were at its start, and the displacements add up:
    `s_new = s + sum of the parts' displacements`. The published rule is
    ``compose(attract=attraction(...), repel=repulsion(...), inertia=inertia(...))``.

    Args:
        **parts: parts by name. Names become paths (``"attract.temperature"``) and labels, and seed each part's key.

    Returns:
        A ``Dynamics``: a pytree, to be passed as an *argument* to jitted functions.

    Raises:
        ValueError: no part, an object without an ``apply`` method, or a number outside the range its part declares.

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
    dynamics = Dynamics(tuple(parts), tuple(parts.values()))
    check_ranges(dynamics)
    return dynamics


class State(NamedTuple):
    """What the next step needs, and nothing else.

    Attributes:
        tokens: positions of the tokens `[K, D]`.
        memory: the memory of each part, in order.
        step: number of the next step `[]`.
    """

    tokens: jax.Array
    memory: tuple[Memory, ...]
    step: jax.Array


class Info(NamedTuple):
    """What diagnostics need from a step, and the next step does not.

    Attributes:
        displacement: tokens after the step minus tokens before it `[K, D]`.
        force: the part of it that a token at rest would feel `[K, D]`.
    """

    displacement: jax.Array
    force: jax.Array
