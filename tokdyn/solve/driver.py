"""The driver: run a composed dynamics until it rests, keep a history, and resume from where a run ended.

``trajectory`` is the short form for a fixed number of steps, all of which are kept.
"""

from __future__ import annotations

import functools
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from numpy.typing import ArrayLike

from tokdyn import checks, starts
from tokdyn.checks import Status
from tokdyn.dynamics.base import Dynamics, Info, State
from tokdyn.dynamics.schedules import schedules
from tokdyn.solve import loop, stepping
from tokdyn.solve.adjoint import at_fixed_point, forward_only
from tokdyn.solve.merging import num_distinct
from tokdyn.solve.stepping import KeepFunction, Progress
from tokdyn.tree import in_range

STOPS = ("displacement", "residual")
ADJOINTS = ("none", "unroll", "checkpoint", "implicit")
ASSIGNMENTS = ("soft", "hard", "none")


class Result(NamedTuple):
    """What a run returns; under vmap every leaf has a leading axis.

    Attributes:
        tokens: final tokens `[K, D]`.
        assignment: soft responsibilities, computed once at the end `[N, K]`; rows of masked features are meaningless.
            None unless ``assignment="soft"`` was requested.
        num_steps: steps taken `[]`, counting the one that met the tolerance.
        status: a ``Status`` code `[]`. CONVERGED means that every field is finite, not that the result is useful: check
            ``num_distinct``.
        displacement: the largest displacement of a token in the last step `[]`.
        residual: the largest force on a token in the last step, without memory and noise `[]`.
        num_distinct: the number of tokens `[]` that remain when every token is dropped that is nearer to an earlier one
            than 1 % of the features' root mean square distance from their mean. If it is below K, tokens have merged;
            ``td.metrics.distinct_tokens`` counts at any resolution.
        labels: the token that each feature belongs to `[N]`; labels of masked features are meaningless. None unless
            ``assignment="hard"`` was requested.
        state: what is needed to resume the run from here (``run(..., state=result)``).
        kept: what ``keep`` returned, with a leading axis `[max_steps // every]`; row r belongs to step
            ``(r + 1) * every``. Rows of steps that were not taken hold NaN, or 0 if the dtype has no NaN. None without
            ``keep``.
    """

    tokens: jax.Array
    assignment: jax.Array  # not "or None": it is an array unless the caller asked for something else
    num_steps: jax.Array
    status: jax.Array
    displacement: jax.Array
    residual: jax.Array
    num_distinct: jax.Array
    labels: jax.Array = None  # type: ignore[assignment]
    state: State = None  # type: ignore[assignment]
    kept: Any = None


def run(
    dynamics: Dynamics,
    key: jax.Array | None,
    features: ArrayLike,
    *,
    num_tokens: int | None = None,
    max_steps: int,
    tol: ArrayLike,
    min_steps: ArrayLike = 0,
    stop: Literal["displacement", "residual"] = "displacement",
    start: str = "features",
    tokens: ArrayLike | None = None,
    state: State | Result | None = None,
    mask: ArrayLike | None = None,
    token_mask: ArrayLike | None = None,
    adjoint: Literal["none", "unroll", "checkpoint", "implicit"] = "none",
    assignment: Literal["soft", "hard", "none"] = "soft",
    keep: KeepFunction | None = None,
    every: int = 1,
) -> Result:
    """Run a dynamics until its tokens come to rest or the maximal number of steps is reached.

    Numbers inside ``dynamics`` (and ``tol``, ``min_steps``) are traced: changing them does not recompile, and ``vmap``,
    ``grad`` and ``jit`` work over them. Shapes, ``max_steps``, ``stop``, ``start``, ``adjoint`` and ``assignment``
    select the program.

    A run can be resumed: ``first = run(..., max_steps=10)`` followed by ``run(..., max_steps=30, state=first)`` equals
    ``run(..., max_steps=30)`` to the last bit (to rounding, if the adjoint is one that keeps the steps).

    Args:
        dynamics: what ``td.compose`` returned.
        key: a JAX key; may be None if ``tokens`` or a ``state`` are given and no part is random.
        features: `[N, D]`, floating point; the whole run is computed in their dtype.
        num_tokens: K (static); may be omitted if ``tokens`` or a ``state`` are given.
        max_steps: maximal number of steps (static), including those before ``state``.
        tol: stop after the first step in which no token moves farther (in Euclidean distance) than this `[]`; 0 never
            stops early.
        min_steps: do not stop before this step `[]`. A schedule inside the dynamics raises it to its own length.
        stop: what is compared with ``tol``: ``"displacement"``, or ``"residual"``, the force that a token at rest
            would feel. With inertia the displacement passes near zero at turning points; the residual does not.
        start: how starting tokens are drawn: a name in ``td.starts.CATALOG`` (static); by default K features are drawn
            without replacement.
        tokens: starting tokens `[K, D]`, instead of drawn ones.
        state: the end of an earlier run, of ``td.step`` or of ``td.trajectory``, to resume from instead of a start: a
            ``State``, or the ``Result`` itself. A ``Result`` that already meets the tolerance takes no further step,
            and its history is continued; the step count continues in both cases.
        mask: which features exist `[N]`; the others have no influence, whatever they hold.
        token_mask: which tokens exist `[K]`; the others do not move and own nothing.
        adjoint: how reverse-mode differentiation passes through the loop.
            ``"none"``: not at all (forward mode works). ``"unroll"``: a masked scan of ``max_steps``; exact, keeps
            all steps in memory. ``"checkpoint"``: the same, but keeps only the tokens and recomputes the rest.
            ``"implicit"``: differentiates the fixed point instead of the path to it, by solving ``(I - J^T) v = g``
            with GMRES and every memory at rest; exact if the run has converged tightly, NaN unless CONVERGED, zero for
            the starting tokens.
        assignment: ``"soft"`` for `[N, K]`; ``"hard"`` for labels only, the nearest token of each feature, which take
            far less memory for large N and K; ``"none"`` for neither.
        keep: ``(State, Info) -> pytree``, recorded as one row of ``Result.kept`` per step (static: define the function
            once, since a new lambda compiles a new program).
        every: record only every this many steps (static).

    Returns:
        A ``Result``. Failures that depend on traced numbers appear in its ``status``, never as an exception.

    Raises:
        ValueError: bad shapes, dtypes, counts or options; a state of another dynamics; ``implicit`` with a random part
            or a schedule; several parts that could assign features to tokens (``Dynamics.assigning`` chooses).

    Example:
        >>> import jax, tokdyn as td
        >>> dynamics = td.compose(attract=td.attraction(temperature=1.0), inertia=td.inertia(momentum=0.2))
        >>> features = jax.random.normal(jax.random.key(0), (100, 2)) + 10.0
        >>> result = td.run(dynamics, jax.random.key(1), features, num_tokens=3, max_steps=200, tol=1e-4)
        >>> td.Status(int(result.status)).name, result.assignment.shape
        ('CONVERGED', (100, 3))
    """
    checks.choice("stop", stop, STOPS)
    checks.choice("start", start, tuple(starts.CATALOG))
    checks.choice("adjoint", adjoint, ADJOINTS)
    checks.choice("assignment", assignment, ASSIGNMENTS)
    max_steps = checks.whole_number("max_steps", max_steps, at_least=1)
    every = checks.whole_number("every", every, at_least=1)
    if keep is not None and not callable(keep):
        raise checks.bad("keep", "a function (State, Info) -> pytree", checks.shown(keep))
    earlier = state if isinstance(state, Result) else None
    if state is not None:
        state = stepping.checked_state("state", state.state if isinstance(state, Result) else state)
        if tokens is not None:
            raise checks.bad("tokens", "None, because a state is given", checks.describe_array(tokens))
        tokens = state.tokens
    dynamics, features, tokens, mask, token_mask, num_tokens = stepping.checked(
        dynamics, key, features, num_tokens=num_tokens, tokens=tokens, mask=mask, token_mask=token_mask
    )
    if assignment != "none":
        _ = dynamics.assigner  # raises, if ambiguous, before anything is computed
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
        state,
        None if earlier is None else (earlier.displacement, earlier.residual, earlier.kept if keep else None),
        num_tokens=num_tokens,
        max_steps=max_steps,
        stop=stop,
        start=start if tokens is None else "features",
        adjoint=adjoint,
        assignment=assignment,
        keep=keep,
        every=every if keep else 1,
    )


@functools.partial(
    jax.jit, static_argnames=("num_tokens", "max_steps", "stop", "start", "adjoint", "assignment", "keep", "every")
)
def _run(
    dynamics: Dynamics,
    key: jax.Array | None,
    features: jax.Array,
    tokens: jax.Array | None,
    mask: jax.Array | None,
    token_mask: jax.Array | None,
    tol: jax.Array,
    min_steps: jax.Array,
    state: State | None,
    earlier: tuple[jax.Array, jax.Array, Any] | None,
    *,
    num_tokens: int,
    max_steps: int,
    stop: str,
    start: str,
    adjoint: str,
    assignment: str,
    keep: KeepFunction | None,
    every: int,
) -> Result:
    """``run`` after its checks. It is jitted so that a plain call compiles once; inside another jit it is inlined."""
    invalid = ~in_range(dynamics)
    if token_mask is not None:
        invalid = invalid | ~jnp.any(token_mask)
    if mask is not None:
        invalid = invalid | (jnp.sum(mask) < (num_tokens if tokens is None else 1))
    if tokens is None:
        assert key is not None  # checked by the caller
        tokens = stepping.drawn(key, features, mask, num_tokens=num_tokens, start=start)

    contexts = stepping.prepare(dynamics, features, mask, token_mask)

    moving, layouts = dynamics, contexts
    if adjoint == "implicit":  # the gradient is that of the fixed point; none passes through the steps
        moving, layouts, tokens, state = jax.lax.stop_gradient((dynamics, contexts, tokens, state))
    begun = stepping.at_rest(moving, tokens, layouts, token_mask)
    if state is not None:
        stepping.check_memory(state, begun)
        begun = State(tokens, state.memory, state.step)
    far = jnp.asarray(jnp.inf, tokens.dtype)
    displacement, residual, history = (far, far, None) if earlier is None else earlier
    kept = () if keep is None else loop.blank_rows(keep, begun, max_steps=max_steps, every=every, earlier=history)
    progress, stopped = loop.until_rest(
        moving,
        key,
        Progress(begun, displacement.astype(tokens.dtype), residual.astype(tokens.dtype), jnp.zeros((), bool), kept),
        layouts,
        token_mask,
        tol,
        min_steps,
        max_steps=max_steps,
        stop=stop,
        adjoint=adjoint,
        keep=keep,
        every=every,
        looks_first=earlier is not None,
    )
    (tokens, memory, num_steps), kept = progress.state, progress.kept
    displacement, residual = jax.lax.stop_gradient((progress.displacement, progress.residual))
    existing = tokens if token_mask is None else jnp.where(token_mask[:, None], tokens, 0.0)
    finite = jnp.all(jnp.isfinite(existing)) & (jnp.isfinite(progress.displacement) | ~progress.done)
    status = jnp.where(stopped, Status.CONVERGED, Status.MAX_STEPS)
    status = jnp.where(finite, status, Status.NONFINITE)
    status = jnp.where(invalid, Status.INVALID, status).astype(jnp.int32)
    if adjoint == "implicit":
        tokens = at_fixed_point(_settle)(dynamics, features, tokens, status, (mask, token_mask))
    if adjoint == "none":
        tokens, memory, kept = jax.tree.map(forward_only, (tokens, memory, kept))
    soft: Any = None
    hard: Any = None
    if assignment != "none":
        found = stepping.assignment_of(
            dynamics, num_steps, tokens, features, contexts, mask, token_mask, hard=assignment == "hard"
        )
        soft, hard = (found, None) if assignment == "soft" else (None, found)
    if soft is not None:
        rows = soft if mask is None else jnp.where(mask[:, None], soft, 0.0)
        # One sum, at most N if all is well, reveals any number that is not finite.
        broken = ~jnp.isfinite(jnp.sum(rows)) & (status <= Status.MAX_STEPS)
        status = jnp.where(broken, Status.NONFINITE, status).astype(jnp.int32)
    distinct = num_distinct(tokens, features, mask, token_mask)
    ended = State(tokens, memory, num_steps)
    history = kept if keep else None
    return Result(tokens, soft, num_steps, status, displacement, residual, distinct, hard, ended, history)


def _settle(dynamics: Dynamics, features: jax.Array, tokens: jax.Array, rest: tuple[Any, Any]) -> jax.Array:
    """One step of tokens whose memory is at rest."""
    mask, token_mask = rest
    contexts = stepping.prepare(dynamics, features, mask, token_mask)
    begun = stepping.at_rest(dynamics, tokens, contexts, token_mask)
    return stepping.advance(dynamics, None, begun, contexts, token_mask)[0].tokens


def trajectory(
    dynamics: Dynamics,
    key: jax.Array | None,
    features: ArrayLike,
    *,
    num_tokens: int | None = None,
    num_steps: int,
    keep: KeepFunction | None = None,
    start: str = "features",
    tokens: ArrayLike | None = None,
    mask: ArrayLike | None = None,
    token_mask: ArrayLike | None = None,
) -> tuple[State, Any]:
    """Run a fixed number of steps and store, after each, only what ``keep`` returns.

    Args:
        dynamics: what ``td.compose`` returned.
        key: a JAX key; may be None if ``tokens`` are given and no part is random. The same key, steps and start give
            the same tokens as ``run``.
        features: `[N, D]`.
        num_tokens: K (static); may be omitted if ``tokens`` are given.
        num_steps: how many steps (static).
        keep: ``(State, Info) -> pytree``, what is stored; by default the tokens. Define it once, since a new lambda
            compiles a new program.
        start: how starting tokens are drawn: a name in ``td.starts.CATALOG`` (static).
        tokens: starting tokens `[K, D]`, instead of drawn ones.
        mask: which features exist `[N]`.
        token_mask: which tokens exist `[K]`.

    Returns:
        ``(State, kept)``: the last state, and what was kept, with a leading axis ``[num_steps]``. The start is not
        included (``td.init`` returns it). Reverse-mode differentiation works, and keeps all steps.

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
    result = run(
        dynamics,
        key,
        features,
        num_tokens=num_tokens,
        max_steps=num_steps,
        tol=0.0,
        start=start,
        tokens=tokens,
        mask=mask,
        token_mask=token_mask,
        adjoint="unroll",
        assignment="none",
        keep=keep or _tokens,
    )
    return result.state, result.kept


def _tokens(state: State, info: Info) -> jax.Array:
    return state.tokens
