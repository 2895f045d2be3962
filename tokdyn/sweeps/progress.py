"""A progress bar with rate and time left, on standard error."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def progress_bar(label: str, done: int = 0, total: int | None = None) -> Iterator[Callable[[int, int], None]]:
    """A bar that lives as long as the block.

    Args:
        label: stands before it.
        done: runs that are finished already; they do not count for the rate.
        total: all runs.

    Yields:
        ``(done, total)``, to be called with runs.
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
            return Text(f"{task.speed:,.0f} runs/s" if task.speed else "")

    columns = TextColumn(label), BarColumn(), MofNCompleteColumn(), TextColumn("runs"), Rate(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True, speed_estimate_period=60) as bar:
        task = bar.add_task(label, completed=done, total=total)
        yield lambda done, total: bar.update(task, completed=done, total=total)
