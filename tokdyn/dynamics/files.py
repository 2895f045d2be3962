"""A dynamics on disk: one ``.npz`` file with the structure as JSON and every number as an array. No pickle."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import jax
import numpy as np

from tokdyn import array_files, checks, files
from tokdyn.dynamics.base import Dynamics
from tokdyn.dynamics.parts import kind_named, kind_of
from tokdyn.tree import check_ranges
from tokdyn.typing import PyTree

FORMAT = "tokdyn.dynamics"
SCHEMA_VERSION = 1
# What reading a damaged structure can raise.
DAMAGED = (KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError)


def save(dynamics: Dynamics, path: str | os.PathLike[str]) -> Path:
    """Write a dynamics to a file.

    The file is written under a temporary name and then renamed, so that a partial file is never visible.

    Args:
        dynamics: what ``compose`` made.
        path: the file; ``.npz`` is appended if it is missing.

    Returns:
        The path that was written.

    Raises:
        ValueError: not a dynamics, traced numbers, a static field that JSON cannot hold, or a path that cannot be
            written.

    Example:
        >>> import tempfile, pathlib, tokdyn as td
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = td.save(td.catalog.published("inertia"), pathlib.Path(folder) / "inertia")
        ...     float(td.load(path)["inertia"].momentum)
        0.5
    """
    if not isinstance(dynamics, Dynamics):
        raise checks.bad("dynamics", "what td.compose returned", f"a {type(dynamics).__name__}")
    arrays: dict[str, np.ndarray] = {}
    parts = [
        {"name": name, "part": encoded(value, name, arrays)}
        for name, value in zip(dynamics.names, dynamics.parts, strict=True)
    ]
    chosen = {} if dynamics.chosen is None else {"chosen": dynamics.chosen}
    return write(path, {"format": FORMAT, "schema_version": SCHEMA_VERSION, "parts": parts, **chosen}, arrays)


def write(path: str | os.PathLike[str], structure: dict[str, Any], arrays: dict[str, np.ndarray]) -> Path:
    """Write a structure and its arrays; ``.npz`` is appended if it is missing. A partial file is never visible.

    Args:
        path: the file.
        structure: anything that JSON can hold.
        arrays: the arrays, by the names used in the structure.

    Returns:
        The path that was written.

    Raises:
        ValueError: a path that cannot be written, a folder, or a full disk.
    """
    target = files.target_of(path, ".npz")
    with files.written(target) as temporary, open(temporary, "wb") as file:
        np.savez(file, structure=np.array(json.dumps(structure)), **arrays)  # type: ignore[arg-type]
    return target


def load(path: str | os.PathLike[str]) -> Dynamics:
    """Read a dynamics that ``save`` wrote.

    Args:
        path: the file; ``.npz`` is appended if it is missing.

    Returns:
        An equal dynamics.

    Raises:
        ValueError: no such file, a file that ``save`` did not write, or a part that this process has not defined.
    """
    expected = "a dynamics written by td.save"
    structure, arrays = read(path, FORMAT, SCHEMA_VERSION, expected)
    try:
        kinds = [str(entry["part"]["kind"]) for entry in structure["parts"]]
        if not all(isinstance(entry["name"], str) for entry in structure["parts"]):
            raise TypeError
    except (KeyError, TypeError):
        raise checks.bad("path", expected, f"{path} (not such a file)") from None
    for kind in kinds:
        kind_named(kind)
    try:
        names = tuple(entry["name"] for entry in structure["parts"])
        parts = tuple(decoded(entry["part"], arrays) for entry in structure["parts"])
        dynamics = Dynamics(names, parts, structure.get("chosen"))
        check_ranges(dynamics)
        return dynamics
    except DAMAGED as error:
        expected = "a dynamics whose parts have the fields of today"
        raise checks.bad("path", expected, f"{path} ({files.reason(error)})") from None


def read(
    path: str | os.PathLike[str], form: str, schema_version: int, expected: str
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Read a file that ``write`` wrote.

    Args:
        path: the file; ``.npz`` is appended if it is missing.
        form: the structure's ``format``.
        schema_version: the structure's ``schema_version``.
        expected: what the file should be, for the error message.

    Returns:
        ``(structure, arrays)``.

    Raises:
        ValueError: no such file, or a file of another format.
    """
    place = files.path_of("path", path, expected)
    if not os.fspath(place).endswith(".npz"):
        place = place.with_name(place.name + ".npz")
    try:
        arrays = array_files.read_npz(place)
    except files.Unreadable as error:
        raise checks.bad("path", expected, f"{place} ({_told(error)})") from None
    try:
        structure = files.parsed_json(str(arrays.pop("structure")))
        if structure["format"] != form or structure["schema_version"] != schema_version:
            raise KeyError("format")
    except (KeyError, TypeError, ValueError):
        raise checks.bad("path", expected, f"{place} (not such a file)") from None
    return structure, arrays


def _told(error: files.Unreadable) -> str:
    """The reason for the error message; of something that is no archive at all, that it is another kind of file."""
    return "not such a file" if str(error) == "no .npz file" else str(error)


def encoded(value: object, path: str, arrays: dict[str, np.ndarray]) -> Any:
    """JSON for one node; its numbers are added to ``arrays``."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        kind = kind_of(type(value))
        if kind_named(kind) is not type(value):  # refuse a class that load could not find again
            raise checks.bad(path, f"the class now named {kind}", "an older one of that name")
        fields, static = {}, {}
        for field in dataclasses.fields(value):
            inside = getattr(value, field.name)
            if field.metadata.get("static"):
                static[field.name] = _plain(f"{path}.{field.name}", inside)
            else:
                fields[field.name] = encoded(inside, f"{path}.{field.name}", arrays)
        return {"kind": kind, "fields": fields, "static": static}
    if isinstance(value, dict):
        if not all(isinstance(name, str) for name in value):
            raise checks.bad(path, "a dict with names as keys", f"keys {list(value)}")
        return {"dict": {name: encoded(inside, f"{path}.{name}", arrays) for name, inside in value.items()}}
    if isinstance(value, (list, tuple)):
        items = [encoded(inside, f"{path}.{i}", arrays) for i, inside in enumerate(value)]
        return {"tuple" if isinstance(value, tuple) else "list": items}
    if value is None:
        return None
    if not checks.is_concrete(value):
        raise checks.bad(path, "a number that is known (save outside jit)", "a traced one")
    try:
        array = np.asarray(jax.device_get(value))
    except TypeError:  # a random key, for example
        array = np.array(None)
    if array.dtype == object:
        raise checks.bad(path, "numbers", f"a {type(value).__name__}")
    name = str(len(arrays))  # not the path: "a.b" may be a name, or b inside a
    arrays[name] = array
    return {"array": name, "dtype": array.dtype.name}


def decoded(node: PyTree, arrays: dict[str, np.ndarray]) -> Any:
    """The inverse of ``encoded``; ``DAMAGED`` if ``encoded`` cannot have written the node."""
    if node is None:
        return None
    if "array" in node:
        # The format only knows NumPy's own dtypes; bfloat16 comes back as bytes.
        dtype = np.dtype(node["dtype"])
        if dtype.hasobject:
            raise TypeError("an array of Python objects")
        array = arrays[node["array"]].view(dtype)
        return array[()] if array.ndim == 0 else array
    if "dict" in node:
        return {name: decoded(inside, arrays) for name, inside in node["dict"].items()}
    if "list" in node:
        return [decoded(inside, arrays) for inside in node["list"]]
    if "tuple" in node:
        return tuple(decoded(inside, arrays) for inside in node["tuple"])
    fields = {name: decoded(inside, arrays) for name, inside in node["fields"].items()}
    return kind_named(node["kind"])(**fields, **{name: _hashable(value) for name, value in node["static"].items()})


def _plain(path: str, value: Any) -> Any:
    if isinstance(value, (str, int, float, bool)) or value is None:
        return value
    if isinstance(value, tuple):
        return [_plain(path, inside) for inside in value]
    raise checks.bad(path, "a static field that JSON can hold (text, number, true, false, null)", repr(value))


def _hashable(value: Any) -> Any:
    """The value with tuples in place of JSON's lists, as static fields need them."""
    return tuple(_hashable(inside) for inside in value) if isinstance(value, list) else value
