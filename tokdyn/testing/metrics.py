"""The contract of a metric: a pure function of arrays, defined everywhere, that compiles once and maps."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

Metric = Callable[..., jax.Array]


def check_metric(
    metric: Metric,
    *examples: Sequence[Any],
    bounds: tuple[float, float] = (-np.inf, np.inf),
    rows: bool = True,
    slopes: bool = True,
    **options: Any,
) -> list[str]:
    """Hold a metric to the contract, on inputs of your own, degenerate ones among them.

    Args:
        metric: ``(*arrays, **options) -> array``, pure and traceable.
        examples: inputs, each the metric's positional arguments; all of the same shapes. Give the cases in which it
            could break: one cluster, coincident tokens, an empty one.
        bounds: smallest and largest value that it can have.
        rows: whether the order of the rows (axis 0 of every array) means nothing to it.
        slopes: whether its gradient in floating-point arguments is to be finite.
        **options: keywords that the metric needs; ints, strings and booleans choose the program.

    Returns:
        The names of the laws that were checked.

    Raises:
        AssertionError: a law is broken; the sentence says which, and for which example.
        ValueError: no example, or examples of different shapes.

    Example:
        >>> import jax.numpy as jnp, tokdyn as td
        >>> def spread(tokens):
        ...     return jnp.sqrt(jnp.mean((tokens - tokens.mean(axis=0)) ** 2))
        >>> td.testing.check_metric(spread, (jnp.eye(3),), (jnp.ones((3, 3)),))
        Traceback (most recent call last):
        ...
        AssertionError: slopes_are_finite: the gradient in argument 0 of example 1 is nan or infinite
    """
    if not examples:
        raise ValueError("examples: expected at least one tuple of the metric's arguments, got none")
    # NumPy's, in the dtypes that JAX would give them: what is rearranged here in JAX compiles for every shape.
    arrays = [tuple(_on_host(x) for x in example) for example in examples]
    shapes = {tuple((x.shape, x.dtype.name) for x in example) for example in arrays}
    if len(shapes) != 1:
        raise ValueError(f"examples: expected the same shapes and dtypes in all, got {len(shapes)} kinds")
    case = _Trial(metric, arrays, bounds, options)
    laws = [values_are_defined, other_values_compile_nothing, vmap_equals_a_loop]
    laws += [order_of_rows_is_irrelevant] if rows else []
    laws += [masked_rows_have_no_influence] if case.mask else []
    laws += [slopes_are_finite] if slopes and case.floating else []
    for law in laws:
        law(case)
    return [law.__name__ for law in laws]


def _on_host(value: Any) -> np.ndarray:
    array = np.asarray(value)
    return array.astype(jax.dtypes.canonicalize_dtype(array.dtype))


class _Trial:
    """A metric and inputs to try it on."""

    def __init__(
        self,
        metric: Metric,
        examples: list[tuple[np.ndarray, ...]],
        bounds: tuple[float, float],
        options: dict[str, Any],
    ) -> None:
        self.examples, self.bounds = examples, bounds
        static = [name for name, value in options.items() if isinstance(value, (bool, int, str))]
        self.compiled: Any = jax.jit(metric, static_argnames=static)
        self.call = functools.partial(self.compiled, **options)
        named = inspect.signature(metric).parameters
        self.mask = next((name for name in ("mask", "token_mask") if name in named and name not in options), None)
        self.floating = [n for n, x in enumerate(examples[0]) if jnp.issubdtype(x.dtype, jnp.floating)]

    def demand(self, law: Callable[..., None], holds: Any, otherwise: str) -> None:
        if not bool(holds):
            raise AssertionError(f"{law.__name__}: {otherwise}")

    def close(self, law: Callable[..., None], found: Any, expected: Any, otherwise: str) -> None:
        found, expected = np.asarray(found, float), np.asarray(expected, float)
        error = np.max(np.abs(found - expected), initial=0.0) / max(1.0, np.max(np.abs(expected), initial=0.0))
        self.demand(law, error <= 1e-4, f"{otherwise}: {found} against {expected}")


def values_are_defined(case: _Trial) -> None:
    """Finite numbers within the bounds."""
    lowest, highest = case.bounds
    for number, example in enumerate(case.examples):
        value = np.asarray(case.call(*example), float)
        case.demand(values_are_defined, np.isfinite(value).all(), f"example {number} gives {value}")
        inside = (value >= lowest - 1e-5).all() and (value <= highest + 1e-5).all()
        case.demand(values_are_defined, inside, f"example {number} gives {value}, outside of [{lowest:g}, {highest:g}]")


def other_values_compile_nothing(case: _Trial) -> None:
    """One program for all examples."""
    programs = case.compiled._cache_size()
    case.demand(other_values_compile_nothing, programs == 1, f"{len(case.examples)} examples took {programs} programs")


def vmap_equals_a_loop(case: _Trial) -> None:
    """Under ``vmap`` as one by one."""
    stacked = [np.stack(column) for column in zip(*case.examples, strict=True)]
    mapped = np.asarray(jax.jit(jax.vmap(case.call))(*stacked))
    for number, example in enumerate(case.examples):
        case.close(vmap_equals_a_loop, mapped[number], case.call(*example), f"example {number} under vmap and alone")


def order_of_rows_is_irrelevant(case: _Trial) -> None:
    """The rows of all arguments in another order."""
    for number, example in enumerate(case.examples):
        turned = [np.roll(x, 1, axis=0)[::-1] if x.ndim else x for x in example]
        told = case.call(*turned)
        case.close(order_of_rows_is_irrelevant, told, case.call(*example), f"example {number} in another order")


def masked_rows_have_no_influence(case: _Trial) -> None:
    """One row more, which the mask leaves out and which holds NaN."""
    for number, example in enumerate(case.examples):
        length = example[0].shape[0]
        longer = []
        for x in example:
            nothing = np.nan if jnp.issubdtype(x.dtype, jnp.floating) else 0
            row = np.full((1, *x.shape[1:]), nothing, x.dtype)
            longer.append(np.concatenate([x, row]) if x.ndim and x.shape[0] == length else x)
        told = case.call(*longer, **{str(case.mask): np.arange(length + 1) < length})
        case.close(masked_rows_have_no_influence, told, case.call(*example), f"example {number} with a masked row")


def slopes_are_finite(case: _Trial) -> None:
    """The gradient in every floating-point argument."""
    slopes = jax.jit(jax.grad(lambda *arrays: jnp.sum(case.call(*arrays)), argnums=tuple(case.floating)))
    for number, example in enumerate(case.examples):
        for place, slope in zip(case.floating, slopes(*example), strict=True):
            what = f"the gradient in argument {place} of example {number} is nan or infinite"
            case.demand(slopes_are_finite, np.isfinite(slope).all(), what)
