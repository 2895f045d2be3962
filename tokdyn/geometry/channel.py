r"""Codes of words through a noisy channel: how many come back, and how near in meaning are those that do not.

The best decoder takes the nearest code. Between two words at distance d it errs, under Gaussian noise of deviation
`\sigma`, with probability `\Phi(-d / 2\sigma)`; under flips of bits, where m bits differ, when more than half of them
flip. Over all words that bounds the share that comes back from both sides.
"""

from __future__ import annotations

import functools
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import betainc, ndtr
from numpy.typing import ArrayLike

from tokdyn import checks, draws, keys
from tokdyn.dynamics.sphere import on_sphere
from tokdyn.geometry.preservation import _ranks

Channel = Literal["gaussian", "flips"]
CHANNELS = ("gaussian", "flips")


class Recovery(NamedTuple):
    """What comes out of a channel.

    Attributes:
        exact: share of the words that come back `[]`.
        at_least: what that is at least on average, by the sum of all pairs `[]`.
        at_most: what it is at most on average, by the worst pair of each word `[]`.
        closeness: mean likeness in meaning of a wrong word and the one that was sent `[]`; NaN without any error.
        rank: of the wrong word among the others, by likeness to the one sent: 0 for the most alike, 1 for the least,
            0.5 by chance, mean over errors `[]`; NaN without any error.
        closeness_by_chance: mean likeness of two words `[]`.
        closeness_at_most: mean likeness of a word and the most alike `[]`.
    """

    exact: jax.Array
    at_least: jax.Array
    at_most: jax.Array
    closeness: jax.Array
    rank: jax.Array
    closeness_by_chance: jax.Array
    closeness_at_most: jax.Array


def whitened(vectors: ArrayLike, exponent: ArrayLike) -> jax.Array:
    r"""Vectors of which the structure is taken away by a dial: singular values s become `s^{1 - e}`.

    Args:
        vectors: `[N, D]`; their mean is taken off.
        exponent: `e` `[]` in [0, 1]: 0 leaves them as they are, 1 makes all directions that they have equally wide.

    Returns:
        `[N, D]`, of the same mean square.

    Raises:
        ValueError: no two different vectors, NaN, or an exponent outside [0, 1].

    Example:
        >>> import jax, numpy as np
        >>> from tokdyn import geometry
        >>> vectors = np.random.default_rng(0).normal(size=(50, 3)) * [1.0, 5.0, 25.0]
        >>> np.linalg.svd(geometry.whitened(vectors, 1.0), compute_uv=False).std().round(3).item()
        0.0
    """
    rows = _vectors("vectors", vectors, apart=True)
    dial = checks.hyperparameter("exponent", exponent, at_least=0.0)
    if checks.is_concrete(dial) and np.any(np.asarray(dial) > 1):
        raise checks.bad("exponent", "a number from 0 to 1", dial)
    return _whitened(rows, dial)


def equal_codes(key: jax.Array, vectors: ArrayLike, *, numbers: int, bits: bool = False) -> jax.Array:
    r"""Codes with the geometry of some vectors, all of the same energy: `\sqrt{D}` is their length.

    The vectors are turned at random into D dimensions, which keeps all angles where D is at least theirs (less the
    mean, which is taken off). Vectors that are drawn at random, ``jax.random.normal``, give codes that mean nothing.

    Args:
        key: of the turn.
        vectors: `[N, M]`.
        numbers: D of a code (static).
        bits: the signs, +1 and -1, instead (static): two codes then differ in a share of bits that is their angle over
            `\pi`, on average.

    Returns:
        `[N, D]`.

    Raises:
        ValueError: no two different vectors, a vector that is the mean of all, NaN, or no number.

    References:
        M. Charikar, Similarity estimation techniques from rounding algorithms, STOC 2002 (signs).

    Example:
        >>> import jax, numpy as np
        >>> from tokdyn import geometry
        >>> table = geometry.word_vectors()
        >>> codes = geometry.equal_codes(jax.random.key(0), table.vectors[:100], numbers=400)
        >>> bool(np.allclose(np.linalg.norm(codes, axis=1), 20, rtol=1e-5))
        True
    """
    checks.random_key("key", key)
    rows = _vectors("vectors", vectors, apart=True)
    if checks.is_concrete(rows) and not np.any(np.asarray(rows) != np.asarray(rows).mean(axis=0), axis=1).all():
        raise checks.bad("vectors", "rows that differ from their mean, which have a direction", "one that is the mean")
    return _equal_codes(key, rows, checks.whole_number("numbers", numbers, at_least=1), bool(bits))


def recovery(
    key: jax.Array,
    codes: ArrayLike,
    *,
    noise: ArrayLike,
    meanings: ArrayLike | None = None,
    channel: Channel = "gaussian",
    num_draws: int = 20,
) -> Recovery:
    """Send every word so many times through a channel, and decode each by the nearest code.

    Args:
        key: of the noise.
        codes: `[N, D]`; for "flips" of +1 and -1 alone.
        noise: standard deviation of what is added to every number, or probability that a bit flips `[]`.
        meanings: vectors `[N, M]` by whose cosine likeness in meaning is judged; by default the codes.
        channel: "gaussian" or "flips" (static).
        num_draws: times that each word is sent (static).

    Returns:
        ``Recovery``.

    Raises:
        ValueError: fewer than two words, NaN, meanings of another number or with a zero vector, noise that is negative
            or flips more than half of the bits, codes that are no bits.

    References:
        J. Proakis, M. Salehi, Digital communications, 5th edition, McGraw-Hill 2008, chapter 4 (the bounds).

    Example:
        >>> import jax
        >>> from tokdyn import geometry
        >>> key, table = jax.random.key(0), geometry.word_vectors()
        >>> meaning = table.vectors[100:300]
        >>> alike = geometry.equal_codes(key, meaning, numbers=400)
        >>> anyhow = geometry.equal_codes(key, jax.random.normal(key, meaning.shape), numbers=400)
        >>> near, far = (geometry.recovery(key, of, noise=5.0, meanings=meaning) for of in (alike, anyhow))
        >>> bool(near.exact < far.exact), bool(near.closeness > far.closeness)
        (True, True)
    """
    checks.random_key("key", key)
    checks.choice("channel", channel, CHANNELS)
    sent = _vectors("codes", codes)
    judged = "codes" if meanings is None else "meanings"
    said = sent if meanings is None else _vectors(judged, meanings)
    if len(said) != len(sent):
        raise checks.bad("meanings", f"{len(sent)} rows, one for each code", len(said))
    if checks.is_concrete(said) and not np.any(np.asarray(said), axis=1).all():
        raise checks.bad(judged, "vectors that have a direction", "a zero vector")
    level = checks.hyperparameter("noise", noise, at_least=0.0)
    if channel == "flips":
        if checks.is_concrete(level) and np.any(np.asarray(level) > 0.5):
            raise checks.bad("noise", "a probability of at most 0.5 that a bit flips", level)
        if checks.is_concrete(sent) and not (np.abs(np.asarray(sent)) == 1).all():
            raise checks.bad("codes", "bits, +1 and -1, for the channel 'flips'", "other numbers")
    return _recovery(key, sent, said, level, channel, checks.whole_number("num_draws", num_draws, at_least=1))


@jax.jit
def _whitened(rows: jax.Array, exponent: jax.Array) -> jax.Array:
    # Over the largest entry: squares of vectors in very small units would vanish, of very large ones overflow.
    unit = jnp.abs(rows).max()
    centred = rows / unit - (rows / unit).mean(axis=0)
    left, sizes, right = jnp.linalg.svd(centred, full_matrices=False)
    there = sizes > sizes[0] * jnp.finfo(rows.dtype).eps * max(rows.shape)
    dialled = jnp.where(there, jnp.where(there, sizes, 1) ** (1 - exponent), 0)
    scale = jnp.sqrt(jnp.sum(sizes**2) / jnp.sum(dialled**2))
    return (left * (scale * dialled)) @ right * unit


@functools.partial(jax.jit, static_argnums=(2, 3))
def _equal_codes(key: jax.Array, rows: jax.Array, numbers: int, bits: bool) -> jax.Array:
    centred, width = rows - rows.mean(axis=0), rows.shape[1]
    if bits:
        directions = draws.normal(key, (width, numbers), rows.dtype)
        return jnp.where(centred @ directions < 0, -1.0, 1.0).astype(rows.dtype)
    turn = jnp.linalg.qr(draws.normal(key, (max(numbers, width), min(numbers, width)), rows.dtype))[0]
    turned = centred @ (turn.T if numbers >= width else turn)
    return on_sphere(turned) * jnp.sqrt(jnp.asarray(numbers, rows.dtype))


@functools.partial(jax.jit, static_argnums=(4, 5))
def _recovery(
    key: jax.Array, codes: jax.Array, meanings: jax.Array, noise: jax.Array, channel: Channel, num_draws: int
) -> Recovery:
    count = len(codes)
    directions = on_sphere(meanings)
    likeness = directions @ directions.T
    itself = jnp.eye(count, dtype=bool)
    rank = (_ranks(jnp.where(itself, -jnp.inf, -likeness)) - 1) / max(count - 2, 1)
    energy = jnp.sum(codes**2, axis=1)

    def once(key: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        if channel == "gaussian":
            received = codes + noise * draws.normal(key, codes.shape, codes.dtype)
            scores = received @ codes.T - energy / 2
        else:
            flipped = draws.uniform(key, codes.shape) < noise
            # Of equally near words each has its chance: scores are whole numbers.
            even = 0.5 * draws.uniform(keys.for_purpose(key, "even"), (count, count), codes.dtype)
            scores = jnp.where(flipped, -codes, codes) @ codes.T + even
        guess = jnp.argmax(scores, axis=1)
        wrong = guess != jnp.arange(count)
        alike, far = (jnp.take_along_axis(of, guess[:, None], axis=1)[:, 0] for of in (likeness, rank))
        return wrong.mean(), jnp.sum(jnp.where(wrong, alike, 0)), jnp.sum(jnp.where(wrong, far, 0))

    missed, alike, far = (of.mean() for of in jax.lax.map(once, jax.random.split(key, num_draws)))
    pair = jnp.where(itself, 0.0, _pairwise(codes, energy, noise, channel))
    others = jnp.where(itself, -jnp.inf, likeness)
    return Recovery(
        1 - missed,
        1 - jnp.minimum(pair.sum(axis=1), 1.0).mean(),
        1 - pair.max(axis=1).mean(),
        alike / (missed * count),
        far / (missed * count),
        (likeness.sum() - jnp.trace(likeness)) / (count * (count - 1)),
        others.max(axis=1).mean(),
    )


def _pairwise(codes: jax.Array, energy: jax.Array, noise: jax.Array, channel: Channel) -> jax.Array:
    """Probability that each other word is nearer than the one that was sent, where there are only these two."""
    products = codes @ codes.T
    if channel == "gaussian":
        distances = jnp.sqrt(jnp.maximum(energy[:, None] + energy - 2 * products, 0))
        # Two equal codes are a toss-up at any noise.
        return jnp.where(distances > 0, ndtr(-distances / (2 * jnp.maximum(noise, 1e-12))), 0.5)
    numbers = codes.shape[1]
    differ = jnp.arange(numbers + 1.0)
    half = differ / 2

    def at_least(least: jax.Array) -> jax.Array:
        inside = (least > 0) & (least <= differ)
        tail = betainc(jnp.where(inside, least, 1.0), jnp.where(inside, differ - least + 1, 1.0), noise)
        return jnp.where(least <= 0, 1.0, jnp.where(inside, tail, 0.0))

    table = (at_least(jnp.ceil(half)) + at_least(jnp.floor(half) + 1)) / 2
    return table[jnp.round((numbers - products) / 2).astype(int)]


def _vectors(name: str, value: ArrayLike, *, apart: bool = False) -> jax.Array:
    rows = checks.floating(name, value, axes="[N, D]")
    if len(rows) < 2 or rows.shape[1] < 1:
        raise checks.bad(name, "two or more rows", f"shape {rows.shape}")
    if checks.is_concrete(rows):
        known = np.asarray(rows)
        if not np.isfinite(known).all():
            raise checks.bad(name, "finite numbers", "infinite or NaN entries")
        if apart and (known == known[0]).all():
            raise checks.bad(name, "different rows", "duplicates of one")
    return rows.astype(jnp.promote_types(rows.dtype, jnp.float32))
