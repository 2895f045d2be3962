"""Tokens that attend to each other, and latents that are fed back: energies, the equiangular equation, chaos."""

import functools

import jax
import numpy as np
import pytest

import tokdyn as td
from tokdyn.dynamics import recurrent_weights

GENERATOR = np.random.default_rng(0)
SPREAD = GENERATOR.normal(size=(32, 3))


@functools.partial(jax.jit, static_argnames=("steps", "every"))
def path(dynamics, features, tokens, *, steps, every=1):
    """Tokens after every so many steps `[T, K, D]`."""
    return td.run(
        dynamics, None, features, tokens=tokens, max_steps=steps, tol=0.0, keep=kept, every=every, assignment="none"
    ).kept


def kept(state, info):
    return state.tokens


def attending(beta, time=0.05):
    return td.compose(attend=td.sphere_attention(inverse_temperature=beta, time_step=time))


@pytest.mark.parametrize("beta", [1.0, 4.0, 9.0])
def test_orthogonal_tokens_follow_the_equiangular_equation(beta):
    """All inner products against the scalar equation, to 1e-8, at 100 times up to 5; one program for all three."""
    with jax.enable_x64(True):
        tokens = np.asarray(path(attending(beta), np.eye(6), np.eye(6), steps=100))
    expected = td.theory.equiangular_path(0.05 * np.arange(1, 101), num_tokens=6, inverse_temperature=beta)
    products = np.einsum("tkd,tjd->tkj", tokens, tokens)
    np.testing.assert_allclose(np.diagonal(products, axis1=1, axis2=2), 1.0, atol=1e-12)
    others = products[:, ~np.eye(6, dtype=bool)]
    np.testing.assert_allclose(others, np.broadcast_to(expected[:, None], others.shape), atol=1e-8)


def test_the_step_is_of_fourth_order():
    """Half the step, a sixteenth of the error, of generic tokens at time 1.6."""
    with jax.enable_x64(True):
        ends = [
            np.asarray(path(attending(9.0, 1.6 / steps), SPREAD, SPREAD, steps=steps, every=steps))[-1]
            for steps in (8, 16, 512)
        ]
    coarse, fine = (np.abs(end - ends[2]).max() for end in ends[:2])
    assert 10 < coarse / fine < 26


def test_the_interaction_energy_rises_and_clusters_only_become_fewer():
    """32 tokens on a sphere, `beta` 9, up to time 50: the energy never falls, and the number of clusters at a distance
    of 0.1 falls from dozens to a few and stays there for long (a plateau from time 25 to 50).
    """
    with jax.enable_x64(True):
        tokens = np.asarray(path(attending(9.0), SPREAD, SPREAD, steps=1000, every=10))
        energy = jax.jit(jax.vmap(lambda s: td.theory.interaction_energy(s, inverse_temperature=9.0)))(tokens)
        energy = np.asarray(energy)
    assert (np.diff(energy) >= -1e-12 * energy[-1]).all()
    assert energy[-1] > 1.2 * energy[0]
    assert energy[-1] <= np.exp(9.0) / 18 * (1 + 1e-12)
    counts = [number_of_clusters(one) for one in tokens]
    assert counts[0] > 20
    assert (np.diff(counts[10:]) <= 0).all()
    assert 1 < counts[50] <= 8
    assert counts[50] - counts[-1] <= 2


def number_of_clusters(tokens, resolution=0.1):
    from scipy.cluster.hierarchy import fclusterdata

    return fclusterdata(tokens, resolution, criterion="distance", method="single").max()


def test_hot_tokens_end_in_one_point_and_cold_ones_stay_in_several_for_long():
    """At time 50: `beta` 1 has one cluster; at `beta` 9 there are several."""
    with jax.enable_x64(True):
        hot, cold = (np.asarray(path(attending(b), SPREAD, SPREAD, steps=1000, every=10))[-1] for b in (1.0, 9.0))
    assert number_of_clusters(hot) == 1
    assert number_of_clusters(cold) > 1


def test_the_energy_transformer_descends_its_energy():
    """Never up at a small rate, whatever the features; the whole drop is far above rounding; and the displacement is
    minus the rate times the gradient for the normalised tokens, by central differences.
    """
    features, tokens = GENERATOR.gamma(1.0, size=(20, 5)), GENERATOR.normal(size=(6, 5))
    dynamics = td.compose(descend=td.energy_transformer(inverse_temperature=2.0, rate=0.05))
    with jax.enable_x64(True):
        energy = jax.jit(jax.vmap(lambda s: td.theory.transformer_energy(dynamics, features, s)))
        tokens_after = np.asarray(path(dynamics, features, tokens, steps=300))
        energies = np.asarray(energy(tokens_after))
        assert (np.diff(energies) <= 1e-12 * np.abs(energies[0])).all()
        assert energies[0] - energies[-1] > 0.1
        # A tangent direction u of the normalised tokens is J v for a displacement v, so E(s + h v) - E(s - h v)
        # over 2 h is (dE/dn) . J v: with the displacement for dE/dn, without any code of the part.
        normal = lambda x: (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)  # noqa: E731
        step = 1e-5
        directions = GENERATOR.normal(size=(8, 6, 5)) * step
        ahead, behind = np.asarray(energy(tokens + directions)), np.asarray(energy(tokens - directions))
        pushed = -(tokens_first(dynamics, features, tokens) - tokens) / 0.05
        slopes = ((normal(tokens + directions) - normal(tokens - directions)) * pushed).sum(axis=(1, 2))
        np.testing.assert_allclose(ahead - behind, slopes, rtol=1e-6, atol=1e-12)


def tokens_first(dynamics, features, tokens):
    return np.asarray(path(dynamics, features, tokens, steps=300))[0]


def exponent(gain, dimension=60, steps=3000):
    """The largest Lyapunov exponent of the recurrence with that gain."""
    weights = np.asarray(recurrent_weights(dimension))
    with jax.enable_x64(True):
        return float(_exponent(gain, weights.astype(np.float64), steps))


@functools.partial(jax.jit, static_argnums=2)
def _exponent(gain, weights, steps):
    start = np.random.default_rng(1).normal(size=len(weights))
    step = lambda z: jax.numpy.tanh(gain * weights @ z)  # noqa: E731
    found = td.theory.lyapunov_exponents(step, start, num_steps=steps, key=jax.random.key(0))
    return found.growth[500:].mean()


def test_latents_die_below_the_critical_gain_and_are_chaotic_above():
    """At 0.9 of it the exponent is ln 0.9 (the origin's; over 2,500 steps within 0.01), at 1.1 latents stay, and at
    twice it the exponent is above 0.
    """
    critical = td.theory.critical_gain(np.asarray(recurrent_weights(60)))
    assert exponent(0.9 * critical) == pytest.approx(np.log(0.9), abs=0.01)
    assert exponent(2 * critical) > 0.05
    start = np.random.default_rng(1).normal(size=(3, 60))
    with jax.enable_x64(True):
        dead, alive = (
            np.asarray(
                path(td.compose(f=td.random_recurrence(gain=share * critical)), start, start, steps=1500, every=100)
            )[-1]
            for share in (0.9, 1.1)
        )
    assert np.abs(dead).max() < 1e-12
    assert np.abs(alive).max() > 1e-2


def test_the_critical_gain_is_one_in_many_dimensions():
    """The circular law: within 10 % at 200 dimensions."""
    assert td.theory.critical_gain(np.asarray(recurrent_weights(200))) == pytest.approx(1.0, abs=0.1)


def test_lengths_of_driven_latents_are_those_of_the_mean_field():
    """relu of normal weights on 768 latents and 100 inputs, four steps with fresh inputs, against NumPy: the mean of 20
    draws of the weights is within 3 % (each scatters by a few per cent), and a published 165 within 10 %.
    """
    expected = td.theory.norm_path(1.0, num_steps=4, weight_scale=0.1, dimension=768, input_norm=10.0)
    ends = []
    for seed in range(20):
        generator = np.random.default_rng(seed)
        latent = generator.normal(size=768)
        latent /= np.linalg.norm(latent)
        weights = generator.normal(0, 0.1, (768, 868))
        for _ in range(4):
            latent = np.maximum(weights @ np.concatenate([latent, generator.normal(size=100)]), 0.0)
        ends.append(np.linalg.norm(latent))
    assert np.sqrt(np.mean(np.square(ends))) == pytest.approx(expected[-1], rel=0.03)
    assert expected[-1] == pytest.approx(165, rel=0.1)
    still = td.theory.norm_path(1.0, num_steps=9, weight_scale=(2 / 768) ** 0.5, dimension=768)
    np.testing.assert_allclose(still, 1.0, rtol=1e-12)


def test_bad_input_is_one_sentence():
    with pytest.raises(ValueError, match="times: expected increasing numbers from 0 on"):
        td.theory.equiangular_path([1.0, 0.5], num_tokens=3, inverse_temperature=1.0)
    with pytest.raises(ValueError, match="num_tokens: expected a static integer of at least 2"):
        td.theory.equiangular_path([1.0], num_tokens=1, inverse_temperature=1.0)
    with pytest.raises(ValueError, match="dynamics: expected one energy_transformer and nothing else, got Attraction"):
        td.theory.transformer_energy(td.catalog.soft_kmeans(), SPREAD, SPREAD)
    with pytest.raises(ValueError, match=r"weights: expected a square matrix \[D, D\]"):
        td.theory.critical_gain(np.ones((2, 3)))
    with pytest.raises(ValueError, match="activation: expected one of 'tanh', 'relu', got 'gelu'"):
        td.random_recurrence(gain=1.0, activation="gelu")
