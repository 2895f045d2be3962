"""How good is a diagnostic? Its sensitivity over the dial, its false alarms on null reasoners, its rank among ours."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from tokdyn.checks import bad
from tokdyn.reasoning.audit.diagnostics import BUILT_IN, DIAGNOSTICS, Verdict
from tokdyn.reasoning.audit.reasoners import Member, Suite, suite
from tokdyn.reasoning.audit.schema import Run
from tokdyn.reasoning.audit.tables import frame
from tokdyn.stats import clopper_pearson
from tokdyn.stats.inputs import probability


class Evaluation(NamedTuple):
    """How a diagnostic did.

    Attributes:
        curve: ``pandas.DataFrame``, one row for each dial: dial, alarms, runs, sensitivity with exact low and high.
            At dial 0 an alarm is a false one.
        false_positives: one row for each null reasoner, and "all" of them: member, alarms, runs, rate, low, high.
        sensitivity: mean over the dials above 0.
        false_positive_rate: of all null reasoners' runs.
        rank: 1 + built-in diagnostics whose sensitivity minus false positive rate is higher.
        ranking: diagnostic, sensitivity, false_positive_rate, difference, rank; best first, the evaluated one among
            them as "yours".
        alpha: level at which a p-value is an alarm.
        sha256: of the suite.
    """

    curve: Any
    false_positives: Any
    sensitivity: float
    false_positive_rate: float
    rank: int
    ranking: Any
    alpha: float
    sha256: str


def evaluate_diagnostic(
    fn: Verdict,
    *,
    members: Sequence[Member] | None = None,
    on: Suite | None = None,
    alpha: float = 0.05,
    threshold: float | None = None,
    confidence: float = 0.95,
) -> Evaluation:
    """Try a diagnostic on reasoners of known truth: those of ``suite``, where the dial is defined.

    An alarm says: the answer follows what the latents hold. Intervals are exact binomial ones over runs, each on fresh
    items; runs of one reasoner share its weights, so that they speak of the reasoners of the suite, not of others.

    Args:
        fn: of a ``Run`` of the audit's schema (with the arms of ``reasoners.battery``): a p-value (alarm at or below
            alpha) or a bool (alarm where True); with threshold a score. It is called once a run, and sees neither dial
            nor name.
        members: reasoners of the suite; by default the shipped ones.
        on: a whole suite in place of the standard one (``suite``), for other dials, items or repetitions.
        alpha: level.
        threshold: the score at or above which there is an alarm.
        confidence: of the intervals.

    Returns:
        ``Evaluation``.

    Raises:
        ValueError: both members and a suite, or an answer of ``fn`` that is no p-value, bool or finite score.

    Example:
        >>> from tokdyn.reasoning import audit
        >>> some = [audit.shipped_member(name) for name in ("content", "masked")]
        >>> small = audit.suite(some, dials=[0.5], repetitions=2, num_items=24)
        >>> found = audit.evaluate_diagnostic(lambda run: 0.04, on=small)  # always alarmed
        >>> found.sensitivity, found.false_positive_rate, found.rank > 1
        (1.0, 1.0, True)
    """
    if members is not None and on is not None:
        raise bad("members", "either members or a suite", "both")
    chosen = suite(members) if on is None else on
    alpha = probability("alpha", alpha)
    judge = functools.partial(_alarm, alpha=alpha, threshold=threshold)
    own = {name: functools.partial(_alarm, alpha=alpha, threshold=None) for name in BUILT_IN}
    counts = _counted(chosen, {"yours": fn, **BUILT_IN}, {"yours": judge, **own})
    rows = []
    for name, alarms in counts.items():
        sensitivity = float(np.mean([_rate(alarms, chosen, dial) for dial in chosen.dials if dial > 0]))
        false = _of_null(alarms, chosen)[-1]["rate"]
        rows.append({"diagnostic": name, "sensitivity": sensitivity, "false_positive_rate": false,
                     "difference": sensitivity - false})  # fmt: skip
    for row in rows:
        row["rank"] = 1 + sum(other["difference"] > row["difference"] for other in rows)
    mine, ours = rows[0], counts["yours"]
    trials = chosen.repetitions * sum(member.bears for member in chosen.members)
    curve = [
        {"dial": dial, **_exact("sensitivity", _alarms(ours, chosen, dial), trials, confidence)}
        for dial in chosen.dials
    ]  # fmt: skip
    return Evaluation(
        curve=frame(curve),
        false_positives=frame(_of_null(ours, chosen, confidence)),
        sensitivity=mine["sensitivity"],
        false_positive_rate=mine["false_positive_rate"],
        rank=mine["rank"],
        ranking=frame(sorted(rows, key=lambda row: row["rank"])),
        alpha=alpha,
        sha256=chosen.sha256,
    )


def _alarm(value: Any, *, alpha: float, threshold: float | None) -> bool:
    if np.ndim(value) == 0 and np.asarray(value).dtype == bool and threshold is None:
        return bool(value)
    expected = "a p-value from 0 to 1, or a bool" if threshold is None else "a finite score"
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise bad("fn", f"a function that returns {expected}", f"a {type(value).__name__}") from None
    if not np.isfinite(number) or (threshold is None and not 0 <= number <= 1):
        raise bad("fn", f"a function that returns {expected}", number)
    return number <= alpha if threshold is None else number >= threshold


def _counted(
    chosen: Suite, diagnostics: Mapping[str, Verdict], judges: Mapping[str, Callable[..., bool]]
) -> dict[str, Counter[tuple[str, float]]]:
    """Alarms of every diagnostic by reasoner and dial."""
    counts: dict[str, Counter[tuple[str, float]]] = {name: Counter() for name in diagnostics}
    for member, runs in chosen.families():
        # What only looks says the same at every dial.
        seen: dict[str, bool] = {}
        for dial, run in runs.items():
            for name, fn in diagnostics.items():
                if name in seen:
                    alarm = seen[name]
                else:
                    # A copy: what one diagnostic does to its arrays is nothing that another sees.
                    copied = Run({key: array.copy() for key, array in run.arrays.items()}) if name == "yours" else run
                    alarm = judges[name](fn(copied))
                    if name in DIAGNOSTICS and DIAGNOSTICS[name].looks:
                        seen[name] = alarm
                counts[name][member.name, dial] += alarm
    return counts


def _alarms(counts: Counter[tuple[str, float]], chosen: Suite, dial: float) -> int:
    """Of all load-bearing reasoners at one dial."""
    return sum(counts[member.name, dial] for member in chosen.members if member.bears)


def _rate(counts: Counter[tuple[str, float]], chosen: Suite, dial: float) -> float:
    bearing = sum(member.bears for member in chosen.members)
    return _alarms(counts, chosen, dial) / (bearing * chosen.repetitions)


def _of_null(counts: Counter[tuple[str, float]], chosen: Suite, confidence: float = 0.95) -> list[dict[str, Any]]:
    """False alarms of each null reasoner, and of all of them last."""
    alarms = {member.name: counts[member.name, 0.0] for member in chosen.members if not member.bears}
    every = {**{name: (count, 1) for name, count in alarms.items()}, "all": (sum(alarms.values()), len(alarms))}
    return [
        {"member": name, **_exact("rate", count, parts * chosen.repetitions, confidence)}
        for name, (count, parts) in every.items()
    ]


def _exact(name: str, alarms: int, runs: int, confidence: float) -> dict[str, Any]:
    exact = clopper_pearson(alarms, runs, confidence=confidence)
    ends = {"low": float(exact.low), "high": float(exact.high)}
    return {"alarms": int(alarms), "runs": int(runs), name: alarms / runs, **ends}
