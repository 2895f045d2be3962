"""Linear equations whose matrix is only known through matrix-vector products.

``jax.scipy.sparse.linalg.gmres`` starts its loops from constants, which ``shard_map`` refuses if the right-hand side
differs between devices (jax 0.10.1 and 0.12.0.1), and always computes all the products of a restart. Hence our own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from tokdyn.solve.lanes import as_varying

MOST_VECTORS = 50
MOST_RESTARTS = 20


class _Space(NamedTuple):
    """An orthonormal basis, and the matrix in that basis as `rotated^T R`, of which `size` columns are known.

    Attributes:
        basis: the basis vectors, as rows `[m + 1, n]`.
        upper: R, upper triangular; columns that are not known yet are those of the identity `[m + 1, m]`.
        rotated: the product of the rotations that make R triangular `[m + 1, m + 1]`.
        size: the number of known columns `[]`.
    """

    basis: jax.Array
    upper: jax.Array
    rotated: jax.Array
    size: jax.Array


def gmres(multiply: Callable[[jax.Array], jax.Array], right: jax.Array) -> jax.Array:
    """The solution `x` of `A x = b` by restarted GMRES.

    Args:
        multiply: ``x -> A x``, for x of any shape.
        right: b, of the same shape.

    Returns:
        `x`. Iteration ends when the residual is at most ten rounding errors of b's norm, or when a restart no longer
        halves it.

    References:
        Y. Saad, M. H. Schultz, GMRES: a generalized minimal residual algorithm for solving nonsymmetric linear systems,
        SIAM J. Sci. Stat. Comput. 7 (1986) 856-869.

    Example:
        >>> import jax.numpy as jnp
        >>> from tokdyn.solve.gmres import gmres
        >>> matrix = jnp.array([[2.0, 1.0], [0.0, 4.0]])
        >>> gmres(lambda x: matrix @ x, jnp.array([4.0, 8.0])).tolist()
        [1.0, 2.0]
    """
    flat = jnp.ravel(right)
    num_vectors = min(flat.size, MOST_VECTORS)
    goal = 10 * jnp.finfo(flat.dtype).eps * jnp.linalg.norm(flat)

    def product(x: jax.Array) -> jax.Array:
        return jnp.ravel(multiply(x.reshape(right.shape)))

    State = tuple[jax.Array, jax.Array, jax.Array, jax.Array]  # x, residual, its norm a restart before, restarts

    def going(state: State) -> jax.Array:
        _, residual, before, restarts = state
        size = jnp.linalg.norm(residual)
        return (size > goal) & (size < before / 2) & (restarts < MOST_RESTARTS)

    def restart(state: State) -> State:
        x, residual, _, restarts = state
        x = x + _correction(product, residual, goal, num_vectors)
        return x, flat - product(x), jnp.linalg.norm(residual), restarts + 1

    begun = (jnp.zeros_like(flat), flat, jnp.full((), jnp.inf, flat.dtype), jnp.int32(0))
    return jax.lax.while_loop(going, restart, as_varying(begun, flat))[0].reshape(right.shape)


def _correction(
    product: Callable[[jax.Array], jax.Array], residual: jax.Array, goal: jax.Array, num_vectors: int
) -> jax.Array:
    """The vector of the Krylov space with the smallest residual."""
    norm = jnp.linalg.norm(residual)
    eps = jnp.finfo(residual.dtype).eps

    def left(space: _Space) -> jax.Array:
        return norm * jnp.abs(space.rotated[space.size, 0])

    def going(space: _Space) -> jax.Array:
        return (space.size < num_vectors) & (left(space) > goal)

    def grown(space: _Space) -> _Space:
        basis, upper, rotated, k = space
        vector = product(basis[k])
        first = basis @ vector
        rest = vector - first @ basis
        second = basis @ rest  # a second time: after one pass the rounding error is as large as the result
        rest = rest - second @ basis
        size = jnp.linalg.norm(rest)
        is_new = size > eps * jnp.linalg.norm(vector)  # otherwise the space holds the solution
        size = jnp.where(is_new, size, 0.0)
        basis = basis.at[k + 1].set(jnp.where(is_new, rest / jnp.where(is_new, size, 1.0), 0.0))
        column = rotated @ (first + second).at[k + 1].add(size)
        length = jnp.hypot(column[k], column[k + 1])
        scale = jnp.where(length > 0, length, 1.0)
        cosine, sine = column[k] / scale, column[k + 1] / scale
        cosine = jnp.where(length > 0, cosine, 1.0)
        above, below = rotated[k], rotated[k + 1]
        rotated = rotated.at[k].set(cosine * above + sine * below).at[k + 1].set(cosine * below - sine * above)
        return _Space(basis, upper.at[:, k].set(column.at[k].set(length).at[k + 1].set(0.0)), rotated, k + 1)

    dtype = residual.dtype
    begun = _Space(
        jnp.zeros((num_vectors + 1, residual.size), dtype).at[0].set(residual / jnp.where(norm > 0, norm, 1.0)),
        jnp.eye(num_vectors + 1, num_vectors, dtype=dtype),
        jnp.eye(num_vectors + 1, dtype=dtype),
        jnp.int32(0),
    )
    space = jax.lax.while_loop(going, grown, as_varying(begun, residual))
    sought = jnp.where(jnp.arange(num_vectors) < space.size, norm * space.rotated[:num_vectors, 0], 0.0)
    weights = jax.scipy.linalg.solve_triangular(space.upper[:num_vectors], sought)
    return weights @ space.basis[:num_vectors]
