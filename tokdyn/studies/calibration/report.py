"""How often is each diagnostic wrong? Tables and figures over many trainings of known truth."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import xarray

from tokdyn.reasoning.audit.diagnostics import DIAGNOSTICS
from tokdyn.reasoning.references import catalog
from tokdyn.studies.calibration import tables
from tokdyn.studies.calibration.design import SCALE, Config
from tokdyn.studies.calibration.experiment import VARIABLES, measure
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
_NOTES = """\
* The question is one for all: does the answer follow what the slots' cache holds? It does in the load-bearing reasoners
  and does not in the null ones, by masks and by training, never by a diagnostic that is tried here. A diagnostic of
  another question (do slots see the image?) may be right about its own and is still wrong about this one: that is the
  step from "latents look meaningful" to "latents matter".
* Each training is one trial, with items of its own. Intervals are exact (Clopper-Pearson) over trainings, and speak of
  further trainings of these reasoners, not of other architectures.
* The dial mixes items: at dial d an item answers through its slots with chance d, in all others every arm gives what
  the clean run gave. What only looks cannot see the dial, so that its curve is flat.
* A p-value at or below the level is an alarm. Verdicts are fixed rules (an interval of 95 % that excludes nothing, a
  cosine below 0.9). Scores have no rule in the literature: theirs is the value that a share of alpha of the null
  reasoners with even numbers exceeds, and those with odd numbers judge it, half as many.
* A small effect is an effect: the bypassed reasoner was trained to ignore foreign caches and does so almost. A margin
  in nats shows what is left, accuracy does not; whether it matters is for a bound to say, not for a p-value.
* The reasoners are small (4 places, 16 wide): how well a probe or a cosine does depends on that. Published numbers
  stand beside ours as context only."""


def headline(dataset: xarray.Dataset) -> str:
    """The best, the worst, and what breaks its level."""
    rows = tables.rates(dataset)
    alpha = tables.alpha_of(dataset)
    broken = [f"{row['diagnostic']} ({row['above']})" for row in rows if row["above"]]
    blind = [row["diagnostic"] for row in rows if row["sensitivity_high"] < 0.5]
    best, last = rows[0], rows[-1]
    lines = [
        f"best: {best['diagnostic']} (sensitivity {best['sensitivity']:.2f} at the full dial, "
        f"{best['mean_sensitivity']:.2f} over dials; {best['false']:.3f} false alarms, "
        f"at most {best['false_high']:.3f})",
        f"last: {last['diagnostic']} (sensitivity {last['sensitivity']:.2f}, {last['false']:.2f} false alarms)",
        f"above their level of {alpha:g}: {'; '.join(broken) or 'none'}",
        f"blind (below one half at the full dial): {'; '.join(blind) or 'none'}",
    ]
    return "\n".join(lines)


def write(dataset: xarray.Dataset, folder: Path) -> None:
    """The rates of every diagnostic as a table."""
    import pandas as pd

    pd.DataFrame(tables.rates(dataset)).to_csv(folder / "rates.csv", index=False)


def contents(dataset: xarray.Dataset, config: Config) -> Report:
    """How often is each diagnostic wrong?"""
    known, gain = catalog(SCALE), tables.marker_gain(dataset)
    counts = {name: config.trainings(name) for name in config.references}
    blocks = [
        f"{len(DIAGNOSTICS)} diagnostics on {sum(counts.values())} trainings of {len(counts)} reasoners of known truth "
        f"({', '.join(f'{name} {count}' for name, count in counts.items())}), {config.num_items} fresh items each, "
        f"level {config.alpha:g}; {dataset.attrs['simulation_seconds']:.0f} s ({machine(dataset)}); the trainings took "
        f"{dataset.attrs['training_seconds']:.0f} s, those side by side added, whether now or before. "
        "Brackets are 95 %.",
        bullets(headline(dataset).splitlines()),
        "## Sensitivity and false alarms",
        "Sensitivity at the full dial over all load-bearing trainings; false alarms over all null ones; the rank is by "
        'mean sensitivity over dials above 0 minus false alarms. "keeps its level": "no" with the null reasoners '
        'on which the whole interval of false alarms is above the level; "yes" where there is none, and the interval '
        "over all null reasoners ends below twice the level.",
        table(tables.summary(dataset)),
        "## Alarms by reasoner",
        table(tables.by_reasoner(dataset)),
        "## Sensitivity over the dial",
        table(tables.curves(dataset)),
        "## Ways of asking that mislead, and by how much",
        "A false alarm says that latents are used where they are not; a miss says that they are not where they are.",
        table(tables.protocols(dataset)),
        "## Do the declared truths hold?",
        "Accuracy, means over trainings. What is declared follows from masks and training:",
        bullets([f"{name}: {known[name].because}." for name in config.references]),
        table(tables.truths(dataset)),
        *([gain] if gain else []),
    ]
    return Report("How often diagnostics of latent tokens are right", blocks, _figures(dataset), _NOTES, FILES)


def _figures(dataset: xarray.Dataset) -> list[Figure]:
    def alarms(rows: list[dict[str, Any]]) -> Any:
        from tokdyn.plot import calibration as draw

        order = [row["diagnostic"] for row in rows]
        shares = tables.shares_by_reasoner(dataset).sel(diagnostic=order)
        names = [str(name) for name in dataset["reference"].values]
        return draw.alarm_map(shares.values, order, names, bears=dataset["bears"].values.tolist())

    def curves() -> Any:
        from tokdyn.plot import calibration as draw

        known = tables.sensitivity(dataset)
        panels = {title: {name: known[name] for name in group} for title, group in _PANELS.items()}
        return draw.sensitivity_curves(dataset["dial"].values.tolist(), panels)

    def false_alarms(rows: list[dict[str, Any]]) -> Any:
        from tokdyn.plot import calibration as draw

        rates = {row["diagnostic"]: (row["false"], row["false_low"], row["false_high"]) for row in rows}
        return draw.false_alarms(rates, alpha=tables.alpha_of(dataset))

    rows = tables.rates(dataset)
    return [
        Figure("alarms.png", "Share of trainings with an alarm, best diagnostic on top.", partial(alarms, rows)),
        Figure("sensitivity.png", "Sensitivity over the dial, all load-bearing trainings together.", curves),
        Figure("false_alarms.png", "False alarms over all null trainings.", partial(false_alarms, rows)),
    ]


FILES = {
    "rates.csv": "the first table in full; `tokdyn study calibration --store FOLDER` keeps trained weights, so that a "
    "run that was cut off goes on where it was"
}
STUDY = Study("calibration", measure, Config, contents=contents, write=write, headline=headline, variables=VARIABLES)
