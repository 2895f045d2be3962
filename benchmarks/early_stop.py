"""What early stopping saves: runs with a tolerance against the same runs of 30 fixed steps."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np

import tokdyn as td
from benchmarks import scenes
from benchmarks.published_loop import MAX_STEPS, RULES, TOL
from benchmarks.record import Goal, Section, entries_from
from benchmarks.timing import interleaved, median
from tokdyn.solve.lanes import MOST_LANES

COUNT = 1080
SAVED = "time saved over steps not run"


@functools.partial(jax.jit, static_argnames="block")
def with_tokdyn(
    dynamics: td.Dynamics, features: jax.Array, tokens: jax.Array, tol: jax.Array, *, block: int | None = None
) -> td.Result:
    """All that a run gives; the tolerance is a traced number, so that both forms are one program."""

    def one(features: jax.Array, tokens: jax.Array) -> td.Result:
        return td.run(dynamics, None, features, tokens=tokens, max_steps=MAX_STEPS, tol=tol)

    return td.vmap(one, batch_size=block)(features, tokens)


def measure(*, repeats: int, quick: bool) -> Section:
    """The row ``early-stop``."""
    features, tokens, _ = scenes.blobs(COUNT, num_clusters=5, points_per_cluster=80, num_dimensions=6, num_tokens=4)
    on_device = jnp.asarray(features), jnp.asarray(tokens)
    forms, checked, steps = {}, {}, {}
    for rule in RULES:
        dynamics = td.catalog.published(rule)
        for name, tol in ((f"tokdyn, {rule}, 30 steps", 0.0), (f"tokdyn, {rule}, tol", TOL)):
            forms[name] = functools.partial(with_tokdyn, dynamics, *on_device, np.float64(tol))
            steps[name] = np.asarray(forms[name]().num_steps)
        assert (steps[f"tokdyn, {rule}, 30 steps"] == MAX_STEPS).all()
        # No more runs than lanes: every block goes on until its slowest run has stopped, as a vmapped loop does.
        forms[f"tokdyn, {rule}, tol, blocks that wait"] = functools.partial(
            forms[f"tokdyn, {rule}, tol"], block=MOST_LANES
        )
        checked[f"tokdyn, {rule}, tol"] = _stopped_where_it_should(forms, rule, steps[f"tokdyn, {rule}, tol"])
    timings = interleaved(forms, repeats)
    entries = entries_from(timings, dict.fromkeys(forms, COUNT), checked, {})
    facts = {}
    for rule in RULES:
        taken = steps[f"tokdyn, {rule}, tol"]
        full = median(timings[f"tokdyn, {rule}, 30 steps"].wall)
        not_run = 1 - taken.mean() / MAX_STEPS
        facts[rule] = {
            "steps_not_run": float(not_run),
            "steps_not_run_by_blocks_that_wait": 1 - _slowest_of_blocks(taken) / MAX_STEPS,
            "time_saved": 1 - median(timings[f"tokdyn, {rule}, tol"].wall) / full,
            "time_saved_by_blocks_that_wait": 1 - median(timings[f"tokdyn, {rule}, tol, blocks that wait"].wall) / full,
        }
    goals = [
        Goal(
            f"tokdyn, {rule}, tol",
            (f"tokdyn, {rule}, 30 steps",),
            MAX_STEPS / float(steps[f"tokdyn, {rule}, tol"].mean()),
        )
        for rule in RULES
    ]
    return Section("early stop with tol against 30 fixed steps", "runs", entries, goals, facts)


def _stopped_where_it_should(forms: dict, rule: str, taken: np.ndarray) -> str:
    """A run that stopped before the last step must stand where its 30 steps end, to a multiple of the tolerance."""
    gaps = np.max(
        np.abs(
            np.asarray(forms[f"tokdyn, {rule}, tol"]().tokens) - np.asarray(forms[f"tokdyn, {rule}, 30 steps"]().tokens)
        ),
        (1, 2),
    )
    far = float(np.mean(gaps[taken < MAX_STEPS] > 30 * TOL))
    return f"{far:.1%} of the runs that stopped are further than {30 * TOL} from where 30 steps lead"


def _slowest_of_blocks(taken: np.ndarray) -> float:
    padded = np.pad(taken, (0, -len(taken) % MOST_LANES), mode="edge")
    return float(padded.reshape(-1, MOST_LANES).max(axis=1).mean())
