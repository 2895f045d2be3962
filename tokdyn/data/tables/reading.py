"""``read_table``: features, labels and ids from a file as it occurs in practice."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tokdyn import files
from tokdyn.checks import bad, choice
from tokdyn.data.tables import cells
from tokdyn.data.tables.arrays import read_npy, read_npz, read_parquet
from tokdyn.data.tables.columns import chosen, doubtful, identifier, listed
from tokdyn.data.tables.decoding import UNREADABLE
from tokdyn.data.tables.raw import Raw
from tokdyn.data.tables.text import DELIMITERS, read_text

ARRAYS = (".npy", ".npz", ".parquet")
TEXTS = (".csv", ".tsv", ".tab", ".txt", ".dat", ".data", ".psv")
COMPRESSED = (".gz", ".bz2", ".xz", ".zip")
SUFFIXES = (*ARRAYS, *TEXTS)
# Limits beyond which a column of labels, with too many different values for its rows, is more likely one of numbers.
_MANY = 0.5


class Table(NamedTuple):
    """What ``read_table`` read.

    Attributes:
        features: the features `[N, D]`, float64.
        columns: names of their columns; a column without a name is called "x" and its position in the file, from 1.
        labels: true clusters `[N]`, numbered from 0, or None.
        label_names: name of each cluster in the file, as text, in numerical or alphabetical order.
        ids: name of each row in the file `[N]`, as text, or None.
        id_name: name of the column of ids; None if there is no such column, or it has no name.
        notes: sentences that say what was left out and what was guessed.
    """

    features: np.ndarray
    columns: tuple[str, ...]
    labels: np.ndarray | None = None
    label_names: tuple[str, ...] = ()
    ids: np.ndarray | None = None
    id_name: str | None = None
    notes: tuple[str, ...] = ()


def read_table(
    path: str | os.PathLike[str],
    *,
    columns: str | Sequence[str] | None = None,
    labels: str | None = None,
    array: str | None = None,
    header: bool | None = None,
    delimiter: str | None = None,
    decimal: str | None = None,
) -> Table:
    r"""Read features, true clusters and names of rows from a text file or a file of arrays.

    Text may be compressed (gzip, bzip2, xz, zip), encoded in UTF-8, UTF-16 or Latin-1, delimited by commas, semicolons,
    tabs, bars or spaces, with or without a header line, comments (#), decimal commas, thousands separators, percent
    signs, and words for yes and no. Everything that is guessed is reported in ``notes``, and an argument overrides each
    guess.

    Columns that name rows are excluded from the features and kept as ``ids``: text that is different in every row;
    whole numbers that are different in every row, in a column called id (or sample_id, uuid, index, ...), in one called
    row, nr or sample if they are consecutive, or in a first column without a name if others have names; and, if no
    column has a name, a first column of at least ten consecutive numbers, unless another column is consecutive too. A
    column that is requested in ``columns`` is never excluded, nor is a single column of numbers.

    Args:
        path: the file: ``.npy``, ``.npz``, ``.parquet``, or text in ``.csv``, ``.tsv``, ``.tab``, ``.txt``, ``.dat``,
            ``.data`` or ``.psv``, which may be followed by ``.gz``, ``.bz2``, ``.xz`` or ``.zip``.
        columns: which columns are features, and in which order: names, positions (the first is 1) and inclusive ranges
            of either, separated by commas: ``"2:5"``, ``"width,height"``, ``"width:depth,9"``, ``"3:"``. A name takes
            precedence over a position; a name with a comma is written in quotation marks. Alternatively a sequence of
            names. By default all columns except labels and ids.
        labels: a column of true clusters, by name or position, or an array of the archive; numbers or text.
        array: which array of an ``.npz`` holds the features; by default the one named features, or the only one
            `[N, D]`.
        header: whether the first line of a text holds names; detected by default.
        delimiter: the delimiter of a text: a character, or comma, semicolon, tab, space or pipe; detected by default.
        decimal: the decimal mark of a text, "." or ","; detected by default.

    Returns:
        A ``Table``.

    Raises:
        ValueError: no such file, an unknown format, a cell without a finite number, or an argument that does not fit;
            the message names the file and, if applicable, the line and the column.

    Example:
        >>> import pathlib, tempfile, numpy as np, tokdyn as td
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = pathlib.Path(folder) / "flowers.csv"
        ...     _ = file.write_text("id;width;kind\n1;1,5;rose\n2;2,25;rose\n3;0,5;tulip\n")
        ...     table = td.data.read_table(file, labels="kind")
        >>> table.features.ravel().tolist(), table.columns
        ([1.5, 2.25, 0.5], ('width',))
        >>> np.asarray(table.labels).tolist(), table.label_names, np.asarray(table.ids).tolist()
        ([0, 0, 1], ('rose', 'tulip'), ['1', '2', '3'])
        >>> table.notes
        ("Column 'id' is called an id, and its numbers are different in every row: it names rows and is no feature.",)
    """
    file = files.path_of("file", path, "a file of features")
    for name, value in (("labels", labels), ("array", array), ("delimiter", delimiter)):
        if value is not None and not (isinstance(value, str) and value):
            raise bad(name, "text", repr(value))
    if decimal is not None:
        choice("decimal", decimal, (".", ","))
    if delimiter is not None and delimiter not in DELIMITERS and (len(delimiter) != 1 or delimiter in '\n\r"\\#'):
        raise bad("delimiter", f"one character, or one of {', '.join(DELIMITERS)}", repr(delimiter))
    raw = _raw(file, array=array, labels=labels, header=header, delimiter=delimiter, decimal=decimal)
    return _Choice(raw, file.name).table(columns, labels)


def _raw(file: Path, *, array: str | None, labels: str | None, **how: Any) -> Raw:
    try:
        files.checked_file(file)
    except files.Unreadable as error:
        raise bad("file", "a file of features", f"{file} ({error})") from None
    suffix = _suffix(file.name) or _suffix(file.resolve().name)
    if suffix is None:
        hint = " (save its sheet as CSV)" if file.suffix.lower() in (".xlsx", ".xls", ".xlsm", ".ods") else ""
        raise bad("file", f"one of {', '.join(SUFFIXES)}", file.name + hint)
    if array is not None and suffix != ".npz":
        raise bad("array", "a file .npz, whose arrays have names", file.name)
    try:
        if suffix == ".npy":
            return read_npy(file)
        if suffix == ".npz":
            return read_npz(file, array, labels)
        return read_parquet(file) if suffix == ".parquet" else read_text(file, **how)
    except PermissionError:
        raise bad("file", "a file that can be read", f"{file.name} (no permission)") from None
    except (MemoryError, RecursionError):
        raise bad("file", "a table that fits into memory", file.name) from None
    except (*UNREADABLE, ValueError, KeyError, TypeError, SyntaxError) as error:
        reason = files.reason(error)
        if isinstance(error, ValueError) and ": expected " in reason:
            raise
        raise bad("file", f"readable {suffix} features", f"{file.name} ({reason})") from None


def _suffix(name: str) -> str | None:
    """The suffix of a supported format: that of "x.csv.gz" is ".csv"."""
    place = Path(name.lower())
    if place.suffix in COMPRESSED:
        place = Path(place.stem)
        return place.suffix if place.suffix in TEXTS else None
    return place.suffix if place.suffix in SUFFIXES else None


class _Choice:
    """Selects features, labels and ids from columns."""

    def __init__(self, raw: Raw, file: str) -> None:
        self._raw, self._file = raw, file
        self._notes = list(raw.notes)
        self._rows = len(raw.values[0])

    def table(self, columns: str | Sequence[str] | None, labels: str | None) -> Table:
        raw = self._raw
        asked = None if columns is None else chosen("columns", columns, raw)
        label = self._label_column(labels, asked)
        self._drop_empty_rows()
        raw = self._raw
        rest = [place for place in range(len(raw.values)) if place != label]
        if asked is None:
            rest = self._without_empty(rest)
        wanted = {*(asked or ())}
        ids, left_out = self._identifiers([place for place in rest if place not in wanted], asked)
        if asked is not None:
            features = asked
        else:
            dropped = {*left_out}
            features = [place for place in rest if place not in dropped]
            self._doubts(features)
        if not features:
            expected = "at least one column of numbers, besides those that name rows"
            raise bad("file", expected, f"{listed(raw)} in {self._file} (columns says which to read nevertheless)")
        values = self._numbers(features)
        texts = raw.label_texts if label is None else raw.texts(label)[: self._rows]
        found, names = self._labels(texts, label) if texts is not None else (None, ())
        return Table(
            values,
            tuple(raw.name(place) for place in features),
            found,
            names,
            None if ids is None else raw.texts(ids)[: self._rows],
            None if ids is None else raw.names[ids],
            tuple(self._notes),
        )

    def _label_column(self, labels: str | None, asked: list[int] | None) -> int | None:
        if labels is None or self._raw.label_texts is not None:
            return None
        try:
            (label,) = chosen("labels", labels, self._raw)
        except ValueError as error:
            if not str(error).startswith("labels"):
                raise bad("labels", "one column, or one array of the archive", repr(labels)) from None
            raise
        if asked is not None and label in asked:
            raise bad("labels", "a column that is no feature", f"{self._raw.name(label)!r}, which is in columns")
        return label

    def _drop_empty_rows(self) -> None:
        """Drop the rows of nothing but delimiters that spreadsheets write below the last row."""
        if not self._raw.is_text:
            return
        last = self._rows
        while last and all(_is_empty(values[last - 1]) for values in self._raw.values):
            last -= 1
        if 0 < last < self._rows:
            self._notes.append(
                f"The last {_count(self._rows - last, 'row')} of {self._file}, without any value, left out."
            )
            # Columns of whole numbers were converted to floats only because of those rows.
            values = [_narrowed(column[:last]) for column in self._raw.values]
            self._raw, self._rows = self._raw._replace(values=values), last

    def _without_empty(self, places: list[int]) -> list[int]:
        if not self._raw.is_text or self._rows < 2:
            return places
        empty = [
            place
            for place in places
            if _is_empty(self._raw.values[place][0]) and all(map(_is_empty, self._raw.values[place]))
        ]
        if empty and len(empty) < len(places):
            self._notes.append(f"{self._called(empty)} without any value, left out.")
            return [place for place in places if place not in empty]
        return places

    def _identifiers(self, places: list[int], asked: list[int] | None) -> tuple[int | None, list[int]]:
        """The column of ids, and all columns that name rows."""
        raw = self._raw
        left_out: list[int] = []
        # A column without a name can only be an id to the left of all names, or as the first column.
        first_named = next((place for place, name in enumerate(raw.names) if name), 1)
        for place in places:
            if raw.names[place] is None and place >= first_named and raw.values[place].dtype.kind != "O":
                continue
            why = identifier(place, raw, places if asked is None else [place, *asked])
            if why:
                left_out.append(place)
                name = f"Column {raw.names[place]!r}" if raw.names[place] else f"Column {place + 1}"
                self._notes.append(f"{name} {why}: it names rows and is no feature.")
                if asked is not None:  # users who choose the columns need no note on the others
                    break
        return (left_out[0] if left_out else None), left_out

    def _doubts(self, features: list[int]) -> None:
        for place in features if len(features) > 1 else ():
            why = doubtful(place, self._raw)
            if why:
                self._notes.append(
                    f"Column {self._raw.name(place)!r} {why}: it is taken as a feature (columns chooses)."
                )

    def _numbers(self, features: list[int]) -> np.ndarray:
        raw = self._raw
        texts: list[int] = []
        rounded = [column for column in features if _loses_digits(raw.values[column])]
        if raw.matrix is not None:
            values = raw.matrix[:, features].astype(np.float64)
        else:
            values = np.empty((self._rows, len(features)))
            for place, column in enumerate(features):
                values[:, place], is_text = self._column(column)
                texts += [column] if is_text else []
        if texts:
            self._refuse_text(texts)
        if not np.isfinite(values).all():
            self._refuse_infinite(values, features)
        if rounded:
            self._notes.append(f"{self._called(rounded)} with whole numbers above 2^53, which float64 rounds.")
        return values

    def _column(self, column: int) -> tuple[np.ndarray, bool]:
        """A column as numbers, with NaN for missing ones, and whether it holds text."""
        raw, found = self._raw, self._raw.values[column]
        if found.dtype.kind != "O":
            if found.dtype.kind == "b" and raw.is_text:
                self._notes.append(f"Column {raw.name(column)!r}: {cells.truth('true')}.")
            return found, False
        read = cells.numbers(np.array([_text(x) for x in found], dtype=object), raw.decimal)
        if read.says and not read.is_text.any():
            self._notes.append(f"Column {raw.name(column)!r}: {'; '.join(read.says)}.")
        return read.values, bool(read.is_text.any())

    def _refuse_text(self, texts: list[int]) -> None:
        raw, column = self._raw, texts[0]
        found = cells.numbers(np.array([_text(x) for x in raw.values[column]], dtype=object), raw.decimal)
        row = int(found.is_text.argmax())
        shown = _text(raw.values[column][row])
        what = " (a complex number)" if cells.COMPLEX.fullmatch(shown) else ""
        others = f"; text also in {', '.join(repr(raw.name(other)) for other in texts[1:6])}" if texts[1:] else ""
        shown = shown if len(shown) <= 40 else shown[:37] + "..."
        raise bad(
            "file",
            "numbers in all columns",
            f"{shown!r}{what} in {raw.where(row, column)} of {self._file}{others} "
            "(columns says which columns to read, labels which one holds true clusters)",
        )

    def _refuse_infinite(self, values: np.ndarray, features: list[int]) -> None:
        wrong = ~np.isfinite(values)
        row, place = (int(n) for n in np.argwhere(wrong)[0])
        cell = self._raw.cell(row, features[place])
        if np.isinf(values[row, place]):
            shown = cell or str(values[row, place])
            got = shown if cells.INFINITE.fullmatch(shown) else f"{shown}, too large for float64,"
        else:
            got = "no value, because the row ends before it," if cell is None else "no value"
            got += f" ({cell!r})" if cell else ""
        more = f", and {wrong.sum() - 1} more such" if wrong.sum() > 1 else ""
        raise bad("file", "finite numbers", f"{got} in {self._raw.where(row, features[place])} of {self._file}{more}")

    def _labels(self, texts: np.ndarray, label: int | None) -> tuple[np.ndarray, tuple[str, ...]]:
        empty = [row for row, text in enumerate(texts) if not text.strip()]
        if empty:
            place = f"index {empty[0]}" if label is None else self._raw.where(empty[0], label)
            raise bad("labels", "a label in every row", f"none in {place} of {self._file}")
        names, found = np.unique(texts.astype(str), return_inverse=True)
        numbers = [cells.number(name, self._raw.decimal) for name in names]
        if all(number is not None for number in numbers):  # 2 before 10
            order = np.argsort([number.value for number in numbers if number is not None], kind="stable")
            names, found = names[order], np.argsort(order)[found]
        if len(names) > max(2, _MANY * len(texts)):
            self._notes.append(f"Labels: {len(names)} different ones in {len(texts)} rows; are they true clusters?")
        return found.astype(np.int32), tuple(map(str, names))

    def _called(self, places: list[int]) -> str:
        named = ", ".join(repr(self._raw.name(place)) for place in places[:8])
        more = f" and {len(places) - 8} more" if len(places) > 8 else ""
        return f"Column{'s' * (len(places) > 1)} {named}{more}"


def _loses_digits(column: np.ndarray) -> bool:
    """Whether whole numbers are too large for float64 to distinguish them."""
    return column.dtype.kind in "iu" and max(-int(column.min()), int(column.max())) > 2**53


def _text(value: Any) -> str:
    """The text of a cell; empty if it is missing."""
    return "" if value is None or (isinstance(value, float) and value != value) else str(value)


def _is_empty(value: Any) -> bool:
    return value is None or value != value or (isinstance(value, str) and not value.strip())


def _narrowed(column: np.ndarray) -> np.ndarray:
    whole = column.dtype.kind == "f" and np.isfinite(column).all() and (column == np.floor(column)).all()
    return column.astype(np.int64) if whole and np.abs(column).max(initial=0) < 2**53 else column


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"
