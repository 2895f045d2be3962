"""A progress bar on standard error with the rate, the remaining time, and the state of compilation."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from tokdyn import compiling as programs


@contextlib.contextmanager
def progress_bar(label: str, done: int = 0, total: int | None = None) -> Iterator[Callable[[int, int], None]]:
    """A progress bar that is shown while the block runs.

    Args:
        label: text in front of the bar.
        done: runs that had finished before; they do not count towards the rate.
        total: total number of runs.

    Yields:
        A function to call with ``(done, total)``, in runs.
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            if not task.speed:
                return Text("")
            return Text(f"{task.speed:,.0f} runs/s" if task.speed >= 1 else f"{1 / task.speed:,.0f} s a run")

    class Runs(MofNCompleteColumn):
        def render(self, task: Task) -> Text:
            return super().render(task) + Text(" runs") if task.total else Text("")

    compiling = _Compiling()

    class Compiling(ProgressColumn):
        max_refresh = None  # the elapsed time changes even if nothing else does

        def render(self, task: Task) -> Text:
            return Text(compiling.text())

    columns = TextColumn(label), BarColumn(), Runs(), Rate(), TimeRemainingColumn(), Compiling()
    with Progress(*columns, console=Console(stderr=True), transient=True, speed_estimate_period=60) as bar:
        task = bar.add_task(label, completed=done, total=total)
        with programs.watched(compiling.hear):
            yield lambda done, total: bar.update(task, completed=done, total=total)


class _Compiling:
    """What is being compiled, and for how long the user has been waiting for it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._state: tuple[str, float] | None = None

    def hear(self, progress: programs.Progress) -> None:
        """Note a program that has been requested or has finished."""
        text = str(progress)
        since = self._state[1] if self._state else self._clock()
        self._state = (text, since) if text else None

    def text(self) -> str:
        """For example "compiling 3 of 5 programs, 12 s"; empty if nothing is being compiled."""
        if self._state is None:
            return ""
        text, since = self._state
        return f"{text}, {self._clock() - since:.0f} s"
