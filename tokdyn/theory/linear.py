r"""The linear map that a small disturbance of the tokens goes through in one step, as products with it, never a matrix.

It is taken by forward mode through the step of ``td.step``, memories of parts included, so that it holds for any
composed dynamics. Two kinds of disturbance are told apart: *common* ones move all tokens alike, *difference* ones move
them against one another, and collapse is a question about the second kind only. Where all tokens are at one point, no
disturbance of one kind becomes one of the other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from numpy.typing import ArrayLike

from tokdyn import checks
from tokdyn.dynamics.base import Dynamics, State
from tokdyn.dynamics.schedules import schedules
from tokdyn.solve import stepping

# Up to this many numbers (tokens and memories), all eigenvalues are computed; beyond, a few of the largest.
MOST_DENSE = 768
_KRYLOV, _ACCURACY = 20, 1e-4  # vectors that Arnoldi keeps, and relative error of a radius


class Stability(NamedTuple):
    """How a dynamics acts on small disturbances of its tokens.

    Attributes:
        eigenvalues: of one step, largest modulus first `[found]`, complex; all of them, or the largest of each kind.
        radius: largest modulus. Below 1 at a fixed point, disturbances die out in the long run.
        common_radius: the same for disturbances that move all tokens alike.
        difference_radius: the same for disturbances that move tokens against one another; 0 for one token.
        residual: largest force on a token over the spread of the tokens and features: the radii speak of stability only
            where this is near 0.
        is_complete: whether these are all eigenvalues.
    """

    eigenvalues: np.ndarray
    radius: float
    common_radius: float
    difference_radius: float
    residual: float
    is_complete: bool


class Map(NamedTuple):
    """One step of a dynamics as a function of one vector: tokens, then the memories that are numbers.

    Attributes:
        step: of `[size]`, to `[size]`.
        start: the vector of the given tokens at rest, or of the given state `[size]`.
        tokens: of a vector, the tokens `[K, D]`.
    """

    step: Callable[[jax.Array], jax.Array]
    start: jax.Array
    tokens: Callable[[jax.Array], jax.Array]


def as_map(dynamics: Dynamics, features: ArrayLike, tokens: ArrayLike | State, *, mask: ArrayLike | None = None) -> Map:
    """A step of a dynamics as a map of one vector, for the functions of ``tokdyn.theory.maps``.

    Args:
        dynamics: without noise or schedules.
        features: `[N, D]`.
        tokens: tokens at rest `[K, D]`, or a ``State``.
        mask: which features exist `[N]`.

    Returns:
        ``Map``.

    Raises:
        ValueError: a random part, a schedule, bad shapes.

    Example:
        >>> import jax, tokdyn as td
        >>> features = jax.random.normal(jax.random.key(0), (60, 2))
        >>> moving = td.compose(attract=td.attraction(temperature=1.0), inertia=td.inertia(momentum=0.5))
        >>> step, start, _ = td.theory.as_map(moving, features, features[:3])
        >>> start.size  # three tokens in two dimensions, and where they were before
        12
    """
    parts, state, contexts = _prepared(dynamics, features, tokens, mask)
    flat = jnp.asarray(_flat(state))

    def step(vector: jax.Array) -> jax.Array:
        return _stepped(parts, contexts, state, vector)

    return Map(step, flat, lambda vector: vector[: state.tokens.size].reshape(state.tokens.shape))


def stability(
    dynamics: Dynamics, features: ArrayLike, tokens: ArrayLike | State, *, mask: ArrayLike | None = None
) -> Stability:
    """Eigenvalues and spectral radii of one step at given tokens, which are best at rest.

    Up to 768 numbers all eigenvalues are computed from the columns of the map; beyond, those of largest modulus by
    Arnoldi's method (SciPy's ``eigs``) from products alone, so that 32 tokens in 512 dimensions need no matrix of
    16,384 x 16,384.

    Args:
        dynamics: without noise or schedules.
        features: `[N, D]`.
        tokens: tokens at rest `[K, D]`, or a ``State``, for example of a run's end.
        mask: which features exist `[N]`.

    Returns:
        ``Stability``.

    Raises:
        ValueError: a random part, a schedule, bad shapes, tokens where the step is not finite or has no derivative.

    References:
        Saad (2011), Numerical methods for large eigenvalue problems.

    Example:
        >>> import numpy as np, tokdyn as td
        >>> features = np.array([[3.0, 0.0], [-3.0, 0.0], [3.0, 2.0], [-3.0, 2.0]])  # variances 9 and 1
        >>> at_the_mean = np.tile(features.mean(axis=0), (3, 1))
        >>> found = td.theory.stability(td.catalog.soft_kmeans(temperature=12.0), features, at_the_mean)
        >>> round(found.difference_radius, 5), round(found.common_radius, 5)  # 2 * 9 / 12, and 0
        (1.5, 0.0)
    """
    parts, state, contexts = _prepared(dynamics, features, tokens, mask)
    flat = _flat(state)
    if not np.isfinite(flat).all():
        raise checks.bad("tokens", "finite tokens", "NaN or infinity")
    forces = np.asarray(_forced(parts, contexts, state))
    residual = _relative(forces, np.asarray(state.tokens), features, mask)
    split = _splitter(state)
    several = state.tokens.shape[0] > 1
    if flat.size <= MOST_DENSE:
        matrix = np.asarray(_columns(parts, contexts, state, flat), np.float64)
        if not np.isfinite(matrix).all():
            raise checks.bad("tokens", "tokens at which the step and its derivative are finite", "NaN or infinity")
        common = np.stack([split(column)[0] for column in np.eye(flat.size)], axis=1)
        other = np.eye(flat.size) - common
        values = _sorted(np.linalg.eigvals(matrix))
        kinds = [_sorted(np.linalg.eigvals(kind @ matrix @ kind)) for kind in (common, other)]
        return Stability(values, float(abs(values[0])), float(abs(kinds[0][0])),
                         float(abs(kinds[1][0])) if several else 0.0, residual, True)  # fmt: skip
    # Linearised once: what a product with a vector needs of the step is kept, and nothing is computed twice.
    linear = _linearised(parts, contexts, state, flat)
    push = lambda vector: np.asarray(_applied(linear, vector.astype(flat.dtype)), np.float64)  # noqa: E731
    if not np.isfinite(push(np.ones(flat.size))).all():
        raise checks.bad("tokens", "tokens at which the step and its derivative are finite", "NaN or infinity")
    start = np.random.default_rng(0).normal(size=flat.size)
    first, second = split(start)
    alike, along = _largest(lambda v: split(push(split(v)[0]))[0], first)
    apart, across = _largest(lambda v: split(push(split(v)[1]))[1], second) if several else (np.zeros(1), second)
    # All modes together, from near the two that were found, and a little of everything.
    whole, _ = _largest(push, along + across + 0.01 * start / np.linalg.norm(start))
    values = _sorted(np.concatenate([whole, alike, apart]))
    return Stability(values, float(abs(whole[0])), float(abs(alike[0])), float(abs(apart[0])), residual, False)


def _prepared(dynamics: Dynamics, features: Any, tokens: Any, mask: Any) -> tuple[Dynamics, State, Any]:
    if isinstance(dynamics, Dynamics):
        if stepping.is_random(dynamics):
            raise checks.bad("dynamics", "no random part (a disturbance would be lost in its noise)", "a random one")
        if schedules(dynamics):
            raise checks.bad("dynamics", "numbers that do not change from step to step", "a schedule")
    given = tokens.tokens if isinstance(tokens, State) else tokens
    parts, features, given, mask, _, _ = stepping.checked(
        dynamics, None, features, num_tokens=None, tokens=given, mask=mask, token_mask=None
    )
    assert given is not None
    contexts = stepping.prepared(parts, features, mask, None)
    state = stepping.at_rest(parts, given, contexts, None)
    if isinstance(tokens, State):
        stepping.check_memory(tokens, state)
        state = tokens
    return parts, state, contexts


def _numbers(state: State) -> Any:
    """What of a state can be disturbed: tokens and floating-point memories."""
    kept = [leaf for leaf in jax.tree.leaves(state.memory) if jnp.issubdtype(jnp.result_type(leaf), jnp.floating)]
    return [state.tokens, *kept]


def _flat(state: State) -> np.ndarray:
    """``_numbers`` as one vector, without a program."""
    return np.concatenate([np.asarray(leaf).reshape(-1) for leaf in _numbers(state)])


def _with_numbers(state: State, numbers: list[jax.Array]) -> State:
    leaves, shape = jax.tree.flatten(state.memory)
    given = iter(numbers[1:])
    made = [next(given) if jnp.issubdtype(jnp.result_type(leaf), jnp.floating) else leaf for leaf in leaves]
    return state._replace(tokens=numbers[0], memory=jax.tree.unflatten(shape, made))


def _stepped(parts: Dynamics, contexts: Any, state: State, vector: jax.Array) -> jax.Array:
    _, unravel = ravel_pytree(_numbers(state))
    after, _ = stepping.advance(parts, None, _with_numbers(state, unravel(vector)), contexts, None)
    return ravel_pytree(_numbers(after))[0]


@jax.jit
def _forced(parts: Dynamics, contexts: Any, state: State) -> jax.Array:
    return stepping.advance(parts, None, state, contexts, None)[1].force


@jax.jit
def _linearised(parts: Dynamics, contexts: Any, state: State, at: jax.Array) -> Callable[[jax.Array], jax.Array]:
    """The linear map at a vector, as a function of another."""
    return jax.linearize(lambda v: _stepped(parts, contexts, state, v), at)[1]


@jax.jit
def _applied(linear: Callable[[jax.Array], jax.Array], vector: jax.Array) -> jax.Array:
    return linear(vector)


@jax.jit
def _columns(parts: Dynamics, contexts: Any, state: State, at: jax.Array) -> jax.Array:
    """The linear map as a matrix, for few numbers."""
    _, push = jax.linearize(lambda v: _stepped(parts, contexts, state, v), at)
    return jax.vmap(push, out_axes=1)(jnp.eye(at.size, dtype=at.dtype))


def _splitter(state: State) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Of a vector, the part that moves all tokens alike, and the rest. Memories without tokens are alike."""
    shapes = [np.shape(leaf) for leaf in _numbers(state)]
    count = state.tokens.shape[0]

    def split(vector: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        alike, place = [], 0
        for shape in shapes:
            size = int(np.prod(shape))
            piece = vector[place : place + size].reshape(shape)
            place += size
            if shape[:1] == (count,):
                piece = np.broadcast_to(piece.mean(axis=0), shape)
            alike.append(piece.reshape(-1))
        together = np.concatenate(alike)
        return together, vector - together

    return split


def _largest(push: Any, start: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues of largest modulus by Arnoldi's method from products, and a direction of the first, of length 1."""
    from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigs

    size, length = len(start), np.linalg.norm(start)
    operator = LinearOperator((size, size), matvec=lambda v: push(np.ravel(v)), dtype=np.float64)
    vector = start / (length or 1.0)
    if np.linalg.norm(push(vector)) <= 1e-12:
        return np.zeros(1, complex), vector  # maps everything to nothing, which Arnoldi does not take
    try:
        found, vectors = eigs(operator, k=1, v0=start, ncv=_KRYLOV, tol=_ACCURACY, maxiter=50)
    except ArpackNoConvergence as error:
        found, vectors = np.asarray(error.eigenvalues, complex), np.asarray(error.eigenvectors)
    if len(found):
        direction = vectors[:, 0].real + vectors[:, 0].imag  # both parts of a pair are of its plane
        return _sorted(found), direction / np.linalg.norm(direction)
    # Not found to that accuracy: some steps of power iteration give the radius of what does not decay.
    growth = 0.0
    for _ in range(20):
        vector = push(vector)
        growth = float(np.linalg.norm(vector))
        vector = vector / (growth or 1.0)
    return np.full(1, growth, complex), vector


def _sorted(values: np.ndarray) -> np.ndarray:
    return values[np.argsort(-np.abs(values), kind="stable")].astype(complex)


def _relative(forces: np.ndarray, tokens: np.ndarray, features: Any, mask: Any) -> float:
    rows = np.asarray(features, np.float64)
    rows = rows if mask is None else rows[np.asarray(mask)]
    spread = float(np.sqrt(((rows - rows.mean(axis=0)) ** 2).sum(axis=1).mean())) if len(rows) else 0.0
    largest = float(np.sqrt((forces.astype(np.float64) ** 2).sum(axis=1)).max())
    return largest / spread if spread > 0 else largest
