"""Two languages with the same meanings, and losses that pair their words."""

import jax
import numpy as np
import pytest
from compiled import compiled
from constant_keys import constant_key
from scipy.linalg import orthogonal_procrustes
from scipy.special import log_softmax, softmax

from tokdyn import autoencoder as ae
from tokdyn import geometry
from tokdyn.autoencoder import losses

made = compiled(
    lambda noise: geometry.planted_translations(constant_key(0), num_meanings=300, dimensions=6, noise=noise)
)


@pytest.fixture(scope="module")
def exact():
    return made(np.float32(0.0))


def test_rotations_are_orthogonal_and_unlike(exact):
    for of in exact.rotations:
        np.testing.assert_allclose(of @ of.T, np.eye(6), atol=1e-5)
    assert np.abs(exact.rotations[0] - exact.rotations[1]).max() > 0.3


def test_without_noise_procrustes_finds_the_map_and_every_translation(exact):
    found, _ = orthogonal_procrustes(exact.first[:10], exact.second[:10])
    np.testing.assert_allclose(found, exact.rotations[0].T @ exact.rotations[1], atol=1e-4)
    assert (compiled(geometry.translated)(exact.first @ found.astype(np.float32), exact.second) == 1).all()


def test_noise_has_the_size_that_is_asked_for(exact):
    """3,600 normal numbers: five standard errors of their standard deviation."""
    noisy = made(np.float32(0.5))
    gaps = np.concatenate([noisy.first - exact.first, noisy.second - exact.second])
    assert abs(gaps.std() / 0.5 - 1) < 5 / np.sqrt(2 * gaps.size)


def test_losses_of_pairs_are_their_formulas():
    words, partners, groups = np.arange(4), np.array([2, 1, 0, 3]), np.array([0, 0, 1, 1])
    model = ae.autoencoder(
        ae.encoders.table(vocabulary_size=4, cells=3, channels=2, embedding=4, width=4),
        ae.bottlenecks.straight_through(),
        ae.decoders.linear(vocabulary_size=4),
    )

    @compiled
    def terms(key):
        variables = model.init(key)
        loss = losses.objective(pairs=losses.agreement(partners, weight=2.0), words=losses.within_group(groups))
        output = model.apply(variables, words)[0]
        return loss(model, variables, words, key)[1][1], output.pattern, output.logits

    found, pattern, logits = terms(constant_key(1))
    chosen = softmax(pattern, axis=-1)
    np.testing.assert_allclose(
        found["pairs"], 2 * np.mean(np.sum((chosen - chosen[partners]) ** 2, axis=-1)), rtol=1e-4
    )
    own = [log_softmax(logits[i][groups == groups[i]])[np.flatnonzero(groups == groups[i]) == i] for i in words]
    np.testing.assert_allclose(found["words"], -np.mean(own), rtol=1e-4)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: geometry.planted_translations(constant_key(0), num_meanings=0, dimensions=2), "num_meanings"),
        (lambda: geometry.planted_translations(constant_key(0), num_meanings=2, dimensions=2, noise=-1.0), "noise"),
        (lambda: geometry.translated(np.ones((3, 2)), np.ones((2, 2))), "second: expected at least 3 words"),
        (lambda: losses.agreement(np.ones(3)), "partners: expected whole numbers"),
        (lambda: losses.within_group([[1]]), "groups: expected whole numbers"),
        (lambda: losses.agreement([0], weight=-1.0), "weight"),
    ],
)
def test_bad_input(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        jax.eval_shape(make)
