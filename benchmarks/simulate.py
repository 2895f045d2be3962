"""Simulation alone: 30 fixed steps of the published rule with inertia and repulsion, a thousand runs at once.

Every form returns tokens and the assignment at the end; ours also all else that ``td.run`` returns.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import tokdyn as td
from benchmarks import peers, scenes, textbook
from benchmarks.machine import num_cores
from benchmarks.published_loop import MAX_STEPS, RULES
from benchmarks.record import Goal, Section, entries_from
from benchmarks.timing import in_threads, interleaved

RULE = "inertia_repulsion"
TEXTBOOK = tuple(textbook.FORMS)
OURS, THREADS, FLOOR = "tokdyn", "tokdyn, two threads", "XLA floor: two products and an exponential"
# Float32 rounding grows where a token sits on the edge between two basins, so a few runs may end elsewhere.
CLOSE, MAY_DIFFER = 1e-2, 0.02


@functools.partial(jax.jit, static_argnames=("num_steps",))
def with_tokdyn(dynamics: td.Dynamics, features: jax.Array, tokens: jax.Array, *, num_steps: int) -> td.Result:
    """What a user of tokdyn writes."""

    def one(features: jax.Array, tokens: jax.Array) -> td.Result:
        return td.run(dynamics, None, features, tokens=tokens, max_steps=num_steps, tol=0.0)

    return td.vmap(one)(features, tokens)


def agreement(result: Any, reference: Any) -> str:
    """How near tokens and assignment are to tokdyn's.

    Raises:
        AssertionError: more than a few runs differ: then the two do not compute the same, and no time is taken.
    """
    (tokens, weights), (our_tokens, our_weights) = ([np.asarray(x) for x in pair[:2]] for pair in (result, reference))
    weights = weights if weights.shape == our_weights.shape else weights.transpose(0, 2, 1)
    gaps = np.maximum(np.abs(tokens - our_tokens).max((1, 2)), np.abs(weights - our_weights).max((1, 2)))
    share = float(np.mean(~(gaps < CLOSE)))
    text = f"{share:.1%} of runs differ by more than {CLOSE}, median {np.median(gaps):.0e}"
    if share > MAY_DIFFER:
        raise AssertionError(text)
    return text


def forms_for(features: np.ndarray, tokens: np.ndarray, *, with_peers: bool, with_floor: bool) -> dict[str, Any]:
    """Makers of every form; a maker compiles nothing before it is called."""
    momentum, strength = RULES[RULE]
    dynamics = td.catalog.published(RULE)
    numbers = {"momentum": momentum, "strength": strength, "num_steps": MAX_STEPS}
    on_device = jnp.asarray(features), jnp.asarray(tokens)
    makers: dict[str, Callable[[], Callable[[], Any]]] = {
        OURS: lambda: functools.partial(with_tokdyn, dynamics, *on_device, num_steps=MAX_STEPS)
    }
    for name, form in textbook.FORMS.items():
        makers[name] = functools.partial(functools.partial, form, MAX_STEPS, momentum, strength, *on_device)
    if num_cores() > 1:
        cut = len(features) // 2
        halves = [tuple(x[:cut] for x in on_device), tuple(x[cut:] for x in on_device)]
        makers[THREADS] = lambda: in_threads(lambda half: with_tokdyn(dynamics, *half, num_steps=MAX_STEPS), halves)
    if with_floor:
        makers[FLOOR] = lambda: functools.partial(textbook.floor, MAX_STEPS, *on_device)
        makers["tokdyn, attraction alone"] = lambda: functools.partial(
            with_tokdyn, td.catalog.soft_kmeans(), *on_device, num_steps=MAX_STEPS
        )
    if with_peers:
        torch = functools.partial(peers.torch_batched, features, tokens, **numbers)
        makers["PyTorch, one batch"] = functools.partial(torch, compiled=False)
        makers["PyTorch, torch.compile, one batch"] = functools.partial(torch, compiled=True)
        makers["PyTorch, torch.compile, blocks of 120"] = functools.partial(torch, compiled=True, block=120)
        makers["Numba, parallel kernel"] = functools.partial(peers.numba_parallel, features, tokens, **numbers)
    return makers


def timed(
    title: str, features: np.ndarray, tokens: np.ndarray, repeats: int, *, with_peers: bool, with_floor: bool
) -> Section:
    """Check every form against tokdyn's tokens, then time those that agree."""
    count = len(features)
    makers = forms_for(features, tokens, with_peers=with_peers, with_floor=with_floor)
    forms, counts, checked, missing = {}, {}, {}, {}
    reference = makers[OURS]()()
    for name, make in makers.items():
        try:
            call = make()
            result = call()
            if name in (FLOOR, "tokdyn, attraction alone"):
                assert all(np.isfinite(np.asarray(leaf)).all() for leaf in jax.tree.leaves(result))
                checked[name] = "less work than the rule; finite"
            else:
                halves = result if name == THREADS else [result]
                joined = [np.concatenate([np.asarray(half[i]) for half in halves]) for i in range(2)]
                checked[name] = agreement(joined, reference)
        except ImportError as error:
            missing[name] = f"not installed ({error.name})"
        except RuntimeError as error:
            missing[name] = str(error)
        except AssertionError as error:
            missing[name] = f"not timed, it disagrees: {error}"
        else:
            forms[name] = call
            counts[name] = len(result) if name == FLOOR else count
    checked[OURS] = "the reference; tested against NumPy in tests/"
    timings = interleaved(forms, repeats)
    return Section(title, "runs", entries_from(timings, counts, checked, missing))


def measure(*, repeats: int, quick: bool) -> Section:
    """The row ``simulate``."""
    features, tokens, _ = scenes.blobs(1080, num_clusters=5, points_per_cluster=80, num_dimensions=6, num_tokens=4)
    cores = num_cores()
    section = timed(
        f"simulation only, 30 fixed steps, K=4, N=400, D=6, {cores} core{'s' if cores > 1 else ''}",
        features, tokens, repeats, with_peers=True, with_floor=cores == 1,
    )  # fmt: skip
    jax_version = tuple(int(part) for part in jax.__version__.split(".")[:2])
    section.goals.append(Goal(OURS, TEXTBOOK, 2.0 if jax_version < (0, 11) else 6.0))
    if cores == 1:
        section.goals.append(Goal(OURS, (FLOOR,), 1.3, "at_most"))
    peers_named = tuple(e.form for e in section.entries if e.form.startswith(("PyTorch", "Numba")))
    section.goals.append(Goal(OURS if cores == 1 else THREADS, peers_named, 1.0))
    return section


def measure_large(*, repeats: int, quick: bool) -> Section:
    """The row ``simulate-large``: where arrays are large, tokdyn must not lose to the textbook form."""
    features, tokens, _ = scenes.blobs(
        4 if quick else 16, num_clusters=32, points_per_cluster=128, num_dimensions=64, num_tokens=32
    )
    title = f"simulation only, 30 fixed steps, K=32, N=4096, D=64, {num_cores()} core(s)"
    section = timed(title, features, tokens, min(repeats, 3), with_peers=False, with_floor=False)
    section.goals.append(Goal(OURS, TEXTBOOK, 1.0))
    return section
