import jax
import numpy as np
import pytest

from tokdyn.data import words


@pytest.mark.parametrize(
    ("size", "sentences", "tokens", "types", "once", "the", "held_out", "ceiling", "constant"),
    [
        ("large", (50, 10), 241, 189, 160, 12, 44, 21 / 44, 2 / 44),
        ("small", (14, 3), 69, 48, 39, 6, 13, 8 / 13, 1 / 13),
    ],
)
def test_the_published_shape_has_the_published_counts(
    size, sentences, tokens, types, once, the, held_out, ceiling, constant
):
    train, validation = words.published_sentences(size)
    text = words.published_shape(size)
    assert (len(train), len(validation)) == sentences
    assert text.vocabulary_size == types + 3 == len(set(text.words))
    assert len(text.train) == tokens
    assert len(text.types) == types
    assert np.sum(text.counts == 1) == once
    assert text.words[3] == "the"
    assert text.counts[3] == the == text.counts.max()
    assert np.sum(text.counts == the) == 1, "one commonest word"
    assert len(text.validation) == held_out
    assert text.ceiling == pytest.approx(ceiling)
    assert text.unknown_share == pytest.approx(1 - ceiling)
    assert text.constant_accuracy == pytest.approx(constant)
    assert all(len(set(sentence.split())) == len(sentence.split()) for sentence in train)


def test_the_percentages_are_those_that_were_printed():
    large, small = words.published_shape("large"), words.published_shape("small")
    assert [round(100 * text.ceiling, 2) for text in (large, small)] == [47.73, 61.54]
    assert [round(100 * text.constant_accuracy, 2) for text in (large, small)] == [4.55, 7.69]


def test_ids_fall_with_frequency_then_follow_the_alphabet():
    text = words.corpus(["b a c", "C  B\tc", "d"], ["c x", "<unk> <pad>"])
    assert text.words == ("<pad>", "<unk>", "<eos>", "c", "b", "a", "d")
    assert text.train.tolist() == [4, 5, 3, 3, 4, 3, 6]
    assert text.validation.tolist() == [3, 1, 1, 1], "special words are unknown, whatever they are"
    assert text.counts.tolist() == [0, 0, 0, 3, 2, 1, 1]
    assert text.types.tolist() == [3, 4, 5, 6]
    assert text.frequencies.sum() == pytest.approx(1)
    assert text.train.dtype == text.validation.dtype == text.types.dtype == np.int32


def test_sentences_are_kept_and_put_together_are_the_text():
    train, validation = words.published_sentences()
    text = words.published_shape()
    for sentences, cut, whole in (
        (train, text.train_sentences, text.train),
        (validation, text.validation_sentences, text.validation),
    ):
        assert [len(ids) for ids in cut] == [len(sentence.split()) for sentence in sentences]
        np.testing.assert_array_equal(np.concatenate(cut), whole)
    assert [text.words[number] for number in text.train_sentences[7]] == train[7].split()
    without_words = words.corpus(["a b", " ", "c"], ["", "a"])
    assert [ids.tolist() for ids in without_words.train_sentences] == [[3, 4], [5]]
    assert len(without_words.validation_sentences) == 1


def test_a_drawn_text_has_no_sentences():
    with pytest.raises(ValueError, match="train_sentences: expected a text made of sentences"):
        _ = words.zipf_corpus(5).train_sentences


@pytest.mark.parametrize(
    ("train", "validation", "sentence"),
    [
        ([], ["a"], "train: expected sentences with at least one word, got an empty corpus"),
        ([" "], ["a"], "train: expected sentences with at least one word, got an empty corpus"),
        (["a"], [""], "validation: expected sentences with at least one word, got no validation token"),
        (["a"], ["b c"], "validation: expected at least one word of the training text, got an all-unknown validation"),
        (["a <unk>"], ["a"], "train: expected words other than <pad>, <unk>, <eos>, got '<unk>'"),
        ("a b", ["a"], "train: expected a sequence of sentences, got one string"),
    ],
)
def test_texts_without_meaning_are_refused(train, validation, sentence):
    with pytest.raises(ValueError, match=sentence):
        words.corpus(train, validation)


@pytest.mark.parametrize("exponent", [0.0, 0.7, 1.0, 2.0])
@pytest.mark.parametrize(("types", "tokens"), [(1, 1), (7, 7), (50, 503), (1000, 20_000)])
def test_zipf_counts_follow_the_law_and_add_up(types, tokens, exponent):
    text = words.zipf_corpus(types, num_tokens=tokens, exponent=exponent)
    counts = text.counts[3:]
    assert counts.sum() == tokens
    assert counts.min() >= 1
    assert np.all(np.diff(counts) <= 0)
    # floor(c / r^a) or one more: c is known from every count above 1 up to one unit.
    weights = np.arange(1, types + 1) ** -exponent
    free = counts > 1
    if free.any():
        assert np.max((counts - 1)[free] / weights[free]) <= np.min((counts + 1)[free] / weights[free])
    assert text.ceiling == 1.0


def test_zipf_is_a_function_of_its_key():
    first, again, other = (words.zipf_corpus(40, key=key) for key in (0, 0, 1))
    assert first.words == again.words == other.words
    assert np.array_equal(first.train, again.train)
    assert np.array_equal(first.validation, again.validation)
    assert not np.array_equal(first.train, other.train)
    assert np.array_equal(first.counts, other.counts)
    new, old = words.zipf_corpus(40, key=jax.random.key(3)), words.zipf_corpus(40, key=jax.random.PRNGKey(3))
    assert np.array_equal(new.train, old.train)


def test_zipf_validation_has_the_frequencies_of_training():
    text = words.zipf_corpus(20, num_tokens=2000, num_validation=20_000)
    drawn = np.bincount(text.validation, minlength=text.vocabulary_size) / 20_000
    error = np.sqrt(text.frequencies * (1 - text.frequencies) / 20_000)
    assert np.all(np.abs(drawn - text.frequencies) <= 4.5 * error)


def test_zipf_ids_are_those_of_a_tokenizer():
    text = words.zipf_corpus(30, num_tokens=100)
    again = words.corpus(
        [" ".join(text.words[number] for number in text.train)], [" ".join(text.words[n] for n in text.validation)]
    )
    assert again.words == text.words
    assert np.array_equal(again.train, text.train)
    assert np.array_equal(again.validation, text.validation)


def test_zipf_refuses_fewer_tokens_than_types():
    with pytest.raises(ValueError, match="num_tokens: expected a static integer of at least 5, got 4"):
        words.zipf_corpus(5, num_tokens=4)
    with pytest.raises(ValueError, match="exponent"):
        words.zipf_corpus(5, exponent=-1.0)
    with pytest.raises(ValueError, match="key"):
        words.zipf_corpus(5, key="0")


def test_words_are_distinct_and_plain():
    real, invented = words.english_words(), words.pseudo_words(50_000)
    assert 300 <= len(real) <= 350
    assert real[0] == "the"
    assert len({*real, *invented}) == len(real) + 50_000
    assert all(word.isascii() and word.isalpha() and word.islower() for word in (*real, *invented))
    assert words.pseudo_words(100) == invented[:100]
    assert len({word[0] for word in invented[:100]}) == 14, "all first letters come early"
    assert words.pseudo_words(0) == ()
