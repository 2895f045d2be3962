"""Latents from another item: does the answer follow the donor?"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import numpy as np
from numpy.typing import ArrayLike

from tokdyn.checks import bad, describe_array
from tokdyn.reasoning.diagnose.effects import MeanEffect, mean_effect
from tokdyn.stats import clopper_pearson, mcnemar_test
from tokdyn.stats.inputs import numbers, probability

# Below this mean of "another donor has another answer" nearly all that leaves the own answer lands at the donor's.
_LITTLE_ROOM = 0.2


class DonorLift(NamedTuple):
    """How often the answer goes where the donor points, beyond how often it would anyway.

    Attributes:
        lift: donor_rate - control_rate, a `MeanEffect` over the eligible items.
        donor_rate: share of eligible items that give the donor-consistent answer with the donor's latents.
        control_rate: the same answer's share in the control arm, or chance.
        own_rate: share that still give their own answer with the donor's latents.
        other_rate: share that give neither: answers that were broken, not moved.
        p_value: McNemar's for one checkpoint, donor arm against control arm; 1 where there is none (a chance as
            control, or several seeds: read the interval).
        eligible: items whose donor-consistent answer is not their own `[items]` bool.
        n: their number.
        control: "arm" or "chance".
    """

    lift: MeanEffect
    donor_rate: float
    control_rate: float
    own_rate: float
    other_rate: float
    p_value: float
    eligible: np.ndarray
    n: int
    control: str


class DonorShare(NamedTuple):
    """The share of answers that follow the donor, chance taken off.

    Attributes:
        share: estimate; NaN where following and breaking cannot be told apart.
        low: lower end of its interval; where share is NaN, 0.
        high: upper end; where share is NaN, of the interval of the raw rate.
        rate: share of eligible items that give the donor's answer.
        chance: share of eligible items that would give it if answers had nothing to do with their donors.
        n: eligible items: the donor's answer is not the one of the clean run.
    """

    share: float
    low: float
    high: float
    rate: float
    chance: float
    n: int


class MarginShift(NamedTuple):
    """How far the log-odds move from the own answer to the donor's.

    Attributes:
        shift: margin in the donor arm minus that in the sham arm, nats, a `MeanEffect`.
        control_shift: the same for the unrelated donor; None where that arm is not given.
        excess: shift minus control_shift; None where that arm is not given.
        flipped: share of items whose margin is below 0 in the sham arm and above 0 in the donor arm.
    """

    shift: MeanEffect
    control_shift: MeanEffect | None
    excess: MeanEffect | None
    flipped: float


def donor_lift(
    key: jax.Array,
    answers: ArrayLike,
    donor_answers: ArrayLike,
    own_answers: ArrayLike,
    *,
    control_answers: ArrayLike | None = None,
    chance: float | None = None,
    num_resamples: int = 10_000,
    confidence: float = 0.95,
    resample: str = "crossed",
) -> DonorLift:
    r"""Share of items whose answer becomes the donor-consistent one, minus that answer's share without the donor.

    The donor-consistent answer is what the *recipient's* question would get if the donor's latents were believed; where
    that is the own answer nothing could be seen, and the item is left out. The control is an arm in which the donor was
    another one (unrelated donor) or the item itself (sham), scored for the *same* donor-consistent answer.

    Args:
        key: a key.
        answers: given with the donor's latents: integers `[items]` or `[seeds, items]`; -1 for one that could not be
            read.
        donor_answers: donor-consistent answers `[items]`.
        own_answers: what the recipient would answer by itself, or its right answer `[items]`.
        control_answers: given in the control arm, the shape of answers; or
        chance: the rate at which the donor-consistent answer comes up anyway.
        num_resamples: how many.
        confidence: between 0 and 1.
        resample: for seeds, as in `mean_effect`.

    Returns:
        `DonorLift`.

    Raises:
        ValueError: shapes that do not fit, not integers, both or neither of the two controls, or fewer than two
            eligible items.

    Example:
        >>> import jax, numpy as np
        >>> from tokdyn.reasoning.diagnose import donor_lift
        >>> own, donor = np.array([0, 1, 2, 3, 0, 1]), np.array([1, 2, 3, 0, 1, 1])
        >>> found = donor_lift(jax.random.key(0), donor, donor, own, control_answers=own, num_resamples=50)
        >>> found.lift.estimate, found.n
        (1.0, 5)
    """
    given, donor, own = _ids("answers", answers), _ids("donor_answers", donor_answers), _ids("own_answers", own_answers)
    if given.ndim not in (1, 2):
        raise bad("answers", "[items] or [seeds, items]", f"shape {given.shape}")
    for name, array in (("donor_answers", donor), ("own_answers", own)):
        if array.shape != given.shape[-1:]:
            raise bad(name, f"[items] of shape {given.shape[-1:]}", f"shape {array.shape}")
    if (control_answers is None) == (chance is None):
        raise bad("control_answers", "either control_answers or chance", "both" if chance is not None else "neither")
    eligible = donor != own
    if eligible.sum() < 2:
        raise bad("donor_answers", "at least two items whose donor points elsewhere", int(eligible.sum()))
    followed = (given == donor)[..., eligible]
    if chance is None:
        control_given = _ids("control_answers", control_answers)
        if control_given.shape != given.shape:
            raise bad("control_answers", f"the shape of answers, {given.shape}", f"shape {control_given.shape}")
        control = (control_given == donor)[..., eligible].astype(np.float64)
        flat = followed.reshape(-1), control.reshape(-1)
        one_checkpoint = given.ndim == 1 or len(given) == 1
        p_value = float(mcnemar_test(*flat).p_value) if one_checkpoint else 1.0
    else:
        control, p_value = np.full(followed.shape, probability("chance", chance)), 1.0
    lift = mean_effect(key, followed - control, resample=resample, num_resamples=num_resamples, confidence=confidence)
    kept = float((given == own)[..., eligible].mean())
    return DonorLift(
        lift=lift,
        donor_rate=float(followed.mean()),
        control_rate=float(control.mean()),
        own_rate=kept,
        other_rate=float(1 - followed.mean() - kept),
        p_value=p_value,
        eligible=eligible,
        n=int(eligible.sum()),
        control="arm" if chance is None else "chance",
    )


def donor_share(
    answers: ArrayLike, donor_answers: ArrayLike, clean_answers: ArrayLike, *, confidence: float = 0.95
) -> DonorShare:
    r"""Share of answers that follow the donor's latents: 1 where all do, 0 where swapped latents only break answers.

    A lift over an unrelated donor understates it, since an unrelated donor's answer is the donor's by chance too. Here
    every item is also held against all other donors' answers. With `e` eligible items, answers `a`, donors' answers `d`
    and clean answers `c`,

    .. math:: s = \frac{\sum_i [a_i = d_i] - P(d = a_i \mid d \ne c_i)}{\sum_i 1 - P(d = d_i \mid d \ne c_i)}

    with P the frequencies of all donors' answers. It is unbiased for the share s if the others keep their answer or
    give one that does not depend on their donor. With two possible answers the denominator is 0: whoever leaves the own
    answer gives the donor's, and the share is NaN.

    Args:
        answers: given with the donor's latents: integers `[items]`; -1 for one that could not be read.
        donor_answers: donor-consistent answers `[items]`.
        clean_answers: of the clean run `[items]`.
        confidence: of the interval, between 0 and 1.

    Returns:
        ``DonorShare``. The interval is the hull of the delta method's and of Clopper and Pearson's for that share of
        the eligible items, so that it is no point where all or none follow.

    Raises:
        ValueError: shapes that do not fit, not integers, or fewer than two eligible items.

    Example:
        >>> import numpy as np
        >>> from tokdyn.reasoning.diagnose import donor_share
        >>> clean = np.arange(300) % 4
        >>> donor = np.roll(clean, -1)
        >>> found = donor_share(np.where(np.arange(300) < 90, donor, clean), donor, clean)
        >>> round(found.share, 3), round(found.low, 2), round(found.high, 2)
        (0.3, 0.25, 0.36)
    """
    from scipy import special

    named = {"answers": answers, "donor_answers": donor_answers, "clean_answers": clean_answers}
    given, donor, clean = (_ids(name, values) for name, values in named.items())
    for name, array in zip(named, (given, donor, clean), strict=True):
        if array.ndim != 1 or array.shape != given.shape:
            raise bad(name, f"[items] of shape {given.shape[-1:]}", f"shape {array.shape}")
    eligible = donor != clean
    count = int(eligible.sum())
    if count < 2:
        raise bad("donor_answers", "at least two items whose donor points elsewhere", count)
    # Of all donors: those of eligible items alone are chosen by their recipients' answers.
    names, places = np.unique(donor, return_counts=True)
    frequency = dict(zip(names.tolist(), (places / donor.size).tolist(), strict=True))
    given, donor, clean = given[eligible], donor[eligible], clean[eligible]

    def chance(answers: np.ndarray) -> np.ndarray:
        """How often another donor, which is not the own answer either, has this answer `[items]`."""
        of = np.array([frequency.get(one, 0.0) for one in answers.tolist()])
        own = np.array([frequency.get(one, 0.0) for one in clean.tolist()])
        return np.where(answers != clean, of / np.maximum(1 - own, 1 / count), 0.0)

    followed, by_chance, room = given == donor, chance(given), 1 - chance(donor)
    rate, level = float(followed.mean()), probability("confidence", confidence)
    raw = clopper_pearson(int(followed.sum()), count, confidence=level)
    if room.mean() < _LITTLE_ROOM:
        return DonorShare(np.nan, 0.0, float(raw.high), rate, np.nan, count)
    share = float((followed - by_chance).sum() / room.sum())
    error = float(np.sqrt(np.sum((followed - by_chance - share * room) ** 2)) / room.sum())
    half = float(-special.ndtri((1 - level) / 2)) * error
    exact = clopper_pearson(round(min(max(share, 0.0), 1.0) * count), count, confidence=level)
    low, high = min(share - half, float(exact.low)), max(share + half, float(exact.high))
    expected = float(by_chance.mean() - share * (1 - room).mean())
    return DonorShare(share, max(low, 0.0), min(high, 1.0), rate, max(expected, 0.0), count)


def margin_shift(
    key: jax.Array,
    sham: ArrayLike,
    donor: ArrayLike,
    unrelated: ArrayLike | None = None,
    *,
    num_resamples: int = 10_000,
    confidence: float = 0.95,
    resample: str = "crossed",
) -> MarginShift:
    r"""How far a donor's latents move the margin `\log p(\text{donor's answer}) - \log p(\text{own answer})`.

    A graded form of ``donor_lift``: it sees a push that is too weak to change the answer, and it is not fooled by
    broken output, which lowers both terms.

    Args:
        key: a key.
        sham: margins with the item's own latents written back `[items]` or `[seeds, items]`.
        donor: margins with the donor's latents, the same shape.
        unrelated: the same margins (of the same two answers) with an unrelated donor's latents; None leaves it out.
        num_resamples: how many.
        confidence: between 0 and 1.
        resample: for seeds, as in `mean_effect`.

    Returns:
        `MarginShift`.

    Raises:
        ValueError: NaN or two shapes.

    Example:
        >>> import jax
        >>> from tokdyn.reasoning.diagnose import margin_shift
        >>> found = margin_shift(jax.random.key(0), [-1.0, -2.0], [1.0, -1.5], [-1.0, -2.0], num_resamples=50)
        >>> assert found.excess is not None  # since the third are an unrelated donor's margins
        >>> found.shift.estimate, found.excess.estimate, found.flipped
        (1.25, 1.25, 0.5)
    """
    before, after = numbers("sham", sham), numbers("donor", donor)
    other = None if unrelated is None else numbers("unrelated", unrelated)
    for name, array in (("donor", after), ("unrelated", other)):
        if array is not None and array.shape != before.shape:
            raise bad(name, f"the shape of sham, {before.shape}", f"shape {array.shape}")

    def effect(values: np.ndarray) -> MeanEffect:
        return mean_effect(key, values, resample=resample, num_resamples=num_resamples, confidence=confidence)

    return MarginShift(
        shift=effect(after - before),
        control_shift=None if other is None else effect(other - before),
        excess=None if other is None else effect(after - other),
        flipped=float(((before < 0) & (after > 0)).mean()),
    )


def _ids(name: str, values: Any) -> np.ndarray:
    array = np.asarray(values)
    if array.dtype.kind not in "iu" or array.ndim == 0:
        raise bad(name, "integers, the number of an answer", describe_array(array))
    return array
