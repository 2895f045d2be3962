"""Trained weights that a study keeps on disk, so that a run that was cut off goes on where it was."""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from tokdyn import checks, interrupts
from tokdyn.dynamics import files


class Kept(NamedTuple):
    """Something made, now or earlier.

    Attributes:
        value: a tree of arrays.
        seconds: that making it took, whenever that was.
    """

    value: Any
    seconds: float


def kept(
    store: str, name: str, design: Mapping[str, Any], make: Callable[[], Any], *, format: str, schema_version: int
) -> Kept:
    """What ``make`` returns, from the store where it is there; else made, and put there.

    Args:
        store: the folder; empty to keep nothing.
        name: of the file, before a mark of the design.
        design: everything that the result depends on, as plain values; another design is another file.
        make: a tree of arrays.
        format: of the file.
        schema_version: of the file.

    Returns:
        A ``Kept``; its leaves are NumPy arrays where it was read.

    Raises:
        ValueError: a folder that cannot be written, or a file that is something else.
    """
    mark = zlib.crc32(json.dumps(design, sort_keys=True).encode())
    path = Path(store) / f"{name.replace(', ', '_').replace(' ', '_')}_{mark:08x}.npz"
    if store and path.exists():
        interrupts.keeps(_said(store))
        structure, arrays = files.read(path, format, schema_version, "weights of this study")
        return Kept(files.decoded(structure["trained"], arrays), structure["seconds"])
    start = time.perf_counter()
    made = jax.tree.map(np.asarray, make())
    seconds = time.perf_counter() - start
    if store:
        arrays = {}
        structure = {"format": format, "schema_version": schema_version, "seconds": seconds}
        structure["trained"] = files.encoded(made, "trained", arrays)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise checks.bad("store", "a folder that can be written", f"{store} ({error.strerror})") from None
        files.write(path, structure, arrays)
        interrupts.keeps(_said(store))
    return Kept(made, seconds)


def _said(store: str) -> str:
    return f"what was trained is kept in {store}; the same call continues there"
