"""The scenes of every family, padded into three shapes: 400 features in 6 dimensions, 600 in 64, 320 in 256."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from tokdyn import data, keys
from tokdyn.studies.overprovision.families import Family

MOST_LABELS = 16
_SHAPES = {"small": (400, 6), "wide": (600, 64), "wider": (320, 256)}
_REAL = ("iris", "wine", "cancer", "digits", "digits_standardised")


class Scene(NamedTuple):
    """Features `[N, D]`, labels `[N]` (-1 for background) and which features exist `[N]`."""

    features: jax.Array
    labels: jax.Array
    mask: jax.Array


Draw = Callable[[ArrayLike, jax.Array], Scene]
"""From the number of a family and a key to a scene."""


def shape_of(family: Family) -> str:
    """The smallest shape that a family's scenes fit into."""
    if family.source in _REAL:
        return "wide"
    rows = sum(family.sizes) + family.num_background
    return next(name for name, (most, columns) in _SHAPES.items() if rows <= most and family.num_dimensions <= columns)


def radius(family: Family) -> float:
    """Root mean square distance of features from the centre of their cluster, by the law of the family or its table.

    Stretched and heavy-tailed clusters count by the noise that they are made from, moons and rings by that around them.
    """
    if family.source not in _REAL:
        return float(np.mean(family.noise)) * family.num_dimensions**0.5
    features, labels = _table(family.source)
    centres = np.stack([features[labels == label].mean(axis=0) for label in range(labels.max() + 1)])
    return float(np.sqrt(np.mean(np.sum((features - centres[labels]) ** 2, axis=1))))


def drawing(families: Sequence[Family]) -> Draw:
    """A pure function ``(number [], key) -> Scene`` for families of one shape.

    Args:
        families: that a traced number chooses from.
    """
    shape = shape_of(families[0])
    rows, columns = _SHAPES[shape]
    numbers = _numbers(families)
    real = _real(families, rows, columns)
    sources = {family.source for family in families}

    def drawn(number: ArrayLike, key: jax.Array) -> Scene:
        key = keys.for_purpose(key, "data")
        which = jnp.asarray(number, jnp.int32)
        chosen = {name: jnp.asarray(values)[which] for name, values in numbers.items()}
        source = chosen.pop("source")
        found = Scene(*data.mixture(key, **chosen, num_features=rows, max_dimensions=columns)[:3])
        for name in sorted(sources & {"moons", "rings"}):
            make = getattr(data, name)
            other = make(key, num_features=400, noise=chosen["noise"][0], num_dimensions=columns)
            scaled = other.features / jnp.maximum(jnp.std(other.features, axis=0), 1e-6)
            found = _where(source == _SOURCES.index(name), Scene(scaled, other.labels, other.mask), found)
        if real is not None:
            features, labels, counts = real
            # A random part of what there is, in random order: of digits 600, of the others all.
            count = jnp.asarray(counts)[which]
            order = jax.random.uniform(key, labels.shape[1:]) + (jnp.arange(labels.shape[1]) >= count)
            kept = jnp.argsort(order)[:rows]
            found = _where(source == _SOURCES.index("real"), Scene(
                jnp.asarray(features)[which, kept], jnp.asarray(labels)[which, kept],
                jnp.arange(rows) < jnp.minimum(count, rows),
            ), found)  # fmt: skip
        return found

    return drawn


_SOURCES = ("mixture", "moons", "rings", "real")


def _where(condition: jax.Array, first: Scene, second: Scene) -> Scene:
    return jax.tree.map(lambda one, other: jnp.where(condition, one, other), first, second)


def _numbers(families: Sequence[Family]) -> dict[str, np.ndarray]:
    """The families' numbers, one row for each."""
    rows: list[dict[str, Any]] = []
    for family in families:
        is_mixture = family.source == "mixture"
        sizes = np.zeros(MOST_LABELS, np.int32)
        sizes[: len(family.sizes) if is_mixture else 1] = family.sizes if is_mixture else 1
        noise = np.zeros(MOST_LABELS, np.float32)
        noise[: len(family.sizes)] = family.noise
        if np.ndim(family.noise) == 0:
            noise[:] = family.noise
        rows.append({
            "sizes": sizes, "noise": noise, "spread": np.float32(family.spread), "stretch": np.float32(family.stretch),
            "tail_index": np.float32(family.tail_index), "group_size": np.int32(family.group_size),
            "group_spread": np.float32(family.group_spread), "num_background": np.int32(family.num_background),
            "num_dimensions": np.int32(family.num_dimensions),
            "source": np.int32(_SOURCES.index("real" if family.source in _REAL else family.source)),
        })  # fmt: skip
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


@functools.lru_cache(maxsize=4)
def _table(name: str) -> tuple[np.ndarray, np.ndarray]:
    """A real data set, standardised; "digits" as they are, since their pixels share a unit."""
    features, labels = getattr(data, name.removesuffix("_standardised"))()
    features = features.reshape(len(features), -1)
    if name == "digits":
        return features, labels
    return np.asarray(data.standardised(features).features), labels


def _real(families: Sequence[Family], rows: int, columns: int) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Features `[F, M, columns]`, labels `[F, M]` and how many there are `[F]`, of the families that are real."""
    tables = {i: _table(family.source) for i, family in enumerate(families) if family.source in _REAL}
    if not tables:
        return None
    most = max(rows, *(len(labels) for _, labels in tables.values()))
    features = np.zeros((len(families), most, columns), np.float32)
    labels = np.zeros((len(families), most), np.int32)
    counts = np.ones(len(families), np.int32)
    for i, (values, own) in tables.items():
        features[i, : len(own), : values.shape[1]] = values
        labels[i, : len(own)], counts[i] = own, len(own)
    return features, labels, counts
