"""One-to-one matching of predicted clusters to labels, and scores based on it."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from numpy.typing import ArrayLike

from tokdyn.metrics._arrays import count_table
from tokdyn.metrics.contingency import contingency


def match_clusters(
    labels: ArrayLike, predicted: ArrayLike, *, num_labels: int, num_predicted: int, mask: ArrayLike | None = None
) -> jax.Array:
    """The partner of every label in the one-to-one matching with predicted clusters that shares the most features.

    `argmax_m sum_i n_{i, m(i)}` over one-to-one maps m, by the Hungarian algorithm on the counts of
    ``contingency``.

    Args:
        labels: integers `[N]`, from 0 to num_labels - 1; others are ignored.
        predicted: integers `[N]`, from 0 to num_predicted - 1; others are ignored.
        num_labels: static number of labels.
        num_predicted: static number of predicted ids.
        mask: boolean `[N]`, the features that count; None keeps all.

    Returns:
        `[num_labels]`, int32: the predicted id matched to every label, -1 if no partner shares a feature with it.

    Raises:
        ValueError: not integers, different lengths, or sizes that are not static positive integers.

    References:
        Kuhn, "The Hungarian method for the assignment problem", Naval Research Logistics 2 (1955), 83-97.

    Example:
        >>> import jax.numpy as jnp, tokdyn as td
        >>> labels, predicted = jnp.array([0, 0, 1, 1]), jnp.array([1, 1, 0, 1])
        >>> td.metrics.match_clusters(labels, predicted, num_labels=2, num_predicted=2).tolist()
        [1, 0]
    """
    table = contingency(labels, predicted, num_labels=num_labels, num_predicted=num_predicted, mask=mask)
    return match_clusters_from(table)


def match_clusters_from(table: ArrayLike) -> jax.Array:
    """The partner of every row in the one-to-one matching with columns that has the largest total overlap.

    `argmax_m sum_i table_{i, m(i)}`; ``match_clusters`` applies it to a table of counts.

    Args:
        table: overlaps `[L, P]`, at least 0: counts, or intersections over unions. NaN counts as 0.

    Returns:
        `[L]`, int32: the column matched to every row, -1 if it has no partner with an overlap above 0.

    Raises:
        ValueError: not a table of numbers.

    Example:
        >>> import tokdyn as td
        >>> td.metrics.match_clusters_from([[3, 2], [3, 0], [0, 0]]).tolist()
        [1, 0, -1]
    """
    # Imported here, because optax is large and most users of the metrics do not need it.
    from optax.assignment import hungarian_algorithm

    table = count_table(table)
    table = jnp.where(jnp.isnan(table), 0, table)  # with NaN the algorithm would not end
    rows, columns = hungarian_algorithm(-table)
    partners = jnp.full(table.shape[0], -1, dtype=jnp.int32).at[rows].set(columns.astype(jnp.int32))
    return jnp.where(_overlap(table, partners) > 0, partners, -1)


def matched_accuracy(
    labels: ArrayLike, predicted: ArrayLike, *, num_labels: int, num_predicted: int, mask: ArrayLike | None = None
) -> jax.Array:
    """Share of features in the predicted cluster that is matched to their label.

    `max_m sum_i n_{i, m(i)} / N`, the clustering accuracy; features of a cluster without a partner count as
    wrong.

    Args:
        labels: integers `[N]`, from 0 to num_labels - 1; others are ignored.
        predicted: integers `[N]`, from 0 to num_predicted - 1; others are ignored.
        num_labels: static number of labels.
        num_predicted: static number of predicted ids.
        mask: boolean `[N]`, the features that count; None keeps all.

    Returns:
        `[]` in 0 to 1, in JAX's default float; NaN if no feature counts.

    Raises:
        ValueError: not integers, different lengths, or sizes that are not static positive integers.

    Example:
        >>> import jax.numpy as jnp, tokdyn as td
        >>> labels, predicted = jnp.array([0, 0, 1, 1]), jnp.array([1, 1, 0, 1])
        >>> float(td.metrics.matched_accuracy(labels, predicted, num_labels=2, num_predicted=2))
        0.75
    """
    table = contingency(labels, predicted, num_labels=num_labels, num_predicted=num_predicted, mask=mask)
    total = jnp.sum(table)
    shared = jnp.sum(_overlap(table, match_clusters_from(table)))
    return jnp.where(total == 0, jnp.nan, shared / jnp.maximum(total, 1))


def mean_matched_iou(
    labels: ArrayLike, predicted: ArrayLike, *, num_labels: int, num_predicted: int, mask: ArrayLike | None = None
) -> jax.Array:
    """Mean intersection over union of the labels and their predicted clusters, under the matching that maximises it.

    `max_m mean_i n_{i, m(i)} / (n_i + n_{m(i)} - n_{i, m(i)})` over the labels that occur; a label without a partner
    counts as 0.

    Args:
        labels: integers `[N]`, from 0 to num_labels - 1; others are ignored.
        predicted: integers `[N]`, from 0 to num_predicted - 1; others are ignored.
        num_labels: static number of labels.
        num_predicted: static number of predicted ids.
        mask: boolean `[N]`, the features that count; None keeps all.

    Returns:
        `[]` in 0 to 1, in JAX's default float; NaN if no feature counts.

    Raises:
        ValueError: not integers, different lengths, or sizes that are not static positive integers.

    Example:
        >>> import jax.numpy as jnp, tokdyn as td
        >>> labels, predicted = jnp.array([0, 0, 1, 1]), jnp.array([1, 1, 0, 1])
        >>> round(float(td.metrics.mean_matched_iou(labels, predicted, num_labels=2, num_predicted=2)), 4)
        0.5833
    """
    table = contingency(labels, predicted, num_labels=num_labels, num_predicted=num_predicted, mask=mask)
    sizes = jnp.sum(table, axis=1)
    union = sizes[:, None] + jnp.sum(table, axis=0)[None, :] - table
    iou = table / jnp.maximum(union, 1)
    num_present = jnp.sum(sizes > 0)
    matched = jnp.sum(_overlap(iou, match_clusters_from(iou)))
    return jnp.where(num_present == 0, jnp.nan, matched / jnp.maximum(num_present, 1))


def _overlap(table: jax.Array, partners: jax.Array) -> jax.Array:
    """Overlap of every row with its partner `[L]`; 0 if it has none."""
    taken = jnp.take_along_axis(table, jnp.maximum(partners, 0)[:, None], axis=1)[:, 0]
    return jnp.where(partners < 0, 0, taken)
