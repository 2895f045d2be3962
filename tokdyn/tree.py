"""Numbers inside a pytree, by dotted path: read them, replace them, take them apart and put them together.

The paths are the names a reader would write: ``"attract.temperature"`` for ``compose(attract=attraction(...))``. The
same paths label the axes of a sweep, the columns of a table and the sentences of an error.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from tokdyn import checks
from tokdyn.ranges import RANGE, Range
from tokdyn.typing import PyTree

T = TypeVar("T")


def path_of(keys: tuple[Any, ...]) -> str:
    """A JAX key path as a dotted name."""
    names = []
    for key in keys:
        for attribute in ("name", "key", "idx"):
            if hasattr(key, attribute):
                names.append(str(getattr(key, attribute)))
                break
    return ".".join(names)


def children(node: PyTree) -> list[tuple[str, Any]]:
    """What a node of a pytree holds, by name; nothing for a leaf."""
    if jax.tree_util.all_leaves([node]):
        return []
    inside, _ = jax.tree_util.tree_flatten_with_path(node, is_leaf=lambda inner: inner is not node)
    return [(path_of(keys), child) for keys, child in inside]


def values(tree: PyTree) -> dict[str, Any]:
    """All leaves by path.

    Args:
        tree: any pytree, for example a dynamics.

    Returns:
        ``{path: leaf}`` in flattening order.

    Example:
        >>> import tokdyn as td
        >>> {path: float(x) for path, x in td.values(td.compose(inertia=td.inertia(momentum=0.5))).items()}
        {'inertia.momentum': 0.5}
    """
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {path_of(keys): leaf for keys, leaf in leaves}


def with_values(tree: T, replacements: Mapping[str, Any]) -> T:
    """A copy with some leaves replaced; nothing is recompiled where only numbers change.

    Args:
        tree: any pytree.
        replacements: ``{path: new value}``, of leaves or of nodes that hold leaves (a schedule, a whole part). The new
            value may itself be a pytree, for example a schedule.

    Returns:
        A tree of the same type.

    Raises:
        ValueError: a path that the tree does not have, naming the nearest that it has; a number out of the range
            that its part declares.

    Example:
        >>> import tokdyn as td
        >>> dynamics = td.compose(attract=td.attraction(temperature=1.0))
        >>> float(td.with_values(dynamics, {"attract.temperature": 0.3})["attract"].temperature)
        0.3
    """
    _check_known(replacements, list(values(tree)), _inner_paths(tree))
    changed = _replaced(tree, "", {path: _one_dtype(value) for path, value in replacements.items()})
    check_ranges(changed)
    return changed


def _one_dtype(value: Any) -> Any:
    """Plain numbers as the factories store them, so that 2 and 2.0 are one compiled program."""
    return np.float64(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value


def split(tree: T, selected: Iterable[str]) -> tuple[T, T]:
    """Two trees of the same type: one holds the selected leaves, the other the rest, None in the gaps.

    So that one part can be trained or swept while the other is held: ``grad`` sees only the first.

    Args:
        tree: any pytree.
        selected: paths of leaves, or of whole parts (``"attract"`` takes all its leaves).

    Returns:
        ``(selected, rest)``; ``merge`` undoes it.

    Raises:
        ValueError: a path that the tree does not have.
    """
    wanted = list(selected)
    leaves, treedef = jax.tree_util.tree_flatten_with_path(tree)
    paths = [path_of(keys) for keys, _ in leaves]
    _check_known(wanted, paths, _inner_paths(tree))
    takes = [any(path == want or path.startswith(want + ".") for want in wanted) for path in paths]
    first = [leaf if take else None for take, (_, leaf) in zip(takes, leaves, strict=True)]
    second = [None if take else leaf for take, (_, leaf) in zip(takes, leaves, strict=True)]
    return jax.tree_util.tree_unflatten(treedef, first), jax.tree_util.tree_unflatten(treedef, second)


def merge(first: T, second: T) -> T:
    """The tree that ``split`` took apart.

    Args:
        first: a tree with None in some places.
        second: the same, with None in the others.

    Returns:
        A tree without gaps.
    """
    return jax.tree.map(lambda a, b: b if a is None else a, first, second, is_leaf=lambda leaf: leaf is None)


def unstacked(tree: T) -> list[T]:
    """The trees that were stacked along the leading axis of every leaf.

    Args:
        tree: leaves `[members, ...]`.

    Example:
        >>> import numpy as np
        >>> from tokdyn.tree import unstacked
        >>> unstacked({"a": np.arange(2)})[1]["a"].item()
        1
    """
    count = jax.tree.leaves(tree)[0].shape[0]
    return [jax.tree.map(lambda leaf, i=i: leaf[i], tree) for i in range(count)]


def ranges(tree: PyTree) -> dict[str, Range]:
    """The declared range of every number (``td.number``), by path.

    Example:
        >>> import tokdyn as td
        >>> td.tree.ranges(td.compose(inertia=td.inertia(momentum=0.5)))["inertia.momentum"].at_least
        0.0
    """
    return {path: limits for path, _, limits in _declared(tree)}


def check_ranges(tree: PyTree) -> None:
    """All numbers of a pytree whose range is declared (``td.number``), where they are known.

    Raises:
        ValueError: one that is out of range, naming its path.
    """
    for path, value, limits in _declared(tree):
        limits.checked(path, value)


def check_columns(tree: PyTree, columns: Mapping[str, Any]) -> None:
    """Many values of each path, as a sweep has them.

    Args:
        tree: any pytree.
        columns: `{path: [values]}`.

    Raises:
        ValueError: a path that the tree does not have, or a value out of the range that is declared there.
    """
    _check_known(columns, list(values(tree)), _inner_paths(tree))
    declared = ranges(tree)
    for path, column in columns.items():
        if path in declared:
            declared[path].checked(path, column)
        elif any(path.startswith(f"{outer}.") for outer in declared):  # a number of a schedule
            for value in np.unique(column):
                with_values(tree, {path: value})


def in_range(tree: PyTree) -> jax.Array:
    """Whether all numbers of a pytree whose range is declared lie in it `[]`, also where they are traced."""
    return jnp.all(jnp.array([limits.holds(value) for _, value, limits in _declared(tree)], bool))


def _declared(node: Any, path: str = "") -> Iterator[tuple[str, Any, Range]]:
    """``(path, value, range)`` of every declared number below a node; of a schedule as a whole, and of its own."""
    limits = {}
    if dataclasses.is_dataclass(node) and not isinstance(node, type):
        limits = {field.name: field.metadata[RANGE] for field in dataclasses.fields(node) if RANGE in field.metadata}
    for name, child in children(node):
        below = f"{path}.{name}" if path else name
        if name in limits and child is not None:
            yield below, child, limits[name]
        yield from _declared(child, below)


def _inner_paths(tree: Any) -> list[str]:
    """Paths of the nodes that hold leaves: the beginnings of the leaves' paths."""
    return sorted({path.rsplit(".", i)[0] for path in values(tree) for i in range(1, path.count(".") + 1)})


def _replaced(node: Any, path: str, new: Mapping[str, Any]) -> Any:
    """The node with everything below it that has a new value replaced."""
    if path in new:
        return new[path]
    if jax.tree_util.all_leaves([node]):
        return node
    children, treedef = jax.tree_util.tree_flatten_with_path(node, is_leaf=lambda inner: inner is not node)
    named = [(f"{path}.{path_of(keys)}" if path else path_of(keys), child) for keys, child in children]
    return jax.tree_util.tree_unflatten(treedef, [_replaced(child, name, new) for name, child in named])


def _check_known(wanted: Iterable[str], leaves: list[str], inner: list[str]) -> None:
    known = [*leaves, *inner]
    for path in wanted:
        if path not in known:
            near = checks.nearest(path, known)
            hint = f"; did you mean {near!r}?" if near else ""
            raise checks.bad("path", f"one of {', '.join(leaves)}", f"{path!r}{hint}")
