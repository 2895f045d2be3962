"""Static checks of arguments, and the codes that report what went wrong inside a compiled run.

Two kinds of failure, two answers (DESIGN section 7): what is known while tracing (a shape, a dtype, a plain number)
raises ``ValueError`` with one sentence *name: expected ..., got ...*; what is known only at run time is a ``Status``.
"""

from __future__ import annotations

import dataclasses
import difflib
import enum
import math
from collections.abc import Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

# Counts, sizes and numbers of steps become an int32 in compiled programs.
LARGEST_COUNT = 2**31 - 1


class Status(enum.IntEnum):
    """How a run ended. One integer a run, so that it can be read for every lane of a vmapped batch."""

    CONVERGED = 0  # the tolerance was met, also when at the very last step
    MAX_STEPS = 1  # the steps ran out first
    NONFINITE = 2  # a token, or the length of its displacement, became infinite or NaN; stopped there
    COINCIDENT = 3  # all tokens ended at exactly one point: a distance between distinct tokens is undefined
    INVALID = 4  # a number out of its range, or masks that leave nothing: fewer features than tokens to draw, no token


def bad(name: str, expected: str, got: object) -> ValueError:
    """The one form of our error sentences; the caller raises it."""
    return ValueError(f"{name}: expected {expected}, got {got}")


def shown(value: object, longest: int = 200) -> str:
    """A value as Python writes it, for a sentence: on one line, and not without end."""
    try:
        text = " ".join(repr(value).split())
    except ValueError:  # a whole number of thousands of digits
        text = f"a {type(value).__name__}"
    return text if len(text) <= longest else text[: longest - 3] + "..."


def is_concrete(value: object) -> bool:
    """Whether the numbers are known now, so that their range can be checked (False inside jit, vmap, grad)."""
    return not isinstance(value, jax.core.Tracer)


def describe_array(value: object) -> str:
    """``shape (3, 2) and dtype float32``, or the type's name where it is no array."""
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"shape {tuple(value.shape)} and dtype {value.dtype}"
    return f"a {type(value).__name__}"


def floating(name: str, value: object, *, axes: str, xp: Any = jnp) -> jax.Array:
    """A floating-point array whose axes are spelled ``axes``, for example ``"[N, D]"``; of NumPy where ``xp`` is.

    Raises:
        ValueError: not numbers, not floating point, or not of that rank.
    """
    rank = 0 if axes == "[]" else axes.count(",") + 1
    try:
        array = xp.asarray(value)
    except (TypeError, ValueError):
        raise bad(name, f"a floating-point array {axes}", describe_array(value)) from None
    if array.ndim != rank or not jnp.issubdtype(array.dtype, jnp.floating):
        raise bad(name, f"a floating-point array {axes}", describe_array(array))
    return array


def boolean_mask(name: str, value: object, length: int, *, axes: str) -> jax.Array | None:
    """A boolean array of that length, or None.

    Raises:
        ValueError: another shape or dtype.
    """
    if value is None:
        return None
    try:
        array = jnp.asarray(value)
    except (TypeError, ValueError):
        raise bad(name, f"a boolean array {axes} of length {length}", describe_array(value)) from None
    if array.shape != (length,) or array.dtype != jnp.bool_:
        raise bad(name, f"a boolean array {axes} of length {length}", describe_array(array))
    return array


def whole_number(name: str, value: object, *, at_least: int, at_most: int = LARGEST_COUNT) -> int:
    """A static integer (Python or NumPy) within limits; by default it fits an int32, which compiled programs use.

    Raises:
        ValueError: traced, not an integer, too small or too large.
    """
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise bad(name, f"a static integer of at least {at_least}", f"{shown(value)} ({type(value).__name__})")
    if value < at_least:
        raise bad(name, f"a static integer of at least {at_least}", shown(value))
    if value > at_most:
        raise bad(name, f"a static integer of at most {at_most:,}", shown(value))
    return int(value)


def random_key(name: str, value: object) -> None:
    """One JAX random key, new style `[]` or old style `[2]`.

    Raises:
        ValueError: anything else, for example a plain number.
    """
    dtype, shape = getattr(value, "dtype", None), getattr(value, "shape", None)
    is_new = dtype is not None and jnp.issubdtype(dtype, jax.dtypes.prng_key) and shape == ()
    is_old = dtype == np.uint32 and shape is not None and len(shape) == 1
    if not (is_new or is_old):
        raise bad(name, "one JAX key, such as jax.random.key(0)", describe_array(value))


def nearest(word: str, options: Iterable[str]) -> str | None:
    """What somebody may have meant: an option that the word begins or abbreviates, else one that is spelt like it.

    Example:
        >>> from tokdyn import checks
        >>> checks.nearest("attract.temp", ["attract.rate", "attract.temperature", "attract.temperature_floor"])
        'attract.temperature'
    """
    known = list(options)
    begun = sorted((option for option in known if option.lower().startswith(word.lower())), key=len) if word else []
    return begun[0] if begun else next(iter(difflib.get_close_matches(word, known, n=1)), None)


def choice(name: str, value: object, options: tuple[str, ...]) -> str:
    """One of the named options.

    Raises:
        ValueError: anything else.
    """
    if not isinstance(value, str) or value not in options:
        near = nearest(value, options) if isinstance(value, str) else None
        hint = f"; did you mean {near!r}?" if near else ""
        raise bad(name, "one of " + ", ".join(repr(option) for option in options), shown(value) + hint)
    return value


def each_once(name: str, values: Sequence[Any], options: tuple[str, ...] | None = None) -> None:
    """At least one value, none of them twice; with ``options``, each of which is one of these.

    Raises:
        ValueError: anything else.
    """
    if not values or len(set(values)) != len(values):
        raise bad(name, "at least one, each once", ", ".join(map(str, values)) or "none")
    for value in values if options is not None else ():
        choice(name, value, options or ())


def hyperparameter(
    name: str,
    value: object,
    *,
    above: float = -math.inf,
    at_least: float = -math.inf,
    below: float = math.inf,
    finite: bool = True,
) -> Any:
    """A traced hyperparameter as it is stored in a part.

    Plain numbers become ``np.float64``: one dtype whatever was typed (1, 1.0, np.float32(1)), hence one compiled
    program; ``run`` casts them to the features' dtype. Arrays, tracers and schedules are kept, for vmap and grad.
    The range is checked where the numbers are known.

    Args:
        name: the argument's name, for the sentence.
        value: a number, an array of numbers, a tracer, or a schedule (any pytree of those).
        above: exclusive lower limit.
        at_least: inclusive lower limit.
        below: exclusive upper limit.
        finite: whether infinity is refused.

    Raises:
        ValueError: not a number, NaN, or outside the limits.
    """
    if not is_concrete(value) or _is_container(value):
        return value
    limits = []
    if above > -math.inf:
        limits.append(f"above {above:g}")
    if at_least > -math.inf:
        limits.append(f"of at least {at_least:g}")
    if below < math.inf:
        limits.append(f"below {below:g}")
    expected = "a number " + " and ".join(limits) if limits else "a finite number"
    try:
        numbers = np.asarray(value)
        if numbers.dtype.kind in "OUSMmc":
            raise TypeError  # NumPy would turn "1" into 1.0, and None into NaN
        numbers = numbers.astype(np.float64)
    except (TypeError, ValueError):
        how = " (td.schedule makes a schedule of a function)" if callable(value) else ""
        raise bad(name, expected, shown(value) + how) from None
    inside = np.isfinite(numbers) if finite else ~np.isnan(numbers)
    inside &= (numbers > above) | (above == -math.inf)
    inside &= (numbers >= at_least) & ((numbers < below) | (below == math.inf))
    if not inside.all():
        raise bad(name, expected, numbers[~inside].flat[0] if numbers.ndim else numbers[()])
    if isinstance(value, jax.Array) and jnp.issubdtype(value.dtype, jnp.floating):
        return value  # keeps its device and dtype
    return numbers[()] if numbers.ndim == 0 else numbers


def one_number(name: str, value: Any, *, at_least: float = -math.inf) -> Any:
    """A traced argument of a driver: like ``hyperparameter``, and a scalar.

    Raises:
        ValueError: not one number, NaN, or too small.
    """
    if _is_container(value) or np.ndim(value) != 0:
        got = "a schedule" if hasattr(value, "num_steps") else describe_array(value)
        raise bad(name, "one number", got)
    return hyperparameter(name, value, at_least=at_least)


def scalar_fields(part: Any) -> None:
    """Every number of a part is one number: an array would broadcast against tokens or features without a word.

    Raises:
        ValueError: naming the field.
    """
    for field in dataclasses.fields(part):
        value = getattr(part, field.name)
        if not field.metadata.get("static") and np.ndim(value) != 0:
            expected = "one number in a run (to run several, map over them with vmap)"
            raise bad(field.name, expected, describe_array(value))


def _is_container(value: Any) -> bool:
    """Whether the value is a pytree node of our own (a schedule), not a bare number, list or array."""
    if isinstance(value, (list, tuple, dict)) or value is None:
        return False
    return not jax.tree_util.all_leaves([value])
