"""Lanes and blocks: how many runs share a block of ``td.vmap``, and how many are computed side by side within it."""

from __future__ import annotations

import functools
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np

import tokdyn as td
from benchmarks import scenes
from benchmarks.published_loop import MAX_STEPS, TOL
from benchmarks.record import Section, entries_from
from benchmarks.timing import interleaved
from tokdyn.solve import driver, lanes

COUNT, RULE = 1080, "baseline"
SHAPES = ((64, 4), (64, 8), (64, 16), (64, 32), (16, 16), (32, 16), (128, 16), (256, 16))


def compiled(block: int, num_lanes: int, arguments: tuple[Any, ...]) -> Any:
    """The program for that many runs in a block and lanes in a loop."""

    def both(features: jax.Array, tokens: jax.Array, tol: jax.Array) -> td.Result:
        def one(features: jax.Array, tokens: jax.Array) -> td.Result:
            return td.run(td.catalog.published(RULE), None, features, tokens=tokens, max_steps=MAX_STEPS, tol=tol)

        return td.vmap(one, batch_size=block)(features, tokens)

    driver._run.clear_cache()  # it was traced with other lanes
    with mock.patch.multiple(lanes, MOST_LANES=num_lanes):
        return jax.jit(both).lower(*arguments).compile()


def measure(*, repeats: int, quick: bool) -> Section:
    """The row ``blocks``: what ``MOST_LANES`` and ``MOST_AT_ONCE`` were chosen by."""
    features, tokens, _ = scenes.blobs(COUNT, num_clusters=5, points_per_cluster=80, num_dimensions=6, num_tokens=4)
    arrays = jnp.asarray(features), jnp.asarray(tokens)
    forms, steps = {}, set()
    for block, num_lanes in SHAPES[:2] if quick else SHAPES:
        program = compiled(block, num_lanes, (*arrays, jnp.float32(0.0)))
        for text, tol in (("tol", TOL), (f"{MAX_STEPS} steps", 0.0)):
            forms[f"tokdyn, blocks of {block}, {num_lanes} lanes, {text}"] = functools.partial(
                program, *arrays, jnp.float32(tol)
            )
        steps.add(float(np.mean(program(*arrays, jnp.float32(TOL)).num_steps)))
    driver._run.clear_cache()
    assert max(steps) - min(steps) < 0.1, steps
    entries = entries_from(interleaved(forms, repeats), dict.fromkeys(forms, COUNT), {}, {})
    return Section("lanes and blocks, K=4, N=400, D=6, 1 core", "runs", entries, facts={"mean_steps": min(steps)})
