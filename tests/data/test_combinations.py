"""Worlds of parts: pictures that tell combinations apart, and splits that hold out pairs and no value."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokdyn.data import combinations, sprites

WORLD = {"shapes": 3, "colours": 6}


@pytest.fixture(scope="module")
def world():
    return combinations.combinations(**WORLD)


@pytest.fixture(scope="module")
def related():
    return combinations.relations()


def distances(pictures):
    rows = np.asarray(pictures).reshape(len(pictures), -1)
    squares = ((rows[:, None] - rows) ** 2).sum(axis=-1)
    return np.sqrt(squares) + np.where(np.eye(len(rows)), np.inf, 0)


def test_every_combination_once_and_each_looks_different(world, related):
    assert len(world.labels) == 3 * 6 * 2 * 4 == len(np.unique(world.labels, axis=0))
    assert len(related.labels) == 2 * 12 * 11 == len(np.unique(related.labels, axis=0))
    # Half a grey level of a point at the very least: farther apart than eight-bit colours can hide.
    assert distances(world.pictures).min() > 0.1
    assert distances(related.pictures).min() > 0.1


def test_pictures_show_what_the_labels_say(world):
    pictures = np.asarray(world.pictures)
    shape, colour, size, position = world.labels.T
    away = np.abs(pictures - 0.75).sum(axis=-1)  # from the background
    cells = away.reshape(-1, 2, 4, 2, 4).sum(axis=(2, 4)).reshape(len(away), -1)
    np.testing.assert_array_equal(cells.argmax(axis=1), position)
    assert (np.sort(cells, axis=1)[:, :-1] < 1e-6).all()  # nothing elsewhere
    covered = (away > 1e-6).sum(axis=(1, 2))
    for kind in range(3):
        of = covered[shape == kind]
        assert of[size[shape == kind] == 1].min() > of[size[shape == kind] == 0].max()
    # The colour of the point nearest to the object's own is that colour, in rubber.
    for number in range(6):
        own = pictures[(colour == number) & (size == 1)]
        assert np.abs(own - sprites.TONES[number, 0]).max(axis=-1).min(axis=(1, 2)).max() < 0.02


def test_relations_show_which_is_where(related):
    """Exchanging objects exchanges halves of the picture: the first is on the left, or above."""
    other = combinations.exchanged(related.labels)
    np.testing.assert_array_equal(other[other], np.arange(len(other)))
    pictures = np.asarray(related.pictures)
    for relation, axis in ((0, 2), (1, 1)):
        mine = related.labels[:, 2] == relation
        halves = np.split(pictures[mine], 2, axis=axis)
        swapped = np.split(pictures[other[mine]], 2, axis=axis)
        np.testing.assert_allclose(halves[0], swapped[1], atol=1e-5)
        np.testing.assert_allclose(halves[1], swapped[0], atol=1e-5)


@given(st.integers(0, 10**6))
@settings(max_examples=40)
def test_pairs_are_held_out_and_no_value_is(world, seed):
    labels = world.labels
    held = np.asarray(combinations.hold_out(jax.random.key(seed), labels))
    assert held.sum() == 48
    for factor in range(4):
        values = np.unique(labels[:, factor])
        for part in (held, ~held):
            np.testing.assert_array_equal(np.unique(labels[part, factor]), values)
    pairs = [set(map(tuple, labels[part, :2].tolist())) for part in (held, ~held)]
    assert not pairs[0] & pairs[1]
    assert len(pairs[0]) == 6


@given(st.integers(0, 10**6))
@settings(max_examples=40)
def test_of_relations_both_orders_are_held_out_together(related, seed):
    labels = related.labels
    held = np.asarray(combinations.hold_out(jax.random.key(seed), labels, alike=True, modulus=4))
    np.testing.assert_array_equal(held, held[combinations.exchanged(labels)])
    assert held.sum() == 60
    for part in (held, ~held):
        for factor in range(3):
            np.testing.assert_array_equal(np.unique(labels[part, factor]), np.unique(labels[:, factor]))


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: combinations.combinations(shapes=4), "shapes: expected a static integer of at most 3"),
        (lambda: combinations.combinations(side=5), "side: expected a static integer of at most 4"),
        (lambda: combinations.relations(shapes=1, colours=1), "colours: expected two objects or more"),
        (lambda: combinations.hold_out(0, np.eye(2, dtype=int)), "key: expected one JAX key"),
        (lambda: hold(np.eye(2)), "labels: expected whole numbers"),
        (lambda: hold(np.eye(2, dtype=int), factors=(0, 0)), "factors: expected two different columns, 0 to 1"),
        (lambda: hold(np.eye(2, dtype=int)), "modulus: expected at most the values of a factor, 2, got 3"),
        (lambda: hold(np.array([[0, 1], [1, 2]]), alike=True, modulus=2), "alike: expected factors with the same"),
    ],
)
def test_bad_input(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()


def hold(labels, **options):
    return combinations.hold_out(jax.random.key(0), labels, **options)
