"""One reasoner under every method: compiled side by side, run one after the other."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tokdyn import keys
from tokdyn.checks import Status
from tokdyn.numerics import safe_norm
from tokdyn.reasoning.items import Item, num_patches
from tokdyn.reasoning.latent_optimisation import CONFIDENCES, Configuration, OptimisedLatents, optimise_latents
from tokdyn.reasoning.model import Reasoner, Variables
from tokdyn.reasoning.references import Reference
from tokdyn.studies.latent_optimisation.design import CONTROLS, DMLR, Config, methods, settings

WORDS = 10  # that a confidence counts, as in the published code
READS = ("slots", "answer")
MEASURES = tuple(f"{name.replace('_', ' ')}, {read}" for name in CONFIDENCES for read in READS)
# Compiling takes most of the time of the study; with less effort it takes two thirds, and programs are hardly slower.
_LESS_EFFORT: dict[str, Any] = {"xla_backend_optimization_level": 1}


def measured(
    reference: Reference, variables: Variables, items: Item, config: Config, key: jax.Array,
    *, finished: Callable[[], None] = lambda: None,
) -> dict[str, Any]:  # fmt: skip
    """Everything that is measured on one reasoner.

    Args:
        reference: with its task and model.
        variables: its weights.
        items: once for every level of noise `[noises * items, ...]`.
        config: levels, seeds, items.
        key: of the optimisations: the same for every method, so that methods with the same draws are paired.
        finished: called after each method.

    Returns:
        "clean": of ``_untouched``, leaves `[noises, items, ...]`; "methods": by name what ``_kept`` says, leaves
        `[noises, seeds, items, ...]`; "sweep": by control the same of one seed `[settings, noises, items]`; "tree": of
        "dmlr" `[noises, items, ...]`.
    """
    model, shape = reference.model, (len(config.noises), config.num_items)
    known = methods(model.places.slots, num_patches(reference.task))
    of_seeds = [keys.for_seed(key, seed) for seed in range(config.seeds)]
    by_noise = lambda leaf: np.asarray(leaf).reshape(*shape, *leaf.shape[1:])  # noqa: E731
    found: dict[str, Any] = {"methods": {}, "sweep": {}}
    for name, program in _compiled(model, variables, items, key, known):
        runs = [program(variables, items, of_seed, known[name]) for of_seed in of_seeds]
        kept = [jax.tree.map(by_noise, run[0]) for run in runs]
        found["methods"][name] = {part: np.stack([one[part] for one in kept], axis=1) for part in kept[0]}
        if name == DMLR:
            found["tree"] = jax.tree.map(by_noise, runs[0][1])
        if name in CONTROLS:
            swept = [program(variables, items, of_seeds[0], one)[0] for one in settings(known[name])]
            found["sweep"][name] = {
                part: np.stack([by_noise(one[part]) for one in swept])
                for part in ("right", "reward_before", "reward_after")
            }
        finished()
    found["clean"] = jax.tree.map(by_noise, _untouched(model)(variables, items))
    return found


def _compiled(
    model: Reasoner, variables: Variables, items: Item, key: jax.Array, known: Mapping[str, Configuration]
) -> Iterator[tuple[str, Any]]:
    """A program for every method, in order; methods that differ in their numbers alone share one.

    Compiling is most of the study's time: two at once, while others run.
    """

    def run(variables: Variables, items: Item, key: jax.Array, configuration: Configuration) -> Any:
        return _kept(optimise_latents(model, variables, items, key=key, configuration=configuration))

    lowest = jax.default_backend() != "cpu" or jax.config.values["jax_disable_most_optimizations"]
    options = None if lowest else _LESS_EFFORT

    def compiled(configuration: Configuration) -> Any:
        return jax.jit(run).lower(variables, items, key, configuration).compile(compiler_options=options)

    with ThreadPoolExecutor(min(2, os.cpu_count() or 1)) as pool:
        made: dict[Any, Future[Any]] = {}
        for one in known.values():
            program = jax.tree.structure(one)
            if program not in made:
                made[program] = pool.submit(compiled, one)
        try:
            for name, one in known.items():
                yield name, made[jax.tree.structure(one)].result()
        finally:  # after an error or an interrupt, do not wait for programs that nobody wants
            pool.shutdown(wait=False, cancel_futures=True)


def _kept(found: OptimisedLatents) -> tuple[dict[str, jax.Array], dict[str, jax.Array]]:
    """What is kept of an optimisation, and the tree of its injections; leaves `[items, ...]`."""
    length = lambda x: safe_norm(x.reshape(len(x), -1), axis=-1)  # noqa: E731
    # The released code starts without a best: its first point is the reward of the start all the same.
    curve = found.best_reward.at[:, 0].set(found.reward[:, 0])
    kept = {
        "answer": found.answer[:, 0],
        "right": found.right,
        "reward_before": found.reward[:, 0],
        "reward_after": found.best_reward[:, -1],
        "curve": curve,
        "tail_mass_before": found.clean_tail_mass,
        "tail_mass": found.tail_mass,
        "moved": length(found.latents - found.clean_latents) / length(found.clean_latents),
        "accepted": found.accepted.mean(axis=1),
        "patches": found.patches.sum(axis=1),
        "evaluations": found.num_evaluations,
        "nonfinite": found.status == Status.NONFINITE,
    }
    names = ("start_patches", "candidates", "candidate_reward", "taken", "best_reward")
    return kept, {name: getattr(found, name) for name in names}


@functools.cache
def _untouched(model: Reasoner) -> Callable[..., dict[str, jax.Array]]:
    """The run before: answers, confidences, right steps said, attention to what matters; leaves `[items]`.

    Keys are "answer", "right", "chain", "grounding", and every one of ``MEASURES``.
    """

    def run(variables: Variables, items: Item) -> dict[str, jax.Array]:
        output, _ = model.apply(variables, items, teacher=False)
        slots, count = model.places.slots, model.places.image
        # The word after the start marker was trained to be step 1, that after slot k to be step k + 1.
        said = output.slot_logits.argmax(axis=-1)
        both = min(slots, items.steps.shape[1])
        attention = output.attention.mean(axis=(1, 2))[:, 1 : 1 + slots, :count].mean(axis=1)
        relevant = items.relevant.any(axis=1)
        positions = {"slots": output.slot_logits[:, 1:], "answer": output.logits}
        confidences = {
            f"{name.replace('_', ' ')}, {read}": jax.vmap(lambda logits, of=of: of(logits, k=WORDS))(positions[read])
            for name, of in CONFIDENCES.items() for read in READS
        }  # fmt: skip
        return {
            "answer": output.answer[:, 0],
            "right": jnp.all(output.answer == items.answer, axis=-1),
            "chain": jnp.mean(said[:, :both] == items.steps[:, :both], axis=-1),
            "grounding": (attention * relevant).sum(axis=-1) / jnp.maximum(attention.sum(axis=-1), 1e-9),
            **confidences,
        }

    return jax.jit(run)
