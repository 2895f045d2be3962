"""Which words depend on the image, and whether dependence and confidence go with being right."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from tokdyn.checks import bad, describe_array, floating, hyperparameter, whole_number
from tokdyn.numerics import namespace, times_log
from tokdyn.reasoning.diagnose.arrays import log_softmax
from tokdyn.stats import (
    AreaUnderROC,
    CalibrationError,
    PartialCorrelation,
    area_under_roc,
    calibration_error,
    partial_rank_correlation,
)
from tokdyn.stats.inputs import numbers


class VisualDependence(NamedTuple):
    """How much each word's probability owes to the image.

    Attributes:
        score: S, nats `[items, words]`; 0 where masked.
        mean: over an item's words `[items]`; 0 for an item without words.
        share: of an item's words above the threshold `[items]`.
        total_share: of all words above the threshold `[]`.
        num_words: words that count in each item `[items]`.
    """

    score: jax.Array
    mean: jax.Array
    share: jax.Array
    total_share: jax.Array
    num_words: jax.Array


class Confidence(NamedTuple):
    """How sure a distribution over words is; every array has the leading shape of the logits.

    Attributes:
        maximum: largest probability.
        entropy: of the whole distribution, nats.
        truncated_entropy: `-sum over the k likeliest of p log p`, not renormalised (the published reward is 1 minus its
            mean). It also falls when mass *leaves* the k likeliest: near 0 it may mean sure or flat.
        renormalised_entropy: of the k likeliest by themselves, from 0 to log k.
        tail_mass: probability outside the k likeliest: read it beside both.
    """

    maximum: jax.Array
    entropy: jax.Array
    truncated_entropy: jax.Array
    renormalised_entropy: jax.Array
    tail_mass: jax.Array


class Relation(NamedTuple):
    """How a measure of an item goes with an outcome of it.

    Attributes:
        area: area under the ROC curve, the measure as score; None for an outcome that is not 0/1.
        plain: rank correlation.
        controlled: rank correlation with the controls held fixed; the same as plain without controls.
        calibration: the measure as stated probability; None where it was not asked for.
        n: items.
    """

    area: AreaUnderROC | None
    plain: PartialCorrelation
    controlled: PartialCorrelation
    calibration: CalibrationError | None
    n: int


def visual_dependence(
    log_probability: ArrayLike,
    log_probability_noised: ArrayLike,
    *,
    mask: ArrayLike | None = None,
    threshold: ArrayLike = 0.0,
) -> VisualDependence:
    r"""How much more likely each word is with the image than with a noised one. Works under jit.

    `S_t = \log p(x_t | x_{<t}, I, q) - \log p(x_t | x_{<t}, \tilde I, q)`, both on the same given text.

    Args:
        log_probability: of the words with the image `[items, words]`.
        log_probability_noised: of the same words with the noised image `[items, words]`.
        mask: words that count, bool `[items, words]`; None keeps all. Masked places may hold anything.
        threshold: a word depends on the image where S is above it, nats `[]`.

    Returns:
        `VisualDependence`.

    Raises:
        ValueError: another rank or dtype, or two shapes.

    References:
        DMLR, arXiv 2512.12623, section 3.1.

    Example:
        >>> import jax.numpy as jnp
        >>> from tokdyn.reasoning.diagnose import visual_dependence
        >>> found = visual_dependence(jnp.array([[-1.0, -0.5]]), jnp.array([[-3.0, -0.5]]), threshold=1.0)
        >>> found.score.tolist(), float(found.share[0])
        ([[2.0, 0.0]], 0.5)
    """
    xp = namespace(log_probability, log_probability_noised, mask, threshold)
    seen = floating("log_probability", log_probability, axes="[items, words]", xp=xp)
    blind = floating("log_probability_noised", log_probability_noised, axes="[items, words]", xp=xp)
    if seen.shape != blind.shape:
        raise bad("log_probability_noised", f"the shape of log_probability, {seen.shape}", describe_array(blind))
    limit = hyperparameter("threshold", threshold)
    kept = xp.ones(seen.shape, bool) if mask is None else xp.asarray(mask)
    if kept.shape != seen.shape or kept.dtype != xp.bool_:
        raise bad("mask", f"booleans of shape {seen.shape}", describe_array(kept))
    score = xp.where(kept, seen, 0.0) - xp.where(kept, blind, 0.0)
    above = kept & (score > limit)
    count = kept.sum(axis=1)
    divisor = xp.maximum(count, 1)
    return VisualDependence(
        score=score,
        mean=score.sum(axis=1) / divisor,
        share=above.sum(axis=1) / divisor,
        total_share=above.sum() / xp.maximum(count.sum(), 1),
        num_words=count,
    )


def confidence(logits: ArrayLike, *, num_likeliest: int = 10) -> Confidence:
    r"""How sure the next word is: largest probability and entropies, the truncated one never without its tail.

    With the k likeliest words `w_1..w_k` and `m = \sum_{i \le k} p(w_i)`: truncated `-\sum_{i \le k} p \log p`,
    renormalised `-\sum_{i \le k} (p / m) \log (p / m)`, tail `1 - m`. Works under jit.

    Args:
        logits: `[..., words]`.
        num_likeliest: k; static, 1 to words.

    Returns:
        `Confidence`.

    Raises:
        ValueError: not floating point, or a k outside its range.

    References:
        DMLR, arXiv 2512.12623, section 3.2.

    Example:
        >>> import jax.numpy as jnp
        >>> from tokdyn.reasoning.diagnose import confidence
        >>> flat = confidence(jnp.zeros(1000), num_likeliest=2)  # as unsure as can be
        >>> [round(float(each), 3) for each in (flat.truncated_entropy, flat.renormalised_entropy, flat.tail_mass)]
        [0.014, 0.693, 0.998]
    """
    xp = namespace(logits)
    array = xp.asarray(logits)
    if not jnp.issubdtype(array.dtype, jnp.floating) or array.ndim == 0:
        raise bad("logits", "a floating-point array [..., words]", describe_array(array))
    k = whole_number("num_likeliest", num_likeliest, at_least=1)
    if k > array.shape[-1]:
        raise bad("num_likeliest", f"at most the number of words, {array.shape[-1]}", k)
    array = array.astype(jnp.promote_types(array.dtype, jnp.float32))
    logs = -xp.sort(-log_softmax(array), axis=-1)  # the likeliest first
    terms = -times_log(logs)
    head = logs[..., :k]
    return Confidence(
        maximum=xp.exp(logs[..., 0]),
        entropy=terms.sum(axis=-1),
        truncated_entropy=terms[..., :k].sum(axis=-1),
        renormalised_entropy=-times_log(log_softmax(head)).sum(axis=-1),
        tail_mass=xp.exp(logs[..., k:]).sum(axis=-1),
    )


def relation(
    measure: ArrayLike,
    outcome: ArrayLike,
    controls: ArrayLike | None = None,
    *,
    calibrate: bool = False,
    bins: int = 10,
    level: float = 0.95,
) -> Relation:
    """How a measure of items goes with an outcome: ROC area, rank correlation with controls, calibration.

    Longer texts and more hops change dependence, confidence and accuracy together: control for them.

    Args:
        measure: one number for each item `[items]`: visual dependence, confidence, minus an entropy.
        outcome: right or wrong, exact steps right or wrong (0/1), or a number such as grounding `[items]`.
        controls: `[items]` or `[items, controls]`: length, hops.
        calibrate: whether the measure is meant as a probability of the outcome.
        bins: of the calibration, equal mass.
        level: confidence level of the intervals.

    Returns:
        `Relation`; one class only, or a constant measure, is marked in its parts by ``degenerate``.

    Raises:
        ValueError: NaN, two lengths, too few items, or calibration of a measure that is no probability.

    Example:
        >>> from tokdyn.reasoning.diagnose import relation
        >>> found = relation([0.2, 0.3, 0.4, 0.7, 0.8, 0.9], [0, 0, 0, 1, 1, 1], calibrate=True)
        >>> assert found.area and found.calibration  # since the outcomes are right or wrong, and it was asked for
        >>> float(found.area.estimate), round(found.calibration.expected, 3)
        (1.0, 0.25)
    """
    values, results = numbers("measure", measure), numbers("outcome", outcome)
    if values.ndim != 1 or results.shape != values.shape:
        raise bad("outcome", f"one axis [items] as measure has, {values.shape}", f"shape {results.shape}")
    binary = bool(np.isin(results, (0.0, 1.0)).all())
    if calibrate and not binary:
        raise bad("outcome", "0/1 outcomes where calibrate is True", "other numbers")
    plain = partial_rank_correlation(values, results, confidence=level)
    return Relation(
        area=area_under_roc(values, results, confidence=level) if binary else None,
        plain=plain,
        controlled=plain if controls is None else partial_rank_correlation(values, results, controls, confidence=level),
        calibration=calibration_error(values, results, bins=bins, binning="equal_mass") if calibrate else None,
        n=len(values),
    )


def confidence_relations(
    measure: ArrayLike, results: Mapping[str, Any], controls: ArrayLike | None = None, **options: Any
) -> dict[str, Relation]:
    """`relation` of one measure to several outcomes: the answer, each exact step, grounding.

    Args:
        measure: `[items]`.
        results: ``{name: outcome [items]}``.
        controls: `[items]` or `[items, controls]`.
        **options: keyword arguments of `relation`; calibrate applies to the outcomes that are 0/1.

    Returns:
        ``{name: Relation}``.

    Raises:
        ValueError: as `relation`; no outcome.

    Example:
        >>> from tokdyn.reasoning.diagnose import confidence_relations
        >>> sure = [0.2, 0.3, 0.4, 0.7, 0.8, 0.9]
        >>> found = confidence_relations(sure, {"answer": [0, 0, 0, 1, 1, 1], "grounding": [5, 4, 3, 2, 1, 0]})
        >>> assert found["answer"].area  # since its outcomes are right or wrong
        >>> float(found["answer"].area.estimate), round(found["grounding"].plain.estimate, 3)
        (1.0, -1.0)
    """
    if not results:
        raise bad("results", "at least one outcome", "none")
    wanted = options.pop("calibrate", False)
    found = {}
    for name, outcome in results.items():
        binary = bool(np.isin(numbers(f"results[{name!r}]", outcome), (0.0, 1.0)).all())
        found[name] = relation(measure, outcome, controls, calibrate=wanted and binary, **options)
    return found
