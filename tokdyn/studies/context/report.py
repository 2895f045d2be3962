"""What the study of context says: readers beside each other, patterns decoded back, a vocabulary that changes."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import xarray

from tokdyn.stats import family, mean_interval
from tokdyn.studies.context import design
from tokdyn.studies.context.claims import findings, share_of_oracle
from tokdyn.studies.context.design import ALONE, AVERAGE, BASE, CONNECTED, PRIMARY, ROLES, SECONDARY, Config
from tokdyn.studies.context.experiment import VARIABLES, measure
from tokdyn.studies.documents import Figure, Report, brackets, bullets, table
from tokdyn.studies.skeleton import Study, machine


def comparisons(dataset: xarray.Dataset, pairs: tuple[tuple[str, str, str], ...]) -> list[dict[str, Any]]:
    """Paired differences of two readers by seed, with p-values corrected over the pairs.

    Args:
        dataset: of the study.
        pairs: condition, reader, and the reader that it is held against.
    """
    values = dataset["recovered"].transpose("condition", "reader", "seed")
    names = [f"{condition}: {one} minus {other}" for condition, one, other in pairs]
    differences = np.stack([
        (values.sel(condition=condition, reader=one) - values.sel(condition=condition, reader=other)).values
        for condition, one, other in pairs
    ]).astype(float)  # fmt: skip
    return family(differences, names, tests=("t_test", "wilcoxon"))


def cell(values: xarray.DataArray | np.ndarray, digits: int = 3) -> str:
    """Mean over seeds and its 95 % interval, of shares; of one value in all seeds, which tells of no spread, that."""
    shares = np.asarray(values, float)
    if (shares == shares.flat[0]).all():
        return f"{shares.flat[0]:.{digits}f} (all seeds)"
    found = mean_interval(shares, within=(0, 1))
    return f"{float(found.mean):.{digits}f} {brackets(found.low, found.high, digits)}"


def headline(dataset: xarray.Dataset) -> str:
    """The primary outcome, and one line for each of the other groups."""
    mean = dataset["recovered"].mean("seed")
    lines = []
    for name, words in ((BASE.name, "Where topics decide"), (ROLES.name, "Where order decides")):
        one = mean.sel(condition=name)
        said = ", ".join(
            f"{label} {float(one.sel(reader=reader)):.1%}"
            for label, reader in (
                ("the token alone", ALONE), ("the average of the others", AVERAGE), ("trained connections", CONNECTED),
                ("a transformer", design.TRANSFORMER), ("the exact posterior", design.ORACLE),
            )
        )  # fmt: skip
        lines.append(f"{words}, senses recovered on held-out sentences: {said}.")
    clean = dataset.isel(noise=0).mean("seed")
    largest = clean.sel(side=dataset["side"].values[-1])
    lines.append(
        f"Subject, verb and object come back from {_grids(dataset)} patterns in "
        + ", ".join(f"{float(clean['exact'].sel(side=side, binding='roles')):.1%}" for side in dataset["side"].values)
        + f" of the sentences with roles; without roles in {float(largest['exact'].sel(binding='sum')):.1%}."
    )
    kept = dataset["coherence"].isel(uses=-1).mean("seed")
    said = ", ".join(f"{float(kept.sel(change=change)):.1%} ({change})" for change in dataset["change"].values)
    lines.append(
        f"A changed vocabulary keeps {said} of the other words' neighbours; vectors made anew from other sentences "
        f"{float(dataset['coherence_anew'].mean()):.1%}."
    )
    return "\n".join(lines)


def _grids(dataset: xarray.Dataset) -> str:
    return ", ".join(f"{side} x {side}" for side in dataset["side"].values)


def _tests(rows: list[dict[str, Any]]) -> str:
    return table([
        {"comparison": row["name"], "difference": row["mean"], "95 %": brackets(row["low"], row["high"]),
         "p (t test, Holm)": f"{row['t_test_holm']:.2g}", "p (Wilcoxon, Holm)": f"{row['wilcoxon_holm']:.2g}"}
        for row in rows
    ])  # fmt: skip


def _readers(dataset: xarray.Dataset) -> str:
    rows = []
    for name in dataset["condition"].values:
        one = dataset.sel(condition=name)
        row = {"condition": str(name), "chance": float(one["chance"].mean()), "commonest": cell(one["commonest"])}
        rows.append(row | {str(reader): cell(one["recovered"].sel(reader=reader)) for reader in one["reader"].values})
    return table(rows)


def _patterns(dataset: xarray.Dataset) -> str:
    return table([
        {"cells": f"{side} x {side}", "pattern": {"sum": "without roles", "roles": "with roles"}[binding],
         "noise": f"{noise:g}", **{name: cell(one[name]) for name in ("exact", "told_apart")}}
        for side in dataset["side"].values for binding in dataset["binding"].values for noise in dataset["noise"].values
        for one in [dataset.sel(side=side, binding=binding, noise=noise)]
    ])  # fmt: skip


def _graphs(dataset: xarray.Dataset) -> str:
    return table([
        {"edges": int(count)} | {
            f"{side} x {side}, {word}": cell(dataset[name].sel(side=side, edges=count))
            for side in dataset["side"].values
            for name, word in (("edges_right", "edges"), ("graph_right", "whole"))
        }
        for count in dataset["edges"].values
    ])  # fmt: skip


def _changes(dataset: xarray.Dataset) -> str:
    return table([
        {"uses": int(uses), "added: near its topic": cell(one["added_place"]),
         "split: senses told apart": cell(one["split_senses"]),
         **{f"neighbours kept, {change}": cell(one["coherence"].sel(change=change)) for change in one["change"].values}}
        for uses in dataset["uses"].values for one in [dataset.sel(uses=uses)]
    ])  # fmt: skip


def contents(dataset: xarray.Dataset, config: Config) -> Report:
    """What context does to tokens, and what the published text only sketched."""
    shares = share_of_oracle(dataset, CONNECTED).mean("seed")
    count = design.POLYSEMES + design.TOPICS * design.WORDS
    nouns, verbs = 64, 16
    blocks = [
        f"{config.seeds} generated languages of {count} words, {design.POLYSEMES} of them with several senses. "
        f"{config.sentences} sentences with known senses to learn from and as many held out in each condition; "
        f"{dataset.attrs['simulation_seconds']:.0f} s, compilation included ({machine(dataset)}).",
        "The published text sketched tokens that depend on context (dynamic connection maps, subject-verb-object "
        "patterns, Gaussian regions, a vocabulary that evolves, patterns of words, phrases and sentences at three "
        "scales and as graphs) and tested none of them. Everything below is a first test, on languages whose truth "
        "is known; no published number stands behind any of it.",
        "Named before the run: the primary outcome is the share of held-out sentences whose sense is recovered, by "
        f"*{CONNECTED}* minus *{ALONE}*, paired by seed, where topics decide and where order decides. All else is "
        "secondary. Intervals are 95 % over seeds (Student); p-values are corrected within each of the two families.",
        bullets(headline(dataset).splitlines()),
        "## Primary",
        _tests(comparisons(dataset, PRIMARY)),
        "## Secondary",
        _tests(comparisons(dataset, SECONDARY)),
        "## Senses on held-out sentences, by reader",
        f"The base has {BASE.senses} equally frequent senses, sentences of {BASE.length} words, noise {BASE.noise:g} "
        f"and ambiguity {BASE.ambiguity:g}. Chance guesses among a word's senses; *commonest* takes the sense that "
        "was most frequent among the sentences learned from; the oracle is the exact posterior, which no reader can "
        "beat but by luck. All readers get the same fixed vectors and are read out alike, by one linear score for "
        "each sense; regions by their contracted mass, the oracle not at all. The average has no order, and where "
        "order decides its best is to choose between the two topics of the sentence. Of the held-out sentences "
        f"{float(dataset['seen'].mean('seed').max()):.1%} at most, in one condition, were among those learned from.",
        _readers(dataset),
        f"Trained connections get {float(shares.min()):.0%} to {float(shares.max()):.0%} of what the oracle gains "
        "over the commonest sense.",
        "## Subject, verb and object",
        f"The pattern of the verb in its sentence, connected to subject and object, decoded back: {nouns} nouns, "
        f"{verbs} verbs, subject and object different. Chance is 1 in {nouns * (nouns - 1) * verbs:,} for all three "
        "and a half for the exchange of subject and object. Without roles the two orders fit equally well: a half is "
        "then the most there is. Noise is in standard deviations of a pattern's cells.",
        _patterns(dataset),
        "## Graphs of words",
        "Edges (head, relation, dependent) in one pattern: a phrase has one or two, a sentence a handful, a text "
        "many. 128 words, 8 relations; chance for an edge is 1 in 128. Which dependent a head has in a relation is "
        "read from the pattern; *whole* counts graphs of which every edge comes back.",
        _graphs(dataset),
        "## A vocabulary that changes",
        "A word is added at the mean of its uses, two of a topic are merged, one of two senses is split by tokens "
        "that its uses attract; no vector of another word moves. Chance for neighbours that stay is "
        f"{5 / (count - 1):.3f}; vectors made anew (pointwise mutual information, factorised) from two sets of "
        f"sentences of one language keep {cell(dataset['coherence_anew'])}. Of an added word's five nearest "
        f"{cell(dataset['added_own'])} are of its topic where its own vector lies, "
        f"{float(dataset['added_chance'].mean()):.3f} by chance. A merged word lies nearer to the uses of both than "
        f"{cell(dataset['merged_place'])} of the other words. A split word's senses are told apart on held-out uses; "
        f"chance is 0.5, the exact posterior {cell(dataset['split_oracle'])}.",
        _changes(dataset),
    ]
    return Report("Context: tokens whose pattern depends on their sentence", blocks, _figures(dataset), notes=bullets([
        "Sentences are bags of words of a topic, or two such bags around a word: no syntax, no world.",
        "Senses are known for the sentences learned from. Nothing here finds senses without labels, but for splitting.",
        f"The transformer is small and learns from {config.sentences} sentences in {config.num_steps} steps: that it "
        "is not above simpler readers here says nothing of larger ones.",
    ]))  # fmt: skip


def _figures(dataset: xarray.Dataset) -> list[Figure]:
    def drawn(name: str) -> Any:
        from tokdyn.plot import context

        return getattr(context, name)(dataset)

    captions = {
        "recovered": "Share of held-out sentences whose sense is recovered: mean and 95 % interval over seeds, for "
                     "each condition and reader; the dashed line is chance.",
        "patterns": "Sentences and graphs decoded back from one pattern of so many cells: mean and 95 % interval over "
                    "seeds; dashed: chance.",
        "changes": "Left: neighbours of the other words that stay when the vocabulary changes. Right: where new words "
                   "lie; dotted: the word's own vector, the exact posterior; dashed: chance. Mean and 95 % interval "
                   "over seeds.",
    }  # fmt: skip
    return [Figure(f"{name}.png", caption, partial(drawn, name)) for name, caption in captions.items()]


STUDY = Study("context", measure, Config, contents=contents, headline=headline, findings=findings, variables=VARIABLES)
