"""Learned priors and mass-consistent repulsion: their energies, limits and fixed points."""

import jax
import numpy as np
import pytest

import tokdyn as td

GENERATOR = np.random.default_rng(0)
# Two clusters of unequal size, and a wide one.
CENTRES = np.repeat([[0.0, 0.0], [4.0, 0.0], [-4.0, -4.0]], [60, 15, 25], axis=0)
FEATURES = CENTRES + GENERATOR.normal(size=(100, 2)) * np.repeat([0.5, 0.5, 1.5], [60, 15, 25])[:, None]
TOKENS = FEATURES[[0, 65, 80]]


@jax.jit
def _followed(dynamics, tokens, memory, features, steps):
    """As many steps as asked, of at most 3,000: an end that is traced, so that all lengths are one program."""
    begun = td.init(dynamics, None, features, tokens=tokens)
    begun = begun if memory is None else begun._replace(memory=memory)
    end = {"max_steps": 3000, "tol": 1e30, "min_steps": steps}
    result = td.run(dynamics, None, features, state=begun, keep=kept, every=1, **end)
    return result.tokens, result.assignment, result.state.memory, result.kept


def kept(state, info):
    return state.tokens, state.memory, info.displacement


def followed(dynamics, tokens, priors=None, *, steps, features=FEATURES):
    """Tokens, assignment, memory and path after so many steps, of a mixture from these priors."""
    memory = None if priors is None else (priors,)
    ended, assigned, memory, rows = _followed(dynamics, tokens, memory, features, steps)
    memory, rows = jax.tree.map(np.asarray, (memory, rows))
    return np.asarray(ended), np.asarray(assigned), memory, jax.tree.map(lambda x: x[:steps], rows)


def mixed(**numbers):
    return td.compose(attract=td.mixture(**{"temperature": 1.0, **numbers}))


def test_one_step_is_expectation_maximisation():
    priors = np.array([0.5, 0.2, 0.3])
    weights = priors * np.exp(-((FEATURES[:, None] - TOKENS) ** 2).sum(axis=-1))
    weights /= weights.sum(axis=1, keepdims=True)
    with jax.enable_x64(True):
        tokens, _, (learned,), _ = followed(mixed(), TOKENS, priors, steps=1)
    np.testing.assert_allclose(learned, weights.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(tokens, (weights / weights.sum(axis=0)).T @ FEATURES, rtol=1e-12)


def test_tokens_that_coincide_are_one_token_with_their_masses():
    """From any split: after 20 steps the pair is where the single token of the sum is, and keeps its split."""
    doubled = TOKENS[[0, 0, 1, 2]]
    with jax.enable_x64(True):
        one, assigned, (single,), _ = followed(mixed(), TOKENS, np.array([0.5, 0.2, 0.3]), steps=20)
        two, split, (shared,), _ = followed(mixed(), doubled, np.array([0.1, 0.4, 0.2, 0.3]), steps=20)
        plain = td.compose(attract=td.attraction(temperature=1.0))
        alone, double = (followed(plain, tokens, steps=20)[0] for tokens in (TOKENS, doubled))
    np.testing.assert_allclose(two, one[[0, 0, 1, 2]], rtol=1e-9)
    np.testing.assert_allclose(shared[:2].sum(), single[0], rtol=1e-9)
    np.testing.assert_allclose(shared[1] / shared[0], 4.0, rtol=1e-9)
    # The final assignment recalls the priors, too.
    np.testing.assert_allclose(split[:, :2].sum(axis=1), assigned[:, 0], rtol=1e-8)
    # Plain attraction, where a pair weighs double, is not so.
    assert np.abs(double[[0, 2, 3]] - alone).max() > 1e-3


def test_equal_priors_kept_are_plain_attraction():
    with jax.enable_x64(True):
        ours, assigned, _, _ = followed(mixed(prior_rate=0.0, rate=0.7), TOKENS, np.full(3, 1 / 3), steps=20)
        theirs, expected, _, _ = followed(
            td.compose(attract=td.attraction(temperature=1.0, rate=0.7)), TOKENS, steps=20
        )
    np.testing.assert_allclose(ours, theirs, rtol=1e-10)
    np.testing.assert_allclose(assigned, expected, atol=1e-10)


def test_the_energy_never_rises():
    with jax.enable_x64(True):
        start, equal = TOKENS + 1.0, np.full(3, 1 / 3)
        _, _, _, (tokens, (priors,), _) = followed(mixed(), start, equal, steps=40)
        energy = jax.jit(jax.vmap(lambda s, p: td.theory.mixture_energy(FEATURES, s, p, temperature=1.0)))
        energies = np.asarray(energy(np.concatenate([start[None], tokens]), np.concatenate([equal[None], priors])))
    assert (np.diff(energies) <= 1e-9).all()
    assert energies[0] - energies[-1] > 1.0


def test_the_critical_temperature_is_that_of_plain_attraction():
    critical = td.theory.critical_temperature(FEATURES)
    start = np.tile(FEATURES.mean(axis=0), (3, 1)) + 1e-6 * GENERATOR.normal(size=(3, 2))
    spread = lambda tokens: np.abs(tokens - np.mean(tokens, axis=0)).max()  # noqa: E731
    unequal = np.array([0.7, 0.2, 0.1])
    with jax.enable_x64(True):
        for share in (0.9, 1.1):
            tokens, *_ = followed(mixed(temperature=share * critical), start, unequal, steps=400)
            factor = spread(tokens) / spread(start)
            assert factor < 1e-3 if share > 1 else factor > 1e3


def test_what_the_tokens_alone_do_not_tell_is_refused():
    single = FEATURES.astype(np.float32)
    with pytest.raises(ValueError, match="adjoint: expected one other than 'implicit' for a part that remembers"):
        td.run(mixed(), None, single, tokens=single[:3], max_steps=3, tol=0.1, adjoint="implicit")


REPELLED = {"temperature": 1.0, "strength": 0.05, "eps": 0.3}


def pushed(part, rate=0.2):
    return td.compose(attract=td.attraction(temperature=1.0, rate=rate), repel=part)


MASS = pushed(td.mass_repulsion(**REPELLED))
PLAIN = pushed(td.repulsion(strength=0.05, eps=0.3, kernel="plummer"))
START = np.concatenate([TOKENS, TOKENS[2:] + 0.5])


def test_repulsion_by_mass_rests_where_one_energy_is_stationary_and_plain_repulsion_does_not():
    """And from any tokens, the displacement is the gradient of that energy, divided by the masses; it falls."""
    both = jax.jit(jax.vmap(jax.value_and_grad(lambda s: td.theory.repelled_energy(MASS, FEATURES, s))))
    with jax.enable_x64(True):
        rest, _, _, (path, _, moved) = followed(MASS, START, steps=3000)
        elsewhere, _, _, (_, _, last) = followed(PLAIN, START, steps=3000)
        energies, slopes = (np.asarray(x) for x in both(np.concatenate([START[None], path[:100], [rest, elsewhere]])))
    assert np.abs(moved[-1]).max() < 1e-12
    assert np.abs(last[-1]).max() < 1e-12
    assert np.abs(slopes[-2]).max() < 1e-8
    assert np.abs(slopes[-1]).max() > 1e-2
    assert (np.diff(energies[:-1]) <= 1e-9).all()
    weights = np.exp(-((FEATURES[:, None] - START) ** 2).sum(axis=-1))
    masses = (weights / weights.sum(axis=1, keepdims=True)).sum(axis=0)
    np.testing.assert_allclose(moved[0], -0.2 * slopes[0] / (2 * masses[:, None]), rtol=1e-8, atol=1e-10)


def test_repulsion_by_mass_is_plain_repulsion_at_equal_masses():
    """Features and tokens with a fourfold axis: the tokens have equal masses, and keep them."""
    quarter = np.array([[0.0, -1.0], [1.0, 0.0]])
    turned = lambda rows: np.concatenate([rows, rows @ quarter, -rows, -rows @ quarter])  # noqa: E731
    with jax.enable_x64(True):
        ends = [followed(d, turned(START[:1] + 1.0), steps=5, features=turned(FEATURES[:25]))[0] for d in (MASS, PLAIN)]
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
