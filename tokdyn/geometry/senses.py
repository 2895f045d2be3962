r"""Generated sentences with words of several senses, whose senses are known, and what a sentence says about them.

A ``Language`` has A polysemes, each with S senses, and T topics of W words. A sentence has one polyseme whose sense is
asked for, and every other word is drawn from a topic: the sense's own (``decides="topics"``); or, where order decides
(``decides="roles"``), from the sense's topic before the polyseme, and behind it from the topic of another sense of the
same word, so that the words without their order tell nothing. A topic's words are

.. math:: P(w \mid t) = (1 - \eta) [(1 - a)\, \mathrm{own}_t(w) + a\, \mathrm{poly}_t(w)] + \eta / V

with noise `\eta` and ambiguity a, the share of words that are themselves polysemes with a sense in that topic.
"""

from __future__ import annotations

import functools
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from tokdyn import checks, draws, keys

Decides = Literal["topics", "roles"]
DECIDES = ("topics", "roles")


class Language(NamedTuple):
    """How sentences are made. Words 0 to A - 1 are polysemes; then come the words of each topic.

    Attributes:
        likelihood: `P(word | topic)` `[T, V]`.
        topics: of each sense `[A, S]`, different ones for the senses of a word.
        prior: probability of each sense `[A, S]`; 0 where a word has fewer.
        ordered: whether order decides `[]`.
    """

    likelihood: jax.Array
    topics: jax.Array
    prior: jax.Array
    ordered: jax.Array


class Sentences(NamedTuple):
    """Sentences, each about one polyseme.

    Attributes:
        words: `[N, L]`.
        mask: which words exist `[N, L]`.
        place: of the polyseme `[N]`.
        sense: of the polyseme, from 0 to S - 1 `[N]`.
    """

    words: jax.Array
    mask: jax.Array
    place: jax.Array
    sense: jax.Array


def language(
    key: jax.Array,
    *,
    polysemes: int,
    topics: int,
    words: int,
    prior: ArrayLike = (0.5, 0.5),
    noise: ArrayLike = 0.0,
    ambiguity: ArrayLike = 0.0,
    decides: Decides = "topics",
) -> Language:
    """A language; which topics the senses of a polyseme belong to is drawn.

    Args:
        key: a JAX key.
        polysemes: A (static).
        topics: T (static).
        words: of each topic, W (static).
        prior: relative frequencies of the senses `[S]`; their number is that of the senses, some of which may be 0.
        noise: share of words that are drawn from all alike `[]`.
        ambiguity: share of the other words that are polysemes `[]`.
        decides: what a sense shows in: "topics", or "roles", where order matters.

    Returns:
        A ``Language`` of `V = A + T W` words.

    Raises:
        ValueError: fewer than two senses, fewer topics than senses, a share outside 0 to 1, no word.

    Example:
        >>> import jax
        >>> from tokdyn import geometry
        >>> made = geometry.language(jax.random.key(0), polysemes=3, topics=4, words=5)
        >>> made.likelihood.shape, made.topics.shape
        ((4, 23), (3, 2))
    """
    checks.random_key("key", key)
    counts = {"polysemes": polysemes, "topics": topics, "words": words}
    sizes = tuple(checks.whole_number(name, value, at_least=1) for name, value in counts.items())
    weights = jnp.asarray(prior, jnp.result_type(float))
    if weights.ndim != 1:
        raise checks.bad("prior", "frequencies of the senses [S]", checks.describe_array(weights))
    if checks.is_concrete(weights):
        numbers = np.asarray(weights)
        if not np.isfinite(numbers).all() or (numbers < 0).any():
            raise checks.bad("prior", "finite frequencies of at least 0", checks.shown(numbers.tolist()))
        if (several := int((numbers > 0).sum())) < 2:
            raise checks.bad("prior", "at least two senses of a frequency above 0", several)
    if weights.shape[0] > sizes[1]:
        raise checks.bad("topics", f"at least one for each of the {weights.shape[0]} senses", sizes[1])
    checks.choice("decides", decides, DECIDES)
    given = _share("noise", noise), _share("ambiguity", ambiguity)
    return _language(key, weights, *given, jnp.asarray(decides == "roles"), sizes)


def sentences(
    key: jax.Array, made: Language, *, number: int, length: int, present: ArrayLike | None = None
) -> Sentences:
    """Sentences of a language, each about a polyseme at a place of its own.

    Args:
        key: a JAX key.
        made: of ``language``.
        number: N (static).
        length: L, the polyseme included (static): at least 2, where order decides 3.
        present: words that exist `[]`, at most L; by default all. The others are masked.

    Returns:
        ``Sentences``.

    Raises:
        ValueError: a sentence without other words, or more present words than there is room for.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from tokdyn import geometry
        >>> made = geometry.language(jax.random.key(0), polysemes=3, topics=4, words=5)
        >>> drawn = geometry.sentences(jax.random.key(1), made, number=2, length=4)
        >>> drawn.words.shape, bool((drawn.words[jnp.arange(2), drawn.place] < 3).all())
        ((2, 4), True)
    """
    checks.random_key("key", key)
    count = checks.whole_number("number", number, at_least=1)
    known = checks.is_concrete(made.ordered)
    least = 3 if known and bool(made.ordered) else 2
    longest = checks.whole_number("length", length, at_least=least)
    there = longest if present is None else present
    if checks.is_concrete(there) and not least <= int(there) <= longest:  # type: ignore[arg-type]
        raise checks.bad("present", f"{least} to {longest} words", checks.shown(there))
    return _sentences(key, made, jnp.asarray(there, jnp.int32), count, longest)


@jax.jit
def sense_posterior(made: Language, given: Sentences) -> jax.Array:
    r"""The exact probability of each sense given the sentence: what no reader can do better than.

    `P(s \mid w) \propto P(s) \prod_i P(w_i \mid t_s)` over the other words; where order decides, the product is over
    the words before, and those behind count with `\sum_{s' \ne s} P(s' \mid s' \ne s) \prod_i P(w_i \mid t_{s'})`.

    Args:
        made: the language that the sentences are from.
        given: the sentences; their ``sense`` is not looked at.

    Returns:
        `[N, S]`; NaN for a sentence that the language cannot make.

    Example:
        >>> import jax
        >>> from tokdyn import geometry
        >>> made = geometry.language(jax.random.key(0), polysemes=3, topics=4, words=5)
        >>> drawn = geometry.sentences(jax.random.key(1), made, number=2, length=4)
        >>> geometry.sense_posterior(made, drawn).max(axis=1).tolist()  # without noise one word is enough
        [1.0, 1.0]
    """
    order = jnp.arange(given.words.shape[1])
    logs = jnp.log(made.likelihood).T[given.words]  # [N, L, T]
    counted = given.mask & (order != given.place[:, None])
    before = counted & (order < given.place[:, None])
    word = jnp.take_along_axis(given.words, given.place[:, None], axis=1)[:, 0]
    topics, prior = made.topics[word], made.prior[word]  # [N, S]

    def of_words(which: jax.Array) -> jax.Array:
        """Log likelihood of some words for the topic of each sense `[N, S]`."""
        return jnp.take_along_axis(jnp.sum(jnp.where(which[..., None], logs, 0.0), axis=1), topics, axis=1)

    # Of the sense in question and of another one [N, S, S].
    weighed = (jnp.log(prior) + of_words(counted & ~before))[:, None]
    other = jnp.where(jnp.eye(prior.shape[1], dtype=bool), -jnp.inf, weighed)
    behind = jax.nn.logsumexp(other, axis=2) - jnp.log1p(-prior)
    found = jnp.where(made.ordered, of_words(before) + behind, of_words(counted))
    return jax.nn.softmax(jnp.log(prior) + found, axis=1)


def planted_words(key: jax.Array, made: Language, *, dimensions: int, spread: ArrayLike = 0.5) -> jax.Array:
    """One vector for each word of a language: topics have centres; a polyseme lies in the middle of its senses'.

    Args:
        key: a JAX key.
        made: of ``language``.
        dimensions: D (static).
        spread: of words about their centre, in units of a centre's length `[]`.

    Returns:
        `[V, D]`.

    Raises:
        ValueError: no dimension, or a negative spread.

    Example:
        >>> import jax
        >>> from tokdyn import geometry
        >>> made = geometry.language(jax.random.key(0), polysemes=3, topics=4, words=5)
        >>> geometry.planted_words(jax.random.key(1), made, dimensions=8).shape
        (23, 8)
    """
    checks.random_key("key", key)
    width = checks.whole_number("dimensions", dimensions, at_least=1)
    return _planted(key, made, checks.hyperparameter("spread", spread, at_least=0.0), width)


def _share(name: str, value: ArrayLike) -> ArrayLike:
    checked = checks.hyperparameter(name, value, at_least=0.0)
    if checks.is_concrete(checked) and np.any(np.asarray(checked) > 1):
        raise checks.bad(name, "a share from 0 to 1", checks.shown(value))
    return checked


@functools.partial(jax.jit, static_argnums=5)
def _language(
    key: jax.Array, weights: jax.Array, noise: jax.Array, ambiguity: jax.Array, ordered: jax.Array,
    sizes: tuple[int, int, int],
) -> Language:  # fmt: skip
    polysemes, topics, words = sizes
    senses = weights.shape[0]
    own = keys.for_purpose(key, "topics")
    chosen = jax.vmap(lambda one: jax.random.permutation(jax.random.fold_in(own, one), topics)[:senses])(
        jnp.arange(polysemes)
    )
    prior = jnp.broadcast_to(weights / weights.sum(), (polysemes, senses))
    # [T, A]: how much of each polyseme belongs to each topic.
    belongs = jnp.zeros((topics, polysemes), prior.dtype).at[chosen, jnp.arange(polysemes)[:, None]].add(prior)
    total = belongs.sum(axis=1, keepdims=True)
    share = jnp.where(total > 0, ambiguity, 0.0)  # a topic without polysemes has its own words alone
    of_polysemes = belongs / jnp.where(total > 0, total, 1.0)
    of_topics = jnp.repeat(jnp.eye(topics, dtype=prior.dtype), words, axis=1) / words
    known = jnp.concatenate([share * of_polysemes, (1 - share) * of_topics], axis=1)
    return Language((1 - noise) * known + noise / known.shape[1], chosen, prior, ordered)


@functools.partial(jax.jit, static_argnums=(3, 4))
def _sentences(key: jax.Array, made: Language, present: jax.Array, number: int, length: int) -> Sentences:
    def drawn(purpose: str, shape: tuple[int, ...]) -> jax.Array:
        return draws.uniform(keys.for_purpose(key, purpose), shape)

    order = jnp.arange(length)
    word = jnp.floor(drawn("polyseme", (number,)) * made.prior.shape[0]).astype(jnp.int32)
    prior = made.prior[word]
    sense = _one_of(prior, drawn("sense", (number,)))
    rest = jnp.where(jnp.arange(prior.shape[1]) == sense[:, None], 0.0, prior)
    other = _one_of(rest, drawn("other sense", (number,)))
    first = made.ordered.astype(jnp.int32)
    room = present - 2 * first
    place = first + jnp.floor(drawn("place", (number,)) * room).astype(jnp.int32)
    own, others = (jnp.take_along_axis(made.topics[word], one[:, None], axis=1) for one in (sense, other))
    topic = jnp.where(made.ordered & (order > place[:, None]), others, own)
    words = _one_of(made.likelihood[topic], drawn("words", (number, length)))
    words = jnp.where(order == place[:, None], word[:, None], words)
    mask = jnp.broadcast_to(order < present, words.shape)
    return Sentences(jnp.where(mask, words, 0), mask, place, sense)


def _one_of(weights: jax.Array, uniform: jax.Array) -> jax.Array:
    """The option that a uniform number falls on; never one of weight 0."""
    ends = jnp.cumsum(weights, axis=-1)
    return jnp.sum(uniform[..., None] * ends[..., -1:] >= ends, axis=-1).clip(max=weights.shape[-1] - 1)


@functools.partial(jax.jit, static_argnums=3)
def _planted(key: jax.Array, made: Language, spread: jax.Array, width: int) -> jax.Array:
    topics, count = made.likelihood.shape
    polysemes = made.prior.shape[0]
    centres = draws.normal(keys.for_purpose(key, "centres"), (topics, width)) / jnp.sqrt(width)
    middles = jnp.einsum("as,asd->ad", made.prior, centres[made.topics])
    of_topics = jnp.repeat(centres, (count - polysemes) // topics, axis=0)
    noise = draws.normal(keys.for_purpose(key, "words"), (count, width)) / jnp.sqrt(width)
    return jnp.concatenate([middles, of_topics]) + spread * noise
