"""The skeleton of every study: a study says what is particular to it, and the rest happens here.

A study states its design (a frozen dataclass), what it measures and what it says. The skeleton checks the design, hands
on progress and the place for what is kept, records design, versions, machine and time, and writes a folder that appears
at once or not at all: ``report.md``, ``report.html`` with its pictures inside, ``runs.zarr``, ``metadata.json``, and
``claims.json`` where published claims were judged.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from tokdyn import checks, environment, files
from tokdyn.claims import Finding, updated
from tokdyn.studies import documents, output

if TYPE_CHECKING:
    import xarray

Design = TypeVar("Design")

# What the skeleton can hand to a study besides its design; a study takes what its function names.
OFFERED = ("progress", "with_example", "store", "workers")


@dataclasses.dataclass(frozen=True)
class NoDesign:
    """The design of a study that has none."""


@dataclasses.dataclass(frozen=True)
class Study(Generic[Design]):
    """One study.

    Attributes:
        name: as in ``tokdyn study NAME``.
        measure: ``measure(config) -> xarray.Dataset``. It may also take, as keywords, ``progress`` (a function of what
            is done and what there is in all), ``with_example`` (whether figures will be drawn, so that what only they
            show is worth computing), ``store`` (a folder for what should survive an interruption; "" for none) and
            ``workers`` (how many trainings may run side by side).
        Config: the design: a frozen dataclass whose fields all have defaults. Its methods ``checked()`` (returns a
            design that can be run, or raises ValueError) and ``quick()`` (returns a small one) are used where it has
            them; without ``quick`` a design with ``seeds`` gets 3.
        contents: ``contents(dataset, config) -> documents.Report``: what the report says.
        write: ``write(dataset, folder)``: further files, beside or instead of ``contents``.
        headline: ``headline(dataset) -> str``, printed at the end.
        findings: ``findings(dataset) -> {claim id: Finding}``: the verdicts on published claims.
        decides: ``decides(config) -> bool``: whether runs of a design may judge published claims. By default only the
            default design may.
        variables: what each variable of the Dataset means; becomes its ``long_name``.
        description: one line for ``tokdyn list``, and more for ``--help``.
        schema_version: of the Dataset.

    Example:
        >>> import tokdyn as td
        >>> td.studies.load("dynamics").name
        'dynamics'
    """

    name: str
    measure: Callable[..., xarray.Dataset]
    Config: type[Design] = NoDesign  # type: ignore[assignment]
    contents: Callable[[xarray.Dataset, Design], documents.Report] | None = None
    write: Callable[..., object] | None = None
    headline: Callable[[xarray.Dataset], str] | None = None
    findings: Callable[[xarray.Dataset], Mapping[str, Finding]] | None = None
    decides: Callable[[Design], bool] | None = None
    variables: Mapping[str, str] = dataclasses.field(default_factory=dict)
    description: str = ""
    schema_version: int = 1

    @property
    def takes(self) -> frozenset[str]:
        """Which of ``OFFERED`` the study takes."""
        return frozenset(_taken(self.measure, OFFERED))

    def quick(self, config: Design) -> Design:
        """A small design, to see that everything works."""
        if hasattr(config, "quick"):
            return config.quick()
        if hasattr(config, "seeds"):
            return dataclasses.replace(config, seeds=min(config.seeds, 3))  # type: ignore[type-var]
        return config

    def config_of(self, dataset: xarray.Dataset) -> Design:
        """The design that a Dataset was made with."""
        return output.config_from(self.Config, json.loads(dataset.attrs["config"]))

    def run(
        self,
        config: Design | None = None,
        *,
        progress: Callable[[int, int], None] | None = None,
        with_example: bool = True,
        store: str = "",
        workers: int | None = None,
    ) -> xarray.Dataset:
        """Run the study.

        Args:
            config: the design; by default the study's own.
            progress: called with what is done and what there is in all.
            with_example: also compute what only the figures show.
            store: a folder in which an interrupted study continues; "" keeps everything in memory.
            workers: how many trainings run side by side; None leaves it to the study. What the study does not take of
                these four is ignored, but for a store, which is refused.

        Returns:
            The study's Dataset. ``attrs`` hold the study's name, the design, versions and machine, and the seconds that
            it took.

        Raises:
            ValueError: a design that cannot be run, or a store where the study keeps nothing.
        """
        config = self.Config() if config is None else config
        if not isinstance(config, self.Config):
            raise checks.bad("config", f"a {self.Config.__name__} of the study {self.name}", type(config).__name__)
        if hasattr(config, "checked"):
            config = config.checked()
        if store and "store" not in self.takes:
            raise checks.bad("store", "none, because this study keeps nothing between runs", store)
        offered: dict[str, Any] = {"progress": progress, "with_example": with_example, "store": store}
        if workers is not None:
            offered["workers"] = checks.whole_number("workers", workers, at_least=1)
        start = time.perf_counter()
        dataset = self.measure(config, **{name: offered[name] for name in self.takes & offered.keys()})
        seconds = time.perf_counter() - start
        import xarray

        if not isinstance(dataset, xarray.Dataset):
            raise checks.bad("run", f"an xarray.Dataset from the study {self.name}", type(dataset).__name__)
        for name in dataset.data_vars:
            if str(name) in self.variables:
                dataset[name].attrs["long_name"] = self.variables[str(name)]
        record = {
            "schema_version": self.schema_version,
            "study": self.name,
            "config": json.dumps(dataclasses.asdict(config)),  # type: ignore[arg-type]
            "environment": json.dumps(environment.describe()),
            "simulation_seconds": dataset.attrs.get("simulation_seconds", seconds),  # a study may count them itself
        }
        return dataset.assign_attrs(record)

    def found(self, dataset: xarray.Dataset) -> dict[str, Finding]:
        """What the study says to published claims; nothing where its design may not judge them."""
        if self.findings is None:
            return {}
        config = self.config_of(dataset)
        decides = config == self.Config() if self.decides is None else self.decides(config)
        return dict(self.findings(dataset)) if decides else {}

    def report(
        self,
        dataset: xarray.Dataset,
        folder: str | os.PathLike[str],
        *,
        plots: bool = True,
        wall_seconds: float | None = None,
    ) -> Path:
        """Write everything the study has to say.

        Args:
            dataset: from ``run``.
            folder: made where it is missing; its files appear together, at the end.
            plots: also draw the figures.
            wall_seconds: of the whole command so far, for the metadata.

        Returns:
            The path of ``report.md``, or of the folder where a study writes no such file.

        Raises:
            ValueError: the folder cannot be written.
        """
        found = self.found(dataset)
        with output.written_together(folder) as place:
            output.write_record(place, dataset, found, wall_seconds=wall_seconds)
            if self.write is not None:
                offered = {"plots": plots, "wall_seconds": wall_seconds}
                self.write(dataset, place, **{name: offered[name] for name in _taken(self.write, tuple(offered))})
            if self.contents is not None:
                documents.write(self._whole(self.contents(dataset, self.config_of(dataset)), found), place, plots=plots)
            text = place / "report.md"
            if text.is_file() and not (place / "report.html").exists():
                documents.write_page(text.read_text(encoding="utf-8"), place)
            written = text.is_file()
        return Path(folder) / "report.md" if written else Path(folder)

    def _whole(self, said: documents.Report, found: Mapping[str, Finding]) -> documents.Report:
        """A report with what all reports have."""
        blocks = list(said.blocks)
        record = {
            "runs.zarr": "everything, with labels (`xarray.open_zarr(path, consolidated=False)`)",
            "metadata.json": f"versions, machine, design; `tokdyn study {self.name} --config metadata.json` repeats it",
        }
        if found:
            rows = [
                {"claim": claim.claim, "published": str(claim.published), "ours": str(claim.ours or "-"),
                 "verdict": claim.verdict, "note": claim.note}
                for claim in updated(found) if claim.id in found
            ]  # fmt: skip
            blocks += ["## Claim by claim", documents.table(rows)]
            record["claims.json"] = "the published claims that this run judges, with our verdicts"
        return dataclasses.replace(said, blocks=blocks, files={**said.files, **record})


def at_most(config: Design, **limits: int) -> Design:
    """A design cut down, for ``quick``: numbers to at most a limit, tuples to so many of their first values.

    Example:
        >>> from tokdyn.studies.phase import Config
        >>> from tokdyn.studies.skeleton import at_most
        >>> small = at_most(Config(seeds=5), seeds=10, momenta=2)
        >>> small.seeds, small.momenta
        (5, (0.0, 0.25))
    """
    cut = {}
    for name, limit in limits.items():
        given = getattr(config, name)
        cut[name] = given[:limit] if isinstance(given, tuple) else min(given, limit)
    return dataclasses.replace(config, **cut)  # type: ignore[type-var]


def machine(dataset: xarray.Dataset) -> str:
    """What a study was run on, for its report: "jax 0.10.1, cpu: cpu, 2 cores"."""
    record = json.loads(dataset.attrs["environment"])
    return f"jax {record['versions']['jax']}, {record['devices'][0]}, {record['cores']} cores"


def of_module(name: str, module: ModuleType) -> Study[Any]:
    """The study that a module holds.

    Args:
        name: of the study.
        module: with ``STUDY``, a ``Study``; or with the functions ``run(config)`` and ``report(dataset, folder)``, and,
            if it likes, ``Config``, ``headline``, ``findings`` and ``variables``, which mean what they mean in a
            ``Study``. ``report`` writes into a folder that appears only once it returns.

    Raises:
        ValueError: neither.
    """
    made = getattr(module, "STUDY", None)
    if isinstance(made, Study):
        return dataclasses.replace(made, name=name, description=made.description or _documented(module))
    if made is not None:
        raise checks.bad("study", f"a tokdyn.studies.Study as {module.__name__}.STUDY", type(made).__name__)
    for needed in ("run", "report"):
        if not callable(getattr(module, needed, None)):
            expected = f"a module with STUDY, or with run(config) and report(dataset, folder), in {module.__name__}"
            raise checks.bad("study", expected, f"no {needed}")
    kind = getattr(module, "Config", NoDesign)
    if not (isinstance(kind, type) and dataclasses.is_dataclass(kind)):
        raise checks.bad("study", f"a dataclass as {module.__name__}.Config", files.reason(TypeError(repr(kind))))
    return Study(
        name, module.run, kind, write=module.report, headline=getattr(module, "headline", None),
        findings=getattr(module, "findings", None), variables=getattr(module, "variables", {}),
        description=_documented(module),
    )  # fmt: skip


def _documented(module: ModuleType) -> str:
    return (module.__doc__ or "").strip()


def _taken(function: Callable[..., object], offered: tuple[str, ...]) -> list[str]:
    """Which of these keywords a function takes."""
    there = inspect.signature(function).parameters.values()
    if any(one.kind is one.VAR_KEYWORD for one in there):
        return list(offered)
    names = {one.name for one in there if one.kind in (one.KEYWORD_ONLY, one.POSITIONAL_OR_KEYWORD)}
    return [name for name in offered if name in names]
