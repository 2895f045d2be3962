"""Ctrl-C at any moment of real commands: exit code 130, one line that is true, nothing half-written."""

import os
import random
import re
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from processes import NOTHING, ended, started

linux = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="moments are counted in /proc")
SWEEP = """
evaluate = "dynamics"
seeds = 50
[variants]
num_tokens = [2, 3]
"""
COMPILING = {**os.environ, "TOKDYN_CACHE": "off"}  # or the first command would compile for all
COMMANDS = {
    "claims": ["claims"],
    "run": ["run", "x.npy", "--num-tokens", "2", "--out", "out"],
    "audit": ["audit", "run.npz", "--out", "out"],
    "study": ["study", "dynamics", "--quick", "--no-plots", "--out", "out"],
    "sweep": ["sweep", "sweep.toml", "--store", "out"],
}


def fill(folder):
    rng = np.random.default_rng(0)
    (folder / "sweep.toml").write_text(SWEEP)
    np.save(folder / "x.npy", rng.normal(size=(40, 2)))
    latents, (answers, targets) = rng.normal(size=(60, 4, 8)), rng.integers(0, 3, (2, 60))
    np.savez(folder / "run.npz", latents=latents, answers=answers, targets=targets)


def processor_seconds(process):
    """User and system time of all threads: a moment that means the same on a busy machine. None where it has ended."""
    try:
        fields = Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] == "Z" else (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def after(seconds):
    """The moment at which a process has had that much of the processor."""
    return lambda process: (processor_seconds(process) or 0.0) >= seconds


def in_charge(process):
    """Whether SIGTERM has a handler, which Python by itself does not install."""
    caught = re.search(r"SigCgt:\s*(\w+)", Path(f"/proc/{process.pid}/status").read_text())
    return caught is None or bool(int(caught[1], 16) >> (signal.SIGTERM - 1) & 1)


def whole(name, folder):
    """Processor seconds of a command that nothing interrupts."""
    last = 0.0
    with started("-m", "tokdyn", *COMMANDS[name], cwd=folder, env=COMPILING) as process:
        while (seconds := processor_seconds(process)) is not None:
            last = seconds
            time.sleep(0.01)
        assert process.wait() == 0
    return last


def stopped_at(name, folder, moment):
    """Interrupt a command when ``moment(process)`` is true, and see that it keeps every promise.

    Returns:
        Whether it had been interrupted; False if it had finished before.
    """
    folder.mkdir()
    fill(folder)
    given = {path.name for path in folder.iterdir()}
    with started("-m", "tokdyn", *COMMANDS[name], cwd=folder, env=COMPILING) as process:
        while not in_charge(process):
            time.sleep(0.002)
        while processor_seconds(process) is not None and not moment(process):
            time.sleep(0.002)
        code, error = ended(process)
    made = {path.name for path in folder.iterdir()} - given
    left = {str(path) for path in folder.rglob("*") if re.search("unfinished|partial", path.name)}
    assert not left
    if code == 0:
        assert error == ""
        assert made == (set() if name == "claims" else {"out"})
    elif made and name == "sweep":
        line = r"tokdyn: interrupted; (\d+) of \d+ tasks are finished in out; the same call .*\n"
        found = re.fullmatch(line, error)
        assert (code, bool(found)) == (130, True), error
        # A task may be finished between the signal and the line.
        markers = len(list((folder / "out" / "part-0000" / "tasks").glob("*.json")))
        assert markers - 1 <= int(found[1]) <= markers
    elif made:
        assert (code, error) == (130, "tokdyn: interrupted; the results are in out\n")
        assert (folder / "out" / "report.md").exists()
    else:
        assert (code, error) == (130, NOTHING)
    return code == 130


@linux
def test_ten_moments_of_five_commands(tmp_path):
    """Imports, tracing, compiling, running, in shares of what a command takes; and once while it writes."""
    (tmp_path / "whole").mkdir()
    fill(tmp_path / "whole")
    seconds = whole("run", tmp_path / "whole")
    # Of what a run takes: a study and a sweep take longer, an audit half as long.
    shares = {"claims": [0.1], "run": [0.15, 0.3, 0.6], "audit": [0.2, 0.35], "study": [0.5, 0.8], "sweep": [0.5]}
    for name, several in shares.items():
        for share in several:
            limit = share * seconds
            # On a machine that has become faster since, it may have finished: then once more, earlier.
            stopped = stopped_at(name, tmp_path / f"{name}-{share}", after(limit))
            assert stopped or stopped_at(name, tmp_path / f"{name}-{share}-half", after(limit / 2)), (name, share)
    place = tmp_path / "writing"
    assert stopped_at("run", place, lambda process: list(place.glob("out/.unfinished-*/plots")))


@linux
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_ten_random_moments_under_load(seed, tmp_path_factory, tmp_path):
    """200 in all, from the first handler to the last file, with two busy loops beside them."""
    rng, finished = random.Random(seed), 0
    with started("-c", "while True: pass"), started("-c", "while True: pass"):
        for n in range(10):
            name = list(COMMANDS)[n % len(COMMANDS)]
            moment = after(rng.random() * _whole_once(name, tmp_path_factory))
            finished += not stopped_at(name, tmp_path / str(n), moment)
    # A command's time differs by a tenth from run to run, so that of ten moments one may fall after its end; six do
    # by chance once in ten thousand times.
    assert finished <= 5


_WHOLE = {}


def _whole_once(name, tmp_path_factory):
    if name not in _WHOLE:
        folder = tmp_path_factory.mktemp("whole")
        fill(folder)
        _WHOLE[name] = whole(name, folder)
    return _WHOLE[name]
