"""From the flat order of execution to labelled dimensions, in memory or lazily from a store."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray
from xarray.backends import BackendArray
from xarray.core import indexing


class Layout:
    """Where a labelled run lies in the flat order.

    Args:
        record: as in ``store.Store``: variants, axes, seeds, cell_order, chunk.

    Attributes:
        dims: variants, axes, seed.
        shape: their lengths.
        chunk: runs of a task.
        section: runs between the beginnings of two variants.
    """

    def __init__(self, record: Mapping[str, Any]) -> None:
        self.record = record
        self.variants: dict[str, list[Any]] = record["variants"]
        self.axes: list[dict[str, Any]] = record["axes"]
        self.seeds = np.asarray(record["seeds"], np.int64)
        lead = [len(labels) for labels in self.variants.values()]
        cells = [len(next(iter(axis["columns"].values()))) for axis in self.axes]
        self.dims = (*self.variants, *(axis["name"] for axis in self.axes), "seed")
        self.shape = (*lead, *cells, len(self.seeds))
        self.num_variants, self.num_cells = math.prod(lead), math.prod(cells)
        self.chunk: int = record["chunk"]
        self.num_runs = self.num_cells * len(self.seeds)  # of one variant
        self.tasks_per_variant = -(-self.num_runs // self.chunk)
        self.section = self.tasks_per_variant * self.chunk
        order = np.asarray(record["cell_order"], np.int64) if record["cell_order"] else np.arange(self.num_cells)
        self._place = np.empty(self.num_cells, np.int64)
        self._place[order] = np.arange(self.num_cells)

    @property
    def num_tasks(self) -> int:
        """Tasks of all variants."""
        return self.num_variants * self.tasks_per_variant

    def variant_of(self, task: int) -> int:
        """The number of the variant that a task belongs to."""
        return task // self.tasks_per_variant

    def runs_of(self, task: int) -> range:
        """The runs of a task, by their numbers within its variant, in order of execution; the last task has fewer."""
        start = task % self.tasks_per_variant * self.chunk
        return range(start, min(start + self.chunk, self.num_runs))

    def shape_of(self, name: str) -> tuple[int, ...]:
        """The shape of one run's output."""
        return tuple(self.record["outputs"][name]["shape"])

    def flat(self, chosen: Sequence[np.ndarray]) -> np.ndarray:
        """Positions in the flat order of an outer product of indices, one array for each dimension.

        Args:
            chosen: whole numbers, `[n_d]` for every dimension d of ``dims``.

        Returns:
            `[n_1, n_2, ...]`.
        """
        lead = len(self.variants)
        grid = np.ix_(*chosen)
        variant = np.ravel_multi_index(grid[:lead], self.shape[:lead]) if lead else np.zeros((), np.int64)
        inner = self.shape[lead:-1]
        cell = np.ravel_multi_index(grid[lead:-1], inner) if inner else np.zeros((), np.int64)
        place = self._place[cell] * len(self.seeds) + grid[-1]
        return variant * self.section + place

    def coordinates(self) -> dict[str, Any]:
        """Coordinates of every dimension; those of zipped and sampled axes stand along it."""
        found: dict[str, Any] = {name: _labels(labels) for name, labels in self.variants.items()}
        for axis in self.axes:
            for path, column in axis["columns"].items():
                found[path] = (axis["name"], np.asarray(column))
            if axis["name"] not in axis["columns"]:
                found[axis["name"]] = np.arange(len(next(iter(axis["columns"].values()))))
        return {**found, "seed": self.seeds}


def dataset(layout: Layout, arrays: Mapping[str, Any], markers: np.ndarray | None, *, lazy: bool) -> xarray.Dataset:
    """The labelled Dataset of a sweep.

    Args:
        layout: of its runs.
        arrays: `{name: [run, ...]}`, NumPy or Zarr.
        markers: of every task, None where all have finished.
        lazy: read from the arrays when asked for, not now.

    Returns:
        Every output over ``layout.dims`` and its own dimensions; ``finished`` where some runs are missing.
    """
    record = layout.record
    variables = {}
    for name, output in record["outputs"].items():
        shape = (*layout.shape, *layout.shape_of(name))
        view = Labelled(layout, arrays[name], shape)
        data = indexing.LazilyIndexedArray(view) if lazy else view[(slice(None),) * len(shape)]
        variables[name] = xarray.Variable((*layout.dims, *output["dims"]), data)
    if markers is not None and (markers == 0).any():
        everything = [np.arange(n) for n in layout.shape]
        finished = (markers != 0)[layout.flat(everything) // layout.chunk]
        variables["finished"] = xarray.Variable(layout.dims, finished)
    for dim, counts in record.get("counts", {}).items():
        lead = tuple(layout.variants)
        shape = tuple(len(labels) for labels in layout.variants.values())
        variables[f"{dim}_count"] = xarray.Variable(lead, np.reshape(counts, shape))
    return xarray.Dataset(variables, layout.coordinates())


class Labelled(BackendArray):
    """A flat array seen through the labelled dimensions.

    Args:
        layout: of the runs.
        array: `[run, ...]`.
        shape: of the labelled array.
    """

    def __init__(self, layout: Layout, array: Any, shape: tuple[int, ...]) -> None:
        self.layout, self.array = layout, array
        self.shape, self.dtype = shape, np.dtype(array.dtype)

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, tuple):
            return self._outer(key)
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER, self._outer)

    def _outer(self, key: tuple[Any, ...]) -> np.ndarray:
        lead = len(self.layout.dims)
        chosen = [np.atleast_1d(np.arange(n)[k]) for n, k in zip(self.shape, key, strict=True)]
        rows = self.layout.flat(chosen[:lead])
        if isinstance(self.array, np.ndarray):
            values = self.array[rows]
        else:  # Zarr reads each chunk once, and only those that are needed
            needed, back = np.unique(rows, return_inverse=True)
            values = np.asarray(self.array.get_orthogonal_selection((needed,)))[back.reshape(rows.shape)]
        if chosen[lead:]:
            values = values[(slice(None),) * lead + np.ix_(*chosen[lead:])]
        return values[tuple(0 if isinstance(k, (int, np.integer)) else slice(None) for k in key)]


def _labels(labels: Sequence[Any]) -> np.ndarray:
    """Text as objects: Zarr 3 has no stable fixed-length text."""
    return np.array(labels, object) if any(isinstance(label, str) for label in labels) else np.asarray(labels)
