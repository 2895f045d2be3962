"""Moons and rings: clusters that no token can own, because they are not gathered around a point."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from numpy.typing import ArrayLike

from tokdyn import checks, draws, keys
from tokdyn.data.blobs import Blobs


def moons(
    key: jax.Array,
    *,
    num_features: int = 400,
    noise: ArrayLike = 0.1,
    num_dimensions: int = 2,
    dtype: DTypeLike | None = None,
) -> Blobs:
    r"""Two half circles of radius 1 that interlock, half of the features on each.

    .. math:: x = (\cos t, \sin t) \text{ or } (1 - \cos t, \tfrac12 - \sin t),\quad t \sim \mathcal U(0, \pi),
        \quad\text{plus } \mathcal N(0, \sigma^2 I)

    A negative control for token dynamics: the right clusters are connected, not compact.

    Args:
        key: a JAX key.
        num_features: N (static), even.
        noise: `\sigma` `[]`, may be traced.
        num_dimensions: D (static), at least 2; further columns are 0.
        dtype: floating dtype; by default JAX's default float.

    Returns:
        ``Blobs`` with labels 0 and 1, all of which exist; its centres are the means of the noiseless curves `[2, D]`.

    Raises:
        ValueError: an odd or small number of features, fewer than 2 dimensions, or a negative noise.

    Example:
        >>> import jax, tokdyn as td
        >>> scene = td.data.moons(jax.random.key(0), num_features=100, noise=0.05)
        >>> scene.features.shape, int(scene.labels.sum())
        ((100, 2), 50)
    """
    means = np.array([[0.0, 2 / np.pi], [1.0, 0.5 - 2 / np.pi]])
    return _on_curves(key, "moons", 0.0, means, num_features, noise, num_dimensions, dtype)


def rings(
    key: jax.Array,
    *,
    num_features: int = 400,
    noise: ArrayLike = 0.05,
    inner: ArrayLike = 0.5,
    num_dimensions: int = 2,
    dtype: DTypeLike | None = None,
) -> Blobs:
    r"""Two circles around one centre, half of the features on each.

    .. math:: x = r_l (\cos t, \sin t),\quad r_0 = 1,\; r_1 = \rho,\quad t \sim \mathcal U(0, 2\pi),
        \quad\text{plus } \mathcal N(0, \sigma^2 I)

    A negative control for token dynamics: both clusters have the same mean.

    Args:
        key: a JAX key.
        num_features: N (static), even.
        noise: `\sigma` `[]`, may be traced.
        inner: `\rho` `[]`, radius of the inner circle.
        num_dimensions: D (static), at least 2; further columns are 0.
        dtype: floating dtype; by default JAX's default float.

    Returns:
        ``Blobs`` with labels 0 and 1, all of which exist, and both centres at the origin `[2, D]`.

    Raises:
        ValueError: an odd or small number of features, fewer than 2 dimensions, or a negative number.

    Example:
        >>> import jax, tokdyn as td
        >>> td.data.rings(jax.random.key(0), num_features=100).features.shape
        (100, 2)
    """
    inner = checks.one_number("inner", inner, at_least=0.0)
    return _on_curves(key, "rings", inner, np.zeros((2, 2)), num_features, noise, num_dimensions, dtype)


def _on_curves(
    key: jax.Array,
    kind: str,
    inner: ArrayLike,
    means: np.ndarray,
    num_features: int,
    noise: ArrayLike,
    num_dimensions: int,
    dtype: DTypeLike | None,
) -> Blobs:
    """The checks that both share."""
    rows = checks.whole_number("num_features", num_features, at_least=2)
    if rows % 2:
        raise checks.bad("num_features", "an even number, half for each curve", rows)
    columns = checks.whole_number("num_dimensions", num_dimensions, at_least=2)
    noise = checks.one_number("noise", noise, at_least=0.0)
    dtype = np.dtype(jnp.result_type(float) if dtype is None else dtype)
    return _drawn(key, means, inner, noise, kind=kind, rows=rows, columns=columns, dtype=dtype)


@functools.partial(jax.jit, static_argnames=("kind", "rows", "columns", "dtype"))
def _drawn(
    key: jax.Array,
    means: jax.Array,
    inner: ArrayLike,
    noise: ArrayLike,
    *,
    kind: str,
    rows: int,
    columns: int,
    dtype: np.dtype,
) -> Blobs:
    """Features on two curves in the plane, with noise in the plane."""
    labels = jnp.arange(rows) // (rows // 2)
    share = draws.uniform(keys.for_purpose(key, "curve"), (rows,), dtype)
    is_first = labels == 0
    if kind == "moons":
        x, y = jnp.cos(jnp.pi * share), jnp.sin(jnp.pi * share)
        x, y = jnp.where(is_first, x, 1 - x), jnp.where(is_first, y, 0.5 - y)
    else:
        radius = jnp.where(is_first, 1, jnp.asarray(inner, dtype))
        x, y = radius * jnp.cos(2 * jnp.pi * share), radius * jnp.sin(2 * jnp.pi * share)
    noisy = jnp.stack([x, y], axis=1) + jnp.asarray(noise, dtype) * draws.normal(
        keys.for_purpose(key, "features"), (rows, 2), dtype
    )
    beyond = ((0, 0), (0, columns - 2))
    return Blobs(jnp.pad(noisy, beyond), labels, jnp.ones(rows, bool), jnp.pad(jnp.asarray(means, dtype), beyond))
