"""Ranks of a cloud of tokens: limits, invariances, orderings; and the step of convergence."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiled import compiled

from tokdyn import metrics
from tokdyn.numerics import singular_values


@functools.partial(compiled, static_argnames="centre")
def ranks(tokens, token_mask=None, *, centre=True):
    """All three, in the order of their sizes from large to small: one program for their tests."""
    options = {"token_mask": token_mask, "centre": centre}
    return [
        rank(tokens, **options) for rank in (metrics.effective_rank, metrics.participation_ratio, metrics.stable_rank)
    ]


def effective_rank(*args, **options):
    return ranks(*args, **options)[0]


def participation_ratio(*args, **options):
    return ranks(*args, **options)[1]


def stable_rank(*args, **options):
    return ranks(*args, **options)[2]


RANKS = effective_rank, participation_ratio, stable_rank


@pytest.mark.parametrize("rank", RANKS)
def test_limits(rank):
    simplex = np.eye(5, 8, dtype=np.float32)
    np.testing.assert_allclose(rank(simplex, centre=False), 5, rtol=1e-5)
    np.testing.assert_allclose(rank(simplex), 4, rtol=1e-5)  # a regular simplex spans K - 1 directions
    line = np.outer(np.float32([1.0, 2.0, 5.0, -3.0]), np.float32([1.0, -2.0, 0.5]))
    np.testing.assert_allclose(rank(line), 1, rtol=1e-5)
    np.testing.assert_allclose(rank(line, centre=False), 1, rtol=1e-5)
    assert rank(np.zeros((3, 2), np.float32), centre=False) == 0


@pytest.mark.parametrize("rank", RANKS)
def test_coincident_tokens_have_rank_zero_in_spite_of_rounding(rank):
    for num_tokens in (1, 3, 7):
        tokens = np.tile(np.float32([[0.1, -1 / 3, 1234.567]]), (num_tokens, 1))
        assert rank(tokens) == 0
        np.testing.assert_allclose(rank(tokens, centre=False), 1, rtol=1e-5)


def test_values_by_hand():
    tokens = np.diag(np.float32([3.0, 2.0, 1.0]))
    shares = np.array([3, 2, 1]) / 6
    expected = np.exp(-np.sum(shares * np.log(shares)))
    np.testing.assert_allclose(effective_rank(tokens, centre=False), expected, rtol=1e-5)
    np.testing.assert_allclose(participation_ratio(tokens, centre=False), 14**2 / (81 + 16 + 1), rtol=1e-5)
    np.testing.assert_allclose(stable_rank(tokens, centre=False), 14 / 9, rtol=1e-5)


@pytest.mark.parametrize("rank", RANKS)
def test_invariant_to_rotation_scale_and_with_centring_to_translation(rank):
    rng = np.random.default_rng(0)
    tokens = rng.normal(size=(6, 4)).astype(np.float32) * np.array([3, 1, 0.5, 0.1], np.float32)
    rotation = np.linalg.qr(rng.normal(size=(4, 4)))[0].astype(np.float32)
    expected = rank(tokens)
    for factor in (1e-15, 1.0, 1e15):  # squares leave the range of float32
        np.testing.assert_allclose(rank(tokens @ rotation * np.float32(factor)), expected, rtol=1e-4)
    np.testing.assert_allclose(rank(tokens + 5), expected, rtol=1e-4)
    assert abs(rank(tokens + 5, centre=False) / expected - 1) > 0.01  # a hundred times the tolerance above


def test_order_of_the_three():
    rng = np.random.default_rng(1)
    for _ in range(5):
        tokens = rng.normal(size=(7, 4)) * rng.exponential(size=4)
        effective, participation, stable = (float(rank(tokens.astype(np.float32))) for rank in RANKS)
        assert 1 < stable <= participation <= effective <= 4


@pytest.mark.parametrize("rank", RANKS)
def test_masked_tokens_have_no_influence(rank):
    tokens = np.random.default_rng(2).normal(size=(6, 3)).astype(np.float32)
    mask = np.array([True, False, True, True, False, True])
    broken = np.where(mask[:, None], tokens, np.nan)
    for centre in (True, False):
        expected = rank(tokens[mask], centre=centre)
        np.testing.assert_allclose(rank(broken, token_mask=mask, centre=centre), expected, rtol=1e-5)
    assert rank(broken, token_mask=np.zeros(6, bool)) == 0
    assert np.isnan(rank(broken))


def test_effective_rank_in_float64_equals_numpy():
    tokens = np.random.default_rng(3).normal(size=(6, 9))
    values = np.linalg.svd(tokens - tokens.mean(0), compute_uv=False)[:5]
    shares = values / values.sum()
    with jax.enable_x64(True):
        result = effective_rank(tokens)
    np.testing.assert_allclose(result, np.exp(-np.sum(shares * np.log(shares))), rtol=1e-12)


def test_steps_to_converge():
    displacements = np.array([1.0, np.nan, 0.5, 0.2, 0.3, 0.01], np.float32)

    def first(tol):
        below = [t + 1 for t, value in enumerate(displacements) if value < np.float32(tol)]
        return below[0] if below else len(displacements)

    tolerances = [2.0, 0.6, 0.5, 0.25, 0.1, 0.01, 0.0]
    expected = [first(tol) for tol in tolerances]
    assert expected == [1, 3, 4, 4, 6, 6, 6]
    steps = jax.jit(chex.assert_max_traces(metrics.steps_to_converge, n=1))
    assert [int(steps(displacements, tol)) for tol in tolerances] == expected
    batch = compiled(jax.vmap(metrics.steps_to_converge, in_axes=(None, 0)))
    batched = batch(displacements, np.float32(tolerances))
    assert batched.tolist() == expected
    assert batched.dtype == jnp.int32


@pytest.mark.parametrize("rank", [metrics.effective_rank, metrics.participation_ratio, metrics.stable_rank])
def test_vmap_equals_a_loop_and_other_values_do_not_recompile(rank):
    batch = np.random.default_rng(4).normal(size=(4, 5, 3)).astype(np.float32)
    one = jax.jit(chex.assert_max_traces(rank, n=1))
    np.testing.assert_allclose(jax.jit(jax.vmap(rank))(batch), [one(tokens) for tokens in batch], rtol=1e-5)


def test_effective_rank_gradient_equals_finite_differences():
    rng = np.random.default_rng(5)
    with jax.enable_x64(True):
        tokens, direction = rng.normal(size=(5, 3)), rng.normal(size=(5, 3))
        gradient = compiled(jax.grad(metrics.effective_rank))(tokens)
        ahead, behind = (effective_rank(tokens + step * direction) for step in (1e-5, -1e-5))
        np.testing.assert_allclose(np.sum(gradient * direction), (ahead - behind) / 2e-5, rtol=1e-7)


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match=r"tokens: expected a floating-point array \[K, D\]"):
        jax.jit(metrics.effective_rank)(np.ones(3, np.float32))
    with pytest.raises(ValueError, match="centre: expected True or False, got 1"):
        metrics.stable_rank(np.ones((2, 2), np.float32), centre=1)
    with pytest.raises(ValueError, match="tokens: expected at least one token and one component"):
        metrics.participation_ratio(np.ones((2, 0), np.float32))
    with pytest.raises(ValueError, match="tol: expected a number of at least 0, got -1"):
        metrics.steps_to_converge(np.ones(3, np.float32), -1.0)
    with pytest.raises(ValueError, match="displacements: expected at least one step"):
        metrics.steps_to_converge(np.ones(0, np.float32), 1.0)


def test_singular_values_are_numpy_s_with_or_without_vmap_and_their_slopes_are_those_of_differences():
    matrices = np.random.default_rng(4).normal(size=(3, 2, 5, 4)).astype(np.float32)
    expected = np.linalg.svd(matrices, compute_uv=False)
    found = jax.jit(jax.vmap(jax.vmap(singular_values)))(matrices)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    np.testing.assert_allclose(jax.jit(singular_values)(matrices[0, 0]), expected[0, 0], rtol=1e-5)
    slope = jax.grad(lambda matrix: jnp.sum(jnp.log(singular_values(matrix))))
    slopes = jax.jit(jax.vmap(jax.vmap(slope)))(matrices)
    # d sum(log s) / dM is the transposed pseudo-inverse.
    np.testing.assert_allclose(slopes, np.linalg.pinv(matrices).swapaxes(-1, -2), rtol=2e-3, atol=2e-4)


def test_many_matrices_at_once_never_wait_for_each_other():
    # A batch given to LAPACK in one call is shared out over XLA's own threads; see numerics.singular_values.
    lowered = jax.jit(jax.vmap(singular_values)).lower(np.ones((6, 4, 3), np.float32)).as_text()
    calls = [line for line in lowered.splitlines() if "lapack" in line and "gesdd" in line]
    assert calls
    assert all("tensor<6x4x3xf32>" not in line for line in calls)
