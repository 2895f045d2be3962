"""The grid of the study, and the names of its axes."""

from __future__ import annotations

import dataclasses

import numpy as np

from tokdyn import checks
from tokdyn.studies.skeleton import at_most

RATIO, REPULSION, MOMENTUM = "ratio", "dynamics.repel.strength", "dynamics.inertia.momentum"
NAMES = {RATIO: "temperature / $T_c$", REPULSION: "repulsion strength", MOMENTUM: "momentum"}


@dataclasses.dataclass(frozen=True)
class Config:
    """The grid of the study; the defaults are 400,000 runs."""

    temperatures: int = 40
    """Number of temperatures, spaced geometrically, in units of each scene's critical temperature."""
    lowest: float = 0.005
    """Lowest temperature, in units of the critical one."""
    highest: float = 2.0
    """Highest temperature, in units of the critical one."""
    repulsions: int = 20
    """Number of repulsion strengths: zero, and the others spaced geometrically from 0.001 to 3."""
    momenta: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 0.9)
    """Momenta: shares of the last displacement that tokens keep."""
    seeds: int = 100
    """Number of scenes and starts, the same in every cell of the grid."""
    num_tokens: int = 4
    """Number of tokens."""
    clusters: int = 4
    """Number of true clusters, each of 80 features in 6 dimensions."""
    noise: float = 0.6
    """Standard deviation within a cluster; 0.6 is the middle level of the published study."""
    max_steps: int = 200
    """Largest number of steps of a run."""
    tol: float = 1e-3
    """A run is at rest once the largest force on any token is below this."""
    resolutions: tuple[float, ...] = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
    """Distances below which tokens count as one, in units of the noise; the third is the study's own."""
    key: int = 0
    """Seed of the JAX random key."""

    def quick(self) -> Config:
        """A small design, to see that everything works."""
        return at_most(self, temperatures=8, repulsions=5, seeds=10)

    def checked(self) -> Config:
        """This design, if it can be run.

        Raises:
            ValueError: naming the field.
        """
        for name in ("seeds", "num_tokens", "clusters", "max_steps"):
            checks.whole_number(name, getattr(self, name), at_least=1)
        for name in ("temperatures", "repulsions"):
            checks.whole_number(name, getattr(self, name), at_least=2)
        for name in ("lowest", "highest", "noise"):
            checks.hyperparameter(name, getattr(self, name), above=0.0)
        checks.hyperparameter("tol", self.tol, at_least=0.0)
        checks.hyperparameter("highest", self.highest, above=self.lowest)
        for name in ("momenta", "resolutions"):
            checks.each_once(name, getattr(self, name))
            checks.hyperparameter(name, np.array(getattr(self, name)), at_least=0.0)
        return self

    @property
    def own_resolution(self) -> float:
        """The resolution at which tokens are counted in the study's sentences: the third, where there are three."""
        return self.resolutions[2 % len(self.resolutions)]
