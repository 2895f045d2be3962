"""A table of what interventions do to answers, with the controls that tell an effect from an artefact."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from tokdyn import checks, keys
from tokdyn.compiling import Effort, jitted
from tokdyn.reasoning import diagnose
from tokdyn.reasoning import interventions as do
from tokdyn.reasoning.arms import Arm, keep_answers, run_arms
from tokdyn.reasoning.audit.export import recorded
from tokdyn.reasoning.audit.schema import CLEAN, Run
from tokdyn.reasoning.audit.tables import Settings, effects
from tokdyn.reasoning.interventions import Intervention
from tokdyn.reasoning.items import Item, Task
from tokdyn.reasoning.model import Reasoner, Variables
from tokdyn.tree import unstacked

_NOTHING = "control: nothing"
_EXACT = ("control: identity, embedding", "control: identity, residual", "control: identity, cache")
# Arms times items from which on running fast saves more than compiling fast; half of where the two broke even for the
# shipped references, since a program may run several times.
_LONG = 10_000


def controls(model: Reasoner, *, key: jax.Array) -> dict[str, Intervention]:
    """Arms that every ablation of slots should stand beside.

    Writing back what is there must change nothing to the last bit, an item's own latent tokens must change nothing but
    rounding. An unrelated donor and a vector of the same length bring the shock of a foreign value without its content;
    pause tokens keep the positions and their computation, the same for all items; with the channel off nobody reads the
    slots.

    Args:
        model: a reasoner with slots.
        key: of the direction of the norm-matched vector.

    Returns:
        Interventions by name, all names beginning with "control: ".

    Raises:
        ValueError: a model without slots.

    Example:
        >>> import jax
        >>> from tokdyn import reasoning
        >>> task = reasoning.tasks.pointer_chase(side=3, hops=2)
        >>> model = reasoning.reasoner(task, reasoning.protocol(slots=2))
        >>> list(reasoning.controls(model, key=jax.random.key(0)))[-2:]
        ['control: pause tokens', 'control: channel off']
    """
    if model.places.slots == 0:
        raise checks.bad("model", "a reasoner with slots", "one that answers at once")
    direction = np.asarray(jax.random.normal(key, (model.width,)))
    return {
        _NOTHING: do.identity("slots", steps=()),
        **{name: do.identity("slots", site=name.split(", ")[1]) for name in _EXACT},
        "control: own latents back": do.swap("slots", site="cache", donor="self"),
        "control: unrelated donor": do.swap("slots", site="cache", donor="unrelated"),
        "control: own length": do.constant("slots", direction, matched=True),
        "control: pause tokens": do.mean("slots"),
        "control: channel off": do.remove("slots"),
    }


def ablate(
    model: Reasoner,
    task: Task,
    variables: Variables,
    items: Item,
    arms: Mapping[str, Intervention],
    *,
    key: jax.Array,
    ensemble: bool = False,
    with_controls: bool = True,
    bound: float = diagnose.BOUND,
    num_resamples: int = 2000,
    **options: Any,
) -> Any:
    """Run interventions and their controls on the same items, and say what each does to the answers.

    Args:
        model: a reasoner.
        task: says which words count as an answer.
        variables: its weights; leaves `[seeds, ...]` for ``ensemble``.
        items: `[items, ...]`.
        arms: interventions by name.
        key: of noise, of the controls and of the bootstrap.
        ensemble: weights of several trainings, over which intervals are hierarchical.
        with_controls: add ``controls``.
        bound: the largest difference of accuracy that does not matter.
        num_resamples: behind an interval.
        **options: ``donors``, ``unrelated``, ``oracle``, ``chain`` and ``given`` of ``run_arms``.

    Returns:
        ``pandas.DataFrame``, one row for each arm, the clean run first, the table of arms of an ``audit``: trigger
        rate (were slots used) and parse rate (is the answer one of the task's) before accuracy, difference with its
        interval, exact or Student's p-value with Holm's and Benjamini and Hochberg's corrections, and for every "no
        effect" the smallest effect that could have been seen and a test of equivalence.

    Raises:
        ValueError: naming the argument; a name that a control has.
        RuntimeError: a control that must change nothing changed something: no row could be believed.

    Example:
        >>> import jax
        >>> from tokdyn import reasoning
        >>> from tokdyn.reasoning import interventions as do
        >>> one = reasoning.shipped.load("content")
        >>> items = reasoning.training.items_of(one.reference.task, jax.random.key(0), 100)
        >>> table = reasoning.ablate(
        ...     one.reference.model, one.reference.task, one.variables, items,
        ...     {"donor": do.swap("slots", site="cache")}, key=jax.random.key(1), num_resamples=100,
        ... )
        >>> table.loc[["donor", "control: own latents back"], "verdict"].tolist()
        ['effect', 'inconclusive']
    """
    taken = controls(model, key=keys.for_purpose(key, "controls")) if with_controls else {}
    for name in arms:
        if name == CLEAN or name in taken:
            raise checks.bad("arms", "names that no control has", repr(name))
    weights = unstacked(variables) if ensemble else [variables]
    runs_long = len({**arms, **taken}) * len(items.answer) * len(weights) > _LONG
    program = _program(model, tuple({**arms, **taken}.items()), "usual" if runs_long else "little")
    runs = [program(each, items, keys.for_purpose(key, "noise"), options) for each in weights]
    if with_controls:
        for run in runs:
            _demand_controls(run)
    stacked = jax.tree.map(lambda *seeds: np.stack(seeds), *runs)
    arrays = recorded(task, items, stacked[CLEAN], {name: stacked[name] for name in (*arms, *taken)})
    settings = Settings(keys.for_purpose(key, "bootstrap"), bound, num_resamples=num_resamples)
    return effects(Run(arrays), settings).set_index("arm")


@functools.lru_cache(maxsize=8)
def _program(
    model: Reasoner, arms: tuple[tuple[str, Intervention], ...], effort: Effort
) -> Callable[..., dict[str, Arm]]:
    """One compiled run of all arms."""

    def run(variables: Variables, items: Item, key: jax.Array, options: dict[str, Any]) -> dict[str, Arm]:
        clean, results = run_arms(model, variables, items, dict(arms), key=key, **options)
        return {CLEAN: keep_answers(clean), **results}

    return jitted(run, effort)


def _demand_controls(run: dict[str, Arm]) -> None:
    nothing = np.asarray(run[_NOTHING].logits)
    for name in _EXACT:
        if not np.array_equal(nothing, run[name].logits, equal_nan=True):
            raise RuntimeError(f"{name}: expected the very logits of an arm without a write, got others")
    distance = float(np.max(np.abs(nothing - np.asarray(run[CLEAN].logits))))
    if distance > 1e-5 * max(1.0, float(np.max(np.abs(nothing)))):
        raise RuntimeError(f"{_NOTHING}: expected the logits of the clean run to rounding, got {distance:.2g} away")
