"""Codes through a noisy channel, against what is known of them in closed form."""

import functools

import jax
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import binom, norm

from tokdyn import geometry


@functools.cache
def key():
    return jax.random.key(0)


DRAWS = 400


@functools.partial(jax.jit, static_argnames=("channel", "num_draws"))
def recovered(key, codes, noise, meanings=None, *, channel="gaussian", num_draws=DRAWS):
    return geometry.recovery(key, codes, noise=noise, meanings=meanings, channel=channel, num_draws=num_draws)


def test_orthogonal_codes_by_their_integral():
    """Of N orthogonal codes of energy E: the right one's score is above N - 1 independent others."""
    count, energy = 8, 9.0
    codes = (np.sqrt(energy) * np.eye(count)).astype(np.float32)
    for noise in (1.0, 2.0):
        known = quad(lambda x: norm.pdf(x) * norm.cdf(x + np.sqrt(energy) / noise) ** (count - 1), -9, 9)[0]  # noqa: B023
        found = recovered(key(), codes, noise)
        assert abs(float(found.exact) - known) < 4 * np.sqrt(known * (1 - known) / (DRAWS * count))
        pair = norm.cdf(-np.sqrt(2 * energy) / (2 * noise))
        assert float(found.at_least) == pytest.approx(1 - min(1, (count - 1) * pair), abs=1e-5)
        assert float(found.at_most) == pytest.approx(1 - pair, abs=1e-5)
        assert float(found.at_least) <= known <= float(found.at_most)


def test_two_codes_of_bits_by_the_binomial():
    """They differ in four bits: an error for three flips or more, half of one for two."""
    codes = np.array([[1, 1, 1, 1, -1], [-1, -1, -1, -1, -1]], np.float32)
    for flips in (0.1, 0.4):
        wrong = binom.sf(2, 4, flips) + binom.pmf(2, 4, flips) / 2
        found = recovered(key(), codes, flips, channel="flips")
        assert float(found.at_most) == pytest.approx(1 - wrong, abs=1e-5)
        assert float(found.at_least) == pytest.approx(1 - wrong, abs=1e-5)
        assert abs(float(found.exact) - 1 + wrong) < 4 * np.sqrt(wrong * (1 - wrong) / (2 * DRAWS))


def test_without_noise_everything_comes_back_and_nothing_is_said_of_errors():
    codes = np.random.default_rng(0).normal(size=(8, 8)).astype(np.float32)
    found = recovered(key(), codes, 0.0)
    assert float(found.exact) == float(found.at_least) == 1
    assert np.isnan(float(found.closeness))
    assert np.isnan(float(found.rank))


def test_errors_are_judged_by_meaning():
    """Codes in a row, meanings in a circle that starts elsewhere: errors are neighbours in the row."""
    count = 8
    turned = np.arange(count) * 3 % count
    angle = 2 * np.pi * turned / count
    codes = np.pad(np.arange(count, dtype=np.float32)[:, None] * 4, ((0, 0), (0, 7)))
    meanings = np.stack([np.cos(angle), np.sin(angle), *np.zeros((6, count))], axis=1).astype(np.float32)
    found = recovered(key(), codes, 1.2, meanings)
    # Three places on in the circle, whichever neighbour: their cosine, and ranks 4 and 5 of the seven others.
    assert float(found.closeness) == pytest.approx(np.cos(3 * 2 * np.pi / count), abs=0.02)
    assert float(found.rank) == pytest.approx(4.5 / 6, abs=0.03)
    assert float(found.closeness_by_chance) == pytest.approx(-1 / (count - 1), abs=1e-5)
    assert float(found.closeness_at_most) == pytest.approx(np.cos(2 * np.pi / count), abs=1e-5)


def test_whitening_is_a_dial_of_the_spectrum():
    draw = np.random.default_rng(1)
    vectors = (draw.normal(size=(40, 6)) * [9, 7, 5, 3, 2, 1] + 3).astype(np.float32)
    centred = vectors - vectors.mean(axis=0)
    sizes = np.linalg.svd(centred, compute_uv=False)
    dial = jax.jit(geometry.whitened)
    np.testing.assert_allclose(dial(vectors, 0.0), centred, atol=1e-4)
    for exponent in (0.3, 1.0):
        made = np.asarray(dial(vectors, exponent))
        wanted = sizes ** (1 - exponent)
        np.testing.assert_allclose(
            np.linalg.svd(made, compute_uv=False), wanted * np.sqrt(np.sum(sizes**2) / np.sum(wanted**2)), rtol=1e-4
        )
    # A direction that nothing has stays empty, at any exponent.
    flat = np.concatenate([vectors, np.zeros((40, 1), np.float32)], axis=1)
    assert np.abs(np.asarray(jax.jit(geometry.whitened)(flat, 1.0))[:, -1]).max() < 1e-5


@functools.partial(jax.jit, static_argnames=("numbers", "bits"))
def coded(key, vectors, *, numbers, bits=False):
    return geometry.equal_codes(key, vectors, numbers=numbers, bits=bits)


def test_codes_keep_angles_and_have_one_energy():
    vectors = np.random.default_rng(2).normal(size=(30, 6)).astype(np.float32)
    centred = vectors - vectors.mean(axis=0)
    unit = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    for numbers in (6, 50):
        codes = np.asarray(coded(key(), vectors, numbers=numbers))
        np.testing.assert_allclose(codes @ codes.T / numbers, unit @ unit.T, atol=1e-4)
    assert np.linalg.norm(np.asarray(coded(key(), vectors, numbers=3)), axis=1) == pytest.approx(np.sqrt(3), rel=1e-4)
    # Of bits a share differs that is the angle over pi; a standard deviation is at most a half over the root of D.
    bits = np.asarray(coded(key(), vectors, numbers=4000, bits=True))
    differ = (1 - bits @ bits.T / 4000) / 2
    np.testing.assert_allclose(differ, np.arccos(np.clip(unit @ unit.T, -1, 1)) / np.pi, atol=4.5 * 0.5 / 4000**0.5)


GOOD = np.random.default_rng(3).normal(size=(4, 3)).astype(np.float32)
BAD = {"nan": np.where(np.eye(4, 3) > 0, np.nan, GOOD).astype(np.float32), "same": np.ones((4, 3), np.float32)}


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: geometry.recovery(key(), GOOD[:1], noise=1.0), "codes: expected two or more rows"),
        (lambda: geometry.recovery(key(), BAD["nan"], noise=1.0), "codes: expected finite numbers"),
        (lambda: geometry.recovery(key(), GOOD, noise=-1.0), "noise: expected a number of at least 0"),
        (lambda: geometry.recovery(key(), GOOD, noise=1.0, meanings=GOOD[:2]), "meanings: expected 4 rows"),
        (
            lambda: geometry.recovery(key(), GOOD, noise=1.0, meanings=np.eye(4, 3, dtype=np.float32)),
            "meanings: expected vectors that have a direction, got a zero vector",
        ),
        (lambda: geometry.recovery(key(), GOOD, noise=0.1, channel="flips"), "codes: expected bits"),
        (
            lambda: geometry.recovery(key(), np.sign(GOOD), noise=0.6, channel="flips"),
            "noise: expected a probability of at most 0.5",
        ),
        (lambda: geometry.recovery(key(), GOOD, noise=0.6, channel="wire"), "channel: expected one of"),
        (lambda: geometry.whitened(BAD["same"], 0.5), "vectors: expected different rows, got duplicates of one"),
        (lambda: geometry.whitened(GOOD, 1.5), "exponent: expected a number from 0 to 1, got 1.5"),
        (lambda: geometry.equal_codes(key(), BAD["same"], numbers=3), "vectors: expected different rows"),
        (lambda: geometry.equal_codes(key(), GOOD, numbers=0), "numbers: expected a static integer of at least 1"),
    ],
)
def test_bad_input(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()


@pytest.mark.parametrize("unit", [1e-20, 1.0, 1e18])
def test_any_unit_is_as_good(unit):
    """Squares of such vectors vanish or overflow in single precision."""
    rows = np.random.default_rng(4).normal(size=(12, 5))
    turned = np.asarray(geometry.whitened((rows * unit).astype(np.float32), 0.5), np.float64) / unit
    left, sizes, right = np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)
    dialled = np.sqrt(sizes) * np.sqrt(np.sum(sizes**2) / np.sum(sizes))
    np.testing.assert_allclose(turned, (left * dialled) @ right, atol=2e-5)


def test_vectors_in_half_precision():
    rows = np.random.default_rng(5).normal(size=(12, 5)).astype(np.float16)
    np.testing.assert_array_equal(geometry.whitened(rows, 1.0), geometry.whitened(rows.astype(np.float32), 1.0))


def test_vectors_without_a_direction():
    with pytest.raises(ValueError, match="vectors: expected rows that differ from their mean"):
        geometry.equal_codes(key(), np.array([[1.0], [0.0], [-1.0]]), numbers=4)
    with pytest.raises(ValueError, match="codes: expected vectors that have a direction"):
        geometry.recovery(key(), np.array([[1.0, 0.0], [0.0, 0.0]]), noise=0.1)
