"""Runs on features that do not fit into memory: they are read in chunks from their source, once per step."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from tokdyn import checks, keys, starts
from tokdyn.checks import Status
from tokdyn.dynamics import arrangement, tiles
from tokdyn.dynamics.arrangement import Cut, Frame, Summed
from tokdyn.dynamics.attraction import Attraction, Layout
from tokdyn.dynamics.base import Context, Dynamics, State
from tokdyn.dynamics.schedules import resolved, schedules
from tokdyn.numerics import binary_scale, largest_finite, largest_length
from tokdyn.solve import stepping
from tokdyn.solve.driver import ASSIGNMENTS, STOPS, Result, run
from tokdyn.solve.merging import num_distinct
from tokdyn.tree import in_range

# Size of a chunk in numbers: large enough to make overheads negligible, small enough for any machine.
CHUNK = 1 << 22

Reader = Callable[[], Iterator[tuple[int, jax.Array]]]

# Compiled as one program; evaluated op by op, a schedule would be six.
_resolved = jax.jit(resolved, static_argnums=2)


def run_streamed(
    dynamics: Dynamics,
    key: jax.Array | None,
    source: ArrayLike,
    *,
    num_tokens: int | None = None,
    max_steps: int,
    tol: float,
    min_steps: int = 0,
    stop: Literal["displacement", "residual"] = "displacement",
    tokens: ArrayLike | None = None,
    token_mask: ArrayLike | None = None,
    assignment: Literal["soft", "hard", "none"] = "none",
    out: Any = None,
    rows_at_once: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Result:
    """``td.run`` on features that are read in chunks, from a memory-mapped ``.npy`` or a Zarr or HDF5 array.

    Every step reads each feature once; the next chunk is read while the current one is processed. The numbers are those
    of ``run``, up to rounding in the last digits. Besides the tokens, memory holds two chunks of features, one number
    per feature while the start is drawn, and the assignment if it is requested without ``out``.

    Only attraction may use the features, because its sums can be computed chunk by chunk; other parts may do anything
    with the tokens. This is a Python loop, and cannot be used inside ``jit``, ``vmap`` or ``grad``.

    Args:
        dynamics: what ``td.compose`` returned.
        key: as in ``td.run``.
        source: the features `[N, D]`: any object with ``shape``, a floating-point ``dtype`` and slices of rows. Sets
            that ``run`` would not read in tiles (a few megabytes) are read at once.
        num_tokens: K; may be omitted if ``tokens`` are given.
        max_steps: maximal number of steps.
        tol: as in ``td.run`` `[]`.
        min_steps: as in ``td.run``.
        stop: as in ``td.run``.
        tokens: starting tokens `[K, D]`; by default the K features that ``run`` would draw without replacement.
        token_mask: which tokens exist `[K]`.
        assignment: ``"none"``, ``"hard"`` for labels, or ``"soft"`` for `[N, K]`; the last two take one more pass.
        out: where to write the assignment, `[N]` or `[N, K]`: an object that supports assignment to slices of rows,
            such as a memory map or a Zarr array; by default a new NumPy array.
        rows_at_once: maximal number of rows in a chunk, though never less than a tile (512 to a few thousand); by
            default as many as make about 4 million numbers.
        progress: called after each step with the number of steps done and ``max_steps``.

    Returns:
        A ``Result``, with ``out`` as its assignment or labels.

    Raises:
        ValueError: bad shapes, dtypes, counts or options; a source that holds fewer numbers than its shape promises; a
            part other than attraction that reads features.

    Example:
        >>> import jax, numpy as np, tempfile, pathlib, tokdyn as td
        >>> file = pathlib.Path(tempfile.mkdtemp()) / "features.npy"
        >>> np.save(file, np.random.default_rng(0).normal(size=(20_000, 4)).astype(np.float32))
        >>> features = np.load(file, mmap_mode="r")
        >>> result = td.run_streamed(
        ...     td.catalog.soft_kmeans(), jax.random.key(0), features, num_tokens=3, max_steps=5, tol=1e-3,
        ...     assignment="hard")
        >>> result.tokens.shape, result.labels.shape
        ((3, 4), (20000,))
    """
    shape = _shape_of(source)
    checks.choice("stop", stop, STOPS)
    checks.choice("assignment", assignment, ASSIGNMENTS)
    max_steps = checks.whole_number("max_steps", max_steps, at_least=1)
    if tokens is None:
        num_tokens = _checked_number(num_tokens, shape[0])
        if key is None:
            raise checks.bad("key", "a JAX key, because no tokens are given", None)
        checks.random_key("key", key)
        chosen = starts.random_rows(keys.for_purpose(key, "start"), shape[0], num_tokens)
        tokens = _rows_of(source, np.asarray(chosen))
    if rows_at_once is not None:
        rows_at_once = checks.whole_number("rows_at_once", rows_at_once, at_least=1)
    sample = _rows_of(source, np.arange(0, shape[0], -(-shape[0] // arrangement.SAMPLE)))
    dynamics, sample, tokens, _, token_mask, num_tokens = stepping.checked(
        dynamics, key, sample, num_tokens=num_tokens, tokens=tokens, mask=None, token_mask=token_mask
    )
    assert tokens is not None
    cut = arrangement.cut_of(*shape, num_tokens)
    if cut.size is None:
        result = run(
            dynamics,
            key,
            _read(source, 0, shape[0]),
            tokens=tokens,
            max_steps=max_steps,
            tol=tol,
            min_steps=min_steps,
            stop=stop,
            token_mask=token_mask,
            assignment=assignment,
        )
        return _written(result, assignment, out)
    tol = float(np.asarray(checks.one_number("tol", tol, at_least=0.0)))
    at_least = float(np.asarray(checks.one_number("min_steps", min_steps, at_least=0.0)))
    _check_out(out, assignment, shape[0], num_tokens)
    rows = rows_at_once or CHUNK // shape[1]
    size = cut.size * max(1, rows // cut.size)  # whole tiles, added up in the order in which ``run`` adds them
    reader: Reader = lambda: _chunks(source, size)  # noqa: E731

    frame = _framed(sample, reader, shape[0])
    at_start = _resolved(dynamics, 0, sample.dtype) if schedules(dynamics) else dynamics
    contexts = tuple(
        _context_of(name, part, shape, sample.dtype, frame, token_mask)
        for name, part in zip(dynamics.names, at_start.parts, strict=True)
    )
    state = _at_rest(dynamics, tokens, contexts, token_mask)
    least = max([at_least, *(float(schedule.num_steps) for schedule in schedules(dynamics))])
    status, displacement, residual = Status.MAX_STEPS, jnp.asarray(jnp.inf), jnp.asarray(jnp.inf)
    for number in range(max_steps):
        state, displacement, residual = _step(dynamics, key, state, contexts, token_mask, frame, reader, cut)
        if progress is not None:
            progress(number + 1, max_steps)
        watched = float(displacement if stop == "displacement" else residual)
        if not math.isfinite(float(displacement)):
            status = Status.NONFINITE
            break
        if watched < tol and number + 1 >= least:
            status = Status.CONVERGED
            break
    found, is_finite = None, True
    if assignment != "none":
        found = out if out is not None else _empty(assignment, shape[0], num_tokens, sample.dtype)
        for start, chunk in reader():
            piece = np.asarray(
                _assigned(dynamics, state, contexts, frame, token_mask, chunk, hard=assignment == "hard")
            )
            is_finite = is_finite and bool(np.isfinite(piece).all())
            found[start : start + len(piece)] = piece
    exists = np.ones(num_tokens, bool) if token_mask is None else np.asarray(token_mask)
    if not (is_finite and np.isfinite(np.asarray(state.tokens)[exists]).all()):
        status = Status.NONFINITE
    if not (exists.any() and bool(_in_range(dynamics))):
        status = Status.INVALID
    distinct = _num_distinct(state.tokens, sample, None, token_mask)
    soft, hard = (found, None) if assignment == "soft" else (None, found)
    code = jnp.asarray(status, jnp.int32)
    return Result(state.tokens, soft, state.step, code, displacement, residual, distinct, hard)  # type: ignore[arg-type]


_at_rest = jax.jit(stepping.at_rest)
_num_distinct = jax.jit(num_distinct)
_in_range = jax.jit(in_range)


def _step(
    dynamics: Dynamics,
    key: jax.Array | None,
    state: State,
    contexts: tuple[Context, ...],
    token_mask: jax.Array | None,
    frame: Frame,
    reader: Reader,
    cut: Cut,
) -> tuple[State, jax.Array, jax.Array]:
    """One pass over all chunks, for all attractions at once, followed by the step itself."""
    operands = _operands(dynamics, state, contexts, token_mask)
    like = state.tokens
    totals = [(np.zeros(like.shape, like.dtype), np.zeros(like.shape[:1], like.dtype)) for _ in operands]
    centred = tuple(part.is_centred for part in dynamics.parts if isinstance(part, Attraction))
    for _, chunk in reader():
        totals = _added(totals, chunk, frame, operands, centred=centred, cut=cut)
    return _advance(dynamics, key, state, contexts, token_mask, totals)


@jax.jit
def _operands(dynamics: Dynamics, state: State, contexts: tuple[Context, ...], token_mask: Any) -> list[Any]:
    """What the sums of each attraction need to know about the tokens."""
    seen = state.tokens if token_mask is None else jnp.where(token_mask[:, None], state.tokens, 0.0)
    parts = zip(resolved(dynamics, state.step, state.tokens.dtype).parts, contexts, strict=True)
    return [part.operands(seen, context) for part, context in parts if isinstance(part, Attraction)]


@functools.partial(jax.jit, static_argnames=("centred", "cut"))
def _added(
    totals: list[Any], rows: jax.Array, frame: Frame, operands: list[Any], *, centred: tuple[bool, ...], cut: Cut
) -> list[Any]:
    return [
        tiles.added_up(total, rows, None, frame, operand, centred=is_centred, cut=cut)
        for total, operand, is_centred in zip(totals, operands, centred, strict=True)
    ]


@jax.jit
def _advance(
    dynamics: Dynamics,
    key: jax.Array | None,
    state: State,
    contexts: tuple[Context, ...],
    token_mask: jax.Array | None,
    totals: list[Any],
) -> tuple[State, jax.Array, jax.Array]:
    remaining = iter(totals)
    summed = tuple(
        context._replace(features=Summed(*next(remaining))) if isinstance(part, Attraction) else context
        for part, context in zip(dynamics.parts, contexts, strict=True)
    )
    state, info = stepping.advance(dynamics, key, state, summed, token_mask)
    return state, largest_length(info.displacement), largest_length(info.force)


@functools.partial(jax.jit, static_argnames="hard")
def _assigned(
    dynamics: Dynamics,
    state: State,
    contexts: tuple[Context, ...],
    frame: Frame,
    token_mask: jax.Array | None,
    rows: jax.Array,
    *,
    hard: bool,
) -> jax.Array:
    """The assignment of one chunk, in the frame of all features."""
    of_chunk = tuple(
        context._replace(features=arrangement.arranged(rows, frame, None, centred=part.is_centred))
        if isinstance(part, Attraction)
        else context
        for part, context in zip(dynamics.parts, contexts, strict=True)
    )
    return stepping.assignment_of(dynamics, state.step, state.tokens, rows, of_chunk, None, token_mask, hard=hard)


def _framed(sample: jax.Array, reader: Reader, num_rows: int) -> Frame:
    """The result of ``arrangement.framed``, in one pass if a sample is representative, otherwise in three."""

    def with_spread(scale: jax.Array, centre: jax.Array) -> Frame:
        spreads = (_spread(rows, scale, centre) for _, rows in reader())
        return Frame(scale, centre, functools.reduce(jnp.maximum, spreads))

    scale, centre = _roughly(sample)
    frame = with_spread(scale, centre)
    if _speaks_for_all(sample, frame):
        return frame
    scale = _scale_of(functools.reduce(jnp.maximum, (_largest(rows) for _, rows in reader())))
    shares = (_mean(rows, scale) * (rows.shape[0] / num_rows) for _, rows in reader())
    return with_spread(scale, functools.reduce(jnp.add, shares))


_scale_of = jax.jit(binary_scale)
_speaks_for_all = jax.jit(arrangement.speaks_for_all)


@jax.jit
def _roughly(sample: jax.Array) -> tuple[jax.Array, jax.Array]:
    scale = binary_scale(sample)
    return scale, arrangement.mean_of_rows(sample, None, scale)


@jax.jit
def _spread(rows: jax.Array, scale: jax.Array, centre: jax.Array) -> jax.Array:
    return arrangement.spread_of(rows, scale, centre, None)


@jax.jit
def _largest(rows: jax.Array) -> jax.Array:
    return arrangement.largest_of_blocks(lambda block, _: largest_finite(block), rows, None)


@jax.jit
def _mean(rows: jax.Array, scale: jax.Array) -> jax.Array:
    return arrangement.mean_of_rows(rows, None, scale)


def _context_of(
    name: str, part: Any, shape: tuple[int, int], dtype: Any, frame: Frame, token_mask: jax.Array | None
) -> Context:
    """The context of a part when the features are never in memory as a whole.

    Raises:
        ValueError: a part other than attraction that reads the features.
    """
    if isinstance(part, Attraction):
        nothing: Any = np.zeros((0, shape[1]), dtype)
        return Layout(frame, Summed(nothing, nothing[:, 0]), token_mask)
    like = jax.ShapeDtypeStruct(shape, dtype)
    traced, returned = jax.make_jaxpr(lambda x: part.prepare(x, None, token_mask), return_shape=True)(like)
    (features,) = traced.jaxpr.invars
    used = [variable for equation in traced.jaxpr.eqns for variable in equation.invars] + traced.jaxpr.outvars
    prepared = None
    if not any(variable is features for variable in used):
        prepared = part.prepare(np.zeros((1, shape[1]), dtype), None, token_mask)
    if prepared is None and jax.tree.leaves(returned):
        raise checks.bad(name, "a part that does not look at the features (only attraction reads them in chunks)", part)
    return prepared


def _shape_of(source: Any) -> tuple[int, int]:
    """The shape of the source.

    Raises:
        ValueError: not floating-point `[N, D]`.
    """
    shape, dtype = getattr(source, "shape", None), getattr(source, "dtype", None)
    expected = "a floating-point array [N, D] whose rows can be sliced"
    if shape is None or dtype is None or len(shape) != 2 or not jnp.issubdtype(dtype, jnp.floating):
        raise checks.bad("source", expected, checks.describe_array(source))
    if 0 in shape:
        raise checks.bad("source", "at least one feature of at least one dimension", checks.describe_array(source))
    if shape[0] > checks.LARGEST_COUNT:
        raise checks.bad("source", f"at most {checks.LARGEST_COUNT:,} features", checks.describe_array(source))
    return int(shape[0]), int(shape[1])


def _checked_number(num_tokens: int | None, num_rows: int) -> int:
    if num_tokens is None:
        raise checks.bad("num_tokens", "a number, because no tokens are given", None)
    num_tokens = checks.whole_number("num_tokens", num_tokens, at_least=1)
    if num_tokens > num_rows:
        raise checks.bad("num_tokens", f"at most the number of features, {num_rows}", num_tokens)
    return num_tokens


def _check_out(out: Any, assignment: str, num_rows: int, num_tokens: int) -> None:
    if out is None:
        return
    expected = {"none": None, "hard": (num_rows,), "soft": (num_rows, num_tokens)}[assignment]
    if expected is None:
        raise checks.bad("out", "None, because no assignment is asked for", checks.describe_array(out))
    if tuple(getattr(out, "shape", ())) != expected:
        raise checks.bad("out", f"an array of shape {expected}", checks.describe_array(out))


def _empty(assignment: str, num_rows: int, num_tokens: int, dtype: Any) -> np.ndarray:
    return np.empty(num_rows, np.int32) if assignment == "hard" else np.empty((num_rows, num_tokens), dtype)


def _written(result: Result, assignment: str, out: Any) -> Result:
    """The result of ``run``, with its assignment or labels written to ``out``."""
    found = {"none": None, "hard": result.labels, "soft": result.assignment}[assignment]
    if out is not None:
        _check_out(out, assignment, 0 if found is None else found.shape[0], result.tokens.shape[0])
        out[:] = np.asarray(found)
        found = out
    soft, hard = (found, None) if assignment == "soft" else (None, found)
    return result._replace(assignment=soft, labels=hard)  # type: ignore[arg-type]


def _read(source: Any, start: int, end: int) -> jax.Array:
    there = (min(end, source.shape[0]) - start, source.shape[1])
    return jnp.asarray(np.ascontiguousarray(_as_said(source, source[start:end], there)))


def _as_said(source: Any, rows: Any, shape: tuple[int, ...]) -> np.ndarray:
    """The rows, after checking their shape: a damaged file, or one with a wrong header, may hold fewer."""
    found = np.asarray(rows)
    if found.shape != shape:
        expected = f"as many numbers as its shape {tuple(source.shape)} says"
        raise checks.bad("source", expected, f"rows of shape {found.shape} in place of {shape}")
    return found


def _rows_of(source: Any, numbers: np.ndarray) -> jax.Array:
    """Individual rows, in the given order."""
    rows = []
    for number in numbers:
        try:
            row = source[int(number)]
        except IndexError:
            expected = f"as many numbers as its shape {tuple(source.shape)} says"
            raise checks.bad("source", expected, f"no row {number}") from None
        rows.append(_as_said(source, row, (source.shape[1],)))
    return jnp.asarray(np.stack(rows))


def _chunks(source: Any, size: int) -> Iterator[tuple[int, jax.Array]]:
    """Chunks of rows with their starting index, reading the next chunk ahead."""
    starts = range(0, source.shape[0], size)
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(_read, source, 0, size)
        for start in starts:
            chunk = coming.result()
            if start + size < source.shape[0]:
                coming = pool.submit(_read, source, start + size, start + 2 * size)
            yield start, chunk
