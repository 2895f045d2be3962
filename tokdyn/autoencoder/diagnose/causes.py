"""The causes: a condition on measurements for each, thresholds with their reasons, and remedies.

Named first is what is certain from the program, then what explains a failure, the more specific before the less.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any, NamedTuple

import numpy as np

from tokdyn.autoencoder.diagnose.measurements import SURE
from tokdyn.autoencoder.diagnose.signature import falling_share, loss_levels

# In the order in which they are named.
REMEDIES = {
    "diverged": "Weights or logits are not finite: lower the learning rate, or clip gradients.",
    "double_softmax": "Give the loss logits, not probabilities: it takes the softmax itself.",
    "no_gradient": "Let a gradient reach the encoder: straight-through or Gumbel-softmax instead of a plain sample.",
    "code_space_too_small": "More cells, more channels or a larger codebook: two words must share a pattern as it is.",
    "decoder_initialised_collapsed": "Smaller initial weights in the decoder (Xavier, gain about 1), or centred codes.",
    "dead_codes": "Start the codebook on data (k-means), revive dead codes, or use a quantizer without a codebook.",
    "uninformative_start": "Larger initial scales in the encoder (embedding and last layer), or more steps.",
    "constant_predictor": "Weigh words by rarity or draw types evenly: the commonest word drowns the others.",
    "learning_rate_too_low": "A higher learning rate, or more steps: training stopped on its way.",
    "rare_words_lost": "Weigh words by rarity or draw types evenly: what is lost hardly counts in the loss.",
    "unexplained": "No known cause: look at the gradient flow, the loss landscape and other seeds.",
    "unknown_words_ceiling": "Change the metric, not the model: leave out unknown words, or report its ceiling.",
    "healthy": "Nothing to repair.",
}


@dataclasses.dataclass(frozen=True)
class Thresholds:
    """Where a measurement becomes a verdict. Each is argued, not fitted."""

    types: float = 0.95
    """Fewer types than this come back: failed. Sound models of this kind reach all of them."""
    advantage: float = 0.1
    r"""Uninformative start: by Pinsker's inequality no reader of a code with I bits beats a guess by more than
    `\sqrt{I \ln 2 / 2}` in accuracy."""
    word_free_share: float = 0.99
    """Collapsed start: more of the initial logit variance than this ignores the word."""
    overconfident: float = 1.0
    r"""Collapsed start: nats above `\ln V`. Constant logits of variance s^2 cost about s^2 / 2; weights of unit scale
    give s^2 of at most about 1, so this is twice what a sound start may cost."""
    falling: float = 0.5
    """Stopped on its way: the last quarter falls at least at this share of the mean rate (an exponential with more
    than 10 % of its fall to come)."""
    moved: float = 0.1
    r"""Hardly moved: a layer's output changes by at most the relative change of its weights, a stack of L by
    `(1 + r)^L - 1`, which is below 1 for r = 0.1 and L = 7: no output was replaced by another one."""
    dominant: float = 0.5
    """Collapsed: most types get one answer."""
    unigram: float = 0.1
    r"""Nats above `H(f)` up to which a model has learned the frequencies: its likelihood per token is within 10 % of
    the best answer's that ignores the input."""
    rare: float = 0.5
    """Rare words lost: a lost word weighs less than half of an average one in the loss."""
    ceiling: float = 0.95
    """A validation metric that cannot reach this, with a model that gets that share of what it can."""


class Check(NamedTuple):
    """One test.

    Attributes:
        name: the cause that it can establish.
        value: what was measured.
        threshold: what it is compared with.
        verdict: whether the cause's condition holds; None where it cannot be judged.
        reading: in words.
    """

    name: str
    value: float
    threshold: float
    verdict: bool | None
    reading: str


def _diverged(numbers: dict[str, float], curve: Any, failed: bool, limits: Thresholds) -> Check:
    finite = numbers["finite"]
    return Check(
        "diverged", finite, 1.0, finite < 1.0, "weights and logits are " + ("finite" if finite else "not finite")
    )


def _double_softmax(numbers: dict[str, float], curve: Any, failed: bool, limits: Thresholds) -> Check:
    """How far the loss can fall, of ln V: all of it, or the one nat that a double softmax leaves."""
    size = int(numbers["num_words"])
    levels = loss_levels(max(size, 2))
    fall = (levels.uniform - levels.floor) / levels.uniform
    threshold = 0.5 * (1.0 + fall)  # half way between the two
    rise, drop = numbers["loss.wrong"] - numbers["loss.undecided"], numbers["loss.undecided"] - numbers["loss.right"]
    if math.isfinite(rise) and math.isfinite(drop):
        reach = _reachable(rise, drop, size)
        reading = f"a sure right answer takes {reach:.0%} off the loss of none (double softmax {fall:.0%}, sound 100%)"
        return Check("double_softmax", reach, threshold, reach < threshold, reading)
    if curve is None:
        return Check("double_softmax", math.nan, threshold, None, "needs the loss or its history")
    # Which of the two losses of the final logits was recorded? Only where they differ can it be told.
    one, two, last = numbers["end.cross_entropy"], numbers["end.double_cross_entropy"], float(curve[-1])
    spread = float(np.sqrt(np.mean(np.diff(curve[len(curve) // 2 :]) ** 2) / 2.0)) if len(curve) > 3 else 0.0
    nearer = abs(last - two) / max(abs(one - two), 1e-12)
    reading = f"the last loss is {last:.4g}; its logits give {one:.4g}, or {two:.4g} after a second softmax"
    if abs(one - two) < 8.0 * spread + 0.01:
        return Check("double_softmax", nearer, 0.5, None, reading + ": too near to tell")
    inside = bool((curve >= levels.floor - 1e-3).all() and (curve <= levels.top + 1e-3).all())
    return Check("double_softmax", nearer, 0.5, inside and abs(last - two) < abs(last - one), reading)


def _reachable(rise: float, drop: float, size: int) -> float:
    r"""The share of `\ln V` that a sure answer saves, from what a wrong and a right one change.

    A margin m for one word costs `\ln(1 + (V - 1) e^{-m})` where it is right, `\ln(e^m + V - 1)` where it is wrong; the
    ratio of the two changes gives m whatever the loss's weight and whatever is added to it.
    """
    if drop <= 0.0:
        return 0.0

    def changes(margin: float) -> tuple[float, float]:
        wrong = math.log(math.exp(margin) + size - 1) - math.log(size)
        return wrong, math.log(size) - math.log1p((size - 1) * math.exp(-margin))

    low, high = 1e-6, SURE
    for _ in range(60):
        middle = 0.5 * (low + high)
        wrong, right = changes(middle)
        low, high = (middle, high) if wrong / right < rise / drop else (low, middle)
    return changes(high)[1] / math.log(size)


def _no_gradient(numbers: dict[str, float], curve: Any, failed: bool, limits: Thresholds) -> Check:
    largest = numbers["start.encoder_gradient"]
    reading = f"largest gradient of the logits by an encoder weight, at the start: {largest:.3g}"
    return Check("no_gradient", largest, 0.0, largest == 0.0, reading)


def _code_space(numbers: dict[str, float], curve: Any, failed: bool, limits: Thresholds) -> Check:
    capacity, needed = numbers["code.capacity_bits"], math.log2(numbers["num_types"])
    reading = f"the code holds {capacity:.4g} bits, the words need {needed:.4g}"
    return Check("code_space_too_small", capacity, needed, capacity < needed - 1e-6, reading)


def _collapsed_decoder(numbers: dict[str, float], curve: Any, failed: bool, limits: Thresholds) -> Check:
    free, excess = 1.0 - numbers["start.input_share"], numbers["start.cross_entropy"] - math.log(numbers["num_words"])
    reading = f"{free:.2%} of the initial logit variance ignores the word; the start is {excess:.3g} nats above ln V"
    verdict = failed and free > limits.word_free_share and excess > limits.overconfident
    return Check("decoder_initialised_collapsed", free, limits.word_free_share, verdict, reading)


def _dead_codes(numbers: dict[str, float], curve: Any, failed: bool, limits: Thresholds) -> Check:
    """Before or after training: a start without live codes is the more specific form of an uninformative one."""
    stage = min(("end", "start"), key=lambda name: numbers[f"{name}.usage_bits"])
    bits, needed = numbers[f"{stage}.usage_bits"], math.log2(numbers["num_types"])
    if math.isnan(bits):
        return Check("dead_codes", bits, needed, None, "no codebook")
    reading = (
        f"at the {stage} {numbers[f'{stage}.active_share']:.0%} of the codes are in use (perplexity "
        f"{numbers[f'{stage}.perplexity']:.3g}): at most {bits:.3g} bits, the words need {needed:.3g}"
    )
    return Check("dead_codes", bits, needed, failed and bits < needed - 1e-6, reading)


def _uninformative(numbers: dict[str, float], curve: Any, failed: bool, limits: Thresholds) -> Check:
    bits, where = numbers["start.code_bits"], "code"
    if math.isnan(bits):
        bits, where = numbers["start.logit_bits"], "logits at a resolution of one nat"
    advantage = min(1.0, math.sqrt(max(bits, 0.0) * math.log(2.0) / 2.0))
    reading = f"{bits:.3g} bits about the word in the initial {where}: worth at most {advantage:.1%} above a guess"
    return Check("uninformative_start", advantage, limits.advantage, failed and advantage < limits.advantage, reading)


def _constant(numbers: dict[str, float], curve: Any, failed: bool, limits: Thresholds) -> Check:
    share, excess = numbers["prediction.dominant_share"], numbers["end.cross_entropy"] - numbers["frequency.entropy"]
    # Under even frequencies H(f) is the start: reaching it shows nothing.
    skewed = math.log(numbers["num_types"]) - numbers["frequency.entropy"] > limits.unigram
    verdict = failed and skewed and share > limits.dominant and excess < limits.unigram
    reading = f"one answer for {share:.0%} of the types; cross-entropy {excess:+.3g} nats from H(frequencies)"
    return Check("constant_predictor", share, limits.dominant, verdict, reading)


def _rare(numbers: dict[str, float], curve: Any, failed: bool, limits: Thresholds) -> Check:
    types, tokens = 1.0 - numbers["accuracy.types"], 1.0 - numbers["accuracy.tokens"]
    weight = tokens / types if types > 0.0 else math.nan
    reading = f"{types:.1%} of the types are lost, {tokens:.1%} of the tokens"
    return Check("rare_words_lost", weight, limits.rare, failed and weight < limits.rare, reading)


def _too_slow(numbers: dict[str, float], curve: Any, failed: bool, limits: Thresholds) -> Check:
    moved, share = numbers["moved"], math.nan if curve is None else falling_share(curve)
    still = share > limits.falling
    verdict = None if math.isnan(moved) and math.isnan(share) else failed and (still or moved < limits.moved)
    reading = f"weights moved by {moved:.1%} of their length; the last quarter fell at {share:.0%} of the mean rate"
    value, threshold = (share, limits.falling) if still else (moved, limits.moved)
    return Check("learning_rate_too_low", value, threshold, verdict, reading.replace("nan%", "an unknown share"))


def _ceiling(numbers: dict[str, float], curve: Any, failed: bool, limits: Thresholds) -> Check:
    reached, ceiling = numbers["accuracy.validation"], numbers["accuracy.ceiling"]
    if math.isnan(reached):
        return Check("unknown_words_ceiling", reached, ceiling, None, "no validation text")
    verdict = not failed and ceiling < limits.ceiling and reached >= limits.types * ceiling
    reading = f"validation {reached:.1%} of at most {ceiling:.1%}; all else are words that training never had"
    return Check("unknown_words_ceiling", reached, limits.ceiling, verdict, reading)


# In the order in which causes are named.
CHECKS = (
    _diverged, _double_softmax, _no_gradient, _code_space, _dead_codes, _collapsed_decoder, _uninformative, _constant,
    _too_slow, _rare, _ceiling,
)  # fmt: skip
# Measurements that a report of a cause shows.
EVIDENCE = {
    "double_softmax": ("loss.undecided", "loss.right", "loss.wrong", "end.cross_entropy", "end.double_cross_entropy"),
    "no_gradient": ("start.encoder_gradient",),
    "code_space_too_small": ("code.capacity_bits", "num_types"),
    "decoder_initialised_collapsed": ("start.input_share", "start.cross_entropy", "num_words"),
    "dead_codes": ("start.usage_bits", "start.perplexity", "end.usage_bits", "end.perplexity", "end.active_share"),
    "uninformative_start": ("start.code_bits", "start.logit_bits", "end.code_bits"),
    "constant_predictor": ("prediction.dominant_share", "accuracy.commonest", "frequency.entropy", "end.cross_entropy"),
    "rare_words_lost": ("accuracy.tokens", "frequency.entropy", "end.cross_entropy"),
    "learning_rate_too_low": ("moved", "end.cross_entropy"),
    "unknown_words_ceiling": ("accuracy.validation", "accuracy.ceiling", "accuracy.constant"),
    "unexplained": ("prediction.dominant_share", "end.code_bits", "end.input_share"),
}
