r"""The temperature above which tokens cannot stay apart, and what follows from the spectrum of the features alone.

Let all K tokens sit at the mean of the features, and displace token k from it by a small `u_k`. Every softmax is then
`1 / K`, and to first order it changes by `(2 / (K T)) (x_i - mean) . (u_k - mean of all u)`. Inserting this into the
weighted mean to which the attraction pulls gives, for the differences between tokens, with rate `eta` and covariance C,

.. math:: u_k' - \bar u' = [(1 - \eta) I + (2 \eta / T) C] (u_k - \bar u),

so that a difference along a principal direction with variance `lambda_a` is multiplied by
`1 - eta + 2 eta lambda_a / T` in every step (``growth_factors``). The largest multiplier exceeds 1 below
`T_c = 2 lambda_max(C)` (``critical_temperature``): below it nearby tokens separate, above it they merge. `T_c` does not
depend on the number of tokens, on the rate, or on inertia.

Every function accepts NumPy arrays, for which nothing is compiled, or JAX arrays, also under ``jit`` and ``vmap``.
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

# Up to this many rows or columns, all eigenvalues of the covariance are computed; beyond, only products with it.
MOST_EXACT = 1024
# Limits on what ``read_variances`` reads: a fraction of a second of work, and at most 128 MB at a time.
FEWEST_ROWS, MOST_PRODUCTS, MOST_NUMBERS = 2048, 1 << 31, 1 << 24
# The automatic temperature as a fraction of the distortion; benchmarks/forecast.py measures what this choice costs.
SHARE_OF_DISTORTION = 0.5


def principal_variances(features: ArrayLike, *, mask: ArrayLike | None = None) -> Any:
    """Variances of the features along their principal directions, in decreasing order.

    These are the eigenvalues of the covariance `C = (1/N) sum_i (x_i - mean)(x_i - mean)^T` or, if there are fewer
    features than dimensions, of the matrix of inner products, which has the same positive eigenvalues.

    Args:
        features: `[N, D]`, floating point; JAX or NumPy (NumPy arrays are processed in float64).
        mask: which features exist `[N]`; the others have no influence, whatever they hold.

    Returns:
        Variances `[min(N, D)]`, at least 0, in squared units of the features; zeros if no feature exists. Their error
        is a rounding error of the largest one.

    Raises:
        ValueError: not floating-point `[N, D]` with a row and a column, not finite (NumPy arrays), or a mask of
            another shape.

    Example:
        >>> import numpy as np, tokdyn as td
        >>> td.theory.principal_variances(np.array([[3.0, 0.0], [-3.0, 0.0], [3.0, 2.0], [-3.0, 2.0]])).tolist()
        [9.0, 1.0]
    """
    away, scale, count = _centred(features, mask)
    matrix = away.T @ away if away.shape[0] >= away.shape[1] else away @ away.T
    if namespace(away) is np:
        return np.maximum(np.linalg.eigvalsh(matrix / count)[::-1], 0.0) * scale * scale
    # For a positive semidefinite matrix, eigenvalues are singular values, and singular_values is safe under vmap.
    return singular_values(matrix / count) * scale * scale


def critical_temperature(features: ArrayLike, *, mask: ArrayLike | None = None) -> Any:
    """The temperature above which the state with all tokens at one point is stable, and below which it is not.

    `T_c = 2 lambda_max(C)` with the covariance C of the features; the module docstring derives it. Tokens that start
    close together merge for `T > T_c`. Tokens that start far apart may stay apart up to a higher temperature if
    features are skewed or have outliers (``td.collapse_forecast`` finds it). Well below `T_c`, tokens that share one
    tight cluster merge at the `T_c` of that cluster.

    Up to 1,024 features or dimensions, all eigenvalues are computed; beyond, only products with the features are used
    (``lobpcg_standard`` of JAX, ``eigsh`` of SciPy), with an accuracy of about a thousandth.

    Args:
        features: `[N, D]`, floating point; JAX or NumPy (NumPy arrays are processed in float64). Any offset, and any
            scale at which squares fit into the dtype.
        mask: which features exist `[N]`; the others have no influence, whatever they hold.

    Returns:
        The temperature `[]`, in squared units of the features; 0 for constant features. Differentiable if the largest
        eigenvalue is simple.

    Raises:
        ValueError: not floating-point `[N, D]` with a row and a column, not finite (NumPy arrays), or a mask of
            another shape.

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
    # The eigenvalue depends on its direction only to second order, so that the direction needs no gradient.
    along = away @ jax.lax.stop_gradient(directions[:, 0])
    return 2 * jnp.sum(along * along) / count * scale * scale


def growth_factors(
    features: ArrayLike, temperature: ArrayLike, rate: ArrayLike = 1.0, *, mask: ArrayLike | None = None
) -> Any:
    """The factor by which a step multiplies small differences between tokens at the mean, for each principal direction.

    `g_a = 1 - eta + 2 eta lambda_a / T`: the eigenvalues of the Jacobian of a step at the collapsed state, each K - 1
    times; for K = 1 all are 1 - eta. The state is stable if all of them are below 1 in magnitude, that is, `T > T_c`
    for `0 < eta < 2`. The slowest difference takes about `1 / |ln g|` steps to change by a factor of e, which diverges
    as T approaches `T_c`.

    Args:
        features: `[N, D]`, floating point; JAX or NumPy.
        temperature: the temperature `[]`; at 0 the result is infinite.
        rate: rate of the attraction, `eta` `[]`.
        mask: which features exist `[N]`.

    Returns:
        Factors `[min(N, D)]`, in decreasing order for a positive rate.

    Raises:
        ValueError: as for ``principal_variances``, or a negative temperature.

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
    r"""The variance that K tokens leave in each direction that they resolve, by reverse water-filling.

    Naming one of K tokens conveys `ln K` nats. For a Gaussian source with these variances, the best use of them leaves
    the same variance `theta` in every direction that has more, and says nothing about the other directions:

    .. math:: \tfrac12 \sum_a \max(0, \ln(\lambda_a / \theta)) = \ln K .

    Args:
        variances: variances `[A]` of at least 0, in decreasing order.
        num_tokens: K.

    Returns:
        `theta`: the largest variance for K = 1, and less for more tokens; 0 if all variances are 0.

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
    """A temperature for unfamiliar features: this is what ``temperature="auto"`` means.

    `T = theta / 2`, half of the variance that K tokens leave in the directions that they resolve (``distortion``). It
    scales with the features, falls with the number of tokens, and is at most `T_c / 4`, so that the tokens cannot all
    collapse. If there are more tokens than clusters, tokens still merge inside clusters that are tight compared with
    the rest. The rule and the factor were chosen on one half of the data sets of ``python -m benchmarks.forecast``,
    which reports what they cost on the other half.

    Args:
        features: `[N, D]`, finite, JAX or NumPy, not traced. Of a large set only a part is read (``read_variances``).
        num_tokens: K.

    Returns:
        A number in squared units of the features; 0, a hard assignment, for constant features.

    Raises:
        ValueError: not floating-point `[N, D]` with at least one row and one column, or no token.

    Example:
        >>> import numpy as np, tokdyn as td
        >>> features = np.random.default_rng(0).normal(size=(1000, 2))
        >>> round(td.theory.automatic_temperature(features, num_tokens=4), 1)
        0.1
    """
    num_tokens = checks.whole_number("num_tokens", num_tokens, at_least=1)
    return SHARE_OF_DISTORTION * distortion(read_variances(features), num_tokens)


def read_variances(features: ArrayLike) -> np.ndarray:
    """``principal_variances`` by NumPy in float64, of all features if that is quick, otherwise of a random sample.

    The sample has as many features as make two billion products or sixteen million numbers, but at least 2,048: up to a
    million in 16 dimensions, 8,192 in 512. Beyond 1,024 dimensions it has 1,024 features, whose inner products are
    computed. Sampling only widens the spectrum of noise: from n features in D dimensions, the largest variance of white
    noise is estimated as `(1 + sqrt(D/n))^2` times the true one.

    Args:
        features: `[N, D]`, finite, JAX or NumPy, not traced.

    Returns:
        Variances `[min(n, D)]`, in decreasing order.

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
    """A random sample of features without replacement, always the same one; all features in order if there are no more.

    Args:
        features: `[N, D]`, NumPy or JAX.
        count: size of the sample.

    Returns:
        A NumPy array `[min(count, N), D]` of float64.
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
    """Centred features, divided by a power of two near their largest value; that scale; and how many features exist."""
    traced = isinstance(features, jax.Array) or isinstance(mask, jax.Array)
    xp = jnp if traced else np
    features = checks.floating("features", features, axes="[N, D]", xp=xp)
    num_rows, _ = _shape(features)
    mask = checks.boolean_mask("mask", mask, num_rows, axes="[N]")
    if mask is not None:
        mask = mask if traced else np.asarray(mask)
        features = xp.where(mask[:, None], features, 0)
    if not traced:
        if not np.isfinite(features).all():
            raise checks.bad("features", "finite numbers", "infinite or NaN entries")
        features = features.astype(np.float64)
    scale = binary_scale(features) if traced else _binary_scale(features)
    away = features / scale
    for _ in range(2):  # far from the origin the first mean has a rounding error, which the second pass removes
        away = away - masked_mean(away, mask)
        away = away if mask is None else xp.where(mask[:, None], away, 0)
    # What must be scaled, so that squares do not overflow, are the differences, not the features.
    inner = binary_scale(away) if traced else _binary_scale(away)
    count = num_rows if mask is None else xp.maximum(xp.sum(mask), 1).astype(away.dtype)
    return away / inner, scale * inner, count


def _binary_scale(values: np.ndarray) -> Any:
    """``numerics.binary_scale`` without compiling anything."""
    largest = float(np.max(np.abs(values), initial=0.0, where=np.isfinite(values)))
    return 2.0 ** (math.frexp(largest)[1] - 1) if largest > 0 else 1.0
