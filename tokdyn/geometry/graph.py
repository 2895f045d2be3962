"""Nearest neighbours, exact or approximate, and the weighted graph that a map is trained on."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import numpy as np
from scipy import sparse

from tokdyn import checks
from tokdyn.geometry.preservation import METRICS, Metric

_BLOCK = 2**24  # distances that are held at a time
_HALVINGS = 64
Search = Literal["exact", "approximate"]
SEARCHES = ("exact", "approximate")


class Neighbours(NamedTuple):
    """The k nearest others of each row, nearest first.

    Attributes:
        indices: `[N, k]`.
        distances: Euclidean, or 1 minus the cosine `[N, k]`.
    """

    indices: np.ndarray
    distances: np.ndarray


class Graph(NamedTuple):
    """Weighted edges, each in both directions.

    Attributes:
        heads: `[E]`.
        tails: `[E]`.
        weights: in (0, 1] `[E]`.
    """

    heads: np.ndarray
    tails: np.ndarray
    weights: np.ndarray


def nearest_neighbours(
    features: np.ndarray, num_neighbours: int, *, metric: Metric = "euclidean", search: Search = "exact"
) -> Neighbours:
    """The k nearest others of each row.

    The exact ones come from products of matrices, a block of rows at a time; time grows with the square of N: 10^5 rows
    of 100 numbers take about a minute on two cores. The approximate ones, for more rows, come from the library
    pynndescent (``pip install "tokdyn[neighbours]"``), which finds nearly all of them.

    Args:
        features: `[N, D]`, floating point, finite.
        num_neighbours: k, below N.
        metric: "euclidean" or "cosine".
        search: "exact" or "approximate".

    Returns:
        ``Neighbours``; of equally near rows the first, where they are exact.

    Raises:
        ValueError: k not below N, an unknown metric or search, or a row of zeros, which has no direction.
        ImportError: "approximate" without pynndescent.

    References:
        W. Dong, M. Charikar, K. Li, Efficient k-nearest neighbor graph construction for generic similarity measures,
            WWW 2011: the method of pynndescent.

    Example:
        >>> import numpy as np
        >>> from tokdyn.geometry import nearest_neighbours
        >>> nearest_neighbours(np.array([[0.0], [1.0], [3.0]]), 1).indices.tolist()
        [[1], [0], [1]]
    """
    rows = np.asarray(features, np.float64)
    checks.choice("metric", metric, METRICS)
    checks.choice("search", search, SEARCHES)
    count = checks.whole_number("num_neighbours", num_neighbours, at_least=1)
    if count >= len(rows):
        raise checks.bad("num_neighbours", f"less than the {len(rows)} rows", count)
    if metric == "cosine":
        rows = directions("features", rows)
    rows = rows - rows.mean(axis=0)  # distances stay, and lose fewer digits
    indices = _approximate(rows, count) if search == "approximate" else _exact(rows, count)
    distances = np.empty(indices.shape)
    for part in np.array_split(np.arange(len(rows)), math.ceil(rows.size * count / _BLOCK)):
        # By differences: products lose the digits of near ones.
        squares = np.sum((rows[part, None] - rows[indices[part]]) ** 2, axis=2)
        distances[part] = squares / 2 if metric == "cosine" else np.sqrt(squares)
    return Neighbours(indices, distances)


def directions(name: str, rows: np.ndarray) -> np.ndarray:
    """Rows divided by their lengths.

    Raises:
        ValueError: a row of zeros, in the words of the argument ``name``.

    Example:
        >>> import numpy as np
        >>> from tokdyn.geometry.graph import directions
        >>> directions("features", np.array([[3.0, 4.0]])).tolist()
        [[0.6, 0.8]]
    """
    largest = np.abs(rows).max(axis=1, keepdims=True)
    if not largest.all():
        raise checks.bad(name, "rows with a direction for cosines", f"row {int(np.argmin(largest))} of zeros")
    scaled = rows / largest  # squares of very large or small numbers leave the type
    return scaled / np.linalg.norm(scaled, axis=1, keepdims=True)


def _exact(rows: np.ndarray, count: int) -> np.ndarray:
    squares = np.sum(rows**2, axis=1)
    indices = np.empty((len(rows), count), np.int64)
    for part in np.array_split(np.arange(len(rows)), math.ceil(len(rows) ** 2 / _BLOCK)):
        found = np.maximum(squares[part, None] + squares - 2 * rows[part] @ rows.T, 0)
        found[np.arange(len(part)), part] = np.inf
        near = np.argpartition(found, count - 1, axis=1)[:, :count]
        near.sort(axis=1)
        order = np.argsort(np.take_along_axis(found, near, axis=1), axis=1, kind="stable")
        indices[part] = np.take_along_axis(near, order, axis=1)
    return indices


def _approximate(rows: np.ndarray, count: int) -> np.ndarray:
    try:
        from pynndescent import NNDescent
    except ImportError as error:
        raise ImportError(
            'search: "approximate" needs pynndescent, which is not installed: pip install "tokdyn[neighbours]"'
        ) from error
    # One more than asked for: each row is its own nearest, and may be missing where others equal it.
    found = NNDescent(rows.astype(np.float32), n_neighbors=count + 1, random_state=0).neighbor_graph[0]
    others = found != np.arange(len(rows))[:, None]
    order = np.argsort(~others, axis=1, kind="stable")[:, :count]
    return np.take_along_axis(found, order, axis=1).astype(np.int64)


def fuzzy_graph(neighbours: Neighbours) -> Graph:
    r"""The weights of UMAP: how surely two rows are neighbours, by the scale of each.

    `w_{ij} = \exp(-\max(0, d_{ij} - \rho_i) / \sigma_i)`, where `\rho_i` is the distance to the nearest distinct
    neighbour and `\sigma_i` solves `\sum_j w_{ij} = \log_2 k`; then `w_{ij} + w_{ji} - w_{ij} w_{ji}`.

    Args:
        neighbours: of ``nearest_neighbours``, or of another library.

    Returns:
        ``Graph``, sorted by head and tail.

    References:
        L. McInnes, J. Healy, J. Melville, UMAP, arXiv:1802.03426, section 3.

    Example:
        >>> import numpy as np
        >>> from tokdyn.geometry import fuzzy_graph, nearest_neighbours
        >>> graph = fuzzy_graph(nearest_neighbours(np.arange(5.0)[:, None], 2))
        >>> float(graph.weights.max())
        1.0
    """
    distances = np.asarray(neighbours.distances, np.float64)
    count, k = distances.shape
    positive = np.where(distances > 0, distances, np.inf).min(axis=1)
    rho = np.where(np.isfinite(positive), positive, 0.0)
    beyond = np.maximum(distances - rho[:, None], 0.0)
    low, high = np.zeros(count), np.full(count, np.inf)
    sigma = np.where(beyond.max(axis=1) > 0, beyond.max(axis=1), 1.0)
    target = math.log2(k) if k > 1 else 1.0
    for _ in range(_HALVINGS):
        above = np.exp(-beyond / sigma[:, None]).sum(axis=1) > target
        high, low = np.where(above, sigma, high), np.where(above, low, sigma)
        sigma = np.where(np.isfinite(high), (low + high) / 2, 2 * sigma)
    # A floor for rows whose neighbours are all equally near, as in UMAP.
    floor = 1e-3 * distances.mean(axis=1)
    sigma = np.maximum(np.where(np.isfinite(sigma), sigma, 1.0), np.maximum(floor, np.finfo(float).tiny))
    weights = np.exp(-beyond / sigma[:, None])
    one = sparse.csr_array(
        (weights.ravel(), (np.repeat(np.arange(count), k), neighbours.indices.ravel())), (count, count)
    )
    both = (one + one.T - one * one.T).tocoo()
    heads, tails = both.coords
    values = both.data.astype(np.float32)
    kept = values > 0
    return Graph(heads[kept].astype(np.int32), tails[kept].astype(np.int32), values[kept])
