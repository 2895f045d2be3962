"""How runs are ordered: the flat order in which a part of a sweep is computed, and the labelled dimensions of the
whole.

A sweep begins as one part. Each extension adds others, with new cells, seeds, variants or outputs. A part covers all
combinations of some variants, some cells and some seeds, and records the dimensions of the whole at its creation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


class Whole:
    """The labelled dimensions of a sweep.

    Args:
        record: record of a part, with variants, axes and seeds.

    Attributes:
        dims: names of the dimensions: variants, axes, seed.
        shape: lengths of the dimensions.
        variants: `{keyword: labels}`.
        axes: name of each axis, and the values of its paths.
        seeds: the seeds `[num_seeds]`.
    """

    def __init__(self, record: Mapping[str, Any]) -> None:
        self.variants: dict[str, list[Any]] = record["variants"]
        self.axes: list[dict[str, Any]] = record["axes"]
        self.seeds = np.asarray(record["seeds"], np.int64)
        self.variant_shape = tuple(len(labels) for labels in self.variants.values())
        self.cell_shape = tuple(len(next(iter(axis["columns"].values()))) for axis in self.axes)
        self.dims = (*self.variants, *(axis["name"] for axis in self.axes), "seed")
        self.shape = (*self.variant_shape, *self.cell_shape, len(self.seeds))
        self.num_variants, self.num_cells = math.prod(self.variant_shape), math.prod(self.cell_shape)

    def coordinates(self) -> dict[str, Any]:
        """Coordinates of every dimension; the paths of a zipped or sampled axis are coordinates along it."""
        found: dict[str, Any] = {name: _labels(labels) for name, labels in self.variants.items()}
        for axis in self.axes:
            for path, column in axis["columns"].items():
                found[path] = (axis["name"], np.asarray(column))
            if axis["name"] not in axis["columns"]:
                found[axis["name"]] = np.arange(len(next(iter(axis["columns"].values()))))
        return {**found, "seed": self.seeds}

    def places_of_variants(self, other: Whole) -> np.ndarray:
        """For each variant of another whole, its number in this one `[num_variants of other]`; -1 if it is missing."""
        steps = [
            _places(known, asked) for known, asked in zip(self.variants.values(), other.variants.values(), strict=True)
        ]
        return _crossed(steps, self.variant_shape)

    def places_of_cells(self, other: Whole) -> np.ndarray:
        """For each cell of another whole, its number in this one, matched by values `[num_cells of other]`."""
        steps = [_places(_rows(known), _rows(asked)) for known, asked in zip(self.axes, other.axes, strict=True)]
        return _crossed(steps, self.cell_shape)

    def places_of_seeds(self, other: Whole) -> np.ndarray:
        """For each seed of another whole, its number in this one `[num_seeds of other]`; -1 if it is missing."""
        return np.asarray(_places(self.seeds.tolist(), other.seeds.tolist()), np.int64)


def _labels(labels: Sequence[Any]) -> np.ndarray:
    """Labels as an array; text is stored as objects, because Zarr 3 has no stable fixed-length text."""
    return np.array(labels, object) if any(isinstance(label, str) for label in labels) else np.asarray(labels)


def _rows(axis: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """The values along an axis, one tuple for each position."""
    return list(zip(*axis["columns"].values(), strict=True))


def _places(known: Sequence[Any], asked: Sequence[Any]) -> np.ndarray:
    """Positions of values among known ones; repeated values get their first position, then their second, ..."""

    def numbered(values: Sequence[Any]) -> list[Any]:
        seen: dict[Any, int] = {}
        found = []
        for value in values:
            seen[value] = seen.get(value, -1) + 1
            found.append((value, seen[value]))
        return found

    where = {value: place for place, value in enumerate(numbered(known))}
    return np.array([where.get(value, -1) for value in numbered(asked)], np.int64)


def _crossed(steps: Sequence[np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    """Flat positions in an array of a shape, for all combinations of positions along its axes; -1 if any of them is."""
    total = np.zeros(1, np.int64)
    inside = np.ones(1, bool)
    for places, length in zip(steps, shape, strict=True):
        total = (total[:, None] * length + places).ravel()
        inside = (inside[:, None] & (places >= 0)).ravel()
    return np.where(inside, total, -1)


class Layout:
    """The flat order of a part (variants, then cells, then seeds, which vary fastest), and its tasks.

    Args:
        record: record of the part. Besides the dimensions of the whole it has ``own_variants``, ``own_cells`` and
            ``own_seeds``, each a list that is empty if it includes all of them; ``chunk``; and ``outputs``.

    Attributes:
        whole: the whole sweep when the part was made.
        chunk: number of runs in a task.
        variants: numbers of the part's variants, in order.
        cells: numbers of the part's cells, in order of execution.
        seeds: the part's seeds `[n]`.
    """

    def __init__(self, record: Mapping[str, Any]) -> None:
        self.record, self.whole = record, Whole(record)
        self.chunk: int = record["chunk"]
        self.variants = _own(record["own_variants"], self.whole.num_variants)
        self.cells = _own(record["own_cells"], self.whole.num_cells)
        self.seeds = np.asarray(record["own_seeds"] or record["seeds"], np.int64)
        self.runs_per_variant = len(self.cells) * len(self.seeds)
        self.tasks_per_variant = -(-self.runs_per_variant // self.chunk)
        self.num_runs = self.runs_per_variant * len(self.variants)
        self.num_tasks = self.tasks_per_variant * len(self.variants)

    def variant_of(self, task: int) -> int:
        """The number of the variant that a task belongs to, as numbered in the part's whole."""
        return int(self.variants[task // self.tasks_per_variant])

    def runs_of(self, task: int) -> range:
        """The runs of a task, as numbers within its variant, in order of execution; the last task may have fewer."""
        start = task % self.tasks_per_variant * self.chunk
        return range(start, min(start + self.chunk, self.runs_per_variant))

    def shape_of(self, name: str) -> tuple[int, ...]:
        """The shape of one run's output."""
        return tuple(self.record["outputs"][name]["shape"])

    def cells_and_seeds(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """Cells and seeds of a range of runs of a variant; past the end the last run is repeated."""
        run = np.minimum(np.arange(start, stop), self.runs_per_variant - 1)
        cell, seed = np.divmod(run, len(self.seeds))
        return self.cells[cell], self.seeds[seed]

    def places(self, whole: Whole) -> Places:
        """The positions of the runs of a whole in this part.

        Args:
            whole: the whole of this part, or a larger one.
        """

        def of(own_to_whole: np.ndarray, count: int) -> np.ndarray:
            found = np.full(count, -1, np.int64)
            found[own_to_whole[own_to_whole >= 0]] = np.flatnonzero(own_to_whole >= 0)
            return found

        variants = whole.places_of_variants(self.whole)[self.variants]
        cells = whole.places_of_cells(self.whole)[self.cells]
        seeds = np.asarray(_places(whole.seeds.tolist(), self.seeds.tolist()), np.int64)
        return Places(
            of(variants, whole.num_variants), of(cells, whole.num_cells), of(seeds, len(whole.seeds)), self, whole
        )


class Places:
    """The positions of the runs of a whole in one part.

    Args:
        variants: position of every variant of the whole among those of the part `[num_variants]`; -1 if it is missing.
        cells: likewise for cells, in order of execution `[num_cells]`.
        seeds: likewise for seeds `[num_seeds]`.
        layout: layout of the part.
        whole: the whole.
    """

    def __init__(
        self, variants: np.ndarray, cells: np.ndarray, seeds: np.ndarray, layout: Layout, whole: Whole
    ) -> None:
        self.variants, self.cells, self.seeds, self.layout, self.whole = variants, cells, seeds, layout, whole

    def flat(self, chosen: Sequence[np.ndarray]) -> np.ndarray:
        """Positions of an outer product of indices in the part's flat order, which is padded to full tasks.

        Args:
            chosen: indices, `[n_d]` for every dimension d of the whole.

        Returns:
            Positions `[n_1, n_2, ...]`; -1 if the part does not hold the run.
        """
        lead, grid = len(self.whole.variants), np.ix_(*chosen)
        zero = np.zeros((), np.int64)
        variant = np.ravel_multi_index(grid[:lead], self.whole.variant_shape) if lead else zero
        inner = grid[lead:-1]
        cell = np.ravel_multi_index(inner, self.whole.cell_shape) if inner else zero
        variant, cell, seed = self.variants[variant], self.cells[cell], self.seeds[grid[-1]]
        section = self.layout.tasks_per_variant * self.layout.chunk
        position = variant * section + cell * len(self.layout.seeds) + seed
        return np.where((variant >= 0) & (cell >= 0) & (seed >= 0), position, -1)


def _own(listed: Sequence[int], count: int) -> np.ndarray:
    return np.asarray(listed, np.int64) if listed else np.arange(count)
