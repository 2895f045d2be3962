"""Agreement between two partitions of the features, labels and predicted clusters, with scikit-learn's results.

All functions take integers with static sizes, so that they compile once and can be batched. A feature that the mask
drops, or whose label or predicted id is out of range (such as -1), is ignored. Excluding the background of a scene,
with ``mask=labels != background``, gives the foreground scores of object-centric learning. For several scores of the
same two partitions, use ``contingency`` once and then the ``..._from(table)`` functions.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from numpy.typing import ArrayLike

from tokdyn.metrics._arrays import floating_dtype
from tokdyn.metrics.contingency import (
    adjusted_rand_index_from,
    completeness_from,
    contingency,
    fowlkes_mallows_from,
    homogeneity_from,
    normalized_mutual_information_from,
    purity_from,
    v_measure_from,
)


def adjusted_rand_index(
    labels: ArrayLike,
    predicted: ArrayLike,
    *,
    num_labels: int,
    num_predicted: int,
    mask: ArrayLike | None = None,
    dtype: DTypeLike | None = None,
) -> jax.Array:
    """Share of pairs of features on which two partitions agree, corrected for chance.

    `ARI = 2 (a d - b c) / ((a + b)(b + d) + (a + c)(c + d))` over ordered pairs: `a` together in both, `b`
    only by label, `c` only by prediction, `d` in neither. It is symmetric, and independent of the numbering of
    clusters.

    Args:
        labels: integers `[N]`, from 0 to num_labels - 1.
        predicted: integers `[N]`, from 0 to num_predicted - 1.
        num_labels: static number of labels.
        num_predicted: static number of predicted ids.
        mask: boolean `[N]`, the features that count; None keeps all.
        dtype: dtype of the result; None means JAX's default float.

    Returns:
        `[]`, at most 1, about 0 for random partitions. 1 if no pair disagrees: no feature at all, a single
        one, one cluster on both sides, or all singletons on both.

    Raises:
        ValueError: not integers, different lengths, or sizes that are not static positive integers.

    References:
        Hubert & Arabie, "Comparing partitions", Journal of Classification 2 (1985), 193-218.

    Example:
        >>> import jax.numpy as jnp, tokdyn as td
        >>> labels, predicted = jnp.array([0, 0, 1, 1]), jnp.array([2, 2, 1, 0])
        >>> score = td.metrics.adjusted_rand_index(labels, predicted, num_labels=2, num_predicted=3)
        >>> round(float(score), 4)
        0.5714
    """
    table = _table(labels, predicted, num_labels, num_predicted, mask, dtype)
    return adjusted_rand_index_from(table).astype(floating_dtype(dtype))


def normalized_mutual_information(
    labels: ArrayLike,
    predicted: ArrayLike,
    *,
    num_labels: int,
    num_predicted: int,
    mask: ArrayLike | None = None,
    dtype: DTypeLike | None = None,
) -> jax.Array:
    """Mutual information of two partitions, divided by the arithmetic mean of their entropies.

    `NMI = 2 I(labels; predicted) / (H(labels) + H(predicted))`. It is symmetric, and not corrected for chance.

    Args:
        labels: integers `[N]`, from 0 to num_labels - 1.
        predicted: integers `[N]`, from 0 to num_predicted - 1.
        num_labels: static number of labels.
        num_predicted: static number of predicted ids.
        mask: boolean `[N]`, the features that count; None keeps all.
        dtype: dtype of the result; None means JAX's default float.

    Returns:
        `[]` in 0 to 1. 1 if both sides are a single cluster, also for no feature; 0 if only one side is.

    Raises:
        ValueError: not integers, different lengths, or sizes that are not static positive integers.

    References:
        Strehl & Ghosh, "Cluster ensembles", JMLR 3 (2002), 583-617, in the arithmetic variant.

    Example:
        >>> import jax.numpy as jnp, tokdyn as td
        >>> labels, predicted = jnp.array([0, 0, 1, 1]), jnp.array([2, 2, 1, 0])
        >>> score = td.metrics.normalized_mutual_information(labels, predicted, num_labels=2, num_predicted=3)
        >>> round(float(score), 4)
        0.8
    """
    table = _table(labels, predicted, num_labels, num_predicted, mask, dtype)
    return normalized_mutual_information_from(table).astype(floating_dtype(dtype))


def fowlkes_mallows(
    labels: ArrayLike,
    predicted: ArrayLike,
    *,
    num_labels: int,
    num_predicted: int,
    mask: ArrayLike | None = None,
    dtype: DTypeLike | None = None,
) -> jax.Array:
    """Geometric mean of precision and recall over the pairs of features that a partition puts together.

    `FM = a / sqrt((a + b)(a + c))` with the pairs of ``adjusted_rand_index``. It is symmetric.

    Args:
        labels: integers `[N]`, from 0 to num_labels - 1.
        predicted: integers `[N]`, from 0 to num_predicted - 1.
        num_labels: static number of labels.
        num_predicted: static number of predicted ids.
        mask: boolean `[N]`, the features that count; None keeps all.
        dtype: dtype of the result; None means JAX's default float.

    Returns:
        `[]` in 0 to 1; 0 if no pair is together in both, also for no feature or a single one.

    Raises:
        ValueError: not integers, different lengths, or sizes that are not static positive integers.

    References:
        Fowlkes & Mallows, "A method for comparing two hierarchical clusterings", JASA 78 (1983), 553-569.

    Example:
        >>> import jax.numpy as jnp, tokdyn as td
        >>> labels, predicted = jnp.array([0, 0, 1, 1]), jnp.array([2, 2, 1, 0])
        >>> score = td.metrics.fowlkes_mallows(labels, predicted, num_labels=2, num_predicted=3)
        >>> round(float(score), 4)
        0.7071
    """
    table = _table(labels, predicted, num_labels, num_predicted, mask, dtype)
    return fowlkes_mallows_from(table).astype(floating_dtype(dtype))


def purity(
    labels: ArrayLike,
    predicted: ArrayLike,
    *,
    num_labels: int,
    num_predicted: int,
    mask: ArrayLike | None = None,
    dtype: DTypeLike | None = None,
) -> jax.Array:
    """Share of features whose label is the commonest one of their predicted cluster.

    `sum_j max_i n_ij / N` with the counts of ``contingency``. It grows with the number of predicted clusters.

    Args:
        labels: integers `[N]`, from 0 to num_labels - 1.
        predicted: integers `[N]`, from 0 to num_predicted - 1.
        num_labels: static number of labels.
        num_predicted: static number of predicted ids.
        mask: boolean `[N]`, the features that count; None keeps all.
        dtype: dtype of the result; None means JAX's default float.

    Returns:
        `[]` in 0 to 1; NaN if no feature counts.

    Raises:
        ValueError: not integers, different lengths, or sizes that are not static positive integers.

    Example:
        >>> import jax.numpy as jnp, tokdyn as td
        >>> labels, predicted = jnp.array([0, 0, 1, 1]), jnp.array([0, 0, 0, 1])
        >>> score = td.metrics.purity(labels, predicted, num_labels=2, num_predicted=2)
        >>> float(score)
        0.75
    """
    table = _table(labels, predicted, num_labels, num_predicted, mask, dtype)
    return purity_from(table).astype(floating_dtype(dtype))


def homogeneity(
    labels: ArrayLike,
    predicted: ArrayLike,
    *,
    num_labels: int,
    num_predicted: int,
    mask: ArrayLike | None = None,
    dtype: DTypeLike | None = None,
) -> jax.Array:
    """Homogeneity: 1 if every predicted cluster holds a single label.

    `h = I(labels; predicted) / H(labels)`.

    Args:
        labels: integers `[N]`, from 0 to num_labels - 1.
        predicted: integers `[N]`, from 0 to num_predicted - 1.
        num_labels: static number of labels.
        num_predicted: static number of predicted ids.
        mask: boolean `[N]`, the features that count; None keeps all.
        dtype: dtype of the result; None means JAX's default float.

    Returns:
        `[]` in 0 to 1; 1 if the labels are a single cluster, also for no feature.

    Raises:
        ValueError: not integers, different lengths, or sizes that are not static positive integers.

    References:
        Rosenberg & Hirschberg, "V-measure", EMNLP-CoNLL (2007), 410-420.

    Example:
        >>> import jax.numpy as jnp, tokdyn as td
        >>> labels, predicted = jnp.array([0, 0, 1, 1]), jnp.array([2, 2, 1, 0])
        >>> score = td.metrics.homogeneity(labels, predicted, num_labels=2, num_predicted=3)
        >>> round(float(score), 4)
        1.0
    """
    table = _table(labels, predicted, num_labels, num_predicted, mask, dtype)
    return homogeneity_from(table).astype(floating_dtype(dtype))


def completeness(
    labels: ArrayLike,
    predicted: ArrayLike,
    *,
    num_labels: int,
    num_predicted: int,
    mask: ArrayLike | None = None,
    dtype: DTypeLike | None = None,
) -> jax.Array:
    """Completeness: 1 if every label lies in a single predicted cluster.

    `c = I(labels; predicted) / H(predicted)`.

    Args:
        labels: integers `[N]`, from 0 to num_labels - 1.
        predicted: integers `[N]`, from 0 to num_predicted - 1.
        num_labels: static number of labels.
        num_predicted: static number of predicted ids.
        mask: boolean `[N]`, the features that count; None keeps all.
        dtype: dtype of the result; None means JAX's default float.

    Returns:
        `[]` in 0 to 1; 1 if the prediction is a single cluster, also for no feature.

    Raises:
        ValueError: not integers, different lengths, or sizes that are not static positive integers.

    References:
        Rosenberg & Hirschberg, "V-measure", EMNLP-CoNLL (2007), 410-420.

    Example:
        >>> import jax.numpy as jnp, tokdyn as td
        >>> labels, predicted = jnp.array([0, 0, 1, 1]), jnp.array([2, 2, 1, 0])
        >>> score = td.metrics.completeness(labels, predicted, num_labels=2, num_predicted=3)
        >>> round(float(score), 4)
        0.6667
    """
    table = _table(labels, predicted, num_labels, num_predicted, mask, dtype)
    return completeness_from(table).astype(floating_dtype(dtype))


def v_measure(
    labels: ArrayLike,
    predicted: ArrayLike,
    *,
    num_labels: int,
    num_predicted: int,
    mask: ArrayLike | None = None,
    beta: ArrayLike = 1.0,
    dtype: DTypeLike | None = None,
) -> jax.Array:
    """Weighted harmonic mean of homogeneity h and completeness c.

    `V = (1 + beta) h c / (beta h + c)`; for beta = 1 it equals the normalised mutual information.

    Args:
        labels: integers `[N]`, from 0 to num_labels - 1.
        predicted: integers `[N]`, from 0 to num_predicted - 1.
        num_labels: static number of labels.
        num_predicted: static number of predicted ids.
        mask: boolean `[N]`, the features that count; None keeps all.
        beta: number `[]` of at least 0, may be traced; above 1 completeness weighs more.
        dtype: dtype of the result; None means JAX's default float.

    Returns:
        `[]` in 0 to 1; 0 if h = c = 0, 1 for no feature.

    Raises:
        ValueError: not integers, different lengths, or sizes that are not static positive integers.

    References:
        Rosenberg & Hirschberg, "V-measure", EMNLP-CoNLL (2007), 410-420.

    Example:
        >>> import jax.numpy as jnp, tokdyn as td
        >>> labels, predicted = jnp.array([0, 0, 1, 1]), jnp.array([2, 2, 1, 0])
        >>> score = td.metrics.v_measure(labels, predicted, num_labels=2, num_predicted=3)
        >>> round(float(score), 4)
        0.8
    """
    table = _table(labels, predicted, num_labels, num_predicted, mask, dtype)
    return v_measure_from(table, beta=beta).astype(floating_dtype(dtype))


def _table(labels: Any, predicted: Any, num_labels: int, num_predicted: int, mask: Any, dtype: Any) -> jax.Array:
    """The table in a type that can count exactly, whatever the type of the result."""
    wide = jnp.promote_types(floating_dtype(dtype), jnp.float32)
    return contingency(labels, predicted, num_labels=num_labels, num_predicted=num_predicted, mask=mask, dtype=wide)
