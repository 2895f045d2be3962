"""Arrays in files of NumPy's formats, read with their sizes checked first and without pickle.

A header says how many numbers follow, and NumPy makes room for them before it looks. These readers believe a header
only where the file holds that many bytes. They raise ``files.Unreadable``. No other module reads such files.
"""

from __future__ import annotations

import ast
import contextlib
import io
import math
import os
import re
import struct
import sys
import zipfile
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from tokdyn.files import Unreadable, opened

# Deflate makes at most 1,032 bytes of one; a member that claims more lies.
_DEFLATE = 1032
_LONGEST_HEADER = 10_000
_LONG = re.compile(r"\b(\d+)L\b")
OBJECTS = "an array of Python objects, which is a pickle"


class Header(NamedTuple):
    """What an array says of itself.

    Attributes:
        shape: its lengths.
        dtype: its numbers.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]


def read_npy(path: str | os.PathLike[str]) -> np.ndarray:
    """The array in an ``.npy`` file.

    Args:
        path: written by ``numpy.save``.

    Raises:
        Unreadable: no such file, no array, one of Python objects, or more or fewer bytes than its header says.

    Example:
        >>> import numpy as np, pathlib, tempfile
        >>> from tokdyn import array_files
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder) / "a.npy"
        ...     np.save(path, [1, 2])
        ...     array_files.read_npy(path).tolist()
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
        >>> from tokdyn import array_files
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder) / "a.npz"
        ...     np.savez(path, x=[1, 2])
        ...     array_files.read_npz(path)["x"].tolist()
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
