"""Did each way of asking find what is true? Tables, figures, and a verdict in words for every reasoner."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray

from tokdyn.reasoning.audit.suite import battery
from tokdyn.studies.documents import Figure, Report, bullets, table
from tokdyn.studies.mediation import tables
from tokdyn.studies.mediation.analysis import QUESTIONS, VARIABLES
from tokdyn.studies.mediation.claims import findings
from tokdyn.studies.mediation.design import (
    CLEAN,
    EFFECTS,
    IMAGE_NOISE,
    SHOWN,
    STRATUM,
    TEXT,
    WORDS,
    Config,
    members,
    own_arms,
)
from tokdyn.studies.mediation.experiment import measure
from tokdyn.studies.skeleton import Study, machine

_NOTES = """\
* Reasoners, weights, items and truths are those of the suite that `tokdyn study calibration` trains and
  `evaluate_diagnostic` uses, and so are the diagnostics. There many trainings give rates; here one training of each is
  looked into. "text" is no member: the suite has no reasoner whose slots are words, which CapImagine's claim is about.
* "undecided" is an honest answer: a p-value above the level is not counted as "no". An arm says "no" only if its change
  of accuracy was shown to be inside the bound (Tango's score test), "yes" only if it differs after Holm's correction
  and was not. Who only looks says what its rule says.
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
    """Which ways of asking were never wrong, which were, and how often."""
    return "\n".join(tables.summary(dataset))


def _because(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def write(dataset: xarray.Dataset, folder: Path) -> None:
    """Every arm of every reasoner as a table."""
    tables.arms_frame(dataset).to_csv(folder / "arms.csv", index=False)


def contents(dataset: xarray.Dataset, config: Config) -> Report:
    """Did each way of asking find what is true?"""
    known, names = members(config), [str(name) for name in dataset["reference"].values]
    blocks = [
        f"{len(names)} reasoners, {config.num_items} fresh items each, in {dataset.attrs['simulation_seconds']:.0f} s "
        f"({machine(dataset)}): the designs of the suite ({', '.join(STRATUM)}; training {config.training})"
        f"{', and one whose slots are words' if TEXT in names else ''}. A change of accuracy or a lift within "
        f"{config.bound:g} counts as none, a mediated share within {config.share:g} too. Intervals are 95 %.",
        "What is true follows from masks, and where they leave it open was measured on thousands of items "
        "(`reasoning.estimands`). The tests are those of CapImagine (arXiv 2602.22766) and of the audit, with the "
        "controls that the former lack, and a mediation beside them.",
        bullets(headline(dataset).splitlines()),
        "## What is true",
        "Does the answer depend on what the slots' cache holds, on what slots are fed, on slots or markers being "
        "there? Beside it the effect's parts: answers that change under another item's cache, accuracy that is lost, "
        "answers that follow the donor (the controlled direct effect), natural indirect and direct effects, and what "
        "the own cache keeps of right answers beside another picture.",
        table(tables.measured(dataset)),
        "## What each way of asking concludes",
    ]
    for question in QUESTIONS:
        blocks += [f"**{question[0].upper()}{question[1:]}**", table(tables.counts(dataset, question)),
                   table(tables.outcomes(dataset, question))]  # fmt: skip
    blocks += [
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
        "The donor is the next item; items whose answer it shares are left out. Slot k is fed the state whose "
        "likeliest word is step k; with a donor's, and later latents recomputed, the own picture leads on from the "
        "donor's place, and that answer is counted. The control counts the same answer under an unrelated donor.",
        table(tables.donors(dataset)),
        "## Mediation",
        "x' is the same question about another item's picture; items whose answer is the same are left out. The margin "
        "is logit(answer to x') - logit(answer to x), in nats.",
        table(tables.mediation(dataset)),
    ]  # fmt: skip
    for name in names:
        one = dataset.sel(reference=name)
        blocks += [f"## {name}", f"{tables.verdict(one)} {_because(known[name].reference.because)}"]
        blocks += [table(tables.arms(one))]
    title = "Image to latents to answer: what each test finds in reasoners whose truth is known"
    return Report(title, blocks, _figures(dataset), _NOTES, FILES)


def _figures(dataset: xarray.Dataset) -> list[Figure]:
    names = [str(name) for name in dataset["reference"].values]
    chance = {name: one.reference.task.chance for name, one in members(Config(reasoners=tuple(names))).items()}

    def arms() -> Any:
        from tokdyn.plot import reasoning

        bounds = ("accuracy", "accuracy_low", "accuracy_high")
        shown = _arm_order([str(arm) for arm in dataset["arm"].values])
        of = dataset.sel(arm=shown)
        accuracies = {name: np.stack([of[bound].sel(reference=name).values for bound in bounds]) for name in names}
        changed = {name: of["verdict"].sel(reference=name).values == "effect" for name in names}
        return reasoning.arm_accuracies(shown, accuracies, chance=chance, changed=changed, groups=_by_truth(dataset))

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
            "Accuracy under every arm; framed: it differs from the clean run's, after Holm's correction, and was not "
            "shown to be within the bound. Arms that name no place act on the slots' cache; reasoners stand by whether "
            "answers depend on what that holds.",
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


def _arm_order(arms: list[str]) -> list[str]:
    """The clean run, the battery, and the study's own arms as they are declared."""
    most = max((int(arm.split()[2].rstrip(",")) for arm in arms if arm.startswith("donor, slot ")), default=1)
    known = [CLEAN, *battery(1), *own_arms(most), *WORDS]
    return sorted(arms, key=known.index)


def _by_truth(dataset: xarray.Dataset) -> dict[str, list[str]]:
    """Reasoners by whether their answers depend on what the slots' cache holds."""
    told = {"yes": "cache used", "no": "cache idle", "open": "open"}
    truth = {str(name): str(dataset["truth"].sel(reference=name, channel="cache").values)
             for name in dataset["reference"].values}  # fmt: skip
    made = {text: [name for name, said in truth.items() if said == word] for word, text in told.items()}
    return {text: group for text, group in made.items() if group}


def _there(values: np.ndarray) -> np.ndarray:
    """Without the slots that a reasoner does not have."""
    return values[np.isfinite(values).any(axis=tuple(range(1, values.ndim)))]


FILES = {"arms.csv": "every arm of every reasoner"}
STUDY = Study(
    "mediation", measure, Config, contents=contents, write=write, headline=headline, findings=findings,
    variables=VARIABLES,
)  # fmt: skip
