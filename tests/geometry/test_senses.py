"""Generated sentences of polysemes, against their law, and the exact posterior, against enumeration and frequencies."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tokdyn import geometry

SIZES = {"polysemes": 3, "topics": 4, "words": 2}
PRIOR = (0.5, 0.3, 0.2)


def made(decides="topics"):
    return geometry.language(jax.random.key(3), **SIZES, prior=PRIOR, noise=0.3, ambiguity=0.4, decides=decides)


@pytest.fixture(scope="module")
def topics():
    return made()


@pytest.fixture(scope="module")
def roles(topics):
    return topics._replace(ordered=jnp.asarray(True))


def drawn(language, number=20_000):
    return jax.tree.map(np.asarray, geometry.sentences(jax.random.key(1), language, number=number, length=4))


def test_a_language_is_a_law(topics):
    likelihood, senses = np.asarray(topics.likelihood), np.asarray(topics.topics)
    np.testing.assert_allclose(likelihood.sum(axis=1), 1, rtol=1e-5)
    assert all(len(set(row)) == 3 for row in senses.tolist())
    assert likelihood.min() == pytest.approx(0.3 / 11, rel=1e-5)  # noise alone: neither of the topic nor a sense of it
    for word, topic in itertools.product(range(3), range(4)):
        assert (likelihood[topic, word] > 0.0273) == (topic in senses[word])


def by_hand(language, words, place, ordered):
    """Every pair of a sense and another one, one word at a time."""
    likelihood, topics, prior = (np.asarray(of, float) for of in language[:3])
    topics = topics.astype(int)
    word = words[place]
    found = np.zeros(3)
    for sense, other in itertools.permutations(range(3), 2):
        chance = prior[word, sense] * prior[word, other] / (1 - prior[word, sense])
        for at, one in enumerate(words):
            if at != place:
                behind = ordered and at > place
                chance *= likelihood[topics[word, other if behind else sense], one]
        found[sense] += chance
    return found / found.sum()


@pytest.mark.parametrize("kind", ["topics", "roles"])
def test_the_posterior_is_that_of_all_cases(kind, request):
    language = request.getfixturevalue(kind)
    some = drawn(language)
    posterior = np.asarray(geometry.sense_posterior(language, some))
    for row in range(40):
        expected = by_hand(language, some.words[row].tolist(), int(some.place[row]), kind == "roles")
        np.testing.assert_allclose(posterior[row], expected, atol=2e-5)


@pytest.mark.parametrize("kind", ["topics", "roles"])
def test_the_posterior_is_calibrated_and_sentences_follow_the_law(kind, request):
    """Senses come true as often as their posterior says; what is true of 20,000 sentences is within 4.5 deviations."""
    language = request.getfixturevalue(kind)
    some = drawn(language)
    posterior = np.asarray(geometry.sense_posterior(language, some), float)
    hits = np.eye(3)[some.sense]
    for low in np.arange(0, 1, 0.1):
        there = (posterior >= low) & (posterior < low + 0.1)
        if there.sum() > 50:
            spread = np.sqrt(np.sum(posterior[there] * (1 - posterior[there])))
            assert abs(np.sum(hits[there] - posterior[there])) < 4.5 * max(spread, 0.5)
    shares = np.bincount(some.sense, minlength=3) / len(some.sense)
    assert np.abs(shares - PRIOR).max() < 4.5 * np.sqrt(0.25 / len(some.sense))
    inside = (some.place >= 1) & (some.place <= 2) if kind == "roles" else some.place < 4
    assert inside.all()
    # Words before the polyseme are of the sense's topic.
    before = np.arange(4) < some.place[:, None]
    topic = np.asarray(language.topics)[some.words[np.arange(len(some.sense)), some.place], some.sense]
    expected = np.asarray(language.likelihood)[topic].sum(axis=0) / len(topic)
    rows = np.flatnonzero(before.any(axis=1))
    counts = np.bincount(some.words[rows, 0], minlength=11) / len(rows)
    assert np.abs(counts - expected).max() < 4.5 * np.sqrt(0.25 / len(rows)) + 0.01


def test_words_without_their_order_tell_nothing_where_order_decides(roles):
    """Of one word before and one behind, exchanging them exchanges the senses of two."""
    two = roles._replace(prior=jnp.broadcast_to(jnp.array([0.5, 0.5, 0.0]), (3, 3)))
    words = jnp.array([[5, 0, 9, 0], [9, 0, 5, 0]])
    there = jnp.broadcast_to(jnp.arange(4) < 3, (2, 4))
    given = geometry.Sentences(words, there, jnp.ones(2, int), jnp.zeros(2, int))
    one, other = np.asarray(geometry.sense_posterior(two, given))
    np.testing.assert_allclose(one[:2], other[1::-1], atol=1e-6)
    assert one[2] == other[2] == 0


def test_masked_words_do_not_count(topics):
    some = geometry.sentences(jax.random.key(1), topics, number=20_000, length=4, present=2)
    assert np.asarray(some.mask).sum(axis=1).tolist() == [2] * 20_000
    other = some._replace(words=jnp.where(some.mask, some.words, 7))
    one, two = (np.asarray(geometry.sense_posterior(topics, of)) for of in (some, other))
    np.testing.assert_array_equal(one, two)


def test_planted_polysemes_lie_between_their_topics(topics):
    flat = np.asarray(geometry.planted_words(jax.random.key(5), topics, dimensions=8, spread=0.0))
    centres = flat[3::2]
    np.testing.assert_allclose(flat[3:], np.repeat(centres, 2, axis=0), atol=1e-6)
    np.testing.assert_allclose(flat[:3], np.einsum("s,asd->ad", PRIOR, centres[np.asarray(topics.topics)]), atol=1e-6)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"prior": (1.0,)}, "prior: expected at least two senses of a frequency above 0, got 1"),
        ({"prior": (0.5, np.nan)}, "prior: expected finite frequencies"),
        ({"prior": (0.2,) * 5}, "topics: expected at least one for each of the 5 senses, got 4"),
        ({"noise": 1.5}, "noise: expected a share from 0 to 1"),
        ({"ambiguity": -0.1}, "ambiguity: expected a number of at least 0"),
        ({"decides": "words"}, "decides: expected one of"),
        ({"words": 0}, "words: expected a static integer of at least 1"),
    ],
)
def test_bad_languages(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        geometry.language(jax.random.key(0), **{**SIZES, **options})


def test_bad_sentences(topics, roles):
    with pytest.raises(ValueError, match="length: expected a static integer of at least 2, got 1"):
        geometry.sentences(jax.random.key(0), topics, number=1, length=1)
    with pytest.raises(ValueError, match="length: expected a static integer of at least 3, got 2"):
        geometry.sentences(jax.random.key(0), roles, number=1, length=2)
    with pytest.raises(ValueError, match="present: expected 2 to 4 words, got 0"):
        geometry.sentences(jax.random.key(0), topics, number=1, length=4, present=0)
