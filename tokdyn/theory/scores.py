r"""Where tokens part under other scores and normalisations than those of the attraction.

All tokens sit at one point, where every softmax over tokens is uniform, and token k is displaced by a small `u_k`. With
logits `l_ik(s_k)` the weights change by `(1 / K) (d_ik - mean over k of d_ik)`, `d_ik = (dl_i / ds) u_k`, and to first
order the weighted mean `sum_i w_ik v_i / sum_i w_ik` by `Cov(v_i, dl_i / ds) (u_k - mean of u)`: what a logit has in
common for all features changes the mass but not the mean. So a difference between tokens is multiplied in each step by

.. math:: (1 - \eta) I + \eta M,\qquad M = \mathrm{Cov}_i\left(v_i, \frac{\partial l_i}{\partial s}\right)

* squared distances: `l = -|x - s|^2 / T`, `M = 2 C / T`. Critical at `T = 2 lambda_max(C)`.
* balanced assignment: the price of a token shifts its logits by one number for all features, which drops out of the
  covariance; the price of a feature is what the softmax over tokens does already. The same `M`: balancing removes
  tokens without features, not collapse.
* dot products: `l = x . s / T`, `M = C / T`. Critical at `T = lambda_max(C)`.
* cosines: `dl / ds = P x / (|x| |s| T)` with the projection P on what is orthogonal to s, at the mean of the features:
  `M = Cov(x, x / |x|) P / (|mean| T)`. Critical at the spectral radius of `M T`.
* Slot Attention: `M = W_v^T C W_k W_q^T J / (T sqrt(H))`, C the covariance of the normalised features, J the Jacobian
  of the layer norm at the common slot, `W_v^T` times their mean.

A softmax over *features* couples no token to another: one displaced by `u` from a fixed point returns `2 C_w u / T`,
with the covariance `C_w` by its own weights. For normal features that is `2 lambda / (T + 2 lambda)` in each principal
direction, always below 1: no threshold. What has one is the number of modes.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from tokdyn import checks
from tokdyn.dynamics.attention import SCORES
from tokdyn.dynamics.slot_attention import SlotAttention, layer_norm, projected
from tokdyn.solve import stepping
from tokdyn.theory.critical import critical_temperature


def attention_critical_temperature(
    features: ArrayLike, *, score: str = "distance", mask: ArrayLike | None = None
) -> Any:
    """The temperature below which tokens at one point part, for a softmax over tokens of that score.

    For ``td.attention``, and by ``"distance"`` for ``td.attraction`` and ``td.transport`` too; the module docstring
    derives it.

    Args:
        features: `[N, D]`, floating point; JAX or NumPy (NumPy arrays are processed in float64).
        score: ``"distance"``, ``"dot"`` or ``"cosine"``.
        mask: which features exist `[N]`; the others have no influence, whatever they hold.

    Returns:
        `[]`, in squared units of the features; without unit for cosines, where it is NaN if the features' mean is 0.

    Raises:
        ValueError: not floating-point `[N, D]`, a mask of another shape, or an unknown score.

    Example:
        >>> import numpy as np, tokdyn as td
        >>> features = np.array([[3.0, 0.0], [-3.0, 0.0], [3.0, 2.0], [-3.0, 2.0]])  # variances 9 and 1
        >>> [float(td.theory.attention_critical_temperature(features, score=s)) for s in ("distance", "dot")]
        [18.0, 9.0]
    """
    score = checks.choice("score", score, SCORES)
    if score == "distance":
        return critical_temperature(features, mask=mask)
    if score == "dot":
        return critical_temperature(features, mask=mask) / 2
    rows = _kept(features, mask)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    directions = np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0)
    mean = rows.mean(axis=0)
    length = np.linalg.norm(mean)
    if length == 0:
        return np.float64(np.nan)
    across = np.eye(len(mean)) - np.outer(mean, mean) / length**2
    covariance = (rows - mean).T @ (directions - directions.mean(axis=0)) / len(rows)
    return _radius(covariance @ across / length)


def slot_attention_radius(part: SlotAttention, features: ArrayLike, *, mask: ArrayLike | None = None) -> float:
    r"""By what the largest difference between nearly equal slots is multiplied in one step: they merge below 1.

    .. math:: \rho\left((1 - \eta) I + \frac{\eta}{T \sqrt H} W_v^\top C W_k W_q^\top J\right)

    Args:
        part: what ``td.slot_attention`` built, with plain numbers.
        features: `[N, D]`, floating point.
        mask: which features exist `[N]`.

    Returns:
        The spectral radius, in float64.

    Raises:
        ValueError: not floating-point `[N, D]`, or matrices of other shapes.

    Example:
        >>> import numpy as np, tokdyn as td
        >>> features = np.random.default_rng(0).normal(size=(200, 8))
        >>> one, four = (td.theory.slot_attention_radius(td.slot_attention(query=q), features) for q in (1.0, 4.0))
        >>> bool(abs(four / one - 4) < 1e-9)
        True
    """
    rows = _kept(features, mask)
    dimension = rows.shape[1]
    part.check_shapes(dimension)
    with jax.enable_x64(True):
        part = stepping.cast(part, jnp.float64)
        normal = layer_norm(jnp.asarray(rows))
        common = projected(normal, part.value).mean(axis=0)
        slope = jax.jacfwd(layer_norm)(common)
        matrices = [
            np.asarray(projected(jnp.eye(dimension), weights)) for weights in (part.query, part.key, part.value)
        ]
    query, key, value = matrices
    away = np.asarray(normal) - np.asarray(normal).mean(axis=0)
    change = value.T @ (away.T @ away / len(rows)) @ key @ query.T @ np.asarray(slope)
    change = change / (float(part.temperature) * key.shape[1] ** 0.5)
    rate = float(part.rate)
    return _radius((1 - rate) * np.eye(dimension) + rate * change)


def retrieval_multipliers(features: ArrayLike, point: ArrayLike, *, temperature: float) -> np.ndarray:
    """By what a small displacement of a token from a fixed point is multiplied in one step of mean shift.

    These are `2 / T` times the eigenvalues of the covariance of the features, weighted by the softmax over features at
    that point, for ``td.attention(over="features")`` at rate 1.

    Args:
        features: `[N, D]`, floating point.
        point: a fixed point `[D]`.
        temperature: `T`, above 0.

    Returns:
        `[D]`, the largest first, in float64; all below 1 at a mode of the smoothed density, the largest above 1 at a
        saddle.

    Raises:
        ValueError: not floating-point `[N, D]`, a point of another shape, or a temperature out of range.

    Example:
        >>> import numpy as np, tokdyn as td
        >>> td.theory.retrieval_multipliers(np.array([[-1.0], [1.0]]), np.zeros(1), temperature=4.0).tolist()
        [0.5]
    """
    rows = _kept(features, None)
    at = np.asarray(point, np.float64)
    if at.shape != rows.shape[1:]:
        raise checks.bad("point", f"shape {rows.shape[1:]}", checks.describe_array(at))
    temperature = float(checks.hyperparameter("temperature", temperature, above=0.0))
    logits = -((rows - at) ** 2).sum(axis=1) / temperature
    weights = np.exp(logits - logits.max())
    weights /= weights.sum()
    away = rows - weights @ rows
    return np.linalg.eigvalsh((away * weights[:, None]).T @ away)[::-1] * 2 / temperature


def two_mode_temperature(half_distance: ArrayLike, variance: ArrayLike) -> Any:
    """The temperature of mean shift from which two equal normal clusters have one mode: `2 (b^2 - v)`, at least 0.

    The density of the clusters, smoothed with variance `T / 2`, is a mixture of two normals of variance `v + T / 2` at
    `+-b`; it has two modes as long as `b^2` exceeds that variance. Tokens that compete (``td.attraction``) part up to
    `2 (b^2 + v)` instead.

    Args:
        half_distance: `b`: half the distance between the centres.
        variance: `v` of either cluster, along the line between them.

    Returns:
        The temperature, of the shape of both.

    Example:
        >>> import tokdyn as td
        >>> float(td.theory.two_mode_temperature(2.0, 1.0))
        6.0
    """
    half_distance, variance = np.asarray(half_distance, np.float64), np.asarray(variance, np.float64)
    return np.maximum(2 * (half_distance**2 - variance), 0.0)


def _kept(features: ArrayLike, mask: ArrayLike | None) -> np.ndarray:
    """The features that exist, in float64."""
    rows = np.asarray(checks.floating("features", np.asarray(features), axes="[N, D]", xp=np), np.float64)
    if mask is not None:
        kept = np.asarray(mask)
        if kept.shape != rows.shape[:1] or kept.dtype != bool:
            raise checks.bad("mask", f"a boolean array [N] of length {len(rows)}", checks.describe_array(kept))
        rows = rows[kept]
    if 0 in rows.shape:
        raise checks.bad("features", "at least one feature of at least one dimension", checks.describe_array(rows))
    return rows


def _radius(matrix: np.ndarray) -> float:
    return float(np.abs(np.linalg.eigvals(matrix)).max())
