"""What happens to a codebook of vectors: nearest codes, moving averages, k-means, revival. Pure functions of arrays.

``cells`` are `[N, channels]`, ``codebook`` `[codes, channels]`, ``mask`` `[N]`. Conventions (the smoothing, the order
of the steps, what a revived code's size becomes) are those of vector-quantize-pytorch 1.32, checked against it.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp

from tokdyn import checks, draws
from tokdyn.autoencoder.quantizers.common import unit

# Distances of cells and codes that are held at once: more cells than have room in these are taken a tile at a time.
MOST_DISTANCES = 2**22

# Laplace smoothing of the cluster sizes: an empty cluster divides by this share of one input, not by zero.
SMOOTHING = 1e-5


def nearest(cells: jax.Array, codebook: jax.Array, *, cosine: bool = False) -> jax.Array:
    """Number of the nearest code; of several, the first.

    At most ``MOST_DISTANCES`` numbers of the array `[cells, codes]` exist at once, which is 16 MiB in float32.

    Args:
        cells: `[..., channels]`.
        codebook: `[codes, channels]`.
        cosine: largest scalar product instead of smallest distance.

    Returns:
        `[...]` int32.
    """
    # About the codebook's mean, so that little cancels where all of it is far from the origin.
    middle = jnp.zeros((), codebook.dtype) if cosine else jnp.mean(codebook, axis=0)
    centred = codebook if cosine else codebook - middle
    halves = 0.5 * jnp.sum(centred * centred, axis=-1)

    def chosen(cells: jax.Array) -> jax.Array:
        scores = jnp.matmul(cells if cosine else cells - middle, centred.T, precision=jax.lax.Precision.HIGHEST)
        return jnp.argmax(scores if cosine else scores - halves, axis=-1).astype(jnp.int32)

    number, num_codes = math.prod(cells.shape[:-1]), codebook.shape[0]
    if number * num_codes <= MOST_DISTANCES:
        return chosen(cells)
    tile = max(1, MOST_DISTANCES // num_codes)
    flat = cells.reshape(number, cells.shape[-1])
    tiles = jnp.pad(flat, ((0, -number % tile), (0, 0))).reshape(-1, tile, flat.shape[-1])
    return jax.lax.map(chosen, tiles).reshape(-1)[:number].reshape(cells.shape[:-1])


def cluster_sums(cells: jax.Array, indices: jax.Array, mask: jax.Array, num_codes: int) -> tuple[jax.Array, jax.Array]:
    """Sizes `[codes]` and sums `[codes, channels]` of the cells of each code.

    Each cell is added to the row of its code, and no array of cells and codes is made. On a GPU the order of the
    additions, and with it the last digit, may change from run to run (``--xla_gpu_deterministic_ops`` keeps it).
    """
    owners = jnp.where(mask, indices, num_codes)  # a row too many, which is left out: nobody owns a masked cell
    sizes = jnp.zeros(num_codes, jnp.int32).at[owners].add(1, mode="drop").astype(cells.dtype)
    return sizes, jnp.zeros((num_codes, cells.shape[-1]), cells.dtype).at[owners].add(cells, mode="drop")


def averaged(sizes: jax.Array, sums: jax.Array, *, cosine: bool = False) -> jax.Array:
    r"""The codebook that moving averages stand for, `m_k / \tilde N_k` with smoothed sizes.

    .. math:: \tilde N_k = \frac{N_k + \epsilon}{N + K \epsilon} N,\qquad N = \sum_k N_k
    """
    total = jnp.sum(sizes)
    smoothed = (sizes + SMOOTHING) / (total + sizes.shape[0] * SMOOTHING) * total
    codebook = sums / smoothed[:, None]
    return unit(codebook) if cosine else codebook


def kmeans(
    cells: jax.Array, start: jax.Array, *, steps: int, mask: jax.Array | None = None, cosine: bool = False
) -> tuple[jax.Array, jax.Array]:
    """A few steps of Lloyd's algorithm.

    Args:
        cells: `[N, channels]`.
        start: the first means `[codes, channels]`.
        steps: static, at least 1.
        mask: cells that exist `[N]`; the others may not be NaN.
        cosine: on the sphere: nearest by scalar product, means of length one.

    Returns:
        means `[codes, channels]` and the sizes of their clusters `[codes]`; a mean that owns nothing stays.

    Raises:
        ValueError: fewer than one step.
    """
    steps = checks.whole_number("steps", steps, at_least=1)
    mask = jnp.ones(cells.shape[0], bool) if mask is None else mask

    def step(_: jax.Array, carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        means, _sizes = carry
        sizes, sums = cluster_sums(cells, nearest(cells, means, cosine=cosine), mask, means.shape[0])
        moved = sums / jnp.maximum(sizes, 1.0)[:, None]
        moved = unit(moved) if cosine else moved
        return jnp.where((sizes > 0)[:, None], moved, means), sizes

    return jax.lax.fori_loop(0, steps, step, (start, jnp.zeros(start.shape[0], start.dtype)))


def random_cells(key: jax.Array, cells: jax.Array, mask: jax.Array, count: int) -> jax.Array:
    """Different cells `[count, channels]` among those that exist, repeated only where there are too few."""
    order = _chosen_first(draws.uniform(key, mask.shape, jnp.float32), mask)
    return cells[order[jnp.arange(count) % jnp.maximum(jnp.sum(mask), 1)]]


def revival(key: jax.Array, cells: jax.Array, mask: jax.Array, dead: jax.Array) -> tuple[jax.Array, jax.Array]:
    """New places for dead codes: random cells of the batch, each for one code.

    Args:
        key: of the draw.
        cells: `[N, channels]`.
        mask: cells that exist `[N]`.
        dead: codes to be replaced `[codes]`.

    Returns:
        places `[codes, channels]`, and which codes get theirs `[codes]`: where more codes are dead than cells exist, a
        random choice of them, since two codes in one place would be one code.
    """
    numbers = draws.uniform(key, (mask.shape[0] + dead.shape[0],), jnp.float32)
    order = _chosen_first(numbers[: mask.shape[0]], mask)
    queue = _chosen_first(numbers[mask.shape[0] :], dead)
    rank = jnp.zeros_like(queue).at[queue].set(jnp.arange(queue.shape[0], dtype=queue.dtype))
    revived = dead & (rank < jnp.sum(mask))
    return cells[order[jnp.minimum(rank, cells.shape[0] - 1)]], revived


def _chosen_first(numbers: jax.Array, chosen: jax.Array) -> jax.Array:
    """The permutation that sorts numbers below 1, those that are chosen before all others."""
    return jnp.argsort(jnp.where(chosen, numbers, 2.0))
