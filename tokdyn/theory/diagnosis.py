"""One call for a user's own features: will the tokens collapse, why, and what to change?"""

from __future__ import annotations

import dataclasses
import json
import math
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import numpy as np
from numpy.typing import ArrayLike

from tokdyn import checks, keys
from tokdyn.checks import Status
from tokdyn.dynamics.attraction import Attraction
from tokdyn.dynamics.base import Dynamics
from tokdyn.dynamics.inertia import Inertia
from tokdyn.dynamics.repulsion import Repulsion
from tokdyn.nearest import nearest_tokens
from tokdyn.solve import run
from tokdyn.theory import critical
from tokdyn.theory.advice import Advice, advised
from tokdyn.theory.assumptions import enough_features, only_attraction
from tokdyn.theory.cascade import MOST_FEATURES, Cascade, critical_temperatures, splitting_cascade
from tokdyn.theory.forecast import Forecast, collapse_forecast
from tokdyn.theory.linear import Stability, stability

# Distances, in units of the clusters' width, below which tokens count as one.
RESOLUTIONS = tuple(float(one) for one in np.geomspace(0.01, 10, 13))
# A radius this near 1 means that tokens have hardly come to rest, however long they ran.
_SLOW = 0.99
# Of so few numbers the cascade is followed to a tenth of the temperature, which costs seconds on more.
_SMALL = 1 << 17
# Forecast and cascade are of the attraction: tokens that repel one another meet at no temperature.
_ALONE = "Without the repulsion, which keeps tokens apart at every temperature: "


@dataclasses.dataclass(frozen=True)
class Diagnosis:
    """What ``diagnose`` found; ``str`` is the report, ``to_json`` all numbers.

    Attributes:
        num_tokens: K.
        temperature: of the attraction, in squared units of the features.
        ratio: that over the critical temperature.
        repels: whether tokens repel one another. Then they meet at no temperature, and the next three are those of the
            attraction alone.
        forecast: what runs from random features come to, predicted before any long run.
        cascade: at which temperatures tokens part on the way down to this one.
        predicted: points that slow cooling from one point leaves at this temperature.
        simulated: distinct tokens at the end of a run from random features (a hundredth of the features' spread).
        live: tokens that own a feature.
        width: root mean square distance of features from their token: how wide the clusters are.
        resolutions: shares of the width `[R]`.
        distinct: tokens left when those nearer than so much of the width are merged `[R]`.
        own_ratios: for every token the temperature over its own critical one `[K]`; above 1 another token at its place
            would stay there.
        stability: of the end of the run.
        at_rest: whether the run came to rest.
        num_steps: of the run.
        num_features: how many features the run, the cascade and the stability have read; the forecast reads its own.
        findings: sentences.
        advice: values to set.
    """

    num_tokens: int
    temperature: float
    ratio: float
    repels: bool
    forecast: Forecast
    cascade: Cascade
    predicted: int
    simulated: int
    live: int
    width: float
    resolutions: tuple[float, ...]
    distinct: tuple[int, ...]
    own_ratios: np.ndarray
    stability: Stability
    at_rest: bool
    num_steps: int
    num_features: int
    findings: tuple[str, ...]
    advice: Advice

    def __str__(self) -> str:
        """Findings, then what to change."""
        lines = [f"{self.num_tokens} tokens at temperature {self.temperature:.4g}:"]
        advice = [f"* {one}" for one in str(self.advice).splitlines()]
        return "\n".join([*lines, *(f"* {line}" for line in self.findings), "", "Advice:", *advice])

    def to_json(self) -> str:
        """All numbers, as JSON."""
        numbers: dict[str, Any] = {
            field.name: getattr(self, field.name) for field in dataclasses.fields(self)
            if field.name in ("num_tokens", "temperature", "ratio", "repels", "predicted", "simulated", "live", "width",
                              "resolutions", "distinct", "at_rest", "num_steps", "num_features", "findings")
        }  # fmt: skip
        numbers["forecast"] = dataclasses.asdict(self.forecast)
        numbers["forecast_predicted_and_splits_hold_for"] = "the attraction alone" if self.repels else "this dynamics"
        numbers["splits"] = [{"temperature": one.temperature, "tokens": one.tokens, "distinct": one.distinct,
                              "share": one.share} for one in self.cascade.splits]  # fmt: skip
        numbers["own_ratios"] = self.own_ratios.tolist()
        radii = ("radius", "common_radius", "difference_radius", "residual")
        numbers["stability"] = {name: getattr(self.stability, name) for name in radii}
        numbers["advice"] = {"values": self.advice.values, "laws": self.advice.laws}
        return json.dumps(_finite(numbers), indent=1)


def diagnose(
    dynamics: Dynamics, features: ArrayLike, key: jax.Array | None = None, *, num_tokens: int, max_steps: int = 300
) -> Diagnosis:
    """Will the tokens of a dynamics collapse on these features, why, and what should be changed?

    Of more than 5,000 features a random sample is read, which says how far its critical temperature may be off; what
    costs most is 300 steps on those. Nothing larger than the sample and the tokens is held.

    Args:
        dynamics: attraction, and repulsion, inertia or neither, without schedules.
        features: `[N, D]`, finite.
        key: of the run's start; by default ``jax.random.key(0)``.
        num_tokens: K.
        max_steps: of the run.

    Returns:
        ``Diagnosis``.

    Raises:
        ValueError: another part, a schedule, fewer than two features, fewer distinct ones than tokens, infinite or NaN
            entries, a temperature that is not above 0, or tokens that run away.

    Example:
        >>> import jax, numpy as np, tokdyn as td
        >>> draw = np.random.default_rng(0)
        >>> features = np.concatenate([draw.normal(size=(100, 2)) + c for c in (-6, 0, 6)]).astype(np.float32)
        >>> found = td.diagnose(td.catalog.soft_kmeans(temperature=200.0), features, num_tokens=4)
        >>> found.simulated, list(found.advice.values)
        (1, ['attract.temperature'])
    """
    name, part = only_attraction(dynamics, allowed=(Attraction, Repulsion, Inertia))
    count = checks.whole_number("num_tokens", num_tokens, at_least=1)
    steps = checks.whole_number("max_steps", max_steps, at_least=1)
    values = np.asarray(checks.floating("features", np.asarray(features), axes="[N, D]", xp=np))
    enough_features(values, count)
    heat = float(part.temperature)
    if not heat > 0:
        raise checks.bad(f"{name}.temperature", "a number above 0 (at 0 every assignment is hard)", heat)
    key = jax.random.key(0) if key is None else key
    checks.random_key("key", key)
    forecast = collapse_forecast(values, num_tokens=count, temperature=heat)
    rows = critical.some_rows(values, MOST_FEATURES).astype(np.float32)
    critical_heat = forecast.critical_temperature
    lowest = min(heat, 0.999 * critical_heat) if critical_heat > 0 else heat
    if rows.size <= _SMALL:  # below the temperature too: a lower one would part these
        lowest *= 0.1
    # The cascade is NumPy's work on one core; the run, which must be compiled first, goes on beside it.
    with ThreadPoolExecutor(1) as beside:
        cooled = beside.submit(splitting_cascade, values, num_tokens=count, lowest=lowest)
        ended = run(dynamics, keys.for_purpose(key, "diagnose"), rows, num_tokens=min(count, len(rows)),
                    max_steps=steps, tol=1e-4 * _spread(rows), stop="residual", assignment="none")  # fmt: skip
        tokens = np.asarray(ended.tokens)
        if not np.isfinite(tokens).all():
            raise checks.bad("dynamics", "one whose tokens stay finite", "infinite or NaN tokens")
        owner = nearest_tokens(rows, tokens)
        width = float(np.sqrt(((rows - tokens[owner]) ** 2).sum(axis=1).mean()))
        own = critical_temperatures(rows, tokens, heat)
        stable = stability(dynamics, rows, ended.state)
        advice = advised(dynamics, values, forecast, num_tokens=count, key=key)
        cascade = cooled.result()
    repels = count > 1 and any(isinstance(one, Repulsion) and float(one.strength) > 0 for one in dynamics.parts)
    if repels:  # what follows the semicolon is a temperature that would part tokens, and nothing has to
        forecast = dataclasses.replace(forecast, sentence=_ALONE + forecast.sentence.split(";")[0].rstrip(".") + ".")
    found = Diagnosis(
        num_tokens=count, temperature=heat, ratio=forecast.ratio, repels=repels, forecast=forecast, cascade=cascade,
        predicted=cascade.distinct_at(heat) if cascade.splits else 1,
        simulated=int(ended.num_distinct), live=len(np.unique(owner)), width=width, resolutions=RESOLUTIONS,
        distinct=_distinct(tokens, width), own_ratios=heat / np.maximum(own, 1e-30), stability=stable,
        at_rest=int(ended.status) == Status.CONVERGED, num_steps=int(ended.num_steps), num_features=len(rows),
        findings=(), advice=advice,
    )  # fmt: skip
    return dataclasses.replace(found, findings=_findings(found, len(values)))


def _findings(found: Diagnosis, count: int) -> tuple[str, ...]:
    alone = _ALONE if found.repels else ""
    said = [found.forecast.sentence]
    cascade = found.cascade
    if cascade.splits:
        above = [split.temperature for split in cascade.splits if split.temperature > found.temperature]
        below = [split.temperature for split in cascade.splits if split.temperature <= found.temperature]
        first = ", ".join(f"{heat:.3g}" for heat in above[:6]) or "no temperature above this one"
        more = f" and {len(above) - 6} more" if len(above) > 6 else ""
        off = f" (the first to {100 * cascade.error:.1f} %)" if cascade.error else ""
        said.append(
            f"{alone}Cooled slowly from one point, tokens part at {first}{more}{off}, which leaves {found.predicted} "
            f"point{'s' if found.predicted > 1 else ''} at this temperature."
            + (f" The next part at {', '.join(f'{heat:.3g}' for heat in below[:3])}." if below else "")
        )
    elif found.num_tokens > 1:
        said.append(f"{alone}At this temperature or above no token parts from another that is at the same point.")
    rested = "came to rest" if found.at_rest else "had not come to rest"
    owned = "" if found.live == found.num_tokens else f"; {found.live} own a feature"
    said.append(
        f"A run from random features {rested} after {found.num_steps} steps with {found.simulated} of "
        f"{found.num_tokens} tokens distinct{owned}."
    )
    curve = dict(zip(found.distinct, found.resolutions, strict=True))
    parts = ", ".join(f"{number} up to {share:.2g}" for number, share in curve.items())
    said.append(f"Distinct tokens by resolution, in units of the clusters' width {found.width:.3g}: {parts}.")
    radius = found.stability.difference_radius
    if found.num_tokens > 1:
        if radius > 1 + 1e-3:
            what = "differences between tokens grow, so this is no resting place"
        elif radius > _SLOW:
            what = "differences between tokens hardly change from step to step"
        elif radius > 0:
            steps = 1 / max(-math.log(radius), 1e-9)
            what = f"a difference between tokens changes by a factor e within {steps:.2g} steps"
        else:
            what = "differences between tokens are gone after one step"
        said.append(f"Spectral radius at the end {found.stability.radius:.3g}, of differences {radius:.3g}: {what}.")
    if found.num_features < count:
        said.append(f"The run, the splits and the radius are those of {found.num_features:,} of {count:,} features.")
    return tuple(said)


def _distinct(tokens: np.ndarray, width: float) -> tuple[int, ...]:
    """``td.metrics.distinct_tokens`` at all resolutions, from one tree, without compiling."""
    if len(tokens) < 2:
        return (1,) * len(RESOLUTIONS)
    from scipy.cluster.hierarchy import linkage

    heights = linkage(tokens.astype(np.float64), "single")[:, 2]
    return tuple(1 + int((heights >= share * width).sum()) for share in RESOLUTIONS)


def _spread(rows: np.ndarray) -> float:
    return float(np.sqrt(((rows - rows.mean(axis=0)) ** 2).sum(axis=1).mean())) or 1.0


def _finite(value: Any) -> Any:
    """Infinite numbers as text, since JSON has none."""
    if isinstance(value, dict):
        return {name: _finite(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(one) for one in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
