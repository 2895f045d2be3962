"""The estimated gradient against closed forms: its mean, its variance, and what it says of its own error."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiled import compiled
from constant_keys import constant_key

from tokdyn.reasoning.latent_optimisation import estimate_gradient

REPEATS = 20_000
LEVEL, SLOPE = 3.0, np.array([1.0, -2.0, 0.5])
CURVES = np.array([[2.0, 0.3, 0.0], [0.3, 1.0, -0.4], [0.0, -0.4, 0.5]])
PLACE, ORIGIN = (0.5, 1.0, -1.0), (0.0, 0.0, 0.0)
GRADIENT = SLOPE - CURVES @ np.array(PLACE)
SIGMA = 0.4
WAYS = {
    "none": {"baseline": "none"},
    "leave_one_out": {"baseline": "leave_one_out"},
    "antithetic": {"antithetic": True},
    "antithetic, leave_one_out": {"antithetic": True, "baseline": "leave_one_out"},
}


def linear(z):
    return LEVEL + z @ jnp.asarray(SLOPE, z.dtype)


def quadratic(z):
    return linear(z) - 0.5 * z @ jnp.asarray(CURVES, z.dtype) @ z


def raised(z):
    return quadratic(z) + 5.0


@functools.cache
def repeated(reward, place, way, num_samples=4):
    """Estimates from many keys."""

    @compiled
    def program(place):
        options = {"sigma": SIGMA, "num_samples": num_samples, **WAYS[way]}
        one = lambda key: estimate_gradient(reward, place, key=key, **options)  # noqa: E731
        return jax.vmap(one)(jax.random.split(jax.random.key(5), REPEATS))

    return program(np.float32(place))


def assert_mean(values, expected):
    """To 5 standard errors of the mean over repetitions."""
    error = values.std(axis=0) / np.sqrt(len(values))
    assert (np.abs(values.mean(axis=0) - expected) < 5 * error).all()


def assert_variance(values, expected):
    """To 5 standard errors of a variance, from the fourth moment; and they must be small enough to tell something."""
    squares = (values - values.mean(axis=0)) ** 2
    error = squares.std(axis=0) / np.sqrt(len(values))
    assert (error < 0.06 * expected).all()
    assert (np.abs(squares.mean(axis=0) - expected) < 5 * error).all()


@pytest.mark.parametrize("way", list(WAYS)[:3])
def test_its_mean_is_the_gradient_of_a_quadratic(way):
    # Smoothing adds a constant to a quadratic: its gradient is the smoothed one.
    assert_mean(repeated(quadratic, PLACE, way).gradient, GRADIENT)


@pytest.mark.parametrize("num_samples", [2, 4])
def test_its_variance_on_a_linear_reward(num_samples):
    # With u standard normal: R eps / sigma^2 = (R(z) / sigma + g u) u, and Var(g u u_i) = |g|^2 + g_i^2.
    shared = (SLOPE**2).sum() + SLOPE**2
    expected = {
        "none": (LEVEL**2 / SIGMA**2 + shared) / num_samples,
        "leave_one_out": shared / (num_samples - 1),
        "antithetic": shared / (num_samples / 2),
    }
    for way, variance in expected.items():
        assert_variance(repeated(linear, ORIGIN, way, num_samples).gradient, variance)


def test_pairs_see_no_curvature():
    # R(z + e) - R(z - e) = 2 (gradient) e for every quadratic: its level and its curvature do not appear.
    found = repeated(quadratic, PLACE, "antithetic")
    assert_variance(found.gradient, ((GRADIENT**2).sum() + GRADIENT**2) / 2)


def test_a_baseline_keeps_the_mean_and_lowers_the_variance():
    plain, less = (repeated(raised, PLACE, way).gradient for way in ("none", "leave_one_out"))
    assert_mean(plain - less, np.zeros(3))
    assert_mean(less, GRADIENT)
    assert (less.var(axis=0) < 0.3 * plain.var(axis=0)).all()
    # It forgets the level.
    np.testing.assert_allclose(less, repeated(quadratic, PLACE, "leave_one_out").gradient, rtol=1e-3, atol=1e-4)


def test_a_baseline_cancels_in_pairs():
    plain, less = (repeated(quadratic, PLACE, way) for way in ("antithetic", "antithetic, leave_one_out"))
    np.testing.assert_array_equal(plain.gradient, less.gradient)
    np.testing.assert_array_equal(plain.standard_error, less.standard_error)


@pytest.mark.parametrize("way", list(WAYS)[:3])
def test_its_error_is_unbiased(way):
    for num_samples in (4,) if way == "antithetic" else (2, 4):
        found = repeated(quadratic, PLACE, way, num_samples)
        squares = (found.gradient - GRADIENT) ** 2
        assert_mean(found.standard_error**2 - squares, np.zeros(3))
        assert (found.standard_error > 0).all()


def test_one_draw_knows_no_error():
    for options in ({"num_samples": 1}, {"num_samples": 2, "antithetic": True}):
        estimate = functools.partial(estimate_gradient, quadratic, sigma=SIGMA, **options)
        found = compiled(lambda place, estimate=estimate: estimate(place, key=constant_key(0)))(np.float32(PLACE))
        assert np.isinf(found.standard_error).all()


def test_it_is_the_gradient_of_the_smoothed_reward():
    weights = np.float32([[2.0, 0.0], [0.0, 2.0], [-1.5, 1.0]])
    reward = lambda z: jax.nn.softmax(weights @ z)[0]  # noqa: E731
    place, sigma = np.float32([1.0, -0.5]), 1.0
    # The mean of the gradient under the same Gaussian, by Gauss-Hermite quadrature.
    nodes, masses = np.polynomial.hermite_e.hermegauss(40)
    masses = masses / masses.sum()
    grid = np.stack(np.meshgrid(nodes, nodes, indexing="ij"), axis=-1).reshape(-1, 2)
    slopes = compiled(jax.vmap(jax.grad(reward)))
    expected = np.outer(masses, masses).ravel() @ slopes(place + sigma * grid)
    found = compiled(
        lambda place: estimate_gradient(
            reward, place, key=constant_key(1), sigma=sigma, num_samples=100_000, baseline="leave_one_out"
        )
    )(place)
    assert (np.abs(found.gradient - expected) < 5 * found.standard_error).all()
    assert (np.abs(slopes(place[None])[0] - expected) > 20 * found.standard_error).any()


def test_sigma_has_a_unit():
    latent = 5.0 * np.random.default_rng(2).normal(size=(20, 30)).astype(np.float32)
    size = float(np.sqrt((latent**2).mean()))
    options = {"sigma": 0.1, "num_samples": 20, "baseline": "leave_one_out"}
    for unit, expected in {"absolute": 0.1, "relative": 0.1 * size}.items():
        estimate = functools.partial(estimate_gradient, jnp.sum, key=constant_key(3), unit=unit, **options)
        found = compiled(estimate)(latent)
        count = found.perturbations.size
        # A standard deviation of n normal numbers is known to 1 / sqrt(2 n).
        assert abs(float(found.perturbations.std()) / expected - 1) < 5 / np.sqrt(2 * count)
        np.testing.assert_allclose(found.rewards, (latent + found.perturbations).sum(axis=(1, 2)), rtol=1e-3)


def test_a_reward_with_noise_gets_a_key_for_each_evaluation():
    noisy = lambda z, key: z.sum() + jax.random.normal(key)  # noqa: E731
    options = {"key": constant_key(0), "sigma": 1e-6, "num_samples": 500, "stochastic": True}
    found = compiled(lambda latent: estimate_gradient(noisy, latent, **options))(np.zeros(2, np.float32))
    assert abs(float(found.rewards.std()) - 1) < 5 / np.sqrt(2 * 500)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sigma": 0.0}, "sigma: expected a number above 0, got 0.0"),
        ({"sigma": -1.0}, "sigma: expected a number above 0"),
        ({"sigma": np.ones(2)}, "sigma: expected one number"),
        ({"num_samples": 0}, "num_samples: expected a static integer of at least 1"),
        ({"num_samples": 3, "antithetic": True}, "num_samples: expected an even number for antithetic pairs, got 3"),
        ({"num_samples": 1, "baseline": "leave_one_out"}, "num_samples: expected at least 2"),
        ({"baseline": "mean"}, "baseline: expected"),
        ({"unit": "percent"}, "unit: expected"),
        ({"unit": "relative", "latent": np.zeros(3)}, "latent: expected numbers that are not all 0"),
        ({"latent": np.arange(3)}, "latent: expected a floating-point array"),
        ({"reward": lambda z: z}, r"reward: expected a function that returns one number \[\], got shape \(3,\)"),
        ({"reward": 1.0}, "reward: expected a function"),
        ({"reward": lambda z: jnp.nan * z.sum()}, "reward: expected finite numbers, got 4 NaN or infinite of 4"),
        ({"key": 0}, "key: expected"),
    ],
)
def test_bad_input(options, message):
    given = {
        "reward": jnp.sum,
        "latent": np.ones(3, np.float32),
        "key": constant_key(0),
        "sigma": 0.1,
        "num_samples": 4,
    }
    given |= options
    with pytest.raises(ValueError, match=message):
        estimate_gradient(given.pop("reward"), given.pop("latent"), **given)
