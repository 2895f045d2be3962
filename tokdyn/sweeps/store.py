"""A sweep on disk: one Zarr group that can be killed at any moment, continued, and read while it grows.

All outputs lie along one flat ``run`` dimension in order of execution. A task writes one Zarr chunk of every array, and
only then its marker, a checksum of what it wrote: a chunk without a marker was never finished, and one whose checksum
differs is damaged; both are computed again. Everything goes through Zarr's own store, so any place that fsspec reaches
will do.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import zarr

from tokdyn import checks, interrupts

SCHEMA_VERSION = 1
# Above any 32-bit checksum, so that no marker is 0, Zarr's value for a chunk that does not exist.
_WRITTEN = 1 << 32
_ATTRIBUTE = "tokdyn_sweep"


class Store:
    """The folder of one sweep.

    Args:
        group: the open Zarr group, complete with its record.

    Attributes:
        record: what the sweep is: outputs, axes, chunk, fingerprint, versions.
    """

    def __init__(self, group: zarr.Group) -> None:
        self.record: dict[str, Any] = dict(group.attrs[_ATTRIBUTE])  # type: ignore[arg-type]
        self._arrays: dict[str, Any] = {name: group[name] for name in (*self.record["outputs"], "cell", "seed")}
        self._markers: Any = group["written"]

    @property
    def chunk(self) -> int:
        """Runs of a task."""
        return int(self.record["chunk"])

    def array(self, name: str) -> Any:
        """The Zarr array of an output `[run, ...]`."""
        return self._arrays[name]

    def markers(self) -> np.ndarray:
        """One number for every task `[num_tasks]`; 0 where it has not finished."""
        return np.asarray(self._markers[:])

    def write(self, task: int, arrays: Mapping[str, np.ndarray]) -> None:
        """One task's results, then its marker.

        Args:
            task: its number.
            arrays: `{name: [chunk, ...]}`, the outputs and ``cell`` and ``seed``.
        """
        with interrupts.uninterrupted():  # Zarr would leave a file that it has begun
            for name, values in arrays.items():
                self._arrays[name][self._rows(task)] = values
            self._markers[task] = _WRITTEN | _checksum(arrays)

    def unfinished(self, tasks: Iterable[int]) -> list[int]:
        """Those of the tasks that must be computed: never written, or not what their marker says."""
        markers = self.markers()
        return [task for task in tasks if markers[task] == 0 or not self._is_intact(task, markers[task])]

    def _is_intact(self, task: int, marker: int) -> bool:
        try:
            arrays = {name: np.asarray(array[self._rows(task)]) for name, array in self._arrays.items()}
        except Exception:  # a truncated chunk fails in its codec, and each codec fails in its own way
            return False
        return int(marker) == _WRITTEN | _checksum(arrays)

    def _rows(self, task: int) -> slice:
        return slice(task * self.chunk, (task + 1) * self.chunk)


def create(path: Any, record: dict[str, Any], num_tasks: int) -> Store:
    """A new, empty store.

    Args:
        path: a folder, or a URL that fsspec understands.
        record: see ``Store``; ``outputs`` is `{name: {"shape": [...], "dtype": "...", "dims": [...]}}`.
        num_tasks: tasks of the whole sweep.

    Returns:
        The ``Store``.

    Raises:
        ValueError: the place cannot be written, or holds something else.
    """
    try:
        group = zarr.open_group(path, mode="a", zarr_format=3)
        if list(group.keys()) and not group.attrs.get("tokdyn_begun"):
            raise checks.bad("store", "an empty place, or a sweep's store", f"{path}, which holds something else")
        group.attrs["tokdyn_begun"] = True  # killed before the record is written: begin anew
        chunk, total = record["chunk"], num_tasks * record["chunk"]
        for name, output in record["outputs"].items():
            shape, dtype = tuple(output["shape"]), np.dtype(output["dtype"])
            fill = np.nan if dtype.kind == "f" else np.zeros((), dtype).item()
            _array(group, name, (total, *shape), (chunk, *shape), dtype, fill, ("run", *output["dims"]))
        for name in ("cell", "seed"):
            _array(group, name, (total,), (chunk,), np.dtype("uint32"), 0, ("run",))
        _array(group, "written", (num_tasks,), (1,), np.dtype("uint64"), 0, ("task",))
        group.attrs[_ATTRIBUTE] = {"schema_version": SCHEMA_VERSION, **record}
    except (OSError, zarr.errors.ContainsArrayError) as error:
        raise checks.bad("store", "a place that can be written", f"{path} ({error})") from None
    return Store(group)


def _array(group: Any, name: str, shape: Any, chunks: Any, dtype: np.dtype, fill: Any, dims: Any) -> None:
    group.create_array(
        name, shape=shape, chunks=tuple(max(1, n) for n in chunks), dtype=dtype, fill_value=fill,
        dimension_names=dims, overwrite=True,
    )  # fmt: skip


def open_existing(path: Any, *, mode: str = "r") -> Store | None:
    """The store at that place; None if there is none yet.

    Args:
        path: a folder, or a URL that fsspec understands.
        mode: ``"r"`` or ``"r+"``.

    Returns:
        The ``Store``, or None.

    Raises:
        ValueError: written by a later version.
    """
    try:
        group = zarr.open_group(path, mode=mode, zarr_format=3)  # type: ignore[arg-type]
    except (FileNotFoundError, zarr.errors.GroupNotFoundError):
        return None
    if _ATTRIBUTE not in group.attrs:
        return None
    store = Store(group)
    if store.record["schema_version"] > SCHEMA_VERSION:
        raise checks.bad("store", f"schema_version {SCHEMA_VERSION} or lower", store.record["schema_version"])
    return store


def _checksum(arrays: Mapping[str, np.ndarray]) -> int:
    total = 0
    for name in sorted(arrays):
        total = zlib.crc32(np.ascontiguousarray(arrays[name]).tobytes(), zlib.crc32(name.encode(), total))
    return total
