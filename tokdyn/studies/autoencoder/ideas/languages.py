"""Codes that two languages share: translation by them, beside an orthogonal Procrustes map of the vectors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray

from tokdyn import autoencoder as ae
from tokdyn import keys
from tokdyn.claims import REPAIRED
from tokdyn.geometry import Bilingual, planted_translations, translated
from tokdyn.studies.autoencoder.ideas.common import Reader, Row, Run, trained
from tokdyn.studies.rules import AtLeast, Estimate, Judgement, mean
from tokdyn.train import fit

PART = "languages"
MEANINGS, DIMENSIONS, HELD_OUT = 100, 16, 40
CELLS, COLOURS = 25, 3
STEPS, RATE, WEIGHT = 200, 1e-2, 10.0
ABOUT = (
    f"{MEANINGS} meanings in {DIMENSIONS} dimensions, each a word in two generated languages: the meaning, rotated, "
    f"with noise. A linear map from either language's vectors to {CELLS} cells of {COLOURS} colours, a choice in each "
    "cell, and a linear reader that names the word among those of its language; words paired in a dictionary are asked "
    f"for the same code ({STEPS} steps on all words, rate 1e-2). {HELD_OUT} meanings are in no dictionary: a word is "
    f"translated right where its code is nearest to that of its translation among all {MEANINGS} (ties share). Beside "
    "it, on the same dictionary, SciPy's orthogonal Procrustes map of the vectors, and the true rotation: what noise "
    "leaves. A shuffled dictionary pairs words at random."
)
CODES, PATTERNS, RIGHT = "translated by codes", "translated by probabilities", "words right within the language"
PROCRUSTES, TRUE = "translated by Procrustes", "translated by the true rotation"
SHOWN = CODES
NONE, SHUFFLED, MANY = "no dictionary", "40 pairs, shuffled", "40 pairs"
CONDITIONS = {
    NONE: {"pairs": 0, "shuffled": 0.0, "noise": 0.3},
    SHUFFLED: {"pairs": 40, "shuffled": 1.0, "noise": 0.3},
    "20 pairs": {"pairs": 20, "shuffled": 0.0, "noise": 0.3},
    MANY: {"pairs": 40, "shuffled": 0.0, "noise": 0.3},
    "40 pairs, noise 0.6": {"pairs": 40, "shuffled": 0.0, "noise": 0.6},
}
ORACLES = tuple(name for name in CONDITIONS if name not in (NONE, SHUFFLED))
ROWS = (
    *((name, what) for name in CONDITIONS for what in (CODES, PATTERNS, RIGHT)),
    *((name, what) for name in ORACLES for what in (PROCRUSTES, TRUE)),
)


@jax.jit
def _table(key: jax.Array, noise: float | jax.Array) -> Bilingual:
    return planted_translations(key, num_meanings=MEANINGS, dimensions=DIMENSIONS, noise=noise)


def _evaluate(numbers: dict[str, Any], key: jax.Array) -> dict[str, jax.Array]:
    table = _table(keys.for_purpose(key, "table"), numbers["noise"])
    nothing = jnp.zeros_like(table.first)
    vectors = jnp.block([[table.first, nothing], [nothing, table.second]])
    places = jnp.arange(MEANINGS)
    # The first so many are in the dictionary; shuffled, each is paired with another of them at random.
    order = jax.random.permutation(keys.for_purpose(key, "dictionary"), MEANINGS - HELD_OUT)
    wrong = jnp.where(places < MEANINGS - HELD_OUT, jnp.append(order, jnp.zeros(HELD_OUT, order.dtype)), places)
    partner = jnp.where(numbers["shuffled"] > 0, wrong, places)
    known = places < numbers["pairs"]
    partners = jnp.concatenate([jnp.where(known, MEANINGS + partner, places), MEANINGS + jnp.arange(MEANINGS)]).astype(
        jnp.int32
    )
    model = ae.autoencoder(
        ae.encoders.grounded(vectors=vectors, cells=CELLS, channels=COLOURS),
        ae.bottlenecks.straight_through(),
        ae.decoders.linear(vocabulary_size=2 * MEANINGS),
    )
    words = jnp.arange(2 * MEANINGS)
    loss = ae.losses.objective(
        words=ae.losses.within_group(words // MEANINGS), pairs=ae.losses.agreement(partners, weight=WEIGHT)
    )
    result = fit(model, loss, words, key=key, num_steps=STEPS, hyper={"learning_rate": RATE})
    output = model.apply(result.variables, words)[0]
    logits = output.logits.reshape(2, MEANINGS, 2, MEANINGS)
    own = jnp.stack([logits[0, :, 0], logits[1, :, 1]])

    def found(values: jax.Array) -> jax.Array:
        flat = values.reshape(2, MEANINGS, -1)
        return jnp.mean(translated(flat[0], flat[1])[-HELD_OUT:])

    return {
        CODES: found(output.code.values),
        PATTERNS: found(jax.nn.softmax(output.pattern)),
        RIGHT: jnp.mean(jnp.argmax(own, axis=-1) == places),
    }


def measure(run: Run) -> list[Row]:
    """Every dictionary, and what the vectors themselves allow."""
    rows = []
    for name, of in trained(_evaluate, CONDITIONS, run, PART).items():
        rows += [Row(name, what, of[what], 1 / MEANINGS, 1.0) for what in (CODES, PATTERNS, RIGHT)]
    for name in ORACLES:
        found = np.array(
            [_oracles(CONDITIONS[name], keys.for_seed(jax.random.key(run.key), s)) for s in range(run.seeds)]
        )
        rows += [Row(name, what, found[:, i], 1 / MEANINGS, 1.0) for i, what in enumerate((PROCRUSTES, TRUE))]
    return rows


def _oracles(numbers: dict[str, float], key: jax.Array) -> tuple[float, float]:
    """Share of the held-out words that SciPy's map, and the true one, translate."""
    from scipy.linalg import orthogonal_procrustes

    table = _table(keys.for_purpose(key, "table"), numbers["noise"])
    first, second = np.asarray(table.first, float), np.asarray(table.second, float)
    pairs = int(numbers["pairs"])
    true = np.asarray(table.rotations[0]).T @ np.asarray(table.rotations[1])
    maps = (orthogonal_procrustes(first[:pairs], second[:pairs])[0], true)
    procrustes, rotation = (
        np.mean(translated(jnp.asarray(first @ of), jnp.asarray(second))[-HELD_OUT:]) for of in maps
    )
    return float(procrustes), float(rotation)


_READ = Reader(PART)


def _gap(of: xarray.Dataset) -> Estimate:
    return mean(_READ.seeds(of, MANY, CODES) - _READ.seeds(of, MANY, PROCRUSTES))


def claims() -> Iterator[Judgement]:
    """The notebook named it as a direction, without a number."""
    yield Judgement(
        "diffusion_lm.cross_lingual", AtLeast(0.5), _READ.mean(MANY, CODES), REPAIRED,
        reading=(AtLeast(-0.05), _gap),
        told=lambda of: f"{_READ.percent(of, MANY, CODES)} % of the held-out words translated by codes, "
        f"{_READ.percent(of, MANY, PROCRUSTES)} % by a Procrustes map of the vectors",
        note=lambda of: f"generated languages, 40 pairs known; chance 1 %; a shuffled dictionary gives "
        f"{_READ.percent(of, SHUFFLED, CODES)} %, none {_READ.percent(of, NONE, CODES)} %, the true rotation "
        f"{_READ.percent(of, MANY, TRUE)} %; read as: codes lose at most 5 % of the words against the vectors' own map",
    )  # fmt: skip


def headline(of: xarray.Dataset) -> str:
    """One sentence."""
    shares = [_READ.percent(of, MANY, what) for what in (CODES, PROCRUSTES, TRUE)]
    return (
        f"Of words in no dictionary, codes shared by two generated languages translate {shares[0]} %, an orthogonal "
        f"map of the vectors {shares[1]} %, the true one {shares[2]} % (chance 1 %; a shuffled dictionary "
        f"{_READ.percent(of, SHUFFLED, CODES)} %)."
    )
