"""Learned priors and mass-consistent repulsion: their energies, limits and fixed points."""

import functools

import jax
import numpy as np
import pytest

import tokdyn as td

GENERATOR = np.random.default_rng(0)
# Two clusters of unequal size, and a wide one.
CENTRES = np.repeat([[0.0, 0.0], [4.0, 0.0], [-4.0, -4.0]], [60, 15, 25], axis=0)
FEATURES = CENTRES + GENERATOR.normal(size=(100, 2)) * np.repeat([0.5, 0.5, 1.5], [60, 15, 25])[:, None]
TOKENS = FEATURES[[0, 65, 80]]


@functools.partial(jax.jit, static_argnames=("steps", "keep"))
def followed(dynamics, tokens, priors, *, steps, keep=False):
    """The state after some steps of the mixture from these priors, and the path."""
    begun = td.init(dynamics, None, FEATURES, tokens=tokens)
    if priors is not None:
        begun = begun._replace(memory=(priors,))
    result = td.run(dynamics, None, FEATURES, state=begun, max_steps=steps, tol=0.0, keep=kept if keep else None)
    return result.state, result.kept, result.assignment


def kept(state, info):
    return state.tokens, state.memory


def mixed(**numbers):
    return td.compose(attract=td.mixture(**{"temperature": 1.0, **numbers}))


def test_one_step_is_expectation_maximisation():
    priors = np.array([0.5, 0.2, 0.3])
    weights = priors * np.exp(-((FEATURES[:, None] - TOKENS) ** 2).sum(axis=-1))
    weights /= weights.sum(axis=1, keepdims=True)
    with jax.enable_x64(True):
        state, _, _ = followed(mixed(), TOKENS, priors, steps=1)
    np.testing.assert_allclose(state.memory[0], weights.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(state.tokens, (weights / weights.sum(axis=0)).T @ FEATURES, rtol=1e-12)


def test_tokens_that_coincide_are_one_token_with_their_masses():
    """At every step, from any split: the pair moves as the single token of the sum, and keeps its split."""
    with jax.enable_x64(True):
        one, _, assigned = followed(mixed(), TOKENS, np.array([0.5, 0.2, 0.3]), steps=20)
        tokens, priors = TOKENS[[0, 0, 1, 2]], np.array([0.1, 0.4, 0.2, 0.3])
        two, _, split = followed(mixed(), tokens, priors, steps=20)
        np.testing.assert_allclose(two.tokens, np.asarray(one.tokens)[[0, 0, 1, 2]], rtol=1e-9)
        np.testing.assert_allclose(two.memory[0][:2].sum(), one.memory[0][0], rtol=1e-9)
        np.testing.assert_allclose(two.memory[0][1] / two.memory[0][0], 4.0, rtol=1e-9)
        # The final assignment recalls the priors, too.
        np.testing.assert_allclose(split[:, :2].sum(axis=1), assigned[:, 0], rtol=1e-8)
        # Plain attraction, where a pair weighs double, is not so.
        plain = td.compose(attract=td.attraction(temperature=1.0))
        ends = [td.run(plain, None, FEATURES, tokens=t, max_steps=20, tol=0.0).tokens for t in (TOKENS, tokens)]
        assert np.abs(np.asarray(ends[1])[[0, 2, 3]] - np.asarray(ends[0])).max() > 1e-3


def test_equal_priors_kept_are_plain_attraction():
    with jax.enable_x64(True):
        ours, _, assigned = followed(mixed(prior_rate=0.0, rate=0.7), TOKENS, None, steps=20)
        plain = td.compose(attract=td.attraction(temperature=1.0, rate=0.7))
        theirs = td.run(plain, None, FEATURES, tokens=TOKENS, max_steps=20, tol=0.0)
    np.testing.assert_allclose(ours.tokens, theirs.tokens, rtol=1e-10)
    np.testing.assert_allclose(assigned, theirs.assignment, atol=1e-10)


def test_the_energy_never_rises():
    with jax.enable_x64(True):
        _, (tokens, (priors,)), _ = followed(mixed(), TOKENS + 1.0, None, steps=40, keep=True)
        tokens = np.concatenate([TOKENS[None] + 1.0, tokens])  # with the start
        priors = np.concatenate([np.full((1, 3), 1 / 3), priors])
        energy = jax.jit(jax.vmap(lambda s, p: td.theory.mixture_energy(FEATURES, s, p, temperature=1.0)))
        energies = np.asarray(energy(tokens, priors))
    assert (np.diff(energies) <= 1e-9).all()
    assert energies[0] - energies[-1] > 1.0


def test_the_critical_temperature_is_that_of_plain_attraction():
    critical = td.theory.critical_temperature(FEATURES)
    start = np.tile(FEATURES.mean(axis=0), (3, 1)) + 1e-6 * GENERATOR.normal(size=(3, 2))
    spread = lambda tokens: np.abs(tokens - np.mean(tokens, axis=0)).max()  # noqa: E731
    unequal = np.array([0.7, 0.2, 0.1])
    with jax.enable_x64(True):
        for share in (0.9, 1.1):
            state, _, _ = followed(mixed(temperature=share * critical), start, unequal, steps=400)
            factor = spread(np.asarray(state.tokens)) / spread(start)
            assert factor < 1e-3 if share > 1 else factor > 1e3


def test_what_the_tokens_alone_do_not_tell_is_refused():
    single = FEATURES.astype(np.float32)
    with pytest.raises(ValueError, match="adjoint: expected one other than 'implicit' for a part that remembers"):
        td.run(mixed(), None, single, tokens=single[:3], max_steps=3, tol=0.1, adjoint="implicit")


REPELLED = {"temperature": 1.0, "strength": 0.05, "eps": 0.3}


def pushed(part, rate=0.2):
    return td.compose(attract=td.attraction(temperature=1.0, rate=rate), repel=part)


def test_repulsion_by_mass_rests_where_one_energy_is_stationary_and_plain_repulsion_does_not():
    mass = pushed(td.mass_repulsion(**REPELLED))
    plain = pushed(td.repulsion(strength=0.05, eps=0.3, kernel="plummer"))
    start = np.concatenate([TOKENS, TOKENS[2:] + 0.5])
    slope = jax.grad(lambda s: td.theory.repelled_energy(mass, FEATURES, s))
    with jax.enable_x64(True):
        rest = td.run(mass, None, FEATURES, tokens=start, max_steps=3000, tol=1e-12)
        elsewhere = td.run(plain, None, FEATURES, tokens=start, max_steps=3000, tol=1e-12)
        assert int(rest.status) == int(elsewhere.status) == td.Status.CONVERGED
        assert np.abs(slope(rest.tokens)).max() < 1e-8
        assert np.abs(slope(elsewhere.tokens)).max() > 1e-2
        # Not only at rest: the displacement of any tokens is the preconditioned gradient.
        _, info = td.step(mass, None, td.init(mass, None, FEATURES, tokens=start), FEATURES)
        weights = np.exp(-((FEATURES[:, None] - start) ** 2).sum(axis=-1))
        masses = (weights / weights.sum(axis=1, keepdims=True)).sum(axis=0)
        expected = -0.2 * np.asarray(slope(start)) / (2 * masses[:, None])
        np.testing.assert_allclose(info.displacement, expected, rtol=1e-8, atol=1e-10)


def test_repulsion_by_mass_lowers_the_energy_and_equals_plain_repulsion_at_equal_masses():
    mass = pushed(td.mass_repulsion(**REPELLED))
    energy = jax.jit(jax.vmap(lambda s: td.theory.repelled_energy(mass, FEATURES, s)))
    with jax.enable_x64(True):
        _, path = td.trajectory(mass, None, FEATURES, tokens=TOKENS + 0.3, num_steps=100)
        assert (np.diff(np.asarray(energy(path))) <= 1e-9).all()
        mirrored = np.concatenate([FEATURES, -FEATURES])  # two tokens, either side alike
        pair = np.array([[1.0, 0.5], [-1.0, -0.5]])
        ends = [
            td.run(pushed(part), None, mirrored, tokens=pair, max_steps=5, tol=0.0).tokens
            for part in (td.mass_repulsion(**REPELLED), td.repulsion(strength=0.05, eps=0.3, kernel="plummer"))
        ]
    np.testing.assert_allclose(ends[0], ends[1], rtol=1e-10)


def test_bad_input_is_one_sentence():
    features, tokens = FEATURES.astype(np.float32), TOKENS.astype(np.float32)
    with pytest.raises(ValueError, match=r"priors: expected shape \(3,\), got shape \(2,\)"):
        td.theory.mixture_energy(features, tokens, np.ones(2), temperature=1.0)
    with pytest.raises(ValueError, match="dynamics: expected one attraction and one mass_repulsion, got Attraction"):
        td.theory.repelled_energy(td.catalog.soft_kmeans(), features, tokens)
    with pytest.raises(ValueError, match="eps: expected a number above 0"):
        td.mass_repulsion(temperature=1.0, strength=0.1, eps=0.0)
    fit = td.TokenClustering(2, dynamics=mixed(), num_starts=1).fit(features)
    with pytest.raises(ValueError, match="dynamics: expected for transform, one that assigns by its tokens alone"):
        fit.transform(features)
