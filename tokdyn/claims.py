"""Every published claim of the five works this package examines, and what came of each.

The table is data: ``claims.json``, one record a claim, shipped with the package. A study that computes some of the
claims reports each as a ``Finding``; ``check`` compares the findings with the shipped table, so that a changed number
is noticed, and ``updated`` with ``write`` make the table again. What may judge what is held here, too: a named model
is judged by no run of ours, and a claim about a published design only by that design.
"""

from __future__ import annotations

import dataclasses
import importlib.resources
import json
import math
import numbers
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tokdyn import files
from tokdyn.checks import bad, choice

# Short name in the table -> the work.
WORKS = {
    "dynamics": "Formalizing Latent Visual Reasoning: Token Dynamics Study",
    "diffusion_lm": "Visual Token Diffusion Language Model: Research Findings",
    "visual_memory": "Beyond Visual Memory: Mechanistic Diagnostics of Latent Visual Reasoning",
    "capimagine": "Imagination Helps Visual Reasoning, But Not Yet in Latent Space",
    "dmlr": "Reasoning Within the Mind: Dynamic Multimodal Interleaving in Latent Space",
}
# reproduced: our number agrees; contradicted: it does not; qualified: it agrees, and means something else or less than
# was said, or it holds in some cases and its opposite in others; open: not examined, or our numbers do not decide.
VERDICTS = ("reproduced", "contradicted", "qualified", "open")
# What kind of run a verdict comes from.
RERUN, REPAIRED, CONTEXT = DESIGNS = ("published design, re-run", "repaired design", "context")
# What a claim is about -> the designs that may judge it. A universal statement may be refuted by any case; what is said
# of a published design, or of its cost, only by that design; what is said of a named model by none of ours; a setting
# (a choice or a fact of the published work) is nothing to be measured.
KINDS: dict[str, tuple[str, ...]] = {
    "universal": DESIGNS,
    "design": (RERUN,),
    "cost": (RERUN,),
    "model": (),
    "setting": (),
}
# Where the published statement was read: in the work's own report or notebook; in the text of the paper; in others'
# notes, digests or READMEs about it, the paper itself not having been at hand.
SOURCES = ("document", "paper", "notes")
COLUMNS = (
    "id", "work", "claim", "published", "ours", "verdict", "command", "note", "source", "kind", "design", "rule",
)  # fmt: skip
EMPTY = "-"
_CONTEXT = "context only ("

Value = str | int | float


@dataclasses.dataclass(frozen=True)
class Claim:
    """One published claim and what came of it.

    Attributes:
        id: unique name, ``work.topic``.
        work: a key of ``WORKS``.
        claim: what is said, in a few words of ours.
        published: the number, or the words, given for it.
        ours: what we found instead; None while open.
        verdict: one of ``VERDICTS``.
        command: the command that shows it; None while open.
        note: what a reader of the verdict should know; of an open claim, what would decide it.
        source: where the published statement was read, one of ``SOURCES``.
        kind: what it is about, a key of ``KINDS``.
        design: what kind of run the verdict comes from, one of ``DESIGNS``; None while nothing was run.
        rule: the rule and the numbers that gave the verdict; "" while open.

    Raises:
        ValueError: an unknown work, verdict, source, kind or design, an id of another work, no text where text is
            needed, a number that is not finite, a verdict other than open without ``ours`` and ``command``, or one from
            a design that may not judge a claim of this kind.
    """

    id: str
    work: str
    claim: str
    published: Value
    ours: Value | None = None
    verdict: str = "open"
    command: str | None = None
    note: str = ""
    source: str = "document"
    kind: str = "design"
    design: str | None = None
    rule: str = ""

    def __post_init__(self) -> None:
        _check_text("id", self.id)
        choice(f"work of {self.id}", self.work, tuple(WORKS))
        if not self.id.startswith(self.work + "."):
            raise bad("id", f"{self.work!r}, a dot and a name", repr(self.id))
        _check_text(f"claim of {self.id}", self.claim)
        choice(f"source of {self.id}", self.source, SOURCES)
        choice(f"kind of {self.id}", self.kind, tuple(KINDS))
        _check_outcome(self.id, self.ours, self.verdict, self.command, self.note, self.design, self.rule)
        _check_admitted(self)
        object.__setattr__(self, "published", _value(f"published of {self.id}", self.published))
        if self.ours is not None:
            object.__setattr__(self, "ours", _value(f"ours of {self.id}", self.ours))


@dataclasses.dataclass(frozen=True)
class Finding:
    """What a study has just computed about one claim.

    Attributes:
        ours: the number, or words, that stand against the published; None only for ``open``.
        verdict: one of ``VERDICTS``.
        note: what a reader of the verdict should know; None keeps the note of the table.
        command: the command that shows it; None only for ``open``.
        design: what kind of run it comes from; None where nothing is said.
        rule: the rule and the numbers that gave the verdict.

    Raises:
        ValueError: as for ``Claim``.
    """

    ours: Value | None
    verdict: str
    note: str | None = None
    command: str | None = None
    design: str | None = None
    rule: str = ""

    def __post_init__(self) -> None:
        _check_outcome("the finding", self.ours, self.verdict, self.command, self.note or "", self.design, self.rule)
        if self.ours is not None:
            object.__setattr__(self, "ours", _value("ours", self.ours))


@dataclasses.dataclass(frozen=True)
class Disagreement:
    """One point on which a finding and the shipped table differ.

    Attributes:
        id: the claim.
        field: ``"id"`` where the table does not have the claim, else ``"ours"``, ``"verdict"``, ``"command"`` or
            ``"design"``.
        shipped: what the table says.
        computed: what the study found.
    """

    id: str
    field: str
    shipped: Value | None
    computed: Value | None

    def __str__(self) -> str:
        if self.field == "id":
            return f"{self.id}: not in the table of claims"
        return f"{self.id}: {self.field} is {self.computed!r}, the table says {self.shipped!r}"


def load(path: str | os.PathLike[str] | None = None) -> tuple[Claim, ...]:
    """The table of claims.

    Args:
        path: a file in the form of ``write``; None reads the one shipped with the package.

    Returns:
        The claims in the order of the file, which ``write`` sorts by id.

    Raises:
        ValueError: no readable file, not a list of records, a record with missing or unknown fields, an id that
            occurs twice, or a record that ``Claim`` refuses.

    Example:
        >>> from tokdyn import claims
        >>> sorted({claim.work for claim in claims.load()}) == sorted(claims.WORKS)
        True
    """
    name = "claims.json" if path is None else os.fspath(files.path_of("path", path, "a table of claims"))
    try:
        if path is None:
            shipped = importlib.resources.files("tokdyn").joinpath("claims.json")
            records = files.parsed_json(shipped.read_text(encoding="utf-8"))
        else:
            records = files.read_json(_there(name))
    except files.Unreadable as error:
        raise bad(name, "a JSON list of claims", f"{error}") from None
    if not isinstance(records, list):
        raise bad(name, "a JSON list of claims", f"one value of type {type(records).__name__}")
    claims = tuple(_claim(name, number, record) for number, record in enumerate(records))
    _check_unique(claims)
    return claims


def table(claims: Iterable[Claim], work: str | None = None, verdict: str | None = None) -> list[dict[str, str]]:
    """Rows for printing, every cell a text.

    Args:
        claims: for example ``load()``.
        work: only this work; None takes all.
        verdict: only this verdict; None takes all.

    Returns:
        One dictionary a claim with the keys ``COLUMNS``, in the given order; ``"-"`` where there is nothing yet.

    Raises:
        ValueError: an unknown work or verdict.

    Example:
        >>> from tokdyn import claims
        >>> rows = claims.table(claims.load(), work="dynamics")
        >>> {row["work"] for row in rows}
        {'dynamics'}
    """
    if work is not None:
        choice("work", work, tuple(WORKS))
    if verdict is not None:
        choice("verdict", verdict, VERDICTS)
    return [
        {column: _cell(getattr(claim, column)) for column in COLUMNS}
        for claim in claims
        if work in (None, claim.work) and verdict in (None, claim.verdict)
    ]


def check(
    records: Mapping[str, Finding], *, claims: Iterable[Claim] | None = None, relative_tolerance: float = 1e-3
) -> list[Disagreement]:
    r"""Compare what a study has just computed with the table.

    Two numbers `a, b` agree where `|a - b| \le \tau \max(|a|, |b|)`; texts, verdicts and commands agree where they are
    equal. Notes and rules are not compared, nor are claims about cost: seconds are those of one machine on one
    day.

    Args:
        records: findings by the id of their claim.
        claims: the table; None takes the shipped one.
        relative_tolerance: `\tau`. The default allows for another machine or compiler, not for another result.

    Returns:
        The disagreements, by id; empty where all agree.

    Raises:
        ValueError: a tolerance that is not a number from 0 up to 1.

    Example:
        >>> from tokdyn import claims
        >>> shipped = [claims.Claim("dmlr.x", "dmlr", "a gain", 2.0, 1.9, "reproduced", "tokdyn study x")]
        >>> found = {"dmlr.x": claims.Finding(1.7, "reproduced", command="tokdyn study x")}
        >>> print(claims.check(found, claims=shipped)[0])
        dmlr.x: ours is 1.7, the table says 1.9
    """
    if not 0 <= relative_tolerance < 1:
        raise bad("relative_tolerance", "a number of at least 0 and below 1", relative_tolerance)
    shipped = {claim.id: claim for claim in (load() if claims is None else claims)}
    found: list[Disagreement] = []
    for name, finding in sorted(records.items()):
        if name not in shipped:
            found.append(Disagreement(name, "id", None, None))
            continue
        if shipped[name].kind == "cost":
            continue
        for field in ("ours", "verdict", "command", "design"):
            ours, theirs = getattr(finding, field), getattr(shipped[name], field)
            if not _agree(ours, theirs, relative_tolerance):
                found.append(Disagreement(name, field, theirs, ours))
    return found


def updated(records: Mapping[str, Finding], *, claims: Iterable[Claim] | None = None) -> tuple[Claim, ...]:
    """The table with some findings entered.

    Args:
        records: findings by the id of their claim.
        claims: the table; None takes the shipped one.

    Returns:
        All claims, in the order of the table.

    Raises:
        ValueError: an id that the table does not have.
    """
    old = load() if claims is None else tuple(claims)
    unknown = sorted(set(records) - {claim.id for claim in old})
    if unknown:
        raise bad("records", "ids of the table of claims", ", ".join(unknown))
    return tuple(_entered(claim, records[claim.id]) if claim.id in records else claim for claim in old)


def write(path: str | os.PathLike[str], claims: Iterable[Claim]) -> None:
    """Write a table that ``load`` reads: the same claims give the same bytes, whatever their order.

    Args:
        path: the file, made or replaced.
        claims: the claims.

    Raises:
        ValueError: an id that occurs twice, or a place that cannot be written.
    """
    ordered = sorted(claims, key=lambda claim: claim.id)
    _check_unique(ordered)
    text = json.dumps([dataclasses.asdict(claim) for claim in ordered], indent=2, ensure_ascii=False, allow_nan=False)
    with files.written(files.target_of(path, "")) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8", newline="\n")


def _there(name: str) -> Path:
    try:
        return files.checked_file(name)
    except files.Unreadable as error:
        raise bad(name, "a table of claims", f"{error}") from None


def _claim(name: str, number: int, record: Any) -> Claim:
    if not isinstance(record, dict) or set(record) != set(COLUMNS):
        got = ", ".join(record) if isinstance(record, dict) else f"one of type {type(record).__name__}"
        raise bad(f"{name}, record {number}", f"the fields {', '.join(COLUMNS)}", got or "none")
    return Claim(**record)


def context(command: str, told: str) -> str:
    """The note of a study on a claim that it may not judge; those of several stand beside each other.

    Example:
        >>> from tokdyn import claims
        >>> claims.context("tokdyn study mediation", "lift 0.7")
        'context only (tokdyn study mediation): lift 0.7'
    """
    return f"{_CONTEXT}{command}): {told}"


def contexts(note: str) -> list[str]:
    """A note as those of several studies.

    Example:
        >>> from tokdyn import claims
        >>> claims.contexts("context only (tokdyn study a): 1; 2; context only (tokdyn study b): 3")
        ['context only (tokdyn study a): 1; 2', 'context only (tokdyn study b): 3']
    """
    return re.split(f"; (?={re.escape(_CONTEXT)})", note)


def _entered(claim: Claim, finding: Finding) -> Claim:
    note = claim.note if finding.note is None else _beside(claim.note, finding.note)
    return dataclasses.replace(
        claim, ours=finding.ours, verdict=finding.verdict, command=finding.command, note=note, design=finding.design,
        rule=finding.rule,
    )  # fmt: skip


def _beside(old: str, new: str) -> str:
    """A note in place of the old one; one that is only context leaves that of other studies where it is."""
    if not new.startswith(_CONTEXT):
        return new
    mine = new[: new.index("): ") + 3]
    kept = [new if part.startswith(mine) else part for part in contexts(old) if part.startswith(_CONTEXT)]
    return "; ".join(kept if new in kept else [*kept, new])


def _check_unique(claims: Iterable[Claim]) -> None:
    repeated = sorted(name for name, count in Counter(claim.id for claim in claims).items() if count > 1)
    if repeated:
        raise bad("id", "every id once", f"more than one {', '.join(repeated)}")


def _check_admitted(claim: Claim) -> None:
    """That the run behind a verdict may judge a claim of this kind."""
    admitted = KINDS[claim.kind]
    if claim.verdict == "open" or (admitted and claim.design in (None, *admitted)):
        return
    expected = f"'open', or a verdict from {' or '.join(map(repr, admitted))}" if admitted else "'open'"
    origin = f" from {claim.design!r}" if claim.design else ""
    raise bad(f"verdict of {claim.id}", f"{expected} (kind {claim.kind!r})", f"{claim.verdict!r}{origin}")


def _check_outcome(name: str, ours: Any, verdict: Any, command: Any, note: Any, design: Any, rule: Any) -> None:
    choice(f"verdict of {name}", verdict, VERDICTS)
    if design is not None:
        choice(f"design of {name}", design, DESIGNS)
    if not isinstance(rule, str):
        raise bad(f"rule of {name}", "a text", repr(rule))
    if command is not None:
        _check_text(f"command of {name}", command)
    if not isinstance(note, str):
        raise bad(f"note of {name}", "a text", repr(note))
    if verdict != "open" and (ours is None or command is None):
        lacking = " and ".join(word for word, value in (("ours", ours), ("command", command)) if value is None)
        raise bad(
            f"verdict of {name}", "ours and command beside any verdict but 'open'", f"{verdict!r} without {lacking}"
        )


def _check_text(name: str, value: Any) -> None:
    if not isinstance(value, str) or not value.strip():
        raise bad(name, "a text", repr(value))


def _value(name: str, value: Any) -> Value:
    """A text, or a number as one of Python's own (NumPy's are accepted), which is what JSON holds."""
    if isinstance(value, str) and value.strip():
        return value
    if isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value):
        return int(value) if isinstance(value, numbers.Integral) else float(value)
    raise bad(name, "a text or a finite number", repr(value))


def _agree(one: Any, other: Any, relative_tolerance: float) -> bool:
    if isinstance(one, int | float) and isinstance(other, int | float):
        return math.isclose(one, other, rel_tol=relative_tolerance)
    return bool(one == other)


def _cell(value: Value | None) -> str:
    if value is None or value == "":
        return EMPTY
    return f"{value:.6g}" if isinstance(value, float) else str(value)
