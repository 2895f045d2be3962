"""Which columns of a table are features: those that the user names, or by a rule if the user names none."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

from tokdyn.checks import bad, nearest
from tokdyn.data.tables import cells
from tokdyn.data.tables.raw import Raw

# A column counts as an id if its name ends in one of the first words, or is one of the second.
_ENDINGS = frozenset({"id", "ids", "uid", "uuid", "guid"})
_NAMES = frozenset({"index", "idx", "key", "rownames", "rowname"})
# Names of counters: such a column is an id if its numbers are consecutive.
_COUNTERS = frozenset(
    {
        "row", "rows", "rownumber", "rn", "no", "nr", "num", "number", "nummer", "lfdnr", "obs", "observation",
        "record", "sample", "item", "case", "subject", "patient", "participant", "object", "entry", "n", "",
    }
)  # fmt: skip
# In a table without names, a first column of consecutive numbers is an id from this many rows on; with fewer rows, it
# may be chance.
FEWEST_ROWS = 10
_SHOWN = 8


def chosen(argument: str, asked: str | Sequence[str], raw: Raw) -> list[int]:
    """The requested columns, in the requested order.

    Args:
        argument: name of the argument, for the error message.
        asked: names, positions from 1 and ranges of either ("3:5", "width:height", "4:"), separated by commas; or a
            sequence of names.
        raw: the table.

    Raises:
        ValueError: an item that is not a column, or a repeated one; the message names it.
    """
    if isinstance(asked, str):
        items = [item.strip() for item in next(csv.reader([asked], skipinitialspace=True), [])]
    else:
        items = list(asked) if isinstance(asked, Sequence) else []
    if not items or not all(isinstance(item, str) and item for item in items):
        raise bad(argument, "names, positions or ranges of columns, separated by commas", repr(asked))
    found: list[int] = []
    for item in items:
        found += _columns(argument, item, raw)
    if len({*found}) < len(found):
        (twice, _), *_ = Counter(found).most_common(1)
        raise bad(argument, "each column once", f"{raw.name(twice)!r} twice")
    return found


def _columns(argument: str, item: str, raw: Raw) -> list[int]:
    whole = _column(item, raw)
    if whole is not None:
        return [whole]
    for place in (place for place, character in enumerate(item) if character == ":"):
        first, last = item[:place].strip(), item[place + 1 :].strip()
        ends = (
            0 if not first else _column(first, raw),
            len(raw.names) - 1 if not last else _column(last, raw),
        )
        if ends[0] is not None and ends[1] is not None:
            if ends[0] > ends[1]:
                raise bad(argument, "a range from left to right", repr(item))
            return list(range(ends[0], ends[1] + 1))
    raise bad(argument, f"columns among {listed(raw)}", repr(item) + _hint(item, raw))


def _column(item: str, raw: Raw) -> int | None:
    """The column of that name or else at that position: a column called "2" takes precedence over position 2."""
    names = [raw.name(column) for column in range(len(raw.names))]
    if item in names:
        return names.index(item)
    if item.isdecimal() and 1 <= int(item) <= len(names):
        return int(item) - 1
    return None


def _hint(item: str, raw: Raw) -> str:
    names = [raw.name(column) for column in range(len(raw.names))]
    if re.fullmatch(r"\d+-\d+", item):
        return f" (a range is written {item.replace('-', ':')})"
    if item == "0":
        return " (positions count from 1)"
    lowered = {name.lower(): name for name in names}
    near = nearest(item.lower(), lowered)
    return f" (did you mean {lowered[near]!r}?)" if near else ""


def listed(raw: Raw) -> str:
    """The names of the columns; if there are many, the first few."""
    names = [raw.name(column) for column in range(min(len(raw.names), _SHOWN))]
    more = len(raw.names) - len(names)
    return ", ".join(names) + (f" and {more} more" if more > 0 else "")


def identifier(column: int, raw: Raw, among: Sequence[int]) -> str | None:
    """Why a column names rows rather than describes them; None if it does not.

    A column of text is an identifier if all cells differ and none is a number, with or without a unit. A column of
    whole numbers, all different, is one if

    * its name is, or ends in, id, uid, uuid or guid, or is index, idx, key or row names;
    * its name is that of a counter (row, no, nr, sample, subject, ...) and the numbers are consecutive;
    * it has no name, others have, and none of those is to its left, as pandas and R write the names of rows;
    * it is the first column of a table of at least ten rows without any names, its numbers are consecutive, in any
      order, and those of no other column are.

    Args:
        column: number of the column.
        raw: the table.
        among: all columns that are not labels.
    """
    values = raw.values[column]
    is_text = values.dtype.kind == "O"
    if is_text and not _only_text(column, raw):
        return None
    name = raw.names[column]
    if len(values) < 2 or not (is_text or _may_be_called(name)):
        return None
    if not is_text and not (_whole(values) and (name or not any(raw.names[:column]))):
        return None
    if not _all_differ(values, column, raw):
        return None
    if is_text:
        return "holds text that is different in every row"
    others = [other for other in among if other != column]
    if not others:
        return None
    if name is None and any(raw.names[other] for other in others):
        return "has no name, and its numbers are different in every row"
    if name is None:
        runs = column == 0 and len(values) >= FEWEST_ROWS and _runs(values)
        alone = runs and not any(_runs(raw.values[other]) for other in others)
        return "is the first, and its numbers run on without a gap" if alone else None
    words = _words(name)
    if (words and words[-1] in _ENDINGS) or "".join(words) in _NAMES:
        return "is called an id, and its numbers are different in every row"
    if "".join(words) in _COUNTERS and _runs(values):
        return "is called a counter, and its numbers run on without a gap"
    return None


def doubtful(column: int, raw: Raw) -> str | None:
    """Why a column that is used as a feature may not be one; None if there is no doubt."""
    values, name = raw.values[column], raw.names[column]
    if values.dtype.kind == "O" or not name or not _whole(values) or len(values) < 3:
        return None
    words = _words(name)
    if words and words[-1] in _ENDINGS:
        return "is called an id, but some of its numbers are equal"
    if column == 0 and np.array_equal(values, np.arange(len(values)) + values[0]) and values[0] in (0, 1):
        return f"counts the rows from {int(values[0])}"
    if words and words[-1] in ("label", "labels", "target", "class", "species", "cluster"):
        return "may hold true clusters, which labels takes"
    return None


def _may_be_called(name: str | None) -> bool:
    """Whether a column of that name can be an identifier at all; most cannot, and their numbers need not be checked."""
    words = _words(name or "")
    return not words or words[-1] in _ENDINGS or "".join(words) in _NAMES | _COUNTERS


def _all_differ(values: np.ndarray, column: int, raw: Raw) -> bool:
    if values.dtype.kind == "O":
        return len({*values}) == len(values)
    # Beyond 2^53 different numbers may be equal in float64, so that the cells are compared as text.
    if values.dtype.kind == "f" and np.abs(values).max() >= 2**53:
        return len({*raw.texts(column)[: len(values)]}) == len(values)
    return len(np.unique(values)) == len(values)


def _words(name: str) -> list[str]:
    """The words of a name, also in camel case: customerID gives ["customer", "id"]."""
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name.strip())
    return re.findall(r"[^\W_]+", parted.lower())


def _only_text(column: int, raw: Raw) -> bool:
    """Whether all cells hold text, and none holds a number (with or without a unit) or a yes or no."""
    texts = [text if isinstance(text, str) else "" for text in raw.values[column]]
    if any(cells.is_missing(text) or cells.is_number(text) or cells.is_truth(text) for text in texts):
        return False
    if all(cells.CODED.fullmatch(text.strip()) for text in texts):
        return False
    units = {cells.unit(text) for text in texts}
    return len(units) > 1 or units == {None}


def _whole(values: np.ndarray) -> bool:
    if values.dtype.kind in "iu":
        return True
    return values.dtype.kind == "f" and bool(np.isfinite(values).all() and (values == np.floor(values)).all())


def _runs(values: np.ndarray) -> bool:
    """Whether the sorted numbers follow each other in steps of one."""
    if values.dtype.kind == "O" or not _whole(values):
        return False
    ordered = np.sort(values.astype(np.float64))
    return bool((np.diff(ordered) == 1).all())
