"""Planted faults: small autoencoders with one known thing wrong, and how often the diagnosis says what it is.

Faults (``faults.py``) that differ in numbers only share a compiled program. What counts: a fault of the program
(``double_softmax``, ``no_gradient``, ``code_space_too_small``) is to be named in every member, even where the model
survives it; any other only makes a fault where types are lost, and ``failed`` says in how many members it did. *All*
members are counted, so that a fault planted too weakly shows as a missed one.
"""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from tokdyn import checks, keys
from tokdyn.autoencoder.diagnose.causes import Thresholds
from tokdyn.autoencoder.diagnose.faults import FAULTS, PROGRAMS, SIZE, SOUND, Fault, member
from tokdyn.autoencoder.diagnose.findings import Findings, decide
from tokdyn.autoencoder.diagnose.signature import loss_signature
from tokdyn.solve import vmap
from tokdyn.stats import clopper_pearson


@dataclasses.dataclass(frozen=True)
class Row:
    """How the diagnosis did on one fault.

    Attributes:
        name: of the fault.
        cause: that was planted.
        members: how many models.
        right: how many were given that cause, or had it suggested first.
        rate: right / members, with its exact 95 % interval ``low`` to ``high``.
        failed: share of models that lost types.
        others: other causes that were named, with their counts.
        excluded: share of loss curves that exclude a double softmax by themselves, without the model.
    """

    name: str
    cause: str
    members: int
    right: int
    rate: float
    low: float
    high: float
    failed: float
    others: dict[str, int]
    excluded: float


@dataclasses.dataclass(frozen=True)
class Table:
    """The bench's rows and how long they took (seconds, compilation included)."""

    rows: tuple[Row, ...]
    seconds: float

    def __getitem__(self, name: str) -> Row:
        return next(row for row in self.rows if row.name == name)

    def __str__(self) -> str:
        head = f"{'fault':32}{'named':>10}  {'rate':>6}  {'95 % interval':15}  {'failed':>6}  others"
        lines = [head]
        for row in self.rows:
            others = ", ".join(f"{name} {count}" for name, count in row.others.items())
            interval = f"{row.low:.3f} - {row.high:.3f}"
            named = f"{row.right}/{row.members}"
            lines.append(
                f"{row.name:32}{named:>10}  {row.rate:6.3f}  {interval:15}  {row.failed:6.3f}  {others}".rstrip()
            )
        return "\n".join([*lines, f"{self.seconds:.0f} s"])


def run_bench(*, key: jax.Array, members: int = 200, faults: Iterable[str] | None = None) -> Table:
    """Plant every fault in so many models and diagnose each.

    Args:
        key: of everything: a member's key is a function of it, of the fault's name and of the member's number.
        members: models of each fault.
        faults: names in ``FAULTS``; by default all.

    Returns:
        ``Table``; ``str`` of it prints rates with exact (Clopper-Pearson) intervals. For a control, 1 - rate is the
        rate of false alarms.

    Raises:
        ValueError: an unknown fault, or no member.
    """
    checks.random_key("key", key)
    members = checks.whole_number("members", members, at_least=1)
    names = list(FAULTS) if faults is None else list(faults)
    for name in names:
        checks.choice("faults", name, tuple(FAULTS))
    began = time.perf_counter()
    jobs = [(name, FAULTS[name], FAULTS[name].numbers) for name in names]
    rows = [_row(name, FAULTS[name].cause, *_judged(*result)) for name, result in _trained(jobs, key, members)]
    return Table(tuple(rows), time.perf_counter() - began)


class Sensitivity(NamedTuple):
    """A fault over its strength.

    Attributes:
        dial: the number that was turned.
        strengths: its values `[strengths]`.
        detected: share of models that were given the cause `[strengths]`.
        failed: share of models that lost types `[strengths]`.
        low: of the exact 95 % interval of detected `[strengths]`.
        high: `[strengths]`.
    """

    dial: str
    strengths: np.ndarray
    detected: np.ndarray
    failed: np.ndarray
    low: np.ndarray
    high: np.ndarray


def sensitivity_curve(fault: str, strengths: Iterable[float], *, key: jax.Array, members: int = 64) -> Sensitivity:
    """How often a fault is named, and how often it does harm, as its dial is turned.

    Args:
        fault: a name in ``FAULTS`` with a dial.
        strengths: values of that number; members share their keys across them.
        key: of everything.
        members: models at each strength.

    Returns:
        ``Sensitivity``.

    Raises:
        ValueError: a fault that is unknown or has no dial, or no strength.
    """
    checks.random_key("key", key)
    members = checks.whole_number("members", members, at_least=1)
    planted = FAULTS[checks.choice("fault", fault, tuple(name for name, made in FAULTS.items() if made.dial))]
    values = np.asarray(list(strengths), np.float64)
    if values.ndim != 1 or not len(values):
        raise checks.bad("strengths", "at least one number", checks.describe_array(values))
    assert planted.dial is not None
    jobs = [(fault, planted, {**planted.numbers, planted.dial: float(value)}) for value in values]
    rows = [_row(name, planted.cause, *_judged(*result)) for name, result in _trained(jobs, key, members)]
    columns = {name: np.array([getattr(row, name) for row in rows]) for name in ("rate", "failed", "low", "high")}
    return Sensitivity(planted.dial, values, columns["rate"], columns["failed"], columns["low"], columns["high"])


@functools.cache
def _program(name: str) -> Callable[..., Any]:
    # Compiling takes longer than running, so the compiler is told not to try its hardest.
    options = {"xla_backend_optimization_level": 1} if jax.default_backend() == "cpu" else None
    return jax.jit(vmap(functools.partial(member, name), batch_size=PROGRAMS[name].block), compiler_options=options)


Result = tuple[dict[str, np.ndarray], np.ndarray]


def _trained(jobs: list[tuple[str, Fault, dict[str, float]]], key: jax.Array, members: int) -> list[tuple[str, Result]]:
    """Each job's measurements and curves; the jobs of one program go through it together."""
    results: dict[int, Result] = {}

    def run(program: str) -> None:
        chosen = [place for place, (_, fault, _) in enumerate(jobs) if fault.program == program]
        numbers = {
            name: jnp.repeat(jnp.array([{**SOUND, **jobs[place][2]}[name] for place in chosen]), members)
            for name in SOUND
        }
        own = [jax.random.split(keys.for_purpose(key, jobs[place][0]), members) for place in chosen]
        measured, curves = jax.tree.map(np.asarray, _program(program)(numbers, jnp.concatenate(own)))
        for position, place in enumerate(chosen):
            rows = slice(position * members, (position + 1) * members)
            results[place] = ({name: values[rows] for name, values in measured.items()}, curves[rows])

    # Small arrays keep one core busy at most, and so does the compiler: two programs at a time.
    with ThreadPoolExecutor(max_workers=2) as pool:
        for _ in pool.map(run, dict.fromkeys(fault.program for _, fault, _ in jobs)):
            pass
    return [(jobs[place][0], results[place]) for place in range(len(jobs))]


def _judged(measured: dict[str, np.ndarray], curves: np.ndarray) -> tuple[list[Findings], list[bool]]:
    """The findings of each member, and whether its curve alone excludes a double softmax."""
    found = [
        decide({name: values[place] for name, values in measured.items()}, curve) for place, curve in enumerate(curves)
    ]
    excluded = [loss_signature(curve, SIZE)["excludes_double_softmax"].verdict for curve in curves]
    return found, excluded


def _row(name: str, cause: str, found: list[Findings], excluded: list[bool]) -> Row:
    # Named, or suggested before all others.
    causes = [findings.ranked[0] if findings.ranked else findings.cause for findings in found]
    right = causes.count(cause)
    interval = clopper_pearson(right, len(causes))
    failed = np.mean([findings.measurements["accuracy.types"] < Thresholds().types for findings in found])
    others = {other: causes.count(other) for other in sorted(set(causes) - {cause})}
    return Row(
        name, cause, len(causes), right, float(interval.estimate), float(interval.low), float(interval.high),
        float(failed), others, float(np.mean(excluded)),
    )  # fmt: skip
