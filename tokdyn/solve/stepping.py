"""One step of a composed dynamics, and the starting tokens. There are no loops here."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from numpy.typing import ArrayLike

from tokdyn import checks, keys, starts
from tokdyn.dynamics.base import Context, Dynamics, Flow, Info, State
from tokdyn.dynamics.schedules import is_schedule, resolved
from tokdyn.tree import path_of
from tokdyn.typing import PyTree


class Progress(NamedTuple):
    """What the loop over steps carries.

    Attributes:
        state: the state after the last step.
        displacement: the largest displacement of a token in the last step `[]`.
        residual: the largest force on a token in the last step `[]`.
        done: whether the run has ended, because of its tolerance or a non-finite number `[]`.
        kept: the history, with rows `[max_steps // every]`; () without one.
    """

    state: State
    displacement: jax.Array
    residual: jax.Array
    done: jax.Array
    kept: Any = ()


def checked(
    dynamics: Dynamics,
    key: jax.Array | None,
    features: ArrayLike,
    *,
    num_tokens: int | None,
    tokens: ArrayLike | None,
    mask: ArrayLike | None,
    token_mask: ArrayLike | None,
) -> tuple[Dynamics, jax.Array, jax.Array | None, jax.Array | None, jax.Array | None, int]:
    """The arguments that all drivers share, checked and cast to the features' dtype.

    Returns:
        ``(dynamics, features, tokens, mask, token_mask, num_tokens)``; masked features are zero.

    Raises:
        ValueError: for the first invalid argument, which the message names.
    """
    if not isinstance(dynamics, Dynamics):
        raise checks.bad("dynamics", "what td.compose returned", f"a {type(dynamics).__name__}")
    features = checks.floating("features", features, axes="[N, D]")
    num_features, num_dimensions = features.shape
    if features.dtype == jnp.float16:
        raise checks.bad("features", "float32, float64 or bfloat16 (squares leave float16's range)", "dtype float16")
    if num_features == 0 or num_dimensions == 0:
        raise checks.bad("features", "at least one feature of at least one dimension", checks.describe_array(features))
    mask = checks.boolean_mask("mask", mask, num_features, axes="[N]")
    if mask is not None:
        features = jnp.where(mask[:, None], features, 0.0)
    if tokens is not None:
        tokens = checks.floating("tokens", tokens, axes="[K, D]").astype(features.dtype)
        if tokens.shape[1] != num_dimensions or tokens.shape[0] == 0:
            raise checks.bad(
                "tokens", f"shape (K, {num_dimensions}), as the features have", checks.describe_array(tokens)
            )
        if num_tokens is not None and checks.whole_number("num_tokens", num_tokens, at_least=1) != tokens.shape[0]:
            raise checks.bad("num_tokens", f"{tokens.shape[0]}, the number of tokens given", num_tokens)
        num_tokens = tokens.shape[0]
    else:
        if num_tokens is None:
            raise checks.bad("num_tokens", "a number, because no tokens are given", None)
        num_tokens = checks.whole_number("num_tokens", num_tokens, at_least=1)
        if num_tokens > num_features:
            raise checks.bad("num_tokens", f"at most the number of features, {num_features}", num_tokens)
    token_mask = checks.boolean_mask("token_mask", token_mask, num_tokens, axes="[K]")
    stochastic = [name for name, part in zip(dynamics.names, dynamics.parts, strict=True) if _is_stochastic(part)]
    if key is None and (tokens is None or stochastic):
        reason = f"the part {stochastic[0]!r} is random" if stochastic else "no tokens are given"
        raise checks.bad("key", f"a JAX key, because {reason}", None)
    if key is not None:
        checks.random_key("key", key)
    return cast(dynamics, features.dtype), features, tokens, mask, token_mask, num_tokens


def checked_state(name: str, state: PyTree) -> State:
    """The final state of a run, as the start of another one.

    Raises:
        ValueError: not a ``State``.
    """
    if not isinstance(state, State):
        raise checks.bad(name, "a State or a Result of td.run", f"a {type(state).__name__}")
    return state


def check_memory(state: State, at_rest: State) -> None:
    """Check that the memory of a state can come from the parts of this dynamics.

    Raises:
        ValueError: the number of memories, or their shapes or dtypes, differ.
    """
    told = [jax.tree.map(lambda x: (jnp.shape(x), jnp.result_type(x).name), one.memory) for one in (state, at_rest)]
    if told[0] != told[1]:
        raise checks.bad("state", f"a state of this dynamics, with memory {told[1]}", f"memory {told[0]}")
    if jnp.shape(state.step) != () or not jnp.issubdtype(jnp.result_type(state.step), jnp.integer):
        raise checks.bad("state", "a whole number of steps []", checks.describe_array(state.step))


def cast(tree: PyTree, dtype: DTypeLike) -> Any:
    """Cast plain numbers and floating-point arrays to a dtype; leave integer and boolean arrays unchanged.

    Raises:
        ValueError: a leaf that is not a number.
    """

    def to_dtype(keys: Any, leaf: Any) -> Any:
        if isinstance(leaf, (int, float)) and not isinstance(leaf, bool):
            return jnp.asarray(leaf, dtype)
        try:
            is_floating = jnp.issubdtype(jnp.result_type(leaf), jnp.floating)
        except TypeError:
            expected = "a number (a field that chooses the program is made with td.static())"
            raise checks.bad(path_of(keys), expected, repr(leaf)) from None
        return jnp.asarray(leaf, dtype) if is_floating else leaf

    def schedule_or_leaf(keys: Any, node: Any) -> Any:
        if not is_schedule(node):
            return to_dtype(keys, node)

        def inside(within: Any, leaf: Any) -> Any:
            # The length of a schedule counts steps, which a narrow dtype might not represent.
            return leaf if leaf is node.num_steps else to_dtype((*keys, *within), leaf)

        return jax.tree_util.tree_map_with_path(inside, node)

    return jax.tree_util.tree_map_with_path(schedule_or_leaf, tree, is_leaf=is_schedule)


def prepare(
    dynamics: Dynamics, features: jax.Array, mask: jax.Array | None, token_mask: jax.Array | None
) -> tuple[Context, ...]:
    """Every part's loop-invariant view of the features; schedules take their first value."""
    return tuple(part.prepare(features, mask, token_mask) for part in resolved(dynamics, 0, features.dtype).parts)


# Compiled as one program, for callers outside jit.
prepared = jax.jit(prepare)


def at_rest(
    dynamics: Dynamics, tokens: jax.Array, contexts: tuple[Context, ...], token_mask: jax.Array | None
) -> State:
    """The state of tokens that have not yet moved."""
    seen = tokens if token_mask is None else jnp.where(token_mask[:, None], tokens, 0.0)
    memory = tuple(
        part.init(seen, context)
        for part, context in zip(resolved(dynamics, 0, tokens.dtype).parts, contexts, strict=True)
    )
    return State(tokens, memory, jnp.zeros((), jnp.int32))


def advance(
    dynamics: Dynamics,
    key: jax.Array | None,
    state: State,
    contexts: tuple[Context, ...],
    token_mask: jax.Array | None,
) -> tuple[State, Info]:
    """One step: all parts in order, then the tokens move."""
    now = resolved(dynamics, state.step, state.tokens.dtype)
    # Parts must not see the value of a masked token, which may be NaN.
    seen = state.tokens if token_mask is None else jnp.where(token_mask[:, None], state.tokens, 0.0)
    still = jnp.zeros_like(seen)
    flow = Flow(still, still)
    memories = []
    for name, part, memory, context in zip(now.names, now.parts, state.memory, contexts, strict=True):
        part_key = keys.for_step(key, state.step, name) if key is not None and _is_stochastic(part) else None
        applied = part.apply(part_key, state.step, flow, seen, memory, context)
        if not (isinstance(applied, tuple) and len(applied) == 2 and isinstance(applied[0], Flow)):
            got = "a Flow alone" if isinstance(applied, Flow) else f"a {type(applied).__name__}"
            raise checks.bad(name, "apply to return (flow, memory)", got)
        flow, memory = applied
        memories.append(memory)
    if token_mask is not None:
        flow = Flow(*(jnp.where(token_mask[:, None], x, 0.0) for x in flow))
    tokens = state.tokens + flow.displacement
    # The actual displacement of the tokens, after rounding, rather than flow.displacement.
    moved = tokens - state.tokens
    if token_mask is not None:
        moved = jnp.where(token_mask[:, None], moved, 0.0)  # NaN - NaN is not 0
    return State(tokens, tuple(memories), state.step + 1), Info(moved, flow.force)


def assignment_of(
    dynamics: Dynamics,
    step: jax.Array,
    tokens: jax.Array,
    features: jax.Array,
    contexts: tuple[Context, ...],
    mask: jax.Array | None,
    token_mask: jax.Array | None,
    *,
    hard: bool = False,
) -> jax.Array:
    """The assignment `[N, K]`, or labels `[N]`, by the part that assigns; if there is none, by the nearest token."""
    name = dynamics.assigner
    if name is not None:
        place = dynamics.names.index(name)
        part, context = resolved(dynamics, step, tokens.dtype).parts[place], contexts[place]
    else:
        from tokdyn.dynamics.attraction import attraction

        part = cast(attraction(temperature=0.0), features.dtype)
        context = part.prepare(features, mask, token_mask)
    if not hard:
        return part.assign(tokens, features, context)
    if hasattr(part, "assign_hard"):
        return part.assign_hard(tokens, features, context)
    return jnp.argmax(part.assign(tokens, features, context), axis=-1).astype(jnp.int32)


def init(
    dynamics: Dynamics,
    key: jax.Array | None,
    features: ArrayLike,
    *,
    num_tokens: int | None = None,
    start: str = "features",
    tokens: ArrayLike | None = None,
    mask: ArrayLike | None = None,
    token_mask: ArrayLike | None = None,
) -> State:
    """The state before the first step, for writing your own loop with ``step``.

    Args:
        dynamics: what ``compose`` returned.
        key: a JAX key for the starting tokens; may be None if tokens are given.
        features: `[N, D]`.
        num_tokens: K (static); required unless tokens are given.
        start: how starting tokens are drawn: a name in ``td.starts.CATALOG`` (static).
        tokens: starting tokens `[K, D]`, instead of drawn ones.
        mask: which features exist `[N]`.
        token_mask: which tokens exist `[K]`.

    Returns:
        A ``State``.

    Raises:
        ValueError: bad shapes, dtypes or counts.

    Example:
        >>> import jax, tokdyn as td
        >>> features = jax.random.normal(jax.random.key(0), (20, 2))
        >>> dynamics, key = td.compose(attract=td.attraction(temperature=1.0)), jax.random.key(1)
        >>> state = td.init(dynamics, key, features, num_tokens=3)
        >>> state, info = td.step(dynamics, key, state, features)
        >>> state.tokens.shape, int(state.step)
        ((3, 2), 1)
    """
    start = checks.choice("start", start, tuple(starts.CATALOG))
    dynamics, features, tokens, mask, token_mask, num_tokens = checked(
        dynamics, key, features, num_tokens=num_tokens, tokens=tokens, mask=mask, token_mask=token_mask
    )
    if tokens is None:
        assert key is not None  # checked above
        tokens = drawn(key, features, mask, num_tokens=num_tokens, start=start)
    return at_rest(dynamics, jnp.asarray(tokens), prepared(dynamics, features, mask, token_mask), token_mask)


@functools.partial(jax.jit, static_argnames=("num_tokens", "start"))
def drawn(key: jax.Array, features: jax.Array, mask: jax.Array | None, *, num_tokens: int, start: str) -> jax.Array:
    """Starting tokens `[K, D]` by the start of that name, for the run that has this key."""
    return starts.CATALOG[start](keys.for_purpose(key, "start"), features, num_tokens, mask=mask)


def step(
    dynamics: Dynamics,
    key: jax.Array | None,
    state: State,
    features: ArrayLike,
    *,
    mask: ArrayLike | None = None,
    token_mask: ArrayLike | None = None,
) -> tuple[State, Info]:
    """One step, for writing your own loop; ``run`` and ``trajectory`` do the same, but prepare only once.

    Args:
        dynamics: what ``compose`` returned.
        key: the run's key, into which the step number is folded here; may be None if no part is random.
        state: the state from ``init`` or from the previous step.
        features: `[N, D]`.
        mask: which features exist `[N]`.
        token_mask: which tokens exist `[K]`.

    Returns:
        ``(State, Info)``.

    Raises:
        ValueError: bad shapes or dtypes.
    """
    dynamics, features, _, mask, token_mask, _ = checked(
        dynamics, key, features, num_tokens=None, tokens=state.tokens, mask=mask, token_mask=token_mask
    )
    return _stepped(dynamics, key, state, features, mask, token_mask)


@jax.jit  # for loops outside jit, where a step of many small programs would take many times as long
def _stepped(
    dynamics: Dynamics,
    key: jax.Array | None,
    state: State,
    features: jax.Array,
    mask: jax.Array | None,
    token_mask: jax.Array | None,
) -> tuple[State, Info]:
    return advance(dynamics, key, state, prepare(dynamics, features, mask, token_mask), token_mask)


def is_random(dynamics: Dynamics) -> bool:
    """Whether any part uses its key."""
    return any(_is_stochastic(part) for part in dynamics.parts)


def _is_stochastic(part: Any) -> bool:
    return bool(getattr(part, "stochastic", False))


KeepFunction = Callable[[State, Info], Any]
