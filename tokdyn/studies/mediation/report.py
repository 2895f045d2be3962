"""Did each way of asking find what is true? Tables, figures, and a verdict in words for every reasoner."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import xarray

from tokdyn import claims
from tokdyn.reasoning.references import catalog
from tokdyn.studies.mediation import tables
from tokdyn.studies.mediation.design import CLEAN, EFFECTS, IMAGE_NOISE, SHOWN, Config
from tokdyn.studies.mediation.protocols import QUESTIONS
from tokdyn.studies.mediation.published import findings
from tokdyn.studies.output import (
    claim_blocks,
    config_of,
    figure_blocks,
    machine,
    markdown_table,
    write_record,
    written_together,
)

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


def report(
    dataset: xarray.Dataset,
    folder: str | os.PathLike[str],
    *,
    plots: bool = True,
    wall_seconds: float | None = None,
) -> Path:
    """Write everything the study has to say.

    Args:
        dataset: from ``run``.
        folder: made where it is missing; its files appear together, at the end.
        plots: also draw the figures.
        wall_seconds: of the whole command so far, for the metadata.

    Returns:
        The path of ``report.md``.

    Raises:
        ValueError: the folder cannot be written.
    """
    config = config_of(Config, dataset)
    found = findings(dataset) if config == Config() else {}
    with written_together(folder) as place:
        write_record(place, dataset, found, wall_seconds=wall_seconds)
        tables.arms_frame(dataset).to_csv(place / "arms.csv", index=False)
        figures = _draw(dataset, place / "plots") if plots else []
        (place / "report.md").write_text(_text(dataset, config, found, figures), encoding="utf-8")
    return Path(folder) / "report.md"


def _text(
    dataset: xarray.Dataset, config: Config, found: dict[str, claims.Finding], figures: list[tuple[str, str]]
) -> str:
    known, names = catalog(), [str(name) for name in dataset["reference"].values]
    blocks = [
        "# Image to latents to answer: what each test finds in reasoners whose truth is known",
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
        blocks += [f"**{question[0].upper()}{question[1:]}**", markdown_table(tables.outcomes(dataset, question))]
    blocks += [
        tables.counted(dataset),
        "## Can effects be read at all?",
        "Slots are opened in every item (the start marker is written, not waited for); how many items would have "
        "opened them by themselves is given beside. Where accuracy is not above guessing nothing can be broken, and "
        "every conclusion is \"undecided\".",
        markdown_table(tables.readable(dataset)),
        "## Image to latents",
        f"How far a latent moves when the input is another (mean over items): cosine, and in brackets its change "
        f"over its length. Noise on the picture has a standard deviation of {IMAGE_NOISE:g}.",
        markdown_table(tables.changes(dataset)),
        "Mean cosine between different items at one slot, beside words and patches by the same measure. Raw cosines "
        "near 1 mean little by themselves: read the centred ones. \"undefined\" directions count as 0.",
        markdown_table(tables.likeness(dataset)),
        "The recurrence: different latents left at each slot (merged within 1 % of the typical length), and how far a "
        "latent is from that of the slot before, over its length. The gain is the root mean square change of the next "
        "latent for a small random change of this one: 0 means that nothing is handed on, or a word, which is chosen "
        "and has no derivative. Beside it what a donor's latent in that slot does to the answer, and the rank "
        "correlation of the two over items.",
        markdown_table(tables.recurrence(dataset)),
        f"Does contraction tell of a lost effect? By slot: {tables.contraction(dataset)}",
        "## Latents to answer: donors",
        "A donor differs from the item in every step. Slot k is fed the state whose likeliest word is step k; with a "
        "donor's, and later latents recomputed, the own picture leads on from the donor's place, and that answer is "
        "counted. The control counts the same answer under an unrelated donor.",
        markdown_table(tables.donors(dataset)),
        "## Mediation",
        "x' is the same question about another item's picture; items whose answer is the same are left out. The margin "
        "is logit(answer to x') - logit(answer to x), in nats.",
        markdown_table(tables.mediation(dataset)),
    ]  # fmt: skip
    for name in names:
        one = dataset.sel(reference=name)
        blocks += [f"## {name}", f"{tables.verdict(one)} Declared because {known[name].because}."]
        blocks += [markdown_table(tables.channels(one)), markdown_table(tables.arms(one))]
    blocks += claim_blocks(found) + figure_blocks(figures)
    blocks += [
        "## What to know", _NOTES, "## Files",
        "`arms.csv` (every arm of every reasoner), `runs.zarr` (everything, with the answers of every item: xarray), "
        "`metadata.json` (versions, machine, design; `tokdyn study mediation --config metadata.json` repeats the run), "
        "`claims.json` (for the default design).",
    ]  # fmt: skip
    return "\n\n".join(blocks) + "\n"


def _draw(dataset: xarray.Dataset, folder: Path) -> list[tuple[str, str]]:
    """The figures, as (file name, caption)."""
    from tokdyn import plot
    from tokdyn.plot import reasoning

    folder.mkdir()
    captions = []
    names = [str(name) for name in dataset["reference"].values]

    def kept(figure: object, name: str, caption: str) -> None:
        plot.save(figure, folder / name)  # type: ignore[arg-type]
        captions.append((name, caption))

    bounds = ("accuracy", "accuracy_low", "accuracy_high")
    accuracies = {
        name: np.stack([dataset[bound].sel(reference=name).values for bound in bounds]) for name in names
    }  # fmt: skip
    chance = {name: catalog()[name].task.chance for name in names}
    arms = [str(arm) for arm in dataset["arm"].values]
    assert arms[0] == CLEAN
    kept(
        reasoning.arm_accuracies(arms, accuracies, chance=chance),
        "arms.png",
        "Accuracy under every arm; dashed: without intervention, dotted: guessing from the question.",
    )
    for site, text in (("embedding", "what slots are fed"), ("state", "their last hidden states")):
        of = dataset.sel(site=site)
        kept(
            reasoning.latent_likeness(
                {name: _there(of["between_matrix"].sel(reference=name).values) for name in names},
                {name: _there(of["within_matrix"].sel(reference=name).values) for name in names},
                label=f"raw cosine of {text}",
                items=f"{SHOWN} items",
            ),
            f"likeness_{site}.png",
            f"Raw cosine of {text}: between {SHOWN} items, sorted by the right step at that slot, so that blocks along "
            "the diagonal mean that latents tell steps apart; and between the slots of one item.",
        )
    for exchange, text in (
        ("cache", "the slots' cache"),
        ("embedding", "what slots are fed (which does not hold the other path)"),
    ):
        of = dataset.sel(exchange=exchange)
        kept(
            reasoning.path_effects(
                {
                    effect: {
                        name: [
                            float(of[end].sel(reference=name, effect_name=effect))
                            for end in ("effect", "effect_low", "effect_high")
                        ]
                        for name in names
                    }
                    for effect in EFFECTS
                },
                label="change of logit(answer to x') - logit(answer to x), nats",
                title=f"exchanged: {text}",
            ),
            f"mediation_{exchange}.png",
            f"Effects of another picture on the margin; exchanged: {text}.",
        )
    return captions


def _there(values: np.ndarray) -> np.ndarray:
    """Without the slots that a reasoner does not have."""
    return values[np.isfinite(values).any(axis=tuple(range(1, values.ndim)))]
