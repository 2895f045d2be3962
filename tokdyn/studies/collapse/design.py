"""Regimes and remedies."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

from tokdyn import checks
from tokdyn.studies.overprovision.families import BUILT_ON, HELD_BACK, PUBLISHED, Family


class Regime(NamedTuple):
    """Scenes, tokens and a temperature.

    Attributes:
        family: of scenes.
        num_tokens: K.
        temperature: of the softmax, squared units of the features.
    """

    family: Family
    num_tokens: int = 4
    temperature: float = 1.0

    @property
    def title(self) -> str:
        """In words."""
        return f"{self.family.title}; {self.num_tokens} tokens, T = {self.temperature:g}"


class Remedy(NamedTuple):
    """What is done against collapse; all of them are numbers of one program.

    Attributes:
        title: in words.
        momentum: of inertia.
        strength: of repulsion.
        start: 0 random features, 1 k-means++, 2 farthest-first traversal.
        heat: first temperature over the critical one of all features; 0 for no annealing.
        first: first temperature in squared units of the features; 0 for none.
        cooling: steps of annealing.
    """

    title: str
    momentum: float = 0.0
    strength: float = 0.0
    start: int = 0
    heat: float = 0.0
    first: float = 0.0
    cooling: int = 0


REMEDIES = {
    "baseline": Remedy("nothing"),
    "inertia": Remedy("inertia 0.5", momentum=0.5),
    "repulsion": Remedy("repulsion 0.05", strength=0.05),
    "both": Remedy("inertia and repulsion", momentum=0.5, strength=0.05),
    "kmeans_plus_plus": Remedy("k-means++ start", start=1),
    "farthest_point": Remedy("farthest-first start", start=2),
    "annealing": Remedy("annealing from 60", first=60.0, cooling=20),
    "annealing_scaled": Remedy("annealing from 1.2 critical", heat=1.2, cooling=20),
}
_FOUR = PUBLISHED["study_4_0.6"]
STUDY_REGIMES = {name: Regime(family) for name, family in PUBLISHED.items()}
OTHERS = {
    "temperature_0.1": Regime(_FOUR, temperature=0.1),
    "temperature_10": Regime(_FOUR, temperature=10.0),
    "temperature_30": Regime(_FOUR, temperature=30.0),
    "temperature_60": Regime(_FOUR, temperature=60.0),
    "overlap": Regime(BUILT_ON["overlap"]),
    "much_overlap": Regime(BUILT_ON["overlap"]._replace(title="clusters that overlap much", spread=1.0)),
    "anisotropic": Regime(HELD_BACK["anisotropic"]),
    "imbalanced": Regime(BUILT_ON["imbalanced"]),
    "background": Regime(BUILT_ON["background"]),
    "heavy_tails": Regime(HELD_BACK["heavy_tails"]),
    "few_tokens": Regime(HELD_BACK["twelve"]),
    "moons": Regime(HELD_BACK["moons"]),
    "rings": Regime(HELD_BACK["rings"]),
}
SURPLUS = {
    "surplus": Regime(_FOUR, 16),
    "surplus_tight": Regime(PUBLISHED["study_4_0.3"], 16),
    "nested": Regime(HELD_BACK["nested"], 16),
    "nested_cold": Regime(HELD_BACK["nested"], 16, 0.1),
}
WIDE = {
    "dimensions_64": Regime(HELD_BACK["high_dimension"]),
    "dimensions_64_tight": Regime(HELD_BACK["high_dimension"]._replace(title="64 dimensions, tight", noise=0.3)),
}
# Regimes of one shape share one program: features, dimensions and tokens.
GROUPS = {"study": STUDY_REGIMES, "others": OTHERS, "surplus": SURPLUS, "wide": WIDE}
REGIMES = {name: regime for group in GROUPS.values() for name, regime in group.items()}


@dataclasses.dataclass(frozen=True)
class Config:
    """What is run; the defaults are 102,400 runs."""

    seeds: int = 1000
    """Scenes and starts of each of the nine published conditions."""
    other_seeds: int = 200
    """Scenes and starts of each of the other regimes."""
    study_steps: int = 30
    """Largest number of steps in the published conditions, as published."""
    max_steps: int = 100
    """Largest number of steps elsewhere."""
    tol: float = 1e-3
    """A run ends once no token moves farther than this in a step."""
    key: int = 0
    """Seed of the JAX random key."""

    def quick(self) -> Config:
        """Ten seeds."""
        return dataclasses.replace(self, seeds=min(self.seeds, 10), other_seeds=min(self.other_seeds, 10))

    def checked(self) -> Config:
        """This design, if it can be run.

        Raises:
            ValueError: naming the field.
        """
        for name in ("seeds", "other_seeds"):
            checks.whole_number(name, getattr(self, name), at_least=2)
        for name in ("study_steps", "max_steps"):
            checks.whole_number(name, getattr(self, name), at_least=1)
        checks.hyperparameter("tol", self.tol, at_least=0.0)
        checks.whole_number("key", self.key, at_least=0)
        return self
