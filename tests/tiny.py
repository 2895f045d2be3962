"""What tests of reasoners share: items drawn once, weights that cost no compilation, the smallest task.

Nothing is computed when this file is imported, and what is computed comes as NumPy arrays, of which parts are taken
without a program. A program is compiled for a task or a model, not for a test.
"""

import functools

import jax
import numpy as np

from tokdyn import reasoning
from tokdyn.reasoning.training import items_of

TASK = reasoning.tasks.pointer_chase(side=2, hops=2, decoys=1, patch=3)
MOST = 2000


@functools.cache
def _drawn(task, seed, most):
    return jax.tree.map(np.asarray, items_of(task, jax.random.key(seed), most))


def drawn(task, count, seed=3, most=MOST):
    """The first of so many items: one program for a task, whatever count a test needs."""
    return jax.tree.map(lambda leaf: leaf[:count].copy(), _drawn(task, seed, most))


def untrained(model, seed=0):
    """Weights of the sizes that ``init`` gives them, drawn by NumPy: its program is larger than the model's."""
    generator = np.random.default_rng(seed)

    def drawn(path, leaf):
        kind = path[-1].key
        if kind in ("scale", "bias"):
            return np.full(leaf.shape, kind == "scale", leaf.dtype)
        spread = 1 / np.sqrt(leaf.shape[0]) if kind == "kernel" else 1.0
        return (spread * generator.normal(size=leaf.shape)).astype(leaf.dtype)

    return jax.tree_util.tree_map_with_path(drawn, jax.eval_shape(model.init, jax.random.key(0)))


@functools.cache
def program(function, *static):
    """``jax.jit``, once for a function: a method of a model is the same one in every test."""
    return jax.jit(function, static_argnames=static)


def key():
    """For whatever is drawn: not a constant, which would be computed while tests are collected."""
    return jax.random.key(0)
