"""What every quantizer of the catalog keeps to."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiled import compiled
from constant_keys import constant_key

from tokdyn.autoencoder import quantizers

CHANNELS, SHAPE = 4, (3, 8)
NAMES = list(quantizers.CATALOG)
CELLS = SHAPE[0] * SHAPE[1]
# Between them these have every piece of program; the others are mapped and halved by the slow tests only.
FIRST = ["vector_kmeans", "vector_cosine", "finite_scalar_levels", "lookup_free", "grouped_residual"]
MOST = [name if name in FIRST else pytest.param(name, marks=pytest.mark.slow) for name in NAMES]
# Quantising a code gives it back where codes lie in the inputs' space and nothing contracts them.
IDEMPOTENT = ["vector", "vector_learned", "vector_cosine", "vector_rotation", "vector_kmeans", "lookup_free", "grouped"]


@functools.cache
def example(name):
    quantizer = quantizers.CATALOG[name]()
    key = constant_key(3)
    variables = init(quantizer, key)
    if "cosine" not in name:
        variables = jax.tree.map(
            lambda leaf: 3 * leaf if leaf.dtype == np.float32 and leaf.ndim > 1 else leaf, variables
        )
    return quantizer, variables, *inputs_and_mask(key), key


@compiled
def init(quantizer, key):
    return quantizer.init(key, CHANNELS)


@compiled
def inputs_and_mask(key):
    # bf16 numbers, so that the same inputs can be given in either precision.
    inputs = jax.random.normal(key, (*SHAPE, CHANNELS)).astype(jnp.bfloat16).astype(jnp.float32)
    return inputs, jax.random.bernoulli(jax.random.key(4), 0.7, SHAPE)


def _step(quantizer, variables, inputs, mask, key):
    """Code, state, and the gradient of the summed values and the loss by the inputs."""

    def output(inputs):
        code, state = quantizer.apply(variables, inputs, key=key, train=True, mask=mask)
        return jnp.sum(code.values.astype(jnp.float32)) + code.loss, (code, state)

    gradient, (code, state) = jax.grad(output, has_aux=True)(inputs)
    return code, state, gradient


step = compiled(_step)


@compiled
def evaluate(quantizer, variables, inputs):
    return quantizer.apply(variables, inputs)


@compiled
def there_and_back(quantizer, variables, indices):
    codes = quantizers.indices_to_codes(quantizer, variables, indices)
    values = quantizers.indices_to_values(quantizer, variables, indices)
    return codes, quantizers.codes_to_indices(quantizer, variables, codes), values


def same(left, right):
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a, b), left, right)


def near(left, right, tolerance=2e-6):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance), left, right)


@pytest.mark.parametrize("name", NAMES)
def test_shapes_gradients_and_usage(name):
    quantizer, variables, inputs, mask, key = example(name)
    code, state, gradient = step(quantizer, variables, inputs, mask, key)
    columns = len(quantizer.codebook_sizes)
    assert code.values.shape == inputs.shape
    assert code.indices.shape == ((*SHAPE, columns) if quantizer.has_codebook_axis else SHAPE)
    assert code.indices.dtype == jnp.int32
    assert code.loss.shape == ()
    assert np.isfinite(gradient).all()
    assert (np.abs(gradient[mask]).sum(axis=-1) > 0).all()
    assert state["usage"].shape == (len(quantizer.counted_sizes), max(quantizer.counted_sizes))
    np.testing.assert_array_equal(state["usage"].sum(axis=-1), int(mask.sum()))
    _, second, _ = step(quantizer, {**variables, "state": state}, inputs, mask, key)
    np.testing.assert_array_equal(second["usage"].sum(axis=-1), 2 * int(mask.sum()))
    assert not np.asarray(quantizers.reset_usage(second)["usage"]).any()


@pytest.mark.parametrize("name", NAMES)
def test_masked_cells_influence_nothing(name):
    quantizer, variables, inputs, mask, key = example(name)
    hidden = ~mask[..., None]
    clean = step(quantizer, variables, inputs, mask, key)
    poisoned = step(quantizer, variables, np.where(hidden, np.float32(np.nan), inputs), mask, key)
    same(clean, poisoned)
    code, _, gradient = clean
    for array, value in ((code.values, 0.0), (code.indices, -1), (gradient, 0.0)):
        np.testing.assert_array_equal(array[~mask], value)


@pytest.mark.parametrize("name", NAMES)
def test_a_mask_that_keeps_all_is_no_mask_and_evaluation_moves_nothing(name):
    quantizer, variables, inputs, mask, key = example(name)
    code, state = evaluate(quantizer, variables, inputs)
    same(state, variables["state"])
    if name == "vector_kmeans":  # whose codebook the first training batch makes
        return
    trained, *_ = step(quantizer, variables, inputs, np.ones_like(mask), key)
    same(trained.indices, code.indices)
    near(trained, code)


@pytest.mark.parametrize("name", NAMES)
def test_indices_and_codes_are_each_others_inverse(name):
    quantizer, variables, inputs, mask, key = example(name)
    sizes = np.asarray(quantizer.codebook_sizes)
    drawn = np.random.default_rng(0).integers(0, sizes, (*SHAPE, len(sizes)))
    codes, back, _ = there_and_back(quantizer, variables, drawn if quantizer.has_codebook_axis else drawn[..., 0])
    np.testing.assert_array_equal(back, drawn if quantizer.has_codebook_axis else drawn[..., 0])
    assert codes.ndim == 2 + quantizer.code_rank
    code, _, _ = step(quantizer, variables, inputs, mask, key)
    # The codebook that made the values: for k-means the first one is gone by now.
    if name != "vector_kmeans":
        _, back, values = there_and_back(quantizer, variables, np.asarray(code.indices, np.int64))
        near(values, code.values)
        np.testing.assert_array_equal(back[mask], code.indices[mask])


@pytest.mark.parametrize("name", IDEMPOTENT)
def test_a_code_quantises_to_itself(name):
    quantizer, variables, inputs, _, _ = example(name)
    code, _ = evaluate(quantizer, variables, inputs)
    again, _ = evaluate(quantizer, variables, code.values)
    same(again.values, code.values)
    same(again.indices, code.indices)


@pytest.mark.parametrize("name", MOST)
def test_seeds_mapped_are_seeds_one_by_one(name):
    quantizer, variables, inputs, mask, _ = example(name)
    # Columns of two seeds; the second one's codebook, inputs and draws differ from the first one's.
    pairs = jax.tree.map(lambda a: np.stack([a, np.float32(1.5) * a]), (variables["params"], inputs))
    states = jax.tree.map(lambda a: np.stack([a, a]), variables["state"])
    keys = constant_key(3), constant_key(9)
    found = compiled(jax.vmap(_step, in_axes=(None, {"params": 0, "state": 0}, 0, None, 0)))(
        quantizer,
        {"params": pairs[0], "state": states},
        pairs[1],
        mask,
        jax.random.wrap_key_data(np.stack([[0, 3], [0, 9]]).astype(np.uint32)),
    )
    for seed, own in enumerate(keys):
        params, own_inputs = jax.tree.map(lambda a, seed=seed: a[seed], pairs)
        expected = step(quantizer, {"params": params, "state": variables["state"]}, own_inputs, mask, own)
        near(jax.tree.map(lambda a, seed=seed: a[seed], found), expected, 2e-5)


@pytest.mark.parametrize("name", NAMES)
def test_other_numbers_compile_nothing(name):
    quantizer, variables, inputs, mask, key = example(name)
    step(quantizer, variables, inputs, mask, key)
    before = step.program._cache_size()
    other = jax.tree.map(lambda leaf: np.float64(0.5 * leaf), quantizer)
    step(other, variables, 2 * inputs, ~mask, constant_key(77))
    assert step.program._cache_size() == before


@pytest.mark.parametrize("name", MOST)
def test_half_precision_changes_no_index_and_no_state(name):
    quantizer, variables, inputs, mask, key = example(name)
    code, state, *_ = step(quantizer, variables, inputs, mask, key)
    half, half_state, gradient = step(quantizer, variables, inputs.astype(jnp.bfloat16), mask, key)
    assert half.values.dtype == gradient.dtype == jnp.bfloat16
    assert half.loss.dtype == jnp.float32
    same(half.indices, code.indices)
    same(half.values, code.values.astype(jnp.bfloat16))
    near(half_state, state)
    assert jax.tree.map(lambda a: a.dtype, half_state) == jax.tree.map(lambda a: a.dtype, variables["state"])


@pytest.mark.parametrize(("name", "dtype"), [("vector_kmeans", jnp.float32), ("lookup_free_projected", jnp.float64)])
def test_double_precision_and_inputs_of_less(name, dtype):
    _, _, inputs, mask, key = example(name)
    with jax.enable_x64(True):
        quantizer = quantizers.CATALOG[name]()
        variables = init(quantizer, key)
        own = inputs.astype(dtype)
        code, state = compiled(functools.partial(quantizer.apply, train=True))(variables, own, mask=mask, key=key)
        assert code.values.dtype == code.loss.dtype == dtype
        assert code.indices.dtype == jnp.int32
        assert jax.tree.map(lambda a: a.dtype, state) == jax.tree.map(lambda a: a.dtype, variables["state"])


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith(("vector", "residual", "grouped"))])
def test_frozen_keeps_the_state(name):
    quantizer, variables, inputs, mask, key = example(name)

    def frozen(part):
        if hasattr(part, "frozen"):
            return quantizers.VectorQuantizer(**{**vars(part), "frozen": np.float64(1.0)})
        return type(part)(**{**vars(part), "quantizer": frozen(part.quantizer)})

    before = step.program._cache_size()
    step(quantizer, variables, inputs, mask, key)
    grown = step.program._cache_size() - before
    code, state, *_ = step(frozen(quantizer), variables, inputs, mask, key)
    assert step.program._cache_size() == before + grown
    same(state, variables["state"])
    assert float(code.loss) > 0
    moved = step(quantizer, variables, inputs, mask, key)[1]
    assert any((a != b).any() for a, b in zip(*map(jax.tree.leaves, (state, moved)), strict=True))
