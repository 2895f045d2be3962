"""Many runs at once: ``vmap`` semantics, executed in the shape that is fast on the device at hand."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp

from tokdyn import checks
from tokdyn.solve.lanes import largest_array

Output = TypeVar("Output")

# Measured on CPU (benchmarks/README.md, "Lanes and blocks"): a block's arrays must stay in cache; the more runs a block
# holds, the longer all lanes of its loop stay busy.
MOST_AT_ONCE = 64
BLOCK_BYTES = 1 << 22


def vmap(fn: Callable[..., Output], in_axes: Any = 0, *, batch_size: int | None = None) -> Callable[..., Output]:
    """``jax.vmap`` in meaning; on CPU a loop over fixed blocks, on GPU and TPU plain ``jax.vmap``.

    Plain ``jax.vmap`` of a run gives correct results everywhere, but on CPU its arrays soon exceed the cache. All
    blocks have the same size (the last is padded by repetition), so that only one body is compiled. Within a block,
    runs take turns in the lanes of ``run``'s loop, so that none waits for the slowest. Outside jit every call compiles
    again, because there is no way to know whether what ``fn`` closes over has changed: jit the whole function.

    Args:
        fn: any function of arrays.
        in_axes: as in ``jax.vmap``: 0 or None, or a tuple of these or of pytree prefixes, one for each argument.
        batch_size: size of a block; by default at most 64 on CPU, fewer if arrays are large, and everything on other
            devices. It affects only the rounding of the last digits, since XLA compiles for the shape; if you set it,
            the digits do not depend on the number of runs, provided there is at least one full block.

    Returns:
        A function of positional arguments; its mapped leaves have a leading axis, and so do its outputs.

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
        if batch_size is None and jax.default_backend() != "cpu":
            return jax.vmap(fn, in_axes)(*arguments)
        axes = in_axes if isinstance(in_axes, (tuple, list)) else (in_axes,) * len(arguments)
        if len(axes) != len(arguments):
            raise checks.bad("in_axes", f"one entry for each of the {len(arguments)} arguments", len(axes))
        leaves, treedef = jax.tree.flatten(arguments)
        # An axis stands for a whole subtree of its argument. None is an axis here, but JAX does not treat it as a leaf.
        spread = jax.tree.map(
            lambda axis, argument: jax.tree.map(lambda _: _Axis(axis), argument),
            tuple(axes),
            arguments,
            is_leaf=lambda axis: axis is None,
        )
        leaf_axes = [marked.axis for marked in jax.tree.leaves(spread)]
        return _in_blocks(fn, treedef, leaves, leaf_axes, batch_size)

    return mapped


@dataclasses.dataclass(frozen=True)
class _Axis:
    """One entry of in_axes, wrapped so that None survives as a leaf."""

    axis: Any


def _in_blocks(fn: Callable[..., Any], treedef: Any, leaves: list[Any], axes: list[Any], size: int | None) -> Any:
    """``vmap`` of fn over blocks of the given size, one after another; None chooses the best size."""
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

    @jax.jit  # so that fn is traced only once, for measuring its arrays and for running its blocks
    def call(*mapped_leaves: Any) -> Any:
        remaining = iter(mapped_leaves)
        full = [next(remaining) if axis == 0 else leaf for leaf, axis in zip(leaves, axes, strict=True)]
        return fn(*jax.tree.unflatten(treedef, full))

    moving = [jnp.asarray(leaf) for leaf, axis in zip(leaves, axes, strict=True) if axis == 0]
    if size is None:
        one = [jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype) for leaf in moving]
        size = _best_size(length, largest_array(jax.make_jaxpr(call)(*one)))
    if size == 1:  # no vmap: an axis of length 1 keeps the compiler from using its fastest products
        return jax.lax.map(lambda rows: call(*rows), tuple(moving))
    if length <= size:
        return jax.vmap(call)(*moving)

    def block(number: jax.Array) -> Any:
        # The last block repeats the last element: valid computations on real data, dropped below.
        rows = jnp.minimum(number * size + jnp.arange(size), length - 1)
        return jax.vmap(call)(*(leaf[rows] for leaf in moving))

    num_blocks = -(-length // size)
    stacked = jax.lax.map(block, jnp.arange(num_blocks))
    return jax.tree.map(lambda x: x.reshape(num_blocks * size, *x.shape[2:])[:length], stacked)


def _best_size(length: int, largest: int) -> int:
    """The number of runs in a block, from the bytes of the largest array of one run."""
    most = max(1, min(MOST_AT_ONCE, BLOCK_BYTES // max(largest, 1)))
    if length <= most:
        return length
    if most < 16:
        return most
    # A slightly smaller size may leave fewer repetitions in the last block.
    sizes = range(most // 16 * 16, most // 2, -16)
    return min(sizes, key=lambda size: (-(-length // size) * size, -size))
