"""Files that people hand us, and places where files are written: why one cannot be read; all or nothing.

The readers raise ``Unreadable``, whose text is a reason ("no such file"); the caller makes a sentence of it that names
the argument and the file. ``array_files`` reads arrays.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from tokdyn import checks, interrupts

# What reading an archive that is damaged raises, each kind of damage something else.
DAMAGED = (
    OSError, ValueError, KeyError, TypeError, IndexError, EOFError, SyntaxError, OverflowError, RuntimeError,
    zipfile.BadZipFile, zlib.error, struct.error,
)  # fmt: skip


class Unreadable(ValueError):
    """A file that cannot be read, or is not what it should be; the text is the reason."""


def reason(error: BaseException) -> str:
    """Why something went wrong, on one line: what the system calls it, or the first line of what was said."""
    said = getattr(error, "strerror", None) or str(error)
    if isinstance(error, MemoryError):
        return "it does not fit into memory"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, KeyError) and error.args:
        said = f"no {error.args[0]!r}"
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    return text if len(text) <= 300 else text[:297] + "..."


def machine_memory() -> int:
    """Bytes of memory that this machine has; 8 GiB where it does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):  # Windows
        return 8 << 30


def path_of(name: str, value: object, expected: str) -> Path:
    """A path that somebody gave.

    Args:
        name: of the argument.
        value: text or a path.
        expected: what should be there, for the sentence.

    Raises:
        ValueError: something else, bytes, nothing, or a NUL in it.

    Example:
        >>> from tokdyn import files
        >>> files.path_of("path", "a/b.npz", "a file").name
        'b.npz'
    """
    if not isinstance(value, (str, os.PathLike)):
        raise checks.bad(name, expected, f"{value!r:.80} ({type(value).__name__})")
    text = os.fspath(value)
    if not isinstance(text, str):
        raise checks.bad(name, expected, f"{text!r:.80} (bytes)")
    if not text or "\0" in text:
        raise checks.bad(name, expected, f"{text!r:.80}, which is no name of a file")
    return Path(text)


def target_of(value: object, suffix: str, expected: str = "a place where a file can be written") -> Path:
    """Where a file is to be written: the path, with the suffix appended where it lacks it.

    Args:
        value: text or a path; the argument's name is ``path``.
        suffix: of the file.
        expected: for the sentence.

    Raises:
        ValueError: no path, or one that names a folder.
    """
    path = path_of("path", value, expected)
    ends = str(value).endswith(tuple(filter(None, (os.sep, os.altsep))))
    target = path if path.suffix == suffix else path.with_name(path.name + suffix) if path.name else path
    for place in (path, target):
        with contextlib.suppress(OSError):  # the system says more when the file is written
            if ends or place.is_dir():
                raise checks.bad("path", expected, f"{value} (a folder; name a file in it)")
    return target


@contextlib.contextmanager
def written(target: Path, expected: str = "a place where a file can be written") -> Iterator[Path]:
    """A temporary name beside the file; what is written there takes the file's place when the block ends well.

    Args:
        target: the file. An older one stays until the new one is whole, and where the block fails.
        expected: for the sentence.

    Yields:
        The temporary name.

    Raises:
        ValueError: a place that cannot be written, or too small a disk.
    """
    temporary = target.with_name(f".unfinished-{os.getpid()}-{target.name}")
    try:
        with interrupts.afterwards(lambda: _remove(temporary)):
            yield temporary
            os.replace(temporary, target)
    except OSError as error:
        raise checks.bad("path", expected, f"{target} ({reason(error)})") from None


def _remove(file: Path) -> None:
    with contextlib.suppress(OSError, ValueError):  # a name that no file can have
        file.unlink(missing_ok=True)


def checked_file(path: str | os.PathLike[str]) -> Path:
    """The path, if a file is there.

    Raises:
        Unreadable: nothing, a folder, or a name that no file can have.
    """
    file = Path(path)
    try:
        is_file = file.is_file()
        if not is_file and not file.is_dir():
            os.stat(file)  # says why
    except FileNotFoundError:
        raise Unreadable("no such file") from None
    except NotADirectoryError:
        raise Unreadable("no such file: a part of the path is no folder") from None
    except (OSError, ValueError) as error:
        raise Unreadable(reason(error)) from None
    if not is_file:
        raise Unreadable("a folder" if file.is_dir() else "no ordinary file")
    return file


@contextlib.contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """The file, to be read; every error of the block is ``Unreadable``.

    Raises:
        Unreadable: saying why.
    """
    file = checked_file(path)
    try:
        with open(file, "rb") as content:
            yield content
    except Unreadable:
        raise
    except ValueError as error:
        if ": expected " in str(error):  # a sentence of ours already
            raise
        raise Unreadable(reason(error)) from None
    except OSError as error:
        raise Unreadable("no permission" if error.errno == errno.EACCES else reason(error)) from None
    except (MemoryError, RecursionError, *DAMAGED) as error:
        raise Unreadable(reason(error)) from None


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """Everything in a file.

    Raises:
        Unreadable: saying why.
    """
    with opened(path) as file:
        return file.read()


def read_text(path: str | os.PathLike[str]) -> str:
    """A file of text in UTF-8.

    Raises:
        Unreadable: saying why.
    """
    content = read_bytes(path)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Unreadable(f"no UTF-8 text: byte 0x{content[error.start]:02x} at position {error.start}") from None


def read_json(path: str | os.PathLike[str]) -> Any:
    """What a file of JSON holds.

    Raises:
        Unreadable: saying why.
    """
    return parsed_json(read_text(path))


def parsed_json(text: str) -> Any:
    """What JSON says.

    Raises:
        Unreadable: no JSON, or nested deeper than Python follows.
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise Unreadable(f"no JSON: {error.msg}, line {error.lineno} column {error.colno}") from None
    except (ValueError, RecursionError, MemoryError) as error:  # a number of five thousand digits
        raise Unreadable(f"no JSON that can be read: {reason(error)}") from None
