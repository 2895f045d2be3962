"""From what was measured on one reasoner to its part of the Dataset."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray

from tokdyn.reasoning import diagnose
from tokdyn.reasoning.diagnose.outcomes import compared, verdict
from tokdyn.reasoning.items import Item
from tokdyn.stats import clopper_pearson, holm, mean_interval, minimal_detectable_difference
from tokdyn.studies.intervals import meanings, variables
from tokdyn.studies.latent_optimisation.design import (
    CHOICES,
    CONTROLS,
    DMLR,
    MEASURES,
    RATES,
    SIGMAS,
    TWINS,
    Config,
    halves,
)
from tokdyn.typing import EitherArray

OUTCOMES = ("right answer", "right steps said", "attention to what matters")
_OUTCOME_KEYS = ("right", "chain", "grounding")
_AVERAGED = ("tail_mass_before", "tail_mass", "moved", "evaluations", "accepted", "patches")
SHOWN = 3  # items whose injections are drawn
TWIN_NAMES = tuple(reinforced.split(", ")[1] for reinforced, _ in TWINS)

_EXACT = "exact 95 % interval, which covers those of all seeds"
_SEEDS = "95 % interval, which covers those of all seeds"
_ITEMS = "95 % interval over items"
VARIABLES = {
    "right_answer": "the right word",
    "clean_answer": "word that was given before any step",
    "answer": "word that was given after the optimisation",
    **meanings("accuracy_before", "share of right answers before any step", "exact 95 % interval"),
    **meanings("accuracy", "share of right answers after the optimisation, mean over seeds", _EXACT),
    **meanings("difference", "accuracy after minus before", _SEEDS),
    "p_value": "of McNemar's exact test that there is no difference, the largest of the seeds'",
    "holm": "the same, adjusted by Holm over the methods",
    "minimal_detectable_effect": "smallest difference of accuracy that the test finds with a power of 0.8",
    "equivalence_p_value": "of the test that the difference is outside the bound, the largest of the seeds'",
    "equivalent": "1 where the difference was shown to be inside the bound",
    "verdict": "effect, negligible, no effect or inconclusive, p-values adjusted by Holm",
    "reward_before": "the method's own reward before any step, mean over items",
    "reward_after": "its best reward in the end, mean over items",
    **meanings("reward_gain", "best reward in the end minus that before, mean over items", _ITEMS),
    "changed": "share of items whose answer is another than before",
    "to_right": "share of items that were wrong before and are right after",
    "to_wrong": "share of items that were right before and are wrong after",
    "tail_mass_before": "probability of all words but the ten likeliest before, where the reward is read",
    "tail_mass": "the same after",
    "moved": "length of the change of the latents over their length, mean over items",
    "evaluations": "evaluations of the reward for each item, mean",
    "accepted": "share of iterations in which the latents moved",
    "patches": "patches injected in the end, mean",
    "nonfinite": "items of all seeds that stopped because a reward or a step was NaN or infinite",
    **meanings("curve", "best reward so far by iteration, mean over items", _ITEMS),
    **meanings("advantage", "accuracy of a method minus that of a control", _SEEDS),
    "advantage_p_value": "of McNemar's exact test, the largest of the seeds'",
    "advantage_equivalent": "1 where the difference was shown to be inside the bound",
    **meanings(
        "gain_area",
        "area under the ROC curve: does the reward gain tell, among items wrong before, which became right?",
    ),
    "sweep_right": "whether the answer was right, by setting of the sweep (first seed)",
    "sweep_reward_gain": "mean gain of the reward, by setting, on the half of the items that chooses",
    "sweep_accuracy": "accuracy by setting, on the half of the items that chooses",
    "chosen_sigma": "sigma of the setting that was chosen",
    "chosen_rate": "its learning rate",
    "judged_before": "accuracy before any step on the other half, which judges",
    "judged_accuracy": "accuracy of the chosen setting on the half that judges",
    **meanings("judged_difference", "their difference", ends="judged"),
    "judged_p_value": "of McNemar's exact test",
    "judged_verdict": "as verdict, without correction",
    **meanings(
        "twin_difference",
        "judged accuracy of reinforced steps minus that of random ones, each at its chosen setting",
        ends="twin",
    ),
    "twin_p_value": "of McNemar's exact test",
    **meanings("area", "area under the ROC curve of a confidence before any step, for a right answer; 0.5 is chance"),
    **meanings("correlation", "Spearman's correlation of a confidence before any step with an outcome"),
    "gradient_estimated": "mean of reward times perturbation over sigma^2, along the reward's gradient, per item",
    "gradient_smoothed": "mean gradient of the reward at perturbed latents, along its gradient at the start, per item",
    "gradient_exact": "length of the reward's gradient at the start, per item",
    "dependence": "log probability of the words said with the picture minus with a noised one, mean over words, nats",
    "dependent_steps": "share of the steps said whose probability the noised picture halves at least, per item",
    "tree_image": "picture of an item, as the reasoner saw it at the last level of noise",
    "tree_item": "its place among the items",
    "tree_before": "1 where its answer was right before any step",
    "tree_after": "1 where it was right after",
    "tree_start": "patches that were injected from the start",
    "tree_candidates": "patches that were tried, by iteration and slot",
    "tree_reward": "reward with them",
    "tree_taken": "1 where they stayed",
    "tree_best": "best reward by iteration",
    "seconds": "wall time of the measurement, with waiting for its programs",
}

Parts = dict[str, tuple[tuple[str, ...], Any]]


def analysed(name: str, items: Item, found: Mapping[str, Any], config: Config) -> xarray.Dataset:
    """One reasoner's part of the Dataset.

    Args:
        name: of the reference.
        items: at every level of noise `[noises * items, ...]`.
        found: of ``experiment.measurements``.
        config: levels, seeds, bound.

    Returns:
        Variables of ``VARIABLES`` with a leading axis of one reference.
    """
    names, before = list(found["methods"]), found["clean"]["right"]
    answers = np.asarray(items.answer)[: config.num_items, 0]
    parts: Parts = {
        "right_answer": (("item",), answers),
        "clean_answer": (("noise", "item"), found["clean"]["answer"]),
        "seconds": ((), found["seconds"]),
    }
    parts |= _methods(found["methods"], before, found["clean"]["answer"], config)
    parts |= _against_controls(found["methods"], config)
    parts |= _swept(found["sweep"], before, config)
    parts |= _premise(found["clean"])
    parts |= {name: (("noise", "item"), values) for name, values in found["premises"].items()}
    parts |= _trees(found["tree"], np.asarray(items.image), before[-1], found["methods"][DMLR]["right"][-1, 0], config)
    coordinates = {
        "reference": [name], "noise": list(config.noises), "rule": names, "control": list(CONTROLS),
        "choice": list(CHOICES), "sigma": list(SIGMAS), "rate": list(RATES), "twin": list(TWIN_NAMES),
        "measure": list(MEASURES), "outcome": list(OUTCOMES), "seed": np.arange(config.seeds),
        "slot": np.arange(1, found["tree"]["taken"].shape[-1] + 1),
    }  # fmt: skip
    made = {variable: (("reference", *dims), np.asarray(values)[None]) for variable, (dims, values) in parts.items()}
    return xarray.Dataset(made, coordinates)


def _methods(
    methods: Mapping[str, Mapping[str, np.ndarray]], before: np.ndarray, answered: np.ndarray, config: Config
) -> Parts:
    """Accuracy, reward and what else became of each method; `before` and `answered` are `[noises, items]`."""
    stacked = lambda part: np.stack([one[part] for one in methods.values()], axis=1)  # noqa: E731
    right = stacked("right")  # [noises, methods, seeds, items]
    dims = ("noise", "rule")
    was = before[:, None, None]
    each = compared(right, was, bound=config.bound)
    adjusted = holm(each.p_value, axis=-1)
    answer = stacked("answer")
    gain = _finite(stacked("reward_after") - stacked("reward_before"))
    areas = [
        [_area(gain[noise, i, 0], right[noise, i, 0], before[noise]) for i in range(len(methods))]
        for noise in range(len(before))
    ]
    longest = max(one["curve"].shape[-1] for one in methods.values())
    curves = np.full((3, len(before), len(methods), longest), np.nan)
    for i, one in enumerate(methods.values()):
        values = _finite(np.moveaxis(one["curve"], -1, 1))  # [noises, steps, seeds, items]
        curves[:, :, i, : values.shape[1]] = mean_of(values)
    numbers = {
        "p_value": each.p_value,
        "holm": adjusted,
        "minimal_detectable_effect": minimal_detectable_difference(config.num_items, np.round(each.discordance, 3)),
        "equivalence_p_value": each.equivalence_p_value,
        "equivalent": each.equivalent.astype(float),
        "verdict": np.vectorize(verdict, otypes=[object])(adjusted, each.equivalent),
        "reward_before": mean_of(stacked("reward_before"))[0],
        "reward_after": mean_of(_finite(stacked("reward_after")))[0],
        "changed": np.mean(answer != answered[:, None, None], axis=(-2, -1)),
        "to_right": np.mean(right & ~was, axis=(-2, -1)),
        "to_wrong": np.mean(~right & was, axis=(-2, -1)),
        "nonfinite": stacked("nonfinite").sum(axis=(-2, -1)),
        **{name: np.nanmean(stacked(name).astype(float), axis=(-2, -1)) for name in _AVERAGED},
    }
    return {
        **variables("accuracy_before", ("noise",), exact(before[:, None])),
        **variables("accuracy", dims, exact(right)),
        **variables("difference", dims, each[:3]),
        **variables("reward_gain", dims, mean_of(gain)),
        **variables("gain_area", dims, np.moveaxis(np.array(areas), -1, 0)),
        **variables("curve", (*dims, "iteration"), curves),
        "answer": ((*dims, "seed", "item"), answer),
        **{name: (dims, values) for name, values in numbers.items()},
    }


def _finite(values: np.ndarray) -> np.ndarray:
    """NaN where a reward was infinite: its item stopped, and is counted by itself."""
    return np.where(np.isfinite(values), values, np.nan)


def _area(gain: np.ndarray, right: np.ndarray, before: np.ndarray) -> tuple[float, float, float]:
    """Whether the gain tells which of the wrong items became right; NaN where there is nothing to tell."""
    kept = ~before & np.isfinite(gain)
    became = right[kept]
    if became.all() or not became.any():
        return np.nan, np.nan, np.nan
    area = diagnose.relation(gain[kept], became.astype(float)).area if kept.sum() > 4 else None
    return (np.nan,) * 3 if area is None else (float(area.estimate), float(area.low), float(area.high))


def _against_controls(methods: Mapping[str, Mapping[str, np.ndarray]], config: Config) -> Parts:
    """Every method minus every control, the same seeds."""
    right = np.stack([one["right"] for one in methods.values()], axis=1)
    controls = np.stack([methods[name]["right"] for name in CONTROLS], axis=1)
    each = compared(right[:, :, None], controls[:, None], bound=config.bound)
    dims = ("noise", "rule", "control")
    return {
        **variables("advantage", dims, each[:3]),
        "advantage_p_value": (dims, each.p_value),
        "advantage_equivalent": (dims, each.equivalent.astype(float)),
    }


def _swept(sweep: Mapping[str, Mapping[str, np.ndarray]], before: np.ndarray, config: Config) -> Parts:
    """Settings chosen on one half of the items, judged on the other."""
    grid = (len(SIGMAS), len(RATES))
    moved = lambda part: np.moveaxis(  # noqa: E731
        np.stack([np.asarray(sweep[name][part]) for name in CONTROLS]), 2, 0
    )  # [noises, controls, settings, items]
    right, gain = moved("right"), _finite(moved("reward_after") - moved("reward_before"))
    chooses, judges = halves(config.num_items)
    scores = {"accuracy": right[..., chooses].mean(axis=-1), "reward": np.nanmean(gain[..., chooses], axis=-1)}
    chosen = np.stack([np.argmax(scores[choice], axis=-1) for choice in CHOICES], axis=-1)  # [noises, controls, choice]
    picked = np.take_along_axis(right[..., judges], chosen[..., None], axis=2)  # [noises, controls, choices, items]
    own = before[:, judges]
    each = compared(picked[..., None, :], own[:, None, None], bound=config.bound)
    dims = ("noise", "control", "choice")
    sigma, rate = np.unravel_index(chosen, grid)
    shaped = lambda values: values.reshape(*values.shape[:2], *grid, *values.shape[3:])  # noqa: E731
    cells = ("noise", "control", "sigma", "rate")
    at = {name: i for i, name in enumerate(CONTROLS)}
    twins = [
        compared(picked[:, at[one], :, None], picked[:, at[other], :, None], bound=config.bound) for one, other in TWINS
    ]
    pair = ("noise", "twin", "choice")
    between = [np.stack([twin[end] for twin in twins], axis=1) for end in range(3)]
    return {
        "sweep_right": ((*cells, "item"), shaped(right)),
        "sweep_accuracy": (cells, shaped(scores["accuracy"])),
        "sweep_reward_gain": (cells, shaped(scores["reward"])),
        "chosen_sigma": (dims, np.array(SIGMAS)[sigma]),
        "chosen_rate": (dims, np.array(RATES)[rate]),
        "judged_before": (("noise",), own.mean(axis=-1)),
        "judged_accuracy": (dims, picked.mean(axis=-1)),
        **variables("judged_difference", dims, each[:3], ends="judged"),
        "judged_p_value": (dims, each.p_value),
        "judged_verdict": (dims, np.vectorize(verdict, otypes=[object])(each.p_value, each.equivalent)),
        **variables("twin_difference", pair, between, ends="twin"),
        "twin_p_value": (pair, np.stack([twin.p_value for twin in twins], axis=1)),
    }


def _premise(clean: Mapping[str, np.ndarray]) -> Parts:
    """Confidence before any step against what it is said to go with."""
    noises = len(clean["right"])
    area = np.full((3, noises, len(MEASURES)), np.nan)
    correlation = np.full((3, noises, len(MEASURES), len(OUTCOMES)), np.nan)
    for noise in range(noises):
        results = {name: clean[key][noise].astype(float) for name, key in zip(OUTCOMES, _OUTCOME_KEYS, strict=True)}
        for i, measure in enumerate(MEASURES):
            found = diagnose.confidence_relations(clean[measure][noise].astype(float), results)
            for j, name in enumerate(OUTCOMES):
                of = found[name].plain
                correlation[:, noise, i, j] = of.estimate, of.low, of.high
            of_answers = found[OUTCOMES[0]].area
            if of_answers is not None:
                area[:, noise, i] = of_answers.estimate, of_answers.low, of_answers.high
    return {
        **variables("area", ("noise", "measure"), area),
        **variables("correlation", ("noise", "measure", "outcome"), correlation),
    }


def _trees(
    tree: Mapping[str, np.ndarray], images: np.ndarray, before: np.ndarray, after: np.ndarray, config: Config
) -> Parts:
    """Items of the first seed at the last level of noise: those that both took and rejected most candidates."""
    taken = tree["taken"][-1]
    tried = tree["candidates"][-1].any(axis=-1)
    both = np.minimum(taken.sum(axis=(1, 2)), (tried & ~taken).sum(axis=(1, 2)))
    shown = np.argsort(-both, kind="stable")[:SHOWN]
    pictures = images[-config.num_items :][shown]
    of = lambda part: np.asarray(tree[part][-1][shown], float)  # noqa: E731
    steps = ("shown", "iteration_tried", "slot")
    return {
        "tree_image": (("shown", "row", "column", "channel"), pictures.astype(float)),
        "tree_item": (("shown",), shown),
        "tree_before": (("shown",), before[shown].astype(float)),
        "tree_after": (("shown",), after[shown].astype(float)),
        "tree_start": (("shown", "patch"), of("start_patches")),
        "tree_candidates": ((*steps, "patch"), of("candidates")),
        "tree_reward": (steps, of("candidate_reward")),
        "tree_taken": (steps, of("taken")),
        "tree_best": (("shown", "iteration_best"), of("best_reward")),
    }


def exact(right: EitherArray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Accuracy over `[..., seeds, items]`, and the exact 95 % interval that covers those of every seed."""
    right = np.asarray(right, bool)
    found = clopper_pearson(right.sum(axis=-1), right.shape[-1])
    return right.mean(axis=(-2, -1)), np.min(found.low, axis=-1), np.max(found.high, axis=-1)


def mean_of(values: EitherArray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean and Student's 95 % interval over items, seeds averaged first; of `[..., seeds, items]`; finite ones only."""
    values = np.asarray(values, float).mean(axis=-2)
    ends = np.full((3, *values.shape[:-1]), np.nan)
    for index in np.ndindex(values.shape[:-1]):
        kept = values[index][np.isfinite(values[index])]
        if len(kept) > 1:
            made = mean_interval(kept)
            ends[(slice(None), *index)] = kept.mean(), float(made.low), float(made.high)
    return ends[0], ends[1], ends[2]
