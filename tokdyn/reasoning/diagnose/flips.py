"""Counterfactual pictures: does the answer follow an edit that changes it, and stay under one that does not?"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from tokdyn.checks import bad, describe_array
from tokdyn.stats import clopper_pearson


class Rate(NamedTuple):
    """A share of items with its exact interval; NaN where no item counts.

    Attributes:
        rate: estimate.
        low: lower end.
        high: upper end.
        n: items that count.
    """

    rate: float
    low: float
    high: float
    n: int


class Flips(NamedTuple):
    """What answers did under an edit of the picture.

    Attributes:
        should_flip: share of items whose right answer the edit changes, among all.
        flipped: share that gave another answer, among those that should.
        correct_flip: share that was right before and is right after, among those that should.
        false_flip: share that gave another answer, among those that should not.
        parsed: share of items with both answers read, among all; others count as no flip, and as wrong.
    """

    should_flip: Rate
    flipped: Rate
    correct_flip: Rate
    false_flip: Rate
    parsed: Rate


def counterfactual_flips(
    answers: ArrayLike,
    edited_answers: ArrayLike,
    targets: ArrayLike,
    edited_targets: ArrayLike,
    *,
    confidence: float = 0.95,
) -> Flips:
    """Flips of answers between pairs of pictures.

    Args:
        answers: to the pictures, numbers of choices `[items]`; -1 where none could be read.
        edited_answers: to the edited pictures, the same questions `[items]`.
        targets: right answers to the pictures `[items]`.
        edited_targets: ... to the edited ones `[items]`.
        confidence: of the intervals.

    Returns:
        ``Flips``.

    Raises:
        ValueError: arrays that are no such integers, or of different lengths.

    References:
        The strict paired metrics of ReaLVR's appendix.

    Example:
        >>> from tokdyn.reasoning.diagnose import counterfactual_flips
        >>> found = counterfactual_flips([0, 0, 1, 1], [1, 0, 1, 0], [0, 0, 1, 1], [1, 1, 1, 1])
        >>> found.should_flip.rate, found.correct_flip.rate, found.false_flip.rate
        (0.5, 0.5, 0.5)
    """
    given = {"answers": answers, "edited_answers": edited_answers, "targets": targets, "edited_targets": edited_targets}
    arrays: dict[str, np.ndarray] = {}
    for name, value in given.items():
        array = np.asarray(value)
        expected = f"integers [{len(arrays['answers'])}]" if arrays else "integers [items]"
        if array.dtype.kind not in "iu" or array.ndim != 1 or (arrays and array.shape != arrays["answers"].shape):
            raise bad(name, expected, describe_array(array))
        arrays[name] = array
    before, after, right, edited = arrays.values()
    if not len(before):
        raise bad("answers", "at least one item", "none")
    parsed = (before >= 0) & (after >= 0)
    flipped, should = parsed & (before != after), right != edited
    correct = parsed & (before == right) & (after == edited)
    every = np.ones(len(before), bool)

    def rate(flags: np.ndarray, among: np.ndarray) -> Rate:
        if not among.any():
            return Rate(np.nan, np.nan, np.nan, 0)
        exact = clopper_pearson(int(flags[among].sum()), int(among.sum()), confidence=confidence)
        return Rate(float(flags[among].mean()), float(exact.low), float(exact.high), int(among.sum()))

    return Flips(
        should_flip=rate(should, every),
        flipped=rate(flipped, should),
        correct_flip=rate(correct, should),
        false_flip=rate(flipped, ~should),
        parsed=rate(parsed, every),
    )
