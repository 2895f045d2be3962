"""The sign-flip test, exact or with random flips, by pair or by whole cluster, for a family of tests at once."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import numpy as np
from numpy.typing import ArrayLike

from tokdyn import keys
from tokdyn.checks import bad, choice, describe_array, whole_number
from tokdyn.stats.bits import blocks_of_bits
from tokdyn.stats.inputs import rounding, samples

# 2^19 sign patterns (the other half mirrors them) times 20 clusters in float64 are 84 MB.
MAX_EXACT_CLUSTERS = 20
_ELEMENTS_PER_BLOCK = 2**21


class SignFlipTest(NamedTuple):
    """Every field but num_clusters has the leading shape of the differences."""

    num_clusters: int
    mean: np.ndarray
    p_value: np.ndarray
    smallest_p_value: np.ndarray  # the smallest that this test can reach; larger if fewer clusters differ
    exact: np.ndarray
    degenerate: np.ndarray


def sign_flip_test(
    differences: ArrayLike,
    clusters: ArrayLike | None = None,
    *,
    key: jax.Array | None = None,
    num_permutations: int = 10_000,
    axis: int = -1,
    method: str = "auto",
) -> SignFlipTest:
    """Two-sided test that the differences are symmetric about zero, by flipping the signs of whole clusters.

    With cluster sums S_c and independent fair signs e_c, the null distribution of the mean is sum_c e_c S_c / n.
    Over all 2^m signs of the m clusters that are not zero, p = #{|permuted| >= |observed|} / 2^m; with B random
    draws, p = (1 + #{...}) / (1 + B), which is valid for any B. Ties count as "at least": the comparison allows for
    rounding in the sums and in the original dtype. The test assumes that clusters are independent of one another, but
    nothing about pairs within a cluster or about the variance.

    All tests of the family use the *same* flips, so that their dependence on each other is preserved, and the p-value
    of a test does not depend on which other tests are in the family. Clusters whose sum is zero do not matter, so that
    tests with mostly tied pairs are usually exact.

    Args:
        differences: `[..., n]`, n at least 1.
        clusters: label of each pair `[n]` (integers or strings), for example the seed; None flips pair by pair.
        key: a JAX key for the random flips; required unless every test is exact.
        num_permutations: B, the number of random flips.
        axis: the axis of the pairs.
        method: "exact" (at most 20 clusters that are not zero), "random", or "auto": exact for each test with
            2^m <= num_permutations, random for the others.

    Returns:
        `SignFlipTest`; if all cluster sums are zero, it has p = 1 and is exact and ``degenerate``.

    Raises:
        ValueError: NaN, labels of another length, no key although flips are random, or too many clusters for "exact".

    References:
        Fisher (1935), The Design of Experiments, section 21.
        Phipson and Smyth (2010), Permutation p-values should never be zero. Stat. Appl. Genet. Mol. Biol. 9, 39.

    Example:
        >>> from tokdyn.stats import sign_flip_test
        >>> test = sign_flip_test([0.4, 0.4, 0.4, 0.1, 0.4, 0.4] + 24 * [0.0])
        >>> float(test.p_value), bool(test.exact)
        (0.03125, True)
        >>> float(sign_flip_test([1.0, 2.0, 1.0, 2.0], [0, 0, 1, 1]).p_value)
        0.5
    """
    array = samples("differences", differences, axis=axis, at_least=1)
    num_permutations = whole_number("num_permutations", num_permutations, at_least=1)
    choice("method", method, ("auto", "exact", "random"))
    shape, n = array.shape[:-1], array.shape[-1]
    array = array.reshape(-1, n)
    sums = _cluster_sums(array, clusters)
    # Sums of n numbers in float64 have errors up to n eps; a smaller sum is one of exactly opposite numbers.
    epsilon = max(8 * rounding(differences), n * float(np.finfo(np.float64).eps))
    tolerance = epsilon * np.abs(array).sum(axis=-1)
    sums = np.where(np.abs(sums) <= tolerance[:, None], 0.0, sums)
    observed = np.abs(sums.sum(axis=-1))
    threshold = observed - tolerance
    count = (sums != 0).sum(axis=-1)
    if method == "auto":
        exact = 2.0**count <= num_permutations
        exact |= count == 0
    else:
        exact = np.full(count.shape, method == "exact")
    if (exact & (count > MAX_EXACT_CLUSTERS)).any():
        expected = f"num_permutations below 2^{MAX_EXACT_CLUSTERS + 1}" if method == "auto" else "method 'random'"
        raise bad("method", f"{expected} for more than {MAX_EXACT_CLUSTERS} clusters", f"{count.max()} of them")

    smallest = np.minimum(2.0 ** (1.0 - count), 1.0)
    p_value = np.ones(len(sums))
    if not exact.all():
        if key is None:
            raise bad("key", "a key, because 2^clusters is too large to enumerate", None)
        extreme = _count_random(key, sums, threshold, num_permutations)
        p_value = np.where(exact, p_value, (1 + extreme) / (1 + num_permutations))
        smallest = np.where(exact, smallest, np.maximum(smallest, 1 / (1 + num_permutations)))
    for size in np.unique(count[exact & (count > 0)]):
        chosen = exact & (count == size)
        nonzero = sums[chosen][sums[chosen] != 0].reshape(-1, size)
        p_value[chosen] = _exact_p_values(nonzero, threshold[chosen])
    return SignFlipTest(
        num_clusters=sums.shape[-1],
        mean=array.mean(axis=-1).reshape(shape),
        p_value=p_value.reshape(shape),
        smallest_p_value=smallest.reshape(shape),
        exact=exact.reshape(shape),
        degenerate=(count == 0).reshape(shape),
    )


def _cluster_sums(array: np.ndarray, clusters: Any) -> np.ndarray:
    """Sum of each cluster `[T, C]`, for differences `[T, n]` and labels `[n]`."""
    if clusters is None:
        return array
    labels = np.asarray(clusters)
    if labels.shape != (array.shape[-1],) or labels.dtype.kind not in "biuUS":
        raise bad("clusters", f"integer or string labels [n] with n = {array.shape[-1]}", describe_array(labels))
    _, index = np.unique(labels, return_inverse=True)
    return array @ np.eye(int(index.max()) + 1)[index]


def _exact_p_values(sums: np.ndarray, threshold: np.ndarray) -> np.ndarray:
    """Share of all sign patterns that are at least as extreme `[T]`, for sums `[T, m]` without zeros."""
    m = sums.shape[-1]
    # The first sign is held fixed: the other half of the patterns have every sign reversed.
    pattern = np.arange(2 ** (m - 1))[:, None] >> np.arange(m - 1) & 1
    signs = np.concatenate([np.ones((len(pattern), 1)), 1.0 - 2.0 * pattern], axis=-1)
    p_values = np.empty(len(sums))
    block = max(1, _ELEMENTS_PER_BLOCK // len(signs))
    for start in range(0, len(sums), block):
        chosen = slice(start, start + block)
        permuted = np.abs(sums[chosen] @ signs.T)
        p_values[chosen] = (permuted >= threshold[chosen, None]).mean(axis=-1)
    return p_values


def _count_random(key: jax.Array, sums: np.ndarray, threshold: np.ndarray, num: int) -> np.ndarray:
    """How many of the random permutations are at least as extreme `[T]`, for sums `[T, C]`.

    Permutation i has a key of its own, so that the block size does not affect the result.
    """
    counts, done = np.zeros(len(sums), int), 0
    for bits in blocks_of_bits(keys.for_purpose(key, "sign_flip_test"), sums.shape[-1], num, size=sum(sums.shape)):
        signs = np.where(bits[: num - done] < 2**31, 1.0, -1.0)
        counts += (np.abs(signs @ sums.T) >= threshold).sum(axis=0)
        done += len(signs)
    return counts
