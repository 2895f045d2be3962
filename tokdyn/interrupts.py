"""How the command line ends on Ctrl-C or SIGTERM: at once, in one sentence, with nothing half-written.

No exception is raised, because none is reliable. Raised in a callback (of the garbage collector, a finaliser, XLA) it
is lost; raised while an extension module is imported it can crash the process; and while XLA compiles or runs, Python
raises nothing at all. So the process ends where it stands: what was registered with ``afterwards`` is cleared away, one
line says what is kept, and that was it. The main thread does this itself, or, where it is in a long call of another
language, a watching thread does. A second signal ends the process without clearing away.

Only the command line calls ``install``. Without it the functions here do nothing beyond a ``finally``, and Ctrl-C is
the ``KeyboardInterrupt`` that it always is in Python.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import NoReturn

_WORDS: dict[int, str] = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}
# Seconds in which the main thread should notice, or finish what it must not leave; then the watching thread acts.
_GRACE = 1.0

_actions: list[Callable[[], object]] = []
_kept = "nothing was written"
_error = 2
_asked: int | None = None
_code: int | None = None
_sections = 0
_ending = threading.Lock()
_saying = threading.Lock()


def install() -> None:
    """From now on SIGINT and SIGTERM end this process. For programs only, which own their process; main thread only.

    A signal that is ignored stays so: a shell does that for its background jobs, and ``nohup`` does.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    global _error
    with contextlib.suppress(OSError):  # closed
        _error = os.dup(2)  # our own, because descriptor 2 may be led elsewhere for a while
    reader, writer = os.pipe()
    if sys.platform != "win32":
        os.set_blocking(writer, False)
        os.register_at_fork(after_in_child=_uninstall)  # a fork would write to the same pipe, and clear away for us
    for number in _WORDS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _on_signal)
    atexit.register(_finished)  # first of all, so that it is called last
    # Written by the operating system's handler, in whatever call the main thread is.
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(reader,), name="tokdyn interrupts", daemon=True).start()


def _uninstall() -> None:
    signal.set_wakeup_fd(-1)
    for number, default in ((signal.SIGINT, signal.default_int_handler), (signal.SIGTERM, signal.SIG_DFL)):
        if signal.getsignal(number) == _on_signal:
            signal.signal(number, default)


def leave(code: int) -> NoReturn:
    """``sys.exit``, but where this process is ours it ends after the last ``atexit`` function, when all is done.

    Python would go on to take its modules apart, object by object: half a second where jax is loaded.
    """
    global _code
    _code = code
    sys.exit(code)


def _finished() -> None:
    if _code is not None:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError, AttributeError):  # closed, or none at all
                stream.flush()
        os._exit(_code)
    # In what follows Python gives signals back to the operating system, which would call a finished command killed.
    for number in _WORDS:
        if signal.getsignal(number) == _on_signal:
            signal.signal(number, signal.SIG_IGN)


def keeps(sentence: str) -> None:
    """What the line of an interrupt says from now on, in place of "nothing was written"."""
    global _kept
    _kept = sentence


@contextlib.contextmanager
def afterwards(action: Callable[[], object]) -> Iterator[None]:
    """A ``finally`` that an interrupt of the command line runs, too.

    Args:
        action: clears away what the block leaves unfinished. May be called in the middle of the block, from another
            thread, and twice.
    """
    _actions.append(action)
    try:
        yield
    finally:
        action()
        _actions.remove(action)


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """A short block in the main thread that an interrupt lets finish, for a second at most."""
    global _sections
    _sections += 1
    try:
        yield
    finally:
        _sections -= 1
        if _asked is not None and not _sections:
            _end(_asked)


def _on_signal(number: int, frame: FrameType | None) -> None:
    """In the main thread, between two steps of Python."""
    global _asked
    if _asked is None:  # a second signal is left to the watching thread
        _asked = number
        if not _sections:
            _end(number)


def _watch(reader: int) -> None:
    first = True
    while True:
        number = os.read(reader, 1)[0]
        if number not in _WORDS:  # somebody else's handler
            continue
        if not first:
            _leave(number, f"{_kept}; temporary files may remain" if _actions else _kept)
        first = False
        late = threading.Timer(_GRACE, _end, [number])
        late.daemon = True
        late.start()


def _end(number: int) -> NoReturn:
    if not _ending.acquire(blocking=False):
        _stand_still()  # another thread clears away; this one must add nothing to it
    threading.excepthook = lambda _: None  # what other threads miss from now on is none of the user's business
    for action in reversed(_actions):
        with contextlib.suppress(Exception):
            action()
    _leave(number, _kept)


def _leave(number: int, kept: str) -> NoReturn:
    if not _saying.acquire(blocking=False):
        _stand_still()
    # Not through sys.stderr: the main thread may have been stopped inside it. A progress bar hides the cursor.
    clear = "\r\x1b[2K\x1b[?25h" if sys.platform != "win32" and os.isatty(_error) else ""
    with contextlib.suppress(OSError):
        os.write(_error, f"{clear}tokdyn: {_WORDS[number]}; {kept}\n".encode(errors="replace"))
    # Compiled programs may be running in JAX's threads; tearing the interpreter down under them crashes.
    os._exit(128 + number)


def _stand_still() -> NoReturn:
    while True:
        time.sleep(1)
