"""What an intervention does inside the forward pass: a fixed arithmetic on chosen positions, all numbers traced.

Every operation (zero, swap, noise, ...) is one formula, so that one compiled program runs any mixture of arms:

    new = keep * old + (payload * scale - keep * B^T B old),   scale = |old| / |payload| where lengths are to be matched

Where nothing is chosen, keep is 1 and the rest 0: ``old`` is returned as it was.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from tokdyn import keys
from tokdyn.numerics import safe_norm

DONORS = ("self", "other", "unrelated")


class Sites(NamedTuple):
    """Values at every place where an intervention can write, for one item or for many.

    Attributes:
        embeddings: what positions are fed, before their places are added `[positions, width]`.
        residuals: after each layer `[layers, positions, width]`.
        keys: cached `[layers, positions, width]`.
        values: cached `[layers, positions, width]`.
    """

    embeddings: jax.Array
    residuals: jax.Array
    keys: jax.Array
    values: jax.Array


class Writes(NamedTuple):
    """A few writes, done one after the other; the leading axis is theirs, and `[writes]` is left out below.

    Attributes:
        where: positions `[positions]` bool.
        layers: layers, for residuals and caches `[layers]` bool.
        embeddings: whether it acts on what positions are fed `[]` bool.
        residuals: ... on the stream after a layer `[]` bool.
        caches: ... on keys and values `[]` bool.
        hides: ... on the attention mask: the positions are hidden from all others `[]` bool.
        keep: share of the old value `[]`.
        rescale: whether the payload is given the old value's length `[]` bool.
        directions: orthonormal rows to project out `[directions, width]`; zero rows do nothing.
        payload: what is added, leaves `[writes, ..., positions, width]`: all positions, or the last ones.
    """

    where: jax.Array
    layers: jax.Array
    embeddings: jax.Array
    residuals: jax.Array
    caches: jax.Array
    hides: jax.Array
    keep: jax.Array
    rescale: jax.Array
    directions: jax.Array
    payload: Sites


class Recipe(NamedTuple):
    """A write whose payload is still to be made; fields up to ``directions`` as in ``Writes``.

    Attributes:
        donor: from whom is copied, a place in ``DONORS`` `[]` int32.
        order: which position each position copies from `[positions]` int32.
        copy: share of the donor's clean value in the payload `[]`.
        mean: ... of the mean over items `[]`.
        oracle: ... of the oracle `[]`.
        vector: added everywhere `[width]`.
        absolute: standard deviation of noise `[]`.
        relative: ... times the clean value's root mean square `[]`.
        spread: ... times the standard deviation over items `[]`.
    """

    where: jax.Array
    layers: jax.Array
    embeddings: jax.Array
    residuals: jax.Array
    caches: jax.Array
    hides: jax.Array
    keep: jax.Array
    rescale: jax.Array
    directions: jax.Array
    donor: jax.Array
    order: jax.Array
    copy: jax.Array
    mean: jax.Array
    oracle: jax.Array
    vector: jax.Array
    absolute: jax.Array
    relative: jax.Array
    spread: jax.Array


class Material(NamedTuple):
    """What payloads are made from, over the positions that are run again.

    Attributes:
        clean: of the clean run, leaves `[items, ..., positions, width]`.
        mean: of these over items.
        deviation: their standard deviation over items; None where nobody asks for noise.
        drawn: standard normal numbers of their shape; None where nobody asks for noise.
        donors: items that each item copies from, in the order of ``DONORS`` `[3, items]` int32.
        oracle: what an oracle writes; None where nobody asks.
    """

    clean: Sites
    mean: Sites
    deviation: Sites | None
    drawn: Sites | None
    donors: jax.Array
    oracle: Sites | None


def material(clean: Sites, donors: jax.Array, oracle: Sites | None, key: jax.Array | None) -> Material:
    """Gather it; the noise is the same in every arm, and there is none without a key."""
    mean = jax.tree.map(lambda leaf: leaf.mean(axis=0), clean)
    if key is None:
        return Material(clean, mean, None, None, donors, oracle)
    return Material(clean, mean, jax.tree.map(_deviation, clean), _drawn(clean, key), donors, oracle)


def _drawn(like: Sites, key: jax.Array) -> Sites:
    """Standard normal numbers, a key for each site, drawn by one generator: four would be compiled four times."""
    of_sites = jnp.stack([keys.for_purpose(key, name) for name in Sites._fields])
    size = max(leaf.size for leaf in like)
    # Not our own generator: XLA would inline it into every arm's arithmetic, and compile for long.
    drawn = jax.vmap(lambda key: jax.random.normal(key, (size,), like.embeddings.dtype))(of_sites)
    # A number depends on its key and its place in the array, not on the array's length.
    return Sites(*[row[: leaf.size].reshape(leaf.shape) for row, leaf in zip(drawn, like, strict=True)])


def _deviation(values: jax.Array) -> jax.Array:
    """Standard deviation over items, whose gradient is 0 where all are equal (a marker's embedding)."""
    variance = values.var(axis=0)
    return jnp.where(variance > 0, jnp.sqrt(jnp.where(variance > 0, variance, 1.0)), 0.0)


def cooked(recipe: Recipe, material: Material) -> Writes:
    """The writes of one arm: recipes `[writes, ...]`, payloads `[writes, items, ..., positions, width]`."""

    def payload(one: Recipe) -> Sites:
        count = material.clean.embeddings.shape[-2]
        skipped = len(one.order) - count
        order = one.order[skipped:] - skipped
        donors = material.donors[one.donor]

        def values(name: str) -> jax.Array:
            clean = getattr(material.clean, name)
            made = one.copy * jnp.take(clean[donors], order, axis=-2) + one.mean * getattr(material.mean, name)
            made = made + one.vector
            if material.drawn is not None:
                size = safe_norm(clean)[..., None] / math.sqrt(clean.shape[-1])
                noise = one.absolute + one.relative * size + one.spread * getattr(material.deviation, name)
                made = made + noise * getattr(material.drawn, name)
            return made if material.oracle is None else made + one.oracle * getattr(material.oracle, name)

        return Sites(*[values(name) for name in Sites._fields])

    shared = {name: getattr(recipe, name) for name in Writes._fields if name != "payload"}
    return Writes(**shared, payload=jax.vmap(payload)(recipe))


_FLAG = {"embeddings": "embeddings", "residuals": "residuals", "keys": "caches", "values": "caches"}


def touched(
    old: jax.Array, writes: Writes | None, site: str, first: jax.Array | int, layer: int | None = None
) -> jax.Array:
    """Values `[new, width]` of the positions from ``first`` on, after all writes to that site.

    Args:
        old: as computed.
        writes: None for none.
        site: a field of ``Sites``.
        first: position of the first row.
        layer: of residuals and caches; None for embeddings.
    """
    if writes is None:
        return old
    count = len(old)
    for number in range(len(writes.keep)):
        write = jax.tree.map(lambda leaf, number=number: leaf[number], writes)
        payload = getattr(write.payload, site)
        active = getattr(write, _FLAG[site])
        if layer is not None:
            payload, active = payload[layer], active & write.layers[layer]
        # Payloads may leave out a prefix that is not run again.
        skipped = write.where.shape[0] - payload.shape[0]
        payload = jax.lax.dynamic_slice_in_dim(payload, first - skipped, count)
        chosen = active & jax.lax.dynamic_slice_in_dim(write.where, first, count)
        length = safe_norm(payload)
        ratio = safe_norm(old) / jnp.where(length > 0, length, 1.0)
        scale = jnp.where(write.rescale, ratio, 1.0)
        change = payload * scale[:, None] - write.keep * ((old @ write.directions.T) @ write.directions)
        # Chosen or not, the old value goes through one multiplication and one addition. Two branches would be fused
        # with what made it and what reads it, each in its own way: an identity would differ from no write by rounding.
        mask = chosen[:, None].astype(old.dtype)
        old = (1 + mask * (write.keep - 1)) * old + mask * change
    return old


def hidden_columns(writes: Writes) -> jax.Array:
    """Positions that some write hides `[positions]` bool."""
    return jnp.any(writes.hides[:, None] & writes.where, axis=0)
