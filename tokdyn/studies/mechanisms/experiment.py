"""Train every setting of a task, judge it under every arm, and put it all into one Dataset."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray

from tokdyn import keys
from tokdyn.dynamics.schedules import annealing
from tokdyn.reasoning import training
from tokdyn.reasoning.model import Reasoner, Variables
from tokdyn.solve.batching import vmap
from tokdyn.studies.intervals import meanings
from tokdyn.studies.mechanisms import design, judging
from tokdyn.studies.mechanisms.design import METHODS, TASKS, Config
from tokdyn.studies.store import Kept, kept
from tokdyn.train import fit

FORMAT, SCHEMA_VERSION = "tokdyn.mechanisms", 1  # of the weights that are kept
FINAL_SHARE = 1 / 30  # of the learning rate, at the end
PROGRAMS = ("latent", "reinforced", "direct", "pause", "soft prompt", "text")
VARIABLES = {
    "right": "whether the answer is right",
    "base_right": "whether the answer is right, of reasoners without latents",
    "toward_donor": "share of answers that are the donor's right answer, among items with another right answer",
    "trigger_rate": "share of items whose likeliest word after the question is the start marker",
    "right_curve": "share right in training, means between records (supervised stage)",
    "base_curve": "share right in training, means between records",
    "entropy_difference": "entropy of attention over the image at latent minus at answer positions, nats",
    "entropy_latent": "entropy of attention over the image at latent positions, nats",
    "mass": "raw attention on the image",
    "relevant_share": "share of the attention to the image that lies on patches that a step reads",
    "relevant_area": "share of the image that patches that a step reads are",
    "attribute_accuracy": "accuracy of a linear probe on attributes never asked for, mean over attributes",
    "attribute_chance": "share of the most common value of an attribute, mean over attributes",
    "dependence": "log probability of the right answer with the image minus with a noised one, nats",
    "dependence_area": "chance that a right answer depends more on the image than a wrong one (area under ROC)",
    "noised_right": "share right with a noised image",
    "confidence_area": "chance that a right answer is surer than a wrong one (area under ROC)",
    "tail_mass": "probability outside the likeliest words that the truncated entropy keeps",
    "calibration_error": "gap between largest probability and share right, mean over items",
    "calibration_if_calibrated": "the gap that counting alone would give",
    "likeness": "cosine of slots and the patches that the steps read, minus that with another item's",
    "likeness_raw": "cosine of slots and the patches that the steps read",
    **meanings("gain", "share of the gain that an arm keeps, as a ratio; NaN where it is refused", "Fieller set"),
    **meanings("numerator", "accuracy of the arm minus that of the base"),
    **meanings("denominator", "accuracy of the full model minus that of the base"),
    "kind": "kind of Fieller's set",
    "marker_dependence": "share of the gain that goes when the markers go and the slots stay; NaN where it is refused",
    "operations": "multiplications and additions of products of matrices for one item",
    "parameters": "trained numbers",
    "seconds": "wall time of a program: compilation, training of all its lanes",
    "chance": "accuracy of the best guess without the picture, where the task knows it, else 1 / choices",
    "map": "attention over the image, renormalised, mean over layers, heads and positions",
    "map_relevant": "patches that a step reads",
}


# Probes take batches of eigenvalues; two such programs at once can wait for each other on two cores (see
# ``numerics.singular_values``).
_JUDGING = threading.Lock()


def measure(
    config: Config, *, progress: Callable[[int, int], None] | None = None, with_example: bool = True, store: str = "",
    workers: int = 2,
) -> xarray.Dataset:  # fmt: skip
    """``VARIABLES`` over task, supervision, stage, arm, base, seed and item; tasks are worked on side by side.

    With an example, attention maps of some items of the first task are kept.
    """
    done, lock = [0], threading.Lock()

    def finished() -> None:
        with lock:
            done[0] += 1
            if progress is not None:
                progress(done[0], len(PROGRAMS) * len(config.tasks))

    with ThreadPoolExecutor(min(workers, len(config.tasks))) as pool:
        parts = list(pool.map(lambda name: one_task(config, name, finished, with_example, store), config.tasks))
    return xarray.concat(parts, "task", join="outer").assign_coords(task=list(config.tasks))


def one_task(config: Config, name: str, finished: Callable[[], None], with_example: bool, store: str) -> xarray.Dataset:
    """Everything about one task."""
    task, key = TASKS[name](), keys.for_purpose(jax.random.key(config.key), name)
    models = design.models(task)
    operations = {kind: judging.operations(model, task) for kind, model in models.items()}
    trained: dict[str, Any] = {}
    seconds: dict[str, float] = {}
    for program in PROGRAMS:
        trained[program], seconds[program] = _stored(
            config, store, name, program,
            lambda: _train(config, program, task, models, key, operations, trained),  # noqa: B023
        )  # fmt: skip
        finished()
    items = training.items_of(task, keys.for_purpose(key, "fresh items"), config.num_items)
    with _JUDGING:
        made = judging.judged(config, task, models, trained, items, key, with_example)
    chance = getattr(task, "chance", 1 / len(task.choices))
    return xarray.merge([made, _costs(models, trained, operations)]).assign(
        seconds=("program", [seconds[program] for program in PROGRAMS]), chance=float(chance)
    ).assign_coords(program=list(PROGRAMS))  # fmt: skip


def longer_steps(config: Config, operations: dict[str, float]) -> int:
    """Steps of a direct reasoner that cost as many operations as those of a latent one."""
    per_record = config.num_steps / design.NUM_RECORDS
    return int(round(config.num_steps * operations["latent"] / operations["direct"] / per_record) * per_record)


def _train(
    config: Config, program: str, task: Any, models: dict[str, Reasoner], key: jax.Array,
    operations: dict[str, float], trained: dict[str, Any],
) -> dict[str, Any]:  # fmt: skip
    """All settings of a program, in lanes: weights and curves, leaves `[settings, seeds, ...]`."""
    seeds, steps = jnp.arange(config.seeds), config.num_steps
    seed_keys = jax.vmap(lambda seed: keys.for_seed(key, seed))(seeds)
    plain = training.Batches(task, config.batch_size)

    def fitted(model: Reasoner, loss: Any, data: Any, key: jax.Array, num_steps: int, **options: Any) -> Any:
        rate = options.pop("rate", config.learning_rate)
        until = options.get("until", num_steps)
        decay = annealing(start=rate, end=rate * FINAL_SHARE, num_steps=until, shape="linear")
        made = fit(
            model, loss, data, key=key, num_steps=num_steps, hyper={"learning_rate": decay, "b2": 0.95},
            record_every=config.num_steps // design.NUM_RECORDS if "variables" not in options
            else num_steps // design.NUM_RECORDS, **options,
        )  # fmt: skip
        return {"variables": made.variables, "curve": made.history["right"][: design.NUM_RECORDS]}

    if program == "latent":
        methods = [METHODS[name] for name in config.methods]
        weights = jnp.asarray([tuple(method)[:5] for method in methods], jnp.result_type(float))

        def latent(weights: jax.Array, key: jax.Array) -> Any:
            done = annealing(start=0.0, end=1.0, num_steps=steps, shape="linear")
            return fitted(models["latent"], design.aligned(weights, done), plain, key, steps)

        return _lanes(latent, weights, seed_keys)
    if program == "reinforced":

        def reinforced(variables: Variables, key: jax.Array) -> Any:
            loss = training.reinforced(variables)
            key = keys.for_purpose(key, "reinforcement")
            rate = config.learning_rate / 10
            return fitted(models["latent"], loss, plain, key, config.rl_steps, variables=variables, rate=rate)

        flat = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), trained["latent"]["variables"])
        settings = len(config.methods)
        tiled = jnp.concatenate([seed_keys] * settings)
        made = jax.jit(vmap(reinforced, batch_size=1))(flat, tiled)
        return jax.tree.map(lambda leaf: np.asarray(leaf).reshape(settings, config.seeds, *leaf.shape[1:]), made)
    if program == "direct":
        longer = longer_steps(config, operations)
        most = max(longer, steps)

        def direct(limit: jax.Array, key: jax.Array) -> Any:
            loss = training.supervised(trigger=1.0)
            return fitted(models["direct"], loss, plain, key, most, until=limit)

        return _lanes(direct, jnp.asarray([steps, longer]), seed_keys)
    if program == "text":

        def text(order: jax.Array, key: jax.Array) -> Any:
            data = design.SortedSteps(task, config.batch_size, order)
            return fitted(models["text"], training.supervised(chain=1.0, trigger=1.0), data, key, steps)

        return _lanes(text, jnp.arange(2), seed_keys)

    def constant(chain: jax.Array, key: jax.Array) -> Any:
        return fitted(models[program], training.supervised(chain=chain, trigger=1.0), plain, key, steps)

    return _lanes(constant, jnp.asarray([0.0, 1.0] if program == "pause" else [0.0]), seed_keys)


def _lanes(train: Callable[[Any, Any], Any], settings: Any, seed_keys: jax.Array) -> Any:
    """One compiled program for all settings and seeds; blocks of one, so that digits do not depend on their number."""
    count, seeds = len(settings), len(seed_keys)
    made = jax.jit(vmap(train, batch_size=1))(jnp.repeat(settings, seeds, axis=0), jnp.concatenate([seed_keys] * count))
    return jax.tree.map(lambda leaf: np.asarray(leaf).reshape(count, seeds, *leaf.shape[1:]), made)


def _stored(config: Config, store: str, task: str, program: str, train: Callable[[], Any]) -> Kept:
    """What a program trained, from the store where it is there, and the seconds that it took, whenever that was."""
    fields = {name: value for name, value in dataclasses.asdict(config).items() if name not in ("tasks", "num_items")}
    return kept(store, f"{task} {program}", fields, train, format=FORMAT, schema_version=SCHEMA_VERSION)


def _costs(models: dict[str, Reasoner], trained: dict[str, Any], operations: dict[str, float]) -> xarray.Dataset:
    """Operations of an item and trained numbers, by kind of reasoner."""
    size: Callable[[Any], int] = lambda tree: sum(leaf[0, 0].size for leaf in jax.tree.leaves(tree))  # noqa: E731
    return xarray.Dataset(
        {
            "operations": ("reasoner", [float(operations[kind]) for kind in models]),
            "parameters": ("reasoner", [size(trained[kind]["variables"]["params"]) for kind in models]),
        },
        {"reasoner": list(models)},
    )
