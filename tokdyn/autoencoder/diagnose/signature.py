r"""What a loss curve alone gives away: levels that only one fault can sit on.

For V words of frequencies f, in nats:

| level | value | who sits there |
|---|---|---|
| uniform | `\ln V` | whoever has learned nothing, under either loss |
| unigram | `H(f)` | an answer that ignores its input and knows the frequencies, under cross-entropy |
| top | `\ln(e + V - 1)` | double softmax: surely wrong |
| floor | `\ln(e + V - 1) - 1` | double softmax: surely right. It cannot leave the one nat between |
| constant | `\ln(e + V - 1) - \max f` | double softmax: always the commonest word |

The published curves (5.2575, 5.2166 and 5.2664 for 192 words) are three of these to four digits.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from tokdyn.autoencoder.diagnose.inputs import word_frequencies
from tokdyn.checks import bad, describe_array, whole_number

# A published or printed curve has about four digits; below this, agreement with a level means nothing.
DIGITS = 1e-3
# Standard errors of the mean that a level may be off: beyond 4 a normal number lies once in 16,000 times.
ERRORS = 4.0
# A start that far above ln V (nats) is overconfident: independent logits of variance s^2 cost s^2 / 2 nats, and weights
# of unit scale give logits of variance at most about 1.
OVERCONFIDENT = 1.0


class Flag(NamedTuple):
    """One thing that a curve shows, or not.

    Attributes:
        verdict: whether it does.
        value: the measured loss, nats.
        level: what it is compared with, nats.
        tolerance: nats; infinite where other levels are too near to be told apart.
    """

    verdict: bool
    value: float
    level: float
    tolerance: float


class Levels(NamedTuple):
    """The five levels, in nats; see the head of this file."""

    uniform: float
    unigram: float
    top: float
    floor: float
    constant: float


def loss_levels(vocabulary_size: int, frequencies: ArrayLike | None = None) -> Levels:
    r"""The levels that a mean cross-entropy can get stuck on.

    Args:
        vocabulary_size: V, everything the softmax runs over, reserved words included.
        frequencies: or counts of the words `[V]`; None leaves ``unigram`` and ``constant`` NaN.

    Returns:
        ``Levels``.

    Raises:
        ValueError: fewer than 2 words, or another number of frequencies.

    Example:
        >>> import numpy as np
        >>> from tokdyn.autoencoder.diagnose import loss_levels
        >>> counts = np.r_[np.zeros(3), 12, np.full(188, 229 / 188)]  # the published text: 12 of 241 are "the"
        >>> levels = loss_levels(192, counts)
        >>> round(levels.uniform, 4), round(levels.top, 4), round(levels.constant, 4)
        (5.2575, 5.2664, 5.2166)
    """
    size = whole_number("vocabulary_size", vocabulary_size, at_least=2)
    top = float(np.log(np.e + size - 1))
    if frequencies is None:
        return Levels(float(np.log(size)), np.nan, top, top - 1.0, np.nan)
    shares = np.asarray(word_frequencies("frequencies", frequencies), np.float64)
    if len(shares) != size:
        raise bad("frequencies", f"one for each of the {size} words", describe_array(shares))
    some = shares[shares > 0]
    return Levels(float(np.log(size)), float(-(some * np.log(some)).sum()), top, top - 1.0, top - float(shares.max()))


def loss_signature(
    curve: ArrayLike,
    vocabulary_size: int,
    frequencies: ArrayLike | None = None,
    *,
    tokens_per_record: int | None = None,
) -> dict[str, Flag]:
    r"""What the curve of a mean cross-entropy says, without the model.

    The end is the mean of the last quarter of the records. Its standard error follows from the spread of successive
    differences (`\mathrm{E}\,\delta^2 = 2 \sigma^2` about any slow trend), or for the two constant answers from the
    binomial law where ``tokens_per_record`` is given: a token costs top - 1 or top with chances f and 1 - f, and
    `-\ln f_w` with chance `f_w`. A level is named where the end is within 4 standard errors plus 0.001 of it, and no
    other level is that near.

    Args:
        curve: `[records]`, nats; what is not finite at its end (a training that stopped) is left out.
        vocabulary_size: V.
        frequencies: or counts of the words in training `[V]`.
        tokens_per_record: tokens that one record averages over.

    Returns:
        ``Flag`` by name: ``starts_uniform``, ``starts_overconfident``, ``ends_uniform``, ``ends_unigram``,
        ``within_double_softmax`` (every record is in its one nat; true of any curve that has not fallen far either),
        ``ends_double_softmax_constant``, ``ends_double_softmax_floor``, ``excludes_double_softmax``.

    Raises:
        ValueError: no finite record, or sizes that do not agree.

    Example:
        >>> import numpy as np
        >>> from tokdyn.autoencoder.diagnose import loss_signature
        >>> counts = np.r_[np.zeros(3), 12, np.full(188, 229 / 188)]
        >>> flags = loss_signature([5.2575, 5.2301, 5.2166, 5.2166, 5.2166, 5.2166, 5.2166, 5.2166], 192, counts)
        >>> [name for name, flag in flags.items() if flag.verdict]
        ['starts_uniform', 'within_double_softmax', 'ends_double_softmax_constant']
    """
    levels = loss_levels(vocabulary_size, frequencies)
    losses = finite_curve(curve)
    quarter = losses[-max(1, len(losses) // 4) :]
    first, end = float(losses[0]), float(quarter.mean())
    later = losses[len(losses) // 2 :]
    spread = float(np.sqrt(np.mean(np.diff(later) ** 2) / 2.0)) if len(later) > 1 else 0.0
    error = spread / np.sqrt(len(quarter))
    constant = unigram = error
    if tokens_per_record is not None and frequencies is not None:
        tokens = whole_number("tokens_per_record", tokens_per_record, at_least=1) * len(quarter)
        shares = np.asarray(word_frequencies("frequencies", frequencies), np.float64)
        most, some = shares.max(), shares[shares > 0]
        constant = float(np.sqrt(most * (1.0 - most) / tokens))
        unigram = float(np.sqrt((some * (-np.log(some) - levels.unigram) ** 2).sum() / tokens))

    def at(level: float, error: float) -> Flag:
        tolerance = ERRORS * error + DIGITS
        others = [other for other in levels if abs(other - level) > 1e-9]
        if any(abs(other - level) < 2.0 * tolerance for other in others):
            return Flag(False, end, level, np.inf)
        return Flag(abs(end - level) <= tolerance, end, level, tolerance)

    # No batch can leave the band, so its limits need no standard error.
    inside = bool((losses >= levels.floor - DIGITS).all() and (losses <= levels.top + DIGITS).all())
    least = float(losses.min())
    return {
        # Logits of variance s^2 start s^2 / 2 above ln V; a tenth of a nat allows s = 0.45.
        "starts_uniform": Flag(abs(first - levels.uniform) <= 0.1, first, levels.uniform, 0.1),
        "starts_overconfident": Flag(
            first > levels.uniform + OVERCONFIDENT, first, levels.uniform + OVERCONFIDENT, OVERCONFIDENT
        ),
        "ends_uniform": at(levels.uniform, error),
        "ends_unigram": at(levels.unigram, unigram),
        "within_double_softmax": Flag(inside, least, levels.floor, DIGITS),
        "ends_double_softmax_constant": _if_inside(inside, at(levels.constant, constant)),
        "ends_double_softmax_floor": _if_inside(inside, at(levels.floor, error)),
        "excludes_double_softmax": Flag(not inside, least, levels.floor, DIGITS),
    }


def falling_share(curve: ArrayLike) -> float:
    r"""How steeply a curve still falls at its end: 1 for a straight line, 0 for a plateau.

    The fall from the third quarter of the records to the last (of their means), relative to the mean rate from the
    first quarter to the last. An exponential `e^{-kt}` over the run reads `3 x^2 / (1 + x + x^2)` with `x = e^{-k/4}`:
    0.5 where 10 % of its fall is still to come.

    Args:
        curve: `[records]`, at least 4 finite ones.

    Returns:
        A number; NaN for fewer than 4 records, or a curve that has not fallen by more than its own noise (4 standard
        errors of the difference of two quarters, from the spread of successive differences about their median).

    Raises:
        ValueError: no finite record.

    Example:
        >>> from tokdyn.autoencoder.diagnose import falling_share
        >>> falling_share([5.0, 4.0, 3.0, 2.0, 1.0])
        1.0
    """
    losses = finite_curve(curve)
    if len(losses) < 4:
        return float("nan")
    first, _, third, last = (float(part.mean()) for part in np.array_split(losses, 4))
    middles = [float(part.mean()) for part in np.array_split(np.arange(len(losses)), 4)]
    steps = np.diff(losses)
    # A difference of two records has sqrt(2) times their spread; 1.4826 turns a median deviation into a standard one.
    noise = 1.4826 * float(np.median(np.abs(steps - np.median(steps)))) / np.sqrt(2.0)
    error = noise * np.sqrt(2.0 / max(1, len(losses) // 4))
    if first - last <= max(ERRORS * error, DIGITS):
        return float("nan")
    return (third - last) / (middles[3] - middles[2]) * (middles[3] - middles[0]) / (first - last)


def finite_curve(curve: ArrayLike) -> np.ndarray:
    """The records `[records]` in float64, without what is not finite.

    Raises:
        ValueError: another rank, or no finite record.
    """
    array = np.asarray(curve, np.float64)
    if array.ndim != 1:
        raise bad("history", "losses [records]", describe_array(array))
    kept = array[np.isfinite(array)]
    if not len(kept):
        raise bad("history", "at least one finite loss", f"none of {len(array)}")
    return kept


def _if_inside(inside: bool, flag: Flag) -> Flag:
    return flag._replace(verdict=flag.verdict and inside)
