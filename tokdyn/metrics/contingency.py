"""The contingency table of two partitions, and every score that depends on it alone.

To compute several scores of the same two partitions, compute the table once, ``table = contingency(...)``, and pass
it to the ``..._from(table)`` functions below. ``tokdyn.metrics.partition`` has the same scores as functions of labels.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from numpy.typing import ArrayLike

from tokdyn.checks import whole_number
from tokdyn.metrics._arrays import count_table, counted, floating_dtype, integers, number


def contingency(
    labels: ArrayLike,
    predicted: ArrayLike,
    *,
    num_labels: int,
    num_predicted: int,
    mask: ArrayLike | None = None,
    dtype: DTypeLike | None = None,
) -> jax.Array:
    """Count the features of every pair of a label and a predicted cluster.

    `n_ij = #{features with label i and predicted cluster j}`.

    A feature that the mask drops, or whose label or predicted id is out of range (such as -1), is ignored.

    Args:
        labels: integers `[N]`.
        predicted: integers `[N]`.
        num_labels: static; labels run from 0 to num_labels - 1.
        num_predicted: static; predicted ids run from 0 to num_predicted - 1.
        mask: boolean `[N]`, the features that count; None keeps all.
        dtype: dtype of the result; None means JAX's default float. Counts are exact below 2^24 in float32.

    Returns:
        Counts `[num_labels, num_predicted]`.

    Raises:
        ValueError: not integers, different lengths, a size that is not a static positive integer, a dtype
            that is not floating point.

    Example:
        >>> import jax.numpy as jnp, tokdyn as td
        >>> labels, predicted = jnp.array([0, 0, 1, 1]), jnp.array([1, 1, 1, 0])
        >>> td.metrics.contingency(labels, predicted, num_labels=2, num_predicted=2).tolist()
        [[0.0, 2.0], [1.0, 1.0]]
    """
    labels = integers("labels", labels)
    predicted = integers("predicted", predicted, length=labels.shape[0])
    num_labels = whole_number("num_labels", num_labels, at_least=1)
    num_predicted = whole_number("num_predicted", num_predicted, at_least=1)
    dtype = floating_dtype(dtype)
    # Zeros and ones are exact in every dtype that a matrix unit may round its inputs to (bfloat16, TF32), and
    # sums are kept in float32 at least: the product counts exactly on every device.
    wide = jnp.promote_types(dtype, jnp.float32)
    rows = jax.nn.one_hot(labels, num_labels, dtype=wide) * counted(labels, num_labels, mask)[:, None]
    columns = jax.nn.one_hot(predicted, num_predicted, dtype=wide)
    return (rows.T @ columns).astype(dtype)


def adjusted_rand_index_from(table: ArrayLike) -> jax.Array:
    """Adjusted Rand index of a table: the share of agreeing pairs, corrected for chance.

    Of the ordered pairs of features let `a` be together in both partitions, `b` only by label, `c` only by
    prediction, `d` in neither:

    `ARI = 2 (a d - b c) / ((a + b)(b + d) + (a + c)(c + d))`.

    All four are sums of non-negative terms, and the denominator is at least `2 (a d + b c)`, so that float32 loses
    no digits, whereas the textbook form subtracts nearly equal numbers.

    Args:
        table: counts `[L, P]`.

    Returns:
        `[]`, at most 1, about 0 for random partitions. 1 if no pair disagrees: no feature at all, a single
        one, one cluster on both sides, or all singletons on both.

    Raises:
        ValueError: not a table of numbers.

    References:
        Hubert & Arabie, "Comparing partitions", Journal of Classification 2 (1985), 193-218.

    Example:
        >>> import tokdyn as td
        >>> round(float(td.metrics.adjusted_rand_index_from([[2, 0], [1, 1]])), 6)
        0.0
    """
    table = count_table(table)
    pairs = _pair_shares(table)
    disagree = (pairs.only_label > 0) | (pairs.only_predicted > 0)
    chance = (pairs.both + pairs.only_label) * (pairs.only_label + pairs.neither) + (
        pairs.both + pairs.only_predicted
    ) * (pairs.only_predicted + pairs.neither)
    surplus = 2 * (pairs.both * pairs.neither - pairs.only_label * pairs.only_predicted)
    return jnp.where(disagree, surplus / jnp.where(disagree, chance, 1), _unless_broken(1.0, table))


def fowlkes_mallows_from(table: ArrayLike) -> jax.Array:
    """Fowlkes-Mallows index of a table: the geometric mean of the pairs' precision and recall.

    `FM = a / sqrt((a + b)(a + c))` with the pairs of ``adjusted_rand_index_from``.

    Args:
        table: counts `[L, P]`.

    Returns:
        `[]` in 0 to 1; 0 if no pair is together in both, also for no feature or a single one.

    Raises:
        ValueError: not a table of numbers.

    References:
        Fowlkes & Mallows, "A method for comparing two hierarchical clusterings", JASA 78 (1983), 553-569.

    Example:
        >>> import tokdyn as td
        >>> round(float(td.metrics.fowlkes_mallows_from([[2, 0], [1, 1]])), 4)
        0.4082
    """
    table = count_table(table)
    both, only_label, only_predicted, _ = _pair_shares(table)
    some = both > 0
    recall = both / jnp.where(some, both + only_label, 1)
    precision = both / jnp.where(some, both + only_predicted, 1)
    return jnp.where(some, jnp.sqrt(recall) * jnp.sqrt(precision), _unless_broken(0.0, table))


def purity_from(table: ArrayLike) -> jax.Array:
    """Purity of a table: the share of features whose label is the commonest one of their predicted cluster.

    `sum_j max_i n_ij / N`. It grows with the number of predicted clusters: 1 for all singletons.

    Args:
        table: counts `[L, P]`.

    Returns:
        `[]` in 0 to 1; NaN if the table is empty.

    Raises:
        ValueError: not a table of numbers.

    Example:
        >>> import tokdyn as td
        >>> float(td.metrics.purity_from([[2, 0], [1, 1]]))
        0.75
    """
    table = count_table(table)
    total = jnp.sum(table)
    return jnp.where(total == 0, jnp.nan, jnp.sum(jnp.max(table, axis=0)) / jnp.where(total == 0, 1, total))


def normalized_mutual_information_from(table: ArrayLike) -> jax.Array:
    """Mutual information of a table, divided by the arithmetic mean of the two entropies.

    `NMI = 2 I(labels; predicted) / (H(labels) + H(predicted))`.

    Args:
        table: counts `[L, P]`.

    Returns:
        `[]` in 0 to 1. 1 if both sides are a single cluster, also for no feature; 0 if only one side is.

    Raises:
        ValueError: not a table of numbers.

    References:
        Strehl & Ghosh, "Cluster ensembles", JMLR 3 (2002), 583-617, in the arithmetic variant.

    Example:
        >>> import tokdyn as td
        >>> float(td.metrics.normalized_mutual_information_from([[2, 0], [0, 2]]))
        1.0
    """
    mutual, label_entropy, predicted_entropy = _information(count_table(table))
    mean = (label_entropy + predicted_entropy) / 2
    return jnp.where(mean == 0, 1, mutual / jnp.where(mean == 0, 1, mean))


def homogeneity_from(table: ArrayLike) -> jax.Array:
    """Homogeneity of a table: 1 if every predicted cluster holds a single label.

    `h = I(labels; predicted) / H(labels)`.

    Args:
        table: counts `[L, P]`.

    Returns:
        `[]` in 0 to 1; 1 if the labels are a single cluster, also for no feature.

    Raises:
        ValueError: not a table of numbers.

    References:
        Rosenberg & Hirschberg, "V-measure", EMNLP-CoNLL (2007), 410-420.

    Example:
        >>> import tokdyn as td
        >>> float(td.metrics.homogeneity_from([[1, 1, 0], [0, 0, 2]]))
        1.0
    """
    mutual, entropy, _ = _information(count_table(table))
    return jnp.where(entropy == 0, 1, mutual / jnp.where(entropy == 0, 1, entropy))


def completeness_from(table: ArrayLike) -> jax.Array:
    """Completeness of a table: 1 if every label lies in a single predicted cluster.

    `c = I(labels; predicted) / H(predicted)`, the homogeneity of the transposed table.

    Args:
        table: counts `[L, P]`.

    Returns:
        `[]` in 0 to 1; 1 if the prediction is a single cluster, also for no feature.

    Raises:
        ValueError: not a table of numbers.

    References:
        Rosenberg & Hirschberg, "V-measure", EMNLP-CoNLL (2007), 410-420.

    Example:
        >>> import tokdyn as td
        >>> round(float(td.metrics.completeness_from([[1, 1, 0], [0, 0, 2]])), 4)
        0.6667
    """
    return homogeneity_from(count_table(table).T)


def v_measure_from(table: ArrayLike, *, beta: ArrayLike = 1.0) -> jax.Array:
    """V-measure of a table: the weighted harmonic mean of homogeneity h and completeness c.

    `V = (1 + beta) h c / (beta h + c)`; for beta = 1 it equals the normalised mutual information.

    Args:
        table: counts `[L, P]`.
        beta: number `[]` of at least 0, may be traced; above 1 completeness weighs more.

    Returns:
        `[]` in 0 to 1; 0 if h = c = 0, 1 for no feature.

    Raises:
        ValueError: not a table of numbers; beta negative.

    References:
        Rosenberg & Hirschberg, "V-measure", EMNLP-CoNLL (2007), 410-420.

    Example:
        >>> import tokdyn as td
        >>> round(float(td.metrics.v_measure_from([[1, 1, 0], [0, 0, 2]])), 4)
        0.8
    """
    table = count_table(table)
    beta = number("beta", beta, table.dtype, at_least=0.0)
    homogeneity, completeness = homogeneity_from(table), completeness_from(table)
    weight = beta * homogeneity + completeness
    mean = (1 + beta) * homogeneity * completeness / jnp.where(weight == 0, 1, weight)
    return jnp.where(weight == 0, 0, mean)


class _Pairs(NamedTuple):
    """Ordered pairs of two different features, divided by N^2."""

    both: jax.Array
    only_label: jax.Array
    only_predicted: jax.Array
    neither: jax.Array


def _pair_shares(table: jax.Array) -> _Pairs:
    rows, columns, total = _margins(table)
    size = jnp.maximum(total, 1)  # shares instead of counts: N^4 stays in range
    share = table / size
    return _Pairs(
        both=jnp.sum(share * ((table - 1) / size)),
        only_label=jnp.sum(share * ((rows - table) / size)),
        only_predicted=jnp.sum(share * ((columns - table) / size)),
        neither=jnp.sum(share * ((total - rows - columns + table) / size)),
    )


def _information(table: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Mutual information and the entropies of the two margins, in nats.

    ``log r`` near ``r = 1`` is taken as ``log1p(r - 1)`` with ``r - 1`` from differences of counts, which are
    exact: where one cluster holds nearly everything all three are tiny, and their ratio would amplify the
    rounding of ``r``.
    """
    rows, columns, total = _margins(table)
    size = jnp.maximum(total, 1)
    some = table > 0
    product = jnp.where(some, rows * columns, 1)
    # n_ij N - n_i n_j, written without the two large products that nearly cancel.
    excess = table * (total - rows - columns + table) - (rows - table) * (columns - table)
    log_ratio = _log(jnp.where(some, table * total, 1) / product, jnp.where(some, excess, 0) / product)
    mutual = jnp.maximum(jnp.sum(table / size * log_ratio), 0)

    def entropy(margin: jax.Array) -> jax.Array:
        filled = margin > 0
        log_share = _log(jnp.where(filled, margin, size) / size, jnp.where(filled, margin - total, 0) / size)
        return -jnp.sum(margin / size * log_share)

    return mutual, entropy(rows), entropy(columns)


def _log(ratio: jax.Array, excess: jax.Array) -> jax.Array:
    """``log(ratio)``, given ``excess = ratio - 1``, which is known to more digits if the ratio is near one."""
    near = jnp.abs(excess) < 0.5
    return jnp.where(near, jnp.log1p(jnp.where(near, excess, 0)), jnp.log(ratio))


def _margins(table: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    return jnp.sum(table, axis=1, keepdims=True), jnp.sum(table, axis=0, keepdims=True), jnp.sum(table)


def _unless_broken(value: float, table: jax.Array) -> jax.Array:
    """The value of a degenerate case, or NaN for a table with NaN, which must not be taken for a degenerate one."""
    return jnp.where(jnp.isnan(jnp.sum(table)), jnp.nan, jnp.asarray(value, table.dtype))
