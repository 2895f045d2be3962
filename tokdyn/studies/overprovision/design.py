"""How many tokens, at which temperatures, on which data."""

from __future__ import annotations

import dataclasses

import numpy as np

from tokdyn import checks
from tokdyn.studies.skeleton import at_most

STARTS = ("features", "farthest_point")
METHODS = ("plateau", "mixture", "silhouette")
TITLES = {
    "plateau": "select_temperature", "mixture": "GMM + BIC", "silhouette": "k-means + silhouette",
}  # fmt: skip
# The opponents may answer with 1 to 16 clusters, the plateau of 16 tokens with 2 to 15, or not at all.
MOST_CLUSTERS, PLATEAU_TOKENS = 16, 16
ORACLE = 3.0


@dataclasses.dataclass(frozen=True)
class Config:
    """What is run."""

    seeds: int = 20
    """Scenes and starts of every condition."""
    num_tokens: tuple[int, ...] = (4, 8, 16)
    """Numbers of tokens at fixed temperatures."""
    temperatures: tuple[float, ...] = (0.3, 1.0, 3.0, 6.0, 12.0, 30.0)
    """Fixed temperatures. That 3 is a good one is known from the published scenes' labels: it is no method."""
    max_steps: int = 100
    """Largest number of steps at a fixed temperature."""
    opponents: bool = True
    """Also run scikit-learn's Gaussian mixtures with BIC, and k-means with silhouettes (extra data)."""
    key: int = 0
    """Seed of the JAX random key."""

    def quick(self) -> Config:
        """Three seeds."""
        return at_most(self, seeds=3)

    def checked(self) -> Config:
        """This design, if it can be run.

        Raises:
            ValueError: naming the field.
        """
        checks.whole_number("seeds", self.seeds, at_least=2)
        checks.whole_number("max_steps", self.max_steps, at_least=1)
        checks.whole_number("key", self.key, at_least=0)
        for name in ("num_tokens", "temperatures"):
            checks.each_once(name, getattr(self, name))
        for count in self.num_tokens:
            checks.whole_number("num_tokens", count, at_least=1)
        checks.hyperparameter("temperatures", np.array(self.temperatures, float), above=0.0)
        if self.opponents:
            try:
                import sklearn  # noqa: F401
            except ImportError:
                expected = "False without scikit-learn (pip install 'tokdyn[data]' brings it)"
                raise checks.bad("opponents", expected, True) from None
        return self
