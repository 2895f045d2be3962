"""The driver: run a composed dynamics until it rests, keep a history of it, go on from where it ended.

``trajectory`` is its short form for a fixed number of steps, all of them kept.
"""

from __future__ import annotations

import functools
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from numpy.typing import ArrayLike

from tokdyn import checks, keys
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
        state: what a run that goes on from here needs (``run(..., state=result)``).
        kept: what ``keep`` returned, with a leading axis `[max_steps // every]`: row r is of step ``(r + 1) * every``.
            Rows of steps that were not taken hold NaN, or 0 where the dtype has none. None without ``keep``.
    """

    tokens: jax.Array
    assignment: jax.Array  # not "or None": it is one unless the caller asked for something else
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
    tokens: ArrayLike | None = None,
    state: State | Result | None = None,
    mask: ArrayLike | None = None,
    token_mask: ArrayLike | None = None,
    adjoint: Literal["none", "unroll", "checkpoint", "implicit"] = "none",
    assignment: Literal["soft", "hard", "none"] = "soft",
    keep: KeepFunction | None = None,
    every: int = 1,
) -> Result:
    """Run a dynamics until its tokens rest, or the steps are up.

    Numbers inside ``dynamics`` (and ``tol``, ``min_steps``) are traced: changing one compiles nothing, and ``vmap``,
    ``grad`` and ``jit`` over them work. Shapes, ``max_steps``, ``stop``, ``adjoint`` and ``assignment`` choose the
    program.

    A run can be gone on with: ``run(..., max_steps=30)`` is ``first = run(..., max_steps=10)`` and then
    ``run(..., max_steps=30, state=first)``, to the last bit (to rounding where an adjoint keeps the steps).

    Args:
        dynamics: what ``td.compose`` returned.
        key: a JAX key; None is enough where ``tokens`` or a ``state`` are given and no part is random.
        features: `[N, D]`, floating point; the whole run is computed in their dtype.
        num_tokens: K (static); may be left out where ``tokens`` or a ``state`` are given.
        max_steps: at most so many steps (static), those before ``state`` counted.
        tol: stop after the first step whose largest displacement of a token (Euclidean) is below it `[]`; 0 never
            stops early.
        min_steps: do not stop before `[]`. A schedule inside the dynamics raises it to its own length.
        stop: what is compared with ``tol``: ``"displacement"``, or ``"residual"``, the force that a token at rest
            would feel. With inertia the displacement passes near zero at turning points; the residual does not.
        tokens: the start `[K, D]`; by default K features drawn without replacement.
        state: where an earlier run, ``td.step`` or ``td.trajectory`` ended, instead of a start: a ``State``, or the
            ``Result`` itself. After a ``Result`` that meets the tolerance no step is taken, and its history is gone on
            with; numbers of steps go on in both cases.
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
        keep: ``(State, Info) -> pytree``, a history of which ``Result.kept`` has a row for each step (static: define
            it once, a new lambda is a new program).
        every: keep every so many steps only (static).

    Returns:
        A ``Result``. Failures that only the numbers decide are in its ``status``, never an exception.

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
        _ = dynamics.assigner  # or a sentence, before anything is computed
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
        adjoint=adjoint,
        assignment=assignment,
        keep=keep,
        every=every if keep else 1,
    )


@functools.partial(
    jax.jit, static_argnames=("num_tokens", "max_steps", "stop", "adjoint", "assignment", "keep", "every")
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
    adjoint: str,
    assignment: str,
    keep: KeepFunction | None,
    every: int,
) -> Result:
    """``run`` after its checks. Jitted here so that a plain call compiles once; inside another jit it is inlined."""
    invalid = ~in_range(dynamics)
    if token_mask is not None:
        invalid = invalid | ~jnp.any(token_mask)
    if mask is not None:
        invalid = invalid | (jnp.sum(mask) < (num_tokens if tokens is None else 1))
    if tokens is None:
        assert key is not None  # checked by the caller
        tokens = stepping.random_features(keys.for_purpose(key, "start"), features, num_tokens, mask=mask)

    contexts = stepping.prepare(dynamics, features, mask, token_mask)

    moving, layouts = dynamics, contexts
    if adjoint == "implicit":  # its gradient is that of the fixed point: none passes through the steps
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
        # One sum, at most N, tells of any number that is not finite.
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
    tokens: ArrayLike | None = None,
    mask: ArrayLike | None = None,
    token_mask: ArrayLike | None = None,
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
    result = run(
        dynamics, key, features, num_tokens=num_tokens, max_steps=num_steps, tol=0.0, tokens=tokens, mask=mask,
        token_mask=token_mask, adjoint="unroll", assignment="none", keep=keep or _tokens,
    )  # fmt: skip
    return result.state, result.kept


def _tokens(state: State, info: Info) -> jax.Array:
    return state.tokens
