"""Files that people hand us: read with their sizes checked first, without pickle; and why one cannot be read.

A header says how many numbers follow, and NumPy makes room for them before it looks. These readers believe a header
only where the file holds that many bytes. All of them raise ``Unreadable``, whose text is a reason ("no such file");
the caller makes a sentence of it that names the argument and the file. No other module calls ``numpy.load``.
"""

from __future__ import annotations

import ast
import contextlib
import errno
import io
import json
import math
import os
import re
import struct
import sys
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from tokdyn import checks, interrupts

# Deflate makes at most 1,032 bytes of one; a member that claims more lies.
_DEFLATE = 1032
_LONGEST_HEADER = 10_000
_LONG = re.compile(r"\b(\d+)L\b")
OBJECTS = "an array of Python objects, which is a pickle"
# What reading an archive that is damaged raises, each kind of damage something else.
DAMAGED = (
    OSError, ValueError, KeyError, TypeError, IndexError, EOFError, SyntaxError, OverflowError, RuntimeError,
    zipfile.BadZipFile, zlib.error, struct.error,
)  # fmt: skip


class Unreadable(ValueError):
    """A file that cannot be read, or is not what it should be; the text is the reason."""


class Header(NamedTuple):
    """What an array says of itself.

    Attributes:
        shape: its lengths.
        dtype: its numbers.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]


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


def path_of(name: str, value: Any, expected: str) -> Path:
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


def target_of(value: Any, suffix: str, expected: str = "a place where a file can be written") -> Path:
    """Where a file is to be written: the path, with the suffix appended where it lacks it.

    Args:
        value: text or a path; the argument's name is ``path``.
        suffix: of the file.
        expected: for the sentence.

    Raises:
        ValueError: no path, or one that names a folder.
    """
    path = path_of("path", value, expected)
    ends = os.fspath(value).endswith(tuple(filter(None, (os.sep, os.altsep))))
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


def read_npy(path: str | os.PathLike[str]) -> np.ndarray:
    """The array in an ``.npy`` file.

    Args:
        path: written by ``numpy.save``.

    Raises:
        Unreadable: no such file, no array, one of Python objects, or more or fewer bytes than its header says.

    Example:
        >>> import numpy as np, pathlib, tempfile
        >>> from tokdyn import files
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder) / "a.npy"
        ...     np.save(path, [1, 2])
        ...     files.read_npy(path).tolist()
        [1, 2]
    """
    with opened(path) as file:
        _header(file, os.fstat(file.fileno()).st_size)
        file.seek(0)
        return _with_true_text(np.lib.format.read_array(file, allow_pickle=False))


class Archive:
    """The arrays of an ``.npz`` file that is open.

    Args:
        file: open for reading, to be sought in.

    Attributes:
        headers: what each array says of itself; None for one that is no array of numbers or text.
        why: by name, the reason where it is none.

    Raises:
        Unreadable: no archive, or a member whose sizes cannot be true.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._size = file.seek(0, os.SEEK_END)
        if not zipfile.is_zipfile(file):
            raise Unreadable("no .npz file")
        self._archive = zipfile.ZipFile(file)
        self._members: dict[str, zipfile.ZipInfo] = {}
        self.headers: dict[str, Header | None] = {}
        self.why: dict[str, str] = {}
        for member in self._archive.infolist():
            self._check_sizes(member)
            name = member.filename.removesuffix(".npy")
            if name == member.filename:  # what NumPy gives back as bytes
                continue
            if name in self._members:
                raise Unreadable(f"two arrays called {name}")
            self._members[name] = member
            try:
                with self._archive.open(member) as content:
                    self.headers[name] = _header(content, member.file_size)
            except Unreadable as error:
                self.headers[name], self.why[name] = None, str(error)

    @property
    def others(self) -> list[str]:
        """Names of members that are no ``.npy``."""
        return [name for name in self._archive.namelist() if not name.endswith(".npy")]

    def read(self, name: str) -> np.ndarray:
        """One array.

        Raises:
            Unreadable: none of that name, or no array of numbers or text.
        """
        if name not in self._members:
            raise Unreadable(f"no array called {name}")
        if name in self.why:
            raise Unreadable(f"{name}: {self.why[name]}")
        with self._archive.open(self._members[name]) as content:
            array = np.lib.format.read_array(content, allow_pickle=False)
            content.read(1)  # the end, where the checksum is compared
        return _with_true_text(array)

    def _check_sizes(self, member: zipfile.ZipInfo) -> None:
        """Refuse what cannot be true, before room is made for it."""
        name = member.filename.encode("utf-8", "replace").decode()
        if member.flag_bits & 1:
            raise Unreadable(f"{name} is encrypted")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise Unreadable(f"{name} is compressed in a way that NumPy does not write")
        most = member.compress_size * (_DEFLATE if member.compress_type == zipfile.ZIP_DEFLATED else 1)
        if member.header_offset + member.compress_size > self._size or member.file_size > most:
            raise Unreadable(f"{name} is said to be larger than the file")


@contextlib.contextmanager
def opened_npz(path: str | os.PathLike[str]) -> Iterator[Archive]:
    """An ``.npz`` file, as an ``Archive``; every error of reading is ``Unreadable``.

    Raises:
        Unreadable: saying why.
    """
    with opened(path) as file:
        yield Archive(file)


def read_npz(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """All arrays in an ``.npz`` file, by name.

    Args:
        path: written by ``numpy.savez`` or ``numpy.savez_compressed``.

    Raises:
        Unreadable: no such file, no archive, or a member that is no array of numbers or text.

    Example:
        >>> import numpy as np, pathlib, tempfile
        >>> from tokdyn import files
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder) / "a.npz"
        ...     np.savez(path, x=[1, 2])
        ...     files.read_npz(path)["x"].tolist()
        [1, 2]
    """
    with opened_npz(path) as archive:
        if archive.others:
            raise Unreadable(f"{archive.others[0]} is no array")
        return {name: archive.read(name) for name in archive.headers}


def npz_of(content: bytes) -> dict[str, np.ndarray]:
    """The arrays in the bytes of an ``.npz`` file.

    Raises:
        Unreadable: as ``read_npz``.
    """
    archive = Archive(io.BytesIO(content))
    return {name: archive.read(name) for name in archive.headers}


def _with_true_text(array: np.ndarray) -> np.ndarray:
    """The array, if all its text is Unicode: NumPy lets any number be a letter, and Python then fails where it is read.

    Raises:
        Unreadable: it is not.
    """
    for name in array.dtype.names or ():
        _with_true_text(array[name])
    if array.dtype.kind == "U" and array.size and array.dtype.itemsize:
        letters = np.ascontiguousarray(array).reshape(-1).view(f"{array.dtype.str[0]}u4")
        if letters.max() > sys.maxunicode:
            raise Unreadable("text that is no Unicode")
    return array


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except SyntaxError:  # Python 2 wrote whole numbers with an L behind them
        return ast.literal_eval(_LONG.sub(r"\1", text))


def _header(file: Any, size: int) -> Header:
    """What the array that begins here says of itself, if that is true of so many bytes.

    Raises:
        Unreadable: no array, one of Python objects, or one of another size.
    """
    try:
        version = np.lib.format.read_magic(file)
        length = struct.unpack("<H" if version == (1, 0) else "<I", file.read(2 if version == (1, 0) else 4))[0]
        if version not in ((1, 0), (2, 0), (3, 0)) or length > _LONGEST_HEADER:
            raise ValueError
        text = file.read(length)
        said = _literal(text.decode("utf-8" if version == (3, 0) else "latin1"))
        if len(text) != length or set(said) != {"descr", "fortran_order", "shape"}:
            raise ValueError
        shape, dtype = said["shape"], np.lib.format.descr_to_dtype(said["descr"])
        if not isinstance(shape, tuple) or any(type(n) is not int or n < 0 for n in shape):
            raise ValueError
        if not isinstance(said["fortran_order"], bool) or said["descr"] is None:
            raise ValueError
    except Exception:  # Python's and NumPy's parsers fail in many ways
        raise Unreadable("no array of NumPy's") from None
    if dtype.hasobject:
        raise Unreadable(OBJECTS)
    there = size - 6 - 2 - (2 if version == (1, 0) else 4) - length
    numbers = math.prod(shape)
    if numbers * dtype.itemsize != there or (numbers and not dtype.itemsize):
        shown = tuple(shape) if len(str(shape)) < 80 else "more than there can be"
        raise Unreadable(f"its header says shape {shown} of {dtype!s:.40}, but {there} bytes follow")
    return Header(shape, dtype)
