r"""Maps of features to a few dimensions, trained so that neighbours stay neighbours; new features are mapped too.

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

from tokdyn import checks, keys
from tokdyn.dynamics.sphere import on_sphere
from tokdyn.geometry.forms import Network, Positions
from tokdyn.geometry.graph import Graph, Neighbours, directions, fuzzy_graph, nearest_neighbours
from tokdyn.geometry.preservation import Metric
from tokdyn.train.fit import fit

Loss = Literal["umap", "contrastive", "attraction"]
LOSSES = ("umap", "contrastive", "attraction")
Form = Literal["positions", "network"]
FORMS = ("positions", "network")
_RECORDS = 10
_RIVALS = 512  # rows that each row of a step is held against
# Rows up to which all of them, and all edges, are in every step; of a network each costs a pass.
_WHOLE = {"positions": 2**15, "network": 2**11}
_STEPS = 500  # of all edges at once
_PASSES, _FEWEST_STEPS, _MOST_STEPS = 30, 2000, 20_000  # else
_BATCH = {"positions": 8192, "network": 1024}
_LARGEST = 4.0  # entry of an edge's gradient, where edges come a few at a time
_NEGATIVES = {"umap": 5.0, "contrastive": 50.0, "attraction": 0.0}
_RATES = {"positions": 1.0, "network": 3e-3}
_NEAREST = 4  # neighbours among which new features are placed
_PADDED = 256  # rows up to which edges of no weight cost less than a program
# Squared distances below it do not repel more: the logarithm has no bound there, and gradients would have none.
_NEAR = 1e-4


class FeatureMap(NamedTuple):
    """A trained map; call it with features `[M, D]`, those it was trained on or new ones.

    Attributes:
        form: a ``Network`` or ``Positions``.
        variables: its weights, or the positions and the features that they belong to.
        mean: of the features that it was trained on `[D]`.
        scale: one number for all columns `[]`: their root mean square distance from the mean, over the root of D.
        metric: of the features.
        losses: mean loss of the steps between records `[records]`.
    """

    form: Network | Positions
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
        if rows.shape[1] != self.form.num_inputs:
            raise checks.bad("features", f"{self.form.num_inputs} columns, as in training", rows.shape[1])
        return _mapped(self.form, self.variables, rows, self.mean, self.scale, self.metric)


@functools.partial(jax.jit, static_argnums=(0, 5))
def _mapped(
    form: Network | Positions, variables: dict[str, Any], rows: jax.Array, mean: jax.Array, scale: jax.Array,
    metric: Metric,
) -> jax.Array:  # fmt: skip
    own = on_sphere(rows) if metric == "cosine" else rows
    return form.apply(variables, (own - mean) / scale)


def train_map(
    features: ArrayLike,
    *,
    key: jax.Array,
    dimensions: int = 2,
    form: Form = "positions",
    loss: Loss = "contrastive",
    num_neighbours: int = 15,
    metric: Metric = "euclidean",
    neighbours: Neighbours | None = None,
    min_distance: float = 0.1,
    num_negatives: float | None = None,
    hidden: tuple[int, ...] = (256, 256),
    input_noise: float = 0.3,
    num_steps: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    name: str = "features",
) -> FeatureMap:
    """Train a map on features and their neighbours.

    Up to 32,768 features (a network: 2,048) all of them and all edges of their graph are in every step. Of more, a step
    takes edges at random and weighs their loss by the edge's weight. Columns keep their proportions: standardise units
    of different kinds first.

    Args:
        features: `[N, D]`, floating point, finite.
        key: of weights and batches.
        dimensions: d of the map (static).
        form: "positions", one for each feature, with new features among their nearest neighbours; or "network", one
            function of a fixed size, which keeps fewer neighbours, of new features above all (static).
        loss: "umap", "contrastive", or the control "attraction" (static).
        num_neighbours: k of the graph; taken from ``neighbours`` where these are given.
        metric: "euclidean" or "cosine" (static); "cosine" trains on directions.
        neighbours: of ``nearest_neighbours`` or of another library, for instance approximate ones for very many rows;
            by default the exact ones.
        min_distance: of "umap": how near neighbours may come in the map, which sets a and b.
        num_negatives: for each edge, how many average rows repel; by default 5 for "umap" and 50 for "contrastive".
        hidden: of the network, widths of the layers in between (static).
        input_noise: of the network, standard deviation of what is added to features in training, in units of their
            own (static); it makes the map smooth, which helps new features.
        num_steps: a multiple of 10 (static). By default 500 of all edges at once; else so many that every edge comes up
            about thirty times, between 2,000 and 20,000.
        batch_size: edges of a step, where not all are in it (static): by default 8,192, of a network 1,024.
        learning_rate: at the start; it falls to 0 along a cosine. By default 1 for positions, 0.003 for a network. Of
            Adam; where positions get a few edges at a time, of plain gradients of each edge, as in UMAP.
        name: what sentences about bad input call the features.

    Returns:
        A ``FeatureMap``.

    Raises:
        ValueError: naming the argument: not finite, fewer distinct rows than neighbours, a row of zeros with cosines,
            neighbours of other rows, an unknown form, loss or metric, a number out of range.

    References:
        L. McInnes, J. Healy, J. Melville, UMAP, arXiv:1802.03426.
        T. Sainburg, L. McInnes, T. Gentner, Parametric UMAP embeddings, Neural Computation 33 (2021) 2881.
        S. Damrich, J. N. Böhm, F. A. Hamprecht, D. Kobak, From t-SNE to UMAP with contrastive learning, ICLR 2023.

    Example:
        >>> import jax
        >>> from tokdyn import geometry
        >>> planted = geometry.planted_categories(jax.random.key(0), sizes=(20, 20, 20), dimensions=16)
        >>> found = geometry.train_map(
        ...     planted.vectors, key=jax.random.key(1), num_neighbours=8, num_steps=200
        ... )
        >>> kept = geometry.preservation(planted.vectors, found(planted.vectors))
        >>> found(planted.vectors[:2]).shape, bool(kept.overlap > 3 * kept.chance)
        ((2, 2), True)
    """
    checks.random_key("key", key)
    checks.choice("form", form, FORMS)
    checks.choice("loss", loss, LOSSES)
    values = checks.floating(name, np.asarray(features), axes="[N, D]", xp=np)
    rows: np.ndarray = np.asarray(values, np.float64)
    if not np.isfinite(rows).all():
        raise checks.bad(name, "finite numbers", f"{int((~np.isfinite(rows)).sum())} that are not")
    checks.whole_number("dimensions", dimensions, at_least=1)
    edges = checks.whole_number("batch_size", _BATCH[form] if batch_size is None else batch_size, at_least=1)
    if num_steps is not None and checks.whole_number("num_steps", num_steps, at_least=_RECORDS) % _RECORDS:
        raise checks.bad("num_steps", f"a multiple of {_RECORDS}", num_steps)
    widths = tuple(checks.whole_number("hidden", width, at_least=1) for width in hidden)
    negatives = float(checks.hyperparameter(
        "num_negatives", _NEGATIVES[loss] if num_negatives is None else num_negatives, at_least=0.0
    ))  # fmt: skip
    rate = checks.hyperparameter("learning_rate", _RATES[form] if learning_rate is None else learning_rate, above=0.0)
    noise = float(checks.hyperparameter("input_noise", input_noise, at_least=0.0))
    near = float(checks.hyperparameter("min_distance", min_distance, at_least=0.0, below=1.0))
    own = directions(name, rows) if metric == "cosine" else rows
    _, which = np.unique(own, axis=0, return_inverse=True)
    near_ones = _neighbours(name, rows, int(which.max(initial=-1)) + 1, num_neighbours, metric, neighbours)
    graph = fuzzy_graph(near_ones)
    is_whole = len(rows) <= _WHOLE[form]
    usual = _STEPS if is_whole else _in_parts(len(graph.heads), edges)
    if is_whole:
        graph = _filled(graph, len(rows), near_ones.indices.shape[1])
    steps = usual if num_steps is None else num_steps
    mean = own.mean(axis=0)
    spread = math.sqrt(float(((own - mean) ** 2).mean()))
    own = (own - mean) / spread
    model: Network | Positions
    if form == "network":
        model = Network(rows.shape[1], widths, dimensions, noise)
    else:
        model = Positions(rows.shape[1], dimensions, _NEAREST)
    start = model.init(keys.for_purpose(key, "weights"), own)
    placed, shape, repelled, centre, scale = _put(own, curve(near), negatives, mean, spread)
    found, losses = _train(
        model, start, placed, graph, key, rate, shape, repelled, loss, steps, None if is_whole else edges
    )
    if isinstance(model, Positions):
        found = {**found, "params": _shared(found["params"], which.ravel())}
    return FeatureMap(model, found, centre, scale, metric, losses)


def _put(*values: ArrayLike) -> list[jax.Array]:
    """On the device in JAX's precision, without a program for each."""
    return jax.device_put([np.asarray(value, jnp.result_type(float)) for value in values])


def _shared(positions: jax.Array, which: np.ndarray) -> jax.Array:
    """Equal features at one place, their mean: else the map of one of them would be at none of its positions."""
    sums = np.zeros((which.max() + 1, positions.shape[1]))
    np.add.at(sums, which, np.asarray(positions, np.float64))
    return _put((sums / np.bincount(which)[:, None])[which])[0]


def _filled(graph: Graph, count: int, num_neighbours: int) -> Graph:
    """With edges of no weight, as many as there can be: graphs of as many rows and neighbours share their program."""
    edges = len(graph.heads)
    # Of many rows these would cost more than a program: a multiple of four for each row is then enough.
    missing = 2 * num_neighbours * count - edges if count <= _PADDED else -edges % (4 * count)
    nothing = np.zeros(max(missing, 0))
    return Graph(*[np.concatenate([own, nothing.astype(own.dtype)]) for own in graph])


def _in_parts(edges: int, batch_size: int) -> int:
    """Steps for some passes over the edges, within bounds, in whole records."""
    wanted = min(max(_PASSES * edges / batch_size, _FEWEST_STEPS), _MOST_STEPS)
    return math.ceil(wanted / _RECORDS) * _RECORDS


def _neighbours(
    name: str, rows: np.ndarray, distinct: int, count: int, metric: Metric, given: Neighbours | None
) -> Neighbours:
    if given is not None:
        indices = np.asarray(given.indices)
        if indices.ndim != 2 or len(indices) != len(rows) or np.shape(given.distances) != indices.shape:
            raise checks.bad("neighbours", f"indices and distances [{len(rows)}, k]", checks.describe_array(indices))
        if indices.min() < 0 or indices.max() >= len(rows):
            raise checks.bad("neighbours", f"indices from 0 to {len(rows) - 1}", f"{indices.min()} to {indices.max()}")
        if (indices == np.arange(len(rows))[:, None]).any():
            raise checks.bad("neighbours", "others than the row itself", "rows among their own neighbours")
        if not (np.isfinite(given.distances).all() and np.min(given.distances) >= 0):
            raise checks.bad("neighbours", "finite distances of at least 0", "others")
        if distinct < 2:
            raise checks.bad(name, "at least 2 distinct rows", distinct)
        return Neighbours(indices, np.asarray(given.distances))
    k = checks.whole_number("num_neighbours", count, at_least=2)
    if distinct <= k:
        got = f"{distinct} (n_samples={len(rows)})"
        raise checks.bad(name, f"more than num_neighbours = {k} distinct rows", got)
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


@functools.partial(jax.jit, static_argnums=(0, 8, 9, 10))
def _train(
    model: Network | Positions, start: dict[str, Any], rows: jax.Array, graph: Graph, key: jax.Array, rate: jax.Array,
    shape: jax.Array, num_negatives: jax.Array, loss: Loss, num_steps: int, batch_size: int | None,
) -> tuple[dict[str, Any], jax.Array]:  # fmt: skip
    heads, tails, weights = (jnp.asarray(each) for each in graph)
    count, edges = rows.shape[0], len(heads)
    degrees = jnp.zeros(count, rows.dtype).at[heads].add(weights)
    rivals = min(_RIVALS, count)

    def batch(key: jax.Array, step: jax.Array) -> tuple[jax.Array, jax.Array]:
        of_edges, of_rows = jax.random.split(key)
        chosen = jnp.arange(edges) if batch_size is None else jax.random.randint(of_edges, (batch_size,), 0, edges)
        others = jnp.arange(count) if rivals == count else jax.random.randint(of_rows, (rivals,), 0, count)
        return chosen, others

    def objective(
        model: Network | Positions, variables: Any, drawn: tuple[jax.Array, jax.Array], key: jax.Array
    ) -> Any:
        chosen, others = drawn
        if batch_size is None:
            every = model.trained_on(variables, rows, jnp.arange(count), key)
            pairs, ends = _Pairs(jnp.arange(count), every, degrees, heads, weights), every[tails]
            rivals_placed = every[others]
        else:
            some, weight = heads[chosen], weights[chosen]
            every = model.trained_on(variables, rows, jnp.concatenate([some, tails[chosen], others]), key)
            placed, ends, rivals_placed = jnp.split(every, [batch_size, 2 * batch_size])
            pairs = _Pairs(some, placed, weight, jnp.arange(batch_size), weight)
        value = _loss(pairs, ends, others, rivals_placed, num_negatives, shape, loss)
        return value, (variables["state"], {"loss": value})

    def optimiser(learning_rate: jax.Array) -> optax.GradientTransformation:
        falling = optax.cosine_decay_schedule(learning_rate, num_steps)
        if batch_size is None or isinstance(model, Network):
            return optax.adam(falling)
        # Adam would go on moving rows that come up once in a thousand steps.
        return optax.chain(optax.scale(batch_size), optax.clip(_LARGEST), optax.sgd(falling))

    made = fit(
        model, objective, batch, key=key, variables=start, num_steps=num_steps, record_every=num_steps // _RECORDS,
        hyper={"learning_rate": rate}, optimiser=optimiser,
    )  # fmt: skip
    return made.variables, made.history["loss"]


class _Pairs(NamedTuple):
    """Rows in the map, and the edges that leave them.

    Attributes:
        rows: their numbers `[A]`.
        placed: where they are `[A, d]`.
        degrees: sum of the weights of each one's edges `[A]`.
        heads: of each edge, its place among the rows `[E]`.
        weights: of each edge `[E]`.
    """

    rows: jax.Array
    placed: jax.Array
    degrees: jax.Array
    heads: jax.Array
    weights: jax.Array


def _loss(
    pairs: _Pairs, ends: jax.Array, others: jax.Array, rivals: jax.Array, num_negatives: jax.Array, shape: jax.Array,
    loss: Loss,
) -> jax.Array:  # fmt: skip
    """Mean over edges to ``ends`` `[E, d]`, each held against ``num_negatives`` average rows of ``rivals`` `[M, d]`.

    Rows of the same number do not count as rivals.
    """
    near = jnp.sum((pairs.placed[pairs.heads] - ends) ** 2, axis=-1)
    total = jnp.sum(pairs.weights)
    if loss == "attraction":
        return jnp.sum(pairs.weights * jnp.sqrt(near + _NEAR**2)) / total
    share = num_negatives / len(others)
    is_rival = pairs.rows[:, None] != others
    far = jnp.sum((pairs.placed[:, None] - rivals) ** 2, axis=-1)
    if loss == "contrastive":
        # log((k + sum of the rivals') / k), with k = 1 / (1 + d^2).
        sums = share * jnp.sum(jnp.where(is_rival, 1 / (1 + far), 0), axis=1)
        return jnp.sum(pairs.weights * jnp.log1p((1 + near) * sums[pairs.heads])) / total
    a, b = shape

    def power(squares: jax.Array) -> jax.Array:  # logarithm of a d^(2 b)
        return b * jnp.log(jnp.maximum(squares, _NEAR)) + jnp.log(a)

    # -log q = log(1 + a d^2b); -log(1 - q) = log(1 + 1 / (a d^2b)).
    attraction = jnp.sum(pairs.weights * jax.nn.softplus(power(near)))
    repulsion = jnp.sum(pairs.degrees[:, None] * jnp.where(is_rival, jax.nn.softplus(-power(far)), 0))
    return (attraction + share * repulsion) / total
