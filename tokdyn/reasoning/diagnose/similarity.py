"""How alike latents are: between items, within an item, between tasks.

A raw cosine is near 1 for everything in an anisotropic space, because all vectors share a mean. So each similarity can
be raw, centred or whitened by a reference set, and stands beside those of other vectors (words, image patches).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from tokdyn.checks import bad, choice, describe_array, floating, hyperparameter
from tokdyn.numerics import namespace
from tokdyn.reasoning.diagnose.arrays import product, program
from tokdyn.stats import clopper_pearson

SPACES = ("raw", "centred", "whitened")


class Similarity(NamedTuple):
    """Cosines between latents.

    Attributes:
        between_items: of one slot index, between different items, mean `[slots]`.
        between_matrix: of every two items at one slot index `[slots, items, items]`.
        within_items: between two slots of one item, mean over items `[slots, slots]`.
        undefined: share of items whose latent has no direction in this space (zero, or equal to the mean) `[slots]`;
            such cosines count as 0.
    """

    between_items: jax.Array
    between_matrix: jax.Array
    within_items: jax.Array
    undefined: jax.Array


class CrossTask(NamedTuple):
    """Cosines between the latents of two tasks.

    Attributes:
        between: between an item of one and an item of the other, mean `[slots]`.
        within_first: between different items of the first `[slots]`.
        within_second: between different items of the second `[slots]`.
        gap: mean of the two within minus between `[slots]`: what the latents say about the task and nothing more.
    """

    between: jax.Array
    within_first: jax.Array
    within_second: jax.Array
    gap: jax.Array


class Retrieval(NamedTuple):
    """Does a latent find its own target among those of all items?

    Attributes:
        accuracy: share whose own target is the nearest, by cosine; a tie of k counts 1 / k.
        low: lower end of the exact interval (ties rounded down).
        high: its upper end (ties rounded up).
        chance: 1 / items.
        own_rank: of the own target `[items]`, from 1, mid-rank of ties.
        own_cosine: mean cosine to the own target.
        other_cosine: mean cosine to the others' targets: what a high ``own_cosine`` must be compared with.
        n: items.
    """

    accuracy: float
    low: float
    high: float
    chance: float
    own_rank: np.ndarray
    own_cosine: float
    other_cosine: float
    n: int


def transformed(
    vectors: ArrayLike, reference: ArrayLike | None = None, *, space: str = "centred", shrinkage: ArrayLike = 0.1
) -> jax.Array:
    r"""Vectors in the space where their cosines are to be taken.

    "raw": as they are. "centred": minus the reference's mean. "whitened": also times `\Sigma_s^{-1/2}`, where
    `\Sigma_s = (1 - s) \Sigma + s (\mathrm{tr} \Sigma / D) I` is the reference's covariance shrunk toward a ball:
    without shrinkage, fewer references than features leave directions of no variance. A vector whose length is only
    the rounding of the subtraction becomes exactly 0. Works under jit.

    Args:
        vectors: `[..., features]`.
        reference: `[..., features]`, whose mean and covariance are used; None takes the vectors themselves.
        space: "raw", "centred" or "whitened"; static.
        shrinkage: s `[]`, from 0 to 1; for "whitened".

    Returns:
        `[..., features]`.

    Raises:
        ValueError: not floating point, two numbers of features, an unknown space.

    Example:
        >>> import jax.numpy as jnp
        >>> from tokdyn.reasoning.diagnose import transformed
        >>> transformed(jnp.array([[3.0, 1.0], [5.0, 1.0]])).tolist()
        [[-1.0, 0.0], [1.0, 0.0]]
    """
    xp = namespace(vectors, reference, shrinkage)
    array = checked_vectors("vectors", vectors, xp=xp)
    choice("space", space, SPACES)
    if space == "raw":
        return array
    source = array if reference is None else checked_vectors("reference", reference, xp=xp)
    num_features = array.shape[-1]
    if source.shape[-1] != num_features:
        raise bad("reference", f"{num_features} features as vectors", describe_array(source))
    rows = source.reshape(-1, num_features)
    mean = rows.mean(axis=0)
    scale = xp.maximum(xp.linalg.norm(array, axis=-1), xp.linalg.norm(mean))
    moved = array - mean
    rounding = 8 * xp.finfo(array.dtype).eps * scale
    moved = xp.where((xp.linalg.norm(moved, axis=-1) <= rounding)[..., None], 0.0, moved)
    if space == "centred":
        return moved
    amount = xp.asarray(hyperparameter("shrinkage", shrinkage, at_least=0.0), array.dtype)
    spread = rows - mean
    covariance = product(spread.T, spread) / len(rows)
    ball = xp.trace(covariance) / num_features
    values, directions = xp.linalg.eigh(
        (1 - amount) * covariance + amount * ball * xp.eye(num_features, dtype=array.dtype)
    )
    # Directions that the reference does not vary in (only without shrinkage) carry nothing.
    floor = num_features * xp.finfo(array.dtype).eps * xp.max(values)
    inverse = xp.where(values > floor, 1 / xp.sqrt(xp.where(values > floor, values, 1.0)), 0.0)
    return product(moved, (directions * inverse) @ directions.T)


def cosines(left: ArrayLike, right: ArrayLike) -> jax.Array:
    """Cosine of every two vectors; 0 with a vector of length zero. Works under jit.

    Args:
        left: `[..., A, features]`.
        right: `[..., B, features]`.

    Returns:
        `[..., A, B]`, from -1 to 1.

    Raises:
        ValueError: not floating point.

    Example:
        >>> import jax.numpy as jnp
        >>> from tokdyn.reasoning.diagnose import cosines
        >>> cosines(jnp.eye(2), jnp.array([[2.0, 0.0], [0.0, 0.0]])).tolist()
        [[1.0, 0.0], [0.0, 0.0]]
    """
    xp = namespace(left, right)
    a, b = _unit(checked_vectors("left", left, xp=xp)), _unit(checked_vectors("right", right, xp=xp))
    return xp.clip(product(a, xp.swapaxes(b, -1, -2)), -1.0, 1.0)


def similarity(
    latents: ArrayLike, reference: ArrayLike | None = None, *, space: str = "raw", shrinkage: ArrayLike = 0.1
) -> Similarity:
    """How alike latents are between items at one slot index, and between the slots of one item.

    Latents that are the same for every item have raw cosine 1 between items, and no direction at all once centred on
    their own mean, index by index (then ``undefined`` is 1). Centring removes one mean for all slots and items; pass
    one index alone, ``latents[:, [k]]``, to remove that index's own. Works under jit.

    Args:
        latents: `[items, slots, features]`, at least two items.
        reference: for "centred" and "whitened", see `transformed`.
        space: "raw", "centred" or "whitened"; static.
        shrinkage: for "whitened".

    Returns:
        `Similarity`.

    Raises:
        ValueError: another rank, fewer than two items, an unknown space.

    References:
        CapImagine, arXiv 2602.22766 (raw cosines between and within instances).
        Ethayarajh (2019), How contextual are contextualized word representations? EMNLP (anisotropy).

    Example:
        >>> import jax.numpy as jnp
        >>> from tokdyn.reasoning.diagnose import similarity
        >>> same = jnp.ones((5, 1, 1)) * jnp.array([[1.0, 0.0], [0.0, 1.0]])  # two slots, the same for every item
        >>> found = similarity(same)
        >>> found.between_items.tolist(), found.within_items.tolist()
        ([1.0, 1.0], [[1.0, 0.0], [0.0, 1.0]])
    """
    xp = namespace(latents, reference, shrinkage)
    moved = transformed(checked_latents(latents, xp=xp), reference, space=space, shrinkage=shrinkage)
    by_slot = xp.swapaxes(moved, 0, 1)
    matrix = cosines(by_slot, by_slot)
    return Similarity(
        between_items=_off_diagonal(matrix),
        between_matrix=matrix,
        within_items=cosines(moved, moved).mean(axis=0),
        undefined=xp.mean(xp.linalg.norm(moved, axis=-1) == 0, axis=0),
    )


def cross_task(
    latents: ArrayLike,
    other: ArrayLike,
    reference: ArrayLike | None = None,
    *,
    space: str = "raw",
    shrinkage: ArrayLike = 0.1,
) -> CrossTask:
    """How alike the latents of two tasks are, beside how alike they are within each. Works under jit.

    Args:
        latents: of one task `[items, slots, features]`.
        other: of the other task `[other items, slots, features]`.
        reference: see `transformed`; None takes both tasks' latents.
        space: "raw", "centred" or "whitened"; static.
        shrinkage: for "whitened".

    Returns:
        `CrossTask`.

    Raises:
        ValueError: another rank, fewer than two items, two numbers of slots or features.

    Example:
        >>> import jax.numpy as jnp
        >>> from tokdyn.reasoning.diagnose import cross_task
        >>> left, right = jnp.ones((3, 1, 1)) * jnp.array([1.0, 0.0]), jnp.ones((4, 1, 1)) * jnp.array([0.0, 1.0])
        >>> float(cross_task(left, right).gap[0])
        1.0
    """
    xp = namespace(latents, other, reference, shrinkage)
    first, second = checked_latents(latents, xp=xp), checked_latents(other, "other", xp=xp)
    if first.shape[1:] != second.shape[1:]:
        raise bad("other", f"slots and features as latents, {first.shape[1:]}", describe_array(second))
    source = xp.concatenate([first, second]) if reference is None else reference
    a, b = (xp.swapaxes(transformed(each, source, space=space, shrinkage=shrinkage), 0, 1) for each in (first, second))
    between = cosines(a, b).mean(axis=(-2, -1))
    left, right = _off_diagonal(cosines(a, a)), _off_diagonal(cosines(b, b))
    return CrossTask(between, left, right, (left + right) / 2 - between)


def similarity_table(latents: ArrayLike, references: Mapping[str, Any] | None = None, *, shrinkage: float = 0.1) -> Any:
    """Mean cosine between items of the latents, and of reference vectors by the same measure, in each space.

    Every row is centred and whitened by its own vectors: the question is how alike the members of one set are.

    Args:
        latents: `[items, slots, features]`.
        references: ``{name: [vectors, features]}``: words, image patches, hidden states.
        shrinkage: of the whitening; a column of the table.

    Returns:
        ``pandas.DataFrame``: set, slot (-1 for a reference), space, cosine, undefined, shrinkage, n.

    Raises:
        ValueError: as `similarity`.

    Example:
        >>> import jax
        >>> from tokdyn.reasoning.diagnose import similarity_table
        >>> words = jax.random.normal(jax.random.key(0), (50, 4))
        >>> table = similarity_table(words[:, None], {"words": words})
        >>> sorted(set(table["set"])), len(table)
        (['latents', 'words'], 6)
    """
    import pandas as pd

    array = checked_latents(latents, xp=namespace(latents))
    sets = {("latents", slot): array[:, slot : slot + 1] for slot in range(array.shape[1])}
    for name, vectors in (references or {}).items():
        sets[name, -1] = checked_vectors(f"references[{name!r}]", vectors, xp=namespace(vectors))[:, None]
    rows = []
    for (name, slot), members in sets.items():
        for space in SPACES:
            found = program(similarity, members, static=("space",))(members, space=space, shrinkage=shrinkage)
            values = {"cosine": float(found.between_items[0]), "undefined": float(found.undefined[0])}
            used = shrinkage if space == "whitened" else 0.0
            rows.append({"set": name, "slot": slot, "space": space, **values, "shrinkage": used, "n": len(members)})
    return pd.DataFrame(rows)


def retrieval(
    latents: ArrayLike,
    targets: ArrayLike,
    reference: ArrayLike | None = None,
    *,
    space: str = "centred",
    shrinkage: float = 0.1,
    confidence: float = 0.95,
) -> Retrieval:
    """Top-1 retrieval: is an item's own target the one most like its latent, among all items' targets?

    A high cosine to the own target means nothing where the cosine to all targets is high; this does.

    Args:
        latents: `[items, features]` (flatten or average slots, or take one index).
        targets: what each latent should be like `[items, features]`.
        reference: see `transformed`; None takes the targets.
        space: "raw", "centred" or "whitened".
        shrinkage: for "whitened".
        confidence: between 0 and 1.

    Returns:
        `Retrieval`.

    Raises:
        ValueError: two shapes, or fewer than two items.

    Example:
        >>> import jax.numpy as jnp
        >>> from tokdyn.reasoning.diagnose import retrieval
        >>> retrieval(jnp.eye(4), jnp.eye(4)).accuracy, retrieval(jnp.ones((4, 4)), jnp.eye(4)).accuracy
        (1.0, 0.25)
    """
    xp = namespace(latents, targets, reference)
    left = floating("latents", latents, axes="[items, features]", xp=xp)
    right = checked_vectors("targets", targets, xp=xp)
    if left.shape != right.shape or len(left) < 2:
        raise bad("targets", f"the shape of latents, {left.shape}, and two items", describe_array(right))
    source = right if reference is None else reference
    table = np.asarray(
        program(_table, left, static=("space",))(left, right, source, shrinkage=shrinkage, space=space), np.float64
    )
    n = len(table)
    own = np.diag(table)[:, None]
    slack = 16 * float(jnp.finfo(left.dtype).eps)  # equal up to rounding is a tie
    above, tied = (table > own + slack).sum(axis=1), (np.abs(table - own) <= slack).sum(axis=1)
    won = np.where(above == 0, 1 / tied, 0.0)
    interval = clopper_pearson([np.floor(won.sum()), np.ceil(won.sum())], n, confidence=confidence)
    return Retrieval(
        accuracy=float(won.mean()),
        low=float(interval.low[0]),
        high=float(interval.high[1]),
        chance=1 / n,
        own_rank=above + (tied + 1) / 2,
        own_cosine=float(own.mean()),
        other_cosine=float((table.sum() - own.sum()) / (n * (n - 1))),
        n=n,
    )


def checked_vectors(name: str, value: ArrayLike, *, xp: Any = jnp) -> jax.Array:
    """`[..., features]` in float32 or wider."""
    array = xp.asarray(value)
    if not jnp.issubdtype(array.dtype, jnp.floating) or array.ndim < 2 or 0 in array.shape:
        raise bad(name, "a floating-point array [..., features]", describe_array(array))
    return array.astype(jnp.promote_types(array.dtype, jnp.float32))


def checked_latents(value: ArrayLike, name: str = "latents", *, xp: Any = jnp) -> jax.Array:
    """`[items, slots, features]` in float32 or wider, at least two items."""
    array = floating(name, value, axes="[items, slots, features]", xp=xp)
    if len(array) < 2:
        raise bad(name, "at least two items", len(array))
    return checked_vectors(name, array, xp=xp)


def _unit(vectors: jax.Array) -> jax.Array:
    xp = namespace(vectors)
    largest = xp.max(xp.abs(vectors), axis=-1, keepdims=True)  # squares of tiny numbers would vanish
    scaled = vectors / xp.where(largest > 0, largest, 1.0)
    length = xp.linalg.norm(scaled, axis=-1, keepdims=True)
    return scaled / xp.where(length > 0, length, 1.0)


def _off_diagonal(matrix: jax.Array) -> jax.Array:
    """Mean of `[..., n, n]` without the diagonal."""
    xp, n = namespace(matrix), matrix.shape[-1]
    return xp.sum(xp.where(xp.eye(n, dtype=bool), 0.0, matrix), axis=(-2, -1)) / (n * (n - 1))


def _table(
    left: jax.Array, right: jax.Array, source: jax.Array, *, shrinkage: jax.Array | float, space: str
) -> jax.Array:
    return cosines(*(transformed(each, source, space=space, shrinkage=shrinkage) for each in (left, right)))
