"""What one row of the table yields: timed forms, and goals that are judged by their ratios."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

from benchmarks.timing import Timing, median


@dataclasses.dataclass
class Entry:
    """One form of a row's work, timed, or the reason why it was not."""

    form: str
    """What was run."""
    count: int = 0
    """Units of work in one call."""
    wall: list[float] = dataclasses.field(default_factory=list)
    """Seconds of each call."""
    cpu: list[float] = dataclasses.field(default_factory=list)
    """CPU seconds of each call, all cores together."""
    cores: int = 0
    """Cores that the process was allowed to use."""
    checked: str = ""
    """How its result was compared with tokdyn's."""
    missing: str = ""
    """Why there is no time; empty where there is one."""

    def per_unit(self, clock: str = "wall") -> float:
        """Median seconds for one unit of work."""
        return median(self.wall if clock == "wall" else self.cpu) / self.count


@dataclasses.dataclass
class Goal:
    """A ratio that the package aims at; whether it is met follows from what was measured."""

    ours: str
    """The form that should be fast."""
    theirs: tuple[str, ...]
    """What it is compared with: the fastest of these that was timed."""
    limit: float
    """``at_least``: their time over ours must reach this. ``at_most``: our time over theirs must stay below."""
    kind: Literal["at_least", "at_most"] = "at_least"
    clock: Literal["wall", "cpu"] = "wall"

    def judge(self, entries: list[Entry]) -> dict[str, Any] | None:
        """The ratio and the verdict; None where a side was not timed."""
        timed = {entry.form: entry.per_unit(self.clock) for entry in entries if not entry.missing}
        rivals = {name: timed[name] for name in self.theirs if name in timed}
        if self.ours not in timed or not rivals:
            return None
        best = min(rivals, key=lambda name: rivals[name])
        faster = rivals[best] / timed[self.ours]
        ratio = faster if self.kind == "at_least" else 1 / faster
        met = ratio >= self.limit if self.kind == "at_least" else ratio <= self.limit
        return {
            "ours": self.ours, "theirs": best, "ratio": ratio, "kind": self.kind, "limit": self.limit,
            "clock": self.clock, "met": met,
        }  # fmt: skip


@dataclasses.dataclass
class Section:
    """One row of the table."""

    title: str
    unit: str
    entries: list[Entry]
    goals: list[Goal] = dataclasses.field(default_factory=list)
    facts: dict[str, Any] = dataclasses.field(default_factory=dict)
    """Numbers that are no times: sizes, steps, compile seconds."""
    in_seconds: bool = False
    """Each form is work of its own, so that the figure shows seconds, not ratios."""

    def as_json(self) -> dict[str, Any]:
        """Everything, with each goal's verdict."""
        entries = [
            dataclasses.asdict(entry)
            | ({} if entry.missing else {"seconds_per_unit": entry.per_unit(), "cpu_per_unit": entry.per_unit("cpu")})
            for entry in self.entries
        ]
        verdicts = [verdict for goal in self.goals if (verdict := goal.judge(self.entries)) is not None]
        return {
            "title": self.title, "unit": self.unit, "entries": entries, "goals": verdicts, "facts": self.facts,
            "in_seconds": self.in_seconds,
        }  # fmt: skip


def both_cores(rows: dict[str, Any], limit: float = 1.7) -> dict[str, Any] | None:
    """What two cores give over one: the fastest tokdyn form of ``simulate`` over that of ``simulate-one-core``.

    The one goal across two rows: a process that was kept on one core cannot be let go again.
    """
    if not {"simulate", "simulate-one-core"} <= set(rows):
        return None
    ours = ("tokdyn", "tokdyn, two threads")
    fastest = {
        row: min((e["seconds_per_unit"], e["form"]) for e in rows[row]["entries"] if e["form"] in ours)
        for row in ("simulate", "simulate-one-core")
    }
    ratio = fastest["simulate-one-core"][0] / fastest["simulate"][0]
    return {
        "ours": fastest["simulate"][1], "theirs": "tokdyn on one core", "ratio": ratio, "kind": "at_least",
        "limit": limit, "clock": "wall", "met": ratio >= limit,
    }  # fmt: skip


def entries_from(
    timings: dict[str, Timing], counts: dict[str, int], checked: dict[str, str], missing: dict[str, str]
) -> list[Entry]:
    """The timed forms in the order they were given, then those that could not be run."""
    from benchmarks.machine import num_cores

    cores = num_cores()
    timed = [
        Entry(name, counts[name], timing.wall, timing.cpu, cores, checked.get(name, ""))
        for name, timing in timings.items()
    ]
    return timed + [Entry(name, cores=cores, missing=reason) for name, reason in missing.items()]
