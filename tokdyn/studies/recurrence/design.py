"""Which recurrences are looked at, and for how long."""

from __future__ import annotations

import dataclasses

from tokdyn import checks
from tokdyn.reasoning.references import Reference, catalog

TRAINED = "trained"
# Longest period that is looked for; a roll-out has three times as many states to show it in.
MOST_PERIOD = 12


@dataclasses.dataclass(frozen=True)
class Config:
    """The design."""

    items: int = 24
    """Fresh items for each reasoner."""
    networks: int = 4
    """Networks of random weights beside the trained one."""
    starts: int = 8
    """Latents from which the map of one item is rolled out: its own, and those of other items."""
    num_steps: int = 96
    """Steps of a roll-out."""
    key: int = 0
    """Seed of items and of random weights."""

    def quick(self) -> Config:
        """Six items and starts, and two networks of random weights."""
        items = min(self.items, 6)
        return dataclasses.replace(self, items=items, starts=min(self.starts, items), networks=min(self.networks, 2))

    def checked(self) -> Config:
        """This design, if it can be run.

        Raises:
            ValueError: naming the field.
        """
        checks.whole_number("items", self.items, at_least=2)
        checks.whole_number("networks", self.networks, at_least=2)
        if checks.whole_number("starts", self.starts, at_least=2) > self.items:
            raise checks.bad("starts", f"at most the number of items, {self.items}", self.starts)
        checks.whole_number("num_steps", self.num_steps, at_least=3 * MOST_PERIOD)
        checks.whole_number("key", self.key, at_least=0)
        return self

    @property
    def labels(self) -> list[str]:
        """Of the networks: the trained one, and those of random weights."""
        return [TRAINED, *(f"random {number + 1}" for number in range(self.networks))]


def references() -> dict[str, Reference]:
    """The shipped reasoners that have a recurrence: two slots or more."""
    return {name: one for name, one in catalog().items() if one.model.places.slots >= 2}


def feeds(reference: Reference) -> str:
    """What slots are fed: "state", "constant" or "word". Only a state hands a small change on."""
    return reference.model.protocol.source
