"""Forms of one run on many features: ours, textbook JAX, PyTorch, hard k-means of libraries, and one of your own.

A maker takes features `[N, D]`, starting tokens `[K, D]` (NumPy, float32), a temperature and a number of steps; it
raises ImportError where its library is not installed. What it returns takes nothing and returns tokens and the
assignment: `[N, K]`, or labels `[N]` of a library that has no other.
"""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import tokdyn as td
from benchmarks.machine import num_cores

Maker = Callable[[np.ndarray, np.ndarray, float, int], Callable[[], Any]]


def distances(features: jax.Array, tokens: jax.Array, temperature: float) -> jax.Array:
    """Weights `[N, K]` as most people write them."""
    squared = jnp.sum(features**2, axis=1)[:, None] - 2 * features @ tokens.T + jnp.sum(tokens**2, axis=1)
    return jax.nn.softmax(-squared / temperature, axis=1)


def tokens_last(features: jax.Array, tokens: jax.Array, temperature: float) -> jax.Array:
    """Without the term that cancels."""
    return jax.nn.softmax((2 * features @ tokens.T - jnp.sum(tokens**2, axis=1)) / temperature, axis=1)


def features_last(features: jax.Array, tokens: jax.Array, temperature: float) -> jax.Array:
    """The same with the long axis last."""
    scores = 2 * tokens @ features.T - jnp.sum(tokens**2, axis=1)[:, None]
    return jax.nn.softmax(scores / temperature, axis=0).T


def _textbook(weights_of: Any, features: np.ndarray, tokens: np.ndarray, temperature: float, num_steps: int) -> Any:
    @jax.jit
    def run(features: jax.Array, tokens: jax.Array) -> Any:
        def step(_: Any, tokens: jax.Array) -> jax.Array:
            weights = weights_of(features, tokens, temperature)
            return weights.T @ features / jnp.sum(weights, axis=0)[:, None]

        tokens = jax.lax.fori_loop(0, num_steps, step, tokens)
        return tokens, weights_of(features, tokens, temperature)

    return functools.partial(run, jnp.asarray(features), jnp.asarray(tokens))


def ours(features: np.ndarray, tokens: np.ndarray, temperature: float, num_steps: int, **options: Any) -> Any:
    """Everything that ``td.run`` returns."""
    dynamics = td.compose(attract=td.attraction(temperature=temperature))
    run = jax.jit(
        lambda features, tokens: td.run(
            dynamics, None, features, tokens=tokens, max_steps=num_steps, tol=0.0, **options
        )
    )
    on_device = jnp.asarray(features), jnp.asarray(tokens)
    if options:
        return lambda: [(result := run(*on_device)).tokens, result.labels]
    return functools.partial(run, *on_device)


def torch_form(features: np.ndarray, tokens: np.ndarray, temperature: float, num_steps: int) -> Any:
    """PyTorch, eager: what ``tokens_last`` is."""
    import torch

    torch.set_num_threads(num_cores())
    points, start = torch.from_numpy(features), torch.from_numpy(tokens)

    def assign(tokens: Any) -> Any:
        return torch.softmax((2 * points @ tokens.T - (tokens**2).sum(1)) / temperature, dim=1)

    def run() -> Any:
        with torch.inference_mode():
            tokens = start
            for _ in range(num_steps):
                weights = assign(tokens)
                tokens = weights.T @ points / weights.sum(0)[:, None]
            return tokens.numpy(), assign(tokens).numpy()

    return run


def faiss_form(features: np.ndarray, tokens: np.ndarray, temperature: float, num_steps: int) -> Any:
    """faiss: hard k-means on all features, and the nearest centre of each."""
    import faiss

    faiss.omp_set_num_threads(num_cores())

    def run() -> Any:
        solver = faiss.Kmeans(
            features.shape[1], len(tokens), niter=num_steps, min_points_per_centroid=1,
            max_points_per_centroid=len(features),
        )  # fmt: skip
        solver.train(features, init_centroids=tokens)
        return solver.centroids, solver.index.search(features, 1)[1][:, 0]

    return run


def sklearn_form(features: np.ndarray, tokens: np.ndarray, temperature: float, num_steps: int) -> Any:
    """scikit-learn: hard k-means that stops when no label changes, and labels."""
    import warnings

    from sklearn.cluster import KMeans

    def run() -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # fewer steps than it would take
            fitted = KMeans(len(tokens), init=tokens, n_init=1, max_iter=num_steps, tol=0.0).fit(features)
        run.steps = fitted.n_iter_  # type: ignore[attr-defined]
        return fitted.cluster_centers_, fitted.labels_

    return run


OURS, HARD = "tokdyn", "tokdyn, labels only"
TEXTBOOK: dict[str, Maker] = {
    form.__name__: functools.partial(_textbook, form) for form in (distances, tokens_last, features_last)
}
PEERS: dict[str, Maker] = {
    HARD: functools.partial(ours, assignment="hard"),
    "PyTorch": torch_form,
    "faiss, hard": faiss_form,
    "scikit-learn, hard": sklearn_form,
}


def own(place: str) -> Maker:
    """A form from ``module:function``: the function takes features, tokens, ``temperature=`` and ``num_steps=`` and
    returns tokens and the assignment. It is jitted, with both numbers static, where it is not jitted already and its
    first call with JAX arrays can be traced.

    Raises:
        SystemExit: no such module or function.
    """
    module, _, name = place.partition(":")
    try:
        function = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise SystemExit(f"--form: expected module:function that can be imported, got {place} ({error})") from None
    if not callable(function) or not {"temperature", "num_steps"} <= set(inspect.signature(function).parameters):
        raise SystemExit(f"--form: expected a function with arguments temperature and num_steps, got {place}")

    def make(features: np.ndarray, tokens: np.ndarray, temperature: float, num_steps: int) -> Any:
        call = functools.partial(function, temperature=temperature, num_steps=num_steps)
        on_device = jnp.asarray(features), jnp.asarray(tokens)
        try:
            jax.eval_shape(call, *on_device)
        except jax.errors.JAXTypeError:  # not a function of JAX: NumPy, PyTorch, C++
            return functools.partial(call, features, tokens)
        return functools.partial(jax.jit(call), *on_device)

    return make
