"""Exact neighbours against scikit-learn, and UMAP's weights by their definition."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors

from tokdyn.geometry import fuzzy_graph, nearest_neighbours

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("shift", [0.0, 1e4])
def test_neighbours_are_scikit_learns(metric, shift, monkeypatch):
    monkeypatch.setattr("tokdyn.geometry.graph._BLOCK", 3000)  # several blocks
    rows = RNG.normal(size=(150, 9)) + shift
    found = nearest_neighbours(rows, 7, metric=metric)
    if shift and metric == "cosine":  # directions are all but one: compare distances, not their order
        assert (np.diff(found.distances, axis=1) >= 0).all()
        return
    theirs, indices = NearestNeighbors(n_neighbors=7, metric=metric, algorithm="brute").fit(rows).kneighbors()
    np.testing.assert_array_equal(found.indices, indices)
    np.testing.assert_allclose(found.distances, theirs, rtol=1e-6)


@settings(max_examples=30, deadline=None)
@given(st.integers(6, 60), st.integers(2, 5), st.integers(0, 10**6), st.booleans())
def test_weights_by_their_definition(count, k, seed, duplicates):
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(count, 3))
    if duplicates:
        rows[: count // 3] = rows[0]
    found = nearest_neighbours(rows, k)
    graph = fuzzy_graph(found)
    dense = np.zeros((count, count))
    dense[graph.heads, graph.tails] = graph.weights
    np.testing.assert_allclose(dense, dense.T, atol=1e-6)
    assert (np.diag(dense) == 0).all()
    assert (graph.weights > 0).all()
    assert (graph.weights <= 1 + 1e-6).all()
    # The nearest distinct neighbour, and all that are nearer, have weight 1.
    for i in range(count):
        nearest = found.distances[i][found.distances[i] > 0].min(initial=np.inf)
        for j, distance in zip(found.indices[i], found.distances[i], strict=True):
            if distance <= nearest:
                assert dense[i, j] == pytest.approx(1, abs=1e-6)
    if not duplicates:  # one direction alone: sums are the logarithm of k
        beyond = np.maximum(found.distances - found.distances[:, :1], 0)
        from scipy.optimize import brentq

        i = int(seed % count)
        sigma = brentq(lambda s: np.exp(-beyond[i] / s).sum() - max(np.log2(k), 1.0 + 1e-9), 1e-9, 1e9)
        one = np.exp(-beyond[i] / max(sigma, 1e-3 * found.distances[i].mean()))
        assert (dense[i, found.indices[i]] >= one - 1e-4).all()


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        (np.zeros((3, 2)), {"num_neighbours": 3}, "num_neighbours: expected less than the 3 rows, got 3"),
        (np.eye(3) * [0, 1, 1], {"num_neighbours": 1, "metric": "cosine"}, "features: expected rows with a direction"),
        (np.eye(3), {"num_neighbours": 1, "metric": "x"}, "metric: expected one of"),
    ],
)
def test_bad_input(rows, options, message):
    with pytest.raises(ValueError, match=message):
        nearest_neighbours(rows, **options)
