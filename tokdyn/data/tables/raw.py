"""What a file holds, before anything is chosen from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np


class Raw(NamedTuple):
    """Columns as a file holds them.

    Attributes:
        values: of each column `[N]`: numbers, or objects where a cell holds anything else.
        names: of each column; None where the file gives none.
        texts: a column's number to its cells as they are written `[N]`.
        where: (row, column), both from 0, to where a person finds that cell.
        cell: (row, column) to the cell as it is written; None where the row ends before it.
        decimal: the mark in numbers that are text.
        is_text: whether people write such files by hand: a column is then also empty where all cells are.
        matrix: all columns as one array of numbers `[N, D]`, where they are one.
        label_texts: true clusters that the file keeps apart from the columns `[N]`.
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
        """The column's name; of one without, "x" and its position, counted from 1."""
        return self.names[column] or f"x{column + 1}"
