"""Numbers inside a pytree, by dotted path: read them, replace them, take them apart and put them together.

The paths are the names a reader would write: ``"attract.temperature"`` for ``compose(attract=attraction(...))``. The
same paths label the axes of a sweep, the columns of a table and the sentences of an error.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import jax
import numpy as np

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


def values(tree: Any) -> dict[str, Any]:
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
        ValueError: a path that the tree does not have, naming the nearest that it has.

    Example:
        >>> import tokdyn as td
        >>> dynamics = td.compose(attract=td.attraction(temperature=1.0))
        >>> float(td.with_values(dynamics, {"attract.temperature": 0.3})["attract"].temperature)
        0.3
    """
    _check_known(replacements, list(values(tree)), _inner_paths(tree))
    return _replaced(tree, "", {path: _one_dtype(value) for path, value in replacements.items()})


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
            near = difflib.get_close_matches(path, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"path: expected one of {', '.join(leaves)}, got {path!r}{hint}")
