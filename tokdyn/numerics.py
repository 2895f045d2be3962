"""The few numerical primitives that everything shares, each safe where the obvious form is not."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

# Reductions are slow on CPU from so many numbers in a row on, or in all.
LONG_ROW, MANY_NUMBERS = 64, 4096


def namespace(*values: Any) -> Any:
    """``numpy`` for arrays of NumPy and plain numbers; ``jax.numpy`` where any value is an array of jax.

    For functions that are one text for both: small saved arrays are judged by NumPy, which compiles nothing, and the
    same lines work under jit. Half precision goes to jax: NumPy's linear algebra does not know it.

    Args:
        values: arrays, numbers, None.

    Example:
        >>> import jax.numpy as jnp, numpy as np
        >>> from tokdyn.numerics import namespace
        >>> namespace(np.ones(2), 0.5) is np, namespace(np.ones(2), jnp.ones(2)) is jnp
        (True, True)
    """
    return jnp if any(isinstance(value, jax.Array) or _is_half(value) for value in values) else np


def _is_half(value: Any) -> bool:
    dtype = getattr(value, "dtype", None)
    return dtype is not None and dtype.itemsize < 4 and bool(jnp.issubdtype(dtype, jnp.floating))


def tempered_softmax(scores: jax.Array, temperature: jax.Array | float, *, axis: int = -1) -> jax.Array:
    """Softmax of ``scores / temperature``, right for every temperature from 0 to infinity.

    At 0 the largest scores share everything equally; at infinity all finite scores do. The largest score is set to 0
    by its place, not by subtraction: a compiler may compute the scores a second time inside the exponential, rounded
    differently (a fused multiply-add), and what should be 0 is then divided by a small temperature.

    Args:
        scores: any shape; an entry of -inf gets no weight, at any temperature.
        temperature: broadcastable to scores, at least 0.
        axis: the axis that sums to one.

    Returns:
        Weights of the shape of scores.

    Example:
        >>> import jax.numpy as jnp
        >>> from tokdyn.numerics import tempered_softmax
        >>> tempered_softmax(jnp.array([1.0, 2.0, 4e9]), 1e-3).tolist()
        [0.0, 0.0, 1.0]
    """
    scores = jnp.asarray(scores)
    return _tempered_softmax(scores, jnp.asarray(temperature, scores.dtype), axis)


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def _tempered_softmax(scores: jax.Array, temperature: jax.Array, axis: int) -> jax.Array:
    exponent = _exponents(scores, temperature, axis)
    weights = jnp.exp(exponent)
    return weights / jnp.sum(weights, axis=axis, keepdims=True)


def _exponents(scores: jax.Array, temperature: jax.Array, axis: int) -> jax.Array:
    limits = jnp.finfo(scores.dtype)
    place = jnp.argmax(scores, axis=axis, keepdims=True)
    is_largest = jax.lax.broadcasted_iota(place.dtype, scores.shape, axis % scores.ndim) == place
    # Not -inf, which divided by an infinite temperature would be NaN.
    below = jnp.clip(scores - jnp.max(scores, axis=axis, keepdims=True), float(limits.min), 0.0)
    below = jnp.where(is_largest & ~jnp.isnan(scores), 0.0, below)
    exponent = below / jnp.maximum(temperature, float(limits.tiny))  # 0 / tiny is 0, the rest / tiny far below 0
    return jnp.where(scores == -jnp.inf, -jnp.inf, exponent)


@_tempered_softmax.defjvp
def _tempered_softmax_jvp(axis: int, primals: Any, tangents: Any) -> tuple[jax.Array, jax.Array]:
    scores, temperature = primals
    weights = _tempered_softmax(scores, temperature, axis)
    # The softmax of a temperature of 0 is a step function: flat wherever it has a slope.
    inverse = jnp.where(temperature > 0, 1.0 / jnp.where(temperature > 0, temperature, 1.0), 0.0)
    exponent = jnp.where(weights > 0, _exponents(scores, temperature, axis), 0.0)
    slope = jnp.where(weights > 0, (tangents[0] - exponent * tangents[1]) * inverse, 0.0)
    return weights, weights * (slope - jnp.sum(weights * slope, axis=axis, keepdims=True))


def binary_scale(values: jax.Array) -> jax.Array:
    """A power of two, at most the largest magnitude and more than half of it; dividing by it changes no digit.

    Squares of numbers below 10^-19 or above 10^19 leave float32; those of the divided numbers do not.

    Args:
        values: any shape; infinities and NaN are passed over.

    Returns:
        `[]`, without a gradient, within the normal numbers of the dtype, as is its inverse; 1 where all values are 0.

    Example:
        >>> import jax.numpy as jnp
        >>> from tokdyn.numerics import binary_scale
        >>> float(binary_scale(jnp.array([-3.0, 1.0]))), float(binary_scale(jnp.array([5e-30])) < 5e-30)
        (2.0, 1.0)
    """
    return _power_of_two(largest_finite(jax.lax.stop_gradient(values)))


def largest_finite(values: jax.Array) -> jax.Array:
    """The largest magnitude `[]` of those that are neither infinite nor NaN; 0 without any."""
    sizes = jnp.abs(values)
    return jnp.max(jnp.where(sizes < jnp.inf, sizes, 0.0), initial=0.0)


def _power_of_two(sizes: jax.Array) -> jax.Array:
    """The largest power of two that is not above; sizes of at least 0, finite."""
    limits = jnp.finfo(sizes.dtype)
    bits = jax.lax.bitcast_convert_type(sizes, f"uint{limits.bits}")
    # The bits of infinity are those of the exponent.
    exponent = jax.lax.bitcast_convert_type(jnp.asarray(jnp.inf, sizes.dtype), bits.dtype)
    power = jax.lax.bitcast_convert_type(bits & exponent, sizes.dtype)
    return jnp.where(sizes > 0, jnp.clip(power, 4 * float(limits.tiny), 0.25 / float(limits.tiny)), 1.0)


def share(flags: jax.Array) -> jax.Array:
    """Share of the flags that are true, and exactly 1 where all are.

    A mean is not: XLA multiplies by the reciprocal of the number, and 189 times the float32 next to 1/189 is below 1.

    Args:
        flags: booleans, any shape.

    Returns:
        `[]`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from tokdyn.numerics import share
        >>> bool(jax.jit(share)(jnp.ones(189, bool)) == 1.0)
        True
    """
    return jnp.where(jnp.all(flags), 1.0, jnp.mean(flags))


def safe_norm(vectors: jax.Array, *, axis: int = -1) -> jax.Array:
    """Euclidean norm at every scale, whose gradient at zero is zero instead of NaN (jax issues 3058, 5798).

    Vectors are divided by a power of two first, so that no square overflows or underflows, and no digit changes.

    Args:
        vectors: any shape.
        axis: the axis of the components.

    Returns:
        Norms, without that axis.

    Example:
        >>> import jax.numpy as jnp
        >>> from tokdyn.numerics import safe_norm
        >>> round(float(safe_norm(jnp.array([3e-30, 4e-30])) * 1e30), 4)
        5.0
    """
    largest = jnp.max(jnp.abs(jax.lax.stop_gradient(vectors)), axis=axis, keepdims=True)
    scale = _power_of_two(jnp.where(largest < jnp.inf, largest, 1.0))
    scaled = vectors * (1.0 / scale)
    squared = jnp.sum(scaled * scaled, axis=axis)
    is_zero = squared == 0
    return jnp.where(is_zero, 0.0, jnp.sqrt(jnp.where(is_zero, 1.0, squared)) * jnp.squeeze(scale, axis))


def row_sums(values: jax.Array) -> jax.Array:
    """Sums over the last axis of a matrix `[A, B]`, as `[A]`; of long rows on CPU as a product with ones.

    XLA's reductions there add the numbers of a row one after another, at a third of a product's speed (jax 0.10.1).
    """
    is_plain = values.shape[1] < LONG_ROW or values.dtype not in (jnp.float32, jnp.float64)
    if is_plain or jax.default_backend() != "cpu":
        return jnp.sum(values, axis=1)
    return jnp.matmul(values, jnp.ones(values.shape[1], values.dtype), precision=jax.lax.Precision.HIGHEST)


def largest_length(vectors: jax.Array) -> jax.Array:
    """The largest Euclidean norm of the rows `[K, D]`, as a `[]`, without a gradient; NaN if any is."""
    vectors = jax.lax.stop_gradient(vectors)
    is_small = vectors.shape[1] < LONG_ROW and vectors.size < MANY_NUMBERS
    if is_small or jax.default_backend() != "cpu":
        return jnp.max(safe_norm(vectors))
    # To look for the largest component first takes as long as the rest, and only extremes need it.
    limits = jnp.finfo(vectors.dtype)
    squared = jnp.max(row_sums(vectors * vectors))
    in_range = (squared > float(limits.tiny) / float(limits.eps) ** 2) & (squared < jnp.inf)

    def carefully(vectors: jax.Array) -> jax.Array:
        scale = binary_scale(vectors)
        scaled = vectors * (1.0 / scale)
        return jnp.sqrt(jnp.max(row_sums(scaled * scaled))) * scale

    return jax.lax.cond(in_range, lambda _: jnp.sqrt(squared), carefully, vectors)


def squared_distances(left: jax.Array, right: jax.Array) -> jax.Array:
    """All squared Euclidean distances, by differences: no cancellation far from the origin, smooth at zero.

    Args:
        left: `[A, D]`.
        right: `[B, D]`.

    Returns:
        `[A, B]`.
    """
    # [A, D, B]: the long axis last, so that the sum over the few components is vectorised over it.
    differences = left[:, :, None] - right.T[None, :, :]
    return (differences * differences).sum(axis=1)


@jax.custom_jvp
def ratio(sums: jax.Array, masses: jax.Array) -> jax.Array:
    """``sums / masses``, with a derivative that stays finite where masses are tiny.

    The usual derivative divides by the mass squared, which underflows below 1e-22 (float32) while the mass itself is
    a good number. Below ``16384 * finfo.tiny``, 2e-34, where the weights that make up a mass underflow one by one, the
    derivative is taken to be zero.

    Args:
        sums: any shape.
        masses: broadcastable to it; where 0, the result is 0.

    Returns:
        Of the shape of both.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from tokdyn.numerics import ratio
        >>> slope = jax.grad(lambda mass: ratio(2 * mass, mass))  # constant, whatever the mass
        >>> float(slope(1e-25)), bool(jnp.isfinite(jax.grad(lambda mass: 2 * mass / mass)(1e-25)))
        (0.0, False)
    """
    return jnp.where(masses == 0, 0.0, sums / jnp.where(masses == 0, 1.0, masses))


@ratio.defjvp
def _ratio_jvp(primals: Any, tangents: Any) -> tuple[jax.Array, jax.Array]:
    (sums, masses), (more, heavier) = primals, tangents
    value = ratio(sums, masses)
    is_counted = jnp.abs(masses) >= 16384 * float(jnp.finfo(masses.dtype).tiny)
    slope = (more - value * heavier) / jnp.where(is_counted, masses, 1.0)
    return value, jnp.where(is_counted, slope, 0.0)


def masked_mean(values: jax.Array, mask: jax.Array | None, *, axis: int = 0) -> jax.Array:
    """Mean over the entries that the mask keeps; zero where it keeps none. Masked values may be NaN.

    Args:
        values: any shape.
        mask: boolean, the length of that axis; None keeps all.
        axis: the axis that is averaged.

    Returns:
        values without that axis.
    """
    xp = namespace(values, mask)
    if mask is None:
        return xp.mean(values, axis=axis)
    shape = [1] * values.ndim
    shape[axis] = -1
    kept = mask.reshape(shape)
    total = xp.sum(xp.where(kept, values, 0), axis=axis)
    return total / xp.maximum(xp.sum(mask), 1).astype(values.dtype)


def times_log(logs: jax.Array) -> jax.Array:
    """Probabilities times their logarithms, from the logarithms; 0 with slope 0 for an impossible event (log 0).

    Args:
        logs: any shape, of jax or of NumPy: the result is of the same.

    Example:
        >>> import jax.numpy as jnp
        >>> from tokdyn.numerics import times_log
        >>> times_log(jnp.array([0.0, -jnp.inf])).tolist()
        [0.0, 0.0]
    """
    xp = namespace(logs)
    possible = logs > -xp.inf
    finite = xp.where(possible, logs, 0.0)
    return xp.where(possible, xp.exp(finite) * finite, 0.0)


@jax.custom_batching.sequential_vmap
def _one_by_one(matrix: jax.Array) -> jax.Array:
    return jnp.linalg.svd(matrix, compute_uv=False)


@jax.custom_jvp
def singular_values(matrix: jax.Array) -> jax.Array:
    """Singular values of one matrix, the largest first; on CPU, under vmap, one matrix after the other.

    A batch of matrices makes LAPACK's wrapper in jaxlib wait on XLA's threads for work that it gives to these same
    threads. Where all of them wait (two batches at once on two cores) the program never ends; it was seen with jax
    0.10.1. A single matrix waits for nobody.

    Args:
        matrix: `[rows, columns]`, at least float32.

    Returns:
        `[min(rows, columns)]`.

    Example:
        >>> import jax.numpy as jnp
        >>> from tokdyn.numerics import singular_values
        >>> singular_values(jnp.diag(jnp.array([1.0, 3.0]))).tolist()
        [3.0, 1.0]
    """
    return jax.lax.platform_dependent(matrix, cpu=_one_by_one, default=lambda m: jnp.linalg.svd(m, compute_uv=False))


@singular_values.defjvp
def _singular_values_jvp(primals: tuple[jax.Array], tangents: tuple[jax.Array]) -> tuple[jax.Array, jax.Array]:
    left, values, right = jnp.linalg.svd(primals[0], full_matrices=False)
    return values, jnp.sum(left * (tangents[0] @ right.T), axis=0)


def _whitening(matrix: jax.Array) -> jax.Array:
    lower = jnp.linalg.cholesky(matrix)
    return jax.scipy.linalg.solve_triangular(lower, jnp.eye(len(matrix), dtype=matrix.dtype), lower=True)


@jax.custom_jvp
def whitening(matrix: jax.Array) -> jax.Array:
    r"""The inverse W of Cholesky's factor of a positive definite matrix: `W M W^T = I`, `W^T W = M^{-1}`.

    On CPU, under vmap, one matrix after the other, for the reason that ``singular_values`` gives.

    Args:
        matrix: `[D, D]`, at least float32.

    Returns:
        `[D, D]`, lower triangular; NaN where the matrix is not positive definite.

    Example:
        >>> import jax.numpy as jnp
        >>> from tokdyn.numerics import whitening
        >>> whitening(jnp.diag(jnp.array([4.0, 1.0]))).tolist()
        [[0.5, 0.0], [0.0, 1.0]]
    """
    alone = jax.custom_batching.sequential_vmap(_whitening)
    return jax.lax.platform_dependent(matrix, cpu=alone, default=_whitening)


@whitening.defjvp
def _whitening_jvp(primals: tuple[jax.Array], tangents: tuple[jax.Array]) -> tuple[jax.Array, jax.Array]:
    found = whitening(primals[0])
    turned = found @ tangents[0] @ found.T
    return found, -(jnp.tril(turned, -1) + jnp.diag(jnp.diagonal(turned) / 2)) @ found
