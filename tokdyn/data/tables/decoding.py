"""From bytes to text: compression and encoding are detected from the content of a file rather than from its name."""

from __future__ import annotations

import bz2
import codecs
import csv
import gzip
import io
import lzma
import re
import zipfile
import zlib
from collections.abc import Callable
from io import BufferedIOBase
from pathlib import Path
from typing import IO, BinaryIO

import numpy as np

from tokdyn.checks import bad
from tokdyn.files import machine_memory

# What the decompression libraries raise for a truncated or damaged file.
UNREADABLE = (
    csv.Error,
    OSError,
    EOFError,
    lzma.LZMAError,
    zipfile.BadZipFile,
    zlib.error,
    RuntimeError,
    NotImplementedError,
)
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_PACKED: dict[bytes, Callable[[BinaryIO], BufferedIOBase]] = {
    b"\x1f\x8b": lambda file: gzip.GzipFile(fileobj=file),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ": lzma.LZMAFile,
}
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")


def decoded(file: Path) -> tuple[str, list[str]]:
    """The text of the file with Unix line ends, and what was assumed about its encoding."""
    data = _decompressed(file, file.read_bytes())
    notes: list[str] = []
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), None)
    if encoding is None and b"\0" in data[:4096]:
        # UTF-16 without a byte order mark: for plain numbers, every other byte is zero.
        head = np.frombuffer(data[: min(len(data), 4096) // 2 * 2], np.uint8) == 0
        if len(head) and head[1::2].mean() > 0.4 and not head[::2].any():
            encoding = "utf-16-le"
        elif len(head) and head[::2].mean() > 0.4 and not head[1::2].any():
            encoding = "utf-16-be"
    try:
        text = data.decode("utf-8-sig" if encoding in (None, "utf-8") else encoding)
    except UnicodeDecodeError:
        if encoding is not None:
            raise bad("file", f"text in {encoding}, as its first bytes say", f"{file.name}, which is not") from None
        text = data.decode("cp1252", "replace")
        notes.append("The file is not in UTF-8: its names and text are read as Windows-1252 (Latin-1).")
    found = _CONTROL.search(text.rstrip("\x1a"))  # some old programs end a file with this character
    if found:
        line = text.count("\n", 0, found.start()) + 1
        raise bad("file", "text", f"{file.name}, which holds the byte {ord(found[0]):#04x} in line {line}")
    text = text.rstrip("\x1a").lstrip("\ufeff")
    return (text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text), notes


def _decompressed(file: Path, data: bytes) -> bytes:
    """The decompressed data; the format is detected from the content, not from the name."""
    for beginning, unpacked in _PACKED.items():
        if data.startswith(beginning):
            with unpacked(io.BytesIO(data)) as stream:
                return _all_of(stream, file)
    if data.startswith(b"\x28\xb5\x2f\xfd"):
        raise bad("file", "text, or text in gzip, bzip2, xz or zip", f"{file.name}, compressed by zstd (decompress it)")
    if data.startswith(b"PK\x03\x04"):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [
                name for name in archive.namelist() if not name.endswith("/") and not name.startswith("__MACOSX")
            ]
            if "[Content_Types].xml" in members:
                raise bad("file", "text", f"{file.name}, which is an Excel workbook (save its sheet as CSV)")
            if len(members) != 1:
                raise bad("file", "an archive of one file", f"{len(members)} in {file.name}: {', '.join(members[:8])}")
            with archive.open(members[0]) as stream:
                return _all_of(stream, file)
    return data


def _all_of(stream: IO[bytes] | BufferedIOBase, file: Path) -> bytes:
    """Decompress a stream, unless a table of it would not fit into memory: a kilobyte can unpack to gigabytes."""
    most = machine_memory() // 4
    found = bytearray()
    while piece := stream.read(1 << 20):
        found += piece
        if len(found) > most:
            raise bad("file", "a table that fits into memory", f"{file.name}, which unpacks to over {most:,} bytes")
    return bytes(found)
