"""How programs are compiled while tests and doctests run, how many there may be, and when they are forgotten.

A test compiles much and runs little: XLA's and LLVM's optimisations cost it more than they save. The slow tests
(``-m slow``), and all with ``--compiler full``, are compiled as users' programs are.
"""

from __future__ import annotations

import collections
import contextlib
import ctypes
import gc
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tokdyn.environment import cheap_compiler_settings  # imports no jax

ROOT = Path(__file__).parent
BUDGET = ROOT / "tests" / "programs.json"
COLLECTING = "while collecting"


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--compiler`` and ``--count-programs``."""
    explained = "how programs are compiled; by default full for -m slow, else cheap"
    parser.addoption("--compiler", choices=("cheap", "full"), help=explained)
    parser.addoption("--count-programs", metavar="FILE", help="write there how many programs each test file compiled")


def pytest_configure(config: pytest.Config) -> None:
    """Before any test file, and so before jax, is imported."""
    slow = config.option.markexpr == "slow"
    if (config.option.compiler or ("full" if slow else "cheap")) == "cheap":
        os.environ.update(cheap_compiler_settings())
    # Tracing makes hundreds of thousands of objects that stay: to go through them all after every 700 took a tenth of
    # the suite's time.
    gc.set_threshold(50_000, 20, 20)
    config.pluginmanager.register(Programs(config), "programs")


class Programs:
    """Counts what is compiled, by test file, in all workers; a whole run must stay within ``tests/programs.json``.

    People wait for compilers, not for arithmetic: a test that compiles ten programs where one would do is a slow test.
    """

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.counts: collections.Counter[str] = collections.Counter()
        self.seconds = 0.0
        self.megabytes: list[float] = []
        self.home = COLLECTING

    @property
    def _is_worker(self) -> bool:
        return hasattr(self.config, "workerinput")

    @property
    def _has_workers(self) -> bool:
        return not self._is_worker and bool(getattr(self.config.option, "tx", None))

    def pytest_sessionstart(self) -> None:
        """Listen where tests run."""
        if not self._has_workers:
            import jax

            jax.monitoring.register_event_duration_secs_listener(self._hear)

    def _hear(self, event: str, duration_secs: float, **_: Any) -> None:
        if event == "/jax/core/compile/backend_compile_duration":
            self.counts[self.home] += 1
            self.seconds += duration_secs

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """Note whose programs these are."""
        self.home = item.nodeid.split("::")[0]
        return (yield)

    def pytest_testnodedown(self, node: Any) -> None:
        """Take over what a worker counted."""
        told = getattr(node, "workeroutput", {}).get("programs")
        if told is not None:  # a worker that crashed says nothing
            self.counts.update(told["counts"])
            self.seconds += told["seconds"]
            self.megabytes += told["megabytes"]

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Tell the controller, or judge."""
        if not self._has_workers:
            self.megabytes.append(_peak_megabytes())
        if self._is_worker:
            told = {"counts": dict(self.counts), "seconds": self.seconds, "megabytes": self.megabytes}
            self.config.workeroutput["programs"] = told  # type: ignore[attr-defined]
        elif self.too_much() and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        if not self._is_worker and self.config.option.count_programs:
            told = {"files": dict(sorted(self.counts.items())), "megabytes": max(self.megabytes, default=0.0)}
            Path(self.config.option.count_programs).write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")

    def too_much(self) -> list[str]:
        """What was over the budget, as sentences."""
        found = []
        if self.counts[COLLECTING]:
            found.append(f"{self.counts[COLLECTING]} programs were compiled while collecting: no jax at module level")
        if self._is_whole and BUDGET.exists():
            budget = json.loads(BUDGET.read_text(encoding="utf-8"))
            for name, got in (("programs", self.counts.total()), ("megabytes", max(self.megabytes, default=0.0))):
                if got > budget[name]:
                    found.append(f"{got:,.0f} {name} of a worker or of all, at most {budget[name]:,} are allowed")
        return found

    @property
    def _is_whole(self) -> bool:
        """Whether all fast tests were asked for, and nothing else."""
        option = self.config.option
        chosen = option.keyword or getattr(option, "lf", False) or option.deselect or option.ignore
        return option.markexpr == "not slow" and not chosen and self.config.args == self.config.getini("testpaths")

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """One line, and what is wrong."""
        largest = max(self.megabytes, default=0.0)
        terminalreporter.write_line(
            f"{self.counts.total():,} programs compiled in {self.seconds:,.0f} s; largest worker {largest:,.0f} MB"
        )
        for sentence in self.too_much():
            terminalreporter.write_line(f"over the budget of {BUDGET.name}: {sentence}", red=True)


def _peak_megabytes() -> float:
    """The largest size that this process has had; 0 where the system does not say."""
    try:
        import resource
    except ImportError:  # Windows
        return 0.0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


# Every compiled program maps memory, a large one more than a thousand times, and Linux gives a process 65,530 maps:
# where they are used up XLA aborts. A worker that runs a whole suite gets there; and to gigabytes, on a laptop.
_MOST_MAPS = 20_000
_MOST_BYTES = 900_000_000


@pytest.fixture(autouse=True, scope="module")
def _programs_are_forgotten() -> Iterator[None]:
    yield
    if _is_large():
        import jax

        jax.clear_caches()
        gc.collect()
        # Freed memory goes back to the system, where that is glibc's.
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL("libc.so.6").malloc_trim(0)


def _is_large() -> bool:
    maps, sizes = Path("/proc/self/maps"), Path("/proc/self/statm")
    if not (maps.exists() and sizes.exists()):
        return True  # nobody says
    resident = int(sizes.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return resident > _MOST_BYTES or maps.read_bytes().count(b"\n") > _MOST_MAPS
