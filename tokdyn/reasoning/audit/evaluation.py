"""How good is a diagnostic? Balanced accuracy on reasoners of known truth, and its rank among ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from tokdyn.checks import bad
from tokdyn.reasoning.audit.diagnostics import BUILT_IN, DIAGNOSTICS, Verdict
from tokdyn.reasoning.audit.schema import Run
from tokdyn.reasoning.audit.scores import Scores, Table, scored
from tokdyn.reasoning.audit.suite import Member, Suite
from tokdyn.reasoning.audit.tables import frame
from tokdyn.stats.inputs import probability

YOURS = "yours"


class Evaluation(NamedTuple):
    """How a diagnostic did.

    Attributes:
        score: balanced accuracy in the worst stratum: 1 is always right, 0.5 is what always, never and tossing a coin
            come to.
        low: lower end of its interval over designs and trainings.
        high: its upper end.
        by_stratum: ``pandas.DataFrame``: stratum, sensitivity, false_alarms, balanced accuracy with low and high.
        by_design: stratum, design, truth ("used", "idle" or "open"), trainings, share of runs with an alarm.
        rank: 1 + built-in diagnostics whose score is higher.
        ranking: diagnostic, score, low, high, behind, ties, rank; best first, the evaluated one as "yours". "ties" says
            that it is not shown to be behind the best.
        alpha: level at which a p-value is an alarm.
        sha256: of the suite.
    """

    score: float
    low: float
    high: float
    by_stratum: Any
    by_design: Any
    rank: int
    ranking: Any
    alpha: float
    sha256: str


def evaluate_diagnostic(
    fn: Verdict, *, on: Suite | None = None, alpha: float = 0.05, threshold: float | None = None,
    confidence: float = 0.95,
) -> Evaluation:  # fmt: skip
    """Try a diagnostic on reasoners of known truth.

    An alarm says: the answer depends on what the latents hold. Trainings of which that is neither shown nor excluded
    are judged by nobody.

    Args:
        fn: of a ``Run`` of the audit's schema (with the arms of ``suite.battery``): a p-value (alarm at or below alpha)
            or a bool (alarm where True); with threshold a score. It is called once a run, and sees no name.
        on: the suite; by default the shipped one (``shipped_suite``).
        alpha: level.
        threshold: the score at or above which there is an alarm.
        confidence: of the intervals.

    Returns:
        ``Evaluation``.

    Raises:
        ValueError: an answer of ``fn`` that is no p-value, bool or finite score, or a suite with a stratum that lacks
            trainings of either truth.

    Example:
        >>> from tokdyn.reasoning import audit
        >>> few = [one for one in audit.shipped_members() if one.stratum == ("pointer chase", "small")
        ...        and one.design in ("sole", "sealed") and one.training == 0]
        >>> some = audit.suite(few, repetitions=1, num_items=24)
        >>> audit.evaluate_diagnostic(lambda run: 0.04, on=some).score  # always alarmed
        0.5
    """
    from tokdyn.reasoning.audit.shipped import shipped_suite

    chosen = shipped_suite() if on is None else on
    alpha, confidence = probability("alpha", alpha), probability("confidence", confidence)
    judges: dict[str, Callable[[Any], bool]] = {
        name: lambda value: _alarm(value, alpha=alpha, threshold=None) for name in BUILT_IN
    }
    judges[YOURS] = lambda value: _alarm(value, alpha=alpha, threshold=threshold)
    table = _judged(chosen, {**BUILT_IN, YOURS: fn}, judges)
    found = scored(table, confidence=confidence)
    rows, mine = _ranking(table, found), table.diagnostics.index(YOURS)
    return Evaluation(
        score=float(found.worst[mine]),
        low=float(found.worst_low[mine]),
        high=float(found.worst_high[mine]),
        by_stratum=frame(_by_stratum(table, found, mine)),
        by_design=frame(_by_design(table, mine)),
        rank=next(row["rank"] for row in rows if row["diagnostic"] == YOURS),
        ranking=frame(rows),
        alpha=alpha,
        sha256=chosen.sha256,
    )


def truth(member: Member) -> float:
    """1 where an alarm is right, 0 where it is false, NaN where the truth is open."""
    return np.nan if member.bears is None else float(member.bears)


def _judged(chosen: Suite, diagnostics: Mapping[str, Verdict], judges: Mapping[str, Callable[[Any], bool]]) -> Table:
    """Share of alarms of each diagnostic on each training."""
    strata = tuple(dict.fromkeys(member.stratum for member in chosen.members))
    designs = tuple(dict.fromkeys(member.design for member in chosen.members))
    trainings = sorted({member.training for member in chosen.members})
    bears = np.full((len(strata), len(designs), len(trainings)), np.nan)
    alarms = np.full((len(diagnostics), *bears.shape), np.nan)
    for member, _, run in chosen.runs():
        place = strata.index(member.stratum), designs.index(member.design), trainings.index(member.training)
        bears[place] = truth(member)
        for row, (name, fn) in enumerate(diagnostics.items()):
            if name in DIAGNOSTICS and DIAGNOSTICS[name].met(member.design):
                continue
            # A copy: what one diagnostic does to its arrays is nothing that another sees.
            seen = Run({key: array.copy() for key, array in run.arrays.items()}) if name == YOURS else run
            alarms[(row, *place)] = np.nan_to_num(alarms[(row, *place)]) + judges[name](fn(seen))
    return Table(
        alarms / chosen.repetitions, bears, tuple(diagnostics), tuple(", ".join(one) for one in strata), designs
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


def _ranking(table: Table, found: Scores) -> list[dict[str, Any]]:
    rows = [
        {
            "diagnostic": name, "score": float(found.worst[i]), "low": float(found.worst_low[i]),
            "high": float(found.worst_high[i]), "behind": float(found.behind[i]),
            "ties": bool(found.behind_low[i] <= 0), "rank": 1 + int((found.worst > found.worst[i]).sum()),
        }
        for i, name in enumerate(table.diagnostics)
    ]  # fmt: skip
    return sorted(rows, key=lambda row: row["rank"])


def _by_stratum(table: Table, found: Scores, mine: int) -> list[dict[str, Any]]:
    fields = ("sensitivity", "false_alarms", "balanced", "balanced_low", "balanced_high")
    return [
        {"stratum": name, **{field: float(getattr(found, field)[mine, i]) for field in fields}}
        for i, name in enumerate(table.strata)
    ]


def _by_design(table: Table, mine: int) -> list[dict[str, Any]]:
    rows = []
    for i, stratum in enumerate(table.strata):
        for j, design in enumerate(table.designs):
            for value, said in ((1.0, "used"), (0.0, "idle"), (np.nan, "open")):
                known = table.bears[i, j]
                chosen = np.isnan(known) if np.isnan(value) else known == value
                shares = table.alarms[mine, i, j][chosen & np.isfinite(table.alarms[mine, i, j])]
                if shares.size:
                    rows.append({"stratum": stratum, "design": design, "truth": said, "trainings": shares.size,
                                 "alarms": float(shares.mean())})  # fmt: skip
    return rows
