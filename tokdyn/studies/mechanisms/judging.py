"""Every trained reasoner under every arm, and what diagnostics say of it."""

from __future__ import annotations

import functools
import itertools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray
from jax.extend.core import Jaxpr

from tokdyn import keys
from tokdyn.reasoning import run_arms, training
from tokdyn.reasoning.audit import Run
from tokdyn.reasoning.audit.export import attended
from tokdyn.reasoning.audit.outputs import confidence, narrowing, relevant_attention
from tokdyn.reasoning.audit.tables import Settings, lift
from tokdyn.reasoning.audit.vectors import attributes
from tokdyn.reasoning.diagnose import GainRetained, component_gains, marker_dependence, relation, visual_dependence
from tokdyn.reasoning.items import Item, Task
from tokdyn.reasoning.model import Output, Reasoner, Variables
from tokdyn.studies.intervals import variables
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
    rows: list[dict[str, Any]] = []
    for number, stage, seed in itertools.product(range(len(config.methods)), STAGES, range(config.seeds)):
        variables = jax.tree.map(lambda leaf, i=number, j=seed: leaf[i, j], weights[stage])
        found = program(variables, items, noise)
        rows.append(_diagnosed(key, task, models["latent"], items, found, maps=with_example and not rows))
    maps = rows[0].pop("maps", None)
    setting, shape = ("supervision", "stage", "seed"), (len(config.methods), len(STAGES), config.seeds)
    made = jax.tree.map(lambda *leaves: np.reshape(leaves, (*shape, *np.shape(leaves[0]))), *rows)
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
    shares: list[GainRetained] = []
    lost = []
    for method, stage, base in itertools.product(dataset["supervision"].values, STAGES, GAIN_BASES):
        own = dataset["right"].sel(supervision=method, stage=stage)
        right = {str(arm): own.sel(arm=arm).values.astype(float) for arm in own["arm"].values}
        full, without = right["full"], right["slots and markers removed"]
        if base != "channel off":
            without = dataset["base_right"].sel(base=base).values.astype(float)
        options: dict[str, Any] = {"base_name": base, "num_resamples": RESAMPLES}
        kept = component_gains(key, {arm: right[arm] for arm in KEPT_ARMS}, without, full, **options)
        shares += kept.values()
        found = marker_dependence(key, right["markers removed"], without, full, **options)
        lost.append(np.nan if found.percent is None or not _is_gain(found) else found.percent / 100)
    coordinates: dict[str, Any] = {
        "supervision": dataset["supervision"].values, "stage": list(STAGES), "gain_base": list(GAIN_BASES),
        "kept_arm": list(KEPT_ARMS),
    }  # fmt: skip
    shape = tuple(len(values) for values in coordinates.values())
    dims = tuple(coordinates)
    ratios = [each.fieller if _is_gain(each) else None for each in shares]

    def three(of: list[Any], value: str) -> list[np.ndarray]:
        """A number and its ends; NaN where a share is refused."""
        return [
            np.reshape([np.nan if each is None else getattr(each, name) for each in of], shape)
            for name in (value, "low", "high")
        ]

    return xarray.Dataset(
        {
            **variables("gain", dims, three(ratios, "ratio")),
            **variables("numerator", dims, three([each.numerator for each in shares], "estimate")),
            **variables("denominator", dims, three([each.denominator for each in shares], "estimate")),
            "kind": (dims, np.array([str(each.fieller.kind) for each in shares], object).reshape(shape)),
            "marker_dependence": (dims[:3], np.reshape(lost, shape[:3])),
        },
        coordinates,
    )


def _is_gain(found: GainRetained) -> bool:
    """A share of a loss is no share of a gain."""
    return found.defined and found.denominator.estimate > 0


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
    right, curves = [], []
    for kind, program, number, _ in BASES.values():
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
    key: jax.Array, task: Task, model: Reasoner, items: Item, found: dict[str, Any], *, maps: bool
) -> dict[str, Any]:
    """Numbers of one reasoner."""
    found = jax.tree.map(np.asarray, found)
    run, settings = _record(task, model, items, found), Settings(key, num_resamples=2, num_likeliest=LIKELIEST)
    donor = np.roll(run.arrays["targets"], -1)
    return {
        "right": np.stack([run.outcomes(arm) for arm in run.arms]),
        "toward_donor": np.array([lift(run, settings, arm, donor).donor_rate for arm in run.arms]),
        "trigger_rate": run.arrays["triggered"].mean(),
        **_looks(run, settings, maps=maps),
        **_attributes(run, settings),
        **_dependence(found, run.arrays["targets"], run.right),
        **_confidence(run, settings),
        **_likeness(found["latents"].astype(float), found["goal"].astype(float)),
    }


def _record(task: Task, model: Reasoner, items: Item, found: dict[str, Any]) -> Run:
    """Of one reasoner. All words are choices: confidences are those of the model, not of a choice among answers."""
    count = len(items.answer)
    weights = items.relevant / np.maximum(np.asarray(items.relevant).sum(axis=-1, keepdims=True), 1)
    names = tuple(design.arms(model.width))
    return Run({
        "answers": found["answers"][names.index("full")], "targets": np.asarray(items.answer[:, 0]),
        "triggered": found["triggered"], "logits": found["logits"], "latents": found["latents"],
        **{f"labels/{index}": values for index, values in enumerate(np.asarray(items.attributes).T)},
        "features/question": np.eye(len(task.words), dtype=np.float32)[np.asarray(items.question)].reshape(count, -1),
        # The pixels of the patches that the steps read.
        "features/image": np.asarray(weights @ jax.vmap(model.patches)(items.image)).reshape(count, -1),
        **attended(model, items, found["attention"]),
        **{f"arm/{arm}/answers": answers for arm, answers in zip(names, found["answers"], strict=True)},
    })  # fmt: skip


def _looks(run: Run, settings: Settings, *, maps: bool) -> dict[str, Any]:
    """Attention to the image at latent and at answer positions (those that predict the answer's words)."""
    narrow, shares = narrowing(run, settings), relevant_attention(run, settings)
    made: dict[str, Any] = {
        "entropy_difference": narrow["difference"].to_numpy(),
        "entropy_latent": narrow["latent"].to_numpy(),
        "mass": narrow.loc[0, ["latent_mass", "answer_mass"]].to_numpy(float),
        "relevant_share": shares["share"].to_numpy(),
        "relevant_area": shares.loc[0, "area"],
    }
    if maps:
        image = int(run.arrays["image_keys"].sum())
        some = run.arrays["attention"][:EXAMPLES, ..., :image].astype(float)
        some = some / np.maximum(some.sum(axis=-1, keepdims=True), 1e-9)
        mean = some.mean(axis=(1, 2))
        shown = [mean[:, run.arrays[f"{position}_queries"]].mean(axis=1) for position in POSITIONS]
        made["maps"] = {"map": np.stack(shown), "relevant": run.arrays["relevant_keys"][:EXAMPLES, :image]}
    return made


def _attributes(run: Run, settings: Settings) -> dict[str, Any]:
    """Attributes never asked for, from the question, the slots, and the pixels of the patches that the steps read."""
    table = attributes(run, settings).groupby("source")
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


def _confidence(run: Run, settings: Settings) -> dict[str, Any]:
    """Whether right answers are surer, and whether the largest probability is the share that is right."""
    table = confidence(run, settings).set_index("measure")
    one_class = run.right.all() or not run.right.any()
    areas = table.loc[[measure.replace(" ", "_") for measure in MEASURES], "roc_area"].to_numpy(float)
    return {
        "confidence_area": np.full(len(MEASURES), np.nan) if one_class else areas,
        "tail_mass": table.loc["tail_mass", "mean"],
        "calibration_error": table.loc["maximum", "calibration_error"],
        "calibration_if_calibrated": table.loc["maximum", "if_calibrated"],
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
