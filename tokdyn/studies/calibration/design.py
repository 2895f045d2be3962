"""Which reasoners are trained how often, and at which level diagnostics are judged."""

from __future__ import annotations

import dataclasses

from tokdyn import checks
from tokdyn.reasoning.audit.reasoners import DIALS, LOAD_BEARING, NULL

SCALE = "small"
BASE = "direct, two modes"  # of the marker-driven reasoner's gain
# Trainings of a program that is compiled once; what a cut-off run loses at most.
BLOCK = 10


@dataclasses.dataclass(frozen=True)
class Config:
    """How many reasoners of known truth, on how many items, at which level."""

    references: tuple[str, ...] = (*LOAD_BEARING, *NULL)
    """Reference reasoners in their small scale; at least one load-bearing and one null."""
    seeds: int = 20
    """Number of trainings of each load-bearing reasoner."""
    null_factor: int = 3
    """How many times as many trainings each null reasoner gets."""
    num_steps: int = 800
    """Training steps; a multiple of 20."""
    num_items: int = 200
    """Fresh items that each reasoner is judged on."""
    dials: tuple[float, ...] = DIALS
    """Dials: shares of items whose answer goes through the slots."""
    alpha: float = 0.05
    """A p-value up to alpha is an alarm; scores alarm above the threshold that this share of null reasoners exceeds."""
    key: int = 0
    """Seed of the JAX random key."""

    def quick(self) -> Config:
        """A small design, to see that everything works: one load-bearing reasoner and one null one."""
        chosen = [next(name for name in self.references if name in some) for some in (LOAD_BEARING, NULL)]
        return dataclasses.replace(
            self, references=tuple(chosen), seeds=2, null_factor=1, num_steps=min(self.num_steps, 100),
            num_items=min(self.num_items, 48),
        )  # fmt: skip

    def checked(self) -> Config:
        """This design, if it can be run.

        Raises:
            ValueError: naming the field.
        """
        names = (*LOAD_BEARING, *NULL)
        if len(set(self.references)) != len(self.references):
            raise checks.bad("references", "each name once", self.references)
        for name in self.references:
            checks.choice("references", name, names)
        for some, kind in ((LOAD_BEARING, "load-bearing"), (NULL, "null")):
            if not set(some) & set(self.references):
                raise checks.bad("references", f"at least one {kind} one of {', '.join(some)}", self.references)
        checks.whole_number("seeds", self.seeds, at_least=2)
        checks.whole_number("null_factor", self.null_factor, at_least=1)
        checks.whole_number("num_steps", self.num_steps, at_least=20)
        if self.num_steps % 20:
            raise checks.bad("num_steps", "a multiple of 20", self.num_steps)
        checks.whole_number("num_items", self.num_items, at_least=24)
        checks.whole_number("key", self.key, at_least=0, at_most=2**63 - 1)
        checks.hyperparameter("alpha", self.alpha, above=0.0, below=1.0)
        if not all(0 <= dial <= 1 for dial in self.dials):
            raise checks.bad("dials", "shares from 0 to 1", self.dials)
        return self

    def trainings(self, name: str) -> int:
        """How often a reference is trained; the base as often as what it is the base of."""
        return self.seeds * (self.null_factor if name in (*NULL, BASE) else 1)

    @property
    def trained(self) -> tuple[str, ...]:
        """All references that are trained: those that are judged, and the base of the marker-driven one's gain."""
        return (*self.references, *((BASE,) if "marker" in self.references else ()))
