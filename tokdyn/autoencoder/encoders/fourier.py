"""A pattern as a sum of waves: each word has amplitudes of low frequencies, and nothing else."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from tokdyn import checks
from tokdyn.autoencoder import layers
from tokdyn.autoencoder.encoders import common
from tokdyn.dynamics.parts import part, static


class _Fourier(layers.Module):
    of: Fourier

    @layers.compact
    def __call__(self, ids: jax.Array, *, train: bool) -> jax.Array:
        of, dtype = self.of, common.floating()
        basis = waves(of.height, of.width, of.frequencies)
        squared = (_wave_numbers(of.frequencies)[:, :2] ** 2).sum(1)
        falling = jnp.asarray(1.0 + squared, dtype) ** (-0.5 * of.decay)
        energy = jnp.sum(falling**2 * jnp.asarray((basis**2).mean(1), dtype))
        scale = of.amplitude_std * falling / jnp.sqrt(energy)
        amplitudes = self.param(
            "amplitude", layers.normal(scale[:, None]), (of.vocabulary_size, len(basis), of.channels), dtype
        )
        return jnp.einsum("bwc,wp->bpc", amplitudes[ids], jnp.asarray(basis, dtype))


@part
class Fourier(common.WordEncoder):
    """See ``fourier``."""

    amplitude_std: jax.Array
    decay: jax.Array
    vocabulary_size: int = static()
    cells: int = static()
    channels: int = static()
    height: int = static()
    width: int = static()
    frequencies: int = static(default=2)

    def module(self) -> layers.Module:
        return _Fourier(self)


def fourier(
    *,
    vocabulary_size: int,
    height: int,
    width: int,
    channels: int,
    frequencies: int = 2,
    amplitude_std: float = 1.0,
    decay: float = 0.0,
) -> Fourier:
    r"""Waves over a grid, with learned amplitudes for every word.

    .. math::

        X_{ijc} = \sum_{(u, v)} a_{uvc} \cos\phi_{uv} + b_{uvc} \sin\phi_{uv}, \qquad
        \phi_{uv} = 2\pi \Big(\frac{u i}{H} + \frac{v j}{W}\Big)

    over `|u|, |v| \le F`, one of each pair `\pm(u, v)`: `(2F + 1)^2` waves, orthogonal on the grid. Patterns are
    smooth, and what a word can be is bounded by the frequencies, not by the number of cells.

    Args:
        vocabulary_size: words.
        height: `H`, rows of cells.
        width: `W`, columns of cells.
        channels: numbers in each cell.
        frequencies: `F`, the largest; `2F` is below ``height`` and ``width``.
        amplitude_std: initial root mean square of the patterns `[]`.
        decay: initial amplitudes fall as `(1 + u^2 + v^2)^{-d/2}` `[]`; 0 gives white noise of low frequencies.

    Returns:
        An encoder with ``height * width`` cells, row after row.

    Raises:
        ValueError: a size below 1, frequencies that the grid cannot tell apart, or a negative scale.

    Example:
        >>> import jax
        >>> from tokdyn.autoencoder import encoders
        >>> encoder = encoders.fourier(vocabulary_size=4, height=8, width=8, channels=3, frequencies=2)
        >>> encoder.init(jax.random.key(0))["params"]["amplitude"].shape
        (4, 25, 3)
    """
    sizes = common.check_sizes(vocabulary_size=vocabulary_size, height=height, width=width, channels=channels)
    frequencies = checks.whole_number("frequencies", frequencies, at_least=0)
    if 2 * frequencies >= min(sizes["height"], sizes["width"]):
        grid = f"{sizes['height']} x {sizes['width']}"
        raise checks.bad("frequencies", f"less than half of each side of the {grid} grid", frequencies)
    scales = common.check_scales(amplitude_std=amplitude_std, decay=decay)
    return Fourier(**scales, **sizes, cells=sizes["height"] * sizes["width"], frequencies=frequencies)


def waves(height: int, width: int, frequencies: int) -> np.ndarray:
    """The waves on a grid `[(2 * frequencies + 1) ** 2, height * width]` float64: 1, then a cosine and a sine each.

    Args:
        height: rows of cells.
        width: columns of cells.
        frequencies: the largest along each side.

    Returns:
        One wave a row, in the order of the amplitudes.
    """
    rows, columns = np.meshgrid(np.arange(height) / height, np.arange(width) / width, indexing="ij")
    numbers = _wave_numbers(frequencies)
    phase = 2 * np.pi * (numbers[:, :1] * rows.reshape(-1) + numbers[:, 1:2] * columns.reshape(-1))
    return np.where(numbers[:, 2:] == 0, np.cos(phase), np.sin(phase))


def _wave_numbers(frequencies: int) -> np.ndarray:
    """Rows (u, v, whether it is the sine): half of the plane, since the other half repeats it."""
    span = range(-frequencies, frequencies + 1)
    half = [(u, v) for u in range(frequencies + 1) for v in span if (u, v) > (0, 0)]
    return np.array([(0, 0, 0), *((u, v, sine) for u, v in half for sine in (0, 1))])
