"""Stores of version 1, which can be read and verified, but no longer resumed.

Such a store is one Zarr group with an array `[run, ...]` for each output, ``cell`` and ``seed``. For each task,
``written`` holds a checksum of what the task wrote to all arrays, or 0 if it has not finished. The attribute
``tokdyn_sweep`` is the record.
"""

from __future__ import annotations

import functools
import json
import os
import warnings
import zlib
from typing import Any

import numpy as np
import xarray

from tokdyn import checks, files
from tokdyn.sweeps.labelled import Source, dataset
from tokdyn.sweeps.layout import Layout
from tokdyn.sweeps.places import place_of
from tokdyn.sweeps.store import DamagedStore

_ATTRIBUTE = "tokdyn_sweep"
_WRITTEN = 1 << 32


def is_old(path: str | os.PathLike[str]) -> bool:
    """Whether the path holds a store of version 1."""
    return _record(path) is not None


def refuse(path: str | os.PathLike[str]) -> None:
    """Refuse to resume a store of version 1.

    Raises:
        ValueError: the path holds one.
    """
    if is_old(path):
        got = f"{path}, which an earlier tokdyn wrote (version 1): td.open_sweep reads it, nothing continues it"
        raise checks.bad("store", "an empty place, or the store of this very sweep", got)


def open_sweep(path: str | os.PathLike[str]) -> xarray.Dataset | None:
    """The Dataset of a store of version 1, verified task by task as it is read; None if there is no such store.

    Raises:
        DamagedStore: the contents of the store are not what was written.
    """
    record = _record(path)
    if record is None:
        return None
    try:
        store = _Store(path, record)
    except DamagedStore:
        raise
    except OSError as error:
        raise checks.bad("path", "a store that can be read", f"{path} ({files.reason(error)})") from None
    except Exception as error:  # Zarr raises many kinds of errors on damaged files
        raise DamagedStore(f"path: {path} is a damaged store of version 1 ({error or type(error).__name__})") from None
    warnings.warn(
        f"{path} was written by an earlier tokdyn (version 1): it is read and verified, and can no longer be continued",
        stacklevel=3,
    )
    layout = Layout({**record, "own_variants": [], "own_cells": record["cell_order"], "own_seeds": []})
    is_finished = store.markers != 0
    sources = {
        name: [Source(layout, layout.whole, functools.partial(store.read, name), is_finished)]
        for name in record["outputs"]
    }
    data = dataset(layout.whole, record["outputs"], sources, lazy=True, counts=record.get("counts", {}))
    data.attrs = {name: record[name] for name in ("evaluate", "key", "unit", "chunk", "fingerprint")}
    data.attrs |= {"paired": int(record["paired"]), "x64": int(record["x64"]), "schema_version": 1}
    data.attrs["environment"] = json.dumps(record["environment"])
    return data


def _record(path: Any) -> dict[str, Any] | None:
    content = place_of(path).read("zarr.json")
    if content is None:
        return None
    try:
        record = json.loads(content)["attributes"][_ATTRIBUTE]
    except (ValueError, KeyError, TypeError):
        return None
    return record if isinstance(record, dict) and record.get("schema_version") == 1 else None


class _Store:
    def __init__(self, path: Any, record: dict[str, Any]) -> None:
        import zarr

        group: Any = zarr.open_group(path, mode="r", zarr_format=3)
        self.path, self.chunk = path, int(record["chunk"])
        self.arrays = {name: group[name] for name in (*record["outputs"], "cell", "seed")}
        self.markers = np.asarray(group["written"][:])

    def read(self, name: str, task: int) -> np.ndarray:
        """One output of a finished task `[chunk, ...]`; the checksum covers all outputs of the task."""
        return self._read_task(task)[name]

    def _read_task(self, task: int) -> dict[str, np.ndarray]:
        rows = slice(task * self.chunk, (task + 1) * self.chunk)
        try:
            arrays = {name: np.asarray(array[rows]) for name, array in self.arrays.items()}
        except Exception:  # a truncated chunk fails in its codec, and every codec raises errors of its own
            raise DamagedStore(f"path: task {task} of {self.path} cannot be read, a file of it is damaged") from None
        total = 0
        for name in sorted(arrays):
            total = zlib.crc32(np.ascontiguousarray(arrays[name]).tobytes(), zlib.crc32(name.encode(), total))
        if int(self.markers[task]) != _WRITTEN | total:
            raise DamagedStore(f"path: task {task} of {self.path} is not what was written (checksum)")
        return arrays
