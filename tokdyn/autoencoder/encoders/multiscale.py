"""A pattern as a sum of grids, coarse to fine; words of one group may share the coarse one."""

from __future__ import annotations

import itertools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from tokdyn import checks
from tokdyn.autoencoder import layers
from tokdyn.autoencoder.encoders import common
from tokdyn.dynamics.parts import part, static


class _Multiscale(layers.Module):
    of: Multiscale

    @layers.compact
    def __call__(self, ids: jax.Array, *, train: bool) -> jax.Array:
        of = self.of
        words = common.table_of_vectors(self, "embedding", (of.vocabulary_size, of.embedding), of.embedding_std)[ids]
        coarse = words
        if of.groups is not None:
            groups = common.table_of_vectors(self, "groups", (of.num_groups, of.embedding), of.embedding_std)
            coarse = groups[jnp.asarray(of.groups)[ids]]
        strengths = jnp.asarray(of.strengths, words.dtype)
        side, previous, pattern = of.levels[-1], 0, jnp.zeros((), words.dtype)
        for number, level in enumerate(of.levels):
            grid = layers.Mlp(
                (of.width,) * of.depth, level * level * of.channels, of.hidden_gain, common.fan_in(of.output_gain)
            )(words if previous else coarse, train=train).reshape(-1, level, level, of.channels)
            if previous:  # what is finer than the level before, and nothing else
                grid = grid - upsampled(pooled(grid, previous), level)
            pattern = pattern + strengths[number] * upsampled(grid, side)
            previous = level
        return pattern


@part
class Multiscale(common.WordEncoder):
    """See ``multiscale``."""

    strengths: jax.Array
    embedding_std: jax.Array
    hidden_gain: jax.Array
    output_gain: jax.Array
    groups: jax.Array | None
    vocabulary_size: int = static()
    cells: int = static()
    channels: int = static()
    levels: tuple[int, ...] = static()
    num_groups: int = static(default=0)
    embedding: int = static(default=64)
    width: int = static(default=128)
    depth: int = static(default=1)

    def module(self) -> layers.Module:
        return _Multiscale(self)


def multiscale(
    *,
    vocabulary_size: int,
    channels: int,
    levels: tuple[int, ...] = (2, 4, 8),
    strengths: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    embedding: int = 64,
    width: int = 128,
    depth: int = 1,
    embedding_std: float = 1.0,
    hidden_gain: float = 2.0**0.5,
    output_gain: float = 2.0**0.5,
) -> Multiscale:
    r"""A square grid that is a sum of grids: each level adds only what the level before cannot show.

    .. math:: X = s_1 U(G_1) + \sum_{l > 1} s_l\, U\big(G_l - U(D_{l-1}(G_l))\big)

    `G_l` is a grid of side `\text{levels}_l` from dense layers on the word's vector, `U` repeats cells and `D`
    averages blocks. Hence `D_1(X) = s_1 G_1`: the coarse grid can be read off the pattern. With ``groups``, `G_1` is
    made of a vector of the word's group instead, so that words of one phrase or category look alike from afar.

    Args:
        vocabulary_size: words.
        channels: numbers in each cell.
        levels: sides of the grids, each dividing the next; the last is that of the pattern.
        strengths: `s` `[levels]`; by default `1 / \sqrt{\text{levels}}` each.
        groups: number of each word's group `[vocabulary]`, whole numbers from 0 up; None gives no groups.
        embedding: length of a word's and of a group's vector.
        width: of the hidden layers.
        depth: how many of them.
        embedding_std: initial standard deviation of the vectors `[]`.
        hidden_gain: gain of the hidden layers' Xavier weights `[]`.
        output_gain: gain of the last layers' weights `[]`; see ``common.fan_in``.

    Returns:
        An encoder with ``levels[-1] ** 2`` cells, row after row.

    Raises:
        ValueError: levels that do not divide each other, another number of strengths or groups, a size below 1, a
            negative scale.

    References:
        P. J. Burt, E. H. Adelson, The Laplacian pyramid as a compact image code, IEEE Trans. Communications 1983;
        K. Tian et al., Visual autoregressive modeling: scalable image generation via next-scale prediction, NeurIPS
        2024.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from tokdyn.autoencoder import encoders
        >>> encoder = encoders.multiscale(vocabulary_size=4, channels=3, levels=(2, 4))
        >>> encoder.apply(encoder.init(jax.random.key(0)), jnp.array([0, 3]))[0].shape
        (2, 16, 3)
    """
    sizes = common.check_sizes(vocabulary_size=vocabulary_size, channels=channels, embedding=embedding, width=width)
    levels = tuple(checks.whole_number("levels", level, at_least=1) for level in levels)
    if not levels or any(fine <= coarse or fine % coarse for coarse, fine in itertools.pairwise(levels)):
        raise checks.bad("levels", "rising sides of grids, each dividing the next", levels)
    if strengths is None:
        strengths = np.full(len(levels), 1 / math.sqrt(len(levels)))
    shares = checks.hyperparameter("strengths", strengths, at_least=0.0)
    if np.shape(shares) != (len(levels),):
        expected = f"one number for each of the {len(levels)} levels"
        raise checks.bad("strengths", expected, checks.describe_array(shares))
    numbers, num_groups = _groups(groups, sizes["vocabulary_size"])
    scales = common.check_scales(embedding_std=embedding_std, hidden_gain=hidden_gain, output_gain=output_gain)
    return Multiscale(
        strengths=shares, groups=numbers, **scales, **sizes, cells=levels[-1] ** 2, levels=levels,
        num_groups=num_groups, depth=checks.whole_number("depth", depth, at_least=0),
    )  # fmt: skip


def pooled(grid: jax.Array, side: int) -> jax.Array:
    """Averages of blocks: `[batch, S, S, C]` -> `[batch, side, side, C]`, where side divides S."""
    batch, block = grid.shape[0], grid.shape[1] // side
    return grid.reshape(batch, side, block, side, block, -1).mean((2, 4))


def upsampled(grid: jax.Array, side: int) -> jax.Array:
    """Cells repeated: `[batch, s, s, C]` -> `[batch, side, side, C]`, where s divides side."""
    block = side // grid.shape[1]
    return jnp.repeat(jnp.repeat(grid, block, axis=1), block, axis=2)


def _groups(groups: Any, vocabulary_size: int) -> tuple[Any, int]:
    """The number of groups is a size, so that their numbers must be known."""
    if groups is None:
        return None, 0
    expected = f"known whole numbers from 0 up, one for each of the {vocabulary_size} words"
    if not checks.is_concrete(groups):
        raise checks.bad("groups", expected, "a traced array")
    numbers = np.asarray(groups)
    if numbers.shape != (vocabulary_size,) or numbers.dtype.kind not in "iu":
        raise checks.bad("groups", expected, checks.describe_array(numbers))
    if numbers.min() < 0:
        raise checks.bad("groups", expected, numbers.min())
    return numbers.astype(np.int32), int(numbers.max()) + 1
