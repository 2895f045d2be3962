"""The mathematics of the diagnostics: closed forms, bounds, enumeration."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.special
from compiled import compiled
from constant_keys import constant_key

from tokdyn import autoencoder as ae
from tokdyn.autoencoder import diagnose
from tokdyn.autoencoder.losses import twice_softmaxed

KEY = constant_key(5)


@functools.partial(compiled, static_argnames="samples")
def drawn_information(probabilities, *, samples=16, mask=None):
    return diagnose.stochastic_information(probabilities, key=KEY, samples=samples, mask=mask)


cell_information = compiled(diagnose.cell_information)
input_share, accuracy = compiled(diagnose.input_share), compiled(diagnose.accuracy)
cross_entropies = compiled(optax.softmax_cross_entropy_with_integer_labels)


def enumerated_information(probabilities):
    """I(word; pattern) in bits, from the whole joint distribution."""
    words, cells, choices = probabilities.shape
    total = 0.0
    for pattern in itertools.product(range(choices), repeat=cells):
        given = np.prod([probabilities[:, cell, choice] for cell, choice in enumerate(pattern)], axis=0)
        some = given > 0
        total += (given[some] * np.log2(given[some] / given.mean())).sum() / words
    return total


@pytest.fixture(scope="module")
def channel():
    logits = np.random.default_rng(0).normal(size=(5, 3, 3)) * 1.5
    return np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)


def test_information_of_drawn_codes_is_that_of_the_enumerated_joint_distribution(channel):
    estimate = functools.partial(diagnose.stochastic_information, samples=64)
    estimates = compiled(lambda channel: jax.vmap(lambda key: estimate(channel, key=key))(jax.random.split(KEY, 400)))
    found = estimates(np.float32(channel))
    scores = (found.bits - enumerated_information(channel)) / found.standard_error
    # Unbiased, and the standard error is right: of 400 the mean is within 4 / 20, the spread within 4 / sqrt(800).
    assert abs(scores.mean()) < 0.2
    assert abs(scores.std() - 1.0) < 0.15


def test_cells_bound_the_information_of_the_pattern_and_give_that_of_a_single_one(channel):
    by_cell = cell_information(np.float32(channel))
    assert float(by_cell.sum()) >= enumerated_information(channel)
    for cell in range(3):
        np.testing.assert_allclose(by_cell[cell], enumerated_information(channel[:, [cell]]), atol=1e-5)


def test_binary_symmetric_channel():
    flip = 0.11
    probabilities = np.float32([[[1 - flip, flip]], [[flip, 1 - flip]]])
    expected = 1 + flip * np.log2(flip) + (1 - flip) * np.log2(1 - flip)
    found = drawn_information(probabilities, samples=4000)
    assert abs(float(found.bits) - expected) < 4 * float(found.standard_error)
    np.testing.assert_allclose(cell_information(probabilities).sum(), expected, atol=1e-6)


def test_a_mask_leaves_words_out(channel):
    some = np.array([True, False, True, True, False])
    found = drawn_information(np.float32(channel), samples=2000, mask=some)
    assert abs(float(found.bits) - enumerated_information(channel[some])) < 4 * float(found.standard_error)
    assert float(found.available) == pytest.approx(np.log2(3))
    indices = np.array([[0], [0], [0], [1], [1]])
    # Of three words two share a pattern: log2 3 - 2/3.
    assert float(compiled(diagnose.deterministic_information)(indices, mask=some).bits) == pytest.approx(
        np.log2(3) - 2 / 3
    )


def test_tiny_information_is_not_lost_in_rounding():
    """The published start has 0.0007 bits: small logits carry half their variance across words, in nats."""
    logits = np.float32(1e-3 * np.random.default_rng(0).normal(size=(50, 40, 3)))
    by_cell = compiled(lambda logits: diagnose.cell_information(jax.nn.softmax(logits)))(logits)
    centred = logits - logits.mean(axis=0)
    expected = (np.var(centred, axis=-1).mean(axis=0) / 2 / np.log(2.0)).sum()  # second order of the divergence
    np.testing.assert_allclose(by_cell.sum(), expected, rtol=0.05)


def test_two_points_in_gaussian_noise_are_the_binary_input_channel():
    distance, sigma = 1.3, 0.8
    read = np.linspace(-12, 12, 200_001)
    density = np.exp(-((read - distance / 2) ** 2) / 2 / sigma**2) / sigma / np.sqrt(2 * np.pi)
    expected = 1 - np.trapezoid(density * np.log2(1 + np.exp(-read * distance / sigma**2)), read)
    values = np.float32([[distance / 2], [-distance / 2]]) + np.float32(50.0)  # far from the origin
    information = functools.partial(diagnose.gaussian_information, key=KEY, samples=20_000)
    found = compiled(lambda values: information(values, sigma))(values)
    assert abs(float(found.bits) - expected) < 4 * float(found.standard_error)


def test_distinct_draws_mistake_noise_for_information():
    same = np.full((24, 16, 3), 1 / 3, np.float32)
    assert float(compiled(lambda same: diagnose.distinct_draws(same, key=KEY))(same)) == 1.0
    assert abs(float(drawn_information(same).bits)) < 1e-5
    assert float(diagnose.pattern_utilisation(0.0, 24)) == pytest.approx(1 / 24)


@pytest.mark.parametrize("size", [3, 24, 192])
def test_a_double_softmax_keeps_the_loss_in_one_nat(size):
    frequencies = 1.0 / np.arange(1, size + 1)
    frequencies /= frequencies.sum()
    levels = diagnose.loss_levels(size, frequencies)
    draw = np.random.default_rng(5)
    logits = np.float32(draw.normal(size=(4000, size)) * np.logspace(-2, 3, 4000)[:, None])
    ids = draw.integers(0, size, 4000)
    losses = compiled(lambda logits, ids: cross_entropies(twice_softmaxed(logits, 1.0), ids))(logits, ids)
    assert float(losses.min()) >= levels.floor - 1e-5
    assert float(losses.max()) <= levels.top + 1e-5
    # Both ends are reached, and the constant answer sits at its level.
    twice = compiled(lambda logits: cross_entropies(jax.nn.softmax(logits), np.arange(size)))
    sure = 200.0 * np.eye(size, dtype=np.float32)
    right, constant = twice(sure), twice(np.tile(sure[:1], (size, 1)))
    np.testing.assert_allclose(right, levels.floor, rtol=1e-5)
    np.testing.assert_allclose(constant[1:], levels.top, rtol=1e-5)
    np.testing.assert_allclose(np.sum(frequencies * constant), levels.constant, rtol=1e-5)
    np.testing.assert_allclose(levels.unigram, compiled(diagnose.unigram_entropy)(frequencies), rtol=1e-5)


def test_signature_names_the_level_that_a_noisy_curve_ends_on():
    rng = np.random.default_rng(3)
    counts = np.r_[np.zeros(2), 30, np.ones(22)]
    levels, shares = diagnose.loss_levels(25, counts), counts / counts.sum()

    def curve(losses_of_words):
        """20 records of 1000 tokens each."""
        tokens = rng.choice(25, size=(20, 1000), p=shares)
        return np.asarray(losses_of_words)[tokens].mean(axis=1)

    constant = np.full(25, levels.top)
    constant[2] = levels.floor
    expected = {
        "ends_double_softmax_constant": curve(constant),
        "ends_unigram": curve(-np.log(np.where(shares > 0, shares, 1))),
        "ends_uniform": np.full(20, np.log(25)),
    }
    for name, losses in expected.items():
        flags = diagnose.loss_signature(losses, 25, counts, tokens_per_record=1000)
        assert [flag for flag, found in flags.items() if found.verdict and flag.startswith("ends")] == [name]
    learned = np.exp(-np.arange(20.0)) * np.log(25)
    assert diagnose.loss_signature(learned, 25, counts)["excludes_double_softmax"].verdict
    over = np.linspace(13.0, 8.0, 20)
    assert diagnose.loss_signature(over, 25, counts)["starts_overconfident"].verdict


def test_signature_is_silent_where_levels_are_too_near():
    """Under nearly even frequencies the constant answer costs almost ln V: nothing is named."""
    flags = diagnose.loss_signature(np.full(8, np.log(2000.0)), 2000, np.ones(2000))
    assert not any(flag.verdict for name, flag in flags.items() if name.startswith("ends"))


@pytest.mark.parametrize("rate", [0.5, 2.0, 5.0])
def test_falling_share_of_exponentials(rate):
    x = np.exp(-rate / 4)
    found = diagnose.falling_share(np.exp(-rate * np.linspace(0, 1, 4001)))
    assert found == pytest.approx(3 * x**2 / (1 + x + x**2), abs=2e-3)


def test_falling_share_says_nothing_of_noise():
    assert np.isnan(diagnose.falling_share(5 + 0.1 * np.random.default_rng(0).normal(size=16)))
    assert np.isnan(diagnose.falling_share([3.0, 2.0, 1.0]))


def test_variance_adds_up_and_follows_what_varies():
    draw = np.random.default_rng(0)
    words, places, patterns = (np.float32(draw.normal(size=shape)) for shape in ((7, 1), (1, 12), (7, 4, 3)))
    variance_split = compiled(diagnose.variance_split)
    split = variance_split(patterns)
    np.testing.assert_allclose(split.across_words + split.across_places, np.var(patterns), rtol=1e-5)
    mixed = variance_split((3.0 * words + 2.0 * places).reshape(7, 4, 3))
    np.testing.assert_allclose(mixed.across_words, 9 * np.var(words), rtol=1e-4)
    np.testing.assert_allclose(mixed.across_places, 4 * np.var(places), rtol=1e-4)


@pytest.mark.parametrize("common", [0.0, 1.0, 10.0])
def test_input_share_of_constructed_logits(common):
    """A constant answer of variance c^2 beside unit vectors of variance v: v / (v + c^2), whatever each row's mean."""
    size = 6
    own = np.eye(size) - 1 / size
    constant = common * np.array([1.0, -1.0, 1.0, -1.0, 1.0, -1.0])
    logits = np.float32(own + constant + np.arange(size)[:, None] * 7.0)
    moving = float(np.mean(own**2))
    np.testing.assert_allclose(input_share(logits), moving / (moving + common**2), rtol=1e-4)


def test_rank_of_known_spectra():
    rank = compiled(diagnose.pattern_rank)
    rows = np.eye(5, dtype=np.float32)  # about their mean, five unit vectors span four equal directions
    np.testing.assert_allclose(rank(rows.reshape(5, 5, 1)), 4.0, rtol=1e-5)
    assert float(rank(np.ones((5, 3), np.float32))) == 0.0
    np.testing.assert_allclose(rank(np.float32([[1.0, 0.0], [-1.0, 0.0]])), 1.0, rtol=1e-5)


def test_predictions():
    predicted = np.array([1, 1, 1, 4])

    @functools.partial(compiled, static_argnums=1)
    def said_of(predicted, num_words, mask):
        asked = diagnose.dominant_share, diagnose.distinct_predictions, diagnose.prediction_entropy
        return [function(predicted, num_words, mask=mask) for function in asked]

    dominant, distinct, entropy = said_of(predicted, 6, None)
    assert float(dominant) == 0.75
    assert int(distinct) == 2
    assert float(entropy) == pytest.approx(-0.75 * np.log2(0.75) + 0.5)
    dominant, _, _ = said_of(predicted, 6, np.array([True, False, False, True]))
    assert float(dominant) == 0.5
    _, _, entropy = said_of(np.arange(8), 8, None)
    assert float(entropy) == pytest.approx(3.0)


def test_accuracy_has_the_published_ceiling():
    """44 validation tokens, 23 of them unknown: no model can be above 21 / 44, a perfect one is there."""
    counts = np.r_[0, 0, 0, 12, np.full(188, 1)]
    text = np.r_[np.full(23, 1), [3, 3], np.arange(4, 23)]
    perfect = accuracy(np.arange(192), counts, text)
    assert float(perfect.types) == 1.0
    assert float(perfect.tokens) == pytest.approx(1.0)
    assert float(perfect.validation) == float(perfect.ceiling) == pytest.approx(21 / 44)
    constant = accuracy(np.full(192, 3), counts, text)
    assert float(constant.validation) == float(constant.constant) == pytest.approx(2 / 44)
    assert float(constant.types) == pytest.approx(1 / 189)
    assert "47.7%" in str(perfect)
    assert "4.5%" in str(perfect)


def model_with(bottleneck):
    return ae.autoencoder(
        ae.encoders.table(vocabulary_size=6, cells=4, channels=3, embedding=5, width=8),
        bottleneck,
        ae.decoders.linear(vocabulary_size=6),
    )


@pytest.mark.parametrize(
    ("name", "expected"), [("categorical", True), ("straight_through", False), ("gumbel", False), ("sigmoid", False)]
)
def test_only_a_sample_cuts_the_encoder_off(name, expected):
    model = model_with(getattr(ae.bottlenecks, name)())

    @compiled
    def program(key):
        variables = model.init(key)
        flow = diagnose.gradient_flow(model, ae.losses.objective(), variables, np.arange(6), key=key)
        return diagnose.encoder_gradient(model, variables, np.arange(6), key=key), flow

    largest, flow = program(KEY)
    assert (float(largest) == 0.0) is expected
    encoder = [bool(layer.is_zero) for path, layer in flow.items() if path.startswith("encoder")]
    assert all(encoder) is expected
    assert not bool(flow["decoder.Mlp_0.Dense_0.kernel"].is_zero)


def test_cosines_of_gradients():
    """Logits W x for unit inputs x: gradients are (p - y) x^T, so cosines are the product of both factors' cosines."""
    inputs, weights = np.float32(np.random.default_rng(0).normal(size=(2, 4, 3)))

    def objective(params, item):
        return optax.softmax_cross_entropy_with_integer_labels(params @ jnp.asarray(inputs)[item], item)

    def cosines(rows):
        unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        return unit @ unit.T

    errors = scipy.special.softmax(inputs @ weights.T, axis=-1) - np.eye(4)
    expected = cosines(errors) * cosines(inputs)
    token_cosines = compiled(functools.partial(diagnose.token_cosines, objective))
    found = token_cosines(weights, np.arange(4))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    off = expected[~np.eye(4, dtype=bool)]
    np.testing.assert_allclose(compiled(diagnose.mean_cosine)(found), off.mean(), atol=1e-5)
    # Gradients of 1e-30, whose squares are 0 in float32, have directions all the same.
    tiny_objective = lambda params, item: 1e-30 * objective(params, item)  # noqa: E731
    tiny = compiled(functools.partial(diagnose.token_cosines, tiny_objective))(weights, np.arange(4))
    np.testing.assert_allclose(tiny, expected, atol=1e-5)


def test_slices_of_a_quadratic():
    matrix = np.float32([[2.0, 0.5], [0.5, 1.0]])
    middle, along, across = np.float32([[1.0, -1.0], [0.3, 0.7], [-0.2, 0.4]])

    def loss(w):
        return 0.5 * w @ matrix @ w

    line, plane = compiled(
        lambda w: (
            diagnose.slice_1d(loss, w, along, radius=2.0, points=5),
            diagnose.slice_2d(loss, w, (along, across), radius=1.0, points=3),
        )
    )(middle)
    np.testing.assert_allclose(line.steps, [-2, -1, 0, 1, 2])
    np.testing.assert_allclose(line.losses, [loss(middle + a * along) for a in line.steps], rtol=1e-5)
    # Second differences of a quadratic are its curvature along the line.
    np.testing.assert_allclose(np.diff(line.losses, 2), float(along @ matrix @ along), rtol=1e-4)
    assert plane.losses.shape == (3, 3)
    np.testing.assert_allclose(plane.losses[2, 0], loss(middle + along - across), rtol=1e-5)


def test_directions_have_the_lengths_of_the_filters():
    params = {"embedding": np.arange(1.0, 7.0).reshape(3, 2), "kernel": np.full((4, 5), 2.0), "bias": np.ones(5)}
    params = jax.tree.map(np.float32, params)
    direction = compiled(diagnose.filter_normalised)(KEY, params)
    rows = np.linalg.norm(params["embedding"], axis=1)
    np.testing.assert_allclose(np.linalg.norm(direction["embedding"], axis=1), rows, rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(direction["kernel"], axis=0), 4.0, rtol=1e-5)
    assert not direction["bias"].any()


SENTENCES = {
    "ids below 4": (lambda: diagnose.dominant_share(np.array([0, 4]), 4), "predicted: expected integers"),
    "ids that are numbers": (lambda: diagnose.dominant_share(np.float32([0.5]), 4), "predicted: expected integers"),
    "no id": (lambda: diagnose.prediction_entropy(np.zeros(0, int), 4), "predicted: expected integers"),
    "a mask": (lambda: diagnose.dominant_share(np.array([0, 1]), 4, mask=np.ones(3, bool)), "mask: expected"),
    "negative counts": (lambda: diagnose.unigram_entropy([1, -1]), "frequencies: expected numbers"),
    "no count": (lambda: diagnose.frequency_baseline([0, 0]), "frequencies: expected numbers"),
    "other words": (lambda: diagnose.accuracy(np.arange(3), [1, 1]), "predicted: expected integers"),
    "fewer words": (lambda: diagnose.accuracy(np.arange(2), [1, 1, 1]), "predicted: expected one word for each"),
    "unknown ids": (lambda: diagnose.accuracy(np.arange(2), [1, 1], [5]), "validation: expected integers"),
    "a matrix": (
        lambda: diagnose.stochastic_information(np.ones((3, 2), np.float32), key=KEY),
        "probabilities: expected",
    ),
    "one sample": (
        lambda: diagnose.stochastic_information(np.ones((3, 2, 1), np.float32), key=KEY, samples=1),
        "samples: expected",
    ),
    "no noise": (lambda: diagnose.gaussian_information(np.ones((3, 2), np.float32), 0.0, key=KEY), "sigma: expected"),
    "whole values": (lambda: diagnose.gaussian_information(np.ones((3, 2), int), 1.0, key=KEY), "values: expected"),
    "real indices": (
        lambda: diagnose.deterministic_information(np.ones((3, 2), np.float32)),
        "indices: expected integers",
    ),
    "a vector": (lambda: diagnose.variance_split(np.ones(3, np.float32)), "patterns: expected"),
    "one logit": (lambda: diagnose.input_share(np.ones(3, np.float32)), "logits: expected"),
    "another tree": (
        lambda: diagnose.layer_flow({"a": np.ones(2, np.float32)}, {"b": np.ones(2, np.float32)}),
        "gradients: expected",
    ),
    "one direction": (
        lambda: diagnose.slice_2d(jnp.sum, np.ones(2, np.float32), np.ones(2, np.float32)),
        "directions: expected a pair",
    ),
    "another shape": (
        lambda: diagnose.slice_1d(jnp.sum, np.ones(2, np.float32), np.ones(3, np.float32)),
        "direction: expected leaves",
    ),
    "one point": (
        lambda: diagnose.slice_1d(jnp.sum, np.ones(2, np.float32), np.ones(2, np.float32), points=1),
        "points: expected",
    ),
    "no record": (lambda: diagnose.loss_signature([], 5), "history: expected at least one finite loss"),
    "no number": (lambda: diagnose.falling_share([np.nan]), "history: expected at least one finite loss"),
    "a table": (lambda: diagnose.falling_share([[1.0]]), "history: expected losses"),
    "other counts": (lambda: diagnose.loss_levels(5, [1, 2]), "frequencies: expected one for each"),
}


@pytest.mark.parametrize("name", SENTENCES)
def test_one_sentence(name):
    call, start = SENTENCES[name]
    with pytest.raises(ValueError, match=start) as raised:
        call()
    assert ", got " in str(raised.value)
    assert "\n" not in str(raised.value)
