import numpy as np
import pytest

from tokdyn.data import glyphs

MONO = ("DejaVuSansMono", "DejaVuSansMono-Bold")


@pytest.mark.parametrize("font", MONO)
@pytest.mark.parametrize("height", [8, 16, 31])
def test_fixed_advance_makes_a_word_of_its_letters(font, height):
    both, first, second = (glyphs.render([word], height=height, font=font)[0] for word in ("ab", "a", "b"))
    assert np.array_equal(both, np.concatenate([first, second], axis=1))
    assert first.shape == second.shape == (height, glyphs.advance(height, font))


def test_anagrams_have_the_same_cells_in_another_order():
    cell = glyphs.advance(16)
    pictures = glyphs.render(["stop", "post"], font="DejaVuSansMono")
    stop, post = (np.split(picture, 4, axis=1) for picture in pictures)
    assert stop[0].shape == (16, cell)
    assert all(np.array_equal(stop[place], post["post".index(letter)]) for place, letter in enumerate("stop"))
    assert not np.array_equal(*pictures)


@pytest.mark.parametrize("font", glyphs.FONTS)
def test_pictures_are_ink_between_0_and_1_on_any_width(font):
    pictures = glyphs.render(["Ågj", "", "word"], height=16, width=60, font=font)
    assert pictures.shape == (3, 16, 60)
    assert pictures.dtype == np.float32
    assert pictures.min() == 0.0
    assert 0.9 < pictures.max() <= 1.0
    assert pictures[1].max() == 0.0, "the empty word is blank"
    alone = glyphs.render(["word"], height=16, font=font)[0]
    assert np.array_equal(pictures[2][:, : alone.shape[1]], alone)
    assert pictures[2][:, alone.shape[1] :].max(initial=0.0) == 0.0, "nothing was cut off"


def test_letters_are_as_large_as_fits():
    rows = [np.flatnonzero(glyphs.render(["Ågp"], height=height)[0].any(1)) for height in (16, 64)]
    assert all(found[0] >= 0 and found[-1] < height for found, height in zip(rows, (16, 64), strict=True))
    assert rows[1][-1] - rows[1][0] > 0.75 * 64


def test_distinct_words_have_distinct_pictures():
    names = ["cat", "cot", "act", "rn", "m", "ill", "lil"]
    flat = {picture.tobytes() for picture in glyphs.render(names)}
    assert len(flat) == len(names)


@pytest.mark.parametrize("font", ["DejaVuSans", "DejaVuSansMono"])
def test_a_word_that_does_not_fit_is_named(font):
    with pytest.raises(ValueError, match="words: expected words that fit into 20 pixels, got 'elephant', which needs"):
        glyphs.render(["a", "elephant"], width=20, font=font)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"words": "word"}, "words"),
        ({"words": [1]}, "words"),
        ({"words": ["two\nlines"]}, "words"),
        ({"words": ["a"], "font": "Comic"}, "font"),
        ({"words": ["a"], "height": 5}, "height"),
        ({"words": ["a"], "width": 0}, "width"),
    ],
)
def test_what_cannot_be_drawn_is_refused(arguments, name):
    with pytest.raises(ValueError, match=f"^{name}: expected"):
        glyphs.render(**arguments)


def test_only_a_fixed_advance_has_one_width():
    with pytest.raises(ValueError, match="font"):
        glyphs.advance(16, "DejaVuSans")
