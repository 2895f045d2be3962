"""Paired comparisons of right-or-wrong outcomes over several optimisations of the same items."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from tokdyn.reasoning.diagnose.effects import ALPHA
from tokdyn.stats import clopper_pearson, mcnemar_test, mean_interval, minimal_detectable_difference
from tokdyn.stats import proportions_equivalence as equivalence
from tokdyn.typing import EitherArray


class Compared(NamedTuple):
    """Arrays of the leading shape.

    Attributes:
        difference: of the accuracies.
        low: lower end of the 95 % interval: the lowest of the seeds'.
        high: the highest.
        p_value: of McNemar's exact test: the largest of the seeds'.
        equivalence_p_value: that the difference is outside the bound: the largest of the seeds'.
        equivalent: bool.
        discordance: share of items on which the two differ, the largest of the seeds'.
    """

    difference: np.ndarray
    low: np.ndarray
    high: np.ndarray
    p_value: np.ndarray
    equivalence_p_value: np.ndarray
    equivalent: np.ndarray
    discordance: np.ndarray


def compared(first: ArrayLike, second: ArrayLike, *, bound: float) -> Compared:
    """The first arm minus the second, item by item.

    Optimisations of one item are no new items: pooling them would make intervals too short. What is said must hold in
    every seed by itself, and intervals cover those of all seeds, which is cautious.

    Args:
        first: right or wrong `[..., seeds, items]`.
        second: of the same items, `[..., items]` or with seeds.
        bound: largest difference that counts as none.

    Returns:
        ``Compared``, arrays `[...]`.

    Example:
        >>> import numpy as np
        >>> from tokdyn.studies.latent_optimisation.comparison import compared
        >>> right = np.arange(200) % 3 > 0
        >>> found = compared([right, right], right, bound=0.05)
        >>> float(found.difference), bool(found.equivalent), float(found.p_value)
        (0.0, True, 1.0)
    """
    first, second = np.asarray(first, bool), np.asarray(second, bool)
    if second.ndim < first.ndim:
        second = second[..., None, :]
    first, second = np.broadcast_arrays(first, second)
    test, equal = mcnemar_test(first, second), _equivalence(first, second, bound)
    return Compared(
        difference=np.mean(test.difference, axis=-1),
        low=np.min(test.low, axis=-1),
        high=np.max(test.high, axis=-1),
        p_value=np.max(test.p_value, axis=-1),
        equivalence_p_value=equal.max(axis=-1),
        equivalent=equal.max(axis=-1) <= ALPHA,
        discordance=np.max((test.only_a + test.only_b) / test.n, axis=-1),
    )


def _equivalence(first: np.ndarray, second: np.ndarray, bound: float) -> np.ndarray:
    return np.asarray(equivalence(first, second, bound=bound).p_value)


def detectable(count: int, discordance: EitherArray) -> np.ndarray:
    """Smallest difference that McNemar's test finds on that many items with a power of 0.8."""
    return np.asarray(minimal_detectable_difference(count, np.round(discordance, 3)))


def exact(right: EitherArray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Accuracy over `[..., seeds, items]`, and the exact 95 % interval that covers those of every seed."""
    right = np.asarray(right, bool)
    found = clopper_pearson(right.sum(axis=-1), right.shape[-1])
    return right.mean(axis=(-2, -1)), np.min(found.low, axis=-1), np.max(found.high, axis=-1)


def mean_of(values: EitherArray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean and Student's 95 % interval over items, seeds averaged first; of `[..., seeds, items]`; finite ones only."""
    values = np.asarray(values, float).mean(axis=-2)
    ends = np.full((3, *values.shape[:-1]), np.nan)
    for index in np.ndindex(values.shape[:-1]):
        kept = values[index][np.isfinite(values[index])]
        if len(kept) > 1:
            made = mean_interval(kept)
            ends[(slice(None), *index)] = kept.mean(), float(made.low), float(made.high)
    return ends[0], ends[1], ends[2]
