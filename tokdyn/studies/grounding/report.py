"""What targets with meaning do, and what codes with meaning cost and give, in words, tables and figures."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import xarray

from tokdyn.stats import family
from tokdyn.studies.documents import Figure, Report, brackets, bullets, table
from tokdyn.studies.grounding import design
from tokdyn.studies.grounding.claims import accuracy, findings, steps_to_all
from tokdyn.studies.grounding.design import CODES, NONE, PRIMARY, SEMANTIC, SIZES, STEPS, TARGETS, Config
from tokdyn.studies.grounding.experiment import VARIABLES, measure
from tokdyn.studies.intervals import mean_shown as _shown
from tokdyn.studies.intervals import of_seeds as interval
from tokdyn.studies.meanings import COUNT, SOURCES, TITLES
from tokdyn.studies.skeleton import Study, machine

ARBITRARY, MEANT = CODES[-1], CODES[0]


def at_level(dataset: xarray.Dataset, source: str, channel: str, level: float) -> xarray.Dataset:
    """Of one source, channel and level of noise."""
    one = dataset.sel(source=source, channel=channel)
    return one.isel(level=int(np.argmin(np.abs(one["noise"].values - level))))


def comparisons(dataset: xarray.Dataset) -> list[dict[str, Any]]:
    """Semantic less arbitrary codes of real words, paired by seed: what comes back, and how near errors are.

    Args:
        dataset: of the study.

    Returns:
        A row for each of the primary channels and both outcomes, p-values corrected over the four.
    """
    names, differences = [], []
    for channel, level in PRIMARY:
        one = at_level(dataset, "words", channel, level)
        for outcome in ("exact", "rank"):
            values = one[outcome].sel(code=MEANT).values - one[outcome].sel(code=ARBITRARY).values
            names.append(f"{channel} {level:g}: {outcome}")
            differences.append(values.astype(float))
    return family(np.stack(differences), names, tests=("t_test", "wilcoxon"))


def headline(dataset: xarray.Dataset) -> str:
    """What targets do, and the trade-off."""
    first = {size: [float(accuracy(dataset, size, name, 1).mean()) for name in TARGETS] for size in SIZES}
    one = at_level(dataset, "words", *PRIMARY[0])
    values = {name: (interval(one["exact"].sel(code=name))[0], interval(one["closeness"].sel(code=name))[0])
              for name in (MEANT, ARBITRARY)}  # fmt: skip
    return "\n".join([
        "read right after one step, whatever the target (" + ", ".join(TARGETS) + "): " + "; ".join(
            f"{size} words {100 * min(of):.1f} to {100 * max(of):.1f} %" for size, of in first.items()),
        f"codes of one energy under Gaussian noise of {PRIMARY[0][1]:g}: arbitrary ones bring back "
        f"{100 * values[ARBITRARY][0]:.1f} %, semantic ones {100 * values[MEANT][0]:.1f} %; a wrong word has a cosine "
        f"of {values[ARBITRARY][1]:.2f} and {values[MEANT][1]:.2f} with the one that was sent "
        f"(chance {float(one['closeness_by_chance'].mean()):.2f})",
    ])  # fmt: skip


def _target_rows(dataset: xarray.Dataset) -> list[dict[str, Any]]:
    rows = []
    for size in SIZES:
        for name in TARGETS:
            row = {
                "words": size, "target": name, "seeds": len(accuracy(dataset, size, name, 0)),
                "before": _shown(accuracy(dataset, size, name, 0)),
                "after one step": _shown(accuracy(dataset, size, name, 1)),
                f"after {STEPS}": _shown(accuracy(dataset, size, name, STEPS)),
                "steps until all are right": _shown(steps_to_all(dataset, size, name), 2, within=None),
                "likeness to the vectors, at the end": _shown(
                    dataset["alignment"].sel(words=size, target=name).isel(end=1), within=(-1, 1)),
            }  # fmt: skip
            if size == 189:
                row["gradients agree"] = _shown(dataset["agreement"].sel(words=size, target=name), within=(-1, 1))
            rows.append({"gradients agree": "", **row})
    return [{key: row[key] for key in (*[k for k in row if k != "gradients agree"], "gradients agree")} for row in rows]


def _pair_rows(dataset: xarray.Dataset) -> list[dict[str, Any]]:
    return [
        {"words": pair, "target": name} | {
            str(after): _shown(dataset["cosine"].sel(pair=pair, target=name, after=after), within=(-1, 1))
            for after in dataset["after"].values
        }
        for pair in ("cat dog", "red blue") for name in TARGETS
    ]  # fmt: skip


def _code_rows(dataset: xarray.Dataset, source: str, channel: str, level: float) -> list[dict[str, Any]]:
    one = at_level(dataset, source, channel, level)
    rows = []
    for name in CODES:
        own = one.sel(code=name)
        rows.append({
            "codes": name, "neighbours of the meaning": _shown(own["overlap"]), "come back": _shown(own["exact"]),
            "bounds": brackets(float(own["at_least"].mean()), float(own["at_most"].mean())),
            "wrong word: cosine": _shown(own["closeness"], within=(-1, 1), none="no error"),
            "wrong word: rank": _shown(own["rank"], none="no error"),
        })  # fmt: skip
    return rows


def sentence(dataset: xarray.Dataset) -> str:
    """What may be said of the trade-off, with what was found."""
    one = at_level(dataset, "words", *PRIMARY[0])
    gap = interval(one["exact"].sel(code=MEANT).values - one["exact"].sel(code=ARBITRARY).values, None)
    near = interval(one["rank"].sel(code=MEANT).values - one["rank"].sel(code=ARBITRARY).values, None)
    side = (
        "fewer words come back" if gap[2] < 0 else "more words come back" if gap[1] > 0 else "as many words come back"
    )
    closer = "nearer" if near[2] < 0 else "farther" if near[1] > 0 else "as near"
    return (
        f"With codes that keep meaning {side} than with arbitrary ones of the same energy ({100 * gap[0]:+.1f} "
        f"{brackets(100 * gap[1], 100 * gap[2], 1)} percentage points), and errors are {closer} in meaning "
        f"(rank {near[0]:+.2f} {brackets(near[1], near[2], 2)}, of 0 to 1)."
    )


def contents(dataset: xarray.Dataset, config: Config) -> Report:
    """The report."""
    sizes = ", ".join(f"{config.seeds_of(size)} of {size} words" for size in SIZES)
    blocks = [
        f"Trainings with each target: {sizes}. {config.channel_seeds} codes of each kind, each word sent "
        f"{config.draws} times. {dataset.attrs['simulation_seconds']:.0f} s, compilation included "
        f"({machine(dataset)}). Intervals are of means over seeds (95 %, Student).",
        bullets([*headline(dataset).splitlines(), sentence(dataset)]),
        "## Targets with meaning, without, and none",
        "The published model: one feature vector of 512 numbers and length 1 for each word, a linear layer that reads "
        "it, Adam at 0.01, all words at every step. Beside the reader's loss, features are pulled to targets: vectors "
        "of the words (*semantic*), random ones, one for all words (*identical*), or nothing (*none*). Published were "
        "100 % after one epoch with CLIP vectors, and a speed-up of 200 over another model on 192 words. Vectors are "
        "those of `geometry.word_vectors` (a sentence encoder; CLIP is not at hand), with zeros up to 512.",
        table(_target_rows(dataset)),
        "*Gradients agree*: cosine of the gradient with the one after a small step down it, mean over the steps; 1 on "
        "a slope without bends. Chance is one word in so many before training; the maximum is 1.",
        "Cosines of learned features, which were published as kept relations (0.482 and 0.497). All pairs start at "
        f"about a half, the bias that all words share; the published training stops there. After {design.LONG} steps "
        f"they are what the targets are: {_meant(dataset)}.",
        table(_pair_rows(dataset)),
        "## Codes with meaning through a noisy channel",
        f"{COUNT} words as patterns of {design.NUMBERS} numbers with Gaussian noise, or of {design.BITS} bits "
        "of which some flip; all codes have the same energy, and the nearest code is taken. Whitening is the dial from "
        "codes with the geometry of the meanings to codes without any. *Bounds* are what the pairwise errors say "
        "beforehand. *Cosine* and *rank* are of wrong words alone: their likeness in meaning to the word that was "
        "sent, and its rank among all others (0 the most alike, 0.5 by chance).",
        "Named before the run: semantic codes as they are less arbitrary ones, for real words, at one level of each "
        "channel. p-values are corrected over the four.",
        table(
            [
                {
                    "semantic less arbitrary": row["name"],
                    "difference": f"{row['mean']:+.3f} {brackets(row['low'], row['high'])}",
                    "effect size": row["effect_size"],
                    "p (t, Holm)": f"{row['t_test_holm']:.2g}",
                    "p (Wilcoxon, Holm)": f"{row['wilcoxon_holm']:.2g}",
                }
                for row in comparisons(dataset)
            ]
        ),
    ]
    for source in SOURCES:
        for channel, level in PRIMARY:
            one = at_level(dataset, source, channel, level)
            chance, most = (float(one[name].mean()) for name in ("closeness_by_chance", "closeness_at_most"))
            blocks += [
                f"### {TITLES[source].capitalize()}, {channel} {level:g}",
                f"Cosine of two words by chance {chance:.3f}, of a word and the most alike {most:.3f}.",
                table(_code_rows(dataset, source, channel, level)),
            ]
    return Report("Grounding: does meaning make words learnable, and what does it cost?", blocks, _figures(dataset),
                  notes=bullets([
        "What is learned here is a table of words. Nothing is said of models that have to generalise to new words.",
        "One turn at random keeps the meanings' angles: no training is needed for semantic codes.",
        "Planted meanings (a tree, factors) are drawn anew for each seed; the real words are the same in all, so that "
        "their intervals are over codes and noise, not over words.",
        "In the mean over a channel's errors only words that were missed count: at low noise these are few.",
    ]))  # fmt: skip


def _meant(dataset: xarray.Dataset) -> str:
    last = dataset["cosine"].isel(after=-1)
    return ", ".join(
        f"{name} {float(last.sel(target=name, pair='cat dog').mean()):.2f}" for name in (SEMANTIC, NONE)
    ) + " for cat and dog"  # fmt: skip


def _figures(dataset: xarray.Dataset) -> list[Figure]:
    def drawn(name: str) -> Any:
        from tokdyn.plot import grounding

        return grounding.targets(dataset) if name == "targets" else grounding.channel(dataset, titles=TITLES)

    captions = {
        "targets": "Words read right after the first steps, by target: means with 95 % intervals over seeds, moved "
                   "apart sideways. Dashed: chance.",
        "channel": "What comes back against the rank of wrong words (0.5 by chance): a line for each level of noise, "
                   "along the dial from codes that keep meaning (large mark) to whitened ones; open marks: arbitrary "
                   "codes. Means over seeds with 95 % intervals.",
    }  # fmt: skip
    return [Figure(f"{name}.png", caption, partial(drawn, name)) for name, caption in captions.items()]


STUDY = Study(
    "grounding", measure, Config, contents=contents, headline=headline, findings=findings, variables=VARIABLES
)
