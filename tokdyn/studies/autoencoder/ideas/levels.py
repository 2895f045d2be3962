"""Characters, subwords, words: at which level should patterns be composed so that new words have readable ones?"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray

from tokdyn import autoencoder as ae
from tokdyn.claims import REPAIRED
from tokdyn.data import subwords
from tokdyn.numerics import share
from tokdyn.studies.autoencoder.ideas.common import Reader, Row, Run, trained
from tokdyn.studies.rules import AtLeast, Estimate, Judgement, Rises, mean
from tokdyn.train import fit

PART = "levels"
STEMS, ENDINGS, STEPS, RATE = 16, 6, 300, 3e-3
MERGES = (40,)
ABOUT = (
    f"{STEMS} generated stems with {ENDINGS} endings each: {STEMS * ENDINGS} words, of which every fourth combination "
    "is never trained on, though its stem and its ending are. One encoder (a vector for each piece, convolutions over "
    "the pieces, a pattern of 5 x 5 x 3, the strongest colour of each cell) reads words as characters, as byte pairs "
    "after 40 merges learned from the training words, as their true morphemes, or whole; the decoder reads stem and "
    f"ending. {STEPS} steps on all training words, rate 3e-3; half as many seeds as elsewhere."
)
TRAINED, UNSEEN = "trained words right", "unseen words right"
SHOWN = UNSEEN
CHARACTERS, MORPHEMES, WHOLE = "characters", "true morphemes", "whole words"
SUBWORDS = f"byte pairs, {MERGES[-1]} merges"
LEVELS = (CHARACTERS, *(f"byte pairs, {merges} merges" for merges in MERGES), MORPHEMES, WHOLE)
ROWS = tuple((level, what) for level in LEVELS for what in (TRAINED, UNSEEN))


@functools.cache
def world() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Spellings at every level `[levels, words, longest]`, parts of the words `[words, 2]`, which are trained on."""
    stems, endings = subwords.morphemes(STEMS, ENDINGS)
    parts = np.stack(np.meshgrid(np.arange(STEMS), np.arange(ENDINGS), indexing="ij"), -1).reshape(-1, 2)
    known = parts.sum(axis=1) % 4 != 0
    pairs = [(stems[stem], endings[ending]) for stem, ending in parts]
    words = [stem + ending for stem, ending in pairs]
    merges = subwords.byte_pairs([word for word, there in zip(words, known, strict=True) if there], max(MERGES))
    cuts: list[list[tuple[str, ...]]] = [
        [tuple(word) for word in words],
        *[[subwords.pieces_of(word, merges[:number]) for word in words] for number in MERGES],
        [tuple(pair) for pair in pairs],
        [(word,) for word in words],
    ]
    longest = max(map(len, words))
    tables = [subwords.numbered(cut) for cut in cuts]
    return np.stack([np.pad(table, ((0, 0), (0, longest - table.shape[1]))) for table in tables]), parts, known


def _evaluate(numbers: dict[str, Any], key: jax.Array) -> dict[str, jax.Array]:
    spellings, parts, known = world()
    model = ae.autoencoder(
        ae.encoders.characters(
            spellings=jnp.asarray(spellings)[numbers["level"].astype(jnp.int32)], cells=25, channels=3,
            num_characters=int(spellings.max()) + 1, width=32,
        ),
        ae.bottlenecks.straight_through(),
        ae.decoders.composed(parts=parts, width=32),
    )  # fmt: skip
    ids = jnp.arange(len(parts))
    result = fit(
        model, ae.losses.objective(), jnp.asarray(np.flatnonzero(known)), key=key, num_steps=STEPS,
        hyper={"learning_rate": RATE},
    )  # fmt: skip
    right = jnp.argmax(model.apply(result.variables, ids)[0].logits, axis=-1) == ids
    return {TRAINED: share(right[known]), UNSEEN: share(right[~known])}


def measure(run: Run) -> list[Row]:
    """Every level, in one program; half of ``run.seeds``, at least two: these trainings are long."""
    run = run._replace(seeds=max(2, run.seeds // 2))
    found = trained(_evaluate, {name: {"level": float(i)} for i, name in enumerate(LEVELS)}, run, PART)
    chance = 1 / (STEMS * ENDINGS)
    return [Row(name, what, of[what], chance, 1.0) for name, of in found.items() for what in (TRAINED, UNSEEN)]


_READ = Reader(PART)


def _beside_characters(of: xarray.Dataset) -> Estimate:
    return mean(_READ.seeds(of, SUBWORDS, UNSEEN) - _READ.seeds(of, CHARACTERS, UNSEEN))


def claims() -> Iterator[Judgement]:
    """The notebook proposed patterns at three levels."""
    yield Judgement(
        "diffusion_lm.subword_patterns", Rises(0.05), _READ.more(SUBWORDS, WHOLE, UNSEEN), REPAIRED,
        reading=(AtLeast(-0.02), _beside_characters),
        told=lambda of: ", ".join(f"{level} {_READ.percent(of, level, UNSEEN)} %" for level in LEVELS),
        note=lambda of: "unseen words whose stem and ending are known; chance 1 %; the rule reads 40 merges against "
        "whole words; read as: subwords are at least as good as characters (of trained words "
        f"{_READ.percent(of, SUBWORDS, TRAINED)} and {_READ.percent(of, CHARACTERS, TRAINED)} % are right)",
    )  # fmt: skip


def headline(of: xarray.Dataset) -> str:
    """One sentence."""
    told = ", ".join(f"{level} {_READ.percent(of, level, UNSEEN)} %" for level in LEVELS)
    return f"Words never trained on, of known stems and endings, come back where patterns are made of: {told}."
