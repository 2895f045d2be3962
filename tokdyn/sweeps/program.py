"""What a sweep computes: one compiled program for a fixed number of runs, called repeatedly.

Every call has the same shape (a *unit* of runs), whatever the chunk size, the number of workers or the size of the
sweep; this is why none of them can change a single bit of the result.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import inspect
import itertools
import json
import math
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tokdyn import checks, environment, keys
from tokdyn.solve import vmap
from tokdyn.sweeps.space import Space
from tokdyn.tree import check_columns, values, with_values
from tokdyn.typing import PyTree

Evaluate = Callable[..., Mapping[str, Any]]

# Runs per call on CPU: enough to make the overhead of a call, 0.1 ms, negligible, and few enough to share among cores.
CPU_UNIT = 256
GPU_UNIT = 16_384
# Compiled programs by their text, so that repeating a sweep, even with other numbers, compiles nothing.
_COMPILED: dict[tuple[Any, ...], Any] = {}
# Names of outputs become names of folders and must be valid on every system and in every object store.
_NAME = re.compile(r"[\w .,;+()@=%#~&-]{1,100}")
_DTYPES = [
    np.dtype(name)
    for name in (
        "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
        "float16", "float32", "float64", "complex64", "complex128",
    )
]  # fmt: skip
_MOST_COMPILED = 32


@dataclasses.dataclass(frozen=True)
class Spec:
    """Everything that determines the numbers of a sweep; it can be pickled, so that a worker can rebuild the program.

    Attributes:
        evaluate: `(config, key, **variant) -> {name: array}`.
        base: any pytree; a config is the base with the values of a cell.
        space: what is varied.
        seeds: the seeds `[num_seeds]`.
        key_data: data of the sweep's key.
        key_kind: implementation of the sweep's key.
        paired: whether a seed has the same key in every cell.
        cell_order: cells in order of execution `[num_cells]`.
        unit: runs per call.
        x64: whether JAX computes in 64 bits.
    """

    evaluate: Evaluate
    base: Any
    space: Space
    seeds: np.ndarray
    key_data: np.ndarray
    key_kind: str
    paired: bool
    cell_order: np.ndarray
    unit: int
    x64: bool

    @property
    def num_runs(self) -> int:
        """The number of runs of one variant."""
        return self.space.num_cells * len(self.seeds)

    @property
    def variants(self) -> list[dict[str, Any]]:
        """Every combination of static settings, as `{keyword: label}`; a single empty dict if there are none."""
        names = list(self.space.variants)
        return [dict(zip(names, labels, strict=True)) for labels in itertools.product(*self.space.variants.values())]

    @property
    def labelled_variants(self) -> dict[str, dict[str, Any]]:
        """The variants by their labels as text, which identify them in records."""
        return {json.dumps(list(variant.values())): variant for variant in self.variants}


def checked_spec(
    evaluate: Evaluate,
    base: PyTree,
    space: Space,
    *,
    seeds: int | Sequence[int],
    key: jax.Array,
    paired: bool,
    cost: Callable[[dict[str, np.ndarray]], Any] | None,
    unit: int | None,
) -> Spec:
    """The specification, after checking that it can be run.

    Raises:
        ValueError: it cannot; the message names the argument or the path.
    """
    if not callable(evaluate):
        raise checks.bad("evaluate", "a function (config, key) -> dict of arrays", f"a {type(evaluate).__name__}")
    if not isinstance(space, Space):
        raise checks.bad("space", "a space, such as td.grid({...})", f"a {type(space).__name__}")
    if isinstance(seeds, (int, np.integer)):
        numbers = np.arange(checks.whole_number("seeds", seeds, at_least=1))
    else:
        numbers = np.asarray(seeds)
        if numbers.ndim != 1 or numbers.size == 0 or numbers.dtype.kind not in "iu":
            raise checks.bad("seeds", "a count, or a sequence of whole numbers", repr(seeds))
        if len(np.unique(numbers)) != len(numbers) or numbers.min() < 0 or numbers.max() >= 2**32:
            raise checks.bad("seeds", "different whole numbers from 0 to 2^32 - 1", repr(seeds))
    checks.random_key("key", key)
    _check_keywords(evaluate, list(space.variants))
    columns = space.columns()
    leaves = values(base)
    for path, leaf in leaves.items():
        dtype = leaf.dtype if hasattr(leaf, "dtype") else np.asarray(leaf).dtype
        if getattr(dtype, "kind", "O") not in "fiubcV":  # V: bfloat16 and similar types
            raise checks.bad(f"base, at {path}" if path else "base", "numbers and arrays", checks.shown(leaf))
    check_columns(base, columns)
    for path in columns:
        if path in leaves and np.ndim(leaves[path]) != 0:
            raise checks.bad(path, "the path of one number of the base", checks.describe_array(leaves[path]))
        if path not in leaves:
            inside = ", ".join(leaf for leaf in leaves if leaf.startswith(path + "."))
            raise checks.bad(path, f"the path of one number ({inside})", "a part that holds several")
    if cost is None:
        order = np.arange(space.num_cells)
    else:
        expected = np.asarray(cost(columns), float)
        if expected.shape != (space.num_cells,) or np.isnan(expected).any():
            raise checks.bad("cost", f"one number for each of {space.num_cells} cells", checks.describe_array(expected))
        order = np.argsort(-expected, kind="stable")  # the longest first, so that no worker is left with one at the end
    num_runs = space.num_cells * len(numbers)
    if unit is None:
        unit = GPU_UNIT if jax.default_backend() != "cpu" else CPU_UNIT
        # A small sweep uses small units, so that all cores get some; the unit depends on the size of the sweep only.
        unit = max(16, min(unit, num_runs // 16 // 16 * 16))
    is_new = jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
    return Spec(
        evaluate=evaluate,
        base=jax.tree.map(np.asarray, base),
        space=space,
        seeds=numbers.astype(np.uint32),
        key_data=np.asarray(jax.random.key_data(key) if is_new else key),
        key_kind=str(jax.random.key_impl(key)) if is_new else "",
        paired=paired,
        cell_order=order,
        unit=checks.whole_number("unit", unit, at_least=1),
        x64=bool(jax.config.read("jax_enable_x64")),
    )


def _check_keywords(evaluate: Evaluate, keywords: list[str]) -> None:
    """Refuse variants for which the evaluator has no argument, or uses the argument otherwise."""
    try:
        parameters = inspect.signature(evaluate).parameters
    except (TypeError, ValueError):  # some builtins have no signature
        return
    takes_all = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters.values())
    free = [name for name, one in list(parameters.items())[2:] if one.kind is not inspect.Parameter.POSITIONAL_ONLY]
    for keyword in keywords:
        if keyword in list(parameters)[:2]:
            raise checks.bad("variants", f"another name than {keyword!r}, which evaluate gets already", repr(keyword))
        if keyword not in free and not takes_all:
            known = ", ".join(free) or "none"
            raise checks.bad("variants", f"keyword arguments of evaluate ({known})", repr(keyword))


class Program:
    """One variant's compiled program.

    Args:
        spec: specification of the sweep.
        variant: `{keyword: label}`.
        devices: the devices to run on, one unit each; by default JAX's first device.

    Attributes:
        outputs: shape and dtype of each output of a run, by name.
        size: runs per call, the unit times the number of devices.
        text: the program of one run before compilation, the same on any number of devices.
        digest: a hash of the text.
        function: the bare jitted function `(base, key, columns, cells, seeds) -> {name: [size, ...]}`; its last three
            arguments come from ``Runs``.
        compile_seconds: how long compilation took.
    """

    def __init__(self, spec: Spec, variant: dict[str, Any], devices: Sequence[jax.Device] | None = None) -> None:
        self.spec = spec
        devices = list(devices or jax.local_devices()[:1])
        self.size = spec.unit * len(devices)
        keywords = {name: spec.space.variants[name][label] for name, label in variant.items()}
        with jax.enable_x64(spec.x64):
            self.arguments = _arguments(spec)
            start = time.perf_counter()
            one_run, self.function = _functions(spec.evaluate, keywords, spec.paired, devices)
            runs = Runs(spec, spec.space, spec.cell_order[:1], spec.seeds[:1])
            one = one_run.lower(*self.arguments, *jax.tree.map(lambda x: x[0], runs.at(0, 1)))
            self.outputs = {name: jax.ShapeDtypeStruct(x.shape, x.dtype) for name, x in one.out_info.items()}
            self.text = one.as_text()
            self.digest = hashlib.sha256(self.text.encode()).hexdigest()
            self._compiled = _compiled(self.function.lower(*self.arguments, *runs.at(0, self.size)), devices)
            self.compile_seconds = time.perf_counter() - start

    def __call__(self, runs: tuple[Any, ...]) -> dict[str, np.ndarray]:
        """The outputs `[size, ...]` of the runs that ``Runs.at`` returned."""
        with jax.enable_x64(self.spec.x64):  # this setting is local to a thread
            outputs = self._compiled(*self.arguments, *runs)
            return {name: np.asarray(values) for name, values in outputs.items()}

    def bytes_per_run(self) -> int:
        """Size of the outputs of one run."""
        return sum(math.prod(x.shape) * x.dtype.itemsize for x in self.outputs.values())

    def temporary_bytes(self) -> int | None:
        """Memory of a call besides arguments and outputs; None if the backend does not report it."""
        analysis = self._compiled.memory_analysis()
        return None if analysis is None else int(analysis.temp_size_in_bytes)


class Runs:
    """What distinguishes runs: the values of their cells, and their seeds.

    Args:
        spec: specification of the sweep.
        space: the space in which cells are numbered.
        cells: cells in order of execution.
        seeds: the seeds of every cell.
    """

    def __init__(self, spec: Spec, space: Space, cells: np.ndarray, seeds: np.ndarray) -> None:
        leaves = values(spec.base)
        self._columns = {path: _as_leaf(column, leaves[path]) for path, column in space.columns().items()}
        self._identities = None if spec.paired else space.columns()
        self._cells, self._seeds = cells, seeds

    def at(self, start: int, stop: int) -> tuple[dict[str, np.ndarray], np.ndarray | None, np.ndarray]:
        """Columns `{path: [n]}`, names of cells `[n, 2]` (None if seeds are paired) and seeds `[n]` of the runs from
        start to stop; past the end the last run is repeated.
        """
        run = np.minimum(np.arange(start, stop), len(self._cells) * len(self._seeds) - 1)
        place, seed = np.divmod(run, len(self._seeds))
        cell = self._cells[place]
        columns = {path: column[cell] for path, column in self._columns.items()}
        if self._identities is None:
            return columns, None, self._seeds[seed].astype(np.uint32)
        first = np.concatenate([[True], cell[1:] != cell[:-1]])
        names = np.array([self._name_of(number) for number in cell[first]], np.uint32)
        return columns, names[np.cumsum(first) - 1], self._seeds[seed].astype(np.uint32)

    def _name_of(self, cell: int) -> np.ndarray:
        """Two numbers derived from the cell's values, so that adding values to an axis does not change old cells."""
        assert self._identities is not None
        digest = hashlib.blake2b(digest_size=8)
        for path in sorted(self._identities):
            digest.update(path.encode() + b"\0" + np.float64(self._identities[path][cell]).tobytes())
        return np.frombuffer(digest.digest(), "<u4")


def _compiled(lowered: Any, devices: Sequence[Any]) -> Any:
    known = hashlib.sha256(lowered.as_text().encode()).digest(), tuple(devices)
    if known not in _COMPILED:
        while len(_COMPILED) >= _MOST_COMPILED:
            _COMPILED.pop(next(iter(_COMPILED)))
        _COMPILED[known] = lowered.compile()
    return _COMPILED[known]


def _functions(evaluate: Evaluate, keywords: dict[str, Any], paired: bool, devices: Sequence[Any]) -> tuple[Any, Any]:
    """The jitted functions of one run, and of a unit of runs on each device.

    The same sweep gets the same functions, so that ``jax.jit`` recognises them and does not trace again.
    """
    settings = evaluate, tuple(keywords.items()), paired, tuple(devices)
    try:
        return _known_functions(*settings)
    except TypeError:  # a setting that cannot be hashed
        return _known_functions.__wrapped__(*settings)


@functools.lru_cache(maxsize=_MOST_COMPILED)
def _known_functions(
    evaluate: Evaluate, keywords: tuple[tuple[str, Any], ...], paired: bool, devices: tuple[Any, ...]
) -> tuple[Any, Any]:
    one = jax.jit(_one_run(evaluate, dict(keywords), paired))  # so that a unit of it is not traced again
    return one, _unit_function(one, devices)


def _one_run(evaluate: Evaluate, keywords: dict[str, Any], paired: bool) -> Callable[..., dict[str, jax.Array]]:
    """`(base, key, columns, cell, seed) -> outputs` of a single run."""

    def one(base: Any, key: jax.Array, columns: Any, cell: jax.Array | None, seed: jax.Array) -> dict[str, jax.Array]:
        config = with_values(base, columns)
        outputs = evaluate(config, keys.for_seed(key, seed, cell), **keywords)
        return checked_outputs(outputs)

    return one


def checked_outputs(outputs: Any) -> dict[str, jax.Array]:
    """What an evaluator returned, as arrays.

    Raises:
        ValueError: not a dict, no outputs, an unusable name, or an output that is not an array of numbers; the message
            names the output.
    """
    if not isinstance(outputs, Mapping) or not outputs or not all(isinstance(name, str) for name in outputs):
        got = "an empty dict" if isinstance(outputs, Mapping) and not outputs else f"a {type(outputs).__name__}"
        if isinstance(outputs, Mapping) and outputs:
            got = f"the name {next(name for name in outputs if not isinstance(name, str))!r}"
        raise checks.bad("evaluate", "to return a dict of named arrays", got)
    found = {}
    for name, value in outputs.items():
        if not _NAME.fullmatch(name) or name.startswith("."):
            expected = "names of outputs without slashes, of 1 to 100 letters, digits and signs, no dot first"
            raise checks.bad("evaluate", expected, repr(name[:120]))
        try:
            array = jnp.asarray(value)
        except (TypeError, ValueError):
            raise checks.bad("evaluate", f"an array of numbers for {name!r}", f"a {type(value).__name__}") from None
        if array.dtype not in _DTYPES:
            hint = " (.astype(jnp.float32))" if jnp.issubdtype(array.dtype, jnp.floating) else ""
            hint = " (jax.random.key_data)" if jnp.issubdtype(array.dtype, jax.dtypes.prng_key) else hint
            expected = f"numbers that NumPy and Zarr store for {name!r}{hint}"
            raise checks.bad("evaluate", expected, f"dtype {array.dtype}")
        found[name] = array
    return found


def _arguments(spec: Spec) -> tuple[Any, ...]:
    """The base and the key."""
    key = (
        jax.random.wrap_key_data(jnp.asarray(spec.key_data), impl=spec.key_kind)
        if spec.key_kind
        else jnp.asarray(spec.key_data)
    )
    return spec.base, key


def _unit_function(one: Callable[..., dict[str, jax.Array]], devices: Sequence[Any]) -> Any:
    """The jitted function of a unit of runs on each of the devices."""

    def unit(base: Any, key: jax.Array, columns: Any, cells: Any, seeds: jax.Array) -> dict[str, jax.Array]:
        return vmap(lambda *run: one(base, key, *run))(columns, cells, seeds)

    if len(devices) == 1:
        return jax.jit(unit)
    # Every device has its own loop and stops independently; automatic sharding would make all wait for the slowest run.
    mesh = jax.sharding.Mesh(np.array(devices), ("run",))
    run, all_of_it = jax.sharding.PartitionSpec("run"), jax.sharding.PartitionSpec()
    specs = (all_of_it, all_of_it, run, run, run)
    return jax.jit(jax.shard_map(unit, mesh=mesh, in_specs=specs, out_specs=run))


def _as_leaf(column: np.ndarray, leaf: Any) -> np.ndarray:
    """The column in the dtype of the leaf: integer leaves stay integers, all else gets the default floating dtype."""
    dtype = np.asarray(leaf).dtype
    return column.astype(dtype if dtype.kind in "iub" else np.float64)


def fingerprint(spec: Spec, programs: Sequence[Program]) -> dict[str, Any]:
    """Hashes of everything that determines the numbers, except cells and seeds.

    Returns:
        ``programs``: hashes of what each variant computes, by its labels; ``rest``: a hash of the base, the key,
        versions and the kind of device.
    """
    texts = {
        json.dumps(list(variant.values())): program.digest
        for variant, program in zip(spec.variants, programs, strict=True)
    }
    rest = hashlib.sha256()
    for array in (*jax.tree.leaves(spec.base), spec.key_data):
        rest.update(np.ascontiguousarray(array).tobytes())
    versions = environment.describe()["versions"]
    device = jax.devices()[0]
    record = [spec.unit, spec.paired, spec.key_kind, device.platform, device.device_kind]
    rest.update(json.dumps([str(record), versions["jax"], versions["tokdyn"]]).encode())
    return {"programs": texts, "rest": rest.hexdigest()}


def name_of(evaluate: Evaluate) -> str:
    """The name of an evaluator in records, ``module:function``."""
    function = inspect.unwrap(evaluate)
    return f"{getattr(function, '__module__', '?')}:{getattr(function, '__qualname__', type(function).__name__)}"
