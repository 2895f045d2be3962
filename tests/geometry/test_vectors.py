"""Word vectors: what the table says of words, files of every form, planted structure that is found again."""

import gzip

import jax
import numpy as np
import pytest

from tokdyn import geometry

RNG = np.random.default_rng(0)
WORDS = ("cat", "dog", "New York", "été")
ROWS = RNG.normal(size=(4, 3)).astype(np.float32)


def lines(header=False, words=WORDS, rows=ROWS):
    body = [f"{word} {' '.join(repr(float(value)) for value in row)}" for word, row in zip(words, rows, strict=True)]
    return "\n".join(([f"{len(words)} {rows.shape[1]}"] if header else []) + body) + "\n"


def word2vec_binary(newline=b"\n"):
    made = f"{len(WORDS)} {ROWS.shape[1]}\n".encode()
    for word, row in zip(WORDS, ROWS, strict=True):
        made += word.replace(" ", "_").encode() + b" " + row.astype("<f4").tobytes() + newline
    return made


class TestTable:
    def test_it_is_what_it_says(self):
        table = geometry.word_vectors()
        assert len(table.words) == len(set(table.words)) == 2000
        assert table.vectors.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(table.vectors, axis=1), 1, atol=1e-3)
        with pytest.raises(ValueError, match="read-only"):
            table.vectors[0] = 0

    def test_words_are_near_words_of_their_kind(self):
        """As measured on the encoder itself: cosines 0.66, 0.73, 0.32; of 36 words 80 % of neighbours share a kind."""
        cat, dog, red, blue, big = geometry.word_vectors().of(["cat", "dog", "red", "blue", "big"])
        assert [round(float(a @ b), 2) for a, b in ((cat, dog), (red, blue), (cat, big))] == [0.66, 0.73, 0.32]
        kinds = [kind for kind, words in geometry.PUBLISHED_CATEGORIES.items() for _ in words]
        own = geometry.word_vectors().chosen(word for words in geometry.PUBLISHED_CATEGORIES.values() for word in words)
        cosines = own.vectors @ own.vectors.T - 9 * np.eye(36)
        nearest = np.argsort(-cosines, axis=1)[:, :5]
        same = np.array(kinds)[nearest] == np.array(kinds)[:, None]
        assert same.mean() == pytest.approx(0.80, abs=0.006)

    def test_an_unknown_word_is_named(self):
        with pytest.raises(ValueError, match="words: expected words of a table of 2000, got 'zyzzyva'"):
            geometry.word_vectors().of(["cat", "zyzzyva"])
        with pytest.raises(ValueError, match="words: expected at least one, each once"):
            geometry.word_vectors().chosen(["cat", "cat"])


class TestFiles:
    @pytest.mark.parametrize(
        "content",
        [lines(), lines(header=True), lines().replace("\n", "\r\n"), lines() + "\n\n", lines().replace(" ", "\t")],
        ids=["glove", "word2vec", "carriage returns", "empty lines at the end", "tabs"],
    )
    def test_text(self, content, tmp_path):
        path = tmp_path / "vectors.txt"
        path.write_bytes(content.encode())
        words = tuple(word.replace(" ", "\t") for word in WORDS) if "\t" in content else WORDS
        found = geometry.read_vectors(path)
        assert found.words == words
        np.testing.assert_array_equal(found.vectors, ROWS)

    def test_a_first_word_with_spaces(self, tmp_path):
        path = tmp_path / "vectors.txt"
        path.write_text(lines(words=WORDS[2:], rows=ROWS[2:]))
        assert geometry.read_vectors(path).words == WORDS[2:]

    @pytest.mark.parametrize("newline", [b"\n", b""])
    def test_binary(self, newline, tmp_path):
        path = tmp_path / "vectors.bin"
        path.write_bytes(word2vec_binary(newline))
        found = geometry.read_vectors(path)
        assert found.words == ("cat", "dog", "New_York", "été")
        np.testing.assert_array_equal(found.vectors, ROWS)

    @pytest.mark.parametrize("names", [("words", "vectors"), ("names", "features"), ("labels", "embeddings")])
    def test_npz(self, names, tmp_path):
        path = tmp_path / "vectors.npz"
        np.savez(path, **{names[0]: np.array(WORDS), names[1]: ROWS.astype(np.float16)})
        found = geometry.read_vectors(path, words=["dog", "cat"])
        assert found.words == ("dog", "cat")
        np.testing.assert_array_equal(found.vectors, ROWS.astype(np.float16)[[1, 0]])

    @pytest.mark.parametrize("content", [lines().encode(), lines(header=True).encode(), word2vec_binary()])
    def test_a_part(self, content, tmp_path):
        path = tmp_path / "vectors"
        path.write_bytes(content)
        found = geometry.read_vectors(path, most=2)
        assert found.words == ("cat", "dog")
        np.testing.assert_array_equal(found.vectors, ROWS[:2])

    @pytest.mark.parametrize(
        ("content", "why"),
        [
            (b"", "an empty file"),
            (b"\n", "a first line without words"),
            (b"cat\n", "line 1 has no numbers"),
            (b"cat 1 2\ndog 1\n", "line 2 is no word with 2 numbers"),
            (b"cat 1 2\ndog 1 x\n", "line 2 is no word with 2 numbers"),
            (b"cat 1 2\ncat 3 4\n", "'cat' is there twice"),
            (b"cat 1 nan\n", "the vector of 'cat' is not finite"),
            (b"\xff 1 2\n", "line 1 is not UTF-8"),
            (b"0 3\n", "its first line says 0 words of 3 numbers"),
            (word2vec_binary()[:-9], "it ends within word 4 of 4"),
            (b"2 2\ncat 1 2\ndog 1\n", "line 3 is no word with 2 numbers"),
            (gzip.compress(lines().encode()), "no word with|has no numbers|is not UTF-8"),
        ],
    )
    def test_bad_files(self, content, why, tmp_path):
        path = tmp_path / "vectors"
        path.write_bytes(content)
        with pytest.raises(ValueError, match=f"path: expected a file of vectors: .*{why}"):
            geometry.read_vectors(path)

    @pytest.mark.parametrize(
        ("arrays", "why"),
        [
            ({"words": np.array(WORDS)}, "their vectors should be 'vectors'"),
            ({"words": np.arange(4), "vectors": ROWS}, "words should be text"),
            ({"words": np.array(WORDS), "vectors": ROWS[:3]}, r"vectors should be numbers \[4, D\]"),
            ({"words": np.array(WORDS), "names": np.array(WORDS), "vectors": ROWS}, "the words should be 'words'"),
        ],
    )
    def test_bad_arrays(self, arrays, why, tmp_path):
        np.savez(tmp_path / "vectors.npz", **arrays)
        with pytest.raises(ValueError, match=why):
            geometry.read_vectors(tmp_path / "vectors.npz")

    def test_bad_arguments(self, tmp_path):
        path = tmp_path / "vectors.txt"
        path.write_text(lines())
        with pytest.raises(ValueError, match="path: expected a file of vectors"):
            geometry.read_vectors(tmp_path / "none.txt")
        with pytest.raises(ValueError, match="most: expected a static integer of at least 1"):
            geometry.read_vectors(path, most=0)
        with pytest.raises(ValueError, match="words: expected words of a table of 4, got 'bird'"):
            geometry.read_vectors(path, words=["bird"])


class TestPlanted:
    def test_categories_are_apart_as_stated(self):
        found = geometry.planted_categories(jax.random.key(0), sizes=(40, 20, 60), dimensions=400, spread=0.3)
        vectors, labels = np.asarray(found.vectors), np.asarray(found.labels)
        distances = np.linalg.norm(vectors[:, None] - vectors, axis=-1)
        same = labels[:, None] == labels
        apart = ~np.eye(len(labels), dtype=bool)
        # Two vectors of one category: 2 s^2; of two: 2 + 2 s^2. Relative errors fall with the root of D.
        np.testing.assert_allclose((distances[same & apart] ** 2).mean(), 2 * 0.09, rtol=0.05)
        np.testing.assert_allclose((distances[~same] ** 2).mean(), 2 + 2 * 0.09, rtol=0.15)
        assert np.bincount(labels).tolist() == [40, 20, 60]

    def test_factors_add_up(self):
        found = geometry.planted_factors(jax.random.key(1), sizes=(3, 4, 2), dimensions=64)
        vectors, labels = np.asarray(found.vectors, float), np.asarray(found.labels)
        onehot = np.concatenate([np.eye(count)[labels[:, i]] for i, count in enumerate((3, 4, 2))], axis=1)
        residual = vectors - onehot @ np.linalg.lstsq(onehot, vectors, rcond=None)[0]
        assert np.abs(residual).max() < 1e-5
        assert np.linalg.matrix_rank(vectors - vectors.mean(axis=0), tol=1e-4) == 2 + 3 + 1
        noisy = geometry.planted_factors(jax.random.key(1), sizes=(3, 4, 2), dimensions=64, spread=0.5)
        left = np.asarray(noisy.vectors, float) - vectors
        np.testing.assert_allclose((left**2).sum(axis=1).mean(), 0.25, rtol=0.15)

    def test_a_tree_says_where_leaves_part(self):
        branches, shrink, width = (3, 2, 2), 0.5, 4000
        found = geometry.planted_tree(jax.random.key(2), branches=branches, dimensions=width, shrink=shrink)
        vectors, labels = np.asarray(found.vectors, float), np.asarray(found.labels)
        for i in range(len(labels)):
            for j in range(i):
                parts = int(np.argmax(labels[i] != labels[j]))
                expected = 2 * sum(shrink ** (2 * level) for level in range(parts, len(branches)))
                assert ((vectors[i] - vectors[j]) ** 2).sum() == pytest.approx(expected, rel=0.12)

    @pytest.mark.parametrize("make", [geometry.planted_categories, geometry.planted_factors])
    def test_bad_input(self, make):
        key = jax.random.key(0)
        for options, why in (
            ({"sizes": (), "dimensions": 2}, "sizes: expected a tuple of at least one"),
            ({"sizes": (0,), "dimensions": 2}, "sizes: expected a static integer of at least 1"),
            ({"sizes": (2,), "dimensions": 0}, "dimensions: expected a static integer of at least 1"),
            ({"sizes": (2,), "dimensions": 2, "spread": -1.0}, "spread: expected a number of at least 0"),
        ):
            with pytest.raises(ValueError, match=why):
                make(key, **options)
        with pytest.raises(ValueError, match="key: expected one JAX key"):
            make(0, sizes=(2,), dimensions=2)
