"""Which reasoners are trained how often, how diagnostics are judged on them, and what was fixed before the run."""

from __future__ import annotations

import dataclasses

from tokdyn import checks
from tokdyn.reasoning.designs import DESIGNS, SIZES, TASKS

# Named before the run: what diagnostics are ranked by, and how the many of them are corrected for.
PRIMARY = "balanced accuracy in the worst of the strata (task x size), on the question whether the answer depends on what the slots' cache holds"  # noqa: E501
CORRECTION = "simultaneous 95 % intervals of how far each diagnostic is behind the best (largest studentised gap)"


@dataclasses.dataclass(frozen=True)
class Config:
    """How many reasoners of known truth, on how many items, at which level."""

    tasks: tuple[str, ...] = tuple(TASKS)
    """What is asked."""
    sizes: tuple[str, ...] = tuple(SIZES)
    """Of the models."""
    designs: tuple[str, ...] = tuple(DESIGNS)
    """How answers come to depend on latents, or not; at least one of either truth."""
    seeds: int = 5
    """Trainings of each design in each stratum."""
    num_steps: int = 1600
    """Training steps; a multiple of 20."""
    num_items: int = 200
    """Fresh items of a run."""
    repetitions: int = 4
    """Runs of each training."""
    truth_items: int = 4000
    """Items that truths are measured on; a multiple of 500."""
    alpha: float = 0.05
    """A p-value up to alpha is an alarm; scores alarm above what this share of other nulls' runs exceeds."""
    key: int = 0
    """Seed of the JAX random key."""

    def quick(self) -> Config:
        """A small design, to see that everything works: one stratum, one design of either truth."""
        chosen = [next((name for name in self.designs if DESIGNS[name].content is truth), None)
                  for truth in (True, False)]  # fmt: skip
        return dataclasses.replace(
            self, tasks=self.tasks[:1], sizes=self.sizes[:1], designs=tuple(name for name in chosen if name),
            seeds=2, num_steps=min(self.num_steps, 100), num_items=min(self.num_items, 48),
            repetitions=min(self.repetitions, 2), truth_items=500,
        )  # fmt: skip

    def checked(self) -> Config:
        """This design, if it can be run.

        Raises:
            ValueError: naming the field.
        """
        for field, names in (("tasks", TASKS), ("sizes", SIZES), ("designs", DESIGNS)):
            given = getattr(self, field)
            if not given or len(set(given)) != len(given):
                raise checks.bad(field, "one or more names, each once", given)
            for name in given:
                checks.choice(field, name, tuple(names))
        for truth, kind in ((True, "load-bearing"), (False, "null")):
            if not any(DESIGNS[name].content is truth for name in self.designs):
                known = ", ".join(name for name, one in DESIGNS.items() if one.content is truth)
                raise checks.bad("designs", f"at least one {kind} one of {known}", self.designs)
        checks.whole_number("seeds", self.seeds, at_least=2)
        for field, unit in (("num_steps", 20), ("truth_items", 500)):
            if checks.whole_number(field, getattr(self, field), at_least=unit) % unit:
                raise checks.bad(field, f"a multiple of {unit}", getattr(self, field))
        checks.whole_number("num_items", self.num_items, at_least=24)
        checks.whole_number("repetitions", self.repetitions, at_least=1)
        checks.whole_number("key", self.key, at_least=0, at_most=2**63 - 1)
        checks.hyperparameter("alpha", self.alpha, above=0.0, below=1.0)
        return self

    @property
    def cells(self) -> tuple[tuple[str, str, str], ...]:
        """Every (task, size, design)."""
        return tuple((task, size, name) for task in self.tasks for size in self.sizes for name in self.designs)
