"""The record of a sweep: its axes, outputs and chunks, and what distinguishes it from other sweeps."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tokdyn import checks, environment
from tokdyn.sweeps import machines
from tokdyn.sweeps.program import Program, Spec, fingerprint, name_of

# Limits on a task, in bytes of outputs and in runs: losing one should cost seconds.
_TASK_BYTES = 32 * 2**20
_TASK_RUNS = 65_536


def outputs_of(
    programs: list[Program], spec: Spec, dims: Mapping[str, Sequence[str]], pad: tuple[str, ...]
) -> tuple[dict[str, dict[str, Any]], dict[str, list[int]]]:
    """Shape, dtype and dimensions of every output over all variants, and the true lengths of padded dimensions."""
    first = programs[0].outputs
    taken = {*spec.space.variants, *(axis.name for axis in spec.space.axes), "seed", "run", "cell", "finished"}
    taken |= set(spec.space.columns())
    for name in dims:
        if name not in first:
            raise checks.bad("dims", f"names among the outputs {', '.join(first)}", repr(name))
    outputs: dict[str, dict[str, Any]] = {}
    counts: dict[str, list[int]] = {}
    lengths: dict[str, int] = {}
    for name, one in first.items():
        if name in taken:
            expected = f"outputs other than {name!r}, which is a dimension or path, or made by every sweep"
            raise checks.bad("evaluate", expected, repr(name))
        own = tuple(dims.get(name, tuple(f"{name}_{axis}" for axis in range(len(one.shape)))))
        if len(own) != len(one.shape) or taken & set(own):
            raise checks.bad("dims", f"{len(one.shape)} new dimensions for {name!r} of shape {one.shape}", own)
        shapes = []
        for program, variant in zip(programs, spec.variants, strict=True):
            if set(program.outputs) != set(first) or program.outputs[name].dtype != one.dtype:
                raise checks.bad("evaluate", "the same names and dtypes from every variant", f"others for {variant}")
            shapes.append(program.outputs[name].shape)
            if len(shapes[-1]) != len(one.shape):
                raise checks.bad("evaluate", f"{name!r} of one rank in every variant", f"{shapes[-1]} for {variant}")
        for axis, dim in enumerate(own):
            seen = [shape[axis] for shape in shapes]
            if dim in pad:
                if counts.setdefault(dim, seen) != seen:
                    raise checks.bad("pad", f"one length of {dim!r} in each variant", f"another in {name!r}")
            elif len(set(seen)) > 1:
                expected = f"one length of {dim!r} in all variants (or its name in pad)"
                raise checks.bad("evaluate", expected, f"{seen} for {name!r}")
            if lengths.setdefault(dim, max(seen)) != max(seen):
                raise checks.bad("dims", f"one length for {dim!r}", f"{lengths[dim]} and {max(seen)}")
        shape = [max(lengths_of) for lengths_of in zip(*shapes, strict=True)]
        outputs[name] = {"shape": shape, "dtype": str(one.dtype), "dims": list(own)}
    for dim in pad:
        if dim not in counts:
            raise checks.bad("pad", "dimensions of the outputs", repr(dim))
    return outputs, counts


def record_of(
    spec: Spec,
    outputs: dict[str, dict[str, Any]],
    counts: dict[str, list[int]],
    programs: list[Program],
    chunk: int | None,
) -> dict[str, Any]:
    """The manifest of a sweep, which can be written as JSON.

    Args:
        spec: specification of the sweep.
        outputs: from ``outputs_of``.
        counts: from ``outputs_of``.
        programs: one for each variant.
        chunk: runs per task, or None to choose automatically.

    Returns:
        The record that ``Layout`` and ``Store`` read.
    """
    size = max(program.size for program in programs)
    if chunk is None:
        bytes_per_run = 8 + max(program.bytes_per_run() for program in programs)
        # At least eight tasks, if there are that many calls, so that there are points to resume from and progress to
        # see.
        chunk = min(_TASK_BYTES // bytes_per_run, _TASK_RUNS, -(-spec.num_runs // 8))
    else:
        checks.whole_number("chunk", chunk, at_least=1)
    chunk = max(1, -(-chunk // size)) * size
    natural = bool((spec.cell_order == np.arange(len(spec.cell_order))).all())
    return {
        "evaluate": name_of(spec.evaluate),
        "variants": {name: list(labels) for name, labels in spec.space.variants.items()},
        "axes": [
            {"name": axis.name, "columns": {path: column.tolist() for path, column in axis.columns.items()}}
            for axis in spec.space.axes
        ],
        "seeds": spec.seeds.tolist(),
        "key": spec.key_data.tolist(),
        "paired": spec.paired,
        "own_variants": [],
        "own_cells": [] if natural else spec.cell_order.tolist(),
        "own_seeds": [],
        "outputs": outputs,
        "counts": counts,
        "unit": spec.unit,
        "chunk": chunk,
        "x64": spec.x64,
        "fingerprint": fingerprint(spec, programs),
        "environment": environment.describe(),
        "machine": machines.machine(),
    }


def fingerprint_of(record: Mapping[str, Any]) -> str:
    """A hash of everything that determines the numbers of the whole sweep."""
    names = ("variants", "axes", "seeds", "fingerprint")
    plain = json.dumps([record[name] for name in names], sort_keys=True)
    return hashlib.sha256(plain.encode()).hexdigest()
