"""Large sets of features: read in tiles, they give what they give in one piece, in the memory that was promised."""

import functools
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tokdyn as td
from tokdyn.dynamics import arrangement

sys.path.insert(0, str(Path(__file__).parents[1]))
import fuzz


@functools.cache
def scene(num_features, dimension):
    generator = np.random.default_rng(num_features + dimension)
    features = (
        generator.normal(size=(num_features, dimension))
        + 3.0 * generator.normal(size=(5, dimension))[generator.integers(0, 5, num_features)]
    )
    return features.astype(np.float32), generator.random(num_features) < 0.6


def reference(features, tokens, temperature):
    """One step and the assignment of its tokens, in float64."""
    features, tokens = features.astype(float), tokens.astype(float)

    def weights(tokens):
        scores = (2 * features @ tokens.T - (tokens**2).sum(axis=1)) / temperature
        exponentials = np.exp(scores - scores.max(axis=1, keepdims=True))
        return exponentials / exponentials.sum(axis=1, keepdims=True)

    first = weights(tokens)
    moved = first.T @ features / first.sum(axis=0)[:, None]
    return moved, weights(moved)


# In one piece, whatever cores there are; as columns, though many; whole tiles; tiles and a rest, of some dimensions, of
# few and of many.
ALONE = [(900, 24), (30_000, 3), (24_576, 100), (10_007, 100), (220_000, 5), (9_001, 260)]
FOUR_CORES = [(10_007, 100), (220_000, 5), (24_576, 100), (9_001, 260)]
# Both forms of distances go through the same arrangements: of the second, each kind of size is tried once.
FAST = {
    ("product", 1): ALONE,
    ("product", 4): FOUR_CORES[:2],
    ("difference", 1): [(900, 24), (10_007, 100), (220_000, 5)],
    ("difference", 4): [],
}


@pytest.mark.parametrize(
    ("num_features", "dimension", "cores", "distances"),
    [
        pytest.param(*size, cores, form, marks=[] if size in FAST[form, cores] else pytest.mark.slow)
        for form in ("product", "difference")
        for cores, sizes in ((1, ALONE), (4, FOUR_CORES))
        for size in sizes
    ],
)
def test_a_step_is_that_of_float64(monkeypatch, num_features, dimension, distances, cores):
    monkeypatch.setattr(arrangement, "_num_cores", lambda: cores)
    features, mask = scene(num_features, dimension)
    temperature = 0.5 * dimension
    dynamics = td.compose(attract=td.attraction(temperature=temperature, distances=distances))
    for chosen in (None, mask):
        kept = features if chosen is None else features[chosen]
        run = jax.jit(lambda x, s, m: td.run(dynamics, None, x, tokens=s, max_steps=1, tol=0.0, mask=m))
        result = run(features, features[:4], chosen)
        tokens, assignment = reference(kept, features[:4], temperature)
        np.testing.assert_allclose(result.tokens, tokens, atol=2e-5 * dimension**0.5)
        got = np.asarray(result.assignment) if chosen is None else np.asarray(result.assignment)[chosen]
        np.testing.assert_allclose(got, assignment, atol=2e-4)


def test_a_cold_assignment_is_by_differences():
    """Where rounding of products would decide, they are not taken: the nearest token owns everything."""
    features, _ = scene(10_000, 24)
    features = features + np.float32(1000.0)
    dynamics = td.catalog.soft_kmeans(temperature=1e-3)
    result = jax.jit(lambda x: td.run(dynamics, None, x, tokens=x[:6], max_steps=2, tol=0.0))(features)
    apart = ((features.astype(float)[:, None] - np.asarray(result.tokens, float)) ** 2).sum(axis=2)
    two = np.sort(apart, axis=1)[:, :2]
    clear = two[:, 1] - two[:, 0] > 0.05
    assert clear.mean() > 0.95
    np.testing.assert_array_equal(np.asarray(result.assignment).argmax(axis=1)[clear], apart.argmin(axis=1)[clear])


@pytest.mark.parametrize("outlier", [1e-25, 1e25])
def test_features_that_a_sample_misses(outlier):
    """The frame is that of some features only where these speak for all."""
    features = np.zeros((10_000, 20), np.float32) if outlier < 1 else scene(10_000, 24)[0][:, :20].copy()
    features[17] = outlier
    tokens = np.stack([features[17], features[3]]) * np.float32(0.75)
    run = jax.jit(
        lambda x: td.run(td.catalog.soft_kmeans(temperature=0.0), None, x, tokens=tokens, max_steps=1, tol=0.0)
    )
    result = run(features)
    assert td.Status(int(result.status)).name == "MAX_STEPS"
    np.testing.assert_allclose(result.tokens[0], features[17], rtol=1e-5)
    np.testing.assert_array_equal(np.asarray(result.assignment)[17], [1.0, 0.0])


def test_gradients_through_tiles_are_those_of_one_piece(monkeypatch):
    features, _ = scene(900, 24)
    dynamics = td.catalog.soft_kmeans(temperature=12.0)

    def loss(features):
        result = td.run(dynamics, None, features, tokens=features[:3], max_steps=2, tol=0.0, adjoint="unroll")
        return jnp.sum(jnp.sin(result.tokens)) + jnp.sum(result.assignment[:, 0] ** 2)

    whole = jax.jit(jax.grad(loss))(features)
    monkeypatch.setattr(arrangement, "MOST_ROWS", 0)
    monkeypatch.setattr(arrangement, "TILE", 64)
    monkeypatch.setattr(arrangement, "_num_cores", lambda: 1)
    in_tiles = jax.jit(jax.grad(lambda x: loss(x)))(features)
    np.testing.assert_allclose(in_tiles, whole, atol=1e-5)


@pytest.mark.parametrize(
    ("num_features", "assignment"),
    [
        (20_011, "soft"),  # the two that hold less are slow: every one takes a program with all optimisations
        pytest.param(20_011, "hard", marks=pytest.mark.slow),
        pytest.param(20_000, "soft", marks=pytest.mark.slow),
    ],
)
def test_memory_is_that_of_the_features(num_features, assignment):
    """Arguments and results included, whether or not tiles divide the number of features."""
    dynamics = td.catalog.soft_kmeans(temperature=100.0)
    program = jax.jit(lambda x, s: td.run(dynamics, None, x, tokens=s, max_steps=30, tol=0.0, assignment=assignment))
    shapes = (jax.ShapeDtypeStruct((num_features, 512), "float32"), jax.ShapeDtypeStruct((32, 512), "float32"))
    # As users have it, whatever the suite's settings: without fusions everything is held.
    memory = program.lower(*shapes).compile(fuzz.FULL).memory_analysis()
    total = memory.argument_size_in_bytes + memory.output_size_in_bytes + memory.temp_size_in_bytes
    assert total <= 1.5 * num_features * 512 * 4


@pytest.mark.parametrize("distances", ["product", "difference"])
# As columns; in one piece; in tiles and a rest.
@pytest.mark.parametrize(("num_features", "dimension"), [(300, 2), (900, 24), (10_007, 24)])
def test_labels_are_those_of_the_soft_assignment_and_nothing_else_changes(num_features, dimension, distances):
    features, mask = scene(num_features, dimension)
    dynamics = td.compose(attract=td.attraction(temperature=0.5 * dimension, distances=distances))
    exists = np.array([True, True, False, True])

    @jax.jit
    def all_three(features, mask, exists):
        run = functools.partial(td.run, dynamics, None, features, tokens=features[:4], max_steps=3, tol=0.0)
        return [run(mask=mask, token_mask=exists, assignment=kind) for kind in ("soft", "hard", "none")]

    soft, hard, none = all_three(features, mask, exists)
    assert soft.labels is hard.assignment is none.assignment is none.labels is None
    assert hard.labels.dtype == np.int32
    # Where two tokens are as near as rounding can tell, either may be the nearest.
    two = np.sort(np.asarray(soft.assignment), axis=1)[:, -2:]
    clear = mask & (two[:, 1] - two[:, 0] > 1e-3)
    assert clear.mean() > 0.5
    np.testing.assert_array_equal(np.asarray(hard.labels)[clear], np.asarray(soft.assignment).argmax(axis=1)[clear])
    assert not np.any(np.asarray(hard.labels) == 2)
    for other in (hard, none):
        np.testing.assert_array_equal(other.tokens, soft.tokens)
        assert int(other.status) == int(soft.status)


def test_an_infinite_temperature_still_has_a_nearest_token():
    features, _ = scene(10_007, 24)
    hot = td.catalog.soft_kmeans(temperature=np.inf)
    tokens = features[:3]
    labels = jax.jit(lambda x, s: hot["attract"].assign_hard(s, x, hot["attract"].prepare(x, None, None)))(
        features, tokens
    )
    apart = ((features[:, None].astype(float) - tokens) ** 2).sum(axis=2)
    np.testing.assert_array_equal(labels, apart.argmin(axis=1))


@td.part
class Sorted(td.Term):
    """Stands still; owns by the sign of the first component."""

    slope: float = 1.0

    def apply(self, key, step, flow, tokens, memory, context):
        return flow, memory

    def assign(self, tokens, features, context):
        share = jax.nn.sigmoid(self.slope * features[:, 0])
        return jnp.stack([share, 1.0 - share], axis=1)


def test_labels_of_parts_that_know_only_a_soft_assignment_or_none():
    features = scene(300, 2)[0]
    run = jax.jit(lambda d: td.run(d, None, features, tokens=features[:2], max_steps=1, tol=0.0, assignment="hard"))
    np.testing.assert_array_equal(run(td.compose(sort=Sorted())).labels, (features[:, 0] < 0).astype(int))
    apart = np.linalg.norm(features[:, None] - features[:2], axis=2)
    np.testing.assert_array_equal(run(td.compose(push=td.inertia(momentum=0.5))).labels, apart.argmin(axis=1))
    with pytest.raises(ValueError, match=r"^assignment: expected one of 'soft', 'hard', 'none', got 'labels'$"):
        td.run(td.catalog.soft_kmeans(), None, features, tokens=features[:2], max_steps=1, tol=0.0, assignment="labels")
