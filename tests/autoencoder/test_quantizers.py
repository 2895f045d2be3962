"""The quantizers' mathematics: limits, invariants, brute force; and the sentences of their errors."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiled import compiled
from constant_keys import constant_key
from hypothesis import given, settings
from hypothesis import strategies as st

from tokdyn.autoencoder import quantizers
from tokdyn.autoencoder.quantizers import codebook as books
from tokdyn.autoencoder.quantizers import lookup_free, product

KEY = constant_key(5)
EMPTY = {"params": {}, "state": {}}


@functools.partial(compiled, static_argnames="train")
def apply(quantizer, variables, inputs, *, key=None, train=False, mask=None):
    return quantizer.apply(variables, inputs, key=key, train=train, mask=mask)


init = compiled(lambda quantizer, channels: quantizer.init(KEY, channels), static_argnums=1)
codes_of = compiled(lambda quantizer, variables, indices: quantizer.codes_of(variables, indices))
values_of = compiled(lambda quantizer, variables, indices: quantizer.values_of(variables, indices))
indices_of = compiled(lambda quantizer, variables, codes: quantizer.indices_of(variables, codes))
level_indices = compiled(lambda quantizer, indices: quantizer.level_indices(indices))
usage = compiled(quantizers.usage, static_argnums=1, static_argnames="codebooks")
perplexity, active_share = compiled(quantizers.perplexity), compiled(quantizers.active_share)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


nearest = compiled(books.nearest)
cluster_sums = compiled(books.cluster_sums, static_argnums=3)
kmeans = compiled(quantizers.kmeans, static_argnames="steps")


# Vectors


@pytest.mark.parametrize("origin", [0.0, 1000.0])
def test_nearest_is_the_brute_force_one_far_from_the_origin_too(origin):
    cells, codes = normal(200, 4) + np.float32(origin), normal(30, 4, seed=1) + np.float32(origin)
    exact = ((cells[:, None].astype(np.float64) - codes.astype(np.float64)) ** 2).sum(-1).argmin(1)
    np.testing.assert_array_equal(nearest(cells, codes), exact)


def test_sums_of_clusters_are_those_of_the_one_hot_formula():
    cells, indices, mask = normal(300, 5), np.random.default_rng(1).integers(0, 7, 300), normal(300, seed=2) > -1
    sizes, sums = cluster_sums(np.where(mask[:, None], cells, np.nan), indices.astype(np.int32), mask, 9)
    owned = (indices[:, None] == np.arange(9)) & mask[:, None]
    np.testing.assert_array_equal(sizes, owned.sum(0))
    # About 50 terms of size 1 in float32, whose rounding is 6e-8 each.
    np.testing.assert_allclose(sums, owned.T.astype(np.float64) @ cells, rtol=0, atol=50 * 6e-8 * 4)


def test_tiles_of_cells_have_the_nearest_codes_of_all_at_once(monkeypatch):
    cells, codes = normal(2, 101, 4), normal(30, 4, seed=1)
    exact = ((cells[:, :, None].astype(np.float64) - codes) ** 2).sum(-1).argmin(-1)
    monkeypatch.setattr(books, "MOST_DISTANCES", 7 * 30)  # 202 cells are 28 tiles of 7 and a rest of 6
    np.testing.assert_array_equal(compiled(lambda *args: books.nearest(*args))(cells, codes), exact)


@pytest.mark.parametrize("options", [{"start": "kmeans", "revive_below": 0.5}, {"learned": True, "cosine": True}])
def test_training_holds_no_array_of_all_cells_and_codes(options):
    cells, codes, channels = 2**14, 2**12, 4
    quantizer = quantizers.vector_quantizer(num_codes=codes, **options)

    def step(variables, inputs, key):
        def loss(params, inputs):
            code, state = quantizer.apply({**variables, "params": params}, inputs, key=key, train=True)
            return code.loss + jnp.sum(code.values), state

        return jax.grad(loss, argnums=(0, 1), has_aux=True)(variables["params"], inputs)

    key = jax.eval_shape(lambda: jax.random.key(0))
    variables = jax.eval_shape(lambda: quantizer.init(KEY, channels))
    inputs = jax.ShapeDtypeStruct((1, cells, channels), jnp.float32)
    memory = jax.jit(step).lower(variables, inputs, key).compile().memory_analysis()
    # One tile of distances, and arrays as long as the cells or the codes; all distances are 268 MB, as flags 67 MB.
    assert memory.temp_size_in_bytes < 4 * books.MOST_DISTANCES + 64 * channels * (cells + codes)


def test_rotation_keeps_the_angle_between_gradient_and_vector():
    inputs, codes, gradient = (normal(50, 4, seed=seed) for seed in range(3))

    @compiled
    def rotated(inputs, codes, gradient):
        values, back = jax.vjp(lambda inputs: quantizers.rotation(inputs, codes), inputs)
        return values, *back(gradient)

    values, carried = rotated(inputs, codes, gradient)
    np.testing.assert_array_equal(values, codes)

    def cosine(left, right):
        return np.sum(left * right, -1) / np.linalg.norm(left, axis=-1) / np.linalg.norm(right, axis=-1)

    np.testing.assert_allclose(cosine(carried, inputs), cosine(gradient, codes), atol=1e-5)
    scale = np.linalg.norm(codes, axis=-1) / np.linalg.norm(inputs, axis=-1)
    np.testing.assert_allclose(np.linalg.norm(carried, axis=-1), scale * np.linalg.norm(gradient, axis=-1), rtol=1e-4)
    # Without a direction there is no rotation, and no infinite gradient.
    np.testing.assert_array_equal(rotated(np.zeros_like(inputs), codes, np.ones_like(inputs))[1], 1.0)
    opposite = jax.jit(jax.grad(lambda inputs: jnp.sum(quantizers.rotation(inputs, -inputs))))(inputs)
    assert np.isfinite(opposite).all()


def test_decay_zero_is_one_step_of_kmeans_and_decay_one_stands_still():
    quantizer = quantizers.vector_quantizer(num_codes=5, decay=0.0)
    inputs = normal(1, 60, 3)
    variables = init(quantizer, 3)
    code, state = apply(quantizer, variables, inputs, key=KEY, train=True)
    for index in range(5):
        owned = inputs[0][code.indices[0] == index]
        assert float(state["cluster_size"][index]) == len(owned)
        if len(owned):  # smoothing moves a mean by about 5 codes of 1e-5
            np.testing.assert_allclose(state["codebook"][index], owned.mean(0), rtol=1e-4, atol=1e-5)
    still = quantizers.vector_quantizer(num_codes=5, decay=1.0)
    _, state = apply(still, variables, inputs, key=KEY, train=True)
    np.testing.assert_allclose(state["codebook"], variables["state"]["codebook"], rtol=2e-5)


def test_kmeans_lowers_the_error_to_a_fixed_point_and_finds_clusters():
    centres = 10.0 * np.eye(4, dtype=np.float32)
    cells = np.repeat(centres, 25, axis=0) + 0.1 * normal(100, 4)
    start = cells[[0, 30, 60, 90]]
    errors = []
    for steps in (1, 2, 8):
        means, sizes = kmeans(cells, start, steps=steps)
        errors.append(float(np.sum((cells - means[nearest(cells, means)]) ** 2)))
    assert errors[0] >= errors[1] >= errors[2]
    np.testing.assert_allclose(means, cells.reshape(4, 25, 4).mean(1), atol=1e-5)
    np.testing.assert_array_equal(sizes, 25)
    # A mean that owns nothing stays, and what is masked counts for nothing.
    means, sizes = kmeans(cells, np.concatenate([start, start[:1] + 99]), steps=3, mask=np.arange(100) < 75)
    np.testing.assert_array_equal(means[4], start[0] + 99)
    np.testing.assert_array_equal(sizes, [25, 25, 25, 0, 0])


def test_the_first_batch_starts_the_codebook_once():
    quantizer = quantizers.vector_quantizer(num_codes=4, start="kmeans", decay=1.0)
    variables = init(quantizer, 2)
    run = lambda state, inputs: apply(quantizer, {**variables, "state": state}, inputs, key=KEY, train=True)  # noqa: E731
    hidden = np.zeros((1, 40), bool)
    _, untouched = apply(quantizer, variables, normal(1, 40, 2), key=KEY, train=True, mask=hidden)
    assert not bool(untouched["initialised"])
    code, state = run(variables["state"], 50 + normal(1, 40, 2))
    assert bool(state["initialised"])
    assert float(state["codebook"].min()) > 40.0
    assert float(np.abs(code.values - 50.0).max()) < 5.0
    _, later = run(state, -50 + normal(1, 40, 2))
    np.testing.assert_allclose(later["codebook"], state["codebook"], rtol=1e-5)


revival = compiled(lambda seed, *args: books.revival(jax.random.key(seed), *args))


@given(seed=st.integers(0, 2**16), num_dead=st.integers(0, 9), num_cells=st.integers(0, 6))
@settings(max_examples=15)
def test_revival_gives_different_cells_that_exist_to_dead_codes(seed, num_dead, num_cells):
    random = np.random.default_rng(seed)
    dead = random.permutation(np.arange(9) < num_dead)
    mask = random.permutation(np.arange(6) < num_cells)
    cells = np.where(mask[:, None], np.arange(6)[:, None], np.nan).astype(np.float32)
    places, revived = revival(seed, cells, mask, dead)
    assert revived.sum() == min(num_dead, num_cells)
    assert not (revived & ~dead).any()
    given_places = places[revived, 0]
    assert np.isfinite(given_places).all()
    assert len(set(given_places)) == revived.sum()


def test_revival_draws_every_cell_equally_often():
    dead, mask = np.arange(3) < 1, np.arange(6) != 2
    cells = np.arange(6, dtype=np.float32)[:, None]

    @compiled
    def drawn(cells, mask, dead):
        keys = jax.random.split(KEY, 3000)
        return jax.vmap(lambda key: books.revival(key, cells, mask, dead)[0][0, 0])(keys)

    places = drawn(cells, mask, dead)
    counts = np.bincount(places.astype(int), minlength=6)
    assert counts[2] == 0
    # Standard deviation of a count: sqrt(3000 * 0.2 * 0.8) = 22; five of them.
    assert np.abs(counts[mask] - 600).max() < 110


@pytest.mark.parametrize("learned", [False, True])
def test_revival_brings_a_far_codebook_to_life(learned):
    quantizer = quantizers.vector_quantizer(num_codes=8, revive_below=0.5, decay=0.7, learned=learned)
    variables = init(quantizer, 3)
    inputs = 30 + normal(1, 64, 3)

    @compiled
    def run(state, seed):
        state = quantizers.reset_usage(state)
        return apply(quantizer, {**variables, "state": state}, inputs, key=jax.random.key(seed), train=True)

    state = variables["state"]
    for step in range(20):  # until the one that owned all is forgotten
        code, state = run(state, step)
    assert float(active_share(state["usage"])[0]) == 1.0
    assert float(np.mean((code.values - inputs) ** 2)) < 1.0
    idle = quantizers.vector_quantizer(num_codes=8, decay=0.7, learned=learned)
    _, state = apply(idle, variables, inputs, key=KEY, train=True)
    _, state = apply(idle, {**variables, "state": state}, inputs, key=KEY, train=True)
    assert float(active_share(state["usage"])[0]) < 0.5


def test_a_frozen_learned_codebook_has_no_gradient():
    inputs = normal(1, 20, 3)

    @compiled
    def slope(quantizer, variables):
        loss = lambda params: apply(quantizer, {**variables, "params": params}, inputs)[0].loss  # noqa: E731
        return jax.grad(loss)(variables["params"])["codebook"]

    def slope_where(frozen):
        quantizer = quantizers.vector_quantizer(num_codes=5, learned=True, frozen=frozen)
        return slope(quantizer, init(quantizer, 3))

    assert float(np.abs(slope_where(0.0)).max()) > 0
    np.testing.assert_array_equal(slope_where(1.0), 0.0)


def test_no_index_is_lost_in_half_precision():
    quantizer = quantizers.vector_quantizer(num_codes=1500)
    variables = init(quantizer, 8)
    codes = normal(1500, 8).astype(jnp.bfloat16)
    variables["state"]["codebook"] = codes.astype(np.float32)
    code, state = apply(quantizer, variables, codes[None], key=KEY, train=True)
    np.testing.assert_array_equal(code.indices[0], np.arange(1500))
    assert float(perplexity(state["usage"])[0]) == pytest.approx(1500.0, rel=1e-4)


# Levels and signs


@given(
    levels=st.lists(st.integers(3, 9), min_size=1, max_size=5),
    symmetric=st.booleans(),
    joint=st.booleans(),
    seed=st.integers(0, 99),
)
@settings(max_examples=8)
def test_levels_and_indices_are_each_others_inverse(levels, symmetric, joint, seed):
    quantizer = quantizers.finite_scalar_quantizer(levels=tuple(levels), symmetric=symmetric, joint=joint)
    drawn = np.random.default_rng(seed).integers(0, levels, (6, len(levels)))
    indices = np.sum(drawn * np.cumprod([1, *levels[:-1]]), -1) if joint else drawn

    @compiled
    def program(indices):
        codes = quantizer.codes_of(EMPTY, indices)
        again = [quantizer.indices_of(EMPTY, codes.astype(dtype)) for dtype in (codes.dtype, jnp.bfloat16)]
        return codes, again, quantizer.level_indices(indices)

    codes, again, by_level = program(indices)
    for found in again:
        np.testing.assert_array_equal(found, indices)
    np.testing.assert_array_equal(by_level, drawn)
    width = (np.array(levels) - 1) / 2 if symmetric else np.array(levels) // 2
    np.testing.assert_allclose(codes, drawn / width - 1, atol=1e-6)


def test_more_codes_than_memory():
    quantizer = quantizers.finite_scalar_quantizer(levels=(4,) * 16)
    variables = init(quantizer, 16)
    code, state = apply(quantizer, variables, 3 * normal(2, 50, 16), train=True)
    assert code.indices.shape == (2, 50, 16)
    assert set(np.unique(code.indices)) == {0, 1, 2, 3}
    np.testing.assert_array_equal(
        compiled(quantizers.indices_to_values)(quantizer, variables, code.indices), code.values
    )
    assert state["usage"].shape == (16, 4)
    np.testing.assert_array_equal(state["usage"].sum(-1), 100)
    with pytest.raises(ValueError, match=r"levels: expected a product of at most 2\^31 .*, got 4294967296 codes"):
        quantizers.finite_scalar_quantizer(levels=(4,) * 16, joint=True)


@pytest.mark.parametrize("bits", [16, 17, 31])
def test_the_largest_joint_indices(bits):
    quantizer = quantizers.lookup_free_quantizer(bits=bits)
    indices = np.array([0, 1, 2**bits - 2, 2 ** (bits - 1), 2**bits - 1])
    codes = codes_of(quantizer, EMPTY, indices)
    np.testing.assert_array_equal(indices_of(quantizer, EMPTY, codes), indices)
    np.testing.assert_array_equal(codes[3], [1.0] + [-1.0] * (bits - 1))
    assert init(quantizer, bits)["state"]["usage"].shape == ((1, 2**16) if bits == 16 else (bits, 2))
    assert quantizers.lookup_free_quantizer(bits=32).has_codebook_axis


def test_an_index_too_large_has_no_code():
    quantizer = quantizers.finite_scalar_quantizer(levels=(5, 3))
    np.testing.assert_array_equal(codes_of(quantizer, EMPTY, np.array([15, -1])), 0.0)
    quantizer = quantizers.vector_quantizer(num_codes=5, codebook_dim=2)
    np.testing.assert_array_equal(values_of(quantizer, init(quantizer, 4), np.array([5, -1])), 0.0)


def test_two_symmetric_levels_are_signs():
    quantizer = quantizers.finite_scalar_quantizer(levels=(2, 2, 2), symmetric=True)
    inputs = normal(1, 30, 3)
    np.testing.assert_array_equal(apply(quantizer, EMPTY, inputs)[0].values, np.sign(inputs))


def test_more_levels_than_bf16_has_and_saturated_inputs():
    quantizer = quantizers.finite_scalar_quantizer(levels=(4001, 1000))
    inputs = np.float32([[[-9e9, 9e9], [9e9, -9e9], [0.0, 0.0]]])
    code, _ = apply(quantizer, EMPTY, inputs)
    np.testing.assert_array_equal(level_indices(quantizer, code.indices), [[[0, 999], [4000, 0], [2000, 500]]])


def test_entropies_are_those_of_enumeration_and_groups_bound_them():
    logits = 2.0 * normal(40, 6)
    mask = np.arange(40) < 33
    signs = np.array(list(itertools.product([0, 1], repeat=6)))
    probability = (1 / (1 + np.exp(-logits.astype(np.float64))))[:33, None]
    shares = np.prod(np.where(signs, probability, 1 - probability), -1)
    own = float(np.mean(-np.sum(shares * np.log(shares), -1)))
    mean = shares.mean(0)
    together = float(-np.sum(mean * np.log(mean)))
    cell_entropy = compiled(lookup_free.cell_entropy)
    codebook_entropy = compiled(lookup_free.codebook_entropy, static_argnames="joint_bits")
    assert float(cell_entropy(logits, mask)) == pytest.approx(own, abs=1e-5)
    found = [float(codebook_entropy(logits, mask, joint_bits=bits)) for bits in (6, 3, 2, 1)]
    assert found[0] == pytest.approx(together, abs=1e-5)
    assert found == sorted(found)  # coarser knowledge of what bits have in common, larger bound
    alike = np.tile(logits[:1], (40, 1))  # all cells the same: bits independent, every bound is sharp
    together = float(codebook_entropy(alike, mask, joint_bits=1))
    assert together == pytest.approx(float(cell_entropy(alike, mask)), abs=1e-5)


def test_entropies_at_the_ends():
    quantizer = quantizers.lookup_free_quantizer(bits=3, commitment=0.0, entropy_weight=1.0)
    # No cell is sure of anything: log 8 each and together. Inputs beyond exp's range: sure, and no NaN either way.
    own, together = compiled(lambda quantizer, inputs: quantizer.entropies(inputs))(
        quantizer, np.zeros((5, 3), np.float32)
    )
    assert float(own) == pytest.approx(3 * np.log(2), abs=1e-5)
    assert float(together) == pytest.approx(3 * np.log(2), abs=1e-5)
    every = 1e17 * np.float32(list(itertools.product([-1.0, 1.0], repeat=3)))
    loss, slope = compiled(jax.value_and_grad(lambda inputs: apply(quantizer, EMPTY, inputs)[0].loss))(every)
    assert float(loss) == pytest.approx(-3 * np.log(2), abs=1e-5)
    assert np.isfinite(slope).all()
    none = apply(quantizer, EMPTY, every, mask=np.zeros(8, bool))[0]
    assert float(none.loss) == 0.0


# Stacks


def test_a_residual_layer_more_is_an_error_less():
    inner = quantizers.vector_quantizer(num_codes=16, start="kmeans", decay=1.0)
    quantizer = quantizers.residual_quantizer(inner, depth=3)
    inputs = normal(1, 200, 3)
    variables = init(quantizer, 3)
    code, state = apply(quantizer, variables, inputs, key=KEY, train=True)
    variables = {**variables, "state": state}
    kept = [np.where(np.arange(3) < depth, code.indices, -1) for depth in range(4)]
    errors = [float(np.mean((values_of(quantizer, variables, some) - inputs) ** 2)) for some in kept]
    assert errors[0] == pytest.approx(float(np.mean(inputs**2)), rel=1e-5)
    assert all(later < 0.6 * earlier for earlier, later in itertools.pairwise(errors))


@jax.jit
def slope_of_values(quantizer, variables, inputs):
    return jax.grad(lambda inputs: jnp.sum(quantizer.apply(variables, inputs)[0].values))(inputs)


@pytest.mark.parametrize(("share", "times"), [(0.0, 3.0), (0.5, 1.75), (1.0, 1.0)])
def test_how_often_a_residual_quantizer_passes_the_gradient(share, times):
    inner = quantizers.vector_quantizer(num_codes=4)
    quantizer = quantizers.residual_quantizer(inner, depth=3, gradient_share=share)
    variables = init(quantizer, 2)
    slope = slope_of_values(quantizer, variables, normal(1, 5, 2))
    # Layer l sees (1 - share)^l of the input's gradient.
    assert times == pytest.approx(sum((1 - share) ** layer for layer in range(3)))
    np.testing.assert_allclose(slope, times, rtol=1e-6)


# Usage


@given(seed=st.integers(0, 2**16), codebooks=st.sampled_from([None, 3]))
@settings(max_examples=10)
def test_counts_are_those_of_numpy(seed, codebooks):
    random = np.random.default_rng(seed)
    indices = random.integers(-1, 7, (4, 9) if codebooks is None else (4, 9, codebooks))
    mask = random.random((4, 9)) < 0.7
    counts = usage(indices, 6, mask, codebooks=codebooks)
    columns = indices.reshape(36, -1)[mask.ravel()].T
    np.testing.assert_array_equal(counts, [[np.sum(row == code) for code in range(6)] for row in columns])


def test_what_counts_say():
    counts = np.array([[10, 10, 0, 0], [5, 5, 5, 5], [1, 0, 0, 0], [0, 0, 0, 0]])
    dead_codes = compiled(quantizers.dead_codes, static_argnames="sizes")
    np.testing.assert_allclose(perplexity(counts), [2.0, 4.0, 1.0, 0.0], rtol=1e-6)
    np.testing.assert_allclose(active_share(counts), [0.5, 1.0, 0.25, 0.0])
    np.testing.assert_array_equal(dead_codes(counts), counts == 0)
    np.testing.assert_array_equal(dead_codes(counts, sizes=(2, 4, 1, 4)).sum(-1), [0, 0, 0, 4])
    # Over an epoch: batches of 10 cells cannot show 100 codes in use, their sum can.
    batches = np.random.default_rng(0).permutation(np.repeat(np.arange(100), 10)).reshape(100, 10)
    each = [usage(batch, 100) for batch in batches[:5]]
    assert max(float(perplexity(counts)[0]) for counts in each) <= 10.001
    epoch = usage(batches, 100)
    assert float(perplexity(epoch)[0]) == pytest.approx(100.0, rel=1e-5)


# Errors


def refused(sentence, function, *args, **options):
    with pytest.raises(ValueError, match=sentence):
        function(*args, **options)


def test_arguments_out_of_range():
    vector = quantizers.vector_quantizer
    refused("num_codes: expected a static integer of at least 1, got 0", vector, num_codes=0)
    refused("codebook_dim: expected", vector, num_codes=2, codebook_dim=0)
    refused("start_steps: expected", vector, num_codes=2, start_steps=0)
    refused("gradient: expected one of", vector, num_codes=2, gradient="gumbel")
    refused("start: expected one of", vector, num_codes=2, start="zeros")
    refused("decay: expected", vector, num_codes=2, decay=1.5)
    refused("frozen: expected", vector, num_codes=2, frozen=2.0)
    refused("revive_below: expected", vector, num_codes=2, revive_below=-1.0)
    refused("levels: expected a static integer of at least 2, got 1", quantizers.finite_scalar_quantizer, levels=(5, 1))
    refused("levels: expected at least 3 in each channel", quantizers.finite_scalar_quantizer, levels=(5, 2))
    refused("levels: expected a tuple", quantizers.finite_scalar_quantizer, levels=())
    refused("bits: expected a static integer of at least 1, got 0", quantizers.lookup_free_quantizer, bits=0)
    refused("bits: expected a product", product.product, "bits", (2,) * 32, True)
    refused("depth: expected", quantizers.residual_quantizer, vector(num_codes=2), depth=0)
    refused("groups: expected", quantizers.grouped_quantizer, vector(num_codes=2), groups=0)
    refused("quantizer: expected one such as", quantizers.residual_quantizer, "vector", depth=2)
    grouped = quantizers.grouped_quantizer(vector(num_codes=2), groups=3)
    refused("channels: expected a multiple of 3 groups, got 4", grouped.init, KEY, 4)


def test_inputs_that_do_not_fit():
    quantizer = quantizers.vector_quantizer(num_codes=6, start="kmeans")
    variables = init(quantizer, 4)
    inputs = np.zeros((2, 3, 4), np.float32)
    refused(r"inputs: expected a floating-point array \[..., cells, 4\], got shape \(2, 3, 5\)", apply,
            quantizer, variables, np.zeros((2, 3, 5), np.float32))  # fmt: skip
    refused("inputs: expected", apply, quantizer, variables, np.zeros((2, 4), int))
    refused("mask: expected a boolean array", apply, quantizer, variables, inputs, mask=np.ones((2, 4), bool))
    refused("mask: expected a boolean array", apply, quantizer, variables, inputs, mask=np.ones((2, 3)))
    refused("key: expected a JAX key", apply, quantizer, variables, inputs, train=True)
    refused("num_codes: expected at most the 3 cells of the batch", apply, quantizer, variables, inputs[0], key=KEY,
            train=True)  # fmt: skip
    refused("indices: expected an integer array", codes_of, quantizer, variables, np.zeros(3, np.float32))
    refused("codes: expected a floating-point array", indices_of, quantizer, variables, np.zeros((3, 5), np.float32))
    refused("num_codes: expected", quantizers.usage, np.zeros(3, int), 0)
    refused("mask: expected", quantizers.usage, np.zeros(3, int), 2, np.ones(4, bool))
    refused("state: expected the state of a quantizer", quantizers.reset_usage, {})
    refused("sizes: expected", quantizers.dead_codes, np.zeros((2, 3)), sizes=(3,))
    residual = quantizers.residual_quantizer(quantizers.vector_quantizer(num_codes=6), depth=2)
    variables = init(residual, 4)
    refused(
        r"indices: expected an integer array \[..., cells, 2\]", codes_of, residual, variables, np.zeros((5, 3), int)
    )
    refused(r"codes: expected .*cells, 2", indices_of, residual, variables, np.zeros((5, 3, 4), np.float32))
    refused("inputs: expected", apply, residual, variables, np.zeros((5, 3), np.float32))
    scalar = quantizers.finite_scalar_quantizer(levels=(5, 3))
    refused(r"inputs: expected .*cells, 2\]", apply, scalar, EMPTY, inputs)
