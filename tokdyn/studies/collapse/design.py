"""Regimes and remedies."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

from tokdyn import checks
from tokdyn.studies.overprovision.families import BUILT_ON, HELD_BACK, PUBLISHED, Family
from tokdyn.studies.skeleton import at_most


class Regime(NamedTuple):
    """Scenes, tokens and a temperature.

    Attributes:
        family: of scenes.
        num_tokens: K.
        temperature: of the softmax, squared units of the features.
        start: where tokens begin without a remedy: "features", random ones; "near", 0.1 around the mean of all; "far",
            normal around it with twice the features' standard deviation.
    """

    family: Family
    num_tokens: int = 4
    temperature: float = 1.0
    start: str = "features"

    @property
    def title(self) -> str:
        """In words."""
        begun = "" if self.start == "features" else f", {self.start} starts"
        return f"{self.family.title}; {self.num_tokens} tokens, T = {self.temperature:g}{begun}"


class Remedy(NamedTuple):
    """What is done against collapse; but for the balanced assignment, all of them are numbers of one program.

    Attributes:
        title: in words.
        momentum: of inertia.
        strength: of repulsion.
        scaled: of repulsion, in units of half the cube of half the clusters' radius, which only an oracle knows.
        rate: share of the way that tokens go in a step.
        start: 0 the regime's, 1 k-means++, 2 farthest-first traversal.
        heat: first temperature over the critical one of all features; 0 for no annealing.
        first: first temperature in squared units of the features; 0 for none.
        cooling: steps of annealing.
        balanced: whether every token gets an equal share of the features, by optimal transport.
    """

    title: str
    momentum: float = 0.0
    strength: float = 0.0
    scaled: float = 0.0
    rate: float = 1.0
    start: int = 0
    heat: float = 0.0
    first: float = 0.0
    cooling: int = 0
    balanced: bool = False


REMEDIES = {
    "baseline": Remedy("nothing"),
    "inertia": Remedy("inertia 0.5", momentum=0.5),
    "repulsion": Remedy("repulsion 0.05", strength=0.05),
    "both": Remedy("inertia and repulsion", momentum=0.5, strength=0.05),
    "scaled_repulsion": Remedy("scaled repulsion, rate 0.5", scaled=1.0, rate=0.5),
    "kmeans_plus_plus": Remedy("k-means++ start", start=1),
    "farthest_point": Remedy("farthest-first start", start=2),
    "annealing": Remedy("annealing from 60", first=60.0, cooling=20),
    "annealing_scaled": Remedy("annealing from 1.2 critical", heat=1.2, cooling=20),
    "balanced": Remedy("balanced assignment", balanced=True),
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
    "moons_cold": Regime(HELD_BACK["moons"], temperature=0.1),
    "rings": Regime(HELD_BACK["rings"]),
    "rings_cold": Regime(HELD_BACK["rings"], temperature=0.1),
    "near": Regime(_FOUR, start="near"),
    "far": Regime(_FOUR, start="far"),
}
TWELVE = {"twelve": Regime(HELD_BACK["twelve"], 12)}
SURPLUS = {
    "surplus": Regime(_FOUR, 16),
    "surplus_tight": Regime(PUBLISHED["study_4_0.3"], 16),
    "nested": Regime(HELD_BACK["nested"], 16),
    "nested_cold": Regime(HELD_BACK["nested"], 16, 0.1),
}
_SIXTY_FOUR = HELD_BACK["high_dimension"]
WIDE = {
    "dimensions_64": Regime(_SIXTY_FOUR),
    "dimensions_64_tight": Regime(_SIXTY_FOUR._replace(title="64 dimensions, tight", noise=0.3)),
    "dimensions_64_close": Regime(_SIXTY_FOUR._replace(title="64 dimensions, close together", spread=0.5)),
    "dimensions_64_near": Regime(_SIXTY_FOUR, start="near"),
    "dimensions_64_far": Regime(_SIXTY_FOUR, start="far"),
}
WIDER = {"dimensions_256": Regime(_SIXTY_FOUR._replace(title="256 dimensions", num_dimensions=256))}
_STANDARD = HELD_BACK["digits"]._replace(title="digits, standardised", source="digits_standardised")
DIGITS = {
    "digits": Regime(HELD_BACK["digits"], 10),
    "digits_cold": Regime(HELD_BACK["digits"], 10, 0.3),
    "digits_standardised": Regime(_STANDARD, 10),
    "digits_standardised_hot": Regime(_STANDARD, 10, 10.0),
}
THREE = {name: Regime(HELD_BACK[name], 3) for name in ("wine", "iris")}
TWO = {"cancer": Regime(HELD_BACK["cancer"], 2)}
# Regimes of one shape share one program: features, dimensions and tokens.
GROUPS = {
    "study": STUDY_REGIMES, "others": OTHERS, "twelve": TWELVE, "surplus": SURPLUS, "wide": WIDE, "wider": WIDER,
    "digits": DIGITS, "three": THREE, "two": TWO,
}  # fmt: skip
REGIMES = {name: regime for group in GROUPS.values() for name, regime in group.items()}


@dataclasses.dataclass(frozen=True)
class Config:
    """What is run; the defaults are 160,000 runs."""

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
        return at_most(self, seeds=10, other_seeds=10)

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
