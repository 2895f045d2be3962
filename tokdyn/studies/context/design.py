"""Which languages, readers and seeds; what is held against what, named before the run."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

from tokdyn import checks
from tokdyn.studies.skeleton import at_most

POLYSEMES, TOPICS, WORDS, MOST_SENSES = 6, 6, 6, 4
DIMENSIONS, SPREAD = 16, 0.5
ALONE, AVERAGE, SIDES, SIMILAR, CONNECTED, REGIONS, TRANSFORMER, ORACLE = READERS = (
    "token alone", "average", "average by side", "connections by similarity", "trained connections",
    "Gaussian regions", "transformer", "oracle",
)  # fmt: skip
# The published categories, and words of the table with several senses: the condition with real vectors.
AMBIGUOUS = ("light", "match", "spring", "bank", "play", "right")


class Condition(NamedTuple):
    """How the sentences of one condition are made.

    Attributes:
        name: in tables and figures.
        senses: of every polyseme.
        skew: frequency of each sense over that of the one before.
        noise: share of words from anywhere.
        ambiguity: share of the others that are polysemes.
        length: of a sentence.
        ordered: whether order decides.
        real: whether vectors are those of real words.
    """

    name: str
    senses: int = 3
    skew: float = 1.0
    noise: float = 0.3
    ambiguity: float = 0.3
    length: int = 6
    ordered: bool = False
    real: bool = False


BASE, ROLES = Condition("base"), Condition("order decides", ordered=True)
CONDITIONS = (
    BASE, ROLES,
    Condition("4 senses", senses=4), Condition("uneven senses", skew=0.4), Condition("3 words", length=3),
    Condition("noise 0.6", noise=0.6), Condition("ambiguity 0.7", ambiguity=0.7), Condition("real words", real=True),
    Condition("order, 10 words", length=10, ordered=True),
)  # fmt: skip
# Primary, named before the run: trained connections minus the token alone, on held-out sentences, in both bases.
PRIMARY = ((BASE.name, CONNECTED, ALONE), (ROLES.name, CONNECTED, ALONE))
SECONDARY = (
    (BASE.name, AVERAGE, ALONE), (BASE.name, CONNECTED, AVERAGE), (BASE.name, REGIONS, AVERAGE),
    (BASE.name, TRANSFORMER, CONNECTED), (BASE.name, ORACLE, CONNECTED),
    (ROLES.name, AVERAGE, ALONE), (ROLES.name, CONNECTED, AVERAGE), (ROLES.name, CONNECTED, SIDES),
    (ROLES.name, TRANSFORMER, CONNECTED), (ROLES.name, ORACLE, CONNECTED),
)  # fmt: skip
SIDES_OF_GRIDS = (8, 32, 128)  # patterns of so many cells squared: of a word, a phrase, a sentence as published
NOISES = (0.0, 1.0, 4.0, 16.0)  # of a pattern, in standard deviations of its cells
EDGES = (1, 2, 4, 8, 16, 32, 64, 128)
USES = (2, 4, 16, 64)


@dataclasses.dataclass(frozen=True)
class Config:
    """The design."""

    seeds: int = 20
    """Languages, each with its own vectors, sentences and trainings."""
    sentences: int = 1024
    """Sentences with known senses to learn from, and as many held out."""
    num_steps: int = 200
    """Steps of Adam for each trained reader, 64 sentences each."""
    triples: int = 32
    """Sentences of subject, verb and object for each seed."""
    key: int = 0
    """Seed of the JAX random key."""

    def quick(self) -> Config:
        """A small design, to see that everything works."""
        return at_most(self, seeds=3, sentences=128, num_steps=20, triples=8)

    def checked(self) -> Config:
        """This design, if it can be run.

        Raises:
            ValueError: naming the field.
        """
        checks.whole_number("seeds", self.seeds, at_least=2)
        checks.whole_number("sentences", self.sentences, at_least=64)
        checks.whole_number("num_steps", self.num_steps, at_least=1)
        checks.whole_number("triples", self.triples, at_least=2)
        checks.whole_number("key", self.key, at_least=0)
        return self
