"""All steps of many runs in one GPU kernel, for the common composition: attraction, repulsion, inertia in float32.

The plain loop launches several small kernels per step and, under ``vmap``, continues until the slowest run is done.
Here a run is one program of a Pallas kernel (Triton, NVIDIA GPUs): it reads its features into registers once, loops
over the steps there, stops independently of other runs, and writes only its final state. ``supports`` says for which
runs that is possible; the numbers are those of ``loop.until_rest`` up to rounding. ``vmap`` of ``run`` uses the kernel
automatically where it can; the environment variable ``TOKDYN_FUSED=0`` turns it off.

The kernel is tested in Pallas' interpret mode, and its code compiles for sm_90; it has not run on a GPU yet, so its
speed is unknown.
"""

from __future__ import annotations

import dataclasses
import functools
import os
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from numpy.typing import ArrayLike

from tokdyn.dynamics import arrangement, tiles
from tokdyn.dynamics.attraction import Attraction, Layout
from tokdyn.dynamics.base import Context, Dynamics, Memory, State
from tokdyn.dynamics.inertia import Inertia
from tokdyn.dynamics.repulsion import Repulsion
from tokdyn.dynamics.schedules import schedules
from tokdyn.solve.stepping import Progress

# Vectors by dimension: Triton has no slices of arrays in registers, so `[K, D]` is a tuple of D arrays `[K]`.
Columns = tuple[jax.Array, ...]

# A thread of an NVIDIA GPU has 255 registers; what does not fit is spilled to memory, which is slow. Up to this number,
# as _num_warps counts, ptxas (sm_90, from Triton 3.9) spilled nothing at 11 shapes of up to 8 dimensions, most of them
# near the limit.
REGISTERS = 208
# Triton's compile time grows with a high power of the number of loads, one per dimension: 3 s for 8 dimensions, 15 s
# for 16, many minutes for 100.
MAX_DIMENSIONS = 8
WARP = 32
MAX_WARPS = 8


def is_available() -> bool:
    """Whether the kernel is enabled and the default device can run it: an NVIDIA GPU of capability 8.0 or higher."""
    if os.environ.get("TOKDYN_FUSED") == "0" or jax.default_backend() != "gpu":
        return False
    capability = str(getattr(jax.devices()[0], "compute_capability", ""))
    if not capability.replace(".", "").isdigit() or float(capability) < 8.0:
        return False  # AMD devices have other names
    try:
        from jax.experimental.pallas import triton  # noqa: F401
    except ImportError:  # jax 0.12 announces the removal of this Pallas backend
        return False
    return True


def supports(
    dynamics: Dynamics, contexts: tuple[Context, ...], state: State, token_mask: jax.Array | None = None
) -> bool:
    """Whether ``run_fused`` can compute this run, judged from what is known while tracing.

    It supports one attraction with products and at most one repulsion and one inertia, in any order. All numbers must
    be float32 and constant over the steps, all tokens must exist (features may be masked), and the sizes must fit into
    a GPU's registers.

    Args:
        dynamics: the dynamics of one run, cast to the features' dtype.
        contexts: what ``stepping.prepare`` returned for it.
        state: the state that the run starts from.
        token_mask: which tokens exist `[K]`, or None for all.

    Returns:
        True or False; nothing is computed.
    """
    kinds = [type(part) for part in dynamics.parts]  # exact types: a subclass may move tokens differently
    if not {Attraction} <= set(kinds) <= {Attraction, Repulsion, Inertia} or len(set(kinds)) != len(kinds):
        return False
    attract = dynamics.parts[kinds.index(Attraction)]
    layout = contexts[kinds.index(Attraction)]
    if schedules(dynamics) or attract.distances != "product":
        return False
    if not isinstance(layout.features, arrangement.Columns):
        return False
    if token_mask is not None or layout.exists is not None:
        return False
    if getattr(jax.typeof(state.tokens), "vma", None):
        return False  # inside shard_map, where a kernel would have to say over which devices its outputs vary
    numbers = jax.tree.leaves(dynamics)
    if any(jnp.ndim(number) for number in numbers):
        return False
    floats = jax.tree.leaves((numbers, contexts, state.tokens, state.memory))
    if any(jnp.result_type(leaf) != jnp.float32 for leaf in floats):
        return False
    num_tokens, num_dimensions = state.tokens.shape
    return _num_warps(num_tokens, num_dimensions, layout.features.values.shape[1]) is not None


def _num_warps(num_tokens: int, num_dimensions: int, num_features: int) -> int | None:
    """The smallest number of warps with which the arrays of a run stay in registers, or None.

    Fewer warps are better, because a reduction within one warp need not wait for others, and many runs fill the device
    anyway. A thread holds the components of its share of the features, about one number for each component of a token,
    and either two `[K, N]` arrays (the weights, and their product with a component) or the pairs of tokens.
    """
    num_tokens, num_features = _power_of_two(num_tokens), _power_of_two(num_features)
    warps = 1
    while warps <= MAX_WARPS and num_dimensions <= MAX_DIMENSIONS:
        features, pairs = (max(size // (WARP * warps), 1) for size in (num_features, num_tokens**2))
        held = features * (num_dimensions + 1) + num_tokens * num_dimensions
        if held + max(2 * features * num_tokens, pairs * (num_dimensions + 2)) <= REGISTERS:
            return warps
        warps *= 2
    return None


def _power_of_two(size: int) -> int:
    """The smallest power of two that is at least a size: Triton supports no other sizes."""
    return 1 << (size - 1).bit_length()


def run_fused(
    dynamics: Dynamics,
    state: State,
    contexts: tuple[Context, ...],
    tol: ArrayLike,
    min_steps: ArrayLike,
    *,
    batched: Any,
    num_runs: int,
    max_steps: int,
    stop: str,
    num_warps: int | None = None,
    interpret: bool = False,
) -> Progress:
    """Run many runs that ``supports`` has accepted, and return what ``loop.until_rest`` carries at the end of each.

    Args:
        dynamics: as in ``loop.until_rest``, but any leaf may have a leading axis `[R]`.
        state: likewise.
        contexts: likewise; features shared by all runs are read by each, not copied.
        tol: likewise.
        min_steps: likewise.
        batched: which leaves have that axis: a pytree of bools with the structure of
            ``(dynamics, state, contexts, tol, min_steps)``.
        num_runs: R (static).
        max_steps: maximal number of steps (static).
        stop: ``"displacement"`` or ``"residual"`` (static).
        num_warps: number of warps per run, a power of two (static); by default the number that ``supports`` assumes.
        interpret: run the kernel's operations one by one on any device, for tests (static).

    Returns:
        A ``Progress`` whose leaves have a leading axis `[R]`.
    """
    from jax.experimental import pallas as pl
    from jax.experimental.pallas import triton

    kinds = [type(part) for part in dynamics.parts]
    where = kinds.index(Attraction)
    num_tokens, num_dimensions = state.tokens.shape[-2:]
    num_features = contexts[where].features.values.shape[-1]
    sizes = _Sizes(num_tokens, num_dimensions)

    # Pad with zeros to powers of two. A feature of zeros has no mass, like a masked one; the kernel masks padded
    # tokens.
    tokens, memory = jax.tree.map(lambda x: _padded(x, -2), (state.tokens, state.memory))
    layout = contexts[where]._replace(features=arrangement.Columns(_padded(contexts[where].features.values, -1)))
    contexts = (*contexts[:where], layout, *contexts[where + 1 :])
    arguments = (dynamics, State(tokens, memory, state.step), contexts, jnp.asarray(tol, jnp.float32), min_steps)
    leaves, inputs = jax.tree.flatten(arguments)
    rows = [
        jnp.asarray(leaf) if has_axis else jnp.asarray(leaf)[None]
        for leaf, has_axis in zip(leaves, jax.tree.leaves(batched), strict=True)
    ]

    def block(row: Any) -> Any:
        """A run's own row, or the only one."""
        own, rest = row.shape[0] == num_runs, (0,) * (len(row.shape) - 1)
        return pl.BlockSpec((None, *row.shape[1:]), lambda run: (run if own else 0, *rest))

    number: Any = jax.ShapeDtypeStruct((num_runs,), jnp.float32)
    count: Any = jax.ShapeDtypeStruct((num_runs,), jnp.int32)
    vectors: Any = jax.ShapeDtypeStruct((num_runs, sizes.padded_tokens, num_dimensions), jnp.float32)
    results, outputs = jax.tree.flatten(
        Progress(State(vectors, jax.tree.map(lambda _: vectors, memory), count), number, number, count)
    )

    def kernel(*refs: Any) -> None:
        read, write = refs[: len(rows)], refs[len(rows) :]
        _all_steps(jax.tree.unflatten(inputs, read), jax.tree.unflatten(outputs, write), sizes, max_steps, stop)

    ended = pl.pallas_call(
        kernel,
        grid=(num_runs,),
        in_specs=[block(row) for row in rows],
        out_specs=[block(row) for row in results],
        out_shape=results,
        # Passing Triton's parameters selects it over the other GPU backend.
        compiler_params=triton.CompilerParams(
            num_warps=num_warps or _num_warps(num_tokens, num_dimensions, num_features),
            num_stages=1,
        ),
        interpret=interpret,
        name="tokdyn_fused_run",
    )(*rows)
    progress = jax.tree.unflatten(outputs, ended)
    tokens, memory = jax.tree.map(lambda x: x[:, :num_tokens], (progress.state.tokens, progress.state.memory))
    return progress._replace(state=State(tokens, memory, progress.state.step), done=progress.done != 0)


def _padded(array: jax.Array, axis: int) -> jax.Array:
    """The array, padded with zeros to a power of two along an axis."""
    missing = _power_of_two(array.shape[axis]) - array.shape[axis]
    widths = [(0, 0)] * array.ndim
    widths[axis] = (0, missing)
    return jnp.pad(array, widths) if missing else array


@dataclasses.dataclass(frozen=True)
class _Sizes:
    """What is known about a run while tracing, and which entries of padded axes exist."""

    num_tokens: int
    num_dimensions: int

    @property
    def padded_tokens(self) -> int:
        return _power_of_two(self.num_tokens)

    def only_tokens(self, values: jax.Array, axis: int, fill: float) -> jax.Array:
        """The values, with ``fill`` where the tokens along that axis are padding."""
        if values.shape[axis] == self.num_tokens:
            return values
        return jnp.where(jax.lax.broadcasted_iota(jnp.int32, values.shape, axis) < self.num_tokens, values, fill)


class _Carried(NamedTuple):
    """``Progress`` in registers."""

    tokens: Columns
    memory: tuple[Memory, ...]
    step: jax.Array
    displacement: jax.Array
    residual: jax.Array
    done: jax.Array


def _all_steps(read: Any, write: Progress, sizes: _Sizes, max_steps: int, stop: str) -> None:
    """The kernel: ``loop.until_rest`` of one run. ``read`` and ``write`` hold references to its rows."""
    dynamics, state, contexts, tol, min_steps = read
    # What is read here stays in registers for all steps.
    dynamics, tol, min_steps = jax.tree.map(lambda ref: ref[...], (dynamics, tol, min_steps))
    dimensions = range(sizes.num_dimensions)

    def columns(ref: Any) -> Columns:
        return tuple(ref[:, d] for d in dimensions)

    prepared = tuple(_in_registers(context, dimensions) for context in contexts)

    def one_more(before: _Carried) -> _Carried:
        zeros = tuple(jnp.zeros_like(column) for column in before.tokens)
        displacement, force, memories = zeros, zeros, []
        for part, context, memory in zip(dynamics.parts, prepared, before.memory, strict=True):
            if isinstance(part, Inertia):
                carried = tuple(
                    jnp.where(part.momentum >= 0, part.momentum * (now - previous), 0.0)
                    for now, previous in zip(before.tokens, memory, strict=True)
                )
                displacement, memory = _sum(displacement, carried), before.tokens
            else:
                pushed = (
                    _attracted(part, context, before.tokens, sizes)
                    if isinstance(part, Attraction)
                    else _repelled(part, before.tokens, sizes)
                )
                displacement, force = _sum(displacement, pushed), _sum(force, pushed)
            memories.append(memory)
        tokens = tuple(
            now + sizes.only_tokens(change, 0, 0.0) for now, change in zip(before.tokens, displacement, strict=True)
        )
        moved = tuple(after - now for after, now in zip(tokens, before.tokens, strict=True))
        largest = _largest(moved)
        residual = _largest(tuple(sizes.only_tokens(component, 0, 0.0) for component in force))
        step = before.step + 1
        met = ((largest if stop == "displacement" else residual) < tol) & (step >= min_steps)
        return _Carried(tokens, tuple(memories), step, largest, residual, met | ~jnp.isfinite(largest))

    far = jnp.full((), jnp.inf, jnp.float32)
    memory = tuple(jax.tree.map(columns, memory) for memory in state.memory)
    start = _Carried(columns(state.tokens), memory, state.step[...], far, far, jnp.zeros((), bool))
    after = jax.lax.while_loop(lambda now: ~now.done & (now.step < max_steps), one_more, start)

    def store(ref: Any, values: Columns) -> None:
        for d in dimensions:
            ref[:, d] = values[d]

    store(write.state.tokens, after.tokens)
    jax.tree.map(store, write.state.memory, after.memory)
    write.state.step[...] = after.step
    write.displacement[...] = after.displacement
    write.residual[...] = after.residual
    write.done[...] = after.done.astype(jnp.int32)


class _Read(NamedTuple):
    """A layout in registers: numbers, D numbers, and D rows `[N]`."""

    scale: jax.Array
    spread: jax.Array
    centre: Columns
    rows: Columns
    ones: jax.Array


def _in_registers(context: Context, dimensions: range) -> Context:
    """The contents of a layout, read into registers; other parts have nothing to read."""
    if not isinstance(context, Layout):
        return context
    assert isinstance(context.features, arrangement.Columns)  # checked by supports()
    centre, rows = (tuple(ref[d] for d in dimensions) for ref in (context.frame.centre, context.features.values))
    return _Read(
        context.frame.scale[...], context.frame.spread[...], centre, rows, context.features.values[len(dimensions)]
    )


def _attracted(part: Attraction, context: _Read, tokens: Columns, sizes: _Sizes) -> Columns:
    """``Attraction.apply``, one dimension at a time, without jnp.maximum of possible NaNs, which the GPU ignores."""
    dimension, to_scale = sizes.num_dimensions, 1.0 / context.scale
    temperature = jnp.where(part.temperature < part.temperature_floor, part.temperature_floor, part.temperature)
    width = jnp.where(temperature <= 0, 0.0, jnp.sqrt(jnp.where(temperature <= 0, 1.0, temperature))) * to_scale
    # As attraction.logits_of_tokens.
    moved = tuple(
        _clipped(now * to_scale - centre, tiles.FAR**2) for now, centre in zip(tokens, context.centre, strict=True)
    )
    nearest = dimension**0.5 * jnp.min(sizes.only_tokens(_largest_component(moved), 0, tiles.FAR**2))
    eps = float(jnp.finfo(jnp.float32).eps)
    resolved = (dimension * eps / tiles.ROUNDING) ** 0.5 * (3.0 * context.spread + nearest)
    narrower = 1.0 / jnp.where(width < resolved, jnp.maximum(resolved, 1.0 / tiles.FAR), width)
    relative = tuple(_clipped(component * narrower, tiles.FAR) for component in moved)
    squared = _squared_norms(relative)
    logits = (jnp.min(sizes.only_tokens(squared, 0, jnp.inf)) - squared)[:, None]
    for component, row in zip(relative, context.rows, strict=True):
        logits = logits + (2.0 * narrower * component)[:, None] * row[None, :]  # [K, N]
    highest = jnp.max(sizes.only_tokens(logits, 0, -jnp.inf), axis=0)
    weights = sizes.only_tokens(jnp.exp(logits - highest[None, :]), 0, 0.0)
    weights = weights * (1.0 / jnp.sum(weights, axis=0))[None, :]
    mass = jnp.sum(weights * context.ones[None, :], axis=1) + part.mass_floor
    massless = mass == 0
    inverse = 1.0 / jnp.where(massless, 1.0, mass)

    def pull(now: jax.Array, row: jax.Array, centre: jax.Array) -> jax.Array:
        target = (jnp.sum(weights * row[None, :], axis=1) - part.mass_floor * centre) * inverse * context.scale
        return jnp.where(massless, 0.0, part.rate * (target - (now - centre * context.scale)))

    return tuple(map(pull, tokens, context.rows, context.centre))


def _clipped(values: jax.Array, limit: float) -> jax.Array:
    """Values clipped to the limits; NaN stays NaN."""
    return jnp.where(values > limit, limit, jnp.where(values < -limit, -limit, values))


def _repelled(part: Repulsion, tokens: Columns, sizes: _Sizes) -> Columns:
    """``Repulsion.apply``, one dimension at a time."""
    differences = tuple(column[:, None] - column[None, :] for column in tokens)  # [K, K]
    if part.kernel == "coulomb":
        length = _norms(differences) + part.eps
    else:
        length = _norms((*differences, jnp.full_like(differences[0], part.eps)))
    itself = jax.lax.broadcasted_iota(jnp.int32, length.shape, 0) == jax.lax.broadcasted_iota(
        jnp.int32, length.shape, 1
    )
    feels = ~itself & (length > 0)
    inverse = jnp.where(feels, 1.0 / jnp.where(feels, length, 1.0), 0.0)
    inverse = sizes.only_tokens(inverse, 1, 0.0)

    def push(component: jax.Array) -> jax.Array:
        pushed = jnp.sum(component * inverse * (part.strength * inverse) * inverse, axis=1)
        return jnp.where(part.strength >= 0, pushed, 0.0)

    return tuple(map(push, differences))


def _sum(left: Columns, right: Columns) -> Columns:
    return tuple(a + b for a, b in zip(left, right, strict=True))


def _squared_norms(vectors: Columns) -> jax.Array:
    return functools.reduce(jnp.add, (x * x for x in vectors))


def _largest_component(vectors: Columns) -> jax.Array:
    return functools.reduce(jnp.maximum, map(jnp.abs, vectors))


def _norms(vectors: Columns) -> jax.Array:
    """Euclidean norms at every scale, as ``numerics.safe_norm``."""
    largest = _largest_component(vectors)
    usable = (largest > 0) & (largest < jnp.inf)
    inverse = jnp.where(usable, 1.0 / jnp.where(usable, largest, 1.0), 1.0)
    return jnp.sqrt(_squared_norms(tuple(x * inverse for x in vectors))) * jnp.where(usable, largest, 1.0)


def _largest(vectors: Columns) -> jax.Array:
    """The largest Euclidean norm of vectors `[K]` by dimension; NaN if any is."""
    norms = _norms(vectors)
    total = jnp.sum(norms * 0.0)
    # On the GPU a maximum ignores NaN, a sum does not.
    return jnp.where(jnp.isnan(total), jnp.sum(norms), jnp.max(norms))
