"""What an arm changed, and what "it changed nothing" is worth: intervals, tests, equivalence, one table of arms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from numpy.typing import ArrayLike

from tokdyn.checks import bad, choice
from tokdyn.reasoning.diagnose.outcomes import ALPHA, BOUND, compared, verdict
from tokdyn.stats import (
    benjamini_hochberg,
    crossed_bootstrap,
    equivalence_test,
    hierarchical_bootstrap,
    holm,
    minimal_detectable_difference,
    paired_bootstrap,
    paired_t_test,
)
from tokdyn.stats.inputs import numbers, probability
from tokdyn.stats.proportions import outcomes

_CORRECTIONS = {"holm": holm, "benjamini_hochberg": benjamini_hochberg}
RESAMPLES = ("crossed", "hierarchical")
# What "no effect" is worth: columns of the table, fields of ``NoEffect``.
_WORTH = ("minimal_detectable_effect", "equivalent", "equivalence_p_value", "smallest_bound", "verdict")


class MeanEffect(NamedTuple):
    """A mean over items (and seeds) with its interval.

    Attributes:
        estimate: the mean.
        standard_error: bootstrap standard error.
        low: lower end of the interval.
        high: its upper end.
        n: items.
        seeds: seeds; 1 for one checkpoint.
        method: "items" (items resampled), "crossed" (seeds and items) or "hierarchical" (items within seeds).
        degenerate: all resamples gave the same number: the interval is one point and knows no uncertainty.
    """

    estimate: float
    standard_error: float
    low: float
    high: float
    n: int
    seeds: int
    method: str
    degenerate: bool


class NoEffect(NamedTuple):
    """What must stand beside the words "no effect".

    Attributes:
        estimate: mean difference.
        low: lower end of its two-sided 1 - alpha interval.
        high: its upper end.
        n: items.
        seeds: seeds; 1 for one checkpoint.
        difference_p_value: of the ordinary test that there is no difference.
        minimal_detectable_effect: the smallest difference that test would have found with the wanted power.
        bound: the largest difference that was said not to matter.
        equivalence_p_value: of the test that the difference is inside the bounds.
        equivalent: whether it is at most alpha.
        smallest_bound: the smallest bound inside which these data show the difference to be.
        method: how: "score, items", "student, items", "student, seeds" or "score, every seed".
        verdict: "no effect" (equivalent, not different), "negligible" (equivalent and different: real and inside the
            bound), "effect" (different, not equivalent) or "inconclusive" (neither: absence of evidence only).
    """

    estimate: float
    low: float
    high: float
    n: int
    seeds: int
    difference_p_value: float
    minimal_detectable_effect: float
    bound: float
    equivalence_p_value: float
    equivalent: bool
    smallest_bound: float
    method: str
    verdict: str


def mean_effect(
    key: jax.Array,
    values: ArrayLike,
    *,
    resample: str = "crossed",
    num_resamples: int = 10_000,
    confidence: float = 0.95,
) -> MeanEffect:
    """Mean of a number measured on items, with a bootstrap interval that respects seeds.

    One checkpoint `[items]`: items are resampled, so the interval speaks of this checkpoint on new items. Several
    `[seeds, items]`: "crossed" resamples seeds and items, for seeds that answered the same items; "hierarchical"
    resamples items anew inside each seed, for seeds that answered items of their own (too narrow for shared ones).

    Args:
        key: a key.
        values: `[items]` or `[seeds, items]`.
        resample: "crossed" or "hierarchical"; without meaning for one checkpoint.
        num_resamples: how many.
        confidence: between 0 and 1.

    Returns:
        `MeanEffect`.

    Raises:
        ValueError: NaN, another rank, or fewer than two items.

    Example:
        >>> import jax
        >>> from tokdyn.reasoning.diagnose import mean_effect
        >>> effect = mean_effect(jax.random.key(0), [0.0, 1.0, 1.0, 0.0], num_resamples=500)
        >>> effect.estimate, effect.method
        (0.5, 'items')
    """
    array = numbers("values", values)
    if array.ndim not in (1, 2):
        raise bad("values", "[items] or [seeds, items]", f"shape {array.shape}")
    return mean_effects(key, array[None], resample=resample, num_resamples=num_resamples, confidence=confidence)[0]


def mean_effects(
    key: jax.Array,
    values: np.ndarray,
    *,
    resample: str = "crossed",
    num_resamples: int = 10_000,
    confidence: float = 0.95,
) -> list[MeanEffect]:
    """`mean_effect` of a family that shares its resamples: `[family, items]` or `[family, seeds, items]`."""
    choice("resample", resample, RESAMPLES)
    if values.shape[-1] < 2:
        raise bad("values", "at least two items", values.shape[-1])
    seeds = values.shape[1] if values.ndim == 3 else 1
    if seeds == 1:
        method = "items"
        interval = paired_bootstrap(
            key, values.reshape(len(values), -1), num_resamples=num_resamples, confidence=confidence
        )
    else:
        method = resample
        draw = crossed_bootstrap if resample == "crossed" else hierarchical_bootstrap
        interval = draw(key, values, num_resamples=num_resamples, confidence=confidence)
    return [
        MeanEffect(
            estimate=float(interval.estimate[index]),
            standard_error=float(interval.standard_error[index]),
            low=float(interval.low[index]),
            high=float(interval.high[index]),
            n=values.shape[-1],
            seeds=seeds,
            method=method,
            degenerate=bool(interval.degenerate[index]),
        )
        for index in range(len(values))
    ]


def no_effect_report(
    key: jax.Array,
    values: ArrayLike,
    reference: ArrayLike | None = None,
    *,
    bound: float = BOUND,
    alpha: float = ALPHA,
    power: float = 0.8,
    resample: str = "crossed",
    num_resamples: int = 10_000,
) -> NoEffect:
    """Everything that the claim "this intervention has no effect" needs: what could have been seen, and what was shown.

    A large p-value is not a finding. The report tests the opposite claim: that the difference lies inside bounds chosen
    beforehand. Right-or-wrong outcomes of one checkpoint: McNemar and Tango's score tests. Other differences of one
    checkpoint: Student's tests over items. Several seeds: Student's tests over the seeds' mean differences; where these
    are all equal there is no variance to judge by, and the outcomes must be equivalent in every seed by itself (the
    largest of the seeds' p-values).

    Args:
        key: a key.
        values: differences, or with ``reference`` 0/1 outcomes of the arm: `[items]` or `[seeds, items]`.
        reference: 0/1 outcomes of the reference arm on the same items, the same shape.
        bound: the largest difference that does not matter.
        alpha: level of both tests.
        power: of the minimal detectable effect.
        resample: as in `mean_effect`.
        num_resamples: of the interval.

    Returns:
        `NoEffect`.

    Raises:
        ValueError: NaN, outcomes that are not 0/1, two shapes, a bound that is not positive.

    References:
        Schuirmann (1987), J. Pharmacokinet. Biopharm. 15, 657-680. Altman and Bland (1995), Absence of evidence is not
        evidence of absence. BMJ 311, 485.

    Example:
        >>> import jax, numpy as np
        >>> from tokdyn.reasoning.diagnose import no_effect_report
        >>> right = np.arange(200) % 3 > 0
        >>> report = no_effect_report(jax.random.key(0), right, right, bound=0.05, num_resamples=100)
        >>> report.verdict, round(report.smallest_bound, 3), round(report.minimal_detectable_effect, 3)
        ('no effect', 0.015, 0.039)
    """
    alpha = probability("alpha", alpha)
    if reference is None:
        differences, arms = numbers("values", values), None
    else:
        arms = outcomes("values", values), outcomes("reference", reference)
        if arms[0].shape != arms[1].shape:
            raise bad("reference", f"the shape of values, {arms[0].shape}", f"shape {arms[1].shape}")
        differences = arms[0].astype(np.float64) - arms[1]
    if differences.ndim not in (1, 2):
        raise bad("values", "[items] or [seeds, items]", f"shape {differences.shape}")
    if differences.ndim == 2 and len(differences) == 1:
        differences, arms = differences[0], None if arms is None else (arms[0][0], arms[1][0])
    effect = mean_effect(key, differences, resample=resample, num_resamples=num_resamples, confidence=1 - alpha)
    low, high = effect.low, effect.high
    seed_means = differences.mean(axis=-1) if differences.ndim == 2 else None
    spread = seed_means is not None and not paired_t_test(seed_means).degenerate
    equal: Any
    if seed_means is not None and (spread or arms is None):
        method, units = "student, seeds", seed_means
    elif arms is None:
        method, units = "student, items", differences
    else:
        method, units = ("score, items" if seed_means is None else "score, every seed"), differences
    if method.startswith("student"):
        equal = equivalence_test(units, bound=bound, alpha=alpha, power=power)
        p_value, equivalence_p_value = float(paired_t_test(units).p_value), float(equal.p_value)
    else:
        assert arms is not None
        equal = compared(*(np.atleast_2d(arm) for arm in arms), bound=bound, alpha=alpha, power=power)
        p_value, equivalence_p_value = float(equal.p_value), float(equal.equivalence_p_value)
        low, high = float(equal.low), float(equal.high)
    equivalent = equivalence_p_value <= alpha
    return NoEffect(
        estimate=effect.estimate,
        low=low,
        high=high,
        n=effect.n,
        seeds=effect.seeds,
        difference_p_value=p_value,
        minimal_detectable_effect=float(equal.minimal_detectable_effect),
        bound=float(bound),
        equivalence_p_value=equivalence_p_value,
        equivalent=equivalent,
        smallest_bound=float(equal.smallest_bound),
        method=method,
        verdict=verdict(p_value, equivalent, alpha=alpha),
    )


def effects_table(
    key: jax.Array,
    arms: Mapping[str, Any],
    *,
    reference: str,
    bound: float = BOUND,
    corrections: tuple[str, ...] = ("holm", "benjamini_hochberg"),
    trigger_rate: Mapping[str, Any] | None = None,
    parse_rate: Mapping[str, Any] | None = None,
    alpha: float = ALPHA,
    power: float = 0.8,
    resample: str = "crossed",
    num_resamples: int = 10_000,
) -> Any:
    """All arms of an intervention study against one of them, as a table.

    Read from the left: an arm that did not trigger the latents or whose answers could not be parsed has no effect to
    speak of. The test is McNemar's for one checkpoint, and Student's over the seeds'
    differences for several (see `no_effect_report`).

    Args:
        key: a key.
        arms: ``{name: 0/1 outcomes}``, all `[items]` or all `[seeds, items]`, the same items (and seeds) in order.
        reference: the name of the arm that the others are compared with.
        bound: the largest difference that does not matter.
        corrections: columns of adjusted p-values over the compared arms: "holm", "benjamini_hochberg".
        trigger_rate: ``{name: 0/1 array or rate}``: share of items where the latents were used at all.
        parse_rate: ``{name: 0/1 array or rate}``: share of answers that could be read.
        alpha: level.
        power: of the minimal detectable effect.
        resample: as in `mean_effect`.
        num_resamples: of the intervals.

    Returns:
        ``pandas.DataFrame``, one row for each arm, the reference first: trigger_rate and parse_rate where given, then
        accuracy, difference, low, high, p_value, test, the corrections, minimal_detectable_effect, equivalent,
        equivalence_p_value, smallest_bound, verdict, n, seeds. The reference's own differences are 0, its p-values 1.

    Raises:
        ValueError: an unknown reference or correction, arms of two shapes, rates for unknown arms.

    Example:
        >>> import jax, numpy as np
        >>> from tokdyn.reasoning.diagnose import effects_table
        >>> right = np.arange(300) % 4 > 0
        >>> arms = {"full": right, "zero": right & (np.arange(300) % 2 > 0), "donor": right}
        >>> table = effects_table(jax.random.key(0), arms, reference="full", num_resamples=200)
        >>> table.loc["zero", "verdict"], table.loc["donor", "verdict"], float(table.loc["zero", "difference"])
        ('effect', 'no effect', -0.25)
    """
    import pandas as pd

    for correction in corrections:
        choice("corrections", correction, tuple(_CORRECTIONS))
    if reference not in arms:
        raise bad("reference", f"one of the arms {sorted(arms)}", repr(reference))
    checked = {name: outcomes(f"arms[{name!r}]", values) for name, values in arms.items()}
    base = checked[reference]
    for name, values in checked.items():
        if values.shape != base.shape or values.ndim not in (1, 2):
            raise bad(f"arms[{name!r}]", f"[items] or [seeds, items] as the reference, {base.shape}", values.shape)
    rates = {"trigger_rate": trigger_rate, "parse_rate": parse_rate}
    for label, given in rates.items():
        if given is not None and set(given) != set(arms):
            raise bad(label, f"a rate for each of the arms {sorted(arms)}", sorted(given))
    others = [name for name in checked if name != reference]
    several = base.ndim == 2 and len(base) > 1
    tests = {"score, items": "mcnemar", "score, every seed": "mcnemar, every seed"}
    rows: dict[str, dict[str, Any]] = {}
    for name in [reference, *others]:
        row: dict[str, Any] = {
            label: float(numbers(label, given[name]).mean()) for label, given in rates.items() if given is not None
        }
        row["accuracy"] = float(checked[name].mean())
        if name == reference:
            row |= {"difference": 0.0, "low": 0.0, "high": 0.0, "p_value": 1.0, "test": "reference"}
        else:
            found = no_effect_report(
                key, checked[name], base, bound=bound, alpha=alpha, power=power, resample=resample,
                num_resamples=num_resamples,
            )  # fmt: skip
            row |= {"difference": found.estimate, "low": found.low, "high": found.high}
            row |= {"p_value": found.difference_p_value, "test": tests.get(found.method, found.method)}
            row |= {column: getattr(found, column) for column in _WORTH}
        row |= {"n": base.shape[-1], "seeds": len(base) if several else 1}
        rows[name] = row
    for correction in corrections:
        rows[reference][correction] = 1.0
        if others:
            adjusted = _CORRECTIONS[correction]([rows[name]["p_value"] for name in others])
            for name, value in zip(others, adjusted, strict=True):
                rows[name][correction] = float(value)
    least = float(minimal_detectable_difference(base.shape[-1], 0.0, alpha=alpha, power=power))
    rows[reference] |= dict(zip(_WORTH, (least, True, 0.0, 0.0, "reference"), strict=True))
    order = [label for label, given in rates.items() if given is not None]
    order += ["accuracy", "difference", "low", "high", "p_value", "test", *corrections, *_WORTH, "n", "seeds"]
    return pd.DataFrame.from_dict(rows, orient="index")[order].rename_axis("arm")
