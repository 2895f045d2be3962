"""What the study does to whom: its design, the battery of arms, who takes latents from whom."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np

from tokdyn import checks, keys
from tokdyn.reasoning import interventions as do
from tokdyn.reasoning.audit.schema import CLEAN as CLEAN
from tokdyn.reasoning.audit.tables import LEAST_SHARE
from tokdyn.reasoning.diagnose import BOUND
from tokdyn.reasoning.interventions import Intervention
from tokdyn.reasoning.items import Item

# References with slots whose question alone says what is asked, so that another picture has one right answer.
REFERENCES = ("content", "compute", "bypassed", "masked", "text", "soft_prompt")
EXCHANGES = ("cache", "embedding")
RUNS = ("Y(x, M(x))", "Y(x', M(x))", "Y(x, M(x'))", "Y(x', M(x'))")
EFFECTS = ("total", "direct", "indirect", "interaction")
CHANGES = ("picture of another item", "noise on the picture", "question of another item")
SITES = ("embedding", "state")
SPACES = ("raw", "centred", "whitened")
SHOWN = 48  # items in a heat map
NEAR_ZERO = 1e-3
IMAGE_NOISE = 0.5  # standard deviation; pixels are from 0 to 1
WORDS = ("words of another picture", "words of another item")


@dataclasses.dataclass(frozen=True)
class Config:
    """Which reasoners, how many items, and what counts as nothing."""

    references: tuple[str, ...] = REFERENCES
    """Names of reference reasoners, whose truth is known."""
    seeds: int = 1
    """Number of trainings of each; the first uses the shipped weights, the others are trained anew (minutes each)."""
    num_items: int = 512
    """Number of fresh items."""
    bound: float = BOUND
    """Largest difference of accuracy, and largest donor lift, that counts as none."""
    share: float = LEAST_SHARE
    """Share of the total effect from which on it counts as mediated."""
    resamples: int = 2000
    """Bootstrap resamples per interval."""
    weights: str = ""
    """Folder of weights to use instead of the shipped ones."""
    key: int = 0
    """Seed of the JAX random key."""

    def quick(self) -> Config:
        """A small design, to see that everything works."""
        return dataclasses.replace(
            self,
            references=self.references[:2],
            num_items=min(self.num_items, 96),
            seeds=1,
        )

    def checked(self) -> Config:
        """This design, if it can be run.

        Raises:
            ValueError: naming the field.
        """
        if not self.references or len(set(self.references)) != len(self.references):
            raise checks.bad("references", "at least one name, each once", self.references)
        for name in self.references:
            checks.choice("references", name, REFERENCES)
        checks.whole_number("seeds", self.seeds, at_least=1)
        checks.whole_number("num_items", self.num_items, at_least=24)
        checks.whole_number("resamples", self.resamples, at_least=100)
        checks.whole_number("key", self.key, at_least=0, at_most=2**63 - 1)
        for name in ("bound", "share"):
            checks.hyperparameter(name, getattr(self, name), above=0.0, below=1.0)
        return self


def battery(slots: int, width: int, key: jax.Array) -> dict[str, Intervention]:
    """Every arm by name; arms "same tensor" write what the caller gives as oracle.

    Args:
        slots: of the reasoner.
        width: of its residual stream.
        key: of the direction of the norm-matched constant.

    Returns:
        Interventions; those of single slots have names that end in the slot's number, from 1.

    Example:
        >>> import jax
        >>> from tokdyn.studies.mediation.design import battery
        >>> arms = battery(3, 32, jax.random.key(0))
        >>> len(arms) > 20, arms["donor, slot 1, later clamped"].later
        (True, 'clamped')
    """
    direction = np.asarray(jax.random.normal(keys.for_purpose(key, "direction"), (width,)))
    backwards = tuple(reversed(range(slots)))
    arms = {
        "no-op": do.identity("slots", steps=()),
        "identity": do.identity("slots"),
        "own latents back, embedding": do.swap("slots", donor="self"),
        "own latents back, cache": do.swap("slots", site="cache", donor="self"),
        "zero, embedding": do.zero("slots"),
        "zero, cache": do.zero("slots", site="cache"),
        "near zero, embedding": do.constant("slots", np.full(width, NEAR_ZERO)),
        "mean of items, embedding": do.mean("slots"),
        "mean of items, cache": do.mean("slots", site="cache"),
        "constant of own length, embedding": do.constant("slots", direction, matched=True),
        "same tensor, embedding": do.oracle("slots"),
        "same tensor, cache": do.oracle("slots", site="cache"),
        "noise added (0.1), embedding": do.noise("slots", relative=0.1),
        "noise added (1.0), embedding": do.noise("slots", relative=1.0),
        "noise instead, embedding": do.noise("slots", spread=1.0),
        "noise instead, cache": do.noise("slots", spread=1.0, site="cache"),
        "donor, embedding": do.swap("slots"),
        "donor, cache": do.swap("slots", site="cache"),
        "donor, residual": do.swap("slots", site="residual"),
        "donor, markers' cache": do.swap("markers", site="cache"),
        "unrelated donor, embedding": do.swap("slots", donor="unrelated"),
        "unrelated donor, cache": do.swap("slots", site="cache", donor="unrelated"),
        "unrelated donor, markers' cache": do.swap("markers", site="cache", donor="unrelated"),
        "order reversed, embedding": do.permute("slots", backwards),
        "order reversed, cache": do.permute("slots", backwards, site="cache"),
        "first slot repeated, embedding": do.repeat_first("slots"),
        "first slot repeated, cache": do.repeat_first("slots", site="cache"),
        "cut to one slot": do.truncate(1, slots=slots),
        "slots removed": do.remove("slots"),
        "markers removed": do.remove("markers"),
        "slots and markers removed": do.remove("slots") + do.remove("markers"),
        "zero, format": do.zero("format"),
    }
    for slot in range(slots):
        swapped = do.swap("slots", steps=(slot,))
        arms[f"donor, slot {slot + 1}"] = swapped
        arms[f"unrelated donor, slot {slot + 1}"] = do.swap("slots", steps=(slot,), donor="unrelated")
        if slot < slots - 1:
            arms[f"donor, slot {slot + 1}, later clamped"] = do.clamped(swapped, slots=slots)
    return arms


def mates(key: jax.Array, items: Item) -> tuple[np.ndarray, np.ndarray]:
    """Whose latents each item is given: a donor, and an unrelated one as control, that differ from it in every step.

    Items are shuffled; the donor is the first behind an item, round the ring, whose step words all differ from the
    item's, and the unrelated donor the first behind that one whose step words differ from both. A donor's answer is
    hence never the item's own, and what an unrelated donor points at never what the donor points at.

    Args:
        key: of the shuffling.
        items: `[items, ...]`.

    Returns:
        ``(donors, unrelated)``, `[items]` int32 each.

    Raises:
        ValueError: an item for which there is no such donor.
    """
    steps = np.asarray(items.steps)
    count = len(steps)
    order = np.asarray(jax.random.permutation(key, count))

    def first_behind(start: int, *others: np.ndarray) -> int:
        for shift in range(1, count):
            found = int(order[(start + shift) % count])
            if all((steps[found] != other).all() for other in others):
                return found
        raise checks.bad("num_items", "enough items that each finds two donors of other steps", count)

    donors, unrelated = np.zeros(count, np.int32), np.zeros(count, np.int32)
    for place, item in enumerate(order):
        donors[item] = first_behind(place, steps[item])
        unrelated[item] = first_behind(place, steps[item], steps[donors[item]])
    return donors, unrelated
