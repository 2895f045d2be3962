"""What the study does to whom: reasoners of the suite, and the arms that only this study needs."""

from __future__ import annotations

import dataclasses

import numpy as np

from tokdyn import checks
from tokdyn.reasoning import interventions as do
from tokdyn.reasoning import shipped
from tokdyn.reasoning.audit import Member, shipped_members
from tokdyn.reasoning.audit.schema import CLEAN as CLEAN
from tokdyn.reasoning.audit.suite import KEY
from tokdyn.reasoning.audit.tables import LEAST_SHARE
from tokdyn.reasoning.designs import DESIGNS
from tokdyn.reasoning.diagnose import BOUND
from tokdyn.reasoning.interventions import Intervention

# Of the suite, those whose question alone says what is asked, so that another picture has one right answer.
STRATUM = ("pointer chase", "small")
# Beside the suite, which has none: a reasoner whose slots are words. CapImagine's second claim is about such text.
TEXT = "text"
REASONERS = (*DESIGNS, TEXT)
EXCHANGES = ("cache", "embedding")
RUNS = ("Y(x, M(x))", "Y(x', M(x))", "Y(x, M(x'))", "Y(x', M(x'))")
EFFECTS = ("total", "direct", "indirect", "interaction")
CHANGES = ("picture of another item", "noise on the picture", "question of another item")
SITES = ("embedding", "state")
SPACES = ("raw", "centred", "whitened")
SHOWN = 48  # items in a heat map
IMAGE_NOISE = 0.5  # standard deviation; pixels are from 0 to 1
WORDS = ("words of another picture", "words of another item")


@dataclasses.dataclass(frozen=True)
class Config:
    """Which reasoners, how many items, and what counts as nothing."""

    reasoners: tuple[str, ...] = REASONERS
    """Designs of the suite (the shipped weights), and "text"."""
    training: int = 0
    """Number of the shipped training: 0 or 1."""
    num_items: int = 500
    """Number of fresh items."""
    bound: float = BOUND
    """Largest difference of accuracy, and largest donor lift, that counts as none."""
    share: float = LEAST_SHARE
    """Share of the total effect from which on it counts as mediated."""
    resamples: int = 2000
    """Bootstrap resamples per interval."""
    key: int = KEY
    """Seed of the JAX random key; by default that of the suite."""

    def quick(self) -> Config:
        """A small design, to see that everything works."""
        return dataclasses.replace(self, reasoners=self.reasoners[:2], num_items=min(self.num_items, 96))

    def checked(self) -> Config:
        """This design, if it can be run.

        Raises:
            ValueError: naming the field.
        """
        if not self.reasoners or len(set(self.reasoners)) != len(self.reasoners):
            raise checks.bad("reasoners", "at least one name, each once", self.reasoners)
        for name in self.reasoners:
            checks.choice("reasoners", name, REASONERS)
        if self.training not in (0, 1):
            raise checks.bad("training", "0 or 1", self.training)
        checks.whole_number("num_items", self.num_items, at_least=24)
        checks.whole_number("resamples", self.resamples, at_least=100)
        checks.whole_number("key", self.key, at_least=0, at_most=2**63 - 1)
        for name in ("bound", "share"):
            checks.hyperparameter(name, getattr(self, name), above=0.0, below=1.0)
        return self


def members(config: Config) -> dict[str, Member]:
    """The reasoners by name, as the suite has them.

    Args:
        config: of the study.
    """
    known = {
        one.design: one for one in shipped_members() if (one.stratum, one.training) == (STRATUM, config.training)
    }  # fmt: skip
    if TEXT in config.reasoners:
        one = shipped.load(TEXT)
        known[TEXT] = Member(TEXT, STRATUM, 0, one.reference, one.variables)
    return {name: known[name] for name in config.reasoners}


def own_arms(slots: int) -> dict[str, Intervention]:
    """What this study does beside the battery of the suite: where the donor is written, and controls.

    Arms "same tensor" write what the caller gives as oracle.

    Args:
        slots: of the reasoner.

    Returns:
        Interventions; those of single slots have names that end in the slot's number, from 1.

    Example:
        >>> from tokdyn.studies.mediation.design import own_arms
        >>> own_arms(3)["donor, slot 1, later clamped"].later
        'clamped'
    """
    arms = {
        "own latents back, embedding": do.swap("slots", donor="self"),
        "own latents back, cache": do.swap("slots", site="cache", donor="self"),
        "same tensor, embedding": do.oracle("slots"),
        "same tensor, cache": do.oracle("slots", site="cache"),
        "unrelated donor, embedding": do.swap("slots", donor="unrelated"),
        "donor, residual": do.swap("slots", site="residual"),
        "donor, markers' cache": do.swap("markers", site="cache"),
        "unrelated donor, markers' cache": do.swap("markers", site="cache", donor="unrelated"),
        "order reversed, embedding": do.permute("slots", tuple(reversed(range(slots)))),
        "slots and markers removed": do.remove("slots") + do.remove("markers"),
    }
    for slot in range(slots):
        swapped = do.swap("slots", steps=(slot,))
        arms[f"donor, slot {slot + 1}"] = swapped
        arms[f"unrelated donor, slot {slot + 1}"] = do.swap("slots", steps=(slot,), donor="unrelated")
        if slot < slots - 1:
            arms[f"donor, slot {slot + 1}, later clamped"] = do.clamped(swapped, slots=slots)
    return arms


# Where a donor's latents were written: the arm, and its control. All embeddings at once leave two readings, of which
# the other is the donor's last word but one, looked up in the own picture; so do words.
PLACES = {
    "cache": ("donor", "unrelated"),
    "residual": ("donor, residual", "unrelated"),
    "all embeddings, last word": ("donor embedding", "unrelated donor, embedding"),
    "all embeddings, looked up": ("donor embedding", "unrelated donor, embedding"),
    "markers' cache": ("donor, markers' cache", "unrelated donor, markers' cache"),
}
WORD_PLACES = {"words, last word": (WORDS[0], CLEAN), "words, looked up": (WORDS[0], CLEAN)}
LOOKED_UP = "looked up"


def places(slots: int, *, words: bool) -> dict[str, tuple[str, str]]:
    """Where donors were written in a reasoner: arm and control by name.

    Args:
        slots: of the reasoner.
        words: whether its slots are words.
    """
    single = {f"slot {k}": (f"donor, slot {k}", f"unrelated donor, slot {k}") for k in np.arange(1, slots + 1)}
    return {**PLACES, **single, **(WORD_PLACES if words else {})}
