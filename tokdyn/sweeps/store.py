"""A sweep on disk: one folder whose writer can be killed at any moment, and that can be resumed, extended, and read
while it grows.

.. code-block:: text

    zarr.json                           a Zarr group, so that Zarr's tools see the arrays
    part-0000/part.json                 what this part of the sweep is, with a checksum
    part-0000/outputs/NAME/zarr.json    an array [run, ...] for every output, in order of execution
    part-0000/outputs/NAME/c/TASK/0     one chunk for each task
    part-0000/tasks/TASK.json           its marker: checksums of its chunks, and the kind of machine that computed it
    machines/NAME.json                  kinds of machines, described

Every file is complete and on the disk before the next step: first the chunks of a task, then its marker. A task counts
as unfinished unless its marker is intact, names this very part and matches the chunks. ``part.json`` alone defines the
sweep; if several processes start at once, one creates it and the others use it.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import threading
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from tokdyn import checks, files, interrupts
from tokdyn.sweeps import machines
from tokdyn.sweeps.layout import Layout
from tokdyn.sweeps.places import Place, place_of

SCHEMA_VERSION = 2
_MANIFEST = "part.json"
_PART = re.compile(r"part-\d{4,}")
# Entries of a record that say where the sweep was begun, not what it is.
_CIRCUMSTANCES = ("environment", "machine")
REPAIR = "`tokdyn info PATH --repair` marks it unfinished, and the same sweep computes it again"


class DamagedStore(ValueError):
    """The contents of a store are not what was written; the message says what is damaged, where, and what to do."""


class Marker(NamedTuple):
    """The marker that a finished task leaves.

    Attributes:
        checksums: checksum of the chunk of every output, as stored on disk.
        machine: name in ``machines`` of the kind of machine that computed the task.
    """

    checksums: dict[str, int]
    machine: str


class Part:
    """One part of a sweep in its folder.

    Args:
        place: location of the store.
        number: number of the part.
        record: description of the part, from ``record.record_of``.

    Attributes:
        layout: layout of its runs.
        digest: a hash of what is computed. Markers carry it, so that those of another sweep are ignored.
    """

    def __init__(self, place: Place, number: int, record: dict[str, Any]) -> None:
        self.place, self.number, self.record = place, number, record
        self.layout = Layout(record)
        self.folder = _folder_of(number)
        self.digest = _digest({name: value for name, value in record.items() if name not in _CIRCUMSTANCES})
        self._codecs: dict[str, _Codec] = {}

    def __reduce__(self) -> Any:
        return Part, (self.place, self.number, self.record)  # a lazy Dataset may be sent to other processes

    @property
    def outputs(self) -> list[str]:
        """Names of the outputs that the part holds."""
        return list(self.record["outputs"])

    def bytes_of(self, name: str) -> int:
        """Size of a chunk of an output, before compression."""
        output = self.record["outputs"][name]
        return self.layout.chunk * math.prod(output["shape"]) * np.dtype(output["dtype"]).itemsize

    def write(self, task: int, arrays: Mapping[str, np.ndarray], machine: str) -> None:
        """Write the results of a task, then its marker.

        Args:
            task: number of the task.
            arrays: the outputs `{name: [chunk, ...]}`; those of other parts are ignored.
            machine: name of the kind of machine that computed the task.
        """
        chunks = {name: self._codec(name).encoded(arrays[name]) for name in self.outputs}
        files = {self._chunk_path(name, task): content for name, content in chunks.items()}
        marker = {
            "part": self.digest,
            "task": task,
            "machine": machine,
            "checksums": {name: zlib.crc32(content) for name, content in chunks.items()},
        }
        with interrupts.uninterrupted():
            self.place.write(files)
            self.place.write({self._marker_path(task): _sealed(marker)})

    def markers(self) -> dict[int, Marker]:
        """The markers of finished tasks, without those that are damaged or belong to another sweep."""
        found = {}
        for name, content in self.place.read_all(f"{self.folder}/tasks").items():
            marker = _opened(content)
            task = name.removesuffix(".json")
            if marker is None or marker.get("part") != self.digest or str(marker.get("task")) != task:
                continue
            if 0 <= int(task) < self.layout.num_tasks:
                found[int(task)] = Marker(marker["checksums"], marker["machine"])
        return found

    def strange_markers(self) -> list[str]:
        """Files among the markers that are damaged or do not belong to this part."""
        known = {f"{task}.json" for task in self.markers()}
        return [f"{self.folder}/tasks/{name}" for name in self.place.names(f"{self.folder}/tasks") if name not in known]

    def read(self, task: int, name: str, marker: Marker) -> np.ndarray:
        """One output of a finished task `[chunk, ...]`, verified.

        Raises:
            DamagedStore: the chunk is missing, or is not what was written.
        """
        path = self._chunk_path(name, task)
        content = self.place.read(path)
        if content is None:
            raise _damaged(self.place, path, "is missing")
        if zlib.crc32(content) != marker.checksums.get(name):
            raise _damaged(self.place, path, "is not what was written")
        return self._codec(name).decoded(content)

    def damaged(self, tasks: Iterable[int], markers: Mapping[int, Marker]) -> dict[int, str]:
        """Tasks that are marked as finished although a chunk is missing or changed, with a sentence for each."""
        found = {}
        for task in tasks:
            for name in self.outputs if task in markers else ():
                content = self.place.read(self._chunk_path(name, task))
                if content is None or zlib.crc32(content) != markers[task].checksums.get(name):
                    what = "is missing" if content is None else "is not what was written"
                    found[task] = f"{self._chunk_path(name, task)} {what}"
                    break
        return found

    def unfinished(self, tasks: Iterable[int]) -> list[int]:
        """The tasks that must be computed, because they were never written or do not match their markers."""
        tasks, markers = list(tasks), self.markers()
        damaged = self.damaged(tasks, markers)
        return [task for task in tasks if task not in markers or task in damaged]

    def is_finished(self, task: int) -> bool:
        """Whether a task is complete and intact, whichever process wrote it."""
        return not self.unfinished([task])

    def forget(self, task: int) -> None:
        """Remove a task's marker, so that it counts as unfinished."""
        self.place.remove(self._marker_path(task))

    def metadata(self) -> dict[str, bytes]:
        """Zarr's own files `{path: content}`, which follow from the record."""
        files = {f"{self.folder}/zarr.json": _group(), f"{self.folder}/outputs/zarr.json": _group()}
        for name in self.outputs:
            files[f"{self.folder}/outputs/{name}/zarr.json"] = self._codec(name).metadata
        return files

    def _codec(self, name: str) -> _Codec:
        if name not in self._codecs:
            output = self.record["outputs"][name]
            total = self.layout.num_tasks * self.layout.chunk
            self._codecs[name] = _Codec(total, self.layout.chunk, output)
        return self._codecs[name]

    def _chunk_path(self, name: str, task: int) -> str:
        zeros = "/0" * len(self.record["outputs"][name]["shape"])
        return f"{self.folder}/outputs/{name}/c/{task}{zeros}"

    def _marker_path(self, task: int) -> str:
        return f"{self.folder}/tasks/{task}.json"


class Store:
    """All parts of a sweep in one location.

    Args:
        place: location of the store.
        parts: the parts in order of creation, at least one.
    """

    def __init__(self, place: Place, parts: Sequence[Part]) -> None:
        self.place, self.parts = place, list(parts)

    @property
    def record(self) -> dict[str, Any]:
        """The record of the last part, which describes the whole sweep."""
        return self.parts[-1].record

    def outputs(self) -> dict[str, dict[str, Any]]:
        """Shape (the largest of any part), dtype and dimensions of every output."""
        found: dict[str, dict[str, Any]] = {}
        for part in self.parts:
            for name, output in part.record["outputs"].items():
                known = found.get(name, output)
                shape = [max(pair) for pair in zip(known["shape"], output["shape"], strict=True)]
                found[name] = {**output, "shape": shape}
        return found

    def note_machine(self, machine: Mapping[str, Any]) -> str:
        """Store the description of a kind of machine, and return its name."""
        name = machines.name_of(dict(machine))
        path = f"machines/{name}.json"
        if self.place.read(path) is None:
            self.place.create(path, _sealed(dict(machine)))
        return name

    def machines(self, markers: Iterable[Mapping[int, Marker]]) -> dict[str, dict[str, Any]]:
        """The kinds of machines behind these markers, by name; empty if a description is damaged."""
        used = {marker.machine for own in markers for marker in own.values()}
        files = self.place.read_all("machines")
        return {name: _opened(files.get(f"{name}.json", b"")) or {} for name in sorted(used)}

    def wrong_metadata(self) -> dict[str, bytes]:
        """The correct contents of those of Zarr's own files that are missing or changed; they hold no results."""
        files = {"zarr.json": _group({"tokdyn_sweep": SCHEMA_VERSION})}
        for part in self.parts:
            files |= part.metadata()
        return {path: content for path, content in files.items() if self.place.read(path) != content}

    def write_metadata(self) -> list[str]:
        """Rewrite those of Zarr's own files that are missing or changed, and return their paths."""
        wrong = self.wrong_metadata()
        if wrong:
            self.place.write(wrong)
        return sorted(wrong)


def create_part(place: Place, number: int, record: dict[str, Any]) -> Part:
    """Create a part, or return it if another process has just created the part of that number.

    Raises:
        ValueError: the location cannot be written, or holds something else.
    """
    try:
        if number == 0:
            strange = [name for name in place.names("") if name not in ("zarr.json", "machines", _folder_of(0))]
            if strange and place.read(f"{_folder_of(0)}/{_MANIFEST}") is None:
                got = f"{place}, which holds something else ({strange[0]})"
                raise checks.bad("store", "an empty place, or a sweep's store", got)
        manifest = {"schema_version": SCHEMA_VERSION, "number": number, "record": record}
        place.create(f"{_folder_of(number)}/{_MANIFEST}", _sealed(manifest))
    except OSError as error:
        raise checks.bad("store", "a place that can be written", f"{place} ({files.reason(error)})") from None
    part = _read_part(place, number)
    assert part is not None  # it has just been created
    return part


def open_store(path: str | os.PathLike[str]) -> Store | None:
    """The store in a location; None if there is none.

    Args:
        path: a folder, or a URL that fsspec understands.

    Raises:
        DamagedStore: the description of a part is damaged.
        ValueError: not a location, a file, or a store of a later version.
    """
    place = place_of(path)
    try:
        folders = [name for name in place.names("") if _PART.fullmatch(name)]
        parts = [part for name in folders if (part := _read_part(place, int(name.removeprefix("part-")))) is not None]
    except OSError as error:
        raise checks.bad("store", "a folder that can be read", f"{place} ({files.reason(error)})") from None
    return Store(place, parts) if parts else None


def _read_part(place: Place, number: int) -> Part | None:
    """The part of that number; None if it does not exist and has left no traces."""
    folder = _folder_of(number)
    content = place.read(f"{folder}/{_MANIFEST}")
    manifest = None if content is None else _opened(content)
    if content is None and (number == 0 or not place.names(f"{folder}/tasks")):
        return None  # for the first part, the same call creates it anew
    if manifest is None or manifest.get("number") != number:
        what = "is missing" if content is None else "is damaged, or was edited (checksum)"
        how = (
            "remove it and call the same sweep again, which makes it anew and keeps what is finished"
            if number == 0
            else f"remove the folder {folder} and call the same sweep with extend=True, which computes its runs again"
        )
        raise DamagedStore(f"store: {folder}/{_MANIFEST} {what} (in {place}); {how}")
    if manifest["schema_version"] > SCHEMA_VERSION:
        raise checks.bad("store", f"schema_version {SCHEMA_VERSION} or lower", manifest["schema_version"])
    return Part(place, number, manifest["record"])


def _damaged(place: Place, path: str, what: str) -> DamagedStore:
    return DamagedStore(f"store: {path} {what} (in {place}); {REPAIR}")


def _folder_of(number: int) -> str:
    return f"part-{number:04d}"


def _plain(record: Mapping[str, Any]) -> str:
    return json.dumps(record, sort_keys=True, separators=(",", ":"))


def _digest(record: Mapping[str, Any]) -> str:
    return hashlib.sha256(_plain(record).encode()).hexdigest()


def _sealed(content: Mapping[str, Any]) -> bytes:
    """The content as JSON, with a checksum; variants, axes and columns keep their order, which numbers the runs."""
    return json.dumps({**content, "checksum": _digest(content)}, indent=1).encode()


def _opened(content: bytes) -> dict[str, Any] | None:
    """The content that ``_sealed`` wrote; None if it is damaged."""
    try:
        found = json.loads(content)
        checksum = found.pop("checksum")
        return found if checksum == _digest(found) else None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _group(attributes: Mapping[str, Any] | None = None) -> bytes:
    """Zarr's description of a group."""
    return json.dumps({"attributes": dict(attributes or {}), "zarr_format": 3, "node_type": "group"}, indent=2).encode()


class _Codec:
    """Converts chunks of an array to and from Zarr's bytes, through an in-memory array of a single chunk.

    Args:
        total: number of rows of the array on disk.
        chunk: number of rows in a chunk.
        output: `{"shape": [...], "dtype": "...", "dims": [...]}` of one run.

    Attributes:
        metadata: Zarr's description of the array on disk.
    """

    def __init__(self, total: int, chunk: int, output: Mapping[str, Any]) -> None:
        self._shape = (chunk, *output["shape"])
        self._output = output
        self._lock = threading.Lock()  # a lazy Dataset may be read by several threads
        self._files, self._array = self._described(chunk, chunk)
        files, _ = self._described(total, chunk)
        self.metadata = files["zarr.json"].to_bytes()

    def _described(self, rows: int, chunk: int) -> tuple[dict[str, Any], Any]:
        import zarr

        dtype = np.dtype(self._output["dtype"])
        fill = np.nan if dtype.kind == "f" else np.zeros((), dtype).item()
        files: dict[str, Any] = {}
        array = zarr.create_array(
            zarr.storage.MemoryStore(files),
            shape=(rows, *self._shape[1:]),
            dtype=dtype,
            fill_value=fill,
            chunks=tuple(max(1, n) for n in (chunk, *self._shape[1:])),
            zarr_format=3,
            dimension_names=("run", *self._output["dims"]),
            config={"write_empty_chunks": True},
        )
        return files, array

    def encoded(self, values: np.ndarray) -> bytes:
        """The bytes of a chunk `[chunk, ...]`; none for an output of size zero."""
        with self._lock:
            self._forget()
            self._array[...] = values
            chunks = [content for name, content in self._files.items() if name != "zarr.json"]
            return chunks[0].to_bytes() if chunks else b""

    def decoded(self, content: bytes) -> np.ndarray:
        """The values of a chunk `[chunk, ...]`."""
        from zarr.core.buffer import default_buffer_prototype

        with self._lock:
            self._forget()
            if content:
                zeros = "/0" * len(self._shape[1:])
                self._files[f"c/0{zeros}"] = default_buffer_prototype().buffer.from_bytes(content)
            return np.asarray(self._array[...])

    def _forget(self) -> None:
        for name in [name for name in self._files if name != "zarr.json"]:
            del self._files[name]
