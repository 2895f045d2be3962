"""Tables as arrays: ``.npy``, ``.npz`` and ``.parquet``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tokdyn import array_files
from tokdyn.checks import bad
from tokdyn.data.tables.raw import Raw

# Common names for features, used if several arrays could hold them.
FEATURES = ("features", "X", "x", "data")


def read_npy(file: Path) -> Raw:
    """Read an array, or a record array whose fields are columns."""
    return _from_array(array_files.read_npy(file), file.name)


def read_npz(file: Path, array: str | None, labels: str | None) -> Raw:
    """Read one array of an archive.

    Args:
        file: an archive written by ``numpy.savez``.
        array: name of the array; None for the only array `[N, D]`, or the one called features.
        labels: name of an array of true clusters `[N]`, if there is one.

    Raises:
        ValueError: there is no such array, or several could be meant.
    """
    with array_files.opened_npz(file) as archive:
        shapes = {name: None if header is None else header.shape for name, header in archive.headers.items()}
        name, notes = _meant(shapes, array, labels, file.name)
        raw = _from_array(_array(archive, name, file.name), f"{file.name}: {name}")
        if labels is None or labels not in shapes or labels == name:
            names = [raw.name(column) for column in range(len(raw.names))]
            if labels is not None and labels not in names and not labels.isdecimal():
                expected = f"one of the arrays in {file.name}: {_described(shapes)}, or a column"
                raise bad("labels", expected, repr(labels))
            return raw._replace(notes=notes)
        texts = _array(archive, labels, file.name)
        if texts.ndim == 2 and texts.shape[1] == 1:
            texts = texts[:, 0]
        if texts.shape != (len(raw.values[0]),):
            expected = f"one label for each of the {len(raw.values[0])} rows of {name}"
            raise bad("labels", expected, f"shape {texts.shape} of {labels} in {file.name}")
        return raw._replace(notes=notes, label_texts=_texts(texts))


def _array(archive: array_files.Archive, name: str, file: str) -> np.ndarray:
    if archive.why.get(name) == array_files.OBJECTS:
        raise bad("array", "an array of numbers or of text", f"{name} in {file}, an array of Python objects")
    return archive.read(name)


def _described(shapes: dict[str, tuple[int, ...] | None]) -> str:
    return ", ".join(
        f"{name} {'of nothing that can be read' if shape is None else list(shape)}" for name, shape in shapes.items()
    )


def _meant(
    shapes: dict[str, tuple[int, ...] | None], array: str | None, labels: str | None, file: str
) -> tuple[str, tuple[str, ...]]:
    described = _described(shapes)
    if not shapes:
        raise bad("file", "an archive of arrays", f"{file}, which holds none")
    if array is not None:
        if array not in shapes:
            raise bad("array", f"one of the arrays in {file}: {described}", repr(array))
        return array, ()
    if len(shapes) == 1:
        return next(iter(shapes)), ()
    tables = [name for name, shape in shapes.items() if shape is not None and len(shape) == 2 and name != labels]
    named = [name for name in FEATURES if name in tables]
    if named[:1] == ["features"]:
        return "features", ()
    if len(tables) == 1:
        rest = ", ".join(name for name in shapes if name not in (tables[0], labels))
        left = f", {rest} not (array chooses, labels takes true clusters)" if rest else ""
        return tables[0], (f"{tables[0]} is read, the only array of rows and columns{left}.",)
    raise bad(
        "file", "one array [N, D], or one named features, or to be told by array which one", f"{described} in {file}"
    )


def _from_array(array: np.ndarray, file: str) -> Raw:
    if array.dtype.names is not None:
        return _from_records(array, file)
    if array.dtype.kind not in "fiubUS":
        kinds = {"c": "complex numbers", "M": "dates", "m": "durations", "O": "Python objects", "T": "text"}
        raise bad("file", "numbers [N, D]", f"{kinds.get(array.dtype.kind, f'dtype {array.dtype}')} in {file}")
    if array.ndim != 2 or 0 in array.shape:
        hint = {1: " (one column is reshape(-1, 1))"}.get(array.ndim, "")
        if array.ndim > 2 and array.size:
            hint = f" (each row in one line is reshape({array.shape[0]}, {array[0].size}))"
        raise bad("file", "at least one row and one column of numbers [N, D]", f"shape {array.shape} in {file}{hint}")
    is_text = array.dtype.kind in "US"
    numbers = array if is_text else _native(array)
    values = [_texts(column) if is_text else column for column in numbers.T]
    return Raw(
        values,
        [None] * array.shape[1],
        lambda column: _texts(array[:, column]),
        lambda row, column: f"index [{row}, {column}]",
        lambda row, column: str(array[row, column]),
        matrix=None if is_text else numbers,
    )


def _native(array: np.ndarray) -> np.ndarray:
    """The array in native byte order, and with at most the precision of float64."""
    if array.dtype.itemsize > 8:
        with np.errstate(over="ignore"):  # the caller reports which cell is too large
            return array.astype(np.float64)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _from_records(array: np.ndarray, file: str) -> Raw:
    names = list(array.dtype.names or ())
    if array.ndim != 1 or not array.size or any(array.dtype[name].shape for name in names):
        raise bad("file", "a record array [N] whose fields are single values", f"shape {array.shape} in {file}")
    for name in names:
        if array.dtype[name].kind not in "fiubUS":
            raise bad("file", "fields of numbers or text", f"{name!r} of dtype {array.dtype[name]} in {file}")
    fields = [array[name] for name in names]
    values = [_texts(field) if field.dtype.kind in "US" else _native(field) for field in fields]
    return Raw(
        values,
        list(names),
        lambda column: _texts(fields[column]),
        lambda row, column: f"index {row} of field {names[column]!r}",
        lambda row, column: str(fields[column][row]),
    )


def _texts(array: np.ndarray) -> np.ndarray:
    if array.dtype.kind == "S":
        array = np.char.decode(array, "utf-8", "replace")
    return array.astype(str).astype(object)


def read_parquet(file: Path) -> Raw:
    """Read a table with named columns. An index that was stored with it becomes the first column.

    Raises:
        ValueError: pandas has no engine for parquet, or the table is empty.
    """
    import pandas as pd

    try:
        table = pd.read_parquet(file)
    except ImportError:
        raise bad("file", "pandas to be able to read parquet (pip install pyarrow)", file.name) from None
    if not isinstance(table.index, pd.RangeIndex):
        unnamed = table.index.nlevels == 1 and table.index.name is None
        table = table.reset_index()
        if unnamed:
            table = table.rename(columns={table.columns[0]: ""})
    if 0 in table.shape:
        raise bad("file", "at least one row and one column of numbers [N, D]", f"shape {table.shape} in {file.name}")
    names: list[str | None] = [str(name) or None for name in table.columns]
    columns = [_column(table.iloc[:, place]) for place in range(table.shape[1])]

    def texts(column: int) -> np.ndarray:
        empty = [x is None or (isinstance(x, (float, np.floating)) and x != x) for x in columns[column]]
        return np.array(["" if none else str(x) for x, none in zip(columns[column], empty, strict=True)], dtype=object)

    return Raw(
        columns,
        names,
        texts,
        lambda row, column: f"row {row + 1}, column {names[column] or column + 1!r}",
        lambda row, column: texts(column)[row],
    )


def _column(column: Any) -> np.ndarray:
    """A column as numbers, including nullable numbers and categories; otherwise as objects, with None for missing."""
    import pandas as pd

    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(column.cat.categories.dtype)
    if pd.api.types.is_bool_dtype(column.dtype) and not column.isna().any():
        return column.to_numpy(bool)
    if pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_complex_dtype(column.dtype):
        if column.isna().any() or column.dtype.kind not in "fiu":
            return column.to_numpy(np.float64, na_value=np.nan)
        return column.to_numpy(column.dtype.numpy_dtype if hasattr(column.dtype, "numpy_dtype") else None)
    objects = column.to_numpy(object)
    return np.array(
        [None if x is None or x is pd.NA or x is pd.NaT or (isinstance(x, float) and x != x) else x for x in objects]
        + [None],
        dtype=object,
    )[:-1]
