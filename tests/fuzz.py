"""Random programs and random numbers against a NumPy reference: what must hold for inputs that nobody chose.

``python tests/fuzz.py --programs 300 --draws 3500`` by hand; ``tests/dynamics/test_fuzz.py`` does a few in every gate.

A *program* is what is compiled: sizes, dtype, parts and their order, masks or none, one run at a time, under ``vmap``,
or in blocks. A *draw* is what is then put in: features of any scale, temperatures from 0 to infinity, starts, masks.
For each draw:

* the result is finite wherever its status says so, and rows of the assignment sum to one;
* one step, from the start and from later states, is that of a float64 reference up to a bound on the rounding, and so
  is the assignment at the tokens returned. Bounds are of intervals, `[lowest, highest]` weight of each token: where
  rounding decides who owns a feature, both are far apart and nothing is asked;
* a change of unit changes nothing else: features and starts times c, temperature times c^2 and so on give c times
  the tokens, bit for bit, for a power of two c that keeps all numbers in range.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

import tokdyn as td
from tokdyn import environment
from tokdyn.dynamics import arrangement, tiles

# The compiler settings of users, whatever the suite's are: what this looks for is made by optimisations.
FULL = {"xla_backend_optimization_level": 3, "xla_llvm_disable_expensive_passes": False}
if environment.knows_fusion_emitters():
    FULL["xla_cpu_use_fusion_emitters"] = True

MAX_STEPS = 12
# Which power of a length each number is.
POWERS = {"features": 1, "tokens": 1, "temperature": 2, "strength": 3, "eps": 1, "noise": 1, "tol": 1}


@dataclasses.dataclass(frozen=True)
class Program:
    """What is compiled. ``parts`` are in the order of application."""

    num_features: int
    num_tokens: int
    num_dimensions: int
    dtype: str
    parts: tuple[str, ...]
    distances: str
    kernel: str
    masked: bool
    token_masked: bool
    drawn: bool  # whether starts are drawn by the run or given
    form: str
    stop: str
    small_tiles: bool  # tiles as if these few features were many


def programs(seed: int, count: int) -> Iterator[Program]:
    """Random programs, one dimension and two tokens among them more often than not."""
    generator = np.random.default_rng(seed)
    pick = lambda options, weights=None: generator.choice(  # noqa: E731
        options, p=None if weights is None else np.array(weights) / sum(weights)
    )
    for _ in range(count):
        num_tokens = int(pick([1, 2, 3, 4, 7, 16], [1, 6, 3, 3, 2, 1]))
        rest = [name for name in ("repel", "inertia", "noise", "pull_again") if generator.random() < 0.3]
        parts = (["attract"] if generator.random() < 0.95 else []) + rest
        generator.shuffle(parts)
        yield Program(
            num_features=num_tokens + int(pick([0, 1, 7, 30, 90, 600], [1, 1, 3, 3, 3, 1])),
            num_tokens=num_tokens,
            num_dimensions=int(pick([1, 2, 3, 5, 8, 17, 40, 300], [8, 4, 3, 3, 2, 2, 1, 0.5])),
            dtype=str(pick(["float32", "bfloat16", "float64"], [8, 1, 1])),
            parts=tuple(parts) or ("attract",),
            distances=str(pick(["product", "difference"], [2, 1])),
            kernel=str(pick(["coulomb", "plummer"])),
            masked=bool(generator.random() < 0.4),
            token_masked=bool(generator.random() < 0.4),
            drawn=bool(generator.random() < 0.4),
            form=str(pick(["jit", "vmap", "td.vmap"])),
            stop=str(pick(["displacement", "residual"], [3, 1])),
            small_tiles=bool(generator.random() < 0.3),
        )


class Draws:
    """The numbers of many runs of one program; every attribute has a leading axis `[R]`."""

    def __init__(self, program: Program, generator: np.random.Generator, count: int) -> None:
        n, k, d = program.num_features, program.num_tokens, program.num_dimensions
        limits = jnp.finfo(program.dtype)
        # Half of the dtype's exponents on each side of 1: squares of sums of 300 stay far inside with float32.
        most = 30.0
        uniform = lambda low, high: generator.uniform(low, high, count)  # noqa: E731
        scale = 10.0 ** np.where(generator.random(count) < 0.5, uniform(-2, 3), uniform(-most, most))
        features = generator.normal(size=(count, n, d))
        kind = generator.integers(0, 7, count)
        clusters = generator.normal(size=(count, 4, d)) * 10.0 ** generator.uniform(-2, 2, (count, 1, 1))
        which = generator.integers(0, 4, (count, n))
        blobs = clusters[np.arange(count)[:, None], which] + 0.1 * features
        features = np.where((kind == 1)[:, None, None], blobs, features)
        features = np.where((kind == 2)[:, None, None], features + 10.0 ** uniform(0, 4)[:, None, None], features)
        features = np.where((kind == 3)[:, None, None], np.round(features), features)  # ties and duplicates
        features = np.where((kind == 4)[:, None, None], features[:, :1], features)  # all the same
        outlier = 10.0 ** uniform(0, 6)
        features[:, 0] *= np.where(kind == 5, outlier, 1.0)[:, None]
        features = np.where((kind == 6)[:, None, None], np.sign(features) * (np.abs(features) > 1), features)
        features *= scale[:, None, None]
        self.scale = scale

        def cast(values):
            # Compiled programs take numbers below the smallest normal one for 0, so that they are not drawn.
            with np.errstate(over="ignore"):
                normal = np.where(np.abs(values) < float(limits.tiny), 0.0, np.clip(values, -float(limits.max), np.inf))
                infinite = np.isinf(values)
                normal = np.where(infinite, normal, np.minimum(normal, float(limits.max) * (1 - float(limits.eps))))
                return normal.astype(jnp.dtype(program.dtype))

        self.features = cast(np.clip(features, -float(limits.max) / 8, float(limits.max) / 8))
        near = features[:, generator.permutation(n)[:k]] + scale[:, None, None] * 0.3 * generator.normal(
            size=(count, k, d)
        )
        near = np.where((generator.random((count, k)) < 0.2)[..., None], near[:, :1], near)  # coincident tokens
        far = (
            near
            * 10.0 ** np.where(generator.random((count, k)) < 0.1, generator.uniform(0, 4, (count, k)), 0.0)[..., None]
        )
        self.tokens = cast(np.clip(far, -float(limits.max) / 8, float(limits.max) / 8))
        self.mask = generator.random((count, n)) < 0.7
        self.mask[:, :k] = True
        self.token_mask = generator.random((count, k)) < 0.7
        self.token_mask[:, 0] = True
        relative = 10.0 ** uniform(-8, 5)
        temperature = np.where(generator.random(count) < 0.7, relative * scale**2, 10.0 ** uniform(-37, 38))
        special = generator.random(count)
        temperature = np.where(special < 0.1, 0.0, np.where(special > 0.95, np.inf, temperature))
        self.temperature = cast(temperature)
        self.rate = cast(generator.choice([0.3, 1.0, 1.0, 1.7], count))
        self.strength = cast(10.0 ** uniform(-6, 0) * scale**3)
        self.eps = cast(10.0 ** uniform(-3, 0) * scale)
        self.momentum = cast(uniform(0, 0.9))
        self.noise = cast(10.0 ** uniform(-4, -1) * scale)
        self.tol = cast(10.0 ** uniform(-6, -2) * scale)
        self.seed = generator.integers(0, 2**31, count).astype(np.uint32)

    def leaves(self) -> dict[str, np.ndarray]:
        """All but the scale, by name."""
        return {name: value for name, value in vars(self).items() if name != "scale"}

    def times(self, factor: np.ndarray) -> dict[str, np.ndarray]:
        """The leaves in another unit: lengths times c `[R]`, a power of two."""
        scaled = {}
        for name, value in self.leaves().items():
            times = factor.reshape(-1, *[1] * (value.ndim - 1)) ** POWERS.get(name, 0)
            with np.errstate(over="ignore", under="ignore"):
                scaled[name] = value if name not in POWERS else (value.astype(np.float64) * times).astype(value.dtype)
        return scaled


def compiled(program: Program):
    """``(leaves, tol, min_steps) -> Result`` of all runs."""
    # Rows from two dimensions on, and tiles as on one core or on several, whatever machine this is.
    tokens_last = program.num_dimensions % 2 == 1
    small = {
        "MOST_NUMBERS": 0,
        "MOST_OF_FEW": 0,
        "MOST_DIMENSIONS": 1,
        "cut_of": lambda rows, *_: arrangement.Cut(24 if rows > 24 else None, tokens_last),
    }
    usual = {name: getattr(arrangement, name) for name in small}

    def dynamics_of(one):
        parts = {
            "attract": lambda: td.attraction(
                temperature=one["temperature"], rate=one["rate"], distances=program.distances
            ),
            "pull_again": lambda: td.attraction(temperature=one["temperature"] * 2, rate=one["rate"] * 0.1),
            "repel": lambda: td.repulsion(strength=one["strength"], eps=one["eps"], kernel=program.kernel),
            "inertia": lambda: td.inertia(momentum=one["momentum"]),
            "noise": lambda: td.noise(scale=one["noise"]),
        }
        whole = td.compose(**{name: parts[name]() for name in program.parts})
        pulls = [name for name in whole if isinstance(whole[name], td.Attraction)]
        return whole.assigning(pulls[0]) if len(pulls) > 1 else whole

    def one_run(one, tol, min_steps):
        return td.run(
            dynamics_of(one),
            jax.random.key(one["seed"]),
            one["features"],
            num_tokens=program.num_tokens,
            max_steps=MAX_STEPS,
            tol=tol,
            min_steps=min_steps,
            stop=program.stop,
            tokens=None if program.drawn else one["tokens"],
            mask=one["mask"] if program.masked else None,
            token_mask=one["token_mask"] if program.token_masked else None,
        )

    def all_runs(leaves, tol, min_steps):
        try:
            for name, value in (small if program.small_tiles else usual).items():
                setattr(arrangement, name, value)
            return in_form(leaves, tol, min_steps)
        finally:
            for name, value in usual.items():
                setattr(arrangement, name, value)

    def in_form(leaves, tol, min_steps):
        if program.form == "jit":
            return jax.lax.map(lambda x: one_run(x[0], x[1], min_steps), (leaves, tol))
        mapped = jax.vmap if program.form == "vmap" else td.vmap
        return mapped(lambda leaves, tol: one_run(leaves, tol, min_steps))(leaves, tol)

    return jax.jit(all_runs, compiler_options=FULL)


def check(program: Program, seed: int, count: int) -> tuple[int, list[str]]:
    """Runs of one program; the number of runs, and a line for every property that failed."""
    with jax.enable_x64(program.dtype == "float64"):
        draws = Draws(program, np.random.default_rng(seed), count)
        function = compiled(program)
        call = lambda leaves, tol, steps: jax.tree.map(np.asarray, function(leaves, tol, np.int32(steps)))  # noqa: E731
        leaves = draws.leaves()
        endless = np.full(count, np.inf, leaves["tol"].dtype)
        result = call(leaves, leaves["tol"], 0)
        # The driver stops after exactly so many steps where every displacement is below the tolerance.
        states = [call(leaves, endless, steps) for steps in (1, 2, 3)]
        failures = _is_sound(program, leaves, result)
        failures += _assigns(program, leaves, result)
        failures += _steps(program, leaves, states)
        factor = 2.0 ** np.random.default_rng(seed + 1).integers(-20, 21, count)
        scaled = draws.times(factor)
        failures += _is_scaled(program, leaves, scaled, factor, result, call(scaled, scaled["tol"], 0))
    return 5 * count, failures


def _wide(values: np.ndarray) -> np.ndarray:
    """With more digits than the program's: float64's own rounding would show in a test of float64."""
    return np.asarray(values).astype(np.longdouble if values.dtype == np.float64 else np.float64)


def _some(name: str, bad: np.ndarray) -> list[str]:
    """One line for a property, with the first draws that break it."""
    rows = np.flatnonzero(bad.reshape(len(bad), -1).any(axis=1))
    return [f"{name}: {len(rows)} of {len(bad)} draws, first {rows[:5].tolist()}"] if len(rows) else []


def _is_sound(program: Program, leaves: dict[str, np.ndarray], result: td.Result) -> list[str]:
    """CONVERGED and MAX_STEPS speak of everything that the result holds."""
    fine = result.status <= 1
    eps = float(jnp.finfo(program.dtype).eps)
    tokens, assignment = _wide(result.tokens), _wide(result.assignment)
    exists = leaves["token_mask"] if program.token_masked else np.ones_like(leaves["token_mask"])
    kept = leaves["mask"] if program.masked else np.ones_like(leaves["mask"])
    finite = np.isfinite(np.where(exists[..., None], tokens, 0)).all((1, 2)) & np.isfinite(_wide(result.displacement))
    rows = np.where(kept[..., None], assignment, 1.0 / program.num_tokens)
    sums = np.abs(rows.sum(axis=2) - 1) <= (program.num_tokens + 2) * eps
    inside = (rows >= 0) & (rows <= 1 + 2 * eps)
    masked = ~exists[:, None, :] & kept[..., None] & (assignment != 0)
    few = (result.num_distinct < 1) | (result.num_distinct > exists.sum(axis=1))
    return (
        _some("a number that is not finite, whatever the status says", fine & ~finite)
        + _some("rows of the assignment that do not sum to one", fine[:, None] & ~sums)
        + _some("weights outside 0 and 1", fine[:, None, None] & ~inside)
        + _some("masked tokens that own features", fine[:, None, None] & masked)
        + _some("num_distinct out of range", fine & few)
        + _some("NONFINITE without a cause", ~fine & _calm(program, leaves))
    )


def _calm(program: Program, leaves: dict[str, np.ndarray]) -> np.ndarray:
    """Draws of which every intermediate result is far inside the dtype, so that nothing may overflow."""
    most = np.abs(_wide(leaves["features"])).max(axis=(1, 2))
    if not program.drawn:
        most = np.maximum(most, np.abs(_wide(leaves["tokens"])).max(axis=(1, 2)))
    calm = most < 1e30 * (1 if set(program.parts) <= {"attract", "pull_again"} else 1e-12)
    if "repel" in program.parts:
        kick = _wide(leaves["strength"]) / np.maximum(_wide(leaves["eps"]), 1e-300) ** 2 * program.num_tokens
        calm &= kick < 1e12 * np.maximum(most, 1e-30)
    # An explosion of twelve steps by rates of at most 1.7 and momenta of at most 0.9 stays below 3^12.
    return calm


def _intervals(
    program: Program,
    form: str,
    features: np.ndarray,
    tokens: np.ndarray,
    temperature: np.ndarray,
    kept: np.ndarray,
    exists: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest weight `[R, N, K]` that rounding allows.

    With squared distances known up to `e`, and a temperature between T and what is resolved,
    `w_k = 1 / sum_j exp((d_k - d_j) / T)` lies between the two sums that the ends of these intervals give.
    """
    eps, tiny = float(jnp.finfo(program.dtype).eps), float(jnp.finfo(program.dtype).tiny)
    dimension = features.shape[2]
    largest = np.maximum(np.abs(np.where(kept[..., None], features, 0)).max(axis=(1, 2)), tiny)[:, None, None]
    scale = np.exp2(np.floor(np.log2(largest)))  # a power of two: any other would round what is then subtracted
    x, s, t = features / scale, tokens / scale, temperature[:, None, None] / scale**2
    gaps = x[:, :, None, :] - s[:, None, :, :]
    squared = np.where(exists[:, None, :], (gaps**2).sum(axis=3), np.inf)  # [R, N, K]
    lowest = squared.min(axis=2, keepdims=True)
    centre = np.where(kept[..., None], x, 0).sum(axis=1, keepdims=True) / kept.sum(axis=1)[:, None, None]
    away = np.linalg.norm(x - centre, axis=2)[:, :, None]
    out = np.linalg.norm(s - centre, axis=2)[:, None, :]
    if form == "product":
        error = (
            4 * (dimension + 8) * eps * ((away + out) ** 2 + (away + out) * np.linalg.norm(centre, axis=2)[..., None])
        )
        spread = np.where(kept[..., None], away, 0).max(axis=1, keepdims=True)
        nearest = dimension**0.5 * np.where(exists[:, None, :], out, np.inf).min(axis=2, keepdims=True)
        # The centre is a float of the dtype, and so is the spread: 1.1 for both.
        floor = (
            1.1
            * dimension
            * eps
            / 64
            * (3 * spread + nearest + 10 * eps * np.linalg.norm(centre, axis=2)[..., None]) ** 2
        )
    else:
        # Each difference is rounded once; a number below the smallest normal one is lost.
        error = 4 * (dimension + 8) * eps * squared
        floor = 1.1 * (dimension + 2) * eps / 64 * lowest + error.min(axis=2, keepdims=True)
    if form == "assigned" and dimension > tiles.FEW_DIMENSIONS:
        # By products where they are off by this at most; what is typical grows with the root of D, what is possible
        # with D.
        error = error + 2 * dimension**0.5 * tiles.TOLERATED * np.where(np.isinf(t), 0.0, t)
    error = np.where(np.isfinite(squared), error, 0.0) + 64 * dimension * tiny
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        coldest = np.maximum(t * (1 - 16 * eps), 0.0)
        warmest = np.maximum(t * (1 + 16 * eps), floor) + 1e-30
        safe = np.where(np.isfinite(squared), squared, 0.0)
        lower = np.zeros_like(safe)
        upper = np.zeros_like(safe)
        for j in range(tokens.shape[1]):
            gap = safe - safe[:, :, j : j + 1]
            uncertain = error + error[:, :, j : j + 1]
            counts = exists[:, None, j : j + 1]
            itself = np.arange(tokens.shape[1]) == j
            for total, shifted, divisors in (
                (lower, gap - uncertain, (warmest, coldest)),
                (upper, gap + uncertain, (coldest, warmest)),
            ):
                total += np.where(itself, 1.0, np.where(counts, np.exp(_quotient(shifted, *divisors)), 0.0))
    relative = 1 + 8 * (program.num_tokens + 8) * eps
    low = np.where(exists[:, None, :], 1 / upper / relative - 4 * tiny, 0.0)
    high = np.where(exists[:, None, :], np.minimum(relative / lower, relative), 0.0) + 4 * tiny
    return np.maximum(low, 0.0), high


def _quotient(gap: np.ndarray, if_positive: np.ndarray, if_negative: np.ndarray) -> np.ndarray:
    """``gap / T`` with the T that its sign asks for; 0 / 0 is 0."""
    divisor = np.where(gap > 0, if_positive, if_negative)
    quotient = gap / np.where(divisor > 0, divisor, 1.0)
    return np.where(divisor > 0, quotient, np.where(gap == 0, 0.0, np.sign(gap) * np.inf))


def _masks(program: Program, leaves: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    kept = leaves["mask"] if program.masked else np.ones_like(leaves["mask"])
    exists = leaves["token_mask"] if program.token_masked else np.ones_like(leaves["token_mask"])
    return kept, exists


def _rule(program: Program, leaves: dict[str, np.ndarray]) -> tuple[str, np.ndarray]:
    """The form and the temperature of the assignment: of the first attraction, or the nearest token."""
    for name in program.parts:
        if name == "attract":
            return "assigned" if program.distances == "product" else "difference", _wide(leaves["temperature"])
        if name == "pull_again":
            return "assigned", _doubled(leaves["temperature"])
    return "assigned", np.zeros(len(leaves["temperature"]))


def _doubled(temperature: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        return _wide(temperature * np.asarray(2, temperature.dtype))


def _assigns(program: Program, leaves: dict[str, np.ndarray], result: td.Result) -> list[str]:
    """The assignment is that of the tokens returned."""
    kept, exists = _masks(program, leaves)
    form, temperature = _rule(program, leaves)
    tokens = np.where(exists[..., None], _wide(result.tokens), 0.0)
    features = np.where(kept[..., None], _wide(leaves["features"]), 0.0)
    usable = (result.status <= 1) & _within(features, tokens)
    tokens = np.where(usable[:, None, None], tokens, 0.0)
    low, high = _intervals(program, form, features, tokens, temperature, kept, exists)
    got = _wide(result.assignment)
    bad = (got < low) | (got > high)
    return _some("assignment", bad & kept[..., None] & usable[:, None, None])


def _within(features: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    """Tokens within 10^12 times the features' scale: farther ones count as if they were at 10^15.

    Features that are all 0 have no scale, and distances to them are resolved to 10^-19 in whatever unit that is.
    """
    scale = np.abs(features).max(axis=(1, 2))
    return np.isfinite(tokens).all((1, 2)) & (np.abs(tokens).max(axis=(1, 2)) <= 1e12 * scale)


def _steps(program: Program, leaves: dict[str, np.ndarray], states: list[td.Result]) -> list[str]:
    """Each of the first steps is the reference's, from the states before it."""
    if "noise" in program.parts:
        return []
    kept, exists = _masks(program, leaves)
    features = np.where(kept[..., None], _wide(leaves["features"]), 0.0)
    limits = jnp.finfo(program.dtype)
    eps, tiny, most = float(limits.eps), float(limits.tiny), float(limits.max)
    paths = [_wide(state.tokens) for state in states]
    if not program.drawn:
        paths = [_wide(leaves["tokens"]), *paths]
    failures = []
    first = 1 if program.drawn else 0  # a drawn start is not known here, and inertia needs two states
    for number in range(first, len(paths) - 1):
        before, now, after = paths[max(number - 1, 0)], paths[number], paths[number + 1]
        before, now = (np.where(exists[..., None], x, 0.0) for x in (before, now))
        state = states[number if not program.drawn else number + 1]
        usable = (state.status <= 1) & (state.num_steps == number + (2 if program.drawn else 1))
        usable &= _within(features, now) & _within(features, before)
        displacement, bound = np.zeros_like(now), np.zeros_like(now)
        for name in program.parts:
            if name in ("attract", "pull_again"):
                form = program.distances if name == "attract" else "product"
                temperature = _wide(leaves["temperature"]) if name == "attract" else _doubled(leaves["temperature"])
                rate = _wide(leaves["rate"]) * (1.0 if name == "attract" else 0.1)
                pull, error = _pulled(program, form, features, now, temperature, rate, kept, exists)
            elif name == "repel":
                pull, error = _pushed(program, leaves, now, exists)
            else:
                momentum = _wide(leaves["momentum"])[:, None, None]
                pull = momentum * (now - before)
                error = 4 * eps * np.abs(pull)
            displacement, bound = displacement + pull, bound + error
        expected = now + displacement
        bound = bound + 4 * eps * (np.abs(now) + np.abs(displacement)) + 8 * tiny
        big = np.abs(displacement).max(axis=(1, 2)) > most / 1e3
        usable &= ~big
        bad = ~(np.abs(np.where(usable[:, None, None], after, expected) - expected) <= bound)
        failures += _some(f"step {number}", bad & exists[..., None] & usable[:, None, None])
    return failures


def _pulled(program, form, features, tokens, temperature, rate, kept, exists):
    """The pull of the reference `[R, K, D]`, and a bound on its error."""
    eps, tiny = float(jnp.finfo(program.dtype).eps), float(jnp.finfo(program.dtype).tiny)
    usable = _within(features, tokens)
    tokens = np.where(usable[:, None, None], tokens, 0.0)
    low, high = _intervals(program, form, features, tokens, temperature, kept, exists)
    low, high = low * kept[..., None], high * kept[..., None]
    weights = (low + high) / 2
    mass = weights.sum(axis=1)  # [R, K]
    safe = np.where(mass > 0, mass, 1.0)
    target = np.einsum("rnk,rnd->rkd", weights, features) / safe[..., None]
    centre = features.sum(axis=1, keepdims=True) / kept.sum(axis=1)[:, None, None]
    # Any weights within their intervals have a mean no farther from this one than:
    uncertain = (high - low) / 2
    distances = np.linalg.norm(features[:, :, None, :] - target[:, None, :, :], axis=3)
    lowest = low.sum(axis=1)
    error = np.einsum("rnk,rnk->rk", uncertain, distances) / np.where(lowest > 0, lowest, np.nan)
    count = features.shape[1]
    size = np.where(kept[..., None], np.abs(features - centre), 0).max(axis=1)[:, None, :] + np.abs(tokens - centre)
    rounding = (count + 16) * eps * (size + np.abs(centre) + np.abs(tokens) * 2)
    rounding = (
        rounding
        + tiny * np.abs(features).max(axis=(1, 2))[:, None, None] * count / np.maximum(lowest, 1e-300)[..., None]
    )
    error = error[..., None] + rounding
    # A mass near the smallest number is lost, or stays: nothing is asked.
    error = np.where((lowest > 1e6 * tiny)[..., None] & np.isfinite(error), error, np.inf)
    scaled = np.broadcast_to(rate[:, None, None], tokens.shape)
    return scaled * (target - tokens), np.where(scaled == 0, 0.0, scaled * error)


def _pushed(program, leaves, tokens, exists):
    """The push of the reference `[R, K, D]`, and a bound on its error."""
    eps, tiny, most = (float(getattr(jnp.finfo(program.dtype), name)) for name in ("eps", "tiny", "max"))
    strength, softening = _wide(leaves["strength"])[:, None, None], _wide(leaves["eps"])[:, None, None]
    gaps = tokens[:, :, None, :] - tokens[:, None, :, :]
    distances = np.linalg.norm(gaps, axis=3)
    length = distances + softening if program.kernel == "coulomb" else np.sqrt(distances**2 + softening**2)
    feels = exists[:, None, :] & ~np.eye(tokens.shape[1], dtype=bool) & (length > 0)
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        each = np.where(feels, strength / np.where(feels, length, 1.0) ** 3, 0.0)[..., None] * gaps
        push, size = each.sum(axis=2), np.abs(each).sum(axis=2)
        # Factors one after another: strength / length, and a unit vector, may be lost below the smallest number.
        inverse = np.where(feels, 1 / np.where(feels, length, 1.0), 0.0)[..., None]
        lost = (tiny * (inverse + inverse**2 + 1) * np.abs(gaps).max(axis=3, keepdims=True) + tiny * inverse).sum(
            axis=2
        )
        largest = np.maximum((strength[..., None] * inverse).max(axis=(1, 2, 3)), inverse.max(axis=(1, 2, 3)))
    error = (64 + 2 * program.num_tokens) * eps * size + lost * 16
    return push, np.where((largest < most / 1e3)[:, None, None], error, np.inf)


def _is_scaled(program, leaves, scaled, factor, result, other) -> list[str]:
    """The run in another unit is the same run."""
    limits = jnp.finfo(program.dtype)
    low, high = float(limits.tiny) * 2.0**24, float(limits.max) / 2.0**24
    kept, exists = _masks(program, leaves)
    exact = np.abs(np.where(kept[..., None], _wide(leaves["features"]), 0.0)).max(axis=(1, 2)) > 0
    for name, value in leaves.items():
        if name not in POWERS:
            continue
        before, after = np.abs(_wide(value)), np.abs(_wide(scaled[name]))
        if name == "temperature":
            before, after = (np.where(np.isinf(_wide(value)), 1.0, x) for x in (before, after))
        for x in (before, after):
            flat = x.reshape(len(x), -1)
            exact &= ((flat == 0) | ((flat > low) & (flat < high))).all(axis=1)
        exact &= ((before == 0) == (after == 0)).reshape(len(factor), -1).all(axis=1)
    if "repel" in program.parts:  # factors of the push, and what they multiply
        lengths = np.maximum(np.abs(_wide(leaves["features"])).max(axis=(1, 2)), _wide(leaves["eps"]))
        for c in (1.0, factor):
            exact &= (lengths * c < 1e12) & (_wide(leaves["eps"]) * c > 1e-9)
    for outcome in (result, other):
        flat = np.abs(_wide(outcome.tokens)).reshape(len(factor), -1)
        exact &= ((flat == 0) | ((flat > low) & (flat < high)) | ~np.isfinite(flat)).all(axis=1)
        exact &= outcome.status <= 1
    times = factor[:, None, None]
    tokens = (_wide(result.tokens) * times != _wide(other.tokens)) & exists[..., None]
    return (
        _some("tokens in another unit", tokens & exact[:, None, None])
        + _some("steps in another unit", (result.num_steps != other.num_steps) & exact)
        + _some(
            "assignment in another unit", (_wide(result.assignment) != _wide(other.assignment)) & exact[:, None, None]
        )
    )


def main(words: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--programs", type=int, default=20)
    parser.add_argument("--draws", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="begin with this one of them: to go on where it ended")
    parser.add_argument("--only", type=int, help="one program, by its number")
    chosen = parser.parse_args(words)
    began, runs, failed, count = time.time(), 0, 0, 0
    for number, program in enumerate(programs(chosen.seed, chosen.programs)):
        if number < chosen.first or chosen.only not in (None, number):
            continue
        done, failures = check(program, chosen.seed + number, chosen.draws)
        runs += done
        failed += bool(failures)
        for line in failures:
            print(f"program {number} {program}\n  {line}", flush=True)
        jax.clear_caches()
        count += 1
        if sys.stderr.isatty() or number % 20 == 19:
            told = f"programs {chosen.first} to {number}: {runs:,} runs in {time.time() - began:.0f} s, {failed} failed"
            print(told, end="\r" if sys.stderr.isatty() else "\n", file=sys.stderr, flush=True)
    print(f"{runs:,} runs of {count} programs in {time.time() - began:.0f} s; {failed} programs failed")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
