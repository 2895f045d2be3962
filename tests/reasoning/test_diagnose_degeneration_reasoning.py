"""Rank, distinct latents and norm shock, planted at one index."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tokdyn.reasoning.diagnose import degeneration

compiled = jax.jit(degeneration)


def test_each_index_has_its_own_number():
    same = jnp.ones((6, 8)) * 0.5
    two = jnp.eye(8)[jnp.arange(6) % 2]
    found = compiled(jnp.stack([jnp.eye(8)[:6], same, two], axis=1))
    np.testing.assert_array_equal(found.distinct_by_index, [6, 1, 2])
    # Six orthogonal unit vectors about their mean: five equal directions; two points: one direction.
    np.testing.assert_allclose(found.rank_by_index, [5, 0, 1], atol=1e-4)
    np.testing.assert_allclose(found.norm, [1, np.sqrt(2), 1], rtol=1e-6)


def test_within_an_item():
    latents = jnp.broadcast_to(jnp.eye(4)[jnp.array([0, 0, 1, 2])], (3, 4, 4))
    found = compiled(latents)
    assert found.distinct_within == 3
    np.testing.assert_array_equal(found.distinct_by_index, 1)


def test_norm_shock_is_found_at_its_index_against_the_reference():
    rng = np.random.default_rng(0)
    latents = rng.normal(size=(50, 3, 32)).astype(np.float32)
    latents[:, 1] *= 1e-3
    words = rng.normal(size=(200, 32)).astype(np.float32)
    found = compiled(jnp.asarray(latents), jnp.asarray(words))
    # The mean length of 50 vectors of 32 normal numbers is sure to one per cent or so.
    np.testing.assert_allclose(found.norm_ratio, [1, 1e-3, 1], rtol=0.1)


def test_permuting_items_is_a_no_op():
    latents = jax.random.normal(jax.random.key(0), (6, 3, 8))
    left, right = compiled(latents), compiled(latents[::-1])
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), left, right)


def test_zeros_and_bad_input():
    found = compiled(jnp.zeros((6, 3, 8)))
    assert all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(found))
    np.testing.assert_array_equal(found.distinct_by_index, 1)
    with pytest.raises(ValueError, match="latents: expected"):
        degeneration(jnp.zeros((4, 3)))
    with pytest.raises(ValueError, match="relative_resolution: expected"):
        degeneration(jnp.zeros((4, 3, 2)), relative_resolution=0.0)
