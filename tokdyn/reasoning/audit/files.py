"""A run on disk: one ``.npz`` file of the schema's arrays, as ``numpy.savez`` writes it. No pickle."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tokdyn import array_files, files
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
    expected = "a run saved by numpy.savez"
    file = files.path_of("file", path, expected)
    try:
        with array_files.opened_npz(file) as archive:
            if archive.others:
                raise files.Unreadable(f"{archive.others[0]} is no array")
            for name, why in archive.why.items():
                if why == array_files.OBJECTS:
                    raise bad(name, "plain numbers or text (a rectangular array of one dtype)", why)
            arrays = {name: archive.read(name) for name in archive.headers}
    except files.Unreadable as error:
        raise bad("file", expected, f"{file} ({error})") from None
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
    target = files.target_of(path, ".npz", "a file that can be written")
    with files.written(target, "a file that can be written") as temporary:
        np.savez_compressed(temporary, allow_pickle=False, **arrays)
    return target
