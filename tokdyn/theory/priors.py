"""Energies of attraction with learned priors, and of attraction with a repulsion that respects masses."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp
from jax.typing import ArrayLike

from tokdyn import checks
from tokdyn.dynamics import Attraction, Dynamics, MassRepulsion
from tokdyn.numerics import squared_distances
from tokdyn.theory.energy import free_energy


def mixture_energy(
    features: ArrayLike, tokens: ArrayLike, priors: ArrayLike, *, temperature: ArrayLike, mask: ArrayLike | None = None
) -> jax.Array:
    r"""The free energy of tokens with priors: `T` times minus the log-likelihood of their mixture, up to a constant.

    .. math:: F = -T \sum_i \ln \sum_k \pi_k e^{-\lVert x_i - s_k\rVert^2 / T}

    A step of ``td.mixture`` at both rates 1 is one of expectation-maximisation, and never raises it.

    Args:
        features: `[N, D]`.
        tokens: `[K, D]`.
        priors: `[K]`, which sum to 1.
        temperature: `T` `[]`, above 0.
        mask: which features exist `[N]`.

    Returns:
        `[]`, in squared units of the features.

    Raises:
        ValueError: bad shapes.

    Example:
        >>> import jax.numpy as jnp, tokdyn as td
        >>> features, tokens = jnp.array([[0.0], [1.0]]), jnp.array([[0.0], [0.0]])
        >>> round(float(td.theory.mixture_energy(features, tokens, jnp.array([0.3, 0.7]), temperature=1.0)), 6)
        1.0
    """
    rows = checks.floating("features", features, axes="[N, D]")
    places = checks.floating("tokens", tokens, axes="[K, D]")
    weights = checks.floating("priors", priors, axes="[K]")
    if weights.shape != places.shape[:1]:
        raise checks.bad("priors", f"shape {places.shape[:1]}", checks.describe_array(weights))
    exists = checks.boolean_mask("mask", mask, rows.shape[0], axes="[N]")
    if exists is not None:
        rows = jnp.where(exists[:, None], rows, 0.0)
    logs = jnp.where(weights > 0, jnp.log(jnp.where(weights > 0, weights, 1.0)), -jnp.inf)
    heat = jnp.asarray(temperature, rows.dtype)
    each = logsumexp(-squared_distances(rows, places) / heat + logs, axis=1)
    return -heat * jnp.sum(each if exists is None else jnp.where(exists, each, 0.0))


def repelled_energy(
    dynamics: Dynamics, features: ArrayLike, tokens: ArrayLike, *, mask: ArrayLike | None = None
) -> jax.Array:
    r"""What an attraction and a mass-consistent repulsion descend together.

    .. math::
        E = F + \frac{2 \rho N}{\eta K} \sum_{j < k} \left(\lVert s_j - s_k\rVert^2 + \epsilon^2\right)^{-1/2}

    A step is `-\eta \nabla_k E / (2 m_k)` for every token whose mass is above the part's floor: the rule rests exactly
    where E is stationary, and E falls if the rate is small enough.

    Args:
        dynamics: one ``td.attraction`` and one ``td.mass_repulsion`` of the same temperature, without schedules.
        features: `[N, D]`.
        tokens: `[K, D]`.
        mask: which features exist `[N]`.

    Returns:
        `[]`, in squared units of the features.

    Raises:
        ValueError: other parts, or bad shapes.

    Example:
        >>> import jax.numpy as jnp, tokdyn as td
        >>> features, tokens = jnp.array([[0.0], [2.0]]), jnp.array([[0.0], [2.0]])
        >>> free = td.theory.free_energy(td.catalog.mass_repelled(), features, tokens)
        >>> both = td.theory.repelled_energy(td.catalog.mass_repelled(), features, tokens)
        >>> round(float(both - free), 3)  # 2 * 0.05 / 0.5 / sqrt(4 + 0.01)
        0.1
    """
    attracting = [part for part in dynamics.parts if isinstance(part, Attraction)]
    pushing = [part for part in dynamics.parts if isinstance(part, MassRepulsion)]
    if len(attracting) != 1 or len(pushing) != 1 or len(dynamics) != 2:
        got = ", ".join(type(part).__name__ for part in dynamics.parts)
        raise checks.bad("dynamics", "one attraction and one mass_repulsion", got)
    attract, push = attracting[0], pushing[0]
    free = free_energy(dynamics, features, tokens, mask=mask)
    places = jnp.asarray(tokens)
    count = jnp.shape(features)[0] if mask is None else jnp.sum(jnp.asarray(mask))
    lower = jnp.tril(jnp.ones((places.shape[0],) * 2, bool), -1)
    inverse = 1.0 / jnp.sqrt(squared_distances(places, places) + push.eps**2)
    potential = jnp.sum(jnp.where(lower, inverse, 0.0))
    return free + 2 * push.strength * count / (attract.rate * places.shape[0]) * potential
