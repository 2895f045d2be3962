r"""The temperature above which tokens cannot stay apart, and what follows from the spectrum of the features alone.

Let all K tokens sit at the mean of the features, and move token k away from it by a small `u_k`. Every softmax is then
`1 / K`, and to first order it changes by `(2 / (K T)) (x_i - mean) . (u_k - mean of all u)`. Put into the weighted mean
that the attraction pulls to, this gives for the differences between tokens, with rate `eta` and the covariance C,

.. math:: u_k' - \bar u' = [(1 - \eta) I + (2 \eta / T) C] (u_k - \bar u),

so that a difference along a principal direction with variance `lambda_a` is multiplied by
`1 - eta + 2 eta lambda_a / T` in every step (``growth_factors``). The largest multiplier passes 1 at
`T_c = 2 lambda_max(C)` (``critical_temperature``): below it tokens that are almost together part, above it they meet.
Neither the number of tokens, nor the rate, nor inertia changes `T_c`.

Every function takes arrays of NumPy, which compiles nothing, or of jax, under ``jit`` and ``vmap``.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from tokdyn import checks
from tokdyn.numerics import binary_scale, masked_mean, namespace, singular_values
from tokdyn.typing import EitherArray

# Up to so many rows or columns the whole covariance is made and taken apart; beyond, only products with it.
MOST_EXACT = 1024
# What ``read_variances`` reads: a fraction of a second's work, and at most 128 MB at once.
FEWEST_ROWS, MOST_PRODUCTS, MOST_NUMBERS = 2048, 1 << 31, 1 << 24
# Share of the distortion at which K tokens have told all they can; benchmarks/forecast.py measures what it costs.
SHARE_OF_DISTORTION = 0.5


def principal_variances(features: ArrayLike, *, mask: ArrayLike | None = None) -> Any:
    """Variances of the features along their principal directions, the largest first.

    The eigenvalues of the covariance `C = (1/N) sum_i (x_i - mean)(x_i - mean)^T`, or of the matrix of inner products
    where there are fewer features than dimensions, which has the same ones above 0.

    Args:
        features: `[N, D]`, floating point, of jax or of NumPy (which is then computed in float64).
        mask: features that exist `[N]`; the others have no influence, whatever they hold.

    Returns:
        `[min(N, D)]`, at least 0, in squared units of the features; zeros where no feature exists. Correct to the
        rounding of the largest one.

    Raises:
        ValueError: not floating-point `[N, D]` with a row and a column, or a mask of another shape.

    Example:
        >>> import numpy as np, tokdyn as td
        >>> td.theory.principal_variances(np.array([[3.0, 0.0], [-3.0, 0.0], [3.0, 2.0], [-3.0, 2.0]])).tolist()
        [9.0, 1.0]
    """
    away, scale, count = _centred(features, mask)
    matrix = away.T @ away if away.shape[0] >= away.shape[1] else away @ away.T
    if namespace(away) is np:
        return np.maximum(np.linalg.eigvalsh(matrix / count)[::-1], 0.0) * scale * scale
    # Of a symmetric matrix without negative eigenvalues these are the singular values; singular_values is safe in vmap.
    return singular_values(matrix / count) * scale * scale


def critical_temperature(features: ArrayLike, *, mask: ArrayLike | None = None) -> Any:
    """The temperature above which the state with all tokens at one point is stable, and below which it is not.

    `T_c = 2 lambda_max(C)` with the covariance C of the features; the module's text derives it. Tokens that start close
    together meet for `T > T_c`. Tokens that start far apart may stay apart up to a higher temperature where features
    are skewed or have outliers (``td.collapse_forecast`` finds it), and well below `T_c` tokens that share one tight
    cluster merge at the `T_c` of that cluster.

    Up to 1,024 features or dimensions by all eigenvalues; beyond, by products with the features only
    (``lobpcg_standard`` of jax, ``eigsh`` of SciPy), right to about a thousandth.

    Args:
        features: `[N, D]`, floating point, of jax or of NumPy (which is then computed in float64). Any offset and any
            scale whose squares the dtype holds.
        mask: features that exist `[N]`; the others have no influence, whatever they hold.

    Returns:
        `[]`, in squared units of the features; 0 for constant features. Differentiable, where the largest eigenvalue
        is single.

    Raises:
        ValueError: not floating-point `[N, D]` with a row and a column, or a mask of another shape.

    References:
        Rose, Gurewitz, Fox: Statistical mechanics and phase transitions in clustering, 1990; Rose: Deterministic
        annealing for clustering, 1998 (there `beta_c = 1 / (2 lambda_max)`, with `beta = 1 / T`).

    Example:
        >>> import jax, tokdyn as td
        >>> features = jax.random.normal(jax.random.key(0), (500, 1)) * 3.0
        >>> bool(abs(td.theory.critical_temperature(features) - 2 * features.var()) < 1e-4)
        True
    """
    away, scale, count = _centred(features, mask)
    if min(away.shape) <= MOST_EXACT:
        return 2 * principal_variances(features, mask=mask)[0]
    if namespace(away) is np:
        from scipy.sparse.linalg import LinearOperator, eigsh

        if not away.any():
            return np.float64(0.0)
        size = away.shape[1]
        covariance = LinearOperator((size, size), matvec=lambda v: away.T @ (away @ v) / count, dtype=np.float64)
        start = np.random.default_rng(0).normal(size=size)
        return 2 * eigsh(covariance, k=1, v0=start, tol=1e-6, return_eigenvectors=False)[0] * scale * scale
    from jax.experimental.sparse.linalg import lobpcg_standard

    still = jax.lax.stop_gradient(away)
    start = jax.random.normal(jax.random.key(0), (away.shape[1], 8), away.dtype)
    _, directions, _ = lobpcg_standard(lambda v: still.T @ (still @ v) / count, start, m=100)
    # Near the top the eigenvalue moves only in second order with its direction, which thus needs no gradient.
    along = away @ jax.lax.stop_gradient(directions[:, 0])
    return 2 * jnp.sum(along * along) / count * scale * scale


def growth_factors(
    features: ArrayLike, temperature: ArrayLike, rate: ArrayLike = 1.0, *, mask: ArrayLike | None = None
) -> Any:
    """By how much small differences between tokens at the mean are multiplied in a step, for each principal direction.

    `g_a = 1 - eta + 2 eta lambda_a / T`: the eigenvalues of a step's Jacobian at the collapsed state, each K - 1 times;
    all are 1 - eta where K = 1. The state is stable where all are below 1 in size: `T > T_c` for `0 < eta < 2`. The
    slowest difference takes about `1 / |ln g|` steps to change by a factor of e, without bound as T nears `T_c`.

    Args:
        features: `[N, D]`, floating point, of jax or of NumPy.
        temperature: `[]`, above 0; infinite in the result at 0.
        rate: of the attraction, `eta` `[]`.
        mask: features that exist `[N]`.

    Returns:
        `[min(N, D)]`, the largest first for a positive rate.

    Raises:
        ValueError: as ``principal_variances``, or a negative temperature.

    Example:
        >>> import numpy as np, tokdyn as td
        >>> features = np.array([[3.0, 0.0], [-3.0, 0.0], [3.0, 2.0], [-3.0, 2.0]])
        >>> td.theory.growth_factors(features, 9.0, 0.5).tolist()
        [1.5, 0.6111111111111112]
    """
    heat = checks.one_number("temperature", temperature, at_least=0.0)
    share = checks.one_number("rate", rate)
    variances = principal_variances(features, mask=mask)
    xp = namespace(variances, heat, share)
    safe = xp.where(heat > 0, heat, 1.0)
    ratio = xp.where(heat > 0, variances / safe, xp.where(variances > 0, xp.inf, 0.0))
    return 1 - share + 2 * share * ratio


def distortion(variances: ArrayLike, num_tokens: int) -> float:
    r"""The variance that K tokens leave in every direction they tell anything about, by reverse water-filling.

    To name one of K tokens takes `ln K` nats. A Gaussian source with these variances spends them best by leaving the
    same variance `theta` in every direction that has more, and nothing said about the others:

    .. math:: \tfrac12 \sum_a \max(0, \ln(\lambda_a / \theta)) = \ln K .

    Args:
        variances: `[A]`, the largest first, at least 0.
        num_tokens: K.

    Returns:
        `theta`, the largest variance for K = 1, less for more; 0 where all variances are.

    References:
        Cover, Thomas: Elements of information theory, 2006, chapter 10.

    Example:
        >>> import tokdyn as td
        >>> round(td.theory.distortion([4.0], 4), 6)  # one direction: theta = lambda / K^2
        0.25
    """
    # In decreasing order, j directions hold more than theta = (product of the first j)^(1/j) K^(-2/j).
    values = np.asarray(variances, np.float64)
    values = values[values > 0]
    if not values.size:
        return 0.0
    logs = np.log(values)
    ranks = np.arange(1, len(logs) + 1)
    levels = (np.cumsum(logs) - 2 * math.log(num_tokens)) / ranks
    below = np.append(logs[1:], -np.inf)
    return float(np.exp(levels[np.argmax(levels >= below)]))


def automatic_temperature(features: ArrayLike, *, num_tokens: int) -> float:
    """A temperature for features nobody has looked at: what ``temperature="auto"`` means.

    `T = theta / 2`, half of the variance that K tokens leave in the directions that they tell apart (``distortion``).
    It follows the scale of the features, falls with the number of tokens, and is at most `T_c / 4`, so that tokens
    cannot all collapse. More tokens than clusters still merge inside clusters that are tight beside the rest. Rule and
    factor were chosen on one half of the data sets of ``python -m benchmarks.forecast``, which says what they cost on
    the other half.

    Args:
        features: `[N, D]`, finite numbers of NumPy or of jax, not traced. Of many, some are read: ``read_variances``.
        num_tokens: K.

    Returns:
        A number in squared units of the features; 0, a hard assignment, for constant features.

    Raises:
        ValueError: not floating-point `[N, D]` with a row and a column, or no token.

    Example:
        >>> import numpy as np, tokdyn as td
        >>> features = np.random.default_rng(0).normal(size=(1000, 2))
        >>> round(td.theory.automatic_temperature(features, num_tokens=4), 1)
        0.1
    """
    num_tokens = checks.whole_number("num_tokens", num_tokens, at_least=1)
    return SHARE_OF_DISTORTION * distortion(read_variances(features), num_tokens)


def read_variances(features: ArrayLike) -> np.ndarray:
    """``principal_variances`` by NumPy in float64: of all features where that is quick, else of some drawn at random.

    Read are as many as make two thousand million products or sixteen million numbers, at least 2,048: up to a million
    in 16 dimensions, 8,192 in 512; beyond 1,024 dimensions 1,024, whose inner products are made. What is left out only
    widens the spectrum of what is noise: of n features in D dimensions the largest variance of white noise comes out as
    `(1 + sqrt(D/n))^2` times the true one.

    Args:
        features: `[N, D]`, finite numbers of NumPy or of jax, not traced.

    Returns:
        `[min(n, D)]`, the largest first.

    Raises:
        ValueError: not floating-point `[N, D]` with a row and a column.
    """
    return principal_variances(some_rows(features, rows_read(features)))


def rows_read(features: EitherArray) -> int:
    """How many features ``read_variances`` reads."""
    rows, columns = _shape(features)
    most = max(FEWEST_ROWS, min(MOST_PRODUCTS // columns**2, MOST_NUMBERS // columns))
    return min(rows, MOST_EXACT if columns > MOST_EXACT else most)


def some_rows(features: ArrayLike, count: int) -> np.ndarray:
    """So many features, drawn at random without replacement, always the same; all, in order, where there are no more.

    Args:
        features: `[N, D]`, of NumPy or of jax.
        count: how many.

    Returns:
        `[min(count, N), D]`, float64, of NumPy.
    """
    values = np.asarray(features)
    if len(values) > count:
        values = values[np.sort(np.random.default_rng(0).choice(len(values), count, replace=False))]
    return values.astype(np.float64)


def _shape(features: Any) -> tuple[int, int]:
    shape = getattr(features, "shape", None) or np.shape(features)
    if len(shape) != 2 or 0 in shape:
        raise checks.bad("features", "at least one row and one column [N, D]", f"shape {tuple(shape)}")
    return shape[0], shape[1]


def _centred(features: Any, mask: Any) -> tuple[Any, Any, Any]:
    """Features minus their mean over a power of two near the largest of them, that scale, and how many exist."""
    traced = isinstance(features, jax.Array) or isinstance(mask, jax.Array)
    xp = jnp if traced else np
    features = checks.floating("features", features, axes="[N, D]", xp=xp)
    num_rows, _ = _shape(features)
    mask = checks.boolean_mask("mask", mask, num_rows, axes="[N]")
    if mask is not None:
        mask = mask if traced else np.asarray(mask)
        features = xp.where(mask[:, None], features, 0)
    if not traced:
        features = features.astype(np.float64)
    scale = binary_scale(features) if traced else _binary_scale(features)
    away = features / scale
    for _ in range(2):  # far from the origin the first mean is rounded; what is left of it, the second takes away
        away = away - masked_mean(away, mask)
        away = away if mask is None else xp.where(mask[:, None], away, 0)
    # Of the differences, not of the features, should squares be kept from leaving the dtype.
    inner = binary_scale(away) if traced else _binary_scale(away)
    count = num_rows if mask is None else xp.maximum(xp.sum(mask), 1).astype(away.dtype)
    return away / inner, scale * inner, count


def _binary_scale(values: np.ndarray) -> Any:
    """``numerics.binary_scale`` without compiling anything."""
    largest = float(np.max(np.abs(values), initial=0.0, where=np.isfinite(values)))
    return 2.0 ** (math.frexp(largest)[1] - 1) if largest > 0 else 1.0
