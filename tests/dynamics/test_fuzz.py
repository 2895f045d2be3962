"""A small part of ``tests/fuzz.py`` in every gate, and the cases that it was made from."""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tokdyn as td
from tokdyn.numerics import tempered_softmax
from tokdyn.solve import merging

sys.path.insert(0, str(Path(__file__).parents[1]))
import fuzz

SEED = 7


def pytest_generate_tests(metafunc):
    """Twenty programs where all is compiled as users have it, in the gate's second pass; five in every suite."""
    if "number" in metafunc.fixturenames:
        metafunc.parametrize("number", range(20 if metafunc.config.option.compiler == "full" else 5))


def test_random_programs_and_numbers(number):
    program = list(fuzz.programs(SEED, number + 1))[number]
    _, failures = fuzz.check(program, SEED + number, 500)
    assert not failures, (program, failures)


@pytest.mark.slow
@pytest.mark.parametrize("hundred", range(1, 4))
def test_more_of_them(hundred):
    assert fuzz.main(["--programs", "100", "--draws", "1000", "--seed", str(1000 * hundred)]) == 0


@pytest.mark.parametrize("distances", ["product", "difference"])
@pytest.mark.parametrize("num_tokens", [2, 3, 4])
def test_one_dimension_and_no_temperature(distances, num_tokens):
    """A compiler computed scores twice, rounded differently; their difference was divided by the temperature: NaN."""

    @jax.jit
    def all_runs(scales, temperatures):
        features = jax.random.normal(jax.random.key(0), (100, 1))
        start = jax.random.key(1)
        return jax.lax.map(
            lambda x: td.run(
                td.compose(attract=td.attraction(temperature=x[1], distances=distances)),
                start,
                features * x[0],
                num_tokens=num_tokens,
                max_steps=30,
                tol=1e-3,
            ),
            (scales, temperatures),
        )

    options = {"compiler_options": fuzz.FULL}
    results = jax.jit(all_runs, **options)(jnp.array([1e3, 1e3, 1e5]), jnp.array([0.0, 1e-6, 1.0]))
    np.testing.assert_allclose(results.assignment.sum(axis=2), 1.0, rtol=1e-6)
    # The nearest token owns each feature, as labels say.
    features = np.asarray(jax.random.normal(jax.random.key(0), (100, 1))) * np.array([1e3, 1e3, 1e5])[:, None, None]
    apart = np.abs(features - np.asarray(results.tokens).transpose(0, 2, 1))
    nearest = np.sort(apart, axis=2)
    clear = nearest[..., 1] > nearest[..., 0] * (1 + 1e-4)
    np.testing.assert_array_equal(np.asarray(results.assignment).argmax(axis=2)[clear], apart.argmin(axis=2)[clear])


def test_status_speaks_of_the_assignment():
    @td.part
    class Broken(td.Term):
        shift: float

        def apply(self, key, step, flow, tokens, memory, context):
            return flow, memory

        def assign(self, tokens, features, context):
            return jnp.full((features.shape[0], tokens.shape[0]), jnp.nan)

    options = {"tokens": np.eye(2, dtype=np.float32), "max_steps": 3, "tol": 1.0}
    result = td.run(td.compose(broken=Broken(0.0)), None, np.ones((3, 2), np.float32), **options)
    assert td.Status(int(result.status)).name == "NONFINITE"


def test_num_distinct_counts_tokens_that_have_merged():
    """Above the critical temperature all tokens are one, and the run has converged all the same."""
    features = np.array(jax.random.normal(jax.random.key(0), (200, 8)))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    run = lambda temperature, **options: td.run(  # noqa: E731
        td.catalog.soft_kmeans(temperature=temperature),
        jax.random.key(1),
        features,
        num_tokens=6,
        max_steps=500,
        tol=1e-4,
        **options,
    )
    hot, cold = run(1.0), run(0.0)
    assert (td.Status(int(hot.status)).name, int(hot.num_distinct)) == ("CONVERGED", 1)
    assert int(cold.num_distinct) == 6
    masked = run(0.0, token_mask=np.array([True, True, False, True, False, False]))
    assert int(masked.num_distinct) == 3
    # The resolution is a share of the spread: the unit does not matter, and neither does a masked outlier.
    points = np.array([[0.0], [0.0101], [0.5], [0.5], [1.0], [-1.0]], np.float32)
    still = td.compose(stay=td.inertia(momentum=0.0))
    for scale in (1e-25, 1.0, 1e25):
        counted = td.run(
            still, None, points * np.float32(scale), tokens=points[:4] * np.float32(scale), max_steps=1, tol=0
        )
        assert int(counted.num_distinct) == 3


@pytest.mark.parametrize("scale", [1e-30, 1e-4, 1e30])
def test_a_unit_of_any_size_changes_no_step(scale):
    """The published floors were in ``attraction``: at 10^-4 a run ended after 1 step, and after 3 at 1."""
    features = np.asarray(jax.random.normal(jax.random.key(2), (60, 3)), np.float32)
    power = np.float32(2.0 ** np.round(np.log2(scale)))

    def run(c):
        dynamics, start = td.catalog.soft_kmeans(temperature=0.0), features[:4] * c
        return td.run(dynamics, None, features * c, tokens=start, max_steps=50, tol=1e-3 * c)

    one, other = run(np.float32(1.0)), run(power)
    assert int(one.num_steps) == int(other.num_steps) > 3
    np.testing.assert_array_equal(np.asarray(one.tokens) * power, other.tokens)


def test_softmax_at_every_temperature():
    scores = np.array([[0.0, -1.0, -np.inf, 0.0], [3e38, -3e38, 0.0, 1.0]], np.float32)

    @jax.jit
    def all_of(scores, temperature):
        slope = jax.grad(lambda t: tempered_softmax(scores, t)[0, 1])(temperature)
        of_both = jax.grad(lambda s, t: jnp.sum(tempered_softmax(s, t)[0] ** 2), argnums=(0, 1))(scores, temperature)
        return tempered_softmax(scores, temperature), slope, of_both

    at = {t: jax.tree.map(np.asarray, all_of(scores, np.float32(t))) for t in (0.0, 1e-38, 1e-30, 1.0, 1e30, np.inf)}
    np.testing.assert_array_equal(at[0.0][0], [[0.5, 0, 0, 0.5], [1, 0, 0, 0]])
    np.testing.assert_allclose(at[np.inf][0], [[1 / 3, 1 / 3, 0, 1 / 3], [0.25] * 4], rtol=1e-6)
    np.testing.assert_array_equal(at[1e-38][0], at[0.0][0])
    expected = np.exp(-1) / (2 + np.exp(-1)) * 2 / (2 + np.exp(-1))
    np.testing.assert_allclose(at[1.0][1], expected, rtol=1e-6)
    for temperature in (0.0, 1e-30, 1e30, np.inf):
        assert all(np.isfinite(gradient).all() for gradient in at[temperature][2])
    assert np.isnan(tempered_softmax(np.array([np.nan, 0.0], np.float32), np.float32(1.0))).all()


@pytest.mark.parametrize("case", ["near", "offset", "far out", "equal features", "masked"])
def test_num_distinct_of_many_tokens_is_that_of_a_loop(case):
    """Products where these decide, differences where they do not: both count what a loop over pairs counts."""
    generator = np.random.default_rng(0)
    features = generator.normal(size=(400, 70))
    # Groups of tokens that are far inside, or far outside, a hundredth of the spread.
    tokens = features[:60][generator.integers(0, 60, 90)] + 1e-4 * generator.normal(size=(90, 70))
    if case == "offset":
        features, tokens = features + 30.0, tokens + 30.0
    if case == "far out":
        tokens[80:85] += 1e6
        tokens[85:] *= 1e25
    if case == "equal features":
        features[:], tokens[:40] = features[0], features[0]
    mask = generator.random(90) < 0.7 if case == "masked" else None
    features, tokens = features.astype(np.float32), tokens.astype(np.float32)
    spread = np.sqrt(((features - features.mean(axis=0, dtype=np.float64)) ** 2).sum(axis=1).mean())
    kept = np.arange(90) if mask is None else np.flatnonzero(mask)
    expected = sum(
        all(np.linalg.norm(tokens[k].astype(float) - tokens[j]) > 0.01 * spread for j in kept[kept < k]) for k in kept
    )
    assert len(kept) - expected > 10  # some have merged
    count = jax.jit(merging.num_distinct)
    assert int(count(tokens, features, None, mask)) == expected
    assert int(jax.vmap(count, in_axes=(0, None, None, None))(tokens[None], features, None, mask)[0]) == expected
