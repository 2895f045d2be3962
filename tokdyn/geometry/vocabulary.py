"""A vocabulary that changes without training: words are added, merged and split, and what the others keep of it.

A word lies where it is used: at the mean of the vectors of its contexts. Nobody else's vector moves.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from tokdyn import checks
from tokdyn.dynamics import attraction, compose
from tokdyn.dynamics.sphere import on_sphere
from tokdyn.geometry.vectors import WordVectors
from tokdyn.numerics import masked_mean, squared_distances
from tokdyn.solve import run, vmap

_STARTS, _STEPS = 8, 100
_TEMPERATURE = 0.05  # over the mean squared distance from the mean: nearly hard


class Uses(NamedTuple):
    """The uses of a word in groups.

    Attributes:
        labels: the group of every use `[M]`.
        centres: means of the groups `[parts, D]`.
        counts: uses in each `[parts]`.
    """

    labels: jax.Array
    centres: jax.Array
    counts: jax.Array


class Split(NamedTuple):
    """A vocabulary in which one word has become several.

    Attributes:
        table: with the new words at the end.
        labels: which of the new words each use belongs to `[M]`.
    """

    table: WordVectors
    labels: np.ndarray


def with_word(table: WordVectors, word: str, uses: ArrayLike) -> WordVectors:
    """A vocabulary with one more word, at the mean of its uses, as long as words are there on average.

    Args:
        table: the vocabulary.
        word: a new one.
        uses: a vector for each context in which it was met, for instance the mean of the other words `[M, D]`.

    Returns:
        A ``WordVectors``; the vectors of all other words are the same.

    Raises:
        ValueError: a word that is there, no use, uses of another width or that are not finite, or that cancel.

    Example:
        >>> from tokdyn import geometry
        >>> table = geometry.word_vectors().chosen(["cat", "dog", "bird", "red", "blue"])
        >>> more = geometry.with_word(table, "ferret", table.of(["cat", "dog"]))
        >>> near = more.vectors[:-1] @ more.vectors[-1]
        >>> sorted(table.words[i] for i in near.argsort()[-3:])
        ['bird', 'cat', 'dog']
    """
    if word in table.words:
        raise checks.bad("word", "a new word", f"{word!r}, which the table has")
    length = float(np.linalg.norm(table.vectors, axis=1).mean())
    return WordVectors((*table.words, word), np.concatenate([table.vectors, _of_length(_uses(table, uses), length)]))


def with_merged(
    table: WordVectors, words: tuple[str, str], name: str, *, counts: tuple[float, float] = (1.0, 1.0)
) -> WordVectors:
    """A vocabulary in which two words are one, at the mean of both by how often each is used.

    Args:
        table: the vocabulary.
        words: two different ones.
        name: of the word that stands for both; one of them, or a new one.
        counts: how often each was used.

    Returns:
        A ``WordVectors`` with the merged word at the end.

    Raises:
        ValueError: a word that is not there, a word with itself, a name that another word has, counts not above 0.

    Example:
        >>> from tokdyn import geometry
        >>> table = geometry.word_vectors().chosen(["big", "large", "cat"])
        >>> geometry.with_merged(table, ("big", "large"), "big").words
        ('cat', 'big')
    """
    if len(words) != 2 or words[0] == words[1]:
        raise checks.bad("words", "two different words", " and ".join(map(repr, words)) or "none")
    pair = table.of(words)
    weights = np.array([checks.hyperparameter("counts", count, above=0.0) for count in counts])
    if len(weights) != 2:
        raise checks.bad("counts", "one for each of the two words", len(weights))
    return _replaced(table, set(words), (name,), (weights / weights.sum()) @ pair)


def with_split(table: WordVectors, word: str, uses: ArrayLike, names: Sequence[str], *, key: jax.Array) -> Split:
    """A vocabulary in which one word has become several, one for each group of its uses.

    The uses are grouped by tokens that they attract (``grouped_uses``); each new word lies at the mean of its group,
    and is as long as the word was. Names go to the groups from the largest on.

    Args:
        table: the vocabulary.
        word: one of its words.
        uses: a vector for each context in which it was met `[M, D]`.
        names: of the new words, at least two.
        key: of the tokens' starts.

    Returns:
        A ``Split``.

    Raises:
        ValueError: a word that is not there, fewer than two names, names twice or of other words, fewer uses than
            names, uses of another width or that are not finite.

    Example:
        >>> import jax, numpy as np
        >>> from tokdyn import geometry
        >>> table = geometry.word_vectors()
        >>> uses = table.of(["river", "water", "sea", "money", "business"])
        >>> found = geometry.with_split(table, "bank", uses, ["shore", "treasury"], key=jax.random.key(0))
        >>> found.labels.tolist()
        [0, 0, 0, 1, 1]
    """
    checks.random_key("key", key)
    chosen = tuple(names)
    if len(chosen) < 2:
        raise checks.bad("names", "at least two, one for each new word", len(chosen))
    checks.each_once("names", chosen)
    own = table.of([word])[0]
    rows = _uses(table, uses)
    if len(rows) < len(chosen):
        raise checks.bad("uses", f"at least one for each of the {len(chosen)} names", len(rows))
    found = grouped_uses(rows, key=key, parts=len(chosen))
    counts, centres = np.asarray(found.counts), np.asarray(found.centres)
    if not counts.all():
        raise checks.bad("uses", f"at least {len(chosen)} different ones", int((counts > 0).sum()))
    order = np.argsort(-counts, kind="stable")
    length = float(np.linalg.norm(own))
    vectors = np.concatenate([_of_length(centres[[group]], length) for group in order])
    return Split(_replaced(table, {word}, chosen, vectors), np.argsort(order)[np.asarray(found.labels)])


def grouped_uses(uses: ArrayLike, *, key: jax.Array, parts: int, mask: ArrayLike | None = None) -> Uses:
    """Uses of a word in groups: tokens that they attract, from eight starts, the one with the smallest squares kept.

    Args:
        uses: `[M, D]`.
        key: of the starts.
        parts: tokens (static), at least 2.
        mask: which uses exist `[M]`; by default all.

    Returns:
        ``Uses``.

    Raises:
        ValueError: fewer than two parts, or fewer uses than parts.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from tokdyn import geometry
        >>> uses = jnp.array([[0.0], [0.1], [5.0]])
        >>> sorted(geometry.grouped_uses(uses, key=jax.random.key(0), parts=2).counts.tolist())
        [1.0, 2.0]
    """
    rows = checks.floating("uses", uses, axes="[M, D]")
    number = checks.whole_number("parts", parts, at_least=2)
    checks.random_key("key", key)
    if rows.shape[0] < number:
        raise checks.bad("uses", f"at least one for each of the {number} parts", rows.shape[0])
    exists = checks.boolean_mask("mask", mask, rows.shape[0], axes="[M]")
    return _grouped(rows, jnp.ones(rows.shape[0], bool) if exists is None else exists, key, number)


def coherence(before: ArrayLike, after: ArrayLike, stands_for: ArrayLike, *, num_neighbours: int = 5) -> jax.Array:
    """Share of the nearest neighbours that words still have when the vocabulary has changed.

    Counted are words that are in both: rows of ``after`` that stand for one row of ``before``, which only they stand
    for. A neighbour is still there if a word that stands for it is among the k nearest; by chance about k / (N - 1).

    Args:
        before: `[N, D]`.
        after: `[M, D]`.
        stands_for: which words of before each word of after stands for `[M, N]` bool: one for a word that stayed, none
            for a new one, two for a merged one; two words stand for one that was split.
        num_neighbours: k (static), by cosines.

    Returns:
        `[]`; NaN if no word is in both.

    Raises:
        ValueError: arrays that do not fit together, or k not below both numbers of words.

    Example:
        >>> import jax.numpy as jnp
        >>> from tokdyn import geometry
        >>> vectors = geometry.word_vectors().vectors[:20]
        >>> float(geometry.coherence(vectors, vectors, jnp.eye(20, dtype=bool)))
        1.0
    """
    old, new = checks.floating("before", before, axes="[N, D]"), checks.floating("after", after, axes="[M, D]")
    same = jnp.asarray(stands_for)
    if same.shape != (new.shape[0], old.shape[0]) or same.dtype != jnp.bool_:
        expected = f"a boolean array of shape {(new.shape[0], old.shape[0])}"
        raise checks.bad("stands_for", expected, checks.describe_array(same))
    k = checks.whole_number("num_neighbours", num_neighbours, at_least=1)
    if k >= min(old.shape[0], new.shape[0]):
        raise checks.bad("num_neighbours", f"less than the {min(old.shape[0], new.shape[0])} words", k)
    return _coherence(old, new, same, k)


@functools.partial(jax.jit, static_argnums=3)
def _grouped(rows: jax.Array, mask: jax.Array, key: jax.Array, parts: int) -> Uses:
    away = jnp.sum((rows - masked_mean(rows, mask)) ** 2, axis=1)
    heat = _TEMPERATURE * jnp.maximum(masked_mean(away, mask), jnp.finfo(rows.dtype).tiny)
    dynamics = compose(attract=attraction(temperature=heat))

    def ended(own: jax.Array) -> tuple[jax.Array, jax.Array]:
        found = run(
            dynamics, own, rows, num_tokens=parts, max_steps=_STEPS, tol=0.0, start="kmeans++", mask=mask,
            assignment="none",
        )  # fmt: skip
        squares = squared_distances(rows, found.tokens)
        return jnp.sum(jnp.where(mask, squares.min(axis=1), 0.0)), jnp.argmin(squares, axis=1)

    errors, labels = vmap(ended)(jax.random.split(key, _STARTS))
    best = labels[jnp.argmin(errors)]
    member = jnp.where(mask[:, None], jax.nn.one_hot(best, parts, dtype=rows.dtype), 0.0)
    counts = member.sum(axis=0)
    return Uses(best, member.T @ rows / jnp.maximum(counts, 1)[:, None], counts)


@functools.partial(jax.jit, static_argnums=3)
def _coherence(before: jax.Array, after: jax.Array, same: jax.Array, k: int) -> jax.Array:
    old, new = _nearest(before, k), _nearest(after, k)  # [N, k], [M, k]
    only = same & (same.sum(axis=0) == 1) & (same.sum(axis=1) == 1)[:, None]
    row = jnp.argmax(only, axis=1)  # of the word in before
    # [M, k of before, k of after]
    still = same[new[:, None, :], old[row][:, :, None]].any(axis=2)
    counted = only.any(axis=1)
    return jnp.sum(still.mean(axis=1) * counted) / jnp.sum(counted)


def _nearest(vectors: jax.Array, k: int) -> jax.Array:
    directions = on_sphere(vectors)
    cosines = jnp.where(jnp.eye(len(vectors), dtype=bool), -jnp.inf, directions @ directions.T)
    return jax.lax.top_k(cosines, k)[1]


def _uses(table: WordVectors, uses: ArrayLike) -> np.ndarray:
    rows = np.asarray(checks.floating("uses", uses, axes="[M, D]"), table.vectors.dtype)
    if len(rows) == 0:
        raise checks.bad("uses", "at least one context", "none")
    if rows.shape[1] != table.vectors.shape[1]:
        raise checks.bad("uses", f"{table.vectors.shape[1]} columns, as the table has", rows.shape[1])
    if not np.isfinite(rows).all():
        raise checks.bad("uses", "finite numbers", "infinite or NaN entries")
    return rows


def _of_length(rows: np.ndarray, length: float) -> np.ndarray:
    mean = rows.mean(axis=0, keepdims=True)
    if not mean.any():
        raise checks.bad("uses", "contexts with a direction in common", "some whose mean is 0")
    return mean * (length / np.linalg.norm(mean))


def _replaced(table: WordVectors, gone: set[str], names: tuple[str, ...], vectors: np.ndarray) -> WordVectors:
    stay = [place for place, word in enumerate(table.words) if word not in gone]
    words = tuple(table.words[place] for place in stay)
    if taken := [name for name in names if name in words]:
        raise checks.bad("names" if len(names) > 1 else "name", "a new word", f"{taken[0]!r}, which the table has")
    rows = np.concatenate([table.vectors[stay], vectors.reshape(len(names), -1).astype(table.vectors.dtype)])
    return WordVectors((*words, *names), rows)
