"""Sentences and graphs of words as one pattern of 8 x 8, 32 x 32 or 128 x 128 cells, decoded back to words."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from tokdyn import draws, geometry, keys
from tokdyn.studies.context.design import EDGES, NOISES

NOUNS, VERBS = 64, 16
RELATIONS, GRAPH_WORDS = 8, 128


def triples(cell: dict[str, Any], key: jax.Array, *, side: int, number: int) -> dict[str, jax.Array]:
    """Subject, verb and object from the pattern of the verb in its sentence, with and without roles.

    Args:
        cell: nothing that counts.
        key: of codes, orders, sentences and noise.
        side: of the grid of cells (static).
        number: of sentences (static).

    Returns:
        ``exact`` and ``told_apart`` `[2, noises]`: cells of all connected words left in their order, then of each
        role in an order of its own.
    """
    cells = side * side
    codes = draws.normal(keys.for_purpose(key, "codes"), (NOUNS + VERBS, cells)) / jnp.sqrt(cells)
    roles = geometry.role_orders(keys.for_purpose(key, "orders"), roles=2, cells=cells)
    nouns = jax.vmap(lambda own: jax.random.permutation(own, NOUNS)[:2])(
        jax.random.split(keys.for_purpose(key, "nouns"), number)
    )
    verbs = NOUNS + jax.random.randint(keys.for_purpose(key, "verbs"), (number,), 0, VERBS)
    noise = draws.normal(keys.for_purpose(key, "noise"), (number, cells)) * jnp.sqrt(3 / cells)
    words = jnp.stack([nouns[:, 0], verbs, nouns[:, 1]], axis=1)
    # The verb, in the middle, is connected to its subject by the first relation and to its object by the second.
    weights = jnp.zeros((2, 3, 3)).at[0, 1, 0].set(1.0).at[1, 1, 2].set(1.0)
    plain = jnp.broadcast_to(jnp.arange(cells), roles.shape)

    def of(orders: jax.Array) -> tuple[jax.Array, jax.Array]:
        own = jnp.concatenate([orders, plain[:1]])  # the verb stays where it is

        def one(given: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
            sentence, noise = given
            pattern = geometry.connected(codes[sentence], weights, orders=orders)[1]
            # Scores are linear in the pattern: those of the noise are added at each level.
            clean, noisy = (geometry.role_scores(of, codes, own) for of in (pattern, noise))
            return jax.vmap(lambda level: judged(clean + level * noisy, sentence))(jnp.array(NOISES))

        exact, apart = jax.vmap(one)((words, noise))
        return exact.mean(axis=0), apart.mean(axis=0)

    def judged(scores: jax.Array, sentence: jax.Array) -> tuple[jax.Array, jax.Array]:
        subject, thing, verb = scores[0, :NOUNS], scores[1, :NOUNS], scores[2, NOUNS:]
        both = jnp.where(jnp.eye(NOUNS, dtype=bool), -jnp.inf, subject[:, None] + thing)
        best = jnp.argmax(both)
        found = jnp.stack([best // NOUNS, NOUNS + jnp.argmax(verb), best % NOUNS])
        gap = both[sentence[0], sentence[2]] - both[sentence[2], sentence[0]]
        return (found == sentence).all(), (jnp.sign(gap) + 1) / 2

    each = [of(orders) for orders in (plain, roles)]
    return {name: jnp.stack([one[which] for one in each]) for which, name in enumerate(("exact", "told_apart"))}


def graphs(cell: dict[str, Any], key: jax.Array, *, side: int) -> dict[str, jax.Array]:
    """Dependents of random graphs of words from one pattern, by the number of edges.

    Args:
        cell: nothing that counts.
        key: of codes, orders and graphs.
        side: of the grid of cells (static).

    Returns:
        ``edges_right`` and ``graph_right``, over the numbers of edges.
    """
    cells = side * side
    codes = jax.random.rademacher(keys.for_purpose(key, "codes"), (GRAPH_WORDS, cells), float)
    orders = geometry.role_orders(keys.for_purpose(key, "orders"), roles=RELATIONS, cells=cells)

    # Each head has a relation once: the question has one answer.
    asked = jax.random.permutation(keys.for_purpose(key, "asked"), GRAPH_WORDS * RELATIONS)[: max(EDGES)]
    dependents = jax.random.randint(keys.for_purpose(key, "dependents"), asked.shape, 0, GRAPH_WORDS)
    edges = geometry.Edges(asked // RELATIONS, asked % RELATIONS, dependents)
    order = jnp.arange(max(EDGES))

    def of(count: jax.Array) -> tuple[jax.Array, jax.Array]:
        there = order < count
        pattern = geometry.graph_pattern(edges, codes, orders, mask=there)
        right = jnp.argmax(geometry.dependent_scores(pattern, edges, codes, orders), axis=1) == dependents
        return jnp.sum(right & there) / count, (right | ~there).all()

    right, whole = jax.lax.map(of, jnp.array(EDGES))
    return {"edges_right": right, "graph_right": whole.astype(right.dtype)}
