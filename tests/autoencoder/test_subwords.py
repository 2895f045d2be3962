"""Words in pieces, and a decoder that reads what a word is made of."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from compiled import compiled
from constant_keys import constant_key
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax

from tokdyn.autoencoder import decoders
from tokdyn.data import subwords

WORDS = st.lists(st.text("abc", min_size=1, max_size=7), min_size=1, max_size=8)


@given(WORDS, st.integers(0, 12))
def test_pieces_join_to_the_word_and_merges_only_join(words, number):
    merges = subwords.byte_pairs(words, number)
    assert len(merges) <= number
    for word in words:
        lengths = [len(subwords.pieces_of(word, merges[:kept])) for kept in range(len(merges) + 1)]
        assert "".join(subwords.pieces_of(word, merges)) == word
        assert lengths == sorted(lengths, reverse=True)


@given(WORDS)
def test_every_merge_is_the_commonest_pair_of_its_moment(words):
    merges = subwords.byte_pairs(words, 5)
    for place, merge in enumerate(merges):
        pairs = Counter(pair for word in words for pair in pairwise(subwords.pieces_of(word, merges[:place])))
        assert pairs[merge] == max(pairs.values())


@given(WORDS)
def test_enough_merges_make_whole_words(words):
    merges = subwords.byte_pairs(words, 100)
    assert all(len(subwords.pieces_of(word, merges)) == 1 for word in words)


def test_numbers_tell_pieces_apart():
    cut = [("un", "do"), ("do",), ("un", "un", "do")]
    numbers = subwords.numbered(cut)
    assert numbers.tolist() == [[3, 2, 0], [2, 0, 0], [3, 3, 2]]


def test_morphemes_are_different():
    stems, endings = subwords.morphemes(200, 50, key=3)
    assert (len(set(stems)), len(set(endings))) == (200, 50)


def test_a_composed_decoder_sums_what_its_readers_say():
    parts = np.array([[0, 0], [0, 1], [1, 2], [1, 0]])
    made = decoders.composed(parts=parts, width=4)
    values = np.random.default_rng(0).normal(size=(3, 5, 2)).astype(np.float32)
    variables, logits = compiled(lambda key: (of := made.init(key, 5, 2), made.apply(of, values)[0]))(constant_key(0))
    expected = 0.0
    for place, name in enumerate(("Mlp_0", "Mlp_1")):
        first, second = (variables["params"][name][f"Dense_{i}"] for i in range(2))
        hidden = np.maximum(values.reshape(3, -1) @ first["kernel"] + first["bias"], 0)
        expected = expected + log_softmax(hidden @ second["kernel"] + second["bias"], axis=-1)[:, parts[:, place]]
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: subwords.byte_pairs("word", 1), "words: expected a sequence of strings"),
        (lambda: subwords.byte_pairs(["word"], -1), "num_merges"),
        (lambda: subwords.morphemes(300, 1), "num_stems: expected at most 200"),
        (lambda: decoders.composed(parts=[[0.5]]), "parts: expected whole numbers"),
        (lambda: decoders.composed(parts=[[-1]]), "parts: expected whole numbers"),
        (lambda: decoders.composed(parts=[[0]], width=0), "width"),
    ],
)
def test_bad_input(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()
