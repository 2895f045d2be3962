"""Which words, targets, codes and channels; what was published."""

from __future__ import annotations

import dataclasses

from tokdyn import checks
from tokdyn.studies.skeleton import at_most

# The published experiment: words, learning rate of Adam, weights of the two further losses.
FIVE = ("cat", "dog", "red", "blue", "big")
PAIRS = (("cat", "dog"), ("red", "blue"), ("cat", "big"), ("dog", "big"))
RATE, ALIGN, GRAM = 0.01, 1.0, 0.1
NONE, RANDOM, IDENTICAL, SEMANTIC = TARGETS = ("none", "random", "identical", "semantic")
# By number of words: the published two, and what "ready to scale" is about. Seeds are a share of the design's.
SIZES = {5: 1.0, 189: 0.2, 1000: 0.05}
STEPS = 5
LONG = 100  # steps after which the five words' features are looked at again

# Codes through a channel, equal in energy. The dial: how much of the structure is whitened away.
DIAL = (0.0, 0.25, 0.5, 0.75, 1.0)
CODES = (*[f"semantic, {dial:g} whitened" for dial in DIAL], "arbitrary")
NUMBERS, BITS = 320, 128  # of a code: the 8 x 8 x 5 pattern of the published model; signs
NOISE = {"gaussian": (2.5, 3.0, 3.5, 4.0, 5.0), "flips": (0.2, 0.25, 0.3, 0.35, 0.4)}
# Named before the run: semantic codes as they are against arbitrary ones, real words, at these two levels.
PRIMARY = (("gaussian", 4.0), ("flips", 0.35))


@dataclasses.dataclass(frozen=True)
class Config:
    """The design."""

    seeds: int = 100
    """Trainings of five words with each target; of 189 a fifth of that, of 1,000 a twentieth."""
    channel_seeds: int = 20
    """Codes of each kind, each with its own noise."""
    draws: int = 10
    """Times that each word is sent."""
    key: int = 0
    """Seed of the JAX random key."""

    def quick(self) -> Config:
        """A small design, to see that everything works."""
        return at_most(self, seeds=20, channel_seeds=3, draws=4)

    def checked(self) -> Config:
        """This design, if it can be run.

        Raises:
            ValueError: naming the field.
        """
        checks.whole_number("seeds", self.seeds, at_least=10)
        checks.whole_number("channel_seeds", self.channel_seeds, at_least=3)
        checks.whole_number("draws", self.draws, at_least=1)
        checks.whole_number("key", self.key, at_least=0)
        return self

    def seeds_of(self, size: int) -> int:
        """Trainings of so many words with each target."""
        return max(3, round(self.seeds * SIZES[size]))
