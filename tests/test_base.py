"""checks, keys, numerics, tree: the primitives that everything stands on."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tokdyn as td
from tokdyn import checks, keys, numerics, tree


class TestHyperparameter:
    @pytest.mark.parametrize("value", [1, 1.0, np.float32(1), np.int64(1)])
    def test_numbers_become_one_dtype(self, value):
        stored = checks.hyperparameter("x", value)
        assert type(stored) is np.float64

    @pytest.mark.parametrize(
        ("value", "sentence"),
        [
            (-1.0, "x: expected a number of at least 0, got -1.0"),
            (float("nan"), "x: expected a number of at least 0, got nan"),
            (float("inf"), "x: expected a number of at least 0, got inf"),
            ("warm", "x: expected a number of at least 0, got 'warm'"),
            (None, "x: expected a number of at least 0, got None"),
            ([1.0, -2.0], "x: expected a number of at least 0, got -2.0"),
        ],
    )
    def test_bad_numbers_get_a_sentence(self, value, sentence):
        with pytest.raises(ValueError, match="^" + sentence.replace("(", r"\(")):
            checks.hyperparameter("x", value, at_least=0.0)

    def test_tracers_and_arrays_pass(self):
        assert jax.vmap(lambda x: checks.hyperparameter("x", x, at_least=0.0))(jnp.array([-1.0, 1.0])).shape == (2,)
        assert checks.hyperparameter("x", np.arange(3)).dtype == np.float64


@pytest.mark.parametrize("value", [True, 1.5, "2", None, jax.device_put(np.int32(2))])
def test_whole_number_refuses(value):
    with pytest.raises(ValueError, match="n: expected a static integer of at least 1, got"):
        checks.whole_number("n", value, at_least=1)


def test_keys_differ_by_purpose_step_seed_and_cell_and_depend_on_nothing_else():
    key = jax.random.key(3)
    made = [
        keys.for_purpose(key, "data"),
        keys.for_purpose(key, "start"),
        keys.for_step(key, 0, "noise"),
        keys.for_step(key, 1, "noise"),
        keys.for_step(key, 0, "other"),
        keys.for_seed(key, 0),
        keys.for_seed(key, 1),
        keys.for_seed(key, 0, 0),
        keys.for_seed(key, 0, 1),
    ]
    assert len({tuple(np.asarray(jax.random.key_data(k))) for k in made}) == len(made)
    assert (keys.for_step(key, jnp.int32(1), "noise") == made[3]).all()
    # Python's own hash changes between processes; this value must not.
    assert np.asarray(jax.random.key_data(keys.for_purpose(jax.random.key(0, impl="threefry2x32"), "data"))).shape == (
        2,
    )
    assert keys.zlib.crc32(b"data") == 2918445923


softmax = jax.jit(numerics.tempered_softmax)


class TestTemperedSoftmax:
    @given(st.lists(st.floats(-50, 50), min_size=2, max_size=5), st.floats(0.1, 10))
    def test_is_the_softmax(self, scores, temperature):
        with jax.enable_x64(True):
            got = softmax(np.array(scores), temperature)
            expected = np.exp(np.array(scores) / temperature - max(scores) / temperature)
            np.testing.assert_allclose(got, expected / expected.sum(), rtol=1e-9, atol=1e-300)

    @pytest.mark.parametrize("scale", [1e-8, 1.0, 1e6, 1e12, 1e30])
    def test_is_finite_under_jit_at_any_temperature(self, scale):
        """A plain softmax of scaled arguments is NaN on CPU beyond 2^31 (jax issue 37234)."""
        scores = np.random.default_rng(0).normal(size=(200, 4)).astype(np.float32) * np.float32(scale)
        for temperature in (0.0, 1e-9, 1e-3, 1.0):
            np.testing.assert_allclose(np.asarray(softmax(scores, temperature)).sum(axis=-1), 1.0, rtol=1e-5)
        np.testing.assert_array_equal(np.asarray(softmax(scores * 1e3, 0.0)).argmax(-1), scores.argmax(-1))


def test_safe_norm_and_its_gradient():
    vectors = np.array([[3.0, 4.0], [0.0, 0.0]], np.float32)
    np.testing.assert_allclose(jax.jit(numerics.safe_norm)(vectors), [5.0, 0.0])
    gradient = jax.jit(jax.grad(lambda v: numerics.safe_norm(v).sum()))(vectors)
    np.testing.assert_allclose(gradient, [[0.6, 0.8], [0.0, 0.0]], rtol=1e-6)


@pytest.mark.parametrize("shape", [(3, 2), (7, 100), (2000, 5)])
def test_largest_length_at_every_scale(shape):
    vectors = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    expected = np.linalg.norm(vectors.astype(np.float64), axis=1).max()
    largest, slope = jax.jit(numerics.largest_length), jax.jit(jax.grad(numerics.largest_length))
    for scale in (1.0, 2.0**-100, 2.0**110, 0.0):
        np.testing.assert_allclose(float(largest(vectors * np.float32(scale))), expected * scale, rtol=1e-6)
        if scale:  # a power of two changes no digit, whichever way was taken
            assert float(largest(vectors * np.float32(scale))) == float(largest(vectors)) * scale
    for broken in (np.nan, -np.inf):
        vectors[1, 1] = broken
        assert np.array_equal(float(largest(vectors)), abs(broken), equal_nan=True)
    vectors[1, 1] = 0.0
    assert not np.asarray(slope(vectors)).any()


def test_sums_of_long_rows():
    values = np.random.default_rng(0).normal(size=(40, 300)).astype(np.float32)
    expected = values.sum(axis=1, dtype=np.float64)
    assert np.abs(np.asarray(numerics.row_sums(values)) - expected).max() < 3e-5
    values[3, 5] = np.nan
    assert np.isnan(numerics.row_sums(values))[3]


def test_squared_distances_far_from_the_origin():
    left = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    right = np.random.default_rng(1).normal(size=(4, 3)).astype(np.float32)
    expected = ((left[:, None] - right[None]).astype(np.float64) ** 2).sum(-1)
    np.testing.assert_allclose(numerics.squared_distances(left, right), expected, rtol=1e-5)
    far = numerics.squared_distances(left + 1024, right + 1024)  # the product form would lose all digits
    np.testing.assert_allclose(far, expected, atol=2e-3)


def test_masked_mean():
    values = jnp.array([[1.0, 2.0], [jnp.nan, jnp.inf], [3.0, 4.0]])
    np.testing.assert_allclose(numerics.masked_mean(values, jnp.array([True, False, True])), [2.0, 3.0])
    np.testing.assert_allclose(numerics.masked_mean(values, jnp.zeros(3, bool)), [0.0, 0.0])
    np.testing.assert_allclose(numerics.masked_mean(values[::2], None), [2.0, 3.0])


class TestTree:
    dynamics = td.compose(attract=td.attraction(temperature=2.0), inertia=td.inertia(momentum=0.5))

    @given(st.fixed_dictionaries({}, optional={path: st.floats(0, 1) for path in td.values(dynamics)}))
    def test_with_values_then_values_is_the_identity(self, chosen):
        got = td.values(td.with_values(self.dynamics, chosen))
        assert got == {**td.values(self.dynamics), **chosen}

    def test_unknown_path_names_the_nearest(self):
        with pytest.raises(ValueError, match=r"got 'attract.temprature'; did you mean 'attract.temperature'\?"):
            td.with_values(self.dynamics, {"attract.temprature": 1.0})

    def test_nodes_can_be_replaced_and_schedules_come_and_go(self):
        schedule = td.annealing(start=5.0, end=1.0, num_steps=3)
        annealed = td.with_values(self.dynamics, {"attract.temperature": schedule})
        assert float(td.with_values(annealed, {"attract.temperature.end": 0.5})["attract"].temperature.end) == 0.5
        back = td.with_values(annealed, {"attract.temperature": 2.0})
        assert td.values(back) == td.values(self.dynamics)
        other = td.with_values(self.dynamics, {"attract": td.attraction(temperature=9.0)})
        assert float(other["attract"].temperature) == 9.0

    def test_split_and_merge(self):
        first, rest = tree.split(self.dynamics, ["attract"])
        assert set(td.values(first)) == {
            f"attract.{name}" for name in ("temperature", "rate", "mass_floor", "temperature_floor")
        }
        assert set(td.values(rest)) == {"inertia.momentum"}
        assert td.values(tree.merge(first, rest)) == td.values(self.dynamics)
        with pytest.raises(ValueError, match="path: expected one of"):
            tree.split(self.dynamics, ["attrac"])

    def test_gradient_reaches_only_what_was_split_off(self):
        features = jax.random.normal(jax.random.key(0), (20, 2))
        first, rest = tree.split(self.dynamics, ["attract.temperature"])

        def loss(first):
            merged = tree.merge(first, rest)
            return td.run(
                merged, None, features, tokens=features[:2], max_steps=3, tol=0.0, adjoint="unroll"
            ).tokens.sum()

        assert list(td.values(jax.grad(loss)(first))) == ["attract.temperature"]
