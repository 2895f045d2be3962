r"""How many clusters there are, and at which temperature tokens find them: the widest plateau of distinct tokens.

Give more tokens than clusters, and heat them. At a temperature T, tokens that share a cluster merge where T exceeds
`2 lambda_max` of that cluster (``critical_temperatures``), and those of different clusters stay apart until T reaches
the scale between clusters. Where the two scales differ, the number of distinct tokens is the number of clusters over a
range of temperatures, which theory calls a plateau; where they do not, the number changes all the time, and there is no
answer. Both scales grow with the square of the features, so that nothing here has a unit: temperatures are counted in
units of the critical temperature of all features, and distances in units of the root of the temperature.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from tokdyn import checks, keys
from tokdyn.dynamics import catalog
from tokdyn.metrics import distinct_tokens, merged_tokens
from tokdyn.numerics import masked_mean
from tokdyn.solve import run
from tokdyn.starts import random_features
from tokdyn.theory import critical
from tokdyn.tree import with_values

# Temperatures, in units of the critical one: three decades, 1.25 times as high at each step.
RATIOS = np.geomspace(1e-3, 1.0, 32)
# Tokens nearer than this share of the root of the temperature count as one. Two that part from one cluster are that far
# apart 5 % below its critical temperature: their distance is sqrt(2 (T_c - T)).
NEAR = 0.3
# A plateau is an answer if it spans this factor in temperature. On features that fill a line evenly, two tokens last
# for a factor of about 2.4.
WIDE = 3.0
# Steps at each temperature, and their tolerance as a share of the root of the temperature.
STEPS, TOLERANCE = 60, 1e-3
# At most so many features are read.
MOST_ROWS = 4096


class Order(NamedTuple):
    """What ``select_temperature`` found.

    Attributes:
        num_clusters: how many clusters; 0 where it is unknown.
        temperature: in the middle of the plateau, in squared units of the features; NaN where it is unknown.
        width: the factor in temperature that the widest plateau spans.
        tokens: of the clusters `[num_clusters, D]`.
        labels: the cluster of each feature `[N]`; -1 where it is unknown.
        temperatures: that were tried, in squared units of the features `[R]`.
        distinct: tokens that remain distinct at each of them `[R]`.
    """

    num_clusters: int
    temperature: float
    width: float
    tokens: np.ndarray
    labels: np.ndarray
    temperatures: np.ndarray
    distinct: np.ndarray

    @property
    def known(self) -> bool:
        """Whether there is a plateau."""
        return self.num_clusters > 0

    def __str__(self) -> str:
        """One sentence."""
        if not self.known:
            return (
                f"The number of clusters is unknown: no number of distinct tokens lasts while the temperature "
                f"grows {WIDE:g}-fold (the longest lasts for a factor of {self.width:.2g})."
            )
        return (
            f"{self.num_clusters} clusters at temperature {self.temperature:.3g}: so many tokens stay distinct while "
            f"the temperature grows {self.width:.2g}-fold."
        )


def select_temperature(features: ArrayLike, *, num_tokens: int = 16, key: jax.Array | None = None) -> Order:
    """The temperature at which surplus tokens merge into clusters, and how many clusters there are.

    Tokens start on random features and are heated from a thousandth of the critical temperature to all of it. The
    answer is the number of distinct tokens, above 1 and below ``num_tokens``, that lasts longest in the logarithm of
    the temperature, if that is a factor of three; otherwise it is unknown. Features without clusters, a single cluster,
    clusters as wide as they are far apart, and more clusters than tokens have no such plateau.

    The answer is the same for features that are moved, turned or measured in another unit, up to rounding. It is that
    of isotropic distances: standardise columns of different units first.

    Args:
        features: `[N, D]`, floating point, finite; of more than 4,096 a random sample is read, and all are labelled.
        num_tokens: K, more than there may be clusters, at least 3; about three times as many are enough for clusters of
            similar size.
        key: of the start; by default ``jax.random.key(0)``.

    Returns:
        An ``Order``.

    Raises:
        ValueError: not finite floating-point `[N, D]`, fewer than 3 tokens, or fewer features than tokens.

    References:
        K. Rose, E. Gurewitz, G. Fox, Phys. Rev. Lett. 65 (1990) 945.

    Example:
        >>> import jax, tokdyn as td
        >>> scene = td.data.blobs(jax.random.key(0), num_clusters=4, noise=0.6)
        >>> found = td.select_temperature(scene.features)
        >>> found.num_clusters, found.known
        (4, True)
    """
    checked = checks.floating("features", np.asarray(features), axes="[N, D]", xp=np)
    values: np.ndarray = np.asarray(checked, np.float64)
    count = checks.whole_number("num_tokens", num_tokens, at_least=3)
    if not np.isfinite(values).all():
        raise checks.bad("features", "finite numbers", f"{(~np.isfinite(values)).sum()} that are not")
    if values.shape[0] < count or values.shape[1] == 0:
        raise checks.bad("features", f"at least num_tokens = {count} rows and one column", f"shape {values.shape}")
    key = jax.random.key(0) if key is None else key
    checks.random_key("key", key)
    rows = critical.some_rows(values, MOST_ROWS)
    centre = rows.mean(axis=0)
    heat = float(critical.critical_temperature(rows - centre))
    temperatures = heat * RATIOS
    if heat == 0:
        nothing = np.full(len(values), -1)
        return Order(0, math.nan, 1.0, values[:0], nothing, temperatures, np.ones(len(RATIOS), int))
    scale = math.sqrt(heat)
    found = heated(((rows - centre) / scale).astype(np.float32), None, key, num_tokens=count)
    distinct = np.asarray(found.distinct)
    plateau = widest_plateau(distinct, num_tokens=count)
    width, middle = float(plateau.width), int(plateau.middle)
    if not bool(plateau.is_wide):
        return Order(0, math.nan, width, values[:0], np.full(len(values), -1), temperatures, distinct)
    component = np.asarray(found.components[middle])
    kept = np.unique(component)
    tokens = np.asarray(found.tokens[middle], np.float64)[kept]
    return Order(
        len(kept), float(temperatures[middle]), width, tokens * scale + centre,
        _nearest((values - centre) / scale, tokens), temperatures, distinct,
    )  # fmt: skip


class Heated(NamedTuple):
    """Tokens along the temperatures of ``RATIOS``.

    Attributes:
        tokens: `[R, K, D]`.
        distinct: how many are distinct `[R]`.
        components: the smallest index among the tokens that count as one with each `[R, K]`.
    """

    tokens: jax.Array
    distinct: jax.Array
    components: jax.Array


@functools.partial(jax.jit, static_argnames="num_tokens")
def heated(features: ArrayLike, mask: jax.Array | None, key: jax.Array, *, num_tokens: int) -> Heated:
    """Heat tokens from random features: at each temperature they go on from where the colder one left them.

    Args:
        features: `[N, D]` in units of the root of their critical temperature (``in_own_units``).
        mask: which exist `[N]`, or None for all.
        key: of the start.
        num_tokens: K (static).

    Returns:
        ``Heated``.
    """
    rows = jnp.asarray(features)
    dynamics = catalog.soft_kmeans()

    def warmer(tokens: jax.Array, ratio: jax.Array) -> tuple[jax.Array, jax.Array]:
        ended = run(
            with_values(dynamics, {"attract.temperature": ratio}), None, rows, tokens=tokens, max_steps=STEPS,
            tol=TOLERANCE * jnp.sqrt(ratio), mask=mask, assignment="none",
        )  # fmt: skip
        return ended.tokens, ended.tokens

    start = random_features(keys.for_purpose(key, "tokens"), rows, num_tokens, mask=mask)
    ratios = jnp.asarray(RATIOS, rows.dtype)
    _, tokens = jax.lax.scan(warmer, start, ratios)
    return Heated(
        tokens,
        jax.vmap(distinct_tokens)(tokens, NEAR * jnp.sqrt(ratios)),
        jax.vmap(merged_tokens)(tokens, NEAR * jnp.sqrt(ratios)),
    )


def in_own_units(features: jax.Array, mask: jax.Array) -> jax.Array:
    """Features around 0 in units of the root of their critical temperature, so that it is 1; masked rows are 0."""
    heat = critical.critical_temperature(features, mask=mask)
    away = features - masked_mean(jnp.where(mask[:, None], features, 0), mask)
    return jnp.where(mask[:, None], away / jnp.sqrt(jnp.where(heat > 0, heat, 1)), 0)


class Plateau(NamedTuple):
    """The widest plateau of distinct tokens.

    Attributes:
        number: of distinct tokens `[]`; 0 where no number between 1 and K occurs.
        middle: number of the temperature in its middle `[]`.
        width: the factor in temperature that it spans `[]`.
        is_wide: whether that is enough `[]`.
    """

    number: jax.Array
    middle: jax.Array
    width: jax.Array
    is_wide: jax.Array


@functools.partial(jax.jit, static_argnames="num_tokens")
def widest_plateau(distinct: ArrayLike, *, num_tokens: int) -> Plateau:
    """The number above 1 and below K that lasts longest; of two that last as long, the one at the lower temperature.

    Args:
        distinct: distinct tokens at the temperatures of ``RATIOS`` `[R]`.
        num_tokens: K (static).

    Returns:
        ``Plateau``.
    """
    counts = jnp.asarray(distinct)

    def longer(before: tuple[jax.Array, jax.Array], count: jax.Array) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
        last, length = before
        length = jnp.where(count == last, length + 1, 1)
        return (count, length), length

    _, lengths = jax.lax.scan(longer, (counts[0] - 1, jnp.zeros((), jnp.int32)), counts)
    lengths = jnp.where((counts > 1) & (counts < num_tokens), lengths, 0)
    last = jnp.argmax(lengths)
    length = lengths[last]
    width = (RATIOS[1] / RATIOS[0]) ** length
    count = jnp.where(length > 0, counts[last], 0)
    return Plateau(count, last - length // 2, width, width >= WIDE)


def _nearest(features: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    """The nearest token of each feature, a part of the features at a time."""
    parts = np.array_split(features, max(1, features.shape[0] * len(tokens) // 2**22))
    squares = np.sum(tokens**2, axis=1)
    return np.concatenate([np.argmin(squares - 2 * part @ tokens.T, axis=1) for part in parts])
