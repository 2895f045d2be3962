"""Reward beside accuracy: tables, figures, and what was found in words for every reasoner."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray

from tokdyn.plot import latent_optimisation as draw
from tokdyn.reasoning.references import catalog
from tokdyn.studies import intervals
from tokdyn.studies.documents import Figure, Report, bullets, table
from tokdyn.studies.latent_optimisation import tables
from tokdyn.studies.latent_optimisation.analysis import VARIABLES
from tokdyn.studies.latent_optimisation.claims import findings
from tokdyn.studies.latent_optimisation.design import CONTROLS, DMLR, METHODS, RATES, SIGMAS, Config
from tokdyn.studies.latent_optimisation.experiment import measure
from tokdyn.studies.skeleton import Study, machine

_NOTES = """\
* A gain of the reward alone is no success. The best reward so far cannot fall, so that random steps gain too.
* The four controls differ from "dmlr" in what judges an iteration: the reward of the latents after the step, one
  evaluation more than the best sample, so that what is accepted is what was scored. Among themselves they spend the
  same. "reinforce, all" minus "random, all" says what the direction of the estimate is worth; "all" against
  "improvements" what accepting is worth. All four inject patches as "dmlr" does.
* "dmlr, no patches" and "dmlr, all patches" leave out the injection, or begin with every patch and add none. Injected
  patches are a way around the latents: the answer of "masked" cannot see slots, but it can see patches twice. Methods
  without patches in the last pass cannot change its answers at all.
* The exact gradients take 15 steps of Adam without patches: of the same confidence, and of the log-probability of the
  right answer, which nobody has at test time. The second says whether latents could be better where they are; where the
  first raises the reward and not accuracy, the reward is what fails, not the estimate of its gradient.
* Several seeds are several optimisations of the same items. Intervals cover those of every seed by itself, p-values are
  the largest of the seeds': an effect must show in each. Rewards are averaged over seeds, and intervals are over items.
* Settings of the sweep were chosen on items of even number and judged on the others, once by accuracy (which needs
  labels) and once by the reward (which does not). Where several are equally good the smallest step is taken.
* Confidences count the ten likeliest of 14 words, so that hardly any mass is in the tail; with a large vocabulary the
  truncation has more to hide.
* Published sigmas and rates are in units of other models' embeddings; how far latents moved is in the tables. The
  rewards of "dmlr, code", "ltpo", "latentseek" and the oracle have other units than DMLR's.
* One training of each reasoner: intervals speak of these weights on new items, not of other trainings."""


_RIGHT = {False: "wrong", True: "right"}


def headline(dataset: xarray.Dataset) -> str:
    """What holds over all reasoners, then a line for each."""
    lines = [tables.headline(dataset.sel(reference=name)) for name in dataset["reference"].values]
    return "\n".join([tables.conclusion(dataset), *lines])


def write(dataset: xarray.Dataset, folder: Path) -> None:
    """Every method on every reasoner as a table."""
    tables.frame(dataset).to_csv(folder / "methods.csv", index=False)


def contents(dataset: xarray.Dataset, config: Config) -> Report:
    """Reward beside accuracy, and what was found in words for every reasoner."""
    known, names = catalog(), [str(name) for name in dataset["reference"].values]
    levels = ", ".join(f"{noise:g}" for noise in config.noises)
    first, *lines = headline(dataset).splitlines()
    blocks = [
        f"{len(names)} reasoners x {len(METHODS)} methods x {len(config.noises)} levels of noise on the picture "
        f"(standard deviation {levels}; pixels are from 0 to 1) x {config.seeds} seeds x {config.num_items} fresh "
        f"items, and a sweep of {len(SIGMAS) * len(RATES)} settings, in {dataset.attrs['simulation_seconds']:.0f} s, "
        "compiling included "
        f"({machine(dataset)}). Right answers are those of the picture without noise. A change of accuracy within "
        f"{config.bound:g} counts as none; intervals are 95 %.",
        "The question is whether optimising what slots are fed, by a reward that needs no label, raises **accuracy**: "
        "over no step, and over controls that spend as many evaluations on random directions. Methods are those of "
        "DMLR (arXiv 2512.12623; as published and as released), LTPO (2510.04182) and LatentSeek (2505.13308).",
        f"**{first}**",
        bullets(lines),
        "## Against controls that cost as much",
        "Accuracy of a method minus that of a control on the same items, with the same random numbers.",
        table(tables.against_controls(dataset)),
        "## Step sizes chosen on one half of the items, judged on the other",
        "What a larger step buys (gain of the reward, then accuracy; the half of the items that chooses; sigma 0.1 of "
        "the latents' root mean square):",
        table(tables.hacking(dataset)),
        "The settings that were chosen, and what they are worth on the other half:",
        table(tables.sweep(dataset)),
        "Reinforced against random steps, each at the setting chosen for it:",
        table(tables.twins(dataset)),
        "## What confidence goes with before any step",
        'Areas under the ROC curve for right answers (0.5: no relation), and rank correlations over items. "Right '
        'steps said": share of the exact steps that the likeliest words after the start marker and the slots say '
        '(soft_prompt was not trained to); "attention to what matters": share of the slots\' attention to '
        'the picture that goes to patches that some step reads. "-": one of the two does not vary.',
        table(tables.premise(dataset)),
    ]
    for name in names:
        blocks += [
            f"## {name}",
            f"{tables.headline(dataset.sel(reference=name))} What is true of it: {known[name].because}.",
        ]
        for noise in config.noises:
            one = dataset.sel(reference=name, noise=noise)
            bounds = intervals.shown(one, "accuracy_before")
            blocks += [
                f"**Noise {noise:g}: {float(one['accuracy_before']):.1%} right before any step {bounds}.**",
                table(tables.methods(one)),
                table(tables.changes(one)),
            ]
    title = "Latent tokens optimised at test time: reward, and accuracy"
    return Report(title, blocks, _figures(dataset, config), _NOTES, FILES)


def _figures(dataset: xarray.Dataset, config: Config) -> list[Figure]:
    names = [str(name) for name in dataset["reference"].values]
    last = dataset.isel(noise=-1)
    noise = f"noise {config.noises[-1]:g}"
    return [
        Figure(
            "reward_and_accuracy.png",
            "Best reward so far by evaluations spent (mean over items, 95 % intervals), and accuracy in the end beside "
            f"it; {noise}. Dashed: accuracy before any step.",
            partial(_rewards, last, names),
        ),
        *[
            Figure(
                f"accuracy_change_noise_{level:g}.png",
                f"Change of accuracy by method at noise {level:g}, with 95 % intervals; grey: within the bound of "
                f"{config.bound:g}.",
                partial(_changes, dataset.isel(noise=i), names, config.bound),
            )
            for i, level in enumerate(config.noises)
        ],
        *[
            Figure(
                f"injections_{name}.png",
                f"Patches that DMLR injected in '{name}' at {noise}, in items that took and rejected many: orange "
                "frames were there from the start, numbers are in the order of acceptance; beside, every candidate by "
                "iteration and reward.",
                partial(_trees, last.sel(reference=name), name),
            )
            for name in names
        ],
    ]


def _rewards(last: xarray.Dataset, names: list[str]) -> Any:
    def each(of: Callable[[xarray.Dataset], np.ndarray]) -> dict[str, dict[str, np.ndarray]]:
        """By reasoner and method."""
        return {
            name: {method: of(last.sel(reference=name, rule=method)) for method in (DMLR, *CONTROLS)} for name in names
        }

    before = {name: float(last["accuracy_before"].sel(reference=name)) for name in names}
    return draw.reward_beside_accuracy(
        each(_curve), each(lambda one: intervals.stacked(one, "accuracy")), before=before
    )


def _changes(at: xarray.Dataset, names: list[str], bound: float) -> Any:
    changes = {name: intervals.stacked(at.sel(reference=name), "difference") for name in names}
    return draw.accuracy_changes([str(name) for name in at["rule"].values], changes, bound=bound)


def _trees(one: xarray.Dataset, name: str) -> Any:
    there = np.isfinite(one["tree_taken"].values).all(axis=(0, 1))
    trees = [
        draw.Tree(
            image=one["tree_image"].values[i],
            start=one["tree_start"].values[i] > 0,
            candidates=one["tree_candidates"].values[i][:, there] > 0,
            rewards=one["tree_reward"].values[i][:, there],
            taken=one["tree_taken"].values[i][:, there] > 0,
            best=one["tree_best"].values[i],
            title=", ".join(f"{_RIGHT[bool(one[f'tree_{when}'].values[i])]} {when}" for when in ("before", "after")),
        )
        for i in range(one.sizes["shown"])
    ]
    return draw.injection_trees(trees, patch=catalog()[name].task.patch)


def _curve(one: xarray.Dataset) -> np.ndarray:
    """Evaluations spent, best reward, and the ends of its interval `[4, iterations + 1]`."""
    curves = intervals.stacked(one, "curve")
    curves = curves[:, np.isfinite(curves[0])]
    steps = curves.shape[1] - 1
    spent = 1 + np.arange(steps + 1) * (float(one["evaluations"]) - 1) / max(steps, 1)
    return np.concatenate([spent[None], curves])


FILES = {"methods.csv": "every method on every reasoner"}
STUDY = Study(
    "latent-optimisation", measure, Config, contents=contents, write=write, headline=headline, findings=findings,
    variables=VARIABLES,
)  # fmt: skip
