"""``gmres`` against LU, where its spaces grow, end early, restart, and where there is no solution."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tokdyn.solve.gmres import MOST_VECTORS, gmres


def contraction(generator, size, norm):
    """A matrix without symmetry, of that spectral norm."""
    matrix = generator.normal(size=(size, size))
    return norm * matrix / np.linalg.norm(matrix, 2)


@pytest.mark.parametrize(("size", "norm"), [(1, 0.5), (7, 0.9), (60, 0.99), (2 * MOST_VECTORS + 1, 0.9)])
def test_equals_lu(size, norm):
    """`I - J` with a contraction J, as at a fixed point; the last needs restarts."""
    generator = np.random.default_rng(size)
    matrix, right = np.eye(size) - contraction(generator, size, norm), generator.normal(size=size)
    with jax.enable_x64(True):
        found = np.asarray(jax.jit(lambda b: gmres(lambda x: jnp.asarray(matrix) @ x, b))(jnp.asarray(right)))
    residual = np.linalg.norm(matrix @ found - right) / np.linalg.norm(right)
    assert residual <= 20 * np.finfo(float).eps
    # What a residual of that size may change: the condition number times it.
    expected = np.linalg.solve(matrix, right)
    bound = 30 * np.finfo(float).eps * np.linalg.cond(matrix)
    assert np.linalg.norm(found - expected) <= bound * np.linalg.norm(expected)


def test_as_many_products_as_there_are_different_eigenvalues():
    """Where the space holds the solution it must not grow: what is added would be rounding."""
    calls = []
    factors = jnp.where(jnp.arange(40) % 2 == 0, 2.0, 0.5)

    def multiply(x):
        jax.debug.callback(lambda: calls.append(1))
        return x * factors

    right = jnp.asarray(np.random.default_rng(0).normal(size=40), jnp.float32)
    found = jax.block_until_ready(gmres(multiply, right))
    jax.effects_barrier()
    np.testing.assert_allclose(found, right / factors, rtol=1e-5)
    assert len(calls) <= 6  # two and one for the residual; perhaps the same again for what rounding left


def test_a_rotation_by_a_right_angle():
    """The residual does not fall in the first step, the case in which methods of minimal directions break down."""
    turn = jnp.array([[0.0, -1.0], [1.0, 0.0]])
    np.testing.assert_allclose(gmres(lambda x: turn @ x, jnp.array([1.0, 2.0])), jnp.array([2.0, -1.0]), atol=1e-6)


def test_nothing_asked_and_nothing_to_be_had():
    assert (gmres(lambda x: 2 * x, jnp.zeros((3, 2))) == 0).all()
    assert not jnp.isfinite(gmres(lambda x: 0 * x, jnp.ones(2))).any()


def test_batches_end_each_by_itself():
    generator = np.random.default_rng(1)
    matrices = np.stack([np.eye(6) - contraction(generator, 6, norm) for norm in (0.0, 0.5, 0.95)])
    right = generator.normal(size=(3, 2, 3))
    with jax.enable_x64(True):
        solve = lambda matrix, b: gmres(lambda x: (matrix @ x.ravel()).reshape(2, 3), b)  # noqa: E731
        found = np.asarray(jax.jit(jax.vmap(solve))(jnp.asarray(matrices), jnp.asarray(right)))
    expected = np.linalg.solve(matrices, right.reshape(3, 6, 1)).reshape(3, 2, 3)
    np.testing.assert_allclose(found, expected, rtol=1e-11)
