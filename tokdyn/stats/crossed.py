"""Bootstrap of a mean over two crossed factors, in which every seed has answered every item."""

from __future__ import annotations

import jax
import numpy as np
from numpy.typing import ArrayLike

from tokdyn import keys
from tokdyn.checks import bad, random_key, whole_number
from tokdyn.stats.bootstrap import BootstrapInterval
from tokdyn.stats.inputs import numbers, probability, rounding

_RESAMPLES_PER_BLOCK = 256


def crossed_bootstrap(
    key: jax.Array, values: ArrayLike, *, num_resamples: int = 10_000, confidence: float = 0.95
) -> BootstrapInterval:
    r"""Interval of a mean over crossed seeds and items, both resampled independently (pigeonhole bootstrap).

    ``hierarchical_bootstrap`` draws new items within each drawn seed, so that an item that is hard for every seed
    averages out as if it were a different item each time. Here a drawn item is used with all seeds, and vice versa.
    With variances `\sigma_s^2, \sigma_i^2, \sigma^2` of seeds, items and the rest, the variance of the mean is
    `\sigma_s^2/S + \sigma_i^2/I + \sigma^2/(SI)`, and the resampled one is about that with 3 `\sigma^2`: never too
    narrow for many seeds, and too wide by at most `\sqrt 3`. With few seeds it is too narrow in their part, as every
    bootstrap is: by about `\sqrt{(S-1)/S}`.

    Args:
        key: a JAX key.
        values: `[..., seeds, items]`, at least two of each.
        num_resamples: number of resamples.
        confidence: confidence level, between 0 and 1.

    Returns:
        `BootstrapInterval`; ``degenerate`` if all resamples give the same number.

    Raises:
        ValueError: NaN, or fewer than two seeds or items.

    References:
        Owen (2007), The pigeonhole bootstrap. Annals of Applied Statistics 1, 386-411.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from tokdyn.stats import crossed_bootstrap
        >>> interval = crossed_bootstrap(jax.random.key(0), [[0.0, 1.0, 1.0], [0.0, 1.0, 0.0]], num_resamples=999)
        >>> float(interval.estimate), bool(interval.low < 0.5 < interval.high)
        (0.5, True)
    """
    random_key("key", key)
    array = numbers("values", values)
    if array.ndim < 2 or min(array.shape[-2:]) < 2 or array.size == 0:
        raise bad("values", "[..., seeds, items] with at least two of each", f"shape {array.shape}")
    num_resamples = whole_number("num_resamples", num_resamples, at_least=2)
    tail = (1 - probability("confidence", confidence)) / 2
    shape = array.shape[:-2]
    flat = array.reshape(-1, *array.shape[-2:])
    _, num_seeds, num_items = flat.shape
    # The key's bits seed a NumPy generator, because counts of draws (multinomials) exist in NumPy but not in XLA.
    words = np.asarray(jax.random.bits(keys.for_purpose(key, "crossed_bootstrap"), (4,)))
    generator = np.random.default_rng(words.tolist())
    blocks = []
    for start in range(0, num_resamples, _RESAMPLES_PER_BLOCK):
        size = min(_RESAMPLES_PER_BLOCK, num_resamples - start)
        seeds = generator.multinomial(num_seeds, np.full(num_seeds, 1 / num_seeds), size=size) / num_seeds
        items = generator.multinomial(num_items, np.full(num_items, 1 / num_items), size=size) / num_items
        blocks.append(np.einsum("rs,tsi,ri->tr", seeds, flat, items, optimize=True))
    drawn = np.concatenate(blocks, axis=-1)
    estimate = flat.mean(axis=(-2, -1))
    low, high = np.quantile(drawn, [tail, 1 - tail], axis=-1)
    # Sums of products in a different order: rounding errors grow with the number of terms.
    scale = np.abs(flat).max(axis=(-2, -1)) * 16 * max(rounding(values), np.finfo(np.float64).eps * num_seeds)
    degenerate = drawn.max(axis=-1) - drawn.min(axis=-1) <= scale
    return BootstrapInterval(
        estimate=estimate.reshape(shape),
        standard_error=np.where(degenerate, 0.0, drawn.std(axis=-1, ddof=1)).reshape(shape),
        low=np.where(degenerate, estimate, low).reshape(shape),
        high=np.where(degenerate, estimate, high).reshape(shape),
        degenerate=degenerate.reshape(shape),
    )
