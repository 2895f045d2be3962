"""Check a sample of CLEVR or CLEVRER records before building anything on it.

Questions of these data sets carry the program that computes their answer. A sample without programs, or with records of
several forms, ruins an experiment late and silently; checking the file reveals it at once.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

from tokdyn.checks import bad

EXPECTED = "a JSON list of records, an object holding one under 'questions' or 'scenes', or JSON lines"
LAYOUTS = ("questions", "scenes")
CLEVRER_FIELDS = frozenset({"video", "video_filename", "video_index"})
CLEVR_FIELDS = frozenset({"image", "image_filename", "image_index"})


def check_samples(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Report what a file of samples contains, and what its records lack.

    Args:
        path: a UTF-8 file with a JSON list of objects, CLEVR's ``{"questions": [...]}`` or ``{"scenes": [...]}``, or
            JSON lines (one object per line).

    Returns:
        A dictionary of plain numbers, strings and lists:

        * ``sample_count``: number of records;
        * ``fields``: the sorted union of their keys;
        * ``missing_programs``: number of records whose ``"program"`` is absent or empty;
        * ``kind``: ``"clevrer"`` if a field names a video, ``"clevr"`` if one names an image, else ``"unknown"``;
        * ``layout``: ``"list"``, ``"questions"``, ``"scenes"`` or ``"lines"``;
        * ``missing_fields``: for every field that some records have and others lack, how many lack it;
        * ``records_without_question``: number of records whose ``"question"`` is absent, empty, or not a text.

    Raises:
        ValueError: no such file, a folder, an empty file or list, not UTF-8, not JSON, or JSON that is not a list of
            objects; a one-sentence message names the file.

    References:
        Johnson et al. 2017, arXiv 1612.06890 (CLEVR); Yi et al. 2020, arXiv 1910.01442 (CLEVRER).

    Example:
        >>> import json, pathlib, tempfile
        >>> from tokdyn.data import clevr
        >>> records = [{"image": "a.png", "question": "How many cubes?", "program": ["count"]}, {"image": "b.png"}]
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "samples.json")
        ...     _ = path.write_text(json.dumps(records))
        ...     found = clevr.check_samples(path)
        >>> found["sample_count"], found["fields"], found["missing_programs"], found["kind"]
        (2, ['image', 'program', 'question'], 1, 'clevr')
    """
    name, text = _read(path)
    layout, records = _records(name, text)
    fields = sorted({field for record in records for field in record})
    counts = Counter(field for record in records for field in record)
    return {
        "sample_count": len(records),
        "fields": fields,
        "missing_programs": sum(not record.get("program") for record in records),
        "kind": _kind(fields),
        "layout": layout,
        "missing_fields": {field: len(records) - counts[field] for field in fields if counts[field] < len(records)},
        "records_without_question": sum(not _is_text(record.get("question")) for record in records),
    }


def _read(path: str | os.PathLike[str]) -> tuple[str, str]:
    """The file's name as given, for error messages, and its text."""
    try:
        name = os.fspath(path)
    except TypeError:
        raise bad("path", "the path of a JSON file", f"{path!r} ({type(path).__name__})") from None
    if not isinstance(name, str):
        raise bad("path", "the path of a JSON file as text", f"{name!r} (bytes)")
    try:
        raw = Path(name).read_bytes()
    except FileNotFoundError:
        raise bad(name, "a JSON file", "no such file") from None
    except IsADirectoryError:
        raise bad(name, "a JSON file", "a folder") from None
    except (OSError, ValueError) as error:  # no permission; a NUL in the name
        raise bad(name, "a readable JSON file", f"{getattr(error, 'strerror', None) or error}") from None
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise bad(name, "UTF-8 text", f"byte 0x{raw[error.start]:02x} at position {error.start}") from None
    if not text.strip():
        raise bad(name, EXPECTED, "an empty file")
    return name, text


def _records(name: str, text: str) -> tuple[str, list[dict[str, Any]]]:
    """The layout and the records, whichever of the layouts it is."""
    layout = "list"
    parsed: Any
    if name.endswith((".jsonl", ".ndjson")):
        layout, parsed = "lines", _lines(name, text)
    else:
        try:
            parsed = _parse(text)
        except ValueError as error:
            # Several values in a row are not JSON, but may be JSON lines; if not, the first error is reported.
            if not _starts_with_object_line(text):
                raise bad(name, EXPECTED, _complaint(error)) from None
            layout, parsed = "lines", _lines(name, text)
    if isinstance(parsed, dict):
        layout = next((key for key in LAYOUTS if key in parsed), "")
        if not layout:
            raise bad(name, EXPECTED, f"an object with the keys {_shorten(', '.join(map(repr, sorted(parsed))))}")
        parsed = parsed[layout]
    if not isinstance(parsed, list):
        raise bad(name, EXPECTED, _describe(parsed) + (f" under {layout!r}" if layout in LAYOUTS else ""))
    if not parsed:
        raise bad(name, EXPECTED, "an empty list")
    for number, record in enumerate(parsed):
        if not isinstance(record, dict):
            raise bad(name, "a list of objects", f"{_describe(record)} as record {number}")
    return layout, parsed


def _lines(name: str, text: str) -> list[Any]:
    """One value per line. Only a line feed ends a line, since other separators may occur inside a JSON string."""
    values = []
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                values.append(_parse(line))
            except ValueError as error:
                raise bad(name, EXPECTED, f"{_complaint(error)} in line {number}") from None
    return values


def _starts_with_object_line(text: str) -> bool:
    """Whether the first non-blank line is a complete object, and another line follows."""
    first, _, rest = text.lstrip().partition("\n")
    try:
        return isinstance(_parse(first), dict) and bool(rest.strip())
    except ValueError:
        return False


def _parse(text: str) -> Any:
    """Strict JSON.

    Raises:
        ValueError: anything else, including what Python's reader accepts (NaN) or cannot handle (deep nesting).
    """
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("JSON nested too deeply to read") from None


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name}, which is not JSON")


def _complaint(error: ValueError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"no JSON ({error.msg[:1].lower()}{error.msg[1:]}, line {error.lineno} column {error.colno})"
    return str(error)


def _kind(fields: list[str]) -> str:
    if CLEVRER_FIELDS.intersection(fields):
        return "clevrer"
    return "clevr" if CLEVR_FIELDS.intersection(fields) else "unknown"


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _describe(value: Any) -> str:
    """How a JSON value is described in an error message."""
    if isinstance(value, str):
        return f"the text {_shorten(repr(value))}"
    if isinstance(value, list | dict):
        return f"{'a list' if isinstance(value, list) else 'an object'} of {len(value)}"
    return _shorten(json.dumps(value))


def _shorten(text: str, limit: int = 60) -> str:
    return text if len(text) <= limit else text[:limit] + "..."
