"""Algebra with an inverse: parts put into roles, and each found again by dividing its role out."""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np

from tokdyn import draws, geometry, keys
from tokdyn.studies.composition.design import CHANNELS, FILLERS, FRAMES, SIDE

SHAPE = (SIDE, SIDE, CHANNELS)
NUMBERS = math.prod(SHAPE)


@functools.partial(jax.jit, static_argnums=1)
def found_again(key: jax.Array, seeds: int) -> jax.Array:
    """Share of the parts of a frame that are the nearest of all fillers once their role is divided out.

    Args:
        key: of roles and fillers.
        seeds: how many frames of each size (static).

    Returns:
        `[frames, seeds]`, in the order of ``FRAMES``.
    """

    def once(seed: jax.Array) -> jax.Array:
        own = keys.for_seed(key, seed)
        roles = geometry.unitary_codes(keys.for_purpose(own, "roles"), max(FRAMES), SHAPE)
        fillers = draws.normal(keys.for_purpose(own, "fillers"), (FILLERS, *SHAPE), jnp.result_type(float))
        shares = []
        for count in FRAMES:  # fillers are drawn in no order: the first ones are any
            whole = geometry.compose(fillers[:count], "roles", roles=roles[:count], axes=3)
            back = geometry.unbind(jnp.broadcast_to(whole, (count, *SHAPE)), roles[:count], axes=3)
            nearest = jnp.argmax(back.reshape(count, -1) @ fillers.reshape(FILLERS, -1).T, axis=1)
            shares.append(jnp.mean(nearest == jnp.arange(count)))
        return jnp.stack(shares)

    return jax.vmap(once)(jnp.arange(seeds)).T


def expected() -> list[float]:
    r"""What ``found_again`` should be for many numbers D.

    A filler's product with itself is `D`, give or take `\sqrt{2 D}`; with the other parts of the frame and with other
    fillers noise of variance about `P D`. So the right one wins against `n - 1` others with probability
    `\int \varphi(x) \Phi(x + \sqrt{D / P})^{n - 1} dx`, where the variance of the right one's own product is that of
    the others.

    Returns:
        A number for each of ``FRAMES``.

    Example:
        >>> from tokdyn.studies.composition.frames import expected
        >>> [round(value, 2) for value in expected()]
        [1.0, 1.0, 0.99, 0.85]
    """
    from scipy.special import ndtr

    x = np.linspace(-9, 9, 4001)
    density = np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)
    wins = [density * ndtr(x + math.sqrt(NUMBERS / count)) ** (FILLERS - 1) for count in FRAMES]
    return [float(np.trapezoid(one, x)) for one in wins]
