"""The drivers: run a composed dynamics until it rests, or watch it for a number of steps.

This folder holds the only loops over steps. ``run`` stops early in a ``while_loop``; the differentiable forms are a
masked scan of the same step, and all agree step for step.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from tokdyn import checks, keys
from tokdyn.checks import Status
from tokdyn.dynamics.base import Context, Dynamics, Info, State, schedules
from tokdyn.numerics import largest_length
from tokdyn.solve import fused, stepping
from tokdyn.solve.adjoint import forward_only, implicit_gradient
from tokdyn.solve.lanes import Together, as_varying, while_each
from tokdyn.solve.merging import num_distinct

STOPS = ("displacement", "residual")
ADJOINTS = ("none", "unroll", "checkpoint", "implicit")
ASSIGNMENTS = ("soft", "hard", "none")


class Result(NamedTuple):
    """What a run returns; under vmap every leaf has a leading axis.

    Attributes:
        tokens: where they ended `[K, D]`.
        assignment: soft responsibilities, computed once at the end `[N, K]`; rows of masked features mean nothing.
            None unless ``assignment="soft"`` was asked for.
        num_steps: steps taken `[]`, counting the one that met the tolerance.
        status: a ``Status`` code `[]`. CONVERGED says that all of the above and below is finite, not that it is
            useful: see ``num_distinct``.
        displacement: the largest displacement of a token in the last step `[]`.
        residual: the largest force on a token in the last step, memory and noise left out `[]`.
        num_distinct: how many tokens remain `[]` when each that is nearer to an earlier one than 1 %
            of the features' root mean square distance from their mean is left out. Where it is below K, tokens have
            merged; ``td.metrics.distinct_tokens`` counts at any resolution.
        labels: the token that each feature belongs to `[N]`; those of masked features mean nothing. None unless
            ``assignment="hard"`` was asked for.
    """

    tokens: jax.Array
    assignment: jax.Array  # not "or None": it is one unless the caller asked for something else
    num_steps: jax.Array
    status: jax.Array
    displacement: jax.Array
    residual: jax.Array
    num_distinct: jax.Array
    labels: jax.Array = None  # type: ignore[assignment]


class Progress(NamedTuple):
    """What the loop carries."""

    state: State
    displacement: jax.Array
    residual: jax.Array
    done: jax.Array


def run(
    dynamics: Dynamics,
    key: jax.Array | None,
    features: Any,
    *,
    num_tokens: int | None = None,
    max_steps: int,
    tol: Any,
    min_steps: Any = 0,
    stop: str = "displacement",
    tokens: Any = None,
    mask: Any = None,
    token_mask: Any = None,
    adjoint: str = "none",
    assignment: str = "soft",
) -> Result:
    """Run a dynamics until its tokens rest, or the steps are up.

    Numbers inside ``dynamics`` (and ``tol``, ``min_steps``) are traced: changing one compiles nothing, and ``vmap``,
    ``grad`` and ``jit`` over them work. Shapes, ``max_steps``, ``stop``, ``adjoint`` and ``assignment`` choose the
    program.

    Args:
        dynamics: what ``td.compose`` returned.
        key: a JAX key; None is enough where ``tokens`` are given and no part is random.
        features: `[N, D]`, floating point; the whole run is computed in their dtype.
        num_tokens: K (static); may be left out where ``tokens`` are given.
        max_steps: at most so many steps (static).
        tol: stop after the first step whose largest displacement of a token (Euclidean) is below it `[]`; 0 never
            stops early.
        min_steps: do not stop before `[]`. A schedule inside the dynamics raises it to its own length.
        stop: what is compared with ``tol``: ``"displacement"``, or ``"residual"``, the force that a token at rest
            would feel. With inertia the displacement passes near zero at turning points; the residual does not.
        tokens: the start `[K, D]`; by default K features drawn without replacement.
        mask: features that exist `[N]`; the others have no influence, whatever they hold.
        token_mask: tokens that exist `[K]`; the others do not move and own nothing.
        adjoint: how reverse-mode differentiation goes through the loop.
            ``"none"``: not at all (forward mode works). ``"unroll"``: a masked scan of ``max_steps``; exact, keeps
            all steps in memory. ``"checkpoint"``: the same, keeps only the tokens and recomputes.
            ``"implicit"``: the fixed point is differentiated, not the road to it: solves ``(I - J^T) v = g`` by GMRES
            with every memory at rest; exact where the run has converged tightly, NaN unless CONVERGED, zero for the
            starting tokens.
        assignment: ``"soft"`` for `[N, K]`; ``"hard"`` for labels alone, the nearest token of each feature, which for
            large N and K take far less memory; ``"none"`` for neither.

    Returns:
        A ``Result``. Failures that only the numbers decide are in its ``status``, never an exception.

    Raises:
        ValueError: bad shapes, dtypes, counts or options; ``implicit`` with a random part or a schedule.

    Example:
        >>> import jax, tokdyn as td
        >>> dynamics = td.compose(attract=td.attraction(temperature=1.0), inertia=td.inertia(momentum=0.2))
        >>> features = jax.random.normal(jax.random.key(0), (100, 2)) + 10.0
        >>> result = td.run(dynamics, jax.random.key(1), features, num_tokens=3, max_steps=200, tol=1e-4)
        >>> td.Status(int(result.status)).name, result.assignment.shape
        ('CONVERGED', (100, 3))
    """
    checks.choice("stop", stop, STOPS)
    checks.choice("adjoint", adjoint, ADJOINTS)
    checks.choice("assignment", assignment, ASSIGNMENTS)
    max_steps = checks.whole_number("max_steps", max_steps, at_least=1)
    dynamics, features, tokens, mask, token_mask, num_tokens = stepping.checked(
        dynamics, key, features, num_tokens=num_tokens, tokens=tokens, mask=mask, token_mask=token_mask
    )
    if adjoint == "implicit":
        if stepping.is_random(dynamics):
            raise checks.bad("adjoint", "one other than 'implicit' for a random part (no fixed point)", "'implicit'")
        if schedules(dynamics):
            raise checks.bad("adjoint", "one other than 'implicit' for a schedule (no one map)", "'implicit'")
    return _run(
        dynamics,
        key,
        features,
        tokens,
        mask,
        token_mask,
        checks.one_number("tol", tol, at_least=0.0),
        checks.one_number("min_steps", min_steps, at_least=0.0),
        num_tokens=num_tokens,
        max_steps=max_steps,
        stop=stop,
        adjoint=adjoint,
        assignment=assignment,
    )


@functools.partial(jax.jit, static_argnames=("num_tokens", "max_steps", "stop", "adjoint", "assignment"))
def _run(
    dynamics: Dynamics,
    key: jax.Array | None,
    features: jax.Array,
    tokens: jax.Array | None,
    mask: jax.Array | None,
    token_mask: jax.Array | None,
    tol: jax.Array,
    min_steps: jax.Array,
    *,
    num_tokens: int,
    max_steps: int,
    stop: str,
    adjoint: str,
    assignment: str,
) -> Result:
    """``run`` after its checks. Jitted here so that a plain call compiles once; inside another jit it is inlined."""
    invalid = jnp.zeros((), bool) if token_mask is None else ~jnp.any(token_mask)
    if mask is not None:
        invalid = invalid | (jnp.sum(mask) < (num_tokens if tokens is None else 1))
    if tokens is None:
        assert key is not None  # checked by the caller
        tokens = stepping.random_features(keys.for_purpose(key, "start"), features, num_tokens, mask=mask)

    contexts = stepping.prepare(dynamics, features, mask, token_mask)

    def solve(
        dynamics: Dynamics, features: jax.Array, tokens: jax.Array, rest: tuple[Any, ...]
    ) -> tuple[jax.Array, ...]:
        key, mask, token_mask, tol, min_steps, invalid = rest
        # With a gradient of its own, nothing that is differentiated may come from outside.
        own = stepping.prepare(dynamics, features, mask, token_mask) if adjoint == "implicit" else contexts
        state = stepping.at_rest(dynamics, tokens, own, token_mask)
        progress, stopped = _loop(
            dynamics,
            key,
            state,
            own,
            token_mask,
            tol,
            min_steps,
            max_steps=max_steps,
            stop=stop,
            adjoint=adjoint,
        )
        ended = progress.state.tokens
        if token_mask is not None:
            ended = jnp.where(token_mask[:, None], ended, 0.0)
        finite = jnp.all(jnp.isfinite(ended)) & jnp.isfinite(progress.displacement)
        status = jnp.where(stopped, Status.CONVERGED, Status.MAX_STEPS)
        status = jnp.where(finite, status, Status.NONFINITE)
        status = jnp.where(invalid, Status.INVALID, status)
        return (
            progress.state.tokens,
            progress.state.step,
            status.astype(jnp.int32),
            jax.lax.stop_gradient(progress.displacement),
            jax.lax.stop_gradient(progress.residual),
        )

    def at_fixed_point(dynamics: Dynamics, features: jax.Array, tokens: jax.Array, rest: tuple[Any, ...]) -> jax.Array:
        _, mask, token_mask, *_ = rest
        contexts = stepping.prepare(dynamics, features, mask, token_mask)
        state, _ = stepping.advance(
            dynamics, None, stepping.at_rest(dynamics, tokens, contexts, token_mask), contexts, token_mask
        )
        return state.tokens

    rest = (key, mask, token_mask, tol, min_steps, invalid)
    solver = implicit_gradient(solve, at_fixed_point) if adjoint == "implicit" else solve
    tokens, num_steps, status, displacement, residual = solver(dynamics, features, tokens, rest)
    if adjoint == "none":
        tokens = forward_only(tokens)
    soft: Any = None
    hard: Any = None
    if assignment != "none":
        found = stepping.assignment_of(
            dynamics, num_steps, tokens, features, contexts, mask, token_mask, hard=assignment == "hard"
        )
        soft, hard = (found, None) if assignment == "soft" else (None, found)
    if soft is not None:
        rows = soft if mask is None else jnp.where(mask[:, None], soft, 0.0)
        # One sum, at most N, tells of any number that is not finite.
        broken = ~jnp.isfinite(jnp.sum(rows)) & (status <= Status.MAX_STEPS)
        status = jnp.where(broken, Status.NONFINITE, status).astype(jnp.int32)
    distinct = num_distinct(tokens, features, mask, token_mask)
    return Result(tokens, soft, num_steps, status, displacement, residual, distinct, hard)


def _loop(
    dynamics: Dynamics,
    key: jax.Array | None,
    state: State,
    contexts: tuple[Context, ...],
    token_mask: jax.Array | None,
    tol: jax.Array,
    min_steps: jax.Array,
    *,
    max_steps: int,
    stop: str,
    adjoint: str,
) -> tuple[Progress, jax.Array]:
    """Steps until done; returns what was carried, and whether the tolerance was met."""
    dtype = state.tokens.dtype
    tol = jnp.asarray(tol, dtype)
    for schedule in schedules(dynamics):
        min_steps = jnp.maximum(min_steps, schedule.num_steps)

    inputs = (dynamics, key, contexts, token_mask, tol, min_steps)

    def met(progress: Progress, tol: jax.Array, min_steps: jax.Array) -> jax.Array:
        watched = progress.displacement if stop == "displacement" else progress.residual
        return (watched < tol) & (progress.state.step >= min_steps)

    def one_more(progress: Progress, inputs: tuple[Any, ...]) -> Progress:
        dynamics, key, contexts, token_mask, tol, min_steps = inputs
        state, info = stepping.advance(dynamics, key, progress.state, contexts, token_mask)
        displacement, residual = largest_length(info.displacement), largest_length(info.force)
        after = Progress(state, displacement, residual, progress.done)
        # A NaN or infinite displacement ends the run: it can only spread.
        return after._replace(done=met(after, tol, min_steps) | ~jnp.isfinite(displacement))

    far = jnp.asarray(jnp.inf, dtype)
    before = as_varying(Progress(state, far, far, jnp.zeros((), bool)), inputs)
    if adjoint in ("none", "implicit"):
        after = while_each(
            lambda p, _: ~p.done & (p.state.step < max_steps),
            one_more,
            before,
            inputs,
            together=_in_one_kernel(before, inputs, max_steps=max_steps, stop=stop),
        )
        return after, met(after, tol, min_steps)

    def masked(progress: Progress, _: None) -> tuple[Progress, None]:
        after = one_more(progress, inputs)
        return jax.tree.map(lambda old, new: jnp.where(progress.done, old, new), progress, after), None

    if adjoint == "checkpoint":
        masked = jax.checkpoint(masked)
    after, _ = jax.lax.scan(masked, before, None, length=max_steps)
    return after, met(after, tol, min_steps)


def _in_one_kernel(progress: Progress, inputs: tuple[Any, ...], *, max_steps: int, stop: str) -> Together | None:
    """The loop of many runs as one GPU kernel, where there is a GPU and the kernel knows all parts."""
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


def trajectory(
    dynamics: Dynamics,
    key: jax.Array | None,
    features: Any,
    *,
    num_tokens: int | None = None,
    num_steps: int,
    keep: stepping.KeepFunction | None = None,
    tokens: Any = None,
    mask: Any = None,
    token_mask: Any = None,
) -> tuple[State, Any]:
    """Run a fixed number of steps and store, after each, only what ``keep`` returns.

    Args:
        dynamics: what ``td.compose`` returned.
        key: a JAX key; None is enough where ``tokens`` are given and no part is random. The same key, steps and
            start give the same tokens as ``run``.
        features: `[N, D]`.
        num_tokens: K (static); may be left out where ``tokens`` are given.
        num_steps: how many steps (static).
        keep: ``(State, Info) -> pytree`` of what is stored; by default the tokens. Define it once (a new lambda is a
            new program).
        tokens: the start `[K, D]`; by default K features drawn without replacement.
        mask: features that exist `[N]`.
        token_mask: tokens that exist `[K]`.

    Returns:
        ``(State, kept)``: the last state, and what was kept with a leading axis ``[num_steps]``; the start itself is
        not among it (``td.init`` gives it). Reverse-mode differentiation works, and keeps all steps.

    Raises:
        ValueError: bad shapes, dtypes or counts.

    Example:
        >>> import jax, tokdyn as td
        >>> features = jax.random.normal(jax.random.key(0), (50, 2))
        >>> dynamics = td.catalog.soft_kmeans(temperature=0.5)
        >>> state, path = td.trajectory(dynamics, jax.random.key(1), features, num_tokens=3, num_steps=10)
        >>> path.shape
        (10, 3, 2)
    """
    num_steps = checks.whole_number("num_steps", num_steps, at_least=1)
    dynamics, features, tokens, mask, token_mask, num_tokens = stepping.checked(
        dynamics, key, features, num_tokens=num_tokens, tokens=tokens, mask=mask, token_mask=token_mask
    )
    return _trajectory(
        dynamics,
        key,
        features,
        tokens,
        mask,
        token_mask,
        num_tokens=num_tokens,
        num_steps=num_steps,
        keep=keep or _tokens,
    )


def _tokens(state: State, info: Info) -> jax.Array:
    return state.tokens


@functools.partial(jax.jit, static_argnames=("num_tokens", "num_steps", "keep"))
def _trajectory(
    dynamics: Dynamics,
    key: jax.Array | None,
    features: jax.Array,
    tokens: jax.Array | None,
    mask: jax.Array | None,
    token_mask: jax.Array | None,
    *,
    num_tokens: int,
    num_steps: int,
    keep: stepping.KeepFunction,
) -> tuple[State, Any]:
    if tokens is None:
        assert key is not None  # checked by the caller
        tokens = stepping.random_features(keys.for_purpose(key, "start"), features, num_tokens, mask=mask)
    contexts = stepping.prepare(dynamics, features, mask, token_mask)

    def one(state: State, _: None) -> tuple[State, Any]:
        state, info = stepping.advance(dynamics, key, state, contexts, token_mask)
        return state, keep(state, info)

    return jax.lax.scan(one, stepping.at_rest(dynamics, tokens, contexts, token_mask), None, length=num_steps)
