"""Differences of codes or patterns, and analogies: a is to b as c is to which other?"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from tokdyn import checks
from tokdyn.dynamics.sphere import on_sphere


class Analogies(NamedTuple):
    """How analogies are solved by differences.

    Attributes:
        rank: of the right answer among all candidates, 0 for the nearest `[Q]`.
        accuracy: share of questions whose right answer is nearest `[]`.
        chance: what a random candidate would get, `1 / (N - 3)` `[]`.
        without_difference: the same share for the nearest to c alone `[]`: what the difference adds is beyond it.
        accuracy_among_all: the share where a, b and c are candidates too `[]`.
    """

    rank: jax.Array
    accuracy: jax.Array
    chance: jax.Array
    without_difference: jax.Array
    accuracy_among_all: jax.Array


def analogies(codes: ArrayLike, questions: ArrayLike) -> Analogies:
    r"""Solve "a is to b as c is to d" by `b - a + c`: the candidate of largest cosine with it (3CosAdd).

    Candidates are all codes but a, b and c. This rule hides a weakness that ``accuracy_among_all`` shows: the nearest
    of all is often c itself. ``without_difference`` asks whether the nearest to c would have been right anyway.

    Args:
        codes: `[N, D]`, N at least 4; patterns as rows of all their numbers.
        questions: rows of a, b, c and d `[Q, 4]`, whole numbers below N, four different ones in each.

    Returns:
        ``Analogies``.

    Raises:
        ValueError: no such arrays, an index outside, a row with one index twice, infinite or NaN numbers.

    References:
        T. Mikolov, W. Yih, G. Zweig, Linguistic regularities in continuous space word representations, NAACL 2013.
        T. Linzen, Issues in evaluating semantic spaces using word analogies, RepEval 2016, arXiv:1606.07736.

    Example:
        >>> import jax
        >>> from tokdyn import geometry
        >>> planted = geometry.planted_factors(jax.random.key(0), sizes=(3, 3), dimensions=32)
        >>> found = geometry.analogies(planted.vectors, [[0, 1, 3, 4], [0, 3, 2, 5]])  # exact, as factors add up
        >>> found.rank.tolist(), float(found.accuracy), round(float(found.chance), 3)
        ([0, 0], 1.0, 0.167)
    """
    rows = checks.floating("codes", codes, axes="[N, D]")
    if len(rows) < 4:
        raise checks.bad("codes", "four or more rows", len(rows))
    if checks.is_concrete(rows) and not np.isfinite(np.asarray(rows)).all():
        raise checks.bad("codes", "finite numbers", "infinite or NaN entries")
    asked = np.asarray(questions)
    if asked.ndim != 2 or asked.shape[1:] != (4,) or not len(asked) or asked.dtype.kind not in "iu":
        raise checks.bad("questions", "whole numbers [Q, 4]", checks.describe_array(asked))
    if asked.min() < 0 or asked.max() >= len(rows):
        raise checks.bad("questions", f"rows of codes, 0 to {len(rows) - 1}", f"{asked.min()} to {asked.max()}")
    ordered = np.sort(asked, axis=1)
    if (twice := (ordered[:, 1:] == ordered[:, :-1]).any(axis=1)).any():
        raise checks.bad("questions", "four different rows in each", asked[int(np.argmax(twice))].tolist())
    return _solved(rows, asked)


@jax.jit
def _solved(codes: jax.Array, questions: jax.Array) -> Analogies:
    a, b, c, d = questions.T
    others = jnp.arange(len(codes))
    own = (others == a[:, None]) | (others == b[:, None]) | (others == c[:, None])
    directions = on_sphere(codes)

    def ranked(target: jax.Array, left_out: jax.Array) -> jax.Array:
        cosines = jnp.where(left_out, -jnp.inf, target @ directions.T)
        right = jnp.take_along_axis(cosines, d[:, None], axis=1)
        # A tie is no answer: of equally near ones each counts as nearer.
        return jnp.sum((cosines >= right) & (others != d[:, None]), axis=1)

    target = codes[b] - codes[a] + codes[c]
    rank = ranked(target, own)
    nothing = jnp.zeros_like(own)
    return Analogies(
        rank,
        jnp.mean(rank == 0),
        jnp.asarray(1 / (len(codes) - 3), codes.dtype),
        jnp.mean(ranked(codes[c], own) == 0),
        jnp.mean(ranked(target, nothing) == 0),
    )
