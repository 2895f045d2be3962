"""Parts of a study side by side: in two threads, what is made kept in a store, progress told, an end that is clean."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np

from tokdyn.studies.store import kept

Name = TypeVar("Name", bound=Hashable)
# Compiled programs let go of Python's lock; most of a study's use one core each.
THREADS = 2


class Stopped(Exception):
    """Another part failed, or somebody wants to end."""


class Jobs:
    """What runs, and what is known of it by all.

    Attributes:
        store: a folder for what is made, "" for none.
        format: of its files.
        schema_version: of its files.
        total: runs that there are, for progress.
    """

    def __init__(
        self, store: str, progress: Callable[[int, int], None] | None, *, format: str, schema_version: int, total: int
    ) -> None:
        self.store, self.format, self.schema_version, self.total = store, format, schema_version, total
        self._progress, self._done = progress, 0
        self._stopped, self._lock = threading.Event(), threading.Lock()

    def go_on(self) -> None:
        """To be called between the calls of a long part.

        Raises:
            Stopped: it is to end.
        """
        if self._stopped.is_set():
            raise Stopped

    def made(self, name: str, design: dict[str, Any], make: Callable[[], Any], runs: int) -> Any:
        """A tree of arrays, from the store where it is there (see ``store.kept``); so many runs are then done."""
        self.go_on()
        value = kept(self.store, name, design, make, format=self.format, schema_version=self.schema_version).value
        with self._lock:
            self._done += runs
            if self._progress is not None:
                self._progress(self._done, self.total)
        return value

    def in_units(
        self, call: Callable[..., dict[str, Any]], columns: tuple[np.ndarray, ...], unit: int
    ) -> dict[str, np.ndarray]:
        """Runs in calls of so many, which share their program; what is missing to a unit is made twice.

        Args:
            call: of so many rows of every column `[unit]`; returns arrays `[unit, ...]` by name.
            columns: what tells runs apart `[runs]` each.
            unit: runs of a call.

        Returns:
            Arrays `[runs, ...]` by name.

        Raises:
            Stopped: it is to end.
        """
        parts = []
        for start in range(0, len(columns[0]), unit):
            self.go_on()
            rows = [column[start : start + unit] for column in columns]
            made = call(*[np.resize(row, unit) for row in rows])
            parts.append({name: np.asarray(value)[: len(rows[0])] for name, value in made.items()})
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def all(self, calls: Mapping[Name, Callable[[], Any]]) -> dict[Name, Any]:
        """What every call returns. Give the longest first, so that no thread is left alone with one.

        Args:
            calls: functions without arguments, by name.

        Returns:
            Results by name.
        """
        pool = ThreadPoolExecutor(THREADS, thread_name_prefix="tokdyn-study")
        try:
            futures = {name: pool.submit(call) for name, call in calls.items()}
            return {name: future.result() for name, future in futures.items()}
        finally:
            self._stopped.set()
            pool.shutdown(wait=True, cancel_futures=True)
