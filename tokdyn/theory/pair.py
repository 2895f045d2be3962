r"""Repulsion: two tokens in one cluster, where they come to rest, and when they never do.

Two tokens at `mean +- r / 2` along a direction in which the attraction multiplies differences by `a = 2 lambda / T`
(rate 1) keep, per step and for distances well above the softening, the distance

.. math:: r' = r - \eta (1 - a)\, r + 2 \rho / r^2 .

For `a < 1` it is at rest at `r* = (2 rho / (eta (1 - a)))^(1/3)`, where a small change of the distance is multiplied by
`1 - 3 eta (1 - a)`: neither the strength nor the softening enters. Beyond `eta (1 - a) = 2/3` the pair alternates
between
two distances, and further on it does so for ever without a period: at rate 1 that begins at `a = 1/3`, just where one
cluster is tight compared with the temperature, which is where repulsion is asked for. A rate below 2/3 cures it for
every
a, or a momentum m with `3 eta (1 - a) < 2 (1 + m)`.

In units of `(2 rho)^(1/3)` and at rate 1 the map is `x' = |a x + 1 / x^2|`, one line with the whole way to chaos.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from numpy.typing import ArrayLike

from tokdyn import checks
from tokdyn.numerics import namespace


def equilibrium_distance(strength: ArrayLike, multiplier: ArrayLike, *, rate: ArrayLike = 1.0) -> Any:
    """The distance at which two tokens in one cluster are at rest: `(2 rho / (eta (1 - a)))^(1/3)`.

    Args:
        strength: `rho`, above 0.
        multiplier: `a = 2 lambda / T`, below 1: above it the attraction itself parts the tokens.
        rate: `eta`, above 0.

    Returns:
        The distance, in units of the features; it holds where it is far above the softening length.

    Raises:
        ValueError: a number outside its range.

    Example:
        >>> import tokdyn as td
        >>> round(float(td.theory.equilibrium_distance(0.05, 0.26)), 2)
        0.51
    """
    rho = checks.hyperparameter("strength", strength, above=0.0)
    a = checks.hyperparameter("multiplier", multiplier, below=1.0)
    eta = checks.hyperparameter("rate", rate, above=0.0)
    return (2 * rho / (eta * (1 - a))) ** (1 / 3)


def pair_multiplier(multiplier: ArrayLike, *, rate: ArrayLike = 1.0) -> Any:
    """The factor by which a step multiplies a small change of that distance: `1 - 3 eta (1 - a)`.

    Args:
        multiplier: `a`, below 1.
        rate: `eta`, above 0.

    Raises:
        ValueError: a number outside its range.

    Example:
        >>> import tokdyn as td
        >>> float(td.theory.pair_multiplier(0.5))
        -0.5
    """
    a = checks.hyperparameter("multiplier", multiplier, below=1.0)
    return 1 - 3 * checks.hyperparameter("rate", rate, above=0.0) * (1 - a)


def flip_multiplier(*, rate: ArrayLike = 1.0, momentum: ArrayLike = 0.0) -> Any:
    """The `a` below which the pair alternates between two distances: `1 - 2 (1 + m) / (3 eta)`.

    At 0 or less there is none: no cluster is too tight.

    Args:
        rate: `eta`, above 0.
        momentum: m, from 0 to below 1.

    Raises:
        ValueError: a number outside its range.

    Example:
        >>> import tokdyn as td
        >>> round(float(td.theory.flip_multiplier()), 4), round(float(td.theory.flip_multiplier(momentum=0.5)), 4)
        (0.3333, 0.0)
    """
    eta = checks.hyperparameter("rate", rate, above=0.0)
    m = checks.hyperparameter("momentum", momentum, at_least=0.0, below=1.0)
    return 1 - 2 * (1 + m) / (3 * eta)


def largest_kick(strength: ArrayLike, eps: ArrayLike, *, kernel: str = "coulomb") -> Any:
    """The longest step that repulsion can give one token of a pair, at the distance at which it is strongest.

    Coulomb: `4 rho / (27 eps^2)` at distance `eps / 2`. Plummer: `2 rho / (3 sqrt(3) eps^2)` at `eps / sqrt(2)`.

    Args:
        strength: `rho`, at least 0.
        eps: softening length, above 0.
        kernel: "coulomb" or "plummer".

    Returns:
        A length, in units of the features.

    Raises:
        ValueError: a number outside its range, an unknown kernel.

    Example:
        >>> import tokdyn as td
        >>> round(float(td.theory.largest_kick(0.05, 1e-3)))
        7407
    """
    rho = checks.hyperparameter("strength", strength, at_least=0.0)
    soft = checks.hyperparameter("eps", eps, above=0.0)
    share = 4 / 27 if checks.choice("kernel", kernel, ("coulomb", "plummer")) == "coulomb" else 2 / (3 * 3**0.5)
    return share * rho / soft**2


def softening_for(strength: ArrayLike, longest: ArrayLike, *, kernel: str = "coulomb") -> Any:
    """The softening length with which no kick is longer than that.

    Args:
        strength: `rho`, at least 0.
        longest: kick, above 0, in units of the features.
        kernel: "coulomb" or "plummer".

    Raises:
        ValueError: a number outside its range, an unknown kernel.

    Example:
        >>> import tokdyn as td
        >>> eps = td.theory.softening_for(0.05, 1.0)
        >>> round(float(td.theory.largest_kick(0.05, eps)), 6)
        1.0
    """
    far = checks.hyperparameter("longest", longest, above=0.0)
    kick = largest_kick(strength, 1.0, kernel=kernel)
    return namespace(kick, far).sqrt(kick / far)


def pair_map(multiplier: ArrayLike) -> Any:
    """The reduced map `x' = |a x + 1 / x^2|` of a pair at rate 1, for ``lyapunov_exponents``, ``period`` or a sweep.

    Args:
        multiplier: `a` `[]`.

    Returns:
        A function of `[...]`, distances in units of `(2 rho)^(1/3)`.

    Example:
        >>> import jax.numpy as jnp, tokdyn as td
        >>> float(td.theory.pair_map(0.5)(jnp.array(2.0)))
        1.25
    """
    a = checks.hyperparameter("multiplier", multiplier, at_least=0.0)

    def step(distance: jax.Array) -> jax.Array:
        safe = jnp.maximum(jnp.abs(distance), jnp.finfo(distance.dtype).tiny ** 0.25)
        return jnp.abs(a * safe + 1 / (safe * safe))

    return step
