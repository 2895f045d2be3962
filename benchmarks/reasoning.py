"""Arms of an intervention battery: one program over a shared prompt, beside one arm after another without it."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from benchmarks.record import Goal, Section, entries_from
from benchmarks.timing import interleaved
from tokdyn import reasoning
from tokdyn.reasoning import interventions as do
from tokdyn.reasoning.training import items_of

# Image and question are ten times as long as what follows them.
SIDE, SLOTS = 8, 4
NUM_ITEMS = 512


def arms_on_slots() -> dict[str, do.Intervention]:
    """Twenty arms that leave image and question alone."""
    made = {f"noise {size}": do.noise("slots", relative=size) for size in (0.1, 0.3, 1.0, 3.0)}
    for site in ("embedding", "residual", "cache"):
        made |= {
            f"swap, {site}": do.swap("slots", site=site),
            f"mean, {site}": do.mean("slots", site=site),
            f"zero, {site}": do.zero("slots", site=site),
            f"permuted, {site}": do.permute("slots", range(SLOTS)[::-1], site=site),
        }
    made |= {f"slot {step} removed": do.remove("slots", steps=[step]) for step in range(SLOTS)}
    return made


def measure(*, repeats: int, quick: bool) -> Section:
    """The row ``arms``."""
    task = reasoning.tasks.pointer_chase(side=SIDE, hops=2, patch=9)
    model = reasoning.reasoner(task, reasoning.protocol(slots=SLOTS))
    variables = model.init(jax.random.key(0))
    items = items_of(task, jax.random.key(1), 64 if quick else NUM_ITEMS)
    arms, key = arms_on_slots(), jax.random.key(2)
    on_prompt = {f"{name} zero": do.zero(name) for name in ("image", "question")}

    def program(arms: dict[str, do.Intervention], **options: Any) -> Any:
        run = jax.jit(lambda variables, items: reasoning.run_arms(model, variables, items, arms, key=key, **options)[1])
        return lambda: run(variables, items)

    shared, anew = program(arms), program(arms, share_prompt=False)
    alone = {name: program({name: arm}, share_prompt=False) for name, arm in arms.items()}

    def one_by_one() -> list[Any]:
        return [run() for run in alone.values()]

    together, apart = shared(), anew()
    gap = max(float(np.abs(together[name].logits - apart[name].logits).max()) for name in arms)
    assert gap < 1e-4, gap
    ours = "tokdyn, arms share the prompt"
    forms = {
        ours: shared,
        "all arms read the prompt again": anew,
        "one arm after another, each with its prompt": one_by_one,
        "two arms on image and question": program(on_prompt),
    }
    counts = {name: len(arms) for name in forms} | {"two arms on image and question": 2}
    prefix, suffix = model.places.prefix, model.places.suffix
    title = f"{len(arms)} arms x {len(items.answer)} items, prompt of {prefix} positions, {suffix} after it"
    goals = [Goal(ours, ("one arm after another, each with its prompt",), 5.0)]
    checked = {ours: f"logits as with a prompt of their own, to {gap:.0e}"}
    return Section(
        title,
        "arms",
        entries_from(interleaved(forms, 1 if quick else max(3, repeats // 3)), counts, checked, {}),
        goals,
    )
