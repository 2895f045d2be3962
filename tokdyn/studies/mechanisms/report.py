"""Tables, findings and figures."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import numpy as np
import xarray

from tokdyn import keys
from tokdyn.plot import mechanisms as draw
from tokdyn.reasoning import training
from tokdyn.studies import intervals
from tokdyn.studies.documents import Figure, Report, bullets, records, table
from tokdyn.studies.mechanisms import design
from tokdyn.studies.mechanisms.claims import accuracy, decides, findings, sentences, settings
from tokdyn.studies.mechanisms.design import BASES, METHODS, TASKS, Config
from tokdyn.studies.mechanisms.experiment import VARIABLES, measure
from tokdyn.studies.skeleton import Study, machine

HEAD_TO_HEAD = {
    "direct": "direct", "direct, matched operations": "direct", "pause": "pause", "pause, chain": "pause",
    "soft prompt": "soft prompt", "text chain": "text", "text imagination": "text",
}  # fmt: skip


def headline(dataset: xarray.Dataset) -> str:
    """The findings, a line each."""
    return "\n".join(sentences(dataset))


def contents(dataset: xarray.Dataset, config: Config) -> Report:
    """Which of slots, markers and format carries the gain?"""
    every = list(settings(dataset))
    blocks = [
        f"{len(every)} settings (task x supervision x stage), {config.seeds} seeds, {config.num_items} fresh items, "
        f"{config.num_steps} supervised steps of {config.batch_size} items, {config.rl_steps} of reinforcement, in "
        f"{dataset.attrs['simulation_seconds']:.0f} s, compilation included ({machine(dataset)}); the "
        f"trainings took {float(dataset['seconds'].sum()):.0f} s, those side by side added, whether now or before. "
        f"The image stays visible; {design.SLOTS} slots are fed the last state; {design.LAYERS} layers. "
        "Small reasoners cannot judge the published models: what is said here is about these.",
        "## Findings",
        bullets(sentences(dataset)),
        "## Supervision",
        bullets([f"**{name}**: {METHODS[name].like}" for name in config.methods]),
        "Reinforcement: sampled answers, reward 1 for the right one, from the supervised weights. Its base is `direct` "
        "too, which had no reinforcement. The start marker is forced; the trigger rate is how often the reasoner would "
        "have started by itself.",
        "## Head to head",
        "Same items, same number of layers and widths. Operations count products of matrices for one item; a training "
        "step costs about three times as many. 'direct, matched operations' got more steps, no other reasoner did; the "
        "teacher of alignment is not counted.",
        table(_head_to_head(dataset)),
        bullets([f"**{name}**: {base.like}." for name, base in BASES.items()]),
        "## Accuracy by arm",
        table([
            {"arm": str(arm), **{_short(one): accuracy(one, arm) for _, one in every}}
            for arm in dataset["arm"].values
        ]),
        "## Gain kept",
        "100 (arm - base) / (full - base), a ratio of means over seeds and items with Fieller's 95 % set. It is "
        "refused where the interval of full - base holds 0 or lies below: there is no gain of which to keep a share. "
        "'channel off' is the same weights with slots and markers hidden; its arm 'slots and markers removed' keeps "
        "nothing by definition.",
        *[block for base in dataset["gain_base"].values for block in
          (f"### Base: {base}", table([row for name, one in every for row in _gain_rows(name, one, base)]))],
        "## Attention to the image",
        table([{"setting": name, **_attention(one)} for name, one in every]),
        "## What slots hold",
        "Linear probes on attributes never asked for: from the question alone (blind), from the slots, and from the "
        "pixels of the patches that the steps read (upper bound). Likeness: cosine of slots to the item's own patches "
        "minus that to another item's.",
        table([{"setting": name, **_held(one)} for name, one in every]),
        "## Dependence on the image, and confidence",
        "S: log probability of the right answer with the image minus with pixels plus noise of that standard "
        "deviation. Areas under ROC: 0.5 says nothing about right or wrong; '-' where all answers are right "
        "or all wrong.",
        table([{"setting": name, **_sure(one)} for name, one in every]),
    ]  # fmt: skip
    title = "Mechanisms: slots, boundary markers and format taken apart"
    return Report(title, blocks, _figures(dataset, config))


def _short(one: xarray.Dataset) -> str:
    """A column's name."""
    stage = "" if str(one["stage"].values) == "SFT" else " + RL"
    return f"{str(one['task'].values).replace('_', ' ')}, {str(one['supervision'].values).removesuffix('-like')}{stage}"


def _head_to_head(dataset: xarray.Dataset) -> list[dict[str, Any]]:
    rows = []
    for task in dataset["task"].values:
        one = dataset.sel(task=task)

        def row(name: str, kind: str, right: Any, one: Any = one, task: Any = task) -> dict[str, Any]:
            by_seed = right.mean("item").values
            return {
                "task": str(task).replace("_", " "), "reasoner": name, "right": float(by_seed.mean()),
                "worst seed": float(by_seed.min()), "operations": float(one["operations"].sel(reasoner=kind)) / 1e6,
                "weights": int(one["parameters"].sel(reasoner=kind)),
            }  # fmt: skip

        rows.append({
            "task": str(task).replace("_", " "), "reasoner": "chance", "right": float(one["chance"]),
            "worst seed": float("nan"), "operations": float("nan"), "weights": 0,
        })  # fmt: skip
        rows.append(row("untrained", "latent", one["base_right"].sel(base="untrained")))
        rows += [row(name, kind, one["base_right"].sel(base=name)) for name, kind in HEAD_TO_HEAD.items()]
        for method in dataset["supervision"].values:
            for stage in dataset["stage"].values:
                chosen = {"supervision": method, "stage": stage, "arm": "full"}
                rows.append(row(f"latent: {method}, {stage}", "latent", one["right"].sel(chosen)))
    return [
        {("million operations" if key == "operations" else key): value for key, value in each.items()} for each in rows
    ]


def _gain_rows(name: str, one: xarray.Dataset, base: str) -> list[dict[str, Any]]:
    columns: dict[str, Any] = {
        "kept": lambda cell: "refused" if np.isnan(cell["gain"]) else f"{100 * float(cell['gain']):.0f} %",
        "Fieller": _fieller,
        "arm - base": lambda cell: _interval(cell, "numerator"),
        "full - base": lambda cell: _interval(cell, "denominator"),
    }
    return [{"setting": name, **row} for row in records(one.sel(gain_base=base), {"kept_arm": "arm"}, columns)]


def _fieller(cell: xarray.Dataset) -> str:
    """The set of the ratio, or its kind where the share is refused."""
    if np.isnan(cell["gain"]):
        return "full is below base" if float(cell["denominator_high"]) < 0 else str(cell["kind"].item())
    return f"[{100 * float(cell['gain_low']):.0f}, {100 * float(cell['gain_high']):.0f}] %"


def _interval(cell: xarray.Dataset, name: str) -> str:
    return f"{float(cell[name]):.3f} {intervals.shown(cell, name)}"


def _attention(one: xarray.Dataset) -> dict[str, float]:
    mean = one[["entropy_difference", "mass", "relevant_share", "relevant_area"]].mean("seed")
    made = {
        f"narrower by, {order.replace('_', ' ')} (nats)": float(-mean["entropy_difference"].sel(order=order))
        for order in one["order"].values
    }
    for variable, label in (("mass", "mass"), ("relevant_share", "on relevant")):
        for position in one["position"].values:
            made[f"{label}, {position}"] = float(mean[variable].sel(position=position))
    return {**made, "area of relevant": float(mean["relevant_area"])}


def _held(one: xarray.Dataset) -> dict[str, float]:
    probes = one["attribute_accuracy"].mean("seed")
    return {
        "most common": float(one["attribute_chance"].mean()),
        **{str(source): float(probes.sel(source=source)) for source in one["source"].values},
        "likeness": float(one["likeness"].mean()),
        "raw cosine": float(one["likeness_raw"].mean()),
        "trigger rate": float(one["trigger_rate"].mean()),
    }


def _sure(one: xarray.Dataset) -> dict[str, float]:
    made: dict[str, float] = {}
    means = one[["dependence", "dependence_area", "noised_right"]].mean("seed")
    for level in one["noise"].values:
        cell = means.sel(noise=level)
        made |= {
            f"S, noise {level:g}": float(cell["dependence"]),
            f"area of S, {level:g}": float(cell["dependence_area"]),
        }
    areas = one["confidence_area"].mean("seed")
    made |= {f"area, {measure}": float(areas.sel(measure=measure)) for measure in one["measure"].values}
    return {
        **made,
        "tail mass": float(one["tail_mass"].mean()),
        "calibration error": float(one["calibration_error"].mean()),
        "if calibrated": float(one["calibration_if_calibrated"].mean()),
    }


def _figures(dataset: xarray.Dataset, config: Config) -> list[Figure]:
    made = [
        Figure(
            f"gain_kept_{base.replace(' ', '_')}.png",
            f"Share of the gain over '{base}' that is kept, with Fieller's 95 % sets.",
            partial(_gains, dataset, base),
        )
        for base in ("direct", "channel off")
    ]
    made.append(
        Figure(
            "accuracy_by_arm.png",
            "Share of answers right under every arm, mean over seeds and items.",
            partial(_by_arm, dataset, config),
        )
    )
    if "map" in dataset:
        caption = (
            f"{config.tasks[0].replace('_', ' ')}, {config.methods[0]}, SFT, first seed: attention over the image, "
            "mean over layers, heads and positions; framed are the patches that a step reads."
        )
        made.append(Figure("attention.png", caption, partial(_maps, dataset, config)))
    return made


def _gains(dataset: xarray.Dataset, base: str) -> Any:
    every = list(settings(dataset))
    shown = ["slots removed", "markers removed", "slots and markers removed"]
    kept = np.stack([intervals.stacked(one.sel(gain_base=base, kept_arm=shown), "gain") for _, one in every], axis=1)
    return draw.gain_retained_bars([name for name, _ in every], shown, *kept, base=base)


def _by_arm(dataset: xarray.Dataset, config: Config) -> Any:
    right = dataset["right"].mean(["seed", "item"]).transpose("task", "supervision", "stage", "arm").values
    columns = [
        f"{str(method).removesuffix('-like')}{'' if stage == 'SFT' else ' + RL'}"
        for method in dataset["supervision"].values
        for stage in dataset["stage"].values
    ]
    arms = [str(arm) for arm in dataset["arm"].values]
    return draw.accuracy_by_arm(list(config.tasks), columns, arms, right.reshape(len(right), len(columns), -1))


def _maps(dataset: xarray.Dataset, config: Config) -> Any:
    task, first = TASKS[config.tasks[0]](), dataset.isel(task=0)
    key = keys.for_purpose(jax.random.key(config.key), config.tasks[0])
    items = training.items_of(task, keys.for_purpose(key, "fresh items"), config.num_items)
    patches = slice(0, int(np.prod(task.image_shape[:2])) // task.patch**2)
    return draw.attention_maps(
        np.asarray(items.image[: first.sizes["example"]]), first["map_relevant"].values[:, patches].astype(bool),
        first["map"].values[..., patches], positions=list(dataset["position"].values), patch=task.patch,
    )  # fmt: skip


STUDY = Study(
    "mechanisms", measure, Config, contents=contents, headline=headline, findings=findings, decides=decides,
    variables=VARIABLES,
)  # fmt: skip
