"""Any map z -> f(z) as a dynamics: where it goes, whether it contracts, whether it repeats itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from tokdyn.checks import bad, describe_array, random_key, whole_number

Step = Callable[[jax.Array], jax.Array]


class Spectrum(NamedTuple):
    """The linear map that a small disturbance of the latents goes through in one step.

    Attributes:
        eigenvalues: of the Jacobian, largest modulus first `[size]`, complex.
        spectral_radius: largest modulus; below 1 at a fixed point means that disturbances die out in the long run.
        largest_singular_value: the most that one step can stretch a disturbance; may be above 1 though the radius is
            below (a map that is not normal grows before it shrinks).
        residual: length of `step(z) - z` over that of z (absolute for z = 0): the eigenvalues speak of stability only
            where this is near 0.
    """

    eigenvalues: np.ndarray
    spectral_radius: float
    largest_singular_value: float
    residual: float


class Lyapunov(NamedTuple):
    """Finite-time Lyapunov exponents.

    Attributes:
        exponents: mean log growth for each step, largest first for long runs `[exponents]`; minus infinity where
            collapsed.
        growth: log growth in each step `[steps, exponents]`; 0 where that step destroyed the direction.
        collapsed: directions that some step maps to nothing (up to rounding) `[exponents]` bool.
        end: the state after the last step.
    """

    exponents: jax.Array
    growth: jax.Array
    collapsed: jax.Array
    end: jax.Array


def rollout(step: Step, start: ArrayLike, *, num_steps: int) -> jax.Array:
    """The states that a recurrence goes through, its start first. Works under jit.

    Args:
        step: a pure function of the state, to a state of the same shape.
        start: any shape, floating point.
        num_steps: static, at least 1.

    Returns:
        `[num_steps + 1, ...]`.

    Raises:
        ValueError: a step that changes shape or dtype.

    Example:
        >>> import jax.numpy as jnp
        >>> from tokdyn.theory import rollout
        >>> rollout(lambda z: 0.5 * z, jnp.array([8.0]), num_steps=3)[:, 0].tolist()
        [8.0, 4.0, 2.0, 1.0]
    """
    state = _state(step, start)
    num_steps = whole_number("num_steps", num_steps, at_least=1)

    def body(z: jax.Array, _: None) -> tuple[jax.Array, jax.Array]:
        after = step(z)
        return after, after

    _, states = jax.lax.scan(body, state, None, length=num_steps)
    return jnp.concatenate([state[None], states])


def jacobian(step: Step, state: ArrayLike) -> jax.Array:
    """The Jacobian of the flattened step at a state, by forward mode. Works under jit.

    Args:
        step: a pure function of the state, to a state of the same shape.
        state: any shape, floating point.

    Returns:
        `[size, size]`.

    Raises:
        ValueError: a step that changes shape or dtype.

    Example:
        >>> import jax.numpy as jnp
        >>> from tokdyn.theory import jacobian
        >>> jacobian(lambda z: z**2, jnp.array([1.0, 3.0])).tolist()
        [[2.0, 0.0], [0.0, 6.0]]
    """
    array = _state(step, state)
    return jax.jacfwd(lambda flat: step(flat.reshape(array.shape)).reshape(-1))(array.reshape(-1))


def jacobian_spectrum(step: Step, state: ArrayLike) -> Spectrum:
    """Eigenvalues of the step at a state, with what they do not tell. Outside jit: eigenvalues need LAPACK.

    Args:
        step: a pure function of the state, to a state of the same shape.
        state: any shape, floating point; best a fixed point.

    Returns:
        `Spectrum`.

    Raises:
        ValueError: a step that changes shape or dtype, or a Jacobian that is not finite.

    References:
        Trefethen and Embree (2005), Spectra and Pseudospectra (growth before decay).

    Example:
        >>> import jax.numpy as jnp
        >>> from tokdyn.theory import jacobian_spectrum
        >>> turn = jnp.array([[0.0, -0.5], [0.5, 0.0]])
        >>> found = jacobian_spectrum(lambda z: turn @ z, jnp.zeros(2))
        >>> round(found.spectral_radius, 6), found.residual
        (0.5, 0.0)
    """
    array = _state(step, state)
    matrix = np.asarray(jacobian(step, array), np.float64)
    if not np.isfinite(matrix).all():
        raise bad("step", "a finite Jacobian at the state", "NaN or infinity")
    values = np.linalg.eigvals(matrix)
    values = values[np.argsort(-np.abs(values), kind="stable")]
    moved, length = float(jnp.linalg.norm(step(array) - array)), float(jnp.linalg.norm(array))
    return Spectrum(
        eigenvalues=values.astype(np.complex128),
        spectral_radius=float(np.abs(values[0])),
        largest_singular_value=float(np.linalg.norm(matrix, 2)),
        residual=moved / length if length > 0 else moved,
    )


def lyapunov_exponents(
    step: Step, start: ArrayLike, *, num_steps: int, num_exponents: int = 1, key: jax.Array
) -> Lyapunov:
    r"""Finite-time Lyapunov exponents along the orbit of a start, by tangent vectors and QR.

    Orthonormal tangents Q are carried along, `J(z_t) Q_t = Q_{t+1} R_{t+1}`, and exponent i is
    `\frac1T \sum_t \log |R_{t,ii}|`. Below 0: nearby latents come together, so that what they carried in that direction
    is forgotten; for T steps this is what T steps do, with a part of order 1 / T from the random first tangents. J is
    only applied, never built. Works under jit.

    Args:
        step: a pure function of the state, to a state of the same shape.
        start: any shape, floating point.
        num_steps: T; static, at least 1.
        num_exponents: how many of the largest; static, at most the size of the state.
        key: of the first tangents.

    Returns:
        `Lyapunov`.

    Raises:
        ValueError: a step that changes shape or dtype, or more exponents than numbers in the state.

    References:
        Benettin, Galgani, Giorgilli and Strelcyn (1980), Lyapunov characteristic exponents for smooth dynamical
        systems. Meccanica 15, 9-30.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from tokdyn.theory import lyapunov_exponents
        >>> found = lyapunov_exponents(lambda z: jnp.array([2.0, 0.5]) * z, jnp.ones(2), num_steps=200,
        ...                            num_exponents=2, key=jax.random.key(0))
        >>> [round(float(each), 1) for each in found.exponents]  # log 2, log 1/2
        [0.7, -0.7]
    """
    state = _state(step, start)
    random_key("key", key)
    num_steps = whole_number("num_steps", num_steps, at_least=1)
    num_exponents = whole_number("num_exponents", num_exponents, at_least=1)
    if num_exponents > state.size:
        raise bad("num_exponents", f"at most the size of the state, {state.size}", num_exponents)
    eps = jnp.finfo(state.dtype).eps
    first, _ = jnp.linalg.qr(jax.random.normal(key, (state.size, num_exponents), state.dtype))

    def body(carry: tuple[jax.Array, jax.Array], _: None) -> tuple[tuple[jax.Array, jax.Array], Any]:
        z, tangents = carry
        after, push = jax.linearize(step, z)
        moved = jax.vmap(lambda tangent: push(tangent.reshape(z.shape)).reshape(-1), in_axes=1, out_axes=1)(tangents)
        basis, triangle = jnp.linalg.qr(moved)
        stretch = jnp.abs(jnp.diagonal(triangle))
        # What is left of a column by rounding alone is nothing: relative to the longest column.
        gone = stretch <= 8 * state.size * eps * jnp.max(jnp.linalg.norm(moved, axis=0))
        return (after, basis), (jnp.where(gone, 0.0, jnp.log(jnp.where(gone, 1.0, stretch))), gone)

    (end, _), (growth, gone) = jax.lax.scan(body, (state, first), None, length=num_steps)
    collapsed = gone.any(axis=0)
    return Lyapunov(jnp.where(collapsed, -jnp.inf, growth.mean(axis=0)), growth, collapsed, end)


def period(states: ArrayLike, *, most: int = 64, relative_tolerance: float = 1e-3) -> int:
    """After how many steps an orbit comes back: 1 at rest, 2 where it alternates, 0 where it does not come back.

    The smallest p for which, over the last ``2 * most`` states, the distance between states p steps apart stays below a
    share of the orbit's extent in that window. An orbit whose extent is a rounding error of its positions is at rest.

    Args:
        states: `[steps, ...]`, of which the last ``3 * most`` are read; earlier ones are taken to be transient.
        most: the largest period that is looked for.
        relative_tolerance: share of the orbit's extent.

    Returns:
        1 to ``most``, or 0: longer, quasi-periodic or chaotic (a Lyapunov exponent tells which), or not settled yet.

    Raises:
        ValueError: fewer than ``3 * most`` states.

    Example:
        >>> import numpy as np
        >>> from tokdyn.theory import period
        >>> period(np.resize([0.3, 0.9, 0.5], 300)), period(np.ones(300))
        (3, 1)
    """
    path = np.asarray(states, np.float64)
    most = whole_number("most", most, at_least=1)
    if path.ndim == 0 or len(path) < 3 * most:
        raise bad("states", f"at least {3 * most} states, three times the largest period", describe_array(path))
    path = path[-3 * most :].reshape(3 * most, -1)
    extent = float(np.abs(path - path.mean(axis=0)).max())
    rounding = 64 * float(np.finfo(np.asarray(states).dtype if np.asarray(states).dtype.kind == "f" else float).eps)
    if not np.isfinite(path).all():
        return 0
    if extent <= rounding * float(np.abs(path).max()):
        return 1
    for steps in range(1, most + 1):
        if np.abs(path[steps:] - path[:-steps])[-2 * most :].max() <= relative_tolerance * extent:
            return steps
    return 0


def _state(step: Step, value: Any) -> jax.Array:
    array = jnp.asarray(value)
    if not jnp.issubdtype(array.dtype, jnp.floating) or array.size == 0:
        raise bad("state", "a floating-point array", describe_array(array))
    after = jax.eval_shape(step, array)
    if getattr(after, "shape", None) != array.shape or getattr(after, "dtype", None) != array.dtype:
        raise bad("step", f"a function that keeps {describe_array(array)}", describe_array(after))
    return array
