"""Patterns made as sound: the notebook's "audio spectrogram analogy"."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
import xarray

from tokdyn import autoencoder as ae
from tokdyn import draws, keys
from tokdyn.claims import REPAIRED
from tokdyn.numerics import share
from tokdyn.studies.autoencoder.ideas import adversaries, common
from tokdyn.studies.autoencoder.ideas.common import (
    COMMONEST,
    HEALTHY,
    PUBLISHED,
    RIGHT,
    WIDTH,
    WORDS,
    Reader,
    Row,
    Run,
    trained,
    words_right,
)
from tokdyn.studies.autoencoder.texts import corpus_of
from tokdyn.studies.rules import AtLeast, Equals, Estimate, Judgement, mean

PART = "spectrograms"
ABOUT = (
    "The small text (51 words), dense decoder of width 32, 200 steps of 48 tokens at a rate of 2e-3: the "
    "short-time spectrum of the spelled word, two tones a letter, is the pattern and never trained; a trained table is "
    "among the adversaries below. As published: a softmax applied twice and the decoder's published start. From noisy "
    "patterns of random words that nobody trained on, the sound is computed back and its letters are heard."
)
SHOWN = RIGHT
SOUND = "spectrogram"
NOISES = (0.0, 0.5, 1.0, 2.0)
UNSEEN, LENGTH = 100, 6
LETTERS = "letters of unseen words heard"
STARTS = {name: common.STARTS[name] for name in (PUBLISHED, HEALTHY)}
ROWS = (
    *((f"{SOUND}, {start}", what) for start in STARTS for what in (RIGHT, COMMONEST)),
    *((f"{SOUND}, noise {noise:g}", LETTERS) for noise in NOISES),
)


def _evaluate(numbers: dict[str, Any], key: jax.Array) -> dict[str, jax.Array]:
    """One training; and letters of random words from their noisy patterns, by noise."""
    text = corpus_of("small")
    spellings = ae.encoders.spell(text.words, max(map(len, text.words)))
    decoder = ae.decoders.dense(vocabulary_size=text.vocabulary_size, width=WIDTH, gain=numbers["decoder_gain"])
    loss = ae.losses.objective(words=ae.losses.cross_entropy(double_softmax=numbers["double_softmax"]))
    model = ae.autoencoder(ae.encoders.spectrogram(spellings=spellings), ae.bottlenecks.identity(), decoder)
    found = words_right(model, loss, key)[1]
    encoder = ae.encoders.spectrogram(spellings=np.zeros((1, LENGTH), np.int32))
    unseen = jax.random.randint(keys.for_purpose(key, "words"), (UNSEEN, LENGTH), 2, encoder.num_characters)
    pattern = encoder.encode_spelling({"params": {}, "state": {}}, unseen)[0]
    noise = draws.normal(keys.for_purpose(key, "noise"), pattern.shape, pattern.dtype)
    return found | {
        f"heard at {level:g}": share(encoder.spelling_of(pattern + level * noise) == unseen) for level in NOISES
    }


def measure(run: Run) -> list[Row]:
    """Both starts; letters from noisy patterns."""
    rows, found = [], trained(_evaluate, STARTS, run, PART)
    for start, of in found.items():
        rows.append(Row(f"{SOUND}, {start}", RIGHT, of[RIGHT], 1 / WORDS, 1.0))
        rows.append(Row(f"{SOUND}, {start}", COMMONEST, of[COMMONEST], 1.0, 1 / WORDS))
    chance = 1 / (2 + len(ae.encoders.ALPHABET))
    heard = {noise: found[HEALTHY][f"heard at {noise:g}"] for noise in NOISES}
    return rows + [Row(f"{SOUND}, noise {noise:g}", LETTERS, of, chance, 1.0) for noise, of in heard.items()]


_READ, _TABLE = Reader(PART), Reader(adversaries.PART)


def _better(of: xarray.Dataset) -> Estimate:
    """Than a trained table, paired by seed."""
    return mean(_READ.seeds(of, f"{SOUND}, {HEALTHY}", RIGHT) - _TABLE.seeds(of, HEALTHY, RIGHT))


def _shares(of: xarray.Dataset, start: str) -> str:
    return f"{_READ.percent(of, f'{SOUND}, {start}', RIGHT)} % of the words, a trained table " + (
        f"{_TABLE.percent(of, start, RIGHT)} %"
    )


def claims() -> Iterator[Judgement]:
    """The notebook proposed it as an alternative, without a number."""
    yield Judgement(
        "diffusion_lm.spectrogram_patterns", Equals(0.0, 0.02), _better, REPAIRED,
        reading=(AtLeast(0.99), _READ.mean(f"{SOUND}, noise 0.5", LETTERS)), told=lambda of: _shares(of, HEALTHY),
        note=lambda of: "51 words, loss and start repaired; the rule reads the difference, paired by seed: as good as "
        "a table; read as: its inverse gives the letters of unseen words back from patterns with a noise of half a "
        f"tone ({_READ.percent(of, f'{SOUND}, noise 0', LETTERS)} % of them without any); as published "
        f"{_shares(of, PUBLISHED)}",
    )  # fmt: skip


def headline(of: xarray.Dataset) -> str:
    """One sentence."""
    return f"Spectrograms of the spelled word bring back {_shares(of, HEALTHY)}; as published {_shares(of, PUBLISHED)}."
