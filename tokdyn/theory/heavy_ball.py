r"""Inertia near a fixed point: when it is stable, when it swings, which momentum is best.

Let `a` be an eigenvalue of the plain step at a fixed point (for the attraction alone with rate 1 all are real and at
least
0; below 1 where the fixed point is stable), and `h = 1 - a`. With rate `eta` and momentum m a disturbance along that
direction follows `u_{t+1} = (1 + m - eta h) u_t - m u_{t-1}`, hence the multipliers z of one step solve

.. math:: z^2 - (1 + m - \eta h) z + m = 0 .

They are inside the unit circle iff `|m| < 1` and `0 < eta h < 2 (1 + m)`; they are complex, with modulus exactly
`sqrt(m)`, iff `(1 - sqrt(m))^2 < eta h < (1 + sqrt(m))^2`. The boundary `eta h = 0`, where tokens merge or part, does
not
depend on the momentum: inertia changes how fast tokens collapse, never whether.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from tokdyn import checks
from tokdyn.numerics import namespace


class Swing(NamedTuple):
    """Pulls `eta h` between which a token swings around its fixed point.

    Attributes:
        low: `(1 - sqrt(m))^2`.
        high: `(1 + sqrt(m))^2`.
    """

    low: float
    high: float


def momentum_radius(multiplier: ArrayLike, rate: ArrayLike, momentum: ArrayLike) -> Any:
    """The largest modulus of the two multipliers of a step with inertia.

    Args:
        multiplier: a, of the plain step at rate 1, real; any shape.
        rate: `eta`, broadcast.
        momentum: m, broadcast.

    Returns:
        The radius, of the shape of all; below 1 where the direction is stable.

    Raises:
        ValueError: a negative momentum, or NaN.

    Example:
        >>> import tokdyn as td
        >>> round(float(td.theory.momentum_radius(0.0, 1.0, 0.5)), 6)  # sqrt(0.5): it swings
        0.707107
    """
    a = checks.hyperparameter("multiplier", multiplier)
    eta = checks.hyperparameter("rate", rate)
    m = checks.hyperparameter("momentum", momentum, at_least=0.0)
    xp = namespace(a, eta, m)
    half = (1 + m - eta * (1 - a)) / 2
    below = half * half - m
    real = xp.abs(half) + xp.sqrt(xp.maximum(below, 0.0))
    return xp.where(below >= 0, real, xp.sqrt(m))


def largest_rate(momentum: ArrayLike, *, pull: ArrayLike = 1.0) -> Any:
    """The rate from which on inertia is unstable: `2 (1 + m) / h`.

    Args:
        momentum: m, from 0 to below 1.
        pull: h, the largest `1 - a` of the plain step: 1 for tokens that own separate clusters.

    Raises:
        ValueError: a momentum outside [0, 1), or a pull that is not above 0.

    Example:
        >>> import tokdyn as td
        >>> float(td.theory.largest_rate(0.5))
        3.0
    """
    m = checks.hyperparameter("momentum", momentum, at_least=0.0, below=1.0)
    return 2 * (1 + m) / checks.hyperparameter("pull", pull, above=0.0)


def swings(momentum: float) -> Swing:
    """The pulls `eta h` for which a token swings; its amplitude then falls by `sqrt(m)` a step, whatever the data are.

    Args:
        momentum: m, from 0 to below 1.

    Raises:
        ValueError: a momentum outside [0, 1).

    Example:
        >>> import tokdyn as td
        >>> round(td.theory.swings(0.5).low, 4)
        0.0858
    """
    root = float(np.sqrt(checks.hyperparameter("momentum", momentum, at_least=0.0, below=1.0)))
    return Swing((1 - root) ** 2, (1 + root) ** 2)


def best_momentum(multiplier: ArrayLike, *, rate: ArrayLike = 1.0) -> Any:
    """The momentum that damps the slowest direction fastest: `(1 - sqrt(eta h))^2`.

    Near 0 for separate clusters, where inertia only slows tokens down, and large near the critical temperature, where
    the slowest multiplier is near 1.

    Args:
        multiplier: a, the largest of the plain step at rate 1, below 1.
        rate: `eta`, such that `eta (1 - a)` is at most 1.

    Raises:
        ValueError: a multiplier of 1 or more (the fixed point is not stable, and no momentum makes it so).

    Example:
        >>> import tokdyn as td
        >>> round(float(td.theory.best_momentum(0.96)), 6)
        0.64
    """
    a = checks.hyperparameter("multiplier", multiplier, below=1.0)
    eta = checks.hyperparameter("rate", rate, above=0.0)
    xp = namespace(a, eta)
    return (1 - xp.sqrt(xp.minimum(eta * (1 - a), 1.0))) ** 2
