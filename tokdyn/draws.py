"""Random numbers: those of ``jax.random``, drawn several times faster on CPU (benchmarks/README.md has the ratio).

Most of the time there goes into two habits of jax and XLA: Threefry as a loop over whole arrays, and a normal number by
``log1p``, which keeps the compiler from using wide registers for everything it is fused with. Here the rounds and the
inverse error function are written out. Uniform numbers are the same to the bit, normal ones to the last digit or two.
Any other generator, dtype or device takes jax's own way.
"""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

Shape = tuple[int, ...]

# Threefry-2x32, 20 rounds. J. Salmon et al., Parallel random numbers: as easy as 1, 2, 3, SC 2011.
_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = np.uint32(0x1BD11BDA)
_WIDTH = 8
# Polynomials of the inverse error function in single precision, for the middle and the tails, as XLA has them.
# M. Giles, Approximating the erfinv function, GPU Computing Gems, Jade edition, 2011.
_MIDDLE = (2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087, -0.00125372503,
           -0.00417768164, 0.246640727, 1.50140941)  # fmt: skip
_TAILS = (-0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773, -0.0076224613,
          0.00943887047, 1.00167406, 2.83297682)  # fmt: skip


def uniform(
    key: jax.Array, shape: Shape = (), dtype: DTypeLike | None = None, low: float = 0.0, high: float = 1.0
) -> jax.Array:
    """``jax.random.uniform``: the same numbers.

    Args:
        key: a JAX key.
        shape: static.
        dtype: floating; by default JAX's.
        low: the lower end, included.
        high: the upper end.

    Returns:
        An array of that shape.

    Example:
        >>> import jax
        >>> from tokdyn import draws
        >>> key = jax.random.key(0)
        >>> bool((draws.uniform(key, (4,)) == jax.random.uniform(key, (4,))).all())
        True
    """
    dtype = jnp.dtype(jnp.result_type(float) if dtype is None else dtype)
    if not _is_ours(key, shape, dtype):
        return jax.random.uniform(key, shape, dtype, low, high)
    return _uniform(key, shape, np.float32(low), np.float32(high))


def normal(key: jax.Array, shape: Shape = (), dtype: DTypeLike | None = None) -> jax.Array:
    """``jax.random.normal``: the same numbers, up to 4 units in the last place.

    Args:
        key: a JAX key.
        shape: static.
        dtype: floating; by default JAX's.

    Returns:
        An array of that shape.

    Example:
        >>> import jax
        >>> from tokdyn import draws
        >>> key = jax.random.key(0)
        >>> bool(jax.numpy.allclose(draws.normal(key, (4,)), jax.random.normal(key, (4,)), rtol=1e-6))
        True
    """
    dtype = jnp.dtype(jnp.result_type(float) if dtype is None else dtype)
    if not _is_ours(key, shape, dtype):
        return jax.random.normal(key, shape, dtype)
    return _normal(key, shape)


def one_of(key: jax.Array, options: jax.Array) -> jax.Array:
    """The number of one of the true options, all equally likely; 0 where there is none.

    By one number against a cumulative sum: the largest of many draws would be compiled for minutes.

    Args:
        key: a JAX key.
        options: `[n]` bool.

    Returns:
        `[]` int.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from tokdyn import draws
        >>> int(draws.one_of(jax.random.key(0), jnp.array([False, True, False])))
        1
    """
    return jnp.argmax(jnp.cumsum(options) > uniform(key, (), jnp.float32) * options.sum())


def _is_ours(key: jax.Array, shape: Shape, dtype: np.dtype) -> bool:
    is_threefry = str(jax.random.key_impl(key)) in ("threefry2x32", "fry")
    partitionable = getattr(jax.config, "jax_threefry_partitionable", False)
    fits = math.prod(shape) < 2**32
    return is_threefry and partitionable and fits and dtype == np.float32 and jax.default_backend() == "cpu"


# jit, though both are called inside other programs: a hundred operations are then traced once for each shape, not at
# every call; XLA puts them in the caller's place.
@functools.partial(jax.jit, static_argnames=("shape", "low", "high"))
def _uniform(key: jax.Array, shape: Shape, low: np.float32, high: np.float32) -> jax.Array:
    mantissa = _bits(key, shape) >> np.uint32(9)
    unit = mantissa.astype(jnp.float32) * np.float32(2**-23)
    return jnp.maximum(low, unit * (high - low) + low)


@functools.partial(jax.jit, static_argnames="shape")
def _normal(key: jax.Array, shape: Shape) -> jax.Array:
    size = math.prod(shape)
    above_minus_one = np.nextafter(np.float32(-1), np.float32(0))
    numbers = _erf_inv(_uniform(key, (-(-size // _WIDTH), _WIDTH), above_minus_one, np.float32(1)))
    # Times sqrt(2), as a product with a multiple of the identity: the compiler stores what a product returns, whereas
    # it would compute all that is above anew wherever a number is used.
    scaled = jnp.matmul(
        numbers, np.float32(np.sqrt(2)) * np.eye(_WIDTH, dtype=np.float32), precision=jax.lax.Precision.HIGHEST
    )
    return scaled.reshape(-1)[:size].reshape(shape)


def _erf_inv(x: jax.Array) -> jax.Array:
    """The inverse error function in float32, for -1 < x < 1."""
    below = -x * x
    # log1p, of which the compiler makes scalar code: a series where 1 + below rounds.
    log = jnp.where(below > -1e-4, (np.float32(-0.5) * below + 1) * below, jnp.log(1 + below))
    is_middle = log > -5
    shifted = jnp.where(is_middle, -log - np.float32(2.5), jnp.sqrt(-log) - 3)
    value = jnp.zeros_like(x)
    for middle, tail in zip(_MIDDLE, _TAILS, strict=True):
        value = jnp.where(is_middle, np.float32(middle), np.float32(tail)) + value * shifted
    return value * x


def _bits(key: jax.Array, shape: Shape) -> jax.Array:
    """32 random bits for each element, by its number."""
    words = jax.random.key_data(key) if jnp.issubdtype(key.dtype, jax.dtypes.prng_key) else key
    number = jax.lax.iota(jnp.uint32, math.prod(shape))
    left, right = _threefry(words[0], words[1], jnp.zeros_like(number), number)
    return (left ^ right).reshape(shape)


def _threefry(first: jax.Array, second: jax.Array, left: jax.Array, right: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Threefry-2x32 of the counters `(left, right)` under the key `(first, second)`."""
    schedule = (first, second, first ^ second ^ _PARITY)
    left, right = left + schedule[0], right + schedule[1]
    for group in range(5):
        for rotation in _ROTATIONS[group % 2]:
            left = left + right
            right = left ^ ((right << np.uint32(rotation)) | (right >> np.uint32(32 - rotation)))
        left = left + schedule[(group + 1) % 3]
        right = right + schedule[(group + 2) % 3] + np.uint32(group + 1)
    return left, right
