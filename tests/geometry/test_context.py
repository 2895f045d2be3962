"""Connections, roles and graphs of words, against loops in NumPy and the statistics of random codes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tokdyn import geometry

RNG = np.random.default_rng(0)
TOKENS = RNG.normal(size=(4, 8)).astype(np.float32)
SEES = np.array([[1, 1, 0, 1], [0, 1, 1, 0], [0, 0, 1, 0], [1, 1, 1, 1]], bool)


@pytest.fixture(scope="module")
def orders():
    return np.asarray(geometry.role_orders(jax.random.key(1), roles=2, cells=8))


def test_connections_and_what_they_carry(orders):
    def both(tokens, sees, heat):
        weights = geometry.connections(tokens, sees=sees, temperature=heat)
        return weights, geometry.connected(tokens, jnp.stack([weights, weights.T]), orders=orders)

    jitted = jax.jit(both)
    weights, found = (np.asarray(of) for of in jitted(TOKENS, SEES, 1.5))
    for i in range(4):
        seen = [j for j in range(4) if SEES[i, j] and j != i]
        powers = np.exp(TOKENS[seen] @ TOKENS[i] / 1.5)
        expected = np.zeros(4)
        expected[seen] = powers / powers.sum() if seen else 0
        np.testing.assert_allclose(weights[i], expected, atol=1e-5)
        own = TOKENS[i].copy()
        for j in range(4):
            own += weights[i, j] * TOKENS[j][orders[0]] + weights[j, i] * TOKENS[j][orders[1]]
        np.testing.assert_allclose(found[i], own, atol=1e-4)
    assert weights[2].tolist() == [0, 0, 0, 0]  # sees itself alone
    # Without preference all others count alike; a sentence in another order has its connections in that order.
    even, _ = jitted(TOKENS, np.ones((4, 4), bool), np.inf)
    np.testing.assert_allclose(even, (1 - np.eye(4)) / 3, atol=1e-6)
    turn = [2, 0, 3, 1]
    other, moved = jitted(TOKENS[turn], SEES[np.ix_(turn, turn)], 1.5)
    np.testing.assert_allclose(other, weights[np.ix_(turn, turn)], atol=1e-5)
    np.testing.assert_allclose(moved, found[turn], atol=1e-4)


def test_roles_are_orthogonal_maps_that_tell_exchanged_words_apart():
    cells, words = 256, 20
    codes = (RNG.normal(size=(words, cells)) / np.sqrt(cells)).astype(np.float32)
    roles = np.asarray(geometry.role_orders(jax.random.key(2), roles=2, cells=cells))
    assert all(sorted(row) == list(range(cells)) for row in roles.tolist())
    plain = np.tile(np.arange(cells), (2, 1))
    scores = jax.jit(jax.vmap(geometry.role_scores, in_axes=(0, None, None)))
    pairs = [(a, b) for a in range(words) for b in range(words) if a != b]
    for orders, apart in ((roles, True), (plain, False)):
        patterns = np.stack([codes[a][orders[0]] + codes[b][orders[1]] for a, b in pairs])
        found = np.asarray(scores(patterns, codes, orders))
        straight = np.array([found[n, 0, a] + found[n, 1, b] for n, (a, b) in enumerate(pairs)])
        swapped = np.array([found[n, 0, b] + found[n, 1, a] for n, (a, b) in enumerate(pairs)])
        if not apart:
            np.testing.assert_allclose(straight, swapped, atol=1e-5)  # nobody can tell
            continue
        assert (straight > swapped).all()
        assert (found[:, 0].argmax(axis=1) == [a for a, _ in pairs]).all()
        # Crosstalk: another word's score has mean 0 and variance 2 / cells; 7,200 of them, not independent.
        rest = np.concatenate([np.delete(found[n, 0], a) for n, (a, _) in enumerate(pairs)])
        assert abs(rest.std() - np.sqrt(2 / cells)) < 0.15 * np.sqrt(2 / cells)


def test_graphs_come_back_and_an_edge_alone_exactly():
    cells, words, relations, edges = 1024, 16, 3, 6
    codes = RNG.choice([-1.0, 1.0], size=(words, cells)).astype(np.float32)
    orders = np.asarray(geometry.role_orders(jax.random.key(3), roles=relations, cells=cells))
    asked = RNG.permutation(words * relations)[:edges]
    heads, kinds, ends = (
        jnp.asarray(of) for of in (asked // relations, asked % relations, RNG.integers(0, words, edges))
    )
    graph = geometry.Edges(heads, kinds, ends)

    def read(mask):
        pattern = geometry.graph_pattern(graph, codes, orders, mask=mask)
        return pattern, geometry.dependent_scores(pattern, graph, codes, orders)

    jitted = jax.jit(read)
    pattern, scores = (np.asarray(of) for of in jitted(np.ones(edges, bool)))
    by_hand = sum(codes[h] * codes[e][orders[k]] for h, k, e in zip(heads, kinds, ends, strict=True))
    np.testing.assert_array_equal(pattern, by_hand)
    assert scores.argmax(axis=1).tolist() == ends.tolist()
    alone = np.asarray(jitted(np.arange(edges) == 2)[1])
    assert alone[2, int(ends[2])] == 1.0


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (
            lambda: geometry.connections(np.zeros((0, 3))),
            "tokens: expected a sentence of at least one word, got an empty",
        ),
        (lambda: geometry.connections(np.full((2, 3), np.nan)), "tokens: expected finite numbers"),
        (lambda: geometry.connections(TOKENS, temperature=0.0), "temperature: expected a number above 0"),
        (lambda: geometry.connections(TOKENS, sees=np.ones((2, 2), bool)), "sees: expected a boolean array of shape"),
        (lambda: geometry.connected(TOKENS, np.ones((2, 2))), "weights: expected shape"),
        (lambda: geometry.connected(TOKENS, np.eye(4), orders=np.zeros((1, 3), int)), "orders: expected shape"),
        (
            lambda: geometry.graph_pattern(geometry.Edges(*[np.zeros(0, int)] * 3), TOKENS, np.zeros((1, 8), int)),
            "edges: expected at least one edge, got none",
        ),
        (lambda: geometry.role_scores(TOKENS[0], TOKENS[:, :3], np.zeros((1, 8), int)), "codes: expected 8 cells"),
    ],
)
def test_bad_input(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()
