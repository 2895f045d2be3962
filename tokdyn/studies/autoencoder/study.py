"""The whole study: every condition on every seed, what a step costs, and a close look at one seed."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable

import xarray

from tokdyn import checks
from tokdyn.studies.autoencoder import design, tables
from tokdyn.studies.autoencoder.costs import costs
from tokdyn.studies.autoencoder.design import Condition
from tokdyn.studies.autoencoder.examples import examples
from tokdyn.studies.autoencoder.experiment import corpus_of, joined, name_of_text, run_program


@dataclasses.dataclass(frozen=True)
class Config:
    """Which conditions, how many seeds; the default is 55 conditions x 12 seeds."""

    seeds: int = 12
    """Number of trainings per condition; seed s has the same initial weights, batches and noise in every condition."""
    groups: tuple[str, ...] = ("factorial", "phases", "extreme", "sizes")
    """Which parts of the study to run: factorial, phases, extreme, sizes."""
    full: bool = False
    """Run the whole factorial over bottlenecks, decoders and grids. It takes hours: use ``--store``."""
    tables: bool = False
    """Also run Tables A to F of the earlier prototype: 87 cells with 2 to 5 seeds each, but no more than ``seeds``."""
    text: str | None = None
    """Path of a text of your own, plain UTF-8 with a sentence a line: the conditions of the large published text run on
    it, those of other sizes are left out, and no published number is judged."""
    key: int = 0
    """Seed of the JAX random key."""

    def checked(self) -> Config:
        """This design, if it can be run.

        Raises:
            ValueError: naming the field.
        """
        checks.whole_number("seeds", self.seeds, at_least=1)
        for group in self.groups:
            checks.choice("groups", group, ("factorial", "phases", "extreme", "sizes"))
        if not self.groups:
            raise checks.bad("groups", "at least one part of the study", "none")
        if self.text is not None:
            if self.tables:
                raise checks.bad("tables", "False beside a text of your own (they are of published texts)", self.tables)
            name_of_text(self.text)
        return self

    def conditions(self) -> list[Condition]:
        """What is run."""
        made = design.full() if self.full else design.default()
        chosen = [one for one in made if one.group in (*self.groups, "full")]
        if self.text is None:
            return chosen
        name = name_of_text(self.text)
        text = corpus_of(name)
        return design.on_text(chosen, name, vocabulary_size=text.vocabulary_size, num_tokens=len(text.train))

    def described_text(self) -> str | None:
        """The user's text in words, for the report; None where the published ones are used."""
        if self.text is None:
            return None
        text = corpus_of(name_of_text(self.text))
        train, validation = len(text.train_sentences), len(text.validation_sentences)
        return (
            f"{self.text}: {train:,} sentences of {len(text.train):,} words, {len(text.types):,} of them different, "
            f"for training; {validation:,} sentences of {len(text.validation):,} words, {text.unknown_share:.1%} of "
            "them unknown, for validation"
        )


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
    total, start = len(conditions) * config.seeds, time.perf_counter()
    if config.tables:
        total += tables.num_runs(seeds=config.seeds)
    done, parts, seconds = 0, [], {}
    for number, (program, members) in enumerate(groups.items()):

        def show(finished: int, _: int, before: int = done) -> None:
            if progress is not None:
                progress(before + finished, total)

        began = time.perf_counter()
        part = run_program(
            program, members, seeds=config.seeds, key=config.key, progress=show,
            store=f"{store}/{number:03d}" if store else None,
        )  # fmt: skip
        for one in members:
            seconds[one.name] = (time.perf_counter() - began) / len(members)
        done += len(members) * config.seeds
        parts.append(part)
    dataset = _with_costs(joined(parts, conditions)).assign(
        seconds=("condition", [seconds[one.name] for one in conditions])
    )
    if with_example and config.text is None:  # the close look is at the published text
        dataset = dataset.merge(examples(config.key))
    # The tables take a time of their own, told beside them.
    dataset = dataset.assign_attrs(simulation_seconds=time.perf_counter() - start)
    if config.text is not None:
        dataset = dataset.assign_attrs(text=config.described_text())
    if config.tables:
        dataset = _with_tables(dataset, config, lambda made, _: progress and progress(done + made, total), store)
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
