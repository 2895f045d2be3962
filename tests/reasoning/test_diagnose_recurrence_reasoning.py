"""Maps whose spectra and exponents are known: linear, triangular, Henon, logistic, a fixed point, a projection."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import key

from tokdyn.reasoning.diagnose import jacobian, jacobian_spectrum, lyapunov_exponents, movement, rollout


def exponents(step, start, num_steps, num_exponents):
    return jax.jit(
        functools.partial(lyapunov_exponents, step, num_steps=num_steps, num_exponents=num_exponents, key=key())
    )(start)


def with_eigenvalues(values, seed=0):
    basis = np.random.default_rng(seed).normal(size=(len(values), len(values)))
    return jnp.asarray(basis @ np.diag(values) @ np.linalg.inv(basis), jnp.float32)


def test_spectrum_of_a_linear_map():
    matrix = with_eigenvalues([0.9, -0.5, 0.2, 0.1])
    found = jacobian_spectrum(lambda z: matrix @ z, jnp.ones(4))
    np.testing.assert_allclose(found.eigenvalues, [0.9, -0.5, 0.2, 0.1], atol=1e-4)
    assert found.spectral_radius == pytest.approx(0.9, abs=1e-4)
    assert found.residual > 0.01  # ones is no fixed point


def test_growth_before_decay_is_seen_in_the_singular_value():
    matrix = jnp.array([[0.5, 10.0], [0.0, 0.5]])
    found = jacobian_spectrum(lambda z: matrix @ z, jnp.zeros(2))
    assert found.spectral_radius == pytest.approx(0.5, abs=1e-3)
    assert found.largest_singular_value == pytest.approx(np.linalg.norm(matrix, 2), rel=1e-5)
    assert found.residual == 0


def test_the_jacobian_has_rows_of_the_output_also_for_slots():
    weights = jax.random.normal(key(), (3, 3))

    def step(z):  # slots mix through a cyclic shift, features through the weights
        return jnp.roll(z, 1, axis=0) @ weights.T

    expected = np.kron(np.roll(np.eye(2), 1, axis=0), weights)
    np.testing.assert_allclose(jacobian(step, jnp.ones((2, 3))), expected, atol=1e-6)


def test_exponents_of_a_linear_map_are_logs_of_the_moduli():
    matrix = with_eigenvalues([1.1, 0.8, 0.3])
    found = exponents(lambda z: matrix @ z, jnp.ones(3), 400, 3)
    # The first tangents' part dies out as 1 / T, with a constant of the order of the basis' condition.
    np.testing.assert_allclose(found.exponents, np.log([1.1, 0.8, 0.3]), atol=0.02)
    turn = 0.7 * jnp.array([[0.6, -0.8], [0.8, 0.6]])  # a complex pair: both log 0.7, exactly
    np.testing.assert_allclose(exponents(lambda z: turn @ z, jnp.ones(2), 50, 2).exponents, np.log(0.7), atol=1e-5)


def test_their_sum_is_the_log_determinant():
    def henon(z):
        return jnp.stack([1 - 1.4 * z[0] ** 2 + z[1], 0.3 * z[0]])

    found = exponents(henon, jnp.array([0.1, 0.1]), 2000, 2)
    np.testing.assert_allclose(found.exponents.sum(), np.log(0.3), atol=1e-4)
    np.testing.assert_allclose(found.growth.sum(axis=1), np.log(0.3), atol=1e-3)  # in every step
    # 0.419 is the literature's value; 2,000 correlated steps with a spread of about 1 are sure to about 0.05.
    assert found.exponents[0] == pytest.approx(0.419, abs=0.05)


def test_logistic_map():
    with jax.enable_x64(True):
        found = exponents(lambda z: 4 * z * (1 - z), jnp.array([0.2345]), 5000, 1)
        # log|4 - 8z| has the mean log 2 and the standard deviation pi / sqrt(12) under the invariant law.
        assert abs(float(found.exponents[0]) - np.log(2)) < 5 * np.pi / np.sqrt(12 * 5000)


def test_a_fixed_point_has_the_logs_of_its_own_multipliers():
    weights = with_eigenvalues([0.9, 0.4], seed=1)

    def step(z):
        return jnp.tanh(weights @ z)

    end = rollout(step, jnp.array([0.3, -0.2]), num_steps=300)[-1]
    np.testing.assert_allclose(end, 0, atol=1e-6)
    radius = jacobian_spectrum(step, end).spectral_radius
    found = exponents(step, end, 200, 1)
    assert float(found.exponents[0]) == pytest.approx(np.log(radius), abs=0.02)


def test_a_destroyed_direction_is_marked():
    found = exponents(lambda z: jnp.ones((2, 2)) @ z, jnp.ones(2) * 1e-30, 5, 2)
    np.testing.assert_array_equal(found.collapsed, [False, True])
    assert found.exponents[0] == pytest.approx(np.log(2), abs=0.2)
    assert found.exponents[1] == -jnp.inf
    constant = exponents(lambda z: jnp.zeros_like(z), jnp.ones(2), 3, 1)
    assert constant.collapsed.all()
    assert not jnp.isnan(constant.growth).any()


def test_movement_of_a_contraction():
    start = jax.random.normal(key(), (5, 3))
    path = rollout(lambda z: 0.5 * z, start, num_steps=6)
    found = jax.jit(movement)(path)
    length = np.sqrt((np.asarray(start) ** 2).sum(-1).mean())
    np.testing.assert_allclose(found.length, length * 0.5 ** np.arange(7), rtol=1e-5)
    np.testing.assert_allclose(found.relative, 0.5, rtol=1e-5)
    np.testing.assert_allclose(found.residual, length * 0.5 ** np.arange(1, 7), rtol=1e-5)


def test_tokens_that_merge_at_one_step_are_found_at_that_step():
    path = np.random.default_rng(0).normal(size=(6, 4, 8)).astype(np.float32)
    path[3:, 2] = path[3:, 0]
    found = jax.jit(movement)(jnp.asarray(path))
    np.testing.assert_array_equal(found.distinct, [4, 4, 4, 3, 3, 3])
    order = jax.jit(movement)(jnp.asarray(path[:, [3, 1, 0, 2]]))  # tokens have no order
    np.testing.assert_allclose(order.residual, found.residual, rtol=1e-5)
    still = jax.jit(movement)(jnp.zeros((6, 4, 8)))
    np.testing.assert_array_equal(still.relative, 0)


@pytest.mark.parametrize(
    "call",
    [
        lambda: rollout(lambda z: z[:1], jnp.ones(2), num_steps=2),
        lambda: jacobian(lambda z: z, jnp.arange(3)),
        lambda: jacobian_spectrum(lambda z: z / 0.0, jnp.ones(2)),
        lambda: lyapunov_exponents(lambda z: z, jnp.ones(2), num_steps=2, num_exponents=3, key=key()),
        lambda: movement(jnp.ones((1, 2, 3))),
    ],
)
def test_bad_input(call):
    with pytest.raises(ValueError, match="expected .*, got "):
        call()
