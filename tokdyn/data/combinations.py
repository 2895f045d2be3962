"""Worlds of parts with exact truth: shape x colour x size x position, and two objects in a relation.

Every combination is there once, with its picture. ``hold_out`` splits combinations so that pairs of values are held out
while every value is seen: a model of parts can be right on them, a memory of what was seen cannot.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from tokdyn import checks
from tokdyn.data import sprites

FACTORS = ("shape", "colour", "size", "position")
RELATIONS = ("left of", "above")
RELATION_FACTORS = ("first", "second", "relation")
# Of the picture that is rendered and then averaged: 6 x 6 of its points make one of ours.
_FINE, _STEP, _CELL = 100, 6, 0.24
LARGE = 1


class Combinations(NamedTuple):
    """Combinations of parts, and what they look like.

    Attributes:
        labels: value of each factor, from 0 `[N, F]`.
        pictures: red, green, blue in [0, 1] `[N, H, W, 3]`.
    """

    labels: np.ndarray
    pictures: jax.Array


def combinations(*, shapes: int = 3, colours: int = 6, sizes: int = 2, side: int = 2) -> Combinations:
    """Every combination of shape, colour, size and position: one object in a cell of a square grid.

    A picture has four points to a cell, averaged from 24 x 24, so that all combinations look different.

    Args:
        shapes: how many of ``sprites.SHAPES``, at least 1 (static).
        colours: how many of ``sprites.COLOURS`` (static).
        sizes: how many of ``sprites.SIZES`` (static).
        side: of the grid, 1 to 4; there are its square of positions, row by row (static).

    Returns:
        ``Combinations``, labels in the order of ``FACTORS``, the last one fastest; pictures `[N, 4 side, 4 side, 3]`.

    Raises:
        ValueError: a count outside its range.

    Example:
        >>> from tokdyn.data import combinations
        >>> world = combinations.combinations(shapes=2, colours=2)
        >>> world.labels.shape, world.pictures.shape
        ((32, 4), (32, 8, 8, 3))
    """
    counts = (
        checks.whole_number("shapes", shapes, at_least=1, at_most=len(sprites.SHAPES)),
        checks.whole_number("colours", colours, at_least=1, at_most=len(sprites.COLOURS)),
        checks.whole_number("sizes", sizes, at_least=1, at_most=len(sprites.SIZES)),
        checks.whole_number("side", side, at_least=1, at_most=4) ** 2,
    )
    labels = _every(counts)
    shape, colour, size, position = labels.T
    down, right = position // side, position % side
    places = 0.5 + _CELL * (np.stack([right, down], axis=-1) - (side - 1) / 2)
    return Combinations(labels, _pictures(places[:, None], shape[:, None], colour[:, None], size[:, None], side))


def relations(*, shapes: int = 3, colours: int = 4) -> Combinations:
    """Two different objects, one left of the other or above it, in every combination and either order.

    An object is a shape in a colour. "A left of B" and "B left of A" have the same parts: only their order tells them
    apart.

    Args:
        shapes: how many of ``sprites.SHAPES`` (static).
        colours: how many of ``sprites.COLOURS``; with ``shapes`` at least 2 objects (static).

    Returns:
        ``Combinations``, labels in the order of ``RELATION_FACTORS``: objects are numbered by shape, then colour.
        `N = 2 n (n - 1)` for n objects; pictures `[N, 8, 8, 3]`.

    Raises:
        ValueError: a count outside its range.

    Example:
        >>> from tokdyn.data import combinations
        >>> combinations.relations(shapes=2, colours=1).labels.tolist()
        [[0, 1, 0], [0, 1, 1], [1, 0, 0], [1, 0, 1]]
    """
    first = checks.whole_number("shapes", shapes, at_least=1, at_most=len(sprites.SHAPES))
    second = checks.whole_number("colours", colours, at_least=1, at_most=len(sprites.COLOURS))
    if first * second < 2:
        raise checks.bad("colours", "two objects or more", f"{first} shape in {second} colour")
    every = _every((first * second, first * second, len(RELATIONS)))
    labels = every[every[:, 0] != every[:, 1]]
    objects, relation = labels[:, :2], labels[:, 2:]
    along = _CELL * (np.arange(2) - 0.5)
    places = 0.5 + np.stack([np.where(relation == 0, along, 0), np.where(relation == 1, along, 0)], axis=-1)
    size = np.full(objects.shape, LARGE)
    return Combinations(labels, _pictures(places, objects // second, objects % second, size, 2))


def exchanged(labels: np.ndarray) -> np.ndarray:
    """For every combination of ``relations`` the one with the two objects exchanged `[N]`.

    Args:
        labels: of ``relations`` `[N, 3]`.

    Example:
        >>> from tokdyn.data import combinations
        >>> combinations.exchanged(combinations.relations(shapes=2, colours=1).labels).tolist()
        [2, 3, 0, 1]
    """
    place = {tuple(row): number for number, row in enumerate(np.asarray(labels).tolist())}
    return np.array([place[second, first, relation] for first, second, relation in place])


def hold_out(
    key: jax.Array, labels: np.ndarray, *, factors: tuple[int, int] = (0, 1), alike: bool = False, modulus: int = 3
) -> jax.Array:
    r"""Which combinations are held out: those of some pairs of values of two factors, drawn at random.

    A pair of values a and b is held out where `\pi(a) + \rho(b)` is a multiple of m, for random permutations. With at
    least m values of each factor, every value of every factor is among the seen combinations and among those held out,
    and whether a pair is held out does not depend on the other factors. The number held out is always the same. Of
    ``relations``, where no object is beside itself, this needs 2 m objects.

    Args:
        key: a JAX key.
        labels: `[N, F]`, known numbers (static).
        factors: which two columns (static).
        alike: both factors have the same values, and a pair is held out in both orders (static).
        modulus: m, at least 2; about `1 / m` of the pairs is held out (static).

    Returns:
        Whether each is held out, bool `[N]`.

    Raises:
        ValueError: labels that are no whole numbers `[N, F]`, no two different columns, a factor of fewer than m
            values, columns that are to be alike and are not.

    Example:
        >>> import jax
        >>> from tokdyn.data import combinations
        >>> world = combinations.combinations()
        >>> held = combinations.hold_out(jax.random.key(0), world.labels)
        >>> int(held.sum()), len(held)
        (48, 144)
    """
    checks.random_key("key", key)
    rows = np.asarray(labels)
    if rows.ndim != 2 or rows.dtype.kind not in "iu" or not len(rows) or rows.min() < 0:
        raise checks.bad("labels", "whole numbers [N, F] from 0", checks.describe_array(labels))
    if len(factors) != 2 or factors[0] == factors[1] or not all(0 <= one < rows.shape[1] for one in factors):
        raise checks.bad("factors", f"two different columns, 0 to {rows.shape[1] - 1}", factors)
    step = checks.whole_number("modulus", modulus, at_least=2)
    counts = [int(rows[:, one].max()) + 1 for one in factors]
    if min(counts) < step:
        raise checks.bad("modulus", f"at most the values of a factor, {min(counts)}", step)
    if alike and counts[0] != counts[1]:
        raise checks.bad("alike", "factors with the same values", f"{counts[0]} and {counts[1]}")
    first, second = (np.ascontiguousarray(rows[:, one]) for one in factors)
    return _held_out(key, first, second, counts[0], counts[1], step, bool(alike))


@functools.partial(jax.jit, static_argnums=(3, 4, 5, 6))
def _held_out(
    key: jax.Array, first: jax.Array, second: jax.Array, one: int, other: int, modulus: int, alike: bool
) -> jax.Array:
    keys = jax.random.split(key)
    left = jax.random.permutation(keys[0], one)
    right = left if alike else jax.random.permutation(keys[1], other)
    return (left[first] + right[second]) % modulus == 0


def _every(counts: tuple[int, ...]) -> np.ndarray:
    return np.stack([of.reshape(-1) for of in np.indices(counts)], axis=-1)


@functools.partial(jax.jit, static_argnums=4)
def _pictures(places: jax.Array, shapes: jax.Array, colours: jax.Array, sizes: jax.Array, side: int) -> jax.Array:
    """Rendered large, cut to the grid and averaged; objects `[N, M]`."""
    there = jnp.ones(shapes.shape, bool)
    scene = sprites.Scene(
        jnp.asarray(places, jnp.result_type(float)), shapes, colours, sizes, jnp.zeros_like(shapes), there, there[:, 0]
    )
    fine = jax.vmap(lambda one: sprites.render(one, size=_FINE).image)(scene)
    half = round(_FINE * _CELL * side / 2)
    cut = fine[:, _FINE // 2 - half : _FINE // 2 + half, _FINE // 2 - half : _FINE // 2 + half]
    points = 2 * half // _STEP
    return cut.reshape(len(fine), points, _STEP, points, _STEP, 3).mean(axis=(2, 4))
