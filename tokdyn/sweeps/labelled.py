"""The parts of a sweep as one labelled Dataset, in memory or read lazily from a store and verified."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray
from xarray.backends import BackendArray
from xarray.core import indexing

from tokdyn.sweeps.layout import Layout, Whole

# Returns the values of a task, `[chunk, ...]`; None if it has not finished.
ReadTask = Callable[[int], "np.ndarray | None"]


class Source:
    """Where one output of one part comes from.

    Args:
        layout: layout of the part.
        whole: dimensions of the Dataset.
        read: returns the values of a task.
        is_finished: which tasks have finished `[num_tasks]`.
    """

    def __init__(self, layout: Layout, whole: Whole, read: ReadTask, is_finished: np.ndarray) -> None:
        self.layout, self.places = layout, layout.places(whole)
        self.is_finished = is_finished
        self._read = read
        self._last: tuple[int, np.ndarray | None] = (-1, None)

    def read(self, task: int) -> np.ndarray | None:
        """The values of a task, `[chunk, ...]`, cached until another task is read, since consecutive selections often
        read the same one.
        """
        known, values = self._last
        if known != task:
            values = self._read(task)
            self._last = task, values
        return values


def dataset(
    whole: Whole,
    outputs: Mapping[str, Mapping[str, Any]],
    sources: Mapping[str, Sequence[Source]],
    *,
    lazy: bool,
    counts: Mapping[str, Sequence[int]],
) -> xarray.Dataset:
    """The labelled Dataset of a sweep.

    Args:
        whole: dimensions of the sweep.
        outputs: `{name: {"shape", "dtype", "dims"}}` of one run.
        sources: the parts of every output.
        lazy: whether to read values only when they are needed.
        counts: true lengths of padded dimensions in each variant.

    Returns:
        Every output over ``whole.dims`` and its own dimensions, and ``finished`` if some runs are missing.
    """
    variables = {}
    for name, output in outputs.items():
        view = Labelled(whole, output, sources[name])
        data = indexing.LazilyIndexedArray(view) if lazy else view[(slice(None),) * len(view.shape)]
        variables[name] = xarray.Variable((*whole.dims, *output["dims"]), data)
    finished = functools.reduce(np.logical_and, [_finished(whole, sources[name]) for name in outputs])
    if not finished.all():
        variables["finished"] = xarray.Variable(whole.dims, finished)
    for dim, lengths in counts.items():
        variables[f"{dim}_count"] = xarray.Variable(tuple(whole.variants), np.reshape(lengths, whole.variant_shape))
    return xarray.Dataset(variables, whole.coordinates())


def _finished(whole: Whole, sources: Sequence[Source]) -> np.ndarray:
    """Which runs have finished, over the dimensions of the sweep."""
    found = np.zeros(whole.shape, bool)
    for source in sources:
        flat = source.places.flat([np.arange(n) for n in whole.shape])
        if source.is_finished.size:
            found |= (flat >= 0) & source.is_finished[np.maximum(flat, 0) // source.layout.chunk]
    return found


class Labelled(BackendArray):
    """An output of all parts as an array over the labelled dimensions.

    Unfinished runs, and the padding of a variant's output, are NaN, 0 or False.

    Args:
        whole: the dimensions.
        output: shape and dtype of one run.
        sources: the parts.
    """

    def __init__(self, whole: Whole, output: Mapping[str, Any], sources: Sequence[Source]) -> None:
        self.whole, self.sources = whole, sources
        self.own_shape = tuple(output["shape"])
        self.shape, self.dtype = (*whole.shape, *self.own_shape), np.dtype(output["dtype"])

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, tuple):
            return self._outer(key)
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER, self._outer)

    def _outer(self, key: tuple[Any, ...]) -> np.ndarray:
        lead = len(self.whole.dims)
        chosen = [np.atleast_1d(np.arange(n)[k]) for n, k in zip(self.shape, key, strict=True)]
        fill = np.nan if self.dtype.kind in "fc" else 0
        rows = tuple(len(places) for places in chosen[:lead])
        values = np.full((*rows, *self.own_shape), fill, self.dtype)
        of_runs = values.reshape(-1, *self.own_shape)
        for source in self.sources:
            flat = source.places.flat(chosen[:lead]).ravel()
            held = np.flatnonzero(flat >= 0)
            order = held[np.argsort(flat[held], kind="stable")]
            tasks, starts = np.unique(flat[order] // source.layout.chunk, return_index=True)
            for task, runs in zip(tasks.tolist(), np.split(order, starts[1:]), strict=True):
                found = source.read(task) if source.is_finished[task] else None
                if found is not None:  # read each task once, and only those that are needed
                    inside: Any = tuple(slice(n) for n in found.shape[1:])
                    of_runs[(runs, *inside)] = found[flat[runs] - task * source.layout.chunk]
        if chosen[lead:]:
            values = values[(slice(None),) * lead + np.ix_(*chosen[lead:])]
        return values[tuple(0 if isinstance(k, (int, np.integer)) else slice(None) for k in key)]
