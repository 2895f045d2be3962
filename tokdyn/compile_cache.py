"""Compiled programs kept on disk, so that the next process need not compile them again.

The keeping is done by jax. It knows a program by its text, the release, the flags and the options, but not by the
processor, so that unlike machines with one home would hand each other illegal instructions. Hence a folder for each
kind of machine and release. The command line turns it on; ``import tokdyn`` does not.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import os
import platform
import re
import shutil
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tokdyn import environment
from tokdyn.checks import bad

VARIABLE = "TOKDYN_CACHE"
OFF = ("off", "0", "no", "false")
# Of one kind of machine; the study of token dynamics takes 0.3 MB, all studies about 30. The least recently used go.
MOST_BYTES = 256 << 20
_UNUSED_DAYS = 30
_PREFIX, _PROGRAM, _READ = "programs-", "-cache", "-atime"
_SETTINGS = (
    "jax_compilation_cache_dir",
    "jax_compilation_cache_max_size",
    "jax_persistent_cache_min_compile_time_secs",
    "jax_persistent_cache_min_entry_size_bytes",
)


def root() -> Path | None:
    """Where programs are kept: what ``TOKDYN_CACHE`` names, else the platform's cache folder; None for "off"."""
    given = os.environ.get(VARIABLE, "").strip()
    if given.lower() in OFF:
        return None
    if given:
        return Path(given).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_dir("tokdyn", appauthor=False))


def machine_folder() -> str:
    """Name of the folder for this processor, these releases of jaxlib and tokdyn, and these XLA flags."""
    from tokdyn import __version__

    parts = (importlib.metadata.version("jaxlib"), __version__, _processor(), os.environ.get("XLA_FLAGS", ""))
    return _PREFIX + hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _processor() -> str:
    """What decides which machine code runs here."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return "\n".join((platform.system(), platform.machine(), platform.processor()))
    names = ("flags", "features", "model name", "cpu family", "cpu implementer", "cpu part")
    kept = {line for line in lines if line.split(":")[0].strip().lower() in names}
    return "\n".join((platform.machine(), *sorted(kept)))


def enable_compile_cache(folder: str | os.PathLike[str] | None = None) -> Path:
    """Keep compiled programs on disk, so that the next process starts without compiling them again.

    Nothing is kept unless this is called: tokdyn changes no global JAX setting by itself. The command line calls it.

    Args:
        folder: where to keep them; by default what the environment variable ``TOKDYN_CACHE`` names, else the platform's
            cache folder. Each kind of machine and release has a folder of its own in it, of at most 256 MiB.

    Returns:
        The folder that is used.

    Raises:
        ValueError: the folder cannot be made or written, or ``TOKDYN_CACHE`` is "off".

    Example:
        >>> import tempfile, tokdyn as td
        >>> with tempfile.TemporaryDirectory() as place, td.compile_cache.settings_given_back():
        ...     td.enable_compile_cache(place).parent.samefile(place)
        True
    """
    import jax

    place = root() if folder is None else Path(folder)
    if place is None:
        raise bad("folder", f"a place where compiled programs can be kept, since {VARIABLE} is off", "None")
    path = place / machine_folder()
    try:
        is_new = not path.exists()
        path.mkdir(parents=True, exist_ok=True)
        if not os.access(path, os.W_OK | os.X_OK):
            raise PermissionError(13, "Permission denied")
    except OSError as error:
        raise bad("folder", "a place where compiled programs can be kept", f"{place} ({error.strerror})") from None
    if is_new:
        _forget_unused(place, path)
    _remove_unfinished(path)
    for name, value in zip(_SETTINGS, (str(path), MOST_BYTES, 0.0, -1), strict=True):
        jax.config.update(name, value)
    _begin_anew()
    return path


def _begin_anew() -> None:
    """Let jax look at the folder again, which it does once."""
    from jax.experimental.compilation_cache import compilation_cache

    compilation_cache.reset_cache()


@contextlib.contextmanager
def settings_given_back() -> Iterator[None]:
    """Afterwards jax keeps programs where it did before, if anywhere."""
    import jax

    before = {name: jax.config.values[name] for name in _SETTINGS}
    try:
        yield
    finally:
        for name, value in before.items():
            jax.config.update(name, value)
        _begin_anew()


@contextlib.contextmanager
def kept(say: Callable[[str], None]) -> Iterator[Path | None]:
    """Keep programs while the block runs, whatever the place is like: for the command line.

    Nothing about the cache may stop a command or change its results. A place that cannot be used, a full disk or a
    damaged program cost a sentence at most, and the command goes on without the cache.

    Args:
        say: takes that sentence.

    Yields:
        The folder; None where nothing is kept.
    """
    import jax

    if root() is None or jax.config.values["jax_compilation_cache_dir"]:  # off, or the user's own
        yield None
        return
    with settings_given_back(), contextlib.ExitStack() as undo:
        try:
            path = enable_compile_cache()
        except ValueError:
            say(f"compiled programs cannot be kept in {root()}; {VARIABLE} names another folder, or says off")
            yield None
            return
        undo.enter_context(_false_alarms_left_out())
        undo.enter_context(_troubles_heard(path, say))
        yield path


@contextlib.contextmanager
def _troubles_heard(path: Path, say: Callable[[str], None]) -> Iterator[None]:
    """One sentence for the first of the warnings that jax has for each program it cannot read or write."""
    import jax

    first: list[str] = []
    show, lock = warnings.showwarning, threading.Lock()

    def heard(message: Any, *rest: Any, **more: Any) -> None:
        found = re.match(r"Error (read|writ)ing persistent compilation cache entry", str(message))
        if found is None:
            show(message, *rest, **more)
            return
        with lock:
            if first:
                return
            first.append(found[1])
        reason = str(message).rsplit(": ", 1)[-1].strip()
        if found[1] == "read":
            say(f"a compiled program in {path} could not be read ({reason}); all there are removed")
        else:
            say(f"compiled programs could not be kept in {path} ({reason})")
        jax.config.update("jax_compilation_cache_dir", None)
        _begin_anew()

    with warnings.catch_warnings():
        warnings.filterwarnings("always", message="Error (read|writ)ing persistent compilation cache entry")
        warnings.showwarning = heard
        try:
            yield
        finally:
            if first == ["read"]:
                shutil.rmtree(path, ignore_errors=True)
            elif first:
                _remove_unfinished(path)


# jaxlib before 0.12 counts two of its own tuning hints as features of the processor, and prints two lines of error
# whenever a program is loaded, on the machine that compiled it too (openxla/xla issue 44565).
_FALSE_ALARM = re.compile(rb"cpu_aot_loader\.cc.*Target machine feature \+prefer-no-(gather|scatter) is not")


@contextlib.contextmanager
def _false_alarms_left_out() -> Iterator[None]:
    """Nothing but these two lines is left out: what else is said while a program is loaded is said, a little later."""
    from jax._src import compilation_cache as inner

    if environment.jaxlib_release() >= (0, 12) or not hasattr(inner, "get_executable_and_time"):
        yield
        return
    load, lock = inner.get_executable_and_time, threading.Lock()

    def quietly(*arguments: Any, **keywords: Any) -> Any:
        with lock, _lines_left_out(_FALSE_ALARM):
            return load(*arguments, **keywords)

    inner.get_executable_and_time = quietly
    try:
        yield
    finally:
        inner.get_executable_and_time = load


@contextlib.contextmanager
def _lines_left_out(pattern: re.Pattern[bytes]) -> Iterator[None]:
    """What the process writes to its standard error, C++ included, less the lines that match."""
    real = os.dup(2)
    try:
        with tempfile.TemporaryFile() as held:
            os.dup2(held.fileno(), 2)
            try:
                yield
            finally:
                os.dup2(real, 2)
                held.seek(0)
                rest = b"".join(line for line in held if not pattern.search(line))
                if rest:
                    os.write(2, rest)
    finally:
        os.close(real)


def _remove_unfinished(path: Path) -> None:
    """Remove programs whose writing was cut off: the time of use is written after them, and jax stumbles without it."""
    import filelock

    try:
        with filelock.FileLock(path / ".lockfile", timeout=1):
            there = {entry.name for entry in path.iterdir()}
            for name in there:
                stem = name.removesuffix(_PROGRAM).removesuffix(_READ)
                if name != ".lockfile" and not {stem + _PROGRAM, stem + _READ} <= there:
                    (path / name).unlink(missing_ok=True)
    except (OSError, filelock.Timeout, NotImplementedError):
        return  # another process is writing, or there are no locks here: jax will say what is wrong, if anything is


def _forget_unused(place: Path, path: Path) -> None:
    """Remove the folders of other machines and releases that nobody has used for a month."""
    for other in place.glob(f"{_PREFIX}*"):
        if other != path and time.time() - _last_used(other) > _UNUSED_DAYS * 86_400:
            shutil.rmtree(other, ignore_errors=True)


def _last_used(folder: Path) -> float:
    times = [0.0]
    for entry in (folder, *folder.glob("*")):
        with contextlib.suppress(OSError):  # another process has just removed it
            times.append(entry.stat().st_mtime)
    return max(times)


def describe() -> dict[str, Any]:
    """Where programs are kept, how many, how large: what ``tokdyn info`` prints.

    Returns:
        A dict that ``json.dumps`` takes.
    """
    place = root()
    if place is None:
        return {"folder": None, "why": f"{VARIABLE} is off"}
    sizes, here = [], 0
    for path in place.glob(f"{_PREFIX}*/*{_PROGRAM}"):
        with contextlib.suppress(OSError):
            sizes.append(path.stat().st_size)
            here += path.parent.name == machine_folder()
    return {
        "folder": str(place),
        "programs": len(sizes),
        "of this machine and release": here,
        "megabytes": round(sum(sizes) / 1e6, 1),
    }


def clear() -> int:
    """Remove all programs that were kept, of every machine and release; ``tokdyn info --clear-cache``.

    Returns:
        How many there were.

    Raises:
        ValueError: they cannot be removed.
    """
    place, count = root(), 0
    for folder in place.glob(f"{_PREFIX}*") if place is not None else ():
        count += len(list(folder.glob(f"*{_PROGRAM}")))
        try:
            shutil.rmtree(folder)
        except OSError as error:
            raise bad("cache", "a folder whose programs can be removed", f"{folder} ({error.strerror})") from None
    return count
