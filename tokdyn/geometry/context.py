r"""Tokens whose pattern depends on context: connections between the words of a sentence, roles, and graphs of words.

A word's pattern in a sentence is its own and what it gets from the words that it is connected to:

.. math:: c_i = x_i + \sum_r \sum_j A^r_{ij}\, \pi_r(x_j)

where `A^r` are the connections of relation r, made from the sentence itself, and `\pi_r` is an order of the cells (a
permutation) that marks the relation: without it subject and object of a verb could change places unseen.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from tokdyn import checks, keys


class Edges(NamedTuple):
    """Connected words: the graph of a phrase, a sentence or several.

    Attributes:
        heads: numbers of words `[E]`.
        relations: of the head to the dependent `[E]`.
        dependents: numbers of words `[E]`.
    """

    heads: jax.Array
    relations: jax.Array
    dependents: jax.Array


def connections(tokens: ArrayLike, *, sees: ArrayLike | None = None, temperature: ArrayLike = 1.0) -> jax.Array:
    r"""Whom every token is connected to, and how much: a softmax, `A_{ij} \propto e^{x_i \cdot x_j / T}` for others j.

    Args:
        tokens: patterns of the words alone `[L, D]`.
        sees: who may be connected to whom `[L, L]` bool; nobody is connected to itself. By default all.
        temperature: T `[]`, above 0; at infinity all others count alike.

    Returns:
        `[L, L]`; rows sum to 1, or to 0 for a token that sees nobody.

    Raises:
        ValueError: an empty sentence, tokens that are not finite (outside jit), ``sees`` of another shape, no
            temperature.

    Example:
        >>> import jax.numpy as jnp
        >>> from tokdyn import geometry
        >>> geometry.connections(jnp.eye(3)).tolist()
        [[0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]]
    """
    rows = _tokens(tokens)
    heat = checks.hyperparameter("temperature", temperature, above=0.0, finite=False)
    allowed = ~jnp.eye(rows.shape[0], dtype=bool)
    if sees is not None:
        given = jnp.asarray(sees)
        if given.shape != allowed.shape or given.dtype != jnp.bool_:
            raise checks.bad("sees", f"a boolean array of shape {allowed.shape}", checks.describe_array(given))
        allowed = allowed & given
    scores = jnp.where(allowed, rows @ rows.T / heat, -jnp.inf)
    some = allowed.any(axis=1, keepdims=True)
    return jnp.where(some, jax.nn.softmax(jnp.where(some, scores, 0.0), axis=1), 0.0)


def connected(tokens: ArrayLike, weights: ArrayLike, *, orders: ArrayLike | None = None) -> jax.Array:
    """Patterns in context: each token's own, and those of its connections, in the order of cells of their relation.

    Args:
        tokens: `[L, D]`.
        weights: connections of each relation `[R, L, L]`, or of one `[L, L]`.
        orders: of cells for each relation `[R, D]`, from ``role_orders``; by default cells stay where they are.

    Returns:
        `[L, D]`.

    Raises:
        ValueError: an empty sentence, tokens that are not finite (outside jit), or weights or orders of another shape.

    Example:
        >>> import jax.numpy as jnp
        >>> from tokdyn import geometry
        >>> tokens = jnp.eye(2)
        >>> geometry.connected(tokens, geometry.connections(tokens)).tolist()
        [[1.0, 1.0], [1.0, 1.0]]
    """
    rows = _tokens(tokens)
    given = jnp.asarray(weights, rows.dtype)
    given = given[None] if given.ndim == 2 else given
    if given.ndim != 3 or given.shape[1:] != (rows.shape[0],) * 2:
        raise checks.bad("weights", f"shape [relations, {rows.shape[0]}, {rows.shape[0]}]", jnp.shape(weights))
    if orders is None:
        return rows + given.sum(axis=0) @ rows
    cells = jnp.asarray(orders)
    if cells.shape != (given.shape[0], rows.shape[1]):
        raise checks.bad("orders", f"shape {(given.shape[0], rows.shape[1])}", cells.shape)
    return rows + jnp.einsum("rij,rjd->id", given, jax.vmap(lambda order: rows[:, order])(cells))


def role_orders(key: jax.Array, *, roles: int, cells: int) -> jax.Array:
    """A random order of a pattern's cells for every role: an orthogonal map at the price of a look-up.

    Args:
        key: a JAX key.
        roles: R (static).
        cells: of a pattern (static).

    Returns:
        `[R, cells]`.

    References:
        R. W. Gayler, Multiplicative binding, representation operators and analogy, 1998.
        P. Kanerva, Hyperdimensional computing, Cognitive Computation 1 (2009) 139.

    Example:
        >>> import jax
        >>> from tokdyn import geometry
        >>> sorted(geometry.role_orders(jax.random.key(0), roles=2, cells=4)[1].tolist())
        [0, 1, 2, 3]
    """
    checks.random_key("key", key)
    count = checks.whole_number("roles", roles, at_least=1)
    width = checks.whole_number("cells", cells, at_least=1)
    return jax.vmap(lambda one: jax.random.permutation(one, width))(
        jax.random.split(keys.for_purpose(key, "roles"), count)
    )


def role_scores(pattern: ArrayLike, codes: ArrayLike, orders: ArrayLike) -> jax.Array:
    r"""How well each word fits each role of a pattern `\sum_r \pi_r(x_r)`: `s_{rw} = x_w \cdot \pi_r^{-1}(p)`.

    Of codes of length 1 the true word scores 1, and every other one about `\sqrt{R / \mathrm{cells}}`.

    Args:
        pattern: `[cells]`.
        codes: of all words `[V, cells]`.
        orders: of the roles `[R, cells]`.

    Returns:
        `[R, V]`; the word of a role is the one with the highest score.

    Raises:
        ValueError: codes or orders of another length than the pattern.

    Example:
        >>> import jax
        >>> from tokdyn import geometry
        >>> codes = jax.random.normal(jax.random.key(0), (5, 64)) / 8
        >>> orders = geometry.role_orders(jax.random.key(1), roles=2, cells=64)
        >>> pattern = codes[3][orders[0]] + codes[1][orders[1]]
        >>> geometry.role_scores(pattern, codes, orders).argmax(axis=1).tolist()
        [3, 1]
    """
    whole = checks.floating("pattern", pattern, axes="[cells]")
    table, cells = checks.floating("codes", codes, axes="[V, cells]"), jnp.asarray(orders)
    for name, array in (("codes", table), ("orders", cells)):
        if array.shape[-1] != whole.shape[0]:
            raise checks.bad(name, f"{whole.shape[0]} cells, as the pattern has", array.shape[-1])
    return whole[_undone(cells)] @ table.T


def graph_pattern(edges: Edges, codes: ArrayLike, orders: ArrayLike, *, mask: ArrayLike | None = None) -> jax.Array:
    r"""One pattern for a graph of words: `\sum_e x_{h_e} * \pi_{r_e}(x_{d_e})`, cell by cell.

    Args:
        edges: of the graph.
        codes: of all words, +1 or -1 in every cell, so that a word undoes itself `[V, cells]`.
        orders: of the relations `[R, cells]`.
        mask: which edges exist `[E]`; by default all.

    Returns:
        `[cells]`.

    Raises:
        ValueError: no edge, or a mask of another length.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from tokdyn import geometry
        >>> codes = jax.random.rademacher(jax.random.key(0), (5, 64), float)
        >>> orders = geometry.role_orders(jax.random.key(1), roles=2, cells=64)
        >>> edges = geometry.Edges(jnp.array([2, 2]), jnp.array([0, 1]), jnp.array([4, 1]))  # its subject, its object
        >>> pattern = geometry.graph_pattern(edges, codes, orders)
        >>> geometry.dependent_scores(pattern, edges, codes, orders).argmax(axis=1).tolist()
        [4, 1]
    """
    if edges.heads.shape[0] == 0:
        raise checks.bad("edges", "at least one edge", "none")
    table, cells = checks.floating("codes", codes, axes="[V, cells]"), jnp.asarray(orders)
    placed = jnp.take_along_axis(table[edges.dependents], cells[edges.relations], axis=1)
    exists = checks.boolean_mask("mask", mask, edges.heads.shape[0], axes="[E]")
    each = table[edges.heads] * placed
    return jnp.sum(each if exists is None else jnp.where(exists[:, None], each, 0.0), axis=0)


def dependent_scores(pattern: ArrayLike, edges: Edges, codes: ArrayLike, orders: ArrayLike) -> jax.Array:
    """How well each word fits as the dependent of a head in a relation; as ``role_scores``.

    Args:
        pattern: of the graph `[cells]`.
        edges: heads and relations that are asked about; their dependents are not looked at.
        codes: as in ``graph_pattern``.
        orders: of the relations.

    Returns:
        `[E, V]`, 1 for the true word up to what the other edges add.
    """
    whole = checks.floating("pattern", pattern, axes="[cells]")
    table, back = checks.floating("codes", codes, axes="[V, cells]"), _undone(jnp.asarray(orders))
    undone = jax.vmap(lambda head, relation: (whole * table[head])[back[relation]])(edges.heads, edges.relations)
    return undone @ table.T / whole.shape[0]


def _undone(orders: jax.Array) -> jax.Array:
    """The orders that undo others `[R, D]`: to take by them is several times faster than to put by the others."""
    places = jnp.arange(orders.shape[-1])
    return jax.vmap(lambda order: jnp.zeros_like(order).at[order].set(places.astype(order.dtype)))(orders)


def _tokens(tokens: ArrayLike) -> jax.Array:
    rows = checks.floating("tokens", tokens, axes="[L, D]")
    if rows.shape[0] == 0:
        raise checks.bad("tokens", "a sentence of at least one word", "an empty one")
    if checks.is_concrete(rows) and not np.isfinite(np.asarray(rows)).all():
        raise checks.bad("tokens", "finite numbers", "infinite or NaN entries")
    return rows
