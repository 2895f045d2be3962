"""Every trained reasoner under every arm, and what diagnostics say of it."""

from __future__ import annotations

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray
from jax.extend.core import Jaxpr

from tokdyn import keys
from tokdyn.reasoning import run_arms, training
from tokdyn.reasoning.diagnose import (
    attention_narrowing,
    confidence,
    gain_retained,
    held_out_attributes,
    marker_dependence,
    relation,
    relevant_attention,
    visual_dependence,
)  # fmt: skip
from tokdyn.reasoning.items import Item, Task
from tokdyn.reasoning.model import Output, Reasoner, Variables
from tokdyn.studies.mechanisms import design
from tokdyn.studies.mechanisms.design import BASES, GAIN_BASES, KEPT_ARMS, NOISES, STAGES, Config

RESAMPLES = 1000
LIKELIEST = 3  # words that truncated entropies keep
EXAMPLES = 4
ORDERS = ("entropy_then_mean", "mean_then_entropy")
POSITIONS = ("latent", "answer")
MEASURES = ("maximum", "truncated entropy", "renormalised entropy")
SOURCES = ("question", "latents", "image")


def judged(
    config: Config, task: Task, models: dict[str, Reasoner], trained: dict[str, Any], items: Item, key: jax.Array,
    with_example: bool,
) -> xarray.Dataset:  # fmt: skip
    """All variables of a task but costs.

    Args:
        config: the design.
        task: what is asked.
        models: reasoners by kind.
        trained: by program, leaves `[settings, seeds, ...]`.
        items: fresh ones `[items, ...]`.
        key: of the task.
        with_example: whether attention maps of some items are kept.
    """
    arms = design.arms(models["latent"].width)
    noise = keys.for_purpose(key, "noise")
    program = _under_arms(models["latent"])
    weights = {"SFT": trained["latent"]["variables"], "SFT + RL": trained["reinforced"]["variables"]}
    rows: list[list[list[dict[str, Any]]]] = []
    for number, method in enumerate(config.methods):
        rows.append([])
        for stage in STAGES:
            rows[-1].append([])
            for seed in range(config.seeds):
                variables = jax.tree.map(lambda leaf, i=number, j=seed: leaf[i, j], weights[stage])
                found = program(variables, items, noise)
                first = with_example and method == config.methods[0] and stage == STAGES[0] and seed == 0
                rows[-1][-1].append(_diagnosed(key, task, models["latent"], items, found, len(arms), maps=first))
    maps = rows[0][0][0].pop("maps", None)
    made = jax.tree.map(lambda *leaves: np.stack(leaves), *[
        jax.tree.map(lambda *leaves: np.stack(leaves), *[
            jax.tree.map(lambda *leaves: np.stack(leaves), *seeds) for seeds in stages
        ]) for stages in rows
    ])  # fmt: skip
    setting = ("supervision", "stage", "seed")
    dims = {
        "right": ("arm", "item"), "toward_donor": ("arm",), "entropy_difference": ("order",),
        "entropy_latent": ("order",), "mass": ("position",), "relevant_share": ("position",), "relevant_area": (),
        "attribute_accuracy": ("source",), "attribute_chance": (), "dependence": ("noise",),
        "dependence_area": ("noise",), "noised_right": ("noise",), "confidence_area": ("measure",), "tail_mass": (),
        "calibration_error": (), "calibration_if_calibrated": (), "likeness": (), "likeness_raw": (),
        "trigger_rate": (),
    }  # fmt: skip
    dataset = xarray.Dataset(
        {name: (setting + own, made[name]) for name, own in dims.items()},
        {
            "supervision": list(config.methods), "stage": list(STAGES), "arm": list(arms), "seed": range(config.seeds),
            "order": list(ORDERS), "position": list(POSITIONS), "source": list(SOURCES), "noise": list(NOISES),
            "measure": list(MEASURES), "base": list(BASES),
        },
    )  # fmt: skip
    dataset["right_curve"] = (("supervision", "seed", "record"), trained["latent"]["curve"])
    right, curves = _bases(config, models, trained, items, key)
    dataset["base_right"] = (("base", "seed", "item"), right)
    dataset["base_curve"] = (("base", "seed", "record"), curves)
    if maps is not None:
        dataset = dataset.assign(map=(("position", "example", "patch"), maps["map"]))
        dataset = dataset.assign(map_relevant=(("example", "patch"), maps["relevant"].astype(float)))
        # Pictures of other tasks have other numbers of patches: with these, tables are joined and filled up with NaN.
        dataset = dataset.assign_coords(patch=np.arange(dataset.sizes["patch"]))
    return xarray.merge([dataset, gains(dataset, keys.for_purpose(key, "resamples"))])


def gains(dataset: xarray.Dataset, key: jax.Array) -> xarray.Dataset:
    """What arms keep of the gain, against each base, of one task.

    Args:
        dataset: with ``right`` and ``base_right``.
        key: of the resamples.

    Returns:
        Gains with Fieller's sets, numerators and denominators, over method, stage, gain base and kept arm.
    """
    names = (
        "gain", "gain_low", "gain_high", "numerator", "numerator_low", "numerator_high", "denominator",
        "denominator_low", "denominator_high",
    )  # fmt: skip
    shape = (dataset.sizes["supervision"], dataset.sizes["stage"], len(GAIN_BASES), len(KEPT_ARMS))
    made: dict[str, Any] = {name: np.full(shape, np.nan) for name in names}
    kinds, dependence = np.full(shape, "undefined", object), np.full(shape[:3], np.nan)
    for i, method in enumerate(dataset["supervision"].values):
        for j, stage in enumerate(STAGES):
            own = dataset["right"].sel(supervision=method, stage=stage)
            outcomes = {str(arm): own.sel(arm=arm).values.astype(float) for arm in own["arm"].values}
            for k, base in enumerate(GAIN_BASES):
                if base == "channel off":
                    without = outcomes["slots and markers removed"]
                else:
                    without = dataset["base_right"].sel(base=base).values.astype(float)
                full = outcomes["full"]
                for number, arm in enumerate(KEPT_ARMS):
                    at = (i, j, k, number)
                    found = gain_retained(key, outcomes[arm], without, full, base_name=base, num_resamples=RESAMPLES)
                    kinds[at] = str(found.fieller.kind)
                    # A share of a loss is no share of a gain.
                    if found.defined and found.denominator.estimate > 0:
                        made["gain"][at] = float(found.fieller.ratio)
                        made["gain_low"][at], made["gain_high"][at] = found.fieller.low, found.fieller.high
                    for name, effect in (("numerator", found.numerator), ("denominator", found.denominator)):
                        made[name][at] = effect.estimate
                        made[f"{name}_low"][at], made[f"{name}_high"][at] = effect.low, effect.high
                lost = marker_dependence(
                    key, outcomes["markers removed"], without, full, base_name=base, num_resamples=RESAMPLES
                )
                dependence[i, j, k] = (
                    np.nan if lost.percent is None or lost.denominator.estimate <= 0 else lost.percent / 100
                )
    dims = ("supervision", "stage", "gain_base", "kept_arm")
    return xarray.Dataset(
        {name: (dims, values) for name, values in {**made, "kind": kinds}.items()}
        | {"marker_dependence": (dims[:3], dependence)},
        {
            "supervision": dataset["supervision"].values,
            "stage": list(STAGES),
            "gain_base": list(GAIN_BASES),
            "kept_arm": list(KEPT_ARMS),
        },
    )


def operations(model: Reasoner, task: Task) -> float:
    """Multiplications and additions of all products of matrices for one item, loops counted as often as they run.

    XLA's own count takes the body of a loop once, and slots are a loop; that is why it is not used.

    Args:
        model: a reasoner.
        task: what it is asked.
    """
    items = jax.eval_shape(lambda: training.items_of(task, jax.random.key(0), 1))
    variables = jax.eval_shape(model.init, jax.random.key(0))
    answers = lambda variables, items: model.apply(variables, items, teacher=False)[0].logits  # noqa: E731
    made = jax.make_jaxpr(answers)(variables, items)
    return _products(made.jaxpr)


def _products(jaxpr: Any) -> float:
    """Of a program and of those inside it."""
    total = 0.0
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            (inner, _), _ = equation.params["dimension_numbers"]
            shape = equation.invars[0].aval.shape
            total += 2 * math.prod(equation.outvars[0].aval.shape) * math.prod(shape[axis] for axis in inner)
        times = equation.params.get("length", 1) if equation.primitive.name == "scan" else 1
        for value in equation.params.values():
            inside = getattr(value, "jaxpr", value)
            if isinstance(inside, Jaxpr):
                total += times * _products(inside)
    return total


@functools.cache
def _under_arms(model: Reasoner) -> Any:
    """One compiled program: all arms, and noised images."""
    arms = design.arms(model.width)

    def run(variables: Variables, items: Item, key: jax.Array) -> dict[str, Any]:
        goal = training.regions(model, variables, items)
        shapes = jax.eval_shape(lambda: model.apply(variables, items)[0])
        oracle = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes.sites)
        oracle = oracle._replace(embeddings=oracle.embeddings.at[:, shapes.slots].set(goal))
        keep = lambda output: output.answer[:, 0]  # noqa: E731
        clean, answers = run_arms(model, variables, items, arms, key=key, oracle=oracle, keep=keep)
        noise = jax.random.normal(keys.for_purpose(key, "image"), items.image.shape, items.image.dtype)

        def seen(level: jax.Array) -> jax.Array:
            return model.apply(variables, items._replace(image=items.image + level * noise))[0].logits[:, 0]

        return {
            "answers": jnp.stack(list(answers.values())),
            "logits": clean.logits[:, 0],
            "noised": jax.lax.map(seen, jnp.asarray(NOISES, items.image.dtype)),
            "latents": clean.latents,
            "goal": goal,
            "attention": clean.attention,
            "triggered": clean.triggered,
        }

    return jax.jit(run)


@functools.cache
def _answers(model: Reasoner) -> Any:
    """First words of answers, with the reasoner's own words in its slots."""

    def run(variables: Variables, items: Item) -> jax.Array:
        output: Output = model.apply(variables, items, teacher=False)[0]
        return output.answer[:, 0] == items.answer[:, 0]

    return jax.jit(run)


@functools.cache
def _initial(model: Reasoner) -> Any:
    """The weights that a training of that key begins with, as one program."""
    return jax.jit(lambda key: model.init(keys.for_purpose(key, "init")))


@jax.jit
def _log_probability(logits: jax.Array, truth: jax.Array) -> jax.Array:
    """Of the true words `[items, 1]`."""
    return jnp.take_along_axis(jax.nn.log_softmax(logits), truth[:, None], axis=-1)


def _bases(
    config: Config, models: dict[str, Reasoner], trained: dict[str, Any], items: Item, key: jax.Array
) -> tuple[np.ndarray, np.ndarray]:
    """Whether answers of the bases are right `[bases, seeds, items]`; their curves `[bases, seeds, records]`."""
    from tokdyn.studies.mechanisms.experiment import base_places

    right, curves = [], []
    for _, kind, program, number in base_places():
        for seed in range(config.seeds):
            if number < 0:  # the weights that training began with
                variables = _initial(models[kind])(keys.for_seed(key, seed))
                curves.append(np.full(design.NUM_RECORDS, np.nan))
            else:
                variables = jax.tree.map(lambda leaf, i=number, j=seed: leaf[i, j], trained[program]["variables"])
                curves.append(trained[program]["curve"][number, seed])
            right.append(np.asarray(_answers(models[kind])(variables, items)))
    shape = (len(BASES), config.seeds, -1)
    return np.reshape(right, shape), np.reshape(curves, shape)


def _diagnosed(
    key: jax.Array, task: Task, model: Reasoner, items: Item, found: dict[str, Any], num_arms: int, *, maps: bool
) -> dict[str, Any]:
    """Numbers of one reasoner."""
    truth = np.asarray(items.answer[:, 0])
    answers = np.asarray(found["answers"])
    right = answers == truth
    donor = np.roll(truth, -1)
    others = donor != truth
    return {
        "right": right,
        "toward_donor": np.mean(answers[:, others] == donor[others], axis=1),
        "trigger_rate": np.mean(found["triggered"]),
        **_looks(key, model, items, found["attention"], maps=maps),
        **_attributes(key, task, model, items, found["latents"]),
        **_dependence(found, truth, right[0]),
        **_confidence(found["logits"], right[0]),
        **_likeness(np.asarray(found["latents"], float), np.asarray(found["goal"], float)),
    }


def _looks(key: jax.Array, model: Reasoner, items: Item, attention: jax.Array, *, maps: bool) -> dict[str, Any]:
    """Attention to the image at latent and at answer positions (those that predict the answer's words)."""
    places = model.places
    image = jnp.asarray(places.where("image"))
    suffix = slice(places.prefix, None)
    latent = jnp.asarray(places.where("slots")[suffix])
    answer = jnp.asarray((places.where("format") | places.where("answer"))[suffix])
    relevant = np.zeros((len(items.answer), places.total), bool)
    relevant[:, : places.image] = np.asarray(items.relevant).any(axis=1)
    by_order = [
        attention_narrowing(key, attention, image, latent, answer, order=order, num_resamples=2) for order in ORDERS
    ]
    shares = [
        relevant_attention(key, attention, image, queries, jnp.asarray(relevant), num_resamples=2)
        for queries in (latent, answer)
    ]
    made: dict[str, Any] = {
        "entropy_difference": np.array([each.difference.estimate for each in by_order]),
        "entropy_latent": np.array([each.latent_entropy.mean() for each in by_order]),
        "mass": np.array([by_order[0].latent_mass, by_order[0].answer_mass]),
        "relevant_share": np.array([each.share.estimate for each in shares]),
        "relevant_area": shares[0].area,
    }
    if maps:
        some = np.asarray(attention[:EXAMPLES, ..., : places.image], float)
        some = some / np.maximum(some.sum(axis=-1, keepdims=True), 1e-9)
        mean = some.mean(axis=(1, 2))
        shown = [mean[:, np.asarray(queries)].mean(axis=1) for queries in (latent, answer)]
        made["maps"] = {"map": np.stack(shown), "relevant": relevant[:EXAMPLES, : places.image]}
    return made


def _attributes(key: jax.Array, task: Task, model: Reasoner, items: Item, latents: jax.Array) -> dict[str, Any]:
    """Attributes never asked for, from the question, the slots, and the pixels of the patches that the steps read."""
    count = len(items.answer)
    pixels = jax.vmap(model.patches)(items.image)
    weights = items.relevant / jnp.maximum(items.relevant.sum(axis=-1, keepdims=True), 1)
    words = jax.nn.one_hot(items.question, len(task.words)).reshape(count, -1)
    table = held_out_attributes(
        key, latents.reshape(count, -1), words, (weights @ pixels).reshape(count, -1), items.attributes,
        sizes=task.attribute_sizes, num_resamples=2,
    ).groupby("source")  # fmt: skip
    accuracy = table["accuracy"].mean()
    return {
        "attribute_accuracy": np.array([accuracy[source] for source in SOURCES]),
        "attribute_chance": float(table["chance"].mean().iloc[0]),
    }


def _dependence(found: dict[str, Any], truth: np.ndarray, right: np.ndarray) -> dict[str, Any]:
    """How much the right answer's probability owes to the image, and whether right answers owe it more."""
    clean = _log_probability(found["logits"], truth)
    scores, areas, still = [], [], []
    for noised in np.asarray(found["noised"]):
        seen = visual_dependence(clean, _log_probability(noised, truth))
        scores.append(float(seen.mean.mean()))
        areas.append(_area(np.asarray(seen.mean, float), right))
        still.append(np.mean(noised.argmax(axis=-1) == truth))
    return {"dependence": np.array(scores), "dependence_area": np.array(areas), "noised_right": np.array(still)}


def _confidence(logits: jax.Array, right: np.ndarray) -> dict[str, Any]:
    """Whether right answers are surer, and whether the largest probability is the share that is right."""
    sure = confidence(logits, num_likeliest=LIKELIEST)
    measures = (sure.maximum, -sure.truncated_entropy, -sure.renormalised_entropy)
    # Rounding may take a probability past 1.
    maximum = np.clip(np.asarray(sure.maximum, float), 0, 1)
    stated = relation(maximum, right.astype(float), calibrate=True).calibration
    assert stated is not None
    return {
        "confidence_area": np.array([_area(np.asarray(measure, float), right) for measure in measures]),
        "tail_mass": float(sure.tail_mass.mean()),
        "calibration_error": float(stated.expected),
        "calibration_if_calibrated": float(stated.expected_if_calibrated),
    }


def _area(measure: np.ndarray, right: np.ndarray) -> float:
    """Area under the ROC curve; NaN where all answers are right or all are wrong."""
    area = relation(measure, right.astype(float)).area
    return float("nan") if area is None or right.all() or not right.any() else float(area.estimate)


def _likeness(latents: np.ndarray, goal: np.ndarray) -> dict[str, Any]:
    """Cosine of slots and the patches of their steps; what another item's patches give is no likeness of content."""

    def cosine(one: np.ndarray, other: np.ndarray) -> float:
        lengths = np.linalg.norm(one, axis=-1) * np.linalg.norm(other, axis=-1)
        return float(np.mean(np.sum(one * other, axis=-1) / np.maximum(lengths, 1e-9)))

    own = cosine(latents, goal)
    return {"likeness": own - cosine(latents, np.roll(goal, 1, axis=0)), "likeness_raw": own}
