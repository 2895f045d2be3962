"""Processes for tests of interrupts: in groups of their own, none of which outlives its test."""

import contextlib
import os
import signal
import subprocess
import sys

import pytest

NOTHING = "tokdyn: interrupted; nothing was written\n"
# Seconds to the end. Promised are the second in which the main thread may end by itself, and what the ending takes:
# below a tenth of a second of a processor, which forty processes for every core would make four.
LIMIT = 5.0


@contextlib.contextmanager
def started(*words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, ignore=False, **options):
    """A process in a group of its own, none of which outlives the block.

    A shell's background jobs, and their children, ignore the interrupt; this one must not.
    """
    process = subprocess.Popen(
        [sys.executable, *map(str, words)], stdout=stdout, stderr=stderr, stdin=subprocess.DEVNULL, text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN if ignore else signal.SIG_DFL), **options,
    )  # fmt: skip
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        with process:
            pass


def ended(process, number=signal.SIGINT):
    """Send the signal; exit code and standard error."""
    process.send_signal(number)
    try:
        _, error = process.communicate(timeout=LIMIT)
    except subprocess.TimeoutExpired:
        pytest.fail(f"still running {LIMIT} s after the signal")
    return process.returncode, error
