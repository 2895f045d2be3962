"""Many runs at once: ``vmap`` semantics, executed in the shape that is fast on the device at hand."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp

from tokdyn import checks

Output = TypeVar("Output")

# Measured on CPU (DESIGN section 6): blocks of 8-16 keep a block's arrays in cache, and let a block stop early while
# others go on; a whole batch in one while_loop waits for its slowest lane.
CPU_BLOCK = 16


def vmap(fn: Callable[..., Output], in_axes: Any = 0, *, batch_size: int | None = None) -> Callable[..., Output]:
    """``jax.vmap`` in meaning; on CPU a loop over fixed blocks, on GPU and TPU plain ``jax.vmap``.

    Plain ``jax.vmap`` of a run is right everywhere. On CPU it is slower: one batch leaves the cache, and every run
    waits for the slowest. All blocks have one size (the last is filled by repetition), so there is one compiled body,
    and from one block on the numbers do not depend on how many runs there are. Called outside jit it compiles at every
    call, since nobody can know whether what ``fn`` closes over is still the same: jit it as a whole.

    Args:
        fn: any function of arrays.
        in_axes: as in ``jax.vmap``: 0 or None, or a tuple of these or of pytree prefixes, one for each argument.
        batch_size: size of a block; by default 16 on CPU and everything on other devices. It decides rounding in the
            last digits (XLA compiles for the shape), nothing else.

    Returns:
        A function of positional arguments whose mapped leaves have a leading axis, and so have its outputs.

    Raises:
        ValueError: no mapped argument, or leading axes that differ.

    Example:
        >>> import jax, tokdyn as td
        >>> dynamics = td.catalog.soft_kmeans()
        >>> features = jax.random.normal(jax.random.key(0), (100, 2))
        >>> fit = lambda key: td.run(dynamics, key, features, num_tokens=3, max_steps=50, tol=1e-3)
        >>> jax.jit(td.vmap(fit))(jax.random.split(jax.random.key(1), 40)).tokens.shape
        (40, 3, 2)
    """
    if batch_size is not None:
        batch_size = checks.whole_number("batch_size", batch_size, at_least=1)

    @functools.wraps(fn)
    def mapped(*arguments: Any) -> Any:
        size = batch_size
        if size is None:
            if jax.default_backend() != "cpu":
                return jax.vmap(fn, in_axes)(*arguments)
            size = CPU_BLOCK
        axes = in_axes if isinstance(in_axes, (tuple, list)) else (in_axes,) * len(arguments)
        if len(axes) != len(arguments):
            raise checks.bad("in_axes", f"one entry for each of the {len(arguments)} arguments", len(axes))
        leaves, treedef = jax.tree.flatten(arguments)
        # An axis stands for a whole subtree of its argument; None, which is an axis here, is no leaf to JAX.
        spread = jax.tree.map(
            lambda axis, argument: jax.tree.map(lambda _: _Axis(axis), argument),
            tuple(axes),
            arguments,
            is_leaf=lambda axis: axis is None,
        )
        leaf_axes = [marked.axis for marked in jax.tree.leaves(spread)]
        return _in_blocks(fn, treedef, leaves, leaf_axes, size)

    return mapped


@dataclasses.dataclass(frozen=True)
class _Axis:
    """One entry of in_axes, wrapped so that None survives as a leaf."""

    axis: Any


def _in_blocks(fn: Callable[..., Any], treedef: Any, leaves: list[Any], axes: list[Any], size: int) -> Any:
    """``vmap`` of fn over blocks of that size, one after another."""
    lengths = set()
    for leaf, axis in zip(leaves, axes, strict=True):
        if axis not in (0, None):
            raise checks.bad("in_axes", "entries 0 or None", axis)
        if axis == 0:
            if jnp.ndim(leaf) == 0:
                raise checks.bad(
                    "arguments",
                    "mapped leaves with a leading axis (to map over one number of a dynamics, map over the number and "
                    "call td.with_values inside)",
                    "a scalar",
                )
            lengths.add(leaf.shape[0])
    if len(lengths) != 1:
        got = "no mapped argument" if not lengths else f"leading axes {sorted(lengths)}"
        raise checks.bad("arguments", "mapped leaves that share one leading axis", got)
    (length,) = lengths
    if length == 0:
        raise checks.bad("arguments", "at least one element along the mapped axis", 0)

    def call(*mapped_leaves: Any) -> Any:
        remaining = iter(mapped_leaves)
        full = [next(remaining) if axis == 0 else leaf for leaf, axis in zip(leaves, axes, strict=True)]
        return fn(*jax.tree.unflatten(treedef, full))

    moving = [jnp.asarray(leaf) for leaf, axis in zip(leaves, axes, strict=True) if axis == 0]
    if length <= size:
        return jax.vmap(call)(*moving)

    def block(number: jax.Array) -> Any:
        # The last block repeats the last element: real work on real numbers, dropped below.
        rows = jnp.minimum(number * size + jnp.arange(size), length - 1)
        return jax.vmap(call)(*(leaf[rows] for leaf in moving))

    num_blocks = -(-length // size)
    stacked = jax.lax.map(block, jnp.arange(num_blocks))
    return jax.tree.map(lambda x: x.reshape(num_blocks * size, *x.shape[2:])[:length], stacked)
