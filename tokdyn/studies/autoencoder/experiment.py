"""The whole study: every condition on every seed, what a step costs, and a close look at one seed."""

from __future__ import annotations

import time
from collections.abc import Callable

import xarray

from tokdyn.studies.autoencoder import design, diagnosing, ideas, tables
from tokdyn.studies.autoencoder.costs import costs
from tokdyn.studies.autoencoder.design import Config
from tokdyn.studies.autoencoder.examples import examples
from tokdyn.studies.autoencoder.trainings import joined, run_program

IDEA_SEEDS = 2  # of the notebook's proposals for each seed of the study: their models are small


def measure(
    config: Config, *, progress: Callable[[int, int], None] | None = None, with_example: bool = True, store: str = ""
) -> xarray.Dataset:
    """The study's Dataset.

    Args:
        config: conditions and seeds.
        progress: called with runs finished and runs in all.
        with_example: also look closely at one seed of the published text, for the figures.
        store: a folder in which an interrupted study continues.

    Returns:
        ``VARIABLES`` over condition and seed; the curves over record too, NaN after the end of training; what a step
        costs, by model; with ``config.tables``, ``table_...`` over table_row. With ``config.text``,
        ``attrs["text"]`` says what text it was.
    """
    conditions = config.conditions()
    groups = design.by_program(conditions)
    bench = diagnosing.combinations(config.every) if "diagnosis" in config.groups and config.text is None else []
    proposals = len(ideas.PARTS) if "ideas" in config.groups and config.text is None else 0
    total, start = len(conditions) * config.seeds + len(bench) + proposals, time.perf_counter()
    if config.tables:
        total += tables.num_runs(seeds=config.seeds)
    done, parts, seconds = 0, [], {}
    for number, (program, members) in enumerate(groups.items()):

        def show(finished: int, _: int, before: int = done) -> None:
            if progress is not None:
                progress(before + finished, total)

        began = time.perf_counter()
        part = run_program(
            program,
            members,
            seeds=config.seeds,
            key=config.key,
            progress=show,
            store=f"{store}/{number:03d}" if store else None,
        )
        for one in members:
            seconds[one.name] = (time.perf_counter() - began) / len(members)
        done += len(members) * config.seeds
        parts.append(part)
    dataset = xarray.Dataset()
    if conditions:
        dataset = _with_costs(joined(parts, conditions)).assign(
            seconds=("condition", [seconds[one.name] for one in conditions])
        )
    if conditions and with_example and config.text is None:  # the close look is at the published text
        dataset = dataset.merge(examples(config.key))
    # The bench, the ideas and the tables take a time of their own, told beside them.
    dataset = dataset.assign_attrs(simulation_seconds=time.perf_counter() - start)
    if config.text is not None:
        dataset = dataset.assign_attrs(text=config.described_text())

    def further(made: int, _: int) -> None:
        if progress is not None:
            progress(done + made, total)

    if bench:
        began = time.perf_counter()
        place = f"{store}/diagnosis" if store else ""
        dataset = dataset.merge(diagnosing.run(bench, key=config.key, store=place, progress=further))
        dataset = dataset.assign_attrs(diagnosis_seconds=time.perf_counter() - began)
        done += len(bench)
    if proposals:
        began = time.perf_counter()
        run = ideas.Run(IDEA_SEEDS * config.seeds, config.key, f"{store}/ideas" if store else "")
        dataset = dataset.merge(ideas.measure(run, further)).assign_attrs(ideas_seconds=time.perf_counter() - began)
        done += proposals
    if config.tables:
        dataset = _with_tables(dataset, config, further, store)
    return dataset


def _with_tables(
    dataset: xarray.Dataset, config: Config, progress: Callable[[int, int], None] | None = None, store: str = ""
) -> xarray.Dataset:
    start = time.perf_counter()
    place = f"{store}/tables" if store else None
    frame = tables.run_tables(seeds=config.seeds, key=config.key, store=place, progress=progress)
    return dataset.merge(tables.as_dataset(frame)).assign_attrs(tables_seconds=time.perf_counter() - start)


def _with_costs(dataset: xarray.Dataset) -> xarray.Dataset:
    records = costs()
    names = [name for name in records[0] if name not in ("model", "beside")]
    columns = {f"cost_{name.replace(' ', '_')}": ("model", [record[name] for record in records]) for name in names}
    beside = {"cost_beside": ("model", [record["beside"] for record in records])}
    return dataset.assign({**columns, **beside}).assign_coords(model=[record["model"] for record in records])
