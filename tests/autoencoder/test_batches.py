"""Words are drawn as often as they should be, and a curriculum adds them in order."""

import jax.numpy as jnp
import numpy as np
import pytest
from compiled import compiled
from constant_keys import constant_key

import tokdyn as td
from tokdyn.autoencoder import word_draws

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
