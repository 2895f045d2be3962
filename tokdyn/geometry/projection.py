r"""A network that maps features to a few dimensions so that neighbours stay neighbours, and that maps new features too.

Three losses on edges of a graph of neighbours (``fuzzy_graph``), with distances `d` in the map:

* "umap": the cross-entropy of UMAP, `-\log q_{ij} - \sum_n \log(1 - q_{in})` with `q = 1 / (1 + a d^{2 b})`; n are
  random rows.
* "contrastive": InfoNCE with Student's kernel, `-\log \frac{k_{ij}}{k_{ij} + \sum_n k_{in}}`, `k = 1 / (1 + d^2)`.
* "attraction": `d_{ij}` alone, as published for topological tokens. Any constant map is best: a control.
"""

from __future__ import annotations

import functools
import math
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from numpy.typing import ArrayLike

from tokdyn import checks
from tokdyn.autoencoder import layers
from tokdyn.dynamics.parts import part, static
from tokdyn.dynamics.sphere import on_sphere
from tokdyn.geometry.graph import Graph, Neighbours, fuzzy_graph, nearest_neighbours
from tokdyn.geometry.preservation import Metric
from tokdyn.train.fit import fit

Loss = Literal["umap", "contrastive", "attraction"]
LOSSES = ("umap", "contrastive", "attraction")
_RECORDS = 10
# Squared distances below it do not repel more: the logarithm has no bound there, and gradients would have none.
_NEAR = 1e-4


class _Layers(layers.Module):
    of: Network

    @layers.compact
    def __call__(self, rows: jax.Array, *, train: bool) -> jax.Array:
        for width in self.of.hidden:
            rows = jax.nn.gelu(layers.dense(width)(rows))
        return layers.dense(self.of.dimensions)(rows)


@part
class Network:
    """Dense layers with GELU, from features to the map."""

    num_inputs: int = static()
    hidden: tuple[int, ...] = static()
    dimensions: int = static()

    def init(self, key: jax.Array) -> dict[str, Any]:
        """Initial weights."""
        return layers.initial(_Layers(self), key, jnp.zeros((1, self.num_inputs)))

    def apply(self, variables: dict[str, Any], rows: jax.Array) -> jax.Array:
        """Rows `[N, D]` in the map `[N, d]`."""
        return layers.applied(_Layers(self), variables, rows, key=None, train=False)[0]


class FeatureMap(NamedTuple):
    """A trained map; call it with features `[M, D]`, those it was trained on or new ones.

    Attributes:
        network: the layers.
        variables: their weights.
        mean: of the features that it was trained on `[D]`.
        scale: one number for all columns `[]`: their root mean square distance from the mean, over the root of D.
        metric: of the features.
        losses: mean loss of the steps between records `[records]`.
    """

    network: Network
    variables: dict[str, Any]
    mean: jax.Array
    scale: jax.Array
    metric: Metric
    losses: jax.Array

    def __call__(self, features: ArrayLike) -> jax.Array:
        """Features `[M, D]` in the map `[M, d]`.

        Raises:
            ValueError: another number of columns, or not floating point.
        """
        rows = checks.floating("features", features, axes="[M, D]")
        if rows.shape[1] != self.network.num_inputs:
            raise checks.bad("features", f"{self.network.num_inputs} columns, as in training", rows.shape[1])
        return _mapped(self.network, self.variables, rows, self.mean, self.scale, self.metric)


@functools.partial(jax.jit, static_argnums=(0, 5))
def _mapped(
    network: Network, variables: dict[str, Any], rows: jax.Array, mean: jax.Array, scale: jax.Array, metric: Metric
) -> jax.Array:
    own = on_sphere(rows) if metric == "cosine" else rows
    return network.apply(variables, (own - mean) / scale)


def train_map(
    features: ArrayLike,
    *,
    key: jax.Array,
    dimensions: int = 2,
    loss: Loss = "umap",
    num_neighbours: int = 15,
    metric: Metric = "euclidean",
    neighbours: Neighbours | None = None,
    min_distance: float = 0.1,
    num_negatives: int = 5,
    hidden: tuple[int, ...] = (256, 256),
    num_steps: int = 2000,
    batch_size: int = 1024,
    learning_rate: float = 1e-3,
) -> FeatureMap:
    """Train a map on features and their neighbours.

    Each step takes edges at random and weighs their loss by the edge's weight, so that no edge is left out whatever
    their number; negatives are random rows. Columns keep their proportions: standardise units of different kinds first.

    Args:
        features: `[N, D]`, floating point, finite.
        key: of weights and batches.
        dimensions: d of the map (static).
        loss: "umap", "contrastive", or the control "attraction" (static).
        num_neighbours: k of the graph; taken from ``neighbours`` where these are given.
        metric: "euclidean" or "cosine" (static); "cosine" trains on directions.
        neighbours: found by another library, for instance an approximate one for very many rows.
        min_distance: of "umap": how near neighbours may come in the map, which sets a and b.
        num_negatives: random rows for each edge (static).
        hidden: widths of the layers in between (static).
        num_steps: of Adam, a multiple of 10 (static).
        batch_size: edges of a step (static).
        learning_rate: at the start; it falls to 0 along a cosine.

    Returns:
        A ``FeatureMap``.

    Raises:
        ValueError: naming the argument: not finite, fewer distinct rows than neighbours, a row of zeros with cosines,
            neighbours of other rows, an unknown loss or metric, a number out of range.

    References:
        L. McInnes, J. Healy, J. Melville, UMAP, arXiv:1802.03426.
        T. Sainburg, L. McInnes, T. Gentner, Parametric UMAP embeddings, Neural Computation 33 (2021) 2881.
        S. Damrich, J. N. Böhm, F. A. Hamprecht, D. Kobak, From t-SNE to UMAP with contrastive learning, ICLR 2023.

    Example:
        >>> import jax
        >>> from tokdyn import geometry
        >>> planted = geometry.planted_categories(jax.random.key(0), sizes=(20, 20, 20), dimensions=16)
        >>> found = geometry.train_map(
        ...     planted.vectors, key=jax.random.key(1), num_neighbours=8, hidden=(32,), num_steps=300, batch_size=256
        ... )
        >>> kept = geometry.preservation(planted.vectors, found(planted.vectors))
        >>> found(planted.vectors[:2]).shape, bool(kept.overlap > 3 * kept.chance)
        ((2, 2), True)
    """
    checks.random_key("key", key)
    checks.choice("loss", loss, LOSSES)
    values = checks.floating("features", np.asarray(features), axes="[N, D]", xp=np)
    rows: np.ndarray = np.asarray(values, np.float64)
    if not np.isfinite(rows).all():
        raise checks.bad("features", "finite numbers", f"{int((~np.isfinite(rows)).sum())} that are not")
    for name, given in (("dimensions", dimensions), ("num_negatives", num_negatives), ("batch_size", batch_size)):
        checks.whole_number(name, given, at_least=1)
    if checks.whole_number("num_steps", num_steps, at_least=_RECORDS) % _RECORDS:
        raise checks.bad("num_steps", f"a multiple of {_RECORDS}", num_steps)
    widths = tuple(checks.whole_number("hidden", width, at_least=1) for width in hidden)
    rate = checks.hyperparameter("learning_rate", learning_rate, above=0.0)
    near = float(checks.hyperparameter("min_distance", min_distance, at_least=0.0, below=1.0))
    graph = fuzzy_graph(_neighbours(rows, num_neighbours, metric, neighbours))
    own = np.asarray(on_sphere(jnp.asarray(rows, jnp.result_type(float)))) if metric == "cosine" else rows
    mean = own.mean(axis=0)
    spread = math.sqrt(float(((own - mean) ** 2).mean()))
    network = Network(rows.shape[1], widths, dimensions)
    dtype = jnp.result_type(float)
    found, losses = _train(
        network, jnp.asarray((own - mean) / spread, dtype), graph, key, rate,
        jnp.asarray(curve(near), dtype), loss, num_negatives, num_steps, batch_size,
    )  # fmt: skip
    return FeatureMap(network, found, jnp.asarray(mean, dtype), jnp.asarray(spread, dtype), metric, losses)


def _neighbours(rows: np.ndarray, count: int, metric: Metric, given: Neighbours | None) -> Neighbours:
    if given is not None:
        indices = np.asarray(given.indices)
        if indices.ndim != 2 or len(indices) != len(rows) or np.shape(given.distances) != indices.shape:
            raise checks.bad("neighbours", f"indices and distances [{len(rows)}, k]", checks.describe_array(indices))
        if indices.min() < 0 or indices.max() >= len(rows):
            raise checks.bad("neighbours", f"indices from 0 to {len(rows) - 1}", f"{indices.min()} to {indices.max()}")
        return given
    k = checks.whole_number("num_neighbours", count, at_least=2)
    distinct = len(np.unique(rows, axis=0))
    if distinct <= k:
        raise checks.bad("features", f"more than num_neighbours = {k} distinct rows", distinct)
    return nearest_neighbours(rows, k, metric=metric)


def curve(min_distance: float, spread: float = 1.0) -> tuple[float, float]:
    r"""UMAP's a and b: `1 / (1 + a d^{2 b})` nearest to 1 up to ``min_distance`` and `e^{-(d - min) / spread}` beyond.

    Example:
        >>> from tokdyn.geometry.projection import curve
        >>> [round(value, 3) for value in curve(0.1)]
        [1.577, 0.895]
    """
    from scipy.optimize import curve_fit

    d = np.linspace(0, 3 * spread, 300)
    wanted = np.where(d < min_distance, 1.0, np.exp(-(d - min_distance) / spread))
    (a, b), _ = curve_fit(lambda d, a, b: 1 / (1 + a * d ** (2 * b)), d, wanted)
    return float(a), float(b)


@functools.partial(jax.jit, static_argnums=(0, 6, 7, 8, 9))
def _train(
    network: Network, rows: jax.Array, graph: Graph, key: jax.Array, rate: jax.Array, shape: jax.Array, loss: Loss,
    num_negatives: int, num_steps: int, batch_size: int,
) -> tuple[dict[str, Any], jax.Array]:  # fmt: skip
    count, edges = rows.shape[0], len(graph.heads)
    all_heads, all_tails, all_weights = (jnp.asarray(each) for each in graph)

    def batch(key: jax.Array, step: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        of_edges, of_rows = jax.random.split(key)
        chosen = jax.random.randint(of_edges, (batch_size,), 0, edges)
        others = jax.random.randint(of_rows, (batch_size, num_negatives), 0, count)
        return all_heads[chosen], jnp.concatenate([all_tails[chosen][:, None], others], 1), all_weights[chosen]

    def objective(model: Network, variables: Any, drawn: Any, key: jax.Array) -> Any:
        heads, tails, weights = drawn
        every = jnp.concatenate([heads[:, None], tails], axis=1)
        if count <= every.size:  # cheaper: each row once
            placed = model.apply(variables, rows)[every]
        else:
            placed = model.apply(variables, rows[every.reshape(-1)]).reshape(*every.shape, -1)
        squares = jnp.sum((placed[:, :1] - placed[:, 1:]) ** 2, axis=-1)
        each = _loss(squares, shape, loss)
        value = jnp.sum(weights * each) / jnp.sum(weights)
        return value, (variables["state"], {"loss": value})

    made = fit(
        network, objective, batch, key=key, num_steps=num_steps, record_every=num_steps // _RECORDS,
        hyper={"learning_rate": rate},
        optimiser=lambda learning_rate: optax.adam(optax.cosine_decay_schedule(learning_rate, num_steps)),
    )  # fmt: skip
    return made.variables, made.history["loss"]


def _loss(squares: jax.Array, shape: jax.Array, loss: Loss) -> jax.Array:
    """Of squared distances `[edges, 1 + negatives]` to the neighbour and to random rows: `[edges]`."""
    if loss == "attraction":
        return jnp.sqrt(squares[:, 0] + _NEAR**2)
    if loss == "contrastive":
        logs = -jnp.log1p(squares)
        return jax.nn.logsumexp(logs, axis=1) - logs[:, 0]
    a, b = shape
    power = b * jnp.log(jnp.maximum(squares, _NEAR)) + jnp.log(a)  # of a d^(2 b)
    # -log q = log(1 + a d^2b); -log(1 - q) = log(1 + 1 / (a d^2b)).
    return jax.nn.softplus(power[:, 0]) + jax.nn.softplus(-power[:, 1:]).sum(axis=1)
