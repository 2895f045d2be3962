"""What is optimised how: methods, their controls, the sweep of step sizes, and pictures that leave room for a gain."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np

from tokdyn import checks, draws, keys
from tokdyn.reasoning.diagnose import BOUND
from tokdyn.reasoning.items import Item
from tokdyn.reasoning.latent_optimisation import CONFIDENCES, CONFIGURATIONS, Configuration, controls
from tokdyn.studies.skeleton import at_most

REFERENCES = ("content", "compute", "bypassed", "masked", "marker", "text", "soft_prompt")
DMLR, NO_PATCHES, ALL_PATCHES = "dmlr", "dmlr, no patches", "dmlr, all patches"
CODE, LTPO, LATENTSEEK = "dmlr, code", "ltpo", "latentseek"
SAMPLES, EXACT, ORACLE = "dmlr, 8 samples", "exact gradient", "oracle gradient"
CONTROLS = tuple(controls(CONFIGURATIONS[DMLR]))
# Reinforced steps and random ones that accept alike: all that differs is the direction.
TWINS = tuple(zip(CONTROLS[:2], CONTROLS[2:], strict=True))
METHODS = (DMLR, NO_PATCHES, ALL_PATCHES, CODE, LTPO, LATENTSEEK, *CONTROLS, SAMPLES, EXACT, ORACLE)
# The sweep: sigma in units of the latents' root mean square, and rates up to steps as long as the latents themselves.
SIGMAS = (0.1, 0.5)
RATES = (1e-3, 1e-2, 3e-2, 1e-1)
WORDS = 10  # that a confidence counts, as in the published code
READS = ("slots", "answer")
MEASURES = tuple(f"{name.replace('_', ' ')}, {read}" for name in CONFIDENCES for read in READS)
CHOICES = ("accuracy", "reward")  # what a setting of the sweep is chosen by
_ADAM_RATE = 0.1  # of the exact gradients: 15 steps go as far as the latents are long


@dataclasses.dataclass(frozen=True)
class Config:
    """Which reasoners, on which pictures, how often, and what counts as nothing."""

    references: tuple[str, ...] = REFERENCES
    """Names of reference reasoners, whose truth is known."""
    noises: tuple[float, ...] = (0.0, 0.3)
    """Standard deviations of noise added to pixels in [0, 1]; the right answer stays that of the clean picture."""
    seeds: int = 2
    """Number of optimisations of every item."""
    num_items: int = 256
    """Number of fresh items, even: one half chooses the settings of the sweep, the other half judges them."""
    bound: float = BOUND
    """Differences in accuracy up to this size count as no effect."""
    weights: str = ""
    """Folder of weights to use instead of the shipped ones."""
    key: int = 0
    """Seed of the JAX random key."""

    def quick(self) -> Config:
        """A small design, to see that everything works."""
        return at_most(self, references=1, num_items=48)

    def checked(self) -> Config:
        """This design, if it can be run.

        Raises:
            ValueError: naming the field.
        """
        checks.each_once("references", self.references, REFERENCES)
        checks.each_once("noises", self.noises)
        for noise in self.noises:
            checks.hyperparameter("noises", noise, at_least=0.0)
        checks.whole_number("seeds", self.seeds, at_least=1)
        if checks.whole_number("num_items", self.num_items, at_least=24) % 2:
            raise checks.bad("num_items", "an even number", self.num_items)
        checks.whole_number("key", self.key, at_least=0, at_most=2**63 - 1)
        checks.hyperparameter("bound", self.bound, above=0.0, below=1.0)
        return self


def methods(slots: int, patches: int) -> dict[str, Configuration]:
    """Every method by name, in the order of ``METHODS``.

    "dmlr", "dmlr, code", "ltpo" and "latentseek" are as published, the four controls those of "dmlr". "dmlr, 8 samples"
    has as many evaluations as the controls, or a few less, with a baseline and pairs of opposite sign. The exact
    gradients take ``jax.grad``, of the same confidence, and of the log-probability of the right answer; neither injects
    patches, so that whatever they change goes through latents.

    Args:
        slots: of the reasoner.
        patches: of the picture.

    Returns:
        Configurations.

    Example:
        >>> from tokdyn.studies.latent_optimisation.design import METHODS, methods
        >>> made = methods(2, 9)
        >>> tuple(made) == METHODS, made["dmlr, 8 samples"].num_steps
        (True, 6)
    """
    dmlr = CONFIGURATIONS[DMLR]
    bare = dataclasses.replace(dmlr, patches=0, start_patches=0)
    spent = dmlr.num_steps * (2 + slots)  # of a control: a sample, the step, a candidate for each slot
    exact = dataclasses.replace(bare, estimator="gradient", scored="step", optimiser="adam", learning_rate=_ADAM_RATE)
    made = {
        DMLR: dmlr,
        NO_PATCHES: bare,
        ALL_PATCHES: dataclasses.replace(bare, start_patches=patches),
        CODE: CONFIGURATIONS[CODE],
        LTPO: CONFIGURATIONS[LTPO],
        LATENTSEEK: CONFIGURATIONS[LATENTSEEK],
        **controls(dmlr),
        SAMPLES: dataclasses.replace(
            dmlr, num_samples=8, baseline="leave_one_out", antithetic=True, num_steps=spent // (8 + slots)
        ),
        EXACT: exact,
        ORACLE: dataclasses.replace(exact, reward="answer_log_probability"),
    }
    assert tuple(made) == METHODS
    return made


def settings(configuration: Configuration) -> list[Configuration]:
    """The same with every sigma and rate of the sweep, sigmas first; they share one program."""
    return [dataclasses.replace(configuration, sigma=sigma, learning_rate=rate) for sigma in SIGMAS for rate in RATES]


def noised(items: Item, noises: tuple[float, ...], key: jax.Array) -> Item:
    """The items once for every level, the same noise times the level on their pictures `[noises * items, ...]`.

    Args:
        items: `[items, ...]`.
        noises: standard deviations.
        key: of the noise.
    """
    drawn = draws.normal(keys.for_purpose(key, "picture"), items.image.shape, items.image.dtype)
    each = [items._replace(image=items.image + noise * drawn) for noise in noises]
    return jax.tree.map(lambda *leaves: np.concatenate([np.asarray(leaf) for leaf in leaves]), *each)


def halves(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Places of the items that choose the settings of the sweep, and of those that judge them.

    Example:
        >>> from tokdyn.studies.latent_optimisation.design import halves
        >>> [half.tolist() for half in halves(6)]
        [[0, 2, 4], [1, 3, 5]]
    """
    return np.arange(0, count, 2), np.arange(1, count, 2)
