"""Words are drawn as often as they should be, and a curriculum adds them in order."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiled import compiled
from constant_keys import constant_key

import tokdyn as td
from tokdyn import autoencoder as ae
from tokdyn.autoencoder import layers, word_draws
from tokdyn.data import words

FREQUENCIES = np.array([0.0, 5.0, 1.0, 3.0, 1.0])
KEY = constant_key(0)
drawn = compiled(lambda draw, step: draw(KEY, step))


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_shares_are_powers_of_the_frequencies(power):
    draws = 40_000
    found = np.bincount(drawn(word_draws(FREQUENCIES, batch_size=draws, power=power), 0), minlength=5) / draws
    expected = np.where(FREQUENCIES > 0, np.maximum(FREQUENCIES, 1e-9) ** power, 0.0)
    expected /= expected.sum()
    assert np.all(np.abs(found - expected) <= 5 * np.sqrt(expected * (1 - expected) / draws))


def test_a_curriculum_adds_the_commonest_first():
    curriculum = word_draws(
        FREQUENCIES, batch_size=2000, share=td.annealing(start=0.25, end=1.0, num_steps=30, shape="linear")
    )
    seen = [sorted(set(drawn(curriculum, step).tolist())) for step in (0, 10, 20, 30)]
    assert seen == [[1], [1, 3], [1, 2, 3], [1, 2, 3, 4]]


def test_the_extremes_of_a_draw_are_words_of_the_text(monkeypatch):
    for value, word in ((0.0, 1), (np.nextafter(np.float32(1), 0), 4)):
        monkeypatch.setattr(
            "tokdyn.draws.uniform", lambda key, shape, dtype, value=value: jnp.full(shape, value, dtype)
        )
        draw = word_draws([0.0, *[1 / 3] * 4, 0.0], batch_size=1)
        assert compiled(lambda draw=draw: draw(KEY, 0))().tolist() == [word]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"frequencies": []}, r"frequencies: expected numbers \[vocabulary\]"),
        ({"frequencies": [0.0, 0.0]}, "frequencies: expected finite numbers of at least 0, some above"),
        ({"frequencies": [1.0, np.nan]}, "frequencies: expected finite numbers"),
        ({"batch_size": 0}, "batch_size: expected a static integer of at least 1"),
        ({"share": 0.0}, "share: expected a number above 0"),
        ({"power": -1.0}, "power: expected a number of at least 0"),
    ],
)
def test_bad_input(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        word_draws(**{"frequencies": FREQUENCIES, "batch_size": 2, **arguments})


TEXT = words.corpus(["the sun warms the stone", "a cold moon", "the moon", "stone"], ["the moon"])


def test_sentences_are_those_of_the_text():
    data = ae.sentences(TEXT)
    assert data.items.shape == data.mask.shape == (4, 5)
    assert [row[kept].tolist() for row, kept in zip(data.items, data.mask, strict=True)] == [
        ids.tolist() for ids in TEXT.train_sentences
    ]
    assert (data.items[~data.mask] == words.PAD).all()


def test_texts_without_sentences_are_refused():
    with pytest.raises(ValueError, match="train_sentences: expected a text made of sentences"):
        ae.sentences(words.zipf_corpus(5))
    with pytest.raises(ValueError, match="text: expected a Corpus"):
        ae.sentences(["the sun"])


def same_in_every_row(key, shape, dtype=None):
    """In place of noise: what is drawn for a word may not depend on how many others there are."""
    return jnp.broadcast_to(jnp.cos(jnp.arange(shape[-1], dtype=dtype)), shape)


@pytest.mark.parametrize("kind", ["vector quantizer", "extreme decoder"])
def test_words_that_only_fill_a_batch_change_nothing(kind, monkeypatch):
    """Every term, its gradient, and all that is carried on, of a masked batch and of its words alone."""
    size = TEXT.vocabulary_size
    encoder = ae.encoders.table(vocabulary_size=size, cells=4, channels=3, embedding=4, width=4)
    model = ae.autoencoder(
        encoder, ae.quantizers.vector_quantizer(num_codes=5, decay=0.5), ae.decoders.linear(vocabulary_size=size)
    )
    if kind == "extreme decoder":
        decoder = ae.decoders.extreme(vocabulary_size=size, height=2, width=4)
        model = ae.autoencoder(encoder, ae.bottlenecks.sigmoid(), decoder)
    loss = ae.losses.objective(**{name: make(size) for name, make in ae.losses.CATALOG.items()})
    variables = compiled(lambda: model.init(jax.random.key(1)))()
    monkeypatch.setattr("tokdyn.draws.normal", same_in_every_row)
    monkeypatch.setattr(layers, "dropout", lambda rate, train: lambda hidden: hidden)

    @compiled
    def learned(batch, params, state):
        def total(params):
            return loss(model, {"params": params, "state": state}, batch, KEY)

        return jax.value_and_grad(total, has_aux=True)(params)

    masked, alone = (learned(batch, **variables) for batch in (ae.sentences(TEXT), TEXT.train))
    (_, (state, terms)), gradients = alone
    assert len(terms) == len(ae.losses.CATALOG)
    # About a hundred terms of size 1 in float32, added in another order, and gradients through six layers of them.
    chex.assert_trees_all_close(masked, alone, rtol=1e-4, atol=1e-5)
    assert any(np.abs(leaf).max() > 1e-3 for leaf in jax.tree.leaves(gradients))
    carried = variables["state"]["bottleneck" if kind == "vector quantizer" else "decoder"]
    moved = state["bottleneck" if kind == "vector quantizer" else "decoder"]
    assert any(np.abs(a - b).max() > 1e-3 for a, b in zip(*map(jax.tree.leaves, (carried, moved)), strict=True))
