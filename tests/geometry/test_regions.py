"""Gaussian regions by the laws of moments, against NumPy and SciPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tokdyn import geometry
from tokdyn.numerics import whitening

D = 3


def one_of(seed, mass=1.0):
    """A region, not round."""
    generator = np.random.default_rng(seed)
    root = generator.normal(size=(D, D))
    covariance = root @ root.T + 0.3 * np.eye(D)
    return geometry.region(mass, *(of.astype(np.float32) for of in (generator.normal(size=D), covariance)))


def moments(*regions):
    """Mass, first and second moment of some regions together."""
    mass, first, second = 0.0, np.zeros(D), np.zeros((D, D))
    for of in regions:
        amount, mean, covariance = (np.asarray(value, np.float64) for value in of)
        mass, first = mass + amount, first + amount * mean
        second = second + amount * (covariance + np.outer(mean, mean))
    return mass, first, second


def same(one, other, tolerance=2e-5):
    for left, right in zip(one, other, strict=True):
        np.testing.assert_allclose(left, right, rtol=tolerance, atol=tolerance * max(1.0, np.abs(right).max()))


SEEDS = st.integers(0, 10_000)


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.floats(0.1, 10.0), st.floats(0.05, 0.95), st.floats(0.0, 0.95), st.floats(0.2, 5.0))
def test_merging_keeps_moments_and_parting_undoes_it(seed, mass, share, depth, factor):
    left, right = one_of(seed), one_of(seed + 1, mass)
    whole = geometry.merged(left, right)
    same(moments(left, right), moments(whole))
    direction = np.random.default_rng(seed).normal(size=D).astype(np.float32)
    parts = geometry.parted(whole, direction, share=share, depth=depth)
    same(moments(*parts), moments(whole))
    same(geometry.merged(*parts), whole, 1e-4)
    assert np.linalg.eigvalsh(np.asarray(parts[0].covariance, np.float64))[0] > 0
    # Stretching: f^2 along the direction, nothing across it, and 1 / f undoes it.
    stretched = geometry.stretched(whole, direction, factor=factor)
    unit = direction / np.linalg.norm(direction)
    across = np.linalg.svd(unit[None])[2][1:]
    old, new = (np.asarray(of.covariance, np.float64) for of in (whole, stretched))
    assert unit @ new @ unit == pytest.approx(factor**2 * (unit @ old @ unit), rel=1e-4)
    np.testing.assert_allclose(across @ new @ across.T, across @ old @ across.T, atol=1e-4 * np.abs(old).max())
    assert np.linalg.det(new) == pytest.approx(factor**2 * np.linalg.det(old), rel=2e-3)
    same(geometry.stretched(stretched, direction, factor=1 / factor), whole, 2e-4)


def test_contracting_is_the_product_of_densities():
    whole, evidence = one_of(1, 2.0), one_of(2)
    found = geometry.contracted(whole, evidence)
    precision = [np.linalg.inv(np.asarray(of.covariance, np.float64)) for of in (whole, evidence, found)]
    np.testing.assert_allclose(precision[2], precision[0] + precision[1], rtol=1e-3, atol=1e-3)
    for of in (whole, evidence):  # no direction is wider than before
        gap = np.asarray(of.covariance, np.float64) - np.asarray(found.covariance, np.float64)
        assert np.linalg.eigvalsh(gap)[0] > -1e-5
    point = np.array([0.3, -0.2, 0.5], np.float32)
    logs = [float(geometry.log_density(of, point)) for of in (whole, evidence, found)]
    assert logs[2] == pytest.approx(logs[0] + logs[1], abs=1e-3)


def test_density_and_depth_against_scipy():
    whole = one_of(4, 3.0)
    mean, covariance = np.asarray(whole.mean, float), np.asarray(whole.covariance, float)
    points = np.random.default_rng(0).multivariate_normal(mean, covariance, 4000).astype(np.float32)
    law = stats.multivariate_normal(mean, covariance)
    assert float(geometry.log_density(whole, points[0])) == pytest.approx(np.log(3) + law.logpdf(points[0]), abs=1e-4)
    depth = np.asarray(geometry.depth(whole, points))
    squares = np.einsum("nd,de,ne->n", points - mean, np.linalg.inv(covariance), points - mean)
    np.testing.assert_allclose(depth, stats.chi2(D).cdf(squares), atol=1e-4)
    assert stats.kstest(depth, "uniform").pvalue > 1e-4  # a share of its own mass


def test_a_region_of_points_has_their_moments():
    points = np.random.default_rng(1).normal(size=(20, D)).astype(np.float32)
    weights = np.random.default_rng(2).uniform(size=20).astype(np.float32)
    found = geometry.region_of(points, weights=weights)
    mean = np.average(points, axis=0, weights=weights)
    np.testing.assert_allclose(found.mean, mean, atol=1e-6)
    np.testing.assert_allclose(found.covariance, np.cov(points.T, ddof=0, aweights=weights), atol=1e-5)


def test_whitening_and_its_slope():
    matrix = np.asarray(one_of(7).covariance)
    white = np.asarray(whitening(jnp.asarray(matrix)))
    np.testing.assert_allclose(white @ matrix @ white.T, np.eye(D), atol=1e-5)
    turn = np.random.default_rng(0).normal(size=(D, D)).astype(np.float32)
    turn = turn + turn.T
    slope = jax.jit(lambda m, t: jax.jvp(whitening, (m,), (t,))[1])(matrix, turn)
    step = 1e-5
    exact = [np.linalg.inv(np.linalg.cholesky(matrix.astype(float) + sign * step * turn)) for sign in (1, -1)]
    np.testing.assert_allclose(slope, (exact[0] - exact[1]) / (2 * step), atol=1e-4)
    many = jax.jit(jax.vmap(whitening))(np.stack([matrix, 4 * matrix]))
    np.testing.assert_allclose(many[1], many[0] / 2, atol=1e-6)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: geometry.region(0.0, np.zeros(2), np.eye(2)), "mass: expected a number above 0"),
        (lambda: geometry.region(1.0, np.array([np.nan, 0]), np.eye(2)), "mean: expected finite numbers"),
        (lambda: geometry.region(1.0, np.zeros(2), -np.eye(2)), "covariance: expected a positive definite matrix"),
        (lambda: geometry.region(1.0, np.zeros(2), np.array([[1.0, 1], [0, 1]])), "covariance: expected a symmetric"),
        (lambda: geometry.region_of(np.zeros((0, 2))), "points: expected at least one point, got none"),
        (lambda: geometry.region_of(np.full((2, 2), np.nan)), "points: expected finite numbers"),
        (lambda: geometry.stretched(one_of(0), np.zeros(3), factor=2.0), "direction: expected finite numbers that are"),
        (lambda: geometry.stretched(one_of(0), np.ones(3), factor=0.0), "factor: expected a number above 0"),
        (lambda: geometry.parted(one_of(0), np.ones(3), depth=1.0), "depth: expected a number of at least 0 and below"),
        (lambda: geometry.parted(one_of(0), np.ones(2)), "direction: expected 3 numbers"),
    ],
)
def test_bad_regions(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()


def test_singular_regions_say_so():
    """All points on a line and no floor: Cholesky's factor is NaN."""
    points = np.random.default_rng(3).normal(size=(20, 1)).astype(np.float32) * np.eye(1, D, dtype=np.float32)
    flat = geometry.region_of(points)
    sentence = "whole: expected a covariance that is.* positive definite to rounding, got a singular one"
    with pytest.raises(ValueError, match=sentence):
        geometry.log_density(flat, points[0])
    with pytest.raises(ValueError, match=sentence):
        geometry.contracted(flat, flat)
    assert np.isfinite(geometry.log_density(geometry.region_of(points, floor=0.1), points[0]))


def test_points_of_another_space():
    whole = one_of(0)
    with pytest.raises(ValueError, match=r"points: expected 3 numbers each, as the region's mean has, got shape"):
        geometry.depth(whole, np.zeros((4, 2)))
    with pytest.raises(ValueError, match="point: expected finite numbers"):
        geometry.log_density(whole, np.full(3, np.nan))


def test_points_in_half_precision():
    points = np.random.default_rng(3).normal(size=(20, 3)).astype(np.float16)
    np.testing.assert_array_equal(
        geometry.region_of(points).covariance, geometry.region_of(points.astype(np.float32)).covariance
    )
