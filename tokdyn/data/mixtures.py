"""Mixtures on which clustering is hard: overlap, stretch, imbalance, nesting, background noise, heavy tails.

Every number may be traced and the shape is fixed by two static sizes, so that all of these share one compiled program.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from numpy.typing import ArrayLike

from tokdyn import checks, draws, keys
from tokdyn.data.blobs import Blobs


def mixture(
    key: jax.Array,
    *,
    sizes: ArrayLike,
    noise: ArrayLike,
    spread: ArrayLike = 5.0,
    stretch: ArrayLike = 1.0,
    tail_index: ArrayLike = np.inf,
    group_size: ArrayLike = 1,
    group_spread: ArrayLike = 0.0,
    num_background: ArrayLike = 0,
    num_dimensions: ArrayLike = 6,
    num_features: int | None = None,
    max_dimensions: int | None = None,
    dtype: DTypeLike | None = None,
) -> Blobs:
    r"""Clusters of any size, shape and tail, alone or in groups, on a background of noise; a pure function of a key.

    .. math::
        c_l = a\,u_{\lfloor l/g \rfloor} + b\,v_l,\qquad
        x_i = c_{l(i)} + \sigma_{l(i)}\, U_i^{-1/\alpha} \left(I + (s - 1)\, e_{l(i)} e_{l(i)}^T\right) z_i

    with `u, v` uniform in the box `(-1, 1)^D`, `z` standard normal, `U` uniform in (0, 1) and `e_l` a uniformly random
    direction. Without a tail the covariance of a cluster is `\sigma^2 (I + (s^2 - 1) e e^T)`; with one, features follow
    the slash distribution, whose distances `r` from the centre exceed R with probability proportional to
    `R^{-\alpha}`, so that there is no variance for `\alpha \le 2`. Background features are uniform in `(-a, a)^D`.

    One key gives one scene: other numbers move and scale the same draws.

    Args:
        key: a JAX key.
        sizes: features of each cluster `[L]`, whole numbers, 0 for a cluster that is not there; may be traced.
        noise: `\sigma`, standard deviation `[]`, or one for each cluster `[L]`.
        spread: `a` `[]`, half the width of the box that holds the centres, or the centres of groups.
        stretch: `s` `[]`, how many times wider a cluster is along its own direction.
        tail_index: `\alpha` `[]` above 0; infinite for a Gaussian.
        group_size: `g` `[]`, clusters in each group; 1 for no groups.
        group_spread: `b` `[]`, half the width of the box of a group, around the group's centre.
        num_background: features `[]` of the background, whose label is -1, which scores ignore.
        num_dimensions: D `[]`; may be traced if ``max_dimensions`` is given, and further columns are then 0.
        num_features: N (static): rows, of which those that are left over are masked; by default as many as there are.
        max_dimensions: columns (static); by default ``num_dimensions``.
        dtype: floating dtype; by default JAX's default float.

    Returns:
        ``Blobs`` with features `[N, D]` and centres `[L, D]`.

    Raises:
        ValueError: sizes that are not whole numbers `[L]`, a negative width, a tail index of 0 or less, more features
            or dimensions than there is room for, or a shape that would depend on traced numbers.

    References:
        W. H. Rogers, J. W. Tukey, Understanding some long-tailed symmetrical distributions, Statistica Neerlandica 26
        (1972) 211 (the slash distribution).

    Example:
        >>> import jax, numpy as np, tokdyn as td
        >>> sizes = np.array([250, 50, 15, 5])
        >>> scene = td.data.mixture(jax.random.key(0), sizes=sizes, noise=0.6, num_background=80)
        >>> scene.features.shape, np.bincount(np.asarray(scene.labels) + 1).tolist()
        ((400, 6), [80, 250, 50, 15, 5])
    """
    sizes, noise = _sizes(sizes), checks.hyperparameter("noise", noise, at_least=0.0)
    if np.shape(noise) not in ((), sizes.shape):
        raise checks.bad("noise", f"one number, or {len(sizes)} of them", checks.describe_array(np.asarray(noise)))
    spread, group_spread, tail_index = (
        checks.one_number(name, value, at_least=0.0) if name != "tail_index" else _tail(value)
        for name, value in (("spread", spread), ("group_spread", group_spread), ("tail_index", tail_index))
    )
    stretch = checks.one_number("stretch", stretch, at_least=0.0)
    group_size = checks.one_number("group_size", group_size, at_least=1.0)
    num_background = checks.one_number("num_background", num_background, at_least=0.0)
    rows = _static("num_features", num_features, "sizes, num_background", sizes, num_background)
    columns = _columns(num_dimensions, max_dimensions)
    return _drawn(
        key, sizes, noise, spread, stretch, tail_index, group_size, group_spread, num_background, num_dimensions,
        rows=rows, columns=columns, dtype=np.dtype(jnp.result_type(float) if dtype is None else dtype),
    )  # fmt: skip


@functools.partial(jax.jit, static_argnames=("rows", "columns", "dtype"))
def _drawn(
    key: jax.Array,
    sizes: jax.Array,
    noise: ArrayLike,
    spread: ArrayLike,
    stretch: ArrayLike,
    tail_index: ArrayLike,
    group_size: ArrayLike,
    group_spread: ArrayLike,
    num_background: ArrayLike,
    num_dimensions: ArrayLike,
    *,
    rows: int,
    columns: int,
    dtype: np.dtype,
) -> Blobs:
    """``mixture`` after its checks, one program for each shape."""
    total = jnp.cumsum(jnp.asarray(sizes, jnp.int32))
    row = jnp.arange(rows)
    owner = jnp.sum(row[:, None] >= total, axis=1)  # [N], the number of clusters that end before the row
    is_clustered, exists = row < total[-1], row < total[-1] + jnp.asarray(num_background, jnp.int32)
    owner = jnp.minimum(owner, len(sizes) - 1)
    is_column = jnp.arange(columns) < jnp.asarray(num_dimensions)

    def box(name: str, count: int) -> jax.Array:
        return draws.uniform(keys.for_purpose(key, name), (count, columns), dtype, -1.0, 1.0)

    def number(value: ArrayLike) -> jax.Array:
        return jnp.asarray(value, dtype)

    coarse, fine = box("centres", len(sizes)), box("group", len(sizes))
    group = jnp.arange(len(sizes)) // jnp.asarray(group_size, jnp.int32)
    centres = jnp.where(is_column, number(spread) * coarse[group] + number(group_spread) * fine, 0)

    direction = jnp.where(is_column, draws.normal(keys.for_purpose(key, "direction"), (len(sizes), columns), dtype), 0)
    direction = direction / jnp.sqrt(jnp.sum(direction**2, axis=1, keepdims=True))
    away = jnp.where(is_column, draws.normal(keys.for_purpose(key, "features"), (rows, columns), dtype), 0)
    along = jnp.sum(away * direction[owner], axis=1, keepdims=True)
    away = away + (number(stretch) - 1) * along * direction[owner]
    # U in (0, 1]: a power of 0 would be infinite.
    heavy = (1 - draws.uniform(keys.for_purpose(key, "tail"), (rows, 1), dtype)) ** (-1 / number(tail_index))
    width = jnp.broadcast_to(number(noise), sizes.shape)[owner][:, None]
    clustered = centres[owner] + width * heavy * away
    background = jnp.where(is_column, number(spread) * box("background", rows), 0)
    features = jnp.where(is_clustered[:, None], clustered, jnp.where(exists[:, None], background, 0))
    labels = jnp.where(is_clustered | ~exists, owner, -1)
    return Blobs(features, labels, exists, centres)


def _sizes(sizes: ArrayLike) -> jax.Array | np.ndarray:
    array = sizes if isinstance(sizes, jax.Array) else np.asarray(sizes)
    if array.ndim != 1 or not len(array) or not jnp.issubdtype(array.dtype, jnp.integer):
        raise checks.bad("sizes", "whole numbers [L], one for each cluster", checks.describe_array(array))
    if checks.is_concrete(array) and (np.min(array) < 0 or np.max(array) == 0):
        raise checks.bad("sizes", "whole numbers of at least 0, one of them above", checks.shown(np.asarray(array)))
    return array


def _tail(value: ArrayLike) -> ArrayLike:
    if np.ndim(value) != 0:
        raise checks.bad("tail_index", "one number", checks.describe_array(value))
    found: ArrayLike = checks.hyperparameter("tail_index", value, above=0.0, finite=False)
    return found


def _static(name: str, given: int | None, of: str, *parts: ArrayLike) -> int:
    """A size that fixes the shape, from its own argument or from the numbers that it must hold."""
    known = all(checks.is_concrete(part) for part in parts)
    if given is None and not known:
        raise checks.bad(name, f"a static integer, because {of} are traced", None)
    needed = int(sum(np.sum(np.asarray(part)) for part in parts)) if known else 1
    rows = checks.whole_number(name, needed if given is None else given, at_least=1)
    if rows < needed:
        raise checks.bad(name, f"at least {needed}, which {of} add up to", rows)
    return rows


def _columns(num_dimensions: ArrayLike, max_dimensions: int | None) -> int:
    """The static number of columns."""
    if max_dimensions is None:
        return checks.whole_number("num_dimensions", num_dimensions, at_least=1)
    columns = checks.whole_number("max_dimensions", max_dimensions, at_least=1)
    if checks.is_concrete(num_dimensions) and not 1 <= np.max(np.asarray(num_dimensions)) <= columns:
        raise checks.bad("num_dimensions", f"from 1 to max_dimensions, {columns}", num_dimensions)
    return columns
