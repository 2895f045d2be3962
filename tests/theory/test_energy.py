"""The free energy: against NumPy and SciPy, its gradient, the exact identity of a step, and what inertia adds."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import logsumexp, softmax

import tokdyn as td
from tokdyn.theory import descent, free_energy, lyapunov_candidate

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def wide():
    with jax.enable_x64(True):
        yield


def scene(rng, *, dimensions=3, tokens=4, skewed=False):
    """Random features of random shape, and tokens among them."""
    count = 120
    features = rng.exponential(size=(count, dimensions)) if skewed else rng.normal(size=(count, dimensions))
    features = features * rng.uniform(0.2, 3, dimensions) + rng.normal(size=dimensions) * 5
    return features, features[rng.choice(count, tokens, replace=False)] + 0.1 * rng.normal(size=(tokens, dimensions))


def by_numpy(features, tokens, temperature):
    squared = ((features[:, None] - tokens[None]) ** 2).sum(axis=-1)
    return -temperature * logsumexp(-squared / temperature, axis=1).sum()


def masses(features, tokens, temperature):
    squared = ((features[:, None] - np.asarray(tokens)[None]) ** 2).sum(axis=-1)
    return softmax(-squared / temperature, axis=1).sum(axis=0)


@pytest.mark.parametrize("temperature", [0.01, 1.0, 300.0])
def test_it_is_its_definition(temperature):
    features, tokens = scene(RNG)
    mask = RNG.random(len(features)) < 0.7
    found = free_energy(td.catalog.soft_kmeans(temperature=temperature), features, tokens)
    assert found == pytest.approx(by_numpy(features, tokens, temperature), rel=1e-12)
    hidden = np.where(mask[:, None], features, np.nan)
    found = free_energy(td.catalog.soft_kmeans(temperature=temperature), hidden, tokens, mask=mask)
    assert found == pytest.approx(by_numpy(features[mask], tokens, temperature), rel=1e-12)


def test_without_temperature_it_is_the_error_of_k_means():
    features, tokens = scene(RNG)
    squared = ((features[:, None] - tokens[None]) ** 2).sum(axis=-1)
    found = free_energy(td.catalog.soft_kmeans(temperature=0.0), features, tokens)
    assert found == pytest.approx(squared.min(axis=1).sum(), rel=1e-12)


def test_many_features_are_added_up_in_pieces(monkeypatch):
    features, tokens = scene(RNG)
    features = features[:101]  # a size that no other test has compiled
    monkeypatch.setattr("tokdyn.theory.energy._MOST_NUMBERS", 13 * tokens.size)
    found = free_energy(td.catalog.soft_kmeans(), features, tokens)
    assert found == pytest.approx(by_numpy(features, tokens, 1.0), rel=1e-12)
    assert descent(td.catalog.soft_kmeans(), features, tokens).error < 1e-12


def test_its_gradient_is_the_pull_of_the_attraction():
    """`dF/ds_k = 2 m_k (s_k - mu_k)`: the step is gradient descent, divided by twice the masses."""
    features, tokens = scene(RNG)
    dynamics = td.catalog.soft_kmeans(temperature=1.5)
    slope = jax.grad(lambda s: free_energy(dynamics, features, s))(jnp.asarray(tokens))
    state, _ = td.step(dynamics, None, td.init(dynamics, None, features, tokens=tokens), features)
    mass = masses(features, tokens, 1.5)
    np.testing.assert_allclose(slope, -2 * mass[:, None] * (state.tokens - tokens), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("seed", range(24))
def test_the_identity_holds_to_rounding_whatever_the_features(seed):
    """1 to 256 dimensions, 2 to 16 tokens, any temperature and rate, symmetric and skewed."""
    rng = np.random.default_rng(seed)
    dimensions = int(rng.choice([1, 2, 5, 16, 64, 256]))
    features, tokens = scene(rng, dimensions=dimensions, tokens=int(rng.integers(2, 17)), skewed=bool(seed % 2))
    critical = td.theory.critical_temperature(features)
    rate, temperature = rng.uniform(0.05, 1.95), critical * np.exp(rng.uniform(-5, 1))
    dynamics = td.catalog.soft_kmeans(temperature=temperature, rate=rate)
    for _ in range(5):
        found = descent(dynamics, features, tokens)
        assert found.error < 1e-9
        assert found.divergence >= -1e-9 * abs(found.before)
        assert found.after <= found.before + 1e-12 * abs(found.before)
        stepped, _ = td.step(dynamics, None, td.init(dynamics, None, features, tokens=tokens), features)
        np.testing.assert_allclose(found.tokens, stepped.tokens, rtol=1e-9, atol=1e-9)
        tokens = np.asarray(found.tokens)


def test_beyond_a_rate_of_two_it_can_rise():
    features, tokens = scene(RNG)
    at_rest = td.run(td.catalog.soft_kmeans(), None, features, tokens=tokens, max_steps=500, tol=1e-12).tokens
    found = descent(td.catalog.soft_kmeans(rate=2.5), features, at_rest + 1e-3)
    assert found.after > found.before
    assert found.error < 1e-9


@pytest.mark.parametrize("momentum", [0.0, 0.3, 0.5])
def test_the_candidate_of_inertia_falls_but_for_growing_masses(momentum):
    """At `eta = 2 (1 - m)`, the largest rate of the bound, with its correction for masses that grow."""
    rate = min(2 * (1 - momentum), 1.9)
    for seed in range(6):
        rng = np.random.default_rng(seed)
        features, tokens = scene(rng, skewed=bool(seed % 2))
        temperature = rng.uniform(0.1, 3)
        attract = td.attraction(temperature=temperature, rate=rate)
        dynamics = td.compose(attract=attract, inertia=td.inertia(momentum=momentum))
        state = td.init(dynamics, None, features, tokens=tokens)
        for _ in range(12):
            later, info = td.step(dynamics, None, state, features)
            before, after = (float(lyapunov_candidate(dynamics, features, one)) for one in (state, later))
            grown = np.maximum(
                masses(features, later.tokens, temperature) - masses(features, state.tokens, temperature), 0
            )
            allowed = momentum / rate * float(grown @ (np.asarray(info.displacement) ** 2).sum(axis=1))
            assert after - before <= allowed + 1e-9 * abs(before)
            state = later


def test_without_inertia_the_candidate_is_the_energy():
    features, tokens = scene(RNG)
    dynamics = td.catalog.soft_kmeans()
    state = td.init(dynamics, None, features, tokens=tokens)
    assert lyapunov_candidate(dynamics, features, state) == free_energy(dynamics, features, tokens)


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (lambda x, s: free_energy(td.compose(i=td.inertia(momentum=0.5)), x, s), "dynamics: expected one attraction"),
        (lambda x, s: free_energy("rule", x, s), "dynamics: expected what td.compose returned, got a str"),
        (lambda x, s: descent(td.catalog.published("repulsion"), x, s), "dynamics: expected attraction and no other"),
        (lambda x, s: descent(td.compose(a=td.attraction(temperature=1.0, mass_floor=1e-3)), x, s), "a.mass_floor: "),
        (lambda x, s: free_energy(td.catalog.annealed(), x, s), "dynamics: expected numbers that do not change"),
        (lambda x, s: free_energy(td.catalog.soft_kmeans(temperature=np.inf), x, s), "attract.temperature: "),
        (lambda x, s: free_energy(td.catalog.soft_kmeans(), x, s[:, :1]), "tokens: expected shape"),
        (lambda x, s: lyapunov_candidate(td.catalog.soft_kmeans(), x, s), "state: expected a State"),
        (lambda x, s: free_energy(td.catalog.soft_kmeans(), x, s, mask=np.ones(3, bool)), "mask: expected"),
    ],
)  # fmt: skip
def test_bad_input(build, sentence):
    features, tokens = scene(RNG)
    with pytest.raises(ValueError, match=f"^{sentence}"):
        build(features, tokens)
