"""The contents of a file, before anything is selected from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np


class Raw(NamedTuple):
    """The columns of a file as they are stored.

    Attributes:
        values: the values of each column `[N]`: numbers, or objects if a cell holds anything else.
        names: the name of each column; None if the file gives none.
        texts: maps the number of a column to its cells as written `[N]`.
        where: maps (row, column), both from 0, to a description of where a person finds the cell.
        cell: maps (row, column) to the cell as written; None if the row ends before it.
        decimal: the decimal mark in numbers that are stored as text.
        is_text: whether such files are written by hand; if so, a column whose cells are all empty is left out.
        matrix: all columns as one array of numbers `[N, D]`, if the file holds such an array.
        label_texts: true clusters that the file stores separately from the columns `[N]`.
        notes: what was assumed, as sentences.
    """

    values: Sequence[np.ndarray]
    names: list[str | None]
    texts: Callable[[int], np.ndarray]
    where: Callable[[int, int], str]
    cell: Callable[[int, int], str | None]
    decimal: str = "."
    is_text: bool = False
    matrix: np.ndarray | None = None
    label_texts: np.ndarray | None = None
    notes: tuple[str, ...] = ()

    def name(self, column: int) -> str:
        """The name of the column or, if it has none, "x" and its position, counted from 1."""
        return self.names[column] or f"x{column + 1}"
