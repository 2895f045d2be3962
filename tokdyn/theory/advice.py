"""Stable numbers for a dynamics on given features, each with the law that it comes from."""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import numpy as np
from numpy.typing import ArrayLike

from tokdyn import checks
from tokdyn.dynamics.attraction import Attraction
from tokdyn.dynamics.base import Dynamics, compose
from tokdyn.dynamics.inertia import Inertia
from tokdyn.dynamics.repulsion import Repulsion
from tokdyn.solve import run
from tokdyn.theory import critical
from tokdyn.theory.assumptions import enough_features, only_attraction
from tokdyn.theory.cascade import critical_temperatures
from tokdyn.theory.forecast import Forecast, collapse_forecast
from tokdyn.theory.heavy_ball import best_momentum, largest_rate, momentum_radius
from tokdyn.theory.linear import stability
from tokdyn.theory.pair import flip_multiplier, largest_kick, softening_for
from tokdyn.tree import with_values

# What is looked at: a run of so many steps on so many features.
_FEATURES, _STEPS = 2048, 500
# A kick of repulsion is at most this share of the features' spread.
_KICK = 0.1
# A rate is set this far inside its limit.
_SAFELY = 0.9


class Advice(NamedTuple):
    """Numbers to set.

    Attributes:
        values: path -> value, for ``td.with_values``; empty where nothing needs to change.
        laws: a sentence for each of them, in the same order: what would happen, and by which law.
        dynamics: the same dynamics with these values.
    """

    values: dict[str, float]
    laws: tuple[str, ...]
    dynamics: Dynamics

    def __str__(self) -> str:
        """The sentences; one says so where there are none."""
        return "\n".join(self.laws) or "No law asks for another value."


def recommend(dynamics: Dynamics, features: ArrayLike, *, num_tokens: int, key: jax.Array | None = None) -> Advice:
    """Values with which tokens neither collapse nor swing, and come to rest soon, and the law behind each.

    Only numbers of parts that are there are changed, and only where a law says that they do harm: a temperature at
    which tokens merge, a rate beyond the limit of stability, a repulsion whose pairs alternate for ever or whose
    softening allows a kick across the features, a momentum that swings where none is needed, or is too small where all
    is slow.

    Args:
        dynamics: attraction, and repulsion, inertia or neither; without schedules.
        features: `[N, D]`, finite; of a large set a sample is read.
        num_tokens: K.
        key: of the start of a short run; by default ``jax.random.key(0)``.

    Returns:
        ``Advice``.

    Raises:
        ValueError: another part, a schedule, fewer than two features, fewer distinct ones than tokens, or arguments
            that ``td.run`` would refuse.

    Example:
        >>> import numpy as np, tokdyn as td
        >>> features = np.random.default_rng(0).normal(size=(400, 2)).astype(np.float32)
        >>> found = td.theory.recommend(td.catalog.soft_kmeans(temperature=50.0), features, num_tokens=3)
        >>> list(found.values)
        ['attract.temperature']
    """
    count = checks.whole_number("num_tokens", num_tokens, at_least=1)
    _, part = only_attraction(dynamics, allowed=(Attraction, Repulsion, Inertia))
    heat = float(part.temperature)
    values = np.asarray(checks.floating("features", np.asarray(features), axes="[N, D]", xp=np))
    enough_features(values, count)
    forecast = collapse_forecast(values, num_tokens=count, temperature=heat)
    return advised(dynamics, features, forecast, num_tokens=count, key=key)


def advised(
    dynamics: Dynamics, features: ArrayLike, forecast: Forecast, *, num_tokens: int, key: jax.Array | None
) -> Advice:
    """``recommend``, for which the forecast is already known.

    Args:
        dynamics: as ``recommend``.
        features: as ``recommend``.
        forecast: at the dynamics' temperature.
        num_tokens: K.
        key: of the start of a short run.
    """
    name, part = only_attraction(dynamics, allowed=(Attraction, Repulsion, Inertia))
    rows = critical.some_rows(checks.floating("features", np.asarray(features), axes="[N, D]", xp=np), _FEATURES)
    values: dict[str, float] = {}
    laws: list[str] = []

    def change(path: str, value: float, why: str) -> None:
        values[path] = value
        laws.append(f"{path} = {value:.3g}: {why}.")

    # Temperature: do tokens merge? Those that repel one another do not, whatever it is.
    heat = float(part.temperature)
    repels = any(isinstance(one, Repulsion) and float(one.strength) > 0 for one in dynamics.parts)
    merges = forecast.regime not in ("none", "unknown") and forecast.critical_temperature > 0
    if merges and num_tokens > 1 and not repels:
        before, automatic = heat, forecast.suggested_temperature
        if before > automatic:
            heat, how = automatic, f"this is half of the variance that {num_tokens} tokens leave"
        else:
            # Tokens merge in clusters that are tight compared with the rest: only a colder temperature parts them.
            heat, how = before / 4, "a quarter keeps more of them apart, and so would fewer tokens"
        change(f"{name}.temperature", heat, (
            f"at {before:.3g}, {forecast.ratio:.3g} times the critical temperature 2 lambda_max = "
            f"{forecast.critical_temperature:.3g}, tokens merge; {how}"
        ))  # fmt: skip
    momentum = max([0.0, *(float(one.momentum) for one in dynamics.parts if isinstance(one, Inertia))])
    moving = [label for label, one in zip(dynamics.names, dynamics.parts, strict=True) if isinstance(one, Inertia)]
    if momentum >= 1:
        momentum = 0.5
        change(f"{moving[0]}.momentum", momentum, "at 1 or more a displacement never decays (|m| < 1)")

    # The attraction alone at rest: what does each token own, and how slow is the slowest direction?
    plain = with_values(compose(**{name: part}), {f"{name}.temperature": heat, f"{name}.rate": 1.0})
    tokens = np.zeros((1, rows.shape[1]), np.float32)
    if repels or moving:
        ended = run(plain, jax.random.key(0) if key is None else key, rows.astype(np.float32),
                    num_tokens=min(num_tokens, len(rows)), max_steps=_STEPS, tol=1e-4, assignment="none")  # fmt: skip
        tokens = np.asarray(ended.tokens)
    rate = float(part.rate)
    limit = float(largest_rate(momentum))
    if rate >= limit:
        rate = _SAFELY * limit / 2
        change(f"{name}.rate", rate, f"from 2 (1 + m) = {limit:.3g} on tokens of separate clusters fly apart")

    # Repulsion: kicks across the features, pairs that alternate.
    for label, one in zip(dynamics.names, dynamics.parts, strict=True):
        if not isinstance(one, Repulsion) or float(one.strength) == 0 or num_tokens < 2:
            continue
        spread = float(np.sqrt(((rows - rows.mean(axis=0)) ** 2).sum(axis=1).mean()))
        eps = float(one.eps)
        if spread > 0 and (eps == 0 or float(largest_kick(one.strength, eps, kernel=one.kernel)) > _KICK * spread):
            soft = float(softening_for(one.strength, _KICK * spread, kernel=one.kernel))
            kick = (
                "without bound" if eps == 0 else f"of {float(largest_kick(one.strength, eps, kernel=one.kernel)):.3g}"
            )
            change(f"{label}.eps", soft, f"with {eps:.3g} two near tokens get a kick {kick}; now a tenth of the spread")
        own = critical_temperatures(rows, tokens, heat) if heat > 0 else np.zeros(1)
        tightest = float(own.min()) / heat if heat > 0 else 0.0
        flip = float(flip_multiplier(rate=rate, momentum=momentum))
        if tightest < flip:
            rate = _SAFELY * 2 * (1 + momentum) / 3
            change(f"{name}.rate", rate, (
                f"a pair in the tightest cluster, where 2 lambda / T = {tightest:.2g}, alternates for ever below "
                f"1 - 2 (1 + m) / (3 rate) = {flip:.2g}"
            ))  # fmt: skip

    # Inertia: is there a better momentum?
    if moving and f"{moving[0]}.momentum" not in values:
        eigenvalues = stability(plain, rows.astype(np.float32), tokens).eigenvalues.real
        slowest = float(np.clip(eigenvalues.max(), 0.0, 1 - 1e-6))
        best = float(best_momentum(slowest, rate=min(rate, 1.0)))
        has_repulsion = any(isinstance(one, Repulsion) and float(one.strength) > 0 for one in dynamics.parts)
        # Where a pair repels itself, momentum is also what keeps it from alternating.
        if abs(best - momentum) > 0.2 and not has_repulsion:
            steps = [math.inf if m >= 1 else _steps(slowest, rate, m) for m in (momentum, best)]
            change(f"{moving[0]}.momentum", best, (
                f"(1 - sqrt(eta h))^2 damps the slowest direction (multiplier {slowest:.3g}) fastest: a factor e in "
                f"{steps[1]:.3g} steps, with {momentum:.3g} in {steps[0]:.3g}"
            ))  # fmt: skip
    return Advice(values, tuple(laws), with_values(dynamics, values))


def _steps(multiplier: float, rate: float, momentum: float) -> float:
    radius = float(momentum_radius(multiplier, rate, momentum))
    return math.inf if radius >= 1 else 1 / abs(math.log(max(radius, 1e-9)))
