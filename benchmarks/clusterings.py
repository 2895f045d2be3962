"""Many small clusterings: N=320, D=6, four clusters, at most 30 steps, counted per CPU second on one core."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import tokdyn as td
from benchmarks import peers_clustering, scenes
from benchmarks.record import Goal, Section, entries_from
from benchmarks.timing import interleaved

COUNT = 1000
SOFT, HARD = "tokdyn, soft, early stop", "tokdyn, temperature 0 (hard), early stop"
TOL = 1e-3
# A fit is the same when its sum of squares is within this share; some libraries stop earlier, or refill an empty
# cluster where Lloyd's algorithm leaves it.
SAME, MAY_DIFFER = 0.01, 0.1


@jax.jit
def with_tokdyn(dynamics: td.Dynamics, features: jax.Array, tokens: jax.Array) -> td.Result:
    """What a user of tokdyn writes; the soft assignment is part of the result."""

    def one(features: jax.Array, tokens: jax.Array) -> td.Result:
        return td.run(dynamics, None, features, tokens=tokens, max_steps=peers_clustering.MAX_STEPS, tol=TOL)

    return td.vmap(one)(features, tokens)


def sums_of_squares(features: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Sum over the features of the squared distance to the nearest centre `[R]`."""
    gaps = features[:, :, None, :] - centres[:, None, :, :]
    return np.min(np.sum(gaps**2, axis=-1), axis=2).sum(axis=1)


def agreement(name: str, features: np.ndarray, centres: np.ndarray, lloyd: np.ndarray) -> str:
    """How many fits have the sum of squares of tokdyn at temperature 0.

    Raises:
        AssertionError: a library that should be Lloyd's algorithm from the same start is not.
    """
    sums = sums_of_squares(features, centres)
    share = float(np.mean(np.abs(sums / lloyd[: len(sums)] - 1) > SAME))
    text = f"{share:.1%} of fits differ from hard k-means from the same start by more than {SAME:.0%} of the squares"
    if name in peers_clustering.LLOYD and share > MAY_DIFFER:
        raise AssertionError(text)
    return text


def measure(*, repeats: int, quick: bool) -> Section:
    """The row ``clusterings``."""
    count = 200 if quick else COUNT
    features, tokens, _ = scenes.blobs(count, num_clusters=4, points_per_cluster=80, num_dimensions=6, num_tokens=4)
    on_device = jnp.asarray(features), jnp.asarray(tokens)
    forms: dict[str, Callable[[], Any]] = {
        SOFT: functools.partial(with_tokdyn, td.catalog.soft_kmeans(), *on_device),
        HARD: functools.partial(with_tokdyn, td.catalog.soft_kmeans(temperature=0.0), *on_device),
    }
    soft, hard = forms[SOFT](), forms[HARD]()
    lloyd = sums_of_squares(features, np.asarray(hard.tokens))
    counts = {SOFT: count, HARD: count}
    checked = {
        SOFT: agreement(SOFT, features, np.asarray(soft.tokens), lloyd),
        HARD: "the reference for hard k-means",
    }
    missing: dict[str, str] = {}
    for name, make in peers_clustering.PEERS.items():
        some = min(count, peers_clustering.SLOW.get(name, count))
        try:
            fits = make(features[:some], tokens[:some])
            checked[name] = agreement(name, features[:some], np.asarray(fits()), lloyd)
        except ImportError as error:
            missing[name] = f"not installed ({error.name})"
        except AssertionError as error:
            missing[name] = f"not timed, it disagrees: {error}"
        else:
            forms[name], counts[name] = fits, some
    timings = interleaved(forms, repeats)
    rivals = tuple(peers_clustering.PEERS)
    goals = [Goal(SOFT, (rival,), 1.0, clock="cpu") for rival in rivals]
    facts = {"mean_steps_soft": float(np.mean(soft.num_steps)), "mean_steps_hard": float(np.mean(hard.num_steps))}
    return Section(
        "clusterings, N=320, D=6, 4 clusters, at most 30 steps, 1 core", "fits",
        entries_from(timings, counts, checked, missing), goals, facts,
    )  # fmt: skip
