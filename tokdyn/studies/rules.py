"""The rules by which a published claim gets its verdict: numbers with intervals go in, a verdict comes out.

A study declares what it judges: a ``Judgement`` names the claim, the rule, how the numbers are computed from the
study's Dataset, and what kind of run they come from. Nobody writes a verdict; docs/claims.md lists the rules.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar, Protocol, SupportsFloat

import numpy as np
from numpy.typing import ArrayLike

from tokdyn import checks
from tokdyn.claims import CONTEXT, Finding, Value, context
from tokdyn.stats import clopper_pearson, mean_interval

if TYPE_CHECKING:
    import xarray

REPRODUCED, CONTRADICTED, QUALIFIED, OPEN = "reproduced", "contradicted", "qualified", "open"
LEVEL = 0.95  # of every interval; of several together, by Bonferroni
CLOCK = 2.0  # seconds measured on a shared machine are known within this factor


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A number and the interval that goes with it.

    Attributes:
        value: the number.
        low: lower end.
        high: upper end. An exact number has ``low == value == high``. NaN anywhere says that nothing was measured.
    """

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        if self.low == self.value == self.high:
            return f"{self.value:.6g}"
        return f"{self.value:.4g} [{self.low:.4g}, {self.high:.4g}]"

    @property
    def known(self) -> bool:
        """Whether something was measured."""
        return not any(math.isnan(end) for end in (self.value, self.low, self.high))


def exact(value: SupportsFloat) -> Estimate:
    """A number without uncertainty: arithmetic, a count, or what a deterministic re-run prints."""
    return Estimate(*[float(value)] * 3)


def between(value: SupportsFloat, low: SupportsFloat, high: SupportsFloat) -> Estimate:
    """A number with an interval that the study has computed."""
    return Estimate(float(value), float(low), float(high))


def mean(values: ArrayLike, *, together: int = 1) -> Estimate:
    """The mean of independent units, usually seeds, with Student's interval.

    Args:
        values: `[units]`, at least two; of pairs, give their differences.
        together: how many such intervals a rule reads at once; each gets the level ``1 - (1 - LEVEL) / together``.

    Returns:
        An ``Estimate``.
    """
    found = mean_interval(np.ravel(np.asarray(values, float)), confidence=1 - (1 - LEVEL) / together)
    return between(found.mean, found.low, found.high)


def share(flags: ArrayLike, *, together: int = 1) -> Estimate:
    """The share of units for which something holds, with the interval of Clopper and Pearson; as ``mean``."""
    values = np.ravel(np.asarray(flags, bool))
    found = clopper_pearson(int(values.sum()), values.size, confidence=1 - (1 - LEVEL) / together)
    return between(values.mean(), found.low, found.high)


def one_more(values: ArrayLike) -> Estimate:
    """Where one further run lies, by Student's prediction interval: for a published number of a single run."""
    runs = np.ravel(np.asarray(values, float))
    found = mean_interval(runs, confidence=LEVEL)
    half = (float(found.high) - float(found.mean)) * math.sqrt(runs.size + 1)
    return between(found.mean, found.mean - half, found.mean + half)


def clock(seconds: SupportsFloat) -> Estimate:
    """Seconds, or a ratio of seconds, measured once on a shared machine."""
    return between(seconds, float(seconds) / CLOCK, float(seconds) * CLOCK)


def widened(estimates: Sequence[Estimate]) -> list[Estimate]:
    """95 % intervals that a study has computed one by one, made simultaneous (Bonferroni) as if they were normal."""
    from scipy import special

    factor = special.ndtri(1 - (1 - LEVEL) / 2 / max(len(estimates), 1)) / special.ndtri(1 - (1 - LEVEL) / 2)
    return [
        between(of.value, of.value - factor * (of.value - of.low), of.value + factor * (of.high - of.value))
        for of in estimates
    ]


class Rule(Protocol):
    """From estimates to a verdict: "reproduced", "contradicted", "qualified" or "open"; ``str`` says it in words."""

    def __call__(self, *estimates: Estimate) -> str:
        """The verdict."""
        ...


class _OfOne:
    """A rule about one number; several are refused, and an unknown one leaves the claim open."""

    def __call__(self, *estimates: Estimate) -> str:
        if len(estimates) != 1:
            raise checks.bad("estimates", f"one for the rule '{self}'", len(estimates))
        return self.judge(estimates[0]) if estimates[0].known else OPEN

    def judge(self, of: Estimate) -> str:
        raise NotImplementedError


def _side(inside: bool, outside: bool) -> str:
    return REPRODUCED if inside else CONTRADICTED if outside else OPEN


@dataclasses.dataclass(frozen=True)
class Equals(_OfOne):
    """Equality within a tolerance; with ``number=0`` equivalence, "no effect".

    Reproduced where the whole interval lies within ``number +- tolerance``, contradicted where all of it lies outside.
    """

    number: float
    tolerance: float

    def __str__(self) -> str:
        return f"equals {self.number:.6g} within {self.tolerance:.3g}"

    def judge(self, of: Estimate) -> str:
        low, high = self.number - self.tolerance, self.number + self.tolerance
        return _side(low <= of.low and of.high <= high, of.high < low or of.low > high)


@dataclasses.dataclass(frozen=True)
class AtLeast(_OfOne):
    """Reproduced where the whole interval is at least the bound, contradicted where all of it is below."""

    bound: float

    def __str__(self) -> str:
        return f"at least {self.bound:.6g}"

    def judge(self, of: Estimate) -> str:
        return _side(of.low >= self.bound, of.high < self.bound)


@dataclasses.dataclass(frozen=True)
class AtMost(_OfOne):
    """Reproduced where the whole interval is at most the bound, contradicted where all of it is above."""

    bound: float

    def __str__(self) -> str:
        return f"at most {self.bound:.6g}"

    def judge(self, of: Estimate) -> str:
        return _side(of.high <= self.bound, of.low > self.bound)


@dataclasses.dataclass(frozen=True)
class Rises(_OfOne):
    """The sign of a (paired) difference.

    Reproduced where the whole interval is above 0, contradicted where all of it is below ``negligible``: there is no
    such effect, or the opposite. An effect above 0 that is shown to be negligible is qualified.
    """

    negligible: float = 0.0

    def __str__(self) -> str:
        return "above 0" + (f", by {self.negligible:.3g} or more" if self.negligible else "")

    def judge(self, of: Estimate) -> str:
        shown, small = of.low > 0, of.high < self.negligible or of.high <= 0
        return QUALIFIED if shown and small else _side(shown, small)


@dataclasses.dataclass(frozen=True)
class Typical(_OfOne):
    """A published number of one run against where a further run of ours would lie (``one_more``).

    Reproduced where it lies inside an interval no wider than ``width``, contradicted where it lies outside. A wider
    interval would hold almost any number, so that the claim stays open.
    """

    number: float
    width: float

    def __str__(self) -> str:
        return f"a further run, known within {self.width:.3g}, can give {self.number:.6g}"

    def judge(self, of: Estimate) -> str:
        inside = of.low <= self.number <= of.high
        return _side(inside and of.high - of.low <= self.width, not inside)


@dataclasses.dataclass(frozen=True)
class _OfMany:
    """What the verdicts on many cases, by one rule, say together; none leave the claim open."""

    rule: _OfOne
    words: ClassVar[str]

    def __str__(self) -> str:
        return f"{self.words}: {self.rule}"

    def __call__(self, *estimates: Estimate) -> str:
        said = [self.rule(of) for of in estimates]
        return self.judge(said) if said else OPEN

    def judge(self, said: list[str]) -> str:
        raise NotImplementedError


class Every(_OfMany):
    """A universal statement: contradicted by one case, reproduced only by all. Give ``mean(..., together=cases)``."""

    words = "every case"

    def judge(self, said: list[str]) -> str:
        return next(worst for worst in (CONTRADICTED, OPEN, QUALIFIED, REPRODUCED) if worst in said)


class Some(_OfMany):
    """A statement of existence: reproduced by one case, contradicted only by all."""

    words = "some case"

    def judge(self, said: list[str]) -> str:
        return next(best for best in (REPRODUCED, QUALIFIED, OPEN, CONTRADICTED) if best in said)


class InGeneral(_OfMany):
    """A tendency: what all cases say; qualified where some show it and some its opposite; else open."""

    words = "in general"

    def judge(self, said: list[str]) -> str:
        if len(set(said)) == 1:
            return said[0]
        return QUALIFIED if QUALIFIED in said or {REPRODUCED, CONTRADICTED} <= set(said) else OPEN


Measured = Estimate | Sequence[Estimate]


@dataclasses.dataclass(frozen=True)
class Judgement:
    """How a study judges one claim.

    Attributes:
        claim: id in the table of claims.
        rule: what is held against the published statement.
        measure: from the Dataset to the estimate, or the estimates, that the rule reads.
        design: what kind of run the numbers come from: a word of ``claims.DESIGNS``.
        reading: a second rule and measure for what the published number is said to mean. Where the number agrees and
            its reading does not, the claim is qualified; where either is open, it is open.
        told: from the Dataset to the words that stand for our number; None gives the first estimate's, to six digits.
        note: what a reader of the verdict should know, or how it follows from the Dataset.
    """

    claim: str
    rule: Rule
    measure: Callable[[xarray.Dataset], Measured]
    design: str
    reading: tuple[Rule, Callable[[xarray.Dataset], Measured]] | None = None
    told: Callable[[xarray.Dataset], Value] | None = None
    note: str | Callable[[xarray.Dataset], str] = ""

    def __call__(self, dataset: xarray.Dataset, command: str) -> Finding:
        """What the Dataset says to the claim.

        Args:
            dataset: of the study.
            command: that makes it.

        Returns:
            A ``Finding``. While the claim is open, ``ours`` is None and the note tells the numbers.
        """
        estimates = _several(self.measure(dataset))
        verdict, rule = self.rule(*estimates), f"{self.rule}: {_shown(self.rule, estimates)}"
        if self.reading is not None:
            reading, measure = self.reading
            others = _several(measure(dataset))
            verdict = with_reading(verdict, reading(*others))
            rule += f"; read as {reading}: {_shown(reading, others)}"
        note = self.note if isinstance(self.note, str) else self.note(dataset)
        if verdict == OPEN:
            told = f"our numbers do not decide: {rule}"
            return Finding(None, OPEN, f"{told}; {note}" if note else told)
        ours = float(f"{estimates[0].value:.6g}") if self.told is None else self.told(dataset)
        return Finding(ours, verdict, note, command, self.design, rule)


@dataclasses.dataclass(frozen=True)
class Context:
    """What a study adds to a claim about a named model, which no run of ours can judge: a note, and never a verdict.

    Attributes:
        claim: id in the table of claims.
        told: from the Dataset to the words.
    """

    claim: str
    told: Callable[[xarray.Dataset], str]

    def __call__(self, dataset: xarray.Dataset, command: str) -> Finding:
        """The note; as ``Judgement``."""
        return Finding(None, OPEN, context(command, self.told(dataset)), design=CONTEXT)


def with_reading(number: str, reading: str) -> str:
    """The verdict on a claim from those on its number and on what the number is said to mean.

    Example:
        >>> from tokdyn.studies.rules import with_reading
        >>> with_reading("reproduced", "contradicted")
        'qualified'
    """
    if number == CONTRADICTED or OPEN in (number, reading):
        return CONTRADICTED if number == CONTRADICTED else OPEN
    return number if reading == REPRODUCED else QUALIFIED


def findings(declared: Iterable[Judgement | Context], dataset: xarray.Dataset, command: str) -> dict[str, Finding]:
    """What a Dataset says to every claim that a study declares.

    Args:
        declared: judgements and context.
        dataset: of the study.
        command: that makes it.

    Returns:
        ``{claim id: Finding}``.
    """
    return {one.claim: one(dataset, command) for one in declared}


def _several(found: Measured) -> list[Estimate]:
    return [found] if isinstance(found, Estimate) else list(found)


def _shown(rule: Rule, estimates: Sequence[Estimate]) -> str:
    """The numbers behind a verdict; of many cases, how many say what."""
    inner = getattr(rule, "rule", None)
    if inner is None or len(estimates) < 5:
        return ", ".join(str(of) for of in estimates) or "no case"
    said = [inner(of) for of in estimates]
    counts = ", ".join(f"{said.count(word)} {word}" for word in (REPRODUCED, QUALIFIED, CONTRADICTED, OPEN))
    values = [of.value for of in estimates if of.known]
    return f"{len(said)} cases ({counts})" + (f", {min(values):.4g} to {max(values):.4g}" if values else "")
