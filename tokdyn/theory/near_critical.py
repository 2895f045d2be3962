r"""Close to the critical temperature: how far two tokens are apart below it, and how slowly anything settles.

Two tokens at `mean -+ a` along the critical direction, with variance `lambda` and fourth moment `kappa_4` there, keep
their distance when `tanh` of the field between them balances it. To third order that gives a pitchfork that opens
continuously, for any data, since a third moment enters only beyond it:

.. math:: a^2 = \frac{3 T^2}{8 \kappa_4} (T_c - T), \qquad T_c = 2 \lambda .

A small difference along that direction is multiplied by `g = 1 - eta + 2 eta lambda / T` in every step, so that a
change
by a factor e takes `1 / |ln g|` steps, which grows like `1 / |1 - T / T_c|`; inertia of momentum m divides it by about
`1 / (1 - m)`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tokdyn import checks
from tokdyn.theory.heavy_ball import momentum_radius


def pair_separation(features: ArrayLike, temperature: float, *, mask: ArrayLike | None = None) -> float:
    """The distance at which two tokens come to rest a little below the critical temperature.

    The first term of an expansion in `1 - T / T_c`: 1 % too small at 0.99 `T_c` and 5 % at 0.95.

    Args:
        features: `[N, D]`.
        temperature: T, above 0.
        mask: which features exist `[N]`.

    Returns:
        The distance in units of the features, by NumPy; 0 at or above the critical temperature.

    Raises:
        ValueError: not finite floating-point `[N, D]`, or a temperature that is not above 0.

    Example:
        >>> import numpy as np, tokdyn as td
        >>> features = np.random.default_rng(0).normal(size=(20_000, 1))  # Gaussian: sqrt(2 (T_c - T)) near T_c
        >>> critical = td.theory.critical_temperature(features)
        >>> bool(abs(td.theory.pair_separation(features, 0.99 * critical) - np.sqrt(0.02 * critical)) < 0.01)
        True
    """
    values = np.asarray(checks.floating("features", np.asarray(features), axes="[N, D]", xp=np), np.float64)
    heat = float(checks.hyperparameter("temperature", temperature, above=0.0))
    exists = checks.boolean_mask("mask", mask, len(values), axes="[N]")
    rows = values if exists is None else values[np.asarray(exists)]
    if not rows.size:
        raise checks.bad("features", "at least one row and one column [N, D]", f"shape {values.shape}")
    if not np.isfinite(rows).all():
        raise checks.bad("features", "finite numbers", "infinite or NaN entries")
    rows = rows - rows.mean(axis=0)
    _, singular, directions = np.linalg.svd(rows, full_matrices=False)
    critical = 2 * float(singular[0]) ** 2 / len(rows)
    fourth = float(((rows @ directions[0]) ** 4).mean())
    if heat >= critical or fourth == 0:
        return 0.0
    return 2 * float(np.sqrt(3 * heat**2 / (8 * fourth) * (critical - heat)))


def relaxation_steps(
    ratio: ArrayLike, *, rate: ArrayLike = 1.0, momentum: ArrayLike = 0.0, factor: float = math.e
) -> Any:
    """How many steps a small difference takes to change by a factor, at a temperature near the critical one.

    Args:
        ratio: `T / T_c`, above 0; broadcast.
        rate: `eta`.
        momentum: m, from 0 to below 1.
        factor: above 1.

    Returns:
        Steps, infinite at the critical temperature itself.

    Raises:
        ValueError: a number outside its range.

    Example:
        >>> import tokdyn as td
        >>> round(float(td.theory.relaxation_steps(1.01)))  # a hundred steps for a factor e, 1 % above T_c
        100
    """
    heat = checks.hyperparameter("ratio", ratio, above=0.0)
    eta = checks.hyperparameter("rate", rate, above=0.0)
    m = checks.hyperparameter("momentum", momentum, at_least=0.0, below=1.0)
    size = float(checks.hyperparameter("factor", factor, above=1.0))
    radius = np.asarray(momentum_radius(1 / np.asarray(heat), eta, m))
    with np.errstate(divide="ignore"):
        return np.log(size) / np.abs(np.log(radius))
