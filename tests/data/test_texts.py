"""A file of the user's own becomes sentences of words, or one sentence says why not."""

import numpy as np
import pytest

from tokdyn.data import texts, words

PROSE = """\ufeff"Don't stop," she said. The sun--warm again--rose… Did it? It did!
The twenty-one cats (all grey) ate 3.5 fish.

A title without a full stop

Last line"""


def written(folder, content, name="text.txt"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_sentences_end_where_punctuation_says(tmp_path):
    assert texts.read_sentences("path", written(tmp_path, PROSE), "punctuation") == [
        "don't stop she said", "the sun warm again rose", "did it", "it did",
        "the twenty-one cats all grey ate 3.5 fish", "a title without a full stop", "last line",
    ]  # fmt: skip


def test_sentences_are_lines(tmp_path):
    path = written(tmp_path, "The sun. The moon.\r\n\r\n --- \r\nThe stone\r\n")
    expected = ["the sun the moon", "the stone"]
    assert texts.read_sentences("path", path, "lines") == texts.read_sentences("path", path, "auto") == expected


def test_one_long_line_is_cut_by_punctuation(tmp_path):
    path = written(tmp_path, "The sun rises. The moon sets.\n")
    assert texts.read_sentences("path", path) == ["the sun rises", "the moon sets"]
    assert texts.read_sentences("path", path, "lines") == ["the sun rises the moon sets"]


def test_words_of_other_scripts_are_whole(tmp_path):
    """Hindi vowel signs are no letters for a regular expression; one letter may be written as two characters."""
    path = written(tmp_path, "हिन्दी भाषा। Cafe\u0301 « été ».\n太阳 升起。”月亮 落下。")
    assert texts.read_sentences("path", path, "punctuation") == ["हिन्दी भाषा", "café été", "太阳 升起", "月亮 落下"]


def test_a_file_becomes_the_corpus_of_its_sentences(tmp_path):
    train, validation = words.published_sentences()
    paths = [written(tmp_path, "\n".join(part), name) for part, name in ((train, "a.txt"), (validation, "b.txt"))]
    read, expected = words.read_corpus(paths[0], validation=paths[1]), words.published_shape()
    assert read.words == expected.words
    for name in ("train", "validation", "train_lengths", "validation_lengths"):
        np.testing.assert_array_equal(getattr(read, name), getattr(expected, name))


def test_every_sentence_is_in_one_of_the_two_texts(tmp_path):
    lines = [f"word{number} and word{number // 2}" for number in range(50)]
    path = written(tmp_path, "\n".join(lines))
    split = words.read_corpus(path, validation=0.2)
    assert (len(split.train_sentences), len(split.validation_sentences)) == (40, 10)
    kept = {" ".join(split.words[number] for number in ids) for ids in split.train_sentences}
    assert len(kept) == 40
    assert kept < set(lines)
    held_out = [line for line in lines if line not in kept]
    assert [len(line.split()) for line in held_out] == split.validation_lengths.tolist()
    for line, ids in zip(held_out, split.validation_sentences, strict=True):
        known = [word if word in split.words else "<unk>" for word in line.split()]
        assert [split.words[number] for number in ids] == known
    np.testing.assert_array_equal(words.read_corpus(path, validation=0.2).train, split.train)
    assert not np.array_equal(words.read_corpus(path, validation=0.2, key=1).train, split.train)
    assert len(words.read_corpus(path, validation=1e-9).validation_sentences) == 1
    assert len(words.read_corpus(path, validation=0.999).train_sentences) == 1


def test_rare_words_are_left_out_of_training_and_unknown_in_validation(tmp_path):
    path, other = written(tmp_path, "a a a b b c\nc\nd b"), written(tmp_path, "a c d", "other.txt")
    text = words.read_corpus(path, validation=other, most_words=2)
    assert text.words[3:] == ("a", "b")
    assert [ids.tolist() for ids in text.train_sentences] == [[3, 3, 3, 4, 4], [4]]
    assert text.validation.tolist() == [3, 1, 1]


@pytest.mark.parametrize(
    ("content", "options", "sentence"),
    [
        (b"", {}, r"path: expected a file of plain text in UTF-8, got .*\(an empty file\)"),
        (b" \n.\n", {}, "path: expected a text with at least one word, got .*, which has none"),
        (b"a b\0c", {}, r"\(a binary file: byte 0x00 at position 3\)"),
        ("né à\n".encode("latin-1"), {}, r"\(no UTF-8: byte 0xe9 at position 1\)"),
        ("a b".encode("utf-16"), {}, r"\(UTF-16; save it as UTF-8\)"),
        (b"\x1f\x8b\x08\0\0", {}, r"\(gzip; unpack it first\)"),
        (b"%PDF-1.4\n", {}, r"\(a PDF; save it as plain text\)"),
        (b"word word\nword", {}, "path: expected a training text of at least two different words, .* only 'word'"),
        (b"one sentence only", {}, "path: expected at least two sentences, one of them for validation, got"),
        (b"a b\nc d", {}, "validation: expected at least one word of the training text"),
        (b"a b\na c", {"validation": 1.0}, "validation: expected a share above 0 and below 1, or a text file, got 1.0"),
        (b"a b\na c", {"validation": None}, "validation: expected a share .*, got None"),
        (b"a b\na c", {"validation": "/no/such/file"}, r"validation: expected a file of plain .*\(no such file"),
        (b"a b\na c", {"sentences": "words"}, "sentences: expected one of 'auto', 'lines', 'punctuation', got 'words'"),
        (b"a b\na c", {"most_words": 1}, "most_words: expected a static integer of at least 2"),
    ],
)
def test_files_that_are_no_text_are_refused_in_one_sentence(tmp_path, content, options, sentence):
    with pytest.raises(ValueError, match=sentence) as refused:
        words.read_corpus(written(tmp_path, content), **options)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("path", "sentence"), [("missing.txt", "no such file"), (".", "a folder"), (3, "path: expected")]
)
def test_places_without_a_file_are_refused(tmp_path, monkeypatch, path, sentence):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=sentence):
        words.read_corpus(path)
