"""The loop over steps, until the tokens come to rest or the steps run out, with or without a history, from any state.

It has two forms, which agree to the last bit: a ``while_loop`` that stops early, and a masked scan that reverse mode
can differentiate.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from tokdyn import checks
from tokdyn.dynamics.base import Context, Dynamics, Info, State
from tokdyn.dynamics.schedules import schedules
from tokdyn.numerics import largest_length
from tokdyn.solve import fused, stepping
from tokdyn.solve.lanes import Together, as_varying, while_each
from tokdyn.solve.stepping import KeepFunction, Progress


def until_rest(
    dynamics: Dynamics,
    key: jax.Array | None,
    begun: Progress,
    contexts: tuple[Context, ...],
    token_mask: jax.Array | None,
    tol: jax.Array,
    min_steps: jax.Array,
    *,
    max_steps: int,
    stop: str,
    adjoint: str,
    keep: KeepFunction | None = None,
    every: int = 1,
    looks_first: bool = False,
) -> tuple[Progress, jax.Array]:
    """Take steps until the run is done.

    Args:
        dynamics: the dynamics of one run, cast to the features' dtype.
        key: the key of the run.
        begun: the initial carry.
        contexts: what ``stepping.prepare`` returned.
        token_mask: which tokens exist `[K]`.
        tol: tolerance of the stopping rule `[]`.
        min_steps: do not stop before this step `[]`.
        max_steps: number of the last step (static).
        stop: what is compared with ``tol``.
        adjoint: "none" and "implicit" stop early; "unroll" and "checkpoint" are scans.
        keep: what to keep of a step.
        every: number of steps from one kept row to the next (static).
        looks_first: whether the initial carry may already have met the tolerance (static).

    Returns:
        The final carry, and whether the tolerance was met `[]`.
    """
    dtype = begun.state.tokens.dtype
    tol = jnp.asarray(tol, dtype)
    for schedule in schedules(dynamics):
        min_steps = jnp.maximum(min_steps, schedule.num_steps)
    inputs = (dynamics, key, contexts, token_mask, tol, min_steps)

    def met(progress: Progress, tol: jax.Array, min_steps: jax.Array) -> jax.Array:
        watched = progress.displacement if stop == "displacement" else progress.residual
        return (watched < tol) & (progress.state.step >= min_steps)

    def one_more(progress: Progress, inputs: tuple[Any, ...]) -> tuple[Progress, Info]:
        dynamics, key, contexts, token_mask, tol, min_steps = inputs
        state, info = stepping.advance(dynamics, key, progress.state, contexts, token_mask)
        displacement, residual = largest_length(info.displacement), largest_length(info.force)
        after = progress._replace(state=state, displacement=displacement, residual=residual)
        # A NaN or infinite displacement ends the run, since it can only spread.
        return after._replace(done=met(after, tol, min_steps) | ~jnp.isfinite(displacement)), info

    before = as_varying(begun, inputs)
    if looks_first:
        before = before._replace(done=met(before, tol, min_steps) | ~jnp.isfinite(before.displacement))
    if adjoint in ("none", "implicit"):

        def advance(progress: Progress, inputs: tuple[Any, ...]) -> Progress:
            after, info = one_more(progress, inputs)
            if keep is None:
                return after
            return after._replace(kept=_with_row(after.kept, keep(after.state, info), after.state.step, every))

        together = None if keep or looks_first else _in_one_kernel(before, inputs, max_steps=max_steps, stop=stop)
        going = lambda progress, _: ~progress.done & (progress.state.step < max_steps)  # noqa: E731
        after = while_each(going, advance, before, inputs, together=together)
        return after, met(after, tol, min_steps)

    def masked(carried: tuple[Progress, Info], number: jax.Array) -> tuple[tuple[Progress, Info], None]:
        progress, _ = carried
        goes = ~progress.done & (progress.state.step == number)
        return jax.tree.map(lambda old, new: jnp.where(goes, new, old), carried, one_more(progress, inputs)), None

    if adjoint == "checkpoint":
        masked = jax.checkpoint(masked)
    still = jnp.zeros_like(begun.state.tokens)
    blank, carried = before.kept, as_varying((before._replace(kept=()), Info(still, still)), inputs)
    if keep is None:
        (after, _), _ = jax.lax.scan(masked, carried, jnp.arange(max_steps, dtype=jnp.int32))
        return after, met(after, tol, min_steps)

    def row(carried: tuple[Progress, Info], numbers: jax.Array) -> tuple[tuple[Progress, Info], Any]:
        """The steps up to the next kept one."""
        (progress, info), _ = jax.lax.scan(masked, carried, numbers)
        return (progress, info), keep(progress.state, info)

    rows = max_steps // every
    numbers = jnp.arange(max_steps, dtype=jnp.int32)
    carried, kept = jax.lax.scan(row, carried, numbers[: rows * every].reshape(rows, every))
    (after, _), _ = jax.lax.scan(masked, carried, numbers[rows * every :])
    after_row = (jnp.arange(rows) + 1) * every
    taken = (after_row > begun.state.step) & (after_row <= after.state.step)
    kept = jax.tree.map(lambda new, old: jnp.where(taken.reshape(-1, *[1] * (old.ndim - 1)), new, old), kept, blank)
    return after._replace(kept=kept), met(after, tol, min_steps)


def blank_rows(keep: KeepFunction, state: State, *, max_steps: int, every: int, earlier: Any = None) -> Any:
    """An empty history: NaN, or zero if the dtype has no NaN, preceded by the rows that an earlier run kept.

    Args:
        keep: ``(State, Info) -> pytree``.
        state: a state of the run, for its shapes and dtypes.
        max_steps: number of the last step.
        every: number of steps from one row to the next.
        earlier: rows of the run that is resumed, or None.

    Returns:
        What ``keep`` returns, with a leading axis `[max_steps // every]`.

    Raises:
        ValueError: the earlier rows do not come from this function.
    """
    one = jax.eval_shape(lambda state: keep(state, Info(state.tokens, state.tokens)), state)
    rows = max_steps // every

    def blank(leaf: Any) -> jax.Array:
        nothing = jnp.nan if jnp.issubdtype(leaf.dtype, jnp.inexact) else 0
        return jnp.full((rows, *leaf.shape), nothing, leaf.dtype)

    made = jax.tree.map(blank, one)
    if earlier is None:
        return made
    if str(jax.tree.structure(earlier)) != str(jax.tree.structure(made)) or any(
        old.shape[1:] != new.shape[1:] or old.dtype != new.dtype
        for old, new in zip(jax.tree.leaves(earlier), jax.tree.leaves(made), strict=True)
    ):
        raise checks.bad("state", "a result whose history was kept by the same function", "another history")
    return jax.tree.map(lambda new, old: new.at[: old.shape[0]].set(old[:rows]), made, earlier)


def _with_row(kept: Any, values: Any, step: jax.Array, every: int) -> Any:
    """The history with one more row, if this step is to be kept."""
    number = step // every - 1
    is_kept = step % every == 0

    def written(rows: jax.Array, value: jax.Array) -> jax.Array:
        # An out-of-range row is dropped. A cond would copy the history under vmap.
        return rows.at[jnp.where(is_kept, number, rows.shape[0])].set(value, mode="drop")

    return jax.tree.map(written, kept, values)


def _in_one_kernel(progress: Progress, inputs: tuple[Any, ...], *, max_steps: int, stop: str) -> Together | None:
    """The loop over many runs as one GPU kernel, if there is a GPU and the kernel supports all parts."""
    dynamics, _, contexts, token_mask, _, _ = inputs
    if not (fused.is_available() and fused.supports(dynamics, contexts, progress.state, token_mask)):
        return None

    def together(size: int, is_mapped: Any, progress: Progress, inputs: tuple[Any, ...]) -> Progress:
        of_progress, (of_dynamics, _, of_contexts, _, of_tol, of_min_steps) = is_mapped
        dynamics, _, contexts, _, tol, min_steps = inputs
        return fused.run_fused(
            dynamics,
            progress.state,
            contexts,
            tol,
            min_steps,
            batched=(of_dynamics, of_progress.state, of_contexts, of_tol, of_min_steps),
            num_runs=size,
            max_steps=max_steps,
            stop=stop,
        )

    return together
