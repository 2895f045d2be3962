"""The study's Dataset: every reasoner under every method, compiled side by side, run one after the other."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray

from tokdyn import keys
from tokdyn.checks import Status
from tokdyn.compiling import Compiled, Program, compiled, side_by_side, wanted
from tokdyn.numerics import safe_norm
from tokdyn.reasoning import shipped
from tokdyn.reasoning.items import Item, num_patches
from tokdyn.reasoning.latent_optimisation import (
    CONFIDENCES,
    Configuration,
    OptimisedLatents,
    in_one_program,
    optimise_latents,
)
from tokdyn.reasoning.model import Reasoner, Variables
from tokdyn.reasoning.references import Reference
from tokdyn.reasoning.training import items_of
from tokdyn.studies.latent_optimisation import analysis
from tokdyn.studies.latent_optimisation.design import (
    CONTROLS,
    DMLR,
    METHODS,
    READS,
    WORDS,
    Config,
    methods,
    noised,
    settings,
)
from tokdyn.studies.latent_optimisation.premises import premises

_drawn = jax.jit(items_of, static_argnums=(0, 2))


def measure(config: Config, *, progress: Callable[[int, int], None] | None = None) -> xarray.Dataset:
    """``analysis.VARIABLES`` over reference, noise, method, ...; what a reference does not have is NaN."""
    key = jax.random.key(config.key)
    models = {name: shipped.load(name, config.weights or shipped.FOLDER) for name in config.references}
    parts, done = [], 0

    def finished() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, len(models) * len(METHODS))

    known = {}
    for name, one in models.items():
        drawn = _drawn(one.reference.task, keys.for_purpose(key, f"items of {name}"), config.num_items)
        items = noised(drawn, config.noises, keys.for_purpose(key, f"noise of {name}"))
        known[name] = one.reference, one.variables, items
    with measurements(known, config, key) as measurement_of:
        for name, measured in measurement_of.items():
            began = time.perf_counter()
            _, variables, items = known[name]
            found = measured(variables, items, keys.for_purpose(key, f"ascents of {name}"), finished)
            found["seconds"] = time.perf_counter() - began
            parts.append(analysis.analysed(name, items, found, config))
    return xarray.concat(parts, "reference", join="outer", fill_value=np.nan, data_vars="all")


@contextlib.contextmanager
def measurements(
    known: Mapping[str, tuple[Reference, Variables, Item]], config: Config, key: jax.Array
) -> Iterator[dict[str, Callable[..., dict[str, Any]]]]:
    """How each reasoner is measured; everything is compiled side by side, and waited for where it is needed.

    Args:
        known: by name: a reference with its task and model, weights, items; what is called later has their shapes.
        config: levels, seeds, items.
        key: any.

    Yields:
        By name ``(variables, items, key, finished) -> found``: weights; items, once for every level of noise
        `[noises * items, ...]`; the key of the optimisations, the same for every method, so that methods with the same
        draws are paired; and what is called after each method. Found are "clean": of ``_untouched``, leaves
        `[noises, items, ...]`; "premises": of ``premises``, alike; "methods": by name what ``_kept`` says, leaves
        `[noises, seeds, items, ...]`; "sweep": by control the same of one seed `[settings, noises, items]`; "tree": of
        "dmlr" `[noises, items, ...]`.
    """
    programs: dict[str, Program] = {}
    for name, (reference, variables, items) in known.items():
        run = jax.jit(functools.partial(_optimised, reference.model))
        for one in _methods(reference).values():
            programs.setdefault(_program_of(name, one), Program(run, (variables, items, key, one)))
        programs[f"{name}: untouched"] = Program(_untouched(reference.model), (variables, items), {}, "little")
        of_premises = premises(reference.model, reference.loss.chain)
        programs[f"{name}: premises"] = Program(of_premises, (variables, items, key))
    with wanted(compiled(programs)) as ready:
        yield {name: _measuring(name, reference, config, ready) for name, (reference, *_) in known.items()}


def _methods(reference: Reference) -> dict[str, Configuration]:
    """By name; the controls differ in numbers alone."""
    known = methods(reference.model.places.slots, num_patches(reference.task))
    return {name: in_one_program(one) if name in CONTROLS else one for name, one in known.items()}


def _program_of(name: str, configuration: Configuration) -> str:
    """Methods that differ in their numbers alone have one program."""
    return f"{name}: {jax.tree.structure(configuration)}"


def _optimised(model: Reasoner, variables: Variables, items: Item, key: jax.Array, configuration: Configuration) -> Any:
    return _kept(optimise_latents(model, variables, items, key=key, configuration=configuration))


def _measuring(
    name: str, reference: Reference, config: Config, ready: Mapping[str, Compiled]
) -> Callable[..., dict[str, Any]]:
    """One reasoner under every method."""

    def measured(variables: Variables, items: Item, key: jax.Array, finished: Callable[[], None]) -> dict[str, Any]:
        of_seeds = [keys.for_seed(key, seed) for seed in range(config.seeds)]
        shape = len(config.noises), config.num_items
        by_noise = lambda leaf: np.asarray(leaf).reshape(*shape, *leaf.shape[1:])  # noqa: E731
        found: dict[str, Any] = {"methods": {}, "sweep": {}}
        for method, one in _methods(reference).items():
            swept = [(of_seeds[0], setting) for setting in settings(one)] if method in CONTROLS else []
            asked = [*((of_seed, one) for of_seed in of_seeds), *swept]
            every = side_by_side(ready[_program_of(name, one)], [(variables, items, *each) for each in asked])
            runs, of_sweep = every[: len(of_seeds)], [kept for kept, _ in every[len(of_seeds) :]]
            kept = [jax.tree.map(by_noise, each[0]) for each in runs]
            found["methods"][method] = {part: np.stack([each[part] for each in kept], axis=1) for part in kept[0]}
            if method == DMLR:
                found["tree"] = jax.tree.map(by_noise, runs[0][1])
            if method in CONTROLS:
                found["sweep"][method] = {
                    part: np.stack([by_noise(each[part]) for each in of_sweep])
                    for part in ("right", "reward_before", "reward_after")
                }
            finished()
        found["clean"] = jax.tree.map(by_noise, ready[f"{name}: untouched"](variables, items))
        of_premises = ready[f"{name}: premises"](variables, items, keys.for_purpose(key, "premises"))
        found["premises"] = jax.tree.map(by_noise, of_premises)
        return found

    return measured


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
            for name, of in CONFIDENCES.items()
            for read in READS
        }
        return {
            "answer": output.answer[:, 0],
            "right": jnp.all(output.answer == items.answer, axis=-1),
            "chain": jnp.mean(said[:, :both] == items.steps[:, :both], axis=-1),
            "grounding": (attention * relevant).sum(axis=-1) / jnp.maximum(attention.sum(axis=-1), 1e-9),
            **confidences,
        }

    return jax.jit(run)
