"""The design: every published fault as a named switch, alone, in pairs, and all but one; and which of them are run."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable
from typing import Any

from tokdyn import checks
from tokdyn.autoencoder.encoders.table import INITIALISATIONS
from tokdyn.studies.autoencoder.texts import corpus_of, name_of_text

# What a healthy training has; every condition changes some of it. All of them are traced.
HEALTHY: dict[str, float] = {
    "learning_rate": 1e-3,
    "double_softmax": 0.0,
    "decoder_gain": 2.0**0.5,
    "skew": 1.0,
    "centred": 0.0,
    **INITIALISATIONS["unit"],
}
# The published decoders keep PyTorch's weights, uniform up to 1 / sqrt(in): Xavier's of this gain in a square layer.
UNTOUCHED = 3.0**-0.5
# The faults that are numbers, each a switch, in the words of the figures.
FAULTS: dict[str, dict[str, float]] = {
    "double softmax": {"double_softmax": 1.0},
    "published start": {**INITIALISATIONS["published"], "decoder_gain": UNTOUCHED},
    "low rate": {"learning_rate": 5e-5},
}
BOTTLENECKS = ("categorical", "gumbel", "sigmoid")
# Cells and colours of the published grids.
GRIDS = {"3x3x2": (3, 2), "5x5x3": (5, 3), "7x7x3": (7, 3), "8x8x5": (8, 5)}


@dataclasses.dataclass(frozen=True)
class Program:
    """What chooses the compiled program of a condition.

    Attributes:
        words: ``"small"`` (51) and ``"large"`` (192) have the published shape; a number of types makes a Zipf corpus;
            what ``texts.name_of_text`` returns is a text of the user's.
        grid: one of ``GRIDS``.
        bottleneck: ``"categorical"``, ``"gumbel"``, ``"sigmoid"`` or ``"straight_through"``.
        decoder: ``"dense"``, ``"linear"``, ``"convolutional"``, ``"hybrid"`` or ``"extreme"``.
        dropout: of the decoder, where it has any.
        sensitivity: add the published penalty.
        batch: ``"draws"`` from the words' frequencies, or ``"epochs"`` over the text.
        batch_size: tokens of a step.
        num_steps: of training.
        record_every: steps between records.
        rounds: of Reptile before training, which learn its start from other texts of the same words; 0 for none.
    """

    words: str = "large"
    grid: str = "8x8x5"
    bottleneck: str = "sigmoid"
    decoder: str = "dense"
    dropout: float = 0.0
    sensitivity: bool = False
    batch: str = "draws"
    batch_size: int = 128
    num_steps: int = 200
    record_every: int = 20
    rounds: int = 0


@dataclasses.dataclass(frozen=True)
class Condition:
    """One cell of the study.

    Attributes:
        name: unique, as in tables and figures.
        group: which part of the study it belongs to.
        program: its static choices.
        numbers: its traced ones, by the names of ``HEALTHY``.
        faults: names of the switches that are on.
    """

    name: str
    group: str
    program: Program
    numbers: tuple[tuple[str, float], ...]
    faults: tuple[str, ...]

    def __getitem__(self, name: str) -> float:
        return dict(self.numbers)[name]


def condition(*faults: str, name: str | None = None, group: str = "own", **changes: Any) -> Condition:
    """A condition from named faults and changes: the collapse gallery's one entry.

    Args:
        *faults: names in ``FAULTS``; ``"no gradient"`` is the bottleneck ``"categorical"``.
        name: by default made of the changes.
        group: which part of the study it belongs to.
        **changes: fields of ``Program``, or numbers of ``HEALTHY``.

    Returns:
        A ``Condition``.

    Raises:
        ValueError: an unknown fault or change.

    Example:
        >>> from tokdyn.studies.autoencoder import condition
        >>> condition("double softmax", bottleneck="gumbel").name
        'gumbel, double softmax'
    """
    fields = {field.name for field in dataclasses.fields(Program)}
    for fault in faults:
        checks.choice("fault", fault, tuple(FAULTS))
    for change in changes:
        checks.choice("change", change, tuple(sorted(fields | set(HEALTHY))))
    program = Program(**{field: value for field, value in changes.items() if field in fields})
    numbers = dict(HEALTHY)
    for fault in faults:
        numbers |= FAULTS[fault]
    numbers |= {number: float(value) for number, value in changes.items() if number in HEALTHY}
    shown = [str(value) for field, value in changes.items() if field in ("bottleneck", "decoder", "grid")]
    label = ", ".join([*shown, *(faults or ("repaired",))])
    return Condition(name or label, group, program, tuple(numbers.items()), faults)


def factorial(bottlenecks: Iterable[str] = BOTTLENECKS, **changes: Any) -> list[Condition]:
    """Every combination of the faults, for every bottleneck: single faults, pairs, and all but one repaired.

    Args:
        bottlenecks: names.
        **changes: as in ``condition``, the same for all.

    Returns:
        Eight conditions for each bottleneck.
    """
    made = []
    for bottleneck in bottlenecks:
        for switches in itertools.product((False, True), repeat=len(FAULTS)):
            faults = tuple(fault for fault, on in zip(FAULTS, switches, strict=True) if on)
            made.append(condition(*faults, group="factorial", bottleneck=bottleneck, **changes))
    return made


def phases() -> list[Condition]:
    """The published notebook's seven phases, each as it was and with one thing repaired.

    The first three share a 5 x 5 grid with three colours, Xavier weights and a double softmax; dropout is 0.2. The
    fifth, sigmoid patterns at 8 x 8 x 5, is in the factorial.
    """
    first: dict[str, Any] = {"group": "phases", "grid": "5x5x3", "decoder": "convolutional", "dropout": 0.2}
    both = ("double softmax", "published start")
    made = [
        condition(*both, name="1 sampled, CNN", bottleneck="categorical", **first),
        condition("published start", name="1 sampled, CNN, loss repaired", bottleneck="categorical", **first),
        condition("double softmax", name="1 sampled, CNN, start repaired", bottleneck="categorical", **first),
        condition(name="1 sampled, CNN, both repaired", bottleneck="categorical", **first),
        condition(*both, name="2 Gumbel, CNN", bottleneck="gumbel", **first),
        condition(name="2 Gumbel, CNN, both repaired", bottleneck="gumbel", **first),
    ]
    dense: dict[str, Any] = {**first, "decoder": "dense", "bottleneck": "gumbel"}
    made += [
        condition(*both, name="3 Gumbel, dense", **dense),
        condition("published start", name="3 Gumbel, dense, loss repaired", **dense),
        condition("double softmax", name="3 Gumbel, dense, start repaired", **dense),
        condition(name="3 Gumbel, dense, both repaired", **dense),
    ]
    large: dict[str, Any] = {"group": "phases"}
    start: dict[str, Any] = dict(FAULTS["published start"])
    made += [
        condition(*both, name="4 sigmoid, 7x7x3", grid="7x7x3", **large),
        condition(
            "double softmax", name="5 sigmoid, forced dependence", decoder="hybrid", grid="5x5x3", **large, **start
        ),
        condition(*both, name="6 sigmoid, sensitivity penalty", sensitivity=True, **large),
        condition("published start", name="6 penalty, loss repaired", sensitivity=True, **large),
    ]
    return made


def extreme() -> list[Condition]:
    """Phase 7: the extreme decoder, whose published curve is that of a learning rate of 5e-5."""
    start: dict[str, Any] = {
        **INITIALISATIONS["published_last"],
        "group": "extreme",
        "decoder": "extreme",
        "batch": "epochs",
    }
    large = [
        condition(name=f"7 extreme, rate {rate:g}", batch_size=120, learning_rate=rate, **start)
        for rate in (5e-5, 1e-3)
    ]
    small = [
        condition(name=f"7 extreme, 51 words, rate {rate:g}", words="small", grid="7x7x3", batch_size=69, num_steps=25,
                  record_every=5, learning_rate=rate, **start)
        for rate in (3e-4, 1e-3)
    ]  # fmt: skip
    return large + small


def sizes() -> list[Condition]:
    """The vocabulary: as published and repaired, for 5, 51, 192 and 1,000 words; and equally frequent words."""
    both = ("double softmax", "published start")
    made = []
    for words, grid in (("small", "7x7x3"), ("1000", "8x8x5")):
        size: dict[str, Any] = {"words": words, "grid": grid, "group": "sizes"}
        size["batch_size"] = 69 if words == "small" else 256
        label = "51 words" if words == "small" else "1,000 words"
        for bottleneck in ("sigmoid", "gumbel"):
            made.append(condition(*both, name=f"{label}, {bottleneck}", bottleneck=bottleneck, **size))
            done = {**size, "skew": 0.0, "learning_rate": 3e-3}
            made.append(condition(name=f"{label}, {bottleneck}, repaired", bottleneck=bottleneck, **done))
    repaired: dict[str, Any] = {"group": "sizes", "skew": 0.0, "learning_rate": 3e-3, "bottleneck": "straight_through"}
    made.append(condition(name="192 words, straight-through, repaired", **repaired))
    made.append(condition(name="1,000 words, straight-through, repaired", words="1000", batch_size=256, **repaired))
    for bottleneck in BOTTLENECKS:
        name = f"192 words, {bottleneck}, equally frequent"
        made.append(condition(*both, name=name, bottleneck=bottleneck, group="sizes", skew=0.0))
    # What the notebook asks for before anything else, and did not try.
    least: dict[str, Any] = {"words": "5", "grid": "3x3x2", "bottleneck": "gumbel", "group": "sizes"}
    made.append(condition(*both, name="5 words, 3x3 binary", **least))
    made.append(condition(name="5 words, 3x3 binary, repaired", **least))
    return made


# Reptile's rounds, texts of a round and steps on a text: 1,600 steps before the 200 of training.
ROUNDS, TEXTS, STEPS_ON_TEXT = 20, 4, 20


def starts() -> list[Condition]:
    """Can a learned start stand in for a repaired one? Reptile, and as many steps of plain training."""
    made = []
    for kind in ("published", "repaired"):
        faults = ("published start",) if kind == "published" else ()
        usual: dict[str, Any] = {"group": "starts", "bottleneck": "sigmoid"}
        made.append(condition(*faults, name=f"{kind} start, 200 steps", **usual))
        made.append(condition(*faults, name=f"{kind} start, learned, then 200 steps", rounds=ROUNDS, **usual))
        steps = 200 + ROUNDS * TEXTS * STEPS_ON_TEXT
        made.append(condition(*faults, name=f"{kind} start, {steps:,} steps", num_steps=steps, **usual))
    return made


def default() -> list[Condition]:
    """The study's conditions: at most 60."""
    return [*factorial(), *phases(), *extreme(), *sizes()]


def full() -> list[Condition]:
    """The whole factorial over bottleneck, decoder, grid, loss, start and rate: hours."""
    made = default()
    names = {one.name for one in made}
    for decoder in ("dense", "linear", "convolutional", "hybrid", "extreme"):
        for grid in GRIDS:
            for one in factorial((*BOTTLENECKS, "straight_through"), decoder=decoder, grid=grid):
                if one.name not in names:
                    made.append(dataclasses.replace(one, group="full"))
    return made


def on_text(conditions: Iterable[Condition], name: str, *, vocabulary_size: int, num_tokens: int) -> list[Condition]:
    """The conditions of the large published text, on another one; those of other sizes are left out.

    Args:
        conditions: of this design.
        name: of the text, for ``Program.words``.
        vocabulary_size: of that text, which stands in the names in place of 192.
        num_tokens: of its training part: a batch of an epoch over it is at most as large.

    Returns:
        Conditions, in the same order.
    """
    made = []
    for one in conditions:
        if one.program.words == "large":
            size = one.program.batch_size
            size = min(size, num_tokens) if one.program.batch == "epochs" else size
            program = dataclasses.replace(one.program, words=name, batch_size=size)
            renamed = one.name.replace("192 words", f"{vocabulary_size:,} words")
            made.append(dataclasses.replace(one, name=renamed, program=program))
    return made


def by_program(conditions: Iterable[Condition]) -> dict[Program, list[Condition]]:
    """Conditions that share one compiled program."""
    groups: dict[Program, list[Condition]] = {}
    for one in conditions:
        groups.setdefault(one.program, []).append(one)
    return groups


@dataclasses.dataclass(frozen=True)
class Config:
    """Which conditions, how many seeds; the default is 57 conditions x 12 seeds."""

    seeds: int = 12
    """Number of trainings per condition; seed s has the same initial weights, batches and noise in every condition."""
    groups: tuple[str, ...] = ("factorial", "phases", "extreme", "sizes", "diagnosis", "ideas")
    """Which parts of the study to run: factorial, phases, extreme, sizes, diagnosis (the held-out bench of
    ``ae.diagnose``: 923 small models), ideas (what the notebook proposed and did not try; twice as many seeds); starts
    (learned by Reptile) on request."""
    full: bool = False
    """Run the whole factorial over bottlenecks, decoders and grids. It takes hours: use ``--store``."""
    tables: bool = False
    """Also run Tables A to F of the earlier prototype: 87 cells with 2 to 5 seeds each, but no more than ``seeds``."""
    text: str | None = None
    """Path of a text of your own, plain UTF-8 with a sentence a line: the conditions of the large published text run on
    it, those of other sizes are left out, and no published number is judged."""
    every: int = 1
    """Of the bench of the diagnosis, only each so-manyth model."""
    key: int = 0
    """Seed of the JAX random key."""

    def quick(self) -> Config:
        """A small design, to see that everything works: the notebook's phases, where they are asked for."""
        groups = ("phases",) if "phases" in self.groups else self.groups[:1]
        return dataclasses.replace(
            self, groups=groups, full=False, tables=False, seeds=min(self.seeds, 2), every=max(self.every, 20)
        )

    def checked(self) -> Config:
        """This design, if it can be run.

        Raises:
            ValueError: naming the field.
        """
        checks.whole_number("seeds", self.seeds, at_least=1)
        for group in self.groups:
            checks.choice("groups", group, (*Config.groups, "starts"))
        checks.whole_number("every", self.every, at_least=1)
        if not self.groups:
            raise checks.bad("groups", "at least one part of the study", "none")
        if self.text is not None:
            if set(self.groups) <= {"diagnosis", "ideas"}:
                raise checks.bad("groups", "a part that uses your text (diagnosis and ideas do not)", "none")
            if self.tables:
                raise checks.bad("tables", "False beside a text of your own (they are of published texts)", self.tables)
            name_of_text(self.text)
        return self

    def conditions(self) -> list[Condition]:
        """What is run."""
        made = [*(full() if self.full else default()), *starts()]
        chosen = [one for one in made if one.group in (*self.groups, "full")]
        if self.text is None:
            return chosen
        name = name_of_text(self.text)
        text = corpus_of(name)
        return on_text(chosen, name, vocabulary_size=text.vocabulary_size, num_tokens=len(text.train))

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
