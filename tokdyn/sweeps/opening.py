"""``open_sweep``: a store as a lazy labelled Dataset, verified as it is read."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray

from tokdyn import checks
from tokdyn.sweeps import legacy
from tokdyn.sweeps.labelled import Source, dataset
from tokdyn.sweeps.layout import Whole
from tokdyn.sweeps.record import fingerprint_of
from tokdyn.sweeps.store import REPAIR, SCHEMA_VERSION, DamagedStore, Marker, Part, open_store

# Stores with fewer bytes of results than this are fully verified when they are opened.
VERIFIED_BYTES = 64 * 2**20


def open_sweep(path: str | os.PathLike[str], *, verify: bool | None = None) -> xarray.Dataset:
    """A sweep's store, finished or still growing, as a lazy labelled Dataset.

    Every chunk is compared with its checksum when it is read; ``verify`` compares all of them at once.

    Args:
        path: a folder, or a URL that fsspec understands.
        verify: whether to check all chunks before returning; by default if they total less than 64 MiB.

    Returns:
        An ``xarray.Dataset``. While runs are missing, ``finished`` says which are complete, and all others are NaN, 0
        or False. The attribute ``machines`` describes, as JSON, the kinds of machines that computed the runs; ``mixed``
        is 1 if there are several.

    Raises:
        ValueError: there is no sweep at the path.
        DamagedStore: the contents are not what was written, raised at once or when a damaged chunk is read; it is a
            ValueError too.
    """
    place = open_store(path)
    if place is None:
        old = legacy.open_sweep(path)
        if old is not None:
            return old
        raise checks.bad("path", "the store of a sweep", path)
    outputs, whole = place.outputs(), Whole(place.record)
    found: dict[str, list[Source]] = {name: [] for name in outputs}
    all_markers = [part.markers() for part in place.parts]
    for part, markers in zip(place.parts, all_markers, strict=True):
        size = sum(part.bytes_of(name) for name in part.outputs) * len(markers)
        if verify or (verify is None and size < VERIFIED_BYTES):
            for damage in part.damaged(markers, markers).values():
                raise DamagedStore(f"store: {damage} (in {place.place}); {REPAIR}")
        is_finished = np.zeros(part.layout.num_tasks, bool)
        is_finished[[task for task in markers if task < len(is_finished)]] = True
        for name in part.outputs:
            read = functools.partial(_read, part, name, markers)
            found[name].append(Source(part.layout, whole, read, is_finished))
    data = dataset(whole, outputs, found, lazy=True, counts=place.record["counts"])
    return with_attributes(data, place.record, list(place.machines(all_markers).values()))


def _read(part: Part, name: str, markers: Mapping[int, Marker], task: int) -> np.ndarray:
    return part.read(task, name, markers[task])


def with_attributes(
    data: xarray.Dataset, record: Mapping[str, Any], computed_by: list[dict[str, Any]]
) -> xarray.Dataset:
    """The Dataset with attributes that say what it is and which machines computed it.

    Args:
        data: the Dataset, which is changed in place.
        record: record of the sweep.
        computed_by: the kinds of machines; none means this one.
    """
    data.attrs = {name: record[name] for name in ("evaluate", "key", "unit", "chunk")}
    data.attrs |= {"paired": int(record["paired"]), "x64": int(record["x64"])}
    data.attrs |= {"schema_version": SCHEMA_VERSION, "environment": json.dumps(record["environment"])}
    data.attrs["fingerprint"] = fingerprint_of(record)
    data.attrs["machines"] = json.dumps(computed_by or [record["machine"]])
    data.attrs["mixed"] = int(len(computed_by) > 1)
    return data
