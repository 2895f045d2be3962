"""Words added, merged and split: where they lie, that nobody else moves, and coherence against sets in Python."""

import jax
import numpy as np
import pytest
from sklearn.cluster import KMeans

from tokdyn import geometry

RNG = np.random.default_rng(0)
TABLE = geometry.WordVectors(tuple("abcdefghij"), RNG.normal(size=(10, 4)).astype(np.float32))


def near(vectors, row, k):
    directions = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = directions @ directions[row]
    cosines[row] = -np.inf
    return np.argsort(-cosines, kind="stable")[:k].tolist()


def by_hand(before, after, stands, k):
    kept = []
    for new in range(len(after)):
        old = np.flatnonzero(stands[new])
        if len(old) == 1 and stands[:, old[0]].sum() == 1:
            mine = near(after, new, k)
            kept.append(np.mean([any(stands[m, n] for m in mine) for n in near(before, old[0], k)]))
    return np.mean(kept)


def test_coherence_against_sets():
    before = RNG.normal(size=(9, 3)).astype(np.float32)
    after = np.concatenate([before[1:7], RNG.normal(size=(3, 3))]).astype(np.float32)
    stands = np.zeros((9, 9), bool)
    stands[np.arange(6), np.arange(1, 7)] = True
    stands[6, [7, 8]] = True  # one for two
    stands[7:, 0] = True  # two for one
    assert float(geometry.coherence(before, after, stands, num_neighbours=3)) == pytest.approx(
        by_hand(before, after, stands, 3), abs=1e-6
    )
    # Words anywhere: chance, within four standard errors of 400 tables.
    many = RNG.normal(size=(2, 400, 9, 3)).astype(np.float32)
    every = jax.jit(
        jax.vmap(lambda one, other: geometry.coherence(one, other, np.eye(9, dtype=bool), num_neighbours=3))
    )
    shares = np.asarray(every(*many))
    assert abs(shares.mean() - 3 / 8) < 4 * shares.std(ddof=1) / 20
    assert float(geometry.coherence(before, before, np.eye(9, dtype=bool), num_neighbours=3)) == 1


def test_others_stay_where_they_are():
    added = geometry.with_word(TABLE, "new", TABLE.of(["a", "b"]))
    merged = geometry.with_merged(TABLE, ("a", "b"), "ab", counts=(3.0, 1.0))
    uses = np.concatenate([TABLE.vectors[[2]] + 0.01 * RNG.normal(size=(6, 4)), TABLE.vectors[[3]] * np.ones((4, 1))])
    split = geometry.with_split(TABLE, "a", uses, ["a1", "a2"], key=jax.random.key(0))
    for table, gone in ((added, ""), (merged, "ab"), (split.table, "a")):
        stay = [word for word in TABLE.words if word not in gone]
        np.testing.assert_array_equal(table.of(stay), TABLE.of(stay))
    middle = TABLE.of(["a", "b"]).mean(axis=0)
    new = added.of(["new"])[0]
    np.testing.assert_allclose(new / np.linalg.norm(new), middle / np.linalg.norm(middle), atol=1e-6)
    assert np.linalg.norm(new) == pytest.approx(np.linalg.norm(TABLE.vectors, axis=1).mean(), rel=1e-5)
    np.testing.assert_allclose(merged.of(["ab"])[0], [0.75, 0.25] @ TABLE.of(["a", "b"]), atol=1e-6)
    # The larger group is named first.
    assert split.labels.tolist() == [0] * 6 + [1] * 4
    directions = split.table.of(["a1", "a2"]) / np.linalg.norm(TABLE.vectors[0])
    for one, other in zip(directions, TABLE.vectors[[2, 3]], strict=True):
        assert one @ other / np.linalg.norm(other) > 0.99


def test_groups_are_those_of_k_means():
    centres = np.array([[0, 0], [4, 0], [0, 4]], np.float32)
    uses = (centres[np.arange(30) % 3] + 0.3 * RNG.normal(size=(30, 2))).astype(np.float32)
    mask = np.arange(30) < 24
    wild = np.where(mask[:, None], uses, 1e3).astype(np.float32)
    found = geometry.grouped_uses(wild, key=jax.random.key(0), parts=3, mask=mask)
    theirs = KMeans(3, n_init=10, random_state=0).fit(uses[:24])
    order = [int(np.argmin(np.sum((theirs.cluster_centers_ - centre) ** 2, axis=1))) for centre in found.centres]
    np.testing.assert_allclose(found.centres, theirs.cluster_centers_[order], atol=1e-4)
    assert np.asarray(found.counts).tolist() == [8, 8, 8]


USES = np.ones((3, 4), np.float32)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: geometry.with_word(TABLE, "a", USES), "word: expected a new word, got 'a', which the table has"),
        (lambda: geometry.with_word(TABLE, "new", USES[:0]), "uses: expected at least one context, got none"),
        (lambda: geometry.with_word(TABLE, "new", USES * np.nan), "uses: expected finite numbers"),
        (lambda: geometry.with_word(TABLE, "new", USES[:, :2]), "uses: expected 4 columns"),
        (lambda: geometry.with_word(TABLE, "new", 0 * USES), "uses: expected contexts with a direction in common"),
        (lambda: geometry.with_merged(TABLE, ("a", "a"), "x"), "words: expected two different words, got 'a' and 'a'"),
        (lambda: geometry.with_merged(TABLE, ("a", "z"), "x"), "words: expected words of a table of 10, got 'z'"),
        (lambda: geometry.with_merged(TABLE, ("a", "b"), "c"), "name: expected a new word, got 'c'"),
        (lambda: geometry.with_merged(TABLE, ("a", "b"), "x", counts=(0.0, 1.0)), "counts: expected a number above 0"),
        (lambda: geometry.with_split(TABLE, "a", USES, ["x"], key=jax.random.key(0)), "names: expected at least two"),
        (
            lambda: geometry.with_split(TABLE, "z", USES, ["x", "y"], key=jax.random.key(0)),
            "words: expected words of a table",
        ),
        (
            lambda: geometry.with_split(TABLE, "a", USES[:1], ["x", "y"], key=jax.random.key(0)),
            "uses: expected at least one for each",
        ),
        (
            lambda: geometry.with_split(TABLE, "a", USES, ["x", "y"], key=jax.random.key(0)),
            "uses: expected at least 2 different ones",
        ),
        (
            lambda: geometry.grouped_uses(USES, key=jax.random.key(0), parts=1),
            "parts: expected a static integer of at least 2, got 1",
        ),
        (
            lambda: geometry.coherence(USES, USES, np.eye(2, dtype=bool)),
            "stands_for: expected a boolean array of shape",
        ),
        (
            lambda: geometry.coherence(USES, USES, np.eye(3, dtype=bool)),
            "num_neighbours: expected less than the 3 words",
        ),
    ],
)
def test_bad_input(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()
