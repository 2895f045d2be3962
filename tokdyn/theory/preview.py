"""Short runs on a few features with NumPy: a cheap preview of many steps on many features.

Nothing here is compiled. The rule is that of ``td.attraction`` at rate 1, with weighted features.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tokdyn.theory.critical import rows_read, some_rows

# Tokens closer together than this fraction of the features' spread count as one, as in ``td.Result.num_distinct``.
RESOLUTION = 0.01
TOL = 1e-4
# This many features of a sample are those farthest from the mean, because outliers decide what survives above T_c.
OUTERMOST = 64
MOST_LOOKED_AT = 16384
# The largest number of multiplications in a product for which OpenBLAS uses one thread.
MOST_ALONE = 1 << 18
FINE, COARSE, HOTTEST = 1.03, 1.1, 6.0


class Sample(NamedTuple):
    """A few features that represent all, in units in which their root mean square distance from the mean is 1.

    Attributes:
        points: the features relative to their mean `[n, D]`, float32.
        weights: how many features each of them represents `[n]`.
        spread: the root mean square distance, in the original units; 0 if all features are equal.
    """

    points: np.ndarray
    weights: np.ndarray
    spread: float


def sample_of(features: np.ndarray, count: int, directions: np.ndarray | None = None) -> Sample:
    """All features of a small set; otherwise the outermost ones, and a random sample of the others with larger weights.

    Args:
        features: `[N, D]`.
        count: maximal number of features.
        directions: orthonormal directions to keep `[D, A]`; by default all.
    """
    weights = np.ones(min(len(features), count), np.float32)
    if len(features) > count:
        # The outermost are sought among a few thousand; among millions, the starts of a run would miss them as well.
        rows = some_rows(features, max(count, MOST_LOOKED_AT))
        order = np.argsort(((rows - rows.mean(axis=0)) ** 2).sum(axis=1))
        inner = np.random.default_rng(1).permutation(order[:-OUTERMOST])
        points = np.concatenate([rows[order[-OUTERMOST:]], rows[inner[: count - OUTERMOST]]])
        weights[OUTERMOST:] = len(inner) / (count - OUTERMOST)
    else:
        points = np.asarray(features, np.float64)
    largest = float(np.abs(points).max()) or 1.0
    points = points / largest
    points = points - np.average(points, axis=0, weights=weights)
    if directions is not None:
        points = points @ directions
    spread = float(np.sqrt(np.average((points**2).sum(axis=1), weights=weights)))
    if spread <= 1e-12:
        return Sample(np.zeros((len(points), 1), np.float32), weights, 0.0)
    points = points / spread
    return Sample(points.astype(np.float32), weights, spread * largest)


def critical_of(sample: Sample) -> float:
    """The critical temperature of the sample, in units of its squared spread."""
    weighted = sample.points * np.sqrt(sample.weights / sample.weights.sum())[:, None]
    return 2 * float(np.linalg.svd(weighted, compute_uv=False)[0]) ** 2


def random_starts(sample: Sample, num_tokens: int, num_starts: int) -> np.ndarray:
    """Tokens at features drawn without replacement `[S, K, D]`."""
    generator = np.random.default_rng(2)
    shares = sample.weights / sample.weights.sum()
    draw = lambda: generator.choice(len(sample.points), num_tokens, replace=False, p=shares)  # noqa: E731
    return np.stack([sample.points[draw()] for _ in range(num_starts)])


def settled(sample: Sample, tokens: np.ndarray, temperature: float, max_steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Run tokens `[S, K, D]` until each start is at rest; returns the final tokens, and which starts came to rest
    `[S]`.

    Products are split into blocks that are too small for BLAS to use several threads: on a busy machine these wait for
    each other, and a second of work took half a minute.
    """
    _, num_tokens, num_dimensions = tokens.shape
    width = int(np.clip(MOST_ALONE // (num_tokens * num_dimensions), 8, len(sample.points)))
    padding = -len(sample.points) % width
    rows = np.pad(sample.points, ((0, padding), (0, 0))).reshape(-1, width, num_dimensions)  # [B, b, D]
    columns = np.ascontiguousarray(rows.transpose(0, 2, 1))
    weights = np.pad(sample.weights, (0, padding)).reshape(-1, 1, width)
    tokens, active = tokens.copy(), np.arange(len(tokens))
    for _ in range(max_steps):
        before = tokens[active]
        shares = np.matmul(before[:, None], columns)  # [S, B, K, b]
        shares *= 2.0
        shares -= (before**2).sum(axis=2)[:, None, :, None]
        shares -= shares.max(axis=2, keepdims=True)
        shares *= np.float32(1.0 / max(temperature, 1e-30))
        np.exp(shares, out=shares)
        shares *= weights / shares.sum(axis=2, keepdims=True)
        mass = shares.sum(axis=(1, 3))[..., None]
        pulled = np.matmul(shares, rows).sum(axis=1) / np.maximum(mass, np.float32(1e-30))
        after = np.where(mass > 0, pulled, before)
        tokens[active] = after
        active = active[((after - before) ** 2).sum(axis=2).max(axis=1) >= TOL**2]
        if not active.size:
            break
    rests = np.ones(len(tokens), bool)
    rests[active] = False
    return tokens, rests


def num_distinct(tokens: np.ndarray) -> np.ndarray:
    """The same count as ``td.Result.num_distinct``, for tokens `[S, K, D]`."""
    gaps = np.sqrt(((tokens[:, :, None] - tokens[:, None]) ** 2).sum(axis=-1))
    earlier = np.tri(tokens.shape[1], k=-1, dtype=bool)
    return (~((gaps <= RESOLUTION) & earlier).any(axis=2)).sum(axis=1)


def principal(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``td.theory.read_variances`` in decreasing order `[A]`, and the corresponding directions `[D, A]`."""
    rows = some_rows(features, rows_read(features))
    largest = float(np.abs(rows).max()) or 1.0
    rows = rows / largest
    rows = rows - rows.mean(axis=0)
    if rows.shape[1] > rows.shape[0]:
        _, values, directions = np.linalg.svd(rows, full_matrices=False)
        variances, directions = values**2, directions.T
    else:
        variances, directions = np.linalg.eigh(rows.T @ rows)
        variances, directions = np.maximum(variances[::-1], 0.0), directions[:, ::-1]
    return variances / len(rows) * largest * largest, directions


def projected(sample: Sample, directions: np.ndarray) -> Sample:
    """The sample, projected to the given directions `[D, A]`, in unchanged units."""
    return sample._replace(points=sample.points @ directions.astype(np.float32))


def heated(features: np.ndarray, num_tokens: int, count: int, directions: np.ndarray) -> float:
    """The spinodal divided by the critical temperature: where tokens that were apart have all merged.

    Only the given directions `[D, A]` are used: near `T_c` those with little variance follow the others. Tokens are
    settled at a tenth of the critical temperature and warmed step by step from there. Noise widens the spectrum of a
    sample, so both temperatures are those of the sample.

    Returns:
        A ratio of at least 1, in steps of 3 % up to 1.3 and of 10 % beyond; infinity if some are still apart at 6.
    """
    sample = sample_of(features, count, directions)
    critical = critical_of(sample)
    tokens = random_starts(sample, num_tokens, 2)
    tokens, _ = settled(sample, tokens, 0.1 * critical, 50)
    for share in (0.2, 0.4, 0.6, 0.8, 0.9):
        tokens, _ = settled(sample, tokens, share * critical, 30)
    ratio = 1.0
    while ratio < HOTTEST:
        tokens, _ = settled(sample, tokens, ratio * critical, 150)
        apart = num_distinct(tokens) > 1
        if not apart.any():
            return ratio
        tokens = tokens[apart]
        ratio *= FINE if ratio < 1.3 else COARSE
    return np.inf
