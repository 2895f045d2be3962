"""A pattern as a few round bumps: each word has their places, widths and colours."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from tokdyn import checks, draws
from tokdyn.autoencoder import layers
from tokdyn.autoencoder.encoders import common
from tokdyn.dynamics.parts import part, static


class _GaussianMixture(layers.Module):
    of: GaussianMixture

    @layers.compact
    def __call__(self, ids: jax.Array, *, train: bool) -> jax.Array:
        of, dtype = self.of, common.floating()
        shape = (of.vocabulary_size, of.bumps)
        place = self.param("place", lambda key, shape: draws.uniform(key, shape, dtype), (*shape, 2))
        log_radius = self.param("log_radius", jax.nn.initializers.zeros, shape, dtype)
        colour = self.param("colour", layers.normal(of.amplitude_std), (*shape, of.channels), dtype)
        down = (jnp.arange(of.height, dtype=dtype) + 0.5) / of.height
        right = (jnp.arange(of.width, dtype=dtype) + 0.5) / of.width
        precision = 0.5 * jnp.exp(-2.0 * log_radius[ids]) / of.radius**2
        # A round bump is a product of one along each side: [batch, bumps, H] times [batch, bumps, W].
        vertical, horizontal = (
            jnp.exp(-precision[..., None] * (side - place[ids][..., axis, None]) ** 2)
            for axis, side in enumerate((down, right))
        )
        return jnp.einsum("bmi,bmj,bmc->bijc", vertical, horizontal, colour[ids])


@part
class GaussianMixture(common.WordEncoder):
    """See ``gaussian_mixture``."""

    radius: jax.Array
    amplitude_std: jax.Array
    vocabulary_size: int = static()
    cells: int = static()
    channels: int = static()
    height: int = static()
    width: int = static()
    bumps: int = static(default=4)

    def module(self) -> layers.Module:
        return _GaussianMixture(self)


def gaussian_mixture(
    *,
    vocabulary_size: int,
    height: int,
    width: int,
    channels: int,
    bumps: int = 4,
    radius: float = 0.2,
    amplitude_std: float = 1.0,
) -> GaussianMixture:
    r"""Round bumps on a grid, learned for every word.

    .. math:: X_c(p) = \sum_{m} a_{mc} \exp\Big(-\frac{|p - q_m|^2}{2 r_m^2}\Big), \qquad r_m = r\,e^{\rho_m}

    `p` is the centre of a cell in the unit square, whose first axis points down. A word is `M (3 + C)` numbers, and
    the same word can be drawn on a grid of any size.

    Args:
        vocabulary_size: words.
        height: rows of cells.
        width: columns of cells.
        channels: `C`, numbers in each cell.
        bumps: `M`.
        radius: `r`, of all bumps before training, in sides of the square `[]`.
        amplitude_std: initial standard deviation of the amplitudes `a` `[]`.

    Returns:
        An encoder with ``height * width`` cells, row after row.

    Raises:
        ValueError: a size below 1, a radius that is not positive, or a negative scale.

    References:
        D. S. Broomhead, D. Lowe, Multivariable functional interpolation and adaptive networks, Complex Systems 1988.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from tokdyn.autoencoder import encoders
        >>> encoder = encoders.gaussian_mixture(vocabulary_size=4, height=8, width=8, channels=3)
        >>> encoder.apply(encoder.init(jax.random.key(0)), jnp.array([0, 3]))[0].shape
        (2, 64, 3)
    """
    sizes = common.check_sizes(
        vocabulary_size=vocabulary_size, height=height, width=width, channels=channels, bumps=bumps
    )
    return GaussianMixture(
        radius=checks.hyperparameter("radius", radius, above=0.0),
        **common.check_scales(amplitude_std=amplitude_std),
        **sizes,
        cells=sizes["height"] * sizes["width"],
    )
