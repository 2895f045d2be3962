"""Right and wrong under two arms, the same items: the test and the words by which every table judges."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from tokdyn.stats import mcnemar_test, proportions_equivalence
from tokdyn.stats.equivalence import BOUND

ALPHA = 0.05


def verdict(p_value: float, equivalent: bool, *, alpha: float = ALPHA) -> str:
    """What a test of a difference and a test of equivalence say together.

    Args:
        p_value: of the test that there is no difference.
        equivalent: whether the difference was shown to be inside the bound.
        alpha: level.

    Returns:
        "effect", "negligible" (there, and inside the bound), "no effect" (shown to be inside it) or "inconclusive".

    Example:
        >>> from tokdyn.reasoning.diagnose.outcomes import verdict
        >>> verdict(0.6, False), verdict(0.6, True)
        ('inconclusive', 'no effect')
    """
    if equivalent:
        return "negligible" if p_value <= alpha else "no effect"
    return "effect" if p_value <= alpha else "inconclusive"


class Compared(NamedTuple):
    """Two arms over several seeds; arrays of the leading shape.

    Attributes:
        difference: of the accuracies.
        low: lower end of the 1 - alpha interval: the lowest of the seeds'.
        high: the highest.
        p_value: of McNemar's exact test: the largest of the seeds'.
        equivalence_p_value: that the difference is outside the bound: the largest of the seeds'.
        equivalent: whether it is at most alpha.
        minimal_detectable_effect: smallest difference that the test would have found: the largest of the seeds'.
        smallest_bound: inside which the difference is shown to be: the largest of the seeds'.
        discordance: share of items on which the two differ: the largest of the seeds'.
    """

    difference: np.ndarray
    low: np.ndarray
    high: np.ndarray
    p_value: np.ndarray
    equivalence_p_value: np.ndarray
    equivalent: np.ndarray
    minimal_detectable_effect: np.ndarray
    smallest_bound: np.ndarray
    discordance: np.ndarray


def compared(
    first: ArrayLike, second: ArrayLike, *, bound: float = BOUND, alpha: float = ALPHA, power: float = 0.8
) -> Compared:
    """The first arm minus the second, item by item, in every seed by itself.

    Several runs on one item are no new items: pooling them would make intervals too short. What is said must hold in
    every seed, and intervals cover those of all seeds, which is cautious.

    Args:
        first: right or wrong `[..., seeds, items]`.
        second: of the same items, `[..., items]` or with seeds.
        bound: largest difference that counts as none.
        alpha: level of both tests.
        power: of the minimal detectable effect.

    Returns:
        ``Compared``, arrays `[...]`.

    Example:
        >>> import numpy as np
        >>> from tokdyn.reasoning.diagnose.outcomes import compared
        >>> right = np.arange(200) % 3 > 0
        >>> found = compared([right, right], right, bound=0.05)
        >>> float(found.difference), bool(found.equivalent), float(found.p_value)
        (0.0, True, 1.0)
    """
    first, second = np.asarray(first, bool), np.asarray(second, bool)
    if second.ndim < first.ndim:
        second = second[..., None, :]
    first, second = np.broadcast_arrays(first, second)
    test = mcnemar_test(first, second, confidence=1 - alpha)
    equal = proportions_equivalence(first, second, bound=bound, alpha=alpha, power=power)
    largest = np.max(equal.p_value, axis=-1)
    return Compared(
        difference=np.mean(test.difference, axis=-1),
        low=np.min(test.low, axis=-1),
        high=np.max(test.high, axis=-1),
        p_value=np.max(test.p_value, axis=-1),
        equivalence_p_value=largest,
        equivalent=largest <= alpha,
        minimal_detectable_effect=np.max(equal.minimal_detectable_effect, axis=-1),
        smallest_bound=np.max(equal.smallest_bound, axis=-1),
        discordance=np.max((test.only_a + test.only_b) / test.n, axis=-1),
    )
