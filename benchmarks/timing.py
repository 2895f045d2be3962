"""Time several forms of one computation so that the ratio of two of them means something on a machine others use."""

from __future__ import annotations

import contextlib
import gc
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np


class Timing(NamedTuple):
    """Seconds of every repeat of one form.

    Attributes:
        wall: seconds on the clock.
        cpu: seconds of all cores together, of the whole process.
    """

    wall: list[float]
    cpu: list[float]


def once(call: Callable[[], Any]) -> tuple[float, float]:
    """Wall and CPU seconds of one call; JAX arrays among what it returns are waited for."""
    import jax

    started, used = time.perf_counter(), time.process_time()
    jax.block_until_ready(call())
    return time.perf_counter() - started, time.process_time() - used


def interleaved(forms: dict[str, Callable[[], Any]], repeats: int) -> dict[str, Timing]:
    """Every form, in turn, that many times; first each one twice without a clock.

    Interleaving gives all forms the same share of what other people's programs do to the machine meanwhile. The order
    turns round at every repeat, so that no form always follows the same other one.

    Args:
        forms: functions without arguments, already compiled or not.
        repeats: how many times each is timed.

    Returns:
        The seconds of each.
    """
    for call in forms.values():
        for _ in range(2):
            once(call)
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in forms}
    with _no_collection():
        for repeat in range(repeats):
            names = list(forms) if repeat % 2 == 0 else list(reversed(forms))
            for name in names:
                seconds[name].append(once(forms[name]))
    return {name: Timing([w for w, _ in pairs], [c for _, c in pairs]) for name, pairs in seconds.items()}


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    """No garbage collection inside a timed call."""
    gc.collect()
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def median(values: list[float]) -> float:
    """The median, as a plain number."""
    return float(np.median(values))


def in_threads(call: Callable[[Any], Any], parts: list[Any]) -> Callable[[], Any]:
    """One thread for each part: a compiled JAX program lets go of Python's lock, so that threads use several cores."""
    pool = ThreadPoolExecutor(len(parts))

    def wait(part: Any) -> Any:
        import jax

        return jax.block_until_ready(call(part))

    return lambda: list(pool.map(wait, parts))
