"""What a map can be: a network, or a position for every feature and a rule for new ones between them."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tokdyn.autoencoder import layers
from tokdyn.dynamics.parts import part, static

# Steps towards a median: it is off by less than a hundredth of the neighbours' distances then.
_STEPS = 60
_ROUNDING = 1e-6
_DENSE = 2000  # columns up to which all principal directions are found at once


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
    input_noise: float = static()

    def init(self, key: jax.Array, rows: np.ndarray) -> dict[str, Any]:
        """Initial weights."""
        return _weights(self, key)

    def trained_on(self, variables: dict[str, Any], rows: jax.Array, numbers: jax.Array, key: jax.Array) -> jax.Array:
        """Some of the rows `[N, D]` in the map while it is trained, blurred so that it becomes smooth `[M, d]`."""
        chosen = rows[numbers]
        return self.apply(variables, chosen + self.input_noise * jax.random.normal(key, chosen.shape, chosen.dtype))

    def apply(self, variables: dict[str, Any], rows: jax.Array) -> jax.Array:
        """Rows `[M, D]` in the map `[M, d]`."""
        return layers.applied(_Layers(self), variables, rows, key=None, train=False)[0]


@part
class Positions:
    """A position for each feature; a new one is placed by ``between`` its nearest ones."""

    num_inputs: int = static()
    dimensions: int = static()
    num_nearest: int = static()

    def init(self, key: jax.Array, rows: np.ndarray) -> dict[str, Any]:
        """At the first principal components, of standard deviation 1, and a little apart where they coincide."""
        start = np.zeros((len(rows), self.dimensions))
        found = _principal(rows, self.dimensions)
        start[:, : found.shape[1]] = found / max(found[:, 0].std(), np.finfo(np.float32).tiny)
        start, rows = (values.astype(jnp.result_type(float)) for values in (start, rows))
        return {"params": _apart(key, start), "state": jnp.asarray(rows)}

    def trained_on(self, variables: dict[str, Any], rows: jax.Array, numbers: jax.Array, key: jax.Array) -> jax.Array:
        """The positions of some of the rows `[M, d]`."""
        return variables["params"][numbers]

    def apply(self, variables: dict[str, Any], rows: jax.Array) -> jax.Array:
        """Rows `[M, D]` in the map `[M, d]`."""
        known, positions = variables["state"], variables["params"]
        products = jnp.sum(known**2, axis=1) - 2 * rows @ known.T
        nearest = jax.lax.top_k(-products, min(self.num_nearest, len(known)))[1]
        # Once more by differences, which lose no digits where two rows are close.
        distances = jnp.sqrt(jnp.sum((rows[:, None] - known[nearest]) ** 2, axis=-1))
        return between(distances, positions[nearest])


@functools.partial(jax.jit, static_argnums=0)
def _weights(form: Network, key: jax.Array) -> dict[str, Any]:
    return layers.initial(_Layers(form), key, jnp.zeros((1, form.num_inputs)))


@jax.jit
def _apart(key: jax.Array, places: jax.Array) -> jax.Array:
    return places + 1e-2 * jax.random.normal(key, places.shape, places.dtype)


def _principal(rows: np.ndarray, count: int) -> np.ndarray:
    """At most so many principal components of centred rows, the largest first `[N, count]`."""
    if len(rows) < min(rows.shape[1], _DENSE):
        # The same from the products of rows, of which there are fewer: a tenth of the time for 151 words.
        squares, left = np.linalg.eigh(rows @ rows.T)
        return (left * np.sqrt(np.maximum(squares, 0)))[:, ::-1][:, :count]
    if rows.shape[1] <= _DENSE:
        directions = np.linalg.eigh(rows.T @ rows)[1][:, ::-1]
        return rows @ directions[:, :count]
    from scipy.sparse.linalg import svds

    some = min(count, min(rows.shape) - 1)
    left, sizes, _ = svds(rows, k=some, rng=np.random.default_rng(0))
    order = np.argsort(-sizes)
    return left[:, order] * sizes[order]


def between(distances: jax.Array, positions: jax.Array) -> jax.Array:
    r"""A place among neighbours, most of whom it should be near: their geometric median, weighed by `1 / r_j^2`.

    `\arg\min_y \sum_j \|y - p_j\| / r_j^2` for neighbours at p that are r away among the features. Where a map tore
    neighbours apart a mean lies between them, near nobody; the median stays with the majority. At `r_j = 0` it is
    `p_j`.

    Args:
        distances: r `[..., k]`.
        positions: p `[..., k, d]`.

    Returns:
        `[..., d]`.

    References:
        E. Weiszfeld, Tohoku Mathematical Journal 43 (1937) 355: the iteration.

    Example:
        >>> import jax.numpy as jnp
        >>> from tokdyn.geometry.forms import between
        >>> between(jnp.ones(3), jnp.array([[0.0], [1.0], [100.0]])).round(2).tolist()
        [1.0]
    """
    farthest = jnp.max(distances, axis=-1, keepdims=True)
    relative = distances / jnp.where(farthest > 0, farthest, 1)
    weights = (1 / jnp.maximum(relative, _ROUNDING) ** 2)[..., None]
    weights = weights / jnp.sum(weights, axis=-2, keepdims=True)
    width = jnp.max(jnp.abs(positions - positions[..., :1, :]), axis=(-2, -1), keepdims=True)
    floor = _ROUNDING * jnp.where(width > 0, width, 1)

    def nearer(_: int, place: jax.Array) -> jax.Array:
        squares = jnp.sum((positions - place[..., None, :]) ** 2, axis=-1, keepdims=True)
        pull = weights / jnp.sqrt(squares + floor**2)
        return jnp.sum(pull * positions, axis=-2) / jnp.sum(pull, axis=-2)

    return jax.lax.fori_loop(0, _STEPS, nearer, jnp.sum(weights * positions, axis=-2))
