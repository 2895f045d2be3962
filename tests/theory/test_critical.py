"""The critical temperature: its law against simulation, SciPy, scales, masks; the automatic temperature's rule."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import brentq

import tokdyn as td
from tokdyn.theory import critical

RNG = np.random.default_rng(0)
FEATURES = RNG.normal(size=(300, 4)) @ np.diag([2.0, 1.0, 0.7, 0.5]) + RNG.normal(size=4)
VARIANCES = np.linalg.eigvalsh(np.cov(FEATURES.T, bias=True))[::-1]


@pytest.fixture(scope="module")
def compiled():
    """Both laws as one program, masked, for a batch of features `[3, 300, 4]`."""
    both = lambda x, mask: (  # noqa: E731
        td.theory.critical_temperature(x, mask=mask),
        td.theory.growth_factors(x, 2.0, 0.5, mask=mask),
    )
    return jax.jit(jax.vmap(both))


def test_variances_are_those_of_the_covariance():
    np.testing.assert_allclose(td.theory.principal_variances(FEATURES), VARIANCES, rtol=1e-12)
    few = FEATURES[:3]  # fewer features than dimensions: by inner products
    expected = np.linalg.eigvalsh(np.cov(few.T, bias=True))[::-1][:3]
    np.testing.assert_allclose(td.theory.principal_variances(few), expected, atol=1e-12)
    assert td.theory.critical_temperature(FEATURES) == pytest.approx(2 * VARIANCES[0], rel=1e-12)


def test_tokens_near_the_mean_part_below_it_and_meet_above_by_the_growth_factors():
    """The differences of tokens near one point are multiplied, step by step, by what the formula says."""
    rate, steps = 0.7, 5
    values, directions = np.linalg.eigh(np.cov(FEATURES.T, bias=True))
    with jax.enable_x64(True):
        for share in (0.9, 1.1):
            temperature = share * 2 * values[-1]
            dynamics = td.compose(attract=td.attraction(temperature=temperature, rate=rate, distances="difference"))
            small = 1e-6 * np.random.default_rng(1).normal(size=(3, 4))
            tokens = FEATURES.mean(axis=0) + small
            state, _ = td.trajectory(dynamics, None, jnp.asarray(FEATURES), tokens=jnp.asarray(tokens), num_steps=steps)
            ended = np.asarray(state.tokens)
            before = (tokens - tokens.mean(axis=0)) @ directions
            after = (ended - ended.mean(axis=0)) @ directions
            factors = td.theory.growth_factors(FEATURES, temperature, rate)[::-1]
            # First order: what is left out is a millionth of it.
            np.testing.assert_allclose(after, before * factors**steps, rtol=1e-3, atol=1e-12)
            assert (factors[-1] > 1) == (share < 1)


def test_jit_vmap_masks_scales_and_offsets(compiled):
    """float32 far from the origin and at the ends of its range; masked rows hold NaN and belong to nobody."""
    mask = RNG.random(300) < 0.6
    hidden = np.where(mask[:, None], FEATURES, np.nan)
    batch = np.stack([hidden, hidden * 1e-15, hidden * 1e15]).astype(np.float32)
    found, factors = compiled(batch, np.stack([mask] * 3))
    expected = np.linalg.eigvalsh(np.cov(FEATURES[mask].T, bias=True))[::-1]
    np.testing.assert_allclose(found, 2 * expected[0] * np.array([1.0, 1e-30, 1e30]), rtol=1e-5)
    np.testing.assert_allclose(factors[0], 0.5 + 0.5 * expected, rtol=1e-5)
    far, _ = compiled(np.stack([FEATURES + 1e3] * 3).astype(np.float32), np.ones((3, 300), bool))
    # Features themselves are rounded to 3e-5 there, some tens of thousands times less than their spread.
    np.testing.assert_allclose(far, 2 * VARIANCES[0], rtol=1e-4)
    none, _ = compiled(batch, np.zeros((3, 300), bool))
    assert none.tolist() == [0.0, 0.0, 0.0]


def test_one_dimension_constant_features_and_one_feature():
    column = RNG.exponential(size=(50, 1))
    assert td.theory.critical_temperature(column) == pytest.approx(2 * column.var(), rel=1e-12)
    for constant in (np.full((20, 3), 7.1), np.full((1, 2), 1e9), np.zeros((4, 1))):
        assert td.theory.critical_temperature(constant) == pytest.approx(0.0, abs=1e-25)
    assert td.theory.growth_factors(np.zeros((4, 1)), 0.0).tolist() == [0.0]
    assert td.theory.growth_factors(FEATURES, 0.0).tolist() == [np.inf] * 4


def test_temperatures_scale_with_the_square_of_the_features_at_every_scale():
    one = td.theory.automatic_temperature(FEATURES, num_tokens=5)
    for scale in (1e-100, 1e-12, 1e12, 1e100):
        assert td.theory.critical_temperature(FEATURES * scale) == pytest.approx(2 * VARIANCES[0] * scale**2, rel=1e-9)
        assert td.theory.automatic_temperature(FEATURES * scale, num_tokens=5) == pytest.approx(
            one * scale**2, rel=1e-9
        )


def test_the_gradient_is_that_of_the_largest_eigenvalue():
    """`d T_c / d x_i = (4/N) (v . (x_i - mean)) v`."""
    _, directions = np.linalg.eigh(np.cov(FEATURES.T, bias=True))
    top = directions[:, -1]
    expected = 4 / len(FEATURES) * ((FEATURES - FEATURES.mean(axis=0)) @ top)[:, None] * top
    gradient = jax.jit(jax.grad(td.theory.critical_temperature))(FEATURES.astype(np.float32))
    np.testing.assert_allclose(gradient, expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.slow
def test_many_dimensions_without_the_covariance():
    wide = RNG.normal(size=(1100, 1200)) + 4 * RNG.normal(size=(1100, 1)) * RNG.normal(size=1200) / np.sqrt(1200)
    centred = wide - wide.mean(axis=0)
    expected = 2 * np.linalg.norm(centred, 2) ** 2 / len(wide)
    assert td.theory.critical_temperature(wide) == pytest.approx(expected, rel=1e-6)
    by_jax = jax.jit(td.theory.critical_temperature)
    assert float(by_jax(wide.astype(np.float32))) == pytest.approx(expected, rel=1e-3)
    noise = RNG.normal(size=(1100, 1200))
    expected = 2 * np.linalg.norm(noise - noise.mean(axis=0), 2) ** 2 / len(noise)
    assert float(by_jax(noise.astype(np.float32))) == pytest.approx(expected, rel=5e-3)


def test_distortion_spends_what_naming_a_token_takes():
    for num_tokens in (2, 7, 100):
        told = lambda log: 0.5 * np.maximum(np.log(VARIANCES) - log, 0).sum() - np.log(num_tokens)  # noqa: E731, B023
        expected = np.exp(brentq(told, -50, np.log(VARIANCES[0])))
        assert td.theory.distortion(VARIANCES, num_tokens) == pytest.approx(expected, rel=1e-9)
    assert td.theory.distortion([9.0, 0.0], 3) == pytest.approx(1.0)
    assert td.theory.distortion(VARIANCES, 1) == pytest.approx(VARIANCES[0])
    assert td.theory.distortion([0.0, 0.0], 3) == 0.0


def test_the_automatic_temperature_is_at_most_a_quarter_of_the_critical_one():
    for data in (FEATURES, FEATURES[:, :1], RNG.standard_t(1.5, size=(200, 3)), RNG.normal(size=(30, 200))):
        for num_tokens in (1, 2, 20):
            found = td.theory.automatic_temperature(data, num_tokens=num_tokens)
            assert 0 < found <= td.theory.critical_temperature(data) / 4 * (1 + 1e-12)
    assert td.theory.automatic_temperature(np.ones((9, 2)), num_tokens=3) == 0.0


def test_many_features_are_read_in_part(monkeypatch):
    monkeypatch.setattr(critical, "MOST_PRODUCTS", 1 << 14)
    many = RNG.normal(size=(20_000, 3)) * np.array([3.0, 1.0, 1.0])
    assert critical.rows_read(many) == critical.FEWEST_ROWS
    # A variance of n normal numbers has a relative deviation of sqrt(2/n): 0.03 for 2,048.
    np.testing.assert_allclose(td.theory.read_variances(many), [9.0, 1.0, 1.0], rtol=0.12)


@pytest.mark.parametrize(
    ("features", "sentence"),
    [
        (np.arange(6).reshape(3, 2), r"features: expected a floating-point array \[N, D\]"),
        (np.ones(3), r"features: expected a floating-point array \[N, D\], got shape \(3,\)"),
        (np.ones((0, 2)), r"features: expected at least one row and one column \[N, D\], got shape \(0, 2\)"),
    ],
)
def test_bad_features_get_a_sentence(features, sentence):
    with pytest.raises(ValueError, match=sentence):
        td.theory.critical_temperature(features)


def test_bad_numbers_get_a_sentence():
    with pytest.raises(ValueError, match="temperature: expected a number of at least 0, got -1"):
        td.theory.growth_factors(FEATURES, -1.0)
    with pytest.raises(ValueError, match="num_tokens: expected a static integer of at least 1, got 0"):
        td.theory.automatic_temperature(FEATURES, num_tokens=0)
    with pytest.raises(ValueError, match=r"mask: expected a boolean array \[N\] of length 300"):
        td.theory.critical_temperature(FEATURES, mask=np.ones(3, bool))


@pytest.fixture(scope="module")
def growth():
    """By what factor ten steps multiply a small distance between three tokens near the mean of `[300, 4]`."""

    def grown(features, temperature):
        start = features.mean(axis=0) + 1e-4 * jnp.asarray(np.random.default_rng(1).normal(size=(3, 4)))
        dynamics = td.compose(attract=td.attraction(temperature=temperature, distances="difference"))
        # What decays at once is gone after forty steps; the slowest direction decides.
        keep = lambda state, info: jnp.abs(state.tokens - state.tokens.mean(axis=0)).max()  # noqa: E731
        _, size = td.trajectory(dynamics, None, features, tokens=start, num_steps=50, keep=keep)
        return size[-1] / size[39]

    with jax.enable_x64(True):
        yield jax.jit(grown)


def where_tokens_part_and_meet(growth, features):
    """The check: just below the critical temperature of the package tokens part, just above it they meet."""
    predicted = float(td.theory.critical_temperature(features))
    assert growth(features, 0.97 * predicted) > 1
    assert growth(features, 1.03 * predicted) < 1


@pytest.mark.parametrize("seed", range(4))
def test_the_check_of_the_critical_temperature_can_fail(growth, monkeypatch, seed):
    """A factor of 2 in it, either way, is noticed: in the law on its own, and in the whole diagnosis."""
    rng = np.random.default_rng(seed)
    draws = rng.exponential(size=(300, 4)) if seed % 2 else rng.normal(size=(300, 4))
    features = draws * np.exp(rng.uniform(-1, 1, 4))
    where_tokens_part_and_meet(growth, features)
    right = critical.principal_variances
    for factor in (2.0, 0.5):
        monkeypatch.setattr(critical, "principal_variances", lambda x, *, mask=None, f=factor: f * right(x, mask=mask))
        with pytest.raises(AssertionError):
            where_tokens_part_and_meet(growth, features)
    monkeypatch.undo()
    where_tokens_part_and_meet(growth, features)


@pytest.mark.parametrize("factor", [2.0, 0.5])
def test_the_check_of_the_cascade_can_fail(monkeypatch, factor):
    """Splits at the clusters' own critical temperatures: not with a factor of 2."""
    from tokdyn.theory import cascade

    rng = np.random.default_rng(0)
    clusters = [rng.normal(size=(200, 2)) * s + c for s, c in ((0.5, -40.0), (1.0, 0.0))]

    def largest_error():
        found = td.theory.splitting_cascade(np.concatenate(clusters), num_tokens=4, lowest=0.05)
        own = np.array([split.temperature for split in found.splits])
        inside = [2 * np.linalg.eigvalsh(np.cov(one.T, bias=True))[-1] for one in clusters]
        return max(np.abs(own / one - 1).min() for one in inside)

    assert largest_error() < 0.003
    right = cascade._widest
    monkeypatch.setattr(cascade, "_widest", lambda x, w: (factor * right(x, w)[0], right(x, w)[1]))
    assert largest_error() > 0.003
