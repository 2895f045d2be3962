"""What is composed, by which operators, and how it is trained."""

from __future__ import annotations

import dataclasses

from tokdyn import checks
from tokdyn.data.combinations import FACTORS, RELATION_FACTORS

# The published experiment: its concepts, and its pairs, of which two are trained on in our further condition.
CONCEPTS = ("cat", "dog", "big", "small")
PAIRS = ((2, 0), (3, 0), (2, 1), (3, 1))
TRAINED_PAIRS, HELD_OUT_PAIRS = (0, 3), (1, 2)
MODELS = ("visual", "embedding")
COMPOSERS = ("network", "mean", "max", "sum", "halves")
TRAININGS = ("network", "fixed")  # what composes the two pairs that are trained on
FIXED = {"visual": "mean", "embedding": "sum"}
SIDE, CHANNELS, EMBEDDING = 8, 3, 64
MOST_EPOCHS = 300
BATCH = 16

# The world: parts, and the published number of chance.
WORLDS = {"factors": FACTORS, "relations": RELATION_FACTORS}
OPERATORS = (
    "embedding sum", "pattern sum", "pattern mean", "untrained convolution", "convolution", "attention", "binding",
    "roles",
)  # fmt: skip
VISUAL = OPERATORS[1:]
COMMUTATIVE = ("embedding sum", "pattern sum", "pattern mean", "binding")
# What is compared first, and decided before any run: on the held-out combinations of the world of factors.
PRIMARY = ("convolution", "embedding sum")
FRAMES = (2, 4, 8, 16)
FILLERS = 64


@dataclasses.dataclass(frozen=True)
class Config:
    """The design."""

    seeds: int = 100
    """Trainings of each condition, and splits of the world; paired between conditions."""
    pair_steps: int = 300
    """Steps on concepts and two pairs, one item a step, a multiple of 6."""
    num_steps: int = 300
    """Steps in the world, all seen combinations a step."""
    learning_rate: float = 0.01
    """Of Adam, everywhere: the published one."""
    hidden: int = 64
    """Width of the network that reads composed codes."""
    key: int = 0
    """Seed of the random key."""

    def quick(self) -> Config:
        """Four seeds and few steps, to see that everything works."""
        return dataclasses.replace(
            self, seeds=min(self.seeds, 4), pair_steps=min(self.pair_steps, 60), num_steps=min(self.num_steps, 60)
        )

    def checked(self) -> Config:
        """This design, if it can be run.

        Raises:
            ValueError: naming the field.
        """
        checks.whole_number("seeds", self.seeds, at_least=3)
        each = len(CONCEPTS) + len(TRAINED_PAIRS)
        if checks.whole_number("pair_steps", self.pair_steps, at_least=each) % each:
            raise checks.bad("pair_steps", f"a multiple of {each}", self.pair_steps)
        checks.whole_number("num_steps", self.num_steps, at_least=1)
        checks.hyperparameter("learning_rate", self.learning_rate, above=0.0)
        checks.whole_number("hidden", self.hidden, at_least=1)
        checks.whole_number("key", self.key, at_least=0)
        return self
