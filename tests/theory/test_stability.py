"""The linear map of a step: against formulas at collapse, dense eigenvalues, simulation; inertia; large problems."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tokdyn as td
from tokdyn.theory import linear
from tokdyn.theory import maps as any_map

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def wide():
    with jax.enable_x64(True):
        yield


def drawn(rng, count, dimensions):
    turn = np.linalg.qr(rng.normal(size=(dimensions, dimensions)))[0]
    skewed = rng.exponential(size=(count, dimensions)) if rng.random() < 0.5 else rng.normal(size=(count, dimensions))
    return skewed * np.exp(rng.uniform(-1.5, 1.5, dimensions)) @ turn + rng.normal(size=dimensions)


@pytest.mark.parametrize(
    ("dimensions", "tokens"),
    [(1, 2), (2, 16), (7, 3), (64, 4), pytest.param(16, 5, marks=pytest.mark.slow),
     pytest.param(256, 2, marks=pytest.mark.slow)],
)  # fmt: skip
def test_at_collapse_the_radii_are_those_of_the_covariance(dimensions, tokens):
    """Differences: `1 - eta + 2 eta lambda / T`. Alike: `1 - eta`. Random covariances, skews, 1 to 256 dimensions."""
    rng = np.random.default_rng(dimensions)
    features = drawn(rng, 300, dimensions)
    rate, share = rng.uniform(0.3, 1.3), rng.uniform(0.5, 2)
    critical = 2 * np.linalg.eigvalsh(np.cov(features.T, bias=True).reshape(dimensions, dimensions))[-1]
    at = np.tile(features.mean(axis=0), (tokens, 1))
    found = td.theory.stability(td.catalog.soft_kmeans(temperature=share * critical, rate=rate), features, at)
    factors = td.theory.growth_factors(features, share * critical, rate)
    assert found.difference_radius == pytest.approx(np.abs(factors).max(), rel=1e-6)
    assert found.common_radius == pytest.approx(abs(1 - rate), abs=1e-6)
    assert found.radius == pytest.approx(max(found.difference_radius, found.common_radius), rel=1e-6)
    assert found.residual < 1e-12
    assert found.is_complete


def test_at_rest_the_attraction_never_swings():
    """The map is similar to a symmetric one of eigenvalues from 0: real, below 1 at a minimum."""
    for seed in range(4):
        features = drawn(np.random.default_rng(seed), 120, 3)
        dynamics = td.catalog.soft_kmeans(temperature=0.3 * td.theory.critical_temperature(features))
        ended = td.run(dynamics, jax.random.key(seed), features, num_tokens=4, max_steps=5000, tol=1e-13)
        found = td.theory.stability(dynamics, features, ended.tokens)
        assert np.abs(found.eigenvalues.imag).max() < 1e-6
        assert found.eigenvalues.real.min() > -1e-9
        assert found.radius < 1 + 1e-6


@pytest.mark.parametrize(
    ("rate", "momentum", "radius"),
    [(1, 0, 0.0001), (1, 0.5, 0.7071), (1, 0.9, 0.9487), (2, 0, 1.0), (2.9, 0.3, 1.383), (2.9, 0.5, 0.7071),
     (3.05, 0.5, 1.092), (3.3, 0.8, 0.8944)],
)  # fmt: skip
def test_inertia_at_separate_clusters(rate, momentum, radius):
    """The table of the published study's own fixed point, and the formula for every eigenvalue of the plain step."""
    rng = np.random.default_rng(1)
    features = np.concatenate([rng.normal(size=(80, 6)) * 0.6 + centre for centre in rng.uniform(-5, 5, (4, 6))])
    start = features[::80]
    plain = td.catalog.soft_kmeans()
    tokens = td.run(plain, None, features, tokens=start, max_steps=3000, tol=1e-14).tokens
    a = td.theory.stability(plain, features, tokens).eigenvalues.real
    moving = td.compose(a=td.attraction(temperature=1.0, rate=rate), i=td.inertia(momentum=momentum))
    found = td.theory.stability(moving, features, tokens)
    predicted = td.theory.momentum_radius(a, rate, momentum)
    assert found.radius == pytest.approx(predicted.max(), abs=1e-6)
    if momentum or rate != 1:
        assert found.radius == pytest.approx(radius, abs=2e-3)
    assert (found.radius < 1) == (rate < td.theory.largest_rate(momentum, pull=(1 - a).max()) - 1e-9)
    low, high = td.theory.swings(momentum)
    swinging = ((rate * (1 - a) > low) & (rate * (1 - a) < high)).any()
    assert (np.abs(found.eigenvalues.imag).max() > 1e-6) == swinging


def test_the_best_momentum_is_the_best():
    for slowest in (0.3, 0.9, 0.999):
        momenta = np.linspace(0, 0.999, 2001)
        # Of directions from the slowest to the fastest, the one that is damped least decides.
        radii = np.max([td.theory.momentum_radius(a, 1.0, momenta) for a in np.linspace(0, slowest, 40)], axis=0)
        assert momenta[radii.argmin()] == pytest.approx(td.theory.best_momentum(slowest), abs=2e-3)


def test_products_alone_find_what_the_matrix_has(monkeypatch):
    """Arnoldi's method, which large problems need, on one small enough to check."""
    features = drawn(RNG, 100, 12)
    dynamics = td.compose(
        a=td.attraction(temperature=0.7 * td.theory.critical_temperature(features)), i=td.inertia(momentum=0.3)
    )
    tokens = td.run(dynamics, jax.random.key(0), features, num_tokens=4, max_steps=500, tol=1e-10).tokens
    whole = td.theory.stability(dynamics, features, tokens)
    monkeypatch.setattr(linear, "MOST_DENSE", 1)
    few = td.theory.stability(dynamics, features, tokens)
    for name in ("radius", "common_radius", "difference_radius", "residual"):
        assert getattr(few, name) == pytest.approx(getattr(whole, name), rel=1e-4, abs=1e-9)
    assert not few.is_complete


def test_the_map_of_any_dynamics_takes_its_steps():
    """Repulsion and inertia included, from a state that moves."""
    features = drawn(RNG, 60, 2)
    dynamics = td.catalog.published("inertia_repulsion")
    state = td.init(dynamics, None, features, tokens=features[:3])
    state, _ = td.step(dynamics, None, state, features)
    step, start, tokens_of = td.theory.as_map(dynamics, features, state)
    later, _ = td.step(dynamics, None, state, features)
    np.testing.assert_allclose(tokens_of(step(start)), later.tokens, rtol=1e-12)
    exponents = any_map.lyapunov_exponents(step, start, num_steps=300, num_exponents=2, key=jax.random.key(0))
    radius = td.theory.stability(dynamics, features, later).radius
    assert np.isfinite(exponents.exponents).all()
    assert radius > 0


def test_the_largest_exponent_of_a_run_at_rest_is_the_log_of_its_radius():
    features = drawn(np.random.default_rng(5), 100, 2)
    dynamics = td.catalog.soft_kmeans(temperature=0.4 * td.theory.critical_temperature(features), rate=0.5)
    tokens = td.run(dynamics, jax.random.key(0), features, num_tokens=3, max_steps=20_000, tol=1e-14).tokens
    step, start, _ = td.theory.as_map(dynamics, features, tokens)
    found = any_map.lyapunov_exponents(step, start, num_steps=2000, key=jax.random.key(1))
    radius = td.theory.stability(dynamics, features, tokens).radius
    assert float(found.exponents[0]) == pytest.approx(np.log(radius), abs=3e-3)


@pytest.mark.parametrize(
    ("cycle", "expected"), [([1.0], 1), ([1.0, 2.0], 2), ([1, 2, 1, 3.0], 4), (list(range(63)), 63)]
)
def test_periods_of_cycles(cycle, expected):
    assert any_map.period(np.resize(np.array(cycle, float), 400)) == expected


def test_what_does_not_come_back_has_no_period():
    chaos = any_map.rollout(lambda x: 3.9 * x * (1 - x), jnp.array([0.3]), num_steps=2000)
    assert any_map.period(chaos) == 0
    assert any_map.period(np.arange(400.0)) == 0
    assert any_map.period(np.full(400, np.nan)) == 0
    with pytest.raises(ValueError, match="^states: expected at least 192 states"):
        any_map.period(np.ones(100))


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda x: td.theory.stability(td.catalog.langevin(), x, x[:2]), "dynamics: expected no random part"),
        (lambda x: td.theory.stability(td.catalog.annealed(), x, x[:2]), "dynamics: expected numbers that do not"),
        (lambda x: td.theory.stability(td.catalog.soft_kmeans(), x, x[:2, :1]), "tokens: expected shape"),
        (lambda x: td.theory.stability("rule", x, x[:2]), "dynamics: expected what td.compose returned"),
        (lambda x: td.theory.stability(td.catalog.soft_kmeans(), x, x[:2] * np.nan), "tokens: expected finite"),
        (lambda x: td.theory.best_momentum(1.0), "multiplier: expected a number below 1"),
        (lambda x: td.theory.largest_rate(1.0), "momentum: expected"),
        (lambda x: td.theory.momentum_radius(0.5, 1.0, -0.1), "momentum: expected"),
        (lambda x: td.theory.swings(1.5), "momentum: expected"),
    ],
)  # fmt: skip
def test_bad_input(call, sentence):
    with pytest.raises(ValueError, match=f"^{sentence}"):
        call(drawn(RNG, 20, 2))
