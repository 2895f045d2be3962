"""The shape of a cloud of tokens, and how soon it comes to rest."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from tokdyn.checks import bad, floating
from tokdyn.metrics._arrays import at_least_float32, kept_tokens, number
from tokdyn.numerics import masked_mean, namespace, singular_values
from tokdyn.typing import EitherArray


def effective_rank(tokens: ArrayLike, *, token_mask: ArrayLike | None = None, centre: bool = True) -> jax.Array:
    """Effective rank: the number of directions over which the tokens spread, weighted by their extent.

    `exp(H(p))` with `p_i = sigma_i / sum_j sigma_j` over the singular values of the token matrix.

    The mean of the tokens is subtracted first, so that the result describes the cloud and not its distance from an
    arbitrary origin: K tokens span at most K - 1 directions, and coincident tokens none. The cited definition has
    ``centre=False``. Singular values at the level of rounding errors count as zero.

    Args:
        tokens: `[K, D]`.
        token_mask: boolean `[K]`, the tokens that exist; None keeps all. Masked tokens may be NaN.
        centre: whether to subtract the mean token (static).

    Returns:
        `[]`: 1 to the rank; 0 for a matrix of zeros, hence for tokens that all coincide.

    Raises:
        ValueError: wrong rank, dtype or length.

    References:
        Roy & Vetterli, "The effective rank", EUSIPCO (2007), 606-610.

    Example:
        >>> import jax.numpy as jnp, tokdyn as td
        >>> round(float(td.metrics.effective_rank(jnp.eye(4), centre=False)), 4)
        4.0
        >>> round(float(td.metrics.effective_rank(jnp.eye(4))), 4)
        3.0
    """
    return rank_of(*_spectrum(tokens, token_mask, centre))


def participation_ratio(tokens: ArrayLike, *, token_mask: ArrayLike | None = None, centre: bool = True) -> jax.Array:
    """Participation ratio: how many principal directions carry the tokens' variance.

    `(sum_i lambda_i)^2 / sum_i lambda_i^2` over the eigenvalues `lambda_i = sigma_i^2` of the scatter matrix.
    It weighs long directions more than ``effective_rank`` does, and never exceeds it.

    Args:
        tokens: `[K, D]`.
        token_mask: boolean `[K]`, the tokens that exist; None keeps all. Masked tokens may be NaN.
        centre: whether to subtract the mean token (static), as in ``effective_rank``.

    Returns:
        `[]`: 1 to the rank; 0 for a matrix of zeros.

    Raises:
        ValueError: wrong rank, dtype or length.

    Example:
        >>> import jax.numpy as jnp, tokdyn as td
        >>> tokens = jnp.array([[2.0, 0.0], [-2.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
        >>> round(float(td.metrics.participation_ratio(tokens)), 4)  # 5^2 / (4^2 + 1^2)
        1.4706
    """
    spectrum, is_zero = _spectrum(tokens, token_mask, centre)
    variances = spectrum * spectrum
    return jnp.sum(variances) ** 2 / jnp.where(is_zero, 1, jnp.sum(variances * variances))


def stable_rank(tokens: ArrayLike, *, token_mask: ArrayLike | None = None, centre: bool = True) -> jax.Array:
    """Stable rank: the total variance of the tokens divided by that of the largest direction.

    `sum_i sigma_i^2 / max_i sigma_i^2`.

    Args:
        tokens: `[K, D]`.
        token_mask: boolean `[K]`, the tokens that exist; None keeps all. Masked tokens may be NaN.
        centre: whether to subtract the mean token (static), as in ``effective_rank``.

    Returns:
        `[]`: 1 to the rank; 0 for a matrix of zeros.

    Raises:
        ValueError: wrong rank, dtype or length.

    References:
        Rudelson & Vershynin, "Sampling from large matrices", Journal of the ACM 54 (2007), article 21.

    Example:
        >>> import jax.numpy as jnp, tokdyn as td
        >>> tokens = jnp.array([[2.0, 0.0], [-2.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
        >>> round(float(td.metrics.stable_rank(tokens)), 4)
        1.25
    """
    spectrum, _ = _spectrum(tokens, token_mask, centre)
    return jnp.sum(spectrum * spectrum)  # the largest is 1


def steps_to_converge(displacements: ArrayLike, tol: ArrayLike) -> jax.Array:
    """Number of the first step whose displacement is below the tolerance.

    `min {t : displacement_t < tol}`, counted from 1.

    Args:
        displacements: the displacement of every step `[T]`, for example the largest over all tokens.
        tol: number `[]` of at least 0, in the displacements' units, may be traced.

    Returns:
        `[]`, int32, from 1 to T; T if no step is below. A displacement of NaN is not below.

    Raises:
        ValueError: wrong rank or dtype; tol negative.

    Example:
        >>> import jax.numpy as jnp, tokdyn as td
        >>> int(td.metrics.steps_to_converge(jnp.array([1.0, 0.1, 1e-4, 1e-5]), 1e-3))
        3
    """
    displacements = floating("displacements", displacements, axes="[T]")
    num_steps = displacements.shape[0]
    if num_steps == 0:
        raise bad("displacements", "at least one step", "none")
    below = displacements < number("tol", tol, displacements.dtype, at_least=0.0)
    return jnp.where(jnp.any(below), jnp.argmax(below) + 1, num_steps).astype(jnp.int32)


def _spectrum(tokens: Any, token_mask: Any, centre: bool) -> tuple[jax.Array, jax.Array]:
    """Singular values divided by the largest, with rounding errors set to zero; and whether all of them are zero."""
    array = floating("tokens", tokens, axes="[K, D]")
    if 0 in array.shape:
        raise bad("tokens", "at least one token and one component", f"shape {array.shape}")
    if not isinstance(centre, bool):
        raise bad("centre", "True or False", repr(centre))
    eps = jnp.finfo(array.dtype).eps
    array, kept = kept_tokens(at_least_float32(array), token_mask)  # LAPACK supports no narrower type
    return spectrum_of(array, kept, centre=centre, eps=eps)


def spectrum_of(array: EitherArray, kept: EitherArray, *, centre: bool, eps: EitherArray) -> tuple[Any, Any]:
    """The spectrum of a NumPy or JAX array `[K, D]` with zeros where not kept; eps is the precision of its dtype."""
    xp = namespace(array)
    # Rounding is relative to the original tokens: the mean of equal numbers may differ from them by that much.
    scale = xp.max(xp.abs(array))
    array = array / xp.where(scale == 0, 1, scale)
    if centre:
        array = array - masked_mean(array, kept)
        array = array if kept is None else xp.where(kept[:, None], array, 0)
    values = np.linalg.svd(array, compute_uv=False) if xp is np else singular_values(array)
    values = xp.where(values <= max(array.shape) * eps, 0, values)  # NaN stays
    largest = values[0]
    is_zero = largest == 0
    return values / xp.where(is_zero, 1, largest), is_zero


def rank_of(spectrum: EitherArray, is_zero: EitherArray) -> Any:
    """``effective_rank`` from the result of ``spectrum_of``."""
    xp = namespace(spectrum)
    shares = spectrum / xp.where(is_zero, 1, xp.sum(spectrum))
    some = shares != 0
    entropy = -xp.sum(xp.where(some, shares * xp.log(xp.where(some, shares, 1)), 0))
    return xp.where(is_zero, 0, xp.exp(entropy))
