"""Laws of tokens that attend to each other, and of latents that are fed back through a random network."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from tokdyn import checks
from tokdyn.dynamics import Dynamics, EnergyTransformer
from tokdyn.dynamics.slot_attention import layer_norm
from tokdyn.dynamics.sphere import on_sphere
from tokdyn.solve import stepping


def interaction_energy(tokens: ArrayLike, *, inverse_temperature: ArrayLike) -> jax.Array:
    r"""What rises along the flow of ``td.sphere_attention``: how close tokens on the sphere are to each other.

    .. math:: E = \frac{1}{2 \beta K^2} \sum_{jk} e^{\beta\, s_j \cdot s_k}

    Its gradient on the sphere is the velocity times a positive number for each token, so that E rises until every
    velocity is 0; it is largest, `e^\beta / (2 \beta)`, where all tokens coincide.

    Args:
        tokens: `[K, D]`; only their directions count.
        inverse_temperature: `\beta` `[]`, above 0.

    Returns:
        `[]`.

    Raises:
        ValueError: not floating-point `[K, D]`.

    References:
        B. Geshkovski, C. Letrouit, Y. Polyanskiy, P. Rigollet, arXiv:2312.10794.

    Example:
        >>> import numpy as np, tokdyn as td
        >>> energy = td.theory.interaction_energy(np.ones((5, 2), np.float32), inverse_temperature=1.0)
        >>> round(float(energy), 4)  # e / 2
        1.3591
    """
    at = on_sphere(checks.floating("tokens", tokens, axes="[K, D]"))
    beta = jnp.asarray(inverse_temperature, at.dtype)
    products = jnp.matmul(at, at.T, precision=jax.lax.Precision.HIGHEST)
    return jnp.mean(jnp.exp(beta * products)) / (2 * beta)


def equiangular_path(times: ArrayLike, *, num_tokens: int, inverse_temperature: float) -> np.ndarray:
    r"""The common inner product of tokens that start orthogonal, along the flow of ``td.sphere_attention``.

    By symmetry all inner products of K orthogonal tokens stay equal, and

    .. math::
        \dot\gamma = \frac{2 e^{\beta\gamma} (1 - \gamma) ((K - 1)\gamma + 1)}{e^\beta + (K - 1) e^{\beta\gamma}},
        \qquad \gamma(0) = 0.

    Solved by SciPy's ``DOP853`` to 12 digits.

    Args:
        times: increasing, from 0 on `[T]`.
        num_tokens: K, at least 2 and at most the dimension, or there is no such start.
        inverse_temperature: `\beta`, at least 0.

    Returns:
        `\gamma` at those times `[T]`, in float64.

    Raises:
        ValueError: fewer than two tokens, times that are not increasing from 0 on, or a number out of range.

    References:
        B. Geshkovski, C. Letrouit, Y. Polyanskiy, P. Rigollet, arXiv:2312.10794.

    Example:
        >>> import tokdyn as td
        >>> td.theory.equiangular_path([0.0, 1.0, 50.0], num_tokens=4, inverse_temperature=1.0).round(3).tolist()
        [0.0, 0.479, 1.0]
    """
    from scipy.integrate import solve_ivp

    num_tokens = checks.whole_number("num_tokens", num_tokens, at_least=2)
    beta = float(checks.hyperparameter("inverse_temperature", inverse_temperature, at_least=0.0))
    when = np.asarray(times, np.float64)
    if when.ndim != 1 or len(when) == 0 or when[0] < 0 or (np.diff(when) <= 0).any():
        raise checks.bad("times", "increasing numbers from 0 on [T]", checks.shown(times))

    def rate(_: float, gamma: np.ndarray) -> np.ndarray:
        nearer = np.exp(beta * (gamma - 1))  # e^(beta gamma), divided by e^beta as the rest is
        return 2 * nearer * (1 - gamma) * ((num_tokens - 1) * gamma + 1) / (1 + (num_tokens - 1) * nearer)

    if when[-1] == 0:
        return np.zeros(1)
    solved = solve_ivp(rate, (0.0, when[-1]), [0.0], t_eval=when, method="DOP853", rtol=1e-12, atol=1e-14)
    return solved.y[0]


def transformer_energy(
    dynamics: Dynamics, features: ArrayLike, tokens: ArrayLike, *, mask: ArrayLike | None = None
) -> jax.Array:
    """The energy that ``td.energy_transformer`` descends.

    Along the flow `ds/dt = -dE/dn`, n the normalised tokens, it changes by `-(dE/dn)^T J (dE/dn)`, J the Jacobian of
    the layer norm, which is symmetric and positive semidefinite: it never rises, whatever the features. Of steps that
    is true if the rate is small enough.

    Args:
        dynamics: one ``td.energy_transformer`` and nothing else, without schedules.
        features: `[N, D]`.
        tokens: `[K, D]`.
        mask: which features exist `[N]`.

    Returns:
        `[]`.

    Raises:
        ValueError: other parts, or bad shapes.

    Example:
        >>> import jax, tokdyn as td
        >>> step = td.compose(descend=td.energy_transformer())
        >>> features = jax.random.normal(jax.random.key(0), (20, 8))
        >>> _, path = td.trajectory(step, None, features, tokens=features[:4], num_steps=2)
        >>> before, after = (td.theory.transformer_energy(step, features, tokens) for tokens in path)
        >>> bool(after < before)
        True
    """
    if len(dynamics) != 1 or not isinstance(dynamics.parts[0], EnergyTransformer):
        got = ", ".join(type(part).__name__ for part in dynamics.parts)
        raise checks.bad("dynamics", "one energy_transformer and nothing else", got)
    dynamics, rows, places, exists, _, _ = stepping.checked(
        dynamics, None, features, num_tokens=None, tokens=tokens, mask=mask, token_mask=None
    )
    part = dynamics.parts[0]
    assert places is not None
    return part.energy(layer_norm(places), part.prepare(rows, exists, None))


def critical_gain(weights: ArrayLike) -> float:
    """The gain of a tanh recurrence below which all latents die out: one over the spectral radius of its matrix.

    At the origin the step `tanh(g W s)` has the Jacobian `g W`, so that a small latent is multiplied by `g rho(W)` a
    step in the long run. Above it the origin is unstable. For independent entries of variance `1 / D` the spectral
    radius tends to 1 with D (the circular law), and the largest Lyapunov exponent becomes positive just above.

    Args:
        weights: `W` `[D, D]`.

    Returns:
        The gain, in float64; infinite for a nilpotent matrix.

    Raises:
        ValueError: not a square floating-point matrix.

    References:
        H. Sompolinsky, A. Crisanti, H. J. Sommers, Phys. Rev. Lett. 61 (1988) 259.

    Example:
        >>> import numpy as np, tokdyn as td
        >>> td.theory.critical_gain(np.diag([0.5, -2.0]))
        0.5
    """
    matrix = np.asarray(checks.floating("weights", np.asarray(weights), axes="[D, D]", xp=np), np.float64)
    if matrix.shape[0] != matrix.shape[1] or 0 in matrix.shape:
        raise checks.bad("weights", "a square matrix [D, D]", checks.describe_array(matrix))
    radius = np.abs(np.linalg.eigvals(matrix)).max()
    return float(np.inf if radius == 0 else 1 / radius)


def norm_path(
    start: float, *, num_steps: int, weight_scale: float, dimension: int, input_norm: float = 0.0
) -> np.ndarray:
    r"""Mean lengths of latents under `z' = \mathrm{relu}(W [z; x])` with independent normal weights of that scale.

    Each new coordinate is a normal number of variance `\sigma_w^2 (r_t^2 + |x|^2)`, of which relu keeps half the
    square:

    .. math:: r_{t+1}^2 = \tfrac12 \sigma_w^2 D (r_t^2 + |x|^2)

    Lengths grow without bound where `\sigma_w^2 D > 2`; the critical scale is `\sqrt{2 / D}`.

    Args:
        start: `r_0`.
        num_steps: how many steps.
        weight_scale: `\sigma_w`.
        dimension: D.
        input_norm: `|x|`, the length of the inputs: about 10 for 100 standard normal numbers.

    Returns:
        `[num_steps + 1]`, the start first.

    Raises:
        ValueError: a number out of range.

    Example:
        >>> import tokdyn as td
        >>> path = td.theory.norm_path(1.0, num_steps=4, weight_scale=0.1, dimension=768, input_norm=10.0)
        >>> round(float(path[-1] / path[0]))  # a published 165 with one draw of the weights
        172
    """
    num_steps = checks.whole_number("num_steps", num_steps, at_least=0)
    dimension = checks.whole_number("dimension", dimension, at_least=1)
    factor = float(checks.hyperparameter("weight_scale", weight_scale, at_least=0.0)) ** 2 * dimension / 2
    squares = [float(checks.hyperparameter("start", start, at_least=0.0)) ** 2]
    driven = float(checks.hyperparameter("input_norm", input_norm, at_least=0.0)) ** 2
    for _ in range(num_steps):
        squares.append(factor * (squares[-1] + driven))
    return np.sqrt(squares)
