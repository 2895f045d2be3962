"""A loop over many runs, each until it is done: when the run in a lane stops, the next run takes over the lane.

``jax.vmap`` of a ``while_loop`` continues until its slowest element has stopped, and keeps computing all the others
until then. Here only a few runs are computed side by side, in *lanes*; the remaining runs wait, and take the places of
those that have finished. The time is then proportional to the total number of steps, however long the longest run is.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap

from tokdyn.typing import PyTree

Carry = Any
Inputs = Any
Going = Callable[[Carry, Inputs], jax.Array]
Advance = Callable[[Carry, Inputs], Carry]
Together = Callable[[int, Any, Carry, Inputs], Carry]

# Measured on CPU (benchmarks/README.md, "Lanes and blocks"): 16 lanes keep the processor's wide registers busy, as long
# as the data of a step stays in the second-level cache.
MOST_LANES = 16
LANE_BYTES = 1 << 18


def while_each(
    going: Going, advance: Advance, carry: Carry, inputs: Inputs, *, together: Together | None = None
) -> Carry:
    """``while going(carry, inputs): carry = advance(carry, inputs)``, whose ``vmap`` works in lanes on CPU.

    On other devices ``vmap`` behaves as for ``while_loop``, unless ``together`` provides a program for many runs.

    Args:
        going: ``(carry, inputs) -> bool []``.
        advance: ``(carry, inputs) -> carry``.
        carry: any pytree of arrays.
        inputs: any pytree of arrays, the same at every step; it must contain everything that differs between runs.
        together: ``(size, is_mapped, carry, inputs) -> carry``, what ``vmap`` does instead: ``is_mapped`` has the
            structure of ``(carry, inputs)`` and says which leaves have a leading axis of that size.

    Returns:
        The last carry. Forward-mode differentiation works.
    """
    leaves, treedef = jax.tree.flatten(inputs)

    def plain(carry: Carry, leaves: list[jax.Array]) -> Carry:
        inputs = jax.tree.unflatten(treedef, leaves)
        return jax.lax.while_loop(lambda c: going(c, inputs), lambda c: advance(c, inputs), carry)

    batching = custom_vmap(lambda carry, leaves: plain(carry, leaves))

    @batching.def_vmap
    def in_lanes(size: int, is_mapped: Any, carry: Carry, leaves: list[jax.Array]) -> tuple[Carry, Any]:
        mapped_carry, mapped_leaves = is_mapped
        if together is not None:
            mapped = mapped_carry, jax.tree.unflatten(treedef, mapped_leaves)
            ended = together(size, mapped, carry, jax.tree.unflatten(treedef, leaves))
        elif jax.default_backend() == "cpu":
            loop = _Runs(going, advance, treedef, size, tuple(1 if mapped else None for mapped in mapped_leaves))
            ended = loop(_mapped_everywhere(carry, mapped_carry, size), leaves)
        else:
            axes = jax.tree.map(lambda mapped: 0 if mapped else None, (mapped_carry, mapped_leaves))
            ended = jax.vmap(plain, axes)(carry, leaves)
        return ended, jax.tree.map(lambda _: True, ended)

    # Derivatives pass through the plain loop: custom_vmap would hide from reverse mode which parts are known.
    differentiable = jax.custom_jvp(lambda carry, leaves: batching(carry, leaves))
    differentiable.defjvp(lambda primals, tangents: jax.jvp(plain, primals, tangents))
    return differentiable(carry, leaves)


def as_varying(tree: PyTree, inputs: PyTree) -> Any:
    """The tree, marked as differing between devices wherever the inputs do.

    Inside ``shard_map`` the carry of a loop must start with the type it ends with, and constants are typed as equal on
    all devices.
    """
    never = jnp.zeros((), bool)
    for leaf in jax.tree.leaves((tree, inputs)):
        never = never | (jnp.any(jnp.ravel(leaf)[:1] != jnp.ravel(leaf)[:1]) & False)
    return jax.tree.map(lambda x: jnp.where(never, x, x), tree)


def _mapped_everywhere(tree: Any, is_mapped: Any, size: int) -> Any:
    return jax.tree.map(lambda mapped, x: x if mapped else jnp.broadcast_to(x, (size, *jnp.shape(x))), is_mapped, tree)


@dataclasses.dataclass(frozen=True)
class _Runs:
    """The loop over several runs `[R]`, as a function of all carries and of the leaves of the inputs.

    Attributes:
        going: as in ``while_each``.
        advance: as in ``while_each``.
        treedef: tree structure of the inputs.
        size: number of runs.
        repeats: for each leaf, None if all runs share it; otherwise ``n``, which means that each row of the leaf serves
            ``n`` consecutive runs, starting over after the last row. Thus a vmap of a vmap is one loop over all pairs,
            and a leaf that only one of the two maps is not copied for the other.
    """

    going: Going
    advance: Advance
    treedef: Any
    size: int
    repeats: tuple[int | None, ...]

    def __call__(self, carry: Carry, leaves: list[jax.Array]) -> Carry:
        """Run all runs to their end; ``vmap`` of this is the same loop for more runs."""
        batching = custom_vmap(lambda carry, leaves: self._run(carry, leaves))

        @batching.def_vmap
        def merged(size: int, is_mapped: Any, carry: Carry, leaves: list[jax.Array]) -> tuple[Carry, Any]:
            mapped_carry, mapped_leaves = is_mapped
            carry = _mapped_everywhere(carry, mapped_carry, size)
            repeats, merged_leaves = [], []
            for leaf, mapped, repeat in zip(leaves, mapped_leaves, self.repeats, strict=True):
                if mapped and repeat is not None:
                    # Each row serves as many runs as before the new axis was added.
                    leaf = leaf[:, jnp.arange(self.size // repeat) % leaf.shape[1]].reshape(-1, *leaf.shape[2:])
                merged_leaves.append(leaf)
                repeats.append(self.size if mapped and repeat is None else repeat)
            more = _Runs(self.going, self.advance, self.treedef, size * self.size, tuple(repeats))
            ended = more(jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), carry), merged_leaves)
            ended = jax.tree.map(lambda x: x.reshape(size, -1, *x.shape[1:]), ended)
            return ended, jax.tree.map(lambda _: True, ended)

        return batching(carry, leaves)

    def _run(self, carry: Carry, leaves: list[jax.Array]) -> Carry:
        own = [(leaf, repeat) for leaf, repeat in zip(leaves, self.repeats, strict=True) if repeat is not None]

        def rows(run: jax.Array) -> list[jax.Array]:
            """The leaves that a run, or each of several runs, does not share with the others."""
            return [leaf[run // repeat % leaf.shape[0]] for leaf, repeat in own]

        def inputs_of(own_leaves: list[jax.Array]) -> Inputs:
            remaining = iter(own_leaves)
            pairs = zip(leaves, self.repeats, strict=True)
            return jax.tree.unflatten(
                self.treedef, [leaf if repeat is None else next(remaining) for leaf, repeat in pairs]
            )

        def going(carry: Carry, own_leaves: list[jax.Array]) -> jax.Array:
            return self.going(carry, inputs_of(own_leaves))

        def advance(carry: Carry, own_leaves: list[jax.Array]) -> Carry:
            return self.advance(carry, inputs_of(own_leaves))

        def alone(carry: Carry, own_leaves: list[jax.Array]) -> Carry:
            return jax.lax.while_loop(lambda c: going(c, own_leaves), lambda c: advance(c, own_leaves), carry)

        lanes = _num_lanes(advance, jax.tree.map(lambda x: x[0], carry), [leaf[0] for leaf, _ in own])
        if lanes == 1 or self.size == 1:
            numbered = (carry, jnp.arange(self.size))
            return jax.lax.map(lambda run: alone(run[0], rows(run[1])), numbered)
        if self.size <= lanes:
            return jax.vmap(alone)(carry, rows(jnp.arange(self.size)))
        return _refilled(going, advance, carry, rows, self.size, lanes)


def _num_lanes(advance: Advance, carry: Carry, inputs: Any) -> int:
    """The number of lanes, a power of two, from the largest array of one run's step."""
    largest = largest_array(jax.make_jaxpr(advance)(carry, inputs))
    lanes = MOST_LANES
    while lanes > 1 and lanes * largest > LANE_BYTES:
        lanes //= 2
    return lanes


def largest_array(jaxpr: Any) -> int:
    """Bytes of the largest array that a jaxpr takes or computes, not counting what it closes over."""
    jaxpr = getattr(jaxpr, "jaxpr", jaxpr)
    return max((_num_bytes(variable.aval) for variable in (*jaxpr.invars, *_computed(jaxpr))), default=0)


def _computed(jaxpr: Any) -> Iterator[Any]:
    """The variables of all equations, inner jaxprs included."""
    for equation in jaxpr.eqns:
        yield from equation.outvars
        for parameter in jax.tree.leaves(equation.params, is_leaf=_is_jaxpr):
            if _is_jaxpr(parameter):
                yield from _computed(getattr(parameter, "jaxpr", parameter))


def _is_jaxpr(value: Any) -> bool:
    return hasattr(value, "eqns") or hasattr(getattr(value, "jaxpr", None), "eqns")


def _num_bytes(aval: Any) -> int:
    return int(getattr(aval, "size", 0)) * int(getattr(getattr(aval, "dtype", None), "itemsize", 0))


def _refilled(
    going: Going,
    advance: Advance,
    carry: Carry,
    rows: Callable[[jax.Array], list[jax.Array]],
    num_runs: int,
    num_lanes: int,
) -> Carry:
    """The loop over all runs `[R, ...]`, of which there are more than lanes.

    Args:
        going: ``(carry, own) -> bool``, for one run.
        advance: ``(carry, own) -> carry``, for one run.
        carry: the carries of all runs.
        rows: maps the number of one or of several runs to ``own``, the leaves that runs do not share.
        num_runs: R.
        num_lanes: L, less than R.
    """
    is_going, next_step = jax.vmap(going), jax.vmap(advance)

    def until_one_stops(filled: tuple[Any, ...]) -> tuple[Any, ...]:
        carried, own, run, loaded, ended = filled  # run [L]: the run in each lane; R or more for none
        has_run = run < num_runs
        # An empty lane is still computed, but its result is never used.
        carried, still = jax.lax.while_loop(
            lambda moving: jnp.all(moving[1] | ~has_run),
            lambda moving: ((after := next_step(moving[0], own)), is_going(after, own)),
            (carried, is_going(carried, own)),
        )
        stopped = has_run & ~still
        place = jnp.where(stopped, run, num_runs)  # out of range: dropped
        ended = jax.tree.map(lambda all_of, x: all_of.at[place].set(x, mode="drop"), ended, carried)
        rank = jnp.cumsum(stopped) - 1  # first, second, ... of those that stopped
        run = jnp.where(stopped, loaded + rank, run)
        row = jnp.minimum(run, num_runs - 1)
        carried = jax.tree.map(
            lambda now, all_of: jnp.where(stopped.reshape(-1, *[1] * (now.ndim - 1)), all_of[row], now), carried, carry
        )

        def load(number: jax.Array, own: list[jax.Array]) -> list[jax.Array]:
            """Load one lane at a time: these leaves are large, and most lanes keep theirs."""
            lane = jnp.argmax(stopped & (rank == number))
            new = rows(row[lane])
            return [jax.lax.dynamic_update_index_in_dim(x, y, lane, 0) for x, y in zip(own, new, strict=True)]

        num_stopped = jnp.sum(stopped)
        own = jax.lax.fori_loop(0, jnp.minimum(num_stopped, num_runs - loaded), load, own)
        return carried, own, run, jnp.minimum(loaded + num_stopped, num_runs), ended

    run = jnp.arange(num_lanes)
    first, own = jax.tree.map(lambda x: x[:num_lanes], carry), rows(run)
    run, loaded = as_varying((run, jnp.asarray(num_lanes)), (carry, own))
    filled = (first, own, run, loaded, carry)
    return jax.lax.while_loop(lambda f: jnp.any(f[2] < num_runs), until_one_stops, filled)[-1]
