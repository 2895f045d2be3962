"""A word's number digit by digit: a few vectors for each digit instead of one for each word."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from tokdyn import checks
from tokdyn.autoencoder import layers
from tokdyn.autoencoder.encoders import common
from tokdyn.dynamics.parts import part, static


class _Factorised(layers.Module):
    of: Factorised

    @layers.compact
    def __call__(self, ids: jax.Array, *, train: bool) -> jax.Array:
        of = self.of
        shape = (of.digits, of.base, of.embedding)
        vectors = common.table_of_vectors(self, "embedding", shape, of.embedding_std / of.digits**0.5)
        digits = digits_of(ids, of.base, of.digits)
        summed = vectors[jnp.arange(of.digits), digits].sum(-2)
        return layers.Mlp(
            (of.width,) * of.depth, of.cells * of.channels, of.hidden_gain, common.fan_in(of.output_gain)
        )(summed, train=train)


@part
class Factorised(common.WordEncoder):
    """See ``factorised``."""

    embedding_std: jax.Array
    hidden_gain: jax.Array
    output_gain: jax.Array
    vocabulary_size: int = static()
    cells: int = static()
    channels: int = static()
    base: int = static()
    digits: int = static(default=2)
    embedding: int = static(default=64)
    width: int = static(default=128)
    depth: int = static(default=2)

    def module(self) -> layers.Module:
        return _Factorised(self)


def factorised(
    *,
    vocabulary_size: int,
    cells: int,
    channels: int,
    digits: int = 2,
    base: int | None = None,
    embedding: int = 64,
    width: int = 128,
    depth: int = 2,
    embedding_std: float = 1.0,
    hidden_gain: float = 2.0**0.5,
    output_gain: float = 2.0**0.5,
) -> Factorised:
    r"""A word's id as `k` digits of base `b`; the sum of one vector for each digit, through dense layers.

    .. math:: X = \mathrm{MLP}\Big(\sum_{j < k} E_j[\lfloor i / b^j \rfloor \bmod b]\Big), \qquad b^k \ge V

    The tables hold `k\,b = O(k V^{1/k})` vectors instead of `V`. Words with a common digit share what they learn
    there, which means something only where neighbouring ids do: sort the vocabulary accordingly, or take it as the
    price.

    Args:
        vocabulary_size: `V`, words.
        cells: of the pattern.
        channels: numbers in each cell.
        digits: `k`.
        base: `b`; by default the smallest that is large enough.
        embedding: length of the vectors.
        width: of the hidden layers.
        depth: how many of them; with 0 the pattern is a sum over the digits.
        embedding_std: initial standard deviation of the summed vector `[]`.
        hidden_gain: gain of the hidden layers' Xavier weights `[]`.
        output_gain: gain of the last layer's weights `[]`; see ``common.fan_in``.

    Returns:
        An encoder.

    Raises:
        ValueError: a size below 1, too small a base, or a negative scale.

    References:
        D. Svenstrup, J. M. Hansen, O. Winther, Hash embeddings for efficient word representations, NeurIPS 2017;
        R. Shu, H. Nakayama, Compressing word embeddings via deep compositional code learning, ICLR 2018.

    Example:
        >>> from tokdyn.autoencoder import encoders
        >>> encoders.factorised(vocabulary_size=50_000, cells=16, channels=3, digits=3).base
        37
    """
    sizes = common.check_sizes(
        vocabulary_size=vocabulary_size, cells=cells, channels=channels, digits=digits, embedding=embedding, width=width
    )
    number, count = sizes["vocabulary_size"], sizes["digits"]
    smallest = max(1, int(number ** (1 / count)) - 1)
    while smallest**count < number:
        smallest += 1
    base = smallest if base is None else checks.whole_number("base", base, at_least=1)
    if base < smallest:
        raise checks.bad("base", f"at least {smallest}, for {number} words of {count} digits", base)
    scales = common.check_scales(embedding_std=embedding_std, hidden_gain=hidden_gain, output_gain=output_gain)
    return Factorised(**scales, **sizes, base=base, depth=checks.whole_number("depth", depth, at_least=0))


def digits_of(ids: jax.Array, base: int, digits: int) -> jax.Array:
    """Digits of whole numbers, the lowest first: `[...]` -> `[..., digits]`."""
    found = []
    for _ in range(digits):
        found.append(ids % base)
        ids = ids // base
    return jnp.stack(found, axis=-1)
