"""Every bottleneck, decoder and loss keeps the contract, and each does what its formula says."""

import functools
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.special
from compiled import compiled
from constant_keys import constant_key

import tokdyn as td
from tokdyn import autoencoder as ae
from tokdyn.autoencoder import bottlenecks, decoders, encoders, layers, losses

WORDS, CELLS, CHANNELS = 6, 16, 3
KEY = constant_key(0)
PATTERN = np.random.default_rng(1).normal(size=(WORDS, CELLS, CHANNELS)).astype(np.float32)
EMPTY = {"params": {}, "state": {}}
IDS = np.arange(WORDS)


applied = compiled(
    lambda bottleneck, inputs, train: bottleneck.apply(EMPTY, inputs, key=KEY, train=train)[0], static_argnums=2
)
loss_of = compiled(lambda term, view: term.apply(view))


def resolved(part):
    return td.dynamics.resolved(part, 0)


def model_with(decoder=None, bottleneck=None):
    return ae.autoencoder(
        encoders.table(vocabulary_size=WORDS, cells=CELLS, channels=CHANNELS, embedding=8, width=16),
        bottleneck or bottlenecks.sigmoid(),
        decoder or decoders.linear(vocabulary_size=WORDS),
    )


@functools.cache
def initial():
    """Variables of ``model_with()``."""
    return compiled(model_with().init)(KEY)


@pytest.mark.parametrize("name", bottlenecks.CATALOG)
def test_a_bottleneck_keeps_the_contract(name):

    def values(inputs):
        bottleneck = resolved(bottlenecks.CATALOG[name]())
        return bottleneck.apply(bottleneck.init(KEY, CHANNELS), inputs, key=KEY, train=True)[0]

    @compiled
    def program():
        gradient = jax.grad(lambda inputs: jnp.sum(values(inputs).values * PATTERN))(PATTERN)
        both = jnp.stack([PATTERN, 2 * PATTERN])
        return values(PATTERN), gradient, jax.vmap(lambda inputs: values(inputs).values)(both), values(2 * PATTERN)

    code, gradient, many, doubled = program()
    assert code.values.shape == PATTERN.shape
    assert code.values.dtype == PATTERN.dtype
    assert np.isfinite(gradient).all()
    # The published fault is exactly this: no gradient at all.
    assert (np.abs(gradient).max() > 0) == (name != "categorical")
    if code.indices is not None:
        assert code.indices.dtype == jnp.int32
        assert code.indices.shape == PATTERN.shape[:-1]
        np.testing.assert_array_equal(np.argmax(code.values, axis=-1), code.indices)
        np.testing.assert_allclose(code.probabilities.sum(axis=-1), 1.0, rtol=1e-6)
    if code.indices is not None and name != "gumbel_soft":
        assert set(np.unique(code.values)) <= {0.0, 1.0}  # one-hot to the last bit
    np.testing.assert_allclose(many[1], doubled.values, rtol=1e-6)


def test_categorical_and_gumbel_draw_the_distribution_they_say():
    draws = 4000
    inputs = np.broadcast_to(PATTERN[:1, :1], (draws, 1, CHANNELS))
    expected = scipy.special.softmax(PATTERN[0, 0])
    for bottleneck in (bottlenecks.categorical(), bottlenecks.gumbel(sampled=True)):
        found = applied(bottleneck, inputs, False).values.mean(axis=(0, 1))
        # Five standard errors of a share.
        assert np.all(np.abs(found - expected) < 5 * np.sqrt(expected * (1 - expected) / draws))


def test_gumbel_at_evaluation_is_the_most_probable_code():
    code = applied(bottlenecks.gumbel(), PATTERN, False)
    np.testing.assert_array_equal(code.indices, PATTERN.argmax(axis=-1))


def test_a_cold_gumbel_is_hard():
    soft = applied(bottlenecks.gumbel(hard=False, temperature=1e-4), PATTERN, True)
    hard = applied(bottlenecks.gumbel(temperature=1e-4), PATTERN, True)
    np.testing.assert_allclose(soft.values, hard.values, atol=1e-5)


def test_the_gradient_of_straight_through_is_that_of_the_softmax():
    weights = np.random.default_rng(2).normal(size=PATTERN.shape).astype(np.float32)
    bottleneck = bottlenecks.straight_through(temperature=0.7)
    found = compiled(jax.grad(lambda x: jnp.sum(weights * bottleneck.apply(EMPTY, x)[0].values)))(PATTERN)
    expected = compiled(jax.grad(lambda x: jnp.sum(weights * jax.nn.softmax(x / 0.7))))(PATTERN)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_sigmoid_and_its_centre():
    values = applied(bottlenecks.sigmoid(), PATTERN, False).values
    np.testing.assert_allclose(values, 1 / (1 + np.exp(-PATTERN)), rtol=1e-5)
    centred = applied(bottlenecks.sigmoid(centred=1.0), PATTERN, False).values
    np.testing.assert_allclose(centred, np.tanh(PATTERN / 2), rtol=1e-4, atol=1e-6)


class Decoded(NamedTuple):
    """What one decoder did, judging and training."""

    variables: Any
    logits: Any
    judged: Any  # state
    trained: Any  # state
    gradients: Any
    several: Any  # parameters of two keys, the second one that of ``variables``


@functools.cache
def decoded(name):
    """All that the contract asks of a decoder, as one program; and the program."""
    decoder = decoders.CATALOG[name](WORDS)

    @compiled
    def program():
        keys = jax.random.split(KEY, 2)
        variables = decoder.init(keys[1], CELLS, CHANNELS)
        logits, judged = decoder.apply(variables, PATTERN, key=KEY, train=False)

        def loss(params):
            logits, state = decoder.apply({**variables, "params": params}, PATTERN, key=KEY, train=True)
            return jnp.sum(logits[:, 0] ** 2), state

        gradients, trained = jax.grad(loss, has_aux=True)(variables["params"])
        several = jax.vmap(lambda key: decoder.init(key, CELLS, CHANNELS)["params"])(keys)
        return Decoded(variables, logits, judged, trained, gradients, several)

    return program(), program()


@pytest.mark.parametrize("name", decoders.CATALOG)
def test_a_decoder_keeps_the_contract(name):
    found, again = decoded(name)
    assert found.logits.shape == (WORDS, WORDS)
    for path, gradient in td.values(found.gradients).items():
        assert np.isfinite(gradient).all(), path
    assert any(np.abs(gradient).max() > 0 for gradient in jax.tree.leaves(found.gradients))
    np.testing.assert_array_equal(again.logits, found.logits)
    alone = jax.tree.map(lambda leaf: leaf[1], found.several)
    chex.assert_trees_all_close(alone, found.variables["params"], rtol=1e-5, atol=1e-6)


def test_only_the_extreme_decoder_changes_its_state():
    for name in decoders.CATALOG:
        found, _ = decoded(name)
        chex.assert_trees_all_equal(found.judged, found.variables["state"])
        pairs = zip(*map(jax.tree.leaves, (found.trained, found.judged)), strict=True)
        assert any(np.abs(a - b).max() > 0 for a, b in pairs) == (name == "extreme"), name


def test_the_extreme_decoder_starts_collapsed():
    """Its Gaussian head adds token-independent logits far above all that depends on the pattern."""
    decoder = decoders.extreme(vocabulary_size=48, height=8)
    # Patterns as the published encoder makes them: around one half, 0.023 apart between words.
    patterns = 0.5 + 0.023 * np.random.default_rng(0).normal(size=(48, 64, 5)).astype(np.float32)
    logits = compiled(lambda key: decoder.apply(decoder.init(key, 64, 5), patterns)[0])(KEY)
    logits = logits - logits.mean(axis=1, keepdims=True)
    share = np.var(logits - logits.mean(axis=0)) / np.var(logits)
    assert share < 0.01
    assert cross_entropies(logits, np.arange(48)).mean() > np.log(48) + 2


@pytest.mark.parametrize("axes", [(7,), (4, 5)])
def test_a_convolution_is_jax_s(axes):
    values = np.random.default_rng(0).normal(size=(2, *axes, 3)).astype(np.float32)
    module = layers.Convolution(4)
    names = ("NHC", "HIO", "NHC") if len(axes) == 1 else ("NHWC", "HWIO", "NHWC")

    @compiled
    def program(key):
        variables = module.init(key, values)
        kernel = variables["params"]["kernel"]
        expected = jax.lax.conv_general_dilated(values, kernel, [1] * len(axes), "SAME", dimension_numbers=names)
        return kernel, module.apply(variables, values), expected

    kernel, found, expected = program(KEY)
    assert kernel.shape == (*[3] * len(axes), 3, 4)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_dropout_keeps_the_mean_and_drops_the_share():
    drop = layers.dropout(0.3, train=True)
    values = compiled(lambda: drop.apply({}, jnp.ones((200, 200)), rngs={"draws": KEY}))()
    dropped = float(np.mean(values == 0))
    assert abs(dropped - 0.3) < 5 * np.sqrt(0.3 * 0.7 / 40_000)
    np.testing.assert_allclose(np.unique(values), [0.0, 1 / 0.7], rtol=1e-6)


def test_initial_scales_are_what_they_say():
    makers = (layers.xavier(1.5), layers.normal(0.3), layers.uniform(0.6))
    *found, square = compiled(
        lambda key: (*(maker(key, (300, 200)) for maker in makers), layers.orthogonal(1.5)(key, (20, 20)))
    )(KEY)
    for made, std in zip(found, (1.5 * np.sqrt(2 / 500), 0.3, 0.6 / np.sqrt(3)), strict=True):
        # A standard deviation of 60,000 numbers has a relative error of at most 1/sqrt(120,000).
        assert abs(np.std(made, dtype=np.float64) / std - 1) < 5 / np.sqrt(120_000)
    np.testing.assert_allclose(square @ square.T, 1.5**2 * np.eye(20), atol=1e-4)


@pytest.mark.parametrize("name", losses.CATALOG)
def test_a_loss_keeps_the_contract(name):
    model, variables = model_with(), initial()
    loss = losses.objective(term=losses.CATALOG[name](WORDS))

    @compiled
    @functools.partial(jax.value_and_grad, has_aux=True)
    def value(params, weight):
        changed = td.with_values(loss, {"terms.term.weight": weight})
        return changed(model, {**variables, "params": params}, IDS, KEY)

    ((one, (state, metrics)), gradients), ((two, _), _) = (value(variables["params"], x) for x in (1.0, 2.0))
    assert np.isfinite(one)
    np.testing.assert_allclose(two, 2 * one, rtol=1e-5)  # linear in its weight
    np.testing.assert_allclose(metrics["term"], one, rtol=1e-6)
    chex.assert_trees_all_equal_structs(state, variables["state"])
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))
    assert max(np.abs(leaf).max() for leaf in jax.tree.leaves(gradients)) > 0


def cross_entropy_of(logits, **options):
    output = ae.Pass(logits, None, None)
    return loss_of(losses.cross_entropy(**options), losses.View(None, None, np.arange(len(logits)), output, KEY))


cross_entropies = compiled(optax.softmax_cross_entropy_with_integer_labels)


def test_the_double_softmax_lives_between_its_bounds():
    """For V words: ln(e + V - 1) - 1 where every prediction is sure and right, ln(e + V - 1) where sure and wrong."""
    size = 192
    sure = 1000.0 * np.eye(size, dtype=np.float32)
    highest = np.log(np.e + size - 1)
    np.testing.assert_allclose(cross_entropy_of(sure, double_softmax=1.0), highest - 1, rtol=1e-6)
    np.testing.assert_allclose(cross_entropy_of(np.roll(sure, 1, axis=1), double_softmax=1.0), highest, rtol=1e-6)
    np.testing.assert_allclose(cross_entropy_of(0 * sure, double_softmax=1.0), np.log(size), rtol=1e-6)
    np.testing.assert_allclose(cross_entropy_of(0 * sure), np.log(size), rtol=1e-6)


def test_rarity_makes_tokens_count_as_types():
    logits = np.random.default_rng(0).normal(size=(3, 3)).astype(np.float32)
    each = cross_entropies(logits, np.arange(3))
    frequencies = np.array([0.5, 0.25, 0.25], np.float32)
    found = cross_entropy_of(logits, rarity=1.0, frequencies=frequencies)
    np.testing.assert_allclose(found, np.sum(each / frequencies) / np.sum(1 / frequencies), rtol=1e-6)
    np.testing.assert_allclose(cross_entropy_of(logits, frequencies=frequencies), each.mean(), rtol=1e-6)


def test_entropies_of_known_predictions():
    def term(term, logits):
        return loss_of(term, losses.View(None, None, IDS, ae.Pass(logits, None, None), KEY))

    sure = 1000.0 * np.eye(WORDS, dtype=np.float32)
    np.testing.assert_allclose(term(losses.diversity(weight=1.0), sure), -np.log(WORDS), rtol=1e-6)
    np.testing.assert_allclose(term(losses.confidence(weight=1.0), sure), 0.0, atol=1e-6)
    np.testing.assert_allclose(term(losses.confidence(weight=1.0), 0 * sure), np.log(WORDS), rtol=1e-6)
    one_word = np.zeros((WORDS, WORDS), np.float32)
    one_word[:, 2] = 1000.0
    np.testing.assert_allclose(term(losses.diversity(weight=1.0), one_word), 0.0, atol=1e-6)
    gradient = compiled(jax.grad(lambda logits: term(losses.confidence(weight=1.0), logits)))(sure)
    assert np.isfinite(gradient).all()


def test_gram_and_alignment_vanish_where_they_should():
    vectors = PATTERN.reshape(WORDS, -1)
    output = ae.Pass(None, 3.0 * PATTERN, None)
    view = losses.View(None, None, IDS, output, KEY)
    np.testing.assert_allclose(loss_of(losses.gram(vectors), view), 0.0, atol=1e-10)
    away = loss_of(losses.gram(-vectors[::-1]), view)
    assert away > 1e-3
    shape = (CELLS * CHANNELS, 5)
    projection = compiled(lambda: jax.random.normal(jax.random.key(0), shape))()  # the one that it takes
    seen = vectors @ projection / np.float32(np.sqrt(shape[0]))
    np.testing.assert_allclose(loss_of(losses.alignment(seen), view), 0.0, atol=1e-5)
    np.testing.assert_allclose(loss_of(losses.alignment(-seen), view), 2.0, atol=1e-5)


def test_the_adversarial_step_is_the_worst_of_its_size_for_a_linear_decoder():
    model = model_with()

    @compiled
    def program(variables, key):
        output = model.apply(variables, IDS)[0]
        view = losses.View(model, variables, IDS, output, KEY)

        def at_random_signs(key):
            signs = jax.random.rademacher(key, output.code.values.shape, output.code.values.dtype)
            logits = view.logits_of(output.code.values + 0.01 * signs)
            return optax.softmax_cross_entropy_with_integer_labels(logits, IDS).mean()

        worst = losses.adversarial(radius=0.01).apply(view)
        return worst, jax.vmap(at_random_signs)(jax.random.split(key, 20))

    worst, others = program(initial(), KEY)
    assert (others < worst).all()


def test_the_sensitivity_penalty_is_at_its_maximum_for_a_decoder_that_ignores_its_input():
    model = model_with(decoders.linear(vocabulary_size=WORDS, gain=0.0))

    @jax.jit
    def penalty(key):
        variables = model.init(key)
        view = losses.View(model, variables, IDS, model.apply(variables, IDS)[0], key)
        return losses.sensitivity(weight=2.0, least=0.1).apply(view)

    np.testing.assert_allclose(penalty(KEY), 0.2, rtol=1e-6)


def test_other_numbers_compile_nothing_and_x64_is_followed():
    @chex.assert_max_traces(n=1)
    def loss_at(model, loss):
        return loss(model, model.init(KEY), IDS, KEY)[0]

    traced = jax.jit(loss_at)
    values = {
        float(traced(td.with_values(model_with(), {"encoder.embedding_std": std}), losses.objective()))
        for std in (0.02, 1, 1.0, 2.0)
    }
    assert len(values) == 3
    with jax.enable_x64(True):
        model = model_with(decoders.CATALOG["convolutional"](WORDS))
        variables = jax.eval_shape(model.init, KEY)
        assert {str(leaf.dtype) for leaf in jax.tree.leaves(variables["params"])} == {"float64"}
        assert jax.eval_shape(model.apply, variables, IDS)[0].logits.dtype == jnp.float64


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: bottlenecks.gumbel(temperature=0.0), "temperature: expected a number above 0, got 0.0"),
        (lambda: bottlenecks.sigmoid(centred=2.0), "centred: expected a number of at least 0"),
        (lambda: decoders.dense(vocabulary_size=0), "vocabulary_size: expected a static integer of at least 1"),
        (lambda: decoders.dense(vocabulary_size=3, dropout=1.0), "dropout: expected a number of at least 0 and below"),
        (lambda: decoders.convolutional(vocabulary_size=3, height=4, pool="max"), "pool: expected one of 'flat'"),
        (lambda: decoders.hybrid(vocabulary_size=3, height=5).init(KEY, 16, 2),
         "height: expected a divisor of the code's 16 cells, got 5"),
        (lambda: losses.cross_entropy(rarity=1.0), "frequencies: expected the words' frequencies beside a rarity"),
        (lambda: losses.cross_entropy(double_softmax=2.0), "double_softmax: expected a number of at least 0 and below"),
        (lambda: losses.gram(3), r"vectors: expected a floating-point array \[vocabulary, dimensions\]"),
        (lambda: ae.autoencoder(encoders.table(vocabulary_size=3, cells=4, channels=2), bottlenecks.identity(),
                            decoders.linear(vocabulary_size=4)),
         "decoder: expected the encoder's vocabulary of 3, got one for 4"),
        (lambda: ae.autoencoder(encoders.table(vocabulary_size=3, cells=4, channels=2), 3, None),
         "bottleneck: expected"),
        (lambda: bottlenecks.categorical().apply(EMPTY, PATTERN), "key: expected a JAX key"),
    ],
)  # fmt: skip
def test_bad_input(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()
