"""Encoders that hold data: graphs, spellings, vectors of meaning, pictures."""

import jax
import numpy as np
import pytest
from compiled import compiled
from constant_keys import constant_key

from tokdyn.autoencoder import encoders
from tokdyn.data import glyphs

KEY = constant_key(0)
apply = compiled(lambda encoder, variables, ids: encoder.apply(variables, ids)[0])


def variables_of(encoder):
    """Weights of any values: laws of the forward pass do not ask for the initial ones, which cost a compilation."""
    generator = np.random.default_rng(0)
    return jax.tree.map(
        lambda leaf: generator.normal(0.0, 0.5, leaf.shape).astype(leaf.dtype),
        jax.eval_shape(encoder.init, KEY),
    )


EMPTY = {"params": {}, "state": {}}
SMALL = {"cells": 4, "channels": 2, "embedding": 6, "width": 8}


# Graph.
def patterns_of(adjacency, **options):
    encoder = encoders.graph(adjacency=adjacency, **SMALL, **options)
    return apply(encoder, variables_of(encoder), np.arange(encoder.vocabulary_size))


def test_identity_no_strength_and_no_round_are_the_same():
    alone = patterns_of(np.full((5, 5), 0.2, np.float32), rounds=0)
    np.testing.assert_allclose(patterns_of(np.eye(5, dtype=np.float32), rounds=2), alone, atol=1e-6)
    np.testing.assert_allclose(patterns_of(np.full((5, 5), 0.2, np.float32), rounds=2, strength=0.0), alone, atol=1e-6)
    assert np.abs(patterns_of(np.full((5, 5), 0.2, np.float32)) - alone).max() > 0.01


def test_words_with_the_same_neighbours_become_alike():
    ring = np.float32([[0, 0.5, 0.5, 0], [0.5, 0, 0, 0.5], [0.5, 0, 0, 0.5], [0, 0.5, 0.5, 0]])
    pattern = patterns_of(ring, strength=1.0)
    np.testing.assert_allclose(pattern[0], pattern[3], atol=1e-6)
    np.testing.assert_allclose(pattern[1], pattern[2], atol=1e-6)
    assert np.abs(pattern[0] - pattern[1]).max() > 0.01


def test_rounds_reach_neighbours_of_neighbours():
    ring = np.roll(np.eye(6), 1, axis=1).astype(np.float32)  # each word hears the next one
    encoder = encoders.graph(adjacency=ring, rounds=2, **SMALL)
    variables = variables_of(encoder)

    def first(vectors):
        params = variables["params"] | {"embedding": vectors}
        return apply(encoder, {"params": params, "state": {}}, np.array([0])).sum()

    heard = np.abs(compiled(jax.grad(first))(variables["params"]["embedding"])).max(-1) > 0
    assert heard.tolist() == [True, True, True, False, False, False]


def test_nearest_neighbours_are_those_of_scikit_learn():
    from sklearn.neighbors import NearestNeighbors

    vectors = np.random.default_rng(0).normal(size=(300, 7)).astype(np.float32)
    found = encoders.nearest_neighbours(vectors, 5)
    theirs = NearestNeighbors(n_neighbors=5, metric="cosine").fit(vectors).kneighbors(return_distance=False)
    assert np.array_equal(found.ids, theirs)
    np.testing.assert_allclose(np.asarray(found.weights).sum(1), 1.0, rtol=1e-6)


@pytest.mark.parametrize(
    ("adjacency", "name"),
    [
        (np.ones((3, 3)), "adjacency"),
        (np.array([[2.0, -1.0], [0.0, 1.0]]), "adjacency"),
        (np.full((3, 2), 0.5), "adjacency"),
        (np.array([[np.nan, 1.0], [0.0, 1.0]]), "adjacency"),
        (encoders.Neighbours(np.array([[3]]), np.ones((1, 1))), "ids"),
        (encoders.Neighbours(np.array([[0, 0]]), np.ones((1, 1))), "adjacency.ids"),
        (encoders.Neighbours(np.array([[0]]), 2 * np.ones((1, 1))), "adjacency.weights"),
    ],
)
def test_what_is_no_graph_is_refused(adjacency, name):
    with pytest.raises(ValueError, match=f"^{name}: expected"):
        encoders.graph(adjacency=adjacency, **SMALL)


def test_too_many_neighbours_are_refused():
    with pytest.raises(ValueError, match="num_neighbours: expected fewer than the 4 words, got 4"):
        encoders.nearest_neighbours(np.eye(4, dtype=np.float32), 4)


# Characters.
def test_the_pattern_is_that_of_the_spelling():
    names = ["stop", "post", "stop", "a"]
    encoder = encoders.characters(spellings=encoders.spell(names, 6), **SMALL)
    variables = variables_of(encoder)
    pattern = apply(encoder, variables, np.arange(4))
    np.testing.assert_allclose(pattern[0], pattern[2], atol=1e-6)
    assert np.abs(pattern[0] - pattern[1]).max() > 0.01, "anagrams differ"
    unseen, _ = compiled(encoder.encode_spelling)(variables, encoders.spell(["pots", "STOP"], 6))
    np.testing.assert_allclose(unseen[1], pattern[0], atol=1e-6)
    assert np.abs(unseen[0] - pattern[0]).max() > 0.01
    assert encoder.compositional
    assert not encoders.CATALOG["table"](3).compositional


@pytest.mark.parametrize("depth", [1, 3])
def test_what_lies_beyond_a_word_does_not_matter(depth):
    names = ["stop", "a", "elephants", ""]
    short, long = (encoders.characters(spellings=encoders.spell(names, n), depth=depth, **SMALL) for n in (9, 14))
    params = variables_of(short)["params"]
    further = params | {"places": np.concatenate([params["places"], np.full((5, 6), 7.0, np.float32)])}
    np.testing.assert_allclose(
        apply(short, {"params": params, "state": {}}, np.arange(4)),
        apply(long, {"params": further, "state": {}}, np.arange(4)),
        atol=1e-5,
    )


def test_spelling():
    assert encoders.spell(["Az", "é", ""], 3).tolist() == [[2, 27, 0], [1, 0, 0], [0, 0, 0]]
    assert encoders.spell(["<pad>"], 5).min() > 1
    with pytest.raises(ValueError, match="words: expected words of at most 3 characters, got 'long', which has 4"):
        encoders.spell(["long"], 3)
    with pytest.raises(ValueError, match="words"):
        encoders.spell("word", 3)


def test_other_spellings_are_refused():
    encoder = encoders.characters(spellings=encoders.spell(["a"], 6), **SMALL)
    variables = variables_of(encoder)
    with pytest.raises(ValueError, match="spellings: expected words of length 6, got length 5"):
        encoder.encode_spelling(variables, encoders.spell(["a"], 5))
    for wrong in (np.full((1, 6), 99), np.zeros((1, 6), np.float32), np.zeros(6, np.int32)):
        with pytest.raises(ValueError, match="^spellings: expected"):
            encoder.encode_spelling(variables, wrong)


# Grounded.
def test_the_linear_map_keeps_differences_of_meaning():
    vectors = np.random.default_rng(0).normal(2.0, 3.0, size=(6, 5)).astype(np.float32)
    vectors[3] = vectors[0] - vectors[1] + vectors[2]
    encoder = encoders.grounded(vectors=vectors, cells=8, channels=2)
    variables = variables_of(encoder)
    pattern = apply(encoder, variables, np.arange(6))
    np.testing.assert_allclose(pattern[0] - pattern[1] + pattern[2], pattern[3], atol=1e-5)
    unseen, _ = compiled(encoder.encode_vectors)(variables, (vectors[:1] + vectors[4:5]) / 2)
    np.testing.assert_allclose(unseen[0], (pattern[0] + pattern[4]) / 2, atol=1e-5)
    dense = variables["params"]["Mlp_0"]["Dense_0"]
    standard = (vectors - vectors.mean(0)) / np.std(vectors - vectors.mean(0))
    np.testing.assert_allclose(pattern.reshape(6, 16), standard @ dense["kernel"] + dense["bias"], atol=1e-5)


def test_vectors_can_be_taken_as_they_are():
    vectors = np.arange(12.0, dtype=np.float32).reshape(4, 3)
    encoder = encoders.grounded(vectors=vectors, cells=2, channels=2, standardise=False)
    variables = variables_of(encoder)
    dense = variables["params"]["Mlp_0"]["Dense_0"]
    pattern = apply(encoder, variables, np.arange(4)).reshape(4, 4)
    np.testing.assert_allclose(pattern, vectors @ dense["kernel"] + dense["bias"], atol=1e-4)


def test_a_random_map_keeps_distances():
    vectors = np.random.default_rng(1).normal(size=(30, 20)).astype(np.float32)
    encoder = encoders.grounded(vectors=vectors, cells=500, channels=4)
    pattern = apply(encoder, variables_of(encoder), np.arange(30)).reshape(30, -1)
    first, second = np.triu_indices(30, 1)
    ratio = np.linalg.norm(pattern[first] - pattern[second], axis=-1) / np.linalg.norm(
        vectors[first] - vectors[second], axis=-1
    )
    # The square of each ratio is a mean of 2,000 squares of normal numbers: relative error sqrt(2 / 2000) = 0.032.
    assert np.abs((ratio / ratio.mean()) ** 2 - 1).max() < 5 * 0.032


def test_vectors_without_meaning_are_refused():
    with pytest.raises(ValueError, match="vectors: expected vectors that differ, to be standardised, got equal ones"):
        encoders.grounded(vectors=np.ones((3, 4), np.float32), cells=2, channels=2)
    with pytest.raises(ValueError, match="vectors: expected finite numbers"):
        encoders.grounded(vectors=np.float32([[np.inf], [0.0]]), cells=2, channels=2)
    encoder = encoders.grounded(vectors=np.eye(3, dtype=np.float32), cells=2, channels=2)
    with pytest.raises(ValueError, match="vectors: expected length 3, got length 2"):
        encoder.encode_vectors(variables_of(encoder), np.ones((1, 2), np.float32))


# Glyphs.
def test_the_pattern_is_the_picture():
    images = glyphs.render(["cat", "dog"], height=16, width=32)
    encoder = encoders.glyphs(images=images, strength=2.0)
    pattern, state = compiled(encoder.apply)(EMPTY, np.array([1, 0]))
    np.testing.assert_allclose(pattern.reshape(2, 16, 32), 2 * images[::-1])
    assert state == {}


def test_pictures_are_pooled_and_cut_at_a_threshold():
    images = np.random.default_rng(0).random((3, 6, 8)).astype(np.float32)
    pooled = images.reshape(3, 3, 2, 4, 2).mean((2, 4)).reshape(3, 12)
    grey = encoders.glyphs(images=images, pool=2)
    assert (grey.cells, grey.channels) == (12, 1)
    np.testing.assert_allclose(apply(grey, EMPTY, np.arange(3))[..., 0], pooled, atol=1e-6)
    black = encoders.glyphs(images=images, pool=2, threshold=0.5, channels=2)
    pattern = apply(black, EMPTY, np.arange(3))
    assert np.array_equal(pattern[..., 1], pooled > 0.5)
    assert np.array_equal(pattern.sum(-1), np.ones((3, 12)))


def test_unseen_words_are_made_of_seen_letters():
    options = {"height": 12, "width": 28, "font": "DejaVuSansMono"}
    encoder = encoders.glyphs(images=glyphs.render(["stop", "near"], **options))
    seen = apply(encoder, EMPTY, np.arange(2)).reshape(2, 12, 28)
    unseen = compiled(encoder.encode_images)(EMPTY, glyphs.render(["tear"], **options))[0].reshape(12, 28)
    cell = glyphs.advance(12)
    assert encoder.compositional
    assert np.array_equal(unseen[:, cell : 4 * cell], seen[1][:, cell : 4 * cell])
    assert np.array_equal(unseen[:, :cell], seen[0][:, cell : 2 * cell])


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"images": np.full((1, 4, 4), 1.5)}, "images"),
        ({"images": np.ones((4, 4))}, "images"),
        ({"images": np.ones((0, 4, 4))}, "images"),
        ({"pool": 3}, "pool"),
        ({"channels": 3}, "channels"),
        ({"threshold": 2.0}, "threshold"),
    ],
)
def test_what_is_no_picture_is_refused(arguments, name):
    with pytest.raises(ValueError, match=f"^{name}: expected"):
        encoders.glyphs(**{"images": np.ones((2, 4, 4), np.float32), **arguments})


def test_pictures_of_another_size_are_refused():
    with pytest.raises(ValueError, match="images: expected pictures of 4 x 4 pixels"):
        encoders.glyphs(images=np.ones((2, 4, 4), np.float32)).encode_images(EMPTY, np.ones((1, 4, 5), np.float32))
