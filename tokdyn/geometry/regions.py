r"""Gaussian regions: a word as a mass with a mean and a covariance, which contexts stretch, contract, merge and split.

The laws are those of moments. Merging keeps mass, mean and second moment exactly, and splitting is its inverse.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from tokdyn import checks
from tokdyn.numerics import ratio, whitening

CORE, EDGE = 0.5, 0.95  # shares of a region's mass inside its core, and inside its boundary


class Region(NamedTuple):
    """A Gaussian region.

    Attributes:
        mass: `[]`, above 0.
        mean: `[D]`.
        covariance: `[D, D]`, positive definite.
    """

    mass: jax.Array
    mean: jax.Array
    covariance: jax.Array


def region(mass: ArrayLike, mean: ArrayLike, covariance: ArrayLike) -> Region:
    """A region of given moments.

    Args:
        mass: `[]`, above 0.
        mean: `[D]`.
        covariance: `[D, D]`, symmetric and positive definite.

    Returns:
        A ``Region``.

    Raises:
        ValueError: arrays of other shapes; and, outside jit, entries that are not finite, no mass, or a covariance that
            is not symmetric and positive definite.

    Example:
        >>> import jax.numpy as jnp
        >>> from tokdyn import geometry
        >>> float(geometry.region(1.0, jnp.zeros(2), jnp.eye(2)).mass)
        1.0
    """
    amount = jnp.asarray(checks.one_number("mass", mass), jnp.result_type(float))
    if checks.is_concrete(amount) and not amount > 0:
        raise checks.bad("mass", "a number above 0", checks.shown(mass))
    middle = _floats("mean", mean, axes="[D]")
    spread = _floats("covariance", covariance, axes="[D, D]")
    if spread.shape != (middle.shape[0],) * 2:
        raise checks.bad("covariance", f"shape {(middle.shape[0],) * 2}, as the mean has it", spread.shape)
    for name, array in (("mean", middle), ("covariance", spread)):
        if checks.is_concrete(array) and not np.isfinite(np.asarray(array)).all():
            raise checks.bad(name, "finite numbers", "infinite or NaN entries")
    if checks.is_concrete(spread):
        values = np.asarray(spread, np.float64)
        if not np.allclose(values, values.T, rtol=1e-5, atol=1e-6 * np.abs(values).max()):
            raise checks.bad("covariance", "a symmetric matrix", "one that is not")
        if np.linalg.eigvalsh(values)[0] <= 0:
            raise checks.bad("covariance", "a positive definite matrix", "one that is not")
    return Region(amount, middle, spread)


def region_of(points: ArrayLike, *, weights: ArrayLike | None = None, floor: ArrayLike = 0.0) -> Region:
    """The region with the moments of some points.

    Args:
        points: `[N, D]`, finite.
        weights: of the points `[N]`, at least 0; by default 1 each.
        floor: variance added in every direction `[]`: with fewer points than dimensions, above 0.

    Returns:
        A ``Region``; its mass is the sum of the weights. Without any weight the mean is 0.

    Raises:
        ValueError: no points, weights of another length, or, outside jit, entries that are not finite.

    Example:
        >>> import jax.numpy as jnp
        >>> from tokdyn import geometry
        >>> found = geometry.region_of(jnp.array([[0.0], [2.0]]))
        >>> float(found.mass), found.mean.tolist(), found.covariance.tolist()
        (2.0, [1.0], [[1.0]])
    """
    rows = _floats("points", points, axes="[N, D]")
    if rows.shape[0] == 0:
        raise checks.bad("points", "at least one point", "none")
    if checks.is_concrete(rows) and not np.isfinite(np.asarray(rows)).all():
        raise checks.bad("points", "finite numbers", "infinite or NaN entries")
    shares = jnp.ones(rows.shape[0], rows.dtype) if weights is None else _floats("weights", weights, axes="[N]")
    if shares.shape[0] != rows.shape[0]:
        raise checks.bad("weights", f"one for each of the {rows.shape[0]} points", shares.shape[0])
    return _region_of(rows, shares, checks.hyperparameter("floor", floor, at_least=0.0))


def merged(left: Region, right: Region) -> Region:
    r"""Two regions as one: mass, mean and second moment about any point are the sums of theirs.

    With `p = m_1 / (m_1 + m_2)` and `\delta = \mu_1 - \mu_2` the covariance is
    `p C_1 + (1 - p) C_2 + p (1 - p) \delta \delta^T`.

    Args:
        left: a region.
        right: another one, of as many dimensions.

    Returns:
        A ``Region``.

    Raises:
        ValueError: regions of different dimensions.

    Example:
        >>> import jax.numpy as jnp
        >>> from tokdyn import geometry
        >>> one, other = (geometry.region(1.0, jnp.array([x]), jnp.eye(1)) for x in (-1.0, 1.0))
        >>> geometry.merged(one, other).covariance.tolist()
        [[2.0]]
    """
    if left.mean.shape != right.mean.shape:
        raise checks.bad("right", f"{left.mean.shape[-1]} dimensions, as left", right.mean.shape[-1])
    return _merged(left, right)


def parted(
    whole: Region, direction: ArrayLike, *, share: ArrayLike = 0.5, depth: ArrayLike = 0.5
) -> tuple[Region, Region]:
    r"""A region as two of one shape, whose ``merged`` is the region again.

    Their means differ by `\delta = \sqrt{\kappa / (p (1 - p))}\; v / \sqrt{v^T C^{-1} v}`, and each has the covariance
    `C - p (1 - p) \delta \delta^T`: of the variance in that direction (in units of C), the share `\kappa` goes into
    the distance between the two, which leaves each positive definite for every `\kappa` below 1.

    Args:
        whole: a region.
        direction: v, from the second to the first `[D]`.
        share: p, of the mass that the first gets `[]`, between 0 and 1.
        depth: `\kappa` `[]`, of at least 0 and below 1.

    Returns:
        Two regions.

    Raises:
        ValueError: a direction of another length, or, outside jit, of zeros; a share or a depth out of range.

    Example:
        >>> import jax.numpy as jnp
        >>> from tokdyn import geometry
        >>> one, other = geometry.parted(geometry.region(2.0, jnp.zeros(1), jnp.eye(1)), jnp.ones(1), depth=0.75)
        >>> float(one.mass), one.covariance.tolist(), abs(geometry.merged(one, other).covariance - 1).max() < 1e-6
        (1.0, [[0.25]], Array(True, dtype=bool))
    """
    along = _floats("direction", direction, axes="[D]")
    if along.shape != whole.mean.shape:
        raise checks.bad("direction", f"{whole.mean.shape[-1]} numbers, as the mean has", along.shape[-1])
    if checks.is_concrete(along) and not (np.isfinite(np.asarray(along)).all() and np.asarray(along).any()):
        raise checks.bad("direction", "finite numbers that are not all 0", checks.shown(np.asarray(along).tolist()))
    first = checks.hyperparameter("share", share, above=0.0, below=1.0)
    taken = checks.hyperparameter("depth", depth, at_least=0.0, below=1.0)
    return _parted(whole, along, first, taken)


def stretched(whole: Region, direction: ArrayLike, *, factor: ArrayLike) -> Region:
    r"""A region `f` times as long in one direction: `C' = F C F`, `F = 1 + (f - 1) u u^T`.

    The variance along u is multiplied by `f^2`, and so is the determinant; variances and covariances of directions at
    right angles to u stay. A factor below 1 contracts, and `1 / f` undoes f.

    Args:
        whole: a region.
        direction: u `[D]`, of any length but 0.
        factor: f `[]`, above 0.

    Returns:
        A ``Region`` of the same mass and mean.

    Raises:
        ValueError: as ``parted``; a factor that is not above 0.

    Example:
        >>> import jax.numpy as jnp
        >>> from tokdyn import geometry
        >>> whole = geometry.region(1.0, jnp.zeros(2), jnp.eye(2))
        >>> geometry.stretched(whole, jnp.array([2.0, 0.0]), factor=3.0).covariance.tolist()
        [[9.0, 0.0], [0.0, 1.0]]
    """
    along = _floats("direction", direction, axes="[D]")
    if along.shape != whole.mean.shape:
        raise checks.bad("direction", f"{whole.mean.shape[-1]} numbers, as the mean has", along.shape[-1])
    if checks.is_concrete(along) and not (np.isfinite(np.asarray(along)).all() and np.asarray(along).any()):
        raise checks.bad("direction", "finite numbers that are not all 0", checks.shown(np.asarray(along).tolist()))
    times = checks.hyperparameter("factor", factor, above=0.0)
    return _stretched(whole, along, times)


def contracted(whole: Region, evidence: Region) -> Region:
    r"""A region in the light of a context: the product of the two Gaussians, precisions added.

    `C' = (C^{-1} + E^{-1})^{-1}`, `\mu' = C' (C^{-1} \mu + E^{-1} e)`: no direction is wider than before, nor wider
    than the evidence, and the mass is multiplied by the density of the evidence's mean under `C + E`. The masses of a
    word's senses after contraction are therefore in proportion to their probabilities given the context.

    Args:
        whole: a region.
        evidence: what the context says, of as many dimensions; its mass multiplies too.

    Returns:
        A ``Region``.

    Raises:
        ValueError: outside jit, covariances whose sum is singular to rounding.

    Example:
        >>> import jax.numpy as jnp
        >>> from tokdyn import geometry
        >>> whole = geometry.region(1.0, jnp.zeros(1), jnp.eye(1))
        >>> found = geometry.contracted(whole, geometry.region(1.0, jnp.ones(1), jnp.eye(1)))
        >>> found.mean.round(3).tolist(), found.covariance.round(3).tolist()
        ([0.5], [[0.5]])
    """
    found = _contracted(whole, evidence)
    _demand_definite(found, "a covariance that is, with that of the evidence,")
    return found


def log_density(whole: Region, point: ArrayLike) -> jax.Array:
    """Logarithm of mass times Gaussian density at a point `[D]`: `[]`.

    Raises:
        ValueError: a point of another length; and, outside jit, NaN, or a covariance that is singular to rounding.

    Example:
        >>> import jax.numpy as jnp
        >>> from tokdyn import geometry
        >>> round(float(geometry.log_density(geometry.region(1.0, jnp.zeros(1), jnp.eye(1)), jnp.zeros(1))), 4)
        -0.9189
    """
    place = _floats("point", point, axes="[D]")
    _same_space("point", place, whole)
    found = _log_density_of(whole, place)
    _demand_definite(found, "a covariance that is")
    return found


def depth(whole: Region, points: ArrayLike) -> jax.Array:
    r"""Share of a region's mass that is nearer to its mean than a point, in the metric of its covariance.

    Below ``regions.CORE`` (0.5) a point is in the core, below ``regions.EDGE`` (0.95) in the boundary, and outside
    beyond. It is the distribution function of chi-squared, D degrees of freedom, at `(x - \mu)^T C^{-1} (x - \mu)`.

    Args:
        whole: a region.
        points: `[N, D]`.

    Returns:
        `[N]`, from 0 at the mean to 1.

    Raises:
        ValueError: points of another width; and, outside jit, NaN, or a covariance that is singular to rounding.

    Example:
        >>> import jax.numpy as jnp
        >>> from tokdyn import geometry
        >>> whole = geometry.region(1.0, jnp.zeros(2), jnp.eye(2))
        >>> geometry.depth(whole, jnp.array([[0.0, 0.0], [1.0, 1.0]])).round(1).tolist()  # 1 - exp(-r^2 / 2)
        [0.0, 0.6000000238418579]
    """
    rows = _floats("points", points, axes="[N, D]")
    _same_space("points", rows, whole)
    found = _depth(whole, rows)
    _demand_definite(found, "a covariance that is")
    return found


def _floats(name: str, value: ArrayLike, *, axes: str) -> jax.Array:
    """At least single precision: Cholesky's factor knows no less."""
    array = checks.floating(name, value, axes=axes)
    return array.astype(jnp.promote_types(array.dtype, jnp.float32))


def _same_space(name: str, given: jax.Array, whole: Region) -> None:
    width = whole.mean.shape[0]
    if given.shape[-1] != width:
        raise checks.bad(name, f"{width} numbers each, as the region's mean has", f"shape {given.shape}")
    if checks.is_concrete(given) and not np.isfinite(np.asarray(given)).all():
        raise checks.bad(name, "finite numbers", "infinite or NaN entries")


def _demand_definite(found: Region | jax.Array, what: str) -> None:
    """Outside jit: what was found is NaN where a covariance is singular to rounding."""
    known = [np.asarray(leaf) for leaf in jax.tree.leaves(found) if checks.is_concrete(leaf)]
    if any(np.isnan(values).any() for values in known):
        raise checks.bad("whole", f"{what} positive definite to rounding", "a singular one, which a floor would help")


@jax.jit
def _region_of(rows: jax.Array, shares: jax.Array, floor: jax.Array) -> Region:
    mass = jnp.sum(shares)
    mean = ratio(shares @ rows, mass)
    away = rows - mean
    covariance = ratio((shares[:, None] * away).T @ away, mass)
    return Region(mass, mean, covariance + floor * jnp.eye(rows.shape[1], dtype=rows.dtype))


@jax.jit
def _merged(left: Region, right: Region) -> Region:
    mass = left.mass + right.mass
    share, apart = left.mass / mass, left.mean - right.mean
    mean = share * left.mean + (1 - share) * right.mean
    within = share * left.covariance + (1 - share) * right.covariance
    return Region(mass, mean, within + share * (1 - share) * jnp.outer(apart, apart))


@jax.jit
def _parted(whole: Region, along: jax.Array, first: jax.Array, taken: jax.Array) -> tuple[Region, Region]:
    length = jnp.linalg.norm(whitening(whole.covariance) @ along)
    apart = jnp.sqrt(taken / (first * (1 - first))) * along / length
    covariance = whole.covariance - first * (1 - first) * jnp.outer(apart, apart)
    return (
        Region(first * whole.mass, whole.mean + (1 - first) * apart, covariance),
        Region((1 - first) * whole.mass, whole.mean - first * apart, covariance),
    )


@jax.jit
def _stretched(whole: Region, along: jax.Array, times: jax.Array) -> Region:
    unit = along / jnp.linalg.norm(along)
    turn = jnp.eye(len(unit), dtype=unit.dtype) + (times - 1) * jnp.outer(unit, unit)
    return whole._replace(covariance=turn @ whole.covariance @ turn)


@jax.jit
def _contracted(whole: Region, evidence: Region) -> Region:
    both = whole.covariance + evidence.covariance
    white = whitening(both)
    gain = whole.covariance @ white.T @ white
    density = jnp.exp(_log_density(white, evidence.mean - whole.mean))
    left = jnp.eye(len(whole.mean), dtype=gain.dtype) - gain
    # Joseph's form, which stays symmetric and positive.
    covariance = left @ whole.covariance @ left.T + gain @ evidence.covariance @ gain.T
    return Region(whole.mass * evidence.mass * density, whole.mean + gain @ (evidence.mean - whole.mean), covariance)


@jax.jit
def _depth(whole: Region, points: jax.Array) -> jax.Array:
    away = points - whole.mean
    squares = jnp.sum((away @ whitening(whole.covariance).T) ** 2, axis=1)
    return jax.scipy.special.gammainc(whole.mean.shape[0] / 2, squares / 2)


@jax.jit
def _log_density_of(whole: Region, point: jax.Array) -> jax.Array:
    return jnp.log(whole.mass) + _log_density(whitening(whole.covariance), point - whole.mean)


def _log_density(white: jax.Array, away: jax.Array) -> jax.Array:
    """Of a Gaussian whose covariance has that ``whitening``."""
    scaled, halves = white @ away, jnp.sum(jnp.log(jnp.diagonal(white)))
    return -0.5 * (scaled @ scaled) + halves - 0.5 * len(away) * jnp.log(2 * jnp.pi)
