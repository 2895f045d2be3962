"""Ctrl-C ends the command line, whatever swallows exceptions or takes long: exit code 130, one line, two seconds."""

import os
import signal
import subprocess
import threading
import time

import numpy as np
import pytest
from processes import NOTHING, ended, started

from tokdyn import cli, interrupts

PROGRAM = """
import os, sys, time
from pathlib import Path
from tokdyn import interrupts
interrupts.install()
"""


def interrupted(code, *, number=signal.SIGINT, times=1, **options):
    """What becomes of a program that gets the signal a moment after it has said that it is ready."""
    with started("-c", PROGRAM + code, stdout=subprocess.PIPE, **options) as process:
        assert process.stdout.readline() == "ready\n", process.stderr.read()
        time.sleep(0.2)
        for _ in range(times - 1):
            process.send_signal(number)
            time.sleep(0.2)
        return ended(process, number)


# Everything that has swallowed a KeyboardInterrupt, or died of it; each begins with what it needs.
PLACES = {
    "a loop": "print('ready', flush=True)\nwhile True: pass",
    "a bare except": """
print('ready', flush=True)
while True:
    try:
        while True: pass
    except BaseException: pass
""",
    "a callback of the garbage collector": """
import gc
gc.callbacks.append(lambda *_: sum(range(10**6)))
print('ready', flush=True)
while True: gc.collect()
""",
    "a finaliser": """
class Slow:
    def __del__(self): sum(range(10**6))
print('ready', flush=True)
while True: Slow()
""",
    "a callback of a weak reference": """
import weakref
class Thing: pass
print('ready', flush=True)
while True:
    thing = Thing()
    reference = weakref.ref(thing, lambda _: sum(range(10**6)))
    del thing
""",
    "a callback of ctypes": """
import ctypes
@ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
def compared(*_):
    sum(range(10**6))
    return 0
print('ready', flush=True)
ctypes.CDLL(None).qsort((ctypes.c_int * 100_000)(), 100_000, 4, compared)
""",
    "an import": """
Path("endless.py").write_text("print('ready', flush=True)\\nwhile True: pass")
sys.path.insert(0, "")
import endless
""",
    "a long native call": """
import hashlib
print('ready', flush=True)
hashlib.pbkdf2_hmac("sha256", b"", b"", 10**9)
""",
    "a wait for a thread in a native call": """
import hashlib, threading
thread = threading.Thread(target=hashlib.pbkdf2_hmac, args=("sha256", b"", b"", 10**9))
thread.start()
print('ready', flush=True)
thread.join()
""",
    "a moment in which standard error is led elsewhere": """
os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
print('ready', flush=True)
time.sleep(100)
""",
    "the end of the interpreter": """
import atexit
atexit.register(lambda: (print('ready', flush=True), time.sleep(100)))
""",
    "a compiled program": """
import jax
endless = jax.jit(lambda x: jax.lax.while_loop(lambda y: y < 2, lambda y: y * 0.5, x)).lower(1.0).compile()
print('ready', flush=True)
endless(1.0).block_until_ready()
""",
}


@pytest.mark.parametrize("place", PLACES)
def test_no_place_loses_an_interrupt(place, tmp_path):
    assert interrupted(PLACES[place], cwd=tmp_path) == (130, NOTHING)


def test_a_terminated_process_says_so():
    assert interrupted(PLACES["a loop"], number=signal.SIGTERM) == (143, "tokdyn: terminated; nothing was written\n")


@pytest.mark.parametrize("native", [False, True])
def test_what_is_unfinished_is_cleared_away(native, tmp_path):
    """By the main thread or, where that is in a native call, by the one that watches."""
    call = 'hashlib.pbkdf2_hmac("sha256", b"", b"", 10**9)' if native else "time.sleep(100)"
    code = f"""
import hashlib
interrupts.keeps("one thing is kept")
Path("unfinished").touch()
with interrupts.afterwards(lambda: 1 / 0), interrupts.afterwards(Path("unfinished").unlink):
    print("ready", flush=True)
    {call}
"""
    assert interrupted(code, cwd=tmp_path) == (130, "tokdyn: interrupted; one thing is kept\n")
    assert not list(tmp_path.iterdir())


def test_a_second_signal_ends_without_clearing_away():
    code = """
with interrupts.afterwards(lambda: time.sleep(100)):
    print("ready", flush=True)
    time.sleep(100)
"""
    assert interrupted(code, times=2) == (130, NOTHING.replace("\n", "; temporary files may remain\n"))


def test_a_short_section_is_finished_first():
    code = """
with interrupts.uninterrupted():
    print("ready", flush=True)
    time.sleep(0.6)
    interrupts.keeps("the section is done")
interrupts.keeps("too late")
time.sleep(100)
"""
    assert interrupted(code) == (130, "tokdyn: interrupted; the section is done\n")


def test_a_section_that_is_not_short_is_not_waited_for():
    code = "with interrupts.uninterrupted():\n    print('ready', flush=True)\n    time.sleep(100)"
    assert interrupted(code) == (130, NOTHING)


def test_threads_that_go_on_writing_leave_nothing(tmp_path):
    code = """
import threading
from tokdyn.studies.output import written_together
def write(place):
    for n in range(10**9):
        (place / str(n % 1000)).write_text("")
with written_together("out/of/mine") as place:
    threading.Thread(target=write, args=(place,), daemon=True).start()
    print("ready", flush=True)
    time.sleep(100)
"""
    assert interrupted(code, cwd=tmp_path) == (130, NOTHING)
    assert not list(tmp_path.iterdir())


def test_a_finished_command_is_not_called_killed():
    """While Python takes its modules apart no handler works any more, and no time is left to wait for."""
    code = """
class Slow:
    def __del__(self, say=os.write, sleep=time.sleep): say(1, b"ready\\n"), sleep(0.6)
sys.modules["kept_to_the_end"] = Slow()
"""
    assert interrupted(code) == (0, "")


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="no terminals here")
def test_a_terminal_gets_its_cursor_back():
    """Which a progress bar hides; and the line stands alone, not behind what is left of the bar."""
    ours, theirs = os.openpty()
    try:
        with started("-c", PROGRAM + PLACES["a loop"], stdout=subprocess.PIPE, stderr=theirs) as process:
            assert process.stdout.readline() == "ready\n"
            assert ended(process) == (130, None)
        assert os.read(ours, 1000) == b"\r\x1b[2K\x1b[?25htokdyn: interrupted; nothing was written\r\n"
    finally:
        os.close(ours)
        os.close(theirs)


def test_leaving_calls_what_was_registered_and_takes_nothing_apart():
    code = """
import atexit
class Slow:
    def __del__(self, say=os.write): say(1, b"taken apart\\n")
sys.modules["kept_to_the_end"] = Slow()
atexit.register(print, "registered", end="")
print("ready")
if sys.argv[1:] == ["leave"]:
    interrupts.leave(3)
sys.exit(3)
"""
    for words, output in ((["leave"], "ready\nregistered"), ([], "ready\nregisteredtaken apart\n")):
        with started("-c", PROGRAM + code, *words, stdout=subprocess.PIPE) as process:
            assert process.communicate() == (output, "")
            assert process.returncode == 3


def test_an_ignored_interrupt_stays_ignored():
    assert interrupted("print('ready', flush=True); time.sleep(0.6)", ignore=True) == (0, "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_fork_is_not_ours():
    code = """
import warnings
warnings.simplefilter("ignore")  # Python 3.12 warns of any fork where there are threads
child = os.fork()
if not child:
    try:
        time.sleep(100)
    except KeyboardInterrupt:
        os._exit(7)
time.sleep(0.2)
import signal
os.kill(child, signal.SIGINT)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
time.sleep(1.5)  # longer than the watching thread would wait for the main one
print("ready", flush=True)
time.sleep(100)
"""
    assert interrupted(code) == (130, NOTHING)


def test_before_the_command_is_in_charge_nothing_is_written_either(tmp_path):
    """Python's own start: the signal ends it, as it ends every program of Python."""
    np.save(tmp_path / "x.npy", np.eye(4))
    with started("-m", "tokdyn", "run", "x.npy", "--num-tokens", "2", "--out", "out", cwd=tmp_path) as process:
        code, _ = ended(process)
    assert code in (130, -signal.SIGINT)
    assert [path.name for path in tmp_path.iterdir()] == ["x.npy"]


def test_in_a_process_of_somebody_elses_signals_are_left_alone(monkeypatch, capsys):
    seen = []

    def command(words):
        seen.append([signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)])
        raise KeyboardInterrupt("this much is kept")

    monkeypatch.setattr(cli, "_list", command)
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    assert cli.main(["list"]) == 130
    assert seen == [before]
    assert capsys.readouterr().err == "tokdyn: interrupted; this much is kept\n"
    thread = threading.Thread(target=interrupts.install)
    thread.start()
    thread.join()
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    assert signal.set_wakeup_fd(-1) == -1
