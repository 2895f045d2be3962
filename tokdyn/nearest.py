"""The nearest token of each feature, by products where these decide and by differences where they do not.

In NumPy and SciPy: nothing is compiled, whatever the number of features.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

# Numbers that are held at a time, besides the features and one label each.
MOST_NUMBERS = 1 << 20
# Up to here differences alone are as fast as a product of matrices and its bound.
FEW_DIMENSIONS = 32


def nearest_tokens(features: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    r"""The token at the smallest squared distance from each feature; of equally near ones the first.

    With the tokens' mean `c`, `x = feature - c` and `s_k = token_k - c`, the squared distances of a feature differ
    from `|s_k|^2 - 2 x \cdot s_k` by `|x|^2`, which is the same for all tokens. This takes one product of matrices, in
    the features' dtype, whose error is bounded. With the unit roundoff `u`, each component of `x` and of `s_k` is off
    by a factor `1 + u`, a sum of `D` products by `D u |x| |s_k|` in whatever order, `|s_k|^2` by a factor
    `1 + (D + 3) u` at most, and the last sum by `u` of its two terms:

    .. math:: e_k \le 2 (D + 3)\, u\, |s_k| (|x| + |s_k|)

    up to terms in `u^2`; twice that is used. The nearest token is always among those whose score, less its error, is
    not above the smallest score plus error. Where that is more than one token, squared distances are summed from the
    differences, in float64. So the answer is that of differences in float64 everywhere, but most features never need
    them; far from the origin too, since nothing larger than a distance is ever rounded.

    Args:
        features: `[N, D]`, float32 or float64, up to 1e15 or 1e150 in size.
        tokens: `[K, D]`, likewise.

    Returns:
        Integers `[N]`.

    Example:
        >>> import numpy as np
        >>> from tokdyn.nearest import nearest_tokens
        >>> nearest_tokens(np.array([[0.0], [7.0]]), np.array([[1.0], [5.0]])).tolist()
        [0, 1]
    """
    from scipy.spatial.distance import cdist

    exact, labels = tokens.astype(np.float64), np.empty(len(features), np.int64)
    possible = None if tokens.shape[1] <= FEW_DIMENSIONS else _Possible(exact, features.dtype)
    for rows in _blocks(len(features), max(tokens.shape)):
        block = features[rows]
        if possible is None:
            labels[rows] = cdist(block, exact, "sqeuclidean").argmin(axis=1)
            continue
        are_possible = possible(block)
        labels[rows] = are_possible.argmax(axis=1)
        unsure = np.flatnonzero(are_possible.sum(axis=1) > 1)
        if unsure.size:
            labels[rows][unsure] = cdist(block[unsure], exact, "sqeuclidean").argmin(axis=1)
    return labels


class _Possible:
    """Which tokens products leave possible as the nearest `[rows, K]`: one at least."""

    def __init__(self, tokens: np.ndarray, dtype: np.dtype) -> None:
        limits = np.finfo(dtype)
        self.centre = tokens.mean(axis=0).astype(dtype)  # any point would do: what counts is that it is one point
        relative = tokens - self.centre
        squares = np.sum(relative * relative, axis=1)
        self.squares, self.lengths = squares.astype(dtype), np.sqrt(squares).astype(dtype)
        self.directions = (-2.0 * relative.T).astype(dtype)
        self.slope = dtype.type(2 * (tokens.shape[1] + 3) * limits.eps)  # eps is twice the unit roundoff
        self.underflow = dtype.type(4 * (tokens.shape[1] + 1) * limits.tiny)

    def __call__(self, features: np.ndarray) -> np.ndarray:
        moved = features - self.centre
        scores = moved @ self.directions + self.squares
        sizes = np.sqrt(np.einsum("nd,nd->n", moved, moved))
        errors = self.slope * self.lengths * (sizes[:, None] + self.lengths) + self.underflow
        return scores - errors <= np.min(scores + errors, axis=1, keepdims=True)


def squared_error(features: np.ndarray, tokens: np.ndarray, labels: np.ndarray) -> float:
    """The sum of squared distances of features `[N, D]` to the tokens `[K, D]` of these labels `[N]`, in float64."""
    tokens, total = tokens.astype(np.float64), 0.0
    for rows in _blocks(len(features), features.shape[1]):
        gaps = features[rows] - tokens[labels[rows]]
        total += float(np.einsum("nd,nd->", gaps, gaps))
    return total


def _blocks(num_rows: int, numbers_each: int) -> Iterator[slice]:
    size = max(1, MOST_NUMBERS // numbers_each)
    return (slice(start, start + size) for start in range(0, num_rows, size))
