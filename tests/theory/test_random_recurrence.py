"""A published recurrent latent of random weights: how its length grows is a closed form of the scale of its weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tokdyn.theory import maps

WIDTH, INPUTS = 768, 100


@jax.jit
def grown(weights, inputs, start):
    """Lengths along ``z' = relu(W [z; x])``, and the largest exponent of its steps."""

    def step(z):
        return jax.nn.relu(weights @ jnp.concatenate([z, inputs]))

    lengths = jnp.linalg.norm(maps.rollout(step, start, num_steps=4), axis=-1)
    return lengths, maps.lyapunov_exponents(step, start, num_steps=30, key=jax.random.key(0)).exponents[0]


def drawn(seed, scale):
    rng = np.random.default_rng(seed)
    start = rng.normal(size=WIDTH)
    weights = scale * rng.normal(size=(WIDTH, WIDTH + INPUTS))
    inputs = rng.normal(size=INPUTS)
    # The mean field is of inputs of squared length 100.
    inputs *= np.sqrt(INPUTS) / np.linalg.norm(inputs)
    return [each.astype(np.float32) for each in (weights, inputs, start / np.linalg.norm(start))]


def mean_field(scale, steps):
    squared = 1.0
    for _ in range(steps):
        squared = scale**2 * WIDTH / 2 * (squared + INPUTS)
    return np.sqrt(squared)


def test_the_published_growth_follows_from_the_scale_of_the_weights():
    """Published: 165 times in four steps, of weights 0.1. The mean field says 172."""
    assert mean_field(0.1, 4) == pytest.approx(172, rel=5e-3)
    assert mean_field(0.1, 4) == pytest.approx(165, rel=0.1)
    growth = [float(grown(*drawn(seed, 0.1))[0][-1]) for seed in range(8)]
    assert np.mean(growth) == pytest.approx(172, rel=0.1)


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_below_the_critical_scale_small_changes_die_out(factor):
    """`sqrt(2 / width)` is where they keep their length: at half and twice of it the exponent is -ln 2 and ln 2."""
    scale = factor * np.sqrt(2 / WIDTH)
    exponents = [float(grown(*drawn(seed, scale))[1]) for seed in range(4)]
    # One step's factor has a relative deviation of order 1 / sqrt(width).
    assert np.mean(exponents) == pytest.approx(np.log(factor), abs=0.1)
