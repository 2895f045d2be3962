"""The bar says what people wait for."""

import io

import jax
import numpy as np
import pytest

from tokdyn.compiling import Progress
from tokdyn.sweeps import progress


def test_compiling_has_a_count_and_a_clock_that_starts_when_waiting_starts():
    now = [10.0]
    shown = progress._Compiling(clock=lambda: now[0])
    assert shown.text() == ""
    shown.hear(Progress(done=2, known=5))
    now[0] = 13.6
    assert shown.text() == "compiling 3 of 5 programs, 4 s"
    shown.hear(Progress(done=4, known=5))
    now[0] = 20.0
    assert shown.text() == "compiling 5 of 5 programs, 10 s"
    shown.hear(Progress(done=5, known=5))
    assert shown.text() == ""
    shown.hear(Progress(done=5, known=6))
    assert shown.text() == "compiling 6 of 6 programs, 0 s"  # a new wait


@pytest.mark.parametrize("total", [None, 40])
def test_the_bar_on_a_terminal(monkeypatch, total):
    """A program is compiled while the bar lives; before runs are counted nothing is said of them."""
    from rich.console import Console

    terminal = io.StringIO()
    monkeypatch.setattr(
        "rich.console.Console", lambda **_: Console(file=terminal, force_terminal=True, width=120, legacy_windows=False)
    )
    with progress.progress_bar("study x", total=total) as show:
        jax.jit(lambda x: x * 11 + 1)(np.ones(3, np.float32))
        if total is not None:
            show(20, total)
    text = terminal.getvalue()
    assert "study x" in text
    assert ("20/40 runs" in text) == (total is not None)
    assert "/? runs" not in text
