"""The held-out bench: does a diagnosis name what it has seen in new company, and stay silent before what is foreign?

``tokdyn study autoencoder`` runs all of it; ``tokdyn study autoencoder --groups diagnosis`` nothing else.
"""

from __future__ import annotations

import functools
import itertools
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from tokdyn import checks
from tokdyn.autoencoder.diagnose.causes import Thresholds
from tokdyn.autoencoder.diagnose.composing import BLOCK, PLAIN, composed
from tokdyn.autoencoder.diagnose.findings import decide
from tokdyn.autoencoder.diagnose.primitives import AXES, DEVELOPMENT, PARTS, PRIMITIVES
from tokdyn.solve import vmap

# Causes that are faults even of a model that survives them.
PROVED = ("double_softmax", "wrong_targets", "inverted_loss", "no_gradient")
PARTS_SHOWN = ("unseen combination", "two faults", "foreign", "healthy")
SOUND = "(none)"


class Combination(NamedTuple):
    """One model of the bench.

    Attributes:
        names: of its primitives, one for each axis.
        part: "development", "unseen combination", "two faults", "foreign", "looked at" (foreign, and signatures were
            repaired by it) or "healthy".
    """

    names: tuple[str, ...]
    part: str

    @property
    def numbers(self) -> dict[str, float]:
        """The values of ``PLAIN``'s names; a fault's go before those of sound primitives."""
        chosen = sorted((PRIMITIVES[name] for name in self.names), key=lambda one: one.cause != "healthy")
        return functools.reduce(lambda made, one: {**made, **one.numbers}, chosen, dict(PLAIN))

    @property
    def causes(self) -> tuple[str, ...]:
        """What is wrong with it, without what is sound."""
        return tuple(PRIMITIVES[name].cause for name in self.names if PRIMITIVES[name].cause != "healthy")


class Outcome(NamedTuple):
    """What was said of a combination.

    Attributes:
        combination: which.
        cause: that was named, or "unexplained" or "healthy".
        ranked: every cause whose condition holds, the likeliest first.
        failed: whether types were lost.
    """

    combination: Combination
    cause: str
    ranked: tuple[str, ...]
    failed: bool

    @property
    def counts(self) -> bool:
        """Whether there is a fault to be named: one that is proved, one of the metric, or one that does harm."""
        return self.failed or any(cause in (*PROVED, "unknown_words_ceiling") for cause in self.combination.causes)

    @property
    def right(self) -> bool:
        """A planted cause is first or second of those named."""
        return bool(set(self.ranked[:2]) & set(self.combination.causes))


def combinations(*, each: int = 14, healthy: int = 240) -> list[Combination]:
    """Every fault in sound company, pairs of faults, and sound models; a function of its arguments alone.

    Args:
        each: combinations of each fault; a fifth of them twice are for development (see ``primitives``).
        healthy: sound models of seen and unseen choices.

    Returns:
        ``Combination`` in a fixed order, without repetition.
    """
    rng = np.random.default_rng(20_261)
    sound = {axis: [n for n, one in PRIMITIVES.items() if one.axis == axis and one.cause == "healthy"] for axis in AXES}
    seen = {axis: [name for name in names if PRIMITIVES[name].seen] for axis, names in sound.items()}
    made: dict[tuple[str, ...], Combination] = {}

    def drawn(company: dict[str, list[str]], part: str, *faults: str) -> None:
        chosen = {axis: str(rng.choice(names)) for axis, names in company.items()}
        chosen |= {PRIMITIVES[name].axis: name for name in faults}
        names = tuple(chosen[axis] for axis in AXES)
        if part == "seen":
            part = (
                "development" if zlib.crc32("/".join(names).encode()) % PARTS in DEVELOPMENT else "unseen combination"
            )
        made.setdefault(names, Combination(names, part))

    for name, one in PRIMITIVES.items():
        if one.cause != "healthy":
            for _ in range(each):
                drawn(seen, ("looked at" if one.seen else "foreign") if one.cause == "unexplained" else "seen", name)
    named = [name for name, one in PRIMITIVES.items() if one.cause not in ("healthy", "unexplained")]
    for left, right in itertools.combinations(named, 2):
        if PRIMITIVES[left].axis != PRIMITIVES[right].axis:
            drawn(seen, "two faults", left, right)
    for _ in range(healthy):
        drawn(sound, "healthy")
    return list(made.values())


@functools.cache
def _program(with_numbers: bool) -> Callable[..., Any]:
    options = {"xla_backend_optimization_level": 1} if jax.default_backend() == "cpu" else None
    return jax.jit(vmap(functools.partial(composed, with_numbers), batch_size=BLOCK), compiler_options=options)


def outcomes(chosen: Sequence[Combination], *, key: jax.Array) -> list[Outcome]:
    """Train and diagnose combinations.

    Args:
        chosen: which.
        key: of everything: a member's key is a function of it and of the names.

    Returns:
        ``Outcome`` of each, in order.
    """
    return judged(chosen, measured(chosen, key=key))


def measured(chosen: Sequence[Combination], *, key: jax.Array) -> list[tuple[dict[str, float], np.ndarray]]:
    """Measurements and losses of each combination, for ``judged``."""
    checks.random_key("key", key)
    found: dict[int, tuple[dict[str, float], np.ndarray]] = {}
    for with_numbers in (False, True):
        places = [place for place, one in enumerate(chosen) if (one.numbers["code"] >= 3) is with_numbers]
        if not places:
            continue
        numbers = {name: jnp.array([chosen[place].numbers[name] for place in places], jnp.float32) for name in PLAIN}
        tags = jnp.array([zlib.crc32("/".join(chosen[place].names).encode()) for place in places], jnp.uint32)
        own = jax.vmap(jax.random.fold_in, (None, 0))(key, tags)
        values, curves = jax.tree.map(np.asarray, _program(with_numbers)(numbers, own))
        for row, place in enumerate(places):
            found[place] = {name: float(column[row]) for name, column in values.items()}, curves[row]
    return [found[place] for place in range(len(chosen))]


def judged(chosen: Sequence[Combination], found: Sequence[tuple[dict[str, float], np.ndarray]]) -> list[Outcome]:
    """The diagnosis of each combination from its measurements."""
    made = []
    for one, (numbers, curve) in zip(chosen, found, strict=True):
        said = decide(numbers, curve if np.isfinite(curve).any() else None)
        made.append(Outcome(one, said.cause, said.ranked, not numbers["accuracy.types"] >= Thresholds().types))
    return made


def counts(found: Sequence[Outcome]) -> dict[str, tuple[int, int, int, int]]:
    """``evidence.COUNTS`` from outcomes with at most one fault each: pass the development part only."""
    causes = sorted({cause for one in found for cause in one.combination.causes})
    table = {}
    for cause in causes:
        holds = {True: Counter(), False: Counter()}  # type: dict[bool, Counter[bool]]
        for one in found:
            if one.counts or not one.combination.causes:
                holds[cause in one.combination.causes][cause in one.ranked] += 1
        table[cause] = (holds[True].total(), holds[True][True], holds[False].total(), holds[False][True])
    return table


def summary(found: Sequence[Outcome]) -> dict[str, list[bool]]:
    """The rates that the bench is for: of each, whether it happened, by model."""
    of = {part: [one for one in found if one.combination.part == part] for part in PARTS_SHOWN}
    unseen = [one for one in of["unseen combination"] if one.counts]
    pairs = [one for one in of["two faults"] if one.counts]
    silent = ("unexplained", "healthy")
    return {
        "unseen combinations named first or second": [one.right for one in unseen],
        "of them named first": [one.cause in one.combination.causes for one in unseen],
        "two faults, one of them named first or second": [one.right for one in pairs],
        "foreign faults that do harm given a name": [one.cause not in silent for one in of["foreign"] if one.failed],
        "foreign faults, all, given a name": [one.cause not in silent for one in of["foreign"]],
        "sound models accused": [one.cause not in silent for one in of["healthy"]],
        "sound models that keep their types accused": [
            one.cause != "healthy" for one in of["healthy"] if not one.failed
        ],
    }


def confusion(found: Sequence[Outcome]) -> dict[str, Counter[str]]:
    """How often each verdict was given, by planted primitive, outside development; sound models are ``SOUND``.

    Args:
        found: outcomes.

    Returns:
        ``{primitive: {verdict: models}}``, of models in which there is something to be named.
    """
    shown = [one for one in found if one.combination.part in ("unseen combination", "foreign", "looked at")]
    table: dict[str, Counter[str]] = {}
    for name, one in PRIMITIVES.items():
        of = [outcome for outcome in shown if name in outcome.combination.names]
        if one.cause != "healthy" and of:
            table[name] = Counter(outcome.cause for outcome in of if outcome.counts)
    table[SOUND] = Counter(one.cause for one in found if one.combination.part == "healthy")
    return table
