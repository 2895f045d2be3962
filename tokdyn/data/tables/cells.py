"""The content of a table's cell: a number in one of several notations, a missing value, or text."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

# What spreadsheets, R, pandas, databases and people write for a missing value.
MISSING = frozenset(
    {
        "", "na", "n/a", "n.a.", "nan", "-nan", "null", "none", "nil", "<na>", "missing", "?", ".", "-", "--",
        "#n/a", "#na", "#nv", "#value!", "#wert!", "#div/0!", "#ref!", "#bezug!", "#name?", "#num!", "#zahl!",
    }
)  # fmt: skip
# Pairs of words for 0 and 1, in this order.
PAIRS = (("false", "true"), ("no", "yes"), ("falsch", "wahr"), ("nein", "ja"))
INFINITE = re.compile(r"[+-]?(inf|infinity)", re.IGNORECASE)
COMPLEX = re.compile(r"\(?[+-]?[\d.]+(e[+-]?\d+)?[+-][\d.]*(e[+-]?\d+)?[ij]\)?|[+-]?[\d.]+[ij]", re.IGNORECASE)
_DATE = re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([ T]\d{1,2}:\d{2}.*)?|\d{1,2}:\d{2}(:\d{2}.*)?")
# Never a name: a formula, or "3:0.5", the number of a column with its value.
CODED = re.compile(r"=.*|\d+:[-+]?\d*\.?\d+(e[-+]?\d+)?", re.IGNORECASE)
_UNIT = re.compile(r"[+-]?\d+(?:[.,]\d+)*\s*([^\d\s.,:/-]{1,4})|([$€£¥])\s*[+-]?\d+(?:[.,]\d+)*")
# A typographic minus, non-breaking spaces, and the Swiss thousands separator.
_TYPED = str.maketrans({"\u2212": "-", "\u00a0": " ", "\u202f": " ", "\u2009": " ", "\u2019": "'"})


def _notation(point: str, group: str) -> re.Pattern[str]:
    p, g = re.escape(point), re.escape(group)
    return re.compile(
        rf"([+-]?(?:\d+(?:{p}\d*)?|{p}\d+|\d{{1,3}}(?P<group>[{g} '_])\d{{3}}(?:(?P=group)\d{{3}})*(?:{p}\d*)?))"
        r"(?:[eEdD](?P<power>[+-]?\d+))?(?P<percent>\s*%)?"
    )


_NOTATIONS = {".": _notation(".", ","), ",": _notation(",", ".")}
# If one of these matches, the meaning of the comma is certain.
_DECIMAL_COMMA = re.compile(r"[+-]?(0|\d{4,})?,\d+|[+-]?\d+,(\d{1,2}|\d{4,})|[+-]?\d{1,3}([. ']\d{3})+,\d+")
_GROUPING_COMMA = re.compile(r"[+-]?\d{1,3}(,\d{3}){2,}(\.\d*)?|[+-]?\d{1,3},\d{3}\.\d*")
_POWER = re.compile(r"[eEdD][+-]?\d+$")
_EITHER = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}")


class Cell(NamedTuple):
    """A number and how it is written.

    Attributes:
        value: the number.
        is_grouped: whether it has thousands separators.
        is_percent: whether a percent sign follows, in which case the value has been divided by 100.
    """

    value: float
    is_grouped: bool
    is_percent: bool


def number(text: str, decimal: str) -> Cell | None:
    """The number that a cell holds, or None if it holds none.

    Args:
        text: text of the cell.
        decimal: decimal mark, "." or ",".
    """
    text = text.translate(_TYPED).strip()
    if INFINITE.fullmatch(text):
        return Cell(float(text), False, False)
    found = _NOTATIONS[decimal].fullmatch(text)
    if found is None:
        return None
    digits = found.group(1)
    if found["group"]:
        digits = digits.replace(found["group"], "")
    value = float(f"{digits.replace(decimal, '.')}e{found['power'] or 0}")
    return Cell(value / 100 if found["percent"] else value, bool(found["group"]), bool(found["percent"]))


def is_number(text: str) -> bool:
    """Whether the cell holds a number under either decimal mark."""
    return any(number(text, decimal) for decimal in _NOTATIONS)


def is_missing(text: str) -> bool:
    """Whether the cell stands for a missing value."""
    return text.strip().lower() in MISSING


def is_truth(text: str) -> bool:
    """Whether the cell is one of the words for yes and no."""
    return any(text.strip().lower() in pair for pair in PAIRS)


def is_value(text: str) -> bool:
    """Whether the cell holds a value rather than a name: a number (even complex or infinite), a date, a yes or no."""
    text = text.translate(_TYPED).strip()
    return (
        is_missing(text) or is_number(text) or is_truth(text) or bool(COMPLEX.fullmatch(text) or _DATE.fullmatch(text))
    )


def unit(text: str) -> str | None:
    """The unit beside a number, such as "kg" in "3.5 kg"; None if the cell is not a number with a unit."""
    found = _UNIT.fullmatch(text.translate(_TYPED).strip())
    return (found[1] or found[2]) if found else None


def decimal_mark(texts: Iterable[str]) -> tuple[str | None, str | None]:
    """What the commas inside numbers mean.

    Args:
        texts: cells that are not plain numbers.

    Returns:
        ``(",", example)`` for a decimal comma, ``(".", example)`` for a thousands separator, with the point as decimal
        mark, or ``(None, example)`` if it cannot be decided. The example is one that could be read either way
        ("1,234").
    """
    mark = example = None
    for text in texts:
        text = _POWER.sub("", text.translate(_TYPED).strip().rstrip("% "))
        if _DECIMAL_COMMA.fullmatch(text):
            return ",", None
        if _GROUPING_COMMA.fullmatch(text):
            mark = "."
        elif _EITHER.fullmatch(text):
            example = example or text
    return mark, example


class Numbers(NamedTuple):
    """A column of text as numbers.

    Attributes:
        values: the numbers `[N]`, float64; NaN where missing.
        is_text: which cells hold text, that is, neither a number nor a missing value `[N]`.
        says: how cells were read, if that is not obvious: "'12 %' is read as 0.12".
    """

    values: np.ndarray
    is_text: np.ndarray
    says: tuple[str, ...] = ()


def numbers(texts: np.ndarray, decimal: str) -> Numbers:
    """The numbers that a column of cells holds.

    Args:
        texts: the cells `[N]`, as objects.
        decimal: decimal mark, "." or ",".
    """
    import pandas as pd

    codes, kinds = pd.factorize(texts)
    read = [number(text, decimal) for text in kinds]
    missing = np.array([is_missing(text) for text in kinds])
    words = {text.strip().lower() for text, empty in zip(kinds, missing, strict=True) if not empty}
    for no, yes in PAIRS:
        if words and words <= {no, yes}:
            values = np.array(
                [np.nan if e else float(t.strip().lower() == yes) for t, e in zip(kinds, missing, strict=True)]
            )
            return Numbers(values[codes], np.zeros(len(texts), bool), (truth(min(words)),))
    is_text = np.array([cell is None for cell in read]) & ~missing
    percents = [text for text, cell in zip(kinds, read, strict=True) if cell and cell.is_percent]
    if percents and len(percents) < sum(cell is not None for cell in read):
        # Some numbers have a percent sign and some do not: the meaning of the latter is unknown.
        is_text |= np.array([cell is not None and cell.is_percent for cell in read])
    values = np.array(
        [np.nan if cell is None or wrong else cell.value for cell, wrong in zip(read, is_text, strict=True)]
    )
    says = []
    if percents and not is_text.any():
        says.append(f"{percents[0]!r} is read as {number(percents[0], decimal).value:g}")  # type: ignore[union-attr]
    grouped = [(text, cell.value) for text, cell in zip(kinds, read, strict=True) if cell and cell.is_grouped]
    if grouped:
        says.append(f"{grouped[0][0]!r} is read as {grouped[0][1]:.15g}")
    return Numbers(values[codes], is_text[codes], tuple(says))


def truth(word: str) -> str:
    """The note on a column that holds this word for yes or no."""
    no, yes = next(pair for pair in PAIRS if word in pair)
    return f"{yes} is read as 1, {no} as 0"
