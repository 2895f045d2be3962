"""Which words, models, maps and dimensions; what was published."""

from __future__ import annotations

import dataclasses

from tokdyn import checks, geometry
from tokdyn.geometry.projection import Loss
from tokdyn.studies import meanings
from tokdyn.studies.skeleton import at_most

WORDS = tuple(word for members in geometry.PUBLISHED_CATEGORIES.values() for word in members)  # 36
NEAR = 5
SIDE, RATE, STEPS, CLIP, ENOUGH = 32, 1e-3, 200, 1.0, 0.95
# The published model, and with a pull that also pushes.
PUBLISHED, REPAIRED = MODELS = ("published", "contrastive")
SETTINGS = {PUBLISHED: ("attraction", "products"), REPAIRED: ("contrastive", "differences")}
# The pull alone, of words to places and no further: one change at a time.
ALONE = ("attraction, products", "attraction, differences", "contrastive, products", "contrastive, differences")
# Pairs that were composed; "fast car" is skipped, as "fast" is not among the words.
PAIRS = (("big", "cat"), ("red", "car"), ("happy", "dog"), ("small", "bird"), ("blue", "house"))
# Pairs whose midpoints were looked up in the plane of UMAP; again without "fast car".
MIDPOINTS = (("big", "cat"), ("small", "dog"), ("red", "car"), ("happy", "cat"), ("green", "tree"))
TOP = 5
# Maps of the same 36 words by one network, that differ in the loss alone; and no training at all.
LOSSES: tuple[Loss, ...] = ("attraction", "umap", "contrastive")
BASELINES = ("principal components", "random")
MAPS = (*(f"network, {loss}" for loss in LOSSES), *BASELINES)
# Which dimension is enough?
DIMENSIONS = (2, 3, 4, 8, 16, 32, 64)
SOURCES = (*meanings.SOURCES, "published words", "categories")
HELD_OUT, HELD_OUT_PUBLISHED = 38, 6
SWEEP_STEPS = 200  # as good as the usual 500 here, which a test checks
# The rule, fixed before the run: the smallest dimension whose overlap is at most this much below the largest one's, in
# the mean over seeds.
SHORT = 0.05
# Standard deviation of places to which every map is shrunk: where the published model ends.
SHRUNK = 1e-6


@dataclasses.dataclass(frozen=True)
class Config:
    """The design."""

    seeds: int = 5
    """Trainings of the whole model in each condition."""
    pull_seeds: int = 20
    """Trainings with the pull alone."""
    map_seeds: int = 10
    """Maps of the 36 words with each loss."""
    sweep_seeds: int = 5
    """Maps in each dimension, each with its own held-out rows."""
    num_steps: int = STEPS
    """Steps of the whole model at most; it stops where 95 % of the words are right, as published."""
    key: int = 0
    """Seed of the JAX random key."""

    def quick(self) -> Config:
        """A small design, to see that everything works."""
        return at_most(self, seeds=2, pull_seeds=3, map_seeds=2, sweep_seeds=2, num_steps=20)

    def checked(self) -> Config:
        """This design, if it can be run.

        Raises:
            ValueError: naming the field.
        """
        checks.whole_number("seeds", self.seeds, at_least=2)
        checks.whole_number("pull_seeds", self.pull_seeds, at_least=2)
        checks.whole_number("map_seeds", self.map_seeds, at_least=2)
        checks.whole_number("sweep_seeds", self.sweep_seeds, at_least=2)
        checks.whole_number("num_steps", self.num_steps, at_least=1)
        checks.whole_number("key", self.key, at_least=0)
        return self
