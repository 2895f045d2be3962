"""Did each way of asking find what is true? Tables, figures, and a verdict in words for every reasoner."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray

from tokdyn.reasoning.references import catalog
from tokdyn.studies.documents import Figure, Report, table
from tokdyn.studies.mediation import tables
from tokdyn.studies.mediation.analysis import VARIABLES
from tokdyn.studies.mediation.claims import findings
from tokdyn.studies.mediation.design import CLEAN, EFFECTS, IMAGE_NOISE, SHOWN, Config
from tokdyn.studies.mediation.experiment import measure
from tokdyn.studies.mediation.protocols import QUESTIONS
from tokdyn.studies.skeleton import Study, machine

_NOTES = """\
* Chance is 1 in 8; "undecided" is an honest answer: a p-value above 0.05 is not counted as "no". An arm says "no" only
  if its change of accuracy was shown to be inside the bound (Tango's score test), "yes" only if it differs after Holm's
  correction and was not.
* What follows the latents here is the answer alone. In a decoder that writes text after its latents, that text is a
  second mediator; an exchange must then say whether it is held (clamped) or written anew. Nothing is hidden by that
  choice here, because there is no such text.
* The mediator is the cache of the slots at all layers: whatever later positions can read of them. Exchanging what slots
  are fed is reported beside it and is another thing: slots that see the picture fill in what it shows, so that the
  other path is not held.
* Removing a position, or writing zeros, is a shock of its own kind: positions and lengths that no training step has
  shown. A fall under it says that the position must be there, not that it holds something.
* The order of cached slots is nothing that attention could see (each entry holds its own position), so that "order
  reversed, cache" changes nothing in any reasoner, by construction.
* One training each unless said otherwise: intervals speak of these weights on new items, not of other trainings."""


def headline(dataset: xarray.Dataset) -> str:
    """One line for each reasoner: what is true, what was found."""
    return "\n".join(tables.verdict(dataset.sel(reference=name)) for name in dataset["reference"].values)


def write(dataset: xarray.Dataset, folder: Path) -> None:
    """Every arm of every reasoner as a table."""
    tables.arms_frame(dataset).to_csv(folder / "arms.csv", index=False)


def contents(dataset: xarray.Dataset, config: Config) -> Report:
    """Did each way of asking find what is true?"""
    known, names = catalog(), [str(name) for name in dataset["reference"].values]
    blocks = [
        f"{len(names)} reasoners x {config.seeds} training{'s' if config.seeds > 1 else ''} x {config.num_items} fresh "
        f"items in {dataset.attrs['simulation_seconds']:.0f} s, of which {dataset.attrs['training_seconds']:.0f} s "
        f"loading or training ({machine(dataset)}). "
        f"A change of accuracy or a lift within {config.bound:g} counts as none, a mediated share within "
        f"{config.share:g} too. Intervals are 95 %.",
        "Truths are declared, not measured: they follow from attention masks and from what was trained. The tests are "
        "those of CapImagine (arXiv 2602.22766) with the controls that it lacks, and a mediation beside them.",
        *[f"* {line}" for line in headline(dataset).splitlines()],
        "## What each way of asking concludes",
    ]
    for question in QUESTIONS:
        blocks += [f"**{question[0].upper()}{question[1:]}**", table(tables.outcomes(dataset, question))]
    blocks += [
        tables.counted(dataset),
        "## Can effects be read at all?",
        "Slots are opened in every item (the start marker is written, not waited for); how many items would have "
        "opened them by themselves is given beside. Where accuracy is not above guessing nothing can be broken, and "
        "every conclusion is \"undecided\".",
        table(tables.readable(dataset)),
        "## Image to latents",
        f"How far a latent moves when the input is another (mean over items): cosine, and in brackets its change "
        f"over its length. Noise on the picture has a standard deviation of {IMAGE_NOISE:g}.",
        table(tables.changes(dataset)),
        "Mean cosine between different items at one slot, beside words and patches by the same measure. Raw cosines "
        "near 1 mean little by themselves: read the centred ones. \"undefined\" directions count as 0.",
        table(tables.likeness(dataset)),
        "The recurrence: different latents left at each slot (merged within 1 % of the typical length), and how far a "
        "latent is from that of the slot before, over its length. The gain is the root mean square change of the next "
        "latent for a small random change of this one: 0 means that nothing is handed on, or a word, which is chosen "
        "and has no derivative. Beside it what a donor's latent in that slot does to the answer, and the rank "
        "correlation of the two over items.",
        table(tables.recurrence(dataset)),
        f"Does contraction tell of a lost effect? By slot: {tables.contraction(dataset)}",
        "## Latents to answer: donors",
        "A donor differs from the item in every step. Slot k is fed the state whose likeliest word is step k; with a "
        "donor's, and later latents recomputed, the own picture leads on from the donor's place, and that answer is "
        "counted. The control counts the same answer under an unrelated donor.",
        table(tables.donors(dataset)),
        "## Mediation",
        "x' is the same question about another item's picture; items whose answer is the same are left out. The margin "
        "is logit(answer to x') - logit(answer to x), in nats.",
        table(tables.mediation(dataset)),
    ]  # fmt: skip
    for name in names:
        one = dataset.sel(reference=name)
        blocks += [f"## {name}", f"{tables.verdict(one)} Declared because {known[name].because}."]
        blocks += [table(tables.channels(one)), table(tables.arms(one))]
    title = "Image to latents to answer: what each test finds in reasoners whose truth is known"
    return Report(title, blocks, _figures(dataset), _NOTES, FILES)


def _figures(dataset: xarray.Dataset) -> list[Figure]:
    names = [str(name) for name in dataset["reference"].values]

    def arms() -> Any:
        from tokdyn.plot import reasoning

        bounds = ("accuracy", "accuracy_low", "accuracy_high")
        accuracies = {name: np.stack([dataset[bound].sel(reference=name).values for bound in bounds]) for name in names}
        shown = [str(arm) for arm in dataset["arm"].values]
        assert shown[0] == CLEAN
        return reasoning.arm_accuracies(shown, accuracies, chance={name: catalog()[name].task.chance for name in names})

    def likeness(site: str, text: str) -> Any:
        from tokdyn.plot import reasoning

        of = dataset.sel(site=site)
        between, within = (
            {name: _there(of[variable].sel(reference=name).values) for name in names}
            for variable in ("between_matrix", "within_matrix")
        )
        return reasoning.latent_likeness(between, within, label=f"raw cosine of {text}", items=f"{SHOWN} items")

    def effects(exchange: str, text: str) -> Any:
        from tokdyn.plot import reasoning

        of = dataset.sel(exchange=exchange)
        ends = ("effect", "effect_low", "effect_high")
        return reasoning.path_effects(
            {
                effect: {name: [float(of[end].sel(reference=name, effect_name=effect)) for end in ends]
                         for name in names}
                for effect in EFFECTS
            },
            label="change of logit(answer to x') - logit(answer to x), nats",
            title=f"exchanged: {text}",
        )  # fmt: skip

    fed = "what slots are fed (which does not hold the other path)"
    return [
        Figure(
            "arms.png",
            "Accuracy under every arm; dashed: without intervention, dotted: guessing from the question.",
            arms,
        ),
        *[
            Figure(
                f"likeness_{site}.png",
                f"Raw cosine of {text}: between {SHOWN} items, sorted by the right step at that slot, so that blocks "
                "along the diagonal mean that latents tell steps apart; and between the slots of one item.",
                partial(likeness, site, text),
            )
            for site, text in (("embedding", "what slots are fed"), ("state", "their last hidden states"))
        ],
        *[
            Figure(
                f"mediation_{exchange}.png",
                f"Effects of another picture on the margin; exchanged: {text}.",
                partial(effects, exchange, text),
            )
            for exchange, text in (("cache", "the slots' cache"), ("embedding", fed))
        ],
    ]


def _there(values: np.ndarray) -> np.ndarray:
    """Without the slots that a reasoner does not have."""
    return values[np.isfinite(values).any(axis=tuple(range(1, values.ndim)))]


FILES = {"arms.csv": "every arm of every reasoner"}
STUDY = Study(
    "mediation", measure, Config, contents=contents, write=write, headline=headline, findings=findings,
    variables=VARIABLES,
)  # fmt: skip
