"""Which cases the laws are tried on: those of published tables, and random ones that no law was made from."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np

from tokdyn import checks

# Random cases share programs: they have this many features, and columns of zeros up to the most dimensions, which
# change no distance.
FEATURES, DIMENSIONS = 256, (1, 2, 3, 5, 8, 16, 32, 64, 128, 256)
MOST_TOKENS = 16


@dataclasses.dataclass(frozen=True)
class Config:
    """What is tried, and on how many random cases."""

    cases: int = 24
    """Random cases of each law; of those that simulate thousands of steps a third as many."""
    seeds: int = 30
    """Seeds of the published study's scenes, of every noise and number of clusters."""
    key: int = 1
    """Number from which random cases are drawn; tolerances were set on those of 0."""

    def quick(self) -> Config:
        """Six random cases of each law, and two seeds."""
        return dataclasses.replace(self, cases=min(self.cases, 6), seeds=min(self.seeds, 2))

    def checked(self) -> Config:
        """This design, if it can be run.

        Raises:
            ValueError: naming the field.
        """
        checks.whole_number("cases", self.cases, at_least=3)
        checks.whole_number("seeds", self.seeds, at_least=1)
        checks.whole_number("key", self.key, at_least=0)
        return self


class Law(NamedTuple):
    """One law.

    Attributes:
        title: in a few words.
        statement: the formula, or what is said.
        compares: what is predicted and measured, with units.
        tolerance: how far the two may be apart.
        relative: whether that is a share of the prediction.
    """

    title: str
    statement: str
    compares: str
    tolerance: float
    relative: bool = False


LAWS = {
    "descent": Law(
        "The energy falls by exactly what the identity says",
        "F(s) - F(s') = eta (2 - eta) sum_k m_k |mu_k - s_k|^2 + T sum_i KL(w_i(s) || w_i(s'))",
        "decrease of the free energy in a step, over the energy", 1e-9,
    ),
    "multiplier": Law(
        "Differences between tokens at one point grow below the critical temperature",
        "each step multiplies them by 1 - eta + 2 eta lambda_max / T, so that T_c = 2 lambda_max",
        "multiplier of a difference", 1e-4, True,
    ),
    "local": Law(
        "Tokens that share a cluster part below the critical temperature of that cluster, and merge above",
        "they part where T < 2 lambda_max of the covariance of their cluster",
        "whether tokens are apart in the end (1) or one (0)", 0.5,
    ),
    "collapse": Law(
        "All tokens are one above the critical temperature of all features",
        "T > 2 lambda_max(C), while T is far enough from it for the steps there are",
        "whether all tokens are one in the end (1) or not (0)", 0.5,
    ),
    "pitchfork": Law(
        "Two tokens open like the square root of what is missing to the critical temperature",
        "half of their distance is sqrt(3 T^2 (T_c - T) / (8 kappa_4)), to first order in T_c - T",
        "distance over the standard deviation along it", 0.02, True,
    ),
    "slowing": Law(
        "Near the critical temperature everything is slow",
        "1 / |ln g| steps for a factor e, about 1 / |1 - T / T_c|; inertia m divides it by 1 / (1 - m)",
        "steps for a factor e", 0.01, True,
    ),
    "hysteresis": Law(
        "Three or more tokens on skewed features stay apart above the critical temperature",
        "cooled tokens part at T_c; heated ones merge at the end of the branch that collapse_forecast follows",
        "temperature over T_c at which heated tokens merge", 0.06,
    ),
    "cascade": Law(
        "On the way down tokens part one after the other",
        "each part at 2 lambda_max of the features that it owns (splitting_cascade)",
        "logarithm of the temperature over T_c at which there are 2, 3, 4 distinct tokens", 0.125,
    ),
    "inertia": Law(
        "Inertia makes a heavy ball of every direction",
        "z^2 - (1 + m - eta (1 - a)) z + m = 0 for every eigenvalue a of the plain step",
        "spectral radius of a step at rest", 1e-6,
    ),
    "repulsion": Law(
        "Two tokens that repel each other rest, or swing for ever",
        "rest at (2 rho / (eta (1 - a)))^(1/3) where 3 eta (1 - a) < 2 (1 + m); else they alternate",
        "distance at rest over its prediction; 0 where they swing", 0.03,
    ),
    "chaos": Law(
        "Repulsion at rate 1 goes through period doubling to chaos",
        "x' = |a x + 1 / x^2|, in units of (2 rho)^(1/3)",
        "Lyapunov exponent of the pair's distance, per step", 0.03,
    ),
}  # fmt: skip


def drawn(rng: np.random.Generator, *, dimensions: int, count: int = FEATURES) -> np.ndarray:
    """Random features: a random covariance, symmetric or skewed by a random amount, anywhere.

    Args:
        rng: of the draws.
        dimensions: D.
        count: N.

    Returns:
        Features `[N, D]`, float64.
    """
    turn = np.linalg.qr(rng.normal(size=(dimensions, dimensions)))[0]
    symmetric = rng.normal(size=(count, dimensions))
    shape = np.exp(rng.uniform(-0.5, 3))
    skewed = (rng.gamma(shape, size=(count, dimensions)) - shape) / np.sqrt(shape)
    values = (symmetric if rng.random() < 0.5 else skewed) * np.exp(rng.uniform(-1.5, 1.5, dimensions))
    return values @ turn + rng.normal(size=dimensions)


def padded(features: np.ndarray) -> np.ndarray:
    """Features `[N, D]` with columns of zeros up to the most dimensions `[N, 256]`."""
    return np.pad(features, ((0, 0), (0, DIMENSIONS[-1] - features.shape[1])))


def quantiles(name: str, count: int) -> np.ndarray:
    """The quantiles of a distribution, so that no draw is in the way: `[count, 1]`, mean 0, variance 1.

    Args:
        name: gaussian, exponential, lognormal (0.75), or gamma and its shape: "gamma 2.5".
        count: how many.
    """
    from scipy import stats

    kinds = {"gaussian": stats.norm(), "exponential": stats.expon(), "lognormal": stats.lognorm(0.75)}
    kind = kinds[name] if name in kinds else stats.gamma(float(name.split()[1]))
    values = kind.ppf((np.arange(count) + 0.5) / count)
    return ((values - values.mean()) / values.std())[:, None]
