"""The causes: a condition on measurements for each, thresholds with their reasons, and remedies.

Each condition is a positive signature: something that this cause does, measured, and not what is left when others are
out. A cause is *certain* where the measurement proves it: an identity of the loss, a gradient of exactly 0, too few
patterns by counting. Any other is *likely*, and only named where words are lost. What foreign faults were seen to
imitate is *possible*: it is suggested beside "unexplained", and never named.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import kendalltau

from tokdyn.autoencoder.diagnose.signature import falling_share, loss_levels

# In the order in which they are named.
REMEDIES = {
    "diverged": "Weights or logits are not finite: lower the learning rate, or clip gradients.",
    "double_softmax": "Give the loss logits, not probabilities: it takes the softmax itself.",
    "inverted_loss": "Turn the sign of the loss: as it is, the right word costs most.",
    "wrong_targets": "Give the loss the words that went in: it rewards others.",
    "no_gradient": "Let a gradient reach the encoder: straight-through or Gumbel-softmax instead of a plain sample.",
    "code_space_too_small": "More cells, more channels or a larger codebook: two words must share a pattern as it is.",
    "decoder_initialised_collapsed": "Smaller initial weights in the decoder (Xavier, gain about 1), or centred codes.",
    "frozen_part": "Hand all weights to the optimiser: a part that has some still has those of its start.",
    "deaf_decoder": "Let the decoder depend on its code: other codes do not change its answer.",
    "temperature": "Take the loss's temperature back to about 1.",
    "learning_rate_too_high": "A lower learning rate, or a warm-up: training ended above where it began.",
    "regularisation_too_strong": "Less weight decay, or a smaller weight of the penalty.",
    "dropout": "Less dropout: it drowns what the decoder says in noise.",
    "data_unlike_stated": "Diagnose with the data of the training, or train on those stated: they are not the same.",
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
    rare: float = 0.3
    """Rare words lost: a lost word weighs less than that of an average one in the loss."""
    identity: float = 1e-5
    """What a loss may leave of a gradient that it is identical with: rounding leaves 1e-13, the nearest other loss
    (`1 - p_y` beside a double softmax) 2e-3 at 26 words."""
    nearly: float = 0.02
    """What is left where a term of another kind stands beside it."""
    rewarded: float = 0.6
    """Wrong targets: fewer rows than this get their own word rewarded. Halves of merged words are half right; noise on
    the labels that leaves most rows right is no such thing."""
    temperature: float = 5.0
    """Of a loss: beyond this factor from 1, logits of ordinary size say nothing, or everything."""
    hears: float = 1e-3
    """Deaf decoder: less of the logits' variance than this follows the code, while more of the code differs."""
    noise: float = 0.8
    """Dropout: more of the variance of what the decoder says of the words is noise; p dropped gives about p."""
    shrunk: float = 0.3
    """Regularisation: weights end that much shorter than they began; training makes them longer."""
    opposition: float = 0.9
    """Regularisation: cosine of two gradients that hold each other, that of the answers and that of the rest."""
    far: float = 5.0
    """Too high a rate: the weights moved that many times their length."""
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
        certain: whether the measurement proves it.
        vague: whether other faults than this one leave the same traces often: then it is suggested, never named.
        weight: of evidence, nats: the log of how much oftener the condition held with this cause than with others in
            the seen part of the held-out bench; infinite for a proof, 0 where the condition does not hold.
    """

    name: str
    value: float
    threshold: float
    verdict: bool | None
    reading: str
    certain: bool = False
    weight: float = 0.0
    vague: bool = False


def _diverged(numbers: dict[str, float], curve: Any, failed: bool, limits: Thresholds) -> Check:
    finite = numbers["finite"]
    return Check(
        "diverged",
        finite,
        1.0,
        finite < 1.0,
        "weights and logits are " + ("finite" if finite else "not finite"),
        finite < 1.0,
    )


def _double_softmax(numbers: dict[str, float], curve: Any, failed: bool, limits: Thresholds) -> Check:
    """The loss's gradient is that of a softmax of a softmax: an identity over margins, scales and relabelled rows."""
    left, linear = (numbers[f"rewards.rest.{name}"] for name in ("double_softmax", "linear"))
    if math.isfinite(left) and numbers["rewards.reads"]:
        reading = f"{left:.2g} of the loss's squared gradient is not that of a softmax of a softmax"
        exact = left < limits.identity and left < 0.1 * linear
        # A double softmax is nearly 1 - p, and 1 - p is no double softmax: it must be the nearer of the two.
        return Check("double_softmax", left, limits.nearly, exact or (left < limits.nearly and left < linear),
                     reading, exact)  # fmt: skip
    if curve is None:
        return Check("double_softmax", math.nan, limits.nearly, None, "needs the loss or its history")
    # Which of the two losses of the final logits was recorded? Only where they differ can it be told.
    levels = loss_levels(max(int(numbers["num_words"]), 2))
    one, two, last = numbers["end.cross_entropy"], numbers["end.double_cross_entropy"], float(curve[-1])
    spread = float(np.sqrt(np.mean(np.diff(curve[len(curve) // 2 :]) ** 2) / 2.0)) if len(curve) > 3 else 0.0
    off, tolerance = abs(last - two), 4.0 * spread + 0.01
    reading = f"the last loss is {last:.4g}; its logits give {one:.4g}, or {two:.4g} after a second softmax"
    if abs(one - two) < 2.0 * tolerance:
        return Check("double_softmax", off, tolerance, None, reading + ": too near to tell")
    inside = bool((curve >= levels.floor - 1e-3).all() and (curve <= levels.top + 1e-3).all())
    fell = float(curve.max() - curve.min()) > tolerance
    return Check("double_softmax", off, tolerance, inside and fell and off < tolerance, reading)


def _inverted(numbers: dict[str, float], curve: Any, failed: bool, limits: Thresholds) -> Check:
    share, right = numbers["rewards.inverted"], numbers["rewards.right"]
    if math.isnan(share):
        return Check("inverted_loss", share, limits.types, None, "needs the loss")
    # By chance a row's steepest rise is at its own word once in as many times as there are words.
    verdict = bool(numbers["rewards.reads"]) and share > limits.types and right < 1.0 - limits.types
    return Check("inverted_loss", share, limits.types, verdict,
                 f"the loss punishes a word's own answer most in {share:.0%} of the rows", verdict)  # fmt: skip


def _wrong_targets(numbers: dict[str, float], curve: Any, failed: bool, limits: Thresholds) -> Check:
    right, rest = numbers["rewards.right"], numbers["rewards.inverted"]
    if math.isnan(right):
        return Check("wrong_targets", right, limits.rewarded, None, "needs the loss")
    verdict = bool(numbers["rewards.reads"]) and right < limits.rewarded and rest < 0.5
    # A target is there before the answer is, and giving it pays; a loss without either has none.
    verdict &= numbers["rewards.fixed"] > limits.rewarded and numbers["loss.rewarded"] < numbers["loss.undecided"]
    how = "others"
    if numbers["rewards.steady"] < 0.5:
        how = "others, and with another key others again: targets are drawn or shuffled"
    elif numbers["rewards.shift_share"] > limits.types:
        how = f"the one {numbers['rewards.shift']:.0f} places on"
    elif numbers["rewards.rewarded"] < limits.types:
        how = f"some of only {numbers['rewards.rewarded']:.0%} as many words: targets are merged"
    reading = f"the loss rewards a word's own answer most in {right:.0%} of the rows" + (
        f"; elsewhere {how}" if verdict else ""
    )
    return Check("wrong_targets", right, limits.rewarded, verdict, reading, verdict)


def _temperature(numbers: dict[str, float], curve: Any, failed: bool, limits: Thresholds) -> Check:
    left, value = numbers["rewards.rest.tempered"], numbers["rewards.temperature"]
    if math.isnan(left):
        return Check("temperature", left, limits.temperature, None, "needs the loss")
    factor = max(value, 1.0 / value)
    # A loss that reads no answer has no gradient to compare: nothing is left of nothing, whatever the temperature.
    verdict = failed and bool(numbers["rewards.reads"]) and left < limits.identity * 100 and factor > limits.temperature
    reading = f"the loss is a cross-entropy at a temperature of {value:.3g}, but for {left:.2g} of its squared gradient"
    return Check("temperature", factor, limits.temperature, verdict, reading)


def _frozen(numbers: dict[str, float], curve: Any, failed: bool, limits: Thresholds) -> Check:
    parts = {name: numbers[f"moved.{name}"] for name in ("encoder", "decoder")}
    known = {name: moved for name, moved in parts.items() if not math.isnan(moved)}
    if len(known) < 2:
        return Check("frozen_part", math.nan, 0.0, None, "needs the initial weights of two parts")
    still = [name for name, moved in known.items() if moved < 1e-6]  # the start may be drawn again, and rounded
    least = min(known.values())
    reading = "; ".join(f"weights of the {name} moved by {moved:.1%}" for name, moved in known.items())
    # Where no gradient arrives the weights cannot move either: that has a name of its own.
    verdict = failed and len(still) == 1 and numbers["start.encoder_gradient"] != 0.0
    return Check("frozen_part", least, 0.0, verdict, reading)


def _deaf(numbers: dict[str, float], curve: Any, failed: bool, limits: Thresholds) -> Check:
    heard, differs = max(numbers["start.hears"], numbers["end.hears"]), numbers["end.code_differs"]
    if math.isnan(heard):
        return Check("deaf_decoder", heard, limits.hears, None, "the model has no decoder to ask")
    # Deaf from the start: one that training has deafened is a consequence, whatever its cause.
    reading = f"codes differ between words by {differs:.2g} of their size, what the decoder says of them by {heard:.2g}"
    return Check("deaf_decoder", heard, limits.hears,
                 failed and heard < limits.hears * min(1.0, differs) and differs > limits.hears, reading)  # fmt: skip


def _dropout(numbers: dict[str, float], curve: Any, failed: bool, limits: Thresholds) -> Check:
    share = numbers["start.noise_share"]
    if math.isnan(share):
        return Check("dropout", share, limits.noise, None, "the model has no decoder to ask")
    reading = f"in a first training step {share:.0%} of the variance of the decoder's answers is its own noise"
    # Dropout ends with training; noise that stays is something else.
    only = numbers["start.quiet_share"] < 0.1
    return Check("dropout", share, limits.noise, failed and only and share > limits.noise, reading)


def _regularised(numbers: dict[str, float], curve: Any, failed: bool, limits: Thresholds) -> Check:
    ratio, against, share = (numbers[n] for n in ("weights.ratio", "loss.opposition", "loss.rest_share"))
    # Decay acts all the time: a model that had learned, and whose weights are short in the end, was not held by it.
    stayed = curve is not None and _never_better(curve, numbers["loss.undecided"] - numbers["loss.right"])
    shrunk = ratio < limits.shrunk and (stayed or curve is None)
    held = against > limits.opposition and 0.25 < share < 0.75
    reading = f"the weights end {ratio:.3g} times as long as they began"
    if not math.isnan(against):
        reading += f"; the answers' pull and that of the loss's other terms have a cosine of {-against:.2f}"
    return Check("regularisation_too_strong", ratio, limits.shrunk, failed and (shrunk or held), reading,
                 vague=curve is None and not held)  # fmt: skip


def _never_better(curve: np.ndarray, worth: float) -> bool:
    """Whether no record is lower than the last by a quarter of what right answers are worth."""
    worth = abs(worth) if math.isfinite(worth) else float(curve.max() - curve.min())
    return float(curve[-1] - np.nanmin(curve)) <= 0.25 * worth


def _too_fast(numbers: dict[str, float], curve: Any, failed: bool, limits: Thresholds) -> Check:
    """The weights flew far, and the loss ended above that of no answer: no loss that only has a bad optimum does."""
    moved, undecided = numbers["moved"], numbers["loss.undecided"]
    if curve is None or math.isnan(moved):
        return Check("learning_rate_too_high", moved, limits.far, None, "needs the history and the initial weights")
    end = float(curve[-max(1, len(curve) // 4) :].mean())
    level = min(float(curve[0]), undecided) if math.isfinite(undecided) else float(curve[0])
    verdict = failed and moved > limits.far and end > level
    reading = (
        f"weights moved by {moved:.3g} times their length; the loss ends at {end:.4g}, no answer costs {level:.4g}"
    )
    return Check("learning_rate_too_high", moved, limits.far, verdict, reading)


def _other_data(numbers: dict[str, float], curve: Any, failed: bool, limits: Thresholds) -> Check:
    """Trained weights cannot be that much worse on the data of their own training than the last record says."""
    stated, undecided = numbers["loss.stated"], numbers["loss.undecided"]
    if curve is None or math.isnan(stated):
        return Check("data_unlike_stated", math.nan, math.nan, None, "needs the loss and its history")
    last = float(curve[-max(1, len(curve) // 4) :].max())
    spread = float(np.sqrt(np.mean(np.diff(curve[len(curve) // 2 :]) ** 2) / 2.0)) if len(curve) > 3 else 0.0
    least = 0.25 * abs(undecided - numbers["loss.right"]) + 4.0 * (spread + numbers["loss.stated_error"])
    # Some words are learned as if nothing were wrong, others are not, and those are not the rare ones.
    types, tokens = 1.0 - numbers["accuracy.types"], 1.0 - numbers["accuracy.tokens"]
    split = 0.1 < types < 0.9 and tokens > limits.rare * types
    reading = f"on the stated data the loss is {stated:.4g}, at the end of training it was at most {last:.4g}"
    return Check("data_unlike_stated", stated - last, least, failed and split and stated - last > least, reading)


def _no_gradient(numbers: dict[str, float], curve: Any, failed: bool, limits: Thresholds) -> Check:
    largest = numbers["start.encoder_gradient"]
    reading = f"largest gradient of the logits by an encoder weight, at the start: {largest:.3g}"
    verdict = None if math.isnan(largest) else largest == 0.0
    return Check("no_gradient", largest, 0.0, verdict, reading, largest == 0.0)


def _code_space(numbers: dict[str, float], curve: Any, failed: bool, limits: Thresholds) -> Check:
    capacity, needed = numbers["code.capacity_bits"], math.log2(numbers["num_types"])
    reading = f"the code holds {capacity:.4g} bits, the words need {needed:.4g}"
    if math.isnan(capacity):
        return Check("code_space_too_small", capacity, needed, None, "nothing says how many choices a cell has")
    small = capacity < needed - 1e-6
    return Check("code_space_too_small", capacity, needed, small, reading, small)


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
    # A start that training has left behind is not why it failed.
    end = numbers["end.code_bits" if where == "code" else "end.logit_bits"]
    stuck = not end > 0.5 * math.log2(max(numbers["num_types"], 2.0))
    if where != "code" and _deaf(numbers, curve, failed, limits).verdict:  # it cannot say what the code holds
        return Check("uninformative_start", advantage, limits.advantage, None, f"{reading}; the decoder is deaf to it")
    reading += f"; {end:.3g} at the end"
    return Check("uninformative_start", advantage, limits.advantage,
                 failed and advantage < limits.advantage and stuck, reading)  # fmt: skip


def _constant(numbers: dict[str, float], curve: Any, failed: bool, limits: Thresholds) -> Check:
    share, excess = numbers["prediction.dominant_share"], numbers["end.cross_entropy"] - numbers["frequency.entropy"]
    # Under even frequencies H(f) is the start: reaching it shows nothing.
    skewed = math.log(numbers["num_types"]) - numbers["frequency.entropy"] > limits.unigram
    # Only a word that outweighs all others can drown them; elsewhere the constant answer is a consequence.
    skewed = skewed and numbers["accuracy.commonest"] > limits.dominant
    verdict = failed and skewed and share > limits.dominant and excess < limits.unigram
    reading = f"one answer for {share:.0%} of the types; cross-entropy {excess:+.3g} nats from H(frequencies)"
    return Check("constant_predictor", share, limits.dominant, verdict, reading)


def _rare(numbers: dict[str, float], curve: Any, failed: bool, limits: Thresholds) -> Check:
    types, tokens = 1.0 - numbers["accuracy.types"], 1.0 - numbers["accuracy.tokens"]
    weight = tokens / types if types > 0.0 else math.nan
    reading = f"{types:.1%} of the types are lost, {tokens:.1%} of the tokens"
    skewed = math.log(numbers["num_types"]) - numbers["frequency.entropy"] > 0.5  # nats: more than by 1 / rank
    return Check("rare_words_lost", weight, limits.rare, failed and skewed and weight < limits.rare, reading)


def _too_slow(numbers: dict[str, float], curve: Any, failed: bool, limits: Thresholds) -> Check:
    moved, share = numbers["moved"], math.nan if curve is None else falling_share(curve)
    still = share > limits.falling
    # Hardly moved and still falling, or not moved. Either half alone would be said of many a fault.
    slow = (moved < limits.moved and (still or (moved < 0.5 * limits.moved and _drifts_down(curve)))) or moved < 1e-3
    verdict = None if math.isnan(moved) else failed and slow
    reading = f"weights moved by {moved:.1%} of their length; the last quarter fell at {share:.0%} of the mean rate"
    value, threshold = (share, limits.falling) if still else (moved, limits.moved)
    reading = reading.replace("nan%", "an unknown share")
    # Whatever keeps weights near their start leaves these traces. Not to move at all on a slope is what a rate does; on
    # a flat loss no rate would have moved them.
    still_on_a_slope = moved < 1e-3 and numbers["loss.slope"] != 0.0
    return Check("learning_rate_too_low", value, threshold, verdict, reading, vague=not still_on_a_slope)


def _drifts_down(curve: Any) -> bool:
    """Whether a curve falls on the whole, by a rank correlation that chance gives once in twenty."""
    if curve is None or len(curve) < 5:
        return False
    found = kendalltau(np.arange(len(curve)), curve, alternative="less")
    return bool(found.pvalue < 0.05)


def _ceiling(numbers: dict[str, float], curve: Any, failed: bool, limits: Thresholds) -> Check:
    reached, ceiling = numbers["accuracy.validation"], numbers["accuracy.ceiling"]
    if math.isnan(reached):
        return Check("unknown_words_ceiling", reached, ceiling, None, "no validation text")
    verdict = not failed and ceiling < limits.ceiling and reached >= limits.types * ceiling
    reading = f"validation {reached:.1%} of at most {ceiling:.1%}; all else are words that training never had"
    return Check("unknown_words_ceiling", reached, limits.ceiling, verdict, reading)


# In the order in which causes of equal weight are named.
CHECKS = (
    _diverged, _double_softmax, _inverted, _wrong_targets, _no_gradient, _code_space, _frozen, _deaf, _temperature,
    _too_fast, _regularised, _dropout, _other_data, _dead_codes, _collapsed_decoder, _uninformative, _constant,
    _too_slow, _rare, _ceiling,
)  # fmt: skip
# Measurements that a report of a cause shows.
EVIDENCE = {
    "double_softmax": ("rewards.rest.double_softmax", "rewards.rest.linear", "loss.undecided", "loss.right",
                       "loss.wrong"),
    "inverted_loss": ("rewards.inverted", "loss.undecided", "loss.right", "loss.wrong"),
    "wrong_targets": ("rewards.right", "rewards.steady", "rewards.shift", "rewards.shift_share", "rewards.rewarded"),
    "temperature": ("rewards.temperature", "rewards.rest.tempered"),
    "frozen_part": ("moved.encoder", "moved.decoder"),
    "deaf_decoder": ("start.hears", "end.hears", "end.code_differs"),
    "dropout": ("start.noise_share", "start.quiet_share", "end.noise_share"),
    "regularisation_too_strong": ("weights.ratio", "loss.opposition", "loss.rest_share"),
    "learning_rate_too_high": ("moved", "loss.undecided"),
    "data_unlike_stated": ("loss.stated", "loss.stated_error"),
    "no_gradient": ("start.encoder_gradient",),
    "code_space_too_small": ("code.capacity_bits", "num_types"),
    "decoder_initialised_collapsed": ("start.input_share", "start.cross_entropy", "num_words"),
    "dead_codes": ("start.usage_bits", "start.perplexity", "end.usage_bits", "end.perplexity", "end.active_share"),
    "uninformative_start": ("start.code_bits", "start.logit_bits", "end.code_bits"),
    "constant_predictor": ("prediction.dominant_share", "accuracy.commonest", "frequency.entropy", "end.cross_entropy"),
    "rare_words_lost": ("accuracy.tokens", "frequency.entropy", "end.cross_entropy"),
    "learning_rate_too_low": ("moved", "loss.slope", "end.cross_entropy"),
    "unknown_words_ceiling": ("accuracy.validation", "accuracy.ceiling", "accuracy.constant"),
    "unexplained": ("prediction.dominant_share", "end.code_bits", "end.input_share"),
}  # fmt: skip
