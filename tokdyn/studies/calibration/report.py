"""Which way of asking whether latents matter can be believed? Tables and figures over trainings of known truth."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import xarray

from tokdyn.reasoning.designs import DESIGNS
from tokdyn.reasoning.estimands import DEPENDS, IDLE
from tokdyn.studies.calibration import tables
from tokdyn.studies.calibration.claims import findings
from tokdyn.studies.calibration.design import CORRECTION, PRIMARY, Config
from tokdyn.studies.calibration.experiment import JUDGED, VARIABLES, measure
from tokdyn.studies.documents import Figure, Report, bullets, table
from tokdyn.studies.skeleton import Study, machine

_PANELS = {
    "caches of slots": (
        "donor lift, cache", "donor margin, cache", "indirect effect", "indirect / total above 0.1",
        "accuracy, donor's cache", "accuracy, mean cache", "accuracy, zero cache",
    ),
    "what slots are fed": (
        "accuracy, donor's embedding", "accuracy, mean embedding", "accuracy, one direction for all",
        "accuracy, noise embedding", "accuracy, near-zero embedding", "accuracy, zero embedding",
        "accuracy, slots removed",
    ),
    "looking only": (
        "latents move with the image", "cosine between items below 0.9", "probe reads the answer",
        "probe reads it, beyond a control task", "attention narrower at latents", "latents attend to what matters",
        "answer depends on the image",
    ),
}  # fmt: skip
_NOTES = f"""\
* The question is one for all: does the answer depend on what the slots' cache holds? Masks decide it where they can.
  Where they leave it open, it is measured on thousands of items: used where more than {DEPENDS:.0%} of the answers
  change under another item's cache, idle below {IDLE:.0%}, and between them nobody is judged.
* No reasoner was trained under swapped, averaged, noised or zeroed latents. "redundant" was trained with its slots
  hidden from the answer in a third of the items, which is close to removing them: there "slots removed" is not judged.
* Attention is crossed with truth: answers of "relayed" follow slots that they cannot see, answers of "shallow" and
  "blank" see slots that hold nothing for them. Diagnostics that read masks are among the controls.
* The unit is the training. Rates are means over designs of means over trainings; intervals resample both, and speak of
  further trainings and of further designs like these, of which there are few.
* Idle reasoners are idle to the last bit here, so that no p-value of an intervention can be wrong about them, and the
  level is not tried. On one that is only nearly so (the reference "bypassed": no answer of 4,000 changes, margins do a
  little) the indirect effect alarms in 5 of 8 runs, accuracy and lift under a donor's cache in none
  (tests/reasoning/test_evaluation_reasoning.py). What ranks first here answers "exactly none?"; for "does it matter?"
  ask what changes answers, or the share of the effect.
* Scores have no rule in the literature: theirs is the value that a share of alpha of the runs of other null trainings
  in the stratum exceeds.
* The reasoners are small, on synthetic pictures of four places. A diagnostic that fails here can mislead; that one does
  well here does not show that it does at scale. Published numbers stand beside ours as context only."""


def headline(dataset: xarray.Dataset) -> str:
    """The best and what ties with it, the published ways of asking, the controls."""
    rows = {row["diagnostic"]: row for row in tables.ranking(dataset)}
    best = next(iter(rows.values()))
    ties = [name for name, row in rows.items() if row["ties"] and name != best["diagnostic"]]
    controls = [row["score"] for name, row in rows.items() if name.startswith("control")]
    asked = {name: rows[name] for name, _ in tables.PROTOCOLS.values()}
    lines = [
        f"best: {best['diagnostic']}, {_said(best)}; not shown to be behind it, on so few designs: {len(ties)} others",
        *(f"{name}: rank {row['rank']} of {len(rows)}, {_said(row)}" for name, row in asked.items()),
        f"controls (always, never, a coin, masks): at most {max(controls):.2f}",
    ]
    return "\n".join(lines)


def _said(row: dict[str, Any]) -> str:
    return (
        f"{row['score']:.2f} [{row['low']:.2f}, {row['high']:.2f}] in its worst stratum ({row['stratum']}); "
        f"false alarms {row['false_rate']:.2f} on {row['false_design']}, "
        f"missed {row['missed_rate']:.2f} of {row['missed_design']}"
    )


def write(dataset: xarray.Dataset, folder: Path) -> None:
    """The ranking as a table."""
    import pandas as pd

    pd.DataFrame(tables.ranking(dataset)).to_csv(folder / "ranking.csv", index=False)


def contents(dataset: xarray.Dataset, config: Config) -> Report:
    """Which way of asking can be believed?"""
    blocks = [
        f"{len(JUDGED)} diagnostics, controls among them, on {len(config.cells) * config.seeds} trainings: "
        f"{len(config.designs)} designs x {len(config.tasks)} tasks x {len(config.sizes)} sizes x {config.seeds} "
        f"seeds, {config.repetitions} runs of {config.num_items} fresh items each, level {config.alpha:g}; "
        f"{machine(dataset)}; the trainings took {dataset.attrs['training_seconds'] / 60:.0f} minutes, those side by "
        f"side added, and the judging {dataset.attrs['judging_seconds'] / 60:.0f}, whether now or before. "
        "Brackets are 95 %.",
        f"Named before the run: the primary outcome is the {PRIMARY}; {CORRECTION} correct for the many.",
        bullets(headline(dataset).splitlines()),
        "## Which diagnostic is right, in its worst stratum",
        table(tables.summary(dataset)),
        tables.ties(dataset),
        "## By stratum: sensitivity / false alarms",
        table(tables.by_stratum(dataset)),
        "## Scores without a threshold",
        "Area under the ROC curve: how often a run of a training that uses its latents has a higher score than one of "
        "a training that does not, designs weighing alike; 0.5 is chance, below it the score points the other way. "
        "Brackets resample designs and, within each, trainings.",
        table(tables.areas(dataset)),
        "## Alarms by design",
        "Share of runs with an alarm, strata weighing alike. Designs whose trainings are of both truths stand twice.",
        table(tables.by_design(dataset)),
        "## Sensitivity by how much the cache matters",
        "Trainings grouped by the share of answers that change under another item's cache.",
        table(tables.strengths(dataset)),
        "## Each arm on its own question",
        "What slots are fed, or that they are there, is another question than what their cache holds.",
        table(tables.own_question(dataset)),
        "## Ways of asking that mislead, and by how much",
        "A false alarm says that latents are used where they are not; a miss says that they are not where they are.",
        table(tables.protocols(dataset)),
        "## Do p-values keep their level?",
        "On trainings whose cache is idle by masks.",
        table(tables.levels(dataset)),
        "## What is true",
        "Means over strata and trainings of what was measured on many items; used, idle and open count trainings. "
        "Necessary is accuracy minus that under another item's cache; sufficient is what the own cache keeps of right "
        "answers beside another picture.",
        table(tables.truths(dataset)),
        bullets([f"**{name}**: {DESIGNS[name].because}." for name in config.designs]),
    ]
    return Report("Which way of asking whether latent tokens matter can be believed", blocks, _figures(dataset), _NOTES,
                  FILES)  # fmt: skip


def _figures(dataset: xarray.Dataset) -> list[Figure]:
    def alarms() -> Any:
        from tokdyn.plot import calibration as draw

        found, titles = tables.alarm_table(dataset), tables.columns(dataset)
        right = [right for _, _, right in titles]
        names = (list(map(str, found[dim].values)) for dim in ("diagnostic", "column"))
        return draw.alarm_map(found.values, *names, bears=right)

    def strengths() -> Any:
        from tokdyn.plot import calibration as draw

        known = tables.by_strength(dataset)
        panels = {title: {name: known[name] for name in group} for title, group in _PANELS.items()}
        label = "answers that change under another item's cache"
        return draw.sensitivity_curves(list(tables.STRENGTHS), panels, label=label)

    def scores(rows: list[dict[str, Any]]) -> Any:
        from tokdyn.plot import calibration as draw

        return draw.scores({row["diagnostic"]: (row["score"], row["low"], row["high"]) for row in rows},
                           ties=[row["diagnostic"] for row in rows if row["ties"]])  # fmt: skip

    return [
        Figure("scores.png", "Balanced accuracy in the worst stratum, with 95 % intervals over designs and trainings.",
               partial(scores, tables.ranking(dataset))),
        Figure("alarms.png", "Share of runs with an alarm by design, best diagnostic on top.", alarms),
        Figure("strengths.png", "Share of alarms by how much the cache matters; bars: 95 % over trainings.", strengths),
    ]  # fmt: skip


FILES = {
    "ranking.csv": "the first table in full; `tokdyn study calibration --store FOLDER` keeps what is trained and "
    "judged, so that a run that was cut off goes on where it was"
}
STUDY = Study("calibration", measure, Config, contents=contents, write=write, headline=headline, findings=findings,
              variables=VARIABLES)  # fmt: skip
