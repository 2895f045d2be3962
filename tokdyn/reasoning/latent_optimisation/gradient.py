"""The gradient of a reward by Gaussian perturbations, with its standard error; no gradient of the reward is needed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from tokdyn import checks, keys
from tokdyn.dynamics.schedules import Scalar, Schedule

Reward = Callable[..., Any]
BASELINES = ("none", "leave_one_out")
UNITS = ("absolute", "relative")


class Estimate(NamedTuple):
    """An estimated gradient.

    Attributes:
        gradient: of the smoothed reward, of the latent's shape.
        standard_error: of each of its components, of the same shape; infinite for a single independent draw, from which
            nobody can tell.
        rewards: of the perturbed latents `[samples]`.
        perturbations: what was added to the latent `[samples, ...]`.
        num_evaluations: of the reward `[]` int32.
    """

    gradient: jax.Array
    standard_error: jax.Array
    rewards: jax.Array
    perturbations: jax.Array
    num_evaluations: jax.Array


def estimate_gradient(
    reward: Reward,
    latent: ArrayLike,
    *,
    key: jax.Array,
    sigma: float | jax.Array,
    num_samples: int,
    baseline: str = "none",
    antithetic: bool = False,
    unit: str = "absolute",
    stochastic: bool = False,
) -> Estimate:
    r"""REINFORCE with a Gaussian policy around the latent (evolution strategies).

    .. math:: g = \frac{1}{S}\sum_s \frac{(R(z+\epsilon_s) - b_s)\,\epsilon_s}{\sigma^2},\qquad
              \epsilon_s \sim N(0, \sigma^2 I)

    Its expectation is the gradient of the *smoothed* reward :math:`E[R(z+\epsilon)]`, which is that of R only where R
    is a polynomial of degree two at most. The variance does not fall with sigma: without a baseline it grows as
    :math:`R(z)^2/\sigma^2`, that of the best case (R linear, one pair or two samples with baseline) is
    :math:`|\nabla R|^2 + (\partial_i R)^2` whatever sigma is.

    With ``antithetic``, samples come in pairs that differ in sign; a reward's level and its even part cancel exactly.
    A baseline, which must be independent of the sample it is subtracted from, is then the mean over the *other pairs*;
    it cancels in the pair's difference, so that "leave_one_out" changes nothing there. Without pairs it removes the
    reward's mean level, at the price of a factor of about S / (S - 1) in the variance of what is left.

    Args:
        reward: ``reward(latent) -> []``, a pure JAX function.
        latent: where, any shape.
        key: of the perturbations (and of the reward's own noise).
        sigma: standard deviation of a perturbation, above 0 `[]`; traced.
        num_samples: evaluations of the reward (static); even for ``antithetic``.
        baseline: "none", or "leave_one_out": b is the mean reward of the other samples.
        antithetic: use each perturbation with both signs.
        unit: of sigma: "absolute", that of the latent; "relative", the root mean square of the whole latent.
        stochastic: call ``reward(latent, key)``, with another key for each evaluation.

    Returns:
        An ``Estimate``. Its squared standard error is an unbiased estimate of the variance.

    Raises:
        ValueError: naming the argument: sigma not above 0, no samples, one sample with a baseline, an odd number with
            ``antithetic``, a reward that is not one number, or (outside jit) one that is NaN or infinite.

    References:
        Williams (1992), Machine Learning 8, 229-256 (REINFORCE). Salimans et al., arXiv 1703.03864 (evolution
        strategies, antithetic pairs). Kool, van Hoof, Welling (2019), ICLR workshop "Buy 4 REINFORCE samples, get a
        baseline for free" (leave one out).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from tokdyn.reasoning.latent_optimisation import estimate_gradient
        >>> reward = lambda z: 1.0 - jnp.sum((z - 2.0) ** 2)
        >>> found = estimate_gradient(
        ...     reward, jnp.zeros(3), key=jax.random.key(0), sigma=0.1, num_samples=4000, antithetic=True
        ... )
        >>> bool((jnp.abs(found.gradient - 4.0) < 4 * found.standard_error).all()), int(found.num_evaluations)
        (True, 4000)
    """
    latent = checked_latent(latent)
    checks.random_key("key", key)
    sampling = checked_sampling(num_samples, baseline, antithetic)
    width = checked_sigma(sigma) * scale(latent, unit)
    found = perturbed(called(reward, latent, stochastic), latent, key, width, sampling)
    demand_finite(found.rewards)
    return found


class Sampling(NamedTuple):
    """How perturbations are drawn and used, all static."""

    num_samples: int
    baseline: str
    antithetic: bool


def perturbed(
    reward: Callable[[jax.Array, jax.Array], jax.Array],
    latent: jax.Array,
    key: jax.Array,
    sigma: ArrayLike,
    sampling: Sampling,
) -> Estimate:
    """``estimate_gradient`` of checked arguments; the reward takes a key."""
    num_samples, baseline, antithetic = sampling
    units = num_samples // 2 if antithetic else num_samples
    sigma = jnp.asarray(sigma, latent.dtype)
    # Not our own generator: XLA would inline it into whatever the reward computes, and compile for long.
    drawn = jax.random.normal(keys.for_purpose(key, "perturbations"), (units, *latent.shape), latent.dtype)
    signed = jnp.concatenate([drawn, -drawn]) if antithetic else drawn
    noise = jax.random.split(keys.for_purpose(key, "reward"), num_samples)
    rewards = jax.vmap(lambda change, key: reward(latent + sigma * change, key))(signed, noise)
    if antithetic:
        weights = (rewards[:units] - rewards[units:]) / 2
    elif baseline == "leave_one_out":
        # A reward less the mean of the others; less the mean of all first, so that no digits are lost.
        weights = (rewards - rewards.mean()) * (units / (units - 1))
    else:
        weights = rewards
    terms = _times(weights, drawn) / sigma
    gradient = terms.mean(axis=0)
    if units == 1:
        error = jnp.full_like(gradient, jnp.inf)
    else:
        variance = terms.var(axis=0, ddof=1) / units
        if baseline == "leave_one_out" and not antithetic:
            # Terms share their baselines: any two have covariance g^2 / (S - 1)^2, g being the true gradient. The
            # square of the estimate is on average g^2 plus the variance that is sought: solved for it.
            share = 1 / (units - 1) ** 2
            variance = (variance + share * gradient**2) / (1 + share)
        error = jnp.sqrt(variance)
    return Estimate(gradient, error, rewards, sigma * signed, jnp.int32(num_samples))


def _times(weights: jax.Array, arrays: jax.Array) -> jax.Array:
    """Each array times its weight."""
    return weights.reshape(-1, *[1] * (arrays.ndim - 1)) * arrays


def called(reward: Reward, latent: jax.Array, stochastic: bool) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """The reward as a function of latent and key, one number of the latent's dtype.

    Raises:
        ValueError: no function, or not one number.
    """
    if not callable(reward):
        raise checks.bad("reward", "a function of the latent", f"a {type(reward).__name__}")

    def call(latent: jax.Array, key: jax.Array) -> jax.Array:
        value = reward(latent, key) if stochastic else reward(latent)
        if jnp.shape(value) != ():
            raise checks.bad("reward", "a function that returns one number []", f"shape {jnp.shape(value)}")
        return jnp.asarray(value, latent.dtype)

    return call


def scale(latent: jax.Array, unit: str) -> Any:
    """What sigma is multiplied by `[]`.

    Raises:
        ValueError: an unknown unit, or (outside jit) a latent of zeros, which has no scale.
    """
    if checks.choice("unit", unit, UNITS) == "absolute":
        return 1.0
    size = jnp.sqrt(jnp.mean(latent**2))
    if checks.is_concrete(size) and size == 0:
        raise checks.bad("latent", 'numbers that are not all 0, of which a "relative" sigma is a share', "zeros")
    return size


def checked_latent(latent: ArrayLike) -> jax.Array:
    """A floating-point array of any shape, not empty.

    Raises:
        ValueError: anything else.
    """
    array = jnp.asarray(latent)
    if not jnp.issubdtype(array.dtype, jnp.floating) or array.size == 0:
        raise checks.bad("latent", "a floating-point array that is not empty", checks.describe_array(array))
    return array


def checked_sigma(sigma: Scalar) -> Any:
    """One number above 0, or a schedule of them.

    Raises:
        ValueError: anything else.
    """
    if not isinstance(sigma, Schedule) and np.ndim(sigma) != 0:
        raise checks.bad("sigma", "one number above 0", checks.describe_array(sigma))
    return checks.hyperparameter("sigma", sigma, above=0)


def checked_sampling(num_samples: int, baseline: str, antithetic: bool) -> Sampling:
    """How perturbations are drawn.

    Raises:
        ValueError: naming the argument.
    """
    num_samples = checks.whole_number("num_samples", num_samples, at_least=1)
    checks.choice("baseline", baseline, BASELINES)
    if antithetic and num_samples % 2:
        raise checks.bad("num_samples", "an even number for antithetic pairs", num_samples)
    if baseline == "leave_one_out" and num_samples == 1:
        raise checks.bad("num_samples", 'at least 2 for baseline "leave_one_out"', num_samples)
    return Sampling(num_samples, baseline, bool(antithetic))


def demand_finite(rewards: jax.Array) -> None:
    """Outside jit, where numbers are known, a reward that is NaN or infinite is an error.

    Raises:
        ValueError: naming ``reward``.
    """
    if checks.is_concrete(rewards) and not bool(jnp.isfinite(rewards).all()):
        count = int((~jnp.isfinite(rewards)).sum())
        raise checks.bad("reward", "finite numbers", f"{count} NaN or infinite of {rewards.size}")
