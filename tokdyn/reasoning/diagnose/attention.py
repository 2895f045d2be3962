"""Where latent positions look: entropy over the image, the mass beside it, and the share on what matters."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from tokdyn.checks import bad, choice, describe_array, floating
from tokdyn.numerics import namespace
from tokdyn.reasoning.diagnose.arrays import program
from tokdyn.reasoning.diagnose.effects import MeanEffect, mean_effect

ORDERS = ("entropy_then_mean", "mean_then_entropy")


class ImageAttention(NamedTuple):
    """Attention to the image, by item, layer, head and query: every array `[items, layers, heads, queries]`.

    Attributes:
        entropy: of the attention renormalised over image keys, nats; 0 where undefined.
        normalised_entropy: entropy / log(image keys), 0 to 1; 0 for one image key.
        mass: raw attention on image keys, before renormalising: a narrow entropy with tiny mass means nothing.
        undefined: no mass on the image at all.
    """

    entropy: jax.Array
    normalised_entropy: jax.Array
    mass: jax.Array
    undefined: jax.Array


class Narrowing(NamedTuple):
    """Entropy over the image at latent queries against answer queries.

    Attributes:
        difference: latent - answer, nats, a `MeanEffect` over items; below 0 is narrower at latent queries.
        normalised_difference: the same of entropy / log(image keys).
        mass_difference: latent - answer of the raw mass on the image, a `MeanEffect`.
        latent_entropy: mean of the items that count `[included items]`.
        answer_entropy: the same for answer queries `[included items]`.
        latent_mass: mean raw mass.
        answer_mass: mean raw mass.
        by_head: mean difference of each head, entropy taken first `[layers, heads]`.
        included: items that have both kinds of queries, each with some mass on the image `[items]` bool.
        order: "entropy_then_mean" or "mean_then_entropy".
    """

    difference: MeanEffect
    normalised_difference: MeanEffect
    mass_difference: MeanEffect
    latent_entropy: np.ndarray
    answer_entropy: np.ndarray
    latent_mass: float
    answer_mass: float
    by_head: np.ndarray
    included: np.ndarray
    order: str


class RelevantAttention(NamedTuple):
    """How much of the attention to the image is on the patches that matter.

    Attributes:
        share: of the attention renormalised over the image, a `MeanEffect` over items.
        area: mean share of the image that those patches are: what a uniform look gives.
        excess: share - area, a `MeanEffect`.
        enrichment: mean share / mean area.
        mass: mean raw mass on the image.
        by_head: mean share of each head `[layers, heads]`.
        included: items with relevant patches, queries and mass `[items]` bool.
    """

    share: MeanEffect
    area: float
    excess: MeanEffect
    enrichment: float
    mass: float
    by_head: np.ndarray
    included: np.ndarray


def image_attention(attention: ArrayLike, image_keys: ArrayLike) -> ImageAttention:
    r"""Entropy over image tokens and raw mass on them, for each item, layer, head and query. Works under jit.

    `M = \sum_{j \in IMG} a_j`, `p_j = a_j / M`, `H = - \sum_{j \in IMG} p_j \log p_j`.

    Args:
        attention: weights `[items, layers, heads, queries, keys]`, at least 0.
        image_keys: which keys are image tokens, bool `[keys]` or `[items, keys]`.

    Returns:
        `ImageAttention`.

    Raises:
        ValueError: another rank or dtype, or a mask that does not fit.

    Example:
        >>> import jax.numpy as jnp
        >>> from tokdyn.reasoning.diagnose import image_attention
        >>> weights = jnp.array([0.1, 0.1, 0.0, 0.8]).reshape(1, 1, 1, 1, 4)
        >>> found = image_attention(weights, jnp.array([True, True, True, False]))
        >>> round(float(found.entropy[0, 0, 0, 0]), 4), round(float(found.mass[0, 0, 0, 0]), 4)  # log 2
        (0.6931, 0.2)
    """
    array, keys = _attention(attention, image_keys)
    shares, mass, undefined = _renormalised(array, keys)
    entropy = _entropy(shares)
    return ImageAttention(entropy, entropy / _log_count(keys)[:, None, None, None], mass, undefined)


def attention_entropy(attention: ArrayLike, image_keys: ArrayLike, *, order: str = "entropy_then_mean") -> jax.Array:
    """Entropy over image tokens with layers and heads averaged, in either order. Works under jit.

    "entropy_then_mean" is the mean over heads of each head's entropy: how narrowly a head looks.
    "mean_then_entropy" is the entropy of the heads' mean (each renormalised first): how narrowly all look together;
    never smaller (Jensen), and large where sharp heads look at different places. Published numbers seldom say which.

    Args:
        attention: `[items, layers, heads, queries, keys]`.
        image_keys: bool `[keys]` or `[items, keys]`.
        order: "entropy_then_mean" or "mean_then_entropy"; static.

    Returns:
        nats `[items, queries]`; heads without mass on the image are left out, 0 where all are.

    Raises:
        ValueError: as `image_attention`; an unknown order.

    Example:
        >>> import jax.numpy as jnp
        >>> from tokdyn.reasoning.diagnose import attention_entropy
        >>> heads = jnp.eye(2).reshape(1, 1, 2, 1, 2)  # two sharp heads, two places
        >>> keys = jnp.array([True, True])
        >>> [round(float(attention_entropy(heads, keys, order=each)[0, 0]), 4)
        ...  for each in ("entropy_then_mean", "mean_then_entropy")]
        [0.0, 0.6931]
    """
    array, keys = _attention(attention, image_keys)
    choice("order", order, ORDERS)
    shares, _, undefined = _renormalised(array, keys)
    return _over_heads(shares, undefined, order)


def attention_narrowing(
    key: jax.Array,
    attention: ArrayLike,
    image_keys: ArrayLike,
    latent_queries: ArrayLike,
    answer_queries: ArrayLike,
    *,
    order: str = "entropy_then_mean",
    num_resamples: int = 10_000,
    confidence: float = 0.95,
) -> Narrowing:
    r"""Is attention to the image narrower at latent queries than at answer queries?

    `\Delta H = \mathrm{mean}_{t \in latent} H(t) - \mathrm{mean}_{t \in answer} H(t)` item by item, then over items,
    with a paired bootstrap interval.

    Args:
        key: a key.
        attention: `[items, layers, heads, queries, keys]`.
        image_keys: bool `[keys]` or `[items, keys]`.
        latent_queries: bool `[queries]` or `[items, queries]`.
        answer_queries: bool `[queries]` or `[items, queries]`.
        order: see `attention_entropy`.
        num_resamples: how many.
        confidence: between 0 and 1.

    Returns:
        `Narrowing`.

    Raises:
        ValueError: as `image_attention`, or fewer than two items that have both kinds of queries.

    References:
        Ours, after the description in arXiv 2606.01287, whose formula and order of averaging are not published.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from tokdyn.reasoning.diagnose import attention_narrowing
        >>> rows = jnp.array([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0]])  # the first query is sharp
        >>> weights = jnp.broadcast_to(rows, (3, 1, 1, 2, 3))
        >>> found = attention_narrowing(jax.random.key(0), weights, jnp.array([True, True, False]),
        ...                             jnp.array([True, False]), jnp.array([False, True]), num_resamples=50)
        >>> round(found.difference.estimate, 4), found.mass_difference.estimate
        (-0.6931, 0.0)
    """
    array, keys = _attention(attention, image_keys, latent_queries, answer_queries)
    choice("order", order, ORDERS)
    latent_group = _queries("latent_queries", latent_queries, array)
    answer_group = _queries("answer_queries", answer_queries, array)
    sides = [
        program(_summary, array, static=("order",))(array, keys, group, order=order)
        for group in (latent_group, answer_group)
    ]
    included = np.asarray(sides[0]["has"]) & np.asarray(sides[1]["has"])
    if included.sum() < 2:
        raise bad("attention", "at least two items with latent and answer queries that see the image", included.sum())
    latent, answer = (np.asarray(side["entropy"], np.float64)[included] for side in sides)
    masses = [np.asarray(side["mass"], np.float64)[included] for side in sides]
    heads = [_over_items(side["heads"], side["head_has"], included) for side in sides]
    scale = np.asarray(_log_count(np.asarray(keys)), np.float64)[included]

    def effect(values: np.ndarray) -> MeanEffect:
        return mean_effect(key, values, num_resamples=num_resamples, confidence=confidence)

    return Narrowing(
        difference=effect(latent - answer),
        normalised_difference=effect((latent - answer) / scale),
        mass_difference=effect(masses[0] - masses[1]),
        latent_entropy=latent,
        answer_entropy=answer,
        latent_mass=float(masses[0].mean()),
        answer_mass=float(masses[1].mean()),
        by_head=heads[0] - heads[1],
        included=included,
        order=order,
    )


def relevant_attention(
    key: jax.Array,
    attention: ArrayLike,
    image_keys: ArrayLike,
    queries: ArrayLike,
    relevant: ArrayLike,
    *,
    num_resamples: int = 10_000,
    confidence: float = 0.95,
) -> RelevantAttention:
    r"""Share of the attention to the image that lies on the relevant patches, against their share of the area.

    `\sum_{j \in R} p_j` averaged over heads, layers and the queries, with p renormalised over the image. By chance it
    is `|R| / |IMG|`.

    Args:
        key: a key.
        attention: `[items, layers, heads, queries, keys]`.
        image_keys: bool `[keys]` or `[items, keys]`.
        queries: whose attention is meant, bool `[queries]` or `[items, queries]`.
        relevant: keys of relevant patches, bool `[items, keys]`; those outside the image do not count.
        num_resamples: how many.
        confidence: between 0 and 1.

    Returns:
        `RelevantAttention`.

    Raises:
        ValueError: as `image_attention`, or fewer than two items that count.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from tokdyn.reasoning.diagnose import relevant_attention
        >>> weights = jnp.broadcast_to(jnp.array([0.25, 0.25, 0.5, 0.0]), (3, 1, 1, 1, 4))
        >>> relevant = jnp.broadcast_to(jnp.array([False, False, True, False]), (3, 4))
        >>> found = relevant_attention(jax.random.key(0), weights, jnp.ones(4, bool), jnp.ones(1, bool), relevant,
        ...                            num_resamples=50)
        >>> found.share.estimate, found.area, found.enrichment
        (0.5, 0.25, 2.0)
    """
    array, keys = _attention(attention, image_keys, queries, relevant)
    wanted = namespace(array).asarray(relevant)
    if wanted.dtype != np.bool_ or wanted.shape != keys.shape:
        raise bad("relevant", f"booleans [items, keys] of shape {keys.shape}", describe_array(wanted))
    wanted = wanted & keys
    group = _queries("queries", queries, array)
    found = program(_relevant, array)(array, keys, group, wanted)
    included = np.asarray(found["has"]) & np.asarray(wanted).any(axis=1)
    if included.sum() < 2:
        raise bad("attention", "at least two items with relevant patches and queries that see them", included.sum())
    share, area, mass = (np.asarray(found[name], np.float64)[included] for name in ("share", "area", "mass"))

    def effect(values: np.ndarray) -> MeanEffect:
        return mean_effect(key, values, num_resamples=num_resamples, confidence=confidence)

    return RelevantAttention(
        share=effect(share),
        area=float(area.mean()),
        excess=effect(share - area),
        enrichment=float(share.mean() / area.mean()),
        mass=float(mass.mean()),
        by_head=_over_items(found["heads"], found["head_has"], included),
        included=included,
    )


def _attention(attention: Any, image_keys: Any, *others: Any) -> tuple[jax.Array, jax.Array]:
    """Both of NumPy, where these and the others are."""
    xp = namespace(attention, image_keys, *others)
    array = floating("attention", attention, axes="[items, layers, heads, queries, keys]", xp=xp)
    array = array.astype(jnp.promote_types(array.dtype, jnp.float32))
    return array, _mask("image_keys", image_keys, array.shape[0], array.shape[-1], axis="keys", xp=xp)


def _queries(name: str, value: Any, array: jax.Array) -> jax.Array:
    return _mask(name, value, array.shape[0], array.shape[-2], axis="queries", xp=namespace(array))


def _mask(name: str, value: Any, num_items: int, length: int, *, axis: str, xp: Any) -> jax.Array:
    mask = xp.asarray(value)
    if mask.dtype != np.bool_ or mask.shape not in ((length,), (num_items, length)):
        raise bad(name, f"booleans [{axis}] or [items, {axis}] of {num_items} and {length}", describe_array(mask))
    return xp.broadcast_to(mask, (num_items, length))


def _renormalised(array: jax.Array, keys: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    xp = namespace(array)
    on_image = xp.where(keys[:, None, None, None], array, 0.0)
    mass = on_image.sum(axis=-1)
    undefined = mass <= 0
    return on_image / xp.where(undefined, 1.0, mass)[..., None], mass, undefined


def _entropy(shares: jax.Array) -> jax.Array:
    xp = namespace(shares)
    some = shares > 0
    return -xp.sum(xp.where(some, shares * xp.log(xp.where(some, shares, 1.0)), 0.0), axis=-1)


def _over_heads(shares: jax.Array, undefined: jax.Array, order: str) -> jax.Array:
    """`[items, queries]`."""
    xp = namespace(shares)
    weight = ~undefined / xp.maximum((~undefined).sum(axis=(1, 2), keepdims=True), 1)
    if order == "entropy_then_mean":
        return xp.sum(_entropy(shares) * weight, axis=(1, 2))
    return _entropy(xp.sum(shares * weight[..., None], axis=(1, 2)))


def _log_count(keys: Any) -> Any:
    """Log of the number of image keys `[items]`; 1 where there is one, whose entropy is 0."""
    xp = namespace(keys)
    count = keys.sum(axis=1)
    return xp.where(count > 1, xp.log(xp.maximum(count, 2).astype(xp.float32)), 1.0)


def _summary(array: jax.Array, keys: jax.Array, group: jax.Array, *, order: str) -> dict[str, jax.Array]:
    """Of each item, over one group of queries: entropy and mass `[items]`, entropy by head `[items, layers, heads]`."""
    shares, mass, undefined = _renormalised(array, keys)
    group = group & ~undefined.all(axis=(1, 2))
    heads, head_has = _mean_by_head(_entropy(shares), ~undefined & group[:, None, None])
    return {
        "has": group.any(axis=1),
        "entropy": _mean_queries(_over_heads(shares, undefined, order), group),
        "mass": _mean_queries(mass.mean(axis=(1, 2)), group),
        "heads": heads,
        "head_has": head_has,
    }


def _relevant(array: jax.Array, keys: jax.Array, group: jax.Array, wanted: jax.Array) -> dict[str, jax.Array]:
    """The same for the share of the attention on wanted keys, and the wanted keys' share of the image `[items]`."""
    xp = namespace(array)
    shares, mass, undefined = _renormalised(array, keys)
    group = group & ~undefined.all(axis=(1, 2))
    on = xp.sum(xp.where(wanted[:, None, None, None], shares, 0.0), axis=-1)
    by_query = xp.sum(on, axis=(1, 2)) / xp.maximum((~undefined).sum(axis=(1, 2)), 1)
    heads, head_has = _mean_by_head(on, ~undefined & group[:, None, None])
    return {
        "has": group.any(axis=1),
        "share": _mean_queries(by_query, group),
        "area": wanted.sum(axis=1) / xp.maximum(keys.sum(axis=1), 1),
        "mass": _mean_queries(mass.mean(axis=(1, 2)), group),
        "heads": heads,
        "head_has": head_has,
    }


def _mean_queries(values: jax.Array, group: jax.Array) -> jax.Array:
    """`[items]` of `[items, queries]`."""
    xp = namespace(values)
    return xp.sum(xp.where(group, values, 0.0), axis=1) / xp.maximum(group.sum(axis=1), 1)


def _mean_by_head(values: jax.Array, mask: jax.Array) -> tuple[jax.Array, jax.Array]:
    """`[items, layers, heads]` of `[items, layers, heads, queries]`, and where there is any."""
    xp = namespace(values)
    counts = mask.sum(axis=-1)
    return xp.sum(xp.where(mask, values, 0.0), axis=-1) / xp.maximum(counts, 1), counts > 0


def _over_items(values: jax.Array, has: jax.Array, included: np.ndarray) -> np.ndarray:
    """`[layers, heads]` of `[items, layers, heads]`."""
    kept = np.asarray(has) & included[:, None, None]
    return np.where(kept, np.asarray(values, np.float64), 0.0).sum(axis=0) / np.maximum(kept.sum(axis=0), 1)
