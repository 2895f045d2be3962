"""Words as sounds: an exact transform, letters that come back, also of words never seen."""

import numpy as np
import pytest
import scipy.signal
from compiled import compiled

from tokdyn.autoencoder import encoders
from tokdyn.autoencoder.encoders.spectrogram import _tones, signal_of, spectrum

LENGTH, PERIOD = 6, 22
WORDS = encoders.spell(["cat", "dog", "bird9", "it's"], LENGTH)
CHARACTERS = 2 + len(encoders.ALPHABET)
CELLS = (2 * LENGTH + 1) * (PERIOD // 2 + 1)
EMPTY = {"params": {}, "state": {}}
SIGNAL = np.random.default_rng(0).normal(size=(3, LENGTH * PERIOD)).astype(np.float32)


@compiled
def everything(signal, spellings, noise):
    encoder = encoders.spectrogram(spellings=WORDS)
    parts, pattern = spectrum(signal, period=PERIOD), encoder.encode_spelling(EMPTY, spellings)[0]
    known, spelled = encoder.apply(EMPTY, np.array([[2, 0]]))[0], encoder.encode_spelling(EMPTY, WORDS[[2, 0]])[0]
    backs = [encoder.spelling_of(pattern + factor * noise) for factor in (0.0, 1.0)]
    return parts, signal_of(parts, period=PERIOD), pattern, backs, known, spelled


def random_spellings(number):
    generator = np.random.default_rng(1)
    spellings = generator.integers(1, CHARACTERS, (number, LENGTH)).astype(np.int32)
    return np.where(np.arange(LENGTH) < generator.integers(1, LENGTH + 1, (number, 1)), spellings, 0)


@pytest.fixture(scope="module")
def made():
    noise = 3.0 * np.random.default_rng(2).normal(size=(50, CELLS, 2))
    return everything(SIGNAL, random_spellings(50), noise.astype(np.float32))


def test_it_is_scipy_s_transform(made):
    _, _, theirs = scipy.signal.stft(SIGNAL, nperseg=PERIOD, noverlap=PERIOD // 2)
    ours = (made[0][..., 0] + 1j * made[0][..., 1]).reshape(3, -1, PERIOD // 2 + 1).swapaxes(1, 2)
    np.testing.assert_allclose(ours, 2 * theirs, atol=1e-5)


def test_any_signal_comes_back_exactly(made):
    np.testing.assert_allclose(made[1], SIGNAL, atol=1e-5)


def test_every_spelling_comes_back_of_words_never_seen(made):
    assert made[2].shape == (50, CELLS, 2)
    assert np.array_equal(made[3][0], random_spellings(50))


def test_noise_destroys_letters_at_last(made):
    assert (made[3][1] == random_spellings(50)).mean() < 0.5


def test_known_words_have_the_pattern_of_their_spelling(made):
    np.testing.assert_allclose(made[4][0], made[5], atol=1e-6)


def test_letters_have_one_energy_and_share_at_most_one_tone():
    tones = _tones(CHARACTERS, PERIOD)[1:]
    gram = tones @ tones.T / PERIOD
    np.testing.assert_allclose(np.diag(gram), 1.0, atol=1e-12)
    assert set(np.unique(np.round(gram - np.eye(len(gram)), 12))) == {0.0, 0.5}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"period": 21}, "period: expected an even number with at least 42 pairs"),
        ({"period": 10}, "period: expected an even number with at least 42 pairs"),
        ({"spellings": np.zeros(3, np.int32)}, "spellings: expected an array"),
        ({"spellings": np.full((2, 2), 99)}, "expected whole numbers from 0 to 42"),
        ({"strength": -1.0}, "strength"),
    ],
)
def test_bad_input(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        encoders.spectrogram(**{"spellings": WORDS} | options)
