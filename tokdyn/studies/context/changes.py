"""A word added, two merged, one split: where they come to lie, and what the others keep; against training anew."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tokdyn import geometry, keys
from tokdyn.dynamics.sphere import on_sphere
from tokdyn.geometry import Sentences
from tokdyn.studies.context import design, readers
from tokdyn.studies.context.design import DIMENSIONS, POLYSEMES, USES, WORDS
from tokdyn.studies.context.worlds import world

NEAR = 5


def changes(cell: dict[str, Any], key: jax.Array, *, number: int) -> dict[str, jax.Array]:
    """One language whose vocabulary changes, by the number of uses that are known of the changed words.

    Args:
        cell: the numbers of a ``Condition`` of two senses.
        key: of everything random.
        number: of sentences (static); half of them are held out.

    Returns:
        Those of ``experiment.VARIABLES`` that are about changes.
    """
    made, vectors = world(cell, key)
    length = int(design.BASE.length)
    known, asked = (
        geometry.sentences(keys.for_purpose(key, purpose), made, number=number, length=length)
        for purpose in ("uses", "other uses")
    )
    count = vectors.shape[0]
    everyone = jnp.arange(count)
    # Of the topics of the first polyseme's senses, so that sentences are about them: a word of the first is added, two
    # of the second are merged.
    first_topic, second_topic = made.topics[0, 0], made.topics[0, 1]
    new, one = (POLYSEMES + of * WORDS for of in (first_topic, second_topic))
    pair = jnp.stack([one, one + 1])
    used = ((made.topics == jnp.arange(made.likelihood.shape[0])[:, None, None]) & (made.prior > 0)).any(axis=(1, 2))
    met = jnp.concatenate([jnp.ones(POLYSEMES, bool), jnp.repeat(used, WORDS)])
    # Who is of the first topic: its own words, and the polysemes that have a sense in it.
    of_polysemes = ((made.topics == first_topic) & (made.prior > 0)).any(axis=1)
    akin = jnp.concatenate([of_polysemes, jnp.repeat(jnp.arange(len(used)) == first_topic, WORDS)])

    def kept(before: jax.Array, after: jax.Array, stands: jax.Array) -> jax.Array:
        return geometry.coherence(before, after, stands, num_neighbours=NEAR)

    # Added: the table without the word, then with it, last, at the mean of so many uses.
    rest = everyone[:-1] + (everyone[:-1] >= new)
    table = vectors[rest]
    grown = jnp.eye(count, count - 1, dtype=bool)

    def added(uses: jax.Array) -> tuple[jax.Array, jax.Array]:
        place = _used(vectors, known, new[None], uses)
        return jnp.mean(akin[rest][_nearest(table, place)]), kept(table, jnp.concatenate([table, place[None]]), grown)

    # Merged: the two words of the second topic as one, last.
    left = everyone[:-2] + 2 * (everyone[:-2] >= one)
    merged = vectors[pair].mean(axis=0)
    smaller = jnp.concatenate([vectors[left], merged[None]])
    stands = jnp.zeros((count - 1, count), bool).at[jnp.arange(count - 2), left].set(True)
    stands = stands.at[-1, pair].set(True)
    likeness = on_sphere(smaller) @ _used(vectors, known, pair, number)

    # Split: the first polyseme by its uses.
    later = jnp.arange(1, count)
    parts = jnp.zeros((count + 1, count), bool).at[jnp.arange(count - 1), later].set(True).at[-2:, 0].set(True)
    points, about = readers.contexts(vectors, asked), readers.polyseme(asked) == 0
    points_known = readers.contexts(vectors, known)
    ranks = jnp.arange(max(USES))
    first = jnp.argsort(readers.polyseme(known) != 0, stable=True)[: max(USES)]  # sentences about it come first

    def split(uses: jax.Array) -> tuple[jax.Array, jax.Array]:
        groups = geometry.grouped_uses(
            points_known[first], key=keys.for_purpose(key, "tokens"), parts=2, mask=ranks < uses
        )
        nearest = jnp.argmin(jnp.sum((points[:, None] - groups.centres) ** 2, axis=-1), axis=1)
        agrees = jnp.sum((nearest == asked.sense) & about) / jnp.sum(about)
        table = jnp.concatenate([vectors[later], groups.centres])
        return jnp.maximum(agrees, 1 - agrees), kept(vectors, table, parts)

    counts = jnp.array(USES)
    placed, grew = jax.vmap(added)(counts)
    told, tore = jax.vmap(split)(counts)
    shrank = kept(vectors, smaller, stands)
    posterior = jnp.argmax(geometry.sense_posterior(made, asked), axis=1) == asked.sense
    return {
        "added_place": placed,
        "added_own": jnp.mean(akin[rest][_nearest(table, vectors[new])]),
        "added_chance": jnp.mean(akin[rest]),
        "coherence": jnp.stack([grew, jnp.full(len(USES), shrank), tore]),
        "merged_place": jnp.mean(likeness[:-1] < likeness[-1]),
        "information": jnp.stack([_information(of, count) for of in (known, asked)]),
        "met": met,
        "split_senses": told,
        "split_oracle": jnp.sum(posterior & about) / jnp.sum(about),
    }  # fmt: skip


def _used(vectors: jax.Array, given: Sentences, words: jax.Array, uses: jax.Array | int) -> jax.Array:
    """Mean of the words around some words, over the first so many sentences that have them `[D]`."""
    own = jnp.isin(given.words, words) & given.mask
    has = own.any(axis=1)
    counted = has & (jnp.cumsum(has) <= uses)
    around = (given.mask & ~own & counted[:, None]).astype(vectors.dtype)
    means = jnp.einsum("nl,nld->nd", around, vectors[given.words]) / jnp.maximum(around.sum(axis=1), 1)[:, None]
    return means.sum(axis=0) / jnp.maximum(counted.sum(), 1)


def _nearest(table: jax.Array, place: jax.Array) -> jax.Array:
    return jax.lax.top_k(on_sphere(table) @ place, NEAR)[1]


def trained_anew(information: np.ndarray, met: np.ndarray) -> np.ndarray:
    """Share of neighbours that stay when word vectors are made from scratch, twice, from sentences of one language.

    Args:
        met: words that sentences are about, others being met as noise alone: these are counted `[seeds, V]`.
        information: of ``changes`` `[seeds, 2, V, V]`. On the host: a batch of eigenvalue problems inside a compiled
            loop can block jaxlib 0.10.1 for good.

    Returns:
        `[seeds]`.

    References:
        O. Levy, Y. Goldberg, Neural word embedding as implicit matrix factorization, NeurIPS 2014.
    """
    sizes, directions = np.linalg.eigh(information.astype(np.float64))
    scales = np.sqrt(np.maximum(sizes[..., None, -DIMENSIONS:], 0.0))
    vectors = (directions[..., -DIMENSIONS:] * scales).astype(np.float32)
    same = np.eye(vectors.shape[-2], dtype=bool)
    kept = jax.jit(jax.vmap(lambda one, other, met: geometry.coherence(one, other, same & met, num_neighbours=NEAR)))
    return np.asarray(kept(vectors[:, 0], vectors[:, 1], met.astype(bool)))


def _information(given: Sentences, count: int) -> jax.Array:
    """Positive pointwise mutual information of words that share a sentence `[V, V]`."""
    has = jnp.zeros((given.words.shape[0], count)).at[jnp.arange(len(given.words))[:, None], given.words].set(1.0)
    together = (has.T @ has) * (1 - jnp.eye(count))
    each = together.sum(axis=1)
    found = jnp.log(jnp.maximum(together * together.sum(), 1.0) / jnp.maximum(each[:, None] * each, 1.0))
    return jnp.where(together > 0, jnp.maximum(found, 0.0), 0.0)
