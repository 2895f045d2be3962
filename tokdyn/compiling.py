"""Compiling, which is what people wait for: side by side, with the effort that a program's running time deserves.

A program is traced in Python, one at a time, and then compiled by XLA, which needs no Python: while one is compiled the
next can be traced, another be compiled, modules be imported and data be drawn.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from tokdyn import checks, environment

Effort = Literal["usual", "little"]

_EFFORTS: tuple[Effort, ...] = ("usual", "little")
_LOWERED = "/jax/core/compile/jaxpr_to_mlir_module_duration"
_COMPILED = "/jax/core/compile/backend_compile_duration"


class Program(NamedTuple):
    """A jitted function and what it will be called with.

    Attributes:
        function: what ``jax.jit`` returned.
        arguments: arrays, or their ``jax.ShapeDtypeStruct``, and static arguments.
        keywords: the same, by name.
        effort: "little" compiles in a third to a half of the time, on CPU, what then runs two to seven times as long:
            for what runs briefly.
    """

    function: Any
    arguments: Sequence[Any] = ()
    keywords: Mapping[str, Any] = {}
    effort: Effort = "usual"


class Compiled:
    """A program that is compiled, or will soon be; from ``compiled``."""

    def __init__(self, future: Future[Any], *, x64: bool) -> None:
        self._future = future
        self._x64 = x64

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        """Wait until it is compiled, and run it.

        Args:
            *arguments: those that are not static, of the shapes and dtypes that it was traced with; in float64 if it
                was traced so, whatever the caller's setting.
            **keywords: the same.
        """
        call = self._future.result()
        with jax.enable_x64(self._x64):
            return call(*arguments, **keywords)

    def cancel(self) -> None:
        """Do not compile it, where that has not begun."""
        self._future.cancel()


def compiled(programs: Mapping[str, Program]) -> dict[str, Compiled]:
    """Compile programs side by side.

    They are traced here, in the given order; each is compiled in a thread of its own as soon as it is traced. This
    returns after the last is traced: whoever calls one waits for that one only.

    Args:
        programs: by name.

    Returns:
        By name, what is called with the arguments that are not static. Its results are those of the jitted function (to
        rounding, where the effort is "little").

    Raises:
        ValueError: an effort that there is not; whatever tracing a program raises.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from tokdyn.compiling import Program, compiled
        >>> x = jnp.arange(3.0)
        >>> programs = {"sum": Program(jax.jit(jnp.sum), (x,)), "sine": Program(jax.jit(jnp.sin), (x,), {}, "little")}
        >>> ready = compiled(programs)
        >>> float(ready["sum"](x)), ready["sine"](x).shape
        (3.0, (3,))
    """
    for name, program in programs.items():
        checks.choice(f"programs[{name!r}].effort", program.effort, _EFFORTS)
    _WATCHERS.expect(len(programs))
    pool = ThreadPoolExecutor(min(len(programs), os.cpu_count() or 1) or 1, thread_name_prefix="tokdyn-compiles")
    ready: dict[str, Compiled] = {}
    try:
        for name, program in programs.items():
            lowered = program.function.lower(*program.arguments, **program.keywords)
            _WATCHERS.expect(-1)  # from here on jax's own events count it
            future = pool.submit(lowered.compile, _options(program.effort))
            ready[name] = Compiled(future, x64=jnp.result_type(float) == jnp.float64)
    finally:
        _WATCHERS.expect(len(ready) - len(programs))
        # What is under way goes on; what has not begun is dropped where tracing failed or was interrupted.
        pool.shutdown(wait=False, cancel_futures=len(ready) < len(programs))
    return ready


def started(call: Callable[..., Any], *arguments: Any) -> Future[Any]:
    """Call in a thread of its own, and return at once: ``result()`` waits for what the call returns.

    Args:
        call: what ``compiled`` returned, which is run as soon as it is compiled, or any function.
        *arguments: of the call.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from tokdyn.compiling import Program, compiled, started
        >>> ready = compiled({"sum": Program(jax.jit(jnp.sum), (jnp.arange(3.0),))})
        >>> total = started(ready["sum"], jnp.arange(3.0))
        >>> float(total.result())
        3.0
    """
    pool = ThreadPoolExecutor(1, thread_name_prefix="tokdyn-runs")
    try:
        return pool.submit(call, *arguments)
    finally:
        pool.shutdown(wait=False)


def side_by_side(call: Callable[..., Any], each: Sequence[Sequence[Any]]) -> list[Any]:
    """Call a compiled program several times at once, in as many threads as there are cores.

    On CPU a program of many small operations keeps one core busy, and calls from one thread wait for each other.

    Args:
        call: what ``compiled`` returned, or any function that computes without Python.
        each: the arguments of each call.

    Returns:
        What each returned, in that order.

    Raises:
        Whatever a call raises; those that have not begun are dropped.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from tokdyn.compiling import side_by_side
        >>> [float(total) for total in side_by_side(jax.jit(jnp.sum), [(jnp.arange(3.0),), (jnp.arange(4.0),)])]
        [3.0, 6.0]
    """
    pool = ThreadPoolExecutor(max(1, min(len(each), os.cpu_count() or 1)), thread_name_prefix="tokdyn-runs")
    try:
        return list(pool.map(lambda arguments: jax.block_until_ready(call(*arguments)), each))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def jitted(function: Callable[..., Any], effort: Effort, **options: Any) -> Any:
    """``jax.jit`` with an effort, for what is compiled when it is called.

    Args:
        function: of arrays.
        effort: as in ``Program``.
        **options: of ``jax.jit``.

    Example:
        >>> import jax.numpy as jnp
        >>> from tokdyn.compiling import jitted
        >>> float(jitted(jnp.sum, "little")(jnp.arange(3.0)))
        3.0
    """
    checks.choice("effort", effort, _EFFORTS)
    return jax.jit(function, compiler_options=_options(effort), **options)


@contextlib.contextmanager
def wanted(programs: Mapping[str, Compiled]) -> Iterator[Mapping[str, Compiled]]:
    """Programs that nobody wants after the block, also where it ends early: what has not begun by then is dropped.

    Args:
        programs: from ``compiled``.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from tokdyn.compiling import Program, compiled, wanted
        >>> with wanted(compiled({"sum": Program(jax.jit(jnp.sum), (jnp.arange(3.0),))})) as ready:
        ...     float(ready["sum"](jnp.arange(3.0)))
        3.0
    """
    try:
        yield programs
    finally:
        for program in programs.values():
            program.cancel()


def _options(effort: Effort) -> dict[str, Any] | None:
    """What XLA is asked for; measured in benchmarks/README.md, "Waiting"."""
    if effort == "usual" or jax.default_backend() != "cpu":
        return None
    options: dict[str, Any] = {"xla_backend_optimization_level": 0}
    if environment.knows_fusion_emitters():
        options["xla_cpu_use_fusion_emitters"] = False
    return options


class Progress(NamedTuple):
    """How far compiling has come.

    Attributes:
        done: programs compiled (or loaded from a cache) since watching began.
        known: programs that are known of: compiled, being compiled, and those that ``compiled`` will get to.
    """

    done: int
    known: int

    def __str__(self) -> str:
        return f"compiling {self.done + 1} of {self.known} programs" if self.done < self.known else ""


@contextlib.contextmanager
def watched(show: Callable[[Progress], None]) -> Iterator[None]:
    """Tell of every program that is compiled in this process while the block runs.

    Args:
        show: called whenever something changes, also from other threads.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from tokdyn.compiling import Progress, watched
        >>> seen: list[Progress] = []
        >>> with watched(seen.append):
        ...     _ = jax.jit(lambda x: x * 3 + 1)(jnp.arange(5.0))
        >>> seen[-1].done == seen[-1].known > 0
        True
    """
    with _WATCHERS.added(show):
        yield


class _Watchers:
    """Counts what is known of and what is done, while somebody looks."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._shown: list[Callable[[Progress], None]] = []
        self._expected = self._lowered = self._done = 0

    @contextlib.contextmanager
    def added(self, show: Callable[[Progress], None]) -> Iterator[None]:
        with self._lock:
            if not self._shown:
                self._expected = self._lowered = self._done = 0
                jax.monitoring.register_event_duration_secs_listener(self._hear)
            self._shown.append(show)
        try:
            yield
        finally:
            with self._lock:
                self._shown.remove(show)
                if not self._shown:
                    jax.monitoring.unregister_event_duration_listener(self._hear)

    def expect(self, count: int) -> None:
        """So many more programs will be lowered."""
        self._change("_expected", count)

    def _hear(self, event: str, duration_secs: float, **_: str | int) -> None:
        if event == _LOWERED:
            self._change("_lowered", 1)
        elif event == _COMPILED:
            self._change("_done", 1)

    def _change(self, name: str, by: int) -> None:
        with self._lock:
            if not self._shown or by == 0:
                return
            setattr(self, name, max(0, getattr(self, name) + by))
            # A program that is lowered twice and compiled once, or compiled from another's lowering, is no debt.
            progress = Progress(self._done, max(self._done, self._lowered + self._expected))
            for show in self._shown:
                show(progress)


_WATCHERS = _Watchers()
