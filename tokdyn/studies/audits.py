"""The audit of a run that somebody saved: read a file, judge it, write what came of it."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from pathlib import Path
from typing import Any

import jax

from tokdyn import environment
from tokdyn.checks import whole_number
from tokdyn.reasoning import audit
from tokdyn.reasoning.diagnose import BOUND
from tokdyn.studies import documents
from tokdyn.studies.output import demand_writable, write_json, written_together


@dataclasses.dataclass(frozen=True)
class Options:
    """How to judge a run."""

    bound: float = BOUND
    """Differences in accuracy up to this size count as no effect."""
    alpha: float = 0.05
    """Significance level of tests; confidence intervals have level 1 - alpha."""
    num_resamples: int = 2000
    """Bootstrap resamples per interval."""
    seed: int = 0
    """Seed for cross-validation folds, control tasks and bootstrap resamples."""


def audit_file(
    path: str | os.PathLike[str], options: Options, folder: str | os.PathLike[str] | None = None
) -> audit.Audit:
    """Audit a run that was saved, and where a folder is named, write the report, its tables and its metadata.

    Args:
        path: the run, as ``reasoning.audit.load`` reads it.
        options: how to judge.
        folder: where the results appear, together, at the end; None writes nothing.

    Returns:
        The ``Audit``.

    Raises:
        ValueError: naming what is wrong with the file, an array, an option or the folder.
    """
    seed = whole_number("seed", options.seed, at_least=0, at_most=2**63 - 1)
    if folder is not None:
        demand_writable(folder)
    made = audit.audit(
        audit.load(path),
        key=jax.random.key(seed),
        bound=options.bound,
        alpha=options.alpha,
        num_resamples=options.num_resamples,
    )
    if folder is not None:
        _write(made, Path(path), options, folder)
    return made


def _write(made: audit.Audit, path: Path, options: Options, folder: str | os.PathLike[str]) -> None:
    name = os.fsencode(path.name).decode("utf-8", "replace")
    with written_together(folder) as place:
        (place / "tables").mkdir()
        for table, content in {**made.tables, "left_out": made.left_out}.items():
            content.to_csv(place / "tables" / f"{table}.csv", index=False)
        record = {
            "file": name,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "name": made.name,
            "num_items": made.num_items,
            "schema_version": audit.SCHEMA_VERSION,
            "options": dataclasses.asdict(options),
            "verdict": made.verdict,
            "findings": list(made.findings),
            **environment.describe(),
        }
        write_json(place / "metadata.json", record)
        documents.write(_contents(made, name), place)


def _contents(made: audit.Audit, file: str) -> documents.Report:
    options = ", ".join(f"{name} {value:g}" for name, value in made.settings.items())
    blocks = [
        made.verdict,
        f"{made.num_items} items of {file}; {options}. One checkpoint: intervals speak of these weights on new items.",
        documents.bullets(made.findings),
    ]
    for name, frame in made.tables.items():
        blocks += [f"## {audit.PARTS[name].title}", documents.table(_rows(frame)), f"`tables/{name}.csv`"]
    blocks += ["## Left out", documents.table(_rows(made.left_out))]
    return documents.Report(f"Audit of {made.name or file}", blocks)


def _rows(table: Any) -> list[dict[str, Any]]:
    """Records of plain values; a bar would end a cell, and "<name>" would be taken for HTML."""
    shown = lambda text: text.replace("|", "\\|").replace("<", "&lt;")  # noqa: E731
    return [
        {name: shown(value) if isinstance(value, str) else value for name, value in row.items()}
        for row in table.to_dict("records")
    ]
