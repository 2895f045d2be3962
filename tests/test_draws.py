"""The package's random numbers are jax's own: uniform ones to the bit, normal ones to the last digits."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokdyn import draws

# No dimension to three, none to several numbers: an even and an odd count are laid out differently.
SHAPES = [(), (0,), (1,), (5,), (3, 4), (2, 0, 3), (5, 1, 3), (5, 5, 5)]


@functools.partial(jax.jit, static_argnums=1)
def both(key, shape):
    """Ours and jax's, normal and uniform."""
    ours = draws.normal(key, shape), draws.uniform(key, shape)
    return ours, (jax.random.normal(key, shape), jax.random.uniform(key, shape))


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.sampled_from(SHAPES))
def test_any_key_and_shape(seed, shape):
    (normal, uniform), (their_normal, their_uniform) = both(jax.random.key(seed), shape)
    assert normal.shape == uniform.shape == shape
    np.testing.assert_array_max_ulp(normal, their_normal, 4)
    np.testing.assert_array_equal(uniform, their_uniform)


def test_a_million_numbers_tails_included():
    """The largest of a million is beyond 4.5 standard deviations: the tails' polynomial is used, too."""
    key = jax.random.key(7)
    ours, jaxs = jax.jit(draws.normal, static_argnums=1)(key, (1_000_000,)), jax.random.normal(key, (1_000_000,))
    assert jnp.abs(ours).max() > 4.5
    np.testing.assert_allclose(ours, jaxs, rtol=5e-7, atol=0)
    # One rounding of a number in (-5, 5) apart: the compiler may fuse the product and the sum.
    uniform = jax.jit(lambda k: draws.uniform(k, (1_000_000,), low=-5.0, high=5.0))(key)
    np.testing.assert_allclose(uniform, jax.random.uniform(key, (1_000_000,), minval=-5.0, maxval=5.0), atol=5e-7)


def test_under_vmap_a_key_gives_its_own_numbers():
    keys = jax.random.split(jax.random.key(7), 50)
    np.testing.assert_array_equal(
        jax.vmap(lambda k: draws.uniform(k, (400, 6)))(keys)[3], draws.uniform(keys[3], (400, 6))
    )


@pytest.mark.parametrize("make", [jax.random.PRNGKey, lambda seed: jax.random.key(seed, impl="rbg")])
def test_keys_of_other_kinds(make):
    np.testing.assert_array_max_ulp(draws.normal(make(3), (9,)), jax.random.normal(make(3), (9,)), 4)


def test_other_widths():
    key = jax.random.key(1)
    np.testing.assert_array_equal(
        draws.normal(key, (9,), jnp.bfloat16).astype(float), jax.random.normal(key, (9,), jnp.bfloat16).astype(float)
    )
    with jax.enable_x64(True):
        np.testing.assert_array_equal(draws.normal(key, (9,)), jax.random.normal(key, (9,)))
        assert draws.uniform(key, (9,)).dtype == jnp.float64
    with jax.threefry_partitionable(False):
        np.testing.assert_array_equal(draws.uniform(key, (9,)), jax.random.uniform(key, (9,)))
