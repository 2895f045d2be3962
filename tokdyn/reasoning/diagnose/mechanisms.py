"""Which component carries a gain: slots, markers or format. A share of a gain, never without the gain itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from numpy.typing import ArrayLike

from tokdyn.checks import bad, choice
from tokdyn.reasoning.diagnose.effects import MeanEffect, mean_effects
from tokdyn.stats import FiellerSet, RatioBootstrap, fieller_interval, ratio_bootstrap
from tokdyn.stats.inputs import numbers

UNITS = ("items", "seeds", "benchmarks")


class GainRetained(NamedTuple):
    """What an arm keeps of a gain, with everything that the percentage hides.

    Attributes:
        percent: 100 numerator / denominator; None where it is refused.
        defined: False where the denominator's interval covers 0: then there is no gain of which to keep a share.
        base: what the gain is counted from, in words.
        accuracy_arm: accuracy of the arm.
        accuracy_base: of the base.
        accuracy_full: of the full model.
        numerator: accuracy_arm - accuracy_base, a `MeanEffect`; for a dependence accuracy_full - accuracy_arm.
        denominator: accuracy_full - accuracy_base, a `MeanEffect`.
        rest: denominator - numerator, a `MeanEffect`: what the intervention cost; for a dependence what is left.
        fieller: Fieller's set of numerator / denominator as a ratio (not percent): its ``kind`` says whether it is an
            interval at all.
        bootstrap: percentile interval of the ratio, and how often a resampled denominator changed sign.
        unit: what the ratio's set treats as drawn at random: "items", "seeds" or "benchmarks".
    """

    percent: float | None
    defined: bool
    base: str
    accuracy_arm: float
    accuracy_base: float
    accuracy_full: float
    numerator: MeanEffect
    denominator: MeanEffect
    rest: MeanEffect
    fieller: FiellerSet
    bootstrap: RatioBootstrap
    unit: str


def gain_retained(
    key: jax.Array,
    arm: ArrayLike,
    base: ArrayLike,
    full: ArrayLike,
    *,
    base_name: str,
    unit: str = "items",
    num_resamples: int = 10_000,
    confidence: float = 0.95,
    resample: str = "crossed",
) -> GainRetained:
    r"""Share of the full model's gain over a named base that an arm keeps.

    .. math:: \mathrm{GR} = 100\, (a_{arm} - a_{base}) / (a_{full} - a_{base}), \quad a \text{ the accuracies}

    A ratio of means over all seeds or benchmarks, not a mean of ratios, which one small denominator rules. It is
    refused where the denominator's interval covers 0, that is where Fieller's set is unbounded.

    Args:
        key: a key.
        arm: accuracy or 0/1 outcomes `[items]`, or `[seeds, items]` (or benchmarks' accuracies `[benchmarks]`).
        base: the same shape. On 0 to 1.
        full: the same shape.
        base_name: what the base is: "untrained backbone", "trained without latents on the same data" and "same weights,
            latents disabled" give three different numbers.
        unit: over what the set generalises. "items": seeds are averaged for each item; "seeds": items are averaged for
            each seed; "benchmarks": as "seeds", for a first axis of benchmarks.
        num_resamples: of the bootstrap.
        confidence: between 0 and 1.
        resample: of the differences' intervals for seeds, as in `mean_effect`.

    Returns:
        `GainRetained`.

    Raises:
        ValueError: NaN, numbers outside 0 to 1, two shapes, an empty name, or fewer than two units.

    References:
        Ours: the published percentage (arXiv 2606.01287) comes without a formula.

    Example:
        >>> import jax, numpy as np
        >>> from tokdyn.reasoning.diagnose import gain_retained
        >>> item = np.arange(200)
        >>> base, full, arm = item % 10 < 4, item % 10 < 8, item % 10 < 7
        >>> found = gain_retained(jax.random.key(0), arm, base, full, base_name="latents disabled", num_resamples=100)
        >>> f"{found.percent:.1f}", round(found.denominator.estimate, 6), str(found.fieller.kind)
        ('75.0', 0.4, 'interval')
        >>> gain_retained(jax.random.key(0), arm, full, full, base_name="itself", num_resamples=100).percent is None
        True
    """
    return _share_of_gain(
        key, arm, base, full, lost=False, base_name=base_name, unit=unit, num_resamples=num_resamples,
        confidence=confidence, resample=resample,
    )  # fmt: skip


def component_gains(
    key: jax.Array, arms: Mapping[str, Any], base: ArrayLike, full: ArrayLike, *, base_name: str, **options: Any
) -> dict[str, GainRetained]:
    """`gain_retained` of several arms, each of which keeps one component (only the markers, only the format, ...).

    Args:
        key: a key, shared by the arms: they are compared on the same resamples.
        arms: ``{component kept: outcomes}``.
        base: as in `gain_retained`.
        full: as in `gain_retained`.
        base_name: as in `gain_retained`.
        **options: keyword arguments of `gain_retained`.

    Returns:
        ``{component: GainRetained}``. The percentages need not add up to 100: components interact.

    Raises:
        ValueError: as `gain_retained`; no arms.

    Example:
        >>> import jax, numpy as np
        >>> from tokdyn.reasoning.diagnose import component_gains
        >>> item = np.arange(100) % 10
        >>> found = component_gains(jax.random.key(0), {"markers": item < 8, "slots": item < 4}, item < 4, item < 8,
        ...                         base_name="latents disabled", num_resamples=50)
        >>> {name: each.percent for name, each in found.items()}
        {'markers': 100.0, 'slots': 0.0}
    """
    if not arms:
        raise bad("arms", "at least one arm", "none")
    return {name: gain_retained(key, arm, base, full, base_name=base_name, **options) for name, arm in arms.items()}


def marker_dependence(
    key: jax.Array, without_markers: ArrayLike, base: ArrayLike, full: ArrayLike, *, base_name: str, **options: Any
) -> GainRetained:
    r"""Share of the gain that goes when the markers go and the slots stay.

    `100 (acc_full - acc_without) / (acc_full - acc_base)`: 100 minus what is retained without markers. In the result
    the numerator is ``acc_full - acc_without`` and ``rest`` what is left of the gain.

    Args:
        key: a key.
        without_markers: outcomes with the boundary markers removed and the slots kept `[items]` or `[seeds, items]`.
        base: as in `gain_retained`.
        full: as in `gain_retained`.
        base_name: as in `gain_retained`.
        **options: keyword arguments of `gain_retained`.

    Returns:
        `GainRetained`, whose percent is the dependence.

    Raises:
        ValueError: as `gain_retained`.

    Example:
        >>> import jax, numpy as np
        >>> from tokdyn.reasoning.diagnose import marker_dependence
        >>> item = np.arange(100) % 10
        >>> found = marker_dependence(jax.random.key(0), item < 5, item < 4, item < 8, base_name="latents disabled",
        ...                           num_resamples=50)
        >>> f"{found.percent:.1f}", round(found.numerator.estimate, 6)
        ('75.0', 0.3)
    """
    return _share_of_gain(key, without_markers, base, full, lost=True, base_name=base_name, **options)


def _share_of_gain(
    key: jax.Array,
    arm: Any,
    base: Any,
    full: Any,
    *,
    lost: bool,
    base_name: str,
    unit: str = "items",
    num_resamples: int = 10_000,
    confidence: float = 0.95,
    resample: str = "crossed",
) -> GainRetained:
    """The share of the gain that the arm keeps, or with ``lost`` the share that it lacks."""
    if not isinstance(base_name, str) or not base_name:
        raise bad("base_name", "words that say what the base is", repr(base_name))
    choice("unit", unit, UNITS)
    arrays = {name: numbers(name, value) for name, value in (("arm", arm), ("base", base), ("full", full))}
    shape = arrays["arm"].shape
    for name, array in arrays.items():
        if array.ndim not in (1, 2) or array.shape != shape:
            raise bad(name, f"[items] or [seeds, items] as arm, {shape}", f"shape {array.shape}")
        if ((array < 0) | (array > 1)).any():
            raise bad(name, "outcomes or accuracies from 0 to 1", array[(array < 0) | (array > 1)][0])
    if unit == "seeds" and len(shape) == 1:
        raise bad("unit", "'items' for arrays [items]", repr(unit))
    with_arm, without, complete = arrays.values()
    kept, missing = with_arm - without, complete - with_arm
    stacked = np.stack([missing if lost else kept, complete - without, kept if lost else missing])
    numerator, denominator, rest = mean_effects(
        key, stacked, resample=resample, num_resamples=num_resamples, confidence=confidence
    )
    rows = stacked.reshape(3, -1, shape[-1])
    units = rows.mean(axis=1) if unit == "items" or len(shape) == 1 else rows.mean(axis=2)
    ratio = fieller_interval(units[0], units[1], confidence=confidence)
    drawn = ratio_bootstrap(key, units[0], units[1], num_resamples=num_resamples, confidence=confidence)
    defined = bool(ratio.kind == "interval") and not denominator.low <= 0 <= denominator.high
    return GainRetained(
        percent=100 * float(ratio.ratio) if defined else None,
        defined=defined,
        base=base_name,
        accuracy_arm=float(with_arm.mean()),
        accuracy_base=float(without.mean()),
        accuracy_full=float(complete.mean()),
        numerator=numerator,
        denominator=denominator,
        rest=rest,
        fieller=ratio,
        bootstrap=drawn,
        unit=unit,
    )
