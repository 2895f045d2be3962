"""Tables as text: encoding, compression, delimiter, decimal mark and names are detected; pandas reads the rest."""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tokdyn.checks import bad
from tokdyn.data.tables import cells
from tokdyn.data.tables.decoding import decoded
from tokdyn.data.tables.raw import Raw

DELIMITERS = {"tab": "\t", "semicolon": ";", "pipe": "|", "comma": ",", "space": " "}
# How the file is read is decided from this many rows and characters.
_ROWS, _FIELDS, _CHARACTERS = 200, 4000, 1 << 18
_EMPTY_WITHIN = re.compile(r"\n[ \t]*(?=\n\s*\S)")


def read_text(file: Path, *, delimiter: str | None, decimal: str | None, header: bool | None) -> Raw:
    """Read a table from a text file.

    Args:
        file: a file with any of the encodings, compressions and delimiters that are detected.
        delimiter: a character, or a name in ``DELIMITERS``; None to detect it.
        decimal: "." or ","; None to detect it.
        header: whether the first line holds names; None to detect it.

    Raises:
        ValueError: the file is not a table; the message is one sentence.
    """
    text, notes = decoded(file)
    if not text.strip():
        raise bad("file", "rows of numbers", f"{file.name}, which is empty")
    text, given = _delimiter_line(text)
    shape = _sniffed(text, DELIMITERS.get(delimiter or "", delimiter) or given, header, file.name)
    notes += shape.notes
    body = shape.body
    reader = _Rows(body, shape.delimiter, file.name)
    reader.demand_width(shape.width, 1)  # pandas does not check the width of the first row
    gap = _EMPTY_WITHIN.search(body, len(body) - len(body.lstrip())) if shape.width == 1 else None
    if gap and not shape.has_comments:  # in a table of one column an empty line is an empty cell
        line = body.count("\n", 0, gap.start()) + 2
        raise bad("file", "a number in every row", f"an empty line {line} in {file.name}")
    columns = reader.frame(shape.width, decimal or ".")
    mark = decimal or "."
    if decimal is None:
        mark, doubt = _decimal(columns, shape.delimiter)
        if doubt:
            notes.append(doubt)
        if mark == ",":
            columns = reader.frame(shape.width, ",")
    names = shape.names

    def where(row: int, column: int) -> str:
        called = f"column {names[column]!r}" if names[column] else f"column {column + 1}"
        line = reader.at(row)[0]
        return f"line {line}, {called}" if line else f"row {row + 1}, {called}"

    def cell(row: int, column: int) -> str | None:
        fields = reader.at(row)[1]
        return fields[column].strip() if column < len(fields) else None

    return Raw(
        columns, names, lambda column: reader.texts(shape.width, column), where, cell, mark, True, notes=tuple(notes)
    )


def _delimiter_line(text: str) -> tuple[str, str | None]:
    """The text without Excel's line "sep=;", which is replaced by an empty line, so that line numbers stay right."""
    found = re.match(r'"?sep=(.|\\t)"?\n', text, re.IGNORECASE)
    if not found:
        return text, None
    return "\n" + text[found.end() :], "\t" if found[1] == "\\t" else found[1]


class _Shape(NamedTuple):
    """How a text is to be read.

    Attributes:
        body: the text for pandas, in which all other lines are empty, so that line numbers stay right.
        delimiter: delimiter between fields.
        width: number of fields in a row.
        names: names of the columns.
        has_comments: whether comments were replaced by empty lines.
        notes: what was assumed.
    """

    body: str
    delimiter: str
    width: int
    names: list[str | None]
    has_comments: bool
    notes: list[str]


def _sniffed(text: str, delimiter: str | None, header: bool | None, file: str) -> _Shape:
    sample = _beginning(text)
    lines = sample.split("\n")
    commented = text.startswith("#") or "\n#" in text
    plain = "\n".join(line for line in lines if not line.startswith("#"))
    delimiter = delimiter or _delimiter(plain if plain.strip() else sample)
    rows = [fields for _, fields in itertools.islice(_records(plain if plain.strip() else sample, delimiter), _ROWS)]
    names: list[str | None] | None = None
    notes: list[str] = []
    width = Counter(map(len, rows[1:] or rows)).most_common(1)[0][0] if rows else 0
    if commented and rows:
        text, names = _without_comments(text, delimiter, width)
    if not rows or next(_records(text, delimiter), None) is None:
        raise bad("file", "rows of numbers", f"none in {file}")
    end, first = 0, rows[0]
    if header is None:
        named, note = _is_header(first, rows[1:], width)
        notes += [note] if note else []
    else:
        named = header
    if named:
        names = _names(first, rows[1:], width)
        if len(names) != width:
            shown = f"{len(names)} in the first line of {file}: {' '.join(', '.join(first[:8]).split())[:80]}"
            raise bad("file", f"a name for each of {width} columns", shown)
        # The header may span several lines, within quotation marks.
        end = next(_records(text, delimiter))[0][1]
        parts = text.split("\n", end)
        text = "\n" * end + (parts[end] if len(parts) > end else "")
    names = names or [None] * width
    names, renamed = _distinct(names)
    if renamed:
        notes.append(f"Names that occur again are numbered: {', '.join(renamed)}.")
    if not text.strip():
        raise bad("file", "rows of numbers", f"a line of names, and no row, in {file}")
    return _Shape(text, delimiter, width, names, commented, notes)


def _beginning(text: str) -> str:
    """The beginning of the text: a fixed number of characters, but at least ten lines, however long they are."""
    end = text.find("\n", _CHARACTERS)
    if end < 0:
        return text
    tenth = 0
    for _ in range(10):
        tenth = text.find("\n", tenth) + 1 or len(text)
    return text[: max(end + 1, tenth)]


def _delimiter(sample: str) -> str:
    """The delimiter that makes most cells values and gives rows of equal width."""
    best, most = "\n", 0.0
    for delimiter in (*DELIMITERS.values(), "\n"):
        try:
            rows = [fields for _, fields in itertools.islice(_records(sample, delimiter), _ROWS)]
        except csv.Error:  # a long line that is a single field under this delimiter
            continue
        if not rows:
            continue
        first, rows = rows[0], rows[1:] or rows
        width, count = Counter(map(len, rows)).most_common(1)[0]
        if width == 1 and delimiter != "\n":
            continue
        fields = list(itertools.islice(itertools.chain.from_iterable(rows), _FIELDS))
        # Text is equal evidence for every delimiter, so that part of the score depends on widths alone.
        score = (0.01 + sum(cells.is_value(field) for field in fields) / len(fields)) * count / len(rows)
        if rows != [first] and len(first) == width > 1 and not any(map(cells.is_value, first)):
            score *= 1.6  # the number of names fits, so that rows of other lengths are mistakes
        if score > most + 1e-9:
            best, most = delimiter, score
    return best


def _records(text: str, delimiter: str) -> Iterator[tuple[tuple[int, int], list[str]]]:
    """The non-empty rows, each with its first (from 1) and its last line."""
    lines: Iterator[str] = (line + "\n" for line in text.split("\n"))
    if delimiter == " ":
        lines = (re.sub(r"[ \t]+", " ", line.strip()) + "\n" for line in lines)
    # A table of one column: a mark that occurs in no text.
    reader = csv.reader(lines, delimiter="\x1f" if delimiter == "\n" else delimiter, skipinitialspace=True)
    before = 0
    for fields in reader:
        if fields and not (len(fields) == 1 and not fields[0].strip(" \t") and reader.line_num - before == 1):
            yield (before + 1, reader.line_num), fields
        before = reader.line_num


def _without_comments(text: str, delimiter: str, width: int) -> tuple[str, list[str | None] | None]:
    """The text with comments replaced by empty lines, and the names in the last comment before the rows, if any.

    A line is a comment if it begins with # and is not a row of the table, because it has a different number of fields
    or holds no value.
    """
    lines, names, started = text.split("\n"), None, False
    for place, line in enumerate(lines):
        if not line.startswith("#"):
            started = started or bool(line.strip())
            continue
        fields = next((fields for _, fields in _records(line.lstrip("#").strip(), delimiter)), [])
        fits = len(fields) == width
        if fits and any(cells.is_value(field) for field in fields if field):
            started = True
            continue
        if fits and not started:
            names = [field.strip() or None for field in fields]
        lines[place] = ""
    return "\n".join(lines), names


def _is_header(first: list[str], rows: list[list[str]], width: int) -> tuple[bool, str | None]:
    """Whether the first row holds names, and a sentence if that is a guess."""
    offset = 1 if len(first) == width - 1 else 0
    cells_of = {place + offset: field.strip() for place, field in enumerate(first)}
    if not rows:
        return all(map(_is_name, first)), None
    filled = {column: field for column, field in cells_of.items() if field}
    counted = [field for _, field in sorted(filled.items())] == [str(n) for n in range(len(filled))]
    are_whole = (field.strip().lstrip("-").isdecimal() for row in rows for field in row[width - len(filled) :])
    if len(filled) > 1 and counted and (len(filled) > 3 or not all(are_whole)):
        return True, (
            "The first line counts the columns from 0: it is read as their names (header says whether it is)."
        )
    names = bool(filled) and all(map(_is_name, filled.values()))
    if offset:  # R writes no name for the names of rows; any other shorter line is not a header
        return names and not any(mark in field for field in first for mark in ";,|\t"), None
    if not cells_of.get(0) and names:
        return True, None
    rows = rows[: max(10, _FIELDS // width)]
    numeric = [
        column
        for column in range(width)
        if sum(column < len(row) and cells.is_value(row[column]) for row in rows) * 2 > len(rows)
    ]
    over = [filled[column] for column in numeric if column in filled]
    if not over:
        return False, None
    if not any(cells.is_value(field) for field in over):
        return True, None
    years = [int(field) for field in over if re.fullmatch(r"(1[89]|2[01])\d\d", field)]
    is_run = len(years) > 1 and years == list(range(years[0], years[0] + len(over)))
    others = [field for column, field in filled.items() if column not in numeric]
    if is_run and others and not any(map(cells.is_value, others)):
        return True, "The first line holds years, and is read as names (header says whether it is)."
    if any(map(_is_name, over)):
        named = next(field for field in over if _is_name(field))
        return True, (
            f"The first line is read as names, because {named!r} stands over numbers (header says whether it is)."
        )
    return False, None


def _is_name(field: str) -> bool:
    field = field.strip()
    return bool(re.match(r"[^\W\d]", field)) and not cells.is_value(field)


def _names(first: list[str], rows: list[list[str]], width: int) -> list[str | None]:
    names: list[str | None] = [" ".join(field.split()) or None for field in first]
    names = [None if name and re.fullmatch(r"Unnamed: \d+", name) else name for name in names]  # pandas' own word
    if len(names) == width - 1:
        trailing = rows and all(len(row) == width and not row[-1].strip() for row in rows)
        names = [*names, None] if trailing else [None, *names]  # R writes no name for the names of rows
    while len(names) > width and names[-1] is None:
        names.pop()
    return names


def _distinct(names: list[str | None]) -> tuple[list[str | None], list[str]]:
    """Number repeated names as pandas does: a, a.1."""
    seen, made, renamed = set(names), [], []
    used: set[str] = set()
    for name in names:
        unique = name
        if name is not None and name in used:
            unique = next(f"{name}.{n}" for n in itertools.count(1) if f"{name}.{n}" not in used | seen)
            renamed.append(unique)
        if unique is not None:
            used.add(unique)
        made.append(unique)
    return made, renamed


class _Rows:
    """The rows of a text, for pandas and for error messages."""

    def __init__(self, body: str, delimiter: str, name: str) -> None:
        self._body, self._delimiter, self._name = body, delimiter, name

    def _read(self, width: int, **options: Any) -> Any:
        import pandas as pd

        try:
            return pd.read_csv(
                io.StringIO(self._body),
                sep={" ": r"\s+", "\n": "\x1f"}.get(self._delimiter, self._delimiter),
                header=None,
                names=range(width),
                skipinitialspace=True,
                keep_default_na=False,
                low_memory=False,
                **options,
            )
        except pd.errors.ParserError as error:
            self.demand_width(width)
            reason = str(error).splitlines()[0].removeprefix("Error tokenizing data. C error: ")
            if "EOF inside string" in reason:
                reason = "a quotation mark in it is never closed"
            raise bad("file", "a table", f"{self._name} ({reason})") from None

    def frame(self, width: int, decimal: str) -> list[np.ndarray]:
        """The columns `[N]`, as numbers if all their cells are; an empty cell is NaN."""
        table = self._read(width, na_values=[""], decimal=decimal)
        columns = []
        for column in range(width):
            values = table[column]
            if values.dtype.kind in "fiub":
                columns.append(values.to_numpy())
                continue
            objects = values.to_numpy(object)
            if any(isinstance(x, int) for x in objects):  # whole numbers beyond 64 bits
                objects = objects.astype(np.float64)
            columns.append(objects)
        return columns

    def texts(self, width: int, column: int) -> np.ndarray:
        """The cells of a column as written `[N]`."""
        table = self._read(width, usecols=[column], dtype=str, na_filter=False)
        return table[column].str.strip().to_numpy(object)

    def demand_width(self, width: int, rows: int | None = None) -> None:
        """Raise an error for a row with more fields than there are columns; missing fields are empty cells."""
        for (line, _), fields in itertools.islice(_records(self._body, self._delimiter), rows):
            if len(fields) > width:
                found = f"{len(fields)} in line {line} of {self._name}"
                raise bad("file", f"{width} field{'s' * (width > 1)} in every row, as most have", found)

    def at(self, row: int) -> tuple[int, list[str]]:
        """The line number of a row, counted from 1, and its fields; line 0 if pandas counts rows differently."""
        (line, _), fields = next(itertools.islice(_records(self._body, self._delimiter), row, None), ((0, 0), []))
        return line, fields


def _decimal(columns: list[np.ndarray], delimiter: str) -> tuple[str, str | None]:
    """The decimal mark of a table, and a sentence if it is a guess."""
    texts = [text for column in columns if column.dtype.kind == "O" for text in column if isinstance(text, str)]
    mark, example = cells.decimal_mark(texts)
    if mark or not example:
        return mark or ".", None
    has_points = any(column.dtype.kind == "f" and (column % 1 != 0)[np.isfinite(column)].any() for column in columns)
    mark = "." if has_points or delimiter == "," else ","
    value = cells.number(example, mark)
    read = f"{value.value:g}" if value else "text"
    return mark, f"{example!r} is read as {read}: nothing else in the file shows what its comma is (decimal says it)."
