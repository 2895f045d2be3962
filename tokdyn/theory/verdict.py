"""Warnings for users: when the result of a run is worthless, and which value to use instead."""

from __future__ import annotations

from typing import Any, SupportsInt

import numpy as np
from numpy.typing import ArrayLike

from tokdyn import checks
from tokdyn.dynamics import Dynamics
from tokdyn.dynamics.attraction import Attraction
from tokdyn.dynamics.inertia import Inertia
from tokdyn.theory.critical import SHARE_OF_DISTORTION, distortion, read_variances, some_rows
from tokdyn.theory.preview import RESOLUTION

AUTO = "auto"
# Number of features on which merged tokens are examined.
MOST_ROWS = 4096


class CollapseWarning(UserWarning):
    """The tokens of a run mean less than they seem to: too hot, merged, started at one point, or stopped too early."""


class Guide:
    """What the spectrum of features says about tokens among them: a temperature before a run, warnings after it.

    The spectrum is computed once with NumPy (``read_variances``), and nothing is compiled.

    Args:
        features: `[N, D]`, finite, JAX or NumPy, not traced.
        num_tokens: K.

    Attributes:
        critical_temperature: above it all tokens merge, for features without skew or outliers.
        automatic_temperature: the result of ``td.theory.automatic_temperature``.
        spread: root mean square distance of the features from their mean.

    Raises:
        ValueError: not floating-point `[N, D]` with at least one row and one column, or no token.

    Example:
        >>> import numpy as np, tokdyn as td
        >>> guide = td.theory.Guide(np.array([[0.0], [0.0], [4.0], [4.0]]), num_tokens=2)
        >>> guide.critical_temperature, guide.temperature("auto"), guide.temperature(3.0)
        (8.0, 0.5, 3.0)
    """

    def __init__(self, features: ArrayLike, num_tokens: int) -> None:
        self.features = np.asarray(features)
        self.num_tokens = checks.whole_number("num_tokens", num_tokens, at_least=1)
        variances = read_variances(self.features)
        self.critical_temperature = 2 * float(variances[0])
        self.automatic_temperature = SHARE_OF_DISTORTION * distortion(variances, self.num_tokens)
        self.spread = float(np.sqrt(variances.sum()))

    def temperature(self, given: ArrayLike) -> Any:
        """The given temperature, or the automatic one for ``"auto"``.

        Raises:
            ValueError: any other string.
        """
        if isinstance(given, str):
            if given != AUTO:
                raise checks.bad("temperature", "a number of at least 0, or 'auto'", repr(given))
            return self.automatic_temperature
        return given

    def warnings(self, dynamics: Dynamics, tokens: ArrayLike, *, num_distinct: SupportsInt, tol: float) -> list[str]:
        """What makes the result of a run worthless, one sentence each, with the value to use instead.

        The reasons are a temperature above the critical one (if no other part keeps tokens apart); tokens that coincide
        at the end; fewer distinct features than tokens, or tokens that started at the same point; and a tolerance as
        large as the distances that it should resolve.

        Args:
            dynamics: the dynamics that was run.
            tokens: final tokens `[K, D]`.
            num_distinct: number of distinct tokens in the result.
            tol: tolerance of the run.

        Returns:
            Sentences without line breaks; an empty list if there is nothing to report.
        """
        ended, distinct = np.asarray(tokens, np.float64), int(num_distinct)
        count, critical = self.num_tokens, self.critical_temperature
        if count < 2:
            return []
        temperature, alone = _temperature_of(dynamics)
        counted = f"{distinct} of {count} tokens {'is' if distinct == 1 else 'are'} distinct"
        said = []
        different = num_different(self.features, count)
        if different < count:
            said.append(
                f"The features hold only {different} different {'point' if different == 1 else 'points'} for {count} "
                f"tokens, some of which therefore coincide: use num_tokens={different}."
            )
        elif temperature is not None and temperature > critical and (alone or distinct < count):
            said.append(
                f"Temperature {temperature:.3g} is {temperature / critical:.3g} times the critical temperature "
                f"{critical:.3g}, above which tokens meet at one point ({counted}): use about "
                f"{self.automatic_temperature:.3g}, the automatic temperature."
            )
        elif distinct < count:
            said.append(self._merged(ended, counted, distinct, temperature))
        if tol > RESOLUTION * self.spread > 0:
            said.append(
                f"Tolerance {tol:.3g} is above a hundredth of the features' spread {self.spread:.3g}, so the run "
                f"stopped before the tokens could find their places: use a tolerance of {1e-4 * self.spread:.1g}."
            )
        return said

    def _merged(self, tokens: np.ndarray, counted: str, distinct: int, temperature: float | None) -> str:
        """Why tokens coincide although the temperature is not above the critical one of all features."""
        below = parting_temperature(self.features, tokens, temperature or 0.0, RESOLUTION * self.spread)
        fewer = f"num_tokens={distinct}"
        if temperature is None:
            return (
                f"Only {counted}: those that merged part below a temperature of {below:.3g}; go lower, or use {fewer}."
            )
        if 0 < below <= temperature:
            return (
                f"Only {counted}: those that merged part below a temperature of {below:.3g}, and it was "
                f"{temperature:.3g}; use about {below / 2:.3g}, or {fewer}."
            )
        return (
            f"Only {counted}, at a temperature ({temperature:.3g}) that would keep them apart: the others started at "
            f"the same points, or have not had the steps to part; remove equal features, or use {fewer}."
        )


def _temperature_of(dynamics: Dynamics) -> tuple[float | None, bool]:
    """The temperature of the only attraction, or None; and whether no other part keeps tokens apart."""
    attractions = [part for part in dynamics.parts if isinstance(part, Attraction)]
    alone = all(isinstance(part, Attraction | Inertia) for part in dynamics.parts)
    if len(attractions) != 1 or np.ndim(attractions[0].temperature) or not _is_number(attractions[0].temperature):
        return None, alone
    return float(attractions[0].temperature), alone


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) or (hasattr(value, "dtype") and checks.is_concrete(value))


def parting_temperature(features: np.ndarray, tokens: np.ndarray, temperature: float, resolution: float) -> float:
    """The temperature below which all merged tokens separate: the lowest critical temperature of any group of them.

    A group at mu with responsibility `w_i` for feature i separates below `2 lambda_max(C_w)`, with
    `C_w = sum_i w_i (x_i - mu)(x_i - mu)^T / sum_i w_i`: the critical temperature of the features that it shares.

    Args:
        features: `[N, D]`; a large set is represented by a random sample of 4,096.
        tokens: `[K, D]`.
        temperature: temperature of the responsibilities.
        resolution: a token within this distance of an earlier one belongs to its group.

    Returns:
        The temperature, in squared units of the features; 0 if a group shares only a point, or no tokens have merged.
    """
    rows = some_rows(features, MOST_ROWS)
    unit = float(np.abs(rows - rows[0]).max()) or 1.0  # in these units squares stay within the dtype
    centre = rows.mean(axis=0)
    rows, tokens = (rows - centre) / unit, (tokens - centre) / unit
    scores = 2 * rows @ tokens.T - (tokens**2).sum(axis=1)
    shares = np.exp((scores - scores.max(axis=1, keepdims=True)) / max(temperature / unit**2, 1e-30))
    shares /= shares.sum(axis=1, keepdims=True)
    gaps = np.sqrt(((tokens[:, None] - tokens[None]) ** 2).sum(axis=-1))
    group = (gaps <= resolution / unit).argmax(axis=1)  # the first token within reach, maybe itself
    lowest = np.inf
    for first in np.unique(group):
        members = group == first
        weights = shares[:, members].sum(axis=1)
        if members.sum() < 2 or weights.sum() == 0:
            continue
        weights /= weights.sum()
        away = (rows - weights @ rows) * np.sqrt(weights)[:, None]
        matrix = away.T @ away if away.shape[0] >= away.shape[1] else away @ away.T
        lowest = min(lowest, 2 * float(np.linalg.eigvalsh(matrix)[-1]) * unit**2)
    return lowest if lowest < np.inf else 0.0


def num_different(features: np.ndarray, most: int) -> int:
    """The number of distinct features, counted up to `most`, first in a sample, and in all only if that is too few."""
    some = features[:: max(1, len(features) // (4 * most))]
    found = len(np.unique(some, axis=0))
    if found < most and len(some) < len(features):
        found = len(np.unique(features, axis=0))
    return min(found, most)
