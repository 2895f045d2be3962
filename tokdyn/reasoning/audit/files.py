"""A run on disk: one ``.npz`` file of the schema's arrays, as ``numpy.savez`` writes it. No pickle."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tokdyn import interrupts
from tokdyn.checks import bad
from tokdyn.reasoning.audit.schema import Run, checked


def load(path: str | os.PathLike[str]) -> Run:
    """A run from a file, checked.

    Args:
        path: written by ``numpy.savez`` or ``numpy.savez_compressed``, in whatever program.

    Returns:
        A ``Run``.

    Raises:
        ValueError: no such file, no ``.npz``, an array of Python objects, or as ``checked``.
    """
    file = Path(path)
    if not file.is_file():
        raise bad("file", "a run saved by numpy.savez", f"{file} (no such file)")
    try:
        if not zipfile.is_zipfile(file):
            raise zipfile.BadZipFile("no .npz file")
        with np.load(file, allow_pickle=False) as archive:
            names = archive.files
            arrays = {name: _read(archive, name) for name in names}
    except (OSError, EOFError, KeyError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise bad("file", "a run saved by numpy.savez", f"{file} ({reason})") from None
    return checked(arrays)


def save(path: str | os.PathLike[str], run: Run | Mapping[str, Any]) -> Path:
    """Write a run that ``load`` reads, after checking it; an older file stays until the new one is whole.

    Args:
        path: the file; ``.npz`` is appended where it is missing.
        run: arrays by name of the schema.

    Returns:
        The path that was written.

    Raises:
        ValueError: as ``checked``, or a folder that cannot be written.

    Example:
        >>> import tempfile
        >>> from tokdyn.reasoning import audit
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = audit.save(folder + "/run", {"answers": [0, 1], "targets": [0, 0]})
        ...     audit.load(path).right.tolist()
        [True, False]
    """
    arrays = (run if isinstance(run, Run) else checked(run)).arrays
    target = Path(path)
    if target.suffix != ".npz":
        target = target.with_name(target.name + ".npz")
    temporary = target.with_name(f".unfinished-{os.getpid()}-{target.name}")
    try:
        with interrupts.afterwards(lambda: temporary.unlink(missing_ok=True)):
            np.savez_compressed(temporary, allow_pickle=False, **arrays)
            os.replace(temporary, target)
    except OSError as error:
        raise bad("path", "a file that can be written", f"{target} ({error.strerror})") from None
    return target


def _read(archive: Any, name: str) -> np.ndarray:
    try:
        array = archive[name]
    except ValueError as error:
        if "allow_pickle" not in str(error):
            raise zipfile.BadZipFile(f"{name}: {error}") from None
        expected = "plain numbers or text (a rectangular array of one dtype)"
        raise bad(name, expected, "an array of Python objects, which is a pickle") from None
    if not isinstance(array, np.ndarray):
        raise zipfile.BadZipFile(f"{name} is no array")
    return array
