"""Language-guided and decoupled tokenisation: does meaning help a narrow code, do two readers need two codes?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import optax
import xarray

from tokdyn import autoencoder as ae
from tokdyn import keys
from tokdyn.autoencoder import layers
from tokdyn.claims import REPAIRED
from tokdyn.dynamics.parts import part, static
from tokdyn.geometry import planted_categories
from tokdyn.numerics import share
from tokdyn.studies.autoencoder.ideas.common import WORDS, Reader, Row, Run, trained
from tokdyn.studies.rules import Estimate, Every, Judgement, Rises
from tokdyn.train import fit

PART = "guidance"
CATEGORIES, DIMENSIONS, CELLS, STEPS, RATE = 6, 24, 12, 400, 1e-2
ABOUT = (
    f"{WORDS} words in {CATEGORIES} categories of meaning, as vectors in {DIMENSIONS} dimensions; a linear map to "
    "cells of two colours, a choice in each, and readers with a hidden layer of 64 "
    f"({STEPS} steps on all words, rate 1e-2). Guided: encoder and reader are told a word's category beside the code "
    "of 4 cells, or as arbitrary a group of the same size. Decoupled: one reader names the word (generation), another "
    "its category (understanding), from the same cells or each from its own; shared codes of as many cells stand "
    "beside decoupled ones. Most: what so many cells can tell apart."
)
WORD, CATEGORY, BOTH = "share of words right", "share of categories right", "both right"
SHOWN = WORD
PLAIN, MEANING, ARBITRARY = "4 cells, no guide", "4 cells, guided by category", "4 cells, guided by arbitrary group"
SHARED, PARTED, SHARED_WIDE, PARTED_WIDE = "6 cells shared", "3 + 3 cells", "12 cells shared", "6 + 6 cells"


def _condition(word: range, category: range, *, guided: float = 0.0, arbitrary: float = 0.0) -> dict[str, float]:
    numbers = {"guided": guided, "arbitrary": arbitrary, "understood": float(len(category) > 0)}
    numbers |= {f"word_{cell}": float(cell in word) for cell in range(CELLS)}
    return numbers | {f"category_{cell}": float(cell in category) for cell in range(CELLS)}


GUIDED = {
    PLAIN: _condition(range(4), range(0)),
    MEANING: _condition(range(4), range(0), guided=1.0),
    ARBITRARY: _condition(range(4), range(0), guided=1.0, arbitrary=1.0),
}
DECOUPLED = {
    SHARED: _condition(range(6), range(6)),
    PARTED: _condition(range(3), range(3, 6)),
    SHARED_WIDE: _condition(range(12), range(12)),
    PARTED_WIDE: _condition(range(6), range(6, 12)),
}
MOST = {PLAIN: 16 / WORDS, PARTED: 8 / WORDS}  # of the words; else all
ROWS = (*((name, WORD) for name in GUIDED), *((name, what) for name in DECOUPLED for what in (WORD, CATEGORY, BOTH)))


class _Readers(layers.Module):
    @layers.compact
    def __call__(self, word: jax.Array, category: jax.Array, *, train: bool) -> tuple[jax.Array, jax.Array]:
        return layers.Mlp((64,), WORDS, 2.0**0.5)(word, train=train), layers.Mlp((64,), CATEGORIES, 2.0**0.5)(
            category, train=train
        )


@part
class TwoReaders:
    """One code, of which two readers see some cells each; the first is told a guide as well.

    Attributes:
        encoder: of words to patterns.
        guides: what the first reader is told of each word `[words, CATEGORIES]`.
        cells_of_word: how far it sees each cell `[cells]`, 0 or 1.
        cells_of_category: the same for the second.
    """

    encoder: Any
    guides: jax.Array
    cells_of_word: jax.Array
    cells_of_category: jax.Array
    words: int = static(default=WORDS)

    def init(self, key: jax.Array) -> dict[str, Any]:
        encoder = self.encoder.init(keys.for_purpose(key, "encoder"))
        width = 2 * self.encoder.cells
        seen = jnp.zeros((1, width + CATEGORIES)), jnp.zeros((1, width))
        readers = layers.initial(_Readers(), keys.for_purpose(key, "readers"), *seen)
        return {"params": {"encoder": encoder["params"], "readers": readers["params"]}, "state": encoder["state"]}

    def apply(
        self, variables: dict[str, Any], ids: jax.Array, *, key: jax.Array | None = None, train: bool = False
    ) -> tuple[tuple[jax.Array, jax.Array], Any]:
        own = {"params": variables["params"]["encoder"], "state": variables["state"]}
        pattern, state = self.encoder.apply(own, ids)
        code = ae.bottlenecks.straight_through(temperature=1.0).apply({"params": {}, "state": {}}, pattern)[0].values
        word, category = (layers.flat(code * cells[:, None]) for cells in (self.cells_of_word, self.cells_of_category))
        seen = jnp.concatenate([word, self.guides[ids]], axis=-1), category
        readers = {"params": variables["params"]["readers"], "state": {}}
        return layers.applied(_Readers(), readers, *seen, key=None, train=False)[0], state


def _evaluate(numbers: dict[str, Any], key: jax.Array) -> dict[str, jax.Array]:
    sizes = (WORDS // CATEGORIES,) * CATEGORIES
    meanings = planted_categories(keys.for_purpose(key, "meanings"), sizes=sizes, dimensions=DIMENSIONS)
    groups = jax.random.permutation(keys.for_purpose(key, "groups"), meanings.labels)
    told = jnp.where(numbers["arbitrary"] > 0, groups, meanings.labels)
    guides = numbers["guided"] * jax.nn.one_hot(told, CATEGORIES)
    model = TwoReaders(
        ae.encoders.grounded(
            vectors=jnp.concatenate([meanings.vectors, guides], axis=1), cells=CELLS, channels=2, output_gain=2.0
        ),
        guides,
        jnp.stack([numbers[f"word_{cell}"] for cell in range(CELLS)]),
        jnp.stack([numbers[f"category_{cell}"] for cell in range(CELLS)]),
    )
    ids = jnp.arange(WORDS)

    def loss(model: TwoReaders, variables: Any, batch: jax.Array, key: jax.Array) -> Any:
        (word, category), state = model.apply(variables, batch)
        named, understood = (
            optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()
            for logits, labels in ((word, batch), (category, meanings.labels[batch]))
        )
        return named + numbers["understood"] * understood, (state, {})

    result = fit(model, loss, ids, key=key, num_steps=STEPS, hyper={"learning_rate": RATE})
    word, category = (jnp.argmax(logits, axis=-1) for logits in model.apply(result.variables, ids)[0])
    right, understood = word == ids, category == meanings.labels
    return {WORD: share(right), CATEGORY: share(understood), BOTH: share(right & understood)}


def measure(run: Run) -> list[Row]:
    """Guided and decoupled codes, in one program."""
    found = trained(_evaluate, {**GUIDED, **DECOUPLED}, run, PART)
    rows = [Row(name, WORD, found[name][WORD], 1 / WORDS, MOST.get(name, 1.0)) for name in GUIDED]
    for name in DECOUPLED:
        most = MOST.get(name, 1.0)
        rows.append(Row(name, WORD, found[name][WORD], 1 / WORDS, most))
        rows.append(Row(name, CATEGORY, found[name][CATEGORY], 1 / CATEGORIES, 1.0))
        rows.append(Row(name, BOTH, found[name][BOTH], 1 / WORDS, most))
    return rows


_READ = Reader(PART)


def _shares(of: xarray.Dataset, names: tuple[str, ...], measure: str) -> str:
    return ", ".join(f"{name} {_READ.percent(of, name, measure)} %" for name in names)


def _decoupled(of: xarray.Dataset) -> list[Estimate]:
    return _READ.mores([(PARTED, SHARED), (PARTED_WIDE, SHARED_WIDE)], BOTH)(of)


def claims() -> Iterator[Judgement]:
    """What the notebook took from others' results on images, about words."""
    yield Judgement(
        "diffusion_lm.language_guided", Rises(0.05), _READ.more(MEANING, PLAIN, WORD), REPAIRED,
        reading=(Rises(0.02), _READ.more(MEANING, ARBITRARY, WORD)),
        told=lambda of: _shares(of, (PLAIN, MEANING, ARBITRARY), WORD),
        note="words right; read as: it is the guide's meaning that helps, against groups drawn at random; the "
        "published 29 to 48 % are another work's, of images",
    )  # fmt: skip
    yield Judgement(
        "diffusion_lm.decoupled_encoding", Every(Rises(0.02)), _decoupled, REPAIRED,
        told=lambda of: _shares(of, (SHARED, PARTED, SHARED_WIDE, PARTED_WIDE), BOTH),
        note="word and category both right, decoupled less shared codes of as many cells, paired by seed",
    )  # fmt: skip


def headline(of: xarray.Dataset) -> str:
    """One sentence."""
    guided = [_READ.percent(of, name, WORD) for name in (PLAIN, MEANING, ARBITRARY)]
    both = [_READ.percent(of, name, BOTH) for name in (SHARED, PARTED, SHARED_WIDE, PARTED_WIDE)]
    return (
        f"Codes of 4 cells bring {guided[0]} % of the words back, told their category {guided[1]} %, told arbitrary "
        f"groups {guided[2]} %; word and category are both read from 6 shared cells in {both[0]} %, from 3 + 3 in "
        f"{both[1]} %, from 12 shared in {both[2]} %, from 6 + 6 in {both[3]} %."
    )
