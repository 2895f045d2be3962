"""The published rule in PyTorch and in Numba: batched, fixed steps, float32.

A maker raises ImportError where its library is not installed; what it returns takes nothing and returns tokens
`[R, K, D]` and the assignment, `[R, K, N]`, the order that is faster here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.published_loop import EPS, MASS_FLOOR, RATE, TEMPERATURE

Run = Callable[[], Any]


def torch_batched(
    features: np.ndarray,
    tokens: np.ndarray,
    *,
    momentum: float,
    strength: float,
    num_steps: int,
    compiled: bool,
    block: int | None = None,
) -> Run:
    """All runs at once, or in blocks, with ``torch.matmul``; a step is compiled where wished.

    Raises:
        ImportError: no PyTorch.
        RuntimeError: ``torch.compile`` does not work here (it needs a C++ compiler).
    """
    import torch

    from benchmarks.machine import num_cores

    torch.set_num_threads(num_cores())
    block = block or len(features)
    points = torch.from_numpy(np.ascontiguousarray(features)).split(block)
    columns = torch.from_numpy(np.ascontiguousarray(features.transpose(0, 2, 1))).split(block)
    starts = torch.from_numpy(np.ascontiguousarray(tokens)).split(block)

    def assign(columns: Any, tokens: Any) -> Any:
        logits = (2.0 * tokens @ columns - (tokens * tokens).sum(-1, keepdim=True)) / TEMPERATURE
        return torch.softmax(logits, dim=1)

    def step(points: Any, columns: Any, tokens: Any, before: Any) -> Any:
        weights = assign(columns, tokens)
        means = (weights @ points) / (weights.sum(-1, keepdim=True) + MASS_FLOOR)
        differences = tokens[:, :, None, :] - tokens[:, None, :, :]
        distances = (differences * differences).sum(-1, keepdim=True).sqrt() + EPS
        push = (differences / distances**3).sum(2)
        return tokens + RATE * (means - tokens) + strength * push + momentum * (tokens - before)

    advance, ended_with = (torch.compile(step), torch.compile(assign)) if compiled else (step, assign)

    def run() -> Any:
        ended, weights = [], []
        with torch.inference_mode():
            for some_points, some_columns, start in zip(points, columns, starts, strict=True):
                before = moving = start
                for _ in range(num_steps):
                    before, moving = moving, advance(some_points, some_columns, moving, before)
                ended.append(moving)
                weights.append(ended_with(some_columns, moving))
            return torch.cat(ended).numpy(), torch.cat(weights).numpy()

    try:
        run()
    except Exception as error:
        if not compiled:
            raise
        raise RuntimeError(f"torch.compile does not work here ({type(error).__name__})") from error
    return run


def numba_parallel(
    features: np.ndarray, tokens: np.ndarray, *, momentum: float, strength: float, num_steps: int
) -> Run:
    """One compiled kernel, parallel over runs, points in the last axis, fast mathematics allowed.

    Raises:
        ImportError: no Numba.
    """
    import numba

    one, zero = np.float32(1.0), np.float32(0.0)
    temperature, rate, eps = np.float32(TEMPERATURE), np.float32(RATE), np.float32(EPS)
    mass_floor, momentum, strength = np.float32(MASS_FLOOR), np.float32(momentum), np.float32(strength)

    @numba.njit(fastmath=True)
    def assign(columns: np.ndarray, tokens: np.ndarray, weights: np.ndarray) -> None:
        num_dimensions, num_features = columns.shape
        num_tokens = len(tokens)
        total = np.zeros(num_features, np.float32)
        highest = np.empty(num_features, np.float32)
        for k in range(num_tokens):
            weights[k] = zero
            for d in range(num_dimensions):
                at = tokens[k, d]
                for n in range(num_features):
                    gap = columns[d, n] - at
                    weights[k, n] -= gap * gap
            for n in range(num_features):
                highest[n] = weights[k, n] if k == 0 else max(highest[n], weights[k, n])
        for k in range(num_tokens):
            for n in range(num_features):
                weights[k, n] = math.exp((weights[k, n] - highest[n]) / temperature)
                total[n] += weights[k, n]
        for n in range(num_features):
            total[n] = one / total[n]
        for k in range(num_tokens):
            for n in range(num_features):
                weights[k, n] *= total[n]

    @numba.njit(parallel=True, fastmath=True)
    def kernel(columns: np.ndarray, starts: np.ndarray, num_steps: int) -> tuple[np.ndarray, np.ndarray]:
        num_runs, num_dimensions, num_features = columns.shape
        num_tokens = starts.shape[1]
        ended = np.empty_like(starts)
        all_weights = np.empty((num_runs, num_tokens, num_features), np.float32)
        for run in numba.prange(num_runs):
            here, before = starts[run].copy(), starts[run].copy()
            after = np.empty_like(here)
            weights = all_weights[run]
            for _ in range(num_steps):
                assign(columns[run], here, weights)
                for k in range(num_tokens):
                    mass = mass_floor
                    for n in range(num_features):
                        mass += weights[k, n]
                    for d in range(num_dimensions):
                        pulled = zero
                        for n in range(num_features):
                            pulled += weights[k, n] * columns[run, d, n]
                        after[k, d] = (
                            here[k, d] + rate * (pulled / mass - here[k, d]) + momentum * (here[k, d] - before[k, d])
                        )
                    for j in range(num_tokens):
                        squared = zero
                        for d in range(num_dimensions):
                            squared += (here[k, d] - here[j, d]) ** 2
                        cube = (math.sqrt(squared) + eps) ** 3
                        for d in range(num_dimensions):
                            after[k, d] += strength * (here[k, d] - here[j, d]) / cube
                before[:] = here
                here[:] = after
            assign(columns[run], here, weights)
            ended[run] = here
        return ended, all_weights

    columns = np.ascontiguousarray(features.transpose(0, 2, 1))
    starts = np.ascontiguousarray(tokens)
    return lambda: kernel(columns, starts, num_steps)
