r"""The free energy of tokens: what a step of the attraction lowers, by exactly how much, and where that ends.

With features `x_i`, tokens `s_k` and temperature T,

.. math:: F(s) = -T \sum_i \log \sum_k e^{-\lVert x_i - s_k\rVert^2 / T}
               = \min_q \sum_{ik} q_{ik} \left(\lVert x_i - s_k\rVert^2 + T \log q_{ik}\right),

whose minimum over assignments q is the softmax `w(s)`, so that `dF/ds_k = 2 m_k (s_k - mu_k)` with masses `m_k = sum_i
w_ik` and weighted means `mu_k`. A step `s' = s + eta (mu - s)` is therefore gradient descent with the step `eta / (2
m_k)`. For the fixed assignment `w(s)` the bracket is quadratic in s, with curvature `2 m_k` and its minimum at `mu_k`,
and at `s'` it exceeds `F(s')` by T times the divergences of the two softmaxes. Hence, without any approximation,

.. math:: F(s) - F(s') = \eta (2 - \eta) \sum_k m_k \lVert\mu_k - s_k\rVert^2
                         + T \sum_i \mathrm{KL}\left(w_i(s) \,\Vert\, w_i(s')\right),

which is positive for `0 < eta < 2` wherever the tokens are not at rest: the attraction alone can never cycle.

With inertia the free energy may rise. From the same bound, with displacements `v = s - s_before`, the candidate

.. math:: V = F(s) + \frac{m}{\eta} \sum_k m_k \lVert v_k\rVert^2

falls in every step in which masses do not grow, if `eta <= 2 (1 - m)`: that is the condition up to which inertia is a
descent. Where masses grow it may rise by at most `(m / eta) sum_k (m_k' - m_k) |v_k'|^2`. With repulsion nothing is
known
to fall: attraction is divided by the masses and repulsion is not, so that together they are not the gradient of
anything unless all masses are equal.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp
from numpy.typing import ArrayLike

from tokdyn import checks
from tokdyn.dynamics.attraction import Attraction
from tokdyn.dynamics.base import Dynamics, State
from tokdyn.dynamics.inertia import Inertia
from tokdyn.numerics import ratio, squared_distances
from tokdyn.solve.stepping import checked
from tokdyn.theory.assumptions import only_attraction, without_floor

# How many differences of features and tokens are held at a time.
_MOST_NUMBERS = 1 << 22


class Descent(NamedTuple):
    """One step of the attraction, and what the identity says of it.

    Attributes:
        before: free energy of the tokens `[]`.
        after: free energy one step later `[]`.
        quadratic: `eta (2 - eta) sum_k m_k |mu_k - s_k|^2` `[]`.
        divergence: `T sum_i KL(w_i(s) || w_i(s'))` `[]`, at least 0.
        tokens: one step later `[K, D]`.
    """

    before: jax.Array
    after: jax.Array
    quadratic: jax.Array
    divergence: jax.Array
    tokens: jax.Array

    @property
    def error(self) -> jax.Array:
        """What the identity leaves over, relative to the energies `[]`: a rounding error."""
        size = jnp.maximum(jnp.abs(self.before), jnp.abs(self.after))
        gap = self.before - self.after - self.quadratic - self.divergence
        return jnp.abs(gap) / jnp.where(size > 0, size, 1.0)


def free_energy(
    dynamics: Dynamics, features: ArrayLike, tokens: ArrayLike, *, mask: ArrayLike | None = None
) -> jax.Array:
    """The free energy of tokens among features, by the temperature of the dynamics' attraction.

    Args:
        dynamics: with one attraction; other parts do not enter.
        features: `[N, D]`.
        tokens: `[K, D]`.
        mask: which features exist `[N]`.

    Returns:
        `[]`, in squared units of the features; at temperature 0 the sum of squared distances to the nearest token.
        Works under jit, vmap and grad.

    Raises:
        ValueError: no attraction or several, a schedule, an infinite temperature, bad shapes.

    References:
        K. Rose, Proc. IEEE 86 (1998) 2210.

    Example:
        >>> import jax.numpy as jnp, tokdyn as td
        >>> features, tokens = jnp.array([[0.0], [1.0]]), jnp.array([[0.0]])
        >>> round(float(td.theory.free_energy(td.catalog.soft_kmeans(), features, tokens)), 6)
        1.0
    """
    part, rows, places, exists = _given(dynamics, features, tokens, mask, allowed=None)
    return _energy(_temperature(part), rows, places, exists)


def descent(dynamics: Dynamics, features: ArrayLike, tokens: ArrayLike, *, mask: ArrayLike | None = None) -> Descent:
    """One step of the attraction with its certificate: the free energy falls by exactly what the identity says.

    Args:
        dynamics: an attraction and nothing else, without a mass floor.
        features: `[N, D]`.
        tokens: `[K, D]`.
        mask: which features exist `[N]`.

    Returns:
        ``Descent``; its ``error`` is a rounding error, about 1e-6 in float32 and 1e-15 in float64.

    Raises:
        ValueError: naming the assumption that is not met, or bad shapes.

    Example:
        >>> import jax, tokdyn as td
        >>> features = jax.random.normal(jax.random.key(0), (100, 2))
        >>> found = td.theory.descent(td.catalog.soft_kmeans(), features, features[:4])
        >>> bool(found.after < found.before), bool(found.error < 1e-5)
        (True, True)
    """
    return _descent(*_given(dynamics, features, tokens, mask, allowed=(Attraction,), floor=False))


@jax.jit
def _descent(part: Attraction, rows: jax.Array, tokens: jax.Array, exists: jax.Array | None) -> Descent:
    temperature, rate = _temperature(part), part.rate
    sums, mass = _sums(temperature, rows, tokens, exists)
    away = ratio(sums, mass[:, None])
    after = tokens + rate * away
    return Descent(
        before=_energy(temperature, rows, tokens, exists),
        after=_energy(temperature, rows, after, exists),
        quadratic=rate * (2 - rate) * jnp.sum(mass * jnp.sum(away * away, axis=1)),
        divergence=_divergence(temperature, rows, tokens, after, exists),
        tokens=after,
    )


def lyapunov_candidate(
    dynamics: Dynamics, features: ArrayLike, state: State, *, mask: ArrayLike | None = None
) -> jax.Array:
    """Free energy plus the kinetic term of inertia: `F + (m / eta) sum_k m_k |v_k|^2`.

    It falls as long as `eta <= 2 (1 - m)` and masses do not grow (module docstring); where they do, it can rise, which
    `tokdyn study theory` measures. Without inertia it is the free energy.

    Args:
        dynamics: an attraction, and inertia or not.
        features: `[N, D]`.
        state: of ``td.init``, ``td.step``, or the end of a run.
        mask: which features exist `[N]`.

    Returns:
        `[]`, in squared units of the features.

    Raises:
        ValueError: another part, a schedule, a rate of 0, bad shapes.

    Example:
        >>> import jax, tokdyn as td
        >>> features = jax.random.normal(jax.random.key(0), (100, 2))
        >>> dynamics = td.compose(attract=td.attraction(temperature=1.0), inertia=td.inertia(momentum=0.5))
        >>> state = td.init(dynamics, None, features, tokens=features[:4])
        >>> later, _ = td.step(dynamics, None, state, features)
        >>> at = lambda state: td.theory.lyapunov_candidate(dynamics, features, state)
        >>> bool(at(later) < at(state))
        True
    """
    if not isinstance(state, State):
        raise checks.bad("state", "a State (td.init makes one)", f"a {type(state).__name__}")
    part, rows, tokens, exists = _given(dynamics, features, state.tokens, mask, allowed=(Attraction, Inertia))
    carrying = [i for i, one in enumerate(dynamics.parts) if isinstance(one, Inertia)]
    if not carrying:
        return _energy(_temperature(part), rows, tokens, exists)
    if checks.is_concrete(part.rate) and float(part.rate) == 0:
        raise checks.bad("dynamics", "an attraction with a rate above 0", 0.0)
    momentum = jnp.asarray(dynamics.parts[carrying[0]].momentum, tokens.dtype)
    return _with_kinetic(part, rows, tokens, exists, tokens - state.memory[carrying[0]], momentum)


@jax.jit
def _with_kinetic(
    part: Attraction, rows: jax.Array, tokens: jax.Array, exists: jax.Array | None, moved: jax.Array, momentum: Any
) -> jax.Array:
    _, mass = _sums(_temperature(part), rows, tokens, exists)
    kinetic = jnp.sum(mass * jnp.sum(moved * moved, axis=1))
    return _energy(_temperature(part), rows, tokens, exists) + momentum / part.rate * kinetic


def _given(
    dynamics: Dynamics, features: Any, tokens: Any, mask: Any, *, allowed: tuple[type, ...] | None, floor: bool = True
) -> tuple[Attraction, jax.Array, jax.Array, jax.Array | None]:
    """The attraction in the features' dtype, and the other arguments checked."""
    name, part = only_attraction(dynamics, allowed=allowed)
    if not floor:
        without_floor(name, part)
    cast, rows, places, exists, _, _ = checked(
        dynamics, jax.random.key(0), features, num_tokens=None, tokens=tokens, mask=mask, token_mask=None
    )
    assert places is not None
    return cast.part(name, Attraction), rows, places, exists


def _temperature(part: Attraction) -> jax.Array:
    return jnp.maximum(part.temperature, part.temperature_floor)


def _by_rows(function: Any, features: jax.Array, tokens: jax.Array, mask: jax.Array | None) -> jax.Array:
    """Sum over features of a function of squared distances `[n, K]` and features `[n, D]`, few rows at a time."""
    rows = max(1, min(len(features), _MOST_NUMBERS // max(tokens.size, 1)))
    exists = jnp.ones(len(features), bool) if mask is None else mask
    spare = -len(features) % rows
    padded = jnp.pad(features, ((0, spare), (0, 0))).reshape(-1, rows, features.shape[1])
    there = jnp.pad(exists, (0, spare)).reshape(-1, rows)
    if len(padded) == 1:
        return function(padded[0], there[0])
    return jax.tree.map(lambda x: x.sum(axis=0), jax.lax.map(lambda one: function(*one), (padded, there)))


def _logits(temperature: jax.Array, features: jax.Array, tokens: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Least squared distance `[n]`, and logits relative to it `[n, K]`; at temperature 0 they are 0 or -infinity."""
    squared = squared_distances(features, tokens)
    least = squared.min(axis=1)
    above = squared - least[:, None]
    heat = jnp.where(temperature > 0, temperature, 1.0)
    return least, jnp.where(temperature > 0, -above / heat, jnp.where(above > 0, -jnp.inf, 0.0))


@jax.jit
def _energy(temperature: jax.Array, features: jax.Array, tokens: jax.Array, mask: jax.Array | None) -> jax.Array:
    def some(rows: jax.Array, there: jax.Array) -> jax.Array:
        least, logits = _logits(temperature, rows, tokens)
        return jnp.sum(jnp.where(there, least - temperature * logsumexp(logits, axis=1), 0.0))

    return _by_rows(some, features, tokens, mask)


def _sums(temperature: jax.Array, features: jax.Array, tokens: jax.Array, mask: jax.Array | None) -> Any:
    """`sum_i w_ik (x_i - s_k)` `[K, D]` and masses `[K]`."""

    def some(rows: jax.Array, there: jax.Array) -> Any:
        _, logits = _logits(temperature, rows, tokens)
        weights = jnp.where(there[:, None], jax.nn.softmax(logits, axis=1), 0.0)
        mass = weights.sum(axis=0)
        return jnp.einsum("nk,nkd->kd", weights, rows[:, None] - tokens[None]), mass

    return _by_rows(some, features, tokens, mask)


def _divergence(
    temperature: jax.Array, features: jax.Array, tokens: jax.Array, after: jax.Array, mask: jax.Array | None
) -> jax.Array:
    def some(rows: jax.Array, there: jax.Array) -> jax.Array:
        (_, old), (_, new) = (_logits(temperature, rows, one) for one in (tokens, after))
        before, later = jax.nn.log_softmax(old, axis=1), jax.nn.log_softmax(new, axis=1)
        weights = jnp.exp(before)
        terms = jnp.where(weights > 0, weights * (before - later), 0.0)
        return jnp.sum(jnp.where(there, terms.sum(axis=1), 0.0))

    return temperature * _by_rows(some, features, tokens, mask)
