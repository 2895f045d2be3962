"""Vectors whose structure is known by construction: categories, factors that add up, and a tree."""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from tokdyn import checks, keys


class Planted(NamedTuple):
    """Vectors and what they were made from.

    Attributes:
        vectors: `[N, D]`.
        labels: whole numbers, the structure `[N, ...]`: the category, the value of each factor, or the branch at each
            level from the root on.
    """

    vectors: jax.Array
    labels: jax.Array


def planted_categories(key: jax.Array, *, sizes: tuple[int, ...], dimensions: int, spread: ArrayLike = 0.3) -> Planted:
    r"""Vectors around centres of categories: `c_k + \sigma \xi_i`, centres and noise standard normal over `\sqrt D`.

    Two categories are about `\sqrt 2` apart, two vectors of one category about `\sqrt 2 \sigma`.

    Args:
        key: a JAX key.
        sizes: vectors of each category (static).
        dimensions: D (static).
        spread: `\sigma` `[]`.

    Returns:
        ``Planted``, labels `[N]`.

    Raises:
        ValueError: no category, a size below 1, no dimension, a negative spread.

    Example:
        >>> import jax
        >>> from tokdyn import geometry
        >>> found = geometry.planted_categories(jax.random.key(0), sizes=(3, 2), dimensions=8)
        >>> found.vectors.shape, found.labels.tolist()
        ((5, 8), [0, 0, 0, 1, 1])
    """
    counts, width = _counts("sizes", sizes), checks.whole_number("dimensions", dimensions, at_least=1)
    checks.random_key("key", key)
    noise = checks.hyperparameter("spread", spread, at_least=0.0)
    return _categories(key, noise, counts, width)


def planted_factors(key: jax.Array, *, sizes: tuple[int, ...], dimensions: int, spread: ArrayLike = 0.0) -> Planted:
    r"""Every combination of factor values, as the sum of a vector for each value and noise.

    Without noise analogies are exact: swapping one factor's value adds the same difference whatever the others are.

    Args:
        key: a JAX key.
        sizes: values of each factor (static); N is their product.
        dimensions: D (static).
        spread: of the noise, in units of a factor's length `[]`.

    Returns:
        ``Planted``, labels `[N, factors]`, the last factor fastest.

    Raises:
        ValueError: as ``planted_categories``.

    Example:
        >>> import jax
        >>> from tokdyn import geometry
        >>> found = geometry.planted_factors(jax.random.key(0), sizes=(2, 2), dimensions=8)
        >>> difference = found.vectors[1] - found.vectors[0] - (found.vectors[3] - found.vectors[2])
        >>> found.labels.tolist(), bool(abs(difference).max() < 1e-6)
        ([[0, 0], [0, 1], [1, 0], [1, 1]], True)
    """
    counts, width = _counts("sizes", sizes), checks.whole_number("dimensions", dimensions, at_least=1)
    checks.random_key("key", key)
    noise = checks.hyperparameter("spread", spread, at_least=0.0)
    return _factors(key, noise, counts, width)


def planted_tree(key: jax.Array, *, branches: tuple[int, ...], dimensions: int, shrink: ArrayLike = 0.5) -> Planted:
    r"""Leaves of a tree: sums of a vector for every branch on the way, each level's shorter than the one above's.

    Two leaves that part at level `l` (0 at the root) differ by a normal vector of variance
    `2 \sum_{m \ge l} r^{2 m}`, spread over D coordinates: the distance says where they part.

    Args:
        key: a JAX key.
        branches: of every node, from the root's on (static); N is their product.
        dimensions: D (static).
        shrink: `r`, length of a level's branches over that of the level above `[]`.

    Returns:
        ``Planted``, labels `[N, levels]`: the branch at every level.

    Raises:
        ValueError: as ``planted_categories``.

    Example:
        >>> import jax
        >>> from tokdyn import geometry
        >>> geometry.planted_tree(jax.random.key(0), branches=(2, 2), dimensions=8).labels.tolist()
        [[0, 0], [0, 1], [1, 0], [1, 1]]
    """
    counts, width = _counts("branches", branches), checks.whole_number("dimensions", dimensions, at_least=1)
    checks.random_key("key", key)
    ratio = checks.hyperparameter("shrink", shrink, at_least=0.0)
    return _tree(key, ratio, counts, width)


def _counts(name: str, given: tuple[int, ...]) -> tuple[int, ...]:
    if not isinstance(given, tuple) or not given:
        raise checks.bad(name, "a tuple of at least one whole number", checks.shown(given))
    return tuple(checks.whole_number(name, one, at_least=1) for one in given)


@functools.partial(jax.jit, static_argnums=(2, 3))
def _categories(key: jax.Array, noise: jax.Array, counts: tuple[int, ...], width: int) -> Planted:
    labels = jnp.asarray(np.repeat(np.arange(len(counts)), counts))
    centres = _normal(key, "centres", (len(counts), width))
    return Planted(centres[labels] + noise * _normal(key, "noise", (sum(counts), width)), labels)


@functools.partial(jax.jit, static_argnums=(2, 3))
def _factors(key: jax.Array, noise: jax.Array, counts: tuple[int, ...], width: int) -> Planted:
    labels = _combinations(counts)
    vectors = noise * _normal(key, "noise", (len(labels), width))
    for factor, count in enumerate(counts):
        vectors += _normal(jax.random.fold_in(key, factor), "values", (count, width))[labels[:, factor]]
    return Planted(vectors, jnp.asarray(labels))


@functools.partial(jax.jit, static_argnums=(2, 3))
def _tree(key: jax.Array, ratio: jax.Array, counts: tuple[int, ...], width: int) -> Planted:
    labels = _combinations(counts)
    vectors, node, number = jnp.zeros((len(labels), width)), np.zeros(len(labels), int), 1
    for level, count in enumerate(counts):
        number *= count
        node = node * count + labels[:, level]
        vectors += ratio**level * _normal(jax.random.fold_in(key, level), "branches", (number, width))[node]
    return Planted(vectors, jnp.asarray(labels))


def _combinations(counts: tuple[int, ...]) -> np.ndarray:
    """Every combination of whole numbers below the counts, the last one fastest `[N, counts]`."""
    return np.stack([of.reshape(-1) for of in np.indices(counts)], axis=-1)


def _normal(key: jax.Array, purpose: str, shape: tuple[int, int]) -> jax.Array:
    """Standard normal vectors of length about 1."""
    return jax.random.normal(keys.for_purpose(key, purpose), shape) / jnp.sqrt(shape[1])
