"""Words as sounds: two tones for every letter, and the short-time spectrum of them as the pattern."""

from __future__ import annotations

import itertools
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from tokdyn import checks
from tokdyn.autoencoder.base import Variables
from tokdyn.autoencoder.encoders import common
from tokdyn.autoencoder.encoders.characters import ALPHABET
from tokdyn.dynamics.parts import part, static

_SILENCE = 0.5  # of a tone's amplitude: what is fainter is no letter


@part
class Spectrogram:
    """See ``spectrogram``."""

    compositional: ClassVar[bool] = True
    patterns: jax.Array
    strength: jax.Array
    vocabulary_size: int = static()
    cells: int = static()
    channels: int = static()
    length: int = static()
    num_characters: int = static()
    period: int = static()

    def init(self, key: jax.Array) -> Variables:
        return {"params": {}, "state": {}}

    def apply(
        self, variables: Variables, ids: jax.Array, *, key: jax.Array | None = None, train: bool = False
    ) -> tuple[jax.Array, Any]:
        ids = common.check_ids(ids, self.vocabulary_size)
        patterns = jnp.asarray(self.patterns)
        return jnp.asarray(self.strength, patterns.dtype) * patterns[ids], variables["state"]

    def encode_spelling(self, variables: Variables, spellings: ArrayLike) -> tuple[jax.Array, Any]:
        """Any words, known or not.

        Args:
            variables: from ``init``; there is nothing in it.
            spellings: `[batch, length]`, from ``spell``.

        Returns:
            (`[batch, cells, channels]`, state).
        """
        parts = _patterns(spellings, self.num_characters, self.period)
        return jnp.asarray(self.strength, parts.dtype) * parts, variables["state"]

    def spelling_of(self, pattern: ArrayLike) -> jax.Array:
        """Patterns `[batch, cells, 2]` back to spellings `[batch, length]`: the sound, then its letters."""
        scaled = jnp.asarray(pattern) / jnp.asarray(self.strength)
        return heard(signal_of(scaled, period=self.period), num_characters=self.num_characters, period=self.period)


def spectrogram(
    *, spellings: ArrayLike, num_characters: int = 2 + len(ALPHABET), period: int = 22, strength: float = 1.0
) -> Spectrogram:
    r"""The short-time spectrum of a word that is played letter by letter, two tones each.

    A letter sounds for `P` samples with frequencies `a / P` and `b / P` of its own, the end of a word is silence; the
    pattern is `X_{kf} = \sum_t s_t w_{t - kP/2} e^{-2\pi i f t / P}` with a Hann window w, real and imaginary part in
    two channels. Windows overlap by half, so that the sound can be computed from the pattern exactly, and the spelling
    from the sound (``spelling_of``). Nothing is learned; a word that training never saw has a pattern too.

    Args:
        spellings: of the vocabulary's words `[vocabulary, length]`, from ``spell``.
        num_characters: numbers of characters are below it; by default that of ``ALPHABET``.
        period: `P`, even; two of `P / 2 - 1` frequencies make a letter.
        strength: factor of the patterns `[]`.

    Returns:
        An encoder without parameters, of `(2 length + 1)(P / 2 + 1)` cells, moment after moment, with 2 channels.

    Raises:
        ValueError: spellings of another form, a period that is odd or too short for so many characters, or a negative
            strength.

    References:
        D. W. Griffin, J. S. Lim, Signal estimation from modified short-time Fourier transform, IEEE Transactions on
        Acoustics, Speech, and Signal Processing 32, 1984.

    Example:
        >>> import jax.numpy as jnp
        >>> from tokdyn.autoencoder import encoders
        >>> encoder = encoders.spectrogram(spellings=encoders.spell(["cat", "dog"], 4))
        >>> pattern, _ = encoder.encode_spelling({"params": {}, "state": {}}, encoders.spell(["cog"], 4))
        >>> pattern.shape, bool((encoder.spelling_of(pattern) == encoders.spell(["cog"], 4)).all())
        ((1, 108, 2), True)
    """
    number = checks.whole_number("num_characters", num_characters, at_least=2)
    period = checks.whole_number("period", period, at_least=4)
    if period % 2 or len(_pairs(period)) < number - 1:
        expected = f"an even number with at least {number - 1} pairs of frequencies"
        raise checks.bad("period", expected, f"{period}, with {len(_pairs(period))}")
    spellings = common.check_ids(spellings, number)
    if spellings.ndim != 2 or 0 in spellings.shape:
        raise checks.bad("spellings", "an array [words, length]", checks.describe_array(spellings))
    length = spellings.shape[1]
    return Spectrogram(
        _patterns(spellings, number, period), **common.check_scales(strength=strength), vocabulary_size=len(spellings),
        cells=(2 * length + 1) * (period // 2 + 1), channels=2, length=length, num_characters=number, period=period,
    )  # fmt: skip


def sounds(spellings: ArrayLike, *, num_characters: int, period: int) -> jax.Array:
    """Words as sounds: spellings `[..., length]` -> samples `[..., length * period]`; 0 is silence."""
    played = jnp.asarray(_tones(num_characters, period), common.floating())[jnp.asarray(spellings)]
    return played.reshape(*played.shape[:-2], -1)


def spectrum(signal: ArrayLike, *, period: int) -> jax.Array:
    """The short-time spectrum of sounds, Hann windows of one period that overlap by half.

    Args:
        signal: samples `[batch, T]`, T a multiple of ``period``.
        period: samples of a window, even.

    Returns:
        Real and imaginary parts `[batch, moments * frequencies, 2]`, scaled so that a sinusoid of amplitude 1 has
        modulus 1.
    """
    _, _, values = jax.scipy.signal.stft(jnp.asarray(signal), nperseg=period, noverlap=period // 2)
    flat = 2.0 * jnp.swapaxes(values, -1, -2).reshape(*values.shape[:-2], -1)
    return jnp.stack([flat.real, flat.imag], axis=-1)


def signal_of(parts: ArrayLike, *, period: int) -> jax.Array:
    """The sound whose short-time spectrum is nearest: exactly the sound where there is one.

    Args:
        parts: `[batch, moments * frequencies, 2]`, as of ``spectrum``.
        period: as of ``spectrum``.

    Returns:
        Samples `[batch, T]`.
    """
    parts = jnp.asarray(parts)
    values = jax.lax.complex(parts[..., 0], parts[..., 1]) / 2.0
    values = jnp.swapaxes(values.reshape(*values.shape[:-1], -1, period // 2 + 1), -1, -2)
    return jax.scipy.signal.istft(values, nperseg=period, noverlap=period // 2)[1]


def heard(signal: ArrayLike, *, num_characters: int, period: int) -> jax.Array:
    """The letters of sounds: the two tones of each period that fit best.

    Args:
        signal: samples `[..., length * period]`.
        num_characters: of the alphabet.
        period: samples of a letter.

    Returns:
        Spellings `[..., length]` int32; 0 where it is more silent than half a letter.
    """
    signal = jnp.asarray(signal)
    tones = jnp.asarray(_tones(num_characters, period), signal.dtype)
    segments = signal.reshape(*signal.shape[:-1], -1, period)
    fits = segments @ tones.T / period  # 1 at the letter that sounds: its two tones have a mean square of 1/2 each
    return jnp.argmax(fits.at[..., 0].set(_SILENCE), axis=-1).astype(jnp.int32)


def _patterns(spellings: ArrayLike, num_characters: int, period: int) -> jax.Array:
    return spectrum(sounds(spellings, num_characters=num_characters, period=period), period=period)


def _pairs(period: int) -> list[tuple[int, int]]:
    """Pairs of whole frequencies, neither constant nor the fastest, whose sine would vanish."""
    return list(itertools.combinations(range(1, period // 2), 2))


def _tones(num_characters: int, period: int) -> np.ndarray:
    """One period of every character `[num_characters, period]`; the first is silence."""
    phase = 2 * np.pi * np.arange(period) / period
    pairs = _pairs(period)[: num_characters - 1]
    return np.stack([np.zeros(period), *(np.sin(low * phase) + np.sin(high * phase) for low, high in pairs)])
