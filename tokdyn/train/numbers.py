"""The numbers of a dynamics as weights: what ``fit`` trains when it is given a dynamics, or any pytree of numbers.

Each number is trained on the whole real line and mapped to the range that its part declares (``td.number``), so that,
for example, a temperature stays positive whatever the optimiser does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from tokdyn import checks
from tokdyn.dynamics.parts import part, static
from tokdyn.ranges import Range
from tokdyn.tree import ranges, values, with_values
from tokdyn.typing import PyTree

TreeType = TypeVar("TreeType")
Objective = Callable[[Any, Any, jax.Array], Any]


@part
class Numbers:
    """A pytree some of whose numbers are weights: a model for ``fit``.

    Attributes:
        tree: the pytree, whose numbers are the starting values.
        paths: paths of the numbers that are trained (static).
    """

    tree: Any
    paths: tuple[str, ...] = static()

    def init(self, key: jax.Array | None) -> dict[str, Any]:
        """The initial weights, independent of the key: ``{path: number on the real line}``."""
        leaves, limits = values(self.tree), ranges(self.tree)
        return {"params": {path: to_line(leaves[path], limits.get(path, Range())) for path in self.paths}, "state": {}}

    def apply(self, variables: dict[str, Any], **_: Any) -> tuple[Any, dict[str, Any]]:
        """The pytree with the trained numbers, and an empty state."""
        limits = ranges(self.tree)
        trained = {path: from_line(u, limits.get(path, Range())) for path, u in variables["params"].items()}
        return with_values(self.tree, trained), {}


def numbers(tree: PyTree, paths: Sequence[str] | None = None) -> Numbers:
    """A pytree whose numbers ``fit`` can train.

    Args:
        tree: a dynamics, or any pytree of numbers.
        paths: paths of the numbers to train; by default all floating-point ones in the interior of their range. A
            number at the edge of its range, such as a repulsion of strength 0, cannot be moved by its gradient.

    Returns:
        A model for ``td.train.fit``.

    Raises:
        ValueError: an unknown path, a number at the edge of its range, or nothing to train.

    Example:
        >>> import tokdyn as td
        >>> model = td.train.numbers(td.catalog.repelled(), ["attract.temperature", "repel.strength"])
        >>> dynamics, _ = model.apply(model.init(None))
        >>> round(float(dynamics["repel"].strength), 6)
        0.05
    """
    leaves, limits = values(tree), ranges(tree)
    floats = [path for path, leaf in leaves.items() if jnp.issubdtype(jnp.result_type(leaf), jnp.floating)]
    if paths is None:
        chosen = [path for path in floats if not _is_edge(leaves[path], limits.get(path, Range()))]
    else:
        if isinstance(paths, str):
            raise checks.bad("paths", "a list of paths", repr(paths))
        chosen = list(paths)
        for path in chosen:
            if path not in leaves:
                with_values(tree, {path: 0.0})  # raises an error that lists the paths
                raise checks.bad(path, "the path of one number", "a part that holds several")
            if path not in floats:
                raise checks.bad(path, "a floating-point number", checks.describe_array(leaves[path]))
            if _is_edge(leaves[path], limits.get(path, Range())):
                raise checks.bad(path, "a start inside its range, where a gradient can move it", leaves[path])
    if not chosen:
        raise checks.bad("paths", "at least one number to train", "none")
    return Numbers(tree, tuple(chosen))


def _is_edge(value: Any, limits: Range) -> bool:
    """Whether a number is known, and at the edge of its range, which no point of the real line is mapped to."""
    if not checks.is_concrete(value):
        return False
    numbers, lowest = np.asarray(value), max(limits.above, limits.at_least)
    return bool(np.any((numbers <= lowest) | (numbers >= limits.below) | ~np.isfinite(numbers)))


def to_line(value: float | jax.Array, limits: Range) -> jax.Array:
    r"""The point of the real line that is mapped to a value.

    Args:
        value: a value in the interior of its range.
        limits: the range.

    Returns:
        `u` such that `value` is `u` if there are no limits, `a + softplus(u)` above `a`, `b - softplus(u)` below `b`,
        and `a + (b - a) sigmoid(u)` between `a` and `b`.
    """
    lowest, highest = max(limits.above, limits.at_least), limits.below
    value = jnp.asarray(value, jnp.result_type(float) if jnp.ndim(value) == 0 else None)
    if math.isfinite(lowest) and math.isfinite(highest):
        share = (value - lowest) / (highest - lowest)
        return jnp.log(share) - jnp.log1p(-share)
    if math.isfinite(lowest):
        return _inverse_softplus(value - lowest)
    if math.isfinite(highest):
        return _inverse_softplus(highest - value)
    return value


def from_line(u: jax.Array, limits: Range) -> jax.Array:
    """The inverse of ``to_line``."""
    lowest, highest = max(limits.above, limits.at_least), limits.below
    if math.isfinite(lowest) and math.isfinite(highest):
        return lowest + (highest - lowest) * jax.nn.sigmoid(u)
    if math.isfinite(lowest):
        return lowest + jax.nn.softplus(u)
    if math.isfinite(highest):
        return highest - jax.nn.softplus(u)
    return u


def _inverse_softplus(value: jax.Array) -> jax.Array:
    return value + jnp.log(-jnp.expm1(-value))  # log(exp(x) - 1) without overflow


def trained(tree: TreeType, variables: dict[str, Any]) -> TreeType:
    """A dynamics, or any pytree of numbers, with the numbers that ``fit`` has trained.

    Args:
        tree: the pytree that was passed to ``fit``.
        variables: ``variables`` of the ``Fit``.

    Example:
        >>> import jax, jax.numpy as jnp, tokdyn as td
        >>> dynamics = td.compose(inertia=td.inertia(momentum=0.2))
        >>> def objective(dynamics, batch, key):
        ...     return (dynamics["inertia"].momentum - 0.7) ** 2
        >>> fit = td.train.fit(dynamics, objective, {"x": jnp.zeros(1)}, key=jax.random.key(0), num_steps=300,
        ...                    hyper={"learning_rate": 0.05})
        >>> round(float(td.train.trained(dynamics, fit.variables)["inertia"].momentum), 2)
        0.7
    """
    made: TreeType = Numbers(tree, tuple(variables["params"])).apply(variables)[0]
    return made


def as_loss(objective: Objective) -> Callable[..., Any]:
    """Convert ``(tree, batch, key) -> loss``, or ``-> (loss, metrics)``, to the form of loss that ``fit`` minimises."""

    def loss(model: Numbers, variables: Any, batch: Any, key: jax.Array) -> Any:
        told = objective(model.apply(variables)[0], batch, key)
        value, metrics = told if isinstance(told, tuple) else (told, {})
        return value, ({}, metrics)

    return loss


def as_evaluate(evaluate: Callable[..., Any] | None) -> Callable[..., Any] | None:
    """Convert ``(tree, key) -> {name: []}`` to the form that ``fit`` calls at every record."""
    if evaluate is None:
        return None
    return lambda model, variables, key: evaluate(model.apply(variables)[0], key)
