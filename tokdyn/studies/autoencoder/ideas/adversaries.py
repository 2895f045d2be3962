"""Adversarial training, GAN-like: does it keep codes from collapsing, and what does it cost where nothing is wrong?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import xarray

from tokdyn import autoencoder as ae
from tokdyn.claims import REPAIRED
from tokdyn.studies.autoencoder.ideas.common import (
    COMMONEST,
    HEALTHY,
    LOSS,
    PUBLISHED,
    RIGHT,
    START,
    STARTS,
    WIDTH,
    WORDS,
    Reader,
    Row,
    Run,
    trained,
    words_right,
)
from tokdyn.studies.autoencoder.texts import corpus_of
from tokdyn.studies.rules import AtLeast, Estimate, InGeneral, Judgement, Rises, Some, mean

PART = "adversaries"
ABOUT = (
    "The small text (51 words), a table at 5 x 5 x 3 with sigmoid codes, layers of width 32, 200 steps of 48 tokens at "
    "a rate of 2e-3. A critic of two layers learns to tell the codes of a batch from uniform draws, and the encoder to "
    "look like them (the weight is beside that of the cross-entropy); without it, the weight is 0 and nothing else "
    "differs. It judges one code at a time: codes that all lie at one likely place fool it too. Spread: standard "
    "deviation of a code's numbers across words; 0.289 is that of the draws."
)
SHOWN = RIGHT
LITTLE, MUCH = 0.1, 1.0
SPREAD = "spread of codes across words"


def against(start: str, weight: float = LITTLE) -> str:
    """The condition with a critic."""
    return f"{start}, critic {weight:g}"


CONDITIONS = {
    **{name: {**numbers, "weight": 0.0} for name, numbers in STARTS.items()},
    **{against(name): {**numbers, "weight": LITTLE} for name, numbers in STARTS.items()},
    **{against(name, MUCH): {**STARTS[name], "weight": MUCH} for name in (PUBLISHED, HEALTHY)},
}
ROWS = tuple((name, what) for name in CONDITIONS for what in (RIGHT, COMMONEST, SPREAD))


def _evaluate(numbers: dict[str, Any], key: jax.Array) -> dict[str, jax.Array]:
    text = corpus_of("small")
    scales = {name: numbers[name] for name in ("embedding_std", "hidden_gain", "output_std", "output_bias")}
    size = text.vocabulary_size
    model = ae.autoencoder(
        ae.encoders.table(vocabulary_size=size, cells=25, channels=3, embedding=WIDTH, width=WIDTH, **scales),
        ae.bottlenecks.sigmoid(),
        ae.decoders.dense(vocabulary_size=size, width=WIDTH, gain=numbers["decoder_gain"]),
    )
    loss = ae.losses.objective(
        words=ae.losses.cross_entropy(double_softmax=numbers["double_softmax"]),
        critic=ae.losses.against_critic(weight=numbers["weight"]),
    )
    result, found = words_right(ae.critics.judged(model, width=WIDTH), loss, key)
    code = model.apply(result.variables, jnp.asarray(text.types))[0].code
    return found | {SPREAD: jnp.mean(jnp.std(code.values, axis=0))}


def measure(run: Run) -> list[Row]:
    """Every fault, with and without a critic."""
    rows = []
    for name, of in trained(_evaluate, CONDITIONS, run, PART).items():
        rows.append(Row(name, RIGHT, of[RIGHT], 1 / WORDS, 1.0))
        rows.append(Row(name, COMMONEST, of[COMMONEST], 1.0, 1 / WORDS))
        rows.append(Row(name, SPREAD, of[SPREAD], 0.0))
    return rows


_READ = Reader(PART)


def claims() -> Iterator[Judgement]:
    """The notebook proposed it against collapse, and did not try it."""
    faults = (PUBLISHED, LOSS, START)
    yield Judgement(
        "diffusion_lm.adversarial_training", Some(AtLeast(0.5)), _as_published, REPAIRED,
        reading=(InGeneral(Rises(0.02)), _READ.mores([(against(one), one) for one in faults], RIGHT)),
        told=lambda of: f"as published {_shares(of, PUBLISHED)}, repaired {_shares(of, HEALTHY)} of the words without "
        f"a critic and at weights {LITTLE:g} and {MUCH:g}",
        note=lambda of: "51 words; codes against uniform draws; the rule reads the words that come back under the "
        "published faults at either weight; read as: it helps under each fault and both, paired by seed; the codes' "
        f"spread across words falls from {_READ.seeds(of, PUBLISHED, SPREAD).mean():.3f} to "
        f"{_READ.seeds(of, against(PUBLISHED), SPREAD).mean():.3f} at {LITTLE:g} as published",
    )  # fmt: skip


def _as_published(of: xarray.Dataset) -> list[Estimate]:
    return [mean(_READ.seeds(of, against(PUBLISHED, weight), RIGHT), together=2) for weight in (LITTLE, MUCH)]


def _shares(of: xarray.Dataset, start: str) -> str:
    names = (start, against(start), against(start, MUCH))
    return ", ".join(_READ.percent(of, name, RIGHT) for name in names) + " %"


def headline(of: xarray.Dataset) -> str:
    """One sentence."""
    return (
        f"Codes trained against a critic (GAN), at weights 0, {LITTLE:g} and {MUCH:g}, bring back "
        f"{_shares(of, PUBLISHED)} of the words as published and {_shares(of, HEALTHY)} where nothing is wrong."
    )
