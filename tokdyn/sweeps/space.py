"""The space of a sweep: named axes of cells, in which every cell has a value for one or more paths of the base.

``grid`` crosses its axes, ``zipped`` varies several paths together, ``sampled`` draws them; ``*`` crosses two spaces.
``variants`` is for values that select the program (a number of tokens, a kernel): an outer axis, compiled for each
value.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tokdyn import checks


@dataclasses.dataclass(frozen=True)
class Axis:
    """One dimension of a sweep.

    Attributes:
        name: name of the dimension.
        columns: the values of every path along it, `{path: [n]}`; a path with the name of the dimension is its
            coordinate.
    """

    name: str
    columns: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))


@dataclasses.dataclass(frozen=True)
class Space:
    """Crossed axes, of which the last varies fastest. ``space * other`` has the axes of both.

    Attributes:
        axes: traced axes, whose values are numbers that share one compiled program.
        variants: static axes, `{keyword: {label: value}}`, with one program for each combination.
    """

    axes: tuple[Axis, ...] = ()
    variants: dict[str, dict[Any, Any]] = dataclasses.field(default_factory=dict)

    def __mul__(self, other: Space) -> Space:
        if not isinstance(other, Space):
            return NotImplemented
        axes, static = (*self.axes, *other.axes), {**self.variants, **other.variants}
        names = [axis.name for axis in axes] + list(self.variants) + list(other.variants)
        paths = [path for axis in axes for path in axis.columns]
        for found in (names, paths):
            twice = next((name for name in found if found.count(name) > 1), None)
            if twice is not None:
                raise checks.bad("space", "each axis and each path once", f"{twice!r} twice")
        return Space(axes, static)

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the traced axes."""
        return tuple(len(axis) for axis in self.axes)

    @property
    def num_cells(self) -> int:
        """The number of combinations of the traced axes; 1 if there are none."""
        return math.prod(self.shape)

    def columns(self) -> dict[str, np.ndarray]:
        """The value of every path in every cell, `{path: [num_cells]}`."""
        position = np.unravel_index(np.arange(self.num_cells), self.shape) if self.axes else ()
        return {
            path: column[index]
            for axis, index in zip(self.axes, position, strict=True)
            for path, column in axis.columns.items()
        }


def grid(values: Mapping[str, Any]) -> Space:
    """Every combination of the values given for each path.

    Args:
        values: `{path: sequence of numbers}`; each path becomes a dimension of the same name.

    Returns:
        A ``Space`` with one axis for each path.

    Raises:
        ValueError: no path, or a path (named in the message) without values, with NaN or with a non-number.

    Example:
        >>> import tokdyn as td
        >>> td.grid({"attract.temperature": [0.5, 1.0, 2.0], "repel.strength": [0.0, 0.1]}).num_cells
        6
    """
    _check_paths("values", values)
    return Space(tuple(Axis(path, {path: _column(path, column)}) for path, column in values.items()))


def zipped(name: str, values: Mapping[str, Any]) -> Space:
    """Several paths that change together along one dimension.

    Args:
        name: name of the dimension; its coordinate counts from 0, and the paths are further coordinates along it.
        values: `{path: sequence of numbers}`, all of the same length.

    Returns:
        A ``Space`` with one axis.

    Raises:
        ValueError: lengths that differ, no values, or NaN; the message names the path.

    Example:
        >>> import tokdyn as td
        >>> td.zipped("regime", {"repel.strength": [0.0, 0.1], "repel.eps": [1e-3, 0.1]}).shape
        (2,)
    """
    _check_paths("values", values)
    if not isinstance(name, str) or not name:
        raise checks.bad("name", "text", repr(name))
    columns = {path: _column(path, column) for path, column in values.items()}
    first, length = next((path, len(column)) for path, column in columns.items())
    for path, column in columns.items():
        if len(column) != length:
            raise checks.bad(path, f"{length} values, as {first!r} has", len(column))
    if name in columns:
        raise checks.bad("name", "a name that is none of the paths", repr(name))
    return Space((Axis(name, columns),))


@dataclasses.dataclass(frozen=True)
class Distribution:
    """How ``sampled`` draws the values of one path, as a map from the unit interval.

    Attributes:
        kind: ``"uniform"``, ``"log_uniform"`` or ``"choice"``.
        options: the two limits, or the values to choose from.
    """

    kind: str
    options: tuple[float, ...]

    def at(self, quantiles: np.ndarray) -> np.ndarray:
        """The values at quantiles in `[0, 1)`, of the same shape."""
        if self.kind == "choice":
            return np.asarray(self.options)[(quantiles * len(self.options)).astype(int)]
        low, high = self.options
        if self.kind == "log_uniform":
            return np.exp(np.log(low) + quantiles * (np.log(high) - np.log(low)))
        return low + quantiles * (high - low)


def uniform(low: float, high: float) -> Distribution:
    """A uniform distribution between two limits.

    Args:
        low: lower limit.
        high: upper limit.

    Returns:
        A ``Distribution`` for ``sampled``.

    Raises:
        ValueError: limits that are not finite and increasing.
    """
    return Distribution("uniform", _limits(low, high))


def log_uniform(low: float, high: float) -> Distribution:
    """A distribution between two limits that is uniform in the logarithm.

    Args:
        low: lower limit, above 0.
        high: upper limit.

    Returns:
        A ``Distribution`` for ``sampled``.

    Raises:
        ValueError: limits that are not finite, positive and increasing.
    """
    limits = _limits(low, high)
    if limits[0] <= 0:
        raise checks.bad("low", "a number above 0", low)
    return Distribution("log_uniform", limits)


def choice(*options: float) -> Distribution:
    """A uniform choice among the given numbers.

    Args:
        *options: at least one number.

    Returns:
        A ``Distribution`` for ``sampled``.

    Raises:
        ValueError: no number, or NaN.
    """
    return Distribution("choice", tuple(float(x) for x in _column("options", options)))


def sampled(
    num_samples: int,
    distributions: Mapping[str, Distribution],
    *,
    seed: int = 0,
    method: str = "sobol",
    name: str = "sample",
) -> Space:
    """Points drawn in a box, along one dimension.

    Args:
        num_samples: number of points; a power of two keeps the balance of a Sobol sequence.
        distributions: `{path: distribution}`, from ``uniform``, ``log_uniform`` or ``choice``.
        seed: seed of the draw (it scrambles the Sobol sequence).
        method: ``"sobol"`` covers the box evenly (scipy.stats.qmc); ``"random"`` draws independently.
        name: name of the dimension.

    Returns:
        A ``Space`` with one axis.

    Raises:
        ValueError: a bad count or option, or a path (named in the message) without a distribution.

    References:
        A. B. Owen, Scrambling Sobol' and Niederreiter-Xing points, J. Complexity 14 (1998) 466.

    Example:
        >>> import tokdyn as td
        >>> space = td.sampled(8, {"attract.temperature": td.log_uniform(0.1, 10.0)})
        >>> space.num_cells
        8
    """
    num_samples = checks.whole_number("num_samples", num_samples, at_least=1)
    seed = checks.whole_number("seed", seed, at_least=0, at_most=2**63 - 1)
    checks.choice("method", method, ("sobol", "random"))
    _check_paths("distributions", distributions)
    for path, distribution in distributions.items():
        if not isinstance(distribution, Distribution):
            expected = "a distribution, such as td.uniform(0.0, 1.0)"
            raise checks.bad(path, expected, f"a {type(distribution).__name__}")
    if method == "sobol":
        from scipy.stats import qmc

        engine = qmc.Sobol(len(distributions), scramble=True, rng=seed)
        # Draw a power of two, since scipy warns otherwise; the first points of such a sequence are a valid beginning.
        quantiles = engine.random_base2(math.ceil(math.log2(num_samples)))[:num_samples]
    else:
        quantiles = np.random.default_rng(seed).random((num_samples, len(distributions)))
    drawn = {path: which.at(quantiles[:, i]) for i, (path, which) in enumerate(distributions.items())}
    return zipped(name, drawn)


def variants(**options: Mapping[Any, Any] | Sequence[Any]) -> Space:
    """Static settings: each becomes an outer dimension, and a keyword argument of the evaluator.

    Args:
        **options: `keyword={label: value}`, or a sequence of values (numbers or text) that serve as their own labels.

    Returns:
        A ``Space`` without traced axes.

    Raises:
        ValueError: no value, or labels that are neither numbers nor text.

    Example:
        >>> import tokdyn as td
        >>> sorted(td.variants(num_tokens=[4, 8], kernel=["coulomb", "plummer"]).variants)
        ['kernel', 'num_tokens']
    """
    named = {}
    for keyword, values in options.items():
        is_array = isinstance(values, np.ndarray) and values.ndim == 1
        if isinstance(values, (str, bytes)) or not (isinstance(values, (Mapping, Sequence)) or is_array):
            raise checks.bad(keyword, "a sequence of values, or {label: value}", checks.shown(values))
        pairs = list(values.items() if isinstance(values, Mapping) else zip(values, values, strict=True))
        if not pairs:
            raise checks.bad(keyword, "at least one value", "none")
        labelled: dict[Any, Any] = {}
        for label, value in pairs:
            if not isinstance(label, (str, int, float)) or label != label:
                expected = "labels that are numbers or text: {label: value}"
                raise checks.bad(keyword, expected, f"a {type(label).__name__}")
            if label in labelled:  # 1, 1.0 and True are the same label
                raise checks.bad(
                    keyword, "different labels", f"{next(k for k in labelled if k == label)!r} and {label!r}"
                )
            labelled[label] = value
        named[keyword] = labelled
    if not named:
        raise checks.bad("options", "at least one keyword with its values", "none")
    return Space((), named)


def _check_paths(argument: str, given: Any) -> None:
    """Refuse an argument that is not a mapping from paths."""
    if not isinstance(given, Mapping):
        raise checks.bad(argument, "a mapping {path: ...}", f"a {type(given).__name__}")
    if not given:
        raise checks.bad(argument, "at least one path with its values", "none")
    for path in given:
        if not isinstance(path, str):
            raise checks.bad(argument, "paths as text", checks.shown(path))


def _column(path: str, values: Any) -> np.ndarray:
    try:
        column = np.asarray(values)
        if column.dtype.kind not in "fiub":
            raise TypeError
    except (TypeError, ValueError):
        raise checks.bad(path, "a sequence of numbers", checks.shown(values)) from None
    if column.ndim != 1 or column.size == 0:
        raise checks.bad(path, "a sequence of at least one number", f"shape {column.shape}")
    if column.dtype.kind == "f" and np.isnan(column).any():
        raise checks.bad(path, "numbers", "NaN")
    # One dtype, whatever was passed, just as the factories store numbers.
    return column.astype(np.float64) if column.dtype.kind in "fiu" else column


def _limits(low: float, high: float) -> tuple[float, float]:
    try:
        low, high = float(low), float(high)
    except (TypeError, ValueError, OverflowError):
        raise checks.bad("low, high", "two finite numbers", f"{checks.shown(low)}, {checks.shown(high)}") from None
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise checks.bad("low, high", "two finite numbers, the first below the second", (low, high))
    return low, high
