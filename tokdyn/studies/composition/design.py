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
PUBLISHED_RATE = 0.01  # of Adam

# The world: parts, operators, and their learning rates, of which each operator gets its best.
WORLDS = {"factors": FACTORS, "relations": RELATION_FACTORS}
OPERATORS = (
    "embedding sum", "pattern sum", "pattern mean", "untrained convolution", "convolution", "attention", "binding",
    "roles",
)  # fmt: skip
CONTROLS = ("embedding sum, linear reader", "convolution, linear reader")
VISUAL = OPERATORS[1:]
COMMUTATIVE = ("embedding sum", "pattern sum", "pattern mean", "binding", CONTROLS[0])
# What is compared first, and was decided before any run: on the combinations held out.
PRIMARY = ("convolution", "embedding sum")
RATES = (0.0003, 0.001, 0.003, 0.01)
BATCH = 16
# Frames: how many parts are put into roles, and of how many fillers each is found again.
FRAMES = (2, 4, 8, 16)
FILLERS = 64


@dataclasses.dataclass(frozen=True)
class Config:
    """The design."""

    seeds: int = 100
    """Trainings of each condition, and splits of the world; paired between conditions."""
    tuning_seeds: int = 3
    """Trainings at each learning rate, on other splits than the seeds above."""
    pair_steps: int = 300
    """Steps on concepts and two pairs, one item a step, a multiple of 6."""
    num_steps: int = 240
    """Steps in the world, 16 seen combinations a step."""
    hidden: int = 64
    """Width of the network that reads composed codes."""
    key: int = 0
    """Seed of the random key."""

    def quick(self) -> Config:
        """Four seeds and few steps, to see that everything works."""
        return dataclasses.replace(
            self, seeds=min(self.seeds, 4), tuning_seeds=1, pair_steps=min(self.pair_steps, 60),
            num_steps=min(self.num_steps, 60),
        )  # fmt: skip

    def checked(self) -> Config:
        """This design, if it can be run.

        Raises:
            ValueError: naming the field.
        """
        checks.whole_number("seeds", self.seeds, at_least=3)
        checks.whole_number("tuning_seeds", self.tuning_seeds, at_least=1)
        each = len(CONCEPTS) + len(TRAINED_PAIRS)
        if checks.whole_number("pair_steps", self.pair_steps, at_least=each) % each:
            raise checks.bad("pair_steps", f"a multiple of {each}", self.pair_steps)
        checks.whole_number("num_steps", self.num_steps, at_least=1)
        checks.whole_number("hidden", self.hidden, at_least=1)
        checks.whole_number("key", self.key, at_least=0)
        return self
