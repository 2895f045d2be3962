"""What each encoder computes, against its formula."""

import functools

import jax
import numpy as np
import pytest
from compiled import compiled
from constant_keys import constant_key

from tokdyn.autoencoder import encoders
from tokdyn.autoencoder.encoders.factorised import digits_of
from tokdyn.autoencoder.encoders.graph import mixed
from tokdyn.autoencoder.encoders.multiscale import pooled, upsampled

KEY = constant_key(0)
init = compiled(lambda encoder, key: encoder.init(key))
apply = compiled(lambda encoder, variables, ids: encoder.apply(variables, ids)[0])


def variables_of(encoder):
    """Weights of any values: laws of the forward pass do not ask for the initial ones, which cost a compilation."""
    generator = np.random.default_rng(0)
    return jax.tree.map(
        lambda leaf: generator.normal(0.0, 0.5, leaf.shape).astype(leaf.dtype),
        jax.eval_shape(encoder.init, KEY),
    )


def size_of(params):
    return sum(leaf.size for leaf in jax.tree.leaves(params))


# Sequence: what a coarse position reaches.
@pytest.mark.parametrize(("cells", "upsamplings"), [(16, 2), (13, 2), (10, 1), (6, 0)])
def test_a_coarse_position_reaches_its_own_cells_and_as_many_on_each_side(cells, upsamplings):
    encoder = encoders.sequence(
        vocabulary_size=2, cells=cells, channels=2, embedding=4, width=8, upsamplings=upsamplings
    )
    variables = variables_of(encoder)
    block = 2**upsamplings
    place = 1
    bias = variables["params"]["Dense_0"]["bias"].reshape(-1, 8).copy()
    assert bias.shape[0] == -(-cells // block)
    bias[place] += 5.0
    params = variables["params"] | {"Dense_0": variables["params"]["Dense_0"] | {"bias": bias.reshape(-1)}}
    before, after = (
        apply(encoder, {"params": used, "state": {}}, np.array([0]))[0] for used in (variables["params"], params)
    )
    touched = np.flatnonzero(np.abs(after - before).max(-1) > 0)
    reached = range(max(0, (place - 1) * block), min(cells, (place + 2) * block))
    assert touched.tolist() == list(reached)


# Multiscale: a pyramid.
@pytest.mark.parametrize("levels", [(2, 4, 8), (1, 3), (4,)])
def test_the_coarse_grid_can_be_read_off_the_pattern(levels):
    groups = np.array([0, 0, 1, 1])
    encoder = encoders.multiscale(vocabulary_size=4, channels=2, levels=levels, groups=groups, embedding=8, width=16)
    side = levels[-1]
    pattern = apply(encoder, variables_of(encoder), np.arange(4)).reshape(4, side, side, 2)
    coarse = np.asarray(pooled(pattern, levels[0]))
    np.testing.assert_allclose(coarse[0], coarse[1], atol=1e-5)
    np.testing.assert_allclose(coarse[2], coarse[3], atol=1e-5)
    assert float(np.abs(coarse[0] - coarse[2]).max()) > 0.05
    if len(levels) > 1:
        assert float(np.abs(pattern[0] - pattern[1]).max()) > 0.05, "the finer grids tell words of a group apart"


def test_strengths_scale_levels_one_by_one():
    def pattern(strengths):
        encoder = encoders.multiscale(
            vocabulary_size=3, channels=1, levels=(2, 4), strengths=np.array(strengths), embedding=4, width=8
        )
        return apply(encoder, variables_of(encoder), np.arange(3))

    np.testing.assert_allclose(pattern([2.0, 3.0]), 2 * pattern([1.0, 0.0]) + 3 * pattern([0.0, 1.0]), atol=1e-5)
    fine = pattern([0.0, 1.0]).reshape(3, 4, 4, 1)
    np.testing.assert_allclose(pooled(fine, 2), 0.0, atol=1e-6)


def test_pooling_undoes_upsampling():
    grid = np.random.default_rng(0).normal(size=(2, 3, 3, 4)).astype(np.float32)
    np.testing.assert_allclose(compiled(lambda grid: pooled(upsampled(grid, 12), 3))(grid), grid, rtol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"levels": (2, 3)}, "levels"),
        ({"levels": (4, 2)}, "levels"),
        ({"levels": (2, 2)}, "levels"),
        ({"levels": ()}, "levels"),
        ({"strengths": [1.0, 1.0]}, "strengths"),
        ({"groups": [0, 1]}, "groups"),
        ({"groups": [0, 1, -1]}, "groups"),
        ({"groups": [0.0, 1.0, 1.0]}, "groups"),
    ],
)
def test_multiscale_refuses(arguments, name):
    with pytest.raises(ValueError, match=f"^{name}: expected"):
        encoders.multiscale(vocabulary_size=3, channels=1, **arguments)


# Factorised: few vectors, and sums over digits.
@pytest.mark.parametrize(
    ("words", "digits", "base"), [(1, 1, 1), (10, 1, 10), (100, 2, 10), (101, 2, 11), (50_000, 3, 37), (125, 3, 5)]
)
def test_the_tables_hold_digits_times_base_vectors(words, digits, base):
    encoder = encoders.factorised(vocabulary_size=words, cells=4, channels=2, digits=digits, embedding=8, depth=0)
    assert encoder.base == base
    assert base**digits >= words
    assert words == 1 or (base - 1) ** digits < words
    params = jax.eval_shape(encoder.init, KEY)["params"]
    assert size_of(params) == digits * base * 8 + 8 * 4 * 2 + 4 * 2


def test_without_hidden_layers_digits_add():
    encoder = encoders.factorised(vocabulary_size=25, cells=4, channels=2, digits=2, base=5, depth=0)
    pattern = apply(encoder, variables_of(encoder), np.arange(25)).reshape(5, 5, 4, 2)  # second digit, first digit
    np.testing.assert_allclose(pattern[3, 1] - pattern[3, 4], pattern[0, 1] - pattern[0, 4], atol=1e-5)


def test_digits_are_those_of_python():
    digits = compiled(digits_of, static_argnums=(1, 2))
    for number in (0, 7, 123, 999):
        assert digits(number, 10, 3).tolist() == [int(digit) for digit in f"{number:03d}"[::-1]]


def test_too_small_a_base_is_refused():
    with pytest.raises(ValueError, match="base: expected at least 11, for 101 words of 2 digits, got 10"):
        encoders.factorised(vocabulary_size=101, cells=4, channels=2, base=10)


# Fourier: waves.
def test_one_coefficient_is_one_wave():
    encoder = encoders.fourier(vocabulary_size=2, height=6, width=8, channels=2, frequencies=1)
    basis = encoders.waves(6, 8, 1)
    rows, columns = np.meshgrid(np.arange(6) / 6, np.arange(8) / 8, indexing="ij")
    expected = [(0, 0, np.cos), (0, 1, np.cos), (0, 1, np.sin), (1, -1, np.cos), (1, -1, np.sin), (1, 0, np.cos),
                (1, 0, np.sin), (1, 1, np.cos), (1, 1, np.sin)]  # fmt: skip
    for number, (u, v, wave) in enumerate(expected):
        amplitudes = np.zeros((2, 9, 2), np.float32)
        amplitudes[1, number, 0] = 1.0
        pattern = apply(encoder, {"params": {"amplitude": amplitudes}, "state": {}}, np.arange(2))
        formula = wave(2 * np.pi * (u * rows + v * columns)).reshape(-1)
        np.testing.assert_allclose(pattern[1, :, 0], formula, atol=1e-6)
        np.testing.assert_allclose(basis[number], formula, atol=1e-12)
        assert float(np.abs(pattern[0]).max()) == float(np.abs(pattern[1, :, 1]).max()) == 0.0


@pytest.mark.parametrize(("height", "width", "frequencies"), [(5, 5, 2), (8, 8, 3), (7, 12, 3)])
def test_waves_are_orthogonal_on_the_grid(height, width, frequencies):
    basis = encoders.waves(height, width, frequencies)
    assert len(basis) == (2 * frequencies + 1) ** 2
    energy = np.full(len(basis), 0.5)
    energy[0] = 1.0
    np.testing.assert_allclose(basis @ basis.T / (height * width), np.diag(energy), atol=1e-12)


def test_initial_energy_is_the_asked_one_whatever_the_decay():
    for decay in (0.0, 2.0):
        encoder = encoders.fourier(
            vocabulary_size=2000, height=8, width=8, channels=3, frequencies=2, amplitude_std=0.7, decay=decay
        )
        params = init(encoder, KEY)["params"]
        energy = (params["amplitude"] ** 2).mean((0, 2)) @ (encoders.waves(8, 8, 2) ** 2).mean(1)
        # A weighted mean of squares of 6,000 normal numbers each: at most a relative error sqrt(2 / 6000) of 0.018.
        assert energy == pytest.approx(0.49, rel=4.5 * 0.0183)
    square = (params["amplitude"] ** 2).mean((0, 2))
    assert square[0] > square[1] > square[-1], "a decay favours low frequencies"


def test_frequencies_that_the_grid_cannot_tell_apart_are_refused():
    with pytest.raises(ValueError, match="frequencies: expected less than half of each side of the 8 x 4 grid, got 2"):
        encoders.fourier(vocabulary_size=2, height=8, width=4, channels=1, frequencies=2)


# Gaussian mixture: the formula.
def test_one_bump_is_the_formula():
    encoder = encoders.gaussian_mixture(vocabulary_size=1, height=5, width=7, channels=2, bumps=1, radius=0.3)
    params = {
        "place": np.float32([[[0.2, 0.9]]]),
        "log_radius": np.float32([[np.log(0.5)]]),
        "colour": np.float32([[[2.0, -1.0]]]),
    }
    assert jax.tree.map(np.shape, params) == jax.tree.map(np.shape, variables_of(encoder)["params"])
    pattern = apply(encoder, {"params": params, "state": {}}, np.array([0]))[0].reshape(5, 7, 2)
    for i in range(5):
        for j in range(7):
            squared = ((i + 0.5) / 5 - 0.2) ** 2 + ((j + 0.5) / 7 - 0.9) ** 2
            bump = np.exp(-squared / (2 * 0.15**2))
            np.testing.assert_allclose(pattern[i, j], [2 * bump, -bump], atol=1e-6)


def test_bumps_add():
    encoder = encoders.gaussian_mixture(vocabulary_size=3, height=4, width=4, channels=2, bumps=3)
    params = variables_of(encoder)["params"]
    single = encoders.gaussian_mixture(vocabulary_size=3, height=4, width=4, channels=2, bumps=1)
    parts = [
        apply(single, {"params": jax.tree.map(lambda leaf, m=m: leaf[:, m : m + 1], params), "state": {}}, np.arange(3))
        for m in range(3)
    ]
    whole = apply(encoder, {"params": params, "state": {}}, np.arange(3))
    np.testing.assert_allclose(whole, sum(parts), atol=1e-6)
    with pytest.raises(ValueError, match="radius"):
        encoders.gaussian_mixture(vocabulary_size=3, height=4, width=4, channels=2, radius=0.0)


# Fixed random: a hash.
@pytest.mark.parametrize("kind", ["gaussian", "one_hot"])
def test_a_fixed_pattern_depends_on_the_key_and_the_word_alone(kind):
    def patterns(words, strength=1.0, key=KEY, train=False):
        encoder = encoders.fixed_random(vocabulary_size=words, cells=8, channels=3, kind=kind, strength=strength)
        variables = init(encoder, key)
        pattern, state = compiled(encoder.apply, static_argnames="train")(variables, np.arange(5), train=train)
        assert np.array_equal(state["patterns"], variables["state"]["patterns"])
        assert variables["params"] == {}
        return pattern

    assert np.array_equal(patterns(5), patterns(50, train=True))
    np.testing.assert_allclose(patterns(5, strength=2.5), 2.5 * patterns(5), rtol=1e-6)
    assert not np.array_equal(patterns(5), patterns(5, key=constant_key(1)))


def test_fixed_patterns_have_the_promised_distribution():
    many = functools.partial(encoders.fixed_random, vocabulary_size=2000, cells=8, channels=4)
    gaussian, one_hot = (init(many(kind=kind), KEY)["state"]["patterns"] for kind in ("gaussian", "one_hot"))
    number = gaussian.size
    assert abs(gaussian.mean()) < 4.5 / number**0.5
    assert gaussian.var() == pytest.approx(1.0, abs=4.5 * (2 / number) ** 0.5)
    assert np.array_equal(one_hot.sum(-1), np.ones((2000, 8)))
    assert np.all((one_hot == 0) | (one_hot == 1))
    assert np.abs(one_hot.mean((0, 1)) - 0.25).max() < 4.5 * (0.25 * 0.75 / 16_000) ** 0.5


# The published encoder is still what it was.
def test_the_table_is_an_embedding_and_dense_layers():
    encoder = encoders.table(vocabulary_size=3, cells=4, channels=2, embedding=5, width=6, depth=1)
    variables = variables_of(encoder)
    params = variables["params"]
    first, last = params["Mlp_0"]["Dense_0"], params["Mlp_0"]["Dense_1"]
    hidden = np.maximum(params["embedding"] @ first["kernel"] + first["bias"], 0)
    np.testing.assert_allclose(
        apply(encoder, variables, np.arange(3)).reshape(3, 8), hidden @ last["kernel"] + last["bias"], atol=1e-5
    )


def test_mixing_with_a_dense_and_a_sparse_graph_is_the_same():
    draw = np.random.default_rng(0)
    near = jax.device_get(encoders.nearest_neighbours(draw.normal(size=(9, 4)).astype(np.float32), 3))
    dense = np.zeros((9, 9), np.float32)
    np.put_along_axis(dense, near.ids, 1 / 3, axis=1)
    vectors = draw.normal(size=(9, 5)).astype(np.float32)
    for graph in (near, dense):
        np.testing.assert_allclose(compiled(mixed)(graph, vectors), dense @ vectors, atol=1e-6)
