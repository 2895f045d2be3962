"""The design of the study: what is run, and how it is written down."""

from __future__ import annotations

import dataclasses
from typing import Literal, NamedTuple

import numpy as np

from tokdyn import checks
from tokdyn.dynamics import catalog

# "rule", not "method": that is an argument of xarray's sel, which would silently select nothing.
DIMENSIONS = ("rule", "noise", "clusters", "seed")


@dataclasses.dataclass(frozen=True)
class Config:
    """The design of the study; the defaults are the published one."""

    data: Literal["published", "native"] = "published"
    """published: scenes from NumPy's legacy random streams, as in the study. native: scenes drawn on the device."""
    seeds: int = 30
    """Number of runs of every condition."""
    noises: tuple[float, ...] = (0.3, 0.6, 0.9)
    """Standard deviations within a cluster."""
    clusters: tuple[int, ...] = (3, 4, 5)
    """True numbers of clusters."""
    rules: tuple[str, ...] = tuple(catalog.PUBLISHED_METHODS)
    """Names of published methods; the first is the baseline of the paired tests."""
    num_tokens: int = 4
    """Number of tokens, the same for every number of clusters."""
    max_steps: int = 30
    """Largest number of steps of a run."""
    tol: float = 1e-3
    """A run stops once no token moves farther than this in a step."""
    temperature: float = 1.0
    """Temperature of the softmax over tokens, in squared units of the features."""
    rate: float = 1.0
    """Share of the way to its target that a token moves in a step."""
    points_per_cluster: int = 80
    """Number of features in each cluster."""
    num_dimensions: int = 6
    """Number of dimensions of a feature."""
    resolution: float = 0.1
    """Tokens closer together than this count as one."""
    key: int = 0
    """Seed of the JAX random key for native data."""
    x64: bool = True
    """Compute in float64 (needed to equal the published rows) or float32."""
    chunk: int = 30
    """Number of seeds whose scenes are held in memory at once."""
    samples: tuple[str, ...] = ()
    """JSON samples of CLEVR or CLEVRER to check, as the study did."""

    def checked(self) -> Config:
        """This design, if it can be run.

        Raises:
            ValueError: naming the field.
        """
        checks.choice("data", self.data, ("published", "native"))
        counts = ("seeds", "num_tokens", "max_steps", "points_per_cluster", "num_dimensions", "chunk")
        for name in counts:
            checks.whole_number(name, getattr(self, name), at_least=1)
        checks.each_once("noises", self.noises)
        checks.each_once("clusters", self.clusters)
        checks.each_once("rules", self.rules, tuple(catalog.PUBLISHED_METHODS))
        for count in self.clusters:
            checks.whole_number("clusters", count, at_least=1)
        checks.hyperparameter("noises", np.array(self.noises), at_least=0.0)
        for name in ("tol", "temperature", "rate", "resolution"):
            checks.hyperparameter(name, getattr(self, name), at_least=0.0)
        if self.num_tokens > self.points_per_cluster * min(self.clusters):
            most = self.points_per_cluster * min(self.clusters)
            raise checks.bad("num_tokens", f"at most the number of features, {most}", self.num_tokens)
        return self

    def is_published(self) -> bool:
        """Whether this is the published design, so that the published numbers may stand beside ours."""
        free = {"x64", "chunk", "resolution", "samples", "key"}
        default = Config()
        return all(
            getattr(self, field.name) == getattr(default, field.name)
            for field in dataclasses.fields(self)
            if field.name not in free
        )


class Shape(NamedTuple):
    """The static part of a run: what chooses the program."""

    num_tokens: int
    max_steps: int
    num_labels: int
